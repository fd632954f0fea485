"""How does what was broken on a live mesh become a scenario for the simulator, and a smaller one?

What a run has recorded of its faults is all that is taken: who was hit, which ways were cut, when,
for how long. Do not play anything here but what is being made smaller.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import yaml
from msgspec.structs import replace

from aitbc_toolkit.suites.scenario import staging
from aitbc_toolkit.suites.scenario.arena import Town
from aitbc_toolkit.suites.scenario.quantities import seconds
from aitbc_toolkit.suites.scenario.schema import Case, ExpectStep, FaultStep, Step, WaitEndStep
from aitbc_toolkit.suites.verdicts import Verdict

FOLDER = "replay"
LEASE_MIN_S = 1.0
_WIDTH = 120


def exported(case: Case, rows: Sequence[Mapping[str, Any]], town: Town) -> str:
    """Write the faults of a run as a scenario file of the simulator; nothing where none was begun.

    What the simulator does not have is named, and left out.
    """
    names = _names(town)
    fit = [row for row in rows if "began" in row and not _lacking(row)]
    if not fit:
        return ""
    steps: list[dict[str, Any]] = []
    at_s = first_s = min(row["began"] for row in fit)
    for place, row in enumerate(sorted(fit, key=lambda each: each["began"]), start=1):
        if row["began"] - at_s >= 0.1:  # noqa: PLR2004 - seconds; nobody looks more closely
            steps.append({"pause": _s(row["began"] - at_s)})
        at_s = row["began"]
        steps.append(_fault(f"f{place}", row, names))
    steps += [{"wait_end": f"f{place}"} for place in range(1, len(fit) + 1)]
    steps.append({"eventually": [{"heights_advance": {"by": 2}}, {"all_at_tip": {"lag": 1}}]})
    last_s = max(row["began"] + row["lease_s"] for row in fit)
    head = {
        "scenario": f"{FOLDER}/{stem(case.name)}",
        "about": f"the faults of a run of {case.name}, as they came",
        "backends": ["sim"],
        "budget": {"wall": _s(600 + last_s - first_s), "lease_max": "1h"},
        "network": _network(town),
        "load": [msgspec.to_builtins(each) for each in case.written.load],
        "steady": [{"heights_advance": {"by": 2}}],
    }
    left = sorted({_lacking(row) for row in rows} - {""})
    comments = [f"# left out, the simulator has none: {each}\n" for each in left]
    return "".join(comments) + _text(head, steps)


def stem(name: str) -> str:
    """Name the file of a case."""
    kept = [char if char.isalnum() else "-" for char in name.lower()]
    return "-".join("".join(kept).split("-")).strip("-")


def shrunk(
    case: Case, *, fails: Callable[[Case], Verdict], runs_max: int = 30
) -> tuple[Case, Verdict, int]:
    """Leave out what can be, and shorten what is left, as long as the verdict stays the same."""
    wanted, runs = fails(case), 1
    smallest, before = case, None
    while before is not smallest and wanted is not Verdict.PASS:
        before = smallest
        for candidate in _smaller(smallest):
            if runs >= runs_max:
                return smallest, wanted, runs
            runs += 1
            if fails(candidate) is wanted:
                smallest = candidate
                break
    return smallest, wanted, runs


def written_out(case: Case, name: str) -> str:
    """Write a case as a file of its own."""
    head = {**msgspec.to_builtins(case.written), "scenario": f"{FOLDER}/{name}"}
    return _text(head, [msgspec.to_builtins(step) for step in case.steps])


def _smaller(case: Case) -> Iterator[Case]:
    """Go through cases with one fault less, then with one that is shorter."""
    faults = [step for step in case.steps if isinstance(step, FaultStep)]
    for fault in faults if len(faults) > 1 else ():
        yield replace(case, steps=tuple(s for s in case.steps if not _is_of(s, fault.id)))
    for fault in faults:
        half_s = seconds(fault.lease) / 2
        if half_s >= LEASE_MIN_S:
            shorter = replace(fault, lease=_s(half_s))
            yield replace(case, steps=tuple(shorter if s is fault else s for s in case.steps))


def _is_of(step: Step, fault: str) -> bool:
    match step:
        case FaultStep(id=name) | WaitEndStep(wait_end=name) | ExpectStep(during=name):
            return name == fault
    return False


def _lacking(row: Mapping[str, Any]) -> str:
    return staging.lacking(row["fault"], row.get("parameters", {}))


def _fault(name: str, row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    step: dict[str, Any] = {"id": name, "fault": row["fault"], "lease": _s(row["lease_s"])}
    if row.get("edges"):
        step["between"] = {"ways": [f"{names[a]}>{names[b]}" for a, b in row["edges"]]}
    else:
        step["on"] = [names[each] for each in row["targets"]]
    if row.get("parameters"):
        step["parameters"] = dict(row["parameters"])
    return step


def _names(town: Town) -> dict[str, str]:
    """Give each node the name that the simulator has for one of its kind."""
    full = [name for name, power in town.powers.items() if not power]
    voters = {name: f"v{place}" for place, name in enumerate(town.validators, start=1)}
    return voters | {name: f"f{place}" for place, name in enumerate(full, start=1)}


def _network(town: Town) -> dict[str, Any]:
    powers = [power for power in town.powers.values() if power]
    return {
        "validators": {"count": len(powers), "power": powers},
        "full": len(town.powers) - len(powers),
        "params": {
            "block_interval": _s(town.interval_s),
            "round_timeout": _s(town.round_timeout_s),
        },
    }


def _s(length_s: float) -> str:
    return f"{round(length_s, 3):g}s" if length_s < 1000 else f"{round(length_s)}s"  # noqa: PLR2004 - `g` would write 1e+06


def _text(head: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> str:
    document = {**head, "steps": list(steps)}
    return yaml.safe_dump(document, sort_keys=False, width=_WIDTH)
