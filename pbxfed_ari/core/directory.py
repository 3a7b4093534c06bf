"""The directory: shelves and book as one view, and how both change by what peers publish.

Asking it is free of cost (dictionaries, kept up to date by each change); it is read-only for everyone but the federation.
Every method that changes it returns what has changed (`changes.py`), so that the federation can draw conclusions.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from pbxfed_ari.core import shelf
from pbxfed_ari.core.book import LIFE, Book, BookKey, blind
from pbxfed_ari.core.book import Entry as Edit
from pbxfed_ari.core.changes import (
    Absorbed,
    Change,
    Conflicted,
    ContactChanged,
    FailuresChanged,
    Gone,
    InfoChanged,
    KeyGranted,
    MemberChanged,
    ObjectChanged,
)
from pbxfed_ari.core.contents import Contents
from pbxfed_ari.core.cutting import Cutter
from pbxfed_ari.core.graves import Graves
from pbxfed_ari.core.messages import BookSet, Piece, Record, ShelfDrop, ShelfPut
from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.objects import KINDS, kind_of
from pbxfed_ari.core.objects.extension import Phone
from pbxfed_ari.core.objects.kind import CLAIM, ENTRY, Entry, Item, Kind, read_entry
from pbxfed_ari.core.roster import KEYS, MEMBER, name_of
from pbxfed_ari.core.shelf import Contact, NodeInfo
from pbxfed_ari.core.streams import Ancestry, Key, StreamId, Streams

MOST_UNSURE = 3  # registrations of unknown time that ring along
READ = 8_192  # objects kept as they were read from the book; the others are read when they are asked for
NUMBER = "number"  # the space of all that can be dialed


@dataclass(frozen=True, slots=True)
class Registration:
    """Where a phone is registered."""

    node: NodeName
    uri: str
    stamp: int
    sure: bool = True


class Directory:
    """What this node knows of all."""

    def __init__(self) -> None:
        self.streams = Streams()
        self.book = Book()
        self.contents = Contents()
        self.graves = Graves()
        self.moment = 1  # counts the times that something was taken in
        self.wall = 0  # seconds since 1970, as last told; 0: unknown
        self.salvaged: set[Key] = set()  # what of the book a store kept ASIDE
        self._cutter = Cutter()
        self._limbo: dict[BookKey, tuple[Edit, list[StreamId]]] = {}  # see `settle`
        self._shelves: dict[NodeName, dict[str, bytes]] = {}
        self._contacts: dict[Extension, dict[tuple[NodeName, str], Contact]] = {}
        self._registered: Counter[NodeName] = Counter()  # how many on each shelf
        self._infos: dict[NodeName, NodeInfo] = {}
        self.failures: dict[str, dict[NodeName, int]] = {}  # address → node → told by it
        self.places: dict[str, dict[NodeName, int]] = {}  # number of a room → node → stamp
        self._keys: dict[bytes, str] = {}  # what each object claims
        self._claims: dict[str, dict[str, tuple[bytes, ...]]] = {}  # space → key → its objects
        self._ordered: dict[bytes, list[str]] = {}  # keys, as last asked for, by their kind's byte
        self._contested: dict[tuple[str, str], None] = {}  # claimed by several
        self._counts: Counter[bytes] = Counter()  # objects of each kind
        self._entries: dict[bytes, dict[bytes, Entry]] = {}  # of sets, by their owner
        self._entry_owners: dict[bytes, bytes] = {}
        self._read: dict[bytes, Item] = {}  # objects as they were read lately
        self.hidden: frozenset[NodeName] = frozenset()  # nodes whose shelf counts no more

    def __repr__(self) -> str:
        return f"Directory({len(self._keys)} objects, {len(self._contacts)} registered)"

    # --- asking

    def info(self, node: NodeName) -> NodeInfo | None:
        """A node's description, if it was heard."""
        return None if node in self.hidden else self._infos.get(node)

    def known(self) -> list[NodeName]:
        """Every node that ever described itself."""
        return sorted(self._infos)

    def infos(self) -> dict[NodeName, NodeInfo]:
        """All descriptions, by node."""
        return self._infos

    def get(self, space: str, key: str) -> Item | None:
        """The object that holds this key: of several claims, the oldest."""
        objects = self._claims.get(space, {}).get(key, ())
        if len(objects) == 1:
            return self.by_id(objects[0])
        return min(self._items(objects), key=_age, default=None)

    def claims(self, key: str, space: str = NUMBER) -> list[Item]:
        """The objects that claim a key, the one that holds it first; the others stand disabled."""
        return sorted(self._items(self._claims.get(space, {}).get(key, ())), key=_age)

    def claimants(self, space: str, key: str) -> tuple[bytes, ...]:
        """The ids of the objects that claim a key, in no order."""
        return self._claims.get(space, {}).get(key, ())

    def by_id(self, object_id: bytes) -> Item | None:
        """The object with this id, whether it holds its key or not."""
        found = self._read.get(object_id)
        if found is None and object_id in self._keys:
            kind = kind_of(object_id)
            assert kind is not None, "what claims a key is of a kind"
            found = self._look(kind, object_id)
        return found

    def all(self, kind: Kind) -> list[Item]:
        """All objects of a kind that hold their key, by key."""
        return [self._item(object_id) for _, object_id in self._holders(kind)]

    def keys(self, kind: Kind) -> Sequence[str]:
        """The keys that objects of a kind claim, in order."""
        found = self._ordered.get(kind.byte)
        if found is None:
            claims, byte = self._claims.get(kind.space, {}), kind.byte[0]
            found = sorted(k for k, o in claims.items() if o[0][0] == byte or _any(o, byte))
            self._ordered[kind.byte] = found
        return found

    def count(self, kind: Kind) -> int:
        """How many objects of a kind there are."""
        return self._counts[kind.byte]

    def phone(self, number: Extension) -> Phone | None:
        """The extension that holds this number."""
        found = self.get(NUMBER, number)
        return found if isinstance(found, Phone) else None

    def phones(self) -> list[Phone]:
        """All extensions that hold their number, by number."""
        return [item for item in self.all(KINDS["extension"]) if isinstance(item, Phone)]

    def contested(self) -> list[Item]:
        """Objects whose key is held by an older claim: they stand disabled."""
        several = sorted(self._contested)
        return [item for space, key in several for item in self.claims(key, space)[1:]]

    def entries(self, owner: bytes) -> dict[bytes, Entry]:
        """The entries of an object's set fields, by their ids."""
        return self._entries.get(owner, {})

    def etag(self, object_id: bytes) -> str:
        """Changes whenever the object does: 16 hexadecimal digits."""
        stamps = [(object_id, self.book.stamps(object_id))]
        stamps += [(entry, self.book.stamps(entry)) for entry in sorted(self.entries(object_id))]
        data = repr([(i, sorted(found.items())) for i, found in stamps]).encode()
        return blake2b(data, digest_size=8).hexdigest()

    def devices(self, number: Extension) -> int:
        """How many phones may be registered under this number at once."""
        phone = self.phone(number)
        return phone.devices if phone else 1

    def registrations(
        self, number: Extension, counts: Callable[[NodeName], bool]
    ) -> list[Registration]:
        """Where a number is registered, newest first, on nodes that count.

        Of one URI on several shelves only the newest stands (a phone that moved); beyond the device limit, the newest.
        An unsure one rings along until something sure has happened after it: it may be where the phone really is.
        """
        known = self._contacts.get(number)
        if not known:
            return []
        standing = [
            Registration(n, uri, contact.stamp, contact.sure)
            for (n, uri), contact in known.items()
            if counts(n)
        ]
        standing.sort(key=lambda r: (not r.sure, -r.stamp, r.node, r.uri))
        newest: dict[str, Registration] = {}
        for registration in standing:
            newest.setdefault(registration.uri, registration)
        sure = [r for r in newest.values() if r.sure][: self.devices(number)]
        last = sure[0].stamp if sure else 0
        unsure = [r for r in newest.values() if not r.sure and r.stamp >= last]
        return sure + unsure[:MOST_UNSURE]

    def registered(self, counts: Callable[[NodeName], bool] = lambda node: True) -> list[Extension]:
        """All numbers that stand registered on any shelf, of a node that counts."""
        found = self._contacts.items()
        return sorted(number for number, known in found if any(counts(n) for n, _ in known))

    def registered_at(self, node: NodeName) -> int:
        """How many registrations stand on one node's shelf."""
        return self._registered[node]

    def contacts_of(self, node: NodeName) -> set[tuple[Extension, str]]:
        """The registrations on one node's shelf."""
        keys = (shelf.contact_of_key(key) for key in self._shelves.get(node, ()))
        return {contact for contact in keys if contact is not None}

    def own(self, node: NodeName, number: Extension) -> set[tuple[Extension, str]]:
        """The registrations of one number on one node's shelf."""
        return {(number, uri) for n, uri in self._contacts.get(number, {}) if n == node}

    def fingerprint(self) -> int:
        """64 bits of what is held: equal on two nodes if they hold the same numbers and the same contents."""
        data = b"%d %d" % (self.streams.vector_hash(), self.contents.total)
        return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")

    def stamps(self) -> list[int]:
        """Every stamp that stands: a restarted clock begins above them."""
        stamps = [c.stamp for known in self._contacts.values() for c in known.values()]
        return [*stamps, self.book.newest_stamp()]

    def newest_stamp(self, number: Extension) -> int:
        """The newest registration's stamp of a number, on any shelf; 0 if there is none."""
        return max((c.stamp for c in self._contacts.get(number, {}).values()), default=0)

    def shelf_value(self, node: NodeName, key: str) -> bytes | None:
        """What stands under a key of a node's shelf."""
        return self._shelves.get(node, {}).get(key)

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
            self.streams.note(stream, version, key_of(record))
            changes += self._take(stream, record)
        self.streams.advance(stream, to)
        self.streams.open(stream).raise_floor(floor)
        self.moment += 1
        return changes

    def adopt(self, origin: NodeName, epoch: int, lineage: Ancestry) -> list[Change]:
        """A newer epoch of an origin: what it does not vouch for leaves its shelf."""
        changes: list[Change] = []
        for key in self.streams.adopt(origin, epoch, lineage):
            if isinstance(key, str):
                changes += self._shelve(origin, key, None)
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
            yield version, self._record(stream[0], key)

    # --- forgetting the dead

    def collect(self, bound: int) -> list[Gone]:
        """Some of what died before this moment, or a month ago, is forgotten altogether."""
        gone: list[Gone] = []
        for grave in self.graves.due(bound, self.wall):
            self.graves.open(grave)
            if isinstance(grave, bytes):
                gone += self._unbook([(grave, group) for group in self.book.stamps(grave)])
            elif isinstance(grave[0], bytes):
                gone += self._unbook([(grave[0], int(grave[1]))])
            else:
                origin, key = NodeName(grave[0]), str(grave[1])
                gone += self._unindex((origin, self.streams.current_epoch(origin)), [key])
        return gone

    # --- healing

    def heal(
        self, stream: StreamId, records: Iterable[tuple[int, Record]], *, from_origin: bool
    ) -> tuple[list[tuple[int, Record]], list[Change]]:
        """Look again at what is held already. Returns what was not so here, as it stands now, and what changed.

        A shelf follows its origin; among others what stands beats what does not, and larger bytes smaller ones.
        """
        index = self.streams.get(stream)
        healed: list[tuple[int, Record]] = []
        changes: list[Change] = []
        for version, record in records:
            if index is None or version > index.held:
                continue
            key = key_of(record)
            known, before = index.number(key), self._record(stream[0], key)
            if not known and before is None and version <= index.floor:
                continue  # collected here
            shelved = isinstance(key, str) and not from_origin
            if version < known or (shelved and _worth(record) <= _worth(before)):
                continue
            index.note(version, key)
            changes += self._take(stream, record)
            after = self._record(stream[0], key)
            if after is not None and (after != before or not known):
                healed.append((version, after))
        if healed:
            self.moment += 1
        return healed, changes

    def settle(
        self, stream: StreamId, named: set[Key], floor: int, *, from_origin: bool
    ) -> tuple[list[Gone], list[Change]]:
        """A stream was read anew: what is not named and numbered up to `floor` was collected where it was read.

        An object of which something else stands has been edited since: the groups that would go stand in limbo until
        nothing more is expected (`resolve`).
        """
        index = self.streams.get(stream)
        if index is None:
            return [], []
        gone: list[Gone] = []
        changes: list[Change] = []
        origin = stream[0]
        missing = [key for key in index if key not in named]
        for key in missing:
            if isinstance(key, str):
                if from_origin or index.number(key) <= floor:
                    changes += self._shelve(origin, key, None)
                    self.graves.open((origin, key))
                    gone += self._unindex(stream, [key])
            elif index.number(key) <= floor:
                entry = self.book.get(key)
                if entry is not None and not self.book.lives(key[0]):
                    self.graves.open(key[0])
                    gone += self._unbook([(key[0], group) for group in self.book.stamps(key[0])])
                elif entry is not None and entry.writer == origin:
                    changes += self._to_limbo(key)
                else:
                    gone += self._unindex(stream, [key])
        index.raise_floor(floor)
        return gone, changes

    @property
    def undecided(self) -> bool:
        """Does something stand in limbo?"""
        return bool(self._limbo)

    def resolve(self) -> tuple[list[BookSet], list[Gone]]:
        """Nothing more is expected: of what stands in limbo, what to publish anew, and what goes for good."""
        records: list[BookSet] = []
        gone: list[Gone] = []
        limbo, self._limbo = self._limbo, {}
        for key, (entry, streams) in limbo.items():
            if self.book.entries(key[0]):
                records.append(BookSet(*key, entry.stamp, entry.writer, entry.value, entry.over))
            gone += [Gone(stream, (key,), self.streams.floor(stream)) for stream in streams]
        return self._with_deaths(records, NodeName("")), gone

    def salvage(self, records: Iterable[BookSet]) -> None:
        """Take in what a damaged store could read still: whole edits, of which nobody knows any more where they stood."""
        for record in records:
            self._enter(record, record.writer)
            self.salvaged.add(key_of(record))

    def unindexed(self, me: NodeName) -> list[BookSet]:
        """What stands in the book and no stream names, or none of ours although we wrote it: it would not travel."""
        every, own = set[Key](), set[Key]()
        for stream in self.streams.ids():
            keys = self.streams.get(stream) or ()
            every.update(keys)
            own.update(keys if stream[0] == me else ())
        found = (
            self._record(me, (object_id, group))
            for object_id in self.book.objects()
            for group, entry in sorted(self.book.entries(object_id).items())
            if (object_id, group) not in (own if entry.writer == me else every)
        )
        return self._with_deaths([record for record in found if isinstance(record, BookSet)], me)

    def left_over(self, stream: StreamId) -> list[BookSet]:
        """What a stream of an earlier epoch names in the book and the present one does not."""
        origin = stream[0]
        old = self.streams.get(stream)
        present = self.streams.get((origin, self.streams.current_epoch(origin)))
        found: list[BookSet] = []
        for _, key in old.above(0) if old is not None else ():
            record = self._record(origin, key)
            if isinstance(record, BookSet) and (present is None or key not in present):
                found.append(record)
        return self._with_deaths(found, origin)

    # --- helpers

    def _with_deaths(self, records: Sequence[BookSet], origin: NodeName) -> list[BookSet]:
        """What an origin is to publish anew, and before it the deletes of what is dead: who has collected both is told both."""
        dead = dict.fromkeys((r.object, LIFE) for r in records if not self.book.lives(r.object))
        deletes = [
            delete for key in dead if isinstance(delete := self._record(origin, key), BookSet)
        ]
        return [*deletes, *(r for r in records if (r.object, r.group) not in dead)]

    def _holders(self, kind: Kind) -> Iterator[tuple[str, bytes]]:
        """Keys and objects, in the order of the keys."""
        for key, objects in sorted(self._claims.get(kind.space, {}).items()):
            holder = objects[0]
            if len(objects) > 1:
                holder = self.claims(key, kind.space)[0].id
            if holder[:1] == kind.byte:
                yield key, holder

    def _items(self, objects: Iterable[bytes]) -> list[Item]:
        return [self._item(object_id) for object_id in objects]

    def _item(self, object_id: bytes) -> Item:
        found = self.by_id(object_id)
        assert found is not None, "what claims a key can be read"
        return found

    def _look(self, kind: Kind, object_id: bytes) -> Item | None:
        """Read an object from the book."""
        if not self.book.lives(object_id):
            return None
        sets: dict[int, list[Entry]] = {}
        for entry in self._entries.get(object_id, {}).values():
            sets.setdefault(entry.group, []).append(entry)
        ordered = {
            group: tuple(
                dict.fromkeys(e.value for e in sorted(found, key=lambda e: (e.place, e.value)))
            )
            for group, found in sets.items()
        }
        claimed = self.book.stamp(object_id, CLAIM)
        found = kind.read(object_id, self.book.groups(object_id), claimed, ordered)
        if found is not None:
            if len(self._read) >= READ:
                self._read.clear()
            self._read[object_id] = found
        return found

    def _take(self, stream: StreamId, record: Record) -> list[Change]:
        origin, epoch = stream
        if isinstance(record, BookSet):
            return self._enter(record, record.writer or origin)
        if epoch < self.streams.current_epoch(origin):
            return []  # a stretch that the origin no longer vouches for; only its edits count
        value = record.value if isinstance(record, ShelfPut) else None
        return self._shelve(origin, record.key, value)

    def _shelve(self, node: NodeName, key: str, value: bytes | None) -> list[Change]:
        on = self._shelves.setdefault(node, {})
        if value is None:
            self.graves.bury((node, key), self.moment, self.wall)
        else:
            self.graves.open((node, key))
        before = on.get(key)
        if before == value:
            return []
        self.contents.shelf(node, key, before, -1)
        self.contents.shelf(node, key, value, 1)
        if value is None:
            del on[key]
        else:
            on[key] = value
        if key == shelf.INFO_KEY:
            return self._describe(node, value)
        if key == shelf.ABSORBED_KEY:
            pairs = shelf.decode_absorbed(value) if value is not None else ()
            done = [pair for pair in pairs if self.streams.absorb((node, pair[0]), pair[1])]
            return [Absorbed(node, *pair) for pair in done]
        if address := shelf.address_of_key(key):
            return self._failed(node, address, value)
        if number := shelf.number_of_key(key):
            return self._place(node, number, value)
        contact = shelf.contact_of_key(key)
        return [] if contact is None else self._register(node, *contact, value)

    def _failed(self, node: NodeName, address: str, value: bytes | None) -> list[Change]:
        count = shelf.decode_count(value) if value is not None else 0
        if count:
            self.failures.setdefault(address, {})[node] = count
        elif address in self.failures:
            self.failures[address].pop(node, None)
            if not self.failures[address]:
                del self.failures[address]
        return [FailuresChanged(node, address)]

    def _place(self, node: NodeName, number: str, value: bytes | None) -> list[Change]:
        """A room stands at a node, or does so no more."""
        found = shelf.decode_contact(value) if value is not None else None
        on = self.places.setdefault(number, {})
        if found is None:
            on.pop(node, None)
        else:
            on[node] = found.stamp
        if not on:
            del self.places[number]
        return []

    def _describe(self, node: NodeName, value: bytes | None) -> list[Change]:
        info = shelf.decode_info(value) if value is not None else None
        if info is None:
            self._infos.pop(node, None)
        else:
            self._infos[node] = info
        return [InfoChanged(node)]

    def _register(
        self, node: NodeName, number: Extension, uri: str, value: bytes | None
    ) -> list[Change]:
        contact: Contact | None = shelf.decode_contact(value) if value is not None else None
        known = self._contacts.setdefault(number, {})
        self._registered[node] += (contact is not None) - ((node, uri) in known)
        if contact is None:
            known.pop((node, uri), None)
        else:
            known[(node, uri)] = contact
        if not known:
            del self._contacts[number]
        return [ContactChanged(node, number, uri, contact.stamp if contact else None)]

    def _enter(self, record: BookSet, writer: str) -> list[Change]:
        held = self.book.get((record.object, record.group))
        rival = held if record.group != LIFE else None
        came = Edit(record.stamp, writer, record.value, record.over)
        known = record.object in self._keys
        if not self._merge(record, writer):
            return self._conflict(record, rival, came)
        changed = self._reread(record.object)
        return [*changed, *self._conflict(record, came, rival), *self._revived(record, known=known)]

    def _merge(self, record: BookSet, writer: str) -> bool:
        """Take an edit into the book, and keep contents and graves right."""
        object_id, key = record.object, (record.object, record.group)
        lived, before = self.book.lives(object_id), self.book.get(key)
        if not self.book.merge(record, writer):
            return False
        lives = self.book.lives(object_id)
        if lived and lives and record.group != LIFE:
            self.contents.book(key, before, -1)
            self.contents.book(key, self.book.get(key), 1)
        elif lived is not lives:
            for group, entry in self.book.entries(object_id).items():
                counted = before if lived and group == record.group else entry
                if group != LIFE:
                    self.contents.book((object_id, group), counted, -1 if lived else 1)
        if not lives:
            self.graves.bury(object_id, self.moment, self.wall)
        else:
            self.graves.open(object_id)
            if record.value is None:
                self.graves.bury(key, self.moment, self.wall)
            else:
                self.graves.open(key)
        return True

    def _unbook(self, keys: Sequence[BookKey]) -> list[Gone]:
        """These entries leave the book and every index. They are dead, or counted no more."""
        for key in keys:
            self.book.remove(key)
            self.graves.open(key)
        return [gone for stream in self.streams.ids() for gone in self._unindex(stream, keys)]

    def _unindex(self, stream: StreamId, keys: Sequence[Key]) -> list[Gone]:
        index = self.streams.get(stream)
        dropped = index.drop(keys) if index is not None else []
        return [Gone(stream, tuple(dropped), self.streams.floor(stream))] if dropped else []

    def _to_limbo(self, key: BookKey) -> list[Change]:
        entry = self.book.get(key)
        assert entry is not None, "who calls this has looked"
        if key[1] != LIFE:
            self.contents.book(key, entry, -1)
        streams = [gone.stream for gone in self._unbook([key])]
        self._limbo[key] = (entry, streams)
        return self._reread(key[0])

    def _reread(self, object_id: bytes) -> list[Change]:
        """What stands in the book for an object may be something else now."""
        if object_id[:1] in (MEMBER, KEYS):
            name = name_of(object_id)
            said = MemberChanged if object_id[:1] == MEMBER else KeyGranted
            return [said(name)] if name is not None else []
        if object_id[:1] == ENTRY:
            return self._reread_entry(object_id)
        kind = kind_of(object_id)
        if kind is None:
            return []
        self._read.pop(object_id, None)
        before = self._keys.pop(object_id, None)
        after = self._look(kind, object_id)
        if after is not None:
            self._keys[object_id] = after.key
        if before != (after.key if after else None):
            if before is not None:
                self._claim(kind, before, object_id, held=False)
            if after is not None:
                self._claim(kind, after.key, object_id, held=True)
        keys = {key for key in (before, after.key if after else None) if key is not None}
        return [ObjectChanged(kind.space, key) for key in sorted(keys)]

    def _claim(self, kind: Kind, key: str, object_id: bytes, *, held: bool) -> None:
        """An object claims a key, or does so no more."""
        claims = self._claims.setdefault(kind.space, {})
        others = tuple(o for o in claims.pop(key, ()) if o != object_id)
        objects = (*others, object_id) if held else others
        self._counts[kind.byte] += 1 if held else -1
        self._ordered.pop(kind.byte, None)
        if objects:
            claims[key] = objects
        if len(objects) > 1:
            self._contested[kind.space, key] = None
        else:
            self._contested.pop((kind.space, key), None)

    def _reread_entry(self, object_id: bytes) -> list[Change]:
        """An entry of a set has come, gone, or changed its place: its owner is another."""
        owner = self._entry_owners.pop(object_id, None)
        if owner is not None:
            self._entries[owner].pop(object_id)
            if not self._entries[owner]:
                del self._entries[owner]
        lives = self.book.lives(object_id)
        entry = read_entry(object_id, self.book.groups(object_id)) if lives else None
        if entry is not None and kind_of(entry.owner) is not None:
            owner = self._entry_owners[object_id] = entry.owner
            self._entries.setdefault(owner, {})[object_id] = entry
        return self._reread(owner) if owner is not None else []

    def _conflict(self, record: BookSet, stands: Edit | None, fell: Edit | None) -> list[Change]:
        item = self.by_id(record.object)
        if item is None or stands is None or fell is None or stands.value == fell.value:
            return []
        found = Conflicted(item, record.group, stands, fell)
        return [found] if blind(stands, fell) else []

    def _revived(self, record: BookSet, *, known: bool) -> list[Change]:
        """A delete that met an edit which it had not seen, in either order: the edit wins."""
        life = self.book.get((record.object, LIFE))
        item = self.by_id(record.object) if life is not None else None
        if item is None or life is None:
            return []
        groups = self.book.stamps(record.object)
        newest = max((g for g in groups if g != LIFE), key=lambda g: groups[g])
        edit = self.book.get((record.object, newest))
        assert edit is not None, "an object has groups"
        new = not known or record.group == LIFE
        return [Conflicted(item, LIFE, edit, life)] if new else []

    def _record(self, origin: NodeName, key: Key) -> Record | None:
        """The current record for a key of an origin's stream; a book entry may be another writer's by now, or lost."""
        if isinstance(key, str):
            value = self.shelf_value(origin, key)
            return ShelfDrop(key) if value is None else ShelfPut(key, value)
        entry = self.book.get(key)
        if entry is None:
            return None
        writer = "" if entry.writer == origin else entry.writer
        return BookSet(*key, entry.stamp, writer, entry.value, entry.over)


def _any(objects: tuple[bytes, ...], byte: int) -> bool:
    """Is one of these objects of the kind with this byte?"""
    return any(object_id[0] == byte for object_id in objects)


def _age(item: Item) -> tuple[tuple[int, str], bytes]:
    return item.age


def key_of(record: Record) -> Key:
    """Under which key a record stands."""
    return (record.object, record.group) if isinstance(record, BookSet) else record.key


def _worth(record: Record | None) -> bytes:
    return b"\1" + record.value if isinstance(record, ShelfPut) else b""
