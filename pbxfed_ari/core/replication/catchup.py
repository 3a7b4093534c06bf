"""Catching up: how a node gets what it missed, and nothing that it has.

Three things tell a node that it is behind: a Delta that is not the next one, a Heartbeat with a higher version than is held,
and, after two heartbeats, a fingerprint that stays different (something of a third node is missing). The first two name the
stream: it is asked for at once, from its origin first. The last needs a comparison, and so does a peer that has just come back
(a partition heals, we were away): then much differs at once.

A comparison is one Vector, multicast, after a random pause that a Vector of somebody else ends: one comparison serves a site.
Who is named in it multicasts what is missing, and asks for what it misses itself, by multicast too: whoever holds the base of
a Piece takes it, whoever had asked for it (scalable reliable multicast: Floyd et al. 1997). If the vectors are equal, the
Contents are compared, and what differs is read anew (core/replication/reading.py).
"""

from random import Random

from pbxfed_ari.core.effects import Broadcast, Effect, SendTo
from pbxfed_ari.core.events import Address, by_wan
from pbxfed_ari.core.membership.member import State
from pbxfed_ari.core.membership.members import Members
from pbxfed_ari.core.messages import (
    Anew,
    AnyMessage,
    Contents,
    Heartbeat,
    Lineage,
    Piece,
    Vector,
    Want,
)
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records import marks
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.records.streams import StreamId
from pbxfed_ari.core.replication.gaps import JITTER, NEVER, REORDER, Gaps
from pbxfed_ari.core.replication.reading import Readings
from pbxfed_ari.core.replication.serving import serve

STABLE = 2  # heartbeats that a fingerprint must differ before vectors are compared
COMPARE_PAUSE = 1.0  # seconds between two comparisons
LONGEST_PAUSE = 60.0  # when comparing does not help
RETURNED = 3.0  # seconds in which a peer counts as just come back


class CatchUp:
    """Sees that this node is behind, compares, and answers who asks."""

    def __init__(self, directory: Directory, members: Members, *, rng: Random) -> None:
        self._directory = directory
        self._members = members
        self._rng = rng
        self.readings = Readings(directory, members)
        self.gaps = Gaps(directory, members, self.readings, rng=rng)
        self._differs: dict[NodeName, int] = {}  # heartbeats in a row with another fingerprint
        self._compare_at = NEVER  # when to send our vector, unless somebody else does before
        self._compare_with: NodeName | None = None
        self._compare_from = 0.0
        self._paused_at = 0.0  # when the last comparison was
        self._answered: tuple[str, int, int, float] = ("", 0, 0, 0.0)  # the last vector that came
        self._alone: dict[
            tuple[str, int, int], tuple[float, Vector, Address]
        ] = {}  # to be answered
        self._told: tuple[Address, float] = (("", 0), 0.0)  # whom we sent our vector alone, when
        self._futile = COMPARE_PAUSE  # grows while comparing does not help

    def __repr__(self) -> str:
        return f"CatchUp({self.gaps})"

    def next_deadline(self) -> float:
        """When `tick` wants to be called."""
        due = min(at for at, _, _ in self._alone.values()) if self._alone else NEVER
        return min(due, self.gaps.next_deadline(), self._compare_at, self.readings.next_deadline())

    def wants(self, stream: StreamId) -> bool:
        """Is something of a stream expected still?"""
        return stream in self.gaps or self.readings.reads(stream)

    def missing(
        self, stream: StreamId, target: int, now: float, donor: NodeName | None = None
    ) -> list[Effect]:
        """Something of a stream is known to exist that is not held; it may have been overtaken only."""
        gap = self.gaps.open(stream, target, now + REORDER, donor)
        return self.tick(now) if gap is not None and gap.deadline <= now else []

    def progress(self, sender: NodeName, piece: Piece, now: float) -> list[Effect]:
        """An answer to a want has been dealt with: go on with the next, or be content."""
        return self.tick(now) if self.gaps.progress(sender, piece, now) else []

    def tick(self, now: float) -> list[Effect]:
        """Ask for what is due."""
        effects: list[Effect] = []
        if now >= self._compare_at:
            effects += self._compare(now)
        for said, (due, vector, source) in list(self._alone.items()):
            if due <= now and said in self._alone:  # answering one may have come to the next
                del self._alone[said]
                effects += self._answer(NodeName(said[0]), vector, source, now)
        effects += self.gaps.ask(now)
        return effects + self.readings.tick(now)

    def handle(
        self, sender: NodeName, epoch: int, message: AnyMessage, source: Address, now: float
    ) -> tuple[list[Effect], list[Lineage]]:
        """A message about knowing. Returns what to send, and lineages to adopt."""
        if isinstance(message, Vector | Contents) and not marks.readable(message):
            return [], []
        match message:
            case Heartbeat():
                return self._heartbeat(sender, epoch, message, now), []
            case Want():
                return self._wanted(message, source, now), []
            case Vector() | Contents():
                try:
                    return self._compared(sender, message, source, now), []
                except ValueError:  # a member's mistake: nothing can be read
                    return [], []
            case Anew(streams):
                for name, old in streams:
                    self.readings.begin((NodeName(name), old), sender, now)
                return self.readings.tick(now), []
            case Lineage():
                return [], [message]
            case _:
                return [], []

    def compare_with(self, address: Address, now: float) -> list[Effect]:
        """Tell a node what we hold; it answers with what we miss, and asks for what it misses.

        Not while we are catching up: what is under way would be sent twice.
        """
        if self.gaps:
            return []
        print_ = self._directory.fingerprint()
        frames = marks.vectors(self._directory.streams)
        self._told = (address, now)
        return [SendTo(address, Vector("", print_, *frame)) for frame in frames]

    def unheard(self, address: Address) -> None:
        """What we told this node before now it did not believe."""
        if self._told[0] == address:
            self._told = (("", 0), 0.0)

    @property
    def complete(self) -> bool:
        """Nothing is known to be missing."""
        return not self.gaps

    # --- wants

    def _wanted(self, want: Want, source: Address, now: float) -> list[Effect]:
        if want.to in ("", self._members.me):
            known = marks.streams_by_mark(self._directory.streams) if want.unknown else {}
            unknown = [(*known[m], 0, 0, 0) for m in want.unknown if m in known]
            return serve(
                self._directory, [*want.streams, *unknown], None if want.to else source, source
            )
        self.gaps.others_ask(want, now)
        return []

    # --- comparing

    def _heartbeat(self, sender: NodeName, epoch: int, beat: Heartbeat, now: float) -> list[Effect]:
        stream = (sender, epoch)
        if beat.vector == self._directory.fingerprint():
            self._differs.pop(sender, None)
            self._futile = COMPARE_PAUSE
            return []
        member = self._members.get(sender)
        returned = member is not None and now < member.since + RETURNED
        held = self._directory.streams.held(stream)
        served = self._paused_at + JITTER <= now < self._compare_from  # a comparison was, not ours
        if held < beat.version and (served or not (returned and held)):
            return self.missing(stream, beat.version, now)
        self._differs[sender] = self._differs.get(sender, 0) + (member.every if member else 1)
        stable = self._differs[sender] >= STABLE or returned  # by turns, the next one may be far
        if stable and not self.gaps and now >= self._compare_from and self._compare_at == NEVER:
            settling = self._members.period() if returned else 0.0  # others have yet to meet it
            self._compare_at, self._compare_with = now + settling + self.gaps.soon(), sender
        return []

    def _compare(self, now: float) -> list[Effect]:
        """Nobody else has compared: send our vector."""
        peer = self._compare_with
        self._pause(now)
        if peer is None or not self._members.up(peer):
            return []
        print_ = self._directory.fingerprint()
        frames = marks.vectors(self._directory.streams)
        return [Broadcast(Vector(peer, print_, *frame)) for frame in frames]

    def _pause(self, now: float) -> None:
        self._differs.clear()
        self._compare_at, self._paused_at = NEVER, now
        self._compare_from = now + self._futile * (1 + self._rng.random())

    def _compared(
        self, sender: NodeName, said: Vector | Contents, source: Address, now: float
    ) -> list[Effect]:
        if isinstance(said, Contents):
            return self._contents(sender, said, source, now)
        return self._vector(sender, said, source, now)

    def _vector(
        self, sender: NodeName, vector: Vector, source: Address, now: float
    ) -> list[Effect]:
        """Somebody compares; if it is with us: what we have goes out, what we miss is asked for."""
        if vector.to:
            self._pause(now)
        if vector.to not in ("", self._members.me):
            return []
        said = (sender, vector.fingerprint, vector.low)
        if not vector.to and not by_wan(source):
            self._alone.setdefault(said, (now + REORDER, vector, source))
            return []  # a copy: the multicast one may come still, and is answered for all
        self._alone.pop(said, None)
        return self._answer(sender, vector, source, now)

    def _answer(
        self, sender: NodeName, vector: Vector, source: Address, now: float
    ) -> list[Effect]:
        known = self._answered
        self._answered = (sender, vector.fingerprint, vector.low, now)
        again = known[:3] == self._answered[:3]
        if again and now < known[3] + COMPARE_PAUSE / 2:
            return []  # it came twice
        theirs = marks.read_vector(vector.entries)
        streams = self._directory.streams
        every = marks.streams_by_mark(streams)
        ours = {m: s for m, s in every.items() if vector.low <= m <= vector.high}
        ahead = [(m, s) for m, s in ours.items() if theirs.get(m, 0) < streams.held(s)]
        behind = [(m, s) for m, s in ours.items() if theirs.get(m, 0) > streams.held(s)]
        unknown = tuple(m for m in theirs if m not in ours)
        few = 2 * sum(1 for m, _ in ahead if m not in theirs) > len(ours)  # a joiner: it alone
        entries = [(*s, theirs.get(m, 0), 0, 0) for m, s in ahead]
        alone = few or again or by_wan(source) or not vector.to
        effects = serve(self._directory, entries, source if alone else None, source)
        if self._told[0] == source and now < self._told[1] + COMPARE_PAUSE:
            return effects + self.tick(now)  # it has our vector, and sends what we miss by itself
        for m, stream in behind:
            gap = self.gaps.open(stream, theirs[m], now, sender)
            if gap is not None:
                gap.shared = not alone
        if unknown:
            effects.append(SendTo(source, Want((), "", unknown[:100])))
        if not (ahead or behind or unknown) and vector.fingerprint != self._directory.fingerprint():
            whole = vector.low == 0 and vector.high == marks.LAST
            effects += self._say_contents(source, reply=True) if whole else []
        return effects + self.tick(now)

    def _say_contents(self, address: tuple[str, int], *, reply: bool) -> list[Effect]:
        frames = marks.contents(self._directory.contents)
        return [SendTo(address, Contents(*frame, reply=reply)) for frame in frames]

    def _contents(
        self, sender: NodeName, said: Contents, source: Address, now: float
    ) -> list[Effect]:
        """Equal numbers, different contents: read what differs anew, from its origin if that lives."""
        streams = self._directory.streams
        held = self._directory.contents
        known = sorted({*held.origins(), *(stream[0] for stream in streams.ids())})
        for origin in marks.differing(held, known, said.low, said.high, said.entries):
            member = self._members.get(origin)
            near = member is not None and member.state is State.ALIVE and not member.away
            donor = origin if near else sender
            for stream in streams.ids():
                if stream[0] == origin:
                    self.readings.begin(stream, donor, now)
        self._futile = min(LONGEST_PAUSE, 2 * self._futile)
        effects = self._say_contents(source, reply=False) if said.reply else []
        return effects + self.readings.tick(now)
