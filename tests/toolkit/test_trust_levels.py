"""Which level a commit gets, on real repositories with real keys: every row of the known traps."""

from pathlib import Path

import msgspec
import pytest
from signed_work import Repository, a_key, a_repository, an_allowed, public

from aitbc_toolkit.release import signatures, trust
from aitbc_toolkit.release.allowed import Allowed, Rule, Signer
from aitbc_toolkit.release.public_keys import read
from aitbc_toolkit.release.trust import Decision, Level


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Give the key that the environment trusts."""
    return a_key(tmp_path, "ana")


@pytest.fixture
def mallory(tmp_path: Path) -> Path:
    """Give a key that nobody trusts."""
    return a_key(tmp_path, "mallory")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Give an empty repository."""
    return a_repository(tmp_path / "work")


def judged(repository: Repository, commit: str, allowed: Allowed, **where: str) -> Decision:
    """Judge a commit of a repository."""
    return trust.decide(repository.candidate(commit, **where), allowed)


@pytest.mark.proves("D1")
def test_a_signed_commit_of_the_branch_is_trusted(repository: Repository, key: Path) -> None:
    """The level is trusted; the rule, the signer and what was signed are named."""
    commit = repository.commit("one", key=key)

    found = judged(repository, commit, an_allowed(key))

    assert (found.level, found.rule, found.signer) == (Level.TRUSTED, "main", "ana@example")
    assert found.proof == "the commit"


@pytest.mark.proves("D1")
def test_what_no_rule_allows_is_unknown(repository: Repository, key: Path) -> None:
    """Without a rule even a signed commit is unknown, and the reason says so."""
    commit = repository.commit("one", key=key)

    found = judged(repository, commit, Allowed())

    assert (found.level, found.rule, found.reason) == (Level.UNKNOWN, "", "no rule")


@pytest.mark.proves("D1")
def test_dev_mode_says_what_it_lets_through(repository: Repository, key: Path) -> None:
    """An unsigned commit is level dev, with the reason why no rule held."""
    commit = repository.commit("one")

    found = judged(repository, commit, an_allowed(key, dev_mode=True))

    assert found.level is Level.DEV
    assert "neither it nor a tag of it is signed" in found.reason


@pytest.mark.proves("D1")
def test_a_trusted_commit_stays_trusted_in_dev_mode(repository: Repository, key: Path) -> None:
    """There is exactly one level: a rule that holds comes before dev mode."""
    commit = repository.commit("one", key=key)

    assert judged(repository, commit, an_allowed(key, dev_mode=True)).level is Level.TRUSTED


@pytest.mark.proves("D2")
def test_an_unsigned_commit_is_unknown(repository: Repository, key: Path) -> None:
    """No signature, no trust, although the author's name is that of the signer."""
    assert judged(repository, repository.commit("one"), an_allowed(key)).level is Level.UNKNOWN


@pytest.mark.proves("D2")
def test_a_stranger_s_good_signature_is_unknown(
    repository: Repository, key: Path, mallory: Path
) -> None:
    """Git prints `Good signature` for a key that nobody allowed; it does not count."""
    commit = repository.commit("one", key=mallory)

    assert judged(repository, commit, an_allowed(key)).level is Level.UNKNOWN


@pytest.mark.proves("D2")
def test_a_commit_beside_the_branch_is_unknown(repository: Repository, key: Path) -> None:
    """Signed by the right key, but not reachable from the branch."""
    repository.commit("one", key=key)
    repository.git("checkout", "--quiet", "-b", "side")
    commit = repository.commit("two", key=key)

    found = judged(repository, commit, an_allowed(key))

    assert found.level is Level.UNKNOWN
    assert found.reason == "rule main: it is not on branch main"


@pytest.mark.proves("D2")
def test_a_branch_below_the_branch_is_another(repository: Repository, key: Path) -> None:
    """`release/x` is not `release`, although git lists both for that prefix."""
    repository.git("checkout", "--quiet", "-b", "release/x")
    commit = repository.commit("one", key=key)

    assert judged(repository, commit, an_allowed(key, branch="release")).level is Level.UNKNOWN
    assert judged(repository, commit, an_allowed(key, branch="release/*")).level is Level.TRUSTED


@pytest.mark.proves("D2")
@pytest.mark.parametrize(
    "remote",
    [
        "ssh://git@evil.example/aitbc.git",
        "ssh://git@forge.example/aitbc.git.evil",
        "ssh://git@forge.example/other/aitbc.git",
    ],
)
def test_another_remote_is_unknown(repository: Repository, key: Path, remote: str) -> None:
    """The same signed commit from elsewhere is not trusted."""
    commit = repository.commit("one", key=key)

    assert judged(repository, commit, an_allowed(key), remote=remote).level is Level.UNKNOWN


@pytest.mark.proves("D2")
def test_a_local_repository_is_trusted_by_its_path(repository: Repository, key: Path) -> None:
    """A rule may name a path pattern; `*` does not reach into other folders."""
    commit = repository.commit("one", key=key)
    rule = Rule(name="local", path="/srv/*", branch="main", signers=["ana@example"])
    allowed = msgspec.structs.replace(an_allowed(key), rules=[rule])

    assert judged(repository, commit, allowed, remote="/srv/aitbc").level is Level.TRUSTED
    assert judged(repository, commit, allowed, remote="/srv/a/aitbc").level is Level.UNKNOWN


@pytest.mark.proves("D2")
def test_a_revoked_key_signs_nothing(repository: Repository, key: Path) -> None:
    """Even what was signed before the key was revoked: the thief chooses the date."""
    commit = repository.commit("one", key=key, GIT_COMMITTER_DATE="2020-01-01T00:00:00Z")

    assert judged(repository, commit, an_allowed(key, revoked=key)).level is Level.UNKNOWN


def test_git_itself_refuses_a_revoked_key(repository: Repository, key: Path) -> None:
    """The revocation file works alone, should a revoked key ever be left among the allowed."""
    commit = repository.commit("one", key=key)
    own = read(public(key))

    with signatures.keyring("ana@example", own, revoked=[public(key)], namespace="git") as ring:
        assert not signatures.commit_is_signed(repository.root / ".git", commit, ring)


def test_a_signature_for_another_purpose_is_refused(repository: Repository, key: Path) -> None:
    """A key that is allowed for approvals only does not sign commits."""
    commit = repository.commit("one", key=key)
    own = read(public(key))

    with signatures.keyring("ana@example", own, revoked=[], namespace=signatures.APPROVAL) as ring:
        assert not signatures.commit_is_signed(repository.root / ".git", commit, ring)


@pytest.mark.proves("D2")
def test_a_repository_cannot_allow_its_own_signers(
    repository: Repository, key: Path, mallory: Path, tmp_path: Path
) -> None:
    """The mirror's configuration names a file that allows the stranger: plain git believes it."""
    commit = repository.commit("one", key=mallory)
    planted = tmp_path / "planted"
    planted.write_text(f"ana@example {public(mallory)}\n", encoding="utf-8")
    repository.git("config", "gpg.ssh.allowedSignersFile", str(planted))

    repository.git("verify-commit", commit)  # plain git is fooled

    assert judged(repository, commit, an_allowed(key)).level is Level.UNKNOWN


@pytest.mark.proves("D2")
def test_a_repository_cannot_bring_its_own_verifier(
    repository: Repository, key: Path, mallory: Path, tmp_path: Path
) -> None:
    """The mirror's configuration names a program that says yes to everything."""
    commit = repository.commit("one", key=mallory)
    yes = tmp_path / "yes"
    yes.write_text("#!/bin/sh\necho 'Good \"git\" signature for ana@example with x'\n")
    yes.chmod(0o755)
    for name in ("gpg.ssh.program", "gpg.program", "gpg.openpgp.program", "gpg.x509.program"):
        repository.git("config", name, str(yes))

    assert judged(repository, commit, an_allowed(key)).level is Level.UNKNOWN


@pytest.mark.proves("D2")
def test_a_replaced_object_is_not_believed(repository: Repository, key: Path) -> None:
    """`refs/replace` shows a signed commit in place of the unsigned one: plain git believes it."""
    signed = repository.commit("good", key=key)
    unsigned = repository.commit("bad")
    repository.git("replace", "-f", unsigned, signed)
    planted = repository.root / "planted"
    planted.write_text(f"ana@example {public(key)}\n", encoding="utf-8")

    repository.git("-c", f"gpg.ssh.allowedSignersFile={planted}", "verify-commit", unsigned)

    assert judged(repository, unsigned, an_allowed(key)).level is Level.UNKNOWN


def test_an_expired_permission_is_not_what_protects(repository: Repository, key: Path) -> None:
    """Git judges by the date that the commit claims, so dates are no part of a trust file."""
    assert "valid_before" not in Signer.__struct_fields__
    commit = repository.commit("one", key=key, GIT_COMMITTER_DATE="2001-01-01T00:00:00Z")

    assert judged(repository, commit, an_allowed(key)).level is Level.TRUSTED


@pytest.mark.proves("D2")
def test_a_signed_release_tag_vouches_for_its_commit(repository: Repository, key: Path) -> None:
    """The commit itself is unsigned; the environment's tag on it is signed."""
    commit = repository.commit("one")
    repository.tag("rel/staging/1", commit, key=key)

    found = judged(repository, commit, an_allowed(key))

    assert (found.level, found.proof) == (Level.TRUSTED, "tag rel/staging/1")


@pytest.mark.proves("D2")
def test_a_tag_of_another_environment_vouches_for_nothing(
    repository: Repository, key: Path
) -> None:
    """What was released to the lab is not released to staging."""
    commit = repository.commit("one")
    repository.tag("rel/lab/1", commit, key=key)

    assert judged(repository, commit, an_allowed(key)).level is Level.UNKNOWN


@pytest.mark.proves("D2")
def test_a_stranger_s_tag_vouches_for_nothing(
    repository: Repository, key: Path, mallory: Path
) -> None:
    """The name of a tag is only a name."""
    commit = repository.commit("one")
    repository.tag("rel/staging/1", commit, key=mallory)

    assert judged(repository, commit, an_allowed(key)).level is Level.UNKNOWN


@pytest.mark.proves("D2")
def test_a_light_tag_vouches_for_nothing(repository: Repository, key: Path) -> None:
    """There is no object that could be signed."""
    commit = repository.commit("one")
    repository.git("tag", "rel/staging/1", commit)

    assert judged(repository, commit, an_allowed(key)).level is Level.UNKNOWN


@pytest.mark.proves("D2")
def test_a_signed_tag_under_another_name_vouches_for_nothing(
    repository: Repository, key: Path
) -> None:
    """An old release's signed tag object, served under the name of a new one."""
    commit = repository.commit("one")
    repository.tag("rel/staging/1", commit, key=key)
    signed = repository.git("rev-parse", "rel/staging/1")
    repository.git("update-ref", "refs/tags/rel/staging/2", signed)
    repository.git("update-ref", "-d", "refs/tags/rel/staging/1")

    assert judged(repository, commit, an_allowed(key)).level is Level.UNKNOWN


@pytest.mark.proves("D2")
def test_a_signed_tag_of_another_environment_cannot_be_renamed(
    repository: Repository, key: Path
) -> None:
    """The tag object says lab; under the name of a staging release it says lab still."""
    commit = repository.commit("one")
    repository.tag("rel/lab/1", commit, key=key)
    signed = repository.git("rev-parse", "rel/lab/1")
    repository.git("update-ref", "refs/tags/rel/staging/1", signed)

    assert judged(repository, commit, an_allowed(key)).level is Level.UNKNOWN


@pytest.mark.proves("D2")
def test_a_tag_of_a_tag_vouches_for_nothing(repository: Repository, key: Path) -> None:
    """The object that is signed has to name the commit itself."""
    commit = repository.commit("one")
    repository.git("tag", "-a", "-m", "inner", "inner", commit)
    repository.tag("rel/staging/1", repository.git("rev-parse", "inner"), key=key)

    assert judged(repository, commit, an_allowed(key)).level is Level.UNKNOWN


def test_a_repository_of_another_user_fails_closed(
    repository: Repository, key: Path, tmp_path: Path
) -> None:
    """Whatever git refuses to read gives no trust."""
    commit = repository.commit("one", key=key)
    (repository.root / ".git").rename(tmp_path / "elsewhere")

    assert judged(repository, commit, an_allowed(key)).level is Level.UNKNOWN


def test_the_first_rule_that_holds_decides(
    repository: Repository, key: Path, mallory: Path
) -> None:
    """Rules are tried in their order; those that do not hold leave no trace in the level."""
    commit = repository.commit("one", key=key)
    other = Rule(name="other", remote="https://x.example/y", branch="main", signers=["m@example"])
    signer = Signer(principal="m@example", key=public(mallory), roles=["release"])
    known = an_allowed(key)
    allowed = Allowed(rules=[other, *known.rules], signers=[signer, *known.signers])

    assert judged(repository, commit, allowed).rule == "main"
