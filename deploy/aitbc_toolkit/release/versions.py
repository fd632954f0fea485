"""Can a release that is returned to read the data that are there, and follow the chain's rules?

Asked of that release's own build, on the hosts, before anything is touched. How two builds are
tried on each other is in `compatibility`.
"""

from collections.abc import Mapping
from typing import Any

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release.history import Record
from aitbc_toolkit.release.progress import note
from aitbc_toolkit.release.rolling import Run
from aitbc_toolkit.release.source import SHORT


def refuse_unreadable(run: Run, target: Record, told: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a return to a build that does not know the data or the rules of now.

    `told` says for each node which ones the build knows that it would return to.
    Raises: AitbcError (refused) that says for which nodes, and what would work.
    """
    problems, mute = [], []
    for name, status in run.mesh.statuses().items():
        if status is None or name not in told:
            continue
        if "data_versions" not in told[name]:
            mute.append(name)
        elif why := _why_not(told[name], data=status.data_version, app=status.app_version):
            problems.append(f"  {name:<16} {why}")
    if mute:
        release = target.commit[:SHORT]
        note(run.tell, f"which data {release} reads is not available: it does not tell")
    if problems:
        raise _refused(run.environment.name, target, problems)


def _why_not(told: Mapping[str, Any], *, data: int, app: int) -> str:
    oldest, newest = told["data_versions"]
    if not oldest <= data <= newest:
        reads = f"that build reads {oldest} to {newest}"
        return f"its data are in version {data} since a finalize, {reads}"
    if app > told["app_version"]:
        return f"the chain has rules of version {app}, that build knows {told['app_version']}"
    return ""


def _refused(name: str, target: Record, problems: list[str]) -> AitbcError:
    head = f"rollback {name} refused: {target.commit[:SHORT]} cannot go on from here"
    return AitbcError(
        "\n".join([head, *problems, "  changed so far   nothing, on no host"]),
        hint=f"aitbc deploy {name} --ref REF   # a newer one that reads these data",
        exit_status=Exit.REFUSED,
    )
