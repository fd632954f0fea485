"""The interface of a live node does what its own description promises, whatever is asked of it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from local_mesh import local_mesh

pytestmark = pytest.mark.mesh

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)
EXAMPLES = {"fast": 10, "ci": 10, "nightly": 1_000}


def test_a_live_node_keeps_its_own_description(
    tmp_path: Path, eventually: Callable[..., None], pytestconfig: pytest.Config
) -> None:
    """Requests drawn from `/openapi.json`, good and bad, get only answers that it describes."""
    tier = pytestconfig.getoption("--tier")
    count = EXAMPLES[tier]
    with local_mesh(tmp_path, eventually, validators=1, start=False) as mesh:
        (node,) = mesh.nodes
        node.write_config(mesh.nodes, rpc="rate = 0")
        mesh.start()
        mesh.until_heights(mesh.nodes, 3)
        argv = [
            Path(sys.executable).with_name("schemathesis"), "run",
            f"http://{node.rpc}/openapi.json",
            "--exclude-path", "/events",  # it has no end, nor have these
            "--exclude-operation-id", "get_messages",
            "--exclude-operation-id", "get_messages_address",
            "--phases", "examples,coverage,fuzzing",
            "--checks", ",".join(CHECKS),
            "--max-examples", str(count),
            *([] if tier == "nightly" else ["--seed", "1"]),  # a verdict that can be repeated
            "--suppress-health-check", "all",
            "--generation-database", "none",
            "--no-color",
        ]  # fmt: skip

        ended = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path)

        assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:]
        mesh.grow(mesh.nodes, 2)
