"""Handouts: who may fetch an extension's provisioning file, and its secret, which is kept for that file alone.

    field group 17 of the extension's object    [id of a group key, the secret sealed under it, [handout, …]]; empty: none

The digest stands beside it as ever (`objects/extension.py`); most extensions have no more than that. A handout is a URL that
cannot be guessed; what stands here is a proof of it, not the URL. The secret is sealed under a key that comes of the group's
key (`wire/safe.py`), so any member can serve the file, and who has a copy of the store, but not of the keys, can read nothing.
The seal is bound to the object.

How it is sealed and read, `vault.py` says. Digest and secret are two groups, so two edits that met can
leave them unlike: then the secret is not given out, until it is set again.

A node that was expelled had the keys of its time, and what was sealed under them: secrets that it held are known to it. No key
mends that; new secrets do.
"""

from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest

import msgspec

from pbxfed_ari.errors import Refused

MOST = 10  # handouts of an extension: it has no more phones
PROOF = 16  # bytes


class Handout(msgspec.Struct, frozen=True, array_like=True):
    """One way to an extension's file."""

    vendor: str
    mac: str  # of the phone, 12 hexadecimal digits; "": any
    proof: bytes
    once: bool = False  # it ends when it was used
    made: int = 0  # seconds since 1970

    @property
    def name(self) -> str:
        """What it is called where it is shown: of its proof, which says nothing of the URL."""
        return self.proof[:4].hex()


class Handouts(msgspec.Struct, frozen=True, array_like=True):
    """All of an extension, and its secret."""

    key: bytes = b""  # id of the group key
    sealed: bytes = b""
    each: tuple[Handout, ...] = ()

    def of(self, number: str, token: str) -> Handout | None:
        """The handout that this token is; takes as long for each that it is not."""
        given, found = proof(number, token), None
        for one in self.each:
            if compare_digest(one.proof, given):
                found = one
        return found


class Issue(msgspec.Struct, frozen=True):
    """A wish: one handout more, in place of that of the same vendor and phone."""

    handout: Handout


class Withdraw(msgspec.Struct, frozen=True):
    """A wish: these handouts end; without names, all."""

    names: tuple[str, ...] = ()


Wish = Issue | Withdraw
Lock = Callable[[bytes, str], tuple[bytes, bytes]]  # object, secret → id of the key, sealed
_decoder = msgspec.msgpack.Decoder(Handouts)


def proof(number: str, token: str) -> bytes:
    """What is kept of a token."""
    return sha256(f"pbxfed handout {number} {token}".encode("utf-8", "replace")).digest()[:PROOF]


def pack(handouts: Handouts) -> bytes:
    """The bytes in the book."""
    return msgspec.msgpack.encode(handouts) if handouts.each else b""


def unpack(value: bytes | None) -> Handouts:
    """What these bytes stand for; none, if they cannot be read."""
    try:
        return _decoder.decode(value) if value else Handouts()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Handouts()


def changed(
    before: Handouts, wish: Wish | None, seal: Callable[[], tuple[bytes, bytes] | None]
) -> Handouts:
    """What stands after an edit. `seal` seals the secret as it stands from now on; None, if it is no more known.

    Raises: Refused.
    """
    each = _wished(before.each, wish)
    sealed = seal() if each else None
    return Handouts(*sealed, each) if sealed else Handouts()


def _wished(each: tuple[Handout, ...], wish: Wish | None) -> tuple[Handout, ...]:
    match wish:
        case Issue(new):
            kept = tuple(h for h in each if (h.vendor, h.mac) != (new.vendor, new.mac))
            if len(kept) >= MOST:
                raise Refused(
                    f"it has {MOST} provisioning URLs already: revoke one of them", status=409
                )
            return (*kept, new)
        case Withdraw(names):
            return tuple(h for h in each if names and h.name not in names)
        case None:
            return each
