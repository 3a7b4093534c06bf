"""Reading a stream anew: though its numbers are held, what stands under them may be damaged, or dead elsewhere.

Two things lead here. *Contents differ* while vectors agree: a record was damaged. And *we are older than a grave collected*:
a donor that has collected what we may still hold says Anew. Either way the stream is read once from its beginning, from one
donor, in order: what it names is taken in again (`healing.py`), and what it does not name, although it could, was
collected there and goes here. What we hold meanwhile stays in place, so nothing is lost by a crash.
"""

from dataclasses import dataclass, field

from pbxfed_ari.core.effects import Effect, SendTo
from pbxfed_ari.core.membership.members import Members
from pbxfed_ari.core.messages import Piece, Record, Want
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.changes import Change, Gone
from pbxfed_ari.core.records.directory import Directory, key_of
from pbxfed_ari.core.records.streams import Key, StreamId
from pbxfed_ari.core.replication.healing import Healing

RETRY = 0.3  # seconds until a piece that does not come is asked for again
TRIES = 6  # in vain, before the reading is given up: the next comparison begins it again


@dataclass(slots=True)
class _Reading:
    donor: NodeName
    deadline: float
    at: int = 0  # read through this version
    tries: int = 0
    floor: int | None = None  # the donor's, in every piece so far
    named: set[Key] = field(default_factory=set)
    healed: int = 0


@dataclass(frozen=True, slots=True)
class Read:
    """What a piece of a reading came to."""

    healed: list[tuple[int, Record]]
    gone: list[Gone]
    changes: list[Change]
    count: int  # records that were put right by this reading, once it is done


class Readings:
    """The streams that are being read anew."""

    def __init__(self, directory: Directory, members: Members) -> None:
        self._directory = directory
        self._members = members
        self.healing = Healing(directory)
        self._readings: dict[StreamId, _Reading] = {}

    def __repr__(self) -> str:
        return f"Readings({sorted(self._readings)})"

    def __len__(self) -> int:
        return len(self._readings)

    def reads(self, stream: StreamId) -> bool:
        """Is this stream being read?"""
        return stream in self._readings

    def next_deadline(self) -> float:
        """When `tick` wants to be called."""
        if not self._readings:
            return float("inf")
        return min(r.deadline for r in self._readings.values())

    def begin(self, stream: StreamId, donor: NodeName, now: float) -> None:
        """Read a stream anew, unless that is being done."""
        if stream not in self._readings and self._directory.streams.get(stream) is not None:
            self._readings[stream] = _Reading(donor, now)

    def expected(self, sender: NodeName, piece: Piece) -> bool:
        """Is this the next piece of a reading?"""
        reading = self._readings.get((NodeName(piece.origin), piece.epoch))
        return reading is not None and reading.donor == sender and reading.at == piece.base

    def take(self, piece: Piece, now: float) -> Read:
        """Look at a piece that is expected. What lies above what is held is the caller's to apply, afterwards."""
        stream = (NodeName(piece.origin), piece.epoch)
        reading = self._readings[stream]
        if reading.floor is None or piece.base < reading.floor:
            reading.floor = min(piece.floor, reading.floor or piece.floor)
        from_origin = reading.donor == stream[0]
        reading.named.update(key_of(record) for _, record in piece.records)
        healed, changes = self.healing.heal(stream, piece.records, from_origin=from_origin)
        reading.healed += len(healed)
        reading.at, reading.tries = piece.to, 0
        reading.deadline = now if piece.last and piece.more else now + RETRY
        gone: list[Gone] = []
        if not piece.more:
            del self._readings[stream]
            gone, more = self.healing.settle(
                stream, reading.named, reading.floor or 0, from_origin=from_origin
            )
            changes += more
            return Read(healed, gone, changes, reading.healed + sum(len(g.keys) for g in gone))
        return Read(healed, gone, changes, 0)

    def tick(self, now: float) -> list[Effect]:
        """Ask for what comes next."""
        effects: list[Effect] = []
        for stream, reading in list(self._readings.items()):
            if reading.deadline > now:
                continue
            member = self._members.get(reading.donor)
            reading.tries += 1
            reading.deadline = now + RETRY
            if member is None or not member.up or reading.tries > TRIES:
                del self._readings[stream]
                continue
            want = (*stream, reading.at, 0, (1 << 53) - 1)  # whatever was collected, go on
            effects.append(SendTo(member.address, Want((want,))))
        return effects
