"""What is each host told for a fault: what to do, what undoes it, and what proves that it bites?

One function for each kind, from values to shell text; what is shown by a plan is what is sent. No
host is asked here.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aitbc_toolkit import render, shell
from aitbc_toolkit.faults import detours, kinds, packets, rebooting, units
from aitbc_toolkit.faults.kinds import KINDS
from aitbc_toolkit.faults.sites import Site, table_of

Proof = Mapping[str, Any]

_LIAR = "aitbc_sim.live_liars"
"""The program of a node that breaks the rules; every release has it in its sources."""


@dataclass(frozen=True, slots=True)
class Order:
    """Hold what one host is told; `do` is carried out in order, `undo` line by line."""

    host: str
    do: tuple[str, ...]
    undo: str
    proofs: tuple[Proof, ...]


def write(site: Site) -> Order:
    """Write the order of one host."""
    do, undo, proofs = _TABLE[site.fault.kind](site)
    return Order(site.host.name, tuple(do), "\n".join(undo), tuple(proofs))


_Parts = tuple[list[str], list[str], list[Proof]]


def _with_rules(site: Site, chains: tuple[packets.Chain, ...], proofs: Sequence[Proof]) -> _Parts:
    rules = site.rules(chains)
    return [rules.load()], [rules.unload()], list(proofs)


def _packets(site: Site, way: str, hosts: Iterable[str]) -> Proof:
    return {
        "what": "packets",
        "table": table_of(site.environment),
        "families": ["inet"],
        "chains": [f"{way}_{site.id}"],
        "peers": site.peers(hosts),
    }


def _cut(site: Site) -> _Parts:
    starts = site.fault.parameter("direction") == "initiate_only"
    chains = packets.cut(site.those(site.heard), site.those(site.told), starts=starts)
    # The way out is cut where it begins, so nothing is left to be counted where it would arrive.
    reached = site.told if starts else dict.fromkeys([*site.heard, *site.told])
    proofs = [_packets(site, "out", site.told)] if site.told else []
    if reached:
        proofs.append({"what": "unreachable", "peers": site.peers(reached)})
    return _with_rules(site, chains, proofs)


def _lose(site: Site) -> _Parts:
    chains = packets.lose(site.those(site.heard), percent=float(site.fault.parameter("percent")))
    return _with_rules(site, chains, [_packets(site, "in", site.heard)])


def _repeat(site: Site) -> _Parts:
    chains = packets.repeat(site.those(site.told), percent=float(site.fault.parameter("percent")))
    rules = site.rules(chains, packets.ONE_EACH)
    proof = {**_packets(site, "out", site.told), "families": list(packets.ONE_EACH)}
    return [rules.load()], [rules.unload()], [proof]


def _reset(site: Site) -> _Parts:
    chains = packets.reset(site.those(site.heard), site.those(site.told))
    proofs = [_packets(site, "out", site.told)] if site.told else []
    peers = site.peers(dict.fromkeys([*site.heard, *site.told]))
    return _with_rules(site, chains, [*proofs, {"what": "unreachable", "peers": peers}])


def _queue(site: Site, make: Callable[[str, str, int], str], amount: str) -> _Parts:
    device, handle = site.look["device"], packets.handle_of(site.id)
    rules = site.rules(packets.marked(site.those(site.told), handle))
    peers = site.peers(site.told)
    proof = {"what": "bytes", "device": device, "class": f"{handle}:2", "peers": peers}
    queue = make(device, handle, int(site.fault.parameter(amount)))
    # The queue first: what is marked for one that is not there passes as before.
    return [queue, rules.load()], [packets.widen(device, handle), rules.unload()], [proof]


def _narrow(site: Site) -> _Parts:
    return _queue(site, packets.narrow, "kbit")


def _delay(site: Site) -> _Parts:
    return detours.write(site) if site.relayed else _queue(site, packets.late, "ms")


def _kill(site: Site) -> _Parts:
    manager = site.manager
    do = [f"{manager.signal(each, 'KILL')}\n{manager.stop(each)}" for each in site.targets]
    undo = [manager.start(each) for each in site.targets]
    return do, undo, [{"what": "down", "node": each.name} for each in site.targets]


def _restart(site: Site) -> _Parts:
    do = [site.manager.signal(each, "KILL") for each in site.targets]
    before = site.look["processes"]
    proofs = [
        {"what": "restarted", "node": each.name, "pid": before[each.name]} for each in site.targets
    ]
    return do, [":"], list(proofs)


def _stop(site: Site) -> _Parts:
    manager, marker = site.manager, f"{site.folder}/{site.id}.held"
    do = [manager.patient(marker), *(manager.signal(each, "STOP") for each in site.targets)]
    undo = [*(manager.signal(each, "CONT") for each in site.targets), manager.impatient(marker)]
    return do, undo, [{"what": "stopped", "node": each.name} for each in site.targets]


def _freeze(site: Site) -> _Parts:
    marker = f"{site.folder}/{site.id}.held"
    do = [site.manager.patient(marker)]
    do += [f"systemctl freeze {each.paths.unit}" for each in site.targets]
    undo = [f"systemctl thaw {each.paths.unit}" for each in site.targets]
    proofs = [{"what": "frozen", "node": each.name} for each in site.targets]
    return do, [*undo, site.manager.impatient(marker)], list(proofs)


def _throttle(site: Site) -> _Parts:
    share = float(site.fault.parameter("percent")) / 100
    do, undo = [], []
    for each in site.targets:
        unit, name = f"{site.unit}-{each.name}", each.paths.unit
        after = f"/usr/bin/systemctl kill -s CONT {name}"
        words = (name, f"{share:g}")
        do.append(units.working(unit, site.fault.lease_s, "throttling", *words, after=after))
        undo += [f"systemctl stop {unit}", site.manager.signal(each, "CONT")]
    return do, undo, [{"what": "throttled", "node": each.name} for each in site.targets]


def _limit(site: Site) -> _Parts:
    more, user = int(site.fault.parameter("mib")) * 2**20, site.host.run_as
    do, undo = [], []
    for each in site.targets:
        pid = f"{site.look['processes'][each.name]}"
        size = f"$(($(cut -d' ' -f1 /proc/{pid}/statm) * $(getconf PAGESIZE) + {more}))"
        # As the node's user: root in a container may not, and this one may undo it, too.
        own = f"setpriv --reuid={user} --regid={user} --clear-groups prlimit --pid {pid}"
        do.append(f"size={size}\n{own} --as=$size:")
        # Should it be gone, its number may be another one's by now.
        same = f"systemctl show -p MainPID --value {each.paths.unit} | grep -qx {pid}"
        undo.append(f"{same} && {own} --as=unlimited: 2>/dev/null")
    return do, undo, [{"what": "limited", "node": each.name} for each in site.targets]


def _fill(site: Site) -> _Parts:
    path = str(site.targets[0].paths.data)
    do = [units.working(site.unit, site.fault.lease_s, "filling", path)]
    # A page or two come and go with every log line; a node's least write takes more.
    return (
        do,
        [f"systemctl stop {site.unit}"],
        [{"what": "full", "path": path, "bytes_max": 2 * 4096}],
    )


def _read_only(site: Site) -> _Parts:
    do, undo, proofs = [], [], list[Proof]()
    for each in site.targets:
        path = str(each.paths.data)
        lines = ["ReadWritePaths=", f"ReadWritePaths={each.paths.keys}", f"ReadOnlyPaths={path}"]
        do.append(units.changed(each, f"chaos-{site.id}", lines))
        undo.append(units.unchanged(each, f"chaos-{site.id}"))
        proofs.append({"what": "read-only", "node": each.name, "path": path})
    return do, undo, proofs


def _clock(
    site: Site, *variables: str, shows: Mapping[str, float], before: Sequence[str] = ()
) -> _Parts:
    library = site.look["library"]
    own = [f"LD_PRELOAD={library}", "FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1", *variables]
    lines = [f'Environment="{each}"' for each in own]
    do = [*before, *(units.changed(each, f"chaos-{site.id}", lines) for each in site.targets)]
    undo = [units.unchanged(each, f"chaos-{site.id}") for each in site.targets]
    return do, undo, [{"what": "clock", "node": each.name, **shows} for each in site.targets]


def _jump(site: Site) -> _Parts:
    seconds = float(site.fault.parameter("seconds"))
    return _clock(site, f"FAKETIME={seconds:+g}s", shows={"offset_s": seconds})


def _drift(site: Site) -> _Parts:
    gain = float(site.fault.parameter("percent")) / 100
    return _clock(site, f"FAKETIME=+0 x{1 + gain:g}", shows={"gain": gain})


def _strobe(site: Site) -> _Parts:
    file = f"{site.folder}/{site.id}.clock"
    words = (file, f"{site.fault.parameter('seconds')}", f"{site.fault.parameter('period')}")
    jumping = units.working(site.unit, site.fault.lease_s, "strobing", *words)
    variables = (f"FAKETIME_TIMESTAMP_FILE={file}", "FAKETIME_CACHE_DURATION=1")
    first = f"echo +0 > {file}\nchmod 755 {site.folder}\nchmod 644 {file}"
    shows = {"swing_s": float(site.fault.parameter("seconds"))}
    do, undo, proofs = _clock(site, *variables, shows=shows, before=[first])
    return [*do, jumping], [f"systemctl stop {site.unit}", *undo, f"rm -f {file}"], proofs


def _truncate(site: Site) -> _Parts:
    do, undo, _ = _kill(site)
    count, proofs = int(site.fault.parameter("bytes")), list[Proof]()
    for each in site.targets:
        path, before = f"{each.paths.data}/journal.log", f"{site.folder}/{site.id}.{each.name}.size"
        # Never a hole in the place of what is missing, nor a file that is longer than before.
        shortened = f"test $(cat {before}) -gt {count}\ntruncate -s -{count} {path}"
        do.append(f"stat -c %s {path} > {before}\n{shortened}")
        undo.append(f"rm -f {before}")
        words = {"path": path, "before": before, "bytes": count}
        proofs.append({"what": "shorter", "node": each.name, **words})
    return do, undo, proofs


def _lie(site: Site) -> _Parts:
    behaviour, do, undo, proofs = (
        kinds.lies(site.fault.kind),
        list[str](),
        list[str](),
        list[Proof](),
    )
    for each in site.targets:
        module = f"{_LIAR} {behaviour}"
        command = render.start_command(each, ends_with_parent=False, module=module)
        # A command is added to those before, unless they are taken away first.
        lines = ["ExecStart=", f"ExecStart={command}"]
        do.append(units.changed(each, f"chaos-{site.id}", lines))
        undo.append(units.unchanged(each, f"chaos-{site.id}"))
        proofs.append({"what": "lying", "node": each.name, "words": [_LIAR, behaviour]})
    return do, undo, proofs


def _reboot(site: Site) -> _Parts:
    # A moment later, so that the answer to this order is heard.
    later = ["--on-active=0.3s", "--timer-property=AccuracySec=20ms", f"--unit={site.unit}"]
    argv = ["systemd-run", "--quiet", "--collect", *later, "systemctl", "reboot"]
    return [shell.quoted(argv)], [f"systemctl stop {site.unit}.timer"], [rebooting.PROOF]


_TABLE: Mapping[str, Callable[[Site], _Parts]] = {
    "net.cut": _cut,
    "net.loss": _lose,
    "net.dup": _repeat,
    "net.rate": _narrow,
    "net.reset": _reset,
    "net.delay": _delay,
    "proc.kill": _kill,
    "proc.restart": _restart,
    "proc.stop": _stop,
    "proc.freeze": _freeze,
    "cpu.quota": _throttle,
    "mem.limit": _limit,
    "disk.full": _fill,
    "disk.readonly": _read_only,
    "clock.jump": _jump,
    "clock.drift": _drift,
    "clock.strobe": _strobe,
    "wal.truncate": _truncate,
    "host.reboot": _reboot,
    **{name: _lie for name in KINDS if kinds.lies(name)},
}
