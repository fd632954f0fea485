"""How does a state come back from the bytes of its objects?

The bytes are whatever a file has: what is wrong with them is told, and the root of the state that
comes out is for the caller to compare. Do not add files or heights here.
"""

from collections.abc import Iterable, Mapping
from itertools import islice

from aitbc_node.canonical import NotCanonicalError, Record, decode, encode
from aitbc_node.ledger import objects, trie
from aitbc_node.ledger.due import Agenda
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.state import State
from aitbc_node.validators import ValidatorSet

PORTION = 10_000

KINDS: Mapping[str, type[Record]] = {
    objects.ACCOUNT: objects.Account,
    objects.ASSET: objects.Asset,
    objects.POOL: objects.Pool,
    objects.CHAIN: objects.Chain,
    objects.FEES: objects.Fees,
    objects.PARAMS: Params,
    objects.VALIDATORS: ValidatorSet,
    objects.RECORD: objects.StoredRecord,
    objects.AGENDA: Agenda,
    objects.VALIDATOR: objects.Membership,
    objects.STAKE: objects.Stake,
    objects.UNBONDING: objects.Unbonding,
    objects.ROSTER: objects.Roster,
    objects.KEY_USE: objects.KeyUse,
    objects.OFFENCE: objects.Offence,
    objects.EPOCH: objects.EpochLog,
    objects.PROPOSAL: objects.Proposal,
    objects.DECIDED: objects.Decided,
    objects.ABSENCE: objects.Absence,
    objects.UPGRADE: objects.Upgrade,
}


def rebuilt(rows: Iterable[tuple[str, bytes, bytes]]) -> State | str:
    """Return the state of these objects (kind, name, canonical bytes), or what is wrong."""
    state, waiting = State({}), iter(rows)
    try:
        # In portions, so that whoever hands out the rows is asked again and again on a long way.
        while portion := _decoded(islice(waiting, PORTION)):
            encoded = {objects.path_of(key): encode(value) for key, value in portion.items()}
            state.adopt(portion, trie.update(state.tree, encoded))
    except (NotCanonicalError, UnicodeDecodeError) as error:  # the latter for an asset's name
        return f"an object that this build cannot read: {error}"
    state.tally.begin()
    return state


def _decoded(rows: Iterable[tuple[str, bytes, bytes]]) -> dict[objects.ObjectKey, Record]:
    contents: dict[objects.ObjectKey, Record] = {}
    for kind, name, raw in rows:
        record = KINDS.get(kind)
        if record is None:
            raise NotCanonicalError(f"of unknown kind {kind!r}")
        contents[kind, name] = decode(raw, record)
    return contents
