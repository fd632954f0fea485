"""The state tree: one root per set of pairs, and proofs that say presence or absence."""

import hashlib
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitbc_node.ledger import trie
from aitbc_node.types import Hash

# Paths that share long prefixes are what hashing makes rare; the tests make them common.
NIBBLES = st.lists(st.sampled_from([0, 1, 15]), min_size=3, max_size=3)
PATHS = NIBBLES.map(lambda nibbles: bytes([nibbles[0] << 4 | nibbles[1]] * 16 + [nibbles[2]] * 16))
PAIRS = st.dictionaries(PATHS | st.binary(min_size=32, max_size=32), st.binary(max_size=40))


def by_definition(pairs: Mapping[bytes, bytes]) -> bytes:
    """Compute a root from the definition alone, on strings of nibbles, without any tree."""
    rows = sorted((path.hex(), path, value) for path, value in pairs.items())
    if not rows:
        return hashlib.sha256(b"aitbc/empty\0").digest()
    if len(rows) == 1:
        _, path, value = rows[0]
        return hashlib.sha256(b"aitbc/leaf\0" + path + value).digest()
    first, last = rows[0][0], rows[-1][0]
    depth = next(place for place in range(64) if first[place] != last[place])
    below = {
        nibble: {path: value for text, path, value in rows if text[depth] == nibble}
        for nibble in "0123456789abcdef"
    }
    present = [nibble for nibble, pairs_below in below.items() if pairs_below]
    bitmap = sum(1 << int(nibble, 16) for nibble in present)
    prefix = bytes.fromhex(first[:depth] + ("0" if depth % 2 else ""))
    children = b"".join(by_definition(below[nibble]) for nibble in present)
    head = b"aitbc/branch\0" + bytes([depth]) + prefix + bitmap.to_bytes(2, "big")
    return hashlib.sha256(head + children).digest()


def root_of(pairs: Mapping[bytes, bytes]) -> Hash:
    """Build a tree in one step."""
    return trie.root_hash(trie.update(None, pairs))


@given(pairs=PAIRS)
def test_the_root_is_what_the_definition_says(pairs: dict[bytes, bytes]) -> None:
    """The tree and an independent computation from the set agree."""
    assert root_of(pairs) == by_definition(pairs)


@given(pairs=PAIRS, order=st.randoms(use_true_random=False))
def test_the_root_does_not_depend_on_the_order_of_changes(
    pairs: dict[bytes, bytes], order: object
) -> None:
    """One by one, in any order, or all at once: the same root."""
    paths = list(pairs)
    order.shuffle(paths)
    tree = None
    for path in paths:
        tree = trie.update(tree, {path: pairs[path]})

    assert trie.root_hash(tree) == root_of(pairs)


@given(before=PAIRS, changes=st.dictionaries(PATHS, st.none() | st.binary(max_size=9)))
@settings(max_examples=300)
def test_an_updated_tree_is_the_tree_of_the_updated_set(
    before: dict[bytes, bytes], changes: dict[bytes, bytes | None]
) -> None:
    """Setting, replacing and removing leave no trace of what was there before."""
    after = {**before, **changes}
    expected = {path: value for path, value in after.items() if value is not None}

    tree = trie.update(trie.update(None, before), changes)

    assert trie.root_hash(tree) == by_definition(expected)
    assert {leaf.path: leaf.value for leaf in trie.leaves(tree)} == expected


@given(before=PAIRS, changes=PAIRS)
def test_the_tree_before_stays_as_it_was(
    before: dict[bytes, bytes], changes: dict[bytes, bytes]
) -> None:
    """A candidate block shares the tree of its parent and never changes it."""
    tree = trie.update(None, before)

    trie.update(tree, changes)

    assert {leaf.path: leaf.value for leaf in trie.leaves(tree)} == before
    assert trie.root_hash(tree) == by_definition(before)


@given(pairs=PAIRS, other=PATHS)
def test_every_pair_and_every_absence_is_proved(pairs: dict[bytes, bytes], other: bytes) -> None:
    """A proof of any path gives exactly what the set holds there."""
    tree = trie.update(None, pairs)
    root = trie.root_hash(tree)

    for path in (*pairs, other):
        assert trie.find(tree, path) == pairs.get(path)
        assert trie.verify(root, path, trie.prove(tree, path)) == pairs.get(path)


@given(pairs=PAIRS.filter(len), other=PATHS, data=st.data())
@settings(max_examples=300)
def test_a_changed_proof_never_proves_something_else(
    pairs: dict[bytes, bytes], other: bytes, data: st.DataObject
) -> None:
    """Whatever is done to the proof's bytes, it is refused or still says the truth."""
    tree = trie.update(None, pairs)
    root = trie.root_hash(tree)
    path = data.draw(st.sampled_from([*pairs, other]))
    proof = list(trie.prove(tree, path))
    place = data.draw(st.integers(0, len(proof) - 1))
    match data.draw(st.sampled_from(["flip", "drop", "repeat", "foreign"])):
        case "flip":
            node = bytearray(proof[place])
            node[data.draw(st.integers(0, len(node) - 1))] ^= data.draw(st.integers(1, 255))
            proof[place] = bytes(node)
        case "drop":
            del proof[place]
        case "repeat":
            proof.insert(place, proof[place])
        case "foreign":
            proof[place:] = trie.prove(tree, data.draw(st.sampled_from(list(pairs))))[place:]

    try:
        proved = trie.verify(root, path, proof)
    except trie.ProofError:
        return
    assert proved == pairs.get(path)


def test_a_path_that_leaves_inside_a_prefix_is_proved_absent() -> None:
    """The branch that the path leaves is shown, though it has a child for the path's nibble."""
    pairs = {b"\xab" * 31 + bytes([last]): b"value" for last in (0x00, 0x10)}
    tree = trie.update(None, pairs)
    stranger = b"\xab" * 30 + b"\xac\x10"

    proof = trie.prove(tree, stranger)

    assert len(proof) == 1
    assert trie.verify(trie.root_hash(tree), stranger, proof) is None
    with pytest.raises(trie.ProofError):
        trie.verify(trie.root_hash(tree), next(iter(pairs)), proof)


def test_the_empty_tree_proves_every_absence_without_a_node() -> None:
    """There is nothing to show, and nothing else passes for it."""
    path = bytes(32)

    assert trie.prove(None, path) == ()
    assert trie.verify(trie.EMPTY_ROOT, path, ()) is None
    with pytest.raises(trie.ProofError):
        trie.verify(trie.EMPTY_ROOT, path, (trie.LEAF_TAG + path,))


@pytest.mark.parametrize(
    "node",
    [
        b"",
        b"aitbc/branch\0",
        b"aitbc/branch\0" + bytes([64]) + bytes(34),
        b"aitbc/branch\0" + bytes([0]) + b"\0\1" + bytes(32),
        b"aitbc/branch\0" + bytes([0]) + b"\0\3" + bytes(63),
        b"aitbc/leaf\0" + bytes(31),
    ],
)
def test_bytes_that_are_no_node_are_refused(node: bytes) -> None:
    """A root that is the hash of nonsense proves nothing."""
    with pytest.raises(trie.ProofError):
        trie.verify(Hash(hashlib.sha256(node).digest()), bytes(32), (node,))


def test_a_leaf_and_a_branch_never_share_bytes() -> None:
    """Different tags: a branch cannot pass for a leaf whose value was chosen to look like it."""
    assert not trie.LEAF_TAG.startswith(trie.BRANCH_TAG)
    assert not trie.BRANCH_TAG.startswith(trie.LEAF_TAG)
