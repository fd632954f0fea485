"""How much of all bodies is held at once."""

import pytest

from aitbc_node.codes import Code
from aitbc_node.rpc.bodies import Bodies
from aitbc_node.rpc.view import RequestFault


def test_one_client_holds_so_much_and_another_may_go_on() -> None:
    """Over its bound a client is refused as one that asks too much; what ended is free again."""
    bodies = Bodies(bytes_max=100, per_client_max=10)

    with bodies.of("10.0.0.1") as first, bodies.of("10.0.0.1") as second:
        first(6)
        with pytest.raises(RequestFault) as caught:
            second(5)
        with bodies.of("10.0.0.2") as other:
            other(10)

    assert (caught.value.status, caught.value.code) == (429, Code.E_RATE)
    assert dict(caught.value.headers)["retry-after"] == "2"
    assert bodies.byte_count == 0
    with bodies.of("10.0.0.1") as again:
        again(10)


def test_all_together_hold_so_much() -> None:
    """Many clients that are within their bounds do not fill the memory either."""
    bodies = Bodies(bytes_max=15, per_client_max=10)

    with bodies.of("10.0.0.1") as first, bodies.of("10.0.0.2") as second:
        first(10)
        with pytest.raises(RequestFault) as caught:
            second(6)

    assert (caught.value.status, caught.value.code) == (503, Code.E_UNAVAILABLE)
