"""How does a commit that only this checkout has come to where hosts fetch it from?

Only by `deploy --push`, once it is trusted or approved, and exactly this commit and its release
tag: later commits of the branch stay here, and nothing that is at origin is replaced.
"""

from dataclasses import dataclass
from pathlib import Path

from aitbc_toolkit import shell
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import audit, cutting
from aitbc_toolkit.release.progress import Tell, step
from aitbc_toolkit.release.source import Revision, is_at_origin

_PUSH_S = 120.0


@dataclass(frozen=True, slots=True)
class Gift:
    """Say what origin lacks of a release: `branch` is where its commit goes, "" where it is."""

    revision: Revision
    branch: str
    refspecs: tuple[str, ...]


def refuse_elsewhere(environment: Environment) -> None:
    """Refuse where hosts take commits from this checkout or from a lab's own forge.

    Raises: UsageError.
    """
    if environment.rules.source != "origin":
        raise UsageError(
            f"{environment.name} takes its commits from this machine: there is nothing to push",
            hint=f"aitbc deploy {environment.name}",
        )


def gift(ref: str, revision: Revision, *, root: Path) -> Gift:
    """Find what origin would have to be given: the commit, and the release tag that was named.

    Raises: UsageError when no branch here has the commit.
    """
    commit, branch, refspecs = revision.commit, "", []
    if not is_at_origin(commit, root=root):
        branch = _branch(ref, commit, root=root)
        refspecs.append(f"{commit}:refs/heads/{branch}")
    if cutting.TAG.fullmatch(ref):
        refspecs.append(f"refs/tags/{ref}")
    return Gift(revision, branch, tuple(refspecs))


def push(environment: Environment, given: Gift, *, root: Path, who: str, tell: Tell) -> None:
    """Give it to origin: all of it, or nothing.

    Raises: AitbcError (refused) when origin does not take it.
    """
    revision, refspecs = given.revision, given.refspecs
    if not refspecs:
        return
    with step(tell, "push", f"giving {revision.short} to origin") as now:
        argv = ["git", "-C", str(root), "push", "--quiet", "--atomic", "origin", *refspecs]
        pushed = shell.run(argv, timeout_s=_PUSH_S, check=False)
        if not pushed.ok:
            raise AitbcError(
                f"deploy {environment.name} refused: origin did not take {revision.short}\n"
                f"  it said          {pushed.tail}\n"
                "  changed so far   nothing, on no host",
                hint="git fetch origin && git status",
                exit_status=Exit.REFUSED,
            )
        named = ", ".join(each.rpartition(":")[2].removeprefix("refs/") for each in refspecs)
        now.say(f"{revision.short} is at origin: {named}")
    entry = audit.Entry("push", revision.commit, "pushed", who, named)
    audit.append(audit.path_of(environment), entry)


def _branch(ref: str, commit: str, *, root: Path) -> str:
    """Name the branch that a commit goes to: the one that was named, or that is checked out."""
    own = _git(root, "branch", "--contains", commit, "--format=%(refname:short)").splitlines()
    for name in (ref, _git(root, "branch", "--show-current")):
        if name in own:
            return name
    raise UsageError(
        f"{commit[:12]} is on no branch that is named or checked out here, so it has no place",
        hint=f"git push origin {commit[:12]}:refs/heads/BRANCH",
    )


def _git(root: Path, *words: str) -> str:
    return shell.run(["git", "-C", str(root), *words]).stdout.strip()
