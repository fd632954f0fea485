"""What does a transaction of each type cost a node? Processor time of this machine, p50 and p95.

Timed one by one, on a state that does not change, in turns over all types: *apply* is the body
alone, on a draft; *whole* is all that a node does with the bytes. Not with pytest-benchmark: this
is for users, who have none, and processor time is the same where others share the machine. What is
refused meanwhile is no figure but an error. Do not judge: what a step may cost is in `hot_paths`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import quantiles
from typing import Any

from aitbc_node import crypto
from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger import apply, families
from aitbc_node.ledger.admission import check_admission
from aitbc_node.ledger.apply import BlockContext, InvalidBlock
from aitbc_node.ledger.family import Act
from aitbc_node.ledger.state import Draft, State
from aitbc_node.ledger.transactions import Parsed, parse, signature_checks
from aitbc_toolkit.benchmarks.specimens import COUNT, SPECIMENS, Ground, Specimen, ground
from aitbc_toolkit.errors import AitbcError

ROUNDS = 5

TIMED = {
    "apply_us": "the body alone, on a draft of the state; what it verifies itself included",
    "whole_us": "its bytes read, the signature verified, admitted, a block of its own with roots",
    "empty_block_us": "a block without any, which is part of each whole",
}

_TWENTIETHS = 20


class RefusedError(AitbcError):
    """Say which type could not be measured: the ledger refused what was to be timed."""

    def __init__(self, kind: str, what: str, code: str) -> None:
        super().__init__(
            f"{kind} was refused ({code}) when {what} was to be timed",
            hint="tests/toolkit/test_ledger_costs.py, and the bodies in benchmarks/specimens.py",
        )


@dataclass(frozen=True, slots=True)
class Job:
    """Be one thing to time, again and again; it says whether it was done."""

    kind: str
    what: str
    do: Callable[[], str]

    def took_us(self) -> float:
        """Do it once. Raises: RefusedError."""
        began = time.thread_time_ns()
        code = self.do()
        took_ns = time.thread_time_ns() - began
        if code != Code.OK:
            raise RefusedError(self.kind, self.what, code)
        return took_ns / 1_000


def measure(
    specimens: Mapping[type, Specimen] = SPECIMENS, *, count: int = COUNT, rounds: int = ROUNDS
) -> dict[str, Any]:
    """Time so many bodies of each type in so many rounds. Raises: RefusedError.

    Shape: `types` by the order of the table, each with p50 and p95 of all that was timed of it.
    """
    assert 0 < count <= COUNT, "the ground has bonds for so many"
    found = ground()
    jobs: dict[type, tuple[list[Job], list[Job]]] = {
        body: _jobs(found, body, specimen, count) for body, specimen in specimens.items()
    }
    context = found.town.context()
    empty = [Job("a block", "no transaction", partial(_empty, found.town.state, context))] * count
    lists = [empty, *(each for pair in jobs.values() for each in pair)]
    took: list[list[float]] = [[] for _ in lists]
    # The first round warms up, and shows that everything is good.
    for number in range(rounds + 1):
        for place, each in enumerate(lists):
            spans = [job.took_us() for job in each]
            if number:
                took[place] += spans
    spread = [_spread(each) for each in took]
    return {
        "accounts": sum(1 for _ in found.town.state.accounts()),
        "rounds": rounds,
        "timings": rounds * count,
        "timed": TIMED,
        "empty_block_us": spread[0],
        "types": [
            {
                "type": _tag(body),
                "about": specimens[body].about,
                "apply_us": spread[1 + 2 * place],
                "whole_us": spread[2 + 2 * place],
            }
            for place, body in enumerate(jobs)
        ],
    }


def _jobs(found: Ground, body: type, specimen: Specimen, count: int) -> tuple[list[Job], list[Job]]:
    """Prepare everything that is not to be timed."""
    town, kind = found.town, _tag(body)
    state, context = town.state, town.context()
    parsed = [town.tx(*specimen.make(found, number)) for number in range(count)]
    assert all(type(each.tx.bodies[0]) is body for each in parsed), "bodies of another type"
    return (
        [Job(kind, "apply", partial(_apply, state, context, each)) for each in parsed],
        [Job(kind, "whole", partial(_whole, state, context, each.raw)) for each in parsed],
    )


def _apply(state: State, context: BlockContext, parsed: Parsed) -> Code:
    tx = parsed.tx
    act = Act(tx.sender, tx.nonce, 0, context.height, context.verify)
    done = families.apply(Draft(state), act, tx.bodies[0])
    return done.code if isinstance(done, Refusal) else Code.OK


def _whole(state: State, context: BlockContext, raw: bytes) -> str:
    parsed = parse(raw)
    if isinstance(parsed, Refusal):
        return parsed.code
    for check in signature_checks(parsed):
        if not crypto.verify(check.key, check.message, check.signature):
            return Code.E_SIGNATURE
    refusal = check_admission(state, parsed, height=context.height)
    if refusal is not None:
        return refusal.code
    done = apply.execute(state, context, [parsed])
    return done.refusal.code if isinstance(done, InvalidBlock) else done.receipts[0].code


def _empty(state: State, context: BlockContext) -> Code:
    done = apply.execute(state, context, [])
    return done.refusal.code if isinstance(done, InvalidBlock) else Code.OK


def _spread(us: Sequence[float]) -> dict[str, float]:
    rows = quantiles(us, n=_TWENTIETHS, method="inclusive")
    return {"p50": round(rows[_TWENTIETHS // 2 - 1], 2), "p95": round(rows[-1], 2)}


def _tag(body: type) -> str:
    return str(body.__struct_config__.tag)  # type: ignore[attr-defined]  # every body is a record
