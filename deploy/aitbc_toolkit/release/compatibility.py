"""Does a new build understand the one that runs, and compute the same states?

Asked before the first wave. One host that has both tries them on each other and replays its newest
blocks; what was found good holds for every deploy of the same pair. How they are tried is in
`hostside/comparing.py`.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aitbc_node.rpc.schema import Status
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import source
from aitbc_toolkit.release.facts import Facts
from aitbc_toolkit.release.plan import Plan
from aitbc_toolkit.release.progress import step
from aitbc_toolkit.release.request import Request
from aitbc_toolkit.release.rolling import Run
from aitbc_toolkit.release.source import SHORT

BLOCKS = 200
REPLAY_S = 20
SHAKE_S = 30
"""So long one build waits for the other to be loaded and to shake hands; a busy host is no reason
to call two builds incompatible."""

Checks = Mapping[str, Mapping[str, Any]]
"""What was found of wire, handshake, replay and data version: pass, fail or n.a., and why."""

_HINTS = {
    "wire": "git diff {old} {new} -- node/aitbc_node   # the release that runs must read it too",
    "handshake": "git diff {old} {new} -- node/aitbc_node/transport",
    "replay": "git diff {old} {new} -- node/aitbc_node/ledger   "
    "# another result of a block belongs behind an upgrade height",
    "data version": "aitbc status {environment}   # data versions; take a release that knows them",
}


@dataclass(frozen=True, slots=True)
class Pair:
    """Name the builds that meet, and the node whose host has both; `node` is empty for none."""

    old: str
    new: str
    node: str


def require(run: Run, request: Request, plan: Plan, facts: Facts) -> None:
    """Refuse a build that does not go together with one that runs.

    Raises: AitbcError (refused) before anything that runs is touched; it says what does not fit.
    """
    if not request.compared:
        return
    with step(run.tell, "compatible", f"{plan.revision.short} beside what runs") as now:
        pairs = _pairs(run.environment, plan, facts)
        said = [_judge(run, request, plan, pair) for pair in pairs]
        now.say("; ".join(said) or f"skipped: {_skipped(plan, facts)}")


def _running(facts: Facts) -> dict[str, str]:
    """Say which commit the process of each node was started from, where one runs."""
    return {
        name: str(told["running_commit"])
        for host in facts.values()
        for name, told in host["instances"].items()
        if told["service"]["active"] and told["running_commit"]
    }


def _pairs(environment: Environment, plan: Plan, facts: Facts) -> list[Pair]:
    """Find every other commit that runs, and a node on a host that has it and the new one."""
    new, running = plan.revision.commit, _running(facts)
    staged = {each.host for each in plan.nodes}
    pairs = []
    for old in sorted({*running.values()} - {new}):
        able = [
            name
            for name in running
            if environment.instance(name).host in staged
            and old in facts[environment.instance(name).host]["releases"]
        ]
        # The node with the least power first: the trial takes a little of its host's time.
        able.sort(key=lambda name: (running[name] != old, environment.instance(name).power, name))
        pairs.append(Pair(old, new, next(iter(able), "")))
    return pairs


def _skipped(plan: Plan, facts: Facts) -> str:
    runs = _running(facts)
    return f"every node runs {plan.revision.short}" if runs else "nothing runs yet"


def _judge(run: Run, request: Request, plan: Plan, pair: Pair) -> str:
    """Try one pair, or remember; return what there is to say.

    Raises: AitbcError (refused).
    """
    if not pair.node:
        return f"not available beside {pair.old[:SHORT]}: no host has both"
    statuses = [each for each in run.mesh.statuses().values() if each]
    versions = {
        "data_version": max((each.data_version for each in statuses), default=1),
        "app_version": max((rules_needed(each) for each in statuses), default=0),
    }
    key = _key(request, plan, pair, versions)
    shelf = run.environment.folder / "compatible" / f"{key}.json"
    if shelf.is_file():
        known = json.loads(shelf.read_text(encoding="utf-8"))
        return f"{_said(known['checks'])}, as {known['host']} found at {known['at']}"
    trial = {"blocks": BLOCKS, "replay_s": REPLAY_S, "shake_s": SHAKE_S, **versions}
    answer = run.crew.compare(pair.node, old=pair.old, new=pair.new, key=key, **trial)
    checks: Checks = answer["checks"]
    failed = {name: each for name, each in checks.items() if each["state"] == "fail"}
    if failed:
        raise _refused(run.environment, pair, failed)
    host = run.environment.instance(pair.node).host
    if all(each["state"] == "pass" for each in checks.values()):
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        _keep(shelf, {"checks": checks, "host": host, "at": at})
    took = "known there" if answer["kept"] else f"{answer['took_ms']:,} ms"
    return f"{_said(checks)}, on {host} ({took})"


def rules_needed(status: Status) -> int:
    """Return which rules a build has to know: those of now, or those that are planned."""
    planned = 0 if status.upgrade is None else status.upgrade.app_version
    return max(status.app_version, planned)


def _key(request: Request, plan: Plan, pair: Pair, versions: Mapping[str, int]) -> str:
    """Name what a finding is about; anything else may change without making it wrong."""
    lock = source.lock(pair.new, root=request.checkout)
    needed = [str(versions[name]) for name in ("data_version", "app_version")]
    words = [pair.old, pair.new, plan.genesis_hash, *needed, _digest(lock)]
    return _digest("\n".join(words))[:32]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _keep(path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(json.dumps(document, sort_keys=True), encoding="utf-8")
    fresh.rename(path)


def _said(checks: Checks) -> str:
    """Write what was found as one line."""
    words = {
        "wire": "wire ok",
        "handshake": "handshake ok",
        "data version": "data version known",
    }
    if (replay := checks["replay"])["state"] == "pass":
        words["replay"] = (
            f"replay of {replay['blocks']:,} blocks to height {replay['height']:,} "
            "gives the same state root"
        )
    missing = [f"{name} n.a. ({each['why']})" for name, each in checks.items() if _lacks(each)]
    return ", ".join([*(words[name] for name in checks if not _lacks(checks[name])), *missing])


def _lacks(check: Mapping[str, Any]) -> bool:
    return bool(check["state"] == "n.a.")


def _refused(environment: Environment, pair: Pair, failed: Checks) -> AitbcError:
    old, new = pair.old[:SHORT], pair.new[:SHORT]
    lines = [f"  {name:<16} {each['why']}" for name, each in failed.items()]
    hints = [_HINTS[name].format(old=old, new=new, environment=environment.name) for name in failed]
    head = f"deploy {environment.name} refused: {new} is not compatible with {old}, which runs"
    return AitbcError(
        "\n".join([head, *lines, "  changed so far   nothing that runs, on no host"]),
        hint="\n".join(hints),
        exit_status=Exit.REFUSED,
    )
