"""Where a node's keys come from, and why they are not read when others could read them too.

A key file is PKCS#8 PEM, mode 0600, owned by the node's user. It is made once and never
overwritten. Do not sign here.
"""

import contextlib
import os
import re
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from aitbc_node.crypto import SigningKey
from aitbc_node.errors import AitbcError, ConfigError

CONSENSUS_KEY = "consensus.key"
"""The key of a validator's making; those that replaced it are `consensus.2.key` and so on."""
NODE_KEY = "node.key"
"""The key by which others know the node now; those before it are `node.1.key` and so on."""
NEXT_NODE_KEY = "node.next.key"
OPERATOR_KEY = "operator.key"

TOKEN_CHARS_MIN = 32

NUMBER_MAX = 9_999
"""So many keys one validator may have had: with one a day, for 27 years."""

FILE_MODE = 0o600
FOLDER_MODE = 0o700

_LATER_KEY = re.compile(r"consensus\.([2-9]|[1-9][0-9]{1,3})\.key")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def consensus_key(number: int) -> str:
    """Name the file of a validator's first, second, third key."""
    return CONSENSUS_KEY if number == 1 else f"consensus.{number}.key"


def later_keys(folder: Path) -> list[int]:
    """List the numbers of the keys that were made to replace the first, in order."""
    names = (_LATER_KEY.fullmatch(path.name) for path in folder.glob("consensus.*.key"))
    return sorted(int(name[1]) for name in names if name)


def load_signer(path: Path) -> SigningKey:
    """Read a key file into a signer.

    Raises: ConfigError when it is missing, open to others, or no Ed25519 key.
    """
    return SigningKey(load_private_key(path).private_bytes_raw())


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """Read a key file.

    Raises: ConfigError when it is missing, open to others, or no Ed25519 key.
    """
    made_by = "make the keys with: aitbc-node init --key-dir DIR --role ROLE"
    data = _read_secret(path, what="key", hint=made_by)
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path}: not an unencrypted PKCS#8 PEM key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path}: not an Ed25519 key")
    return key


def load_token(path: Path) -> str:
    """Read the operator's token.

    Raises: ConfigError when it is missing, open to others, or easy to guess.
    """
    made_by = f"make it with: umask 077; openssl rand -hex 24 > {path}"
    token = _read_secret(path, what="token", hint=made_by).decode("ascii", "replace").strip()
    if len(token) < TOKEN_CHARS_MIN or not token.isprintable() or " " in token:
        raise ConfigError(f"{path}: not a token of {TOKEN_CHARS_MIN} characters", hint=made_by)
    return token


def make_key(path: Path) -> bool:
    """Make a key file where none is; tell whether one was made.

    A crash leaves no half-written key: the file appears whole, under its name, or not at all.
    """
    if path.exists():
        return False
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    temporary = path.with_name(f"{path.name}.new")
    try:
        temporary.unlink(missing_ok=True)
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        try:
            os.write(file, pem)
            os.fsync(file)
        finally:
            os.close(file)
        # A link fails where a file has appeared in the meantime; a rename would overwrite it.
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
        temporary.unlink()
        _sync_folder(path.parent)
    except OSError as error:
        raise AitbcError(f"{path}: cannot make the key: {error.strerror}") from error
    return True


def replace_node_key(folder: Path) -> None:
    """Put the next node key in the place of the present one, which keeps a number.

    A crash leaves both under some name, and the same again does what is left to be done.
    """
    present = folder / NODE_KEY
    try:
        _number(present)
        _sync_folder(folder)  # the old key has its other name for good before it loses this one
        (folder / NEXT_NODE_KEY).replace(present)
        _sync_folder(folder)
    except OSError as error:
        raise AitbcError(f"{present}: cannot be replaced: {error.strerror}") from error


def _number(present: Path) -> None:
    """Give a key that is to be replaced the first number that no other key has."""
    for number in range(1, NUMBER_MAX):
        kept = present.with_name(f"node.{number}.key")
        try:
            os.link(present, kept)
        except FileExistsError:
            # Whatever has the name may have appeared a moment ago: only the key itself will do.
            if not kept.samefile(present):
                continue
        return
    raise AitbcError(f"{present}: all {NUMBER_MAX - 1} numbers of older node keys are taken")


def _read_secret(path: Path, *, what: str, hint: str) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & _OTHERS:
                raise ConfigError(
                    f"{path}: mode {stat.S_IMODE(mode):04o} lets others read a secret {what}",
                    hint=f"chmod 600 {path}",
                )
            return file.read()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such {what} file", hint=hint) from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


def make_folder(path: Path) -> None:
    """Make a folder for keys where it is missing; others may not look into it."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    except OSError as error:
        raise AitbcError(f"{path}: cannot make the folder: {error.strerror}") from error


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
