"""Whose accounts a swarm acts for follows from its seed; who has no key signs nothing."""

import pytest
from msgspec import convert

from aitbc_load.identities import ViewOnly, ViewOnlyError, identities, identity
from aitbc_load.orders import Terms
from aitbc_load.signing import Opening, signed, transfers
from aitbc_node import bech32
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Amount
from aitbc_toolkit.suites.live import a_seed

TERMS = convert(
    {
        "chain_id": "aitbc-fake-1",
        "hrp": "ax",
        "height": 0,
        "ttl_blocks": 1_000,
        "interval_ms": 200,
        "gas_price_max": 1_000,
    },
    Terms,
)
OWN = identity(7, 0, 0)
TO_ITSELF = Transfer((Output(OWN.account, NATIVE, Amount(1)),), "")


@pytest.mark.proves("B3")
def test_a_seed_makes_the_same_thousand_accounts_again() -> None:
    """Made twice they have the same addresses, no two the same."""
    first = [each.address("ax") for each in identities(7, 0, 1_000)]
    again = [each.address("ax") for each in identities(7, 0, 1_000)]

    assert first == again
    assert len(set(first)) == 1_000


def test_the_accounts_of_a_seed_are_those_of_every_build() -> None:
    """A run is repeated by its seed long after; other ones would be no repetition."""
    assert OWN.address("ax") == "ax13lmd28u2krxxuy9lmmcls54uml2qxpq8ce6z8c"


@pytest.mark.parametrize(
    ("seed", "worker", "role", "turn"),
    [(8, 0, "", 0), (7, 1, "", 0), (7, 0, "user", 0), (7, 0, "", 1)],
)
def test_no_two_swarms_share_an_account(seed: int, worker: int, role: str, turn: int) -> None:
    """Another seed, worker, role or turn has none of them."""
    one = {each.account for each in identities(7, 0, 100)}

    other = {each.account for each in identities(seed, worker, 100, role=role, turn=turn)}

    assert not one & other


@pytest.mark.proves("B3")
def test_who_gives_no_seed_gets_accounts_that_nobody_had() -> None:
    """The seed is drawn then, and told: with it they are made again."""
    one, other = a_seed(), a_seed()

    assert not {row.account for row in identities(one, 0, 10)} & {
        row.account for row in identities(other, 0, 10)
    }
    assert identities(one, 0, 10)[3].account == identity(one, 0, 3).account


@pytest.mark.proves("B3")
def test_a_key_has_one_address_on_each_network() -> None:
    """The account is the same; its address on one network is none on the other."""
    texts = {hrp: OWN.address(hrp) for hrp in ("ax", "dx")}

    for hrp, text in texts.items():
        assert text.startswith(f"{hrp}1")
        assert bech32.parse_address(text, hrp=hrp) == OWN.account
    with pytest.raises(ValueError, match="an address of network 'ax', here it is 'dx'"):
        bech32.parse_address(texts["ax"], hrp="dx")


@pytest.mark.proves("B3")
def test_who_may_only_look_signs_nothing() -> None:
    """It has the same address on every network, and the account is named when it is to sign."""
    watched = ViewOnly.at(OWN.address("ax"), hrp="ax")

    assert watched == OWN.view_only()
    assert watched.address("dx") == OWN.address("dx")
    with pytest.raises(ViewOnlyError, match=f"{OWN.account.hex()} can only be looked at"):
        signed(watched, TERMS, TO_ITSELF, nonce=0)
    with pytest.raises(ViewOnlyError):
        list(
            transfers(
                [watched], [Opening(0, is_new=True)], TERMS, payee=OWN.account, owners=[(0, 0)]
            )
        )


def test_an_address_of_another_network_is_not_looked_at() -> None:
    """A slip of the pen is told, and no account is made of it."""
    with pytest.raises(ValueError, match="an address of network 'ax'"):
        ViewOnly.at(OWN.address("ax"), hrp="dx")
