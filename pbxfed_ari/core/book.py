"""The book: configuration, which anyone may edit anywhere.

Per (object, field group) the newest stamp wins and replaces the older everywhere; equal stamps fall to the larger writer's
name. So two nodes that have seen the same edits, in whatever order, hold the same book (a last-writer-wins map). The death
of a node removes nothing from it. A deleted group stays as a stamp without a value, so that an old edit cannot bring it back.

The book keeps values as bytes: what a newer release wrote is kept and passed on by an older one that cannot read it.
What the bytes mean is said in `objects/`, one file a kind.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pbxfed_ari.core.messages import BookSet

BookKey = tuple[bytes, int]  # object id, field group


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands for one field group: the newest edit of it."""

    stamp: int
    writer: str
    value: bytes | None
    over: int = 0  # the newest stamp of another writer that it replaced, itself or by an earlier edit of its writer


def blind(some: Entry, other: Entry) -> bool:
    """Was the newer of two edits of a group made without knowing the older? It says which stamp it replaced.

    No is also the answer if the newer one replaced another that was made so: what had seen what is not kept any further.
    """
    older, newer = sorted((some, other), key=lambda e: (e.stamp, e.writer))
    return older.writer != newer.writer and newer.over < older.stamp


class Book:
    """All entries, by object and field group."""

    def __init__(self) -> None:
        self._objects: dict[bytes, dict[int, Entry]] = {}

    def __repr__(self) -> str:
        return f"Book({len(self._objects)} objects)"

    def get(self, key: BookKey) -> Entry | None:
        """What stands under this key, deleted or not."""
        return self._objects.get(key[0], {}).get(key[1])

    def groups(self, object_id: bytes) -> dict[int, bytes]:
        """The groups of an object that hold a value."""
        entries = self._objects.get(object_id, {})
        return {group: e.value for group, e in entries.items() if e.value is not None}

    def stamp(self, object_id: bytes, group: int) -> tuple[int, str]:
        """When and by whom a group was last written; (0, "") if never."""
        entry = self.get((object_id, group))
        return (entry.stamp, entry.writer) if entry else (0, "")

    def stamps(self, object_id: bytes) -> dict[int, int]:
        """When each group of an object was last written."""
        return {group: entry.stamp for group, entry in self._objects.get(object_id, {}).items()}

    def newest_stamp(self) -> int:
        """The newest stamp of all; 0 in an empty book."""
        return max(
            (e.stamp for groups in self._objects.values() for e in groups.values()), default=0
        )

    def objects(self) -> Iterator[bytes]:
        """The ids of all objects ever written, in a fixed order."""
        return iter(sorted(self._objects))

    def merge(self, record: BookSet, writer: str) -> bool:
        """Take an edit in. True if it is news, False if it is old or already here."""
        groups = self._objects.setdefault(record.object, {})
        held = groups.get(record.group)
        if held is not None and (held.stamp, held.writer) >= (record.stamp, writer):
            return False
        groups[record.group] = Entry(record.stamp, writer, record.value, record.over)
        return True
