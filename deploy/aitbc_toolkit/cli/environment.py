"""How does a command line name its environment? By argument, else AITBC_ENV, else the chosen one.

Do not read inventories beyond finding the one that is named.
"""

import os
from pathlib import Path

import click

from aitbc_toolkit import paths
from aitbc_toolkit.cli import failures
from aitbc_toolkit.inventory import Environment, Inventory

DEFAULT = "dev"


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


environment_argument = click.argument(
    "environment",
    required=False,
    default="",
    metavar="[ENVIRONMENT]",
)


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


def _switched_to() -> str:
    path = chosen_path()
    return path.read_text(encoding="utf-8").strip() if path.is_file() else DEFAULT
