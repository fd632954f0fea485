"""Which Debian packages does a host need before a deploy can work on it? Only a list."""

HOST_PACKAGES = (
    "age",
    "ca-certificates",
    "git",
    "nftables",
    "openssh-client",
    "python3",
    "python3-venv",
    "systemd-timesyncd",
)
