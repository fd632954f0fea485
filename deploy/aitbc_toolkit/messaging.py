"""How does an account send a message, and how does it ask another one and get its answer?

A question names a conversation of its own; what comes back with that name from whom was asked is
the answer. Messages are on no block: nobody promises that one arrives, so whoever asks waits for so
long and no longer. Do not add streams: `listening.py`.
"""

import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from aitbc_node import limits
from aitbc_node.letters import Letter, is_topic
from aitbc_node.rpc.mailing import MessageView
from aitbc_node.types import Address, Height
from aitbc_toolkit import payments, wallet
from aitbc_toolkit.asking import MeshClient
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.listening import Hooks, Listening
from aitbc_toolkit.rpc_client import RpcClient
from aitbc_toolkit.wallet import Wallet

BLOCKS = 120
"""How long a message is passed on unless asked otherwise."""
CORRELATION_BYTES = 16


@dataclass(frozen=True, slots=True)
class Draft:
    """Say what to whom: the text of an address in `to`, or a `topic`."""

    content: bytes
    to: str = ""
    topic: str = ""
    correlation: bytes = b""
    blocks: int = BLOCKS


def send(
    found: Environment, mesh: MeshClient, signer: Wallet, draft: Draft, *, node: str = ""
) -> str:
    """Sign a message and hand it to a node; return its id.

    Raises: UsageError for what is no message, RefusedError for what no node takes.
    """
    raw = written(found, mesh, signer, draft)
    if node:
        return mesh.node(node).publish(raw).id
    return mesh.ask_any(lambda each: each.publish(raw)).id


def ask(
    found: Environment,
    mesh: MeshClient,
    signer: Wallet,
    draft: Draft,
    *,
    deadline_s: float,
    hooks: Hooks | None = None,
) -> MessageView:
    """Ask an account, and wait for its answer.

    Raises: AitbcError with exit status 124 where none has come in time, or nothing was asked.
    """
    until = time.monotonic() + deadline_s
    asked = Draft(draft.content, draft.to, "", os.urandom(CORRELATION_BYTES), draft.blocks)
    own = signer.address(found.chain.hrp)
    with Listening(_turned(mesh), f"/messages/{own}", hooks=hooks) as inbox:
        if not inbox.wait_open(deadline_s):
            raise AitbcError(
                f"no node told messages within {deadline_s:.0f} s: nothing was asked",
                hint="aitbc network status",
                exit_status=Exit.DEADLINE,
            )
        name = send(found, mesh, signer, asked)
        while (left := until - time.monotonic()) > 0:
            heard = inbox.next(left)
            if heard and _answers(heard, asked) and heard.id != name:
                return heard
    raise AitbcError(
        f"no answer of {draft.to} within {deadline_s:.0f} s",
        hint="aitbc message watch --to ADDRESS   # does it listen?",
        exit_status=Exit.DEADLINE,
    )


def stream(
    found: Environment, mesh: MeshClient, *, to: str, topic: str, hooks: Hooks | None = None
) -> Listening:
    """Listen to topics, several with commas, or to what comes to an account.

    Raises: UsageError unless it is one of both.
    """
    _check_goal(found, to=to, topics=topic.split(",") if topic else [])
    if to:
        return Listening(_turned(mesh), f"/messages/{to}", hooks=hooks)
    return Listening(_turned(mesh), "/messages", {"topic": topic}, hooks=hooks)


def written(found: Environment, mesh: MeshClient, signer: Wallet, draft: Draft) -> bytes:
    """Sign a message. Raises: UsageError for what is none."""
    to = _check_goal(found, to=draft.to, topics=[draft.topic] if draft.topic else [])
    _, is_new = payments.next_nonce(mesh, signer.address(found.chain.hrp))
    status = mesh.ask_any(lambda node: node.status())
    letter = Letter(
        chain_id=status.chain_id,
        sender=signer.account,
        to=to,
        topic=draft.topic,
        correlation=draft.correlation,
        number=int.from_bytes(os.urandom(7)),
        valid_until=Height(status.height + draft.blocks),
        policy=signer.policy if is_new else None,
        content=draft.content,
    )
    raw = signer.write(letter)
    if len(raw) > limits.LETTER_BYTES_MAX:
        raise UsageError(
            f"the message takes {len(raw):,} bytes, at most {limits.LETTER_BYTES_MAX:,} are sent",
            hint="shorten it, or send the hash of what it stands for",
        )
    return raw


def _answers(heard: MessageView, asked: Draft) -> bool:
    return heard.correlation == asked.correlation.hex() and heard.sender == asked.to


def _turned(mesh: MeshClient) -> Sequence[RpcClient]:
    """Begin at any node, so that not all who listen do so at the first."""
    begin = secrets.randbelow(len(mesh.nodes))
    return (*mesh.nodes[begin:], *mesh.nodes[:begin])


def _check_goal(found: Environment, *, to: str, topics: list[str]) -> Address | None:
    if bool(to) == bool(topics):
        raise UsageError(
            "to whom? one of --to and --topic", hint="aitbc message publish --topic news TEXT"
        )
    for topic in topics:
        if not is_topic(topic):
            raise UsageError(
                f"{topic[:70]!r} is no topic",
                hint=f"a-z, 0-9 and ._- behind the first, at most {limits.LETTER_TOPIC_CHARS_MAX}",
            )
    return wallet.read_address(to, hrp=found.chain.hrp) if to else None
