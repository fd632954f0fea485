"""What do hosts and nodes tell, all asked at one moment, for somebody who has to find a fault?

Reads only. Nodes are asked twice: as the environment's own, where a stranger counts as silent, and
as whoever answers there, for a stranger is what may have to be found. What follows is judged in
`network`.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aitbc_node.rpc import schema
from aitbc_toolkit import overview
from aitbc_toolkit.asking import MeshClient, Silence, open_mesh
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.monitor import collecting, rules
from aitbc_toolkit.monitor.alerting import Alert, Alerter
from aitbc_toolkit.overview import Overview
from aitbc_toolkit.release import clocks
from aitbc_toolkit.release.hosts import Crew
from aitbc_toolkit.remote import Hosts, Row
from aitbc_toolkit.rpc_client import Target


@dataclass(frozen=True, slots=True)
class Sight:
    """Hold everything that was told.

    `told` is by whoever answers in a node's place; `hosts` has a row for each host, `mends` what
    helps where one is not reached; `alerts` hold by one look, so nothing that counts is among them.
    Units: `clocks_ms` is how far each host's clock is off ours at least.
    """

    environment: Environment
    told: Mapping[str, schema.Status | Silence]
    seen: Overview
    hosts: Mapping[str, Row]
    mends: Mapping[str, str]
    clocks_ms: Mapping[str, int]
    metrics: Mapping[str, Mapping[str, float]]
    alerts: Sequence[Alert]


def look(environment: Environment) -> Sight:
    """Ask every host and every node."""
    with Hosts(environment) as remote:
        crew = Crew(environment, remote)
        rows = crew.looks()
        # The first question opened the connections; the second is quick enough to judge a clock by.
        again = crew.looks([name for name, row in rows.items() if row.ok])
    lost = {name: row for name, row in rows.items() if row.kind == "unreachable"}
    anybody = [Target(each.name, each.rpc_url) for each in environment.instances]
    with MeshClient(anybody) as strangers, open_mesh(environment) as mesh:
        told = strangers.ask_all(lambda node: node.status())
        seen = overview.look(environment, mesh)
        samples = list(collecting.samples(environment, mesh))
    alerter = Alerter(rules.load(environment))
    alerter.step(samples, now=time.time())
    metrics: dict[str, dict[str, float]] = {each.name: {} for each in environment.instances}
    for sample in samples:
        metrics[dict(sample.labels)["instance"]][sample.name] = sample.value
    return Sight(
        environment=environment,
        told=told,
        seen=seen,
        hosts=rows,
        mends={name: crew.mend(row) for name, row in lost.items()},
        clocks_ms={name: clocks.offset_ms(row) for name, row in again.items() if row.ok},
        metrics=metrics,
        alerts=alerter.alerts,
    )
