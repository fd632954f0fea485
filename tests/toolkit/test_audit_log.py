"""The audit log shows every edit, every removal and a cut end."""

import json
from pathlib import Path

import pytest

from aitbc_toolkit import chain
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.release import audit
from aitbc_toolkit.release.audit import Entry


def an_entry(number: int) -> Entry:
    """Build one decision."""
    return Entry("decide", f"{number:040x}", "unknown", "ana@example", "no rule", level="unknown")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Write a log of five records."""
    path = tmp_path / "audit.jsonl"
    for number in range(5):
        audit.append(path, an_entry(number), now_s=1_800_000_000.0 + number)
    return path


def lines(log: Path) -> list[str]:
    """Read the lines of a log."""
    return log.read_text(encoding="utf-8").splitlines()


def rewrite(log: Path, kept: list[str]) -> None:
    """Write a log as somebody would who wants to hide something."""
    log.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def test_n_decisions_are_n_records(log: Path) -> None:
    """Every append is one line, in order, and the chain holds."""
    records, findings = audit.check(log)

    assert findings == []
    assert [each.entry for each in records] == [an_entry(number) for number in range(5)]
    assert len(lines(log)) == 5


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("field", ["outcome", "who", "reason", "at", "subject", "bypassed"])
def test_an_edited_record_is_found(log: Path, at: int, field: str) -> None:
    """Whichever record and whichever field: the hash does not match."""
    kept = lines(log)
    document = json.loads(kept[at])
    document[field] = True if field == "bypassed" else "other"
    kept[at] = json.dumps(document, sort_keys=True)
    rewrite(log, kept)

    _, findings = audit.check(log)

    assert [each.line for each in findings] == [at + 1]
    assert findings[0].what.startswith("edited")


@pytest.mark.parametrize("at", range(5))
def test_a_removed_record_is_found(log: Path, at: int) -> None:
    """Also the last one, which no later record mentions."""
    kept = lines(log)
    del kept[at]
    rewrite(log, kept)

    assert audit.check(log)[1] != []


def test_a_record_that_is_rehashed_is_found_at_the_next(log: Path) -> None:
    """Whoever edits a record and its hash breaks the link of the one after it."""
    kept = lines(log)
    forged = {**json.loads(kept[1]), "subject": "other"}
    forged["hash"] = chain._digest(forged, domain=audit._DOMAIN)
    kept[1] = json.dumps(forged, sort_keys=True)
    rewrite(log, kept)

    _, findings = audit.check(log)

    assert [each.line for each in findings] == [3]


def test_swapped_records_are_found(log: Path) -> None:
    """Order is part of what is recorded."""
    kept = lines(log)
    kept[1], kept[2] = kept[2], kept[1]
    rewrite(log, kept)

    assert audit.check(log)[1] != []


def test_a_log_without_its_head_is_found(log: Path) -> None:
    """Removing both the end and the head does not help either."""
    rewrite(log, lines(log)[:2])
    log.with_name("audit.jsonl.head").unlink()

    assert audit.check(log)[1] != []


def test_an_emptied_log_is_found(log: Path) -> None:
    """The head remembers that there were records."""
    log.unlink()

    assert audit.check(log)[1] != []


def test_nothing_is_appended_to_a_broken_chain(log: Path) -> None:
    """A forgery is not buried under new records."""
    rewrite(log, lines(log)[1:])

    with pytest.raises(AitbcError, match="is broken: line 1"):
        audit.append(log, an_entry(6))


def test_a_kill_while_writing_a_record_costs_that_record_only(log: Path) -> None:
    """The torn end was never promised to anybody; the next record takes its place."""
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"format": 1, "num')

    assert audit.check(log)[1] == []
    audit.append(log, an_entry(5))

    records, findings = audit.check(log)
    assert (len(records), findings) == (6, [])


def test_a_kill_between_record_and_head_is_no_forgery(log: Path) -> None:
    """The head may be one record behind, and no further."""
    head = log.with_name("audit.jsonl.head")
    records, _ = audit.check(log)

    head.write_text(f"4 {records[3].hash}\n", encoding="utf-8")
    assert audit.check(log)[1] == []

    head.write_text(f"3 {records[2].hash}\n", encoding="utf-8")
    assert audit.check(log)[1] != []


def test_a_kill_before_the_first_head_is_no_forgery(log: Path) -> None:
    """The head says that there is nothing before the first record is written."""
    rewrite(log, lines(log)[:1])
    log.with_name("audit.jsonl.head").write_text(f"0 {audit.ROOT}\n", encoding="utf-8")
    assert audit.check(log)[1] == []

    log.with_name("audit.jsonl.head").unlink()
    assert audit.check(log)[1] != []
