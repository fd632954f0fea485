"""How does one run get the sole right to change an environment, and keep it while it works?

A majority of all hosts grants the right, and every host that is changed has it on record. Who of
several gets it is decided by the first host of the inventory: whoever is not granted there gives
way. Hosts judge each step by its token (`hostside/leasing`); here nothing is judged twice.
"""

import os
import random
import secrets
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release import holders
from aitbc_toolkit.release.errands import Errand, took_back
from aitbc_toolkit.release.source import who
from aitbc_toolkit.remote import Row

TTL_S = 60.0
# The deadline of the lease's own steps.
STEP_S = 20
# The deadline of the longest step, staging, and the time to kill it.
STEP_S_MAX = 315.0
# How long two that ask at once may need until one of them has given way on every host.
_PATIENCE_S = 5.0
_PAUSE_S = (0.05, 0.15)

Verdict = Literal["won", "yield", "again", "short"]


@dataclass(frozen=True, slots=True)
class Claim:
    """Say who wants the right and why; hosts tell runs apart by `owner`, people by `run`.

    `process` lets a later run on the same machine see that this one is gone.
    """

    environment: str
    reason: str
    run: str = field(default_factory=lambda: secrets.token_hex(8))
    owner: str = field(default_factory=lambda: secrets.token_hex(8))
    holder: str = field(default_factory=lambda: f"{who()} pid {os.getpid()}")
    process: str = field(default_factory=holders.own)
    since: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    ttl_s: float = TTL_S


Ask = Callable[[str, Collection[str], Mapping[str, Any]], Mapping[str, Row]]
"""Make one step of the lease on the named hosts, with these words under `lease`."""


class Lease:
    """Be the right of one run, from asking for it to giving it back."""

    def __init__(
        self, claim: Claim, hosts: Sequence[str], ask: Ask, *, wait: Callable[[float], None]
    ) -> None:
        self.claim = claim
        self.hosts = tuple(hosts)
        self.token = 0
        self.sure_until_s = 0.0
        self.is_done = False
        """Every host has granted the right and taken it back: there is nothing to do for it."""
        self._ask = ask
        self._wait = wait
        self._is_ready = False
        self._granted: set[str] = set()
        # Whose right it followed at first, and how that one ended.
        self._before: dict[str, tuple[int, str]] = {}
        # Where the step failed, it may have done so after the grant was written.
        self._doubtful: set[str] = set()
        self._tokens: dict[str, int] = {}
        # When each host was last asked before it said yes.
        self._agreed_s: dict[str, float] = {}
        # Renewals come from another thread: none may meet tokens that are being levelled.
        self._asking = threading.RLock()
        self._unclear = False
        self._lost = ""

    @property
    def is_held(self) -> bool:
        """Tell whether a majority has granted it."""
        return len(self._granted) > len(self.hosts) // 2

    @property
    def unseen(self) -> list[str]:
        """List the hosts that have not granted it."""
        return [name for name in self.hosts if name not in self._granted]

    def acquire(self, *, breaks: str = "", errand: Errand | None = None) -> dict[str, Row]:
        """Ask every host until it is decided; return what each said, majority or not.

        `breaks` is the owner whose lease is ended by this. With an errand that is done everywhere
        the right is given back by then; where it is done on some hosts only, those are asked anew.
        Raises: Held when another run has the right.
        """
        with self._asking:
            rows: dict[str, Row] = {}
            patience_s = time.monotonic() + _PATIENCE_S
            wanted = list(self.hosts)
            self.is_done = False
            self._before.clear()
            while wanted:
                rows |= self._request(wanted, breaks=breaks, errand=errand)
                done = [name for name in wanted if took_back(rows[name])]
                if len(done) == len(self.hosts):
                    self.is_done = True
                    return rows
                held = [name for name, row in rows.items() if row.kind in {"held", "busy"}]
                verdict = judge(self.hosts, granted=self._granted, held=held)
                # A host that took the right back decides between two only when it is asked again.
                gives_way = verdict == "yield" and not done
                if gives_way or (verdict == "again" and time.monotonic() > patience_s):
                    self._give_way(rows[held[0]])
                wanted, errand = [*held, *done], None
                if held:
                    time.sleep(random.uniform(*_PAUSE_S))  # noqa: S311 - only to fall out of step
            return rows | self._level(breaks=breaks)

    def ready(self, hosts: Collection[str]) -> None:
        """Do what has to come before hosts are changed: wait where we must, record where we can.

        What a host refuses here it refuses to the step, which tells it.
        """
        if not self._is_ready:
            self._wait(self.wait_s())
            self._is_ready = True
        missing = [name for name in self.unseen if name in hosts]
        if missing:
            with self._asking:
                self._request(missing)
                self._level()

    def words(self, *, deadline_s: int) -> dict[str, Any]:
        """Write what a step carries, so that hosts let it change something.

        Raises: AitbcError when this run knows that it has lost the right.
        """
        if not self._lost and not self.is_held:
            self._lost = "no majority of hosts has it on record any more"
        if not self._lost and time.monotonic() > self.sure_until_s:
            self._lost = f"no majority of hosts has renewed it for {self.claim.ttl_s:.0f} s"
        if self._lost:
            name = self.claim.environment
            raise AitbcError(
                f"the lease of {name} is lost: {self._lost}",
                hint=f"aitbc status {name}",
                exit_status=Exit.UNKNOWN,
            )
        return {**self._own(), "deadline_s": deadline_s}

    def renew(self, ask: Ask) -> None:
        """Let the right end later, by a connection that no step keeps busy."""
        with self._asking:
            asked_s = time.monotonic()
            rows = ask("lease-renew", list(self._granted), self._own())
            self._hear(rows, asked_s)
            agreed = [name for name, row in rows.items() if row.ok]
            refused = next((row.error for row in rows.values() if row.kind == "lease"), "")
            if len(agreed) <= len(self.hosts) // 2 and refused:
                self._lost = refused

    def note(self, rows: Mapping[str, Row]) -> None:
        """Remember steps that may go on without us: then the end of this lease proves nothing.

        A host that could not be reached was given no step.
        """
        self._unclear |= any(row.kind == "unknown" for row in rows.values())

    def release(self, statement: Mapping[str, str] | None = None) -> Mapping[str, Row]:
        """Give the right back; return what each host said, which may have to let it end by itself.

        A statement is something that hosts are to remember of this run, whatever becomes of it.
        """
        hosts = [name for name in self.hosts if name in self._granted or name in self._doubtful]
        if not hosts:
            return {}
        end = "unclear" if self._unclear else "released"
        last = {"end": end, "statement": dict(statement or {}), "deadline_s": STEP_S}
        return self._ask("lease-release", hosts, {**self._own(), **last})

    def wait_s(self) -> float:
        """Say how long a run before this one may still be at work where we cannot see it.

        With every host in sight there is nothing to wait for; neither when the newest lease that
        we see was given back by its holder, for then all of its steps had ended.
        """
        if not self.unseen:
            return 0.0
        before = [self._before[name] for name in self._granted]
        _token, end = max(before, default=(0, "none"))
        return 0.0 if end in {"none", "released"} else self.claim.ttl_s + STEP_S_MAX

    def _request(
        self, hosts: Sequence[str], *, breaks: str = "", errand: Errand | None = None
    ) -> Mapping[str, Row]:
        """Ask some hosts once, and keep what they grant and do not take back."""
        asked_s = time.monotonic()
        told = {"breaks": breaks, "errand": errand.to_wire() if errand else {}}
        rows = self._ask("lease", hosts, {**self._own(), **_told(self.claim), **told})
        for name, row in rows.items():
            if row.ok:
                number, end = row.answer["before"]
                self._before.setdefault(name, (int(number), str(end)))
                self.token = max(self.token, int(row.answer["token"]))
            elif row.kind not in {"unreachable", "held", "busy"}:
                self._doubtful.add(name)
            if row.ok and not took_back(row):
                self._granted.add(name)
                self._tokens[name] = int(row.answer["token"])
        self._hear({name: row for name, row in rows.items() if not took_back(row)}, asked_s)
        return rows

    def _hear(self, rows: Mapping[str, Row], asked_s: float) -> None:
        """Be sure of the right for as long as more than half of all hosts have promised it."""
        self._agreed_s |= {name: asked_s for name, row in rows.items() if row.ok}
        newest = sorted(self._agreed_s.values(), reverse=True)
        needed = len(self.hosts) // 2
        if len(newest) > needed:
            self.sure_until_s = newest[needed] + self.claim.ttl_s

    def _level(self, *, breaks: str = "") -> dict[str, Row]:
        """Bring the newest token to every host that granted an older one; return what they said."""
        said: dict[str, Row] = {}
        while behind := [name for name, token in self._tokens.items() if token < self.token]:
            rows = self._request(behind, breaks=breaks)
            said |= rows
            for name in behind:
                if not rows[name].ok:
                    self._granted.remove(name)
                    del self._tokens[name], self._agreed_s[name]
        return said

    def _give_way(self, row: Row) -> None:
        self.release()
        self._granted.clear()
        self._before.clear()
        self._tokens.clear()
        self._agreed_s.clear()
        raise Held(self.claim, row)

    def _own(self) -> dict[str, Any]:
        return {"owner": self.claim.owner, "token": self.token, "ttl_s": self.claim.ttl_s}


class Held(AitbcError):  # noqa: N818 - it is no error to hold a lease
    """Say that another run has the right: who, why, since when, and when it ends."""

    def __init__(self, claim: Claim, row: Row) -> None:
        said = row.answer.get("held", {})
        self.owner = str(said.get("owner", ""))
        # Its right would end by itself; nobody has to wait for that where it is known to be gone.
        self.is_gone = holders.is_gone(str(said.get("process", "")))
        self.holder = str(said.get("holder", f"another step on {row.host}"))
        name = claim.environment
        lines = [f"{claim.reason} refused: {self.holder} holds the lease of {name}"]
        if said:
            ends = time.strftime("%H:%M:%SZ", time.gmtime(time.time() + said["ends_in_s"]))
            lines += [
                f"  reason           {said['reason']}",
                f"  since            {said['since']}",
                f"  ends at          {ends}, in {said['ends_in_s']:.0f} s, unless it is renewed",
            ]
        hints = [f"aitbc deploy status {name}"]
        if self.is_gone:
            lines.append("  but              that process of this machine has ended")
        if said:
            why = "its process has ended" if self.is_gone else "REASON"
            hints.append(f"aitbc ... --break-lease {why!r}   # of a run that is gone; audited")
        super().__init__(
            "\n".join([*lines, "  changed so far   nothing, on no host"]),
            hint="\n".join(reversed(hints) if self.is_gone else hints),
            exit_status=Exit.BUSY,
        )


def judge(order: Sequence[str], *, granted: Collection[str], held: Collection[str]) -> Verdict:
    """Decide what one who asks does next, by which hosts granted and who holds the others.

    Of two that ask at once, each sees the first host that both reach: there one was granted and
    the other was not, so exactly one gives way. Without a majority in sight there is no right.
    """
    if held:
        first = next(name for name in order if name in granted or name in held)
        return "again" if first in granted else "yield"
    return "won" if len(granted) > len(order) // 2 else "short"


def _told(claim: Claim) -> dict[str, str]:
    return {
        "run": claim.run,
        "holder": claim.holder,
        "process": claim.process,
        "reason": claim.reason,
        "since": claim.since,
    }
