"""How does a host-side program travel? As one text on standard input, and one alone is stored.

The modules of `hostside` that a step may import travel with it, and it imports them under their
own names. To compile them would cost a host five times what most steps do, so they travel compiled
too: where the host's Python is of our kind it takes that, else the source. No pyinfra here.
"""

import ast
import base64
import importlib.util
import json
import marshal
import shlex
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside.program import STEPS

_ROOT = "aitbc_toolkit"
_PACKAGE = f"{_ROOT}.deploys.hostside"
_PROGRAM = f"{_PACKAGE}.program"
# What the dead-man's switch needs after its step has ended: the one program that hosts keep.
_KEPT = f"{_PACKAGE}.firing"
# Without the folders of the operator's and of third packages: a step needs the standard library.
_PYTHON_OPTIONS = ("-I", "-S")
# A step that is asked to end gets this long before its whole process group is killed.
KILL_AFTER_S = 5
# Steps for hosts that may have no Python: a shell script with its parameters in front.
SCRIPTS = {"provision": "provision.sh"}

_LOADER = """\
import binascii, importlib.util, json, marshal, sys, zlib
from importlib.machinery import ModuleSpec
class Carried:
    modules = {modules!r}
    is_ours = importlib.util.MAGIC_NUMBER.hex() == {magic!r}
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        is_package = any(each.startswith(name + ".") for each in cls.modules)
        if is_package or name in cls.modules:
            return ModuleSpec(name, cls, is_package=is_package)
    @classmethod
    def create_module(cls, spec):
        return None
    @classmethod
    def exec_module(cls, module):
        code, source = cls.modules.get(module.__name__, ("", ""))
        if code and cls.is_ours:
            exec(marshal.loads(unpack(code)), module.__dict__)
        elif source:
            exec(compile(unpack(source), module.__name__ + ".py", "exec"), module.__dict__)
def unpack(text):
    return zlib.decompress(binascii.a2b_base64(text))
sys.meta_path.insert(0, Carried)
"""


def command(step: str, params: Mapping[str, Any], *, deadline_s: int) -> tuple[str, ...]:
    """Write the command line that reads a step from its standard input.

    `timeout` makes a process group and asks all of it to end at the deadline. It kills the group
    only while the program is there, so the program stays until its own children are gone.
    """
    reader = ("sh", "-s") if step in SCRIPTS else (str(params["python"]), *_PYTHON_OPTIONS, "-")
    return ("timeout", "-k", str(KILL_AFTER_S), str(deadline_s), *reader)


def compose(step: str, params: Mapping[str, Any]) -> str:
    """Write the program of one step on one host, with its parameters inside."""
    if step in SCRIPTS:
        return _script(step, params)
    if params.get("arm"):
        params = {**params, "arm": {**params["arm"], "program": _kept()}}
    document = json.dumps(params, sort_keys=True)
    call = f"from {_PROGRAM} import run\nrun({step!r}, json.loads({document!r}))\n"
    module = STEPS[step].partition(".")[0]
    return _load((f"{_PACKAGE}.{module}", _PROGRAM)) + call


def _script(step: str, params: Mapping[str, Any]) -> str:
    """Write the shell script of one step on one host; its parameters are plain texts."""
    script = Path(__file__).with_name("hostside") / SCRIPTS[step]
    values = [f"{name}={shlex.quote(params[name])}\n" for name in ("packages", "look_only")]
    return "".join([*values, script.read_text(encoding="utf-8")])


def _kept() -> str:
    """Write the program that stays on a host; its Python may have become another one by then."""
    call = f"from {_KEPT} import run\nrun(pathlib.Path(__file__).parent)\n"
    return "import pathlib\n" + _load((_KEPT,)) + call


@cache
def _load(wanted: tuple[str, ...]) -> str:
    """Write the part of a program that lets it import the wanted modules, and what they import."""
    names = list(dict.fromkeys(found for name in wanted for found in _with_imports(name)))
    modules = {name: (_code(name), _pack(_source(name))) for name in names}
    magic = importlib.util.MAGIC_NUMBER.hex()
    return _LOADER.format(magic=magic, modules=modules)


def _with_imports(name: str) -> Iterator[str]:
    """List the modules of ours that a module imports, each after its own, and then itself."""
    for imported in _imports(name):
        yield from _with_imports(imported)
    yield name


@cache
def _imports(name: str) -> list[str]:
    """Read which modules of ours a module imports; `from a.package import module` is our style."""
    found = []
    for statement in ast.walk(ast.parse(_source(name))):
        if not isinstance(statement, ast.ImportFrom):
            continue
        package = statement.module or ""
        if package in {_ROOT, _PACKAGE}:
            found += [f"{package}.{alias.name}" for alias in statement.names]
        elif package.startswith(f"{_ROOT}."):
            found.append(package)
    return found


def _source(name: str) -> bytes:
    return _path(name).read_bytes()


def _code(name: str) -> str:
    """Give a module as our Python keeps it beside the source."""
    code = SourceFileLoader(name, str(_path(name))).get_code(name)
    return _pack(marshal.dumps(code))


def _pack(what: bytes) -> str:
    return base64.b64encode(zlib.compress(what)).decode("ascii")


def _path(name: str) -> Path:
    """Find a module beside this one, or above: `chain` is judged alike on hosts and here."""
    inside = name.removeprefix(f"{_ROOT}.").split(".")
    return Path(__file__).parent.parent.joinpath(*inside).with_suffix(".py")
