"""How is each read answered from the node's view, its log and its index?

One function per route, pure: nothing is cached, nothing waits. Routes and errors on the way here
are `dispatch.py`'s; what the answers look like is `schema.py`'s.
"""

from typing import cast

from aitbc_node import bech32, limits
from aitbc_node.blocks import Certificate, FinalBlock, Header, tx_id
from aitbc_node.codes import Code
from aitbc_node.ledger import audit as judge
from aitbc_node.ledger import objects, params
from aitbc_node.ledger.objects import Account, ObjectKey
from aitbc_node.ledger.policy import Policy
from aitbc_node.rpc import schema
from aitbc_node.rpc.call import Call, read_flag, read_hash, read_height, read_number
from aitbc_node.rpc.view import NodeView, Reader, RequestFault, TxFate
from aitbc_node.types import BlockId, Height, Round, TxId
from aitbc_node.validators import ValidatorSet

BLOCKS_PER_PAGE_DEFAULT = 10
BLOCKS_PER_PAGE_MAX = 20


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
        data_version=facts.data_version,
        height=view.height,
        round=view.round,
        step=str(view.step),
        block_id=identity.hex(),
        block_time=schema.rfc3339(time_ms),
        block_age_ms=max(0, call.request.wall_ms - time_ms) if header else 0,
        state_root=view.state.root.hex(),
        state_root_height=view.height,
        validator=facts.validator.hex() if facts.validator else None,
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
    )


def is_stale(view: NodeView) -> bool:
    """Tell whether the node sees no quorum, so that the mesh may be ahead without it."""
    return not view.validators.is_quorum(view.reachable_power)


def health(call: Call) -> schema.Health:
    """Answer `GET /health`: an error with status 503 when answers may be old."""
    view = call.view
    if is_stale(view):
        power = f"{view.reachable_power} of {view.validators.total_power}"
        message = f"voting power {power} is reachable, more than two thirds are needed"
        raise RequestFault(503, Code.E_NO_QUORUM, message, headers=(("retry-after", "2"),))
    return schema.Health(
        status="syncing" if view.syncing else "ok", height=view.height, peers=len(view.peers())
    )


def validators(call: Call) -> schema.Validators:
    """Answer `GET /validators`."""
    text = call.option("height")
    above = Height(call.view.height + 1)
    if text is None or (height := read_height(text, field="height")) == above:
        return _validators(call, call.view.validators, height=above)
    known = _validators_of(call.view, _final_block(call, height).block.header)
    if known is None:
        message = f"the validators of height {height} are not kept"
        raise RequestFault(404, Code.E_NOT_FOUND, message, field="height")
    return _validators(call, known, height=height)


def latest_block(call: Call) -> schema.BlockView:
    """Answer `GET /blocks/latest`."""
    return _block_view(call, _final_block(call, call.view.height))


def block(call: Call) -> schema.BlockView:
    """Answer `GET /blocks/<height>`."""
    height = read_height(call.params["height"], field="height")
    return _block_view(call, _final_block(call, height))


def blocks(call: Call) -> schema.Blocks:
    """Answer `GET /blocks?from=&count=`; without `from`, the newest ones."""
    tip = call.view.height
    count = read_number(
        call.option("count") or "10", field="count", low=1, high=BLOCKS_PER_PAGE_MAX
    )
    start = call.option("from")
    first = max(1, tip - count + 1) if start is None else read_height(start, field="from")
    last = min(tip, first + count - 1)
    found = [_final_block(call, Height(height)) for height in range(max(1, first), last + 1)]
    return schema.Blocks(height=tip, blocks=[_block_view(call, final) for final in found])


def transaction(call: Call) -> schema.TxView:
    """Answer `GET /tx/<id>`: exactly one of pending, committed, rejected and expired."""
    wanted = TxId(read_hash(call.params["id"], field="id"))
    found = fate(call.view, call.reader, wanted)
    if found is None:
        message = "no transaction of this id is known here"
        hint = "a node that was never given it cannot tell; hand in the same bytes again"
        raise RequestFault(404, Code.E_NOT_FOUND, message, field="id", hint=hint)
    return found


def fate(view: NodeView, reader: Reader, wanted: TxId) -> schema.TxView | None:
    """Tell what is known of a transaction; what is in a block outranks what waits."""
    known = reader.transaction(wanted)
    if known is not None:
        return _tx_view(wanted, known)
    if view.mempool.get(wanted) is not None:
        return schema.TxView(id=wanted.hex(), status="pending")
    return None


def account(call: Call) -> schema.AccountView:
    """Answer `GET /state/accounts/<address>`."""
    hrp = call.view.state.chain.hrp
    try:
        address = bech32.parse_address(call.params["address"], hrp=hrp)
    except ValueError as error:
        hint = f"an address of this chain begins with {hrp}1"
        raise RequestFault(
            400, Code.E_BAD_REQUEST, str(error), field="address", hint=hint
        ) from error
    found = call.view.state.account(address) or objects.NEW_ACCOUNT
    return schema.AccountView(
        address=bech32.address_text(hrp, address),
        height=call.view.height,
        nonce=found.nonce,
        next_nonce=call.view.mempool.pending_nonce(address, next_nonce=found.nonce),
        balances=_balances(found),
        policy=_policy(found.policy),
        proof=_proof(call, (objects.ACCOUNT, address)),
    )


def asset_facts(call: Call) -> schema.AssetFacts:
    """Answer `GET /state/asset/<ticker>`."""
    ticker, found = _asset(call)
    return schema.AssetFacts(
        name=found.name, ticker=ticker, decimals=found.decimals, total_supply=str(found.supply)
    )


def asset(call: Call) -> schema.AssetView:
    """Answer `GET /state/assets/<ticker>`."""
    ticker, found = _asset(call)
    mint = found.mint_authority
    return schema.AssetView(
        ticker=ticker,
        height=call.view.height,
        name=found.name,
        decimals=found.decimals,
        total_supply=str(found.supply),
        min_amount=str(found.min_amount),
        mint_authority=bech32.address_text(call.view.state.chain.hrp, mint) if mint else None,
        paused=found.paused,
        proof=_proof(call, (objects.ASSET, ticker.encode())),
    )


def state_root(call: Call) -> schema.StateRoot:
    """Answer `GET /state_root?height=`; without a height, that of the tip."""
    view, text = call.view, call.option("height")
    height = view.height if text is None else read_height(text, field="height")
    if height == view.height:
        identity = view.last_block[0] if view.last_block else b""
        root = view.state.root
        return schema.StateRoot(height=height, state_root=root.hex(), block_id=identity.hex())
    final = _final_block(call, height)
    return schema.StateRoot(
        height=height,
        state_root=final.block.header.state_root.hex(),
        block_id=final.certificate.block_id.hex(),
    )


def parameters(call: Call) -> schema.Parameters:
    """Answer `GET /params`."""
    in_force = call.view.state.params
    rows = {
        row.name: schema.ParamView(
            value=getattr(in_force, row.name),
            default=row.default,
            unit=row.unit,
            low=row.low,
            high=row.high,
            meaning=row.meaning,
        )
        for row in params.PARAMETERS
    }
    return schema.Parameters(height=call.view.height, params=rows)


def audit(call: Call) -> schema.AuditAnswer:
    """Answer `GET /audit`; the cost is a walk over all accounts, so the server keeps the answer."""
    state = call.view.state
    return schema.AuditAnswer(
        height=call.view.height,
        state_root=state.root.hex(),
        supply={ticker: str(found.supply) for ticker, found in state.assets()},
        violations=judge.audit(state),
    )


def peers(call: Call) -> schema.Peers:
    """Answer `GET /net/peers`."""
    rows = [
        schema.PeerRow(
            id=peer.id.hex(),
            address=peer.address,
            direction="out" if peer.direction == "out" else "in",
            rtt_ms=peer.rtt_ms,
            score=peer.score,
            version=peer.version,
        )
        for peer in sorted(call.view.peers(), key=lambda peer: peer.id)
    ]
    return schema.Peers(id=call.facts.peer_id.hex(), peers=rows)


def partition(call: Call) -> schema.Partition:
    """Answer `GET /net/partition`: the component that this node is part of, by its live links."""
    view = call.view
    own = {call.facts.peer_id.hex(), *(peer.id.hex() for peer in view.peers())}
    return schema.Partition(
        components=[sorted(own)],
        reachable_power=view.reachable_power,
        total_power=view.validators.total_power,
        partitioned=view.reachable_power < view.validators.total_power,
    )


def _sign_state(view: NodeView) -> schema.SignStateView | None:
    signed = view.sign_state
    if signed is None:
        return None
    return schema.SignStateView(height=signed.height, round=signed.round, step=signed.step)


def _validators(call: Call, members: ValidatorSet, *, height: Height) -> schema.Validators:
    hrp = call.view.state.chain.hrp
    turn = members.proposer(Round(0)).key
    rows = [
        schema.ValidatorView(
            address=bech32.address_text(hrp, member.operator),
            key=member.key.hex(),
            power=member.power,
            priority=member.priority,
            status="active",
            proposer=member.key == turn,
        )
        for member in members.members
    ]
    return schema.Validators(height=height, total_power=members.total_power, validators=rows)


def _validators_of(view: NodeView, header: Header) -> ValidatorSet | None:
    """Return who voted on a block, as far as the set is still the one in the state."""
    return view.validators if view.validators.digest() == header.validators_hash else None


def _final_block(call: Call, height: Height) -> FinalBlock:
    found = call.reader.block(height) if 1 <= height <= call.view.height else None
    if found is None:
        message = f"block {height} is not here, the tip is {call.view.height}"
        raise RequestFault(404, Code.E_NOT_FOUND, message, field="height")
    return found


def _block_view(call: Call, final: FinalBlock) -> schema.BlockView:
    header = final.block.header
    return schema.BlockView(
        height=header.height,
        id=final.certificate.block_id.hex(),
        previous_id=header.parent_id.hex(),
        time=schema.rfc3339(header.time_ms),
        time_ms=header.time_ms,
        proposer=header.proposer.hex(),
        round=final.certificate.round,
        state_root=header.state_root.hex(),
        receipts_root=header.receipts_root.hex(),
        tx_count=header.tx_count,
        tx_ids=[tx_id(raw).hex() for raw in final.block.txs],
        certificate=_certificate(final.certificate, _validators_of(call.view, header)),
    )


def _certificate(certificate: Certificate, voters: ValidatorSet | None) -> schema.CertificateView:
    if voters is None:
        return schema.CertificateView(round=certificate.round, signers=[], power=None)
    signers = [voters.members[vote.validator] for vote in certificate.votes]
    return schema.CertificateView(
        round=certificate.round,
        signers=[signer.key.hex() for signer in signers],
        power=sum(signer.power for signer in signers),
    )


def _tx_view(wanted: TxId, known: TxFate) -> schema.TxView:
    status, height, index, code, fee, events = known
    return schema.TxView(
        id=wanted.hex(),
        status=cast("schema.TxStatus", status),
        height=height,
        index=index,
        code=code,
        fee=None if fee is None else str(fee),
        events=[list(event) for event in events],
    )


def _balances(found: Account) -> dict[str, schema.Balance]:
    rows = {}
    for ticker, amount in found.balances:
        locked = 0  # no object of this ledger can lock money yet
        rows[ticker] = schema.Balance(
            balance=str(amount), locked=str(locked), available=str(amount - locked)
        )
    return rows


def _policy(policy: Policy | None) -> schema.PolicyView | None:
    if policy is None:
        return None
    keys = [key.hex() for key in policy.keys]
    return schema.PolicyView(threshold=policy.threshold, keys=keys)


def _asset(call: Call) -> tuple[str, objects.Asset]:
    ticker = call.params["ticker"]
    found = call.view.state.asset(ticker) if len(ticker) <= limits.TICKER_CHARS_MAX else None
    if found is None:
        message = f"no asset {ticker[: limits.TICKER_CHARS_MAX]!r} on this chain"
        raise RequestFault(404, Code.E_ASSET, message, field="ticker")
    return ticker, found


def _proof(call: Call, key: ObjectKey) -> schema.Proof | None:
    if not read_flag(call.option("proof") or "0", field="proof"):
        return None
    state = call.view.state
    return schema.Proof(
        height=call.view.height,
        state_root=state.root.hex(),
        path=objects.path_of(key).hex(),
        nodes=[node.hex() for node in state.prove(key)],
    )
