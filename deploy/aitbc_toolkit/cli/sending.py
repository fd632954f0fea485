"""`aitbc tx send --rate N --for SECONDS`: which options send on and on, and what is printed?"""

import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

import click

from aitbc_node.ledger.objects import NATIVE
from aitbc_toolkit.books import FOR_S_MAX, RATE_MAX, SETTLE_S, Schedule, Tally
from aitbc_toolkit.cli.acting import Way
from aitbc_toolkit.cli.reaching import reach
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.sending import Sender

_WHOM = ("recipient", "amount")
_SINGLE = {
    "recipient": "--to",
    "amount": "--amount",
    "memo": "--memo",
}


def sending_options(command: Callable[..., Exit]) -> Callable[..., Exit]:
    """Give a command that pays once the options to go on; it is called with `schedule`."""

    @click.option(
        "--rate", type=click.IntRange(1, RATE_MAX), help="Send so many each second, on and on."
    )
    @click.option("--for", "for_s", type=click.IntRange(1, FOR_S_MAX), help="For so many seconds.")
    @functools.wraps(command)
    def with_schedule(rate: int | None, for_s: int | None, **options: Any) -> Exit:
        schedule = _schedule(rate, for_s, options)
        words = {name: options[name] or "" for name in _WHOM}
        return command(**{**options, **words}, schedule=schedule)

    return with_schedule


def send_on(schedule: Schedule, way: Way) -> Exit:
    """Send by a schedule and print the books.

    Raises: AitbcError when the mesh broke its word.
    """
    with reach(way.environment) as (found, mesh):
        payer = way.signer(found)
        sender = Sender(found, mesh, schedule)
        sender.fund(payer)
        tally = sender.run()
    click.echo(json.dumps(tally.to_document()) if way.as_json else "\n".join(_lines(tally)))
    if tally.lost:
        what = f"lost {tally.loss}: neither final nor expired {SETTLE_S:.0f} s after the last"
        raise AitbcError(what, hint="aitbc network status")
    return Exit.OK


def _schedule(rate: int | None, for_s: int | None, options: dict[str, Any]) -> Schedule | None:
    if rate is None and for_s is None:
        for name in _WHOM:
            if options[name] is None:
                raise click.MissingParameter(param_hint=f"'{_SINGLE[name]}'", param_type="option")
        return None
    if rate is None or for_s is None:
        raise UsageError("--rate and --for go together", hint="aitbc tx send --rate 20 --for 30")
    way: Way = options["way"]
    said = [flag for name, flag in _SINGLE.items() if options[name]]
    said += ["--node"] * bool(way.node) + ["--no-wait"] * way.no_wait
    if options["ticker"] != NATIVE:
        said.append("--asset")
    if said:
        raise UsageError(
            f"--rate pays {NATIVE} to an account of its own, through every node: no {said[0]}",
            hint="aitbc tx send --rate 20 --for 30",
        )
    return Schedule(rate, for_s)


def _lines(tally: Tally) -> Iterator[str]:
    rate = tally.sent / max(tally.schedule_s, 0.001)
    yield f"Sent {tally.sent:,} transactions at {rate:.1f}/s, took {tally.took_s:.1f} s"
    for name in ("accepted", "final", "expired"):
        yield _line(name, f"{getattr(tally, name):,}")
    yield _line("rejected", "not available" if tally.rejected is None else f"{tally.rejected:,}")
    yield _line("lost", tally.loss)
    if tally.to_final_ms:
        waits = (f"p{percent} {ms:,} ms" for percent, ms in tally.to_final_ms.items())
        yield _line("to final", ", ".join(waits))
    yield _line("sender", f"at most {tally.behind_ms:,} ms behind its schedule")
    if tally.refused:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in tally.refused.items())
        yield _line("sent again", reasons)


def _line(label: str, text: str) -> str:
    return f"  {label:<13} {text}"
