"""What do hosts tell of the nodes that they have switched? Reads their answers, asks nothing."""

from collections.abc import Mapping

from aitbc_toolkit.remote import Row


def processes(rows: Mapping[str, Row]) -> dict[str, int]:
    """Name the process of each node that a host told of."""
    told = [each for row in rows.values() if row.ok for each in row.answer["services"].items()]
    return {name: int(service["pid"]) for name, service in told}


def undrained(rows: Mapping[str, Row]) -> list[str]:
    """List the nodes that were to be drained and were not; an older release cannot be."""
    told = [each for row in rows.values() if row.ok for each in row.answer["drained"].items()]
    return [name for name, drained in told if drained is not None and not drained["in_time"]]
