"""How the node is started from a command line: `aitbc-node run | init | inspect | replay ...`.

Parses, calls one function, prints. Data goes to standard output, everything else to standard error;
exit statuses are those of `docs/exit-codes.md`. Do not add behaviour here.
"""

import argparse
import contextlib
import functools
import json
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from aitbc_node import config as configuration
from aitbc_node import logs
from aitbc_node.errors import AitbcError, Exit, UsageError
from aitbc_node.types import Height, PeerId
from aitbc_node.version import VERSION

if TYPE_CHECKING:
    from aitbc_node.restarts import FastExits

PEER_ID_BYTES = 20

log = logging.getLogger(__name__)


class _Parser(argparse.ArgumentParser):
    """Refuse a wrong command line with the house's status and two lines."""

    def error(self, message: str) -> Any:
        raise UsageError(message, hint=self.format_usage().removeprefix("usage: ").strip())


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    if not __debug__:
        _complain("python -O removes the node's assertions", "start it without -O")
        return Exit.USAGE
    try:
        options = _parser().parse_args(argv)
        return int(options.command(options))
    except AitbcError as error:
        _complain(error.message, error.hint)
        return int(error.exit_status)
    except BrokenPipeError:
        return Exit.FAILED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except Exception:
        logging.basicConfig()  # where logging was not set up yet; does nothing otherwise
        log.critical("bug", exc_info=True)
        return Exit.BUG
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()


def _run(options: argparse.Namespace) -> int:
    from aitbc_node.collecting import share_one_heap  # noqa: PLC0415 - as below
    from aitbc_node.heartbeat import Heart, notify_address  # noqa: PLC0415 - as below

    share_one_heap()  # the heart's alarm is the first of the threads
    heart = Heart(notify_address())
    heart.wake()
    from aitbc_node import process, restarts  # noqa: PLC0415 - `init` must not wait for these

    heart.beat()
    config = configuration.load(options.config)
    logs.set_up(node=config.node.id, level=config.node.log_level, style=config.node.log_format)
    exits = restarts.FastExits(config.run_dir)
    delay = exits.begin()
    status: int | None = None
    signal.signal(signal.SIGTERM, functools.partial(_asked_to_stop, exits))
    try:
        if delay.seconds:
            log.warning("start.delayed", extra={"seconds": delay.seconds})
            heart.sleep(delay.seconds)
        process.run(config, not_before=options.not_before_height, exits=exits, heart=heart)
        status = Exit.OK
    except AitbcError as error:
        status = error.exit_status
        log.error("node.failed", extra={"error": error.message, "hint": error.hint})  # noqa: TRY400 - the line is for people, the traceback says nothing more
        raise
    finally:
        if status in (Exit.OK, Exit.CONFIG, Exit.BUSY):
            exits.ended_orderly()
    log.info("node.stopped")
    return status


def _asked_to_stop(exits: "FastExits", *_signal: object) -> None:
    """End while nothing runs yet: before the start, or while a long log is read."""
    exits.ended_orderly()
    raise SystemExit(Exit.OK)


def _init(options: argparse.Namespace) -> int:
    from aitbc_node import keymaking  # noqa: PLC0415 - see _run

    made = keymaking.make(
        options.key_dir, role=options.role, hrp=options.hrp, chain_id=options.chain_id
    )
    _print(made, as_json=options.json)
    return Exit.OK


def _begin_signing(options: argparse.Namespace) -> int:
    from aitbc_node import keymaking  # noqa: PLC0415 - see _run

    done = keymaking.begin_signing(options.key_dir, options.not_before_height)
    _print(done, as_json=options.json)
    return Exit.OK


def _sign_rotation(options: argparse.Namespace) -> int:
    from aitbc_node import succession  # noqa: PLC0415 - see _run

    try:
        rotation = msgspec.json.decode(sys.stdin.buffer.read(), type=succession.Rotation)
    except msgspec.DecodeError as wrong:
        raise UsageError(f"standard input is no rotation: {wrong}", hint="see --help") from wrong
    signed = succession.sign_rotation(options.key_dir, rotation)
    _print({"transaction": signed.hex()}, as_json=True)
    return Exit.OK


def _node_key(options: argparse.Namespace) -> int:
    from aitbc_node import renaming  # noqa: PLC0415 - see _run

    done = renaming.act(options.what, options.key_dir, sys.stdin.buffer.read())
    _print(done, as_json=True)
    return Exit.OK


def _inspect(options: argparse.Namespace) -> int:
    from aitbc_node import inspection  # noqa: PLC0415 - see _run

    looks: dict[str, Callable[[configuration.Config], dict[str, Any]]] = {
        "log": inspection.log,
        "state": inspection.state,
        "sign-state": inspection.sign_state,
        "config": inspection.configuration,
        "block": lambda config: inspection.block(config, options.height),
    }
    if options.what == "block" and options.height is None:
        raise UsageError("which block?", hint="aitbc-node inspect block HEIGHT --config FILE")
    _print(looks[options.what](configuration.load(options.config)), as_json=options.json)
    return Exit.OK


def _replay(options: argparse.Namespace) -> int:
    from aitbc_node import replaying, startup  # noqa: PLC0415 - see _run
    from aitbc_node.storage.files import ReadOnlyFiles  # noqa: PLC0415 - see _run

    done = replaying.replay(
        ReadOnlyFiles(options.data_copy),
        startup.load_genesis(options.genesis),
        replaying.Span(options.first, options.to, options.last),
        deadline_s=options.deadline,
    )
    _print(done.facts(), as_json=options.json)
    return done.exit_status


def _wire(options: argparse.Namespace) -> int:
    from aitbc_node import shaking, wire  # noqa: PLC0415 - see _run

    match options.what:
        case "write":
            _print_record(wire.write())
            return Exit.OK
        case "read":
            readings = wire.read(sys.stdin.buffer.read())
            _print_record(readings)
            return Exit.OK if readings.ok else Exit.FAILED
    if bool(options.dial) != bool(options.peer):
        raise UsageError("--dial and --peer go together", hint="aitbc-node wire shake --help")
    try:
        shaken = shaking.shake(
            dial=options.dial,
            peer=options.peer,
            deadline_s=options.deadline,
            invite=_print_record,
        )
    except TimeoutError:
        why = f"no link within {options.deadline:.0f} s"
        raise AitbcError(why, exit_status=Exit.DEADLINE) from None
    _print_record(shaken)
    return shaken.exit_status


def _version(options: argparse.Namespace) -> int:
    from aitbc_node.blocks import PROTOCOL_VERSION  # noqa: PLC0415 - see _run
    from aitbc_node.ledger.upgrades import APP_VERSION  # noqa: PLC0415 - see _run
    from aitbc_node.storage.versions import DATA_VERSIONS  # noqa: PLC0415 - see _run

    versions = {
        "version": VERSION,
        "protocol": PROTOCOL_VERSION,
        "data_versions": [DATA_VERSIONS.oldest, DATA_VERSIONS.newest],
        "app_version": APP_VERSION,
    }
    _print(versions, as_json=options.json)
    return Exit.OK


def _print_record(record: msgspec.Struct) -> None:
    """Print one line of JSON, now: another program waits for it."""
    sys.stdout.write(msgspec.json.encode(record).decode() + "\n")
    sys.stdout.flush()


def _print(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(facts) + "\n")
        return
    from aitbc_node.inspection import lines  # noqa: PLC0415 - see _run

    sys.stdout.writelines(f"{line}\n" for line in lines(facts))


def _complain(message: str, hint: str) -> None:
    sys.stderr.write(f"error: {message}\n")
    sys.stderr.writelines(f"hint: {line}\n" for line in hint.splitlines())


def _height(text: str) -> Height:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a height")
    return Height(int(text))


def _peer(text: str) -> PeerId:
    with contextlib.suppress(ValueError):
        if len(peer := bytes.fromhex(text)) == PEER_ID_BYTES:
            return PeerId(peer)
    raise argparse.ArgumentTypeError(f"{text!r} is no peer id: 40 hex digits")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < (seconds := float(text)) < float("inf"):
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="aitbc-node", description="One node of an AITBC mesh.", allow_abbrev=False
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run a node until it is told to stop")
    run.add_argument("--config", type=Path, required=True, metavar="FILE", help="node.toml")
    run.add_argument(
        "--not-before-height",
        type=_height,
        metavar="H",
        help="vote again with a key whose sign state is lost, from height H on",
    )
    run.set_defaults(command=_run)

    init, begin = _key_commands(commands)

    inspect = commands.add_parser("inspect", help="show what is on disk, changing nothing")
    inspect.add_argument("what", choices=("log", "block", "state", "sign-state", "config"))
    inspect.add_argument("height", type=_height, nargs="?", help="for `block`")
    inspect.add_argument("--config", type=Path, required=True, metavar="FILE", help="node.toml")
    inspect.set_defaults(command=_inspect)

    replay = commands.add_parser("replay", help="execute logged blocks again, compare the roots")
    replay.add_argument("--data-copy", type=Path, required=True, metavar="DIR", help="read only")
    replay.add_argument("--genesis", type=Path, required=True, metavar="FILE")
    replay.add_argument("--from", dest="first", type=_height, metavar="A", help="default: 1")
    replay.add_argument("--last", type=_height, metavar="K", help="instead of --from: K blocks")
    replay.add_argument("--to", type=_height, metavar="B", help="default: the newest")
    replay.add_argument("--deadline", type=_seconds, default=60.0, metavar="S", help="default: 60")
    replay.set_defaults(command=_replay)

    wire = commands.add_parser("wire", help="examples of what travels, for another build; JSON")
    wire.add_argument("what", choices=("write", "read", "shake"), help="read: standard input")
    wire.add_argument("--dial", default="", metavar="ADDRESS", help="shake: without, accept")
    wire.add_argument("--peer", type=_peer, metavar="ID", help="shake: whom to expect there")
    wire.add_argument("--deadline", type=_seconds, default=20.0, metavar="S", help="default: 20")
    wire.set_defaults(command=_wire)

    version = commands.add_parser("version", help="show versions")
    version.set_defaults(command=_version)
    for command in (init, begin, inspect, replay, version):
        command.add_argument("--json", action="store_true", help="one JSON document")
    return parser


def _key_commands(commands: Any) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    init = commands.add_parser("init", help="make keys where they are missing; print public parts")
    init.add_argument("--key-dir", type=Path, required=True, metavar="DIR")
    init.add_argument("--role", choices=("validator", "full"), default="validator")
    init.add_argument("--hrp", default="", help="address prefix; prints the operator's address")
    init.add_argument("--chain-id", default="", help="prints the proof of possession")
    init.set_defaults(command=_init)

    begin = commands.add_parser("begin-signing", help="a sign state for a key from a backup")
    begin.add_argument("--key-dir", type=Path, required=True, metavar="DIR")
    begin.add_argument(
        "--not-before-height",
        type=_height,
        required=True,
        metavar="H",
        help="at least 3 above the tip of the chain; the old host is gone for good",
    )
    begin.set_defaults(command=_begin_signing)

    rotation = commands.add_parser(
        "sign-rotation", help="let the operator's key say that another consensus key votes"
    )
    rotation.add_argument("--key-dir", type=Path, required=True, metavar="DIR")
    rotation.set_defaults(command=_sign_rotation)

    node_key = commands.add_parser(
        "node-key", help="another key by which the others know the node; words on standard input"
    )
    node_key.add_argument("what", choices=("offer", "take", "sign"))
    node_key.add_argument("--key-dir", type=Path, required=True, metavar="DIR")
    node_key.set_defaults(command=_node_key)
    return init, begin


if __name__ == "__main__":
    sys.exit(main())
