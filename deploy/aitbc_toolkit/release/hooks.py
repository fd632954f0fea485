"""What do the operator's own programs say before and after a phase of a run?

`inventories/<env>/hooks/{before,after}-<phase>` are run on this machine, never on a host, with the
facts of the run as one JSON document on standard input. No secret is among them. All phases begin
before anything that runs is touched, so a `before` hook that fails stops a run that has changed
nothing; an `after` hook is told how it ended and can stop nothing.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from aitbc_toolkit import inventory, shell
from aitbc_toolkit.declared import nearest
from aitbc_toolkit.errors import AitbcError, ConfigError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release.progress import Tell, note, step

Phase = Literal["deploy", "stage", "waves", "rollback"]
"""A whole deploy; what is put on hosts; what is switched there; a whole rollback."""

FOLDER = "hooks"
DEADLINE_S = 60.0

_NAMES = tuple(f"{when}-{phase}" for phase in get_args(Phase) for when in ("before", "after"))


@dataclass(frozen=True, slots=True)
class Hooks:
    """Hold what every hook of one run is told."""

    environment: Environment
    tell: Tell
    facts: Mapping[str, Any]

    def before(self, phase: Phase, **more: Any) -> None:
        """Ask before a phase.

        Raises: AitbcError (refused) when the hook does not end with 0, or not in time.
        """
        name = f"before-{phase}"
        where = "by this attempt" if self.facts.get("resumed") else "on no host"
        try:
            self._run(name, more)
        except AitbcError as failure:
            raise AitbcError(
                f"{self.facts['action']} {self.environment.name} refused: hook {name}: "
                f"{failure.message}\n  changed so far   nothing that runs, {where}",
                hint=f"edit {found(self.environment)[name]}",
                exit_status=Exit.REFUSED,
            ) from failure

    def after(self, phase: Phase, **more: Any) -> None:
        """Tell how a phase ended; a hook that fails is a note."""
        name = f"after-{phase}"
        try:
            self._run(name, more)
        except AitbcError as failure:
            note(self.tell, f"warning: hook {name}: {failure.message}")

    def _run(self, name: str, more: Mapping[str, Any]) -> None:
        path = found(self.environment).get(name)
        if path is None:
            return
        said = {"environment": self.environment.name, "hook": name, **self.facts, **more}
        with step(self.tell, "hook", name) as now:
            done = shell.run(
                [path], stdin=json.dumps(said), timeout_s=DEADLINE_S, cwd=path.parent, check=False
            )
            for line in (*done.stdout.splitlines(), *done.stderr.splitlines()):
                note(self.tell, f"  {name}: {line}")
            if not done.ok:
                raise AitbcError(f"it ended with status {done.status}", hint=f"edit {path}")
            now.say(f"{name} agrees" if name.startswith("before-") else f"{name} was told")


def folder_of(environment: Environment) -> Path:
    """Find the folder of an environment's hooks; it need not be there."""
    root = environment.inventories
    return root / inventory.base_name(environment.name, folder=root) / FOLDER


def found(environment: Environment) -> dict[str, Path]:
    """Find the hooks of an environment by their names.

    Raises: ConfigError for one that would never run: a wrong name, or not executable.
    """
    files = sorted(folder_of(environment).glob("*"))
    hooks = {path.name: path for path in files if path.name[0] != "."}
    for name, path in hooks.items():
        if name not in _NAMES:
            raise ConfigError(
                f"no hook is called {name}, the nearest is {nearest(name, _NAMES) or _NAMES[0]}",
                hint=f"the hooks are {' '.join(_NAMES)}",
            )
        if not os.access(path, os.X_OK) or not path.is_file():
            raise ConfigError(f"hook {name} is not executable", hint=f"chmod +x {path}")
    return hooks
