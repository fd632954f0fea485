"""Do two builds of this host understand each other, and compute the same states?

Both lie here as releases. Each is asked by its own command line, as the node's user and behind
everybody else; blocks are replayed from hard links, beside the node that runs. What was found good
is kept. Standard library only; what follows from it is decided on the operator's machine.
"""

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import files, leasing

Check = dict[str, Any]
"""One finding: `state` is pass, fail or n.a.; `why` says what is wrong or missing."""

_LACKS = 64  # how a build ends that has no such command
_LATE = 124
_GRACE_S = 10.0
# A start takes a second; what runs beside it goes first, and a busy host is no other protocol.
_RUN_S = 25.0
_KEPT_MAX = 32
_SHOWN_MAX = 3
# What a replay reads of a data folder.
_DATA = ("blocks.log", "data_version", "snapshot.0", "snapshot.1")


@dataclass(frozen=True, slots=True)
class Said:
    """Hold how a command of a build ended."""

    status: int
    out: str
    error: str

    @property
    def told(self) -> dict[str, Any]:
        """Read its answer; nothing when it gave none."""
        try:
            found: dict[str, Any] = json.loads(self.out)
        except ValueError:
            return {}
        return found

    @property
    def why(self) -> str:
        """Say why it failed: its answer's reason, else the first line of its error."""
        lines = [each for each in self.error.splitlines() if each.startswith("error: ")]
        said = self.told.get("why") or (lines or self.error.splitlines()[-1:] or [""])[0]
        return str(said).removeprefix("error: ") or f"it ended with {self.status}"


@dataclass(frozen=True, slots=True)
class Build:
    """Run the commands of one release; `name` is `old` or `new`."""

    name: str
    release: Path
    user: str

    def run(self, *words: str, stdin: str = "", timeout_s: float = _RUN_S) -> Said:
        """Run a command to its end; one that takes too long has ended late."""
        try:
            done = subprocess.run(  # noqa: S603 - argv never passes through a shell
                self._argv(words),
                input=stdin,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
                **self._as_user(),
            )
        except subprocess.TimeoutExpired:
            return Said(_LATE, "", f"no end within {timeout_s:.0f} s")
        return Said(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start a command that waits for another one."""
        pipe = subprocess.PIPE
        return subprocess.Popen(  # noqa: S603 - argv never passes through a shell
            self._argv(words), stdout=pipe, stderr=pipe, text=True, **self._as_user()
        )

    def _argv(self, words: Sequence[str]) -> list[str]:
        variables = ["LC_ALL=C.UTF-8", f"PYTHONPATH={self.release / 'node'}"]
        python = str(self.release / "venv/bin/python")
        return ["env", *variables, "nice", "-n", "10", python, "-P", "-m", "aitbc_node", *words]

    def _as_user(self) -> dict[str, Any]:
        if not self.user:
            return {"cwd": "/"}
        return {"user": self.user, "group": self.user, "extra_groups": [], "cwd": "/"}


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


def versions(params: dict[str, Any]) -> dict[str, Any]:
    """Ask the named releases what data and which rules they know; nothing of one that is mute."""
    base = Path(params["layout"]["base"])
    told = {}
    for commit in params["commits"]:
        build = Build("old", base / "releases" / commit, params["run_as"])
        said = build.run("version", "--json") if build.release.is_dir() else Said(1, "", "")
        told[commit] = said.told if said.status == 0 else {}
    return {"versions": told}


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
        if said.status or not said.told.get("ok"):
            what = f"what the {writer.name} build sends the {reader.name} one does not read"
            return _fail(f"{what}: {_misread(said)}")
    return _pass(examples=len(written["new"].told["examples"]))


def _misread(said: Said) -> str:
    examples = said.told.get("examples", {})
    bad = [f"{name} ({each['why']})" for name, each in examples.items() if not each["ok"]]
    more = f" and {len(bad) - _SHOWN_MAX} more" if len(bad) > _SHOWN_MAX else ""
    return ", ".join(bad[:_SHOWN_MAX]) + more if bad else said.why


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
    if said.status == _LACKS:
        return _missing(said.why)
    if said.status == _LATE:
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
    if said.status == _LACKS:
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
    names = [name for name, each in said.items() if each.status == _LACKS]
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
