"""The sockets of the LAN link, on loopback: the port is ours alone, and what the network refuses ends nothing."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator

import pytest

from pbxfed_ari.core.events import Address
from pbxfed_ari.links.multicast import MulticastLink

HERE = "127.0.0.1"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HERE, 0))
        port: int = sock.getsockname()[1]
        return port


class Ear:
    """A link, and what it has heard."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.link = MulticastLink(HERE, "239.1.2.3", free_port(), self.take, multicast=False)
        self.at: Address = (HERE, self.link.port)

    def take(self, frame: bytes, source: Address, multicast: bool) -> None:
        if frame == b"bad":
            raise OSError(errno.EIO, "a mistake of ours")
        self.heard.put_nowait(frame)


@pytest.fixture
async def ear() -> AsyncIterator[Ear]:
    ear = Ear()
    await ear.link.open()
    yield ear
    ear.link.close()
    await asyncio.sleep(0.01)


async def test_no_other_program_can_take_the_port(ear: Ear) -> None:
    """Not even one that is ready to share it: the kernel would give it what is meant for us."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            thief.bind(ear.at)


async def test_what_the_network_refuses_is_counted_and_the_link_goes_on(ear: Ear) -> None:
    """No way there, nobody there, too long: each costs this datagram, none the socket."""
    ear.link.send(b"x", ("192.0.2.1", 9))  # from loopback: no way
    assert ear.link.errors == 1
    ear.link.send(bytes(65_535), ear.at)
    assert ear.link.errors == 2
    ear.link.send(b"x", (HERE, free_port()))  # nobody listens; the kernel tells it
    for n in range(100):
        ear.link.send(b"%d" % n, ear.at)
    assert [await ear.heard.get() for _ in range(100)] == [b"%d" % n for n in range(100)]
    assert ear.link.errors == 2


async def test_a_mistake_with_one_datagram_leaves_the_next_heard(ear: Ear) -> None:
    """It is told by the loop, and the socket stays open."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    ear.link.send(b"bad", ear.at)
    ear.link.send(b"good", ear.at)
    assert await ear.heard.get() == b"good"
    assert len(told) == 1


async def test_the_longest_datagram_is_heard_whole(ear: Ear) -> None:
    """Those of a join are long."""
    longest = bytes(range(256)) * 255 + bytes(227)  # IPv4 has no more: 65,507
    ear.link.send(longest, ear.at)
    ear.link.send(b"next", ear.at)
    assert await ear.heard.get() == longest
    assert await ear.heard.get() == b"next"
