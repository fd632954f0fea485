"""How do a node's keys leave its host? Sealed here, to the operator's public key, and never else.

`age` encrypts to an SSH key; the archive exists in memory only, and no secret stands in an argument
list. The sign state is left out on purpose: an old one in use would be the end of a validator.
Standard library only.
"""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside.trouble import Trouble

_AGE_S = 20


def seal(params: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of this host's nodes, each node's as one encrypted text; change nothing."""
    if shutil.which("age") is None:
        ours = params["manager"]["kind"] == "systemd"
        hint = "aitbc bootstrap   # brings it to every host" if ours else "apt-get install age"
        raise Trouble("age is not on this host", hint=hint, kind="missing")
    return {
        "sealed": {
            each["name"]: _seal(Path(each["keys"]), recipient=params["recipient"])
            for each in params["instances"]
        }
    }


def _seal(folder: Path, *, recipient: str) -> str:
    names = sorted(folder.glob("*.key"))
    if not names:
        raise Trouble(f"{folder} holds no keys", hint="aitbc keys new")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in names:
            tar.add(name, arcname=f"{folder.name}/{name.name}")
    done = subprocess.run(  # noqa: S603 - a public key is its only argument
        ["age", "--armor", "--recipient", recipient],  # noqa: S607 - a program of this host
        input=archive.getvalue(),
        capture_output=True,
        check=False,
        timeout=_AGE_S,
    )
    if done.returncode:
        raise Trouble(f"age failed: {done.stderr.decode(errors='replace').strip()[-200:]}")
    return done.stdout.decode("ascii")
