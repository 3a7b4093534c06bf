"""The rows of the store: what each says, and how one sees that it is damaged.

A row carries a checksum of what it says, whatever SQLite makes of its types: in a damaged one anything may be of any type.
"""

from collections.abc import Iterable
from zlib import crc32

import msgspec

from pbxfed_ari.core.messages import BookSet, Record, ShelfDrop
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.book import LIFE
from pbxfed_ari.core.records.graves import Grave
from pbxfed_ari.core.records.streams import Key

TABLES = """
create table if not exists streams (
    id integer primary key, origin text not null, epoch integer not null, base integer not null default 0,
    held integer not null, floor integer not null default 0, lineage blob, checksum integer not null default 0,
    unique (origin, epoch));
create table if not exists records (
    stream integer not null, key blob not null, version integer not null, since integer not null,
    record blob not null, checksum integer not null, primary key (stream, key)) without rowid;
create table if not exists facts (name text primary key, value text not null) without rowid;
"""
# What checksums cover.
STREAM = (
    "cast(origin as text), cast(epoch as integer), cast(base as integer), cast(held as integer), cast(floor as integer), "
    "cast(lineage as blob)"
)
RECORD = "cast(version as integer), cast(key as blob), cast(record as blob)"
encode = msgspec.msgpack.encode
decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)
lineage_decoder = msgspec.msgpack.Decoder(tuple[tuple[int, int], ...])


def row_of(
    stream: int, origin: str, version: int, since: int, record: Record
) -> tuple[int, bytes, int, int, bytes, int]:
    """As it stands in `records`; of the dead with the second `since` when they are dead."""
    data = encode(record)
    key = key_of((record.object, record.group) if isinstance(record, BookSet) else record.key)
    dead = isinstance(record, ShelfDrop) or (
        isinstance(record, BookSet) and (record.group == LIFE or record.value is None)
    )
    return (
        stream,
        key,
        version,
        since if dead else 0,
        data,
        record_checksum(origin, version, key, data),
    )


def key_of(key: Key) -> bytes:
    """Under what a record stands."""
    return key.encode() if isinstance(key, str) else key[0] + bytes((0, key[1] & 0xFF))


def grave_of(origin: NodeName, record: Record) -> Grave:
    """Who is dead, by this record."""
    if not isinstance(record, BookSet):
        return (origin, record.key)
    return record.object if record.group == LIFE else (record.object, record.group)


def edits_of(origin: NodeName, records: Iterable[tuple[int, Record]]) -> list[BookSet]:
    """The edits among an origin's records, each with its writer."""
    return [
        msgspec.structs.replace(record, writer=record.writer or origin)
        for _, record in records
        if isinstance(record, BookSet)
    ]


def stream_checksum(
    origin: str, epoch: int, base: int, held: int, floor: int, lineage: bytes | None
) -> int:
    """Of a row of `streams`."""
    return crc32(repr((origin, epoch, base, held, floor, lineage)).encode())


def record_checksum(origin: str, version: int, key: bytes, data: bytes) -> int:
    """Of a row of `records`."""
    return crc32(b"%s %d %s " % (origin.encode(), version, key) + data)
