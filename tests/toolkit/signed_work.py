"""Real repositories, real keys: what tests of trust build their cases from."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from aitbc_toolkit.release.allowed import Allowed, Revoked, Rule, Signer
from aitbc_toolkit.release.trust import Candidate

QUIET = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Ana",
    "GIT_AUTHOR_EMAIL": "ana@example",
    "GIT_COMMITTER_NAME": "Ana",
    "GIT_COMMITTER_EMAIL": "ana@example",
    "PATH": "/usr/bin:/bin",
    "HOME": "/nonexistent",
}
URL = "ssh://git@forge.example/aitbc.git"


def a_key(folder: Path, name: str, *, kind: str = "ed25519", bits: str = "") -> Path:
    """Make a key pair; return the file of the private part."""
    path = folder / name
    size = ["-b", bits] if bits else []
    argv = ["ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-C", name, "-f", str(path)]
    subprocess.run(argv, check=True, capture_output=True)
    return path


def public(key: Path) -> str:
    """Read the public line of a key, without its comment."""
    return " ".join(key.with_suffix(".pub").read_text(encoding="utf-8").split()[:2])


@dataclass(frozen=True)
class Repository:
    """Hold a work tree whose commits tests make as they need them."""

    root: Path

    def git(self, *words: str, stdin: str = "", **extra: str) -> str:
        """Run git as the author of the test's commits."""
        done = subprocess.run(
            ["git", "-C", str(self.root), *words],
            input=stdin,
            env=QUIET | extra,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, text: str, *, key: Path | None = None, **extra: str) -> str:
        """Make a commit, signed when a key is given; return its hash."""
        (self.root / "file").write_text(text, encoding="utf-8")
        self.git("add", "file")
        signing = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={key}"] if key else []
        flag = ["-S"] if key else ["--no-gpg-sign"]
        self.git(*signing, "commit", "--quiet", *flag, "-m", text, **extra)
        return self.git("rev-parse", "HEAD")

    def tag(self, name: str, commit: str, *, key: Path) -> None:
        """Sign an annotated tag."""
        signing = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={key}"]
        self.git(*signing, "tag", "-s", "-m", name, name, commit)

    def candidate(self, commit: str, *, remote: str = URL) -> Candidate:
        """Ask about a commit as a mirror would."""
        return Candidate(self.root / ".git", commit, remote, "staging", "refs/heads/")


def a_repository(folder: Path) -> Repository:
    """Make an empty repository whose branch is main."""
    folder.mkdir(parents=True)
    made = Repository(folder)
    made.git("init", "--quiet", "-b", "main")
    return made


def an_allowed(
    key: Path,
    *,
    remote: str = URL,
    branch: str = "main",
    revoked: Path | None = None,
    dev_mode: bool = False,
) -> Allowed:
    """Trust one key for one branch of one remote."""
    return Allowed(
        dev_mode=dev_mode,
        rules=[Rule(name="main", remote=remote, branch=branch, signers=["ana@example"])],
        signers=[Signer(principal="ana@example", key=public(key), roles=["release"])],
        revoked=[Revoked(key=public(revoked), reason="stolen")] if revoked else [],
    )
