"""What does the page of a run say? A run goes in, one HTML document comes out.

Pure but for the template, which is read once. The verdict comes first; every table and drawing has
a bound, and what is left out is counted, so the page stays below 2 MB however long the run was.
Text of others is escaped by the template engine, and the page's own policy forbids it any request.
"""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import jinja2

from aitbc_toolkit import paths
from aitbc_toolkit.suites.report import drawing, growing, words
from aitbc_toolkit.suites.report.parts import parts
from aitbc_toolkit.suites.report.recorded import Check, Judged, Objective, Run
from aitbc_toolkit.suites.report.room import BYTES_MAX, Room
from aitbc_toolkit.suites.report.scenes import Scene, scenes
from aitbc_toolkit.suites.report.tallies import tallies

FACTS_MAX = 40
"""How many facts about the machine are told."""
_FIGURE = {True: ("held", "met"), False: ("broken", "missed"), None: ("unknown", "unknown")}
_POLICY = (
    "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
    "img-src data:; base-uri 'none'; form-action 'none'"
)


class Tile(NamedTuple):
    """Be a number, what it counts, and what stands under it."""

    name: str
    value: str
    under: str


class Line(NamedTuple):
    """Be a row of the table of checks."""

    look: words.Look
    name: str
    where: str
    detail: str


def render(run: Run) -> str:
    """Write the whole page, with half as much on it as long as it is too long."""
    room, found = Room(), scenes(run)
    while len((text := _written(run, found, room)).encode(errors="replace")) > BYTES_MAX:
        assert room.lanes > 1, "a page with one row of everything fits"
        room = room.half()
    return text


def _written(run: Run, found: Sequence[Scene], room: Room) -> str:
    source = _source()
    style, script = (_text(source, name) for name in ("style.css", "script.js"))
    policy = _POLICY.format(style=_hash(style), script=_hash(script))
    values = _values(run, found, room)
    return source.get_template("page.html.j2").render(policy=policy, **values)


def _values(run: Run, found: Sequence[Scene], room: Room) -> dict[str, Any]:
    judged = run.judged or Judged(verdict=run.verdict)
    return {
        "title": words.title(run),
        "verdict": words.clean(judged.verdict),
        "look": words.look(judged.verdict),
        "sentence": words.sentence(run),
        "repro": words.clean(judged.repro),
        "tiles": _tiles(judged),
        "checks": list(_checks(judged.checks, room)),
        "more_bad": sum(e.outcome != "held" for e in judged.checks) - room.bad,
        "more_held": _more_held(judged.checks, room),
        "objectives": _objectives(judged.objectives, room),
        "more_objectives": len(judged.objectives) - room.rows,
        "swarm": tallies(run.swarm) if run.swarm else None,
        "groups": growing.groups(judged.objectives),
        "bar_width": growing.BAR_WIDTH,
        "residues": [
            (words.clean(e.scenario), words.clean(e.left)) for e in judged.residues[: room.bad]
        ],
        "more_residues": len(judged.residues) - room.bad,
        "left_out": [
            (words.clean(e.name), words.clean(e.why)) for e in judged.left_out[: room.rows]
        ],
        "more_left_out": len(judged.left_out) - room.rows,
        "parts": parts(judged, found, room),
        "more_parts": max(len(found), len(judged.scenarios)) - room.rows,
        "told": _told(found, room),
        "circumstances": _circumstances(run, judged),
        "files": [(words.clean(e.name), f"{e.size:,}", e.sha256) for e in run.files[: room.files]],
        "more_files": len(run.files) - room.files,
        "problems": [words.clean(each) for each in run.problems],
        "plot": drawing,
    }


def _tiles(judged: Judged) -> list[Tile]:
    held = sum(each.outcome == "held" for each in judged.checks)
    met = sum(each.met is True for each in judged.objectives)
    bitten = sum(each.bitten_at is not None for each in judged.faults)
    ended = sum(each.ended is not None for each in judged.faults)
    passed = sum(each.verdict == "PASS" for each in judged.scenarios)
    return [
        Tile("scenarios passed", _of(passed, len(judged.scenarios)), "each in a row of its own"),
        Tile("checks held", _of(held, len(judged.checks)), "invariants, and what was expected"),
        Tile("figures as wished", _of(met, len(judged.objectives)), "measured against allowed"),
        Tile("faults proved", _of(bitten, len(judged.faults)), f"{ended} ended"),
        Tile("took", words.span(judged.took_s), words.clean(judged.started) or "begin not known"),
        Tile("seed", "not known" if judged.seed is None else str(judged.seed), "repeats chance"),
    ]


def _of(count: int, total: int) -> str:
    return f"{count} of {total}" if total else "none"


def _checks(checks: Sequence[Check], room: Room) -> Iterator[Line]:
    """List what did not hold, then what held with a figure, then the rest by name."""
    bad = [each for each in checks if each.outcome != "held"]
    for each in bad[: room.bad]:
        yield _line(each)
    told = [each for each in checks if each.outcome == "held" and each.detail]
    for each in told[: room.rows]:
        yield _line(each)
    plain: dict[str, list[str]] = {}
    for each in checks:
        if each.outcome == "held" and not each.detail:
            plain.setdefault(each.name, []).append(each.scenario)
    for name, where in list(plain.items())[: room.rows]:
        place = where[0] if len(where) == 1 else f"{len(where)} scenarios"
        yield Line(words.outcome("held"), words.clean(name), words.clean(place), "")


def _more_held(checks: Sequence[Check], room: Room) -> int:
    """Count what held and has no row, neither of its own nor with others of its name."""
    told = sum(each.outcome == "held" and bool(each.detail) for each in checks)
    plain = len({each.name for each in checks if each.outcome == "held" and not each.detail})
    return max(0, told - room.rows) + max(0, plain - room.rows)


def _line(check: Check) -> Line:
    name, where, detail = (words.clean(each) for each in (check.name, check.scenario, check.detail))
    return Line(words.outcome(check.outcome), name, where, detail)


def _objectives(objectives: Sequence[Objective], room: Room) -> list[dict[str, Any]]:
    """List figures, those that were missed first."""
    ordered = sorted(objectives, key=lambda each: each.met is True)
    return [
        {
            "look": words.outcome(_FIGURE[each.met][0]),
            "word": _FIGURE[each.met][1],
            "name": words.clean(each.name),
            "where": words.clean(each.scenario),
            "measured": words.number(each.measured),
            "allowed": words.clean(each.allowed),
        }
        for each in ordered[: room.rows]
    ]


def _told(found: Sequence[Scene], room: Room) -> dict[str, Any]:
    """Pick what happened: what is bad always, checks that held and waits only while there is room.

    Shape: rows {when, where, what}, in order, and how many `more` there were.
    """
    rows = [
        (_weight(event.kind, event.name, event.outcome), at, scene.name, words.event(event))
        for scene in found
        for at, event in scene.events
    ]
    kept = sorted(range(len(rows)), key=lambda place: (rows[place][0], place))[: room.told]
    return {
        "rows": [
            {
                "when": f"+{words.span(rows[p][1])}",
                "where": words.clean(rows[p][2]),
                "what": rows[p][3],
            }
            for p in sorted(kept)
        ],
        "more": len(rows) - len(kept),
    }


def _weight(kind: str, name: str, outcome: str) -> int:
    if kind == "check":
        return 3 if outcome == "held" else 0
    if kind == "step":
        return {"end": 0, "begin": 2}.get(name, 2)
    return 1


def _circumstances(run: Run, judged: Judged) -> list[tuple[str, str]]:
    edited = {True: ", edited", False: "", None: ", edited or not is not known"}[judged.dirty]
    commit = f"{judged.commit}{edited}" if judged.commit else "not known"
    rows: list[tuple[str, object]] = [
        ("run", run.name),
        ("suite", judged.suite),
        ("environment", judged.environment),
        ("commit", commit),
        ("seed", judged.seed),
        ("started", judged.started),
        ("ended", judged.ended),
        *(("machine: " + name, value) for name, value in list(judged.machine.items())[:FACTS_MAX]),
        *(("version: " + name, value) for name, value in list(judged.versions.items())[:FACTS_MAX]),
    ]
    return [
        (
            words.clean(name),
            "not known" if value is None or value == "" else words.clean(str(value)),
        )
        for name, value in rows
    ]


@cache
def _source() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(paths.templates() / "report"),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _text(source: jinja2.Environment, name: str) -> str:
    assert source.loader is not None, "given above"
    return source.loader.get_source(source, name)[0]


def _hash(text: str) -> str:
    """Name an inline block so that the browser runs it, and nothing else."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
