"""How do the ids of several transactions stand in one text? Behind each other, in hex digits.

That is how nodes tell them in their short form. Pure. Do not add what is known of them.
"""

from typing import Final

ID_CHARS: Final = 64


def names_in(ids: str) -> list[str]:
    """Take ids apart."""
    return [ids[at : at + ID_CHARS] for at in range(0, len(ids), ID_CHARS)]
