"""What of the book is to be published anew: it stands here, and would not travel."""

from collections.abc import Sequence

from pbxfed_ari.core.messages import BookSet
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.book import LIFE
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.records.streams import Key, StreamId


def unindexed(me: NodeName, directory: Directory) -> list[BookSet]:
    """What no stream names, or none of ours although we wrote it."""
    every, own = set[Key](), set[Key]()
    for stream in directory.streams.ids():
        keys = directory.streams.get(stream) or ()
        every.update(keys)
        own.update(keys if stream[0] == me else ())
    found = (
        directory.record(me, (object_id, entry.group))
        for object_id in directory.book.objects()
        for entry in sorted(directory.book.entries(object_id), key=lambda e: e.group)
        if (object_id, entry.group) not in (own if entry.writer == me else every)
    )
    return with_deaths([record for record in found if isinstance(record, BookSet)], me, directory)


def left_over(stream: StreamId, directory: Directory) -> list[BookSet]:
    """What a stream of an earlier epoch names and the present one does not."""
    origin, streams = stream[0], directory.streams
    old, present = streams.get(stream), streams.get((origin, streams.current_epoch(origin)))
    found: list[BookSet] = []
    for _, key in old.above(0) if old is not None else ():
        record = directory.record(origin, key)
        if isinstance(record, BookSet) and (present is None or key not in present):
            found.append(record)
    return with_deaths(found, origin, directory)


def with_deaths(
    records: Sequence[BookSet], origin: NodeName, directory: Directory
) -> list[BookSet]:
    """What an origin publishes anew, and before it the deletes of what is dead: who has collected both is told both."""
    dead = dict.fromkeys((r.object, LIFE) for r in records if not directory.book.lives(r.object))
    deletes = [
        delete for key in dead if isinstance(delete := directory.record(origin, key), BookSet)
    ]
    return [*deletes, *(r for r in records if (r.object, r.group) not in dead)]
