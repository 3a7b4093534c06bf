"""What a phone speaks SIP through: one UDP socket, and a TCP connection to each server that it has to do with (RFC 3261 §18).

A connection is opened when something is to be sent, from a port of its own, and kept. Its end is told: what waits for an answer
over it need not wait on. A UDP datagram that nobody took is not: an ICMP error is overheard, as most phones do.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from lab.sip import Message, Target

SO_TIMESTAMPNS = 35
LONGEST = 65_535  # bytes of a message


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message, whence, and when (ns): by UDP by the kernel's clock, by TCP when it was read."""

    message: Message
    source: Target
    at: int


class Sockets:
    """All of one phone's."""

    def __init__(
        self,
        address: str,
        port: int,
        *,
        heard: Callable[[Arrived], None],
        lost: Callable[[Target], None],
        start: Callable[[Coroutine[Any, Any, None], str], object],
    ) -> None:
        """`heard`: what takes a message; `lost`: the end of a connection; `start` runs what takes time."""
        self._address, self._heard, self._lost, self._start = address, heard, lost, start
        self._streams: dict[Target, _Stream] = {}
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.setblocking(False)
        self._udp.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._udp.bind((address, port))
        asyncio.get_running_loop().add_reader(self._udp, self._receive)

    def send(self, message: Message, target: Target) -> None:
        """Send, now or as soon as there is a connection."""
        if target.transport == "udp":
            with contextlib.suppress(OSError):  # a cut cable: retransmission or timeout follows
                self._udp.sendto(message.render(), (target.host, target.port))
            return
        stream = self._streams.get(target)
        if stream is None:
            stream = self._streams[target] = _Stream(target, self._heard, self._ended)
            self._start(self._connect(stream), f"connection to {target}")
        stream.write(message.render())

    def drop(self, target: Target) -> None:
        """Give up a connection over which nothing comes any more."""
        if stream := self._streams.pop(target, None):
            stream.close()

    def close(self) -> None:
        """Vanish without a word."""
        for target in list(self._streams):
            self.drop(target)
        asyncio.get_running_loop().remove_reader(self._udp)
        self._udp.close()

    async def _connect(self, stream: _Stream) -> None:
        place, here = (stream.target.host, stream.target.port), (self._address, 0)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: stream, *place, local_addr=here
            )
        except OSError:
            self._ended(stream)

    def _ended(self, stream: _Stream) -> None:
        if self._streams.get(stream.target) is stream:
            del self._streams[stream.target]
            self._lost(stream.target)

    def _receive(self) -> None:
        while True:
            try:
                data, notes, _, source = self._udp.recvmsg(LONGEST, 128)
            except OSError:  # nothing more, or an ICMP error that a timer will deal with
                return
            at = time.time_ns()
            for level, kind, value in notes:
                if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                    seconds, nanoseconds = struct.unpack("qq", value[:16])
                    at = seconds * 1_000_000_000 + nanoseconds
            with contextlib.suppress(ValueError):
                self._heard(Arrived(Message.parse(data), Target(*source), at))


class _Stream(asyncio.Protocol):
    """One connection: messages cut out of its bytes by their Content-Length (RFC 3261 §18.3)."""

    def __init__(
        self,
        target: Target,
        heard: Callable[[Arrived], None],
        ended: Callable[[_Stream], None],
    ) -> None:
        self.target, self._heard, self._ended = target, heard, ended
        self._transport: asyncio.Transport | None = None
        self._closed = False
        self._out, self._in = bytearray(), bytearray()

    def write(self, data: bytes) -> None:
        self._out += data
        self._flush()

    def close(self) -> None:
        self._closed = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._closed:
            transport.abort()
        self._flush()

    def data_received(self, data: bytes) -> None:
        at = time.time_ns()
        self._in += data
        while (whole := self._whole()) > 0:
            with contextlib.suppress(ValueError):
                message = Message.parse(bytes(self._in[:whole]))
                self._heard(Arrived(message, self.target, at))
            del self._in[:whole]

    def connection_lost(self, error: Exception | None) -> None:
        self._ended(self)

    def _flush(self) -> None:
        if self._transport is not None and self._out:
            self._transport.write(bytes(self._out))
            self._out.clear()

    def _whole(self) -> int:
        """How many bytes the first message has, if all of it is here; else 0."""
        del self._in[: len(self._in) - len(self._in.lstrip(b"\r\n"))]  # keep-alives (RFC 5626)
        head = self._in.find(b"\r\n\r\n")
        if head < 0:
            return 0
        found = re.search(rb"\r\n(?:content-length|l)\s*:\s*(\d+)", self._in[:head], re.IGNORECASE)
        length = head + 4 + (int(found.group(1)) if found else 0)
        return length if len(self._in) >= length else 0
