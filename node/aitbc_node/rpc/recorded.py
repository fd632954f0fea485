"""What does a node say of the small facts that `record.put` keeps on the ledger?

Answered from the state after the newest final block, as long as a record's time is not over. What a
value means is between who wrote it and who reads it.
"""

from typing import get_args

from aitbc_node import bech32
from aitbc_node.codes import Code
from aitbc_node.ledger import records
from aitbc_node.rpc import schema
from aitbc_node.rpc.call import Call, read_address, read_bytes
from aitbc_node.rpc.holdings import proved
from aitbc_node.rpc.view import RequestFault
from aitbc_node.types import Address

NAMESPACES: tuple[str, ...] = get_args(records.Namespace)


def record(call: Call) -> schema.RecordView:
    """Answer `GET /state/records/<namespace>/<key>`."""
    namespace = call.params["namespace"]
    if namespace not in NAMESPACES:
        message = f"no namespace {namespace[:40]!r}"
        hint = f"there are {', '.join(NAMESPACES)}"
        raise RequestFault(400, Code.E_BAD_REQUEST, message, field="namespace", hint=hint)
    key = read_bytes(call.params["key"], field="key", most=records.KEY_BYTES_MAX)
    place = records.record_key(namespace, key, _owner(call, namespace, key))
    found = records.living(call.view.state.record(place[1]), call.view.height)
    if found is None:
        message = "there is no such record, or its time is over"
        raise RequestFault(404, Code.E_NOT_FOUND, message, field="key")
    return schema.RecordView(
        namespace=found.ns,
        key=found.key.hex(),
        value=found.value.hex(),
        owner=bech32.address_text(call.view.state.chain.hrp, found.owner),
        expires=found.expires,
        height=call.view.height,
        proof=proved(call, place),
    )


def _owner(call: Call, namespace: str, key: bytes) -> Address:
    """Read whose key is meant; of one that all share, nobody's."""
    if not records.is_shared(namespace, key):
        return read_address(call, option="owner")
    if call.option("owner") is not None:
        message = "that key has one owner, whom the answer tells"
        raise RequestFault(400, Code.E_BAD_REQUEST, message, field="owner")
    return Address(b"")
