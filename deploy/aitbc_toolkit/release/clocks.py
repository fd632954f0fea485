"""How far is a host's clock off, given when we asked and when the answer came? Pure.

The true offset is at least what is told here: an answer that may have been given at the right
moment counts as right, however long it took.
"""

from aitbc_toolkit.remote import Row

WARN_MS = 500
FAIL_MS = 5_000


def skew_ms(told_ms: int, *, asked_ms: int, answered_ms: int) -> int:
    """Give the least offset that explains a clock's answer; positive when it is ahead of ours."""
    assert asked_ms <= answered_ms, "the answer came before the question"
    if told_ms > answered_ms:
        return told_ms - answered_ms
    return min(0, told_ms - asked_ms)


def offset_ms(row: Row) -> int:
    """Read the least offset of a host's clock from its answer."""
    told_ms = int(row.answer["wall_ms"])
    return skew_ms(told_ms, asked_ms=row.asked_ms, answered_ms=row.answered_ms)


def state(offset_ms: int) -> str:
    """Judge an offset: blocks carry times, and a clock far off stops its node from voting."""
    if abs(offset_ms) >= FAIL_MS:
        return "fail"
    return "warn" if abs(offset_ms) >= WARN_MS else "pass"


def words(offset_ms: int) -> str:
    """Write an offset as people read it."""
    if state(offset_ms) == "pass":
        return "within the time that the question took"
    return f"{abs(offset_ms) / 1000:.1f} s {'ahead of' if offset_ms > 0 else 'behind'} this machine"


def check(row: Row) -> dict[str, str]:
    """Judge the clock that a host told in its answer."""
    offset = offset_ms(row)
    hint = f"timedatectl set-ntp true   # on {row.host}"
    evidence = f"the clock is {words(offset)}"
    return {"item": "clock", "state": state(offset), "evidence": evidence, "hint": hint}
