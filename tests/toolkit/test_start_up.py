"""What a command imports before it works: counted, because seconds depend on the machine."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from aitbc_toolkit import worker
from aitbc_toolkit.cli import early
from aitbc_toolkit.errors import Exit

# Each costs a tenth of all that a verb imports, and none is needed where nothing is to be done.
NOT_NEEDED = {
    "aitbc_toolkit.keys",
    "aitbc_toolkit.lab",
    "aitbc_toolkit.sending",
    "aitbc_toolkit.suites",
    "git",
    "httpx",
    "packaging",
    "pydantic",
    "pygments",
    "rich",
}
MODULES_MAX = 450


def imported(text: str) -> set[str]:
    """List what Python has loaded after running a text of its own."""
    argv = [sys.executable, "-P", "-c", f"{text}\nimport sys\nprint(*sys.modules)"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("verb", ["deploy"])
def test_a_verb_imports_what_it_needs(verb: str) -> None:
    """`deploy`, `rollback`, `status`: libraries of rarer work come with that work."""
    found = imported(f"import aitbc_toolkit.cli.main, aitbc_toolkit.cli.{verb}")

    assert found & NOT_NEEDED == set()
    assert len(found) < MODULES_MAX


@pytest.mark.parametrize(
    ("module", "kept"),
    [
        ("aitbc_toolkit.cli.main", {"click", "failures"}),
        ("aitbc_toolkit.deploys", {"paramiko", "session"}),
    ],
)
def test_what_was_compiled_is_kept_whatever_the_shell_says(
    tmp_path: Path, module: str, kept: set[str]
) -> None:
    """A shell that forbids it would have every run compile hundreds of modules anew."""
    variables = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-P", "-m", module],
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )

    found = list(tmp_path.rglob("*.pyc"))
    names = {each.name.partition(".")[0] for each in found} | {each.parent.name for each in found}
    assert done.returncode in {0, 64}
    assert kept <= names


def test_the_child_starts_before_anything_that_takes_long_is_imported() -> None:
    """Both import for as long, so they do it side by side."""
    text = (
        "import runpy, sys\n"
        "from aitbc_toolkit import worker\n"
        "worker.start_early = lambda: print('click' in sys.modules)\n"
        "sys.argv = ['aitbc', 'status', 'nowhere']\n"
        "runpy.run_module('aitbc_toolkit.cli.main', run_name='__main__')\n"
    )
    argv = [sys.executable, "-P", "-c", text]
    said = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert said.stdout == "False\n"
    assert said.returncode == Exit.USAGE


def test_hosts_are_connected_to_while_the_verb_is_imported(tmp_path: Path) -> None:
    """The child is told which hosts there are before the verb's own modules come."""
    (tmp_path / "envs/dev").mkdir(parents=True)
    text = (
        "import pathlib, runpy, sys\n"
        "from aitbc_toolkit import paths, worker\n"
        f"paths.state_root = lambda *_override: pathlib.Path({str(tmp_path)!r})\n"
        "worker.start_early = lambda: worker._spare.append(worker._Spare(None))\n"
        "verb = 'aitbc_toolkit.cli.deploy'\n"
        "worker._say = lambda _child, line: print(verb in sys.modules, line)\n"
        "sys.argv = ['aitbc', 'plan', '-e', 'dev', '--nonsense']\n"
        "runpy.run_module('aitbc_toolkit.cli.main', run_name='__main__')\n"
    )
    argv = [sys.executable, "-P", "-c", text]
    said = subprocess.run(argv, capture_output=True, text=True, check=False)

    told = said.stdout.splitlines()
    assert [line.partition(" ")[0] for line in told] == ["False", "False"], said
    assert json.loads(told[0].partition(" ")[2])["hosts"] == {"localhost": {}}
    assert told[1] == f"False {worker.CONNECT}"
    assert said.returncode == Exit.USAGE


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("deploy", ""),
        ("deploy lab --yes", "lab"),
        ("deploy -e lab", "lab"),
        ("deploy --env lab", "lab"),
        ("deploy status lab", "lab"),
        ("deploy status", ""),
        ("status staging", "staging"),
        ("rollback --yes lab", None),
        ("deploy -e", None),
        ("deploy --ref dev lab", None),
        ("up lab", None),
        ("network status", None),
    ],
)
def test_only_the_environment_that_is_surely_meant_is_connected_to(
    line: str, name: str | None
) -> None:
    """An option may have a word of its own: what stands behind one is no environment yet."""
    command, *words = line.split()

    assert early.named(command, words) == name


def test_the_list_of_commands_imports_none_of_them() -> None:
    """`--help` and a mistyped name are answered at once."""
    found = imported("import aitbc_toolkit.cli.main")

    assert {name for name in found if name.startswith("pydantic")} == set()
    assert "aitbc_toolkit.cli.deploy" not in found


def test_the_child_that_speaks_pyinfra_does_without_what_it_can() -> None:
    """Stand-ins keep their places, and whoever needs one of them after all is told which."""
    found = imported("import aitbc_toolkit.deploys.__main__")
    use = (
        "import jinja2\n"
        "try:\n    jinja2.Template('x')\nexcept RuntimeError as why:\n    print(why)\n"
        "import typing_extensions\nprint(hasattr(typing_extensions, '__file__'))"
    )
    argv = [sys.executable, "-P", "-c", f"import aitbc_toolkit.deploys.__main__\n{use}"]
    said = subprocess.run(argv, capture_output=True, text=True, check=False)

    left_out = ("asyncio", "email", "importlib.metadata.", "invoke.", "jinja2.", "packaging._")
    left_out += ("typeguard.", "zope.interface.")
    assert "pyinfra" in found
    assert not any(name.startswith(left_out) for name in found)
    assert said.stdout == "jinja2.Template is not loaded in this process\nFalse\n"


def test_what_stands_for_the_list_of_installed_libraries_tells_what_is_asked_of_it() -> None:
    """It knows the ways to reach a host and versions, as Python's own does, and no plugins."""
    use = (
        "import importlib.metadata as installed, paramiko\n"
        "from pyinfra.api.connectors import get_all_connectors\n"
        "print(paramiko.__version__, *get_all_connectors())\n"
        "print(*installed.entry_points(group='gevent.plugins.monkey.will_patch_all'))\n"
        "try:\n    installed.version('nobody')\nexcept LookupError as why:\n    print(why)\n"
    )
    argv = [sys.executable, "-P", "-c", f"import aitbc_toolkit.deploys.__main__\n{use}"]
    said = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert said.stderr == ""
    known = f"{metadata.version('paramiko')} local ssh"
    assert said.stdout.splitlines() == [known, "", "nobody is not installed"]
