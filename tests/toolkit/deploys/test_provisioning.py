"""The one step without Python, run by this machine's sh against stand-ins of dpkg and apt."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from aitbc_toolkit.deploys import bundle
from aitbc_toolkit.deploys.hostside.program import MARK

pytestmark = pytest.mark.integration

_DPKG = """\
#!/bin/sh
for last; do :; done
case " git here " in *" $last "*) printf 'ii ' ;; *) exit 1 ;; esac
"""


def provision(folder: Path, *, packages: str, look_only: str = "no", **programs: str) -> Any:
    """Run the script with root's id and the given programs in front of the path."""
    folder.mkdir(exist_ok=True)
    stand_ins = {
        "id": "#!/bin/sh\necho 0\n",
        "dpkg-query": _DPKG,
        "apt-get": f'#!/bin/sh\necho "$@" >> {folder}/apt.log\n',
        **{name.replace("_", "-"): text for name, text in programs.items()},
    }
    for name, text in stand_ins.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    text = bundle.script("provision", {"packages": packages, "look_only": look_only})
    done = subprocess.run(
        ["sh", "-s"],
        input=text,
        env={"PATH": f"{folder}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    [line] = [each for each in done.stdout.splitlines() if each.startswith(MARK)]
    answer = json.loads(line.removeprefix(MARK))
    if answer["ok"]:
        told_s = answer.pop("wall_ms") / 1000
        assert abs(told_s - time.time()) < 5, "milliseconds since 1970"
    return answer


def asked(folder: Path) -> str:
    """Read what apt was called with."""
    log = folder / "apt.log"
    return log.read_text() if log.exists() else ""


def test_only_what_is_missing_is_installed(tmp_path: Path) -> None:
    """The answer names what was missing; what is there is not asked for again."""
    answer = provision(tmp_path / "bin", packages="git python3 nftables")

    assert answer == {"ok": True, "missing": ["python3", "nftables"]}
    assert "install --no-install-recommends python3 nftables" in asked(tmp_path / "bin")


def test_a_look_changes_nothing(tmp_path: Path) -> None:
    """Preflight asks the same question and apt is not called at all."""
    answer = provision(tmp_path / "bin", packages="git python3", look_only="yes")

    assert answer == {"ok": True, "missing": ["python3"]}
    assert asked(tmp_path / "bin") == ""


def test_nothing_missing_calls_nobody(tmp_path: Path) -> None:
    """A second run does not even refresh the lists."""
    assert provision(tmp_path / "bin", packages="git") == {"ok": True, "missing": []}
    assert asked(tmp_path / "bin") == ""


def test_a_clock_daemon_that_is_there_stays(tmp_path: Path) -> None:
    """Apt would remove chrony for systemd's own service."""
    answer = provision(
        tmp_path / "bin", packages="systemd-timesyncd", chronyd="#!/bin/sh\nexit 0\n"
    )

    assert answer == {"ok": True, "missing": []}


def test_what_apt_said_arrives_whatever_characters_it_has(tmp_path: Path) -> None:
    """Quotes and line breaks of a failure must not break the one line of the answer."""
    answer = provision(
        tmp_path / "bin",
        packages="python3",
        apt_get="#!/bin/sh\nprintf 'E: \"mirror\" is\\n\\tgone' >&2\nexit 100\n",
    )

    assert answer["ok"] is False
    assert "apt-get update: E: mirror is" in answer["error"]
    assert "gone" in answer["error"]
    assert answer["hint"] == "apt-get update"


def test_a_user_who_is_not_root_is_told_so(tmp_path: Path) -> None:
    """Before anything is tried."""
    answer = provision(tmp_path / "bin", packages="git", id="#!/bin/sh\necho 1000\n")

    assert answer["ok"] is False
    assert "not as root" in answer["error"]
