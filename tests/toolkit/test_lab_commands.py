"""The commands that make lab hosts, as exact strings."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from aitbc_toolkit import shell
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.lab import commands, image, ready, recipes, supplies, wheels
from aitbc_toolkit.lab.model import Lab, LabHost, Limits, Stock
from aitbc_toolkit.lab.places import Places
from aitbc_toolkit.lab.recipes import Recipe
from aitbc_toolkit.lab.sources import Mirror
from aitbc_toolkit.shell import Result, quoted

pytestmark = pytest.mark.unit


def a_lab() -> Lab:
    """Build a lab of one host and the forge."""
    hosts = [
        LabHost(
            name=name,
            machine=f"67b6e4-{name}",
            ipv4=f"10.213.3.{number}",
            ipv6=f"fd5a:17bc:6c61:3::{number}",
            port=22,
            key=Path("/state/labs/try/root_ed25519"),
            host_key=f"ssh-ed25519 {name}",
        )
        for name, number in (("lab1", 11), ("forge", 2))
    ]
    return Lab(
        name="try",
        tag="67b6e4",
        slot=3,
        bridge="al-try-67b6e4",
        folder=Path("/state/labs/try"),
        limits=Limits(),
        hosts=(hosts[0],),
        forge=hosts[1],
    )


def test_bridge_has_a_fixed_address_and_both_networks() -> None:
    """The controller is .1 in the lab's networks, at once also over IPv6."""
    assert [quoted(argv) for argv in commands.add_bridge(a_lab())] == [
        "ip link add name al-try-67b6e4 address 02:ab:67:b6:e4:01 type bridge mcast_snooping 0",
        "ip address add 10.213.3.1/24 dev al-try-67b6e4",
        "ip address add fd5a:17bc:6c61:3::1/64 dev al-try-67b6e4 nodad",
        "ip link set dev al-try-67b6e4 up",
    ]


def test_host_boots_in_its_own_cgroups_and_namespaces() -> None:
    """No kill leaves a host: it dies with its wrapper, and the wrapper with the holder."""
    argv = commands.boot_host(
        cgroups=[Path("/sys/fs/cgroup/pids/aitbc-lab/67b6e4/lab1"), Path("/a b/lab1")],
        options=commands.overlay_options(image=Path("/cache/i"), disk=Path("/run/l/d/lab1")),
        root=Path("/run/l/r/lab1"),
        container=["systemd-nspawn", "--boot"],
    )

    assert quoted(argv[:-1]) == (
        "setpriv --pdeathsig KILL unshare --mount --propagation private --pid --fork"
        " --kill-child=SIGKILL --mount-proc -- sh -euc"
    )
    assert argv[-1] == (
        "for folder in /sys/fs/cgroup/pids/aitbc-lab/67b6e4/lab1 '/a b/lab1'; do\n"
        '  echo 0 > "$folder/cgroup.procs"\n'
        "done\n"
        "mount -t overlay overlay -o lowerdir=/cache/i,upperdir=/run/l/d/lab1/upper,"
        "workdir=/run/l/d/lab1/work /run/l/r/lab1\n"
        "exec systemd-nspawn --boot"
    )


def test_container_needs_no_systemd_outside() -> None:
    """Neither machined nor a unit is asked for, and the wheel cache is there."""
    argv = commands.nspawn(
        a_lab(),
        a_lab().hosts[0],
        root=Path("/run/l/r/lab1"),
        uv_cache=Path("/var/cache/aitbc-lab/uv-cache"),
    )

    assert quoted(argv) == (
        "systemd-nspawn --quiet --register=no --keep-unit --machine=67b6e4-lab1 --hostname=lab1"
        " --directory=/run/l/r/lab1 --boot --network-bridge=al-try-67b6e4"
        " --bind=/var/cache/aitbc-lab/uv-cache:/srv/lab/uv-cache"
        " --resolv-conf=off --timezone=off --link-journal=no --kill-signal=SIGRTMIN+3"
    )


def test_disk_has_a_size_and_can_change_it() -> None:
    """A disk is a tmpfs of its own, so a full one is one host's trouble."""
    disk = Path("/run/l/d/lab1")

    mounted = quoted(commands.mount_disk(disk, size_mib=1024))
    resized = quoted(commands.resize_disk(disk, size_mib=16))

    assert mounted == "mount -t tmpfs -o size=1024m,mode=0755 tmpfs /run/l/d/lab1"
    assert resized == "mount -o remount,size=16m /run/l/d/lab1"


def test_holder_has_a_mount_namespace_of_its_own() -> None:
    """Disks that only the holder sees vanish with it."""
    places = Places(state=Path("/s"), cache=Path("/c"), run=Path("/r"))

    assert quoted(commands.hold(places, a_lab(), stock=Stock(Path("/c/images/x")))) == (
        f"unshare --mount --propagation private -- {sys.executable} -P"
        " -m aitbc_toolkit.lab.holder --state /s --cache /c --run /r --image /c/images/x --name try"
    )


def test_bare_hosts_boot_from_another_image_than_their_forge() -> None:
    """The forge serves git, so it is ready; a bare host gets its supplies, read-only."""
    stock = Stock(Path("/c/images/x"), Path("/c/images/y"), Path("/c/supplies/z"))
    lab = replace(a_lab(), bare=True)

    held = quoted(commands.hold(Places(state=Path("/s")), lab, stock=stock))
    booted = commands.nspawn(
        lab, lab.hosts[0], root=Path("/r"), uv_cache=Path("/u"), supplies=stock.supplies
    )

    assert held.endswith(" --bare-image /c/images/y --supplies /c/supplies/z")
    assert "--bind-ro=/c/supplies/z:/srv/lab/supplies" in booted
    assert [stock.image_of(name).name for name in ("lab1", "forge")] == ["y", "x"]
    assert Stock(Path("/c/images/x")).image_of("lab1").name == "x"


def test_supplies_are_fetched_with_signatures_and_hashes() -> None:
    """What a bare host takes from them unasked was checked here: by keyring, by pinned hash."""
    mirror = Mirror("http://mirror.example/debian", "/usr/share/keyrings/k.gpg")

    packages = supplies.download_argv(
        mirror=mirror, suite="bookworm", cache=Path("/c/packages"), tree=Path("/c/tree")
    )
    wheel = supplies.wheel_argv(requirements=Path("/c/uv.lock"), wheels=Path("/c/wheels"))

    assert "--keyring=/usr/share/keyrings/k.gpg" in packages
    assert "--download-only" in packages
    assert quoted(wheel) == (
        f"{sys.executable} -m pip download --quiet --disable-pip-version-check --no-deps"
        " --require-hashes --only-binary :all: --dest /c/wheels --requirement /c/uv.lock"
    )


def test_ssh_uses_the_labs_configuration_and_never_asks() -> None:
    """Strict host keys and the key are in that file; only a terminal may prompt."""
    plain = commands.ssh(a_lab(), "lab1", command="true")
    login = commands.ssh(a_lab(), "forge", terminal=True)

    assert quoted(plain) == "ssh -F /state/labs/try/ssh_config -o BatchMode=yes -- lab1 true"
    assert quoted(login) == "ssh -F /state/labs/try/ssh_config -t -- forge"


def test_image_is_built_in_namespaces_that_end_with_the_build() -> None:
    """A killed debootstrap leaves neither processes nor mounts."""
    recipe = Recipe("hosts", packages=("git", "nftables"))

    argv = image.bootstrap_argv(
        recipe,
        mirror=Mirror("http://mirror.example/debian", "/usr/share/keyrings/k.gpg"),
        cache=Path("/c/packages"),
        tree=Path("/c/unfinished-x"),
    )

    assert quoted(argv) == (
        "setpriv --pdeathsig KILL"
        " unshare --mount --propagation private --pid --fork --kill-child=SIGKILL --mount-proc --"
        " debootstrap --variant=minbase --merged-usr --cache-dir=/c/packages"
        " --keyring=/usr/share/keyrings/k.gpg --include=git,nftables"
        " bookworm /c/unfinished-x http://mirror.example/debian"
    )


def test_changed_recipe_is_another_image() -> None:
    """Whatever goes into the image is in its name; the same recipe keeps it."""
    recipe = recipes.ready("uv 1")
    others = [
        recipes.ready("uv 2"),
        replace(recipe, packages=("git",)),
        replace(recipe, revision=2),
        recipes.bare(),
    ]

    assert recipe.key == recipes.ready("uv 1").key
    assert len({recipe.key, *(other.key for other in others)}) == 5


def test_cache_is_filled_by_installing_with_hashes() -> None:
    """What hosts will install offline is checked against the same hashes here."""
    venv, sync = wheels.fill_argv(Path("/uv"), lock_file=Path("/n.lock"), venv=Path("/t/venv"))

    assert quoted(venv) == "/uv venv --quiet --python 3.11 /t/venv"
    assert quoted(sync) == (
        "/uv pip sync --quiet --require-hashes --python /t/venv/bin/python /n.lock"
    )


@pytest.mark.parametrize(
    ("unit", "hint"),
    [
        ("systemd-ask-password-wall.path", "sysctl -w fs.inotify.max_user_instances=1024"),
        ("ssh.service", "aitbc lab exec try lab1 -- systemctl --failed"),
    ],
)
def test_a_host_whose_units_failed_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, unit: str, hint: str
) -> None:
    """Units that watch paths fail first where a machine has more hosts than it can watch."""
    answer = f"ssh-ed25519 key\ndegraded\n{unit} loaded failed failed\n"
    monkeypatch.setattr(shell, "run", lambda *_, **__: Result((), 0, answer, "", 0.1))

    with pytest.raises(AitbcError, match=unit) as told:
        ready._visit(a_lab(), a_lab().hosts[0], fresh=True)

    assert hint in told.value.hint
