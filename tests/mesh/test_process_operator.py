"""What an operator asks of real node processes, on the port that is only theirs."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
from local_mesh import NodeProcess, local_mesh

from aitbc_node.storage.versions import DATA_VERSIONS, FILE_NAME

Eventually = Callable[..., None]


def started(node: NodeProcess) -> subprocess.CompletedProcess[str]:
    """Try to start a node that is going to refuse."""
    argv = [sys.executable, "-m", "aitbc_node", "run", "--config", str(node.config)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def test_a_drained_validator_has_just_proposed(tmp_path: Path, eventually: Eventually) -> None:
    """The newest block is its own; then it lets its turn pass, and the mesh goes on."""
    with local_mesh(tmp_path, eventually) as mesh:
        mesh.until_reach(mesh.nodes)
        mesh.until_heights(mesh.nodes, 5)
        node, own = mesh.nodes[0], mesh.nodes[0].public["consensus_key"]

        told = node.order("drain", deadline_ms=20_000)

        answer = told.raise_for_status().json()
        assert answer["in_time"]
        assert answer["next_turn_in"] == 3
        block = node.get(f"/blocks/{answer['height']}")
        assert block["proposer"] == own
        mesh.grow(mesh.nodes, 6)
        behind = range(answer["height"] + 1, answer["height"] + 6)
        assert own not in {node.get(f"/blocks/{height}")["proposer"] for height in behind}
        assert node.last_voted() > answer["height"], "it still votes"


def test_the_operators_port_is_for_operators(tmp_path: Path, eventually: Eventually) -> None:
    """Without the token nothing is done; the public port knows no such route, token or not."""
    with local_mesh(tmp_path, eventually, validators=1) as mesh:
        (node,) = mesh.nodes
        mesh.until_heights(mesh.nodes, 2)
        token = node.token.read_text(encoding="ascii").strip()
        body, right = {"deadline_ms": 0}, {"authorization": f"Bearer {token}"}

        stranger = httpx.post(f"http://{node.admin}/admin/drain", json=body)
        public = httpx.post(f"http://{node.rpc}/admin/drain", json=body, headers=right)

        assert (stranger.status_code, public.status_code) == (401, 404)
        mesh.grow(mesh.nodes, 3)
        beyond = node.order("finalize", data_version=DATA_VERSIONS.newest + 1)
        assert (beyond.status_code, beyond.json()["error"]["code"]) == (409, "conflict")
        same = node.order("finalize", data_version=node.get("/status")["data_version"])
        assert same.is_success
        assert token not in node.log.read_text(encoding="utf-8")


def test_a_start_from_a_kept_state(tmp_path: Path, eventually: Eventually) -> None:
    """The next start begins at the snapshot and says so; without its index it takes the log."""
    with local_mesh(tmp_path, eventually, validators=1) as mesh:
        (node,) = mesh.nodes
        mesh.until_reach(mesh.nodes)
        results = node.post_txs(mesh.transfers(5))
        mesh.until_heights(mesh.nodes, 5)
        kept = node.order("snapshot").raise_for_status().json()
        mesh.grow(mesh.nodes, 3)
        root = node.state_root(kept["height"] + 1)

        node.stop()
        node.start()
        mesh.grow(mesh.nodes, 2)

        assert f'"snapshot.used", "height": {kept["height"]}' in node.log.read_text("utf-8")
        assert node.state_root(kept["height"] + 1) == root
        assert node.get(f"/tx/{results[0]['id']}")["status"] == "committed"
        node.kill()
        (node.folder / "data" / "index.db").unlink()
        node.start()
        mesh.grow(mesh.nodes, 2)
        assert node.get(f"/tx/{results[0]['id']}")["status"] == "committed"
        assert node.log.read_text("utf-8").count("snapshot.used") == 1


def test_a_replay_beside_a_running_node(tmp_path: Path, eventually: Eventually) -> None:
    """The last blocks of a live folder are executed again: same root, nothing changed."""
    with local_mesh(tmp_path, eventually, validators=1) as mesh:
        (node,) = mesh.nodes
        mesh.until_reach(mesh.nodes)
        node.post_txs(mesh.transfers(5))
        mesh.until_heights(mesh.nodes, 8)
        argv = [sys.executable, "-m", "aitbc_node", "replay", "--last", "3", "--to", "7", "--json"]
        argv += ["--data-copy", str(node.folder / "data")]
        argv += ["--genesis", str(node.folder / "genesis.json")]

        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert (told["from"], told["to"], told["ok"]) == (5, 7, True)
        assert told["state_root"] == node.state_root(7)
        mesh.grow(mesh.nodes, 2)


def test_check_06_a_build_refuses_data_it_cannot_read(
    tmp_path: Path, eventually: Eventually
) -> None:
    """Status 78, one clear line and a hint; the folder stays as it was."""
    with local_mesh(tmp_path, eventually, validators=1) as mesh:
        (node,) = mesh.nodes
        mesh.until_heights(mesh.nodes, 2)
        node.stop()
        data = node.folder / "data"
        (data / FILE_NAME).write_text(f"{DATA_VERSIONS.newest + 1}\n", encoding="ascii")
        before = (data / "blocks.log").read_bytes()

        refused = started(node)

        assert refused.returncode == 78
        assert "error: the data folder is in data version" in refused.stderr
        assert "hint: run a release that knows it" in refused.stderr
        assert (data / "blocks.log").read_bytes() == before
