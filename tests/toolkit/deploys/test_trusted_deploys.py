"""Deploys from an origin that hosts verify: who signed, who approved, which commit exactly."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from killed_runs import asked, killed, resumed
from signed_work import a_key, public
from tomlkit import TOMLDocument

from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.release import audit, cutting, reviews, safekeeping, source, standing, vouching
from aitbc_toolkit.release.request import Request

pytestmark = pytest.mark.integration

Build = Callable[..., Any]
ROLES = {"dora": "operator", "rita": "release", "quin": "qa", "vic": "viewer"}


@dataclass
class Trusting:
    """Hold a project whose environment trusts rita's signature on main of an origin."""

    project: Any
    origin: Path
    keys: dict[str, Path]

    def commit(self, subject: str, *, key: str = "", push: bool = True) -> str:
        """Commit, signed by somebody or by nobody; return the commit's name."""
        git = self.project.git
        (self.project.checkout / "notes").write_text(subject, encoding="utf-8")
        git("add", "--all")
        signing = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={self.keys.get(key)}"]
        flag = "-S" if key else "--no-gpg-sign"
        git(*signing, "commit", "--quiet", flag, "--message", subject)
        if push:
            git("push", "--quiet", "--force", "origin", "HEAD:main")
        named: str = git("rev-parse", "HEAD")
        return named

    def cut(self, *, key: str = "rita", push: bool = True) -> str:
        """Sign the next release tag on HEAD, and push it unless told else."""
        manifest, _ = cutting.cut(
            "dev",
            ref="HEAD",
            root=self.project.checkout,
            key=self.keys[key],
            by=f"{key}@example",
            numbers=set(),
        )
        if push:
            cutting.push(manifest.tag, root=self.project.checkout)
        return manifest.tag

    def approve(self, commit: str, *names: str) -> None:
        """Let reviewers sign for a commit, each with their own key."""
        environment = self.project.environment
        request = standing.ask(environment, commit)
        for name in names:
            standing.review(
                environment, request.hash, key=self.keys[name], decision="approve", reason="read it"
            )

    def audited(self) -> list[audit.Entry]:
        records, findings = audit.check(audit.path_of(self.project.environment))
        assert findings == []
        return [each.entry for each in records]

    def releases(self) -> set[str]:
        return {each.name for each in self.project.host_file("opt/aitbc/dev").glob("releases/*")}


@pytest.fixture
def trusting(a_project: Build, tmp_path: Path) -> Trusting:
    """Give a project an origin, four people with roles, and an operator's key."""
    project = a_project(rollout="all")
    origin = tmp_path / "origin.git"
    project.git("init", "--quiet", "--bare", str(origin))
    project.git("remote", "add", "origin", str(origin))
    keys = {name: a_key(tmp_path, name) for name in (*ROLES, "mallory")}
    project.git("config", "user.signingkey", str(keys["dora"]))
    folder = project.environment.inventories / "dev"
    written = (folder / "inventory.toml").read_text(encoding="utf-8")
    head, _, rest = written.partition("[chain]")
    ours = '[environment]\nsource = "origin"\nregenesis = true\n\n'
    (folder / "inventory.toml").write_text(
        f"{head.partition('[environment]')[0]}{ours}[chain]{rest}"
    )
    (folder / "trust.toml").unlink()

    def people(document: TOMLDocument) -> None:
        for name, role in ROLES.items():
            entry = {"principal": f"{name}@example", "key": public(keys[name]), "roles": [role]}
            safekeeping.add(document, "signers", entry)
        rule: dict[str, object] = {"name": "main", "path": str(origin), "branch": "main"}
        safekeeping.add(document, "rules", {**rule, "signers": ["rita@example"]})

    safekeeping.change(folder / "trust.toml", people, strict=False)
    return Trusting(project, origin, keys)


def test_commits_are_pushed_only_when_they_are_meant_to_be(trusting: Trusting) -> None:
    """The commit and its tag, and nothing that was committed after it; a moved branch refuses."""
    project, git = trusting.project, trusting.project.git
    git("branch", "--move", "main")
    trusting.commit("known to all")
    commit, tag = trusting.commit("release me", key="rita", push=False), trusting.cut(push=False)
    later = trusting.commit("not yet", key="rita", push=False)
    with pytest.raises(AitbcError) as refused:
        project.deploy(ref=tag)
    kept_back = git("ls-remote", "origin", "refs/heads/main")

    git("checkout", "--quiet", "--detach")
    with pytest.raises(AitbcError, match="no branch that is named or checked out"):
        project.deploy(ref=tag, push=True)
    git("checkout", "--quiet", "main")
    done = project.deploy(ref=tag, push=True)
    given = git("ls-remote", "origin")
    again = project.deploy(ref=tag, push=True)

    assert refused.value.exit_status is Exit.REFUSED
    assert commit not in kept_back
    assert (done.exit, again.exit) == (Exit.OK, Exit.OK), done.error + again.error
    assert f"{commit}\trefs/heads/main" in given
    assert f"refs/tags/{tag}" in given
    assert later not in given
    assert [each.subject for each in trusting.audited() if each.action == "push"] == [commit] * 2


def test_a_branch_that_went_another_way_at_origin_is_not_replaced(trusting: Trusting) -> None:
    """Nothing is forced: what others have pushed meanwhile stays, and no host is asked."""
    project, git = trusting.project, trusting.project.git
    git("branch", "--move", "main")
    theirs = trusting.commit("theirs")
    git("reset", "--quiet", "--hard", "HEAD~1")
    trusting.commit("ours", key="rita", push=False)

    with pytest.raises(AitbcError, match="origin did not take") as refused:
        project.deploy(push=True)

    assert refused.value.exit_status is Exit.REFUSED
    assert git("ls-remote", "origin", "refs/heads/main").split()[0] == theirs
    assert trusting.releases() == set()


def test_a_push_gives_all_or_nothing(trusting: Trusting) -> None:
    """Origin has another tag of that name: the branch stays there, too."""
    project, git = trusting.project, trusting.project.git
    git("branch", "--move", "main")
    before = trusting.commit("known to all")
    git("push", "--quiet", "origin", "HEAD:refs/tags/rel/dev/1")
    trusting.commit("release me", key="rita", push=False)
    tag = trusting.cut(push=False)

    with pytest.raises(AitbcError, match="origin did not take"):
        project.deploy(ref=tag, push=True)

    assert tag == "rel/dev/1"
    assert git("ls-remote", "origin", "refs/heads/main").split()[0] == before
    assert trusting.releases() == set()


def test_nothing_is_pushed_before_it_may_be_deployed(trusting: Trusting) -> None:
    """Hosts and others fetch from origin: unsigned work gets there when reviewers approved it."""
    project, git = trusting.project, trusting.project.git
    git("branch", "--move", "main")
    before = trusting.commit("known to all")
    unsigned = trusting.commit("trust me", push=False)
    asked = Request(checkout=project.checkout, push=True)
    revision = source.resolve(None, snapshot=False, root=project.checkout)

    def at_origin() -> str:
        told: str = git("ls-remote", "origin", "refs/heads/main").partition("\t")[0]
        return told

    with pytest.raises(AitbcError, match="pending approval") as refused:
        project.deploy(push=True)
    kept_back = at_origin()
    trusting.approve(unsigned, "quin")
    admitted = vouching.admit(project.environment, asked, revision, project.records.append)

    assert kept_back == before
    assert "not given: --push gives what may be deployed" in refused.value.message
    assert f"git push origin {unsigned[:12]}:refs/heads/BRANCH" in refused.value.hint
    assert at_origin() == unsigned
    assert admitted.request is not None
    assert trusting.releases() == set()
    assert [each.action for each in trusting.audited()][-2:] == ["admit", "push"]


def test_a_commit_that_is_at_origin_is_not_said_to_be_missing_there(trusting: Trusting) -> None:
    """Reviewers can read it there already, so nobody is told to push it."""
    trusting.project.git("branch", "--move", "main")
    trusting.commit("trust me")

    with pytest.raises(AitbcError, match="pending approval") as refused:
        trusting.project.deploy(push=True)

    assert "at origin" not in refused.value.message
    assert "git push" not in (refused.value.hint or "")


def test_there_is_nothing_to_push_where_hosts_fetch_from_here(a_project: Build) -> None:
    """The flag would be ignored in silence, and the operator would believe it done."""
    with pytest.raises(UsageError, match="nothing to push"):
        a_project().deploy(push=True)


@pytest.mark.proves("E46")
def test_hosts_verify_the_signature_between_fetch_and_checkout(trusting: Trusting) -> None:
    """A tag of `release cut` is deployed; the host's proof is in its manifest, and audited."""
    commit = trusting.commit("release me")
    tag = trusting.cut()

    done = trusting.project.deploy(ref=tag)

    assert done.exit is Exit.OK, done.error
    assert set(trusting.project.running().values()) == {commit}
    entry = trusting.audited()[-1]
    assert (entry.action, entry.subject, entry.rule) == ("verify", commit, "main")
    assert entry.reason == f"tag {tag} is signed by rita@example, verified on 1 hosts"
    path = trusting.project.host_file(f"opt/aitbc/dev/releases/{commit}/manifest.json")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    assert (manifest["tag"], manifest["proof"]) == (tag, f"tag {tag} is signed by rita@example")


@pytest.mark.proves("D4")
def test_hosts_count_the_reviewers_signatures_themselves(trusting: Trusting) -> None:
    """An unsigned commit that a reviewer approved is deployed on the reviewer's own signature."""
    commit = trusting.commit("approve me")
    trusting.approve(commit, "quin")

    done = trusting.project.deploy()

    assert done.exit is Exit.OK, done.error
    reason = trusting.audited()[-1].reason
    assert reason.endswith("is signed by quin@example, verified on 1 hosts")
    assert reason.startswith("approval ")


@pytest.mark.proves("D2")
def test_a_host_refuses_what_the_operator_s_machine_let_through(
    trusting: Trusting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A toolkit that was talked into trusting a stranger's commit does not get past a host."""
    commit = trusting.commit("trust me", key="mallory")
    good = vouching.trust.decide

    def fooled(candidate: Any, known: Any) -> Any:
        found = good(candidate, known)
        level, proof = vouching.Level.TRUSTED, "the commit"
        return vouching.Decision(level, found.commit, "main", "rita@example", proof, "fooled")

    monkeypatch.setattr(vouching.trust, "decide", fooled)

    with pytest.raises(AitbcError, match="not signed by a key that dev trusts") as caught:
        trusting.project.deploy()

    assert caught.value.exit_status is Exit.REFUSED
    assert commit not in trusting.releases()


@pytest.mark.proves("D4")
def test_a_host_refuses_words_that_were_edited_on_the_way(
    trusting: Trusting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the operator's machine changes in them, it is not the reviewer's word any more."""
    commit = trusting.commit("deny me")
    trusting.approve(commit, "quin")
    read = reviews.words

    def forged(*arguments: Any) -> list[list[str]]:
        return [[name, text.replace("read it", "no!"), sig] for name, text, sig in read(*arguments)]

    monkeypatch.setattr(reviews, "words", forged)

    with pytest.raises(AitbcError, match="0 of 1 approvals are signed by a reviewer's key"):
        trusting.project.deploy()

    assert commit not in trusting.releases()


def test_a_tag_that_moved_at_origin_stops_at_the_host(trusting: Trusting) -> None:
    """Another tag object under the same name is refused, though the same key signed it."""
    first = trusting.commit("one")
    tag = trusting.cut()
    mine = trusting.project.git("rev-parse", tag)
    trusting.commit("two")
    trusting.project.git("tag", "--delete", tag)
    trusting.project.git("push", "--quiet", "origin", f":refs/tags/{tag}")
    assert trusting.cut() == tag
    trusting.project.git("update-ref", f"refs/tags/{tag}", mine)

    with pytest.raises(AitbcError, match=f"tag {tag} moved") as caught:
        trusting.project.deploy(ref=tag)

    assert caught.value.exit_status is Exit.REFUSED
    assert first not in trusting.releases()


def test_a_run_whose_signer_was_revoked_since_is_not_resumed(trusting: Trusting) -> None:
    """The controller died, the key was stolen: nothing more of its commit is rolled out."""
    trusting.commit("signed", key="rita")
    killed(trusting.project, "announced")
    path = trusting.project.environment.inventories / "dev" / "trust.toml"

    safekeeping.change(
        path, lambda doc: safekeeping.take_out(doc, "rita@example", revoke="stolen"), strict=False
    )
    with pytest.raises(AitbcError, match="pending approval") as refused:
        resumed(trusting.project)

    assert refused.value.exit_status is Exit.REFUSED
    assert "nothing, on no host" not in refused.value.message
    assert "the run itself   is open: unknown" in refused.value.message
    assert "aitbc rollback dev" in refused.value.hint
    assert trusting.project.running() == {}
    assert asked(trusting.project).is_open


@pytest.mark.proves("D4")
def test_a_tag_that_moved_after_the_approval_waits_again(trusting: Trusting) -> None:
    """The approval is for the commit, so what the tag names now has none."""
    approved = trusting.commit("one")
    trusting.project.git("tag", "candidate")
    trusting.approve(approved, "quin")
    moved = trusting.commit("two")
    trusting.project.git("tag", "--force", "candidate")

    with pytest.raises(AitbcError, match="pending approval") as caught:
        trusting.project.deploy(ref="candidate")

    assert caught.value.exit_status is Exit.REFUSED
    assert moved not in trusting.releases()


def test_check_17_the_planned_commit_is_deployed_whatever_the_branch_is_now(
    trusting: Trusting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The branch is force-pushed between the decision and the fetch: still the planned commit."""
    root = trusting.project.git("rev-parse", "HEAD")
    planned = trusting.commit("planned", key="rita")
    publish = source.publish

    def and_then(*arguments: Any, **named: Any) -> Any:
        place = publish(*arguments, **named)
        trusting.project.git("push", "--quiet", "--force", "origin", f"{root}:main")
        return place

    monkeypatch.setattr(source, "publish", and_then)

    done = trusting.project.deploy()

    assert done.exit is Exit.OK, done.error
    assert set(trusting.project.running().values()) == {planned}
    assert trusting.project.git("ls-remote", "origin", "refs/heads/main").split()[0] == root


def test_an_older_signed_release_is_refused_by_the_host(trusting: Trusting) -> None:
    """Its signature is as good as ever; a rollback goes back, or the operator says so, audited."""
    old = trusting.commit("one")
    older_tag = trusting.cut()
    first = trusting.project.deploy(ref=older_tag)
    trusting.commit("two")
    newer_tag = trusting.cut()
    second = trusting.project.deploy(ref=newer_tag)

    with pytest.raises(AitbcError, match=f"{older_tag} is older than {newer_tag}") as caught:
        trusting.project.deploy(ref=older_tag)
    allowed = trusting.project.deploy(ref=older_tag, allow_downgrade=True)

    assert (first.exit, second.exit, allowed.exit) == (Exit.OK, Exit.OK, Exit.OK)
    assert caught.value.exit_status is Exit.REFUSED
    assert "--allow-downgrade" in caught.value.hint
    assert set(trusting.project.running().values()) == {old}
    assert "downgrade" in [each.action for each in trusting.audited()]


def test_a_downgrade_that_was_allowed_opens_no_door(trusting: Trusting) -> None:
    """The newest that ever ran stays the measure; what a rollback undid may come again."""
    trusting.commit("one", key="rita")
    trusting.project.deploy()
    middle = trusting.commit("two", key="rita")
    trusting.project.deploy()
    newest = trusting.commit("three", key="rita")
    trusting.project.deploy()
    back = trusting.project.deploy(ref=f"{newest}~2", allow_downgrade=True)

    with pytest.raises(AitbcError, match=f"{middle[:12]} is older than {newest[:12]}"):
        trusting.project.deploy(ref=middle)
    again = trusting.project.deploy(ref=newest)

    assert (back.exit, again.exit) == (Exit.OK, Exit.OK)
    assert set(trusting.project.running().values()) == {newest}
