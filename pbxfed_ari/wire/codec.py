"""Messages as bytes: MessagePack arrays with a number in front, decoded with every type checked (msgspec).

Records travel packed (core/records/packing.py). A message of some length is deflated (RFC 1951) behind the byte 0xC1, which
begins no MessagePack, if it becomes smaller by it. A field that a newer release appended is ignored; a message kind that it
invented is an UnknownKind here, and counted.
"""

import zlib
from typing import Any, Union, cast, get_args

import msgspec

from pbxfed_ari.core.messages import (
    KINDS,
    AnyMessage,
    Delta,
    Epoch,
    Hello,
    Message,
    Name,
    Number,
    Piece,
    Pieces,
    Record,
)
from pbxfed_ari.core.records import packing
from pbxfed_ari.errors import Malformed, TooBig, UnknownKind

MAX_PAYLOAD = (
    1_350  # bytes of one encoded message: with seal and headers within 1,400 of a 1,500 byte path
)
MAX_MESSAGE = 16_384  # bytes of a message before it is deflated, or after it is inflated
DEFLATED = b"\xc1"  # "never used" in MessagePack
WORTHWHILE = 120  # bytes: a shorter message does not become smaller

_encoder = msgspec.msgpack.Encoder()

MORE, LAST = 1, 2  # flags of a piece among others


class _Delta(Message, frozen=True, tag=11):
    first: Number
    records: bytes


class _Piece(Message, frozen=True, tag=13):
    origin: Name
    epoch: Epoch
    base: Number
    to: Number
    records: bytes
    more: bool = False
    last: bool = True
    floor: Number = 0


_Head = tuple[Name, Epoch, Number, Number, Number, int]  # origin, epoch, base, to, floor, flags


class _Pieces(Message, frozen=True, tag=22):
    pieces: tuple[_Head, ...]
    counts: tuple[int, ...]
    records: bytes  # of all of them, numbered through


_Wire: Any = Union[(_Delta, _Piece, _Pieces, *(set(get_args(AnyMessage)) - {Delta, Piece, Pieces}))]
_decoder: msgspec.msgpack.Decoder[object] = msgspec.msgpack.Decoder(_Wire)
_hello_decoder = msgspec.msgpack.Decoder(Hello)


def encode(message: AnyMessage) -> bytes:
    """The bytes of a message.

    Raises: TooBig, a mistake of ours: who makes messages keeps them small.
    """
    data = _encoder.encode(_packed(message))
    if WORTHWHILE <= len(data) <= MAX_MESSAGE:
        data = min(data, _deflated(data), key=len)
    if len(data) > MAX_PAYLOAD:
        raise TooBig(
            f"{type(message).__name__} of {len(data)} bytes: at most {MAX_PAYLOAD} fit a frame"
        )
    return data


def decode(data: bytes) -> AnyMessage:
    """The message in these bytes.

    Raises: Malformed, UnknownKind.
    """
    data = _inflated(data)
    try:
        return _unpacked(_decoder.decode(data))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _of_another_kind(data) or Malformed(str(error)) from None


def decode_hello(data: bytes) -> Hello:
    """The introduction in these bytes; nothing else may stand in an introducing frame.

    Raises: Malformed.
    """
    data = _inflated(data)
    try:
        return _hello_decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Malformed(str(error)) from None


def _packed(message: AnyMessage) -> Message:
    match message:
        case Delta(first, records):
            return _Delta(first, packing.pack(tuple(enumerate(records, first)), first - 1))
        case Piece():
            packed = packing.pack(message.records, message.base)
            fields = (message.origin, message.epoch, message.base, message.to, packed)
            return _Piece(*fields, message.more, message.last, message.floor)
        case Pieces(pieces):
            heads = tuple(
                (p.origin, p.epoch, p.base, p.to, p.floor, p.more * MORE | p.last * LAST)
                for p in pieces
            )
            numbered: list[tuple[int, Record]] = []
            at = 0  # the records of all pieces as those of one stream: only distances are written
            for piece in pieces:
                numbered += [
                    (version - piece.base + at, record) for version, record in piece.records
                ]
                at += piece.to - piece.base
            counts = tuple(len(piece.records) for piece in pieces)
            return _Pieces(heads, counts, packing.pack(numbered, 0))
        case _:
            return message


def _unpacked(message: object) -> AnyMessage:
    match message:
        case _Delta(first, packed):
            numbered = packing.unpack(packed, first - 1)
            if any(version != at for at, (version, _) in enumerate(numbered, first)):
                raise ValueError("a delta with a gap")
            return Delta(first, tuple(record for _, record in numbered))
        case _Piece(origin, epoch, base, to, packed, more, last, floor):
            return Piece(origin, epoch, base, to, packing.unpack(packed, base), more, last, floor)
        case _Pieces(heads, counts, packed):
            return _apart(heads, counts, packing.unpack(packed, 0))
        case _:
            return cast(AnyMessage, message)


def _apart(
    heads: tuple[_Head, ...],
    counts: tuple[int, ...],
    numbered: packing.Numbered,
) -> Pieces:
    if len(heads) != len(counts) or sum(counts) != len(numbered) or min(counts, default=0) < 0:
        raise ValueError("pieces that do not fit their records")
    pieces: list[Piece] = []
    at = done = 0
    for (origin, epoch, base, to, floor, flags), count in zip(heads, counts, strict=True):
        if to < base:
            raise ValueError("a piece that ends before it begins")
        records = tuple((v - at + base, r) for v, r in numbered[done : done + count])
        more, last = bool(flags & MORE), bool(flags & LAST)
        pieces.append(Piece(origin, epoch, base, to, records, more, last, floor))
        at, done = at + to - base, done + count
    return Pieces(tuple(pieces))


def _deflated(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return DEFLATED + deflate.compress(data) + deflate.flush()


def _inflated(data: bytes) -> bytes:
    """The message behind DEFLATED; any other is itself."""
    if not data.startswith(DEFLATED):
        return data
    inflate = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        message = inflate.decompress(data[1:], MAX_MESSAGE)
    except zlib.error as error:
        raise Malformed(f"cannot be inflated: {error}") from None
    if not inflate.eof or inflate.unused_data:
        raise Malformed(f"inflated to more than {MAX_MESSAGE} bytes, or to no end")
    return message


def _of_another_kind(data: bytes) -> UnknownKind | None:
    try:
        found = msgspec.msgpack.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    kind = found[0] if isinstance(found, list) and found else None
    strange = isinstance(kind, int) and not isinstance(kind, bool) and kind not in KINDS
    return UnknownKind(f"message kind {kind}") if strange else None
