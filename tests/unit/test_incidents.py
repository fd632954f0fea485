"""What a final block did to validators, and which attack it shows signs of, is told once."""

import pytest
from msgspec.structs import replace

from aitbc_node.bech32 import address_text
from aitbc_node.canonical import encode
from aitbc_node.codes import Code
from aitbc_node.events import Note
from aitbc_node.incidents import (
    ACCOUNTS_MAX,
    FULL_BLOCKS_MAX,
    REGISTRATIONS_MAX,
    STAKE_ACTS_MAX,
    Incidents,
)
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.evidence import EvidenceSubmit, SignedMessage
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.transactions import Parsed
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.outbox import Outbox
from aitbc_node.types import Amount, BlockId, Gas, Height, Round, Signature
from aitbc_sim.town import CHAIN_ID, VALIDATOR_NAMES, Town, a_genesis, address, key_of, pay

COIN = 1_000_000
CITIZENS = tuple(f"citizen {place}" for place in range(REGISTRATIONS_MAX + 1))
SMALL = Params(
    epoch_blocks=40, max_block_gas=2_000_000, absence_window_blocks=4, unbonding_blocks=1_300
)


class Watch:
    """Be a town whose blocks are looked at, by north's node."""

    def __init__(self, params: Params = SMALL, *, own: str = "north") -> None:
        rich = ("alice", "bob", *VALIDATOR_NAMES, *CITIZENS)
        self.town = Town(a_genesis(rich=rich, params=params, powers=(9, 9, 9, 9)))
        self._out = Outbox()
        self._looks = Incidents(self._out, own_key=key_of(f"{own} votes").public_key)

    def block(self, *txs: Parsed) -> list[Note]:
        """Apply a block, none of whose transactions fails, and return what is told of it."""
        done = self.town.apply(*txs)
        assert {receipt.code for receipt in done.receipts} <= {Code.OK}
        self._looks.block_is_final(self.town.state, txs, done)
        return [effect for effect in self._out.take() if isinstance(effect, Note)]


def names(notes: list[Note]) -> list[str]:
    """Return which notes these are."""
    return [note.name for note in notes]


def text(name: str) -> str:
    """Write an account as people read it."""
    return address_text("aitd", address(name))


def registration(name: str, key: str = "") -> ValidatorPut:
    """Register somebody's own consensus key, or bring another one."""
    consensus = key_of(key or f"{name} votes")
    proof = possession_proof(CHAIN_ID, address(name), consensus)
    return ValidatorPut(key=consensus.public_key, proof=proof)


def offence() -> EvidenceSubmit:
    """Prove that west prevoted for two blocks of height 1."""
    signer = key_of("west votes")
    low, high = (
        SignedMessage(1, Height(1), Round(0), Round(-1), BlockId(32 * name), 0, Signature(b""))
        for name in (b"\1", b"\2")
    )
    first, second = (
        replace(bare, signature=signer.sign(bare.sign_bytes(CHAIN_ID))) for bare in (low, high)
    )
    return EvidenceSubmit(signer.public_key, first, second)


@pytest.mark.parametrize("own", ["north", "west"])
def test_a_slash_tells_who_lost_what_and_that_it_is_jailed(own: str) -> None:
    """To everybody; the validator's own node says that it is its own."""
    watch = Watch(own=own)
    watch.block()

    slashed, jailed, attack = watch.block(watch.town.tx("alice", offence()))

    assert slashed.name == "validator.slashed"
    assert dict(slashed.fields) == {
        "operator": text("west"),
        "reporter": text("alice"),
        "offence": 1,
        "reward": 9 * COIN // 40,
        "burned": 9 * COIN // 2 - 9 * COIN // 40,
        "own": own == "west",
    }
    assert jailed.name == "validator.jailed"
    assert dict(jailed.fields)["reason"] == "equivocation"
    assert (attack.name, attack.fields) == (
        "attack.nothing-at-stake", (("account", text("west")),),
    )  # fmt: skip
    assert watch.block() == []


def test_a_block_that_shows_evidence_by_itself_tells_the_same() -> None:
    """No transaction is needed for it."""
    watch = Watch()
    watch.block()
    watch.town.evidence = (encode(offence()),)

    assert names(watch.block()) == [
        "validator.slashed", "validator.jailed", "attack.nothing-at-stake",
    ]  # fmt: skip


def test_a_jail_for_absence_is_told_and_is_no_attack() -> None:
    """With how many blocks were missed, and until when it lasts at least."""
    watch = Watch()
    watch.town.absent = {key_of("west votes").public_key}
    told = [note for _ in range(8) for note in watch.block()]

    [jailed] = told
    assert jailed.name == "validator.jailed"
    fields = dict(jailed.fields)
    assert (fields["operator"], fields["reason"]) == (text("west"), "absence")
    assert fields["missed"] == 4
    assert fields["until"] == watch.town.state.membership(address("west")).jailed_until
    assert fields["own"] is False


def test_many_registrations_of_one_epoch_look_like_one_person() -> None:
    """Told once an epoch, with the first that is too many."""
    watch = Watch()
    told = []
    for place in range(0, len(CITIZENS), 7):
        few = CITIZENS[place : place + 7]
        told.append(names(watch.block(*(watch.town.tx(who, registration(who)) for who in few))))
    watch.block()

    assert told == [[], [], ["attack.sybil"]]


def test_registrations_of_different_epochs_are_no_sign() -> None:
    """The count begins anew."""
    watch = Watch(Params(epoch_blocks=4, unbonding_blocks=1_300))
    told = []
    for who in CITIZENS:
        told += watch.block(watch.town.tx(who, registration(who)))

    assert told == []


def test_who_turns_its_stake_over_and_over_is_named() -> None:
    """Bonds, coins taken back and new keys count together; the ninth of an epoch is told."""
    watch = Watch()
    north = address("north")
    acts = [StakeBond(north, Amount(COIN)), StakeUnbond(north, Amount(COIN))] * 4
    told = [names(watch.block(watch.town.tx("alice", act))) for act in acts]
    last = watch.block(watch.town.tx("alice", acts[0]))
    after = watch.block(watch.town.tx("alice", acts[0]))
    others = watch.block(watch.town.tx("bob", acts[0]))

    assert told == [[]] * STAKE_ACTS_MAX
    assert [(note.name, note.fields) for note in last] == [
        ("attack.stake-grinding", (("account", text("alice")),))
    ]
    assert after == others == []


def test_new_keys_count_as_turning_over() -> None:
    """A validator that tries one key after the other is named, too."""
    watch = Watch()
    keys = [registration("north", f"north {place}") for place in range(STAKE_ACTS_MAX + 1)]

    told = [names(watch.block(watch.town.tx("north", key))) for key in keys]

    assert told == [[]] * STAKE_ACTS_MAX + [["attack.stake-grinding"]]


def test_accounts_that_are_counted_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd hides who comes after it, and costs no memory."""
    monkeypatch.setattr("aitbc_node.incidents.ACCOUNTS_MAX", 1)
    watch = Watch()
    bond = StakeBond(address("north"), Amount(COIN))

    told = []
    for _ in range(STAKE_ACTS_MAX + 1):
        told += watch.block(watch.town.tx("alice", bond), watch.town.tx("bob", bond))

    assert [dict(note.fields)["account"] for note in told] == [text("alice")]
    assert ACCOUNTS_MAX == 4_096


def spam(watch: Watch, who: str, parts: int = 6) -> Parsed:
    """Buy six parts of a block's gas, of which it takes more than five to raise the price."""
    outs = tuple(Output(address(who), "AIT", Amount(1)) for _ in range(60))
    return watch.town.tx(who, *[Transfer(outs)] * parts, gas_limit=Gas(2_000_000))


def test_who_fills_block_after_block_is_named_once() -> None:
    """Five in a row that raise the price, paid for by one account."""
    watch = Watch()
    told = [names(watch.block(spam(watch, "alice"))) for _ in range(FULL_BLOCKS_MAX + 2)]

    assert told == [[]] * (FULL_BLOCKS_MAX - 1) + [["attack.gas-manipulation"], [], []]


@pytest.mark.parametrize("between", ["nothing", "another", "everybody"])
def test_full_blocks_that_are_not_one_accounts_are_no_sign(between: str) -> None:
    """A pause, another payer, or a crowd of which nobody pays for more than half."""
    watch = Watch()
    told = []
    for _ in range(FULL_BLOCKS_MAX - 1):
        told += watch.block(spam(watch, "alice"))
    if between == "nothing":
        told += watch.block(watch.town.tx("alice", pay("bob", 1)))
    elif between == "another":
        told += watch.block(spam(watch, "bob"))
    else:
        told += watch.block(*(spam(watch, who, 2) for who in CITIZENS[:3]))
    told += watch.block(spam(watch, "alice"))

    assert told == []
