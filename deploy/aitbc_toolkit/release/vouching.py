"""Who vouches for the commit of this deploy, and what are the hosts told to look for?

A lab has a release key of its own, which signs a tag on every commit that is deployed to it: so a
lab rehearses what staging and production do. In dev nobody vouches, which is said and audited.
The lab's hosts judge the signature themselves. Elsewhere this machine stops a commit that is
neither trusted nor approved; the hosts there are not asked yet.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aitbc_toolkit import lab, shell
from aitbc_toolkit.errors import AitbcError, ConfigError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.lab.model import Lab
from aitbc_toolkit.lab.places import Places
from aitbc_toolkit.release import (
    allowed,
    approvals,
    audit,
    cutting,
    permission,
    provenance,
    safekeeping,
    signatures,
    standing,
    trust,
)
from aitbc_toolkit.release.outcome import fact
from aitbc_toolkit.release.progress import Tell, note
from aitbc_toolkit.release.source import SHORT, who
from aitbc_toolkit.release.trust import Decision

_PUSH_S = 60.0
_RULE = "forge"


@dataclass(frozen=True, slots=True)
class Vouched:
    """Hold what hosts are told: the tag to look at and the keys that may have signed it."""

    environment: str
    tag: str
    signers: tuple[tuple[str, str], ...]
    revoked: tuple[str, ...]

    def to_wire(self) -> dict[str, Any]:
        """Write it as the host-side program reads it."""
        return {
            "environment": self.environment,
            "tag": self.tag,
            "signers": [list(each) for each in self.signers],
            "revoked": list(self.revoked),
        }


def admit(environment: Environment, commit: str, *, root: Path, tell: Tell) -> None:
    """Let a commit be deployed, or stop before any host is asked.

    In a lab the hosts judge alone: the signature is made on the way to them.

    Raises: AitbcError when the operator may not deploy, or when the commit waits for reviewers.
    """
    if environment.lab:
        return
    known, key = safekeeping.load(environment), provenance.configured_key(root)
    permit = permission.demand(environment, known, "deploy", key=key, subject=commit)
    decision = trust.decide(provenance.candidate(environment, commit, root=root), known)
    standing.record(environment, decision)
    if decision.level is trust.Level.DEV:
        note(tell, f"warning: dev_mode, nobody has vouched for {commit[:SHORT]}; audited")
    if decision.level is trust.Level.UNKNOWN:
        _require_approval(environment, decision, deployer=permit.who)


def vouch(environment: Environment, commit: str, *, root: Path) -> Vouched | None:
    """Sign for a lab and say what its hosts are to look for; other hosts are not asked yet."""
    return _vouch_in_lab(environment, commit, root=root) if environment.lab else None


def record(environment: Environment, commit: str, proofs: Mapping[str, str]) -> None:
    """Write down what the hosts found; they agree, or staging would have failed."""
    reasons = sorted({each for each in proofs.values() if each})
    if not reasons:
        return
    entry = audit.Entry(
        action="decide",
        subject=commit,
        outcome=str(trust.Level.TRUSTED),
        who=who(),
        reason=f"{'; '.join(reasons)}, verified on {len(proofs)} hosts",
        level=str(trust.Level.TRUSTED),
        rule=_RULE,
    )
    audit.append(audit.path_of(environment), entry)


def _require_approval(environment: Environment, decision: Decision, *, deployer: str) -> None:
    known = safekeeping.load(environment)
    request = standing.ask(environment, decision.commit)
    found = standing.verdict(environment, known, request, deployer=deployer)
    entry = audit.Entry("admit", request.hash, str(found.state), deployer, found.missing)
    audit.append(audit.path_of(environment), entry)
    if found.passes:
        return
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
            ]
        ),
        hint=f"aitbc approvals {environment.name}"
        if found.deniers
        else f"aitbc approve {short} --reason TEXT -e {environment.name}",
        exit_status=Exit.REFUSED,
    )


def _vouch_in_lab(environment: Environment, commit: str, *, root: Path) -> Vouched:
    found = lab.load_lab(environment.lab, places=Places(state=environment.state))
    principal = f"release@{environment.name}"
    key = environment.folder / "release.key"
    _make_key(key, comment=principal)
    _trust_own_key(environment, found, key=key, principal=principal)
    tag = _tag(environment, found, commit, root=root, key=key, principal=principal)
    known = safekeeping.load(environment)
    rule = next(each for each in known.rules if each.name == _RULE)
    signers = [each for each in known.valid() if each.principal in rule.signers]
    return Vouched(
        environment.name,
        tag,
        tuple((each.principal, each.public_key.line) for each in signers),
        tuple(known.revoked_lines()),
    )


def _make_key(key: Path, *, comment: str) -> None:
    if key.is_file():
        return
    key.parent.mkdir(parents=True, exist_ok=True)
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(key)]
    shell.run(argv, hint="apt-get install openssh-client")


def _trust_own_key(environment: Environment, found: Lab, *, key: Path, principal: str) -> None:
    """Write the lab's trust file once; afterwards it is the operator's to change."""
    path = safekeeping.folder_of(environment) / allowed.FILE
    if path.is_file():
        return
    rule: dict[str, object] = {
        "name": _RULE,
        "remote": found.git_url,
        "branch": "release/*",
        "signers": [principal],
    }
    public = signatures.public_of(key).line
    signer: dict[str, object] = {"principal": principal, "key": public, "roles": ["release"]}

    def edit(document: safekeeping.Document) -> None:
        safekeeping.add(document, "rules", rule)
        safekeeping.add(document, "signers", signer)

    safekeeping.change(path, edit, strict=False)
    entry = audit.Entry("trust", f"add signer {principal}", "done", who(), "the lab's own key")
    audit.append(audit.path_of(environment), entry)


def _tag(
    environment: Environment, found: Lab, commit: str, *, root: Path, key: Path, principal: str
) -> str:
    """Sign a tag object and give it to the forge; the checkout gets no ref of it."""
    path = environment.folder / "tags.json"
    known: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    # Signed anew when the key is another one: a tag of a key that is gone vouches for nothing.
    signed_by = f"{commit} {signatures.public_of(key).fingerprint}"
    if signed_by in known and _is_there(found, known[signed_by], root=root):
        return known[signed_by]
    number = 1 + max((int(each.rsplit("/", 1)[1]) for each in known.values()), default=0)
    name = f"rel/{environment.name}/{number}"
    if not cutting.TAG.fullmatch(name):
        raise ConfigError(
            f"{environment.name!r} is too long for a release tag", hint="aitbc up lab-SHORTER"
        )
    moment = f"{int(time.time())} +0000"
    body = f"object {commit}\ntype commit\ntag {name}\n"
    body += f"tagger {principal} <{principal}> {moment}\n\nRelease {number} of a lab\n"
    signed = body + signatures.sign(body, key=key, namespace=signatures.GIT)
    git = ["git", "-C", str(root)]
    made = shell.run([*git, "hash-object", "-t", "tag", "-w", "--stdin"], stdin=signed)
    refspec = f"+{made.stdout.strip()}:refs/tags/{name}"
    argv = [*git, "push", "--quiet", found.git_url, refspec]
    hint = f"aitbc lab up {environment.lab}"
    shell.run(argv, env=found.git_environment, timeout_s=_PUSH_S, hint=hint)
    path.write_text(json.dumps({**known, signed_by: name}, indent=2) + "\n", encoding="utf-8")
    return name


def _is_there(found: Lab, name: str, *, root: Path) -> bool:
    """Tell whether the forge has the tag: a lab that was made anew has lost it."""
    argv = ["git", "-C", str(root), "ls-remote", "--refs", found.git_url, f"refs/tags/{name}"]
    asked = shell.run(argv, env=found.git_environment, timeout_s=_PUSH_S)
    return bool(asked.stdout.strip())
