"""ARI JSON → core events. Pure, so that a tape of a real Asterisk is a test.

Each channel enters Stasis with arguments that `dialplan/extensions.conf` chose: `phone,<who transferred it>`, `did`,
`trunk,<endpoint>,<note>` or `next,<DIALSTATUS>,<HANGUPCAUSE>`; our own legs (legs.py) with `leg`, what
hears a call for who listens in (calls.py) with `ear`; the number dialed is where it
stands in the dialplan.
Whatever else Asterisk tells us, today or in a later release, is counted and let go: an event can never make us raise.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import get_args

import msgspec
from msgspec.structs import replace

from pbxfed_ari.asterisk.models import Bridge, Channel, ContactInfo
from pbxfed_ari.core.events import (
    Answered,
    Arrived,
    CameIn,
    ContactAdded,
    ContactRemoved,
    EarEntered,
    Ended,
    HungUp,
    LegDialed,
    LegEnded,
    LegEntered,
    LegLives,
    LegRefused,
    ListenerAnswered,
    Redirected,
    Returned,
    WentOut,
)
from pbxfed_ari.core.names import (
    TRUNK_PREFIX,
    ChannelId,
    Extension,
    NodeName,
    extension,
    key_of_name,
    node_name,
    node_of_trunk,
)
from pbxfed_ari.errors import Refused

UNKNOWN_CAUSE = 0  # Q.850 has no cause 0; Asterisk says it when it knows none
_GONE = frozenset({"Removed", "Unreachable"})
_LIFE = frozenset({"RINGING", "PROGRESS", "PROCEEDING"})
_REFUSALS = {"BUSY": 17, "CONGESTION": 34}  # Q.850


class StasisStart(msgspec.Struct, frozen=True, tag=True):
    """A channel has entered our application."""

    args: list[str]
    channel: Channel
    application: str = ""


class ChannelDestroyed(msgspec.Struct, frozen=True, tag=True):
    """A channel is no more."""

    channel: Channel
    cause: int = UNKNOWN_CAUSE
    tech_cause: int = 0


class ChannelHangupRequest(msgspec.Struct, frozen=True, tag=True):
    """A channel shall end: who is at its other end wishes it, or (`soft`) somebody here."""

    channel: Channel
    cause: int = UNKNOWN_CAUSE
    soft: bool = False


class ChannelEnteredBridge(msgspec.Struct, frozen=True, tag=True):
    """A channel is in a bridge now."""

    bridge: Bridge
    channel: Channel


class ChannelLeftBridge(msgspec.Struct, frozen=True, tag=True):
    """A channel is in a bridge no more."""

    bridge: Bridge
    channel: Channel


class ChannelUserevent(msgspec.Struct, frozen=True, tag=True):
    """The dialplan says something."""

    eventname: str
    userevent: dict[str, object]
    channel: Channel | None = None


class Dial(msgspec.Struct, frozen=True, tag=True):
    """A dialed leg has got so far."""

    dialstatus: str
    peer: Channel
    caller: Channel | None = None
    forward: str = ""  # whither the peer wants the call to go


class ContactStatusChange(msgspec.Struct, frozen=True, tag=True):
    """A registration has come or gone."""

    contact_info: ContactInfo
    timestamp: datetime | None = None


AriEvent = (
    StasisStart
    | ChannelDestroyed
    | ChannelHangupRequest
    | ChannelEnteredBridge
    | ChannelLeftBridge
    | ChannelUserevent
    | Dial
    | ContactStatusChange
)
OURS = frozenset(kind.__name__ for kind in get_args(AriEvent))  # types that we read
BRIDGES = frozenset(
    {"ChannelEnteredBridge", "ChannelLeftBridge", "ChannelHangupRequest"}
)  # of those, what matters if there are bridges of ours
FromAsterisk = (
    Arrived
    | Returned
    | Answered
    | LegDialed
    | LegLives
    | LegRefused
    | LegEntered
    | LegEnded
    | Redirected
    | Ended
    | HungUp
    | CameIn
    | WentOut
    | ListenerAnswered
    | EarEntered
    | ContactAdded
    | ContactRemoved
)

_PATIENT = (b'{"type":"Dial"', b'{"type":"ChannelDestroyed"')  # as Asterisk begins them

_decoder: msgspec.json.Decoder[AriEvent] = msgspec.json.Decoder(AriEvent)


class _Head(msgspec.Struct, frozen=True):
    type: str


@dataclass(slots=True)
class Tolerated:
    """What was let go: events that we do not use, by their type, and how many made no sense at all."""

    unused: dict[str, int] = field(default_factory=dict)
    malformed: int = 0


def may_wait(frame: bytes) -> bool:
    """Is this about Dial, or an end? In handover nobody waits for it."""
    return frame.startswith(_PATIENT)


def decode(text: str | bytes, tolerated: Tolerated) -> AriEvent | None:
    """The event in this frame, or None if it is none of ours."""
    try:
        return _decoder.decode(text)
    except (ValueError, RecursionError):
        _count(text, tolerated)
        return None


def translate(event: AriEvent, *, app: str, wall_ms: int, fresh_id: str) -> FromAsterisk | None:
    """What the event means to the core, or None if nothing.

    `wall_ms` is now, for events that do not say when; `fresh_id` may name a new call.
    """
    match event:
        case Dial():
            return _dial(event)
        case StasisStart():
            if event.application not in ("", app):
                return None
            return entered(event.channel, event.args, wall_ms=wall_ms, fresh_id=fresh_id)
        case ChannelDestroyed(channel=channel, cause=cause, tech_cause=sip):
            gone = ChannelId(channel.id)
            return LegEnded(gone, cause, sip) if key_of_name(gone) else Ended(gone, cause)
        case ChannelHangupRequest(channel=channel, cause=cause, soft=False):
            return HungUp(ChannelId(channel.id), cause)
        case ChannelEnteredBridge(bridge=bridge, channel=channel) if key_of_name(bridge.id):
            return CameIn(ChannelId(channel.id), bridge.id)
        case ChannelLeftBridge(bridge=bridge, channel=channel) if key_of_name(bridge.id):
            return WentOut(ChannelId(channel.id), bridge.id)
        case ChannelUserevent(eventname="pbxfed-redirect", channel=Channel(id=leg)):
            return Redirected(ChannelId(""), ChannelId(leg), str(event.userevent.get("to", "")))
        case ChannelUserevent(eventname="pbxfed-answered", channel=Channel(id=caller)):
            return Answered(ChannelId(caller), ChannelId(""))
        case ChannelUserevent(eventname="pbxfed-listens", channel=Channel(id=phone)):
            return ListenerAnswered(ChannelId(phone))
        case ContactStatusChange(contact_info=contact, timestamp=when):
            return _contact(contact, wall_ms if when is None else milliseconds(when))
    return None


def entered(
    channel: Channel, args: list[str], *, wall_ms: int, fresh_id: str
) -> Arrived | Returned | LegEntered | EarEntered | None:
    """A channel stands in our application with these arguments."""
    match args:
        case ["leg"]:
            return LegEntered(ChannelId(channel.id))
        case ["ear"]:
            return EarEntered(ChannelId(channel.id))
        case ["phone", *by]:
            return _arrived(channel, wall_ms, fresh_id, by=owner(by[0]) if by else "")
        case ["did"]:
            return _arrived(channel, wall_ms, fresh_id, outside=True)
        case ["trunk", trunk, *notes]:
            peer = node_of_trunk(trunk)
            if peer is None:
                return None
            try:
                peer = node_name(peer)
            except Refused:
                return None
            note = notes[0] if notes else ""
            return _arrived(channel, wall_ms, fresh_id, peer=peer, note=note)
        case ["next", status, *causes]:
            cause = causes[0] if causes else ""
            number = int(cause) if cause.isascii() and cause.isdigit() else UNKNOWN_CAUSE
            return Returned(ChannelId(channel.id), status, number)
    return None


def waiting(
    channel: Channel, *, app: str, wall_ms: int, fresh_id: str
) -> list[Arrived | Returned | LegEntered | LegLives | Answered | EarEntered]:
    """What there is to tell of a channel that stands in our application, perhaps since before we were connected."""
    if channel.dialplan.app_name != "Stasis":
        return []
    name, *args = channel.dialplan.app_data.split(",")
    began = milliseconds(channel.creationtime) if channel.creationtime else wall_ms
    found = entered(channel, args, wall_ms=began, fresh_id=fresh_id) if name == app else None
    match found:
        case None:
            return []
        case Arrived() | Returned():
            return [replace(found, again=True)]
        case LegEntered(leg) if channel.state == "Ringing":
            return [found, LegLives(ChannelId(""), leg, "RINGING")]
        case LegEntered(leg) if channel.state == "Up":
            return [found, Answered(ChannelId(""), leg)]
    return [found]


def came(channel: Channel) -> Arrived | None:
    """How this caller, who talks, once came to us; `fresh_id` is for the reader to fill in."""
    if not channel.creationtime:
        return None
    _, *args = channel.dialplan.app_data.split(",")
    began = milliseconds(channel.creationtime)
    found = entered(channel, args, wall_ms=began, fresh_id="")
    if isinstance(found, Returned):
        found = entered(channel, whence(channel), wall_ms=began, fresh_id="")
    return found if isinstance(found, Arrived) else None


def whence(channel: Channel) -> list[str]:
    """With what it once entered our application, as far as its name tells: a phone's channel, or a peer's."""
    trunk = owner(channel.name)
    return ["phone"] if node_of_trunk(trunk) is None else ["trunk", trunk]


def _arrived(
    channel: Channel,
    wall_ms: int,
    fresh_id: str,
    *,
    peer: NodeName | None = None,
    note: str = "",
    outside: bool = False,
    by: str = "",
) -> Arrived:
    return Arrived(
        ChannelId(channel.id),
        channel.dialplan.exten,
        channel.caller.number,
        channel.caller.name,
        peer,
        note,
        fresh_id,
        _endpoint(channel.name),
        outside,
        wall_ms,
        by,
    )


def _endpoint(name: str) -> str:
    """Whose channel this is: `PJSIP/1001-0000002a` is 1001's, whatever caller id it shows."""
    return owner(name) if name.startswith("PJSIP/") else ""


def owner(name: str) -> str:
    """The same, of any technology."""
    return name.partition("/")[2].rpartition("-")[0]


def _dial(dial: Dial) -> Answered | LegDialed | LegLives | LegRefused | Redirected | None:
    if dial.caller is None:
        return _own_leg(dial)
    caller, leg, status = ChannelId(dial.caller.id), ChannelId(dial.peer.id), dial.dialstatus
    if dial.forward:
        return Redirected(caller, leg, dial.forward)
    if status == "ANSWER":
        return Answered(caller, leg)
    if status == "":
        return LegDialed(caller, leg, dial.peer.name)
    return LegLives(caller, leg, status) if status in _LIFE else None


def _own_leg(dial: Dial) -> Answered | LegLives | LegRefused | None:
    """A leg that we dialed in nobody's name: its own id tells whose it is.

    Of a peer chan_iax2 alone says such a refusal, of his silence; that is waited for longer (core/calls/setup.py).
    """
    leg = ChannelId(dial.peer.id)
    if not key_of_name(leg):
        return None
    if dial.dialstatus == "ANSWER":
        return Answered(ChannelId(""), leg)
    if dial.dialstatus in _REFUSALS and node_of_trunk(owner(dial.peer.name)) is None:
        return LegRefused(leg, _REFUSALS[dial.dialstatus])
    return LegLives(ChannelId(""), leg, dial.dialstatus) if dial.dialstatus in _LIFE else None


def _contact(contact: ContactInfo, wall_ms: int) -> ContactAdded | ContactRemoved | None:
    phone = phone_of(contact.aor)
    if phone is None:
        return None
    if contact.contact_status in _GONE:
        return ContactRemoved(phone, contact.uri)
    return ContactAdded(phone, contact.uri, wall_ms)


def milliseconds(when: datetime) -> int:
    """Since 1970."""
    return round(when.timestamp() * 1_000)


def phone_of(aor: str) -> Extension | None:
    """The phone that registers under this name; None if it is a trunk, or nothing that could be dialed."""
    if aor.startswith(TRUNK_PREFIX):
        return None
    try:
        return extension(aor)
    except Refused:
        return None


def _count(text: str | bytes, tolerated: Tolerated) -> None:
    try:
        kind = msgspec.json.decode(text, type=_Head).type
    except (ValueError, RecursionError):
        tolerated.malformed += 1
        return
    if kind in OURS:
        tolerated.malformed += 1
    else:
        tolerated.unused[kind] = tolerated.unused.get(kind, 0) + 1
