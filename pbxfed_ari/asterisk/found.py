"""Conversations that an earlier life of this daemon has left at Asterisk, and what Asterisk knows of them.

In a bridge of ours: who came and when, whither the leg goes, when it was answered (a variable that legs.py sets). In a bridge
of Dial, after a hand-over: the same, but for when it was answered, since nobody wrote that down; of numbers that the call
was sent on from, only the last; of its tries, how many. A note of ours knows all that, if it was written
(core/calls/notebook.py).
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from msgspec.structs import replace

from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.events import came, entered, milliseconds, owner, whence
from pbxfed_ari.asterisk.legs import ANSWERED
from pbxfed_ari.asterisk.models import Bridge, Channel
from pbxfed_ari.core.events import Arrived, BridgeSeen, LegSeen, RingFound, TalkFound
from pbxfed_ari.core.names import (
    TRUNK_PREFIX,
    ChannelId,
    attempt_of,
    key_of_name,
    node_of_trunk,
)
from pbxfed_ari.errors import AsteriskError, Declined

# where a call is that was handed over: rung for, or on its way back, and waits for us
DIAL = frozenset({("pbxfed-dial", "Dial"), ("pbxfed-dial", "Wait")})
WAYBILL = "PJSIP_HEADER(read,X-PBXFED-Call)"
ROOM = ("pbxfed-room", "ConfBridge")  # or is in a conference room
ATTENDED = "Local/_attended@transfer"  # so Asterisk calls what connects two bridges (main/bridge.c)


async def answered(ari: AriClient, bridges: list[Bridge]) -> dict[str, int]:
    """When the calls in our bridges were answered, by bridge; milliseconds since 1970, 0: nobody has written it down.

    Raises: Unreachable.
    """

    async def when(bridge: Bridge) -> int:
        for channel in bridge.channels:
            if not key_of_name(channel):
                with suppress(Declined):
                    said = await ari.channels.getChannelVar(channel, ANSWERED)
                    if said.isdecimal():
                        return int(said)
        return 0

    own = [one for one in bridges if key_of_name(one.id)]
    found = await asyncio.gather(*map(when, own))
    return {one.id: said for one, said in zip(own, found, strict=True)}


def ours(
    bridges: list[Bridge], channels: list[Channel], answers: Mapping[str, int]
) -> tuple[BridgeSeen, ...]:
    """Our bridges, whether all that are in one are connected, and who they are; who has ended since they were read is not.

    Several that ring together do so beside theirs, and so does their caller wait, whom its name tells.
    """
    by_id = {one.id: one for one in channels}
    connected = {channel for bridge in bridges for channel in bridge.channels}
    alone: dict[str, list[Channel]] = {}
    for one in _legs([one for one in channels if one.id not in connected]):
        alone.setdefault(key_of_name(one.id), []).append(one)
    found: list[BridgeSeen] = []
    for bridge in (one for one in bridges if key_of_name(one.id)):
        inside = [by_id[c] for c in bridge.channels if c in by_id]
        seen = _seen(bridge, inside, answers.get(bridge.id, 0))
        caller, rings = (
            by_id.get(bridge.name),
            tuple(map(leg, alone.get(key_of_name(bridge.id), ()))),
        )
        if not inside and caller is not None and stands(caller):
            lives = not all(one.silent for one in rings)
            seen = replace(seen, callers=tuple(_callers([caller])), rings=rings if lives else ())
        found.append(seen)
    return tuple(found)


def _seen(bridge: Bridge, inside: list[Channel], answered_ms: int) -> BridgeSeen:
    legs = _legs(inside)
    rings = (leg(legs[0]),) if [one.state for one in legs] == ["Ringing"] else ()
    return BridgeSeen(
        bridge.id,
        tuple(ChannelId(one.id) for one in inside),
        all(map(_is_connected, legs or inside)),
        frozenset(ChannelId(one.id) for one in inside if is_local(one)),
        tuple(_callers(inside)),
        leg(legs[0]) if legs else None,
        answered_ms,
        rings=rings,
    )


def is_local(channel: Channel) -> bool:
    """Has a transfer put it there?"""
    return channel.name.startswith("Local/")


def _is_connected(channel: Channel) -> bool:
    """Has it been answered?

    What a transfer puts into the place of one who talked counts as answered, whatever Asterisk says of it: "Down" or "Ringing"
    while the target rings, and "Ringing" for good if the last ring is passed on in the moment of the answer.
    """
    return channel.state == "Up" or (is_local(channel) and channel.name.endswith(";1"))


def _legs(channels: list[Channel]) -> list[Channel]:
    """Those of our own making, the newest first: a rescue may have made one for another, which had been called."""
    own = [one for one in channels if key_of_name(one.id)]
    return sorted(own, key=lambda one: -attempt_of(ChannelId(one.id)))


def _callers(channels: list[Channel]) -> list[Arrived]:
    """How those who had come to us came; after a rescue of who was called: as if his caller were there."""
    found = [arrived for one in channels if (arrived := came(one))]
    match _legs(channels):
        case [back, called]:
            who, number = back.caller, called.caller.number
            began = milliseconds(called.creationtime) if called.creationtime else 0
            found.append(Arrived(ChannelId(called.id), number, who.number, who.name, wall_ms=began))
    return found


async def replaced(
    ari: AriClient, bridges: list[Bridge], channels: list[Channel]
) -> frozenset[ChannelId]:
    """Who has talked in a bridge of ours and is in none: a transfer has put another into his place, and nobody has ended him.

    And what a transfer has put into bridges that are no more. Raises: Unreachable, Declined.
    """
    connected = {channel for bridge in bridges for channel in bridge.channels}
    alone = [one for one in channels if stands(one) and one.state == "Up"]
    alone = [one for one in alone if one.id not in connected and not key_of_name(one.id)]

    async def talked(channel: Channel) -> bool:
        if channel.name.startswith(ATTENDED):  # it may have come into one since that was read
            now = await ari.bridges.list()
            return all(channel.id not in bridge.channels for bridge in now)
        with suppress(Declined):
            return bool(await ari.channels.getChannelVar(channel.id, ANSWERED))
        return False

    found = await asyncio.gather(*map(talked, alone))
    return frozenset(ChannelId(one.id) for one, is_so in zip(alone, found, strict=True) if is_so)


def handed_over(
    bridges: list[Bridge], channels: list[Channel]
) -> list[tuple[Channel, Channel | None]]:
    """The callers who talk by Dial, each with whom Dial has connected him; and those who are in a conference room."""
    by_id = {one.id: one for one in channels}
    found: list[tuple[Channel, Channel | None]] = []
    for bridge in bridges:
        here = [by_id[c] for c in bridge.channels if c in by_id]
        if len(here) != 2 or key_of_name(bridge.id):
            continue
        for caller, other in (here, here[::-1]):
            if is_handed_over(caller):
                found.append((caller, other))
    inside = [c for c in channels if (c.dialplan.context, c.dialplan.app_name) == ROOM]
    return [*found, *((caller, None) for caller in inside)]


def in_setup(bridges: list[Bridge], channels: list[Channel]) -> tuple[list[Channel], list[Channel]]:
    """The callers whom Dial rings somebody for, and those who have come back from it and wait for us."""
    connected = {channel for bridge in bridges for channel in bridge.channels}
    dialing = [c for c in channels if is_handed_over(c) and c.id not in connected]
    back = [c for c in channels if stands(c) and ",next," in c.dialplan.app_data]
    return dialing, back


def stands(channel: Channel) -> bool:
    """Is it in a Stasis application?"""
    return channel.dialplan.app_name == "Stasis"


def is_handed_over(caller: Channel) -> bool:
    """Is it Dial's by our word?"""
    return (caller.dialplan.context, caller.dialplan.app_name) in DIAL


def rooms(bridges: list[Bridge]) -> dict[str, list[str]]:
    """The conference rooms that stand here, by number, with the channels in them."""
    return {
        one.name.removeprefix(TRUNK_PREFIX): one.channels
        for one in bridges
        if one.creator == "ConfBridge" and one.name.startswith(TRUNK_PREFIX)
    }


async def how_it_came(
    ari: AriClient, caller: Channel, to: Channel | None, wall_ms: int, answered_ms: int = 0
) -> TalkFound | None:
    """What the dialplan and the daemon had set on this caller's channel, who talks; None if that makes no call."""
    found = await how_it_rings(ari, caller, wall_ms)
    if found is None:
        return None
    talks_with = leg(to) if to else None
    return TalkFound(found.arrived, found.note, talks_with, wall_ms, answered_ms)


async def how_it_rings(ari: AriClient, caller: Channel, wall_ms: int) -> RingFound | None:
    """The same of one who is not answered yet."""
    try:
        args = await _arguments(ari, caller)
        note = await ari.channels.getChannelVar(caller.id, "PBXFED_CALL")
    except AsteriskError:
        return None
    began = milliseconds(caller.creationtime) if caller.creationtime else wall_ms
    arrived = entered(caller, args, wall_ms=began, fresh_id="")
    if not isinstance(arrived, Arrived):
        return None
    return RingFound(replace(arrived, led=bool(note)), note, wall_ms)


async def _arguments(ari: AriClient, caller: Channel) -> list[str]:
    """With what it once entered Stasis: what is special the dialplan has written down (dialplan/extensions.conf).

    Raises: Unreachable; Declined, if the channel is gone.
    """
    with suppress(Declined):
        if args := await ari.channels.getChannelVar(caller.id, "PBXFED_ARGS"):
            return args.split(",")
    found = whence(caller)
    said = "IAXVAR(pbxfed_call)" if caller.name.startswith("IAX2/") else WAYBILL
    if found[0] == "trunk":
        with suppress(Declined):
            found.append(await ari.channels.getChannelVar(caller.id, said))
    return found


def leg(channel: Channel) -> LegSeen:
    """Whither this leg goes, and who is there: the number that Asterisk shows to the caller."""
    peer = node_of_trunk(owner(channel.name))
    trunk = "iax2" if channel.name.startswith("IAX2/") else "sip"
    began = milliseconds(channel.creationtime) if channel.creationtime else 0
    who, silent = channel.caller.number, channel.state == "Down"
    return LegSeen(peer, trunk if peer else "", who, began, ChannelId(channel.id), silent)
