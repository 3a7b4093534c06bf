"""A stretch of a stream, cut into pieces that fit a frame each.

To pack is dear: how much fits is guessed from what records cost and how well the last ones packed, and then tried.
"""

from collections.abc import Iterable

from pbxfed_ari.core.messages import BookSet, Piece, Record, ShelfPut
from pbxfed_ari.core.records import packing
from pbxfed_ari.core.records.streams import StreamId

PIECE_BYTES = 1_230  # of packed records: with seal and headers one frame that no path must cut
RECORD_COST = 8  # bytes that a record needs beside its key and value, nearly always


class Cutter:
    """Cuts, and learns how well records pack."""

    def __init__(self) -> None:
        self._density = 1.0  # how much more fits a frame than the costs of its records say

    def cut(
        self,
        stream: StreamId,
        records: Iterable[tuple[int, Record | None]],
        span: tuple[int, int],
        floor: int,
        at_most: int,
    ) -> list[Piece]:
        """Pieces of a stream's records in the order of their versions, at most so many.

        `span` is above and through which version they reach; `floor`, up to where what is missing was collected. A record
        that is None was lost here.
        """
        base, end = span
        waiting: list[tuple[int, Record]] = []
        size, pieces = 0, list[Piece]()
        for version, record in records:
            if record is None:
                floor = 0  # not collected: somebody else has it
                continue
            waiting.append((version, record))
            size += _cost(record)
            if size > PIECE_BYTES * self._density:
                count = self._fitting(waiting, base)
                final, last = len(pieces) + 1 == at_most, waiting[count - 1][0]
                full = tuple(waiting[:count])
                pieces.append(Piece(*stream, base, last, full, True, final, floor))
                if final:
                    return pieces
                base, waiting = last, waiting[count:]
                size = sum(_cost(record) for _, record in waiting)
        while len(waiting) > (count := self._fitting(waiting, base)):
            final, last = len(pieces) + 1 == at_most, waiting[count - 1][0]
            pieces.append(Piece(*stream, base, last, tuple(waiting[:count]), True, final, floor))
            if final:
                return pieces
            base, waiting = last, waiting[count:]
        pieces.append(Piece(*stream, base, end, tuple(waiting), floor=floor))
        return pieces

    def _fitting(self, records: list[tuple[int, Record]], base: int) -> int:
        """How many of these records fit a frame, packed; at least one."""
        count = len(records)
        while count > 1:
            packed = len(packing.pack(records[:count], base))
            if packed <= PIECE_BYTES:
                break
            count = max(1, min(count - 1, int(count * PIECE_BYTES / packed * 0.98)))
        if count > 20:
            cost = sum(_cost(record) for _, record in records[:count])
            self._density = max(1.0, cost / PIECE_BYTES * (1.05 if count == len(records) else 1))
        return count


def _cost(record: Record) -> int:
    if isinstance(record, BookSet):
        return RECORD_COST + len(record.object) + len(record.value or b"") + len(record.writer)
    return (
        RECORD_COST + len(record.key) + len(record.value if isinstance(record, ShelfPut) else b"")
    )
