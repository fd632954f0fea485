"""What hosts were told of the audit log shows an edit by whoever can write every file here."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from forged_log import OTHER, rewrite
from signed_work import a_key, public

from aitbc_toolkit.release import audit, safekeeping, signatures, witnessing
from aitbc_toolkit.release.occupation import at_work

pytestmark = pytest.mark.integration

Build = Callable[..., Any]


def witnesses(project: Any) -> list[witnessing.Witness]:
    """Compare the log here with what the hosts keep; by itself it has to be whole."""
    records, findings = audit.check(audit.path_of(project.environment))
    assert findings == []
    return witnessing.compare(project.environment, records)


def test_after_every_run_the_hosts_know_the_newest_record(a_project: Build) -> None:
    """A deploy, one that changes nothing, and a stop: the host agrees with each."""
    project = a_project(rollout="all")

    newest = []
    for verb in (project.deploy, project.deploy, project.down):
        verb()
        (host,) = witnesses(project)
        assert host.findings == ()
        newest.append(host.newest)

    records, _ = audit.check(audit.path_of(project.environment))
    assert newest == sorted(set(newest))
    assert newest[-1] == records[-1].number
    assert host.signed_by == "", "in dev nobody has a key"


@pytest.mark.parametrize(
    ("keep", "then", "what"),
    [
        (1, [OTHER] * 9, "were told that it is"),
        (1, [], "records, 1 are here"),
        (0, [OTHER] * 9, "another log of this place"),
        (0, [], "another log of this place"),
    ],
)
def test_a_log_that_was_rewritten_whole_is_found_by_the_hosts(
    a_project: Build, keep: int, then: Sequence[audit.Entry], what: str
) -> None:
    """Edited, shortened, replaced or removed: its own chain is right, the host was told another."""
    project = a_project(rollout="all")
    project.down()
    audit.append(audit.path_of(project.environment), OTHER)
    project.down()

    rewrite(audit.path_of(project.environment), keep=keep, then=then)
    (host,) = witnesses(project)

    assert what in host.findings[0].what


def test_what_nobody_signed_counts_for_nothing_where_people_sign(
    a_project: Build, tmp_path: Path
) -> None:
    """A host that makes up another head accuses nobody; one that a signer signed is believed."""
    project = a_project(rollout="all")
    project.down()
    ana, mallory = a_key(tmp_path, "ana"), a_key(tmp_path, "mallory")
    trust = project.environment.inventories / "dev" / "trust.toml"
    trust.unlink()
    entry: dict[str, object] = {"principal": "ana@example", "key": public(ana)}
    entry["roles"] = ["operator"]
    safekeeping.change(trust, lambda doc: safekeeping.add(doc, "signers", entry), strict=False)
    records, _ = audit.check(audit.path_of(project.environment))
    text = json.dumps(
        {
            "environment": "dev",
            "log": records[0].hash,
            "place": "",
            "number": len(records),
            "head": "0" * 64,
            "at": records[-1].at,
            "by": "ana",
        }
    )

    found = {}
    for name, key in (("mallory", mallory), ("ana", ana)):
        signature = signatures.sign(text, key=key, namespace=signatures.AUDIT)
        with at_work(project.environment, project.records.append) as run:
            assert run.crew.lease is not None
            run.crew.lease.release({"text": text, "signature": signature})
        (host,) = witnesses(project)
        found[name] = [each.what[6:26] for each in host.findings]

    assert found == {"mallory": [], "ana": ["were told that it is"]}
