"""What a host's disk holds before its first boot, and how ssh reads what we write for it."""

import io
import os
import stat
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest

from aitbc_toolkit import shell
from aitbc_toolkit.lab import seed
from aitbc_toolkit.lab.model import Lab, LabHost, Limits


def a_host(name: str, number: int, folder: Path) -> LabHost:
    """Build a host whose addresses end in `number`."""
    return LabHost(
        name=name,
        machine=f"67b6e4-{name}",
        ipv4=f"10.213.3.{number}",
        ipv6=f"fd5a:17bc:6c61:3::{number}",
        port=22,
        key=folder / "root_ed25519",
        host_key=f"ssh-ed25519 PUBLIC-{name}",
    )


def a_lab(folder: Path) -> Lab:
    """Build a lab of one host and the forge, with its keys in `folder`."""
    return Lab(
        name="try",
        tag="67b6e4",
        slot=3,
        bridge="al-try-67b6e4",
        folder=folder,
        limits=Limits(),
        hosts=(a_host("lab1", 11, folder),),
        forge=a_host("forge", 2, folder),
    )


def a_lab_folder(folder: Path) -> Lab:
    """Write stand-ins for the keys of a lab."""
    (folder / "host-keys").mkdir()
    for name in ("root_ed25519", "push_ed25519", "host-keys/lab1", "host-keys/forge"):
        (folder / name).write_text(f"PRIVATE {name}\n")
        (folder / f"{name}.pub").write_text(f"ssh-ed25519 PUBLIC {name}\n")
    return a_lab(folder)


def an_image(folder: Path) -> Path:
    """Build the part of an image that seeding reads; git is whoever runs the test."""
    (folder / "etc").mkdir(parents=True)
    git = f"git:x:{os.getuid()}:{os.getgid()}::/srv/git:/bin/sh\n"
    (folder / "etc/passwd").write_text(f"root:x:0:0::/root:/bin/sh\n{git}")
    return folder


@pytest.mark.unit
def test_every_host_is_known_by_name_in_both_families() -> None:
    """A lab needs no name server."""
    assert seed.hosts_file(a_lab(Path("/s"))).splitlines()[2:] == [
        "10.213.3.11 lab1",
        "fd5a:17bc:6c61:3::11 lab1",
        "10.213.3.2 forge",
        "fd5a:17bc:6c61:3::2 forge",
        "10.213.3.1 controller",
        "fd5a:17bc:6c61:3::1 controller",
    ]


@pytest.mark.unit
def test_a_host_of_one_family_has_no_trace_of_the_other() -> None:
    """Its network file gives it one address, and its neighbours know it by that one."""
    lab = a_lab(Path("/s"))
    only_v4, only_v6 = (
        replace(lab.hosts[0], **{missing: ""}, dual=False) for missing in ("ipv6", "ipv4")
    )

    assert "Address=10.213.3.11/24\nLinkLocalAddressing=no\n" in seed.network_file(lab, only_v4)
    assert "fd5a" not in seed.network_file(lab, only_v4)
    assert "Address=fd5a:17bc:6c61:3::11/64\n" in seed.network_file(lab, only_v6)
    assert "10.213" not in seed.network_file(lab, only_v6)
    shown = seed.hosts_file(replace(lab, hosts=(only_v6,))).splitlines()
    assert [line for line in shown if line.endswith(" lab1")] == ["fd5a:17bc:6c61:3::11 lab1"]
    config = seed.ssh_config(replace(lab, hosts=(only_v6,)))
    assert "  HostName fd5a:17bc:6c61:3::11\n" in config


@pytest.mark.unit
def test_host_key_is_known_under_name_and_addresses() -> None:
    """Strict checking works however a host is named."""
    assert seed.known_hosts(a_lab(Path("/s"))).splitlines() == [
        "lab1,10.213.3.11,fd5a:17bc:6c61:3::11 ssh-ed25519 PUBLIC-lab1",
        "forge,10.213.3.2,fd5a:17bc:6c61:3::2 ssh-ed25519 PUBLIC-forge",
    ]


@pytest.mark.unit
def test_network_file_sets_both_addresses_without_waiting() -> None:
    """Duplicate address detection would keep IPv6 away for two seconds."""
    lines = seed.network_file(a_lab(Path("/s")), a_lab(Path("/s")).hosts[0]).splitlines()

    assert "Address=10.213.3.11/24" in lines
    assert "Address=fd5a:17bc:6c61:3::11/64" in lines
    assert "IPv6DuplicateAddressDetection=0" in lines


@pytest.mark.unit
def test_deploy_keys_may_only_fetch() -> None:
    """One key pushes; every other line carries the forced command."""
    lines = seed.forge_keys("ssh-ed25519 P", ["ssh-ed25519 A", "ssh-ed25519 B"]).splitlines()

    assert lines == [
        "restrict ssh-ed25519 P",
        'restrict,command="read-only" ssh-ed25519 A',
        'restrict,command="read-only" ssh-ed25519 B',
    ]


@pytest.mark.integration
def test_ssh_reads_the_configuration_as_it_was_meant(tmp_path: Path) -> None:
    """Strict keys, root, the right addresses, and the push key only for git at the forge."""
    folder = tmp_path / "a folder at 100%"
    folder.mkdir()
    lab = a_lab(folder)
    lab.ssh_config.write_text(seed.ssh_config(lab))

    def asked(target: str) -> list[str]:
        return shell.run(["ssh", "-F", lab.ssh_config, "-G", target]).stdout.splitlines()

    assert {"user root", "hostname 10.213.3.11", "stricthostkeychecking true"} <= set(asked("lab1"))
    assert [line for line in asked("lab1") if line.startswith("identityfile")] == [
        f"identityfile {lab.root_key}".replace("%", "%%")
    ]
    assert f"identityfile {lab.push_key}".replace("%", "%%") in asked("git@forge")
    assert f"identityfile {lab.push_key}".replace("%", "%%") not in asked("root@forge")


@pytest.mark.unit
def test_paramiko_reads_the_same_configuration() -> None:
    """The deployer's connector and ssh find the same host."""
    config = paramiko.SSHConfig()
    config.parse(io.StringIO(seed.ssh_config(a_lab(Path("/s")))))

    found = config.lookup("lab1")

    assert found["hostname"] == "10.213.3.11"
    assert found["user"] == "root"
    assert found["stricthostkeychecking"] == "yes"


@pytest.mark.integration
def test_seeded_disk_keeps_secrets_to_root(tmp_path: Path) -> None:
    """The host's key is readable for root alone, and no folder hides the image's mode."""
    lab = a_lab_folder(tmp_path)
    upper = tmp_path / "upper"

    seed.seed(lab, lab.hosts[0], upper=upper, image=an_image(tmp_path / "image"))

    def mode(name: str) -> int:
        return stat.S_IMODE((upper / name).stat().st_mode)

    assert (upper / "etc/hostname").read_text() == "lab1\n"
    assert (upper / "etc/ssh/ssh_host_ed25519_key").read_text() == "PRIVATE host-keys/lab1\n"
    assert (mode("etc/ssh/ssh_host_ed25519_key"), mode("root"), mode("etc")) == (
        0o600,
        0o700,
        0o755,
    )
    assert not (upper / "srv").exists()


@pytest.mark.integration
def test_forge_carries_the_bare_repository(tmp_path: Path) -> None:
    """Only the push key is known before the hosts have made theirs."""
    lab = a_lab_folder(tmp_path)
    upper = tmp_path / "upper"

    seed.seed(lab, lab.forge, upper=upper, image=an_image(tmp_path / "image"))

    assert (upper / "srv/git/aitbc.git/HEAD").read_text() == "ref: refs/heads/main\n"
    keys = (upper / "srv/git/.ssh/authorized_keys").read_text()
    assert keys == "restrict ssh-ed25519 PUBLIC push_ed25519\n"
