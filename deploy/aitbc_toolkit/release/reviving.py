"""How do the nodes of a host that lost everything come back? With their keys, and from their peers.

Keys come out of a sealed backup, opened here in memory with the operator's own key. Blocks come
from the peers, as for any new node. What the lost nodes have signed is nowhere any more: they
sign again only from a height on that they cannot have come to, whatever that costs in time.
"""

import io
import tarfile
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from aitbc_toolkit import shell
from aitbc_toolkit.errors import AitbcError, ConfigError, Exit, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import configuring, history, powers
from aitbc_toolkit.release.facts import Facts
from aitbc_toolkit.release.gates import quorum
from aitbc_toolkit.release.progress import step
from aitbc_toolkit.release.reading import tip
from aitbc_toolkit.release.request import Lost, Request
from aitbc_toolkit.release.rolling import Run

# The tip that more than two thirds tell is H: nobody else has decided above H + 1, so nobody has
# signed above H + 2.
ABOVE_TIP = 3

_AGE_S = 120.0
_WATCH_S = 60.0
_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Revival:
    """Hold which nodes come back, and the tip of the mesh when they were seen to be down."""

    names: tuple[str, ...]
    tip: int


def settle(environment: Environment, request: Request, lost: Lost) -> Request:
    """Ask for the release that the mesh runs, on the nodes of the lost host and nowhere else.

    Raises: UsageError for an unknown host, AitbcError (refused) when no release was healthy.
    """
    names = tuple(sorted(each.name for each in environment.on(environment.host(lost.host).name)))
    last = history.newest_healthy(history.read(environment))
    if last is None:
        raise _refused(environment, "no release was healthy here yet", "aitbc history")
    # The others run that release, so there is nobody for whom it has still to be tried.
    choice = replace(request.choice, only=names, canary=0)
    return replace(request, ref=last.commit, choice=choice)


def bring_keys(run: Run, lost: Lost, facts: Facts) -> Revival:
    """Put the keys of the host's nodes that are down where they were.

    Raises: AitbcError (refused) before anything changes: when nothing is lost, or when too few
    nodes answer to know what the lost ones may have signed.
    """
    environment = run.environment
    told = facts[lost.host]["instances"]
    names = tuple(name for name, each in told.items() if not each["service"]["active"])
    if not names:
        raise _refused(environment, f"every node of {lost.host} runs", "aitbc status")
    seen = safe_tip(run, names)
    with step(run.tell, "keys", f"keys of {' '.join(names)} from their backup") as now:
        folder = lost.folder or _newest(environment)
        opened = {name: _open(folder / f"{name}.tar.age", lost.identity) for name in names}
        put = run.crew.unseal(opened)
        count = sum(map(len, put.values()))
        now.say(f"{count} put back from {folder}" if count else "all were there")
    return Revival(names, seen)


def begin_signing(run: Run, revival: Revival, commit: str) -> None:
    """Let them sign from a height on, once nobody else is seen to sign with their keys.

    The last thing before they start: a height that was named early may have been passed by then.
    A twin whose votes are in no block that is looked at is not seen; that the old host is gone
    stays the operator's word.
    Raises: AitbcError (refused) when a block carries a signature of a node that is down.
    """
    with step(run.tell, "sign state", f"looking who signs as {' '.join(revival.names)}") as now:
        _refuse_twins(run, revival)
        height = safe_tip(run, revival.names) + ABOVE_TIP
        run.crew.begin_signing(revival.names, commit, not_before=height)
        now.say(
            f"{' '.join(revival.names)} sign from height {height:,} on, if they have not here yet"
        )


def safe_tip(run: Run, lost: Collection[str]) -> int:
    """Give the newest height that nodes with more than two thirds of the power tell.

    Raises: AitbcError (refused) when fewer answer: one of the silent may be ahead of them all.
    """
    statuses = run.mesh.statuses()
    power = powers.told(run.mesh, statuses)
    there = [name for name, told in statuses.items() if told is not None and name not in lost]
    if not quorum(power.sum(there), power.total):
        sum_ = f"{' '.join(there) or 'nobody'} = {power.sum(there)} of {power.total} answer"
        why = f"{sum_}, so what the lost nodes have signed cannot be known"
        raise _refused(run.environment, why, "aitbc network status -e")
    return tip({name: statuses[name] for name in there})


def _refuse_twins(run: Run, revival: Revival) -> None:
    """Wait for blocks whose commits the lost nodes cannot be in, and look who is, for a rotation.

    They were down at a tip that most tell, so what they signed is of at most `ABOVE_TIP - 1` above
    it, and the commit of a height stands in the block after it.
    """
    environment = run.environment
    public = configuring.known_keys(environment) or {}
    parts = {name: public.get(name, {}) for name in revival.names}
    keys = {str(each.get("consensus_key", "")): name for name, each in parts.items()}
    keys |= {key: name for name, each in parts.items() for key in each.get("later_keys", ())}
    first, rotation = revival.tip + ABOVE_TIP + 1, len(environment.validators)
    rotation_s = rotation * environment.chain.block_interval_ms / 1000
    deadline = time.monotonic() + _WATCH_S + 2 * rotation_s
    while (height := safe_tip(run, revival.names)) < first + rotation - 1:
        if time.monotonic() > deadline:
            why = f"the mesh makes no blocks, so nobody can see whether {' '.join(revival.names)}"
            raise _refused(environment, f"{why} run elsewhere", "aitbc network status -e")
        time.sleep(_POLL_S)
    for block in run.mesh.blocks(first, height):
        for name in (keys[key] for key in block.last_commit.signers if key in keys):
            why = f"{name} has signed for height {block.height - 1:,}: its key runs somewhere else"
            raise _refused(environment, why, "aitbc network peers -e")


def _open(path: Path, identity: Path) -> Mapping[str, str]:
    """Decrypt one node's keys; they exist in memory only.

    Raises: UsageError when there is no such backup, ConfigError when it is none.
    """
    if not path.is_file():
        raise UsageError(f"there is no {path}", hint="name the folder of the backup with --keys")
    if not identity.expanduser().is_file():
        raise UsageError(f"there is no {identity}", hint="name the private key with --identity")
    # A tar of PEM files is ASCII, so it comes through as text.
    hint = "apt-get install age\nname the private half of the key it was sealed to with --identity"
    opened = shell.run(
        ["age", "--decrypt", "--identity", identity.expanduser(), path], timeout_s=_AGE_S, hint=hint
    )
    found: dict[str, str] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(opened.stdout.encode())) as archive:
            for entry in archive:
                if (source := archive.extractfile(entry)) is not None:
                    found[PurePosixPath(entry.name).name] = source.read().decode("ascii")
    except (tarfile.TarError, UnicodeDecodeError) as damaged:
        raise ConfigError(
            f"{path} holds no keys: {damaged}", hint="aitbc keys backup --to KEY.pub"
        ) from damaged
    return found


def _newest(environment: Environment) -> Path:
    folders = sorted((environment.folder / "key-backups").glob("*"), reverse=True)
    if not folders:
        raise UsageError(
            f"{environment.name} has no backup of keys on this machine",
            hint="name the folder of the backup with --keys",
        )
    return folders[0]


def _refused(environment: Environment, why: str, see: str) -> AitbcError:
    return AitbcError(
        f"restore of {environment.name} refused: {why}\n  changed so far   nothing that runs",
        hint=f"{see} {environment.name}",
        exit_status=Exit.REFUSED,
    )
