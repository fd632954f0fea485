"""The bug that the README has a tester plant."""

import shlex

from aitbc_toolkit import paths


def planting() -> list[str]:
    """Return the command that plants it, to be run in a checkout."""
    lines = (paths.project_root() / "README.md").read_text(encoding="utf-8").splitlines()
    (command,) = (line.removeprefix("$ ") for line in lines if line.startswith("$ sed "))
    return shlex.split(command)
