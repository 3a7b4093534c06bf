"""A DNS server for tests: the records that it is given (A and SRV), and nothing else (RFC 1035, RFC 2782).

with DnsBox(sock, {"a.example.": ["10.0.0.1"], "_pbxfed._udp.example.": [("a.example.", 8781)]}):
    ...
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Mapping, Sequence

A, SRV = 1, 33
NAME_ERROR = 3
Record = (
    str | tuple[str, int] | tuple[str, int, int, int]
)  # an IPv4 address, or (target, port, priority, weight)


class DnsBox:
    """Answers at a bound UDP socket, in a thread, until it is left."""

    def __init__(
        self, sock: socket.socket, records: Mapping[str, Sequence[Record]], ttl: int = 60
    ) -> None:
        """`records` by name, each with its last dot; a test may change them meanwhile. `ttl` in seconds."""
        self.records = dict(records)
        self.asked: list[str] = []  # names, in order
        self.port: int = sock.getsockname()[1]
        self._sock, self._ttl = sock, ttl
        self._thread = threading.Thread(target=self._serve, name="dns", daemon=True)
        self._going = True

    def __enter__(self) -> DnsBox:
        self._sock.settimeout(0.1)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._going = False
        self._thread.join()
        self._sock.close()

    def _serve(self) -> None:
        while self._going:
            try:
                query, source = self._sock.recvfrom(4096)
            except TimeoutError:
                continue
            self._sock.sendto(self._answer(query), source)

    def _answer(self, query: bytes) -> bytes:
        end = query.index(0, 12)
        name, kind = _name(query[12:end]), int.from_bytes(query[end + 1 : end + 3], "big")
        self.asked.append(name)
        found = self.records.get(name)
        wanted = [
            _data(record)
            for record in found or ()
            if (SRV if isinstance(record, tuple) else A) == kind
        ]
        flags = 0x8580 | (NAME_ERROR if found is None else 0)
        header = query[:2] + struct.pack("!HHHHH", flags, 1, len(wanted), 0, 0)
        answers = b"".join(
            b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, self._ttl, len(data)) + data
            for data in wanted
        )
        return header + query[12 : end + 5] + answers


def _name(labels: bytes) -> str:
    name = ""
    while labels:
        name += labels[1 : 1 + labels[0]].decode().lower() + "."
        labels = labels[1 + labels[0] :]
    return name


def _data(record: Record) -> bytes:
    if isinstance(record, str):
        return socket.inet_aton(record)
    target, port, *rank = record
    labels = b"".join(bytes((len(part),)) + part.encode() for part in target.rstrip(".").split("."))
    return struct.pack("!HHH", *(rank or (0, 0)), port) + labels + b"\0"
