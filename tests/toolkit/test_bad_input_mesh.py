"""A mesh that is down, one silent node, bad transactions: one line, a hint, the right status."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aitbc_node import bech32
from aitbc_node.ledger.transfers import Output
from aitbc_node.types import Address, Amount
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.wallet import ChainNow, Wallet

FRIEND = bech32.encode("aitd", b"f" * 20)
AN_ID = "ab" * 32

TABLES = [
    "network status",
    "diagnose consensus",
    "network partition",
    "network peers",
    "network topology",
    "network health",
    "node list",
]
QUESTIONS = [
    "node status v2",
    "node metrics v2",
    f"tx show {AN_ID}",
    f"tx show {AN_ID} --node v2",
    f"tx wait {AN_ID}",
    f"tx wait {AN_ID} --node v2",
    f"tx send --to {FRIEND} --amount 1",
    f"tx send --to {FRIEND} --amount 1 --node v2",
    "tx submit FILE",
    "tx submit FILE --node v2",
    f"account show {FRIEND}",
    "account show faucet --node v2",
    "asset show AIT",
    "asset show AIT --node v2",
    "economics gas-price",
    "economics stats --node v2",
    f"economics stakes {FRIEND}",
    f"economics rewards {FRIEND} --node v2",
    f"economics stake {FRIEND} 1",
    "validator list",
    f"validator show {FRIEND}",
    f"validator rewards {FRIEND}",
    "proposal list --node v2",
    f"proposal show {'ab' * 20}",
    "asset mint AIT 1",
]


def told(capsys: pytest.CaptureFixture[str]) -> tuple[str, list[str]]:
    """Read the one error line and its hints."""
    error, *hints = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert hints
    assert all(line.startswith("hint: ") and len(line) > len("hint: ") for line in hints)
    return error, hints


@pytest.mark.parametrize("words", QUESTIONS)
def test_a_mesh_that_is_down_is_69(
    words: str, fake_mesh: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Who is silent and why stands in the line, where to look in the hint."""
    (tmp_path / "raw.tx").write_bytes(b"x")
    for name in ("v1", "v2", "v3", "v4"):
        fake_mesh.kill(name)

    ended = run([*words.replace("FILE", str(tmp_path / "raw.tx")).split(), "-e", "dev"])

    error, hints = told(capsys)
    assert ended == Exit.UNREACHABLE
    assert "v2" in error
    assert "connection refused" in error
    assert hints == ["hint: aitbc network status -e dev"]


@pytest.mark.parametrize("words", TABLES)
def test_tables_of_a_mesh_that_is_down_have_a_row_for_each_node(
    words: str, fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is made up: whom nobody answered, a table or a check, ends with 69."""
    for name in ("v1", "v2", "v3", "v4"):
        fake_mesh.kill(name)

    assert run([*words.split(), "-e", "dev"]) == Exit.UNREACHABLE

    assert capsys.readouterr().out.count("connection refused") == 4


@pytest.mark.parametrize("words", QUESTIONS)
def test_one_silent_node_stops_only_who_asks_for_it(
    words: str, fake_mesh: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without a name another node answers; with its name it is 69."""
    (tmp_path / "raw.tx").write_bytes(b"x")
    fake_mesh.kill("v2")
    line = words.replace("FILE", str(tmp_path / "raw.tx")).replace("wait", "wait --deadline 1")

    ended = run([*line.split(), "-e", "dev"])

    if "v2" in words.split():
        assert ended == Exit.UNREACHABLE
        assert told(capsys)[1] == ["hint: aitbc network status -e dev"]
    else:
        assert ended != Exit.UNREACHABLE
        assert "connection refused" not in capsys.readouterr().err


def signed(fake_mesh: Any, *, nonce: int = 0, **changes: Any) -> bytes:
    """Sign a payment of the faucet that is good but for what is changed."""
    chain = ChainNow(chain_id="aitbc-dev-1", hrp="aitd", valid_until=100, max_gas_price=100_000)
    outs = [Output(Address(b"f" * 20), "AIT", Amount(5))]
    changed = dataclasses.replace(chain, **changes)
    return Wallet(fake_mesh.faucet).transfer(changed, nonce=nonce, new=True, outs=outs)


def spoilt(raw: bytes) -> bytes:
    """Change the last byte, which is of the signature."""
    return raw[:-1] + bytes([raw[-1] ^ 1])


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda _mesh: b"", "malformed"),
        (lambda _mesh: b"\x01" * 20, "malformed"),
        (lambda _mesh: b"\x01" * 100_000, "size"),
        (lambda mesh: signed(mesh, chain_id="aitbc-lab-1"), "wrong-chain"),
        (lambda mesh: spoilt(signed(mesh)), "signature"),
        (lambda mesh: signed(mesh, valid_until=1), "expired"),
        (lambda mesh: signed(mesh, valid_until=10**9), "valid-until-too-far"),
        (lambda mesh: signed(mesh, max_gas_price=0), "fee"),
    ],
)
def test_a_bad_transaction_is_refused_in_one_line(
    make: Callable[[Any], bytes],
    code: str,
    fake_mesh: Any,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """The code is named, the status is 1, and no block holds anything of it."""
    height = len(fake_mesh.ledger.finals)
    (tmp_path / "raw.tx").write_bytes(make(fake_mesh))

    assert run(["tx", "submit", str(tmp_path / "raw.tx"), "-e", "dev"]) == Exit.FAILED

    assert f"[{code}]" in told(capsys)[0]
    assert len(fake_mesh.ledger.finals) == height


def test_a_replayed_transaction_takes_effect_once(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The same bytes again tell their old fate; another one with the used nonce is refused."""
    (tmp_path / "first.tx").write_bytes(signed(fake_mesh))
    (tmp_path / "second.tx").write_bytes(signed(fake_mesh, valid_until=99))

    assert run(["tx", "submit", str(tmp_path / "first.tx")]) == Exit.OK
    height = len(fake_mesh.ledger.finals)
    assert run(["tx", "submit", str(tmp_path / "first.tx")]) == Exit.OK
    capsys.readouterr()
    assert run(["tx", "submit", str(tmp_path / "second.tx")]) == Exit.FAILED

    assert "[nonce]" in told(capsys)[0]
    assert len(fake_mesh.ledger.finals) == height


def test_an_interrupt_while_waiting_tells_how_to_go_on(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The payment is on its way, so the way to its end is the hint; the status is 130."""

    def interrupted(*_anything: object) -> None:
        raise KeyboardInterrupt

    assert fake_mesh.faucet is not None
    monkeypatch.setattr("aitbc_toolkit.asking.MeshClient.fate", interrupted)

    assert run(["tx", "send", "--to", "faucet", "--amount", "1", "-e", "dev"]) == Exit.INTERRUPTED

    error, (hint,) = told(capsys)
    assert "may still become final" in error
    assert re.fullmatch(r"hint: aitbc tx wait [0-9a-f]{64} -e dev", hint)
