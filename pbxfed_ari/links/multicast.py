"""The LAN link: two UDP sockets on one port, so that it is seen how a datagram came.

One is bound to the group's address and only receives; the other is bound to this node's own, receives what is meant for this
node alone, and sends everything. A datagram to the group reaches every node of the site, however many they are. TTL 1: it
never leaves the LAN. Own datagrams are not looped back.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import cast

from pbxfed_ari.core.events import Address
from pbxfed_ari.errors import ConfigError

RECEIVE_BUFFER = 4 * 1024 * 1024  # bytes: a join's or a storm's worth, while the loop is busy
Receive = Callable[[bytes, Address, bool], None]  # datagram, source, whether it went to the group


class MulticastLink:
    """The sockets of one node, in the federation's group unless there is none."""

    def __init__(
        self, address: str, group: str, port: int, receive: Receive, *, multicast: bool = True
    ) -> None:
        """`address` is this node's own: it names the interface. `multicast` False: unicast only, no group is joined."""
        self.address, self.group, self.port = address, group, port
        self.multicast = multicast
        self._receive = receive
        self._transports: list[asyncio.DatagramTransport] = []  # that of our own address first
        self.frames_sent = self.bytes_sent = self.frames_received = self.bytes_received = 0
        self.errors = 0  # datagrams that the network refused: no route, no listener

    async def open(self) -> None:
        """Open the sockets, join the group.

        Raises: ConfigError, if the address is not this machine's, the port is taken or there is no multicast here.
        """
        loop = asyncio.get_running_loop()
        for to_group in (False, True) if self.multicast else (False,):
            try:
                sock = self._socket(to_group=to_group)
            except OSError as error:
                self.close()
                where = self.group if to_group else self.address
                remedy = (
                    "an interface without multicast wants lan.multicast = false"
                    if to_group
                    else "node.address must be an address of this machine"
                )
                raise ConfigError(
                    f"lan: cannot open UDP {where} port {self.port}: {error.strerror}; lan.port must be free, and {remedy}"
                ) from None
            receiver = partial(_Receiver, self, to_group=to_group)
            transport, _ = await loop.create_datagram_endpoint(receiver, sock=sock)
            # libuv sets it, and then another program may bind to the same port and take what is ours
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            self._transports.append(transport)

    def close(self) -> None:
        """Leave the group."""
        while self._transports:
            self._transports.pop().close()

    def broadcast(self, frame: bytes) -> None:
        """Send to every node of the site."""
        self.send(frame, (self.group, self.port))

    def send(self, frame: bytes, to: Address) -> None:
        """Send to one address. A frame that cannot go is lost, as on any network."""
        if not self._transports:
            return
        self.frames_sent += 1
        self.bytes_sent += len(frame)
        self._transports[0].sendto(frame, to)

    def received(self, frame: bytes, source: Address, multicast: bool) -> None:
        """A datagram has come."""
        self.frames_received += 1
        self.bytes_received += len(frame)
        self._receive(frame, source, multicast)

    def _socket(self, *, to_group: bool) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            interface = socket.inet_aton(self.address)
            if to_group:
                membership = struct.pack("4s4s", socket.inet_aton(self.group), interface)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            else:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
            sock.bind((self.group if to_group else self.address, self.port))
            sock.setblocking(False)
        except OSError:
            sock.close()
            raise
        return sock


class _Receiver(asyncio.DatagramProtocol):
    """What comes in at one socket."""

    def __init__(self, link: MulticastLink, *, to_group: bool) -> None:
        self._link = link
        self._to_group = to_group

    def datagram_received(self, data: bytes, addr: object) -> None:
        """A datagram has come."""
        self._link.received(data, cast(Address, addr), self._to_group)

    def error_received(self, exc: Exception) -> None:
        """The network refused a datagram (no route, no listener); peers that are gone are noticed by silence."""
        self._link.errors += 1
