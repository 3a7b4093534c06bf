"""Joining: a starting node asks three times whether its name is free, then takes it.

Nothing is written or published under a name before. What happens meanwhile at the own Asterisk waits; what an operator asks is
refused. Who has the name, or has heard of a later boot of it than this one, says so (`namesakes.py`).
"""

from dataclasses import replace

from pbxfed_ari.core.effects import Broadcast, Effect, Forward, Reply, SendTo, WanListen
from pbxfed_ari.core.events import Event
from pbxfed_ari.core.federation.ourselves import Ourselves
from pbxfed_ari.core.federation.requests import Request
from pbxfed_ari.core.membership.doors import Doors
from pbxfed_ari.core.membership.members import Members
from pbxfed_ari.core.membership.reach import Reach
from pbxfed_ari.core.messages import Hello
from pbxfed_ari.core.replication.sites import Sites

CALLS = 3  # times that a starting node asks whether its name is free
PAUSE = 0.2  # seconds between them, and before it takes the name
GREETED = 32  # addresses that a node without multicast says its first Hello to, at most


class Joining:
    """This node's way in."""

    def __init__(
        self, ourselves: Ourselves, members: Members, sites: Sites, doors: Doors, reach: Reach
    ) -> None:
        self._ourselves, self._members, self._sites = ourselves, members, sites
        self._doors, self._reach = doors, reach
        self._calls = 0
        self._early: list[Event] = []  # what happened before the name was ours

    def __repr__(self) -> str:
        return f"Joining({self._calls} calls, {len(self._early)} early)"

    def call(self) -> list[Effect]:
        """Ask whether our name is free; nothing, if that was asked often enough."""
        if self._calls == CALLS:
            return []
        self._calls += 1
        call = self._ourselves.hello(joining=True)
        afar: list[Effect] = [WanListen(True), Forward(call)] if self._sites.linked else []
        return [*self.greet(call), *afar]

    def again(self) -> None:
        """Ask anew: until now we asked under another key, or for another epoch."""
        self._calls = 0

    def greet(self, hello: Hello) -> list[Effect]:
        """Say it to the group and to the seeds; where there is no group, to all that we know of."""
        doors = self._doors.seeds if self._reach.multicast else self._doors.closed()[:GREETED]
        return [Broadcast(hello), *(SendTo(door, hello) for door in doors)]

    def outlived(self, epoch: int) -> None:
        """Peers know this epoch of ours (a lost disk, a clock that was ahead): begin above it."""
        if epoch >= self._ourselves.identity.epoch:
            self._ourselves.identity = replace(self._ourselves.identity, epoch=epoch + 1)
            self._members.epoch = epoch + 1
            self.again()

    def wait(self, event: Event) -> list[Effect]:
        """This has happened too early."""
        if isinstance(event, Request):
            return [Reply(event.ticket, 503, error="this node is joining: try again in a second")]
        self._early.append(event)
        return []

    def waited(self) -> list[Event]:
        """What has happened so far, to be taken now."""
        early, self._early = self._early, []
        return early
