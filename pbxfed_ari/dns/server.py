"""The sockets: UDP and TCP at each address. TCP is bounded in connections, in silence and in what a reader leaves unread."""

import asyncio
import logging
import socket
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from ipaddress import IPv6Address, ip_address
from typing import cast

from pbxfed_ari.dns.limit import Limit, Verdict
from pbxfed_ari.dns.reply import LONGEST, Replier, truncated
from pbxfed_ari.errors import ConfigError

IDLE = 5.0  # seconds in which the next whole query must have come (RFC 7766 §6.2.3)
CONNECTIONS = 100
CONNECTIONS_EACH = 10  # of one address; a resolver needs few (RFC 7766 §6.2.2)
QUERIES_EACH = 100  # of one connection
UNREAD = 64 * 1024  # bytes of answers that a reader may leave
log = logging.getLogger("pbxfed.dns")
Where = tuple[str, int]


class DnsServer:
    """Answers by UDP and TCP."""

    def __init__(self, places: Sequence[Where], replier: Replier) -> None:
        """`places` are one host's addresses each; port 0 is any, the same for UDP and TCP."""
        self.replier = replier
        self.queries = self.answers = self.limited = 0
        self.places: list[Where] = []  # where it listens
        self.connections: Counter[str] = Counter()  # by address
        self._wanted = places
        self._limits = {True: Limit(), False: Limit()}  # of UDP, of TCP
        self._open: set[_Connection] = set()
        self._udp: list[asyncio.DatagramTransport] = []
        self._tcp: list[asyncio.Server] = []

    async def open(self) -> None:
        """Open all sockets.

        Raises: ConfigError: an address is not this machine's, a port is taken, or ports below 1024 are not for this user.
        """
        loop = asyncio.get_running_loop()
        for host, port in self._wanted:
            try:
                udp = _bound(host, port, socket.SOCK_DGRAM)
                transport, _ = await loop.create_datagram_endpoint(
                    partial(_Datagrams, self), sock=udp
                )
                # libuv sets it, and then another program may bind to the same port and be asked instead
                udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
                self._udp.append(transport)
                place = (host, udp.getsockname()[1])
                tcp = _bound(*place, socket.SOCK_STREAM)
                self._tcp.append(await loop.create_server(partial(_Connection, self), sock=tcp))
            except OSError as error:
                self.close()
                raise ConfigError(
                    f"dns.listen: {host} port {port}: {error.strerror or error}; it must be an address of this machine "
                    "whose port is free; for port 53 the daemon needs CAP_NET_BIND_SERVICE"
                ) from None
            self.places.append(place)

    def close(self) -> None:
        """Close all."""
        for server in self._tcp:
            server.close()
        for connection in list(self._open):
            connection.end()
        while self._udp:
            self._udp.pop().close()
        self._tcp.clear()

    def answer(self, query: bytes, client: str, *, udp: bool) -> bytes | None:
        """What to send back, if anything."""
        self.queries += 1
        verdict = self._limits[udp].judge(client, time.monotonic())
        if verdict is not Verdict.ANSWER:
            self.limited += 1
            return truncated(query) if udp and verdict is Verdict.TRUNCATE else None
        try:
            said = self.replier.reply(query, client, udp=udp)
        except Exception:  # a query must not stop the daemon
            log.exception("a DNS query of %s could not be answered: %s", client, query[:64].hex())
            return None
        self.answers += said is not None
        return said

    def admit(self, connection: "_Connection") -> bool:
        """May this one stay?"""
        each = self.connections[connection.client] < CONNECTIONS_EACH
        if not each or len(self._open) >= CONNECTIONS:
            return False
        self._open.add(connection)
        self.connections[connection.client] += 1
        return True

    def forget(self, connection: "_Connection") -> None:
        """It has ended."""
        if connection in self._open:
            self._open.remove(connection)
            self.connections[connection.client] -= 1
            if not self.connections[connection.client]:
                del self.connections[connection.client]


class _Datagrams(asyncio.DatagramProtocol):
    """What comes in at one UDP socket."""

    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is read."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """A query. What is not taken by the network at once is lost, as on any network."""
        transport = self._transport
        if addr[1] == 0 or transport is None or transport.get_write_buffer_size():  # type: ignore[attr-defined]
            return
        said = self._server.answer(data[: LONGEST + 1], client(addr[0]), udp=True)
        if said is not None:
            transport.sendto(said, addr)

    def error_received(self, exc: Exception) -> None:
        """Somebody did not wait for his answer."""


class _Connection(asyncio.Protocol):
    """One TCP connection: messages with their length in front (RFC 1035 §4.2.2), answered in order."""

    def __init__(self, server: DnsServer) -> None:
        self.client = ""
        self._server = server
        self._held = b""
        self._asked = 0
        self._transport: asyncio.Transport | None = None
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stays, or ends at once."""
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.client = client(peer[0]) if peer else ""
        if not peer or not self._server.admit(self):
            return self._transport.abort()
        self._transport.set_write_buffer_limits(high=UNREAD)
        return self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        if self._idle is not None:
            self._idle.cancel()
        self._server.forget(self)

    def pause_writing(self) -> None:
        """It asks and does not read."""
        self.end()

    def data_received(self, data: bytes) -> None:
        """Some of a query, or several."""
        self._held += data
        while self._transport is not None and not self._transport.is_closing():
            length = int.from_bytes(self._held[:2], "big")
            if len(self._held) >= 2 and length > LONGEST:
                return self.end()
            if len(self._held) < 2 or len(self._held) < 2 + length:
                return None
            query, self._held = self._held[2 : 2 + length], self._held[2 + length :]
            said = self._server.answer(query, self.client, udp=False)
            self._asked += 1
            if said is None:
                return self.end()
            self._transport.write(len(said).to_bytes(2, "big") + said)
            if self._asked >= QUERIES_EACH:
                return self._transport.close()
            self._wait()
        return None

    def end(self) -> None:
        """End it, whatever has not been read."""
        if self._transport is not None:
            self._transport.abort()

    def _wait(self) -> None:
        """For the next query; each byte of it does not count."""
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(IDLE, self.end)


def client(address: str) -> str:
    """Who asks, without a zone index; an IPv4 address as one."""
    ip = ip_address(address.partition("%")[0])
    return str((isinstance(ip, IPv6Address) and ip.ipv4_mapped) or ip)


def _bound(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, kind)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock
