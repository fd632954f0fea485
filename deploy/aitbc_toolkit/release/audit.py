"""What was decided about trust, by whom and why? One JSON record a line, each bound to the last.

How the lines are bound, and what that finds, is `chain`; here is what a record says.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aitbc_toolkit import chain
from aitbc_toolkit.chain import Finding
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment

ROOT = chain.ROOT
FORMAT = 1

_DOMAIN = "aitbc/audit"


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


def path_of(environment: Environment) -> Path:
    """Find the audit log of an environment."""
    return environment.folder / "audit.jsonl"


def append(path: Path, entry: Entry, *, now_s: float | None = None) -> Record:
    """Add a record and see it on the disk.

    Raises: AitbcError when the chain is broken already: nothing is built on a forgery.
    """
    at_s = time.time() if now_s is None else now_s
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))
    body = {"format": FORMAT, "at": at, **asdict(entry)}
    try:
        line = chain.append(path, body, domain=_DOMAIN)
    except chain.BrokenChainError as forged:
        raise broken(path, forged.findings) from forged
    return Record(line["number"], at, entry, line["previous"], line["hash"])


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
    lines, findings = chain.check(path, domain=_DOMAIN)
    for line in lines:
        record = _parse(line)
        if record is None:
            return records, [Finding(line["number"], "no record of this log")]
        records.append(record)
    return records, findings


def broken(path: Path, findings: list[Finding]) -> AitbcError:
    """Put a broken chain into one error."""
    first = findings[0]
    return AitbcError(
        f"audit log {path.name} is broken: line {first.line}, {first.what}",
        hint=f"cp {path} {path}.evidence   # keep it, then ask who wrote to it",
        exit_status=Exit.FAILED,
    )


def _parse(said: Mapping[str, Any]) -> Record | None:
    extra = set(said) - set(Entry.__slots__)
    if extra != {"format", "number", "at", "previous", "hash"} or said["format"] != FORMAT:
        return None
    try:
        entry = Entry(**{name: said[name] for name in Entry.__slots__})
    except KeyError:
        return None
    return Record(said["number"], said["at"], entry, said["previous"], said["hash"])
