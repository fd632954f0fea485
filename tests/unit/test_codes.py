"""Codes: stable names that receipts hash and clients compare."""

from aitbc_node.codes import Code

# A name may be added at the end of its group; none of these ever changes.
NAMES = {
    "OK": "ok",
    "E_MALFORMED": "malformed",
    "E_SIZE": "size",
    "E_CHAIN": "wrong-chain",
    "E_EXPIRED": "expired",
    "E_TOO_FAR": "valid-until-too-far",
    "E_POLICY": "policy",
    "E_SIGNATURE": "signature",
    "E_NONCE": "nonce",
    "E_FEE": "fee",
    "E_INSUFFICIENT": "insufficient",
    "E_BLOCK_FULL": "block-full",
    "E_UNAUTHORISED": "unauthorised",
    "E_ASSET": "unknown-asset",
    "E_MINIMUM": "below-minimum",
    "E_PAUSED": "paused",
    "E_AMOUNT": "amount",
    "E_UNKNOWN": "unknown-object",
    "E_TAKEN": "name-taken",
    "E_STATE": "wrong-state",
    "E_LIMIT": "limit",
    "E_KEY_TAKEN": "key-taken",
    "E_PUNISHED": "punished",
    "E_DUPLICATE": "duplicate",
    "E_QUEUE_FULL": "account-queue-full",
    "E_POOL_FULL": "mempool-full",
    "E_NO_QUORUM": "no-quorum",
    "E_NOT_FOUND": "not-found",
    "E_BAD_REQUEST": "bad-request",
    "E_RATE": "rate-limited",
    "E_UNAVAILABLE": "unavailable",
    "E_OPERATOR": "operators-only",
    "E_CONFLICT": "conflict",
}


def test_codes_are_never_renamed() -> None:
    """A renamed code would change the hash of old receipts and break every client."""
    assert NAMES.items() <= {code.name: code.value for code in Code}.items()


def test_no_two_failures_share_a_code() -> None:
    """Load reports count each kind of failure apart."""
    assert len({code.value for code in Code}) == len(Code.__members__)
