"""The committed locks are current, complete and free of addresses."""

from pathlib import Path

import pytest

from aitbc_toolkit import locks, paths

_PROJECT = """
[project]
name = "aitbc-toolkit"
dependencies = ["aitbc-node", "click>=8.4"]
[dependency-groups]
bootstrap = ["uv>=0.1"]
dev = [{ include-group = "bootstrap" }, "ruff>=0.17"]
"""
_NODE = """
[project]
name = "aitbc-node"
dependencies = ["msgspec>=0.22"]
"""


def _pin(name: str, version: str) -> str:
    return f"{name}=={version} \\\n    --hash=sha256:{'0' * 64}\n"


def a_checkout(folder: Path, **replaced: str) -> Path:
    """Write a small checkout whose locks are right, but for those that the caller replaces."""
    uv, msgspec = _pin("uv", "0.2"), _pin("msgspec", "0.22")
    click, ruff = _pin("click", "8.5"), _pin("ruff", "0.17.1")
    texts = {
        "bootstrap": uv,
        "node": msgspec,
        "toolkit": click + msgspec,
        "dev": click + msgspec + ruff + uv,
    } | replaced
    (folder / "node").mkdir()
    (folder / "locks").mkdir()
    (folder / "pyproject.toml").write_text(_PROJECT)
    (folder / "node" / "pyproject.toml").write_text(_NODE)
    for name, text in texts.items():
        (folder / "locks" / f"{name}.lock").write_text("# a comment\n" + text)
    return folder


def test_one_requirement_is_read_with_all_its_hashes(tmp_path: Path) -> None:
    """What installs uv elsewhere is the pin of the lock, whole."""
    checkout = a_checkout(tmp_path, bootstrap=_pin("hatchling", "1.2") + _pin("uv", "0.2"))

    assert locks.requirement(checkout, "uv") == _pin("uv", "0.2")
    assert locks.requirement(paths.project_root(), "uv").count("--hash=sha256:") > 1


def test_the_committed_locks_are_current() -> None:
    """Every declared dependency is pinned at an allowed version, with hashes, without addresses."""
    assert list(locks.findings(paths.project_root())) == []


def test_a_right_checkout_has_no_findings(tmp_path: Path) -> None:
    """The small checkout of these tests is right before it is broken."""
    assert list(locks.findings(a_checkout(tmp_path))) == []


@pytest.mark.parametrize(
    ("lock", "text", "finding"),
    [
        ("bootstrap", "", "does not pin uv"),
        ("node", _pin("msgspec", "0.21"), "but >=0.22 is declared"),
        ("toolkit", _pin("click", "8.5"), "does not pin msgspec"),
        ("node", "msgspec==0.22\n", "without a hash"),
        ("node", "--index-url somewhere\n" + _pin("msgspec", "0.22"), "an address or an option"),
        ("node", "msgspec @ file://somewhere\n", "an address or an option"),
        ("toolkit", _pin("click", "8.5") + _pin("msgspec", "0.23"), "two versions of msgspec"),
        ("node", _pin("msgspec", "0.22") + "    # from https://somewhere\n", "an address"),
    ],
)
def test_a_wrong_lock_is_found(tmp_path: Path, lock: str, text: str, finding: str) -> None:
    """Each way in which a lock can be wrong is named."""
    found = list(locks.findings(a_checkout(tmp_path, **{lock: text})))

    assert any(finding in line for line in found), found


def test_the_compile_command_is_exact() -> None:
    """The development lock is compiled with hashes, without the node, held to the other locks."""
    argv = locks.compile_argv("dev", locks.LOCKS["dev"], uv=Path("uv"), upgrade=True)

    assert " ".join(map(str, argv)) == (
        "uv pip compile --quiet --universal --no-annotate --python-version 3.11 --generate-hashes"
        " --no-emit-package aitbc-node --custom-compile-command ./aitbc locks update pyproject.toml"
        " --group pyproject.toml:dev --constraints locks/toolkit.lock"
        " --constraints locks/bootstrap.lock --upgrade --output-file locks/dev.lock"
    )
