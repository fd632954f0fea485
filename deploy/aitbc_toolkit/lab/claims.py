"""Which labs are up on this machine, and who answers for each?

A claim is a file per lab in the run folder, of all checkouts: its slot, what it made in the
kernel, and the process whose death means that all of it is to be cleared. Claims are made and
dropped under one machine-wide lock. Do not clear anything here: that is the reaper.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from aitbc_toolkit import shell
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.lab import addresses
from aitbc_toolkit.lab.locking import locked
from aitbc_toolkit.lab.places import Places
from aitbc_toolkit.processes import Process

LOCK_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Claim:
    """Say what a lab holds on this machine, and which process answers for it.

    `held` is false while the lab is being made: then the process is the one that makes it.
    """

    tag: str
    name: str
    folder: Path
    slot: int
    bridge: str
    machines: tuple[str, ...]
    cgroups: tuple[Path, ...]
    holder: Process
    held: bool = False

    @property
    def maker(self) -> int:
        """Give the pid of the command that makes the lab, while it does."""
        assert not self.held, "the holder answers for the lab already"
        return self.holder.pid

    @property
    def stale(self) -> bool:
        """Tell whether nobody answers for the lab any more."""
        return not self.holder.alive


def read_claims(places: Places) -> tuple[Claim, ...]:
    """List the claims of all checkouts, also the stale ones."""
    found = (_read(path) for path in sorted(places.claims.glob("*.json")))
    return tuple(claim for claim in found if claim is not None)


def read_claim(places: Places, tag: str) -> Claim | None:
    """Read the claim of one lab, if it has one."""
    return _read(_path(places, tag))


def write_claim(places: Places, claim: Claim) -> None:
    """Make or replace a claim in one step."""
    path = _path(places, claim.tag)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}.new")
    beside.write_text(json.dumps(asdict(claim), indent=2, default=str) + "\n", encoding="utf-8")
    beside.rename(path)


def take_over(places: Places, begun: Claim, *, holder: Process) -> None:
    """Make the holder answer for a lab that another process began.

    Raises: AitbcError when that process has died, and the lab may have been reaped since.
    """
    with locked(places.machine_lock, timeout_s=LOCK_TIMEOUT_S, what="the labs"):
        if begun.stale or read_claim(places, begun.tag) != begun:
            raise AitbcError(
                f"lab {begun.name}: the command that began it has ended",
                hint=f"aitbc lab up {begun.name}",
            )
        write_claim(places, replace(begun, holder=holder, held=True))


def drop_claim(places: Places, claim: Claim) -> None:
    """Give the slot back."""
    _path(places, claim.tag).unlink(missing_ok=True)


def free_slot(claims: Iterable[Claim], *, used: Iterable[str]) -> int:
    """Find a slot that no lab has and whose networks no interface of this machine uses.

    Raises: AitbcError when there is none.
    """
    taken = {claim.slot for claim in claims}
    prefixes = {address.rpartition(".")[0] for address in used}
    for slot in range(addresses.SLOT_COUNT):
        v4, _ = addresses.networks(slot)
        if slot not in taken and str(v4.network_address).rpartition(".")[0] not in prefixes:
            return slot
    raise AitbcError(
        f"lab refused: all {addresses.SLOT_COUNT} lab networks of this machine are in use",
        hint="aitbc lab list",
        exit_status=Exit.REFUSED,
    )


def addresses_in_use() -> tuple[str, ...]:
    """List the IPv4 addresses of this machine."""
    links = json.loads(shell.run(["ip", "-json", "-4", "address", "show"]).stdout)
    return tuple(each["local"] for link in links for each in link.get("addr_info", []))


def _path(places: Places, tag: str) -> Path:
    return places.claims / f"{tag}.json"


def _read(path: Path) -> Claim | None:
    """Read a claim; one that a power loss left torn counts as none, as its lab is gone too."""
    try:
        return _claim(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _claim(fields: dict[str, Any]) -> Claim:
    return Claim(
        folder=Path(fields.pop("folder")),
        machines=tuple(fields.pop("machines")),
        cgroups=tuple(Path(each) for each in fields.pop("cgroups")),
        holder=Process(**fields.pop("holder")),
        **fields,
    )
