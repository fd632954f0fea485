"""`aitbc report`: what runs of suites found; read from their records, and changed by nobody."""

import json
import sys
import webbrowser
from pathlib import Path

import click
import msgspec

from aitbc_toolkit import paths
from aitbc_toolkit.cli import tables
from aitbc_toolkit.cli.reaching import json_option
from aitbc_toolkit.cli.saying import say
from aitbc_toolkit.errors import AitbcError, UsageError
from aitbc_toolkit.suites.report import reading, words, writing
from aitbc_toolkit.suites.report.recorded import UNKNOWN, Judged, Run

_COLUMNS = (
    tables.Column("RUN"),
    tables.Column("VERDICT"),
    tables.Column("SUITE"),
    tables.Column("ON"),
    tables.Column("STARTED", spare=1),
    tables.Column("TOOK", spare=2, right=True),
)
_RUN = click.argument("run", required=False, default="")
_BAD_ROWS = 20


@click.group()
def report() -> None:
    """List the runs of suites, show one, or open its page."""


@report.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the runs of suites that are kept here, the newest first.

    Example: aitbc report list
    """
    found = [(folder, reading.verdict(folder)) for folder in reading.folders(paths.state_root())]
    if as_json:
        rows = [_document(folder, judged) for folder, judged in found]
        click.echo(json.dumps({"schema": 1, "runs": rows}))
    elif not found:
        click.echo("no run of a suite is recorded here")
    else:
        cells = [_cells(folder, judged or Judged(verdict=UNKNOWN)) for folder, judged in found]
        click.echo("\n".join(tables.draw(_COLUMNS, cells)))


@report.command()
@_RUN
@json_option
def show(*, run: str, as_json: bool) -> None:
    """Show how a run ended: the verdict, what did not hold, and how to repeat it.

    RUN is its number; without one it is the newest. A run without a verdict is shown as UNKNOWN.

    Example: aitbc report show 17
    """
    folder = _folder(run)
    found = reading.read(folder)
    if as_json:
        told = msgspec.to_builtins(found.judged or Judged(verdict=UNKNOWN))
        click.echo(json.dumps({"schema": 1, **_document(folder, found.judged), **told}))
    else:
        say("\n".join(_lines(folder, found)))


@report.command("open")
@_RUN
def open_(*, run: str) -> None:
    """Print where the page of a run is; on a terminal, open it in the browser, too.

    A run that was killed before it could write its page gets it now, from what it has recorded.

    Example: aitbc report open 17
    """
    folder = _folder(run)
    page = folder / reading.PAGE
    if not page.exists():
        writing.make(folder)
    click.echo(page)
    if sys.stdout.isatty():
        webbrowser.open(page.as_uri())


def _folder(run: str) -> Path:
    """Find a run by its number. Raises: UsageError, AitbcError where there is none at all."""
    found = reading.folders(paths.state_root())
    if not found:
        raise AitbcError("no run of a suite is recorded here", hint="aitbc test partition -e sim")
    named = [each for each in found if each.name.lstrip("0") == run.lstrip("0")]
    if run and not named:
        raise UsageError(f"no run {run} of a suite is recorded here", hint="aitbc report list")
    return named[0] if run else found[0]


def _cells(folder: Path, judged: Judged) -> list[str]:
    started = judged.started.partition("+")[0].replace("T", " ")
    took = words.span(judged.took_s) if judged.took_s is not None else "-"
    return [folder.name, judged.verdict, judged.suite or "-", judged.environment, started, took]


def _document(folder: Path, judged: Judged | None) -> dict[str, object]:
    told = judged or Judged(verdict=UNKNOWN)
    return {
        "run": folder.name,
        "verdict": told.verdict,
        "suite": told.suite,
        "environment": told.environment,
        "started": told.started,
        "took_s": told.took_s,
        "record": str(folder),
        "report": str(folder / reading.PAGE) if (folder / reading.PAGE).exists() else None,
    }


def _lines(folder: Path, run: Run) -> list[str]:
    judged = run.judged or Judged(verdict=UNKNOWN)
    bad = [each for each in judged.checks if each.outcome != "held"]
    missed = [each for each in judged.objectives if each.met is not True]
    rows = [f"{each.outcome} {each.name} in {each.scenario}: {each.detail}" for each in bad]
    rows += [
        f"missed {each.name} in {each.scenario}: {words.number(each.measured)}, {each.allowed}"
        for each in missed
    ]
    rows += [f"left of a fault in {each.scenario}: {each.left}" for each in judged.residues]
    rows += [f"not whole: {each}" for each in run.problems]
    more = [f"{len(rows) - _BAD_ROWS} more: {folder / reading.VERDICT}"] * (len(rows) > _BAD_ROWS)
    return [
        f"{words.clean(judged.verdict)}: {words.sentence(run)}",
        *(f"  {words.clean(each)}" for each in (*rows[:_BAD_ROWS], *more)),
        *([f"repeat: {words.clean(judged.repro)}"] if judged.repro else []),
        f"record: {folder}",
        f"next: aitbc report open {folder.name}",
    ]
