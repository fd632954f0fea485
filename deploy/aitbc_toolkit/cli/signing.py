"""Which key does the operator sign with, and which is named? `--key`, else what git signs with.

Do not read a private key here.
"""

from pathlib import Path

import click

from aitbc_toolkit import paths
from aitbc_toolkit.errors import UsageError
from aitbc_toolkit.release import provenance

key_option = click.option(
    "--key",
    type=click.Path(path_type=Path),
    help="An SSH key's file; else user.signingkey of git.",
)


def chosen_key(named: Path | None) -> Path | None:
    """Find the key's file, if one is named anywhere."""
    return named.expanduser() if named else provenance.configured_key(paths.project_root())


def needed_key(named: Path | None) -> Path:
    """Find the key's file.

    Raises: UsageError when none is named anywhere.
    """
    key = chosen_key(named)
    if key is None:
        raise UsageError(
            "no signing key is named", hint="git config user.signingkey ~/.ssh/id_ed25519"
        )
    return key


def read_public(written: str) -> str:
    """Read a public key that was given as one line or as its file, without its comment.

    Raises: UsageError when it is neither.
    """
    file = Path(written).expanduser()
    if " " not in written and not file.is_file():
        raise UsageError(f"no key and no file of one: {file}", hint="ssh-add -L")
    line = written if " " in written else file.read_text(encoding="utf-8")
    return " ".join(line.split()[:2])
