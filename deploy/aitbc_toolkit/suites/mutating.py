"""Which changes of the code that decides about blocks and money would no test notice?

mutmut changes quorums, locks, balances and bonds expression by expression, in a copy of the node,
and runs the tests that reach each change; what strict types refuse needs no test. A change that
nobody notices must stand in `docs/mutants.toml` with the reason, and nothing else may stand there.
Run by the nightly stage `mutation`. Do not add rules of the node here.
"""

import argparse
import ast
import difflib
import json
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from aitbc_toolkit import paths, shell
from aitbc_toolkit.errors import AitbcError, Exit

SUITES: Mapping[tuple[str, ...], tuple[str, ...]] = {
    # Quorums and locks.
    (
        "consensus/algorithm.py",
        "consensus/electorate.py",
        "consensus/signing.py",
        "consensus/votes.py",
        "certificates.py",
        "validators.py",
    ): (
        "tests/unit/consensus/test_algorithm.py",
        "tests/unit/consensus/test_quorums.py",
        "tests/unit/consensus/test_replica.py",
        "tests/unit/consensus/test_sign_guard.py",
        "tests/unit/consensus/test_votes.py",
        "tests/unit/test_certificates.py",
        "tests/unit/test_chain.py",
        "tests/unit/test_validators.py",
    ),
    # Balances.
    ("ledger/balances.py", "ledger/fees.py", "ledger/transfers.py"): (
        "tests/unit/ledger/test_balances.py",
        "tests/unit/ledger/test_fees.py",
        "tests/unit/ledger/test_transactions.py",
        "tests/unit/ledger/test_transfers.py",
    ),
    # Bonds, rewards and slashing.
    (
        "ledger/bonding.py",
        "ledger/evidence.py",
        "ledger/rewards.py",
        "ledger/staking.py",
    ): (
        "tests/unit/ledger/test_bonding.py",
        "tests/unit/ledger/test_epochs.py",
        "tests/unit/ledger/test_evidence.py",
        "tests/unit/ledger/test_rewards.py",
        "tests/unit/ledger/test_staking.py",
        "tests/unit/ledger/test_transactions.py",
    ),
}
"""Which modules are changed, and which tests have to notice: quick ones, for there are two
thousand changes."""

MODULES = tuple(module for modules in SUITES for module in modules)
RUN_S_MAX = 4 * 3600.0
_NOTICED, _TIMED_OUT = frozenset({1, 3, 37}), frozenset({24, -24, 152, 255, 36})
"""mutmut's exit codes of what a test or a type found, and of what did not end in time: mostly a
loop without an end, which is noticed, but a machine that was held looks the same."""
_LITERAL = re.compile(r"f?(?:'[^']*'|\"[^\"]*\")")
_MARK = "ǁ"
_ORIGINAL, _CHANGED = "__mutmut_orig", "__mutmut_"


class Mutant(NamedTuple):
    """Name a change by what it does: numbers move with every edit, lines only with their own."""

    place: str
    before: str
    after: str

    @property
    def is_of_words(self) -> bool:
        """Tell whether only a sentence for people reads otherwise: a literal with blanks in it."""
        return _without_prose(self.before) == _without_prose(self.after)

    def __str__(self) -> str:
        """Show it for people, and for the file of explanations."""
        return f"{self.place}: {self.before} -> {self.after}"


def main(arguments: Sequence[str]) -> int:
    """Run all of it, or some modules; tell every change that is not explained."""
    parser = argparse.ArgumentParser(prog="mutating")
    parser.add_argument("modules", nargs="*", default=MODULES, help="below node/aitbc_node")
    wanted: list[str] = list(parser.parse_args(arguments).modules)
    folder = paths.state_root() / "mutation"
    try:
        prepare(folder, wanted)
        noticed, missed, late = run(folder)
    except AitbcError as failure:
        sys.stderr.write(f"error: {failure.message}\n")
        return failure.exit_status
    reasons = explained(paths.project_root() / "docs" / "mutants.toml")
    new, stale = judged(missed, late, reasons, modules=wanted)
    known = len(missed) - len(new)
    lines = [f"{noticed + len(missed)} changes, {noticed} noticed, {known} explained"]
    lines += [f"nobody notices: {mutant}" for mutant in new]
    lines += [f"explained, but noticed or gone: {text}" for text in stale]
    sys.stdout.write("\n".join(lines) + "\n")
    return Exit.FAILED if new or stale else Exit.OK


def judged(
    missed: Sequence[Mutant],
    late: Sequence[Mutant],
    reasons: Collection[str],
    *,
    modules: Sequence[str],
) -> tuple[list[str], list[str]]:
    """Name the changes that nothing explains, and the explanations of these modules that are void.

    The same change may be possible twice in a function; one explanation stands for both. One that
    did not end in time voids no explanation.
    """
    found = {str(mutant) for mutant in (*missed, *late)}
    places = {module.removesuffix(".py").replace("/", ".") for module in modules}
    ours = {text for text in reasons if text.partition(" ")[0] in places}
    new = [str(mutant) for mutant in missed if str(mutant) not in reasons]
    return new, sorted(ours - found)


def prepare(folder: Path, modules: Sequence[str]) -> None:
    """Copy the node and its unit tests into a tree as mutmut wants it, with its configuration."""
    root = paths.project_root()
    shutil.rmtree(folder, ignore_errors=True)
    for package in ("aitbc_node", "aitbc_sim"):
        shutil.copytree(root / "node" / package, folder / "src" / package, ignore=_IGNORED)
    shutil.copytree(root / "tests" / "unit", folder / "tests" / "unit", ignore=_IGNORED)
    shutil.copy2(root / "tests" / "conftest.py", folder / "tests")
    (folder / "pyproject.toml").write_text(_configuration(modules), encoding="utf-8")


def run(folder: Path) -> tuple[int, list[Mutant], list[Mutant]]:
    """Let mutmut work; return how many changes were noticed, those that were not, and the late.

    What changes only words that people read counts as noticed: no test should repeat sentences.

    Raises: AitbcError when it does not come to its end or changes nothing: nothing is proved then.
    """
    shell.run(
        [sys.executable, "-m", "mutmut", "run", "--max-children", str(os.cpu_count() or 1)],
        cwd=folder,
        timeout_s=RUN_S_MAX,
    )
    noticed = 0
    missed: list[Mutant] = []
    late: list[Mutant] = []
    for meta in sorted((folder / "mutants").rglob("*.py.meta")):
        source = meta.with_suffix("")
        outcomes: Mapping[str, int | None] = json.loads(meta.read_text())["exit_code_by_key"]
        slow = {name for name, status in outcomes.items() if status in _TIMED_OUT}
        unseen = {name for name, status in outcomes.items() if status not in _NOTICED} - slow
        found = [mutant for mutant in _described(source, unseen) if not mutant.is_of_words]
        missed += sorted(found)
        late += sorted(_described(source, slow))
        noticed += len(outcomes) - len(found)
    if not noticed and not missed:
        raise AitbcError("mutmut has changed nothing, so nothing is proved", hint=f"see {folder}")
    return noticed, missed, late


def explained(file: Path) -> dict[str, str]:
    """Read why changes that nobody notices are none that matter."""
    groups = tomllib.loads(file.read_text(encoding="utf-8"))["explained"]
    return {mutant: group["why"] for group in groups for mutant in group["mutants"]}


_IGNORED = shutil.ignore_patterns("__pycache__")


def _configuration(modules: Sequence[str]) -> str:
    """Write the `pyproject.toml` of the copy; its own checkout is not found from there."""
    sources = [f"src/aitbc_node/{module}" for module in modules]
    types = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-warn-unused-ignores",
        "--output",
        "json",
        *sources,
    ]
    reaching = [tests for mutated, tests in SUITES.items() if {*mutated} & {*modules}]
    tests = [test for part in reaching for test in part]
    return f"""
[tool.mutmut]
source_paths = ["src"]
only_mutate = {json.dumps(sources)}
do_not_mutate_patterns = ["^ *assert ", "raise [A-Z][A-Za-z]*Error"]
type_check_command = {json.dumps(types)}
pytest_add_cli_args = ["-n0", "-q", "-x", "-p", "no:cacheprovider"]
pytest_add_cli_args_test_selection = {json.dumps(tests)}
track_dependencies = false
use_git_change_detection = false

[tool.mypy]
mypy_path = ["src"]
explicit_package_bases = true
namespace_packages = true
cache_dir = ".mypy_cache"

[tool.pytest.ini_options]
addopts = "--import-mode=importlib"
markers = ["unit", "integration", "sim", "mesh", "lab", "nightly", "proves"]
"""


def _described(source: Path, names: set[str]) -> Iterator[Mutant]:
    """Say what each of these changed functions does otherwise than the function itself."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    functions = {
        node.name: node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    for name in names:
        changed = name.rpartition(".")[2]
        plain = changed.rpartition(_CHANGED)[0]
        before, after = (_lines(functions[key]) for key in (plain + _ORIGINAL, changed))
        delta = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
        yield Mutant(
            _place(name),
            " ".join(line[2:].strip() for line in delta if line[0] == "-"),
            " ".join(line[2:].strip() for line in delta if line[0] == "+"),
        )


def _without_prose(code: str) -> str:
    return _LITERAL.sub(lambda found: "''" if " " in found[0] else found[0], code)


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    function.name = "f"
    return ast.unparse(function).splitlines()


def _place(name: str) -> str:
    """Turn mutmut's name of a change into `module function`."""
    module, _, function = name.rpartition(".")
    plain = function.rpartition(_CHANGED)[0].removeprefix("x")
    parts = plain.strip("_" if plain.startswith("_") and _MARK not in plain else "").split(_MARK)
    return f"{module.removeprefix('aitbc_node.')} {'.'.join(part for part in parts if part)}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
