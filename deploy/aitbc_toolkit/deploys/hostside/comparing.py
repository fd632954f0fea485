"""Do two builds of this host understand each other, and compute the same states?

Both lie here as releases, and each is asked by its own command line (`builds`); blocks are replayed
from hard links, beside the node that runs. What was found good is kept. Standard library only; what
follows from it is decided on the operator's machine.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import files, leasing
from aitbc_toolkit.deploys.hostside.builds import LACKS, LATE, Build, Said

Check = dict[str, Any]
"""One finding: `state` is pass, fail or n.a.; `why` says what is wrong or missing."""

_GRACE_S = 10.0
_KEPT_MAX = 32
_SHOWN_MAX = 3
# What a replay reads of a data folder.
_DATA = ("blocks.log", "data_version", "snapshot.0", "snapshot.1")


def compare(params: dict[str, Any]) -> dict[str, Any]:
    """Let the two builds try each other, or tell what came of it before."""
    with leasing.guarded(params):
        shelf = Path(params["layout"]["state"]) / "compatible"
        kept = shelf / f"{params['key']}.json"
        if kept.is_file():
            known: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
            return {**known, "kept": True}
        began = time.monotonic()
        checks = _try(params)
        took_ms = int((time.monotonic() - began) * 1000)
        found = {"checks": checks, "took_ms": took_ms}
        if all(each["state"] == "pass" for each in checks.values()):
            files.write(kept, json.dumps(found, sort_keys=True))
            _forget(shelf)
    return {**found, "kept": False}


def _try(params: dict[str, Any]) -> dict[str, Check]:
    """Make all trials; they wait for each other's processes more than they compute."""
    releases = Path(params["layout"]["base"]) / "releases"
    old = Build("old", releases / params["old"], params["run_as"])
    new = Build("new", releases / params["new"], params["run_as"])
    with ThreadPoolExecutor(max_workers=2) as pool:
        trials = {
            "wire": pool.submit(_wire, old, new),
            "replay": pool.submit(_replay, new, params),
            "handshake": pool.submit(_handshake, old, new, params),
            "data version": pool.submit(_data_version, new, params),
        }
        return {name: trial.result() for name, trial in trials.items()}


def _wire(old: Build, new: Build) -> Check:
    """Let each build read one example of everything that the other one sends or signs."""
    written = {build.name: build.run("wire", "write") for build in (old, new)}
    if lacking := _lacking(written):
        return lacking
    for build in (old, new):
        if written[build.name].status:
            return _fail(f"the {build.name} build cannot write: {written[build.name].why}")
    for writer, reader in ((new, old), (old, new)):
        said = reader.run("wire", "read", stdin=written[writer.name].out)
        known = written[reader.name].told["examples"]
        unsent = _unsent(written[writer.name].told["examples"], known)
        misread = _misread(said, unsent)
        if misread or not said.told.get("examples"):
            what = f"what the {writer.name} build sends the {reader.name} one does not read"
            return _fail(f"{what}: {misread or said.why}")
    return _pass(examples=len(written["new"].told["examples"]))


def _unsent(written: dict[str, Any], known: dict[str, Any]) -> set[str]:
    """Name what is sent only to builds that say that they read it, and the reader has not got."""
    return {name for name, each in written.items() if each.get("needs") and name not in known}


def _misread(said: Said, unsent: set[str]) -> str:
    examples = said.told.get("examples", {})
    wrong = {name: each for name, each in examples.items() if not each["ok"]}
    bad = [f"{name} ({each['why']})" for name, each in wrong.items() if name not in unsent]
    more = f" and {len(bad) - _SHOWN_MAX} more" if len(bad) > _SHOWN_MAX else ""
    return ", ".join(bad[:_SHOWN_MAX]) + more


def _handshake(old: Build, new: Build, params: dict[str, Any]) -> Check:
    """Let each build dial the other one and exchange everything over the real link."""
    for acceptor, dialer in ((old, new), (new, old)):
        said = _shake(acceptor, dialer, deadline_s=params["shake_s"])
        if lacking := _lacking(said):
            return lacking
        for name, each in said.items():
            if each.status:
                refused = ", ".join(each.told.get("refused", [])[:_SHOWN_MAX])
                who = f"the {dialer.name} build dials the {acceptor.name} one"
                why = f"{each.why}: {refused}" if refused else each.why
                return _fail(f"{who}, and the {name} one says: {why}")
    return _pass()


def _shake(acceptor: Build, dialer: Build, *, deadline_s: float) -> dict[str, Said]:
    shake = ("wire", "shake", "--deadline", str(deadline_s))
    with acceptor.start(*shake) as waiting:
        try:
            assert waiting.stdout is not None
            invited = Said(0, waiting.stdout.readline(), "").told
            dialled = None
            if invited:
                to = ("--dial", invited["address"], "--peer", invited["peer"])
                dialled = dialer.run(*shake, *to, timeout_s=deadline_s + _GRACE_S)
            out, error = waiting.communicate(timeout=deadline_s + _GRACE_S)
        except subprocess.TimeoutExpired:
            out, error = "", "no end of the link"
        finally:
            waiting.kill()
    accepted = {acceptor.name: Said(waiting.returncode, out, error)}
    # Who dials is told first: the other one only sees that the link is gone.
    return {dialer.name: dialled, **accepted} if dialled else accepted


def _replay(new: Build, params: dict[str, Any]) -> Check:
    """Let the new build execute the newest blocks of a node again."""
    (instance,) = params["instances"]
    data = Path(instance["data"])
    if not (data / "blocks.log").is_file():
        return _missing(f"{instance['name']} keeps no blocks on its disk")
    with _linked(data, user=params["run_as"]) as links:
        words = ["--data-copy", str(links), "--last", str(params["blocks"])]
        words += ["--genesis", str(Path(instance["config"]) / "genesis.json")]
        words += ["--deadline", str(params["replay_s"]), "--json"]
        said = new.run("replay", *words, timeout_s=params["replay_s"] + _GRACE_S)
    told = said.told
    if said.status == 0 and told.get("ok"):
        return _pass(
            blocks=told["to"] - told["from"] + 1, height=told["to"], root=told["state_root"]
        )
    if said.status == LACKS:
        return _missing(said.why)
    if said.status == LATE:
        until = f", the same until height {told['height']}" if told else ""
        return _missing(f"not done within {params['replay_s']:.0f} s{until}")
    different = told.get("difference")
    if different:
        root = different["executed"] or "none"
        roots = f"the network has root {different['header']}, this build computes {root}"
        if root == different["header"]:
            roots = different["why"]
        return _fail(f"height {different['height']}: {roots}", height=different["height"])
    return _fail(said.why)


@contextmanager
def _linked(data: Path, *, user: str) -> Iterator[Path]:
    """Give a folder with links to a node's files, so that nothing made there touches its own."""
    links = data / "run" / "compare"
    files.call(["rm", "-rf", links], user=user)  # of a step that was killed
    files.call(["mkdir", "--parents", links], user=user)
    try:
        there = [data / name for name in _DATA if (data / name).is_file()]
        files.call(["cp", "--link", "--no-dereference", *there, links], user=user)
        yield links
    finally:
        files.call(["rm", "-rf", links], user=user)


def _data_version(new: Build, params: dict[str, Any]) -> Check:
    """See that the new build knows the data that are there, and the chain's rules."""
    said = new.run("version", "--json")
    if said.status == LACKS:
        return _missing("the new build does not tell its versions")
    told = said.told
    if said.status or "data_versions" not in told:
        return _fail(said.why)
    oldest, newest = told["data_versions"]
    if not oldest <= params["data_version"] <= newest:
        reads = f"it reads {oldest} to {newest}"
        return _fail(f"the data are in version {params['data_version']}, {reads}")
    if told["app_version"] < params["app_version"]:
        rules = f"it knows {told['app_version']}"
        return _fail(f"the chain has or plans rules of version {params['app_version']}, {rules}")
    return _pass(knows=[oldest, newest])


def _lacking(said: dict[str, Said]) -> Check:
    """Say which build has no such command; nothing when both have it."""
    names = [name for name, each in said.items() if each.status == LACKS]
    return _missing(f"the {names[0]} build cannot be asked") if names else {}


def _pass(**facts: Any) -> Check:
    return {"state": "pass", "why": "", **facts}


def _fail(why: str, **facts: Any) -> Check:
    return {"state": "fail", "why": why, **facts}


def _missing(why: str) -> Check:
    return {"state": "n.a.", "why": why}


def _forget(shelf: Path) -> None:
    """Keep the newest findings only."""
    for old in sorted(shelf.glob("*.json"), key=lambda each: -each.stat().st_mtime)[_KEPT_MAX:]:
        old.unlink()
