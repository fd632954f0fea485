"""Is the live mesh fit? Its nodes have peers, blocks become final, and the money adds up.

Each look gives checks, so that the gates of a deploy and those of `aitbc phases` are the same. What
a node cannot tell is *not available*, never passed. Only asks.
"""

from collections.abc import Collection

from aitbc_node.rpc import schema
from aitbc_toolkit.release import powers
from aitbc_toolkit.release.checks import Check, State
from aitbc_toolkit.release.gates import quorum, voting
from aitbc_toolkit.release.reading import Mesh


def peers_and_finality(mesh: Mesh, *, needed: Collection[str] | None = None) -> list[Check]:
    """Require that nodes have peers and that more than two thirds of the power votes.

    `needed` names the nodes that have to be there, all unless told else.
    """
    environment = mesh.environment
    statuses = mesh.statuses()
    power, votes = powers.told(mesh, statuses), voting(environment, statuses)
    chosen = {name: told for name, told in statuses.items() if needed is None or name in needed}
    alone = [name for name, told in chosen.items() if told is None or told.peers == 0]
    alone = alone if len(statuses) > 1 else []
    enough = quorum(power.sum(votes), power.total)
    state: State = "pass" if enough else "fail"
    evidence = f"{len(votes)} of {len(environment.validators)} vote"
    evidence += f", power {power.sum(votes)} of {power.total}"
    hint = f"aitbc network health -e {environment.name}"
    met: State = "fail" if alone else "pass"
    said = f"without peers: {' '.join(alone)}" if alone else "every node has peers"
    return [
        Check("connectivity", "peers", met, said, hint if alone else ""),
        Check("environments", "finality", state, evidence, "" if enough else hint),
    ]


def economics(mesh: Mesh) -> list[Check]:
    """Require that every node that tells of the chain's money finds nothing made or lost."""
    told = {
        each.name: mesh.ask(each, "/economics", schema.Economics)
        for each in mesh.environment.instances
    }
    checks = [
        Check(
            "environments",
            "conservation",
            "pass" if money.conserved else "fail",
            f"{'nothing' if money.conserved else 'money'} made or lost at height {money.height:,}",
            f"aitbc economics stats --node {name} -e {mesh.environment.name}",
            name,
        )
        for name, money in told.items()
        if money is not None
    ]
    why = "not available: no node tells of the chain's money"
    return checks or [Check("environments", "economics", "n.a.", why)]
