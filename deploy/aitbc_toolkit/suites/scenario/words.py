"""How is each kind of word written in a scenario file: a duration, a share, a fault, a target?

Which of them stand together is in `schema`.
"""

from typing import Annotated, Literal, get_args

from msgspec import Meta

Behaviour = Literal[
    "equivocate",
    "withhold",
    "amnesia",
    "bad-root",
    "replay",
    "garbage",
    "selective",
    "slander",
    "twin",
]
FAULTS = (
    "net.cut",
    "net.loss",
    "net.rate",
    "net.delay",
    "net.dup",
    "net.reset",
    "proc.kill",
    "proc.stop",
    "proc.freeze",
    "proc.restart",
    "proc.oom",
    "host.reboot",
    "cpu.quota",
    "mem.limit",
    "disk.full",
    "disk.slow",
    "disk.readonly",
    "wal.truncate",
    "wal.lose_unsynced",
    "clock.jump",
    "clock.drift",
    "clock.strobe",
    "peer.flood",
    *(f"byz.{behaviour}" for behaviour in get_args(Behaviour)),
)

# More digits than these are infinite to whoever counts with them.
Duration = Annotated[str, Meta(pattern=r"^[0-9]{1,9}(\.[0-9]+)?(ms|s|m|h)\Z")]
Percent = Annotated[str, Meta(pattern=r"^[0-9]{1,9}(\.[0-9]+)?%\Z")]
Rate = Annotated[str, Meta(pattern=r"^[0-9]{1,9}(\.[0-9]+)?/s\Z")]
Arrivals = Annotated[str, Meta(pattern=r"^[0-9]{1,9}(\.[0-9]+)?(/s|% of knee)\Z")]
Megabytes = Annotated[str, Meta(pattern=r"^[1-9]MB\Z")]
Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]*\Z")]
Value = str | int | float
Targets = str | list[str]
