"""What does a fresh host lack before a deploy can work on it? Each piece is made once.

Whatever is there already as it should be is left alone, and every change is told: a second run
tells none. Packages came before, by a shell script, because this needs Python. Standard library
only.
"""

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import files, leasing
from aitbc_toolkit.deploys.hostside.trouble import Trouble

_ETC = Path("/etc/aitbc")
_TOOLS = Path("/opt/aitbc/tools")
_UV_LINK = Path("/usr/local/bin/uv")
_DEPLOY_KEY = Path("/root/.ssh/id_ed25519")
_JOURNALD = Path("/etc/systemd/journald.conf.d/aitbc.conf")
_FIREWALL = _ETC / "firewall.nft"
_PENDING = _ETC / "firewall.nft.new"
_FIREWALL_UNIT = "aitbc-firewall.service"
_UNDO_UNIT = "aitbc-firewall-undo"
_TABLE = ("inet", "aitbc_firewall")
# Longer than a new connection takes, and short for somebody who has locked himself out.
_UNDO_AFTER_S = 60


def bootstrap(params: dict[str, Any]) -> dict[str, Any]:
    """Make what is missing; the firewall is on trial until `confirm` comes over a new connection.

    Only the public part of the deploy key leaves the host.
    """
    with leasing.guarded(params):
        changed = list(_user_and_folders(params))
        changed += _uv(params["uv_requirement"])
        changed += _deploy_key()
        changed += _journal(params["texts"]["journald"])
        changed += _clock()
        pending = list(_firewall(params["texts"]))
    public = _DEPLOY_KEY.with_suffix(".pub").read_text(encoding="ascii").strip()
    return {
        "changed": [*changed, *pending],
        "on_trial": bool(pending),
        "deploy_key": public,
        "clock": clock(),
    }


def confirm(params: dict[str, Any]) -> dict[str, Any]:
    """Keep the firewall: whoever asks has just come through it."""
    with leasing.guarded(params):
        if not _PENDING.exists():
            raise Trouble(
                f"the firewall was taken back: nobody came through it in {_UNDO_AFTER_S} s",
                hint="is the ssh port in the inventory the one on which sshd listens there?",
            )
        _settle(_ports(params["texts"]))
        files.write(Path("/etc/systemd/system") / _FIREWALL_UNIT, params["texts"]["unit"])
        files.call(["systemctl", "daemon-reload"])
        files.call(["systemctl", "enable", "--quiet", "--now", _FIREWALL_UNIT])
        _stop_trial()
    return {"changed": []}


def clock() -> str:
    """Tell how the host keeps its time: `synchronised`, `not synchronised` or `container`."""
    if _succeeds("systemd-detect-virt", "--container", "--quiet"):
        return "container"
    said = files.call(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
    return "synchronised" if said.strip() == "yes" else "not synchronised"


def _user_and_folders(params: dict[str, Any]) -> Iterator[str]:
    user, layout = params["run_as"], params["layout"]
    if user and not _succeeds("id", user):
        home = "/var/lib/aitbc"
        shell = "/usr/sbin/nologin"
        argv = ["useradd", "--system", "--user-group", "--home-dir", home, "--shell", shell, user]
        files.call(argv)
        yield f"user {user}"
    for folder in (layout["base"], layout["state"], str(_ETC), "/var/lib/aitbc-keys"):
        if not Path(folder).is_dir():
            Path(folder).mkdir(parents=True)
            yield f"folder {folder}"


def _uv(requirement: str) -> Iterator[str]:
    """Install the pinned uv from the host's own package index, by its hashes."""
    pin = requirement.split(maxsplit=1)[0]
    version = pin.partition("==")[2]
    if shutil.which("uv") and files.call(["uv", "--version"]).split()[1] == version:
        return
    folder = _TOOLS / f"uv-{version}"
    if not folder.is_dir():
        with files.whole_folder(folder) as fresh, tempfile.TemporaryDirectory() as scratch:
            wanted = Path(scratch) / "requirements.txt"
            wanted.write_text(requirement, encoding="ascii")
            files.call(["python3", "-m", "venv", fresh])
            pip: list[str | Path] = [fresh / "bin/python", "-m", "pip", "install", "--quiet"]
            checks = ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
            files.call([*pip, *checks, "--requirement", wanted])
    files.point(_UV_LINK, str(folder / "bin/uv"))
    yield pin


def _deploy_key() -> Iterator[str]:
    """Make the key with which this host fetches, where it has none."""
    if _DEPLOY_KEY.exists():
        return
    _DEPLOY_KEY.parent.mkdir(mode=0o700, exist_ok=True)
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", socket.gethostname()]
    files.call([*make, "-f", _DEPLOY_KEY])
    yield "deploy key"


def _journal(text: str) -> Iterator[str]:
    if files.write(_JOURNALD, text):
        files.call(["systemctl", "restart", "systemd-journald"])
        yield "journal limits"


def _clock() -> Iterator[str]:
    """Switch the time service on where one of systemd's is installed and the clock is ours."""
    unit = "systemd-timesyncd.service"
    if clock() == "container" or _succeeds("systemctl", "is-enabled", "--quiet", unit):
        return
    if _succeeds("systemctl", "cat", unit):
        files.call(["systemctl", "enable", "--quiet", "--now", unit])
        yield "time service"


def _firewall(texts: dict[str, str]) -> Iterator[str]:
    """Load the rules on trial: a timer takes them back unless somebody comes through them."""
    if "firewall" not in texts:
        return
    ports = _ports(texts)
    same = _text(_FIREWALL) == texts["firewall"] and _text(ports) == texts["ports"]
    # While rules are pending, nobody has come through what the files say.
    if same and not _PENDING.exists() and _succeeds("nft", "list", "table", *_TABLE):
        return
    if not _before(ports).exists():
        files.write(_before(ports), _text(ports))
    files.write(_PENDING, texts["firewall"])
    _stop_trial()
    undo = _undo(ports)
    after = [f"--on-active={_UNDO_AFTER_S}s", "--timer-property=AccuracySec=1s"]
    files.call(["systemd-run", "--quiet", f"--unit={_UNDO_UNIT}", *after, "sh", "-c", undo])
    try:
        files.write(ports, texts["ports"])
        files.call(["nft", "--check", "--file", _PENDING])
        files.call(["nft", "--file", _PENDING])
    except BaseException:
        _stop_trial()
        _succeeds("sh", "-c", undo)
        raise
    yield "firewall"


def _ports(texts: dict[str, str]) -> Path:
    """Find the file with this environment's ports, which the rules include."""
    return _ETC / "firewall.d" / texts["ports_name"]


def _before(ports: Path) -> Path:
    """Find the ports that hold until a trial is confirmed; the rules do not include this name."""
    return ports.with_name(f"{ports.name}.before")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _undo(ports: Path) -> str:
    """Write the words that take a trial back: the ports of before, then the rules of before."""
    before = _before(ports)
    return (
        f"if [ -f {before} ]; then mv {before} {ports}; fi; if [ -f {_FIREWALL} ]; "
        f"then nft -f {_FIREWALL}; else nft delete table {' '.join(_TABLE)}; fi; rm -f {_PENDING}"
    )


def _settle(ports: Path) -> None:
    """Let the rules on trial be the rules."""
    _before(ports).unlink(missing_ok=True)
    _PENDING.rename(_FIREWALL)
    files.sync_folder(_ETC)


def _stop_trial() -> None:
    _succeeds("systemctl", "stop", f"{_UNDO_UNIT}.timer")


def _succeeds(*argv: str) -> bool:
    return subprocess.run(argv, check=False, capture_output=True).returncode == 0  # noqa: S603 - fixed words
