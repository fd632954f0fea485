"""How does a commit become a release of an environment? By a signed tag that carries a manifest.

`rel/<env>/<n>` is an annotated tag; its message is the manifest, so the signature covers both.
Cutting changes no host; `deploy --ref` takes the tag.
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aitbc_toolkit import shell
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.release import components, provenance, signatures
from aitbc_toolkit.release.trust import Candidate

FORMAT = 1
TAG = re.compile(r"rel/([a-z][a-z0-9-]{0,31})/([1-9][0-9]{0,8})")

_LOCK = "locks/node.lock"
_REMOTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Manifest:
    """Say what a release is: repositories at exact commits, for one environment."""

    tag: str
    environment: str
    number: int
    repositories: dict[str, str]
    tree: str
    lock: str
    subject: str
    previous: str
    by: str
    format: int = FORMAT

    @property
    def commit(self) -> str:
        """Give the commit of this project."""
        return self.repositories[components.OWN]


def cut(
    environment: str, *, ref: str, root: Path, key: Path, by: str, numbers: set[int]
) -> tuple[Manifest, bool]:
    """Sign the next release tag on a commit; tell whether it was made.

    A commit that is the newest release already is not released twice.
    """
    commit = provenance.commit_of(ref, root=root)
    newest = max(numbers_here(environment, root=root), default=0)
    if newest and newest >= max(numbers, default=0):
        last = read(f"rel/{environment}/{newest}", root=root)
        if last.commit == commit:
            return last, False
    number = max(numbers | {newest}) + 1 if numbers or newest else 1
    manifest = Manifest(
        tag=f"rel/{environment}/{number}",
        environment=environment,
        number=number,
        repositories=_repositories(commit, root=root),
        tree=_git(root, "rev-parse", f"{commit}^{{tree}}"),
        lock=_git(root, "rev-parse", f"{commit}:{_LOCK}"),
        subject=_git(root, "log", "-1", "--format=%s", commit),
        previous=f"rel/{environment}/{number - 1}" if number > 1 else "",
        by=by,
    )
    _sign(manifest, root=root, key=key)
    return manifest, True


def numbers_here(environment: str, *, root: Path) -> set[int]:
    """List the numbers of the releases that this checkout knows."""
    argv = ["for-each-ref", "--format=%(refname)", f"refs/tags/rel/{environment}/"]
    return _numbers(_git(root, *argv), environment)


def numbers_at_origin(environment: str, *, root: Path) -> set[int]:
    """List the numbers of the releases that everybody knows.

    Raises: AitbcError when origin does not answer: a number that is taken could be cut again.
    """
    argv = ["git", "-C", str(root), "ls-remote", "--refs", "origin"]
    found = shell.run(
        [*argv, f"refs/tags/rel/{environment}/*"], timeout_s=_REMOTE_S, hint="git remote -v"
    )
    return _numbers(found.stdout, environment)


def newest(environment: str, *, root: Path) -> str:
    """Name the newest release of an environment.

    Raises: UsageError when there is none.
    """
    numbers = numbers_here(environment, root=root)
    if not numbers:
        raise UsageError(
            f"{environment} has no release yet", hint=f"aitbc release cut {environment}"
        )
    return f"rel/{environment}/{max(numbers)}"


def read(tag: str, *, root: Path) -> Manifest:
    """Read the manifest of a release as it was written; its signature is not looked at.

    Raises: UsageError for an unknown tag, AitbcError for one that carries no manifest.
    """
    if not TAG.fullmatch(tag):
        raise UsageError(
            f"{tag!r} is no release, those are named rel/ENV/NUMBER", hint="git tag --list 'rel/*'"
        )
    argv = ["git", "-C", str(root), "cat-file", "tag", f"refs/tags/{tag}"]
    found = shell.run(argv, env=signatures.GIT_ENVIRONMENT, check=False)
    if not found.ok:
        raise UsageError(f"unknown release {tag}", hint="git fetch --tags origin")
    try:
        body = found.stdout.split("\n\n", 1)[1].split("\n\n", 1)[1]
        said = json.loads(body.split("-----BEGIN", 1)[0])
        manifest = Manifest(**said)
        sound = isinstance(manifest.repositories[components.OWN], str) and manifest.format == FORMAT
    except (IndexError, KeyError, ValueError, TypeError) as wrong:
        raise _no_manifest(tag) from wrong
    if not sound:
        raise _no_manifest(tag)
    return manifest


def contradictions(manifest: Manifest, candidate: Candidate, tag: str) -> list[str]:
    """Find where a manifest says something else than its tag and commit."""
    root = candidate.repository
    named = TAG.fullmatch(tag)
    facts: dict[str, Any] = {
        "tag": tag,
        "environment": named[1] if named else "",
        "number": int(named[2]) if named else 0,
        "tree": _git(root, "rev-parse", f"{candidate.commit}^{{tree}}"),
        "lock": _git(root, "rev-parse", f"{candidate.commit}:{_LOCK}"),
    }
    said = asdict(manifest)
    found = [
        f"{key} is {said[key]}, not {fact}" for key, fact in facts.items() if said[key] != fact
    ]
    parts = _repositories(candidate.commit, root=root)
    found += [
        f"{name} is {manifest.repositories.get(name, 'nothing')[:12]}, not {commit[:12]}"
        for name, commit in parts.items()
        if name != components.OWN and manifest.repositories.get(name) != commit
    ]
    if manifest.commit != candidate.commit:
        found.append(f"commit is {manifest.commit[:12]}, not {candidate.commit[:12]}")
    return found


def push(tag: str, *, root: Path) -> None:
    """Give a release to everybody.

    Raises: AitbcError (refused) when origin does not take it.
    """
    argv = ["git", "-C", str(root), "push", "--quiet", "origin", f"refs/tags/{tag}"]
    pushed = shell.run(argv, timeout_s=_REMOTE_S, check=False)
    if not pushed.ok:
        raise AitbcError(
            f"push {tag} refused: {pushed.tail}",
            hint=f"git ls-remote origin refs/tags/{tag}",
            exit_status=Exit.REFUSED,
        )


def _repositories(commit: str, *, root: Path) -> dict[str, str]:
    """Name every repository of a release: this project's, and those of its `release.toml`."""
    parts = components.of_commit(commit, root=root)
    return {components.OWN: commit, **{name: each.commit for name, each in parts.items()}}


def _sign(manifest: Manifest, *, root: Path, key: Path) -> None:
    text = f"Release {manifest.number} of {manifest.environment}\n\n"
    text += json.dumps(asdict(manifest), indent=2, sort_keys=True) + "\n"
    argv = ["git", "-C", str(root), "-c", "gpg.format=ssh", "-c", f"user.signingkey={key}"]
    argv += ["tag", "-s", "--cleanup=verbatim", "-F", "-", manifest.tag, manifest.commit]
    hint = "git config user.email NAME@PLACE"
    shell.run(argv, stdin=text, env=signatures.NO_QUESTIONS, hint=hint)


def _numbers(refs: str, environment: str) -> set[int]:
    names = [line.split()[-1].removeprefix("refs/tags/") for line in refs.splitlines() if line]
    found = [TAG.fullmatch(name) for name in names]
    return {int(each[2]) for each in found if each and each[1] == environment}


def _no_manifest(tag: str) -> AitbcError:
    return AitbcError(f"{tag} carries no manifest of ours", hint=f"git cat-file tag {tag}")


def _git(root: Path, *words: str) -> str:
    argv = ["git", "-C", str(root), *words]
    return shell.run(argv, env=signatures.GIT_ENVIRONMENT).stdout.strip()
