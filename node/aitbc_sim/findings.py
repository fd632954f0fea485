"""How is a violation kept, so that it can be made again whatever becomes of the days?

A finding is one JSON file: the case with all its options written out, and how it ended. Do not add
how a finding is made smaller: `shrinking.py`.
"""

from pathlib import Path

import msgspec

from aitbc_node.errors import ConfigError
from aitbc_sim.run import Case, Outcome


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Remember how a run ended that should have passed."""

    case: Case
    verdict: str
    message: str
    digest: str

    def is_met_by(self, outcome: Outcome) -> bool:
        """Tell whether a run ended in the same way, event by event."""
        return (self.verdict, self.digest) == (outcome.verdict, outcome.digest)


def save(outcome: Outcome, folder: Path) -> Path:
    """Write a finding; return its file."""
    options = msgspec.to_builtins(outcome.case.options)
    finding = Finding(
        case=msgspec.structs.replace(outcome.case, changes=options),
        verdict=outcome.verdict,
        message=outcome.message,
        digest=outcome.digest,
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"seed-{outcome.case.seed}-{outcome.verdict}-{outcome.digest[:8]}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(finding)) + b"\n")
    return path


def load(path: Path) -> Finding:
    """Read a finding. Raises: ConfigError when the file is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Finding)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(
            f"{path} holds no finding: {error}", hint="give a file that `aitbc sim sweep` has kept"
        ) from error
