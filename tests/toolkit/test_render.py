"""Configuration is rendered whole, before any host, and says what the inventory says."""

import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from aitbc_node import config
from aitbc_node.trusting import Trusted
from aitbc_node.types import BlockId, Height
from aitbc_toolkit import paths, render
from aitbc_toolkit.errors import ConfigError, Exit
from aitbc_toolkit.inventory import Environment, Inventory

COMMIT = "c" * 40


def rendered(
    environment: Environment, *, commit: str = COMMIT, templates: Path | None = None
) -> dict[str, render.Configuration]:
    """Render an environment whose peer ids spell the nodes' names."""
    peer_ids = {each.name: each.name.encode().hex().zfill(40) for each in environment.instances}
    return render.configurations(
        environment, commit=commit, peer_ids=peer_ids, genesis="{}", templates=templates
    )


@pytest.mark.proves("E53")
@pytest.mark.parametrize("name", ["dev", "staging", "production"])
def test_the_node_accepts_what_is_rendered(name: str) -> None:
    """The node's own reader takes every rendered file and finds the inventory's values in it."""
    environment = Inventory.load(name)

    for each in rendered(environment).values():
        read = config.parse(each.files["node.toml"], Path("/etc/aitbc/node.toml"))

        instance = environment.instance(each.instance)
        assert read.node.id == instance.name
        assert read.node.log_level == environment.profile.log_level.lower()
        assert read.consensus.block_interval_ms == environment.chain.block_interval_ms
        assert read.rpc.listen == f"{instance.address}:{instance.rpc_port}"
        assert read.node.commit == COMMIT


def test_a_trusted_block_of_the_inventory_reaches_every_node() -> None:
    """Without one there is no such section, so that older builds read the file as well."""
    dev = Inventory.load("dev")
    trusting = msgspec.structs.replace(dev.profile, trusted_height=9, trusted_hash="ab" * 32)

    plain = rendered(dev)["v1"].files["node.toml"]
    read = config.parse(
        rendered(replace(dev, profile=trusting))["v1"].files["node.toml"], Path("node.toml")
    )

    assert "[sync]" not in plain
    assert read.sync.trusted == Trusted(Height(9), BlockId(b"\xab" * 32))


def test_a_host_with_both_families_listens_on_all_and_tells_both() -> None:
    """Others are given the way that they have; who has none still knows the id, and waits."""
    found = Inventory.load("staging")
    changes = {
        found.instances[0].name: {"address": "10.0.0.1", "address6": "fd00::1"},
        found.instances[1].name: {"address": "fd00::2"},
        found.instances[2].name: {"address": "10.0.0.3"},
    }
    instances = tuple(replace(each, **changes.get(each.name, {})) for each in found.instances)
    files = rendered(replace(found, instances=instances))

    both, new, old = (
        config.parse(files[each.name].files["node.toml"], Path("node.toml"))
        for each in instances[:3]
    )

    p2p, rpc = instances[0].p2p_port, instances[0].rpc_port
    assert (both.p2p.listen, both.rpc.listen) == (f"[::]:{p2p}", f"[::]:{rpc}")
    assert both.p2p.advertise == f"10.0.0.1:{p2p}"
    assert both.p2p.also_advertise == (f"[fd00::1]:{p2p}",)
    assert (new.p2p.listen, new.p2p.also_advertise) == (f"[fd00::2]:{instances[1].p2p_port}", ())
    assert [peer.address for peer in new.p2p.bootstrap] == [f"[fd00::1]:{p2p}"]
    assert len(new.p2p.allowed) == 2
    assert f"10.0.0.1:{p2p}" in [peer.address for peer in old.p2p.bootstrap]
    assert len(old.p2p.allowed) == 1


def test_every_node_is_given_the_ids_of_all_others() -> None:
    """Peer lists come from the ids that rendering was told; nobody is told to dial itself."""
    environment = Inventory.load("dev")

    for each in rendered(environment).values():
        read = config.parse(each.files["node.toml"], Path("node.toml"))

        peers = {peer.id: peer.address for peer in read.p2p.bootstrap}
        others = [other for other in environment.instances if other.name != each.instance]
        assert peers == {
            other.name.encode().hex().zfill(40): f"127.0.0.1:{other.p2p_port}" for other in others
        }


def test_the_hash_leaves_the_commit_out_and_nothing_else() -> None:
    """A new commit alone is no new configuration; any other change is."""
    environment = Inventory.load("dev")

    one = rendered(environment)["v1"]
    other = rendered(environment, commit="d" * 40)["v1"]

    assert one.hash == other.hash
    assert one.files["node.toml"] != other.files["node.toml"]
    assert one.hash != rendered(environment)["v2"].hash


def test_the_same_inputs_give_the_same_bytes() -> None:
    """Rendering twice is rendering once."""
    environment = Inventory.load("staging")

    assert rendered(environment) == rendered(environment)


def test_a_missing_variable_names_the_template_and_its_line(tmp_path: Path) -> None:
    """What nobody gives stops everything with status 78, before any host."""
    templates = tmp_path / "templates"
    shutil.copytree(paths.templates(), templates)
    node = templates / "node.toml.j2"
    node.write_text(node.read_text().replace("environment.name", "enviroment.name"))
    line = next(
        number
        for number, text in enumerate(node.read_text().splitlines(), start=1)
        if "enviroment" in text
    )

    with pytest.raises(ConfigError, match=f"node.toml.j2, line {line}: 'enviroment'") as refused:
        rendered(Inventory.load("dev"), templates=templates)

    assert refused.value.exit_status is Exit.CONFIG
    assert refused.value.hint == "edit templates/node.toml.j2"


@pytest.mark.parametrize("broken", ["{% if %}", "{{ instance.name", "{% include 'not-there' %}"])
def test_a_broken_template_is_one_line(tmp_path: Path, broken: str) -> None:
    """A template that Jinja2 cannot read is the operator's mistake, not a crash."""
    templates = tmp_path / "templates"
    shutil.copytree(paths.templates(), templates)
    (templates / "node.toml.j2").write_text(broken)

    with pytest.raises(ConfigError, match="template"):
        rendered(Inventory.load("dev"), templates=templates)


@pytest.mark.integration
def test_the_start_command_keeps_the_release_it_was_started_from(tmp_path: Path) -> None:
    """The links are resolved once: a switch cannot change what a running node still imports."""
    environment = Inventory.load("dev", state=tmp_path)
    instance = environment.instance("v1")
    release = tmp_path / "dev/opt/aitbc/dev/releases/one"
    python = release / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$PYTHONPATH" "$AITBC_CONFIG" "$@"\n')
    python.chmod(0o755)
    current = Path(instance.paths.current)
    current.parent.mkdir(parents=True)
    current.symlink_to("../releases/one")

    argv = shlex.split(render.start_command(instance, ends_with_parent=True))
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()

    assert said[:2] == [str(release / "node"), str(instance.paths.config)]
    assert said[2:] == [
        *("-P", "-m", "aitbc_node", "run", "--config"),
        str(instance.paths.config / "node.toml"),
    ]


def test_both_managers_are_told_the_same_restart_policy() -> None:
    """One policy: a second between restarts, none after a configuration mistake."""
    unit = rendered(Inventory.load("staging"))["v1"].files["service"]
    program = rendered(Inventory.load("dev"))["v1"].files["service"]

    assert "RestartSec=1\n" in unit
    assert "RestartPreventExitStatus=64 78\n" in unit
    assert "WatchdogSec=15\n" in unit
    assert "NotifyAccess=main\n" in unit
    assert "startsecs=1\n" in program
    assert "exitcodes=0,64,78\n" in program


def test_the_unit_gives_the_node_its_own_two_folders_and_no_more() -> None:
    """A node cannot write its own code, its configuration or another node's keys."""
    unit = rendered(Inventory.load("production"))["v1"].files["service"]

    assert "ProtectSystem=strict\n" in unit
    assert "ReadWritePaths=/var/lib/aitbc/production/v1 /var/lib/aitbc-keys/v1\n" in unit
    assert "User=aitbc\n" in unit
    assert "NoNewPrivileges=yes\n" in unit


def test_the_firewall_opens_what_the_inventory_names_and_nothing_else() -> None:
    """One rule per listener that others reach; a host that did not ask for a firewall gets none."""
    environment = Inventory.load("staging")
    guarded = replace(environment.host("aitbc1"), firewall=True, ssh_port=2222)

    texts = render.host_texts(environment, guarded)
    plain = render.host_texts(environment, replace(guarded, firewall=False))

    assert "policy drop" in texts["firewall"]
    assert 'tcp dport 2222 accept comment "ssh"' in texts["firewall"]
    assert [line for line in texts["ports"].splitlines() if not line.startswith("#")] == [
        f'tcp dport {port} accept comment "{what} of {each.name}"'
        for each in environment.on("aitbc1")
        for what, port in (("p2p", each.p2p_port), ("rpc", each.rpc_port))
    ]
    assert set(plain) == {"journald"}


def test_a_host_is_not_asked_to_open_an_rpc_that_only_it_may_read() -> None:
    """With the RPC on loopback only peers come in."""
    environment = Inventory.load("staging")
    profile = msgspec.structs.replace(environment.profile, rpc_bind="loopback")
    inward = replace(environment, profile=profile)

    texts = render.host_texts(inward, replace(environment.host("aitbc1"), firewall=True))

    assert "rpc" not in texts["ports"]
