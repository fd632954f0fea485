"""Where does everything of one environment lie on a host?

The instance is part of every path, port and unit name, so several nodes share one host. Hosts get
these paths as plain data and never work them out again. No I/O here.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True)
class InstancePaths:
    """Hold the places of one node on its host."""

    name: str
    unit: str
    home: PurePosixPath
    current: PurePosixPath
    config: PurePosixPath
    data: PurePosixPath
    keys: PurePosixPath
    log: PurePosixPath

    def to_wire(self) -> dict[str, str]:
        """Write the paths as the host-side programs read them."""
        return {field: str(getattr(self, field)) for field in self.__slots__}


@dataclass(frozen=True, slots=True)
class Layout:
    """Find the places of one environment below a host's root.

    `root` is `/` on hosts of their own and a folder of the user's in dev.
    """

    root: PurePosixPath
    environment: str

    @property
    def base(self) -> PurePosixPath:
        """Find what the instances of this environment share."""
        return self.root / "opt/aitbc" / self.environment

    @property
    def mirror(self) -> PurePosixPath:
        """Find the bare repository that only `git fetch` fills."""
        return self.base / "repo.git"

    @property
    def state(self) -> PurePosixPath:
        """Find the folder of the deploy journal and the lock."""
        return self.root / "var/lib/aitbc" / self.environment / "deploy"

    @property
    def supervisor(self) -> PurePosixPath:
        """Find the folder of the local supervisor's configuration."""
        return self.root / "etc/supervisor"

    def release(self, commit: str) -> PurePosixPath:
        """Find the folder of one exact commit."""
        return self.base / "releases" / commit

    def venv(self, lock_hash: str) -> PurePosixPath:
        """Find the virtual environment of one lock file."""
        return self.base / "venvs" / lock_hash

    def instance(self, name: str) -> InstancePaths:
        """Find the places of one node."""
        return InstancePaths(
            name=name,
            unit=f"aitbc-{self.environment}-{name}",
            home=self.base / name,
            current=self.base / name / "current",
            config=self.root / "etc/aitbc" / name,
            data=self.root / "var/lib/aitbc" / self.environment / name,
            keys=self.root / "var/lib/aitbc-keys" / name,
            log=self.root / "var/log/aitbc" / f"{name}.log",
        )

    def to_wire(self) -> dict[str, str]:
        """Write the shared paths as the host-side programs read them."""
        return {
            "environment": self.environment,
            "root": str(self.root),
            "base": str(self.base),
            "mirror": str(self.mirror),
            "state": str(self.state),
            "supervisor": str(self.supervisor),
        }
