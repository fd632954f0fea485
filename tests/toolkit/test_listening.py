"""Whom does a swarm stop listening to? Only who tells nothing of blocks that others have."""

import json

import child_program
import pytest

# Given are the heights that the stream tells behind each question to the other node.
PROGRAM = """
import json, sys

import gevent

from aitbc_load.orders import Place
from aitbc_load.swarm import listening

told = json.loads(sys.argv[1])
closed = []


class Other:
    def height_of(self, node):
        if not told:
            print(json.dumps(closed), flush=True)
            raise SystemExit
        gevent.spawn(hear, told.pop(0))
        return 10


class Stream:
    def close(self):
        closed.append(listener.height)


def hear(height):
    listener.height = max(listener.height, height)


listening._LOOK_S = listening._PAUSE_S = 0.01
nodes = [Place(name="v1", host="127.0.0.1", port=1, power=1)]
listener = listening.Listener(nodes, None, Other(), None, None)
listener._connection = Stream()
gevent.spawn(listener.mind).join()
"""


@pytest.mark.parametrize(
    ("told", "left_at"),
    [([0], [0]), ([7], []), ([9, 0], [])],
    ids=["tells nothing", "is read late", "is two blocks behind"],
)
def test_only_a_stream_that_tells_nothing_is_left(told: list[int], left_at: list[int]) -> None:
    """A swarm that stood still itself has not read yet what its stream holds, and stays with it."""
    assert child_program.told(PROGRAM, json.dumps(told)) == left_at
