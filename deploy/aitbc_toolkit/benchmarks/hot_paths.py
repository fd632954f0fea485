"""What does each step in the way of a transaction through a node cost, beside verifying it once?

Verifying is what no node can do without, so it is the measure: a share of it means the same on
every machine, and on a busy one too, since the best of some interleaved rounds counts. A step that
comes to cost more than its share allows turns `test_hot_paths.py` red. Do not add what needs a
disk, a socket or a second process.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from aitbc_node import crypto
from aitbc_node.blocks import ids_root
from aitbc_node.canonical import encode
from aitbc_node.gossip.messages import Transactions, decode_message
from aitbc_node.ledger import apply
from aitbc_node.ledger.admission import check_admission, spending
from aitbc_node.ledger.apply import BlockContext, Execution
from aitbc_node.ledger.genesis import GenesisAccount, initial_state
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.policy import address_of, single_key
from aitbc_node.ledger.state import State
from aitbc_node.ledger.transactions import Parsed, Transaction, parse, sign, signature_checks
from aitbc_node.ledger.transfers import TRANSFER_GAS, Output, Transfer
from aitbc_node.mempool import Entry, Mempool, PoolLimits
from aitbc_node.types import Address, Amount, Gas, Height
from aitbc_sim.town import CHAIN_ID, a_genesis, key_of

COUNT = 400
ROUNDS = 7

_WEALTH = Amount(10**12)
_PAYEE = Address(b"\x42" * 20)
_VERIFIED = 100


@dataclass(frozen=True, slots=True)
class Path:
    """Name one step; `share` of a verification is what it may cost for each transaction."""

    name: str
    about: str
    share: float
    do: Callable[[], object]
    count: int = COUNT


@dataclass(frozen=True, slots=True)
class Cost:
    """Hold what a step costs for each transaction: microseconds here, and in verifications."""

    path: Path
    us: float
    share: float

    @property
    def is_within(self) -> bool:
        """Tell whether it costs what it may."""
        return self.share <= self.path.share

    def to_document(self) -> dict[str, Any]:
        """Write one row of a result."""
        return {
            "name": self.path.name,
            "about": self.path.about,
            "us_per_tx": round(self.us, 3),
            "of_a_verification": round(self.share, 4),
            "allowed": self.path.share,
            "within": self.is_within,
        }


def measure(paths: Sequence[Path], *, rounds: int = ROUNDS) -> list[Cost]:
    """Take turns; the first path is the measure, and the best round of each counts."""
    best = [float("inf")] * len(paths)
    for _ in range(rounds):
        for place, path in enumerate(paths):
            began = time.thread_time_ns()
            path.do()
            best[place] = min(best[place], (time.thread_time_ns() - began) / path.count / 1_000)
    return [Cost(path, us, us / best[0]) for path, us in zip(paths, best, strict=True)]


def hot_paths(count: int = COUNT) -> list[Path]:
    """Prepare all steps, over the transfers of so many accounts; verifying comes first."""
    state, parsed = _ground(count)
    raws = [each.raw for each in parsed]
    frame = encode(Transactions(tuple(raws)))
    context, executed = _block(state, parsed)
    return [
        Path("verify", "judge the signature", 1.0, partial(_verify, parsed), min(count, _VERIFIED)),
        Path("read", "from bytes to a transaction", 0.25, partial(_each, parse, raws), count),
        Path("admit", "ask the state", 0.25, partial(_admit, state, parsed), count),
        Path("pool", "wait, be ranked, leave", 0.20, partial(_pool, parsed), count),
        Path("gossip", "into a frame and out", 0.05, partial(_gossip, raws, frame), count),
        Path(
            "execute",
            "apply in a block, with its roots",
            0.90,
            partial(apply.execute, state, context, parsed),
            count,
        ),
        Path("receipts", "hash what came of it", 0.10, partial(_receipts, executed), count),
        Path("ids", "the root of a block's ids", 0.02, partial(_ids, parsed), count),
    ]


def _ground(count: int) -> tuple[State, list[Parsed]]:
    keys = [key_of(f"hot {number}") for number in range(count)]
    policies = [single_key(key.public_key) for key in keys]
    accounts = [
        GenesisAccount(address_of(policy), policy, ((NATIVE, _WEALTH),)) for policy in policies
    ]
    state = initial_state(a_genesis(accounts=accounts))
    body = Transfer((Output(_PAYEE, NATIVE, Amount(1)),))
    parsed = []
    for key, account in zip(keys, accounts, strict=True):
        draft = Transaction(
            chain_id=CHAIN_ID,
            sender=account.address,
            nonce=0,
            valid_until=Height(100),
            gas_limit=Gas(TRANSFER_GAS),
            max_gas_price=state.fees.price,
            tip=Amount(0),
            policy=None,
            bundle=False,
            bodies=(body,),
        )
        read = parse(sign(draft, [key]))
        assert isinstance(read, Parsed), "what was signed here can be read"
        parsed.append(read)
    return state, parsed


def _block(state: State, parsed: Sequence[Parsed]) -> tuple[BlockContext, Execution]:
    members = state.validators.members
    context = BlockContext(height=Height(1), time_ms=1, proposer=members[0].key)
    executed = apply.execute(state, context, parsed)
    assert isinstance(executed, Execution), "every transfer is good"
    return context, executed


def _each(do: Callable[[Any], object], these: Sequence[object]) -> None:
    for each in these:
        do(each)


def _verify(parsed: Sequence[Parsed]) -> None:
    for each in parsed[:_VERIFIED]:
        for check in signature_checks(each):
            assert crypto.verify(check.key, check.message, check.signature)


def _admit(state: State, parsed: Sequence[Parsed]) -> None:
    for each in parsed:
        refusal = check_admission(state, each, height=Height(1))
        assert refusal is None, "every transfer is good"
        spending(state, each)


def _pool(parsed: Sequence[Parsed]) -> None:
    pool: Mempool[Parsed] = Mempool(PoolLimits())
    for each in parsed:
        tx = each.tx
        pool.add(
            Entry(each.id, tx.sender, tx.nonce, tx.valid_until, 0, len(each.raw), 1, each),
            next_nonce=0,
        )
    assert sum(1 for _ in pool.ranked(lambda _sender: 0)) == len(parsed)
    included = [(each.id, each.tx.sender) for each in parsed]
    pool.advance(included=included, next_height=Height(2), nonce_of=lambda _sender: 1)


def _gossip(raws: Sequence[bytes], frame: bytes) -> None:
    encode(Transactions(tuple(raws)))
    decode_message(frame)


def _receipts(executed: Execution) -> None:
    _each(apply.receipt_hash, executed.receipts)


def _ids(parsed: Sequence[Parsed]) -> None:
    ids_root([each.id for each in parsed])
    encode([each.id for each in parsed])
