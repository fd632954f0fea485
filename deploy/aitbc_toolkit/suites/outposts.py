"""How do workers of a swarm get to hosts? Each host unpacks them; a command over SSH is a worker.

A host keeps them while it hears from here (`lodging`): it forgets them when this process ends,
however it ends, or when the way to it is cut. Only hosts of the mesh's own inventory are used. Do
not add what a worker does, or how several are one run.
"""

import json
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aitbc_toolkit import shell, transfer
from aitbc_toolkit.errors import AitbcError, UsageError
from aitbc_toolkit.inventory import Environment, Host
from aitbc_toolkit.release import permission
from aitbc_toolkit.suites import lodging, packing

_BEAT_S = 1.0
_END_S = 15.0
_UNPACKED_S = 300.0
_ALIVE_S = 1
"""SSH gives up a host that is silent for three times as long, before the host gives up us."""
Way = dict[str, Any]


class Outpost:
    """Be one host that keeps workers, in a `with` block."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.folder = ""
        self._is_late = False
        program = Path(lodging.__file__).read_text(encoding="utf-8")
        # Ctrl-C reaches the whole foreground group: the workers' coordinator sees to their end.
        try:
            self._child = subprocess.Popen(  # noqa: S603 - argv never passes through a shell here
                _command(host, [host.python, "-I", "-S", "-c", program]),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                process_group=0,
            )
        except FileNotFoundError as missing:
            what = f"{host.name} takes no workers: there is no {missing.filename} here"
            raise AitbcError(what, hint="apt install openssh-client") from missing

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._child.stdout is not None
        assert self._child.stderr is not None
        self._end()
        self._child.stdout.close()
        self._child.stderr.close()

    def settle(self, parcel: packing.Parcel) -> None:
        """Send what workers run, and wait until it is unpacked.

        Raises: AitbcError where the host does not take it.
        """
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        size = parcel.path.stat().st_size
        head = {"bytes": size, "sha256": parcel.sha256, "kind": parcel.kind}
        late = threading.Timer(_UNPACKED_S, self._give_up)
        late.start()
        try:
            with suppress(BrokenPipeError), parcel.path.open("rb") as file:
                child.stdin.write(json.dumps(head).encode() + b"\n")
                while piece := file.read(1 << 16):
                    child.stdin.write(piece)
                child.stdin.flush()
            line = child.stdout.readline()
        finally:
            late.cancel()
        told = json.loads(line) if line.startswith(b"{") else {}
        if told.get("sha256") != parcel.sha256:
            raise self._refused(told.get("error", ""))
        self.folder = told["folder"]

    def beat(self) -> None:
        """Let the host know that somebody is here; that it is gone is noticed elsewhere.

        Until it has unpacked it hears the archive, in which nothing else may stand.
        """
        if not self.folder:
            return
        assert self._child.stdin is not None
        with suppress(OSError):
            self._child.stdin.write(b"\n")
            self._child.stdin.flush()

    def abandon(self) -> None:
        """Wait for the host no longer: a keeper that is told so removes its folder."""
        self._child.terminate()

    def way(self, number: int) -> Way:
        """Give the command that is a worker on this host."""
        code = f"{self.folder}/{lodging.CODE}"
        own = f"{self.folder}/worker-{number}"
        # Nothing of what is installed on the host is looked at: the archive has all of it.
        python = [self.host.python, "-P", "-S", "-s", "-m", "aitbc_load", own]
        argv = _command(self.host, ["env", f"PYTHONPATH={code}", *python])
        return {"host": self.host.name, "argv": argv}

    def _refused(self, why: str) -> AitbcError:
        assert self._child.stderr is not None
        self._end()  # one that has told its reason is removing its folder
        said = self._child.stderr.read().decode(errors="replace").strip().splitlines()
        if self._is_late:
            why = f"not unpacked within {_UNPACKED_S:.0f} s"
        reason = why or (said[-1] if said else "no reason told")
        return AitbcError(
            f"{self.host.name} takes no workers: {reason}",
            hint="aitbc load run --workers 2   # on this machine",
        )

    def _give_up(self) -> None:
        self._is_late = True
        self._child.kill()

    def _end(self) -> None:
        assert self._child.stdin is not None
        with suppress(OSError):
            self._child.stdin.close()
        try:
            self._child.wait(_END_S)
        except subprocess.TimeoutExpired:  # the host forgets us by itself
            self._child.kill()
            self._child.wait()


@contextmanager
def stationed(
    environment: Environment, names: Sequence[str], workers: int, *, others: Sequence[str] = ()
) -> Iterator[list[Way]]:
    """Have hosts keep so many workers, dealt out in turns; give the command of each.

    Without a host `others` are the commands; without any of them workers are processes beside
    their coordinator.

    Raises: UsageError for an unknown host, AitbcError where one cannot keep any, or whoever asks
    may not operate the mesh.
    """
    if not names:
        yield started_by(others)
        return
    hosts = [environment.host(name) for name in dict.fromkeys(names)]
    whose = " ".join(host.name for host in hosts)
    permission.require(environment, "operate", subject=f"load workers on {whose}")
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="aitbc-parcel-"))
        parcel = packing.pack(Path(scratch) / "parcel.tar.gz")
        outposts = [stack.enter_context(Outpost(host)) for host in hosts]
        # A host that is ready hears beats while others are not: it would take silence for our end.
        stack.enter_context(_beating(outposts))
        _settle(outposts, parcel)
        yield [outposts[number % len(outposts)].way(number) for number in range(workers)]


def _settle(outposts: Sequence[Outpost], parcel: packing.Parcel) -> None:
    """Send it to all at once; where one refuses, or at Ctrl-C, nobody waits for the others."""
    with ThreadPoolExecutor(len(outposts)) as pool:
        try:
            for settled in as_completed([pool.submit(each.settle, parcel) for each in outposts]):
                settled.result()
        except BaseException:
            for outpost in outposts:
                outpost.abandon()
            raise


def started_by(commands: Sequence[str]) -> list[Way]:
    """Let commands be the workers, wherever they run. Raises: UsageError for what is none."""
    return [{"host": f"`{each}`", "argv": _words(each)} for each in commands]


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError:  # a quotation mark that nothing closes
        words = []
    if not words:
        hint = "aitbc load master --worker 'ssh HOST aitbc load worker'"
        raise UsageError(f"{command!r} is no command", hint=hint)
    return words


def be_worker() -> int:
    """Be one worker with the pipes of this process; return how it ended."""
    with tempfile.TemporaryDirectory(prefix="aitbc-worker-") as folder:
        argv = [sys.executable, "-P", "-m", "aitbc_load", folder]
        return subprocess.run(argv, check=False).returncode  # noqa: S603 - this very program


@contextmanager
def _beating(outposts: Sequence[Outpost]) -> Iterator[None]:
    """Beat on a thread: whoever waits for the swarm has no time for it."""
    is_over = threading.Event()

    def beat() -> None:
        while not is_over.wait(_BEAT_S):
            for outpost in outposts:
                outpost.beat()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _command(host: Host, argv: Sequence[str]) -> list[str]:
    """Write what runs a command on a host; on this machine that is the command."""
    if host.connector == "local":
        return list(argv)
    return [*transfer.ssh(host, alive_s=_ALIVE_S), f"exec {shell.quoted(argv)}"]
