"""Tokens, and the frames that redeem them: whole or refused, and only between who made one and who holds it."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxfed_ari.core.names import NodeName
from pbxfed_ari.errors import BadSeal, BadSignature, Malformed, Refused, WireError
from pbxfed_ari.wire import token
from pbxfed_ari.wire.identity import NodeKey
from pbxfed_ari.wire.token import ANSWER, ASK, Answer, Ask, Token

A, B = (NodeKey(name.encode() * 32, NodeName(name)) for name in "ab")
INVITATION, SECRET, NONCE = bytes(range(8)), bytes(range(16)), bytes(12)
TOKEN = Token(
    1,
    "pbx.example",
    ("10.0.0.1:8781",),
    INVITATION,
    SECRET,
    token.fingerprint(A.signing),
    1_800_000_000,
)
QUESTION = Ask("b", "10.0.0.2", B.signing, B.public)


def ask(message: Ask = QUESTION, key: NodeKey = B, secret: bytes = SECRET) -> bytes:
    return token.seal(ASK, INVITATION, secret, message, key, NONCE)


def test_a_token_is_one_word_that_says_all() -> None:
    """It can be read aloud, badly; it can be copied with one click."""
    text = token.write(TOKEN)
    assert token.read(text) == TOKEN
    assert text.replace("-", "").replace("_", "").isalnum()


@given(st.integers(0, 10_000), st.characters(codec="ascii", categories=["L", "N"]))
def test_a_token_with_another_letter_is_damaged(at: int, letter: str) -> None:
    """Wherever it is. (The last letter has bits to spare: what means the same is the same.)"""
    text = token.write(TOKEN)
    at %= len(text)
    changed = text[:at] + letter + text[at + 1 :]
    if changed == text:
        return
    with suppress(Refused):
        assert token.read(changed) == TOKEN
        assert at == len(text) - 1


@given(st.text(max_size=300))
def test_what_is_no_token_is_refused(text: str) -> None:
    """Never another error."""
    with pytest.raises(Refused):
        token.read(text)


def test_its_secret_is_not_shown() -> None:
    """Not in a log that prints it."""
    assert SECRET.hex() not in repr(TOKEN)
    assert repr(SECRET) not in repr(TOKEN)


def test_who_asks_is_heard_by_who_has_the_secret() -> None:
    """And answered under another key of the same secret."""
    assert token.open_(ASK, ask(), SECRET, Ask) == QUESTION
    answer = Answer(A.signing, domain="pbx.example")
    frame = token.seal(ANSWER, INVITATION, SECRET, answer, A, NONCE)
    assert token.open_(ANSWER, frame, SECRET, Answer) == answer
    with pytest.raises(BadSeal):
        token.open_(ASK, frame, SECRET, Ask)
    with pytest.raises(BadSeal):
        token.open_(ASK, ask(), bytes(16), Ask)


def test_nobody_asks_with_a_key_that_is_not_his() -> None:
    """The admission would be another's."""
    with pytest.raises(BadSignature):
        token.open_(ASK, ask(key=A), SECRET, Ask)


def test_every_flipped_bit_and_every_cut_is_noticed() -> None:
    """Header, text and tag."""
    frame = ask()
    for i in range(len(frame) * 8):
        damaged = bytearray(frame)
        damaged[i // 8] ^= 1 << i % 8
        if i >= 8:  # the first byte is the dispatcher's
            with pytest.raises(WireError):
                token.open_(ASK, bytes(damaged), SECRET, Ask)
    for length in range(len(frame)):
        with pytest.raises(WireError):
            token.open_(ASK, frame[:length], SECRET, Ask)
    with pytest.raises(Malformed):
        token.invitation_of(b"")
