"""What was deployed before, and what does a rollback return to? One JSON record a line.

The file on the operator's machine and the journals on the hosts hold the same records. Appending
is the only way to write. No hosts here.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment

FORMAT = 1
KEEP_HEALTHY = 5

Outcome = Literal["healthy", "rolled back", "mixed", "interrupted"]

Place = tuple[str, str]
"""A release of one node: commit and configuration hash; two empty texts for none."""

NOTHING: Place = ("", "")


@dataclass(frozen=True, slots=True)
class Release:
    """Name a release: each node's commit and configuration hash."""

    places: Mapping[str, Place]

    @property
    def key(self) -> tuple[tuple[str, Place], ...]:
        """Give what makes two releases the same one."""
        return tuple(sorted(self.places.items()))


@dataclass(frozen=True, slots=True)
class Record:
    """Hold one finished deploy or rollback.

    `nodes` says what each node has when it ends well; a deploy of some leaves others as they were.
    """

    id: str
    number: int
    action: Literal["deploy", "rollback"]
    environment: str
    commit: str
    subject: str
    configs: Mapping[str, str]
    previous: Mapping[str, Sequence[str]]
    outcome: Outcome
    reason: str
    started: str
    took_s: float
    who: str
    genesis_hash: str
    snapshot: bool
    nodes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def release(self) -> Release:
        """Give the release that this record is about."""
        return Release(self.places)

    @property
    def places(self) -> dict[str, Place]:
        """Say what each node has when it ends well."""
        if self.nodes:
            return {name: (place[0], place[1]) for name, place in self.nodes.items()}
        return {name: (self.commit, config) for name, config in self.configs.items()}

    def to_line(self) -> str:
        """Write the record as its line."""
        return json.dumps(asdict(self), sort_keys=True)


def path_of(environment: Environment) -> Path:
    """Find the operator's file of records."""
    return environment.folder / "history.jsonl"


def read(
    environment: Environment,
    *,
    hosts: Iterable[Mapping[str, Any]] = (),
    genesis_hash: str | None = None,
) -> list[Record]:
    """Read the records, those that only hosts have included, the oldest first.

    With a genesis hash, only those of that chain: an earlier chain's releases are gone with it.
    """
    path = path_of(environment)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    parsed = map(_parse, [*lines, *map(json.dumps, hosts)])
    found = {record.id: record for record in parsed if record}
    return sorted(
        (each for each in found.values() if genesis_hash in {None, each.genesis_hash}),
        key=lambda record: (record.started, record.number),
    )


def append(environment: Environment, record: Record) -> None:
    """Add a record and see it on the disk."""
    path = path_of(environment)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(record.to_line() + "\n")
        file.flush()
        os.fsync(file.fileno())


def newest_healthy(records: Sequence[Record]) -> Record | None:
    """Find the record of the release that should be running."""
    line = _line_of_descent(records)
    return line[-1] if line else None


def before(
    records: Sequence[Record], *, environment: str, is_down: bool = False
) -> tuple[Record, list[Record]]:
    """Find what a rollback returns to, and the releases that it skips.

    Where nothing runs, a refusal says so first: starting a mesh is another verb.

    Raises: AitbcError (refused) when no release was healthy before the current one.
    """
    line = _line_of_descent(records)
    if line and records[-1].outcome in {"mixed", "interrupted"}:
        last = records[-1]
        if last.action == "rollback":
            return next(each for each in line if each.release.key == last.release.key), []
        # What should be running is not, so that is what there is to return to.
        line.append(last)
    if len(line) < 2:  # noqa: PLR2004 - the current release and one before it
        known = (
            f"none before {line[-1].commit[:12]} was healthy" if line else "none was healthy yet"
        )
        raise AitbcError(
            f"rollback {environment} refused: {f'{environment} is down, and ' if is_down else ''}"
            f"there is no release to return to, {known}\n"
            "  changed so far   nothing, on no host",
            hint=f"aitbc deploy {environment}   # starts it"
            if is_down
            else f"aitbc history {environment}",
            exit_status=Exit.REFUSED,
        )
    target = line[-2]
    at = records.index(target)
    skipped = [each for each in records[at + 1 :] if each.outcome != "healthy"]
    return target, skipped


def kept_commits(records: Sequence[Record]) -> list[str]:
    """List the commits that hosts keep: the newest healthy ones, whatever failed since."""
    newest = _line_of_descent(records)[: -KEEP_HEALTHY - 1 : -1]
    return list(dict.fromkeys(place[0] for each in newest for place in each.places.values()))


def _line_of_descent(records: Sequence[Record]) -> list[Record]:
    """Follow the healthy releases: a deploy adds one, a rollback drops those after its target."""
    line: list[Record] = []
    for record in records:
        if record.outcome != "healthy":
            continue
        keys = [each.release.key for each in line]
        if record.release.key in keys:
            at = keys.index(record.release.key)
            if record.action == "rollback":
                line = line[: at + 1]
                continue
            del line[at]
        line.append(record)
    return line


def _parse(line: str) -> Record | None:
    """Read one record; a line that a kill has torn, or of another version, is passed over."""
    try:
        fields = json.loads(line)
        return Record(**fields) if fields.get("format") == FORMAT else None
    except (ValueError, TypeError, AttributeError):
        return None
