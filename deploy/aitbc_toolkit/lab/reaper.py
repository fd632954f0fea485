"""How is everything cleared that a lab made in the kernel, whatever killed it?

The same steps serve the holder's own end and the next command after a holder was killed. Each
step is idempotent: it looks for what is there, so half-made and half-cleared labs are the same
to it. Keys and records in the lab's state folder are not touched.
"""

import shutil
from pathlib import Path

from aitbc_toolkit import shell
from aitbc_toolkit.lab import cgroups, commands
from aitbc_toolkit.lab.claims import LOCK_TIMEOUT_S, Claim, drop_claim, read_claims
from aitbc_toolkit.lab.locking import locked
from aitbc_toolkit.lab.places import Places

_END_TIMEOUT_S = 10.0
_LINKS = Path("/sys/class/net")
_NSPAWN = Path("/run/systemd/nspawn")


def reap(places: Places) -> tuple[str, ...]:
    """Clear every lab of this machine whose holder is dead; return their names."""
    if not any(claim.stale for claim in read_claims(places)):
        return ()
    with locked(places.machine_lock, timeout_s=LOCK_TIMEOUT_S, what="the lab reaper"):
        stale = [claim for claim in read_claims(places) if claim.stale]
        for claim in stale:
            clear(places, claim)
    return tuple(claim.name for claim in stale)


def clear(places: Places, claim: Claim) -> None:
    """Remove processes, interfaces, cgroups and folders of one lab, then its claim.

    The caller holds the machine's lock. The claim goes last, so that a kill in here leaves it for
    the next to find.
    """
    cgroups.end_processes(claim.cgroups, timeout_s=_END_TIMEOUT_S)
    for link in [*(f"vb-{machine}" for machine in claim.machines), claim.bridge]:
        if (_LINKS / link).exists():
            shell.run(commands.delete_link(link), check=False)
    cgroups.remove_lab(claim.cgroups)
    for machine in claim.machines:
        shutil.rmtree(_NSPAWN / "propagate" / machine, ignore_errors=True)
    shutil.rmtree(places.live(claim.tag), ignore_errors=True)
    drop_claim(places, claim)
