"""Bridge mode at one Asterisk: legs and bridges that are ours, made, dialed, joined and ended as the core asks.

What Asterisk declines ends the leg for the core (LegEnded), and is hung up for Asterisk; a caller who cannot be put into his
bridge, or answered, is hung up. So a call can fail, never hang. After silence it is looked whether it was done: no conversation
is cut because an answer of ARI's was lost or late. Ending what is gone already is no error.

A call waits for each way to ARI and back. So what can be said at once is said at once: a bridge and who waits in it, beside the
legs that are made; to join and dial a leg; an answer and what goes with it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

from pbxfed_ari.asterisk.client import AriClient, Post
from pbxfed_ari.asterisk.dialing import dial_string, identity, plain, redirecting
from pbxfed_ari.asterisk.insisting import insist
from pbxfed_ari.clock import wall_ms
from pbxfed_ari.core.effects import (
    DialLeg,
    EndBridge,
    HangUpLeg,
    Hush,
    Indicate,
    Join,
    Leg,
    MakeBridge,
    MakeLeg,
    Note,
    Outside,
    Soothe,
)
from pbxfed_ari.core.events import Ended, LegEnded
from pbxfed_ari.core.names import ChannelId, Extension
from pbxfed_ari.errors import AsteriskError, Declined, Refused, Unreachable

FAILURE = 38  # Q.850: network out of order
FOR_EVER = "0"
ANSWERED = "PBXFED_ANSWERED"  # a caller's variable: when, for a daemon that returns; milliseconds since 1970
GONE = "pbxfed-gone,s,1"  # where the dialplan tells whither a leg's phone sends the call
# What is heard where no class of music is wanted: it needs no sound file, and no indications.conf. Hertz/milliseconds
WAIT = "tone:440/250,0/150,440/250,0/3350"
Together = MakeBridge | Join | DialLeg  # what is sent at once, in order
ForLegs = Together | MakeLeg | Indicate | Soothe | Hush | HangUpLeg | EndBridge


async def at_once() -> None:
    """Nothing needs be done first."""


class Legs:
    """Performs the effects of bridge mode, one at a time for each call."""

    def __init__(
        self,
        ari: AriClient,
        *,
        post: Callable[[LegEnded | Ended], None],
        note: Callable[[Note], None],
        hear_bridges: Callable[[], Awaitable[None]] = at_once,
    ) -> None:
        """`hear_bridges` is awaited before a bridge is made."""
        self._ari = ari
        self._hear_bridges = hear_bridges
        self._post = post
        self._note = note

    def __repr__(self) -> str:
        return "Legs()"

    async def perform(self, *effects: ForLegs) -> None:
        """Do this: legs are made beside all else, which is done in order. Never raises what Asterisk says."""
        together = [effect for effect in effects if isinstance(effect, Together)]
        doing = [self._perform(one) for one in effects if not isinstance(one, Together)]
        if together:
            doing.append(self._together(together))
        if len(doing) == 1:
            await doing[0]
        else:
            await asyncio.gather(*doing)

    async def _together(self, effects: Sequence[Together]) -> None:
        """In one write, and one wait. After silence, what was not done is asked for by itself."""
        try:
            if any(isinstance(effect, MakeBridge) for effect in effects):
                await self._hear_bridges()
            posts = [(effect, post) for effect in effects for post in self._posts(effect)]
            posts.sort(key=lambda one: one[1].path.endswith("variable"))  # they can wait
            said = await self._ari.post(*(post for _, post in posts))
        except AsteriskError as error:
            for effect in effects:
                if len(effects) > 1 and not await self._was_done(effect):
                    await self._together([effect])
                else:
                    await self._went_wrong(effect, error)
            return
        for (effect, _), declined in zip(posts, said, strict=True):
            if declined is not None:
                await self._failed(effect, declined)

    def _posts(self, effect: Together) -> list[Post]:
        channels, bridges = self._ari.channels, self._ari.bridges
        match effect:
            case MakeBridge(call, bridge, seconds, steady, number, name):
                bound = channels.setChannelVar(call, "TIMEOUT(absolute)", str(seconds))
                shown = channels.setChannelVar(call, "CONNECTEDLINE(all,i)", identity(name, number))
                made = bridges.createWithId(bridge, steady=steady)
                return [made, bound, *([shown] if number else [])]
            case Join(_, bridge, who, quietly):
                return [bridges.addChannel(bridge, who, quietly=quietly)]
            case DialLeg(call, leg, seconds, shown):
                return [channels.dial(leg, caller="" if shown else call, seconds=seconds)]

    async def _perform(self, effect: ForLegs) -> None:
        try:
            match effect:
                case MakeLeg():
                    await self._make(effect)
                case Indicate():
                    await self._indicate(effect)
                case Soothe():
                    await self._soothe(effect)
                case Hush(call, music):
                    await self._hush(call, music)
                case HangUpLeg(_, leg, cause):
                    await insist(lambda: self._ari.channels.hangup(leg, reason_code=cause))
                case EndBridge(_, bridge):
                    await insist(lambda: self._ari.bridges.destroy(bridge))
        except (AsteriskError, Refused) as error:
            await self._went_wrong(effect, error)

    async def _went_wrong(self, effect: ForLegs, error: Exception) -> None:
        if isinstance(error, Unreachable) and await self._was_done(effect):
            self._note(_told(effect, f"{error}, but it was done"))
        else:
            await self._failed(effect, error)

    async def _was_done(self, effect: ForLegs) -> bool:
        """What Asterisk has not said can be seen."""
        try:
            match effect:
                case MakeLeg(_, leg):
                    return bool(await self._ari.channels.get(leg))
                case DialLeg(_, leg):
                    return (await self._ari.channels.get(leg)).state != "Down"
                case Join(_, bridge, channels):
                    return set(channels) <= set((await self._ari.bridges.get(bridge)).channels)
        except AsteriskError:
            return False
        return False

    async def _make(self, effect: MakeLeg) -> None:
        to = effect.to
        string = dial_string(to, Extension(effect.number))
        if effect.uri and plain(effect.uri):
            string = f"{string}/{effect.uri}"
        variables = {"CHANNEL(hangup_handler_push)": GONE}
        if isinstance(to, Outside) and to.caller_id:
            variables["CONNECTEDLINE(num,i)"] = to.caller_id
        if effect.diverted is not None:
            variables |= redirecting(effect.diverted)
        if isinstance(to, Leg) and to.trunk == "iax2":
            variables["IAXVAR(pbxfed_call)"] = effect.note
        elif isinstance(to, Leg) and to.peer is not None:
            variables["PJSIP_HEADER(add,X-PBXFED-Call)"] = effect.note
            if to.codec:
                variables["PJSIP_MEDIA_OFFER(audio)"] = f"!all,{to.codec}"
        await self._ari.channels.createWithVariables(
            string, id=effect.leg, originator=effect.call, args="leg", variables=variables
        )

    async def _indicate(self, effect: Indicate) -> None:
        if effect.what == "answer":
            await self._answer(effect.call)
        else:
            await self._ari.channels.ring(effect.call)

    async def _answer(self, call: ChannelId) -> None:
        ari, channels = self._ari, self._ari.channels
        when = channels.setChannelVar(call, ANSWERED, str(wall_ms()))  # only a record would miss it
        needed = channels.answer(call), channels.setChannelVar(call, "TIMEOUT(absolute)", FOR_EVER)
        try:
            done = [declined is None for declined in await ari.post(*needed, when)]
        except Unreachable:
            done = [False for _ in needed]
        for post, granted in zip(needed, done, strict=False):
            if not granted:
                await insist(partial(ari.grant, post))

    async def _soothe(self, effect: Soothe) -> None:
        """First what the channel can do no more while it plays a tone: it obeys one request after the other."""
        channels, call = self._ari.channels, effect.call
        await self._ari.grant(
            channels.setChannelVar(call, "TIMEOUT(absolute)", str(effect.seconds))
        )
        if effect.music:
            await channels.startMoh(call, effect.music)
        else:
            await channels.play(call, WAIT, playback=_tone(call))

    async def _hush(self, call: ChannelId, music: str) -> None:
        with suppress(AsteriskError):  # then it was not heard
            if music:
                await self._ari.channels.stopMoh(call)
            else:
                await self._ari.playbacks.stop(_tone(call))
        await self._ari.grant(self._ari.channels.setChannelVar(call, "TIMEOUT(absolute)", FOR_EVER))

    async def _failed(self, effect: ForLegs, error: Exception) -> None:
        if not (isinstance(error, Declined) and error.status == 404):
            self._note(_told(effect, str(error)))
        match effect:
            case MakeLeg(_, leg) | DialLeg(_, leg):
                self._post(LegEnded(leg, FAILURE))
                await self._hang_up(leg)
            case Join(call, _, channels) if legs := [c for c in channels if c != call]:
                self._post(LegEnded(legs[0], FAILURE))
                await self._hang_up(legs[0])
            case Indicate(call, "answer") | Join(call):
                if await self._hang_up(call) == 404:
                    self._post(Ended(call))

    async def _hang_up(self, channel: ChannelId) -> int:
        """With which status that was declined at last: 404, it is gone; 0, it was not."""
        try:
            await insist(lambda: self._ari.channels.hangup(channel, reason_code=FAILURE))
        except Declined as declined:
            return declined.status
        except AsteriskError:
            return 0  # or it is found when Asterisk is back (core/switchboard.py)
        return 0


def _told(effect: ForLegs, error: str) -> Note:
    fields = (("call", effect.call), ("what", type(effect).__name__), ("error", error))
    return Note("leg not handled", fields, "warning", log_only=True)


def _tone(call: ChannelId) -> str:
    """The name of what it is played."""
    return f"{call}-waits"
