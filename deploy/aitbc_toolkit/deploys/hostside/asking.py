"""How is a supervisor asked? Over its socket, and whatever goes wrong comes back as `Trouble`.

The one adapter of `xmlrpc`: no exception of that library leaves this module. What is asked, and
what follows, is not here. Standard library only.
"""

import http.client
import socket
import xmlrpc.client
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from aitbc_toolkit.deploys.hostside.trouble import Trouble

# The numbers of `supervisor.xmlrpc.Faults`.
ENDING = 6
UNKNOWN_PROGRAM = 10
ALREADY_STARTED = 60
NOT_RUNNING = 70

# A stop is answered when the program has ended, which may take until it is killed.
_ANSWER_S = 40.0


class Refused(Trouble):
    """Say that the supervisor answered with a fault; `code` tells which."""

    def __init__(self, method: str, *, code: int, said: str) -> None:
        super().__init__(f"supervisord refused {method}: {said}")
        self.code = code


class Silent(Trouble):
    """Say that no supervisor answers on this socket."""


def ask(path: Path, method: str, *arguments: Any, timeout_s: float = _ANSWER_S) -> Any:
    """Call one method of the supervisor.

    Raises: Refused, Silent.
    """
    transport = _UnixTransport(path, timeout_s)
    try:
        with xmlrpc.client.ServerProxy("http://supervisor", transport=transport) as server:
            return getattr(server.supervisor, method)(*arguments)
    except xmlrpc.client.Fault as fault:
        raise Refused(method, code=fault.faultCode, said=fault.faultString) from None
    except (OSError, http.client.HTTPException, xmlrpc.client.Error, ExpatError) as failure:
        why = f"{type(failure).__name__} {failure}".strip()
        raise Silent(f"supervisord does not answer {method} on {path}: {why}") from None


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("supervisor", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__()
        self._path = path
        self._timeout_s = timeout_s

    def make_connection(self, host: Any) -> http.client.HTTPConnection:  # noqa: ARG002 - its shape
        return _UnixConnection(self._path, self._timeout_s)
