"""What on this host is not as it was put there? Found by reading; mended only when told to.

A release folder is compared with the tree of its commit, an environment with its lock and with
what its packages recorded, a configuration with the hash in its name, a unit with the one that was
rendered. What was edited is moved aside, never deleted. Standard library only.
"""

import time
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import (
    builds,
    compiled,
    configs,
    files,
    installed,
    journaling,
    leasing,
    mirrors,
    observing,
    services,
    staging,
)

_DIFF_LINES = 200
_FINDINGS = 20


def drift(params: dict[str, Any]) -> dict[str, Any]:
    """Tell everything that the controller compares; change nothing, take no lock."""
    layout = params["layout"]
    base, mirror = Path(layout["base"]), Path(layout["mirror"])
    manager = services.manager(params)
    return {
        "releases": {
            each.parent.name: _release(each.parent, mirror)
            for each in sorted(base.glob("releases/[!.]*/manifest.json"))
        },
        "venvs": {
            each.name: installed.findings(each, base) for each in sorted(base.glob("venvs/[!.]*"))
        },
        "instances": {each["name"]: _instance(each, manager) for each in params["instances"]},
        "records": journaling.records(Path(layout["state"])),
    }


def intact(params: dict[str, Any]) -> dict[str, Any]:
    """Refuse when what a node would be switched to was edited here: release, environment, files.

    Tell what data and which rules those builds know that are `asked`, which are as they were made.
    """
    base = Path(params["layout"]["base"])
    for commit in sorted({each["commit"] for each in params["instances"]}):
        staging.refuse_drift(params, base / "releases" / commit)
        staging.refuse_edited_venv(params, base / "releases" / commit)
    for instance in params["instances"]:
        configs.refuse_edited(params, instance, base / "releases" / instance["commit"])
    return {"versions": builds.known(params, params["asked"])}


def restage(params: dict[str, Any]) -> dict[str, Any]:
    """Put back what differs; what was there is kept below `edited/`, and nothing is restarted."""
    layout = params["layout"]
    base, mirror = Path(layout["base"]), Path(layout["mirror"])
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    done: list[dict[str, str]] = []
    with leasing.guarded(params):
        done += [
            _restage_venv(params, venv, stamp=stamp)
            for venv in sorted(base.glob("venvs/[!.]*"))
            if installed.findings(venv, base)
        ]
        # Behind the environments, by which they are compiled.
        done += [
            _restage_release(params, manifest.parent, stamp=stamp)
            for manifest in sorted(base.glob("releases/[!.]*/manifest.json"))
            if staging.drift(mirror, manifest.parent)
        ]
        for instance in params["instances"]:
            done += _restage_instance(params, instance, stamp=stamp)
    return {"restaged": done}


def _release(release: Path, mirror: Path) -> dict[str, Any]:
    found = staging.drift(mirror, release)
    return {
        "changed": found[:_FINDINGS],
        "more": max(0, len(found) - _FINDINGS),
        "diff": _diff(release, mirror) if found else "",
    }


def _diff(release: Path, mirror: Path) -> str:
    """Write what was edited as a patch; files that were added are named, not shown."""
    argv = ["diff", "--no-color", "--no-renames", "--no-ext-diff", "--no-textconv"]
    git = ["git", f"--git-dir={mirror}", f"--work-tree={release}"]
    with mirrors.judging(mirror, release.name) as env:
        lines = files.call([*git, *argv], env=env, cwd=release).splitlines()
    more = len(lines) - _DIFF_LINES
    return "\n".join([*lines[:_DIFF_LINES], *([f"... {more} more lines"] if more > 0 else [])])


def _instance(instance: dict[str, Any], manager: services.Manager) -> dict[str, Any]:
    current, config = Path(instance["current"]), Path(instance["config"])
    state = manager.state(instance)
    pointed = config.resolve() if config.is_symlink() else config
    texts = configs.texts(pointed)
    commit = current.resolve().name if current.is_symlink() else ""
    return {
        "commit": commit,
        "running_commit": observing.running_commit(state["pid"]),
        "active": state["active"],
        "word": state["word"],
        "config": pointed.name.rpartition("-")[2] if config.is_symlink() else "",
        "content": configs.content_hash(texts, commit=pointed.parent.parent.name) if texts else "",
        "files": texts,
        "unit": _installed(instance, manager),
        "drop_ins": manager.drop_ins(instance),
    }


def _installed(instance: dict[str, Any], manager: services.Manager) -> str:
    path = manager.definition(instance)
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _restage_release(params: dict[str, Any], release: Path, *, stamp: str) -> dict[str, str]:
    """Check the commit out anew; configurations go along, for running nodes read them."""
    manifest = (release / "manifest.json").read_text(encoding="utf-8")
    own = {**params, "commit": release.name, "manifest": {}, "trust": {}, "git_ssh_config": ""}
    fresh = release.with_name(f".{release.name}.restaged")
    with files.whole_folder(fresh) as folder:
        staging.check_out(own, folder)
        staging.finish(own, folder, proof="")
        if not installed.findings((folder / "venv").resolve(), Path(params["layout"]["base"])):
            state = Path(params["layout"]["state"])
            compiled.keep_seal(state, folder, commit=release.name)
        # What was said and proved when it was staged first stays said.
        files.write(folder / "manifest.json", manifest)
        if (release / "etc").is_dir():
            files.call(["cp", "-a", release / "etc", folder / "etc"])
    aside = _move_aside(params, release, stamp=stamp)
    fresh.rename(release)
    files.sync_folder(release.parent)
    return {"what": f"release {release.name[:12]}", "kept": aside}


def _restage_venv(params: dict[str, Any], venv: Path, *, stamp: str) -> dict[str, str]:
    import tempfile  # noqa: PLC0415 - each rollback loads this module, and few restage

    base = Path(params["layout"]["base"])
    users = [link.parent for link in base.glob("releases/*/venv") if link.resolve() == venv]
    fresh = venv.with_name(f".{venv.name}.restaged")
    with files.whole_folder(fresh) as folder, tempfile.TemporaryDirectory() as tree:
        # The lock of the commit: that of the folder may have been edited as well.
        mirrors.check_out(Path(params["layout"]["mirror"]), users[0].name, Path(tree))
        staging.install(params, release=Path(tree), venv=folder)
    aside = _move_aside(params, venv, stamp=stamp)
    fresh.rename(venv)
    files.sync_folder(venv.parent)
    return {"what": f"environment {venv.name}", "kept": aside}


def _restage_instance(
    params: dict[str, Any], instance: dict[str, Any], *, stamp: str
) -> list[dict[str, str]]:
    """Put back a configuration whose content is not what its name says, and the unit from it."""
    config = Path(instance["config"])
    if not config.is_symlink():
        return []
    pointed = config.resolve()
    done: list[dict[str, str]] = []
    wanted = instance["files"]
    name = pointed.name.rpartition("-")[2]
    if wanted and name == instance["config_hash"] and wanted != configs.texts(pointed):
        aside = _move_aside(params, pointed, stamp=stamp)
        with files.whole_folder(pointed) as folder:
            for each, text in wanted.items():
                files.write(folder / each, text)
        done.append({"what": f"configuration of {instance['name']}", "kept": aside})
    return done + _restage_unit(
        params, instance, configs.texts(pointed).get("service", ""), stamp=stamp
    )


def _restage_unit(
    params: dict[str, Any], instance: dict[str, Any], rendered: str, *, stamp: str
) -> list[dict[str, str]]:
    """Write the unit as it was rendered; the node runs on under what it was started with."""
    manager = services.manager(params)
    drop_ins = [Path(each) for each in manager.drop_ins(instance)]
    if not rendered or (not drop_ins and _installed(instance, manager) == rendered):
        return []
    what = f"unit of {instance['name']}"
    unit = manager.definition(instance)
    aside = [each for each in (unit, *drop_ins) if each.is_file()]
    done = [{"what": what, "kept": _move_aside(params, each, stamp=stamp)} for each in aside]
    files.write(unit, rendered)
    if isinstance(manager, services.Systemd):
        files.call(["systemctl", "daemon-reload"])
    return done


def _move_aside(params: dict[str, Any], path: Path, *, stamp: str) -> str:
    """Keep what somebody edited where no later deploy clears it away."""
    folder = Path(params["layout"]["base"]) / "edited"
    folder.mkdir(exist_ok=True)
    place, number = folder / f"{path.name}-{stamp}", 1
    while place.exists():
        place, number = folder / f"{path.name}-{stamp}-{number}", number + 1
    files.call(["mv", "--no-target-directory", path, place])  # maybe to another file system
    return str(place)
