"""`aitbc trace`: which tests of the last run prove which feature."""

import json
from pathlib import Path

import click

from aitbc_toolkit import features, junit, paths
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.features import Feature
from aitbc_toolkit.suites import catalogue as catalogue_of_scenarios
from aitbc_toolkit.suites import runs


@click.command()
@click.option("--all", "everything", is_flag=True, help="List the features that are planned, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def trace(*, everything: bool, as_json: bool) -> Exit:
    """Show which tests of the last run prove which feature.

    Ends with 1 when a P0 or P1 feature of a finished milestone is proved by none: only a test
    that ran and passed counts, so a skipped lab leaves its features unproved; they are listed with
    the tests that would prove them, and why those did not. Also with 1 when two scenarios have one
    name, or one is of no suite.

    Example: aitbc trace
    """
    catalogue = features.load(paths.project_root() / "docs" / "features.toml")
    folder = runs.last(paths.state_root())
    if folder is None:
        raise AitbcError("no run of the tests is recorded here", hint="./aitbc test")
    cases = list(junit.read_folder(folder))
    proofs, silent = features.proofs(cases), features.silent(cases)
    required = catalogue.required()
    # Each with the tests that would prove it, and why those did not.
    unproved = {
        feature.id: silent.get(feature.id, []) for feature in required if feature.id not in proofs
    }
    listed = [
        feature
        for feature in catalogue.features.values()
        if everything or feature in required or feature.id in proofs
    ]
    wrong = list(catalogue_of_scenarios.faults())
    if as_json:
        document = {**_document(folder, listed, proofs, unproved), "scenarios": wrong}
        click.echo(json.dumps(document, indent=2))
    else:
        _print(listed, proofs, unproved)
        proved = len(required) - len(unproved)
        click.echo("\n".join(f"scenario: {each}" for each in wrong), nl=bool(wrong))
        click.echo(f"{proved} of {len(required)} required features are proved by {folder}")
    return Exit.FAILED if unproved or wrong else Exit.OK


def _print(
    listed: list[Feature], proofs: dict[str, list[str]], unproved: dict[str, list[str]]
) -> None:
    for feature in listed:
        proved = proofs.get(feature.id, [])
        word = "UNPROVED" if feature.id in unproved else ("proved" if proved else "planned")
        click.echo(f"{feature.id:<4}{feature.mark:<4}{word:<10}{feature.title}")
        for line in proved or unproved.get(feature.id, []):
            click.echo(f"        {line}")


def _document(
    folder: Path,
    listed: list[Feature],
    proofs: dict[str, list[str]],
    unproved: dict[str, list[str]],
) -> dict[str, object]:
    return {
        "schema": 1,
        "run": str(folder),
        "unproved": list(unproved),
        "features": [
            {
                "id": feature.id,
                "title": feature.title,
                "mark": feature.mark,
                "milestone": feature.milestone or None,
                "tests": proofs.get(feature.id, []),
                "unproved_by": unproved.get(feature.id, []),
            }
            for feature in listed
        ],
    }
