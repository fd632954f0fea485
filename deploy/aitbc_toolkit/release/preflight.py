"""Would a deploy be refused, and what else should be known before one? Everything at once.

Looks at this machine, at every host and at every node, and changes nothing anywhere. The items
that a deploy insists on come from the same host-side code that the deploy itself asks. What a
checkout, a clock or a person has to say is in modules of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aitbc_toolkit import paths
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Environment, Host
from aitbc_toolkit.release import checklist, clocks, founding, labs, source, waves
from aitbc_toolkit.release.bootstrap import look
from aitbc_toolkit.release.checks import Area, Check, Report, State, report
from aitbc_toolkit.release.facts import seen
from aitbc_toolkit.release.gates import voting
from aitbc_toolkit.release.occupation import looking
from aitbc_toolkit.release.rolling import Run
from aitbc_toolkit.remote import Row

_CHECK_S = 60
_AREAS: Mapping[str, Area] = {
    "python": "packages",
    "git": "packages",
    "user": "access",
    "supervision": "packages",
    "uv": "venv",
    "disk": "capacity",
    "memory": "capacity",
    "ports": "connectivity",
    "clock": "connectivity",
    "time service": "connectivity",
    "git remote": "git",
    "ssh passwords": "ssh",
    "journal": "monitoring",
    "firewall": "firewall",
}

Facts = dict[str, Mapping[str, Any]]


def preflight(environment: Environment, *, checkout: Path | None = None) -> Report:
    """Look at everything that can be looked at from here.

    Raises: ConfigError when the operator's own files cannot be read.
    """
    root = checkout or paths.project_root()
    place, found = _git(environment, root)
    found += checklist.here(environment, root)
    with looking(environment, lambda _record: None) as run:
        reached, rows = _reach(run)
        facts, more = _hosts(run, reached, place)
        found += [*rows, *more, *_nodes(run, facts)]
    return report(environment.name, found)


def _git(environment: Environment, root: Path) -> tuple[dict[str, str], list[Check]]:
    """Look at the checkout; tell also where hosts would fetch from."""
    revision = source.resolve(None, snapshot=False, root=root)
    dirty = revision.dirty and not environment.rules.dirty
    evidence = f"{revision.short}, {revision.dirty} paths not committed"
    checks = [
        Check("git", "checkout", "warn" if dirty else "pass", evidence, "git commit" * bool(dirty))
    ]
    if environment.lab:
        found = labs.of(environment)
        return {"url": found.git_url, "ssh_config": str(found.ssh_config), "why": ""}, checks
    try:
        place = source.publish(environment, revision, root=root)
    except AitbcError as refused:
        why = refused.message.partition("refused: ")[2] or refused.message
        checks.append(Check("git", "commit", "fail", why, refused.hint))
        return {"url": "", "ssh_config": "", "why": why}, checks
    checks.append(Check("git", "commit", "pass", f"{revision.short} is at {place.url}"))
    return {"url": place.url, "ssh_config": place.ssh_config, "why": ""}, checks


def _reach(run: Run) -> tuple[list[str], list[Check]]:
    """Log in to every host without Python; tell who can go on, and who let us in."""
    environment, checks, able = run.environment, list[Check](), list[str]()
    own = [host.name for host in environment.hosts if host.manager == "supervisord"]
    names = [host.name for host in environment.hosts if host.name not in own]
    first = look(run.crew, names)
    # The first question opened the connections; the second is quick enough to judge a clock by.
    again = look(run.crew, [name for name, row in first.items() if row.kind != "unreachable"])
    for name, row in first.items():
        checks.append(_access(run, environment.host(name), row))
        if row.kind == "unreachable":
            continue
        checks.append(_packages(environment, row))
        if again[name].ok:
            checks.append(_check(name, clocks.check(again[name])))
        if row.ok and "python3" not in row.answer["missing"]:
            able.append(name)
    checks += [Check("ssh", "access", "n.a.", "this machine", host=name) for name in own]
    return [*own, *able], checks


def _access(run: Run, host: Host, row: Row) -> Check:
    if row.kind == "unreachable":
        why = row.error.removeprefix("unreachable: ")
        return Check("ssh", "access", "fail", why, run.crew.mend(row), host.name)
    if host.connector == "local":
        return Check("ssh", "access", "n.a.", "this machine", host=host.name)
    return Check("ssh", "access", "pass", "its pinned host key, our key", host=host.name)


def _packages(environment: Environment, row: Row) -> Check:
    if not row.ok:
        return Check("packages", "packages", "fail", row.error, row.hint, row.host)
    missing = list(row.answer["missing"])
    if not missing:
        return Check("packages", "packages", "pass", "all are installed", host=row.host)
    hint = f"aitbc bootstrap {environment.name} --only {row.host}"
    needed = {"python3", "git", "ca-certificates"} & set(missing)
    state: State = "fail" if needed else "warn"
    return Check("packages", "packages", state, f"missing: {' '.join(missing)}", hint, row.host)


def _hosts(run: Run, names: Sequence[str], place: Mapping[str, str]) -> tuple[Facts, list[Check]]:
    """Ask every host that has Python for everything else."""
    facts: Facts = {}
    checks: list[Check] = []
    for name, row in run.crew.set_up("check", names, deadline_s=_CHECK_S, git_source=place).items():
        if not row.ok:
            checks.append(Check("packages", "python", "fail", row.error, row.hint, name))
            continue
        facts[name] = row.answer
        checks += [_check(name, each) for each in row.answer["checks"]]
    return facts, checks


def _check(host: str, row: Mapping[str, str]) -> Check:
    state: Any = row["state"]
    return Check(_AREAS[row["item"]], row["item"], state, row["evidence"], row["hint"], host)


def _nodes(run: Run, facts: Facts) -> Iterator[Check]:
    """Look at the mesh as it is: what runs, on which genesis, and whether it bears a deploy."""
    environment, statuses = run.environment, run.mesh.statuses()
    for name, why in run.mesh.strangers.items():
        yield Check("connectivity", "strangers", "fail", f"{name}: {why}", "ss -ltnp")
    told = {name: status for name, status in statuses.items() if status is not None}
    if not told:
        why = "no node answers: nothing is deployed yet, or all are down"
        for item in ("versions", "genesis", "budget"):
            yield Check("environments", item, "n.a.", why)
        yield Check("monitoring", "metrics", "n.a.", why)
        return
    commits = sorted({status.commit[: source.SHORT] for status in told.values()})
    again = f"aitbc deploy {environment.name}"
    if len(commits) == 1:
        yield Check("environments", "versions", "pass", f"{len(told)} nodes run {commits[0]}")
    else:
        yield Check("environments", "versions", "warn", f"nodes run {', '.join(commits)}", again)
    yield _genesis(environment, {name: status.genesis_hash for name, status in told.items()})
    yield _budget(run, facts, votes=len(voting(environment, statuses)))
    deaf = [name for name in told if not run.mesh.serves(name, "/metrics")]
    evidence = f"no answer from {' '.join(deaf)}" if deaf else f"{len(told)} nodes give them"
    yield Check("monitoring", "metrics", "warn" if deaf else "pass", evidence)


def _genesis(environment: Environment, hashes: Mapping[str, str]) -> Check:
    known = founding.read(environment)
    found = sorted(set(hashes.values()))
    ours = known.hash if known else found[0]
    others = [name for name, each in hashes.items() if each != ours]
    if others:
        evidence = f"{' '.join(others)} do not run {ours[:12]}"
        hint = f"aitbc genesis check {environment.name}"
        return Check("environments", "genesis", "fail", evidence, hint)
    return Check("environments", "genesis", "pass", f"{ours[:12]} on {len(hashes)} nodes")


def _budget(run: Run, facts: Facts, *, votes: int) -> Check:
    """Plan a deploy that changes every node: what would refuse it, refuses it here."""
    environment = run.environment
    if len(facts) < len(environment.hosts):
        return Check("environments", "budget", "n.a.", "not every host could be looked at")
    names = [each.name for each in environment.instances]
    try:
        order = waves.order(environment, names, seen(run, facts), allow_stall=False)
    except AitbcError as refused:
        why = refused.message.partition("refused: ")[2].partition("\n")[0]
        return Check("environments", "budget", "fail", why, refused.hint)
    evidence = f"{votes} of {len(environment.validators)} vote, waves: {len(order.waves)}"
    return Check("environments", "budget", "pass", evidence)
