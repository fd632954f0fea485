"""One file of alert rules for Prometheus and for the collector, and tests that both must pass."""

import re
import shlex

import pytest
import yaml
from command_tree import COMMANDS

from aitbc_node.metrics import SERIOUS
from aitbc_toolkit import paths
from aitbc_toolkit.cli import main
from aitbc_toolkit.errors import ConfigError, Exit
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.monitor import promql, proving, rules

ENVIRONMENTS = ("dev", "lab", "production", "staging")
RUNBOOKS = (paths.project_root() / "docs" / "alerts.md").read_text(encoding="utf-8")


def environment(name: str) -> Environment:
    """Read an environment; its lab may be down."""
    return Inventory.load(name, reachable=False)


RULES = {rule.name: rule for rule in rules.load(environment("dev"))}
TESTS = yaml.safe_load(proving.text(environment("dev")))


def turned(expr: str) -> str:
    """Turn each comparison around."""
    other = {">": "<=", "<=": ">", "<": ">=", ">=": "<", "==": "!="}
    return re.sub(r" (>=|<=|>|<|==) ", lambda found: f" {other[found[1]]} ", expr)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_rule_fires_within_a_minute_and_ends_within_one(name: str) -> None:
    """Each rule is tested, with the numbers of each environment, and none is wrong."""
    proof = proving.prove(environment(name))

    assert proof.wrong == ()
    assert proof.untested == ()
    assert proof.moments >= 3 * proof.rules


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("planted", ["never", "turned"])
def test_a_rule_that_is_wrong_is_found(rule: str, planted: str) -> None:
    """The tests have teeth: with its condition spoiled, those of a rule name it."""
    expr = "up > 9" if planted == "never" else turned(RULES[rule].text)
    spoiled = RULES[rule]._replace(expr=promql.read(expr))
    own = [each for each in TESTS["tests"] if each["alert_rule_test"][0]["alertname"] == rule]
    written = yaml.safe_dump({**TESTS, "tests": own})

    assert proving.prove_text([RULES[rule]], written).wrong == ()
    wrong = proving.prove_text([spoiled], written).wrong

    assert wrong
    assert all(each.startswith(f"{rule} at ") for each in wrong)


@pytest.mark.parametrize(
    "name", ["dev", *(pytest.param(name, marks=pytest.mark.nightly) for name in ENVIRONMENTS[1:])]
)
def test_promtool_says_the_same(name: str) -> None:
    """Prometheus' own tool takes the rules and passes the same tests."""
    told = proving.promtool(environment(name))
    if told is None:
        pytest.skip("no promtool on PATH: apt-get install prometheus")

    assert told == ""


def test_thresholds_follow_the_chain_unless_the_inventory_says_them() -> None:
    """Slow chains may take longer; what is written wins."""
    found = {name: rules.thresholds(environment(name)) for name in ENVIRONMENTS}

    assert found["dev"].stall_s < found["staging"].stall_s < found["production"].stall_s < 60
    assert (found["lab"].lag_blocks, found["production"].lag_blocks) == (20, 5)
    assert (found["dev"].peers_min, found["production"].peers_min) == (2, 5)


def test_every_note_that_a_rule_counts_is_told_from_zero_on() -> None:
    """A counter that appears at 1 has not risen, for a Prometheus."""
    patterns = re.findall(r'name=~"([^"]*)"', rules.text(environment("dev")))

    assert patterns
    for pattern in "|".join(patterns).split("|"):
        assert [note for note in SERIOUS if re.fullmatch(pattern, note)], pattern


@pytest.mark.parametrize("rule", RULES)
def test_every_alert_has_a_page_whose_commands_exist(rule: str) -> None:
    """Whoever is woken finds what it means, how to confirm it and what to do."""
    section = RUNBOOKS.partition(f"\n## {rule}\n")[2].partition("\n## ")[0]

    assert re.search(r"\*\*Means\*\*.*\*\*Confirm\*\*.*\*\*Do\*\*", section, re.DOTALL), section
    for command in re.findall(r"`aitbc ([^`]+)`", section):
        words = shlex.split(command)
        path = max((path for path in COMMANDS if list(path) == words[: len(path)]), key=len)
        COMMANDS[path].make_context(command, words[len(path) :])


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("up{", "is no PromQL"),
        ("rate(up[1m]) > 0", "the function rate"),
        ("up offset 5m > 0", "of another time"),
        ("avg(up) > 0", "the aggregation avg"),
        ("changes(up[1h]) > 0", "a range of 3600 s"),
        ("up > on (env) up", "`on`"),
        ("1", "a number where series"),
    ],
)
def test_what_nobody_evaluates_is_refused(written: str, said: str) -> None:
    """A rule that the collector cannot judge is no rule that is silently well."""
    with pytest.raises(ConfigError, match=re.escape(said)):
        promql.read(written)


def test_a_file_that_is_no_list_of_rules_is_refused() -> None:
    """A key with a typo is named."""
    with pytest.raises(ConfigError, match="exprs"):
        rules.read("groups: [{name: a, interval: 5s, rules: [{alert: A, exprs: up == 0}]}]")


def test_the_command_tests_the_rules(capsys: pytest.CaptureFixture[str]) -> None:
    """`alerts test` says how much was tested, and whether Prometheus' tool took part."""
    assert main.run(["alerts", "test", "-e", "production"]) == Exit.OK

    shown = capsys.readouterr().out
    assert "rules of production at" in shown
    assert "moments: 0 wrong" in shown
    assert "promtool: " in shown
