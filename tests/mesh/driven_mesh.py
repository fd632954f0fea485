"""How does the command line get at a test's own processes? As the environment that it loads."""

import dataclasses
from itertools import cycle
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from local_mesh import BLOCK_INTERVAL_MS, CHAIN_ID, HRP, Mesh

from aitbc_node.ledger.document import to_json
from aitbc_toolkit import keys
from aitbc_toolkit.inventory import Environment, Inventory


def environment_of(mesh: Mesh, state: Path) -> Environment:
    """Describe a local mesh as the inventory of an environment, faucet key and genesis included."""
    written = Inventory.load("dev", state=state)
    chain = msgspec.structs.replace(
        written.chain, id=CHAIN_ID, hrp=HRP, block_interval_ms=BLOCK_INTERVAL_MS
    )
    instances = tuple(
        dataclasses.replace(
            like,
            name=node.name,
            role=node.role,
            power=int(node.role == "validator"),
            rpc_url=f"http://{node.rpc}",
            address="127.0.0.1",
            p2p_port=int(node.p2p.rpartition(":")[2]),
        )
        for like, node in zip(cycle(written.instances), mesh.nodes, strict=False)
    )
    found = dataclasses.replace(written, chain=chain, instances=instances)
    found.folder.mkdir(parents=True)
    (found.folder / "genesis.json").write_text(to_json(mesh.genesis), encoding="utf-8")
    pem = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = keys.faucet_path(found.folder)
    path.write_bytes(pem)
    path.chmod(0o600)
    return found
