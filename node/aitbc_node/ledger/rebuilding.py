"""How does a state come back from the bytes of its objects?

The bytes are whatever a file has: what is wrong with them is told, and the root of the state that
comes out is for the caller to compare. Do not add files or heights here.
"""

from collections.abc import Iterable, Mapping

from aitbc_node.canonical import NotCanonicalError, Record, decode
from aitbc_node.ledger import objects
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.state import State
from aitbc_node.validators import ValidatorSet

KINDS: Mapping[str, type[Record]] = {
    objects.ACCOUNT: objects.Account,
    objects.ASSET: objects.Asset,
    objects.POOL: objects.Pool,
    objects.CHAIN: objects.Chain,
    objects.FEES: objects.Fees,
    objects.PARAMS: Params,
    objects.VALIDATORS: ValidatorSet,
}


def rebuilt(rows: Iterable[tuple[str, bytes, bytes]]) -> State | str:
    """Return the state of these objects (kind, name, canonical bytes), or what is wrong."""
    contents: dict[objects.ObjectKey, Record] = {}
    for kind, name, raw in rows:
        record = KINDS.get(kind)
        if record is None:
            return f"an object of unknown kind {kind!r}"
        try:
            contents[kind, name] = decode(raw, record)
        except NotCanonicalError as error:
            return f"no {kind} that this build can read: {error}"
    return State(contents)
