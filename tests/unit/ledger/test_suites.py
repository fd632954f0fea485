"""The suites themselves: each module of rules has its own."""

from pathlib import Path

import pytest

from aitbc_node import ledger


@pytest.mark.proves("A20")
def test_every_module_of_the_ledger_has_a_suite_of_its_own() -> None:
    """Accounts, assets, transfers, fees, state and the rest: a failure names its module.

    That no suite of this folder touches network, process or disk is enforced while it runs.
    """
    modules = {path.stem for path in Path(ledger.__file__).parent.glob("*.py")} - {"__init__"}
    suites = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}

    assert modules >= {"accounts", "assets", "transfers", "fees", "state"}
    assert modules - suites == set()
