"""How `host:port` is read and written; IPv6 hosts stand in brackets. Do not resolve names here."""

PORT_MAX = 65_535


def parse_address(text: str) -> tuple[str, int]:
    """Split `host:port` or `[v6]:port`.

    Raises: ValueError with a message that says what is wrong.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > PORT_MAX:
        raise ValueError(f"{text!r} is not host:port")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text!r}: write an IPv6 host in brackets, [::1]:8600")
    if not host:
        raise ValueError(f"{text!r} names no host")
    return host, int(port)


def format_address(host: str, port: int) -> str:
    """Join a host and a port."""
    host = unmapped(host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def unmapped(host: str) -> str:
    """Return an IPv4 address that came over an IPv6 socket as what it is."""
    return host.removeprefix("::ffff:") if "." in host else host
