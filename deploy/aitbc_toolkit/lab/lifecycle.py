"""How does a lab come up, go down and vanish? The verbs of `aitbc lab`, as a library.

A lab outlives the command that made it: its holder keeps it. Every verb first reaps what a killed
holder left behind. Do not add printing here: progress goes to the caller line by line.
"""

import contextlib
import os
import select
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aitbc_toolkit import shell
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.lab import access, claims, commands, control, reaper
from aitbc_toolkit.lab.blueprint import claim_lab, write_lab
from aitbc_toolkit.lab.locking import locked
from aitbc_toolkit.lab.model import Lab, LabSpec, check_name, from_json
from aitbc_toolkit.lab.places import Places
from aitbc_toolkit.lab.ready import make_ready
from aitbc_toolkit.lab.requirements import Progress, ensure_packages, require_root
from aitbc_toolkit.lab.stock import ensure_stock

_HOLDER_TIMEOUT_S = 30.0
_READY_TIMEOUT_S = 90.0
_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.02
_LOG_LINES = 5


@dataclass(frozen=True, slots=True)
class LabState:
    """Say how a lab is: `up`, `down` or `starting`, and which of its hosts run."""

    lab: Lab
    state: str
    running: dict[str, bool] = field(default_factory=dict)


def bring_up(
    spec: LabSpec,
    *,
    progress: Progress,
    places: Places | None = None,
    owner_pid: int | None = None,
) -> Lab:
    """Bring a lab up and return it once every host runs and answers on ssh.

    A lab that is up already with as many hosts only has its dead hosts booted. With `owner_pid` a
    new lab ends when that process does, else it stays until it is taken down.

    Raises: AitbcError when this machine cannot, or when a host does not come; then nothing of it
    runs, and its logs stay in its folder.
    """
    require_root()
    if owner_pid is not None and not Path(f"/proc/{owner_pid}").is_dir():
        raise UsageError(f"no process has the id {owner_pid}", hint="aitbc lab up --owner-pid $$")
    ensure_packages(progress)
    where = places or Places.of()
    reaper.reap(where)
    stock = ensure_stock(where, spec, progress=progress)
    claim = _claim_or_find(where, spec, progress=progress)
    if isinstance(claim, LabState):
        return _mend(where, claim, spec)
    began = time.monotonic()
    try:
        lab = write_lab(where, spec, claim)
        progress(f"hosts         booting {len(lab.hosts)} hosts and the forge")
        shell.detach(commands.hold(where, lab, stock=stock), log=lab.folder / "holder.log")
        _await_holder(where, lab)
        make_ready(
            lab, timeout_s=_READY_TIMEOUT_S, fresh=True, alive=lambda: _check_holder(where, lab)
        )
        _ask(where, lab, {"verb": "keep", "owner": owner_pid})
    except BaseException:
        _stop(where, claim)
        raise
    progress(f"hosts         {len(lab.machines)} ready    {time.monotonic() - began:.1f} s")
    return lab


def take_down(name: str, *, places: Places | None = None) -> bool:
    """End a lab and its disks; return whether it was up. Keys and addresses stay for the next time.

    Raises: UsageError when this checkout has no such lab.
    """
    where = places or Places.of()
    claim = claims.read_claim(where, _known(where, name).lab.tag)
    if claim is not None:
        _stop(where, claim)
    reaper.reap(where)
    return claim is not None


def destroy(name: str, *, places: Places | None = None) -> None:
    """End a lab and remove everything of it, its keys too.

    Raises: UsageError when this checkout has no such lab.
    """
    take_down(name, places=places)
    shutil.rmtree((places or Places.of()).lab(name))


def list_labs(*, places: Places | None = None) -> tuple[LabState, ...]:
    """List the labs of this checkout, up or down."""
    require_root()
    where = places or Places.of()
    reaper.reap(where)
    names = sorted(path.parent.name for path in where.labs.glob("*/lab.json"))
    found = (_find(where, name) for name in names)
    return tuple(state for state in found if state is not None)


def load_lab(name: str, *, places: Places | None = None) -> Lab:
    """Find a lab that is up.

    Raises: UsageError when there is none of this name, or when it is down.
    """
    where = places or Places.of()
    state = _known(where, name)
    if state.state != "up":
        raise UsageError(f"lab {name} is {state.state}", hint=f"aitbc lab up {name}")
    return state.lab


def load_running(name: str, host: str, *, places: Places | None = None) -> Lab:
    """Find a lab that is up, with one host that runs.

    Raises: as `load_lab`; UsageError for an unknown host, AitbcError (unreachable) for one that is
    off.
    """
    lab = load_lab(name, places=places)
    if not _known(places or Places.of(), name).running.get(lab.host(host).name, False):
        raise access.unreachable(lab, host)
    return lab


def _known(places: Places, name: str) -> LabState:
    require_root()
    check_name(name)
    state = _find(places, name)
    if state is None:
        names = sorted(path.parent.name for path in places.labs.glob("*/lab.json"))
        others = f"; there are {', '.join(names)}" if names else "; there is none"
        raise UsageError(f"no lab is called {name!r}{others}", hint="aitbc lab list")
    return state


def _find(places: Places, name: str) -> LabState | None:
    """Read a lab and what its holder says about it."""
    path = places.lab(name) / "lab.json"
    if not path.is_file():
        return None
    lab = from_json(path.read_text(encoding="utf-8"))
    claim = claims.read_claim(places, lab.tag)
    if claim is None or claim.stale:
        return LabState(lab, "down")
    try:
        answer = _ask(places, lab, {"verb": "status"})
    except AitbcError:
        return LabState(lab, "starting")
    return LabState(lab, "up" if answer["kept"] else "starting", answer["hosts"])


def _claim_or_find(places: Places, spec: LabSpec, *, progress: Progress) -> claims.Claim | LabState:
    """Claim the lab, or find it up once another command has made it.

    A holder that was killed a moment ago, and still ends, is waited for in the same way.

    Raises: AitbcError (busy) when neither comes true.
    """
    deadline = time.monotonic() + _READY_TIMEOUT_S
    told = False
    while time.monotonic() < deadline:
        reaper.reap(places)
        present = _find(places, spec.name)
        if present is not None and present.state == "up":
            return present
        claim = claim_lab(places, spec)
        if claim is not None:
            return claim
        if not told:
            progress(f"hosts         waiting for the command that makes lab {spec.name}")
            told = True
        time.sleep(_POLL_S)
    raise AitbcError(
        f"lab {spec.name} is being brought up or taken down by another command",
        hint="aitbc lab list",
        exit_status=Exit.BUSY,
    )


def _ask(places: Places, lab: Lab, request: dict[str, Any]) -> dict[str, Any]:
    return control.ask(control.socket_path(places, lab.tag), request, timeout_s=_HOLDER_TIMEOUT_S)


def _mend(places: Places, present: LabState, spec: LabSpec) -> Lab:
    """Boot the hosts of a lab that do not run, and see that all are well."""
    lab = present.lab
    if len(lab.hosts) != spec.hosts:
        raise UsageError(
            f"lab {lab.name} is up with {len(lab.hosts)} hosts, {spec.hosts} asked",
            hint=f"aitbc lab down {lab.name}",
        )
    if lab.bare != spec.bare:
        kinds = {False: "ready", True: "bare"}
        raise UsageError(
            f"lab {lab.name} is up with {kinds[lab.bare]} hosts, {kinds[spec.bare]} ones asked",
            hint=f"aitbc lab down {lab.name}",
        )
    for host, runs in present.running.items():
        if not runs:
            _ask(places, lab, {"verb": "boot", "host": host})
    make_ready(
        lab, timeout_s=_READY_TIMEOUT_S, fresh=False, alive=lambda: _check_holder(places, lab)
    )
    return lab


def _await_holder(places: Places, lab: Lab) -> None:
    """Wait until the holder has started every host and listens."""
    path = control.socket_path(places, lab.tag)
    deadline = time.monotonic() + _HOLDER_TIMEOUT_S
    while not path.exists():
        _check_holder(places, lab)
        if time.monotonic() > deadline:
            raise _holder_failed(lab, f"did not start within {_HOLDER_TIMEOUT_S:.0f} s")
        time.sleep(_POLL_S)


def _check_holder(places: Places, lab: Lab) -> None:
    claim = claims.read_claim(places, lab.tag)
    if claim is None or claim.stale:
        raise _holder_failed(lab, "ended early")


def _holder_failed(lab: Lab, what: str) -> AitbcError:
    log = lab.folder / "holder.log"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    return AitbcError(
        "\n  ".join([f"lab {lab.name} failed: its holder {what}", *lines]),
        hint=f"less {log}",
    )


def _stop(places: Places, claim: claims.Claim) -> None:
    """Ask the holder to clear the lab, end it when it does not, and clear what is left."""
    present = claims.read_claim(places, claim.tag) or claim
    if present.held and present.holder.alive:
        with contextlib.suppress(ProcessLookupError):
            _end(present.holder.pid)
    with locked(places.machine_lock, timeout_s=claims.LOCK_TIMEOUT_S, what="the labs"):
        left = claims.read_claim(places, claim.tag)
        if left is not None:
            reaper.clear(places, left)


def _end(pid: int) -> None:
    held = os.pidfd_open(pid)
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(held, number)
            if select.select([held], [], [], _STOP_TIMEOUT_S)[0]:
                return
    finally:
        os.close(held)
