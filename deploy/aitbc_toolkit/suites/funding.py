"""How does a swarm get its money? Out of the faucet, in as few transactions as may be.

Do not add what the money is for.
"""

from collections.abc import Mapping
from typing import Any

from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.limits import TX_OUTPUTS_MAX
from aitbc_node.types import Address, Amount
from aitbc_toolkit import keys, payments
from aitbc_toolkit.asking import MeshClient
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.wallet import Wallet

_FUNDING_S = 60.0


def fund(
    environment: Environment,
    mesh: MeshClient,
    terms: Mapping[str, Any],
    amounts: Mapping[str, int],
) -> dict[str, Any]:
    """Give each account what it asks for, out of the faucet; return what the chain says then."""
    payer = Wallet(keys.read_faucet(environment.folder))
    outs = [Output(Address(bytes.fromhex(to)), NATIVE, Amount(n)) for to, n in amounts.items()]
    for first in range(0, len(outs), TX_OUTPUTS_MAX):
        body = Transfer(tuple(outs[first : first + TX_OUTPUTS_MAX]))
        raw, paid = payments.hand_in(environment, mesh, payer, [body])
        told = mesh.wait(paid, deadline_s=_FUNDING_S, raw=raw)
        if told.status != "committed":
            raise payments.without_effect(told)
    height = mesh.ask_any(lambda node: node.status()).height
    return {**terms, "height": height}
