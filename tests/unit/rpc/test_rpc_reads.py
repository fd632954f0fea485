"""What the node answers to reads."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from aitbc_node import bech32, limits
from aitbc_node.events import SignState
from aitbc_node.ledger import objects, trie
from aitbc_node.rpc import schema
from aitbc_node.tipping import TipPrices
from aitbc_node.types import Amount, BlockId, Height, PeerId, Power, Round, Signature, TxId


def holder_of(node: Any) -> str:
    """Write the address of the one funded account."""
    (address, _account), *_ = node.state.accounts()
    return bech32.address_text("aitd", address)


def test_status_shows_tip_and_own_votes(node: Any) -> None:
    """The status names the chain, the tip, its root, and how far the own key has signed."""
    node.sign_state = SignState(
        Height(4),
        Round(1),
        2,
        b"",
        Signature(b""),
        Round(-1),
        BlockId(b""),
        Round(-1),
        BlockId(b""),
    )

    told = msgspec.json.decode(node.ask("/status").body, type=schema.Status)

    assert (told.node, told.chain_id, told.height, told.step) == ("v1", "aitbc-dev-1", 3, "propose")
    assert told.state_root == node.state.root.hex()
    assert told.state_root_height == 3
    assert told.block_id == node.finals[-1].certificate.block_id.hex()
    assert told.block_time == "2023-11-14T22:13:23.000Z"
    assert told.block_age_ms == 500
    assert (told.power, told.total_power, told.last_voted_height) == (1, 4, 2)
    assert told.sign_state == schema.SignStateView(height=4, round=1, step=2)
    assert told.stale is False


def test_status_of_a_node_before_the_first_block(node: Any) -> None:
    """Before the first block there is a root, but no block id and no age."""
    node.finals.clear()

    told = node.read("/status")

    assert (told["height"], told["block_id"], told["block_age_ms"]) == (0, "", 0)
    assert told["state_root"] == node.state.root.hex()


def test_reads_of_a_minority_are_marked_stale(node: Any) -> None:
    """A node without a quorum answers, but says that the mesh may be ahead of it."""
    assert ("x-stale", "1") not in node.ask("/status").headers
    node.reachable_power = Power(2)

    tip = node.last_block[1].time_ms
    response = node.ask("/status", wall_ms=tip + 7_900)

    assert ("x-stale", "1") in response.headers
    assert ("age", "7") in response.headers
    assert msgspec.json.decode(response.body)["stale"] is True


def test_health_without_quorum_is_503(node: Any) -> None:
    """A supervisor or balancer learns from the status alone that answers may be old."""
    assert node.read("/health")["status"] == "ok"
    node.reachable_power = Power(2)

    fault = node.fault("/health", status=503)

    assert fault["code"] == "no-quorum"
    assert fault["hint"] == "GET /health tells when this node answers again; others may now"
    assert "2 of 4" in fault["message"]


def test_a_block_shows_who_signed(node: Any) -> None:
    """A block names its transactions, and its certificate the keys behind the votes."""
    told = node.read("/blocks/2")

    members = node.validators.members
    assert told["height"] == 2
    assert told["previous_id"] == (bytes([1]) * 32).hex()
    assert told["tx_ids"] == [hashlib.sha256(b"tx2").hexdigest()]
    assert told["certificate"] == {
        "round": 1,
        "signers": [members[place].key.hex() for place in (0, 1, 3)],
        "power": 3,
    }
    assert told["last_commit"] == {
        "round": 0,
        "signers": [members[place].key.hex() for place in (1, 3)],
        "power": 2,
    }
    assert node.read("/blocks/1")["last_commit"] == {"round": 0, "signers": [], "power": 0}
    assert node.read("/blocks/latest")["height"] == 3


def test_signers_are_unknown_when_the_set_is_not_kept(node: Any) -> None:
    """Votes of another validator set are not pinned on the present validators."""
    final = node.finals[0]
    header = msgspec.structs.replace(final.block.header, validators_hash=b"x" * 32)
    block = msgspec.structs.replace(final.block, header=header)
    node.finals[0] = msgspec.structs.replace(final, block=block)

    certificate = node.read("/blocks/1")["certificate"]

    assert certificate == {"round": 1, "signers": [], "power": None}
    assert node.fault("/validators?height=1", status=404)["field"] == "height"


@pytest.mark.parametrize(
    ("target", "heights"),
    [
        ("/blocks", [1, 2, 3]),
        ("/blocks?count=2", [2, 3]),
        ("/blocks?from=2", [2, 3]),
        ("/blocks?from=1&count=2", [1, 2]),
        ("/blocks?from=9", []),
    ],
)
def test_a_page_of_blocks(node: Any, target: str, heights: list[int]) -> None:
    """A page holds final blocks only, in ascending order."""
    told = node.read(target)

    assert [block["height"] for block in told["blocks"]] == heights


@pytest.mark.parametrize(
    ("target", "status", "field"),
    [
        ("/blocks/0", 404, "height"),
        ("/blocks/4", 404, "height"),
        ("/blocks/x", 400, "height"),
        ("/blocks/-1", 400, "height"),
        ("/blocks/1_0", 400, "height"),
        ("/blocks/99999999999999999999", 400, "height"),
        ("/blocks?count=21", 400, "count"),
        ("/blocks?count=1&count=2", 400, "count"),
        ("/blocks?cuont=1", 400, "cuont"),
        ("/tx/zz", 400, "id"),
        ("/tx/" + "AB" * 32, 400, "id"),
        ("/tx/" + "ab " * 21 + "a", 400, "id"),
        ("/state/accounts/aitd1qqq", 400, "address"),
        ("/state/assets/nope", 404, "ticker"),
        ("/state_root?height=9", 404, "height"),
        ("/fees/estimate?gas=0", 400, "gas"),
        ("/fees/estimate?gas=50000001", 400, "gas"),
        ("/events?topic=blocks", 400, "topic"),
        ("/nowhere", 404, ""),
        ("/blocks/", 400, "height"),
    ],
)
def test_a_wrong_word_names_its_field(node: Any, target: str, status: int, field: str) -> None:
    """Each wrong word in a request is refused with the name of its field."""
    fault = node.fault(target, status=status)

    assert fault["field"] == field
    assert fault["hint"]
    assert fault["code"] in {"bad-request", "not-found", "unknown-asset"}


def test_an_address_of_another_network_is_refused(node: Any) -> None:
    """An address of the production network does not read as one of this chain."""
    elsewhere = bech32.address_text("ait", b"a" * 20)

    fault = node.fault(f"/state/accounts/{elsewhere}", status=400)

    assert "network 'ait'" in fault["message"]
    assert "aitd1" in fault["hint"]


@pytest.mark.proves("A1")
def test_token_facts_are_four_and_add_up(node: Any) -> None:
    """The token query gives four facts, and the supply is the sum over all holders."""
    told = node.read("/state/asset/mUSDA")

    held = sum(objects.balance(account.balances, "mUSDA") for _, account in node.state.accounts())
    assert told == {
        "name": "Mock US dollar",
        "ticker": "mUSDA",
        "decimals": 6,
        "total_supply": str(held),
    }


@pytest.mark.proves("A2")
def test_a_balance_has_three_parts(node: Any) -> None:
    """A balance is told as balance, locked and available, in decimal strings of base units."""
    told = node.read(f"/state/accounts/{holder_of(node)}")

    row = told["balances"]["mUSDA"]
    assert row == {"balance": "1000", "locked": "0", "available": "1000"}
    assert int(row["available"]) == int(row["balance"]) - int(row["locked"])


def test_an_unknown_account_owns_nothing(node: Any) -> None:
    """An address that nothing ever happened to is an account with nothing in it."""
    told = node.read(f"/state/accounts/{bech32.address_text('aitd', b'n' * 20)}")

    assert (told["nonce"], told["balances"], told["policy"]) == (0, {}, None)


def test_the_next_nonce_counts_what_waits(node: Any) -> None:
    """A client that sends several transactions in a row learns the first free nonce."""
    node.mempool.waiting = {TxId(b"1" * 32), TxId(b"2" * 32)}

    told = node.read(f"/state/accounts/{holder_of(node)}")

    assert (told["nonce"], told["next_nonce"]) == (0, 2)


def test_an_account_proof_holds_against_the_root(node: Any) -> None:
    """The proof of an account verifies against the state root of the same answer."""
    told = node.read(f"/state/accounts/{holder_of(node)}?proof=1")

    proof = told["proof"]
    nodes = [bytes.fromhex(text) for text in proof["nodes"]]
    root = bytes.fromhex(proof["state_root"])
    assert trie.verify(root, bytes.fromhex(proof["path"]), nodes) is not None
    assert root == node.state.root


@pytest.mark.parametrize("status", ["committed", "rejected", "expired"])
def test_an_ended_transaction_stays_what_it_is(node: Any, status: str) -> None:
    """An end outranks a waiting copy of the same transaction."""
    wanted = TxId(b"t" * 32)
    node.mempool.waiting = {wanted}
    assert node.read(f"/tx/{wanted.hex()}")["status"] == "pending"
    node.fates[wanted] = (status, 2, 0, "ok", 210, (("transfer", "a"),))

    told = node.read(f"/tx/{wanted.hex()}")

    assert (told["status"], told["fee"], told["events"]) == (status, "210", [["transfer", "a"]])


def test_an_unknown_transaction_is_404(node: Any) -> None:
    """A node does not guess about a transaction that it was never given."""
    fault = node.fault(f"/tx/{'00' * 32}", status=404)

    assert fault["code"] == "not-found"


def test_state_roots_of_past_heights_come_from_headers(node: Any) -> None:
    """The root of a past height is the one in its final header; the tip's is the state's own."""
    assert node.read("/state_root")["height"] == 3
    told = node.read("/state_root?height=2")

    assert told["state_root"] == node.finals[1].block.header.state_root.hex()
    assert told["block_id"] == node.finals[1].certificate.block_id.hex()


def test_validators_name_one_proposer(node: Any) -> None:
    """The validator list carries the power of each and one turn."""
    told = node.read("/validators")

    assert (told["height"], told["total_power"]) == (4, 4)
    assert [row["proposer"] for row in told["validators"]].count(True) == 1
    assert None not in [row["priority"] for row in told["validators"]]


def test_validators_of_the_past_name_who_proposed(node: Any) -> None:
    """A past height names the proposer in its header, and no priority that is not known."""
    told = node.read("/validators?height=2")

    proposer = node.finals[1].block.header.proposer.hex()
    assert [row["key"] for row in told["validators"] if row["proposer"]] == [proposer]
    assert {row["priority"] for row in told["validators"]} == {None}


def test_trouble_is_told(node: Any) -> None:
    """A node that may not sign says why."""
    assert node.read("/status")["trouble"] == ""
    node.refusal = "no sign state beside the key"

    assert node.read("/status")["trouble"] == "no sign state beside the key"
    assert node.ask("/health").status == 200


def test_a_node_that_stands_still_is_not_healthy(node: Any) -> None:
    """A node that finds a final block invalid says so, and is no place for fresh answers."""
    node.diverged = "block 91 is final, and invalid here"

    assert node.read("/status")["trouble"] == node.diverged
    assert node.fault("/health", status=503)["message"] == node.diverged


def test_parameters_carry_their_bounds(node: Any) -> None:
    """Each chain parameter is told with value, default, unit and bounds."""
    told = node.read("/params")["params"]

    assert told["max_block_txs"]["value"] == 2000
    assert told["max_block_txs"]["high"] == 10_000


def test_the_fee_of_a_transfer_is_told(node: Any) -> None:
    """A client learns what a plain transfer costs now, and limits that outlive a rise."""
    told = node.read("/fees/estimate")

    assert (told["price"], told["transfer_fee"]) == (10_000, "210")
    assert told["slow"] <= told["standard"] <= told["fast"]


def test_an_estimate_names_limits_that_outlive_full_blocks(node: Any) -> None:
    """One, ten and thirty full blocks raise the price by a tenth each, rounded up, to the bound."""
    told = node.read("/fees/estimate")

    assert (told["slow"], told["standard"], told["fast"]) == (11_000, 25_941, 174_546)
    assert (told["base_price"], told["min_price"], told["max_price"]) == (10_000, 1_000, 1_000_000)
    assert told["full_bps"] == 0
    assert told["gas"] == 21_000
    assert told["fees"] == {"now": "210", "slow": "231", "standard": "545", "fast": "3666"}


def test_an_estimate_prices_any_gas_that_a_block_has(node: Any) -> None:
    """The fee is that of the gas in question, rounded up."""
    told = node.read("/fees/estimate?gas=400001")

    assert (told["gas"], told["fees"]["now"], told["transfer_fee"]) == (400_001, "4001", "210")


def test_an_estimate_names_tips_where_blocks_are_full(node: Any) -> None:
    """Each is that of the gas in question, rounded up, and the same per gas; 0 where is room."""
    roomy = node.read("/fees/estimate")
    node.tips = TipPrices(slow=1, standard=20_000, fast=30_000, full=12, blocks=20)

    told = node.read("/fees/estimate?gas=100001")

    assert roomy["tips"] == {"slow": "0", "standard": "0", "fast": "0"}
    assert told["tips"] == {"slow": "1", "standard": "2001", "fast": "3001"}
    assert told["tip_prices"] == {"slow": 1, "standard": 20_000, "fast": 30_000}
    assert (told["full_blocks"], told["blocks_seen"]) == (12, 20)


def test_an_estimate_says_how_full_the_last_blocks_were(node: Any) -> None:
    """The mean of the last blocks against what a block may use, in basis points."""
    busy = msgspec.structs.replace(
        node.state.fees, price=990_000, recent_gas=(50_000_000, 25_000_000)
    )
    node.state.adopt({(objects.FEES, b""): busy}, node.state.tree)

    told = node.read("/fees/estimate")

    assert told["full_bps"] == 7_500
    assert (told["slow"], told["fast"]) == (1_000_000, 1_000_000)


def test_economics_add_up(node: Any) -> None:
    """Each asset tells what came, what went, what is there, and what everybody holds together."""
    told = msgspec.json.decode(node.ask("/economics").body, type=schema.Economics)

    assert told.conserved is True
    assert (sorted(told.assets), told.asset_count, told.total_power) == (["AIT", "mUSDA"], 2, 4)
    for row in told.assets.values():
        assert int(row.supply) == int(row.minted) - int(row.burned) == int(row.held)
    assert told.pools == {"reward_pool": {}, "treasury": {}}
    assert (told.fees.collected, told.price) == ("0", 10_000)
    assert (told.bonded, told.unbonding, told.accrued) == ("4000000", "0", "0")
    assert told.bonded_bps == 4_000_000 * 10_000 // int(told.assets["AIT"].supply)


def test_economics_of_minted_money_say_so(node: Any) -> None:
    """A sum that does not add up is told as it is, not hidden."""
    pool = objects.Pool((("AIT", Amount(1)),))
    node.state.adopt({(objects.POOL, b"treasury"): pool}, node.state.tree)

    told = node.read("/economics")

    assert told["conserved"] is False
    assert told["assets"]["AIT"] == {
        "decimals": 6,
        "supply": "9000000",
        "minted": "9000000",
        "burned": "0",
        "held": "9000001",
    }
    assert told["pools"]["treasury"] == {"AIT": "1"}


def test_an_answer_has_room_for_so_many_assets(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may define assets, so a list of them is cut; the native one is always there."""
    monkeypatch.setattr(limits, "RPC_ASSETS_MAX", 2)
    for number in range(3):
        other = objects.Asset("", 0, None, Amount(1), Amount(0), Amount(0), Amount(0))
        node.state.adopt({(objects.ASSET, b"X%d" % number): other}, node.state.tree)

    told = node.read("/economics")

    assert (sorted(told["assets"]), told["asset_count"]) == (["AIT", "mUSDA"], 5)


def test_audit_of_a_sound_state_finds_nothing(node: Any) -> None:
    """A sound ledger has no violated invariant; what nobody compared is not called kept."""
    told = node.read("/audit")

    assert told["violations"] == []
    assert told["supply"]["mUSDA"] == "1000"
    rows = {row["name"]: row for row in told["invariants"]}
    assert list(rows) == [f"I{number}" for number in range(1, 13)]
    assert rows["I1"] == {
        "name": "I1",
        "title": "per asset, all holdings together are the supply",
        "held": True,
        "detail": "",
    }
    assert (rows["I3"]["held"], rows["I3"]["detail"]) == (None, "this chain has no vaults")
    assert told["blocks_compared"] == 0


def test_an_audit_walks_over_no_accounts(node: Any) -> None:
    """The running sums answer, so that a million accounts cost a reader nothing."""
    walks: list[str] = []
    accounts = node.state.accounts
    node.state.accounts = lambda: (walks.append("walked"), accounts())[1]

    node.read("/audit")
    node.read("/economics")

    assert walks == []


def test_audit_of_minted_money_is_red(node: Any) -> None:
    """One unit out of nowhere is a violation that names the asset."""
    for key, record in list(node.state.items()):
        if key == (objects.ASSET, b"mUSDA"):
            more = msgspec.structs.replace(record, supply=1001)
            node.state.adopt({key: more}, node.state.tree)

    told = node.read("/audit")

    assert any("mUSDA" in line for line in told["violations"])


def test_peers_and_partition(node: Any) -> None:
    """Links are listed by id; who is missing is named, with its power and since when."""
    node.links = [node_peer(b"z"), node_peer(b"a")]
    node.reachable_power = Power(3)
    members = node.validators.members
    node.missing, node.lacking_ms = frozenset({members[1].key}), 4_000

    node.bans = [(PeerId(b"r" * 20), 59_000)]

    rows = node.read("/net/peers")["peers"]
    banned = node.read("/net/peers")["banned"]
    told = node.read("/net/partition", wall_ms=10_000)

    assert [row["id"] for row in rows] == [(b"a" * 20).hex(), (b"z" * 20).hex()]
    assert [row["availability"] for row in rows] == [99, 99]
    assert banned == {(b"r" * 20).hex(): 59_000}
    assert (told["reachable_power"], told["partitioned"], told["quorum"]) == (3, True, True)
    assert (told["since"], told["lacking_ms"]) == ("1970-01-01T00:00:06.000Z", 4_000)
    assert [row["key"] for row in told["unreachable"]] == [members[1].key.hex()]
    assert [row["power"] for row in told["unreachable"]] == [members[1].power]
    assert len(told["reachable"]) == len(members) - 1
    assert len(told["components"][0]) == 3


def test_the_topology_shows_links_and_what_lies_behind_them(node: Any) -> None:
    """Sorted by id, with the direction counted; the address book is counted, not listed."""
    node.links = [node_peer(b"z"), node_peer(b"a")]

    told = node.read("/net/topology")

    assert [link["id"] for link in told["links"]] == [(b"a" * 20).hex(), (b"z" * 20).hex()]
    assert told["links"][0]["neighbours"] == [(b"n" * 20).hex()]
    assert told["links"][0]["source"] == "bootstrap"
    assert told["degree"] == told["out_degree"] + told["in_degree"] == 2
    assert (told["known"], told["ledger"]) == (9, 2)


def test_a_moment_without_somebody_is_no_partition(node: Any) -> None:
    """A link that is renewed makes nobody report a split; without quorum the answer says so."""
    node.reachable_power = Power(2)

    told = node.read("/net/partition")

    assert (told["partitioned"], told["since"], told["lacking_ms"]) == (False, None, None)
    assert (told["quorum"], told["reachable_power"]) == (False, 2)


def node_peer(name: bytes) -> object:
    """Make a link from plain values."""
    return type(
        "Peer",
        (),
        {
            "id": PeerId(name * 20),
            "address": "10.0.0.2:8600",
            "direction": "in",
            "rtt_ms": None,
            "availability": 99,
            "score": 1,
            "version": "0.1.0",
            "speed": "home",
        },
    )()


@pytest.mark.parametrize("time_ms", [0, 951_782_400_123, 1_709_164_800_000, 4_102_444_799_999])
def test_times_are_written_like_the_library_does(time_ms: int) -> None:
    """Our calendar agrees with the standard library, leap days included."""
    known = datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")

    assert schema.rfc3339(time_ms) == known.replace("+00:00", "Z")
