"""A stranger's client: the protocol from docs/protocol.md alone, without any code of the node.

Only hashes and Ed25519 come from libraries. When this file needs to know something that the
document does not say, the document is wrong. The inputs are those of the vector files.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

VECTORS = Path(__file__).parent / "vectors"
LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def vectors(name: str) -> Any:
    """Read one file of vectors."""
    return json.loads((VECTORS / name).read_text())


def unhex(text: str) -> bytes:
    """Read lower-case hex."""
    return bytes.fromhex(text)


def sha256(*parts: bytes) -> bytes:
    """Hash the concatenation of parts."""
    return hashlib.sha256(b"".join(parts)).digest()


def head(kinds: list[tuple[int, int, bytes]], size: int) -> bytes:
    """Write the shortest head whose size field can hold the size."""
    for largest, width, code in kinds:
        if size <= largest:
            return bytes([code[0] + size]) if not width else code + size.to_bytes(width, "big")
    raise AssertionError("too large")


TEXT = [(31, 0, b"\xa0"), (2**8 - 1, 1, b"\xd9"), (2**16 - 1, 2, b"\xda"), (2**32 - 1, 4, b"\xdb")]
BINARY = [(2**8 - 1, 1, b"\xc4"), (2**16 - 1, 2, b"\xc5"), (2**32 - 1, 4, b"\xc6")]
ARRAY = [(15, 0, b"\x90"), (2**16 - 1, 2, b"\xdc"), (2**32 - 1, 4, b"\xdd")]
NUMBER = [
    (127, 0, b"\x00"),
    (2**8 - 1, 1, b"\xcc"),
    (2**16 - 1, 2, b"\xcd"),
    (2**32 - 1, 4, b"\xce"),
    (2**64 - 1, 8, b"\xcf"),
]


def pack(value: object) -> bytes:
    """Write canonical bytes."""
    match value:
        case None:
            return b"\xc0"
        case bool():
            return b"\xc3" if value else b"\xc2"
        case int() if value >= 0:
            return head(NUMBER, value)
        case int() if value >= -32:
            return value.to_bytes(1, "big", signed=True)
        case int():
            width = next(width for width in (1, 2, 4, 8) if value >= -(2 ** (8 * width - 1)))
            code = {1: b"\xd0", 2: b"\xd1", 4: b"\xd2", 8: b"\xd3"}[width]
            return code + value.to_bytes(width, "big", signed=True)
        case str():
            return head(TEXT, len(value.encode())) + value.encode()
        case bytes():
            return head(BINARY, len(value)) + value
        case list():
            return head(ARRAY, len(value)) + b"".join(pack(entry) for entry in value)
    raise AssertionError(value)


def plain(value: Any) -> Any:
    """Turn {"hex": ...} of a vector file back into bytes."""
    if isinstance(value, dict):
        return unhex(value["hex"])
    return [plain(entry) for entry in value] if isinstance(value, list) else value


def bech32m(prefix: str, data: bytes) -> str:
    """Write an address."""
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    words = [int(bits[place : place + 5], 2) for place in range(0, len(bits), 5)]
    spread = [*(ord(char) >> 5 for char in prefix), 0, *(ord(char) & 31 for char in prefix)]
    check = 1
    for word in (*spread, *words, 0, 0, 0, 0, 0, 0):
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ word
        for place, mask in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= mask if top >> place & 1 else 0
    check ^= 0x2BC830A3
    words += [check >> 5 * (5 - place) & 31 for place in range(6)]
    return f"{prefix}1{''.join(LETTERS[word] for word in words)}"


def address(threshold: int, keys: list[bytes]) -> bytes:
    """Name an account by its first policy."""
    return sha256(b"aitbc/address\0", pack([threshold, keys]))[:20]


def proved(root: bytes, path: bytes, proof: list[bytes]) -> bytes | None:
    """Return the value that a proof shows, or None for a proved absence."""
    wanted = root
    for place, node in enumerate(proof):
        assert sha256(node) == wanted
        if node.startswith(b"aitbc/leaf\0"):
            assert place == len(proof) - 1
            body = node[11:]
            return body[32:] if body[:32] == path else None
        assert node.startswith(b"aitbc/branch\0")
        depth, rest = node[13], node[14:]
        prefix, rest = rest[: (depth + 1) // 2].hex()[:depth], rest[(depth + 1) // 2 :]
        bitmap, hashes = int.from_bytes(rest[:2], "big"), rest[2:]
        if path.hex()[:depth] != prefix:
            break
        nibble = int(path.hex()[depth], 16)
        if not bitmap >> nibble & 1:
            break
        index = (bitmap & ((1 << nibble) - 1)).bit_count()
        wanted = hashes[32 * index : 32 * index + 32]
    else:
        assert not proof, "the proof ends too early"
        assert root == sha256(b"aitbc/empty\0")
    assert place == len(proof) - 1 if proof else True
    return None


@pytest.mark.parametrize("account", vectors("addresses.json")["accounts"])
def test_addresses(account: dict[str, Any]) -> None:
    """A policy's bytes, its hash, and the text under three prefixes."""
    keys = [unhex(key) for key in account["keys"]]

    assert pack([account["threshold"], keys]).hex() == account["policy_bytes"]
    assert address(account["threshold"], keys).hex() == account["address"]
    for prefix, text in account["text"].items():
        assert bech32m(prefix, unhex(account["address"])) == text


def signed(vector: dict[str, Any], tag: bytes) -> tuple[bytes, bytes]:
    """Make the body of what a vector describes, and the bytes of it with all signatures."""
    body = pack(plain(vector["fields"]))
    signers = [Ed25519PrivateKey.from_private_bytes(unhex(seed)) for seed in vector["seeds"]]
    sigs = sorted(
        [signer.public_key().public_bytes_raw(), signer.sign(tag + body)] for signer in signers
    )
    return body, pack([body, sigs])


@pytest.mark.parametrize(
    "vector", vectors("transactions.json")["transactions"], ids=lambda vector: vector["title"]
)
def test_transactions(vector: dict[str, Any]) -> None:
    """From fields and seeds to the raw bytes and the id."""
    body, raw = signed(vector, b"aitbc/tx\0")

    assert body.hex() == vector["body"]
    assert raw.hex() == vector["raw"]
    assert sha256(raw).hex() == vector["id"]


@pytest.mark.parametrize(
    "vector", vectors("messages.json")["messages"], ids=lambda vector: vector["title"]
)
def test_messages(vector: dict[str, Any]) -> None:
    """As transactions, under a tag of their own."""
    _, raw = signed(vector, b"aitbc/message\0")

    assert raw.hex() == vector["raw"]
    assert sha256(raw).hex() == vector["id"]


def test_the_end_of_a_node_key_is_signed_by_that_key() -> None:
    """From the record's key to the bytes that its value signs."""
    (vector,) = [
        each
        for each in vectors("transactions.json")["transactions"]
        if each["title"] == "the key of a node ends"
    ]
    fields = plain(vector["fields"])
    (_, namespace, key, value, _), chain_id = fields[-1][0], fields[0]

    assert (namespace, key[:7], len(key)) == ("peer", b"revoked", 39)
    claim = b"aitbc/node-revoked\0" + pack([chain_id, key[7:]])
    Ed25519PublicKey.from_public_bytes(key[7:]).verify(value, claim)


def test_genesis_hash() -> None:
    """From the file to the chain's identity, and the proof of possession that is signed."""
    vector = vectors("genesis.json")
    file = vector["file"]
    record = [
        *(file[name] for name in ("chain_id", "hrp", "genesis_time_ms", "app_version")),
        file["single_node_dev"],
        list(file["params"].values()),
        [genesis_asset(asset) for asset in file["assets"]],
        [genesis_account(account) for account in file["accounts"]],
        int(file["pools"]["reward_pool"]),
        int(file["pools"]["treasury"]),
        [genesis_validator(entry) for entry in file["validators"]],
    ]

    assert pack(record).hex() == vector["bytes"]
    assert sha256(b"aitbc/genesis\0", pack(record)).hex() == vector["hash"]
    params = pack(list(file["params"].values()))
    assert sha256(b"aitbc/params\0", params).hex() == vector["params_hash"]
    voters = [genesis_validator(entry)[:3] for entry in file["validators"]]
    assert sha256(pack(voters)).hex() == vector["validators_hash"]
    operator, key, _, _, proof = genesis_validator(file["validators"][0])
    claim = b"aitbc/possession\0" + pack([file["chain_id"], operator])
    assert claim.hex() == vector["possession_message"]
    Ed25519PublicKey.from_public_bytes(key).verify(proof, claim)


def genesis_asset(asset: dict[str, Any]) -> list[Any]:
    """Turn an asset of the file into its record."""
    authority = asset["mint_authority"] and from_bech32m(asset["mint_authority"])
    return [asset["ticker"], asset["name"], asset["decimals"], authority, int(asset["min_amount"])]


def genesis_account(account: dict[str, Any]) -> list[Any]:
    """Turn an account of the file into its record."""
    policy = account["policy"]
    record = policy and [policy["threshold"], [unhex(key) for key in policy["keys"]]]
    balances = sorted([ticker, int(amount)] for ticker, amount in account["balances"].items())
    return [from_bech32m(account["address"]), record, balances]


def genesis_validator(entry: dict[str, Any]) -> list[Any]:
    """Turn a validator of the file into its record."""
    operator, key, proof = from_bech32m(entry["operator"]), unhex(entry["key"]), entry["proof"]
    return [operator, key, entry["power"], entry["region"], unhex(proof)]


def from_bech32m(text: str) -> bytes:
    """Read an address whose check characters are right."""
    prefix, _, tail = text.rpartition("1")
    bits = "".join(f"{LETTERS.index(char):05b}" for char in tail[:-6])
    data = bytes(int(bits[place : place + 8], 2) for place in range(0, len(bits) - 7, 8))
    assert bech32m(prefix, data) == text
    return data


def test_tree_and_proofs() -> None:
    """Proofs of presence and absence lead to the root; a changed value does not."""
    vector = vectors("tree.json")

    for entry in vector["proofs"]:
        proof = [unhex(node) for node in entry["proof"]]
        shown = proved(unhex(vector["root"]), unhex(entry["path"]), proof)
        assert (None if shown is None else shown.hex()) == entry["value"]
    assert sha256(b"aitbc/empty\0").hex() == vector["empty_root"]


def test_state_objects_and_the_proof_of_an_account() -> None:
    """Each object's place in the tree, and one account proved against the first state's root."""
    vector = vectors("state.json")
    for entry in vector["objects"]:
        assert sha256(entry["kind"].encode(), b"\0", unhex(entry["name"])).hex() == entry["path"]
    ann = vector["objects"][0]

    shown = proved(
        unhex(vector["root"]), unhex(ann["path"]), [unhex(node) for node in vector["proof_of_ann"]]
    )

    assert shown is not None
    assert shown.hex() == ann["value"]
    assert vector["root"] == vectors("genesis.json")["state_root"]


def test_header_receipts_and_certificate() -> None:
    """A block from its transactions to its id, and a certificate of three of four voters."""
    vector = vectors("block.json")
    chain = vector["header"]["chain_id"]
    name = unhex(vector["block_id"])
    header = plain(list(vector["header"].values()))
    ids = [sha256(unhex(raw)) for raw in vector["txs"]]

    assert [entry.hex() for entry in ids] == vector["tx_ids"]
    assert sha256(b"aitbc/ids\0", *ids) == plain(vector["header"]["tx_root"])
    receipts = [
        sha256(
            b"aitbc/receipt\0",
            pack([unhex(r["id"]), r["code"], r["gas_used"], r["fee"], r["events"]]),
        )
        for r in vector["receipts"]
    ]
    assert [entry.hex() for entry in receipts] == [r["hash"] for r in vector["receipts"]]
    assert sha256(b"aitbc/ids\0", *receipts) == plain(vector["header"]["receipts_root"])
    assert sha256(b"aitbc/ids\0") == plain(vector["header"]["evidence_root"])
    no_commit = pack([0, 0, b"", []])
    assert sha256(b"aitbc/commit\0", no_commit) == plain(vector["header"]["last_commit_hash"])
    assert pack(header).hex() == vector["header_bytes"]
    assert sha256(b"aitbc/header\0", pack(header)) == name
    assert pack([chain, 0, 1, 0, -1, name]).hex() == vector["proposal_sign_bytes"]
    assert pack([chain, 1, 1, 0, b""]).hex() == vector["prevote_nil_sign_bytes"]
    time_ms = 1_760_000_000_500
    assert pack([chain, 2, 1, 0, name, time_ms]).hex() == vector["precommit_sign_bytes"]
    votes = []
    for place, key in enumerate(vector["validator_keys"][:3]):
        message = pack([chain, 2, 1, 0, name, time_ms + place])
        [signature] = [
            signer.sign(message)
            for signer in map(validator, ("ann", "ben", "cid", "dee"))
            if signer.public_key().public_bytes_raw().hex() == key
        ]
        votes.append([place, time_ms + place, signature])
    certificate = pack([1, 0, name, votes])
    assert certificate.hex() == vector["certificate_bytes"]
    assert sha256(b"aitbc/commit\0", certificate).hex() == vector["certificate_hash"]


def validator(name: str) -> Ed25519PrivateKey:
    """Make a validator's key as the vectors do."""
    return Ed25519PrivateKey.from_private_bytes(sha256(f"{name} votes".encode()))
