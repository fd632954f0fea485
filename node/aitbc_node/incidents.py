"""What has a final block shown that people should hear of: a jail, a slash, signs of an attack?

Notes only: no block and no vote depends on anything here. The attacks gain nothing by the rules
alone; their signs tell whom to talk to. Counts are of one epoch and bounded. Do not add what a node
sees of its peers. Source: the drivers E29a to E29e.
"""

from collections import Counter
from collections.abc import Sequence

from aitbc_node.bech32 import address_text
from aitbc_node.ledger.apply import Execution, events_but_transfers
from aitbc_node.ledger.family import Event
from aitbc_node.ledger.params import BPS
from aitbc_node.ledger.state import State
from aitbc_node.ledger.transactions import Parsed
from aitbc_node.outbox import Outbox
from aitbc_node.types import Address, PublicKey

REGISTRATIONS_MAX = 20
"""Validators registered in one epoch; more of them look like one person's."""
STAKE_ACTS_MAX = 8
"""Bonds, coins taken back and new keys of one account in one epoch."""
FULL_BLOCKS_MAX = 5
"""Blocks in a row that raise the price while one account pays for most of their gas."""
ACCOUNTS_MAX = 4_096
"""Accounts whose acts of an epoch are counted."""

_HEEDED = frozenset(
    ("slashed", "jailed", "validator.registered", "validator.key", "stake.bond", "stake.unbond")
)


class Incidents:
    """Look at each final block once."""

    def __init__(self, outbox: Outbox, *, own_key: PublicKey | None) -> None:
        self._out = outbox
        self._own_key = own_key
        self._epoch = 0
        self._registrations = 0
        self._acts: Counter[str] = Counter()
        self._spammer: tuple[Address, int] | None = None

    def block_is_final(self, state: State, txs: Sequence[Parsed], done: Execution) -> None:
        """Tell what a block did to validators, and of whom it makes one wary.

        `state` is the one behind it.
        """
        epoch = (done.height - 1) // state.params.epoch_blocks
        if epoch != self._epoch:
            self._epoch, self._registrations = epoch, 0
            self._acts.clear()
        for event in (*done.events, *events_but_transfers(done.receipts)):
            if event[0] in _HEEDED:
                self._heed(state, event)
        self._heed_gas(state, txs, done)

    def _heed(self, state: State, event: Event) -> None:
        match event:
            case ("slashed", operator, height, reporter, reward, burned):
                names = {"operator": _text(state, operator), "reporter": _text(state, reporter)}
                rest = {"offence": int(height), "reward": int(reward), "burned": int(burned)}
                own = self._is_own(state, operator)
                self._out.note("validator.slashed", **names, **rest, own=own)
                self._tell_jail(state, operator, missed=0)
                self._out.note("attack.nothing-at-stake", account=_text(state, operator))
            case ("jailed", operator, missed):
                self._tell_jail(state, operator, missed=int(missed))
            case ("validator.registered", *_):
                self._registrations += 1
                if self._registrations == REGISTRATIONS_MAX + 1:
                    self._out.note("attack.sybil", registered=self._registrations)
            case ("validator.key", account, *_) | (_, _, account, *_):
                self._count(state, account)
            case _:
                raise AssertionError(f"nobody heeds {event}")

    def _tell_jail(self, state: State, operator: str, *, missed: int) -> None:
        member = state.membership(Address(bytes.fromhex(operator)))
        assert member is not None, "jailed without a registration"
        self._out.note(
            "validator.jailed",
            operator=_text(state, operator),
            reason=member.jailed_for,
            until=member.jailed_until,
            missed=missed,
            own=self._is_own(state, operator),
        )

    def _count(self, state: State, account: str) -> None:
        if account not in self._acts and len(self._acts) >= ACCOUNTS_MAX:
            return
        self._acts[account] += 1
        if self._acts[account] == STAKE_ACTS_MAX + 1:
            self._out.note("attack.stake-grinding", account=_text(state, account))

    def _heed_gas(self, state: State, txs: Sequence[Parsed], done: Execution) -> None:
        """See one account push the price: it pays for most of what is bought at it."""
        params = state.params
        used = state.fees.recent_gas[-1]
        if used * BPS <= params.max_block_gas * params.gas_high_bps:
            self._spammer = None
            return
        by: Counter[Address] = Counter()
        for parsed, receipt in zip(txs, done.receipts, strict=True):
            by[parsed.tx.sender] += receipt.gas_used
        [(sender, most)] = by.most_common(1)
        if 2 * most <= used:
            self._spammer = None
            return
        before = self._spammer
        blocks = before[1] + 1 if before is not None and before[0] == sender else 1
        self._spammer = sender, blocks
        if blocks == FULL_BLOCKS_MAX:
            self._out.note("attack.gas-manipulation", account=_text(state, sender.hex()))

    def _is_own(self, state: State, operator: str) -> bool:
        use = None if self._own_key is None else state.key_use(self._own_key)
        return use is not None and use.operator.hex() == operator


def _text(state: State, account: str) -> str:
    return address_text(state.chain.hrp, Address(bytes.fromhex(account)))
