"""How do validators decide something together: who asks, who says yes, and has it passed?

The proposer says yes itself; other operators whose keys are at hand are asked in turn until it has
passed. Do not print here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from aitbc_node.ledger.families import Body
from aitbc_node.ledger.motions import (
    AdmitValidator,
    CancelUpgrade,
    ChangeParameter,
    EndEpoch,
    Motion,
    PauseAsset,
    PauseMinting,
    RemoveValidator,
    ScheduleUpgrade,
    ShareFees,
)
from aitbc_node.ledger.params import BPS
from aitbc_node.ledger.proposals import ID_BYTES, ProposalSubmit, ProposalVote
from aitbc_node.rpc import electorate, schema
from aitbc_node.types import Height
from aitbc_toolkit import payments, wallet
from aitbc_toolkit.asking import MeshClient
from aitbc_toolkit.errors import UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.wallet import Wallet

WORDS = {
    "validator_add": ("ADDRESS",),
    "validator_remove": ("ADDRESS",),
    "param": ("NAME", "VALUE"),
    "fee_shares": ("PROPOSER_BPS", "TREASURY_BPS", "BURN_BPS"),
    "pause": ("ASSET",),
    "resume": ("ASSET",),
    "pause_minting": ("ASSET",),
    "resume_minting": ("ASSET",),
    "upgrade": ("HEIGHT", "APP_VERSION"),
    "upgrade_cancel": (),
    "epoch_now": (),
}
"""Each kind of motion, and the words that say what exactly."""

_PASSED = "proposal.passed"
_ID = re.compile(f"[0-9a-f]{{{2 * ID_BYTES}}}")


@dataclass(frozen=True, slots=True)
class Decision:
    """Say what became of a proposal by the block at `height`; `open` shows it while it is open."""

    id: str
    height: int
    passed: bool
    open: electorate.ProposalView | None


@dataclass(frozen=True, slots=True)
class Forum:
    """Hand in acts one after the other, to `node` when one is named, and wait for each."""

    environment: Environment
    mesh: MeshClient
    deadline_s: float
    node: str = ""

    def act(self, signer: Wallet, body: Body) -> schema.TxView:
        """Hand an act in and wait for its end.

        Raises: AitbcError when it took no effect.
        """
        raw, tx_id = payments.hand_in(self.environment, self.mesh, signer, [body], node=self.node)
        told = self.mesh.wait(tx_id, deadline_s=self.deadline_s, raw=raw)
        if told.status != "committed":
            raise payments.without_effect(told)
        return told

    def tally(self, name: str) -> electorate.ProposalView | None:
        """Read an open proposal from whoever knows the newest height; others may lag."""
        told = self.mesh.ask_all(lambda node: node.proposal(name))
        known = [each for each in told.values() if isinstance(each, electorate.ProposalView)]
        return max(known, key=lambda each: each.height, default=None)


def motion(environment: Environment, kind: str, words: Sequence[str]) -> Motion:
    """Read what is asked for.

    Raises: UsageError that names the words which are wanted.
    """
    wanted = WORDS[kind]
    if len(words) != len(wanted):
        raise UsageError(
            f"{kind} takes {' '.join(wanted) or 'no words'}",
            hint="aitbc proposal submit --help",
        )
    match kind:
        case "validator_add":
            return AdmitValidator(wallet.read_address(words[0], hrp=environment.chain.hrp))
        case "validator_remove":
            return RemoveValidator(wallet.read_address(words[0], hrp=environment.chain.hrp))
        case "param":
            return ChangeParameter(words[0], _number(words[1]))
        case "fee_shares":
            return ShareFees(*(_number(word, most=BPS) for word in words))
        case "pause" | "resume":
            return PauseAsset(words[0], paused=kind == "pause")
        case "pause_minting" | "resume_minting":
            return PauseMinting(words[0], paused=kind == "pause_minting")
        case _:
            return _of_rules(kind, words)


def _of_rules(kind: str, words: Sequence[str]) -> Motion:
    match kind:
        case "upgrade":
            height, version = (_number(word) for word in words)
            return ScheduleUpgrade(Height(height), version)
        case "upgrade_cancel":
            return CancelUpgrade()
        case _:
            return EndEpoch()


def decide(forum: Forum, signers: Sequence[Wallet], asked: Motion) -> Decision:
    """Let the first signer propose, and all of them say yes until it has passed.

    Raises: AitbcError for the first act that took no effect.
    """
    told = forum.act(signers[0], ProposalSubmit(asked))
    name = next(event[1] for event in told.events if event[0] == "proposal.submit")
    for signer in signers:
        told = forum.act(signer, ProposalVote(bytes.fromhex(name), yes=True))
        if _has_passed(told):
            return Decision(name, told.height or 0, passed=True, open=None)
    return Decision(name, told.height or 0, passed=False, open=forum.tally(name))


def proposal_id(word: str) -> bytes:
    """Read the id of a proposal.

    Raises: UsageError when it is none.
    """
    if not _ID.fullmatch(word):
        raise UsageError(f"{word[:50]!r} is no proposal's id", hint="aitbc proposal list")
    return bytes.fromhex(word)


def _has_passed(told: schema.TxView) -> bool:
    """Tell whether a vote was the one that decided."""
    return any(event[0] == _PASSED for event in told.events)


def _number(word: str, *, most: int = 2**63 - 1) -> int:
    if not (word.isascii() and word.isdigit() and int(word) <= most):
        raise UsageError(
            f"{word[:40]!r} is no whole number up to {most:,}", hint="aitbc proposal submit --help"
        )
    return int(word)
