"""How a set of (path, value) pairs becomes one 32-byte root, and how one pair is proved.

A persistent, path-compressed Merkle tree of radix 16 over 32-byte paths. A tree shares what did
not change with the tree before, so a candidate block costs only what it touches, and undoing it
is forgetting it. The shape follows from the set alone, never from the order of changes. Paths are
hashes, so that nobody can make one branch deep or wide. Do not add records of the ledger here.

Shape: a node is hashed by SHA-256 over its bytes:
leaf   = "aitbc/leaf" 00, path (32), value
branch = "aitbc/branch" 00, depth (1), prefix (ceil(depth / 2)), bitmap (2), child hashes (32 each)
`depth` counts the nibbles, 0..63, that all paths below share; `prefix` holds them, high nibble
first, an odd one padded with zero; bit n of the big-endian bitmap stands for nibble n at `depth`;
child hashes ascend by nibble, at least two. The empty tree's root is SHA-256("aitbc/empty" 00).
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TypeAlias

import msgspec

from aitbc_node.types import Hash

PATH_BYTES = 32
HASH_BYTES = 32
RADIX = 16
PATH_NIBBLES = 2 * PATH_BYTES

LEAF_TAG = b"aitbc/leaf\0"
BRANCH_TAG = b"aitbc/branch\0"
EMPTY_ROOT = Hash(hashlib.sha256(b"aitbc/empty\0").digest())

_NO_CHILDREN = (None,) * RADIX
_ALL_CHILDREN = (1 << RADIX) - 1


class ProofError(ValueError):
    """A proof does not fit its root or path, so it says nothing about the state."""


# Nodes form no cycles; without the collector's bookkeeping a large tree costs no pauses.
class Leaf(msgspec.Struct, frozen=True, gc=False):
    """Hold one value under its full path."""

    path: bytes
    value: bytes
    hash: Hash

    def to_bytes(self) -> bytes:
        """Return what is hashed."""
        return LEAF_TAG + self.path + self.value


class Branch(msgspec.Struct, frozen=True, gc=False):
    """Split paths that agree up to `depth`. Shape: `start` is the prefix padded to 32 bytes."""

    depth: int
    start: bytes
    children: tuple["Leaf | Branch | None", ...]
    hash: Hash

    def to_bytes(self) -> bytes:
        """Return what is hashed."""
        return _branch_bytes(self.depth, self.start, self.children)


Node: TypeAlias = Leaf | Branch
Change: TypeAlias = tuple[bytes, bytes | None]


def root_hash(node: Node | None) -> Hash:
    """Return the root of a tree; `None` is the empty one."""
    return EMPTY_ROOT if node is None else node.hash


def update(node: Node | None, changes: Mapping[bytes, bytes | None]) -> Node | None:
    """Return the tree with these values set, or removed where the value is None."""
    # By path alone: the pairs would be compared as pairs, which takes twice as long.
    return _merge(node, sorted(changes.items(), key=itemgetter(0)), known=0) if changes else node


def find(node: Node | None, path: bytes) -> bytes | None:
    """Return the value under a path."""
    while isinstance(node, Branch):
        node = node.children[_nibble(path, node.depth)]
    return node.value if node is not None and node.path == path else None


def leaves(node: Node | None) -> Iterator[Leaf]:
    """Walk all leaves in ascending order of path."""
    waiting = [node]
    while waiting:
        match waiting.pop():
            case Branch(children=children):
                waiting.extend(reversed(children))
            case Leaf() as leaf:
                yield leaf
            case None:
                pass


def prove(node: Node | None, path: bytes) -> tuple[bytes, ...]:
    """Return the bytes of the nodes from the root towards a path, as far as they go."""
    steps = []
    while isinstance(node, Branch):
        steps.append(node.to_bytes())
        if _shared_nibbles(path, node.start) < node.depth:
            return tuple(steps)
        node = node.children[_nibble(path, node.depth)]
    if node is not None:
        steps.append(node.to_bytes())
    return tuple(steps)


def verify(root: Hash, path: bytes, proof: Sequence[bytes]) -> bytes | None:
    """Return the value that a proof shows under a path, or None when it shows there is none.

    Raises: ProofError when the proof is not one of this root and path.
    """
    if not proof and root == EMPTY_ROOT:
        return None
    wanted: bytes | None = root
    for step in proof:
        if wanted is None or hashlib.sha256(step).digest() != wanted:
            raise ProofError("a node does not have the hash that leads to it")
        if step.startswith(LEAF_TAG):
            return _leaf_claim(step, path, last=step is proof[-1])
        depth, prefix, children = _read_branch(step)
        if not _starts_with(path, prefix, depth):
            wanted = None
            continue
        wanted = children.get(_nibble(path, depth))
    if not proof or wanted is not None:
        raise ProofError("the proof ends before the path does")
    return None


def _merge(node: Node | None, changes: list[Change], *, known: int) -> Node | None:
    """Apply changes, ascending by path and not empty, to one node.

    `known` counts the nibbles that the way here has shown all paths to share.
    """
    if node is None:
        return _build(changes)
    if isinstance(node, Leaf):
        if len(changes) == 1 and changes[0][0] == node.path:  # an account that is there already
            value = changes[0][1]
            return None if value is None else _leaf(node.path, value)
        if all(path != node.path for path, _ in changes):
            changes = sorted([*changes, (node.path, node.value)])
        return _build(changes)
    shared = node.depth
    if shared > known:
        first, last = changes[0][0], changes[-1][0]
        leaving = min(_shared_nibbles(first, node.start), _shared_nibbles(last, node.start))
        shared = min(shared, leaving)
    if shared == node.depth:
        start = node.start
        children = list(node.children)
    else:  # some paths leave before this branch: it becomes a child of a new one
        start = _masked(node.start, shared)
        children = list(_NO_CHILDREN)
        children[_nibble(node.start, shared)] = node
    for nibble, group in _groups(changes, shared):
        children[nibble] = _merge(children[nibble], group, known=shared + 1)
    return _branch(shared, start, children)


def _build(changes: list[Change]) -> Node | None:
    """Make a tree of values, ascending by path; removals find nothing here."""
    values = [change for change in changes if change[1] is not None]
    if not values:
        return None
    if len(values) == 1:
        path, value = values[0]
        assert value is not None
        return _leaf(path, value)
    depth = _shared_nibbles(values[0][0], values[-1][0])
    children: list[Node | None] = list(_NO_CHILDREN)
    for nibble, group in _groups(values, depth):
        children[nibble] = _build(group)
    return _branch(depth, _masked(values[0][0], depth), children)


def _leaf(path: bytes, value: bytes) -> Leaf:
    return Leaf(path, value, Hash(hashlib.sha256(LEAF_TAG + path + value).digest()))


def _groups(changes: list[Change], depth: int) -> Iterator[tuple[int, list[Change]]]:
    """Divide changes, ascending by path, by their nibble at a depth."""
    byte, shift = depth >> 1, 0 if depth & 1 else 4
    nibbles = [path[byte] >> shift & 15 for path, _ in changes]
    start, count = 0, len(nibbles)
    while start < count:
        nibble = nibbles[start]
        end = bisect_right(nibbles, nibble, start)
        yield nibble, changes[start:end]
        start = end


def _branch(depth: int, start: bytes, children: list[Node | None]) -> Node | None:
    """Make a branch, or what stands in its place when fewer than two children are left."""
    present = [child for child in children if child is not None]
    if not present:
        return None
    if len(present) == 1:
        return present[0]
    made = tuple(children)
    digest = hashlib.sha256(_branch_bytes(depth, start, made)).digest()
    return Branch(depth, start, made, Hash(digest))


def _branch_bytes(depth: int, start: bytes, children: Sequence[Node | None]) -> bytes:
    hashes = [child.hash for child in children if child is not None]
    if len(hashes) == RADIX:  # near the root all are
        bitmap = _ALL_CHILDREN
    else:
        bitmap = sum([1 << nibble for nibble, child in enumerate(children) if child is not None])
    head = (BRANCH_TAG, bytes((depth,)), start[: (depth + 1) // 2], bitmap.to_bytes(2, "big"))
    return b"".join((*head, *hashes))


def _leaf_claim(step: bytes, path: bytes, *, last: bool) -> bytes | None:
    body = step[len(LEAF_TAG) :]
    if not last or len(body) < PATH_BYTES:
        raise ProofError("a leaf is cut short or not the last node")
    return body[PATH_BYTES:] if body[:PATH_BYTES] == path else None


def _read_branch(step: bytes) -> tuple[int, bytes, dict[int, bytes]]:
    body = step.removeprefix(BRANCH_TAG)
    if len(body) == len(step) or not body or body[0] >= PATH_NIBBLES:
        raise ProofError("a node is neither a leaf nor a branch")
    depth = body[0]
    prefix_end = 1 + (depth + 1) // 2
    bitmap = int.from_bytes(body[prefix_end : prefix_end + 2], "big")
    present = [nibble for nibble in range(RADIX) if bitmap >> nibble & 1]
    hashes = body[prefix_end + 2 :]
    if len(present) < 2 or len(hashes) != HASH_BYTES * len(present):  # noqa: PLR2004 - two sides
        raise ProofError("a branch does not have the children that its bitmap tells")
    places = range(0, len(hashes), HASH_BYTES)
    children = (hashes[place : place + HASH_BYTES] for place in places)
    return depth, body[1:prefix_end], dict(zip(present, children, strict=True))


def _nibble(path: bytes, place: int) -> int:
    byte = path[place >> 1]
    return byte & 15 if place & 1 else byte >> 4


def _shared_nibbles(left: bytes, right: bytes) -> int:
    """Count the leading nibbles that two 32-byte paths have in common."""
    differing = int.from_bytes(left, "big") ^ int.from_bytes(right, "big")
    return PATH_NIBBLES - (differing.bit_length() + 3) // 4


def _masked(path: bytes, depth: int) -> bytes:
    spare_bits = 8 * PATH_BYTES - 4 * depth
    return (int.from_bytes(path, "big") >> spare_bits << spare_bits).to_bytes(PATH_BYTES, "big")


def _starts_with(path: bytes, prefix: bytes, depth: int) -> bool:
    return _masked(path, depth)[: len(prefix)] == prefix
