"""Does somebody whom this environment trusts vouch for the commit? This host's answer counts.

Asked after the fetch and before anything of the commit is checked out. Only exit statuses of git
are believed: neither what it prints, nor what the mirror's own configuration or replaced objects
say. The branch is the operator's question: it may move while the planned commit stays the planned
one. Standard library only.
"""

import re
import tempfile
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import approving, files
from aitbc_toolkit.deploys.hostside.trouble import Trouble

_GIT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_COUNT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
}
_OBJECT = re.compile(r"[0-9a-f]{40}")


def verify(params: dict[str, Any]) -> str:
    """Tell what was signed and by whom; nothing where the environment asks for no signature.

    Raises: Trouble (trust) when neither a trusted key nor enough reviewers have signed for it.
    """
    trust = params["trust"]
    if not trust:
        return ""
    mirror, commit = Path(params["layout"]["mirror"]), params["commit"]
    _refuse_other_environment(params)
    _refuse_moved_tag(mirror, trust)
    with tempfile.TemporaryDirectory(prefix="aitbc-trust-") as folder:
        revoked = Path(folder, "revoked")
        revoked.write_text("".join(f"{line}\n" for line in trust["revoked"]), encoding="utf-8")
        allowed = Path(folder, "allowed_signers")
        for principal, key in trust["signers"]:
            allowed.write_text(f'{principal} namespaces="git" {key}\n', encoding="utf-8")
            git = _judge(mirror, allowed=allowed, revoked=revoked)
            if files.succeeds([*git, "verify-commit", commit], env=_GIT):
                return f"the commit is signed by {principal}"
            if trust["tag"] and _tag_is_signed(git, trust["tag"], commit):
                return f"tag {trust['tag']} is signed by {principal}"
        if trust["approval"]:
            return approving.verify(commit, trust, folder=Path(folder), revoked=revoked)
    said = f"commit {commit[:12]}" + (f" and its tag {trust['tag']}" if trust["tag"] else "")
    raise Trouble(
        f"{said}: not signed by a key that {trust['environment']} trusts",
        hint=f"aitbc trust list -e {trust['environment']}",
        kind="trust",
    )


def object_of(mirror: Path, tag: str) -> str:
    """Find the object that a tag's name stands for in the mirror, if it is there."""
    git = ["git", f"--git-dir={mirror}", "for-each-ref", "--format=%(objectname)"]
    return files.call([*git, f"refs/tags/{tag}"], env=_GIT).strip()


def _refuse_other_environment(params: dict[str, Any]) -> None:
    """Refuse a tag that was signed for another environment, whatever the operator's machine says.

    Its number would count among those of this one, too.
    """
    tag, own = params["trust"]["tag"], params["layout"]["environment"]
    if tag and not tag.startswith(f"rel/{own}/"):
        raise Trouble(
            f"tag {tag} is a release of another environment than {own}",
            hint=f"aitbc release cut {own}",
            kind="trust",
        )


def _refuse_moved_tag(mirror: Path, trust: dict[str, Any]) -> None:
    """Refuse a tag that is another one than the operator decided about, whoever signed it."""
    if not trust["tag"] or object_of(mirror, trust["tag"]) == trust["tag_object"]:
        return
    raise Trouble(
        f"tag {trust['tag']} moved: what hosts fetch is not what this deploy began with",
        hint=f"git ls-remote origin refs/tags/{trust['tag']}\ngit fetch --tags --force origin",
        kind="trust",
    )


def _judge(mirror: Path, *, allowed: Path, revoked: Path) -> list[str]:
    """Build the start of the one command line that may judge a signature."""
    settings = [
        "gpg.ssh.program=ssh-keygen",
        f"gpg.ssh.allowedSignersFile={allowed}",
        f"gpg.ssh.revocationFile={revoked}",
        "gpg.program=false",
        "gpg.openpgp.program=false",
        "gpg.x509.program=false",
    ]
    options = [word for setting in settings for word in ("-c", setting)]
    return ["git", f"--git-dir={mirror}", *options]


def _tag_is_signed(git: list[str], name: str, commit: str) -> bool:
    """Tell whether the signed object says this name and this commit, whatever ref led to it."""
    try:
        tag = files.call([*git, "rev-parse", "--verify", f"refs/tags/{name}"], env=_GIT).strip()
        if not _OBJECT.fullmatch(tag):
            return False
        body = files.call([*git, "cat-file", "tag", tag], env=_GIT)
    except Trouble as failure:
        if failure.kind == "missing":
            raise
        return False
    headers = body.split("\n\n", 1)[0].splitlines()[:3]
    expected = [f"object {commit}", "type commit", f"tag {name}"]
    return headers == expected and files.succeeds([*git, "verify-tag", tag], env=_GIT)
