"""Does a step of a scenario file break something that can be broken so, whatever the mesh is?

What a host or the simulator would refuse when the step comes, after earlier ones, is refused before
anything is begun. Do not judge here what steps need of each other: `contradictions`.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from aitbc_toolkit.declared import nearest
from aitbc_toolkit.errors import UsageError
from aitbc_toolkit.faults import KINDS, REFUSED, kinds
from aitbc_toolkit.suites.scenario.breaking import FLOOD
from aitbc_toolkit.suites.scenario.quantities import seconds
from aitbc_toolkit.suites.scenario.schema import Between, FaultStep, SwarmStep, Written
from aitbc_toolkit.suites.scenario.words import FAULTS, Duration, Value

_REST_S_MIN = 0.1
"""Faults of a swarm that come closer would be drawn for ever while no time passes."""
_NUMBERS = {"disk.slow": "ms", FLOOD: "rate"}
"""What may be said of a fault that no host is asked for by its kind."""
_NUMBER_MAX = 1_000_000


def faults_of(step: FaultStep, written: Written) -> Iterator[str]:
    """Find what is wrong with a step that begins a fault."""
    if step.fault not in FAULTS:
        yield unknown("fault", step.fault, FAULTS)
        return
    is_link = step.fault.startswith("net.")
    if is_link and step.between is None:
        yield f"{step.fault} needs `between`: whom it divides"
    if not is_link and step.on is None:
        yield f"{step.fault} needs `on`: whom it hits"
    if (step.on if is_link else step.between) is not None:
        yield f"{step.fault} has no `{'on' if is_link else 'between'}`"
    if not is_link and step.direction != "both":
        yield f"{step.fault} hits nodes, and has no `direction`"
    if step.prove is not None and step.fault != "net.cut":
        yield f"{step.fault} has no `prove`: each kind is proved in its own way"
    if step.on == []:
        yield "`on` names nobody"
    if step.between is not None:
        yield from _between_faults(step.between)
    yield from _kind_faults(step.fault, written)
    yield from _lease_faults(step.fault, step.lease, written)
    for name, value in step.parameters.items():
        yield from _parameter_faults(step.fault, name, value)


def swarm_faults(step: SwarmStep, written: Written) -> Iterator[str]:
    """Find what is wrong with a step that draws faults by itself."""
    for kind in dict.fromkeys(step.swarm):
        if kind not in FAULTS:
            yield unknown("fault", kind, FAULTS)
            continue
        yield from _kind_faults(kind, written)
        for lease in dict.fromkeys(step.lease):
            yield from _lease_faults(kind, lease, written)
    for name, (least, most) in {"lease": step.lease, "rest": step.rest}.items():
        if seconds(least) > seconds(most):
            yield f"{name}: from {least} to {most}, the shorter one comes first"
    if seconds(step.rest[0]) < _REST_S_MIN:
        yield f"a rest of {step.rest[0]}: time has to pass between faults, 100ms at least"
    if not seconds(step.lasts):
        yield "a swarm that lasts 0 s is over before it begins"


def unknown(what: str, name: str, known: Sequence[str] | Mapping[str, object]) -> str:
    """Say that there is nothing of a name, and what may have been meant."""
    near = nearest(name, known)
    if near:
        return f"unknown {what} {name!r}, the nearest is {near}"
    return f"unknown {what} {name!r}, known: {', '.join(known) or 'none'}"


def _between_faults(between: Between) -> Iterator[str]:
    ways = msgspec.structs.astuple(between)
    if sum(way is not None for way in ways) != 1:
        yield f"`between` is one of {', '.join(between.__struct_fields__)}"
    named = {"isolate": between.isolate, "ways": between.ways}
    yield from (f"`{name}` names nobody" for name, whom in named.items() if whom == [])
    if between.sides is not None and [] in between.sides:
        yield "one of `sides` names nobody"


def _kind_faults(kind: str, written: Written) -> Iterator[str]:
    """Refuse what none of the file's meshes can be given; some of them skip it by themselves."""
    if "sim" not in written.backends and kind not in {*KINDS, FLOOD}:
        yield f"{kind} cannot be injected: {REFUSED.get(kind, 'no host offers it')}"


def _lease_faults(kind: str, lease: Duration, written: Written) -> Iterator[str]:
    lease_s, most = seconds(lease), written.budget.lease_max
    if not lease_s:
        yield f"{kind}: a lease of {lease} is over before it begins"
    if lease_s > seconds(most):
        yield f"a lease of {lease}, the budget allows {most}"
    if kind not in KINDS or written.backends == ["sim"] or not lease_s:
        return
    if not kinds.LEASE_MIN_S <= lease_s <= kinds.LEASE_MAX_S:
        allowed = f"{kinds.LEASE_MIN_S} s to {kinds.LEASE_MAX_S} s"
        yield f"{kind}: a lease of {lease}, hosts keep one of {allowed}"


def _parameter_faults(kind: str, name: str, value: Value) -> Iterator[str]:
    if kind in KINDS:
        try:
            kinds.judge_parameter(kind, name, value)
        except UsageError as wrong:
            yield wrong.message
        return
    known = [_NUMBERS[kind]] if kind in _NUMBERS else []
    if name not in known:
        yield unknown(f"parameter of {kind}", name, known)
    elif isinstance(value, str) or not 0 < value <= _NUMBER_MAX:
        yield f"{kind} {name}={value}: a number up to {_NUMBER_MAX}"
