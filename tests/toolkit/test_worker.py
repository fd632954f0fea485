"""The child process that speaks pyinfra: started early, taken once, gone when nobody asks."""

import json
from pathlib import Path

from aitbc_toolkit import worker

_DEADLINE_S = 90.0


def test_the_child_that_was_started_early_is_the_one_that_is_taken() -> None:
    """Who asks first gets the early child; who asks next gets another."""
    worker.start_early()
    (early,) = worker._spare

    first, second = worker.take(), worker.take()

    assert first is early
    assert second is not early
    for child in (first, second):
        child.communicate(timeout=_DEADLINE_S)


def test_a_child_that_nobody_asks_ends_with_its_input_and_says_nothing() -> None:
    """A command that came to no host leaves no process and no traceback behind."""
    child = worker.take()

    said, _ = child.communicate(timeout=_DEADLINE_S)

    assert (child.returncode, said) == (0, "")


def test_what_a_library_says_goes_to_the_environments_log(tmp_path: Path) -> None:
    """Answers alone stand on standard output; the log is where the hello says."""
    log = tmp_path / "deploys.log"
    child = worker.take()

    said, _ = child.communicate(
        json.dumps({"hosts": {}, "log": str(log)}) + "\n", timeout=_DEADLINE_S
    )

    assert (child.returncode, said) == (0, "")
    assert log.is_file()
