"""Links lead from known voters to a later block, however often the set has changed in between."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from aitbc_node import limits
from aitbc_node.blocks import NO_BLOCK, PRECOMMIT, Certificate, CommitVote, Header, vote_sign_bytes
from aitbc_node.blocks import block_id as block_id_of
from aitbc_node.crypto import SigningKey, sha256, verify
from aitbc_node.examples import values
from aitbc_node.lineage import (
    Contents,
    Known,
    Link,
    Offer,
    behind,
    fault_of_form,
    fault_of_links,
    grown,
    joined,
    joins,
)
from aitbc_node.types import Address, Hash, Height, Power, Round
from aitbc_node.validators import Validator, ValidatorSet, validator_set

CHAIN_ID = "aitbc-links"
KEYS = [SigningKey(bytes([seed]) * 32) for seed in range(1, 9)]


def a_set(first: int) -> ValidatorSet:
    """Build four voters; neighbours share three of them."""
    chosen = KEYS[first : first + 4]
    return validator_set(
        [Validator(Address(key.public_key[:20]), key.public_key, Power(1)) for key in chosen]
    )


def a_link(height: int, before: int, after: int, *, signers: int = 3) -> Link:
    """Let voters make a block final that names those of the next."""
    example = dict(values())["header"]
    assert isinstance(example, Header)
    voters = a_set(before)
    header = replace(
        example,
        chain_id=CHAIN_ID,
        height=Height(height),
        validators_hash=voters.digest(),
        next_validators_hash=a_set(after).digest(),
    )
    name = block_id_of(header)
    message = vote_sign_bytes(
        CHAIN_ID, PRECOMMIT, height=header.height, round_=Round(0), block_id=name, time_ms=5
    )
    by_key = {key.public_key: key for key in KEYS}
    votes = tuple(
        CommitVote(place, 5, by_key[member.key].sign(message))
        for place, member in enumerate(voters.members[:signers])
    )
    return Link(header, Certificate(header.height, Round(0), name, votes), voters)


GENESIS = Known(Height(0), a_set(0).digest())
LINKS = (a_link(10, 0, 1), a_link(20, 1, 2), a_link(30, 2, 3), a_link(34, 3, 3))


def fault(links: tuple[Link, ...], known: Known = GENESIS) -> str:
    """Judge links as a node does."""
    return fault_of_links(links, known, chain_id=CHAIN_ID, verify=verify)


def test_links_lead_from_the_genesis_to_a_block() -> None:
    """The set has changed three times, and none of the last voters was there at first."""
    assert fault(LINKS) == ""
    assert joins(LINKS, GENESIS)


def test_belief_may_begin_later() -> None:
    """Links at or below what is known already are not looked at."""
    known = Known(Height(20), a_set(2).digest())
    left = behind(LINKS, known)

    assert left == LINKS[2:]
    assert joins(left, known)
    assert fault(left, known) == ""


def with_header(link: Link, **fields: object) -> Link:
    """Change a header, and let the certificate name the new block without new signatures."""
    header = replace(link.header, **fields)
    certificate = replace(link.certificate, block_id=block_id_of(header))
    return replace(link, header=header, certificate=certificate)


LIES: dict[str, Callable[[], tuple[Link, ...]]] = {
    "a link is missing": lambda: (LINKS[0], *LINKS[2:]),
    "out of order": lambda: (LINKS[1], LINKS[0], *LINKS[2:]),
    "the same link twice": lambda: (LINKS[0], *LINKS),
    "too few signed": lambda: (a_link(10, 0, 1, signers=2), *LINKS[1:]),
    "nobody signed": lambda: (*LINKS[:3], a_link(34, 3, 3, signers=0)),
    "voters of one's own": lambda: (*LINKS[:3], replace(LINKS[3], voters=a_set(4))),
    "a set of one's own": lambda: (*LINKS[:3], a_link(34, 4, 4)),
    "another root": lambda: (*LINKS[:3], with_header(LINKS[3], state_root=Hash(bytes(32)))),
    "another successor": lambda: (with_header(LINKS[0], next_validators_hash=a_set(4).digest()),),
    "another chain": lambda: (with_header(LINKS[0], chain_id="aitbc-other"),),
    "a certificate of another block": lambda: (
        replace(LINKS[0], certificate=LINKS[1].certificate),
    ),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_forged_link_is_told(lie: Callable[[], tuple[Link, ...]]) -> None:
    """Whatever does not follow from what came before it, signed by those named there."""
    assert fault(lie())


def test_links_that_begin_elsewhere_are_of_no_use() -> None:
    """They may be true; from here nobody can tell."""
    assert not joins(LINKS[1:], GENESIS)
    assert not joins((), GENESIS)


def test_only_changes_are_remembered_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go first; who knows nothing newer fetches blocks then."""
    monkeypatch.setattr("aitbc_node.lineage.LINKS_MAX", 2)

    kept: tuple[Link, ...] = ()
    for link in LINKS:
        kept = grown(kept, link)

    assert kept == LINKS[1:3], "the last one changes nothing"
    assert joined(LINKS[:1], kept) == kept


def an_offer(size: int = 5, count: int = 1) -> Offer:
    """Offer a state of the last link's block."""
    last = LINKS[-1]
    names = (sha256(b"piece"),) * count
    contents = Contents(Hash(bytes(32)), last.height, last.certificate.block_id, size, names)
    return Offer(contents, LINKS)


def test_an_offer_is_bounded_and_of_one_piece() -> None:
    """As many pieces as its size needs, at least one, and no more than anybody keeps."""
    good = an_offer()
    assert fault_of_form(good) == ""
    assert fault_of_form(an_offer(limits.PIECE_BYTES, 1)) == ""
    assert fault_of_form(an_offer(limits.PIECE_BYTES + 1, 2)) == ""

    for size, count in ((0, 0), (5, 2), (limits.PIECE_BYTES + 1, 1), (-5, 1)):
        assert fault_of_form(an_offer(size, count)), (size, count)
    too_many = limits.PIECES_MAX + 1
    assert fault_of_form(an_offer(too_many * limits.PIECE_BYTES, too_many))
    assert fault_of_form(replace(good, links=()))
    assert fault_of_form(replace(good, links=LINKS * limits.LINKS_MAX))
    other = replace(good.contents, block_id=NO_BLOCK)
    assert fault_of_form(replace(good, contents=other))
