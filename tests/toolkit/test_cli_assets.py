"""`aitbc asset` and `account policy`, against four servers that show one real ledger."""

import json
from pathlib import Path
from typing import Any

import pytest

from aitbc_toolkit import keys
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.wallet import Wallet


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return the one JSON document on stdout."""
    return json.loads(capsys.readouterr().out)


def a_key(folder: Path, name: str, capsys: pytest.CaptureFixture[str], *, coins: int = 0) -> str:
    """Make a key, with coins in its account; return its file."""
    file = str(folder / f"{name}.key")
    assert run(["account", "new", file]) == Exit.OK
    address = capsys.readouterr().out.strip()
    if coins:
        assert run(["tx", "send", "--to", address, "--amount", str(coins)]) == Exit.OK
        capsys.readouterr()
    return file


def address(file: str) -> str:
    """Name the ordinary account of a key."""
    return Wallet(keys.read(Path(file))).address("aitd")


def test_an_asset_is_defined_minted_and_burned(
    fake_mesh: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The signer mints unless another is named; units are told in the asset's own decimals."""
    owner = a_key(tmp_path, "owner", capsys, coins=20)
    define = ["asset", "define", "ROAD", "--name", "Road toll", "--decimals", "2"]
    assert run([*define, "--most", "1000", "--least", "0.05", "--key", owner]) == Exit.OK
    assert run(["asset", "mint", "ROAD", "12.34", "--to", "faucet", "--key", owner]) == Exit.OK
    assert run(["asset", "mint", "ROAD", "5", "--key", owner]) == Exit.OK
    assert run(["asset", "burn", "ROAD", "2", "--key", owner]) == Exit.OK
    capsys.readouterr()

    run(["asset", "show", "ROAD", "--json"])

    told = document(capsys)
    assert (told["total_supply"], told["mint_max"], told["min_amount"]) == ("1534", "100000", "5")
    assert told["mint_authority"] == address(owner)
    assert fake_mesh.ledger.state.tally.violations() == []


def test_another_mints_when_it_is_named(
    fake_mesh: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who defined an asset cannot mint it then, and is told why."""
    assert fake_mesh.faucet is not None
    owner = a_key(tmp_path, "owner", capsys, coins=20)
    other = a_key(tmp_path, "other", capsys)
    define = ["asset", "define", "ROAD", "--name", "toll", "--decimals", "0", "--most", "9"]
    assert run([*define, "--mint-by", address(other), "--key", owner]) == Exit.OK

    assert run(["asset", "mint", "ROAD", "1", "--key", owner]) == Exit.FAILED

    assert "rejected: unauthorised" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("asset define ROAD --name x --decimals 2 --most 0.001", "finer than the 2 decimals"),
        ("asset define ROAD --name x --decimals 19 --most 1", "19 is not in the range"),
        ("asset mint GOLD 1", "no asset 'GOLD' on this chain"),
        ("asset mint mUSDA 1 --to nobody", "'nobody' is no address"),
        ("account policy --threshold 1 --signer /none --key A", "no key at /none"),
        ("tx send --to faucet --amount 1 --key A --key B", "2 keys sign together"),
        ("tx send --to faucet --amount 1 --key A --key A", "the same key is named twice"),
    ],
)
def test_bad_words_are_one_line(
    fake_mesh: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: str,
    message: str,
) -> None:
    """Whatever is wrong with the words is told before anything is handed in."""
    for name in ("A", "B"):
        words = words.replace(f"--key {name}", f"--key {tmp_path / name}.key")
        a_key(tmp_path, name, capsys)

    assert run(words.split()) in {Exit.USAGE, Exit.CONFIG}

    assert message in capsys.readouterr().err
    assert all(not port.submitted for port in fake_mesh.ports.values())


@pytest.mark.proves("E39")
def test_two_of_three_sign_for_an_account(
    fake_mesh: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One signature is refused, any two pass, one key twice is no second signature."""
    files = [a_key(tmp_path, "a", capsys, coins=9)]
    files += [a_key(tmp_path, name, capsys) for name in ("b", "c")]
    signers = [word for file in files[:2] for word in ("--signer", file)]
    third = keys.read(Path(files[2])).public_key.hex()
    policy = ["account", "policy", "--threshold", "2", *signers, "--signer", third]
    assert run([*policy, "--key", files[0]]) == Exit.OK
    capsys.readouterr()
    shared = address(files[0])

    def pay(*by: str) -> int:
        named = [word for file in by for word in ("--key", file)]
        send = ["tx", "send", "--to", "faucet", "--amount", "1", "--account", shared]
        return run([*send, *named])

    assert pay(files[0]) == Exit.FAILED
    assert "1 signatures, the account's policy asks for 2" in capsys.readouterr().err
    assert pay(files[1], files[1]) == Exit.USAGE
    assert pay(*files) == Exit.FAILED
    capsys.readouterr()

    assert [pay(*pair) for pair in (files[:2], files[1:], files[::2])] == [Exit.OK] * 3

    capsys.readouterr()
    run(["account", "show", shared])
    assert "signed by 2 of 3 keys" in capsys.readouterr().out
    assert fake_mesh.ledger.state.tally.violations() == []
