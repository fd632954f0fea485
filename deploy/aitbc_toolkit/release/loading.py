"""How does a mesh stay at work while it is changed? Payments go on beside the whole change.

Asked for with `--load`; without it nothing is sent and nothing is claimed. What the books say in
the end is judged where everything else is.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aitbc_toolkit.books import FOR_S_MAX, SETTLE_S, Schedule, Tally
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release.progress import Tell, step

if TYPE_CHECKING:
    from aitbc_toolkit.sending import Sender


class Load:
    """Be the payments beside one change; those of a change without load are none."""

    def __init__(self, tell: Tell, sender: "Sender | None", books: Future[Tally] | None) -> None:
        self._tell = tell
        self._sender = sender
        self._books = books

    def finish(self) -> Tally | None:
        """Begin no more payments, wait for the end of all, and sum them up; None without load."""
        if self._sender is None or self._books is None:
            return None
        if self._books.done() and self._sender.is_stopped:
            return self._books.result()
        with step(self._tell, "load", "waiting for the last payments") as now:
            self._sender.stop()
            tally = self._books.result()
            now.say(f"{tally.final:,} of {tally.sent:,} final, lost {tally.loss}")
        return tally


@contextmanager
def beside(environment: Environment, tell: Tell, *, rate: int) -> Iterator[Load]:
    """Pay `rate` times a second until the block ends, however it does; 0 is no load.

    Raises: AitbcError, before anything is changed, when the accounts cannot be funded.
    """
    if not rate:
        yield Load(tell, None, None)
        return

    from aitbc_toolkit import keys  # noqa: PLC0415 - a run without load pays nothing for it
    from aitbc_toolkit.asking import open_mesh  # noqa: PLC0415 - as above
    from aitbc_toolkit.sending import Sender  # noqa: PLC0415 - as above
    from aitbc_toolkit.wallet import Wallet  # noqa: PLC0415 - as above

    with open_mesh(environment) as mesh, ThreadPoolExecutor(1) as pool:
        sender = Sender(environment, mesh, Schedule(rate, FOR_S_MAX))
        with step(tell, "load", f"{rate} payments a second, funding their accounts"):
            sender.fund(Wallet(keys.read_faucet(environment.folder)))
        try:
            yield Load(tell, sender, pool.submit(sender.run))
        finally:
            sender.abandon()


def problem_of(tally: Tally | None) -> str:
    """Say how the mesh broke its word; empty when it did not, or when nobody asked."""
    if tally is None or not tally.lost:
        return ""
    return f"lost {tally.loss} transactions: neither final nor expired after {SETTLE_S:.0f} s"
