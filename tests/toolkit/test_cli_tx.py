"""`aitbc tx`, `account` and `asset`, against four servers that show one real ledger."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aitbc_node import bech32
from aitbc_node.codes import Code
from aitbc_node.events import TxOutcome
from aitbc_node.ledger.transactions import parse
from aitbc_node.ledger.transfers import Output
from aitbc_node.types import Address, Amount
from aitbc_toolkit import amounts, keys
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit, UsageError
from aitbc_toolkit.wallet import ChainNow, Wallet

FRIEND = bech32.encode("aitd", b"f" * 20)


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return the one JSON document on stdout."""
    return json.loads(capsys.readouterr().out)


def send(*more: str) -> int:
    """Run `tx send` to a friend."""
    return run(["tx", "send", "--to", FRIEND, *more])


def test_a_payment_is_final(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A payment from the faucet is committed, and the friend has it to the last unit."""
    status = send("--amount", "1.5", "--json")

    told = document(capsys)
    assert (status, told["status"], told["code"]) == (Exit.OK, "committed", "ok")
    run(["account", "show", FRIEND, "--json"])
    owned = document(capsys)["balances"]["AIT"]
    assert owned == {
        "balance": "1500000",
        "locked": "0",
        "available": "1500000",
        "human": "1.500000",
    }
    assert sum(len(port.submitted) for port in fake_mesh.ports.values()) == 1


@pytest.mark.proves("A2")
def test_balances_are_shown_for_people(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A thousand base units at six decimals are shown as 0.001000, in all three parts."""
    assert fake_mesh.faucet is not None
    send("--amount", "0.001")
    capsys.readouterr()

    run(["account", "show", FRIEND])

    assert "AIT       0.001000, locked 0.000000, available 0.001000" in capsys.readouterr().out


def test_payments_go_to_the_named_node(fake_mesh: Any) -> None:
    """With --node the transaction is handed to that node and no other."""
    assert send("--amount", "1", "--node", "v3") == Exit.OK

    taken = {name: len(port.submitted) for name, port in fake_mesh.ports.items()}
    assert taken == {"v1": 0, "v2": 0, "v3": 1, "v4": 0}


def test_a_dead_mesh_is_69_with_a_hint(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """When no node answers, the reasons are one line and the hint shows where to look."""
    for name in ("v1", "v2", "v3", "v4"):
        fake_mesh.kill(name)

    assert send("--amount", "1") == Exit.UNREACHABLE

    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: no node answers: v1 v2 v3 v4 connection refused")
    assert hint == "hint: aitbc network status -e dev"


def test_a_nonce_that_another_took_is_asked_for_again(fake_mesh: Any) -> None:
    """Somebody else paying from the same key costs another try, not the payment."""
    honest = fake_mesh.ledger.take

    def raced(raw: bytes) -> Any:
        fake_mesh.ledger.take = honest
        honest(raw_transfer(fake_mesh))
        return honest(raw)

    fake_mesh.ledger.take = raced

    assert send("--amount", "1") == Exit.OK

    assert sum(len(port.submitted) for port in fake_mesh.ports.values()) == 2


def test_the_next_nonce_is_the_greatest_that_any_node_knows(fake_mesh: Any) -> None:
    """A node that has not heard of an earlier payment does not make the next one collide."""
    send("--amount", "1")
    fake_mesh.ports["v2"].view.mempool.pending_nonce = lambda _who, **_nonce: 0

    assert send("--amount", "1", "--node", "v2") == Exit.OK


def test_a_dead_node_does_not_stop_a_payment(fake_mesh: Any) -> None:
    """Another node takes what a dead one cannot."""
    fake_mesh.kill("v1")

    assert send("--amount", "1") == Exit.OK


def test_a_failed_payment_is_exit_1(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A transaction that is in a block without effect is a failed command, and says why."""
    assert fake_mesh.faucet is not None

    status = send("--amount", "5", "--asset", "mUSDA")

    shown = capsys.readouterr()
    assert status == Exit.FAILED
    assert "status    rejected: insufficient" in shown.out
    error, hint = shown.err.splitlines()
    assert error.startswith("error: transaction ")
    assert error.endswith(" took no effect: rejected, insufficient")
    assert hint.startswith("hint: aitbc account show ADDRESS -e dev")


def test_a_payment_that_the_account_cannot_make_names_the_command_that_shows_it(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Refused before it is in a block: the hint is a command of ours, not a route of the RPC."""
    assert fake_mesh.faucet is not None
    run(["account", "new", str(tmp_path / "key"), "-e", "dev"])
    empty = capsys.readouterr().out.strip()

    status = send("--amount", "5", "--key", str(tmp_path / "key"))

    error, hint = capsys.readouterr().err.splitlines()
    assert status == Exit.FAILED
    assert "[insufficient]" in error
    assert hint == f"hint: aitbc account show {empty} -e dev"


def test_events_name_accounts_as_people_write_them(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """An address in an event can be pasted into the next command."""
    assert fake_mesh.faucet is not None

    send("--amount", "1")

    assert f" {FRIEND} AIT 1000000" in capsys.readouterr().out


def test_an_asset_shows_who_mints_and_how_much(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mock asset names its mint and its bound; the native coin has neither."""
    assert fake_mesh.faucet is not None

    run(["asset", "show", "mUSDA"])
    shown = capsys.readouterr().out
    run(["asset", "show", "AIT"])

    assert f"at most   {amounts.write(2**63 - 1, decimals=6)} may ever be minted" in shown
    native = capsys.readouterr().out
    assert "mint      nobody" in native
    assert "at most" not in native


@pytest.mark.parametrize("ticker", ["gold", "a b/c", "x" * 300])
def test_an_unknown_asset_is_a_usage_mistake_everywhere(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str], ticker: str
) -> None:
    """`asset show` and `tx send` refuse it alike and name the assets that there are."""
    assert fake_mesh.faucet is not None

    assert run(["asset", "show", ticker]) == Exit.USAGE
    assert send("--amount", "1", "--asset", ticker) == Exit.USAGE

    said = capsys.readouterr().err.splitlines()
    assert said[1] == said[3] == "hint: it has AIT, mUSDA"


@pytest.mark.parametrize(("amount", "said"), [("0.0000001", "is finer"), ("9" * 14, "is more AIT")])
def test_an_impossible_amount_has_a_hint(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str], amount: str, said: str
) -> None:
    """Too fine and too big say what would be right."""
    assert fake_mesh.faucet is not None

    assert send("--amount", amount) == Exit.USAGE

    error, hint = capsys.readouterr().err.splitlines()
    assert said in error
    assert hint.startswith("hint: ")


def test_a_dead_node_that_was_named_is_69_with_a_hint(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The environment of the run is in the hint."""
    fake_mesh.kill("v2")

    assert send("--amount", "1", "--node", "v2", "-e", "dev") == Exit.UNREACHABLE

    assert capsys.readouterr().err.splitlines()[1] == "hint: aitbc network status -e dev"


def test_the_deadline_hint_can_be_pasted(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who waits on is sent to the same environment."""
    fake_mesh.ledger.take = lambda raw: TxOutcome(parse(raw).id, Code.OK)

    assert send("--amount", "1", "--deadline", "1", "-e", "dev") == Exit.DEADLINE

    hint = capsys.readouterr().err.splitlines()[1]
    assert re.fullmatch(r"hint: aitbc tx wait [0-9a-f]{64} -e dev", hint)


def test_show_and_wait_find_it_again(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A transaction is found by its id, on any node."""
    assert fake_mesh.faucet is not None
    send("--amount", "1", "--no-wait", "--json")
    told = document(capsys)
    assert told["status"] == "pending"

    for command in (["tx", "show"], ["tx", "wait"]):
        assert run([*command, told["id"], "--json"]) == Exit.OK
        assert document(capsys)["status"] == "committed"


def test_an_unknown_transaction_is_exit_1(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """An id that nobody was given is an error, not an empty answer."""
    assert fake_mesh.faucet is not None

    assert run(["tx", "show", "ab" * 32]) == Exit.FAILED

    assert capsys.readouterr().err.startswith("error: transaction abababababab is not known")


def test_a_key_of_ones_own_pays(
    fake_mesh: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A new key has an address; once it was paid it can pay, carrying its policy along."""
    file = tmp_path / "mine.key"
    assert run(["account", "new", str(file)]) == Exit.OK
    address = capsys.readouterr().out.strip()
    assert address == Wallet(keys.read(file)).address("aitd")
    run(["tx", "send", "--to", address, "--amount", "2"])

    status = run(["tx", "send", "--to", "faucet", "--amount", "1", "--key", str(file)])

    assert status == Exit.OK
    assert sum(len(port.submitted) for port in fake_mesh.ports.values()) == 2


def test_a_key_file_is_not_overwritten(
    fake_mesh: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Making a key where one is refuses, and leaves the key."""
    assert fake_mesh.faucet is not None
    file = tmp_path / "mine.key"
    run(["account", "new", str(file)])
    before = file.read_bytes()

    assert run(["account", "new", str(file)]) == Exit.USAGE

    assert file.read_bytes() == before
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--amount", "1e9"], Exit.USAGE, "amount '1e9' is not a plain decimal number"),
        (["--amount", "-1"], Exit.USAGE, "amount '-1' is not a plain decimal number"),
        (["--amount", ""], Exit.USAGE, "--amount is empty"),
        (["--amount", "0.0"], Exit.USAGE, "amount 0.0 is nothing"),
        (["--amount", "0.0000001"], Exit.USAGE, "amount 0.0000001 is finer than the 6 decimals"),
        (["--amount", "1", "--asset", "gold"], Exit.USAGE, "no asset 'gold' on this chain"),
        (["--amount", "1", "--node", "v9"], Exit.USAGE, "dev has no node 'v9'"),
        (["--amount", "1", "--key", "/none"], Exit.CONFIG, "no key at /none"),
        (["--amount", "1", "--memo", "x" * 257], Exit.USAGE, "the memo has 257 bytes, at most 256"),
        (["--amount", "1", "--asste", "AIT"], Exit.USAGE, "unknown option '--asste'"),
        ([], Exit.USAGE, "missing option '--amount'"),
    ],
)
def test_bad_words_are_one_line(
    fake_mesh: Any,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    status: Exit,
    message: str,
) -> None:
    """Whatever is wrong with the words is told in one line before anything is handed in."""
    assert send(*words) == status

    shown = capsys.readouterr()
    assert shown.err.startswith(f"error: {message}"), shown.err
    assert "Traceback" not in shown.err
    assert all(not port.submitted for port in fake_mesh.ports.values())


@pytest.mark.parametrize(
    ("address", "why"),
    [
        (bech32.encode("ait", b"f" * 20), "an address of network 'ait', here it is 'aitd'"),
        (FRIEND[:-1] + "q", "the check characters do not match"),
        ("somebody", "not a prefix"),
    ],
)
def test_a_bad_address_is_one_line(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str], address: str, why: str
) -> None:
    """An address with a slip of the pen, or of another network, is refused before sending."""
    status = run(["tx", "send", "--to", address, "--amount", "1"])

    assert status == Exit.USAGE
    assert why in capsys.readouterr().err
    assert all(not port.submitted for port in fake_mesh.ports.values())


def raw_transfer(mesh: Any, *, chain_id: str = "aitbc-dev-1", nonce: int = 0) -> bytes:
    """Sign a payment of the faucet to a friend, by hand."""
    chain = ChainNow(chain_id=chain_id, hrp="aitd", valid_until=100, max_gas_price=100_000)
    outs = [Output(Address(b"f" * 20), "AIT", Amount(5))]
    return Wallet(mesh.faucet).transfer(chain, nonce=nonce, new=True, outs=outs)


def submit(raw: bytes, folder: Path) -> int:
    """Run `tx submit` on bytes."""
    file = folder / "raw.tx"
    file.write_bytes(raw)
    return run(["tx", "submit", str(file)])


def test_raw_bytes_are_handed_in(
    fake_mesh: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bytes signed elsewhere are handed in as they are; the same again tell the same fate."""
    raw = raw_transfer(fake_mesh)

    assert submit(raw, tmp_path) == Exit.OK
    first = capsys.readouterr().out
    assert submit(raw, tmp_path) == Exit.OK

    assert "status    committed" in first
    assert capsys.readouterr().out == first


@pytest.mark.proves("B20")
@pytest.mark.parametrize(
    ("bend", "code", "hint"),
    [
        (lambda raw: raw[:-1], "malformed", "docs/protocol.md"),
        (lambda raw: raw + bytes(70_000), "size", "at most 65536 bytes"),
        (lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), "signature", "sign the bytes"),
    ],
)
def test_bent_bytes_are_refused_in_one_line(
    fake_mesh: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    bend: Callable[[bytes], bytes],
    code: str,
    hint: str,
) -> None:
    """A malformed, oversized or badly signed transaction is one line with its code and a hint."""
    status = submit(bend(raw_transfer(fake_mesh)), tmp_path)

    shown = capsys.readouterr()
    error, told = shown.err.splitlines()
    assert (status, shown.out) == (Exit.FAILED, "")
    assert f"[{code}]" in error
    assert told.startswith("hint: ")
    assert hint in told
    assert len(fake_mesh.ledger.finals) == 3


@pytest.mark.parametrize(
    ("words", "code"), [({"chain_id": "aitbc-lab-1"}, "wrong-chain"), ({"nonce": 0}, "nonce")]
)
def test_what_belongs_elsewhere_is_refused(
    fake_mesh: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: dict[str, Any],
    code: str,
) -> None:
    """A transaction of another chain, or one whose nonce is used, is one line with its code."""
    send("--amount", "1")
    capsys.readouterr()

    assert submit(raw_transfer(fake_mesh, **words), tmp_path) == Exit.FAILED

    assert f"[{code}]" in capsys.readouterr().err


@pytest.mark.proves("A1")
def test_an_asset_is_shown(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """An asset is shown with name, ticker, decimals and supply."""
    assert fake_mesh.faucet is not None

    assert run(["asset", "show", "mUSDA"]) == Exit.OK

    shown = capsys.readouterr().out
    for line in ("ticker    mUSDA", "decimals  6", "supply    0.000000 (0 base units)"):
        assert line in shown


@pytest.mark.parametrize(
    ("text", "decimals", "units"),
    [("1.5", 6, 1_500_000), ("7", 0, 7), ("0.000001", 6, 1), ("1.50", 1, 15), ("007", 2, 700)],
)
def test_amounts_are_read_exactly(text: str, decimals: int, units: int) -> None:
    """Decimals become base units without a float in between."""
    assert amounts.read(text, decimals=decimals, asset="X") == units


@pytest.mark.parametrize("text", ["1,5", " 1", "1_0", "\u0661", ".5", "5.", "nan"])
def test_odd_amounts_are_refused(text: str) -> None:
    """What Python would read as a number, but nobody writes as money, is refused."""
    with pytest.raises(UsageError, match="is not a plain decimal number"):
        amounts.read(text, decimals=6, asset="X")


def test_an_amount_beyond_the_ledger_is_refused() -> None:
    """No amount above 2**63-1 base units leaves this machine."""
    assert amounts.read("9223372036854.775807", decimals=6, asset="X") == 2**63 - 1
    with pytest.raises(UsageError, match="more X than an account can hold"):
        amounts.read("9223372036854.775808", decimals=6, asset="X")
    for text in ("1" * 21, "9" * 5_000):  # a number, and not one that Python would take in time
        with pytest.raises(UsageError, match="more X than an account can hold"):
            amounts.read(text, decimals=6, asset="X")
    assert amounts.read(f"{'0' * 30}1", decimals=6, asset="X") == 1_000_000


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [(1000, 6, "0.001000"), (0, 6, "0.000000"), (12_345_678_900, 6, "12,345.678900"), (7, 0, "7")],
)
def test_amounts_are_written_with_all_decimals(units: int, decimals: int, text: str) -> None:
    """Base units are written with every decimal, so that nobody guesses the scale."""
    assert amounts.write(units, decimals=decimals) == text
