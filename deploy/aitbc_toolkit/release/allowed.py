"""Whom and what does an environment trust? Its `trust.toml`, judged as a whole.

Every malformed entry is an error of its own, and all are named at once. A rule names a source, a
branch and signers; a key alone trusts nothing. Do not run a program and do not write here.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, field

from aitbc_toolkit import entries
from aitbc_toolkit.declared import NAME, nearest
from aitbc_toolkit.entries import Entry, MistakenError
from aitbc_toolkit.errors import ConfigError
from aitbc_toolkit.mistakes import refusal, shown
from aitbc_toolkit.release import public_keys
from aitbc_toolkit.release.public_keys import PublicKey

FILE = "trust.toml"
PRINCIPAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,31}@[A-Za-z0-9][A-Za-z0-9.-]{0,31}")

Role = Literal["operator", "release", "qa", "viewer"]
SIGNER_ROLE: Role = "release"
"""Only keys of this role make a commit or a tag trusted."""

_URL = re.compile(
    r"(?:(?:ssh|https)://(?:[\w.-]+@)?(?:[\w.-]+|\[[0-9a-f:]+\])(?::\d{1,5})?/|[\w.-]+@[\w.-]+:)"
    r"[\w.~+/*-]+"
)
_BRANCH = re.compile(r"(?![/-])(?!.*(?:\.\.|//|@\{))[\w.+*/-]{1,200}(?<![/.])")


class Rule(Entry, frozen=True, kw_only=True):
    """Trust commits of one source that lie on one branch and are signed by one of the signers."""

    name: str
    remote: str = ""
    path: str = ""
    branch: str
    signers: Annotated[list[str], Meta(min_length=1)]

    @property
    def source(self) -> str:
        """Give the pattern of the place that commits come from."""
        return self.remote or self.path


class Signer(Entry, frozen=True, kw_only=True):
    """Name a person's or a machine's key, and what its holder may do."""

    principal: str
    key: str
    roles: Annotated[list[Role], Meta(min_length=1)]

    @property
    def public_key(self) -> PublicKey:
        """Read the key; the file was judged, so it is one."""
        return public_keys.read(self.key)


class Revoked(Entry, frozen=True, kw_only=True):
    """Name a key that nothing is trusted by any more, whatever date a signature claims."""

    key: str
    reason: str

    @property
    def public_key(self) -> PublicKey:
        """Read the key; the file was judged, so it is one."""
        return public_keys.read(self.key)


class Allowed(Entry, frozen=True, kw_only=True):
    """Hold one environment's trust as it was written; empty means that nothing is trusted."""

    dev_mode: bool = False
    rules: list[Rule] = field(default_factory=list)
    signers: list[Signer] = field(default_factory=list)
    revoked: list[Revoked] = field(default_factory=list)

    def valid(self) -> list[Signer]:
        """List the signers whose keys are not revoked."""
        gone = {each.public_key.line for each in self.revoked}
        return [each for each in self.signers if each.public_key.line not in gone]

    def holder(self, key: PublicKey) -> Signer | None:
        """Find whose key this is, if it still counts."""
        return next((each for each in self.valid() if each.public_key.line == key.line), None)

    def revoked_lines(self) -> list[str]:
        """List the revoked keys as OpenSSH reads them."""
        return [each.public_key.line for each in self.revoked]


def parse(text: str, *, path: Path, strict: bool) -> Allowed:
    """Judge the text of a trust file; `strict` holds the rules of production.

    Raises: ConfigError that names every mistake.
    """
    try:
        written = entries.read(Allowed, tomllib.loads(text))
    except tomllib.TOMLDecodeError as wrong:
        raise ConfigError(f"{shown(path)} is not TOML: {wrong}", hint=f"edit {path}") from wrong
    except MistakenError as wrong:
        raise refusal(path, wrong.found, text=text) from wrong
    if mistakes := list(_mistakes(written, strict=strict)):
        raise refusal(path, mistakes, text=text)
    return written


def _mistakes(written: Allowed, *, strict: bool) -> Iterator[str]:
    if strict and written.dev_mode:
        yield "dev_mode: refused here, production trusts signatures only"
    yield from _signer_mistakes(written)
    yield from _rule_mistakes(written)
    for at, revoked in enumerate(written.revoked):
        yield from _key_mistakes(revoked.key, where=f"revoked.{at}.key")


def _signer_mistakes(written: Allowed) -> Iterator[str]:
    """One key, one principal: a key under two names would count as two reviewers."""
    principals: set[str] = set()
    keys: dict[str, str] = {}
    for at, signer in enumerate(written.signers):
        where = f"signers.{at}"
        if not PRINCIPAL.fullmatch(signer.principal):
            yield f"{where}.principal: {signer.principal!r} is not like name@place"
        if signer.principal in principals:
            yield f"{where}.principal: duplicate {signer.principal}"
        principals.add(signer.principal)
        found = list(_key_mistakes(signer.key, where=f"{where}.key"))
        yield from found
        if found:
            continue
        other = keys.setdefault(signer.public_key.line, signer.principal)
        if other != signer.principal:
            yield f"{where}.key: {other} and {signer.principal} have the same key"


def _key_mistakes(key: str, *, where: str) -> Iterator[str]:
    try:
        public_keys.read(key)
    except ValueError as wrong:
        yield f"{where}: {wrong}"


def _rule_mistakes(written: Allowed) -> Iterator[str]:
    names: set[str] = set()
    sources: set[tuple[str, str]] = set()
    for at, rule in enumerate(written.rules):
        where = f"rules.{at}"
        if not NAME.fullmatch(rule.name):
            yield f"{where}.name: {rule.name!r} has to be a letter, then up to 15 of a-z 0-9 -"
        if rule.name in names:
            yield f"{where}.name: duplicate {rule.name}"
        names.add(rule.name)
        if (rule.source, rule.branch) in sources:
            yield f"{where}: duplicate source {rule.source}, branch {rule.branch}"
        sources.add((rule.source, rule.branch))
        yield from _source_mistakes(rule, where=where)
        yield from _signed_by(rule, written, where=where)


def _source_mistakes(rule: Rule, *, where: str) -> Iterator[str]:
    if bool(rule.remote) == bool(rule.path):
        yield f"{where}: one of remote and path, found {'both' if rule.path else 'neither'}"
        return
    if rule.remote and not _URL.fullmatch(rule.remote):
        yield f"{where}.remote: bad URL {rule.remote!r}, use ssh://, https:// or user@host:path"
    if rule.path and (not rule.path.startswith("/") or ".." in rule.path.split("/")):
        yield f"{where}.path: relative path {rule.path!r}, it has to be absolute and without .."
    if not _BRANCH.fullmatch(rule.branch):
        yield f"{where}.branch: {rule.branch!r} is no name of a branch"


def _signed_by(rule: Rule, written: Allowed, *, where: str) -> Iterator[str]:
    known = {each.principal: each for each in written.signers}
    for principal in rule.signers:
        if principal not in known:
            near = nearest(principal, known)
            said = f", the nearest is {near}" if near else ""
            yield f"{where}.signers: unknown signer {principal!r}{said}"
        elif SIGNER_ROLE not in known[principal].roles:
            yield f"{where}.signers: {principal} lacks the role {SIGNER_ROLE}"
