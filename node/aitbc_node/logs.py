"""How log lines look: JSON for machines, one short line for a terminal.

A line is an event's stable dotted name and fields. Do not decide here what is logged.
"""

import json
import logging
import sys
from typing import Any

_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


class JsonLines(logging.Formatter):
    """Write a record as one JSON object."""

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        """Return one line; a traceback becomes a field."""
        line: dict[str, Any] = {
            "time_ms": int(record.created * 1000),
            "level": record.levelname.lower(),
            "node": self._node,
            "event": record.getMessage(),
        }
        line |= fields_of(record)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextLines(logging.Formatter):
    """Write a record for a person."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time, event and fields; a traceback follows on lines of its own."""
        fields = " ".join(f"{name}={value}" for name, value in fields_of(record).items())
        text = f"{self.formatTime(record, '%H:%M:%S')} {record.getMessage():20} {fields}".rstrip()
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return what was given as `extra`."""
    return {name: value for name, value in record.__dict__.items() if name not in _OWN}


def set_up(*, node: str, level: str, style: str) -> None:
    """Send all records to standard output, in one of the two forms."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(node) if style == "json" else TextLines())
    logging.basicConfig(level=_LEVELS.get(level, logging.ERROR), handlers=[handler], force=True)
