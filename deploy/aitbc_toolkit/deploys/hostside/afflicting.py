"""How does a host break itself on order, and how does it make sure that this ends?

An order is shell text: what to do, and what undoes it. The end is set before the beginning, and
this host keeps it: no connection and no second word is needed. Whoever asks again can only bring
the end forward. What an order means is not known here. Standard library only.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import files, residue
from aitbc_toolkit.deploys.hostside.moments import Moment
from aitbc_toolkit.deploys.hostside.trouble import Trouble

_POLL_S = 0.2
_DO_S = 30.0
# Who injects holds the lock for the whole of a step, and is ended with it.
_LOCK_S = 45.0
# So long after its lease has run out a fault may go on, before this host has failed to end it.
_GRACE_S = 2.0
# A controller that has waited for the end counts it by a clock of its own.
_EARLY_S = 0.5


def inject(params: dict[str, Any]) -> dict[str, Any]:
    """Take a host that is as it should be, set the end, and do what the order says.

    Raises: Trouble (residue) where an earlier fault has left something behind; Trouble (chaos) when
    the order cannot be carried out before its end comes, which is undone then.
    """
    order, folder = params["order"], Path(params["chaos"])
    with files.locked(folder / "lock"):
        _refuse_residue(folder, params)
        residue.remember(folder, params)
        undo = _whole(order, folder)
        moment, began_s = Moment.read(), time.monotonic()
        record = {
            **{key: order[key] for key in residue.SHOWN},
            "undo": undo,
            "boot": moment.boot,
            "began": time.time(),
            "ends_s": moment.now_s + order["lease_s"],
            "due_s": moment.now_s + order["lease_s"],
            "waits": 0,
        }
        files.write(_path(folder, order["id"]), json.dumps(record))
        record["waits"] = _set_end(order, undo, params)
        record["due_s"] += time.monotonic() - began_s  # no sooner was there anybody who counts
        files.write(_path(folder, order["id"]), json.dumps(record))
        try:
            for text in order["do"]:
                _shell(text, within_s=_left_s(record))
            _left_s(record)
        except Trouble as failure:
            # The end may have come and gone meanwhile, before the last of what it has to undo.
            files.write(_path(folder, order["id"]), json.dumps(record))
            _end_now(record, folder, params)
            raise Trouble(failure.message, kind="chaos") from failure
    return {"began": record["began"], "boot": moment.boot}


def end(params: dict[str, Any]) -> dict[str, Any]:
    """Bring the end of some faults forward, or of all; then tell what is left of any.

    A fault that this host should have ended by itself, and did not, is left behind, too: had nobody
    asked, it would go on. While others go on, nobody can tell what else is: that is asked after the
    last of them. With `accept` what is left is told, and is from then on how this host should be.
    """
    folder = Path(params["chaos"])
    late = _overdue(folder, params)
    with files.locked(folder / "lock", timeout_s=_LOCK_S):
        known = residue.active(folder)
        wanted = [each for each in known if params["ids"] is None or each["id"] in params["ids"]]
        for record in wanted:
            _end_now(record, folder, params)
    deadline = time.monotonic() + params["settle_s"]
    while True:
        left = residue.active(folder)
        found = [] if left else residue.left(folder, params)
        if left or not found or params["accept"] or time.monotonic() > deadline:
            break
        time.sleep(_POLL_S)
    if not left and (params["accept"] or not found):
        residue.forget(folder)
    return {
        "healed": [each["id"] for each in wanted],
        "active": [residue.shown(each) for each in left],
        "residue": [*late, *found],
        "boot": Moment.read().boot,
    }


def _overdue(folder: Path, params: dict[str, Any]) -> list[str]:
    """Wait for ends that have come by now; name the faults that go on though nobody undoes them."""
    while True:
        now_s = Moment.read().now_s
        due = [
            each
            for each in residue.active(folder)
            if (params["ids"] is None or each["id"] in params["ids"])
            and each["due_s"] - _EARLY_S <= now_s
        ]
        if all(now_s > each["due_s"] + _patience_s(each, folder, params) for each in due):
            return [
                f"{each['about']}: went on, because its end did not come by itself" for each in due
            ]
        time.sleep(_POLL_S)


def _patience_s(record: dict[str, Any], folder: Path, params: dict[str, Any]) -> float:
    """Tell how long an end may take: to begin, or, once it has, until a node has started."""
    has_begun = _mark(folder, record["id"]).exists()
    return max(_GRACE_S, params["settle_s"]) if has_begun else _GRACE_S


def _refuse_residue(folder: Path, params: dict[str, Any]) -> None:
    if residue.active(folder):
        return
    found = residue.left(folder, params)
    if found:
        raise Trouble(
            f"left behind, or changed since the first fault: {'; '.join(found)}", kind="residue"
        )
    residue.forget(folder)


def _set_end(order: dict[str, Any], undo: str, params: dict[str, Any]) -> int:
    """Let this host undo the order at its end, whoever is there then.

    Returns the process that waits for it, or 0 where the service manager does.
    """
    if params["manager"]["kind"] == "systemd":
        after = [f"--on-active={order['lease_s']}s", "--timer-property=AccuracySec=20ms"]
        about = [f"--unit={_unit(order, params)}", f"--description={order['about']}"]
        # systemd would take a dollar for one of its own variables.
        words = ["sh", "-c", undo.replace("$", "$$")]
        files.call(["systemd-run", "--quiet", "--collect", *about, *after, *words])
        return 0
    record = _path(Path(params["chaos"]), order["id"])
    text = f"sleep {order['lease_s']}\n[ ! -e {record} ] || {{\n{undo}\n}}"
    waiting = subprocess.Popen(  # noqa: S603 - it outlives this step on purpose, and ends by itself
        ["sh", "-c", text],  # noqa: S607 - every host has a shell
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return waiting.pid


def _end_now(record: dict[str, Any], folder: Path, params: dict[str, Any]) -> None:
    """Undo now; then take away the end that was set, which was there until nothing needed it."""
    subprocess.run(["sh", "-c", record["undo"]], check=False, capture_output=True)  # noqa: S603, S607 - what the order said
    if params["manager"]["kind"] == "systemd":
        timer = f"{_unit(record, params)}.timer"
        subprocess.run(["systemctl", "stop", timer], check=False, capture_output=True)  # noqa: S603, S607 - fixed words
    _path(folder, record["id"]).unlink(missing_ok=True)
    _mark(folder, record["id"]).unlink(missing_ok=True)
    _stop_waiting(record.get("waits", 0), _path(folder, record["id"]))


def _stop_waiting(pid: int, record: Path) -> None:
    """End the shell that waits for the end of a fault, and its `sleep`; nobody else's process."""
    try:
        ours = str(record).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
        if ours and os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGTERM)
    except OSError:
        return  # it has ended by itself


def _whole(order: dict[str, Any], folder: Path) -> str:
    """Write what undoes an order: it says that it has begun, tries each line, and says it did."""
    mark = _mark(folder, order["id"])
    return f"touch {mark}\n{order['undo']}\nrm -f {_path(folder, order['id'])} {mark}"


def _left_s(record: dict[str, Any]) -> float:
    """Tell how long the fault may still last.

    Raises: Trouble when its end has come.
    """
    left_s: float = record["ends_s"] - Moment.read().now_s
    if left_s <= 0:
        raise Trouble(f"its lease of {record['lease_s']:g} s was over before it had begun")
    return left_s


def _shell(text: str, *, within_s: float) -> None:
    """Carry out a part of the order, up to the first command of it that fails."""
    limit_s = min(within_s, _DO_S)
    argv = ["sh", "-ec", text]
    try:
        done = subprocess.run(argv, check=False, capture_output=True, timeout=limit_s)  # noqa: S603 - what the order said
    except subprocess.TimeoutExpired as late:
        raise Trouble(f"{text[:80]!r} did not end within {limit_s:.1f} s") from late
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).decode(errors="replace")
        raise Trouble(f"{text[:80]!r} ended with {done.returncode}: {said[-300:]}")


def _unit(record: dict[str, Any], params: dict[str, Any]) -> str:
    return f"{params['mesh']}-chaos-{record['id']}"


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.fault"


def _mark(folder: Path, name: str) -> Path:
    """Say where it is written that a fault is being undone."""
    return folder / f"{name}.ending"
