"""How somebody forges an audit log who can write every file of it: its chain is right again."""

from collections.abc import Sequence
from pathlib import Path

from aitbc_toolkit.release import audit

OTHER = audit.Entry("operate", "nothing", "permitted", "nobody", "", bypassed=True)


def rewrite(path: Path, *, keep: int, then: Sequence[audit.Entry]) -> None:
    """Write a log anew from some record on, with a chain and a head that are right again."""
    kept = audit.check(path)[0][:keep]
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:keep]), encoding="utf-8")
    head = kept[-1].hash if kept else audit.ROOT
    path.with_name(f"{path.name}.head").write_text(f"{keep} {head}\n", encoding="utf-8")
    for entry in then:
        audit.append(path, entry)
