"""`aitbc benchmark`: what the project's own jobs cost, beside the least that they could."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from aitbc_toolkit import measured, paths
from aitbc_toolkit.benchmarks import deploying, generating, ledger, specimens, track, whole
from aitbc_toolkit.benchmarks import throughput as measuring
from aitbc_toolkit.cli import finite, tables
from aitbc_toolkit.cli.environment import chosen
from aitbc_toolkit.cli.narration import Plain
from aitbc_toolkit.cli.reaching import json_option
from aitbc_toolkit.errors import Exit, UsageError
from aitbc_toolkit.inventory import Inventory, canonical_name
from aitbc_toolkit.lab_record import LAB
from aitbc_toolkit.suites.verdicts import exit_of

_TIMES, _SPREAD = ("apply_us", "whole_us"), ("p50", "p95")
_COLUMNS = (
    tables.Column("TYPE"),
    *(
        tables.Column(f"{of.removesuffix('_us').upper()} {p}", right=True)
        for of in _TIMES
        for p in _SPREAD
    ),
    tables.Column("ABOUT"),
)


@click.group()
def benchmark() -> None:
    """Measure this project beside the least that the same job can cost."""


@benchmark.command()
@click.option(
    "--env", "-e", "environment", default=track.ENVIRONMENT, show_default=True, help="Its rules."
)
@click.option(
    "--validators",
    type=click.IntRange(track.VALIDATORS_MIN, track.VALIDATORS_MAX),
    default=4,
    show_default=True,
    help="So many, on this machine.",
)
@click.option(
    "--for",
    "for_s",
    type=finite.seconds(10),
    default=measuring.FOR_S,
    show_default=True,
    help="Seconds at the highest rate; less than 60 are INCONCLUSIVE.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1, max=1_000),
    default=50,
    show_default=True,
    help="Transactions in one request.",
)
@click.option("--seed", type=int, default=7, show_default=True, help="Make accounts of this seed.")
@json_option
def throughput(
    environment: str, *, validators: int, for_s: float, batch: int, seed: int, as_json: bool
) -> Exit:
    """Measure what a mesh of its own on this machine makes final, beside what it could verify.

    Example: aitbc benchmark throughput -e dev --validators 4 --json
    """
    canonical = canonical_name(chosen(environment))
    Inventory.read(canonical)
    if canonical != track.ENVIRONMENT:
        raise UsageError(
            f"throughput is measured on a mesh of its own here, not in {environment!r}",
            hint="aitbc benchmark throughput -e dev",
        )
    evidence = paths.state_root() / "benchmarks" / f"throughput-{validators}"
    found = measuring.measure(
        validators=validators,
        for_s=for_s,
        batch=batch,
        seed=seed,
        evidence=evidence,
        tell=Plain().tell,
    )
    click.echo(json.dumps(found) if as_json else "\n".join(_throughput(found)))
    return exit_of(found["verdict"])


@benchmark.command()
@click.option("--env", "-e", "environment", default=LAB, show_default=True, help="The lab.")
@click.option(
    "--hosts", type=click.IntRange(min=4, max=12), default=8, show_default=True, help="So many."
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1, max=20),
    default=3,
    show_default=True,
    help="How often each is timed.",
)
@click.option("--ansible/--no-ansible", default=True, help="It takes most of the time.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def deploy(environment: str, *, hosts: int, rounds: int, ansible: bool, as_json: bool) -> Exit:
    """Time deploys beside a plain parallel ssh script and beside Ansible, in a lab of its own.

    Example: aitbc benchmark deploy -e lab --hosts 8 --json
    """
    canonical = canonical_name(chosen(environment))
    Inventory.read(canonical)
    if canonical != LAB:
        raise UsageError(
            f"deploys are measured in a lab of their own, not in {environment!r}",
            hint="aitbc benchmark deploy -e lab",
        )
    evidence = paths.state_root() / "benchmarks" / "deploy"
    found = deploying.measure(
        hosts=hosts, rounds=rounds, ansible=ansible, evidence=evidence, tell=Plain().tell
    )
    click.echo(json.dumps(found) if as_json else "\n".join(_deploys(found)))
    return Exit.OK


def _deploys(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{'':<12} {'ours':>8} {'floor':>8} {'Ansible':>8}   ours to floor"
    for job in deploying.JOBS:
        times = [found.get(f"{who}{job}_s") for who in ("", "floor_", "ansible_")]
        shown = " ".join(f"{each:>6.1f} s" if each else f"{'n.a.':>8}" for each in times)
        yield f"{job.replace('_', ' '):<12} {shown}   {found[f'ratio_{job}']}"
    yield f"what each command said: {found['evidence']}"


@benchmark.command()
@json_option
def performance(*, as_json: bool) -> Exit:
    """Time each step in the way of a transaction through a node, beside verifying it once.

    Example: aitbc benchmark performance --json
    """
    found = {**whole.paced(), **measured.circumstances(paths.project_root())}
    click.echo(json.dumps(found) if as_json else "\n".join(_paths(found)))
    return exit_of(found["verdict"])


@benchmark.command("ledger")
@click.option(
    "--rounds",
    type=click.IntRange(min=1, max=100),
    default=ledger.ROUNDS,
    show_default=True,
    help=f"How often each of {specimens.COUNT} of a type is timed.",
)
@json_option
def ledger_(*, rounds: int, as_json: bool) -> Exit:
    """Time transactions of each type, one by one: p50 and p95 of processor time on this machine.

    Example: aitbc benchmark ledger --json
    """
    found = {**ledger.measure(rounds=rounds), **measured.circumstances(paths.project_root())}
    click.echo(json.dumps(found) if as_json else "\n".join((*_ledger(found), _here(found))))
    return Exit.OK


@benchmark.command()
@click.option(
    "--rounds",
    type=click.IntRange(min=1, max=20),
    default=5,
    show_default=True,
    help="How often each is timed.",
)
@json_option
def generator(*, rounds: int, as_json: bool) -> Exit:
    """Compare what the swarm costs with `wrk`, in CPU-seconds; its packages are only unpacked.

    Example: aitbc benchmark generator --json
    """
    evidence = paths.state_root() / "benchmarks" / "generator"
    found = generating.measure(rounds=rounds, evidence=evidence, tell=Plain().tell)
    click.echo(json.dumps(found) if as_json else "\n".join(_generator(found)))
    return exit_of(found["verdict"])


_PARTS = tuple(each.name for each in whole.every())


@benchmark.command("all")
@click.option("--only", type=click.Choice(_PARTS), multiple=True, help="Measure this, no more.")
@json_option
def all_(*, only: tuple[str, ...], as_json: bool) -> Exit:
    """Measure everything, one after the other; the machine should do nothing else meanwhile.

    A part that fails costs its own figures only. `deploy` needs what a lab needs.

    Example: aitbc benchmark all --json
    """
    parts = [each for each in whole.every() if not only or each.name in only]
    evidence = paths.state_root() / "benchmarks" / "all"
    found = whole.measure(parts, evidence=evidence, tell=Plain().tell)
    click.echo(json.dumps(found) if as_json else "\n".join(_whole(found)))
    return exit_of(found["verdict"]) if found["verdict"] else Exit.OK


def _whole(found: Mapping[str, Any]) -> Iterator[str]:
    drawn = dict(zip(_PARTS, (_paths, _ledger, _throughput, _generator, _deploys), strict=True))
    for name, told in found["parts"].items():
        if told["error"]:
            yield f"{name}: {told['verdict']}, {told['error']['message']}"
        else:
            yield from (
                f"{name}: {told['verdict'] or whole.NOT_JUDGED}",
                *drawn[name](told["figures"]),
            )
    verdict = found["verdict"] or whole.NOT_JUDGED
    yield f"all: {verdict}, commit {found['commit'][:12]}, record {found['evidence']}"


def _generator(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"the swarm beside {found['wrk']}: {found['verdict']}"
    yield from (f"  because    {why}" for why in found["why"])
    yield f"  wrk        {found['wrk_per_cpu_s']:,} requests a CPU-second"
    for name in ("single", "batch"):
        rate, ratio = found[f"{name}_per_cpu_s"], found[f"ratio_{name}"]
        yield f"  {name:<10} {rate:,} transactions a CPU-second, {ratio:.2f} of that"


def _paths(found: Mapping[str, Any]) -> Iterator[str]:
    for each in found["paths"]:
        mark = "" if each["within"] else f"  more than {each['allowed']:.2f} of it"
        share = f"{each['of_a_verification']:>6.3f} of a verification"
        yield f"{each['name']:<10} {each['us_per_tx']:>7.2f} us  {share}  {each['about']}{mark}"


def _ledger(found: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        (each["type"], *(f"{each[of][p]:.1f}" for of in _TIMES for p in _SPREAD), each["about"])
        for each in found["types"]
    ]
    yield from tables.draw(_COLUMNS, rows)
    empty = found["empty_block_us"]
    yield f"us of processor time, {found['timings']} timings of each, {found['accounts']} accounts"
    yield f"  apply  {found['timed']['apply_us']}"
    yield f"  whole  {found['timed']['whole_us']};"
    yield f"         {empty['p50']:.1f} of it (p95 {empty['p95']:.1f}) are those of an empty block"


def _here(found: Mapping[str, Any]) -> str:
    machine, commit = found["machine"], found["commit"][:12]
    return f"  here   {machine['cores']} cores, load {machine['load'][0]}, commit {commit}"


def _throughput(found: Mapping[str, Any]) -> Iterator[str]:
    machine = found["machine"]
    yield f"throughput of {found['validators']} validators: {found['verdict']}"
    yield from (f"  because    {why}" for why in found["why"])
    yield f"  committed  {found['committed_tps'] or 0:,.0f} a second for {found['for_s']:.0f} s"
    yield (
        f"  latency    p50 {_ms(found['p50_ms'])}, p99 {_ms(found['p99_ms'])}"
        f" at {found['half_tps'] or 0:,.0f} a second"
    )
    each_us = found["cpu_us_per_tx_per_validator"]
    yield f"  cost       {each_us:.1f} us of each validator's processor for a transaction"
    yield (
        f"  machine    could do {found['capacity_tps']:,.0f} a second so,"
        f" {found['verify_ceiling_tps']:,.0f} if it only verified: {found['efficiency']:.2f} of it"
    )
    yield f"  swarm      {found['generator']['cpu_us_per_tx'] or 0:.1f} us of a core for each"
    load = machine["load"][0]
    each_bytes, batch = found["tx_bytes"] or 0, found["batch"]
    yield f"  size       {each_bytes:.0f} bytes a transaction, {batch} in a request"
    yield f"  here       {machine['cores']} cores, load {load}, commit {found['commit'][:12]}"
    yield f"  record     {found['evidence']}"


def _ms(value: float | None) -> str:
    return "not available" if value is None else f"{value:,.0f} ms"
