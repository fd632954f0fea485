"""What a node answers about validators, stakes, rewards, proposals and epochs."""

from typing import Any

import pytest
from msgspec.structs import replace

from aitbc_node import bech32, limits
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.motions import AdmitValidator, ChangeParameter, Motion, PauseAsset
from aitbc_node.ledger.objects import EpochLog
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.proposals import ProposalSubmit, ProposalVote
from aitbc_node.ledger.rewards import RewardClaim
from aitbc_node.ledger.state import State
from aitbc_node.types import Amount, Height
from aitbc_sim.town import CHAIN_ID, VALIDATOR_NAMES, Town, a_genesis, address, key_of

COIN = 1_000_000


def text(name: str) -> str:
    """Write a citizen's address."""
    return bech32.address_text("aitd", address(name))


@pytest.fixture
def town() -> Town:
    """Found a town of four equals with epochs of six blocks and something to earn."""
    params = Params(
        epoch_blocks=6, unbonding_blocks=10, evidence_max_age_blocks=3, reward_per_block=1_000
    )
    rich = ("alice", "bob", *VALIDATOR_NAMES)
    return Town(a_genesis(rich=rich, params=params, powers=(10, 10, 10, 10), pool=COIN))


@pytest.fixture
def read(node: Any, town: Town) -> Any:
    """Ask a node that shows the town as it is when it is asked."""
    final = node.finals[0]
    header = replace(final.block.header, validators_hash=town.state.validators.digest())
    final = replace(final, block=replace(final.block, header=header))

    def ask(target: str) -> Any:
        node.state = town.state
        node.finals = [final] * town.height
        return node.read(target)

    return ask


def enrol(town: Town, name: str) -> None:
    """Register a validator with a key of its own."""
    key = key_of(f"{name} votes")
    proof = possession_proof(CHAIN_ID, address(name), key)
    put = ValidatorPut(key=key.public_key, proof=proof, commission_bps=500, region="north")
    town.apply(town.tx(name, put))


def propose(town: Town, motion: Motion, sender: str = "north") -> str:
    """Submit a proposal and return its id."""
    receipt = town.apply(town.tx(sender, ProposalSubmit(motion))).receipts[0]
    return receipt.events[0][1]


def test_a_newcomer_is_told_with_the_vote_that_it_will_have(town: Town, read: Any) -> None:
    """A candidate has no power yet; the next epoch's is told, and then it is what comes."""
    enrol(town, "alice")
    town.apply(town.tx("alice", StakeBond(address("alice"), Amount(5 * COIN))))

    told = read("/state/validators")

    rows = {row["address"]: row for row in told["validators"]}
    assert (told["total_power"], told["next_total_power"], told["next_epoch"]) == (40, 45, 7)
    newcomer = rows[text("alice")]
    assert (newcomer["status"], newcomer["power"], newcomer["next_power"]) == ("candidate", 0, 5)
    assert (newcomer["bonded"], newcomer["own_bond"]) == ("5000000", "5000000")
    assert (newcomer["commission_bps"], newcomer["region"]) == (500, "north")
    founder = rows[text("north")]
    assert (founder["status"], founder["seat"], founder["power"]) == ("active", "admitted", 10)
    assert told["validators"][-1] == newcomer  # those who vote come first
    while town.height < 6:
        town.apply()
    assert read(f"/state/validators/{text('alice')}")["power"] == 5


def test_a_list_of_validators_reads_attendance_once(
    read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not once a row: anybody may ask, and others make the list long."""
    asked: list[State] = []

    def spy(state: State) -> EpochLog:
        asked.append(state)
        return EpochLog(())

    monkeypatch.setattr(State, "epoch_log", property(spy))

    rows = read("/state/validators")["validators"]

    assert (len(rows), len(asked)) == (4, 1)


def test_who_is_registered_without_a_bond_is_told_by_name_only(town: Town, read: Any) -> None:
    """Registering costs gas only, so a list of all could be made long by anybody."""
    enrol(town, "alice")

    listed = {row["address"] for row in read("/state/validators")["validators"]}

    assert text("alice") not in listed
    assert read(f"/state/validators/{text('alice')}")["bonded"] == "0"


def test_a_rotated_key_and_missed_blocks_are_told(town: Town, read: Any) -> None:
    """The key of the next epoch stands beside the present one; absence is counted."""
    new = key_of("north votes anew")
    proof = possession_proof(CHAIN_ID, address("north"), new)
    town.absent = {key_of("east votes").public_key}
    town.apply(town.tx("north", ValidatorPut(key=new.public_key, proof=proof)))
    town.apply()
    town.apply()

    north, east = (read(f"/state/validators/{text(name)}") for name in ("north", "east"))

    assert north["next_key"] == new.public_key.hex()
    assert (north["signed"], north["expected"], north["missed"]) == (2, 2, 0)
    assert (east["signed"], east["expected"], east["missed"]) == (0, 2, 2)
    assert new.public_key.hex() in {row["key"] for row in read("/epoch")["next_validators"]}


def test_stakes_and_coins_on_their_way_back(town: Town, read: Any) -> None:
    """An account is told what it has behind whom, and when the rest comes."""
    north, east = address("north"), address("east")
    town.apply(town.tx("alice", StakeBond(north, Amount(3 * COIN))))
    town.apply(town.tx("alice", StakeBond(east, Amount(COIN))))
    town.apply(town.tx("alice", StakeUnbond(east, Amount(COIN))))

    told = read(f"/state/accounts/{text('alice')}/stakes")

    assert (told["bonded"], told["unbonding"]) == ("3000000", "1000000")
    assert told["stakes"] == [
        {
            "validator": text("north"),
            "amount": "3000000",
            "earned": "0",
            "validator_status": "active",
        }
    ]
    assert told["leaving"] == [
        {"validator": text("east"), "amount": "1000000", "matures": 13, "counted_until": 0}
    ]
    assert read(f"/state/accounts/{text('bob')}/stakes")["stakes"] == []


def test_rewards_told_are_rewards_paid(town: Town, read: Any) -> None:
    """What an epoch paid is told per validator and per account, and a claim takes all of it."""
    while town.height < 6:
        town.apply()
    told = read(f"/state/accounts/{text('north')}/rewards")
    of_validator = read(f"/validators/{text('north')}/rewards")

    (row,) = told["rewards"]
    assert int(row["earned"]) > 0 < int(row["commission"])
    assert int(told["total"]) == int(row["earned"]) + int(row["commission"])
    assert of_validator["commission"] == row["commission"]
    assert int(of_validator["rewards"]) >= int(row["earned"])
    events = town.apply(town.tx("north", RewardClaim())).receipts[0].events
    assert events[0][-1] == told["total"]
    assert read(f"/state/accounts/{text('north')}/rewards")["total"] == "0"


def test_a_proposal_is_told_with_its_tally(town: Town, read: Any) -> None:
    """Votes count by their power now, and the power that it takes is told."""
    enrol(town, "alice")
    name = propose(town, AdmitValidator(address("alice")))
    town.apply(town.tx("north", ProposalVote(bytes.fromhex(name), yes=True)))
    town.apply(town.tx("east", ProposalVote(bytes.fromhex(name), yes=False)))

    told = read(f"/state/proposals/{name}")

    assert told["motion"] == {"kind": "validator_add", "details": {"operator": text("alice")}}
    assert (told["yes_power"], told["no_power"], told["needed_power"]) == (10, 10, 27)
    assert {(vote["address"], vote["yes"]) for vote in told["votes"]} == {
        (text("north"), True),
        (text("east"), False),
    }
    row = {field: value for field, value in told.items() if field != "votes"}
    assert read("/state/proposals") == {"height": 4, "count": 1, "proposals": [row]}


def test_a_pause_takes_four_fifths(town: Town, read: Any) -> None:
    """Its bar is told as it is judged: 32 of 40."""
    name = propose(town, PauseAsset("mUSDA", paused=True))

    told = read(f"/state/proposals/{name}")

    assert told["needed_power"] == 32
    assert told["motion"]["details"] == {"asset": "mUSDA", "paused": "yes"}


def test_a_decision_waits_for_the_end_of_the_epoch(
    town: Town, read: Any, node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is open no more; the epoch names it until it is carried out."""
    monkeypatch.setattr(limits, "RPC_PROPOSALS_MAX", 1)
    name = propose(town, ChangeParameter("tx_ttl_blocks", 77))
    propose(town, ChangeParameter("tx_ttl_blocks", 78))
    other = propose(town, ChangeParameter("tx_ttl_blocks", 79))
    assert read("/state/proposals")["count"] == 3
    assert len(read("/state/proposals")["proposals"]) == 1
    voters = VALIDATOR_NAMES[:3]
    town.apply(*(town.tx(each, ProposalVote(bytes.fromhex(name), yes=True)) for each in voters))

    epoch = read("/epoch")

    waiting = {"kind": "param", "details": {"name": "tx_ttl_blocks", "value": "77"}}
    assert epoch["decided"] == [waiting]
    assert (epoch["number"], epoch["first"], epoch["last"]) == (0, 1, 6)
    assert node.fault(f"/state/proposals/{name}", status=404)["field"] == "id"
    assert read(f"/state/proposals/{other}")["yes_power"] == 0
    while town.height < 6:
        town.apply()
    epoch = read("/epoch")
    assert (epoch["number"], epoch["first"], epoch["last"], epoch["decided"]) == (1, 7, 12, [])
    assert town.state.params.tx_ttl_blocks == 77
    assert Height(epoch["height"]) == 6


def test_voters_of_a_past_epoch_are_told(town: Town, read: Any) -> None:
    """A block of the epoch before names its signers by the set that it had."""
    town.apply()
    told = read("/validators?height=1")
    enrol(town, "alice")
    town.apply(town.tx("alice", StakeBond(address("alice"), Amount(5 * COIN))))
    while town.height < 7:
        town.apply()

    assert len(read("/validators")["validators"]) == 5
    assert read("/validators?height=1") == told


@pytest.mark.parametrize(
    ("target", "status", "field"),
    [
        ("/state/validators/aitd1qqq", 400, "address"),
        ("/validators/aitd1qqq/rewards", 400, "address"),
        ("/state/accounts/aitd1qqq/stakes", 400, "address"),
        ("/state/accounts/aitd1qqq/rewards", 400, "address"),
        (f"/state/validators/{text('nobody')}", 404, "address"),
        (f"/validators/{text('nobody')}/rewards", 404, "address"),
        ("/state/proposals/zz", 400, "id"),
        ("/state/proposals/" + "AB" * 20, 400, "id"),
        ("/state/proposals/" + "ab" * 20, 404, "id"),
        ("/epoch?height=1", 400, "height"),
    ],
)
def test_a_wrong_word_names_its_field(node: Any, target: str, status: int, field: str) -> None:
    """Each wrong word in a request is refused with the name of its field, and a way out."""
    fault = node.fault(target, status=status)

    assert fault["field"] == field
    assert fault["hint"]
    assert fault["code"] in {"bad-request", "not-found"}
