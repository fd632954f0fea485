"""What is each host told in each step, and what follows when one answers badly?

Builds the parameter documents and judges the rows. The order of steps is not here.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from aitbc_toolkit import render, telling
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import access, arming, clocks, labs
from aitbc_toolkit.release.arming import Guard
from aitbc_toolkit.release.lease import STEP_S, Ask, Lease
from aitbc_toolkit.release.source import Revision, Source
from aitbc_toolkit.remote import Hosts, Row

Params = dict[str, dict[str, Any]]

DISK_FREE_MIB_MIN = 300

_OBSERVE_S = 20
_STAGE_S = 300
_CONFIGURE_S = 30
_COMPARE_S = 120
_SWITCH_S = 60
_RECORD_S = 30
# The way back waits for it, and for a host that hangs it waits in vain.
_TURN_S = 10
_NOTHING = "nothing, on no host"
_NOTHING_RUNNING = "nothing that runs, on no host"
_KINDS = {"busy": Exit.BUSY, "lease": Exit.BUSY, "bug": Exit.BUG}


class Crew:
    """Run the steps of a deploy on the hosts of one environment; `lease` lets them change."""

    def __init__(self, environment: Environment, remote: Hosts) -> None:
        self.environment = environment
        self._remote = remote
        self.lease: Lease | None = None
        # Hosts that a run does without, and why; they are asked nothing more.
        self.absent: dict[str, str] = {}
        self._look: Mapping[str, Row] = {}
        self._managers = {host.name: render.manager(host) for host in environment.hosts}
        # Where in its log each node's words of this run begin; those before are another process's.
        self._since: dict[str, str] = {}

    def hold(self, lease: Lease, rows: Mapping[str, Row]) -> None:
        """Change hosts under this lease from here on; `rows` is what they told when they gave it.

        One that every host took back, for nothing is to be done, is nobody's any more: such a run
        has only what they told, unless it takes the lease anew.
        Raises: AitbcError (refused) when no majority has granted it.
        """
        if not lease.is_held and not lease.is_done:
            verb = lease.claim.reason.partition(" ")[0]
            self.require(rows, verb=verb, changed=_NOTHING)
            raise AitbcError(
                f"{verb} {self.environment.name} refused: no majority of hosts grants its lease",
                hint=f"aitbc status {self.environment.name}",
                exit_status=Exit.REFUSED,
            )
        self.lease, self._look = lease, rows

    def ask(self, remote: Hosts) -> Ask:
        """Make the steps of a lease over a connection."""

        def ask(step: str, hosts: Collection[str], words: Mapping[str, Any]) -> Mapping[str, Row]:
            params = self._params(disk_free_mib_min=DISK_FREE_MIB_MIN, lease=words)
            chosen = {name: params[name] for name in hosts}
            return remote.step(step, chosen, deadline_s=STEP_S)

        return ask

    @property
    def armed(self) -> list[dict[str, Any]]:
        """List the hosts that, at the first look, would take nodes back by themselves."""
        return arming.armed({name: row.answer for name, row in self._look.items() if row.ok})

    def take_over(self, verb: str) -> dict[str, list[str]]:
        """Disarm what an earlier run has armed, so that no host changes anything behind this one.

        Return for each host the nodes that stay unproved; what was seen before is seen anew.
        """
        armed = {each["host"]: list(each["nodes"]) for each in self.armed}
        if not armed:
            return {}
        rows = self.disarm({node for nodes in armed.values() for node in nodes})
        self.require(rows, verb=verb, changed=_NOTHING)
        self._look = {}
        back = [node for row in rows.values() for node in row.answer["back"]]
        return {name: [node for node in armed[name] if node not in back] for name in armed}

    def observe(self, verb: str, *, may_miss: bool = False) -> dict[str, Mapping[str, Any]]:
        """Look at every host; refuse when one cannot be reached, unless it may be missed."""
        rows, self._look = self._look, {}
        if not rows:
            params = self._params(disk_free_mib_min=DISK_FREE_MIB_MIN)
            rows = self._remote.step("observe", params, deadline_s=_OBSERVE_S)
        if may_miss:
            lost = [row for row in rows.values() if row.kind == "unreachable"]
            self.absent = {row.host: row.error.partition("\n")[0] for row in lost}
            rows = {name: row for name, row in rows.items() if name not in self.absent}
        self.require(rows, verb=verb, changed=_NOTHING)
        return {
            name: {**row.answer, "checks": [*row.answer["checks"], clocks.check(row)]}
            for name, row in rows.items()
        }

    def answers(self) -> dict[str, Mapping[str, Any]]:
        """Tell what each host shows of itself; one that does not answer is left out."""
        return {name: row.answer for name, row in self.looks().items() if row.ok}

    def looks(self, hosts: Collection[str] | None = None) -> dict[str, Row]:
        """Let the named hosts, or all, show themselves; the rows are the caller's."""
        params = self._params(disk_free_mib_min=DISK_FREE_MIB_MIN)
        chosen = {name: each for name, each in params.items() if hosts is None or name in hosts}
        return self._remote.step("observe", chosen, deadline_s=_OBSERVE_S)

    def glance(self) -> dict[str, Mapping[str, Any]]:
        """Tell what each node's host shows of it; a host that does not answer is left out."""
        return {
            name: told
            for answer in self.answers().values()
            for name, told in answer["instances"].items()
        }

    def meter(self) -> dict[str, Mapping[str, Any]]:
        """Tell what the process of each node has used; a host that does not answer is left out."""
        rows = self._remote.step("meter", self._params(), deadline_s=_TURN_S)
        return {
            name: told
            for row in rows.values()
            if row.ok
            for name, told in row.answer["instances"].items()
        }

    def stage(
        self,
        revision: Revision,
        source: Source,
        manifest: Mapping[str, Any],
        trust: Mapping[str, Any],
        *,
        components: Mapping[str, Any],
        configurations: Mapping[str, render.Configuration],
        only: Collection[str] | None = None,
    ) -> dict[str, Mapping[str, Any]]:
        """Make the release on the hosts of the named nodes; nothing that runs is touched.

        Configurations that are known already are kept by the same step.
        """
        params = self._params(
            only=only,
            commit=revision.commit,
            source=source.url,
            source_ref=source.ref,
            hrp=self.environment.chain.hrp,
            chain_id=self.environment.chain.id,
            manifest=dict(manifest),
            trust=dict(trust),
            components=dict(components),
        )
        for name, document in params.items():
            own = self.environment.host(name).connector == "local"
            document["git_ssh_config"] = source.ssh_config if own else ""
            _give(document, configurations)
        rows = self._change("stage", params, deadline_s=_STAGE_S)
        self.require(rows, verb="deploy", changed=_NOTHING_RUNNING)
        return {name: row.answer for name, row in rows.items()}

    def configure(
        self, commit: str, configurations: Mapping[str, render.Configuration]
    ) -> dict[str, Mapping[str, Any]]:
        """Keep each node's rendered files in its release; return what each host says of them."""
        params = self._params(only=set(configurations), commit=commit)
        for document in params.values():
            _give(document, configurations)
        rows = self._change("configure", params, deadline_s=_CONFIGURE_S)
        self.require(rows, verb="deploy", changed=_NOTHING_RUNNING)
        return {name: row.answer for name, row in rows.items()}

    def unseal(self, keys: Mapping[str, Mapping[str, str]]) -> dict[str, list[str]]:
        """Put the keys of nodes where they are missing; return which files were."""
        params = self._params(only=set(keys))
        for document in params.values():
            names = [each["name"] for each in document["instances"]]
            document["keys"] = {name: dict(keys[name]) for name in names}
        rows = self._change("unseal", params, deadline_s=_RECORD_S)
        self.require(rows, verb="restore", changed=_NOTHING_RUNNING)
        return {name: put for row in rows.values() for name, put in row.answer["put"].items()}

    def begin_signing(self, names: Collection[str], commit: str, *, not_before: int) -> None:
        """Let validators whose sign state is lost sign again, from a height on."""
        params = self._params(only=set(names), commit=commit, not_before=not_before)
        rows = self._change("begin-signing", params, deadline_s=_RECORD_S)
        self.require(rows, verb="restore", changed=_NOTHING_RUNNING)

    def next_key(self, name: str) -> Mapping[str, Any]:
        """Let a running node make the key that is to vote next; only what is public comes back."""
        rows = self._change("next-key", self._params(only={name}), deadline_s=_RECORD_S)
        self.require(rows, verb=f"keys rotate {name} of", changed=_NOTHING)
        return rows[self.environment.instance(name).host].answer

    def sign_rotation(self, name: str, words: Mapping[str, Any]) -> str:
        """Let the operator's key of a node sign, on its host, which key votes next."""
        params = self._params(only={name}, rotation=dict(words))
        rows = self._change("sign-rotation", params, deadline_s=_RECORD_S)
        changed = "the host holds a key of which the ledger knows nothing"
        self.require(rows, verb=f"keys rotate {name} of", changed=changed)
        return str(rows[self.environment.instance(name).host].answer["transaction"])

    def node_key(self, name: str, what: str, words: Mapping[str, Any]) -> Mapping[str, Any]:
        """Let a host `offer` a node's next key, `take` it, or `sign` as operator for a node's."""
        params = self._params(only={name}, what=what, words=dict(words))
        rows = self._change("node-key", params, deadline_s=_RECORD_S)
        changed = _NOTHING if what == "offer" else "the host holds a key that no node runs by"
        self.require(rows, verb=f"keys rotate {name} of", changed=changed)
        return rows[self.environment.instance(name).host].answer

    def compare(self, node: str, **trial: Any) -> Mapping[str, Any]:
        """Let two builds on the host of a node try each other; nothing that runs is touched."""
        rows = self._change("compare", self._params(only={node}, **trial), deadline_s=_COMPARE_S)
        self.require(rows, verb="deploy", changed=_NOTHING_RUNNING)
        return rows[self.environment.instance(node).host].answer

    def versions(
        self, places: Mapping[str, Sequence[str]], *, verb: str
    ) -> dict[str, Mapping[str, Any]]:
        """Ask on each node's host which versions the build at a place knows; nothing if mute."""
        commits = sorted({place[0] for place in places.values()} - {""})
        rows = self._remote.step("versions", self._params(commits=commits), deadline_s=_COMPARE_S)
        self.require(rows, verb=verb, changed=_NOTHING)
        return {
            name: rows[self.environment.instance(name).host].answer["versions"][place[0]]
            for name, place in places.items()
            if place[0] and self.environment.instance(name).host in rows
        }

    def configured(
        self, names: Collection[str], *, verb: str = "plan", status: Exit = Exit.REFUSED
    ) -> dict[str, Mapping[str, str]]:
        """Read the rendered files that nodes have now, by node and file name."""
        rows = self._remote.step("configured", self._params(only=set(names)), deadline_s=_OBSERVE_S)
        self.require(rows, verb=verb, changed=_NOTHING, status=status)
        return {name: files for row in rows.values() for name, files in row.answer["files"].items()}

    def switch(self, targets: Mapping[str, Sequence[str]], guard: Guard) -> dict[str, Row]:
        """Point nodes at (commit, configuration) and restart them; the rows are the caller's."""
        params = self._params(only=set(targets), drain_ms=guard.drain_ms)
        arming.fill(params, targets, guard, self.environment)
        deadline_s = _SWITCH_S + math.ceil(guard.drain_ms / 1000)
        return self._change("switch", params, deadline_s=deadline_s)

    def disarm(self, names: Collection[str]) -> dict[str, Row]:
        """Let nodes stay; `back` in an answer names those that the host has taken back."""
        return self._change("disarm", self._params(only=set(names)), deadline_s=_RECORD_S)

    def service(self, action: str, names: Collection[str]) -> dict[str, Row]:
        """Start, stop or restart nodes where they are."""
        params = self._params(only=set(names), action=action, lines=8)
        return self._change("service", params, deadline_s=_SWITCH_S)

    def finalize(self, data_version: int) -> dict[str, Row]:
        """Let every node write a data version from now on; the rows are the caller's."""
        params = self._params(data_version=data_version)
        return self._change("finalize", params, deadline_s=_RECORD_S)

    def redial(self, names: Collection[str]) -> dict[str, Row]:
        """Let nodes dial at once whom they miss, without a lease; the rows are the caller's."""
        return self._remote.step("redial", self._params(only=set(names)), deadline_s=_RECORD_S)

    def watch(self, names: Collection[str], *, lines: int = 8) -> dict[str, Mapping[str, Any]]:
        """Tell the state of services and their newest log lines; a lost host is left out."""
        params = self._params(only=set(names), lines=lines)
        rows = self._remote.step("watch", params, deadline_s=_OBSERVE_S)
        return {
            name: state
            for row in rows.values()
            if row.ok
            for name, state in row.answer["services"].items()
        }

    def look(self, step: Literal["drift", "guard"], hosts: Collection[str] = ()) -> dict[str, Row]:
        """Let the named hosts, or all, tell about themselves; the rows are the caller's."""
        everyone = self._params()
        chosen = {name: everyone[name] for name in hosts or everyone}
        return self._remote.step(step, chosen, deadline_s=_STAGE_S)

    def intact(
        self, places: Mapping[str, Sequence[str]], *, verb: str, versions: bool = False
    ) -> dict[str, Mapping[str, Any]]:
        """Refuse to switch nodes to places, each a commit and a configuration, edited since.

        With `versions`, return for each node which ones the build at its place knows; nothing of
        one that is mute. Where nothing was edited a build is the same on every host, so one tells,
        and the others only when it does not.
        """
        params = self._params(only={name for name, place in places.items() if place[0]})
        left = {place[0] for place in places.values()} if versions else set()
        for document in params.values():
            for instance in document["instances"]:
                instance["commit"], instance["config_hash"] = places[instance["name"]]
            here = {str(instance["commit"]) for instance in document["instances"]}
            document["asked"], left = sorted(left & here), left - here
        rows = self._remote.step("intact", params, deadline_s=_COMPARE_S)
        self.require(rows, verb=verb, changed=_NOTHING)
        told = {
            commit: each for row in rows.values() for commit, each in row.answer["versions"].items()
        }
        nodes = [
            (each["name"], each["commit"], document["asked"])
            for document in params.values()
            for each in document["instances"]
            if each["commit"] in told
        ]
        unheard = {
            name: places[name]
            for name, commit, asked in nodes
            if not told[commit] and commit not in asked
        }
        if unheard:
            # One process of one host may be late, or fail: then each host tells for itself.
            again = self.versions(unheard, verb=verb)
            told |= {places[name][0]: each for name, each in again.items() if each}
        return {name: told[commit] for name, commit, _asked in nodes}

    def restage(
        self, hosts: Collection[str], configurations: Mapping[str, render.Configuration]
    ) -> dict[str, Row]:
        """Put back on the named hosts what was edited there."""
        params = {name: each for name, each in self._params().items() if name in hosts}
        for document in params.values():
            for instance in document["instances"]:
                ready = configurations.get(instance["name"])
                instance["files"] = dict(ready.files) if ready else {}
                instance["config_hash"] = ready.hash if ready else ""
        return self._change("restage", params, deadline_s=_STAGE_S)

    def keep(
        self, step: Literal["backup", "discard", "restore"], names: Collection[str], **more: str
    ) -> dict[str, Row]:
        """Archive the data of nodes, drop such archives, or put one in the place of the data."""
        return self._change(step, self._params(only=set(names), **more), deadline_s=_STAGE_S)

    def announce(self, record: Mapping[str, Any]) -> None:
        """Let every host know that a run begins; refuse when one of them does not.

        Raises: AitbcError (refused): an end that nobody could write down would be unknown.
        """
        rows = self._change("announce", self._params(record=record), deadline_s=_RECORD_S)
        self.require(rows, verb=str(record["action"]), changed=_NOTHING_RUNNING)

    def turn_back(self, record: Mapping[str, Any]) -> dict[str, Row]:
        """Let every host know that a run goes back; the rows are the caller's."""
        return self._change("turn-back", self._params(record=record), deadline_s=_TURN_S)

    def record(self, record: Mapping[str, Any], *, keep: Sequence[str]) -> dict[str, Row]:
        """Write the end of a run into the journal of every host."""
        params = self._params(record=record, keep=list(keep))
        return self._change("record", params, deadline_s=_RECORD_S)

    def witnessed(self) -> dict[str, Row]:
        """Read what every host was told of audit logs; the rows are the caller's."""
        return self._remote.step("witnessed", self._params(), deadline_s=_OBSERVE_S)

    def shut_down(self, *, wipe: bool) -> dict[str, Row]:
        """Stop everything of this environment; with `wipe`, remove data and keys too."""
        return self._change("shut-down", self._params(wipe=wipe), deadline_s=_SWITCH_S)

    def set_up(
        self, step: str, names: Collection[str], *, deadline_s: int, **more: Any
    ) -> dict[str, Row]:
        """Run a step that is about hosts and not about nodes; the rows are the caller's."""
        params = {
            name: document for name, document in self._params(**more).items() if name in names
        }
        for name, document in params.items():
            host = self.environment.host(name)
            document["texts"] = render.host_texts(self.environment, host)
            document["disk_free_mib_min"] = DISK_FREE_MIB_MIN
        # Without Python a host can neither grant a lease nor ask for one.
        make = self._remote.step if self.lease is None else self._change
        return make(step, params, deadline_s=deadline_s)

    def require(
        self, rows: Mapping[str, Row], *, verb: str, changed: str, status: Exit = Exit.REFUSED
    ) -> None:
        """Raise one error that says what went wrong on which hosts, and what was changed."""
        bad = [row for row in rows.values() if not row.ok]
        if not bad:
            return
        if changed == _NOTHING:
            self.require_lab(rows)
        name = self.environment.name
        head = f"{verb} {name} {'refused' if status is Exit.REFUSED else 'failed'}: "
        head += "one host cannot" if len(bad) == 1 else f"{len(bad)} hosts cannot"
        lines = [f"  {row.host:<14} {row.error}" for row in bad]
        hints = [row.hint for row in bad if row.hint]
        cut_off = [row for row in bad if row.kind == "unreachable"]
        if not hints and cut_off:
            hints = [self.mend(cut_off[0])]
        raise AitbcError(
            "\n".join([head, *lines, f"  changed so far {changed}"]),
            hint="\n".join(dict.fromkeys(hints)),
            exit_status=_status_of({row.kind for row in bad}, status),
        )

    def require_lab(self, rows: Mapping[str, Row]) -> None:
        """Raise what says that a lab is down, where not one of its hosts was reached."""
        lost = {name for name, row in rows.items() if row.kind == "unreachable"}
        if self.environment.lab and lost == {host.name for host in self.environment.hosts}:
            raise labs.not_there(self.environment)

    def _change(self, step: str, params: Params, *, deadline_s: int) -> dict[str, Row]:
        """Make a step that changes hosts, with the token that lets it."""
        lease = self.lease
        assert lease is not None, f"{step} changes hosts, so it belongs inside at_work"
        lease.ready(list(params))
        words = lease.words(deadline_s=deadline_s)
        told = {name: {**each, "lease": words} for name, each in params.items()}
        rows = self._remote.step(step, told, deadline_s=deadline_s)
        lease.note(rows)
        for row in rows.values():
            self._since |= row.answer.get("since", {})
        return rows

    def mend(self, row: Row) -> str:
        """Give the commands that help to reach a host."""
        if self.environment.lab and "Could not connect" in row.error:
            return f"aitbc lab list\naitbc lab up {self.environment.lab}"
        return access.mend(self.environment.host(row.host), row.error)

    def _params(self, *, only: Collection[str] | None = None, **more: Any) -> Params:
        """Write the document of every host that has one of the named nodes, or of all."""
        documents: Params = {}
        for host in self.environment.hosts:
            if host.name in self.absent:
                continue
            instances = [
                {**telling.node(each), "since": self._since.get(each.name, "")}
                for each in self.environment.on(host.name)
                if only is None or each.name in only
            ]
            if instances or only is None:
                documents[host.name] = {
                    **telling.host(host),
                    "manager": self._managers[host.name],
                    "instances": instances,
                    **more,
                }
        return documents


def _give(document: dict[str, Any], configurations: Mapping[str, render.Configuration]) -> None:
    """Tell a host the rendered files of its nodes, as far as there are any."""
    for instance in document["instances"]:
        if ready := configurations.get(instance["name"]):
            instance["files"] = dict(ready.files)
            instance["config_hash"] = ready.hash


def _status_of(kinds: Collection[str], status: Exit) -> Exit:
    """Say how a run ends: what could not be reached was not refused and did not fail there."""
    known = next((found for kind, found in _KINDS.items() if kind in kinds), None)
    if known is None and status is Exit.FAILED and "unreachable" in kinds:
        return Exit.UNREACHABLE
    return known or status
