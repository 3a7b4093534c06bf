"""The post: what comes from outside is believed, asked about, or counted; never more."""

from random import Random

from pbxfed_ari.core.events import Introduced, OtherWireHeard, Received, StrangerHeard
from pbxfed_ari.core.messages import Heartbeat, Hello, Probe
from pbxfed_ari.links.post import Post
from pbxfed_ari.wire.seal import Seal

KEY = bytes(range(32))
FROM = ("10.0.0.2", 8781)
HELLO = Hello("b", 7, "10.0.0.2", 8781)


def pair() -> tuple[Post, Post]:
    return Post(Seal(KEY, b"a" * 16)), Post(Seal(KEY, b"b" * 16))


def test_an_introduced_session_is_believed() -> None:
    """First who it is, then what it says."""
    here, there = pair()
    assert here.open(there.frame(HELLO), FROM) == Introduced(HELLO, FROM)
    assert here.open(there.frame(Probe(5)), FROM) == Received("b", 7, Probe(5), FROM)  # type: ignore[arg-type]


def test_an_unknown_session_is_asked_who_it_is() -> None:
    """Its frame is dropped; the next one after its introduction counts."""
    here, there = pair()
    assert here.open(there.frame(Heartbeat(1, 2)), FROM) == StrangerHeard(FROM)
    assert here.dropped == {"session": 1}


def test_our_own_frames_looped_back_are_nothing() -> None:
    """Not even counted."""
    here, _ = pair()
    assert here.open(here.frame(HELLO), FROM) is None
    assert here.open(here.frame(Probe(1)), FROM) is None
    assert not here.dropped


def test_a_name_that_is_no_name_is_malformed() -> None:
    """It would stand in logs, dial strings and file names."""
    here, there = pair()
    assert here.open(there.frame(Hello("../x", 7, "10.0.0.2", 8781)), FROM) is None
    assert here.dropped == {"malformed": 1}


def test_two_hundred_thousand_damaged_frames_change_nothing() -> None:
    """Truncated, bit-flipped, random, replayed: counted by reason, no other exception, and the session still works."""
    here, there = pair()
    rng = Random(1)
    hello, probe = there.frame(HELLO), there.frame(Probe(1))
    assert isinstance(here.open(hello, FROM), Introduced)
    for i in range(200_000):
        frame = bytearray((hello, probe)[i % 2])
        match i % 4:
            case 0:
                frame = frame[: rng.randrange(len(frame))]
            case 1:
                frame[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
            case 2:
                frame = bytearray(rng.randbytes(rng.randrange(80)))
            case _:
                frame = bytearray(hello)
        told = here.open(bytes(frame), FROM)
        assert told is None or isinstance(told, StrangerHeard | OtherWireHeard)
    assert sum(here.dropped.values()) >= 199_000
    assert set(here.dropped) == {"malformed", "version", "session", "seal", "replay"}
    assert here.open(probe, FROM) == Received("b", 7, Probe(1), FROM)  # type: ignore[arg-type]
