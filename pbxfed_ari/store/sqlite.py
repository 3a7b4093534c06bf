"""Streams in SQLite: shelf and book of all origins, as the records from which the directory is rebuilt.

WAL mode. Configuration is on the disk (fsync) before its editor gets an answer; registrations and replicas may lose the last
moments in a power cut: peers give them back. One row a key of a stream, replaced by a newer one, so the file does not grow
with edits; what is collected leaves it.

Each row carries a checksum. A damaged record is left out, and its stream held only as far as it is whole, so that peers repair
it; a stream of which it is not known how far it is held counts as held through nothing, and so do all in a file whose structure
is damaged, which is put aside. Edits that can be read are kept all the same, but without numbers: this node knows them, alone
too, and publishes what no stream names anew (`Directory.salvage`). The dead carry the second at which they came, for the day
when nobody waits for an answer any more.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from pbxfed_ari.core.effects import Persist, PersistAbsorbed, PersistGone, PersistLineage
from pbxfed_ari.core.messages import BookSet, Record
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.records.graves import Grave
from pbxfed_ari.core.records.streams import ASIDE, StreamId
from pbxfed_ari.errors import ConfigError
from pbxfed_ari.store.opening import ROOM, opened, refused
from pbxfed_ari.store.rows import (
    RECORD,
    STREAM,
    TABLES,
    decoder,
    edits_of,
    encode,
    grave_of,
    key_of,
    lineage_decoder,
    record_checksum,
    row_of,
    stream_checksum,
)

SCHEMA = 1
AT_ONCE = 500  # records read into the directory at once
log = logging.getLogger(__name__)
Kept = PersistLineage | PersistGone | PersistAbsorbed | Persist


class Store:
    """One node's file. Synchronous: a write takes some ten microseconds, a durable one a disk's flush. One thread at a time."""

    def __init__(self, path: Path | str, clock: Callable[[], float] = time.time) -> None:
        """Open or make the file (":memory:" for tests). `clock` tells the seconds since 1970.

        Raises: ConfigError, if it is not a database, or of a newer release, or cannot be written.
        """
        self.path = str(path)
        self._clock = clock
        self._ids: dict[StreamId, int] = {}
        try:
            self._db = self._open()
            found = int(self.fact("schema") or 0)
            if not found:
                self.remember("schema", str(SCHEMA))
        except (sqlite3.Error, OSError) as error:
            raise self._not_to_be_had(error) from None
        if found > SCHEMA:
            raise ConfigError(
                f"node.state: {self.path} was written by a newer release (schema {found})"
            )

    def belongs_to(self, name: NodeName) -> None:
        """Bind the file to a node, at its first start.

        Raises: ConfigError, if it is another node's: its streams must not go on under a second name.
        """
        owner = self.fact("node")
        if owner not in (None, name):
            raise ConfigError(
                f"node.state: {self.path} belongs to node {owner!r}, not to {name!r}: "
                "set node.name back, or name another folder"
            )
        if owner is None:
            try:
                self.remember("node", name)
            except sqlite3.Error as error:
                raise self._not_to_be_had(error) from None

    def close(self) -> None:
        """Write everything out."""
        self._db.close()

    def size(self) -> int:
        """Bytes on the disk, with what SQLite keeps beside the file."""
        files = (Path(self.path + suffix) for suffix in ("", "-wal", "-shm"))
        return sum(file.stat().st_size for file in files if file.exists())

    def fact(self, name: str) -> str | None:
        """A remembered text."""
        row = self._db.execute("select value from facts where name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def remember(self, name: str, value: str) -> None:
        """Keep a text under a name."""
        self._db.execute("insert or replace into facts values (?, ?)", (name, value))

    def perform(self, effect: Kept) -> None:
        """Keep what an effect says."""
        match effect:
            case Persist():
                self.persist(effect)
            case PersistLineage():
                self.persist_lineage(effect)
            case PersistGone():
                self.persist_gone(effect)
            case PersistAbsorbed():
                self.persist_absorbed(effect)

    def persist(self, effect: Persist) -> None:
        """Keep records. On the disk at return if the effect asks for it."""
        if not effect.durable:
            self._persist(effect)
            return
        self._db.execute("pragma synchronous=full")
        try:
            self._persist(effect)
        finally:
            self._db.execute("pragma synchronous=normal")

    def _persist(self, effect: Persist) -> None:
        with self._transaction():
            stream = self._id((effect.origin, effect.epoch))
            since = int(self._clock())
            self._db.executemany(
                "insert or replace into records values (?, ?, ?, ?, ?, ?)",
                [row_of(stream, effect.origin, v, since, r) for v, r in effect.records],
            )
            self._db.execute(
                "update streams set held = max(held, ?), floor = max(floor, ?) where id = ?",
                (effect.to, effect.floor, stream),
            )
            self._vouch("id", stream)

    def persist_lineage(self, effect: PersistLineage) -> None:
        """Rename what a new epoch continues; the same rule as `Streams.adopt`."""
        kept = dict(effect.earlier)
        heir, held = 0, 0
        with self._transaction():
            for row in self._db.execute(
                "select id, held from streams where origin = ? and epoch = ?",
                (effect.origin, effect.epoch),
            ):
                heir, held = row
            older = self._db.execute(
                "select id, epoch, base, held, floor from streams "
                "where origin = ? and epoch < ? order by epoch",
                (effect.origin, effect.epoch),
            ).fetchall()
            for stream, epoch, base, old_held, floor in older:
                through = max(base, kept.get(epoch, 0))
                if base == 0 and min(old_held, through) > held:
                    self._delete(heir)
                    heir, held = stream, min(old_held, through)
                    self._inherit(stream, (effect.origin, effect.epoch), through)
                    tail_floor = floor if floor > through else 0
                    self._cut(stream, (effect.origin, epoch), through, old_held, tail_floor)
                else:
                    self._shorten(stream, through, old_held)
            heir = heir or self._id((effect.origin, effect.epoch))
            self._db.execute(
                "update streams set held = ?, lineage = ? where id = ?",
                (held, encode(effect.earlier), heir),
            )
            self._vouch("origin", effect.origin)
        self._ids.clear()

    def persist_gone(self, effect: PersistGone) -> None:
        """Forget keys of a stream, and remember through where something was forgotten."""
        with self._transaction():
            stream = self._id((effect.origin, effect.epoch))
            self._db.executemany(
                "delete from records where stream = ? and key = ?",
                [(stream, key_of(key)) for key in effect.keys],
            )
            self._db.execute(
                "update streams set floor = max(floor, ?) where id = ?", (effect.floor, stream)
            )
            self._vouch("id", stream)

    def persist_absorbed(self, effect: PersistAbsorbed) -> None:
        """Forget what a stream holds through a version; it stands in a later one."""
        with self._transaction():
            for stream, held in self._db.execute(
                "select id, held from streams where origin = ? and epoch = ?",
                (effect.origin, effect.epoch),
            ).fetchall():
                self._shorten(stream, effect.through, held)
            self._vouch("origin", effect.origin)
        self._ids.clear()

    def load(self) -> Directory:
        """Everything that was kept, as a directory.

        Raises: ConfigError, if it is damaged, and the disk takes no repair.
        """
        try:
            checked = self._db.execute("pragma quick_check(1)").fetchone()[0]
            if checked != "ok":
                raise sqlite3.DatabaseError(checked)
            return self._load()
        except sqlite3.DatabaseError as error:
            if refused(error):
                raise self._not_to_be_had(error) from None
            return self._repaired(str(error))

    # --- helpers

    def _not_to_be_had(self, error: Exception) -> ConfigError:
        remedy = "move the file away to start empty, peers give back what they hold"
        disk = isinstance(error, OSError | sqlite3.OperationalError)
        return ConfigError(f"node.state: {self.path}: {error}; {ROOM if disk else remedy}")

    def _repaired(self, reason: str) -> Directory:
        try:
            self._salvage(reason)
            return self._load()
        except (sqlite3.Error, OSError) as error:
            raise self._not_to_be_had(error) from None

    def _open(self) -> sqlite3.Connection:
        db = opened(self.path)
        db.text_factory = lambda text: text.decode(
            errors="replace"
        )  # damaged ones have no checksum
        db.create_function("checksum_of", 6, stream_checksum, deterministic=True)
        db.executescript(TABLES)
        return db

    def _load(self) -> Directory:
        directory = Directory()
        dead: dict[Grave, int] = {}
        loose: list[BookSet] = []
        streams = self._db.execute(
            f"select id, {STREAM}, checksum from streams order by origin, epoch desc"
        ).fetchall()
        with self._transaction():
            for number, origin, epoch, base, held, floor, lineage, checksum in streams:
                stream = (NodeName(origin), epoch)
                whole = self._whole(number, stream[0])
                records = self._records(number, stream[0], dead)
                if stream == ASIDE:
                    loose += edits_of(stream[0], records)
                    continue
                if checksum != stream_checksum(origin, epoch, base, held, floor, lineage):
                    log.warning("store: how far stream %s %d is held is damaged", origin, epoch)
                    loose += edits_of(stream[0], records)
                    self._delete(number)
                    continue
                if lineage is not None:
                    directory.adopt(*stream, lineage_decoder.decode(lineage))
                directory.streams.open(stream, base)
                through = max(base, min(held, whole))
                while some := list(islice(records, AT_ONCE)):
                    directory.apply(stream, some, min(some[-1][0], through))
                    loose += edits_of(stream[0], (r for r in some if r[0] > through))
                directory.apply(stream, (), through, floor)
                if through < held:
                    self._cut_off(number, through)
            self._put_aside(loose)
        self._ids.clear()
        directory.salvage(loose)
        directory.graves.date(dead)
        return directory

    def _salvage(self, reason: str) -> None:
        """The file's structure is damaged: keep what can be read in a new one, as held through nothing."""
        edits: list[BookSet] = []
        facts: list[tuple[str, str]] = []
        lineages: list[tuple[str, int, bytes]] = []
        with suppress(sqlite3.DatabaseError):
            facts += self._db.execute("select name, value from facts")
        with suppress(sqlite3.DatabaseError):
            for *row, checksum in self._db.execute(f"select {STREAM}, checksum from streams"):
                if row[-1] is not None and checksum == stream_checksum(*row):
                    lineages.append((row[0], row[1], row[-1]))
        with suppress(sqlite3.DatabaseError):
            for origin, version, key, data, checksum in self._db.execute(
                f"select cast(origin as text), {RECORD}, records.checksum from records "
                "join streams on streams.id = stream"
            ):
                if checksum == record_checksum(origin, version, key, data):
                    edits += edits_of(origin, [(version, decoder.decode(data))])
        self._db.close()
        aside = f"{self.path}.damaged-{int(self._clock())}"
        Path(self.path).rename(aside)
        self._alone()
        try:
            self._refill(facts, lineages, edits)
        except BaseException:
            self._db.close()
            self._alone()
            Path(aside).replace(self.path)  # there is no room: the next start finds it as it was
            raise
        log.error(
            "store: %s is damaged (%s): put aside as %s; %d edits could be read, peers are asked for the rest",
            self.path,
            reason,
            aside,
            len(edits),
        )

    def _alone(self) -> None:
        """Nothing of SQLite's stands beside the file."""
        for beside in ("-wal", "-shm"):
            Path(self.path + beside).unlink(missing_ok=True)

    def _refill(
        self,
        facts: list[tuple[str, str]],
        lineages: list[tuple[str, int, bytes]],
        edits: list[BookSet],
    ) -> None:
        self._db = self._open()
        self._ids.clear()
        for name, value in facts:
            self.remember(name, value)
        with self._transaction():
            for origin, epoch, lineage in lineages:
                number = self._id((NodeName(origin), epoch))
                self._db.execute("update streams set lineage = ? where id = ?", (lineage, number))
                self._vouch("id", number)
            self._put_aside(edits)

    def _put_aside(self, edits: list[BookSet]) -> None:
        """Of each field group the newest, in the place of what stood aside before."""
        if not edits:
            return
        number = self._id(ASIDE)
        edits.sort(key=lambda edit: (edit.stamp, edit.writer))
        self._db.executemany(
            "insert or replace into records values (?, ?, ?, ?, ?, ?)",
            [row_of(number, ASIDE[0], 0, 0, edit) for edit in edits],
        )

    def _cut_off(self, stream: int, through: int) -> None:
        """A stream is held no further than this."""
        self._db.execute("delete from records where stream = ? and version > ?", (stream, through))
        self._db.execute("update streams set held = ? where id = ?", (through, stream))
        self._vouch("id", stream)

    def _vouch(self, column: str, value: str | int) -> None:
        """What is said of these streams is right as it stands."""
        self._db.execute(
            f"update streams set checksum = checksum_of({STREAM}) where {column} = ?", (value,)
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("begin")
        try:
            with self._db:  # commits, or rolls back on an error
                yield
        except BaseException:
            self._ids.clear()  # a stream that was new is there no more
            raise

    def _id(self, stream: StreamId) -> int:
        number = self._ids.get(stream)
        if number is None:
            self._db.execute(
                "insert or ignore into streams (origin, epoch, held) values (?, ?, 0)", stream
            )
            number = int(
                self._db.execute(
                    "select id from streams where origin = ? and epoch = ?", stream
                ).fetchone()[0]
            )
            self._vouch("id", number)
            self._ids[stream] = number
        return number

    def _whole(self, number: int, origin: NodeName) -> int:
        """Through where no record of a stream is damaged; those that are leave the store."""
        damaged = [
            (version, key)
            for version, key, data, checksum in self._db.execute(
                f"select {RECORD}, checksum from records where stream = ?", (number,)
            )
            if checksum != record_checksum(origin, version, key, data)
        ]
        if damaged:
            log.warning("store: %d records of %s are damaged: asking peers", len(damaged), origin)
        for _, key in damaged:
            self._db.execute("delete from records where stream = ? and key = ?", (number, key))
        return min((version for version, _ in damaged), default=1 << 62) - 1

    def _records(
        self, number: int, origin: NodeName, dead: dict[Grave, int]
    ) -> Iterator[tuple[int, Record]]:
        """A stream's records in order, one by one: all at once they would take as much again. Notes when the dead came."""
        for version, since, data in self._db.execute(
            "select version, cast(since as integer), record from records where stream = ? order by version",
            (number,),
        ):
            record = decoder.decode(data)
            yield version, record
            if since:
                dead[grave_of(origin, record)] = since

    def _delete(self, stream: int) -> None:
        self._db.execute("delete from records where stream = ?", (stream,))
        self._db.execute("delete from streams where id = ?", (stream,))

    def _inherit(self, stream: int, heir: StreamId, through: int) -> None:
        self._db.execute(
            "update streams set origin = ?, epoch = ?, floor = min(floor, ?) where id = ?",
            (*heir, through, stream),
        )

    def _cut(self, stream: int, tail: StreamId, through: int, held: int, floor: int) -> None:
        """What a renamed stream holds above `through` stays under its old name."""
        if held <= through:
            return
        self._ids.pop(tail, None)
        self._db.execute(
            "insert into streams (origin, epoch, base, held, floor) values (?, ?, ?, ?, ?)",
            (*tail, through, held, floor),
        )
        self._db.execute(
            "update records set stream = ? where stream = ? and version > ?",
            (self._id(tail), stream, through),
        )

    def _shorten(self, stream: int, through: int, held: int) -> None:
        """What a stream holds up to `through` goes; so does the stream, if nothing is left."""
        if held <= through:
            self._delete(stream)
            return
        self._db.execute("delete from records where stream = ? and version <= ?", (stream, through))
        self._db.execute("update streams set base = ? where id = ?", (through, stream))
