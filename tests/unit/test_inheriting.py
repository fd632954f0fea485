"""A change of a node's key that nobody ends: the node takes what the ledger says is its own."""

import asyncio
import json
import logging
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from aitbc_node import inheriting, keyfiles, keymaking, renaming
from aitbc_node.crypto import peer_id
from aitbc_node.errors import Exit
from aitbc_node.inheriting import RenamedError, until_renamed
from aitbc_node.types import PeerId

NOBODY = PeerId(b"t" * 20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the key folder of a validator whose next key is made."""
    keymaking.make(tmp_path / "keys", role="validator", hrp="", chain_id="")
    keyfiles.make_key(tmp_path / "keys" / keyfiles.NEXT_NODE_KEY)
    return tmp_path / "keys"


def id_in(folder: Path, file: str = keyfiles.NODE_KEY) -> PeerId:
    """Tell by which id a key file makes its node known."""
    return peer_id(keyfiles.load_signer(folder / file).public_key)


class Ledger:
    """Say after some looks who is in the node's place; end the wait when it has been asked enough.

    Each look is one turn of the loop, so nothing here depends on how long one takes.
    """

    def __init__(self, *answers: Collection[PeerId]) -> None:
        self._answers = list(answers)
        self.asked = 0

    def __call__(self) -> Collection[PeerId]:
        self.asked += 1
        if not self._answers:
            raise asyncio.CancelledError
        return self._answers.pop(0)


def wait(folder: Path, heirs: Callable[[], Collection[PeerId]]) -> None:
    """Wait for the end without waiting."""
    asyncio.run(until_renamed(folder, heirs, grace_s=0, look_s=0))


def test_the_key_that_the_ledger_names_is_taken_and_the_node_started_anew(folder: Path) -> None:
    """Whoever began the change is gone; the old key keeps a number, the status means a restart."""
    old, new = id_in(folder), id_in(folder, keyfiles.NEXT_NODE_KEY)

    with pytest.raises(RenamedError, match=new.hex()) as ended:
        wait(folder, Ledger((), (), {new}, {new}))

    assert (id_in(folder), id_in(folder, "node.1.key")) == (new, old)
    assert ended.value.exit_status == Exit.FAILED


def test_a_node_whose_files_changed_places_already_is_only_started_anew(folder: Path) -> None:
    """It was between the two that the run was cut."""
    new = id_in(folder, keyfiles.NEXT_NODE_KEY)
    renaming.act("take", folder, json.dumps({"peer_id": new.hex()}).encode())

    with pytest.raises(RenamedError):
        wait(folder, Ledger({new}, {new}))

    assert id_in(folder) == new


def test_a_key_that_is_not_here_is_not_taken_and_said_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A thief put his own into the place: nothing changes here, however long it stays there."""
    old = id_in(folder)
    thief = Ledger(*[{NOBODY}] * 8)

    with (
        caplog.at_level(logging.WARNING, logger=inheriting.__name__),
        pytest.raises(asyncio.CancelledError),
    ):
        wait(folder, thief)

    assert id_in(folder) == old
    assert (folder / keyfiles.NEXT_NODE_KEY).exists()
    assert [record.message for record in caplog.records] == ["key.not_taken"]


def test_a_place_that_is_taken_back_in_time_changes_nothing(folder: Path) -> None:
    """The owner ends the key altogether: nobody is in its place any more."""
    old, new = id_in(folder), id_in(folder, keyfiles.NEXT_NODE_KEY)

    with pytest.raises(asyncio.CancelledError):
        wait(folder, Ledger({new}, (), ()))

    assert id_in(folder) == old
