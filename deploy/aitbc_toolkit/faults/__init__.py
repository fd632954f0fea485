"""Breaking a live mesh on purpose: every fault has an end that its host keeps, and is proved."""

from aitbc_toolkit.faults.injecting import heal, injected, status
from aitbc_toolkit.faults.kinds import KINDS, REFUSED, Fault
from aitbc_toolkit.faults.links import Cap, allow, radius
from aitbc_toolkit.faults.planning import Plan, plan
from aitbc_toolkit.faults.targets import Seen, look, resolve
from aitbc_toolkit.faults.told import NotBitten, Residue, Told, TooLate

__all__ = [
    "KINDS",
    "REFUSED",
    "Cap",
    "Fault",
    "NotBitten",
    "Plan",
    "Residue",
    "Seen",
    "Told",
    "TooLate",
    "allow",
    "heal",
    "injected",
    "look",
    "plan",
    "radius",
    "resolve",
    "status",
]
