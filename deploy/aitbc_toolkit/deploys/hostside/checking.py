"""What does this host have that a deploy needs, and what may be missing? Each answer with evidence.

The `essentials` are what every deploy asks for and is refused without; `check` is the long list of
a preflight. Reads only. Standard library only.
"""

import os
import pwd
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import files, observing
from aitbc_toolkit.deploys.hostside.trouble import Trouble

_PYTHON_OLDEST = (3, 11)
_GIT_S = 15
_MEMORY_MIB_MIN = 256
_FIREWALL_TABLE = ("nft", "list", "table", "inet", "aitbc_firewall")
_JOURNALD = Path("/etc/systemd/journald.conf.d/aitbc.conf")

Row = dict[str, str]


def look(params: dict[str, Any]) -> dict[str, Any]:
    """Observe the host, and look at what a deploy is refused without."""
    return {"checks": _essentials(params, versions=False), **observing.observe(params)}


def check(params: dict[str, Any]) -> dict[str, Any]:
    """Observe the host and look at everything that a preflight lists."""
    rows = [
        *_essentials(params, versions=True),
        _ports(observed := observing.observe(params)),
        _remote(params),
        _memory(),
        _time_service(params),
        _password(params),
        _journal(params),
        _firewall(params),
    ]
    return {**observed, "checks": rows}


def _essentials(params: dict[str, Any], *, versions: bool) -> list[Row]:
    """Look at what no deploy can do without; which versions it has is for a preflight to ask."""
    return [
        _python(),
        _program("git", "git", versions=versions),
        _program("uv", params["uv"], versions=versions),
        _user(params["run_as"]),
        _disk(params),
        *_supervision(params),
    ]


def _row(item: str, state: str, evidence: str, hint: str = "") -> Row:
    return {"item": item, "state": state, "evidence": evidence, "hint": hint}


def _judged(item: str, *, good: bool, evidence: str, hint: str, bad: str = "fail") -> Row:
    return _row(item, "pass", evidence) if good else _row(item, bad, evidence, hint)


def _python() -> Row:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= _PYTHON_OLDEST
    evidence = f"python is {version}" + ("" if good else ", 3.11 is needed")
    return _judged("python", good=good, evidence=evidence, hint="apt-get install python3")


def _program(item: str, name: str, *, versions: bool) -> Row:
    if shutil.which(name) is None:
        return _row(item, "fail", f"{name} is missing", f"install {name} on this host")
    if not versions:
        return _row(item, "pass", f"{item} is there")
    said = files.call([name, "--version"]).split()
    return _row(item, "pass", f"{item} is {said[-1] if item == 'git' else said[1]}")


def _user(name: str) -> Row:
    if not name:
        return _row("user", "n.a.", "nodes run as whoever runs the toolkit")
    hint = f"useradd --system --user-group {name}"
    good = _is_known(name)
    evidence = f"the user {name} is there" if good else f"there is no user {name}"
    return _judged("user", good=good, evidence=evidence, hint=hint)


def _is_known(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _disk(params: dict[str, Any]) -> Row:
    path = Path(params["layout"]["base"])
    while not path.exists():
        path = path.parent
    free, least = shutil.disk_usage(path).free // 2**20, params["disk_free_mib_min"]
    good = free >= least
    evidence = f"{free} MiB of disk are free" + ("" if good else f", {least} are needed")
    return _judged("disk", good=good, evidence=evidence, hint="df -h")


def _supervision(params: dict[str, Any]) -> list[Row]:
    """Look for what lets nodes end with their supervisor; systemd has its own way."""
    if not _is_ours(params):
        return []
    good = _succeeds("setpriv", "--pdeathsig", "TERM", "true")
    evidence = "nodes end with their supervisor"
    if not good:
        evidence = "setpriv --pdeathsig is missing: nodes would outlive a killed supervisor"
    hint = "install util-linux on this host"
    return [_judged("supervision", good=good, evidence=evidence, hint=hint)]


def _ports(observed: dict[str, Any]) -> Row:
    taken = [
        f"{port} of {name}"
        for name, told in observed["instances"].items()
        for port in told["taken_ports"]
    ]
    evidence = f"not free: {', '.join(taken)}" if taken else "free or our own"
    return _judged("ports", good=not taken, evidence=evidence, hint="ss -ltnp   # on this host")


def _remote(params: dict[str, Any]) -> Row:
    """Ask the git server as the host itself will: with its own key, without any prompt."""
    source = params["git_source"]
    if not source["url"]:
        return _row("git remote", "n.a.", source["why"])
    ssh = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]
    # The operator's own way to a lab's forge is a file of this machine, and only here it is.
    ssh += ["-F", source["ssh_config"]] if Path(source["ssh_config"] or "/").is_file() else []
    env = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": shlex.join(ssh)}
    try:
        files.call(["git", "ls-remote", "--quiet", source["url"]], env=env, timeout_s=_GIT_S)
    except Trouble as failure:
        said = " ".join(failure.message.split())[-160:]
        hint = f"git ls-remote {source['url']}   # on this host"
        return _row("git remote", "fail", f"{source['url']} cannot be read: {said}", hint)
    return _row("git remote", "pass", f"{source['url']} can be read")


def _memory() -> Row:
    facts = dict(
        line.split(":", 1)
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    )
    free = int(facts["MemAvailable"].split()[0]) // 1024
    evidence = f"{free} MiB of memory are free, {os.cpu_count()} processors"
    good = free >= _MEMORY_MIB_MIN
    return _judged("memory", good=good, evidence=evidence, hint="free -m", bad="warn")


def _time_service(params: dict[str, Any]) -> Row:
    if _is_ours(params):
        return _row("time service", "n.a.", "this machine's own affair")
    if _succeeds("systemd-detect-virt", "--container", "--quiet"):
        return _row("time service", "n.a.", "a container: its clock is that of the machine below")
    said = files.call(["timedatectl", "show", "--property=NTPSynchronized", "--value"]).strip()
    return _judged(
        "time service",
        good=said == "yes",
        evidence="synchronised" if said == "yes" else "the clock is not synchronised",
        hint="timedatectl set-ntp true   # on this host",
        bad="warn",
    )


def _password(params: dict[str, Any]) -> Row:
    """Ask sshd itself whether a password would do."""
    if _is_ours(params) or shutil.which("sshd") is None:
        return _row("ssh passwords", "n.a.", "no sshd of ours")
    lines = files.call(["sshd", "-T"]).splitlines()
    refused = "passwordauthentication no" in lines
    return _judged(
        "ssh passwords",
        good=refused,
        evidence="refused" if refused else "sshd takes passwords",
        hint="echo 'PasswordAuthentication no' > /etc/ssh/sshd_config.d/aitbc.conf",
        bad="warn",
    )


def _journal(params: dict[str, Any]) -> Row:
    if _is_ours(params):
        return _row("journal", "n.a.", "supervisord rotates the logs of nodes")
    good = _JOURNALD.is_file()
    evidence = "bounded" if good else "no bounds of ours"
    return _judged("journal", good=good, evidence=evidence, hint="aitbc bootstrap", bad="warn")


def _firewall(params: dict[str, Any]) -> Row:
    if not params["firewall"]:
        return _row("firewall", "n.a.", "the inventory does not ask for one")
    good = _succeeds(*_FIREWALL_TABLE)
    evidence = "its rules are loaded" if good else "its rules are not loaded"
    return _judged("firewall", good=good, evidence=evidence, hint="aitbc bootstrap", bad="warn")


def _is_ours(params: dict[str, Any]) -> bool:
    """Tell whether nodes run below a supervisor on the operator's machine."""
    return bool(params["manager"]["kind"] == "supervisord")


def _succeeds(*argv: str) -> bool:
    try:
        return subprocess.run(argv, check=False, capture_output=True).returncode == 0  # noqa: S603 - fixed words
    except FileNotFoundError:
        return False
