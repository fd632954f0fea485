"""Where does a release stand with trust and approvals, in records and in words?

Puts decision, request and reviews of one environment together. The rules are elsewhere: `trust`,
`approvals`, `roles`.
"""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from aitbc_toolkit import render
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import approvals, audit, founding, permission, reviews, safekeeping
from aitbc_toolkit.release.allowed import Allowed
from aitbc_toolkit.release.approvals import Request, Rules, Verdict
from aitbc_toolkit.release.outcome import fact
from aitbc_toolkit.release.source import SHORT, who
from aitbc_toolkit.release.trust import Decision, Level

_STAND_IN = "0" * 40


def configuration_of(environment: Environment) -> str:
    """Hash what would be rendered for every node; keys, commit and genesis are bound elsewhere."""
    names = {each.name: _STAND_IN for each in environment.instances}
    ready = render.configurations(environment, commit=_STAND_IN, peer_ids=names, genesis=_STAND_IN)
    return approvals.digest(*(f"{name} {each.hash}" for name, each in sorted(ready.items())))


def request_for(environment: Environment, commit: str) -> tuple[str, str, str, str]:
    """Say what has to be approved to deploy a commit now."""
    founded = founding.read(environment)
    genesis = founded.hash if founded else ""
    return environment.name, commit, configuration_of(environment), genesis


def ask(environment: Environment, commit: str) -> Request:
    """Put a commit into the queue of an environment, or find its request there."""
    folder = safekeeping.folder_of(environment)
    known = {each.hash for each in reviews.waiting(folder)}
    subject = request_for(environment, commit)
    request = reviews.ask(folder, subject=subject, now_s=time.time())
    if request.hash not in known:
        entry = audit.Entry("ask", request.hash, "pending", who(), f"commit {commit}")
        audit.append(audit.path_of(environment), entry)
    return request


def verdict(
    environment: Environment, known: Allowed, request: Request, *, deployer: str
) -> Verdict:
    """Find where a request stands now."""
    counted, _ = reviews.verified(safekeeping.folder_of(environment), request, known)
    strict = safekeeping.is_strict(environment)
    rules = Rules(environment.profile.approvals, deployer=deployer, strict=strict)
    return approvals.judge(request, counted, rules, now=reviews.moment(time.time()))


def review(
    environment: Environment,
    prefix: str,
    *,
    key: Path,
    decision: Literal["approve", "deny"],
    reason: str,
) -> tuple[Request, Verdict, Path]:
    """Sign a word on a request; return it, where it stands now, and the file that was written."""
    known, folder = safekeeping.load(environment), safekeeping.folder_of(environment)
    request = reviews.find(folder, prefix)
    permission.demand(environment, known, "approve", key=key, subject=request.hash)
    own = reviews.own_key(known, key)
    path = reviews.write(folder, request, own, decision=decision, reason=reason, now_s=time.time())
    found = verdict(environment, known, request, deployer="")
    entry = audit.Entry(decision, request.hash, str(found.state), own.signer.principal, reason)
    audit.append(audit.path_of(environment), entry)
    return request, found, path


def queue(environment: Environment, known: Allowed) -> list[dict[str, Any]]:
    """List all requests with where they stand and what reviewers said."""
    rows = []
    folder = safekeeping.folder_of(environment)
    for request in reviews.waiting(folder):
        found = verdict(environment, known, request, deployer="")
        counted, refused = reviews.verified(folder, request, known)
        rows.append(
            {
                "hash": request.hash,
                **asdict(request),
                "state": str(found.state),
                "missing": found.missing,
                "reviews": [asdict(each) for each in counted],
                "not_counted": refused,
            }
        )
    return rows


def record(environment: Environment, decision: Decision) -> None:
    """Write a decision down, whatever follows from it."""
    entry = audit.Entry(
        action="decide",
        subject=decision.commit,
        outcome=str(decision.level),
        who=who(),
        reason=decision.reason,
        level=str(decision.level),
        rule=decision.rule,
        bypassed=decision.level is Level.DEV,
    )
    audit.append(audit.path_of(environment), entry)


def to_document(environment: str, decision: Decision) -> dict[str, Any]:
    """Give a decision as data."""
    bypassed = decision.level is Level.DEV
    return {"environment": environment, **asdict(decision), "bypassed": bypassed}


def decision_lines(environment: str, decision: Decision) -> list[str]:
    """Put a decision into words."""
    lines = [f"{decision.commit[:SHORT]} is {decision.level} in {environment}"]
    lines += [fact("rule", decision.rule)] if decision.rule else []
    lines += [fact("why", cause) for cause in decision.reason.split("; ")]
    if decision.level is Level.DEV:
        lines.append(fact("warning", "dev_mode: nobody has vouched for this code"))
    if decision.level is Level.UNKNOWN:
        short = decision.commit[:SHORT]
        lines.append(f"next: aitbc approvals {environment} --ask {short}")
    return lines


def trust_lines(environment: str, known: Allowed) -> list[str]:
    """Put a trust file into words."""
    lines = [f"{environment}: {len(known.rules)} rules, {len(known.signers)} signers"]
    if known.dev_mode:
        lines.append("  dev_mode  every commit is let through, and audited as bypassed")
    for rule in known.rules:
        signed = f"signed by {', '.join(rule.signers)}"
        lines.append(f"  rule {rule.name}: {rule.source}, branch {rule.branch}, {signed}")
    gone = set(known.revoked_lines())
    for signer in known.signers:
        state = "REVOKED" if signer.public_key.line in gone else ", ".join(signer.roles)
        lines.append(f"  {signer.principal}  {state}  {signer.public_key.fingerprint}")
    lines += [f"  revoked  {each.public_key.fingerprint}  {each.reason}" for each in known.revoked]
    return lines


def waits_for(found: Verdict) -> str:
    """Say what a request still needs, as the end of a sentence."""
    return f", missing: {found.missing}" if found.missing else ""
