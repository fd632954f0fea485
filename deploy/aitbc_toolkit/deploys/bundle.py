"""How does a host-side program travel? As one text on standard input, and one alone is stored.

The modules of `hostside` are put into `sys.modules` under their own names before the step runs,
so that their imports and their tracebacks read as they do here. No pyinfra here.
"""

import json
import shlex
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = "aitbc_toolkit.deploys.hostside"
# Shared with the operator's machine: the two have to judge a log in the same way.
_SHARED = ("chain",)
# In the order of their imports; `program` is what is run.
MODULES = (
    "trouble",
    "files",
    "leasing",
    "processes",
    "asking",
    "supervising",
    "services",
    "answering",
    "linking",
    "deadman",
    "ordering",
    "journaling",
    "observing",
    "checking",
    "approving",
    "trusting",
    "mirrors",
    "components",
    "staging",
    "comparing",
    "installed",
    "drifting",
    "guarding",
    "keeping",
    "switching",
    "bootstrapping",
    "sealing",
    "witnessing",
    "program",
)
# What the dead-man's switch needs after its step has ended: the one program that hosts keep.
_KEPT = (*MODULES[: MODULES.index("deadman") + 1], "firing")
# A step that is asked to end gets this long before its whole process group is killed.
KILL_AFTER_S = 5
# Steps for hosts that may have no Python: a shell script with its parameters in front.
SCRIPTS = {"provision": "provision.sh"}

_LOADER = """\
import json, sys, types
for name in {packages!r}:
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = []
for name, text in {sources!r}.items():
    module = sys.modules[name] = types.ModuleType(name)
    package, _, short = name.rpartition(".")
    setattr(sys.modules[package], short, module)
    exec(compile(text, short + ".py", "exec"), module.__dict__)
"""


def command(step: str, params: Mapping[str, Any], *, deadline_s: int) -> tuple[str, ...]:
    """Write the command line that reads a step from its standard input.

    `timeout` makes a process group and asks all of it to end at the deadline. It kills the group
    only while the program is there, so the program stays until its own children are gone.
    """
    reader = ("sh", "-s") if step in SCRIPTS else (str(params["python"]), "-")
    return ("timeout", "-k", str(KILL_AFTER_S), str(deadline_s), *reader)


def compose(step: str, params: Mapping[str, Any]) -> str:
    """Write the program of one step on one host, with its parameters inside."""
    if step in SCRIPTS:
        return _script(step, params)
    if params.get("arm"):
        params = {**params, "arm": {**params["arm"], "program": _kept()}}
    document = json.dumps(params, sort_keys=True)
    call = f"sys.modules[{_PACKAGE + '.program'!r}].run({step!r}, json.loads({document!r}))\n"
    return _modules(MODULES, _SHARED) + call


def _script(step: str, params: Mapping[str, Any]) -> str:
    """Write the shell script of one step on one host; its parameters are plain texts."""
    script = Path(__file__).with_name("hostside") / SCRIPTS[step]
    values = [f"{name}={shlex.quote(params[name])}\n" for name in ("packages", "look_only")]
    return "".join([*values, script.read_text(encoding="utf-8")])


def _kept() -> str:
    call = f"sys.modules[{_PACKAGE + '.firing'!r}].run(pathlib.Path(__file__).parent)\n"
    return "import pathlib\n" + _modules(_KEPT, ()) + call


@cache
def _modules(own: tuple[str, ...], shared: tuple[str, ...]) -> str:
    folder, top = Path(__file__).with_name("hostside"), Path(__file__).parent.parent
    root = _PACKAGE.partition(".")[0]
    files = {f"{root}.{name}": top / f"{name}.py" for name in shared}
    files |= {f"{_PACKAGE}.{name}": folder / f"{name}.py" for name in own}
    sources = {name: path.read_text(encoding="utf-8") for name, path in files.items()}
    parts = _PACKAGE.split(".")
    packages = [".".join(parts[: count + 1]) for count in range(len(parts))]
    return _LOADER.format(packages=packages, sources=sources)
