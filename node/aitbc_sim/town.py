"""What a ledger looks like to a test: keys by name, a genesis, blocks applied one by one.

Every block is audited, so a test that merely applies one checks the invariants too. Do not add
consensus here: there is one ledger and its word is final.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from aitbc_node.blocks import tx_id
from aitbc_node.canonical import Record
from aitbc_node.codes import Refusal
from aitbc_node.crypto import SigningKey, sha256
from aitbc_node.ledger import genesis
from aitbc_node.ledger.admission import check_admission
from aitbc_node.ledger.apply import (
    BlockContext,
    Execution,
    InvalidBlock,
    commit,
    execute,
)
from aitbc_node.ledger.assets import AssetSupply
from aitbc_node.ledger.audit import audit, audit_block
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.objects import NATIVE, NEW_ACCOUNT, ObjectKey, balance
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.policy import address_of, single_key
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.state import State
from aitbc_node.ledger.transactions import Parsed, Transaction, parse, sign
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Address, Amount, Gas, Height, Power, PublicKey, Round

CHAIN_ID = "aitbc-test-1"
WEALTH = 1_000_000_000
VALIDATOR_NAMES = ("north", "east", "south", "west")


def key_of(name: str) -> SigningKey:
    """Make the same key for the same name, always."""
    return SigningKey(sha256(name.encode()))


def address(name: str) -> Address:
    """Return the address of a name's ordinary account."""
    return address_of(single_key(key_of(name).public_key))


def a_genesis(
    *,
    rich: Sequence[str] = ("alice", "bob"),
    accounts: Sequence[genesis.GenesisAccount] = (),
    assets: Sequence[genesis.GenesisAsset] = (),
    params: Params | None = None,
    powers: Sequence[int] = (1, 1, 1, 1),
    pool: int = 0,
) -> genesis.Genesis:
    """Found a chain with four validators, rich citizens, and a mock asset that `mint` makes."""
    mock = genesis.GenesisAsset("mUSDA", "mock dollar", 6, address("mint"))
    operators = [address(name) for name in VALIDATOR_NAMES]
    return genesis.build(
        chain_id=CHAIN_ID,
        hrp="aitd",
        genesis_time_ms=1_760_000_000_000,
        validators=[
            genesis.GenesisValidator(
                operator,
                key_of(f"{name} votes").public_key,
                Power(power),
                "",
                possession_proof(CHAIN_ID, operator, key_of(f"{name} votes")),
            )
            for name, operator, power in zip(VALIDATOR_NAMES, operators, powers, strict=True)
        ],
        accounts=[*accounts, *(a_citizen(name) for name in dict.fromkeys((*rich, "mint")))],
        assets=(*assets, mock),
        params=params,
        reward_pool=pool,
    )


def a_citizen(name: str) -> genesis.GenesisAccount:
    """Fund a name's ordinary account, its policy on record."""
    policy = single_key(key_of(name).public_key)
    return genesis.GenesisAccount(address_of(policy), policy, ((NATIVE, Amount(WEALTH)),))


def pay(to: str, amount: int, asset: str = NATIVE) -> Transfer:
    """Pay one citizen."""
    return Transfer((Output(address(to), asset, Amount(amount)),))


def supply(account: str, delta: int, asset: str = "mUSDA") -> AssetSupply:
    """Create or destroy units."""
    return AssetSupply(asset, address(account), delta)


class Town:
    """Hold a committed state, apply blocks to it, and audit it after each."""

    def __init__(self, founding: genesis.Genesis) -> None:
        self.genesis = founding
        self.state = genesis.initial_state(founding)
        self.height = 0
        self.voters: tuple[PublicKey, ...] = ()
        """Who could sign the newest block."""
        self.absent: set[PublicKey] = set()
        """Whose signatures are missing in the blocks to come."""
        self.evidence: tuple[bytes, ...] = ()
        """What the next block shows by itself."""

    def draft(self, sender: str, *bodies: Body, **changes: Any) -> Transaction:
        """Write a transaction of this sender that would be good now, then change it."""
        account = self.state.account(address(sender)) or NEW_ACCOUNT
        tx = Transaction(
            chain_id=CHAIN_ID,
            sender=address(sender),
            nonce=account.nonce,
            valid_until=Height(self.height + 10),
            gas_limit=Gas(2_000_000),
            max_gas_price=10**9,
            tip=Amount(0),
            policy=None if account.policy else single_key(key_of(sender).public_key),
            bundle=len(bodies) > 1,
            bodies=bodies,
        )
        return msgspec.structs.replace(tx, **changes)

    def tx(self, sender: str, *bodies: Body, **changes: Any) -> Parsed:
        """Sign and parse a transaction of this sender."""
        parsed = parse(sign(self.draft(sender, *bodies, **changes), [key_of(sender)]))
        assert isinstance(parsed, Parsed), parsed
        assert parsed.id == tx_id(parsed.raw)
        return parsed

    def context(self) -> BlockContext:
        """Return the context of the next block, proposed by whose turn it is."""
        proposer = self.state.validators.proposer(Round(0))
        signers = frozenset(key for key in self.voters if key not in self.absent)
        return BlockContext(
            Height(self.height + 1),
            0,
            proposer.key,
            signers=signers,
            voters=self.voters,
            evidence=self.evidence,
        )

    def judge(self, *txs: Parsed) -> Execution | InvalidBlock:
        """Execute the next block without committing it."""
        return execute(self.state, self.context(), txs)

    def apply(self, *txs: Parsed) -> Execution:
        """Execute and commit the next block; every invariant must hold after it."""
        execution = self.judge(*txs)
        assert isinstance(execution, Execution), execution
        before = self.state.fees
        self.voters = tuple(member.key for member in self.state.validators.members)
        commit(self.state, execution)
        self.height += 1
        self.evidence = ()
        assert self.state.root == execution.state_root
        assert audit(self.state) == []
        assert self.state.tally.violations() == []
        assert audit_block(before, self.state, execution.receipts) == []
        return execution

    def rewrite(self, writes: Mapping[ObjectKey, Record]) -> None:
        """Change objects behind the ledger's back."""
        self.state = State({**self.state.contents, **writes})

    def refusal(self, *txs: Parsed) -> Refusal:
        """Return why the next block may not hold the last of these."""
        judged = self.judge(*txs)
        assert isinstance(judged, InvalidBlock), "the block is valid"
        assert judged.index == len(txs) - 1
        return judged.refusal

    def admit(self, parsed: Parsed, pending_nonce: int | None = None) -> Refusal | None:
        """Ask whether the mempool may take a transaction now."""
        height = Height(self.height + 1)
        return check_admission(self.state, parsed, height=height, pending_nonce=pending_nonce)

    def owns(self, name: str, asset: str = NATIVE) -> int:
        """Return a citizen's balance."""
        return balance((self.state.account(address(name)) or NEW_ACCOUNT).balances, asset)
