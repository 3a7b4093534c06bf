"""Records as few bytes: each field of all records in a row, what repeats left out, what looks random apart from the rest.

    1 byte FORM | length of the fields, 7 bits a byte | fields | random bytes

    fields, a record after the other:
        1 byte      kind (2 bits), group or usual contact (4 bits), a gap before its number, a random value
        gap         how many numbers were left out before this record
        put, drop   key: its text, or of a usual contact the number and six bytes (core/records/shelf.py)
        book        unless all is as in the record before: what differs (1 byte), object, stamp, writer, stamp replaced
        value       its length, and the value unless it is among the random bytes

Numbers are written with 7 bits a byte, stamps as milliseconds since the stamp before and a counter. Fields of some length are
deflated (RFC 1951); digests and object ids are not, nothing would come of it. Forty registrations take 11 bytes each, an
extension with its digest and a short name 40.
"""

import re
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence

from pbxfed_ari.core.messages import BookSet, Record, ShelfDrop, ShelfPut
from pbxfed_ari.core.names import NODE
from pbxfed_ari.core.records.varint import read_varint, varint
from pbxfed_ari.core.stamp import COUNTER_BITS, LAST

Numbered = tuple[tuple[int, Record], ...]
PLAIN, DEFLATED = 0, 1  # forms
WORTHWHILE = 60  # bytes of fields that deflating can make smaller
MOST = 16_384  # bytes of fields, inflated
PUT, DROP, BOOK, BOOK_AGAIN = 0, 1, 2, 3
MORE_GROUPS = 15
GAP, RANDOM = 0x40, 0x80
USUAL = 1  # in place of a group: a contact in six bytes
SAME_OBJECT, SAME_WRITER, NOTHING_REPLACED = 1, 2, 4
ID = 9  # bytes of an object's id, nearly always
NUMBERS, GROUPS = 1 << 53, 1 << 8  # as in core/messages.py
_WRITER = re.compile(rf"(?:{NODE})?")


def pack(records: Sequence[tuple[int, Record]], base: int) -> bytes:
    """Records, each with its number above `base`, as bytes."""
    packer = _Packer(base)
    for version, record in records:
        packer.add(version, record)
    return packer.packed()


def unpack(data: bytes, base: int) -> Numbered:
    """The records in these bytes.

    Raises: ValueError, if they are none.
    """
    try:
        return _Unpacker(data, base).records()
    except (IndexError, zlib.error, OverflowError) as error:
        raise ValueError(f"records that cannot be read: {error}") from None


class _Packer:
    def __init__(self, base: int) -> None:
        self._number = base
        self._fields = bytearray()
        self._random = bytearray()
        self._last = BookSet(b"", 0, 0, "", None)

    def packed(self) -> bytes:
        fields, form = bytes(self._fields), PLAIN
        if len(fields) >= WORTHWHILE:
            deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
            small = deflate.compress(fields) + deflate.flush()
            if len(small) < len(fields):
                fields, form = small, DEFLATED
        return bytes((form,)) + varint(len(fields)) + fields + self._random

    def add(self, version: int, record: Record) -> None:
        gap = version - self._number - 1
        self._number = version
        flags = GAP if gap else 0
        if isinstance(record, BookSet):
            self._book(record, flags, gap)
            return
        usual = _usual(record.key)
        kind = PUT if isinstance(record, ShelfPut) else DROP
        self._head(kind | (USUAL << 2 if usual else 0) | flags, gap)
        number, address = usual or (record.key, b"")
        self._text(number.encode())
        self._fields += address
        if isinstance(record, ShelfPut):
            self._text(record.value)

    def _head(self, head: int, gap: int) -> None:
        self._fields.append(head)
        if gap:
            self._fields += varint(gap)

    def _book(self, record: BookSet, flags: int, gap: int) -> None:
        last, value = self._last, record.value
        again = (record.object, record.stamp, record.writer, record.over) == (
            last.object,
            last.stamp,
            last.writer,
            last.over,
        )
        random = value is not None and len(value) >= 16 and not value[1:].isascii()
        group = min(record.group, MORE_GROUPS)
        kind = BOOK_AGAIN if again else BOOK
        self._head(kind | group << 2 | flags | (RANDOM if random else 0), gap)
        if group == MORE_GROUPS:
            self._fields += varint(record.group)
        if not again:
            self._subject(record, last)
        self._fields += varint(0 if value is None else len(value) + 1)
        if value is not None:
            (self._random if random else self._fields).extend(value)
        self._last = record

    def _subject(self, record: BookSet, last: BookSet) -> None:
        """Object, stamp, writer and what was replaced, as far as they are not as before."""
        differs = (
            (SAME_OBJECT if record.object == last.object else 0)
            | (SAME_WRITER if record.writer == last.writer else 0)
            | (0 if record.over else NOTHING_REPLACED)
        )
        self._fields.append(differs)
        if not differs & SAME_OBJECT:
            self._fields += varint(len(record.object))
            self._fields += record.object[:1]
            self._random += record.object[1:]
        self._stamp(record.stamp, last.stamp)
        if not differs & SAME_WRITER:
            self._text(record.writer.encode())
        if record.over:
            self._stamp(record.over, record.stamp)

    def _stamp(self, stamp: int, before: int) -> None:
        passed = (stamp >> COUNTER_BITS) - (before >> COUNTER_BITS)
        self._fields += varint(passed << 1 if passed >= 0 else -passed << 1 | 1)
        self._fields += varint(stamp & (1 << COUNTER_BITS) - 1)

    def _text(self, text: bytes) -> None:
        self._fields += varint(len(text))
        self._fields += text


class _Unpacker:
    def __init__(self, data: bytes, base: int) -> None:
        self._number = base
        self._data, self._at = data, 1
        form, size = data[0], self._int()
        fields, self._random = data[self._at : self._at + size], data[self._at + size :]
        if form == DEFLATED:
            inflate = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
            fields = inflate.decompress(fields, MOST)
            if not inflate.eof:
                raise ValueError(f"fields of more than {MOST} bytes")
        elif form != PLAIN or len(fields) != size:
            raise ValueError("records of an unknown form")
        self._data, self._at = fields, 0
        self._random_at = 0
        self._last = BookSet(b"", 0, 0, "", None)

    def records(self) -> Numbered:
        found: list[tuple[int, Record]] = []
        while self._at < len(self._data):
            head = self._bytes(1)[0]
            self._number += 1 + (self._int() if head & GAP else 0)
            if self._number >= NUMBERS:
                raise ValueError("a number out of range")
            found.append((self._number, self._record(head)))
        if self._random_at != len(self._random):
            raise ValueError("bytes that belong to no record")
        return tuple(found)

    def _record(self, head: int) -> Record:
        kind, group = head & 3, head >> 2 & MORE_GROUPS
        if kind in (BOOK, BOOK_AGAIN):
            return self._book(kind, group, random=bool(head & RANDOM))
        key = self._text().decode()
        if group == USUAL:
            key = f"c{key} ~{urlsafe_b64encode(self._bytes(6)).decode()}"
        return ShelfDrop(key) if kind == DROP else ShelfPut(key, self._text())

    def _book(self, kind: int, group: int, *, random: bool) -> BookSet:
        last = self._last
        object_id, stamp, writer, over = last.object, last.stamp, last.writer, last.over
        if group == MORE_GROUPS:
            group = self._int()
            if group >= GROUPS:
                raise ValueError("a group out of range")
        if kind == BOOK:
            differs = self._bytes(1)[0]
            if not differs & SAME_OBJECT:
                size = self._int()
                object_id = self._bytes(min(1, size)) + self._from_random(max(0, size - 1))
            stamp = self._stamp(stamp)
            if not differs & SAME_WRITER:
                writer = self._text().decode()
                if not _WRITER.fullmatch(writer):
                    raise ValueError("a writer that no node can be")
            over = 0 if differs & NOTHING_REPLACED else self._stamp(stamp)
        size = self._int()
        value = None
        if size:
            value = self._from_random(size - 1) if random else self._bytes(size - 1)
        self._last = BookSet(object_id, group, stamp, writer, value, over)
        return self._last

    def _stamp(self, before: int) -> int:
        passed = self._int()
        passed = -(passed >> 1) if passed & 1 else passed >> 1
        stamp = (before >> COUNTER_BITS) + passed
        if not 0 <= stamp <= LAST >> COUNTER_BITS:
            raise ValueError("a stamp out of range")
        return stamp << COUNTER_BITS | self._int() & (1 << COUNTER_BITS) - 1

    def _int(self) -> int:
        value, self._at = read_varint(self._data, self._at)
        return value

    def _bytes(self, size: int) -> bytes:
        found = self._data[self._at : self._at + size]
        if len(found) != size:
            raise ValueError("records that end too early")
        self._at += size
        return found

    def _from_random(self, size: int) -> bytes:
        found = self._random[self._random_at : self._random_at + size]
        if len(found) != size:
            raise ValueError("records that end too early")
        self._random_at += size
        return found

    def _text(self) -> bytes:
        return self._bytes(self._int())


def _usual(key: str) -> tuple[str, bytes] | None:
    """The number and the six bytes of a contact's key of the usual shape."""
    number, mark, address = key[1:].partition(" ~")
    if not key.startswith("c") or not mark or len(address) != 8 or not number:
        return None
    try:
        packed = urlsafe_b64decode(address)
    except ValueError:
        return None
    return (number, packed) if urlsafe_b64encode(packed).decode() == address else None
