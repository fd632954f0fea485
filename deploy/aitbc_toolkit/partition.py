"""Whom does each node reach, who sees the mesh alike, is it one chain? By the word of all nodes.

Nodes are grouped by what they say they reach, and their blocks are compared at one common height.
Reads only; nothing here says why somebody is out of reach.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from aitbc_node.rpc import schema
from aitbc_node.rpc.splits import Partition
from aitbc_toolkit.asking import MeshClient, Silence
from aitbc_toolkit.sides import Side, sides_of


@dataclass(frozen=True, slots=True)
class View:
    """Show what one node reaches; without a height it gave no answer, and `state` says why.

    Units: powers are voting power, `lacking_ms` is for how long some has been out of reach.
    """

    name: str
    state: str
    height: int | None = None
    block: str | None = None
    reaches: int | None = None
    total: int | None = None
    quorum: bool = False
    lacking_ms: int | None = None
    misses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """Hold what all nodes see; `compared` is the height of each `block`, none where nobody told."""

    environment: str
    views: tuple[View, ...]
    sides: tuple[Side, ...]
    compared: int | None

    @property
    def up(self) -> tuple[View, ...]:
        """Return those that answered."""
        return tuple(each for each in self.views if each.height is not None)

    @property
    def missed(self) -> tuple[str, ...]:
        """Name the validators that somebody who answers does not reach."""
        return tuple(sorted({name for each in self.views for name in each.misses}))

    @property
    def is_whole(self) -> bool:
        """Tell whether every node answers and reaches all the voting power."""
        return len(self.up) == len(self.views) and not self.missed

    @property
    def chains(self) -> dict[str, list[str]]:
        """Say which nodes have which block at the height that was compared."""
        found: dict[str, list[str]] = {}
        for each in self.views:
            if each.block is not None:
                found.setdefault(each.block, []).append(each.name)
        return found

    def to_json(self) -> dict[str, object]:
        """Return the one document of `--json`."""
        one_chain = len(self.chains) == 1 if self.chains else None  # null: nobody told a block
        return {**asdict(self), "whole": self.is_whole, "one_chain": one_chain}


def look(environment: str, mesh: MeshClient) -> Split:
    """Ask every node whom it reaches and which blocks it has."""
    told = mesh.ask_all(lambda node: node.status())
    seen = mesh.ask_all(lambda node: node.get("/net/partition", Partition))
    up = {name: each for name, each in told.items() if isinstance(each, schema.Status)}
    compared = min((each.height for each in up.values()), default=0) or None
    blocks = {} if compared is None else mesh.ask_all(lambda node: node.block(compared).id)
    names = {each.validator: name for name, each in up.items() if each.validator}
    sights = {name: each for name, each in seen.items() if isinstance(each, Partition)}
    views = (_view(name, each, seen[name], blocks, names) for name, each in told.items())
    return Split(environment, tuple(views), sides_of(sights, names), compared)


def _view(
    name: str,
    status: schema.Status | Silence,
    sight: Partition | Silence,
    blocks: Mapping[str, str | Silence],
    names: Mapping[str, str],
) -> View:
    if isinstance(status, Silence):
        return View(name, status.state)
    if isinstance(sight, Silence):
        return View(name, sight.state)
    block = blocks.get(name)
    return View(
        name,
        "reaches all" if not sight.unreachable else "has a quorum" if sight.quorum else "cut off",
        height=status.height,
        block=block if isinstance(block, str) else None,
        reaches=sight.reachable_power,
        total=sight.total_power,
        quorum=sight.quorum,
        lacking_ms=sight.lacking_ms,
        misses=tuple(sorted(names.get(each.key, each.key[:12]) for each in sight.unreachable)),
    )
