"""Another node key: what is told to host, ledger and node, and where a run that was cut goes on."""

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from aitbc_node import keyfiles
from aitbc_node.crypto import SigningKey, peer_id
from aitbc_node.ledger.revoking import replacement, revocation
from aitbc_node.rpc import schema
from aitbc_node.types import Address
from aitbc_toolkit import candidacy, payments
from aitbc_toolkit.asking import Silence
from aitbc_toolkit.deploys.hostside import unsealing
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.release import audit, configuring, permission, renaming, services
from aitbc_toolkit.release.permission import Permit
from aitbc_toolkit.release.rotating import Way

OLD, NEW = SigningKey(b"\x05" * 32), SigningKey(b"\x06" * 32)
BEFORE, AFTER = peer_id(OLD.public_key).hex(), peer_id(NEW.public_key).hex()
OPERATOR = Address(b"o" * 20)


def a_record(value: str) -> schema.RecordView:
    """Be what a node says of a record."""
    return schema.RecordView(namespace="peer", key="", value=value, owner="", expires=9, height=7)


class Site:
    """Be the hosts, the ledger and the nodes of an environment, and note what each is told."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.said = replacement(environment.chain.id, OLD, NEW).hex()
        self.calls: list[str] = []
        self.signed: list[dict[str, Any]] = []
        self.running = self.file = BEFORE
        self.recorded = ""
        self.changing = "v1"
        self.silent: set[str] = set()
        self.refusing: set[str] = set()
        self.records: list[Any] = []
        self.crew = SimpleNamespace(
            node_key=self.node_key, service=self.service, require=lambda *_, **__: None
        )
        self.run = SimpleNamespace(
            environment=environment, crew=self.crew, tell=self.records.append
        )

    def node_key(self, name: str, what: str, words: dict[str, Any]) -> dict[str, Any]:
        """Do what the host of a node does."""
        self.calls.append(f"{what} {name}")
        match what:
            case "offer":
                told = {"peer_id": self.file, "node_key": OLD.public_key.hex()}
                if words["running"] != self.file:
                    return {**told, "next_peer_id": ""}
                more = {"next_key": NEW.public_key.hex(), "said": self.said, "made": True}
                return {**told, "next_peer_id": AFTER, **more}
            case "sign":
                self.signed.append(words)
                return {"transaction": "7e"}
            case _:
                self.file = words["peer_id"]
                return {"taken": True}

    def service(self, action: str, names: list[str]) -> dict[str, Any]:
        """Start a node anew, which reads its key."""
        self.calls.append(f"{action} {names[0]}")
        self.running = self.file
        return {}

    def peers(self, name: str) -> Any:
        """Be a node that is asked for its peers: everybody has a link to everybody who has none."""
        ids = {
            each: self.running if each == self.changing else each
            for each in ("v1", "v2", "v3", "v4")
        }
        without = {name, *self.silent} | ({self.changing} if name in self.refusing else set())
        rows = [SimpleNamespace(id=each) for who, each in ids.items() if who not in without]
        return SimpleNamespace(id=ids[name], peers=rows)

    def ask_all(self, nodes: dict[str, Any], question: Any) -> dict[str, Any]:
        """Ask every node; who is silent gives no answer."""
        silence = Silence("connection refused", is_down=True)
        return {
            name: silence if name in self.silent else question(node) for name, node in nodes.items()
        }

    def mesh(self) -> Any:
        """Be who asks the nodes."""

        def record() -> schema.RecordView | None:
            return a_record(self.recorded) if self.recorded else None

        # The node itself may have been parted with before it had the block.
        nodes = {
            name: SimpleNamespace(
                get=lambda *_, name=name: self.peers(name),
                record=lambda *_, name=name: name != "v1" and record(),
            )
            for name in ("v1", "v2", "v3", "v4")
        }
        return SimpleNamespace(
            node=nodes.__getitem__,
            ask_all=lambda question: self.ask_all(nodes, question),
            wait=lambda *_, **__: SimpleNamespace(status="committed", height=7),
        )


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Give an environment whose nodes all run."""
    found = Site(Inventory.load("staging", state=tmp_path))

    def hand_in(_environment: object, _mesh: object, signer: Any, _bodies: object) -> Any:
        chain = SimpleNamespace(chain_id="c", valid_until=9, max_gas_price=8)
        return signer.act(chain, nonce=4, new=False, bodies=[]), "7e"

    monkeypatch.setattr(payments, "hand_in", hand_in)
    monkeypatch.setattr(candidacy, "operator_of", lambda *_: OPERATOR)
    monkeypatch.setattr(services, "await_part", lambda *_: True)
    found.environment.folder.mkdir(parents=True)
    public = {each.name: {"peer_id": "00" * 20} for each in found.environment.instances}
    configuring.remember(found.environment, {**public, "v1": {"peer_id": BEFORE}})
    return found


def renamed(site: Site, name: str = "v1") -> renaming.Renamed:
    """Give a node its new key, whatever the mesh can spare."""
    permit = Permit("Ann", bypassed=False)
    run = cast("Any", site.run)
    return renaming._rename(run, site.mesh(), name, Way(force=True), permit)


def test_ledger_then_files_then_start(site: Site) -> None:
    """Only what is final changes files; the time to it is measured, and links are counted."""
    found = renamed(site)

    assert site.calls == ["offer v1", "sign v1", "take v1", "restart v1"]
    assert (found.old, found.new, found.linked, found.others) == (BEFORE, AFTER, 3, 3)
    assert found.issued_s is not None
    assert found.since == 7
    (words,) = site.signed
    assert (words["said"], words["operator"]) == (site.said, OPERATOR.hex())
    known = configuring.known_keys(site.environment)
    assert known is not None
    assert known["v1"] == {"peer_id": AFTER, "node_key": NEW.public_key.hex()}
    (entry,) = audit.path_of(site.environment).read_text(encoding="utf-8").splitlines()
    assert json.loads(entry)["subject"] == f"v1: {BEFORE[:12]} gives way to {AFTER[:12]}"


def test_a_run_cut_behind_the_ledger_signs_nothing_again(site: Site) -> None:
    """The node's own key has ended meanwhile; the files and the start are left to do."""
    site.recorded = site.said

    found = renamed(site)

    assert site.calls == ["offer v1", "take v1", "restart v1"]
    assert found.issued_s is None
    assert not any("warning" in str(each) for each in site.records)


def test_a_run_cut_behind_the_files_only_starts_the_node(site: Site) -> None:
    """It makes no third key."""
    site.file = AFTER

    found = renamed(site)

    assert site.calls == ["offer v1", "restart v1"]
    assert (found.old, found.new) == (BEFORE, AFTER)


def test_where_the_old_key_ended_for_nobody_it_is_said_what_brings_the_node_back(
    site: Site,
) -> None:
    """It was stolen and revoked: the new key is a stranger's until a deploy lists it."""
    site.recorded = revocation(site.environment.chain.id, OLD).hex()

    renamed(site)

    (warning,) = [each["text"] for each in site.records if "warning" in str(each)]
    assert "in favour of no key that its host holds" in warning
    assert site.calls == ["offer v1", "take v1", "restart v1"]


def test_a_node_that_does_not_vote_is_paid_for_by_one_that_does(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its host has no operator's key."""
    monkeypatch.setattr(Environment, "validators", site.environment.instances[:3])

    site.changing = "v4"

    renamed(site, "v4")

    assert site.calls == ["offer v4", "sign v1", "take v4", "restart v4"]


def test_what_the_ledger_refuses_changes_no_file(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node runs on by the old key."""
    mesh = site.mesh()
    mesh.wait = lambda *_, **__: SimpleNamespace(status="rejected", id="7e" * 32, code="x")
    monkeypatch.setattr(site, "mesh", lambda: mesh)

    with pytest.raises(AitbcError, match="took no effect"):
        renamed(site)

    assert site.calls == ["offer v1", "sign v1"]
    assert site.file == BEFORE


def test_a_run_cut_while_its_transaction_waited_goes_on_behind_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one says the same and comes too late; the key has ended as was wanted."""
    mesh = site.mesh()

    def wait(*_: object, **__: object) -> Any:
        site.recorded = site.said
        return SimpleNamespace(status="failed", id="7e" * 32, code="wrong-state")

    mesh.wait = wait
    monkeypatch.setattr(site, "mesh", lambda: mesh)

    found = renamed(site)

    assert site.calls == ["offer v1", "sign v1", "take v1", "restart v1"]
    assert (found.issued_s, found.since, found.is_enough) == (None, None, True)


@pytest.mark.parametrize(
    ("silent", "refusing", "recorded", "linked", "others", "is_enough"),
    [
        ((), (), False, 3, 3, True),
        ((), ("v4",), False, 2, 3, False),
        (("v4",), (), False, 2, 2, True),
        ((), ("v2", "v3", "v4"), False, 0, 3, False),
        (("v2", "v3", "v4"), (), False, 0, 0, False),
        ((), ("v3", "v4"), True, 1, 3, False),
        ((), ("v4",), True, 2, 3, True),
    ],
)
def test_links_are_as_many_as_before_or_the_node_is_not_back(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    *,
    silent: tuple[str, ...],
    refusing: tuple[str, ...],
    recorded: bool,
    linked: int,
    others: int,
    is_enough: bool,
) -> None:
    """Where all are silent none has one; behind a run that was cut it is what the others have."""
    monkeypatch.setattr(renaming, "_LINKS_S", 0)
    restart = site.service
    if recorded:
        site.recorded, site.refusing = site.said, {"v2", "v3", "v4"}

    def service(action: str, names: list[str]) -> dict[str, Any]:
        site.silent, site.refusing = set(silent), set(refusing)
        return restart(action, names)

    monkeypatch.setattr(site.crew, "service", service)

    found = renamed(site)

    assert (found.linked, found.others, found.is_enough) == (linked, others, is_enough)


def test_a_node_to_which_nobody_links_ends_the_run_there(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 1 with how many do and what helps; no other node changes its key behind it."""
    monkeypatch.setattr(renaming, "_LINKS_S", 0)
    monkeypatch.setattr(renaming, "at_work", lambda *_, **__: nullcontext(site.run))
    permit = Permit("Ann", bypassed=False)
    monkeypatch.setattr(permission, "require", lambda *_, **__: permit)
    monkeypatch.setattr(renaming, "open_mesh", lambda _: nullcontext(site.mesh()))
    site.refusing = {"v2", "v3", "v4"}

    done = renaming.rename(site.environment, "", site.records.append, Way(force=True))

    assert (done.exit, done.changed) == (Exit.FAILED, ["v1"])
    assert done.error == ("v1 runs by its new key, and 0 of 3 others that answer have a link to it")
    assert "aitbc deploy staging" in done.hint
    assert [call for call in site.calls if call.startswith("restart")] == ["restart v1"]
    assert done.facts["node_keys"][0]["is_enough"] is False


@pytest.mark.parametrize(
    ("name", "is_key"),
    [
        *((keyfiles.consensus_key(number), True) for number in (1, 2, keyfiles.NUMBER_MAX)),
        *((name, True) for name in (keyfiles.NODE_KEY, keyfiles.NEXT_NODE_KEY, "node.1.key")),
        (keyfiles.OPERATOR_KEY, True),
        ("operator.1.key", False),
        ("node.next.1.key", False),
        ("../node.key", False),
    ],
)
def test_every_key_that_a_host_keeps_comes_back_from_a_backup(name: str, *, is_key: bool) -> None:
    """And no other file."""
    assert bool(unsealing._NAME.fullmatch(name)) is is_key


def test_a_node_that_starts_again_is_waited_for(site: Site) -> None:
    """There is nothing to begin and leave."""
    with pytest.raises(UsageError, match="starts again"):
        renaming.rename(site.environment, "v1", site.records.append, Way(wait=False))
