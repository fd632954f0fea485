"""How does a node get another key by which the others know it? All of it in its key folder.

The next key is made beside the present one, and both sign that it takes the place. An operator's
key, of this node or of any other, pays for telling the ledger. When that is final the files change
places, and the node that starts behind it is known by the new key. No key is ever removed. Do not
add consensus keys: `succession.py`.
"""

from pathlib import Path
from typing import Any

import msgspec

from aitbc_node import keyfiles
from aitbc_node.crypto import SigningKey, peer_id
from aitbc_node.errors import ConfigError, UsageError
from aitbc_node.ledger.records import ended_by
from aitbc_node.ledger.revoking import replacement
from aitbc_node.succession import Words, sign_as_operator
from aitbc_node.types import PublicKey


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask for the next key on a chain; `running` is by which id the node is known now."""

    chain_id: str
    running: str


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Say whose key is to be the node's: the id of the next one."""

    peer_id: str


class Replacement(Words, frozen=True, kw_only=True):
    """Say what a node key, `key`, has said about its end."""

    key: str
    said: str


def offer(folder: Path, wish: Wish) -> dict[str, Any]:
    """Make the next key, or find it, and let both sign; only what is public is told.

    A node that runs by another key than the folder's has to be started anew before all else: then
    there is no next key.
    """
    present = keyfiles.load_signer(folder / keyfiles.NODE_KEY)
    told = {"peer_id": _name(present), "node_key": present.public_key.hex()}
    if told["peer_id"] != wish.running:
        return {**told, "next_peer_id": ""}
    made = keyfiles.make_key(folder / keyfiles.NEXT_NODE_KEY)
    following = keyfiles.load_signer(folder / keyfiles.NEXT_NODE_KEY)
    return {
        **told,
        "next_peer_id": _name(following),
        "next_key": following.public_key.hex(),
        "said": replacement(wish.chain_id, present, following).hex(),
        "made": made,
    }


def take(folder: Path, choice: Choice) -> dict[str, Any]:
    """Let the next key be the node's from its next start on; once is as good as twice.

    Raises: ConfigError when the key here is another one.
    """
    if _name(keyfiles.load_signer(folder / keyfiles.NODE_KEY)) == choice.peer_id:
        return {"taken": False}
    path = folder / keyfiles.NEXT_NODE_KEY
    if _name(keyfiles.load_signer(path)) != choice.peer_id:
        raise ConfigError(f"{path} is not the key of {choice.peer_id}", hint="ls -l " + str(folder))
    keyfiles.replace_node_key(folder)
    return {"taken": True}


def sign(folder: Path, words: Replacement) -> dict[str, Any]:
    """Sign, with the operator's key, a transaction that tells of a node key's end, and no other."""
    put = ended_by(PublicKey(bytes.fromhex(words.key)), bytes.fromhex(words.said))
    hint = "a validator whose host has its operator's key pays: aitbc keys rotate --node-key"
    return {"transaction": sign_as_operator(folder, words, put, hint=hint).hex()}


def act(what: str, folder: Path, document: bytes) -> dict[str, Any]:
    """Do one of the three with what standard input says.

    Raises: UsageError when that says something else.
    """
    try:
        match what:
            case "offer":
                return offer(folder, msgspec.json.decode(document, type=Wish))
            case "take":
                return take(folder, msgspec.json.decode(document, type=Choice))
            case _:
                return sign(folder, msgspec.json.decode(document, type=Replacement))
    except msgspec.DecodeError as wrong:
        raise UsageError(f"standard input: {wrong}", hint="see --help") from wrong


def _name(signer: SigningKey) -> str:
    return peer_id(signer.public_key).hex()
