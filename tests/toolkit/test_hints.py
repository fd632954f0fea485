"""No failure reaches the operator without a hint, and a hint names the environment of the run."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from aitbc_toolkit import paths
from aitbc_toolkit.cli import hints, main
from aitbc_toolkit.errors import AitbcError, Exit, UsageError

KINDS = {"AitbcError", "UsageError", "ConfigError"}


def failures() -> Iterator[tuple[str, ast.Call]]:
    """Find every place of the toolkit that makes a failure."""
    folder = paths.project_root() / "deploy" / "aitbc_toolkit"
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in KINDS:
                yield f"{path.relative_to(folder)}:{node.lineno}", node


def test_every_failure_of_the_toolkit_has_a_hint() -> None:
    """Who raises knows best what helps, so each place says it."""
    without = [
        where for where, node in failures() if not any(each.arg == "hint" for each in node.keywords)
    ]

    assert without == []


@pytest.mark.parametrize(
    ("written", "whole"),
    [
        ("aitbc tx wait ab12", "aitbc tx wait ab12 -e lab"),
        ("aitbc tx wait ab12 -e dev", "aitbc tx wait ab12 -e dev"),
        (
            "aitbc node stop v1 --force   # stops the mesh",
            "aitbc node stop v1 --force -e lab   # s",
        ),
        ("aitbc status", "aitbc status lab"),
        ("aitbc status dev", "aitbc status dev"),
        ("aitbc status -e dev   # all", "aitbc status -e dev   # all"),
        ("aitbc network status\naitbc status", "aitbc network status -e lab\naitbc status lab"),
        ("aitbc lab list", "aitbc lab list"),
        ("aitbc tx wait --help", "aitbc tx wait --help"),
        ("aitbc nonsense", "aitbc nonsense"),
        ("edit inventories/lab/inventory.toml", "edit inventories/lab/inventory.toml"),
    ],
)
def test_a_hint_names_the_environment_of_the_run(written: str, whole: str) -> None:
    """Who pastes a hint gets the environment that failed, not the one that is chosen."""
    completed = hints.complete(written, root=main.aitbc, environment="lab")

    assert completed.startswith(whole)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("aitbc deploy lab --resume   # or: aitbc rollback lab", "./aitbc deploy lab --resume"),
        ("what v3 wrote: aitbc node logs v3 -e dev", "what v3 wrote: ./aitbc node logs v3 -e dev"),
        ("where it comes from: aitbc --debug up", "where it comes from: ./aitbc --debug up"),
        ("./aitbc sim run --seed 3", "./aitbc sim run --seed 3"),
        ("/opt/aitbc deploy", "/opt/aitbc deploy"),
        ("aitbc-node inspect", "aitbc-node inspect"),
        ("runs as aitbc on lab1", "runs as aitbc on lab1"),
        ("aitbc deployed it", "aitbc deployed it"),
    ],
)
def test_a_command_is_shown_by_the_name_that_was_typed(written: str, shown: str) -> None:
    """In a checkout that is `./aitbc`, and so it can be pasted; other uses of the word stay."""
    assert hints.named(written, "./aitbc", root=main.aitbc).startswith(shown)


def test_hints_and_next_steps_of_a_run_have_the_name_that_was_typed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The one place where failures are put into words knows how the program was started."""
    main.run(["statsu"], program="../aitbc")

    assert "hint: ../aitbc status\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "whole"),
    [
        (["deploy", "lab"], "aitbc deploy lab --break-lease 'it is gone'   # audited"),
        (
            ["node", "stop", "v1"],
            "aitbc node stop v1 --break-lease 'it is gone' -e lab   # audited",
        ),
        (["backup", "lab"], ""),
        ([], ""),
    ],
)
def test_a_hint_repeats_the_command_with_an_option_that_it_has(
    words: list[str], whole: str
) -> None:
    """What is hinted at can be pasted; a command without the option is not hinted at."""
    written = "aitbc ... --break-lease 'it is gone'   # audited"

    assert hints.complete(written, root=main.aitbc, environment="lab", words=words) == whole


def test_a_failure_inside_a_command_gets_its_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`trust remove` of an unknown name hints at the list of the same environment."""
    assert tmp_path
    monkeypatch.setenv("AITBC_ENV", "staging")

    assert main.run(["trust", "remove", "nobody"]) == Exit.USAGE

    assert capsys.readouterr().err.splitlines()[1] == "hint: aitbc trust list -e staging"


@pytest.mark.parametrize(
    ("failure", "hint"),
    [
        (UsageError("x", hint="aitbc lab list"), "aitbc lab list"),
        (UsageError("x", hint=""), "aitbc node list --help"),
        (AitbcError("x", exit_status=Exit.UNREACHABLE, hint=""), "aitbc network status -e dev"),
        (AitbcError("x", hint=""), "where it comes from: aitbc --debug node list -e dev"),
        (KeyboardInterrupt(), "aitbc status dev"),
    ],
)
def test_no_failure_is_without_a_hint(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failure: BaseException,
    hint: str,
) -> None:
    """Even one from below that could not know any, and an interrupt, say where to look."""

    def fail(*_anything: object, **_more: object) -> None:
        raise failure

    monkeypatch.setattr("aitbc_toolkit.cli.node.look", fail)

    main.run(["node", "list", "-e", "dev"])

    error, *rest = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert rest == [f"hint: {hint}"]
