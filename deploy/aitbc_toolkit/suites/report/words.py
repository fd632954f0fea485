"""How are a verdict, a length of time and an event put into words?

Pure. Text that came from elsewhere is made printable here; it is escaped where it is placed.
"""

from typing import NamedTuple

from aitbc_toolkit.suites.report.recorded import UNKNOWN, Event, Judged, Run

TEXT_MAX = 400


class Look(NamedTuple):
    """Be how a verdict looks: a sign beside the word, a tone for the colour, and what it means."""

    sign: str
    tone: str
    meaning: str


_NOT_KNOWN = Look("?", "unknown", "There is no verdict: nothing was proved.")
_LOOKS = {
    "PASS": Look(
        "\N{CHECK MARK}", "good", "Every step was done, every invariant held, every node was heard."
    ),
    "SAFETY": Look(
        "\N{BALLOT X}", "bad", "An invariant is broken, or a group without a quorum made blocks."
    ),
    "LIVENESS": Look(
        "\N{BLACK SQUARE}", "bad", "What must go on or come back did not, by its deadline."
    ),
    "OBJECTIVE": Look(
        "\N{BLACK UP-POINTING TRIANGLE}",
        "warn",
        "Nothing is broken, but a figure is not what it should be.",
    ),
    "INCONCLUSIVE": Look(
        "?", "unknown", "It could not be judged: this is no pass, and no failure of the mesh."
    ),
    "INFRA": Look(
        "!",
        "unknown",
        "The mesh was not well before, a fault did not bite, or a host failed: nothing was proved.",
    ),
    "UNHEALED": Look("+", "bad", "Something of a fault is left on the hosts."),
    "INVALID": Look("0", "unknown", "The run itself says nothing."),
}
_OUTCOMES = {
    "held": Look("\N{CHECK MARK}", "good", "held"),
    "broken": Look("\N{BALLOT X}", "bad", "broken"),
}


def look(verdict: str) -> Look:
    """Tell how a verdict looks; one that nobody knows looks like none."""
    return _LOOKS.get(verdict, _NOT_KNOWN)


def outcome(word: str) -> Look:
    """Tell how the outcome of a check looks; only what held looks good."""
    return _OUTCOMES.get(word, Look("?", "unknown", clean(word) or "unknown"))


def sentence(run: Run) -> str:
    """Say in a sentence or two what came out."""
    judged = run.judged
    if judged is None:
        return "The run left no verdict: it was ended early, or still goes on. Nothing was proved."
    worst = next(
        (each for each in judged.scenarios if each.verdict == judged.verdict and each.line), None
    )
    total = len(judged.scenarios)
    passed = sum(each.verdict == "PASS" for each in judged.scenarios)
    words = []
    if worst is not None and judged.verdict != "PASS":
        words.append(f"{worst.name}: {worst.line}.")
    elif worst is not None and (total == 1 or worst.name == judged.suite):
        words.append(f"{worst.line}.")
    words.append(f"{passed} of {plural(total, 'scenario')} passed.")
    if judged.left_out:
        count = len(judged.left_out)
        words.append(f"{count} {'was' if count == 1 else 'were'} not played here.")
    return clean(" ".join(words), limit=2 * TEXT_MAX)


def title(run: Run) -> str:
    """Name a run: verdict first."""
    judged = run.judged or Judged(verdict=UNKNOWN)
    where = f" on {judged.environment}" if judged.environment else ""
    return clean(f"{judged.verdict} {judged.suite or 'run'}{where} ({run.name})")


def event(told: Event) -> str:
    """Say what happened; empty for what is shown elsewhere."""
    targets = f" on {' '.join(told.targets)}" if told.targets else ""
    match told.kind, told.name:
        case "fault.begin", _:
            lease = f", for {span(told.lease_s)}" if told.lease_s is not None else ""
            text = f"{told.fault}{targets} begins{lease} ({told.id})"
        case "fault.bitten", _:
            text = f"{told.fault} is proved to bite ({told.id})"
        case "fault.end", _:
            text = f"{told.fault} is over ({told.id})"
        case "step", "begin":
            text = "begins"
        case "step", "end":
            text = f"ends: {told.verdict}, {told.line}"
        case "step", _:
            text = f"reached: {told.name}, after {span(told.took_s)}"
        case "check", _:
            text = f"{told.name} {told.outcome} {told.detail}"
        case _:
            text = f"{told.kind} {told.name} {told.text} {told.detail}"
    return clean(text.strip(), limit=200)


def span(seconds: float | None) -> str:
    """Write a length of time."""
    if seconds is None:
        return "not known"
    if abs(seconds) < 60:  # noqa: PLR2004 - seconds of a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def number(value: float | None) -> str:
    """Write a figure as short as it is exact enough."""
    return "not measured" if value is None else f"{value:,.3f}".rstrip("0").rstrip(".")


def plural(count: int, word: str) -> str:
    """Count things."""
    return f"{count} {word}" + ("" if count == 1 else "s")


def clean(text: str, *, limit: int = TEXT_MAX) -> str:
    """Make text printable on one line and bound it: nothing in it can redraw or reorder a page."""
    line = " ".join(text[: 4 * limit].split())
    if not line.isprintable():
        line = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
    return line if len(line) <= limit else f"{line[: limit - 3]}..."
