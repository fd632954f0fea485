"""One host of a lab is off: every command that needs it says so in one line and ends as agreed."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from aitbc_toolkit import lab as labs
from aitbc_toolkit import paths
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.lab import LabSpec, Limits
from aitbc_toolkit.lab.places import Places

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def name(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bring up four hosts and cut the power of the second; nothing is deployed on them."""
    state = tmp_path_factory.mktemp("state")
    spec = LabSpec(f"s{secrets.token_hex(3)}", 4, Limits(memory_mib=768, disk_mib=384))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "state_root", lambda override=None: Path(override or state))
        patch.setenv("AITBC_STATE", str(state))
        places = Places(state=state)
        lab = labs.bring_up(spec, progress=print, places=places, owner_pid=os.getpid())
        try:
            labs.power_cut(lab, "lab2", places=places)
            yield spec.name
        finally:
            labs.destroy(spec.name, places=places)


@pytest.mark.parametrize(
    ("words", "status", "hint"),
    [
        ("lab exec NAME lab2 true", Exit.UNREACHABLE, "aitbc lab up NAME"),
        ("lab shell NAME lab2", Exit.UNREACHABLE, "aitbc lab up NAME"),
        ("node logs v2 -e lab-NAME", Exit.UNREACHABLE, "aitbc status lab-NAME"),
        ("node start v2 -e lab-NAME", Exit.UNREACHABLE, "aitbc lab up NAME"),
        ("node status v2 -e lab-NAME", Exit.UNREACHABLE, "aitbc network status -e lab-NAME"),
        ("tx wait ID --node v2 -e lab-NAME", Exit.UNREACHABLE, "aitbc network status -e lab-NAME"),
        ("deploy lab-NAME", Exit.REFUSED, "aitbc lab up NAME"),
    ],
)
def test_a_host_that_is_off_is_one_line_and_a_hint(
    words: str, status: Exit, hint: str, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """69 for what could not be reached, 20 for a deploy that was refused before any change."""
    ended = run(words.replace("NAME", name).replace("ID", "ab" * 32).split())

    lines = capfd.readouterr().err.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert (ended, len(errors)) == (status, 1), lines
    assert any(line.startswith(f"hint: {hint.replace('NAME', name)}") for line in lines), lines
    assert "Traceback" not in "".join(lines)


def test_the_others_are_shown_beside_it(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """`status` and `lab list` answer, and name the host or node that does not."""
    assert run(["status", f"lab-{name}"]) == Exit.OK
    rows = capfd.readouterr().out.splitlines()[1:5]
    services = [row.split()[4] for row in rows]
    assert (services[1], services.count("unknown")) == ("unknown", 1)

    assert run(["lab", "list"]) == Exit.OK
    assert "4 of 5 hosts run, off: lab2" in capfd.readouterr().out
