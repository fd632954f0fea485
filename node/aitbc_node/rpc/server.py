"""How does the interface listen, and how does it stop?

uvicorn's HTTP protocol runs inside the node's own event loop; its server class is not used, because
it takes over signals and polls. What a connection may cost is in `connections.py`. Do not add
routes here.
"""

import asyncio
import errno
import resource
import socket
from contextlib import suppress

import uvicorn
from uvicorn.server import ServerState

from aitbc_node import limits
from aitbc_node.errors import ConfigError
from aitbc_node.rpc.admin_app import AdminApp, AdminPort
from aitbc_node.rpc.app import App, Port
from aitbc_node.rpc.connections import CONNECTIONS_MAX, BoundedProtocol, Crowd
from aitbc_node.rpc.throttle import Throttle

IDLE_DEADLINE_S = 30
STOP_DEADLINE_S = 1.0
ADMIN_CONNECTIONS_MAX = 64
BACKLOG = 2_048


class Server:
    """Listen on one address until stopped; `key` names it in the configuration."""

    def __init__(
        self, app: App | AdminApp, *, listen: str, key: str, crowd: Crowd | None = None
    ) -> None:
        self.listen = listen
        self.crowd = crowd or Crowd(connections_max=_connections_max())
        self._app = app
        self._key = key
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Return where the server listens, with the real port number."""
        assert self._server is not None, "not started"
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def is_listening(self) -> bool:
        """Tell whether a new client gets in."""
        return self._server is not None and self._server.is_serving()

    async def start(self) -> None:
        """Begin to listen.

        Raises: ConfigError when the address is malformed, not ours, or taken.
        """
        config = uvicorn.Config(
            self._app,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",  # a stranger's bad request is answered, it gets no line in the log
            access_log=False,
            server_header=False,
            timeout_keep_alive=IDLE_DEADLINE_S,
            proxy_headers=False,
        )
        config.load()
        self._server = await asyncio.get_running_loop().create_server(
            lambda: BoundedProtocol(
                config=config, server_state=self._state, app_state={}, crowd=self.crowd
            ),
            sock=_bound(self.listen, self._key),
            backlog=BACKLOG,
        )

    async def stop(self) -> None:
        """Stop listening, let answers under way end, and cut what is left after a second."""
        assert self._server is not None, "not started"
        self._server.close()
        self._app.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_DEADLINE_S):
                while self._state.tasks:
                    await asyncio.wait(set(self._state.tasks))
        for task in list(self._state.tasks):
            task.cancel()
        for connection in list(self._state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)


def public_server(
    port: Port, *, listen: str, rate: int = limits.RPC_RATE, crowd: Crowd | None = None
) -> Server:
    """Return the server of everybody; `rate` is what one client may cost, 0 for no bound."""
    app = App(port, name=port.facts.node, throttle=Throttle(rate=rate))
    return Server(app, listen=listen, key="rpc.listen", crowd=crowd)


def admin_server(port: AdminPort, *, name: str, listen: str, token: str) -> Server:
    """Return the server of the operator."""
    app = AdminApp(port, name=name, token=token)
    crowd = Crowd(connections_max=ADMIN_CONNECTIONS_MAX)
    return Server(app, listen=listen, key="rpc.admin_listen", crowd=crowd)


def _connections_max() -> int:
    """Leave half of the open files that the system allows to links and disks."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(CONNECTIONS_MAX, soft // 2)


def _bound(listen: str, key: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if not host or not (port.isascii() and port.isdigit()):
        raise ConfigError(f"{key}: {listen!r} is not host:port")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sends each answer at once (TCP_NODELAY); without, a client
    # that keeps its connection waits 40 ms for every one.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # `[::]` means everybody
        sock.bind((host, int(port)))
    except (OSError, OverflowError) as error:
        sock.close()
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "the address is in use" if taken else str(error)
        raise ConfigError(
            f"{key}: cannot listen on {listen}: {why}",
            hint=f"see who has it: ss -ltnp 'sport = :{port}'" if taken else "",
        ) from error
    return sock
