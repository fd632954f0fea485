"""Bots that do the same at the same moment keep nobody else waiting."""

import child_program

PROGRAM = """
import json, sys

import gevent

from aitbc_load.orders import Place
from aitbc_load.swarm.roles import Observer

BOTS = 40
sys.setswitchinterval(1e-6)  # the hub looks at its timers again after so long
blocks = [b'event: block\\ndata: {"height":%d}\\n\\n' % height for height in range(1, 61)]
minute = b"".join(b"%x\\r\\n%b\\r\\n" % (len(each), each) for each in blocks)


class Wire:
    def stream(self, request):
        return b""

    def more(self):
        return minute


class Wires:
    def open(self, node):
        return Wire()


def behave(bot):
    bot.behave()
    done.append(bot)


def pay():
    gevent.sleep(1e-6)
    paid.append(len(done))


done, paid = [], []
bots = [Observer(Place(name="v1", host="127.0.0.1", port=1, power=1), Wires()) for _ in range(BOTS)]
for bot in bots:
    bot.set_up()
gevent.joinall([gevent.spawn(pay), *(gevent.spawn(behave, bot) for bot in bots)], timeout=30)
print(json.dumps([len(done), paid]))
"""


def test_a_payment_does_not_wait_for_all_who_watch() -> None:
    """Forty who read a minute of blocks each begin together; a payment is due behind the first."""
    everybody, (before_it,) = child_program.told(PROGRAM)

    assert everybody == 40
    assert before_it < 10
