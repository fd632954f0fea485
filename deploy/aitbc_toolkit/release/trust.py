"""How far is a commit trusted in an environment? Exactly one level, and the reason for it.

Whatever no rule allows is unknown; the host asks the same question again before it checks out.
Do not read `trust.toml` and do not record anything here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from aitbc_toolkit import shell
from aitbc_toolkit.release import signatures
from aitbc_toolkit.release.allowed import SIGNER_ROLE, Allowed, Rule, Signer

_TAGS_MAX = 8
_SHORT = 12


class Level(StrEnum):
    """Say what follows: go on, ask reviewers, or go on and say so loudly."""

    TRUSTED = "trusted"
    UNKNOWN = "unknown"
    DEV = "dev"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Name the commit to judge and the place that it was fetched from.

    `remote` is the address of that place, or the absolute path of a repository on this machine;
    `branches` is where its branches lie in `repository`. `destined` is the branch that it is given
    to when it is trusted, and is not on yet.
    """

    repository: Path
    commit: str
    remote: str
    environment: str
    branches: str = "refs/remotes/origin/"
    destined: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """Hold the one level, the rule that gave it, and why; `proof` is what was signed."""

    level: Level
    commit: str
    rule: str
    signer: str
    proof: str
    reason: str


def decide(candidate: Candidate, allowed: Allowed) -> Decision:
    """Judge a commit by the rules in their order; the first that holds decides."""
    assert signatures.COMMIT.fullmatch(candidate.commit), candidate.commit
    causes = []
    for rule in allowed.rules:
        decision, cause = _judge(candidate, rule, allowed)
        if decision is not None:
            return decision
        causes.append(f"rule {rule.name}: {cause}")
    why = "; ".join(causes) or "no rule"
    if allowed.dev_mode:
        return Decision(Level.DEV, candidate.commit, "", "", "", f"dev_mode, and {why}")
    return Decision(Level.UNKNOWN, candidate.commit, "", "", "", why)


def tags_of(candidate: Candidate) -> list[str]:
    """List the environment's release tags that are said to be on the commit, newest first."""
    prefix = f"refs/tags/rel/{candidate.environment}/"
    named = ["for-each-ref", f"--points-at={candidate.commit}", "--sort=-version:refname"]
    argv = [*named, f"--count={_TAGS_MAX}", "--format=%(refname)", prefix]
    lines = _git(candidate, *argv).stdout.splitlines()
    return [line.removeprefix("refs/tags/") for line in lines]


def signer_of(tag: str, candidate: Candidate, allowed: Allowed) -> str:
    """Find who signed a release tag on the commit, whatever branch it is on; nobody is `""`."""
    for signer in allowed.valid():
        if SIGNER_ROLE not in signer.roles:
            continue
        with signatures.keyring(
            signer.principal,
            signer.public_key,
            revoked=allowed.revoked_lines(),
            namespace=signatures.GIT,
        ) as ring:
            if signatures.tag_is_signed(candidate.repository, tag, candidate.commit, ring):
                return signer.principal
    return ""


def matches(pattern: str, text: str) -> bool:
    """Compare with a pattern in which `*` stands for anything but a slash."""
    parts = map(re.escape, pattern.split("*"))
    return re.fullmatch("[^/]*".join(parts), text) is not None


def _judge(candidate: Candidate, rule: Rule, allowed: Allowed) -> tuple[Decision | None, str]:
    if not matches(rule.source, candidate.remote):
        return None, f"it comes from {candidate.remote}, not from {rule.source}"
    if not _is_reachable(candidate, rule.branch):
        return None, f"it is not on branch {rule.branch}"
    signers = [each for each in allowed.valid() if each.principal in rule.signers]
    for signer in signers:
        for proof in _proofs(candidate, signer, allowed):
            short = candidate.commit[:_SHORT]
            reason = f"{proof} is signed by {signer.principal}, {short} is on {rule.branch}"
            level = Level.TRUSTED
            decided = Decision(level, candidate.commit, rule.name, signer.principal, proof, reason)
            return decided, ""
    return None, f"neither it nor a tag of it is signed by {', '.join(rule.signers)}"


def _proofs(candidate: Candidate, signer: Signer, allowed: Allowed) -> Iterator[str]:
    """Find what the signer has signed: the commit itself, or a release tag on it."""
    repository, commit = candidate.repository, candidate.commit
    with signatures.keyring(
        signer.principal,
        signer.public_key,
        revoked=allowed.revoked_lines(),
        namespace=signatures.GIT,
    ) as ring:
        if signatures.commit_is_signed(repository, commit, ring):
            yield "the commit"
        for tag in tags_of(candidate):
            if signatures.tag_is_signed(repository, tag, commit, ring):
                yield f"tag {tag}"


def _is_reachable(candidate: Candidate, branch: str) -> bool:
    """Tell whether the commit is on the branch; git alone would take `main/x` for `main`, too."""
    if candidate.destined and matches(branch, candidate.destined):
        return True
    listed = ["for-each-ref", f"--contains={candidate.commit}", "--format=%(refname)"]
    found = _git(candidate, *listed, f"{candidate.branches}{branch}")
    names = [each.removeprefix(candidate.branches) for each in found.stdout.splitlines()]
    return found.ok and any(matches(branch, name) for name in names)


def _git(candidate: Candidate, *words: str) -> shell.Result:
    return shell.run(
        ["git", f"--git-dir={candidate.repository}", *words],
        env=signatures.GIT_ENVIRONMENT,
        check=False,
        timeout_s=20.0,
    )
