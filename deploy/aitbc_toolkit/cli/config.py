"""`aitbc config`: the settings of an environment, judged before they are written."""

import json
import sys
from pathlib import Path

import click

from aitbc_toolkit import settings
from aitbc_toolkit.cli import environment as choice
from aitbc_toolkit.cli.prompting import ask
from aitbc_toolkit.cli.reaching import environment_option, json_option
from aitbc_toolkit.errors import ConfigError, Exit, UsageError
from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.release import masking
from aitbc_toolkit.settings import Edit, Setting

_yes = click.option("--yes", "-y", is_flag=True, help="Do not ask, whatever is changed.")


@click.group()
def config() -> None:
    """Read and change the settings of an environment; a deploy brings them to hosts."""


@config.command("get")
@click.argument("key")
@environment_option
@json_option
def get_(key: str, environment: str, *, as_json: bool) -> Exit:
    """Show one setting, or all below a table, and where the value comes from.

    Example: aitbc config get profile.log_level -e staging
    """
    return _show(settings.get(_path(environment), key), as_json=as_json)


def _no_option(context: click.Context, _parameter: click.Parameter, word: str) -> str:
    """Refuse an option that nobody knows; where a value may be -1, click takes it for a word."""
    if word.startswith("-"):
        raise click.NoSuchOption(word, ctx=context)
    return word


@config.command("set", context_settings={"ignore_unknown_options": True})
@click.argument("key", callback=_no_option)
@click.argument("value")
@environment_option
@_yes
def set_(key: str, value: str, environment: str, *, yes: bool) -> Exit:
    """Change one setting in the inventory; a value that would be refused changes nothing.

    Example: aitbc config set profile.log_level INFO -e dev
    """
    return _write(settings.change(_path(environment), key, value), environment, yes=yes)


@config.command()
@environment_option
@json_option
def view(environment: str, *, as_json: bool) -> Exit:
    """Show every setting that is in force.

    Example: aitbc config view -e dev
    """
    return _show(settings.view(_path(environment)), as_json=as_json)


@config.command()
@environment_option
@json_option
def export(environment: str, *, as_json: bool) -> Exit:
    """Write all settings as one document, TOML or JSON; keys are never among them.

    Example: aitbc config export -e dev
    """
    document = settings.export(_path(environment))
    text = json.dumps(document) if as_json else settings.to_toml(document).rstrip()
    click.echo(masking.masked(text))
    return Exit.OK


@config.command("import")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@environment_option
@_yes
def import_(file: str, environment: str, *, yes: bool) -> Exit:
    """Take in an exported document (`-`: standard input); show what changes, then write it.

    Example: aitbc config import settings.toml -e dev
    """
    path = _path(environment)
    if file != "-" and not Path(file).is_file():
        raise UsageError(f"there is no file {file}", hint="aitbc config export")
    text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    if masking.MASK in text:
        raise ConfigError(
            f"import refused: a value of {file} was masked when it was exported",
            hint="aitbc config view   # shows which; write the value by hand",
        )
    return _write(settings.take_in(path, text), environment, yes=yes)


def _path(environment: str) -> Path:
    return settings.path_of(choice.chosen(environment))


def _show(found: list[Setting], *, as_json: bool) -> Exit:
    if as_json:
        rows = [{"key": each.key, "value": each.value, "layer": each.layer} for each in found]
        click.echo(masking.masked(json.dumps(rows)))
        return Exit.OK
    width = max(len(each.key) for each in found)
    for each in found:
        line = masking.masked(f"{each.key} = {json.dumps(each.value)}")
        key, _, value = line.partition(" = ")
        click.echo(f"{key:<{width}}  {value:<24} {each.layer}")
    return Exit.OK


def _write(edit: Edit, environment: str, *, yes: bool) -> Exit:
    name = choice.chosen(environment)
    if not edit.diff:
        click.echo(f"Nothing to do: {name} says that already")
        return Exit.OK
    for line in edit.diff:
        click.echo(masking.masked(line))
    if Inventory.read(name).is_production:
        ask(f"write this to {name}?", yes=yes)
    edit.write()
    click.echo(f"Written to inventories/{edit.path.parent.name}; a deploy brings it to hosts")
    return Exit.OK
