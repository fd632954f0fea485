"""The audit log of a live mesh: a record for each check, and its head on the ledger."""

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from forged_log import OTHER, rewrite
from own_mesh import OwnMesh, bring_up
from signed_work import a_key, public

from aitbc_toolkit.cli import main
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release import anchoring, audit, permission, roles
from aitbc_toolkit.release.allowed import Allowed, Signer
from aitbc_toolkit.release.deploy import deploy

pytestmark = pytest.mark.mesh


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnMesh]:
    """Deploy the committed state of this checkout to four nodes on ports of their own."""
    with bring_up(tmp_path_factory.mktemp("anchor")) as found:
        yield found


@pytest.fixture
def verify(
    mesh: OwnMesh, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[], tuple[int, Any]]:
    """Type `aitbc audit verify --json`; give its status and what it told."""
    monkeypatch.setattr("aitbc_toolkit.cli.audit.load_records", lambda _named: mesh.environment)

    def typed() -> tuple[int, Any]:
        capsys.readouterr()
        status = main.run(["audit", "verify", "dev", "--json"])
        return status, json.loads(capsys.readouterr().out)

    return typed


def ask_for_everything(mesh: OwnMesh, folder: Path) -> int:
    """Let two people ask for every action, by real keys; return how many checks that were."""
    keys = {role: a_key(folder, role) for role in ("operator", "viewer")}
    known = Allowed(
        signers=[
            Signer(principal=f"{role}@example", key=public(key), roles=[role])
            for role, key in keys.items()
        ]
    )
    asked = list(itertools.product(keys, roles.ACTIONS))
    for role, action in asked:
        with suppress(AitbcError):
            permission.demand(mesh.environment, known, action, key=keys[role], subject="dev")
    return len(asked)


@pytest.mark.proves("D9")
def test_every_check_is_a_record_and_a_forged_log_differs_from_its_anchor(
    mesh: OwnMesh,
    tmp_path: Path,
    verify: Callable[[], tuple[int, Any]],
    monkeypatch: pytest.MonkeyPatch,
    eventually: Callable[..., None],
) -> None:
    """An edited and a removed record show by the chain; a log forged whole, by the ledger alone."""
    log = audit.path_of(mesh.environment)
    eventually("the first anchor", lambda: verify()[1]["ledger"][0]["newest"], deadline_s=60)
    before = len(audit.check(log)[0])
    count = ask_for_everything(mesh, tmp_path)
    rows = [each.entry for each in audit.check(log)[0][before:]]
    assert len(rows) == count
    assert {each.outcome for each in rows} == {"permitted", "not permitted"}
    assert all(each.who and each.action and each.subject and each.reason for each in rows)

    mesh.records.clear()
    deploy(mesh.environment, mesh.request, mesh.tell)
    assert "anchor" not in {each["type"] for each in mesh.records}, "an hour has not passed"
    monkeypatch.setattr(anchoring, "EVERY_S", 0)
    deploy(mesh.environment, mesh.request, mesh.tell)
    newest = len(audit.check(log)[0])
    eventually(
        "the next anchor", lambda: verify()[1]["ledger"][0]["newest"] == newest, deadline_s=60
    )
    assert verify()[0] == Exit.OK

    whole = log.read_bytes()
    lines = whole.splitlines(keepends=True)
    for forged in (whole.replace(b"not permitted", b"permitted", 1), b"".join(lines[1:])):
        log.write_bytes(forged)
        status, told = verify()
        assert (status, told["hosts"], told["ledger"]) == (Exit.FAILED, [], []), "by its own chain"
    log.write_bytes(whole)
    assert verify()[0] == Exit.OK

    rewrite(log, keep=before, then=[OTHER] * (newest - before + 5))
    (Path(mesh.environment.hosts[0].layout.state) / "audit-heads.jsonl").unlink()
    status, told = verify()
    assert status == Exit.FAILED
    assert [each["findings"] for each in told["hosts"]] == [[]], "the host has forgotten"
    assert told["findings"] == told["ledger"][0]["findings"]
    assert "the ledger was told that it is" in told["findings"][0]["what"]
