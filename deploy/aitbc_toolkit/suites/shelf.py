"""Where do baselines lie? Beside the runs, one file for each environment and scenario.

Do not add how the runs of one come about: `rounds.py`.
"""

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from aitbc_toolkit import paths
from aitbc_toolkit.errors import ConfigError, UsageError
from aitbc_toolkit.suites.baselines import Baseline

_FOLDER = "baselines"


def keep(found: Baseline) -> Path:
    """Store a baseline in place of the one before; return its file."""
    path = _path(found.environment, found.scenario)
    path.parent.mkdir(parents=True, exist_ok=True)
    date = datetime.now(UTC).isoformat(timespec="seconds")
    whole = msgspec.structs.replace(found, date=date)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(whole)) + b"\n")
    fresh.replace(path)
    return path


def kept(environment: str, scenario: str) -> Baseline:
    """Read a baseline. Raises: UsageError where there is none, ConfigError for a damaged file."""
    path = _path(environment, scenario)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Baseline)
    except FileNotFoundError:
        hint = f"aitbc load baseline keep {scenario} -e {environment}"
        raise UsageError(f"{environment} has no baseline of {scenario}", hint=hint) from None
    except msgspec.MsgspecError as wrong:
        hint = f"aitbc load baseline keep {scenario} -e {environment}   # makes it anew"
        raise ConfigError(f"{path} cannot be read: {wrong}", hint=hint) from wrong


def all_kept(environment: str) -> list[Baseline]:
    """List the baselines of an environment."""
    folder = paths.state_root() / _FOLDER / environment
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=Baseline))
        except msgspec.MsgspecError as wrong:
            hint = f"remove {path}, and keep it anew"
            raise ConfigError(f"{path} cannot be read: {wrong}", hint=hint) from wrong
    return found


def _path(environment: str, scenario: str) -> Path:
    return paths.state_root() / _FOLDER / environment / f"{scenario.replace('/', '-')}.json"
