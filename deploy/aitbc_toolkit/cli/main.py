"""Which commands exist, and how a run of one begins and ends.

The table names each command, the module that holds it and one line of help, so that `--help` and
an unknown name are answered without importing a single command. Do not add behaviour here: a
command lives in the module that the table names, a failure is put into words by `failures`.
"""

import gc
import importlib
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NamedTuple, NoReturn

from aitbc_toolkit import worker
from aitbc_toolkit.cli import streams

# These surely ask hosts, so the child that does it starts while all else is imported.
ASK_HOSTS = frozenset({"up", "down", "status", "deploy", "plan", "rollback"})


def _begin() -> None:
    """Do what has to come before the imports that take long, for them to be fast."""
    # Nothing that is imported is ever garbage; looking for it until then is a tenth of the time.
    gc.disable()
    worker.keep_compiled()
    streams.begin()
    if sys.argv[1:2] and sys.argv[1] in ASK_HOSTS and not {"-h", "--help"}.intersection(sys.argv):
        worker.start_early()


if __name__ == "__main__":
    _begin()

import click  # noqa: E402 - see above

from aitbc_toolkit.cli import failures, hints  # noqa: E402 - see above
from aitbc_toolkit.errors import Exit, UsageError  # noqa: E402 - see above


class Entry(NamedTuple):
    """Where a command is found, and what `aitbc --help` says about it."""

    module: str
    summary: str


COMMANDS = {
    "up": Entry("mesh", "Bring up a mesh: on this machine, or on lab hosts with `up lab`."),
    "down": Entry("mesh", "Stop a mesh that `up` started."),
    "status": Entry("deploy", "Show the mesh of an environment and its release."),
    "deploy": Entry("deploy", "Take a commit to every host, one at a time, and prove it."),
    "plan": Entry("deploy", "Show what a deploy would change, and change nothing."),
    "rollback": Entry("deploy", "Return to the newest release that was healthy before."),
    "history": Entry("deploy", "List the deploys of an environment."),
    "bootstrap": Entry("hosts", "Set up bare hosts, so that they can take a deploy."),
    "backup": Entry("backup", "Copy the chain data of nodes, without keys."),
    "restore": Entry("backup", "Put a backup in the place of a node's data."),
    "validate": Entry("validate", "Check an environment before, after, in pace and in safety."),
    "drift": Entry("drift", "Compare every host with what was deployed to it."),
    "preflight": Entry("hosts", "Look at everything that a deploy needs; change nothing."),
    "phases": Entry("hosts", "Tell how far an environment has come, gate by gate."),
    "release": Entry("release", "Cut, show and verify signed releases."),
    "repos": Entry("repos", "Bring a release's other repositories to their commits."),
    "trust": Entry("trust", "Show and change whom an environment trusts."),
    "grant": Entry("grant", "Show and change who has which role in an environment."),
    "approve": Entry("trust", "Sign for or against a release that waits."),
    "approvals": Entry("trust", "List the releases that wait for reviewers."),
    "audit": Entry("audit", "Show and verify what was decided about trust."),
    "hooks": Entry("hooks", "List the programs that run before and after a deploy's phases."),
    "lab": Entry("lab", "Make, list, enter and destroy systemd hosts on this machine."),
    "network": Entry("network", "Ask every node about the mesh."),
    "keys": Entry("keys", "Make keys on their hosts, show and back them up."),
    "genesis": Entry("keys", "Build the genesis; compare it on every host."),
    "diagnose": Entry("diagnose", "Say what is wrong with a mesh, and what helps."),
    "node": Entry("node", "List, start, stop and read single nodes."),
    "tx": Entry("tx", "Send, show and wait for transactions."),
    "account": Entry("accounts", "Show an account, make a key for one, change who signs."),
    "asset": Entry("assets", "Show an asset, define one, make and destroy units."),
    "endpoint": Entry("endpoint", "Say on the ledger where an agent answers; find one."),
    "message": Entry("message", "Send messages to accounts and on topics; hear them, ask."),
    "validator": Entry("validator", "Show, register, change and admit validators."),
    "proposal": Entry("proposal", "Show what the validators vote on; propose and vote."),
    "economics": Entry("economics", "Show the chain's money; stake, and claim what it earned."),
    "config": Entry("config", "Read and change the settings of an environment."),
    "env": Entry("env", "List the environments, show one, choose one."),
    "test": Entry("test", "Prove the project; with a suite, prove a live mesh."),
    "chaos": Entry("chaos", "Break a live mesh on purpose; each fault ends by itself."),
    "alerts": Entry("alerts", "Show what is wrong with a mesh; watch, print and test the rules."),
    "load": Entry("load", "Let a swarm hand in transactions, and judge what comes of it."),
    "report": Entry("report", "List the runs of suites, show one, or open its page."),
    "benchmark": Entry("benchmark", "Measure deploys, throughput and hot paths on this machine."),
    "sim": Entry("sim", "Run seeds of the deterministic simulator."),
    "trace": Entry("trace", "Show which tests prove which feature."),
    "locks": Entry("locks", "Check or renew the pinned dependencies."),
}


class LazyGroup(click.Group):
    """Know every command by name and summary; import the one that is run."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Put the imported command in the place of its entry."""
        name, _, rest = super().resolve_command(ctx, args)
        if name and worker.waits():
            from aitbc_toolkit.cli import early  # noqa: PLC0415 - only for what asks hosts

            early.reach(name, rest)
        return name, (_load(name) if name else None), rest


def _load(name: str) -> click.Command:
    entry = COMMANDS[name]
    module = importlib.import_module(f"aitbc_toolkit.cli.{entry.module}")
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
    command = getattr(module, name)
    assert isinstance(command, click.Command), f"cli/{entry.module}.py lacks the command {name}"
    return command


def _print_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's callback shape
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - 20 ms that no other run pays

        click.echo(f"aitbc {version('aitbc-toolkit')}")
        ctx.exit()


def _print_tracebacks(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's callback shape
    ctx.obj.debug = wanted


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and leave.",
)
@click.option(
    "--debug",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_tracebacks,
    help="Print the traceback of a failure.",
)
def aitbc() -> None:
    """Take a signed commit to a live BFT mesh, prove that it works, and take it back."""


for _name, _entry in COMMANDS.items():
    aitbc.add_command(click.Command(_name, short_help=_entry.summary))


def _on_terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    """End on SIGTERM as on Ctrl-C, so that every `finally` runs and nothing is left behind."""
    raise KeyboardInterrupt


def run(arguments: Sequence[str], *, program: str = "aitbc") -> int:
    """Run one command line; a command returns its `Exit`, or nothing for success.

    `program` is what was typed to start it.
    """
    report = failures.Report(aitbc, tuple(arguments), program=program)
    try:
        _refuse_empty(arguments)
        # Not `aitbc.main`, which would decide by itself how some failures end.
        with aitbc.make_context("aitbc", list(arguments), obj=report) as context:
            outcome = aitbc.invoke(context)
        sys.stdout.flush()
    except BaseException as failure:  # noqa: BLE001 - the one place where every failure ends
        return report.tell(failure)
    return outcome if isinstance(outcome, int) else Exit.OK


def _refuse_empty(words: Sequence[str]) -> None:
    """Refuse an empty word: it is an unset variable of a script, and would mean another thing.

    What stands behind `--` is another program's business.
    """
    own = words[: words.index("--")] if "--" in words else words
    for place, word in enumerate(own):
        if word and not (word.startswith("--") and word.endswith("=")):
            continue
        before = own[place - 1] if place and own[place - 1].startswith("-") else "a word"
        path, _ = hints.resolve(aitbc, words)
        raise UsageError(f"{word.rstrip('=') or before} is empty", hint=f"{path} --help")


def main() -> NoReturn:
    """Run the command line of this process and leave with its exit status."""
    if __name__ != "__main__":
        _begin()
    signal.signal(signal.SIGTERM, _on_terminate)
    # There are none; looking for them among all that is installed takes 50 ms.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # Taken away, so that no program that this one starts takes it for its own.
    status = run(sys.argv[1:], program=shlex.quote(os.environ.pop("AITBC_PROGRAM", "aitbc")))
    streams.end()
    sys.exit(status)


if __name__ == "__main__":
    main()
