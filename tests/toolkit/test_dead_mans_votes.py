"""May a host take a node back now? Judged by the commits in the blocks that the node shows."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from aitbc_toolkit.deploys.hostside.firing import is_needed

pytestmark = pytest.mark.integration

FOUR = ("v1", "v2", "v3", "v4")


@contextmanager
def a_node(
    *commits: Sequence[str], validator: str | None = "v1", age_ms: int = 500
) -> Iterator[dict[str, Any]]:
    """Answer as v1 of four, with blocks that carry these commits."""
    status = {"validator": validator, "power": 1, "total_power": 4, "block_age_ms": age_ms}
    page = {"blocks": [{"last_commit": {"signers": list(c), "power": len(c)}} for c in commits]}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(status if self.path == "/status" else page).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield {"listen": {"rpc": list(server.server_address)}}
        finally:
            server.shutdown()
            thread.join()


def test_a_vote_that_three_others_make_up_for_is_spared() -> None:
    """Three of four go on."""
    with a_node(FOUR, FOUR, FOUR) as node:
        assert not is_needed(node)


def test_a_vote_without_which_the_mesh_stops_is_needed() -> None:
    """With one of four away, each of the three others has to stay."""
    three = FOUR[:3]
    with a_node(three, three, three) as node:
        assert is_needed(node)


def test_who_does_not_vote_is_not_missed() -> None:
    """Its key is in no commit, whoever else is away; a full node has no key at all."""
    others = FOUR[1:]
    with a_node(others, others, others) as mute, a_node(FOUR, validator=None) as full:
        assert not is_needed(mute)
        assert not is_needed(full)


def test_a_node_in_a_mesh_that_stands_still_is_not_missed() -> None:
    """There are no blocks that it could hold up."""
    three = FOUR[:3]
    with a_node(three, three, three, age_ms=60_000) as node:
        assert not is_needed(node)


def test_a_node_that_does_not_answer_is_not_missed() -> None:
    """Nobody listens on its port."""
    with a_node(FOUR) as node:
        gone = node
    assert not is_needed(gone)
