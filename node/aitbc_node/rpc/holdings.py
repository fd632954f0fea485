"""What does a node say of accounts, assets and the ledger's rules?

One pure function per route, answered from the state after the newest final block.
"""

from aitbc_node import bech32, limits
from aitbc_node.codes import Code
from aitbc_node.ledger import audit as judge
from aitbc_node.ledger import fees, objects, params
from aitbc_node.ledger.objects import Account, ObjectKey
from aitbc_node.ledger.policy import Policy
from aitbc_node.rpc import schema
from aitbc_node.rpc.call import Call, read_flag
from aitbc_node.rpc.view import RequestFault


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


def fee_estimate(call: Call) -> schema.FeeEstimate:
    """Answer `GET /fees/estimate`; a full block raises the price by a tenth."""
    price = call.view.state.fees.price
    return schema.FeeEstimate(
        height=call.view.height,
        price=price,
        slow=price,
        standard=2 * price,
        fast=10 * price,
        transfer_fee=str(fees.fee_of(fees.TRANSFER_GAS, price)),
    )


def audit(call: Call) -> schema.AuditAnswer:
    """Answer `GET /audit`; the cost is a walk over all accounts, so the server keeps the answer."""
    state = call.view.state
    return schema.AuditAnswer(
        height=call.view.height,
        state_root=state.root.hex(),
        supply={ticker: str(found.supply) for ticker, found in state.assets()},
        violations=judge.audit(state),
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
        hint = "GET /audit lists the supply of every asset"
        raise RequestFault(404, Code.E_ASSET, message, field="ticker", hint=hint)
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
