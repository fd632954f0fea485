"""What does this host remember of the operators' audit logs? The newest hashes that it was told.

Only added to: whoever rewrites a log at home cannot take back what hosts were told before. The
host judges nothing, it keeps. Standard library only.
"""

import json
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import files, leasing

_KEPT = 1_000
_SLACK = 100


def witness(params: dict[str, Any]) -> dict[str, Any]:
    """Keep one signed statement about a log's newest record."""
    path = _path(params)
    with leasing.guarded(params):
        files.append_line(path, json.dumps(params["lease"]["statement"], sort_keys=True))
        lines = _lines(path)
        if len(lines) > _KEPT + _SLACK:
            files.write(path, "".join(f"{line}\n" for line in lines[-_KEPT:]))
    return {"kept": min(len(lines), _KEPT)}


def witnessed(params: dict[str, Any]) -> dict[str, Any]:
    """Tell everything that was kept; a line that a kill has torn is nothing."""
    statements = []
    for line in _lines(_path(params)):
        try:
            statements.append(json.loads(line))
        except ValueError:
            continue
    return {"statements": statements}


def _path(params: dict[str, Any]) -> Path:
    return Path(params["layout"]["state"]) / "audit-heads.jsonl"


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
