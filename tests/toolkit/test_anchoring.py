"""The ledger remembers the audit log's head: a log that was forged as a whole still shows."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from forged_log import OTHER, rewrite

from aitbc_toolkit import keys
from aitbc_toolkit.errors import AitbcError, ConfigError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import anchoring, audit
from aitbc_toolkit.release.reading import Mesh
from aitbc_toolkit.release.witnessing import Witness

ENTRY = audit.Entry("deploy", "this", "permitted", "ana@example", "ana@example is operator")


def log(environment: Environment, count: int, *, age_s: float = 0.0) -> None:
    """Write so many records into the audit log."""
    for _ in range(count):
        audit.append(audit.path_of(environment), ENTRY, now_s=time.time() - age_s)


def remembered(environment: Environment) -> Witness:
    """Compare with the ledger; by itself the log has to be whole."""
    records, findings = audit.check(audit.path_of(environment))
    assert findings == []
    account = anchoring.account_of(environment)
    with Mesh(environment) as mesh:
        return anchoring.compare(environment, records, mesh, account=account)


def after_run(environment: Environment) -> list[object]:
    """End a run; return which record it has anchored, or what it said."""
    said: list[Mapping[str, object]] = []
    with Mesh(environment) as mesh:
        anchoring.after_run(environment, mesh, said.append)
    return [each.get("number", each.get("text")) for each in said]


def test_the_ledger_agrees_up_to_the_record_that_it_was_told(fake_mesh: Any) -> None:
    """Nothing before the first anchor, then that record, whatever the log has gained since."""
    log(fake_mesh.environment, 3)
    before = remembered(fake_mesh.environment)

    done = anchoring.anchor(fake_mesh.environment, wait_s=60)
    log(fake_mesh.environment, 2)
    after = remembered(fake_mesh.environment)

    assert before.to_line() == "  ledger         was told nothing of this log yet"
    assert (done.number, done.height) == (3, len(fake_mesh.ledger.finals))
    assert (after.newest, after.findings, after.signed_by) == (3, (), done.account)
    assert anchoring.anchor(fake_mesh.environment, wait_s=60).number == 5
    assert remembered(fake_mesh.environment).newest == 5


@pytest.mark.parametrize(
    ("keep", "then", "what"),
    [
        (1, [OTHER] * 9, "the ledger was told that it is"),
        (1, [], "the ledger was told of 4 records, 1 are here"),
        (0, [OTHER] * 9, "the ledger was told of another log of this place"),
        (0, [], "the ledger was told of another log of this place"),
    ],
)
def test_a_log_that_was_rewritten_whole_differs_and_is_never_anchored(
    fake_mesh: Any, keep: int, then: Sequence[audit.Entry], what: str
) -> None:
    """Edited, cut, replaced or removed, with valid hashes: the ledger keeps what it was told."""
    environment = fake_mesh.environment
    log(environment, 4)
    anchoring.anchor(environment, wait_s=60)
    blocks = len(fake_mesh.ledger.finals)

    rewrite(audit.path_of(environment), keep=keep, then=then)
    found = remembered(environment)

    assert found.findings[0].what.startswith(what)
    if then:
        with pytest.raises(AitbcError, match="not anchored: the ledger was told"):
            anchoring.anchor(environment, wait_s=60)
        (said,) = after_run(environment)
        assert "is not anchored on the ledger: not anchored: the ledger was told" in str(said)
    assert len(fake_mesh.ledger.finals) == blocks


@pytest.mark.parametrize("value", [b"{}", b"\xff", b"[[", b'"head"', b"[" * 900])
def test_a_record_that_is_no_head_is_a_finding_and_fails_no_run(
    fake_mesh: Any, monkeypatch: pytest.MonkeyPatch, value: bytes
) -> None:
    """Whoever has the key may write anything in the head's place: it shows, and nothing breaks."""
    environment = fake_mesh.environment
    log(environment, 2)
    body = anchoring._body
    with monkeypatch.context() as forging:
        forging.setattr(
            anchoring,
            "_body",
            lambda *given, **more: msgspec.structs.replace(body(*given, **more), value=value),
        )
        anchoring.anchor(environment, wait_s=60)

    found = remembered(environment)
    (said,) = after_run(environment)

    what = "the ledger was told something that is no head of a log"
    assert (found.counted, [each.what for each in found.findings]) == (0, [what])
    assert str(said).endswith(f"not anchored: {what}")


def test_a_run_anchors_once_an_hour(fake_mesh: Any) -> None:
    """The first one an hour after the ledger was told does, however old the records are.

    A run of hours tells at its end, and the next one soon after it has nothing to tell.
    """
    environment, hours_s = fake_mesh.environment, 2 * anchoring.EVERY_S
    log(environment, 1, age_s=hours_s)
    anchoring.anchor(environment, wait_s=60, now_s=time.time() - hours_s)
    said = [after_run(environment)]
    log(environment, 1, age_s=hours_s)
    said.append(after_run(environment))
    log(environment, 1)
    said.append(after_run(environment))

    assert said == [[], [2], []]
    assert remembered(environment).newest == 2


def test_nodes_that_tell_alike_are_asked_once(
    fake_mesh: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose word counts is asked only where they differ: every run ends with this question."""
    environment = fake_mesh.environment
    log(environment, 2)
    records, _ = audit.check(audit.path_of(environment))
    told = anchoring._body(environment, records, now_s=time.time()).value.hex()
    answers = {each.name: SimpleNamespace(value=told) for each in environment.validators}
    asked: list[str] = []

    def whose_word(_mesh: Any, _names: Any) -> None:
        asked.append("")
        raise AitbcError("asked")

    monkeypatch.setattr(anchoring, "_answers", lambda *_words, **_more: answers)
    monkeypatch.setattr(Mesh, "statuses", whose_word)
    alike = after_run(environment), list(asked)
    answers[environment.validators[0].name].value = b"{}".hex()
    differing = after_run(environment), list(asked)
    answers[environment.validators[0].name] = None  # type: ignore[assignment]  # it is silent
    after_run(environment)

    assert alike == ([], [])
    assert differing == (["the audit log's head is not anchored on the ledger: asked"], [""])
    assert asked == ["", ""]


def without_a_key(mesh: Any) -> None:
    """Take the operator's wallet away."""
    keys.faucet_path(mesh.environment.folder).unlink()


def without_money(mesh: Any) -> None:
    """Put an empty wallet in its place."""
    without_a_key(mesh)
    keys.make(keys.faucet_path(mesh.environment.folder))


def without_a_mesh(mesh: Any) -> None:
    """End every node."""
    for name in ("v1", "v2", "v3", "v4"):
        mesh.kill(name)


@pytest.mark.parametrize(
    ("lose", "why"),
    [
        (without_a_key, "no faucet key at"),
        (without_money, "[insufficient]"),
        (without_a_mesh, "no node answers"),
    ],
)
def test_what_cannot_be_anchored_says_why_and_fails_no_run(
    fake_mesh: Any, lose: Callable[[Any], None], why: str
) -> None:
    """No wallet, no money, no mesh: asked for it is an error, at the end of a run a note."""
    log(fake_mesh.environment, 2)
    lose(fake_mesh)

    (said,) = after_run(fake_mesh.environment)
    with pytest.raises(AitbcError) as failed:
        anchoring.anchor(fake_mesh.environment, wait_s=60)

    assert str(said).startswith("the audit log's head is not anchored on the ledger: ")
    assert why in str(said)
    assert why in failed.value.message
    assert failed.value.hint


def test_one_node_alone_is_not_believed(fake_mesh: Any) -> None:
    """A quarter of the power may lie about what the ledger holds: it is not compared with."""
    log(fake_mesh.environment, 2)
    anchoring.anchor(fake_mesh.environment, wait_s=60)
    for name in ("v1", "v2", "v3"):
        fake_mesh.kill(name)

    found = remembered(fake_mesh.environment)

    assert (found.counted, found.why) == (0, "only v4 of all validators answer")


def test_nodes_that_have_lost_their_power_are_not_believed(fake_mesh: Any) -> None:
    """Three of four by the inventory, and less than a third of what stakes have made of it."""
    environment = fake_mesh.environment
    log(environment, 2)
    anchoring.anchor(environment, wait_s=60)
    believed = remembered(environment)
    fake_mesh.move_power({"v1": 10})
    fake_mesh.kill("v1")

    found = remembered(environment)

    assert (believed.counted, believed.why) == (1, "")
    assert (found.counted, found.why) == (0, "only v2 v3 v4 of all validators answer")


def test_another_account_anchors_for_itself(fake_mesh: Any, tmp_path: Path) -> None:
    """What a stranger wrote under its own account says nothing; a key that is missing is named."""
    environment = fake_mesh.environment
    log(environment, 2)
    anchoring.anchor(environment, wait_s=60)
    records, _ = audit.check(audit.path_of(environment))
    stranger = "aitd1" + "q" * 4

    with Mesh(environment) as mesh:
        found = anchoring.compare(environment, records, mesh, account=stranger)
    with pytest.raises(ConfigError, match="no key at"):
        anchoring.anchor(environment, key=tmp_path / "none.key", wait_s=60)

    assert (found.counted, found.newest, found.findings) == (0, 0, ())
