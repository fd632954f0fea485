"""Which verbs decide about what an earlier run has armed? Read from their own calls."""

import ast
from pathlib import Path

import pytest

from aitbc_toolkit import release

pytestmark = pytest.mark.unit

DECIDE = {"deploy", "resuming", "rollback", "meshing"}


def undecided(text: str) -> list[int]:
    """List the lines that take an environment and do not say that they decide nothing."""
    calls = [each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.Call)]
    return [
        call.lineno
        for call in calls
        if ast.unparse(call.func).rpartition(".")[2] == "at_work"
        and "decides" not in {more.arg for more in call.keywords}
    ]


def test_only_those_who_go_on_or_back_disarm_a_run_that_is_not_proved() -> None:
    """Whoever else holds an environment says so: without the word a switch is disarmed."""
    folder = Path(release.__file__).parent
    found = {path.stem for path in folder.glob("*.py") if undecided(path.read_text())}

    assert found == DECIDE


def test_a_call_that_leaves_the_word_out_is_found() -> None:
    """The guard sees it, by either way of calling."""
    text = 'at_work(here, tell, reason="keys")\noccupation.at_work(here, tell, decides=False)\n'

    assert undecided(text) == [1]
