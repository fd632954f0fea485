"""What did the operator ask a deploy for? Values only; what follows is decided elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from aitbc_toolkit import paths
from aitbc_toolkit.declared import Profile
from aitbc_toolkit.release import verifying
from aitbc_toolkit.release.verifying import Prove

OnFailure = Literal["rollback", "pause", "continue"]


@dataclass(frozen=True, slots=True)
class Settled:
    """Say how much of an environment changes, and how carefully; part of a plan and its hash.

    `only` names the nodes that change, all when empty; the first `canary` nodes are watched for
    `bake_s` before the others follow.
    """

    only: tuple[str, ...] = ()
    canary: int = 0
    bake_s: int = 0
    allow_stall: bool = False

    def to_document(self) -> dict[str, Any]:
        """Write it as a plan holds it."""
        bake_s = self.bake_s if self.canary else 0
        return {
            "only": sorted(self.only),
            "canary": self.canary,
            "bake_s": bake_s,
            "allow_stall": self.allow_stall,
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """Say what the operator chose; what is None is as the environment's profile has it."""

    only: tuple[str, ...] = ()
    canary: int | None = None
    bake_s: int | None = None
    allow_stall: bool = False

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Choose exactly what a plan or the journal of a run says."""
        return cls(
            only=tuple(document["only"]),
            canary=int(document["canary"]),
            bake_s=int(document["bake_s"]),
            allow_stall=bool(document["allow_stall"]),
        )

    def settled(self, profile: Profile) -> Settled:
        """Take from the profile what nobody chose."""
        return Settled(
            only=self.only,
            canary=profile.canary if self.canary is None else self.canary,
            bake_s=profile.bake_s if self.bake_s is None else self.bake_s,
            allow_stall=self.allow_stall,
        )


@dataclass(frozen=True, slots=True)
class Lost:
    """Name a host that has lost everything, and what brings its nodes' keys back.

    `gone` is the operator's word that the old host signs no more, and why; it goes into the audit.
    `folder` holds the sealed keys, the newest backup when none is named; `identity` opens them.
    """

    host: str
    identity: Path
    gone: str
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """Say what is to be deployed; `checkout` is where the commit comes from.

    `plan` is the hash of a plan that was made before: it says the commit and the choice then.
    With `lost` the nodes of one host come back, at the release that the others run.
    With `push` origin is given the commit before, where it lacks it.
    `load` is how many payments a second go on beside the change.
    `gated` is as in a course; without `compared` nobody asks whether the new build understands the
    old one. No command offers either.
    """

    checkout: Path = field(default_factory=paths.project_root)
    ref: str | None = None
    snapshot: bool = False
    choice: Choice = Choice()
    plan: str = ""
    on_failure: OnFailure = "rollback"
    allow_downgrade: bool = False
    break_lease: str = ""
    push: bool = False
    prove: Prove = verifying.smoke
    gated: bool = True
    load: int = 0
    compared: bool = True
    lost: Lost | None = None
