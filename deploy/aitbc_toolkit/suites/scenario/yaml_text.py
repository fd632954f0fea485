"""What does the text of a YAML file hold, and on which line does each part of it stand?

The only module that knows the YAML library. Only plain data: no tags, no aliases, no key twice.
"""

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, NamedTuple

import yaml

Path = tuple[str | int, ...]

_SHOWN_MAX = 20
_DEPTH_MAX = 20


class Text(NamedTuple):
    """Hold plain data, and the line of each part by the keys that lead to it."""

    data: Any
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """Return the line of a part, or that of the nearest part around it."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)


class YamlError(Exception):
    """Say what is no YAML of ours, and where."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line
        self.what = what


def read(text: str) -> Text:
    """Take a text apart. Raises: YamlError."""
    try:
        _require_flat(yaml.parse(text, yaml.SafeLoader))
        top = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as wrong:
        mark = wrong.problem_mark
        raise YamlError(mark.line + 1 if mark else 1, f"not YAML: {wrong.problem}") from wrong
    except yaml.reader.ReaderError as wrong:
        line = text.count("\n", 0, wrong.position) + 1
        raise YamlError(line, f"not YAML: {wrong.reason}") from wrong
    if top is None:
        raise YamlError(1, "the file is empty")
    lines: dict[Path, int] = {}
    return Text(_plain(top, (), lines), lines)


def _require_flat(events: Iterable[yaml.Event]) -> None:
    """Refuse what cannot be gone through: a part stands in few others, and in each once."""
    depth = 0
    for event in events:
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise YamlError(line, "aliases are not used in scenarios")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEPTH_MAX:
            raise YamlError(line, f"nothing of a scenario stands {_DEPTH_MAX} deep")


def _plain(node: yaml.Node, path: Path, lines: dict[Path, int]) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in found:
                raise YamlError(line, f"{name} stands here twice")
            lines[*path, name] = line
            found[name] = _plain(value, (*path, name), lines)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_plain(each, (*path, place), lines) for place, each in enumerate(node.value)]
    return _scalar(node)


def _number(kind: type[int] | type[float], node: yaml.Node) -> float:
    """Read a number that something can be worked out with; YAML has `.inf` and `.nan` as well."""
    try:
        found = kind(node.value)
        if isfinite(found):
            return found
    except (ValueError, OverflowError):
        pass
    written = node.value if len(node.value) <= _SHOWN_MAX else f"{node.value[:_SHOWN_MAX]}..."
    line = node.start_mark.line + 1
    raise YamlError(line, f"{written} is no finite number; text stands in quotation marks")


def _scalar(node: yaml.Node) -> Any:
    """Read text, numbers and truth; a date or a time of day stays the text that it was."""
    match node.tag.rpartition(":")[2]:
        case "int" if node.value.lstrip("-").isdigit():
            return _number(int, node)
        case "float":
            return _number(float, node)
        case "bool":
            return node.value in {"true", "True"}
        case "null":
            return None
        case _:
            return node.value
