"""Catching up: how a node gets what it missed, and nothing that it has.

Three things tell a node that it is behind: a Delta that is not the next one, a Heartbeat with a higher version than is held,
and, after two heartbeats, a fingerprint that stays different (something of a third node is missing). The first two name the
stream: it is asked for at once, from its origin first. The last needs a comparison, and so does a peer that has just come back
(a partition heals, we were away): then much differs at once.

A comparison is one Vector, multicast, after a random pause that a Vector of somebody else ends: one comparison serves a site.
Who is named in it multicasts what is missing, and asks for what it misses itself, by multicast too: whoever holds the base of
a Piece takes it, whoever had asked for it (scalable reliable multicast: Floyd et al. 1997). If the vectors are equal, the
Contents are compared, and what differs is read anew (core/reading.py).

A want is answered by some pieces (`serving.py`), then asked anew from where it stands: the receiver sets the pace, a lost piece
costs one repeated question, a join can stop and go on. Questions about one stream back off; each goes to another peer if one
stays silent. A joiner asks each origin for its own stream, so that no one node pays.
"""

from dataclasses import dataclass, field
from random import Random

from pbxfed_ari.core import marks
from pbxfed_ari.core.directory import Directory
from pbxfed_ari.core.effects import Broadcast, Effect, SendTo
from pbxfed_ari.core.events import Address, by_wan
from pbxfed_ari.core.member import Member, State
from pbxfed_ari.core.members import Members
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
from pbxfed_ari.core.reading import Readings
from pbxfed_ari.core.serving import ENTRIES, serve
from pbxfed_ari.core.streams import StreamId

FIRST_RETRY, LAST_RETRY = 0.15, 0.6  # seconds until a question is repeated
STABLE = 2  # heartbeats that a fingerprint must differ before vectors are compared
JITTER = 0.25  # seconds in which nodes that see the same difference decide who speaks
COMPARE_PAUSE = 1.0  # seconds between two comparisons
LONGEST_PAUSE = 60.0  # when comparing does not help
RETURNED = 3.0  # seconds in which a peer counts as just come back
REORDER = 0.02  # seconds given to pieces that were overtaken
TRIES, TRIES_OLD = (
    20,
    6,
)  # questions in vain about a stream, and about one of an epoch that has ended
MAX_ASIDE = 64  # pieces kept until what comes before them has come
MAX_WANTED = 1_000  # streams asked for at once
NEVER = float("inf")


@dataclass(slots=True)
class _Gap:
    """A stream of which something is missing."""

    target: int  # known to exist up to here
    deadline: float  # when to ask (again)
    pause: float = FIRST_RETRY
    asked: int = 0
    held: int = -1  # when an answer last came
    donor: NodeName | None = None  # who is known to have it, beside the origin
    shared: bool = False  # others here miss it too: ask by multicast
    aside: dict[int, Piece] = field(
        default_factory=dict
    )  # by base: came before what must come first


class CatchUp:
    """What is missing, who is asked for it and when."""

    def __init__(self, directory: Directory, members: Members, *, rng: Random) -> None:
        self._directory = directory
        self._members = members
        self._rng = rng
        self.readings = Readings(directory, members)
        self._gaps: dict[StreamId, _Gap] = {}
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
        return f"CatchUp({self._gaps})"

    def next_deadline(self) -> float:
        """When `tick` wants to be called."""
        due = min((gap.deadline for gap in self._gaps.values()), default=NEVER)
        due = min([due, *(at for at, _, _ in self._alone.values())])
        return min(due, self._compare_at, self.readings.next_deadline())

    def wants(self, stream: StreamId) -> bool:
        """Is something of a stream expected still?"""
        return stream in self._gaps or self.readings.reads(stream)

    def missing(
        self, stream: StreamId, target: int, now: float, donor: NodeName | None = None
    ) -> list[Effect]:
        """Something of a stream is known to exist that is not held; it may have been overtaken only."""
        gap = self._open(stream, target, now + REORDER, donor)
        return self.tick(now) if gap is not None and gap.deadline <= now else []

    def keep(self, piece: Piece) -> None:
        """A piece that came too early is laid aside; a gap for its stream is open."""
        gap = self._gaps.get((NodeName(piece.origin), piece.epoch))
        if gap is not None and len(gap.aside) < MAX_ASIDE:
            gap.aside[piece.base] = piece

    def fitting(self, stream: StreamId) -> Piece | None:
        """A piece that was laid aside and is the next one now."""
        gap = self._gaps.get(stream)
        if gap is None or not gap.aside:
            return None
        held = self._directory.streams.held(stream)
        base = min(gap.aside)
        return gap.aside.pop(base) if base <= held else None

    def progress(self, sender: NodeName, piece: Piece, now: float) -> list[Effect]:
        """An answer to a want, ours or another's, has been dealt with: go on with the next, or be content."""
        stream = (NodeName(piece.origin), piece.epoch)
        held = self._directory.streams.held(stream)
        if piece.more and piece.to <= held:
            self._open(stream, piece.to + 1, now + self._soon(), sender)
        gap = self._gaps.get(stream)
        if gap is None:
            return []
        if held >= gap.target:
            del self._gaps[stream]
            return []
        if held <= gap.held and not gap.aside:
            return []  # an answer that says nothing new: no reason to hurry
        gap.held = held
        gap.pause, gap.donor = FIRST_RETRY, sender
        if not piece.last:
            gap.deadline = now + FIRST_RETRY
        elif gap.asked:
            gap.deadline = now + REORDER if gap.aside else now
        gap.asked = min(gap.asked, 1)
        return self.tick(now)

    def tick(self, now: float) -> list[Effect]:
        """Ask for what is due."""
        effects: list[Effect] = []
        if now >= self._compare_at:
            effects += self._compare(now)
        for said, (due, vector, source) in list(self._alone.items()):
            if due <= now and said in self._alone:  # answering one may have come to the next
                del self._alone[said]
                effects += self._answer(NodeName(said[0]), vector, source, now)
        effects += self._ask(now)
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
        if self._gaps:
            return []
        print_ = self._directory.fingerprint()
        frames = marks.vectors(self._directory.streams)
        self._told = (address, now)
        return [SendTo(address, Vector("", print_, *frame)) for frame in frames]

    @property
    def complete(self) -> bool:
        """Nothing is known to be missing."""
        return not self._gaps

    # --- asking for a stream

    def _open(
        self, stream: StreamId, target: int, at: float, donor: NodeName | None
    ) -> _Gap | None:
        if self._directory.streams.held(stream) >= target:
            return None
        gap = self._gaps.get(stream)
        if gap is None:
            if len(self._gaps) >= MAX_WANTED:
                return None
            gap = self._gaps[stream] = _Gap(target, at)
        gap.target = max(gap.target, target)
        gap.donor = donor or gap.donor
        return gap

    def _ask(self, now: float) -> list[Effect]:
        streams = self._directory.streams
        donors: dict[NodeName, Member] = {}
        asked: dict[tuple[NodeName, bool], list[tuple[str, int, int, int, int]]] = {}
        for stream, gap in list(self._gaps.items()):
            held = streams.held(stream)
            old = stream[1] < streams.current_epoch(stream[0])
            if held >= gap.target or gap.asked > (TRIES_OLD if old else TRIES):
                del self._gaps[stream]  # there, or nobody has it; a heartbeat will tell again
            elif gap.deadline <= now:
                donor = self._choose(stream, gap)
                gap.deadline = now + gap.pause * (1 + self._rng.random() / 4)
                gap.pause = min(LAST_RETRY, gap.pause * 2)
                gap.asked += 1
                if donor is None:
                    # nobody lives who could have it; a heartbeat will tell again
                    del self._gaps[stream]
                elif not self.readings.reads(stream):
                    donors[donor.name] = donor
                    entry = (*stream, held, min(gap.aside, default=0), streams.floor(stream))
                    by_all = gap.shared and not donor.away  # another site hears no multicast
                    asked.setdefault((donor.name, by_all), []).append(entry)
                    gap.shared = False  # a second time, alone: multicast may not pass
        effects: list[Effect] = []
        for (name, shared), entries in asked.items():
            for at in range(0, len(entries), ENTRIES):
                some = tuple(entries[at : at + ENTRIES])
                effects.append(
                    Broadcast(Want(some, name))
                    if shared
                    else SendTo(donors[name].address, Want(some))
                )
        return effects

    def _choose(self, stream: StreamId, gap: _Gap) -> Member | None:
        """The origin first, then who is known to have it, then one of the others; and again, with the next of them."""
        alive = [
            m
            for m in self._members.alive()
            if m.state is State.ALIVE and (not m.away or m.name == gap.donor)
        ]
        origin = [m for m in alive if m.name == stream[0] and m.epoch == stream[1]]
        donor = [m for m in alive if m.name == gap.donor]
        first = donor + origin if gap.donor and gap.asked == 0 else origin + donor
        others = [m for m in alive if m not in first]
        turn, step = divmod(gap.asked, len(first) + bool(others) or 1)
        if step < len(first):
            return first[step]
        return others[turn % len(others)] if others else None

    def _wanted(self, want: Want, source: Address, now: float) -> list[Effect]:
        if want.to in ("", self._members.me):
            known = marks.streams_by_mark(self._directory.streams) if want.unknown else {}
            unknown = [(*known[m], 0, 0, 0) for m in want.unknown if m in known]
            return serve(
                self._directory, [*want.streams, *unknown], None if want.to else source, source
            )
        for origin, epoch, held, _, _ in want.streams:
            # somebody else asks for what we miss too: its answer will come here
            gap = self._gaps.get((NodeName(origin), epoch))
            if gap is not None and held <= self._directory.streams.held((NodeName(origin), epoch)):
                gap.deadline = max(gap.deadline, now + FIRST_RETRY + self._soon())
        return []

    # --- comparing

    def _soon(self) -> float:
        return self._rng.random() * JITTER

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
        if stable and not self._gaps and now >= self._compare_from and self._compare_at == NEVER:
            settling = self._members.period() if returned else 0.0  # others have yet to meet it
            self._compare_at, self._compare_with = now + settling + self._soon(), sender
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
            gap = self._open(stream, theirs[m], now, sender)
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
