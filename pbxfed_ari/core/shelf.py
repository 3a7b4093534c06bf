"""A shelf: what one node alone knows and writes. Its registrations and its own description stand here.

One writer means that no conflict is possible; a partition only makes a shelf old. When its node is down a shelf is hidden,
not erased. What the node forgets by dying (who was registered) may stand wrong for a while; nobody else corrects it.

A shelf maps a short text key to the bytes of a value:

    "n"                      → NodeInfo
    "c1001 @10.0.0.7:5060"   → Contact, of extension 1001, at sip:1001@10.0.0.7:5060 (the user part is not written twice)
"""

import msgspec

from pbxfed_ari.core.names import Extension

INFO_KEY = "n"


class NodeInfo(msgspec.Struct, frozen=True, array_like=True):
    """What peers must know of a node to call it."""

    address: str  # where its Asterisk answers SIP and IAX2
    site: str
    weight: int  # capacity, 1 to 1000, quantised by the operator or by calibration
    trunks: tuple[str, ...]  # "sip", "iax2": how it wants to be called, best first
    public_key: bytes  # X25519, 32 bytes; the secret of each pair's trunk comes from it
    sip_port: int = 5060
    iax_port: int = 4569
    release: str = ""


class Contact(msgspec.Struct, frozen=True, array_like=True):
    """A registration: the stamp says when; the newer one of the same URI wins everywhere."""

    stamp: int


_encode = msgspec.msgpack.Encoder().encode
_decode_info = msgspec.msgpack.Decoder(NodeInfo).decode
_decode_contact = msgspec.msgpack.Decoder(Contact).decode


def contact_key(extension: Extension, uri: str) -> str:
    """The key under which a registration stands."""
    usual = f"sip:{extension}@"
    return f"c{extension} {'@' + uri.removeprefix(usual) if uri.startswith(usual) else uri}"


def contact_of_key(key: str) -> tuple[Extension, str] | None:
    """The registration that a key names, or None if the key is not a contact's."""
    if not key.startswith("c"):
        return None
    number, _, rest = key[1:].partition(" ")
    uri = f"sip:{number}{rest}" if rest.startswith("@") else rest
    return Extension(number), uri


def encode(value: NodeInfo | Contact) -> bytes:
    """The bytes of a value, as they stand on the shelf and travel."""
    return _encode(value)


def decode_info(value: bytes) -> NodeInfo | None:
    """A node's description, or None if a newer release wrote something that we cannot read."""
    try:
        return _decode_info(value)
    except msgspec.MsgspecError:
        return None


def decode_contact(value: bytes) -> Contact | None:
    """A registration, or None if it cannot be read."""
    try:
        return _decode_contact(value)
    except msgspec.MsgspecError:
        return None
