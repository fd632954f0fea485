"""Who keeps a lab alive? This process: parent of every host, owner of their disks.

It runs in a mount namespace of its own, so the disks vanish with it, and every host dies when it
dies. On SIGTERM, or when the owner it was tied to is gone, it clears the lab and leaves. Killed
outright it leaves a claim that the next lab command reaps. One thread: a host's wrapper gets its
death signal when the *thread* that started it ends.

Run as `python -m aitbc_toolkit.lab.holder`; nothing but `bring_up` starts it. Do not add anything
that waits for ssh: a boot that hangs must not make the holder deaf.
"""

import argparse
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aitbc_toolkit import shell
from aitbc_toolkit.errors import AitbcError, UsageError
from aitbc_toolkit.lab import cgroups, claims, commands, control, reaper, seed
from aitbc_toolkit.lab.locking import locked
from aitbc_toolkit.lab.model import Lab, LabHost, Stock, from_json
from aitbc_toolkit.lab.places import Places
from aitbc_toolkit.processes import this_process

_END_TIMEOUT_S = 10.0
_REQUEST_TIMEOUT_S = 2.0
_REBOOT_STATUS = 133
"""With this a host's wrapper ends when the host has asked to be started anew. Source:
systemd-nspawn(1), `--keep-unit`: whoever manages the container is to restart it."""


@dataclass(slots=True)
class Holder:
    """Hold one lab: its hosts' wrappers, by host name.

    `owner` is a descriptor of the process with which the lab ends. At first that is the command
    that makes the lab, so that a lab is never left half-made; `kept` once that command is done.
    """

    places: Places
    lab: Lab
    stock: Stock
    folders: tuple[Path, ...]
    owner: int | None
    kept: bool = False
    wrappers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ends: dict[int, str] = field(default_factory=dict)
    """Descriptors that become readable when a host has ended, with its name."""

    def make(self) -> None:
        """Make bridge and disks, and boot every host."""
        for argv in commands.add_bridge(self.lab):
            shell.run(argv)
            _allow_ipv6(self.lab.bridge)
        for host in self.lab.machines:
            disk = self.places.disk(self.lab.tag, host.name)
            disk.mkdir(parents=True)
            self.places.root(self.lab.tag, host.name).mkdir(parents=True)
            shell.run(commands.mount_disk(disk, size_mib=self.lab.limits.disk_mib))
            for name in ("upper", "work"):
                (disk / name).mkdir()
            seed.seed(self.lab, host, upper=disk / "upper", image=self.stock.image_of(host.name))
            self.boot(host)

    def boot(self, host: LabHost) -> None:
        """Start a host on the disk that it has; a host that runs is left alone."""
        if self.runs(host):
            return
        self.cut(host)
        root = self.places.root(self.lab.tag, host.name)
        disk = self.places.disk(self.lab.tag, host.name)
        argv = commands.boot_host(
            cgroups=cgroups.make(self.folders, host=host.name, limits=self.lab.limits),
            options=commands.overlay_options(image=self.stock.image_of(host.name), disk=disk),
            root=root,
            container=commands.nspawn(
                self.lab,
                host,
                root=root,
                uv_cache=self.places.uv_cache,
                supplies=self.stock.supplies,
            ),
        )
        with (self.lab.folder / f"console-{host.name}.log").open("ab") as console:
            wrapper = subprocess.Popen(  # noqa: S603 - our own argv, no shell
                argv,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        self.watch(host, wrapper)

    def watch(self, host: LabHost, wrapper: subprocess.Popen[bytes]) -> None:
        """Be told when a host that was just started ends."""
        self.wrappers[host.name] = wrapper
        self.ends[os.pidfd_open(wrapper.pid)] = host.name

    def look_after(self, ended: int) -> None:
        """Take note that a host has ended; one that wants to be started anew is."""
        host = self.lab.host(self.ends.pop(ended))
        os.close(ended)
        wrapper = self.wrappers.get(host.name)
        # One that was cut off and booted again has ended long ago.
        if wrapper is not None and wrapper.poll() == _REBOOT_STATUS:
            self.boot(host)

    def cut(self, host: LabHost) -> None:
        """End a host at once, as a power cut would; its disk stays as it is.

        Its port on the bridge goes with it, but only some time later: the next boot would find it.
        """
        wrapper = self.wrappers.pop(host.name, None)
        if wrapper is not None:
            _kill(wrapper)
        mine = tuple(folder / host.name for folder in self.folders)
        cgroups.end_processes(mine, timeout_s=_END_TIMEOUT_S)
        cgroups.remove(mine)
        shell.run(commands.delete_link(f"vb-{host.machine}"), check=False)
        if wrapper is not None:
            wrapper.wait(_END_TIMEOUT_S)

    def resize_disk(self, host: LabHost, *, size_mib: int) -> None:
        """Shrink a host's disk until it is full, or let it grow again, while it is in use."""
        disk = self.places.disk(self.lab.tag, host.name)
        shell.run(commands.resize_disk(disk, size_mib=size_mib))

    def keep(self, owner: int | None) -> None:
        """Let the lab end with another process than before, or with none."""
        self.owner = None if owner is None else os.pidfd_open(owner)
        self.kept = True

    def runs(self, host: LabHost) -> bool:
        """Tell whether a host's wrapper lives."""
        wrapper = self.wrappers.get(host.name)
        return wrapper is not None and wrapper.poll() is None

    def end(self) -> None:
        """End all hosts, free their disks, and clear what the lab made in the kernel."""
        for wrapper in self.wrappers.values():
            _kill(wrapper)
        cgroups.end_processes(self.folders, timeout_s=_END_TIMEOUT_S)
        for wrapper in self.wrappers.values():
            wrapper.wait(_END_TIMEOUT_S)
        for host in self.lab.machines:
            disk = self.places.disk(self.lab.tag, host.name)
            if disk.is_mount():
                shell.run(["umount", "--lazy", disk])
        with locked(self.places.machine_lock, timeout_s=claims.LOCK_TIMEOUT_S, what="the labs"):
            claim = claims.read_claim(self.places, self.lab.tag)
            if claim is not None:
                reaper.clear(self.places, claim)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what a command asks for."""
        match request:
            case {"verb": "status"}:
                hosts = {host.name: self.runs(host) for host in self.lab.machines}
                return {"kept": self.kept, "hosts": hosts}
            case {"verb": "keep", "owner": (int() | None) as owner}:
                self.keep(owner)
            case {"verb": "boot", "host": str(name)}:
                self.boot(self.lab.host(name))
            case {"verb": "cut", "host": str(name)}:
                self.cut(self.lab.host(name))
            case {"verb": "resize", "host": str(name), "size_mib": int(size_mib)}:
                self.resize_disk(self.lab.host(name), size_mib=size_mib)
            case _:
                raise UsageError(
                    f"the holder does not know the request {request}",
                    hint=f"aitbc lab down {self.lab.name}   # another version began this lab",
                )
        return {}


def _allow_ipv6(link: str) -> None:
    """Let this one interface speak IPv6 on a machine that switched it off for new ones."""
    switch = Path(f"/proc/sys/net/ipv6/conf/{link}/disable_ipv6")
    if switch.is_file() and switch.read_text(encoding="ascii").strip() != "0":
        switch.write_text("0", encoding="ascii")


def serve(holder: Holder, *, stop: int) -> None:
    """Answer requests until the `stop` descriptor becomes readable, or the owner's."""
    path = control.socket_path(holder.places, holder.lab.tag)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        while True:
            owner = [] if holder.owner is None else [holder.owner]
            heard = [listener.fileno(), stop, *owner, *holder.ends]
            ready, _, _ = select.select(heard, [], [])
            if {stop, *owner} & {*ready}:
                return
            for ended in holder.ends.keys() & {*ready}:
                holder.look_after(ended)
            if listener.fileno() in ready:
                link, _ = listener.accept()
                with link:
                    _converse(holder, link)


def _converse(holder: Holder, link: socket.socket) -> None:
    """Answer one request; whoever asks badly or leaves early costs us at most a moment."""
    link.settimeout(_REQUEST_TIMEOUT_S)
    try:
        answer = holder.answer(json.loads(control.read_line(link)))
    except (AitbcError, OSError, ValueError, subprocess.SubprocessError) as wrong:
        answer = {"error": str(wrong)}
    with contextlib.suppress(OSError):
        link.sendall(json.dumps(answer).encode() + b"\n")


def _kill(wrapper: subprocess.Popen[bytes]) -> None:
    """End a host at once by its container, which is pid 1 of the host's process namespace.

    The wrapper then ends by itself. Killed first, it would leave the container to this machine's
    init to wait for, and not every init hurries.
    """
    children = Path(f"/proc/{wrapper.pid}/task/{wrapper.pid}/children")
    try:
        container = int(children.read_text(encoding="ascii"))
        os.kill(container, signal.SIGKILL)
    except (OSError, ValueError):
        wrapper.kill()  # it has not come that far, or this kernel does not list children


@contextlib.contextmanager
def _stop_signals() -> Iterator[int]:
    """Turn signals into a readable descriptor, so that they wait until the present step is done."""
    readable, writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writable)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    try:
        yield readable
    finally:
        signal.set_wakeup_fd(-1)
        os.close(readable)
        os.close(writable)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="aitbc_toolkit.lab.holder")
    for name in ("state", "cache", "run", "image"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("bare-image", "supplies"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--name", required=True)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Hold the lab until told to stop; return the exit status."""
    told = _parse(arguments)
    places = Places(state=told.state, cache=told.cache, run=told.run)
    lab = from_json((places.lab(told.name) / "lab.json").read_text(encoding="utf-8"))
    begun = claims.read_claim(places, lab.tag)
    if begun is None:
        return 1  # whoever began the lab gave up before we came
    with _stop_signals() as stop:
        stock = Stock(told.image, told.bare_image, told.supplies)
        holder = Holder(places, lab, stock, begun.cgroups, owner=os.pidfd_open(begun.maker))
        claims.take_over(places, begun, holder=this_process())
        try:
            holder.make()
            serve(holder, stop=stop)
        except (AitbcError, OSError, subprocess.SubprocessError):
            # In one piece and before the claim goes: that is when whoever waits for us reads it.
            sys.stderr.write(traceback.format_exc())
            return 1
        finally:
            holder.end()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
