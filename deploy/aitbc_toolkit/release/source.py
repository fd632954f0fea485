"""Which exact commit is meant, and where do hosts fetch it from?

Everything goes by the 40-digit name of a commit object. Work that is not committed is deployed as
a commit object of its own that no branch, index or work tree knows of. No hosts here.
"""

import getpass
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aitbc_toolkit import shell
from aitbc_toolkit.errors import AitbcError, ConfigError, Exit, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import labs, provenance

SHORT = 12
_PUSH_S = 120.0


@dataclass(frozen=True, slots=True)
class Revision:
    """Name the commit that is deployed.

    `dirty` counts the changed paths that are *not* in it; `snapshot` says that it was made from
    the work tree.
    """

    commit: str
    subject: str
    dirty: int
    snapshot: bool

    @property
    def short(self) -> str:
        """Give the name that people read."""
        return self.commit[:SHORT]


@dataclass(frozen=True, slots=True)
class Source:
    """Say what hosts fetch: `ref` of the repository `url` is the commit.

    `ssh_config` is how this machine itself reaches the url, where it is one of the hosts.
    """

    url: str
    ref: str
    ssh_config: str = ""


def resolve(ref: str | None, *, snapshot: bool, root: Path) -> Revision:
    """Find the commit that a name means, or make one of the uncommitted tree.

    Raises: UsageError for a name that is no commit, ConfigError where there is no repository.
    """
    changed = len(_git(root, "status", "--porcelain").splitlines())
    if snapshot and changed and ref is None:
        commit = _snapshot(root)
        return Revision(commit, f"snapshot of {changed} changed paths", dirty=0, snapshot=True)
    commit = _commit(ref or "HEAD", root=root)
    subject = _git(root, "show", "--no-patch", "--format=%s", commit)
    return Revision(commit, subject, dirty=0 if ref else changed, snapshot=False)


def is_edited(folder: Path) -> bool:
    """Tell whether a folder of a checkout holds something that no commit has."""
    argv = ["git", "-C", str(folder), "status", "--porcelain", "."]
    return bool(shell.run(argv, check=False).stdout.strip())


def publish(
    environment: Environment, revision: Revision, *, beside: Sequence[str] = (), root: Path
) -> Source:
    """Put the commit where this environment's hosts can fetch it; return the place.

    What a forge is given `beside` it are refspecs: one way there costs as much as all the work.
    Raises: AitbcError (refused) when it cannot get there.
    """
    match environment.rules.source:
        case "checkout":
            return Source(str(provenance.git_folder(root)), revision.commit)
        case "forge":
            return _push(environment, revision, beside=beside, root=root)
        case "origin":
            return _pushed(environment, revision, root=root)


def is_at_origin(commit: str, *, root: Path) -> bool:
    """Tell whether a branch of origin has a commit, as far as this checkout knows."""
    return bool(_git(root, "branch", "--remotes", "--list", "origin/*", "--contains", commit))


def lock(commit: str, *, root: Path) -> str:
    """Read the lock of a commit's node: what exactly it is installed with."""
    return shell.run(["git", "-C", str(root), "show", f"{commit}:locks/node.lock"]).stdout


def _push(
    environment: Environment, revision: Revision, *, beside: Sequence[str], root: Path
) -> Source:
    found = labs.of(environment)
    ref = f"refs/heads/release/{revision.commit}"
    refspecs = [f"{revision.commit}:{ref}", *beside]
    argv = ["git", "-C", str(root), "push", "--quiet", found.git_url, *refspecs]
    pushed = shell.run(argv, env=found.git_environment, timeout_s=_PUSH_S, check=False)
    if not pushed.ok:
        raise AitbcError(
            f"deploy {environment.name} refused: the forge did not take {revision.short}\n"
            f"{pushed.stderr.strip()[-300:]}",
            hint=f"aitbc lab up {environment.lab}",
            exit_status=Exit.REFUSED,
        )
    return Source(found.git_url, ref, str(found.ssh_config))


def _pushed(environment: Environment, revision: Revision, *, root: Path) -> Source:
    """Hosts fetch from the same remote as everybody; what is not there is not deployed."""
    url = provenance.origin(root)
    if not is_at_origin(revision.commit, root=root):
        raise AitbcError(
            f"deploy refused: {revision.short} is on no branch of origin; hosts only fetch",
            hint=f"git push origin HEAD\naitbc deploy {environment.name} --push   # both in one",
            exit_status=Exit.REFUSED,
        )
    return Source(url, revision.commit)


def _git(root: Path, *words: str) -> str:
    """Ask the checkout's git, as GitPython would after 0.1 s of imports.

    Raises: ConfigError where there is no git, or no checkout of its own at `root`.
    """
    if shutil.which("git") is None:
        raise ConfigError("git was not found", hint="apt-get install git")
    if not (root / ".git").exists():
        raise ConfigError(
            f"{root} is no git checkout, and code moves only by git", hint="git clone the project"
        )
    return shell.run(["git", "-C", root, *words]).stdout.strip()


def _commit(ref: str, *, root: Path) -> str:
    try:
        return provenance.commit_of(ref, root=root)
    except UsageError as wrong:
        if ref == "HEAD":
            raise ConfigError("this checkout has no commit yet", hint="git commit") from wrong
        raise


def _snapshot(root: Path) -> str:
    """Make a commit object of the work tree as it is, with an index of its own.

    Author and dates are those of HEAD, so that the same tree has the same name and a second
    `up --dirty` finds that nothing changed.
    """
    import git  # noqa: PLC0415 - as long as a no-op takes, so only where work is not committed

    repository = git.Repo(root)
    head = repository.head.commit
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index"
        own = Path(repository.git_dir) / "index"
        if own.is_file():
            shutil.copyfile(own, index)  # it spares hashing every file again
        moment = f"{head.committed_date} +0000"
        variables = {
            "GIT_INDEX_FILE": str(index),
            "GIT_AUTHOR_NAME": "aitbc snapshot",
            "GIT_AUTHOR_EMAIL": "snapshot@localhost",
            "GIT_AUTHOR_DATE": moment,
            "GIT_COMMITTER_NAME": "aitbc snapshot",
            "GIT_COMMITTER_EMAIL": "snapshot@localhost",
            "GIT_COMMITTER_DATE": moment,
        }
        with repository.git.custom_environment(**variables):
            repository.git.add("--all")
            tree = repository.git.write_tree()
            message = f"Snapshot of uncommitted work over {head.hexsha}"
            return str(repository.git.commit_tree(tree, "-p", head.hexsha, "-m", message))


def who() -> str:
    """Name the operator for records, as `user@machine`."""
    return f"{getpass.getuser()}@{os.uname().nodename}"
