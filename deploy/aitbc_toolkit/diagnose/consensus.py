"""Why does a mesh make no blocks, or slowly: who does not vote, and what does a round wait for?

Pure: from one `Ballots`. A trouble is told once, of whom it comes from. Do not ask anybody here.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from aitbc_node.rpc import schema
from aitbc_toolkit import stalling
from aitbc_toolkit.asking import Silence
from aitbc_toolkit.diagnose.ballots import BLOCKS, Ballots, Voter
from aitbc_toolkit.diagnose.finding import (
    Finding,
    Level,
    Topic,
    counted,
    status_of,
    worst_first,
)
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.overview import VOTE_LAG_MAX

_SHORT = 12
_MISSED_SHARE = 0.1
_ROUNDS_SHARE = 0.1
_LATE_ROUND = 3
"""From this round on two proposers in a row did not get a block through, beside a slow one."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Hold what was found, worst first, beside what was told."""

    ballots: Ballots
    findings: tuple[Finding, ...]

    @property
    def exit(self) -> Exit:
        """Tell a fault from a mesh of which nothing is known."""
        return status_of(self.findings, is_known=bool(self.ballots.up))

    @property
    def count(self) -> str:
        """Sum up in a few words."""
        return counted(self.findings)

    def to_document(self) -> dict[str, Any]:
        """Write the one document of `--json`."""
        told = self.ballots
        return {
            "schema": 1,
            "environment": told.environment.name,
            "height": told.height,
            "round": told.round,
            "step": told.step,
            "proposer": told.proposer,
            "last_proposer": last_proposer(told),
            "silent_ms": told.silent_ms,
            "voting_power": voting_power(told) if told.is_told else None,
            "needed_power": told.needed if told.voters else None,
            "total_power": told.total if told.voters else None,
            "next_proposers": {"from": told.turns_from, "names": list(told.turns)},
            "voters": [_row(told, each) for each in told.voters],
            "findings": [asdict(each) for each in self.findings],
        }


def judge(told: Ballots) -> Judged:
    """Say what keeps blocks from being made, or makes them late."""
    found = [*_unknown(told), *_blocks(told), *_silent(told), *_votes(told)]
    found += [*_signing(told), *_rounds(told)]
    return Judged(told, worst_first(found))


def is_voting(told: Ballots, voter: Voter) -> bool:
    """Tell whether a validator's vote is in one of the newest blocks, and those are not old."""
    return voter.last is not None and voter.last > told.tip - VOTE_LAG_MAX


def voting_power(told: Ballots) -> int:
    """Sum the power of those who vote."""
    return sum(each.power for each in told.voters if is_voting(told, each))


def last_proposer(told: Ballots) -> str:
    """Name who proposed the newest block, by its key where no node here has it."""
    if not told.blocks:
        return ""
    key = told.blocks[-1].proposer
    return next((each.name for each in told.voters if each.key == key and each.name), key)


def state_of(told: Ballots, voter: Voter) -> str:
    """Say in a few words how a validator is."""
    if voter.told is None:
        return "no node of this environment"
    if isinstance(voter.told, Silence):
        return voter.told.state
    if voter.told.trouble:
        return f"in trouble ({voter.told.trouble})"
    return "voting" if is_voting(told, voter) else "not voting"


def _row(told: Ballots, voter: Voter) -> dict[str, Any]:
    status = voter.told if isinstance(voter.told, schema.Status) else None
    return {
        "name": voter.name,
        "key": voter.key,
        "power": voter.power,
        "voted": voter.voted,
        "of": len(told.blocks),
        "last_voted": voter.last,
        "height": status.height + 1 if status else None,
        "round": status.round if status else None,
        "step": status.step if status else None,
        "signed": _signed(status) if status else None,
        "state": state_of(told, voter),
    }


def _signed(status: schema.Status) -> dict[str, int] | None:
    """Say up to where the key of a node has signed, votes of no block included."""
    last = status.sign_state
    return None if last is None else {"height": last.height, "round": last.round, "step": last.step}


def _unknown(told: Ballots) -> Iterator[Finding]:
    """Tell of answers that are lacking: nothing is found wrong of what nobody told."""
    if told.up and not told.is_told:
        what = "the newest blocks" if told.voters else "the validators"
        says = f"who votes is unknown: no node told {what}"
        hint = f"aitbc diagnose network -e {told.environment.name}"
        yield Finding("fail", "votes", "", "", says, hint)


def _blocks(told: Ballots) -> Iterator[Finding]:
    """Tell of a mesh that makes no blocks, with the sum."""
    if not stalling.is_stalled(told.up.values(), told.environment.chain.block_interval_ms):
        return
    ours = {each.name: each for each in told.voters if each.name}
    up = sum(each.power for name, each in ours.items() if name in told.up)
    seconds = (told.silent_ms or 0) // 1000
    says = f"no block for {seconds} s: nodes with power {up} of {told.total} answer, "
    says += f"{told.needed} needed; height {told.height:,} is in round {told.round}, {told.step}"
    down = [name for name in ours if name not in told.up]
    name = told.environment.name
    hint = f"aitbc node start {down[0]} -e {name}" if down else f"aitbc network partition -e {name}"
    yield Finding("fail", "blocks", "", "", says, hint)


def _silent(told: Ballots) -> Iterator[Finding]:
    """Tell of validators whose node does not answer, and of ones that nobody here runs."""
    for each in told.voters:
        last = _last(told, each)
        if each.told is None:
            says = f"validator {each.key[:_SHORT]} (power {each.power}) is no node of this "
            says += f"environment, or its node does not say its key: {last}"
            level: Level = "warn" if is_voting(told, each) else "fail"
            hint = f"aitbc validator list -e {told.environment.name}"
            yield Finding(level, "key", "", "", says, hint)
        elif isinstance(each.told, Silence):
            says = f"{each.name} (power {each.power}) does not answer: {each.told.reason}; {last}"
            hint = f"aitbc node start {each.name} -e {told.environment.name}"
            if not each.told.is_down:
                hint = f"aitbc diagnose network -e {told.environment.name}"
            yield _of(told, each, "fail", "votes", says, hint)


def _votes(told: Ballots) -> Iterator[Finding]:
    """Tell of validators that answer and whose votes are in no block, or in few."""
    for each in told.voters:
        if not isinstance(each.told, schema.Status):
            continue
        why = _why_not(told, each, each.told)
        if why:
            hint = f"aitbc node logs {each.name} -e {told.environment.name}"
            if each.told.stale:
                hint = f"aitbc network partition -e {told.environment.name}"
            yield _of(told, each, "fail", "votes", f"{each.name} {why}; {_last(told, each)}", hint)
            continue
        missed = len(told.blocks) - each.voted
        if len(told.blocks) == BLOCKS and missed > _MISSED_SHARE * BLOCKS:
            says = f"{each.name} votes, but late or seldom: {missed} of the last {BLOCKS} blocks"
            says += " are without its vote"
            hint = f"aitbc network peers -e {told.environment.name}"
            yield _of(told, each, "warn", "votes", says, hint)


def _why_not(told: Ballots, voter: Voter, status: schema.Status) -> str:
    """Say why a validator that answers does not vote, as far as it says so; empty where it does."""
    if status.trouble:
        return f"signs nothing: {status.trouble}"
    behind = told.tip - status.height
    if status.syncing or behind > VOTE_LAG_MAX:
        return f"is {behind:,} blocks behind"
    # Where nobody has a quorum that is told of the blocks, once, and not of everybody.
    if status.stale and not all(each.stale for each in told.up.values()):
        return f"reaches power {status.reachable_power} of {status.total_power} only"
    if told.blocks and not is_voting(told, voter):
        return f"answers at height {status.height:,} and does not vote"
    return ""


def _signing(told: Ballots) -> Iterator[Finding]:
    """Tell of a key that has signed beyond what its node knows: its data are older than the key."""
    for each in told.voters:
        status = each.told
        if not isinstance(status, schema.Status) or status.sign_state is None or status.trouble:
            continue
        if status.sign_state.height > status.height + 1 and status.height >= told.tip:
            says = f"{each.name} has signed up to height {status.sign_state.height:,} and knows "
            says += f"blocks up to {status.height:,}: it votes no more until the chain is there"
            hint = f"aitbc node logs {each.name} -e {told.environment.name}"
            yield _of(told, each, "warn", "signing", says, hint)


def _rounds(told: Ballots) -> Iterator[Finding]:
    """Tell of a height that does not end, and of blocks that took more than one round."""
    name = told.environment.name
    if told.round >= _LATE_ROUND:
        who = told.proposer[:_SHORT]
        says = f"height {told.height:,} is in round {told.round}, {told.step}; {who} proposes in it"
        yield Finding("fail", "rounds", "", "", says, f"aitbc network health -e {name}")
    late = [each for each in told.blocks if each.round]
    if late and len(late) > _ROUNDS_SHARE * len(told.blocks):
        says = f"{len(late)} of the last {len(told.blocks)} blocks took more than one round,"
        says += f" {sum(each.round for each in late)} rounds too many in all"
        yield Finding("warn", "rounds", "", "", says, f"aitbc network peers -e {name}")


def _last(told: Ballots, voter: Voter) -> str:
    """Say where the newest vote of a validator is."""
    if voter.last is None:
        return f"none of the last {len(told.blocks)} blocks has its vote"
    return f"its last vote is in block {voter.last:,} of {told.tip:,}"


def _of(told: Ballots, voter: Voter, level: Level, topic: Topic, says: str, hint: str) -> Finding:
    host = told.environment.instance(voter.name).host
    return Finding(level, topic, voter.name, host, says, hint)
