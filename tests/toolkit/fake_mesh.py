"""A mesh that is one small program: four ports, one chain, and on request one of its bugs.

Run as a program with one argument in JSON: {nodes, interval_ms, bug, strict, blind, brief, freeze:
[first, every, for], capacity}, the last in transactions a second. It prints its ports. It believes
every signature, unless it is strict, and reads no transaction where it is blind: what it is for is
to be watched. Where `brief` is false it knows no short answers, as older nodes. Each bug is one
that real meshes had.
"""

import asyncio
import hashlib
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any

import msgspec

from aitbc_node import bech32, crypto
from aitbc_node.blocks import tx_id
from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger.policy import address_of, check_signers
from aitbc_node.ledger.transactions import Parsed, parse, signature_checks
from aitbc_node.ledger.transfers import Transfer

HRP = "aitt"
CHAIN_ID = "aitbc-fake-1"
BUGS = ("loses", "forks", "twice", "mints", "skips", "prints", "makes")
"""Told final and in no block; another block on one node; in two blocks; money; a nonce; money for
somebody else; the same, and says that it was made."""
DEAF = "deaf"
"""The first node tells nothing to who listens there, and leaves them connected."""
WAVERS = "wavers"
"""One node tells other blocks three times, to who asks for one only, and never again."""
HOSTILE_BUGS = ("believes", "swallows", "both", "gaps", "replays", "overcharges")
"""Of a strict one: takes any signature; takes junk; both of one nonce; what is behind a gap; the
same again; takes more than its receipts say."""
FEE = 21
FUNDS = 10**12
SUPPLY = 10**18
_AFTER = 20  # of ours
_WAITING_MAX = 64


@dataclass
class Block:
    """Be one height as all nodes but a forked one hold it."""

    height: int
    time_ms: int
    ids: list[str]

    def id(self, salt: str) -> str:
        """Name it."""
        text = f"{self.height} {self.ids} {salt}"
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Mesh:
    """Be the chain and whoever listens to it."""

    bug: str
    interval_ms: int
    is_strict: bool = False
    is_blind: bool = False
    is_brief: bool = True
    blocks: list[Block] = field(default_factory=list)
    unread: dict[str, bytes] = field(default_factory=dict)
    pending: dict[str, Parsed] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    nonces: Counter[str] = field(default_factory=Counter)
    units: Counter[str] = field(default_factory=Counter)
    funded: set[str] = field(default_factory=set)
    policies: set[str] = field(default_factory=set)
    capacity: float = 1e9
    rest: float = 0.0
    listeners: list[asyncio.Transport] = field(default_factory=list)
    brief: list[asyncio.Transport] = field(default_factory=list)
    deaf: list[asyncio.Transport] = field(default_factory=list)
    waiting: Counter[bytes] = field(default_factory=Counter)
    is_bug_done: bool = False
    fees: int = 0
    printed: int = 0
    made: int = 0
    wavered: int = 0

    def add(self, raw: bytes) -> dict[str, Any]:
        """Take one transaction; it is read when there is time, so that the answer takes none."""
        name = tx_id(raw).hex()
        is_known = name in self.done or name in self.pending or name in self.unread
        if is_known and not (self.bug == "replays" and name in self.done):
            return {"id": name, "status": "pending", "code": "ok"}
        if self.is_strict and (code := self._judged(raw, name)) != Code.OK:
            status = "pending" if self.bug == "swallows" else "rejected"
            return {"id": name, "status": status, "code": "ok" if status == "pending" else code}
        self.unread[name] = raw
        return {"id": name, "status": "pending", "code": "ok"}

    def _judged(self, raw: bytes, name: str) -> str:
        """Say why a transaction may not wait here; the few rules that attackers try."""
        parsed = parse(raw)
        if isinstance(parsed, Refusal):
            return parsed.code
        tx, sender = parsed.tx, parsed.tx.sender
        expected = self.nonces[sender.hex()]
        if tx.chain_id != CHAIN_ID:
            return Code.E_CHAIN
        if tx.valid_until > len(self.blocks) + 100_000:
            return Code.E_TOO_FAR
        if tx.gas_limit < FEE:
            return Code.E_FEE
        if self.bug != "believes" and not _is_signed(parsed):
            return Code.E_SIGNATURE
        if name not in self.done and not expected <= tx.nonce < expected + _WAITING_MAX:
            return Code.E_NONCE
        if self.waiting[sender] >= _WAITING_MAX:
            return Code.E_QUEUE_FULL
        self.waiting[sender] += 1
        return Code.OK

    def make_block(self) -> None:
        """Make all that waits in order final."""
        block = Block(len(self.blocks) + 1, time.time_ns() // 1_000_000, [])
        told = self._take_unread(block) if self.is_blind else self._take(block)
        if self._has_bug("twice") and self.blocks:
            block.ids += next((before.ids[:1] for before in self.blocks if before.ids), [])
        self.blocks.append(block)
        self._publish("block", {"height": block.height}, [*self.listeners, *self.brief])
        if self.listeners:
            self._publish("tx", {"height": block.height, "txs": told}, self.listeners)
        if self.brief:
            self._publish("tx", {"height": block.height, "runs": runs_of(told)}, self.brief)
        for wire in self.deaf:
            wire.write(b"e\r\n: still here\n\n\r\n")

    def _take_unread(self, block: Block) -> list[dict[str, Any]]:
        """Make final whatever was handed in; return what is told of it."""
        block.ids += self.unread
        self.done.update(dict.fromkeys(self.unread, block.height))
        self.unread.clear()
        return [{"id": name, "status": "committed", "code": "ok"} for name in block.ids]

    def _take(self, block: Block) -> list[dict[str, Any]]:
        """Make final what a block has room for; return what is told of it."""
        told: list[dict[str, Any]] = []
        for name, raw in self.unread.items():
            parsed = parse(raw)
            assert not isinstance(parsed, Refusal), "the swarm hands in what can be read"
            self.pending[name] = parsed
        self.unread.clear()
        waiting = sorted(self.pending.items(), key=lambda row: (row[1].tx.sender, row[1].tx.nonce))
        room = self._room(block)
        for name, parsed in waiting:
            if len(told) >= room:
                break
            if not self._is_next(name, parsed):
                continue
            del self.pending[name]
            self.waiting[parsed.tx.sender] -= 1
            self.done[name] = block.height
            self._apply(parsed)
            told.append({"id": name, "status": "committed", "code": "ok"})
            if not self._has_bug("loses"):
                block.ids.append(name)
            if self._has_bug("skips"):
                self.nonces[parsed.tx.sender.hex()] += 1
        return told

    def _room(self, block: Block) -> int:
        """Say how many fit into a block, by the time since the last one."""
        before_ms = self.blocks[-1].time_ms if self.blocks else block.time_ms
        self.rest += self.capacity * (block.time_ms - before_ms) / 1000
        room = int(self.rest)
        self.rest -= room  # what is too little for a transaction is kept for the next block
        return room

    def _is_next(self, name: str, parsed: Parsed) -> bool:
        """Tell whether a block takes one now; what another one has overtaken is dropped."""
        ahead = parsed.tx.nonce - self.nonces[parsed.tx.sender.hex()]
        if ahead < 0 and self.bug not in {"both", "replays"}:
            del self.pending[name]
            self.waiting[parsed.tx.sender] -= 1
            return False
        return ahead <= 0 or self.bug == "gaps"

    def _apply(self, parsed: Parsed) -> None:
        sender = parsed.tx.sender.hex()
        self.nonces[sender] += 1
        self.fees += FEE
        self.printed += self._has_bug("prints")
        self.made += self._has_bug("makes")
        self.units[sender] -= FEE + (self.bug == "overcharges")
        self.policies.add(sender)
        for body in parsed.tx.bodies:
            assert isinstance(body, Transfer)
            for out in body.outs:
                self.units[sender] -= out.amount
                self.units[out.to.hex()] += out.amount + self._has_bug("mints")

    def _has_bug(self, name: str) -> bool:
        """Do it once, when a run is under way."""
        if self.bug != name or self.is_bug_done or len(self.done) < _AFTER:
            return False
        self.is_bug_done = True
        return True

    def _publish(self, name: str, data: dict[str, Any], listeners: list[asyncio.Transport]) -> None:
        text = f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
        for wire in listeners:
            wire.write(f"{len(text):x}\r\n".encode() + text + b"\r\n")

    def answer(self, node: int, path: str) -> tuple[int, object]:
        """Answer one read."""
        route, _, query = path.partition("?")
        parts = route.strip("/").split("/")
        match parts:
            case ["status"]:
                return 200, _status(node, len(self.blocks))
            case ["blocks"]:
                options = dict(each.split("=") for each in query.split("&"))
                first = int(options["from"])
                page = self.blocks[first - 1 : first - 1 + int(options["count"])]
                rows = [self._view(node, block) for block in page]
                if self.bug == WAVERS and node == 3 and len(page) == 1 and self.wavered < 3:
                    self.wavered += 1
                    rows[0]["id"] = page[0].id("other")
                return 200, {"height": len(self.blocks), "blocks": rows}
            case ["tx", name] if name in self.done:
                height = self.done[name]
                return 200, {"id": name, "status": "committed", "height": height, "fee": str(FEE)}
            case ["state", "accounts", address]:
                return 200, self._account(address)
            case ["economics"]:
                return 200, self._economics()
            case _:
                return 404, {"error": {"code": "not-found", "message": "no"}}

    def _account(self, address: str) -> dict[str, Any]:
        name = bech32.parse_address(address, hrp=HRP).hex()
        owned = FUNDS * (name in self.funded) + self.units[name]
        units = str(max(0, owned))  # no node tells what is less than nothing
        policy = {"threshold": 1, "keys": ["00"]} if name in self.policies else None
        return {
            "address": address,
            "height": len(self.blocks),
            "nonce": self.nonces[name],
            "next_nonce": self.nonces[name],
            "balances": {"AIT": {"balance": units, "locked": "0", "available": units}},
            "policy": policy,
        }

    def _economics(self) -> dict[str, Any]:
        minted = SUPPLY + self.made
        held = minted + self.fees + self.printed + self.units.total()
        asset = {"supply": minted, "minted": minted, "burned": 0, "held": held}
        shares = ("collected", "proposer", "treasury", "burned")
        return {
            "height": len(self.blocks),
            "assets": {"AIT": {"decimals": 6, **{key: str(row) for key, row in asset.items()}}},
            "asset_count": 1,
            "pools": {},
            "fees": dict.fromkeys(shares, "0"),
            "price": 1,
            "total_power": 4,
            "conserved": True,
            "bonded_bps": 0,
        }

    def _view(self, node: int, block: Block) -> dict[str, Any]:
        is_forked = self.bug == "forks" and node == 3 and len(self.done) > _AFTER
        certificate = {"round": 0, "signers": [], "power": 4}
        return {
            "height": block.height,
            "id": block.id("fork" if is_forked else ""),
            "previous_id": "",
            "time": "",
            "time_ms": block.time_ms,
            "proposer": "",
            "round": 0,
            "state_root": "",
            "receipts_root": "",
            "tx_count": len(block.ids),
            "tx_ids": block.ids,
            "certificate": certificate,
            "last_commit": certificate,
        }


def brief_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Tell a batch in short, as nodes do."""
    odd = [{"index": at, **row} for at, row in enumerate(rows) if row["code"] != Code.OK]
    return {"taken": len(rows) - len(odd), "refused": odd}


def runs_of(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tell fates in short, as nodes do."""
    groups = groupby(told, key=lambda row: (row["status"], row["code"]))
    return [
        {"status": status, "code": code, "ids": "".join(row["id"] for row in rows)}
        for (status, code), rows in groups
    ]


def _is_signed(parsed: Parsed) -> bool:
    """Judge policy and signatures as the ledger does, where policies never change."""
    policy = parsed.tx.policy
    if policy is not None and address_of(policy) != parsed.tx.sender:
        return False
    if policy is not None and check_signers(policy, parsed.keys) is not None:
        return False
    return all(crypto.verify(*msgspec.structs.astuple(each)) for each in signature_checks(parsed))


def _status(node: int, height: int) -> dict[str, Any]:
    texts = ("chain_id", "genesis_hash", "version", "commit", "step", "block_id", "block_time")
    counts = ("data_version", "round", "block_age_ms", "state_root_height", "peers", "mempool")
    return {
        **dict.fromkeys((*texts, "state_root", "proposer"), ""),
        **dict.fromkeys((*counts, "last_voted_height"), 0),
        "power": 1,
        "total_power": 4,
        "reachable_power": 4,
        "node": f"v{node + 1}",
        "role": "validator",
        "hrp": HRP,
        "height": height,
        "validator": "",
        "syncing": False,
        "stale": False,
        "sign_state": None,
    }


class Client(asyncio.Protocol):
    """Be one connection of a client; a protocol, because streams cost more than the answers."""

    def __init__(self, mesh: Mesh, node: int) -> None:
        self._mesh = mesh
        self._node = node
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where answers go."""
        assert isinstance(transport, asyncio.Transport)
        self._wire = transport

    def data_received(self, data: bytes) -> None:
        """Answer what is whole."""
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end].decode()
            size = int(head.partition("Content-Length:")[2].partition("\r\n")[0] or 0)
            until = end + 4 + size
            if len(self._data) < until:
                return
            body, self._data = self._data[end + 4 : until], self._data[until:]
            self._answer(head, body)

    def _answer(self, head: str, body: bytes) -> None:
        method, path, _ = head.split(" ", 2)
        is_brief = self._mesh.is_brief and "\r\nPrefer: return=minimal" in head
        told: object
        if path.startswith("/events"):
            self._wire.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            self._wire.write(b"9\r\n: hello\n\n\r\n")
            is_deaf = self._mesh.bug == DEAF and not self._node
            hearers = self._mesh.brief if is_brief else self._mesh.listeners
            (self._mesh.deaf if is_deaf else hearers).append(self._wire)
            return
        if path == "/fund":
            self._mesh.funded |= set(json.loads(body))
            status, told = 200, {}
        elif method == "POST":
            raws = msgspec.msgpack.decode(body, type=list[bytes])
            rows = [self._mesh.add(raw) for raw in raws]
            status, told = 202, brief_of(rows) if is_brief else {"results": rows}
        else:
            status, told = self._mesh.answer(self._node, path)
        text = msgspec.json.encode(told)
        lines = f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\n\r\n"
        self._wire.write(lines.encode() + text)


async def _freeze(first_s: float, every_s: float, for_s: float) -> None:
    """Stand still as a whole, on and on."""
    at_s = time.monotonic() + first_s
    while True:
        await asyncio.sleep(max(0.0, at_s - time.monotonic()))
        time.sleep(max(0.0, at_s + for_s - time.monotonic()))  # noqa: ASYNC251 - the point
        at_s += every_s


async def main(options: dict[str, Any]) -> None:
    """Serve until the process is ended."""
    mesh = Mesh(
        options.get("bug", ""),
        options.get("interval_ms", 200),
        is_strict=options.get("strict", False),
        is_blind=options.get("blind", False),
        is_brief=options.get("brief", True),
    )
    mesh.capacity = options.get("capacity", mesh.capacity)
    ports = []
    loop = asyncio.get_running_loop()
    for node in range(options.get("nodes", 4)):
        make = partial(Client, mesh, node)
        server = await loop.create_server(make, "127.0.0.1", 0, backlog=4_096)
        ports.append(server.sockets[0].getsockname()[1])
    sys.stdout.write(json.dumps({"ports": ports}) + "\n")
    sys.stdout.flush()
    tasks = [asyncio.create_task(_freeze(*options["freeze"]))] if "freeze" in options else []
    while True:
        await asyncio.sleep(mesh.interval_ms / 1000)
        mesh.make_block()
        assert not any(each.done() for each in tasks)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
