"""The watch: what an operator should mend. Clocks that differ, wires that another release speaks, settings that must be equal.

Nothing here changes what the federation does, but for two refusals: an edit on a node whose clock is off, and an epoch that no
clock explains, since it would lock its node's name for all later boots. An oddity is told once when it begins and once when it
ends, and stands in `status` and `health` as long as it lasts.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pbxfed_ari.core.effects import Note
from pbxfed_ari.core.events import Address
from pbxfed_ari.core.membership.members import Members
from pbxfed_ari.core.messages import WIRE_VERSION, BookSet, Hello, Record, domain_mark
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.clocks import OFF, Clocks
from pbxfed_ari.core.records.streams import LEAP
from pbxfed_ari.core.stamp import utc, wall_ms_of

LASTING = 60.0  # seconds that an oddity stands after it was last seen
FRAMES = 3  # of another wire version from one address: less is noise
MOST = 64  # addresses, and names, that are kept: strangers can make up many
DAY = 86_400.0
BOOTS = 1_000  # of a known node need no clock: half a year of epochs
SET_CLOCK = "set the clock (`timedatectl set-ntp true`)"


@dataclass(frozen=True, slots=True)
class Oddity:
    """What is odd, of whom, and what to do."""

    what: str  # a constant phrase, the event's name
    who: str
    text: str


class Watch:
    """What is odd about this node's peers, and about itself among them."""

    def __init__(self, me: NodeName, domain: str, members: Members) -> None:
        self.clocks = Clocks()
        self._me, self._domain = me, domain
        self._members = members
        self._hellos: dict[NodeName, Hello] = {}  # of peers whose wire or domain differs from ours
        self._wires: dict[str, tuple[int, int, float]] = {}  # host → version, frames, when last
        self._epochs: dict[NodeName, tuple[int, float]] = {}  # refused → epoch, when last
        self._ahead: set[NodeName] = set()  # writers whose stamps were told to be ahead
        self._told: dict[tuple[str, str], Oddity] = {}

    # --- what comes

    def introduced(self, hello: Hello) -> None:
        """A peer's introduction was taken: what it speaks, and what it belongs to."""
        name = NodeName(hello.name)
        differs = hello.wires[1] > WIRE_VERSION or hello.domain != domain_mark(self._domain)
        if differs and (name in self._hellos or len(self._hellos) < MOST):
            self._hellos[name] = hello
        elif not differs:
            self._hellos.pop(name, None)

    def heard_clock(self, node: NodeName, clock: int, now: float) -> None:
        """A living peer has said the time, if it has: seconds since 1970, else 0."""
        member = self._members.get(node)
        if clock and member is not None and member.up:
            self.clocks.heard(node, member.epoch, clock, now)

    def other_wire(self, source: Address, version: int, now: float) -> None:
        """A frame of another wire version came from here; nobody knows whether it was sealed."""
        host = source[0]
        known, frames, _ = self._wires.get(host, (version, 0, now))
        if host in self._wires or len(self._wires) < MOST:
            self._wires[host] = (version, frames + 1 if known == version else 1, now)

    def stamped(self, origin: NodeName, records: Iterable[Record], now: float) -> list[Note]:
        """Edits have come. Stamps of the future are taken, and told once of each writer."""
        own = self.clocks.seconds(now)
        if not own:
            return []
        newest: dict[NodeName, int] = {}
        for record in records:
            if isinstance(record, BookSet):
                writer = NodeName(record.writer) or origin
                newest[writer] = max(newest.get(writer, 0), record.stamp)
        notes: list[Note] = []
        for writer, stamp in newest.items():
            ms = wall_ms_of(stamp)
            if ms / 1_000 - own > OFF and writer not in self._ahead and len(self._ahead) < MOST:
                self._ahead.add(writer)
                fields = (
                    ("node", writer),
                    ("stamp", utc(ms)),
                    ("here", utc(own * 1_000)),
                    ("remedy", f"{SET_CLOCK} there; until then its edits win over later ones"),
                )
                notes.append(Note("stamp ahead", fields, "warning"))
        return notes

    def unexplained(
        self, name: NodeName, epoch: int, known: int, now: float, claimed: int = 0
    ) -> bool:
        """Is an epoch of a node more than a day ahead of the clocks, and far above `known`, the newest one heard of it?

        `claimed` is what its own clock says; that counts only while we have no other to compare with.
        """
        latest = self.clocks.latest(self._alive(), now, claimed)
        if latest is None or epoch <= max(latest + DAY, known + BOOTS * LEAP if known else 0):
            return False
        if name in self._epochs or len(self._epochs) < MOST:
            self._epochs[name] = (epoch, now)
        return True

    # --- what is said of it

    def tick(self, now: float) -> list[Note]:
        """What has begun and what has ended since this was last asked."""
        self._wires = {h: seen for h, seen in self._wires.items() if now < seen[2] + LASTING}
        self._epochs = {n: seen for n, seen in self._epochs.items() if now < seen[1] + LASTING}
        found = {(odd.what, odd.who): odd for odd in self._oddities(now)}
        begun = [odd for key, odd in found.items() if key not in self._told]
        over = [odd for key, odd in self._told.items() if key not in found]
        self._told = found
        return [
            *(Note(o.what, (("node", o.who), ("told", o.text)), "warning") for o in begun),
            *(Note(f"{o.what} no more", (("node", o.who),)) for o in over),
        ]

    def warnings(self, now: float) -> list[str]:
        """What an operator should mend, a line each."""
        return [odd.text for odd in self._oddities(now)]

    def clock_off(self, now: float) -> str:
        """Why no edit may be stamped here: both times and the remedy; an empty text if the clock is right."""
        found = self.clocks.median(self._alive())
        if found is None or abs(found[0]) <= OFF:
            return ""
        own, (ahead, peers) = self.clocks.seconds(now), found
        says, theirs = (
            utc(own * 1_000)[:19] + "Z",
            utc(round((own - ahead) * 1_000))[:19] + "Z",
        )
        others = f"the median of its {peers} peers'" if peers > 1 else "its only peer's"
        doubt = "" if peers > 1 else "; which one is wrong cannot be told from here"
        distance = f"{abs(ahead):.0f} s {'ahead' if ahead > 0 else 'behind'}"
        return f"this node's clock says {says}, {others} {theirs}: {distance}; {SET_CLOCK}{doubt}"

    # --- helpers

    def _alive(self) -> list[NodeName]:
        return [member.name for member in self._members.alive()]

    def _oddities(self, now: float) -> Iterator[Oddity]:
        off = self.clock_off(now)
        if off:
            yield Oddity("clock off", self._me, f"{off}; no edit is taken here until then")
        for name in self._alive():
            ahead = self.clocks.ahead(name)
            if not off and ahead is not None and abs(ahead) > OFF:
                side = "ahead" if ahead > 0 else "behind"
                text = f"node {name}: its clock is {abs(ahead):.0f} s {side}; {SET_CLOCK} there"
                yield Oddity("peer clock off", name, text)
        for host, (version, frames, _) in self._wires.items():
            if frames >= FRAMES:
                yield Oddity("wire differs", host, self._wire_text(host, version))
        for name, (epoch, _) in self._epochs.items():
            text = (
                f"node {name}: its epoch {epoch} ({utc(epoch * 1_000)[:10]}) is more than a day ahead of all clocks; "
                f"not taken; {SET_CLOCK} there and start it with an empty node.state"
            )
            yield Oddity("epoch refused", name, text)
        for name, hello in self._hellos.items():
            if self._members.up(name):
                yield from self._differs(name, hello)

    def _differs(self, name: NodeName, hello: Hello) -> Iterator[Oddity]:
        low, high = hello.wires
        if high > WIRE_VERSION:
            speaks = f"node {name} (pbxfed {hello.release}) speaks wire {low} to {high}"
            text = f"{speaks}, this node {WIRE_VERSION}: upgrade this node"
            yield Oddity("newer wire", name, text)
        if hello.domain != domain_mark(self._domain):
            text = (
                f"node {name} has another federation.domain than this node ({self._domain!r}): "
                "phones added there cannot register here, nor the other way round; set the same on all nodes"
            )
            yield Oddity("domain differs", name, text)

    def _wire_text(self, host: str, version: int) -> str:
        names = [m.name for m in self._members if m.address[0] == host]
        who = f"node {names[0]} at {host}" if names else f"a node at {host}"
        older = "that node" if version < WIRE_VERSION else "this node"
        return f"{who} speaks wire {version}, this node {WIRE_VERSION}: upgrade {older}"
