"""`aitbc env`: what an environment is, and which one commands mean when none is named."""

import json
from pathlib import Path

import pytest
from checkout_copy import Checkout, copy_checkout

from aitbc_toolkit.errors import Exit


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Copy the checkout once; tests of the choice set it first."""
    return copy_checkout(tmp_path_factory.mktemp("checkout") / "aitbc")


def chosen(checkout: Checkout) -> str:
    """Read what `env switch` has written."""
    path = checkout.root / ".aitbc" / "env"
    return path.read_text().strip() if path.is_file() else ""


def test_power_is_shown_per_host_and_domain(checkout: Checkout) -> None:
    """Staging's two places hold half the power each, and the warning says what that means."""
    ran = checkout.aitbc("env", "show", "staging")
    document = json.loads(checkout.aitbc("env", "show", "staging", "--json").stdout)

    assert "office             2 of 4 (localhost 2)" in ran.stdout
    assert "warning: failure domain aitbc1 holds 2 of 4 power, a third or more" in ran.stderr
    assert document["power"] == {
        "total": 4,
        "hosts": {"localhost": 2, "aitbc1": 2},
        "domains": {"office": 2, "aitbc1": 2},
    }
    assert len(document["warnings"]) == 3
    assert checkout.aitbc("env", "show", "production").stderr == ""


@pytest.mark.proves("E54")
def test_switch_writes_the_one_name_and_the_next_command_means_it(checkout: Checkout) -> None:
    """An alias is written as what it stands for; AITBC_ENV and an argument still win."""
    ran = checkout.aitbc("env", "switch", "development")

    assert ran.returncode == Exit.OK, ran.stderr
    assert chosen(checkout) == "dev"
    assert checkout.aitbc("env", "switch", "staging").returncode == Exit.OK
    assert checkout.aitbc("env", "show").stdout.startswith("staging: ")
    by_variable = checkout.aitbc("env", "show", env={"AITBC_ENV": "lab"})
    assert by_variable.stdout.startswith("lab: ")
    by_argument = checkout.aitbc("env", "show", "dev", env={"AITBC_ENV": "lab"})
    assert by_argument.stdout.startswith("dev: ")
    warned = checkout.aitbc("env", "switch", "dev", env={"AITBC_ENV": "lab"})
    assert "AITBC_ENV=lab is set and wins" in warned.stderr


@pytest.mark.proves("E54")
def test_production_is_chosen_only_when_it_is_meant(checkout: Checkout) -> None:
    """Without a terminal there is nobody to ask: refused, and the choice stays."""
    checkout.aitbc("env", "switch", "dev")

    refused = checkout.aitbc("env", "switch", "prod")

    assert refused.returncode == Exit.USAGE
    assert "hint: repeat the command with --yes" in refused.stderr
    assert chosen(checkout) == "dev"
    assert checkout.aitbc("env", "switch", "prod", "--yes").returncode == Exit.OK
    assert chosen(checkout) == "production"


def test_an_unknown_environment_is_not_chosen(checkout: Checkout) -> None:
    """A typo is refused with the nearest name."""
    before = chosen(checkout)

    refused = checkout.aitbc("env", "switch", "stagin")

    assert refused.returncode == Exit.USAGE
    assert "the nearest is staging" in refused.stderr
    assert chosen(checkout) == before


def test_a_copy_that_would_share_is_shown(tmp_path: Path) -> None:
    """`env show` names what two environments would both use, before anybody deploys."""
    checkout = copy_checkout(tmp_path / "aitbc")
    beta = checkout.inventory("beta")
    beta.parent.mkdir()
    beta.write_text(checkout.inventory("staging").read_text())

    ran = checkout.aitbc("env", "show", "beta")

    assert "warning: v3 and v3 of staging share the key folder /var/lib/aitbc-keys/v3" in ran.stderr
