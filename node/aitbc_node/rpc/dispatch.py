"""Which requests are there, and what becomes of each?

`dispatch` is a pure function: a request and a look at the node give a whole response, or tell the
server what else to do first: hand transactions to the machine, or open a stream of events. How
reads are answered is in `mesh.py`, `history.py`, `holdings.py`, `bonds.py` and `decisions.py`. Do
not add sockets, clocks or waiting here.
"""

from collections.abc import Sequence
from typing import TypeAlias

from aitbc_node.codes import Code
from aitbc_node.events import TxOutcome
from aitbc_node.rpc import (
    bonds,
    decisions,
    electorate,
    history,
    holdings,
    mailing,
    mesh,
    openapi,
    post,
    recorded,
    schema,
    splits,
    submission,
    surroundings,
)
from aitbc_node.rpc.call import Call
from aitbc_node.rpc.estimates import FeeEstimate
from aitbc_node.rpc.response import BRIEF, refuse, respond, whole
from aitbc_node.rpc.route import Publication, Route, Subscription, Table, Text
from aitbc_node.rpc.submission import Submission
from aitbc_node.rpc.view import Facts, NodeView, Reader, Request, RequestFault, Response

TOPICS = ("block", "tx", "consensus", "peer")

Outcome: TypeAlias = Response | Submission | Subscription | Publication


def _metrics(call: Call) -> Text:
    return Text("text/plain; version=0.0.4; charset=utf-8", call.reader.metrics())


def _openapi(_call: Call) -> Text:
    return Text("application/json", openapi.document_bytes(ROUTES))


def _events(call: Call) -> Subscription:
    asked = (call.option("topic") or "block").split(",")
    for topic in asked:
        if topic not in TOPICS:
            message = f"no topic {topic[:40]!r}"
            hint = f"topics are {', '.join(TOPICS)}"
            raise RequestFault(400, Code.E_BAD_REQUEST, message, field="topic", hint=hint)
    last_id, is_brief = call.option("last_id") or "", call.request.is_brief
    return Subscription(frozenset(asked), last_id, is_brief=is_brief)


def _submit(call: Call) -> Submission:
    if mesh.is_stale(call.view):
        raise submission.no_quorum()
    return submission.read(call.request)


# fmt: off
ROUTES: tuple[Route, ...] = (
    Route("GET", "/health", mesh.health, "Whether answers are fresh.", (schema.Health,)),
    Route("GET", "/status", mesh.status, "The node at a glance.", (schema.Status,)),
    Route("GET", "/validators", mesh.validators, "Who may vote at a height.",
          (schema.Validators,), ("height",)),
    Route("GET", "/validators/{address}/rewards", bonds.member_rewards,
          "What a validator has earned.", (electorate.MemberRewards,)),
    Route("GET", "/epoch", decisions.epoch, "The present epoch, and who votes in the next.",
          (electorate.Epoch,)),
    Route("GET", "/blocks", history.blocks, "Final blocks in ascending order.",
          (schema.Blocks,), ("from", "count")),
    Route("GET", "/blocks/latest", history.latest_block, "The newest final block.",
          (schema.BlockView,)),
    Route("GET", "/blocks/{height}", history.block, "One final block.", (schema.BlockView,)),
    Route("GET", "/tx/{id}", history.transaction, "The fate of a transaction.", (schema.TxView,)),
    Route("GET", "/state/accounts/{address}", holdings.account, "An account, with proof=1 proved.",
          (schema.AccountView,), ("proof",)),
    Route("GET", "/state/accounts/{address}/stakes", bonds.account_stakes,
          "What an account has behind validators.", (electorate.AccountStakes,)),
    Route("GET", "/state/accounts/{address}/rewards", bonds.account_rewards,
          "What an account may claim.", (electorate.AccountRewards,)),
    Route("GET", "/state/validators", bonds.members, "Who votes, or may be chosen to.",
          (electorate.Members,)),
    Route("GET", "/state/validators/{address}", bonds.member, "One operator.",
          (electorate.MemberView,)),
    Route("GET", "/state/proposals", decisions.open_proposals, "What the validators vote on.",
          (electorate.Proposals,)),
    Route("GET", "/state/proposals/{id}", decisions.proposal, "One open proposal.",
          (electorate.ProposalView,)),
    Route("GET", "/state/assets/{ticker}", holdings.asset, "An asset, with proof=1 proved.",
          (schema.AssetView,), ("proof",)),
    Route("GET", "/state/asset/{ticker}", holdings.asset_facts, "The four facts about a token.",
          (schema.AssetFacts,)),
    Route("GET", "/state/records/{namespace}/{key}", recorded.record,
          "A record, with proof=1 proved; each account has keys of its own, but in `name`.",
          (schema.RecordView,), ("owner", "proof")),
    Route("GET", "/state_root", history.state_root, "The state root after a block.",
          (schema.StateRoot,), ("height",)),
    Route("GET", "/params", holdings.parameters, "The chain's parameters.", (schema.Parameters,)),
    Route("GET", "/fees/estimate", holdings.fee_estimate, "The price of gas.",
          (FeeEstimate,), ("gas",)),
    Route("GET", "/economics", holdings.economics, "Supplies, pools, fees, and if they add up.",
          (schema.Economics,)),
    Route("GET", "/audit", holdings.audit, "The ledger's invariants, judged.",
          (schema.AuditAnswer,)),
    Route("GET", "/net/peers", mesh.peers, "The live links of the node.", (schema.Peers,)),
    Route("GET", "/net/topology", mesh.topology, "The links of this node and of its peers.",
          (surroundings.Topology,)),
    Route("GET", "/net/partition", mesh.partition, "The reachable voting power.",
          (splits.Partition,)),
    Route("GET", "/metrics", _metrics, "Metrics in Prometheus' text format.", media="text/plain"),
    Route("GET", "/openapi.json", _openapi, "This interface, described."),
    Route("GET", "/events", _events, "Server-sent events; Last-Event-ID resumes.",
          options=("topic", "last_id"), media="text/event-stream", prefers=True),
    Route("POST", "/tx", _submit, "Hand in one transaction or a batch.",
          (schema.Accepted, schema.BatchResult, schema.BriefResult), prefers=True),
    Route("POST", "/messages", post.publish, "Send a signed message to an account or on a topic.",
          (mailing.PostedAnswer,), asks=mailing.PublishRequest),
    Route("GET", "/messages", post.on_topics, "Messages on topics, as server-sent events.",
          options=("topic", "last_id"), media="text/event-stream"),
    Route("GET", "/messages/{address}", post.of_account,
          "Messages to an account, kept and new ones, as server-sent events.",
          options=("last_id",), media="text/event-stream"),
)
# fmt: on

_TABLE = Table(ROUTES)


def dispatch(request: Request, facts: Facts, view: NodeView, reader: Reader) -> Outcome:
    """Answer one request, or say what the server has to do before it can be answered."""
    try:
        route, params = _TABLE.find(request)
        result = route.handler(Call(request, params, facts, view, reader))
    except RequestFault as fault:
        return refuse(fault, request)
    match result:
        case Submission() | Subscription() | Publication():
            return result
        case Text(content_type=content_type, body=body):
            return whole(body, request, content_type=content_type)
        case answer:
            return respond(answer, request, status=200, headers=mesh.staleness(view, request))


def answer_submission(
    asked: Submission,
    outcomes: Sequence[TxOutcome],
    request: Request,
    *,
    view: NodeView,
    reader: Reader,
) -> Response:
    """Answer a `POST /tx` after the machine has spoken.

    What is known of a refused transaction outranks the refusal. A taken one is new and one that
    waits has no fate, so neither is looked up: the index would cost more than all the rest of a
    large batch, the most where a mesh is behind and clients hand in again what waits.
    """
    known = [
        None if _waits(outcome, view) else history.fate(view, reader, outcome.id)
        for outcome in outcomes
    ]
    if not asked.single:
        rows = [submission.row(*pair) for pair in zip(outcomes, known, strict=True)]
        if request.is_brief:
            return respond(submission.brief(rows), request, status=202, headers=BRIEF)
        return respond(schema.BatchResult(results=rows), request, status=202)
    try:
        accepted = submission.single(outcomes[0], known[0])
    except RequestFault as fault:
        return refuse(fault, request)
    return respond(accepted, request, status=202)


def _waits(outcome: TxOutcome, view: NodeView) -> bool:
    if outcome.code == Code.OK:
        return True
    return outcome.code == Code.E_DUPLICATE and view.mempool.get(outcome.id) is not None
