"""What is said of an audit log's newest record, and does a log still agree with what was said?

Hosts and the ledger are told the same few words, and are compared in the same way. Pure. Do not add
how they are told: `witnessing` tells the hosts, `anchoring` the ledger.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from aitbc_toolkit.chain import Finding
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import audit
from aitbc_toolkit.release.audit import Record
from aitbc_toolkit.release.source import who

_SHORT = 12

_Hash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Head(msgspec.Struct, frozen=True):
    """Hold what somebody remembers: how far a log went, as `statement` says it."""

    environment: str
    log: _Hash
    place: str
    number: Annotated[int, Meta(ge=1)]
    head: _Hash
    at: Annotated[datetime, Meta(tz=True)]
    told: Annotated[datetime, Meta(tz=True)] | None = None
    """When it was told, where that is known: `at` is the newest record's time."""


def statement(environment: Environment, records: Sequence[Record]) -> dict[str, Any]:
    """Say how far this log goes; it has a record at least."""
    newest = records[-1]
    return {
        "environment": environment.name,
        "log": log(records),
        "place": place(environment),
        "number": newest.number,
        "head": newest.hash,
        "at": newest.at,
    }


def read(said: str | bytes) -> Head | None:
    """Read what somebody remembers; None where that is no statement of ours: others write too."""
    try:
        return msgspec.json.decode(said, type=Head)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def difference(
    environment: Environment, records: Sequence[Record], said: Head | None, *, told: str
) -> Finding | None:
    """Find what was said else than the log here says; of another place's log it says nothing.

    What is no statement at all is a finding: nobody who works here has said it.
    `told` begins the sentence: who was told, like "hosts were told".
    """
    if said is None:
        return Finding(0, f"{told} something that is no head of a log")
    number = said.number
    if said.log != log(records):
        if said.place != place(environment):
            return None
        return Finding(0, f"{told} of another log of this place, of {number} records: it is gone")
    if number > len(records):
        return Finding(len(records), f"{told} of {number} records, {len(records)} are here")
    now = records[number - 1].hash
    if now != said.head:
        was = said.head[:_SHORT]
        return Finding(number, f"{told} that it is {was}, here it is {now[:_SHORT]}")
    return None


def log(records: Sequence[Record]) -> str:
    """Name a log by its first record, which it keeps for ever."""
    return records[0].hash if records else audit.ROOT


def place(environment: Environment) -> str:
    """Name this log's place without telling it: another checkout's log is another log."""
    return hashlib.sha256(f"{who()}\0{audit.path_of(environment)}".encode()).hexdigest()[:16]
