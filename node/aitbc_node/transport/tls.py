"""How TLS is set up on both sides of a link: 1.3 only, and the acceptor's key is what counts.

The acceptor shows a certificate that carries its node key. Nobody signs it and nobody asks who did:
the dialer compares the hash of the key with the id that it dialled. Do not add authorities.
"""

import datetime as dt
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from aitbc_node.errors import ConfigError, PeerFault
from aitbc_node.types import PublicKey

SERVER_NAME = "aitbc-node"
"""The same for all: a name in the clear would tell a watcher who is called."""

_ALWAYS = (dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(9999, 1, 1, tzinfo=dt.UTC))


def certificate(key: Ed25519PrivateKey) -> bytes:
    """Return a self-signed certificate of a node key as PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SERVER_NAME)])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(_ALWAYS[0])
        .not_valid_after(_ALWAYS[1])
        .sign(key, None)
    )
    return built.public_bytes(Encoding.PEM)


def acceptor_context(key_file: Path, certificate_file: Path) -> ssl.SSLContext:
    """Build the acceptor's side from a key file and the certificate made of it.

    Raises: ConfigError when the two do not fit together or cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # a link is never resumed
    try:
        context.load_cert_chain(certificate_file, key_file)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"{key_file}: not usable for TLS: {error}") from error
    return context


def dialer_context() -> ssl.SSLContext:
    """Build the dialer's side: TLS checks no chain, `peer_key` gives what to compare."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def peer_key(certificate_der: bytes | None) -> PublicKey:
    """Return the node key inside the acceptor's certificate.

    Raises: PeerFault when there is none or it is of another kind.
    """
    if not certificate_der:
        raise PeerFault("no certificate")
    try:
        key = x509.load_der_x509_certificate(certificate_der).public_key()
    except ValueError as error:
        raise PeerFault("a certificate that cannot be read") from error
    if not isinstance(key, Ed25519PublicKey):
        raise PeerFault("a certificate whose key is not Ed25519")
    return PublicKey(key.public_bytes_raw())
