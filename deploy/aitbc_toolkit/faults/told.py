"""What is known of a fault so far, and how may it come to nothing?

Times are those of this machine's wall clock. Do not ask hosts here: `injecting.py`.
"""

import time
from dataclasses import dataclass, field
from typing import Any

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.faults.kinds import Fault

_POLL_S = 0.1


class NotBitten(AitbcError):  # noqa: N818 - a verdict is told by this name
    """The fault was injected, and nothing shows it: what a test sees now says nothing."""

    exit_status = Exit.INFRASTRUCTURE


class TooLate(NotBitten):
    """The fault was over before every host had proved it: nothing says that it did not bite."""


class Residue(AitbcError):  # noqa: N818 - a verdict is told by this name
    """A host is not as it was before the fault."""

    exit_status = Exit.UNHEALED


@dataclass(slots=True)
class Told:
    """Hold what a fault has shown so far; times are those of this machine's wall clock.

    A host counts the lease from when it was told, which is between `asked_at` and `began_at`: no
    host ends it before `ends_from`, and none after `ends_at`. Recovery is counted from the early
    one, so it was no longer than told. `active` has the hosts that nobody could compare, with the
    faults that go on there.
    """

    id: str
    fault: Fault
    asked_at: float = 0.0
    began_at: float = 0.0
    bitten_at: float = 0.0
    ends_from: float = 0.0
    ends_at: float = 0.0
    healed_at: float = 0.0
    evidence: dict[str, Any] = field(default_factory=dict)
    residue: dict[str, list[str]] = field(default_factory=dict)
    active: dict[str, list[str]] = field(default_factory=dict)
    boots: dict[str, str] = field(default_factory=dict)
    """Which boot of each host was told of the fault."""
    _ends_s: float = 0.0

    def to_document(self) -> dict[str, Any]:
        """Write it for a record."""
        return {
            "id": self.id,
            "fault": self.fault.kind,
            "about": self.fault.about,
            "asked_at": self.asked_at,
            "began_at": self.began_at,
            "bitten_at": self.bitten_at,
            "ends_from": self.ends_from,
            "ends_at": self.ends_at,
            "healed_at": self.healed_at,
            "evidence": self.evidence,
            "residue": self.residue,
            "active": self.active,
        }

    def wait_end(self) -> None:
        """Let the lease run out."""
        while (left_s := self._ends_s - time.monotonic()) > 0:
            time.sleep(min(left_s, _POLL_S))

    def ask(self) -> None:
        """Note that hosts are told now; none of them has begun before."""
        self.asked_at = time.time()
        self.ends_from = self.asked_at + self.fault.lease_s

    def begin(self) -> None:
        """Note that all hosts have begun; none of them ends later than counted from now."""
        self.began_at = time.time()
        self.ends_at = self.began_at + self.fault.lease_s
        self._ends_s = time.monotonic() + self.fault.lease_s
