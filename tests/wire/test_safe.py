"""The safe: secrets that are kept, always sealed alike, and opened by nothing but the same key for the same object."""

from hypothesis import given
from hypothesis import strategies as st

from pbxfed_ari.wire import safe

KEY, OTHER = bytes(range(32)), bytes(32)


def test_what_was_sealed_by_an_older_release_can_be_opened() -> None:
    """These bytes stand in books."""
    sealed = bytes.fromhex("b7f25416dee8c4bd1c0c0424c283d435fbfe65cc57465520b26da37eeeb57d")
    assert safe.lock(KEY, b"correct-horse-9", b"x12345678") == sealed
    assert safe.unlock(KEY, sealed, b"x12345678") == b"correct-horse-9"


@given(secret=st.binary(max_size=64), context=st.binary(min_size=1, max_size=16))
def test_only_the_same_key_and_object_open_it(secret: bytes, context: bytes) -> None:
    """A record that is copied to another extension, or damaged, is nothing."""
    sealed = safe.lock(KEY, secret, context)
    assert len(sealed) == len(secret) + 16
    assert safe.unlock(KEY, sealed, context) == secret
    assert safe.unlock(OTHER, sealed, context) is None
    assert safe.unlock(KEY, sealed, context + b"x") is None
    assert safe.unlock(KEY, bytes([sealed[0] ^ 1]) + sealed[1:], context) is None


@given(st.binary(max_size=40))
def test_what_is_no_seal_opens_to_nothing(junk: bytes) -> None:
    """A peer may write anything."""
    assert safe.unlock(KEY, junk, b"x") is None
