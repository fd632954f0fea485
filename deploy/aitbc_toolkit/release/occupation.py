"""Who works on an environment now? One run at a time, with its connections and its lease.

Every verb that changes something runs inside `at_work`. What a lease is stands in `lease`.
"""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from aitbc_toolkit import identity
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import anchoring, arming, audit, journal, sighting, witnessing
from aitbc_toolkit.release.alarming import Alarm
from aitbc_toolkit.release.errands import Errand
from aitbc_toolkit.release.history import Place
from aitbc_toolkit.release.hosts import Crew
from aitbc_toolkit.release.lease import Ask, Claim, Held, Lease
from aitbc_toolkit.release.progress import Tell, note, step
from aitbc_toolkit.release.reading import Mesh
from aitbc_toolkit.release.renewing import Renewal
from aitbc_toolkit.release.rolling import Run
from aitbc_toolkit.release.source import who
from aitbc_toolkit.remote import Hosts, Row

_GONE = "its process on this machine has ended"


@contextmanager
def at_work(
    environment: Environment,
    tell: Tell,
    *,
    reason: str = "a change",
    break_lease: str = "",
    decides: bool = True,
    anchors: bool = True,
    wanted: Mapping[str, Place] | None = None,
) -> Iterator[Run]:
    """Hold the environment for one run, with its connections; `reason` is shown to others.

    `decides`: what an earlier run has armed and not proved is this one's to decide. Who decides
    nothing about it is refused while a host waits to take nodes back.

    `break_lease` says why the lease of another run may be taken away; that of a process of this
    machine that is gone is, at once. Its steps are refused from then on like those of any other.
    A run that leaves no mesh behind `anchors` nothing on its ledger.
    Where every node is already where it is `wanted`, the lease was given back by the time that the
    run begins: who wants to change something all the same has to `stay`.
    Raises: Held (busy) when another run has the environment; AitbcError (refused) when a majority
    of its hosts does not answer.
    """
    with Hosts(environment) as remote, Mesh(environment) as mesh, Alarm(environment) as alarm:
        crew = Crew(environment, remote)
        lease = Lease(
            Claim(environment.name, reason),
            [host.name for host in environment.hosts],
            crew.ask(remote),
            wait=lambda seconds: _wait(tell, seconds),
        )
        statement: dict[str, str] = {}
        try:
            _take(crew, lease, tell, break_lease=break_lease, decides=decides, wanted=wanted or {})
            told = partial(sighting.tell_lease, tell, lease)
            with Renewal(lease, lambda: _second(environment), told=told):
                yield _run(crew, mesh, alarm, tell, name=lease.claim.run)
                # What a refused run wrote into the log is told with that of the next one.
                if not lease.is_done:
                    statement = witnessing.last_words(environment, tell)
                if anchors and identity.genesis_path(environment).is_file():
                    anchoring.after_run(environment, mesh, tell)
        finally:
            _give_back(lease, tell, statement)


@contextmanager
def looking(environment: Environment, tell: Tell) -> Iterator[Run]:
    """Give the connections for a run that only reads: it holds nothing and waits for nobody."""
    with Hosts(environment) as remote, Mesh(environment) as mesh, Alarm(environment) as alarm:
        yield _run(Crew(environment, remote), mesh, alarm, tell, name=secrets.token_hex(8))


def _run(crew: Crew, mesh: Mesh, alarm: Alarm, tell: Tell, *, name: str) -> Run:
    environment = crew.environment
    return Run(environment, crew, mesh, tell, name, journal.of(environment, name), alarm)


def stay(run: Run, *, break_lease: str = "") -> bool:
    """Keep the lease for a run that finds more to do than its hosts did.

    Another run may have come meanwhile: `break_lease` is about that one, too. Tell whether the
    lease had to be taken anew: then what hosts told before counts no more.
    Raises: as `at_work`.
    """
    lease = run.crew.lease
    assert lease is not None, "only a run at work has a lease to keep"
    if not lease.is_done:
        return False
    with step(run.tell, "lease", f"asking {_hosts(lease)} anew, to stay") as now:
        _acquire(run.crew, lease, run.tell, break_lease=break_lease, decides=True)
        now.say(f"token {lease.token}, {lease.claim.holder}")
    sighting.tell_lease(run.tell, lease)
    _take_over(run.crew, lease, run.tell)
    return True


def _take(
    crew: Crew,
    lease: Lease,
    tell: Tell,
    *,
    break_lease: str,
    decides: bool,
    wanted: Mapping[str, Place],
) -> None:
    environment = crew.environment
    with step(tell, "lease", f"asking {_hosts(lease)}") as now:
        errand = Errand(wanted, witnessing.last_words(environment, tell)) if wanted else None
        rows, taken = _acquire(
            crew, lease, tell, break_lease=break_lease, decides=decides, errand=errand
        )
        back = ", given back: nothing is to be done" if lease.is_done else ""
        now.say(f"token {lease.token}, {lease.claim.holder}{back}")
    if lease.is_done:
        _tell_forgotten(rows, tell)
        return
    sighting.tell_lease(tell, lease)
    if not decides:
        _refuse_armed(lease, crew.armed, taken_from=taken)
    _take_over(crew, lease, tell)


def _acquire(
    crew: Crew,
    lease: Lease,
    tell: Tell,
    *,
    break_lease: str,
    decides: bool,
    errand: Errand | None = None,
) -> tuple[Mapping[str, Row], str]:
    """Ask for the lease, and break that of another run where it may be; say whose that was."""
    taken = ""
    try:
        rows = lease.acquire(errand=errand)
    except Held as held:
        reason = break_lease or (_GONE if held.is_gone else "")
        if not reason or not held.owner:
            raise
        if not decides:
            # Before its lease is broken: a run in the middle of a wave has armed a host.
            _refuse_armed(lease, arming.armed(crew.answers()))
        _audit(crew.environment, held, reason=reason)
        if not break_lease:
            note(tell, f"{held.holder} held the lease: {_GONE}")
        rows, taken = lease.acquire(breaks=held.owner), held.holder
    crew.hold(lease, rows)
    return rows, taken


def _take_over(crew: Crew, lease: Lease, tell: Tell) -> None:
    """Disarm what an earlier run has armed, and say which nodes stay unproved by that."""
    for host, nodes in crew.take_over(lease.claim.reason.partition(" ")[0]).items():
        left = "its nodes were back by then"
        if nodes:
            rest = "stays as it is" if len(nodes) == 1 else "stay as they are"
            left = f"{' '.join(nodes)} {rest}"
        note(tell, f"the dead-man's switch of an earlier run on {host} is disarmed: {left}")


def _hosts(lease: Lease) -> str:
    count = len(lease.hosts)
    return f"{count} host{'s' if count > 1 else ''}"


def _refuse_armed(
    lease: Lease, armed: Sequence[Mapping[str, Any]], *, taken_from: str = ""
) -> None:
    """Leave the dead-man's switch of a run that nobody has proved to those who decide about it."""
    if not armed:
        return
    name = lease.claim.environment
    changed = f"the lease of {taken_from} was taken away" if taken_from else "nothing that runs"
    ways = (
        f"aitbc deploy {name} --resume   # goes on",
        f"aitbc rollback {name}   # goes back",
        "aitbc ... --force   # leaves it unproved, and nobody takes it back",
    )
    raise AitbcError(
        "\n".join(
            [
                f"{lease.claim.reason} refused: an earlier run has not proved what it switched",
                *(f"  {'switch':<16} {arming.said(each)}" for each in armed),
                f"  changed so far   {changed}",
            ]
        ),
        hint="\n".join(ways),
        exit_status=Exit.REFUSED,
    )


def _audit(environment: Environment, held: Held, *, reason: str) -> None:
    """Say it before it is done: no lease is broken that nobody hears of."""
    entry = audit.Entry(
        action="break-lease",
        subject=environment.name,
        outcome="broken",
        who=who(),
        reason=f"{reason} (held by {held.holder})",
    )
    audit.append(audit.path_of(environment), entry)


def _give_back(lease: Lease, tell: Tell, statement: Mapping[str, str]) -> None:
    """End the lease; what went wrong before is the news, not that this could not be done."""
    try:
        rows = lease.release(statement)
        left = [name for name, row in rows.items() if not row.ok]
    except AitbcError as failure:
        rows, left = {}, [failure.message]
    if left:
        note(tell, f"the lease ends by itself in {lease.claim.ttl_s:.0f} s on {' '.join(left)}")
    _tell_forgotten(rows if statement else {}, tell)


def _tell_forgotten(rows: Mapping[str, Row], tell: Tell) -> None:
    """Name the hosts that do not remember how the audit log of this run ends."""
    for row in rows.values():
        if forgot := row.answer.get("forgot", "") if row.ok else row.error:
            note(tell, f"the audit log's head is not on {row.host}: {forgot}")


def _wait(tell: Tell, seconds: float) -> None:
    if seconds:
        text = "a run before this one did not end where we can see it: its steps may go on"
        note(tell, f"{text}; waiting {seconds:.0f} s for the last of them")
        time.sleep(seconds)


@contextmanager
def _second(environment: Environment) -> Iterator[Ask]:
    """Open a connection to every host beside the one that makes the steps."""
    with Hosts(environment) as remote:
        yield Crew(environment, remote).ask(remote)
