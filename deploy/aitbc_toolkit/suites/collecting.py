"""What is taken along from the nodes of a case, before anything is torn down?

Each node's journal and its metrics, the newest part of each, and what was broken when; no more than
a bundle may hold. What cannot be had is named: its absence may be the finding. Do not judge here.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from aitbc_toolkit.asking import MeshClient
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release.hosts import Crew
from aitbc_toolkit.remote import Hosts
from aitbc_toolkit.suites import capturing
from aitbc_toolkit.suites.scenario import replaying
from aitbc_toolkit.suites.timeline import EVENTS

FOLDER = "collected"
MISSING = "missing.txt"
FAULT_LOG = "fault_log.jsonl"
BUNDLE_BYTES = 20_000_000
"""How much all cases of a run may leave; each takes half of what those before have left."""
LINES = 5_000
COLLECTED = ("journals", "metrics", "fault_log")

Journals = Callable[[Environment], Mapping[str, Sequence[str]]]


def collect(
    environment: Environment,
    mesh: MeshClient,
    folder: Path,
    *,
    read: Journals,
    case: str,
    wanted: Collection[str] = COLLECTED,
    packets: Mapping[str, bytes] = MappingProxyType({}),
    lacking: Sequence[str] = (),
) -> Path:
    """Write what is wanted of every node into the folder of a case; return that folder.

    `folder` is the run's, whose other files are left alone. Packets were kept before, or are
    `lacking`; of files of another size than what is left, the newest part is kept.
    """
    told: dict[str, str] = {}
    missing = list(lacking)
    if "journals" in wanted:
        found, why = _journals(environment, read)
        told |= found
        missing += why
    if "metrics" in wanted:
        for name, text in mesh.ask_all(lambda node: node.text("/metrics")).items():
            if isinstance(text, str):
                told[f"{name}.metrics"] = text
            else:
                missing.append(f"{name}.metrics: {text.reason}")
    if "fault_log" in wanted:
        told[FAULT_LOG] = "".join(_faults(folder / EVENTS, case))
    into = folder / FOLDER / replaying.stem(case)
    left = BUNDLE_BYTES - sum(path.stat().st_size for path in into.parent.rglob("*"))
    into.mkdir(parents=True, exist_ok=True)
    share = max(0, left) // 2 // max(1, len(told) + len(packets))
    for name, file in packets.items():
        kept = capturing.newest(file, share)
        (into / name).write_bytes(kept)
        if len(kept) < len(file):
            missing.append(
                f"{name}: the first {len(file) - len(kept):,} of {len(file):,} bytes are missing"
            )
    for name, text in told.items():
        raw = text.encode(errors="replace")
        (into / name).write_bytes(raw[-share:] if share else b"")
        if len(raw) > share:
            missing.append(
                f"{name}: the first {len(raw) - share:,} of {len(raw):,} bytes are missing"
            )
    (into / MISSING).write_text("".join(f"{line}\n" for line in missing), encoding="utf-8")
    return into


def journals(environment: Environment) -> dict[str, Sequence[str]]:
    """Read the newest lines that each node wrote. Raises: AitbcError."""
    names = [each.name for each in environment.instances]
    with Hosts(environment) as remote:
        seen = Crew(environment, remote).watch(names, lines=LINES)
    return {name: service.get("log", []) for name, service in seen.items()}


def _cut(name: str, lost: int, *, whole: int) -> str:
    return f"{name}: the first {lost:,} of {whole:,} bytes are missing"


def _journals(environment: Environment, read: Journals) -> tuple[dict[str, str], list[str]]:
    """Read journals; say whose could not be had, and why."""
    try:
        found = read(environment)
    except AitbcError as failure:
        return {}, [f"journals: {failure.message}"]
    lacking = [each.name for each in environment.instances if each.name not in found]
    told = {f"{name}.journal": "\n".join(lines) for name, lines in found.items()}
    return told, [f"{name}.journal: its host did not tell" for name in lacking]


def _faults(path: Path, case: str) -> Iterator[str]:
    """Pick the rows of a case that say what was broken, and until when."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        row = json.loads(line)
        if row.get("scenario") == case and str(row["kind"]).startswith("fault."):
            yield line
