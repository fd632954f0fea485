"""What a command imports before it works: counted, because seconds depend on the machine."""

import subprocess
import sys

import pytest

# Each costs a tenth of all that a verb imports, and none is needed where nothing is to be done.
NOT_NEEDED = {
    "aitbc_toolkit.keys",
    "aitbc_toolkit.lab",
    "aitbc_toolkit.sending",
    "aitbc_toolkit.suites",
    "git",
    "httpx",
    "packaging",
    "pydantic",
    "pygments",
    "rich",
}
MODULES_MAX = 450


def imported(text: str) -> set[str]:
    """List what Python has loaded after running a text of its own."""
    argv = [sys.executable, "-P", "-c", f"{text}\nimport sys\nprint(*sys.modules)"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("verb", ["deploy"])
def test_a_verb_imports_what_it_needs(verb: str) -> None:
    """`deploy`, `rollback`, `status`: libraries of rarer work come with that work."""
    found = imported(f"import aitbc_toolkit.cli.main, aitbc_toolkit.cli.{verb}")

    assert found & NOT_NEEDED == set()
    assert len(found) < MODULES_MAX


def test_the_list_of_commands_imports_none_of_them() -> None:
    """`--help` and a mistyped name are answered at once."""
    found = imported("import aitbc_toolkit.cli.main")

    assert {name for name in found if name.startswith("pydantic")} == set()
    assert "aitbc_toolkit.cli.deploy" not in found


def test_the_child_that_speaks_pyinfra_does_without_what_it_can() -> None:
    """Stand-ins keep their places, and whoever needs one of them after all is told which."""
    found = imported("import aitbc_toolkit.deploys.__main__")
    use = (
        "import jinja2\n"
        "try:\n    jinja2.Template('x')\nexcept RuntimeError as why:\n    print(why)\n"
        "import typing_extensions\nprint(hasattr(typing_extensions, '__file__'))"
    )
    argv = [sys.executable, "-P", "-c", f"import aitbc_toolkit.deploys.__main__\n{use}"]
    said = subprocess.run(argv, capture_output=True, text=True, check=False)

    left_out = ("invoke.", "jinja2.", "packaging._", "typeguard.", "asyncio")
    assert "pyinfra" in found
    assert not any(name.startswith(left_out) for name in found)
    assert said.stdout == "jinja2.Template is not loaded in this process\nFalse\n"
