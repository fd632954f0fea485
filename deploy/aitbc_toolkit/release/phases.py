"""How far has an environment come, from bare hosts to a mesh at work? Phases in order, with gates.

A deploy goes through the same phases, with the same judgement of each gate (`walking`); what it has
learned on its way there, it need not ask again. Do not change anything here.
"""

from collections.abc import Callable, Sequence

from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import ceremony, fitness
from aitbc_toolkit.release.checks import Check
from aitbc_toolkit.release.preflight import preflight
from aitbc_toolkit.release.reading import Mesh
from aitbc_toolkit.release.walking import ECONOMICS, FINALITY, GENESIS, HOSTS, Phase


def phases(environment: Environment) -> tuple[Phase, ...]:
    """List the phases of an environment, each with its gate."""
    return (
        Phase(HOSTS, lambda: _hosts_and_keys(environment)),
        Phase(GENESIS, lambda: _genesis(environment)),
        Phase(FINALITY, lambda: _live(environment, fitness.peers_and_finality)),
        Phase(ECONOMICS, lambda: _live(environment, fitness.economics)),
    )


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


def _live(environment: Environment, look: Callable[[Mesh], Sequence[Check]]) -> Sequence[Check]:
    with Mesh(environment) as mesh:
        return look(mesh)


def _deploy(environment: Environment) -> str:
    return f"aitbc deploy {environment.name}"
