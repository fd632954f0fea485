"""Every rule of a transaction refuses something: each with a stable code and the field named.

The rules are read from the sources, so a rule without a case here is seen.
"""

import ast
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aitbc_node import ledger, limits
from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger import objects
from aitbc_node.ledger.assets import AssetSupply
from aitbc_node.ledger.definitions import AssetDefine
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.policy import Policy, single_key
from aitbc_node.ledger.records import RecordPut
from aitbc_node.ledger.signers import AccountPolicy
from aitbc_node.ledger.transactions import Parsed, parse, sign
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Amount, Gas, Height, PublicKey
from aitbc_sim.town import WEALTH, Town, address, key_of, pay, supply

Told = tuple[str, str]
Scene = Callable[[Town], Told]

PAYMENT = pay("bob", 5)
NAME = RecordPut("name", b"shop", b"alice sells", 9)
COIN = AssetDefine("COIN", "coin", 2, address("alice"), Amount(5), Amount(1_000))
TWO = tuple(sorted(key_of(name).public_key for name in ("alice", "bob")))
WEAK = PublicKey(bytes(32))


def raw(town: Town, *bodies: Body, signers: Sequence[str] = ("alice",), **changes: Any) -> bytes:
    """Write and sign a transaction of alice's."""
    draft = town.draft("alice", *bodies, **changes)
    return sign(draft, [key_of(name) for name in signers])


def form(*bodies: Body, **changes: Any) -> Scene:
    """Have it refused by what it says, before anything is looked up."""

    def scene(town: Town) -> Told:
        refusal = parse(raw(town, *bodies, **changes))
        assert isinstance(refusal, Refusal)
        return refusal.code, refusal.field.removeprefix("bodies[0].")

    return scene


def block(**changes: Any) -> Scene:
    """Have it refused by every block, and by the mempool for the same reason."""

    def scene(town: Town) -> Told:
        parsed = parse(raw(town, PAYMENT, **changes))
        assert isinstance(parsed, Parsed)
        refusal = town.refusal(parsed)
        assert town.admit(parsed, pending_nonce=0) == refusal or refusal.code == Code.E_NONCE
        return refusal.code, refusal.field

    return scene


def body(last: Body, *before: Body) -> Scene:
    """Have it fail in a block: it pays, its receipt tells why, and nothing else happens."""

    def scene(town: Town) -> Told:
        if before:
            town.apply(town.tx("mint", *before))
        [receipt] = town.apply(town.tx("alice", last)).receipts
        [(what, place, field)] = receipt.events
        assert (what, place) == ("failed", "0")
        return receipt.code, field

    return scene


def paused(last: Body) -> Scene:
    """Have it fail on an asset that is paused."""

    def scene(town: Town) -> Told:
        asset = town.state.asset("mUSDA")
        assert asset is not None
        held = msgspec.structs.replace(asset, paused=True, mint_authority=address("alice"))
        key = (objects.ASSET, b"mUSDA")
        town.state.adopt({key: held}, town.state.tree)
        [receipt] = town.judge(town.tx("alice", last)).receipts  # type: ignore[union-attr]
        return receipt.code, receipt.events[0][2]

    return scene


def stranger(**changes: Any) -> Scene:
    """Have a new account's first transaction refused."""

    def scene(town: Town) -> Told:
        town.apply(town.tx("alice", pay("carol", 10_000)))
        draft = town.draft("carol", PAYMENT, **changes)
        parsed = parse(sign(draft, [key_of("carol")]))
        assert isinstance(parsed, Parsed)
        return town.refusal(parsed).code, town.refusal(parsed).field

    return scene


CASES: dict[str, dict[Told, Scene]] = {
    "transactions": {
        ("size", ""): lambda _town: _told(parse(bytes(limits.TX_BYTES_MAX + 1))),
        ("malformed", "chain_id"): form(PAYMENT, chain_id="ü"),
        ("malformed", "bodies"): form(PAYMENT, PAYMENT, bundle=False),
        ("signature", "sigs"): lambda town: _told(parse(_twice(town))),
    },
    "accounts": {
        ("wrong-chain", "chain_id"): block(chain_id="aitbc-other-1"),
        ("expired", "valid_until"): lambda town: (
            town.apply(),
            block(valid_until=Height(1))(town),
        )[1],
        ("valid-until-too-far", "valid_until"): block(valid_until=Height(10**7)),
        ("policy", "policy"): stranger(policy=None),
        ("nonce", "nonce"): block(nonce=1),
        ("fee", "gas_limit"): block(gas_limit=Gas(20_999)),
        ("fee", "max_gas_price"): block(max_gas_price=9_999),
        ("insufficient", "fee"): block(tip=Amount(WEALTH)),
    },
    "policy": {
        ("policy", "policy.keys"): form(PAYMENT, policy=Policy(1, TWO[::-1])),
        ("policy", "policy.threshold"): form(PAYMENT, policy=Policy(3, TWO)),
        ("policy", "policy.keys[*]"): form(PAYMENT, policy=single_key(WEAK)),
        ("signature", "sigs[*].key"): block(signers=["bob"]),
        ("signature", "sigs"): block(signers=[]),
    },
    "transfers": {
        ("unknown-asset", "outs[*].asset"): body(pay("bob", 5, "NOPE")),
        ("paused", "outs[*].asset"): paused(pay("bob", 5, "mUSDA")),
        ("below-minimum", "outs[*].amount"): body(pay("bob", 4, "COIN"), COIN),
        ("insufficient", "outs"): body(pay("bob", WEALTH)),
        ("malformed", "memo"): form(Transfer(PAYMENT.outs, "ü" * 129)),
        ("malformed", "outs[*].asset"): form(Transfer((Output(address("bob"), "Ä", Amount(1)),))),
    },
    "assets": {
        ("unknown-asset", "asset"): body(supply("alice", 5, "NOPE")),
        ("unauthorised", "asset"): body(supply("alice", 5)),
        ("unauthorised", "account"): body(AssetSupply("COIN", address("bob"), -1), COIN),
        ("paused", "asset"): paused(supply("alice", 5)),
        ("amount", "delta"): body(AssetSupply("COIN", address("alice"), 1_001), COIN),
        ("insufficient", "delta"): body(AssetSupply("COIN", address("alice"), -1), COIN),
        ("malformed", "asset"): form(supply("alice", 5, "Ä")),
    },
    "records": {
        ("unauthorised", "key"): body(NAME, NAME),
        ("unknown-object", "key"): body(RecordPut("name", b"shop", b"", 0)),
        ("malformed", "value"): form(msgspec.structs.replace(NAME, ttl=0)),
    },
    "signers": {
        ("policy", "keys"): form(AccountPolicy(1, TWO[::-1])),
        ("policy", "threshold"): form(AccountPolicy(3, TWO)),
        ("policy", "keys[*]"): form(AccountPolicy(1, (WEAK,))),
    },
    "definitions": {
        ("name-taken", "ticker"): body(COIN, COIN),
        ("malformed", "ticker"): form(msgspec.structs.replace(COIN, ticker="COINs")),
        ("malformed", "name"): form(msgspec.structs.replace(COIN, name="Mu\u0308nze")),
        ("amount", "min_amount"): form(msgspec.structs.replace(COIN, min_amount=1_001)),
    },
}
ZERO = form(supply("alice", 0))

BORROWED: dict[str, str] = {"signers": "policy"}
"""Modules whose rules are another's, under names of their own fields."""


def _told(outcome: Parsed | Refusal) -> Told:
    assert isinstance(outcome, Refusal)
    return outcome.code, outcome.field


def _twice(town: Town) -> bytes:
    """Carry one signature twice."""
    text, sigs = msgspec.msgpack.decode(raw(town, PAYMENT))
    return msgspec.msgpack.encode([text, sigs * 2])


def rules_of(module: str) -> set[Told]:
    """Read which refusals a module writes down, with `[*]` for any place in a list."""
    source = Path(ledger.__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    rules = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Refusal":
            code, field, *_ = (*node.args, None)
            name = ast.unparse(code or node.func).removeprefix("Code.")
            if name in Code.__members__ and isinstance(field, ast.Constant | ast.JoinedStr):
                rules.add((str(Code[name]), _pattern(field)))
    return rules


def _pattern(field: ast.Constant | ast.JoinedStr) -> str:
    parts = field.values if isinstance(field, ast.JoinedStr) else [field]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in parts)


@pytest.mark.parametrize(
    ("told", "scene"),
    [
        pytest.param(told, scene, id=f"{module}-{told[0]}-{told[1]}")
        for module, cases in CASES.items()
        for told, scene in cases.items()
    ],
)
def test_a_rule_refuses_with_its_code_and_field(town: Town, told: Told, scene: Scene) -> None:
    """The code is stable and the field is that of the rule."""
    code, field = scene(town)

    assert (code, field.replace("[0]", "[*]")) == told


def test_units_of_nothing_are_refused(town: Town) -> None:
    """The one rule of supply that shares code and field with another."""
    assert ZERO(town) == (Code.E_AMOUNT, "delta")


@pytest.mark.parametrize("module", CASES)
def test_every_rule_has_a_case(module: str) -> None:
    """A new rule without a case here is red, and so is a case of a rule that is gone."""
    if module in BORROWED:
        lender = CASES[BORROWED[module]]
        wanted = {(code, field.removeprefix("policy.")) for code, field in lender if "." in field}
        assert set(CASES[module]) == {rule for rule in wanted if rule[0] == Code.E_POLICY}
    else:
        assert set(CASES[module]) == rules_of(module)


def test_a_rule_without_a_case_is_seen() -> None:
    """The reader of rules finds plain and composed fields alike."""
    assert ("paused", "outs[*].asset") in rules_of("transfers")
    assert ("unauthorised", "key") in rules_of("records")
