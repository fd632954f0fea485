"""How does a lab vouch for what is deployed to it? With a release key and tags of its own.

So a lab rehearses what staging and production do: its hosts verify a signature before they check
anything out. What the hosts are told is put together in `vouching`.
"""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from aitbc_toolkit import shell
from aitbc_toolkit.errors import ConfigError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import allowed, audit, cutting, labs, safekeeping, signatures
from aitbc_toolkit.release.source import who

if TYPE_CHECKING:
    from aitbc_toolkit.lab.model import Lab

RULE = "forge"

_ASK_S = 60.0


def sign(environment: Environment, commit: str, *, root: Path) -> tuple[str, str, list[str]]:
    """Sign a release tag on the commit; return the tag's name and object.

    With them come the refspecs that the forge lacks: they go there together with the commit.
    """
    found = labs.of(environment)
    principal = f"release@{environment.name}"
    key = environment.folder / "release.key"
    _make_key(key, comment=principal)
    _trust_own_key(environment, found, key=key, principal=principal)
    return _tag(environment, found, commit, root=root, key=key, principal=principal)


def _make_key(key: Path, *, comment: str) -> None:
    if key.is_file():
        return
    key.parent.mkdir(parents=True, exist_ok=True)
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(key)]
    shell.run(argv, hint="apt-get install openssh-client")


def _trust_own_key(environment: Environment, found: "Lab", *, key: Path, principal: str) -> None:
    """Write the lab's trust file once; afterwards it is the operator's to change."""
    path = safekeeping.folder_of(environment) / allowed.FILE
    if path.is_file():
        return
    rule: dict[str, object] = {
        "name": RULE,
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
    environment: Environment, found: "Lab", commit: str, *, root: Path, key: Path, principal: str
) -> tuple[str, str, list[str]]:
    """Make a signed tag object in the checkout, unless the forge has one already."""
    path = environment.folder / "tags.json"
    known: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    # Signed anew when the key is another one: a tag of a key that is gone vouches for nothing.
    signed_by = f"{commit} {signatures.public_of(key).fingerprint}"
    if signed_by in known and (there := _at_forge(found, known[signed_by], root=root)):
        return known[signed_by], there, []
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
    argv = ["git", "-C", str(root), "hash-object", "-t", "tag", "-w", "--stdin"]
    made = shell.run(argv, stdin=signed)
    tag = made.stdout.strip()
    path.write_text(json.dumps({**known, signed_by: name}, indent=2) + "\n", encoding="utf-8")
    return name, tag, [f"+{tag}:refs/tags/{name}"]


def _at_forge(found: "Lab", name: str, *, root: Path) -> str:
    """Find the tag's object at the forge; a lab that was made anew has lost it."""
    argv = ["git", "-C", str(root), "ls-remote", "--refs", found.git_url, f"refs/tags/{name}"]
    asked = shell.run(argv, env=found.git_environment, timeout_s=_ASK_S)
    return next(iter(asked.stdout.split()), "")
