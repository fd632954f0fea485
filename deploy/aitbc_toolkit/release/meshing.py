"""How does a whole mesh come up with one command, and go away again?

`up` makes the hosts where they are made (lab), then deploys; `down` stops what runs. What a deploy
is stands in `deploy`.
"""

import time

from aitbc_toolkit import lab, widening
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment, Inventory, canonical_name
from aitbc_toolkit.lab.places import Places
from aitbc_toolkit.lab_record import LAB
from aitbc_toolkit.release import founding, permission
from aitbc_toolkit.release.deploy import Request, deploy
from aitbc_toolkit.release.lease import Held
from aitbc_toolkit.release.occupation import at_work
from aitbc_toolkit.release.outcome import Outcome, fact
from aitbc_toolkit.release.progress import Tell, duration, note, step


def up(
    name: str,
    request: Request,
    tell: Tell,
    *,
    validators: int = 0,
    owner_pid: int | None = None,
) -> Outcome:
    """Bring a mesh up from this checkout and prove it; a mesh that is up already stays.

    With a number of validators, a mesh on this machine has that many until its chain is wiped; with
    `owner_pid` a new lab ends when that process does.
    """
    began = time.monotonic()
    canonical = canonical_name(name)
    if canonical == LAB or canonical.startswith(f"{LAB}-"):
        hosts = len(Inventory.read(canonical).hosts)
        _lab_up(canonical.removeprefix(f"{LAB}-"), hosts, tell, owner_pid=owner_pid)
    environment = Inventory.load(canonical)
    _refuse_shared(environment, hint=f"aitbc deploy {canonical}")
    if validators:
        environment = _widen(environment, validators)
    note(tell, _announcement(environment, request))
    done = deploy(environment, request, tell)
    if done.error:
        return done
    took_s = time.monotonic() - began
    lines = [*done.lines, *_addresses(environment)]
    facts = {**done.facts, "rpc": [each.rpc_url for each in environment.instances]}
    return Outcome(done.exit, lines, changed=done.changed, took_s=took_s, facts=facts)


def _widen(environment: Environment, validators: int) -> Environment:
    """Have more validators from here on; a chain that was founded with others keeps them."""
    there = len(environment.validators)
    if validators == there:
        return environment
    if environment.lab or founding.read(environment) is not None or validators < there:
        name = environment.name
        why = "its hosts are fixed" if environment.lab else f"it has {there}"
        raise AitbcError(
            f"up {name} refused: not with {validators} validators, {why}\n"
            "  changed so far   nothing, on no host",
            hint=f"aitbc up {name}\naitbc down {name} --wipe   # ends this chain",
            exit_status=Exit.REFUSED,
        )
    widening.remember(environment.folder, validators)
    return Inventory.load(environment.name, folder=environment.inventories, state=environment.state)


def _announcement(environment: Environment, request: Request) -> str:
    where = f"lab {environment.lab}" if environment.lab else "this machine"
    what = "the work tree as it is" if request.snapshot else "HEAD"
    return f"up: {len(environment.validators)} validators on {where}, from {what} of this checkout"


def down(environment: Environment, tell: Tell, *, wipe: bool, break_lease: str = "") -> Outcome:
    """Stop every node of an environment; with `wipe`, end its chain: data, keys and genesis go.

    The disks of a lab are memory: with its hosts goes the chain, asked or not, and `down` says so.
    """
    began = time.monotonic()
    one = f"aitbc node stop NAME -e {environment.name}   # stops one node"
    _refuse_shared(environment, hint=one)
    permission.require(environment, "operate", subject="down, wiped" if wipe else "down")
    if environment.lab:
        places = Places(state=environment.state)
        _refuse_while_held(environment, tell, places, break_lease=break_lease)
        with step(tell, "lab", f"taking {environment.lab} down"):
            was_up = lab.take_down(environment.lab, places=places)
        stopped = [each.name for each in environment.instances] if was_up else []
        kept = "its disks were memory, so chain and keys are gone" if was_up else "it was not up"
    else:
        stopped = _stop(environment, tell, wipe=wipe, break_lease=break_lease)
        kept = "data and keys are removed" if wipe else _kept(environment)
    wiped = wipe or bool(environment.lab)
    if wiped:
        _forget(environment)
    took_s = time.monotonic() - began
    lines = [f"{environment.name} is down: {kept}; took {duration(took_s)}"]
    facts = {"environment": environment.name, "wiped": wiped}
    return Outcome(Exit.OK, lines, changed=stopped, took_s=took_s, facts=facts)


def _kept(environment: Environment) -> str:
    there = founding.read(environment) is not None
    return "data and keys are kept" if there else "it has no chain"


def _refuse_while_held(
    environment: Environment, tell: Tell, places: Places, *, break_lease: str
) -> None:
    """Ask the hosts of a lab whether another run works on them; who cannot answer has no say.

    Raises: Held (busy).
    """
    try:
        lab.load_lab(environment.lab, places=places)
        with at_work(environment, tell, reason="down", break_lease=break_lease, anchors=False):
            return
    except Held:
        raise
    except AitbcError:
        return  # it is down, or half of it is: nobody can be at work


def _stop(environment: Environment, tell: Tell, *, wipe: bool, break_lease: str) -> list[str]:
    with (
        at_work(environment, tell, reason="down", break_lease=break_lease, anchors=False) as run,
        step(tell, "stop", environment.name) as now,
    ):
        rows = run.crew.shut_down(wipe=wipe)
        run.crew.require(
            rows, verb="down", changed=f"see aitbc status {environment.name}", status=Exit.FAILED
        )
        stopped = [name for row in rows.values() for name in row.answer["stopped"]]
        now.say(" ".join(stopped) or "nothing ran")
    return stopped


def down_by_name(name: str, tell: Tell, *, wipe: bool, break_lease: str = "") -> Outcome:
    """Stop an environment by its name; a lab that was never made is down already."""
    canonical = canonical_name(name)
    is_lab = canonical == LAB or canonical.startswith(f"{LAB}-")
    if is_lab and not (Places.of().lab(canonical.removeprefix(f"{LAB}-")) / "lab.json").is_file():
        return Outcome(Exit.OK, [f"{canonical} is down: there is no such lab"])
    return down(Inventory.load(canonical), tell, wipe=wipe, break_lease=break_lease)


def _lab_up(name: str, hosts: int, tell: Tell, *, owner_pid: int | None) -> None:
    with step(tell, "lab", f"{hosts} hosts and forge") as now:
        found = lab.bring_up(
            lab.LabSpec(name, hosts),
            progress=lambda text: note(tell, f"  {text}"),
            owner_pid=owner_pid,
        )
        now.say(f"{found.name}: {len(found.hosts)} hosts and forge run")


def _addresses(environment: Environment) -> list[str]:
    urls = [each.rpc_url for each in environment.instances]
    more = (
        f" ... {urls[-1].rpartition(':')[2]}" if environment.profile.rpc_bind == "loopback" else ""
    )
    shown = f"{urls[0]}{more}" if more else " ".join(urls)
    name = environment.name
    return [
        fact("rpc", shown),
        fact("stop", f"aitbc down {name}"),
        f"next: aitbc network status -e {name}",
    ]


def _forget(environment: Environment) -> None:
    """Drop what the operator's machine keeps of a chain that is no more; its records stay."""
    for name in ("genesis.json", "public_keys.json", "faucet.key", "validators"):
        (environment.folder / name).unlink(missing_ok=True)


def _refuse_shared(environment: Environment, *, hint: str) -> None:
    """Refuse to bring up or end a mesh that is not the operator's own."""
    if environment.rules.dirty:
        return
    raise AitbcError(
        f"up and down are for dev and lab; {environment.name} is deployed",
        hint=hint,
        exit_status=Exit.REFUSED,
    )
