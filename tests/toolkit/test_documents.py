"""What the documents and the hints tell people to type and to read exists."""

import ast
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
from command_tree import COMMANDS

from aitbc_toolkit import paths
from aitbc_toolkit.cli import main
from aitbc_toolkit.errors import Exit

ROOT = paths.project_root()
SHELL_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
KNOWN_AT_RUN_TIME = "<value>"
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def documents() -> list[Path]:
    """List the committed documents."""
    argv = ["git", "ls-files", "-z", "*.md"]
    listed = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).exists()]


def typed() -> list[str]:
    """List each line that a document tells people to type, with its document."""
    lines = []
    for path in documents():
        for block in SHELL_BLOCK.findall(path.read_text(encoding="utf-8")):
            for line in block.splitlines():
                command = line.split("#")[0].strip()
                if command:
                    lines.append(f"{path.relative_to(ROOT)}: {command}")
    return sorted(set(lines))


def hinted() -> list[str]:
    """List each command that a `hint=` in the toolkit names, with its file."""
    lines = []
    for path in sorted((ROOT / "deploy" / "aitbc_toolkit").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "hint":
                for line in literal(node.value).splitlines():
                    command = line.split("#")[0].strip()
                    if re.match(r"(\./)?aitbc ", command):
                        lines.append(f"{path.relative_to(ROOT)}: {command}")
    return sorted(set(lines))


def literal(node: ast.expr) -> str:
    """Spell out a text; a value that only a run knows is spelled as `KNOWN_AT_RUN_TIME`."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(literal(part) for part in parts)
        case ast.FormattedValue():
            return KNOWN_AT_RUN_TIME
        case ast.BinOp(left=left, right=right):
            return literal(left) + literal(right)
        case _:
            return ""


def spellings(command: str) -> list[str]:
    """Give what a command may be at run time: a verb is one of its group's, a value is `lab`."""
    words = shlex.split(command.replace("$$", "1"))[1:]
    if words[0] == KNOWN_AT_RUN_TIME:
        rest = shlex.join(word.replace(KNOWN_AT_RUN_TIME, "lab") for word in words[1:])
        return [f"{name} {rest}" for name in main.COMMANDS]
    verb = words.index(KNOWN_AT_RUN_TIME) if KNOWN_AT_RUN_TIME in words[:2] else None
    if verb != 1:
        return [shlex.join(word.replace(KNOWN_AT_RUN_TIME, "lab") for word in words)]
    group = main._load(words[0])
    verbs = sorted(group.commands) if isinstance(group, click.Group) else ["lab"]
    rest = shlex.join(word.replace(KNOWN_AT_RUN_TIME, "lab") for word in words[2:])
    return [f"{words[0]} {each} {rest}" for each in verbs]


def parse(command: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Let click parse a command line to its end, without running the command.

    `aitbc ... --option` is the command that was run, once more: some command has that option.
    """
    if command.startswith("aitbc ... "):
        options = {
            name for each in COMMANDS.values() for known in each.params for name in known.opts
        }
        return Exit.OK if command.split()[2] in options else Exit.USAGE
    monkeypatch.setattr(click.Command, "invoke", lambda _self, _context: None)
    return min(main.run(shlex.split(each)) for each in spellings(command))


@pytest.mark.parametrize("line", typed())
def test_what_a_document_says_to_type_exists(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command in a document is one that the command line, or the checkout, has."""
    command = line.partition(": ")[2]
    program = shlex.split(command)[0]

    if program.endswith("aitbc"):
        assert parse(command, monkeypatch) == Exit.OK
    elif program.startswith((".", "/")) and not program.startswith(".venv"):
        assert (ROOT / program).exists()


@pytest.mark.parametrize("line", hinted())
def test_what_a_hint_says_to_type_exists(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command that a hint names is one that the command line has."""
    assert parse(line.partition(": ")[2], monkeypatch) == Exit.OK


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_link_leads_somewhere(path: Path) -> None:
    """Every relative link of a document leads to a file of the repository."""
    links = [link for link in LINK.findall(path.read_text(encoding="utf-8")) if "://" not in link]

    assert [link for link in links if not (path.parent / link).exists()] == []


def test_a_wrong_command_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parse that judges documents refuses what does not exist."""
    assert parse("./aitbc locks chek", monkeypatch) == Exit.USAGE
    assert parse("./aitbc locks check", monkeypatch) == Exit.OK
    assert parse("aitbc ... --forse", monkeypatch) == Exit.USAGE
    assert parse("aitbc ... --force", monkeypatch) == Exit.OK
