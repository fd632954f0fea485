"""What need a simulation do only once, although every node does it?

A frame goes to many nodes as the same bytes: it is read once, and all get the same frozen record.
In a very large mesh the genesis state and the execution of a block are shared as well, between
nodes whose state is one and the same tree; who has come to another tree executes by itself. Do not
share what nodes may differ in.
"""

import copy
import functools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from aitbc_node import chain as chain_module
from aitbc_node import conversation, voting
from aitbc_node.blocks import Proposed, block_id
from aitbc_node.chain import Candidate, Chain
from aitbc_node.ledger import genesis as genesis_module
from aitbc_node.ledger.genesis import Genesis
from aitbc_node.ledger.state import State
from aitbc_node.ledger.transactions import Parsed
from aitbc_node.types import BlockId, Hash, PublicKey
from aitbc_sim.options import Options

FRAMES_KEPT = 4_096


@contextmanager
def shared(options: Options) -> Iterator[None]:
    """Let the nodes of one run share what this kind of day allows."""
    once = functools.lru_cache(maxsize=FRAMES_KEPT)
    with ExitStack() as stack:
        for owner, name in ((conversation, "decode_message"), (voting, "_decoded")):
            stack.enter_context(patch.object(owner, name, once(getattr(owner, name))))
        if options.shares_execution:
            done = _Done()
            stack.enter_context(patch.object(chain_module, "initial_state", done.initial_state))
            stack.enter_context(patch.object(Chain, "build", done.build))
            stack.enter_context(patch.object(Chain, "judge", done.judge))
        yield


class _Done:
    """Remember genesis states and executed blocks of one run."""

    def __init__(self) -> None:
        self._states: dict[Hash, State] = {}
        self._candidates: dict[tuple[int, BlockId], tuple[object, Candidate]] = {}
        self.initial_state = self._initial_state
        # Plain functions, so that they become methods of the chain that they are put into.
        self.build = lambda chain, rows, *, proposer: self._build(chain, rows, proposer)
        self.judge = lambda chain, proposed, txs: self._judge(chain, proposed, txs)  # noqa: PLW0108 - as said

    def _initial_state(self, genesis: Genesis) -> State:
        name = genesis.hash()
        if name not in self._states:
            self._states[name] = _initial_state(genesis)
        twin = copy.copy(self._states[name])
        twin._objects = dict(twin._objects)  # noqa: SLF001 - the tree is shared, what changes is not
        twin.tally = copy.deepcopy(twin.tally)
        twin.listing = copy.deepcopy(twin.listing)
        return twin

    def _build(self, chain: Chain, rows: Iterable[Parsed], proposer: PublicKey) -> Candidate:
        candidate = _build(chain, rows, proposer=proposer)
        self._keep(chain, candidate)
        return candidate

    def _judge(self, chain: Chain, proposed: Proposed, txs: Sequence[Parsed]) -> Candidate | str:
        tree = chain.state.tree
        known = self._candidates.get((id(tree), block_id(proposed.header)))
        if known is not None and known[0] is tree:
            return known[1]
        judged = _judge(chain, proposed, txs)
        if isinstance(judged, Candidate):
            self._keep(chain, judged)
        return judged

    def _keep(self, chain: Chain, candidate: Candidate) -> None:
        tree = chain.state.tree
        self._candidates[id(tree), candidate.id] = (tree, candidate)


_initial_state = genesis_module.initial_state
_build = Chain.build
_judge = Chain.judge
