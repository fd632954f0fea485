"""Does the whole mesh work after the last wave? Whatever suite proves it stands behind one name.

These are the last two phases, each behind its gate. Only asks; what follows from a problem is
decided by the caller.
"""

from collections.abc import Callable, Collection
from dataclasses import replace

from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import fitness
from aitbc_toolkit.release.checks import Check, State
from aitbc_toolkit.release.reading import Mesh
from aitbc_toolkit.release.walking import ECONOMICS, FINALITY, NAMES, Phase, numbered, walk

Prove = Callable[[Environment], tuple[str, str]]
"""Run a suite on a live mesh; return what it did, and what is wrong, empty when nothing."""


def among(environment: Environment, names: Collection[str]) -> Environment:
    """Give the part of a mesh that is proved: a node that was down before proves nothing."""
    chosen = tuple(each for each in environment.instances if each.name in names)
    return replace(environment, instances=chosen)


def smoke(environment: Environment) -> tuple[str, str]:
    """Take the live mesh through its last phases, with the quick smoke suite in the first of them.

    A gate that fails ends it: the phase after it does not start.
    """
    done: list[str] = []
    with Mesh(environment) as mesh:
        phases = [
            Phase(FINALITY, lambda: [*_connected(mesh), _smoke(environment, done)]),
            Phase(ECONOMICS, lambda: fitness.economics(mesh)),
        ]
        found = list(walk(phases, first=len(NAMES) - 1))
    failed = [each for each in found if each.state == "fail"]
    if failed:
        return "", numbered(failed[0])
    economics = found[-1]
    told = "n.a." if economics.state == "n.a." else "conserved"
    return f"{done[0]}; economics {told}", ""


def _connected(mesh: Mesh) -> list[Check]:
    """Look at the nodes that answer: one that was down before is no fault of this run."""
    there = [name for name, told in mesh.statuses().items() if told is not None]
    return fitness.peers_and_finality(mesh, needed=there)


def _smoke(environment: Environment, done: list[str]) -> Check:
    from aitbc_toolkit.suites import live  # noqa: PLC0415 - a run that changes nothing proves nothing

    told = live.smoke(environment, quick=True)
    done.append(told.done)
    state: State = "fail" if told.problem else "pass"
    return Check("environments", "smoke", state, told.problem or told.done)
