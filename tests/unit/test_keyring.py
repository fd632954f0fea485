"""Each key signs with its own sign state, or not at all."""

import pytest
from msgspec.structs import replace

from aitbc_node import keyring
from aitbc_node.crypto import SigningKey
from aitbc_node.errors import ConfigError, DiskError
from aitbc_node.events import AppendBlock, AppendCertificate, SignState
from aitbc_node.limits import ROUND_MAX
from aitbc_node.storage.memory import MemoryDisk
from aitbc_node.storage.sign_state import NOTHING_SIGNED, SignStateFile, file_name
from aitbc_node.storage.store import Recovered, Store
from aitbc_node.types import Height
from aitbc_sim.pump import Pump

KEYS = {number: SigningKey(bytes([number]) * 32) for number in (1, 2, 3)}
TIP = 2


@pytest.fixture(scope="module")
def log() -> dict[str, bytearray]:
    """Make a log of two blocks."""
    pump = Pump(powers=(1,)).start()
    pump.run_to(TIP)
    source, disk = pump.nodes[0].store, MemoryDisk()
    assert source is not None
    store = Store(disk, None)
    store.recover()
    for height in range(1, TIP + 1):
        final = source.block(Height(height))
        assert final is not None
        store.run(AppendBlock(final.certificate.block_id, final.block))
        store.run(AppendCertificate(final.certificate))
    return disk.files


def signed(number: int, height: int = 1) -> SignState:
    """Return the state of a key that has signed something."""
    what = b"what was signed at %d" % height
    signature = KEYS[number].sign(what)
    return replace(NOTHING_SIGNED, height=Height(height), sign_bytes=what, signature=signature)


def key_folder(**states: SignState) -> MemoryDisk:
    """Make the files of some keys, `key_1` and so on."""
    disk = MemoryDisk()
    for name, state in states.items():
        SignStateFile(disk, int(name[-1])).create(state)
    return disk


def damage(disk: MemoryDisk, number: int) -> None:
    """Let both slots of a key's file decay."""
    file = disk.files[file_name(number)]
    file[:] = bytes(byte ^ 0xFF for byte in file)


def start(
    log: dict[str, bytearray], keys: MemoryDisk, *, count: int, not_before: int | None = None
) -> Recovered:
    """Recover with the first so many keys."""
    data = MemoryDisk()
    data.files = {name: bytearray(content) for name, content in log.items()}
    held = {number: KEYS[number] for number in range(1, count + 1)}
    limit = None if not_before is None else Height(not_before)
    return keyring.recovered(Store(data, keys), held, not_before=limit)


def held(recovered: Recovered) -> list[int]:
    """List the keys that may sign."""
    first = [1] if recovered.sign_state is not None else []
    return first + [key.number for key in recovered.later_keys]


def test_a_lost_sign_state_of_a_later_key_begins_above_the_height_that_is_told(
    log: dict[str, bytearray],
) -> None:
    """As the message about a damaged one says; without the height, only that key signs nothing."""
    keys = key_folder(key_1=signed(1))

    assert held(start(log, keys, count=2)) == [1]
    with pytest.raises(ConfigError, match=r"not above the tip here \+ 2"):
        start(log, keys, count=2, not_before=TIP + 2)
    begun = start(log, keys, count=2, not_before=TIP + 3)

    assert held(begun) == [1, 2]
    state = begun.later_keys[0].stored
    assert state is not None
    assert (state.height, state.round, state.step) == (TIP + 2, ROUND_MAX, 3)
    assert begun.sign_state == signed(1)
    with pytest.raises(ConfigError, match="here is none"):
        start(log, keys, count=2, not_before=TIP + 3)


@pytest.mark.parametrize("number", [1, 2])
def test_a_damaged_state_of_a_retired_key_keeps_nobody_down(
    log: dict[str, bytearray], number: int, caplog: pytest.LogCaptureFixture
) -> None:
    """That key signs nothing, which is said once; no operator has to look for it at night."""
    keys = key_folder(key_1=signed(1), key_2=signed(2), key_3=signed(3))
    damage(keys, number)

    assert held(start(log, keys, count=3)) == [each for each in (1, 2, 3) if each != number]
    (line,) = (record for record in caplog.records if record.message == "sign_state.unknown")
    assert line.levelname == "ERROR"


def test_a_damaged_state_of_the_newest_key_stops_a_start(log: dict[str, bytearray]) -> None:
    """What it has signed is unknown, and it is the one that signs."""
    keys = key_folder(key_1=signed(1), key_2=signed(2))
    damage(keys, 2)
    with pytest.raises(DiskError, match="is unknown"):
        start(log, keys, count=2)

    alone = key_folder(key_1=signed(1))
    damage(alone, 1)
    with pytest.raises(DiskError, match="is unknown"):
        start(log, alone, count=2)


def test_a_key_is_not_retired_by_one_that_is_made_but_has_signed_nothing(
    log: dict[str, bytearray],
) -> None:
    """Until the ledger has the later one in force, the damaged one is the one that votes."""
    for number in (1, 2):
        states = {f"key_{each}": signed(each) for each in range(1, number + 1)}
        keys = key_folder(**states, **{f"key_{number + 1}": NOTHING_SIGNED})
        damage(keys, number)

        with pytest.raises(DiskError, match="is unknown"):
            start(log, keys, count=number + 1)


def test_at_the_very_beginning_no_damage_is_forgiven() -> None:
    """A key without a sign state would begin a new one there."""
    keys = key_folder(key_1=signed(1), key_2=signed(2))
    damage(keys, 1)

    with pytest.raises(DiskError, match="is unknown"):
        start({}, keys, count=2)


def test_a_sign_state_of_another_key_is_no_sign_state(log: dict[str, bytearray]) -> None:
    """Files that were swapped know nothing of what their keys have signed."""
    with pytest.raises(ConfigError, match="signature is of another key"):
        start(log, key_folder(key_1=signed(1), key_2=signed(1)), count=2)
    fresh = key_folder(key_1=signed(1), key_2=NOTHING_SIGNED)
    assert held(start(log, fresh, count=2)) == [1, 2]


def test_one_key_in_two_files_is_refused() -> None:
    """Each would have a sign state of its own, and could sign what the other one did."""
    with pytest.raises(ConfigError, match=r"consensus\.3\.key is the same key as consensus\.key"):
        keyring.check_apart({1: KEYS[1], 2: KEYS[2], 3: KEYS[1]})

    keyring.check_apart(KEYS)
