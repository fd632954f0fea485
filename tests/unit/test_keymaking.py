"""A key and what it has signed: made together, and never made up."""

from pathlib import Path

import msgspec
import pytest

from aitbc_node import keymaking
from aitbc_node.errors import AitbcError, ConfigError, Exit
from aitbc_node.keyfiles import CONSENSUS_KEY
from aitbc_node.limits import ROUND_MAX
from aitbc_node.storage.files import FileDisk
from aitbc_node.storage.sign_state import FILE_NAME, SignStateFile
from aitbc_node.types import Height


def keys_of_a_validator(folder: Path, *, lost: bool) -> Path:
    """Make keys; `lost` is what a backup of them looks like: no sign state beside them."""
    keymaking.make(folder, role="validator", hrp="", chain_id="")
    if lost:
        (folder / FILE_NAME).unlink()
    return folder


def test_a_key_from_a_backup_signs_nothing_below_the_height_that_was_given(tmp_path: Path) -> None:
    """Its new sign state stands behind the last step of the last round of the height before."""
    folder = keys_of_a_validator(tmp_path / "keys", lost=True)

    told = keymaking.begin_signing(folder, Height(103))

    state = SignStateFile(FileDisk(folder)).load()
    assert told == {"begun": True, "signed_height": 102}
    assert (state.height, state.round, state.step) == (102, ROUND_MAX, 3)


def test_a_sign_state_that_has_signed_is_never_made_anew(tmp_path: Path) -> None:
    """It knows what its key has signed: a second call changes no byte."""
    folder = keys_of_a_validator(tmp_path / "keys", lost=False)
    file = SignStateFile(FileDisk(folder))
    signed = msgspec.structs.replace(file.load(), height=Height(40), sign_bytes=b"a vote")
    file.save(signed)
    before = (folder / FILE_NAME).read_bytes()

    told = keymaking.begin_signing(folder, Height(500))

    assert told == {"begun": False, "signed_height": 40}
    assert (folder / FILE_NAME).read_bytes() == before


@pytest.mark.parametrize("lost", [True, False])
def test_a_sign_state_that_has_signed_nothing_is_raised_and_never_lowered(
    tmp_path: Path, *, lost: bool
) -> None:
    """A first attempt was refused, and the old host went on meanwhile: the newer height counts."""
    folder = keys_of_a_validator(tmp_path / "keys", lost=lost)

    told = [keymaking.begin_signing(folder, Height(each)) for each in (103, 500, 200)]

    assert [each["signed_height"] for each in told] == [102, 499, 499]
    assert SignStateFile(FileDisk(folder)).load().height == 499


def test_without_a_key_or_beside_a_running_node_nothing_begins(tmp_path: Path) -> None:
    """The folder of a node that runs is its own; and no key is made on this way."""
    folder = keys_of_a_validator(tmp_path / "keys", lost=True)
    running = FileDisk(folder)
    running.lock()

    with pytest.raises(AitbcError, match="in use by another node") as busy:
        keymaking.begin_signing(folder, Height(103))
    running.close()
    (folder / CONSENSUS_KEY).unlink()
    with pytest.raises(ConfigError, match="no such key file"):
        keymaking.begin_signing(folder, Height(103))

    assert busy.value.exit_status == Exit.BUSY
    assert not (folder / FILE_NAME).exists()
