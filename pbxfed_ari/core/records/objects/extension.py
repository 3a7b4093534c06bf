"""An extension: a number, who it belongs to, and the secret that lets its phone register anywhere.

The secret itself is not kept, but the digest md5(number:realm:secret) of RFC 3261 §22.4, which is all that Asterisk needs. Only
of an extension that has a provisioning file the secret is kept too, sealed (`core/handouts.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import md5
from typing import Annotated, Any

from pbxfed_ari.core.names import Extension
from pbxfed_ari.core.records.objects.fields import (
    DIALED,
    MAYBE_LABEL,
    NUMBER,
    RING,
    Choice,
    Digest,
    Field,
    Flag,
    Json,
    ListOf,
    Text,
    Whole,
)
from pbxfed_ari.core.records.objects.kind import Item, Kind
from pbxfed_ari.errors import Refused

MIN_SECRET = 8  # characters; a SIP secret is guessed from outside, at the speed of the network
MIN_VARIETY = 5  # different characters in it
HANDOUTS = 17  # the field group of its provisioning files and their secret (core/handouts.py)
CODECS = ("ulaw", "alaw", "g722", "opus", "g729", "gsm", "ilbc", "speex")
PROFILES = ("nat", "lan", "secure", "webrtc")
CONTROLS = ("", "handover", "bridge")
CONTROL_HELP = (
    "How calls to it are connected: handover (by Asterisk's Dial) or bridge (by the daemon); "
    "empty: as calls.control of the node says."
)
RECORD_HELP = (
    "Whether conversations from or to it are recorded, at the node at which the call comes in."
)
SECRET_HELP = (
    "The phone's SIP password: printable ASCII without spaces, 8 characters at least. "
    "Only its digest is kept; it is never shown."
)
PROFILE_HELP = (
    "How its phone connects: nat (behind a router or not), lan (media directly between phones), "
    "secure (TLS and SRTP only), webrtc (a browser, by secure WebSocket)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone(Item):
    """An extension as it stands in the book."""

    name: Annotated[str, Field(3, Text(64), "What other phones display.")] = ""
    ha1: Annotated[
        str, Field(2, Digest(), "md5(number:realm:secret), in place of a secret.", hidden=True)
    ] = ""
    devices: Annotated[
        int,
        Field(
            4,
            Whole(1, 10),
            "How many phones may be registered at once, federation-wide; one more replaces the oldest.",
        ),
    ] = 1
    calling_class: Annotated[
        str, Field(5, MAYBE_LABEL, "The calling class that says what it may dial.", ("class",))
    ] = ""
    site: Annotated[
        str,
        Field(
            6,
            MAYBE_LABEL,
            "The site whose short numbers it dials; empty: the one it is at.",
            ("site",),
        ),
    ] = ""
    profile: Annotated[str, Field(7, Choice(PROFILES), PROFILE_HELP)] = "nat"
    codecs: Annotated[
        tuple[str, ...],
        Field(8, ListOf(Choice(CODECS)), "Codecs, best first; empty: ulaw, alaw and g722."),
    ] = ()
    forward_always: Annotated[str, Field(9, DIALED, "Every call goes to this number instead.")] = ""
    forward_busy: Annotated[
        str, Field(10, DIALED, "Where a call goes when it is busy or declines.")
    ] = ""
    forward_no_answer: Annotated[str, Field(11, DIALED, "Where a call goes that has rung out.")] = (
        ""
    )
    forward_unreachable: Annotated[
        str,
        Field(12, DIALED, "Where a call goes when no phone is registered, or none can be reached."),
    ] = ""
    dnd: Annotated[bool, Field(13, Flag(), "Do not disturb: it is busy for everybody.")] = False
    ring_seconds: Annotated[
        int, Field(14, RING, "How long it rings; 0: as calls.ring_seconds of the node says.")
    ] = 0
    call_limit: Annotated[
        int, Field(15, Whole(0, 100), "Calls at once; one more finds it busy. 0: no limit.")
    ] = 0

    control: Annotated[str, Field(16, Choice(CONTROLS), CONTROL_HELP)] = ""
    record: Annotated[bool, Field(18, Flag(), RECORD_HELP)] = False

    @property
    def number(self) -> Extension:
        """The key."""
        return Extension(self.key)


class _Extensions(Kind):
    def prepare(
        self, key: str, given: Mapping[str, Any], *, realm: str, new: bool
    ) -> dict[str, Any]:
        """A secret becomes its digest."""
        if given.get("ha1") == "":
            raise Refused(f"extension {key}: ha1 must be 32 hexadecimal digits", field="ha1")
        if "secret" in given and "ha1" in given:
            raise Refused(f"extension {key}: either a secret or its ha1, not both", field="ha1")
        kept = {name: value for name, value in given.items() if name != "secret"}
        if "secret" in given:
            kept["ha1"] = ha1(key, realm, _checked(key, given["secret"]))
        elif new and "ha1" not in given:
            raise Refused(f"extension {key}: a secret is needed", field="secret")
        return kept

    def schemas(self) -> dict[str, Json]:
        """The secret can be given, although it is not kept."""
        said = {"type": "string", "minLength": MIN_SECRET, "description": SECRET_HELP}
        return {"secret": {**said, "writeOnly": True}, **super().schemas()}

    def known(self) -> list[str]:
        """The secret can be given, although it is not kept."""
        return ["secret", *super().known()]


EXTENSION = _Extensions(
    "extension",
    b"x",
    Phone,
    key=NUMBER,
    key_name="extension",
    command="ext",
    space="number",
    help="Extensions: a number, its name, and the secret that lets its phone register anywhere.",
    others={HANDOUTS: "provisioning"},
    example={"extension": "1001", "name": "Reception", "secret": "correct-horse-9", "devices": 2},
)


def ha1(number: str, realm: str, secret: str) -> str:
    """The digest that stands for a secret in one realm (RFC 2617 §3.2.2.2), 32 hex digits."""
    return md5(f"{number}:{realm}:{secret}".encode(), usedforsecurity=False).hexdigest()


def _checked(ext: str, secret: object) -> str:
    if not isinstance(secret, str):
        raise Refused(f"extension {ext}: the secret must be a string", field="secret")
    if len(secret) < MIN_SECRET or len(set(secret)) < MIN_VARIETY:
        raise Refused(
            f"extension {ext}: the secret is too weak: at least {MIN_SECRET} characters, "
            f"{MIN_VARIETY} of them different; leave it out to have one made",
            field="secret",
        )
    if ext in secret and len(ext) * 2 > len(secret):
        raise Refused(
            f"extension {ext}: the secret is too weak: it is mostly the number itself",
            field="secret",
        )
    if not secret.isprintable() or not secret.isascii() or " " in secret:
        raise Refused(
            f"extension {ext}: the secret must be printable ASCII without spaces", field="secret"
        )
    return secret
