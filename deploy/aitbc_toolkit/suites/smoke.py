"""Does a live mesh do what it is for? The smoke scenarios but for joining, which is in `joining`.

Each takes a scene and returns one line, or ends with the verdict that says why not. Limits are
multiples of the block interval, so that the same scenario judges dev and lab.
"""

import time
from collections.abc import Collection, Mapping

from aitbc_node.rpc import schema
from aitbc_toolkit.suites import transfers
from aitbc_toolkit.suites.scene import LIVENESS_S, ROUND_TIMEOUT_S, Scene
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict
from aitbc_toolkit.suites.waiting import Look, wait_until

BOOT_BLOCKS = 10
TRANSFERS_PER_NODE = 20


def boot(scene: Scene) -> str:
    """Require that all nodes are up, linked to whom they can reach, make ten blocks, and agree."""
    began = time.monotonic()
    start = min(status.height for status in scene.all_statuses().values())
    others = _reachable(scene)
    wait_until(
        f"height {start + BOOT_BLOCKS} on every node, each linked to all that it can reach",
        lambda: _grown(scene, height=start + BOOT_BLOCKS, peers=others),
        deadline_s=LIVENESS_S,
        stretch_s=LIVENESS_S,
    )
    took_s = time.monotonic() - began
    allowed_s = 2 * BOOT_BLOCKS * (scene.interval_s + ROUND_TIMEOUT_S / 2)
    if took_s > allowed_s:
        why = f"{BOOT_BLOCKS} blocks took {took_s:.1f} s, allowed {allowed_s:.1f} s"
        raise ScenarioError(Verdict.OBJECTIVE, why)
    counts = sorted(set(others.values()))
    peers = f"{counts[0]} peers each" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} peers"
    return f"{BOOT_BLOCKS} blocks in {took_s:.1f} s on {len(others)} nodes, {peers}"


def tx_lifecycle(scene: Scene) -> str:
    """Put twenty transfers through every node; each is final once and told alike by everybody."""
    began = time.monotonic()
    scene.all_statuses()
    wallets = transfers.payers(scene)
    funds = {each.account: transfers.FUNDS for each in wallets.values()}
    funding = transfers.pay_each(scene, funds)
    _await_ends(scene, [funding])
    sent = transfers.send_through_each(scene, wallets, count=TRANSFERS_PER_NODE)
    wanted = [tx for each in sent for tx in each.raws]
    scene.recorder.accepted(wanted)
    fates = _await_ends(scene, wanted)
    _require_effect(fates)
    _hand_in_again(scene, sent)
    took_s = time.monotonic() - began
    return (
        f"{len(wanted)} transfers, {TRANSFERS_PER_NODE} through each of {len(sent)} nodes,"
        f" final once everywhere in {took_s:.1f} s"
    )


def quick(scene: Scene) -> str:
    """Require, in a few seconds, that a transfer through each node is final everywhere."""
    began = time.monotonic()
    start = min(status.height for status in scene.all_statuses().values())
    paid = transfer_everywhere(scene)
    wait_until(
        f"every node above height {start}, linked to a quorum",
        lambda: _grown(scene, height=start + 1, peers=_peers_min(scene)),
        deadline_s=LIVENESS_S / 2,
    )
    took_s = time.monotonic() - began
    return f"{len(paid)} transfers, one through each node, final everywhere in {took_s:.1f} s"


def transfer_everywhere(scene: Scene) -> list[str]:
    """Put one transfer through each node and wait until all are final everywhere."""
    paid = transfers.pay_through_each(scene)
    scene.recorder.accepted(paid)
    _require_effect(_await_ends(scene, paid))
    return paid


def _reachable(scene: Scene) -> dict[str, int]:
    """Count, for each node, the others that have an address of a family that it has."""
    nodes = scene.environment.instances
    return {
        each.name: sum(bool(each.way_to(other)) for other in nodes if other is not each)
        for each in nodes
    }


def _peers_min(scene: Scene) -> dict[str, int]:
    """Return how many links make each node a part of the mesh. Source: rules 1.10."""
    return {name: min(3, count) for name, count in _reachable(scene).items()}


def _grown(
    scene: Scene, *, height: int, peers: Mapping[str, int]
) -> Look[dict[str, schema.Status]]:
    up = scene.recorder.statuses()
    missing = [each.name for each in scene.environment.instances if each.name not in up]
    low = {name: each.height for name, each in up.items() if each.height < height}
    alone = {name: each.peers for name, each in up.items() if each.peers < peers[name]}
    shown = []
    if missing:
        shown.append(f"no answer from {', '.join(missing)}")
    if low:
        shown.append("heights " + ", ".join(f"{name} {at}" for name, at in low.items()))
    if alone:
        shown.append("peers " + ", ".join(f"{name} {count}" for name, count in alone.items()))
    return Look(not shown, up, "; ".join(shown) or "all of it")


def _await_ends(scene: Scene, wanted: Collection[str]) -> Mapping[str, Mapping[str, schema.TxView]]:
    """Wait until every node tells an end of every transaction."""
    names = [node.name for node in scene.mesh.nodes]

    def look() -> Look[Mapping[str, Mapping[str, schema.TxView]]]:
        fates = scene.recorder.fates(wanted)
        counts = {name: sum(name in told for told in fates.values()) for name in names}
        done = all(count == len(wanted) for count in counts.values())
        shown = ", ".join(f"{name} {count}" for name, count in counts.items())
        return Look(done, fates, f"ended on {shown} of {len(wanted)}")

    return wait_until(
        f"{len(wanted)} transactions final on every node",
        look,
        deadline_s=LIVENESS_S,
        stretch_s=LIVENESS_S,
    )


def _require_effect(fates: Mapping[str, Mapping[str, schema.TxView]]) -> None:
    """Require that every transfer had its effect; nodes that tell different ends are unsafe."""
    for tx, told in fates.items():
        ends = {(fate.status, fate.code) for fate in told.values()}
        if ends == {("committed", "ok")}:
            continue
        why = "; ".join(
            f"{name} says that transfer {tx[:12]} is {fate.status}: {fate.code}"
            for name, fate in told.items()
            if (fate.status, fate.code) != ("committed", "ok")
        )
        if len(ends) > 1:
            raise ScenarioError(Verdict.SAFETY, why)
        expired = all(status == "expired" for status, _code in ends)
        raise ScenarioError(Verdict.LIVENESS if expired else Verdict.INFRA, why)


def _hand_in_again(scene: Scene, sent: list[transfers.Sent]) -> None:
    """Replay a final transaction of each node at the next node: the answer is its old fate."""
    nodes = scene.mesh.nodes
    for place, each in enumerate(sent):
        tx, raw = next(iter(each.raws.items()))
        other = nodes[(place + 1) % len(nodes)]
        answer = other.submit(raw)
        if (answer.id, answer.status) != (tx, "committed"):
            why = f"{other.name} took transfer {tx[:12]} a second time: {answer.status}"
            raise ScenarioError(Verdict.SAFETY, why)
