"""Which lengths and ranges may the fields of records have that come from outside?

The annotations are what the decoder enforces. Do not add rules that need the state.
"""

import unicodedata
from typing import Annotated

from msgspec import Meta

from aitbc_node import limits
from aitbc_node.types import Address, Amount

NAME_BYTES_MAX = 64
DECIMALS_MAX = 18

Count = Annotated[int, Meta(ge=0, le=limits.INT_MAX)]
Money = Annotated[Amount, Meta(ge=0, le=limits.INT_MAX)]
Gain = Annotated[Amount, Meta(ge=1, le=limits.INT_MAX)]
Ticker = Annotated[str, Meta(min_length=1, max_length=limits.TICKER_CHARS_MAX)]
Decimals = Annotated[int, Meta(ge=0, le=DECIMALS_MAX)]
AccountName = Annotated[Address, Meta(min_length=20, max_length=20)]


def is_plain_text(text: str, *, bytes_max: int) -> bool:
    """Judge text for people in a way that is the same under every Python version.

    Unicode promises that the NFC form of characters assigned in a version never changes later; for
    characters that are newer than a node's tables two nodes could disagree. Hence only characters
    of Unicode 3.2, whose tables every Python carries, as in RFC 3454.
    """
    if text.isascii():
        return len(text) <= bytes_max
    if len(text.encode()) > bytes_max or not unicodedata.is_normalized("NFC", text):
        return False
    return all(unicodedata.ucd_3_2_0.category(char) != "Cn" for char in text)
