"""How does a release become final: when do nodes write data that the release before cannot read?

Only when every node runs it and takes part; from then on there is no way back to an older build.
"""

import time

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import audit, founding, history, permission
from aitbc_toolkit.release.facts import Facts, differing, observe
from aitbc_toolkit.release.gates import voting
from aitbc_toolkit.release.history import Record
from aitbc_toolkit.release.occupation import at_work
from aitbc_toolkit.release.outcome import Outcome, counted
from aitbc_toolkit.release.progress import Tell, duration, step
from aitbc_toolkit.release.rolling import Run
from aitbc_toolkit.release.source import SHORT


def finalize(environment: Environment, tell: Tell, *, break_lease: str = "") -> Outcome:
    """Let every node write the newest data that the running release knows.

    Raises: AitbcError (refused) unless every node runs one healthy release and takes part.
    """
    began = time.monotonic()
    permit = permission.require(environment, "deploy", subject="finalize")
    at = at_work(environment, tell, reason="finalize", break_lease=break_lease, decides=False)
    with at as run:
        record = _running(run, observe(run, "finalize"))
        version = _newest(run, record)
        with step(tell, "finalize", f"data version {version} of {record.commit[:SHORT]}") as now:
            changed = _raise(run, version)
            now.say(f"data version {version} on {counted(len(environment.instances), 'node')}")
        entry = audit.Entry(
            "finalize",
            f"data version {version}",
            "finalized",
            permit.who,
            record.commit,
            bypassed=permit.bypassed,
        )
        audit.append(audit.path_of(environment), entry)
    took_s = time.monotonic() - began
    done = f"is final: data version {version}" if changed else f"was final: data version {version}"
    line = f"{record.commit[:SHORT]} of {environment.name} {done}, took {duration(took_s)}"
    return Outcome(Exit.OK, [line], changed=changed, took_s=took_s, facts={"data_version": version})


def _running(run: Run, facts: Facts) -> Record:
    """Find the release that every node runs and takes part with.

    Raises: AitbcError (refused) that names the nodes that do not.
    """
    environment, founded = run.environment, founding.read(run.environment)
    told = [record for host in facts.values() for record in host["records"]]
    records = history.read(environment, hosts=told, genesis_hash=founded.hash if founded else "")
    last = history.newest_healthy(records)
    if last is None or records[-1].outcome in history.OPEN:
        raise _refused(environment, ["  no release is healthy, or the last run is open"])
    statuses = run.mesh.statuses()
    votes = voting(environment, statuses)
    lines = [f"  {name:<16} does not run it" for name in differing(run, facts, last.places)]
    for each in environment.instances:
        status = statuses[each.name]
        if status is None or status.syncing or status.trouble:
            lines.append(f"  {each.name:<16} is not healthy")
        elif each.role == "validator" and each.name not in votes:
            lines.append(f"  {each.name:<16} does not vote")
    if lines:
        raise _refused(environment, [f"  release          {last.commit[:SHORT]}", *lines])
    return last


def _newest(run: Run, record: Record) -> int:
    """Ask the release on every host for the newest data version that it writes."""
    told = run.crew.versions(record.places, verb="finalize")
    mute = [name for name, each in told.items() if "data_versions" not in each]
    if mute:
        raise _refused(run.environment, [f"  {name:<16} tells no versions" for name in mute])
    return min(int(each["data_versions"][1]) for each in told.values())


def _raise(run: Run, version: int) -> list[str]:
    """Give the order to every node; return those that had another version."""
    before = run.mesh.statuses()
    rows = run.crew.finalize(version)
    run.crew.require(rows, verb="finalize", changed="see aitbc status", status=Exit.FAILED)
    told = {name: each for row in rows.values() for name, each in row.answer["versions"].items()}
    left = [name for name, each in told.items() if each != version]
    if left:
        name = run.environment.name
        raise AitbcError(
            f"finalize {name} failed: {' '.join(left)} did not take data version {version}",
            hint=f"aitbc node logs {left[0]} -e {name}\naitbc release finalize {name}",
        )
    return [name for name, was in before.items() if was is None or was.data_version != version]


def _refused(environment: Environment, lines: list[str]) -> AitbcError:
    head = f"finalize {environment.name} refused: not every node runs one healthy release"
    return AitbcError(
        "\n".join([head, *lines, "  changed so far   nothing, on no host"]),
        hint=f"aitbc status {environment.name}",
        exit_status=Exit.REFUSED,
    )
