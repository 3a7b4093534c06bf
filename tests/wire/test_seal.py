"""The seal: who has the key reads, nobody else; every frame counts once."""

import pytest

from pbxfed_ari.errors import BadSeal, Malformed, Replayed, UnknownSession, WireError, WrongVersion
from pbxfed_ari.wire.seal import OVERHEAD, WINDOW, Seal

KEY = bytes(range(32))


def pair() -> tuple[Seal, Seal]:
    a, b = Seal(KEY, b"a" * 16), Seal(KEY, b"b" * 16)
    assert b.open(a.seal(b"hello", introducing=True))[1:] == (b"hello", True)
    return a, b


def test_a_frame_is_read_once() -> None:
    """A recording is refused."""
    a, b = pair()
    frame = a.seal(b"x")
    assert b.open(frame) == (a.session, b"x", False)
    with pytest.raises(Replayed):
        b.open(frame)


def test_the_overhead_is_25_bytes() -> None:
    """The budget of a delta counts on it."""
    a, _ = pair()
    assert len(a.seal(b"")) == OVERHEAD == 25


def test_frames_may_overtake_one_another_within_the_window() -> None:
    """UDP reorders; the window says how far."""
    a, b = pair()
    frames = [a.seal(b"%d" % i) for i in range(WINDOW + 2)]
    b.open(frames[-1])
    assert b.open(frames[5])[1] == b"5"
    with pytest.raises(Replayed):
        b.open(frames[0])
    with pytest.raises(Replayed):
        b.open(frames[5])


def test_another_key_cannot_be_read_nor_introduced() -> None:
    """Two federations on one LAN do not see each other."""
    stranger = Seal(bytes(32), b"c" * 16)
    _, b = pair()
    with pytest.raises(BadSeal):
        b.open(stranger.seal(b"hello", introducing=True))
    with pytest.raises(UnknownSession):
        b.open(stranger.seal(b"x"))


def test_every_flipped_bit_is_noticed() -> None:
    """Header, counter, text and tag alike; and the frame still counts afterwards."""
    a, b = pair()
    frame = a.seal(b"payload")
    for i in range(len(frame) * 8):
        damaged = bytearray(frame)
        damaged[i // 8] ^= 1 << i % 8
        with pytest.raises(WireError):
            b.open(bytes(damaged))
    assert b.open(frame)[1] == b"payload"


@pytest.mark.parametrize("length", range(46))
def test_what_is_too_short_is_malformed(length: int) -> None:
    """Truncation at any byte."""
    a, b = pair()
    for frame in a.seal(b"x", introducing=True), a.seal(b"x" * 21):
        with pytest.raises(WireError):
            b.open(frame[: min(length, len(frame) - 1)])


def test_a_newer_wire_version_is_named_as_such() -> None:
    """An operator with a mixed fleet must see it."""
    _, b = pair()
    with pytest.raises(WrongVersion, match="wire version 2"):
        b.open(bytes((0x21,)) + bytes(40))


def test_a_key_of_the_wrong_length_is_refused() -> None:
    """By the constructor, not by the first frame."""
    with pytest.raises(ValueError, match="32"):
        Seal(b"short", b"a" * 16)


def test_nothing_at_all_is_malformed() -> None:
    """An empty datagram."""
    _, b = pair()
    with pytest.raises(Malformed):
        b.open(b"")
