"""A shelf: what one node alone knows and writes. Its registrations and its own description stand here.

One writer means that no conflict is possible; a partition only makes a shelf old. When its node is down a shelf is hidden,
not erased. What the node forgets by dying (who was registered) may stand wrong for a while; nobody else corrects it.

A shelf maps a short text key to the bytes of a value:

    "n"                      → NodeInfo
    "l"                      → what of the origin's earlier epochs was absorbed: (epoch, through version), …
    "c1001 ~CgAABxPE"        → Contact, of extension 1001, at sip:1001@10.0.0.7:5060 (the usual shape, in six bytes)
    "c1001 sips:1001@host"   → Contact, of extension 1001, at any other URI
    "r800"                   → the stamp of when conference room 800 began at this node (core/routing/rooms.py), as of a Contact
    "f203.0.113.9"           → how many authentications from there have failed at this node (core/federation/failures.py)
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, ip_address, ip_network
from typing import Annotated

import msgspec
from msgspec import Meta

from pbxfed_ari.core.messages import (
    MANY,
    UNREADABLE,
    Epoch,
    Host,
    MaybePort,
    Name,
    Number,
    Port,
    Shown,
)
from pbxfed_ari.core.names import Extension, is_dialable, is_extension
from pbxfed_ari.core.stamp import LAST, stamp_of

INFO_KEY = "n"
ABSORBED_KEY = "l"
UNSURE = b"\xff"
TRANSPORTS = {
    "udp": 5060,
    "tcp": 5060,
    "tls": 5061,
    "ws": 8088,
    "wss": 8089,
}  # of phones; usual ports
MOST_HOSTS = 4  # addresses of a node that phones are told
SINCE = stamp_of(1_577_836_800_000)  # 2020: no registration is older
_USUAL = re.compile(r"sip:([^@]*)@([0-9.]+):([0-9]+)")


class NodeInfo(msgspec.Struct, frozen=True, array_like=True):
    """What peers must know of a node to call it, and phones to find it. New fields are appended with a default."""

    address: Host  # where its Asterisk answers SIP and IAX2
    site: Name
    weight: Annotated[
        int, Meta(ge=1, le=1_000)
    ]  # capacity, 1 to 1000, quantised by the operator or by calibration
    trunks: tuple[Shown, ...]  # "sip", "iax2": how it wants to be called, best first
    public_key: Annotated[
        bytes, Meta(min_length=32, max_length=32)
    ]  # X25519, 32 bytes; the secret of each pair's trunk comes from it
    sip_port: MaybePort = 5060
    iax_port: MaybePort = 4569
    release: Shown = ""
    phones: Annotated[
        tuple[tuple[Shown, Port], ...], MANY
    ] = ()  # (transport, port) where phones reach it, best first; not said: UDP at sip_port
    phone_addresses: Annotated[tuple[Shown, ...], MANY] = ()  # not said: `address`
    dns: bool = False  # it answers for the federation's domain
    asterisk_since: Number = (
        0  # when its Asterisk was started: seconds since 1970, its clock; 0: not known
    )


@dataclass(frozen=True, slots=True)
class Contact:
    """A registration, and its stamp: the newer one of the same URI wins everywhere.

    A sure one was seen to happen. An unsure one was found later: it happened at some time before its stamp. Its bytes are the
    stamp's distance from SINCE, seven of them until 2054; nine with UNSURE in front if it is unsure.
    """

    stamp: int
    sure: bool = True


_encode = msgspec.msgpack.Encoder().encode
_decode_info = msgspec.msgpack.Decoder(NodeInfo).decode
_decode_absorbed = msgspec.msgpack.Decoder(tuple[tuple[Epoch, Number], ...]).decode


def contact_key(extension: Extension, uri: str) -> str:
    """The key under which a registration stands."""
    return f"c{extension} {_packed(extension, uri) or uri}"


def contact_of_key(key: str) -> tuple[Extension, str] | None:
    """The registration that a key names, or None if the key is not a contact's."""
    if not key.startswith("c"):
        return None
    number, _, rest = key[1:].partition(" ")
    uri = _unpacked(number, rest) or rest
    return (Extension(number), uri) if is_extension(number) and _is_uri(uri) else None


def _is_uri(text: str) -> bool:
    return text != "" and text.isprintable()


def _packed(number: str, uri: str) -> str:
    """`sip:NUMBER@IPv4:PORT` as `~` and eight characters; "" for any other URI."""
    usual = _USUAL.fullmatch(uri)
    if usual is None or usual[1] != number:
        return ""
    try:
        address = IPv4Address(usual[2]).packed + int(usual[3]).to_bytes(2, "big")
    except (AddressValueError, OverflowError):
        return ""
    packed = "~" + urlsafe_b64encode(address).decode()
    return packed if _unpacked(number, packed) == uri else ""


def _unpacked(number: str, text: str) -> str:
    try:
        address = urlsafe_b64decode(text[1:]) if text.startswith("~") and len(text) == 9 else b""
    except ValueError:
        return ""
    if len(address) != 6:
        return ""
    return f"sip:{number}@{IPv4Address(address[:4])}:{int.from_bytes(address[4:], 'big')}"


def failure_key(address: str) -> str:
    """The key under which the failed authentications of an address, or of a network, stand."""
    return f"f{address}"


def address_of_key(key: str) -> str:
    """The address that such a key names; "" if it is none, or not written as we write it."""
    text = key[1:] if key.startswith("f") else ""
    try:
        known = str(ip_network(text)) if "/" in text else str(ip_address(text))
    except ValueError:
        return ""
    return text if text == known and "%" not in text else ""


def place_key(number: str) -> str:
    """The key under which a node says that a room stands there."""
    return f"r{number}"


def number_of_key(key: str) -> str:
    """The number that such a key names; "" if it is none."""
    number = key[1:] if key.startswith("r") else ""
    return number if is_dialable(number) else ""


def encode_count(count: int) -> bytes:
    """A count, in as few bytes as it needs."""
    return count.to_bytes((count.bit_length() + 7) // 8, "big")


def decode_count(value: bytes) -> int:
    """A count; 0 if it is none."""
    return int.from_bytes(value, "big") if len(value) <= 4 else 0


def addresses(info: NodeInfo) -> tuple[str, ...]:
    """All that are a node's."""
    return (info.address, *info.phone_addresses)


def encode(value: NodeInfo | Contact) -> bytes:
    """The bytes of a value, as they stand on the shelf and travel."""
    if isinstance(value, NodeInfo):
        return _encode(value)
    passed = max(0, value.stamp - SINCE)
    if not value.sure:
        return UNSURE + passed.to_bytes(8, "big")
    return passed.to_bytes((passed.bit_length() + 7) // 8, "big")


def decode_info(value: bytes) -> NodeInfo | None:
    """A node's description, or None if a newer release wrote something that we cannot read."""
    try:
        return _decode_info(value)
    except UNREADABLE:
        return None


def encode_absorbed(pairs: Iterable[tuple[int, int]]) -> bytes:
    """What stands under ABSORBED_KEY."""
    return _encode(tuple(pairs))


def decode_absorbed(value: bytes) -> tuple[tuple[int, int], ...]:
    """Epochs, each with the version through which it was absorbed; none if it cannot be read."""
    try:
        return _decode_absorbed(value)
    except UNREADABLE:
        return ()


def decode_contact(value: bytes) -> Contact | None:
    """A registration, or None if it cannot be read."""
    sure = not (len(value) == 9 and value.startswith(UNSURE))
    passed = value if sure else value[1:]
    stamp = SINCE + int.from_bytes(passed, "big")
    return Contact(stamp, sure) if len(passed) <= 8 and stamp <= LAST else None
