"""The lease on pretend hosts: folders of this machine, judged by the real host-side programs."""

import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pretend_hosts import PretendHosts

from aitbc_toolkit.deploys.hostside import program
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release import holders
from aitbc_toolkit.release import lease as leases
from aitbc_toolkit.release.errands import Errand
from aitbc_toolkit.release.lease import Claim, Held, Lease, judge
from aitbc_toolkit.remote import Row

pytestmark = pytest.mark.integration

TRIALS = {"fast": 10, "ci": 50, "nightly": 1000}
APART_S = 0.010

Eventually = Callable[..., None]
FREE = program.READING | program.BREAKING | program.HASTENING
CHANGING = set(program.STEPS) - FREE - program.LEASING


class Deployer:
    """A deployer in a process of its own."""

    def __init__(self, hosts: PretendHosts, *, ttl_s: float = 60.0, renews: bool = False) -> None:
        script = Path(__file__).with_name("racing_deployer.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        documents = {name: hosts.params(name) for name in hosts.names}
        self._write({"documents": documents, "ttl_s": ttl_s, "renews": renews})

    def start(self, **command: Any) -> None:
        """Send a command."""
        self._write(command)

    def answer(self) -> dict[str, Any]:
        """Wait for what it says."""
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def do(self, **command: Any) -> dict[str, Any]:
        """Send a command and wait for what it says."""
        self._write(command)
        return self.answer()

    def close(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.process.communicate()

    def _write(self, document: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(document) + "\n")
        self.process.stdin.flush()


@pytest.fixture
def hosts(tmp_path: Path) -> PretendHosts:
    """Three hosts that nobody has deployed to."""
    return PretendHosts(tmp_path, ("a", "b", "c"))


@pytest.fixture
def a_deployer() -> Iterator[Callable[..., Deployer]]:
    """Start deployers that end with the test."""
    with ExitStack() as ends:

        def start(hosts: PretendHosts, **more: Any) -> Deployer:
            made = Deployer(hosts, **more)
            ends.callback(made.close)
            return made

        yield start


def test_check_10_of_two_deployers_within_10_ms_exactly_one_proceeds(
    hosts: PretendHosts, a_deployer: Callable[..., Deployer], request: pytest.FixtureRequest
) -> None:
    """However close they start, one has the lease and the other is told whose it is, with 75."""
    pair = [a_deployer(hosts), a_deployer(hosts)]
    winners = []
    for trial in range(TRIALS[request.config.getoption("--tier")]):
        start_s = time.monotonic() + 0.005
        apart_s = APART_S * (trial % 11) / 10
        for place, deployer in enumerate(pair if trial % 2 else pair[::-1]):
            deployer.start(do="take", at_s=start_s + place * apart_s)
        said = [deployer.answer() for deployer in pair]
        won = [each["won"] for each in said]
        assert won.count(True) == 1, f"trial {trial}, {apart_s * 1000:.0f} ms apart: {said}"
        loser = said[won.index(False)]
        assert loser["exit"] == Exit.BUSY
        assert f"pid {pair[won.index(True)].process.pid}" in loser["holder"]
        assert pair[won.index(True)].do(do="give") == {"left": []}
        winners.append(won.index(True))

    assert {0, 1} <= set(winners), "the race is open"


def test_check_10_a_killed_holders_lease_ends_by_itself(
    hosts: PretendHosts, a_deployer: Callable[..., Deployer], eventually: Eventually
) -> None:
    """SIGKILL of the holder: refused until the TTL, granted after it, with no manual unlock."""
    ttl_s = 12.0
    holder = a_deployer(hosts, ttl_s=ttl_s)
    first = holder.do(do="take", at_s=0.0)
    holder.process.send_signal(signal.SIGKILL)
    killed_s = time.monotonic()
    with pytest.raises(Held) as early:
        hosts.lease("next").acquire()

    def granted() -> bool:
        try:
            after.acquire()
        except Held:
            return False
        return True

    after = hosts.lease("next")
    eventually("the lease of the killed holder to end", granted, deadline_s=ttl_s + 60)

    assert early.value.exit_status is Exit.BUSY
    assert time.monotonic() - killed_s > ttl_s - 1.0
    assert after.token > first["token"], "one more for each try that some hosts had granted already"


def test_check_10_the_later_step_of_an_old_holder_is_refused_by_its_token(
    hosts: PretendHosts, a_deployer: Callable[..., Deployer], eventually: Eventually
) -> None:
    """A holder sleeps past its TTL, another one works, the first wakes: no host obeys it."""
    old = a_deployer(hosts, ttl_s=10.0)
    assert old.do(do="take", at_s=0.0)["won"]
    assert old.do(do="step", host="a")["ok"]
    old.process.send_signal(signal.SIGSTOP)
    new = a_deployer(hosts)
    eventually(
        "the next deployer to proceed",
        lambda: new.do(do="take", at_s=0.0)["won"],
        deadline_s=60,
    )
    old.process.send_signal(signal.SIGCONT)

    late = [old.do(do="step", host=host) for host in hosts.names]
    fresh = [new.do(do="step", host=host) for host in hosts.names]

    assert [each["kind"] for each in late] == ["lease"] * 3
    assert all("its token is 1" in each["error"] for each in late)
    assert all(each["ok"] for each in fresh)


def test_a_lease_lives_as_long_as_its_run(
    hosts: PretendHosts, a_deployer: Callable[..., Deployer], eventually: Eventually
) -> None:
    """While gates wait no step is made; the run renews its lease beside them."""
    holder = a_deployer(hosts, ttl_s=4.0, renews=True)
    holder.do(do="take", at_s=0.0)
    first_s = hosts.told("c")["ends_s"]

    eventually("a second TTL", lambda: hosts.told("c")["ends_s"] > first_s + 4.0, deadline_s=30)

    assert holder.do(do="step", host="c")["ok"]
    with pytest.raises(Held):
        hosts.lease("another").acquire()


def test_a_reboot_voids_the_lease(hosts: PretendHosts) -> None:
    """What was granted in another boot is no right any more, and nobody waits for it."""
    old = hosts.lease("old")
    old.acquire()
    for name in hosts.names:
        hosts.edit(name, boot="the boot before")

    row = hosts.change("a", old.words(deadline_s=5))
    new = hosts.lease("new")
    rows = new.acquire()

    assert (row.ok, row.kind) == (False, "lease")
    assert "rebooted" in row.error
    assert new.token == old.token + 1
    assert rows["a"].answer["before"] == [old.token, "rebooted"]


def test_the_wall_clock_has_no_say(hosts: PretendHosts) -> None:
    """A record from any year lives as long as its boot-clock says."""
    hosts.lease("now").acquire()
    for name in hosts.names:
        hosts.edit(name, since="1999-12-31T23:59:59Z")
    with pytest.raises(Held):
        hosts.lease("then").acquire()
    for name in hosts.names:
        hosts.edit(name, since="2999-12-31T23:59:59Z", ends_s=0.0)

    hosts.lease("then").acquire()


def test_a_step_is_covered_to_its_deadline_and_not_longer(hosts: PretendHosts) -> None:
    """While a step may run, nobody else gets its host; when it has ended, the TTL counts again."""
    run = hosts.lease("long", ttl_s=20.0)
    run.acquire()
    before_s = hosts.told("a")["ends_s"]

    row = hosts.change("a", run.words(deadline_s=600))

    assert row.ok, row.error
    assert before_s <= hosts.told("a")["ends_s"] < before_s + 600


@pytest.mark.parametrize("step", sorted(CHANGING))
def test_every_step_that_changes_a_host_asks_for_the_lease(hosts: PretendHosts, step: str) -> None:
    """Without one, or with the token of another run, the host does nothing and says why."""
    hosts.lease("the holder").acquire()
    more = {"commit": "0" * 40, "action": "stop", "wipe": False, "line": "", "keep": [], "lines": 1}
    more |= {"arm": {}, "record": {"outcome": "healthy"}}
    stranger = {"owner": "somebody", "token": 1, "ttl_s": 60, "deadline_s": 5}

    row = hosts.run(step, "a", stranger, **more)

    assert (row.ok, row.kind) == (False, "lease"), row.error


@pytest.mark.parametrize("step", sorted(CHANGING - {"turn-back"}))
def test_every_step_that_changes_a_host_disarms_it_first(hosts: PretendHosts, step: str) -> None:
    """What an earlier run has armed never acts behind a later one, whatever that one does.

    All but the word that a run goes back: what it has armed is the way back of last resort.
    """
    holder = hosts.lease("the holder")
    holder.acquire()
    switch = hosts.record("a").with_name("deadman.json")
    switch.write_text(json.dumps({"state": "armed", "instances": [], "back": []}))

    # What it does then, it may well refuse: nothing is there.
    more = {"commit": "0" * 40, "action": "stop", "arm": {}, "lines": 1, "drain_ms": 0}
    more["record"] = {"outcome": "healthy"}
    hosts.run(step, "a", holder.words(deadline_s=5), **more)

    assert json.loads(switch.read_text())["state"] == "disarmed"


def test_the_holder_is_shown_with_reason_since_and_end(hosts: PretendHosts) -> None:
    """Whoever is refused learns who, why, since when, until when, and what to do."""
    holder = hosts.lease("deploy 1234567")
    holder.acquire()

    with pytest.raises(Held) as refused:
        hosts.lease("rollback").acquire()

    lines = refused.value.message.splitlines()
    assert lines[0] == "rollback refused: deploy 1234567@here holds the lease of pretend"
    assert lines[1] == "  reason           deploy 1234567"
    assert lines[2] == f"  since            {holder.claim.since}"
    assert "unless it is renewed" in lines[3]
    assert lines[4] == "  changed so far   nothing, on no host"
    assert refused.value.exit_status is Exit.BUSY


def test_a_lease_of_a_process_that_has_ended_is_said_to_be_one() -> None:
    """Killed on this machine: who is refused learns it, and the command that takes the lease."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    facts = {"reason": "deploy 1234567", "since": "12:00:00Z", "ends_in_s": 40.0, "owner": "ab"}
    facts["holder"] = "somebody"
    here, elsewhere = holders.own().rsplit(" ", 2)[0], "another-boot pid:[1]"

    told = [
        Held(
            Claim("lab", "deploy"),
            Row(
                "lab1",
                ok=False,
                answer={"held": {**facts, "process": process}},
                took_ms=0,
            ),
        )
        for process in (f"{here} {ended.pid} 1", holders.own(), f"{elsewhere} {ended.pid} 1")
    ]

    assert "  but              that process of this machine has ended" in told[0].message
    assert (
        told[0].hint.splitlines()[0].startswith("aitbc ... --break-lease 'its process has ended'")
    )
    assert [each.hint.splitlines()[0] for each in told[1:]] == ["aitbc deploy status lab"] * 2
    assert not any("has ended" in each.message + each.hint for each in told[1:])


def test_a_lease_is_broken_only_from_the_run_that_was_seen(hosts: PretendHosts) -> None:
    """Two who break the same lease: the second meets the first, not the one that both saw."""
    stuck = hosts.lease("stuck")
    stuck.acquire()
    first, second = hosts.lease("first"), hosts.lease("second")

    first.acquire(breaks=stuck.claim.owner)

    with pytest.raises(Held, match="first@here holds"):
        second.acquire(breaks=stuck.claim.owner)
    row = hosts.change("b", stuck.words(deadline_s=5))
    assert (row.ok, row.kind) == (False, "lease")


def test_an_errand_that_is_done_everywhere_is_one_round_trip(hosts: PretendHosts) -> None:
    """The right is granted, everything is seen under it, and it is given back with the word."""
    run = hosts.lease("nothing to do")
    statement = {"text": "the log's head", "signature": ""}

    rows = run.acquire(errand=Errand({}, statement))
    hosts.asked.clear()
    left = run.release()
    next_run = hosts.lease("the next")
    next_run.acquire()

    assert (run.is_done, run.is_held) == (True, False)
    assert all(row.answer["released"] and row.answer["instances"] == {} for row in rows.values())
    kept = [hosts.record(name).with_name("audit-heads.jsonl").read_text() for name in hosts.names]
    assert [json.loads(each) for each in kept] == [statement] * 3
    assert left == {}
    assert hosts.asked == [("lease", hosts.names)]
    assert (next_run.token, hosts.told("c")["before_end"]) == (run.token + 1, "released")


def test_a_right_that_was_given_back_lets_nobody_change_a_host(hosts: PretendHosts) -> None:
    """Who finds more to do has to take it anew, and then has it on every host."""
    run = hosts.lease("too early")
    run.acquire(errand=Errand({}, {}))

    words = {"owner": run.claim.owner, "token": run.token, "ttl_s": 60.0, "deadline_s": 5}
    late = hosts.change("a", words)
    run.acquire()
    row = hosts.change("a", run.words(deadline_s=5))

    assert (late.ok, late.kind) == (False, "lease")
    assert "its lease has ended: released" in late.error
    assert (row.ok, run.is_held, run.is_done) == (True, True, False)


@pytest.mark.parametrize("why", ["armed", "unready"])
def test_an_errand_that_is_not_done_on_one_host_keeps_the_right_on_all(
    hosts: PretendHosts, why: str
) -> None:
    """A switch that is armed, or a host that lacks something, is for the run to see to."""
    if why == "armed":
        switch = hosts.record("b").with_name("deadman.json")
        switch.parent.mkdir(parents=True)
        armed = {"state": "armed", "instances": [], "boot": "", "due_wall_s": 0.0, "back": []}
        switch.write_text(json.dumps(armed))
    else:
        hosts.lacking = {"b"}
    run = hosts.lease("one is left")

    run.acquire(errand=Errand({}, {}))

    assert (run.is_held, run.is_done, run.unseen) == (True, False, [])
    assert hosts.asked[:2] == [("lease", hosts.names), ("lease", ("a", "c"))]
    assert {hosts.told(name)["token"] for name in hosts.names} == {run.token}
    with pytest.raises(Held):
        hosts.lease("another").acquire()


def test_whoever_comes_on_an_errand_meets_the_holder(hosts: PretendHosts) -> None:
    """What another run holds it does not pass by, however little it wants."""
    hosts.lease("the holder").acquire()

    with pytest.raises(Held, match="the holder@here holds"):
        hosts.lease("nothing to do").acquire(errand=Errand({}, {}))


def test_without_a_majority_there_is_no_right(hosts: PretendHosts) -> None:
    """One of three hosts grants it: that is nobody's lease, on either side of a cut."""
    hosts.cut = {"b", "c"}
    run = hosts.lease("alone")

    rows = run.acquire()

    assert not run.is_held
    assert [name for name, row in rows.items() if row.ok] == ["a"]


def test_hosts_lost_between_grant_and_levelling_are_no_majority(hosts: PretendHosts) -> None:
    """Two of three grant it and vanish before they have the newest token: that is no lease."""
    hosts.cut = {"a", "b"}
    for _ in range(2):
        hosts.lease("on c alone").acquire()
        hosts.edit("c", ends_s=0.0)
    hosts.cut = set()
    grant = hosts.ask

    def vanishing(step: str, names: Collection[str], words: Mapping[str, Any]) -> dict[str, Row]:
        rows = grant(step, names, words)
        hosts.cut = {"a", "b"}
        return rows

    hosts.ask = vanishing  # type: ignore[method-assign]
    run = hosts.lease("levelled")
    rows = run.acquire()

    assert not run.is_held
    assert sorted(name for name, row in rows.items() if not row.ok) == ["a", "b"]
    with pytest.raises(AitbcError, match="no majority of hosts has it on record any more"):
        run.words(deadline_s=5)


def test_one_host_of_three_cannot_make_a_run_sure_of_its_lease(hosts: PretendHosts) -> None:
    """Asking a host that is down again and again hides no majority that was lost meanwhile."""
    hosts.cut = {"c"}
    run = hosts.lease("one is down")
    run.acquire()
    first_s = run.sure_until_s
    hosts.cut = {"a", "b"}
    run.renew(hosts.ask)
    hosts.cut = {"b", "c"}
    run.renew(hosts.ask)
    hosts.cut = {"a", "b", "c"}

    run.ready(["c"])

    assert run.is_held
    assert run.sure_until_s == first_s


def test_a_renewal_does_not_meet_tokens_that_are_being_levelled() -> None:
    """One that left with the old token would come back refused and end a healthy run for good."""
    tokens, is_away = {"a": 1, "b": 1, "c": 3}, {"c"}
    left, levelled = threading.Event(), threading.Event()

    def ask(step: str, names: Collection[str], words: Mapping[str, Any]) -> dict[str, Row]:
        if step == "lease":
            tokens.update({name: max(tokens[name], words["token"]) for name in names})
        return {
            name: Row(
                name,
                ok=name not in is_away and (step == "lease" or words["token"] == tokens[name]),
                answer={
                    "token": tokens[name],
                    "before": [0, "none"],
                    "kind": "lease",
                    "error": "an old token",
                },
                took_ms=0,
            )
            for name in names
        }

    def late(step: str, names: Collection[str], words: Mapping[str, Any]) -> dict[str, Row]:
        left.set()
        levelled.wait(0.2)
        return ask(step, names, words)

    run = Lease(Claim("pretend", "deploy"), ("a", "b", "c"), ask, wait=lambda _: None)
    run.acquire()
    is_away.clear()
    renewal = threading.Thread(target=run.renew, args=(late,))
    renewal.start()
    left.wait(10)
    run.ready(["c"])
    levelled.set()
    renewal.join(10)

    assert tokens == {"a": 3, "b": 3, "c": 3}
    assert run.words(deadline_s=5)["token"] == 3


def test_a_renewal_waits_until_a_right_is_taken_anew() -> None:
    """Its tick may fall into a run that stays: hosts have no token of it to renew by then."""
    away, renewals = threading.Event(), list[threading.Thread]()
    met = []

    def yes(_step: str, names: Collection[str], _words: Mapping[str, Any]) -> dict[str, Row]:
        answer = {"token": 1, "before": [0, "none"]}
        return {name: Row(name, ok=True, answer=answer, took_ms=0) for name in names}

    def renew(step: str, names: Collection[str], words: Mapping[str, Any]) -> dict[str, Row]:
        away.set()
        return yes(step, names, words)

    def ask(step: str, names: Collection[str], words: Mapping[str, Any]) -> dict[str, Row]:
        renewals.append(threading.Thread(target=run.renew, args=(renew,)))
        renewals[-1].start()
        met.append(away.wait(0.2))
        return yes(step, names, words)

    run = Lease(Claim("pretend", "deploy"), ("a", "b", "c"), ask, wait=lambda _: None)
    run.acquire()
    for each in renewals:
        each.join(60)

    assert met == [False]
    assert away.is_set()


def test_who_takes_a_right_anew_waits_for_whom_it_follows_then(hosts: PretendHosts) -> None:
    """Between the two another run was cut off, on a host that cannot be seen any more."""
    run = hosts.lease("stays")
    run.acquire(errand=Errand({}, {}))
    hosts.lease("killed").acquire()
    for name in hosts.names:
        hosts.edit(name, ends_s=0.0)
    hosts.cut = {"c"}

    run.acquire()
    run.ready(["a"])

    assert hosts.waited == [leases.TTL_S + leases.STEP_S_MAX]


def test_the_token_is_one_more_than_the_highest_of_the_majority(hosts: PretendHosts) -> None:
    """Hosts that missed some leases are brought to the newest token before anything is staged."""
    for cut in ({"c"}, {"c"}, {"a"}):
        hosts.cut = cut
        run = hosts.lease("one after the other")
        run.acquire()
        run.release()
    hosts.cut = set()
    last = hosts.lease("the last")

    last.acquire()

    assert last.token == 4
    assert {name: hosts.told(name)["token"] for name in hosts.names} == dict.fromkeys("abc", 4)


def test_a_usual_lease_is_one_round_trip_to_get_and_one_to_give_back(hosts: PretendHosts) -> None:
    """All hosts at once, with the look around that a deploy begins with."""
    run = hosts.lease("deploy")

    rows = run.acquire()
    run.release()

    assert hosts.asked == [("lease", hosts.names), ("lease-release", hosts.names)]
    assert all("instances" in row.answer for row in rows.values())


def test_who_cannot_see_every_host_waits_for_what_may_go_on_there(hosts: PretendHosts) -> None:
    """After a run that was cut off: TTL and the longest step; after a good end: nothing."""
    killed = hosts.lease("killed")
    killed.acquire()
    for name in hosts.names:
        hosts.edit(name, ends_s=0.0)
    hosts.cut = {"c"}
    careful = hosts.lease("careful")
    careful.acquire()
    careful.ready(["a"])
    careful.release()
    calm = hosts.lease("calm")
    calm.acquire()
    calm.ready(["a"])

    assert hosts.waited == [leases.TTL_S + leases.STEP_S_MAX, 0.0]


@pytest.mark.parametrize(
    ("kind", "wait_s"),
    [("unknown", leases.TTL_S + leases.STEP_S_MAX), ("unreachable", 0.0)],
)
def test_a_step_that_may_go_on_makes_the_end_unclear(
    hosts: PretendHosts, kind: str, wait_s: float
) -> None:
    """A run that lost sight of a step promises nothing; a host that was never reached has none."""
    run = hosts.lease("cut off")
    run.acquire()
    hosts.cut = {"c"}
    run.note({"c": Row("c", ok=False, answer={"kind": kind}, took_ms=0)})
    run.release()
    after = hosts.lease("after")

    after.acquire()

    assert after.wait_s() == wait_s


def test_a_grant_whose_answer_is_a_failure_is_given_back_too(
    hosts: PretendHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a host does after the grant may fail: the next run must not wait for the TTL."""
    run = hosts.lease("refused")
    ask = hosts.ask

    def failing(step: str, names: Any, words: Any) -> dict[str, Row]:
        rows = ask(step, names, words)
        failed = Row("c", ok=False, answer={"kind": "failed", "error": "no user"}, took_ms=0)
        return {**rows, "c": failed} if step == "lease" else rows

    monkeypatch.setattr(run, "_ask", failing)
    run.acquire()

    run.release()

    assert {hosts.told(name)["end"] for name in hosts.names} == {"released"}


def test_a_host_that_comes_back_gets_its_record_before_it_is_changed(hosts: PretendHosts) -> None:
    """Every host that is touched has the lease on record, also one that was away at first."""
    hosts.cut = {"c"}
    run = hosts.lease("patient")
    run.acquire()
    hosts.cut = set()

    run.ready(["c"])
    row = hosts.change("c", run.words(deadline_s=5))

    assert row.ok, row.error


def test_a_run_that_cannot_renew_stops_by_itself(hosts: PretendHosts) -> None:
    """The controller's own clock says when its right is no longer sure; it asks no host then."""
    run = hosts.lease("lost")
    run.acquire()
    run.sure_until_s = time.monotonic() - 1

    with pytest.raises(AitbcError, match="the lease of pretend is lost") as lost:
        run.words(deadline_s=5)

    assert lost.value.exit_status is Exit.UNKNOWN


def test_a_record_that_cannot_be_read_permits_nothing(hosts: PretendHosts) -> None:
    """Bytes that are no record are no free host: the token must never go down."""
    hosts.lease("first").acquire()
    hosts.record("a").write_text("{}")

    row = hosts.change("a", {"owner": "x", "token": 1, "ttl_s": 1, "deadline_s": 1})

    assert not row.ok
    assert "is no record of a lease" in row.error


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_of_two_that_share_the_hosts_exactly_one_gives_way(count: int) -> None:
    """Every way in which two who ask at once can have divided the hosts between them."""
    order = [f"h{number}" for number in range(count)]
    for mine in itertools.product([True, False], repeat=count):
        first = {name for name, is_mine in zip(order, mine, strict=True) if is_mine}
        other = set(order) - first
        verdicts = [
            judge(order, granted=first, held=other),
            judge(order, granted=other, held=first),
        ]
        assert verdicts.count("yield") == 1, (first, verdicts)
