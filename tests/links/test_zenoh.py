"""What only the zenoh link has: the rendezvous role and the certificates."""

from __future__ import annotations

import os
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from pbxfed_ari import certificates
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.errors import ConfigError
from pbxfed_ari.links.wan import SILENCE
from tests.links.rigs import HERE, KEY, TAG, ZenohRig, free_port

NEW = b"n" * 32


async def test_a_rendezvous_is_a_node_like_any_other(tmp_path: Path) -> None:
    """It hears and speaks over its own session; alone it is not connected, and it goes on when the others leave."""
    async with AsyncExitStack() as stack:
        rig = ZenohRig()
        await rig.start(tmp_path, stack)
        url = f"{HERE}:{free_port()}"
        r = await rig.node("r", connect=(), listen=url)
        await rig.quiet()
        assert not r.link.up
        x = await rig.node("x", connect=(url,))
        rig.nodes = [r, x]
        await rig.all_up()
        for node in rig.nodes:
            node.link.listen(True)
        await rig.flows()
        await x.link.close()
        await rig.settle(lambda: not r.link.up)
        await x.link.open()
        await rig.all_up()
        await rig.flows()


async def test_another_federation_is_refused_and_told(tmp_path: Path) -> None:
    """It has the port and the topic, and not the key."""
    async with AsyncExitStack() as stack:
        rig = ZenohRig()
        await rig.start(tmp_path, stack)
        stranger = await rig.node("x", keys=[NEW])
        await rig.settle(lambda: "no session" in stranger.link.reason)
        assert not stranger.link.up
        assert stranger.link.reason.startswith(f"{HERE}:{rig.ports[0]}: ")


async def test_a_renewed_certificate_is_taken_up(tmp_path: Path) -> None:
    """While the key is replaced, who knows both keys and who knows only the old one still meet."""
    async with AsyncExitStack() as stack:
        rig = ZenohRig()
        await rig.start(tmp_path, stack)
        first = (tmp_path / "a" / "node.pem").read_bytes()
        certificates.write(tmp_path / "a", [NEW, KEY], NodeName("a"), TAG)
        assert (tmp_path / "a" / "node.pem").read_bytes() != first
        rig.nodes[0].link.reload()
        assert not rig.nodes[0].link.up
        await rig.all_up()
        await rig.flows()


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """Before anything is started."""
    async with AsyncExitStack() as stack:
        rig = ZenohRig()
        await rig.start(tmp_path, stack)
        with socket.create_server((HERE, 0)) as taken:
            url = f"{HERE}:{taken.getsockname()[1]}"
            with pytest.raises(
                ConfigError, match=f"wan.listen = '{url}': Address already in use; "
            ):
                await rig.node("x", listen=url)


async def test_the_kernel_ends_a_line_that_is_dead(tmp_path: Path) -> None:
    """Otherwise a session that was writing when the network went would be mourned for as long as TCP hopes."""
    async with AsyncExitStack() as stack:
        rig = ZenohRig()
        await rig.start(tmp_path, stack)
        lines = [stack.enter_context(sock) for sock in connected_to(rig.ports[0])]
        option = (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert len(lines) >= 3
        assert {line.getsockopt(*option) for line in lines} == {SILENCE * 1000}


def connected_to(port: int) -> list[socket.socket]:
    """This process's own connections with that port; they end with the test."""
    found = []
    for entry in os.listdir("/proc/self/fd"):
        try:
            handle = os.dup(int(entry))
        except OSError:
            continue  # the listing's own
        try:
            sock = socket.socket(fileno=handle)
        except OSError:
            os.close(handle)  # a file
            continue
        try:
            ours = sock.type == socket.SOCK_STREAM and sock.getpeername()[1:] == (port,)
        except OSError:
            ours = False  # not connected
        if ours:
            found.append(sock)
        else:
            sock.close()
    return found
