"""What the contract suite needs of each kind of link: several nodes that can hear one another, and a hub if there is one."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from lab.hub import ensure_nats
from lab.netns import Host, Network, within
from lab.places import Places
from lab.root import ensure_tools
from pbxfed_ari import certificates
from pbxfed_ari.core.names import NodeName, federation_tag
from pbxfed_ari.links import engines
from pbxfed_ari.links.loopback import LoopbackNetwork
from pbxfed_ari.links.multicast import MulticastLink, Receive
from pbxfed_ari.links.wan import Access, WanLink

KEY = bytes(range(32))
TAG = federation_tag("pbx.example")
NAMES = [NodeName(name) for name in ("a", "b", "c")]
HERE = "127.0.0.1"

RENDEZVOUS = """
import asyncio, sys
from pathlib import Path
from pbxfed_ari import certificates
from pbxfed_ari.links import engines, wan
folder, listen, tag = sys.argv[1:4]
async def main():
    certificates.write(Path(folder), [bytes(range(32))], "hub", tag)
    access = wan.Access(listen=listen, connect=tuple(sys.argv[4:]))
    link = engines.make("zenoh", access, "hub", tag, Path(folder), lambda frame: None, lambda up, why: None)
    await link.open()
    await asyncio.sleep(600)
asyncio.run(main())
"""


@dataclass
class Heard:
    """One node of a rig, with what it has heard."""

    name: NodeName
    broadcast: Callable[[bytes], None]
    send: Callable[[bytes, int], None]  # to the node of this number
    frames: list[bytes] = field(default_factory=list)
    changes: list[tuple[bool, str]] = field(default_factory=list)
    wan: WanLink | None = None

    @property
    def link(self) -> WanLink:
        """The link, of a node that has a hub."""
        assert self.wan is not None
        return self.wan


class Rig:
    """Three nodes on one kind of link."""

    nodes: list[Heard]

    async def start(self, folder: Path, stack: AsyncExitStack) -> None:
        """Bring the nodes up, all of them listening."""
        raise NotImplementedError

    async def settle(self, holds: Callable[[], bool]) -> None:
        """Give frames the time that they need until something holds; fails if it does not come true."""
        until = time.monotonic() + 40
        while not holds():
            assert time.monotonic() < until, [(n.name, n.frames, n.changes) for n in self.nodes]
            await asyncio.sleep(0.005)

    async def quiet(self) -> None:
        """Give frames that should not come the time to come."""
        await asyncio.sleep(0.2)


class LoopbackRig(Rig):
    """The simulator's network, on its virtual clock."""

    async def start(self, folder: Path, stack: AsyncExitStack) -> None:
        net, addresses = LoopbackNetwork(Random(1)), [(f"10.0.0.{i}", 8781) for i in range(3)]
        self._net = net
        self.nodes = [
            Heard(
                name,
                lambda frame, a=own: net.send(frame, a, None, 0.0),  # type: ignore[misc]
                lambda frame, i, a=own: net.send(frame, a, addresses[i], 0.0),  # type: ignore[misc]
            )
            for name, own in zip(NAMES, addresses, strict=True)
        ]
        for node, own in zip(self.nodes, addresses, strict=True):
            net.attach(own, lambda frame, _, __, n=node: n.frames.append(frame))  # type: ignore[misc]

    async def settle(self, holds: Callable[[], bool]) -> None:
        self._net.deliver(1.0)
        assert holds(), [(n.name, n.frames) for n in self.nodes]

    async def quiet(self) -> None:
        self._net.deliver(1.0)


class MulticastRig(Rig):
    """Real sockets, each in a network namespace of its own on one switch."""

    async def start(self, folder: Path, stack: AsyncExitStack) -> None:
        ensure_tools()
        network = Network(Places(folder).prefix)
        network.remove()
        stack.callback(network.remove)
        addresses = [f"10.77.0.{11 + i}" for i in range(3)]
        hosts = [
            Host(f"{network.prefix}-{name}", f"n-{name}", 0, address)
            for name, address in zip(NAMES, addresses, strict=True)
        ]
        network.build(hosts, 1)
        self.nodes = []
        for name, host in zip(NAMES, hosts, strict=True):
            frames: list[bytes] = []
            link = _Housed(host, lambda frame, source, group, f=frames: f.append(frame))  # type: ignore[misc]
            await link.open()
            stack.callback(link.close)

            def send(frame: bytes, i: int, link: MulticastLink = link) -> None:
                link.send(frame, (addresses[i], link.port))

            self.nodes.append(Heard(name, link.broadcast, send, frames))


class _Housed(MulticastLink):
    """Opens its sockets in a namespace, and uses them from here."""

    def __init__(self, host: Host, receive: Receive) -> None:
        super().__init__(host.address, "239.255.77.80", 8781, receive)
        self._host = host

    def _socket(self, *, to_group: bool) -> socket.socket:
        return within(self._host.namespace, partial(super()._socket, to_group=to_group))


class WanRig(Rig):
    """Nodes that dial a hub, which can be killed. `hubs` of them stand ready."""

    kind: str

    async def start(self, folder: Path, stack: AsyncExitStack, hubs: int = 1) -> None:
        self.folder, self._stack = folder, stack
        self.ports = [free_port() for _ in range(hubs)]
        self._hubs: dict[int, subprocess.Popen[bytes]] = {}
        stack.callback(self.kill_hubs)
        for port in self.ports:
            self.start_hub(port)
        self.nodes = [await self.node(name) for name in NAMES]
        await self.all_up()
        for node in self.nodes:
            node.link.listen(True)
        await self.flows()

    async def node(self, name: str, *, keys: Sequence[bytes] = (KEY,), **access: Any) -> Heard:
        """One more node, its link open."""
        heard = Heard(NodeName(name), lambda frame: None, lambda frame, i: None)
        folder = self.folder / name
        certificates.write(folder, keys, heard.name, TAG)
        loop = asyncio.get_running_loop()

        def receive(frame: bytes) -> None:
            assert asyncio.get_running_loop() is loop  # never from a thread of the engine's
            heard.frames.append(frame)

        link = engines.make(
            self.kind,
            Access(**{"connect": tuple(map(self.url, self.ports)), **access}),
            heard.name,
            TAG,
            folder,
            receive,
            lambda up, reason: heard.changes.append((up, reason)),
        )
        await link.open()
        self._stack.push_async_callback(link.close)
        heard.wan, heard.broadcast = link, link.broadcast
        heard.send = lambda frame, i: link.send(frame, NAMES[i])
        return heard

    async def all_up(self) -> None:
        """Wait until every link is up."""
        await self.settle(lambda: all(node.link.up for node in self.nodes))

    async def flows(self) -> None:
        """Wait until each hears each: subscriptions need a moment to be known."""
        for node in self.nodes:
            others = [n for n in self.nodes if n is not node]
            mark = b"mark of " + node.name.encode()

            def all_heard(
                node: Heard = node, others: list[Heard] = others, mark: bytes = mark
            ) -> bool:
                node.broadcast(mark)
                return all(mark in n.frames for n in others)

            await self.settle(all_heard)
        await self.quiet()
        for node in self.nodes:
            node.frames.clear()

    def url(self, port: int) -> str:
        raise NotImplementedError

    def start_hub(self, port: int) -> None:
        self._hubs[port] = subprocess.Popen(
            self.command(port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def command(self, port: int) -> list[str]:
        raise NotImplementedError

    def kill_hubs(self) -> None:
        for port in list(self._hubs):
            self.kill_hub(port)

    def kill_hub(self, port: int) -> None:
        hub = self._hubs.pop(port)
        hub.kill()
        hub.wait()


class ZenohRig(WanRig):
    """The hub is a node in the rendezvous role, in a process of its own."""

    kind = "zenoh"

    def url(self, port: int) -> str:
        return f"{HERE}:{port}"

    def command(self, port: int) -> list[str]:
        folder = str(self.folder / f"hub{port}")
        others = [self.url(other) for other in self.ports if other != port]
        return [sys.executable, "-c", RENDEZVOUS, folder, self.url(port), TAG, *others]


class NatsRig(WanRig):
    """The hub is Debian's nats-server; several of them are a cluster."""

    kind = "nats"
    arguments: tuple[str, ...] = ()

    def url(self, port: int) -> str:
        return f"nats://{HERE}:{port}"

    def command(self, port: int) -> list[str]:
        program = [str(ensure_nats()), "--addr", HERE, "--port", str(port), *self.arguments]
        if len(self.ports) == 1:
            return program
        routes = ",".join(f"nats://{HERE}:{other + 1}" for other in self.ports if other != port)
        cluster = ["--cluster_name", "test", "--cluster", f"nats://{HERE}:{port + 1}"]
        return [*program, *cluster, "--routes", routes]


def free_port() -> int:
    """A port that nobody has, nor the next one."""
    while True:
        with closing(socket.socket()) as first, closing(socket.socket()) as second:
            first.bind((HERE, 0))
            port = int(first.getsockname()[1])
            try:
                second.bind((HERE, port + 1))
            except OSError:
                continue
            return port
