"""Numbers in as few bytes as they need: 7 bits a byte, lowest first; the high bit says that more follow."""

MOST_BITS = 70  # of a number that is read: no count or version is larger


def varint(value: int) -> bytes:
    """A number, from 0 on."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*found, value))


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, and where it ends.

    Raises: ValueError, if it does not end.
    """
    value = shift = 0
    while at < len(data) and shift < MOST_BITS:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("a number that does not end")
