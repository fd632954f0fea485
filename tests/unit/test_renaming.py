"""The key by which others know a node: made beside the old one, told with both, put in place."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from aitbc_node import keyfiles, keymaking, renaming
from aitbc_node.crypto import peer_id, verify
from aitbc_node.errors import AitbcError, ConfigError, UsageError
from aitbc_node.ledger.records import RecordPut
from aitbc_node.ledger.revoking import revoked_key, signatures_of, successor_of
from aitbc_node.ledger.transactions import Parsed, parse
from aitbc_node.succession import operator_address

CHAIN_ID = "here-1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the key folder of a validator."""
    keymaking.make(tmp_path / "keys", role="validator", hrp="", chain_id="")
    return tmp_path / "keys"


def name_in(folder: Path, file: str = keyfiles.NODE_KEY) -> str:
    """Tell by which id a key file makes its node known."""
    return peer_id(keyfiles.load_signer(folder / file).public_key).hex()


def act(what: str, folder: Path, **words: Any) -> dict[str, Any]:
    """Do what the command does with these words."""
    return renaming.act(what, folder, json.dumps(words).encode())


def test_the_next_key_is_made_once_and_both_sign_that_it_takes_the_place(folder: Path) -> None:
    """Who asks again gets the same; files are 0600, and the present key is as it was."""
    before = name_in(folder)

    told, again = (act("offer", folder, chain_id=CHAIN_ID, running=before) for _ in range(2))

    assert (told.pop("made"), again.pop("made")) == (True, False)
    assert told == again
    key, said = bytes.fromhex(told["node_key"]), bytes.fromhex(told["said"])
    assert successor_of(said) == bytes.fromhex(told["next_key"])
    assert all(verify(*each) for each in signatures_of(CHAIN_ID, key, said))  # type: ignore[arg-type]  # as it came over the wire
    assert (name_in(folder), name_in(folder, "node.next.key")) == (before, told["next_peer_id"])
    assert {path.stat().st_mode & 0o777 for path in folder.glob("*.key")} == {0o600}
    assert "PRIVATE" not in json.dumps(told)


def test_a_node_that_runs_by_an_older_key_is_offered_none(folder: Path) -> None:
    """The change before this one is not done yet: it has to start anew."""
    told = act("offer", folder, chain_id=CHAIN_ID, running="00" * 20)

    assert (told["peer_id"], told["next_peer_id"]) == (name_in(folder), "")
    assert not (folder / keyfiles.NEXT_NODE_KEY).exists()


def test_the_next_key_takes_the_place_and_the_old_one_keeps_a_number(folder: Path) -> None:
    """Once is as good as twice, and each change keeps one more."""
    names = [name_in(folder)]
    for number in (1, 2):
        told = act("offer", folder, chain_id=CHAIN_ID, running=names[-1])
        choice = {"peer_id": told["next_peer_id"]}
        assert [act("take", folder, **choice) for _ in range(2)] == [
            {"taken": True},
            {"taken": False},
        ]
        assert name_in(folder) == told["next_peer_id"]
        assert name_in(folder, f"node.{number}.key") == names[-1]
        names.append(told["next_peer_id"])
    assert not (folder / keyfiles.NEXT_NODE_KEY).exists()


def test_a_change_that_was_cut_in_the_middle_is_ended_by_the_next_one(folder: Path) -> None:
    """The old key has its number already; it gets no second one."""
    before = name_in(folder)
    told = act("offer", folder, chain_id=CHAIN_ID, running=before)
    os.link(folder / "node.key", folder / "node.1.key")

    act("take", folder, peer_id=told["next_peer_id"])

    assert name_in(folder, "node.1.key") == before
    assert {path.name for path in folder.glob("node*")} == {"node.key", "node.1.key"}


def test_a_key_is_replaced_only_once_it_has_another_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that appears under the number at that moment is another key, and stays what it is."""
    before = name_in(folder)
    told = act("offer", folder, chain_id=CHAIN_ID, running=before)
    link = os.link

    def late(source: Path, target: Path) -> None:
        if target.name == "node.1.key":
            target.write_bytes(b"another")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    act("take", folder, peer_id=told["next_peer_id"])

    assert (folder / "node.1.key").read_bytes() == b"another"
    assert name_in(folder, "node.2.key") == before
    assert name_in(folder) == told["next_peer_id"]


def test_a_key_without_a_number_left_is_not_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its only name would go to the next one."""
    before = name_in(folder)
    told = act("offer", folder, chain_id=CHAIN_ID, running=before)
    (folder / "node.1.key").write_bytes(b"another")
    monkeypatch.setattr(keyfiles, "NUMBER_MAX", 2)

    with pytest.raises(AitbcError, match="all 1 numbers"):
        act("take", folder, peer_id=told["next_peer_id"])

    assert name_in(folder) == before


def test_no_other_key_takes_the_place(folder: Path) -> None:
    """Nothing changes when the one that was made is not the one that is meant."""
    before = name_in(folder)
    act("offer", folder, chain_id=CHAIN_ID, running=before)

    with pytest.raises(ConfigError, match="is not the key of"):
        act("take", folder, peer_id="00" * 20)

    assert name_in(folder) == before


def test_an_operators_key_signs_what_a_node_key_said_and_nothing_else(folder: Path) -> None:
    """One record of the ended key; of another operator's account it signs nothing."""
    told = act("offer", folder, chain_id=CHAIN_ID, running=name_in(folder))
    operator = operator_address(keyfiles.load_signer(folder / keyfiles.OPERATOR_KEY))
    words = {
        "chain_id": CHAIN_ID,
        "operator": operator.hex(),
        "key": told["node_key"],
        "said": told["said"],
        "nonce": 3,
        "valid_until": 100,
        "max_gas_price": 2_000,
        "is_new": True,
    }

    parsed = parse(bytes.fromhex(act("sign", folder, **words)["transaction"]))

    assert isinstance(parsed, Parsed)
    (body,) = parsed.tx.bodies
    assert isinstance(body, RecordPut)
    assert revoked_key(body.ns, body.key) == bytes.fromhex(told["node_key"])
    assert (body.value.hex(), parsed.tx.sender) == (told["said"], operator)
    with pytest.raises(ConfigError, match="not the key of this validator's operator"):
        act("sign", folder, **{**words, "operator": "00" * 20})


def test_other_words_are_a_mistake_of_who_asks(folder: Path) -> None:
    """Two lines and status 64, like every wrong command line."""
    with pytest.raises(UsageError, match="standard input"):
        act("take", folder, key="00")
