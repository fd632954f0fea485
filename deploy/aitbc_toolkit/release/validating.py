"""Is an environment fit: before a deploy, after one, in its pace, and against intruders?

Every item is something that was tried or measured in this run. What could not be tried is `n.a.`
with the reason, and a validation in which nothing passed has failed. Changes nothing but that the
mesh gets a few transfers.
"""

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aitbc_toolkit import overview
from aitbc_toolkit.asking import open_mesh
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import drift, roots, state, verifying
from aitbc_toolkit.release.checks import Area, Check, State
from aitbc_toolkit.release.occupation import looking
from aitbc_toolkit.release.preflight import preflight
from aitbc_toolkit.release.reading import Mesh

INTERVAL_FACTOR = 1.5
"""How much slower than its interval the median block may come; more means failed rounds."""
EXTRA_ROUNDS_SHARE = 0.1

# Of these a preflight sees that files are there, which tries nothing.
_DOCUMENTS: frozenset[Area] = frozenset({"runbooks", "api docs"})
_CONNECT_S = 2.0


@dataclass(frozen=True, slots=True)
class Validation:
    """Hold what was found, and what the command ends with when something failed."""

    kind: str
    environment: str
    checks: Sequence[Check]
    refusal: Exit = Exit.FAILED

    @property
    def failed(self) -> list[Check]:
        """List what is wrong."""
        return [each for each in self.checks if each.state == "fail"]

    @property
    def exit(self) -> Exit:
        """Tell a failure, and a run that could show nothing, from a pass."""
        passed = any(each.state == "pass" for each in self.checks)
        return self.refusal if self.failed or not passed else Exit.OK

    def to_document(self) -> dict[str, Any]:
        """Write the one document of `--json`."""
        return {
            "kind": self.kind,
            "environment": self.environment,
            "exit": int(self.exit),
            "checks": [
                {field: getattr(each, field) for field in Check.__slots__} for each in self.checks
            ],
        }


def validate(environment: Environment, kind: str) -> Validation:
    """Run one of the four."""
    return KINDS[kind](environment)


def _pre(environment: Environment) -> Validation:
    found = [each for each in preflight(environment).checks if each.area not in _DOCUMENTS]
    return Validation("pre", environment.name, found, refusal=Exit.REFUSED)


def _post(environment: Environment) -> Validation:
    checks = [_votes(environment), _roots(environment), *_drift(environment)]
    done, problem = verifying.smoke(environment)
    checks.append(_check("test environment", "smoke", [problem] if problem else [], done))
    return Validation("post", environment.name, checks)


def _bench(environment: Environment) -> Validation:
    """Measure the newest blocks against the pace that the profile promises."""
    with open_mesh(environment) as mesh:
        found = overview.look(environment, mesh)
    if found.pace is None:
        silent = Check("baselines", "pace", "fail", "there are no blocks to measure")
        return Validation("bench", environment.name, [silent])
    pace, promised = found.pace, environment.chain.block_interval_ms
    slow = pace.interval_p50_ms > INTERVAL_FACTOR * promised
    shown = f"median {pace.interval_p50_ms} ms over {pace.blocks} blocks, promised {promised} ms"
    allowed = EXTRA_ROUNDS_SHARE * pace.blocks
    rounds = f"{pace.extra_rounds} in {pace.blocks} blocks, allowed {allowed:.0f}"
    done, problem = verifying.smoke(environment)
    checks = [
        _check("baselines", "block interval", [shown] if slow else [], shown),
        _check(
            "baselines", "extra rounds", [rounds] if pace.extra_rounds > allowed else [], rounds
        ),
        _check("baselines", "finality", [problem] if problem else [], done),
    ]
    return Validation("bench", environment.name, checks)


def _security(environment: Environment) -> Validation:
    with looking(environment, lambda _record: None) as run:
        rows = run.crew.look("guard")
    checks = []
    for name, row in rows.items():
        if not row.ok:
            checks.append(Check("access", "host", "fail", row.error, row.hint, name))
            continue
        checks += [
            Check(
                "scans", f"{node} {each['item']}", _state(each["state"]), each["evidence"], "", name
            )
            for node, found in row.answer["checks"].items()
            for each in found
        ]
    return Validation("security", environment.name, [*checks, *_outside(environment)])


KINDS: Mapping[str, Callable[[Environment], Validation]] = {
    "pre": _pre,
    "post": _post,
    "bench": _bench,
    "security": _security,
}


def _votes(environment: Environment) -> Check:
    seen = state.look(environment)
    told = f"{seen.votes} of {seen.validators} vote"
    return _check("connectivity", "votes", [told] if seen.votes < seen.validators else [], told)


def _roots(environment: Environment) -> Check:
    with Mesh(environment) as mesh:
        found = roots.compare(mesh)
    fine = f"{found.root[:12]} on all nodes at height {found.height:,}"
    return _check("database", "state roots", [found.problem] if found.problem else [], fine)


def _drift(environment: Environment) -> Iterator[Check]:
    report = drift.look(environment)
    for each in report.differences:
        what = f"{each.node} {each.kind}: {each.what}".strip()
        hint = f"aitbc drift {environment.name}"
        yield Check("environments", "drift", "fail", what, hint, each.host)
    for host, why in report.unreachable.items():
        yield Check("access", "host", "fail", why, "", host)
    if not report.differences and not report.unreachable:
        yield Check("environments", "drift", "pass", f"none on {report.hosts} hosts")


def _outside(environment: Environment) -> Iterator[Check]:
    """Knock at every admin port from here, where the host is another machine."""
    for each in environment.instances:
        host = environment.host(each.host)
        if host.connector == "local":
            continue
        wrong = []
        try:
            with socket.create_connection((host.address, each.admin_port), timeout=_CONNECT_S):
                wrong.append(f"{host.address}:{each.admin_port} answers from here")
        except OSError as refused:
            told = f"{host.address}:{each.admin_port}: {refused}"
        yield _check("firewall", f"{each.name} admin from outside", wrong, told, host=host.name)


def _check(area: Area, item: str, wrong: list[str], fine: str, *, host: str = "") -> Check:
    return Check(area, item, "fail" if wrong else "pass", "; ".join(wrong) or fine, "", host)


def _state(word: str) -> State:
    known: Mapping[str, State] = {"pass": "pass", "n.a.": "n.a."}
    return known.get(word, "fail")
