"""A host's own judgement of signatures, beside that of the operator's machine: they agree."""

import copy
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import pytest
from signed_work import Repository, a_key, a_repository, an_allowed, public

from aitbc_toolkit.deploys.hostside import approving, trusting
from aitbc_toolkit.deploys.hostside.trouble import Trouble
from aitbc_toolkit.release import reviews, trust, vouching
from aitbc_toolkit.release.allowed import Allowed, Signer
from aitbc_toolkit.release.trust import Level

TAG = "rel/staging/1"


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    """Make the trusted key and a stranger's."""
    return {name: a_key(tmp_path, name) for name in ("ana", "mallory")}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Give an empty repository."""
    return a_repository(tmp_path / "work")


def params(repository: Repository, commit: str, key: Path, *, revoked: Path | None = None) -> Any:
    """Build what a host is told; the tag is the one that is there."""
    refs = repository.git("for-each-ref", "--format=%(objectname)", f"refs/tags/{TAG}")
    return {
        "commit": commit,
        "layout": {"mirror": str(repository.root / ".git"), "environment": "staging"},
        "trust": {
            "environment": "staging",
            "tag": TAG,
            "tag_object": refs,
            "signers": [["ana@example", public(key)]],
            "revoked": [public(revoked)] if revoked else [],
            "approval": {},
        },
    }


def vouched(told: Any) -> bool:
    """Ask the host-side program; a refusal of another kind is an error of the test."""
    try:
        return bool(trusting.verify(told))
    except Trouble as refusal:
        if refusal.kind != "trust":
            raise
        return False


def prepare(case: str, repository: Repository, keys: dict[str, Path], folder: Path) -> str:
    """Make the commit of one case; return its hash."""
    match case:
        case "signed":
            return repository.commit("one", key=keys["ana"])
        case "tagged":
            commit = repository.commit("one")
            repository.tag(TAG, commit, key=keys["ana"])
            return commit
        case "stranger":
            commit = repository.commit("one", key=keys["mallory"])
            repository.tag(TAG, commit, key=keys["mallory"])
            return commit
        case "renamed tag":
            commit = repository.commit("one")
            repository.tag("rel/staging/7", commit, key=keys["ana"])
            signed = repository.git("rev-parse", "rel/staging/7")
            repository.git("update-ref", f"refs/tags/{TAG}", signed)
            repository.git("update-ref", "-d", "refs/tags/rel/staging/7")
            return commit
        case "moved tag":
            first = repository.commit("one")
            repository.tag(TAG, first, key=keys["ana"])
            return repository.commit("two")
        case "planted verifier":
            commit = repository.commit("one", key=keys["mallory"])
            yes = folder / "yes"
            yes.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
            yes.chmod(0o755)
            repository.git("config", "gpg.ssh.program", str(yes))
            return commit
        case "replaced":
            signed = repository.commit("good", key=keys["ana"])
            commit = repository.commit("bad")
            repository.git("replace", "-f", commit, signed)
            return commit
        case _:
            return repository.commit("one")


@pytest.mark.proves("D2")
@pytest.mark.parametrize(
    ("case", "trusted"),
    [
        ("signed", True),
        ("tagged", True),
        ("unsigned", False),
        ("stranger", False),
        ("renamed tag", False),
        ("moved tag", False),
        ("planted verifier", False),
        ("replaced", False),
    ],
)
def test_host_and_operator_judge_alike(
    repository: Repository, keys: dict[str, Path], tmp_path: Path, case: str, *, trusted: bool
) -> None:
    """The same commit, the same keys, two implementations, one answer."""
    commit = prepare(case, repository, keys, tmp_path)

    here = trust.decide(repository.candidate(commit), an_allowed(keys["ana"]))
    there = vouched(params(repository, commit, keys["ana"]))

    assert (here.level is Level.TRUSTED, there) == (trusted, trusted)


def test_a_host_refuses_a_revoked_key(repository: Repository, keys: dict[str, Path]) -> None:
    """Also where it is still among the signers that the host was told."""
    commit = repository.commit("one", key=keys["ana"])
    told = params(repository, commit, keys["ana"], revoked=keys["ana"])

    with pytest.raises(Trouble, match="not signed by a key that staging trusts"):
        trusting.verify(told)


def test_a_host_that_is_told_nothing_judges_nothing(repository: Repository) -> None:
    """An environment that asks for no signature gets no claim about one."""
    assert trusting.verify({"trust": {}, "commit": repository.commit("one")}) == ""


def test_a_tag_that_is_another_object_is_refused(
    repository: Repository, keys: dict[str, Path]
) -> None:
    """It is signed by the right key and names the commit, but it is not the one decided about."""
    commit = repository.commit("one")
    repository.tag(TAG, commit, key=keys["ana"])
    told = params(repository, commit, keys["ana"])
    told["trust"]["tag_object"] = "0" * 40

    with pytest.raises(Trouble, match=f"tag {TAG} moved"):
        trusting.verify(told)


@pytest.mark.parametrize("own", ["production", "stag", "staging-2"])
def test_a_tag_of_another_environment_is_refused(
    repository: Repository, keys: dict[str, Path], own: str
) -> None:
    """Signed by a trusted key for staging: it is neither proof nor a number anywhere else."""
    commit = repository.commit("one", key=keys["ana"])
    repository.tag(TAG, commit, key=keys["ana"])
    told = params(repository, commit, keys["ana"])
    told["layout"]["environment"] = own

    with pytest.raises(Trouble, match=f"tag {TAG} is a release of another environment than {own}"):
        trusting.verify(told)


def test_an_operator_tells_hosts_no_tag_of_another_environment() -> None:
    """A release of staging that is deployed to production by its tag is a commit there."""
    signed = trust.Decision(Level.TRUSTED, "a" * 40, "", "", "the commit is signed", "")

    assert vouching._tag_of("staging", TAG, signed) == TAG
    assert vouching._tag_of("production", TAG, signed) == ""


COMMIT = "a" * 40


def an_approval(
    folder: Path,
    keys: dict[str, Path],
    said: dict[str, Literal["approve", "deny"]],
    *,
    expires_s: float = 3600.0,
) -> Any:
    """Let people say something about one request; give it as a host is told of it."""
    allowed = Allowed(
        signers=[
            Signer(principal=f"{name}@example", key=public(key), roles=["qa"])
            for name, key in keys.items()
        ]
    )
    now_s = time.time()
    subject = ("staging", COMMIT, "c" * 64, "e" * 64)
    request = reviews.ask(folder, subject=subject, now_s=now_s - 1, valid_s=int(expires_s))
    for name, decision in said.items():
        own = reviews.own_key(allowed, keys[name])
        early_s = now_s - 7200
        reviews.write(folder, request, own, decision=decision, reason="read it", now_s=early_s)
    reviewers = [each.principal for each in allowed.signers]
    return {
        "environment": "staging",
        "approval": {
            "hash": request.hash,
            "request": asdict(request),
            "needed": 2,
            "not_alone": "",
            "reviewers": [[each.principal, each.public_key.line] for each in allowed.signers],
            "words": reviews.words(folder, request, reviewers),
            "namespace": "aitbc-approval",
        },
    }


def judged(trust: Any, folder: Path, *, commit: str = COMMIT, revoked: str = "") -> str:
    """Ask the host-side program; return its proof or its refusal."""
    gone = folder / "gone"
    gone.write_text(revoked, encoding="utf-8")
    try:
        return approving.verify(commit, trust, folder=folder, revoked=gone)
    except Trouble as refusal:
        return f"{refusal.kind}: {refusal.message}"


@pytest.mark.proves("D4")
def test_a_host_counts_distinct_reviewers(tmp_path: Path, keys: dict[str, Path]) -> None:
    """Two of two are enough, one is not, and one word twice is one."""
    both = an_approval(tmp_path / "both", keys, {"ana": "approve", "mallory": "approve"})
    one = an_approval(tmp_path / "one", keys, {"ana": "approve"})
    twice = copy.deepcopy(one)
    (word,) = twice["approval"]["words"]
    twice["approval"]["words"] = [word, ["mallory@example", *word[1:]]]

    assert judged(both, tmp_path).endswith("is signed by ana@example, mallory@example")
    for few in (one, twice):
        assert judged(few, tmp_path).endswith("1 of 2 approvals are signed by a reviewer's key")


@pytest.mark.proves("D4")
@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("denied", "was denied by mallory@example"),
        ("expired", "expired at"),
        ("another commit", "is about another commit"),
        ("another environment", "is about another commit"),
        ("another configuration", "0 of 2 approvals"),
        ("another end", "0 of 2 approvals"),
        ("not signed", "1 of 2 approvals"),
        ("revoked", "1 of 2 approvals"),
        ("a stranger", "1 of 2 approvals"),
        ("alone", "is only by ana@example, who deploys"),
    ],
)
def test_a_host_refuses_an_approval_that_is_none(
    tmp_path: Path, keys: dict[str, Path], case: str, why: str
) -> None:
    """Each of the things that an approval is bound to, changed by itself."""
    said: dict[str, Literal["approve", "deny"]] = {"ana": "approve", "mallory": "approve"}
    said |= {"mallory": "deny"} if case == "denied" else {}
    told = an_approval(tmp_path, keys, said, expires_s=0 if case == "expired" else 3600)
    approval = told["approval"]
    match case:
        case "another environment":
            told["environment"] = "production"
        case "another configuration":
            approval["request"]["configuration"] = "d" * 64
        case "another end":
            approval["request"]["expires"] = "2999-01-01T00:00:00Z"
        case "not signed":
            approval["words"][0][2] = approval["words"][1][2]
        case "a stranger":
            approval["reviewers"].pop()
        case "alone":
            approval |= {"needed": 1, "not_alone": "ana@example", "words": approval["words"][:1]}

    found = judged(
        told,
        tmp_path,
        commit="b" * 40 if case == "another commit" else COMMIT,
        revoked=public(keys["ana"]) + "\n" if case == "revoked" else "",
    )

    assert found.startswith("trust: ")
    assert why in found
