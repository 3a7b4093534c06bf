"""zenoh: sessions that find one another by multicast scouting and hold a TCP mesh."""

from __future__ import annotations

from tests.bench.peers.spoken import Spoken
from tests.bench.system import FACT_BYTES


class Zenoh(Spoken):
    """A session on each node."""

    kind = "zenoh"

    def argv(self, node: str) -> list[str]:
        """The session's program."""
        address = self.ground.hosts[node].address
        return ["tests.bench.peers.zenoh_node", node, address, str(FACT_BYTES)]

    def whole(self) -> bool:
        """Every session sees the token of every other."""
        for node in self.nodes:
            said = self._said(node)
            for other in self.nodes:
                here = said.get(("here", other), 0.0)
                if other != node and here <= said.get(("gone", other), 0.0):
                    return False
        return True
