"""What a case takes along from the nodes, before anything is torn down."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from aitbc_toolkit.asking import open_mesh
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites import catalogue, collecting, playing
from aitbc_toolkit.suites.crew import Crew
from aitbc_toolkit.suites.scenario import on_mesh
from aitbc_toolkit.suites.scene import Result
from aitbc_toolkit.suites.timeline import Timeline
from aitbc_toolkit.suites.verdicts import Verdict

CASE = "partition/quorum-loss[5s]"


def no_host(_environment: Environment) -> dict[str, Sequence[str]]:
    """Be hosts that are gone."""
    raise AitbcError("no way to lab1")


def take(fake_mesh: Any, folder: Path, **more: Any) -> dict[str, Path]:
    """Collect from a mesh; return the files by name."""
    with open_mesh(fake_mesh.environment, retries=0) as mesh:
        into = collecting.collect(
            fake_mesh.environment, mesh, folder, **{"read": no_host, "case": CASE, **more}
        )
    return {path.name: path for path in into.iterdir()}


def test_journals_and_metrics_are_kept_and_what_is_missing_is_named(
    fake_mesh: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest part of each, no more than the bundle holds; a silent node is told by name."""
    monkeypatch.setattr(collecting, "BUNDLE_BYTES", 8_000)
    fake_mesh.kill("v4")

    def read(_environment: Environment) -> dict[str, Sequence[str]]:
        return {name: [f"{name} {n}" for n in range(10_000)] for name in ("v1", "v2", "v3")}

    files = take(fake_mesh, tmp_path, read=read)
    more = take(fake_mesh, tmp_path, read=read, case="partition/minority")

    assert files["v1.journal"].read_text().endswith("v1 9999")
    assert more["v1.journal"].read_text().endswith("v1 9999")
    assert "aitbc_" in files["v2.metrics"].read_text()
    found = [*files.values(), *more.values()]
    assert sum(p.stat().st_size for p in found if p.name != collecting.MISSING) <= 8_000
    told = files[collecting.MISSING].read_text()
    assert "v4.journal: its host did not tell" in told
    assert "v4.metrics: " in told
    cut = next(line for line in told.splitlines() if line.startswith("v1.journal: the first "))
    assert cut.endswith(" bytes are missing")


def test_hosts_that_do_not_answer_are_told(fake_mesh: Any, tmp_path: Path) -> None:
    """Collecting never ends a run: whatever fails is named beside what could be had."""
    files = take(fake_mesh, tmp_path)

    assert "journals: no way to lab1" in files[collecting.MISSING].read_text()
    assert files["v1.metrics"].stat().st_size


def test_the_fault_log_has_the_faults_of_its_case_only(fake_mesh: Any, tmp_path: Path) -> None:
    """What was broken when, by both clocks, of this case and of no other one."""
    with Timeline(tmp_path) as timeline:
        for case in ("partition/minority", CASE):
            with timeline.act(case):
                timeline.event("step", name="begin")
                timeline.event("fault.begin", id="split", fault="net.cut", lease_s=5)

    files = take(fake_mesh, tmp_path, wanted=["fault_log"])

    rows = [json.loads(line) for line in files[collecting.FAULT_LOG].read_text().splitlines()]
    assert [(row["kind"], row["scenario"]) for row in rows] == [("fault.begin", CASE)]
    assert {"at", "mono"} <= rows[0].keys()
    assert set(files) == {collecting.FAULT_LOG, collecting.MISSING}


@pytest.mark.parametrize(
    ("verdict", "collect", "taken"),
    [
        (Verdict.LIVENESS, "", set(collecting.COLLECTED)),
        (Verdict.PASS, "", set()),
        (Verdict.PASS, "collect: [metrics]\n", {"metrics"}),
    ],
)
def test_a_case_that_did_not_pass_is_collected_and_any_that_asks_for_it(
    fake_mesh: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verdict: Verdict,
    collect: str,
    taken: set[str],
) -> None:
    """What failed leaves all there is; what passed leaves what its file names."""
    text = (catalogue.folder() / "partition" / "minority.yaml").read_text()
    text = text.partition("collect:")[0]
    path = tmp_path / "partition" / "minority.yaml"
    path.parent.mkdir()
    path.write_text(text.replace("steps:\n", f"{collect}steps:\n", 1))
    (part, *_) = catalogue.parts(str(path))
    asked: set[str] = set()
    ended = Result(part.name, verdict, "as planted", 0.0)
    monkeypatch.setattr(on_mesh, "play", lambda *_, **__: ended)
    monkeypatch.setattr(
        collecting, "collect", lambda *_, wanted, **__: asked.update(wanted) or tmp_path
    )

    with ExitStack() as stack, Timeline(tmp_path) as timeline:
        player = playing.player_of(stack, fake_mesh.environment, 1, inject=object())  # type: ignore[arg-type]
        result = playing.play_part(player, part, timeline)

    assert result.verdict is verdict
    assert asked == taken


def test_what_workers_collected_comes_into_the_folder_of_the_run(tmp_path: Path) -> None:
    """One bundle, however many workers took part in the run."""
    crew = Crew((), tmp_path, seed=1)
    for name in ("w1", "w2"):
        into = tmp_path / name / collecting.FOLDER / f"case-of-{name}"
        into.mkdir(parents=True)
        (into / "v1.journal").write_text("x")
    crew._hands = [type("Hand", (), {"folder": tmp_path / name})() for name in ("w1", "w2")]

    crew.merge()

    found = sorted(path.parent.name for path in (tmp_path / collecting.FOLDER).rglob("*.journal"))
    assert found == ["case-of-w1", "case-of-w2"]
