"""`aitbc up | down`: a whole mesh with one command, and away with it."""

import click

from aitbc_toolkit import widening
from aitbc_toolkit.cli.environment import (
    DEFAULT,
    break_lease_option,
    chosen,
    placed_environment,
)
from aitbc_toolkit.cli.narration import narrate
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release import meshing
from aitbc_toolkit.release.deploy import Request
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.progress import Tell

_environment = placed_environment(default=DEFAULT, otherwise=f"Else {DEFAULT}.")
_json = click.option("--json", "as_json", is_flag=True, help="Write records as JSON lines.")
_yes = click.option("--yes", "-y", is_flag=True, help="Accepted everywhere; nothing is asked here.")


@click.command()
@_environment
@click.option("--dirty", is_flag=True, help="Take uncommitted work along.")
@click.option(
    "--validators",
    type=click.IntRange(widening.VALIDATORS_MIN, widening.VALIDATORS_MAX),
    help="How many, on this machine; before the chain's first block.",
)
@break_lease_option
@_yes
@_json
def up(
    environment: str,
    *,
    dirty: bool,
    validators: int | None,
    break_lease: str,
    yes: bool,  # noqa: ARG001 - --yes is accepted by every verb
    as_json: bool,
) -> Exit:
    """Bring up a mesh from this checkout: `dev` (here, no root), `lab` or `lab-NAME` (hosts).

    Example: aitbc up lab
    """
    request, name = Request(snapshot=dirty, break_lease=break_lease), chosen(environment)

    def work(tell: Tell) -> Outcome:
        return meshing.up(name, request, tell, validators=validators or 0)

    return narrate("up", work, as_json=as_json)


@click.command()
@_environment
@click.option("--wipe", is_flag=True, help="End the chain: remove data, keys and genesis.")
@break_lease_option
@_yes
@_json
def down(environment: str, *, wipe: bool, break_lease: str, yes: bool, as_json: bool) -> Exit:  # noqa: ARG001 - as above
    """Stop a mesh that `up` started; its data stays unless wiped.

    Example: aitbc down lab
    """

    def work(tell: Tell) -> Outcome:
        return meshing.down_by_name(chosen(environment), tell, wipe=wipe, break_lease=break_lease)

    return narrate("down", work, as_json=as_json)
