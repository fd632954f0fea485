"""The repository keeps its own house rules, and each rule is seen to fail on a planted violation.

The rules are those of the house that ruff and mypy cannot say. Exceptions stand here with their
reason, so that a new one is seen in review.
"""

import ast
import functools
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import pytest

from aitbc_node.version import VERSION
from aitbc_toolkit import paths

ROOT = paths.project_root()

MODULE_LINES, MODULE_LINES_HARD, TEST_LINES_HARD = 300, 500, 800
FUNCTION_LINES, MATCH_TABLE_LINES = 60, 120

# Modules over the soft limit, and why they stay in one piece.
LONG_MODULES: dict[str, str] = {
    "node/aitbc_node/events.py": "one record for each input and each output of the machine",
    "node/aitbc_node/storage/store.py": "one case for each effect that writes, and its way back",
    "node/aitbc_node/chain.py": "makes, judges and applies the one block that comes next",
    "node/aitbc_node/intake.py": "the way of one transaction in, whoever brought it, and out",
    "node/aitbc_node/ledger/state.py": "one look-up for each kind of object, committed or drafted",
    "node/aitbc_node/gossip/book.py": "the one place where an entry is learned, dialled, forgotten",
    "node/aitbc_node/gossip/messages.py": "one record for each message between peers",
    "node/aitbc_node/gossip/peers.py": "one method for each thing that can become of a link",
    "node/aitbc_node/rpc/schema.py": "one record for each answer that a stranger may read",
    "node/aitbc_node/config.py": "one class a section of node.toml, and what documents them",
    "node/aitbc_node/__main__.py": "one function and one parser for each command of the node",
    "node/aitbc_node/machine.py": "wires all parts together and holds what concerns several",
    "deploy/aitbc_toolkit/release/hosts.py": "one method for each step that hosts are told to make",
    "deploy/aitbc_toolkit/cli/validator.py": "one command for each act of an operator",
    "deploy/aitbc_toolkit/rpc_client.py": "one method for each thing that a node can be asked",
    "node/aitbc_sim/nodes.py": "carries out every effect of the machine, as a driver does",
    "node/aitbc_sim/world.py": "answers every call of a node into the world around it",
    "node/aitbc_sim/pump.py": "one small world: every effect of the machine in one match",
}
# Files that read the environment or hand it to a child. Everybody else gets values.
ENVIRONMENT_READERS: dict[str, str] = {
    "node/aitbc_node/heartbeat.py": "systemd tells a service there where it wants to hear of it",
    "deploy/aitbc_toolkit/shell.py": "adds to the environment of a child",
    "deploy/aitbc_toolkit/suites/selftest.py": "adds the run's mark to the environment of a child",
}
# Where a test waits for a condition, which is the only way that a test may wait.
WAITING: dict[str, str] = {
    "tests/conftest.py": "the fixtures `eventually` poll",
    "tests/toolkit/fake_mesh.py": "is a program that makes a block now and then, and stands still",
}

ENDINGS = (("ies", "y"), ("es", ""), ("s", ""), ("ed", ""), ("ing", ""), ("er", ""))
# Modules that are named like another one of their folder.
ALIKE: dict[str, str] = {
    "node/aitbc_node/ledger/families.py": "lists what each `family.Family` is made of",
    "tests/unit/ledger/test_families.py": "is named after what it tests",
}

FOLDERS = frozenset(
    ("deploy", "docs", "inventories", "loadtests", "locks", "node", "templates", "tests")
)
DOCUMENTS = frozenset(("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md"))
TOP_LEVEL = FOLDERS | DOCUMENTS | {".ci", ".gitignore", "aitbc", "pyproject.toml"}
PYTHON_HOMES = frozenset(
    ("deploy/aitbc_toolkit", "node/aitbc_node", "node/aitbc_sim", "loadtests/aitbc_load", "tests")
)
PYTHON_BESIDE = frozenset({"loadtests/locustfile.py"})
TEST_FOLDERS = frozenset({"unit", "sim", "toolkit", "lab", "mesh"})
EXECUTABLES = frozenset({"aitbc", ".ci/run"})
VAGUE_NAMES = frozenset({"utils", "util", "helpers", "common", "manager", "base", "core", "misc"})

# Written in pieces, because this file keeps the rules, too.
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
MACHINE_PATHS = re.compile("/" + r"work/|/" + r"tmp/w\b|/" + r"root/\.pyenv")
REGISTRIES = re.compile(
    r"py" + r"pi\.org|python" + r"hosted|deb" + r"ian\.org|ubun" + r"tu\.com|npm" + r"js\.|"
    r"crates" + r"\.io|gh" + r"cr\.io|docker" + r"\.io|golang" + r"\.org"
)
MACHINE_AUTHORS = re.compile(
    r"\b(LL" + r"M|Chat" + r"GPT|Cla" + r"ude|Anth" + r"ropic|Open" + r"AI|Co" + r"pilot|"
    r"AI assis" + r"tant|language mod" + r"el)s?\b"
)
CONFLICT = re.compile(r"^(<{7}|={7}|>{7})( |$)", re.MULTILINE)
BARE_NOQA = re.compile(r"#\s*noqa(?!: [A-Z0-9]+(, ?[A-Z0-9]+)* - \S)")

Rule = Callable[[PurePosixPath, str], Iterator[str]]


@functools.cache
def parsed(text: str) -> ast.Module:
    """Parse a module once for all rules."""
    return ast.parse(text)


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function without its docstring and decorators."""
    total = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node) is not None:
        docstring = node.body[0]
        total -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return total


def is_match_table(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether a function is little more than one `match`."""
    tables = [part for part in node.body if isinstance(part, ast.Match)]
    if len(tables) != 1:
        return False
    lines = (tables[0].end_lineno or tables[0].lineno) - tables[0].lineno + 1
    return lines >= 0.8 * body_lines(node)


def is_call(node: ast.AST, *names: str) -> bool:
    """Tell whether a node calls one of the dotted names."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) in names


def module_length(path: PurePosixPath, text: str) -> Iterator[str]:
    """A module answers one question in a few screens."""
    count = len(text.splitlines())
    if path.parts[0] == "tests":
        if count > TEST_LINES_HARD:
            yield f"{count} lines, allowed {TEST_LINES_HARD}"
    elif count > MODULE_LINES_HARD:
        yield f"{count} lines, allowed {MODULE_LINES_HARD}"
    elif count > MODULE_LINES and str(path) not in LONG_MODULES:
        yield f"{count} lines, allowed {MODULE_LINES} unless LONG_MODULES gives a reason"


def function_length(_path: PurePosixPath, text: str) -> Iterator[str]:
    """A function fits a screen; a pure `match` table may take two."""
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            allowed = MATCH_TABLE_LINES if is_match_table(node) else FUNCTION_LINES
            if body_lines(node) > allowed:
                yield f"{node.name} has {body_lines(node)} lines, allowed {allowed}"


def module_name(path: PurePosixPath, _text: str) -> Iterator[str]:
    """A module's name says what it answers."""
    for part in path.with_suffix("").parts:
        if part in VAGUE_NAMES:
            yield f"{part} says nothing"


def package_file(path: PurePosixPath, text: str) -> Iterator[str]:
    """An `__init__.py` holds a docstring, re-exports and `__all__`: no logic."""
    if path.name != "__init__.py":
        return
    for node in parsed(text).body:
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_all = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        if not (is_text or is_all or isinstance(node, ast.ImportFrom)):
            yield f"line {node.lineno} is more than a docstring"


def module_docstring(_path: PurePosixPath, text: str) -> Iterator[str]:
    """Every module says which question it answers."""
    if not ast.get_docstring(parsed(text)):
        yield "no docstring"


def no_sleeps(path: PurePosixPath, text: str) -> Iterator[str]:
    """A test waits for a condition with a deadline, never for a time."""
    if path.parts[0] != "tests" or str(path) in WAITING:
        return
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.Call) and is_call(node, "time.sleep", "asyncio.sleep", "sleep"):
            yields = [ast.unparse(argument) for argument in node.args] == ["0"]
            if not yields:
                yield f"line {node.lineno} sleeps"


def reasoned_skips(path: PurePosixPath, text: str) -> Iterator[str]:
    """What is skipped or expected to fail says why; `assert True` says nothing."""
    if path.parts[0] != "tests":
        return
    for node in ast.walk(parsed(text)):
        marks = ("pytest.mark.skip", "pytest.mark.skipif", "pytest.mark.xfail", "pytest.xfail")
        if isinstance(node, ast.Call) and is_call(node, "pytest.skip", *marks):
            given = {keyword.arg for keyword in node.keywords}
            positional = node.args and not is_call(node, "pytest.mark.skipif", "pytest.mark.xfail")
            if "reason" not in given and not positional:
                yield f"line {node.lineno} gives no reason"
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            for decorator in node.decorator_list:
                if ast.unparse(decorator) in marks:
                    yield f"line {node.lineno} gives no reason"
        if isinstance(node, ast.Assert) and ast.unparse(node.test) == "True":
            yield f"line {node.lineno} asserts nothing"


def environment(path: PurePosixPath, text: str) -> Iterator[str]:
    """Only `cli/` and `config.py` read the environment; the others are given values."""
    may_read = "cli" in path.parts or path.name == "config.py" or path.parts[0] == "tests"
    if may_read or str(path) in ENVIRONMENT_READERS:
        return
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.getenv"}:
            yield f"line {node.lineno} reads the environment"


def reasoned_noqa(_path: PurePosixPath, text: str) -> Iterator[str]:
    """A rule is silenced by its code and for a reason that stands beside it."""
    for number, line in enumerate(text.splitlines(), 1):
        if BARE_NOQA.search(line) and "BARE_NOQA" not in line:
            yield f"line {number} silences a rule without a reason"


def unfinished(_path: PurePosixPath, text: str) -> Iterator[str]:
    """Nothing in the tree is a reminder."""
    for match in UNFINISHED.finditer(text):
        yield f"holds the reminder {match[0]}"


def foreign_places(_path: PurePosixPath, text: str) -> Iterator[str]:
    """No path of one machine, no host of a package registry."""
    for pattern in (MACHINE_PATHS, REGISTRIES):
        for match in pattern.finditer(text):
            yield f"names {match[0]}"


def machine_authors(_path: PurePosixPath, text: str) -> Iterator[str]:
    """The text speaks about the product, not about how it was written."""
    for match in MACHINE_AUTHORS.finditer(text):
        yield f"speaks of {match[0]}"


def clean_text(_path: PurePosixPath, text: str) -> Iterator[str]:
    """Plain lines: no carriage returns, no control characters, no conflict, one newline last."""
    if CONFLICT.search(text):
        yield "holds a merge conflict"
    if text and (not text.endswith("\n") or text.endswith("\n\n")):
        yield "does not end in one newline"
    for number, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip():
            yield f"line {number} has blanks at its end"
        if any(ord(char) < 32 and char != "\t" for char in line):
            yield f"line {number} has a control character"


PYTHON_RULES: Sequence[Rule] = (
    module_length,
    function_length,
    module_name,
    package_file,
    module_docstring,
    no_sleeps,
    reasoned_skips,
    environment,
    reasoned_noqa,
)
TEXT_RULES: Sequence[Rule] = (unfinished, foreign_places, machine_authors, clean_text)


def top_level(tree: Sequence[str]) -> Iterator[str]:
    """The top of the tree is exactly what the house says."""
    found = {name.split("/")[0] for name in tree}
    yield from (f"{name} does not belong at the top" for name in sorted(found - TOP_LEVEL))
    yield from (f"{name} is missing at the top" for name in sorted(TOP_LEVEL - found))


def folder_readmes(tree: Sequence[str]) -> Iterator[str]:
    """Each top folder says what is in it."""
    for folder in sorted(FOLDERS):
        if f"{folder}/README.md" not in tree:
            yield f"{folder}/README.md is missing"


def python_homes(tree: Sequence[str]) -> Iterator[str]:
    """Editable installs put whole folders on the path, so Python stays in the packages."""
    for name in tree:
        inside = any(name.startswith(f"{home}/") for home in PYTHON_HOMES)
        if name.endswith(".py") and not inside and name not in PYTHON_BESIDE:
            yield f"{name} lies outside the packages"


def loaded_by_path(tree: Sequence[str]) -> Iterator[str]:
    """Test files are loaded by path: known folders, no packages, every name once."""
    tests = [PurePosixPath(name) for name in tree if name.startswith("tests/")]
    names = Counter(path.name for path in tests if path.name.startswith("test_"))
    yield from (f"{name} exists {count} times" for name, count in names.items() if count > 1)
    for path in tests:
        if path.name == "__init__.py":
            yield f"{path} makes a package"
        if len(path.parts) > 2 and path.parts[1] not in TEST_FOLDERS:
            yield f"{path} lies in no known folder"


def names_apart(tree: Sequence[str]) -> Iterator[str]:
    """Two modules of one folder differ by more than an ending; else one is taken for the other."""
    modules = {name for name in tree if name.endswith(".py")}
    for name in sorted(modules - {*ALIKE}):
        for ending, word in ENDINGS:
            other = f"{name.removesuffix(f'{ending}.py')}{word}.py"
            if name.endswith(f"{ending}.py") and other in modules:
                yield f"{name} is named like {other}"


TREE_RULES = (top_level, folder_readmes, python_homes, loaded_by_path, names_apart)


@functools.cache
def tree() -> tuple[str, ...]:
    """List the files that are or would be committed."""
    argv = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(sorted(name for name in listed.split("\0") if name and (ROOT / name).is_file()))


@functools.cache
def contents(name: str) -> str:
    """Read one text file; bytes that are not UTF-8 end the test, which is a finding."""
    return (ROOT / name).read_bytes().decode()


@pytest.mark.parametrize("rule", PYTHON_RULES)
def test_every_module_is_tidy(rule: Rule) -> None:
    """Each rule for modules holds in all of them."""
    names = [name for name in tree() if name.endswith(".py")]
    found = [
        f"{name}: {what}" for name in names for what in rule(PurePosixPath(name), contents(name))
    ]

    assert found == [], "\n".join(found)


@pytest.mark.parametrize("rule", TEXT_RULES)
def test_every_file_is_tidy(rule: Rule) -> None:
    """Each rule for texts holds in every file of the repository."""
    found = [
        f"{name}: {what}" for name in tree() for what in rule(PurePosixPath(name), contents(name))
    ]

    assert found == [], "\n".join(found)


@pytest.mark.parametrize("rule", TREE_RULES)
def test_the_layout_is_tidy(rule: Callable[[Sequence[str]], Iterator[str]]) -> None:
    """Each rule for the layout holds."""
    assert list(rule(tree())) == []


def test_only_programs_are_executable() -> None:
    """A mode bit is set where a file is run by its name, and nowhere else."""
    argv = ["git", "ls-files", "-z", "--stage"]
    listed = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    entries = [line.partition("\t") for line in listed.split("\0") if line]

    assert {name for mode, _, name in entries if mode.startswith("100755")} == EXECUTABLES
    assert [name for mode, _, name in entries if mode.startswith("120000")] == []


def test_one_version_is_told_everywhere() -> None:
    """Both distributions and the node itself, which runs without metadata, tell one version."""
    files = ("pyproject.toml", "node/pyproject.toml")

    versions = {tomllib.loads(contents(name))["project"]["version"] for name in files}

    assert versions == {VERSION}


def test_every_exception_is_still_needed() -> None:
    """An exception that nothing needs any more would hide the next violation in that file."""
    needed = {name for name in LONG_MODULES if len(contents(name).splitlines()) > MODULE_LINES}
    needed |= {name for name in ENVIRONMENT_READERS if "os.environ" in contents(name)}
    needed |= {name for name in WAITING if "sleep(" in contents(name)}
    needed |= {*ALIKE} & {*tree()}

    assert {*LONG_MODULES, *ENVIRONMENT_READERS, *WAITING, *ALIKE} - needed == set()


def test_no_command_imports_gevent() -> None:
    """Every module of the command line loads without gevent, pyinfra or locust."""
    folder = ROOT / "deploy" / "aitbc_toolkit" / "cli"
    names = [f"aitbc_toolkit.cli.{path.stem}" for path in sorted(folder.glob("[!_]*.py"))]
    program = (
        f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\n"
        "print(sorted({'gevent', 'pyinfra', 'locust'} & set(sys.modules)))"
    )

    argv = [sys.executable, "-c", program]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")


LONG_BODY = "    x = 1\n" * 60
CASES = "        case 1:\n            return 1\n" * 40
PLANTED: Sequence[tuple[Rule, str, str]] = (
    (module_length, "node/aitbc_node/a.py", "x = 1\n" * 301),
    (module_length, "node/aitbc_node/rpc/schema.py", "x = 1\n" * 501),
    (module_length, "tests/unit/test_a.py", "x = 1\n" * 801),
    (function_length, "a.py", f"def f():\n{LONG_BODY}"),
    (function_length, "a.py", f"class A:\n async def f(self):\n{LONG_BODY}"),
    (function_length, "a.py", f"def f(x):\n{LONG_BODY}    match x:\n{CASES}"),
    (function_length, "a.py", f"def f(x):\n    match x:\n{CASES * 2}"),
    (module_name, "node/aitbc_node/utils.py", ""),
    (module_name, "node/aitbc_node/common/a.py", ""),
    (package_file, "node/aitbc_node/__init__.py", '"""It."""\nimport os\n'),
    (package_file, "node/aitbc_node/__init__.py", '"""It."""\nx = 1\n'),
    (module_docstring, "a.py", "x = 1\n"),
    (no_sleeps, "tests/unit/test_a.py", "import time\ntime.sleep(1)\n"),
    (no_sleeps, "tests/unit/test_a.py", "async def f():\n    await asyncio.sleep(1)\n"),
    (reasoned_skips, "tests/unit/test_a.py", "pytest.skip()\n"),
    (reasoned_skips, "tests/unit/test_a.py", "@pytest.mark.skip\ndef test_a(): pass\n"),
    (reasoned_skips, "tests/unit/test_a.py", "@pytest.mark.skipif(True)\ndef test_a(): pass\n"),
    (reasoned_skips, "tests/unit/test_a.py", "@pytest.mark.xfail(True)\ndef test_a(): pass\n"),
    (reasoned_skips, "tests/unit/test_a.py", "assert True\n"),
    (environment, "deploy/aitbc_toolkit/a.py", "import os\nos.environ['A']\n"),
    (environment, "deploy/aitbc_toolkit/a.py", "import os\nos.getenv('A')\n"),
    (reasoned_noqa, "a.py", "x = 1  # no" + "qa\n"),
    (reasoned_noqa, "a.py", "x = 1  # no" + "qa: S101\n"),
    (unfinished, "README.md", "TO" + "DO: this\n"),
    (unfinished, "a.py", "# FIX" + "ME\n"),
    (foreign_places, "a.py", "'/" + "work/main'\n"),
    (foreign_places, "locks/a.lock", "https://py" + "pi.org/simple\n"),
    (machine_authors, "README.md", "Written by an LL" + "M.\n"),
    (clean_text, "a.md", "no newline at the end"),
    (clean_text, "a.md", "two\n\n"),
    (clean_text, "a.md", "blank \n"),
    (clean_text, "a.md", "bell\a\n"),
    (clean_text, "a.md", "<" * 7 + " ours\n"),
)
ACCEPTED: Sequence[tuple[Rule, str, str]] = (
    (module_length, "node/aitbc_node/a.py", "x = 1\n" * 300),
    (module_length, "node/aitbc_node/rpc/schema.py", "x = 1\n" * 500),
    (function_length, "a.py", f'def f():\n    """{"line" * 9}\n\n    """\n' + "    x = 1\n" * 58),
    (function_length, "a.py", f"def f(x):\n    match x:\n{CASES}"),
    (module_name, "node/aitbc_node/utility_prices.py", ""),
    (package_file, "a/__init__.py", '"""It."""\nfrom a.b import c\n__all__ = ["c"]\n'),
    (no_sleeps, "deploy/aitbc_toolkit/a.py", "time.sleep(1)\n"),
    (no_sleeps, "tests/unit/test_a.py", "async def f():\n    await asyncio.sleep(0)\n"),
    (reasoned_skips, "tests/unit/test_a.py", "pytest.skip('no IPv6 here')\n"),
    (reasoned_skips, "tests/unit/test_a.py", "@pytest.mark.skip(reason='x')\ndef test_a(): pass\n"),
    (environment, "deploy/aitbc_toolkit/cli/a.py", "os.environ['A']\n"),
    (reasoned_noqa, "a.py", "x = 1  # no" + "qa: S101 - because of this\n"),
    (clean_text, "a.md", ""),
)


@pytest.mark.parametrize(("rule", "path", "text"), PLANTED)
def test_a_planted_violation_is_found(rule: Rule, path: str, text: str) -> None:
    """Each rule turns red on what it forbids."""
    assert list(rule(PurePosixPath(path), text)) != []


@pytest.mark.parametrize(("rule", "path", "text"), ACCEPTED)
def test_what_is_allowed_is_not_found(rule: Rule, path: str, text: str) -> None:
    """Each rule spares what comes close to it and is allowed."""
    assert list(rule(PurePosixPath(path), text)) == []


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (top_level, "setup.py"),
        (python_homes, "deploy/run.py"),
        (python_homes, "node/conftest.py"),
        (loaded_by_path, "tests/unit/__init__.py"),
        (loaded_by_path, "tests/other/test_other.py"),
        (loaded_by_path, "tests/sim/test_tidy.py"),
        (names_apart, "deploy/aitbc_toolkit/release/plans.py"),
    ],
)
def test_a_planted_file_is_found(rule: Callable[[Sequence[str]], Iterator[str]], name: str) -> None:
    """Each rule for the layout turns red on a file that does not belong."""
    assert list(rule([*tree(), name])) != []


@pytest.mark.parametrize(
    ("rule", "name"), [(top_level, "LICENSE"), (folder_readmes, "docs/README.md")]
)
def test_a_missing_file_is_found(rule: Callable[[Sequence[str]], Iterator[str]], name: str) -> None:
    """What must be there is missed when it is gone."""
    assert any(
        PurePosixPath(name).parts[0] in what for what in rule([n for n in tree() if n != name])
    )


def test_every_rule_has_a_planted_violation() -> None:
    """A rule that nobody has seen fail proves nothing."""
    assert {rule for rule, _, _ in PLANTED} == {*PYTHON_RULES, *TEXT_RULES}


def test_the_tree_is_not_empty() -> None:
    """The rules are applied to the repository, not to nothing."""
    assert Path("tests/test_tidy.py").as_posix() in tree()
