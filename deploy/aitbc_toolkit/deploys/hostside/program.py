"""Which step does this host-side run make, and how is its answer told? One line of JSON.

`run` is called with the parameter document. The table names each step's function without importing
it: a host is sent, and reads, only the modules that its step needs (`bundle`).
"""

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from aitbc_toolkit.deploys.hostside.trouble import TooLateError, Trouble

MARK = "aitbc-result "

# What a step may do that is not named here, or below, it may do under a lease only. To listen to
# packets for a while changes nothing that a deploy could meet.
READING = frozenset(
    {
        "observe",
        "check",
        "configured",
        "seal",
        "drift",
        "guard",
        "intact",
        "meter",
        "versions",
        "watch",
        "witnessed",
        "capture",
        "captured",
        "fault-look",
        "fault-prove",
    }
)
# What breaks a host on purpose takes nothing from a run that works there: deploys are to be tried
# under faults. Whether a host may be broken at all is the inventory's word.
BREAKING = frozenset({"fault-inject", "fault-end"})
# What lets a running node do at once what it would do by itself: where a network was cut, the hosts
# that would grant a lease may be out of reach.
HASTENING = frozenset({"redial"})
LEASING = frozenset({"lease", "lease-renew", "lease-release"})

# In which module of this folder each step is, and under which name.
STEPS = {
    "lease": "entering.enter",
    "lease-renew": "leasing.renew",
    "lease-release": "leaving.leave",
    "observe": "checking.look",
    "check": "checking.check",
    "seal": "sealing.seal",
    "unseal": "unsealing.unseal",
    "begin-signing": "unsealing.begin_signing",
    "next-key": "rotating.next_key",
    "sign-rotation": "rotating.sign_rotation",
    "node-key": "rotating.node_key",
    "configured": "observing.configured",
    "drift": "drifting.drift",
    "guard": "guarding.guard",
    "meter": "metering.meter",
    "intact": "drifting.intact",
    "restage": "drifting.restage",
    "backup": "keeping.backup",
    "restore": "keeping.restore",
    "discard": "keeping.discard",
    "stage": "staging.stage",
    "configure": "staging.configure",
    "compare": "comparing.compare",
    "versions": "builds.versions",
    "switch": "switching.switch",
    "disarm": "switching.disarm",
    "service": "switching.service",
    "finalize": "switching.finalize",
    "redial": "switching.redial",
    "watch": "switching.watch",
    "announce": "journaling.announce",
    "turn-back": "journaling.turn_back",
    "record": "journaling.record",
    "witnessed": "witnessing.witnessed",
    "shut-down": "switching.shut_down",
    "bootstrap": "bootstrapping.bootstrap",
    "confirm": "bootstrapping.confirm",
    "capture": "capturing.begin",
    "captured": "capturing.end",
    "fault-look": "offering.look",
    "fault-inject": "afflicting.inject",
    "fault-prove": "biting.prove",
    "fault-end": "afflicting.end",
}


def run(step: str, params: dict[str, Any]) -> None:
    """Make one step and print its answer; leave with 1 when this host refuses or fails.

    At the deadline comes SIGTERM (`attending`): then what was begun is undone and told, and
    whatever the step has started is killed with this process. So nothing of a step outlives it.
    """
    os.umask(0o022)  # what is staged is read by the node's user; keys set their own mode
    signal.signal(signal.SIGTERM, _stop)
    late = False
    try:
        answer = {"ok": True, **function(step)(params)}
    except Trouble as trouble:
        answer = {
            **trouble.facts,
            **_failure(trouble.message, hint=trouble.hint, kind=trouble.kind),
        }
    except TooLateError:
        late = True
        answer = _failure(f"{step} did not end within its deadline", kind="deadline")
    except OSError as failure:
        answer = _failure(f"{failure.strerror}: {failure.filename}", kind="os")
    except Exception:  # noqa: BLE001 - the top of a program: our bug on a host must arrive as text
        import traceback  # noqa: PLC0415 - for the rare case

        answer = _failure(traceback.format_exc(limit=-4), kind="bug")
    try:
        # ASCII on one line: the reader of the other side dies of one byte that is not UTF-8.
        # What was written before, by whomever, may have no end of line.
        sys.stdout.write("\n" + MARK + json.dumps(answer) + "\n")
        sys.stdout.flush()
    finally:
        if late:  # also when nobody reads any more
            os.killpg(0, signal.SIGKILL)
    sys.exit(0 if answer["ok"] else 1)


def function(step: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Find what a step is, with everything that it imports."""
    module, _, name = STEPS[step].partition(".")
    found: Callable[[dict[str, Any]], dict[str, Any]] = getattr(
        importlib.import_module(f"{__package__}.{module}"), name
    )
    return found


def _stop(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise TooLateError


def _failure(message: str, *, kind: str, hint: str = "") -> dict[str, Any]:
    return {"ok": False, "error": message, "hint": hint, "kind": kind}
