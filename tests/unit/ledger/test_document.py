"""The genesis file: what is written is read back, and a slip is told by its field."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from aitbc_node.errors import ConfigError
from aitbc_node.ledger.document import from_json, to_json
from aitbc_sim.town import a_genesis

GENESIS = a_genesis()


def test_a_genesis_survives_its_file() -> None:
    """Reading what was written gives the same record and so the same hash."""
    assert from_json(to_json(GENESIS)) == GENESIS


def test_spaces_and_order_of_keys_do_not_matter() -> None:
    """The identity is the record's hash, not the file's bytes."""
    rewritten = json.dumps(json.loads(to_json(GENESIS)), sort_keys=True, indent=7)

    assert from_json(rewritten).hash() == GENESIS.hash()


def test_the_file_is_for_people() -> None:
    """Amounts are decimal strings, addresses bech32m, and the file ends with a newline."""
    text = to_json(GENESIS)
    document = json.loads(text)

    assert text.endswith("}\n")
    assert document["accounts"][0]["address"].startswith("aitd1")
    assert document["accounts"][0]["balances"] == {"AIT": "1000000000"}


def drop(field: str) -> Callable[[dict[str, Any]], object]:
    """Leave one field out."""
    return lambda document: document.pop(field)


@pytest.mark.parametrize(
    ("slip", "told"),
    [
        (drop("hrp"), "hrp"),
        (drop("pools"), "pools"),
        (lambda d: d.update(chainid="x"), "chainid"),
        (lambda d: d["params"].pop("epoch_blocks"), "params.epoch_blocks: missing"),
        (lambda d: d["params"].update(epoch_block=1), "params.epoch_block: no such parameter"),
        (lambda d: d["params"].update(epoch_blocks="20"), "params"),
        (lambda d: d["accounts"][0].update(address="aitd1nope"), r"accounts\[0\].address"),
        (lambda d: d["accounts"][0]["balances"].update(AIT=5), "balances"),
        (lambda d: d["accounts"][0]["balances"].update(AIT="-5"), r"accounts\[0\].balances.AIT"),
        (lambda d: d["accounts"][0]["balances"].update(AIT="1e9"), r"accounts\[0\].balances.AIT"),
        (lambda d: d["accounts"][0]["balances"].update(AIT="9" * 5000), "more than an amount"),
        (lambda d: d["accounts"][0]["policy"].update(keys=["zz"]), r"accounts\[0\].policy.keys"),
        (lambda d: d["validators"][0].update(key="0g"), r"validators\[0\].key"),
        (lambda d: d["validators"][0].update(power="1"), "power"),
        (lambda d: d.update(hrp="ait"), "network 'aitd', here it is 'ait'"),
    ],
)
def test_a_slip_is_told_by_its_field(slip: Callable[[dict[str, Any]], object], told: str) -> None:
    """Each unreadable field ends in one line that names it."""
    document = json.loads(to_json(GENESIS))
    slip(document)

    with pytest.raises(ConfigError, match=told):
        from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", b"\xff"])
def test_what_is_no_document_is_refused(text: str | bytes) -> None:
    """No file content ends in anything but a configuration error."""
    with pytest.raises(ConfigError):
        from_json(text)
