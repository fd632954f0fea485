"""Releases that must not stay: what each does wrong, as an edit of the real node's source.

`plant` edits a clone and leaves the commit to the caller; `heal` takes the edit back. An edit whose
anchor is gone fails the test that plants it, so that no bad release is silently a good one.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

Kind = Literal[
    "does not start",
    "starts and crashes",
    "answers but does not vote",
    "another state root",
    "cannot read the data",
    "wrong genesis",
    "slow",
    "takes no payments",
    "unsigned",
]


class _Edit(NamedTuple):
    file: str
    before: str
    after: str


# Only blocks made after the process has begun: its own log still replays, so nothing but the
# live mesh can find it.
_OTHER_ROOT = """\
            state_root=(
                Hash(bytes(32))
                if context.time_ms
                > vars(__import__("sys")).setdefault("born_ms", __import__("time").time() * 1000)
                else execution.state_root
            ),
"""

_EDITS: Mapping[Kind, _Edit | None] = {
    "does not start": _Edit(
        "node/aitbc_node/process.py",
        "    identities = load_identities(config)\n",
        "    raise SystemExit('planted: does not start')\n",
    ),
    "starts and crashes": _Edit(
        "node/aitbc_node/process.py",
        "        heart.ready()\n",
        "        heart.ready()\n"
        "        asyncio.get_running_loop().call_later(1.5, __import__('os')._exit, 1)\n",
    ),
    "answers but does not vote": _Edit(
        "node/aitbc_node/voting.py",
        "        self.is_frozen = False\n",
        "        self.is_frozen = True\n",
    ),
    "another state root": _Edit(
        "node/aitbc_node/chain.py",
        "            state_root=execution.state_root,\n",
        _OTHER_ROOT,
    ),
    "cannot read the data": _Edit(
        "node/aitbc_node/storage/versions.py",
        "DataVersions(oldest=FIRST, newest=1)",
        "DataVersions(oldest=2, newest=2)",
    ),
    "wrong genesis": _Edit(
        "node/aitbc_node/ledger/genesis.py",
        "hashlib.sha256(GENESIS_TAG + encode(self))",
        "hashlib.sha256(b'planted' + GENESIS_TAG + encode(self))",
    ),
    "slow": _Edit(
        "node/aitbc_node/voting.py",
        "                candidate = self._build()\n",
        "                __import__('time').sleep(1)\n                candidate = self._build()\n",
    ),
    "takes no payments": _Edit(
        "node/aitbc_node/rpc/dispatch.py",
        "    if mesh.is_stale(call.view):\n        raise submission.no_quorum()\n",
        "    raise submission.no_quorum()\n",
    ),
    "unsigned": None,
}


def plant(checkout: Path, kind: Kind) -> None:
    """Put the fault into a clone; an unsigned release is one by how it is committed."""
    edit = _EDITS[kind]
    if edit is None:
        return
    path = checkout / edit.file
    text = path.read_text(encoding="utf-8")
    assert text.count(edit.before) == 1, f"{kind}: {edit.file} has no such line any more"
    path.write_text(text.replace(edit.before, edit.after), encoding="utf-8")


def commit(checkout: Path, kind: Kind) -> str:
    """Commit a release with the fault, unsigned, and take the edit back in the next commit."""
    plant(checkout, kind)
    bad = _commit(checkout, f"planted: {kind}")
    edit = _EDITS[kind]
    if edit is not None:
        git(checkout, "checkout", "--quiet", "HEAD~", "--", edit.file)
        _commit(checkout, f"healed: {kind}")
    return bad


def _commit(checkout: Path, subject: str) -> str:
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--allow-empty", "--no-gpg-sign", "--message", subject)
    return git(checkout, "rev-parse", "HEAD")


def git(checkout: Path, *words: str) -> str:
    """Run git in a clone as the author of planted commits."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
    argv = ["git", "-C", str(checkout), *identity, *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
