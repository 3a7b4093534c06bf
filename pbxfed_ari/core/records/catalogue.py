"""The catalogue: which objects the book describes, and which of them holds each key.

Several may claim one key (two operators, on two sides of a cut): the oldest claim holds it, alike everywhere, and the others
stand disabled. What an object is stands in the book as bytes; here it is read, and kept as read while it is asked for. Keys,
claims and counts are kept up to date by each change, so that asking is free of cost.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b

from pbxfed_ari.core.names import Extension
from pbxfed_ari.core.records.book import Book
from pbxfed_ari.core.records.changes import Change, KeyGranted, MemberChanged, ObjectChanged
from pbxfed_ari.core.records.objects import KINDS, kind_of
from pbxfed_ari.core.records.objects.extension import Phone
from pbxfed_ari.core.records.objects.kind import CLAIM, ENTRY, Entry, Item, Kind, read_entry
from pbxfed_ari.core.records.roster import KEYS, MEMBER, name_of

READ = 8_192  # objects kept as they were read from the book; the others are read when they are asked for
NUMBER = "number"  # the space of all that can be dialed


class Catalogue:
    """All objects of the book that live."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._keys: dict[bytes, str] = {}  # what each object claims
        self._claims: dict[str, dict[str, tuple[bytes, ...]]] = {}  # space → key → its objects
        self._ordered: dict[bytes, list[str]] = {}  # keys, as last asked for, by their kind's byte
        self._contested: dict[tuple[str, str], None] = {}  # claimed by several
        self._counts: Counter[bytes] = Counter()  # objects of each kind
        self._entries: dict[bytes, dict[bytes, Entry]] = {}  # of sets, by their owner
        self._entry_owners: dict[bytes, bytes] = {}
        self._read: dict[bytes, Item] = {}  # objects as they were read lately

    def __repr__(self) -> str:
        return f"Catalogue({len(self._keys)} objects)"

    def __contains__(self, object_id: object) -> bool:
        """Does an object with this id live, and claim a key?"""
        return object_id in self._keys

    # --- asking

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
        if not self._counts[kind.byte]:
            return []
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

    def devices(self, number: Extension) -> int:
        """How many phones may be registered under this number at once."""
        phone = self.phone(number)
        return phone.devices if phone else 1

    def contested(self) -> list[Item]:
        """Objects whose key is held by an older claim: they stand disabled."""
        several = sorted(self._contested)
        return [item for space, key in several for item in self.claims(key, space)[1:]]

    def entries(self, owner: bytes) -> dict[bytes, Entry]:
        """The entries of an object's set fields, by their ids."""
        return self._entries.get(owner, {})

    def etag(self, object_id: bytes) -> str:
        """Changes whenever the object does: 16 hexadecimal digits."""
        stamps = [(object_id, self._book.stamps(object_id))]
        stamps += [(entry, self._book.stamps(entry)) for entry in sorted(self.entries(object_id))]
        data = repr([(i, sorted(found.items())) for i, found in stamps]).encode()
        return blake2b(data, digest_size=8).hexdigest()

    # --- changing

    def reread(self, object_id: bytes) -> list[Change]:
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

    def _reread_entry(self, object_id: bytes) -> list[Change]:
        """An entry of a set has come, gone, or changed its place: its owner is another."""
        owner = self._entry_owners.pop(object_id, None)
        if owner is not None:
            self._entries[owner].pop(object_id)
            if not self._entries[owner]:
                del self._entries[owner]
        lives = self._book.lives(object_id)
        entry = read_entry(object_id, self._book.groups(object_id)) if lives else None
        if entry is not None and kind_of(entry.owner) is not None:
            owner = self._entry_owners[object_id] = entry.owner
            self._entries.setdefault(owner, {})[object_id] = entry
        return self.reread(owner) if owner is not None else []

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

    # --- helpers

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
        if not self._book.lives(object_id):
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
        claimed = self._book.stamp(object_id, CLAIM)
        found = kind.read(object_id, self._book.groups(object_id), claimed, ordered)
        if found is not None:
            if len(self._read) >= READ:
                self._read.clear()
            self._read[object_id] = found
        return found


def _any(objects: tuple[bytes, ...], byte: int) -> bool:
    """Is one of these objects of the kind with this byte?"""
    return any(object_id[0] == byte for object_id in objects)


def _age(item: Item) -> tuple[tuple[int, str], bytes]:
    return item.age
