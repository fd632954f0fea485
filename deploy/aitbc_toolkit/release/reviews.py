"""Where do requests and the signed words of reviewers lie, and which of them count?

One folder for a request, named by its hash; in it what is asked, and for each reviewer what they
said and their signature over it. A file that is not signed by a key of the trust file, or says
another request, counts for nothing. Do not decide here when a release may go: `approvals` does.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from aitbc_toolkit.errors import AitbcError, ConfigError, Exit, UsageError
from aitbc_toolkit.release import approvals, roles, signatures
from aitbc_toolkit.release.allowed import Allowed, Signer
from aitbc_toolkit.release.approvals import Request, Review

FOLDER = "approvals"
VALID_S = 7 * 24 * 3600

_REQUEST = "request.json"
_PREFIX_MIN = 8
_REASON_MAX = 500


@dataclass(frozen=True, slots=True)
class Own:
    """Say with which key the operator signs, and whose it is."""

    signer: Signer
    key: Path


def moment(at_s: float) -> str:
    """Write a time as requests and reviews hold it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))


def waiting(folder: Path) -> list[Request]:
    """List the requests of an environment, those that end first in front."""
    found = [
        request
        for path in sorted((folder / FOLDER).glob(f"*/{_REQUEST}"))
        if (request := _read_request(path)) is not None
    ]
    return sorted(found, key=lambda each: (each.expires, each.hash))


def ask(
    folder: Path, *, subject: tuple[str, str, str, str], now_s: float, valid_s: int = VALID_S
) -> Request:
    """Put a request into the queue, or find the one that waits there already.

    Raises: AitbcError (refused) when the queue is full.
    """
    alive = [each for each in waiting(folder) if not approvals.is_expired(each, now=moment(now_s))]
    for request in alive:
        if request.subject == subject:
            return request
    if len(alive) >= approvals.CAPACITY:
        raise AitbcError(
            f"approval refused: {len(alive)} requests wait in {subject[0]}, "
            f"allowed {approvals.CAPACITY}",
            hint=f"aitbc approvals {subject[0]}",
            exit_status=Exit.REFUSED,
        )
    request = Request(*subject, expires=moment(now_s + valid_s))
    own = folder / FOLDER / request.hash
    own.mkdir(parents=True, exist_ok=True)
    _write(own / _REQUEST, json.dumps(asdict(request), indent=2, sort_keys=True) + "\n")
    return request


def find(folder: Path, prefix: str) -> Request:
    """Find a request by the start of its hash.

    Raises: UsageError when none or several begin so.
    """
    if len(prefix) < _PREFIX_MIN:
        raise UsageError(
            f"{prefix!r} is too short, at least {_PREFIX_MIN} digits", hint="aitbc approvals"
        )
    known = waiting(folder)
    found = [each for each in known if each.hash.startswith(prefix)]
    if len(found) != 1:
        what = f"{len(found)} requests begin with" if found else "no request begins with"
        raise UsageError(f"{what} {prefix}, {len(known)} are known", hint="aitbc approvals")
    return found[0]


def write(
    folder: Path,
    request: Request,
    own: Own,
    *,
    decision: Literal["approve", "deny"],
    reason: str,
    now_s: float,
) -> Path:
    """Sign a reviewer's word and keep it beside the request; what was said stays said.

    Raises: AitbcError (refused) when this reviewer has spoken or the request has ended.
    """
    path = folder / FOLDER / request.hash / f"{own.signer.principal}.json"
    if path.exists():
        raise _refused(request, f"{own.signer.principal} has reviewed it already")
    if approvals.is_expired(request, now=moment(now_s)):
        raise _refused(request, f"it expired at {request.expires}")
    if not reason.strip() or len(reason) > _REASON_MAX:
        raise UsageError(
            f"a reason has 1 to {_REASON_MAX} characters, found {len(reason)}",
            hint=f"aitbc approve {request.hash[:12]} --reason TEXT",
        )
    review = Review(request.hash, own.signer.principal, decision, reason, moment(now_s))
    document = {**asdict(request), **asdict(review)}
    text = json.dumps(document, indent=2, sort_keys=True) + "\n"
    signature = signatures.sign(text, key=own.key, namespace=signatures.APPROVAL)
    _write(path.with_suffix(".json.sig"), signature)
    _write(path, text)
    return path


def verified(folder: Path, request: Request, allowed: Allowed) -> tuple[list[Review], list[str]]:
    """Read the reviews of a request: those that count, and why others do not."""
    counted, refused = [], []
    for path in sorted((folder / FOLDER / request.hash).glob("*.json")):
        if path.name == _REQUEST:
            continue
        review, why = _verify(path, request, allowed)
        if review is not None:
            counted.append(review)
        else:
            refused.append(f"{path.name}: {why}")
    return counted, refused


def words(folder: Path, request: Request, reviewers: Iterable[str]) -> list[list[str]]:
    """Read what reviewers said and signed, as it lies there: name, text, signature."""
    found = []
    for name in reviewers:
        path = folder / FOLDER / request.hash / f"{name}.json"
        beside = path.with_suffix(".json.sig")
        if path.is_file() and beside.is_file():
            said = path.read_text(encoding="utf-8")
            found.append([name, said, beside.read_text(encoding="utf-8", errors="replace")])
    return found


def _verify(path: Path, request: Request, allowed: Allowed) -> tuple[Review | None, str]:
    signer = next((each for each in allowed.valid() if each.principal == path.stem), None)
    if signer is None:
        return None, "no valid signer of this environment"
    if not roles.may(signer.roles, "approve"):
        return None, f"the roles {', '.join(signer.roles)} may not approve"
    beside = path.with_suffix(".json.sig")
    if not beside.is_file():
        return None, "not signed"
    text = path.read_text(encoding="utf-8")
    with signatures.keyring(
        signer.principal,
        signer.public_key,
        revoked=allowed.revoked_lines(),
        namespace=signatures.APPROVAL,
    ) as ring:
        signature = beside.read_text(encoding="utf-8", errors="replace")
        if not signatures.text_is_signed(text, signature, ring, namespace=signatures.APPROVAL):
            return None, f"not signed by {signer.principal}"
    said = json.loads(text)
    if {key: said.get(key) for key in asdict(request)} != asdict(request):
        return None, "it is about another request"
    if said.get("request") != request.hash or said.get("reviewer") != signer.principal:
        return None, "it is about another request"
    if said.get("decision") not in {"approve", "deny"}:
        return None, "it decides nothing"
    fields = ("request", "reviewer", "decision", "reason", "at")
    return Review(**{each: said[each] for each in fields}), ""


def _read_request(path: Path) -> Request | None:
    """Read what is asked; a folder whose name is not the hash of it is passed over."""
    try:
        request = Request(**json.loads(path.read_text(encoding="utf-8")))
        named = request.hash
    except (ValueError, TypeError, OSError):
        return None
    return request if path.parent.name == named else None


def _refused(request: Request, why: str) -> AitbcError:
    return AitbcError(
        f"approve {request.hash[: approvals.SHORT]} refused: {why}",
        hint=f"aitbc approvals {request.environment}",
        exit_status=Exit.REFUSED,
    )


def own_key(allowed: Allowed, key: Path) -> Own:
    """Find whose the operator's key is.

    Raises: ConfigError when the environment does not know it, or knows that it was revoked.
    """
    public = signatures.public_of(key)
    holder = allowed.holder(public)
    if holder is None:
        raise ConfigError(
            f"{public.fingerprint} belongs to no valid signer of this environment",
            hint="aitbc trust list",
        )
    return Own(holder, key)


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.rename(path)
