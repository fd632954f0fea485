"""From which mirror does this machine install? The lab's image comes from the same one.

Both forms of apt's source lists are read (sources.list(5)). Do not write a mirror's name here:
where packages come from is the machine owner's choice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aitbc_toolkit.errors import AitbcError

APT = Path("/etc/apt")


@dataclass(frozen=True, slots=True)
class Mirror:
    """Say where a suite is and which keyring signs it; an empty keyring is the default one."""

    uri: str
    keyring: str = ""


def find_mirror(suite: str, *, apt: Path = APT) -> Mirror:
    """Find the first source of this machine that carries `suite`.

    Raises: AitbcError when none does.
    """
    for path in sorted([*apt.glob("sources.list"), *apt.glob("sources.list.d/*.list")]):
        for mirror in _from_lines(path.read_text(encoding="utf-8"), suite):
            return mirror
    for path in sorted(apt.glob("sources.list.d/*.sources")):
        for mirror in _from_stanzas(path.read_text(encoding="utf-8"), suite):
            return mirror
    raise AitbcError(
        f"no apt source of this machine carries Debian {suite}, from which lab hosts are built",
        hint=f"add a source of {suite} main to {apt}/sources.list.d/",
    )


def _from_lines(text: str, suite: str) -> Iterator[Mirror]:
    """Read `deb [signed-by=KEYRING] URI SUITE COMPONENT...`."""
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        options = ""
        if "[" in line and "]" in line:
            head, _, rest = line.partition("[")
            options, _, rest = rest.partition("]")
            words = [*head.split(), *rest.split()]
        match words:
            case ["deb", uri, found, *components] if found == suite and "main" in components:
                yield Mirror(uri, _signed_by(options.split()))
            case _:
                continue


def _signed_by(options: list[str]) -> str:
    for option in options:
        key, _, value = option.partition("=")
        if key == "signed-by" and value.startswith("/"):
            return value
    return ""


def _from_stanzas(text: str, suite: str) -> Iterator[Mirror]:
    """Read the deb822 form: fields of one stanza, stanzas apart by an empty line."""
    for stanza in text.split("\n\n"):
        fields = {}
        for line in stanza.splitlines():
            key, colon, value = line.partition(":")
            if colon and not line.startswith(("#", " ")):
                fields[key.strip().lower()] = value.strip()
        wanted = {
            "types": "deb",
            "suites": suite,
            "components": "main",
        }
        if fields.get("enabled", "yes") != "no" and all(
            value in fields.get(key, "").split() for key, value in wanted.items()
        ):
            keyring = fields.get("signed-by", "")
            uri = fields["uris"].split()[0]
            yield Mirror(uri, keyring if keyring.startswith("/") else "")
