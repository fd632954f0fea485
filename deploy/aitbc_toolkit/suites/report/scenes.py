"""What happened in each scenario of a run? Its heights, load and faults, on a clock of its own.

Pure. The clock begins with the scenario; in the simulator it is the virtual one, where the rows
tell it. Do not draw here: `drawing`.
"""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from aitbc_toolkit.suites.report.recorded import Event, Fault, Height, Interval, Load, Run

_BEGIN, _BITTEN, _END = "fault.begin", "fault.bitten", "fault.end"


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Be the time of one fault; what is None was not told.

    Units: seconds since the scenario began.
    """

    label: str
    fault: str
    targets: tuple[str, ...]
    lease_s: float | None
    begin: float
    bitten: float | None
    end: float | None
    evidence: object = None


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """Be what one node said of its height: pairs of a moment and a height, in order."""

    node: str
    points: tuple[tuple[float, int], ...]


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one scenario; `length` is None where its end was not told."""

    name: str
    virtual: bool
    length: float
    is_ended: bool
    lanes: tuple[Lane, ...] = ()
    windows: tuple[Window, ...] = ()
    load: tuple[tuple[float, Load], ...] = ()
    intervals: tuple[Interval, ...] = ()
    """Of a load run; their moments are of this scene's clock."""
    events: tuple[tuple[float, Event], ...] = ()


def scenes(run: Run) -> list[Scene]:
    """Part a run into its scenarios, in the order in which they were played."""
    found = []
    faults = _faults_by_scenario(run)
    for name, events, is_ended in _acts(run.events):
        first, last = events[0].at, events[-1].at
        # An act that was cut off lasts as long as anything was heard.
        until = last if is_ended else float("inf")
        # Scenarios that several workers played at a time tell whose each row is.
        its = {"", name}
        heights = [h for h in run.heights if first <= h.at <= until and h.scenario in its]
        load = [row for row in run.load if first <= row.at <= until and row.scenario in its]
        scene = _scene(name, events, heights, load, faults.get(name, []), is_ended=is_ended)
        found.append(_with_intervals(scene, run.intervals, first, until))
    if not run.events and (run.heights or run.load):
        found.append(_scene("", [], run.heights, run.load, [], is_ended=False))
    return found


def _with_intervals(
    scene: Scene, intervals: Sequence[Interval], first: float, until: float
) -> Scene:
    """Give a scene the latencies of its time; a run on a virtual clock has none."""
    if scene.virtual or not intervals or not scene.load:
        return scene
    zero = scene.load[0][1].at - scene.load[0][0]
    moved = tuple(
        msgspec.structs.replace(each, from_at=each.from_at - zero, until_at=each.until_at - zero)
        for each in intervals
        if first <= each.from_at and each.until_at <= until
    )
    return msgspec.structs.replace(scene, intervals=moved)


def _acts(events: Sequence[Event]) -> Iterator[tuple[str, list[Event], bool]]:
    """Group events from the begin of each scenario to its end; a run of a test has but one."""
    act: list[Event] = []
    name = ""
    for event in events:
        if event.kind == "step" and event.name == "begin" and event.scenario:
            if act:
                yield name, act, False
            name, act = event.scenario, []
        act.append(event)
        if event.kind == "step" and event.name == "end" and event.scenario == name:
            yield name, act, True
            name, act = "", []
    if act:
        yield name, act, False


def _scene(
    name: str,
    events: Sequence[Event],
    heights: Sequence[Height],
    load: Sequence[Load],
    faults: Sequence[Fault],
    *,
    is_ended: bool,
) -> Scene:
    virtual = bool(heights) and all(each.virtual_s is not None for each in heights)
    rows: list[Event | Height | Load] = [*heights]
    if not virtual:
        rows += [*events, *load]
    zero = min((_moment(each, virtual=virtual) for each in rows), default=0.0)
    lanes = _lanes(heights, lambda row: _moment(row, virtual=virtual) - zero)
    timed = tuple(_timed(events, zero, virtual=virtual))
    flow = () if virtual else tuple((each.at - zero, each) for each in load)
    moments = [at for at, _ in (*timed, *flow)]
    moments += [at for lane in lanes for at, _ in lane.points[-1:]]
    return Scene(
        name=name,
        virtual=virtual,
        length=max(moments, default=0.0),
        is_ended=is_ended,
        lanes=lanes,
        windows=_windows(timed, faults),
        load=flow,
        events=timed,
    )


def _moment(row: Event | Height | Load, *, virtual: bool) -> float:
    told = row.virtual_s if virtual and not isinstance(row, Load) else row.at
    return 0.0 if told is None else told


def _timed(events: Sequence[Event], zero: float, *, virtual: bool) -> Iterator[tuple[float, Event]]:
    """Give each event its moment; what has no virtual time came right behind the last one."""
    last = 0.0
    for event in events:
        if not virtual or event.virtual_s is not None:
            last = max(0.0, _moment(event, virtual=virtual) - zero)
        yield last, event


def _lanes(heights: Sequence[Height], clock: Callable[[Height], float]) -> tuple[Lane, ...]:
    told: dict[str, list[tuple[float, int]]] = {}
    for each in heights:
        told.setdefault(each.node, []).append((clock(each), each.height))
    return tuple(
        Lane(node=node, points=tuple(points))
        for node, points in sorted(told.items(), key=lambda pair: _natural(pair[0]))
    )


def _natural(name: str) -> tuple[str, int, str]:
    """Sort v2 before v10."""
    stem = name.rstrip("0123456789")
    digits = name[len(stem) :]
    is_number = digits.isascii() and 0 < len(digits) < 10  # noqa: PLR2004 - more is no number
    return stem, int(digits) if is_number else -1, name


def _windows(events: Sequence[tuple[float, Event]], faults: Sequence[Fault]) -> tuple[Window, ...]:
    """Join what was told of each fault as it began, bit and ended; evidence is in its row."""
    begun = [(at, event) for at, event in events if event.kind == _BEGIN]
    evidence = [each.evidence for each in faults]
    if len(evidence) != len(begun):  # whose it is is not known then
        evidence = [None] * len(begun)
    return tuple(
        Window(
            label=f"F{place + 1}",
            fault=event.fault,
            targets=event.targets,
            lease_s=event.lease_s,
            begin=at,
            bitten=_next(events, _BITTEN, event, after=at),
            end=_next(events, _END, event, after=at),
            evidence=evidence[place],
        )
        for place, (at, event) in enumerate(begun)
    )


def _next(
    events: Sequence[tuple[float, Event]], kind: str, fault: Event, *, after: float
) -> float | None:
    return next(
        (at for at, event in events if event.kind == kind and event.id == fault.id and at >= after),
        None,
    )


def _faults_by_scenario(run: Run) -> dict[str, list[Fault]]:
    found: dict[str, list[Fault]] = {}
    for each in run.judged.faults if run.judged else ():
        found.setdefault(each.scenario, []).append(each)
    return found
