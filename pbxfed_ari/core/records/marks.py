"""Marks: four bytes that stand for a stream, or for an origin and its contents, where two nodes compare what they hold.

    vector    mark 4 | held (varint.py)                      for each stream, by mark
    contents  mark 4 | the last 4 bytes of the set hash      for each origin

A mark is the hash of a name, so that neither names nor epochs travel. Two streams of one mark (one chance in 2^32 a pair) are
left out of the comparison; the heartbeats of their origins tell of them.
"""

from collections import Counter
from hashlib import blake2b

from pbxfed_ari.core.messages import Contents, Vector
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.contents import Contents as SetHashes
from pbxfed_ari.core.records.streams import StreamId, Streams
from pbxfed_ari.core.records.varint import read_varint, varint

LAST = (1 << 32) - 1
FRAME = 1_200  # bytes of entries in one frame


def mark(text: str) -> int:
    """The mark of a name."""
    return int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big")


def streams_by_mark(streams: Streams) -> dict[int, StreamId]:
    """All streams of which something is held."""
    marks = [(mark(f"{o} {e}"), (o, e)) for o, e, _ in streams.vector()]
    twice = Counter(m for m, _ in marks)
    return {m: stream for m, stream in sorted(marks) if twice[m] == 1}


def vectors(streams: Streams) -> list[tuple[int, int, bytes]]:
    """The version vector in frames: (low, high, entries), which together cover all marks."""
    frames: list[tuple[int, int, bytes]] = []
    low, entries = 0, b""
    for m, stream in streams_by_mark(streams).items():
        entry = m.to_bytes(4, "big") + varint(streams.held(stream))
        if len(entries) + len(entry) > FRAME:
            frames.append((low, m - 1, entries))
            low, entries = m, b""
        entries += entry
    return [*frames, (low, LAST, entries)]


def read_vector(entries: bytes) -> dict[int, int]:
    """The marks and versions of one frame.

    Raises: ValueError, if it is not one.
    """
    found: dict[int, int] = {}
    at = 0
    while at < len(entries):
        m = int.from_bytes(entries[at : at + 4], "big")
        found[m], at = read_varint(entries, at + 4)
    return found


def readable(message: Vector | Contents) -> bool:
    """Are the entries of a message entries at all? A broken member may say anything."""
    if isinstance(message, Contents):
        return len(message.entries) % 8 == 0
    try:
        read_vector(message.entries)
    except ValueError:
        return False
    return True


def contents(held: SetHashes) -> list[tuple[int, int, bytes]]:
    """What is held of each origin, in frames: (low, high, entries), which together cover all marks."""
    entries = sorted(_content(held, origin) for origin in held.origins())
    step = FRAME // 8
    found: list[tuple[int, int, bytes]] = []
    low = 0
    for at in range(0, max(1, len(entries)), step):
        following = entries[at + step : at + step + 1]
        high = int.from_bytes(following[0][:4], "big") - 1 if following else LAST
        found.append((low, high, b"".join(entries[at : at + step])))
        low = high + 1
    return found


def differing(
    held: SetHashes, known: list[NodeName], low: int, high: int, theirs: bytes
) -> list[NodeName]:
    """The origins, of those known whose marks lie in [low, high], of which a peer holds something else.

    Raises: ValueError, if what it says cannot be read.
    """
    if len(theirs) % 8:
        raise ValueError("contents that end in the middle of an entry")
    said = {theirs[at : at + 4]: theirs[at : at + 8] for at in range(0, len(theirs), 8)}
    ours = [(origin, _content(held, origin)) for origin in known if low <= mark(origin) <= high]
    return [origin for origin, e in ours if e != said.get(e[:4], e[:4] + bytes(4))]


def _content(held: SetHashes, origin: NodeName) -> bytes:
    return mark(origin).to_bytes(4, "big") + (held.of(origin) & 0xFFFFFFFF).to_bytes(4, "big")
