"""How do an operator's words about validating become bodies of a transaction?

A validator is named by its operator's address, or by the name of the node that votes for it. Do
not hand anything in here.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from aitbc_node import bech32
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.evidence import EvidenceSubmit, SignedMessage
from aitbc_node.ledger.objects import NATIVE, NATIVE_DECIMALS
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.records import NODE_KEY, RecordPut
from aitbc_node.rpc import schema, surroundings
from aitbc_node.types import Address, Amount, PublicKey, Signature
from aitbc_toolkit import amounts, keys, wallet
from aitbc_toolkit.asking import MeshClient
from aitbc_toolkit.errors import UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.wallet import Wallet

ANNOUNCED_BLOCKS = 1_000_000
_KEY = re.compile(r"[0-9a-f]{64}")
_SIGNATURE = re.compile(r"[0-9a-f]{128}")


@dataclass(frozen=True, slots=True)
class ConsensusKey:
    """Hold what was said of a consensus key: its file here, or its public part and its proof."""

    written: str
    proof: str = ""


def operator_of(environment: Environment, mesh: MeshClient, written: str) -> Address:
    """Find the operator that an address, or the name of its node, stands for.

    Raises: UsageError when it is neither.
    """
    hrp = environment.chain.hrp
    if all(written != each.name for each in environment.instances):
        return wallet.read_address(written, hrp=hrp)
    told = mesh.node(written).status()
    rows = mesh.ask_any(lambda node: node.members()).validators
    for row in rows:
        if told.validator and told.validator in {row.key, row.next_key}:
            return bech32.parse_address(row.address, hrp=hrp)
    raise UsageError(f"{written} is no validator", hint="aitbc validator list")


def announced(environment: Environment, mesh: MeshClient, node_name: str, blocks: int) -> RecordPut:
    """Say on the ledger what a node has signed about where it is; for no blocks, no longer.

    Raises: UsageError when the node tells nobody where it is.
    """
    environment.instance(node_name)
    told = mesh.node(node_name).get("/net/topology", surroundings.Topology)
    if not told.record:
        raise UsageError(
            f"{node_name} tells nobody where it is",
            hint="p2p.exchange = true, and p2p.advertise a literal address",
        )
    record = bytes.fromhex(told.record) if blocks else b""
    return RecordPut(ns="peer", key=NODE_KEY, value=record, ttl=blocks)


def node_names(mesh: MeshClient) -> dict[str, str]:
    """Tell which node votes with which consensus key, as far as nodes answer."""
    told = mesh.ask_all(lambda node: node.status())
    found = [(name, each) for name, each in told.items() if isinstance(each, schema.Status)]
    return {each.validator: name for name, each in found if each.validator}


def registered(
    environment: Environment, signer: Wallet, put: ValidatorPut, key: ConsensusKey, stake: str
) -> tuple[ValidatorPut, StakeBond]:
    """Register the signer's account with a consensus key and, in the same act, bond its stake."""
    bond = StakeBond(signer.account, native(stake))
    return with_key(environment, signer, put, key), bond


def with_key(
    environment: Environment, signer: Wallet, put: ValidatorPut, key: ConsensusKey
) -> ValidatorPut:
    """Add a consensus key, made where its file is missing, and the proof of possession.

    Raises: UsageError when a public part comes without its proof.
    """
    if not _KEY.fullmatch(key.written):
        keys.make(Path(key.written))
        found = keys.read(Path(key.written))
        proof = possession_proof(environment.chain.id, signer.account, found)
        return msgspec.structs.replace(put, key=found.public_key, proof=proof)
    if not _SIGNATURE.fullmatch(key.proof):
        raise UsageError(
            "a public consensus key comes with the proof that its host made",
            hint="aitbc-node init --chain-id ID --json   # on the host: tells both",
        )
    public, told = bytes.fromhex(key.written), bytes.fromhex(key.proof)
    return msgspec.structs.replace(put, key=PublicKey(public), proof=Signature(told))


def bonded(validator: Address, amount: str) -> StakeBond:
    """Put coins behind a validator."""
    return StakeBond(validator, native(amount))


def unbonded(validator: Address, amount: str) -> StakeUnbond:
    """Take coins back from behind a validator."""
    return StakeUnbond(validator, native(amount))


def native(amount: str) -> Amount:
    """Read an amount of the native asset."""
    return Amount(amounts.read(amount, decimals=NATIVE_DECIMALS, asset=NATIVE))


def evidence(
    environment: Environment, mesh: MeshClient, written: str, file: Path | None
) -> EvidenceSubmit:
    """Read what a validator signed twice, and compare whom it is about with whom is meant.

    Raises: UsageError without a file, for one that is no evidence, and for another's offence.
    """
    if file is None:
        shown = f"aitbc validator slash {written} --evidence FILE"
        raise UsageError(
            "only evidence of two signatures slashes a validator",
            hint=f"{shown}\naitbc validator remove {written}",
        )
    found = _shown(file)
    operator = operator_of(environment, mesh, written)
    rows = mesh.ask_any(lambda node: node.members()).validators
    whose = {row.key: row.address for row in rows}.get(found.key.hex())
    # A key that was rotated away stands in no row; the ledger knows whose it was.
    if whose not in {None, bech32.address_text(environment.chain.hrp, operator)}:
        raise UsageError(
            f"the evidence is about {whose}, not about {written}",
            hint=f"aitbc validator slash {whose} --evidence FILE",
        )
    return found


def _shown(file: Path) -> EvidenceSubmit:
    """Read two signed messages that one key must never have signed both, in either order.

    Shape: {"key": hex, "messages": [two of {kind, height, round, valid_round, block_id, time_ms,
    signature}]}, bytes as hex.
    """
    try:
        told = msgspec.json.decode(file.read_bytes(), type=_Evidence)
        key = PublicKey(bytes.fromhex(told.key))
        first, second = sorted(map(_message, told.messages), key=lambda each: each.block_id)
    except (OSError, ValueError) as wrong:
        raise UsageError(
            f"{file} is no evidence: {wrong}",
            hint='{"key": HEX, "messages": [two signed votes or proposals of one round]}',
        ) from wrong
    return EvidenceSubmit(key, first, second)


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    kind: int
    height: int
    round: int
    block_id: str
    signature: str
    valid_round: int = -1
    time_ms: int = 0


class _Evidence(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    messages: Annotated[list[_Message], Meta(min_length=2, max_length=2)]


def _message(told: _Message) -> SignedMessage:
    fields = msgspec.structs.asdict(told)
    for name in ("block_id", "signature"):
        fields[name] = bytes.fromhex(fields[name])
    # The record travels as an array.
    return msgspec.convert(
        [fields[name] for name in SignedMessage.__struct_fields__], SignedMessage
    )
