"""What have transactions to say that are all signed before a run, and may wait until its end?"""

from typing import Any

from aitbc_toolkit import wallet
from aitbc_toolkit.asking import MeshClient
from aitbc_toolkit.errors import UsageError
from aitbc_toolkit.inventory import Environment

DRAIN_S = 60.0
# Five times what it takes; a transaction must not expire because others were signed before it.
_SIGNING_S_PER_TX = 0.0003
_SLACK_S = 60.0


def lasting(
    environment: Environment, mesh: MeshClient, *, rate: float, for_s: float
) -> dict[str, Any]:
    """Ask what transactions have to say that may wait as long as the run can last.

    Raises: UsageError when that is longer than any may wait.
    """
    interval_ms = environment.chain.block_interval_ms
    chain = wallet.look_any(mesh, interval_ms=interval_ms)
    signing_s = rate * for_s * _SIGNING_S_PER_TX
    life_s = signing_s + for_s + DRAIN_S + _SLACK_S
    blocks = -(-int(1000 * life_s) // interval_ms)
    if blocks > chain.ttl_blocks:
        raise UsageError(
            f"transactions may wait {chain.ttl_blocks:,} blocks here, this run needs {blocks:,}",
            hint="aitbc load run --for 60",
        )
    height = mesh.ask_any(lambda node: node.status()).height
    return {
        "chain_id": chain.chain_id,
        "hrp": chain.hrp,
        "height": height,
        "ttl_blocks": blocks,
        "interval_ms": interval_ms,
        # All is signed before the run, and full blocks make gas dearer by a tenth each.
        "gas_price_max": max(chain.max_gas_price, _price_bound(mesh)),
        "tip_price": chain.tip_price,
    }


def _price_bound(mesh: MeshClient) -> int:
    return int(mesh.ask_any(lambda node: node.parameters()).params["gas_max_price"].value)
