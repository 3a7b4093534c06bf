"""The names of things, and the one place where a text becomes one of them.

Nodes, extensions, calls and channels are all texts; a NewType each keeps them from being confused. What a number may look
like is decided by what must carry it: Asterisk's dialplan patterns in `dialplan/extensions.conf`, SIP user parts
(RFC 3261 §25.1) and Stasis arguments, which a comma would end.
"""

import re
from hashlib import blake2b
from typing import NewType

from pbxfed_ari.errors import Refused

NodeName = NewType("NodeName", str)
Extension = NewType("Extension", str)
CallId = NewType("CallId", str)
ChannelId = NewType("ChannelId", str)
ObjectId = NewType("ObjectId", bytes)

CERTIFIED = "pbxfed"  # ends the names in certificates; no top-level domain, so no public authority certifies one
TRUNK_PREFIX = "pf-"  # PJSIP and IAX2 objects of peers; no extension can look like one (no dash)
LISTENS = (
    "pbxfed-listen-"  # begins the channels of who listens in on a call (core/calls/listening.py)
)

NODE = r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?"
_NODE = re.compile(NODE)
EXTENSION = r"\+?[0-9]{1,31}|[A-Za-z][A-Za-z0-9]{1,31}"
DIALABLE = rf"{EXTENSION}|[*0-9][*#0-9]{{0,31}}"
_EXTENSION = re.compile(EXTENSION)
_DIALABLE = re.compile(DIALABLE)
_TAKEN = frozenset(
    {"anonymous", "default", "failed", "global", "general"}
)  # Asterisk means something by them


def node_name(text: str) -> NodeName:
    """A node's name: a DNS label (RFC 1035 §2.3.1) in lower case, at most 32 characters.

    Raises: Refused.
    """
    if not _NODE.fullmatch(text):
        raise Refused(f"node name {text!r}: must be 1 to 32 of a-z, 0-9 and -, as a DNS label")
    return NodeName(text)


def extension(text: str) -> Extension:
    """A phone's number: digits, `+` in front, or a word of letters and digits; at most 32 characters.

    Raises: Refused.
    """
    if text.lower() in _TAKEN:
        raise Refused(f"extension {text!r}: Asterisk itself uses this name")
    if not _EXTENSION.fullmatch(text):
        raise Refused(
            f"extension {text!r}: must be digits (with a leading + if need be), "
            "or 2 to 32 letters and digits starting with a letter"
        )
    return Extension(text)


def dialable(text: str) -> Extension:
    """What may be dialed: a phone's number, or a code with `*` and `#` in it.

    Raises: Refused.
    """
    if not is_dialable(text):
        raise Refused(
            f"number {text!r}: must be an extension, or digits with * and # (not # in front), 32 at most"
        )
    return Extension(text)


def is_dialable(text: str) -> bool:
    """May this be dialed?"""
    return text.lower() not in _TAKEN and _DIALABLE.fullmatch(text) is not None


def is_extension(text: str) -> bool:
    """Can this be a phone's number? As `extension`, for what peers say."""
    return text.lower() not in _TAKEN and _EXTENSION.fullmatch(text) is not None


def trunk_to(node: NodeName) -> str:
    """The name under which a peer's trunk objects stand in Asterisk."""
    return f"{TRUNK_PREFIX}{node}"


def node_of_trunk(name: str) -> NodeName | None:
    """The peer whose trunk this is, or None if it is not a trunk's name."""
    return NodeName(name.removeprefix(TRUNK_PREFIX)) if name.startswith(TRUNK_PREFIX) else None


def bridge_of(key: str, attempt: int = 0) -> str:
    """The name of a call's bridge; of a later one that of the try for which it is made, too."""
    return f"{TRUNK_PREFIX}{key}-{attempt}" if attempt else f"{TRUNK_PREFIX}{key}"


def leg_of(key: str, attempt: int, index: int) -> ChannelId:
    """The id of a leg that we make."""
    return ChannelId(f"{TRUNK_PREFIX}{key}-{attempt}-{index}")


def attempt_of(leg: ChannelId) -> int:
    """Which try of its call made this leg."""
    number = leg.split("-")[2:3]
    return int(number[0]) if number and number[0].isdecimal() else 1


def key_of_name(name: str) -> str:
    """The call whose bridge or leg this is; "" if the name is not one of ours."""
    return name.removeprefix(TRUNK_PREFIX).split("-")[0] if name.startswith(TRUNK_PREFIX) else ""


def listener_of(key: str, heard_by: str, fresh: str) -> str:
    """What the channels of who listens in on a call have in common: each appends what it is for."""
    return f"{LISTENS}{key}-{heard_by}-{fresh}"


def listens_to(channel: str) -> str:
    """The call in on which this channel listens; "" if it is none of that kind."""
    return channel.removeprefix(LISTENS).split("-")[0] if channel.startswith(LISTENS) else ""


def part_of(channel: ChannelId) -> str:
    """A channel's id as part of a call's name, where Asterisk has a `systemname` with a dash in front of all its ids."""
    return re.sub(r"[^0-9A-Za-z]", "=", channel)


def federation_tag(domain: str) -> str:
    """Six hexadecimal digits that tell a federation from others where they meet. No secret."""
    return blake2b(domain.encode(), digest_size=3, person=b"pbxfed tag").hexdigest()


def certified_name(who: str, tag: str) -> str:
    """The name in a certificate: of a node, or of who issued it."""
    return f"{who}.{tag}.{CERTIFIED}"
