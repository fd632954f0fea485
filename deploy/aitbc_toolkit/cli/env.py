"""`aitbc env`: the environments that this checkout knows."""

import json

import click

from aitbc_toolkit import inventory
from aitbc_toolkit.cli import environment as choice
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Inventory


@click.group()
def env() -> None:
    """List the environments, show one, choose one."""


@env.command("list")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def list_(*, as_json: bool) -> Exit:
    """List the environments with their size; `*` marks the chosen one."""
    chosen = inventory.canonical_name(choice.chosen())
    rows = []
    for name in inventory.names():
        written = Inventory.read(name)
        validators = sum(each.role == "validator" for each in written.instances.values())
        interval = written.chain.block_interval_ms
        rows.append((name, len(written.hosts), validators, interval, written.chain.id))
    if as_json:
        fields = ("name", "hosts", "validators", "block_interval_ms", "chain_id")
        click.echo(json.dumps([dict(zip(fields, row, strict=True)) for row in rows]))
        return Exit.OK
    click.echo(f"  {'NAME':<12} {'HOSTS':>5} {'VALIDATORS':>10} {'INTERVAL':>9}  CHAIN")
    for name, hosts, validators, interval, chain in rows:
        mark = "*" if name == inventory.base_name(chosen) else " "
        click.echo(
            f"{mark} {name:<12} {hosts:>5} {validators:>10} {interval / 1000:>7.1f} s  {chain}"
        )
    return Exit.OK


@env.command()
@click.argument("name", required=False, default="")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def show(name: str, *, as_json: bool) -> Exit:
    """Show one environment: its rules, its hosts and its nodes."""
    wanted = choice.chosen(name)
    written = Inventory.read(wanted)
    if as_json:
        click.echo(json.dumps({"name": wanted, **written.model_dump()}))
        return Exit.OK
    click.echo(f"{inventory.canonical_name(wanted)}: chain {written.chain.id}")
    for section in (written.environment, written.chain, written.profile):
        for key, value in section.model_dump().items():
            click.echo(f"  {key:<20} {value}")
    try:
        nodes = Inventory.load(wanted).instances
    except AitbcError as not_there:
        click.echo(f"  nodes                {not_there.message}")
        return Exit.OK
    for each in nodes:
        click.echo(f"  {each.name:<6} {each.role:<10} on {each.host:<12} {each.rpc_url}")
    return Exit.OK


@env.command()
@click.argument("name")
def switch(name: str) -> None:
    """Choose the environment that commands mean when none is named; changes no host."""
    canonical = inventory.canonical_name(name)
    path = choice.chosen_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(canonical + "\n", encoding="utf-8")
    click.echo(f"environment {canonical} is chosen")
