"""Do the rules fire and end when they should? Tests in the form of `promtool test rules`.

One file of tests is given to Prometheus' own tool, where there is one, and to the collector's
rules here: what one calls right the other must, too. Do not add tests here: the template has them.
"""

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import msgspec
import promql_parser
import yaml

from aitbc_toolkit import render, shell
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.monitor import rules
from aitbc_toolkit.monitor.alerting import Alert, Alerter, Rule
from aitbc_toolkit.monitor.series import Sample, labels

TEMPLATE = "alerts.test.yaml.j2"
PROMTOOL = "promtool"

_PROMTOOL_S = 120.0
_SERIES = re.compile(r"(\w+)\{(.*)\}")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_RUN = re.compile(r"(?:(?P<start>-?[\d.]+)(?P<step>\+[\d.]+)?|_)(?:x(?P<more>\d+))?|stale")


class _Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    exp_labels: dict[str, str]
    exp_annotations: dict[str, str]


class _Moment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    alertname: str
    eval_time: str
    exp_alerts: list[_Expected]


class _Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    series: str
    values: str


class _Test(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    interval: str
    input_series: list[_Input]
    alert_rule_test: list[_Moment]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rule_files: list[str]
    evaluation_interval: str
    tests: list[_Test]


class Proof(NamedTuple):
    """Tell what was tested and what was wrong."""

    rules: int
    moments: int
    untested: tuple[str, ...]
    wrong: tuple[str, ...]


def text(environment: Environment) -> str:
    """Render the tests of an environment's rules."""
    values = {"env": environment.name, **rules.thresholds(environment)._asdict()}
    return render.text(TEMPLATE, values)


def prove(environment: Environment) -> Proof:
    """Run the tests on the collector's rules."""
    return prove_text(rules.load(environment), text(environment))


def prove_text(known: Sequence[Rule], written: str) -> Proof:
    """Run a file of tests on rules."""
    file = msgspec.convert(yaml.safe_load(written), _File, strict=False)
    wrong = [each for test in file.tests for each in _differences(known, test)]
    named = {moment.alertname for test in file.tests for moment in test.alert_rule_test}
    return Proof(
        rules=len(known),
        moments=sum(len(test.alert_rule_test) for test in file.tests),
        untested=tuple(rule.name for rule in known if rule.name not in named),
        wrong=tuple(wrong),
    )


def promtool(environment: Environment) -> str | None:
    """Let Prometheus' own tool run the tests: what it found wrong, or None where it is not here."""
    program = shutil.which(PROMTOOL, path=shell.search_path())
    if program is None:
        return None
    with TemporaryDirectory(prefix="aitbc-alerts-") as made:
        folder = Path(made)
        (folder / "alerts.yaml").write_text(rules.text(environment), encoding="utf-8")
        (folder / "tests.yaml").write_text(text(environment), encoding="utf-8")
        argv = [program, "test", "rules", str(folder / "tests.yaml")]
        done = shell.run(argv, timeout_s=_PROMTOOL_S, check=False)
    return "" if done.ok else done.tail or "it failed and said nothing"


def _differences(known: Sequence[Rule], test: _Test) -> Iterator[str]:
    """Play the series of one test and compare what fires with what should."""
    named = {moment.alertname for moment in test.alert_rule_test}
    alerter = Alerter([rule for rule in known if rule.name in named])
    step_s = _seconds(test.interval)
    moments = {_seconds(each.eval_time): each for each in test.alert_rule_test}
    series = [(*_named(each.series), list(_values(each.values))) for each in test.input_series]
    for tick in range(int(max(moments) / step_s) + 1):
        samples = [
            Sample(name, told, value)
            for name, told, values in series
            if tick < len(values) and (value := values[tick]) is not None
        ]
        alerter.step(samples, now=tick * step_s)
        moment = moments.get(tick * step_s)
        if moment is not None:
            firing = [each for each in alerter.firing if each.name == moment.alertname]
            found, wanted = sorted(map(_shown, firing)), sorted(map(_wanted, moment.exp_alerts))
            if found != wanted:
                where = f"{moment.alertname} at {moment.eval_time}"
                yield f"{where}: fires {found or 'not'}, should {wanted or 'not'}"


def _shown(alert: Alert) -> str:
    told = {**dict(alert.labels), **alert.rule.labels}
    return f"{sorted(told.items())} {sorted(alert.rule.said(alert.labels).items())}"


def _wanted(expected: _Expected) -> str:
    return f"{sorted(expected.exp_labels.items())} {sorted(expected.exp_annotations.items())}"


def _named(written: str) -> tuple[str, Any]:
    found = _SERIES.fullmatch(written)
    assert found is not None, f"{written!r} is no series"
    return found[1], labels(dict(_LABEL.findall(found[2])))


def _values(written: str) -> Iterator[float | None]:
    """Write out a run of values: `1+2x3` is 1 3 5 7, `_x2` twice nothing, `stale` nothing."""
    for word in written.split():
        run = _RUN.fullmatch(word)
        assert run is not None, f"{word!r} is no run of values"
        more = int(run["more"] or 0)
        if run["start"] is None:
            yield from [None] * max(1, more)
        else:
            for count in range(more + 1):
                yield float(run["start"]) + count * float(run["step"] or 0)


def _seconds(written: str) -> float:
    return promql_parser.parse_duration(written).total_seconds()
