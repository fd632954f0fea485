"""Where are the operator's own keys, and how are they made? PKCS#8 PEM files, mode 0600.

Only keys that belong to the operator's machine: a node's keys are made on its host and never come
here. Do not print a key, put one into an exception, or pass one in argv.
"""

import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aitbc_node.crypto import SigningKey
from aitbc_toolkit.errors import ConfigError

_MAKE_ANOTHER = "aitbc account new FILE   # makes one of the right kind"


def faucet_path(folder: Path) -> Path:
    """Find the key of the account that a genesis funds, in the folder of an environment."""
    return folder / "faucet.key"


def make(path: Path) -> bool:
    """Make a key where there is none; tell whether it was made."""
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        os.fsync(file.fileno())
    fresh.rename(path)
    return True


def read(path: Path) -> SigningKey:
    """Read a key that only its owner may read.

    Raises: ConfigError when it is missing, open to others, or no Ed25519 key.
    """
    try:
        mode = path.stat().st_mode
        pem = path.read_bytes() if stat.S_ISREG(mode) else b""
    except OSError as missing:
        raise ConfigError(
            f"no key at {path}: {missing.strerror}", hint=f"aitbc account new {path}"
        ) from missing
    if not pem.startswith(b"-----BEGIN"):
        # Before its mode: nobody should be told to lock a file that is no key of theirs.
        raise ConfigError(f"{path} is not a PKCS#8 PEM key", hint=_MAKE_ANOTHER)
    if mode & 0o077:
        raise ConfigError(f"{path} can be read by others", hint=f"chmod 600 {path}")
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as wrong:
        raise ConfigError(f"{path} is not a PKCS#8 PEM key", hint=_MAKE_ANOTHER) from wrong
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path} is not an Ed25519 key", hint=_MAKE_ANOTHER)
    return SigningKey(key.private_bytes_raw())


def read_faucet(folder: Path) -> SigningKey:
    """Read the key of the account that a genesis funds.

    Raises: ConfigError, also before the first deploy, which makes it.
    """
    path = faucet_path(folder)
    if not path.exists():
        raise ConfigError(
            f"no faucet key at {path}: the deploy that makes the genesis makes it",
            hint="aitbc deploy\naitbc tx send --to ADDRESS --amount 1 --key FILE   # with your own",
        )
    return read(path)
