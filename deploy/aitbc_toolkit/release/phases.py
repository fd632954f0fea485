"""How far has an environment come, from bare hosts to a mesh at work? Phases in order, with gates.

The gate of a phase is a list of checks. A phase whose gate fails ends the walk: the next ones are
not looked at, because what they would find means nothing yet. Do not change anything here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import ceremony, powers
from aitbc_toolkit.release.checks import Check, State
from aitbc_toolkit.release.gates import quorum, voting
from aitbc_toolkit.release.occupation import looking
from aitbc_toolkit.release.preflight import preflight


@dataclass(frozen=True, slots=True)
class Phase:
    """Name a phase and what has to hold at its end."""

    name: str
    gate: Callable[[], Sequence[Check]]


@dataclass(frozen=True, slots=True)
class Passed:
    """Say how a phase ended: `pass`, `fail`, `n.a.` or `not started`, and what says so."""

    name: str
    state: str
    evidence: str
    hint: str = ""


def phases(environment: Environment) -> tuple[Phase, ...]:
    """List the phases of an environment, each with its gate."""
    return (
        Phase("hosts and keys", lambda: _hosts_and_keys(environment)),
        Phase("one genesis everywhere", lambda: _genesis(environment)),
        Phase("peers and finality", lambda: _finality(environment)),
        Phase("economics", _economics),
    )


def walk(through: Sequence[Phase]) -> Iterator[Passed]:
    """Go through the phases until a gate fails; what comes after it is not started."""
    closed = ""
    for number, phase in enumerate(through, start=1):
        if closed:
            yield Passed(phase.name, "not started", f"phase {closed} did not pass")
            continue
        passed = _passed(phase)
        if passed.state == "fail":
            closed = f"{number}, {phase.name},"
        yield passed


def _passed(phase: Phase) -> Passed:
    """Ask a gate; one that cannot be asked is closed."""
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


def _hosts_and_keys(environment: Environment) -> list[Check]:
    keys = ceremony.known(environment)
    evidence = f"{len(keys)} nodes have keys"
    return [*preflight(environment).checks, Check("access", "keys", "pass", evidence)]


def _genesis(environment: Environment) -> list[Check]:
    """Ask for the file on every host; a node without one has not come that far."""
    found = ceremony.compare(environment).checks
    return [
        Check(each.area, each.item, "fail", "it is not there yet", _deploy(environment), each.host)
        if each.state == "n.a." and each.item.endswith("file")
        else each
        for each in found
    ]


def _finality(environment: Environment) -> list[Check]:
    with looking(environment, lambda _record: None) as run:
        statuses = run.mesh.statuses()
        power = powers.told(run.mesh, statuses)
        votes = voting(environment, statuses)
    alone = [name for name, told in statuses.items() if told is None or told.peers == 0]
    alone = alone if len(statuses) > 1 else []
    enough = quorum(power.sum(votes), power.total)
    state: State = "pass" if enough else "fail"
    evidence = (
        f"{len(votes)} of {len(environment.validators)} vote: {power.sum(votes)} of {power.total}"
    )
    hint = f"aitbc network health -e {environment.name}"
    met: State = "fail" if alone else "pass"
    said = f"without peers: {' '.join(alone)}" if alone else "every node has peers"
    return [
        Check("connectivity", "peers", met, said, hint if alone else ""),
        Check("environments", "finality", state, evidence, "" if enough else hint),
    ]


def _economics() -> list[Check]:
    why = "not available: this version has no switch of the chain for it"
    return [Check("environments", "economics", "n.a.", why)]


def _deploy(environment: Environment) -> str:
    return f"aitbc deploy {environment.name}"
