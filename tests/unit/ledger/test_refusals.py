"""Every rule of a transaction refuses something: each with a stable code and the field named.

The rules are read from the sources, so a rule without a case here is seen.
"""

import ast
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aitbc_node import ledger, limits
from aitbc_node.canonical import encode
from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger import evidence, objects, params, proposals, revoking
from aitbc_node.ledger.assets import AssetSupply
from aitbc_node.ledger.bonding import StakeBond
from aitbc_node.ledger.definitions import AssetDefine
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.evidence import EvidenceSubmit, SignedMessage
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.family import Act
from aitbc_node.ledger.motions import (
    AdmitValidator,
    CancelUpgrade,
    ChangeParameter,
    Motion,
    PauseAsset,
    ScheduleUpgrade,
    ShareFees,
)
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.policy import Policy, single_key
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.proposals import ProposalSubmit, ProposalVote
from aitbc_node.ledger.records import RecordPut, ended_by, revoked_by
from aitbc_node.ledger.rewards import RewardClaim
from aitbc_node.ledger.signers import AccountPolicy
from aitbc_node.ledger.transactions import Parsed, parse, sign
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.ledger.upgrades import APP_VERSION
from aitbc_node.types import Amount, BlockId, Gas, Height, PublicKey, Round, Signature
from aitbc_sim.town import (
    CHAIN_ID,
    VALIDATOR_NAMES,
    WEALTH,
    Town,
    a_genesis,
    address,
    key_of,
    pay,
    supply,
)

Told = tuple[str, str]
Scene = Callable[[Town], Told]

PAYMENT = pay("bob", 5)
NAME = RecordPut("name", b"shop", b"alice sells", 9)
ENDED = revoked_by(CHAIN_ID, key_of("a node"))
OTHER_NODE = key_of("another node")
OTHER_ENDED = revoked_by(CHAIN_ID, OTHER_NODE)
IN_FAVOUR = ended_by(
    OTHER_NODE.public_key, revoking.replacement(CHAIN_ID, OTHER_NODE, key_of("a node"))
)
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


def after(*steps: tuple[str, Body], last: tuple[str, Body], wait: int = 0, **params: int) -> Scene:
    """Have it fail in a town with rich operators, behind what others did."""

    def scene(_town: Town) -> Told:
        town = a_hall(**params)
        for who, step in steps:
            assert town.apply(town.tx(who, step)).receipts[0].code == Code.OK
        for _ in range(wait):
            town.apply()
        [receipt] = town.apply(town.tx(*last)).receipts
        [(what, place, field)] = receipt.events
        assert (what, place) == ("failed", "0")
        return receipt.code, field

    return scene


def a_hall(**params: int) -> Town:
    """Found a town whose operators are rich, with short epochs and room for one delegator each."""
    small = {"epoch_blocks": 5, "unbonding_blocks": 14, "evidence_max_age_blocks": 8}
    chosen = Params(**{**small, "delegators_max": 2, **params})
    return Town(a_genesis(rich=("alice", "bob", *VALIDATOR_NAMES), params=chosen))


def offence(height: int = 1, **second: Any) -> EvidenceSubmit:
    """Prove that north voted for two blocks of a height; spoil the second message."""
    signer = key_of("north votes")
    bare = [
        SignedMessage(1, Height(height), Round(0), Round(-1), block_id, 0, Signature(bytes(64)))
        for block_id in (BlockId(b"\1" * 32), BlockId(b"\2" * 32))
    ]
    first, other = (
        msgspec.structs.replace(m, signature=signer.sign(m.sign_bytes(CHAIN_ID))) for m in bare
    )
    return EvidenceSubmit(signer.public_key, first, msgspec.structs.replace(other, **second))


def registration(name: str, *, of: str = "") -> ValidatorPut:
    """Bring a key along, its proof perhaps another account's."""
    key = key_of(f"{name} votes")
    return ValidatorPut(
        key=key.public_key, proof=possession_proof(CHAIN_ID, address(of or "alice"), key)
    )


def ask(motion: Motion) -> tuple[str, ProposalSubmit]:
    """Let north, as its first act, ask for a decision."""
    return "north", ProposalSubmit(motion)


def says(who: str, name: bytes | None = None) -> tuple[str, ProposalVote]:
    """Let somebody say yes to what north has asked for, or to something else."""
    asked = proposals.proposal_id(Act(address("north"), 0, 0, Height(1)))
    return who, ProposalVote(asked if name is None else name, yes=True)


def crowded(_town: Town) -> Told:
    """Decide when as many decisions wait as may."""
    town = a_hall()
    for step in (ask(LONGER), says("north"), says("east")):
        town.apply(town.tx(*step))
    waiting = encode(ProposalSubmit(LONGER))
    town.rewrite({(objects.DECIDED, b""): objects.Decided((waiting,) * proposals.DECIDED_MAX)})
    receipt = town.judge(town.tx(*says("south"))).receipts[0]  # type: ignore[union-attr]
    return receipt.code, receipt.events[0][2]


def talkative(_town: Town) -> Told:
    """Ask for one decision more than may be open."""
    town = a_hall()
    asking = [town.tx(*ask(LONGER), nonce=nonce) for nonce in range(proposals.OPEN_MAX + 1)]
    *_, last = town.apply(*asking).receipts
    return last.code, last.events[0][2]


def unsound(**changes: int) -> Scene:
    """Have a set of parameters refused, as a genesis would."""
    return lambda _town: _told(next(params.faults(Params(**changes))))


LONGER = ChangeParameter("tx_ttl_blocks", 77)
BOND = StakeBond(address("north"), Amount(1_000_000))

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
        ("malformed", "ttl"): form(msgspec.structs.replace(ENDED, ttl=9)),
        ("signature", "value"): body(msgspec.structs.replace(ENDED, value=bytes(64))),
        ("wrong-state", "key"): body(IN_FAVOUR, OTHER_ENDED),
        ("wrong-state", "value"): body(IN_FAVOUR, ENDED),
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
    "admission": {
        ("nonce", "nonce"): lambda town: _told(
            town.admit(town.tx("alice", PAYMENT, nonce=5), pending_nonce=0)
        ),
    },
    "apply": {
        ("block-full", ""): lambda _town: _told(
            (hall := a_hall(max_block_txs=1)).refusal(
                hall.tx("alice", PAYMENT), hall.tx("bob", pay("alice", 1))
            )
        ),
    },
    "fees": {
        ("size", "bodies"): lambda _town: _told(
            (hall := a_hall(max_block_gas=2_000_000)).refusal(
                hall.tx("alice", *[Transfer(PAYMENT.outs * 200)] * 2)
            )
        ),
    },
    "fields": {("malformed", ""): lambda _town: _told(parse(b"rubbish"))},
    "params": {
        ("amount", "fee_burn_bps"): unsound(fee_burn_bps=1),
        ("amount", "gas_base_price"): unsound(gas_min_price=10_001),
        ("amount", "gas_low_bps"): unsound(gas_low_bps=9_000),
        ("amount", "gas_step_num"): unsound(gas_step_den=11),
        ("amount", "evidence_max_age_blocks"): unsound(evidence_max_age_blocks=1_200),
        ("amount", "unbonding_blocks"): unsound(evidence_max_age_blocks=1_190),
        ("amount", "commission_min_bps"): unsound(commission_min_bps=1_001),
    },
    "bonding": {
        ("unknown-object", "validator"): after(last=("bob", StakeBond(address("bob"), Amount(9)))),
        ("wrong-state", "validator"): after(
            ("north", ValidatorPut(status="leaving")), last=("alice", BOND)
        ),
        ("below-minimum", "amount"): after(
            last=("bob", msgspec.structs.replace(BOND, amount=Amount(999_999)))
        ),
        ("limit", "validator"): after(("bob", BOND), last=("alice", BOND)),
        ("insufficient", "amount"): after(
            last=("bob", msgspec.structs.replace(BOND, amount=Amount(WEALTH)))
        ),
    },
    "enrolment": {
        ("unknown-object", "key"): after(last=("alice", ValidatorPut(region="eu"))),
        ("key-taken", "key"): after(last=("alice", registration("north"))),
        ("signature", "proof"): after(last=("alice", registration("alice", of="bob"))),
        ("amount", "commission_bps"): after(last=("north", ValidatorPut(commission_bps=9_999))),
        ("wrong-state", "status"): after(last=("north", ValidatorPut(status="unjail"))),
        ("malformed", "proof"): form(ValidatorPut(key=TWO[0])),
        ("malformed", "key"): form(ValidatorPut(key=WEAK, proof=Signature(bytes(64)))),
        ("malformed", "region"): form(ValidatorPut(region="Mu\u0308nchen")),
        ("malformed", "endpoint"): form(ValidatorPut(endpoint="Ä")),
    },
    "evidence": {
        ("unknown-object", "key"): after(
            last=("bob", msgspec.structs.replace(offence(), key=TWO[0]))
        ),
        ("wrong-state", "first.height"): after(last=("bob", offence(99))),
        ("expired", "first.height"): after(last=("bob", offence(1)), wait=10),
        ("punished", "first.height"): after(("bob", offence(1)), last=("alice", offence(1))),
        ("signature", "*.signature"): after(last=("bob", offence(signature=Signature(bytes(64))))),
        ("malformed", "second.*"): form(offence(kind=2)),
        ("malformed", "*.block_id"): form(offence(block_id=BlockId(b"short"))),
        ("malformed", "second.block_id"): form(offence(block_id=BlockId(b"\1" * 32))),
        ("malformed", "evidence"): lambda _town: _told(evidence.read(b"rubbish")),
        ("size", "evidence"): lambda _town: _told(evidence.read(bytes(513))),
    },
    "rewards": {
        ("unknown-object", "validator"): after(last=("alice", RewardClaim())),
        ("wrong-state", "validator"): after(last=("north", RewardClaim())),
    },
    "motions": {
        ("unknown-object", "motion.name"): after(last=ask(ChangeParameter("quorum", 1))),
        ("amount", "motion.value"): after(last=ask(ChangeParameter("tx_ttl_blocks", 9))),
        ("amount", "motion.burn_bps"): after(last=ask(ShareFees(1, 2, 3))),
        ("unknown-object", "motion.operator"): after(last=ask(AdmitValidator(address("bob")))),
        ("unknown-asset", "motion.asset"): after(last=ask(PauseAsset("NOPE", paused=True))),
        ("amount", "motion.app_version"): after(last=ask(ScheduleUpgrade(Height(9), APP_VERSION))),
        ("expired", "motion.height"): after(last=ask(ScheduleUpgrade(Height(1), APP_VERSION + 1))),
        ("unknown-object", "motion"): after(last=ask(CancelUpgrade())),
        ("malformed", "motion.name"): form(ProposalSubmit(ChangeParameter("ä", 1))),
        ("malformed", "motion.asset"): form(ProposalSubmit(PauseAsset("Ä", paused=True))),
    },
    "proposals": {
        ("unauthorised", "motion"): after(last=("alice", ProposalSubmit(LONGER))),
        ("insufficient", "motion"): after(last=ask(LONGER), proposal_deposit=10**12),
        ("unknown-object", "id"): after(last=says("north", bytes(20))),
        ("expired", "id"): after(
            ask(ScheduleUpgrade(Height(4), APP_VERSION + 1)),
            says("north"),
            says("east"),
            last=says("south"),
            wait=2,
        ),
        ("unauthorised", "id"): after(ask(LONGER), last=says("alice")),
        ("wrong-state", "id"): after(ask(LONGER), says("east"), last=says("east")),
        ("limit", "id"): crowded,
        ("limit", "motion"): talkative,
    },
}
ZERO = form(supply("alice", 0))

BORROWED: dict[str, str] = {"signers": "policy"}
"""Modules whose rules are another's, under names of their own fields."""


def _told(outcome: object) -> Told:
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

    pattern = re.escape(told[1]).replace(r"\*", ".+")
    assert code == told[0]
    assert re.fullmatch(pattern, field), f"{field} is not {told[1]}"


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


def test_every_module_with_rules_is_in_the_table() -> None:
    """But for the faults of a genesis, which are no refusals of a transaction."""
    modules = {path.stem for path in Path(ledger.__file__).parent.glob("*.py")} - {"genesis"}

    assert {module for module in modules if rules_of(module)} == set(CASES) - set(BORROWED)


def test_a_rule_without_a_case_is_seen() -> None:
    """The reader of rules finds plain and composed fields alike."""
    assert ("paused", "outs[*].asset") in rules_of("transfers")
    assert ("unauthorised", "key") in rules_of("records")
