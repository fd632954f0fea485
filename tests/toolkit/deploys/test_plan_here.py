"""Plans of a stand-in mesh on this machine: what they show, what they hold a deploy to."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from killed_runs import forget_everything, killed, resumed

from aitbc_toolkit.cli import planning
from aitbc_toolkit.errors import AitbcError, ConfigError, Exit, UsageError
from aitbc_toolkit.release import configuring, history, rolling
from aitbc_toolkit.release.plan import Plan
from aitbc_toolkit.release.preview import preview
from aitbc_toolkit.release.request import Choice, Request

pytestmark = pytest.mark.integration

Build = Callable[..., Any]


def a_plan(project: Any, **request: Any) -> Plan:
    """Plan a deploy of HEAD unless told else."""
    wanted = Request(checkout=project.checkout, **request)
    return preview(project.environment, wanted, lambda _record: None)


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """List every file below a folder that no running node or supervisor writes to by itself."""
    return {str(path.relative_to(folder)): facts for path, facts in _files(folder)}


def _files(folder: Path) -> Iterator[tuple[Path, tuple[int, int]]]:
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        if path.suffix not in {".log", ".sock"}:
            yield path, (facts.st_mtime_ns, facts.st_size)


@pytest.mark.parametrize("choice", [Choice(canary=4), Choice(only=("v1",), canary=1)])
def test_a_canary_that_is_everybody_is_refused(a_project: Build, choice: Choice) -> None:
    """With nobody left to protect, a canary would be an ordinary deploy that says otherwise."""
    with pytest.raises(UsageError, match="nodes to protect"):
        a_plan(a_project(), choice=choice)


def test_check_14_a_plan_is_byte_stable_and_writes_nothing_on_hosts(a_project: Build) -> None:
    """Before the first deploy and on a running mesh: the same bytes twice, the same files."""
    project = a_project()
    host = project.root / "state" / "dev"
    first = [a_plan(project).to_bytes() for _ in range(2)]
    assert not host.exists(), "a plan before the first deploy makes no folder on the host"

    project.deploy()
    project.commit("ok", "a second build")
    before = tree(host)
    plans = [a_plan(project) for _ in range(3)]

    assert len(set(first)) == 1
    assert len({each.to_bytes() for each in plans}) == 1
    assert tree(host) == before
    assert plans[0].pending == ["v1", "v2", "v3", "v4"]
    document = json.loads(plans[0].to_bytes())
    assert [each["nodes"] for each in document["waves"]] == [["v1"], ["v2"], ["v3"], ["v4"]]
    assert [each["during"] for each in document["waves"]] == [3, 3, 3, 3]
    assert document["genesis_hash"]


def test_a_plan_shows_what_changes_in_the_configuration(a_project: Build) -> None:
    """The diff is of the files on the host; an edit there, a secret in it covered, shows too."""
    project = a_project()
    project.deploy()
    path = project.root / "inventories/dev/inventory.toml"
    path.write_text(path.read_text().replace("block_interval_ms = 100", "block_interval_ms = 150"))

    found = a_plan(project)

    assert found.pending == ["v1", "v2", "v3", "v4"]
    diff = found.nodes[0].diff.splitlines()
    assert "-block_interval_ms = 100" in diff
    assert "+block_interval_ms = 150" in diff
    assert not [line for line in diff if line.startswith(("-commit", "+commit"))]
    assert "configuration of v1 v2 v3 v4" in found.to_lines()
    assert any(
        "version 1 now; a release that does not read it" in each for each in found.to_lines()
    )

    edited = project.host_file("etc/aitbc/v1/node.toml")
    edited.write_text(edited.read_text() + 'admin_token = "c0ffee"\n')
    shown = a_plan(project).nodes[0].diff
    assert "-admin_token = ***" in shown.splitlines()
    assert "c0ffee" not in "\n".join([shown, *a_plan(project).to_lines()])


def test_check_09_2_a_plan_says_whether_anything_is_pending(
    a_project: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a deploy of the same commit: no waves, nothing to do, 0; of another one: 2."""
    project = a_project()
    project.deploy()

    found = a_plan(project)
    project.commit("ok", "another build")
    other = a_plan(project)

    assert planning.show(found, as_json=True) is Exit.OK
    assert planning.show(other, as_json=True) is Exit.PENDING
    assert found.pending == []
    assert found.order.waves == ()
    assert "nothing: every node runs what it should" in "\n".join(found.to_lines())
    left = replace(found, open_run="deploy of c0ffee, has not ended")
    assert "  but           an earlier run, deploy of c0ffee, has not ended" in left.to_lines()
    assert (left.hash, found.open_run) == (found.hash, "")
    capsys.readouterr()
    planning.show(left, as_json=False)
    assert capsys.readouterr().out.endswith("next: aitbc deploy status dev\n")


def test_a_deploy_is_held_to_the_facts_of_its_plan(a_project: Build) -> None:
    """A node that went down since moves the plan: refused with what moved, nothing switched."""
    project = a_project()
    project.deploy()
    old = project.git("rev-parse", "HEAD")
    project.commit("ok", "a second build")
    planned = a_plan(project)
    project.down()

    with pytest.raises(AitbcError) as refused:
        project.deploy(plan=planned.hash[:12])

    assert refused.value.exit_status is Exit.REFUSED
    assert f"facts have moved since plan {planned.hash[:12]}" in refused.value.message
    assert "nodes that run: v1 v2 v3 v4 -> none" in refused.value.message
    assert not {*refused.value.message} & {*"{}[]"}
    assert set(project.running().values()) == {old}
    with pytest.raises(AitbcError, match="is not known here") as unknown:
        project.deploy(plan="0123456789ab")
    assert unknown.value.exit_status is Exit.USAGE


def test_check_17_a_branch_that_was_moved_after_the_plan_changes_nothing(a_project: Build) -> None:
    """The plan names a commit; where the branch points when it is applied is nobody's business."""
    project = a_project()
    project.deploy()
    base = project.git("rev-parse", "HEAD")
    project.git("checkout", "--quiet", "-b", "feature")
    planned_commit = project.commit("ok", "the planned build")
    planned = a_plan(project, ref="feature")
    project.git("reset", "--quiet", "--hard", base)
    other = project.commit("crash", "forced over it")

    done = project.deploy(plan=planned.hash)

    assert done.exit is Exit.OK, done.error
    assert project.git("rev-parse", "feature") == other
    assert set(project.running().values()) == {planned_commit}


@pytest.mark.proves("A19")
def test_only_the_named_node_is_staged_switched_and_recorded(a_project: Build) -> None:
    """One instance gets the commit; the others keep their process, release and configuration."""
    project = a_project()
    project.deploy()
    old = project.git("rev-parse", "HEAD")
    before = {name: row["pid"] for name, row in project.services().items()}
    new = project.commit("ok", "a second build")

    done = project.deploy(choice=Choice(only=("v2",)))

    after = {name: row["pid"] for name, row in project.services().items()}
    assert done.exit is Exit.OK, done.error
    assert done.changed == ["v2"]
    assert project.running() == {"v1": old, "v2": new, "v3": old, "v4": old}
    assert {name for name in before if before[name] != after[name]} == {"v2"}
    configured = project.host_file(f"opt/aitbc/dev/releases/{new}/etc").iterdir()
    assert {each.name.partition("-")[0] for each in configured} == {"v2"}
    back = project.rollback()
    assert back.changed == ["v2"]
    assert set(project.running().values()) == {old}
    assert history.read(project.environment)[-1].places["v1"][0] == old


def test_the_first_deploy_takes_every_node(a_project: Build) -> None:
    """A genesis needs the keys of all validators, so one alone is refused before any change."""
    project = a_project()

    with pytest.raises(AitbcError, match="its first deploy takes every node") as refused:
        project.deploy(choice=Choice(only=("v2",)))

    assert refused.value.exit_status is Exit.REFUSED
    assert not project.host_file("opt").exists()


@pytest.mark.proves("C31")
def test_a_canary_that_stops_voting_in_its_bake_ends_the_rollout(a_project: Build) -> None:
    """It votes through its gate and tires later: nobody follows it, and it goes back."""
    project = a_project()
    project.deploy()
    good = project.git("rev-parse", "HEAD")
    project.commit("tires")

    failed = project.deploy(choice=Choice(canary=1, bake_s=20))

    assert failed.exit is Exit.ROLLED_BACK
    assert "did not vote" in failed.error
    assert "while it was watched" in failed.error
    watched = next(each["text"] for each in project.records if each.get("step") == "bake")
    assert watched.endswith(" for 20 s")
    assert not [each for each in project.records if each.get("place") == "wave 2/4"]
    assert set(project.running().values()) == {good}


@pytest.mark.proves("C31")
def test_a_canary_that_raises_an_alert_in_its_bake_goes_back(a_project: Build) -> None:
    """It votes on, and its disk refuses writes: the alert rules see that, and it is named."""
    project = a_project()
    project.deploy()
    good = project.git("rev-parse", "HEAD")
    project.commit("hot")

    failed = project.deploy(choice=Choice(canary=1, bake_s=20))

    assert failed.exit is Exit.ROLLED_BACK
    assert "alert DiskRefuses: the disk of v" in failed.error
    assert not [each for each in project.records if each.get("place") == "wave 2/4"]
    assert set(project.running().values()) == {good}


def declare(project: Any, **profile: int) -> None:
    """Write more settings into the profile of a project's inventory."""
    path = project.root / "inventories/dev/inventory.toml"
    more = "".join(f"{key} = {value}\n" for key, value in profile.items())
    path.write_text(path.read_text().replace("[profile]\n", f"[profile]\n{more}"))


def test_the_canary_of_the_inventory_goes_first_where_it_protects_somebody(
    a_project: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody names an option: none in a first deploy, for one node or in a rollback; else watched.

    The plan has its time, and a flag says otherwise.
    """
    project = a_project()
    declare(project, canary=1, bake_s=600)
    watched: list[tuple[int, float]] = []

    def watching(
        _mesh: Any, names: Any, *, bake_s: float, stall_s: float, **_more: Any
    ) -> dict[str, str]:
        assert stall_s > 0
        watched.append((len(names), bake_s))
        return {}

    monkeypatch.setattr(rolling, "bake", watching)
    first = a_plan(project)
    assert project.deploy().exit is Exit.OK
    assert watched == [], "a mesh without a block has nothing that a canary could spare"
    project.commit("ok", "a second build")

    planned = a_plan(project)
    others = [
        a_plan(project, choice=choice)
        for choice in (Choice(only=("v2",)), Choice(canary=0), Choice(canary=2, bake_s=7))
    ]
    done, back = project.deploy(), project.rollback()

    assert (first.order.canary, first.choice.canary) == (0, 0)
    assert (planned.order.canary, planned.choice.bake_s) == (1, 600)
    assert "        then 600 s of watching, the canary's bake" in planned.to_lines()
    assert " + 600 s of watching = 6" in "\n".join(planned.to_lines())
    assert planned.floor.ms > 600_000
    assert json.loads(planned.to_bytes())["choice"]["canary"] == 1
    assert [(each.choice.canary, each.floor.bake_s) for each in others] == [(0, 0), (0, 0), (2, 7)]
    assert (done.exit, back.exit) == (Exit.OK, Exit.OK), done.error + back.error
    assert watched == [(1, 600)]


@pytest.mark.nightly
@pytest.mark.parametrize(("arrived", "watches"), [(1, [1]), (2, [])])
def test_another_machine_watches_the_canary_of_the_inventory(
    a_project: Build, monkeypatch: pytest.MonkeyPatch, arrived: int, watches: list[int]
) -> None:
    """It cannot know how far the watch came: whoever has arrived alone is watched anew."""
    project = a_project()
    project.deploy()
    project.commit("ok", "a second build")
    killed(project, "gate-passed", arrived)
    forget_everything(project)
    declare(project, canary=1, bake_s=600)
    watched: list[int] = []

    def watching(_mesh: Any, names: Any, **_more: float) -> dict[str, str]:
        watched.append(len(names))
        return {}

    monkeypatch.setattr(rolling, "bake", watching)

    done = resumed(project)

    assert done.exit is Exit.OK, done.error
    assert watched == watches


def test_a_watch_of_no_canary_is_refused(a_project: Build) -> None:
    """It would look like care and be none; where the inventory has a canary it is its time."""
    project = a_project()
    with pytest.raises(UsageError, match="how long a canary is watched, and there is none"):
        a_plan(project, choice=Choice(bake_s=60))
    declare(project, canary=1)

    a_plan(project, choice=Choice(bake_s=60))


def test_a_canary_that_fails_while_it_is_watched_takes_nobody_along(a_project: Build) -> None:
    """Its gate passed, then its state differs: the others never change, and it goes back."""
    project = a_project()
    project.deploy()
    good = project.git("rev-parse", "HEAD")
    project.commit("root")

    failed = project.deploy(choice=Choice(canary=1, bake_s=1))

    assert failed.exit is Exit.ROLLED_BACK
    assert "state roots differ" in failed.error
    switched = [each["nodes"] for each in project.records if each.get("place") == "wave 2/4"]
    assert switched == []
    assert set(project.running().values()) == {good}


def test_check_27_three_validators_are_told_of_the_stop(a_project: Build) -> None:
    """Without a fault to spare a deploy is refused; allowed, it says what was expected and was."""
    project = a_project(names=("v1", "v2", "v3"))
    project.deploy()
    project.commit("ok", "a second build")

    with pytest.raises(AitbcError, match="3 validators bear no fault; 4 bear one") as refused:
        project.deploy()
    planned = a_plan(project, choice=Choice(allow_stall=True))
    done = project.deploy(choice=Choice(allow_stall=True))

    assert refused.value.exit_status is Exit.REFUSED
    assert "--allow-stall" in refused.value.hint
    text = "\n".join(planned.to_lines())
    assert "3*2 = 6 <= 2*3 = 6: no blocks meanwhile" in text
    assert "no blocks for" in text
    assert done.exit is Exit.OK, done.error
    assert done.facts["expected_stall_ms"] == planned.floor.stall_ms > 100
    gap = f"measured {done.facts['longest_gap_ms'] / 1000:.1f} s"
    assert gap in next(line for line in done.lines if "stall" in line)


def test_check_19_a_missing_variable_stops_a_plan_before_any_host(
    a_project: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A template that asks for what nobody gives ends the run with 78; no host was asked."""
    project = a_project()
    render = configuring.render
    monkeypatch.setattr(render.paths, "templates", lambda: broken_templates(project.root))
    monkeypatch.setattr("aitbc_toolkit.remote.Hosts.step", None)

    for verb in (a_plan, lambda known: known.deploy()):
        with pytest.raises(ConfigError, match=r"node\.toml\.j2, line 1: 'nobody_gives_this'"):
            verb(project)

    assert not project.host_file("opt").exists()


def test_a_trust_file_that_nobody_can_read_stops_a_plan_too(
    a_project: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan promises nothing that its deploy would refuse; no host was asked."""
    project = a_project()
    (project.root / "inventories/dev/trust.toml").write_text("dev_mode = \n")
    monkeypatch.setattr("aitbc_toolkit.remote.Hosts.step", None)

    for verb in (a_plan, lambda known: known.deploy()):
        with pytest.raises(ConfigError, match=r"trust\.toml is not TOML"):
            verb(project)


def broken_templates(folder: Path) -> Path:
    """Write templates of which one asks for an unknown variable."""
    made = folder / "templates"
    made.mkdir(exist_ok=True)
    (made / "node.toml.j2").write_text("{{ nobody_gives_this }}\n")
    return made
