"""Which libraries are loaded for pyinfra that nothing here asks anything of? Stand-ins stand there.

They are a third of what this child costs before it can connect. One that is asked for something
after all says so, instead of giving a wrong answer. Imported before gevent and pyinfra; standard
library only.
"""

import sys
import typing
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import ClassVar, NamedTuple, NoReturn

_PACKAGING = ("markers", "requirements", "specifiers", "version")


class _Unneeded(ModuleType):
    """Stand for a library whose names are imported and never used."""

    def __getattr__(self, name: str) -> object:
        """Give a name that can be imported; it says that it is none when it is used."""
        if name.startswith("__"):
            raise AttributeError(name)
        library = self.__name__

        def refuse(*_words: object, **_more: object) -> NoReturn:
            raise RuntimeError(f"{library}.{name} is not loaded in this process")

        return refuse


class _Typing(ModuleType):
    """Stand for what brings names to older Pythons that ours has, but for `override`."""

    def __getattr__(self, name: str) -> object:
        """Give Python's own; a decorator that it lacks changes nothing when a program runs."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(typing, name, _as_is)


class _Connector(NamedTuple):
    """Name a way to reach a host, as an installed library offers it."""

    name: str
    place: str

    def load(self) -> object:
        """Import it."""
        module, _, name = self.place.partition(":")
        return getattr(import_module(module), name)


class _Installed(_Unneeded):
    """Stand for what reads the description of every installed library, each time it is asked.

    gevent asks for its plugins two dozen times while it patches, and has none; pyinfra asks for its
    connectors three times a step, and ours are known.
    """

    _offered: ClassVar = {
        "pyinfra.connectors": (
            _Connector("local", "pyinfra.connectors.local:LocalConnector"),
            _Connector("ssh", "pyinfra.connectors.ssh:SSHConnector"),
        )
    }

    def entry_points(self, *, group: str) -> Sequence[_Connector]:
        """List what is offered to a library."""
        return self._offered.get(group, ())

    def version(self, name: str) -> str:
        """Read a version from the name of the folder that describes the library."""
        folders = (found for place in sys.path for found in Path(place).glob(f"{name}-*.dist-info"))
        folder = next(folders, None)
        if folder is None:
            raise LookupError(f"{name} is not installed")
        return folder.name.removeprefix(f"{name}-").removesuffix(".dist-info")


class _Interface:
    """Be the base of what only says what another class has."""


class _Attribute:
    """Be a name that an interface speaks of."""

    def __init__(self, *_said: object) -> None:
        """Keep nothing of what is said about it."""


def _as_is(thing: object) -> object:
    return thing


def _declared(*_interfaces: object) -> Callable[[object], object]:
    """Mark a class with its interfaces, for nobody who would ask."""
    return _as_is


def leave_out() -> None:
    """Keep these libraries from being loaded by whatever is imported from here on."""
    sys.modules["importlib.metadata"] = _Installed("importlib.metadata")
    # gevent says with it what its classes are like.
    sys.modules["zope.interface"] = _with(
        "zope.interface",
        Interface=_Interface,
        Attribute=_Attribute,
        implementer=_declared,
        classImplements=_declared,
    )
    sys.modules["typing_extensions"] = _Typing("typing_extensions")
    # pyinfra compares versions of itself and of others with it, where an inventory asks for some.
    for name in ("packaging", *(f"packaging.{part}" for part in _PACKAGING)):
        sys.modules[name] = _Unneeded(name)
    # Paramiko runs commands of an ssh configuration with it; ours is empty.
    sys.modules["invoke"] = None  # type: ignore[assignment]  # None is how an import is refused
    # pyinfra renders templates with it; ours are rendered before anything is sent.
    sys.modules["jinja2"] = _Unneeded("jinja2")
    # It checks the arguments of operations, and finds all good; ours is one, and mypy checks it.
    sys.modules["typeguard"] = _with(
        "typeguard", check_type=lambda value, _type: value, TypeCheckError=TypeError
    )


def _with(library: str, **names: object) -> ModuleType:
    """Stand for a library of which these names are used."""
    module = _Unneeded(library)
    vars(module).update(names)
    return module
