"""One contract for all links: what the rest of the daemon relies on, whatever carries the frames."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from pbxfed_ari.wire.codec import MAX_PAYLOAD
from pbxfed_ari.wire.seal import OVERHEAD, SALT, SESSION
from tests.links.rigs import LoopbackRig, MulticastRig, NatsRig, Rig, WanRig, ZenohRig

LARGEST = MAX_PAYLOAD + OVERHEAD + SALT - SESSION  # bytes of the largest frame there is

ALL = {"loopback": LoopbackRig, "multicast": MulticastRig, "zenoh": ZenohRig, "nats": NatsRig}
WAN = {"zenoh": ZenohRig, "nats": NatsRig}


@pytest.fixture(params=ALL)
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    """Three nodes, all listening, on each kind of link."""
    async with AsyncExitStack() as stack:
        made: Rig = ALL[request.param]()
        await made.start(tmp_path, stack)
        yield made


@pytest.fixture(params=WAN)
async def hub(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[WanRig]:
    """Three nodes around one hub."""
    async with AsyncExitStack() as stack:
        made: WanRig = WAN[request.param]()
        await made.start(tmp_path, stack)
        yield made


async def test_a_broadcast_reaches_all_but_its_sender(rig: Rig) -> None:
    """Once each."""
    a, b, c = rig.nodes
    a.broadcast(b"news")
    await rig.settle(lambda: bool(b.frames and c.frames))
    await rig.quiet()
    assert (a.frames, b.frames, c.frames) == ([], [b"news"], [b"news"])


async def test_what_is_sent_to_one_reaches_that_one(rig: Rig) -> None:
    """And nobody else."""
    a, b, c = rig.nodes
    a.send(b"for c", 2)
    c.send(b"for a", 0)
    await rig.settle(lambda: bool(a.frames and c.frames))
    await rig.quiet()
    assert (a.frames, b.frames, c.frames) == ([b"for a"], [], [b"for c"])


async def test_frames_arrive_whole_whatever_is_in_them(rig: Rig) -> None:
    """Every byte value, line ends, nothing that looks like a protocol's own words; up to the largest frame."""
    a, b, _ = rig.nodes
    frames = [bytes(range(256)), b"\r\nMSG x 1 4\r\nPING\r\n", b"\0", os.urandom(LARGEST)]
    for frame in frames:
        a.broadcast(frame)
    await rig.settle(lambda: len(b.frames) == len(frames))
    assert sorted(b.frames) == sorted(frames)


async def test_a_burst_arrives(rig: Rig) -> None:
    """A join's worth of frames, faster than the line."""
    a, b, _ = rig.nodes
    for i in range(200):
        a.send(i.to_bytes(2, "big") + bytes(LARGEST - 2), 1)
    await rig.settle(lambda: len(b.frames) == 200)
    assert {int.from_bytes(frame[:2], "big") for frame in b.frames} == set(range(200))


async def test_who_does_not_listen_hears_nothing(hub: WanRig) -> None:
    """A standby's session is idle; it may speak, and it listens from the moment that it shall."""
    a, b, c = hub.nodes
    b.link.listen(False)
    await hub.quiet()
    a.broadcast(b"one")
    a.send(b"for b", 1)
    b.broadcast(b"of b")
    await hub.settle(lambda: len(c.frames) == 2)
    assert b.frames == []
    b.link.listen(True)
    await hub.flows()
    a.broadcast(b"two")
    await hub.settle(lambda: b.frames == [b"two"])


async def test_what_passes_is_counted(hub: WanRig) -> None:
    """Frames and their bytes, without what the engine puts around them."""
    a, b, _ = hub.nodes
    before = (a.link.frames_sent, a.link.bytes_sent, b.link.frames_received, b.link.bytes_received)
    a.broadcast(b"12345")
    await hub.settle(lambda: bool(b.frames))
    after = (a.link.frames_sent, a.link.bytes_sent, b.link.frames_received, b.link.bytes_received)
    assert [x - y for x, y in zip(after, before, strict=True)] == [1, 5, 1, 5]


async def test_a_hub_that_dies_is_told_and_so_is_its_return(hub: WanRig) -> None:
    """By kill -9. What was sent meanwhile is gone; afterwards frames flow as before, to those who listened."""
    a, b, c = hub.nodes
    c.link.listen(False)
    for node in hub.nodes:
        node.changes.clear()
    hub.kill_hub(hub.ports[0])
    await hub.settle(lambda: all(not n.link.up for n in hub.nodes))
    lost = a.link.errors
    a.broadcast(b"lost")
    assert a.link.errors == lost + 1
    hub.start_hub(hub.ports[0])
    await hub.all_up()
    c.link.listen(True)
    await hub.flows()
    assert b"lost" not in b.frames + c.frames
    for node in hub.nodes:
        assert [up for up, _ in node.changes] == [False, True]
        assert all(reason for _, reason in node.changes)


@pytest.mark.parametrize("kind", WAN)
async def test_any_one_of_two_hubs_suffices(kind: str, tmp_path: Path) -> None:
    """They pass frames on to one another; whoever was with the dead one goes to the other."""
    async with AsyncExitStack() as stack:
        rig: WanRig = WAN[kind]()
        await rig.start(tmp_path, stack, hubs=2)
        one, two = (rig.url(port) for port in rig.ports)
        apart = [
            await rig.node(name, connect=(url,)) for name, url in zip("xy", (one, two), strict=True)
        ]
        rig.nodes += apart
        await rig.all_up()
        for node in apart:
            node.link.listen(True)
        await rig.flows()
        rig.kill_hub(rig.ports[0])
        rig.nodes.remove(apart[0])
        await rig.settle(lambda: not apart[0].link.up)
        await rig.all_up()
        await rig.flows()


@pytest.mark.parametrize("kind", WAN)
async def test_closing_leaves_nothing(kind: str, tmp_path: Path) -> None:
    """No task, no thread, no socket: also while it is still knocking, and with what was not sent yet."""
    async with AsyncExitStack() as stack:
        rig: WanRig = WAN[kind]()
        await rig.start(tmp_path, stack)  # engines keep a few threads, which are then there
        before = (len(asyncio.all_tasks()), _engine_threads(), _sockets())
        for _ in range(3):
            extra = await rig.node("x")
            await rig.settle(lambda: extra.link.up)  # noqa: B023
            extra.link.listen(True)
            extra.broadcast(bytes(1000))
            await extra.link.close()
            assert (extra.link.up, extra.changes[-1][0]) == (False, False)
            knocking = await rig.node("x", connect=(rig.url(1),))
            await asyncio.sleep(0.05)
            await knocking.link.close()
            assert knocking.changes == []
        await rig.settle(
            lambda: (len(asyncio.all_tasks()), _engine_threads(), _sockets()) == before
        )


def _engine_threads() -> int:
    """All but those of asyncio's executor, which grows when it likes."""
    workers = sum(thread.name.startswith("asyncio_") for thread in threading.enumerate())
    return len(os.listdir("/proc/self/task")) - workers


def _sockets() -> int:
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except FileNotFoundError:
            continue  # the listing's own
    return found
