"""How does a command line name its environment? By its place or -e, else AITBC_ENV, else as chosen.

Do not read inventories beyond finding the one that is named.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from aitbc_toolkit import paths
from aitbc_toolkit.cli import failures
from aitbc_toolkit.cli.hints import OPTIONS
from aitbc_toolkit.errors import UsageError
from aitbc_toolkit.inventory import Environment, Inventory

DEFAULT = "dev"
OTHERWISE = "Else AITBC_ENV, else the chosen one."

_BY_OPTION = f"{__name__}.by_option"

Command = TypeVar("Command", bound=Callable[..., Any])


def chosen_path() -> Path:
    """Find the file in which `env switch` keeps the operator's choice."""
    return paths.state_root() / "env"


def variable() -> str:
    """Read the environment that AITBC_ENV names; empty when it is not set."""
    return os.environ.get("AITBC_ENV", "")


def chosen(named: str = "") -> str:
    """Give the name of the environment that is meant; hints of this run will name it."""
    found = named or variable() or _switched_to()
    if report := failures.report():
        report.environment = found
    return found


def environment_argument(command: Command) -> Command:
    """Take the environment by its place or by -e."""
    return placed_environment(default="", otherwise=OTHERWISE)(command)


def placed_environment(*, default: str, otherwise: str) -> Callable[[Command], Command]:
    """Take an environment by its place or by -e; `otherwise` tells which is meant without one."""

    def decorated(command: Command) -> Command:
        # The option is eager, so what stands at the place knows of it.
        by_option = click.option(
            *OPTIONS,
            "by_option",
            default="",
            is_eager=True,
            expose_value=False,
            callback=_keep_option,
            help=f"The same as ENVIRONMENT. {otherwise}",
        )
        by_place = click.argument(
            "environment",
            required=False,
            default=default,
            metavar="[ENVIRONMENT]",
            callback=_settled,
        )
        return by_place(by_option(command))

    return decorated


break_lease_option = click.option(
    "--break-lease",
    default="",
    metavar="REASON",
    help="Take the lease from a run that is gone.",
)


def load_records(named: str = "") -> Environment:
    """Load the environment that is meant for what this machine keeps of it; a lab may be down."""
    return Inventory.load(chosen(named), reachable=False)


def load(named: str = "") -> Environment:
    """Load the environment that is meant.

    Raises: UsageError for a name that does not exist, ConfigError for a bad inventory.
    """
    return Inventory.load(chosen(named))


def _keep_option(context: click.Context, _option: click.Parameter, value: str) -> None:
    context.meta[_BY_OPTION] = value


def _settled(context: click.Context, argument: click.Parameter, value: str) -> str:
    assert argument.name is not None, "click names every parameter"
    by_option = str(context.meta.get(_BY_OPTION, ""))
    if context.get_parameter_source(argument.name) is ParameterSource.DEFAULT:
        return by_option or value
    if by_option not in {"", value}:
        raise UsageError(
            f"two environments are named: {value} and {by_option}",
            hint=f"{context.command_path} -e {value}",
        )
    return value


def _switched_to() -> str:
    path = chosen_path()
    return path.read_text(encoding="utf-8").strip() if path.is_file() else DEFAULT
