"""`aitbc validator`, `proposal` and staking, against four servers that show one real ledger."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aitbc_node import bech32
from aitbc_node.blocks import PREVOTE, vote_sign_bytes
from aitbc_node.crypto import SigningKey
from aitbc_node.ledger import objects
from aitbc_node.ledger.objects import Upgrade
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.transfers import Output
from aitbc_node.ledger.upgrades import APP_VERSION
from aitbc_node.types import Amount, BlockId, Height, Round
from aitbc_toolkit import candidacy, electing, keys
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.wallet import ChainNow, Wallet

CHAIN = "aitbc-dev-1"
FOUNDERS = [SigningKey(bytes([place]) * 32) for place in range(1, 5)]
EPOCH = 20


class Site:
    """Be a mesh, with the key files of its four operators and of a newcomer."""

    def __init__(self, mesh: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.mesh = mesh
        self.folder = folder
        self.capsys = capsys
        self.founders = [self._file(f"op{n}.key", bytes([n]) * 32) for n in range(1, 5)]
        self.newcomer = self._file("new.key", b"n" * 32)
        files = [*self.founders, self.newcomer]
        outs = [
            Output(Wallet(keys.read(Path(f))).account, "AIT", Amount(50_000_000)) for f in files
        ]
        chain = ChainNow(CHAIN, "aitd", valid_until=100, max_gas_price=100_000)
        assert mesh.ledger.take(Wallet(mesh.faucet).transfer(chain, nonce=0, new=True, outs=outs))

    def _file(self, name: str, seed: bytes) -> str:
        path = self.folder / name
        pem = Ed25519PrivateKey.from_private_bytes(seed).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path.write_bytes(pem)
        path.chmod(0o600)
        return str(path)

    def address(self, file: str) -> str:
        """Name the account of a key's file."""
        return Wallet(keys.read(Path(file))).address("aitd")

    def do(self, line: str, status: int = Exit.OK) -> str:
        """Type a command; return what it said."""
        ended = run(line.split())
        shown = self.capsys.readouterr()
        assert ended == status, shown
        return shown.out + shown.err

    def ask(self, line: str) -> Any:
        """Type a command with --json; return its document."""
        return json.loads(self.do(f"{line} --json"))

    def next_epoch(self) -> None:
        """Add blocks up to the end of the epoch."""
        self.mesh.ledger.grow(EPOCH - len(self.mesh.ledger.finals) % EPOCH)

    def enrol(self, stake: str = "3") -> str:
        """Register the newcomer; return its address."""
        votes = self.folder / "votes.key"
        key = f"--key {self.newcomer} --consensus-key {votes}"
        self.do(f"validator register {key} --stake {stake} --commission 500 --region north")
        return self.address(self.newcomer)

    def closed(self) -> None:
        """Let admission be asked for."""
        state = self.mesh.ledger.state
        closed = msgspec.structs.replace(state.params, validators_open=0)
        state.adopt({(objects.PARAMS, b""): closed}, state.tree)


@pytest.fixture
def site(fake_mesh: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    """Four operators with coins, and one who wants to join."""
    return Site(fake_mesh, tmp_path, capsys)


def test_a_newcomer_registers_bonds_and_votes_from_the_next_epoch(site: Site) -> None:
    """One transaction does both; the list tells the power that comes, then has it."""
    address = site.enrol()

    told = {row["address"]: row for row in site.ask("validator list")["validators"]}
    assert (told[address]["power"], told[address]["next_power"]) == (0, 1)  # < a third of four
    assert told[address]["commission_bps"] == 500
    site.next_epoch()
    shown = site.do("validator list")
    (row,) = [line.split() for line in shown.splitlines() if address in line]
    assert row[:4] == ["-", address, "active", "1"]
    assert "v1 " in shown
    assert f"validator    {address}" not in shown
    assert "status       active" in site.do(f"validator show {address}")


def test_a_node_is_a_name_for_its_validator(site: Site) -> None:
    """`v2` is the operator whose key that node votes with."""
    told = site.ask("validator show v2")

    assert told["key"] == FOUNDERS[1].public_key.hex()
    assert told["address"] == site.address(site.founders[1])


def test_a_key_made_on_a_host_comes_with_its_proof(site: Site) -> None:
    """Only public parts travel: without the proof nothing is sent."""
    votes, operator = SigningKey(b"v" * 32), Wallet(keys.read(Path(site.newcomer))).account
    public = f"--consensus-key {votes.public_key.hex()}"
    line = f"validator register --key {site.newcomer} --stake 3 {public}"
    refused = site.do(line, Exit.USAGE)
    assert "comes with the proof" in refused

    site.do(f"{line} --proof {possession_proof(CHAIN, operator, votes).hex()}")

    told = site.ask(f"validator show {site.address(site.newcomer)}")
    assert (told["key"], told["bonded"]) == (votes.public_key.hex(), "3000000")


def test_a_new_consensus_key_waits_for_the_next_epoch(site: Site) -> None:
    """The key is made where it is missing, told beside the old one, and then takes its place."""
    new = site.folder / "rotated.key"
    site.do(f"validator rotate --key {site.founders[0]} --consensus-key {new}")
    public = keys.read(new).public_key.hex()

    told = site.ask("validator show v1")
    assert (told["key"], told["next_key"]) == (FOUNDERS[0].public_key.hex(), public)
    assert f"next key     {public}" in site.do("validator show v1")
    site.next_epoch()

    assert site.ask(f"validator show {site.address(site.founders[0])}")["key"] == public


def test_an_operator_leaves_and_returns(site: Site) -> None:
    """Its bond stays; the vote goes with the epoch and comes back with another one."""
    key = f"--key {site.founders[3]}"
    site.do(f"validator leave {key}")
    assert site.ask("validator show v4")["next_power"] == 0
    assert "rejected: wrong-state" in site.do(f"validator leave {key}", Exit.FAILED)
    site.do(f"validator return {key}")

    assert site.ask("validator show v4")["next_power"] == 1


def test_details_are_changed_and_nothing_is_no_change(site: Site) -> None:
    """What is not named stays as it is."""
    key = f"--key {site.founders[0]}"
    site.do(f"validator set {key} --commission 700 --endpoint n1.example:8600")

    told = site.ask("validator show v1")
    assert (told["commission_bps"], told["endpoint"], told["region"]) == (
        700,
        "n1.example:8600",
        "here",
    )
    assert "nothing is changed" in site.do(f"validator set {key}", Exit.USAGE)


def test_admission_takes_more_than_two_thirds(site: Site) -> None:
    """Two of four say yes: it stays open with its tally; the third vote decides."""
    site.closed()
    address = site.enrol()
    told = site.ask("validator list")
    assert address not in {row["address"] for row in told["validators"]}
    first, second, third, _ = site.founders

    made = site.ask(f"validator add {address} --key {first} --voter {second}")

    assert made["passed"] is False
    assert (made["open"]["yes_power"], made["open"]["needed_power"]) == (2, 3)
    assert f"validator_add operator={address}" in site.do("proposal list")
    shown = site.do(f"proposal show {made['proposal']}")
    assert "tally        2 yes, 0 no of 4; 3 yes carry it" in shown
    assert "proposal.passed" in site.do(f"proposal vote {made['proposal']} yes --key {third}")
    assert "No proposal is open." in site.do("proposal list")
    site.next_epoch()
    assert site.ask(f"validator show {address}")["power"] == 1


def test_removal_below_four_is_refused(site: Site) -> None:
    """Of three validators none may fail, so four founders stay unless somebody insists."""
    first, second, third, _ = site.founders
    line = f"validator remove v4 --key {first} --voter {second} --voter {third}"
    refused = site.do(line, Exit.REFUSED)
    assert "3 validators would stay" in refused
    assert f"hint: aitbc {line} --force" in refused

    assert "passed " in site.do(f"{line} --force")

    site.next_epoch()
    told = site.ask(f"validator show {site.address(site.founders[3])}")
    assert (told["seat"], told["power"]) == ("removed", 0)


@pytest.mark.parametrize(
    "line",
    [
        "validator leave --key {third}",
        "validator unstake 1 --key {third}",
        "validator rotate --key {third} --consensus-key {votes}",
        "economics unstake v3 1 --key {third}",
        "validator remove {newcomer} --key {first} --voter {second} --voter {third}",
        "validator add {newcomer} --key {first} --voter {second} --voter {third}",
        "validator register --stake 1 --key {newcomer_key} --consensus-key {votes}",
    ],
)
def test_what_leaves_too_few_who_vote_is_refused_with_the_sum(
    site: Site, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of four is down: nobody else may go, nor may one come that does not run.

    The ledger would take each of them, and the mesh would stand from the next epoch on.
    """
    monkeypatch.setattr(electing, "LOOK_S", 0.0)
    first, second, third, _ = site.founders
    if "{newcomer}" in line:
        site.enrol("1")
    if "validator remove" in line:
        site.next_epoch()
        site.mesh.kill("v3")
    site.mesh.kill("v4")
    typed = line.format(
        first=first,
        second=second,
        third=third,
        newcomer=site.address(site.newcomer),
        newcomer_key=site.newcomer,
        votes=site.folder / "votes.key",
    )
    before = len(site.mesh.ledger.finals)

    refused = site.do(typed, Exit.REFUSED)

    assert "too little power would vote: 3*" in refused
    assert f"aitbc {typed} --force" in refused
    assert len(site.mesh.ledger.finals) == before
    site.do(f"{typed} --force")
    assert len(site.mesh.ledger.finals) > before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("param epoch_blocks", "param takes NAME VALUE"),
        ("param epoch_blocks many", "'many' is no whole number"),
        ("validator_add nobody", "'nobody' is no address"),
        ("fee_shares 1 2", "fee_shares takes PROPOSER_BPS TREASURY_BPS BURN_BPS"),
        ("upgrade 99", "upgrade takes HEIGHT APP_VERSION"),
        ("epoch_now please", "epoch_now takes no words"),
        ("war AIT", "'war' is not one of"),
    ],
)
def test_a_proposal_of_wrong_words_is_not_sent(site: Site, words: str, message: str) -> None:
    """What is wanted is told, and nothing was handed in."""
    before = sum(len(port.submitted) for port in site.mesh.ports.values())

    assert message in site.do(f"proposal submit {words} --key {site.founders[0]}", Exit.USAGE)

    assert sum(len(port.submitted) for port in site.mesh.ports.values()) == before


def test_an_upgrade_is_planned_and_taken_back(site: Site) -> None:
    """The height and the version of the rules, in numbers; an epoch ends when three say so."""
    first, second, third, _ = site.founders
    says = f"--key {first} --voter {second} --voter {third}"

    assert "passed " in site.do(f"proposal submit upgrade 9000 {APP_VERSION + 1} {says}")

    assert site.mesh.ledger.state.upgrade == Upgrade(Height(9000), APP_VERSION + 1)
    assert "passed " in site.do(f"proposal submit upgrade_cancel {says}")
    assert site.mesh.ledger.state.upgrade is None
    assert "passed " in site.do(f"proposal submit epoch_now {says}")
    assert site.mesh.ledger.state.epoch_log.rows == ()


def test_a_parameter_and_a_pause(site: Site) -> None:
    """A parameter changes with the epoch; a pause, which takes four fifths, at once."""
    first, *others = site.founders
    voters = " ".join(f"--voter {file}" for file in others)
    param = f"proposal submit param reward_per_block 77 --key {first} {voters}"
    assert "passed " in site.do(param)
    made = site.ask(f"proposal submit pause mUSDA --key {first} {voters}")

    assert made["passed"] is True
    assert site.mesh.ledger.state.asset("mUSDA").paused
    site.next_epoch()
    assert site.mesh.ledger.state.params.reward_per_block == 77
    assert "passed " in site.do(f"proposal submit resume mUSDA --key {first} {voters}")
    assert not site.mesh.ledger.state.asset("mUSDA").paused


@pytest.mark.proves("A13")
def test_minting_is_paused_and_resumed_by_name(site: Site) -> None:
    """Everybody is shown that nobody mints; then it goes on."""
    first, *others = site.founders
    says = f"mUSDA --key {first} " + " ".join(f"--voter {file}" for file in others)

    assert "passed " in site.do(f"proposal submit pause_minting {says}")
    assert "minting paused" in site.do("asset show mUSDA")
    assert site.ask("asset show mUSDA")["minting_paused"] is True
    assert "passed " in site.do(f"proposal submit resume_minting {says}")
    assert "paused" not in site.do("asset show mUSDA")
    assert site.ask("asset show mUSDA")["minting_paused"] is False


@pytest.mark.parametrize("blocks", [10, 300])
def test_what_is_signed_expires_within_what_the_chain_allows(site: Site, blocks: int) -> None:
    """Where `valid_until` may be ten blocks ahead it is no more than that."""
    state = site.mesh.ledger.state
    short = msgspec.structs.replace(state.params, tx_ttl_blocks=blocks)
    state.adopt({(objects.PARAMS, b""): short}, state.tree)

    site.do(f"economics stake v1 5 --key {site.newcomer}")

    assert site.ask(f"economics stakes {site.address(site.newcomer)}")["bonded"] == "5000000"


def test_coins_go_behind_a_validator_and_come_back(site: Site) -> None:
    """Bonded by name, shown with what they earn, and told when they come back."""
    site.do(f"economics stake v1 5 --key {site.newcomer}")
    site.do(f"economics unstake v1 2 --key {site.newcomer}")
    address = site.address(site.newcomer)

    told = site.ask(f"economics stakes {address}")
    assert (told["bonded"], told["unbonding"]) == ("3000000", "2000000")
    shown = site.do(f"economics stakes {address}")
    assert "3.000000 AIT" in shown
    assert f"{told['leaving'][0]['matures']:,} or later" in shown
    site.do(f"validator stake 4 --key {site.founders[0]}")
    site.do(f"validator unstake 1 --key {site.founders[0]}")
    assert site.ask("validator show v1")["own_bond"] == "4000000"


def test_rewards_are_shown_and_claimed(site: Site) -> None:
    """What the pool paid for an epoch is told, taken once, and then gone."""
    state = site.mesh.ledger.state
    state.adopt({(objects.POOL, b"reward_pool"): objects.Pool((("AIT", 10**6),))}, state.tree)
    site.next_epoch()
    rows = site.ask("validator list")["validators"]
    operator = next(row["address"] for row in rows if int(row["commission"]))
    (key,) = [file for file in site.founders if site.address(file) == operator]

    told = site.ask(f"economics rewards {operator}")
    assert int(told["total"]) > 0
    assert "may be claimed" in site.do(f"economics rewards {operator}")
    assert "for the operator" in site.do(f"validator rewards {operator}")
    assert "not available" in site.do(f"validator rewards {operator}")
    before = site.ask(f"validator rewards {operator}")
    site.do(f"economics claim --key {key}")

    assert site.ask(f"economics rewards {operator}")["total"] == "0"
    after = site.ask(f"validator rewards {operator}")
    assert int(before["commission"]) > 0 == int(after["commission"])
    line = f"economics claim --validator {operator} --key {key}"
    assert "rejected: wrong-state" in site.do(line, Exit.FAILED)


def evidence(site: Site, signer: SigningKey) -> Path:
    """Sign two prevotes of one round with a key, and write them down the wrong way round."""
    messages = []
    for block in (b"\xff" * 32, b"\x01" * 32):
        message = vote_sign_bytes(
            CHAIN, PREVOTE, height=Height(2), round_=Round(0), block_id=BlockId(block), time_ms=0
        )
        messages.append(
            {
                "kind": 1,
                "height": 2,
                "round": 0,
                "block_id": block.hex(),
                "signature": signer.sign(message).hex(),
            }
        )
    file = site.folder / "evidence.json"
    file.write_text(json.dumps({"key": signer.public_key.hex(), "messages": messages}))
    return file


def test_only_evidence_slashes(site: Site) -> None:
    """Without it the command explains; with it half of the bond is gone, once, and the vote too."""
    explained = site.do("validator slash v1", Exit.USAGE)
    assert "only evidence" in explained
    assert "hint: aitbc validator remove v1" in explained
    file = evidence(site, FOUNDERS[0])
    other = site.do(f"validator slash v2 --evidence {file}", Exit.USAGE)
    assert f"is about {site.address(site.founders[0])}" in other

    site.do(f"validator slash v1 --evidence {file}")

    told = site.ask("validator show v1")
    assert (told["status"], told["bonded"]) == ("jailed", "500000")
    assert " for equivocation; aitbc validator unjail" in site.do("validator show v1")
    site.do(f"validator slash v1 --evidence {file}", Exit.FAILED)
    assert site.ask("validator show v1")["bonded"] == "500000"
    early = site.do(f"validator unjail --key {site.founders[0]}", Exit.FAILED)
    assert "rejected: wrong-state" in early


def test_evidence_that_is_none_is_told(site: Site) -> None:
    """A file that cannot be read as two signed messages says what one looks like."""
    file = site.folder / "none.json"
    for text in ("", "{}", '{"key": "zz", "messages": []}', '{"key": "ab", "messages": []}'):
        file.write_text(text)

        shown = site.do(f"validator slash v1 --evidence {file}", Exit.USAGE)

        assert f"{file} is no evidence" in shown
        assert '"messages"' in shown


def test_acts_of_operators_are_never_signed_by_the_faucet(site: Site) -> None:
    """Whoever forgets the key is asked for it, before anything is handed in."""
    before = sum(len(port.submitted) for port in site.mesh.ports.values())
    for line in (
        "validator leave",
        "validator unjail",
        "validator stake 1",
        "validator add v1",
        f"validator rotate --consensus-key {site.folder / 'k'}",
        f"proposal vote {'ab' * 20} yes",
    ):
        assert "whose act is it?" in site.do(line, Exit.USAGE)

    assert sum(len(port.submitted) for port in site.mesh.ports.values()) == before
    assert not (site.folder / "k").exists()


def test_an_unknown_validator_or_proposal_is_told(site: Site) -> None:
    """An address without a validator, a word that is neither, an id that is none."""
    stranger = bech32.address_text("aitd", b"s" * 20)
    assert "no validator is registered" in site.do(f"validator show {stranger}", Exit.FAILED)
    assert "is no address" in site.do("validator show somebody", Exit.USAGE)
    assert "no open proposal" in site.do(f"proposal show {'ab' * 20}", Exit.FAILED)
    line = f"proposal vote nothing yes --key {site.founders[0]}"
    assert "is no proposal's id" in site.do(line, Exit.USAGE)
    line = f"validator add v1 --no-wait --key {site.founders[0]}"
    assert "no --no-wait" in site.do(line, Exit.USAGE)


def test_a_node_that_votes_for_nobody_is_no_validator(site: Site) -> None:
    """A full node's name stands for no operator."""
    port = site.mesh.ports["v3"]
    port.facts = msgspec.structs.replace(port.facts, validator=None)

    assert "v3 is no validator" in site.do("validator show v3", Exit.USAGE)


def test_amounts_are_read_before_anything_is_sent() -> None:
    """Whole coins become base units."""
    assert candidacy.native("1.5") == 1_500_000
