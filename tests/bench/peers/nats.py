"""NATS: a broker on a host of its own, a client on each node."""

from __future__ import annotations

from lab.hub import PORT, ensure_nats, options
from tests.bench.peers.spoken import Spoken
from tests.bench.system import FACT_BYTES


class Nats(Spoken):
    """The last host of the ground is the broker's."""

    kind = "NATS"
    fails = False

    def start(self) -> None:
        """The broker first."""
        broker = self.ground.names[-1]
        address = self.ground.hosts[broker].address
        self.ground.spawn(broker, [str(ensure_nats()), *options(address)])
        super().start()

    def argv(self, node: str) -> list[str]:
        """The client's program."""
        address = self.ground.hosts[self.ground.names[-1]].address
        return ["tests.bench.peers.nats_node", f"nats://{address}:{PORT}", str(FACT_BYTES)]

    def whole(self) -> bool:
        """All clients have subscribed."""
        return all(("here", "all") in self._said(node) for node in self.nodes)
