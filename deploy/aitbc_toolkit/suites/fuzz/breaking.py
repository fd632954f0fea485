"""How is one decoder tried, and what is kept when it breaks?

A trial runs in a forked process: libFuzzer ends the process that it runs in, whatever happens. What
is counted lies in shared memory, so that the parent sees it while the trial runs and after a crash.
Do not add which decoders there are, or for how long: `fuzzing.py`.
"""

import hashlib
import io
import mmap
import os
import random
import re
import sys
import time
import tomllib
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from aitbc_toolkit import paths

if TYPE_CHECKING:
    from aitbc_toolkit.suites.fuzz.decoder import Decoder

INPUT_BYTES_MAX = 16_384
"""As long as the longest good example, which holds a block with everything in it."""
MEMORY_MIB_MAX = 256
"""What a process may need in all; a tenth of it is what it needs to begin with."""
CPU_S_MAX = 2.0
"""What one input may cost; a thousand times what any does."""
_HANG_S = 60
_SHRINK_S = 20.0
_BREAKS = 77
_CELLS = 16
_FOUND = ("crash-", "timeout-", "oom-", "leak-")
_COVERED = re.compile(rb"cov: (\d+)")
_PEAK = re.compile(rb"stat::peak_rss_mb:\s+(\d+)")


class SlowError(Exception):
    """An input cost more time than any may."""


class Engine(Protocol):
    """Be what makes inputs."""

    title: str

    def run(self, trial: "Trial", options: list[str]) -> None:
        """Try a decoder; end the process with what came of it."""


def load() -> tuple[Engine, Mapping[str, "Decoder"]]:
    """Import the decoders so that an engine sees which of the node's lines an input reaches.

    Without atheris, for which not every machine has a build, inputs are drawn blindly.
    """
    try:
        import atheris  # noqa: PLC0415 - not every machine has it
    except ImportError:
        from aitbc_toolkit.suites.fuzz.registry import DECODERS  # noqa: PLC0415 - in both ways at the same place

        return Blind(), DECODERS
    told = io.StringIO()  # a line for each module
    with redirect_stderr(told), atheris.instrument_imports(include=["aitbc_node"]):
        from aitbc_toolkit.suites.fuzz.registry import DECODERS  # noqa: PLC0415 - instrumented as it is imported
    return Guided(atheris), DECODERS


@dataclass
class Trial:
    """Hold one decoder while it is tried, and what came of it."""

    decoder: "Decoder"
    folder: Path
    began: float
    failure: str = ""
    took_s: float = 0.0
    covered: int = 0
    peak_mib: int = 0
    _counts: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, _CELLS))

    def __post_init__(self) -> None:
        self._cells = memoryview(self._counts).cast("Q")

    @property
    def inputs(self) -> int:
        """Return how many inputs it has had."""
        return int(self._cells[0])

    @property
    def understood(self) -> int:
        """Return how many of them were something to it."""
        return int(self._cells[1])

    @property
    def log(self) -> Path:
        """Return where the engine's output is."""
        return self.folder / f"{self.decoder.name}.log"

    @property
    def corpus(self) -> Path:
        """Return the folder of inputs that reached something new, in this run or before."""
        return self.folder / "corpus" / self.decoder.name

    def prepare(self) -> None:
        """Make the folders, with good examples in them."""
        self.corpus.mkdir(parents=True, exist_ok=True)
        for left in self._left():
            left.unlink()
        for data in (*self.decoder.seeds(), *regressions(self.decoder.name)):
            (self.corpus / _name(data)).write_bytes(data)

    def take(self, data: bytes) -> None:
        """Give it one input. Raises: whatever is a finding."""
        self._cells[0] += 1
        began = time.thread_time()
        self._cells[1] += self.decoder.take(data)
        if time.thread_time() - began > CPU_S_MAX:
            raise SlowError(f"{len(data)} bytes cost more than {CPU_S_MAX} s")

    def close(self, status: int) -> None:
        """Read what the engine says, and make small what broke the decoder."""
        self.took_s = time.monotonic() - self.began
        text = self.log.read_bytes()
        self.covered = max((int(found) for found in _COVERED.findall(text)), default=0)
        self.peak_mib = max((int(found) for found in _PEAK.findall(text)), default=0)
        if status:
            found = next(self._left(), None)
            self.failure = (
                f"status {status}, see {self.log}" if found is None else self._keep(found)
            )

    def _left(self) -> Iterator[Path]:
        """Yield what libFuzzer has put away as the input that broke something."""
        name = self.decoder.name
        for kind in _FOUND:
            yield from sorted(self.folder.glob(f"{name}-{kind}*"))

    def _keep(self, found: Path) -> str:
        data = found.read_bytes()
        why = breach(self.decoder, data)
        if why:  # a hang or a growth does not repeat in a moment, and stays as it is
            data = shrunk(data, lambda one: breach(self.decoder, one) == why)
        kept = self.folder / "found" / f"{self.decoder.name}-{_name(data)}"
        kept.parent.mkdir(exist_ok=True)
        kept.write_bytes(data)
        module = ".venv/bin/python -m aitbc_toolkit.suites.fuzzing"
        return f"{why or found.name}; {module} --replay {self.decoder.name} {kept}"

    def document(self) -> dict[str, object]:
        """Tell everything about it."""
        return {
            "decoder": self.decoder.name,
            "inputs": self.inputs,
            "understood": self.understood,
            "covered": self.covered,
            "peak_mib": self.peak_mib,
            "took_s": round(self.took_s, 1),
            "failure": self.failure,
        }

    def row(self) -> str:
        """Tell it in one row of a table."""
        counts = f"{self.inputs:>10}{self.understood:>12}{self.covered:>9}{self.peak_mib:>6}"
        return f"{self.decoder.name:<16}{counts}{self.took_s:>9.1f}  {self.failure}".rstrip()

    def line(self) -> str:
        """Tell it in one line."""
        broken = f": BROKEN by {self.failure}" if self.failure else ""
        return f"{self.decoder.name}: {self.inputs} inputs in {self.took_s:.1f} s{broken}"


class Guided:
    """Make inputs by libFuzzer: what reaches a new line or branch is gone on with."""

    title = "atheris, guided by coverage"

    def __init__(self, atheris: Any) -> None:
        self._atheris = atheris

    def run(self, trial: Trial, options: list[str]) -> None:
        """Try a decoder; libFuzzer ends the process."""
        _write_to(trial.log)
        limits = [f"-rss_limit_mb={MEMORY_MIB_MAX}", f"-timeout={_HANG_S}", "-print_final_stats=1"]
        left = f"-artifact_prefix={trial.folder}/{trial.decoder.name}-"
        argv = [
            "fuzzing",
            *options,
            *limits,
            left,
            f"-max_len={INPUT_BYTES_MAX}",
            str(trial.corpus),
        ]
        bend = {"custom_mutator": self._bend} if trial.decoder.is_packed else {}
        self._atheris.Setup(argv, trial.take, **bend)
        self._atheris.Fuzz()

    def _bend(self, data: bytes, size_max: int, seed: int) -> bytes:
        from aitbc_toolkit.suites.fuzz.bending import bent  # noqa: PLC0415 - imported where it was instrumented

        dice = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        changed = bent(data, dice) if dice.random() < 0.7 else None  # noqa: PLR2004 - mostly
        if changed is None or len(changed) > size_max:
            return bytes(self._atheris.Mutate(data, size_max))
        return changed


class Blind:
    """Make inputs by bending good examples, where no guide is to be had."""

    title = "blind: this machine has no atheris"

    def run(self, trial: Trial, options: list[str]) -> None:
        """Try a decoder as long as asked."""
        _write_to(trial.log)
        told = dict(option[1:].split("=") for option in options)
        until = time.monotonic() + int(told.get("max_total_time", 10**6))
        dice = random.Random(int(told["seed"]))  # noqa: S311 - to be repeated, not to be secret
        seeds = [*trial.decoder.seeds(), *regressions(trial.decoder.name)]
        for _ in range(int(told.get("runs", 10**12))):
            data = drawn(seeds, dice)
            try:
                trial.take(data)
            except Exception:  # noqa: BLE001 - whatever comes out is the finding
                traceback.print_exc()
                left = trial.folder / f"{trial.decoder.name}-crash-{_name(data)}"
                left.write_bytes(data)
                os._exit(_BREAKS)
            if time.monotonic() > until:
                break
        os._exit(0)


def drawn(seeds: list[bytes], dice: random.Random) -> bytes:
    """Draw a good example with one value bent, or with some bytes changed."""
    from aitbc_toolkit.suites.fuzz.bending import bent  # noqa: PLC0415 - imported where it was instrumented

    data = dice.choice(seeds)
    changed = bent(data, dice) if dice.random() < 0.7 else None  # noqa: PLR2004 - mostly
    if changed is not None or not data:
        return changed or b""
    raw = bytearray(data)
    for _ in range(dice.randrange(1, 4)):
        raw[dice.randrange(len(raw))] = dice.randrange(256)
    return bytes(raw[: dice.choice((len(raw), dice.randrange(len(raw) + 1)))])


def regressions(name: str = "") -> list[bytes]:
    """Return what is kept in the repository for one decoder, or all: inputs that broke it once."""
    path = paths.project_root() / "tests" / "unit" / "vectors" / "broken.toml"
    kept = tomllib.loads(path.read_text(encoding="utf-8"))["found"]
    return [bytes.fromhex(row["bytes"]) for row in kept if name in {"", row["decoder"]}]


def breach(decoder: "Decoder", data: bytes) -> str:
    """Say how an input breaks a decoder: what is raised, and where; empty when it does not."""
    try:
        decoder.take(data)
    except Exception as error:  # noqa: BLE001 - whatever comes out is the finding
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {Path(last.filename).name}:{last.name}"
    return ""


def shrunk(data: bytes, still: Callable[[bytes], bool]) -> bytes:
    """Take away and blank what is not needed for something still to be so."""
    until = time.monotonic() + _SHRINK_S
    size = max(1, len(data) // 2)
    while time.monotonic() < until:
        smaller = next(filter(still, _without(data, size)), None)
        if smaller is not None:
            data = smaller
        elif size == 1:
            break
        else:
            size //= 2
    return data


def _without(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[:at] + data[at + size :]


def _name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _write_to(log: Path) -> None:
    """Let everything that this process says go to a file, libFuzzer's words too."""
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(file, stream)
