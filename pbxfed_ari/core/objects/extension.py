"""An extension: a number, who it belongs to, and the secret that lets its phone register anywhere.

Field groups, each decided by its own newest stamp:

    LIFE     written by a delete (core/book.py).
    CLAIM    the number. Of two objects that claim the same one, the oldest claim wins; the other stays, disabled.
    SECRET   the digest md5(number:realm:secret) of RFC 3261 §22.4; the secret itself is never kept.
    NAME     what is displayed.
    DEVICES  how many phones may be registered at once, federation-wide; one more replaces the oldest.
"""

import string
from dataclasses import dataclass
from hashlib import md5

import msgspec

from pbxfed_ari.core.book import LIFE
from pbxfed_ari.core.names import Extension, ObjectId
from pbxfed_ari.core.names import extension as as_extension
from pbxfed_ari.errors import Refused

KIND = "extension"
KIND_BYTE = b"x"
GROUPS = ("life", "number", "secret", "name", "devices")  # as an operator calls them

CLAIM, SECRET, NAME, DEVICES = 1, 2, 3, 4

MIN_SECRET = 8  # characters; a SIP secret is guessed from outside, at the speed of the network
MIN_VARIETY = 5  # different characters in it
MAX_TEXT = 64  # characters of a name
MAX_DEVICES = 10
HA1 = 32  # hexadecimal digits of a digest
DEFAULT_DEVICES = 1

_pack = msgspec.msgpack.encode
_HEX = frozenset(string.hexdigits)


@dataclass(frozen=True, slots=True)
class Phone:
    """An extension as it stands in the book."""

    id: ObjectId
    number: Extension
    name: str
    ha1: str
    devices: int
    claimed: tuple[int, str]  # stamp and writer of the claim: the oldest wins

    def shown(self) -> dict[str, object]:
        """What an operator may see: everything but the digest."""
        return {
            "extension": self.number,
            "name": self.name,
            "devices": self.devices,
            "id": self.id.hex(),
        }


def read(object_id: bytes, groups: dict[int, bytes], claimed: tuple[int, str]) -> Phone | None:
    """The phone that these groups describe; None without a readable claim, or if another value breaks its rule."""
    try:
        number = as_extension(_unpack_text(groups[CLAIM]))
        name = _name(number, _unpack_text(groups[NAME])) if NAME in groups else ""
        many = msgspec.msgpack.decode(groups[DEVICES]) if DEVICES in groups else DEFAULT_DEVICES
        ha1 = groups.get(SECRET, b"").hex()
        return Phone(
            ObjectId(object_id),
            number,
            name,
            ha1 if len(ha1) == HA1 else "",
            _devices(number, many),
            claimed,
        )
    except (KeyError, Refused, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def shown(group: int, value: bytes | None) -> str:
    """A group's value as an operator may see it; a secret is not shown."""
    if value is None or group not in (CLAIM, NAME, DEVICES):
        return "removed" if group == LIFE else "another"
    try:
        return repr(msgspec.msgpack.decode(value))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "unreadable"


def groups_of(number: str, fields: dict[str, object], *, realm: str, new: bool) -> dict[int, bytes]:
    """The field groups that an edit sets.

    Raises: Refused, naming the field, its value (never a secret's) and the rule.
    """
    ext = as_extension(number)
    unknown = sorted(set(fields) - {"name", "secret", "ha1", "devices"})
    if unknown:
        raise Refused(
            f"extension {ext}: unknown field {unknown[0]!r}; known are name, secret, devices"
        )
    groups: dict[int, bytes] = {CLAIM: _pack(ext)} if new else {}
    if "secret" in fields or "ha1" in fields or new:
        groups[SECRET] = bytes.fromhex(_digest(ext, fields, realm))
    if "name" in fields:
        groups[NAME] = _pack(_name(ext, fields["name"]))
    if "devices" in fields:
        groups[DEVICES] = _pack(_devices(ext, fields["devices"]))
    return groups


def ha1(number: str, realm: str, secret: str) -> str:
    """The digest that stands for a secret in one realm (RFC 2617 §3.2.2.2), 32 hex digits."""
    return md5(f"{number}:{realm}:{secret}".encode(), usedforsecurity=False).hexdigest()


def _digest(ext: Extension, fields: dict[str, object], realm: str) -> str:
    given, secret = fields.get("ha1"), fields.get("secret")
    if given is not None:
        if not (isinstance(given, str) and len(given) == HA1 and set(given) <= _HEX):
            raise Refused(f"extension {ext}: ha1 must be 32 hexadecimal digits")
        return given.lower()
    if not isinstance(secret, str):
        raise Refused(f"extension {ext}: a secret is needed")
    _check_secret(ext, secret)
    return ha1(ext, realm, secret)


def _check_secret(ext: Extension, secret: str) -> None:
    if len(secret) < MIN_SECRET or len(set(secret)) < MIN_VARIETY:
        raise Refused(
            f"extension {ext}: the secret is too weak: at least {MIN_SECRET} characters, "
            f"{MIN_VARIETY} of them different; leave it out to have one made"
        )
    if ext in secret and len(ext) * 2 > len(secret):
        raise Refused(f"extension {ext}: the secret is too weak: it is mostly the number itself")
    if not secret.isprintable() or not secret.isascii() or " " in secret:
        raise Refused(f"extension {ext}: the secret must be printable ASCII without spaces")


def _name(ext: Extension, value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT or not value.isprintable():
        raise Refused(
            f"extension {ext}: name {value!r} must be printable, {MAX_TEXT} characters at most"
        )
    if set(value) & set('"<>\\'):
        raise Refused(f'extension {ext}: name {value!r} must not hold any of " < > \\')
    return value


def _devices(ext: Extension, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_DEVICES:
        raise Refused(f"extension {ext}: devices = {value!r}: must be 1 to {MAX_DEVICES}")
    return value


def _unpack_text(value: bytes) -> str:
    return msgspec.msgpack.decode(value, type=str)
