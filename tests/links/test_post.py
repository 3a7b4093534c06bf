"""The post: what comes from outside is believed, asked about, or counted; never more."""

from random import Random

from msgspec.structs import replace

from pbxfed_ari.core.events import Introduced, Noticed, OtherWireHeard, Received, StrangerHeard
from pbxfed_ari.core.messages import AnyMessage, Heartbeat, Hello, Probe, Refusal
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.keys import key_id
from pbxfed_ari.links.post import NOTICE, Post
from pbxfed_ari.wire.identity import NodeKey
from pbxfed_ari.wire.seal import Seal

KEY = bytes(range(32))
FROM = ("10.0.0.2", 8781)
B = NodeKey(b"b" * 32, NodeName("b"))
HELLO = Hello("b", 7, "10.0.0.2", 8781, signing=B.signing, public=B.public)
SESSION = b"b" * 16


def post(name: str) -> Post:
    key = NodeKey(name.encode() * 32, NodeName(name))
    return Post(Seal(KEY, name.encode() * 16), key, who={B.public: NodeName("b")}.get)


def pair() -> tuple[Post, Post]:
    return post("a"), post("b")


def said(message: AnyMessage) -> Received:
    return Received(NodeName("b"), 7, message, FROM, session=SESSION)


def test_an_introduction_is_signed_by_the_key_that_it_names() -> None:
    """Who knows the group's key alone cannot say another node's name."""
    here, there = pair()
    other = NodeKey(b"c" * 32, NodeName("c"))
    assert here.open(there.frame(replace(HELLO, signing=other.signing)), FROM) is None
    assert here.open(there.frame(replace(HELLO, public=b"short")), FROM) is None
    assert here.dropped == {"signature": 2}
    assert here.open(there.frame(Probe(1)), FROM) is None


def test_a_notice_is_for_one_node_and_from_a_member() -> None:
    """Under no group key at all; nobody else reads it, a stranger's is not opened, and damage is noticed."""
    here, there = pair()
    third = post("c")
    notice = Refusal(NodeKey(b"a" * 32, NodeName("a")).public, "expelled")
    frame = there.frame(notice)
    assert frame[0] == NOTICE
    assert here.open(frame, FROM) == Noticed(NodeName("b"), notice)
    assert third.open(frame, FROM) is None
    assert here.open(third.frame(notice), FROM) is None
    for i in range(0, len(frame) * 8, 7):
        damaged = bytearray(frame)
        damaged[i // 8] ^= 1 << i % 8
        told = post("a").open(bytes(damaged), FROM)
        assert told is None or isinstance(told, StrangerHeard | OtherWireHeard)
    assert here.open(frame[:40], FROM) is None


def test_an_introduced_session_is_believed() -> None:
    """First who it is, then what it says."""
    here, there = pair()
    assert here.open(there.frame(HELLO), FROM) == Introduced(
        HELLO, FROM, False, SESSION, key_id(KEY)
    )
    assert here.open(there.frame(Probe(5)), FROM) == said(Probe(5))


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
    assert here.open(there.frame(replace(HELLO, name="../x")), FROM) is None
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
    assert set(here.dropped) == {"malformed", "version", "session", "key", "seal", "replay"}
    assert here.open(probe, FROM) == said(Probe(1))
