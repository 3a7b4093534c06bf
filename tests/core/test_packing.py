"""Packing: what goes in comes out, whatever it is; what is none is refused; and it is small."""

from hashlib import blake2b, md5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxfed_ari.core.messages import BookSet, Record, ShelfDrop, ShelfPut
from pbxfed_ari.core.names import Extension
from pbxfed_ari.core.records import packing
from pbxfed_ari.core.records.shelf import Contact, contact_key, encode
from pbxfed_ari.core.stamp import LAST, stamp_of

stamps = st.integers(0, LAST)


def contact(number: int, port: int) -> str:
    return contact_key(Extension(str(number)), f"sip:{number}@10.0.{number % 3}.7:{port}")


keys = st.one_of(st.text(), st.builds(contact, st.integers(0, 9999), st.integers(0, 70000)))
records = st.one_of(
    st.builds(ShelfPut, keys, st.binary(max_size=30)),
    st.builds(ShelfDrop, keys),
    st.builds(
        BookSet,
        st.one_of(st.binary(max_size=12), st.just(b"x12345678")),
        st.integers(0, 40),
        st.one_of(stamps, st.just(77 << 16)),
        st.sampled_from(["", "a", "node-b"]),
        st.none() | st.binary(max_size=40),
        st.one_of(st.just(0), stamps),
    ),
)


@given(st.lists(st.tuples(st.integers(1, 300), records)), st.integers(0, 1 << 40))
def test_what_is_packed_comes_out(steps: list[tuple[int, Record]], base: int) -> None:
    """In order, with its numbers."""
    numbered: list[tuple[int, Record]] = []
    at = base
    for step, record in steps:
        at += step
        numbered.append((at, record))
    assert packing.unpack(packing.pack(numbered, base), base) == tuple(numbered)


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_records(data: bytes) -> None:
    """Never another error."""
    try:
        packing.unpack(data, 0)
    except ValueError:
        return


@pytest.mark.parametrize(
    ("version", "record"),
    [
        (1, BookSet(b"x1", 1 << 8, 5, "", b"")),
        (1, BookSet(b"x1", 1, LAST + 1, "", b"")),
        (1, BookSet(b"x1", 1, 5, "", b"", LAST + 1)),
        (1, BookSet(b"x1", 1, 5, "No Node", b"")),
        (1 << 53, ShelfDrop("n")),
    ],
)
def test_what_no_member_can_mean_is_refused(version: int, record: Record) -> None:
    """A stamp that nothing can follow, a group that no store has, a writer that nobody is, a number without a next one."""
    with pytest.raises(ValueError, match=r"out of range|no node"):
        packing.unpack(packing.pack([(version, record)], 0), 0)


def test_what_inflates_without_end_is_refused() -> None:
    """A frame cannot make us hold more than a frame's worth."""
    bomb = packing.pack([(1, ShelfPut("k", bytes(20_000)))], 0)
    with pytest.raises(ValueError, match="more than"):
        packing.unpack(bomb, 0)


def test_forty_registrations_take_twelve_bytes_each() -> None:
    """The bar of a batch is 24 on the wire."""
    found: list[Record] = []
    for n in range(1000, 1040):
        stamp = stamp_of(1_800_000_000_000 + n * 7)
        found.append(ShelfPut(contact(n, 5060 + n % 7), encode(Contact(stamp))))
    assert len(packing.pack(list(enumerate(found, 1)), 0)) <= 12 * len(found)


def test_an_extension_with_its_digest_takes_forty_bytes() -> None:
    """Of which 24 are random: its id and the digest."""
    found: list[Record] = []
    for n in range(30):
        object_id = b"x" + blake2b(bytes((n,)), digest_size=8).digest()
        stamp = stamp_of(1_800_000_000_000 + n * 40)
        values = {
            1: b"\xa5%d" % (30_000 + n),
            2: md5(bytes((n,))).digest(),
            3: b"\xaaPhone %4d" % n,
        }
        found += [BookSet(object_id, g, stamp, "", value) for g, value in values.items()]
    assert len(packing.pack(list(enumerate(found, 1)), 0)) <= 40 * 30
