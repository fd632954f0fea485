"""The next consensus key is made beside the others, and only its operator's word makes it vote."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aitbc_node import keyfiles, keymaking, succession
from aitbc_node.crypto import verify
from aitbc_node.errors import ConfigError
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.transactions import Parsed, parse, signature_checks
from aitbc_node.storage.files import FileDisk
from aitbc_node.storage.sign_state import NOTHING_SIGNED, SignStateFile, file_name
from aitbc_node.succession import Rotation, Succession
from aitbc_node.types import Height, PublicKey, Signature

CHAIN_ID = "here-1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the key folder of a validator."""
    keymaking.make(tmp_path / "keys", role="validator", hrp="", chain_id="")
    return tmp_path / "keys"


def first_key(folder: Path) -> PublicKey:
    """Return the key of the validator's making."""
    return keyfiles.load_signer(folder / keyfiles.CONSENSUS_KEY).public_key


def test_the_next_key_has_files_of_its_own(folder: Path) -> None:
    """A key and a sign state with a number, 0600; the first pair is as it was."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    made = [succession.make(folder, number) for number in (2, 3)]

    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert [key.stored for key in made] == [NOTHING_SIGNED] * 2
    new = {"consensus.2.key", "consensus.3.key", "sign_state.2", "sign_state.3"}
    assert set(after) - set(before) == new
    assert {name: after[name] for name in before} == before
    assert {(folder / name).stat().st_mode & 0o777 for name in new} == {0o600}
    found = {number: key.public_key for number, key in succession.load_later(folder).items()}
    assert found == {key.number: key.signer.public_key for key in made}


def test_one_key_is_made_until_the_ledger_was_told_of_it(folder: Path) -> None:
    """Who asks again, also behind a crash, is given the same key; two ask at once for one."""
    known = {first_key(folder)}

    async def ask(times: int) -> list[tuple[PublicKey, bool]]:
        keys = Succession(folder)
        asked = [keys.next_key(known.__contains__) for _ in range(times)]
        return [(key.signer.public_key, made) for key, made in await asyncio.gather(*asked)]

    first, second = asyncio.run(ask(2))
    (again,) = asyncio.run(ask(1))
    known.add(first[0])
    (next_one,) = asyncio.run(ask(1))

    assert sorted([first[1], second[1]]) == [False, True]
    assert first[0] == second[0] == again[0] != next_one[0]
    assert (again[1], next_one[1]) == (False, True)
    assert keyfiles.later_keys(folder) == [2, 3]


def test_a_key_without_its_sign_state_is_passed_over(folder: Path) -> None:
    """It may have signed anything: the next one is made, and it is left where it is."""
    lost = succession.make(folder, 2)
    (folder / file_name(2)).unlink()

    key, made = asyncio.run(Succession(folder).next_key({first_key(folder)}.__contains__))

    assert (key.number, made) == (3, True)
    assert succession.load(folder, 2).public_key == lost.signer.public_key


def test_keys_from_a_backup_all_begin_above_what_they_may_have_signed(folder: Path) -> None:
    """Whichever of them votes now, it signs nothing below the height that was given."""
    succession.make(folder, 2)
    for number in (1, 2):
        (folder / file_name(number)).unlink()

    told = keymaking.begin_signing(folder, Height(103))

    states = [SignStateFile(FileDisk(folder), number).load().height for number in (1, 2)]
    assert (told["begun"], states) == (True, [102, 102])
    public = keymaking.make(folder, role="validator", hrp="", chain_id="")
    assert public["later_keys"] == [succession.load(folder, 2).public_key.hex()]


def a_rotation(folder: Path, **changed: Any) -> Rotation:
    """Say that the second key votes from now on."""
    operator = keyfiles.load_signer(folder / keyfiles.OPERATOR_KEY)
    account = succession.operator_address(operator)
    key = succession.make(folder, 2).signer
    usual = Rotation(
        chain_id=CHAIN_ID,
        operator=account.hex(),
        key=key.public_key.hex(),
        proof=possession_proof(CHAIN_ID, account, key).hex(),
        nonce=4,
        valid_until=1_000,
        max_gas_price=2_000,
        is_new=True,
    )
    return msgspec.structs.replace(usual, **changed)


def test_the_operator_signs_the_rotation_and_nothing_else(folder: Path) -> None:
    """One body, the new key with its proof; the signature is the operator's."""
    rotation = a_rotation(folder)

    parsed = parse(succession.sign_rotation(folder, rotation))

    assert isinstance(parsed, Parsed)
    assert parsed.tx.bodies == (
        ValidatorPut(
            key=PublicKey(bytes.fromhex(rotation.key)),
            proof=Signature(bytes.fromhex(rotation.proof)),
        ),
    )
    assert (parsed.tx.nonce, parsed.tx.chain_id) == (4, CHAIN_ID)
    (check,) = signature_checks(parsed)
    assert verify(check.key, check.message, check.signature)


def test_another_operators_rotation_is_not_signed(folder: Path) -> None:
    """The key here has no say for it; the hint is the command of who has."""
    with pytest.raises(ConfigError, match="not the key of this validator's operator") as refused:
        succession.sign_rotation(folder, a_rotation(folder, operator="00" * 20))

    assert "aitbc validator rotate --key FILE --consensus-key" in refused.value.hint
