"""Streams in SQLite: shelf and book of all origins, as the records from which the directory is rebuilt.

WAL mode. Configuration is on the disk (fsync) before its editor gets an answer; registrations and replicas may lose the last
moments in a power cut: peers give them back. One row a key of a stream, replaced by a newer one, so the file does not grow
with edits. Each row carries a checksum; a damaged one is left out, and its stream begun anew, so that peers repair it.
"""

import logging
import sqlite3
from pathlib import Path
from zlib import crc32

import msgspec

from pbxfed_ari.core.directory import Directory
from pbxfed_ari.core.effects import Persist, PersistLineage
from pbxfed_ari.core.messages import BookSet, Record
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.streams import Ancestry, StreamId
from pbxfed_ari.errors import ConfigError

SCHEMA = 1
log = logging.getLogger(__name__)
_encode = msgspec.msgpack.encode
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)
_lineage_decoder = msgspec.msgpack.Decoder(tuple[tuple[int, int], ...])

_TABLES = """
create table if not exists streams (
    origin text not null, epoch integer not null, base integer not null default 0, held integer not null,
    lineage blob, primary key (origin, epoch)) without rowid;
create table if not exists records (
    origin text not null, epoch integer not null, key blob not null, version integer not null,
    record blob not null, checksum integer not null, primary key (origin, epoch, key)) without rowid;
create table if not exists facts (name text primary key, value text not null) without rowid;
"""


class Store:
    """One node's file. Synchronous: a write takes some ten microseconds, a durable one a disk's flush."""

    def __init__(self, path: Path | str) -> None:
        """Open or make the file (":memory:" for tests).

        Raises: ConfigError, if it is not a database, or of a newer release, or cannot be written.
        """
        self.path = str(path)
        try:
            if self.path != ":memory:":
                Path(self.path).touch(mode=0o600)
                Path(self.path).chmod(
                    0o600
                )  # it holds digests; the log beside it takes the same mode
            self._db = sqlite3.connect(self.path, isolation_level=None)
            self._db.execute("pragma journal_mode=wal")
            self._db.execute("pragma synchronous=normal")
            self._db.executescript(_TABLES)
            found = int(self.fact("schema") or SCHEMA)
            self.remember("schema", str(SCHEMA))
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(
                f"node.state: {self.path}: {error}; move the file away to start empty, peers give back what they hold"
            ) from None
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
        self.remember("node", name)

    def close(self) -> None:
        """Write everything out."""
        self._db.close()

    def fact(self, name: str) -> str | None:
        """A remembered text."""
        row = self._db.execute("select value from facts where name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def remember(self, name: str, value: str) -> None:
        """Keep a text under a name."""
        self._db.execute("insert or replace into facts values (?, ?)", (name, value))

    def persist(self, effect: Persist) -> None:
        """Keep records. On the disk at return if the effect asks for it."""
        if effect.durable:
            self._db.execute("pragma synchronous=full")
        with self._transaction():
            self._db.executemany(
                "insert or replace into records values (?, ?, ?, ?, ?, ?)",
                [self._row((effect.origin, effect.epoch), v, r) for v, r in effect.records],
            )
            self._db.execute(
                "insert into streams (origin, epoch, held) values (?, ?, ?) "
                "on conflict do update set held = max(held, excluded.held)",
                (effect.origin, effect.epoch, effect.to),
            )
        if effect.durable:
            self._db.execute("pragma synchronous=normal")

    def persist_lineage(self, effect: PersistLineage) -> None:
        """Rename what a new epoch continues; the same rule as `Streams.adopt`."""
        kept = dict(effect.earlier)
        with self._transaction():
            held = self._held(effect.origin, effect.epoch)
            rows = self._db.execute(
                "select epoch, base, held from streams where origin = ? and epoch < ? order by epoch",
                (effect.origin, effect.epoch),
            ).fetchall()
            for epoch, base, old_held in rows:
                through = max(base, kept.get(epoch, 0))
                if base == 0 and min(old_held, through) > held:
                    held = min(old_held, through)
                    self._rename((effect.origin, epoch), effect.epoch, through)
                elif base == 0:
                    self._db.execute(
                        "delete from records where origin = ? and epoch = ? and version <= ?",
                        (effect.origin, epoch, through),
                    )
                self._shorten((effect.origin, epoch), through)
            self._db.execute(
                "insert into streams (origin, epoch, held, lineage) values (?, ?, ?, ?) "
                "on conflict do update set held = excluded.held, lineage = excluded.lineage",
                (effect.origin, effect.epoch, held, _encode(effect.earlier)),
            )

    def load(self) -> Directory:
        """Everything that was kept, as a directory."""
        directory = Directory()
        streams = self._db.execute(
            "select origin, epoch, base, held, lineage from streams order by origin, epoch desc"
        ).fetchall()
        for origin, epoch, base, held, lineage in streams:
            stream = (NodeName(origin), epoch)
            earlier: Ancestry | None = (
                _lineage_decoder.decode(lineage) if lineage is not None else None
            )
            if earlier is not None:
                directory.adopt(*stream, earlier)
            records, whole = self._records(stream)
            directory.streams.open(stream, base)
            directory.apply(stream, records, held if whole else base)
        return directory

    # --- helpers

    def _transaction(self) -> sqlite3.Connection:
        self._db.execute("begin")
        return self._db  # as a context manager it commits, or rolls back on an error

    def _row(self, stream: StreamId, version: int, record: Record) -> tuple[object, ...]:
        data = _encode(record)
        key = _key(record)
        return (*stream, key, version, data, _checksum(stream, version, key, data))

    def _records(self, stream: StreamId) -> tuple[list[tuple[int, Record]], bool]:
        """The stream's records in order, and whether none was damaged."""
        found: list[tuple[int, Record]] = []
        whole = True
        for key, version, data, checksum in self._db.execute(
            "select key, version, record, checksum from records where origin = ? and epoch = ? order by version",
            stream,
        ):
            if checksum == _checksum(stream, version, key, data):
                found.append((version, _decoder.decode(data)))
            else:
                whole = False
                log.warning(
                    "store: record %d of %s is damaged: asking peers for it", version, stream[0]
                )
        return found, whole

    def _held(self, origin: NodeName, epoch: int) -> int:
        row = self._db.execute(
            "select held from streams where origin = ? and epoch = ?", (origin, epoch)
        ).fetchone()
        return int(row[0]) if row else 0

    def _rename(self, stream: StreamId, epoch: int, through: int) -> None:
        rows = self._db.execute(
            "select key, version, record from records where origin = ? and epoch = ? and version <= ?",
            (*stream, through),
        ).fetchall()
        heir = (stream[0], epoch)
        self._db.execute("delete from records where origin = ? and epoch = ?", heir)
        self._db.executemany(
            "insert or replace into records values (?, ?, ?, ?, ?, ?)",
            [(*heir, k, v, data, _checksum(heir, v, k, data)) for k, v, data in rows],
        )
        self._db.execute(
            "delete from records where origin = ? and epoch = ? and version <= ?",
            (*stream, through),
        )

    def _shorten(self, stream: StreamId, through: int) -> None:
        left = self._db.execute(
            "select 1 from records where origin = ? and epoch = ? limit 1", stream
        ).fetchone()
        if left:
            self._db.execute(
                "update streams set base = ? where origin = ? and epoch = ?", (through, *stream)
            )
        else:
            self._db.execute("delete from streams where origin = ? and epoch = ?", stream)


def _key(record: Record) -> bytes:
    if isinstance(record, BookSet):
        return record.object + bytes((0, record.group & 0xFF))
    return record.key.encode()


def _checksum(stream: StreamId, version: int, key: bytes, data: bytes) -> int:
    return crc32(b"%s %d %d %s " % (stream[0].encode(), stream[1], version, key) + data)
