"""Messages of accounts on whole machines: each is heard once, what is false or too much is not."""

from collections import Counter

import pytest

from aitbc_node import limits
from aitbc_node.broker import _Waiting
from aitbc_node.canonical import decode, encode
from aitbc_node.codes import Code
from aitbc_node.crypto import sha256
from aitbc_node.events import TxOutcome
from aitbc_node.gossip.messages import Letters
from aitbc_node.ledger.transactions import Envelope, Sig
from aitbc_node.letters import Letter, sign_letter
from aitbc_node.posting import Delivered, Published
from aitbc_node.types import Height, Signature, TxId
from aitbc_sim.citizens import CHAIN_ID, address, signer_of
from aitbc_sim.pump import Pump

NODES = 6
LETTERS = "letters"


def a_letter(
    number: int = 0,
    *,
    sender: str = "alice",
    to: str = "",
    topic: str = "news",
    valid_until: int = 500,
    chain_id: str = CHAIN_ID,
    key: str = "",
    content: bytes = b"hello",
) -> bytes:
    """Sign a message; `to` somebody is to nobody else."""
    letter = Letter(
        chain_id=chain_id,
        sender=address(sender),
        to=address(to) if to else None,
        topic="" if to else topic,
        correlation=b"",
        number=number,
        valid_until=Height(valid_until),
        policy=None,
        content=content,
    )
    return sign_letter(letter, [signer_of(key or sender)])


@pytest.fixture
def mesh() -> Pump:
    """Run four validators and two followers, all linked."""
    pump = Pump(followers=2).start()
    pump.run_to(3)
    return pump


def publish(mesh: Pump, index: int, raw: bytes) -> TxOutcome:
    """Hand a message in at a node, and wait for the answer."""
    request, replies = mesh.order(index, Published, raw=raw), mesh.nodes[index].replies
    assert mesh.run(lambda: request in replies, limit_ms=1_000), "every request is answered"
    (outcome,) = replies[request]
    return outcome


def is_taken(mesh: Pump, index: int, raw: bytes) -> bool:
    """Hand a message in; tell whether it is on its way, by its name."""
    return publish(mesh, index, raw) == taken(raw)


def taken(raw: bytes) -> TxOutcome:
    """Be the answer to who handed it in."""
    return TxOutcome(TxId(sha256(raw)), Code.OK)


def heard(mesh: Pump, index: int) -> Counter[bytes]:
    """Count the messages that were handed out at a node, by name."""
    return Counter(effect.id for effect in mesh.nodes[index].delivered)


def test_each_node_hands_each_message_out_once(mesh: Pump) -> None:
    """Whoever published it, and however many ways lead there."""
    raws = [a_letter(number) for number in range(20)]
    for place, raw in enumerate(raws):
        assert is_taken(mesh, place % NODES, raw)

    wanted = Counter({sha256(raw): 1 for raw in raws})
    assert mesh.run(lambda: all(heard(mesh, index) == wanted for index in range(NODES)))
    mesh.wait(2_000)
    assert all(heard(mesh, index) == wanted for index in range(NODES))


def test_nothing_travels_where_nobody_publishes(mesh: Pump) -> None:
    """The mesh is as quiet as before there were messages."""
    mesh.run_to(12)

    assert not mesh.frames[LETTERS]


def test_twice_is_as_good_as_once(mesh: Pump) -> None:
    """A client that got no answer sends the same bytes again, here or elsewhere."""
    raw = a_letter()
    answers = [publish(mesh, index, raw) for index in (0, 0, 3)]
    mesh.wait(500)

    assert answers == [taken(raw)] * 3
    assert heard(mesh, 5) == {sha256(raw): 1}


def test_what_is_handed_out_says_who_to_whom_and_what(mesh: Pump) -> None:
    """A listener needs no more than this."""
    raw = a_letter(to="bob")
    publish(mesh, 1, raw)
    mesh.wait(500)

    (got,) = mesh.nodes[4].delivered
    assert got == Delivered(
        id=sha256(raw),
        sender=address("alice"),
        to=address("bob"),
        topic="",
        correlation=b"",
        valid_until=Height(500),
        content=b"hello",
    )


@pytest.mark.parametrize(
    ("raw", "code", "field"),
    [
        (a_letter(chain_id="other"), Code.E_CHAIN, "chain_id"),
        (a_letter(valid_until=1), Code.E_EXPIRED, "valid_until"),
        (a_letter(valid_until=10_000), Code.E_TOO_FAR, "valid_until"),
        (a_letter(sender="nobody"), Code.E_UNKNOWN, "sender"),
        (a_letter(key="bob"), Code.E_SIGNATURE, "sigs[0].key"),
        (b"\x90", Code.E_MALFORMED, ""),
    ],
    ids=["chain", "ended", "far", "stranger", "other key", "no message"],
)
def test_a_client_is_told_the_field_at_fault(
    mesh: Pump, raw: bytes, code: Code, field: str
) -> None:
    """And nobody else hears of it."""
    refusal = publish(mesh, 0, raw)
    mesh.wait(500)

    assert refusal.code == code
    assert refusal.field == field or not field
    assert not mesh.frames[LETTERS]
    assert not any(heard(mesh, index) for index in range(NODES))


def forged() -> bytes:
    """Return a message whose key is right and whose signature is not."""
    envelope = decode(a_letter(), Envelope)
    key = envelope.sigs[0].key
    return encode(Envelope(envelope.body, (Sig(key, Signature(bytes(64))),)))


def test_a_forged_signature_is_refused_and_travels_nowhere(mesh: Pump) -> None:
    """The node that was handed it verifies before it passes anything on."""
    refusal = publish(mesh, 0, forged())
    mesh.wait(500)

    assert (refusal.code, refusal.field) == (Code.E_SIGNATURE, "sigs")
    assert not mesh.frames[LETTERS]


def test_a_peer_that_passes_a_forgery_on_is_banned(mesh: Pump) -> None:
    """Every honest one has verified it itself."""
    mesh.inject(0, 3, encode(Letters((forged(),))))
    mesh.wait(500)

    banned = [peer for peer, _ in mesh.machine(0).view.banned()]
    assert banned == [mesh.nodes[3].id]
    assert not any(heard(mesh, index) for index in range(NODES))


@pytest.mark.parametrize(
    ("raw", "is_fault"),
    [
        (b"\x90", True),
        (a_letter(chain_id="other"), True),
        (a_letter(valid_until=1), False),
        (a_letter(valid_until=10_000), False),
        (a_letter(sender="nobody"), False),
    ],
    ids=["malformed", "chain", "ended", "far", "stranger"],
)
def test_a_peer_is_blamed_only_for_what_it_could_know(
    mesh: Pump, raw: bytes, *, is_fault: bool
) -> None:
    """It may be some blocks ahead or behind, and yet honest."""
    mesh.inject(0, 3, encode(Letters((raw,))))

    assert mesh.machine(0).view.broker.refused == 1
    assert bool(mesh.notes("peer.fault")) is is_fault
    assert not heard(mesh, 0)


def test_an_account_gets_its_share_and_the_others_theirs(mesh: Pump) -> None:
    """Who floods is refused at its own node, and a second later is heard again."""
    burst = limits.LETTER_ACCOUNT_RATE * limits.LETTERS_BURST_S
    answers = [publish(mesh, 0, a_letter(number)) for number in range(burst + 50)]

    refused = [answer for answer in answers if answer.code != Code.OK]
    assert refused
    assert {(each.code, each.field) for each in refused} == {(Code.E_RATE, "sender")}
    assert is_taken(mesh, 0, a_letter(sender="bob"))
    mesh.wait(1_000)
    assert is_taken(mesh, 0, a_letter(9_999))


def test_a_topic_has_a_bound_whoever_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """All others are as open as before."""
    monkeypatch.setattr(limits, "LETTER_GOAL_RATE", 2)
    mesh = Pump(rich=[f"citizen {place}" for place in range(15)]).start()
    mesh.run_to(3)

    def say(place: int, topic: str) -> TxOutcome:
        return publish(mesh, 0, a_letter(place, sender=f"citizen {place}", topic=topic))

    answers = [say(place, "news") for place in range(15)]
    refused = [answer for answer in answers if answer.code != Code.OK]
    assert {(each.code, each.field) for each in refused} == {(Code.E_RATE, "topic")}
    assert say(1, "weather").code == Code.OK


@pytest.mark.proves("D15")
def test_a_few_loud_accounts_do_not_silence_a_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    """They share it, and whoever has said nothing there yet is heard at once, at every node."""
    monkeypatch.setattr(limits, "LETTER_GOAL_RATE", 10)
    loud = [f"citizen {place}" for place in range(5)]
    mesh = Pump(rich=[*loud, "alice"]).start()
    mesh.run_to(3)
    taken_of: Counter[str] = Counter()
    for number in range(30):
        for name in loud:
            taken_of[name] += publish(mesh, 0, a_letter(number, sender=name)).code == Code.OK

    raw = a_letter(sender="alice")
    assert max(taken_of.values()) < 30, "they would say more"
    assert max(taken_of.values()) - min(taken_of.values()) <= 1
    assert is_taken(mesh, 0, raw)
    mesh.wait(500)
    assert all(heard(mesh, index)[sha256(raw)] == 1 for index in range(4))


def test_the_largest_messages_use_an_accounts_share_up_by_their_bytes(mesh: Pump) -> None:
    """Or the rates would let eight times as much through."""
    large = bytes(limits.LETTER_BYTES_MAX - 300)
    answers = [publish(mesh, 0, a_letter(number, content=large)) for number in range(20)]

    taken_bytes = len(large) * sum(answer.code == Code.OK for answer in answers)
    burst = limits.LETTER_ACCOUNT_RATE * limits.LETTERS_BURST_S * limits.LETTER_UNIT_BYTES
    assert burst // 2 < taken_bytes <= burst + 2 * limits.LETTER_BYTES_MAX
    assert {answer.field for answer in answers} == {"", "sender"}
    assert is_taken(mesh, 0, a_letter(sender="bob", content=large))


def test_of_a_peer_that_passes_on_too_many_bytes_the_rest_is_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An older build may, so its link stays, and the other peers are heard as before."""
    monkeypatch.setattr(limits, "LETTERS_PEER_BYTES_RATE", 400)
    mesh = Pump().start()
    mesh.run_to(3)
    raws = [a_letter(number, content=bytes(700)) for number in range(10)]
    for raw in raws:
        mesh.inject(0, 3, encode(Letters((raw,))))
    broker = mesh.machine(0).view.broker
    mesh.wait(100)
    assert (broker.taken, broker.refused) == (3, 7)

    mesh.inject(0, 2, encode(Letters((raws[9],))))
    mesh.wait(100)
    assert broker.taken == 4
    assert not mesh.notes("peer.fault")


def test_what_one_node_takes_of_its_clients_all_others_take_of_it(mesh: Pump) -> None:
    """A whole burst of an account at one node arrives everywhere, though buckets fill apart."""
    raws = [a_letter(number) for number in range(limits.LETTER_ACCOUNT_RATE * 5)]
    names = {sha256(raw) for raw in raws if is_taken(mesh, 2, raw)}
    mesh.wait(500)

    assert len(names) >= len(raws) - 1
    assert all(set(heard(mesh, index)) == names for index in range(NODES))


def test_memory_is_bounded_until_they_end(mesh: Pump, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where as many are remembered as may be, the next is refused; ended ones make room."""
    monkeypatch.setattr(limits, "LETTERS_PER_ACCOUNT_MAX", 5)
    height = mesh.machine(0).view.height
    for number in range(5):
        assert is_taken(mesh, 0, a_letter(number, valid_until=height + 3))
    refusal = publish(mesh, 0, a_letter(5))
    mesh.run_to(height + 5)

    assert refusal.code == Code.E_RATE
    assert is_taken(mesh, 0, a_letter(6))


def checks_for(mesh: Pump, raws: list[bytes], monkeypatch: pytest.MonkeyPatch) -> int:
    """Let a peer pass these on in frames; count the signatures that are checked for them."""
    broker, count = mesh.machine(0).view.broker, 0
    verify = broker._verify

    def counted(batch: list[_Waiting]) -> None:
        nonlocal count
        count += sum(len(item.sealed.checks) for item in batch)
        verify(batch)

    monkeypatch.setattr(broker, "_verify", counted)
    for first in range(0, len(raws), limits.LETTERS_COUNT_MAX):
        some = tuple(raws[first : first + limits.LETTERS_COUNT_MAX])
        mesh.inject(0, 3, encode(Letters(some)))
    mesh.wait(200)
    monkeypatch.undo()
    return count


def test_rates_bound_the_checks_of_signatures_not_only_what_is_taken(
    mesh: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Good signatures are paid for by who made them; what was too much is checked once at most."""
    broker = mesh.machine(0).view.broker
    burst = 2 * limits.LETTER_ACCOUNT_RATE * limits.LETTERS_BURST_S
    account, now_ms = address("alice"), broker._out.now_ms
    broker._peer_paces._accounts.pay(account, tokens=burst - 1, now_ms=now_ms)
    raws = [a_letter(number) for number in range(1_000)]

    first = checks_for(mesh, raws, monkeypatch)
    again = checks_for(mesh, raws, monkeypatch)

    assert 0 < first <= limits.LETTERS_CHECKED_PER_ACCOUNT_MAX
    assert again == 0
    assert broker.taken < 50
    assert (broker._checks, broker._under_way_of) == (0, {})
    assert is_taken(mesh, 0, a_letter(1, sender="bob"))


def test_where_memory_is_half_full_no_account_holds_much_of_the_rest(
    mesh: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few that fill it leave room for all others."""
    monkeypatch.setattr(limits, "LETTERS_SEEN_MAX", 40)
    monkeypatch.setattr(limits, "LETTERS_PER_ACCOUNT_CROWDED_MAX", 3)
    answers = [publish(mesh, 0, a_letter(number)) for number in range(30)]
    others = [publish(mesh, 0, a_letter(number, sender="bob")) for number in range(5)]

    assert [each.code for each in answers] == 20 * [Code.OK] + 10 * [Code.E_RATE]
    assert [each.code for each in others] == 3 * [Code.OK] + 2 * [Code.E_RATE]
    assert {each.field for each in (*answers, *others)} == {"", "sender"}


def test_a_peer_may_be_ahead_and_a_client_may_not(mesh: Pump) -> None:
    """What the peer's own client was allowed to say is not lost on a node that is behind."""
    ahead = mesh.machine(0).view.height + limits.LETTER_BLOCKS_MAX + 500
    raw = a_letter(valid_until=ahead)
    refusal = publish(mesh, 0, raw)
    mesh.inject(0, 3, encode(Letters((raw,))))
    mesh.wait(200)

    assert refusal.code == Code.E_TOO_FAR
    assert heard(mesh, 0) == {sha256(raw): 1}


def test_a_node_whose_disk_takes_nothing_takes_no_message(mesh: Pump) -> None:
    """It could tell nobody; who handed it in learns that and goes elsewhere."""
    mesh.machine(0)._disk_failed = True
    assert publish(mesh, 0, a_letter()).code == Code.E_UNAVAILABLE

    mesh.machine(0)._disk_failed = False
    assert is_taken(mesh, 0, a_letter())


def test_an_older_build_is_sent_none_and_loses_no_link() -> None:
    """It takes such a frame for a fault; those that read it get it past the older ones."""
    mesh = Pump(followers=2)
    mesh.older = frozenset({1, 5})
    mesh.start().run_to(3)
    raw = a_letter()
    publish(mesh, 0, raw)
    mesh.wait(500)

    assert [index for index in range(NODES) if heard(mesh, index)] == [0, 2, 3, 4]
    assert not mesh.notes("peer.fault")


def test_a_healed_mesh_hears_of_messages_to_accounts_and_not_of_topics() -> None:
    """To an account is kept for who comes later, while it has not ended; a topic is for now."""
    mesh = Pump(followers=2).start()
    mesh.run_to(3)
    mesh.partition((0, 1, 2, 4), (3, 5))
    mesh.wait(5_000)
    direct, topical = a_letter(to="bob"), a_letter()
    publish(mesh, 0, direct)
    publish(mesh, 0, topical)
    ended = a_letter(2, to="bob", valid_until=mesh.machine(0).view.height)
    publish(mesh, 0, ended)
    mesh.wait(5_000)
    mesh.heal()
    settled = mesh.run(lambda: all(heard(mesh, index) for index in (3, 5)))
    mesh.wait(2_000)

    assert settled
    assert heard(mesh, 3) == heard(mesh, 5) == {sha256(direct): 1}
    assert set(heard(mesh, 1)) == {sha256(direct), sha256(topical), sha256(ended)}


def test_a_node_that_was_down_is_told_once_when_it_returns(mesh: Pump) -> None:
    """Its peers hold ready what has not ended."""
    mesh.crash(4)
    raw = a_letter(to="bob")
    publish(mesh, 0, raw)
    mesh.wait(1_000)
    mesh.restart(4)

    assert mesh.run(lambda: bool(heard(mesh, 4)))
    mesh.wait(2_000)
    assert heard(mesh, 4) == {sha256(raw): 1}


def test_who_comes_makes_nobody_else_be_told_out_of_turn(mesh: Pump) -> None:
    """Each gets its first piece when it comes, and then one in each tick."""
    machine = mesh.nodes[0].machine
    broker, courier = machine._conversation.broker, machine._mesh.courier
    courier.mailbox.keep(b"name", b"raw", valid_until=Height(500))
    broker._out.take()
    first, *others = machine._mesh.linked()
    for peer in others:
        courier.greet(peer)

    broker.greet(first)
    assert [effect.peers for effect in broker._out.take()] == [(first,)]

    broker.tick()
    assert [effect.peers for effect in broker._out.take()] == [(peer,) for peer in others]
