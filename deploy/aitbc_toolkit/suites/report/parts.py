"""What does the page say of each scenario? Its end, its drawings, its faults and its load.

Pure. Do not decide here how a run is judged, nor where a line is drawn: `words`, `drawing`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from aitbc_toolkit.suites.report import drawing, words
from aitbc_toolkit.suites.report.periods import Periods, periods
from aitbc_toolkit.suites.report.recorded import UNKNOWN, Judged
from aitbc_toolkit.suites.report.room import Room
from aitbc_toolkit.suites.report.scenes import Scene, Window

_COLUMNS_MIN = 20


class Part(NamedTuple):
    """Be a scenario with its drawings."""

    name: str
    look: words.Look
    verdict: str
    line: str
    note: str
    charts: Iterable[drawing.Chart]
    windows: Sequence[Mapping[str, str]]
    more_windows: int
    periods: Periods


def parts(judged: Judged, found: Sequence[Scene], room: Room) -> list[Part]:
    """Draw the scenarios in order while there is room; those behind are told without drawings."""
    ended = {each.name: each for each in judged.scenarios}
    shown = found[: room.rows]
    lanes = min(room.lanes, sum(len(each.lanes) for each in shown))
    told_parts, left = [], room
    for scene in shown:
        told = ended.get(scene.name)
        windows = scene.windows[: left.windows]
        told_parts.append(
            Part(
                name=words.clean(scene.name) or "the run",
                look=words.look(told.verdict if told else ""),
                verdict=words.clean(told.verdict) if told else UNKNOWN,
                line=words.clean(told.line) if told else "",
                note=_note(scene, left.lanes),
                charts=_charts(scene, left, lanes=lanes, scenes_count=len(shown)),
                windows=[_window(each) for each in windows],
                more_windows=len(scene.windows) - len(windows),
                periods=periods(scene),
            )
        )
        left = left._replace(
            lanes=max(0, left.lanes - len(scene.lanes)), windows=left.windows - len(windows)
        )
    played = {each.name for each in found}
    for told in [each for each in judged.scenarios if each.name not in played][: room.rows]:
        name, verdict, line = (words.clean(each) for each in (told.name, told.verdict, told.line))
        told_parts.append(
            Part(name, words.look(told.verdict), verdict, line, "", (), (), 0, Periods())
        )
    return told_parts


def _charts(scene: Scene, room: Room, *, lanes: int, scenes_count: int) -> Iterator[drawing.Chart]:
    """Draw what was recorded; all lanes of the page share the points, and so do all plots."""
    if not room.lanes:
        return
    drawn = (
        drawing.lanes(scene, columns=_columns(room, lanes), most=room.lanes, bands=room.windows),
        drawing.latency(scene, columns=_columns(room, 6 * scenes_count), bands=room.windows),
        drawing.throughput(scene, columns=_columns(room, 6 * scenes_count), bands=room.windows),
    )
    yield from (each for each in drawn if each is not None)


def _columns(room: Room, lines: int) -> int:
    return max(_COLUMNS_MIN, min(drawing.COLUMNS, room.points // max(1, lines)))


def _note(scene: Scene, lanes: int) -> str:
    notes = []
    if not scene.lanes:
        notes.append("no heights were recorded")
    elif len(scene.lanes) > lanes:
        notes.append(f"{len(scene.lanes) - lanes} more lanes are in heights.jsonl")
    if not scene.is_ended:
        notes.append("its end was not recorded")
    notes.append(f"{words.span(scene.length)} of {'virtual' if scene.virtual else 'real'} time")
    return ", ".join(notes)


def _window(window: Window) -> dict[str, str]:
    bitten = None if window.bitten is None else window.bitten - window.begin
    lasted = None if window.end is None else window.end - window.begin
    return {
        "label": window.label,
        "fault": words.clean(window.fault),
        "targets": words.clean(" ".join(window.targets)) or "-",
        "began": f"+{words.span(window.begin)}",
        "lease": words.span(window.lease_s),
        "bitten": "NOT PROVED" if bitten is None else f"proved after {words.span(bitten)}",
        "ended": "END NOT RECORDED" if lasted is None else f"over after {words.span(lasted)}",
        "evidence": _evidence(window.evidence),
    }


def _evidence(evidence: object) -> str:
    if evidence is None:
        return "none recorded"
    return words.clean(json.dumps(evidence, ensure_ascii=False, default=str)[: 8 * words.TEXT_MAX])
