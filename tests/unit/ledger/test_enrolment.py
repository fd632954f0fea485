"""Registering as a validator, new keys, stepping back: who may, and from when on."""

import pytest

from aitbc_node.codes import Code, Refusal
from aitbc_node.crypto import SigningKey
from aitbc_node.ledger.bonding import StakeBond
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.objects import ACTIVE, CANDIDATE, LEAVING, KeyUse
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.transactions import parse, sign
from aitbc_node.types import Amount, PublicKey, Signature
from aitbc_sim.town import CHAIN_ID, Town, a_genesis, address, key_of

COIN = 1_000_000
RICH = ("alice", "bob", "north", "east")


def registering(name: str, key: SigningKey | None = None, **changes: object) -> ValidatorPut:
    """Bring a key with its proof along."""
    signer = key or key_of(f"{name} votes")
    proof = possession_proof(CHAIN_ID, address(name), signer)
    return ValidatorPut(key=signer.public_key, proof=proof, **changes)


@pytest.fixture
def hall() -> Town:
    """Found a town with epochs of five blocks."""
    return Town(a_genesis(rich=RICH, params=Params(epoch_blocks=5)))


def to_next_epoch(town: Town) -> None:
    """Apply empty blocks up to the end of the epoch."""
    while not town.apply() or town.height % 5:
        pass


def test_an_account_registers_bonds_and_votes_from_the_next_epoch(hall: Town) -> None:
    """Not before: the four founders vote on until the last block of the epoch."""
    body = registering("alice", commission_bps=500, region="eu", endpoint="10.0.0.1:8600")
    hall.apply(hall.tx("alice", body, StakeBond(address("alice"), Amount(COIN))))
    member = hall.state.membership(address("alice"))
    assert member is not None
    assert (member.status, member.commission_bps, member.region) == (CANDIDATE, 500, "eu")
    assert len(hall.state.validators.members) == 4

    to_next_epoch(hall)

    key = key_of("alice votes").public_key
    assert hall.state.validators.power_of(key) == 1
    assert hall.state.membership(address("alice")).status == ACTIVE


def test_registering_alone_gives_no_vote(hall: Town) -> None:
    """Power is what is bonded."""
    hall.apply(hall.tx("alice", registering("alice")))

    to_next_epoch(hall)

    assert len(hall.state.validators.members) == 4


def test_a_thousand_fresh_keys_have_no_power() -> None:
    """Keys cost nothing, so they count for nothing: the founders' votes stay all that there are.

    Keys without a bond, that is: who bonds behind many of them has as much power as behind one.
    """
    crowd = [f"nobody {number}" for number in range(1_000)]
    params = Params(epoch_blocks=5, max_block_gas=100_000_000)
    town = Town(a_genesis(rich=crowd, params=params))
    before = town.state.validators.digest()

    done = town.apply(*[town.tx(name, registering(name)) for name in crowd])
    to_next_epoch(town)

    assert {receipt.code for receipt in done.receipts} == {Code.OK}
    assert town.state.validators.digest() == before


def test_a_new_key_votes_from_the_next_epoch_and_the_old_one_is_remembered(hall: Town) -> None:
    """The turn and the power stay; evidence against the old key can still be told."""
    old, new = key_of("north votes").public_key, key_of("fresh")
    hall.apply(hall.tx("north", registering("north", new)))
    assert hall.state.validators.index_of(old) is not None

    to_next_epoch(hall)

    assert hall.state.validators.index_of(old) is None
    assert hall.state.validators.power_of(new.public_key) == 1
    assert hall.state.key_use(old) == KeyUse(address("north"), ((1, 5),))
    assert hall.state.key_use(new.public_key) == KeyUse(address("north"), ((6, 0),))


def test_who_has_no_vote_changes_the_key_at_once(hall: Town) -> None:
    """There is no epoch to wait for."""
    hall.apply(hall.tx("alice", registering("alice")))

    hall.apply(hall.tx("alice", registering("alice", key_of("fresh"))))

    member = hall.state.membership(address("alice"))
    assert (member.key, member.next_key) == (key_of("fresh").public_key, None)


def test_one_steps_back_and_returns(hall: Town) -> None:
    """Leaving ends the vote with the epoch, the bond stays; joining brings it back."""
    hall.apply(hall.tx("north", ValidatorPut(status="leaving")))
    assert hall.state.membership(address("north")).status == LEAVING
    to_next_epoch(hall)
    away = hall.state.validators.members

    hall.apply(hall.tx("north", ValidatorPut(status="joining")))
    to_next_epoch(hall)

    assert len(away) == 3
    assert len(hall.state.validators.members) == 4


OTHER = key_of("somebody")
STOLEN = ValidatorPut(key=OTHER.public_key, proof=possession_proof(CHAIN_ID, address("bob"), OTHER))


@pytest.mark.parametrize(
    ("sender", "body", "code", "field"),
    [
        ("alice", ValidatorPut(region="eu"), Code.E_UNKNOWN, "key"),
        ("alice", registering("alice", key_of("north votes")), Code.E_KEY_TAKEN, "key"),
        ("alice", STOLEN, Code.E_SIGNATURE, "proof"),
        ("alice", registering("alice", commission_bps=99), Code.E_AMOUNT, "commission_bps"),
        ("north", ValidatorPut(commission_bps=1_001), Code.E_AMOUNT, "commission_bps"),
        ("north", registering("north"), Code.E_KEY_TAKEN, "key"),
        ("north", ValidatorPut(status="joining"), Code.E_STATE, "status"),
    ],
)
def test_refusals(hall: Town, sender: str, body: ValidatorPut, code: Code, field: str) -> None:
    """Each rule has its code, and names its field."""
    receipt = hall.apply(hall.tx(sender, body)).receipts[0]

    assert (receipt.code, receipt.events) == (code, (("failed", "0", field),))


def test_nobody_leaves_twice(hall: Town) -> None:
    """The second request would change nothing."""
    leaving = ValidatorPut(status="leaving")
    hall.apply(hall.tx("north", leaving))

    receipt = hall.apply(hall.tx("north", leaving)).receipts[0]

    assert (receipt.code, receipt.events) == (Code.E_STATE, (("failed", "0", "status"),))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (ValidatorPut(key=OTHER.public_key), "proof"),
        (ValidatorPut(proof=Signature(bytes(64))), "proof"),
        (ValidatorPut(proof=Signature(bytes(63))), "proof"),
        (ValidatorPut(key=PublicKey(bytes(32)), proof=Signature(bytes(64))), "key"),
        (ValidatorPut(key=PublicKey(bytes(31))), "key"),
        (ValidatorPut(commission_bps=10_001), "commission_bps"),
        (ValidatorPut(region="e\u0301"), "region"),
        (ValidatorPut(region="x" * 65), "region"),
        (ValidatorPut(endpoint="\u00e9"), "endpoint"),
        (ValidatorPut(endpoint="x" * 129), "endpoint"),
        (ValidatorPut(status="gone"), "status"),  # type: ignore[arg-type]  # what is refused
    ],
)
def test_form(hall: Town, body: ValidatorPut, field: str) -> None:
    """A refusal of the form names the field, too."""
    refusal = parse(sign(hall.draft("north", body), [key_of("north")]))

    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.field) == (Code.E_MALFORMED, f"bodies[0].{field}")
