"""When an unknown release may go: the table of states, and what reviewers signed."""

import itertools
import json
from pathlib import Path

import msgspec
import pytest
from signed_work import a_key, public

from aitbc_toolkit.errors import AitbcError, ConfigError, Exit, UsageError
from aitbc_toolkit.release import approvals, reviews, roles
from aitbc_toolkit.release.allowed import Allowed, Revoked, Role, Signer
from aitbc_toolkit.release.approvals import NEXT, Request, Review, Rules, State, Verdict
from aitbc_toolkit.release.trust import Level

NOW_S = 1_800_000_000.0
NOW = reviews.moment(NOW_S)
SUBJECT = ("staging", "a" * 40, "c" * 64, "e" * 64)
REQUEST = Request(*SUBJECT, expires=reviews.moment(NOW_S + 3600))


def a_review(reviewer: str, decision: str = "approve", *, of: Request = REQUEST) -> Review:
    """Build a verified word of a reviewer."""
    return Review(of.hash, reviewer, decision, "read it", NOW)  # type: ignore[arg-type]  # plain words


def judged(*words: Review, needed: int = 2, deployer: str = "dora", strict: bool = True) -> Verdict:
    """Judge the request of these tests."""
    return approvals.judge(REQUEST, words, Rules(needed, deployer, strict), now=NOW)


LEGAL = {
    (State.PENDING, State.REVIEWING),
    (State.REVIEWING, State.APPROVED),
    (State.REVIEWING, State.DENIED),
}


@pytest.mark.unit
@pytest.mark.proves("D4")
@pytest.mark.parametrize(("one", "other"), list(itertools.product(State, State)))
def test_only_the_steps_of_the_table_are_possible(one: State, other: State) -> None:
    """All 36 pairs: three steps exist, and approved to pending is not among them."""
    if (one, other) in LEGAL:
        assert approvals.move(one, other) is other
        return
    with pytest.raises(AssertionError, match="never goes from"):
        approvals.move(one, other)


@pytest.mark.unit
def test_the_table_knows_every_state_and_level() -> None:
    """A state without a row would be a hole."""
    assert set(NEXT) == set(State)
    assert set(approvals.FIRST) == set(Level)
    assert approvals.FIRST[Level.UNKNOWN] not in approvals.PASSES


@pytest.mark.unit
@pytest.mark.proves("D4")
@pytest.mark.parametrize(
    ("words", "state", "missing"),
    [
        ([], State.PENDING, "0 of 2 approvals"),
        ([a_review("ana")], State.REVIEWING, "1 of 2 approvals"),
        ([a_review("ana"), a_review("ana")], State.REVIEWING, "1 of 2 approvals"),
        ([a_review("ana"), a_review("bob")], State.APPROVED, ""),
        ([a_review("ana"), a_review("dora")], State.APPROVED, ""),
        ([a_review("ana"), a_review("bob"), a_review("cyd", "deny")], State.DENIED, ""),
        ([a_review("cyd", "deny")], State.DENIED, ""),
    ],
)
def test_m_distinct_reviewers_are_needed(words: list[Review], state: State, missing: str) -> None:
    """Each reviewer counts once, and a denial is never outvoted."""
    found = judged(*words)

    assert (found.state, found.missing) == (state, missing)
    assert found.passes == (state is State.APPROVED)


@pytest.mark.unit
@pytest.mark.proves("D4")
def test_the_deployer_is_never_the_only_approver_in_production() -> None:
    """One approval is enough by number, but it may not be the deployer's own."""
    own = judged(a_review("dora"), needed=1)

    assert own.state is State.REVIEWING
    assert own.missing == "an approval by somebody else than dora, who deploys"
    assert judged(a_review("ana"), needed=1).passes
    assert judged(a_review("dora"), needed=1, strict=False).passes


@pytest.mark.unit
@pytest.mark.proves("D4")
@pytest.mark.parametrize(
    "other",
    [
        Request("lab", *SUBJECT[1:], REQUEST.expires),
        Request("staging", "b" * 40, *SUBJECT[2:], REQUEST.expires),
        Request("staging", "a" * 40, "d" * 64, "e" * 64, REQUEST.expires),
        Request("staging", "a" * 40, "c" * 64, "f" * 64, REQUEST.expires),
        Request(*SUBJECT, expires=reviews.moment(NOW_S + 7200)),
    ],
)
def test_an_approval_is_for_exactly_one_request(other: Request) -> None:
    """Another environment, commit, configuration, genesis or end needs new approvals."""
    found = judged(a_review("ana", of=other), a_review("bob", of=other))

    assert other.hash != REQUEST.hash
    assert found.state is State.PENDING


@pytest.mark.unit
def test_an_expired_request_passes_no_more() -> None:
    """What was approved long ago was approved for then."""
    words = [a_review("ana"), a_review("bob")]

    found = approvals.judge(REQUEST, words, Rules(2, "dora", strict=True), now=REQUEST.expires)

    assert not found.passes
    assert found.missing == f"it expired at {REQUEST.expires}"


@pytest.mark.unit
@pytest.mark.parametrize(("role", "action"), list(itertools.product(roles.ROLES, roles.ACTIONS)))
def test_each_role_may_do_what_the_table_says(role: Role, action: roles.Action) -> None:
    """The whole table, written a second time by hand."""
    expected = {
        "viewer": "read",
        "qa": "read approve",
        "release": "read approve cut",
        "operator": "read approve deploy rollback operate trust",
    }

    assert roles.may([role], action) == (action in expected[role].split())


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    """Make a key for each person of these tests."""
    return {name: a_key(tmp_path, name) for name in ("ana", "bob", "vic", "mallory")}


@pytest.fixture
def known(keys: dict[str, Path]) -> Allowed:
    """Know two who may approve and one who may only look; mallory is nobody."""
    given: dict[str, list[Role]] = {"ana": ["release"], "bob": ["qa"], "vic": ["viewer"]}
    return Allowed(
        signers=[
            Signer(principal=f"{name}@example", key=public(keys[name]), roles=each)
            for name, each in given.items()
        ]
    )


def asked(folder: Path) -> Request:
    """Put the request of these tests into the queue."""
    return reviews.ask(folder, subject=SUBJECT, now_s=NOW_S)


def said(folder: Path, request: Request, known: Allowed, key: Path) -> Path:
    """Let somebody approve a request."""
    own = reviews.own_key(known, key)
    return reviews.write(folder, request, own, decision="approve", reason="read it", now_s=NOW_S)


@pytest.mark.proves("D4")
def test_signed_words_are_read_back(tmp_path: Path, known: Allowed, keys: dict[str, Path]) -> None:
    """Two reviewers sign the hash, and the request is approved from the files alone."""
    request = asked(tmp_path)
    said(tmp_path, request, known, keys["ana"])
    said(tmp_path, request, known, keys["bob"])

    counted, refused = reviews.verified(tmp_path, request, known)
    verdict = approvals.judge(request, counted, Rules(2, "dora", strict=True), now=NOW)

    assert [each.reviewer for each in counted] == ["ana@example", "bob@example"]
    assert refused == []
    assert verdict.state is State.APPROVED


@pytest.mark.proves("D4")
def test_an_edited_word_counts_for_nothing(
    tmp_path: Path, known: Allowed, keys: dict[str, Path]
) -> None:
    """A denial that somebody turns into an approval is not signed any more."""
    request = asked(tmp_path)
    own = reviews.own_key(known, keys["ana"])
    path = reviews.write(tmp_path, request, own, decision="deny", reason="no", now_s=NOW_S)
    path.write_text(path.read_text(encoding="utf-8").replace('"deny"', '"approve"'))

    counted, refused = reviews.verified(tmp_path, request, known)

    assert counted == []
    assert refused == ["ana@example.json: not signed by ana@example"]


@pytest.mark.proves("D4")
def test_a_word_on_one_request_is_none_on_another(
    tmp_path: Path, known: Allowed, keys: dict[str, Path]
) -> None:
    """Files copied to the folder of another commit are about another request."""
    first = asked(tmp_path)
    path = said(tmp_path, first, known, keys["ana"])
    second = reviews.ask(tmp_path, subject=(SUBJECT[0], "b" * 40, *SUBJECT[2:]), now_s=NOW_S)
    for each in (path, path.with_suffix(".json.sig")):
        copy = tmp_path / "approvals" / second.hash / each.name
        copy.write_bytes(each.read_bytes())

    counted, refused = reviews.verified(tmp_path, second, known)

    assert counted == []
    assert refused == ["ana@example.json: it is about another request"]


def test_a_word_under_another_name_counts_for_nothing(
    tmp_path: Path, known: Allowed, keys: dict[str, Path]
) -> None:
    """One reviewer cannot speak for two: the file of bob is not signed by bob."""
    request = asked(tmp_path)
    path = said(tmp_path, request, known, keys["ana"])
    for each in (path, path.with_suffix(".json.sig")):
        (each.parent / each.name.replace("ana", "bob")).write_bytes(each.read_bytes())

    counted, refused = reviews.verified(tmp_path, request, known)

    assert [each.reviewer for each in counted] == ["ana@example"]
    assert refused == ["bob@example.json: not signed by bob@example"]


def test_a_viewer_s_signature_counts_for_nothing(
    tmp_path: Path, known: Allowed, keys: dict[str, Path]
) -> None:
    """The files are judged by the roles as well as the command is."""
    request = asked(tmp_path)
    said(tmp_path, request, known, keys["vic"])

    counted, refused = reviews.verified(tmp_path, request, known)

    assert counted == []
    assert refused == ["vic@example.json: the roles viewer may not approve"]


def test_a_revoked_reviewer_counts_no_more(
    tmp_path: Path, known: Allowed, keys: dict[str, Path]
) -> None:
    """Revoking a key takes back what it approved and what was not deployed yet."""
    request = asked(tmp_path)
    said(tmp_path, request, known, keys["ana"])
    revoked = [Revoked(key=public(keys["ana"]), reason="stolen")]

    counted, _ = reviews.verified(
        tmp_path, request, msgspec.structs.replace(known, revoked=revoked)
    )

    assert counted == []


def test_a_stranger_cannot_review(tmp_path: Path, known: Allowed, keys: dict[str, Path]) -> None:
    """The key is in nobody's name here."""
    with pytest.raises(ConfigError, match="belongs to no valid signer"):
        said(tmp_path, asked(tmp_path), known, keys["mallory"])


def test_what_was_said_stays_said(tmp_path: Path, known: Allowed, keys: dict[str, Path]) -> None:
    """A reviewer speaks once on a request."""
    request = asked(tmp_path)
    said(tmp_path, request, known, keys["ana"])

    with pytest.raises(AitbcError, match="has reviewed it already") as caught:
        said(tmp_path, request, known, keys["ana"])

    assert caught.value.exit_status is Exit.REFUSED


def test_asking_twice_is_one_request(tmp_path: Path) -> None:
    """The same commit, configuration and genesis have one place in the queue until it ends."""
    first = asked(tmp_path)

    assert reviews.ask(tmp_path, subject=SUBJECT, now_s=NOW_S + 60) == first
    late = reviews.ask(tmp_path, subject=SUBJECT, now_s=NOW_S + reviews.VALID_S)
    assert late.hash != first.hash


@pytest.mark.proves("D4")
def test_the_queue_has_a_capacity(tmp_path: Path) -> None:
    """A queue that is full refuses; requests that ended make room."""
    for number in range(approvals.CAPACITY):
        reviews.ask(tmp_path, subject=("lab", f"{number:040x}", "", ""), now_s=NOW_S)

    with pytest.raises(AitbcError, match="32 requests wait in lab, allowed 32"):
        reviews.ask(tmp_path, subject=("lab", "f" * 40, "", ""), now_s=NOW_S)

    reviews.ask(tmp_path, subject=("lab", "f" * 40, "", ""), now_s=NOW_S + reviews.VALID_S)


def test_a_request_is_found_by_the_start_of_its_hash(tmp_path: Path) -> None:
    """Eight digits are enough, fewer are refused, unknown ones are said to be unknown."""
    request = asked(tmp_path)

    assert reviews.find(tmp_path, request.hash[:8]) == request
    for wrong in (request.hash[:7], "0" * 12):
        with pytest.raises(UsageError):
            reviews.find(tmp_path, wrong)


def test_a_forged_request_is_passed_over(tmp_path: Path) -> None:
    """A folder's name is the hash of what is asked; whoever edits one is not listed."""
    request = asked(tmp_path)
    path = tmp_path / "approvals" / request.hash / "request.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**document, "commit": "b" * 40}), encoding="utf-8")

    assert reviews.waiting(tmp_path) == []
