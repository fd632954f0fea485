"""Which bytes make a reader of foreign bytes raise, hang or grow?

Each decoder of `suites.fuzz` gets inputs in a process of its own, driven by the coverage of the
node's code (atheris, which is libFuzzer), from good examples, from what is kept in the repository
and from what earlier runs came upon. What breaks one is made small and kept, with the line that
repeats it. Run by the stage `fuzz`. Do not add decoders here.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aitbc_toolkit import measured, paths
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.suites.fuzz import breaking

SECONDS, JOBS = 60, 2
_NICE = 10
"""Tests of live meshes run beside, and they wait for real time."""
_POLL_S, _SAY_S = 0.05, 15.0
_LATE_S = 120.0
"""How long a process may go on after its time: it may be held, but not for ever."""


class Budget(NamedTuple):
    """How long each decoder is tried: for so many seconds, or for so many inputs."""

    seconds: int = 0
    inputs: int = 0

    def options(self) -> list[str]:
        """Say it to libFuzzer."""
        if self.inputs:
            return [f"-runs={self.inputs}"]
        return [f"-max_total_time={max(1, self.seconds)}"]


def main(arguments: Sequence[str]) -> int:
    """Try all decoders, or some; say what broke them, and how many inputs each had."""
    asked = _asked(arguments)
    folder = paths.state_root() / "fuzz"
    engine, decoders = breaking.load()
    if asked.replay:
        return _replay(decoders, *asked.replay)
    names = asked.decoders or sorted(decoders)
    unknown = sorted(set(names) - set(decoders))
    if unknown:
        sys.stderr.write(f"error: no decoder {unknown[0]}\nhint: {' '.join(sorted(decoders))}\n")
        return Exit.USAGE
    budget = budget_of(asked, len(names))
    seed = asked.seed or time.time_ns() % 2**31
    sys.stderr.write(f"{engine.title}, seed {seed}, {len(names)} decoders\n")
    tried = list(_tried(engine, decoders, names, folder, budget, seed=seed, jobs=asked.jobs))
    document = _document(engine, tried, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "last.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write((json.dumps(document, indent=2) if asked.json else _table(tried)) + "\n")
    return Exit.FAILED if any(one.failure for one in tried) else Exit.OK


def _asked(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fuzzing")
    parser.add_argument("decoders", nargs="*", help="all, unless some are named")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="for all together")
    parser.add_argument("--inputs", type=int, default=0, help="for each, in place of a time")
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--replay", nargs=2, metavar=("DECODER", "FILE"))
    return parser.parse_args(arguments)


def budget_of(asked: argparse.Namespace, count: int) -> Budget:
    """Share the time among so many; inputs take as long as they take, and the stage bounds them."""
    if asked.inputs:
        return Budget(inputs=asked.inputs)
    return Budget(seconds=asked.seconds * asked.jobs // count)


def _replay(decoders: Any, name: str, file: str) -> int:
    """Give one input to one decoder; whatever it raises is shown."""
    is_taken = decoders[name].take(Path(file).read_bytes())
    sys.stdout.write(f"{name}: {'understood' if is_taken else 'refused'}\n")
    return Exit.OK


def _tried(
    engine: breaking.Engine,
    decoders: Any,
    names: Sequence[str],
    folder: Path,
    budget: Budget,
    *,
    seed: int,
    jobs: int,
) -> Iterator[breaking.Trial]:
    """Run decoders side by side, a process each; tell of each as it ends, and now and then."""
    waiting, running = list(names), dict[int, breaking.Trial]()
    said = time.monotonic()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                trial = breaking.Trial(decoders[waiting.pop(0)], folder, time.monotonic())
                running[_begun(engine, trial, [*budget.options(), f"-seed={seed}"])] = trial
            for process in list(running):
                status = _status(process, running[process], budget)
                if status is not None:
                    trial = running.pop(process)
                    trial.close(status)
                    sys.stderr.write(f"  {trial.line()}\n")
                    yield trial
            if time.monotonic() - said > _SAY_S:
                said = time.monotonic()
                now = ", ".join(f"{t.decoder.name} {t.inputs}" for t in running.values())
                sys.stderr.write(f"  at work: {now}\n")
            time.sleep(_POLL_S)
    finally:
        for process in running:
            os.kill(process, 9)
            os.waitpid(process, 0)


def _begun(engine: breaking.Engine, trial: breaking.Trial, options: list[str]) -> int:
    """Fork, so that the node's code is instrumented once for all decoders."""
    trial.prepare()
    process = os.fork()
    if process == 0:
        os.nice(_NICE)
        engine.run(trial, options)  # never returns
    return process


def _status(process: int, trial: breaking.Trial, budget: Budget) -> int | None:
    ended, status = os.waitpid(process, os.WNOHANG)
    if ended:
        return os.waitstatus_to_exitcode(status)
    if budget.seconds and time.monotonic() - trial.began > budget.seconds + _LATE_S:
        os.kill(process, 9)
    return None


def _document(
    engine: breaking.Engine, tried: Sequence[breaking.Trial], *, seed: int
) -> dict[str, object]:
    return {
        "schema": 1,
        **measured.circumstances(paths.project_root()),
        "engine": engine.title,
        "seed": seed,
        "decoders": [trial.document() for trial in tried],
        "inputs": sum(trial.inputs for trial in tried),
        "found": sum(bool(trial.failure) for trial in tried),
    }


def _table(tried: Sequence[breaking.Trial]) -> str:
    head = f"{'DECODER':<16}{'INPUTS':>10}{'UNDERSTOOD':>12}{'COVERED':>9}{'MIB':>6}{'SECONDS':>9}"
    return "\n".join([head, *(trial.row() for trial in tried)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
