"""How is a log kept so that an edit, a removal and a cut end are found? Each line binds the last.

A line holds the hash of the one before it, and a file beside the log holds the newest hash. The
chain shows tampering by those who cannot write both files; it does not prevent it. Appending is the
only way to write. Standard library only: hosts run this too.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = "0" * 64


class Finding(NamedTuple):
    """Say where the chain is broken, and how."""

    line: int
    what: str


class BrokenChainError(Exception):
    """Say that nothing was appended, because nothing is built on a forgery."""

    def __init__(self, path: Path, findings: list[Finding]) -> None:
        super().__init__(f"{path} is broken: line {findings[0].line}, {findings[0].what}")
        self.path = path
        self.findings = findings


def append(path: Path, body: Mapping[str, Any], *, domain: str) -> dict[str, Any]:
    """Add a line and see it on the disk; return it with its number and hash.

    Raises: BrokenChainError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        lines, findings = check(path, domain=domain)
        if findings:
            raise BrokenChainError(path, findings)
        _drop_torn_end(path)
        if not lines:
            _set_head(path, 0, ROOT)  # so that a missing head is never an innocent kill
        previous = lines[-1]["hash"] if lines else ROOT
        line = {**body, "number": len(lines) + 1, "previous": previous}
        line["hash"] = _digest(line, domain=domain)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())
        _set_head(path, line["number"], line["hash"])
        return line


def check(path: Path, *, domain: str) -> tuple[list[dict[str, Any]], list[Finding]]:
    """Read the log and verify every link of it, and that its end is the newest that was written."""
    lines: list[dict[str, Any]] = []
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    previous = ROOT
    # A line that a kill has torn was never a line.
    for number, written in enumerate(text.split("\n")[:-1], 1):
        line = _parse(written)
        if line is None:
            return lines, [Finding(number, "no record of this log")]
        if line["number"] != number or line["previous"] != previous:
            return lines, [Finding(number, "a record before it was removed or moved")]
        if line["hash"] != _digest(line, domain=domain):
            return lines, [Finding(number, "edited: its hash does not match its text")]
        previous = line["hash"]
        lines.append(line)
    return lines, list(_check_head(path, lines))


def _check_head(path: Path, lines: list[dict[str, Any]]) -> Iterator[Finding]:
    """Find a cut end. One line more than the head says is a kill between two writes."""
    head = _head_path(path)
    number, digest = 0, ROOT
    if head.is_file():
        words = head.read_text(encoding="utf-8").split()
        number, digest = (int(words[0]), words[1]) if len(words) > 1 else (0, ROOT)
    elif lines:
        yield Finding(len(lines), f"the file {head.name} is missing")
        return
    known = [ROOT, *(each["hash"] for each in lines)]
    if number >= len(known):
        yield Finding(len(lines), f"{number - len(lines)} newer records were removed")
    elif known[number] != digest:
        yield Finding(number, f"not the record that {head.name} names")
    elif len(lines) > number + 1:
        yield Finding(number + 1, f"records that {head.name} does not know")


def _drop_torn_end(path: Path) -> None:
    """Cut what a kill left of a line; the head never named it."""
    if not path.is_file():
        return
    body = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(body.rfind(b"\n") + 1)


def _parse(written: str) -> dict[str, Any] | None:
    try:
        line = json.loads(written)
    except ValueError:
        return None
    whole = isinstance(line, dict) and {"number", "previous", "hash"} <= set(line)
    return line if whole else None


def _digest(line: Mapping[str, Any], *, domain: str) -> str:
    """Hash a line with the one before it.

    Shape: sorted keys, no spaces, so that the same line always has the same bytes.
    """
    fields = {name: value for name, value in line.items() if name != "hash"}
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{domain}\0{text}".encode()).hexdigest()


def _head_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.head")


def _set_head(path: Path, number: int, digest: str) -> None:
    fresh = path.with_name(f".{path.name}.head.new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(f"{number} {digest}\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(_head_path(path))
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.with_name(f".{path.name}.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
