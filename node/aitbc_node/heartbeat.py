"""Who notices that this node hangs, and what do they learn about it?

The event loop beats; at the start, so does every block that is read. Without beats two act, each
where the other cannot: an alarm of the interpreter, which needs no lock of it, writes where every
thread is and ends the process; systemd kills one that is stopped altogether. Both end in a restart
within twenty seconds. Do not add checks here: whether a node that lives is of use is the gates'
question.
"""

import faulthandler
import os
import socket
import sys
import time
from typing import NoReturn

BEAT_S = 4.0
ALARM_S = 12.0
"""Three beats are missed. The unit's own limit is longer, so that what hangs gets into the log."""

assert ALARM_S >= 3 * BEAT_S, "one late beat is no reason to end a node"


class Heart:
    """Beat often; what that costs is a look at the clock."""

    def __init__(self, address: str, *, alarm_s: float = ALARM_S) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._alarm_s = alarm_s
        self._beat_s = alarm_s * BEAT_S / ALARM_S
        self._last_s = 0.0

    def wake(self) -> None:
        """Say that this process has begun to load its code; no alarm waits for that.

        On a busy machine it takes longer than an alarm would wait, and who ends for it only begins
        with it anew, so that the machine gets busier still. Loading ends by itself.
        """
        self._tell("WATCHDOG=1")

    def beat(self) -> None:
        """Say that this process gets on with its work."""
        now_s = time.monotonic()
        silent_s = now_s - self._last_s
        if self._last_s and silent_s >= self._alarm_s:
            self._end_late(silent_s)
        if silent_s >= self._beat_s:
            self._last_s = now_s
            faulthandler.dump_traceback_later(self._alarm_s, exit=True)
            self._tell("WATCHDOG=1")

    @staticmethod
    def _end_late(silent_s: float) -> NoReturn:
        """End as the alarm would have: a process that was stopped may wake up before its alarm."""
        sys.stderr.write(f"Timeout: no beat for {silent_s:.1f} s\n")
        faulthandler.dump_traceback()
        os._exit(1)

    def sleep(self, seconds: float) -> None:
        """Wait on purpose, which is not hanging."""
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            self.beat()
            time.sleep(min(left_s, self._beat_s / 2))

    def ready(self) -> None:
        """Say that the node takes part."""
        self._tell("READY=1")

    def rest(self) -> None:
        """Say that the end is wanted; from here on nobody waits for a beat."""
        faulthandler.cancel_dump_traceback_later()
        self._tell("STOPPING=1")

    def _tell(self, what: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
            try:
                sock.sendto(what.encode(), self._address)
            except OSError:
                return  # a manager that does not listen will say so itself, by ending this process


def notify_address() -> str:
    """Return where the service manager wants to hear; empty without one. Source: sd_notify(3)."""
    return os.environ.get("NOTIFY_SOCKET", "")
