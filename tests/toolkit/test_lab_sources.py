"""Finding this machine's own mirror in apt's source lists."""

from pathlib import Path

import pytest

from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.lab.sources import Mirror, find_mirror

pytestmark = pytest.mark.unit


def an_apt(folder: Path, **files: str) -> Path:
    """Build a folder as /etc/apt: `main`, then lists and `stanza...` files."""
    (folder / "sources.list.d").mkdir()
    for name, text in files.items():
        where = folder if name == "main" else folder / "sources.list.d"
        ending = "sources" if name.startswith("stanza") else "list"
        (where / ("sources.list" if name == "main" else f"{name}.{ending}")).write_text(text)
    return folder


def test_one_line_form(tmp_path: Path) -> None:
    """`deb URI SUITE COMPONENT`, comments and other types aside."""
    apt = an_apt(
        tmp_path,
        main="# deb http://old.example bookworm main\n"
        "deb-src http://src.example bookworm main\n"
        "deb http://mirror.example/debian bookworm main contrib # ours\n",
    )

    assert find_mirror("bookworm", apt=apt) == Mirror("http://mirror.example/debian")


def test_one_line_form_with_options(tmp_path: Path) -> None:
    """Options stand in brackets; the keyring is one of them."""
    line = "deb [ arch=amd64 signed-by=/keys/d.gpg ] http://mirror.example bookworm main\n"
    apt = an_apt(tmp_path, other=line)

    assert find_mirror("bookworm", apt=apt) == Mirror("http://mirror.example", "/keys/d.gpg")


def test_stanza_form(tmp_path: Path) -> None:
    """Several suites and stanzas, the right one is taken with its first address."""
    apt = an_apt(
        tmp_path,
        stanza="Types: deb\n# a comment\nURIs: http://tools.example\nSuites: tools-bookworm\n"
        "Components: main\n\n"
        "Types: deb deb-src\nURIs: http://a.example/debian http://b.example/debian\n"
        "Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: /keys/d.gpg\n",
    )

    assert find_mirror("bookworm", apt=apt) == Mirror("http://a.example/debian", "/keys/d.gpg")


def test_disabled_stanza_and_embedded_key_are_passed_over(tmp_path: Path) -> None:
    """`Enabled: no` counts as absent; a key in the stanza itself is not a keyring's path."""
    common = "Types: deb\nSuites: bookworm\nComponents: main\n"
    apt = an_apt(
        tmp_path,
        stanza=f"{common}URIs: http://off.example\nEnabled: no\n\n"
        f"{common}URIs: http://on.example\nSigned-By:\n -----BEGIN PGP-----\n .\n",
    )

    assert find_mirror("bookworm", apt=apt) == Mirror("http://on.example")


def test_no_mirror_is_told_with_the_suite(tmp_path: Path) -> None:
    """A machine of another distribution gets one line and what to add where."""
    apt = an_apt(tmp_path, main="deb http://mirror.example noble main\n")

    with pytest.raises(AitbcError, match="Debian bookworm") as refusal:
        find_mirror("bookworm", apt=apt)

    assert "sources.list.d" in refusal.value.hint
