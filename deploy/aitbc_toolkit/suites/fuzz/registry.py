"""Which readers of foreign bytes are there, by name?"""

from collections.abc import Mapping

from aitbc_toolkit.suites.fuzz import clients, connections, disks, peers
from aitbc_toolkit.suites.fuzz.decoder import Decoder

_EVERY = (
    *peers.decoders(),
    *disks.decoders(),
    *clients.decoders(),
    *connections.decoders(),
)
DECODERS: Mapping[str, Decoder] = {decoder.name: decoder for decoder in _EVERY}
