"""The directory: shelves and book as one view, and how both change by what peers publish.

Asking it is free of cost (dictionaries, kept up to date by each change); it is read-only for everyone but the federation.
Every method that changes it returns what has changed, in the past tense, so that the federation can draw conclusions.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pbxfed_ari.core import shelf
from pbxfed_ari.core.book import Book, Entry, blind
from pbxfed_ari.core.messages import BookSet, Piece, Record, ShelfDrop, ShelfPut
from pbxfed_ari.core.names import Extension, NodeName, ObjectId
from pbxfed_ari.core.objects import extension as extensions
from pbxfed_ari.core.objects.extension import Phone
from pbxfed_ari.core.roster import KEYS, MEMBER, name_of
from pbxfed_ari.core.shelf import Contact, NodeInfo
from pbxfed_ari.core.streams import Ancestry, Key, StreamId, Streams

PIECE_BYTES = (
    1_000  # of records in one piece: with seal and headers one frame that no path must cut
)
MOST_UNSURE = 3  # registrations of unknown time that ring along
RECORD_COST = 24  # bytes that a record needs beside its key and value, at most


@dataclass(frozen=True, slots=True)
class ContactChanged:
    """A registration on a node's shelf is new, newer or gone (`stamp` None)."""

    node: NodeName
    extension: Extension
    uri: str
    stamp: int | None


@dataclass(frozen=True, slots=True)
class InfoChanged:
    """A node's description is new."""

    node: NodeName


@dataclass(frozen=True, slots=True)
class PhoneChanged:
    """What stands for a number in the book may be another phone, a changed one, or none."""

    number: Extension


@dataclass(frozen=True, slots=True)
class Conflicted:
    """Two edits of one field group were made without knowing of one another; one of them stands, here and everywhere."""

    number: Extension
    group: int
    stands: Entry
    fell: Entry


@dataclass(frozen=True, slots=True)
class MemberChanged:
    """The book says something new of a node's membership."""

    node: NodeName


@dataclass(frozen=True, slots=True)
class KeyGranted:
    """A group key was handed to a node, or taken from it."""

    node: NodeName


Change = ContactChanged | InfoChanged | PhoneChanged | Conflicted | MemberChanged | KeyGranted


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
        self._shelves: dict[NodeName, dict[str, bytes]] = {}
        self._contacts: dict[Extension, dict[tuple[NodeName, str], Contact]] = {}
        self._infos: dict[NodeName, NodeInfo] = {}
        self._phones: dict[bytes, Phone] = {}  # by object id
        self._claims: dict[Extension, set[bytes]] = {}  # objects that claim a number
        self.hidden: frozenset[NodeName] = frozenset()  # nodes whose shelf counts no more

    def __repr__(self) -> str:
        return f"Directory({len(self._phones)} extensions, {len(self._contacts)} registered)"

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

    def phone(self, number: Extension) -> Phone | None:
        """The extension that holds this number: of several claims, the oldest."""
        return min(self._claimants(number), key=_age, default=None)

    def claims(self, number: Extension) -> list[Phone]:
        """The objects that claim a number, the one that holds it first; the others stand disabled."""
        return sorted(self._claimants(number), key=_age)

    def by_id(self, object_id: bytes) -> Phone | None:
        """The extension with this id, whether it holds its number or not."""
        return self._phones.get(object_id)

    def phones(self) -> list[Phone]:
        """All extensions that hold their number, by number."""
        found = (self.phone(number) for number in sorted(self._claims))
        return [phone for phone in found if phone is not None]

    def contested(self) -> list[Phone]:
        """Extensions whose number is held by an older claim: they stand disabled."""
        several = sorted(number for number, objects in self._claims.items() if len(objects) > 1)
        return [phone for number in several for phone in self.claims(number)[1:]]

    def devices(self, number: Extension) -> int:
        """How many phones may be registered under this number at once."""
        phone = self.phone(number)
        return phone.devices if phone else extensions.DEFAULT_DEVICES

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

    def registered(self) -> list[Extension]:
        """All numbers that stand registered on any shelf."""
        return sorted(self._contacts)

    def contacts_of(self, node: NodeName) -> set[tuple[Extension, str]]:
        """The registrations on one node's shelf."""
        keys = (shelf.contact_of_key(key) for key in self._shelves.get(node, ()))
        return {contact for contact in keys if contact is not None}

    def own(self, node: NodeName, number: Extension) -> set[tuple[Extension, str]]:
        """The registrations of one number on one node's shelf."""
        return {(number, uri) for n, uri in self._contacts.get(number, {}) if n == node}

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
        self, stream: StreamId, records: Iterable[tuple[int, Record]], to: int
    ) -> list[Change]:
        """Take in records of a stream, all that it has through `to`; the caller checked that none is missing."""
        changes: list[Change] = []
        held = self.streams.held(stream)
        for version, record in records:
            if version <= held:
                continue
            self.streams.note(stream, version, _key(record))
            changes += self._take(stream, record)
        self.streams.advance(stream, to)
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
        if found is None or found.held <= above or above < found.base:
            return []
        end = min(found.held, upto) if upto else found.held
        pieces: list[Piece] = []
        base, batch, size = above, list[tuple[int, Record]](), 0
        for version, key in found.above(above):
            if version > end:
                break
            record = self._record(stream[0], key)
            cost = _cost(record)
            if batch and size + cost > PIECE_BYTES:
                last = batch[-1][0]
                final = len(pieces) + 1 == at_most
                pieces.append(Piece(*stream, base, last, tuple(batch), more=True, last=final))
                if final:
                    return pieces
                base, batch, size = last, [], 0
            batch.append((version, record))
            size += cost
        pieces.append(Piece(*stream, base, end, tuple(batch)))
        return pieces

    # --- helpers

    def _claimants(self, number: Extension) -> list[Phone]:
        return [self._phones[o] for o in self._claims.get(number, ())]

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
        if on.get(key) == value:
            return []
        if value is None:
            del on[key]
        else:
            on[key] = value
        if key == shelf.INFO_KEY:
            return self._describe(node, value)
        contact = shelf.contact_of_key(key)
        return [] if contact is None else self._register(node, *contact, value)

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
        if contact is None:
            known.pop((node, uri), None)
        else:
            known[(node, uri)] = contact
        if not known:
            del self._contacts[number]
        return [ContactChanged(node, number, uri, contact.stamp if contact else None)]

    def _enter(self, record: BookSet, writer: str) -> list[Change]:
        held = self.book.get((record.object, record.group))
        news = self.book.merge(record, writer)
        if record.object[:1] == MEMBER:
            return [MemberChanged(name_of(record.object))] if news else []
        if record.object[:1] == KEYS:
            return [KeyGranted(name_of(record.object))] if news else []
        if record.object[:1] != extensions.KIND_BYTE:
            return []
        came = Entry(record.stamp, writer, record.value, record.over)
        rival = held if held is not None and record.group != extensions.LIFE else None
        if not news:
            return self._conflict(record, rival, came)
        before = self._phones.pop(record.object, None)
        groups = self.book.groups(record.object)
        alive = extensions.lives(self.book.stamps(record.object), groups.get(extensions.LIFE))
        claimed = self.book.stamp(record.object, extensions.CLAIM)
        after = extensions.read(record.object, groups, claimed) if alive else None
        if before is not None:
            self._claims[before.number].discard(record.object)
            if not self._claims[before.number]:
                del self._claims[before.number]
        if after is not None:
            self._phones[record.object] = after
            self._claims.setdefault(after.number, set()).add(record.object)
        numbers = {phone.number for phone in (before, after) if phone is not None}
        changed = [PhoneChanged(number) for number in sorted(numbers)]
        return [*changed, *self._conflict(record, came, rival), *self._revived(record, before)]

    def _conflict(self, record: BookSet, stands: Entry | None, fell: Entry | None) -> list[Change]:
        phone = self._phones.get(record.object)
        if phone is None or stands is None or fell is None or stands.value == fell.value:
            return []
        found = Conflicted(phone.number, record.group, stands, fell)
        return [found] if blind(stands, fell) else []

    def _revived(self, record: BookSet, before: Phone | None) -> list[Change]:
        """A delete that met an edit which it had not seen, in either order: the edit wins."""
        phone = self._phones.get(record.object)
        life = self.book.get((record.object, extensions.LIFE))
        if phone is None or life is None:
            return []
        groups = self.book.stamps(record.object)
        newest = max((g for g in groups if g != extensions.LIFE), key=lambda g: groups[g])
        edit = self.book.get((record.object, newest))
        assert edit is not None, "a phone has groups"
        new = before is None or record.group == extensions.LIFE
        return [Conflicted(phone.number, extensions.LIFE, edit, life)] if new else []

    def _record(self, origin: NodeName, key: Key) -> Record:
        """The current record for a key of an origin's stream; a book entry may be another writer's by now."""
        if isinstance(key, str):
            value = self.shelf_value(origin, key)
            return ShelfDrop(key) if value is None else ShelfPut(key, value)
        entry = self.book.get(key)
        assert entry is not None, "what a stream indexes stands in the book"
        writer = "" if entry.writer == origin else entry.writer
        return BookSet(*key, entry.stamp, writer, entry.value, entry.over)


def _age(phone: Phone) -> tuple[tuple[int, str], ObjectId]:
    return phone.claimed, phone.id


def _key(record: Record) -> Key:
    return (record.object, record.group) if isinstance(record, BookSet) else record.key


def _cost(record: Record) -> int:
    if isinstance(record, BookSet):
        return RECORD_COST + len(record.object) + len(record.value or b"") + len(record.writer)
    return (
        RECORD_COST + len(record.key) + len(record.value if isinstance(record, ShelfPut) else b"")
    )
