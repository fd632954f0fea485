"""How is a line of a node's log written for people? Pure; where lines come from is not asked."""

import json

_LOG_CHARS = 160


def said(line: str) -> str:
    """Write one line of a node's log for people: the event and its fields, a traceback's end."""
    try:
        fields = json.loads(line)
    except ValueError:
        return line[:_LOG_CHARS]
    if not isinstance(fields, dict):
        return line[:_LOG_CHARS]
    for name in ("time_ms", "node"):
        fields.pop(name, None)
    level, event = fields.pop("level", ""), fields.pop("event", "")
    if "traceback" in fields:
        fields["traceback"] = str(fields["traceback"]).strip().splitlines()[-1]
    told = " ".join(f"{name}={value}" for name, value in fields.items())
    return f"{level} {event} {told}".strip()[:_LOG_CHARS]
