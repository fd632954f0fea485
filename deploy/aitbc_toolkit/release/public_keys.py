"""What is a line of an SSH public key worth: which algorithm, how long, which fingerprint?

The bytes inside the line are read, because the word before them is only a claim. Pure; nothing is
verified here.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass

RSA_BITS_MIN = 3072

_ED25519, _SECURITY_KEY, _RSA = "ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ssh-rsa"
ALGORITHMS = (_ED25519, _SECURITY_KEY, _RSA)

_LENGTH = 4
_ED25519_BYTES = 32


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Hold one key as it is compared: algorithm and bytes, without the comment."""

    algorithm: str
    text: str
    fingerprint: str

    @property
    def line(self) -> str:
        """Write the key as files of OpenSSH hold it."""
        return f"{self.algorithm} {self.text}"


def read(line: str) -> PublicKey:
    """Read `algorithm base64 [comment]`.

    Raises: ValueError that says what is wrong with it.
    """
    words = line.split()
    if len(words) < 2:  # noqa: PLR2004 - algorithm and bytes
        raise ValueError("a key is written as `ssh-ed25519 AAAA...`")
    algorithm, text = words[:2]
    if algorithm not in ALGORITHMS:
        raise ValueError(f"unknown algorithm {algorithm}, known are {', '.join(ALGORITHMS)}")
    try:
        body = base64.b64decode(text, validate=True)
    except binascii.Error as wrong:
        raise ValueError(f"the key is not base64: {wrong}") from wrong
    fields = _fields(body)
    if not fields or fields[0] != algorithm.encode():
        raise ValueError(f"the key says {algorithm}, its bytes do not")
    _refuse_short(algorithm, fields)
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode().rstrip("=")
    return PublicKey(algorithm, text, f"SHA256:{digest}")


def _refuse_short(algorithm: str, fields: list[bytes]) -> None:
    if algorithm == _RSA:
        bits = int.from_bytes(fields[2]).bit_length() if len(fields) == 3 else 0  # noqa: PLR2004 - name, exponent, modulus
        if bits < RSA_BITS_MIN:
            raise ValueError(f"short key: {bits} bits of RSA, at least {RSA_BITS_MIN}")
        return
    size = len(fields[1]) if len(fields) > 1 else 0
    if size != _ED25519_BYTES:
        raise ValueError(f"short key: {size} bytes of Ed25519, it has {_ED25519_BYTES}")


def _fields(body: bytes) -> list[bytes]:
    """Cut a key's bytes into its length-prefixed fields; nothing when they do not fit."""
    fields, at = [], 0
    while at < len(body):
        size = int.from_bytes(body[at : at + _LENGTH])
        end = at + _LENGTH + size
        if at + _LENGTH > len(body) or end > len(body):
            return []
        fields.append(body[at + _LENGTH : end])
        at = end
    return fields
