"""Keys of a shelf: short, and back again to the very same registration."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxfed_ari.core.names import Extension
from pbxfed_ari.core.records.shelf import (
    SINCE,
    Contact,
    NodeInfo,
    contact_key,
    contact_of_key,
    decode_absorbed,
    decode_contact,
    decode_info,
    encode,
    encode_absorbed,
)


@pytest.mark.parametrize(
    ("uri", "key"),
    [
        ("sip:1001@10.0.0.7:5060", "c1001 ~CgAABxPE"),
        ("sip:1001-a20c@10.0.0.7:5060", "c1001 sip:1001-a20c@10.0.0.7:5060"),
        ("sip:1001@10.0.0.07:5060", "c1001 sip:1001@10.0.0.07:5060"),
        ("sip:1001@10.0.0.7:70000", "c1001 sip:1001@10.0.0.7:70000"),
        ("sips:1001@10.0.0.7", "c1001 sips:1001@10.0.0.7"),
        ("sip:10.0.0.7:5060;x-ast-orig-host=a b", "c1001 sip:10.0.0.7:5060;x-ast-orig-host=a b"),
    ],
)
def test_the_usual_uri_is_written_in_six_bytes(uri: str, key: str) -> None:
    """Bytes on the wire; but only where the way back is certain."""
    assert contact_key(Extension("1001"), uri) == key
    assert contact_of_key(key) == ("1001", uri)


@given(
    st.text("0123456789", min_size=1, max_size=31),
    st.text(min_size=1).filter(lambda uri: uri.isprintable() and not uri.startswith("~")),
)
def test_every_key_names_the_registration_that_made_it(number: str, uri: str) -> None:
    """Whatever a phone calls itself."""
    assert contact_of_key(contact_key(Extension(number), uri)) == (number, uri)


DESCRIBED = encode(NodeInfo("10.0.0.7", "main", 100, ("sip",), bytes(32)))


def test_an_older_release_says_nothing_of_phones_and_a_newer_one_more() -> None:
    """Fields are appended: either can be read."""
    old = b"\x98" + encode(NodeInfo("10.0.0.7", "main", 100, ("sip",), bytes(32)))[1:-4]
    info = decode_info(old)
    assert info is not None
    assert (info.phones, info.phone_addresses, info.dns) == ((), (), False)
    assert info.asterisk_since == 0
    newer = bytes((DESCRIBED[0] + 1,)) + DESCRIBED[1:] + b"\x01"
    assert decode_info(newer) == decode_info(DESCRIBED)


@given(st.integers(SINCE, SINCE + (1 << 56) - 1))
def test_a_registration_is_seven_bytes_and_comes_back(stamp: int) -> None:
    """A stamp is most of what a delta carries."""
    value = encode(Contact(stamp))
    assert len(value) <= 7
    assert decode_contact(value) == Contact(stamp)


def test_a_stamp_of_before_all_registrations_is_the_weakest() -> None:
    """A registration of which nothing is known loses against any other."""
    assert decode_contact(encode(Contact(1))) == Contact(SINCE)


def test_other_keys_are_no_contacts_and_unreadable_values_are_nothing() -> None:
    """A newer release may write what we cannot read."""
    assert contact_of_key("n") is None
    assert decode_contact(bytes(9)) is None
    assert decode_contact(encode(Contact(SINCE + 5, sure=False))) == Contact(SINCE + 5, sure=False)
    assert decode_info(b"\x93\x01\x02\x03") is None
    assert decode_info(DESCRIBED.replace(b"10.0.0.7", b"10.0.0\xff7")) is None
    deep = b"\x91" * 60_000 + b"\xc0"  # deeper than any Python goes; 3.13 goes to some ten thousand
    assert decode_info(bytes((DESCRIBED[0] + 1,)) + DESCRIBED[1:] + deep) is None
    assert decode_absorbed(encode_absorbed([(1, 1 << 60)])) == ()


@pytest.mark.parametrize(
    "key", ["c", "c1001", "c1001 ", "c*8 sip:x", "c10\n01 sip:x", "c1001 a\nb"]
)
def test_what_is_no_registration_is_none(key: str) -> None:
    """A member's mistake must not reach a dialplan or a log."""
    assert contact_of_key(key) is None
