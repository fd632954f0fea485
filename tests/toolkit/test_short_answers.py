"""What a swarm reads of a node's answers, whether the node knows the short ones or not."""

import json

import pytest

from aitbc_load.swarm.answers import codes_of
from aitbc_load.swarm.wire import Answer, Silent


def told(count: int, **body: object) -> list[str]:
    """Read an answer to so many."""
    return codes_of(Answer(202, json.dumps(body).encode()), count)


def test_both_forms_say_the_same() -> None:
    """A code for each, in the order of the hand-in."""
    rows = [{"code": "ok"}, {"code": "nonce"}, {}]

    assert told(3, results=rows) == ["ok", "nonce", "ok"]
    assert told(3, taken=2, refused=[{"index": 1, "code": "nonce"}]) == ["ok", "nonce", "ok"]
    assert told(2, taken=2, refused=[]) == ["ok", "ok"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"results": [{"code": "ok"}]},
        {"taken": 1, "refused": []},
        {"taken": 3, "refused": []},
        {"taken": 2, "refused": [{"index": 1, "code": "nonce"}]},
        {"taken": 1, "refused": [{"index": 2, "code": "nonce"}]},
        {"taken": 1, "refused": [{"index": -1, "code": "nonce"}]},
        {"taken": 0, "refused": [{"index": 1, "code": "nonce"}] * 2},
        {"taken": -1, "refused": [{"index": 0, "code": "nonce"}]},
        {"taken": 1, "refused": [{"index": 1}]},
    ],
)
def test_what_is_not_one_word_for_each_is_no_answer(body: dict[str, object]) -> None:
    """Nothing is taken for granted of a transaction that a node has said nothing of."""
    with pytest.raises(Silent):
        told(2, **body)
