"""How is memory given back? Seldom looked for: nearly all is let go by counting.

Do not add what makes circles, or breaks them.
"""

import ctypes
import gc

NEW_OBJECTS, ROUNDS = 20_000, 5
"""So many are made until the collector looks for circles among them, and so often until it looks
among older ones.

Nearly all that the node makes is let go by counting. With the usual 700 it looks at transactions on
their way, which are alive, again and again: 3 us for each of them. A connection that has ended is a
circle, of 23 objects and at most 128 KiB of a body that was refused: 110 MB at the worst, of those
that end before it looks. One that it has found alive waits for 6 such looks, found so twice for 36;
and those last ones wait until a quarter of what such a look found alive has been added.
"""
LOOK_S = 60.0
"""So often it looks among all: a quiet node makes so little that the rounds above take hours, and
each link that has ended meanwhile holds its part of TLS, some tens of KiB."""


def collect_seldom() -> None:
    """Keep the garbage collector away from what lives long, and from what has just been made."""
    gc.collect()
    gc.freeze()  # the chain's state lives long; looking at it again and again is in vain
    # Or it would not look at what is oldest before a quarter of the state's objects came beside it.
    gc.collect()
    gc.set_threshold(NEW_OBJECTS, ROUNDS, ROUNDS)


_libc = ctypes.CDLL(None)
_trim = getattr(_libc, "malloc_trim", None)
"""Gives whole pages that are free back to the system; other C libraries than glibc have none."""
if _trim is not None:
    _trim.argtypes = [ctypes.c_size_t]
_mallopt = getattr(_libc, "mallopt", None)
_ARENA_MAX = -8
"""`M_ARENA_MAX` of glibc's `malloc.h`: how many heaps its threads share."""


def share_one_heap() -> None:
    """Let all threads share the C library's one heap; before the first of them starts.

    By default each gets its own, in which what is free between two blocks serves no other: such
    room grew as fast as all else together.
    """
    if _mallopt is not None:
        _mallopt(_ARENA_MAX, 1)


def look_at_all() -> None:
    """Find all circles that are left behind by now, and give free pages back; takes some ms.

    What links that ended held lies between what lives on: where nobody looks, the process keeps it.
    With 100 MB in the C library's heap it takes 10 to 20 ms.
    """
    gc.collect()
    if _trim is not None:
        _trim(0)
