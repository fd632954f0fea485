"""What need a simulation do only once, although every node does it?

A frame goes to many nodes as the same bytes: it is read once, and all get the same frozen record.
Where a kind of day asks for it, states and the execution of a block are shared as well, between
nodes whose state is one and the same; who has come to another one executes by itself. These are the
two days that are there to be measured: a thousand nodes, and `EIGHT`, so the speed of both is that
of a mesh in which each block is executed once. Do not share what nodes may differ in.
"""

import copy
import functools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from aitbc_node import (
    certificates,
    conversation,
    following,
    intake,
    verifying,
    voting,
    workshop,
)
from aitbc_node import chain as chain_module
from aitbc_node.blocks import Certificate, Proposed, block_id
from aitbc_node.chain import Candidate, Chain
from aitbc_node.consensus import replica
from aitbc_node.consensus.electorate import Electorate
from aitbc_node.consensus.messages import Vote
from aitbc_node.ledger import genesis as genesis_module
from aitbc_node.ledger.apply import Execution
from aitbc_node.ledger.at_stake import AtStake
from aitbc_node.ledger.genesis import Genesis
from aitbc_node.ledger.listing import Listing
from aitbc_node.ledger.state import State
from aitbc_node.ledger.tally import Tally
from aitbc_node.ledger.transactions import Parsed
from aitbc_node.types import BlockId, Hash
from aitbc_node.validators import ValidatorSet
from aitbc_sim import checkers, frames, nodes
from aitbc_sim.options import Options

FRAMES_KEPT = 4_096
_ONCE = (
    ((conversation, "decode_message"), (frames, "decode_message")),
    ((voting, "decoded"), (frames, "decoded")),
    ((intake, "parse"), (workshop, "parse")),
    ((nodes, "fake_verify"), (checkers, "fake_verify")),
)
"""Who reads bytes or judges their signature, each by all of its names: the same ones give equal
records, none of which can be changed, and the same verdict."""
_ONCE_FOR_EACH = (
    ((chain_module, "block_id"), (following, "block_id_of"), (workshop, "block_id_of")),
    ((following, "as_proposed"), (workshop, "as_proposed")),
    ((following, "check_form"), (workshop, "check_form")),
    ((verifying, "signature_checks"),),
    ((Vote, "sign_bytes"),),
)
"""Who writes or hashes a record that all have: known again as the very same, for comparing costs
more. What else is asked with it is the same for all."""

_ONCE_FOR_BOTH = (
    (certificates, "median_time_ms"),
    (intake, "check_admission"),
    (intake, "spending"),
)
"""Who judges a record by another that all have: by the voters, or by a state that is shared."""


@contextmanager
def shared(options: Options) -> Iterator[None]:
    """Let the nodes of one run share what this kind of day allows."""
    once = functools.lru_cache(maxsize=FRAMES_KEPT)
    with ExitStack() as stack:
        for kept, functions in ((once, _ONCE), (_once_for_each, _ONCE_FOR_EACH)):
            for names in functions:
                function = kept(getattr(*names[0]))
                for owner, name in names:
                    stack.enter_context(patch.object(owner, name, function))
        if options.shares_execution:
            done = _Done()
            stack.enter_context(patch.object(chain_module, "initial_state", done.initial_state))
            stack.enter_context(patch.object(Chain, "build", done.build))
            stack.enter_context(patch.object(Chain, "judge", done.judge))
            stack.enter_context(patch.object(Chain, "adopt", done.adopt))
            stack.enter_context(patch.object(replica, "Electorate", done.electorate))
            stack.enter_context(patch.object(certificates, "fault_of", done.fault_of))
            for owner, name in _ONCE_FOR_BOTH:
                function = _once_for_both(getattr(owner, name))
                stack.enter_context(patch.object(owner, name, function))
        yield


def _once_for_each(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function of one record answer once for each; what is kept keeps ids from new use.

    The oldest are forgotten, like frames, so a long run takes no more than a short one.
    """
    known: OrderedDict[int, tuple[object, object]] = OrderedDict()

    def answer(record: object, *same: object, **named: object) -> object:
        row = known.get(id(record))
        if row is None:
            row = known[id(record)] = (record, function(record, *same, **named))
            if len(known) > FRAMES_KEPT:
                known.popitem(last=False)
        return row[1]

    return answer


def _once_for_both(function: Callable[..., Any]) -> Callable[..., Any]:
    """Likewise for a function of two records, and of numbers that are told by name."""
    known: OrderedDict[tuple[object, ...], tuple[object, object, object]] = OrderedDict()

    def answer(one: object, other: object, **numbers: int) -> object:
        asked = (id(one), id(other), *numbers.values())
        row = known.get(asked)
        if row is None:
            row = known[asked] = (one, other, function(one, other, **numbers))
            if len(known) > FRAMES_KEPT:
                known.popitem(last=False)
        return row[2]

    return answer


@contextmanager
def alone(options: Options) -> Iterator[None]:
    """Let whoever replays a log meanwhile execute every block by itself."""
    with ExitStack() as stack:
        if options.shares_execution:
            stack.enter_context(patch.object(chain_module, "initial_state", _initial_state))
            stack.enter_context(patch.object(Chain, "judge", _judge))
            stack.enter_context(patch.object(Chain, "adopt", _adopt))
            stack.enter_context(patch.object(certificates, "fault_of", _fault_of))
        yield


class _Done:
    """Remember states, electorates and executed blocks of one run.

    Nobody changes a state that is shared: who adopts the result of a block gets the next one.
    """

    def __init__(self) -> None:
        self._states: dict[Hash, State] = {}
        self._next: dict[tuple[int, int], tuple[State, Execution, State]] = {}
        self._electorates: dict[int, tuple[ValidatorSet, Electorate]] = {}
        self._candidates: dict[tuple[int, BlockId], tuple[object, Candidate]] = {}
        self._faults: dict[tuple[int, int, BlockId], tuple[object, object, str]] = {}
        self._id_of = _once_for_each(block_id)
        self.initial_state = self._initial_state
        # Plain functions, so that they become methods of the chain that they are put into.
        self.build = lambda chain, rows, **rest: self._build(chain, rows, **rest)  # noqa: PLW0108 - as said
        self.judge = lambda chain, proposed, txs: self._judge(chain, proposed, txs)  # noqa: PLW0108 - as said
        self.adopt = lambda chain, execution: self._adopt(chain, execution)  # noqa: PLW0108 - as said

    def _initial_state(self, genesis: Genesis) -> State:
        name = genesis.hash()
        if name not in self._states:
            self._states[name] = _initial_state(genesis)
        return self._states[name]

    def _adopt(self, chain: Chain, execution: Execution) -> None:
        name = (id(chain.state), id(execution))
        if name not in self._next:  # what is kept with it keeps both ids from being used again
            before, chain.state = chain.state, _twin(chain.state)
            _adopt(chain, execution)
            self._next[name] = (before, execution, chain.state)
        chain.state = self._next[name][2]

    def electorate(self, validators: ValidatorSet) -> Electorate:
        """Work turns out once for all whose voters are this very set."""
        if id(validators) not in self._electorates:
            self._electorates[id(validators)] = (validators, Electorate(validators))
        return self._electorates[id(validators)][1]

    def _build(self, chain: Chain, rows: Iterable[Parsed], **rest: Any) -> Candidate:
        candidate = _build(chain, rows, **rest)
        self._keep(chain, candidate)
        return candidate

    def _judge(self, chain: Chain, proposed: Proposed, txs: Sequence[Parsed]) -> Candidate | str:
        tree = chain.state.tree
        known = self._candidates.get((id(tree), self._id_of(proposed.header)))
        if known is not None and known[0] is tree:
            return known[1]
        judged = _judge(chain, proposed, txs)
        if isinstance(judged, Candidate):
            self._keep(chain, judged)
        return judged

    def fault_of(
        self, certificate: Certificate, *, validators: ValidatorSet, block_id: BlockId, **rest: Any
    ) -> str:
        """Judge a certificate once for all who hold this very record and set."""
        name = (id(certificate), id(validators), block_id)
        known = self._faults.get(name)
        if known is not None and known[0] is certificate and known[1] is validators:
            return known[2]
        fault = _fault_of(certificate, validators=validators, block_id=block_id, **rest)
        self._faults[name] = (certificate, validators, fault)
        return fault

    def _keep(self, chain: Chain, candidate: Candidate) -> None:
        tree = chain.state.tree
        self._candidates[id(tree), candidate.id] = (tree, candidate)


def _twin(state: State) -> State:
    """Return a state that can be changed without the other; their tree is one as yet."""
    twin = copy.copy(state)
    twin._objects = dict(twin._objects)  # noqa: SLF001 - of the ledger's own making, and nowhere else
    twin.tally, twin.listing = _apart(twin.tally), _apart(twin.listing)
    return twin


def _apart(found: Any) -> Any:
    """Copy what is changed in place, down to the records, which never are.

    `copy.deepcopy` copies those too, and took a fiftieth of a run of a thousand nodes.
    """
    match found:
        case dict():
            return {name: _apart(value) for name, value in found.items()}
        case set():
            return set(found)
        case Tally() | Listing() | AtStake():
            twin = copy.copy(found)
            vars(twin).update(_apart(vars(found)))
            return twin
        case _:
            assert not isinstance(found, list | bytearray), f"changed in place: {type(found)}"
            return found


_initial_state = genesis_module.initial_state
_build = Chain.build
_judge = Chain.judge
_adopt = Chain.adopt
_fault_of = certificates.fault_of
