"""Where does a commit of this checkout come from, as far as trust is concerned?

The answer follows the environment's source: its rules are written for the place that hosts fetch
from. Do not judge anything here.
"""

from pathlib import Path

from aitbc_toolkit import shell
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import labs, signatures
from aitbc_toolkit.release.trust import Candidate

_LOCAL = "refs/heads/"


def candidate(environment: Environment, commit: str, *, root: Path) -> Candidate:
    """Name a commit of the checkout and the place that it is fetched from."""
    repository = git_folder(root)
    match environment.rules.source:
        case "checkout":
            return Candidate(repository, commit, str(root.resolve()), environment.name, _LOCAL)
        case "forge":
            place = labs.of(environment).git_url
            return Candidate(repository, commit, place, environment.name, _LOCAL)
        case "origin":
            return Candidate(repository, commit, origin(root), environment.name)


def git_folder(root: Path) -> Path:
    """Find the repository of a checkout, also where it is a second work tree."""
    return Path(_git(root, "rev-parse", "--path-format=absolute", "--git-common-dir"))


def commit_of(ref: str, *, root: Path) -> str:
    """Find the full hash of a commit.

    Raises: UsageError for a name that is none.
    """
    argv = ["git", "-C", str(root), "rev-parse", "--verify", "--quiet", "--end-of-options"]
    found = shell.run([*argv, f"{ref}^{{commit}}"], env=signatures.GIT_ENVIRONMENT, check=False)
    commit = found.stdout.strip()
    if not found.ok or not signatures.COMMIT.fullmatch(commit):
        raise UsageError(f"unknown commit, tag or branch {ref!r}", hint="git log --oneline")
    return commit


def origin(root: Path) -> str:
    """Name the remote that everybody fetches from, as the checkout's configuration has it.

    An operator's own rewriting of addresses says nothing about how hosts reach it.

    Raises: AitbcError (refused) when there is none.
    """
    found = shell.run(["git", "-C", str(root), "config", "--get", "remote.origin.url"], check=False)
    if not found.ok:
        raise AitbcError(
            "this checkout has no remote named origin, and its hosts fetch from there",
            hint="git remote add origin URL",
            exit_status=Exit.REFUSED,
        )
    return found.stdout.strip()


def tag_object(name: str, *, root: Path) -> str:
    """Find the object of a tag, which holds its signature; a tag that moves has another."""
    return _git(root, "rev-parse", "--verify", f"refs/tags/{name}")


def configured_key(root: Path) -> Path | None:
    """Find the key that the operator's git signs with."""
    said = shell.run(["git", "-C", str(root), "config", "--get", "user.signingkey"], check=False)
    named = said.stdout.strip()
    return Path(named).expanduser() if said.ok and named.startswith(("/", "~")) else None


def _git(root: Path, *words: str) -> str:
    return shell.run(
        ["git", "-C", str(root), *words], env=signatures.GIT_ENVIRONMENT
    ).stdout.strip()
