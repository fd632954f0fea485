"""Which release a rollback returns to, whatever happened in between."""

import dataclasses
import json
from pathlib import Path

import pytest

from aitbc_toolkit.cli import main
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.release import cutting, history
from aitbc_toolkit.release.history import Record


def a_record(
    number: int, commit: str, *, action: str = "deploy", outcome: str = "healthy", config: str = "1"
) -> Record:
    """Build the record of one deploy."""
    return Record(
        id=f"{number:016x}",
        number=number,
        action=action,  # type: ignore[arg-type]  # the tests write plain words
        environment="lab",
        commit=commit * 40,
        subject="a change",
        configs={"v1": config},
        previous={},
        outcome=outcome,  # type: ignore[arg-type]  # as above
        reason="",
        started=f"2026-01-01T00:00:{number:02}Z",
        took_s=1.0,
        who="test@localhost",
        genesis_hash="ab",
        snapshot=False,
    )


def target(*records: Record) -> tuple[str, list[str]]:
    """Name the commit that a rollback returns to, and those that it skips."""
    found, skipped = history.before(records, environment="lab")
    return found.commit[0], [each.commit[0] for each in skipped]


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """Give an environment whose state is in the test's own folder."""
    return Inventory.load("dev", state=tmp_path)


def test_the_release_before_is_found() -> None:
    """Two healthy deploys: the first is what a rollback means."""
    assert target(a_record(1, "a"), a_record(2, "b")) == ("a", [])


def test_failed_deploys_are_skipped_however_many() -> None:
    """Five failures in a row do not hide the last good release."""
    failures = [a_record(number, "f", outcome="rolled back") for number in range(3, 8)]

    assert target(a_record(1, "a"), a_record(2, "b"), *failures) == ("a", ["f"] * 5)


@pytest.mark.parametrize("outcome", ["mixed", "interrupted"])
def test_a_mixed_fleet_returns_to_the_release_that_should_be_running(outcome: str) -> None:
    """A deploy that left some nodes changed is undone by a rollback, not jumped over."""
    assert target(a_record(1, "a"), a_record(2, "b"), a_record(3, "c", outcome=outcome)) == (
        "b",
        ["c"],
    )


def test_an_interrupted_rollback_goes_on() -> None:
    """The same command again means the same release, not the one after it."""
    interrupted = a_record(4, "b", action="rollback", outcome="interrupted")

    assert target(a_record(1, "a"), a_record(2, "b"), a_record(3, "c"), interrupted) == ("b", [])


def test_a_deploy_of_what_runs_is_no_release_of_its_own() -> None:
    """Nodes that were only started again leave the history as it was."""
    assert target(a_record(1, "a"), a_record(2, "b"), a_record(3, "b")) == ("a", [])


def test_a_second_rollback_goes_further_back() -> None:
    """Rolling back twice undoes two deploys, it does not swing between them."""
    three = [a_record(1, "a"), a_record(2, "b"), a_record(3, "c")]

    assert target(*three) == ("b", [])
    assert target(*three, a_record(4, "b", action="rollback")) == ("a", [])


def test_a_deploy_after_a_rollback_can_be_taken_back_to_what_ran() -> None:
    """After b, back to a, then c: a ran before c."""
    records = [a_record(1, "a"), a_record(2, "b"), a_record(3, "a", action="rollback")]

    assert target(*records, a_record(4, "c")) == ("a", [])


def test_a_new_configuration_of_the_same_commit_is_a_release_of_its_own() -> None:
    """Configuration can be rolled back without code."""
    found, _ = history.before(
        [a_record(1, "a", config="1"), a_record(2, "a", config="2")], environment="lab"
    )

    assert found.configs == {"v1": "1"}


@pytest.mark.parametrize("records", [[], [a_record(1, "a")]])
def test_without_a_release_before_a_rollback_is_refused(records: list[Record]) -> None:
    """There is nothing to return to, nothing is touched, and the status says *refused*."""
    with pytest.raises(AitbcError, match="no release to return to") as refused:
        history.before(records, environment="lab")

    assert refused.value.exit_status is Exit.REFUSED


def test_records_of_hosts_and_of_here_are_one_history(environment: Environment) -> None:
    """What another operator deployed is known from the hosts; what both know counts once."""
    ours, theirs = a_record(1, "a"), a_record(2, "b")
    history.append(environment, ours)
    on_hosts = [dataclasses.asdict(each) for each in (ours, theirs)]

    assert history.read(environment, hosts=on_hosts) == [ours, theirs]


def test_a_torn_line_loses_only_itself(environment: Environment) -> None:
    """A kill in the middle of a write costs the record that it was writing."""
    history.append(environment, a_record(1, "a"))
    with history.path_of(environment).open("a") as file:
        file.write('{"id": "torn')

    assert [each.commit[0] for each in history.read(environment)] == ["a"]


def test_releases_of_an_earlier_chain_are_not_returned_to(environment: Environment) -> None:
    """With the genesis go the hosts' folders; its records stay to be read."""
    history.append(environment, dataclasses.replace(a_record(1, "a"), genesis_hash="old"))
    history.append(environment, a_record(2, "b"))

    assert len(history.read(environment)) == 2
    assert [each.commit[0] for each in history.read(environment, genesis_hash="ab")] == ["b"]


def test_hosts_keep_the_newest_healthy_commits_whatever_failed_since() -> None:
    """Failures take no place among the releases that are kept."""
    healthy = [a_record(number, letter) for number, letter in enumerate("abcdefg", start=1)]
    failures = [a_record(number, "x", outcome="rolled back") for number in range(8, 20)]

    kept = history.kept_commits([*healthy, *failures])

    assert [commit[0] for commit in kept] == ["g", "f", "e", "d", "c"]


@pytest.mark.parametrize(("commit", "run"), [("b", 3), ("c", 0)])
def test_a_release_is_shown_with_what_each_node_got_of_it(
    commit: str, run: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newest run of its commit: number, outcome, genesis, and each node's configuration."""
    own = {"aitbc": commit * 40}
    manifest = cutting.Manifest("rel/dev/1", "dev", 1, own, "t", "l", "a change", "", "rita")
    records = [a_record(1, "a"), a_record(2, "b"), a_record(3, "b", config="2")]
    monkeypatch.setattr(cutting, "read", lambda *_words, **_more: manifest)
    monkeypatch.setattr(history, "read", lambda *_words: records)

    assert main.run(["release", "show", "rel/dev/1", "--json"]) == Exit.OK
    deployed = json.loads(capsys.readouterr().out)["deployed"]
    assert main.run(["release", "show", "rel/dev/1"]) == Exit.OK
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]

    if not run:
        assert (deployed, "deployed not from here" in lines) == (None, True)
        return
    assert (deployed["number"], deployed["configs"]) == (run, {"v1": "2"})
    assert f"deployed run {run} of 2026-01-01T00:00:03Z, healthy" in lines
    assert {"genesis ab", f"v1 {commit * 12}, configuration 2"} <= set(lines)
