"""What was deployed before, and what does a rollback return to? One JSON record a line.

The file on the operator's machine and the journals on the hosts hold the same records: one when a
run is announced, one when it ends. Appending is the only way to write. No hosts here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from aitbc_toolkit import chain
from aitbc_toolkit.chain import Finding
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment

FORMAT = 1
KEEP_HEALTHY = 5

Outcome = Literal["unknown", "interrupted", "mixed", "rolled back", "healthy"]
"""From what is known least to what is known best: of two records of a run the later one counts."""

OPEN: frozenset[Outcome] = frozenset({"unknown", "interrupted", "mixed"})
DOMAIN = "aitbc/history"

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
    """Hold one deploy or rollback; `unknown` is one that was announced and not closed yet.

    `nodes` says what each node has when it ends well; a deploy of some leaves others as they were.
    `returning` is why the run goes back, from before the first node does; it never goes on again.
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
    returning: str = ""
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

    def to_document(self) -> dict[str, Any]:
        """Write the record as journals hold it."""
        return asdict(self)


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
    lines, _ = chain.check(path_of(environment), domain=DOMAIN)
    parsed = map(_parse, [*(line.get("record") for line in lines), *hosts])
    found: dict[str, Record] = {}
    for record in parsed:
        if record and _knows_more(record, found.get(record.id)):
            found[record.id] = record
    return sorted(
        (each for each in found.values() if genesis_hash in {None, each.genesis_hash}),
        key=lambda record: (record.started, record.number),
    )


def append(environment: Environment, record: Record) -> None:
    """Add a record and see it on the disk.

    Raises: AitbcError (refused) when somebody has changed the file.
    """
    path = path_of(environment)
    try:
        chain.append(path, {"record": record.to_document()}, domain=DOMAIN)
    except chain.BrokenChainError as broken:
        raise forged(broken) from broken


def forged(broken: chain.BrokenChainError) -> AitbcError:
    """Put a log that somebody has changed into one error."""
    return AitbcError(
        f"{broken}\n  changed so far   nothing, on no host",
        hint=f"mv {broken.path} {broken.path}.evidence   # keep it, then ask who wrote to it",
        exit_status=Exit.REFUSED,
    )


def findings(environment: Environment) -> list[Finding]:
    """Verify the file of records on this machine."""
    return chain.check(path_of(environment), domain=DOMAIN)[1]


def newest_of(records: Sequence[Record], commit: str) -> Record | None:
    """Find the newest run that was to take nodes to a commit."""
    return next((each for each in reversed(records) if each.commit == commit), None)


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
    if line and records[-1].outcome in OPEN:
        last = records[-1]
        if last.action == "rollback":
            return next(each for each in line if each.release.key == last.release.key), []
        # What should be running is not, so that is what there is to return to.
        line.append(last)
    if len(line) < 2:  # noqa: PLR2004 - the current release and one before it
        known = "none was healthy yet" if records else "this chain has had no deploy yet"
        if line:
            known = f"none before {line[-1].commit[:12]} was healthy"
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


def _knows_more(record: Record, known: Record | None) -> bool:
    """Tell whether a record takes the place of another one of the same run."""
    return known is None or _rank(record) >= _rank(known)


def _rank(record: Record) -> tuple[int, bool]:
    """Put the records of one run in order; a host that missed its turn back takes none back."""
    return get_args(Outcome).index(record.outcome), bool(record.returning)


def _parse(fields: object) -> Record | None:
    """Read one record; one of another version is passed over."""
    try:
        return Record(**fields) if fields["format"] == FORMAT else None  # type: ignore[arg-type, index]
    except (KeyError, TypeError):
        return None
