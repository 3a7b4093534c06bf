"""Ourselves: who this node is in this boot, how well it can serve, and what it says of both: Hello and Heartbeat."""

from dataclasses import dataclass

from pbxfed_ari.core.membership.condition import Condition
from pbxfed_ari.core.membership.members import Members
from pbxfed_ari.core.messages import NUMBERS, PORT, Heartbeat, Hello, domain_mark
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.clocks import DATED, Clocks
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.records.keys import Signer
from pbxfed_ari.core.records.streams import Ancestry
from pbxfed_ari.core.replication.sites import Sites


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this node is, for this boot."""

    name: NodeName
    epoch: int
    address: str
    port: int = PORT
    site: str = "main"
    release: str = ""
    realm: str = "pbxfed"
    lineage: Ancestry = ()


class Ourselves:
    """What this node says of itself."""

    def __init__(
        self,
        identity: Identity,
        condition: Condition,
        *,
        directory: Directory,
        members: Members,
        sites: Sites,
        clocks: Clocks,
        signer: Signer,
    ) -> None:
        self.identity = identity  # until we have joined its epoch may be raised
        self.condition = condition
        self._directory, self._members, self._sites = directory, members, sites
        self._clocks, self._signer = clocks, signer
        self._beats = 0  # heartbeats since the last that had to say the time
        self._number = 0  # of our last heartbeat

    def __repr__(self) -> str:
        return f"Ourselves({self.identity}, {self.condition})"

    def read_clock(self, wall_ms: int, now: float) -> None:
        """What our clock says. If it has stepped, peers hear of it with the next heartbeat."""
        if wall_ms and self._clocks.read(wall_ms, now):
            self._beats = 0

    def hello(self, *, joining: bool = False, ask: bool = False) -> Hello:
        """Who we are: `joining`, and may we have the name? `ask`, and who are you?"""
        i = self.identity
        return Hello(
            i.name,
            i.epoch,
            i.address,
            i.port,
            i.lineage,
            joining,
            ask,
            i.site,
            i.release,
            domain_mark(i.realm),
            clock=self._clocks.read_last,
            signing=self._signer.signing,
            public=self._signer.public,
        )

    def beat(self, now: float) -> Heartbeat:
        """The next heartbeat in turn; now and then one says the time."""
        clock = 0 if self._beats % DATED else self._clocks.seconds(now)
        self._beats += 1
        return self.heartbeat(clock)

    def heartbeat(self, clock: int = 0) -> Heartbeat:
        """How we are, and what we hold."""
        own = (self.identity.name, self.identity.epoch)
        self._number += 1
        return Heartbeat(
            self._directory.streams.held(own),
            self._directory.fingerprint(),
            self._members.incarnation,
            self.condition.ready,
            self._sites.candidate,
            clock,
            self._number % NUMBERS,
            self.condition.word,
        )
