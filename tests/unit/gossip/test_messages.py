"""Frames of peers: every message survives the way, everything else is the peer's fault."""

import random

import pytest
from msgspec.structs import replace

from aitbc_node import limits
from aitbc_node.blocks import NO_COMMIT, CommitVote, FinalBlock, as_proposed
from aitbc_node.canonical import encode
from aitbc_node.errors import PeerFault
from aitbc_node.gossip.messages import (
    BlockFound,
    BlockWanted,
    Bodies,
    BodiesWanted,
    EvidenceSeen,
    Finals,
    FinalsWanted,
    Hello,
    Message,
    Neighbours,
    OfferFound,
    OfferWanted,
    Piece,
    PieceWanted,
    Ping,
    Pong,
    ProposalSent,
    Status,
    SummarySent,
    Transactions,
    VotesSent,
    batches,
    decode_message,
    fitting,
    hello_sign_bytes,
    send,
)
from aitbc_node.lineage import Contents, Link, Offer
from aitbc_node.types import (
    Address,
    BlockId,
    Hash,
    Height,
    PeerId,
    Power,
    PublicKey,
    Signature,
    TxId,
)
from aitbc_node.validators import Validator, ValidatorSet
from aitbc_sim.pump import Pump

ID = BlockId(bytes(range(32)))


@pytest.fixture(scope="module")
def final() -> FinalBlock:
    """Return a real final block."""
    pump = Pump((1,)).start()
    pump.run_to(2)
    store = pump.nodes[0].store
    assert store is not None
    block = store.block(Height(2))
    assert block is not None
    return block


@pytest.fixture(scope="module")
def messages(final: FinalBlock) -> list[Message]:
    """Return one message of each kind."""
    return [
        Ping(7),
        Pong(7),
        Hello(PublicKey(bytes(32)), Signature(bytes(64))),
        Status(Height(0)),
        Neighbours((PeerId(bytes(20)), PeerId(b"x" * 20))),
        Transactions((b"one", b"two")),
        ProposalSent(b"proposal", as_proposed(final.block)),
        VotesSent((b"vote", b"vote")),
        SummarySent(b"summary"),
        EvidenceSeen(b"evidence"),
        BodiesWanted(ID, (TxId(ID),)),
        Bodies(ID, (b"one",)),
        BlockWanted(ID),
        BlockFound(final.block),
        FinalsWanted(Height(1), Height(9)),
        Finals((final, final)),
        OfferWanted(Height(5), Height(0)),
        OfferFound(an_offer(final), final.block.header),
        PieceWanted(Hash(ID), 3),
        Piece(Hash(ID), 3, b"bytes"),
    ]


def an_offer(final: FinalBlock) -> Offer:
    """Offer a state of a block."""
    link = Link(final.block.header, final.certificate, ValidatorSet(()))
    contents = Contents(Hash(ID), link.height, final.certificate.block_id, 5, (Hash(ID),))
    return Offer(contents, (link,))


def test_an_offer_is_bounded(final: FinalBlock) -> None:
    """Its form, its certificates and its voters are looked at before anything is done with it."""
    good = an_offer(final)
    link = good.links[0]
    voters = ValidatorSet(
        tuple(Validator(Address(bytes(20)), PublicKey(bytes(32)), Power(1)) for _ in range(101))
    )

    votes = link.certificate.votes * 101
    crowded = replace(link, certificate=replace(link.certificate, votes=votes))
    assert "pieces" in refused(
        OfferFound(replace(good, contents=replace(good.contents, size=0)), None)
    )
    assert "voters" in refused(
        OfferFound(replace(good, links=(replace(link, voters=voters),)), None)
    )
    assert "votes" in refused(OfferFound(replace(good, links=(crowded,)), None))


def refused(message: Message) -> str:
    """Return why a message is the peer's fault."""
    with pytest.raises(PeerFault) as caught:
        decode_message(encode(message))
    return caught.value.what


def test_every_message_survives_the_way(messages: list[Message]) -> None:
    """Decoding gives back what was encoded, for each kind there is."""
    assert [decode_message(encode(message)) for message in messages] == messages
    assert len({type(message) for message in messages}) == 20


def test_a_changed_byte_never_raises_anything_but_a_fault(messages: list[Message]) -> None:
    """Cut, flipped and extended frames are messages or faults; there is no third case."""
    draw = random.Random(2)  # noqa: S311 - repeatable on purpose
    faults = 0
    for message in messages:
        frame = encode(message)
        for _ in range(300):
            changed = bytearray(frame)
            for _ in range(draw.randint(1, 3)):
                changed[draw.randrange(len(changed))] = draw.randrange(256)
            cut = bytes(changed[: draw.randint(0, len(changed))]) if draw.random() < 0.3 else None
            try:
                decode_message(cut if cut is not None else bytes(changed))
            except PeerFault:
                faults += 1
    assert faults > 1_000


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc0",
        b"\x90",
        b"\x91\xa4ping",
        b"\x92\xa4ping\xa1x",
        b"\x93\xa4ping\x01\x02",
        b"\x92\xa4pong\xff",
        b"\x92\xa4ping\xcc\x07",  # 7 in two bytes: not the shortest form
        b"\x92\xa7unknown\x01",
        b"\x92\xa4ping\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x91" * 100_000,
    ],
)
def test_malformed_frames_are_faults(payload: bytes) -> None:
    """Wrong shapes, other tags, long forms, huge numbers and deep nesting."""
    with pytest.raises(PeerFault):
        decode_message(payload)


def test_each_kind_is_bounded(final: FinalBlock) -> None:
    """One more than allowed, or one byte more, is refused at the door."""
    big = bytes(limits.TX_BYTES_MAX)
    portions = limits.TX_BATCH_BYTES_MAX // limits.TX_BYTES_MAX
    whole = limits.BLOCK_BYTES_MAX // limits.TX_BYTES_MAX
    vote = CommitVote(0, 0, Signature(b""))
    crowd = replace(NO_COMMIT, votes=(vote,) * (limits.VALIDATORS_MAX + 1))

    assert decode_message(encode(Transactions((big,) * portions)))
    assert refused(Transactions((big,) * (portions + 1)))
    assert refused(Transactions((big + b"x",)))
    assert refused(Transactions((b"",)))
    assert refused(Transactions((b"x",) * (limits.TX_BATCH_COUNT_MAX + 1)))
    assert decode_message(encode(Bodies(ID, (big,) * whole)))
    assert refused(Bodies(ID, (big,) * (whole + 1)))
    assert refused(BodiesWanted(ID, ()))
    assert refused(BodiesWanted(ID, (TxId(b"short"),)))
    assert refused(BlockWanted(BlockId(b"")))
    assert refused(BlockFound(replace(final.block, last_commit=crowd)))
    assert refused(BlockFound(replace(final.block, txs=(b"x",) * (limits.BLOCK_TXS_MAX + 1))))
    assert refused(FinalsWanted(Height(5), Height(4)))
    assert refused(FinalsWanted(Height(0), Height(4)))
    assert refused(Finals((final,) * (limits.CATCH_UP_BLOCKS_MAX + 1)))
    assert refused(Finals((replace(final, certificate=crowd),)))
    assert refused(Neighbours((PeerId(bytes(20)),) * (limits.PEERS_MAX + 1)))
    assert refused(Neighbours((PeerId(bytes(19)),)))
    assert refused(Status(Height(-1)))
    assert refused(VotesSent((b"x" * 5_000,)))
    assert refused(SummarySent(b""))
    assert refused(Hello(PublicKey(bytes(31)), Signature(bytes(64))))


def test_portions_keep_to_count_and_bytes() -> None:
    """Any list of transactions can be sent, in order, in portions that are accepted."""
    many = [b"%d" % number for number in range(limits.TX_BATCH_COUNT_MAX + 10)]
    large = [bytes(limits.TX_BYTES_MAX)] * 20

    for raws in (many, large, []):
        portions = list(batches(raws))
        assert [raw for portion in portions for raw in portion] == raws
        for portion in portions:
            decode_message(encode(Transactions(portion)))
    assert [len(portion) for portion in batches(many)] == [limits.TX_BATCH_COUNT_MAX, 10]


def test_an_answer_holds_as_many_blocks_as_fit(final: FinalBlock) -> None:
    """At least one, however large; never more than one frame or message carries."""
    large = replace(final, block=replace(final.block, txs=(bytes(limits.TX_BYTES_MAX),) * 100))

    assert fitting([]) == ()
    assert fitting([large, large]) == (large,)
    assert len(fitting([final] * 100)) == limits.CATCH_UP_BLOCKS_MAX


def test_nobody_to_send_to_is_no_effect() -> None:
    """An empty list of peers does not reach the driver."""
    assert list(send((), Ping(1))) == []
    assert len(list(send((PeerId(bytes(20)),), Ping(1)))) == 1


def test_a_hello_can_be_mistaken_for_no_other_signed_thing() -> None:
    """Its sign bytes begin with a tag that no canonical array begins with."""
    assert hello_sign_bytes("chain", PeerId(bytes(20))).startswith(b"aitbc/")
