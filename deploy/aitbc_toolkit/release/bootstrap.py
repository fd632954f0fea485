"""How does a bare host become one that can take a deploy? From root's SSH and nothing else.

Packages first, by a shell script because Python may be missing; then user, folders, uv, keys,
journal limits and firewall in one program. The firewall stays only if a new connection comes
through it. What a node needs is not made here: that is the deploy's.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from aitbc_toolkit import locks, paths
from aitbc_toolkit.errors import Exit, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.needs import HOST_PACKAGES
from aitbc_toolkit.release import permission
from aitbc_toolkit.release.hosts import Crew
from aitbc_toolkit.release.occupation import at_work
from aitbc_toolkit.release.outcome import Outcome, fact
from aitbc_toolkit.release.progress import Tell, duration, note, step
from aitbc_toolkit.remote import Hosts, Row

_LOOK_S = 30
_PROVISION_S = 600
_BOOTSTRAP_S = 240
_CONFIRM_S = 30

Rows = Mapping[str, Row]


def bootstrap(environment: Environment, tell: Tell, *, only: str = "") -> Outcome:
    """Set up every host of an environment, or one; a second run changes nothing.

    Raises: UsageError when there is nothing to set up, AitbcError when a host fails.
    """
    began = time.monotonic()
    environment = _narrowed(environment, only)
    names = [host.name for host in environment.hosts]
    permission.require(environment, "operate", subject=f"bootstrap {' '.join(names)}")
    with step(tell, "packages", f"packages of {_count(names)}") as now:
        # Without Python a host can neither grant a lease nor check one; apt has locks of its own.
        with Hosts(environment) as remote:
            provisioned = _provision(Crew(environment, remote), names)
        now.say(_said(provisioned, "missing", "package"))
    with (
        at_work(environment, tell, reason="bootstrap", decides=False) as run,
        step(tell, "host", "user, uv, keys, firewall") as now,
    ):
        uv = locks.requirement(paths.project_root(), "uv")
        rows = run.crew.set_up("bootstrap", names, deadline_s=_BOOTSTRAP_S, uv_requirement=uv)
        run.crew.require(rows, verb="bootstrap", changed=_so_far(rows), status=Exit.FAILED)
        now.say(_said(rows, "changed", "change"))
    on_trial = [name for name, row in rows.items() if row.answer["on_trial"]]
    if on_trial:
        _confirm(environment, tell, on_trial)
    return _outcome(environment, tell, provisioned, rows, took_s=time.monotonic() - began)


def look(crew: Crew, names: Sequence[str]) -> Rows:
    """Tell which packages hosts lack and what time they have, without Python; change nothing."""
    packages = " ".join(HOST_PACKAGES)
    return crew.set_up("provision", names, deadline_s=_LOOK_S, packages=packages, look_only="yes")


def _provision(crew: Crew, names: Sequence[str]) -> Rows:
    more = {"packages": " ".join(HOST_PACKAGES), "look_only": "no"}
    rows = crew.set_up("provision", names, deadline_s=_PROVISION_S, **more)
    crew.require(rows, verb="bootstrap", changed="packages at most", status=Exit.FAILED)
    return rows


def _narrowed(environment: Environment, only: str) -> Environment:
    """Leave out the hosts that are not set up: they may be as bare, and have no lease to give."""
    asked = [environment.host(only)] if only else list(environment.hosts)
    hosts = tuple(host for host in asked if host.manager == "systemd")
    if not hosts:
        raise UsageError(
            f"{only or environment.name} needs no bootstrap: its nodes run below this checkout",
            hint=f"aitbc up {environment.name}",
        )
    nodes = tuple(each for host in hosts for each in environment.on(host.name))
    return replace(environment, hosts=hosts, instances=nodes)


def _confirm(environment: Environment, tell: Tell, names: Sequence[str]) -> None:
    """Come back to the hosts over new connections, through their new firewalls."""
    with (
        at_work(environment, tell, reason="bootstrap", decides=False) as run,
        step(tell, "firewall", f"{_count(names)} through the new firewall") as now,
    ):
        rows = run.crew.set_up("confirm", names, deadline_s=_CONFIRM_S)
        changed = "all but the firewall, which takes itself back"
        run.crew.require(rows, verb="bootstrap", changed=changed, status=Exit.FAILED)
        now.say(f"{_count(names)} answered through the new firewall, kept")


def _outcome(
    environment: Environment, tell: Tell, provisioned: Rows, rows: Rows, *, took_s: float
) -> Outcome:
    changes = {
        name: [
            *(f"package {each}" for each in provisioned[name].answer["missing"]),
            *row.answer["changed"],
        ]
        for name, row in rows.items()
    }
    count = sum(map(len, changes.values()))
    for name, row in rows.items():
        if row.answer["clock"] == "not synchronised":
            note(tell, f"warning: the clock of {name} is not synchronised yet")
    head = f"Set up {_count(list(rows))} of {environment.name}: {count} changes"
    lines = [f"{head if count else head.replace('Set up', 'Nothing to do on')}, took "]
    lines[0] += duration(took_s)
    for name, made in changes.items():
        lines += [fact(name if place == 0 else "", each) for place, each in enumerate(made)]
    new = [name for name, made in changes.items() if "deploy key" in made]
    lines += [fact("deploy key", f"{name}: {rows[name].answer['deploy_key']}") for name in new]
    return Outcome(
        Exit.OK,
        lines,
        changed=[f"{name}: {each}" for name, made in changes.items() for each in made],
        took_s=took_s,
        facts={"hosts": {name: _facts(row) for name, row in rows.items()}},
    )


def _facts(row: Row) -> dict[str, object]:
    return {name: row.answer[name] for name in ("deploy_key", "clock")}


def _said(rows: Rows, kind: str, noun: str) -> str:
    count = sum(len(row.answer[kind]) for row in rows.values())
    return f"{count} {noun}{'' if count == 1 else 's'} on {_count(list(rows))}"


def _so_far(rows: Rows) -> str:
    done = [name for name, row in rows.items() if row.ok]
    return f"packages; all else on {' '.join(done) or 'no host'}"


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} host{'' if len(names) == 1 else 's'}"
