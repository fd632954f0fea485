"""How are validators, stakes, rewards and proposals shown to people?

Do not ask nodes here.
"""

from collections.abc import Iterator, Mapping, Sequence

from aitbc_node.rpc import electorate
from aitbc_toolkit.cli import tables
from aitbc_toolkit.cli.fates import line, native
from aitbc_toolkit.cli.tables import Column
from aitbc_toolkit.deciding import Decision

_LABEL = 13

_MEMBER_COLUMNS = (
    Column("NODE", spare=1),
    Column("OPERATOR"),
    Column("STATUS"),
    Column("POWER", right=True),
    Column("NEXT", right=True),
    Column("BONDED", spare=3, right=True),
    Column("MISSED", spare=4, right=True),
    Column("FEE", spare=5, right=True),
    Column("REGION", spare=6),
)
_PROPOSAL_COLUMNS = (
    Column("ID"),
    Column("ASKS"),
    Column("YES", right=True),
    Column("NO", right=True),
    Column("NEEDED", right=True),
    Column("UNTIL", spare=1, right=True),
)
_STAKE_COLUMNS = (
    Column("VALIDATOR"),
    Column("BONDED", right=True),
    Column("EARNED", right=True),
    Column("STATUS", spare=1),
)
_LEAVING_COLUMNS = (Column("FROM"), Column("AMOUNT", right=True), Column("COMES", right=True))


def member_table(told: electorate.Members, names: Mapping[str, str]) -> Iterator[str]:
    """Draw who votes and who may be chosen; `names` are the nodes' by consensus key."""
    rows = [
        (
            names.get(row.key, "-"),
            row.address,
            row.status if row.seat != "removed" else f"{row.status}, removed",
            str(row.power),
            _changed(row),
            native(row.bonded),
            f"{row.missed} of {row.expected}",
            _percent(row.commission_bps),
            row.region,
        )
        for row in told.validators
    ]
    yield from tables.draw(_MEMBER_COLUMNS, rows)
    yield ""
    yield (
        f"Power {told.total_power:,} at height {told.height:,}; {told.next_total_power:,} from"
        f" height {told.next_epoch:,} on, if nothing else happens."
    )


def member_lines(told: electorate.MemberView) -> Iterator[str]:
    """Write one operator, a line a fact."""
    rows = {
        "operator": told.address,
        "status": told.status + (f", {told.seat}" if told.seat else ""),
        "key": told.key,
        "next key": told.next_key or "",
        "power": f"{told.power}, next epoch {told.next_power}",
        "bonded": f"{native(told.bonded)}, {native(told.own_bond)} of it its own",
        "unbonding": native(told.unbonding),
        "delegators": str(told.delegators),
        "commission": _percent(told.commission_bps),
        "this epoch": f"signed {told.signed} of {told.expected} blocks, proposed {told.proposed}",
        "unpaid": f"{native(told.rewards)} of rewards, {native(told.commission)} of commission",
        "jailed": _jail(told) if told.status == "jailed" else "",
        "region": told.region,
        "endpoint": told.endpoint,
    }
    yield from (_line(label, text) for label, text in rows.items() if text)


def reward_lines(told: electorate.MemberRewards) -> Iterator[str]:
    """Write what a validator has earned."""
    yield _line("validator", told.address)
    yield _line("rewards", f"{native(told.rewards)}, for those who stand behind it")
    yield _line("commission", f"{native(told.commission)}, for the operator")
    yield _line("this epoch", f"signed {told.signed} of {told.expected}, proposed {told.proposed}")
    yield _line("past epochs", "not available: what was paid or claimed is not kept")


def stake_lines(told: electorate.AccountStakes) -> Iterator[str]:
    """Write what an account has behind validators, and what is on its way back."""
    yield _line("account", told.address)
    yield _line("bonded", native(told.bonded))
    yield _line("unbonding", native(told.unbonding))
    if told.stakes:
        rows = [
            (row.validator, native(row.amount), native(row.earned), row.validator_status)
            for row in told.stakes
        ]
        yield ""
        yield from tables.draw(_STAKE_COLUMNS, rows)
    if told.leaving:
        yield ""
        yield from tables.draw(_LEAVING_COLUMNS, [_leaving(row) for row in told.leaving])


def claim_lines(told: electorate.AccountRewards) -> Iterator[str]:
    """Write what an account may claim, validator by validator."""
    for row in told.rewards:
        commission = f", {native(row.commission)} of it commission" if int(row.commission) else ""
        earned = int(row.earned) + int(row.commission)
        yield f"{row.validator}  {native(earned)}{commission}"
    yield f"{native(told.total)} may be claimed"


def proposal_table(told: electorate.Proposals) -> Iterator[str]:
    """Draw the open proposals."""
    rows = [
        (
            row.id,
            asked(row.motion),
            str(row.yes_power),
            str(row.no_power),
            f"{row.needed_power} of {row.total_power}",
            f"{row.ends:,}",
        )
        for row in told.proposals
    ]
    yield from tables.draw(_PROPOSAL_COLUMNS, rows) if rows else ["No proposal is open."]
    if told.count > len(rows):
        yield f"and {told.count - len(rows):,} more"


def proposal_lines(told: electorate.ProposalView) -> Iterator[str]:
    """Write one open proposal, and each vote."""
    yield _line("proposal", told.id)
    yield _line("asks", asked(told.motion))
    yield _line("by", told.proposer)
    yield _line("deposit", native(told.deposit))
    yield _line("open until", f"height {told.ends:,}, now {told.height:,}")
    yield _line("tally", _tally(told))
    for vote in told.votes:
        yield _line("yes" if vote.yes else "no", f"{vote.address}, power {vote.power}")


def decision_lines(made: Decision, ends: int) -> Iterator[str]:
    """Write how far a proposal came; the epoch of its last vote ends with height `ends`."""
    yield _line("proposal", made.id)
    if made.passed:
        yield _line("passed", f"a pause at once, all else with the end of block {ends:,}")
    if made.open is not None:
        yield _line("asks", asked(made.open.motion))
        yield _line("open until", f"height {made.open.ends:,}")
        yield _line("tally", _tally(made.open))


def asked(motion: electorate.MotionView) -> str:
    """Write what is asked for in one line."""
    return " ".join([motion.kind, *(f"{name}={text}" for name, text in motion.details.items())])


def _tally(told: electorate.ProposalRow) -> str:
    return (
        f"{told.yes_power} yes, {told.no_power} no of {told.total_power};"
        f" {told.needed_power} yes carry it"
    )


def _leaving(row: electorate.UnbondingView) -> Sequence[str]:
    comes = f"{row.matures:,}" if row.counted_until else f"{row.matures:,} or later"
    return row.validator, native(row.amount), comes


def _changed(row: electorate.MemberView) -> str:
    return str(row.next_power) if row.next_power != row.power else "="


def _jail(told: electorate.MemberView) -> str:
    why = f" for {told.jailed_for}" if told.jailed_for else ""
    return f"until height {told.jailed_until:,}{why}; aitbc validator unjail asks for its vote"


def _percent(bps: int) -> str:
    return f"{bps / 100:g} %"


def _line(label: str, text: str) -> str:
    return line(label, text, width=_LABEL)
