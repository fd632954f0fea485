"""Parameters: one table with default, unit and bounds of each."""

import msgspec
import pytest

from aitbc_node.ledger.params import PARAMETERS, Params, faults


def test_the_defaults_are_within_their_own_bounds() -> None:
    """A genesis with no parameter of its own is sound."""
    assert list(faults(Params())) == []


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: parameter.name)
def test_each_parameter_has_a_unit_a_meaning_and_bounds(parameter: object) -> None:
    """The table says enough to be printed as documentation, and its bounds are enforced."""
    assert parameter.unit
    assert parameter.meaning
    for value in (parameter.low - 1, parameter.high + 1):
        changed = msgspec.structs.replace(Params(), **{parameter.name: value})
        assert parameter.name in [fault.field for fault in faults(changed)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"fee_burn_bps": 1_999}, "fee_burn_bps"),
        ({"gas_base_price": 999}, "gas_base_price"),
        ({"gas_low_bps": 8_001}, "gas_low_bps"),
        ({"gas_step_num": 10}, "gas_step_num"),
        ({"evidence_max_age_blocks": 1_200}, "evidence_max_age_blocks"),
        ({"epoch_blocks": 200}, "unbonding_blocks"),
    ],
)
def test_parameters_must_fit_together(changes: dict[str, int], field: str) -> None:
    """Shares sum to the whole, the price starts between its bounds, and steps go upwards."""
    changed = msgspec.structs.replace(Params(), **changes)

    assert [fault.field for fault in faults(changed)] == [field]


def test_any_change_changes_the_digest() -> None:
    """A header's params_hash tells two sets of parameters apart."""
    digests = {Params().digest()}
    for parameter in PARAMETERS:
        changed = {parameter.name: parameter.default + 1}
        digests.add(msgspec.structs.replace(Params(), **changed).digest())

    assert len(digests) == 1 + len(PARAMETERS)
