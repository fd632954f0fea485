"""Is the audit log what it was? By itself, by what the hosts and by what the ledger were told.

Each of the three finds what the one before cannot. Where the chain of the log is broken already,
nobody else is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aitbc_toolkit import wallet
from aitbc_toolkit.chain import Finding
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import anchoring, audit, witnessing
from aitbc_toolkit.release.audit import Record
from aitbc_toolkit.release.reading import Mesh
from aitbc_toolkit.release.witnessing import Witness


@dataclass(frozen=True, slots=True)
class Memory:
    """Hold the log and what each witness of it says; `findings` are those of all together."""

    records: Sequence[Record]
    findings: Sequence[Finding]
    hosts: Sequence[Witness] = ()
    ledger: Sequence[Witness] = ()

    @property
    def head(self) -> str:
        """Give the hash of the newest record."""
        return self.records[-1].hash if self.records else audit.ROOT

    @property
    def witnesses(self) -> list[Witness]:
        """List everybody who was asked."""
        return [*self.hosts, *self.ledger]

    def to_document(self) -> dict[str, Any]:
        """Put it into JSON's kinds of values."""
        return {
            "records": len(self.records),
            "head": self.head,
            "findings": [each._asdict() for each in self.findings],
            "hosts": [each.to_document() for each in self.hosts],
            "ledger": [each.to_document() for each in self.ledger],
        }


def verify(environment: Environment, *, account: str = "") -> Memory:
    """Check the log's own chain, then ask the hosts and the ledger; `account` anchored it.

    Raises: UsageError when that is no address.
    """
    records, findings = audit.check(audit.path_of(environment))
    if findings:
        return Memory(records, findings)
    hosts = witnessing.compare(environment, records)
    ledger = [_ledger(environment, records, account)]
    found = [finding for each in (*hosts, *ledger) for finding in each.findings]
    return Memory(records, found, hosts, ledger)


def _ledger(environment: Environment, records: Sequence[Record], account: str) -> Witness:
    if account:
        wallet.read_address(account, hrp=environment.chain.hrp)
    try:
        named = account or anchoring.account_of(environment)
    except AitbcError as missing:
        return Witness(anchoring.NAME, why=missing.message)
    with Mesh(environment) as mesh:
        return anchoring.compare(environment, records, mesh, account=named)
