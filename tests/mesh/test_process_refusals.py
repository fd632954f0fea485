"""What a node process refuses to do, and how it says so: one line, a hint, the right status."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import own_ports
import pytest
from local_mesh import NodeProcess, genesis_of, local_mesh

from aitbc_node.errors import Exit
from aitbc_node.ledger.document import to_json

Eventually = Callable[..., None]


def run(*arguments: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run `aitbc-node` to its end."""
    return subprocess.run(
        [sys.executable, *python, "-m", "aitbc_node", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def refused(node: NodeProcess, *, status: Exit, names: str, arguments: tuple[str, ...] = ()) -> str:
    """Start a node that cannot start; return what it complained."""
    done = run("run", "--config", str(node.config), *arguments)
    assert done.returncode == status, done.stdout + done.stderr
    complaint = done.stderr
    assert complaint.startswith("error: "), complaint
    assert names in complaint
    assert "Traceback" not in done.stdout + complaint
    return complaint


@pytest.fixture
def node(tmp_path: Path, eventually: Eventually) -> NodeProcess:
    """Return a chain of one node that was never started."""
    with local_mesh(tmp_path, eventually, validators=1, start=False) as mesh:
        return mesh.nodes[0]


def test_a_typo_in_the_configuration(node: NodeProcess) -> None:
    """The nearest valid key is named."""
    node.write_config([], more="[consensu]\n")

    assert "'consensus'" in refused(node, status=Exit.CONFIG, names="unknown key [consensu]")


@pytest.mark.parametrize("which", ["p2p", "rpc"])
def test_a_port_in_use(node: NodeProcess, which: str) -> None:
    """The setting and the address are named."""
    address = getattr(node, which)
    host, port = address.split(":")
    with socket.create_server((host, int(port))):
        refused(node, status=Exit.CONFIG, names=f"{which}.listen: cannot listen on {address}")


@pytest.mark.parametrize("key", ["consensus.key", "node.key"])
@pytest.mark.proves("E8")
def test_a_key_that_others_could_read(node: NodeProcess, key: str) -> None:
    """A key file that is not 0600 is not used."""
    (node.folder / "keys" / key).chmod(0o640)

    assert "chmod 600" in refused(node, status=Exit.CONFIG, names="0640")


def test_a_missing_or_broken_key(node: NodeProcess) -> None:
    """It says how keys are made."""
    key = node.folder / "keys" / "node.key"
    key.write_text("nonsense", encoding="utf-8")
    refused(node, status=Exit.CONFIG, names="PKCS#8")

    key.unlink()

    assert "aitbc-node init" in refused(node, status=Exit.CONFIG, names="no such key file")


def test_a_broken_genesis(node: NodeProcess) -> None:
    """Malformed, missing, or not one that a chain can start from."""
    genesis = node.folder / "genesis.json"
    document = json.loads(genesis.read_text(encoding="utf-8"))
    document["validators"][0]["power"] = 0
    for text in ("{", json.dumps(document)):
        genesis.write_text(text, encoding="utf-8")
        refused(node, status=Exit.CONFIG, names="genesis")
    genesis.unlink()
    refused(node, status=Exit.CONFIG, names="genesis.json")


def test_data_of_another_chain(tmp_path: Path, eventually: Eventually) -> None:
    """A data folder belongs to one genesis."""
    with local_mesh(tmp_path, eventually, validators=1) as mesh:
        (node,) = mesh.nodes
        mesh.until_heights(mesh.nodes, 2)
        assert node.stop() == Exit.OK
        other = genesis_of(mesh.nodes, chain_id=mesh.genesis.chain_id, treasury=5)
        (node.folder / "genesis.json").write_text(to_json(other), encoding="utf-8")

        refused(node, status=Exit.CONFIG, names="blocks.log: written for the chain with genesis")


def test_a_damaged_log(tmp_path: Path, eventually: Eventually) -> None:
    """Damage under synced records is refused and left as it is; keys are not touched."""
    with local_mesh(tmp_path, eventually, validators=1) as mesh:
        (node,) = mesh.nodes
        mesh.until_heights(mesh.nodes, 5)
        node.kill()
        log = node.folder / "data" / "blocks.log"
        damaged = bytearray(log.read_bytes())
        damaged[300] ^= 1
        log.write_bytes(damaged)

        refused(node, status=Exit.FAILED, names="blocks.log: damaged at byte")

        assert log.read_bytes() == damaged


@pytest.mark.proves("D13")
def test_a_node_that_keeps_dying_young_gives_up(tmp_path: Path, eventually: Eventually) -> None:
    """Each start waits twice as long as the one before; the sixth in a minute does not happen."""
    with local_mesh(tmp_path, eventually, validators=1) as mesh:
        (node,) = mesh.nodes
        mesh.until_heights(mesh.nodes, 5)
        node.kill()  # counts as the first short life
        log = node.folder / "data" / "blocks.log"
        log.write_bytes(log.read_bytes()[:10])

        delays = []
        for _ in range(4):
            done = run("run", "--config", str(node.config))
            assert done.returncode == Exit.FAILED
            lines = [json.loads(line) for line in done.stdout.splitlines()]
            delays += [line["seconds"] for line in lines if line["event"] == "start.delayed"]

        assert delays == [0.2, 0.4, 0.8, 1.6]
        refused(node, status=Exit.CONFIG, names="5 starts within 60 s")


def test_the_same_key_does_not_run_twice(tmp_path: Path, eventually: Eventually) -> None:
    """A second process on the same key folder ends at once, the first goes on."""
    with local_mesh(tmp_path, eventually, validators=1) as mesh:
        (node,) = mesh.nodes
        mesh.until_heights(mesh.nodes, 1)
        ports = own_ports.take(2)
        text = node.config.read_text(encoding="utf-8").replace('"data"', '"other-data"')
        text = text.replace(node.p2p, f"127.0.0.1:{ports[0]}")
        text = text.replace(node.rpc, f"127.0.0.1:{ports[1]}")
        second = node.folder / "second.toml"
        second.write_text(text, encoding="utf-8")

        done = run("run", "--config", str(second))

        assert done.returncode == Exit.BUSY
        assert f"error: {node.folder / 'keys'} is in use" in done.stderr
        mesh.grow(mesh.nodes, 2)


def test_a_copy_of_a_key_never_signs(tmp_path: Path, eventually: Eventually) -> None:
    """A second process with a key and an older sign state finds votes that it never gave.

    It says so and only follows; the validator whose key it is goes on voting.
    """
    twice = "another node signs with this key"
    with local_mesh(tmp_path, eventually, full=1, start=False) as mesh:
        *validators, copy = mesh.nodes
        original = validators[0]
        for node in validators:
            node.start()
        eventually("a vote", lambda: original.last_voted() >= 1, deadline_s=60)
        for name in ("consensus.key", "sign_state"):
            shutil.copy2(original.folder / "keys" / name, copy.folder / "keys" / name)
        text = copy.config.read_text(encoding="utf-8")
        copy.config.write_text(text.replace('"full"', '"validator"'), encoding="utf-8")
        copied = copy.inspect("sign-state")["height"]
        eventually("a later vote", lambda: original.last_voted() > copied, deadline_s=60)

        copy.start()

        eventually("it to find out", lambda: trouble(copy) == twice, deadline_s=60)
        mesh.grow([original, copy], 3)
        tip = original.height()
        eventually("the next vote", lambda: original.last_voted() > tip, deadline_s=60)
        assert '"event": "vote.twin"' in copy.log.read_text(encoding="utf-8")
        assert (trouble(original), trouble(copy)) == ("", twice)
        for node in validators:
            assert node.metric('aitbc_notes_total{name="consensus.equivocation"') == 0


def trouble(node: NodeProcess) -> str:
    """Return why a node does not vote; a word of ours while it does not answer."""
    status = node.get("/status")
    return "no answer" if status is None else str(status["trouble"])


def test_wrong_genesis_gets_no_link(tmp_path: Path, eventually: Eventually) -> None:
    """A node with another genesis is told why, and both sides log it."""
    with local_mesh(tmp_path, eventually, full=1, start=False) as mesh:
        *others, stranger = mesh.nodes
        genesis = genesis_of(others, chain_id=mesh.genesis.chain_id, treasury=5)
        (stranger.folder / "genesis.json").write_text(to_json(genesis), encoding="utf-8")
        mesh.start()

        mesh.until_heights(others, 5)
        eventually("a refusal", lambda: "link.refused" in stranger.log.read_text("utf-8"))

        wrong, right = genesis.hash().hex()[:16], mesh.genesis.hash().hex()[:16]
        reasons = [
            json.loads(line)["reason"]
            for node in mesh.nodes
            for line in node.log.read_text("utf-8").splitlines()
            if "link.refused" in line
        ]
        assert any(f"genesis {wrong}, this node has {right}" in reason for reason in reasons)
        assert any(f"genesis {right}, this node has {wrong}" in reason for reason in reasons)
        assert (stranger.height(), stranger.get("/status")["peers"]) == (0, 0)


def test_a_key_without_its_sign_state_follows_only(tmp_path: Path, eventually: Eventually) -> None:
    """It never votes, until an operator gives a height well above the tip."""
    with local_mesh(tmp_path, eventually) as mesh:
        victim, *others = mesh.nodes
        mesh.until_heights(mesh.nodes, 3)
        victim.kill()
        (victim.folder / "keys" / "sign_state").unlink()
        victim.start()
        mesh.grow(mesh.nodes, 10)
        assert victim.last_voted() == 0
        assert "sign state" in victim.get("/status")["trouble"]
        tip = victim.height()
        assert victim.stop() == Exit.OK

        refused(
            victim,
            status=Exit.CONFIG,
            names="is not above the tip",
            arguments=("--not-before-height", str(tip)),
        )
        first = max(node.height() for node in others) + 15
        victim.start("--not-before-height", str(first))

        eventually("a vote", lambda: victim.last_voted() >= first, deadline_s=60)
        key = victim.public["consensus_key"]
        signed = [
            key in others[0].get(f"/blocks/{height}")["certificate"]["signers"]
            for height in range(tip - 5, first)
        ]
        assert not any(signed)
        assert victim.inspect("sign-state")["height"] >= first


def test_assertions_may_not_be_switched_off() -> None:
    """Under -O the invariants would be gone, so the node does not start."""
    done = run("version", python=("-O",))

    assert (done.returncode, done.stderr.splitlines()[0]) == (
        Exit.USAGE,
        "error: python -O removes the node's assertions",
    )


def test_a_failed_assertion_ends_the_node_with_its_own_status(node: NodeProcess) -> None:
    """Our bug is logged with its traceback on one line, and the supervisor restarts the node."""
    planted = (
        "from aitbc_node import machine, __main__ as node\n"
        "def step(self, event, *, now_ms): assert False, 'a planted bug'\n"
        "machine.Machine.step = step\n"
        f"raise SystemExit(node.main(['run', '--config', {str(node.config)!r}]))"
    )

    done = subprocess.run(
        [sys.executable, "-c", planted], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == Exit.BUG
    (line,) = [line for line in map(json.loads, done.stdout.splitlines()) if line["event"] == "bug"]
    assert "AssertionError: a planted bug" in line["traceback"]


@pytest.mark.parametrize(
    "arguments",
    [(), ("walk",), ("run",), ("run", "--confg", "x"), ("inspect", "block", "0", "--config", "x")],
)
def test_a_wrong_command_line_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    """Status 64, an error and how the command is used."""
    done = run(*arguments)

    assert done.returncode == Exit.USAGE
    error, hint = done.stderr.splitlines()[:2]
    assert error.startswith("error: ")
    assert hint.startswith("hint: aitbc-node")


def test_init_makes_keys_once_and_shows_only_public_parts(tmp_path: Path) -> None:
    """A second run changes nothing; no private key is ever printed; all files are 0600."""
    folder = tmp_path / "keys"
    arguments = ("init", "--key-dir", str(folder), "--hrp", "aitd", "--chain-id", "c-1", "--json")
    first = json.loads(run(*arguments).stdout)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}

    done = run(*arguments)
    second = json.loads(done.stdout)

    assert second.pop("made") == []
    assert first.pop("made") == ["node.key", "consensus.key", "operator.key"]
    assert first == second
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert first["operator_address"].startswith("aitd1")
    for name, data in files.items():
        if name.endswith(".key"):
            assert data.splitlines()[1].decode() not in done.stdout


def test_init_makes_no_sign_state_for_an_old_key(tmp_path: Path) -> None:
    """A key that is already there may have signed anything."""
    run("init", "--key-dir", str(tmp_path))
    (tmp_path / "sign_state").unlink()

    run("init", "--key-dir", str(tmp_path))

    assert not (tmp_path / "sign_state").exists()


def test_a_full_node_gets_one_key(tmp_path: Path) -> None:
    """It signs links and nothing else."""
    done = run("init", "--key-dir", str(tmp_path), "--role", "full", "--json")

    assert os.listdir(tmp_path) == ["node.key"]  # noqa: PTH208 - names are what is compared
    assert set(json.loads(done.stdout)) == {"made", "peer_id", "node_key"}
