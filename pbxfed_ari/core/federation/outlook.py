"""The outlook: all that a call, an operator or a phone's file may ask of the federation, at this moment.

What is known stands in the directory, who lives among the members. Here both are put together: who is registered *on a node
that lives*, who may be called, who is responsible. The federation alone changes it.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from pbxfed_ari.core import handouts
from pbxfed_ari.core.effects import SendTo
from pbxfed_ari.core.events import Address, wan
from pbxfed_ari.core.federation import vault
from pbxfed_ari.core.federation.gate import Gate
from pbxfed_ari.core.federation.ourselves import Ourselves
from pbxfed_ari.core.handouts import Handouts
from pbxfed_ari.core.membership import takeover
from pbxfed_ari.core.membership.condition import Condition
from pbxfed_ari.core.membership.members import Members
from pbxfed_ari.core.membership.ring import Ring
from pbxfed_ari.core.messages import CallHere, CallOver, Passed
from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.records import registering
from pbxfed_ari.core.records.clocks import Clocks
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.core.records.objects.extension import HANDOUTS, Phone
from pbxfed_ari.core.records.objects.kind import Item
from pbxfed_ari.core.records.objects.site import SiteObject
from pbxfed_ari.core.records.objects.time import LocalTime
from pbxfed_ari.core.records.registrations import Registration
from pbxfed_ari.core.replication.sites import Sites
from pbxfed_ari.core.stamp import wall_ms_of

SETTLING = 0.5  # seconds after this node has taken its name, or stood still, in which all who live have answered
CATCHING_UP = 2.0  # the same, of one that has not got yet what they have: not for ever
Calendar = Callable[[str, int], LocalTime | None]


class Outlook:
    """One node's. Satisfies `tries.View`."""

    def __init__(
        self,
        ourselves: Ourselves,
        directory: Directory,
        members: Members,
        sites: Sites,
        clocks: Clocks,
        gate: Gate,
        calendar: Calendar,
    ) -> None:
        self.me = ourselves.identity.name
        self.ring = Ring({self.me: 100})
        self.now = 0.0  # of the federation's last event
        self.joined_at = float("inf")  # when this node took its name
        self.woke_at = float("-inf")  # when it had stood still last, and heard nobody
        self._ourselves, self._directory, self._members = ourselves, directory, members
        self._sites, self._clocks, self._gate, self._calendar = sites, clocks, gate, calendar

    def __repr__(self) -> str:
        return f"Outlook({self.me}, {self.ring})"

    # --- what is configured

    def get(self, space: str, key: str) -> Item | None:
        """The object that holds a key."""
        return self._directory.catalogue.get(space, key) if key else None

    def phone(self, number: Extension) -> Phone | None:
        """The extension that holds a number."""
        return self._directory.catalogue.phone(number)

    def handouts(self, phone: Phone) -> Handouts:
        """Who may fetch an extension's provisioning file."""
        return handouts.unpack(self._directory.book.groups(phone.id).get(HANDOUTS))

    def secret(self, phone: Phone) -> str | None:
        """An extension's secret, if it is kept and can be read here: for its file alone."""
        found, gate = self.handouts(phone), self._gate
        return vault.secret_of(phone, found, gate.keys, gate.signer, self._ourselves.identity.realm)

    def lines_out(self) -> list[Item]:
        """All PSTN trunks, by name."""
        return self._directory.catalogue.all(KINDS["trunk"])

    def nets(self) -> list[tuple[str, str]]:
        """The networks of all sites, as (site, network)."""
        sites = self._directory.catalogue.all(KINDS["site"])
        return [(s.key, net) for s in sites if isinstance(s, SiteObject) for net in s.nets]

    def local_time(self, zone: str, wall_ms: int) -> LocalTime | None:
        """What clocks show in a time zone; None if there is no such zone."""
        return self._calendar(zone, wall_ms)

    # --- where phones are

    def where(self, number: Extension) -> list[Registration]:
        """Where a number stands registered, on nodes that live, newest first."""
        return self._directory.registrations.of(number, self._members.up)

    def devices_here(self, number: str) -> list[str]:
        """The Contacts of a number that stand registered at this node."""
        return [place.uri for place in self.where(Extension(number)) if place.node == self.me]

    def heirs(self, number: Extension) -> list[tuple[Registration, NodeName]]:
        """The registrations of a number whose nodes are out of reach and may still hold, each with who calls it instead."""
        lost = self._orphans(number, self.reachable, self._unserved)
        if not lost or self.phone(number) is None:
            return []
        able = (name for name in map(NodeName, self.ring.preference(number)))
        order = [*(name for name in able if self.reachable(name)), self.me]
        nets = self.nets()
        found = [(place, takeover.heir(place, order, self.site, nets)) for place in lost]
        return [(place, heir) for place, heir in found if heir is not None]

    def orphans(self, number: Extension, nodes: Sequence[NodeName]) -> list[Registration]:
        """The same of these nodes, whatever is known of them here."""
        named = frozenset(nodes) - self._directory.shelves.hidden - {self.me}
        lost = self._orphans(
            number,
            lambda node: node not in named and self.reachable(node),
            lambda node: min(self._unserved(node), registering.LONGEST),
        )
        return [place for place in lost if place.node in named]

    def _orphans(
        self,
        number: Extension,
        served: Callable[[NodeName], bool],
        unserved: Callable[[NodeName], float],
    ) -> list[Registration]:
        wall = self._clocks.seconds(self.now)
        return takeover.orphans(
            number,
            self._directory,
            served,
            unserved,
            lambda place: wall - wall_ms_of(place.stamp) / 1_000 + (self.ahead(place.node) or 0.0),
        )

    def _unserved(self, node: NodeName) -> float:
        """For how many seconds a node was not heard to serve its phones; for ever, if we do not know."""
        member = self._members.get(node)
        return float("inf") if member is None else self.now - member.served

    # --- who serves

    def nodes(self) -> list[NodeName]:
        """All nodes that live, this one among them."""
        return [self.me, *(member.name for member in self._members.alive())]

    def alive(self, node: NodeName) -> bool:
        """Does a node count as living, and its Asterisk, by its own account?"""
        return self._members.up(node) and self._ready(node)

    def reachable(self, node: NodeName) -> bool:
        """Whether calls may be sent to a node from here: it answers us, and its Asterisk takes calls."""
        return self._members.reachable(node) and self._ready(node)

    def _ready(self, node: NodeName) -> bool:
        member = self._members.get(node)
        return member is None or member.condition.ready

    def takes(self, node: NodeName) -> bool:
        """Whether what others could do as well may be given to a node."""
        return self.condition_of(node).takes

    def condition_of(self, node: NodeName) -> Condition:
        """How well a node can serve, by its own account; of one that we never met, nothing speaks against it."""
        member = self._members.get(node)
        if node == self.me:
            return self._ourselves.condition
        return Condition() if member is None else member.condition

    def capacity(self, node: NodeName) -> int:
        """What a node can carry, in relation to the others: its weight, and what its health has left of it."""
        info = self._directory.shelves.info(node)
        return self.condition_of(node).weight(info.weight if info else 100)

    def drained(self) -> bool:
        """Is this node being drained?"""
        return self._ourselves.condition.drains

    def settled(self, now: float) -> bool:
        """Has this node had time to hear who lives, and what they know: where rooms stand, and phones?"""
        behind = not self._sites.settled and self._members.alive()
        return now >= max(self.joined_at, self.woke_at) + (CATCHING_UP if behind else SETTLING)

    def site(self, node: NodeName) -> str:
        """Where a node is."""
        info = self._directory.shelves.info(node)
        return info.site if info else self._ourselves.identity.site if node == self.me else ""

    def trunks(self, node: NodeName) -> Sequence[str]:
        """How a node wants to be called, best first."""
        info = self._directory.shelves.info(node)
        return info.trunks if info else ()

    def door(self, node: NodeName) -> Address | None:
        """Where a node of our LAN takes our datagrams; None for all others."""
        member = self._members.get(node)
        return None if member is None or member.away else member.address

    def tell(self, node: NodeName, said: CallHere | CallOver) -> list[SendTo]:
        """What says this to a node: by its own door, or by way of the forwarders; nothing if there is no way to it."""
        door = self.door(node)
        passed = said if door is not None else Passed(node, self.me, said)
        way = door or self.way_to(node)
        return [] if way is None else [SendTo(way, passed)]

    def way_to(self, node: NodeName) -> Address | None:
        """The next who passes something on to a node of another site: our own forwarder, or theirs if that is we."""
        if not self._sites.forwarding:
            return self.door(self._sites.forwarder) if self._sites.forwarder else None
        speaker = self._sites.speaker(self.site(node))
        return None if speaker is None else wan(speaker)

    def clock_ms(self, now: float) -> int:
        """What our clock says, as it was last read, milliseconds since 1970; 0: it was not read yet."""
        return self._clocks.own_ms(now)

    def told_ms(self, now: float) -> int:
        """What peers believe that our clock says, milliseconds since 1970; 0: it was not read yet."""
        return self._clocks.told_ms(now)

    def ahead(self, node: NodeName) -> float | None:
        """By how many seconds a peer's clock is ahead of ours; None: it has not said yet what it shows."""
        return self._clocks.ahead(node)

    def supposed_ahead(self, node: NodeName) -> float | None:
        """The same of a peer of another site, by the clocks there that are known; None if none are."""
        if (site := self.site(node)) == self.site(self.me):
            return None
        there = (self._clocks.ahead(one) for one in self.nodes() if self.site(one) == site)
        return max((ahead for ahead in there if ahead is not None), default=None)

    # --- who is responsible

    def home(self, number: Extension) -> NodeName:
        """The ring's owner of a number; this node, if the ring is empty."""
        return NodeName(self.ring.get_node(number) or self.me)

    def preference(self, key: str) -> list[NodeName]:
        """The nodes to which something may be given, in the order in which they would own a key."""
        return [NodeName(node) for node in self.ring.preference(key)]

    def shares(self) -> dict[str, int]:
        """The nodes to which something may be given, with their weights on the ring."""
        return self.ring.weights

    def stands(self, number: Extension) -> list[NodeName]:
        """The living nodes where a room stands, the older one first."""
        on = self._directory.shelves.places.get(number, {})
        return sorted(filter(self._counts, on), key=lambda node: (on[node], node))

    def placed(self) -> Counter[str]:
        """How many rooms stand at each living node."""
        return Counter(
            n for on in self._directory.shelves.places.values() for n in on if self._counts(n)
        )

    def _counts(self, node: NodeName) -> bool:
        return self._members.up(node) and node not in self._directory.shelves.hidden

    def remake_ring(self) -> None:
        """Of those that new things may be given to; of all that live, if there is none."""
        living = self.nodes()
        weights: dict[str, int] = {}
        for name in [name for name in living if self.takes(name)] or living:
            info = self._directory.shelves.info(name)
            weights[name] = info.weight if info else 100
        if weights != self.ring.weights:
            self.ring = Ring(weights)
