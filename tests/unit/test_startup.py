"""What a build finds out about its data before its first event."""

import pytest
from msgspec.structs import replace

from aitbc_node.blocks import FinalBlock, block_id
from aitbc_node.errors import ConfigError, Exit
from aitbc_node.events import AppendBlock, AppendCertificate
from aitbc_node.gossip.book import Book
from aitbc_node.ledger.upgrades import APP_VERSION
from aitbc_node.process import admission, kept
from aitbc_node.startup import check_app_version
from aitbc_node.storage.memory import MemoryDisk
from aitbc_node.storage.store import Store
from aitbc_node.types import Height, PeerId
from aitbc_sim.pump import Pump


def a_store(app_version: int) -> Store:
    """Build a log whose newest block carries this application version."""
    pump = Pump(powers=(1,)).start()
    pump.run_to(2)
    source = pump.nodes[0].store
    assert source is not None
    store = Store(MemoryDisk(), None)
    store.recover()
    for height in (1, 2):
        final = source.block(Height(height))
        assert final is not None
        append(store, final, app_version if height > 1 else APP_VERSION)
    return store


def append(store: Store, final: FinalBlock, app_version: int) -> None:
    """Log a block as if the chain had been in this version."""
    header = replace(final.block.header, app_version=app_version)
    name = block_id(header)
    store.run(AppendBlock(name, replace(final.block, header=header)))
    store.run(AppendCertificate(replace(final.certificate, block_id=name)))


def test_an_older_build_does_not_start_on_an_upgraded_chain() -> None:
    """Status 78 and both versions, before a block is executed by rules that are not its own."""
    with pytest.raises(ConfigError) as caught:
        check_app_version(a_store(APP_VERSION + 1))

    assert caught.value.exit_status == Exit.CONFIG
    assert f"version {APP_VERSION + 1}, this build knows {APP_VERSION}" in caught.value.message


def test_who_is_in_the_place_of_a_listed_node_is_admitted_as_it_was() -> None:
    """Even where the operator wrote no address of it; in an open mesh everybody is."""
    listed, heir, stranger = (PeerId(letter * 20) for letter in (b"l", b"h", b"s"))
    book = Book(PeerId(b"m" * 20), (), draw=lambda peer, _: bytes(peer))
    admits = admission(frozenset({listed}), book, is_open=False)
    assert [admits(each) for each in (listed, heir, stranger)] == [True, False, False]

    book.strike(listed)
    book.hand_on({listed: heir})

    assert [admits(each) for each in (heir, stranger)] == [True, False]
    assert kept(frozenset({listed}), book) == {heir}
    assert admission(frozenset(), book, is_open=True)(stranger)


def test_the_present_version_and_an_empty_log_are_fine() -> None:
    """A new node has nothing to be too old for."""
    empty = Store(MemoryDisk(), None)
    empty.recover()

    check_app_version(empty)
    check_app_version(a_store(APP_VERSION))
