"""How large, how many and how long anything may be: every bound and default in one place.

Relations between bounds are asserted beside them. Do not read configuration here.
"""

KIB = 1024
MIB = 1024 * KIB

INT_MAX = 2**63 - 1

# Transactions.
TX_BYTES_MAX = 64 * KIB
TX_OUTPUTS_MAX = 256
TX_BODIES_MAX = 16
TX_SIGNATURES_MAX = 16
MEMO_BYTES_MAX = 256
TICKER_CHARS_MAX = 12
CHAIN_ID_CHARS_MAX = 48
POLICY_KEYS_MAX = 16

# Blocks. `max_block_txs` is a chain parameter within these bounds.
BLOCK_TXS_DEFAULT = 2_000
BLOCK_TXS_MAX = 10_000
BLOCK_BYTES_MAX = 8 * MIB
VALIDATORS_MAX = 100
VOTING_TIMES_MAX = 8
"""Spans of heights that are remembered of a consensus key, for evidence."""
EVIDENCE_COUNT_MAX = 4
"""Offences that one block shows by itself."""
EVIDENCE_BYTES_MAX = 512
EVIDENCE_KEPT_MAX = 64
"""Offences that a node keeps until a block shows them."""

# Frames between peers.
FRAME_BYTES_MAX = 16 * MIB
TX_BATCH_COUNT_MAX = 512
TX_BATCH_BYTES_MAX = 512 * KIB
CATCH_UP_BLOCKS_MAX = 64
LINKS_MAX = 256
"""Changes of the voters that a node remembers, to prove a kept state to others."""
PIECE_BYTES = 512 * KIB
PIECES_MAX = 4_096
"""A kept state that is larger travels to nobody: 2 GiB."""
OFFER_BYTES_MAX = 8 * MIB
PEERS_MAX = 50
CULPRITS_MAX = 1_000
"""Peers whose faults a node remembers."""
BAN_BYTES_MAX = 64
OUTBOUND_TARGET = 6
OUTBOUND_MAX = 8
DEGREE_MIN = 3
"""Links that a node has at least, as soon as there are so many others."""
SUBNET_LINKS_MAX = 16
"""Links of strangers from one network."""
PEER_RECORDS_MAX = 16
"""Peer records in one message."""
PEERS_OWED_MAX = 4
"""Messages with records that a peer may send, as often as it was asked."""
PEERS_KEPT_MAX = 256
"""Peer records in the file that survives a restart."""
PEER_RECORD_BYTES_MAX = 512
PEER_QUEUE_BYTES_MAX = 32 * MIB
ALL_QUEUES_BYTES_MAX = 4 * PEER_QUEUE_BYTES_MAX
PEER_QUEUE_LETTERS_BYTES_MAX = MIB
"""Of what waits for one peer so much may be messages of accounts; further ones are left out."""
PEER_FRAMES_PER_S = 1_000
PEER_FRAMES_BURST = 10_000
"""Frames of one peer; after a pause of this process those of some seconds come at once."""
PING_MS = 500
DEAD_AFTER_MS = 2_000
REDIAL_BASE_MS = 200
REDIAL_CAP_MS = 2_000

# Consensus; the defaults of the lab. A round adds `delta`, up to `cap`.
BLOCK_INTERVAL_MS = 500
PROPOSE_TIMEOUT_MS = 1_000
VOTE_TIMEOUT_MS = 1_000
TIMEOUT_DELTA_MS = 500
TIMEOUT_CAP_MS = 4_000
RETRANSMIT_MS = 1_000
ROUND_MAX = 10_000
CLOCK_SKEW_MS_MAX = 10_000
"""A wall clock further from the other voters' median than this is worth a note."""

# Mempool.
MEMPOOL_TXS_MAX = 10_000
MEMPOOL_PER_ACCOUNT_MAX = 64
MEMPOOL_BYTES_MAX = 64 * MIB
TX_TTL_BLOCKS_DEFAULT = 300
VALID_UNTIL_AHEAD_MAX = 100_000

# Messages of accounts, which are on no block; in code they are letters.
LETTER_BYTES_MAX = 32 * KIB
LETTER_TOPIC_CHARS_MAX = 64
LETTER_CORRELATION_BYTES_MAX = 32
LETTER_BLOCKS_MAX = 600
"""How far ahead a letter may say that it ends: five minutes of the lab's blocks."""
LETTERS_COUNT_MAX = 64
LETTERS_BYTES_MAX = 256 * KIB
"""Of one message between peers."""
LETTERS_SEEN_MAX = 32_768
"""Letters that have not ended and are remembered, so that none is heard twice."""
LETTERS_PER_ACCOUNT_MAX = 1_024
LETTERS_PER_ACCOUNT_CROWDED_MAX = 64
"""Of one account while more than half of what may be remembered is."""
LETTER_CHECKS_MAX = 1_024
"""Signatures of letters that are being judged."""
LETTERS_CHECKED_PER_ACCOUNT_MAX = 200
"""Letters of one account whose signatures are being judged."""
LETTER_UNIT_BYTES = 4 * KIB
"""A letter counts once in the rates for each so many bytes that it begins."""
LETTER_ACCOUNT_RATE = 20
LETTER_GOAL_RATE = 100
"""A second, on one topic or to one account."""
LETTERS_RATE = 500
LETTERS_BURST_S = 5
LETTERS_PEER_BYTES_RATE = 4 * LETTERS_RATE * LETTER_UNIT_BYTES
"""Bytes a second that a peer may pass on, known ones as well; more of them are not even read."""
LETTERS_KEPT_MAX = 512
LETTERS_KEPT_BYTES_MAX = MIB
"""Letters to accounts that a new peer is told of."""
LETTERS_TOLD_BURST = 2 * LETTERS_KEPT_BYTES_MAX
LETTERS_TOLD_RATE = LETTERS_KEPT_BYTES_MAX // 60
"""Bytes of them that one peer is told at once, and a second, however often its link comes up."""
LETTERS_TOLD_BYTES = 64 * KIB
"""Of letters in one message that leaves, so that no vote stands behind many of them."""
LETTERS_BACKLOG = 1_024
LETTERS_BACKLOG_BYTES_MAX = 8 * MIB
"""Of letters on topics, and as much of letters to accounts, that listeners may have missed."""

# RPC.
RPC_BODY_BYTES_MAX = 8 * MIB
RPC_BATCH_TXS_MAX = 1_000
RPC_ASSETS_MAX = 1_000
RPC_ROWS_MAX = 1_000
RPC_PROPOSALS_MAX = 100
RPC_RATE = 2_000
RPC_BURST = 4_000
ACCOUNT_RATE = 200
ACCOUNT_BURST_S = 5
EVENT_STREAMS_MAX = 10_000
EVENT_BACKLOG = 1_024

# The operator's interface.
DRAIN_MS_MAX = 600_000
ADMIN_BODY_BYTES_MAX = 64 * KIB

# A block must fit into one frame with its header and certificate, or it could never travel.
assert BLOCK_BYTES_MAX + MIB <= FRAME_BYTES_MAX
assert OFFER_BYTES_MAX + PIECE_BYTES <= FRAME_BYTES_MAX
# A transaction of the greatest size must still fit into one batch.
assert TX_BYTES_MAX <= TX_BATCH_BYTES_MAX
# Who has all the links that it looks for is left with enough when some of them go.
assert DEGREE_MIN < OUTBOUND_TARGET < OUTBOUND_MAX < PEERS_MAX
# Messages of accounts never fill the queues of all, or a loud client would cost others their links.
assert PEERS_MAX * PEER_QUEUE_LETTERS_BYTES_MAX <= ALL_QUEUES_BYTES_MAX // 2
# A peer that answers every other ping is alive.
assert DEAD_AFTER_MS >= 2 * PING_MS
# A client may hand in the largest body at once, or it never could.
assert RPC_BODY_BYTES_MAX // 2_048 < RPC_BURST + RPC_RATE * 60
# A letter of the greatest size must still fit into one message.
assert LETTER_BYTES_MAX <= LETTERS_BYTES_MAX
# What one account says at once may be under way, and is remembered.
assert LETTER_ACCOUNT_RATE * LETTERS_BURST_S < LETTERS_PER_ACCOUNT_MAX < LETTERS_SEEN_MAX
# Hundreds of accounts, not some dozens, are needed to fill the second half of what is remembered.
assert LETTERS_PER_ACCOUNT_CROWDED_MAX * 256 <= LETTERS_SEEN_MAX // 2
# What a peer may pass on of one account at once can be judged at once.
assert 2 * LETTER_ACCOUNT_RATE * LETTERS_BURST_S <= LETTERS_CHECKED_PER_ACCOUNT_MAX
# A peer that is behind when its link comes up is told all twice.
assert LETTERS_TOLD_BURST >= 2 * LETTERS_KEPT_BYTES_MAX
assert LETTER_BYTES_MAX <= LETTERS_TOLD_BYTES <= LETTERS_BYTES_MAX
# The largest letter is no more than an account may say in a second.
assert LETTER_BYTES_MAX <= LETTER_ACCOUNT_RATE * LETTER_UNIT_BYTES
# What a new peer is told at once is within what it takes of one mailbox.
_KEPT_UNITS = LETTERS_KEPT_MAX + LETTERS_KEPT_BYTES_MAX // LETTER_UNIT_BYTES
assert _KEPT_UNITS <= 2 * LETTER_GOAL_RATE * LETTERS_BURST_S
# What a peer takes of its peers, at twice the rates of clients, it may pass on with room to spare.
assert LETTERS_PEER_BYTES_RATE >= 2 * (LETTERS_RATE * LETTER_UNIT_BYTES + LETTERS_KEPT_BYTES_MAX)
assert TIMEOUT_CAP_MS >= PROPOSE_TIMEOUT_MS + TIMEOUT_DELTA_MS
assert BLOCK_TXS_DEFAULT <= BLOCK_TXS_MAX
