"""What do all benchmarks of this project say, one after the other on one machine?

Each part tells of which machine and commit its figures are. A part that fails costs its own figures
and says why; what was measured before it is on the disk. Do not add how anything is measured.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aitbc_toolkit import measured, paths
from aitbc_toolkit.benchmarks import deploying, generating, hot_paths, ledger, throughput
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.release.progress import Tell, step
from aitbc_toolkit.suites.verdicts import Verdict, worst

Document = dict[str, Any]

NOT_JUDGED = "not judged"
VALIDATORS = 4
_BATCH = 50
_SEED = 7
_GENERATOR_ROUNDS = 5
_HOSTS, _DEPLOY_ROUNDS = 8, 3


@dataclass(frozen=True, slots=True)
class Part:
    """Be one benchmark; `measure` takes where its evidence goes, and whom to tell.

    One that is not judged only tells figures: nothing was asked of them.
    """

    name: str
    about: str
    measure: Callable[[Path, Tell], Document]
    is_judged: bool = True


def every() -> tuple[Part, ...]:
    """List all parts as their own commands measure them, the shortest first."""
    return (
        Part("performance", "each step of a transaction", lambda _folder, _tell: paced()),
        Part("ledger", "each type of transaction", _ledger, is_judged=False),
        Part("throughput", f"{VALIDATORS} validators of this machine", _throughput),
        Part("generator", "the swarm beside wrk", _generator),
        Part("deploy", f"a lab of {_HOSTS} hosts", _deploy, is_judged=False),
    )


def measure(parts: Sequence[Part], *, evidence: Path, tell: Tell) -> Document:
    """Measure one part after the other; Ctrl-C ends it behind what has been measured.

    Shape: `parts` by name, each with `verdict`, `figures` (null where there are none), `error` and
    `circumstances`. A verdict is null where nothing is judged, and does not count. The document is
    written to `all.json` after every part, too.
    """
    evidence.mkdir(parents=True, exist_ok=True)
    found: Document = {part.name: _unmeasured("not measured") for part in parts}
    document = _document(found, evidence)
    for part in parts:
        with step(tell, part.name, part.about) as now:
            found[part.name], is_over = _measured(part, evidence / part.name, tell)
            now.say(_line(found[part.name]))
        document = _document(found, evidence)
        _keep(document, evidence)
        if is_over:
            break
    return document


def paced() -> Document:
    """Time every hot path, and judge it."""
    found = list(hot_paths.measure(hot_paths.hot_paths()))
    verdict = Verdict.PASS if all(each.is_within for each in found) else Verdict.OBJECTIVE
    return {"verdict": verdict, "paths": [each.to_document() for each in found]}


def _ledger(_folder: Path, _tell: Tell) -> Document:
    return ledger.measure()


def _throughput(folder: Path, tell: Tell) -> Document:
    return throughput.measure(
        validators=VALIDATORS,
        for_s=throughput.FOR_S,
        batch=_BATCH,
        seed=_SEED,
        evidence=folder,
        tell=tell,
    )


def _generator(folder: Path, tell: Tell) -> Document:
    return generating.measure(rounds=_GENERATOR_ROUNDS, evidence=folder, tell=tell)


def _deploy(folder: Path, tell: Tell) -> Document:
    return deploying.measure(
        hosts=_HOSTS, rounds=_DEPLOY_ROUNDS, ansible=True, evidence=folder, tell=tell
    )


def _measured(part: Part, folder: Path, tell: Tell) -> tuple[Document, bool]:
    """Measure one part; tell whether somebody wants no more."""
    where = measured.circumstances(paths.project_root())
    began = time.monotonic()
    is_over = False
    try:
        figures = part.measure(folder, tell)
        told: Document = {
            "verdict": figures["verdict"] if part.is_judged else None,
            "figures": figures,
            "error": None,
        }
    except AitbcError as failure:
        told = _unmeasured(failure.message, hint=failure.hint, verdict=Verdict.INFRA)
    except KeyboardInterrupt:
        told, is_over = _unmeasured("it was ended by hand"), True
    return {**told, "took_s": round(time.monotonic() - began, 1), "circumstances": where}, is_over


def _unmeasured(
    why: str, *, hint: str | None = None, verdict: Verdict = Verdict.INCONCLUSIVE
) -> Document:
    return {"verdict": verdict, "figures": None, "error": {"message": why, "hint": hint}}


def _document(found: Mapping[str, Document], evidence: Path) -> Document:
    judged = [Verdict(each["verdict"]) for each in found.values() if each["verdict"]]
    return {
        "schema": 1,
        "verdict": worst(judged) if judged else None,
        "parts": found,
        "evidence": str(evidence),
        **measured.circumstances(paths.project_root()),
    }


def _keep(document: Document, evidence: Path) -> None:
    (evidence / "all.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _line(told: Document) -> str:
    error = told["error"]
    return f"{told['verdict']}: {error['message']}" if error else told["verdict"] or NOT_JUDGED
