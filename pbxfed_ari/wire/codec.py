"""Messages as bytes: MessagePack arrays with a number in front, decoded with every type checked (msgspec).

A message of some length is deflated (RFC 1951) behind the byte 0xC1, which begins no MessagePack: the records of one frame
have much in common. A field that a newer release appended is ignored; a message kind that it invented is an UnknownKind
here, and counted.
"""

import zlib

import msgspec

from pbxfed_ari.core.messages import KINDS, AnyMessage, Hello
from pbxfed_ari.errors import Malformed, TooBig, UnknownKind

MAX_PAYLOAD = (
    1_350  # bytes of one encoded message: with seal and headers within 1,400 of a 1,500 byte path
)
MAX_MESSAGE = 16_384  # bytes of a message before it is deflated, or after it is inflated
DEFLATED = b"\xc1"  # "never used" in MessagePack
WORTHWHILE = 120  # bytes: a shorter message does not become smaller

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)
_hello_decoder = msgspec.msgpack.Decoder(Hello)


def encode(message: AnyMessage) -> bytes:
    """The bytes of a message.

    Raises: TooBig, a mistake of ours: who makes messages keeps them small.
    """
    data = _encoder.encode(message)
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
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _of_another_kind(data) or Malformed(str(error)) from None


def decode_hello(data: bytes) -> Hello:
    """The introduction in these bytes; nothing else may stand in an introducing frame.

    Raises: Malformed.
    """
    data = _inflated(data)
    try:
        return _hello_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(str(error)) from None


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
