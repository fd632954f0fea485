"""A bot's own books: what is promised is not available, and no more is spent than is there."""

import pytest

from aitbc_load.wallet import ShortError, Wallet


def test_more_than_there_is_changes_nothing() -> None:
    """1,001 of 1,000 is an error, and the books are as they were."""
    wallet = Wallet(1_000, 7)

    with pytest.raises(ShortError, match="1,001 wanted"):
        wallet.promise("a", 1_001)

    assert (wallet.owned, wallet.available, wallet.nonce) == (1_000, 1_000, 7)


def test_a_promise_is_kept_back_until_it_is_settled() -> None:
    """What is under way is not available at once; what it did not take is afterwards."""
    wallet = Wallet(1_000, 7)

    wallet.promise("a", 600)
    with pytest.raises(ShortError):
        wallet.promise("b", 401)
    assert (wallet.owned, wallet.available, wallet.nonce) == (1_000, 400, 8)
    assert not wallet.is_settled

    wallet.settle("a", 150)
    assert (wallet.owned, wallet.available, wallet.is_settled) == (850, 850, True)


def test_what_nobody_took_is_as_if_it_had_never_been() -> None:
    """Money and nonce are free again."""
    wallet = Wallet(1_000, 7)
    wallet.promise("a", 600)

    wallet.take_back("a")

    assert (wallet.available, wallet.nonce, wallet.is_settled) == (1_000, 7, True)
