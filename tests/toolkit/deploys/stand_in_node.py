"""Play a node for the deployer's tests: the same command line and RPC, no consensus.

It is copied into a small project as `aitbc_node/__main__.py` and deployed from there. Every
stand-in works the height out from the wall clock, so they agree without talking. What a commit does
wrong is said by the file `behaviour` beside it.
"""

import hashlib
import json
import signal
import sys
import time
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

HERE = Path(__file__).parent
BEHAVIOUR = (HERE / "behaviour").read_text().strip()


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def option(name: str) -> str:
    """Find the value of an option."""
    return sys.argv[sys.argv.index(name) + 1]


def init() -> None:
    """Print the public parts of this node's keys."""
    folder = Path(option("--key-dir"))
    identities = json.loads((HERE / "identities.json").read_text())
    (folder / "consensus.key").touch(mode=0o600)
    say(json.dumps(identities[folder.name]))


class Chain:
    def __init__(self, config: dict[str, Any]) -> None:
        genesis = json.loads(Path(config["node"]["genesis"]).read_text())
        self.config = config
        self.interval_ms: int = config["consensus"]["block_interval_ms"]
        self.start_ms: int = genesis["genesis_time_ms"]
        self.began = time.monotonic()
        self.keys = [entry["key"] for entry in genesis["validators"]]
        identities = json.loads((HERE / "identities.json").read_text())
        self.own = identities[config["node"]["id"]]["consensus_key"]

    def height(self) -> int:
        return max(0, int(time.time_ns() // 1_000_000 - self.start_ms) // self.interval_ms)

    def is_silent(self) -> bool:
        """Tell whether this build does not vote: never, or no more after a while."""
        tired = BEHAVIOUR == "tires" and time.monotonic() - self.began > 5.0
        touched = Path(self.config["node"]["data_dir"]) / "silent_with"
        with_build = touched.read_text() if touched.is_file() else ""
        return BEHAVIOUR == "mute" or tired or with_build in {"any", self.config["node"]["commit"]}

    def root(self, height: int) -> str:
        text = f"{height}{self.own if BEHAVIOUR == 'root' else ''}"
        return hashlib.sha256(text.encode()).hexdigest()

    def block(self, height: int) -> dict[str, Any]:
        certificate = {"round": 0, "signers": self.keys, "power": len(self.keys)}
        return {
            "height": height,
            "id": self.root(height),
            "previous_id": "",
            "time": "",
            "time_ms": self.start_ms + height * self.interval_ms,
            "proposer": self.keys[height % len(self.keys)],
            "round": 0,
            "state_root": self.root(height),
            "receipts_root": "",
            "tx_count": 0,
            "tx_ids": [],
            "certificate": certificate,
            "last_commit": certificate,
        }

    def status(self) -> dict[str, Any]:
        height = self.height()
        return {
            "node": self.config["node"]["id"],
            "role": self.config["node"]["role"],
            "chain_id": "",
            "hrp": "",
            "genesis_hash": "",
            "version": "",
            "commit": self.config["node"]["commit"],
            "data_version": 1,
            "height": height,
            "round": 0,
            "step": "propose",
            "block_id": "",
            "block_time": "",
            "block_age_ms": 0,
            "state_root": self.root(height),
            "state_root_height": height,
            "validator": self.own,
            "power": 1,
            "total_power": len(self.keys),
            "reachable_power": len(self.keys),
            "proposer": self.keys[0],
            "last_voted_height": 0 if self.is_silent() else max(0, height - 1),
            "syncing": False,
            "stale": False,
            "peers": 3,
            "mempool": 0,
            "sign_state": None,
        }

    def validators(self) -> dict[str, Any]:
        """Tell who may vote: each with power 1, unless a test has moved power since the genesis."""
        moved = Path(self.config["node"]["data_dir"]) / "powers.json"
        powers = json.loads(moved.read_text()) if moved.is_file() else dict.fromkeys(self.keys, 1)
        shown = {"address": "", "priority": None, "status": "active", "proposer": False}
        rows = [{**shown, "key": key, "power": power} for key, power in powers.items()]
        total = sum(powers.values())
        return {"height": self.height() + 1, "total_power": total, "validators": rows}

    def metrics(self) -> str:
        """Tell a little less than a node does."""
        hot = int(BEHAVIOUR == "hot")
        return f"aitbc_height {self.height()}\naitbc_disk_failed {hot}\n"

    def answer(self, path: str) -> dict[str, Any]:
        url = urlsplit(path)
        if url.path == "/validators":
            return self.validators()
        options = {name: int(values[0]) for name, values in parse_qs(url.query).items()}
        if url.path == "/status":
            return self.status()
        if url.path == "/state_root":
            height = options["height"]
            return {"height": height, "state_root": self.root(height), "block_id": ""}
        options.setdefault("from", self.height() - options["count"] + 1)
        first, last = options["from"], min(self.height(), options["from"] + options["count"] - 1)
        blocks = [self.block(height) for height in range(first, last + 1)]
        return {"height": self.height(), "blocks": blocks}


def run() -> None:
    """Serve until told to stop."""
    config = tomllib.loads(Path(option("--config")).read_text())
    if BEHAVIOUR == "crash":
        say("stand-in: this build cannot start")
        sys.exit(1)
    if BEHAVIOUR == "silent":
        sys.exit(1)
    if (Path(config["node"]["data_dir"]) / "damaged").exists():
        say("stand-in: these data cannot be read")
        sys.exit(1)
    chain = Chain(config)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/metrics":
                body = chain.metrics().encode()
            else:
                body = json.dumps(chain.answer(self.path)).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    host, _, port = config["rpc"]["listen"].rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), Handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    say("stand-in: listening")
    server.serve_forever()


if __name__ == "__main__":
    # It cannot be tried beside another build, as a release from before there was such a thing.
    {"init": init, "run": run}.get(sys.argv[1], lambda: sys.exit(64))()
