"""May a host take a node back now? Judged by what nodes show: commits, rules, versions of data."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from aitbc_toolkit.deploys.hostside import deadman, firing
from aitbc_toolkit.deploys.hostside.firing import is_needed
from aitbc_toolkit.deploys.hostside.moments import Moment

pytestmark = pytest.mark.integration

FOUR = ("v1", "v2", "v3", "v4")


@contextmanager
def a_node(
    *commits: Sequence[str],
    validator: str | None = "v1",
    age_ms: int = 500,
    app_version: int = 1,
) -> Iterator[dict[str, Any]]:
    """Answer as v1 of four, with blocks that carry these commits."""
    status: dict[str, Any] = {
        "validator": validator,
        "power": 1,
        "total_power": 4,
        "block_age_ms": age_ms,
    }
    status["app_version"] = app_version
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


def an_armed_switch(
    state: Path, *, nodes: Sequence[dict[str, Any]], app_version: int | None = 1
) -> None:
    """Leave what arming leaves, due now: v1 was on another release, by these rules."""
    moment = Moment.read()
    versions = {"data_version": 1, "app_version": app_version}
    node = {"name": "v1", "data": str(state), "versions": versions, **nodes[0]}
    switch = {
        "state": "armed",
        "boot": moment.boot,
        "due_s": moment.now_s,
        "instances": [node],
        "nodes": [each["listen"]["rpc"] for each in nodes],
        "back": [],
    }
    (state / "deadman.json").write_text(json.dumps(switch))


@contextmanager
def a_silent_node() -> Iterator[dict[str, Any]]:
    """Be the address of a node that is down."""
    with a_node(FOUR) as node:
        gone = node
    yield gone


def test_a_node_that_is_down_is_not_taken_back_over_new_rules(tmp_path: Path) -> None:
    """It cannot tell that the chain goes by others now; the rest of the mesh does."""
    with a_silent_node() as down, a_node(FOUR, app_version=2) as other:
        an_armed_switch(tmp_path, nodes=[down, other])
        firing.run(tmp_path)

    found = deadman.read(tmp_path)
    assert (found["state"], found["reason"]) == (
        "withheld",
        "v1: data or rules have changed since",
    )


def test_what_was_not_known_when_it_was_armed_is_not_taken_back(tmp_path: Path) -> None:
    """There is nothing to compare with: unknown is not unchanged."""
    with a_node(FOUR) as node:
        an_armed_switch(tmp_path, nodes=[node], app_version=None)
        firing.run(tmp_path)

    found = deadman.read(tmp_path)
    assert found["state"] == "withheld"
    assert found["reason"] == "v1: nobody told its data or rules when it was armed"


def test_while_nobody_tells_the_rules_it_waits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], eventually: Callable[..., None]
) -> None:
    """A node that will tell them later, or a run that disarms, ends that."""
    with a_silent_node() as down:
        an_armed_switch(tmp_path, nodes=[down])
        waiting = threading.Thread(target=firing.run, args=(tmp_path,))
        waiting.start()
        eventually("it to wait", lambda: "waits: nobody tells" in capsys.readouterr().out)
        before = deadman.read(tmp_path)["state"]
        deadman.disarm(tmp_path)
        waiting.join()

    assert before == "armed"
