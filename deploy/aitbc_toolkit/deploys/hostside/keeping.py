"""How is the chain data of a node copied while it runs, and how does a copy come back?

The log only grows, and every record has a checksum: the bytes up to the length that it has when the
copy begins are a whole log, whose last record may be torn. The node cuts a torn tail off when it
starts, as after a loss of power. Keys and sign state are never part of a copy, and a restore never
touches them. Standard library only.
"""

import hashlib
import io
import json
import os
import pwd
import re
import shutil
import stat
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from aitbc_toolkit.deploys.hostside import files, leasing, services
from aitbc_toolkit.deploys.hostside.trouble import Trouble

MANIFEST = "manifest.json"

# What the node makes again by itself, and what belongs to a process.
_PASSING = ("index.db", "lock", "run")
# Names that no archive of data may bring along, whatever made it.
_SECRET = ("sign_state", ".key", ".token")
_BEFORE = ".before-restore"
_FORMAT = 1
_CHUNK = 1 << 20


def backup(params: dict[str, Any]) -> dict[str, Any]:
    """Write an archive of the data of each named node; the nodes run on."""
    state = Path(params["layout"]["state"])
    with leasing.guarded(params):
        return {"archives": {each["name"]: _archive(each, state) for each in params["instances"]}}


def restore(params: dict[str, Any]) -> dict[str, Any]:
    """Put an archive in the place of a node's data; what was there is kept beside it."""
    with leasing.guarded(params):
        (instance,) = params["instances"]
        archive, manager = Path(params["archive"]), services.manager(params)
        if _digest(archive) != params["sha256"]:
            raise Trouble(f"{archive} is not what was sent: its checksum differs")
        data = Path(instance["data"])
        restored = data.with_name(f".{data.name}.restored")
        _mend(data, restored=restored)
        kept = _spare_place(data)
        with files.whole_folder(restored) as fresh:
            manifest = _unpack(archive, fresh)
            _refuse_other_chain(instance, manifest)
        _own(restored, params["run_as"])
        try:
            manager.stop(instance)
            _swap(data, kept=kept, restored=restored)
        finally:
            manager.start(instance)
        archive.unlink()
    return {"kept": str(kept) if kept.exists() else "", "manifest": manifest}


def discard(params: dict[str, Any]) -> dict[str, Any]:
    """Remove archives that have reached the operator."""
    state = Path(params["layout"]["state"])
    with leasing.guarded(params):
        for instance in params["instances"]:
            _place(state, instance).unlink(missing_ok=True)
    return {}


def places_before(data: Path) -> dict[int, Path]:
    """Find by their numbers, in order, where restores have put the data that were there."""
    name = re.compile(re.escape(f"{data.name}{_BEFORE}") + r"(-\d{1,9})?")
    found = {}
    for path in data.parent.iterdir() if data.parent.is_dir() else ():
        if match := name.fullmatch(path.name):
            found[int((match[1] or "-1")[1:])] = path
    return dict(sorted(found.items()))


def _spare_place(data: Path) -> Path:
    """Find a name that is free: what one restore has kept, the next one does not remove."""
    number = max(places_before(data), default=0) + 1
    return data.with_name(f"{data.name}{_BEFORE}" + (f"-{number}" if number > 1 else ""))


def _mend(data: Path, *, restored: Path) -> None:
    """Undo what a restore that was killed left half done: its copy, or data that are aside."""
    if restored.exists():
        shutil.rmtree(restored)
    there = places_before(data)
    if there and not data.exists():
        there[max(there)].rename(data)


def _swap(data: Path, *, kept: Path, restored: Path) -> None:
    """Put the restored data in place of the others; when that fails, those are back."""
    if data.exists():
        data.rename(kept)
    try:
        restored.rename(data)
    except BaseException:
        if kept.exists() and not data.exists():
            kept.rename(data)
        raise
    files.sync_folder(data.parent)


def _archive(instance: dict[str, Any], state: Path) -> dict[str, Any]:
    place = _place(state, instance)
    fresh = place.with_name(f".{place.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        sizes = {}
        for path in _lasting(Path(instance["data"])):
            sizes[path.name] = _add(archive, path)
        manifest = {**_about(instance), "files": sizes}
        text = json.dumps(manifest, sort_keys=True).encode()
        _append(archive, MANIFEST, io.BytesIO(text), len(text))
    fresh.rename(place)
    size = place.stat().st_size
    return {"path": str(place), "bytes": size, "sha256": _digest(place), "manifest": manifest}


def _place(state: Path, instance: dict[str, Any]) -> Path:
    return state / f"backup-{instance['name']}.tar.gz"


def _about(instance: dict[str, Any]) -> dict[str, Any]:
    """Say whose data these are, and which genesis they go on from."""
    current, config = Path(instance["current"]), Path(instance["config"])
    genesis = config / "genesis.json"
    return {
        "format": _FORMAT,
        "node": instance["name"],
        "commit": current.resolve().name if current.is_symlink() else "",
        "genesis_sha256": _digest(genesis) if genesis.is_file() else "",
        "taken": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _lasting(data: Path) -> Iterator[Path]:
    """List what a copy needs; a file that is being written under another name is not yet one."""
    if not (data / "blocks.log").is_file():
        raise Trouble(f"{data} has no chain data yet", hint="aitbc deploy")
    for path in sorted(data.iterdir()):
        name = path.name
        passing = name.startswith(_PASSING) or name.endswith((".new", "-wal", "-shm"))
        # The folder is the node's own: a link in it could lead to what only root may read.
        if path.is_file() and not path.is_symlink() and not passing and not _is_secret(name):
            yield path


def _is_secret(name: str) -> bool:
    return name.startswith(_SECRET[0]) or name.endswith(_SECRET[1:])


def _add(archive: tarfile.TarFile, path: Path) -> int:
    """Copy a file up to the length that it has now: what is appended later is left out.

    Judged by what was opened: the node may put a pipe there meanwhile, which nobody ever fills.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise Trouble(f"{path} is no file any more")
        size = about.st_size
        _append(archive, path.name, file, size)
    return size


def _append(archive: tarfile.TarFile, name: str, file: Any, size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    archive.addfile(entry, file)


def _unpack(path: Path, folder: Path) -> dict[str, Any]:
    """Write the plain files of an archive; anything else in it is refused."""
    manifest: dict[str, Any] = {}
    with tarfile.open(path, "r:gz") as archive:
        for entry in archive:
            name = entry.name
            if not entry.isreg() or PurePosixPath(name).name != name or _is_secret(name):
                raise Trouble(f"{path} holds {name}, which no backup of data has")
            source = archive.extractfile(entry)
            if source is None:
                raise Trouble(f"{path}: {name} cannot be read")
            if name == MANIFEST:
                manifest = json.loads(source.read())
                continue
            with (folder / name).open("wb") as target:
                shutil.copyfileobj(source, target, _CHUNK)
                os.fsync(target.fileno())
            (folder / name).chmod(0o600)
    if manifest.get("format") != _FORMAT:
        raise Trouble(f"{path} has no manifest of a backup that this release can read")
    return manifest


def _refuse_other_chain(instance: dict[str, Any], manifest: dict[str, Any]) -> None:
    genesis = Path(instance["config"]) / "genesis.json"
    if not genesis.is_file():
        raise Trouble(f"{instance['name']} has no release here", hint="aitbc deploy")
    if _digest(genesis) != manifest["genesis_sha256"]:
        raise Trouble(f"the backup of {manifest['node']} is of a chain with another genesis")


def _own(folder: Path, user: str) -> None:
    folder.chmod(0o750)
    if user:
        facts = pwd.getpwnam(user)
        # The folder last: from then on its owner may put links there.
        for path in (*folder.iterdir(), folder):
            os.chown(path, facts.pw_uid, facts.pw_gid, follow_symlinks=False)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
