"""How do messages of accounts come in over HTTP, and where do listeners find them?

`POST /messages` hands one in. Two rings hold the newest: those on topics, for who listens now, and
those to accounts, which whoever comes a little later hears as well. Whether a message is any good
is the broker's question, not asked here.
"""

from collections.abc import Sequence

import msgspec

from aitbc_node import limits
from aitbc_node.bech32 import address_text
from aitbc_node.codes import Code
from aitbc_node.events import TxOutcome
from aitbc_node.letters import is_topic
from aitbc_node.posting import Delivered
from aitbc_node.rpc import submission
from aitbc_node.rpc.call import Call, decoded, read_address
from aitbc_node.rpc.mailing import MessageView, PostedAnswer, PublishRequest
from aitbc_node.rpc.response import refuse, respond
from aitbc_node.rpc.route import Publication, Source, Subscription
from aitbc_node.rpc.streams import Hub
from aitbc_node.rpc.view import Request, RequestFault, Response
from aitbc_node.types import Height

TOPICS_MAX = 16
"""On one stream."""
HEAD_BYTES = 512
"""What a message costs in a ring beside its content: id, addresses, topic and correlation."""

_json = msgspec.json.Decoder(PublishRequest)


class Post:
    """Keep the newest messages: on topics, and to accounts; `hrp` is how addresses begin."""

    def __init__(self, *, boot: str, hrp: str) -> None:
        self._hrp = hrp
        self.topics, self.mail = (
            Hub(
                boot=boot,
                backlog=limits.LETTERS_BACKLOG,
                bytes_max=limits.LETTERS_BACKLOG_BYTES_MAX,
            )
            for _ in range(2)
        )

    def delivered(self, letter: Delivered) -> None:
        """Let those who listen hear a message."""
        to = None if letter.to is None else address_text(self._hrp, letter.to)
        view = MessageView(
            id=letter.id.hex(),
            sender=address_text(self._hrp, letter.sender),
            to=to,
            topic=letter.topic,
            correlation=letter.correlation.hex(),
            valid_until=letter.valid_until,
            content=letter.content,
        )
        hub = self.topics if to is None else self.mail
        hub.publish(
            letter.topic if to is None else to,
            view,
            name="message",
            size=HEAD_BYTES + len(letter.content),
            until=letter.valid_until,
        )

    def ended(self, height: Height) -> None:
        """Tell nobody any more of what has ended."""
        self.topics.forget(below=height)
        self.mail.forget(below=height)

    def hub(self, source: Source) -> Hub:
        """Return the ring behind a subscription to messages."""
        return self.mail if source == "mail" else self.topics


def publish(call: Call) -> Publication:
    """Read the body of a `POST /messages`; the bytes of a message are opaque here."""
    if call.request.content_type != "application/json":
        message = f"content type {call.request.content_type[:60]!r} is not read here"
        raise RequestFault(415, Code.E_BAD_REQUEST, message, field="content-type")
    raw = decoded(_json.decode, call.request.body).raw
    if len(raw) > limits.LETTER_BYTES_MAX:
        message = f"{len(raw)} bytes, at most {limits.LETTER_BYTES_MAX}"
        raise RequestFault(413, Code.E_SIZE, message, field="raw")
    return Publication(raw)


def on_topics(call: Call) -> Subscription:
    """Listen to some topics from now on."""
    asked = (call.option("topic") or "").split(",")
    for topic in asked:
        if not is_topic(topic):
            message = f"no topic {topic[:40]!r}"
            hint = "a-z, 0-9 and ._- behind the first, at most 64; several with commas"
            raise RequestFault(400, Code.E_BAD_REQUEST, message, field="topic", hint=hint)
    if len(asked) > TOPICS_MAX:
        message = f"{len(asked)} topics, at most {TOPICS_MAX} on one stream"
        raise RequestFault(400, Code.E_BAD_REQUEST, message, field="topic")
    return Subscription(frozenset(asked), call.option("last_id") or "", "topics")


def of_account(call: Call) -> Subscription:
    """Listen to what comes to an account, with what is still kept."""
    address = address_text(call.view.state.chain.hrp, read_address(call))
    return Subscription(frozenset({address}), call.option("last_id") or "", "mail")


def answer_publication(outcomes: Sequence[TxOutcome], request: Request) -> Response:
    """Answer a `POST /messages` after the machine has spoken."""
    (outcome,) = outcomes
    if outcome.code == Code.OK:
        return respond(PostedAnswer(id=outcome.id.hex()), request, status=202)
    return refuse(submission.fault_of(outcome.code, outcome.message, field=outcome.field), request)
