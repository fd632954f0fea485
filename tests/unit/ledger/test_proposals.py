"""Proposals: who may ask, who decides, how many it takes, and when it takes effect."""

import pytest
from msgspec.structs import replace

from aitbc_node.canonical import encode
from aitbc_node.codes import Code, Refusal
from aitbc_node.events import TxReceipt
from aitbc_node.ledger import proposals
from aitbc_node.ledger.bonding import StakeBond
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.motions import (
    AdmitValidator,
    ChangeParameter,
    EndEpoch,
    Motion,
    PauseAsset,
    PauseMinting,
    RemoveValidator,
    ShareFees,
)
from aitbc_node.ledger.objects import (
    DECIDED,
    NATIVE,
    PROPOSAL,
    TREASURY,
    VALIDATOR,
    Decided,
    balance,
)
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.proposals import ProposalSubmit, ProposalVote
from aitbc_node.ledger.transactions import parse, sign
from aitbc_node.types import Amount, Height
from aitbc_sim.town import (
    CHAIN_ID,
    VALIDATOR_NAMES,
    Town,
    a_genesis,
    address,
    key_of,
    pay,
    supply,
)

COIN = 1_000_000
LONGER = ChangeParameter("tx_ttl_blocks", 77)


@pytest.fixture
def hall() -> Town:
    """Found a town of four equals with epochs of twelve blocks; a bond alone gives no vote."""
    params = Params(epoch_blocks=12, proposal_blocks=6, validators_open=0)
    return Town(a_genesis(rich=("alice", *VALIDATOR_NAMES), params=params))


def propose(town: Town, motion: Motion, sender: str = "north") -> bytes:
    """Submit a proposal and return its id."""
    receipt = town.apply(town.tx(sender, ProposalSubmit(motion))).receipts[0]
    assert receipt.code == Code.OK
    return bytes.fromhex(receipt.events[0][1])


def ask(town: Town, name: bytes, *voters: str, yes: bool = True) -> list[TxReceipt]:
    """Have some vote in one block."""
    txs = [town.tx(voter, ProposalVote(name, yes)) for voter in voters]
    return list(town.apply(*txs).receipts)


def to_next_epoch(town: Town) -> None:
    """Apply empty blocks up to the end of the epoch."""
    while not town.apply() or town.height % 12:
        pass


def test_a_parameter_changes_at_the_end_of_the_epoch(hall: Town) -> None:
    """Three of four have said yes; until then the old value holds, and the deposit is back."""
    before = hall.owns("north")
    name = propose(hall, LONGER)
    assert hall.owns("north") < before - COIN

    receipts = ask(hall, name, "north", "east", "south")

    assert receipts[1].events == (("proposal.vote", name.hex(), address("east").hex(), "yes"),)
    assert receipts[2].events[1] == ("proposal.passed", name.hex())
    assert hall.owns("north") > before - COIN
    assert hall.state.proposal(name) is None
    assert hall.state.params.tx_ttl_blocks != 77
    to_next_epoch(hall)
    assert hall.state.params.tx_ttl_blocks == 77
    assert hall.state.decided == Decided()


def test_two_thirds_are_not_enough(hall: Town) -> None:
    """Two of four say yes, nobody objects: it lapses, and the treasury has the deposit."""
    name = propose(hall, LONGER)
    ask(hall, name, "north", "east")
    held = balance(hall.state.pool(TREASURY).balances, NATIVE)

    for _ in range(5):
        hall.apply()

    assert hall.state.proposal(name) is None
    assert balance(hall.state.pool(TREASURY).balances, NATIVE) == held + COIN
    to_next_epoch(hall)
    assert hall.state.params.tx_ttl_blocks != 77


def test_whoever_keeps_it_from_lapsing_cannot_keep_it_open(hall: Town) -> None:
    """Its end counts, not when somebody clears it away."""
    name = propose(hall, LONGER)
    proposal = hall.state.proposal(name)
    hall.rewrite({(PROPOSAL, name): replace(proposal, ends=Height(hall.height))})

    late = ask(hall, name, "north")[0]

    assert (late.code, late.events) == (Code.E_EXPIRED, (("failed", "0", "id"),))


def test_no_is_no_yes(hall: Town) -> None:
    """Three votes are cast, one of them against."""
    name = propose(hall, LONGER)

    ask(hall, name, "north", "east")
    ask(hall, name, "south", yes=False)

    assert hall.state.proposal(name) is not None


def test_an_operator_is_admitted_and_removed(hall: Town) -> None:
    """Bonded and registered it waits; admitted it votes from the next epoch on; removed no more."""
    key = key_of("alice votes")
    proof = possession_proof(CHAIN_ID, address("alice"), key)
    register = ValidatorPut(key=key.public_key, proof=proof)
    hall.apply(hall.tx("alice", register, StakeBond(address("alice"), Amount(COIN))))
    powers = []
    for motion in (None, AdmitValidator(address("alice")), RemoveValidator(address("alice"))):
        if motion is not None:
            ask(hall, propose(hall, motion), *VALIDATOR_NAMES)
        to_next_epoch(hall)
        powers.append(hall.state.validators.power_of(key.public_key))

    assert powers == [0, 1, 0]
    assert hall.state.membership(address("alice")).bonded == COIN


def test_a_pause_takes_four_fifths_and_acts_at_once(hall: Town) -> None:
    """Three of four are not enough for it; with the fourth nothing of the asset moves."""
    name = propose(hall, PauseAsset(NATIVE, paused=True))

    ask(hall, name, "north", "east", "south")
    early = hall.state.asset(NATIVE).paused
    ask(hall, name, "west")
    stopped = hall.apply(hall.tx("alice", pay("north", 1))).receipts[0]
    resumed = propose(hall, PauseAsset(NATIVE, paused=False))
    ask(hall, resumed, *VALIDATOR_NAMES)

    assert not early
    assert stopped.code == Code.E_PAUSED
    assert not hall.state.asset(NATIVE).paused


@pytest.mark.proves("A13")
def test_minting_is_paused_by_four_fifths_and_resumed_by_as_many(hall: Town) -> None:
    """Nobody mints meanwhile; units move and are destroyed; both decisions stay on the ledger."""
    hall.apply(hall.tx("mint", supply("mint", 10)))
    name = propose(hall, PauseMinting("mUSDA", paused=True))
    told = [event for receipt in ask(hall, name, *VALIDATOR_NAMES[:3]) for event in receipt.events]
    early = hall.apply(hall.tx("mint", supply("mint", 1))).receipts[0]

    told += ask(hall, name, "west")[0].events
    root = hall.state.asset("mUSDA")
    acts = (supply("mint", 1), pay("alice", 4, "mUSDA"), supply("mint", -2), pay("alice", 1))
    held = [hall.apply(hall.tx("mint", each)).receipts[0] for each in acts]
    back = propose(hall, PauseMinting("mUSDA", paused=False))
    told += [event for receipt in ask(hall, back, *VALIDATOR_NAMES) for event in receipt.events]
    again = hall.apply(hall.tx("mint", supply("mint", 1))).receipts[0]

    assert early.code == again.code == Code.OK
    assert (root.minting_paused, root.paused, root.supply) == (True, False, 11)
    assert [receipt.code for receipt in held] == [Code.E_PAUSED, Code.OK, Code.OK, Code.OK]
    assert held[0].events == (("failed", "0", "asset"),)
    assert (hall.owns("mint", "mUSDA"), hall.owns("alice", "mUSDA")) == (6, 4)
    assert hall.state.asset("mUSDA").supply == 10
    passed = [event for event in told if event[0] == "proposal.passed"]
    assert passed == [("proposal.passed", name.hex()), ("proposal.passed", back.hex())]
    assert sum(event[0] == "proposal.vote" for event in told) == 8


def test_an_emergency_is_nobody_elses_to_declare(hall: Town) -> None:
    """A mint's authority or a rich account without a vote neither pauses nor resumes."""
    for sender in ("mint", "alice"):
        for motion in (PauseMinting("mUSDA", paused=True), PauseAsset("mUSDA", paused=True)):
            receipt = hall.apply(hall.tx(sender, ProposalSubmit(motion))).receipts[0]
            assert (receipt.code, receipt.events) == (
                Code.E_UNAUTHORISED, (("failed", "0", "motion"),),
            )  # fmt: skip


def test_one_proposer_has_few_open_at_a_time(hall: Town) -> None:
    """The eleventh is refused until one of the ten lapses or is decided; others may ask."""
    ids = [propose(hall, LONGER) for _ in range(2)]
    member = hall.state.membership(address("north"))
    assert member.open_proposals == 2
    held = replace(member, open_proposals=proposals.OPEN_MAX)
    hall.rewrite({(VALIDATOR, address("north")): held})

    receipt = hall.judge(hall.tx("north", ProposalSubmit(LONGER))).receipts[0]
    assert (receipt.code, receipt.events) == (Code.E_LIMIT, (("failed", "0", "motion"),))
    propose(hall, LONGER, "east")
    ask(hall, ids[0], *VALIDATOR_NAMES[:3])
    propose(hall, LONGER)

    for _ in range(7):
        hall.apply()
    counts = [hall.state.membership(address(name)).open_proposals for name in ("north", "east")]
    assert counts == [proposals.OPEN_MAX - 2, 0]


def test_the_shares_of_a_fee_change_together(hall: Town) -> None:
    """One by one they would never be a whole."""
    ask(hall, propose(hall, ShareFees(7_000, 1_000, 2_000)), *VALIDATOR_NAMES[:3])

    to_next_epoch(hall)

    params = hall.state.params
    shares = params.fee_proposer_bps, params.fee_treasury_bps, params.fee_burn_bps
    assert shares == (7_000, 1_000, 2_000)


def test_decisions_that_do_not_fit_together_leave_the_first_standing(hall: Town) -> None:
    """Each is sound by itself; the parameters stay within their bounds."""
    for name, value in (("unbonding_blocks", 1_100), ("evidence_max_age_blocks", 1_150)):
        ask(hall, propose(hall, ChangeParameter(name, value)), *VALIDATOR_NAMES[:3])

    to_next_epoch(hall)

    params = hall.state.params
    assert (params.unbonding_blocks, params.evidence_max_age_blocks) == (1_100, 1_000)


@pytest.mark.parametrize(
    ("sender", "motion", "code", "field"),
    [
        ("alice", LONGER, Code.E_UNAUTHORISED, "motion"),
        ("north", ChangeParameter("quorum", 1), Code.E_UNKNOWN, "motion.name"),
        ("north", ChangeParameter("tx_ttl_blocks", 9), Code.E_AMOUNT, "motion.value"),
        ("north", ChangeParameter("fee_burn_bps", 1), Code.E_AMOUNT, "motion.value"),
        ("north", ShareFees(7_000, 1_000, 2_001), Code.E_AMOUNT, "motion.burn_bps"),
        ("north", AdmitValidator(address("alice")), Code.E_UNKNOWN, "motion.operator"),
        ("north", RemoveValidator(address("alice")), Code.E_UNKNOWN, "motion.operator"),
        ("north", PauseAsset("NOPE", paused=True), Code.E_ASSET, "motion.asset"),
        ("north", PauseMinting("NOPE", paused=True), Code.E_ASSET, "motion.asset"),
        ("north", ChangeParameter("absence_window_blocks", 1_199), Code.E_AMOUNT, "motion.value"),
        ("north", ChangeParameter("absence_missed_bps", 4_999), Code.E_AMOUNT, "motion.value"),
    ],
)
def test_refused_proposals(hall: Town, sender: str, motion: Motion, code: Code, field: str) -> None:
    """Each rule has its code, and names its field."""
    receipt = hall.apply(hall.tx(sender, ProposalSubmit(motion))).receipts[0]

    assert (receipt.code, receipt.events) == (code, (("failed", "0", field),))


def test_the_deposit_must_be_there(hall: Town) -> None:
    """After the fee."""
    hall.apply(hall.tx("north", pay("alice", hall.owns("north") - COIN)))

    receipt = hall.apply(hall.tx("north", ProposalSubmit(LONGER))).receipts[0]

    assert (receipt.code, receipt.events) == (Code.E_INSUFFICIENT, (("failed", "0", "motion"),))


def test_refused_votes(hall: Town) -> None:
    """Of strangers, on nothing, and a second time."""
    name = propose(hall, LONGER)
    ask(hall, name, "east")

    refused = [
        ask(hall, name, "alice")[0],
        ask(hall, bytes(20), "north")[0],
        ask(hall, name, "east", yes=False)[0],
    ]

    assert [receipt.code for receipt in refused] == [
        Code.E_UNAUTHORISED, Code.E_UNKNOWN, Code.E_STATE,
    ]  # fmt: skip
    assert {receipt.events for receipt in refused} == {(("failed", "0", "id"),)}


def test_decisions_that_wait_are_bounded(hall: Town) -> None:
    """The vote that would decide one more is refused until the next epoch."""
    name = propose(hall, LONGER)
    ask(hall, name, "north", "east")
    waiting = encode(ProposalSubmit(LONGER))
    hall.rewrite({(DECIDED, b""): Decided((waiting,) * proposals.DECIDED_MAX)})

    receipt = hall.judge(hall.tx("south", ProposalVote(name, yes=True))).receipts[0]

    assert (receipt.code, receipt.events) == (Code.E_LIMIT, (("failed", "0", "id"),))
    to_next_epoch(hall)
    assert hall.state.params.tx_ttl_blocks == 77
    assert hall.state.decided == Decided()


@pytest.mark.parametrize("motion", [PauseAsset("mUSDA", paused=True), EndEpoch()])
def test_what_acts_at_once_does_not_queue_behind_decisions(hall: Town, motion: Motion) -> None:
    """An emergency is decided though the list of what waits is full; it adds nothing to it."""
    name = propose(hall, motion)
    ask(hall, name, "north", "east")
    waiting = encode(ProposalSubmit(LONGER))
    hall.rewrite({(DECIDED, b""): Decided((waiting,) * proposals.DECIDED_MAX)})

    receipts = ask(hall, name, "south", "west")

    events = [event for receipt in receipts for event in receipt.events]
    assert ("proposal.passed", name.hex()) in events


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (ProposalVote(bytes(19), yes=True), "id"),
        (ProposalSubmit(ChangeParameter("", 1)), "motion.name"),
        (ProposalSubmit(ChangeParameter("\u00e9", 1)), "motion.name"),
        (ProposalSubmit(ChangeParameter("tx_ttl_blocks", -1)), "motion.value"),
        (ProposalSubmit(PauseAsset("\u00e9", paused=True)), "motion.asset"),
        (ProposalSubmit(PauseMinting("\u00e9", paused=True)), "motion.asset"),
        (ProposalSubmit(replace(AdmitValidator(address("a")), operator=b"x")), "motion.operator"),
    ],
)
def test_form(hall: Town, body: ProposalSubmit | ProposalVote, field: str) -> None:
    """A refusal of the form names the field, too."""
    refusal = parse(sign(hall.draft("north", body), [key_of("north")]))

    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.field) == (Code.E_MALFORMED, f"bodies[0].{field}")
