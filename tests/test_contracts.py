"""Who may import what is checked, and each check is seen to fail on a planted violation."""

import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aitbc_toolkit import paths

ROOT = paths.project_root()
PACKAGES = ("node/aitbc_node", "node/aitbc_sim", "deploy/aitbc_toolkit", "loadtests/aitbc_load")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
CONTRACTS: dict[str, dict[str, Any]] = {
    contract["name"]: contract for contract in SETTINGS["importlinter"]["contracts"]
}
# For each contract a module, an import that it must not have, and which other contracts that
# import breaks as well.
PLANTED = {
    "packages": ("node/aitbc_sim/planted.py", "import aitbc_toolkit.paths"),
    "node layers": ("node/aitbc_node/types.py", "import aitbc_node.limits"),
    "independent parts": ("node/aitbc_node/gossip/planted.py", "import aitbc_node.ledger"),
    "pure parts": ("node/aitbc_node/ledger/planted.py", "import time"),
    "deterministic simulator": ("node/aitbc_sim/planted.py", "import socket"),
    "toolkit layers": ("deploy/aitbc_toolkit/paths.py", "import aitbc_toolkit.shell"),
    "gevent fence": ("deploy/aitbc_toolkit/release/planted.py", "import pyinfra"),
    "the swarm is a child process": ("loadtests/aitbc_load/planted.py", "import locust"),
    "deploys are a child process": (
        "deploy/aitbc_toolkit/cli/planted.py",
        "import aitbc_toolkit.deploys",
    ),
}
ALSO_BROKEN = {"independent parts": {"node layers"}}


def a_copy(folder: Path) -> Path:
    """Copy the packages and the tools' settings."""
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def broken(tree: Path) -> set[str]:
    """Run import-linter on a tree; name the contracts that do not hold."""
    folders = [str((tree / package).parent) for package in PACKAGES]
    program = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run(
        [program, "--no-cache", "--no-logo"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Contracts:" in ran.stdout, ran.stdout + ran.stderr
    return set(re.findall(r"^(.+?) BROKEN(?: \(.*\))?$", ran.stdout, re.MULTILINE))


def modules(package: str) -> Iterator[tuple[str, str]]:
    """Yield each module of a package as a dotted name and a path from the top."""
    for path in sorted((ROOT / package).rglob("*.py")):
        relative = path.relative_to((ROOT / package).parent)
        if path.name != "__init__.py":
            yield ".".join(relative.with_suffix("").parts), str(path.relative_to(ROOT))


def covers(names: list[str], module: str) -> bool:
    """Tell whether a module or a package around it is in a list."""
    return any(module == name or module.startswith(f"{name}.") for name in names)


def may_be_impure(path: str) -> bool:
    """Tell whether ruff lets a file of the node use the clock, files and sockets."""
    for pattern, codes in SETTINGS["ruff"]["lint"]["per-file-ignores"].items():
        if "TID251" in codes and not pattern.startswith("!"):
            head, _, rest = pattern.partition("{")
            inner, _, tail = rest.partition("}")
            spelled = [head + name + tail for name in inner.split(",")] if rest else [pattern]
            if any(fnmatch.fnmatch(path, one) for one in spelled):
                return True
    return False


def test_every_contract_holds() -> None:
    """The packages import each other only as the house allows."""
    assert broken(ROOT) == set()


def test_every_contract_has_a_planted_violation() -> None:
    """A contract that nobody has seen fail proves nothing."""
    assert PLANTED.keys() == CONTRACTS.keys()


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_breaks_its_contract(tmp_path: Path, name: str) -> None:
    """One forbidden import turns exactly the contract red that forbids it."""
    where, line = PLANTED[name]
    tree = a_copy(tmp_path)
    with (tree / where).open("a") as module:
        module.write(f"\n{line}\n")

    assert broken(tree) == {name} | ALSO_BROKEN.get(name, set())


@pytest.mark.parametrize(
    ("name", "package"),
    [("node layers", "node/aitbc_node"), ("toolkit layers", "deploy/aitbc_toolkit")],
)
def test_every_module_has_a_layer(name: str, package: str) -> None:
    """No module stands outside the layers, where nothing would be checked."""
    (container,) = CONTRACTS[name]["containers"]
    layers = re.split(r"[:|]", " : ".join(CONTRACTS[name]["layers"]))
    listed = [f"{container}.{layer.strip(' ()')}" for layer in layers]

    assert [module for module, _ in modules(package) if not covers(listed, module)] == []


def test_both_lists_of_impure_modules_agree() -> None:
    """The modules that import-linter excuses are those that ruff lets use the clock and files."""
    ignored = CONTRACTS["pure parts"]["ignore_imports"]
    excused = [line.removesuffix(" -> *") for line in ignored]

    for module, path in modules("node/aitbc_node"):
        assert (module in excused) == may_be_impure(path), module


def test_both_lists_of_banned_imports_agree() -> None:
    """What import-linter forbids to the pure parts, ruff says in the editor."""
    banned = SETTINGS["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]

    assert sorted(CONTRACTS["pure parts"]["forbidden_modules"]) == sorted(banned)


def test_ruff_bans_the_clock_in_a_pure_module(tmp_path: Path) -> None:
    """The ban works on a file of the ledger, names the replacement, and spares the driver."""
    for name in ("ledger/planted.py", "driver.py"):
        path = tmp_path / "node" / "aitbc_node" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('"""Planted."""\n\nimport time\n\nNOW = time.time()\n')
    shutil.copy(ROOT / "pyproject.toml", tmp_path)

    ran = subprocess.run(
        [Path(sys.executable).with_name("ruff"), "check", "--select", "TID251", "--no-cache", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert "ledger/planted.py" in ran.stdout
    assert "time arrives as an argument" in ran.stdout
    assert "driver.py" not in ran.stdout
