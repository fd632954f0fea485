"""Does the ledger remember the audit log as it is here? It is told the newest hash every hour.

A record of the namespace `audit`, of an account of whoever works here: nobody else can write under
it, and the blocks keep every one that was written. So a log that was forged as a whole, on every
host that was told of it too, still shows. What cannot be anchored is said, and never fails a run.
"""

import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from aitbc_node import bech32
from aitbc_node.ledger.policy import address_of, single_key
from aitbc_node.ledger.records import TTL_BLOCKS_MAX, RecordPut
from aitbc_node.rpc import schema
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import audit, heads, powers
from aitbc_toolkit.release.audit import Record
from aitbc_toolkit.release.heads import Head
from aitbc_toolkit.release.powers import Powers
from aitbc_toolkit.release.progress import Tell, note
from aitbc_toolkit.release.reading import Mesh
from aitbc_toolkit.release.witnessing import Witness

NAME = "ledger"
EVERY_S = 3_600
KEPT_S = 30 * 24 * 3_600
"""How long the ledger remembers without being told again; its room is paid for in advance."""

_NAMESPACE: Literal["audit"] = "audit"
_TOLD = "the ledger was told"


@dataclass(frozen=True, slots=True)
class Anchored:
    """Say which record of the log the ledger was told, and by which transaction of whom."""

    number: int
    head: str
    account: str
    tx_id: str
    height: int | None = None


def account_of(environment: Environment) -> str:
    """Name the account that anchors unless another is named: the environment's own faucet.

    Raises: ConfigError when its key is not here.
    """
    from aitbc_toolkit import keys  # noqa: PLC0415 - cryptography: a run of every day signs nothing

    signer = keys.read_faucet(environment.folder)
    return bech32.address_text(environment.chain.hrp, address_of(single_key(signer.public_key)))


def compare(
    environment: Environment, records: Sequence[Record], mesh: Mesh, *, account: str
) -> Witness:
    """Hold what the ledger remembers against the log here.

    Only what more than a third of the power of now tells counts: one of them is honest.
    """
    statuses = mesh.statuses([each.name for each in environment.validators])
    there = [name for name, status in statuses.items() if status is not None]
    if not there:
        return Witness(NAME, why="no node answers")
    power = powers.told(mesh, statuses)
    if 3 * power.sum(there) <= power.total:
        return Witness(NAME, why=f"only {' '.join(there)} of all validators answer")
    said = _told(environment, mesh, power, there, account=account)
    judged = [(each, heads.difference(environment, records, each, told=_TOLD)) for each in said]
    findings = tuple(finding for _, finding in judged if finding is not None)
    numbers = [each.number for each in said if each is not None]
    newest = max(numbers, default=0)
    return Witness(NAME, len(numbers), newest, signed_by=account, findings=findings)


def anchor(
    environment: Environment,
    *,
    key: Path | None = None,
    wait_s: float,
    now_s: float | None = None,
) -> Anchored:
    """Tell the ledger the newest record of the log; with no time to wait, only hand it in.

    A log that differs from what the ledger was told is never put in the place of the other.
    Raises: AitbcError with why it is not anchored.
    """
    from aitbc_toolkit import keys, payments, wallet  # noqa: PLC0415 - httpx: only once an hour
    from aitbc_toolkit.asking import open_mesh  # noqa: PLC0415 - as above

    records = _whole(environment)
    signer = keys.read(key) if key else keys.read_faucet(environment.folder)
    payer = wallet.Wallet(signer)
    account = payer.address(environment.chain.hrp)
    with Mesh(environment) as mesh:
        known = compare(environment, records, mesh, account=account)
    if known.why or known.findings:
        raise _not_anchored(environment, known.why or known.findings[0].what)
    with open_mesh(environment) as client:
        body = _body(environment, records, now_s=time.time() if now_s is None else now_s)
        raw, tx_id = payments.hand_in(environment, client, payer, [body])
        done = Anchored(records[-1].number, records[-1].hash, account, tx_id)
        if not wait_s:
            return done
        fate = client.wait(tx_id, deadline_s=wait_s, raw=raw)
        if fate.status != "committed":
            raise payments.without_effect(fate)
    return Anchored(done.number, done.head, account, tx_id, fate.height)


def after_run(environment: Environment, mesh: Mesh, tell: Tell) -> None:
    """Anchor what a run has added to the log, unless that was done within the last hour."""
    try:
        if _is_due(environment, mesh):
            tell({"type": "anchor", **asdict(anchor(environment, wait_s=0))})
    except AitbcError as failure:
        note(tell, f"the audit log's head is not anchored on the ledger: {failure.message}")


def _is_due(environment: Environment, mesh: Mesh) -> bool:
    records, _ = audit.check(audit.path_of(environment))
    if not records:
        return False
    account = account_of(environment)
    names = [each.name for each in environment.validators]
    said = _alike(_answers(environment, mesh, names, account=account))
    if said is None:
        statuses = mesh.statuses(names)
        power = powers.told(mesh, statuses)
        said = _told(environment, mesh, power, list(statuses), account=account)
    oldest = time.time() - EVERY_S
    return not any(
        each is not None
        and (each.number == records[-1].number or (each.told or each.at).timestamp() > oldest)
        and each.log == heads.log(records)
        and heads.difference(environment, records, each, told=_TOLD) is None
        for each in said
    )


def _alike(answers: Mapping[str, schema.RecordView | None]) -> list[Head | None] | None:
    """Give what all nodes tell alike, whatever power each has; None where they do not.

    So the end of every run asks each node once: whose word counts is asked where they differ.
    """
    values = {answer.value for answer in answers.values() if answer is not None}
    if len(values) != 1 or None in answers.values():
        return None
    return [heads.read(bytes.fromhex(value)) for value in values]


def _told(
    environment: Environment, mesh: Mesh, power: Powers, names: Sequence[str], *, account: str
) -> list[Head | None]:
    """Read what nodes say that the ledger remembers; different heights may tell different heads.

    Whoever has the key may have put anything there: None stands for what is no head.
    """
    behind: dict[str, int] = defaultdict(int)
    for name, answer in _answers(environment, mesh, names, account=account).items():
        if answer is not None:
            behind[answer.value] += power.of.get(name, 0)
    values = [value for value, sum_ in behind.items() if 3 * sum_ > power.total]
    return [heads.read(bytes.fromhex(value)) for value in values]


def _answers(
    environment: Environment, mesh: Mesh, names: Sequence[str], *, account: str
) -> dict[str, schema.RecordView | None]:
    route = f"/state/records/{_NAMESPACE}/{_key(environment).hex()}?owner={account}"
    return mesh.ask_each(names, route, schema.RecordView)


def _body(environment: Environment, records: Sequence[Record], *, now_s: float) -> RecordPut:
    told = datetime.fromtimestamp(now_s, tz=UTC).isoformat(timespec="seconds")
    said = json.dumps({**heads.statement(environment, records), "told": told}, sort_keys=True)
    blocks = KEPT_S * 1_000 // environment.chain.block_interval_ms
    ttl = min(blocks, TTL_BLOCKS_MAX)
    return RecordPut(ns=_NAMESPACE, key=_key(environment), value=said.encode(), ttl=ttl)


def _key(environment: Environment) -> bytes:
    """Name the place of the log, which a forger of its content cannot choose."""
    return bytes.fromhex(heads.place(environment))


def _whole(environment: Environment) -> list[Record]:
    path = audit.path_of(environment)
    records, findings = audit.check(path)
    if findings:
        raise audit.broken(path, findings)
    if not records:
        raise _not_anchored(environment, "there is no record yet")
    return records


def _not_anchored(environment: Environment, why: str) -> AitbcError:
    return AitbcError(
        f"not anchored: {why}",
        hint=f"aitbc audit verify {environment.name}",
        exit_status=Exit.FAILED,
    )
