"""The fuzzer finds what breaks a decoder, makes it small, keeps it, and says how to repeat it."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from aitbc_toolkit import paths
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.suites import fuzzing
from aitbc_toolkit.suites.fuzz import breaking
from aitbc_toolkit.suites.fuzz.decoder import Decoder


def planted(data: bytes) -> bool:
    """Break on one letter, as a decoder with a defect does."""
    if b"!" in data:
        raise KeyError(data)
    return bool(data)


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two decoders, one of them with a defect, tried blindly, since they are not instrumented."""
    decoders = {
        name: Decoder(name, take, lambda: (b"good bytes, and more of them",), is_packed=False)
        for name, take in (("broken", planted), ("sound", bool))
    }
    monkeypatch.setattr(breaking, "load", lambda: (breaking.Blind(), decoders))
    monkeypatch.setattr(paths, "state_root", lambda: tmp_path)
    return tmp_path / "fuzz"


def test_a_defect_is_found_made_small_and_kept(tried: Path, capsys: Any) -> None:
    """Of all the bytes one is left, in a file of its own, with the line that repeats it."""
    status = fuzzing.main(["--inputs", "20000", "--seed", "7", "--json"])

    told = json.loads(capsys.readouterr().out)
    rows = {row["decoder"]: row for row in told["decoders"]}
    (kept,) = (tried / "found").iterdir()
    assert status == Exit.FAILED
    assert kept.read_bytes() == b"!"
    assert "KeyError in test_fuzzing.py:planted" in rows["broken"]["failure"]
    assert f"--replay broken {kept}" in rows["broken"]["failure"]
    assert (rows["sound"]["inputs"], rows["sound"]["failure"]) == (20_000, "")
    assert told["found"] == 1
    assert json.loads((tried / "last.json").read_text()) == told


def test_a_kept_input_is_given_again(tried: Path) -> None:
    """The line that was printed shows the defect, or that it is gone."""
    tried.mkdir()
    (tried / "one").write_bytes(b"what!")

    with pytest.raises(KeyError):
        fuzzing.main(["--replay", "broken", str(tried / "one")])
    assert fuzzing.main(["--replay", "sound", str(tried / "one")]) == Exit.OK


def test_an_input_that_takes_too_long_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is counted as the processor's, so that a busy machine is no defect."""
    monkeypatch.setattr(breaking, "CPU_S_MAX", 0.0)
    trial = breaking.Trial(Decoder("slow", lambda _: True, tuple), Path(), 0.0)

    with pytest.raises(breaking.SlowError):
        trial.take(b"x")
    assert (trial.inputs, trial.understood) == (1, 1)


def test_no_decoder_of_that_name(tried: Path, capsys: Any) -> None:
    """The hint names those that there are."""
    assert fuzzing.main(["nonsense"]) == Exit.USAGE
    assert "broken sound" in capsys.readouterr().err
    assert not tried.exists()


def test_so_many_inputs_take_as_long_as_they_take() -> None:
    """A million of a slow decoder is no hang: only a run by time is ended when it is over time."""
    asked = argparse.Namespace(seconds=60, jobs=2, inputs=0)
    assert fuzzing.budget_of(asked, 4) == fuzzing.Budget(seconds=30)

    asked.inputs = 1_000_000
    assert fuzzing.budget_of(asked, 4) == fuzzing.Budget(inputs=1_000_000)
