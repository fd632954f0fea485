"""How is a knee looked for before everybody's eyes, and by how many workers?"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from aitbc_toolkit import paths
from aitbc_toolkit.cli import staircase, swarm_view
from aitbc_toolkit.cli.saying import say
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites import runs, stepping
from aitbc_toolkit.suites.knee import Bounds
from aitbc_toolkit.suites.live import a_seed
from aitbc_toolkit.suites.report import writing
from aitbc_toolkit.suites.verdicts import exit_of


class Crew(NamedTuple):
    """Say how many workers share a run, and on which hosts they are; none is this machine."""

    workers: int
    on: tuple[str, ...]


def crew(workers: int | None, named: str) -> Crew:
    """Read what was asked for: one worker for each host that is named, unless told else."""
    hosts = tuple(name for name in named.split(",") if name)
    return Crew(workers or max(1, len(hosts)), hosts)


def look(
    found: Environment,
    bounds: Bounds,
    crew: Crew,
    *,
    seed: int | None,
    for_s: float | None,
    as_json: bool,
) -> Exit:
    """Look for the knee before everybody's eyes, and say what was found."""
    folder = runs.begin(paths.state_root())
    used = a_seed() if seed is None else seed
    swarm_view.narrate("\n".join(staircase.title(found.name, bounds, used)))

    def tell(what: str, told: Mapping[str, Any]) -> None:
        if what == "step":
            swarm_view.narrate(staircase.row(told))

    looked = stepping.look(
        found,
        bounds,
        folder,
        seed=used,
        for_s=for_s,
        workers=crew.workers,
        on=crew.on,
        tell=tell,
    )
    writing.attempt(folder, swarm_view.narrate)
    if as_json:
        click.echo(json.dumps({**looked.document, "record": str(folder)}))
    else:
        say("\n".join(staircase.summary(looked, folder)))
    return exit_of(looked.record.verdict)
