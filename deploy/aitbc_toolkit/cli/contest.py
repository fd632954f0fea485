"""How are two sets of load runs named on a command line, and how is their comparison told?"""

from collections.abc import Callable, Iterator, Mapping

from aitbc_toolkit import paths
from aitbc_toolkit.cli import swarm_picture, tables
from aitbc_toolkit.cli.environment import load as load_environment
from aitbc_toolkit.errors import UsageError
from aitbc_toolkit.suites import foreseen, loads, repertoire, rivalry, runs, stepping
from aitbc_toolkit.suites.comparing import Comparison, Row, Taken
from aitbc_toolkit.suites.loads import Wanted

_COLUMNS = (
    tables.Column("FIGURE"),
    tables.Column("A", right=True),
    tables.Column("B", right=True),
    tables.Column("B TO A", right=True),
    tables.Column("BY CHANCE", right=True, spare=1),
    tables.Column("B IS"),
)
_LEAST_P = 0.001


def asked(scenario: str, first: str, *, seed: int, for_s: float | None) -> Wanted:
    """Read what both sides play, with its steps; a share of the knee is one of A's.

    Of runs that are on the disk only the scenario's name counts. Raises: as `loads.wanted`.
    """
    case = repertoire.case(scenario)
    knee = 1.0
    if not rivalry.is_recorded(first):
        knee = stepping.known(load_environment(first).name, paths.state_root())
    return loads.wanted(case.written, seed=seed, faster=None, longer=for_s, knee=knee, case=case)


def sides(
    first: str, second: str, asked: Wanted, *, count: int, say: Callable[[str], None]
) -> tuple[list[Taken], list[Taken]]:
    """Find both sets of runs, or play them. Raises: UsageError where one side is of each kind."""
    kinds = {rivalry.is_recorded(side) for side in (first, second)}
    if kinds == {True}:
        state = paths.state_root()
        a, b = (rivalry.recorded(state, side, asked.scenario) for side in (first, second))
        return a, b
    if len(kinds) > 1:
        raise UsageError(
            f"{first} and {second} are not alike: two environments, or runs on both sides",
            hint="aitbc load compare dev dev",
        )
    one, other = load_environment(first), load_environment(second)
    environments, is_one_mesh = {"A": one, "B": other}, one.name == other.name
    for each in environments.values():
        foreseen.require_fit(each, asked)
    if not is_one_mesh:
        foreseen.require_alike(one, other, asked)
    say(f"{asked.scenario}: A is {first}, B is {second}, {count} runs a side, seed {asked.seed}")

    def make(turn: rivalry.Turn) -> Taken:
        folder = runs.begin(paths.state_root())
        again = f", try {turn.tries + 1}" if turn.tries else ""
        what = f"run {turn.number} of {count}" if turn.number else "not counted: to warm up"
        say(f"  {turn.side}  {what}{again}, record {folder.name}")
        stepping.go_on(loads.play(environments[turn.side], asked, folder, tell=_unheard))
        return rivalry.taken(folder)

    return rivalry.take_turns(make, runs=count, is_one_mesh=is_one_mesh)


def _unheard(_what: str, _told: Mapping[str, object]) -> None:
    """Tell nobody what happens in each second: it is in the run's record."""


def told(found: Comparison) -> Iterator[str]:
    """Write a comparison, its sentence last."""
    rows = [
        (
            row.figure,
            _figure(row.figure, row.first),
            _figure(row.figure, row.second),
            f"{row.ratio:.3f}",
            _p(row.p),
            row.word or "not judged",
        )
        for row in found.rows
    ]
    yield from tables.draw(_COLUMNS, rows)
    for side, numbers, build in zip("AB", found.runs, found.builds, strict=True):
        yield f"  {side}   runs {', '.join(numbers)}; nodes of {build[:12] or 'a version not told'}"
    judged = [row for row in found.rows if row.word]
    real = [row for row in judged if row.word != "alike"] or judged
    yield ". ".join(_sentence(row, found) for row in real) + "."


def _sentence(row: Row, found: Comparison) -> str:
    if row.word == "alike":
        return (
            f"No difference was shown: B's {row.figure} is {row.ratio:.3f} times A's, chance alone"
            f" does as much in {_p(row.p)} of cases (allowed {found.chance_max:.3f}, and at least"
            f" {100 * found.effect_min:.0f} % must lie between them)"
        )
    return (
        f"B is {row.word}: its {row.figure} is {row.ratio:.3f} times A's,"
        f" which chance alone does in {_p(row.p)} of cases"
    )


def _figure(name: str, value: float) -> str:
    return f"{value:,.1f}/s" if name == "committed" else swarm_picture.latency(value)


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= _LEAST_P else f"below {_LEAST_P}"
