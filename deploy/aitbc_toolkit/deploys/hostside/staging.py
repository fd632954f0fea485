"""How does a commit become a release folder on this host, beside what runs?

Code arrives by `git fetch` of one exact commit and by nothing else. Every piece is made under a
temporary name and renamed when it is whole. Standard library only.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import (
    compiled,
    components,
    configs,
    files,
    installed,
    leasing,
    linking,
    mirrors,
    ordering,
    trusting,
)
from aitbc_toolkit.deploys.hostside.trouble import Trouble

_LOCK_FILE = "locks/node.lock"
_OURS = ("manifest.json", "venv", "etc", ".index", components.FOLDER)


def stage(params: dict[str, Any]) -> dict[str, Any]:
    """Make the release of one commit and the keys of this host's nodes; touch nothing that runs.

    Configurations that the controller could render beforehand are kept in the same step.
    """
    layout = params["layout"]
    with leasing.guarded(params):
        release = Path(layout["base"]) / "releases" / params["commit"]
        fetched = staged = False
        new = not (release / "manifest.json").is_file()
        fetched = _fetch(params) if new or params["trust"] else False
        proof = trusting.verify(params)
        ordering.refuse_older(params)
        if new:
            with files.whole_folder(release) as fresh:
                check_out(params, fresh)
            staged = True
        venv_made = finish(params, release, proof=proof)
        if not venv_made:
            refuse_edited_venv(params, release)
        if new:
            # By an environment that is as it should be: the seal ends all further looks.
            compiled.keep_seal(Path(layout["state"]), release, commit=params["commit"])
        refuse_drift(params, release)
        keys = {each["name"]: _keys(params, each, release) for each in params["instances"]}
        foreseen = [each for each in params["instances"] if "files" in each]
        configured = _keep_configurations(params, foreseen, release)
    changed = [
        what
        for what, is_new in (("mirror", fetched), ("release", staged), ("venv", venv_made))
        if is_new
    ]
    told = {"changed": changed, "keys": keys, "lock": _lock_hash(release), "proof": proof}
    return {**told, "configured": configured}


def configure(params: dict[str, Any]) -> dict[str, Any]:
    """Keep the rendered configuration of each node inside its release, by content."""
    release = Path(params["layout"]["base"]) / "releases" / params["commit"]
    with leasing.guarded(params):
        return _keep_configurations(params, params["instances"], release)


def drift(mirror: Path, release: Path, *, seal: str = "") -> list[str]:
    """List what differs between a release folder and the trees of its commits, compiled or not."""
    tree = mirrors.drift(mirror, release, release.name, ours=_OURS)
    return [*tree, *components.drift(release), *compiled.findings(release, seal=seal)]


def _keep_configurations(
    params: dict[str, Any], instances: Sequence[dict[str, Any]], release: Path
) -> dict[str, Any]:
    """Write those that are not there; tell which were new, and what each genesis file is."""
    written = []
    for instance in instances:
        folder = linking.config_folder(release, instance)
        if folder.is_dir():
            configs.refuse_edited(params, instance, release)
            continue
        with files.whole_folder(folder) as fresh:
            for name, text in instance["files"].items():
                files.write(fresh / name, text)
        written.append(instance["name"])
    genesis = {
        each["name"]: _digest(linking.config_folder(release, each) / "genesis.json")
        for each in instances
    }
    return {"changed": written, "genesis": genesis}


def check_out(params: dict[str, Any], fresh: Path) -> None:
    """Write the tree of the commit, and those of the components that it names."""
    mirrors.check_out(Path(params["layout"]["mirror"]), params["commit"], fresh)
    components.check_out(params, fresh)


def _fetch(params: dict[str, Any]) -> bool:
    """Bring the commit into the mirror unless it is there."""
    mirror, commit = Path(params["layout"]["mirror"]), params["commit"]
    mirrors.make(mirror)
    tag = params["trust"]["tag"] if params["trust"] else ""
    known = not tag or trusting.object_of(mirror, tag) == params["trust"]["tag_object"]
    if known and mirrors.has_commit(mirror, commit):
        return False
    wanted = f"+{params['source_ref']}:refs/heads/release/{commit}"
    refs = [wanted, f"+refs/tags/{tag}:refs/tags/{tag}"] if tag else [wanted]
    ssh_config = params["git_ssh_config"]
    mirrors.fetch(mirror, commit, source=params["source"], refs=refs, ssh_config=ssh_config)
    return True


def finish(params: dict[str, Any], release: Path, *, proof: str) -> bool:
    """Add what a release needs beside its tree; the manifest is last and says that it is whole."""
    lock = _lock_hash(release)
    venv = Path(params["layout"]["base"]) / "venvs" / lock
    made = not venv.is_dir()
    if made:
        with files.whole_folder(venv) as fresh:
            install(params, release=release, venv=fresh)
    files.point(release / "venv", f"../../venvs/{lock}")
    tag = params["trust"]["tag"] if params["trust"] else ""
    signed = {"commit": params["commit"], "tag": tag, "proof": proof, "lock": lock}
    if not (release / "manifest.json").is_file():
        # The node's user cannot write here, so nobody else would keep the compiled modules.
        node = release / "node" / "aitbc_node"
        files.call([venv / "bin/python", "-m", "compileall", "-q", node])
        manifest = {**params["manifest"], **signed}
        files.write(release / "manifest.json", json.dumps(manifest, indent=2, sort_keys=True))
    return made


def install(params: dict[str, Any], *, release: Path, venv: Path) -> None:
    """Fill an environment with exactly what a release's lock names."""
    env = {"UV_LINK_MODE": "copy"} if params["uv_cache"] else {}
    if params["uv_cache"]:
        env["UV_CACHE_DIR"] = params["uv_cache"]
    offline = ["--offline"] if params["offline"] else []
    uv = params["uv"]
    files.call([uv, "venv", "--quiet", "--allow-existing", "--python", params["python"], venv])
    install = [uv, "pip", "sync", "--quiet", *offline, "--require-hashes", "--only-binary", ":all:"]
    install += ["--python", str(venv / "bin/python"), "--compile-bytecode"]
    try:
        files.call([*install, str(release / _LOCK_FILE)], env=env, timeout_s=240)
    except Trouble as failure:
        raise Trouble(
            f"the packages of {_LOCK_FILE} could not be installed: {failure.message}",
            hint="check this host's way to its package index, or fill the wheel cache",
        ) from failure


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _lock_hash(release: Path) -> str:
    path = release / _LOCK_FILE
    if not path.is_file():
        raise Trouble(f"the commit has no {_LOCK_FILE}, so it is no release of this project")
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def refuse_drift(params: dict[str, Any], release: Path) -> None:
    """Refuse to switch to a folder that somebody has edited: it is not the commit any more."""
    layout = params["layout"]
    seal = compiled.seal(Path(layout["state"]), release.name)
    found = drift(Path(layout["mirror"]), release, seal=seal)
    if not found:
        return
    shown = "\n".join(f"    {line}" for line in found[:5])
    more = f"\n    and {len(found) - 5} more" if len(found) > 5 else ""  # noqa: PLR2004 - as shown
    raise Trouble(
        f"{release} is not what its commit says:\n{shown}{more}",
        hint=f"aitbc drift {layout['environment']}   # shows the edits\n"
        f"aitbc drift {layout['environment']} --restage   # keeps a copy of them",
        kind="drift",
    )


def make_folders(params: dict[str, Any], instance: dict[str, Any]) -> None:
    """Make a node's folders of keys and data, which are its user's own."""
    user = params["run_as"]
    for path, mode in ((Path(instance["keys"]), 0o700), (Path(instance["data"]), 0o750)):
        if not path.is_dir():
            path.mkdir(parents=True, mode=mode)
        path.chmod(mode)
        if user:
            shutil.chown(path, user, user)


def refuse_edited_venv(params: dict[str, Any], release: Path) -> None:
    """Refuse to run a release in an environment that is not what its lock says."""
    if found := installed.findings((release / "venv").resolve(), Path(params["layout"]["base"])):
        name = params["layout"]["environment"]
        raise Trouble(
            f"the environment of {release} is not what its lock says:\n    {found[0]}",
            hint=f"aitbc drift {name}   # shows all\naitbc drift {name} --restage",
            kind="drift",
        )


def _keys(params: dict[str, Any], instance: dict[str, Any], release: Path) -> dict[str, Any]:
    """Make a node's keys where there are none; only the public parts are returned.

    They are kept beside the journal under what the key files look like, because asking the node
    for them costs half a second of a core at each deploy.
    """
    folder = Path(instance["keys"])
    make_folders(params, instance)
    kept = Path(params["layout"]["state"]) / f"keys-{instance['name']}.json"
    if kept.is_file():
        known: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        if known["looks"] and known["looks"] == _looks(folder):
            return known
    public = {**_init(params, instance, release), "looks": _looks(folder)}
    files.write(kept, json.dumps(public, sort_keys=True))
    return public


def _looks(folder: Path) -> dict[str, list[int]]:
    """Tell key files from others that took their place, without reading a secret."""
    found = {path.name: path.stat() for path in sorted(folder.glob("*.key"))}
    return {name: [facts.st_ino, facts.st_size, facts.st_mtime_ns] for name, facts in found.items()}


def _init(params: dict[str, Any], instance: dict[str, Any], release: Path) -> dict[str, Any]:
    user, folder = params["run_as"], Path(instance["keys"])
    node = str(release / "node")
    argv = [str(release / "venv/bin/python"), "-P", "-m", "aitbc_node", "init", "--json"]
    argv += ["--key-dir", str(folder), "--role", instance["role"]]
    argv += ["--hrp", params["hrp"], "--chain-id", params["chain_id"]]
    said = files.call(argv, env={"PYTHONPATH": node}, user=user)
    _admin_token(folder / "admin.token", user=user)
    public: dict[str, Any] = json.loads(said)
    return public


def _admin_token(path: Path, *, user: str) -> None:
    """Make the secret that opens a node's admin routes; it never leaves the host."""
    if path.exists():
        return
    files.write(path, os.urandom(24).hex() + "\n", mode=0o600, owner=user)
