"""Be a peer that means harm, as a process of its own.

`rogue_peer.py ADDRESS PEER GENESIS`: dials with a fresh key, again and again until the input ends,
and sends votes that nobody signed. Each link, and each end or refusal of one, is a line.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from aitbc_node import keyfiles
from aitbc_node.blocks import PRECOMMIT
from aitbc_node.canonical import encode
from aitbc_node.consensus.messages import Vote
from aitbc_node.events import Event, FrameReceived, PeerDown, PeerUp
from aitbc_node.gossip.messages import Status, VotesSent, decode_message
from aitbc_node.startup import load_genesis
from aitbc_node.transport.handshake import Identity
from aitbc_node.transport.links import Links, Terms
from aitbc_node.transport.tls import acceptor_context, certificate, dialer_context
from aitbc_node.types import BlockId, Height, PeerId, Round, Signature

REDIAL_S = 0.2


class Rogue:
    """Hold the one link."""

    def __init__(self, address: str, peer: str) -> None:
        self.links: Links
        self._address, self._peer = address, PeerId(bytes.fromhex(peer))

    def take(self, event: Event) -> None:
        """Take what the link reports."""
        match event:
            case PeerUp():
                _say("up")
            case PeerDown(reason=reason):
                _say(f"down {reason}")
                asyncio.get_running_loop().call_later(REDIAL_S, self.dial)
            case FrameReceived(payload=payload):
                message = decode_message(payload)
                if isinstance(message, Status):
                    self._forge(Height(message.height + 1))

    def dial(self) -> None:
        """Try to get in."""
        self.links.dial(self._peer, self._address)

    def _forge(self, height: Height) -> None:
        vote = Vote(PRECOMMIT, height, Round(0), BlockId(bytes(32)), 5, 0, Signature(bytes(64)))
        self.links.send([self._peer], encode(VotesSent((encode(vote),))))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _terms(folder: Path, genesis_file: Path) -> Terms:
    key_file, shown = folder / keyfiles.NODE_KEY, folder / "node.crt"
    keyfiles.make_key(key_file)
    shown.write_bytes(certificate(keyfiles.load_private_key(key_file)))
    genesis = load_genesis(genesis_file)
    signer = keyfiles.load_signer(key_file)
    identity = Identity(genesis.chain_id, genesis.hash(), signer, "0.1.0")
    return Terms(
        identity=identity,
        acceptor_context=acceptor_context(key_file, shown),
        dialer_context=dialer_context(),
    )


async def main() -> None:
    """Attack one node."""
    address, peer, genesis = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        rogue = Rogue(address, peer)
        terms = _terms(Path(folder), Path(genesis))
        rogue.links = Links(terms, feed=rogue.take, wall_ms=lambda: 0)
        try:
            rogue.dial()
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        finally:
            await rogue.links.close()


if __name__ == "__main__":
    asyncio.run(main())
