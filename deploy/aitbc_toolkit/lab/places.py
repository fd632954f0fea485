"""Where does a lab keep its things?

Three places with three lifetimes: the checkout's state folder (keys and records, until
`destroy`), the machine's cache (image and wheels, until somebody deletes it), and the run folder
(disks, sockets and claims, only while a lab is up). No I/O here.
"""

from dataclasses import dataclass
from pathlib import Path

from aitbc_toolkit import paths
from aitbc_toolkit.lab.addresses import lab_tag

CACHE = Path("/var/cache/aitbc-lab")
RUN = Path("/run/aitbc-lab")


@dataclass(frozen=True, slots=True)
class Places:
    """Find the files of all labs of one checkout; tests put every root somewhere else."""

    state: Path
    cache: Path = CACHE
    run: Path = RUN

    @classmethod
    def of(cls, state: Path | None = None) -> "Places":
        """Take the checkout's own state folder unless told else."""
        return cls(state=paths.state_root(state))

    @property
    def labs(self) -> Path:
        """Find the folder that has one folder per lab of this checkout."""
        return self.state / "labs"

    @property
    def claims(self) -> Path:
        """Find the folder with one record per lab that is up, of every checkout."""
        return self.run / "claims"

    @property
    def machine_lock(self) -> Path:
        """Find the lock under which claims are made and leftovers cleared."""
        return self.run / "lock"

    @property
    def uv_cache(self) -> Path:
        """Find the wheel cache that every host of every lab mounts."""
        return self.cache / "uv-cache"

    def lab(self, name: str) -> Path:
        """Find a lab's state folder."""
        return self.labs / name

    def live(self, tag: str) -> Path:
        """Find the folder that exists while the lab with this tag is up."""
        return self.run / tag

    def disk(self, tag: str, host: str) -> Path:
        """Find where a host's disk is mounted; only the lab's holder sees what is on it."""
        return self.live(tag) / "disks" / host

    def root(self, tag: str, host: str) -> Path:
        """Find where a host's tree is mounted; only the host's own wrapper sees it."""
        return self.live(tag) / "roots" / host

    def tag(self, name: str) -> str:
        """Name a lab of this checkout apart from all labs of this machine."""
        return lab_tag(name, state_root=self.state)
