"""Which alert rules has an environment, and from which values on do they hold?

One template, rendered for the environment, is all that there is: a Prometheus loads it as it is,
and the toolkit's own collector reads the same text. Do not write a condition in Python.
"""

import math
from typing import NamedTuple

import msgspec
import promql_parser
import yaml

from aitbc_toolkit import render
from aitbc_toolkit.errors import ConfigError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.monitor import promql
from aitbc_toolkit.monitor.alerting import Rule
from aitbc_toolkit.release import gates

TEMPLATE = "alerts.yaml.j2"

_LAG_S = 10.0
_LAG_BLOCKS_MIN = 5
_PEERS_ENOUGH = 8


class Thresholds(NamedTuple):
    """Hold from which values on the rules of one environment hold."""

    stall_s: int
    lag_blocks: int
    peers_min: int
    disk_pct: int
    clock_skew_s: float


class _Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    alert: str
    expr: str
    labels: dict[str, str]
    annotations: dict[str, str]
    for_: str = msgspec.field(name="for", default="")


class _Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    interval: str
    rules: list[_Written]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    groups: list[_Group]


def thresholds(environment: Environment) -> Thresholds:
    """Take what the inventory says, and for the rest what follows from the chain and its nodes."""
    said, interval_s = environment.alerts, environment.chain.block_interval_ms / 1000
    stall_s = gates.patience(environment, live=True).stall_s
    others = len(environment.instances) - 1
    return Thresholds(
        stall_s=said.stall_s or math.ceil(stall_s),
        lag_blocks=said.lag_blocks or max(_LAG_BLOCKS_MIN, math.ceil(_LAG_S / interval_s)),
        peers_min=said.peers_min or min(_PEERS_ENOUGH, math.ceil(others / 2)),
        disk_pct=said.disk_pct,
        clock_skew_s=said.clock_skew_ms / 1000,
    )


def text(environment: Environment) -> str:
    """Render the rules of an environment, for a Prometheus."""
    values = {"env": environment.name, **thresholds(environment)._asdict()}
    return render.text(TEMPLATE, values)


def load(environment: Environment) -> list[Rule]:
    """Read the rules of an environment."""
    return read(text(environment))


def read(written: str) -> list[Rule]:
    """Read a file of rules.

    Raises: ConfigError for what is no rule, or uses what nothing evaluates here.
    """
    try:
        file = msgspec.convert(yaml.safe_load(written), _File)
    except (yaml.YAMLError, msgspec.ValidationError) as wrong:
        hint = f"edit templates/{TEMPLATE}"
        raise ConfigError(f"the alert rules cannot be read: {wrong}", hint=hint) from wrong
    return [
        Rule(
            each.alert,
            each.expr,
            promql.read(each.expr),
            promql_parser.parse_duration(each.for_).total_seconds() if each.for_ else 0.0,
            each.labels,
            each.annotations,
        )
        for group in file.groups
        for each in group.rules
    ]
