"""What was decided about trust, by whom and why? One JSON record a line, each bound to the last.

A record holds the hash of the one before it, and a file beside the log holds the newest hash: so
an edit, a removal and a cut end are found. The chain shows tampering by those who cannot write
both files; it does not prevent it. Appending is the only way to write.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment

ROOT = "0" * 64
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """Say what happened; `bypassed` marks what only dev mode let through."""

    action: str
    subject: str
    outcome: str
    who: str
    reason: str
    level: str = ""
    rule: str = ""
    bypassed: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """Hold an entry in its place of the chain."""

    number: int
    at: str
    entry: Entry
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Say where the chain is broken, and how."""

    line: int
    what: str


def path_of(environment: Environment) -> Path:
    """Find the audit log of an environment."""
    return environment.folder / "audit.jsonl"


def append(path: Path, entry: Entry, *, now_s: float | None = None) -> Record:
    """Add a record and see it on the disk.

    Raises: AitbcError when the chain is broken already: nothing is built on a forgery.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        records, findings = check(path)
        if findings:
            raise broken(path, findings)
        _drop_torn_end(path)
        at_s = time.time() if now_s is None else now_s
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))
        previous = records[-1].hash if records else ROOT
        number = len(records) + 1
        digest = _digest(number, at=at, entry=entry, previous=previous)
        record = Record(number, at, entry, previous, digest)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(to_document(record), sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())
        _set_head(path, record)
        return record


def to_document(record: Record) -> dict[str, Any]:
    """Write a record as its line holds it."""
    return {
        "format": FORMAT,
        "number": record.number,
        "at": record.at,
        **asdict(record.entry),
        "previous": record.previous,
        "hash": record.hash,
    }


def check(path: Path) -> tuple[list[Record], list[Finding]]:
    """Read the log and verify every link of it, and that its end is the newest that was written."""
    records: list[Record] = []
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    lines = text.split("\n")[:-1]  # a line that a kill has torn was never a record
    previous = ROOT
    for number, line in enumerate(lines, 1):
        record = _parse(line)
        if record is None:
            return records, [Finding(number, "no record of this log")]
        if record.number != number or record.previous != previous:
            return records, [Finding(number, "a record before it was removed or moved")]
        if record.hash != _digest(number, at=record.at, entry=record.entry, previous=previous):
            return records, [Finding(number, "edited: its hash does not match its text")]
        previous = record.hash
        records.append(record)
    return records, list(_check_head(path, records))


def broken(path: Path, findings: list[Finding]) -> AitbcError:
    """Put a broken chain into one error."""
    first = findings[0]
    return AitbcError(
        f"audit log {path.name} is broken: line {first.line}, {first.what}",
        hint=f"cp {path} {path}.evidence   # keep it, then ask who wrote to it",
        exit_status=Exit.FAILED,
    )


def _check_head(path: Path, records: list[Record]) -> Iterator[Finding]:
    """Find a cut end. One record more than the head says is a kill between two writes."""
    head = _head_path(path)
    number, digest = 0, ROOT
    if head.is_file():
        words = head.read_text(encoding="utf-8").split()
        number, digest = (int(words[0]), words[1]) if len(words) > 1 else (0, ROOT)
    elif records:
        yield Finding(len(records), f"the file {head.name} is missing")
        return
    known = [ROOT, *(each.hash for each in records)]
    if number >= len(known):
        yield Finding(len(records), f"{number - len(records)} newer records were removed")
    elif known[number] != digest:
        yield Finding(number, f"not the record that {head.name} names")
    elif len(records) > number + 1:
        yield Finding(number + 1, f"records that {head.name} does not know")


def _drop_torn_end(path: Path) -> None:
    """Cut what a kill left of a record; the head never named it."""
    if not path.is_file():
        return
    body = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(body.rfind(b"\n") + 1)


def _parse(line: str) -> Record | None:
    try:
        said: Mapping[str, Any] = json.loads(line)
        entry = Entry(**{name: said[name] for name in Entry.__slots__})
        extra = set(said) - set(Entry.__slots__)
        if extra != {"format", "number", "at", "previous", "hash"} or said["format"] != FORMAT:
            return None
        return Record(said["number"], said["at"], entry, said["previous"], said["hash"])
    except (ValueError, TypeError, KeyError):
        return None


def _digest(number: int, *, at: str, entry: Entry, previous: str) -> str:
    """Hash a record with the one before it.

    Shape: sorted keys, no spaces, so that the same record always has the same bytes.
    """
    fields = {"format": FORMAT, "number": number, "at": at, "previous": previous, **asdict(entry)}
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"aitbc/audit\0{text}".encode()).hexdigest()


def _head_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.head")


def _set_head(path: Path, record: Record) -> None:
    fresh = path.with_name(f".{path.name}.head.new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(f"{record.number} {record.hash}\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(_head_path(path))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.with_name(f".{path.name}.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
