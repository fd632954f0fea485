"""Which runs has this host seen? Each is announced before its first switch and closed at its end.

One that goes back says so before the first node does.

A run whose announcement was never followed by its end is one whose outcome is unknown. The lines
are bound to each other, so an edit or a removal shows. Standard library only.
"""

import shutil
from pathlib import Path
from typing import Any

from aitbc_toolkit import chain
from aitbc_toolkit.deploys.hostside import leasing, ordering
from aitbc_toolkit.deploys.hostside.trouble import Trouble

_DOMAIN = "aitbc/deploys"
_NAME = "journal.jsonl"


def announce(params: dict[str, Any]) -> dict[str, Any]:
    """Write down that a run begins; one that is known already stays as it is."""
    state = Path(params["layout"]["state"])
    with leasing.guarded(params):
        record = params["record"]
        known = {each["id"] for each in records(state)}
        if record["id"] not in known:
            _append(state, record)
    return {"announced": record["id"] not in known}


def turn_back(params: dict[str, Any]) -> dict[str, Any]:
    """Write down that a run goes back from here on, for whoever has to end it without its journal.

    What it has armed stays armed: the host may be the one that takes its node back.
    """
    state = Path(params["layout"]["state"])
    with leasing.guarded(params, disarms=False):
        if params["record"] not in records(state):
            _append(state, params["record"])
    return {}


def record(params: dict[str, Any]) -> dict[str, Any]:
    """Write down how a run ended, and drop releases that nothing needs.

    One that was interrupted has not ended: what it has armed and not proved stays armed.
    """
    layout = params["layout"]
    state = Path(layout["state"])
    with leasing.guarded(params, disarms=params["record"]["outcome"] != "interrupted"):
        if params["record"] not in records(state):
            _append(state, params["record"])
        ordering.remember(params)
        dropped = _prune(Path(layout["base"]), keep=set(params["keep"]))
    return {"dropped": dropped}


def records(state: Path) -> list[dict[str, Any]]:
    """Read what this host's journal holds, as far as its chain is whole."""
    lines, _ = chain.check(state / _NAME, domain=_DOMAIN)
    return [line["record"] for line in lines]


def findings(state: Path) -> list[str]:
    """Say where the journal was changed by somebody; nothing when it was not."""
    _, found = chain.check(state / _NAME, domain=_DOMAIN)
    return [f"line {each.line}, {each.what}" for each in found]


def forget(state: Path) -> None:
    """Remove the journal with the chain that it was about."""
    for path in state.glob(f"{_NAME}*"):
        path.unlink()


def _append(state: Path, document: dict[str, Any]) -> None:
    path = state / _NAME
    try:
        chain.append(path, {"record": document}, domain=_DOMAIN)
    except chain.BrokenChainError as forged:
        hint = f"mv {path} {path}.evidence   # on this host; keep it, then ask who wrote to it"
        raise Trouble(str(forged), hint=hint, kind="journal") from forged


def _prune(base: Path, *, keep: set[str]) -> list[str]:
    """Remove releases that are neither kept nor pointed at, then environments without a release."""
    for folder in ("releases", "venvs"):
        for leftover in base.glob(f"{folder}/.*"):
            shutil.rmtree(leftover)  # of a run that was killed; the lock says nobody is at it
    pointed = {link.resolve().name for link in base.glob("*/current")}
    dropped = []
    for release in sorted(base.glob("releases/*")):
        if release.name in keep | pointed or not release.is_dir():
            continue
        _remove(release)
        dropped.append(release.name)
    used = {str(link.resolve()) for link in base.glob("releases/*/venv")}
    for venv in base.glob("venvs/*"):
        if str(venv.resolve()) not in used:
            _remove(venv)
    return dropped


def _remove(folder: Path) -> None:
    """Take a folder away in one rename: a kill in the middle leaves none that looks whole."""
    gone = folder.with_name(f".{folder.name}.gone")
    folder.rename(gone)
    shutil.rmtree(gone)
