"""What does each RPC answer look like, on the wire and to the client?

The server encodes these records, the toolkit's client decodes them, and the OpenAPI document is
made from them, so the three cannot drift apart. Amounts are decimal strings of base units, hashes
and keys lower-case hex, addresses bech32m, times RFC 3339 or `_ms` integers. Fields may be added,
never renamed. Do not add how an answer is found: `dispatch.py` does that.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from aitbc_node import limits

Digits = Annotated[str, Meta(pattern=r"^[0-9]+$", description="decimal, in base units")]
Hex = Annotated[str, Meta(pattern=r"^([0-9a-f]{2})*$", description="lower-case hex")]
AddressText = Annotated[str, Meta(description="bech32m with the network's prefix")]
Rfc3339 = Annotated[str, Meta(description="RFC 3339, UTC, milliseconds")]

TxStatus = Literal["pending", "committed", "rejected", "expired"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Be the body of a response; a client ignores fields that it does not know."""


class Fault(Answer, frozen=True, kw_only=True):
    """Say why a request was not answered: a stable code, the field at fault, what helps."""

    code: str
    message: str
    field: str = ""
    hint: str = ""
    request_id: str = ""


class ErrorAnswer(Answer, frozen=True, kw_only=True):
    """Carry a fault; a body holds either this or a result, never both."""

    error: Fault


class SignStateView(Answer, frozen=True, kw_only=True):
    """Show how far the node's key has signed."""

    height: int
    round: int
    step: int


class UpgradeView(Answer, frozen=True, kw_only=True):
    """Show from which height on the chain has other rules: nodes that lack them stop before it."""

    height: int
    app_version: int


class Status(Answer, frozen=True, kw_only=True):
    """Show one node at a glance.

    Units: `height` is the newest final block, `round` and `step` belong to the height above it;
    `block_age_ms` is by the node's own wall clock; `last_voted_height` is the newest height whose
    commit holds this node's precommit. Shape: `validator` is the consensus key, null on a full
    node; `trouble` says why the node signs nothing until an operator acts, empty when all is well.
    `app_version` is the chain's, `upgrade` what the validators plan for it, `app_version_max` the
    newest that this release knows; `data_version` is that of the files on this node's disk.
    """

    node: str
    role: str
    chain_id: str
    hrp: str
    genesis_hash: Hex
    version: str
    commit: str
    data_version: int
    height: int
    round: int
    step: str
    block_id: Hex
    block_time: Rfc3339
    block_age_ms: int
    state_root: Hex
    state_root_height: int
    validator: Hex | None
    power: int
    total_power: int
    reachable_power: int
    proposer: Hex
    last_voted_height: int
    syncing: bool
    stale: bool
    peers: int
    mempool: int
    sign_state: SignStateView | None
    trouble: str = ""
    app_version: int = 0
    upgrade: UpgradeView | None = None
    app_version_max: int = 0


class Health(Answer, frozen=True, kw_only=True):
    """Tell whether the node serves fresh answers; other states come as an error with status 503."""

    status: Literal["ok", "syncing"]
    height: int
    peers: int


class ValidatorView(Answer, frozen=True, kw_only=True):
    """Show one validator of a height; its priority is known for the next height only."""

    address: AddressText
    key: Hex
    power: int
    priority: int | None
    status: str
    proposer: bool


class Validators(Answer, frozen=True, kw_only=True):
    """List who may vote at a height."""

    height: int
    total_power: int
    validators: list[ValidatorView]


class CertificateView(Answer, frozen=True, kw_only=True):
    """Show who made a block final; `power` is null while the validators then are not known here."""

    round: int
    signers: list[Hex]
    power: int | None


class EvidenceView(Answer, frozen=True, kw_only=True):
    """Show what a block proves: a consensus key signed two different messages in one place."""

    key: Hex
    kind: Literal["proposal", "prevote", "precommit"]
    height: int
    round: int


class BlockView(Answer, frozen=True, kw_only=True):
    """Show one final block; `last_commit` is the certificate inside it, about the block before."""

    height: int
    id: Hex
    previous_id: Hex
    time: Rfc3339
    time_ms: int
    proposer: Hex
    round: int
    state_root: Hex
    receipts_root: Hex
    tx_count: int
    tx_ids: list[Hex]
    certificate: CertificateView
    last_commit: CertificateView
    evidence: list[EvidenceView] = []


class Blocks(Answer, frozen=True, kw_only=True):
    """List final blocks in ascending order."""

    height: int
    blocks: list[BlockView]


class TxView(Answer, frozen=True, kw_only=True):
    """Tell what became of a transaction; every status but `pending` is for good.

    Shape: `rejected` is in a block, has paid, and its body had no effect; `code` says why.
    """

    id: Hex
    status: TxStatus
    height: int | None = None
    index: int | None = None
    code: str = ""
    fee: Digits | None = None
    events: list[list[str]] = []


class Balance(Answer, frozen=True, kw_only=True):
    """Show one balance; available = balance - locked."""

    balance: Digits
    locked: Digits
    available: Digits


class PolicyView(Answer, frozen=True, kw_only=True):
    """Show who may sign for an account."""

    threshold: int
    keys: list[Hex]


class Proof(Answer, frozen=True, kw_only=True):
    """Prove an object against the state root of a height, as `docs/protocol.md` describes."""

    height: int
    state_root: Hex
    path: Hex
    nodes: list[Hex]


class AccountView(Answer, frozen=True, kw_only=True):
    """Show an account; one that nothing ever happened to has nonce 0 and owns nothing.

    Units: `nonce` counts the transactions in blocks, `next_nonce` those that wait here too.
    """

    address: AddressText
    height: int
    nonce: int
    next_nonce: int
    balances: dict[str, Balance]
    policy: PolicyView | None
    proof: Proof | None = None


class AssetFacts(Answer, frozen=True, kw_only=True):
    """Answer the four questions about a token, and no other."""

    name: str
    ticker: str
    decimals: int
    total_supply: Digits


class AssetView(Answer, frozen=True, kw_only=True):
    """Show an asset with its rules; `mint_max` is all that may ever be minted."""

    ticker: str
    height: int
    name: str
    decimals: int
    total_supply: Digits
    min_amount: Digits
    mint_authority: AddressText | None
    paused: bool
    mint_max: Digits = "0"
    minting_paused: bool = False
    proof: Proof | None = None


class RecordView(Answer, frozen=True, kw_only=True):
    """Show a record that somebody put on the ledger.

    Units: `expires` is the height at whose end it goes; `height` is the newest final block.
    """

    namespace: str
    key: Hex
    value: Hex
    owner: AddressText
    expires: int
    height: int
    proof: Proof | None = None


class StateRoot(Answer, frozen=True, kw_only=True):
    """Give the state root after one final block."""

    height: int
    state_root: Hex
    block_id: Hex


class ParamView(Answer, frozen=True, kw_only=True):
    """Show one chain parameter with its bounds."""

    value: int
    default: int
    unit: str
    low: int
    high: int
    meaning: str


class Parameters(Answer, frozen=True, kw_only=True):
    """List the chain parameters in force."""

    height: int
    params: dict[str, ParamView]


class SupplyView(Answer, frozen=True, kw_only=True):
    """Show how much of an asset there is: supply = minted - burned = held, or it is a bug."""

    decimals: int
    supply: Digits
    minted: Digits
    burned: Digits
    held: Annotated[str, Meta(description="decimal, what accounts and pools add up to")]


class SharesView(Answer, frozen=True, kw_only=True):
    """Show where the fees of the newest block went; tips are apart."""

    collected: Digits
    proposer: Digits
    treasury: Digits
    burned: Digits


class Economics(Answer, frozen=True, kw_only=True):
    """Show the money of the chain: assets, pools, stakes, the newest fees, the price of gas.

    Units: `bonded` stands behind validators, `unbonding` is on its way back from there, `accrued`
    was earned there and is not taken yet; `bonded_bps` is the part of the native supply.

    Shape: of more than a thousand assets the native one and some others are told.
    """

    height: int
    assets: dict[str, SupplyView]
    asset_count: int
    pools: dict[str, dict[str, Digits]]
    fees: SharesView
    price: int
    total_power: int
    conserved: bool
    bonded: Digits = "0"
    unbonding: Digits = "0"
    accrued: Digits = "0"
    bonded_bps: int = 0


class PeerRow(Answer, frozen=True, kw_only=True):
    """Show one live link. Units: `availability` is the share of pings answered, of 100.

    `speed` is what the link was measured to be: below 1, 50 or 500 Mbit/s, or above.
    """

    id: Hex
    address: str
    direction: Literal["in", "out"]
    rtt_ms: float | None
    availability: int | None = None
    score: int
    version: str
    speed: Literal["slow", "home", "gigabit", "fast"] | None = None


class Peers(Answer, frozen=True, kw_only=True):
    """List the live links of this node; `banned` tells who is, for how many milliseconds more."""

    id: Hex
    peers: list[PeerRow]
    banned: dict[str, int] = {}


class InvariantView(Answer, frozen=True, kw_only=True):
    """Judge one invariant; `held` is null when nothing was compared, and `detail` says why."""

    name: str
    title: str
    held: bool | None
    detail: str = ""


class AuditAnswer(Answer, frozen=True, kw_only=True):
    """Judge the ledger's invariants at a height; an empty `violations` is a pass.

    Units: `blocks_compared` counts the newest blocks, each judged when this node made it final; of
    those before its start only the state that they led to was judged.
    """

    height: int
    state_root: Hex
    supply: dict[str, Digits]
    violations: list[str]
    invariants: list[InvariantView] = []
    blocks_compared: int = 0


class TxResult(Answer, frozen=True, kw_only=True):
    """Tell what became of one submitted transaction; `code` is `ok` when the node holds it."""

    id: Hex
    status: TxStatus
    code: str = "ok"
    field: str = ""
    message: str = ""


class Accepted(Answer, frozen=True, kw_only=True):
    """Tell that a single transaction is held, or was before."""

    id: Hex
    status: TxStatus


class BatchResult(Answer, frozen=True, kw_only=True):
    """Tell what became of each transaction of a batch, in its order."""

    results: list[TxResult]


class RefusedRow(Answer, frozen=True, kw_only=True):
    """Tell why one transaction of a batch was not taken; `index` is its place in the batch."""

    index: int
    id: Hex
    code: str
    field: str = ""
    message: str = ""


class BriefResult(Answer, frozen=True, kw_only=True):
    """Tell a batch in short: how many the node holds, or knows the end of, and all the others."""

    taken: int
    refused: list[RefusedRow]


class DrainAnswer(Answer, frozen=True, kw_only=True):
    """Tell how well a node may be stopped now; it lets its turns pass from here on.

    Units: `next_turn_in` is how many blocks others propose first, null when no own turn is known.
    `in_time` is false when the deadline came before a better moment.
    """

    height: int
    next_turn_in: int | None
    in_time: bool


class FinalizeAnswer(Answer, frozen=True, kw_only=True):
    """Tell which data version the node writes now."""

    data_version: int


class PeersSoughtAnswer(Answer, frozen=True, kw_only=True):
    """Tell how many peers were asked or dialled, how many are linked, and how many are known."""

    sought: int
    linked: int
    known: int


class NextKeyAnswer(Answer, frozen=True, kw_only=True):
    """Tell the public part of the key that is to vote next, and that the node holds it."""

    key: str
    proof: str
    operator: str
    made: bool


class SnapshotAnswer(Answer, frozen=True, kw_only=True):
    """Tell which state has been kept beside the log, and how large it is."""

    height: int
    bytes_written: int


class SubmitRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hand in one transaction as `raw`, or several as `txs`; bytes travel as base64."""

    raw: bytes | None = None
    txs: Annotated[list[bytes], Meta(min_length=1, max_length=limits.RPC_BATCH_TXS_MAX)] | None = (
        None
    )


def rfc3339(time_ms: int) -> Rfc3339:
    """Write Unix milliseconds as people read them; the calendar is Gregorian.

    Source: H. Hinnant, "chrono-compatible low-level date algorithms" (days to civil date).
    """
    seconds, millis = divmod(time_ms, 1000)
    days, second = divmod(seconds, 86_400)
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9  # noqa: PLR2004 - March is 0
    year = era * 400 + year_of_era + (month <= 2)  # noqa: PLR2004 - the shifted year ends in February
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{millis:03}"
    return f"{year:04}-{month:02}-{day:02}T{clock}Z"
