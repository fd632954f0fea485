"""How a node that keeps dying young is slowed down, and at last stopped.

Supervisors restart after one second, whatever happened. The node itself counts its short lives in
its run folder, waits longer after each, and gives up when there were too many in a minute: a
broken release must not burn a host, and a supervisor that sees exit status 78 stops trying.
"""

import contextlib
import json
import time
from pathlib import Path

import msgspec

from aitbc_node.errors import AitbcError, ConfigError

YOUNG_S = 10.0
"""Who lives longer than this has started well."""

DELAY_BASE_S = 0.1
DELAY_CAP_S = 60.0
DEATHS_MAX = 5
WINDOW_S = 60.0
KEPT_MAX = 32

FILE_NAME = "fast_exits.json"


class Delay(msgspec.Struct, frozen=True):
    """Say how long to wait before starting, and whether to start at all."""

    seconds: float
    gives_up: bool


def delay_after(deaths_s: tuple[float, ...], *, now_s: float) -> Delay:
    """Judge earlier short lives by when they began. Source: rules 4.8."""
    count = len(deaths_s)
    recent = sum(now_s - WINDOW_S <= at <= now_s for at in deaths_s)
    seconds = min(DELAY_BASE_S * 2**count, DELAY_CAP_S) if count else 0.0
    return Delay(seconds, gives_up=recent >= DEATHS_MAX)


class FastExits:
    """Remember short lives in one file of the run folder."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE_NAME
        self._own_s = 0.0

    def begin(self) -> Delay:
        """Note that a life begins; return how long to wait before it really does.

        Raises: ConfigError when it should not begin at all.
        """
        now_s = time.time()
        deaths_s = self._read()
        delay = delay_after(deaths_s, now_s=now_s)
        if delay.gives_up:
            raise ConfigError(
                f"{DEATHS_MAX} starts within {WINDOW_S:.0f} s ended within {YOUNG_S:.0f} s each",
                hint=f"read the log of the last start; {self._file} can be removed to try again",
            )
        self._own_s = now_s
        self._write((*deaths_s, now_s))
        return delay

    def lived(self) -> None:
        """Forget all short lives: this one is long enough."""
        # A full disk is no reason to end a node that runs; the count is only a help.
        with contextlib.suppress(AitbcError):
            self._write(())

    def ended_orderly(self) -> None:
        """Forget the own life: it was short because somebody wanted it so."""
        with contextlib.suppress(AitbcError):
            self._write(tuple(at for at in self._read() if at != self._own_s))

    def _read(self) -> tuple[float, ...]:
        # A file that cannot be read is no reason not to start.
        with contextlib.suppress(OSError, ValueError, TypeError):
            return tuple(float(at) for at in json.loads(self._file.read_text(encoding="utf-8")))
        return ()

    def _write(self, deaths_s: tuple[float, ...]) -> None:
        temporary = self._file.with_suffix(".new")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(deaths_s[-KEPT_MAX:]), encoding="utf-8")
            temporary.replace(self._file)
        except OSError as error:
            raise AitbcError(f"{self._file}: cannot be written: {error.strerror}") from error
