"""How many validators does the operator's own mesh have on this machine: more than its file says?

`up --validators N` keeps the number beside the genesis, so that every later command means the same
mesh; wiping the chain forgets it. Only an environment that takes snapshots may be widened.
"""

from pathlib import Path

import msgspec

from aitbc_toolkit.declared import Declared, InstanceEntry, Ports

VALIDATORS_MIN, VALIDATORS_MAX = 4, 16


def path_of(folder: Path) -> Path:
    """Find the file below an environment's folder."""
    return folder / "validators"


def read(folder: Path) -> int:
    """Read how many were asked for; 0 when nobody asked."""
    path = path_of(folder)
    return int(path.read_text(encoding="ascii")) if path.is_file() else 0


def remember(folder: Path, validators: int) -> None:
    """Keep the number."""
    folder.mkdir(parents=True, exist_ok=True)
    path_of(folder).write_text(f"{validators}\n", encoding="ascii")


def widened(written: Declared, validators: int) -> Declared:
    """Give an environment `v5`, `v6` and so on, on the host and behind the ports of its last."""
    known = [name for name, each in written.instances.items() if each.role == "validator"]
    if not written.environment.dirty or validators <= len(known):
        return written
    last = written.instances[known[-1]]
    more = {
        f"v{number}": InstanceEntry(host=last.host, ports=_ports(last.ports, number - len(known)))
        for number in range(len(known) + 1, validators + 1)
    }
    return msgspec.structs.replace(written, instances={**written.instances, **more})


def _ports(last: Ports, step: int) -> Ports:
    return Ports(p2p=last.p2p + step, rpc=last.rpc + step, admin=last.admin + step)
