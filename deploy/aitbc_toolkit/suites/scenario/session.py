"""On which mesh does a session of pytest play? The named one; a worker of xdist on its own lab.

Nothing is brought up before a test asks for it. Do not play anything here: `fixtures.py`.
"""

from collections.abc import Mapping
from contextlib import ExitStack

from aitbc_toolkit import paths
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Environment, Inventory, canonical_name
from aitbc_toolkit.lab.locking import locked
from aitbc_toolkit.lab_record import LAB
from aitbc_toolkit.suites import claiming, crew
from aitbc_toolkit.suites.scene import unless_gone
from aitbc_toolkit.suites.showing import SIMULATED
from aitbc_toolkit.suites.verdicts import Verdict
from aitbc_toolkit.suites.worker import own_lab, tell

_TURN_S = 900.0
"""How long a worker waits until those before it have booted: in turn is sooner than at once."""


def require_room(environment: str, workers: int) -> None:
    """See that so many workers do not meet on one mesh. Raises: UsageError."""
    if workers > 1:
        crew.names(environment, workers)


class Session:
    """Be where the tests of one process play; what was brought up for them goes with `close`."""

    def __init__(self, name: str, worker: str) -> None:
        is_lab = name == LAB or name.startswith(f"{LAB}-")
        self._has_own = bool(worker) and is_lab
        self._stack = ExitStack()
        self._found: Environment | None = None
        self._failure: AitbcError | None = None
        self._is_closing = False
        self.name = f"{name}-{worker}" if self._has_own else name

    @property
    def is_simulated(self) -> bool:
        """Tell whether there is no mesh at all."""
        return self.name == SIMULATED

    def environment(self) -> Environment:
        """Give the mesh; the first to ask brings it up. What failed once is not tried again.

        Raises: AitbcError where it is not there, does not come up, or is tested by somebody else.
        """
        if self._failure is not None:
            raise self._failure
        if self._found is None:
            try:
                self._found = self._opened()
            except AitbcError as failure:
                self._failure = failure
                raise
        return self._found

    def verdict(self, told: Verdict) -> Verdict:
        """Give the verdict of a test that ended so: infrastructure where its lab is gone."""
        return unless_gone(self._found, told, "")[0] if self._found else told

    def close(self) -> None:
        """Take down what was brought up."""
        self._is_closing = True
        self._stack.close()

    def _opened(self) -> Environment:
        state, name = paths.state_root(), canonical_name(self.name)
        self._stack.enter_context(claiming.sole(name, "pytest", state=state))
        if not self._has_own:
            return Inventory.load(self.name)
        turn = state / "labs" / "turn.lock"
        with locked(turn, timeout_s=_TURN_S, what="the boot of another worker's lab"):
            return self._stack.enter_context(own_lab(self.name, self._hear))

    def _hear(self, record: Mapping[str, object]) -> None:
        """Pass on what a lab says; at the end, where no test keeps it, only what fails."""
        if not self._is_closing or "error" in record:
            tell(record)
