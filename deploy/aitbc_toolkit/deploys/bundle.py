"""How does a host-side program travel? As one text on standard input, and one alone is stored.

The modules of `hostside` that a step may import travel with the first step that does, and are
imported under their own names. To compile them would cost a host five times what most steps do, so
they travel compiled too: where the host's Python is of our kind it takes that, else the source. No
pyinfra here.
"""

import base64
import importlib.util
import json
import marshal
import re
import shlex
import zlib
from collections.abc import Collection, Mapping
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside.program import STEPS

_ROOT = "aitbc_toolkit"
_PACKAGE = f"{_ROOT}.deploys.hostside"
# What the dead-man's switch needs after its step has ended: the one program that hosts keep.
_KEPT = f"{_PACKAGE}.firing"
_ATTENDING = f"{_PACKAGE}.attending"
# Without the folders of the operator's and of third packages: a step needs the standard library.
_PYTHON_OPTIONS = ("-I", "-S")
# A step that is asked to end gets this long before its whole process group is killed.
KILL_AFTER_S = 5
# Reads a program with its length before it, so that the steps can follow on the same input.
# Nothing that is imported is ever garbage; looking for it takes a tenth of the time.
_READER = (
    "import gc, sys; gc.disable(); exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"
)
# Steps for hosts that may have no Python: a shell script with its parameters in front.
SCRIPTS = {"provision": "provision.sh"}
# What a module of ours imports of ours, on one line or in brackets, wherever it does: to parse all
# that a step consists of would take longer than to send it.
_IMPORT = re.compile(rf"^[ \t]*from ({_ROOT}[.\w]*) import (?:\(([^)]*)\)|(.*))", re.MULTILINE)
_COMMENT = re.compile(r"#.*")

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


def command(*, deadline_s: int) -> tuple[str, ...]:
    """Write the command line that reads a script from its standard input.

    `timeout` makes a process group and asks all of it to end at the deadline. It kills the group
    only while the script is there, so the script stays until its own children are gone.
    """
    return ("timeout", "-k", str(KILL_AFTER_S), str(deadline_s), "sh", "-s")


def attendant(python: str) -> tuple[str, ...]:
    """Write the command line that reads `opening` and then steps from its standard input."""
    return (python, *_PYTHON_OPTIONS, "-c", _READER)


@cache
def opening() -> bytes:
    """Write what comes before the first step: the program that makes them, with its length."""
    call = f"from {_ATTENDING} import attend\nattend(Carried.modules)\n"
    text = (_load((_ATTENDING,)) + call).encode("ascii")
    return b"%d\n%b" % (len(text), text)


def job(
    step: str, params: Mapping[str, Any], *, deadline_s: float, known: Collection[str] = ()
) -> bytes:
    """Write one step for one host, with the modules that are not `known` there."""
    if params.get("arm"):
        params = {**params, "arm": {**params["arm"], "program": _kept()}}
    document = {
        "step": step,
        "params": params,
        "deadline_s": deadline_s,
        "kill_after_s": KILL_AFTER_S,
        "modules": {name: _carried(name) for name in modules(step) if name not in known},
    }
    return json.dumps(document).encode("ascii") + b"\n"


@cache
def modules(step: str) -> tuple[str, ...]:
    """List the modules of ours that a step may import, beside those of the attendant."""
    module = STEPS[step].partition(".")[0]
    own = _with_imports(_ATTENDING)
    found = _with_imports(f"{_PACKAGE}.{module}")
    return tuple(name for name in found if name not in own)


def script(step: str, params: Mapping[str, Any]) -> str:
    """Write the shell script of one step on one host; its parameters are plain texts."""
    path = Path(__file__).with_name("hostside") / SCRIPTS[step]
    values = [f"{name}={shlex.quote(params[name])}\n" for name in ("packages", "look_only")]
    return "".join([*values, path.read_text(encoding="utf-8")])


@cache
def _kept() -> str:
    """Write the program that stays on a host; its Python may have become another one by then."""
    call = f"from {_KEPT} import run\nrun(pathlib.Path(__file__).parent)\n"
    return "import pathlib\n" + _load((_KEPT,)) + call


def _load(wanted: tuple[str, ...]) -> str:
    """Write the part of a program that lets it import the wanted modules, and what they import."""
    names = dict.fromkeys(found for name in wanted for found in _with_imports(name))
    magic = importlib.util.MAGIC_NUMBER.hex()
    return _LOADER.format(magic=magic, modules={name: _carried(name) for name in names})


@cache
def _carried(name: str) -> tuple[str, str]:
    """Give a module compiled and as source, as the loader wants it."""
    return _code(name), _pack(_source(name))


@cache
def _with_imports(name: str) -> tuple[str, ...]:
    """List the modules of ours that a module imports, each after its own, and then itself."""
    found = [each for imported in _imports(name) for each in _with_imports(imported)]
    return tuple(dict.fromkeys([*found, name]))


def _imports(name: str) -> list[str]:
    """Read which modules of ours a module imports; `from a.package import module` is our style."""
    found = []
    for package, inside, here in _IMPORT.findall(_source(name).decode("utf-8")):
        if package in {_ROOT, _PACKAGE}:
            names = _COMMENT.sub("", inside or here).replace(",", " ").split()
            found += [f"{package}.{each}" for each in names]
        else:
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
