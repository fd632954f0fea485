"""Metrics: plain counters become Prometheus text, and the log one line per block."""

import json
import logging
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aitbc_node.announcing import Announcer
from aitbc_node.events import Note
from aitbc_node.logs import JsonLines, TextLines
from aitbc_node.metrics import SERIOUS, Counters, NodeCollector
from aitbc_node.rpc.post import Post
from aitbc_node.rpc.streams import Hub
from aitbc_node.storage.index import TxIndex


def samples(collector: NodeCollector) -> dict[str, float]:
    """Read a text back the way Prometheus does."""
    return {
        sample.name + "".join(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(collector.text().decode())
        for sample in family.samples
    }


def test_every_counter_is_told_with_its_value_now() -> None:
    """Counters, gauges and totals are read when somebody asks, each under its own name."""
    counters = Counters()
    height = [1.0]
    collector = NodeCollector(
        counters,
        gauges={"height": ("Newest final height", lambda: height[0])},
        totals={"syncs": ("Syncs", lambda: 3)},
    )
    counters.txs_final = 7
    counters.notes["peer.up"] += 2
    height[0] = 5

    found = samples(collector)

    assert found["aitbc_txs_final_total"] == 7
    assert (found["aitbc_height"], found["aitbc_syncs_total"]) == (5, 3)
    assert found["aitbc_notes_totalpeer.up"] == 2


def test_what_people_are_woken_for_is_told_before_it_happens() -> None:
    """A counter that appears at 1 has not risen, for whoever looks for a rise; and what runs."""
    counters = Counters()
    collector = NodeCollector(counters, gauges={}, totals={}, build={"commit": "8b1f"})

    assert {f"aitbc_notes_total{name}": 0 for name in SERIOUS}.items() <= samples(collector).items()
    assert samples(collector)["aitbc_build_info8b1f"] == 1
    counters.notes["vote.twin"] += 1
    assert samples(collector)["aitbc_notes_totalvote.twin"] == 1


def test_notes_are_counted_logged_and_published(caplog: pytest.LogCaptureFixture) -> None:
    """Each note is counted by name; reserved names of log records do no harm."""
    caplog.set_level(logging.DEBUG)
    counters, hub = Counters(), Hub(boot="t")
    announcer = Announcer(TxIndex(None), hub, counters, post=Post(boot="t", hrp="aitd"))

    announcer.note(Note("peer.fault", (("peer", b"\x01\x02"), ("name", "odd"), ("args", (1,)))))
    announcer.note(Note("round.begins", (("height", 3), ("round", 0))))
    announcer.note(Note("round.begins", (("height", 3), ("round", 1))))

    assert counters.notes == {"peer.fault": 1, "round.begins": 2}
    assert [record.levelname for record in caplog.records] == ["WARNING", "DEBUG", "INFO"]
    assert caplog.records[0].peer == "0102"  # type: ignore[attr-defined]  # given as extra
    _, text = hub.read(1, frozenset({"peer"}))
    assert b"event: peer.fault" in text
    assert b"0102" in text


@pytest.mark.parametrize("name", ["validator.jailed", "validator.slashed", "attack.sybil"])
def test_what_happened_to_validators_reaches_whoever_listens(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As a warning in the log, a number in the metrics, and an event of `consensus`."""
    counters, hub = Counters(), Hub(boot="t")

    Announcer(TxIndex(None), hub, counters, post=Post(boot="t", hrp="aitd")).note(
        Note(name, (("operator", "aitd1x"),))
    )

    assert counters.notes == {name: 1}
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    _, text = hub.read(1, frozenset({"consensus"}))
    assert f"event: {name}".encode() in text
    assert b"aitd1x" in text


def test_a_log_line_is_one_json_object() -> None:
    """Event, fields and a traceback, whatever is in them, stay on one line."""
    try:
        int("line one\nline two")
    except ValueError:
        record = logging.makeLogRecord(
            {
                "msg": "bug",
                "levelno": 40,
                "levelname": "ERROR",
                "height": 3,
                "exc_info": sys.exc_info(),
            }
        )

    text = JsonLines("n1").format(record)

    line = json.loads(text)
    assert "\n" not in text
    assert (line["event"], line["node"], line["level"], line["height"]) == ("bug", "n1", "error", 3)
    assert "ValueError" in line["traceback"]


def test_a_line_for_people_is_short() -> None:
    """Time, event, fields."""
    record = logging.makeLogRecord({"msg": "block.final", "height": 3, "round": 0})

    assert TextLines().format(record).split()[1:] == ["block.final", "height=3", "round=0"]
