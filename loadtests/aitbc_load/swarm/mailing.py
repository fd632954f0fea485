"""How do letters get from one bot to another? As custom messages of Locust, and over pipes.

Locust's own way between workers is an open port that asks nobody who they are. Ours is the one that
the books take: a coordinator passes letters on, and each worker's runner hands out what came. Do
not add what bots say: `comparing.py`.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gevent
from gevent.event import AsyncResult
from gevent.pool import Pool
from locust.runners import Runner

from aitbc_load.letters import RATE_MAX, Bucket, Kind, Letter, Tray, is_good, name, worker_of
from aitbc_load.swarm.bots import BotError

MESSAGE = "letter"
"""The type of Locust's custom message."""
_ANSWERING_MAX = 16

Answer = Callable[[Letter], Mapping[str, Any]]


class UnansweredError(BotError):
    """Nobody answered a request in time."""


class Post:
    """Hand out the letters of one worker; what is for others, if any, goes to who passes it on."""

    def __init__(self, worker: int, pass_on: Callable[[Letter], None] | None) -> None:
        self.worker = worker
        self.lost = 0
        """Letters to other workers that were too many a second."""
        self._pass_on = pass_on
        self._boxes: dict[str, Box] = {}
        self._bucket = Bucket(RATE_MAX)
        self._runner: Runner | None = None

    def open(self, runner: Runner) -> None:
        """Hand out over a runner of Locust from now on."""
        runner.register_message(MESSAGE, self._hand_out)
        self._runner = runner

    def box(self, number: int) -> "Box":
        """Give a bot its box."""
        box = Box(name(self.worker, number), self)
        self._boxes[box.name] = box
        return box

    def send(self, letter: Letter) -> None:
        """Send one letter to whom it is for, here and elsewhere."""
        assert is_good(letter), "a bot's letter is small, and an answer names what it answers"
        is_for_others = not letter.to or worker_of(letter.to) != self.worker
        if is_for_others and self._pass_on is not None:
            if self._bucket.takes(time.monotonic()):
                self._pass_on(letter)
            else:
                self.lost += 1
        self.arrive(letter)

    def arrive(self, letter: Letter) -> None:
        """Hand one letter out to those of this worker."""
        if self._runner is not None:
            self._runner.send_message(MESSAGE, letter)

    def _hand_out(self, environment: object, msg: Any) -> None:  # noqa: ARG002 - Locust's call
        letter: Letter = msg.data
        for box in [*self._boxes.values()]:
            if letter.sender != box.name and letter.to in {"", box.name}:
                box.put(letter)


class Box:
    """Be where the letters of one bot come in and go out."""

    def __init__(self, name: str, post: Post) -> None:
        self.name = name
        self.tray = Tray()
        self._post = post
        self._number = 0
        self._waiting: dict[str, AsyncResult] = {}
        self._answer: Answer | None = None
        self._answering = Pool(_ANSWERING_MAX)

    def tell(self, kind: Kind, body: Mapping[str, Any], *, to: str = "") -> None:
        """Send something that nobody has to answer; to everybody where nobody is named."""
        self._post.send(Letter(kind=kind, sender=self.name, to=to, body=dict(body)))

    def ask(self, to: str, body: Mapping[str, Any], *, within_s: float) -> Letter:
        """Ask one bot and wait for its answer. Raises: UnansweredError."""
        self._number += 1
        correlation = f"{self.name}#{self._number}"
        with self._expected(correlation) as answer:
            self._post.send(
                Letter(
                    kind="request",
                    sender=self.name,
                    to=to,
                    correlation=correlation,
                    body=dict(body),
                )
            )
            try:
                found: Letter = answer.get(timeout=within_s)
            except gevent.Timeout:
                raise UnansweredError(to) from None
        return found

    def serve(self, answer: Answer) -> None:
        """Answer requests from now on, some side by side; others meanwhile get no answer."""
        self._answer = answer

    def put(self, letter: Letter) -> None:
        """Take in one letter; an answer that nobody waits for any more is forgotten."""
        if letter.kind == "response":
            if (waiting := self._waiting.get(letter.correlation)) is not None:
                waiting.set(letter)
        elif letter.kind == "request" and self._answer is not None:
            if self._answering.free_count():
                self._answering.spawn(self._respond, self._answer, letter)
        else:
            self.tray.put(letter)

    @contextmanager
    def _expected(self, correlation: str) -> Iterator[AsyncResult]:
        answer = self._waiting[correlation] = AsyncResult()
        try:
            yield answer
        finally:
            del self._waiting[correlation]

    def _respond(self, answer: Answer, letter: Letter) -> None:
        body = dict(answer(letter))
        self._post.send(
            Letter(
                kind="response",
                sender=self.name,
                to=letter.sender,
                correlation=letter.correlation,
                body=body,
            )
        )
