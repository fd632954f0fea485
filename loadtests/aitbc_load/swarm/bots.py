"""How do bots live? Each does one thing, waits for what becomes of it, rests, and goes on: closed.

The states of a life and the steps between them are those of `lifecycle`. Bots begin at a time of
their own, drawn from the seed, or all of them would act at once for ever. A failure ends an act and
not the bot, but for one that cannot set up. Do not add what a role does: `roles.py`.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import gevent
import msgspec

from aitbc_load.histograms import Latencies
from aitbc_load.lifecycle import Life, State
from aitbc_load.replies import NotHttpError
from aitbc_load.swarm.wire import Silent

UNFINISHED = "unfinished"
"""What was cut off when waiting for it ended."""
_HEAR_S = 0.5


class BotError(Exception):
    """What a bot did had not the effect that it must have; each kind is counted by its class."""


class CodedError(BotError):
    """A node's code says more than the class; its text is nothing but the code."""


class BreachError(BotError):
    """A bot saw the mesh break a promise: once is too often, among however many acts."""

    promise: ClassVar[str]
    """The name of the check that is broken by it."""


FAILURES = (BotError, Silent, NotHttpError, msgspec.MsgspecError, OSError)
"""How an act may fail; anything else is a bug of ours, and makes the run INVALID."""


class Role(Protocol):
    """Be what one bot does."""

    def set_up(self) -> None:
        """Get ready, or raise one of FAILURES."""

    def behave(self) -> str:
        """Do one thing and return its name; raise one of FAILURES when it fails."""

    def tear_down(self) -> None:
        """Let go of everything, whatever happened."""


@dataclass(slots=True)
class Crowd:
    """Keep the books of all bots of one role. Units: acts."""

    role: str
    acts: Counter[str] = field(default_factory=Counter)
    """Those that were done, by what they were."""
    begun: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    took: Latencies = field(default_factory=Latencies)
    lives: list[Life] = field(default_factory=list)
    breaches: dict[str, str] = field(default_factory=dict)
    """How each promise that bots saw broken was so at first."""

    @property
    def is_idle(self) -> bool:
        """Tell whether nobody of them has done anything, nor failed to."""
        return not self.begun and not self.failures

    def fail(self, failure: Exception) -> None:
        """Count what failed, and keep what it shows of the mesh."""
        self.failures[_kind(failure)] += 1
        if isinstance(failure, BreachError):
            self.breaches.setdefault(failure.promise, str(failure))


class Bots:
    """Let bots live while their phases last, until `stop`."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._living: list[gevent.Greenlet] = []
        self._is_stopped = False

    def begin(
        self, crowd: Crowd, role: Role, *, from_s: float, until_s: float, pause_s: float, seed: str
    ) -> None:
        """Let one bot live from its own time in a phase to the end of the phase."""
        life = Life()
        crowd.lives.append(life)
        offset_s = random.Random(seed).uniform(0, min(pause_s, until_s - from_s))  # noqa: S311 - repeatable on purpose
        act = (crowd, life, role, from_s + offset_s, until_s, pause_s)
        self._living.append(gevent.spawn(self._live, *act))

    def stop(self, within_s: float) -> None:
        """Let every bot finish what it does, and tear down."""
        self._is_stopped = True
        gevent.joinall(self._living, timeout=within_s)
        gevent.killall(self._living)

    def _live(
        self, crowd: Crowd, life: Life, role: Role, at_s: float, until_s: float, pause_s: float
    ) -> None:
        self._rest(at_s - self._now_s())
        is_good = True
        life.step(State.SETTING_UP, at_s=self._now_s())
        try:
            role.set_up()
        except FAILURES as failure:
            crowd.fail(failure)
            is_good = False
        except gevent.GreenletExit:
            crowd.failures[UNFINISHED] += 1
            raise
        else:
            life.step(State.RESTING, at_s=self._now_s())
            while not self._is_stopped and self._now_s() < until_s:
                life.step(State.BEHAVING, at_s=self._now_s())
                is_good &= self._act(crowd, role)
                life.step(State.RESTING, at_s=self._now_s())
                self._rest(min(pause_s, until_s - self._now_s()))
        finally:
            life.step(State.TEARING_DOWN, at_s=self._now_s())
            role.tear_down()
        life.step(State.SUCCEEDED if is_good else State.FAILED, at_s=self._now_s())

    def _act(self, crowd: Crowd, role: Role) -> bool:
        began_s = self._now_s()
        crowd.begun += 1
        try:
            crowd.acts[role.behave()] += 1
        except FAILURES as failure:
            crowd.fail(failure)
            return False
        except gevent.GreenletExit:
            crowd.failures[UNFINISHED] += 1
            raise
        crowd.took.record_us(round(1_000_000 * (self._now_s() - began_s)))
        return True

    def _rest(self, for_s: float) -> None:
        """Sleep in short pieces, so that a stop is heard."""
        until_s = self._now_s() + for_s
        while not self._is_stopped and (left_s := until_s - self._now_s()) > 0:
            gevent.sleep(min(left_s, _HEAR_S))


def _kind(failure: Exception) -> str:
    """Name what failed, so that alike failures are counted together."""
    kind = type(failure).__name__
    return f"{kind} {failure}" if isinstance(failure, CodedError) else kind
