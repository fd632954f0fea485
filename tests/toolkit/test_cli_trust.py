"""`trust`, `approve`, `approvals`, `release` and `audit`, typed in a checkout with an origin."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from checkout_copy import copy_code
from signed_work import Repository, a_key, public
from tomlkit import TOMLDocument

from aitbc_toolkit import paths
from aitbc_toolkit.release import safekeeping

PENDING = re.compile(r"pending approval ([0-9a-f]{12})")
PARTS = ("deploy", "node", "inventories", "templates", "locks")


@dataclass(frozen=True)
class Checkout:
    """Hold a copy of this project with history, origin and keys of its own."""

    work: Repository
    origin: Repository
    keys: dict[str, Path]

    def run(self, *words: str, key: str = "", status: int = 0) -> str:
        """Type one command line; return its standard output."""
        root = self.work.root
        argv = [sys.executable, "-m", "aitbc_toolkit.cli.main", *words]
        argv += ["--key", str(self.keys[key])] if key else []
        places = os.pathsep.join(str(root / each) for each in ("deploy", "node"))
        done = subprocess.run(
            argv,
            cwd=root,
            env={**os.environ, "PYTHONPATH": places, "HOME": str(root.parent)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, f"{words} -> {done.returncode}\n{done.stderr}"
        return done.stdout or done.stderr

    def read(self, *words: str, status: int = 0) -> Any:
        """Type a command that answers with one JSON document."""
        return json.loads(self.run(*words, "--json", status=status))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Copy this project, give it an origin, and let staging trust dora, rita and quin."""
    folder = tmp_path_factory.mktemp("trusting")
    root = folder / "work"
    for part in PARTS:
        copy_code(paths.project_root() / part, root / part)
    shutil.copy(paths.project_root() / "pyproject.toml", root)
    work = Repository(root)
    hosts = root / "inventories" / "staging" / "inventory.toml"
    text = hosts.read_text(encoding="utf-8").replace("10.0.0.2", "127.0.0.1")
    text = text.replace('ssh_user = "root"', "ssh_port = 1")
    # Its leases lie in the test's own folder: another worker may have the same hosts.
    text = text.replace("[hosts.localhost]", f'[hosts.localhost]\nroot = "{folder}/here"')
    hosts.write_text(text, encoding="utf-8")
    origin = Repository(folder / "origin.git")
    origin.root.mkdir()
    origin.git("init", "--quiet", "--bare", "-b", "main")
    work.git("init", "--quiet", "-b", "main")
    (root / ".gitignore").write_text("__pycache__/\n.aitbc/\n", encoding="utf-8")
    for name in ("user.name", "user.email"):
        work.git("config", name, "ana@example")
    work.git("add", "--all")
    work.commit("a project")
    work.git("remote", "add", "origin", f"file://{origin.root}")
    work.git("push", "--quiet", "origin", "main")
    # Rules name addresses that hosts can reach; here only git has to reach it.
    work.git("config", "remote.origin.url", "ssh://git@forge.example/aitbc.git")
    work.git("config", f"url.file://{origin.root}.insteadOf", "ssh://git@forge.example/aitbc.git")
    names = ("dora", "rita", "quin", "vic", "mallory")
    made = Checkout(work, origin, {name: a_key(folder, name) for name in names})
    words = ("trust", "add", "signer", "dora@example", "-e", "staging", "--role", "operator")
    made.run(*words, "--public-key", f"{made.keys['dora']}.pub", key="dora")
    file = root / "inventories" / "staging" / "trust.toml"
    safekeeping.change(file, lambda document: add_people(document, made.keys), strict=False)
    made.run(
        *("trust", "add", "rule", "main", "--remote", "ssh://git@forge.example/*.git"),
        *("--branch", "main", "--signer", "rita@example", "-e", "staging"),
        key="dora",
    )
    return made


def add_people(document: TOMLDocument, keys: dict[str, Path]) -> None:
    """Name a releaser, a reviewer and somebody who may only look."""
    for name, role in (("rita", "release"), ("quin", "qa"), ("vic", "viewer")):
        entry = {"principal": f"{name}@example", "key": public(keys[name]), "roles": [role]}
        safekeeping.add(document, "signers", entry)


def audited(checkout: Checkout) -> dict[str, Any]:
    """Read the newest record of staging's audit log."""
    newest: dict[str, Any] = checkout.read("audit", "show", "staging", "--last", "1")[0]
    return newest


def test_trust_is_changed_by_an_operator_and_audited(checkout: Checkout) -> None:
    """Add, list and remove: the effect is in the file, in the list and in the audit log."""
    words = ("--remote", "https://forge.example/x.git", "--branch", "next")
    signed = ("--signer", "rita@example", "-e", "staging")
    checkout.run("trust", "add", "rule", "extra", *words, *signed, key="dora")

    file = checkout.work.root / "inventories" / "staging" / "trust.toml"
    assert 'name = "extra"' in file.read_text(encoding="utf-8")
    rules = checkout.read("trust", "list", "-e", "staging")["rules"]
    assert "extra" in [each["name"] for each in rules]
    assert audited(checkout)["subject"] == "add rule extra"
    assert audited(checkout)["who"] == "dora@example"

    checkout.run("trust", "remove", "extra", "-e", "staging", key="dora")

    assert 'name = "extra"' not in file.read_text(encoding="utf-8")
    assert audited(checkout)["subject"] == "remove extra"


@pytest.mark.proves("D21")
def test_trust_approve_and_grant_take_effect_in_files_and_are_audited(checkout: Checkout) -> None:
    """Each verb by who may, and grants by who may not: the files, what follows, the audit log."""
    folder = checkout.work.root / "inventories" / "staging"
    file, there = folder / "trust.toml", ("-e", "staging")
    commit = checkout.work.commit("reviewed by vic")
    checkout.work.git("push", "--quiet", "origin", "main")
    checkout.run("approvals", "staging", "--ask", "HEAD")
    (row,) = [each for each in checkout.read("approvals", "staging") if each["commit"] == commit]
    review = ("approve", row["hash"][:12], "--reason", "read it", *there)
    done = []

    checkout.run(*review, key="vic", status=77)
    before = file.read_bytes()
    checkout.run("grant", "add", "vic@example", "--role", "qa", *there, key="rita", status=77)
    done.append(audited(checkout))
    assert file.read_bytes() == before
    checkout.run("grant", "add", "vic@example", "--role", "qa", *there, key="dora")
    done.append(audited(checkout))
    assert 'roles = ["viewer", "qa"]' in file.read_text()
    checkout.run(*review, key="vic")
    done.append(audited(checkout))
    assert (folder / "approvals" / row["hash"] / "vic@example.json").is_file()
    checkout.run("grant", "revoke", "vic@example", "--role", "qa", *there, key="dora")
    done.append(audited(checkout))
    checkout.run(*review, key="vic", status=77)
    assert file.read_bytes() == before

    named = ("--public-key", f"{checkout.keys['mallory']}.pub")
    checkout.run("grant", "add", "mal@example", "--role", "release", *named, *there, key="dora")
    done.append(audited(checkout))
    (granted,) = [
        each
        for each in checkout.read("grant", "list", *there)["grants"]
        if each["principal"] == "mal@example"
    ]
    assert (granted["roles"], granted["may"]) == (["release"], ["read", "approve", "cut"])
    rule = ("--remote", "https://forge.example/m.git", "--branch", "main", "--signer")
    checkout.run("trust", "add", "rule", "mal", *rule, "mal@example", *there, key="dora")
    done.append(audited(checkout))
    assert "rule mal: https://forge.example/m.git" in checkout.run("trust", "list", *there)
    checkout.run("trust", "remove", "mal", *there, key="dora")
    checkout.run("trust", "remove", "mal@example", *there, key="dora")
    done.append(audited(checkout))
    assert b"mal@example" not in file.read_bytes()

    assert [(each["action"], each["subject"], each["outcome"], each["who"]) for each in done] == [
        ("trust", "qa to vic@example", "not permitted", "rita@example"),
        ("grant", "qa to vic@example", "done", "dora@example"),
        ("approve", row["hash"], "approved", "vic@example"),
        ("grant", "qa from vic@example", "done", "dora@example"),
        ("grant", "release to mal@example", "done", "dora@example"),
        ("trust", "add rule mal", "done", "dora@example"),
        ("trust", "remove mal@example", "done", "dora@example"),
    ]
    assert checkout.read("audit", "verify", "staging", status=0)["findings"] == []


@pytest.mark.parametrize("name", ["rita", "vic", "mallory"])
def test_who_is_no_operator_changes_no_trust(checkout: Checkout, name: str) -> None:
    """The refusal is status 77, changes nothing, and is in the audit log."""
    file = checkout.work.root / "inventories" / "staging" / "trust.toml"
    before = file.read_bytes()

    said = checkout.run("trust", "remove", "dora@example", "-e", "staging", key=name, status=77)

    assert "it needs the role operator" in said
    assert file.read_bytes() == before
    assert audited(checkout)["outcome"] == "not permitted"


def test_a_public_key_proves_nothing(checkout: Checkout, tmp_path: Path) -> None:
    """Whoever has only the public part of an operator's key is nobody."""
    stolen = tmp_path / "stolen"
    shutil.copy(checkout.keys["mallory"], stolen)
    shutil.copy(f"{checkout.keys['dora']}.pub", tmp_path / "stolen.pub")
    words = ("trust", "remove", "rita@example", "-e", "staging")

    said = checkout.run(*words, "--key", str(stolen), status=77)

    assert "the key of dora@example is not here" in said


def test_verify_says_unknown_with_status_1_and_writes_it_down(checkout: Checkout) -> None:
    """An unsigned commit: the level, the reason of each rule, and the next command."""
    checkout.work.git("fetch", "--quiet", "origin")

    said = checkout.run("trust", "verify", "-e", "staging", status=1)

    assert "is unknown in staging" in said
    assert "neither it nor a tag of it is signed by rita@example" in said
    assert audited(checkout)["level"] == "unknown"


@pytest.mark.proves("E46")
def test_a_release_is_a_signed_tag_at_origin_that_is_trusted(checkout: Checkout) -> None:
    """Cut, push, show, verify; afterwards the commit is trusted by that tag, from any clone."""
    checkout.work.commit("release me")
    checkout.work.git("push", "--quiet", "origin", "main")
    commit = checkout.work.git("rev-parse", "HEAD")

    checkout.run("release", "cut", "staging", "--push", key="rita")

    tag = checkout.origin.git("for-each-ref", "--format=%(refname:short)", "refs/tags/rel/staging/")
    newest = tag.splitlines()[-1]
    assert checkout.origin.git("rev-parse", f"{newest}^{{commit}}") == commit
    assert "BEGIN SSH SIGNATURE" in checkout.origin.git("cat-file", "tag", newest)
    shown = checkout.read("release", "show", newest)
    assert shown["repositories"] == {"aitbc": commit}
    assert (shown["environment"], shown["by"]) == ("staging", "rita@example")
    verified = checkout.read("release", "verify", newest)
    assert (verified["signer"], verified["findings"]) == ("rita@example", [])
    assert (verified["level"], verified["rule"]) == ("trusted", "main")
    checkout.work.git("config", "user.signingkey", str(checkout.keys["dora"]))
    deployed = checkout.run("deploy", "staging", "--ref", newest, "--yes", status=20)
    assert "pending approval" not in deployed
    assert "aitbc1" in deployed, "it gets as far as the host, which the copy cannot reach"
    assert audited(checkout)["reason"].startswith(f"tag {newest} is signed by rita@example")


def test_a_commit_is_released_once(checkout: Checkout) -> None:
    """A second cut of the newest release keeps its tag; a new commit gets the next number."""
    checkout.work.commit("once")
    checkout.work.git("push", "--quiet", "origin", "main")
    first = checkout.run("release", "cut", "staging", "--push", key="rita")

    again = checkout.run("release", "cut", "staging", "--push", key="rita")

    name = first.split()[0]
    assert again.startswith(f"{name} kept")
    checkout.work.commit("twice")
    number = int(name.rsplit("/", 1)[1])
    assert checkout.run("release", "cut", "staging", key="rita").startswith(
        f"rel/staging/{number + 1} cut"
    )


def test_who_may_not_release_cuts_nothing(checkout: Checkout) -> None:
    """A reviewer is no releaser: status 77, no tag, audited."""
    before = checkout.work.git("tag", "--list")

    checkout.run("release", "cut", "staging", key="quin", status=77)

    assert checkout.work.git("tag", "--list") == before
    assert audited(checkout)["action"] == "cut"


def test_a_release_with_a_forged_manifest_is_not_verified(checkout: Checkout) -> None:
    """A tag that rita signed, but whose manifest names another commit."""
    checkout.work.commit("forged")
    checkout.run("release", "cut", "staging", key="rita")
    newest = checkout.read("release", "show", "-e", "staging")
    assert newest.pop("deployed") is None, "it was only cut: no part of its manifest"
    forged = {**newest, "tag": "rel/staging/99", "number": 99, "repositories": {"aitbc": "0" * 40}}
    signing = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={checkout.keys['rita']}"]
    text = f"Release 99 of staging\n\n{json.dumps(forged)}\n"
    checkout.work.git(*signing, "tag", "-s", "-F", "-", "rel/staging/99", stdin=text)

    found = checkout.read("release", "verify", "rel/staging/99", status=1)
    checkout.work.git("tag", "-d", "rel/staging/99")

    assert [each.split(",")[0] for each in found["findings"]] == ["commit is 000000000000"]


def test_an_unknown_release_is_asked_for_and_approved(checkout: Checkout) -> None:
    """Two commands: ask puts it into the queue, a signature takes it out; both are audited."""
    commit = checkout.work.commit("ask for me")
    checkout.run("approvals", "staging", "--ask", "HEAD")
    (row,) = [each for each in checkout.read("approvals", "staging") if each["commit"] == commit]
    assert (row["state"], row["missing"]) == ("pending", "0 of 1 approvals")

    words = ("approve", row["hash"][:12], "--reason", "read the diff", "-e", "staging")
    said = checkout.run(*words, key="quin")

    assert f"{row['hash'][:12]} is approved" in said
    (row,) = [each for each in checkout.read("approvals", "staging") if each["commit"] == commit]
    assert row["reviews"][0]["reviewer"] == "quin@example"
    assert row["reviews"][0]["reason"] == "read the diff"
    assert audited(checkout)["who"] == "quin@example"


@pytest.mark.proves("D4")
def test_a_deploy_of_an_unknown_commit_stops_until_it_is_approved(checkout: Checkout) -> None:
    """Status 20 with the hash; approved, it goes on to the hosts; another commit waits again.

    The hosts of the copy cannot be reached, which is how far an approved deploy comes here.
    """
    checkout.work.git("config", "user.signingkey", str(checkout.keys["dora"]))
    checkout.work.commit("deploy me")
    checkout.work.git("push", "--quiet", "origin", "main")

    said = checkout.run("deploy", "staging", "--yes", status=20)
    hashes = PENDING.findall(said)
    checkout.run("approve", hashes[0], "--reason", "read it", "-e", "staging", key="quin")
    approved = checkout.run("deploy", "staging", "--yes", status=20)
    checkout.work.commit("deploy me, too")
    checkout.work.git("push", "--quiet", "origin", "main")
    other = checkout.run("deploy", "staging", "--yes", status=20)

    assert "0 of 1 approvals" in said
    assert "pending approval" not in approved
    assert "aitbc1" in approved, "the refusal is about the host that does not answer"
    assert PENDING.findall(other)[0] != hashes[0]


@pytest.mark.parametrize("name", ["vic", "mallory"])
def test_who_is_no_operator_deploys_nothing(checkout: Checkout, name: str) -> None:
    """Status 77 before any host is asked, and a row in the audit log."""
    checkout.work.git("config", "user.signingkey", str(checkout.keys[name]))

    checkout.run("deploy", "staging", "--yes", status=77)

    assert (audited(checkout)["action"], audited(checkout)["outcome"]) == (
        "deploy",
        "not permitted",
    )


@pytest.mark.proves("D10")
@pytest.mark.parametrize(
    "words",
    [
        ("rollback", "staging", "--yes"),
        *(("node", verb, "v3", "-e", "staging") for verb in ("start", "stop", "restart")),
    ],
)
def test_who_is_no_operator_changes_nothing_that_runs(
    checkout: Checkout, words: tuple[str, ...]
) -> None:
    """Also a releaser, who may sign what is deployed: status 77, audited; no host is asked."""
    checkout.work.git("config", "user.signingkey", str(checkout.keys["rita"]))

    checkout.run(*words, status=77)

    entry = audited(checkout)
    assert (entry["who"], entry["outcome"]) == ("rita@example", "not permitted")
    assert entry["action"] == ("rollback" if words[0] == "rollback" else "operate")


@pytest.mark.proves("D10")
def test_who_may_only_look_approves_nothing(checkout: Checkout) -> None:
    """Status 77, no file beside the request, audited."""
    checkout.run("approvals", "staging", "--ask", "HEAD")
    row = checkout.read("approvals", "staging")[-1]
    words = ("approve", row["hash"][:12], "--reason", "fine", "-e", "staging")

    checkout.run(*words, key="vic", status=77)

    folder = checkout.work.root / "inventories" / "staging" / "approvals" / row["hash"]
    assert not (folder / "vic@example.json").exists()
    assert audited(checkout)["action"] == "approve"


def test_the_audit_log_of_all_this_is_whole_until_somebody_edits_it(checkout: Checkout) -> None:
    """`audit verify` exits 0; after an edit it exits 1 and names the line."""
    whole = checkout.run("audit", "verify", "staging")
    log = checkout.work.root / ".aitbc" / "envs" / "staging" / "audit.jsonl"
    before = log.read_bytes()
    log.write_bytes(before.replace(b"dora@example", b"rita@example", 1))

    said = checkout.run("audit", "verify", "staging", status=1)
    log.write_bytes(before)

    assert "each bound to the last" in whole
    assert re.search("localhost +was told nothing of this log yet", whole)
    assert re.search("aitbc1 +not compared: unreachable", whole)
    assert "audit log audit.jsonl is broken: line " in said


def test_dev_says_that_it_trusts_everything(checkout: Checkout) -> None:
    """Level dev, with a warning; the audit row says bypassed."""
    said = checkout.run("trust", "verify", "-e", "dev")

    assert "is dev in dev" in said
    assert "nobody has vouched for this code" in said
    assert checkout.read("audit", "show", "dev", "--last", "1")[0]["bypassed"] is True
