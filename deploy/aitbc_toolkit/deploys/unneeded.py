"""Which libraries does pyinfra load that nothing here asks anything of? Stand-ins take their place.

They are a quarter of what this child costs before it can connect. One that is asked for something
after all says so, instead of giving a wrong answer. Imported before pyinfra; standard library only.
"""

import sys
import typing
from types import ModuleType
from typing import NoReturn

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


def _as_is(thing: object) -> object:
    return thing


def leave_out() -> None:
    """Keep these libraries from being loaded by whatever is imported from here on."""
    sys.modules["typing_extensions"] = _Typing("typing_extensions")
    # pyinfra compares versions of itself and of others with it, where an inventory asks for some.
    for name in ("packaging", *(f"packaging.{part}" for part in _PACKAGING)):
        sys.modules[name] = _Unneeded(name)
    # Paramiko runs commands of an ssh configuration with it; ours is empty.
    sys.modules["invoke"] = None  # type: ignore[assignment]  # None is how an import is refused
    # pyinfra renders templates with it; ours are rendered before anything is sent.
    sys.modules["jinja2"] = _Unneeded("jinja2")
    # It checks the arguments of operations; ours is one, and mypy has checked it.
    sys.modules["typeguard"] = _unchecked("typeguard")


def _unchecked(name: str) -> ModuleType:
    """Stand for a library that compares values with types, and find every value good."""
    module = _Unneeded(name)
    vars(module).update(check_type=lambda value, _type: value, TypeCheckError=TypeError)
    return module
