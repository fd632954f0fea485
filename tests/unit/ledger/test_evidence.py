"""Evidence: who signed twice loses half, once; nobody else loses anything."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from aitbc_node import limits
from aitbc_node.blocks import PRECOMMIT, PREVOTE, PROPOSAL
from aitbc_node.canonical import encode
from aitbc_node.codes import Code, Refusal
from aitbc_node.crypto import SigningKey, sha256, verify
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.evidence import EvidenceSubmit, SignedMessage, apply, read
from aitbc_node.ledger.family import Act
from aitbc_node.ledger.objects import (
    CANDIDATE,
    JAILED,
    OFFENCE,
    PARAMS,
    UNBONDING,
    Leaving,
    Offence,
    Unbonding,
)
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.staking import value_of
from aitbc_node.ledger.state import Draft
from aitbc_node.ledger.transactions import parse, sign
from aitbc_node.types import Amount, BlockId, Height, Round, Signature
from aitbc_sim.town import CHAIN_ID, VALIDATOR_NAMES, Town, a_genesis, address, key_of

COIN = 1_000_000
RICH = ("alice", "bob", "north", "east")
LOW, HIGH = sorted((BlockId(sha256(b"one")), BlockId(sha256(b"two"))))


def signed(
    block_id: BlockId,
    *,
    height: int = 1,
    kind: int = PRECOMMIT,
    signer: SigningKey | None = None,
    chain_id: str = CHAIN_ID,
) -> SignedMessage:
    """Have north's key, or another, sign a message."""
    bare = SignedMessage(
        kind, Height(height), Round(0), Round(-1), block_id, 7, Signature(bytes(64))
    )
    key = signer or key_of("north votes")
    return replace(bare, signature=key.sign(bare.sign_bytes(chain_id)))


def evidence(height: int = 1, kind: int = PRECOMMIT) -> EvidenceSubmit:
    """Show that north signed two blocks."""
    key = key_of("north votes").public_key
    return EvidenceSubmit(
        key, signed(LOW, height=height, kind=kind), signed(HIGH, height=height, kind=kind)
    )


@pytest.fixture
def court() -> Town:
    """Found a town of ten coins a validator, epochs of five blocks, evidence good for eight."""
    params = Params(epoch_blocks=5, unbonding_blocks=10, evidence_max_age_blocks=8, jail_blocks=12)
    return Town(a_genesis(rich=RICH, params=params, powers=(10, 10, 10, 10)))


@pytest.mark.parametrize("kind", [PROPOSAL, PREVOTE, PRECOMMIT])
def test_who_signs_twice_loses_half_and_the_reporter_gets_a_twentieth(
    court: Town, kind: int
) -> None:
    """The rest is destroyed, and supply shows it; two proposals or votes of one round suffice."""
    supply = court.state.asset("AIT").supply
    before = court.owns("alice")

    receipt = court.apply(court.tx("alice", evidence(kind=kind))).receipts[0]

    names = (address("north").hex(), "1", address("alice").hex())
    assert receipt.events == (("slashed", *names, str(COIN // 4), str(19 * COIN // 4)),)
    assert court.state.membership(address("north")).bonded == 5 * COIN
    assert court.owns("alice") == before + COIN // 4 - receipt.fee
    assert court.state.asset("AIT").supply == supply - 19 * COIN // 4 - court.state.fees.burned


def test_an_offence_is_punished_once(court: Town) -> None:
    """By whomever it is shown again, and whichever two messages show it."""
    court.apply(court.tx("alice", evidence()))

    for body in (evidence(), evidence(kind=PREVOTE)):
        receipt = court.apply(court.tx("bob", body)).receipts[0]
        assert (receipt.code, receipt.events) == (
            Code.E_PUNISHED, (("failed", "0", "first.height"),),
        )  # fmt: skip
    assert court.state.membership(address("north")).bonded == 5 * COIN


def test_delegators_lose_with_their_validator(court: Town) -> None:
    """Half of every stake, so it matters whom one bonds with."""
    court.apply(court.tx("bob", StakeBond(address("north"), Amount(4 * COIN))))
    court.apply(court.tx("alice", evidence(height=2)))

    over = court.apply(court.tx("bob", StakeUnbond(address("north"), Amount(2 * COIN + 1))))
    all_of_it = court.apply(court.tx("bob", StakeUnbond(address("north"), Amount(2 * COIN))))

    assert over.receipts[0].code == Code.E_INSUFFICIENT
    assert all_of_it.receipts[0].code == Code.OK


@pytest.mark.proves("E22")
def test_every_position_loses_its_share_and_no_coin_is_lost_in_rounding(court: Town) -> None:
    """Odd amounts, one of them on its way back; all that was not slashed is paid in the end."""
    north = address("north")
    put_in = {"alice": COIN + 1, "bob": 3 * COIN + 3, "east": 5 * COIN + 7}
    for name, amount in put_in.items():
        court.apply(court.tx(name, StakeBond(north, Amount(amount))))
    court.apply(court.tx("east", StakeUnbond(north, Amount(2 * COIN + 1))))
    stood = sum(put_in.values()) + 10 * COIN
    supply = court.state.asset("AIT").supply

    told = court.apply(court.tx("alice", evidence(height=court.height))).receipts[0].events[0]
    reward, burned = (int(word) for word in told[-2:])
    member, [waiting] = court.state.membership(north), court.state.unbonding(north).rows
    staying = {**put_in, "east": 3 * COIN + 6, "north": 10 * COIN}
    worth = {
        name: value_of(member, court.state.stake(north, address(name)).shares) for name in staying
    }
    for name, amount in staying.items():
        # A unit that is no one position's stays in the bond for whoever leaves last.
        assert amount // 2 <= amount - worth[name] <= amount // 2 + 1
    assert waiting.amount == 2 * COIN + 1 - (2 * COIN + 1) // 2
    assert member.bonded + waiting.amount == stood - reward - burned
    assert court.state.asset("AIT").supply == supply - burned - court.state.fees.burned

    paid = waiting.amount
    for name in staying:
        share = court.state.stake(north, address(name)).shares
        owned = value_of(court.state.membership(north), share)
        court.apply(court.tx(name, StakeUnbond(north, owned)))
        paid += owned
    assert paid == stood - reward - burned
    assert court.state.membership(north).bonded == 0


def test_coins_on_their_way_back_are_slashed_if_they_counted_at_the_offence(court: Town) -> None:
    """What no longer stood behind the vote is not touched; whoever bonded it."""
    court.apply(court.tx("bob", StakeBond(address("north"), Amount(6 * COIN))))
    court.apply(court.tx("bob", StakeUnbond(address("north"), Amount(2 * COIN))))
    while court.height < 5:
        court.apply()
    court.apply(court.tx("bob", StakeUnbond(address("north"), Amount(4 * COIN))))

    court.apply(court.tx("alice", evidence(height=6)))

    rows = court.state.unbonding(address("north")).rows
    assert [row.amount for row in rows] == [2 * COIN, 2 * COIN]
    place = bytes(address("north")) + (6).to_bytes(8, "big")
    assert court.state.lookup((OFFENCE, place)) == Offence(Amount(14 * COIN), Amount(7 * COIN))


def test_an_operator_that_takes_its_bond_back_first_does_not_sign_twice_for_nothing(
    court: Town,
) -> None:
    """Its vote lasts to the end of the epoch, and so does what it answers with."""
    court.apply(court.tx("north", StakeUnbond(address("north"), Amount(10 * COIN))))
    court.apply()
    assert court.state.validators.power_of(KEY) == 10

    receipt = court.apply(court.tx("alice", evidence(height=2))).receipts[0]

    assert receipt.code == Code.OK
    assert [row.amount for row in court.state.unbonding(address("north")).rows] == [5 * COIN]


def test_the_offender_is_jailed_until_it_asks_again(court: Town) -> None:
    """No vote from the next epoch on; twelve blocks later its operator may bring it back."""
    court.apply(court.tx("alice", evidence()))
    north = key_of("north votes").public_key
    while court.height < 5:
        court.apply()
    early = court.apply(court.tx("north", ValidatorPut(status="unjail"))).receipts[0]
    leaving = court.apply(court.tx("north", ValidatorPut(status="leaving"))).receipts[0]
    away = (court.state.membership(address("north")).status, court.state.validators.power_of(north))
    while court.height < 13:
        court.apply()

    asked = court.apply(court.tx("north", ValidatorPut(status="unjail"))).receipts[0]
    status = court.state.membership(address("north")).status
    court.apply()

    assert (early.code, early.events[0][2]) == (Code.E_STATE, "status")
    assert (leaving.code, leaving.events[0][2]) == (Code.E_STATE, "status")
    assert away == (JAILED, 0)
    assert (asked.code, status) == (Code.OK, CANDIDATE)
    assert court.state.validators.power_of(north) == 5


def test_who_is_not_jailed_cannot_be_let_out(court: Town) -> None:
    """The request would change nothing."""
    receipt = court.apply(court.tx("north", ValidatorPut(status="unjail"))).receipts[0]

    assert (receipt.code, receipt.events) == (Code.E_STATE, (("failed", "0", "status"),))


@pytest.mark.proves("E8")
def test_a_key_that_was_changed_is_still_answered_for(court: Town) -> None:
    """For the heights at which it voted, not for later ones."""
    fresh = key_of("fresh")
    proof = possession_proof(CHAIN_ID, address("north"), fresh)
    court.apply(court.tx("north", ValidatorPut(key=fresh.public_key, proof=proof)))
    while court.height < 7:
        court.apply()

    later = court.apply(court.tx("alice", evidence(height=6))).receipts[0]
    then = court.apply(court.tx("alice", evidence(height=5))).receipts[0]

    assert (later.code, later.events) == (Code.E_STATE, (("failed", "0", "first.height"),))
    assert then.code == Code.OK


def test_a_block_shows_by_itself_what_its_proposer_saw(court: Town) -> None:
    """No transaction and no fee; the reporter's part is the proposer's operator's."""
    proposer = court.state.validators.proposer(Round(0)).operator
    name = next(name for name in VALIDATOR_NAMES if address(name) == proposer)
    before = court.owns(name)
    court.evidence = (encode(evidence()),)

    execution = court.apply(court.tx("alice", evidence()))

    names = (address("north").hex(), "1", proposer.hex())
    assert execution.events == (("slashed", *names, str(COIN // 4), str(19 * COIN // 4)),)
    assert execution.receipts[0].code == Code.E_PUNISHED
    assert court.state.membership(address("north")).bonded == 5 * COIN
    assert court.owns(name) >= before + COIN // 4


def test_a_candidate_has_no_vote_to_answer_for(court: Town) -> None:
    """Its key is registered and bonded; what it signed before its first vote harms nobody."""
    key = key_of("alice votes")
    proof = possession_proof(CHAIN_ID, address("alice"), key)
    court.apply(court.tx("alice", ValidatorPut(key=key.public_key, proof=proof)))
    court.apply(court.tx("alice", StakeBond(address("alice"), Amount(20 * COIN))))
    while court.height < 6:
        court.apply()
    assert court.state.validators.power_of(key.public_key)

    def shown(height: int) -> EvidenceSubmit:
        low, high = (signed(each, height=height, signer=key) for each in (LOW, HIGH))
        return EvidenceSubmit(key.public_key, low, high)

    early = court.apply(court.tx("bob", shown(4))).receipts[0]
    late = court.apply(court.tx("bob", shown(6))).receipts[0]

    assert (early.code, early.events) == (Code.E_STATE, (("failed", "0", "first.height"),))
    assert late.code == Code.OK


def test_the_times_of_a_key_are_bounded_and_none_that_counts_is_lost(court: Town) -> None:
    """Who comes and goes in every epoch answers for each vote, as long as evidence is good."""
    long_ago = replace(court.state.params, evidence_max_age_blocks=900, unbonding_blocks=1_000)
    court.rewrite({(PARAMS, b""): long_ago})
    for epoch in range(24):
        status = "joining" if epoch % 2 else "leaving"
        court.apply(court.tx("north", ValidatorPut(status=status)))
        while court.height % 5:
            court.apply()

    voted = court.state.key_use(KEY).voted

    assert len(voted) == limits.VOTING_TIMES_MAX
    assert (voted[0][0], *voted[-2:]) == (1, (111, 115), (121, 0))


KEY = key_of("north votes").public_key


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (replace(evidence(), key=key_of("alice").public_key), Code.E_UNKNOWN, "key"),
        (evidence(height=99), Code.E_STATE, "first.height"),
        (
            EvidenceSubmit(KEY, signed(LOW, signer=key_of("east votes")), signed(HIGH)),
            Code.E_SIGNATURE,
            "first.signature",
        ),
        (
            EvidenceSubmit(KEY, signed(LOW), signed(HIGH, chain_id="elsewhere")),
            Code.E_SIGNATURE,
            "second.signature",
        ),
    ],
)
def test_refusals(court: Town, body: EvidenceSubmit, code: Code, field: str) -> None:
    """Each rule has its code and names its field; nobody is punished by mistake."""
    receipt = court.apply(court.tx("alice", body)).receipts[0]

    assert (receipt.code, receipt.events) == (code, (("failed", "0", field),))
    assert court.state.membership(address("north")).bonded == 10 * COIN


def test_what_is_too_old_is_refused(court: Town) -> None:
    """Coins may have come back since; the limit is below the time that they take."""
    while court.height < 9:
        court.apply()

    receipt = court.apply(court.tx("alice", evidence(height=1))).receipts[0]

    assert (receipt.code, receipt.events) == (Code.E_EXPIRED, (("failed", "0", "first.height"),))


def other(**changes: object) -> EvidenceSubmit:
    """Change the second message."""
    return replace(evidence(), second=replace(signed(HIGH), **changes))


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: other(kind=PREVOTE), "second.kind"),
        (lambda: other(height=Height(2)), "second.height"),
        (lambda: other(round=Round(1)), "second.round"),
        (lambda: other(block_id=LOW), "second.block_id"),
        (lambda: other(block_id=BlockId(b"short")), "second.block_id"),
        (
            lambda: EvidenceSubmit(KEY, replace(signed(LOW), block_id=BlockId(b"x")), signed(HIGH)),
            "first.block_id",
        ),
        (lambda: other(kind=3), "second.kind"),
        (lambda: other(signature=Signature(b"")), "second.signature"),
        (lambda: EvidenceSubmit(KEY, signed(HIGH), signed(LOW)), "second.block_id"),
    ],
)
def test_form(court: Town, make: Callable[[], EvidenceSubmit], field: str) -> None:
    """The two must be of one kind, height and round, the lower block first."""
    refusal = parse(sign(court.draft("alice", make()), [key_of("alice")]))

    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.field) == (Code.E_MALFORMED, f"bodies[0].{field}")


def test_nil_and_a_block_are_two_different_votes(court: Town) -> None:
    """Nil is an empty id, the lowest of all."""
    body = EvidenceSubmit(KEY, signed(BlockId(b"")), signed(HIGH))

    assert court.apply(court.tx("alice", body)).receipts[0].code == Code.OK


def test_the_oldest_height_that_counts_is_within(court: Town) -> None:
    """Eight blocks ago, to the block."""
    while court.height < 9:
        court.apply()

    receipt = court.apply(court.tx("alice", evidence(height=2))).receipts[0]

    assert receipt.code == Code.OK


def test_all_rows_that_counted_at_the_offence_are_slashed_and_summed(court: Town) -> None:
    """What counted to that very height, too."""
    north = address("north")
    rows = tuple(
        Leaving(address("bob"), Amount(amount * COIN), Height(until), Height(99))
        for amount, until in ((2, 0), (4, 3), (8, 2), (6, 9))
    )
    draft = Draft(court.state)
    draft.put((UNBONDING, north), Unbonding(rows))
    act = Act(address("alice"), 0, 0, Height(3), verify)

    done = apply(draft, act, evidence(height=3))

    assert not isinstance(done, Refusal)
    left = [row.amount // COIN for row in draft.unbonding(north).rows]
    assert left == [1, 2, 8, 3]
    place = bytes(north) + (3).to_bytes(8, "big")
    assert draft.lookup((OFFENCE, place)) == Offence(Amount(22 * COIN), Amount(11 * COIN))


def test_what_a_block_cannot_carry_says_why() -> None:
    """Too many bytes are not decoded; others are, and the decoder's words are kept."""
    fits, over = (read(bytes(limits.EVIDENCE_BYTES_MAX + more)) for more in (0, 1))

    assert isinstance(fits, Refusal)
    assert (fits.code, fits.field) == (Code.E_MALFORMED, "evidence")
    assert fits.message not in {"", "None"}
    assert isinstance(over, Refusal)
    assert (over.code, over.field) == (Code.E_SIZE, "evidence")
