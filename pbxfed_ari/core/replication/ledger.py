"""The ledger: our own stream and everybody else's, written, taken in, kept and passed on.

A fact of our own is appended to our stream, kept, and published once as a Delta. A peer's is applied if it is the next one;
if it is not, what is missing is asked for (`catchup.py`). What was news here is passed on between LAN and sites. And in time
what died is forgotten, what earlier epochs of ours had left is published anew, what was damaged is read again.
"""

from collections.abc import Callable, Sequence
from random import Random

from pbxfed_ari.core.effects import (
    Broadcast,
    Effect,
    Forward,
    Note,
    Persist,
    PersistGone,
    PersistLineage,
)
from pbxfed_ari.core.events import Address, by_wan
from pbxfed_ari.core.membership.members import Members
from pbxfed_ari.core.messages import BookSet, Delta, Lineage, Piece, Record, ShelfDrop, ShelfPut
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records import registering, shelf
from pbxfed_ari.core.records.changes import Change, Gone
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.records.graves import Heard
from pbxfed_ari.core.records.streams import ASIDE, MAX_LINEAGE, Ancestry, StreamId
from pbxfed_ari.core.replication import republishing
from pbxfed_ari.core.replication.catchup import CatchUp
from pbxfed_ari.core.replication.sites import Sites


class Ledger:
    """All streams of this node's directory, and what changes them. `conclude` tells what a change comes to."""

    def __init__(
        self,
        me: NodeName,
        directory: Directory,
        members: Members,
        sites: Sites,
        *,
        rng: Random,
        conclude: Callable[[Sequence[Change]], list[Effect]],
    ) -> None:
        self.me = me
        self.directory = directory
        self.catchup = CatchUp(directory, members, rng=rng)
        self.own: StreamId = (me, 0)  # until we have joined there is none to publish in
        self.open = False  # we have joined: what is written is published too
        self.heard = Heard()
        self.repaired = 0  # records that were read anew because they were not what peers hold
        self._members = members
        self._sites = sites
        self._conclude = conclude

    def __repr__(self) -> str:
        return f"Ledger({self.own}, {self.catchup})"

    # --- facts of our own

    def begin(self, epoch: int, lineage: Ancestry) -> None:
        """We have joined: this is our stream, and it continues that of earlier epochs."""
        self.own = (self.me, epoch)
        self.directory.adopt(self.me, epoch, lineage)
        self.directory.streams.open(self.own)
        self.open = True

    def shelve(self, records: list[Record]) -> list[Effect]:
        """Publish what is news on our shelf."""
        return self.publish(registering.news(records, self.me, self.directory))

    def publish(self, records: Sequence[Record], *, durable: bool = False) -> list[Effect]:
        """Append to our stream; `durable`: on the disk before anybody hears of it."""
        if not records:
            return []
        first, changes = self.directory.write(self.own, records)
        numbered = tuple(enumerate(records, first))
        to = first + len(records) - 1
        effects: list[Effect] = [Persist(*self.own, to, numbered, durable)]
        if self.open:
            effects += [
                Broadcast(Delta(piece.base + 1, tuple(record for _, record in piece.records)))
                for piece in self.directory.pieces(self.own, first - 1, len(records))
                if _gapless(piece)
            ]
            if self._sites.forwarding:
                effects += [
                    Forward(piece)
                    for piece in self.directory.pieces(self.own, first - 1, len(records))
                ]
        return effects + self._conclude(changes)

    # --- facts of others

    def take(self, piece: Piece, sender: NodeName, source: Address, now: float) -> list[Effect]:
        """Apply a stretch if it is the next one, and what was waiting for it; what is too new waits."""
        stream: StreamId = (NodeName(piece.origin), piece.epoch)
        if piece.base > self.directory.streams.held(stream) or not self._vouched(stream):
            effects = self.catchup.missing(stream, piece.to, now, sender)
            self.catchup.gaps.keep(piece)
            return effects
        return self._apply(stream, piece, source) + self._apply_waiting(stream, source)

    def answered(self, piece: Piece, sender: NodeName, source: Address, now: float) -> list[Effect]:
        """A stretch that was asked for, by us or by another here: take it, and ask on."""
        effects = self._read(sender, piece, now)
        effects += self.take(piece, sender, source, now)
        return effects + self.catchup.progress(sender, piece, now)

    def adopt(
        self, origin: NodeName, epoch: int, lineage: Ancestry, source: Address
    ) -> list[Effect]:
        """A newer epoch of a peer has begun, or been heard of."""
        known = self.directory.streams.lineage((origin, epoch))
        if (
            origin == self.me
            or known is not None
            or epoch < self.directory.streams.current_epoch(origin)
        ):
            return []
        changes = self.directory.adopt(origin, epoch, lineage)
        relayed = self._relay(origin, Lineage(origin, epoch, lineage), source)
        effects = [PersistLineage(origin, epoch, lineage), *relayed, *self._conclude(changes)]
        return effects + self._apply_waiting((origin, epoch), source)

    # --- in time

    def decide(self) -> list[Effect]:
        """We hold what a peer holds: groups whose object has been edited since they were collected are published anew."""
        records, gone = self.catchup.readings.healing.resolve()
        return [*self.publish(records), *_persist(gone)]

    def collect(self, now: float) -> list[Effect]:
        """Forget what died, once everybody has heard of it."""
        known = {stream[0] for stream in self.directory.streams.ids()}
        known |= {member.name for member in self._members}
        bound = self.heard.bound(
            known - {self.me} - self.directory.shelves.hidden, self.directory.graves.moment, now
        )
        return _persist(self.directory.collect(bound))

    def rescue(self) -> list[Effect]:
        """What no stream names (the store was damaged, and others may not have it) is published anew."""
        effects = self.publish(republishing.unindexed(self.me, self.directory))
        aside, self.directory.salvaged = self.directory.salvaged, set()
        return [*effects, *([PersistGone(*ASIDE, tuple(aside), 0)] if aside else [])]

    def absorb(self) -> list[Effect]:
        """What our earlier epochs wrote and this one does not continue is published anew, then ended everywhere."""
        streams = self.directory.streams
        ended: dict[int, int] = {}
        effects: list[Effect] = []
        for stream in streams.left_over(self.me):
            if not self.catchup.wants(stream):
                effects += self.publish(republishing.left_over(stream, self.directory))
                ended[stream[1]] = streams.held(stream)
        if not ended:
            return []
        held = self.directory.shelves.value(self.me, shelf.ABSORBED_KEY) or b""
        pairs = {**dict(shelf.decode_absorbed(held)), **ended}
        value = shelf.encode_absorbed(sorted(pairs.items(), reverse=True)[:MAX_LINEAGE])
        return [*effects, *self.publish([ShelfPut(shelf.ABSORBED_KEY, value)])]

    # --- helpers

    def _read(self, sender: NodeName, piece: Piece, now: float) -> list[Effect]:
        """The next piece of a stream that is read anew: put right what was not so here."""
        readings = self.catchup.readings
        if not readings.expected(sender, piece):
            return []
        stream: StreamId = (NodeName(piece.origin), piece.epoch)
        found = readings.take(piece, now)
        effects: list[Effect] = []
        if found.healed:
            held = self.directory.streams.held(stream)
            effects.append(Persist(*stream, held, tuple(found.healed)))
        effects += [*_persist(found.gone), *self._conclude(found.changes)]
        if found.count:
            self.repaired += found.count
            what = (("origin", stream[0]), ("records", found.count), ("from", sender))
            effects.append(Note("records repaired", what, "warning"))
        return effects + readings.tick(now)

    def _apply(self, stream: StreamId, piece: Piece, source: Address) -> list[Effect]:
        held = self.directory.streams.held(stream)
        if piece.to <= held:
            return []
        fresh = tuple((version, record) for version, record in piece.records if version > held)
        changes = self.directory.apply(stream, fresh, piece.to, piece.floor)
        effects: list[Effect] = [Persist(*stream, piece.to, fresh, floor=piece.floor)]
        news = Piece(*stream, held, piece.to, fresh, floor=piece.floor)
        effects += self._relay(stream[0], news, source)
        if stream[0] == self.me:
            effects += self._reassert(fresh)
        return effects + self._conclude(changes)

    def _apply_waiting(self, stream: StreamId, source: Address) -> list[Effect]:
        """What had come too early, as far as it fits now."""
        effects: list[Effect] = []
        while (piece := self.catchup.gaps.fitting(stream)) is not None:
            effects += self._apply(stream, piece, source)
        return effects

    def _vouched(self, stream: StreamId) -> bool:
        """Do we know what this epoch continues? Before that nothing of it can stand: it might be what was collected here."""
        streams = self.directory.streams
        origin, epoch = stream
        return (
            origin == self.me
            or epoch < streams.current_epoch(origin)
            or streams.lineage(stream) is not None
        )

    def _relay(self, origin: NodeName, news: Piece | Lineage, source: Address) -> list[Effect]:
        """News of our LAN goes to the other sites, news of theirs to our LAN; never back."""
        if not self._sites.forwarding:
            return []
        if by_wan(source):
            return [Broadcast(news)]
        return [Forward(news)] if self._sites.ours(origin) else []

    def _reassert(self, records: Sequence[tuple[int, Record]]) -> list[Effect]:
        """Peers knew more of our past than we did (a restored disk): say again what holds now for those keys."""
        again: list[Record] = []
        for _, record in records:
            if isinstance(record, BookSet):
                continue
            value = self.directory.shelves.value(self.me, record.key)
            again.append(ShelfDrop(record.key) if value is None else ShelfPut(record.key, value))
        return self.publish(again)


def _persist(gone: Sequence[Gone]) -> list[Effect]:
    return [PersistGone(*g.stream, g.keys, g.floor) for g in gone]


def _gapless(piece: Piece) -> bool:
    return [version for version, _ in piece.records] == list(range(piece.base + 1, piece.to + 1))
