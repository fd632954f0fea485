"""Payments beside a change, against four servers that show one real ledger."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from aitbc_toolkit.books import Books
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release import loading

RATE = 20


def told(_record: object) -> None:
    """Hear what is told."""


def senders() -> int:
    """Count the threads that read blocks for a sender."""
    return sum(thread.name == "blocks" for thread in threading.enumerate())


def test_payments_go_on_until_the_change_is_finished(
    fake_mesh: Any, eventually: Callable[..., None]
) -> None:
    """The sum is made once, whoever asks for it again; nothing is sent after that."""

    def taken() -> int:
        return sum(len(port.submitted) for port in fake_mesh.ports.values())

    with loading.beside(fake_mesh.environment, told, rate=RATE) as load:
        eventually("some payments", lambda: taken() > RATE, deadline_s=60)
        tally = load.finish()
        sent = taken()

        assert load.finish() == tally

    assert tally is not None
    assert tally.final == tally.sent == tally.accepted >= RATE
    assert loading.problem_of(tally) == ""
    assert (senders(), taken()) == (0, sent)


def test_without_load_nothing_is_sent_and_nothing_claimed(fake_mesh: Any) -> None:
    """No sum, which is not a sum of nought."""
    with loading.beside(fake_mesh.environment, told, rate=0) as load:
        assert load.finish() is None

    assert loading.problem_of(None) == ""
    assert not any(port.submitted for port in fake_mesh.ports.values())


def test_a_change_that_breaks_off_takes_its_payments_along(
    fake_mesh: Any, eventually: Callable[..., None]
) -> None:
    """Nobody waits for their end, and no thread is left."""

    def broken_off() -> None:
        with loading.beside(fake_mesh.environment, told, rate=RATE):
            eventually("a sender", lambda: senders() == 1, deadline_s=60)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()

    assert senders() == 0


def test_a_mesh_that_does_not_answer_refuses_the_load(fake_mesh: Any) -> None:
    """The change does not begin: nothing was announced or switched."""
    for name in list(fake_mesh.ports):
        fake_mesh.kill(name)

    with (
        pytest.raises(AitbcError, match="no node answers") as refused,
        loading.beside(fake_mesh.environment, told, rate=RATE),
    ):
        pytest.fail("the change began")

    assert refused.value.exit_status is Exit.UNREACHABLE


def test_a_lost_transaction_is_a_problem_of_the_mesh() -> None:
    """One of two accepted ones is neither final nor expired: that takes the fleet back."""
    books = Books()
    for name in ("a", "b"):
        books.begin(name, valid_until=10, due_s=0.0, at_s=0.0)
        books.accepted(name)
    books.block(3, ["a"], at_s=1.0)

    lost = books.tally(paid=1, took_s=1.0)

    assert loading.problem_of(lost).startswith("lost 1 of 2 accepted transactions: neither final")
    assert loading.problem_of(replace(lost, lost=0)) == ""
