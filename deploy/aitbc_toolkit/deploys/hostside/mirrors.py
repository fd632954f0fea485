"""How does one exact commit come into a bare mirror of this host, and from there into a folder?

By `git fetch` and by nothing else. Later edits of the folder are told from the commit itself, with
an index made for that look alone: one that lies beside the files could be edited with them.
Standard library only.
"""

import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aitbc_toolkit.deploys.hostside import files
from aitbc_toolkit.deploys.hostside.trouble import Trouble

# A mirror must not be talked into other objects or rules by configuration or by replace refs.
_GIT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_NO_REPLACE_OBJECTS": "1",
}
# The fetch alone reads the host's own configuration: it may say how the remote is reached.
_FETCH = {
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_TERMINAL_PROMPT": "0",
}
# git cleans up behind our back otherwise, in a process that outlives the step.
_IN_FRONT = ("-c", "gc.autoDetach=false", "-c", "maintenance.autoDetach=false")


def make(mirror: Path) -> None:
    """Make an empty mirror where there is none."""
    if not (mirror / "HEAD").is_file():
        with files.whole_folder(mirror) as fresh:
            files.call(["git", "init", "--quiet", "--bare", fresh], env=_GIT)


def fetch(
    mirror: Path, commit: str, *, source: str, refs: Sequence[str], ssh_config: str = ""
) -> None:
    """Bring a commit from a remote into the mirror, by the refspecs that lead to it.

    Raises: Trouble when the remote does not answer or does not have it.
    """
    git = ["git", f"--git-dir={mirror}", "-c", "protocol.version=2", *_IN_FRONT]
    options = ["--quiet", "--no-tags", "--no-write-fetch-head", "--update-shallow"]
    ssh = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]
    ssh += ["-F", ssh_config] if ssh_config else []
    try:
        env = {**_FETCH, "GIT_SSH_COMMAND": shlex.join(ssh)}
        files.call([*git, "fetch", *options, "--end-of-options", source, *refs], env=env)
    except Trouble as failure:
        raise Trouble(
            f"git fetch from {source} failed: {failure.message}",
            hint=f"git ls-remote {source}   # on this host",
            kind=failure.kind,
        ) from failure
    if not has_commit(mirror, commit):
        raise Trouble(f"{source} does not have commit {commit[:12]}")


def has_commit(mirror: Path, commit: str) -> bool:
    """Tell whether the mirror has a commit."""
    git = ["git", f"--git-dir={mirror}", "cat-file", "-e", f"{commit}^{{commit}}"]
    return files.succeeds(git, env=_GIT)


def check_out(mirror: Path, commit: str, folder: Path) -> None:
    """Write the commit's tree, byte for byte, with an index for people who look at it by git."""
    env = {**_GIT, "GIT_INDEX_FILE": str(folder / ".index")}
    git = ["git", f"--git-dir={mirror}", f"--work-tree={folder}"]
    files.call([*git, "read-tree", commit], env=env)
    files.call([*git, "checkout-index", "--all", "--force", "--index"], env=env)


def drift(mirror: Path, folder: Path, commit: str, *, ours: Sequence[str]) -> list[str]:
    """List what differs between a folder and a commit's tree; `ours` is beside it on purpose."""
    git = ["git", f"--git-dir={mirror}", f"--work-tree={folder}"]
    # `diff` looks into files whose times alone differ; `diff-files` would call them edited.
    diff = ["diff", "--name-status", "--no-renames", "--no-ext-diff"]
    ignored = [f"--exclude=/{each}" for each in ours] + ["--exclude=__pycache__"]
    with judging(mirror, commit) as env:
        changed = files.call([*git, *diff], env=env, cwd=folder)
        added = files.call([*git, "ls-files", "--others", *ignored], env=env, cwd=folder)
    return [
        *(line.replace("\t", " ") for line in changed.splitlines()),
        *(f"A {line}" for line in added.splitlines()),
    ]


@contextmanager
def judging(mirror: Path, commit: str) -> Iterator[dict[str, str]]:
    """Let git judge a folder by nothing but a commit; no file there is believed to be unchanged."""
    with tempfile.TemporaryDirectory(prefix="aitbc-index-") as scratch:
        env = {**_GIT, "GIT_INDEX_FILE": f"{scratch}/index", "GIT_OPTIONAL_LOCKS": "0"}
        files.call(["git", f"--git-dir={mirror}", "read-tree", commit], env=env)
        yield env
