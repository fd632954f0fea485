"""The page of a run: verdict first, nothing made up, nothing executed, nothing fetched."""

import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import forged_run
import pytest

from aitbc_toolkit import paths
from aitbc_toolkit.suites.report import drawing, page, reading, writing
from aitbc_toolkit.suites.report.room import BYTES_MAX, Room
from aitbc_toolkit.suites.verdicts import Verdict

EVIL = "<img src=x onerror=alert(1)>"


class Seen(HTMLParser):
    """Read a page as a browser without scripts does."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.by_id: dict[str, list[str]] = {}
        self._open: list[str] = []
        self._hidden = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        self._hidden += tag in {"script", "style"}
        if testid := given.get("data-testid"):
            self._open = [testid]

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in {"script", "style"}

    def handle_data(self, data: str) -> None:
        if not self._hidden and data.strip():
            self.text.append(data)
            for each in self._open:
                self.by_id.setdefault(each, []).append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    def within(self, testid: str) -> str:
        return " ".join(" ".join(self.by_id.get(testid, [])).split())


def made(folder: Path) -> str:
    """Make the page of a folder, and read it."""
    return writing.make(folder).read_text(encoding="utf-8")


def attributes(seen: Seen) -> Sequence[tuple[str, str, str]]:
    """List every attribute as (tag, name, value)."""
    return [(tag, name, value or "") for tag, given in seen.tags for name, value in given.items()]


def test_the_verdict_comes_first_in_words_and_with_a_sign(tmp_path: Path) -> None:
    """Before any table stand the word, the sentence and the line that repeats it."""
    text = made(forged_run.a_folder(tmp_path))

    seen = Seen(text)
    assert seen.within("verdict") == "\N{CHECK MARK} PASS"
    assert seen.within("sentence").startswith("all well. 1 of 1 scenario passed.")
    assert seen.within("repro").startswith("./aitbc test partition -e lab --seed 7")
    assert text.index('data-testid="verdict"') < text.index('data-testid="repro"')
    assert text.index('data-testid="repro"') < text.index("<table")


@pytest.mark.parametrize("verdict", [each for each in Verdict if each is not Verdict.PASS])
def test_no_other_end_looks_like_a_pass(tmp_path: Path, verdict: Verdict) -> None:
    """Every verdict has its word; only PASS has the sign and the colour of what is well."""
    name = "partition/minority"
    parts = [{"name": name, "verdict": verdict, "line": "something", "took_s": 1.0}]
    text = made(forged_run.a_folder(tmp_path, verdict=verdict, scenarios=parts))

    seen = Seen(text)
    (header,) = (given for tag, given in seen.tags if tag == "header")
    assert seen.within("verdict").endswith(f" {verdict}")
    assert "\N{CHECK MARK}" not in seen.within("verdict") + seen.within("scenario")
    assert header["class"] in {"bad", "warn", "unknown"}
    assert seen.within("sentence").startswith(f"{name}: something. 0 of 1 scenario passed.")


@pytest.mark.parametrize("verdict", [None, "GREAT", "pass", "[]", "{"])
def test_an_unknown_verdict_is_shown_as_unknown(tmp_path: Path, verdict: str | None) -> None:
    """A run that was killed, one of a later version and a damaged one have proved nothing."""
    folder = forged_run.a_folder(tmp_path)
    if verdict is None:
        (folder / "verdict.json").unlink()
    elif verdict in {"[]", "{"}:
        (folder / "verdict.json").write_text(verdict)
    else:
        (folder / "verdict.json").write_text(json.dumps(forged_run.a_verdict(verdict=verdict)))

    seen = Seen(made(folder))

    assert seen.within("verdict").startswith("? ")
    assert "nothing was proved" in seen.words.lower()
    assert ("verdict.json cannot be read" in seen.words) == (verdict in {"[]", "{"})


def test_an_empty_run_makes_a_page(tmp_path: Path) -> None:
    """It says of everything that nothing was recorded, and shows no chart."""
    seen = Seen(made(tmp_path))

    assert seen.within("verdict") == "? UNKNOWN"
    for told in ("No check was recorded", "No scenario was recorded", "No event was recorded"):
        assert told in seen.words
    assert not [tag for tag, _ in seen.tags if tag == "figure"]


def test_a_lane_rises_with_the_heights_of_its_node(tmp_path: Path) -> None:
    """One lane a node, all to one measure; who stands still is a line without a step."""
    rows = [*forged_run.heights(("v2", "v10"), seconds=2)]
    rows += [{"at": forged_run.BEGAN + 15, "node": "v2", "height": 120, "round": 0}]
    folder = forged_run.a_folder(tmp_path)
    forged_run.write(folder, "heights.jsonl", rows)

    text = made(folder)

    lanes = re.findall(r'class="line" d="([^"]*)"', text)
    silent = re.findall(r'class="silent" d="([^"]*)"', text)
    # 30 s are 700 columns from the 110th on; 20 blocks are 30 of height.
    assert lanes == ["M110 74H133V72H460V44H460", "M110 112H133V110H133"]
    assert silent == ["M460 44H810", "M133 110H810"]
    assert text.index(">v2<") < text.index(">v10<")
    assert ">101 (+1, 19 behind)<" in text


def test_a_fault_is_shaded_on_all_lanes_and_hatched_on_those_that_it_hits(tmp_path: Path) -> None:
    """From its begin to its end, with a line where it was proved to bite."""
    text = made(forged_run.a_folder(tmp_path))

    band = re.search(r'class="band" x="(\d+)" y="44" width="(\d+)" height="(\d+)"', text)
    assert band
    assert band.groups() == ("157", "466", str(4 * 38))
    assert re.findall(r'class="hit" x="(\d+)" y="(\d+)" width="(\d+)"', text) == [
        ("157", str(44 + 3 * 38), "466")
    ]
    assert 'class="proof" d="M180 44' in text
    assert "<title>F1 net.cut on v4</title>" in text


def test_what_was_not_measured_is_a_gap(tmp_path: Path) -> None:
    """The third second has no latency: the line ends before it and begins anew behind it."""
    text = made(forged_run.a_folder(tmp_path))

    (p95,) = re.findall(r'class="curve curve-1" d="(M110 [^"]*)"', text)[:1]
    assert p95.count("M") == 2
    assert "L157 " in p95
    assert "M203 " in p95
    assert "180 " not in p95


def test_faults_say_what_showed_them(tmp_path: Path) -> None:
    """Bitten, ended and evidence, in words; one that nothing showed is told so in capitals."""
    folder = forged_run.a_folder(tmp_path, faults=[forged_run.a_fault(evidence=None)])
    told = [row for row in forged_run.events() if row["kind"] not in {"fault.bitten", "fault.end"}]

    whole = Seen(made(forged_run.a_folder(tmp_path / "whole"))).within("faults")
    forged_run.write(folder, "events.jsonl", told)
    bare = Seen(made(folder)).within("faults")

    assert "proved after 1.0 s over after 20.0 s" in whole
    assert '{"lab4": {"packets": 25}}' in whole
    assert "NOT PROVED END NOT RECORDED none recorded" in bare


def test_what_a_fault_left_is_told_whatever_the_verdict(tmp_path: Path) -> None:
    """It stands above the tables, also beside a verdict that is worse."""
    left = [{"scenario": "partition/minority", "left": "table inet lab_chaos on lab4"}]

    seen = Seen(made(forged_run.a_folder(tmp_path, verdict="SAFETY", residues=left)))

    assert "left of a fault: table inet lab_chaos on lab4 (partition/minority)" in seen.words


def test_a_missed_figure_stands_first_with_both_numbers(tmp_path: Path) -> None:
    """Measured and allowed; the figures of several cases stand beside each other as bars."""
    cases = [
        forged_run.a_figure("t_block", 1.4, scenario="partition/quorum-loss[5s]"),
        forged_run.a_figure("t_block", 9.4, scenario="partition/quorum-loss[30s]", met=False),
    ]
    text = made(forged_run.a_folder(tmp_path, objectives=cases))

    table = Seen(text).within("objectives")
    assert table.index("missed t_block partition/quorum-loss[30s] 9.4 at most 10s") < table.index(
        "met t_block partition/quorum-loss[5s] 1.4 at most 10s"
    )
    assert "t_block of partition/quorum-loss" in text
    bars = r'rect class="(met|missed)" x="0" y="1" width="(\d+)"'
    assert re.findall(bars, text) == [("met", "89"), ("missed", "600")]


def test_the_circumstances_are_told(tmp_path: Path) -> None:
    """Commit, machine and seed; what is not known is called so."""
    told = Seen(made(forged_run.a_folder(tmp_path, dirty=True))).within("circumstances")
    bare = Seen(made(forged_run.a_folder(tmp_path, commit="", seed=None))).within("circumstances")

    assert "commit 704a17340bc0a3cbcd6c37a791a429d06f43c25e, edited seed 7" in told
    assert "machine: cores 2" in told
    assert "commit not known seed not known" in bare


def test_virtual_time_is_the_clock_of_a_simulated_scenario(tmp_path: Path) -> None:
    """A simulated minute takes a second of ours; the page tells the minute."""
    folder = forged_run.a_folder(tmp_path)
    heights = [
        {**row, "at": forged_run.BEGAN, "virtual_s": 2.0 * place}
        for place, row in enumerate(forged_run.heights(("v1",), seconds=30))
    ]
    forged_run.write(folder, "heights.jsonl", heights)

    seen = Seen(made(folder))

    assert "58.0 s of virtual time" in seen.words


def evil_folder(folder: Path) -> Path:
    """Write a run in which every text is one that a page must not obey."""
    forged_run.a_folder(folder)
    for name in ("events.jsonl", "heights.jsonl"):
        rows = [json.loads(line) for line in (folder / name).read_text().splitlines()]
        rows = [{**row, **{key: EVIL for key in ("node", "id") if key in row}} for row in rows]
        forged_run.write(folder, name, rows)
    forged_run.write(folder, "events.jsonl", forged_run.events(EVIL, node=EVIL))
    verdict = dict.fromkeys(
        ("suite", "environment", "repro", "started", "ended", "commit", "verdict"), EVIL
    )
    tables = {
        "scenarios": [{"name": EVIL, "verdict": EVIL, "line": EVIL}],
        "checks": [{"scenario": EVIL, "name": EVIL, "outcome": EVIL, "detail": EVIL}],
        "objectives": [forged_run.a_figure(EVIL, 1.0, scenario=f"{EVIL}[1]", allowed=EVIL)] * 2,
        "faults": [forged_run.a_fault(scenario=EVIL, targets=[EVIL], evidence={EVIL: '"><b>'})],
        "residues": [{"scenario": EVIL, "left": EVIL}],
        "left_out": [{"name": EVIL, "why": '" onload="alert(1)'}],
        "machine": {EVIL: "\x1b[2J\u202egnp"},
        "versions": {"'": "</script><script>alert(1)</script>"},
    }
    (folder / "verdict.json").write_text(json.dumps(forged_run.a_verdict(**verdict, **tables)))
    (folder / "a&'b.json").write_text("{}")
    return folder


def test_foreign_text_is_shown_and_never_obeyed(tmp_path: Path) -> None:
    """A node named like a tag is text; the page has the tags of a harmless run and no others."""
    harmless = Seen(made(forged_run.a_folder(tmp_path / "harmless")))
    text = made(evil_folder(tmp_path / "evil"))

    seen = Seen(text)
    assert {tag for tag, _ in seen.tags} <= {tag for tag, _ in harmless.tags}
    assert "img" not in {tag for tag, _ in seen.tags}
    assert not [name for _, name, _ in attributes(seen) if name.startswith("on")]
    assert EVIL in seen.words
    assert "&lt;img src" in text
    assert not [char for char in text if not char.isprintable() and char != "\n"]


def test_the_page_asks_for_nothing_from_anywhere(tmp_path: Path) -> None:
    """No address but its own; and its policy would refuse one, and every script but its own."""
    text = made(evil_folder(tmp_path))

    seen = Seen(text)
    found = attributes(seen)
    links = [(tag, value) for tag, name, value in found if name in {"src", "href", "xlink:href"}]
    own = [("a", f"./{quote(each.name)}") for each in reading.read(tmp_path).files]
    assert links == [("link", "data:,"), *own]
    assert not [value for _, name, value in found if name in {"style", "srcset", "action"}]
    assert "http:" not in text
    assert "https:" not in text
    assert not re.search(r"@import|url\((?!#)", text)
    policy = next(given["content"] for tag, given in seen.tags if "http-equiv" in given) or ""
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (inline,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert f"{tag}-src 'sha256-{page._hash(inline)}'" in policy


def test_the_template_trusts_no_text() -> None:
    """Escaping is the engine's; nothing in the template switches it off."""
    folder = paths.templates() / "report"
    text = (folder / "page.html.j2").read_text()

    assert not re.search(r"\|\s*safe|autoescape|Markup", text)
    assert page._source().autoescape is True


def test_fifty_nodes_for_an_hour_stay_below_two_megabytes(tmp_path: Path) -> None:
    """The page has as many points as columns, not as many as blocks; the last height is told."""
    names = [f"n{place}" for place in range(50)]
    bad = {"scenario": "soak", "name": "agreement", "outcome": "broken", "detail": "x" * 5_000}
    folder = forged_run.a_folder(tmp_path, checks=[bad] * 5_000)
    told = forged_run.events()
    told[-1]["at"] = forged_run.BEGAN + 3_600
    forged_run.write(folder, "events.jsonl", told)
    forged_run.write(folder, "heights.jsonl", forged_run.heights(names, seconds=3_600))
    forged_run.write(folder, "load.jsonl", forged_run.load(3_600))

    text = made(folder)

    assert len(text.encode()) < BYTES_MAX
    assert text.count('class="line"') == 50
    assert text.count(">3699 (+3599)<") == 50
    assert text.count("broken</span>") == Room().bad
    assert "4980 more did not hold" in text


def test_many_long_scenarios_stay_below_two_megabytes(tmp_path: Path) -> None:
    """Forty scenarios of fifty nodes: what is not drawn is named."""
    names = [f"n{place}" for place in range(50)]
    told: list[dict[str, Any]] = []
    heights: list[dict[str, Any]] = []
    for act in range(40):
        told += [{**row, "at": row["at"] + 40 * act} for row in forged_run.events(f"soak/{act}")]
        heights += [{**row, "at": row["at"] + 40 * act} for row in forged_run.heights(names)]
    parts = [{"name": f"soak/{act}", "verdict": "PASS", "line": "y" * 9_000} for act in range(40)]
    folder = forged_run.a_folder(tmp_path, scenarios=parts)
    forged_run.write(folder, "events.jsonl", told)
    forged_run.write(folder, "heights.jsonl", heights)

    text = made(folder)

    assert len(text.encode()) < BYTES_MAX
    assert text.count('class="line"') == Room().lanes
    assert "50 more lanes are in heights.jsonl" in text


def test_a_node_that_flaps_has_no_more_points_than_the_page_has_columns(tmp_path: Path) -> None:
    """Heights that fall and rise with every row cannot blow up a lane."""
    folder = forged_run.a_folder(tmp_path)
    rows = [
        {"at": forged_run.BEGAN + place / 1_000, "node": "v1", "height": 100 + place % 2 * 50}
        for place in range(30_000)
    ]
    forged_run.write(folder, "heights.jsonl", rows)

    (line,) = re.findall(r'class="line" d="([^"]*)"', made(folder))

    assert line.count("V") <= drawing.COLUMNS + 1


def test_the_worst_record_of_all_still_makes_a_small_page(tmp_path: Path) -> None:
    """Everything at its bound, and every letter one that is escaped: there is less of it then."""
    told, load, parts, faults = [], [], [], []
    evil = "<&'>\"" * 100
    for act in range(60):
        name, later = f"{act}{evil}", 800 * act
        cuts = [{"id": f"{each}", "fault": evil, "targets": ["v4", evil]} for each in range(20)]
        begin, *_, end = forged_run.events(name)
        first = begin["at"] + later
        told.append({**begin, "at": first})
        told += [
            {"at": first + place, "kind": "fault.begin", **cut} for place, cut in enumerate(cuts)
        ]
        told.append({**end, "at": first + 700, "line": evil})
        load += [{**row, "at": row["at"] + later} for row in forged_run.load(700)]
        parts.append({"name": name, "verdict": evil, "line": evil})
        faults += [forged_run.a_fault(scenario=name, evidence=evil) for _ in cuts]
    checks = [
        {"scenario": evil, "name": f"{place}{evil}", "outcome": evil, "detail": evil}
        for place in range(500)
    ]
    folder = forged_run.a_folder(tmp_path, scenarios=parts, faults=faults, checks=checks)
    heights = [
        {**row, "at": row["at"] + 800 * act}
        for act in range(60)
        for row in forged_run.heights(("v1", "v2", "v3", "v4"), seconds=30)
    ]
    for name, rows in (("events", told), ("load", load), ("heights", heights)):
        forged_run.write(folder, f"{name}.jsonl", rows)

    text = made(folder)

    assert len(text.encode()) < BYTES_MAX
    assert "more scenarios: verdict.json" in text
    assert "more faults: verdict.json" in text


def test_damaged_rows_are_told(tmp_path: Path) -> None:
    """A line that was cut off by a kill costs itself; the page says that one is missing."""
    folder = forged_run.a_folder(tmp_path)
    with (folder / "heights.jsonl").open("a") as file:
        file.write('{"at": 17000000')

    seen = Seen(made(folder))

    assert "heights.jsonl: 1 rows cannot be read" in seen.words
    assert "\N{CHECK MARK} PASS" in seen.words


def test_a_page_that_cannot_be_made_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told on one line; the record is as it was, and no half of a page is left."""
    folder = forged_run.a_folder(tmp_path)
    before = sorted(path.name for path in folder.iterdir())
    monkeypatch.setattr(page, "render", lambda _run: 1 / 0)
    said: list[str] = []

    assert writing.attempt(folder, said.append) is None

    assert said == ["warning: no report of this run: division by zero"]
    assert sorted(path.name for path in folder.iterdir()) == before


def test_the_files_of_a_run_are_named_with_their_hashes(tmp_path: Path) -> None:
    """Everything beside the page, whose own hash cannot stand in it."""
    folder = forged_run.a_folder(tmp_path)
    writing.make(folder)

    names = [each.name for each in reading.read(folder).files]

    assert names == ["events.jsonl", "heights.jsonl", "junit.xml", "load.jsonl", "verdict.json"]
    assert "e3b0c442" not in made(folder)  # of an empty file


def test_what_was_collected_of_nodes_is_linked(tmp_path: Path) -> None:
    """A click opens the journal that lies in a folder beside the page; its name is no markup."""
    folder = forged_run.a_folder(tmp_path)
    journal = folder / "collected" / "partition-minority" / "v1 #1.journal"
    journal.parent.mkdir(parents=True)
    journal.write_text("it said this last")

    seen = Seen(made(folder))

    found = [given["href"] for tag, given in seen.tags if tag == "a"]
    assert found[-1] == "./collected/partition-minority/v1%20%231.journal"


def luminance(colour: str) -> float:
    """Compute how bright a colour is, as the accessibility guidelines do."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_can_be_read_in_both_schemes() -> None:
    """Every colour of text has a contrast of 4.5 against both backgrounds."""
    style = (paths.templates() / "report" / "style.css").read_text()
    schemes = [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    ]

    assert len(schemes) == 2
    for scheme in schemes:
        for ground in ("paper", "shade"):
            for ink in ("ink", "quiet", "good", "bad", "warn", "unknown"):
                bright, dark = sorted(
                    (luminance(scheme[ink]), luminance(scheme[ground])), reverse=True
                )
                assert (bright + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)
