"""Old and new build read each other's examples: equal bytes, equal meaning, nothing left out."""

from collections.abc import Callable
from typing import Any, get_args

import msgspec
import pytest

from aitbc_node import examples, wire
from aitbc_node.canonical import encode
from aitbc_node.errors import UsageError
from aitbc_node.gossip.messages import READS_HANDED, Message, Status
from aitbc_node.ledger.families import Body
from aitbc_node.types import Height
from aitbc_node.wire import Examples, Readings

Change = Callable[[dict[str, Any]], None]


def written() -> dict[str, Any]:
    """Return what this build writes, as plain data."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(wire.write()))
    return plain


def read(document: dict[str, Any]) -> Readings:
    """Let this build read a document."""
    return wire.read(msgspec.json.encode(document))


def test_a_build_reads_what_it_writes() -> None:
    """Without a change nothing is refused, and every hash is the writer's."""
    document = written()

    done = read(document)

    assert done.ok
    assert {name: reading.hash for name, reading in done.examples.items()} == {
        name: example["hash"] for name, example in document["examples"].items()
    }


def test_examples_are_the_same_at_any_time() -> None:
    """The gate keeps its verdict per pair of builds, so nothing in it is random."""
    assert wire.write() == wire.write()


def test_no_kind_of_message_or_body_is_missing() -> None:
    """A new kind without an example would pass the gate unseen."""
    names = set(wire.write().examples)

    tags = {kind.__struct_config__.tag for kind in get_args(Message)}
    bodies = {kind.__struct_config__.tag for kind in get_args(Body)}
    assert {f"message.{tag}" for tag in tags} == {n for n in names if n.startswith("message.")}
    assert {f"transaction.{tag}" for tag in bodies} < names
    assert {"proposal", "summary", "header", "certificate", "block", "final"} < names
    assert {f"handshake.{name}" for name in ("hello", "proof", "verdict")} < names
    assert {"vote.prevote", "vote.precommit"} < names


def test_frames_are_one_of_each_message() -> None:
    """What two builds send over a real link are the same messages."""
    everything = "1" + "".join(examples.NEEDS.values())
    assert len(list(wire.frames(everything))) == len(get_args(Message))


def test_a_release_is_sent_what_it_says_that_it_reads() -> None:
    """An older build takes any other message for a fault; what all read needs no word."""
    all_read = len(get_args(Message)) - len(examples.NEEDS)

    assert len(list(wire.frames("0.1.0"))) == all_read
    assert len(list(wire.frames("0.1.0" + READS_HANDED))) == all_read + 1
    assert set(examples.NEEDS) <= {name for name, _ in examples.values()}


def _new_kind(document: dict[str, Any]) -> None:
    document["examples"]["message.gift"] = {"bytes": "92a46769667401", "hash": "", "meaning": {}}


def _unknown_group(document: dict[str, Any]) -> None:
    document["examples"]["oracle.price"] = {"bytes": "91", "hash": "", "meaning": {}}


def _one_more_field(document: dict[str, Any]) -> None:
    raw = encode((*msgspec.msgpack.decode(encode(Status(Height(7)))), 1))
    document["examples"]["message.status"]["bytes"] = raw.hex()


def _another_hash(document: dict[str, Any]) -> None:
    document["examples"]["block"]["meaning"]["id"] = "00" * 32


def _other_bytes_are_signed(document: dict[str, Any]) -> None:
    document["examples"]["vote.precommit"]["meaning"]["signed"] = "00" * 32


def _false_signature(document: dict[str, Any]) -> None:
    document["examples"]["transaction.transfer"]["meaning"]["signatures_hold"] = False


def _other_bytes(document: dict[str, Any]) -> None:
    document["examples"]["message.ping"]["hash"] = "00" * 32


def _not_hex(document: dict[str, Any]) -> None:
    document["examples"]["proposal"]["bytes"] = "zz"


@pytest.mark.parametrize(
    ("change", "name", "why"),
    [
        (_new_kind, "message.gift", "no message"),
        (_unknown_group, "oracle.price", "knows no such thing"),
        (_one_more_field, "message.status", "no message"),
        (_another_hash, "block", "something else to this build: id"),
        (_other_bytes_are_signed, "vote.precommit", "something else to this build: signed"),
        (_false_signature, "transaction.transfer", "signatures_hold"),
        (_not_hex, "proposal", "hex"),
        (_other_bytes, "message.ping", "would write other bytes"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_check_20_a_change_of_the_wire_is_named(change: Change, name: str, why: str) -> None:
    """What the other build writes differently is refused by name, and nothing else is."""
    document = written()
    change(document)

    done = read(document)

    assert not done.ok
    assert {each for each, reading in done.examples.items() if not reading.ok} == {name}
    assert why in done.examples[name].why


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"protocol": 1}'])
def test_something_else_on_standard_input(document: bytes) -> None:
    """A gate that was fed nothing does not pass."""
    with pytest.raises(UsageError, match="no examples"):
        wire.read(document)


def test_no_examples_are_no_pass() -> None:
    """An empty document proves nothing."""
    assert not wire.read(msgspec.json.encode(Examples(1, "0.0.1", {}))).ok
