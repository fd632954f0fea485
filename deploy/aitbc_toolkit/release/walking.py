"""What is a phase, and what follows from its gate? One judgement, for a deploy and for a look.

The gate of a phase is a list of checks. A phase whose gate fails ends the walk: the next ones do
not start, because what they would find means nothing yet. `phases` has their gates.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release.checks import Check

HOSTS = "hosts and keys"
GENESIS = "one genesis everywhere"
FINALITY = "peers and finality"
ECONOMICS = "economics"
NAMES = (HOSTS, GENESIS, FINALITY, ECONOMICS)


@dataclass(frozen=True, slots=True)
class Phase:
    """Name a phase and what has to hold at its end."""

    name: str
    gate: Callable[[], Sequence[Check]]


@dataclass(frozen=True, slots=True)
class Passed:
    """Say how a phase ended, and what says so."""

    name: str
    state: Literal["pass", "fail", "n.a.", "not started"]
    evidence: str
    hint: str = ""


def walk(through: Sequence[Phase], *, first: int = 1) -> Iterator[Passed]:
    """Go through the phases until a gate fails; what comes after it is not started."""
    closed = ""
    for number, phase in enumerate(through, start=first):
        if closed:
            yield Passed(phase.name, "not started", f"phase {closed} did not pass")
            continue
        passed = judge(phase)
        if passed.state == "fail":
            closed = f"{number}, {phase.name},"
        yield passed


def judge(phase: Phase) -> Passed:
    """Ask a gate; one that cannot be asked is closed, one with nothing to look at is n.a."""
    try:
        found = phase.gate()
    except AitbcError as refused:
        return Passed(phase.name, "fail", refused.message.partition("\n")[0], refused.hint)
    failed = [each for each in found if each.state == "fail"]
    if failed:
        first = failed[0]
        where = f"{first.item} of {first.host}" if first.host else first.item
        evidence = f"{where}: {first.evidence.partition(chr(10))[0]}"
        return Passed(phase.name, "fail", evidence, first.hint)
    if all(each.state == "n.a." for each in found):
        return Passed(phase.name, "n.a.", found[0].evidence)
    return Passed(phase.name, "pass", f"{len(found)} checks")


def numbered(passed: Passed) -> str:
    """Write which phase it was of how many, and which check says so."""
    number = NAMES.index(passed.name) + 1
    return f"phase {number} of {len(NAMES)}, {passed.name}: {passed.evidence}"


def require(environment: Environment, phase: Phase) -> None:
    """Let a deploy into the next phase only through the gate of this one.

    Raises: AitbcError (refused) that names the phase and the check; nothing runs anew yet.
    """
    passed = judge(phase)
    if passed.state == "fail":
        raise AitbcError(
            f"deploy {environment.name} refused: {numbered(passed)}\n"
            "  changed so far   nothing that runs, on no host",
            hint=passed.hint or f"aitbc phases {environment.name}",
            exit_status=Exit.REFUSED,
        )
