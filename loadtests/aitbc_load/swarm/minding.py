"""What is one worker to its coordinator? A process that is spoken to, heard, and lost at times.

Do not add what several workers do together: `coordinating.py`.
"""

import subprocess
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import msgspec
from gevent.event import AsyncResult

from aitbc_load.letters import Letter, Passed
from aitbc_load.orders import Kept, Second, Way
from aitbc_load.sharing import Offset

PING = b"ping"
STOP = b"stop"
_PINGS = 9
_END_S = 10.0
SILENT_S = 4.0
"""A worker that sends answers every beat; a frozen one is known before five seconds are over."""
BUSY_S = 600.0
"""One that signs, or reads the chain at its end, may be deaf meanwhile, but not for ever."""
_LOOK_S = 0.25
_CATCH_UP_S = 0.1
_SSH_FAILED = 255
_LAST_WORDS = "said.log"
_SHOWN = 80
LETTERS_BYTES_MAX = 16 * 1024
"""Of letters to one worker between two beats that it answers; a pipe holds four times as much."""


class LostError(Exception):
    """A worker has ended, or is silent, or said something that it must not say."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(why)
        self.number = number


class Worker:
    """Be one worker, as its coordinator sees it."""

    _on_letter: Callable[[Letter], None]

    def __init__(self, number: int, way: Way, folder: Path) -> None:
        self.number = number
        self.seconds: list[Second] = []
        self.lost: AsyncResult = AsyncResult()
        self.letters_lost = 0
        """Letters to it that were too many between two beats."""
        self._way = way
        self._folder = folder
        self._heard_at = time.monotonic()
        self._said: dict[str, AsyncResult] = defaultdict(AsyncResult)
        self._on_letter = _keep
        self._unheard_bytes = 0
        folder.mkdir(exist_ok=True)
        with (folder / _LAST_WORDS).open("wb") as last_words:
            # Ctrl-C reaches the whole foreground group: who coordinates says when anybody stops.
            self._child = subprocess.Popen(  # noqa: S603 - this program, or SSH to a known host
                way.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=last_words,
                process_group=0,
            )
        self._ear = gevent.spawn(self._listen)

    def say(self, line: bytes) -> None:
        """Say one line; that nobody hears it is noticed elsewhere."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(line + b"\n")
            self._child.stdin.flush()
        except OSError:
            self._lose("it does not listen")

    def pass_letters_to(self, on_letter: Callable[[Letter], None]) -> None:
        """Let somebody have the letters that it sends from now on."""
        self._on_letter = on_letter

    def bring(self, letter: Letter) -> None:
        """Pass a letter on; one that is too many since it last answered a beat is lost.

        What it does not read would fill its pipe, and the beats of all others wait behind that.
        """
        if self.lost.ready() or self._said["result"].ready():
            return  # nobody is there any more, which is told by itself, or need not be
        line = msgspec.json.encode(Passed(letter=letter))
        if self._unheard_bytes + len(line) > LETTERS_BYTES_MAX:
            self.letters_lost += 1
            return
        self._unheard_bytes += len(line)
        self.say(line)

    def expect(self, what: str) -> Any:
        """Wait until the worker has said this. Raises: LostError."""
        said = self._said[what]
        gevent.wait([said, self.lost], count=1)
        if not said.ready():
            raise LostError(self.number, self.lost.get())
        return said.get()

    def offset(self) -> Offset:
        """Measure how far its clock is ahead of ours, by the quickest of some answers.

        The answer was given at some moment of its way there and back. Raises: LostError.
        """
        rounds = []
        for _ in range(_PINGS):
            self._said.pop("clock", None)
            before = time.time()
            self.say(PING)
            told = float(self.expect("clock")["wall_s"])
            after = time.time()
            rounds.append((after - before, told - (before + after) / 2))
        took_s, ahead_s = min(rounds)
        return Offset(ahead_s, took_s / 2)

    def end(self) -> None:
        """Let go of it; one that does not end by itself is killed."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.close()
        except OSError:
            self._lose("it does not listen")
        try:
            self._child.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._ear.kill()

    def _listen(self) -> None:
        assert self._child.stdout is not None
        while (line := self._child.stdout.readline()).endswith(b"\n"):
            try:
                self._hear(line)
            except (msgspec.MsgspecError, ValueError, AttributeError):
                said = line[:_SHOWN].decode(errors="replace").strip()
                self._lose(f"it said what nobody understands: {said}")
                return
        self._lose(self._why_it_ended(self._child.wait()))

    def watch(self) -> None:
        """Take it for lost when it is silent for too long; what it said meanwhile is heard first.

        Between its first hand-in and its last it is never too busy to answer.
        """
        while not self.lost.ready():
            gevent.sleep(_LOOK_S)
            if self._is_silent():
                gevent.sleep(_CATCH_UP_S)
                if self._is_silent():
                    self._lose(f"it said nothing for {time.monotonic() - self._heard_at:.1f} s")

    def _is_silent(self) -> bool:
        if self._said["result"].ready():
            return False
        is_sending = bool(self.seconds) and not self._said["drained"].ready()
        silent_s = time.monotonic() - self._heard_at
        return silent_s > (SILENT_S if is_sending else BUSY_S)

    def _why_it_ended(self, status: int) -> str:
        said = (self._folder / _LAST_WORDS).read_text(errors="replace").splitlines()
        last = f": {said[-1][:_SHOWN]}" if said else ""
        if self._way.host and status == _SSH_FAILED:
            return f"SSH to it ended{last}"
        return f"it ended with status {status} and no result{last}"

    def _hear(self, line: bytes) -> None:
        self._heard_at = time.monotonic()
        ((what, told),) = msgspec.json.decode(line, type=dict[str, Any]).items()
        if what == "kept":
            kept = msgspec.convert(told, Kept)
            (self._folder / kept.name).write_text(kept.text, encoding="utf-8")
        elif what == "second":
            self.seconds.append(msgspec.convert(told, Second))
        elif what == "letter":
            self._on_letter(msgspec.convert(told, Letter))
        elif what == "alive":
            self._unheard_bytes = 0
        elif what == "error":
            self._lose(str(told))
        else:
            self._said[what].set(told)

    def _lose(self, why: str) -> None:
        if not self.lost.ready() and not self._said["result"].ready():
            self.lost.set(why)


def _keep(_letter: Letter) -> None:
    """Pass nothing on: nobody is there yet."""
