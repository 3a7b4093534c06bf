"""Joining, as bytes: the token that an operator carries, and the two frames by which it is redeemed.

    token    base64url of a MessagePack array and four bytes of checksum: who holds it may become a member, once
    ask      1 byte 0x14 | invitation 8 | nonce 12 | ciphertext | tag 16
    answer   1 byte 0x15 | invitation 8 | nonce 12 | ciphertext | tag 16

Both frames are sealed with ChaCha20-Poly1305 (RFC 8439) under keys that come of the whole token, its secret among it, by
HKDF-SHA256 (RFC 5869), one for each direction: a token in which anything was altered opens nothing. Inside stands a signature
of 64 bytes, then the message: the asker proves that it has the node key that it names, the answerer that it made the token.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from hashlib import blake2b
from typing import TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pbxfed_ari.core.messages import UNREADABLE, WIRE_VERSION
from pbxfed_ari.errors import BadSeal, BadSignature, Malformed, Refused
from pbxfed_ari.wire.codec import MAX_PAYLOAD
from pbxfed_ari.wire.identity import SIGNATURE, NodeKey

ASK, ANSWER = WIRE_VERSION << 4 | 4, WIRE_VERSION << 4 | 5
INVITATION, NONCE, SECRET, KEY, CHECKSUM, FINGERPRINT = 8, 12, 16, 32, 4, 16  # bytes


class Token(msgspec.Struct, frozen=True, array_like=True):
    """What an invitation says."""

    version: int
    domain: str
    addresses: tuple[str, ...]  # of the inviter, host:port
    invitation: bytes
    secret: bytes
    fingerprint: bytes  # of the inviter's signing key
    expires: int  # seconds since 1970

    def __repr__(self) -> str:
        return f"Token({self.domain}, {self.invitation.hex()})"  # never its secret

    @property
    def key(self) -> bytes:
        """What comes of all that it says."""
        data = msgspec.msgpack.encode(self)
        return blake2b(data, digest_size=KEY, person=b"pbxfed token key").digest()


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """Who would like to become a member."""

    name: str
    address: str
    signing: bytes
    public: bytes
    release: str = ""
    wall_ms: int = 0  # the asker's clock, milliseconds since 1970; 0: not told


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What a new member needs, or why it gets nothing (`error`)."""

    signing: bytes
    error: str = ""
    domain: str = ""
    born: str = ""  # the federation's id
    keys: tuple[tuple[bytes, int, str, bool], ...] = ()
    closed: tuple[int, str] | None = None
    group: str = ""
    port: int = 0
    multicast: bool = True
    site: str = ""
    wan: str = "none"
    connect: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ()  # members' addresses, host:port
    timing: str = "lan"


_Message = TypeVar("_Message", Ask, Answer)


def fingerprint(signing: bytes) -> bytes:
    """What stands for a signing key in a token."""
    return blake2b(signing, digest_size=FINGERPRINT, person=b"pbxfed signer").digest()


def write(token: Token) -> str:
    """The token as one word."""
    data = msgspec.msgpack.encode(token)
    return urlsafe_b64encode(data + _checksum(data)).decode().rstrip("=")


def read(text: str) -> Token:
    """The token in this word.

    Raises: Refused, if it is not whole.
    """
    damaged = "the token is damaged: copy all of it, it is one word"
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        body, checksum = data[:-CHECKSUM], data[-CHECKSUM:]
        if not text.isascii() or _checksum(body) != checksum:
            raise Refused(damaged)
        token = msgspec.msgpack.decode(body, type=Token)
    except (Error, ValueError, *UNREADABLE):
        raise Refused(damaged) from None
    if token.version != WIRE_VERSION:
        raise Refused(
            f"the token speaks wire version {token.version}, this release {WIRE_VERSION}: "
            "install the same release on both machines"
        )
    return token


def seal(
    kind: int, invitation: bytes, secret: bytes, message: Ask | Answer, key: NodeKey, nonce: bytes
) -> bytes:
    """The frame of a message, signed by its sender's node key; `secret` is the token's key, `nonce` 12 random bytes."""
    text = msgspec.msgpack.encode(message)
    header = bytes((kind,)) + invitation + nonce
    payload = key.sign(_signed(kind, invitation, text)) + text
    return header + _cipher(kind, invitation, secret).encrypt(nonce, payload, header)


def fits(answer: Answer) -> bool:
    """Does it go into one frame?"""
    return len(msgspec.msgpack.encode(answer)) + SIGNATURE <= MAX_PAYLOAD


def invitation_of(frame: bytes) -> bytes:
    """Which invitation a frame speaks of.

    Raises: Malformed.
    """
    if len(frame) < 1 + INVITATION + NONCE + SIGNATURE:
        raise Malformed(f"a frame of {len(frame)} bytes is too short")
    return frame[1 : 1 + INVITATION]


def open_(kind: int, frame: bytes, secret: bytes, message: type[_Message]) -> _Message:
    """The message in a frame.

    Raises: Malformed, BadSeal, BadSignature.
    """
    invitation = invitation_of(frame)
    body = 1 + INVITATION + NONCE
    header, nonce = frame[:body], frame[body - NONCE : body]
    try:
        payload = _cipher(kind, invitation, secret).decrypt(nonce, frame[body:], header)
        found = msgspec.msgpack.decode(payload[SIGNATURE:], type=message)
    except InvalidTag:
        raise BadSeal("the token does not fit") from None
    except UNREADABLE as error:
        raise Malformed(str(error)) from None
    text = _signed(kind, invitation, payload[SIGNATURE:])
    if not NodeKey.verify(found.signing, payload[:SIGNATURE], text):
        raise BadSignature("not signed by the key that it names")
    return found


def _signed(kind: int, invitation: bytes, text: bytes) -> bytes:
    return b"pbxfed join" + bytes((kind,)) + invitation + text


def _checksum(data: bytes) -> bytes:
    return blake2b(data, digest_size=CHECKSUM, person=b"pbxfed token").digest()


def _cipher(kind: int, invitation: bytes, secret: bytes) -> ChaCha20Poly1305:
    info = b"pbxfed join " + bytes((kind,))
    return ChaCha20Poly1305(HKDF(SHA256(), 32, invitation, info).derive(secret))
