"""`aitbc benchmark`: what the project's own jobs cost, beside the least that they could."""

import json
import sys
from collections.abc import Mapping
from typing import Any

import click

from aitbc_toolkit import paths
from aitbc_toolkit.benchmarks import deploying
from aitbc_toolkit.cli.environment import chosen
from aitbc_toolkit.cli.narration import Plain
from aitbc_toolkit.errors import Exit, UsageError
from aitbc_toolkit.inventory import Inventory, canonical_name
from aitbc_toolkit.lab_record import LAB


@click.group()
def benchmark() -> None:
    """Measure this project beside the least that the same job can cost."""


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
    if as_json:
        click.echo(json.dumps(found))
    else:
        _print(found)
    return Exit.OK


def _print(found: Mapping[str, Any]) -> None:
    click.echo(f"{'':<12} {'ours':>8} {'floor':>8} {'Ansible':>8}   ours to floor")
    for job in deploying.JOBS:
        times = [found.get(f"{who}{job}_s") for who in ("", "floor_", "ansible_")]
        shown = " ".join(f"{each:>6.1f} s" if each else f"{'n.a.':>8}" for each in times)
        click.echo(f"{job.replace('_', ' '):<12} {shown}   {found[f'ratio_{job}']}")
    click.echo(f"what each command said: {found['evidence']}", file=sys.stdout)
