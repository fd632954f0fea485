"""Which rules and queues do a fault to the packets of one host? Texts for `nft` and `tc`, no I/O.

All rules are in a table of our own, before the host's own priorities. SSH is accepted first, and
peers are elements with a time-out of the kernel's. Source: nft(8), tc-htb(8), tc-netem(8).
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Before conntrack (-200) and before whatever a host filters itself.
_PRIORITY = -400
_HOOKS = {
    "in": f"filter hook prerouting priority {_PRIORITY}",
    "out": f"filter hook output priority {_PRIORITY}",
    "refuse": f"filter hook input priority {_PRIORITY}",
    # Addresses are changed after conntrack; what was not sent elsewhere there comes by here.
    "detour": "nat hook output priority -150",
    "past": "filter hook output priority -50",
}
_WAYS = {"in": "saddr", "out": "daddr", "refuse": "saddr", "detour": "daddr", "past": "daddr"}
MARK = 0x00A17BC0
"""Is on all that our relays send themselves."""

_ENDS = ("dport", "sport")
_HANDLE_DIGITS = 4
# What `tc` takes for no handle, and for the root.
_NO_HANDLES = {0, 2**16 - 1}
_FAMILIES = {4: ("ip", "ipv4_addr"), 6: ("ip6", "ipv6_addr")}
_PROTOCOLS = {"inet": (4, 6), "ip": (4,), "ip6": (6,)}
ONE_EACH = ("ip", "ip6")
"""The tables that know how to repeat a packet."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Say what becomes of packets from, or to, some peers; `way` is a place in the kernel.

    Shape: in a verdict `IP` stands for the protocol of those packets.
    """

    way: str
    peers: Sequence[str]
    verdict: str


@dataclass(frozen=True, slots=True)
class Rules:
    """Name the rules of one fault on one host."""

    table: str
    id: str
    ssh_ports: tuple[int, ...]
    lease_s: float
    chains: tuple[Chain, ...]
    tables: tuple[str, ...] = ("inet",)
    """Families that have a table each: some verdicts are known in those of one protocol only."""

    def names(self) -> list[str]:
        """List the chains by name, as a proof counts them."""
        return [f"{chain.way}_{self.id}" for chain in self.chains]

    def load(self) -> str:
        """Write the shell text that puts the rules in force, all at once."""
        lines = []
        for table in self.tables:
            lines.append(f"table {table} {self.table} {{")
            for chain, name in zip(self.chains, self.names(), strict=True):
                lines += [f"  {self._set(chain, name, each)}" for each in _PROTOCOLS[table]]
                lines += [f"  chain {name} {{", f"    type {_HOOKS[chain.way]}; policy accept;"]
                lines += [f"    tcp {end} {_either(self.ssh_ports)} accept" for end in _ENDS]
                for family in _PROTOCOLS[table]:
                    protocol = _FAMILIES[family][0]
                    whom = f"{protocol} {_WAYS[chain.way]} @{name}_{family}"
                    lines.append(f"    {whom} {chain.verdict.replace('IP ', f'{protocol} ')}")
                lines.append("  }")
            lines.append("}")
        return self._transaction(lines)

    def unload(self) -> str:
        """Write the shell text that takes them away, and the table with the last of them.

        The elements have ended by themselves; an empty rule is all that there is to remove.
        """
        lines, gone = [], []
        for family in self.tables:
            table = f"{family} {self.table}"
            for name in self.names():
                lines += [f"{verb} chain {table} {name}" for verb in ("flush", "delete")]
                lines += [f"delete set {table} {name}_{each}" for each in _PROTOCOLS[family]]
            gone.append(self._without_chains(table))
        return "\n".join([self._transaction(lines), *gone])

    def _without_chains(self, table: str) -> str:
        return (
            f"{self._locked()} sh -c 'nft list table {table} | "
            f'grep -q "^[[:space:]]*chain " || nft delete table {table}\''
        )

    def _set(self, chain: Chain, name: str, family: int) -> str:
        own = [each for each in chain.peers if ipaddress.ip_address(each).version == family]
        elements = ", ".join(f"{each} timeout {round(self.lease_s * 1000)}ms" for each in own)
        shown = f" elements = {{ {elements} }};" if elements else ""
        return f"set {name}_{family} {{ type {_FAMILIES[family][1]}; flags timeout;{shown} }}"

    def _transaction(self, lines: Iterable[str]) -> str:
        return "\n".join([f"{self._locked()} nft -f - <<'END'", *lines, "END"])

    def _locked(self) -> str:
        # Faults that overlap share the table, and nobody may remove it while another fills it.
        return f"flock /run/lock/{self.table}"


def _either(ports: Sequence[int]) -> str:
    """Write one port, or several, as a rule has them."""
    text = ", ".join(map(str, ports))
    return f"{{ {text} }}" if len(ports) > 1 else text


def _chance(percent: float) -> str:
    """Meet so many of a hundred packets; all of them, too."""
    return f"numgen random mod 10000 <= {round(percent * 100) - 1}"


def handle_of(name: str) -> str:
    """Name the own queue of a fault as `tc` writes it: nobody else's is removed by that."""
    return f"{int(name[:_HANDLE_DIGITS], 16):x}"


def names_a_queue(name: str) -> bool:
    """Tell whether the name of a fault makes a handle that a queue may have."""
    return int(name[:_HANDLE_DIGITS], 16) not in _NO_HANDLES


def cut(peers_in: Sequence[str], peers_out: Sequence[str], *, starts: bool) -> tuple[Chain, ...]:
    """Drop what comes from some peers and what goes to some; with `starts`, only first packets."""
    which = "tcp flags & (syn | ack) == syn " if starts else ""
    chains = (
        Chain("in", peers_in, f"{which}counter drop"),
        Chain("out", peers_out, f"{which}counter drop"),
    )
    return tuple(each for each in chains if each.peers)


def lose(peers_in: Sequence[str], *, percent: float) -> tuple[Chain, ...]:
    """Drop a share of what comes from some peers."""
    return (Chain("in", peers_in, f"{_chance(percent)} counter drop"),)


def repeat(peers_out: Sequence[str], *, percent: float) -> tuple[Chain, ...]:
    """Send a share of what goes to some peers twice."""
    return (Chain("out", peers_out, f"{_chance(percent)} counter dup to IP daddr"),)


def reset(peers_in: Sequence[str], peers_out: Sequence[str]) -> tuple[Chain, ...]:
    """Answer what comes from some peers, and what goes to some, with a reset."""
    verdict = "meta l4proto tcp counter reject with tcp reset"
    chains = (Chain("refuse", peers_in, verdict), Chain("out", peers_out, verdict))
    return tuple(each for each in chains if each.peers)


def detour(peers_out: Sequence[str], ports: Sequence[int], to: int) -> tuple[Chain, ...]:
    """Send connections to some doors of peers to a relay, and reset those that go past it."""
    which = f"meta mark != {MARK} tcp dport {_either(ports)}"
    return (
        Chain("detour", peers_out, f"{which} counter redirect to :{to}"),
        # A reset itself has to reach the peer.
        Chain("past", peers_out, f"{which} tcp flags & rst == 0 counter reject with tcp reset"),
    )


def marked(peers_out: Sequence[str], handle: str) -> tuple[Chain, ...]:
    """Send what goes to some peers through the fault's own queue."""
    return (Chain("out", peers_out, f"meta priority set {handle}:2 counter"),)


def narrow(device: str, handle: str, kbit: int) -> str:
    """Write the shell text that makes a queue of so little; what is not marked passes beside it."""
    return (
        f"tc qdisc add dev {device} root handle {handle}: htb\n"
        f"tc class add dev {device} parent {handle}: classid {handle}:2 htb rate {kbit}kbit"
    )


def late(device: str, handle: str, delay_ms: int) -> str:
    """Write the shell text that makes a queue in which packets wait."""
    wide = narrow(device, handle, 10_000_000)
    return f"{wide}\ntc qdisc add dev {device} parent {handle}:2 netem delay {delay_ms}ms"


def widen(device: str, handle: str) -> str:
    """Write the shell text that removes the queue; the kernel puts its own in its place.

    A queue of another handle is somebody else's, and stays.
    """
    return f"tc qdisc del dev {device} root handle {handle}:"
