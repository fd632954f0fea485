"""Systemd-nspawn hosts on this machine: real systemd, ssh and git, made and ended in seconds.

A lab is `lab1` to `labN` and one `forge`, on a bridge of its own. `docs/lab.md` says what a lab
can and cannot do, where it keeps things, and how to clear it by hand.
"""

from aitbc_toolkit.lab.access import exec_in
from aitbc_toolkit.lab.harm import boot, freeze, power_cut, resize_disk, thaw
from aitbc_toolkit.lab.lifecycle import bring_up, destroy, list_labs, load_lab, take_down
from aitbc_toolkit.lab.model import Lab, LabHost, LabSpec, Limits
from aitbc_toolkit.lab.wheels import HOST_ENVIRONMENT, warm_cache

__all__ = [
    "HOST_ENVIRONMENT",
    "Lab",
    "LabHost",
    "LabSpec",
    "Limits",
    "boot",
    "bring_up",
    "destroy",
    "exec_in",
    "freeze",
    "list_labs",
    "load_lab",
    "power_cut",
    "resize_disk",
    "take_down",
    "thaw",
    "warm_cache",
]
