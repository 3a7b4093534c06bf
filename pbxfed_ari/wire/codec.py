"""Messages as bytes: MessagePack arrays with a number in front, decoded with every type checked (msgspec).

A field that a newer release appended is ignored; a message kind that it invented is an UnknownKind here, and counted.
"""

import msgspec

from pbxfed_ari.core.messages import KINDS, AnyMessage, Hello
from pbxfed_ari.errors import Malformed, TooBig, UnknownKind

MAX_PAYLOAD = (
    1_350  # bytes of one encoded message: with seal and headers within 1,400 of a 1,500 byte path
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)
_hello_decoder = msgspec.msgpack.Decoder(Hello)


def encode(message: AnyMessage) -> bytes:
    """The bytes of a message.

    Raises: TooBig, a mistake of ours: who makes messages keeps them small.
    """
    data = _encoder.encode(message)
    if len(data) > MAX_PAYLOAD:
        raise TooBig(
            f"{type(message).__name__} of {len(data)} bytes: at most {MAX_PAYLOAD} fit a frame"
        )
    return data


def decode(data: bytes) -> AnyMessage:
    """The message in these bytes.

    Raises: Malformed, UnknownKind.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _of_another_kind(data) or Malformed(str(error)) from None


def decode_hello(data: bytes) -> Hello:
    """The introduction in these bytes; nothing else may stand in an introducing frame.

    Raises: Malformed.
    """
    try:
        return _hello_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(str(error)) from None


def _of_another_kind(data: bytes) -> UnknownKind | None:
    try:
        found = msgspec.msgpack.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    kind = found[0] if isinstance(found, list) and found else None
    strange = isinstance(kind, int) and not isinstance(kind, bool) and kind not in KINDS
    return UnknownKind(f"message kind {kind}") if strange else None
