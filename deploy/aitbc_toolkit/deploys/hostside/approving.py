"""Have enough reviewers signed for exactly this commit? Counted here, by their signatures.

Asked where no trusted key has signed the commit. What a reviewer signed names the environment, the
commit, the configuration, the genesis and an end; words about anything else count for nothing, and
one denial ends it. Standard library only.
"""

import json
import time
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import files
from aitbc_toolkit.deploys.hostside.trouble import Trouble

_NOW = "%Y-%m-%dT%H:%M:%SZ"


def verify(commit: str, trust: dict[str, Any], *, folder: Path, revoked: Path) -> str:
    """Tell who approved the commit; `folder` is for files of this one question.

    Raises: Trouble (trust) when somebody denied it, too few approved it, or its time is over.
    """
    approval, request = trust["approval"], trust["approval"]["request"]
    short = approval["hash"][:12]
    if (request["environment"], request["commit"]) != (trust["environment"], commit):
        raise _trouble(trust, f"approval {short} is about another commit")
    if time.strftime(_NOW, time.gmtime()) >= request["expires"]:
        raise _trouble(trust, f"approval {short} expired at {request['expires']}")
    said = {
        name: _decision(name, text, signature, approval, folder=folder, revoked=revoked)
        for name, text, signature in approval["words"]
    }
    deniers = sorted(name for name, decision in said.items() if decision == "deny")
    if deniers:
        raise _trouble(trust, f"approval {short} was denied by {', '.join(deniers)}")
    approvers = sorted(name for name, decision in said.items() if decision == "approve")
    if len(approvers) < approval["needed"]:
        counted = f"{len(approvers)} of {approval['needed']} approvals"
        raise _trouble(trust, f"approval {short}: {counted} are signed by a reviewer's key")
    if approvers == [approval["not_alone"]]:
        raise _trouble(trust, f"approval {short} is only by {approvers[0]}, who deploys")
    return f"approval {short} is signed by {', '.join(approvers)}"


def _decision(
    name: str,
    text: str,
    signature: str,
    approval: dict[str, Any],
    *,
    folder: Path,
    revoked: Path,
) -> str:
    """Read what a reviewer decided, if it is about this request and their own key signed it."""
    key = dict(approval["reviewers"]).get(name)
    if key is None:
        return ""
    allowed = folder / "reviewer"
    allowed.write_text(f'{name} namespaces="{approval["namespace"]}" {key}\n', encoding="utf-8")
    beside = folder / "signature"
    beside.write_text(signature, encoding="utf-8")
    argv = ["ssh-keygen", "-Y", "verify", "-q", "-f", str(allowed), "-I", name]
    argv += ["-n", approval["namespace"], "-s", str(beside), "-r", str(revoked)]
    if not files.succeeds(argv, stdin=text):
        return ""
    said = json.loads(text)
    about = {**approval["request"], "request": approval["hash"], "reviewer": name}
    return str(said["decision"]) if {each: said.get(each) for each in about} == about else ""


def _trouble(trust: dict[str, Any], why: str) -> Trouble:
    return Trouble(why, hint=f"aitbc approvals {trust['environment']}", kind="trust")
