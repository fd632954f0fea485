"""What the exit codes and error kinds promise."""

import re
from pathlib import Path

import pytest

from aitbc_node.errors import AitbcError, ConfigError, Exit, UsageError

ROW = re.compile(r"^\| (\d+) \| ([A-Z_]+) \|", re.MULTILINE)


@pytest.mark.unit
def test_exit_codes_are_the_documented_ones() -> None:
    """The table that people read and the enum that code uses name the same codes."""
    page = Path(__file__).parents[2] / "docs" / "exit-codes.md"

    documented = {name: int(code) for code, name in ROW.findall(page.read_text("utf-8"))}

    assert documented == {code.name: code.value for code in Exit}


@pytest.mark.unit
def test_an_error_carries_its_own_exit_status() -> None:
    """The kind of an error decides the exit status, unless the raiser says otherwise."""
    assert UsageError("x").exit_status == Exit.USAGE
    assert ConfigError("x").exit_status == Exit.CONFIG
    assert AitbcError("x", exit_status=Exit.UNREACHABLE).exit_status == Exit.UNREACHABLE
