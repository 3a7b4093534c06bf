"""A peer whose nodes are small programs of ours around its client library: they speak as `peers/node.py` says."""

from __future__ import annotations

import subprocess
import sys
from abc import abstractmethod

from lab.places import CHECKOUT
from tests.bench.ground import Running, until
from tests.bench.peers.install import NATS_CLIENT, library
from tests.bench.system import System


class Spoken(System):
    """Nodes that are told by a pipe and say by their logs."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._pipes: dict[str, Running] = {}
        self._teller: dict[str, str] = {}

    @abstractmethod
    def argv(self, node: str) -> list[str]:
        """The arguments of Python for a node's program."""

    def start(self) -> None:
        """Start every node; they find each other by themselves."""
        env = {"PYTHONPATH": f"{library(NATS_CLIENT)}:{CHECKOUT}"}
        for node in self.nodes:
            self._pipes[node] = self.ground.spawn(
                node,
                [sys.executable, "-m", *self.argv(node)],
                stdin=subprocess.PIPE,
                env=env,
            )
        until(self.whole, 30 + len(self.nodes), f"{self.kind} is whole", every=0.3)

    def tell(self, node: str, fact: str) -> None:
        """Tell one node something new."""
        self._teller[fact] = node
        pipe = self._pipes[node].stdin
        assert pipe is not None
        pipe.write(fact.encode() + b"\n")
        pipe.flush()

    def told(self, fact: str) -> float:
        """When it was told."""
        return self._said(self._teller[fact])["sent", fact]

    def heard(self, fact: str) -> dict[str, float]:
        """When each other node has come to know it."""
        teller = self._teller[fact]
        return self._when("got", fact, but=teller)

    def missed(self, node: str, since: float) -> dict[str, float]:
        """When each other node has said that this one is lost."""
        found = self._when("gone", node, but=node)
        return {n: at for n, at in found.items() if at > since}

    def _when(self, what: str, of: str, *, but: str) -> dict[str, float]:
        said = {n: self._said(n).get((what, of)) for n in self.nodes if n != but}
        return {n: at for n, at in said.items() if at is not None}

    def _said(self, node: str) -> dict[tuple[str, str], float]:
        """The last moment of each thing that a node has said."""
        found: dict[tuple[str, str], float] = {}
        for line in self.ground.log(node).read_text().splitlines():
            at, _, rest = line.partition(" ")
            what, _, of = rest.partition(" ")
            if at.isdecimal():
                found[what, of] = int(at) / 1e9
        return found
