"""Deploys and rollbacks on real systemd hosts: the project's own node, SSH, git fetch, votes."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from key_twin import Twin
from lab_mesh import LabMesh, deployed

from aitbc_toolkit import lab as labs
from aitbc_toolkit import shell
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release import history, integrity, meshing, services, state
from aitbc_toolkit.release.lease import Held
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.reading import Mesh
from aitbc_toolkit.release.rollback import rollback

pytestmark = pytest.mark.lab

# What the project promises for four hosts at 500 ms blocks.
HOST_S_MAX = 60.0  # of E47; how long a deploy takes is measured, not asserted: machines are shared
TTL_S = 600.0  # of a lease that others meet: longer than any look takes on a busy machine
SHORT_TTL_S = 5.0  # of one that is waited for
GAP_MS_MAX = 5_000

# A git that is found before the real one and refuses to end, as does the child that it leaves.
GIT = "/usr/local/bin/git"
STAYS = "sleep 86399"
STUBBORN = f"#!/bin/sh\ntrap '' TERM\nsh -c 'trap \"\" TERM; {STAYS}' &\n{STAYS}\n"

# A command of its own, to be killed: what it tells comes out line by line.
CUT_OFF = """
import sys
from pathlib import Path
from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.release.deploy import deploy
from aitbc_toolkit.release.request import Request
from aitbc_toolkit.release.rollback import rollback

def tell(record):
    print(record["type"], record.get("state"), flush=True)

verb, checkout, name, state = sys.argv[1:]
environment = Inventory.load(name, state=Path(state))
if verb == "deploy":
    deploy(environment, Request(checkout=Path(checkout)), tell)
else:
    rollback(environment, tell)
"""


class Hosts(LabMesh):
    """Four hosts whose lease, keys and processes are looked at closely."""

    def rollback(self) -> Outcome:
        return rollback(self.environment, self.records.append)

    def pid(self, host: str) -> str:
        """Ask a host for the process of its node."""
        return self.on(host, "pgrep", "-f", "aitbc_node run")

    def signed(self) -> dict[str, tuple[int, int, int]]:
        """Ask every node how far its key has signed: height, round, step."""
        with Mesh(self.environment) as mesh:
            found = {name: status.sign_state for name, status in mesh.statuses().items() if status}
        return {name: (at.height, at.round, at.step) for name, at in found.items() if at}

    def key_hashes(self) -> list[str]:
        """Read what keys the hosts have, without the keys."""
        shell = "sha256sum /var/lib/aitbc-keys/*/*.key"
        return [self.on(host.name, "sh", "-c", shell) for host in self.environment.hosts]

    def equivocations(self) -> dict[str, int]:
        """Count what each node has noted of keys that signed two things in one place."""
        counts = {}
        for each in self.environment.instances:
            said = self.on(each.host, "journalctl", "-u", each.paths.unit, "-o", "cat")
            assert said, f"the journal of {each.name} is empty"
            counts[each.name] = said.count("consensus.equivocation")
        return counts

    def stubborn(self, host: str) -> list[str]:
        """List the processes of the git that never ends."""
        pattern = f"{STAYS[:-1]}[{STAYS[-1]}]"  # which does not match the shell that asks
        return self.on(host, "sh", "-c", f"pgrep -f '{pattern}' || true").split()

    def attendants(self, host: str) -> list[str]:
        """List the programs there that make steps; the pattern does not match the shell."""
        return self.on(host, "sh", "-c", "pgrep -f '[s]ys.stdin.buffer' || true").split()

    def patient_deploy(self, *, deadline_s: float) -> Outcome:
        """Deploy as soon as nobody else has the lease."""
        until = time.monotonic() + deadline_s
        while True:
            try:
                return self.deploy()
            except Held:
                if time.monotonic() > until:
                    raise

    @contextmanager
    def holder(self, *, ttl_s: float) -> "Iterator[Holder]":
        """Start a run that holds the lease; it ends with the block, its lease by itself."""
        script = str(Path(__file__).with_name("lease_holder.py"))
        argv = [sys.executable, script, self.environment.name, str(self.places.state), str(ttl_s)]
        made = Holder(
            subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        try:
            yield made
        finally:
            made.process.kill()
            made.process.communicate()


@dataclass
class Holder:
    """Another run, which holds the lease and makes the steps that it is told."""

    process: "subprocess.Popen[str]"

    def tell(self, command: str) -> None:
        """Send a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for what it says."""
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def do(self, command: str) -> dict[str, Any]:
        """Send a command and wait for the answer."""
        self.tell(command)
        return self.answer()


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Give the tests of this file one mesh."""
    with deployed(tmp_path_factory, "d", Hosts) as made:
        yield made


@pytest.mark.proves("C2")
def test_the_same_again_changes_nothing(hosts: Hosts) -> None:
    """A deploy of what runs says so and restarts no process."""
    before = {
        name: hosts.on(f"lab{name[1]}", "pgrep", "-f", "aitbc_node run") for name in ("v1", "v2")
    }

    again = hosts.deploy()

    after = {
        name: hosts.on(f"lab{name[1]}", "pgrep", "-f", "aitbc_node run") for name in ("v1", "v2")
    }
    assert again.changed == ()
    assert before == after


@pytest.mark.proves("E47")
def test_a_new_commit_and_back_without_a_pause_of_the_chain(hosts: Hosts) -> None:
    """Every host comes to the commit and returns; the chain goes on, with one equal state."""
    old = hosts.git("rev-parse", "HEAD")
    new = hosts.commit("a second release")

    forth = hosts.deploy()
    at_new = hosts.commits()
    back = hosts.rollback()
    at_old = hosts.commits()

    for done in (forth, back):
        assert done.exit is Exit.OK, done.error
        assert done.took_s < HOST_S_MAX * len(at_old)
        assert done.facts["longest_gap_ms"] <= GAP_MS_MAX
        assert 0 < done.facts["floor_ms"] <= done.took_s * 1000
    assert set(at_new.values()) == {new}
    assert set(at_old.values()) == {old}
    assert forth.facts["state_root"] != back.facts["state_root"], "the smoke suite changes state"
    assert back.facts["state_root_height"] > forth.facts["state_root_height"]


@pytest.mark.proves("E45")
def test_hosts_fetch_and_never_receive(hosts: Hosts) -> None:
    """The host's tree is the commit's by its own git; a push of the host's is refused."""
    commit = hosts.commits()["v1"]
    release = f"/opt/aitbc/lab-{hosts.name}/releases/{commit}"
    mirror = f"/opt/aitbc/lab-{hosts.name}/repo.git"

    lab = labs.load_lab(hosts.name, places=hosts.places)
    heads = shell.run(["git", "ls-remote", lab.git_url], env=lab.git_environment).stdout

    manifest = json.loads(hosts.on("lab1", "cat", f"{release}/manifest.json"))
    push = ["git", f"--git-dir={mirror}", "push", lab.git_url, f"{commit}:refs/heads/of-a-host"]
    pushed = labs.exec_in(lab, "lab1", push)
    index = ["env", f"GIT_INDEX_FILE={release}/.index", "git", f"--git-dir={mirror}"]
    changed = hosts.on("lab1", *index, f"--work-tree={release}", "diff-index", "--stat", commit)

    assert manifest["commit"] == commit
    assert changed == ""
    assert (pushed.status, "this deploy key is read-only" in pushed.stderr) == (128, True)
    after = shell.run(["git", "ls-remote", lab.git_url], env=lab.git_environment).stdout
    assert commit in heads
    assert after == heads
    assert hosts.on("lab1", "readlink", f"/opt/aitbc/lab-{hosts.name}/v1/current").strip() == (
        f"../releases/{commit}"
    )


def test_check_23_n_deploys_are_n_records_on_every_host(hosts: Hosts) -> None:
    """As many deploys, as many records, the same everywhere: announced, then closed."""
    here = [record.id for record in history.read(hosts.environment)]

    for host in ("lab1", "lab2", "lab3", "lab4"):
        journal = hosts.on(host, "cat", f"/var/lib/aitbc/lab-{hosts.name}/deploy/journal.jsonl")
        told = [json.loads(line)["record"] for line in journal.splitlines()]
        assert list(dict.fromkeys(each["id"] for each in told)) == here
        assert [each["outcome"] for each in told[::2]] == ["unknown"] * len(here)
        assert "unknown" not in {each["outcome"] for each in told[1::2]}
    assert not any(shelf.findings for shelf in integrity.verify(hosts.environment))


def test_keys_belong_to_the_node_and_to_nobody_else(hosts: Hosts) -> None:
    """Keys and sign state are the node's own; its code and configuration are not."""
    keys = hosts.on("lab2", "stat", "-c", "%U %a %n", "/var/lib/aitbc-keys/v2")
    files = hosts.on("lab2", "sh", "-c", "stat -c '%U %a' /var/lib/aitbc-keys/v2/*")
    code = hosts.on("lab2", "stat", "-L", "-c", "%U", f"/opt/aitbc/lab-{hosts.name}/v2/current")

    assert keys.startswith("aitbc 700 ")
    assert set(files.splitlines()) == {"aitbc 600"}
    assert code.strip() == "root"


def test_check_02_a_build_that_cannot_start_reaches_one_host(hosts: Hosts) -> None:
    """The first wave fails and goes back; the chain makes blocks all the while."""
    good = hosts.commits()["v1"]
    height = hosts.height()
    process = hosts.checkout / "node/aitbc_node/process.py"
    text = process.read_text()
    broken = (
        "def run(*_args: object, **_more: object) -> None:\n    raise SystemExit('broken build')"
    )
    process.write_text(text.replace("def run(", f"{broken}\n\n\ndef run_as_before("))
    bad = hosts.commit("broken")

    failed = hosts.deploy()

    process.write_text(text)
    hosts.commit("repaired")
    assert failed.exit is Exit.ROLLED_BACK
    assert "broken build" in failed.error
    assert set(hosts.commits().values()) == {good}
    assert hosts.height() > height
    assert failed.facts["longest_gap_ms"] <= GAP_MS_MAX
    assert history.read(hosts.environment)[-1].commit == bad


def test_check_10_a_holder_that_sleeps_loses_the_environment(hosts: Hosts) -> None:
    """Refused while it holds; after its TTL the next goes on, and its later step does not."""
    with hosts.holder(ttl_s=TTL_S) as holder:
        holder.answer()
        with pytest.raises(AitbcError) as refused:
            hosts.deploy()
        with pytest.raises(Held):
            meshing.down(hosts.environment, hosts.records.append, wipe=False)
        holder.do(f"hold {SHORT_TTL_S}")
        os.kill(holder.process.pid, signal.SIGSTOP)
        hosts.patient_deploy(deadline_s=90)
        before = hosts.pid("lab2")
        os.kill(holder.process.pid, signal.SIGCONT)
        late = holder.do("restart v2")

    assert refused.value.exit_status is Exit.BUSY
    assert "reason           held by a test" in refused.value.message
    assert late["lab2"]["kind"] == "lease"
    assert hosts.pid("lab2") == before


def test_check_10_a_reboot_voids_the_lease_on_that_host(
    hosts: Hosts, eventually: Callable[..., None]
) -> None:
    """A host that was off obeys nobody from before; the others still do."""
    lab = labs.load_lab(hosts.name, places=hosts.places)
    with hosts.holder(ttl_s=TTL_S) as holder:
        holder.answer()
        labs.power_cut(lab, "lab4", places=hosts.places)
        labs.boot(lab, "lab4", places=hosts.places)
        rebooted, up = holder.do("restart v4"), holder.do("restart v3")
        holder.process.send_signal(signal.SIGTERM)

    eventually("all to vote", lambda: state.look(hosts.environment).votes == 4, deadline_s=60)
    assert rebooted["lab4"]["kind"] == "lease"
    assert "its lease has ended: rebooted" in rebooted["lab4"]["error"]
    assert up["lab3"]["ok"]
    hosts.deploy(break_lease="the holder was a test's")


def test_check_24_no_process_of_a_step_is_left_on_a_host(
    hosts: Hosts, eventually: Callable[..., None]
) -> None:
    """The operator's side is killed while git hangs and ignores every request."""
    with hosts.holder(ttl_s=TTL_S) as holder:
        holder.answer()
        # Not before: whoever asks for the lease looks at git as well.
        hosts.on("lab4", "sh", "-c", f"cat > {GIT} <<'EOF'\n{STUBBORN}EOF\nchmod 755 {GIT}")
        holder.tell("stage lab4")
        eventually("git to hang", lambda: len(hosts.stubborn("lab4")) >= 2)
        hanging = hosts.stubborn("lab4")
        holder.process.kill()

        eventually("the end of it", lambda: not hosts.stubborn("lab4"), deadline_s=60)
    hosts.on("lab4", "rm", GIT)

    assert len(hanging) >= 2
    eventually("the end of its attendant", lambda: not hosts.attendants("lab4"), deadline_s=60)
    hosts.patient_deploy(deadline_s=90)


@pytest.mark.proves("E47")
def test_check_07_sign_states_only_go_forward(hosts: Hosts) -> None:
    """Over a deploy and its rollback no key signs anything older, or two things in one place."""
    keys, signed = hosts.key_hashes(), [hosts.signed()]

    hosts.commit("one more release")
    for change in (hosts.deploy, hosts.rollback):
        done = change()
        assert done.exit is Exit.OK, done.error
        signed.append(hosts.signed())

    for earlier, later in itertools.pairwise(signed):
        assert all(earlier[name] < later[name] for name in earlier), signed
    assert hosts.key_hashes() == keys
    assert hosts.equivocations() == {"v1": 0, "v2": 0, "v3": 0, "v4": 0}


def test_check_08_a_second_process_with_a_key_ends_at_once(
    hosts: Hosts, eventually: Callable[..., None]
) -> None:
    """An old and a new unit on one host: the key folder has one holder, who votes on."""
    second = Twin(hosts.environment, hosts.on, "lab1", "aitbc-second")
    before = hosts.pid("lab1")

    second.start()

    eventually("its end", lambda: "ExecMainStatus=75" in second.shown(), deadline_s=30)
    assert "error: /var/lib/aitbc-keys/v1 is in use" in second.log()
    assert hosts.pid("lab1") == before
    assert state.look(hosts.environment).votes == 4


def test_check_08_a_key_on_two_hosts_signs_on_one(
    hosts: Hosts, eventually: Callable[..., None]
) -> None:
    """A copy of v1's key and sign state on another host hears v1 vote, and never signs."""
    twin = Twin(hosts.environment, hosts.on, "lab2", "aitbc-twin")
    twin.copy_keys()
    height = hosts.height()

    twin.start()

    try:
        heard = "another node signs with this key"
        eventually("the twin to hear v1", lambda: heard in twin.status(), deadline_s=60)
    finally:
        hosts.on("lab2", "systemctl", "stop", twin.unit)
    assert hosts.height() > height
    assert state.look(hosts.environment).votes == 4
    assert hosts.equivocations() == {"v1": 0, "v2": 0, "v3": 0, "v4": 0}


def test_a_node_is_stopped_only_while_the_mesh_can_spare_it(hosts: Hosts) -> None:
    """One of four may go, a second may not; a start waits until the node votes."""
    environment = hosts.environment

    services.control(environment, "stop", "v2", hosts.records.append)
    with pytest.raises(AitbcError) as refused:
        services.control(environment, "stop", "v3", hosts.records.append)
    down = state.look(environment)
    services.control(environment, "start", "v2", hosts.records.append)
    up = state.look(environment)

    assert refused.value.exit_status is Exit.REFUSED
    assert "v1 v4 vote: 3*2 = 6 <= 2*4 = 8" in refused.value.message
    assert [row.state for row in down.nodes] == ["voting", "unreachable", "voting", "voting"]
    assert up.votes == 4


@pytest.mark.proves("E55")
def test_a_restarted_node_is_back_at_the_tip(hosts: Hosts) -> None:
    """After `node restart` the unit is active and its votes are in new blocks, within a minute."""
    height = hosts.height()

    done = services.control(hosts.environment, "restart", "v3", hosts.records.append)

    assert done.took_s < HOST_S_MAX
    assert hosts.on("lab3", "systemctl", "is-active", f"aitbc-lab-{hosts.name}-v3") == "active\n"
    assert hosts.height() > height
    assert services.logs(hosts.environment, "v3", lines=5)


@pytest.mark.proves("D14")
def test_a_node_that_hangs_is_restarted_within_twenty_seconds(
    hosts: Hosts, eventually: Callable[..., None], request: pytest.FixtureRequest
) -> None:
    """Who is stopped does not beat: systemd kills it, writes that down, and another one votes.

    What the host itself allows is under twenty seconds, by its unit and in the line that it writes;
    how late a busy machine was is measured by its clock, and judged in the nightly form.
    """
    unit = f"aitbc-lab-{hosts.name}-v2"
    show = ["systemctl", "show", "--value", unit, "--property"]
    hung = hosts.on("lab2", *show, "MainPID").strip()
    allowed = [hosts.on("lab2", *show, name).strip() for name in ("WatchdogUSec", "RestartUSec")]

    stopping = f"kill -STOP {hung}; systemctl show --value {unit} -p WatchdogTimestampMonotonic"
    last_beat_us = int(hosts.on("lab2", "sh", "-c", stopping))
    eventually(
        "another process",
        lambda: hosts.on("lab2", *show, "MainPID").strip() not in {hung, "0"},
        deadline_s=60,
    )

    took_s = (int(hosts.on("lab2", *show, "ExecMainStartTimestampMonotonic")) - last_beat_us) / 1e6
    assert [each[-1] for each in allowed] == ["s", "s"]
    assert sum(int(each[:-1]) for each in allowed) < 20
    said = hosts.on("lab2", "journalctl", "--unit", unit, "--no-pager")
    assert f"Watchdog timeout (limit {allowed[0]})" in said
    assert took_s < (20 if request.config.getoption("--tier") == "nightly" else 60)
    assert int(hosts.on("lab2", *show, "NRestarts")) >= 1
    eventually("v2 to vote", lambda: state.look(hosts.environment).votes == 4, deadline_s=60)


def test_a_host_that_lost_its_power_refuses_a_deploy_and_comes_back(
    hosts: Hosts, eventually: Callable[..., None]
) -> None:
    """Its row says why, nothing is changed; after the boot its node starts by itself and votes."""
    lab = labs.load_lab(hosts.name, places=hosts.places)
    before = hosts.commits()
    labs.power_cut(lab, "lab4", places=hosts.places)

    with pytest.raises(AitbcError) as refused:
        hosts.deploy()
    labs.boot(lab, "lab4", places=hosts.places)

    assert refused.value.exit_status is Exit.REFUSED
    assert "lab4" in refused.value.message
    assert "nothing, on no host" in refused.value.message
    eventually("v4 to vote", lambda: state.look(hosts.environment).votes == 4, deadline_s=60)
    assert hosts.commits() == before


def test_all_nodes_killed_at_once_go_on_from_where_they_were(
    hosts: Hosts, eventually: Callable[..., None]
) -> None:
    """SIGKILL on every host side by side: all units start again, and the same chain grows."""
    before, release = hosts.height(), hosts.commits()
    kill = ["systemctl", "kill", "--signal=KILL", "aitbc-lab-*.service"]
    with ThreadPoolExecutor() as side_by_side:
        list(side_by_side.map(lambda host: hosts.on(host.name, *kill), hosts.environment.hosts))

    eventually(
        "four votes on new blocks",
        lambda: hosts.height() > before and state.look(hosts.environment).votes == 4,
        deadline_s=60,
    )

    assert hosts.commits() == release


@pytest.mark.parametrize("verb", ["deploy", "rollback"])
def test_after_a_command_was_killed_between_two_nodes_a_rollback_brings_one_release(
    hosts: Hosts, verb: str
) -> None:
    """SIGKILL after the first wave: the mesh votes on, and all come to the release before."""
    old = hosts.commits()["v1"]
    hosts.commit(f"a {verb} that is cut off")
    if verb == "rollback":
        assert hosts.deploy().exit is Exit.OK
    where = [str(hosts.checkout), hosts.environment.name, str(hosts.places.state)]
    argv = [sys.executable, "-P", "-c", CUT_OFF, verb, *where]

    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        passed = next((line for line in command.stdout if line == "wave done\n"), "")
        command.kill()
    mixed, votes = set(hosts.commits().values()), state.look(hosts.environment).votes
    again = rollback(hosts.environment, hosts.records.append, break_lease="its holder was killed")

    assert passed
    assert len(mixed - {""}) > 1
    assert votes >= 3
    assert again.exit is Exit.OK, again.error
    assert set(hosts.commits().values()) == {old}
