"""The seal: who has the key reads, nobody else; every frame counts once."""

import pytest

from pbxfed_ari.core.records.keys import key_id
from pbxfed_ari.errors import (
    BadSeal,
    Malformed,
    Replayed,
    UnknownKey,
    UnknownSession,
    WireError,
    WrongVersion,
)
from pbxfed_ari.wire.seal import OVERHEAD, WINDOW, Seal

KEY = bytes(range(32))
NEXT = bytes(range(32, 64))


def pair() -> tuple[Seal, Seal]:
    a, b = Seal(KEY, b"a" * 16), Seal(KEY, b"b" * 16)
    assert b.open(a.seal(b"hello", introducing=True))[1:] == (b"hello", key_id(KEY))
    return a, b


def test_a_frame_is_read_once() -> None:
    """A recording is refused."""
    a, b = pair()
    frame = a.seal(b"x")
    assert b.open(frame) == (a.salt, b"x", b"")
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
    with pytest.raises(UnknownKey):
        b.open(stranger.seal(b"hello", introducing=True))
    pretended = bytearray(stranger.seal(b"hello", introducing=True))
    pretended[17:21] = key_id(KEY)
    with pytest.raises(BadSeal):
        b.open(bytes(pretended))
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


@pytest.mark.parametrize("length", range(50))
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


def test_a_known_boot_is_read_under_every_key_that_is_held() -> None:
    """A rotation needs no new introduction, and the counters go on: no frame counts twice."""
    a, b = pair()
    old = a.seal(b"old")
    for seal in a, b:
        seal.use([NEXT, KEY], NEXT, [NEXT, KEY])
    new = a.seal(b"new")
    assert b.open(new) == (a.salt, b"new", b"")
    assert b.open(old) == (a.salt, b"old", b"")
    for frame in old, new:
        with pytest.raises(Replayed):
            b.open(frame)


def test_a_retired_key_opens_introductions_and_nothing_else() -> None:
    """A member that was away is understood as far as its name; what it says else is a stranger's."""
    a, b = pair()
    b.use([NEXT, KEY], NEXT, [NEXT])
    assert b.open(a.seal(b"hello", introducing=True)).key == key_id(KEY)
    with pytest.raises(UnknownSession):
        b.open(a.seal(b"x"))
    a.use([NEXT, KEY], NEXT, [NEXT, KEY])
    assert b.open(a.seal(b"x")).payload == b"x"
    older = a.seal(b"hello", introducing=True, key=key_id(KEY))
    assert b.open(older).key == key_id(KEY)


def test_a_key_that_is_not_held_any_more_opens_nothing() -> None:
    """And what was forgotten is a stranger's under every key."""
    a, b = pair()
    b.use([NEXT], NEXT, [NEXT])
    with pytest.raises(UnknownKey):
        b.open(a.seal(b"hello", introducing=True))
    a.use([NEXT], NEXT, [NEXT])
    assert b.open(a.seal(b"x")).salt == a.salt
    b.forget(a.salt)
    with pytest.raises(UnknownSession):
        b.open(a.seal(b"x"))
