"""Each of the 28 checks of a deploy has a test that bears its number, and each exit code one.

The name is `test_check_NN_what_it_shows`, for the ninth `test_check_09_CODE_what_it_shows`. What is
shown by nobody stands here with its reason: a test that goes away is missed, and so is a reason
that is out of date.

A name says nothing of the tier. On real nodes checks 4, 5, 16 and 18 are shown by the nightly tier
only, and check 11 on hosts, too; what CI runs of them are stand-ins and units.
"""

import ast
import functools
import re
from collections.abc import Collection

import pytest

from aitbc_toolkit import paths
from aitbc_toolkit.errors import Exit

CHECKS = frozenset(range(1, 29))
OUTCOMES = 9
# What a suite concludes is no outcome of a deploy: `tests/toolkit/test_suite_*.py` show these.
OF_SUITES = frozenset(range(10, 17))

ABSENT: dict[int, str] = {}
ABSENT_CODES: dict[int, str] = {}

NAME = re.compile(r"test_check_(\d\d)_(?:(\d+)_)?[a-z]\w+")


@functools.cache
def names() -> frozenset[str]:
    """Find every test that says that it is a check's."""
    found = set()
    for path in (paths.project_root() / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_check_"):
                found.add(node.name)
    return frozenset(found)


def missing(found: Collection[str]) -> set[int]:
    """List the checks that no test is named after."""
    return CHECKS - {int(match[1]) for name in found if (match := NAME.fullmatch(name))}


def missing_codes(found: Collection[str]) -> set[int]:
    """List the exit codes that no test of the ninth check is named after."""
    matches = [match for name in found if (match := NAME.fullmatch(name))]
    shown = {int(match[2]) for match in matches if int(match[1]) == OUTCOMES and match[2]}
    return {int(code) for code in Exit} - OF_SUITES - shown


def test_every_check_is_shown_or_known_to_be_absent() -> None:
    """1 to 28: a test, or a reason."""
    assert missing(names()) == set(ABSENT)


def test_every_exit_code_is_shown_or_known_to_be_absent() -> None:
    """The table of `docs/exit-codes.md`: a test, or a reason."""
    assert missing_codes(names()) == set(ABSENT_CODES)


def test_the_names_of_checks_can_be_searched_for() -> None:
    """Two digits, and a word after them: `test_check_05`, never `test_check_5`."""
    assert [name for name in names() if not NAME.fullmatch(name)] == []


@pytest.mark.parametrize("number", sorted(CHECKS))
def test_a_check_whose_tests_go_away_is_missed(number: int) -> None:
    """Planted: without the tests of one check, it is that one which is missing."""
    left = [name for name in names() if not name.startswith(f"test_check_{number:02}_")]

    assert number in missing(left)
