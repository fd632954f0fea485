"""What does a node say of transactions that were handed in? A code for each, or nothing at all.

Do not add what becomes of them.
"""

import msgspec

from aitbc_load.swarm.wire import Answer, Silent
from aitbc_node.codes import Code
from aitbc_node.rpc import schema

_ACCEPTED = frozenset({200, 202})

LATER = frozenset(
    {Code.E_RATE, Code.E_QUEUE_FULL, Code.E_POOL_FULL, Code.E_NO_QUORUM, Code.E_UNAVAILABLE}
)
"""A node that says this may take the same bytes later, or another one now."""


class Refused(Exception):  # noqa: N818 - what Locust counts as a failure, named as it is
    """A node did not take a transaction; its words are the code."""


class Word(msgspec.Struct, frozen=True, gc=False):
    """Read what counts of a `schema.TxResult`, in a quarter of the time that all of it takes."""

    code: str = "ok"


class Odd(msgspec.Struct, frozen=True, gc=False):
    """Read what counts of a `schema.RefusedRow`."""

    index: int
    code: str


class Words(msgspec.Struct, frozen=True):
    """Read the same of a `schema.BatchResult`, or of a `schema.BriefResult`."""

    results: list[Word] = []
    taken: int = 0
    refused: list[Odd] = []


_words = msgspec.json.Decoder(Words)
_fault = msgspec.json.Decoder(schema.ErrorAnswer)


def codes_of(answer: Answer, count: int) -> list[str]:
    """Read what a node says of each transaction. Raises: Silent where it says nothing."""
    try:
        if answer.status in _ACCEPTED:
            return _codes(_words.decode(answer.body), count)
        code = _fault.decode(answer.body).error.code
    except msgspec.MsgspecError as wrong:
        raise Silent(f"status {answer.status} and no answer of a node") from wrong
    return [code] * count


def _codes(told: Words, count: int) -> list[str]:
    """Put in order what is told in either form. Raises: Silent where it is not one for each."""
    results = len(told.results) + told.taken + len(told.refused)
    if results != count:
        raise Silent(f"{results} results for {count} transactions")
    if told.results:
        if len(told.results) < results:
            raise Silent("results in both forms")
        return [word.code for word in told.results]
    codes: list[str] = [Code.OK] * count
    for index, code in _by_index(told.refused, count).items():
        codes[index] = code
    return codes


def _by_index(refused: list[Odd], count: int) -> dict[int, str]:
    found = {each.index: each.code for each in refused}
    if len(found) < len(refused) or not all(0 <= index < count for index in found):
        raise Silent("refusals of no, or of the same, transactions")
    return found
