"""Many requests wait for answers at once; what an answer's way does to it is seen by nobody."""

from typing import Any

import child_program

FRONT = """
import json

import gevent
import msgspec
from gevent.event import Event
from gevent.server import StreamServer

from aitbc_load.orders import Place
from aitbc_load.swarm import lanes
from aitbc_load.swarm.wire import Answer, Silent, Wires

heard = []


class Errand:
    def __init__(self, node, text):
        self.node, self.request, self.text = node, memoryview(text), text

    def answered(self, answer):
        heard.append([answer.status, answer.body.decode()])

    def unanswered(self, silent):
        heard.append(str(silent))


def node_at(port):
    return Place(name="v1", host="127.0.0.1", port=port, power=1)


def started(handle):
    server = StreamServer(("127.0.0.1", 0), handle)
    server.start()
    return node_at(server.server_port)


def settle(count):
    with gevent.Timeout(30):
        while len(heard) < count:
            gevent.sleep(0.005)


def answer(text, more=""):
    return f"HTTP/1.1 202 X\\r\\n{more}Content-Length: {len(text)}\\r\\n\\r\\n{text}".encode()

"""


def told(program: str) -> Any:
    """Run a program behind the front; return what it printed."""
    return child_program.told(FRONT + program)


def test_an_answer_is_whole_however_it_comes() -> None:
    """Byte by byte, and behind each other on one connection: each is told once, and as it is."""
    program = """
def handle(wire, _address):
    connections.append(1)
    while wire.recv(64):
        for byte in answer("some words"):
            wire.sendall(bytes([byte]))
            gevent.sleep(0)

connections = []
ours = lanes.Lanes(Wires())
node = started(handle)
for count in range(1, 4):
    ours.ask(Errand(node, b"?"))
    settle(count)
print(json.dumps([heard, len(connections)]))
"""

    assert told(program) == [[[202, "some words"]] * 3, 1]


def test_none_waits_for_another() -> None:
    """A node that answers nothing keeps back nobody: each has a connection of its own."""
    program = """
def handle(wire, _address):
    waiting.append(wire)
    wire.recv(64)
    while len(waiting) < 5:
        gevent.sleep(0.005)
    wire.sendall(answer(""))
    wire.recv(64)

waiting = []
ours = lanes.Lanes(Wires())
node = started(handle)
for _ in range(5):
    ours.ask(Errand(node, b"?"))
settle(5)
print(json.dumps(heard))
"""

    assert told(program) == [[202, ""]] * 5


def test_only_the_first_connection_to_a_node_asks_where_it_is() -> None:
    """The others begin at once; where one is refused, the next asks again, and says why."""
    program = """
def handle(wire, _address):
    waiting.append(wire)
    while wire.recv(64):
        go_on.wait()
        wire.sendall(answer("yes"))

class Counting(Wires):
    def open(self, place):
        asked.append(place.name)
        return super().open(place)

waiting, asked, go_on = [], [], Event()
ours = lanes.Lanes(Counting())
server = StreamServer(("127.0.0.1", 0), handle)
server.start()
node = node_at(server.server_port)
for count in range(1, 6):
    ours.ask(Errand(node, b"?"))
    with gevent.Timeout(30):
        while len(waiting) < count:
            gevent.sleep(0.005)
go_on.set()
settle(5)
go_on.clear()
server.stop()
for _ in range(5):
    ours.ask(Errand(node, b"?"))  # on those that wait, and keeps them
for count in (6, 7):
    ours.ask(Errand(node, b"?"))
    settle(count)
print(json.dumps([heard, len(asked)]))
"""
    heard, asked = told(program)

    assert heard[:5] == [[202, "yes"]] * 5
    assert heard[5].startswith("no answer: ")
    assert heard[6].startswith("no connection: ")
    assert asked == 2


CROWDED = """
def serve():
    wire, _ = door.accept()
    while wire.recv(64):
        go_on.wait()
        wire.sendall(answer("yes"))

go_on = Event()
door = gevent.socket.socket()
door.bind(("127.0.0.1", 0))
door.listen(0)
node = node_at(door.getsockname()[1])
ours = lanes.Lanes(Wires())
first = gevent.spawn(serve)
ours.ask(Errand(node, b"?"))
with gevent.Timeout(30):
    while not ours._known:
        gevent.sleep(0.005)
filling = gevent.socket.create_connection(door.getsockname())  # no more are let in
ours.ask(Errand(node, b"?"))
half_open = [bool(lane._rest) for lane in ours._open]
"""
"""A node with one request under way, and another before its door."""


def test_a_request_waits_until_its_connection_is_there() -> None:
    """There is room for nothing before; then it goes out whole."""
    program = """
go_on.set()
for _ in range(2):
    gevent.spawn(serve)
settle(2)
print(json.dumps([heard, sorted(half_open)]))
"""

    assert told(CROWDED + program) == [[[202, "yes"]] * 2, [False, True]]


def test_a_connection_that_never_comes_is_told() -> None:
    """In time, as any other answer that does not come; the next asks anew where the node is."""
    program = """
lanes.TIMEOUT_S = lanes._LOOK_S = 0.05
gevent.spawn(ours.mind_the_time)
settle(2)
print(json.dumps([heard, len(ours._known)]))
"""

    assert told(CROWDED + program) == [["no answer: timed out"] * 2, 0]


def test_a_request_that_is_too_much_at_once_goes_out_in_parts() -> None:
    """A node that reads late gets all of it, in its order."""
    program = """
import hashlib

def handle(wire, _address):
    found = hashlib.sha256()
    left = len(request)
    while left:
        gevent.sleep(0.001)
        piece = wire.recv(1 << 20)
        found.update(piece)
        left -= len(piece)
    wire.sendall(answer(found.hexdigest()))

request = b"".join(number.to_bytes(4, "big") for number in range(4_000_000))
lanes.Lanes(Wires()).ask(Errand(started(handle), request))
settle(1)
print(json.dumps([heard, hashlib.sha256(request).hexdigest()]))
"""
    heard, wanted = told(program)

    assert heard == [[202, wanted]]


def test_what_went_out_on_an_old_connection_goes_out_again() -> None:
    """A node closes what waited when the next request comes: that one is answered all the same."""
    program = """
def handle(wire, _address):
    asked.append(wire.recv(64).decode())
    wire.sendall(answer("yes"))
    asked.append(wire.recv(64).decode())
    wire.close()

asked = []
ours = lanes.Lanes(Wires())
node = started(handle)
ours.ask(Errand(node, b"one"))
settle(1)
ours.ask(Errand(node, b"two"))
settle(2)
print(json.dumps([heard, asked]))
"""

    assert told(program) == [[[202, "yes"]] * 2, ["one", "two", "two"]]


def test_what_is_not_answered_is_told() -> None:
    """By who closes at once, by nobody at all, by who is no node, and too late."""
    program = """
def closes(wire, _address):
    wire.recv(64)
    wire.close()

def babbles(wire, _address):
    wire.recv(64)
    wire.sendall(b"SSH-2.0 hello\\r\\n\\r\\n")
    Event().wait()

def sleeps(wire, _address):
    Event().wait()

lanes.TIMEOUT_S = lanes._LOOK_S = 0.05
ours = lanes.Lanes(Wires())
gevent.spawn(ours.mind_the_time)
with_nobody = node_at(1)
for count, node in enumerate([started(closes), with_nobody, started(babbles), started(sleeps)], 1):
    ours.ask(Errand(node, b"?"))
    settle(count)
print(json.dumps(heard))
"""
    closed, refused, strange, late = told(program)

    assert closed == "no answer: the node closed the connection"
    assert refused.startswith("no connection: ")
    assert strange == "no answer: no status"
    assert late == "no answer: timed out"


def test_a_connection_that_its_node_closes_is_not_used_again() -> None:
    """Neither one that was announced to be the last, nor one that was closed while it waited."""
    program = """
def handle(wire, _address):
    asked.append(wire.recv(64).decode())
    wire.sendall(answer("bye", "Connection: close\\r\\n" if len(asked) == 1 else ""))
    wire.close()
    closed.append(1)

asked, closed = [], []
ours = lanes.Lanes(Wires())
node = started(handle)
for count in range(1, 4):
    ours.ask(Errand(node, f"{count}".encode()))
    settle(count)
    with gevent.Timeout(30):
        while len(closed) < count or ours._open:
            gevent.sleep(0.005)
print(json.dumps([heard, asked]))
"""

    assert told(program) == [[[202, "bye"]] * 3, ["1", "2", "3"]]


def test_who_answers_before_it_has_heard_all_is_not_asked_again_there() -> None:
    """What it has not read yet would be taken for the next request."""
    program = """
def handle(wire, _address):
    connections.append(1)
    wire.recv(64)
    wire.sendall(answer("too large"))
    Event().wait()

connections = []
ours = lanes.Lanes(Wires())
node = started(handle)
for count in (1, 2):
    ours.ask(Errand(node, bytes(20_000_000)))
    settle(count)
print(json.dumps([heard, len(connections)]))
"""

    assert told(program) == [[[202, "too large"]] * 2, 2]


def test_many_old_connections_are_left_behind_at_once() -> None:
    """A node that was started anew has forgotten all of them before anybody was told."""
    program = """
import socket
import struct

def handle(wire, _address):
    wires.append(wire)
    wire.recv(64)
    with_all.wait()
    wire.sendall(answer("yes"))
    if wires.index(wire) < MANY:
        restarts.wait()
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.close(wire.detach())
        left.append(1)
    while wire.fileno() >= 0 and wire.recv(64):
        wire.sendall(answer("new"))

MANY = 5
wires, left, with_all, restarts = [], [], Event(), Event()
ours = lanes.Lanes(Wires())
node = started(handle)
for _ in range(MANY):
    ours.ask(Errand(node, b"?"))
with gevent.Timeout(30):
    while len(wires) < MANY:
        gevent.sleep(0.005)
    with_all.set()
    settle(MANY)
    for lane in ours._open:
        lane._reader.stop()  # as if all of this were one moment
    restarts.set()
    while len(left) < MANY:
        gevent.sleep(0.005)
ours.ask(Errand(node, b"?"))
settle(MANY + 1)
print(json.dumps([heard, len(ours._open)]))
"""

    assert told(program) == [[[202, "yes"]] * 6, 1]
