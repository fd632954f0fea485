"""Write the golden vectors, and the copies of them that docs/protocol.md shows.

Run it after a change of the protocol, and read what it changed:
`.venv/bin/python tests/unit/vectors/build.py`. The tests compute the same values again and fail
when file or document differ; another test computes them without the node's code.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parent))

import edwards

from aitbc_node import bech32, blocks
from aitbc_node.canonical import encode
from aitbc_node.codes import Code
from aitbc_node.crypto import SigningKey, is_weak_key, sha256, verify
from aitbc_node.events import TxReceipt
from aitbc_node.ledger import document, genesis, objects, trie
from aitbc_node.ledger.apply import BlockContext, Execution, execute, receipt_hash
from aitbc_node.ledger.assets import AssetSupply
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.definitions import AssetDefine
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.evidence import EvidenceSubmit, SignedMessage
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.motions import ChangeParameter, ShareFees
from aitbc_node.ledger.params import PARAMETERS
from aitbc_node.ledger.policy import Policy, address_of, single_key
from aitbc_node.ledger.possession import possession_message, possession_proof
from aitbc_node.ledger.proposals import ProposalSubmit, ProposalVote
from aitbc_node.ledger.records import RecordPut, ended_by, revoked_by
from aitbc_node.ledger.revoking import replacement
from aitbc_node.ledger.rewards import RewardClaim
from aitbc_node.ledger.signers import AccountPolicy
from aitbc_node.ledger.state import State
from aitbc_node.ledger.transactions import Parsed, Transaction, parse, sign
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.letters import Letter, Sealed, read_letter, sign_letter
from aitbc_node.types import (
    Address,
    Amount,
    BlockId,
    Gas,
    Hash,
    Height,
    Power,
    PublicKey,
    Round,
    Signature,
    TxId,
)

FOLDER = Path(__file__).parent
DOCUMENT = FOLDER.parents[2] / "docs" / "protocol.md"
CHAIN_ID = "aitbc-vectors-1"
HRP = "aitd"
NAMES = ("ann", "ben", "cid", "dee")

Vectors = dict[str, Any]


def key(name: str) -> SigningKey:
    """Make a key whose seed is the hash of a name."""
    return SigningKey(sha256(name.encode()))


def policy(threshold: int, *names: str) -> Policy:
    """Make a policy of some names' keys."""
    return Policy(threshold, tuple(sorted(key(name).public_key for name in names)))


def own(name: str) -> Address:
    """Return the address of a name's ordinary account."""
    return address_of(single_key(key(name).public_key))


def signatures() -> Vectors:
    """Say which signatures are good: honest ones, broken ones, and the odd ones of ZIP-215."""
    message = b"aitbc"
    honest = key("ann")
    good = honest.sign(message)
    late = (int.from_bytes(good[32:], "little") + edwards.L).to_bytes(32, "little")
    points = edwards.small_order_points()
    torsion = next(point for point in points if edwards.times(4, point) != edwards.IDENTITY)
    no_point = next(y for y in range(2, 99) if edwards.x_of(y, odd=False) is None)
    mixed_key, mixed = edwards.sign_with_torsion(sha256(b"mixed"), message, torsion)
    assert edwards.challenge(mixed[:32], mixed_key, message) % 8, "the plain equation holds, too"
    empty_key = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    empty = bytes.fromhex(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b"
    )
    cases = [
        ("RFC 8032, 7.1, test 1", empty_key, b"", empty, True),
        ("honest", honest.public_key, message, good, True),
        ("another message", honest.public_key, b"aitbd", good, False),
        ("another key", key("ben").public_key, message, good, False),
        ("S not below the group order", honest.public_key, message, good[:32] + late, False),
        ("a key with a small-order part", mixed_key, message, mixed, True),
        ("all zero", bytes(32), message, bytes(64), True),
        ("a key that is no point", bytes((no_point, *bytes(31))), message, bytes(64), False),
    ]
    rows = []
    for title, public_key, text, signature, valid in cases:
        assert verify(PublicKey(public_key), text, Signature(signature)) is valid, title
        row = {"title": title, "key": public_key.hex(), "message": text.hex()}
        rows.append({**row, "signature": signature.hex(), "valid": valid})
    return {"cases": rows}


def weak_keys() -> Vectors:
    """List keys that verify, yet are refused wherever a key enters the ledger."""
    small = edwards.small_order_encodings()
    large = [
        (value | sign << 255).to_bytes(32, "little")
        for value in range(edwards.P, 2**255)
        for sign in (0, 1)
    ]
    refused = sorted({*small, *large})
    assert all(is_weak_key(PublicKey(entry)) for entry in refused)
    return {
        "small_order": [entry.hex() for entry in small],
        "not_canonical_and_not_small": [entry.hex() for entry in refused if entry not in small],
        "accepted": [key(name).public_key.hex() for name in NAMES],
    }


def addresses() -> Vectors:
    """Name accounts by their first policies."""
    rows = []
    for made in (policy(1, "ann"), policy(2, "ann", "ben", "cid")):
        name = address_of(made)
        rows.append(
            {
                "threshold": made.threshold,
                "keys": [entry.hex() for entry in made.keys],
                "policy_bytes": encode(made).hex(),
                "address": name.hex(),
                "text": {hrp: bech32.address_text(hrp, name) for hrp in ("ait", "aits", "aitd")},
            }
        )
    return {"accounts": rows}


def a_transaction(sender: Address, *bodies: Body, **changes: Any) -> Transaction:
    """Write a transaction with plain fields, then change some."""
    tx = Transaction(
        chain_id=CHAIN_ID,
        sender=sender,
        nonce=0,
        valid_until=Height(300),
        gas_limit=Gas(100_000),
        max_gas_price=1_000_000,
        tip=Amount(0),
        policy=None,
        bundle=False,
        bodies=bodies,
    )
    return msgspec.structs.replace(tx, **changes)


def transactions() -> Vectors:
    """Show transactions from fields to raw bytes."""
    payment = Transfer((Output(own("ben"), "AIT", Amount(1_500_000)),), "rent")
    several = Transfer(
        (Output(own("ben"), "AIT", Amount(1)), Output(own("cid"), "mUSDA", Amount(2**63 - 1)))
    )
    shared = policy(2, "ann", "ben", "cid")
    cases = [
        (
            "first payment of an account",
            ["ann"],
            a_transaction(own("ann"), payment, policy=policy(1, "ann")),
        ),
        (
            "two outputs, a tip",
            ["ann"],
            a_transaction(own("ann"), several, nonce=128, tip=Amount(7)),
        ),
        (
            "a bundle by two of three keys",
            ["cid", "ann"],
            a_transaction(
                address_of(shared),
                AssetSupply("mUSDA", own("dee"), 1_000_000),
                AssetSupply("mUSDA", address_of(shared), -40),
                payment,
                bundle=True,
                nonce=70_000,
                policy=shared,
            ),
        ),
        (
            "a name on record for a thousand blocks",
            ["ann"],
            a_transaction(own("ann"), RecordPut("name", b"shop", bytes(range(40)), 1_000)),
        ),
        *_of_node_keys(),
        (
            "two of three keys from now on",
            ["ann"],
            a_transaction(own("ann"), AccountPolicy(shared.threshold, shared.keys)),
        ),
        (
            "an asset, and all of it",
            ["dee"],
            a_transaction(
                own("dee"),
                AssetDefine("COIN2", "Zweite Münze", 18, own("dee"), Amount(7), Amount(10**15)),
                AssetSupply("COIN2", own("dee"), 10**15),
                bundle=True,
                gas_limit=Gas(440_000),
            ),
        ),
        *_of_validators(),
    ]
    return {"transactions": [_transaction_row(title, signers, tx) for title, signers, tx in cases]}


def _of_node_keys() -> Iterator[tuple[str, list[str], Transaction]]:
    node = key("node")
    said = replacement(CHAIN_ID, node, key("another node"))
    for title, put in (
        ("the key of a node ends", revoked_by(CHAIN_ID, node)),
        ("the key of a node gives way to another", ended_by(node.public_key, said)),
    ):
        yield title, ["ann"], a_transaction(own("ann"), put, gas_limit=Gas(300_000))


def _of_validators() -> list[tuple[str, list[str], Transaction]]:
    return [
        (
            "a validator registers and bonds",
            ["ann"],
            a_transaction(
                own("ann"),
                ValidatorPut(
                    key("eve").public_key, possession_proof(CHAIN_ID, own("ann"), key("eve"))
                ),
                StakeBond(own("ann"), Amount(5_000_000)),
                bundle=True,
            ),
        ),
        (
            "a delegator takes coins back",
            ["ben"],
            a_transaction(own("ben"), StakeUnbond(own("ann"), Amount(1_000_000))),
        ),
        ("an operator takes its rewards", ["ann"], a_transaction(own("ann"), RewardClaim())),
        (
            "a parameter is to change",
            ["ann"],
            a_transaction(own("ann"), ProposalSubmit(ChangeParameter("epoch_blocks", 40))),
        ),
        (
            "fees are to be shared otherwise",
            ["ann"],
            a_transaction(own("ann"), ProposalSubmit(ShareFees(7_000, 1_000, 2_000))),
        ),
        (
            "a yes to a proposal",
            ["ben"],
            a_transaction(own("ben"), ProposalVote(sha256(b"it")[:20], yes=True)),
        ),
        ("two votes of one round", ["ben"], a_transaction(own("ben"), _two_votes())),
    ]


def _two_votes() -> EvidenceSubmit:
    signer = key("ann votes")
    messages = []
    for name in (blocks.NO_BLOCK, BlockId(sha256(b"block"))):
        bare = SignedMessage(
            blocks.PRECOMMIT, Height(7), Round(1), Round(-1), name, 5, Signature(bytes(64))
        )
        signature = signer.sign(bare.sign_bytes(CHAIN_ID))
        messages.append(msgspec.structs.replace(bare, signature=signature))
    return EvidenceSubmit(signer.public_key, messages[0], messages[1])


def _transaction_row(title: str, signers: list[str], tx: Transaction) -> Vectors:
    raw = sign(tx, [key(name) for name in signers])
    parsed = parse(raw)
    assert isinstance(parsed, Parsed), parsed
    return {
        "title": title,
        "seeds": [sha256(name.encode()).hex() for name in signers],
        "fields": hexed(msgspec.msgpack.decode(encode(tx))),
        "body": parsed.sign_bytes.removeprefix(b"aitbc/tx\0").hex(),
        "sigs": [{"key": sig.key.hex(), "sig": sig.sig.hex()} for sig in parsed.sigs],
        "raw": raw.hex(),
        "id": parsed.id.hex(),
    }


def messages() -> Vectors:
    """Show messages of accounts from fields to raw bytes."""
    to_all = Letter(
        chain_id=CHAIN_ID,
        sender=own("ann"),
        to=None,
        topic="prices.gpu-hour",
        correlation=b"",
        number=7,
        valid_until=Height(300),
        policy=policy(1, "ann"),
        content="12 für heute".encode(),
    )
    shared = policy(2, "ann", "ben", "cid")
    to_one = msgspec.structs.replace(
        to_all,
        sender=address_of(shared),
        to=own("dee"),
        topic="",
        correlation=bytes(range(16)),
        policy=None,
    )
    cases = ("on a topic", ["ann"], to_all), ("to an account, by two keys", ["cid", "ann"], to_one)
    return {"messages": [_message_row(title, signers, letter) for title, signers, letter in cases]}


def _message_row(title: str, signers: list[str], letter: Letter) -> Vectors:
    raw = sign_letter(letter, [key(name) for name in signers])
    sealed = read_letter(raw)
    assert isinstance(sealed, Sealed), sealed
    return {
        "title": title,
        "seeds": [sha256(name.encode()).hex() for name in signers],
        "fields": hexed(msgspec.msgpack.decode(encode(letter))),
        "raw": raw.hex(),
        "id": sealed.id.hex(),
    }


def hexed(value: Any) -> Any:
    """Write bytes as {"hex": ...}, so that fields can be shown as JSON."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    return [hexed(entry) for entry in value] if isinstance(value, list) else value


def a_genesis() -> genesis.Genesis:
    """Found the chain of the vectors."""
    return genesis.build(
        chain_id=CHAIN_ID,
        hrp=HRP,
        genesis_time_ms=1_760_000_000_000,
        validators=[
            genesis.GenesisValidator(
                own(name),
                key(f"{name} votes").public_key,
                Power(10),
                "eu",
                possession_proof(CHAIN_ID, own(name), key(f"{name} votes")),
            )
            for name in NAMES
        ],
        accounts=[
            genesis.GenesisAccount(own("ann"), policy(1, "ann"), (("AIT", Amount(5_000_000)),)),
            genesis.GenesisAccount(own("ben"), None, (("AIT", Amount(1)), ("mUSDA", Amount(2)))),
        ],
        assets=[genesis.GenesisAsset("mUSDA", "mock dollar", 6, own("dee"))],
        treasury=1_000,
    )


def founding() -> Vectors:
    """Show a genesis file, its canonical bytes and its hash."""
    founded = a_genesis()
    genesis.validate(founded)
    state = genesis.initial_state(founded)
    first = founded.validators[0]
    return {
        "file": json.loads(document.to_json(founded)),
        "bytes": encode(founded).hex(),
        "hash": founded.hash().hex(),
        "possession_message": possession_message(CHAIN_ID, first.operator).hex(),
        "params_hash": founded.params.digest().hex(),
        "validators_hash": founded.validator_set().digest().hex(),
        "state_root": state.root.hex(),
    }


def tree() -> Vectors:
    """Show a small tree with its nodes, and proofs of presence and absence."""
    names = ["ann", "ben", "cid", "dee", "eve"]
    pairs = {sha256(name.encode()): name.encode() for name in names}
    pairs[Hash(bytes([*sha256(b"ann")[:31], 0]))] = b"close to ann"
    made = trie.update(None, pairs)
    strangers = [sha256(b"nobody"), Hash(bytes([*sha256(b"ann")[:31], 1])), Hash(bytes(32))]
    proofs = []
    for path in (*pairs, *strangers):
        value = pairs.get(path)
        steps = [step.hex() for step in trie.prove(made, path)]
        row = {"path": path.hex(), "value": None if value is None else value.hex()}
        proofs.append({**row, "proof": steps})
    return {
        "pairs": [{"path": path.hex(), "value": value.hex()} for path, value in pairs.items()],
        "root": trie.root_hash(made).hex(),
        "empty_root": trie.EMPTY_ROOT.hex(),
        "proofs": [proofs[0], *proofs[-3:]],
    }


def state_objects() -> Vectors:
    """Show how objects of each kind are named and encoded, and prove one account."""
    state = genesis.initial_state(a_genesis())
    rows = []
    for kind_and_name, record in state.items():
        rows.append(
            {
                "kind": kind_and_name[0],
                "name": kind_and_name[1].hex(),
                "path": objects.path_of(kind_and_name).hex(),
                "value": encode(record).hex(),
            }
        )
    account = (objects.ACCOUNT, own("ann"))
    proof = [step.hex() for step in state.prove(account)]
    return {"objects": rows, "root": state.root.hex(), "proof_of_ann": proof}


def _first_block() -> tuple[State, blocks.Header, list[bytes], Execution]:
    founded = a_genesis()
    state = genesis.initial_state(founded)
    proposer = state.validators.proposer(Round(0)).key
    bodies = Transfer((Output(own("ben"), "AIT", Amount(3_000_000)),), "rent")
    raws = [
        sign(a_transaction(own("ann"), bodies), [key("ann")]),
        sign(a_transaction(own("ann"), bodies, nonce=1), [key("ann")]),
    ]
    txs = [entry for entry in map(parse, raws) if isinstance(entry, Parsed)]
    done = execute(state, BlockContext(Height(1), founded.genesis_time_ms, proposer), txs)
    assert isinstance(done, Execution), done
    header = blocks.Header(
        version=blocks.PROTOCOL_VERSION,
        chain_id=CHAIN_ID,
        height=Height(1),
        parent_id=blocks.NO_BLOCK,
        time_ms=founded.genesis_time_ms,
        proposer=proposer,
        tx_root=blocks.ids_root([tx.id for tx in txs]),
        tx_count=len(txs),
        state_root=done.state_root,
        receipts_root=done.receipts_root,
        last_commit_hash=blocks.certificate_hash(blocks.NO_COMMIT),
        validators_hash=state.validators.digest(),
        next_validators_hash=done.next_validators.digest(),
        params_hash=state.params.digest(),
        app_version=founded.app_version,
        evidence_root=blocks.ids_root([]),
    )
    return state, header, raws, done


def first_block() -> Vectors:
    """Show the first block of the genesis above, its receipts, votes and certificate."""
    state, header, raws, done = _first_block()
    name = blocks.block_id(header)
    votes = [
        _commit_vote(place, member.key, name)
        for place, member in enumerate(state.validators.members)
    ]
    certificate = blocks.Certificate(Height(1), Round(0), name, tuple(votes[:3]))
    return {
        "txs": [raw.hex() for raw in raws],
        "tx_ids": [blocks.tx_id(raw).hex() for raw in raws],
        "receipts": [_receipt_row(receipt) for receipt in done.receipts],
        "header": {
            field: hexed(getattr(header, field)) for field in type(header).__struct_fields__
        },
        "header_bytes": encode(header).hex(),
        "block_id": name.hex(),
        "proposal_sign_bytes": blocks.proposal_sign_bytes(
            CHAIN_ID, height=Height(1), round_=Round(0), valid_round=Round(-1), block_id=name
        ).hex(),
        "prevote_nil_sign_bytes": _vote_bytes(blocks.PREVOTE, blocks.NO_BLOCK, 0).hex(),
        "precommit_sign_bytes": _vote_bytes(blocks.PRECOMMIT, name, 1_760_000_000_500).hex(),
        "certificate_bytes": encode(certificate).hex(),
        "certificate_hash": blocks.certificate_hash(certificate).hex(),
        "validator_keys": [member.key.hex() for member in state.validators.members],
    }


def _vote_bytes(kind: int, name: BlockId, time_ms: int) -> bytes:
    return blocks.vote_sign_bytes(
        CHAIN_ID, kind, height=Height(1), round_=Round(0), block_id=name, time_ms=time_ms
    )


def _commit_vote(place: int, voter: PublicKey, name: BlockId) -> blocks.CommitVote:
    time_ms = 1_760_000_000_500 + place
    signer = next(key(f"{who} votes") for who in NAMES if key(f"{who} votes").public_key == voter)
    return blocks.CommitVote(
        place, time_ms, signer.sign(_vote_bytes(blocks.PRECOMMIT, name, time_ms))
    )


def _receipt_row(receipt: TxReceipt) -> Vectors:
    return {
        "id": TxId(receipt.id).hex(),
        "code": str(receipt.code),
        "gas_used": receipt.gas_used,
        "fee": receipt.fee,
        "events": [list(event) for event in receipt.events],
        "hash": receipt_hash(receipt).hex(),
    }


FILES: dict[str, Callable[[], Vectors]] = {
    "signatures.json": signatures,
    "weak_keys.json": weak_keys,
    "addresses.json": addresses,
    "transactions.json": transactions,
    "messages.json": messages,
    "genesis.json": founding,
    "tree.json": tree,
    "state.json": state_objects,
    "block.json": first_block,
}


def text_of(name: str) -> str:
    """Return what a vector file must contain."""
    return json.dumps(FILES[name](), indent=1, ensure_ascii=True) + "\n"


def with_vectors(text: str, contents: Callable[[str], str]) -> str:
    """Return the document with the copy behind each marker replaced."""

    def replaced(match: re.Match[str]) -> str:
        return f"{match[1]}{contents(match[2])}```"

    return re.sub(
        r"(<!-- vectors: ([a-z_]+\.json) -->\n```json\n).*?```", replaced, text, flags=re.DOTALL
    )


def parameters() -> str:
    """Return the table of all parameters."""
    rows = ["| name | default | bounds | unit | meaning |", "|---|---|---|---|---|"]
    for row in PARAMETERS:
        bounds = f"{row.low:,}..{row.high:,}"
        rows.append(f"| `{row.name}` | {row.default:,} | {bounds} | {row.unit} | {row.meaning} |")
    return "\n".join(rows)


def with_tables(text: str) -> str:
    """Return the document with its generated tables replaced."""
    tables = {"parameters": parameters(), "codes": ", ".join(f"`{code}`" for code in Code) + "."}
    for name, table in tables.items():
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(\n<!-- end of {name} -->)",
            lambda match, table=table: f"{match[1]}\n{table}\n{match[2]}",
            text,
            flags=re.DOTALL,
        )
    return text


def main() -> None:
    """Write all files and the document."""
    for name in FILES:
        (FOLDER / name).write_text(text_of(name))
    DOCUMENT.write_text(with_tables(with_vectors(DOCUMENT.read_text(), text_of)))


if __name__ == "__main__":
    main()
