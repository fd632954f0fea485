"""What is one of everything that travels between nodes, or is signed?

The same examples on every machine and at any time; what two builds make of them is `wire.py`'s
question. A new kind of message or body needs an example here, or a test fails.
"""

from collections.abc import Iterator

from msgspec import structs

from aitbc_node.blocks import (
    NO_BLOCK,
    PRECOMMIT,
    PREVOTE,
    PROTOCOL_VERSION,
    Block,
    Certificate,
    CommitVote,
    FinalBlock,
    Header,
    Proposed,
    block_id,
    certificate_hash,
    ids_root,
    tx_id,
)
from aitbc_node.canonical import encode
from aitbc_node.consensus.messages import Proposal, RoundSummary, Vote
from aitbc_node.crypto import SigningKey, peer_id, sha256
from aitbc_node.gossip import messages, records
from aitbc_node.ledger.assets import AssetSupply
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.definitions import AssetDefine
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.evidence import EvidenceSubmit, SignedMessage
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.motions import (
    AdmitValidator,
    ChangeParameter,
    PauseAsset,
    PauseMinting,
    RemoveValidator,
)
from aitbc_node.ledger.policy import Policy, address_of, single_key
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.proposals import ProposalSubmit, ProposalVote
from aitbc_node.ledger.records import RecordPut, ended_by, revoked_by
from aitbc_node.ledger.revoking import replacement
from aitbc_node.ledger.rewards import RewardClaim
from aitbc_node.ledger.signers import AccountPolicy
from aitbc_node.ledger.transactions import Transaction, sign
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.letters import Letter, sign_letter
from aitbc_node.lineage import Contents, Link, Offer
from aitbc_node.transport import handshake
from aitbc_node.types import (
    Address,
    Amount,
    BlockId,
    Gas,
    Hash,
    Height,
    Power,
    Round,
    Signature,
)
from aitbc_node.validators import Validator, ValidatorSet
from aitbc_node.version import VERSION

CHAIN_ID = "aitbc-wire"
GENESIS = sha256(b"aitbc/wire")
KEY = SigningKey(bytes(range(32)))
NEEDS = {
    "message.txs>": messages.READS_HANDED,
    "message.letters": messages.READS_LETTERS,
}
"""What a release has to say of itself before it is sent these; an older build never gets them."""


def values() -> Iterator[tuple[str, object]]:
    """Yield a name, whose first word is the kind, and a record of all but transactions."""
    proposal, prevote, precommit = _proposal(), _vote(PREVOTE), _vote(PRECOMMIT)
    summary = RoundSummary(
        Height(7), Round(1), 2, (Round(1),), ((Round(0), b"\x0f"),), ((Round(0), b"\x07"),),
        Round(0), Round(-1),
    )  # fmt: skip
    yield "proposal", proposal
    yield "vote.prevote", prevote
    yield "vote.precommit", precommit
    yield "summary", summary
    yield "header", _header()
    yield "certificate", _certificate(Height(6))
    yield "block", _block()
    yield "final", FinalBlock(_block(), _certificate(Height(7)))
    for message in _messages(proposal, prevote, precommit, summary):
        yield f"message.{message.__struct_config__.tag}", message
    identity = handshake.Identity(CHAIN_ID, GENESIS, KEY, VERSION, "127.0.0.1:8600")
    nonce = bytes(handshake.NONCE_BYTES)
    hello = handshake.hello(identity, nonce)
    _, proof = handshake.prove(identity, hello, acceptor_key=KEY.public_key)
    for name, payload in (
        ("hello", hello),
        ("proof", proof),
        ("verdict", handshake.verdict("why")),
    ):
        yield f"handshake.{name}", handshake.decode_first(payload)


def _messages(
    proposal: Proposal, prevote: Vote, precommit: Vote, summary: RoundSummary
) -> Iterator[messages.Message]:
    block, own = _block(), peer_id(KEY.public_key)
    name, ids = block_id(block.header), tuple(tx_id(raw) for raw in block.txs)
    proof = KEY.sign(messages.hello_sign_bytes(CHAIN_ID, own))
    proposed = Proposed(block.header, ids, block.last_commit, block.evidence)
    places = ("192.0.2.1:8600", "[2001:db8::1]:8600")
    record = records.signed(CHAIN_ID, KEY, places, made_ms=7)
    yield messages.Ping(1)
    yield messages.Pong(1)
    yield messages.Hello(KEY.public_key, proof)
    yield messages.Status(Height(7))
    yield messages.Neighbours((own,))
    yield messages.PeersWanted()
    yield messages.PeersKnown((record,))
    yield messages.RoomNeeded()
    yield messages.Transactions(block.txs)
    yield messages.ProposalSent(encode(proposal), proposed)
    yield messages.VotesSent((encode(prevote), encode(precommit)))
    yield messages.TransactionsHanded(block.txs[:1])
    yield messages.Letters(tuple(letters()))
    yield messages.SummarySent(encode(summary))
    yield messages.EvidenceSeen(encode(_evidence()))
    yield messages.BodiesWanted(name, ids)
    yield messages.Bodies(name, block.txs)
    yield messages.BlockWanted(name)
    yield messages.BlockFound(block)
    yield messages.FinalsWanted(Height(1), Height(7))
    yield messages.Finals((FinalBlock(block, _certificate(Height(7))),))
    voters = ValidatorSet((Validator(Address(bytes(20)), KEY.public_key, Power(1), -1),))
    link = Link(block.header, _certificate(Height(7)), voters)
    contents = Contents(GENESIS, Height(7), name, 5, (_hash("piece"),))
    yield messages.OfferWanted(Height(6), Height(5))
    yield messages.OfferFound(Offer(contents, (link,)), block.header)
    yield messages.PieceWanted(contents.name(), 0)
    yield messages.Piece(contents.name(), 0, b"piece")


def transactions() -> Iterator[tuple[str, bytes]]:
    """Yield a name and raw bytes of each kind of transaction."""
    own = address_of(single_key(KEY.public_key))
    transfer = Transfer((Output(own, "AIT", Amount(5)), Output(own, "mUSDA", Amount(1))), "Grüße")
    supply = AssetSupply("mUSDA", own, -3)
    yield "transaction.transfer", _signed(transfer, policy=single_key(KEY.public_key))
    yield "transaction.asset.supply", _signed(supply)
    yield "transaction.record.put", _signed(RecordPut("name", b"shop", bytes(range(9)), 1_000))
    yield "transaction.record.put.revoked", _signed(revoked_by(CHAIN_ID, KEY))
    said = replacement(CHAIN_ID, KEY, SigningKey(b"\x01" * 32))
    yield "transaction.record.put.replaced", _signed(ended_by(KEY.public_key, said))
    keys = tuple(sorted(SigningKey(bytes([seed]) * 32).public_key for seed in (1, 2, 3)))
    yield "transaction.account.policy", _signed(AccountPolicy(2, keys))
    coin = AssetDefine("COIN2", "Zweite Münze", 18, own, Amount(7), Amount(2**63 - 1))
    yield "transaction.asset.define", _signed(coin)
    put = ValidatorPut(
        key=KEY.public_key, proof=possession_proof(CHAIN_ID, own, KEY), status="joining"
    )
    yield "transaction.validator.put", _signed(put)
    yield "transaction.stake.bond", _signed(StakeBond(own, Amount(2**33)))
    yield "transaction.stake.unbond", _signed(StakeUnbond(own, Amount(7)))
    yield "transaction.proposal.submit", _signed(ProposalSubmit(ChangeParameter("epoch_blocks", 7)))
    pauses = (PauseAsset("AIT", paused=True), PauseMinting("COIN", paused=True))
    for motion in (AdmitValidator(own), RemoveValidator(own), *pauses):
        tag = motion.__struct_config__.tag
        yield f"transaction.proposal.submit.{tag}", _signed(ProposalSubmit(motion))
    yield "transaction.proposal.vote", _signed(ProposalVote(bytes(range(20)), yes=True))
    yield "transaction.reward.claim", _signed(RewardClaim(own))
    yield "transaction.evidence.submit", _signed(_evidence())
    yield "transaction.bundle", _signed(transfer, supply)


def letters() -> Iterator[bytes]:
    """Yield raw bytes of each kind of message of an account."""
    own = address_of(single_key(KEY.public_key))
    to_all = Letter(
        chain_id=CHAIN_ID,
        sender=own,
        to=None,
        topic="prices.gpu-hour",
        correlation=b"",
        number=300,
        valid_until=Height(70_000),
        policy=single_key(KEY.public_key),
        content="Grüße".encode(),
    )
    to_one = structs.replace(to_all, to=own, topic="", correlation=bytes(range(16)), policy=None)
    yield sign_letter(to_all, [KEY])
    yield sign_letter(to_one, [KEY])


def _evidence() -> EvidenceSubmit:
    first, second = (
        SignedMessage(2, Height(6), Round(0), Round(-1), BlockId(name), 5, Signature(bytes(64)))
        for name in sorted((_hash("one"), _hash("two")))
    )
    return EvidenceSubmit(KEY.public_key, first, second)


def _signed(*bodies: Body, policy: Policy | None = None) -> bytes:
    tx = Transaction(
        chain_id=CHAIN_ID,
        sender=address_of(single_key(KEY.public_key)),
        nonce=300,
        valid_until=Height(70_000),
        gas_limit=Gas(100_000),
        max_gas_price=10**9,
        tip=Amount(2**40),
        policy=policy,
        bundle=len(bodies) > 1,
        bodies=bodies,
    )
    return sign(tx, [KEY])


def _header() -> Header:
    txs = tuple(raw for _, raw in transactions())
    return Header(
        version=PROTOCOL_VERSION,
        chain_id=CHAIN_ID,
        height=Height(7),
        parent_id=BlockId(_hash("parent")),
        time_ms=1_760_000_000_000,
        proposer=KEY.public_key,
        tx_root=ids_root([tx_id(raw) for raw in txs]),
        tx_count=len(txs),
        state_root=_hash("state"),
        receipts_root=_hash("receipts"),
        last_commit_hash=certificate_hash(_certificate(Height(6))),
        validators_hash=_hash("validators"),
        next_validators_hash=_hash("next validators"),
        params_hash=_hash("parameters"),
        app_version=1,
        evidence_root=ids_root(()),
    )


def _block() -> Block:
    txs = tuple(raw for _, raw in transactions())
    return Block(_header(), txs, _certificate(Height(6)), ())


def _certificate(height: Height) -> Certificate:
    of = BlockId(_hash("parent")) if height < 7 else block_id(_header())  # noqa: PLR2004 - the example's height
    votes = tuple(
        CommitVote(place, 1_760_000_000_000 + place, Signature(bytes([place]) * 64))
        for place in (0, 2, 3)
    )
    return Certificate(height, Round(1), of, votes)


def _proposal() -> Proposal:
    return Proposal(Height(7), Round(1), Round(0), block_id(_header()), Signature(b"\x05" * 64))


def _vote(kind: int) -> Vote:
    value, time_ms = (NO_BLOCK, 0) if kind == PREVOTE else (block_id(_header()), 1_760_000_000_001)
    return Vote(kind, Height(7), Round(1), value, time_ms, 3, Signature(b"\x06" * 64))


def _hash(name: str) -> Hash:
    return sha256(name.encode())
