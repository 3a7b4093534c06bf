"""`pbxfed` with one line more: when this process has applied a registration or an edit, by the monotonic clock.

    <ns> got NUMBER        a contact of that extension has come onto a shelf here
    <ns> got NUMBER@NODE   the same, and onto whose
    <ns> got id:HEX        a field group of that object has come into the book here

The daemon is the real one; only `Directory.apply` is followed by the writing of that line.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable

from pbxfed_ari.cli import main
from pbxfed_ari.core.messages import BookSet, Record, ShelfPut
from pbxfed_ari.core.records.changes import Change
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.records.streams import StreamId

_apply = Directory.apply


def _watched(
    self: Directory,
    stream: StreamId,
    records: Iterable[tuple[int, Record]],
    to: int,
    floor: int = 0,
) -> list[Change]:
    records = list(records)
    changes = _apply(self, stream, records, to, floor)
    now = time.monotonic_ns()
    for _, record in records:
        if isinstance(record, BookSet):
            sys.stdout.write(f"{now} got id:{record.object.hex()}\n")
        elif record.key.startswith("c") and isinstance(record, ShelfPut):
            number = record.key[1:].partition(" ")[0]
            sys.stdout.write(f"{now} got {number}\n{now} got {number}@{stream[0]}\n")
    sys.stdout.flush()
    return changes


if __name__ == "__main__":
    Directory.apply = _watched  # type: ignore[method-assign]
    main()
