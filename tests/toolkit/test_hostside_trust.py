"""A host's own judgement of signatures, beside that of the operator's machine: they agree."""

from pathlib import Path
from typing import Any

import pytest
from signed_work import Repository, a_key, a_repository, an_allowed, public

from aitbc_toolkit.deploys.hostside import trusting
from aitbc_toolkit.deploys.hostside.trouble import Trouble
from aitbc_toolkit.release import trust
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
    """Build what a host is told."""
    return {
        "commit": commit,
        "layout": {"mirror": str(repository.root / ".git")},
        "trust": {
            "environment": "staging",
            "tag": TAG,
            "signers": [["ana@example", public(key)]],
            "revoked": [public(revoked)] if revoked else [],
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
