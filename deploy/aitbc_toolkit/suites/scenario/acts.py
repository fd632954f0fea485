"""What may somebody do in a scenario, who needs money for it, and where can it be played?

One table; what each act does is in the module that it names. Do not add how steps follow each
other: `engine.py`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from aitbc_toolkit.suites.scenario import (
    bonding,
    crowding,
    deploying,
    each_type,
    electing,
    spending,
    targets,
)
from aitbc_toolkit.suites.scenario.desk import Desk, Order
from aitbc_toolkit.suites.scenario.schema import ActStep
from aitbc_toolkit.suites.scenario.targets import Aim

EVERYWHERE = ("sim", "dev", "lab", "hosts")


def nobody(_parameters: Mapping[str, int]) -> dict[str, int]:
    """Name none: nobody needs money for it, or those have it already."""
    return {}


class Deed(NamedTuple):
    """Say how an act is done, who needs how much for it, and which parameters it has."""

    do: Callable[[Desk, Order], None]
    people: Callable[[Mapping[str, int]], Mapping[str, int]] = nobody
    parameters: Mapping[str, int] = {}
    sides: bool = False
    """Whether it is done on two sides at once."""
    backends: tuple[str, ...] = EVERYWHERE
    moves_power: bool = False
    records: tuple[str, ...] = ()
    """Which figures it measures."""


_elects = partial(Deed, backends=("sim",), moves_power=True)
"""With operators' keys, which on live meshes lie on their hosts."""
_SPAM: Mapping[str, int] = {"spammers": 60, "times": 5, "blocks": 20, "tip": 100_000}
_STAKES: Mapping[str, int] = {"people": 3, "coins": 2}
ACTS: Mapping[str, Deed] = {
    "ledger.each_type": Deed(each_type.each, each_type.two),
    "econ.double_spend": Deed(
        spending.double_spend, spending.spenders, {"pairs": 4, "no_quorum": 0}, sides=True
    ),
    "econ.one_wins": Deed(spending.one_wins),
    "econ.replay": Deed(spending.replay),
    "econ.nonce_gap": Deed(spending.nonce_gap, spending.hasty),
    "econ.spam": Deed(crowding.spam, crowding.crowd, _SPAM, records=("t_paid_p95",)),
    "econ.sybils": Deed(crowding.many_names, crowding.sybils, {"names": 20}),
    "stake.bond": Deed(bonding.bond, bonding.stakers, _STAKES, moves_power=True),
    "stake.unbond": Deed(bonding.unbond, parameters=_STAKES, moves_power=True),
    "stake.matured": Deed(bonding.matured),
    "stake.farm": Deed(bonding.farm, bonding.farmer, moves_power=True),
    "chain.join": _elects(electing.join, electing.joiners, {"people": 1}),
    "chain.leave": _elects(electing.leave),
    "chain.return": _elects(electing.come_back),
    "chain.rotate": _elects(electing.rotate, sides=True),
    "chain.remove": _elects(electing.remove),
    "chain.admit": _elects(electing.admit),
    "chain.upgrade": _elects(electing.upgrade, parameters={"ahead": 30}),
    "chain.rules": _elects(electing.rules),
    "deploy.upgrade": Deed(deploying.upgrade, backends=("sim", "lab")),
    "deploy.rollback": Deed(deploying.rollback, backends=("sim", "lab")),
    "deploy.fail": Deed(deploying.fail, backends=("sim", "lab")),
    "keys.rotate": Deed(deploying.rotate, backends=("lab", "hosts")),
}


def parameters(step: ActStep) -> dict[str, int]:
    """Return what was said of an act's parameters, or what they are unless told."""
    return {**ACTS[step.act].parameters, **step.parameters}


def do(step: ActStep, desk: Desk, aim: Aim) -> None:
    """Do what a step says. Raises: ScenarioError."""
    whom = targets.chosen(step.on, aim)
    sides = tuple(targets.chosen(side, aim) for side in step.sides)
    ACTS[step.act].do(desk, Order(step.act, whom, sides, parameters(step)))


def people(steps: tuple[ActStep, ...]) -> dict[str, int]:
    """Name all who need money, and how much."""
    found: dict[str, int] = {}
    for step in steps:
        found |= ACTS[step.act].people(parameters(step))
    return found


def unfit(steps: tuple[ActStep, ...], backend: str) -> str:
    """Name the first act that cannot be played on a backend; empty when all can."""
    return next((step.act for step in steps if backend not in ACTS[step.act].backends), "")


def moves_power(steps: tuple[ActStep, ...]) -> bool:
    """Tell whether who votes with what may change meanwhile."""
    return any(ACTS[step.act].moves_power for step in steps)
