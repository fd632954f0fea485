"""What no test would notice is told, explained once, and never explained in vain."""

import ast
from pathlib import Path

import pytest

from aitbc_toolkit import paths
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.suites import mutating
from aitbc_toolkit.suites.mutating import Mutant

HALF = Mutant("ledger.fees half", "return fee // 2", "return fee / 2")
WHOLE = Mutant("ledger.fees whole", "return fee", "return None")


def test_a_change_that_nobody_notices_needs_an_explanation() -> None:
    """One that has it is fine; without, it is named as the file of explanations wants it."""
    new, void = mutating.judged([HALF, WHOLE], [], {str(HALF)}, modules=["ledger/fees.py"])

    assert (new, void) == (["ledger.fees whole: return fee -> return None"], [])


def test_an_explanation_of_what_is_noticed_has_to_go() -> None:
    """Of a module that was run, and in time; nothing is said about the others."""
    reasons = {str(HALF), "consensus.votes Tally.add: a -> b"}

    void = mutating.judged([], [], reasons, modules=["ledger/fees.py"])
    late = mutating.judged([], [HALF], reasons, modules=["ledger/fees.py"])

    assert (void, late) == (([], [str(HALF)]), ([], []))


@pytest.mark.parametrize(
    ("before", "after", "of_words"),
    [
        ("return 'not a vote'", "return 'XXnot a voteXX'", True),
        ("return f'{power} of {total}'", "return f'XX{power} of {total}XX'", True),
        ("return Refusal(f'o[{n}]', 'too few')", "return Refusal(f'o[{n}]', 'TOO FEW')", True),
        ("return Refusal('outs', 'too few')", "return Refusal('OUTS', 'too few')", False),
        ("return 'known'", "return 'KNOWN'", False),
        ("return 'not a vote'", "return None", False),
    ],
)
def test_sentences_for_people_may_read_otherwise(
    before: str, after: str, *, of_words: bool
) -> None:
    """A word that programs read is none: it has no blanks."""
    assert Mutant("m f", before, after).is_of_words is of_words


def test_every_explanation_has_a_reason_and_a_place_that_is_mutated() -> None:
    """The file is what the nightly run compares with; each change stands there once."""
    reasons = mutating.explained(paths.project_root() / "docs" / "mutants.toml")
    modules = {module.removesuffix(".py").replace("/", ".") for module in mutating.MODULES}

    assert all(len(why) > 20 for why in reasons.values())
    assert {text.partition(" ")[0] for text in reasons} <= modules


def test_a_run_that_changed_nothing_has_proved_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program may end well and have found no place to change: that is no pass."""
    monkeypatch.setattr("aitbc_toolkit.shell.run", lambda *_argv, **_more: None)

    with pytest.raises(AitbcError, match="has changed nothing"):
        mutating.run(tmp_path)


@pytest.mark.integration
def test_an_untested_quorum_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its tests only what is explained survives; without them the quorum itself does."""
    electorate = "consensus/electorate.py"
    monkeypatch.setattr("aitbc_toolkit.paths.state_root", lambda: tmp_path)
    votes, quorums = (f"tests/unit/consensus/test_{name}.py" for name in ("votes", "quorums"))

    monkeypatch.setattr(mutating, "SUITES", {(electorate,): (votes, quorums)})
    tested = mutating.main([electorate])
    said = capsys.readouterr()
    monkeypatch.setattr(mutating, "SUITES", {(electorate,): (votes,)})
    untested = mutating.main([electorate])

    assert (tested, said.err) == (Exit.OK, ""), said.out
    assert untested == Exit.FAILED
    line = "Electorate.is_quorum: return 3 * power > 2 * self.total -> return 3 * power >="
    assert line in capsys.readouterr().out
    assert ast.parse((tmp_path / "mutation/src/aitbc_node/consensus/electorate.py").read_text())
