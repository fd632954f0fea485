"""Is this commit, tag or text signed by exactly this key? git and ssh-keygen answer, nobody else.

Only exit statuses count: git prints `Good signature` also for keys that nobody allowed. What a
repository says about itself, by configuration or by replaced objects, is not believed. Do not
decide here what a signature is good for.
"""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aitbc_toolkit import shell
from aitbc_toolkit.errors import ConfigError
from aitbc_toolkit.release import public_keys
from aitbc_toolkit.release.public_keys import PublicKey

GIT = "git"
APPROVAL = "aitbc-approval"
ROLE = "aitbc-role"
AUDIT = "aitbc-audit"

COMMIT = re.compile(r"[0-9a-f]{40}")

GIT_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_COUNT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_TERMINAL_PROMPT": "0",
}
# A key with a passphrase has to come from an agent: nobody is there to be asked.
NO_QUESTIONS = {"SSH_ASKPASS": "/bin/false", "SSH_ASKPASS_REQUIRE": "force"}
_VERIFY_S = 20.0
_SIGNATURE_BYTES_MAX = 16_384
_PRIVATE = "-----BEGIN "


@dataclass(frozen=True, slots=True)
class Keyring:
    """Hold one allowed signer and the revoked keys as the files that programs read."""

    principal: str
    allowed: Path
    revoked: Path

    def git(self, repository: Path, *words: str) -> list[str]:
        """Build the one git command line that may judge a signature.

        The command line wins over what the repository's own configuration says; programs for
        other kinds of signatures are switched off, because a repository could name its own.
        """
        return [
            "git",
            f"--git-dir={repository}",
            *("-c", "gpg.ssh.program=ssh-keygen"),
            *("-c", f"gpg.ssh.allowedSignersFile={self.allowed}"),
            *("-c", f"gpg.ssh.revocationFile={self.revoked}"),
            *("-c", "gpg.program=false", "-c", "gpg.openpgp.program=false"),
            *("-c", "gpg.x509.program=false"),
            *words,
        ]


@contextmanager
def keyring(
    principal: str, key: PublicKey, *, revoked: Sequence[str], namespace: str
) -> Iterator[Keyring]:
    """Write the files for one signer, for as long as they are needed."""
    with tempfile.TemporaryDirectory(prefix="aitbc-trust-") as folder:
        ring = Keyring(principal, Path(folder, "allowed_signers"), Path(folder, "revoked"))
        line = f'{principal} namespaces="{namespace}" {key.line}\n'
        ring.allowed.write_text(line, encoding="utf-8")
        ring.revoked.write_text("".join(f"{each}\n" for each in revoked), encoding="utf-8")
        yield ring


def commit_is_signed(repository: Path, commit: str, ring: Keyring) -> bool:
    """Tell whether a commit, named by its full hash, is signed by the ring's signer."""
    assert COMMIT.fullmatch(commit), commit
    return _git(ring.git(repository, "verify-commit", commit)).ok


def tag_is_signed(repository: Path, name: str, commit: str, ring: Keyring) -> bool:
    """Tell whether a tag is signed by the ring's signer and says its own name and this commit.

    git would accept a signed tag object under any name, so the object itself is read.
    """
    found = _git(ring.git(repository, "rev-parse", "--verify", "--quiet", f"refs/tags/{name}"))
    tag = found.stdout.strip()
    if not found.ok or not COMMIT.fullmatch(tag):
        return False
    body = _git(ring.git(repository, "cat-file", "tag", tag))
    if not body.ok:
        return False
    headers = body.stdout.split("\n\n", 1)[0].splitlines()
    if headers[:3] != [f"object {commit}", "type commit", f"tag {name}"]:
        return False
    return _git(ring.git(repository, "verify-tag", tag)).ok


def sign(text: str, *, key: Path, namespace: str) -> str:
    """Sign a text with the private key of a file, or with the agent's for a public one."""
    signed = shell.run(
        ["ssh-keygen", "-Y", "sign", "-q", "-f", key, "-n", namespace],
        stdin=text,
        env=NO_QUESTIONS,
        timeout_s=_VERIFY_S,
        hint=f"ssh-add {key}",
    )
    return signed.stdout


def text_is_signed(text: str, signature: str, ring: Keyring, *, namespace: str) -> bool:
    """Tell whether a signature over exactly this text was made by the ring's signer."""
    if len(signature) > _SIGNATURE_BYTES_MAX:
        return False
    file = ring.allowed.with_name("signature")
    file.write_text(signature, encoding="utf-8")
    argv = ["ssh-keygen", "-Y", "verify", "-q", "-f", str(ring.allowed), "-I", ring.principal]
    argv += ["-n", namespace, "-s", str(file), "-r", str(ring.revoked)]
    return shell.run(argv, stdin=text, check=False, timeout_s=_VERIFY_S).ok


def public_of(key: Path) -> PublicKey:
    """Read the public part that lies beside a private key, or make it.

    Raises: ConfigError when there is no such key or it is too weak to be trusted.
    """
    if not key.is_file():
        raise ConfigError(f"no key at {key}", hint="ssh-keygen -t ed25519 -f ~/.ssh/id_ed25519")
    text = key.read_text(encoding="utf-8", errors="replace")
    beside = key.with_name(f"{key.name}.pub") if text.startswith(_PRIVATE) else key
    if beside.is_file():
        line = beside.read_text(encoding="utf-8", errors="replace")
    else:
        line = shell.run(["ssh-keygen", "-y", "-f", key], env=NO_QUESTIONS).stdout
    try:
        return public_keys.read(line)
    except ValueError as wrong:
        raise ConfigError(
            f"{beside} is no SSH key: {wrong}", hint="ssh-keygen -t ed25519 -f ~/.ssh/id_ed25519"
        ) from wrong


def _git(argv: list[str]) -> shell.Result:
    return shell.run(argv, env=GIT_ENVIRONMENT, check=False, timeout_s=_VERIFY_S)
