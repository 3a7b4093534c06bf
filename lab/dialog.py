"""One call as one phone sees it, and what a phone does when it is called."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Any

from lab.audio import Audio
from lab.sip import Message, Target, display_name, user


@dataclass(slots=True)
class Manners:
    """What a phone does when it is called: answer after a while, let it ring, or refuse."""

    answer_after: float | None = 0.0  # seconds; None lets it ring
    refuse: str | None = None  # a status, as `486 Busy Here`, after `answer_after`
    send_to: str | None = None  # the number in a refusal's Contact, as with `302 Moved Temporarily`
    early: bool = False  # speak while it rings
    ring_after: float = 0.0  # seconds until it rings, as one that must be woken, or a slow provider


@dataclass(slots=True)
class Call:
    """One call as one phone sees it."""

    id: str
    incoming: bool
    other: str  # the number called, or the caller's
    name: str  # the caller's name, as displayed
    local: str  # our From or To field, with tag
    remote: str
    target: str
    peer: Target
    audio: Audio
    started: float
    dialed: str = ""  # incoming: the user part of the request
    diversion: str = (
        ""  # who has sent it on, and why (RFC 5806): as the caller says, in each INVITE
    )
    state: str = "calling"  # calling, ringing, answered, ended
    cause: str = ""
    setup_ms: float | None = None
    ringing_ms: float | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    sequence: itertools.count[int] = field(default_factory=lambda: itertools.count(100))
    version: itertools.count[int] = field(default_factory=lambda: itertools.count(10))  # of our SDP
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    ack: Message | None = None
    display: dict[str, str] = field(default_factory=dict)  # number and name of who is connected
    reasons: list[str] = field(default_factory=list)  # what CANCEL or BYE says of why
    provisional: list[int] = field(default_factory=list)  # answers on the way to the final one
    early: bool = False  # sound came with one of them
    fields: list[str] = field(default_factory=list)  # incoming: the header fields of the request
    notified: list[str] = field(default_factory=list)  # what became of a transfer of it, as told

    def shows(self, message: Message) -> None:
        """The other side has said who it is."""
        if shown := message.get("p-asserted-identity"):
            self.display = {"number": user(shown), "name": display_name(shown)}

    def describe(self) -> dict[str, Any]:
        """The call as the lab reports it."""
        return {
            "call": self.id,
            "incoming": self.incoming,
            "other": self.other,
            "name": self.name,
            "dialed": self.dialed,
            "diversion": self.diversion,
            "state": self.state,
            "cause": self.cause,
            "setup_ms": self.setup_ms,
            "ringing_ms": self.ringing_ms,
            "started": self.started,
            "answered_at": self.answered_at,
            "ended_at": self.ended_at,
            "rtp_sent": self.audio.sent,
            "rtp_received": self.audio.received,
            "display": self.display,
            "reasons": self.reasons,
            "provisional": self.provisional,
            "early": self.early,
            "fields": self.fields,
            "notified": self.notified,
            "keys": self.audio.keys,
            "codecs": dict(self.audio.codecs),
        }
