"""Who has the right to change this host now, and until when? One record, judged by the boot clock.

A lease is granted to one owner, ends by itself, and dies with a reboot; its token only ever grows.
Every step that changes the host stands inside `guarded`: under the step's lock it is refused
unless the newest token is its own and the lease outlives its deadline. Standard library only.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from aitbc_toolkit.deploys.hostside import deadman, files
from aitbc_toolkit.deploys.hostside.moments import Moment
from aitbc_toolkit.deploys.hostside.trouble import Trouble

# A change of the record takes milliseconds, so whoever waits longer waits for a host that hangs.
_RECORD_S = 5.0
# A step that is asked to end at its deadline is killed this much later, at the latest.
_KILL_S = 10.0


class Record(NamedTuple):
    """Hold the last lease that this host granted, ended or not.

    `before_*` say whose lease it followed and how that one ended; `process` is for the next run.
    """

    token: int
    owner: str
    run: str
    holder: str
    reason: str
    since: str
    boot: str
    ends_s: float
    end: str = ""
    before_token: int = 0
    before_end: str = ""
    process: str = ""

    def lives(self, moment: Moment) -> bool:
        """Tell whether it is still somebody's right."""
        return not self.end and self.boot == moment.boot and moment.now_s < self.ends_s

    def ended(self, moment: Moment) -> str:
        """Say how it ended: by its holder (released, unclear) or without it."""
        if self.end:
            return self.end
        return "rebooted" if self.boot != moment.boot else "expired"


def acquire(params: dict[str, Any]) -> dict[str, Any]:
    """Grant the lease unless another owner's lives; the same owner may ask again.

    `breaks` names the one owner whose living lease is ended for this.
    Raises: Trouble (held) with who holds it.
    """
    wanted, state = params["lease"], _state(params)
    # Asked before the lock as well: a holder that is busy for minutes has its lock for minutes.
    _refuse_held(_read(state), wanted)
    with files.locked(state / "lock"), _record_lock(state):
        last = _read(state)
        _refuse_held(last, wanted)
        granted = _grant(last, wanted, Moment.read())
        _write(state, granted)
    return {"token": granted.token, "before": [granted.before_token, granted.before_end]}


def renew(params: dict[str, Any]) -> dict[str, Any]:
    """Let the lease end later; it works beside a step that runs."""
    state = _state(params)
    with _record_lock(state):
        _outlive(state, params["lease"], params["lease"]["ttl_s"])
    return {}


def release(params: dict[str, Any]) -> dict[str, Any]:
    """End the owner's lease, if it is still the one; `end` says whether all its steps ended."""
    lease, state = params["lease"], _state(params)
    with _record_lock(state):
        record = _read(state)
        own = record is not None and record.owner == lease["owner"] and not record.end
        if record is not None and own:
            _write(state, record._replace(end=lease["end"]))
    return {"released": own}


@contextmanager
def guarded(params: dict[str, Any], *, disarms: bool = True) -> Iterator[list[str]]:
    """Make one step alone on this host, with a lease that covers its deadline.

    What an earlier step has armed is this one's to decide: it is disarmed, and the nodes that the
    host had taken back by then are told. A step on the way back leaves it armed: until a node is
    back, the host may have to be the one that takes it there.
    Raises: Trouble (lease) when the right is gone; (busy) when another step goes on.
    """
    lease, state = params.get("lease"), _state(params)
    if lease is None:
        raise Trouble("a step that changes this host came without a lease", kind="lease")
    with files.locked(state / "lock"):
        with _record_lock(state):
            _outlive(state, lease, lease["deadline_s"] + _KILL_S)
        try:
            yield deadman.disarm(state) if disarms else []
        finally:
            with suppress(Trouble):  # it ends later then, as it would had we been killed here
                _settle(state, lease)


def seen(layout: dict[str, Any]) -> dict[str, Any]:
    """Tell who holds this host, for people; nothing when nobody does."""
    record, moment = _read(Path(layout["state"])), Moment.read()
    return _shown(record, moment) if record is not None and record.lives(moment) else {}


def _grant(last: Record | None, wanted: dict[str, Any], moment: Moment) -> Record:
    """Write down the new right; an owner that asks again keeps what it followed."""
    again = last is not None and last.owner == wanted["owner"] and last.lives(moment)
    token = 1 if last is None else last.token if again else last.token + 1
    before = (0, "none")
    if last is not None:
        broken = last.owner == wanted["breaks"] and last.lives(moment)
        before = (last.token, "broken" if broken else last.ended(moment))
        if again:
            before = (last.before_token, last.before_end)
    return Record(
        token=max(token, wanted["token"]),
        owner=wanted["owner"],
        run=wanted["run"],
        holder=wanted["holder"],
        reason=wanted["reason"],
        since=wanted["since"],
        boot=moment.boot,
        ends_s=moment.now_s + wanted["ttl_s"],
        before_token=before[0],
        before_end=before[1],
        process=wanted.get("process", ""),
    )


def _refuse_held(record: Record | None, wanted: dict[str, Any]) -> None:
    moment = Moment.read()
    if record is None or not record.lives(moment):
        return
    if record.owner in {wanted["owner"], wanted["breaks"]}:
        return
    raise Trouble(
        f"{record.holder} holds the lease", kind="held", facts={"held": _shown(record, moment)}
    )


def _outlive(state: Path, lease: dict[str, Any], seconds: float) -> None:
    """See that the lease is this owner's, and that it has these seconds left.

    Raises: Trouble (lease), which says why it is not.
    """
    record, moment = _read(state), Moment.read()
    why = _why_not(record, lease, moment)
    if why or record is None:
        raise Trouble(f"this run has lost the right to change this host: {why}", kind="lease")
    if record.ends_s < moment.now_s + seconds:
        _write(state, record._replace(ends_s=moment.now_s + seconds))


def _why_not(record: Record | None, lease: dict[str, Any], moment: Moment) -> str:
    if record is None:
        return "no lease was granted here"
    if (record.owner, record.token) != (lease["owner"], lease["token"]):
        newer = f"{record.holder} has token {record.token} since {record.since}"
        return f"its token is {lease['token']}, {newer}"
    return "" if record.lives(moment) else f"its lease has ended: {record.ended(moment)}"


def _settle(state: Path, lease: dict[str, Any]) -> None:
    """Take back what the step's deadline added, so that a dead run does not hold us for long."""
    with _record_lock(state):
        record, moment = _read(state), Moment.read()
        if not _why_not(record, lease, moment) and record is not None:
            _write(state, record._replace(ends_s=moment.now_s + lease["ttl_s"]))


def _shown(record: Record, moment: Moment) -> dict[str, Any]:
    return {
        "owner": record.owner,
        "run": record.run,
        "holder": record.holder,
        "process": record.process,
        "reason": record.reason,
        "since": record.since,
        "token": record.token,
        "ends_in_s": round(record.ends_s - moment.now_s, 3),
    }


def _state(params: dict[str, Any]) -> Path:
    return Path(params["layout"]["state"])


def _record_lock(state: Path) -> Any:
    """Keep others from the record for a moment; a step's own lock may be held for minutes."""
    return files.locked(state / "lease.lock", timeout_s=_RECORD_S)


def _read(state: Path) -> Record | None:
    """Read the record; one that cannot be read is no permission and stays for the operator."""
    path = state / "lease.json"
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as unreadable:
        raise Trouble(
            f"{path} is no record of a lease",
            hint=f"rm {path}   # on this host, when no deploy runs",
        ) from unreadable


def _write(state: Path, record: Record) -> None:
    files.write(state / "lease.json", json.dumps(record._asdict(), sort_keys=True))
