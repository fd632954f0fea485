"""Which versions of the data folder can this build read and write?

A build writes the version that is there until an operator finalizes a release; until then the
release before can be started on the same data again. Source: rules 4.6. Whoever changes what the
files of the data folder mean raises `newest`; whoever drops a reader raises `oldest`.
"""

import msgspec

from aitbc_node.errors import ConfigError, DiskError
from aitbc_node.storage.disk import Disk

FILE_NAME = "data_version"
FIRST = 1
"""The version of a folder without the file."""

_BYTES_MAX = 8


class DataVersions(msgspec.Struct, frozen=True):
    """Hold the oldest version that is read and the newest that is written."""

    oldest: int
    newest: int

    def __str__(self) -> str:
        if self.oldest == self.newest:
            return str(self.newest)
        return f"{self.oldest} to {self.newest}"


DATA_VERSIONS = DataVersions(oldest=FIRST, newest=1)


def read_version(disk: Disk, known: DataVersions, *, is_new: bool) -> int:
    """Return the version that a folder is in; a new one begins with the oldest that is known.

    Raises: ConfigError when this build cannot read it, DiskError when the file is damaged.
    """
    if is_new and known.oldest > FIRST and not disk.exists(FILE_NAME):
        write_version(disk, known.oldest)
    version = _stored(disk) if disk.exists(FILE_NAME) else FIRST
    if not known.oldest <= version <= known.newest:
        raise ConfigError(
            f"the data folder is in data version {version}, this build reads {known}",
            hint=_remedy(is_newer=version > known.newest),
        )
    return version


def write_version(disk: Disk, version: int) -> None:
    """Make a version durable, whole or not at all."""
    disk.replace(FILE_NAME, b"%d\n" % version)


def _stored(disk: Disk) -> int:
    text = disk.read(FILE_NAME, 0, _BYTES_MAX).strip()
    if not text.isdigit():
        raise DiskError(
            f"{FILE_NAME}: not a data version: {text!r}",
            hint="check the disk; then delete the data folder (not the key folder) to resync",
        )
    return int(text)


def _remedy(*, is_newer: bool) -> str:
    if is_newer:
        return (
            "run a release that knows it, or delete the data folder (never the keys) and let "
            "the node fetch the blocks from its peers"
        )
    return "run the release before this one and finalize it first, or delete the data folder"
