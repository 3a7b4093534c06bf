"""What a node holds, as numbers that two nodes can compare: for each origin a 128-bit hash of the set of its living records.

The hash of a set is the sum modulo 2^128 of the hashes of its members (keyed BLAKE2b), so adding and removing cost one hash
each, whatever the size. It is no defence against members, who are trusted for content; it finds damage and mistakes.

Counted are values on a shelf, and what stands in the book of objects that live, to its writer. What is dead counts nothing:
a node that has collected it and one that has not agree.
"""

from hashlib import blake2b

from pbxfed_ari.core.messages import BookSet
from pbxfed_ari.core.names import NodeName

_KEY = b"pbxfed contents 1"
_MODULUS = 1 << 128


class Contents:
    """The set hashes of all origins, and their sum."""

    def __init__(self) -> None:
        self.total = 0
        self._origins: dict[NodeName, int] = {}

    def __repr__(self) -> str:
        return f"Contents({self.total:032x})"

    def of(self, origin: NodeName) -> int:
        """The hash of what one origin has written and still stands; 0 if nothing does."""
        return self._origins.get(origin, 0)

    def origins(self) -> list[NodeName]:
        """All origins of which something stands, in a fixed order."""
        return sorted(origin for origin, value in self._origins.items() if value)

    def shelf(self, origin: NodeName, key: str, value: bytes | None, sign: int) -> None:
        """A value has come to a shelf (`sign` 1) or gone from it (-1); None counts nothing."""
        if value is not None:
            name = key.encode()
            self._add(origin, b"s%d " % len(name), name + value, sign)

    def book(self, entry: BookSet | None, sign: int) -> None:
        """An entry of a living object has come to the book or gone from it."""
        if entry is not None and entry.value is not None:
            head = b"b%d %d %d " % (len(entry.object), entry.group, entry.stamp)
            self._add(NodeName(entry.writer), head, entry.object + entry.value, sign)

    def forget(self, origin: NodeName) -> None:
        """Nothing of this origin counts any more."""
        self.total = (self.total - self._origins.pop(origin, 0)) % _MODULUS

    def _add(self, origin: NodeName, head: bytes, data: bytes, sign: int) -> None:
        item = blake2b(head + data + origin.encode(), digest_size=16, key=_KEY).digest()
        number = sign * int.from_bytes(item, "big")
        self._origins[origin] = (self._origins.get(origin, 0) + number) % _MODULUS
        self.total = (self.total + number) % _MODULUS
