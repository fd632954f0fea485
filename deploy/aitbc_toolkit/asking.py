"""How is a whole mesh asked? All nodes side by side, or any node that answers.

A node that is silent is a value with its reason, never a guess. Do not add what an answer means:
that is the caller's.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import httpx

from aitbc_node.blocks import tx_id
from aitbc_node.rpc import schema
from aitbc_toolkit import identity
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.exchange import connection
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.rpc_client import (
    RETRIES,
    TRY_AGAIN,
    RefusedError,
    RpcClient,
    SilentError,
    StrangerError,
    Target,
)
from aitbc_toolkit.turns import Turns

FAN_OUT_MAX = 32
POLL_S = 0.1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Silence:
    """Stand in a table of answers for a node that gave none, or that is not ours.

    `is_down` where its machine answers and nobody listens there: it is down, not cut off.
    """

    reason: str
    stranger: bool = False
    is_down: bool = False

    @property
    def state(self) -> str:
        """Write it as the state of the node."""
        return self.reason if self.stranger else f"unreachable ({self.reason})"


class UnsettledError(AitbcError):
    """Nobody can say yet what became of a transaction; signing another one might pay twice."""

    exit_status = Exit.UNREACHABLE

    def __init__(self, name: str, nodes: Sequence[str], why: AitbcError) -> None:
        super().__init__(
            f"transaction {name[:12]} may have been taken by {' '.join(nodes)}: {why}",
            hint=f"aitbc tx wait {name}",
        )


class MeshClient:
    """Talk to all nodes of a mesh, in a `with` block; `hint` is what helps when all are silent."""

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        http: httpx.Client | None = None,
        retries: int = RETRIES,
        hint: str = "",
    ) -> None:
        self._hint = hint
        self._http = http or connection()
        self.nodes = tuple(RpcClient(each, http=self._http, retries=retries) for each in targets)
        self._pool = ThreadPoolExecutor(max(1, min(FAN_OUT_MAX, len(self.nodes))))
        self._turns = Turns([each.name for each in targets])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._http.close()

    def node(self, name: str) -> RpcClient:
        """Return the client of one node; the caller knows that the name exists."""
        return next(each for each in self.nodes if each.name == name)

    def ask_all(self, question: Callable[[RpcClient], T]) -> dict[str, T | Silence]:
        """Ask every node side by side; one that does not answer is a row with the reason."""

        def asked(node: RpcClient) -> T | Silence:
            try:
                return question(node)
            except SilentError as silent:
                stranger = isinstance(silent, StrangerError)
                return Silence(silent.reason, stranger=stranger, is_down=silent.is_down)
            except RefusedError as refused:
                return Silence(refused.reason)

        return dict(
            zip((node.name for node in self.nodes), self._pool.map(asked, self.nodes), strict=True)
        )

    def ask_any(self, question: Callable[[RpcClient], T]) -> T:
        """Ask one node, the next one when it is silent; turns go round so that load is spread.

        Who does not answer, cannot now, or is behind rests for a while; what one that is behind has
        said is believed where no other answers.

        Raises: SilentError naming every node when all are silent; RefusedError from the first node
        that answers, since another would say the same, but not for what only this node cannot do.
        """
        answers: dict[str, Silence] = {}
        behind: list[T] = []
        for node in self._in_turn():
            was_stale = node.stale
            try:
                answer = question(node)
            except (SilentError, RefusedError) as failure:
                answers[node.name] = self._rested(node, failure)
                continue
            if node.stale == was_stale:
                self._turns.answered(node.name)
                return answer
            self._turns.failed(node.name)
            behind.append(answer)
        if behind:
            return behind[0]
        raise self.silent(answers)

    def _rested(self, node: RpcClient, failure: SilentError | RefusedError) -> Silence:
        """Let a node rest that gave no answer. Raises: what it said, if that is an answer."""
        if isinstance(failure, SilentError):
            self._turns.failed(node.name)
            return Silence(failure.reason, is_down=failure.is_down)
        if failure.status not in TRY_AGAIN:
            raise failure
        self._turns.failed(node.name, wait_s=failure.wait_s)
        return Silence(failure.reason)

    def submit(self, raw: bytes, *, node: str = "") -> schema.Accepted:
        """Hand in a transaction to any node that takes it; the same bytes go to the next one.

        Where one that took it is behind, another is asked too, whose refusal takes nothing back.
        Raises: UnsettledError when one refused it after another may have taken it, or the only one
        that is asked, since it is named, may have.
        """
        unsure: list[str] = []
        taken: list[schema.Accepted] = []

        def hand_in(node: RpcClient) -> schema.Accepted:
            try:
                taken.append(node.submit(raw))
            except (SilentError, RefusedError) as failure:
                if failure.may_be_taken:
                    unsure.append(node.name)
                raise
            return taken[0]

        try:
            return hand_in(self.node(node)) if node else self.ask_any(hand_in)
        except AitbcError as failure:
            if taken:
                return taken[0]
            if unsure:
                raise UnsettledError(tx_id(raw).hex(), unsure, failure) from failure
            raise

    def wait(self, tx_id: str, *, deadline_s: float, raw: bytes | None = None) -> schema.TxView:
        """Wait for the end of a transaction; with `raw`, hand it in again where it is unknown.

        Raises: AitbcError with exit status 124 when it has not ended by the deadline, with 130 when
        the waiting is interrupted: what was handed in cannot be taken back.
        """
        try:
            return self._wait(tx_id, deadline_s=deadline_s, raw=raw)
        except KeyboardInterrupt as interrupt:
            raise AitbcError(
                f"interrupted: transaction {tx_id[:12]} may still become final",
                hint=f"aitbc tx wait {tx_id}",
                exit_status=Exit.INTERRUPTED,
            ) from interrupt

    def _wait(self, tx_id: str, *, deadline_s: float, raw: bytes | None) -> schema.TxView:
        until = time.monotonic() + deadline_s
        while True:
            found = self.fate(tx_id)
            if found is not None and found.status != "pending":
                return found
            if time.monotonic() >= until:
                last = found.status if found else "unknown to every node that answers"
                raise AitbcError(
                    f"transaction {tx_id[:12]} is not final after {deadline_s:.0f} s: it is {last}",
                    hint=f"aitbc tx wait {tx_id}",
                    exit_status=Exit.DEADLINE,
                )
            if found is None and raw is not None:
                self.submit(raw)
            time.sleep(POLL_S)

    def fate(self, tx_id: str) -> schema.TxView | None:
        """Return the best that any node knows, None when none was given it; an end is best.

        Raises: AitbcError when no node answers.
        """
        answers = self.ask_all(lambda node: node.transaction(tx_id))
        known = [answer for answer in answers.values() if isinstance(answer, schema.TxView)]
        if not known and all(isinstance(answer, Silence) for answer in answers.values()):
            raise self.silent(answers)
        ended = [answer for answer in known if answer.status != "pending"]
        return next(iter(ended or known), None)

    def silent(self, answers: Mapping[str, object]) -> AitbcError:
        """Make the error that says why no node gave an answer that could be used."""
        names: dict[str, list[str]] = {}
        for name, each in sorted(answers.items()):
            if isinstance(each, Silence):
                names.setdefault(each.reason, []).append(name)
        reasons = [f"{' '.join(those)} {reason}" for reason, those in names.items()]
        return AitbcError(
            f"no node answers: {'; '.join(reasons) or 'there are none'}",
            hint=self._hint or "aitbc network status",
            exit_status=Exit.UNREACHABLE,
        )

    def _in_turn(self) -> Iterator[RpcClient]:
        by_name = {node.name: node for node in self.nodes}
        return map(by_name.__getitem__, self._turns.order())


def open_mesh(environment: Environment, *, node: str = "", retries: int = RETRIES) -> MeshClient:
    """Open a client for all nodes of an environment, or for the one named.

    Raises: UsageError with the nearest name when there is no such node.
    """
    chosen = (environment.instance(node),) if node else environment.instances
    targets = [
        Target(each.name, each.rpc_url, partial(identity.stranger, environment, each.name))
        for each in chosen
    ]
    hint = f"aitbc network status -e {environment.name}"
    return MeshClient(targets, retries=retries, hint=hint)
