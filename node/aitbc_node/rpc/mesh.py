"""What does a node say of itself, of the validators and of its peers?

One pure function per route, answered from the view alone. Blocks and transactions are in
`history.py`, money is in `holdings.py`.
"""

from aitbc_node import bech32
from aitbc_node.codes import Code
from aitbc_node.ledger.upgrades import APP_VERSION
from aitbc_node.rpc import schema, splits, surroundings
from aitbc_node.rpc.call import Call, read_height
from aitbc_node.rpc.history import final_block, validators_of
from aitbc_node.rpc.view import NodeView, Request, RequestFault
from aitbc_node.types import BlockId, Height, PublicKey, Round
from aitbc_node.validators import ValidatorSet


def status(call: Call) -> schema.Status:
    """Answer `GET /status`."""
    view, facts, chain = call.view, call.facts, call.view.state.chain
    identity, header = view.last_block or (BlockId(b""), None)
    time_ms = header.time_ms if header else 0
    return schema.Status(
        node=facts.node,
        role=facts.role,
        chain_id=chain.chain_id,
        hrp=chain.hrp,
        genesis_hash=facts.genesis_hash.hex(),
        version=facts.version,
        commit=facts.commit,
        data_version=view.data_version,
        app_version=chain.app_version,
        upgrade=_upgrade(view),
        app_version_max=APP_VERSION,
        height=view.height,
        round=view.round,
        step=str(view.step),
        block_id=identity.hex(),
        block_time=schema.rfc3339(time_ms),
        block_age_ms=_tip_age_ms(view, call.request),
        state_root=view.state.root.hex(),
        state_root_height=view.height,
        validator=own_key.hex() if (own_key := view.own_key or facts.validator) else None,
        power=view.own_power,
        total_power=view.validators.total_power,
        reachable_power=view.reachable_power,
        proposer=view.proposer().hex(),
        last_voted_height=view.last_voted_height,
        syncing=view.syncing,
        stale=is_stale(view),
        peers=len(view.peers()),
        mempool=len(view.mempool),
        sign_state=_sign_state(view),
        trouble=view.diverged or view.refusal,
    )


def _upgrade(view: NodeView) -> schema.UpgradeView | None:
    planned = view.state.upgrade
    if planned is None:
        return None
    return schema.UpgradeView(height=planned.height, app_version=planned.app_version)


def is_stale(view: NodeView) -> bool:
    """Tell whether the node sees no quorum, so that the mesh may be ahead without it."""
    return not view.validators.is_quorum(view.reachable_power)


def staleness(view: NodeView, request: Request) -> tuple[tuple[str, str], ...]:
    """Return the headers by which a node without quorum marks what it tells as old, and how old."""
    if not is_stale(view):
        return ()
    return (("x-stale", "1"), ("age", str(_tip_age_ms(view, request) // 1_000)))


def _tip_age_ms(view: NodeView, request: Request) -> int:
    newest = view.last_block
    return 0 if newest is None else max(0, request.wall_ms - newest[1].time_ms)


def health(call: Call) -> schema.Health:
    """Answer `GET /health`: an error with status 503 when answers may be old."""
    view = call.view
    if view.diverged:
        raise RequestFault(503, Code.E_UNAVAILABLE, view.diverged)
    if is_stale(view):
        power = f"{view.reachable_power} of {view.validators.total_power}"
        message = f"voting power {power} is reachable, more than two thirds are needed"
        raise RequestFault(503, Code.E_NO_QUORUM, message, headers=(("retry-after", "2"),))
    return schema.Health(
        status="syncing" if view.syncing else "ok", height=view.height, peers=len(view.peers())
    )


def validators(call: Call) -> schema.Validators:
    """Answer `GET /validators`: who votes on the next height, or who could vote on a past one."""
    text = call.option("height")
    above = Height(call.view.height + 1)
    if text is None or (height := read_height(text, field="height")) == above:
        members = call.view.validators
        return _validators(call, members, height=above, proposer=members.proposer(Round(0)).key)
    header = final_block(call, height).block.header
    known = validators_of(call.view, header)
    if known is None:
        message = f"the validators of height {height} are not kept"
        raise RequestFault(404, Code.E_NOT_FOUND, message, field="height")
    return _validators(call, known, height=height, proposer=header.proposer)


def peers(call: Call) -> schema.Peers:
    """Answer `GET /net/peers`."""
    rows = [
        schema.PeerRow(
            id=peer.id.hex(),
            address=peer.address,
            direction="out" if peer.direction == "out" else "in",
            rtt_ms=peer.rtt_ms,
            availability=peer.availability,
            score=peer.score,
            version=peer.version,
            speed=peer.speed,
        )
        for peer in sorted(call.view.peers(), key=lambda peer: peer.id)
    ]
    banned = {peer.hex(): left_ms for peer, left_ms in sorted(call.view.banned())}
    return schema.Peers(id=call.facts.peer_id.hex(), peers=rows, banned=banned)


def topology(call: Call) -> surroundings.Topology:
    """Answer `GET /net/topology`: what this node knows of the mesh's shape."""
    seen = call.view.surroundings()
    links = [
        surroundings.TopologyLink(
            id=link.peer.hex(),
            address=link.address,
            direction="out" if link.outbound else "in",
            rtt_ms=link.rtt_ms,
            source=link.source,
            neighbours=sorted(peer.hex() for peer in link.neighbours),
        )
        for link in sorted(seen.links, key=lambda link: link.peer)
    ]
    out_degree = sum(link.direction == "out" for link in links)
    return surroundings.Topology(
        id=call.facts.peer_id.hex(),
        degree=len(links),
        out_degree=out_degree,
        in_degree=len(links) - out_degree,
        known=seen.known,
        ledger=seen.vouched,
        record=seen.record.hex(),
        links=links,
    )


def partition(call: Call) -> splits.Partition:
    """Answer `GET /net/partition`: the component that this node is part of, by its live links."""
    view, hrp = call.view, call.view.state.chain.hrp
    own = {call.facts.peer_id.hex(), *(peer.id.hex() for peer in view.peers())}
    lacking_ms = view.lacking_ms
    rows = {
        member.key: splits.VoterView(
            address=bech32.address_text(hrp, member.operator),
            key=member.key.hex(),
            power=member.power,
        )
        for member in view.validators.members
    }
    within = view.reachable
    return splits.Partition(
        components=[sorted(own)],
        reachable_power=view.reachable_power,
        total_power=view.validators.total_power,
        quorum=not is_stale(view),
        partitioned=lacking_ms is not None,
        since=None if lacking_ms is None else schema.rfc3339(call.request.wall_ms - lacking_ms),
        lacking_ms=lacking_ms,
        reachable=[row for key, row in rows.items() if key in within],
        unreachable=[row for key, row in rows.items() if key not in within],
    )


def _sign_state(view: NodeView) -> schema.SignStateView | None:
    signed = view.sign_state
    if signed is None:
        return None
    return schema.SignStateView(height=signed.height, round=signed.round, step=signed.step)


def _validators(
    call: Call, members: ValidatorSet, *, height: Height, proposer: PublicKey
) -> schema.Validators:
    hrp = call.view.state.chain.hrp
    is_next = height > call.view.height
    rows = [
        schema.ValidatorView(
            address=bech32.address_text(hrp, member.operator),
            key=member.key.hex(),
            power=member.power,
            priority=member.priority if is_next else None,
            status="active",
            proposer=member.key == proposer,
        )
        for member in members.members
    ]
    return schema.Validators(height=height, total_power=members.total_power, validators=rows)
