"""The book: configuration, which anyone may edit anywhere.

Per (object, field group) the newest stamp wins and replaces the older everywhere; equal stamps fall to the larger writer's
name. So two nodes that have seen the same edits, in whatever order, hold the same book (a last-writer-wins map). The death
of a node removes nothing from it. A deleted group stays as a stamp without a value, so that an old edit cannot bring it back;
a deleted object by its group LIFE, until all have heard of it (core/records/graves.py).

    LIFE     written by a delete: the stamps of all groups that the delete had seen. An edit that it had not seen, whatever the
             clocks say, is newer than what stands there, and the object lives: losing one is worse than keeping one. Of two
             deletes that met, the newest of what either had seen stands there.

The book keeps values as bytes: what a newer release wrote is kept and passed on by an older one that cannot read it.
What the bytes mean is said in `objects/`, one file a kind.
"""

from collections.abc import Iterator

import msgspec

from pbxfed_ari.core.messages import UNREADABLE, BookSet

BookKey = tuple[bytes, int]  # object id, field group
LIFE = 0  # the group that a delete writes, in objects of every kind
_pack = msgspec.msgpack.encode
_decode_seen = msgspec.msgpack.Decoder(list[tuple[int, int]]).decode


def blind(some: BookSet, other: BookSet) -> bool:
    """Was the newer of two edits of a group made without knowing the older? It says which stamp it replaced.

    No is also the answer if the newer one replaced another that was made so: what had seen what is not kept any further.
    """
    older, newer = sorted((some, other), key=lambda e: (e.stamp, e.writer))
    return older.writer != newer.writer and newer.over < older.stamp


def seen(stamps: dict[int, int]) -> bytes:
    """What a delete writes: the stamp of each group that it has seen."""
    return _pack(sorted((group, stamp) for group, stamp in stamps.items() if group != LIFE))


def had_seen(life: bytes | None) -> dict[int, int]:
    """What deletes had seen, as `seen` wrote it; nothing, if that cannot be read."""
    try:
        return dict(_decode_seen(life)) if life is not None else {}
    except UNREADABLE:
        return {}


def lives(stamps: dict[int, int], life: bytes | None) -> bool:
    """Has anything been written that no delete had seen?"""
    if life is None:
        return True
    known = had_seen(life)
    return any(stamp > known.get(group, 0) for group, stamp in stamps.items() if group != LIFE)


class Book:
    """All entries, by object and field group. An entry is the newest edit of its group, and says who wrote it."""

    def __init__(self) -> None:
        # there may be many objects: a tuple of a few entries takes a quarter of a dictionary
        self._objects: dict[bytes, tuple[BookSet, ...]] = {}

    def __repr__(self) -> str:
        return f"Book({len(self._objects)} objects)"

    def get(self, key: BookKey) -> BookSet | None:
        """What stands under this key, deleted or not."""
        for entry in self._objects.get(key[0], ()):
            if entry.group == key[1]:
                return entry
        return None

    def groups(self, object_id: bytes) -> dict[int, bytes]:
        """The groups of an object that hold a value."""
        entries = self._objects.get(object_id, ())
        return {e.group: e.value for e in entries if e.value is not None}

    def stamp(self, object_id: bytes, group: int) -> tuple[int, str]:
        """When and by whom a group was last written; (0, "") if never."""
        entry = self.get((object_id, group))
        return (entry.stamp, entry.writer) if entry else (0, "")

    def stamps(self, object_id: bytes) -> dict[int, int]:
        """When each group of an object was last written."""
        return {entry.group: entry.stamp for entry in self._objects.get(object_id, ())}

    def entries(self, object_id: bytes) -> tuple[BookSet, ...]:
        """All groups of an object, deleted or not."""
        return self._objects.get(object_id, ())

    def lives(self, object_id: bytes) -> bool:
        """Is an object there, as far as its deletes say? One that was never heard of is not dead."""
        life = self.get((object_id, LIFE))
        return life is None or lives(self.stamps(object_id), life.value)

    def remove(self, key: BookKey) -> BookSet | None:
        """Forget an entry altogether. Returns what it was."""
        entry = self.get(key)
        if entry is not None:
            others = self._others(entry)
            if others:
                self._objects[key[0]] = others
            else:
                del self._objects[key[0]]
        return entry

    def newest_stamp(self) -> int:
        """The newest stamp of all; 0 in an empty book."""
        return max((e.stamp for entries in self._objects.values() for e in entries), default=0)

    def objects(self) -> Iterator[bytes]:
        """The ids of all objects ever written, in a fixed order."""
        return iter(sorted(self._objects))

    def entry(self, record: BookSet, writer: str) -> BookSet:
        """An edit as it would stand here: with its writer; what the object's other groups say, too, is once in memory."""
        object_id, stamp = record.object, record.stamp
        for other in self._objects.get(object_id, ()):
            object_id = other.object
            if other.stamp == stamp:  # they were edited together
                stamp = other.stamp
                break
        return BookSet(object_id, record.group, stamp, writer, record.value, record.over)

    def merge(self, came: BookSet) -> bool:
        """Take an edit in. True if it is news, False if it is old or already here.

        One edit with two values (damage, somewhere) is decided alike everywhere, too: the larger bytes. Of two deletes both had
        seen what they had seen: neither brings back what the other has removed.
        """
        held = self.get((came.object, came.group))
        if held is not None and came.group == LIFE:
            return self._merge_deletes(held, came)
        if held is not None and _rank(held) >= _rank(came):
            return False
        self._put(came)
        return True

    def _merge_deletes(self, held: BookSet, came: BookSet) -> bool:
        known, more = had_seen(held.value), had_seen(came.value)
        together = seen(
            {g: max(known.get(g, 0), more.get(g, 0)) for g in known.keys() | more.keys()}
        )
        newest = max(held, came, key=lambda e: (e.stamp, e.writer))
        self._put(BookSet(held.object, LIFE, newest.stamp, newest.writer, together))
        return (newest.stamp, newest.writer, together) != (held.stamp, held.writer, held.value)

    def _put(self, entry: BookSet) -> None:
        self._objects[entry.object] = (*self._others(entry), entry)

    def _others(self, entry: BookSet) -> tuple[BookSet, ...]:
        entries = self._objects.get(entry.object, ())
        return tuple(e for e in entries if e.group != entry.group)


def _rank(entry: BookSet) -> tuple[int, str, bytes]:
    return entry.stamp, entry.writer, entry.value or b""
