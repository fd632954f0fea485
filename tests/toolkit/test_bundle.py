"""What travels to a host is what its step needs, and costs the host little before it starts."""

import ast
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import TypeGuard

import pytest
from pretend_hosts import PretendHosts, attended

from aitbc_toolkit.deploys import bundle
from aitbc_toolkit.deploys.hostside import program
from aitbc_toolkit.deploys.hostside.attending import END

HOSTSIDE = "aitbc_toolkit.deploys.hostside"
# Together they cost a host three times what the rest of a step does before it begins.
SLOW = {"dataclasses", "email", "http", "inspect", "ssl", "xmlrpc"}


LAST = "attend(Carried.modules)\n"


def imported_by(step: str) -> set[str]:
    """Import what a step is written in, as a host does it; list what Python has loaded then."""
    job = bundle.job(step, {}, deadline_s=60)
    call = (
        f"Carried.modules |= json.loads({job!r})['modules']\n"
        f"from {HOSTSIDE} import program\nprogram.function({step!r})\nprint(*sys.modules)\n"
    )
    return set(run(opening().replace(LAST, call)).split())


def opening() -> str:
    """Give the program that a host starts with, without its length."""
    _length, _, text = bundle.opening().decode().partition("\n")
    assert text.endswith(LAST)
    return text


def run(text: str) -> str:
    """Run a program as a host does, and return what it prints."""
    argv = [sys.executable, "-I", "-S", "-"]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("step", {name: step for step, name in program.STEPS.items()}.values())
def test_a_step_travels_with_everything_that_it_imports(step: str) -> None:
    """Nothing of ours is on a host, so what stays behind is missed there."""
    found = imported_by(step)

    assert f"{HOSTSIDE}.{program.STEPS[step].partition('.')[0]}" in found


def test_imports_are_found_as_python_finds_them() -> None:
    """To parse what travels would take longer than to send it, so its text is searched."""
    steps = {name for step in program.STEPS for name in bundle.modules(step)}
    folder = Path(program.__file__).parent
    every = {f"{HOSTSIDE}.{path.stem}" for path in folder.glob("*.py") if path.stem != "__init__"}
    assert f"{HOSTSIDE}.attending" in every
    for name in sorted(steps | every):
        own = [each for each in ast.walk(ast.parse(bundle._source(name))) if ours(each)]
        assert set(bundle._imports(name)) == {found for each in own for found in named(each)}


def test_what_travels_is_neither_parsed_nor_compiled_for_it() -> None:
    """Python has compiled each module once and keeps it, and nothing else asks for more."""
    text = "import builtins\nfrom aitbc_toolkit.deploys import bundle\n{before}\n"
    text += "bundle.opening()\nbundle.job('lease', {{}}, deadline_s=1)"
    for before in ("", "builtins.compile = None"):
        argv = [sys.executable, "-P", "-c", text.format(before=before)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def ours(statement: ast.AST) -> TypeGuard[ast.ImportFrom]:
    """Tell whether a statement imports something of the toolkit."""
    imports = isinstance(statement, ast.ImportFrom)
    return imports and str(statement.module).startswith("aitbc_toolkit")


def named(statement: ast.ImportFrom) -> list[str]:
    """List the modules that a statement imports, or imports names from."""
    package = str(statement.module)
    if package in {"aitbc_toolkit", HOSTSIDE}:
        return [f"{package}.{each.name}" for each in statement.names]
    return [package]


@pytest.mark.parametrize(
    "step", ["lease", "lease-release", "switch", "announce", "record", "watch"]
)
def test_a_usual_step_imports_nothing_slow(step: str) -> None:
    """Eight hosts on two cores start Python for each step: every library is paid for often."""
    found = {name.partition(".")[0] for name in imported_by(step)}

    assert found & SLOW == set()


def test_a_step_leaves_behind_what_it_has_no_use_for() -> None:
    """Renewing a lease needs three modules, so it carries no staging."""
    assert f"{HOSTSIDE}.staging" not in bundle.modules("lease-renew")
    light, heavy = (len(bundle.job(step, {}, deadline_s=1)) for step in ("lease-renew", "drift"))
    assert light < heavy / 3


def test_a_step_brings_what_no_step_before_it_has_brought() -> None:
    """What a host has is not sent to it again: a second step of the kind is its parameters."""
    first = bundle.job("switch", {}, deadline_s=1)
    again = bundle.job("switch", {}, deadline_s=1, known=bundle.modules("switch"))

    assert json.loads(again)["modules"] == {}
    assert len(again) < 200 < len(first)
    assert json.loads(bundle.job("lease", {}, deadline_s=1))["modules"].keys() == {
        *bundle.modules("lease")
    }


@pytest.mark.parametrize("magic", [importlib.util.MAGIC_NUMBER.hex(), "00000000"])
def test_the_program_that_a_host_keeps_is_compiled_too(tmp_path: Path, magic: str) -> None:
    """It starts once in every wave; a host that has another Python by then reads the source."""
    job = json.loads(bundle.job("switch", {"arm": {"after_s": 1}}, deadline_s=1))
    program = job["params"]["arm"]["program"]
    kept = tmp_path / "deadman.py"
    kept.write_text(program.replace(importlib.util.MAGIC_NUMBER.hex(), magic))
    (tmp_path / "deadman.json").write_text('{"state": "disarmed"}')

    done = subprocess.run(
        [sys.executable, "-I", str(kept)], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    modules = next(line for line in program.splitlines() if line.startswith("    modules = "))
    assert all(code for code, _ in ast.literal_eval(modules.partition(" = ")[2]).values())


def test_a_host_with_another_python_reads_the_source(tmp_path: Path) -> None:
    """What was compiled here is for one kind of Python; on any other the answer is the same."""
    host = PretendHosts(tmp_path, ("a",))
    job = bundle.job("watch", {**host.params("a"), "lines": 1}, deadline_s=60)
    theirs = opening().replace(importlib.util.MAGIC_NUMBER.hex(), "00000000").encode()
    assert theirs != opening().encode()

    done = subprocess.run(
        bundle.attendant(sys.executable),
        input=b"%d\n%b" % (len(theirs), theirs) + job,
        capture_output=True,
        check=False,
    )

    ours = attended(("watch", {**host.params("a"), "lines": 1}))
    answer = f'\n{program.MARK}{{"ok": true, "services": {{}}}}\n\n{END}0\n'
    assert done.stdout.decode() == ours == answer
