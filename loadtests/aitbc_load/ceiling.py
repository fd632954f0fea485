"""How many signatures of a swarm's transactions does one core verify, and nothing else?

A program of its own, so that as many run side by side as a machine has cores. The same verifier as
a node's, over bytes as a swarm signs them. No Locust and no mesh.
"""

import itertools
import json
import sys
import time

from aitbc_load.identities import identities
from aitbc_load.orders import Terms
from aitbc_load.signing import Opening, transfers
from aitbc_node.crypto import verify
from aitbc_node.events import SignatureCheck
from aitbc_node.ledger.transactions import Parsed, parse, signature_checks

SIGNERS = 64
EACH = 16
_TERMS = Terms(
    chain_id="aitbc-ceiling-1",
    hrp="aitd",
    height=0,
    ttl_blocks=1_000,
    interval_ms=200,
    gas_price_max=1_000_000,
)


def checks(seed: int, *, signers: int = SIGNERS, each: int = EACH) -> list[SignatureCheck]:
    """List what a node has to verify of a swarm's transfers."""
    *accounts, payee = identities(seed, 0, signers + 1)
    openings = [Opening(nonce=1, is_new=False)] * signers
    owners = itertools.product(range(signers), range(each))
    raws = transfers(accounts, openings, _TERMS, payee=payee.account, owners=owners)
    parsed = [parse(raw) for raw in raws]
    good = [each for each in parsed if isinstance(each, Parsed)]
    assert len(good) == len(parsed), "a swarm signs what can be read"
    return [check for each in good for check in signature_checks(each)]


def verified(wanted: list[SignatureCheck], for_s: float) -> dict[str, float]:
    """Verify them over and over for so long; tell how many, and what that took."""
    count, began, cpu = 0, time.monotonic(), time.process_time()
    while (took_s := time.monotonic() - began) < for_s:
        good = sum(verify(each.key, each.message, each.signature) for each in wanted)
        assert good == len(wanted), "every one of them is good"
        count += good
    return {"verified": count, "took_s": took_s, "cpu_s": time.process_time() - cpu}


def main(words: list[str]) -> None:
    """Take a seed and a number of seconds; print what was done in them."""
    seed, for_s = int(words[0]), float(words[1])
    sys.stdout.write(json.dumps(verified(checks(seed), for_s)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
