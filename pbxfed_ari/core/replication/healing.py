"""Healing: what is put right here when a stream is read anew (`reading.py`).

What was damaged is taken in again. What was collected where the stream was read goes here, too; unless something else of its
object stands: then that was edited since, and the groups that would go may be wanted still. They stand in limbo, out of the
book, until nothing more is expected.
"""

from collections.abc import Iterable

from pbxfed_ari.core.messages import BookSet, Record, ShelfPut
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.book import LIFE, BookKey
from pbxfed_ari.core.records.changes import Change, Gone
from pbxfed_ari.core.records.directory import Directory, key_of
from pbxfed_ari.core.records.streams import Key, StreamId
from pbxfed_ari.core.replication.republishing import with_deaths


class Healing:
    """Puts one node's directory right."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._limbo: dict[
            BookKey, tuple[BookSet, list[StreamId]]
        ] = {}  # and which streams named it

    def __repr__(self) -> str:
        return f"Healing({len(self._limbo)} in limbo)"

    def heal(
        self, stream: StreamId, records: Iterable[tuple[int, Record]], *, from_origin: bool
    ) -> tuple[list[tuple[int, Record]], list[Change]]:
        """Look again at what is held already. Returns what was not so here, as it stands now, and what changed.

        A shelf follows its origin; among others what stands beats what does not, and larger bytes smaller ones.
        """
        directory, index = self._directory, self._directory.streams.get(stream)
        healed: list[tuple[int, Record]] = []
        changes: list[Change] = []
        for version, record in records:
            if index is None or version > index.held:
                continue
            key = key_of(record)
            known, before = index.number(key), directory.record(stream[0], key)
            if not known and before is None and version <= index.floor:
                continue  # collected here
            shelved = isinstance(key, str) and not from_origin
            if version < known or (shelved and _worth(record) <= _worth(before)):
                continue
            index.note(version, key)
            changes += directory.take(stream, record)
            after = directory.record(stream[0], key)
            if after is not None and (after != before or not known):
                healed.append((version, after))
        if healed:
            directory.graves.moment += 1
        return healed, changes

    def settle(
        self, stream: StreamId, named: set[Key], floor: int, *, from_origin: bool
    ) -> tuple[list[Gone], list[Change]]:
        """A stream was read anew: what is not named and numbered up to `floor` was collected where it was read."""
        directory, index = self._directory, self._directory.streams.get(stream)
        if index is None:
            return [], []
        gone: list[Gone] = []
        changes: list[Change] = []
        origin, book = stream[0], directory.book
        missing = [key for key in index if key not in named]
        for key in missing:
            if isinstance(key, str):
                if from_origin or index.number(key) <= floor:
                    changes += directory.shelves.put(origin, key, None)
                    directory.graves.open((origin, key))
                    gone += directory.unindex(stream, [key])
            elif index.number(key) <= floor:
                entry = book.get(key)
                if entry is not None and not book.lives(key[0]):
                    directory.graves.open(key[0])
                    gone += directory.unbook([(key[0], group) for group in book.stamps(key[0])])
                elif entry is not None and entry.writer == origin:
                    changes += self._to_limbo(key, entry)
                else:
                    gone += directory.unindex(stream, [key])
        index.raise_floor(floor)
        return gone, changes

    def resolve(self) -> tuple[list[BookSet], list[Gone]]:
        """Nothing more is expected: of what stands in limbo, what to publish anew, and what goes for good."""
        records: list[BookSet] = []
        gone: list[Gone] = []
        limbo, self._limbo = self._limbo, {}
        for key, (entry, streams) in limbo.items():
            if self._directory.book.entries(key[0]):
                records.append(entry)
            floor = self._directory.streams.floor
            gone += [Gone(stream, (key,), floor(stream)) for stream in streams]
        return with_deaths(records, NodeName(""), self._directory), gone

    def _to_limbo(self, key: BookKey, entry: BookSet) -> list[Change]:
        if key[1] != LIFE:
            self._directory.contents.book(entry, -1)
        streams = [gone.stream for gone in self._directory.unbook([key])]
        self._limbo[key] = (entry, streams)
        return self._directory.catalogue.reread(key[0])


def _worth(record: Record | None) -> bytes:
    return b"\1" + record.value if isinstance(record, ShelfPut) else b""
