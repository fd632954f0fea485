"""How is a load run shown while it works? In place on a terminal, a line a second elsewhere.

What is drawn is decided in `swarm_frame`. Do not add how it ended: `swarm_picture`.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aitbc_toolkit.cli.saying import say
from aitbc_toolkit.cli.swarm_picture import latency
from aitbc_toolkit.suites.loads import Wanted
from aitbc_toolkit.suites.verdicts import Verdict

Tell = Callable[[str, Mapping[str, Any]], None]


@contextmanager
def shown(asked: Wanted, environment: str) -> Iterator[Tell]:
    """Show a run on stderr until the block ends."""
    title = (
        f"{asked.scenario} on {environment}: {asked.rate:g} a second for {asked.for_s:g} s,"
        f" seed {asked.seed}"
    )
    if sys.stderr.isatty():
        from aitbc_toolkit.cli.live import Region  # noqa: PLC0415 - rich costs 0.1 s, logs need none
        from aitbc_toolkit.cli.swarm_frame import Frame  # noqa: PLC0415 - as above

        if Region.is_possible():
            with Region(Frame(title, asked.for_s)) as region:
                yield lambda what, told: region.tell({"type": what, **told})
            return
    narrate(title)
    yield _line


def narrate(line: str) -> None:
    """Say something that is no result."""
    say(line, err=True)


def _line(what: str, told: Mapping[str, Any]) -> None:
    if what == "signed":
        narrate(f"  signed     {told['count']:,} transfers, took {told['took_s']:.1f} s")
    elif what == "second":
        narrate(second(told))


def second(told: Mapping[str, Any]) -> str:
    """Write one second of a run on one line."""
    verdict = "" if told["verdict"] == Verdict.PASS else f"  {told['verdict']}"
    final = " ".join(f"{name} {latency(told[f'{name}_ms']):>8}" for name in ("p50", "p95", "p99"))
    return (
        f"  {told['at_s']:>6.1f} s  offered {told['offered']:>5,}  accepted {told['accepted']:>5,}"
        f"  final {told['final']:>5,}  {final}  pending {told['pending']:>5,}"
        f"  lag {latency(told['lag_p99_ms'])}  {_heights(told)}{verdict}"
    )


def _heights(told: Mapping[str, Any]) -> str:
    """Write the heights of all nodes as one, where they are at one."""
    known = [height for height in told.get("heights", {}).values() if height is not None]
    low, high = min(known, default=told["height"]), max(known, default=told["height"])
    silent = len(told.get("heights", {})) - len(known)
    span = f"height {low:,}" if low == high else f"heights {low:,}-{high:,}"
    return f"{span}, {silent} silent" if silent else span
