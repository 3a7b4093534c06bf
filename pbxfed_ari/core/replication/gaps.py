"""Gaps: the streams of which something is missing, who is asked for it and when.

The receiver sets the pace: a want is answered by some pieces (`serving.py`), then asked anew from where it stands; a lost piece
costs one repeated question, a join can stop and go on. Questions about one stream back off; each goes to another peer if one
stays silent. A joiner asks each origin for its own stream, so that no one node pays.
"""

from dataclasses import dataclass, field
from random import Random

from pbxfed_ari.core.effects import Broadcast, Effect, SendTo
from pbxfed_ari.core.membership.member import Member, State
from pbxfed_ari.core.membership.members import Members
from pbxfed_ari.core.messages import Piece, Want
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.records.streams import StreamId
from pbxfed_ari.core.replication.reading import Readings

ENTRIES = 30  # streams in one Want
FIRST_RETRY, LAST_RETRY = 0.15, 0.6  # seconds until a question is repeated
JITTER = 0.25  # seconds in which nodes that see the same difference decide who speaks
REORDER = 0.02  # seconds given to pieces that were overtaken
TRIES, TRIES_OLD = (
    20,
    6,
)  # questions in vain about a stream, and about one of an epoch that has ended
MAX_ASIDE = 64  # pieces kept until what comes before them has come
MAX_WANTED = 1_000  # streams asked for at once
NEVER = float("inf")


@dataclass(slots=True)
class Gap:
    """What is missing of a stream."""

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


class Gaps:
    """All that is missing here, as far as known."""

    def __init__(
        self, directory: Directory, members: Members, readings: Readings, *, rng: Random
    ) -> None:
        """What is being read anew (`readings`) is not asked for beside that."""
        self._directory, self._members, self._readings = directory, members, readings
        self._rng = rng
        self._gaps: dict[StreamId, Gap] = {}

    def __repr__(self) -> str:
        return f"Gaps({self._gaps})"

    def __len__(self) -> int:
        return len(self._gaps)

    def __contains__(self, stream: object) -> bool:
        return stream in self._gaps

    def next_deadline(self) -> float:
        """When `ask` wants to be called."""
        return min(gap.deadline for gap in self._gaps.values()) if self._gaps else NEVER

    def soon(self) -> float:
        """Seconds that one of several nodes waits that see the same: who speaks first spares the others."""
        return self._rng.random() * JITTER

    def open(self, stream: StreamId, target: int, at: float, donor: NodeName | None) -> Gap | None:
        """A stream is known to exist up to `target`: it is asked for at that time, unless it is held."""
        if self._directory.streams.held(stream) >= target:
            return None
        gap = self._gaps.get(stream)
        if gap is None:
            if len(self._gaps) >= MAX_WANTED:
                return None
            gap = self._gaps[stream] = Gap(target, at)
        gap.target = max(gap.target, target)
        gap.donor = donor or gap.donor
        return gap

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

    def progress(self, sender: NodeName, piece: Piece, now: float) -> bool:
        """An answer to a want, ours or another's, has been dealt with. Is there something to ask for now, perhaps?"""
        stream = (NodeName(piece.origin), piece.epoch)
        held = self._directory.streams.held(stream)
        if piece.more and piece.to <= held:
            self.open(stream, piece.to + 1, now + self.soon(), sender)
        gap = self._gaps.get(stream)
        if gap is None:
            return False
        if held >= gap.target:
            del self._gaps[stream]
            return False
        if held <= gap.held and not gap.aside:
            return False  # an answer that says nothing new: no reason to hurry
        gap.held = held
        gap.pause, gap.donor = FIRST_RETRY, sender
        if not piece.last:
            gap.deadline = now + FIRST_RETRY
        elif gap.asked:
            gap.deadline = now + REORDER if gap.aside else now
        gap.asked = min(gap.asked, 1)
        return True

    def others_ask(self, want: Want, now: float) -> None:
        """Somebody else asks for what we miss too: its answer will come here."""
        for origin, epoch, held, _, _ in want.streams:
            stream = (NodeName(origin), epoch)
            gap = self._gaps.get(stream)
            if gap is not None and held <= self._directory.streams.held(stream):
                gap.deadline = max(gap.deadline, now + FIRST_RETRY + self.soon())

    def ask(self, now: float) -> list[Effect]:
        """The questions that are due, in as few frames as can be."""
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
                elif not self._readings.reads(stream):
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

    def _choose(self, stream: StreamId, gap: Gap) -> Member | None:
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
