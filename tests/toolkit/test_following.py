"""`aitbc node logs -f` prints each line once, whatever the windows hold."""

from typing import Any

import pytest

from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.release import following


@pytest.mark.parametrize(
    ("seen", "now", "new"),
    [
        ([], ["a"], ["a"]),
        (["a", "b"], ["a", "b"], []),
        (["a", "b"], ["a", "b", "c"], ["c"]),
        (["a", "b", "c"], ["b", "c", "d"], ["d"]),
        (["a", "a"], ["a", "a", "a"], ["a"]),
        (["a", "b"], ["x", "y"], ["x", "y"]),
    ],
)
def test_only_what_is_new_is_printed(seen: list[str], now: list[str], new: list[str]) -> None:
    """Two windows overlap, or the node wrote more than a window between them."""
    assert list(following.newer(seen, now)) == new


class Windows:
    """Stand in the place of the hosts: one answer after the other, then Ctrl-C or silence."""

    def __init__(self, *answers: dict[str, Any] | BaseException) -> None:
        self.answers = list(answers)

    def watch(self, _names: object, *, lines: int) -> dict[str, Any]:
        assert lines == following.WINDOW
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Windows:
    """Let the node's host give two windows, and end with Ctrl-C."""
    made = Windows({"v1": {"log": ["a", "b"]}}, {"v1": {"log": ["b", "c"]}}, KeyboardInterrupt())

    def crew(environment: object, _remote: object) -> Windows:
        made.environment = environment  # type: ignore[attr-defined]
        return made

    monkeypatch.setattr(following, "Crew", crew)
    monkeypatch.setattr(following, "PAUSE_S", 0.0)
    return made


@pytest.mark.usefixtures("windows")
def test_follow_prints_on_until_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    """The newest lines first, then each new one; Ctrl-C is how it is meant to end."""
    assert run(["node", "logs", "v1", "-f", "-n", "1", "-e", "dev"]) == Exit.OK

    shown = capsys.readouterr()
    assert (shown.out.splitlines(), shown.err) == (["b", "c"], "")


def test_a_host_that_goes_silent_ends_it(windows: Windows) -> None:
    """Silence is told, never taken for a node that writes nothing."""
    windows.answers = [{"v1": {"log": ["a"]}}, {}]

    with pytest.raises(AitbcError, match="host localhost does not answer") as ended:
        list(following.follow(Inventory.load("dev"), "v1", lines=5))

    assert (ended.value.exit_status, ended.value.hint) == (Exit.UNREACHABLE, "aitbc status dev")
