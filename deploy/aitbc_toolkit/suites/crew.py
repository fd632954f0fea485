"""How is a suite shared out? Each worker is a process of its own, on a lab of its own.

A worker that is free takes the next part, the longest first. Workers are in sessions of their own:
whoever ends the run, each of them hears of it once, ends what it plays, and takes its lab down. Do
not play anything here: `worker.py` does.
"""

import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import msgspec

from aitbc_toolkit import paths
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.lab_record import LAB
from aitbc_toolkit.suites import claiming, collecting, timeline
from aitbc_toolkit.suites.catalogue import Part
from aitbc_toolkit.suites.evidence import LeftOut
from aitbc_toolkit.suites.scenario.quantities import seconds
from aitbc_toolkit.suites.scenario.schema import FaultStep, PauseStep, Step, SwarmStep
from aitbc_toolkit.suites.scene import Result
from aitbc_toolkit.suites.showing import SIMULATED
from aitbc_toolkit.suites.verdicts import Verdict

READY = b"ready\n"
MODULE = "aitbc_toolkit.suites.worker"
STOP_S = 180.0
"""How long a worker may take to end what it plays and to take its lab down."""
_POLL_S = 0.2
_PYTHON_PART_S = 30.0
_LOG_LINES = 3


def names(environment: str, workers: int) -> list[str]:
    """Name the environment of each worker: labs beside the named one, or the simulator.

    Raises: UsageError where there is but one mesh.
    """
    if environment == SIMULATED:
        return [SIMULATED] * workers
    if environment != LAB and not environment.startswith(f"{LAB}-"):
        what = f"{environment} is one mesh, and cannot be shared out"
        raise UsageError(what, hint="aitbc test all -e lab -n 2   # each worker has its own lab")
    return [f"{environment}-w{number}" for number in range(1, workers + 1)]


def claimed(environment: str, what: str) -> AbstractContextManager[None]:
    """Let nobody else share out tests over the same workers' meshes; simulated ones are anew.

    Raises: AitbcError (busy) on entry. Each worker claims its own mesh, too.
    """
    if environment == SIMULATED:
        return nullcontext()
    return claiming.sole(f"{environment}+workers", what, state=paths.state_root())


@contextmanager
def hired(
    environments: Sequence[str], folder: Path, *, seed: int, module: str = MODULE
) -> Iterator["Crew"]:
    """Have workers until the block ends; what they booted is gone then."""
    crew = Crew(environments, folder, seed=seed, module=module)
    try:
        yield crew
    except BaseException:
        crew.stop()
        raise
    finally:
        crew.end()


class Crew:
    """Be the workers of one run."""

    def __init__(
        self, environments: Sequence[str], folder: Path, *, seed: int, module: str = MODULE
    ) -> None:
        self._folder = folder
        self._parts: deque[Part] = deque()
        self._may_play = threading.Event()
        self._is_over = threading.Event()
        self._told: queue.Queue[tuple[str, Result | None]] = queue.Queue()
        self.lacking: list[LeftOut] = []
        """Which workers never came, and why."""
        self._hands: list[_Hand] = []
        for number, name in enumerate(environments, start=1):
            own = folder / f"w{number}"
            own.mkdir()
            argv = [sys.executable, "-m", module, name, str(own), str(seed)]
            before = self._hands[-1].settled if self._hands else None
            hand = _Hand(name, own, argv, before=before)
            self._hands.append(hand)
            hand.thread = threading.Thread(target=self._work, args=(hand,), daemon=True)
        for hand in self._hands:
            hand.thread.start()

    def first(self) -> str:
        """Wait for the first mesh; return its name. Raises: AitbcError where it does not come."""
        hand = self._hands[0]
        while not hand.settled.wait(_POLL_S):
            pass  # so that Ctrl-C is heard
        if not hand.is_ready:
            raise AitbcError(
                f"{hand.name} did not come up: {hand.last_words()}",
                hint=f"less {hand.log}",
                exit_status=Exit.INFRASTRUCTURE,
            )
        return hand.name

    def play(self, parts: Sequence[Part], begun: MutableMapping[str, None]) -> Iterator[Result]:
        """Play all parts; yield each result as it comes. What no worker is left for is INFRA."""
        self._parts.extend(sorted(parts, key=lambda part: (part.spoils, -_length_s(part))))
        self._may_play.set()
        left = {part.name for part in parts}
        while left:
            try:
                name, result = self._told.get(timeout=_POLL_S)
            except queue.Empty:
                if any(hand.thread.is_alive() for hand in self._hands) or not self._told.empty():
                    continue
                for name in sorted(left):
                    yield Result(name, Verdict.INFRA, "no worker is left to play it", 0.0)
                return
            begun[name] = None
            if result is not None:
                left.discard(name)
                yield result

    def merge(self) -> None:
        """Put what the workers wrote down, one behind the other, where a run has it."""
        for file in (timeline.EVENTS, timeline.HEIGHTS, timeline.LOAD):
            with (self._folder / file).open("ab") as whole:
                for hand in self._hands:
                    with suppress(FileNotFoundError):
                        whole.write((hand.folder / file).read_bytes())
        for hand in self._hands:
            for case in (hand.folder / collecting.FOLDER).glob("*"):
                (self._folder / collecting.FOLDER).mkdir(exist_ok=True)
                case.rename(self._folder / collecting.FOLDER / case.name)

    def stop(self) -> None:
        """Tell every worker, once, to end what it plays."""
        self._is_over.set()
        self._parts.clear()
        for hand in self._hands:
            hand.interrupt()

    def end(self) -> None:
        """Take no more; wait until every worker has cleared up behind itself."""
        self._is_over.set()
        self._parts.clear()
        self._may_play.set()
        for hand in self._hands:
            hand.thread.join()

    def _work(self, hand: "_Hand") -> None:
        try:
            if not hand.begin(self._is_over):
                if not self._is_over.is_set():
                    self.lacking.append(LeftOut(hand.name, f"no worker: {hand.last_words()}"))
            else:
                self._may_play.wait()
                while hand.lives and (part := self._next()) is not None:
                    self._told.put((part.name, None))
                    self._told.put((part.name, hand.play(part.name)))
        finally:
            hand.settled.set()
            hand.end()

    def _next(self) -> Part | None:
        try:
            return None if self._is_over.is_set() else self._parts.popleft()
        except IndexError:
            return None


class _Hand:
    """Be one worker, as its process is seen from here."""

    def __init__(
        self, name: str, folder: Path, argv: Sequence[str], *, before: threading.Event | None
    ) -> None:
        self.name = name
        self.folder = folder
        self.log = folder / "worker.log"
        self.is_ready = False
        self.settled = threading.Event()
        """Set once it is ready, or will never be."""
        self.thread: threading.Thread
        self._argv = argv
        self._before = before
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def begin(self, over: threading.Event) -> bool:
        """Start, one worker after the other: two labs that boot at once are slower than in turn.

        One that will never be ready is settled by the caller, once it is known why.
        """
        if self._before is not None:
            self._before.wait()
        with self._lock:
            if over.is_set():
                return False
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603 - our own module
                    self._argv,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,
                )
        self.is_ready = self._line() == READY
        if self.is_ready:
            self.settled.set()
        else:
            with suppress(subprocess.TimeoutExpired):  # what it says last comes behind its results
                self._process.wait(STOP_S)
        return self.is_ready

    @property
    def lives(self) -> bool:
        """Tell whether it can take another part."""
        return self._process is not None and self._process.poll() is None

    def play(self, name: str) -> Result:
        """Have one part played."""
        assert self._process is not None, "it has begun"
        assert self._process.stdin is not None, "asked for"
        try:
            self._process.stdin.write(name.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended: its silence says so
        line = self._line()
        if not line:
            self._process.wait(STOP_S)
            why = f"the worker on {self.name} ended: {self.last_words()}"
            return Result(name, Verdict.INFRA, why, 0.0)
        return msgspec.json.decode(line, type=Result)

    def interrupt(self) -> None:
        """End it as Ctrl-C would."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.send_signal(signal.SIGINT)

    def end(self) -> None:
        """Give it no more, and wait until it has cleared up."""
        if self._process is None:
            return
        assert self._process.stdin is not None, "asked for"
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:  # its lab ends with it
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def last_words(self) -> str:
        """Return the end of what it said beside its results."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return " / ".join(lines[-_LOG_LINES:]) or "it said nothing"

    def _line(self) -> bytes:
        assert self._process is not None, "it has begun"
        assert self._process.stdout is not None, "asked for"
        return self._process.stdout.readline()


def _length_s(part: Part) -> float:
    """Guess how long a part takes: the longest must not begin last."""
    if part.case is None:
        return _PYTHON_PART_S
    return sum(seconds(wait) for step in part.case.steps for wait in _waits(step))


def _waits(step: Step) -> tuple[str, ...]:
    match step:
        case FaultStep(lease=lasts) | SwarmStep(lasts=lasts) | PauseStep(pause=lasts):
            return (lasts,)
        case _:
            return ()
