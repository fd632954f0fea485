"""Which stable codes name every refusal, for receipts, RPC answers and load reports alike.

A refusal is a value, not an exception. Codes are part of the receipts, so their texts never change;
new ones are added at the end of their group. Do not add rules here.
"""

from enum import StrEnum

import msgspec


class Code(StrEnum):
    """Name one outcome of a transaction or request; `ok` is the only good one."""

    OK = "ok"

    # A transaction that no block may hold.
    E_MALFORMED = "malformed"
    E_SIZE = "size"
    E_CHAIN = "wrong-chain"
    E_EXPIRED = "expired"
    E_TOO_FAR = "valid-until-too-far"
    E_POLICY = "policy"
    E_SIGNATURE = "signature"
    E_NONCE = "nonce"
    E_FEE = "fee"
    E_INSUFFICIENT = "insufficient"
    E_BLOCK_FULL = "block-full"

    # A transaction whose body failed: it is in a block and has paid.
    E_UNAUTHORISED = "unauthorised"
    E_ASSET = "unknown-asset"
    E_MINIMUM = "below-minimum"
    E_PAUSED = "paused"
    E_AMOUNT = "amount"
    E_UNKNOWN = "unknown-object"
    E_TAKEN = "name-taken"
    E_STATE = "wrong-state"
    E_LIMIT = "limit"
    E_KEY_TAKEN = "key-taken"
    E_PUNISHED = "punished"

    # A node that does not take a good transaction now.
    E_DUPLICATE = "duplicate"
    E_QUEUE_FULL = "account-queue-full"
    E_POOL_FULL = "mempool-full"
    E_NO_QUORUM = "no-quorum"

    # A request that is not a transaction.
    E_NOT_FOUND = "not-found"
    E_BAD_REQUEST = "bad-request"
    E_RATE = "rate-limited"
    E_UNAVAILABLE = "unavailable"
    E_OPERATOR = "operators-only"
    E_CONFLICT = "conflict"


class Refusal(msgspec.Struct, frozen=True):
    """Say why something was not taken: a stable code, the field at fault, and a sentence."""

    code: Code
    field: str
    message: str
