"""The mempool: bounds, order, and who leaves when."""

from aitbc_node.codes import Code
from aitbc_node.mempool import Entry, Mempool, PoolLimits
from aitbc_node.types import Address, Height, TxId

ALICE, BOB, CAROL = (Address(letter * 20) for letter in (b"a", b"b", b"c"))


def an_entry(
    sender: Address = ALICE,
    *,
    nonce: int = 0,
    price: int = 10,
    valid_until: int = 100,
    size: int = 100,
    salt: bytes = b"",
) -> Entry[str]:
    """Build a waiting transaction with an id of its own."""
    tx_id = TxId((sender[:1] + bytes([nonce]) + salt).ljust(32, b"\0"))
    return Entry(tx_id, sender, nonce, Height(valid_until), price, size, 0, f"{sender!r}/{nonce}")


def a_pool(*entries: Entry[str], **bounds: int) -> Mempool[str]:
    """Build a pool that holds these already."""
    pool: Mempool[str] = Mempool(PoolLimits(**bounds))
    for entry in entries:
        assert pool.add(entry, next_nonce=0) is None
    return pool


def refused(pool: Mempool[str], entry: Entry[str], next_nonce: int = 0) -> Code:
    """Return the code with which the pool refuses an entry."""
    refusal = pool.add(entry, next_nonce=next_nonce)
    assert refusal is not None
    return refusal.code


def chosen(pool: Mempool[str]) -> list[str]:
    """Name what a block would get, in order, as account and nonce."""
    picked = pool.ranked(lambda _: 0)
    return [f"{entry.sender[:1].decode()}{entry.nonce}" for entry in picked]


def test_price_order_respects_nonces() -> None:
    """The best price goes first, but never before an earlier nonce of its own account."""
    pool = a_pool(
        an_entry(ALICE, nonce=0, price=1),
        an_entry(ALICE, nonce=1, price=99),
        an_entry(BOB, nonce=0, price=50),
        an_entry(CAROL, nonce=0, price=20),
    )

    assert chosen(pool) == ["b0", "c0", "a0", "a1"]


def test_equal_prices_go_in_order_of_arrival() -> None:
    """Two runs choose alike because arrival breaks the tie, not an id or an address."""
    pool = a_pool(an_entry(CAROL), an_entry(ALICE), an_entry(BOB))

    assert chosen(pool) == ["c0", "a0", "b0"]


def test_a_gap_holds_back_what_is_behind_it() -> None:
    """A transaction whose predecessor is missing waits, and goes once the gap is filled."""
    pool = a_pool(an_entry(nonce=1), an_entry(nonce=2))
    before = chosen(pool)

    pool.add(an_entry(nonce=0), next_nonce=0)

    assert before == []
    assert chosen(pool) == ["a0", "a1", "a2"]
    assert pool.pending_nonce(ALICE, next_nonce=0) == 3


def test_one_account_cannot_fill_the_pool() -> None:
    """The 65th transaction of an account is refused by code; another account still gets in."""
    pool = a_pool(*(an_entry(nonce=nonce) for nonce in range(64)))

    assert refused(pool, an_entry(nonce=64)) is Code.E_QUEUE_FULL
    assert pool.add(an_entry(BOB), next_nonce=0) is None


def test_a_full_pool_refuses_even_a_better_payer() -> None:
    """What was taken is not pushed out: a client was promised a block or an expiry."""
    pool = a_pool(an_entry(ALICE), an_entry(BOB), txs_max=2)

    assert refused(pool, an_entry(CAROL, price=10**9)) is Code.E_POOL_FULL
    assert len(pool) == 2


def test_the_pool_is_bounded_in_bytes() -> None:
    """Few but large transactions meet a bound too."""
    pool = a_pool(an_entry(ALICE, size=600), bytes_max=1_000)

    assert refused(pool, an_entry(BOB, size=500)) is Code.E_POOL_FULL
    assert pool.add(an_entry(BOB, size=400), next_nonce=0) is None
    assert pool.bytes_total == 1_000


def test_what_waits_behind_gaps_fills_half_the_pool_at_most() -> None:
    """Transactions that may never pay cannot keep payers out."""
    pool = a_pool(an_entry(ALICE, nonce=5), an_entry(ALICE, nonce=6), txs_max=4)

    assert refused(pool, an_entry(ALICE, nonce=7)) is Code.E_POOL_FULL
    assert pool.add(an_entry(BOB, nonce=0), next_nonce=0) is None


def test_a_second_transaction_with_the_same_nonce_is_refused() -> None:
    """The first one stays, so no client is told two different things about a nonce."""
    pool = a_pool(an_entry(nonce=0))

    assert refused(pool, an_entry(nonce=0)) is Code.E_DUPLICATE
    assert refused(pool, an_entry(nonce=0, salt=b"other", price=999)) is Code.E_NONCE


def test_a_transaction_past_its_height_leaves_as_expired() -> None:
    """It stays while a block of its last height is still to come, and is gone after that."""
    pool = a_pool(an_entry(ALICE, valid_until=7), an_entry(BOB, valid_until=8))

    def nonce_of(_: Address) -> int:
        return 0

    still = pool.advance(included=(), next_height=Height(7), nonce_of=nonce_of)
    expired = pool.advance(included=(), next_height=Height(8), nonce_of=nonce_of)

    assert still == ()
    assert expired == (an_entry(ALICE).id,)
    assert chosen(pool) == ["b0"]


def test_every_expiry_is_found_at_its_height_whatever_came_in_between() -> None:
    """Nobody looks through the pool while nothing can have expired; nothing is missed by that."""
    pool = a_pool(an_entry(ALICE, valid_until=12), an_entry(BOB, valid_until=9))
    pool.park([an_entry(BOB).id])
    late: dict[int, tuple[bytes, ...]] = {}

    for height in range(5, 15):
        if height == 7:
            pool.add(an_entry(ALICE, nonce=1, valid_until=8), next_nonce=0)
        gone = pool.advance(included=(), next_height=Height(height), nonce_of=lambda _sender: 0)
        if gone:
            late[height] = gone

    assert late == {
        9: (an_entry(ALICE, nonce=1).id,),
        10: (an_entry(BOB).id,),
        13: (an_entry(ALICE).id,),
    }


def test_a_block_removes_what_it_holds_and_what_it_made_stale() -> None:
    """A transaction whose nonce another one used can never be final, and is reported."""
    pool = a_pool(an_entry(ALICE, nonce=0), an_entry(ALICE, nonce=1), an_entry(BOB, nonce=0))
    rival = TxId(b"the same nonce, another node".ljust(32, b"."))

    dead = pool.advance(
        included=[(rival, ALICE), (an_entry(BOB).id, BOB)],
        next_height=Height(2),
        nonce_of=lambda sender: 1 if sender in (ALICE, BOB) else 0,
    )

    assert dead == (an_entry(ALICE, nonce=0).id,)
    assert len(pool) == 1
    assert an_entry(ALICE, nonce=1).id in pool
    assert pool.bytes_total == 100


def test_removing_the_unknown_changes_nothing() -> None:
    """A block may hold what this node never saw."""
    waiting = an_entry(ALICE)
    pool = a_pool(waiting)

    assert pool.remove(an_entry(BOB).id) is None

    assert len(pool) == 1
    assert pool.get(waiting.id) is waiting


def after_block(*order: Entry[str]) -> int:
    """Let these arrive as alice, bob, carol; return how many a block in this order overtook."""
    pool = a_pool(*sorted(order, key=lambda entry: entry.sender))
    included = [(entry.id, entry.sender) for entry in order]
    pool.advance(included=included, next_height=Height(2), nonce_of=lambda _: 1)
    assert len(pool) == 0
    return pool.reordered


def test_what_a_block_puts_behind_a_later_one_is_counted() -> None:
    """Unless the later one pays more, or one account's own nonces ask for it."""
    a, b, c = (an_entry(sender) for sender in (ALICE, BOB, CAROL))

    assert after_block(a, b, c) == 0
    assert after_block(a, c, b) == 1
    assert after_block(c, b, a) == 2
    assert after_block(an_entry(BOB, price=9), an_entry(ALICE, price=1)) == 0
    assert after_block(an_entry(BOB, price=1), an_entry(ALICE, price=9)) == 1


def test_an_accounts_own_order_overtakes_nobody() -> None:
    """A first nonce that arrives behind the second goes in front of it by rule."""
    second, first = an_entry(nonce=1), an_entry(nonce=0)
    pool = a_pool(second, first)
    included = [(entry.id, entry.sender) for entry in (first, second)]

    pool.advance(included=included, next_height=Height(2), nonce_of=lambda _: 2)

    assert pool.reordered == 0


def test_what_never_waited_here_is_not_judged() -> None:
    """Nobody here knows when it was handed in."""
    pool = a_pool(an_entry(ALICE))
    strangers = [(an_entry(sender).id, sender) for sender in (CAROL, BOB, ALICE)]

    pool.advance(included=strangers, next_height=Height(2), nonce_of=lambda _: 1)

    assert pool.reordered == 0
