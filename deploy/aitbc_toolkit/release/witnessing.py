"""Do the hosts remember the audit log as it is here? They are told its head after every run.

The chain alone shows an edit by somebody who cannot write both of its files. Whoever can write both
still cannot change what the hosts were told, signed by the key of whoever worked. A host that does
not answer is said to be not compared, never to agree. Do not judge the chain itself here: `audit`
does.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from aitbc_toolkit import paths
from aitbc_toolkit.chain import Finding
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import audit, heads, provenance, safekeeping, signatures
from aitbc_toolkit.release.allowed import Allowed
from aitbc_toolkit.release.audit import Record
from aitbc_toolkit.release.hosts import Crew
from aitbc_toolkit.release.progress import Tell, note
from aitbc_toolkit.release.source import who
from aitbc_toolkit.remote import Hosts


@dataclass(frozen=True, slots=True)
class Witness:
    """Hold what one host, or the ledger, remembers; `why` says why nothing could be compared.

    `counted` statements are about this log; `newest` is the last record that they name, and
    `signed_by` who signed it, nobody in dev.
    """

    host: str
    counted: int = 0
    newest: int = 0
    signed_by: str = ""
    why: str = ""
    findings: tuple[Finding, ...] = ()

    def to_document(self) -> dict[str, Any]:
        """Put it into JSON's kinds of values."""
        return {**asdict(self), "findings": [each._asdict() for each in self.findings]}

    def to_line(self) -> str:
        """Put it into words."""
        if self.why:
            return f"  {self.host:<14} not compared: {self.why}"
        if self.findings:
            return f"  {self.host:<14} differs: {self.findings[0].what}"
        if not self.counted:
            return f"  {self.host:<14} was told nothing of this log yet"
        by = f"signed by {self.signed_by}" if self.signed_by else "not signed"
        return f"  {self.host:<14} agrees up to record {self.newest}, {by}"


def last_words(environment: Environment, tell: Tell) -> dict[str, str]:
    """State the newest record of the audit log, signed by whoever worked; nothing without a log."""
    records, _ = audit.check(audit.path_of(environment))
    try:
        return _statement(environment, records) if records else {}
    except AitbcError as failure:
        note(tell, f"the audit log's head is not on the hosts: {failure.message}")
        return {}


def compare(environment: Environment, records: Sequence[Record]) -> list[Witness]:
    """Ask every host what it remembers, and hold it against the log here."""
    known = safekeeping.load(environment)
    with Hosts(environment) as remote:
        rows = Crew(environment, remote).witnessed()
    return [
        _judge(environment, known, records, row.host, row.answer["statements"])
        if row.ok
        else Witness(row.host, why=row.error.partition("\n")[0])
        for row in rows.values()
    ]


def _statement(environment: Environment, records: Sequence[Record]) -> dict[str, str]:
    said = {**heads.statement(environment, records), "by": who()}
    text = json.dumps(said, sort_keys=True)
    key = _key(environment)
    signature = signatures.sign(text, key=key, namespace=signatures.AUDIT) if key else ""
    return {"text": text, "signature": signature}


def _key(environment: Environment) -> Path | None:
    """Find the key that signs: the lab's own, else the operator's; in dev there need be none."""
    if environment.rules.source == "forge":
        own = environment.folder / "release.key"
        return own if own.is_file() else None
    key = provenance.configured_key(paths.project_root())
    if key is None or not key.is_file():
        return None
    return key if safekeeping.load(environment).holder(signatures.public_of(key)) else None


def _judge(
    environment: Environment,
    known: Allowed,
    records: Sequence[Record],
    host: str,
    statements: Sequence[Mapping[str, str]],
) -> Witness:
    """Compare every statement; one that differs counts if whoever may work here has signed it.

    A host could have made the others up. Where nobody can sign, as in dev, all of them count.
    """
    may_sign = bool(known.valid()) and not known.dev_mode
    agreeing: list[tuple[int, Mapping[str, str]]] = []
    findings = []
    for statement in statements:
        said = heads.read(statement["text"])
        if said is not None and said.environment != environment.name:
            continue
        finding = heads.difference(environment, records, said, told="hosts were told")
        if said is not None and finding is None and said.log == heads.log(records):
            agreeing.append((said.number, statement))
        elif finding is not None and (not may_sign or _signer(known, statement)):
            findings.append(finding)
    newest, statement = max(agreeing, key=itemgetter(0), default=(0, {"signature": ""}))
    by = _signer(known, statement)
    return Witness(host, len(agreeing), newest, by, findings=tuple(findings))


def _signer(known: Allowed, statement: Mapping[str, str]) -> str:
    """Find who signed a statement; nobody is `""`."""
    if not statement["signature"]:
        return ""
    for each in known.valid():
        with signatures.keyring(
            each.principal,
            each.public_key,
            revoked=known.revoked_lines(),
            namespace=signatures.AUDIT,
        ) as ring:
            text, signature = statement["text"], statement["signature"]
            if signatures.text_is_signed(text, signature, ring, namespace=signatures.AUDIT):
                return each.principal
    return ""
