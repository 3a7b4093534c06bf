"""Bridge mode at one Asterisk: legs and bridges that are ours, made, dialed, joined and ended as the core asks.

What Asterisk declines ends the leg for the core (LegEnded), and is hung up for Asterisk; a caller who cannot be put into his
bridge, or answered, is hung up, though not for one answer of ARI's. So a call can fail, never hang. After silence it is looked
whether it was done: no conversation is cut because an answer of ARI's was lost or late. Ending what is gone already is no
error.

A call waits for each way to ARI and back. So what can be said at once is said at once: all that rings a single phone, from its
leg to the bridge and the dial; a bridge and who waits in it, beside several legs; an answer and what goes with it. A leg is
told what to do before it is known to stand in Stasis: if not yet, Asterisk declines, and it is told again when it has entered.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeGuard

from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.dialing import dial_string, identity, plain, redirecting
from pbxfed_ari.asterisk.insisting import Endings, insist
from pbxfed_ari.asterisk.rest import Post
from pbxfed_ari.asterisk.trouble import cause_of
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
from pbxfed_ari.core.routing.tries import FAILED
from pbxfed_ari.errors import AsteriskError, Declined, Refused, Unreachable

FOR_EVER = "0"
ANSWERED = "PBXFED_ANSWERED"  # a caller's variable: when, for a daemon that returns; milliseconds since 1970
DROPPED = "FRAME_DROP(TX)"  # what a channel is never told: a 302 would become a 181 with a Diversion for the caller
GONE = "pbxfed-gone,s,1"  # where the dialplan tells whither a leg's phone sends the call
# What is heard where no class of music is wanted: it needs no sound file, and no indications.conf. Hertz/milliseconds
WAIT = "tone:440/250,0/150,440/250,0/3350"
Together = MakeBridge | Join | DialLeg  # what is sent at once, in order
Asked = tuple[Together | MakeLeg, Post]
Settling = Coroutine[None, None, None]
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
        bridges_heard: Callable[[], bool] = lambda: True,
        moves: Callable[[ChannelId], list[Post]] = lambda _: [],
    ) -> None:
        """`hear_bridges` is awaited before a bridge is made, unless they are heard. `moves`: as `Keeping.moves`."""
        self._ari = ari
        self._hear_bridges, self._bridges_heard = hear_bridges, bridges_heard
        self._moves = moves
        self._post = post
        self._note = note
        self.endings = Endings()
        self._unsure: set[str] = set()  # bridges of which is not known whether they were made
        self._ahead: dict[ChannelId, list[Together]] = {}  # of a caller: what is done already

    def __repr__(self) -> str:
        return "Legs()"

    def has_done(self, effect: object) -> bool:
        """Was this done ahead, and not asked for until now?"""
        if not isinstance(effect, Join | DialLeg) or effect not in self._ahead.get(effect.call, ()):
            return False
        self._ahead[effect.call].remove(effect)
        if not self._ahead[effect.call]:
            del self._ahead[effect.call]
        return True

    async def perform(self, *effects: ForLegs) -> None:
        """Do this: several legs are made beside all else, which is done in order. Never raises what Asterisk says."""
        asked = self._not_done(effects)
        together = [one for one in asked if _at_once(one)]
        doing = [self._perform(one) for one in asked if not _at_once(one)]
        if together:
            doing.append(self._together(together))
        if len(doing) == 1:
            await doing[0]
        else:
            await asyncio.gather(*doing)
        if len(asked) < len(effects):
            for late in (one for one in asked if isinstance(one, Join)):
                await self._ring_late(late)

    def _not_done(self, effects: Sequence[ForLegs]) -> list[ForLegs]:
        """What was not done ahead. What was is remembered until it is asked for, or its try ends."""
        call = effects[0].call
        ahead = self._ahead.pop(call, [])
        left = [effect for effect in ahead if effect not in effects]
        if left and not any(isinstance(effect, EndBridge) for effect in effects):
            self._ahead[call] = left
        return [effect for effect in effects if effect not in ahead]

    def begin(
        self, effects: Sequence[Together | MakeLeg], then: Callable[[Settling | None], None]
    ) -> bool:
        """`perform` without a task, if all can be said at once, now. `then` is told what is left to do, mostly nothing."""
        if not self._bridges_heard():
            return False
        try:
            asked = self._in_order(effects)
        except Refused:
            return False

        def told(said: list[Declined | None] | Unreachable) -> None:
            if isinstance(said, Unreachable) or any(said):
                then(self._settle(effects, asked, said))
                return
            for effect in effects:
                if isinstance(effect, MakeLeg):
                    self._ahead.setdefault(effect.call, []).extend(effect.then)
            then(None)

        return self._ari.begin(told, *(post for _, post in asked))

    async def _together(self, effects: Sequence[Together | MakeLeg]) -> None:
        """In one write, and one wait."""
        asked: list[Asked] = []
        said: list[Declined | None] | AsteriskError | Refused
        try:
            if any(isinstance(effect, MakeBridge) for effect in effects):
                await self._hear_bridges()
            asked = self._in_order(effects)
            said = await self._ari.post(*(post for _, post in asked))
        except (AsteriskError, Refused) as error:
            said = error
        await self._settle(effects, asked, said)

    def _in_order(self, effects: Sequence[Together | MakeLeg]) -> list[Asked]:
        """A leg first: while the bridge is made it comes to stand in Stasis. Last what can wait. Raises: Refused."""
        legs = [effect for effect in effects if isinstance(effect, MakeLeg)]
        rest = [effect for effect in effects if not isinstance(effect, MakeLeg)]
        then = [effect for leg in legs for effect in leg.then]
        asked = [(one, post) for one in (*legs, *rest, *then) for post in self._posts(one)]
        asked.sort(key=lambda one: _can_wait(one[1]))
        return asked

    async def _settle(
        self,
        effects: Sequence[Together | MakeLeg],
        posts: Sequence[Asked],
        said: list[Declined | None] | AsteriskError | Refused,
    ) -> None:
        """After silence, what was not done is asked for by itself. A bridge may be made yet, by what was asked first."""
        if isinstance(said, Unreachable):
            self._unsure |= {one.bridge for one in effects if isinstance(one, MakeBridge)}
        legs = [effect for effect in effects if isinstance(effect, MakeLeg)]
        rest = [effect for effect in effects if not isinstance(effect, MakeLeg)]
        then = [effect for leg in legs for effect in leg.then]
        if not isinstance(said, list):
            for effect in rest:
                if len(effects) > 1 and not await self._was_done(effect):
                    await self._together([effect])
                else:
                    await self._went_wrong(effect, said)
            for leg in legs:
                for one in leg.then:
                    if await self._was_done(one):
                        self._ahead.setdefault(leg.call, []).append(one)
                await self._went_wrong(leg, said)
            return
        for (asked, post), declined in zip(posts, said, strict=True):
            if asked in then:
                if declined is None and isinstance(asked, Together):
                    self._ahead.setdefault(asked.call, []).append(asked)
            elif declined is not None and not _stands(post, declined):
                if isinstance(asked, Join) and await self._joined_after_all(asked, declined):
                    continue
                if (
                    isinstance(asked, Join) and asked.call in asked.channels
                ):  # who answers is not heard
                    for leg in legs:
                        self._post(LegEnded(leg.leg, FAILED))
                        await self._hang_up(leg.leg)
                await self._failed(asked, declined)

    async def _ring_late(self, join: Join) -> None:
        """A leg was dialed before it was in the bridge: the caller has not heard it ring."""
        with suppress(AsteriskError):
            for leg in join.channels:
                if (await self._ari.channels.get(leg)).state == "Ringing":
                    await self._ari.channels.ring(join.call)

    def _posts(self, effect: Together | MakeLeg) -> list[Post]:
        """Raises Refused."""
        channels, bridges = self._ari.channels, self._ari.bridges
        match effect:
            case MakeLeg():
                return [self._leg(effect)]
            case MakeBridge(call, bridge, seconds, steady, number, name):
                bound = channels.setChannelVar(call, "TIMEOUT(absolute)", str(seconds))
                shown = channels.setChannelVar(call, "CONNECTEDLINE(all,i)", identity(name, number))
                made = bridges.createWithId(bridge, call, steady=steady)  # whose it is
                silent = channels.setChannelVar(call, DROPPED, dropped := _dropped(effect))
                told = [*([silent] if dropped else []), *([shown] if number else [])]
                return [made, bound, *told]
            case Join(_, bridge, who, quietly):
                return [bridges.addChannel(bridge, who, quietly=quietly)]
            case DialLeg(call, leg, seconds, shown):
                return [channels.dial(leg, caller="" if shown else call, seconds=seconds)]

    async def _perform(self, effect: ForLegs) -> None:
        try:
            match effect:
                case MakeLeg():
                    await self._ari.grant(self._leg(effect))
                case Indicate():
                    await self._indicate(effect)
                case Soothe():
                    await self._soothe(effect)
                case Hush(call, music):
                    await self._hush(call, music)
                case HangUpLeg(_, leg, cause):
                    ends = self.endings.insist
                    await ends(lambda: self._ari.channels.hangup(leg, reason_code=cause))
                case EndBridge(_, bridge):
                    await self._end_bridge(bridge)
        except (AsteriskError, Refused) as error:
            await self._went_wrong(effect, error)

    async def _end_bridge(self, bridge: str) -> None:
        def end() -> Awaitable[None]:
            return self._ari.bridges.destroy(bridge)

        if bridge in self._unsure:
            self._unsure.discard(bridge)
            self.endings.later(end, unborn=True)
        await self.endings.insist(end)

    async def _went_wrong(self, effect: ForLegs, error: Exception) -> None:
        if isinstance(error, Unreachable) and await self._was_done(effect):
            self._note(_told(effect, f"{error}, but it was done"))
        elif not (isinstance(effect, Join) and await self._joined_after_all(effect, error)):
            await self._failed(effect, error)

    async def _joined_after_all(self, join: Join, error: Exception) -> bool:
        """Who would be hung up else is asked for again, unless he is gone: not a leg that rings, which may be by now."""
        if join.quietly or (isinstance(error, Declined) and error.status in (400, 404)):
            return False
        with suppress(AsteriskError):
            for post in self._posts(join):
                await insist(partial(self._ari.grant, post))
            return True
        return False

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

    def _leg(self, effect: MakeLeg) -> Post:
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
            variables["CALLERID(num)"] = to.number or effect.number  # until its node says more
        elif isinstance(to, Leg) and to.peer is not None:
            variables["PJSIP_HEADER(add,X-PBXFED-Call)"] = effect.note
            variables["PJSIP_DTMF_MODE()"] = "info"  # no RFC 4733 between two cores: pjsip/trunk.py
            if to.codec:
                variables["PJSIP_MEDIA_OFFER(audio)"] = f"!all,{to.codec}"
        return self._ari.channels.createWithVariables(
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
            done = [
                declined is None for declined in await ari.post(*needed, when, *self._moves(call))
            ]
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
        """Asterisk declines to stop what just begins, once in some 200 times (500): the tone would sound for ever."""
        ari = self._ari
        with suppress(AsteriskError):  # it was not heard
            if music:
                await insist(lambda: ari.channels.stopMoh(call))
            else:
                await insist(lambda: ari.playbacks.stop(_tone(call)))
        unbound = ari.channels.setChannelVar(call, "TIMEOUT(absolute)", FOR_EVER)
        await self.endings.insist(partial(ari.grant, unbound))  # else it cuts the conversation

    async def _failed(self, effect: ForLegs, error: Exception) -> None:
        if not (isinstance(error, Declined) and error.status == 404):
            self._note(_told(effect, str(error)))
        match effect:
            case MakeLeg(_, leg) | DialLeg(_, leg):
                self._post(LegEnded(leg, cause_of(error)))
                await self._hang_up(leg)
            case Join(call, _, channels) if legs := [c for c in channels if c != call]:
                if not _has_left(error):  # else its own end, heard next, says what came of it
                    self._post(LegEnded(legs[0], cause_of(error)))
                await self._hang_up(legs[0])
            case Indicate(call, "answer") | Join(call):
                if await self._hang_up(call, cause_of(error)) == 404:
                    self._post(Ended(call))

    async def _hang_up(self, channel: ChannelId, cause: int = FAILED) -> int:
        """With which status that was declined at last: 404, it is gone; 0, it was not."""
        try:
            ends = self.endings.insist
            await ends(lambda: self._ari.channels.hangup(channel, reason_code=cause))
        except Declined as declined:
            return declined.status
        except AsteriskError:
            return 0  # or it is found when Asterisk is back (core/calls/switchboard.py)
        return 0


def _at_once(effect: ForLegs) -> TypeGuard[Together | MakeLeg]:
    """Is it said at once with others? A leg, if it is told what to do, too."""
    return isinstance(effect, Together) or (isinstance(effect, MakeLeg) and bool(effect.then))


def _can_wait(post: Post) -> bool:
    """A variable need not be set before the leg is dialed, but for what its phone may answer at once."""
    query = post.query or {}
    return post.path.endswith("variable") and query.get("variable") != DROPPED


def _dropped(effect: MakeBridge) -> str:
    """What the caller is never told."""
    where = ["REDIRECTING"] if effect.discreet else []
    return ",".join([*where, *(["BUSY", "CONGESTION"] if effect.unrefused else [])])


def _stands(post: Post, declined: Declined) -> bool:
    """Is it the bridge of a try before, which will do?"""
    return declined.status == 409 and post.operation.startswith("bridges.create")


def _has_left(error: Exception) -> bool:
    """Of a leg that was there: it is no more, or not in Stasis. Dialed already, it may have been refused by now."""
    return isinstance(error, Declined) and error.status in (400, 422)


def _told(effect: ForLegs, error: str) -> Note:
    fields = (("call", effect.call), ("what", type(effect).__name__), ("error", error))
    return Note("leg not handled", fields, "warning", log_only=True)


def _tone(call: ChannelId) -> str:
    """The name of what it is played."""
    return f"{call}-waits"
