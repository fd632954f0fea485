"""Are the records of all runs whole, here and on every host, and none missing? Reads only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import founding, history, journal
from aitbc_toolkit.release.history import Record
from aitbc_toolkit.release.occupation import looking
from aitbc_toolkit.release.outcome import counted

HERE = "here"


@dataclass(frozen=True, slots=True)
class Shelf:
    """Say what one place holds; `findings` is empty where nothing was edited, removed or missed.

    `runs` is None for a host that does not answer: what it holds is unknown.
    """

    place: str
    runs: int | None
    findings: Sequence[str]

    def to_document(self) -> dict[str, Any]:
        """Write it for programs."""
        return {"place": self.place, "runs": self.runs, "findings": list(self.findings)}

    def to_line(self) -> str:
        """Write it for people."""
        if self.runs is None:
            return f"{self.place:<14} unknown, the host does not answer"
        return f"{self.place:<14} {counted(self.runs, 'run')}, " + (
            "; ".join(self.findings) or "each record bound to the last"
        )


def verify(environment: Environment) -> list[Shelf]:
    """Verify every chain of this environment; a host that does not answer is unknown."""
    with looking(environment, lambda _record: None) as run:
        answers = run.crew.answers()
    founded = founding.read(environment)
    known = history.read(environment, genesis_hash=founded.hash if founded else None)
    shelves = [Shelf(HERE, len(known), _here(environment))]
    for host in environment.hosts:
        told = answers.get(host.name)
        shelves.append(_there(host.name, told, known) if told else Shelf(host.name, None, []))
    return shelves


def _here(environment: Environment) -> list[str]:
    found = [
        f"{history.path_of(environment).name} line {each.line}, {each.what}"
        for each in history.findings(environment)
    ]
    journals = journal.findings(environment)
    return [*found, *(f"{name} line {each.line}, {each.what}" for name, each in journals)]


def _there(host: str, told: Mapping[str, Any], known: Sequence[Record]) -> Shelf:
    ids = {each["id"] for each in told["records"]}
    missing = [f"lacks run {each.id}, {each.outcome}" for each in known if each.id not in ids]
    return Shelf(host, len(ids), [*told["journal"], *missing])
