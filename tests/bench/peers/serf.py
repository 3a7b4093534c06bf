"""Serf: an agent on each node, encrypted, LAN profile. What it says stands in its log, stamped when it is read."""

from __future__ import annotations

import base64
import os
import re
import selectors
import socket
import subprocess
import threading
import time
from typing import IO

import msgspec

from lab.netns import socket_in
from tests.bench.ground import Ground, until
from tests.bench.peers.install import serf
from tests.bench.system import FACT_BYTES, System

RPC = ("127.0.0.1", 7373)
_SAID = re.compile(rb"(EventMemberFailed|EventMemberJoin|user-event): (\S+)")


class Serf(System):
    """An agent on each node; the first is the one that the others join."""

    kind = "Serf"

    def __init__(self, ground: Ground, nodes: list[str]) -> None:
        super().__init__(ground, nodes)
        self._said: dict[tuple[str, str, str], float] = {}  # (node, what, of) → last moment
        self._told: dict[str, tuple[str, float]] = {}
        self._selector = selectors.DefaultSelector()
        self._rpc: dict[str, socket.socket] = {}

    def start(self) -> None:
        """Start the agents and wait until each knows all."""
        key = base64.b64encode(os.urandom(16)).decode()
        first = self.ground.hosts[self.nodes[0]].address
        for node in self.nodes:
            address = self.ground.hosts[node].address
            argv = [serf(), "agent", f"-node={node}", f"-bind={address}", "-profile=lan"]
            argv += [f"-rpc-addr={RPC[0]}:{RPC[1]}", f"-encrypt={key}", "-log-level=info"]
            argv += [] if node == self.nodes[0] else [f"-retry-join={first}", "-retry-interval=1s"]
            running = self.ground.spawn(node, argv, stdout=subprocess.PIPE)
            assert running.stdout is not None
            os.set_blocking(running.stdout.fileno(), False)
            self._selector.register(running.stdout, selectors.EVENT_READ, (node, bytearray()))
            time.sleep(0.02)
        threading.Thread(target=self._read, name="serf logs", daemon=True).start()
        until(self.whole, 30 + len(self.nodes), "Serf is whole")

    def _read(self) -> None:
        while self._selector.get_map():
            for key, _ in self._selector.select():
                node, rest = key.data
                pipe: IO[bytes] = key.fileobj  # type: ignore[assignment]
                data, now = pipe.read(65_536), time.monotonic()
                if data == b"":
                    self._selector.unregister(pipe)
                    continue
                rest += data or b""
                *lines, left = bytes(rest).split(b"\n")
                rest[:] = left
                for line in lines:
                    if found := _SAID.search(line):
                        self._said[node, found[1].decode(), found[2].decode()] = now

    def tell(self, node: str, fact: str) -> None:
        """A user event, by the agent's RPC."""
        link = self._rpc.get(node) or self._connect(node)
        body = {"Name": fact, "Payload": b"." * (FACT_BYTES - len(fact)), "Coalesce": False}
        self._told[fact] = (node, time.monotonic())
        link.sendall(_message({"Command": "event", "Seq": 1}, body))
        link.recv(4_096)

    def _connect(self, node: str) -> socket.socket:
        self._rpc[node] = link = socket_in(self.ground.hosts[node].namespace)
        link.connect(RPC)
        link.sendall(_message({"Command": "handshake", "Seq": 0}, {"Version": 1}))
        link.recv(4_096)
        return link

    def told(self, fact: str) -> float:
        """When it was told."""
        return self._told[fact][1]

    def heard(self, fact: str) -> dict[str, float]:
        """When each other agent has logged the event."""
        teller = self._told[fact][0]
        return self._when("user-event", fact, but=teller)

    def missed(self, node: str, since: float) -> dict[str, float]:
        """When each other agent has logged the failure."""
        found = self._when("EventMemberFailed", node, but=node)
        return {n: at for n, at in found.items() if at > since}

    def whole(self) -> bool:
        """Every agent has logged that every other joined, after it had failed if it had."""
        said = dict(self._said)
        for node in self.nodes:
            for other in self.nodes:
                here = said.get((node, "EventMemberJoin", other), 0.0)
                if other != node and here <= said.get((node, "EventMemberFailed", other), 0.0):
                    return False
        return True

    def _when(self, what: str, of: str, *, but: str) -> dict[str, float]:
        said = {n: self._said.get((n, what, of)) for n in self.nodes if n != but}
        return {n: at for n, at in said.items() if at is not None}


def _message(*parts: dict[str, object]) -> bytes:
    return b"".join(msgspec.msgpack.encode(part) for part in parts)
