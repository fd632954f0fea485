"""How does a node get another key by which the others know it, with nobody configured anew?

Its host makes the key beside the present one, and both sign that it takes the place; an operator's
key, on that host or on a validator's, hands this in. From its block on every node refuses the old
key and takes the new one for what the old one was; then the files change places and the node is
started again. A run that was cut is gone on with by the next one, which asks the host, the node and
the ledger how far it came. Do not add what the node or the ledger decides.
"""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from aitbc_node import bech32
from aitbc_node.ledger import revoking
from aitbc_node.ledger.families import Body
from aitbc_node.rpc import schema
from aitbc_node.types import Address, PublicKey
from aitbc_toolkit import candidacy, payments
from aitbc_toolkit.asking import MeshClient, Silence, open_mesh
from aitbc_toolkit.errors import Exit, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import configuring, permission, services
from aitbc_toolkit.release.occupation import at_work
from aitbc_toolkit.release.outcome import Outcome, fact
from aitbc_toolkit.release.permission import Permit
from aitbc_toolkit.release.progress import Tell, duration, note, step
from aitbc_toolkit.release.rolling import Run
from aitbc_toolkit.release.rotating import Way, record_change
from aitbc_toolkit.wallet import ChainNow

_FINAL_S = 60
_LINKS_S = 60
_POLL_S = 0.2
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Renamed:
    """Say by which id a node was known and is known now.

    Units: `issued_s` from the order to the block that says so, `back_s` on to its links; none for
    what an earlier run did. `since`: the block from which on the old one is refused. `linked` of
    the `others` that answer have a link to the new one, which `is_enough` or is not.
    """

    node: str
    old: str
    new: str
    issued_s: float | None
    since: int | None
    back_s: float
    linked: int
    others: int
    is_enough: bool


@dataclass(frozen=True, slots=True)
class _Links:
    """Count the nodes but one: who answers, who of them has a link to it.

    `usual` is to how many of the others one of them has a link; `is_alone` where there are none.
    """

    linked: int
    others: int
    usual: int
    is_alone: bool

    def are_enough(self, wanted: int) -> bool:
        """Tell whether as many as wanted have one, or all that answer, if anybody does."""
        return self.is_alone or self.linked >= min(max(wanted, 1), max(self.others, 1))


def rename(environment: Environment, name: str, tell: Tell, way: Way) -> Outcome:
    """Give one node a new key, or all of them, one after another.

    Raises: UsageError for an unknown node; AitbcError (refused) when the mesh would stop while the
    node starts again, unless forced.
    """
    began = time.monotonic()
    names = [name] if name else [each.name for each in environment.instances]
    if not way.wait:
        raise UsageError(
            "a node with a new key starts again, which is waited for",
            hint=f"aitbc keys rotate {names[0]} --node-key -e {environment.name}",
        )
    renamed: list[Renamed] = []
    for each in names:
        environment.instance(each)
        subject = f"keys rotate {each} --node-key"
        permit = permission.require(environment, "operate", subject=subject)
        at = at_work(
            environment, tell, reason=subject, break_lease=way.break_lease, decides=way.force
        )
        with at as run, open_mesh(environment) as mesh:
            found = _rename(run, mesh, each, way, permit)
        renamed.append(found)
        if not found.is_enough:
            break
    took_s = time.monotonic() - began
    done = [each.node for each in renamed]
    head = f"{' '.join(done)} of {environment.name}: new node key, took {duration(took_s)}"
    return Outcome(
        Exit.OK if renamed[-1].is_enough else Exit.FAILED,
        [head, *(line for each in renamed for line in _lines(each))],
        changed=done,
        took_s=took_s,
        facts={"node_keys": [msgspec.to_builtins(each) for each in renamed]},
        **_unlinked(environment, renamed[-1]),
    )


class _HostPayer:
    """Be the operator of a validator, whose key signs on its host what a node key has said."""

    def __init__(self, run: Run, payer: str, offered: Mapping[str, Any], operator: Address) -> None:
        self._run = run
        self._payer = payer
        self._operator = operator
        self._words = {
            "key": offered["node_key"],
            "said": offered["said"],
            "operator": operator.hex(),
        }

    def address(self, hrp: str) -> str:
        return bech32.address_text(hrp, self._operator)

    def act(self, chain: ChainNow, *, nonce: int, new: bool, bodies: Sequence[Body]) -> bytes:
        assert not bodies, "the host writes what is signed there"
        words = {
            **self._words,
            "chain_id": chain.chain_id,
            "nonce": nonce,
            "valid_until": chain.valid_until,
            "max_gas_price": chain.max_gas_price,
            "is_new": new,
        }
        signed = self._run.crew.node_key(self._payer, "sign", words)
        return bytes.fromhex(signed["transaction"])


def _rename(run: Run, mesh: MeshClient, name: str, way: Way, permit: Permit) -> Renamed:
    environment, began = run.environment, time.monotonic()
    if not way.force:
        again = f"aitbc keys rotate {name} --node-key -e {environment.name} --force"
        what = f"keys rotate {name} --node-key"
        services.spare(run, name, what, again=again, would="while it starts again it would stop")
    running = mesh.node(name).get("/net/peers", schema.Peers).id
    before = _links(mesh, name, running)
    with step(run.tell, "key", f"{name} makes its next node key") as now:
        words = {"chain_id": environment.chain.id, "running": running}
        offered = run.crew.node_key(name, "offer", words)
        new = str(offered["next_peer_id"] or offered["peer_id"])
        now.say(f"{new[:_SHOWN]}, {'made now' if offered.get('made') else 'was there already'}")
    issued_s = since = None
    if offered["next_peer_id"]:
        since = _tell_ledger(run, mesh, name, offered, permit)
        issued_s = None if since is None else time.monotonic() - began
        run.crew.node_key(name, "take", {"peer_id": new})
    _remember(environment, name, new, offered)
    _restart(run, name)
    # Behind a run that was cut nobody may have had a link to the old key any more.
    wanted = max(before.linked, before.usual if since is None else 1)
    after = _await_links(mesh, name, new, wanted=wanted)
    back_s = time.monotonic() - began - (issued_s or 0)
    is_enough = after.are_enough(wanted)
    return Renamed(
        name, running, new, issued_s, since, back_s, after.linked, after.others, is_enough
    )


def _tell_ledger(
    run: Run, mesh: MeshClient, name: str, offered: Mapping[str, Any], permit: Permit
) -> int | None:
    """Hand in what both keys have signed, unless an earlier run did; tell in which block it is."""
    environment = run.environment
    key = PublicKey(bytes.fromhex(offered["node_key"]))
    change = (
        f"{name}: {offered['peer_id'][:_SHOWN]} gives way to {offered['next_peer_id'][:_SHOWN]}"
    )
    with step(run.tell, "ledger", f"it takes the place of {offered['peer_id'][:_SHOWN]}") as now:
        said = _said(mesh, key)
        if said:
            now.say("the ledger has it already")
            if said != offered["said"]:
                note(run.tell, _ended(environment, name))
            record_change(environment, permit, change, "waited on", "the ledger has it already")
            return None
        votes = {each.name for each in environment.validators}
        payer = name if name in votes else environment.validators[0].name
        operator = candidacy.operator_of(environment, mesh, payer)
        signer = _HostPayer(run, payer, offered, operator)
        raw, tx_id = payments.hand_in(environment, mesh, signer, [])
        record_change(environment, permit, change, "handed in", f"transaction {tx_id}")
        fate = mesh.wait(tx_id, deadline_s=_FINAL_S, raw=raw)
        if fate.status != "committed":
            # A run that was cut may have handed the same in: then that one had the effect.
            if _said(mesh, key) != offered["said"]:
                raise payments.without_effect(fate)
            now.say("what an earlier run handed in became final before it")
            return None
        now.say(f"final in block {fate.height:,}: from there on the old one is refused")
        return fate.height


def _said(mesh: MeshClient, key: PublicKey) -> str:
    """Return what the ledger has of a key's end; the node of that key may not have the block."""
    told = mesh.ask_all(lambda node: node.record("peer", revoking.record_key_of(key)))
    known = (each.value for each in told.values() if isinstance(each, schema.RecordView))
    return next(known, "")


def _ended(environment: Environment, name: str) -> str:
    again = f"aitbc deploy {environment.name}"
    why = f"the key of {name} has ended in favour of no key that its host holds"
    return f"warning: {why}: where only listed nodes link, it comes back with {again}"


def _remember(environment: Environment, name: str, new: str, offered: Mapping[str, Any]) -> None:
    """Keep the public parts beside those of the other keys of this node, for the next deploy."""
    known = configuring.known_keys(environment)
    if known is not None:
        parts = {"peer_id": new, "node_key": offered.get("next_key") or offered["node_key"]}
        configuring.remember(environment, {**known, name: {**known[name], **parts}})


def _restart(run: Run, name: str) -> None:
    environment = run.environment
    with step(run.tell, "restart", f"{name} starts with it") as now:
        rows = run.crew.service("restart", [name])
        changed = "the ledger and the host have the new key, which the node does not run by yet"
        run.crew.require(rows, verb=f"restart {name} of", changed=changed, status=Exit.FAILED)
        now.say(f"{name} on {environment.instance(name).host} restarted")
    services.await_part(run, name, run.tell)


def _await_links(mesh: MeshClient, name: str, new: str, *, wanted: int) -> _Links:
    """Wait until as many nodes as are wanted have a link to the new key, or until the deadline."""
    deadline = time.monotonic() + _LINKS_S
    while True:
        found = _links(mesh, name, new)
        if found.are_enough(wanted) or time.monotonic() > deadline:
            return found
        time.sleep(_POLL_S)


def _links(mesh: MeshClient, name: str, peer: str) -> _Links:
    told = mesh.ask_all(lambda node: node.get("/net/peers", schema.Peers))
    rest = [each for node, each in told.items() if node != name]
    others = {each.id: each for each in rest if not isinstance(each, Silence)}
    linked = [{row.id for row in each.peers} for each in others.values()]
    between = [len(each & others.keys()) for each in linked]
    return _Links(
        linked=sum(peer in each for each in linked),
        others=len(others),
        usual=statistics.median_low(between) if between else 0,
        is_alone=not rest,
    )


def _unlinked(environment: Environment, found: Renamed) -> dict[str, str]:
    """Say of a node that runs by its new key that the others do not take it."""
    if found.is_enough:
        return {}
    who = f"{found.linked} of {found.others} others that answer have a link to it"
    hint = f"aitbc node logs {found.node} -e {environment.name}\n"
    hint += (
        f"aitbc deploy {environment.name}   # where only listed nodes link, it lists the new key"
    )
    return {"error": f"{found.node} runs by its new key, and {who}", "hint": hint}


def _lines(found: Renamed) -> list[str]:
    name = fact(found.node, f"{found.old[:_SHOWN]} -> {found.new[:_SHOWN]}")
    issued = "by an earlier run"
    if found.issued_s is not None:
        issued = f"made, signed and final in {found.issued_s:.1f} s, block {found.since:,}"
    links = f"{found.linked} of {found.others} others by the new key {found.back_s:.1f} s later"
    return [name, fact("issued", issued), fact("linked", links)]
