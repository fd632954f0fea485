"""What does a load run leave for programs? What the swarm told, and a text for a Prometheus.

Both say how the whole run ended, with its objectives and steps. Do not add how it is judged.
"""

import json
from pathlib import Path

from aitbc_toolkit.suites import exporting
from aitbc_toolkit.suites.report import reading
from aitbc_toolkit.suites.swarm import Document
from aitbc_toolkit.suites.verdicts import Verdict


def leave(folder: Path, told: Document, verdict: Verdict) -> None:
    """Write both, as far as is known by now; `told` says the verdict, too, from then on."""
    told["ended"] = verdict
    write(folder / reading.RESULT, told)
    (folder / exporting.NAME).write_text(exporting.text(told), encoding="utf-8")


def write(path: Path, document: Document) -> None:
    """Write one document."""
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
