"""What a load run looks like while it works: the figures of the second, and why it would not do."""

from collections.abc import Mapping
from typing import Any

import pytest

from aitbc_toolkit.cli import swarm_view
from aitbc_toolkit.cli.swarm_frame import Frame

pytestmark = pytest.mark.unit


def a_second(at_s: float = 1.0, **changed: Any) -> Mapping[str, Any]:
    """Make what a swarm says each second."""
    return {
        "type": "second",
        "at_s": at_s,
        "offered": 50,
        "accepted": 49,
        "final": 48,
        "refused": 1,
        "pending": 61,
        "height": 204,
        "p50_ms": 812.4,
        "p95_ms": 1_700.0,
        "p99_ms": 1_900.0,
        "lag_p99_ms": 1.8,
        "verdict": "PASS",
        "heights": {"v1": 18_204, "v2": 18_203, "v3": None},
        **changed,
    }


def drawn(*records: Mapping[str, Any], width: int = 80, is_ended: bool = False) -> str:
    """Draw what was said."""
    frame = Frame("load/steady on dev: 50 a second for 30 s, seed 7", 30.0)
    for record in records:
        frame.take(record, now_s=0.0)
    return "\n".join(
        line.plain for line in frame.lines(width, now_s=0.0, rows=24, is_ended=is_ended)
    )


def test_a_second_is_drawn_with_its_means() -> None:
    """Offered, accepted, final and refused now and on average; latencies; heights; lag; verdict."""
    text = drawn(a_second(1.0), a_second(2.0, final=0, offered=52))

    assert "offered        52/s     51.0/s" in text
    assert "final           0/s     24.0/s   \N{FULL BLOCK} " in text
    assert "p50 812.4 ms  p95 1.70 s  p99 1.90 s" in text
    assert "v1 18,204  v2 18,203  v3 -" in text
    assert "pending    61   send lag p99 1.8 ms" in text
    assert "so far     PASS" in text
    assert "0:02 of 0:30" in text


def test_what_goes_on_is_named_at_every_moment() -> None:
    """Money and signatures before, the schedule, the rest behind it, and the blocks at the end."""
    assert "accounts and their money are made" in drawn()
    assert "1,500 transfers are signed" in drawn({"type": "signed", "count": 1_500, "took_s": 1.0})
    assert "waiting for the rest to become final" in drawn(a_second(31.0))
    assert "blocks are read" in drawn(a_second(31.0), {"type": "drained", "final": 1})
    assert "Ctrl-C" not in drawn(a_second(31.0), is_ended=True)


def test_a_reason_stands_in_the_place_of_the_verdict() -> None:
    """As soon as the run would say nothing, it says why."""
    reason = "send lag p99 was 30.0 ms, at most 10 are good"

    assert f"so far     {reason}" in drawn(a_second(verdict=reason))
    assert swarm_view.second(a_second(verdict=reason)).endswith(reason)


@pytest.mark.parametrize("width", [40, 60, 80])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Of fifty nodes the lowest and the highest are told, and how many are silent."""
    many = {f"v{number}": 100 + number for number in range(49)} | {"v49": None}
    text = drawn(a_second(heights=many, verdict="x" * 200), width=width)

    assert max(map(len, text.split("\n"))) <= width
    assert "50 nodes at 100 to 148, 1" in text


def test_a_plain_line_says_the_same() -> None:
    """Where nothing can be redrawn, every second is one line; equal heights are one."""
    line = swarm_view.second(a_second())
    same = swarm_view.second(a_second(heights={"v1": 204, "v2": 204}))
    alone = swarm_view.second(a_second(heights={}))

    for part in ("offered    50", "accepted    49", "final    48", "p95   1.70 s", "lag 1.8 ms"):
        assert part in line
    assert line.endswith("heights 18,203-18,204, 1 silent")
    assert same.endswith("height 204")
    assert alone.endswith("height 204")
