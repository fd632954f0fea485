"""How a test runs the command line on inventories of its own: a copy of what the toolkit reads.

The toolkit finds its folders beside its own code, so the code is copied, too.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aitbc_toolkit import paths

_PARTS = ("deploy", "node", "inventories", "templates", "locks")


@dataclass(frozen=True)
class Checkout:
    """Be a checkout without history, whose `.aitbc` is its own."""

    root: Path

    def aitbc(
        self, *words: str, env: Mapping[str, str] | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line without a terminal."""
        code = os.pathsep.join([str(self.root / "deploy"), str(self.root / "node")])
        variables = {name: value for name, value in os.environ.items() if name != "AITBC_ENV"}
        return subprocess.run(
            [sys.executable, "-P", "-m", "aitbc_toolkit.cli.main", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            input=stdin,
            env={**variables, "PYTHONPATH": code, **(env or {})},
        )

    def inventory(self, name: str) -> Path:
        """Find the inventory of an environment."""
        return self.root / "inventories" / name / "inventory.toml"


def copy_checkout(folder: Path) -> Checkout:
    """Copy what the command line needs."""
    for part in _PARTS:
        copy_code(paths.project_root() / part, folder / part)
    return Checkout(folder)


def copy_code(source: Path, target: Path) -> None:
    """Copy a folder of code with its compiled modules: to make them anew takes a core seconds.

    One that another process is writing just now has a name of its own, and may be gone already.
    """
    ignored = shutil.ignore_patterns("*.pyc.*", "*.bak", "*.egg-info")
    shutil.copytree(source, target, ignore=ignored)
