"""Write the newest packets of some ports to files: `sniffing LEASE_S FOLDER BYTES PORT...`.

Runs on a host, on its own, and ends with its lease. Two files at most, the older one is given up
for a new one, so that it takes no more room than it was given. Standard library only.

Shape: pcap of Ethernet frames, the beginning of each. A file is whole after each record.
"""

import os
import socket
import struct
import sys
import time
from collections.abc import Collection
from pathlib import Path

HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 256, 1)
"""Of a file: microseconds, version 2.4, so many bytes of each packet, Ethernet."""
RECORD = struct.Struct("<IIII")
_SNAP = 256
_ALL = 3  # ETH_P_ALL: both ways
_ETHERNET = (1, 772)  # ARPHRD_ETHER, and that of the loopback, whose frames look the same
_TCP, _UDP = 6, 17
_LINK = 14  # bytes before the packet itself
_V4, _V6 = _LINK + 20, _LINK + 40  # and with the least header
_POLL_S = 0.5


def ports_of(frame: bytes) -> tuple[int, int]:
    """Read the ports of a TCP or UDP packet; (0, 0) of everything else, and of later fragments."""
    kind = frame[12:14]
    if kind == b"\x08\x00" and len(frame) > _V4:
        protocol, at = frame[_LINK + 9], _LINK + 4 * (frame[_LINK] & 15)
        if (frame[_LINK + 6] & 31) or frame[_LINK + 7]:
            return 0, 0
    elif kind == b"\x86\xdd" and len(frame) > _V6:
        protocol, at = frame[_LINK + 6], _V6
    else:
        return 0, 0
    if protocol not in (_TCP, _UDP) or len(frame) < at + 4:
        return 0, 0
    return int.from_bytes(frame[at : at + 2], "big"), int.from_bytes(frame[at + 2 : at + 4], "big")


class Ring:
    """Keep the newest records in two files of a folder."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        self._folder = folder
        self._half = max(len(HEADER) + RECORD.size + _SNAP, bytes_max // 2)
        self._number = 0
        self._size = 0
        self._file = -1
        self._turn()

    def keep(self, frame: bytes, length: int, at_s: float) -> None:
        """Write a packet down, of which `frame` is the beginning."""
        if self._size + RECORD.size + len(frame) > self._half:
            self._turn()
        seconds = int(at_s)
        micros = int((at_s - seconds) * 1_000_000)
        record = RECORD.pack(seconds, micros, len(frame), length) + frame
        os.write(self._file, record)  # whole, or somebody who reads meanwhile gets half of it
        self._size += len(record)

    def _turn(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._number += 1
        self._path(self._number - 2).unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        self._file = os.open(self._path(self._number), flags, 0o600)
        os.write(self._file, HEADER)
        self._size = len(HEADER)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}.pcap"


def main(lease_s: float, folder: str, bytes_max: int, ports: Collection[int]) -> None:
    """Listen until the lease ends."""
    end_s = time.monotonic() + lease_s
    ring, wanted = Ring(Path(folder), bytes_max), frozenset(ports)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL)) as listener:
        listener.settimeout(_POLL_S)
        room = bytearray(_SNAP)
        while time.monotonic() < end_s:
            try:
                length, where = listener.recvfrom_into(room, _SNAP, socket.MSG_TRUNC)
            except TimeoutError:
                continue
            frame = bytes(room[: min(length, _SNAP)])
            if where[3] in _ETHERNET and not wanted.isdisjoint(ports_of(frame)):
                ring.keep(frame, length, time.time())


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2], int(sys.argv[3]), [int(each) for each in sys.argv[4:]])
