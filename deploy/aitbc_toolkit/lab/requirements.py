"""Can this machine run a lab? Root, Linux, and the system packages that make hosts.

What is missing is installed where apt may do it, else named. Do not add checks of the project's
own files here.
"""

import os
import shutil
import sys
from collections.abc import Callable

from aitbc_toolkit import shell
from aitbc_toolkit.errors import AitbcError, Exit

Progress = Callable[[str], None]

# The program that shows that a package is here, and the package.
PROGRAMS = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "nft": "nftables",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "git": "git",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
}
_APT_TIMEOUT_S = 300.0


def require_root() -> None:
    """Refuse where a lab cannot be made at all.

    Raises: AitbcError (not permitted).
    """
    if sys.platform != "linux":
        raise AitbcError(
            f"lab refused: lab hosts are Linux containers, this is {sys.platform}",
            hint="aitbc up",
            exit_status=Exit.DENIED,
        )
    if os.geteuid() != 0:
        raise AitbcError(
            "lab refused: making hosts, bridges and mounts needs root",
            hint="sudo ./aitbc lab up\naitbc up   # four validators here, without root",
            exit_status=Exit.DENIED,
        )


def missing_packages() -> list[str]:
    """List the packages whose programs are not here."""
    return sorted({package for program, package in PROGRAMS.items() if not _is_here(program)})


def _is_here(program: str) -> bool:
    return shutil.which(program, path=shell.search_path()) is not None


def ensure_packages(progress: Progress) -> None:
    """Install the system packages that are missing, where apt is the way to do it.

    Raises: AitbcError naming the packages when it is not, or when apt fails.
    """
    missing = missing_packages()
    if not missing:
        return
    names = " ".join(missing)
    if not _is_here("apt-get"):
        raise AitbcError(
            f"lab refused: these packages are missing and there is no apt: {names}",
            hint="install them with this machine's own package manager",
            exit_status=Exit.REFUSED,
        )
    progress(f"packages      installing {names}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    shell.run(["apt-get", "update", "-q"], env=quiet, timeout_s=_APT_TIMEOUT_S, check=False)
    result = shell.run(
        ["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing],
        env=quiet,
        timeout_s=_APT_TIMEOUT_S,
        check=False,
    )
    if not result.ok:
        raise AitbcError(
            f"lab refused: apt could not install {names}\n{result.tail}",
            hint=f"apt-get install {names}",
            exit_status=Exit.REFUSED,
        )
