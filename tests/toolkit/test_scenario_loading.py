"""Scenario files: what they say is read whole, and what is wrong is told with its line."""

import re
from pathlib import Path

import pytest

from aitbc_toolkit import paths
from aitbc_toolkit.errors import ConfigError, UsageError
from aitbc_toolkit.suites import catalogue
from aitbc_toolkit.suites.scenario import loading

BUILT_IN = sorted(catalogue.folder().glob("*/*.yaml"))
SPLIT = (catalogue.folder() / "partition" / "quorum-loss.yaml").read_text()


def a_file(folder: Path, text: str) -> Path:
    """Write a scenario where its name says that it belongs."""
    path = folder / "partition" / "quorum-loss.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def refusal(folder: Path, text: str) -> str:
    """Return what is said of a file that is refused."""
    with pytest.raises(ConfigError) as refused:
        loading.load(a_file(folder, text))
    return str(refused.value)


def line_of(text: str, part: str) -> int:
    """Return the line on which something stands."""
    return text[: text.index(part)].count("\n") + 1


@pytest.mark.parametrize("path", BUILT_IN, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_built_in_scenario_can_be_read(path: Path) -> None:
    """Each file of the project is one that its own schema lets through."""
    cases = loading.load(path)

    assert cases
    assert all(case.steps or path.parent.name == "load" for case in cases)


def test_the_examples_of_the_documents_can_be_read(tmp_path: Path) -> None:
    """What people copy is a file that loads."""
    text = (paths.project_root() / "docs" / "scenarios.md").read_text()
    examples = [block.partition("```")[0] for block in text.split("```yaml\n")[1:]]

    for example in examples:
        path = tmp_path / f"{example.partition('scenario: ')[2].split()[0]}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(example)
        assert loading.load(path)
    assert examples


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("always: [agreement, ", "always: [", "or add agreement"),
        ("always: [agreement, ", "seed: 7\nalways: [agreement, ", "seed: input should be 'auto'"),
        ("steps:", "finally: [all_gone]\nsteps:", "finally is [host_state_clean]"),
        ("{validators_min", "{faults: [net.rate], validators_min", "unknown fault of its steps"),
        ("    fault: net.cut", "    prove: {within: 1s}\n    fault: net.cut", "prove.within"),
        ("accepted_tx_final,", "{accepted_tx_final: {within: 5s}},", "always.6"),
        (
            "steps:",
            "steps:\n  - {id: x, fault: proc.kill, on: v1, lease: 5s, prove: {}}",
            "proc.kill has no `prove`",
        ),
        ("backends:", "proves: [Q99]\nbackends:", "unknown feature 'Q99'"),
        ("steps:", "must_report: [agrement]\nsteps:", "the nearest is agreement"),
    ],
)
def test_what_would_have_no_effect_is_refused(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    """Whoever writes something believes that it is done."""
    assert old in SPLIT

    assert said in refusal(tmp_path, SPLIT.replace(old, new, 1))


def test_a_file_may_say_what_happens_anyway(tmp_path: Path) -> None:
    """Whoever reads it learns how a cut is proved, what is waited for, and how it ends."""
    said = {
        "{validators_min": "{faults: [net.cut], validators_min",
        "accepted_tx_final,": "{accepted_tx_final: {within: 60s}},",
        "    lease:": (
            "    prove: {counter_gt: 0, probe: cross_peers_fail, within: 5s}\n    lease:"
        ),
        "steps:": "seed: auto\nfinally: [host_state_clean]\nsteps:",
    }
    text = SPLIT
    for old, new in said.items():
        assert old in text
        text = text.replace(old, new, 1)

    told = loading.load(a_file(tmp_path, text))

    assert [case.name for case in told] == [
        case.name for case in loading.load(a_file(tmp_path, SPLIT))
    ]


MINE = """\
scenario: load/mine
about: a hundred transfers a second, each final within three seconds
backends: [dev]
load:
  - {role: user, arrivals: 100/s, mix: {transfer: 1}, lasts: 1m}
objectives:
  final_p99: {max: 3s}
steps: []
"""
NO_NUMBER = "is no finite number; text stands in quotation marks"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("max: 3s", "max: -3s", "7: objectives.final_p99.max: string should match pattern"),
        ("max: 3s", "floor: -3s", "7: objectives.final_p99.floor: string should match pattern"),
        ("max: 3s", "max: -3", "7: objective final_p99: max is -3, and must be 0 or more"),
        ("max: 3s", "max: 3s, min: -0.5", "7: objective final_p99: min is -0.5, and must be"),
        ("max: 3s", "max: 3s, floor: -1", "7: objective final_p99: floor is -1, and must be"),
        ("max: 3s", "max: [3]", "max: input should be a valid string or integer or number"),
        ("steps:", "collect: [x]\nsteps:", "8: collect.0: input should be 'journals', "),
        ("steps:", "collect: [{pcap: {on: no}}]\nsteps:", "8: collect.0.pcap.on: input should"),
        ("steps:", "matrix: {a: [[1]]}\nsteps:", "8: matrix.a.0: input should be a valid"),
        ("max: 3s", "max: .inf", f"7: .inf {NO_NUMBER}"),
        ("max: 3s", "min: -.inf", f"7: -.inf {NO_NUMBER}"),
        ("max: 3s", "max: .nan", f"7: .nan {NO_NUMBER}"),
        ("max: 3s", "max: 1.0e+400", f"7: 1.0e+400 {NO_NUMBER}"),
        ("max: 3s", "max: 1:30.5", f"7: 1:30.5 {NO_NUMBER}"),
        ("max: 3s", f"max: {'9' * 5_000}", f"7: {'9' * 20}... {NO_NUMBER}"),
        ("100/s", ".inf", f"5: .inf {NO_NUMBER}"),
        ("100/s", f"{'9' * 400}/s", "5: load.0.arrivals: string should match pattern"),
        ("lasts: 1m", f"lasts: {'9' * 400}h", "5: load.0.lasts: string should match pattern"),
    ],
)
def test_a_value_that_is_none_is_told_once_where_the_file_has_it(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    """Under the keys that somebody wrote, not those of a library; and no number is infinite."""
    path = tmp_path / "load" / "mine.yaml"
    path.parent.mkdir()
    assert old in MINE
    path.write_text(MINE.replace(old, new, 1))

    with pytest.raises(ConfigError) as refused:
        loading.load(path)

    assert str(refused.value).startswith(f"{path}:")
    assert said in str(refused.value)


def test_each_mistake_in_one_of_several_kinds_is_told(tmp_path: Path) -> None:
    """Of what is nearly right, both; what else it might have been is not gone into."""
    path = tmp_path / "load" / "mine.yaml"
    path.parent.mkdir()
    path.write_text(MINE + "collect: [{pcap: {on: never, limits: 5MB}}]\n")

    with pytest.raises(ConfigError, match="2 mistakes") as refused:
        loading.load(path)

    assert "collect.0.pcap.on: input should be 'failure' or 'always'" in str(refused.value)
    assert "unknown key collect.0.pcap.limits, the nearest is limit" in str(refused.value)


def test_a_fault_of_nodes_has_no_direction(tmp_path: Path) -> None:
    """Only ways have one."""
    step = "  - {id: x, fault: proc.kill, on: v1, direction: a_to_b, lease: 5s}\n"

    told = refusal(tmp_path, SPLIT.replace("steps:\n", f"steps:\n{step}", 1))

    assert "proc.kill hits nodes, and has no `direction`" in told


@pytest.mark.parametrize(
    ("on", "said"),
    [
        ("anny(1)", "unknown target 'anny(1)', the nearest is any(N)"),
        ("component(spilt.a)", "unknown target 'component(spilt.a)'"),
        ("power(<1/2)", "unknown target 'power(<1/2)', the nearest is power(<1/3)"),
        ("role:leader", "unknown target 'role:leader', the nearest is "),
        ("leadr", "unknown target 'leadr', the nearest is leader"),
        ("v5", "unknown target 'v5', the nearest is v"),
        ("any(0)", "unknown target 'any(0)', the nearest is any(N)"),
        (f"any({'9' * 5000})", "unknown target 'any(999"),
    ],
)
def test_a_target_that_does_not_exist_is_refused(tmp_path: Path, on: str, said: str) -> None:
    """Whom a step names is read before anything starts; a name of a node is the mesh's to know."""
    step = f"  - {{id: x, fault: proc.kill, on: '{on}', lease: 5s}}\n"

    assert said in refusal(tmp_path, SPLIT.replace("steps:\n", f"steps:\n{step}", 1))


def test_a_mesh_has_names_of_its_own_but_none_that_is_nearly_a_word(tmp_path: Path) -> None:
    """What is not for the simulator may name any node; a misspelt word is told."""
    text = SPLIT.replace("backends: [sim, lab, hosts]", "backends: [lab]")
    assert text != SPLIT
    step = "  - {id: x, fault: proc.kill, on: NAME, lease: 5s}\n  - {wait_end: x}\n"

    def written(name: str) -> str:
        return text.replace("steps:\n", f"steps:\n{step.replace('NAME', name)}", 1)

    assert loading.load(a_file(tmp_path, written("paris-1")))
    told = refusal(tmp_path, written("leadr"))
    assert "unknown target 'leadr', the nearest is leader" in told


KILL = "  - {id: x, fault: proc.kill, on: v1, lease: 5s}"
CUT = "  - {id: x, fault: net.cut, between: {isolate: v1}, lease: 5s}"
CLOCK = "  - {id: x, fault: clock.jump, on: v1, lease: 5s, parameters: {seconds: 3}}"
LOSS = "  - {id: x, fault: net.loss, between: {isolate: v1}, lease: 5s, parameters: {percent: 3}}"
SLOW = "  - {id: x, fault: disk.slow, on: v1, lease: 5s, parameters: {ms: 3}}"
FLOODED = "  - {id: x, fault: peer.flood, on: v1, lease: 5s, parameters: {rate: 3}}"
SWARM = "  - {swarm: [net.cut], lasts: 1m, at_once: 1, lease: [4s, 9s], rest: [1s, 2s]}"


@pytest.mark.proves("B16")
@pytest.mark.parametrize(
    ("step", "old", "new", "said"),
    [
        (KILL, "lease: 5s", "lease: 0s", "proc.kill: a lease of 0s is over before it begins"),
        (KILL, "lease: 5s", "lease: 500ms", "a lease of 500ms, hosts keep one of 1 s to 3600 s"),
        (KILL, "on: v1", "on: []", "`on` names nobody"),
        (KILL, "id: x", "id: swarm-1", "swarm-1 is what a swarm calls one of its own"),
        (CUT, "isolate: v1", "isolate: []", "`isolate` names nobody"),
        (CUT, "isolate: v1", "sides: [[], [v1]]", "one of `sides` names nobody"),
        (CUT, "isolate: v1", "ways: []", "`ways` names nobody"),
        (CUT, "isolate: v1", "ways: [v1>leadr]", "unknown target 'leadr', the nearest is leader"),
        (LOSS, "percent", "percnt", "net.loss knows no 'percnt', the nearest is percent"),
        (LOSS, "percent: 3", "percent: -3", "net.loss percent=-3: from 0.1 to 100 %"),
        (CLOCK, "seconds: 3", "seconds: a", "clock.jump seconds=a: from -86400 to 86400 s"),
        (SLOW, "ms: 3", "mss: 3", "unknown parameter of disk.slow 'mss', the nearest is ms"),
        (FLOODED, "rate: 3", "rate: much", "peer.flood rate=much: a number up to"),
        (SWARM, "[1s, 2s]", "[0s, 0s]", "a rest of 0s: time has to pass between faults"),
        (SWARM, "[1s, 2s]", "[2s, 1s]", "rest: from 2s to 1s, the shorter one comes first"),
        (SWARM, "[4s, 9s]", "[9s, 4s]", "lease: from 9s to 4s, the shorter one comes first"),
        (SWARM, "[4s, 9s]", "[4s, 20m]", "a lease of 20m, the budget allows 10m"),
        (SWARM, "[4s, 9s]", "[0s, 9s]", "net.cut: a lease of 0s is over before it begins"),
        (SWARM, "lasts: 1m", "lasts: 0s", "is over before it begins"),
        (SWARM, "net.cut", "net.cot", "unknown fault 'net.cot', the nearest is net.cut"),
    ],
)
def test_what_would_fail_when_its_step_comes_is_refused_at_once(
    tmp_path: Path, step: str, old: str, new: str, said: str
) -> None:
    """Nothing is broken first: the whole file is refused, with the line of the step."""
    right = SPLIT.replace("steps:\n", f"steps:\n{step}\n", 1)
    assert loading.load(a_file(tmp_path, right))
    assert old in step

    told = refusal(tmp_path, right.replace(step, step.replace(old, new), 1))

    (place,) = [line for line in told.splitlines() if said in line]
    assert f"quorum-loss.yaml:{line_of(right, step)}: " in place


def test_a_kind_that_no_mesh_of_the_file_has_is_refused(tmp_path: Path) -> None:
    """Where the simulator plays it, it is another matter: hosts skip the file."""
    text = SPLIT.replace("steps:\n", f"steps:\n{SLOW}\n", 1)
    swarm = SPLIT.replace("steps:\n", f"steps:\n{SWARM.replace('net.cut', 'disk.slow')}\n", 1)

    assert loading.load(a_file(tmp_path, text))
    for each in (text, swarm):
        told = refusal(tmp_path, each.replace("[sim, lab, hosts]", "[lab, hosts]"))
        assert "disk.slow cannot be injected: needs a device of its own" in told


@pytest.mark.parametrize("again", ["{wait_end: split}", "{expect: auto, during: split}"])
@pytest.mark.parametrize(
    ("end", "by"), [("  - {wait_end: split}", "its `wait_end`"), (SWARM, "a swarm")]
)
def test_what_has_ended_is_not_waited_for(tmp_path: Path, again: str, end: str, by: str) -> None:
    """A swarm, too, waits for the end of everything; it crashed in the middle of a run."""
    text = SPLIT.replace("  - {wait_end: split}", f"{end}\n  - {again}", 1)

    told = refusal(tmp_path, text)

    assert f"split has ended before: no step behind {by} is about it" in told
    assert f":{line_of(text, end) + 1}: " in told


@pytest.mark.parametrize(
    ("key", "values", "said"),
    [
        ("matrix", "[]", "matrix outage has no value: no case is made of it"),
        ("nightly", "[]", "nightly outage has no value"),
        ("matrix", "[5s, 30s, 5s]", "matrix outage has 5s twice: two cases of one name"),
        ("nightly", "[120s, 30s]", "nightly outage has 30s twice: two cases of one name"),
    ],
)
def test_each_value_of_a_dimension_makes_one_case(
    tmp_path: Path, key: str, values: str, said: str
) -> None:
    """One without any made none, and two of one name could not be told apart."""
    text = re.sub(rf"(?m)^{key}: {{outage: .*?\]}}", f"{key}: {{outage: {values}}}", SPLIT)
    assert text != SPLIT

    told = refusal(tmp_path, text)

    assert f":{line_of(text, f'{key}:')}: {said}" in told


def test_who_lies_is_chosen_by_the_matrix(tmp_path: Path) -> None:
    """A hole in `network` is filled for each case; who is no validator cannot lie."""
    text = (catalogue.folder() / "byzantine" / "withhold-and-lie.yaml").read_text()
    text = text.replace("byzantine/withhold-and-lie", "partition/quorum-loss")

    cases = loading.load(a_file(tmp_path, text))

    told = [case.written.network.validators.liars["v4"] for case in cases]
    assert told[:2] == ["withhold", "bad-root"]
    assert "unknown validator 'v9'" in refusal(tmp_path, text.replace("{v4: ", "{v9: "))
    assert "backends is [sim]" in refusal(tmp_path, text.replace("[sim]", "[sim, lab]"))


def test_a_matrix_makes_one_case_of_each_choice(tmp_path: Path) -> None:
    """The chosen value stands where its name stood in braces; nightly ones are marked."""
    cases = loading.load(a_file(tmp_path, SPLIT))

    told = [(case.name, case.steps[0].lease, case.is_nightly) for case in cases]  # type: ignore[union-attr]  # a fault
    assert told == [
        ("partition/quorum-loss[5s]", "5s", False),
        ("partition/quorum-loss[30s]", "30s", False),
        ("partition/quorum-loss[120s]", "120s", True),
        ("partition/quorum-loss[600s]", "600s", True),
    ]


@pytest.mark.proves("B16")
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("budget:", "bugdet:", "unknown key bugdet, the nearest is budget"),
        (
            "lease_max: 10m",
            "lease_mx: 10m",
            "unknown key budget.lease_mx, the nearest is lease_max",
        ),
        ("fault: net.cut", "fault: net.cot", "unknown fault 'net.cot', the nearest is net.cut"),
        ("{expect: auto, during: split}", "{expect: auto, during: spilt}", "nearest is split"),
        ("role: user", "role: usr", "load.0.role"),
        ("[agreement,", "[agrement,", "unknown invariant 'agrement', the nearest is agreement"),
        ("{wait_end: split}", "{wait_ends: split}", "the nearest is wait_end"),
        ("growth: {of: t_first_block", "growth: {of: t_frist_block", "is t_first_block"),
        ('lease: "{outage}"', 'lease: "{outrage}"', "lease: "),
        ('lease: "{outage}"', "lease: 20m", "a lease of 20m, the budget allows 10m"),
        ("by: power, parts", "by: powers, parts", "between.groups.by"),
        ("heights_advance: {by: 2}", "heights_advance: {by: two}", "steady.0.heights_advance.by"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_nearest_name(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    """Nothing is started for a file with a mistake, and one knows where to look."""
    assert old in SPLIT

    told = refusal(tmp_path, SPLIT.replace(old, new, 1))

    places = [line for line in told.splitlines() if said in line]
    assert places, told
    line = int(places[0].split("quorum-loss.yaml:")[1].split(":")[0])
    wrong = SPLIT.splitlines()[line - 1 :]
    assert old.split("\n", maxsplit=1)[0].strip() in "\n".join(wrong[:4]), (line, told)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Whoever mends a file mends it once; a mistake of every case is told once."""
    text = SPLIT.replace("fault: net.cut", "fault: net.cot").replace("during: split", "during: x")

    told = refusal(tmp_path, text)

    assert "2 mistakes" in told
    assert told.count("net.cot") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "quorum-loss.yaml:1: the file is empty"),
        ("a: [1", "quorum-loss.yaml:1: not YAML"),
        ("a: 1\na: 2\n", "quorum-loss.yaml:2: a stands here twice"),
        ("- 1\n", "a scenario is a table of keys"),
        (SPLIT.replace("fault: net.cut", "swarm: 5"), "swarm: "),
        ("a: &x 1\nb: *x\n", "quorum-loss.yaml:2: aliases are not used"),
        ("a: 1\nb: \0\n", "quorum-loss.yaml:2: not YAML: special characters are not allowed"),
        ("a: 1\nb: " + "[" * 5_000, "quorum-loss.yaml:2: nothing of a scenario stands 20 deep"),
        (SPLIT.replace("scenario: partition/", "scenario: crash/"), "belongs in crash/"),
        (SPLIT.partition("steps:")[0], "steps is missing"),
    ],
)
def test_what_is_no_scenario_at_all(tmp_path: Path, text: str, said: str) -> None:
    """A text that holds none is refused with the line that says so."""
    assert said in refusal(tmp_path, text)


def test_a_suite_plays_the_cases_of_its_tier() -> None:
    """Long cases are played at night, or when they are named with their choice."""

    def names(*wanted: str, tier: str = "ci") -> list[str]:
        return [part.name for part in catalogue.parts(*wanted, tier=tier)]

    assert "partition/quorum-loss[600s]" not in names("partition")
    assert "partition/quorum-loss[600s]" in names("partition", tier="nightly")
    assert names("partition/quorum-loss[600s]") == ["partition/quorum-loss[600s]"]
    assert names("partition", "minority") == ["partition/minority"]
    assert {name.partition("/")[0] for name in names("all")} >= {"smoke", "partition", "crash"}
    assert names("all", tier="nightly")[-1].startswith("byzantine/equivocation-on-hosts")


def test_a_scenario_that_does_not_exist_is_named_with_the_nearest() -> None:
    """Nothing is started for a misspelt name."""
    with pytest.raises(UsageError, match="the nearest is partition/minority"):
        catalogue.parts("partition", "minorty")


def test_a_suite_without_scenarios_says_so(tmp_path: Path) -> None:
    """What has nothing to play shows nothing, and is no pass."""
    with pytest.raises(UsageError, match="suite security has no scenario yet"):
        catalogue.parts("security", where=tmp_path)


def test_a_case_knows_its_file(tmp_path: Path) -> None:
    """What a pass shows, and where it may run, comes along with each case."""
    text = SPLIT.replace("backends:", "proves: [E16]\nbackends:")

    case = loading.load(a_file(tmp_path, text))[0]

    assert (case.written.proves, "sim" in case.written.backends) == (["E16"], True)
