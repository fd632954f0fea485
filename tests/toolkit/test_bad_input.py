"""Every command, with every kind of bad input: one clear line, a hint, the right status.

The commands are found in the tree, so that a new one is walked without a word here. Only mistakes
that are noticed before anything is done are walked; `test_bad_input_mesh.py` has nodes that answer
badly or not at all, and `tests/lab/test_silent_host.py` a host that is off.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from command_tree import COMMANDS

from aitbc_toolkit import paths
from aitbc_toolkit.cli import main
from aitbc_toolkit.errors import Exit

# A word that is good as such, by the name of the parameter; others take any word.
GOOD = {
    "tx_id": "ab" * 32,
    "suite": "smoke",
    "given": "release",
    "public_key": "ssh-ed25519 AAAA",
    "amount": "1",
    "recipient": "faucet",
    "seed": "1",
    "threshold": "2",
    "decimals": "2",
    "port": "80",
}


ABOUT_ENVIRONMENTS = {
    path: command
    for path, command in COMMANDS.items()
    if any(each.name == "environment" for each in command.params)
}


def words(path: Sequence[str], environment: str, folder: Path) -> list[str]:
    """Write a good command line of a command, about an environment."""
    options: list[str] = []
    arguments: list[str] = []
    for each in COMMANDS[tuple(path)].params:
        assert each.name is not None
        is_file = isinstance(each.type, click.File | click.Path)
        word = GOOD.get(each.name, str(folder / "file") if is_file else "word")
        if isinstance(each.type, click.Choice):
            word = str(each.type.choices[0])
        if isinstance(each, click.Argument):
            if each.name == "environment":
                arguments.append(environment)
            elif each.required or each.name in GOOD:
                arguments.append(word)
        elif each.name == "environment":
            options += ["--env", environment]
        elif each.required or each.name in {"key", "reason", "recipient", "amount"}:
            options += [each.opts[0], word]
    return [*path, *options, *arguments]


def named(path: Sequence[str]) -> str:
    """Name a test after its command."""
    return "-".join(path)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep what the operator of this machine chose, and what runs leave behind, out of it."""
    monkeypatch.setattr(paths, "state_root", lambda *_override: tmp_path / "state")
    monkeypatch.setenv("AITBC_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("AITBC_ENV", raising=False)
    monkeypatch.setattr("aitbc_toolkit.release.meshing.deploy", _never)
    monkeypatch.setattr("aitbc_toolkit.release.meshing._stop", _never)
    monkeypatch.setattr("aitbc_toolkit.benchmarks.deploying.measure", _never)
    monkeypatch.setattr("aitbc_toolkit.benchmarks.throughput.measure", _never)
    monkeypatch.setattr("aitbc_toolkit.benchmarks.whole.measure", _never)
    (tmp_path / "file").write_bytes(b"x")


def _default(path: Sequence[str]) -> object:
    """Tell which environment a command means whatever is chosen, if it does."""
    (named,) = (each for each in COMMANDS[tuple(path)].params if each.name == "environment")
    return named.default if isinstance(named.default, str) else ""


def _never(*_anything: object, **_more: object) -> None:
    pytest.fail("bad input has come as far as to change a mesh")


def refused(capsys: pytest.CaptureFixture[str], words: list[str], status: Exit) -> list[str]:
    """Run a command line; require its status, one `error:`, hints last, and nothing else said."""
    ended = main.run(words)

    shown = capsys.readouterr()
    lines = [line for line in shown.err.splitlines() if not line.startswith("up: ")]
    told = f"{words} ended with {ended}:\n{shown.err}"
    assert ended == status, told
    assert [line.startswith("error: ") for line in lines].count(True) == 1, told
    assert lines[0].startswith("error: "), told
    assert lines[-1].startswith("hint: "), told
    assert len(lines[-1]) > len("hint: "), told
    assert "Traceback" not in shown.err, told
    assert shown.out == "", told
    assert not (paths.state_root() / "crashes").exists(), told
    return lines


@pytest.mark.parametrize("path", COMMANDS, ids=named)
def test_an_unknown_option_is_64(path: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The option is named, and the command's help or the nearest option is the hint."""
    lines = refused(capsys, [*path, "--no-such-option"], Exit.USAGE)

    assert "--no-such-option" in lines[0] or "lab exec" in " ".join(path)


@pytest.mark.parametrize("path", COMMANDS, ids=named)
def test_one_word_too_many_is_64(
    path: Sequence[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A word that means nothing is refused before anything is done."""
    if any(each.nargs == -1 for each in COMMANDS[tuple(path)].params):
        pytest.skip("takes any number of words")
    full = [*words(path, "dev", tmp_path)]
    optional = [
        each
        for each in COMMANDS[tuple(path)].params
        if isinstance(each, click.Argument) and not each.required and each.name not in GOOD
    ]
    spare = sum(each.name != "environment" for each in optional)

    refused(capsys, [*full, *["word"] * spare, "one-too-many"], Exit.USAGE)


@pytest.mark.parametrize("path", ABOUT_ENVIRONMENTS, ids=named)
@pytest.mark.parametrize("how", ["word", "variable"])
def test_check_09_64_an_unknown_environment(
    path: Sequence[str],
    how: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its nearest name is told, wherever the wrong one came from."""
    line = words(path, "stagin", tmp_path)
    if how == "variable":
        if _default(path):
            pytest.skip("means one environment unless another is named")
        monkeypatch.setenv("AITBC_ENV", "stagin")
        at = line.index("stagin")
        line = line[: at - (line[at - 1] == "--env")] + line[at + 1 :]

    lines = refused(capsys, line, Exit.USAGE)

    assert lines[0] == "error: unknown environment 'stagin', the nearest is staging"


FRACTIONS = [
    (path, each.opts[0])
    for path, command in COMMANDS.items()
    for each in command.params
    if isinstance(each.type, click.types.FloatParamType)
]


@pytest.mark.parametrize("word", ["nan", "-nan", "inf", "-inf", "1e308", "1e999", "x"])
@pytest.mark.parametrize(
    ("path", "option"), FRACTIONS, ids=lambda each: each if isinstance(each, str) else named(each)
)
def test_a_number_that_nothing_can_be_worked_out_with_is_64(
    path: Sequence[str],
    option: str,
    word: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """`nan` is less than no bound; what never ends, or comes infinitely often, is no run."""
    lines = refused(capsys, [*words(path, "dev", tmp_path), option, word], Exit.USAGE)

    assert lines[0].startswith(f"error: invalid value for '{option}'")
    assert lines[-1] == f"hint: aitbc {' '.join(path)} --help"


@pytest.mark.parametrize("path", ABOUT_ENVIRONMENTS, ids=named)
def test_an_empty_environment_is_64(
    path: Sequence[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """An unset variable of a script never means the environment that happens to be chosen."""
    lines = refused(capsys, words(path, "", tmp_path), Exit.USAGE)

    assert lines[0].endswith(" is empty")


@pytest.mark.parametrize("path", ABOUT_ENVIRONMENTS, ids=named)
@pytest.mark.parametrize("broken", ["typo", "no-toml"])
def test_check_09_78_a_broken_inventory(
    path: Sequence[str],
    broken: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The file and the key are named, and the hint says what to edit."""
    folder = tmp_path / "inventories"
    (folder / "dev").mkdir(parents=True)
    text = (paths.inventories() / "dev" / "inventory.toml").read_text(encoding="utf-8")
    text = text.replace("block_interval_ms", "block_intervall_ms") if broken == "typo" else "[x"
    (folder / "dev" / "inventory.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(paths, "inventories", lambda: folder)

    lines = refused(capsys, words(path, "dev", tmp_path), Exit.CONFIG)

    assert "dev/inventory.toml: " in lines[0]
    assert lines[-1].startswith("hint: edit ")


ABOUT_NODES = [path for path in COMMANDS if path[0] == "node" and path != ("node", "list")]


@pytest.mark.parametrize("path", ABOUT_NODES, ids=named)
def test_an_unknown_node_is_64(
    path: Sequence[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The nodes that there are stand in the hint."""
    lines = refused(capsys, words(path, "dev", tmp_path), Exit.USAGE)

    assert lines[0] == "error: dev has no node 'word'"
    assert lines[-1] == "hint: it has v1, v2, v3, v4"


@pytest.mark.parametrize("verb", ["deploy", "rollback", "up", "down"])
def test_programs_are_told_the_same_as_people(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json the last record holds error, hint and status of a failure."""
    ended = main.run([verb, "stagin", "--json"])

    last: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (ended, last["type"], last["exit"]) == (Exit.USAGE, "result", Exit.USAGE)
    assert last["error"].startswith("unknown environment 'stagin'")
    assert last["hint"].startswith("the environments are ")


@pytest.mark.parametrize(
    "words",
    [
        "deploy dev",
        "up",
        "trust verify",
        "release cut dev --key x",
        "release show",
        "release verify rel/dev/1",
        "approvals dev --ask HEAD",
    ],
)
def test_without_git_it_is_78(words: str, tmp_path: Path) -> None:
    """Whatever needs git says so in one line; each in a process that has not found it yet."""
    argv = [sys.executable, "-P", "-m", "aitbc_toolkit.cli.main", *words.split()]
    nowhere = {"PATH": str(tmp_path), "HOME": str(tmp_path)}

    ran = subprocess.run(argv, env=nowhere, capture_output=True, text=True, check=False)

    *_, error, hint = ran.stderr.splitlines()
    assert (ran.returncode, ran.stdout) == (Exit.CONFIG, ""), ran.stderr
    assert error.startswith("error: git ")
    assert hint.startswith("hint: ")


@pytest.mark.parametrize(
    "words",
    [
        ["lab", "down", "nope"],
        ["lab", "destroy", "nope"],
        ["lab", "shell", "nope", "lab1"],
        ["lab", "exec", "nope", "lab1", "true"],
    ],
    ids=" ".join,
)
def test_an_unknown_lab_is_64(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hint lists the labs; it does not make one of a wrong name."""
    monkeypatch.setattr("aitbc_toolkit.lab.lifecycle.require_root", lambda: None)

    lines = refused(capsys, words, Exit.USAGE)

    assert lines == ["error: no lab is called 'nope'; there is none", "hint: aitbc lab list"]


@pytest.mark.parametrize(
    ("line", "status", "error", "hint"),
    [
        ("audit show dev --last 0", 64, "invalid value for '--last'", "aitbc audit show --help"),
        ("audit show dev --last -1", 64, "invalid value for '--last'", "aitbc audit show --help"),
        ("backup dev --to /proc/x", 64, "/proc/x cannot be made", "aitbc backup dev"),
        ("keys backup dev --to README.md", 78, "README.md is no SSH key: ", "ssh-keygen -t ed25"),
        (
            "config set profile.log_level LOUD -e dev",
            64,
            "input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR', found 'LOUD'",
            "aitbc config get profile.log_level -e dev   # what it is now",
        ),
        (
            "config set profile.network_size -1 -e dev",
            64,
            "profile.network_size: input should be greater than",
            "aitbc config get profile.network_size -e dev",
        ),
        ("load run no.yaml", 64, "there is no scenario file no.yaml", "aitbc load list"),
        ("load compare 1 2 --scenario no.yaml", 64, "no scenario file no.yaml", "aitbc load list"),
        ("test partition/no.yaml -e dev", 64, "no scenario file partition/no.yaml", "known: smoke"),
        ("up staging", 20, "up and down are for dev and lab", "aitbc deploy staging"),
        ("down staging", 20, "up and down are for dev and lab", "aitbc node stop NAME -e staging"),
        ("rollback --to 5", 64, "unknown option '--to'", "aitbc rollback --help"),
        (
            "keys rotate v1 --break-lease",
            64,
            "option '--break-lease' requires an argument",
            "aitbc keys rotate --help",
        ),
        ("node logs v1 --line 5", 64, "unknown option '--line'", "aitbc node logs --help"),
    ],
)
def test_a_bad_value_is_refused_before_anything_is_done(
    capsys: pytest.CaptureFixture[str], line: str, status: int, error: str, hint: str
) -> None:
    """What is wrong is named, and what is hinted at is not nonsense."""
    lines = refused(capsys, line.split(), Exit(status))

    assert error in lines[0]
    assert lines[-1].startswith(f"hint: {hint}")


def test_env_list_shows_the_others_beside_a_broken_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One broken file does not hide the environments that are right; status 78 tells."""
    folder = tmp_path / "inventories"
    for name in ("dev", "lab"):
        (folder / name).mkdir(parents=True)
        text = (paths.inventories() / name / "inventory.toml").read_text(encoding="utf-8")
        (folder / name / "inventory.toml").write_text(text, encoding="utf-8")
    (folder / "lab" / "inventory.toml").write_text("[x", encoding="utf-8")
    monkeypatch.setattr(paths, "inventories", lambda: folder)

    assert main.run(["env", "list"]) == Exit.CONFIG

    shown = capsys.readouterr()
    assert "* dev " in shown.out
    assert "lab/inventory.toml: not TOML" in shown.err.splitlines()[0]
    assert shown.err.splitlines()[1].startswith("hint: edit ")
