"""The codec: what goes in comes out, what is not a message is Malformed, and old frames stay readable."""

import zlib
from contextlib import suppress
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxfed_ari.core import messages as m
from pbxfed_ari.errors import Malformed, TooBig, UnknownKind
from pbxfed_ari.wire import codec
from pbxfed_ari.wire.seal import OVERHEAD

VECTORS: list[tuple[m.AnyMessage, str]] = [
    (
        m.Hello(
            "a",
            7,
            "10.0.0.1",
            8781,
            ((6, 41),),
            False,
            True,
            "main",
            "0.1.0",
            5,
            (1, 1),
            6,
            b"1",
            b"2",
        ),
        "9f01a16107a831302e302e302e31cd224d91920629c2c3a46d61696ea5302e312e300592010106c40131c40132",
    ),
    (m.Grant(b"\x02", b"\x03", 9, "a", True, (8, "b")), "9711c40102c4010309a161c39208a162"),
    (m.Refusal(b"\x02", "expelled"), "9312c40102a8657870656c6c6564"),
    (
        m.Heartbeat(41, 0x1122334455667788, 0, False, True, 0, 9, 19),
        "990329cf112233445566778800c2c3000913",
    ),
    (m.Probe(5), "920405"),
    (m.Ack(5), "93050500"),
    (m.ProbeFor("c", 5), "9306a16305"),
    (m.AckFor("c", 5), "9307a16305"),
    (m.Suspect("c", 7, 0), "9408a1630700"),
    (m.Down("c", 7, 0), "9409a1630700"),
    (m.Leave(), "910a"),
    (
        m.Delta(
            42, (m.ShelfPut("n", b"\x01"), m.ShelfDrop("n"), m.BookSet(b"x", 3, 9, "", None, 5))
        ),
        "930b2ac413001100016e010101016e0e0201780009000500",
    ),
    (m.Want((("a", 7, 41, 0, 0),)), "940c9195a16107290000a090"),
    (
        m.Piece("a", 7, 41, 42, ((42, m.ShelfDrop("n")),), True, False),
        "990da16107292ac405000301016ec3c200",
    ),
    (m.Vector("b", 5, 0, 9, b"\x01"), "960ea162050009c40101"),
    (
        m.Pieces((m.Piece("a", 7, 41, 43, ((43, m.ShelfDrop("n")),)), m.Piece("b", 7, 0, 1, ()))),
        "94169296a16107292b000296a1620700010002920100c40600044101016e",
    ),
    (m.Contents(0, 9, b"\x01", True), "95140009c40101c3"),
    (m.Anew((("a", 7),)), "92159192a16107"),
    (m.Lineage("a", 7, ((6, 41),)), "940fa1610791920629"),
    (m.SiteReport("east", 9, (("a", 7, 3),), "b", 5), "9610a465617374099193a1610703a16205"),
    (m.Copies(True, 2), "931ec302"),
    (
        m.Copy(m.Heartbeat(41, 0x1122334455667788, 0, False, True, 0, 9), 3),
        "931f990329cf112233445566778800c2c300090003",
    ),
    (
        m.RollCall(m.Heartbeat(41, 0x1122334455667788, 0, True, False, 0, 9), 7, (258, 3)),
        "9421990329cf112233445566778800c3c20009000792cd010203",
    ),
    (m.Neighbours((("b", "10.0.0.2", 8781),)), "92209193a162a831302e302e302e32cd224d"),
    (m.CallHere("f00dbeef0001", 2), "9428ac66303064626565663030303102a0"),
    (m.CallOver("f00dbeef0001", 2), "9329ac66303064626565663030303102"),
    (
        m.Passed("a", "d", m.CallHere("f00dbeef0001", 2)),
        "942ba161a1649428ac66303064626565663030303102a0",
    ),
]


@pytest.mark.parametrize(("message", "written"), VECTORS, ids=lambda v: type(v).__name__)
def test_wire_version_1_is_frozen(message: m.AnyMessage, written: str) -> None:
    """These bytes are what released nodes speak: a change here is a new wire version."""
    assert codec.encode(message).hex() == written
    assert codec.decode(bytes.fromhex(written)) == message


def test_a_heartbeat_of_an_older_release_is_that_of_a_node_that_is_well() -> None:
    """It does not know that it could say anything else."""
    beat = codec.decode(bytes.fromhex("980329cf112233445566778800c2c30009"))
    assert beat == m.Heartbeat(41, 0x1122334455667788, 0, False, True, 0, 9, 0)


def test_a_heartbeat_takes_little() -> None:
    """Half of all that a node sends at rest: 88 bytes with Ethernet, IPv4, UDP and seal."""
    beat = m.Heartbeat(65_535, 1 << 63, 0, True, True, 0, 127, 26)
    assert 42 + OVERHEAD + len(codec.encode(beat)) <= 88


def test_a_field_of_a_newer_release_is_ignored() -> None:
    """What both understand goes on working."""
    assert codec.decode(bytes.fromhex("9304" + "05" + "a3" + "6e6577")) == m.Probe(5)


def test_a_message_kind_of_a_newer_release_is_known_as_such() -> None:
    """Counted, nothing else."""
    with pytest.raises(UnknownKind, match="99"):
        codec.decode(bytes.fromhex("92cc6305"))
    with pytest.raises(Malformed):
        codec.decode(bytes.fromhex("9204"))


@given(st.binary(max_size=200) | st.binary(max_size=200).map(codec.DEFLATED.__add__))
def test_garbage_is_malformed_or_a_message_never_another_error(data: bytes) -> None:
    """A peer can never make us raise further than here."""
    with suppress(Malformed, UnknownKind):
        codec.decode(data)


def test_what_has_much_in_common_travels_deflated() -> None:
    """Forty neighbours take half the bytes, and come out as they went in."""
    message = m.Neighbours(tuple((f"node-{n}", f"10.0.0.{n}", 8781) for n in range(40)))
    written = codec.encode(message)
    assert written.startswith(codec.DEFLATED)
    assert len(written) < len(msgspec.msgpack.encode(message)) / 2
    assert codec.decode(written) == message


def test_a_long_introduction_travels_deflated_too() -> None:
    """A node that was started often has a long lineage."""
    hello = m.Hello("a", 900, "10.0.0.1", 8781, tuple((n, 41) for n in range(90)))
    written = codec.encode(hello)
    assert written.startswith(codec.DEFLATED)
    assert codec.decode_hello(written) == hello


def test_what_cannot_be_inflated_is_malformed() -> None:
    """Garbage, a message cut short, one with a tail, and one that would fill the memory."""
    whole = codec.encode(m.Neighbours(tuple((f"node-{n}", "10.0.0.1", 8781) for n in range(40))))
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = codec.DEFLATED + deflate.compress(bytes(1_000_000)) + deflate.flush()
    for data in (codec.DEFLATED, codec.DEFLATED + b"garbage", whole[:-3], whole + b"x", bomb):
        with pytest.raises(Malformed, match="inflated"):
            codec.decode(data)


def test_a_message_that_fits_no_frame_is_ours_to_split() -> None:
    """It is refused before it is sealed."""
    with pytest.raises(TooBig, match="Delta of"):
        codec.encode(m.Delta(1, (m.ShelfPut("n", Random(1).randbytes(1_400)),)))


def test_only_a_hello_introduces() -> None:
    """Anything else in an introducing frame is refused."""
    with pytest.raises(Malformed):
        codec.decode_hello(codec.encode(m.Probe(5)))


@pytest.mark.parametrize(
    "piece",
    [
        m.Piece("no/name", 7, 0, 1, ()),
        m.Piece("a", 1 << 33, 0, 1, ()),
        m.Piece("a", 7, 0, 1 << 53, ()),
        m.Piece("a", 7, 0, 1, (), floor=-1),
    ],
)
def test_a_stretch_that_no_stream_can_have_is_malformed(piece: m.Piece) -> None:
    """Alone and among others: what is packed is checked as all else is."""
    fine = m.Piece("b", 7, 0, 1, ())
    for message in (piece, m.Pieces((fine, piece))):
        with pytest.raises(Malformed):
            codec.decode(codec.encode(message))


def test_pieces_that_end_before_they_begin_are_malformed() -> None:
    """Their records would have the numbers of others."""
    with pytest.raises(Malformed):
        codec.decode(codec.encode(m.Pieces((m.Piece("a", 7, 9, 3, ()), m.Piece("b", 7, 0, 1, ())))))
