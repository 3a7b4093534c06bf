"""The bundle: news of one turn of the loop travels together.

Forty phones that register in one moment are forty facts but one frame: what follows on in one stream is held until the turn
ends, and leaves as few full messages. One alone waits for nothing but the end of its turn, some microseconds. Whatever else
is sent goes after what was held before it, so that no heartbeat tells of a version that is not yet out.
"""

from collections.abc import Iterable, Iterator

import msgspec

from pbxfed_ari.core.effects import Broadcast, Effect, Forward, SendTo, Stop
from pbxfed_ari.core.messages import Delta, Piece

FULL = (
    1_000  # bytes of records in one message: with seal and headers one frame that no path must cut
)
_size = msgspec.msgpack.Encoder().encode
SENT = frozenset({Broadcast, Forward, SendTo, Stop})  # what must not overtake what is held
_Key = tuple[object, ...]


class Bundle:
    """What is held until the turn ends: at most one growing message a stream and way."""

    def __init__(self) -> None:
        self._held: dict[_Key, Broadcast | Forward] = {}
        self._bytes: dict[_Key, int] = {}

    def __repr__(self) -> str:
        return f"Bundle({list(self._held)})"

    def through(self, effects: Iterable[Effect]) -> Iterator[Effect]:
        """What is to be performed now, in order."""
        for effect in effects:
            if type(effect) not in SENT:
                yield effect
                continue
            if isinstance(effect, Broadcast | Forward) and isinstance(
                effect.message, Delta | Piece
            ):
                yield from self._take(effect, effect.message)
                continue
            yield from self.rest()
            yield effect

    def rest(self) -> list[Effect]:
        """What was held; the turn has ended."""
        held: list[Effect] = list(self._held.values())
        self._held.clear()
        self._bytes.clear()
        return held

    def _take(self, effect: Broadcast | Forward, news: Delta | Piece) -> Iterator[Effect]:
        key: _Key = (type(effect), type(news))
        if isinstance(news, Piece):
            key = (*key, news.origin, news.epoch)
        size = len(_size(news.records))
        held = self._held.get(key)
        if held is not None:
            joined = _joined(held.message, news)
            if joined is not None and self._bytes[key] + size <= FULL:
                self._held[key] = type(effect)(joined)
                self._bytes[key] += size
                return
            yield held
        self._held[key], self._bytes[key] = effect, size


def _joined(before: object, after: Delta | Piece) -> Delta | Piece | None:
    """Two stretches of one stream as one; None if the second does not begin where the first ends."""
    match before, after:
        case Delta(first, records), Delta() if first + len(records) == after.first:
            return msgspec.structs.replace(after, first=first, records=records + after.records)
        case Piece(), Piece() if before.to == after.base:
            records_of_both = before.records + after.records
            return msgspec.structs.replace(after, base=before.base, records=records_of_both)
    return None
