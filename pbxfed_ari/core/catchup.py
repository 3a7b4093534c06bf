"""Catching up: how a node gets what it missed, and nothing that it has.

Three things tell a node that it is behind: a Delta that is not the next one, a Heartbeat with a higher version than is held,
and, after two heartbeats, a vector hash that stays different (something of a third node is missing). The first two name the
stream: it is asked for at once, from its origin first. The last needs a comparison of Vectors with one peer.

A want is answered by at most WINDOW pieces, then asked anew from where it stands: the receiver sets the pace, a lost piece
costs one repeated question, a join can stop and go on. Questions about one stream back off; each goes to another peer if one
stays silent.
"""

from dataclasses import dataclass, field
from random import Random

from pbxfed_ari.core.directory import Directory
from pbxfed_ari.core.effects import Effect, SendTo
from pbxfed_ari.core.events import Address
from pbxfed_ari.core.members import Member, Members, State
from pbxfed_ari.core.messages import AnyMessage, Heartbeat, Lineage, Piece, Vector, Want
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.streams import StreamId

WINDOW = 16  # pieces sent for one want: 16 kB in flight
ENTRIES = 40  # of a vector in one frame
FIRST_RETRY, LAST_RETRY = 0.15, 0.6  # seconds until a question is repeated
STABLE = 2  # heartbeats that a hash must differ before vectors are compared
COMPARE_PAUSE = 1.0  # seconds between two comparisons
REORDER = 0.02  # seconds given to pieces that were overtaken
MAX_ASIDE = 64  # pieces kept until what comes before them has come
MAX_WANTED = 1_000  # streams asked for at once


@dataclass(slots=True)
class _Gap:
    """A stream of which something is missing."""

    target: int  # known to exist up to here
    deadline: float  # when to ask (again)
    pause: float = FIRST_RETRY
    asked: int = 0
    donor: NodeName | None = None  # who is known to have it, beside the origin
    aside: dict[int, Piece] = field(
        default_factory=dict
    )  # by base: came before what must come first


class CatchUp:
    """What is missing, who is asked for it and when."""

    def __init__(self, directory: Directory, members: Members, *, rng: Random) -> None:
        self._directory = directory
        self._members = members
        self._rng = rng
        self._gaps: dict[StreamId, _Gap] = {}
        self._differs: dict[NodeName, int] = {}  # heartbeats in a row with another hash than ours
        self._compare_from = 0.0

    def __repr__(self) -> str:
        return f"CatchUp({self._gaps})"

    def next_deadline(self) -> float:
        """When `tick` wants to be called."""
        return min((gap.deadline for gap in self._gaps.values()), default=float("inf"))

    def missing(
        self, stream: StreamId, target: int, now: float, donor: NodeName | None = None
    ) -> list[Effect]:
        """Something of a stream is known to exist that is not held."""
        if self._directory.streams.held(stream) >= target or len(self._gaps) >= MAX_WANTED:
            return []
        gap = self._gaps.get(stream)
        if gap is None:
            gap = self._gaps[stream] = _Gap(target, now)
        gap.target = max(gap.target, target)
        gap.donor = donor or gap.donor
        return self.tick(now) if gap.deadline <= now else []

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
        """An answer to a want has been dealt with: go on with the next, or be content."""
        stream = (NodeName(piece.origin), piece.epoch)
        gap = self._gaps.get(stream)
        if gap is None:
            return []
        if self._directory.streams.held(stream) >= gap.target:
            del self._gaps[stream]
            return []
        gap.pause, gap.asked, gap.donor = FIRST_RETRY, 0, sender
        if piece.last:
            gap.deadline = now + REORDER if gap.aside else now
        else:
            gap.deadline = now + FIRST_RETRY
        return self.tick(now)

    def tick(self, now: float) -> list[Effect]:
        """Ask for what is due."""
        wants: dict[tuple[str, int], list[tuple[str, int, int, int]]] = {}
        for stream, gap in list(self._gaps.items()):
            held = self._directory.streams.held(stream)
            if held >= gap.target or (
                stream[1] < self._directory.streams.current_epoch(stream[0]) and gap.asked > 6
            ):
                del self._gaps[stream]
            elif gap.deadline <= now:
                donor = self._choose(stream, gap)
                gap.deadline = now + gap.pause * (1 + self._rng.random() / 4)
                gap.pause = min(LAST_RETRY, gap.pause * 2)
                gap.asked += 1
                if donor is None:
                    del self._gaps[
                        stream
                    ]  # nobody lives who could have it; a heartbeat will tell again
                else:
                    wants.setdefault(donor.address, []).append(
                        (*stream, held, min(gap.aside, default=0))
                    )
        return [
            SendTo(address, Want(tuple(streams[:ENTRIES]))) for address, streams in wants.items()
        ]

    def handle(
        self, sender: NodeName, epoch: int, message: AnyMessage, source: Address, now: float
    ) -> tuple[list[Effect], list[Lineage]]:
        """A message about knowing. Returns what to send, and lineages to adopt."""
        match message:
            case Heartbeat():
                return self._heartbeat(sender, epoch, message, now), []
            case Want(streams):
                return self._serve(streams, source), []
            case Vector():
                return self._compare(sender, message, source, now), []
            case Lineage():
                return [], [message]
            case _:
                return [], []

    def compare_with(self, address: Address) -> list[Effect]:
        """Tell a node what we hold, and ask the same of it."""
        return self._vectors(address, reply=True)

    @property
    def complete(self) -> bool:
        """Nothing is known to be missing."""
        return not self._gaps

    # --- helpers

    def _choose(self, stream: StreamId, gap: _Gap) -> Member | None:
        """The origin first, then who is known to have it, then anyone alive, in turn."""
        alive = [
            m
            for m in self._members.alive()
            if m.state is State.ALIVE and (not m.away or m.name == gap.donor)
        ]
        origin = [m for m in alive if m.name == stream[0] and m.epoch == stream[1]]
        donor = [m for m in alive if m.name == gap.donor]
        first = donor + origin if gap.donor and gap.asked == 0 else origin + donor
        order = first + [m for m in alive if m not in first]
        return order[gap.asked % len(order)] if order else None

    def _heartbeat(self, sender: NodeName, epoch: int, beat: Heartbeat, now: float) -> list[Effect]:
        stream = (sender, epoch)
        if self._directory.streams.held(stream) < beat.version:
            return self.missing(stream, beat.version, now)
        if beat.vector == self._directory.streams.vector_hash():
            self._differs.pop(sender, None)
            return []
        self._differs[sender] = self._differs.get(sender, 0) + 1
        if self._differs[sender] < STABLE or now < self._compare_from or self._gaps:
            return []
        self._differs.clear()
        self._compare_from = now + COMPARE_PAUSE * (1 + self._rng.random())
        member = self._members.get(sender)
        return self._vectors(member.address, reply=True) if member else []

    def _vectors(self, address: Address, *, reply: bool) -> list[Effect]:
        entries = self._directory.streams.vector()
        frames = [entries[i : i + ENTRIES] for i in range(0, len(entries), ENTRIES)] or [[]]
        last = len(frames) - 1
        return [
            SendTo(address, Vector(tuple(f), reply=reply and i == last))
            for i, f in enumerate(frames)
        ]

    def _compare(
        self, sender: NodeName, vector: Vector, source: Address, now: float
    ) -> list[Effect]:
        effects: list[Effect] = []
        self._compare_from = max(self._compare_from, now + COMPARE_PAUSE)
        for origin, epoch, version in vector.entries:
            effects += self.missing((NodeName(origin), epoch), version, now, sender)
        if vector.reply:
            effects += self._vectors(source, reply=False)
        return effects

    def _serve(
        self, streams: tuple[tuple[str, int, int, int], ...], source: Address
    ) -> list[Effect]:
        effects: list[Effect] = []
        budget = WINDOW
        for name, epoch, held, upto in streams:
            if budget <= 0:
                break  # the rest is asked for again
            origin = NodeName(name)
            current = self._directory.streams.current_epoch(origin)
            lineage = self._directory.streams.lineage((origin, current))
            if lineage is not None and (held == 0 or epoch != current):
                effects.append(SendTo(source, Lineage(origin, current, lineage)))
            pieces = self._directory.pieces((origin, epoch), held, budget, upto)
            budget -= len(pieces)
            effects += [SendTo(source, piece) for piece in pieces]
        return effects
