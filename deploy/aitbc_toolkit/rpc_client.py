"""How does the toolkit talk to one node? Through typed reads and one way to hand in bytes.

Reads are repeated when a node says that it cannot answer now; a transaction is only ever sent again
as the very same bytes, so that it cannot take effect twice. Do not add what an answer means:
that is the caller's.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from aitbc_node.codes import Code
from aitbc_node.rpc import electorate, estimates, mailing, schema
from aitbc_toolkit import decoding, unanswered
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.exchange import Asked, Reply, exchange

RETRIES = 2

TRY_AGAIN = frozenset({429, 502, 503, 504})
_NOT_TAKEN = frozenset({Code.E_RATE, Code.E_QUEUE_FULL, Code.E_POOL_FULL, Code.E_NO_QUORUM})
"""With these a node says that it holds nothing; other ones may come from a machine before it."""

Answer = TypeVar("Answer", bound=schema.Answer)


def _anybody(_told: schema.Status) -> str:
    return ""


class Target(NamedTuple):
    """Name a node, where its RPC is, and who says why what answers there is not that node."""

    name: str
    url: str
    stranger: Callable[[schema.Status], str] = _anybody


class RefusedError(AitbcError):
    """A node answered that it will not do this; `code` is stable, `field` is at fault.

    What was handed in `may_be_taken` all the same where the node could not say. `wait_s` is what
    it asked for before it is asked again.
    """

    def __init__(self, node: str, status: int, fault: schema.Fault, *, wait_s: float = 0.0) -> None:
        where = f" ({fault.field})" if fault.field else ""
        # A client of the RPC is told a route; whoever has a command line has a command.
        ours = f"aitbc node status {node}"
        super().__init__(
            f"{node} refused: {fault.message} [{fault.code}]{where}",
            hint=fault.hint if fault.hint and not fault.hint.startswith("GET ") else ours,
        )
        self.reason = f"{fault.message} [{fault.code}]"
        self.status = status
        self.code = fault.code
        self.field = fault.field
        self.wait_s = wait_s
        self.may_be_taken = status in TRY_AGAIN and fault.code not in _NOT_TAKEN


class SilentError(AitbcError):
    """A node gave no answer that can be read; `reason` is short enough for a table.

    `is_down` where its machine answers and nobody listens there. What was handed in
    `may_be_taken`, unless it never left.
    """

    exit_status = Exit.UNREACHABLE

    def __init__(
        self, node: str, url: str, reason: str, *, is_down: bool = False, may_be_taken: bool = False
    ) -> None:
        super().__init__(f"{node} at {url} is unreachable: {reason}", hint="aitbc network status")
        self.node = node
        self.reason = reason
        self.is_down = is_down
        self.may_be_taken = may_be_taken


class StrangerError(SilentError):
    """What answers is not the node that was meant: for us that one is silent."""

    def __init__(self, node: str, url: str, reason: str) -> None:
        super().__init__(node, url, reason)
        self.message = f"{node} at {url} is not ours: {reason}"
        self.hint = f"who has the port: ss -ltnp 'sport = :{url.rpartition(':')[2]}'"


class RpcClient:
    """Talk to one node; `retried` counts the repeated reads, `stale` the answers it marked so.

    Before anything else is asked or handed in, the node says whose it is.
    """

    def __init__(
        self,
        target: Target,
        *,
        http: httpx.Client,
        retries: int = RETRIES,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = target.name
        self.url = target.url.rstrip("/")
        self.retried = 0
        self.stale = 0
        self._stranger = target.stranger
        self._is_ours = target.stranger is _anybody
        self._http = http
        self._retries = retries
        self._pause = pause

    def get(
        self, route: str, shape: type[Answer], options: Mapping[str, str | int] | None = None
    ) -> Answer:
        """Read one route, repeating while the node says that it cannot answer now.

        Raises: RefusedError, SilentError.
        """
        self._recognise()
        return self._get(route, shape, options)

    def _get(
        self, route: str, shape: type[Answer], options: Mapping[str, str | int] | None = None
    ) -> Answer:
        for attempt in range(self._retries + 1):
            response = self._exchange(route, Asked(params=dict(options or {})))
            if response.status not in TRY_AGAIN or attempt == self._retries:
                break
            self.retried += 1
            self._pause(response.pause_s)
        return self._read(response, shape)

    def text(self, route: str) -> str:
        """Read a route that answers in plain text."""
        self._recognise()
        response = self._exchange(route, Asked())
        if not response.is_good:
            self._read(response, schema.Answer)
        return response.body.decode(errors="replace")

    def status(self) -> schema.Status:
        """Read `/status`.

        Raises: StrangerError when it is that of another mesh, SilentError, RefusedError.
        """
        told = self._get("/status", schema.Status)
        if reason := self._stranger(told):
            raise StrangerError(self.name, self.url, reason)
        self._is_ours = True
        return told

    def block(self, height: int) -> schema.BlockView:
        """Read one final block."""
        return self.get(f"/blocks/{height}", schema.BlockView)

    def blocks(self, first: int, count: int) -> list[schema.BlockView]:
        """Read a page of final blocks."""
        return self.get("/blocks", schema.Blocks, {"from": first, "count": count}).blocks

    def state_root(self, height: int) -> schema.StateRoot:
        """Read the state root after a block."""
        return self.get("/state_root", schema.StateRoot, {"height": height})

    def account(self, address: str) -> schema.AccountView:
        """Read an account."""
        return self.get(f"/state/accounts/{quote(address, safe='')}", schema.AccountView)

    def asset(self, ticker: str) -> schema.AssetView:
        """Read an asset."""
        return self.get(f"/state/assets/{quote(ticker, safe='')}", schema.AssetView)

    def validators(self) -> schema.Validators:
        """Read who votes on the next block, by consensus keys."""
        return self.get("/validators", schema.Validators)

    def members(self) -> electorate.Members:
        """Read who votes, and who may be chosen for the next epoch."""
        return self.get("/state/validators", electorate.Members)

    def member(self, address: str) -> electorate.MemberView:
        """Read one operator."""
        return self.get(f"/state/validators/{quote(address, safe='')}", electorate.MemberView)

    def member_rewards(self, address: str) -> electorate.MemberRewards:
        """Read what a validator has earned."""
        route = f"/validators/{quote(address, safe='')}/rewards"
        return self.get(route, electorate.MemberRewards)

    def stakes(self, address: str) -> electorate.AccountStakes:
        """Read what an account has behind validators."""
        route = f"/state/accounts/{quote(address, safe='')}/stakes"
        return self.get(route, electorate.AccountStakes)

    def rewards(self, address: str) -> electorate.AccountRewards:
        """Read what an account may claim."""
        route = f"/state/accounts/{quote(address, safe='')}/rewards"
        return self.get(route, electorate.AccountRewards)

    def proposals(self) -> electorate.Proposals:
        """Read what the validators vote on."""
        return self.get("/state/proposals", electorate.Proposals)

    def proposal(self, named: str) -> electorate.ProposalView:
        """Read one open proposal."""
        return self.get(f"/state/proposals/{quote(named, safe='')}", electorate.ProposalView)

    def epoch(self) -> electorate.Epoch:
        """Read where the epoch ends, and who votes in the next."""
        return self.get("/epoch", electorate.Epoch)

    def record(self, namespace: str, key: bytes, owner: str = "") -> schema.RecordView | None:
        """Read a record, that of an account unless all share the namespace; None for none."""
        options = {"owner": owner} if owner else {}
        try:
            return self.get(f"/state/records/{namespace}/{key.hex()}", schema.RecordView, options)
        except RefusedError as refused:
            if refused.code == Code.E_NOT_FOUND:
                return None
            raise

    def parameters(self) -> schema.Parameters:
        """Read the chain's parameters."""
        return self.get("/params", schema.Parameters)

    def fees(self, gas: int | None = None) -> estimates.FeeEstimate:
        """Read what gas costs now, this much or a transfer's, and which limits outlive a rise."""
        asked = {} if gas is None else {"gas": gas}
        return self.get("/fees/estimate", estimates.FeeEstimate, asked)

    def economics(self) -> schema.Economics:
        """Read supplies, pools and the newest fees."""
        return self.get("/economics", schema.Economics)

    def audit(self) -> schema.AuditAnswer:
        """Read the verdicts on the ledger's invariants."""
        return self.get("/audit", schema.AuditAnswer)

    def transaction(self, tx_id: str) -> schema.TxView | None:
        """Read the fate of a transaction; None when the node was never given it."""
        try:
            return self.get(f"/tx/{tx_id}", schema.TxView)
        except RefusedError as refused:
            if refused.code == Code.E_NOT_FOUND:
                return None
            raise

    def submit(self, raw: bytes) -> schema.Accepted:
        """Hand in one transaction, once.

        Raises: RefusedError with the code of the refusal, SilentError when the outcome is unknown.
        """
        return self._post(msgspec.json.encode({"raw": raw}), "application/json", schema.Accepted)

    def submit_batch(self, raws: Sequence[bytes]) -> list[schema.TxResult]:
        """Hand in several transactions; each has its own result, in order."""
        body = msgspec.msgpack.encode(list(raws))
        return self._post(body, "application/msgpack", schema.BatchResult).results

    def publish(self, raw: bytes) -> mailing.PostedAnswer:
        """Hand in a message of an account; the same bytes twice are one message."""
        body = msgspec.json.encode({"raw": raw})
        return self._post(body, "application/json", mailing.PostedAnswer, route="/messages")

    def _post(
        self, body: bytes, content_type: str, shape: type[Answer], *, route: str = "/tx"
    ) -> Answer:
        try:
            self._recognise()
        except (SilentError, RefusedError) as failure:
            failure.may_be_taken = False  # these bytes have not left
            raise
        asked = Asked("POST", content=body, headers={"content-type": content_type})
        return self._read(self._exchange(route, asked), shape)

    def _recognise(self) -> None:
        if not self._is_ours:
            self.status()

    def _exchange(self, route: str, asked: Asked) -> Reply:
        try:
            reply = exchange(self._http, self.url + route, asked)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SilentError(
                self.name,
                self.url,
                unanswered.reason(error),
                is_down=unanswered.is_refused(error),
                may_be_taken=unanswered.is_handed_over(error),
            ) from error
        self.stale += reply.is_stale
        return reply

    def _read(self, response: Reply, shape: type[Answer]) -> Answer:
        try:
            if response.is_good:
                return decoding.decode(response.body, shape)
            told = decoding.decode(response.body, schema.ErrorAnswer)
        except msgspec.MsgspecError as error:
            reason = f"status {response.status} and no answer of an AITBC node"
            raise SilentError(self.name, self.url, reason, may_be_taken=True) from error
        raise RefusedError(self.name, response.status, told.error, wait_s=response.wait_s)
