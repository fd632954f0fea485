"""What does a node say of accounts, assets and the ledger's rules?

One pure function per route, answered from the state after the newest final block.
"""

from itertools import islice

from aitbc_node import bech32, limits
from aitbc_node.codes import Code
from aitbc_node.ledger import fees, objects, params, transfers
from aitbc_node.ledger.objects import Account, ObjectKey
from aitbc_node.ledger.policy import Policy
from aitbc_node.ledger.state import State
from aitbc_node.rpc import schema
from aitbc_node.rpc.call import Call, read_address, read_flag, read_number
from aitbc_node.rpc.estimates import FeeEstimate
from aitbc_node.rpc.view import RequestFault

FULL_BLOCKS = (1, 10, 30)
"""How many full blocks in a row the three limits of an estimate outlive."""

MONEY = frozenset(("I1", "I2", "I9"))
"""The invariants that say that no money came from nowhere and none went there."""


def account(call: Call) -> schema.AccountView:
    """Answer `GET /state/accounts/<address>`."""
    address = read_address(call)
    found = call.view.state.account(address) or objects.NEW_ACCOUNT
    return schema.AccountView(
        address=bech32.address_text(call.view.state.chain.hrp, address),
        height=call.view.height,
        nonce=found.nonce,
        next_nonce=call.view.mempool.pending_nonce(address, next_nonce=found.nonce),
        balances=_balances(found),
        policy=_policy(found.policy),
        proof=proved(call, (objects.ACCOUNT, address)),
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
        mint_max=str(found.mint_max),
        minting_paused=found.minting_paused,
        proof=proved(call, (objects.ASSET, ticker.encode())),
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


def fee_estimate(call: Call) -> FeeEstimate:
    """Answer `GET /fees/estimate`; only full blocks raise the price, each by one step.

    In a full block a tip decides who is in it.
    """
    in_force, known = call.view.state.params, call.view.state.fees
    outliving = [fees.price_after(known.price, in_force, full_blocks=n) for n in FULL_BLOCKS]
    room = in_force.max_block_gas * max(1, len(known.recent_gas))
    asked = call.option("gas") or str(transfers.TRANSFER_GAS)
    gas = read_number(asked, field="gas", low=1, high=in_force.max_block_gas)
    named = zip(("now", "slow", "standard", "fast"), (known.price, *outliving), strict=True)
    seen = call.view.tip_prices()
    tips = {"slow": seen.slow, "standard": seen.standard, "fast": seen.fast}
    return FeeEstimate(
        height=call.view.height,
        price=known.price,
        slow=outliving[0],
        standard=outliving[1],
        fast=outliving[2],
        transfer_fee=str(fees.fee_of(transfers.TRANSFER_GAS, known.price)),
        base_price=in_force.gas_base_price,
        min_price=in_force.gas_min_price,
        max_price=in_force.gas_max_price,
        full_bps=sum(known.recent_gas) * params.BPS // room,
        gas=gas,
        fees={name: str(fees.fee_of(gas, price)) for name, price in named},
        tips={name: str(fees.fee_of(gas, price)) for name, price in tips.items()},
        tip_prices=tips,
        full_blocks=seen.full,
        blocks_seen=seen.blocks,
    )


def economics(call: Call) -> schema.Economics:
    """Answer `GET /economics`."""
    state = call.view.state
    tally, native = state.tally, state.tally.assets[objects.NATIVE]
    broken = {verdict.name for verdict in tally.verdicts() if verdict.held is False}
    return schema.Economics(
        height=call.view.height,
        assets={ticker: _supply(state, ticker) for ticker in _listed(state)},
        asset_count=len(tally.assets),
        pools={
            name: {ticker: str(amount) for ticker, amount in state.pool(name).balances}
            for name in objects.POOLS
        },
        fees=schema.SharesView(
            collected=str(state.fees.collected),
            proposer=str(state.fees.to_proposer),
            treasury=str(state.fees.to_treasury),
            burned=str(state.fees.burned),
        ),
        price=state.fees.price,
        total_power=state.validators.total_power,
        conserved=not broken & MONEY,
        bonded=str(tally.bonded),
        unbonding=str(tally.leaving),
        accrued=str(tally.accrued),
        bonded_bps=tally.bonded * params.BPS // max(1, native.supply),
    )


def audit(call: Call) -> schema.AuditAnswer:
    """Answer `GET /audit` from the running sums: the cost does not follow the accounts."""
    state = call.view.state
    return schema.AuditAnswer(
        height=call.view.height,
        state_root=state.root.hex(),
        supply={ticker: str(state.tally.assets[ticker].supply) for ticker in _listed(state)},
        violations=state.tally.violations(),
        invariants=[
            schema.InvariantView(
                name=verdict.name, title=verdict.title, held=verdict.held, detail=verdict.detail
            )
            for verdict in state.tally.verdicts()
        ],
        blocks_compared=state.tally.blocks,
    )


def _listed(state: State) -> list[str]:
    """Name the assets that one answer has room for: anybody may define more."""
    return sorted({objects.NATIVE, *islice(state.tally.assets, limits.RPC_ASSETS_MAX)})


def _supply(state: State, ticker: str) -> schema.SupplyView:
    found = state.tally.assets[ticker]
    return schema.SupplyView(
        decimals=found.decimals,
        supply=str(found.supply),
        minted=str(found.minted),
        burned=str(found.burned),
        held=str(state.tally.held.get(ticker, 0)),
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


def proved(call: Call, key: ObjectKey) -> schema.Proof | None:
    """Prove what the state has at a place, where `proof=1` asks for it."""
    if not read_flag(call.option("proof") or "0", field="proof"):
        return None
    state = call.view.state
    return schema.Proof(
        height=call.view.height,
        state_root=state.root.hex(),
        path=objects.path_of(key).hex(),
        nodes=[node.hex() for node in state.prove(key)],
    )
