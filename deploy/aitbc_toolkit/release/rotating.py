"""How does a running validator change the key that votes, without a missed vote?

Its node makes the next key on its host and holds it beside the present one; the operator's key,
there too, signs what the ledger is told; from the next epoch on the ledger has the new key and the
node signs with it by itself. Nothing is restarted. A run that was cut is gone on with by the next
one, which asks host and ledger how far it came. Do not add what the node or the ledger decides.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from aitbc_node.ledger.families import Body
from aitbc_node.rpc import schema
from aitbc_node.rpc.electorate import MemberView
from aitbc_toolkit import payments
from aitbc_toolkit.asking import MeshClient, open_mesh
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import audit, configuring, permission, services
from aitbc_toolkit.release.occupation import at_work, looking
from aitbc_toolkit.release.outcome import Outcome, fact
from aitbc_toolkit.release.permission import Permit
from aitbc_toolkit.release.progress import Tell, duration, note, step
from aitbc_toolkit.release.rolling import Run
from aitbc_toolkit.wallet import ChainNow

_FINAL_S = 60
_POLL_S = 0.5
# Blocks may come slower than they should; that they stand still has to show at last.
_SLOW, _GRACE_S = 3, 60
_AROUND = 2
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Rotation:
    """Say which key takes the place of which; it votes from the height `since` on."""

    node: str
    old: str
    new: str
    since: int


@dataclass(frozen=True, slots=True)
class Way:
    """Say how a rotation is asked for."""

    force: bool = False
    wait: bool = True
    break_lease: str = ""


def rotate(environment: Environment, name: str, tell: Tell, way: Way) -> Outcome:
    """Give one validator a new key, or all of them, one after another, each in its own epoch.

    Raises: UsageError for a node that does not vote; AitbcError (refused) when the mesh would stop
    if the new key did not vote, unless forced.
    """
    began = time.monotonic()
    names = [each.name for each in environment.validators]
    if name and environment.instance(name).role != "validator":
        raise UsageError(f"{name} has no key that votes", hint="aitbc node list")
    if not name and not way.wait:
        raise UsageError(
            "one key changes in an epoch, so all of them cannot be begun at once",
            hint=f"aitbc keys rotate {names[0]} --no-wait",
        )
    lines, rotations = [], []
    for each in [name] if name else names:
        permit = permission.require(environment, "operate", subject=f"keys rotate {each}")
        found = _begin(environment, each, tell, way, permit)
        voted = _await(environment, found, tell) if way.wait else ""
        lines += _lines(found, voted)
        rotations.append(found)
    took_s = time.monotonic() - began
    head = f"{' '.join(each.node for each in rotations)} of {environment.name}: "
    head += f"new consensus key, took {duration(took_s)}"
    told = [msgspec.to_builtins(each) for each in rotations]
    changed = [each.node for each in rotations]
    return Outcome(Exit.OK, [head, *lines], changed=changed, took_s=took_s, facts={"keys": told})


class _HostSigner:
    """Be the operator of one validator, whose key signs on its host and nothing but a rotation."""

    def __init__(self, run: Run, name: str, told: Mapping[str, Any], *, address: str) -> None:
        self._run = run
        self._name = name
        self._told = {key: told[key] for key in ("key", "proof", "operator")}
        self._address = address

    def address(self, _hrp: str) -> str:
        return self._address

    def act(self, chain: ChainNow, *, nonce: int, new: bool, bodies: Sequence[Body]) -> bytes:
        assert not bodies, "the host writes what is signed there"
        words = {
            **self._told,
            "chain_id": chain.chain_id,
            "nonce": nonce,
            "valid_until": chain.valid_until,
            "max_gas_price": chain.max_gas_price,
            "is_new": new,
        }
        return bytes.fromhex(self._run.crew.sign_rotation(self._name, words))


def _begin(environment: Environment, name: str, tell: Tell, way: Way, permit: Permit) -> Rotation:
    """Have the key made and the ledger told; what an earlier run has done is not done again."""
    reason = f"keys rotate {name}"
    at = at_work(environment, tell, reason=reason, break_lease=way.break_lease, decides=False)
    with at as run, open_mesh(environment) as mesh:
        if not way.force:
            again = f"aitbc keys rotate {name} -e {environment.name} --force   # trusts the key"
            would = "a new key that does not vote would stop"
            services.spare(run, name, reason, again=again, would=would)
        row, since = _seen(mesh, name)
        if row.next_key is not None:
            _warn_foreign(environment, name, row.next_key, tell)
            change = _change(name, row.key, row.next_key)
            record_change(
                environment, permit, change, "waited on", "the ledger has the new key already"
            )
            return Rotation(name, row.key, row.next_key, since)
        return _replace(run, mesh, name, row, permit)


def _replace(run: Run, mesh: MeshClient, name: str, row: MemberView, permit: Permit) -> Rotation:
    environment = run.environment
    with step(run.tell, "key", f"{name} makes its next consensus key") as now:
        told = run.crew.next_key(name)
        new = str(told["key"])
        now.say(f"{new[:_SHOWN]}, {'made now' if told['made'] else 'was there already'}")
    # Before the ledger is told: a key that votes is one that is known here.
    _remember(environment, name, new)
    signer = _HostSigner(run, name, told, address=row.address)
    with step(
        run.tell, "ledger", f"its operator puts it in the place of {row.key[:_SHOWN]}"
    ) as now:
        raw, tx_id = payments.hand_in(environment, mesh, signer, [])
        # Before the wait, which may be cut: the ledger has it nevertheless.
        change = _change(name, row.key, new)
        record_change(environment, permit, change, "handed in", f"transaction {tx_id}")
        fate = mesh.wait(tx_id, deadline_s=_FINAL_S, raw=raw)
        after, since = _seen(mesh, name)
        # A run that was cut may have handed the same in: then this one has no effect, but that had.
        if fate.status != "committed" and new not in {after.key, after.next_key}:
            raise payments.without_effect(fate)
        now.say(f"final; it votes from height {since:,} on")
    return Rotation(name, row.key, new, since)


def _change(name: str, old: str, new: str) -> str:
    return f"{name}: {old[:_SHOWN]} gives way to {new[:_SHOWN]}"


def record_change(
    environment: Environment, permit: Permit, change: str, outcome: str, reason: str
) -> None:
    """Write into the audit log which key of a node gives way to which."""
    entry = audit.Entry(
        "keys rotate", change, outcome, permit.who, reason, bypassed=permit.bypassed
    )
    audit.append(audit.path_of(environment), entry)


def _seen(mesh: MeshClient, name: str) -> tuple[MemberView, int]:
    """Find a node's validator as the ledger has it, and the first height of the next epoch.

    Raises: AitbcError (refused) when its key is no validator's.
    """
    votes = mesh.node(name).status().validator
    members = mesh.ask_any(lambda node: node.members())
    for row in members.validators:
        if votes and votes in {row.key, row.next_key}:
            return row, members.height if row.next_key is None else members.next_epoch
    raise AitbcError(
        f"keys rotate {name} refused: the ledger has no validator with its key",
        hint="aitbc validator list",
        exit_status=Exit.REFUSED,
    )


def _warn_foreign(environment: Environment, name: str, key: str, tell: Tell) -> None:
    """Say of a next key that this machine did not order that it may be nobody's here.

    To ask its host for the key would make another one there.
    """
    known = (configuring.known_keys(environment) or {}).get(name, {})
    if key not in known.get("later_keys", ()):
        why = f"the ledger's next key of {name}, {key[:_SHOWN]}, was not made from this machine"
        note(tell, f"warning: {why}: unless its host holds it, nobody will vote with it")


def _remember(environment: Environment, name: str, key: str) -> None:
    """Keep the public part beside those of the other keys of this node."""
    known = configuring.known_keys(environment)
    if known is None or key in known[name].get("later_keys", ()):
        return
    later = [*known[name].get("later_keys", ()), key]
    configuring.remember(environment, {**known, name: {**known[name], "later_keys": later}})


def _await(environment: Environment, rotation: Rotation, tell: Tell) -> str:
    """Wait until the new key has voted; say in how many blocks around the change the node has.

    Raises: AitbcError (124) when it does not vote in time: the ledger has it nevertheless.
    """
    name, last = rotation.node, rotation.since + _AROUND
    with looking(environment, tell) as run, step(tell, "wait", _waited(rotation)) as now:
        deadline, is_measured = time.monotonic() + _GRACE_S, False
        while True:
            status = run.mesh.statuses([name])[name]
            if status is not None and _has_voted(status, rotation, last):
                break
            if status is not None and not is_measured:
                blocks_s = environment.chain.block_interval_ms / 1000
                left_s = max(0, last - status.height) * blocks_s
                deadline, is_measured = time.monotonic() + _SLOW * left_s + _GRACE_S, True
            if time.monotonic() > deadline:
                raise _silent(environment, rotation)
            time.sleep(_POLL_S)
        blocks = run.mesh.blocks(max(2, rotation.since - _AROUND) + 1, last + 1)
        own = {rotation.old, rotation.new}
        signed = sum(bool(own & set(block.last_commit.signers)) for block in blocks)
        voted = f"{signed} of {len(blocks)}"
        now.say(f"its votes are in {voted} blocks around the change")
        return voted


def _has_voted(status: schema.Status, rotation: Rotation, last: int) -> bool:
    is_new = status.validator == rotation.new
    return is_new and status.last_voted_height >= last and status.height > last


def _waited(rotation: Rotation) -> str:
    return f"until {rotation.node} has voted with it, from height {rotation.since:,} on"


def _silent(environment: Environment, rotation: Rotation) -> AitbcError:
    name = rotation.node
    return AitbcError(
        f"{name} has not voted with its new key yet, from height {rotation.since:,} on it should\n"
        "  changed so far   the ledger has the new key; the old one votes no more from there on",
        hint=f"aitbc node status {name} -e {environment.name}\n"
        f"aitbc keys rotate {name} -e {environment.name}   # waits on",
        exit_status=Exit.DEADLINE,
    )


def _lines(rotation: Rotation, voted: str) -> list[str]:
    keys = f"{rotation.old[:_SHOWN]} -> {rotation.new[:_SHOWN]}, from height {rotation.since:,} on"
    votes = f"in {voted} blocks around the change" if voted else "not waited for"
    return [fact(rotation.node, keys), fact("its votes", votes)]
