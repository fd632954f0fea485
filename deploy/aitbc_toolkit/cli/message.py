"""`aitbc message`: what accounts say to each other and on topics, on no block and for no fee."""

import base64
import time
from collections.abc import Callable

import click
import msgspec

from aitbc_node import limits
from aitbc_node.rpc.mailing import MessageView
from aitbc_toolkit import messaging
from aitbc_toolkit.cli.acting import Way, deadline_option, node_option, signing_options
from aitbc_toolkit.cli.reaching import environment_option, json_option, reach
from aitbc_toolkit.cli.saying import say
from aitbc_toolkit.cli.tables import printable
from aitbc_toolkit.errors import Exit, UsageError
from aitbc_toolkit.listening import Hooks, Listening
from aitbc_toolkit.messaging import Draft

FOR_S_MAX = 86_400

_to = click.option("--to", default="", help="The address of an account.")
_blocks = click.option(
    "--blocks",
    type=click.IntRange(1, limits.LETTER_BLOCKS_MAX),
    default=messaging.BLOCKS,
    show_default=True,
    help="For how many blocks nodes pass it on.",
)


@click.group()
def message() -> None:
    """Send signed messages to accounts and on topics, hear them, ask and wait."""


@message.command()
@click.argument("text")
@_to
@click.option("--topic", default="", help="A topic instead; whoever listens hears it.")
@click.option("--correlation", default="", help="What the question said, to answer it.")
@_blocks
@signing_options
def publish(text: str, *, to: str, topic: str, correlation: str, blocks: int, way: Way) -> Exit:
    """Send TEXT to an account or on a topic. It is secret to nobody.

    Example: aitbc message publish "12 AIT" --topic prices --key FILE
    """
    with reach(way.environment) as (found, mesh):
        if way.node:
            found.instance(way.node)
        draft = Draft(_bytes(text), to, topic, _correlation(correlation), blocks)
        name = messaging.send(found, mesh, way.signer(found), draft, node=way.node)
    click.echo(msgspec.json.encode({"id": name}).decode() if way.as_json else f"sent {name}")
    return Exit.OK


@message.command()
@_to
@click.option("--topic", default="", help="A topic instead, or several with commas.")
@click.option("--count", type=click.IntRange(1), help="End after so many.")
@click.option("--for", "for_s", type=click.IntRange(1, FOR_S_MAX), help="End after such seconds.")
@node_option
@environment_option
@json_option
def watch(
    *,
    to: str,
    topic: str,
    count: int | None,
    for_s: int | None,
    node: str,
    environment: str,
    as_json: bool,
) -> Exit:
    """Print messages to an account, or on topics, as they come.

    Example: aitbc message watch --topic prices -e lab
    """
    with reach(environment, node=node) as (found, mesh):
        hooks = _narrated()
        with messaging.stream(found, mesh, to=to, topic=topic, hooks=hooks) as heard:
            _print_all(heard, count=count, for_s=for_s, show=_json if as_json else _line)
    return Exit.OK


@message.command()
@click.argument("address")
@click.argument("text")
@_blocks
@deadline_option
@signing_options
def ask(address: str, text: str, *, blocks: int, deadline: int, way: Way) -> Exit:
    """Send TEXT to ADDRESS and wait for its answer, which names the same conversation.

    Example: aitbc message ask ADDRESS "how much?" --key FILE --deadline 10
    """
    with reach(way.environment, node=way.node) as (found, mesh):
        draft = Draft(_bytes(text), address, blocks=blocks)
        heard = messaging.ask(found, mesh, way.signer(found), draft, deadline_s=deadline)
    click.echo(_json(heard) if way.as_json else _content(heard))
    return Exit.OK


def _print_all(
    heard: Listening,
    *,
    count: int | None,
    for_s: int | None,
    show: Callable[[MessageView], str],
) -> None:
    until = time.monotonic() + (for_s or 10 * 365 * FOR_S_MAX)
    left = count
    while left != 0 and (wait_s := until - time.monotonic()) > 0:
        found = heard.next(min(wait_s, 1.0))
        if found is not None:
            click.echo(show(found))
            left = None if left is None else left - 1


def _narrated() -> Hooks:
    """Tell on standard error what becomes of the stream."""

    def gap(node: str, lost: int | None) -> None:
        missing = "some may be" if lost is None else f"up to {lost:,} are"
        say(f"{node}: messages were missed, {missing} lost", err=True)

    return Hooks(
        opened=lambda node: say(f"{node}: listening", err=True),
        lost=lambda node, reason: say(f"{node}: {printable(reason)}", err=True),
        gap=gap,
    )


def _json(heard: MessageView) -> str:
    return msgspec.json.encode(heard).decode()


def _line(heard: MessageView) -> str:
    where = f"#{heard.topic}" if heard.to is None else "to you"
    thread = f" ({heard.correlation})" if heard.correlation else ""
    return printable(f"{heard.sender} {where}{thread}: {_content(heard)}")


def _content(heard: MessageView) -> str:
    """Write what it says: text, or base64 where it is none."""
    try:
        return printable(heard.content.decode())
    except UnicodeDecodeError:
        return base64.b64encode(heard.content).decode()


def _bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as wrong:
        raise UsageError("the text is no UTF-8", hint="check the terminal's LANG") from wrong


def _correlation(text: str) -> bytes:
    try:
        read = bytes.fromhex(text)
    except ValueError:
        read = bytes(limits.LETTER_CORRELATION_BYTES_MAX + 1)
    if len(read) > limits.LETTER_CORRELATION_BYTES_MAX:
        raise UsageError(
            f"{text[:40]!r} is not what a message's correlation looks like",
            hint="aitbc message watch --to ADDRESS --json   # has it with each question",
        )
    return read
