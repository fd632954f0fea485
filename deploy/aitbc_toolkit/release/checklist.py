"""What can be said about the rest of the checklist from this machine, without any host?

The checkout's own documents, locks and last test run; the operator's key; what people signed; and,
for things that this product does not have, why there is nothing to look at. No hosts here.
"""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

from aitbc_toolkit import inventory, junit, locks, paths
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.junit import Outcome
from aitbc_toolkit.monitor import proving, rules
from aitbc_toolkit.release import history, provenance, roles, safekeeping, signatures, signoffs
from aitbc_toolkit.release.checks import Area, Check, State
from aitbc_toolkit.release.outcome import seconds
from aitbc_toolkit.release.progress import duration
from aitbc_toolkit.suites import runs

_RUNBOOKS = ("deploy/README.md", "docs/exit-codes.md", "inventories/README.md")
_API = ("docs/protocol.md",)
_SIGNED: dict[str, Area] = {
    "second-factor": "access",
    "emergency-contacts": "access",
    "restore-rehearsed": "backup",
    "security-scan": "scans",
}
assert _SIGNED.keys() == signoffs.ITEMS.keys(), "each sign-off belongs to an area"


def here(environment: Environment, root: Path) -> Iterator[Check]:
    """Go through everything that needs no host."""
    hosts, nodes = len(environment.hosts), len(environment.instances)
    evidence = f"hosts: {hosts}, nodes: {nodes}, chain {environment.chain.id}"
    yield Check("environments", "inventory", "pass", evidence)
    yield _baseline(environment)
    yield _operator(environment, root)
    yield from _locks(root)
    yield _documents("runbooks", "documents", _RUNBOOKS, root)
    yield _documents("api docs", "documents", _API, root)
    yield _tests(environment)
    yield _alerts(environment)
    yield Check("database", "database", "n.a.", "a node keeps its own files, there is no other")
    yield Check("external api", "calls", "n.a.", "nodes call nobody but each other")
    yield from _signed(environment)


def _baseline(environment: Environment) -> Check:
    last = history.newest_healthy(history.read(environment))
    if last is None or "interval_ms" not in last.figures:
        return Check("baselines", "pace", "n.a.", "no deploy has measured the mesh yet")
    interval = seconds(last.figures["interval_ms"])
    gap = seconds(last.figures["longest_gap_ms"])
    evidence = f"interval {interval}, longest gap {gap}, deploy {duration(last.took_s)}"
    return Check("baselines", "pace", "pass", evidence)


def _operator(environment: Environment, root: Path) -> Check:
    """Tell whether the operator may deploy; asking leaves no trace, the deploy itself proves it."""
    if environment.lab:
        return Check("access", "operator", "n.a.", "the lab's own key signs, its hosts verify")
    known, key = safekeeping.load(environment), provenance.configured_key(root)
    if known.dev_mode:
        return Check("access", "operator", "n.a.", "dev_mode: nobody has to prove anything")
    hint = f"aitbc trust list -e {environment.name}"
    if key is None:
        why = "no key is named by user.signingkey of git"
        return Check("access", "operator", "fail", why, hint)
    try:
        holder = known.holder(signatures.public_of(key))
    except AitbcError as unreadable:
        return Check("access", "operator", "fail", unreadable.message, hint)
    if holder is None or not roles.may(holder.roles, "deploy"):
        who = holder.principal if holder else "the key of user.signingkey"
        return Check("access", "operator", "fail", f"{who} may not deploy", hint)
    return Check("access", "operator", "pass", f"{holder.principal} may deploy")


def _locks(root: Path) -> Iterator[Check]:
    found = list(locks.findings(root))
    if found:
        yield Check("venv", "locks", "fail", found[0], "aitbc locks check")
    else:
        yield Check("venv", "locks", "pass", "every package is pinned by version and hashes")


def _documents(area: Area, item: str, names: tuple[str, ...], root: Path) -> Check:
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        return Check(area, item, "fail", f"missing: {' '.join(missing)}", "git status")
    return Check(area, item, "pass", " ".join(names))


def _alerts(environment: Environment) -> Check:
    """Try the rules, with the thresholds of this environment, on made-up metrics."""
    proof = proving.prove(environment)
    wrong = [*proof.wrong, *(f"{name} is not tested" for name in proof.untested)]
    hint = f"aitbc alerts test -e {environment.name}"
    if wrong:
        return Check("alerts", "thresholds", "fail", wrong[0], hint)
    limits = rules.thresholds(environment)
    numbers = f"stalled after {limits.stall_s} s, behind from {limits.lag_blocks} blocks"
    return Check("alerts", "thresholds", "pass", f"{proof.rules} rules hold and end; {numbers}")


def _tests(environment: Environment) -> Check:
    folder = runs.last(environment.state)
    cases = list(junit.read_folder(folder)) if folder else []
    if not cases:
        return Check("test environment", "last run", "n.a.", "no run here yet", "aitbc test")
    failed = sum(case.outcome is Outcome.FAILED for case in cases)
    state: State = "warn" if failed else "pass"
    evidence = f"{len(cases)} tests, {failed} failed"
    return Check("test environment", "last run", state, evidence, "aitbc test" * bool(failed))


def _signed(environment: Environment) -> Iterator[Check]:
    folder = paths.inventories() / inventory.base_name(environment.name)
    found = signoffs.read(folder / signoffs.FILE)
    today = dt.datetime.now(tz=dt.UTC).date()
    for item, what in signoffs.ITEMS.items():
        state: State
        said, evidence = signoffs.judge(found.get(item), today=today)
        state = "pass" if said == "pass" else "unsigned"
        hint = "" if state == "pass" else f"{what}: sign it in {folder / signoffs.FILE}"
        yield Check(_SIGNED[item], item, state, evidence, hint)
