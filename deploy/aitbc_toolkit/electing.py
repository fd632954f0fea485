"""Would blocks still be made once a validator has come or gone? Judged by who votes now.

The ledger lets less than a third of the power change in an epoch: that is enough only while all
the others vote. Here those that do not vote count as well, and what would stop the mesh is refused
with the sum. Do not hand anything in here.
"""

import time

from aitbc_node.ledger.staking import POWER_UNIT
from aitbc_node.rpc import schema
from aitbc_node.rpc.electorate import Members
from aitbc_toolkit.asking import MeshClient
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.overview import VOTE_LAG_MAX

VOTERS_MIN = 4
"""Of fewer validators none may fail."""

LOOK_S = 5.0
"""A node may be held up for a moment: who does not vote is looked for again until then."""

ALL = -(2**63)
"""More than any bond: the vote is gone as a whole."""

_PAUSE_S = 0.5
_BLOCKS = 10


def keep_enough(mesh: MeshClient, address: str) -> None:
    """Refuse that an operator goes where fewer validators stay than bear a fault.

    Raises: AitbcError with how many that would be.
    """
    rows = mesh.ask_any(lambda node: node.members()).validators
    stay = [row for row in rows if row.next_power and row.address != address]
    if len(stay) < VOTERS_MIN:
        raise AitbcError(
            f"{len(stay)} validators would stay: no failure of one is survived below four",
            hint="aitbc ... --force",
            exit_status=Exit.REFUSED,
        )


def keep_quorum(
    mesh: MeshClient, address: str, *, bond: int, key: str = "", rotates: bool = False
) -> None:
    """Refuse that an operator's bond changes by so much where those who vote were too few then.

    Who loses power counts as having lost it at once, who gains as the next epoch lets in; `key` is
    a newcomer's, or with `rotates` the operator's next, which votes if a node at the tip has it.
    Raises: AitbcError with the sum.
    """
    until = time.monotonic() + LOOK_S
    while refusal := _refusal(mesh, address, bond, key, rotates=rotates):
        if time.monotonic() >= until:
            raise refusal
        time.sleep(_PAUSE_S)


def admits_anybody(mesh: MeshClient) -> bool:
    """Tell whether a bond alone gives a vote here, or the others are asked first."""
    return bool(mesh.ask_any(lambda node: node.parameters()).params["validators_open"].value)


def _refusal(
    mesh: MeshClient, address: str, bond: int, key: str, *, rotates: bool
) -> AitbcError | None:
    told = mesh.ask_any(lambda node: node.members())
    powers = {row.address: row.next_power for row in told.validators}
    powers[address] = _next_power(told, address, bond)
    keys = {row.address: {row.key, row.next_key or row.key} for row in told.validators}
    if rotates or address not in keys:
        keys[address] = {key}
    voting = _voting_keys(mesh, told)
    total = sum(powers.values())
    live = sum(power for each, power in powers.items() if keys[each] & voting)
    if 3 * live > 2 * total:
        return None
    mute = [each for each, power in powers.items() if power and not keys[each] & voting]
    return AitbcError(
        f"too little power would vote: 3*{live} = {3 * live} <= 2*{total} = {2 * total}\n"
        f"  does not vote    {' '.join(mute) or 'nobody'}\n"
        "  handed in        nothing",
        hint="aitbc network status\naitbc ... --force",
        exit_status=Exit.REFUSED,
    )


def _next_power(told: Members, address: str, bond: int) -> int:
    """Give an operator's power behind a change of its bond: all of a loss, a third of a gain."""
    row = next((row for row in told.validators if row.address == address), None)
    now = row.next_power if row else 0
    aim = (int(row.bonded if row else 0) + bond) // POWER_UNIT
    room = max(1, (told.total_power - 1) // 3)
    return min(now, max(0, aim)) if bond < 0 else min(max(now, aim), now + room)


def _voting_keys(mesh: MeshClient, told: Members) -> set[str]:
    """Find the keys that vote, or would: by the nodes' words; of others, by the newest blocks."""
    statuses = mesh.ask_all(lambda node: node.status())
    up = [each for each in statuses.values() if isinstance(each, schema.Status)]
    least = max((each.height for each in up), default=0) - VOTE_LAG_MAX
    ours = {
        each.validator or ""
        for each in up
        if not each.stale
        and each.height >= least
        and (each.last_voted_height >= least or not each.power)
    }
    if len(up) < len(statuses):
        return ours - {""}  # any other key may be that of a silent node
    known = {each.validator for each in up}
    first = max(1, told.height - _BLOCKS + 1)
    blocks = mesh.ask_any(lambda node: node.blocks(first, _BLOCKS))
    signers = {key for block in blocks for key in block.certificate.signers}
    return (ours | (signers - known)) - {""}
