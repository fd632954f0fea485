"""What is one change of an environment, and how did it end? Values only, the same for all verbs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aitbc_toolkit.books import Tally
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release import history
from aitbc_toolkit.release.course import Course
from aitbc_toolkit.release.history import Record
from aitbc_toolkit.release.reading import Pace
from aitbc_toolkit.release.request import Settled
from aitbc_toolkit.release.verifying import Prove


@dataclass(frozen=True, slots=True)
class Change:
    """Say what is to become of which nodes, and what they are now.

    `open` is the record of a run that is resumed; `returning` says that it was on its way back;
    `load` is how many payments a second go on beside it; `choice` is how the operator wanted it.
    """

    action: Literal["deploy", "rollback"]
    commit: str
    subject: str
    snapshot: bool
    course: Course
    genesis_hash: str
    records: Sequence[Record]
    began: float
    prove: Prove
    stall_ms: int = 0
    load: int = 0
    choice: Settled = field(default_factory=Settled)
    lines: Sequence[str] = ()
    open: Record | None = None
    returning: str = ""

    @property
    def changed(self) -> list[str]:
        """List the nodes that are switched, in the order of the waves."""
        return [name for wave in self.course.order.waves for name in wave]


@dataclass(slots=True)
class End:
    """Collect what the record and the result block say; `record` is the newest of the run.

    `unproved` are nodes that the proof did not ask; `is_partial`: all is well but for some nodes.
    """

    record: Record
    exit: Exit = Exit.OK
    outcome: history.Outcome = "healthy"
    reason: str = ""
    root: str = ""
    height: int = 0
    checks: str = ""
    unproved: Sequence[str] = ()
    is_partial: bool = False
    pace: Pace | None = None
    tally: Tally | None = None
    figures: dict[str, Any] = field(default_factory=dict)
