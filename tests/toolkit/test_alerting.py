"""Alerts are raised and cleared from what nodes tell, with no Prometheus."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.monitor import promql, rules
from aitbc_toolkit.monitor.alerting import Alerter, Change
from aitbc_toolkit.monitor.collecting import Collector
from aitbc_toolkit.monitor.series import KEPT_S, Sample, Series, labels
from aitbc_toolkit.release import alarming
from aitbc_toolkit.suites.overhearing import overheard

RULES = """
groups:
  - name: made-up
    interval: 5s
    rules:
      - alert: Down
        expr: up == 0
        for: 10s
        labels: {severity: warning}
        annotations: {summary: "{{ $labels.instance }} is down"}
      - alert: Hot
        expr: heat > 30
        labels: {severity: notice}
        annotations: {summary: "it is hot"}
"""


def sample(name: str, value: float, **named: str) -> Sample:
    """Make a sample."""
    return Sample(name, labels(named), value)


def told(changes: list[Change]) -> list[tuple[str, str, str]]:
    """Shorten changes for a comparison."""
    return [(change.state, change.alert.name, change.alert.node) for change in changes]


def test_an_alert_fires_when_it_held_long_enough_and_ends_at_once() -> None:
    """Pending is no alarm; what ended while it was pending never was one."""
    alerter = Alerter(rules.read(RULES))
    down, up = [sample("up", 0, instance="v1")], [sample("up", 1, instance="v1")]

    assert alerter.step(down, now=0) == []
    assert [alert.is_firing for alert in alerter.alerts] == [False]
    assert alerter.step(up, now=9) == []
    assert alerter.step(down, now=10) == []
    assert alerter.step(down, now=19.9) == []
    assert told(alerter.step(down, now=20)) == [("raised", "Down", "v1")]
    assert alerter.step(down, now=21) == []
    assert [alert.summary for alert in alerter.firing] == ["v1 is down"]
    assert told(alerter.step(up, now=22)) == [("cleared", "Down", "v1")]
    assert alerter.alerts == []


def test_a_rule_about_what_nobody_tells_is_blind_and_not_well() -> None:
    """An older release lacks a metric: that is said, as long as it is so."""
    alerter = Alerter(rules.read(RULES))

    alerter.step([sample("up", 1, instance="v1")], now=0)
    assert alerter.blind == {"Hot": ["heat"]}
    alerter.step([sample("up", 1, instance="v1"), sample("heat", 1)], now=1)
    assert alerter.blind == {}


def test_a_node_that_tells_nothing_more_has_no_old_values() -> None:
    """What it said last is no fact about now: its alert ends, NodeDown is the one that begins."""
    alerter = Alerter(rules.read(RULES))

    alerter.step([sample("heat", 40, instance="v1")], now=0)
    assert [alert.name for alert in alerter.firing] == ["Hot"]
    assert told(alerter.step([], now=1)) == [("cleared", "Hot", "v1")]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("up", {"v1": 1, "v2": 0}),
        ("up == 0", {"v2": 0}),
        ("1 > up", {"v2": 0}),
        ('up{instance!="v1"}', {"v2": 0}),
        ('up{instance!~"v1|v3"}', {"v2": 0}),
        ("abs(load)", {"v1": 6, "v2": 3}),
        ("load / load > 0", {"v1": 1, "v2": 1}),
        ("max(load)", {"": 3}),
        ("scalar(max(load)) - load", {"v1": 9, "v2": 0}),
        ("sum by (instance) (load)", {"v1": -6, "v2": 3}),
        ("count(up)", {"": 2}),
        ("load > 0 and up == 0", {"v2": 3}),
        ("up unless load > 0", {"v1": 1}),
        ("up == 7 or load", {"v1": -6, "v2": 3}),
        ("time() - load", {"v1": 66, "v2": 57}),
        ("changes(load[1m])", {"v1": 2, "v2": 1}),
        ("increase(count[1m])", {"v1": 7}),
        ("increase(count[30s])", {"v1": 5}),
        ("(up)", {"v1": 1, "v2": 0}),
        ("2 * 3 * up", {"v1": 6, "v2": 0}),
    ],
)
def test_expressions_are_worth_what_prometheus_says(written: str, found: dict[str, float]) -> None:
    """Each operator and function that a rule may use, on samples of two nodes."""
    series = Series()
    for now, load, count in ((0.0, (1, 1), 10), (40.0, (5, 3), 12), (60.0, (-6, 3), 5)):
        series.add(
            [
                sample("up", 1, instance="v1"),
                sample("up", 0, instance="v2"),
                sample("load", load[0], instance="v1"),
                sample("load", load[1], instance="v2"),
                sample("count", count, instance="v1"),
            ],
            now=now,
        )

    worth = promql.evaluate(promql.read(written), series, now=60.0)

    assert isinstance(worth, dict)
    assert {dict(named).get("instance", ""): value for named, value in worth.items()} == found


def test_division_by_zero_is_what_it_is_in_prometheus() -> None:
    """Nothing of nothing compares as false; something of nothing is without end."""
    series = Series()
    series.add([sample("a", 0), sample("b", 1), sample("c", 0)], now=0.0)

    def holds(written: str) -> bool:
        return bool(promql.evaluate(promql.read(written), series, now=0.0))

    assert not holds("a / c > 0")
    assert not holds("a / c <= 0")
    assert holds("b / c > 1000")


def test_what_is_kept_does_not_grow_with_time() -> None:
    """A value that stays costs two samples; what is older than any range goes."""
    series = Series()
    for second in range(5_000):
        series.add([sample("still", 1), sample("moving", second)], now=float(second))

    [(_, still)] = series.over("still", now=4_999.0, range_s=KEPT_S)
    [(_, moving)] = series.over("moving", now=4_999.0, range_s=KEPT_S)
    assert len(still) <= 2
    assert len(moving) == KEPT_S + 1


def test_the_collector_raises_and_clears_what_happens_to_a_node(fake_mesh: Any) -> None:
    """A node that is killed raises NodeDown; what it told lives on nowhere."""
    heard: list[tuple[str, str, str]] = []
    steps = itertools.count(0.0, 5.0)
    found = fake_mesh.environment

    def hear(change: Change, _at: float) -> None:
        heard.extend(told([change]))

    with Collector(found, hear=hear, poll_s=0.01, clock=lambda: next(steps)) as collector:
        assert collector.wait_look(3)
        assert collector.firing == []
        fake_mesh.kill("v2")
        assert collector.wait_look(5)
        assert [(alert.name, alert.node) for alert in collector.firing] == [("NodeDown", "v2")]

    assert heard == [("raised", "NodeDown", "v2")]


@contextmanager
def marked(environment: Any, *, changed: tuple[str, ...] = ()) -> Iterator[alarming.Alarm]:
    """Give an alarm for which all that holds now is standing."""
    with alarming.Alarm(environment, poll_s=0.02) as alarm:
        alarm.mark(changed=changed)
        yield alarm


def hurry(alarm: alarming.Alarm) -> None:
    """Let six seconds go by between two looks, for rules that fire after a while."""
    steps = itertools.count(0.0, 6.0)
    alarm._watch._clock = lambda: time.time() + next(steps)


def test_an_alarm_is_what_is_new_and_about_a_canary(fake_mesh: Any) -> None:
    """What stood before, another node's trouble and a mere notice stop no rollout."""
    full = b"aitbc_disk_failed 1\n"
    starts = iter([b"aitbc_start_time_seconds 1\n"] * 2)
    told = {name: fake_mesh.ports[name].view for name in ("v1", "v2", "v3")}
    told["v3"].metrics = lambda: b"aitbc_height 3\n" + full
    told["v2"].metrics = lambda: b"aitbc_height 3\n" + next(starts, b"aitbc_start_time_seconds 2\n")

    with marked(fake_mesh.environment) as alarm:
        said = alarm.words()
        alarm.wait_look(2)
        assert alarm.heard(["v1", "v2", "v3"]) == {}
        told["v1"].metrics = lambda: b"aitbc_height 3\n" + full
        alarm.wait_look(2)
        assert alarm.heard(["v2", "v3"]) == {}
        assert alarm.heard(["v1"]) == {"v1": "alert DiskRefuses: the disk of v1 takes nothing"}
        told["v3"].metrics = lambda: b"aitbc_height 3\n"
        alarm.wait_look(2)
        assert alarm.heard(["v3"]) == {}
        told["v3"].metrics = lambda: b"aitbc_height 3\n" + full
        alarm.wait_look(2)
        assert list(alarm.heard(["v3"])) == ["v3"]
    assert said.startswith("no alert of ")


def test_a_mark_that_no_look_came_for_is_set_at_the_first_one(
    fake_mesh: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stood before a canary takes it back no more because the mesh was slow to answer."""
    full = b"aitbc_height 3\naitbc_disk_failed 1\n"
    told = {name: fake_mesh.ports[name].view for name in ("v1", "v2")}
    told["v1"].metrics = lambda: full

    with alarming.Alarm(fake_mesh.environment, poll_s=0.02) as alarm:
        with monkeypatch.context() as slow:
            slow.setattr(Collector, "wait_look", lambda *_, **__: False)
            slow.setattr(Collector, "looked_s", 0.0)
            alarm.mark()
        assert alarm.wait_look(3)
        assert alarm.heard(["v1", "v2"]) == {}
        told["v2"].metrics = lambda: full
        assert alarm.wait_look(3)
        assert list(alarm.heard(["v1", "v2"])) == ["v2"]


def noting(name: str) -> Callable[[], bytes]:
    """Tell of something that a node notes again each time that it is asked."""
    counted = itertools.count()

    def metrics() -> bytes:
        return b'aitbc_height 3\naitbc_notes_total{name="%b"} %d\n' % (name.encode(), next(counted))

    return metrics


def wasting() -> Callable[[], bytes]:
    """Tell of a mesh in which each block takes a second round."""
    counted = itertools.count()

    def metrics() -> bytes:
        names = (b"aitbc_rounds_wasted_total", b"aitbc_blocks_final_total")
        now = next(counted)
        return b"aitbc_height 3\n" + b"".join(b"%b %d\n" % (name, now) for name in names)

    return metrics


@pytest.mark.parametrize(
    ("rule", "metrics"), [("DoubleSign", noting("vote.twin")), ("RoundsWasted", wasting())]
)
def test_what_a_rule_counted_before_the_canary_is_standing(
    fake_mesh: Any, rule: str, metrics: Callable[[], bytes]
) -> None:
    """It goes on through the bake and is held against nobody; what begins then is."""
    other = fake_mesh.ports["v4"].view
    fake_mesh.ports["v3"].view.metrics = metrics

    with marked(fake_mesh.environment) as alarm:
        hurry(alarm)
        alarm.wait_look(5)
        firing = [alert.name for alert in alarm._watch.firing]
        quiet = alarm.heard(["v1"])
        other.metrics = lambda: b"aitbc_height 3\naitbc_disk_failed 1\n"
        alarm.wait_look(2)
        loud = alarm.heard(["v4"])

    assert firing == [rule]
    assert quiet == {}
    assert loud == {"v4": "alert DiskRefuses: the disk of v4 takes nothing"}


def test_a_node_that_had_changed_before_the_watch_has_nothing_standing(fake_mesh: Any) -> None:
    """A resumed run finds its canary switched: what is wrong with it may be the release's doing."""
    for name in ("v1", "v2"):
        fake_mesh.ports[name].view.metrics = lambda: b"aitbc_height 3\naitbc_disk_failed 1\n"

    with marked(fake_mesh.environment, changed=("v1",)) as alarm:
        assert list(alarm.heard(["v1", "v2"])) == ["v1"]


def test_what_anybody_could_raise_takes_back_no_canary(fake_mesh: Any) -> None:
    """An attack during the watch is told to operators, and held against no release."""
    view = fake_mesh.ports["v3"].view
    with marked(fake_mesh.environment) as alarm:
        view.metrics = noting("attack.stake-grinding")
        assert alarm.wait_look(3)
        firing = [alert.name for alert in alarm._watch.firing]
        quiet = alarm.heard(["v1"])
        view.metrics = noting("vote.twin")
        assert alarm.wait_look(3)
        loud = alarm.heard(["v1"])

    assert firing == ["AttackSeen"]
    assert quiet == {}
    assert loud["v1"].startswith("alert DoubleSign: ")


def test_a_flood_that_fills_every_node_is_no_fault_of_the_canary(fake_mesh: Any) -> None:
    """Where only the canary's room is used up it is: it may not let go of what is final."""
    full = b"aitbc_height 3\naitbc_mempool_txs 95\naitbc_mempool_txs_max 100\n"
    flooded = fake_mesh.ports["v4"].view
    told = [alert for alert in rules.load(fake_mesh.environment) if alert.name.startswith("Mem")]

    with marked(fake_mesh.environment) as alarm:
        hurry(alarm)
        fake_mesh.ports["v1"].view.metrics = lambda: full
        before, flooded.metrics = flooded.metrics, lambda: full
        alarm.wait_look(4)
        excused = alarm.heard(["v1"])
        flooded.metrics = before
        alarm.wait_look(2)
        blamed = alarm.heard(["v1"])

    assert [rule.labels["canary"] for rule in told] == ["alone"]
    assert excused == {}
    assert blamed == {"v1": "alert MempoolNearlyFull: v1 soon takes no more transactions"}


def test_a_watch_that_a_bug_ends_is_unknown_and_never_quiet(
    fake_mesh: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a first good look the rules throw: nobody says "no alert" in a bake or elsewhere."""
    looks: Iterator[list[Change]] = iter([[]])
    noted: list[tuple[str, str]] = []

    def once(_alerter: Alerter, _samples: Any, *, now: float) -> list[Change]:
        if now and (found := next(looks, None)) is not None:
            return found
        raise ZeroDivisionError

    def note(kind: str, **fields: str) -> None:
        noted.append((kind, fields["text"]))

    monkeypatch.setattr(Alerter, "step", once)
    with alarming.Alarm(fake_mesh.environment) as alarm:
        alarm.begin()
        alarm.wait_look()
        said, held = alarm.words(), alarm.heard(["v1"])
    with overheard(fake_mesh.environment, SimpleNamespace(event=note)):  # type: ignore[arg-type]
        for each in threading.enumerate():
            if each.name == "alerts":
                each.join(60)
    for seconds in (None, 60.0):
        with pytest.raises(ZeroDivisionError), Collector(fake_mesh.environment) as collector:
            collector.look_for(seconds)

    assert said == "alerts: not available, a bug ended the watch, ZeroDivisionError()"
    assert held == {}
    assert noted == [("alert.unknown", "a bug ended the watch, ZeroDivisionError()")]


def test_where_nobody_tells_metrics_alerts_are_not_available(fake_mesh: Any) -> None:
    """Releases without metrics: that is said, and no rule is called quiet."""
    for port in fake_mesh.ports.values():
        port.view.metrics = lambda: b"{ this is no metric"

    with marked(fake_mesh.environment) as alarm:
        assert alarm.words() == "alerts: not available, no node tells its metrics"
        assert alarm.heard(["v1"]) == {}


def test_the_list_tells_ok_from_unknown(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Nodes that tell a height only leave most rules unknown, and a dead one is pending."""
    fake_mesh.kill("v2")

    assert run(["alerts", "list", "--for", "1", "--json"]) == Exit.OK

    rows = json.loads(capsys.readouterr().out)["alerts"]
    states = {row["name"]: (row["state"], row["node"]) for row in rows}
    assert states["NodeDown"] == ("pending", "v2")
    assert states["NodeBehind"] == ("ok", "")
    assert states["ClockOff"] == ("unknown", "")


def test_the_watch_ends_with_1_while_something_fires(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each alert is one document a line, with the node that it is about."""
    fake_mesh.ports["v3"].view.metrics = lambda: b"aitbc_disk_failed 1\n"

    assert run(["alerts", "watch", "--for", "1", "--json"]) == Exit.FAILED

    [line] = capsys.readouterr().out.splitlines()
    raised = json.loads(line)
    assert (raised["state"], raised["alert"], raised["instance"]) == ("raised", "DiskRefuses", "v3")


def test_an_alert_that_does_not_exist_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """The nearest name is told; one that exists is shown with the numbers of the environment."""
    assert run(["alerts", "show", "NodDown", "-e", "dev"]) == Exit.USAGE
    assert "the nearest is NodeDown" in capsys.readouterr().err

    assert run(["alerts", "show", "ChainStalled", "-e", "dev"]) == Exit.OK
    assert "> 14 " in capsys.readouterr().out
