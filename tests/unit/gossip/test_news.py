"""News: who is told of a block at once, who by and by, and nobody twice."""

from aitbc_node.gossip.news import NEWS_MS, News
from aitbc_node.types import Height, PeerId

FOLLOWER, VOTER = PeerId(b"f" * 20), PeerId(b"v" * 20)


def some_news() -> News:
    """Return the view of a node at height 5 that greeted both, of whom one sees votes itself."""
    news = News()
    for peer in (FOLLOWER, VOTER):
        news.greeted(peer, Height(5))
        news.claimed(peer, Height(4))
    news.claimed(VOTER, Height(5))
    return news


def test_who_keeps_up_by_itself_hears_of_many_blocks_in_one_message() -> None:
    """The other one has nobody else to hear of a block from, so it is told of each at once."""
    news = some_news()

    at_once = [news.at_once(Height(height)) for height in (6, 7, 8)]
    early, later = news.by_and_by(NEWS_MS - 1), news.by_and_by(NEWS_MS)

    assert at_once == [(FOLLOWER,)] * 3
    assert (early, later, news.newest) == ((), (VOTER,), 8)


def test_nobody_is_told_of_the_same_block_twice() -> None:
    """A chain that stands still is no news."""
    news = some_news()
    news.at_once(Height(6))

    told = [news.by_and_by(now_ms) for now_ms in range(0, 10 * NEWS_MS, NEWS_MS // 2)]

    assert [peers for peers in told if peers] == [(VOTER,)]


def test_who_asks_for_blocks_lives_on_them_until_it_has_others() -> None:
    """It says by itself that it has what it was given; one more it must have from elsewhere."""
    news = some_news()
    news.asked(VOTER, Height(8))
    news.claimed(VOTER, Height(8))
    while_asking = news.at_once(Height(9))
    news.claimed(VOTER, Height(9))

    assert while_asking == (FOLLOWER, VOTER)
    assert news.at_once(Height(10)) == (FOLLOWER,)


def test_a_new_link_begins_anew() -> None:
    """Who comes back is told at once until it shows that it needs not be."""
    news = some_news()
    news.forget(VOTER)
    news.claimed(VOTER, Height(9))
    news.asked(VOTER, Height(9))
    gone = news.at_once(Height(6))
    news.greeted(VOTER, Height(6))

    assert gone == (FOLLOWER,)
    assert news.by_and_by(NEWS_MS) == ()
    assert news.at_once(Height(7)) == (FOLLOWER, VOTER)
