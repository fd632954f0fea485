"""The golden vectors: the node computes what the files say, and the document shows the same."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from aitbc_node.codes import Code
from aitbc_node.crypto import sha256
from aitbc_node.ledger.params import PARAMETERS
from aitbc_node.ledger.upgrades import APP_VERSION

VECTORS = Path(__file__).parent / "vectors"
BUILD: dict[str, Any] = runpy.run_path(str(VECTORS / "build.py"))
DOCUMENT: Path = BUILD["DOCUMENT"]
AGAIN = "the protocol changed: run tests/unit/vectors/build.py and read the difference"


def contents(name: str) -> str:
    """Read one file of vectors."""
    return (VECTORS / name).read_text()


RULES = {
    3: "cce8dc773d95a06d400248327795c9c5b1ce82ff180f013bbb92d9261583a4d6",
    4: "9aa2bc9fb314d7d4818ca99f74b832258831e0e41c12f6c407bd9542d0b8de26",
}
"""Per application version, a hash of what its rules make of the same blocks."""


@pytest.mark.parametrize("name", BUILD["FILES"])
def test_the_node_computes_what_the_file_says(name: str) -> None:
    """No change of the protocol goes unnoticed."""
    assert contents(name) == BUILD["text_of"](name), AGAIN


def test_other_rules_have_another_application_version() -> None:
    """Two builds that make different states of one block never claim the same number."""
    made = sha256((contents("state.json") + contents("block.json")).encode()).hex()

    assert RULES.get(APP_VERSION) == made, f"raise APP_VERSION, and note {made} for it"


def test_every_file_of_vectors_is_built() -> None:
    """No file lies about that nothing computes."""
    assert {path.name for path in VECTORS.glob("*.json")} == set(BUILD["FILES"])


def test_the_document_shows_every_vector_as_it_is() -> None:
    """A reader who trusts the document's copies gets the same bytes."""
    text = DOCUMENT.read_text()

    assert BUILD["with_vectors"](text, contents) == text, AGAIN
    for name in BUILD["FILES"]:
        assert f"<!-- vectors: {name} -->\n```json\n" in text


def test_the_document_prints_the_table_of_parameters_and_codes() -> None:
    """Defaults, units and bounds are written down once, in the code."""
    text = DOCUMENT.read_text()

    assert BUILD["with_tables"](text) == text, AGAIN
    for parameter in PARAMETERS:
        assert f"| `{parameter.name}` | {parameter.default:,} |" in text
    for code in Code:
        assert f"`{code}`" in text
