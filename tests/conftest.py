"""What every test of the tree shares: its kind, what it proves, what it may touch.

A test has one kind; where it names none, its folder decides. A test that needs a mesh or a lab
skips with a reason unless the run asks for it. What a test proves is checked against
`docs/features.toml` and ends up in the JUnit file, where `./aitbc trace` reads it.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from aitbc_toolkit import features, paths
from aitbc_toolkit.suites import selftest
from aitbc_toolkit.suites.stages import STAGES, TIERS

_KINDS = ("unit", "integration", "sim", "mesh", "lab")
_KIND_OF_FOLDER = {"unit": "unit", "sim": "sim", "mesh": "mesh", "lab": "lab"}
_ELSEWHERE = {kind: stage.elsewhere for stage in STAGES for kind in stage.kinds}
_TESTS = Path(__file__).parent
_DEPLOYS = _TESTS / "toolkit" / "deploys"
_NO_DISK = (_TESTS / "unit" / "ledger", _TESTS / "unit" / "consensus", _TESTS / "unit" / "gossip")
_OUTSIDE = frozenset({"socket.connect", "socket.bind", "subprocess.Popen", "os.fork"})
_POLL_S = 0.02
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run ask for what is not there by default."""
    group = parser.getgroup("aitbc")
    group.addoption("--mesh", action="store_true", help="run the tests that start a mesh here")
    group.addoption("--lab", action="store_true", help="run the tests that need lab hosts (root)")
    group.addoption("--tier", choices=TIERS, default="ci", help="how much")


def pytest_configure() -> None:
    """Hear Ctrl-C, and let what tests start hear it: a script's background job does not."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each test its kind, its proofs and, where it was not asked for, its skip."""
    known = features.load(paths.project_root() / "docs" / "features.toml").features
    for item in items:
        kind = _kind(item)
        if any(item.path.is_relative_to(_TESTS / folder) for folder in _ELSEWHERE[kind]):
            raise pytest.UsageError(f"{item.nodeid} is of kind {kind}: not looked for there")
        for marker in item.iter_markers("proves"):
            unknown = [name for name in marker.args if name not in known]
            if unknown:
                raise pytest.UsageError(f"{item.nodeid} proves unknown features: {unknown}")
            item.user_properties += [("proves", name) for name in marker.args]
        if kind in {"mesh", "lab"} and not config.getoption(f"--{kind}"):
            item.add_marker(pytest.mark.skip(reason=f"needs a {kind}; ask for it with --{kind}"))
        tier = config.getoption("--tier")
        if tier not in _tiers(item):
            item.add_marker(pytest.mark.skip(reason=f"{selftest.NOT_IN_TIER} {tier}"))


def _tiers(item: pytest.Item) -> tuple[str, ...]:
    """Tell which tiers a test is part of; whole deploys are too long for the fast one."""
    if item.get_closest_marker("nightly"):
        return ("nightly",)
    return ("ci", "nightly") if item.path.is_relative_to(_DEPLOYS) else TIERS


def _kind(item: pytest.Item) -> str:
    named = [kind for kind in _KINDS if item.get_closest_marker(kind)]
    if len(named) > 1:
        raise pytest.UsageError(f"{item.nodeid} has more than one kind: {named}")
    if named:
        return named[0]
    folder = item.path.relative_to(_TESTS).parts[0] if item.path.is_relative_to(_TESTS) else ""
    kind = _KIND_OF_FOLDER.get(folder, "integration")
    item.add_marker(kind)
    return kind


class _Fence:
    """Keep a unit test from the outside world, through Python's audit events."""

    def __init__(self) -> None:
        self.around: pytest.Item | None = None

    def hook(self, event: str, args: tuple[object, ...]) -> None:
        if self.around is None:
            return
        if event in _OUTSIDE or (event == "open" and self._writes(args)):
            item, self.around = self.around, None
            pytest.fail(f"{item.nodeid} is a unit test, but it did: {event} {args}")

    def _writes(self, args: tuple[object, ...]) -> bool:
        path, _, flags = args
        if self.around is None or not any(map(self.around.path.is_relative_to, _NO_DISK)):
            return False
        if isinstance(path, int):
            return False  # a descriptor, whose own opening was judged
        by_tools = (".hypothesis", "__pycache__", os.devnull)
        return bool(int(str(flags)) & _WRITES) and not any(name in str(path) for name in by_tools)


_FENCE = _Fence()
sys.addaudithook(_FENCE.hook)


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Wait until a condition holds; at the deadline the test fails, naming what it waited for."""

    def wait(what: str, condition: Callable[[], object], *, deadline_s: float = 60.0) -> None:
        until = time.monotonic() + deadline_s
        while not condition():
            if time.monotonic() > until:
                pytest.fail(f"waited {deadline_s:.0f} s in vain for {what}")
            time.sleep(_POLL_S)

    return wait


@pytest.fixture
def eventually_async() -> Callable[..., Awaitable[None]]:
    """Do the same inside an event loop."""

    async def wait(what: str, condition: Callable[[], object], *, deadline_s: float = 60.0) -> None:
        until = time.monotonic() + deadline_s
        while not condition():
            if time.monotonic() > until:
                pytest.fail(f"waited {deadline_s:.0f} s in vain for {what}")
            await asyncio.sleep(_POLL_S)

    return wait


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Run a unit test inside the fence: no network, no processes, if pure no disk."""
    _FENCE.around = item if item.get_closest_marker("unit") else None
    try:
        return (yield)
    finally:
        _FENCE.around = None
