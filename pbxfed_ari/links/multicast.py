"""The LAN link: one UDP socket for multicast and unicast on one port.

A datagram to the group reaches every node of the site, however many they are. TTL 1: it never leaves the LAN. Own datagrams
are not looped back. The socket listens on all addresses so that one receiver sees both kinds.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from typing import cast

from pbxfed_ari.core.events import Address
from pbxfed_ari.errors import ConfigError

RECEIVE_BUFFER = 4 * 1024 * 1024  # bytes: a join's or a storm's worth, while the loop is busy
log = logging.getLogger(__name__)


class MulticastLink(asyncio.DatagramProtocol):
    """A socket in the federation's group."""

    def __init__(
        self, address: str, group: str, port: int, receive: Callable[[bytes, Address], None]
    ) -> None:
        """`address` is this node's own: it names the interface. `receive` is called with each datagram and its source."""
        self.address, self.group, self.port = address, group, port
        self._receive = receive
        self._transport: asyncio.DatagramTransport | None = None
        self.frames_sent = self.bytes_sent = self.frames_received = self.bytes_received = 0
        self.errors = 0

    async def open(self) -> None:
        """Join the group.

        Raises: ConfigError, if the address is not this machine's or the port is taken.
        """
        loop = asyncio.get_running_loop()
        try:
            sock = self._socket()
        except OSError as error:
            raise ConfigError(
                f"lan: cannot open UDP {self.address} port {self.port}, group {self.group}: {error.strerror}; "
                "node.address must be an address of this machine and lan.port free"
            ) from None
        await loop.create_datagram_endpoint(lambda: self, sock=sock)

    def close(self) -> None:
        """Leave the group."""
        if self._transport is not None:
            self._transport.close()

    def broadcast(self, frame: bytes) -> None:
        """Send to every node of the site."""
        self.send(frame, (self.group, self.port))

    def send(self, frame: bytes, to: Address) -> None:
        """Send to one address. A frame that cannot go is lost, as on any network."""
        if self._transport is None or self._transport.is_closing():
            return
        self.frames_sent += 1
        self.bytes_sent += len(frame)
        self._transport.sendto(frame, to)

    # --- asyncio.DatagramProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours to use."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """A datagram has come."""
        self.frames_received += 1
        self.bytes_received += len(data)
        self._receive(data, addr)

    def error_received(self, exc: Exception) -> None:
        """The network refused a datagram (no route, no listener): counted; peers that are gone are noticed by silence."""
        self.errors += 1

    def _socket(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        interface = socket.inet_aton(self.address)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        membership = struct.pack("4s4s", socket.inet_aton(self.group), interface)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        sock.bind(("", self.port))
        sock.setblocking(False)
        return sock
