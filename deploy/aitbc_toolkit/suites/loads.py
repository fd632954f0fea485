"""How is a load scenario played on a live mesh? A swarm hands in, and this side brings the money.

The swarm keeps the books and judges the run; what it says is written down as it comes, beside the
record that every suite leaves. Do not add how the swarm works, and nothing that is printed.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.limits import TX_OUTPUTS_MAX
from aitbc_node.rpc import schema
from aitbc_node.types import Address, Amount
from aitbc_toolkit import keys, measured, paths, payments, wallet
from aitbc_toolkit.asking import MeshClient, Silence, open_mesh
from aitbc_toolkit.errors import AitbcError, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites import evidence
from aitbc_toolkit.suites.scenario.quantities import number, rate, seconds
from aitbc_toolkit.suites.scenario.schema import Objective, Written
from aitbc_toolkit.suites.scene import Result
from aitbc_toolkit.suites.swarm import Document, LostError, Swarm
from aitbc_toolkit.suites.timeline import LoadSecond, Timeline
from aitbc_toolkit.suites.verdicts import Verdict
from aitbc_toolkit.wallet import Wallet

DRAIN_S = 60.0
_SIGNING_S_PER_TX = 0.001
_SLACK_S = 60.0
_FUNDING_S = 60.0
RESULT = "result.json"
ORDER = "order.json"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Say what is to be handed in. Units: `rate` in transactions a second."""

    scenario: str
    rate: float
    for_s: float
    batch: int
    seed: int
    objectives: Mapping[str, Objective]


def wanted(written: Written, *, seed: int, faster: float | None, longer: float | None) -> Wanted:
    """Read a scenario, with another rate or length where somebody asks for it."""
    (load,) = written.load
    assert load.lasts is not None, "the files of this family say it"
    return Wanted(
        scenario=written.scenario,
        rate=faster or rate(load.arrivals),
        for_s=longer or seconds(load.lasts),
        batch=load.batch,
        seed=seed,
        objectives=written.objectives,
    )


@dataclass(frozen=True, slots=True)
class Played:
    """Hold the end of a run: the record for people, and what the swarm told, if it could."""

    record: evidence.Record
    told: Document | None


def play(
    environment: Environment,
    asked: Wanted,
    folder: Path,
    *,
    tell: Callable[[str, Document], None],
) -> Played:
    """Run a swarm on a mesh and keep everything that it says.

    Raises: AitbcError when nothing can be asked of the mesh; from then on a record is left.
    """
    started = time.time()
    with open_mesh(environment) as mesh, Timeline(folder) as timeline:

        def heard(what: str, told: Document) -> None:
            if what == "second":
                timeline.load(msgspec.convert(told, LoadSecond))
            tell(what, told)

        order = an_order(environment, mesh, asked, folder)
        _write(folder / ORDER, order)
        timeline.event("step", name=asked.scenario, scenario=asked.scenario)
        swarm = Swarm(order, money=lambda funds: _pay(environment, mesh, order, funds), tell=heard)
        try:
            told, result = _run(swarm, asked, folder)
        except KeyboardInterrupt:
            by_hand = Result(asked.scenario, Verdict.INCONCLUSIVE, "it was ended by hand", 0.0)
            _keep(environment, asked, folder, by_hand, started=started)
            raise
    return Played(_keep(environment, asked, folder, result, started=started), told)


def _keep(
    environment: Environment, asked: Wanted, folder: Path, result: Result, *, started: float
) -> evidence.Record:
    """Write down how a run ended."""
    took_s = round(time.time() - started, 1)
    record = evidence.Record(
        suite=asked.scenario,
        environment=environment.name,
        seed=asked.seed,
        started=started,
        took_s=took_s,
        verdict=result.verdict,
        results=(replace(result, took_s=took_s),),
        command=_command(environment, asked),
    )
    evidence.write(folder, record)
    return record


def _run(swarm: Swarm, asked: Wanted, folder: Path) -> tuple[Document | None, Result]:
    """Run to the end; a swarm that is lost takes its books along, and shows nothing."""
    try:
        told = swarm.run()
    except LostError as lost:
        return None, Result(asked.scenario, Verdict.INVALID, str(lost), 0.0)
    except AitbcError as failure:  # the faucet refused, or the swarm could not begin
        return None, Result(asked.scenario, Verdict.INFRA, failure.message, 0.0)
    _write(folder / RESULT, told)
    verdict, line = judged(asked, told)
    return told, Result(
        asked.scenario,
        verdict,
        line,
        0.0,
        invariants={row["name"]: _word(row) for row in told["checks"]},
        objectives=tuple(_objectives(asked, told)),
    )


def an_order(environment: Environment, mesh: MeshClient, asked: Wanted, folder: Path) -> Document:
    """Tell a swarm what to do, and where.

    Raises: AitbcError when a node is silent, UsageError when the run is longer than any
    transaction may wait.
    """
    statuses = mesh.ask_all(lambda node: node.status())
    for name, status in statuses.items():
        if isinstance(status, Silence):
            what = f"{name} does not answer: {status.reason}"
            raise AitbcError(what, hint="aitbc network status")
    places = [
        _place(name, environment, status)
        for name, status in statuses.items()
        if isinstance(status, schema.Status)
    ]
    plan = {
        "scenario": asked.scenario,
        "seed": asked.seed,
        "rate": asked.rate,
        "for_s": asked.for_s,
        "batch": asked.batch,
        "drain_s": DRAIN_S,
    }
    return {
        "plan": plan,
        "terms": _terms(environment, mesh, asked),
        "nodes": places,
        "folder": str(folder),
        "circumstances": {
            "environment": environment.name,
            "validators": sum(place["power"] > 0 for place in places),
            "nodes": len(places),
            **measured.circumstances(paths.project_root()),
        },
    }


def _place(name: str, environment: Environment, status: schema.Status) -> Document:
    url = urlsplit(environment.instance(name).rpc_url)
    assert url.hostname is not None, "an inventory names hosts"
    assert url.port is not None, "an inventory names ports"
    return {"name": name, "host": url.hostname, "port": url.port, "power": status.power}


def _terms(environment: Environment, mesh: MeshClient, asked: Wanted) -> Document:
    """Ask what transactions have to say that may wait as long as the run can last."""
    interval_ms = environment.chain.block_interval_ms
    chain = wallet.look_any(mesh, interval_ms=interval_ms)
    signing_s = asked.rate * asked.for_s * _SIGNING_S_PER_TX
    life_s = signing_s + asked.for_s + DRAIN_S + _SLACK_S
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
        "gas_price_max": chain.max_gas_price,
        "tip_price": chain.tip_price,
    }


def _pay(
    environment: Environment, mesh: MeshClient, order: Document, amounts: Mapping[str, int]
) -> Document:
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
    return {**order["terms"], "height": height}


def judged(asked: Wanted, told: Document) -> tuple[Verdict, str]:
    """Take the swarm's verdict; a good run may still miss an objective."""
    verdict = Verdict(told["verdict"])
    missed = [row for row in _objectives(asked, told) if not row["met"]]
    if verdict is Verdict.PASS and missed:
        first = missed[0]
        line = f"{first['name']} was {first['measured']}, allowed {first['allowed']}"
        return Verdict.OBJECTIVE, line
    books = told["books"]
    line = "; ".join(told["why"]) or f"{books['final']:,} of {books['sent']:,} final"
    return verdict, line


def _objectives(asked: Wanted, told: Document) -> Iterator[dict[str, object]]:
    """Compare what was measured with what the file allows."""
    percentiles = told["to_final"]["percentiles_ms"]
    for name, objective in asked.objectives.items():
        if name == "committed":
            value = told["rates"]["committed"]
        else:
            found_ms = percentiles[name.removeprefix("final_")]
            value = None if found_ms is None else found_ms / 1000
        bounds = [
            (sign, bound)
            for sign, bound in (("<=", objective.max), (">=", objective.min))
            if bound is not None
        ]
        met = value is not None and all(
            value <= number(bound) if sign == "<=" else value >= number(bound)
            for sign, bound in bounds
        )
        allowed = " ".join(f"{sign} {bound}" for sign, bound in bounds)
        yield {"name": name, "measured": value, "allowed": allowed, "met": met}


def _word(row: Mapping[str, Any]) -> str:
    return f"{row['outcome']}: {row['detail']}" if row["detail"] else str(row["outcome"])


def _command(environment: Environment, asked: Wanted) -> str:
    return (
        f"./aitbc load run {asked.scenario} -e {environment.name} --seed {asked.seed}"
        f" --rate {asked.rate:g} --for {asked.for_s:g}"
    )


def _write(path: Path, document: Document) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
