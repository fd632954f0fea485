"""On which line of a TOML text does a key stand?

For people who have to find it; what the text means is read by `tomllib`. Do not judge here.
"""

import re

_TABLE = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""\s*([A-Za-z0-9_."'-]+)\s*=""")


def line_of(text: str, key: str) -> int:
    """Find the line of a dotted key, or of the table that it would stand in; 0 for neither."""
    lines: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if found := _TABLE.match(line):
            table = _bare(found[1])
            lines.setdefault(table, number)
        elif found := _KEY.match(line):
            lines.setdefault(".".join(filter(None, (table, _bare(found[1])))), number)
    while key and key not in lines:
        key = key.rpartition(".")[0]
    return lines.get(key, 0)


def _bare(written: str) -> str:
    return written.replace('"', "").replace("'", "").replace(" ", "")
