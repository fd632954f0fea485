"""Which stages prove the project, in which order, and what does each of them run?

A stage is data: programs whose status 0 is a pass, or tests of some kinds. Do not run anything
here; `selftest` does that.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

NIGHTLY = "nightly"
TIERS = ("fast", "ci", NIGHTLY)
_NIGHTLY_TIMES = 8  # whole forms take longer than the reduced ones of the other tiers
_BIN = Path(sys.executable).parent
_AITBC = (sys.executable, "-P", "-m", "aitbc_toolkit.cli.main")
_COVERAGE = (sys.executable, "-m", "coverage")


class Check(NamedTuple):
    """A program whose exit status is the verdict, and the features that a pass proves.

    `whole` are words that ask for its whole form, in the nightly tier. One that `is_suite` plays
    scenarios and prints its record: each of them is a case of the stage, and figures are kept.
    """

    name: str
    argv: tuple[str, ...]
    proves: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    is_suite: bool = False

    def words(self, tier: str) -> tuple[str, ...]:
        """Build the command for a tier."""
        return self.argv + (self.whole if tier == NIGHTLY else ())


class Promise(NamedTuple):
    """What a whole stage shows beside its tests: that it ends in time, proving features."""

    claim: str
    within_s: int
    proves: tuple[str, ...]


class Stage(NamedTuple):
    """One step of `./aitbc test`: either checks or a selection of tests.

    Neighbours that may run together do: their tests mostly wait, for blocks and for hosts.
    `elsewhere` are folders of `tests` that hold none of its tests: to collect them costs each
    worker seconds.
    """

    name: str
    purpose: str
    timeout_s: int
    checks: tuple[Check, ...] = ()
    kinds: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    workers: int = 0
    spread: str = "load"
    needs_root: bool = False
    offline: bool = False
    promise: Promise | None = None
    tiers: tuple[str, ...] = TIERS
    together: bool = False

    def deadline_s(self, tier: str) -> int:
        """Give the seconds after which the stage is ended."""
        return self.timeout_s * (_NIGHTLY_TIMES if tier == NIGHTLY else 1)

    def test_argv(self, *, junit: Path, tier: str) -> list[str]:
        """Build the pytest command of a stage that selects tests."""
        assert self.kinds, f"stage {self.name} selects no tests"
        argv = [sys.executable, "-m", "pytest", "-q", "-m", " or ".join(self.kinds)]
        argv += [f"--{kind}" for kind in self.kinds if kind in {"mesh", "lab"}]
        argv += [f"--ignore=tests/{folder}" for folder in self.elsewhere]
        if self.workers:
            argv += ["-n", str(self.workers), "--dist", self.spread]
        return [*argv, "--tier", tier, f"--junitxml={junit}"]


STAGES: Sequence[Stage] = (
    Stage(
        "lint",
        "ruff: rules and format",
        120,
        checks=(
            Check(
                "ruff check",
                (str(_BIN / "ruff"), "check", "--output-format=concise", "."),
                ("B18",),
            ),
            Check("ruff format", (str(_BIN / "ruff"), "format", "--check", ".")),
        ),
    ),
    Stage(
        "types",
        "mypy: every package, strict",
        600,
        checks=(Check("mypy", (str(_BIN / "mypy"),), ("B18",)),),
        together=True,
    ),
    # Beside mypy, which uses one core: what is compiled here, no stage compiles again.
    Stage(
        "imports",
        "import-linter: who may import what; and every test can be imported",
        300,
        checks=(
            Check("lint-imports", (str(_BIN / "lint-imports"),)),
            Check("tests", (sys.executable, "-m", "pytest", "--collect-only", "-qq")),
        ),
        together=True,
    ),
    Stage(
        "unit",
        "pure parts, without a network",
        900,
        kinds=("unit",),
        elsewhere=("sim", "mesh", "lab", "toolkit/deploys"),
        workers=2,
        offline=True,
        promise=Promise("all of them pass offline within 60 s", 60, ("E59",)),
    ),
    Stage(
        "coverage",
        "branches of what decides about blocks and money: at least 95 % of each part",
        600,
        checks=(
            Check(
                "unit tests under coverage",
                (*_COVERAGE, "run", "-m", "pytest", "-q", "-n0", "tests/unit"),
            ),
            *(
                Check(part, (*_COVERAGE, "report", f"--include=*/aitbc_node/{part}"))
                for part in ("consensus/*", "ledger/*", "machine.py", "storage/*")
            ),
        ),
        tiers=(NIGHTLY,),
    ),
    Stage(
        "mutation",
        "changes of quorums, locks and balances that no test would notice",
        900,
        checks=(Check("mutmut", (sys.executable, "-m", "aitbc_toolkit.suites.mutating")),),
        tiers=(NIGHTLY,),
    ),
    # By file: the tests of the sweep share one sweep.
    Stage(
        "sim",
        "simulator seeds",
        900,
        kinds=("sim",),
        elsewhere=("unit", "toolkit", "mesh", "lab"),
        workers=2,
        spread="loadfile",
    ),
    Stage(
        "fuzz",
        "bytes that nobody sent yet, for every reader of foreign bytes",
        900,
        checks=(
            Check(
                "fuzzing",
                # A verdict on a commit can be repeated; new ground is for the night.
                (sys.executable, "-m", "aitbc_toolkit.suites.fuzzing", "--seed", "1"),
                whole=("--inputs", "1000000", "--seed", "0"),
            ),
        ),
        tiers=("ci", NIGHTLY),
        together=True,
    ),
    Stage(
        "tools",
        "programs and files of this machine",
        2100,
        kinds=("integration",),
        elsewhere=("sim", "mesh", "lab"),
        workers=4,
        spread="worksteal",
        together=True,
    ),
    # A file's tests share a mesh; meshes have ports of their own.
    Stage(
        "mesh",
        "meshes of real processes on this machine",
        2100,
        kinds=("mesh",),
        elsewhere=("unit", "sim", "toolkit", "lab"),
        workers=2,
        spread="loadfile",
        tiers=("ci", NIGHTLY),
        together=True,
    ),
    Stage(
        "lab",
        "lab hosts",
        1800,
        kinds=("lab",),
        elsewhere=("unit", "sim", "toolkit", "mesh"),
        needs_root=True,
        tiers=("ci", NIGHTLY),
        together=True,
    ),
    # Behind the others: how soon a mesh is back is measured, and two of them take an hour each.
    Stage(
        "scenarios",
        "every built-in scenario in its whole form, on two labs of their own",
        1800,
        checks=(
            Check(
                "all",
                (*_AITBC, "test", "all", "-e", "lab", "-n", "2", "--tier", NIGHTLY, "--json"),
                is_suite=True,
            ),
        ),
        needs_root=True,
        tiers=(NIGHTLY,),
    ),
)


def groups(stages: Sequence[Stage]) -> list[list[Stage]]:
    """Cut stages into groups that run one after another, each with its stages side by side."""
    cut: list[list[Stage]] = []
    for stage in stages:
        if cut and stage.together and cut[-1][-1].together:
            cut[-1].append(stage)
        else:
            cut.append([stage])
    return cut
