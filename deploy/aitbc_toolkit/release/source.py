"""Which exact commit is meant, and where do hosts fetch it from?

Everything goes by the 40-digit name of a commit object. Work that is not committed is deployed as
a commit object of its own that no branch, index or work tree knows of. No hosts here.
"""

import getpass
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aitbc_toolkit import lab, shell
from aitbc_toolkit.errors import AitbcError, ConfigError, Exit, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.lab.places import Places
from aitbc_toolkit.release import provenance

if TYPE_CHECKING:
    import git

SHORT = 12


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
    repository = _repository(root)
    changed = _changed(repository)
    if snapshot and changed and ref is None:
        commit = _snapshot(repository)
        return Revision(commit, f"snapshot of {changed} changed paths", dirty=0, snapshot=True)
    found = _commit(repository, ref or "HEAD")
    subject = str(found.summary)
    return Revision(found.hexsha, subject, dirty=0 if ref else changed, snapshot=False)


def publish(environment: Environment, revision: Revision, *, root: Path) -> Source:
    """Put the commit where this environment's hosts can fetch it; return the place.

    Raises: AitbcError (refused) when it cannot get there.
    """
    repository = _repository(root)
    match environment.rules.source:
        case "checkout":
            return Source(str(Path(repository.common_dir).resolve()), revision.commit)
        case "forge":
            return _push(environment, repository, revision)
        case "origin":
            return _pushed(repository, revision)


def lock(commit: str, *, root: Path) -> str:
    """Read the lock of a commit's node: what exactly it is installed with."""
    return shell.run(["git", "-C", str(root), "show", f"{commit}:locks/node.lock"]).stdout


def _push(environment: Environment, repository: "git.Repo", revision: Revision) -> Source:
    found = lab.load_lab(environment.lab, places=Places(state=environment.state))
    ref = f"refs/heads/release/{revision.commit}"
    try:
        with repository.git.custom_environment(**found.git_environment):
            repository.git.push("--quiet", found.git_url, f"{revision.commit}:{ref}")
    except _git().GitCommandError as failure:
        raise AitbcError(
            f"deploy {environment.name} refused: the forge did not take {revision.short}\n"
            f"{str(failure.stderr).strip()[-300:]}",
            hint=f"aitbc lab up {environment.lab}",
            exit_status=Exit.REFUSED,
        ) from failure
    return Source(found.git_url, ref, str(found.ssh_config))


def _pushed(repository: "git.Repo", revision: Revision) -> Source:
    """Hosts fetch from the same remote as everybody; what is not there is not deployed."""
    url = provenance.origin(Path(repository.working_dir))
    if not repository.git.branch("--remotes", "--contains", revision.commit).strip():
        raise AitbcError(
            f"deploy refused: {revision.short} is on no branch of origin; hosts only fetch",
            hint="git push origin HEAD",
            exit_status=Exit.REFUSED,
        )
    return Source(url, revision.commit)


def _repository(root: Path) -> "git.Repo":
    library = _git()
    try:
        found: git.Repo = library.Repo(root)
    except (library.InvalidGitRepositoryError, library.NoSuchPathError) as wrong:
        raise ConfigError(
            f"{root} is no git checkout, and code moves only by git", hint="git clone the project"
        ) from wrong
    return found


def _git() -> Any:
    """Import GitPython where it is used: it costs 0.1 s and asks for the git program at once."""
    try:
        import git  # noqa: PLC0415 - see above
    except ImportError as missing:
        raise ConfigError("git was not found", hint="apt-get install git") from missing
    return git


def _commit(repository: "git.Repo", ref: str) -> Any:
    git = _git()
    try:
        return repository.commit(ref)
    except (git.BadName, git.GitCommandError, ValueError, IndexError) as wrong:
        if ref == "HEAD":
            raise ConfigError("this checkout has no commit yet", hint="git commit") from wrong
        raise UsageError(
            f"unknown commit, tag or branch {ref!r}", hint="git log --oneline"
        ) from wrong


def _changed(repository: "git.Repo") -> int:
    return len(str(repository.git.status("--porcelain")).splitlines())


def _snapshot(repository: "git.Repo") -> str:
    """Make a commit object of the work tree as it is, with an index of its own.

    Author and dates are those of HEAD, so that the same tree has the same name and a second
    `up --dirty` finds that nothing changed.
    """
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
