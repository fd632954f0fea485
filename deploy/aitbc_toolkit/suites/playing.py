"""How is a suite run from the command line? Part by part, judged, and kept as evidence.

On a live mesh, in the simulator when the environment is called `sim`, or shared out over several
workers. Do not add scenarios here: `catalogue` knows them.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import click

from aitbc_toolkit import paths
from aitbc_toolkit.asking import Silence, open_mesh
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.lab_record import LAB
from aitbc_toolkit.remote import Hosts
from aitbc_toolkit.suites import catalogue, claiming, collecting, crew, fingerprint, runs, showing
from aitbc_toolkit.suites.capturing import Capture
from aitbc_toolkit.suites.catalogue import FILE, Part
from aitbc_toolkit.suites.evidence import LeftOut
from aitbc_toolkit.suites.keeping import Run, kept
from aitbc_toolkit.suites.live import a_seed
from aitbc_toolkit.suites.overhearing import overheard
from aitbc_toolkit.suites.scenario import breaking, on_mesh, replaying, simulated
from aitbc_toolkit.suites.scenario.breaking import Injector
from aitbc_toolkit.suites.scenario.schema import FaultStep
from aitbc_toolkit.suites.scene import Result, play
from aitbc_toolkit.suites.showing import SIMULATED
from aitbc_toolkit.suites.stages import NIGHTLY
from aitbc_toolkit.suites.timeline import Timeline
from aitbc_toolkit.suites.verdicts import Verdict, exit_of

DEFAULT_ENVIRONMENT = "dev"

Player = Callable[[Part, Timeline], Result]


def run(
    suite: str,
    environment: str | None,
    *,
    scenario: str | None = None,
    seed: int | None = None,
    tier: str = "ci",
    workers: int = 1,
    as_json: bool = False,
) -> Exit:
    """Run `smoke`, `partition/minority` or another suite; return the exit status of the worst.

    Raises: UsageError for an unknown name, ConfigError for a scenario with mistakes, AitbcError.
    """
    if scenario and scenario.endswith(FILE):
        suite, scenario = scenario, None
    # What is wrong with a name or a file is told before a mesh is looked for.
    parts = catalogue.parts(suite, scenario, tier=tier)
    if workers > 1 and suite.endswith(FILE):  # workers know parts by name: built-in ones
        again = f"aitbc test {suite} -e {environment or DEFAULT_ENVIRONMENT}"
        raise UsageError(f"{suite} is a file, and only built-in suites are shared out", hint=again)
    name = environment or DEFAULT_ENVIRONMENT
    named = tier if tier == NIGHTLY else ""
    used = a_seed() if seed is None else seed
    wanted = f"{suite}/{scenario}" if scenario and "/" not in scenario else scenario or suite
    if workers > 1:
        names = crew.names(name, min(workers, len(parts)))
        with crew.claimed(name, f"aitbc test {wanted} -n {workers}"):
            wide = Run(wanted, name, used, runs.begin(paths.state_root()), (), tier=named)
            return _share_out(names, parts, wide, as_json=as_json)
    state, found = paths.state_root(), None if name == SIMULATED else Inventory.load(name)
    with ExitStack() as stack:
        if found is not None:
            stack.enter_context(claiming.sole(found.name, f"aitbc test {wanted}", state=state))
            _require_answer(found, wanted)
        folder = runs.begin(state)
        ended = play_parts(
            found, parts, wanted, folder=folder, seed=used, tier=named, as_json=as_json
        )
    if found is None and suite.endswith(FILE) and ended != Exit.OK:
        _shrink(parts, folder, seed=used)
    return ended


def _require_answer(environment: Environment, suite: str) -> None:
    """See that there is a mesh, before each scenario finds out for itself and waits for it.

    Raises: AitbcError (infrastructure).
    """
    with open_mesh(environment, retries=0) as mesh:
        told = mesh.ask_all(lambda node: node.status())
    if all(isinstance(each, Silence) for each in told.values()):
        name = environment.name
        verb = "status" if on_mesh.backend_of(environment) == "hosts" else "up"
        raise AitbcError(
            f"{suite} on {name}: {Verdict.INFRA}, no node answers",
            hint=f"aitbc {verb} {name}",
            exit_status=Exit.INFRASTRUCTURE,
        )


def run_on(
    environment: Environment, suite: str, *, folder: Path, seed: int, as_json: bool = False
) -> Exit:
    """Run a suite or one scenario on a mesh, and keep the record in a folder."""
    parts = catalogue.parts(suite)
    return play_parts(environment, parts, suite, folder=folder, seed=seed, as_json=as_json)


def play_parts(
    environment: Environment | None,
    parts: Sequence[Part],
    suite: str,
    *,
    folder: Path,
    seed: int,
    tier: str = "",
    as_json: bool = False,
    inject: Injector | None = None,
) -> Exit:
    """Play what fits a mesh, or the simulator where there is none; keep and tell the outcome.

    Faults go to the hosts of the mesh unless another way is given to `inject` them.
    """
    where = environment.name if environment else SIMULATED
    fit, left_out = sorted_out(environment, parts)
    left_out += _elsewhere(suite, where)
    showing.announce(suite, where, len(fit), left_out, seed=seed)
    say = showing.narrate if as_json else click.echo
    asked = configuration(environment, fit)
    run = Run(suite, where, seed, folder, fit, left_out, tier, asked)
    with kept(run) as run_, ExitStack() as stack:
        # The simulator is through before anybody has read it, and programs wait for the end.
        hear = showing.doing if environment and not as_json else None
        timeline = stack.enter_context(Timeline(folder, hear=hear))
        player = player_of(stack, environment, seed, inject)
        for part in fit:
            run_.begun[part.name] = None
            result = play_part(player, part, timeline)
            run_.heard(result)
            say(showing.row(result))
    return _told(run_, as_json=as_json)


def configuration(environment: Environment | None, fit: Sequence[Part]) -> str:
    """Hash what is asked where these parts are played."""
    return fingerprint.of_mesh(environment, [(part.name, part.case) for part in fit])


def _share_out(names: Sequence[str], parts: Sequence[Part], run_: Run, *, as_json: bool) -> Exit:
    """Play parts in several processes, each with a mesh of its own."""
    say = showing.narrate if as_json else click.echo
    with crew.hired(names, run_.folder, seed=run_.seed) as hands:
        first = hands.first()
        environment = None if first == SIMULATED else Inventory.load(first)
        run_.parts, unfit = sorted_out(environment, parts)
        run_.left_out = [*unfit, *_elsewhere(run_.suite, run_.where)]
        where = f"{run_.where}, {len(names)} workers"
        showing.announce(run_.suite, where, len(run_.parts), run_.left_out, seed=run_.seed)
        with kept(run_):
            try:
                for result in hands.play(run_.parts, run_.begun):
                    run_.heard(result)
                    say(showing.row(result))
            finally:
                run_.left_out = [*run_.left_out, *hands.lacking]
                hands.merge()
        for each in hands.lacking:
            showing.not_run(each)
    return _told(run_, as_json=as_json)


def _shrink(parts: Sequence[Part], folder: Path, *, seed: int) -> None:
    """Write down the least of each failing case that fails in the same way."""
    for case in (part.case for part in parts if part.case):
        least, verdict, count = replaying.shrunk(
            case, fails=lambda each: simulated.play(each, seed=seed).verdict
        )
        if verdict is Verdict.PASS:
            continue
        name = f"{replaying.stem(case.name.removeprefix('replay/'))}-shrunk"
        path = folder / replaying.FOLDER / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(replaying.written_out(least, name), encoding="utf-8")
        faults = sum(isinstance(step, FaultStep) for step in least.steps)
        showing.narrate(f"shrunk to {faults} faults in {count} runs, still {verdict}: {path}")


def _told(run_: Run, *, as_json: bool) -> Exit:
    record = run_.record
    assert record is not None, "it was kept"
    for result in record.results:
        if result.name not in run_.ended:  # what is only known when all are played
            (showing.narrate if as_json else click.echo)(showing.row(result))
    showing.tell(record, run_.folder, as_json=as_json)
    return exit_of(record.verdict)


def sorted_out(
    environment: Environment | None, parts: Sequence[Part]
) -> tuple[list[Part], list[LeftOut]]:
    """Part what can be played here from what cannot; one that was named alone must be played.

    Raises: UsageError.
    """
    found = [(part, _unfit(environment, part)) for part in parts]
    fit = [part for part, why in found if not why]
    if not fit:
        part, why = found[0]
        raise UsageError(f"{part.name} cannot be played here: {why}", hint="aitbc test smoke")
    return fit, [LeftOut(part.name, why) for part, why in found if why]


def _elsewhere(suite: str, where: str) -> list[LeftOut]:
    live = LAB if where == SIMULATED else where
    return [LeftOut(name, why) for name, why in catalogue.elsewhere(suite, live)]


def _unfit(environment: Environment | None, part: Part) -> str:
    if environment is None:
        return simulated.unfit(part.case) if part.case else "it needs a live mesh"
    if part.case is None:
        return ""
    return on_mesh.unfit(part.case, environment)


def player_of(
    stack: ExitStack, environment: Environment | None, seed: int, inject: Injector | None = None
) -> Player:
    """Make what plays a part, on a mesh or in the simulator; what it opens, the stack closes."""
    if environment is None:
        return lambda part, timeline: _simulate(part, timeline, seed)
    mesh = stack.enter_context(open_mesh(environment))
    injector = inject or breaking.over(stack.enter_context(Hosts(environment)))

    def live(part: Part, timeline: Timeline) -> Result:
        # Over connections of its own: whatever becomes of them, it must not touch the faults'.
        with Hosts(environment) as remote:
            capture = Capture(environment, remote, part.case)
            try:
                capture.begin()
                result = judge(part, timeline)
            except BaseException:
                capture.end(failed=False)
                raise
            failed = result.verdict is not Verdict.PASS
            packets = capture.end(failed=failed)
        asked = part.case.written.collect if part.case else ()
        wanted = collecting.COLLECTED if failed else [x for x in asked if isinstance(x, str)]
        if wanted or packets or capture.missing:
            collecting.collect(
                environment,
                mesh,
                timeline.folder,
                read=collecting.journals,
                case=part.name,
                wanted=wanted,
                packets=packets,
                lacking=capture.missing,
            )
        return result

    def judge(part: Part, timeline: Timeline) -> Result:
        if part.case is not None:
            with overheard(environment, timeline):
                return on_mesh.play(
                    part.case,
                    environment=environment,
                    mesh=mesh,
                    seed=seed,
                    timeline=timeline,
                    inject=injector,
                )
        assert part.scenario is not None, "a part is one or the other"
        return play(
            part.name,
            part.scenario,
            environment=environment,
            mesh=mesh,
            seed=seed,
            on_height=timeline.height,
        )

    return live


def _simulate(part: Part, timeline: Timeline, seed: int) -> Result:
    assert part.case is not None, "sorted out before"
    return simulated.play(part.case, seed=seed, timeline=timeline)


def play_part(player: Player, part: Part, timeline: Timeline) -> Result:
    """Play one part, and note its begin and end where everything is noted."""
    with timeline.act(part.name):
        timeline.event("step", name="begin")
        timeline.tell("begins")
        result = player(part, timeline)
        for check, word in result.invariants.items():
            timeline.event("check", name=check, outcome=word)
        timeline.event("step", name="end", verdict=result.verdict, line=result.line)
    return result
