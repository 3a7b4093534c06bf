"""The sockets, on loopback: UDP and TCP, IPv4 and IPv6, and guests who behave badly."""

import asyncio
import socket
from collections.abc import AsyncIterator
from random import Random

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import pytest

from pbxfed_ari.core.naming.zone import Answer, Asker, Labels, Zone
from pbxfed_ari.dns import server as room
from pbxfed_ari.dns.limit import BURST
from pbxfed_ari.dns.reply import Replier
from pbxfed_ari.dns.server import CONNECTIONS_EACH, QUERIES_EACH, DnsServer, client
from pbxfed_ari.errors import ConfigError
from tests.dns.test_reply import DOMAIN, known


def _hosts() -> tuple[str, ...]:
    """Loopback's addresses: some containers have no IPv6."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return ("127.0.0.1",)
    return ("127.0.0.1", "::1")


HOSTS = _hosts()
QUERY = dns.message.make_query(f"_sip._udp.{DOMAIN}", "SRV")
FRAMED = len(QUERY.to_wire()).to_bytes(2, "big") + QUERY.to_wire()


class Guide:
    """Who asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.zone = Zone(DOMAIN, 5)
        self.signs = known(3)

    def look(self, owner: Labels, kind: str, who: str) -> Answer:
        self.asked.append(who)
        return self.zone.answer(owner, kind, Asker(self.signs, "main", 7, Random(1)))


@pytest.fixture
def guide() -> Guide:
    return Guide()


@pytest.fixture
async def server(guide: Guide) -> AsyncIterator[DnsServer]:
    for attempt in range(5):  # a port that UDP got may be taken for TCP
        found = DnsServer([(host, 0) for host in HOSTS], Replier(guide.zone, guide.look))
        try:
            await found.open()
        except ConfigError:
            if attempt == 4:
                raise
        else:
            break
    yield found
    found.close()
    await asyncio.sleep(0)


@pytest.mark.parametrize("place", range(len(HOSTS)))
async def test_udp_and_tcp_answer_alike(server: DnsServer, guide: Guide, place: int) -> None:
    """At both addresses; the client's address is what decides."""
    host, port = server.places[place]
    for ask in (dns.asyncquery.udp, dns.asyncquery.tcp):
        answer = await ask(QUERY, host, port=port, timeout=5)
        assert answer.rcode() == dns.rcode.NOERROR
        assert len(answer.answer[0]) == 3
    assert guide.asked == [host, host]
    assert (server.queries, server.answers) == (2, 2)


async def test_a_truncated_answer_is_whole_by_tcp(server: DnsServer, guide: Guide) -> None:
    """As every resolver does it."""
    guide.signs = known(8, 30)
    host, port = server.places[0]
    answer, tcp = await dns.asyncquery.udp_with_fallback(QUERY, host, port=port, timeout=5)
    assert tcp
    assert len(answer.answer[0]) == 8


async def test_a_flood_is_told_to_come_by_tcp(server: DnsServer) -> None:
    """And there it is answered."""
    host, port = server.places[0]
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect((host, port))
        flags = 0
        for _ in range(200):
            await loop.sock_sendall(sock, QUERY.to_wire())
            await asyncio.sleep(0)
        while not flags & dns.flags.TC:
            said = await asyncio.wait_for(loop.sock_recv(sock, 4_096), 5)
            flags = dns.message.from_wire(said).flags
    assert server.limited > 0
    assert (await dns.asyncquery.tcp(QUERY, host, port=port, timeout=5)).answer


async def test_no_other_program_can_take_its_port(server: DnsServer) -> None:
    """Not even one that is ready to share it: it would be asked instead of us."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            thief.bind(server.places[0])


async def test_garbage_by_udp_leaves_it_answering(server: DnsServer) -> None:
    """Of any length."""
    host, port = server.places[0]
    rng = Random(4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for length in (0, 1, 11, 12, 40, 500, 4_095, 4_096, 5_000, 60_000):
            sock.sendto(rng.randbytes(length), (host, port))
    await asyncio.sleep(0.05)
    assert (await dns.asyncquery.udp(QUERY, host, port=port, timeout=5)).answer


async def test_a_flood_by_tcp_ends_its_connections(server: DnsServer) -> None:
    """An answer costs us more than the question its sender."""
    answers = 0
    for _ in range(4):
        reader, writer = await asyncio.open_connection(*server.places[0])
        writer.write(FRAMED * 50)
        try:
            while length := await reader.read(2):
                await reader.readexactly(int.from_bytes(length, "big"))
                answers += 1
                if answers % 50 == 0:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        writer.close()
    assert BURST - 50 <= answers < 150
    assert server.limited > 0


async def test_queries_of_one_connection_are_answered_in_order(server: DnsServer) -> None:
    """Together, or byte by byte."""
    reader, writer = await asyncio.open_connection(*server.places[0])
    writer.write(FRAMED * 3)
    for byte in FRAMED:
        writer.write(bytes((byte,)))
        await writer.drain()
    for _ in range(4):
        length = int.from_bytes(await reader.readexactly(2), "big")
        answer = dns.message.from_wire(await reader.readexactly(length))
        assert QUERY.is_response(answer)
    writer.close()


async def test_a_connection_has_so_many_queries(server: DnsServer) -> None:
    """Then it is closed, what was asked answered."""
    reader, writer = await asyncio.open_connection(*server.places[0])
    writer.write(FRAMED * (QUERIES_EACH + 5))
    answers = 0
    while length := await reader.read(2):
        await reader.readexactly(int.from_bytes(length, "big"))
        answers += 1
    assert answers == QUERIES_EACH
    writer.close()


async def test_an_address_has_so_many_connections(server: DnsServer) -> None:
    """One more ends at once; when others end there is room again."""
    held = [await asyncio.open_connection(*server.places[0]) for _ in range(CONNECTIONS_EACH)]
    reader, writer = await asyncio.open_connection(*server.places[0])
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    writer.close()
    for _, other in held:
        other.close()
    for _ in range(100):
        await asyncio.sleep(0.01 if server.connections else 0)
    host, port = server.places[0]
    assert (await dns.asyncquery.tcp(QUERY, host, port=port, timeout=5)).answer


async def test_who_is_slow_is_left(server: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then is no query."""
    monkeypatch.setattr(room, "IDLE", 0.2)
    reader, writer = await asyncio.open_connection(*server.places[0])
    began = asyncio.get_running_loop().time()

    async def drip() -> None:
        for byte in FRAMED[:-1]:
            writer.write(bytes((byte,)))
            await asyncio.sleep(0.02)

    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.gather(drip(), reader.readexactly(1))
    assert asyncio.get_running_loop().time() - began < 1
    assert not server.connections
    writer.close()


@pytest.mark.parametrize("sent", [b"\xff\xff", b"\0\0", b"\0\5hello", b"GET / HTTP/1.1\r\n\r\n"])
async def test_what_is_no_dns_ends_the_connection(server: DnsServer, sent: bytes) -> None:
    """At once."""
    reader, writer = await asyncio.open_connection(*server.places[0])
    writer.write(sent)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 2)
    writer.close()


async def test_a_fault_of_ours_is_logged_and_survived(
    server: DnsServer,
    guide: Guide,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A query must not stop what serves calls."""
    monkeypatch.setattr(server, "replier", None)
    assert server.answer(QUERY.to_wire(), "192.0.2.1", udp=True) is None
    assert "could not be answered" in caplog.text


async def test_a_place_that_cannot_be_had_is_refused_by_name(
    server: DnsServer, guide: Guide
) -> None:
    """Taken, or another machine's."""
    for place in (server.places[0], ("192.0.2.1", 0)):
        other = DnsServer([place], Replier(guide.zone, guide.look))
        with pytest.raises(ConfigError, match=r"dns.listen: .*must be an address of this machine"):
            await other.open()


def test_addresses_are_as_they_are_written_elsewhere() -> None:
    """Networks of sites must match them."""
    assert client("::ffff:10.0.0.1") == "10.0.0.1"
    assert client("fe80::1%eth0") == "fe80::1"
