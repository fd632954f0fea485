"""How is one lab host broken, and how is it healed? Each pair undoes itself.

These are the faults that only the maker of the hosts can cause. Do not add what works over ssh on
any host: that belongs to the fault engine.
"""

from pathlib import Path

from aitbc_toolkit.errors import UsageError
from aitbc_toolkit.lab import cgroups, claims, control
from aitbc_toolkit.lab.model import Lab
from aitbc_toolkit.lab.places import Places
from aitbc_toolkit.lab.ready import await_ssh

_ANSWER_TIMEOUT_S = 20.0
_BOOT_TIMEOUT_S = 60.0


def power_cut(lab: Lab, host: str, *, places: Places | None = None) -> None:
    """End a host at once; what it wrote to its disk stays for the next `boot`."""
    _ask(lab, {"verb": "cut", "host": lab.host(host).name}, places)


def boot(lab: Lab, host: str, *, places: Places | None = None) -> None:
    """Boot a host on the disk that it has, and wait until it answers on ssh.

    Raises: AitbcError when it does not.
    """
    _ask(lab, {"verb": "boot", "host": lab.host(host).name}, places)
    await_ssh(lab, lab.host(host), timeout_s=_BOOT_TIMEOUT_S)


def freeze(lab: Lab, host: str, *, places: Places | None = None) -> None:
    """Stop every process of a host where it stands: it still answers ping, and nothing else."""
    cgroups.freeze(_folders(lab, places), host=lab.host(host).name, frozen=True)


def thaw(lab: Lab, host: str, *, places: Places | None = None) -> None:
    """Let a frozen host go on."""
    cgroups.freeze(_folders(lab, places), host=lab.host(host).name, frozen=False)


def resize_disk(lab: Lab, host: str, *, size_mib: int, places: Places | None = None) -> None:
    """Give a running host another disk size; its own size from `lab.limits` heals it."""
    request: dict[str, str | int] = {
        "verb": "resize",
        "host": lab.host(host).name,
        "size_mib": size_mib,
    }
    _ask(lab, request, places)


def _ask(lab: Lab, request: dict[str, str | int], places: Places | None) -> None:
    path = control.socket_path(places or Places.of(), lab.tag)
    control.ask(path, request, timeout_s=_ANSWER_TIMEOUT_S)


def _folders(lab: Lab, places: Places | None) -> tuple[Path, ...]:
    claim = claims.read_claim(places or Places.of(), lab.tag)
    if claim is None:
        raise UsageError(f"lab {lab.name} is down", hint=f"aitbc lab up {lab.name}")
    return claim.cgroups
