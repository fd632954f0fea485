"""Every metric can be read from where it is said to be, and alert rules find theirs."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from aitbc_node.errors import DiskError
from aitbc_node.metrics import SERIOUS, Counters
from aitbc_node.readings import collector_of
from aitbc_node.rpc.view import Facts
from aitbc_node.types import Hash, PeerId
from aitbc_sim.pump import Pump
from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.monitor import promql, rules

FACTS = Facts(
    node="v1",
    role="validator",
    version="0.1",
    commit="8b1f",
    genesis_hash=Hash(b"\x01" * 32),
    peer_id=PeerId(b"\x02" * 20),
    validator=None,
)


def told_by(
    pump: Pump, index: int, *, used_ratio: Callable[[], float] = lambda: 0.25
) -> dict[str, float]:
    """Read what one machine of a small world tells, beside made-up disks and links."""
    disk = SimpleNamespace(used_ratio=used_ratio, sync_count=1, sync_ns=2_000_000_000)
    around: dict[str, Any] = {
        "driver": SimpleNamespace(
            barrier=_Barrier(), events_taken=7, judge=SimpleNamespace(judged=5)
        ),
        "files": SimpleNamespace(data=disk, keys=disk),
        "links": SimpleNamespace(
            peers=[1, 2],
            door=SimpleNamespace(turned_away=0),
            bytes_received=10,
            bytes_sent=20,
        ),
    }
    counters = Counters(started_ms=1_700_000_000_500)
    told: Any = SimpleNamespace(
        facts=FACTS,
        hub=SimpleNamespace(listeners=3),
        post=SimpleNamespace(
            topics=SimpleNamespace(listeners=1, dropped=3),
            mail=SimpleNamespace(listeners=2, dropped=4),
        ),
    )
    collector = collector_of(counters, told, machine=pump.machine(index), **around)
    families = text_string_to_metric_families(collector.text().decode())
    return {
        each.name + "".join(f" {value}" for value in each.labels.values()): each.value
        for family in families
        for each in family.samples
    }


class _Barrier:
    disk_failure = ""

    def __len__(self) -> int:
        return 0


def test_a_machine_tells_its_power_its_time_and_what_it_is() -> None:
    """Each reading is a number of the machine as it is now."""
    pump = Pump().start()
    pump.run_to(3)

    told = told_by(pump, 0)

    assert told["aitbc_height"] >= 3
    assert (told["aitbc_power"], told["aitbc_total_power"]) == (1, 4)
    assert told["aitbc_reachable_power"] == 4
    assert told["aitbc_block_time_seconds"] == pump.machine(0).view.chain.tip_time_ms / 1000
    assert told["aitbc_start_time_seconds"] == 1_700_000_000.5
    assert told["aitbc_disk_used_ratio"] == 0.25
    assert told["aitbc_mempool_txs_max"] > told["aitbc_mempool_txs"] == 0
    assert told["aitbc_log_sync_seconds_total"] == 2
    assert told["aitbc_message_streams_dropped_total"] == 3 + 4
    assert (told["aitbc_diverged"], told["aitbc_disk_failed"]) == (0, 0)
    assert any(name.startswith("aitbc_build_info") and "8b1f" in name for name in told)
    assert {f"aitbc_notes_total {name}" for name in SERIOUS} <= told.keys()


def test_a_disk_that_does_not_say_how_full_it_is_silences_nothing_else() -> None:
    """What tells that the disk has failed is wanted most just then."""
    pump = Pump().start()

    def fails() -> float:
        raise DiskError("cannot read")

    told = told_by(pump, 0, used_ratio=fails)

    assert math.isnan(told["aitbc_disk_used_ratio"])
    assert told["aitbc_disk_failed"] == 0


def test_a_node_tells_everything_that_the_alert_rules_ask_for() -> None:
    """No rule is blind beside a node of this release."""
    pump = Pump().start()
    pump.run_to(1)

    names = {name.partition(" ")[0] for name in told_by(pump, 0)}

    dev = Inventory.load("dev")
    wanted = {name for rule in rules.load(dev) for name in promql.names(rule.expr)}
    assert wanted - {"up"} <= names
