"""Lab hosts as their users see them: real systemd hosts, apart from each other, offline."""

import json
import os
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aitbc_toolkit import lab as labs
from aitbc_toolkit import paths, shell
from aitbc_toolkit.errors import AitbcError, UsageError
from aitbc_toolkit.lab import Lab, LabSpec, Limits
from aitbc_toolkit.lab.places import Places

pytestmark = pytest.mark.lab

# In seconds: the target for the forge and four hosts is 15; two hosts on a loaded machine are
# far below, or something waits for a time-out.
UP_S_MAX = 15.0


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """Keep the state apart from the checkout's own labs, and share the machine's image."""
    return Places(state=tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def lab(places: Places) -> Iterator[Lab]:
    """Have one lab of two hosts for the module; it ends with us, even if we are killed."""
    limits = Limits(memory_mib=640, disk_mib=384, tasks_max=300)
    spec = LabSpec(f"t{secrets.token_hex(3)}", 2, limits)
    yield labs.bring_up(spec, progress=print, places=places, owner_pid=os.getpid())
    labs.destroy(spec.name, places=places)


def on(lab: Lab, host: str, script: str) -> str:
    """Run a script on a host that has to succeed; give what it printed."""
    result = labs.exec_in(lab, host, ["sh", "-euc", script])
    assert result.ok, (host, script, result)
    return result.stdout.strip()


def test_lab_comes_up_in_seconds(lab: Lab, places: Places) -> None:
    """From nothing to ssh on every host, once the image is there; `up` again changes nothing."""
    labs.take_down(lab.name, places=places)
    began = time.monotonic()

    again = labs.bring_up(
        LabSpec(lab.name, 2, lab.limits), progress=print, places=places, owner_pid=os.getpid()
    )

    assert time.monotonic() - began < UP_S_MAX
    assert [host.name for host in again.machines] == ["lab1", "lab2", "forge"]
    assert labs.bring_up(LabSpec(lab.name, 2), progress=print, places=places) == again


def test_list_is_one_json_document_without_secrets(lab: Lab, places: Places) -> None:
    """Programs read what is up from standard output; key files are named, never shown."""
    argv = [sys.executable, "-m", "aitbc_toolkit.cli.main", "lab", "list", "--json"]

    result = shell.run(argv, env={"AITBC_STATE": str(places.state)})

    [state] = json.loads(result.stdout)["labs"]
    assert (state["lab"]["name"], state["state"]) == (lab.name, "up")
    assert state["running"] == {"lab1": True, "lab2": True, "forge": True}
    assert "PRIVATE" not in result.stdout


def test_every_host_runs_a_whole_systemd(lab: Lab) -> None:
    """All units are well, the host knows its name and that of the others."""
    for host in lab.machines:
        assert on(lab, host.name, "systemctl is-system-running; hostname") == (
            f"running\n{host.name}"
        )
        assert on(lab, host.name, "ping -c1 -W2 forge >/dev/null && echo yes") == "yes"


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_hosts_answer_on_both_families_with_the_key_we_know(lab: Lab, family: str) -> None:
    """Strict host keys hold under the address as under the name."""
    for host in lab.machines:
        address = getattr(host, family)
        known = ["-o", f"UserKnownHostsFile={lab.known_hosts}", "-o", "StrictHostKeyChecking=yes"]
        ours = ["-i", str(host.key), "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"]

        result = shell.run(["ssh", "-F", "none", *known, *ours, f"root@{address}", "hostname"])

        assert result.stdout == f"{host.name}\n"


def test_wrong_host_key_is_refused(lab: Lab, tmp_path: Path) -> None:
    """A host that shows another key than the one we made for it gets nothing from us."""
    wrong = tmp_path / "known_hosts"
    lab1, lab2 = lab.hosts
    wrong.write_text(f"lab1 {lab2.host_key}\n")

    result = shell.run(
        ["ssh", "-F", lab.ssh_config, "-o", f"UserKnownHostsFile={wrong}", lab1.name, "true"],
        check=False,
    )

    assert result.status == 255
    assert "HOST IDENTIFICATION HAS CHANGED" in result.stderr


def test_hosts_do_not_see_each_other(lab: Lab) -> None:
    """Own processes, own cgroups, own identity: a unit of the same name is another unit."""
    start = "systemd-run --quiet --unit=same sleep 1000; systemctl show -P ControlGroup same"
    groups = {on(lab, host.name, start) for host in lab.hosts}
    on(lab, "lab1", "systemctl kill -s KILL same")

    assert groups == {"/system.slice/same.service"}
    assert on(lab, "lab2", "systemctl is-active same; pgrep -c sleep") == "active\n1"
    assert on(lab, "lab1", "pgrep -c sleep || true") == "0"
    assert len({on(lab, host.name, "cat /etc/machine-id") for host in lab.machines}) == 3
    assert len({host.host_key for host in lab.machines}) == 3


_FORK_UNTIL_REFUSED = """
import os, signal
children = []
try:
    for _ in range(1000):
        child = os.fork()
        if not child:
            signal.pause()
        children.append(child)
except OSError as refusal:
    print(refusal.strerror, len(children))
for child in children:
    os.kill(child, signal.SIGKILL)
"""


def test_host_may_not_start_more_than_its_share(lab: Lab) -> None:
    """The limit on processes holds from outside, and the host survives reaching it."""
    *why, count = on(lab, "lab1", f"python3 -c '{_FORK_UNTIL_REFUSED}'").split()

    assert why
    assert 200 < int(count) < 300, "300 are allowed, and systemd has some of them"
    assert on(lab, "lab1", "echo alive") == "alive"


def test_host_may_not_take_more_memory_than_its_share(lab: Lab) -> None:
    """What asks for more is killed on its host, which goes on; the other host has its own share."""
    greedy = labs.exec_in(lab, "lab1", ["sh", "-c", "python3 -c 'b\"x\" * 2**30'; echo $?"])
    modest = labs.exec_in(lab, "lab2", ["python3", "-c", "print(len(b'x' * 2**27))"])

    assert greedy.stdout == "137\n"
    assert modest.stdout == "134217728\n"
    assert on(lab, "lab1", "systemctl is-active ssh") == "active"


def test_hosts_fetch_but_never_push(lab: Lab, tmp_path: Path) -> None:
    """Code goes controller -> forge -> hosts, each with its own key, and no other way."""
    repository = tmp_path / "work"
    git = ["git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    shell.run(["git", "init", "-q", "-b", "main", repository])
    shell.run([*git, "commit", "-q", "--allow-empty", "-m", "first"])
    shell.run([*git, "push", "-q", lab.git_url, "main"], env=lab.git_environment)
    pushed = shell.run([*git, "rev-parse", "HEAD"]).stdout.strip()

    for host in lab.hosts:
        clone = f"rm -rf /root/c; git clone -q {lab.git_url} /root/c; git -C /root/c rev-parse HEAD"
        assert on(lab, host.name, clone) == pushed
        push = labs.exec_in(lab, host.name, ["git", "-C", "/root/c", "push", "origin", "HEAD:x"])
        assert push.status == 128
        assert "this deploy key is read-only" in push.stderr
    heads = shell.run(["git", "ls-remote", lab.git_url], env=lab.git_environment).stdout
    assert heads.split() == [pushed, "HEAD", pushed, "refs/heads/main"]


def test_deploy_key_opens_nothing_else(lab: Lab) -> None:
    """With a host's deploy key the forge gives no shell, no forwarding, and no other file."""
    asked = "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes git@forge"
    for command in ("", "id", "git-upload-pack '/srv/git/../../etc'", "git-upload-archive x"):
        result = labs.exec_in(lab, "lab1", ["sh", "-c", f'{asked} "{command}" </dev/null'])
        assert result.status != 0
        assert "uid=" not in result.stdout
        assert "read-only" in result.stderr
    tunnel = "ssh -o BatchMode=yes -W 127.0.0.1:22 git@forge </dev/null"
    assert not labs.exec_in(lab, "lab1", ["sh", "-c", tunnel]).ok


def test_private_deploy_key_never_leaves_its_host(lab: Lab) -> None:
    """Each host made its own key; the controller has no private key of a host's git access."""
    keys = {on(lab, host.name, "cat /root/.ssh/id_ed25519.pub") for host in lab.hosts}
    secrets_of_hosts = [on(lab, host.name, "cat /root/.ssh/id_ed25519") for host in lab.hosts]
    kept = [path.read_text() for path in lab.folder.rglob("*") if path.is_file()]

    assert len(keys) == 2
    assert not [text for text in kept for secret in secrets_of_hosts if secret in text]


def test_node_environment_is_built_offline_from_the_shared_cache(lab: Lab, places: Places) -> None:
    """The hosts have no route out, and still install the node's lock with its hashes."""
    lock = paths.project_root() / "locks" / "node.lock"
    labs.warm_cache(lock, places=places)
    variables = " ".join(f"{name}={value}" for name, value in labs.HOST_ENVIRONMENT.items())
    build = (
        f"cat > /root/node.lock; export {variables}; uv venv -q --python /usr/bin/python3 /root/v;"
        " uv pip sync -q --require-hashes --python /root/v/bin/python /root/node.lock;"
        " /root/v/bin/python -c 'import msgspec, uvicorn; print(msgspec.__name__)'"
    )

    result = labs.exec_in(lab, "lab1", ["sh", "-euc", build], stdin=lock.read_text())

    assert (result.status, result.stdout) == (0, "msgspec\n"), result.stderr
    assert on(lab, "lab1", "ip route show default; ip -6 route show default") == ""
    assert not labs.warm_cache(lock, places=places), "the second time there is nothing to do"


def test_power_cut_keeps_the_disk_and_nothing_else(lab: Lab, places: Places) -> None:
    """After a cut the host is gone at once; it boots on its old disk, with its old keys."""
    before = on(lab, "lab2", "echo kept > /root/kept; cat /proc/sys/kernel/random/uuid > /run/r")

    labs.power_cut(lab, "lab2", places=places)
    assert _running(lab, places) == {"lab1": True, "lab2": False, "forge": True}
    labs.boot(lab, "lab2", places=places)

    assert before == ""
    assert on(lab, "lab2", "cat /root/kept; test ! -e /run/r; echo gone") == "kept\ngone"
    assert on(lab, "lab2", f"git ls-remote {lab.git_url} >/dev/null; echo fetched") == "fetched"


def test_poweroff_from_inside_is_seen_and_mended(lab: Lab, places: Places) -> None:
    """A host that shut itself down is down in the list, and `up` boots it again.

    A unit that failed on another host, as a crashed node would, is no reason to refuse.
    """
    labs.exec_in(lab, "lab1", ["systemd-run", "--quiet", "--unit=broken", "false"])
    labs.exec_in(lab, "lab2", ["systemctl", "poweroff"])
    _await(lambda: not _running(lab, places)["lab2"], "lab2 is off")

    labs.bring_up(LabSpec(lab.name, 2), progress=print, places=places)

    assert on(lab, "lab2", "systemctl is-system-running") == "running"
    assert on(lab, "lab1", "systemctl is-failed broken") == "failed"


def test_frozen_host_hangs_and_goes_on(lab: Lab, places: Places) -> None:
    """It still answers ping, as a hung host does; thawed it goes on where it stopped."""
    labs.freeze(lab, "lab1", places=places)
    try:
        with pytest.raises(AitbcError, match="did not end within"):
            labs.exec_in(lab, "lab1", ["true"], timeout_s=1)
        assert on(lab, "lab2", "ping -c1 -W2 lab1 >/dev/null; echo answers") == "answers"
    finally:
        labs.thaw(lab, "lab1", places=places)

    assert on(lab, "lab1", "echo on") == "on"


def test_full_disk_is_one_hosts_trouble(lab: Lab, places: Places) -> None:
    """A shrunk disk refuses writes on that host alone, and heals when it grows again."""
    write = ["dd", "if=/dev/zero", "of=/root/big", "bs=1M", "count=64"]
    labs.resize_disk(lab, "lab1", size_mib=64, places=places)
    try:
        assert "No space left" in labs.exec_in(lab, "lab1", write).stderr
        assert labs.exec_in(lab, "lab2", write).ok
    finally:
        labs.resize_disk(lab, "lab1", size_mib=lab.limits.disk_mib, places=places)

    assert labs.exec_in(lab, "lab1", write).ok


def test_other_number_of_hosts_is_refused_while_up(lab: Lab, places: Places) -> None:
    """Nothing is changed behind somebody's back; the hint says how to change it."""
    with pytest.raises(UsageError, match="is up with 2 hosts, 3 asked") as refusal:
        labs.bring_up(LabSpec(lab.name, 3), progress=print, places=places)

    assert refusal.value.hint == f"aitbc lab down {lab.name}"


def _running(lab: Lab, places: Places) -> dict[str, bool]:
    [state] = [each for each in labs.list_labs(places=places) if each.lab.name == lab.name]
    return state.running


def _await(condition: object, what: str, timeout_s: float = 20.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s} s"
