"""Where on the page is each line of a chart? Seconds and heights go in, coordinates come out.

Pure. A chart has no more points than the page has columns, however long the run was. Do not write
markup here: that is the template's business.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from aitbc_toolkit.suites.report.recorded import Load
from aitbc_toolkit.suites.report.scenes import Lane, Scene, Window
from aitbc_toolkit.suites.report.words import clean, span

WIDTH, LEFT, RIGHT = 1000, 110, 190
COLUMNS = WIDTH - LEFT - RIGHT
LANE_HEIGHT, LANE_GAP = 30, 8
HEAD, FOOT = 44, 24
PLOT_HEIGHT = 120
_TICKS = 8
_STEPS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400)
_LABEL_ROWS = 3


class Band(msgspec.Struct, frozen=True):
    """Be a shaded time; `bitten` is where it was proved, None where it was not."""

    label: str
    told: str
    x: int
    width: int
    y: int
    bitten: int | None


class Track(msgspec.Struct, frozen=True):
    """Be the lane of one node: a line as far as it was heard, and where a fault hit it."""

    name: str
    y: int
    line: str
    silent: str
    """The way from the last that was heard to the end."""
    told: str
    hits: tuple[tuple[int, int], ...]


class Curve(msgspec.Struct, frozen=True):
    """Be one line of a plot; it has gaps where nothing was measured."""

    name: str
    line: str
    most: str


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """Hold a drawing; every coordinate is a whole number."""

    title: str
    height: int
    bands: tuple[Band, ...]
    ticks: tuple[tuple[int, str], ...]
    tracks: tuple[Track, ...] = ()
    curves: tuple[Curve, ...] = ()
    top: str = ""
    """What the highest place of a plot stands for."""


def lanes(scene: Scene, *, columns: int, most: int, bands: int) -> Chart | None:
    """Draw the heights of the first nodes, all to the same measure, and the first faults."""
    drawn = scene.lanes[:most]
    points = [height for lane in drawn for _, height in lane.points]
    if not points:
        return None
    low, tip = min(points), max(points)
    tracks = tuple(
        _track(lane, place, scene, measure=(low, tip), columns=columns, bands=bands)
        for place, lane in enumerate(drawn)
    )
    return Chart(
        title=f"Height per node, {low} to {tip}",
        height=HEAD + len(tracks) * (LANE_HEIGHT + LANE_GAP) + FOOT,
        bands=_bands(scene, bands),
        ticks=_ticks(scene),
        tracks=tracks,
    )


def latency(scene: Scene, *, columns: int, bands: int) -> Chart | None:
    """Draw how long transactions took until they were final, second by second."""
    measured: list[tuple[str, Callable[[Load], float | None]]] = [
        ("p50", lambda row: row.p50_ms),
        ("p95", lambda row: row.p95_ms),
        ("p99", lambda row: row.p99_ms),
    ]
    return _plot(
        scene,
        "Time until a transaction is final",
        measured,
        unit="ms",
        columns=columns,
        bands=bands,
    )


def throughput(scene: Scene, *, columns: int, bands: int) -> Chart | None:
    """Draw how many transactions were accepted, final and refused in each second.

    A swarm tells what it offered, too.
    """
    measured: list[tuple[str, Callable[[Load], float | None]]] = [
        ("accepted", lambda row: row.accepted),
        ("final", lambda row: row.final),
        ("refused", lambda row: row.refused),
    ]
    if any(row.offered is not None for _, row in scene.load):
        measured.append(("offered", lambda row: row.offered))
    return _plot(scene, "Transactions a second", measured, unit="", columns=columns, bands=bands)


def _track(
    lane: Lane,
    place: int,
    scene: Scene,
    *,
    measure: tuple[int, int],
    columns: int,
    bands: int,
) -> Track:
    low, tip = measure
    top = HEAD + place * (LANE_HEIGHT + LANE_GAP)
    tall = max(1, tip - low)

    def level(height: int) -> int:
        return top + LANE_HEIGHT - round((height - low) / tall * LANE_HEIGHT)

    places = [(_x(at, scene), level(height)) for at, height in _thinned(lane, scene, columns)]
    line = f"M{places[0][0]} {places[0][1]}"
    before = places[0]
    for x, y in places[1:]:
        if y != before[1]:
            line += f"H{x}V{y}" if x != before[0] else f"V{y}"
            before = (x, y)
    end = _x(scene.length, scene)
    first, last = lane.points[0][1], lane.points[-1][1]
    behind = f", {tip - last} behind" if last < tip else ""
    # What lies between two heights was heard: it stood there. Behind the last one, nobody knows.
    return Track(
        name=clean(lane.node, limit=14),
        y=top,
        line=f"{line}H{places[-1][0]}",
        silent=f"M{places[-1][0]} {before[1]}H{end}" if end > places[-1][0] else "",
        told=f"{last} (+{last - first}{behind})",
        hits=tuple(_hits(lane.node, scene.windows[:bands], scene)),
    )


def _thinned(lane: Lane, scene: Scene, columns: int) -> Iterator[tuple[float, int]]:
    """Keep the last point of each column, and the first of all."""
    yield lane.points[0]
    kept: tuple[float, int] | None = None
    for point in lane.points[1:]:
        if kept and _column(kept[0], scene, columns) != _column(point[0], scene, columns):
            yield kept
        kept = point
    if kept:
        yield kept


def _column(at: float, scene: Scene, columns: int) -> int:
    return int(_part(at, scene) * columns)


def _hits(node: str, windows: Sequence[Window], scene: Scene) -> Iterator[tuple[int, int]]:
    for window in windows:
        if node in window.targets:
            yield _extent(window, scene)


def _plot(
    scene: Scene,
    title: str,
    measured: Sequence[tuple[str, Callable[[Load], float | None]]],
    *,
    unit: str,
    columns: int,
    bands: int,
) -> Chart | None:
    values = [value for _, row in scene.load for _, read in measured if (value := read(row))]
    if not values:
        return None
    top = max(values) or 1.0
    curves = tuple(
        Curve(name, line, f"at most {_most(scene, read)} {unit}".strip())
        for name, read in measured
        if (line := _line(((at, read(row)) for at, row in scene.load), scene, top, columns))
    )
    return Chart(
        title=title,
        height=HEAD + PLOT_HEIGHT + FOOT,
        bands=_bands(scene, bands),
        ticks=_ticks(scene),
        curves=curves,
        top=f"{top:,.0f} {unit}".strip(),
    )


def _line(
    points: Iterable[tuple[float, float | None]], scene: Scene, top: float, columns: int
) -> str:
    """Join what was measured; a column keeps its greatest value, a gap stays one."""
    greatest: dict[int, float | None] = {}
    for at, value in points:
        x = LEFT + round(round(_part(at, scene) * columns) * COLUMNS / columns)
        known = greatest.get(x)
        greatest[x] = value if known is None or (value is not None and value > known) else known
    line, is_open = "", False
    for x, value in sorted(greatest.items()):
        if value is not None:
            y = HEAD + PLOT_HEIGHT - round(value / top * PLOT_HEIGHT)
            line += f"{'L' if is_open else 'M'}{x} {y}"
            # A line of one point is no line: it is drawn one column wide.
            line += "" if is_open else "h1"
        is_open = value is not None
    return line


def _most(scene: Scene, read: Callable[[Load], float | None]) -> str:
    told = [value for _, row in scene.load if (value := read(row)) is not None]
    return f"{max(told):,.0f}" if told else ""


def _bands(scene: Scene, most: int) -> tuple[Band, ...]:
    return tuple(
        Band(
            window.label,
            clean(f"{window.label} {window.fault} on {' '.join(window.targets)}", limit=120),
            *_extent(window, scene),
            12 + 10 * (place % _LABEL_ROWS),
            None if window.bitten is None else _x(window.bitten, scene),
        )
        for place, window in enumerate(scene.windows[:most])
    )


def _extent(window: Window, scene: Scene) -> tuple[int, int]:
    """Tell where a window begins and how wide it is; one without an end reaches to the end."""
    x = _x(window.begin, scene)
    end = scene.length if window.end is None else window.end
    return x, max(2, _x(end, scene) - x)


def _ticks(scene: Scene) -> tuple[tuple[int, str], ...]:
    step = next((each for each in _STEPS_S if scene.length / each <= _TICKS), 0)
    if not step:
        return ((_x(0.0, scene), "0 s"), (_x(scene.length, scene), span(scene.length)))
    count = int(scene.length / step)
    return tuple((_x(place * step, scene), _tick(place * step)) for place in range(count + 1))


def _tick(seconds: int) -> str:
    return f"+{seconds} s" if seconds % 60 else f"+{seconds // 60} min" if seconds else "0 s"


def _x(at: float, scene: Scene) -> int:
    return LEFT + round(_part(at, scene) * COLUMNS)


def _part(at: float, scene: Scene) -> float:
    return min(1.0, max(0.0, at / scene.length)) if scene.length > 0 else 0.0
