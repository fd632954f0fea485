"""One client asks, and one account pays, far beyond its share; does another notice?"""

import base64
import itertools
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from local_mesh import CHAIN_ID, FAUCET, HRP, Mesh, NodeProcess, local_mesh

from aitbc_node.blocks import tx_id
from aitbc_node.codes import Code
from aitbc_node.crypto import SigningKey
from aitbc_node.ledger.transfers import Output
from aitbc_node.types import Address, Amount
from aitbc_toolkit.wallet import ChainNow, Wallet

Eventually = Callable[..., None]

ADDRESS_RATE, ACCOUNT_RATE = 50, 5
NOISY, QUIET, PAYING = "127.0.0.66", "127.0.0.77", "127.0.0.88"
NOISY_RATE = 10 * ADDRESS_RATE
SLICE_S = 0.5
PACE_S = 0.02
COINS = 10**14
SAMPLES_MIN = 200
P95_MORE_MAX = 1.2
DEADLINE_S = 90.0
BESIDE = Path(__file__).with_name("noisy_client.py")


class Payer:
    """Sign the payments of one account one after the other."""

    def __init__(self, mesh: Mesh, key: SigningKey, *, is_known: bool) -> None:
        self._wallet = Wallet(key)
        self.account = self._wallet.account
        self.address = self._wallet.address(HRP)
        self._chain = ChainNow(CHAIN_ID, HRP, 100_000, mesh.genesis.params.gas_max_price)
        self._nonces = itertools.count()
        self._is_known = is_known

    def pay(self, *accounts: Address, units: int = 1) -> bytes:
        """Sign the next payment, to these or to itself."""
        nonce = next(self._nonces)
        outs = [Output(each, "AIT", Amount(units)) for each in accounts or (self.account,)]
        is_new = not self._is_known
        return self._wallet.transfer(self._chain, nonce=nonce, new=is_new, outs=outs)


@contextmanager
def client_of(node: NodeProcess, address: str) -> Iterator[httpx.Client]:
    """Talk to a node from one address."""
    transport = httpx.HTTPTransport(local_address=address, trust_env=False)
    url = f"http://{node.rpc}"
    with httpx.Client(base_url=url, transport=transport, timeout=60) as client:
        yield client


def handed_in(client: httpx.Client, raw: bytes) -> httpx.Response:
    """Hand one transaction in, again while a busy machine keeps the node from its quorum."""
    body, until = {"raw": base64.b64encode(raw).decode()}, time.monotonic() + DEADLINE_S
    while True:
        answer = client.post("/tx", json=body)
        if answer.status_code != 503 or time.monotonic() > until:
            return answer
        threading.Event().wait(PACE_S)


def refusal_of(client: httpx.Client, payer: Payer) -> httpx.Response:
    """Pay until that is refused."""
    for _ in range(1_000):
        answer = handed_in(client, payer.pay())
        if answer.status_code != 202:
            return answer
    pytest.fail("a thousand payments at once, and none was too many")


@contextmanager
def noise(node: NodeProcess) -> Iterator["subprocess.Popen[str]"]:
    """Have the noisy client as a process, and wait until it is throttled."""
    host, port = node.rpc.split(":")
    argv = [sys.executable, str(BESIDE), host, port, NOISY, str(NOISY_RATE)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            switch(child, on=True)
            assert child.stdout is not None
            assert child.stdout.readline() == "throttled\n"
            yield child
        finally:
            if child.poll() is None:
                child.kill()


def switch(child: "subprocess.Popen[str]", *, on: bool) -> None:
    """Turn the noise on or off."""
    assert child.stdin is not None
    child.stdin.write("on\n" if on else "off\n")
    child.stdin.flush()


def sampled(client: httpx.Client, payer: Payer, raws: list[bytes]) -> list[float]:
    """Ask at a calm pace for a while, and pay once; return how long each answer took."""
    raws.append(payer.pay())
    assert handed_in(client, raws[-1]).status_code == 202
    pace, took_s = threading.Event(), []
    until = time.monotonic() + SLICE_S
    while not took_s or time.monotonic() < until:
        began = time.monotonic()
        assert client.get("/status").status_code == 200
        took_s.append(time.monotonic() - began)
        pace.wait(PACE_S)
    return took_s


def p95(took_s: list[float]) -> float:
    """Return what 19 of 20 answers stay below."""
    return statistics.quantiles(took_s, n=20)[-1]


Samples = dict[bool, list[float]]
"""What an answer took, without the noise and with it."""


def many(took_s: Samples) -> bool:
    """Tell whether both were sampled at all."""
    return len(took_s[False]) >= SAMPLES_MIN // 10


def alike(took_s: Samples) -> bool:
    """Tell whether both were sampled well and differ by less than a fifth."""
    calm, noisy = took_s[False], took_s[True]
    return len(calm) >= SAMPLES_MIN and p95(noisy) < P95_MORE_MAX * p95(calm)


@pytest.mark.parametrize(
    "enough",
    [
        many,
        pytest.param(alike, marks=[pytest.mark.nightly, pytest.mark.proves("A12")]),
    ],
)
def test_one_noisy_client_is_throttled_and_the_others_do_not_notice(
    tmp_path: Path, eventually: Eventually, enough: Callable[[Samples], bool]
) -> None:
    """It gets 429 and a time; the other pays and reads, p95 less than a fifth above that in calm.

    Half seconds with and without the noise take turns until both have many samples: what else this
    machine does meets both alike, and a true difference does not go away with more of them.
    """
    with local_mesh(tmp_path, eventually, start=False) as mesh:
        node = mesh.nodes[0]
        node.write_config(mesh.nodes, rpc=f"rate = {ADDRESS_RATE}\naccount_rate = {ACCOUNT_RATE}\n")
        mesh.start()
        quiet, fast = funded(mesh, 2)

        with client_of(node, PAYING) as client:
            refused = refusal_of(client, fast)
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == Code.E_RATE
        assert refused.json()["error"]["field"] == "sender"
        assert int(refused.headers["retry-after"]) > 0

        took_s: Samples = {False: [], True: []}
        raws = list[bytes]()
        with client_of(node, QUIET) as client, noise(node) as child:
            until = time.monotonic() + DEADLINE_S
            while not enough(took_s):
                assert time.monotonic() < until, told(took_s)
                for is_on, those in took_s.items():
                    switch(child, on=is_on)
                    those.extend(sampled(client, quiet, raws))
            out, _ = child.communicate(timeout=DEADLINE_S)
        heard = json.loads(out)
        print(told(took_s), heard)  # noqa: T201 - what was measured
        assert set(heard["told"]) == {"200", "429"}
        assert heard["without_wait"] == 0
        ids = [tx_id(raw).hex() for raw in raws]
        eventually("every payment of the quiet one", lambda: all(map(is_final(node), ids)))


def told(took_s: Samples) -> str:
    """Say what was measured."""
    calm, noisy = took_s[False], took_s[True]
    return f"p95 {p95(calm):.4f} s in calm, {p95(noisy):.4f} s in noise, {len(noisy)} samples each"


def funded(mesh: Mesh, count: int) -> list[Payer]:
    """Make accounts that can pay for all that these tests do."""
    node = mesh.nodes[0]
    payers = [
        Payer(mesh, SigningKey(bytes([seed]) * 32), is_known=False)
        for seed in range(100, 100 + count)
    ]
    mesh.until_reach(mesh.nodes)
    faucet = Payer(mesh, FAUCET, is_known=True)
    raw = faucet.pay(*(payer.account for payer in payers), units=COINS)
    with client_of(node, PAYING) as client:
        assert handed_in(client, raw).status_code == 202
    mesh.eventually("their coins", lambda: is_final(node)(tx_id(raw).hex()))
    return payers


def is_final(node: NodeProcess) -> Callable[[str], bool]:
    """Ask a node of the fate of transactions."""

    def condition(name: str) -> bool:
        fate = node.get(f"/tx/{name}")
        return fate is not None and fate["status"] == "committed"

    return condition
