"""Who vouches for the commit of this deploy, and what are the hosts told to look for?

This machine stops a commit that is neither trusted nor approved; every host asks again between
fetch and checkout, for the same signature or for the same reviewers' words, and the host's answer
counts. In a lab its own key signs. In dev nobody vouches, which is said and audited.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import (
    approvals,
    audit,
    cutting,
    lab_signing,
    permission,
    provenance,
    pushing,
    reviews,
    roles,
    safekeeping,
    signatures,
    standing,
    trust,
)
from aitbc_toolkit.release.allowed import Signer
from aitbc_toolkit.release.approvals import Request, Verdict
from aitbc_toolkit.release.outcome import fact
from aitbc_toolkit.release.progress import Tell, note
from aitbc_toolkit.release.request import Request as Asked
from aitbc_toolkit.release.source import SHORT, Revision, who
from aitbc_toolkit.release.trust import Decision, Level


@dataclass(frozen=True, slots=True)
class Admission:
    """Say why a commit may be deployed: what was decided, and what reviewers have approved.

    In a lab nothing is decided yet: the signature is made on the way to its hosts.
    """

    commit: str
    deployer: str
    decision: Decision | None = None
    request: Request | None = None
    tag: str = ""
    allow_downgrade: bool = False

    @property
    def is_bypassed(self) -> bool:
        """Tell whether only dev mode let it through."""
        return self.decision is not None and self.decision.level is Level.DEV


@dataclass(frozen=True, slots=True)
class Vouched:
    """Hold what hosts are told: what to look at, and whose signatures count."""

    environment: str
    commit: str
    level: str
    rule: str
    tag: str
    tag_object: str
    signers: tuple[tuple[str, str], ...]
    revoked: tuple[str, ...]
    approval: Mapping[str, Any]
    in_order: bool

    def to_wire(self) -> dict[str, Any]:
        """Write it as the host-side program reads it."""
        return asdict(self)


def admit(environment: Environment, asked: Asked, revision: Revision, tell: Tell) -> Admission:
    """Let a commit be deployed, or stop before any host is asked.

    Raises: AitbcError when the operator may not deploy, or when the commit waits for reviewers.
    """
    commit, root = revision.commit, asked.checkout
    permit = permission.require(environment, "deploy", subject=commit, root=root)
    if environment.rules.source == "forge":
        return Admission(commit, permit.who)
    known = safekeeping.load(environment)
    candidate = provenance.candidate(environment, commit, root=root)
    given = pushing.gift(asked.ref or "", revision, root=root) if asked.push else None
    decision = trust.decide(replace(candidate, destined=given.branch if given else ""), known)
    standing.record(environment, decision)
    if decision.level is Level.DEV:
        note(tell, f"warning: dev_mode, nobody has vouched for {commit[:SHORT]}; audited")
    unknown = decision.level is Level.UNKNOWN
    request = None
    if unknown:
        pushes = given is not None and bool(given.branch)
        request = _require_approval(environment, decision, deployer=permit.who, pushes=pushes)
    if given:
        # Only now: hosts fetch from there, so nobody may find there what is not to be deployed.
        pushing.push(environment, given, root=root, who=permit.who, tell=tell)
    if asked.allow_downgrade:
        entry = audit.Entry("downgrade", commit, "allowed", permit.who, "--allow-downgrade")
        audit.append(audit.path_of(environment), entry)
    tag = _tag_of(environment.name, asked.ref or "", decision)
    return Admission(commit, permit.who, decision, request, tag, asked.allow_downgrade)


def vouch(
    environment: Environment, admitted: Admission, *, root: Path
) -> tuple[Vouched | None, list[str]]:
    """Put together what the hosts are to verify; nothing where dev mode lets everything through.

    Return also the refspecs that have to get to the forge of a lab for that, with the commit.
    """
    if admitted.decision is None:
        tag, made, refspecs = lab_signing.sign(environment, admitted.commit, root=root)
        rule = lab_signing.RULE
        vouched = _vouched(environment, admitted, rule=rule, tag=tag, tag_object=made)
        return vouched, refspecs
    if admitted.decision.level is Level.DEV:
        return None, []
    tag = admitted.tag
    made = provenance.tag_object(tag, root=root) if tag else ""
    rule = admitted.decision.rule
    return _vouched(environment, admitted, rule=rule, tag=tag, tag_object=made), []


def record(environment: Environment, vouched: Vouched | None, proofs: Mapping[str, str]) -> None:
    """Write down what the hosts found; they agree, or staging would have failed."""
    if vouched is None:
        return
    reasons = sorted(set(proofs.values()))
    entry = audit.Entry(
        action="verify",
        subject=vouched.commit,
        outcome="verified",
        who=who(),
        reason=f"{'; '.join(reasons)}, verified on {len(proofs)} hosts",
        level=vouched.level,
        rule=vouched.rule,
    )
    audit.append(audit.path_of(environment), entry)


def _tag_of(environment: str, ref: str, decision: Decision) -> str:
    """Name the release tag that hosts look at: the one that proves, else the one that was typed.

    One of another environment only names the commit.
    """
    found = map(cutting.TAG.fullmatch, (decision.proof.removeprefix("tag "), ref))
    return next((each[0] for each in found if each and each[1] == environment), "")


def _vouched(
    environment: Environment, admitted: Admission, *, rule: str, tag: str, tag_object: str
) -> Vouched:
    known = safekeeping.load(environment)
    names = {name for each in known.rules if each.name == rule for name in each.signers}
    signers = [each for each in known.valid() if each.principal in names]
    return Vouched(
        environment=environment.name,
        commit=admitted.commit,
        level=str(Level.UNKNOWN if admitted.request else Level.TRUSTED),
        rule=rule,
        tag=tag,
        tag_object=tag_object,
        signers=_lines(signers),
        revoked=tuple(known.revoked_lines()),
        approval=_approval(environment, admitted) if admitted.request else {},
        # Where uncommitted work may go, there is no order of releases to keep.
        in_order=not environment.rules.dirty and not admitted.allow_downgrade,
    )


def _approval(environment: Environment, admitted: Admission) -> dict[str, Any]:
    """Take the reviewers' signed words along, with everything that a host needs to count them."""
    assert admitted.request is not None, "only what reviewers approved has their words"
    request, known = admitted.request, safekeeping.load(environment)
    folder = safekeeping.folder_of(environment)
    reviewers = [each for each in known.valid() if roles.may(each.roles, "approve")]
    return {
        "hash": request.hash,
        "request": asdict(request),
        "needed": max(1, environment.profile.approvals),
        "not_alone": admitted.deployer if safekeeping.is_strict(environment) else "",
        "reviewers": _lines(reviewers),
        "words": reviews.words(folder, request, [each.principal for each in reviewers]),
        "namespace": signatures.APPROVAL,
    }


def _lines(signers: Sequence[Signer]) -> tuple[tuple[str, str], ...]:
    return tuple((each.principal, each.public_key.line) for each in signers)


def _require_approval(
    environment: Environment, decision: Decision, *, deployer: str, pushes: bool
) -> Request:
    known = safekeeping.load(environment)
    request = standing.ask(environment, decision.commit)
    found = standing.verdict(environment, known, request, deployer=deployer)
    entry = audit.Entry("admit", request.hash, str(found.state), deployer, found.missing)
    audit.append(audit.path_of(environment), entry)
    if found.passes:
        return request
    short = request.hash[: approvals.SHORT]
    denied = f"approval {short} was denied by {', '.join(found.deniers)}"
    cause = denied if found.deniers else f"pending approval {short}"
    missing = [fact("missing", found.missing)] if found.missing else []
    raise AitbcError(
        "\n".join(
            [
                f"deploy {environment.name} refused: {cause}",
                *missing,
                *(fact("why", each) for each in decision.reason.split("; ")),
                fact("changed", "nothing, on no host"),
                *(
                    [fact("at origin", "not given: --push gives what may be deployed")]
                    if pushes
                    else []
                ),
            ]
        ),
        hint="\n".join(_ways_on(environment, decision, found, short=short, pushes=pushes)),
        exit_status=Exit.REFUSED,
    )


def _ways_on(
    environment: Environment, decision: Decision, found: Verdict, *, short: str, pushes: bool
) -> Iterator[str]:
    if found.deniers:
        yield f"aitbc approvals {environment.name}"
        return
    yield f"aitbc approve {short} --reason TEXT -e {environment.name}"
    if pushes:
        commit = decision.commit[:SHORT]
        yield f"git push origin {commit}:refs/heads/BRANCH   # where reviewers can read it"
