"""The directory: shelves and book as one view, and how both change by what peers publish.

Asking its parts is free of cost (dictionaries, kept up to date by each change): `catalogue` for what is configured,
`registrations` for where phones are, `shelves` for what nodes say of themselves. It is read-only for everyone but the
federation. Every method that changes it returns what has changed (`changes.py`), so that the federation can draw conclusions.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b

from msgspec.structs import replace

from pbxfed_ari.core.messages import BookSet, Piece, Record, ShelfDrop, ShelfPut
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.book import LIFE, Book, BookKey, blind
from pbxfed_ari.core.records.catalogue import Catalogue
from pbxfed_ari.core.records.changes import Change, Conflicted, Gone
from pbxfed_ari.core.records.contents import Contents
from pbxfed_ari.core.records.cutting import Cutter
from pbxfed_ari.core.records.graves import Graves
from pbxfed_ari.core.records.registrations import Registrations
from pbxfed_ari.core.records.shelves import Shelves
from pbxfed_ari.core.records.streams import Ancestry, Key, StreamId, Streams


class Directory:
    """What this node knows of all."""

    def __init__(self) -> None:
        self.streams = Streams()
        self.book = Book()
        self.contents = Contents()
        self.graves = Graves()
        self.catalogue = Catalogue(self.book)
        self.registrations = Registrations(self.catalogue.devices)
        self.shelves = Shelves(self.streams, self.contents, self.graves, self.registrations)
        self.salvaged: set[Key] = set()  # what of the book a store kept ASIDE
        self._cutter = Cutter()

    def __repr__(self) -> str:
        return f"Directory({self.catalogue}, {self.registrations})"

    # --- asking

    def fingerprint(self) -> int:
        """64 bits of what is held: equal on two nodes if they hold the same numbers and the same contents."""
        data = b"%d %d" % (self.streams.vector_hash(), self.contents.total)
        return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")

    def stamps(self) -> list[int]:
        """Every stamp that stands: a restarted clock begins above them."""
        return [*self.registrations.stamps(), self.book.newest_stamp()]

    # --- changing

    def write(self, stream: StreamId, records: Sequence[Record]) -> tuple[int, list[Change]]:
        """Append our own records to our own stream. Returns the first version and what changed."""
        first = self.streams.held(stream) + 1
        return first, self.apply(stream, list(enumerate(records, first)), first + len(records) - 1)

    def apply(
        self, stream: StreamId, records: Iterable[tuple[int, Record]], to: int, floor: int = 0
    ) -> list[Change]:
        """Take in records of a stream, all that it has through `to`; the caller checked that none is missing.

        `floor`: what is numbered up to there and is not among them was collected by who sent them.
        """
        changes: list[Change] = []
        held = self.streams.held(stream)
        for version, record in records:
            if not held < version <= to:
                continue
            kept = self._kept(record, stream[0])
            self.streams.note(stream, version, key_of(kept))
            changes += self._take(stream, kept)
        self.streams.advance(stream, to)
        self.streams.open(stream).raise_floor(floor)
        self.graves.moment += 1
        return changes

    def adopt(self, origin: NodeName, epoch: int, lineage: Ancestry) -> list[Change]:
        """A newer epoch of an origin: what it does not vouch for leaves its shelf."""
        changes: list[Change] = []
        for key in self.streams.adopt(origin, epoch, lineage):
            if isinstance(key, str):
                changes += self.shelves.put(origin, key, None)
        return changes

    def pieces(self, stream: StreamId, above: int, at_most: int, upto: int = 0) -> list[Piece]:
        """What the stream holds above a version (through `upto`), in pieces of a frame each, at most so many."""
        found = self.streams.get(stream)
        if found is None:
            return []
        # who holds nothing knows from the lineage where it begins; if that epoch has gone, so have its own entries
        vouched = self.streams.base(stream)
        above = above or vouched
        if found.held <= above or above < vouched:
            return []
        end = min(found.held, upto) if upto else found.held
        floor = found.floor if above < found.floor else 0
        records = self._numbered(stream, above, end)
        return self._cutter.cut(stream, records, (above, end), floor, at_most)

    def _numbered(
        self, stream: StreamId, above: int, end: int
    ) -> Iterator[tuple[int, Record | None]]:
        """What a stream holds above a version and through another; None is what was lost here."""
        before = above
        for version, key in self.streams.open(stream).above(above):
            if version > end:
                return
            if version == before:
                continue  # a broken origin has said two things of one number: one of them can travel
            before = version
            yield version, self.record(stream[0], key)

    # --- forgetting the dead

    def collect(self, bound: int) -> list[Gone]:
        """Some of what died before this moment, or a month ago, is forgotten altogether."""
        gone: list[Gone] = []
        for grave in self.graves.due(bound):
            self.graves.open(grave)
            if isinstance(grave, bytes):
                gone += self.unbook([(grave, group) for group in self.book.stamps(grave)])
            elif isinstance(grave[0], bytes):
                gone += self.unbook([(grave[0], int(grave[1]))])
            else:
                origin, key = NodeName(grave[0]), str(grave[1])
                gone += self.unindex((origin, self.streams.current_epoch(origin)), [key])
        return gone

    def unbook(self, keys: Sequence[BookKey]) -> list[Gone]:
        """These entries leave the book and every index. They are dead, or counted no more."""
        for key in keys:
            self.book.remove(key)
            self.graves.open(key)
        return [gone for stream in self.streams.ids() for gone in self.unindex(stream, keys)]

    def unindex(self, stream: StreamId, keys: Sequence[Key]) -> list[Gone]:
        """These keys leave a stream's index."""
        index = self.streams.get(stream)
        dropped = index.drop(keys) if index is not None else []
        return [Gone(stream, tuple(dropped), self.streams.floor(stream))] if dropped else []

    def salvage(self, records: Iterable[BookSet]) -> None:
        """Take in what a damaged store could read still: whole edits, of which nobody knows any more where they stood."""
        for record in records:
            self._enter(self.book.entry(record, record.writer))
            self.salvaged.add(key_of(record))

    # --- records

    def record(self, origin: NodeName, key: Key) -> Record | None:
        """The current record for a key of an origin's stream; a book entry may be another writer's by now, or lost."""
        if isinstance(key, str):
            value = self.shelves.value(origin, key)
            return ShelfDrop(key) if value is None else ShelfPut(key, value)
        entry = self.book.get(key)
        if entry is None:
            return None
        return replace(entry, writer="") if entry.writer == origin else entry

    def take(self, stream: StreamId, record: Record) -> list[Change]:
        """What a record means to shelves and book; the stream's index is the caller's."""
        return self._take(stream, self._kept(record, stream[0]))

    def _kept(self, record: Record, origin: NodeName) -> Record:
        """A record as it is kept here."""
        if not isinstance(record, BookSet):
            return record
        return self.book.entry(record, record.writer or origin)

    def _take(self, stream: StreamId, record: Record) -> list[Change]:
        origin, epoch = stream
        if isinstance(record, BookSet):
            return self._enter(record)
        if epoch < self.streams.current_epoch(origin):
            return []  # a stretch that the origin no longer vouches for; only its edits count
        value = record.value if isinstance(record, ShelfPut) else None
        return self.shelves.put(origin, record.key, value)

    def _enter(self, came: BookSet) -> list[Change]:
        """An edit, as `Book.entry` makes it."""
        held = self.book.get((came.object, came.group))
        rival = held if came.group != LIFE else None
        known = came.object in self.catalogue
        if not self._merge(came):
            return self._conflict(rival, came)
        changed = self.catalogue.reread(came.object)
        return [*changed, *self._conflict(came, rival), *self._revived(came, known=known)]

    def _merge(self, came: BookSet) -> bool:
        """Take an edit into the book, and keep contents and graves right."""
        object_id, key = came.object, (came.object, came.group)
        lived, before = self.book.lives(object_id), self.book.get(key)
        if not self.book.merge(came):
            return False
        lives = self.book.lives(object_id)
        if lived and lives and came.group != LIFE:
            self.contents.book(before, -1)
            self.contents.book(came, 1)
        elif lived is not lives:
            for entry in self.book.entries(object_id):
                counted = before if lived and entry.group == came.group else entry
                if entry.group != LIFE:
                    self.contents.book(counted, -1 if lived else 1)
        if not lives:
            self.graves.bury(object_id)
        else:
            self.graves.open(object_id)
            if came.value is None:
                self.graves.bury(key)
            else:
                self.graves.open(key)
        return True

    def _conflict(self, stands: BookSet | None, fell: BookSet | None) -> list[Change]:
        if stands is None or fell is None or stands.value == fell.value:
            return []
        item = self.catalogue.by_id(stands.object)
        if item is None:
            return []
        found = Conflicted(item, stands.group, stands, fell)
        return [found] if blind(stands, fell) else []

    def _revived(self, came: BookSet, *, known: bool) -> list[Change]:
        """A delete that met an edit which it had not seen, in either order: the edit wins."""
        life = self.book.get((came.object, LIFE))
        item = self.catalogue.by_id(came.object) if life is not None else None
        if item is None or life is None:
            return []
        groups = self.book.stamps(came.object)
        newest = max((g for g in groups if g != LIFE), key=lambda g: groups[g])
        edit = self.book.get((came.object, newest))
        assert edit is not None, "an object has groups"
        new = not known or came.group == LIFE
        return [Conflicted(item, LIFE, edit, life)] if new else []


def key_of(record: Record) -> Key:
    """Under which key a record stands."""
    return (record.object, record.group) if isinstance(record, BookSet) else record.key
