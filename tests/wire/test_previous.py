"""The previous release of the wire, against this one: nodes are upgraded one after the other, so both speak at once.

The previous one is version 1 before Heartbeat said a condition. Its frames stand here as it wrote them, with its own idea of
the one message that has grown since; all other messages are as they were.
"""

import msgspec
import pytest

from pbxfed_ari.core import messages as m
from pbxfed_ari.wire import codec
from tests.wire.test_codec import VECTORS


class Beat(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Heartbeat, as the previous release declares it."""

    version: int
    vector: int
    incarnation: int = 0
    ready: bool = True
    relays: bool = False
    clock: int = 0
    number: int = 0


class BeatCopy(msgspec.Struct, frozen=True, array_like=True, tag=31):
    """Copy, likewise."""

    heartbeat: Beat
    every: int = 1


class BeatCall(msgspec.Struct, frozen=True, array_like=True, tag=33):
    """RollCall, likewise."""

    heartbeat: Beat
    nonce: int = 0
    answers: tuple[int, ...] = ()


THEN = Beat(41, 0x1122334455667788, 0, False, True, 0, 9)
NOW = m.Heartbeat(41, 0x1122334455667788, 0, False, True, 0, 9)
DRAINS = m.Heartbeat(41, 0x1122334455667788, 0, False, True, 0, 9, 16)
WRITTEN_THEN = [
    ("980329cf112233445566778800c2c30009", NOW),
    ("931f980329cf112233445566778800c2c3000903", m.Copy(NOW, 3)),
    ("9421980329cf112233445566778800c2c300090792cd010203", m.RollCall(NOW, 7, (258, 3))),
]
READ_THEN = [
    (DRAINS, Beat, THEN),
    (m.Copy(DRAINS, 3), BeatCopy, BeatCopy(THEN, 3)),
    (m.RollCall(DRAINS, 7, (258, 3)), BeatCall, BeatCall(THEN, 7, (258, 3))),
]


@pytest.mark.parametrize(("frame", "message"), WRITTEN_THEN)
def test_what_it_writes_is_read_here(frame: str, message: m.AnyMessage) -> None:
    """A node that does not know of conditions is well."""
    assert codec.decode(bytes.fromhex(frame)) == message


@pytest.mark.parametrize(("message", "kind", "read"), READ_THEN)
def test_what_is_written_here_is_read_there(
    message: m.AnyMessage, kind: type[msgspec.Struct], read: msgspec.Struct
) -> None:
    """It lives on without knowing that its peer drains: it sends it calls, which are delivered."""
    assert msgspec.msgpack.decode(codec.encode(message), type=kind) == read


@pytest.mark.parametrize(("message", "written"), VECTORS)
def test_a_message_of_the_next_release_is_read_here(message: m.AnyMessage, written: str) -> None:
    """Every kind may grow by a field at its end."""
    fields = msgspec.msgpack.decode(bytes.fromhex(written))
    longer = msgspec.msgpack.encode([*fields, "new"])
    assert codec.decode(longer) == message


def test_what_it_does_not_know_it_lets_go() -> None:
    """What is Passed on is a kind of its own: there it is not heard."""
    message = m.Passed("a", "b", m.CallOver("f00d", 2))
    with pytest.raises(msgspec.ValidationError, match=str(message.__struct_config__.tag)):
        msgspec.msgpack.decode(codec.encode(message), type=m.CallHere | m.CallOver)


def test_both_speak_one_version() -> None:
    """No number is spent on a field that is appended: `wires` of Hello says 1 to 1 in both."""
    assert m.WIRE_VERSION == 1
    assert m.Hello("a", 1, "10.0.0.1", 8781).wires == (1, 1)
