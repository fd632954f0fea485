"""More validators on the operator's own machine, and on no other."""

from pathlib import Path

import pytest

from aitbc_toolkit import widening
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.release import meshing


def test_the_number_that_was_asked_for_holds_for_every_later_command(tmp_path: Path) -> None:
    """Names and ports go on behind the last one; no port is given twice."""
    widening.remember(tmp_path / "envs" / "dev", 8)

    found = Inventory.load("dev", state=tmp_path)

    assert [each.name for each in found.validators] == [f"v{n}" for n in range(1, 9)]
    ports = [port for each in found.instances for port in (each.p2p_port, each.rpc_port)]
    assert len(set(ports)) == 16
    assert (found.instances[7].p2p_port, found.instances[7].admin_port) == (8607, 8767)


def test_an_environment_of_others_is_never_widened(tmp_path: Path) -> None:
    """Staging has what its file says."""
    widening.remember(tmp_path / "envs" / "staging", 8)

    assert len(Inventory.load("staging", state=tmp_path).validators) == 4


def test_a_chain_keeps_the_validators_that_it_was_founded_with(tmp_path: Path) -> None:
    """Fewer than the file has, or others than the genesis has, are refused with nothing changed."""
    environment = Inventory.load("dev", state=tmp_path)

    with pytest.raises(AitbcError, match="not with 3 validators, it has 4") as refused:
        meshing._widen(environment, 3)

    assert refused.value.exit_status is Exit.REFUSED
    assert widening.read(environment.folder) == 0
    assert len(meshing._widen(environment, 5).validators) == 5
