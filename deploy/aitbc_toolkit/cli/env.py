"""`aitbc env`: the environments that this checkout knows."""

import json

import click

from aitbc_toolkit import environments, inventory
from aitbc_toolkit.cli import environment as choice
from aitbc_toolkit.cli.prompting import ask
from aitbc_toolkit.errors import ConfigError, Exit
from aitbc_toolkit.inventory import Inventory


@click.group()
def env() -> None:
    """List the environments, show one, choose one."""


@env.command("list")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def list_(*, as_json: bool) -> Exit:
    """List the environments with their size; `*` marks the chosen one.

    Example: aitbc env list
    """
    chosen = inventory.canonical_name(choice.chosen())
    rows, broken = [], []
    for name in inventory.names():
        try:
            written = Inventory.read(name)
        except ConfigError as wrong:
            broken.append(wrong)
            continue
        validators = sum(each.role == "validator" for each in written.instances.values())
        interval = written.chain.block_interval_ms
        rows.append((name, len(written.hosts), validators, interval, written.chain.id))
    if as_json:
        fields = ("name", "hosts", "validators", "block_interval_ms", "chain_id")
        click.echo(json.dumps([dict(zip(fields, row, strict=True)) for row in rows]))
        return _refuse(broken)
    click.echo(f"  {'NAME':<12} {'HOSTS':>5} {'VALIDATORS':>10} {'INTERVAL':>9}  CHAIN")
    for name, hosts, validators, interval, chain in rows:
        mark = "*" if name == inventory.base_name(chosen) else " "
        click.echo(
            f"{mark} {name:<12} {hosts:>5} {validators:>10} {interval / 1000:>7.1f} s  {chain}"
        )
    return _refuse(broken)


def _refuse(broken: list[ConfigError]) -> Exit:
    """End with what is wrong with the inventories that could not be listed."""
    if not broken:
        return Exit.OK
    raise ConfigError(
        "\n".join(each.message for each in broken), hint="\n".join(each.hint for each in broken)
    )


@env.command()
@choice.environment_argument
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def show(environment: str, *, as_json: bool) -> Exit:
    """Show one environment: its rules, its hosts, its nodes, and who holds how much power.

    Example: aitbc env show staging
    """
    found = environments.describe(choice.chosen(environment))
    if as_json:
        click.echo(json.dumps(found.to_document()))
        return Exit.OK
    for line in found.to_lines():
        click.echo(line)
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    return Exit.OK


@env.command()
@click.argument("name")
@click.option("--yes", "-y", is_flag=True, help="Do not ask, whatever is chosen.")
def switch(name: str, *, yes: bool) -> None:
    """Choose the environment that commands mean when none is named; changes no host.

    Example: aitbc env switch staging
    """
    canonical = inventory.canonical_name(name)
    if Inventory.read(canonical).is_production:
        ask(f"make {canonical} what every command means?", yes=yes)
    path = choice.chosen_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(canonical + "\n", encoding="utf-8")
    click.echo(f"environment {canonical} is chosen")
    if variable := choice.variable():
        click.echo(f"warning: AITBC_ENV={variable} is set and wins over this", err=True)
