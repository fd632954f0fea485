"""The holder of a lab, with processes in the place of hosts: who wants to be started anew is."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.lab import control, holder
from aitbc_toolkit.lab.holder import Holder
from aitbc_toolkit.lab.model import Lab, LabHost, Limits, Stock
from aitbc_toolkit.lab.places import Places


class Pretend(Holder):
    """Start a shell in the place of a host: it ends as its file says, as soon as that is there."""

    def boot(self, host: LabHost) -> None:
        if self.runs(host):
            return
        end = self.lab.folder / host.name
        end.unlink(missing_ok=True)
        script = f"while [ ! -e {end} ]; do sleep 0.02; done; exit $(cat {end})"
        self.watch(host, subprocess.Popen(["sh", "-c", script], start_new_session=True))
        with (self.lab.folder / f"{host.name}.boots").open("a") as boots:
            boots.write("x")


@pytest.fixture
def held(tmp_path: Path, eventually: Callable[..., None]) -> Iterator[Pretend]:
    """Serve a lab of two such hosts."""
    hosts = tuple(
        LabHost(
            name=name,
            machine=name,
            ipv4="192.0.2.1",
            ipv6="::1",
            port=22,
            key=tmp_path / "key",
            host_key="",
        )
        for name in ("lab1", "forge")
    )
    lab = Lab("try", "0a0b0c", 3, "al-try", tmp_path, Limits(), hosts[:1], hosts[1])
    places = Places(state=tmp_path / "state", run=tmp_path / "run")
    places.live(lab.tag).mkdir(parents=True)
    made = Pretend(places, lab, Stock(tmp_path), (), owner=None)
    for host in lab.machines:
        made.boot(host)
    stop, over = os.pipe()
    serving = threading.Thread(target=holder.serve, args=[made], kwargs={"stop": stop})
    serving.start()
    eventually("the holder to listen", lambda: answers(made))
    yield made
    os.close(over)
    serving.join()
    os.close(stop)
    for end in made.ends:
        os.close(end)
    for wrapper in made.wrappers.values():
        wrapper.kill()
        wrapper.wait()


def boots(held: Pretend, host: str) -> int:
    """Count how often a host was started."""
    return len((held.lab.folder / f"{host}.boots").read_text())


def end(held: Pretend, host: str, status: int) -> None:
    """Let a host end; whoever reads the file finds it whole."""
    fresh = held.lab.folder / f"{host}.new"
    fresh.write_text(str(status))
    fresh.replace(held.lab.folder / host)


def hosts(held: Pretend) -> dict[str, bool]:
    """Ask the holder which hosts run."""
    path = control.socket_path(held.places, held.lab.tag)
    told: dict[str, bool] = control.ask(path, {"verb": "status"}, timeout_s=60)["hosts"]
    return told


def answers(held: Pretend) -> bool:
    """Tell whether the holder answers yet."""
    with suppress(AitbcError):
        return bool(hosts(held))
    return False


def test_a_host_that_asked_for_it_is_booted_again(
    held: Pretend, eventually: Callable[..., None]
) -> None:
    """As often as it asks; whoever asks the holder meanwhile is answered."""
    for number in (2, 3):
        end(held, "lab1", holder._REBOOT_STATUS)
        eventually("another boot", lambda number=number: boots(held, "lab1") == number)

    assert hosts(held) == {"lab1": True, "forge": True}
    assert boots(held, "forge") == 1


def test_a_host_that_went_down_stays_down(held: Pretend, eventually: Callable[..., None]) -> None:
    """It was switched off, or died: only a command boots it."""
    end(held, "lab1", 0)
    eventually("one host", lambda: hosts(held) == {"lab1": False, "forge": True})

    control.ask(
        control.socket_path(held.places, held.lab.tag),
        {"verb": "boot", "host": "lab1"},
        timeout_s=60,
    )

    assert boots(held, "lab1") == 2
    assert hosts(held) == {"lab1": True, "forge": True}
