"""What the core asks for a call, done at this Asterisk: in order for each channel, and never twice.

The effects of one channel are performed one after another, those of different channels at the same time. A channel that is gone
becomes Ended; a call that cannot be handed over has Returned, as if nobody had been reached, with a note.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from pbxfed_ari.asterisk.answers import answer
from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.dialing import Devices, hand_over, identity, lead, redirecting
from pbxfed_ari.asterisk.insisting import insist
from pbxfed_ari.asterisk.legs import ForLegs, Legs, Settling, Together
from pbxfed_ari.asterisk.trouble import cause_of, trouble
from pbxfed_ari.core.effects import (
    Abandon,
    CallListener,
    DialLeg,
    Divert,
    Effect,
    Enter,
    HandOver,
    HangUp,
    HangUpLeg,
    Hold,
    Lead,
    Lend,
    MakeBridge,
    MakeLeg,
    Note,
    Overhear,
    OverhearAfar,
    SendElsewhere,
)
from pbxfed_ari.core.events import Answered, Ended, Returned
from pbxfed_ari.core.names import ChannelId, Extension, dialable, trunk_to
from pbxfed_ari.core.routing.tries import FAILED
from pbxfed_ari.errors import AsteriskError, Declined, Refused, Unreachable

PHONES, DIAL, LEAD, ROOM = "pbxfed-phones", "pbxfed-dial", "pbxfed-lead", "pbxfed-room"
LISTEN = "pbxfed-listen"
EAR_SECONDS = 4  # who waits for it does so for five
OLD_DIALPLAN = "Asterisk has another release's dialplan: see `pbxfed init --check`"

INVALID_NUMBER = 28  # Q.850
NO_ROUTE = 3  # Q.850: Dial reads it as CHANUNAVAIL

AT_ONCE = Together | MakeLeg
log = logging.getLogger(__name__)
ForListeners = CallListener | Overhear | OverhearAfar | Lend
ForCalls = Divert | HandOver | Lead | Enter | Hold | SendElsewhere | HangUp | ForListeners | ForLegs


class Calls:
    """Performs the effects of calls, while it has a group to do it in."""

    def __init__(
        self,
        ari: AriClient,
        legs: Legs,
        *,
        realm: str,
        devices: Devices,
        post: Callable[[Answered | Ended | Returned], None],
        note: Callable[[Note], None],
    ) -> None:
        """`devices`: as `Contacts.devices`."""
        self._ari, self._legs = ari, legs
        self._realm, self._devices = realm, devices
        self._post, self._note = post, note
        self.several = True  # variables in one request; 22.10 and later
        self._group: asyncio.TaskGroup | None = None
        self._calls: dict[ChannelId, deque[ForCalls]] = {}
        self._soon: dict[ChannelId, asyncio.Handle] = {}  # whose bridge waits for who rings in it

    def __repr__(self) -> str:
        return f"Calls({len(self)})"

    def __len__(self) -> int:
        return len(self._calls)

    def begin(self, group: asyncio.TaskGroup) -> None:
        """From now on, and what was asked for before."""
        self._group = group
        self._legs.endings.begin(group)
        for channel in list(self._calls):
            self._start(channel)

    def rest(self) -> None:
        """No more."""
        self._group = None
        self._legs.endings.rest()

    def perform(self, channel: ChannelId, effect: ForCalls) -> None:
        """Do this, after all else that was asked for this caller's channel."""
        waiting = self._calls.get(channel)
        if waiting is None:
            self._calls[channel] = deque((effect,))
            if isinstance(effect, MakeBridge):
                soon = asyncio.get_running_loop().call_soon
                self._soon[channel] = soon(self._start, channel)
            else:
                self._start(channel)
            return
        waiting.append(effect)
        if channel in self._soon and isinstance(effect, MakeLeg) and effect.then:
            self._start(channel)

    def abandon(self, effect: Abandon) -> None:
        """End a leg of Dial's, at once."""
        if self._group is not None:
            self._group.create_task(self._abandon(effect), name=f"asterisk leg {effect.leg}")

    def _start(self, channel: ChannelId) -> None:
        if (soon := self._soon.pop(channel, None)) is not None:
            soon.cancel()
        waiting = self._calls[channel]
        while waiting and self._legs.has_done(waiting[0]):
            waiting.popleft()
        if not waiting:
            del self._calls[channel]
        elif self._group is not None and not self._begun(channel, waiting):
            self._go_on(self._group, channel)

    def _go_on(
        self, group: asyncio.TaskGroup, channel: ChannelId, first: Settling | None = None
    ) -> None:
        group.create_task(self._perform_calls(channel, first), name=f"asterisk call {channel}")

    def _begun(self, channel: ChannelId, waiting: deque[ForCalls]) -> bool:
        """What most calls need and nothing else is done without a task, if that is possible now."""
        match waiting[0], waiting[-1]:
            case HandOver() as effect, _ if len(waiting) == 1 and self.several:
                return self._hands_over(channel, effect, waiting)
            case MakeBridge(), MakeLeg(then=(_, *_)):
                asked = [effect for effect in waiting if isinstance(effect, AT_ONCE)]
                begun = len(asked) == len(waiting) and self._legs.begin(
                    asked, partial(self._settled, channel)
                )
                if begun:
                    waiting.clear()
                return begun
        return False

    def _hands_over(self, channel: ChannelId, effect: HandOver, waiting: deque[ForCalls]) -> bool:
        try:
            label, values = hand_over(effect, self._devices)
        except Refused:
            return False
        posts = self._ari.channels.continueWithVariables(
            channel, values, context=DIAL, extension=effect.extension, label=label
        )
        if not self._ari.begin(partial(self._handed_over, effect), *posts):
            return False
        waiting.popleft()
        return True

    def _handed_over(self, effect: HandOver, told: list[Declined | None] | Unreachable) -> None:
        try:
            self._judge(effect.channel, told)
        except AsteriskError as error:
            self._settled(effect.channel, self._not_handed_over(effect, error))
        else:
            self._settled(effect.channel, None)

    def _settled(self, channel: ChannelId, left: Settling | None) -> None:
        """What was begun is done, but for what is `left` to do."""
        if left is not None and self._group is not None:
            self._go_on(self._group, channel, left)
            return
        if left is not None:
            left.close()
        self._start(channel)

    async def _perform_calls(self, channel: ChannelId, first: Settling | None) -> None:
        waiting = self._calls[channel]
        try:
            if first is not None:
                await _unharmed(first)
            while waiting:
                effect = waiting.popleft()
                if not is_moot(effect, waiting):
                    await _unharmed(self._perform_one(channel, effect, waiting))
        finally:
            del self._calls[channel]

    async def _perform_one(
        self, channel: ChannelId, effect: ForCalls, waiting: deque[ForCalls]
    ) -> None:
        if isinstance(effect, HangUp):
            await self._hang_up(channel, effect.cause)
        elif isinstance(effect, HandOver | Lead | Enter):
            await self._hand_over(effect)
        elif isinstance(effect, Divert):
            await self._divert(effect)
        elif isinstance(effect, Hold):
            await self._hold(effect)
        elif isinstance(effect, SendElsewhere):
            await self._send_elsewhere(effect)
        elif isinstance(effect, ForListeners):
            await self._supervise(effect)
        else:
            await self._legs.perform(effect, *self._beside(effect, waiting))

    @staticmethod
    def _beside(effect: ForLegs, waiting: deque[ForCalls]) -> list[ForLegs]:
        """What need not wait for its answer."""
        found: list[ForLegs] = []
        while isinstance(effect, AT_ONCE) and waiting and isinstance(waiting[0], AT_ONCE):
            beside = waiting[0]
            waiting.popleft()
            if not is_moot(beside, waiting):
                found.append(beside)
        return found

    async def _hand_over(self, effect: HandOver | Lead | Enter) -> None:
        try:
            if isinstance(effect, Lead):
                await self._continue(effect.channel, lead(effect), LEAD, effect.exten)
                self._look_for_answer(effect.channel)
            elif isinstance(effect, Enter):  # else he would get a room of his own, elsewhere
                await insist(partial(self._enter, effect, dialable(effect.number)))
            else:
                label, values = hand_over(effect, self._devices)
                await self._continue(effect.channel, values, DIAL, effect.extension, label)
        except Refused as refused:
            self._failed(effect, INVALID_NUMBER, str(refused))
        except AsteriskError as error:
            await self._not_handed_over(effect, error)

    async def _enter(self, effect: Enter, number: Extension) -> None:
        """Never without being asked for the PIN."""
        await self._set(effect.channel, room_variables(effect))
        await self._continue(effect.channel, {}, ROOM, number)

    async def _not_handed_over(self, effect: HandOver | Lead | Enter, error: AsteriskError) -> None:
        status = error.status if isinstance(error, Declined) else 0
        if status == 404 and "label" in str(error).lower():
            self._failed(effect, FAILED, f"{error}: {OLD_DIALPLAN}")
        elif isinstance(error, Unreachable) or status in (404, 409):
            await self._look_for(effect, error)
        else:
            self._failed(effect, FAILED, str(error))

    def _failed(self, effect: HandOver | Lead | Enter, cause: int, why: str) -> None:
        """It is as if Dial had reached nobody: the core chooses what comes next."""
        fields = (("channel", effect.channel), ("error", why))
        self._note(Note("call not handed over", fields, "error"))
        self._post(Returned(effect.channel, "CHANUNAVAIL", cause))

    async def _look_for(self, effect: HandOver | Lead | Enter, error: AsteriskError) -> None:
        """It is said to be gone, or not in Stasis, or nothing is said. What has gone on is left alone.

        So is one that cannot be looked for: the dialplan's TIMEOUT(absolute) ends it, or the next connect finds it.
        """
        channel = effect.channel
        try:
            found = await self._ari.channels.get(channel)
        except Declined as declined:
            if declined.status == 404:
                self._post(Ended(channel))
                return
        except Unreachable:
            self._note(trouble("call not handed over", error, channel=channel))
            return
        else:
            if found.dialplan.app_name != "Stasis":
                self._note(trouble("call goes on unasked", error, channel=channel))
                return
        if not self._calls[channel]:  # else it has come back meanwhile, and the core has gone on
            self._failed(effect, cause_of(error), str(error))

    def _look_for_answer(self, channel: ChannelId) -> None:
        async def look() -> None:
            if (found := await answer(self._ari, channel)) is not None:
                self._post(found)

        if self._group is not None:
            self._group.create_task(look(), name=f"asterisk answer {channel}")

    async def _continue(
        self,
        channel: ChannelId,
        values: dict[str, str],
        context: str,
        exten: str,
        label: str = "",
    ) -> None:
        """In one go. Whoever goes on without what is dialed comes back from the dialplan by himself, as if that were absent."""
        channels = self._ari.channels
        if self.several and values:
            posts = channels.continueWithVariables(
                channel, values, context=context, extension=exten, label=label
            )
            self._judge(channel, await self._ari.post(*posts))
            return
        await self._set(channel, values)
        await channels.continueInDialplan(channel, context=context, extension=exten, label=label)

    def _judge(self, channel: ChannelId, told: list[Declined | None] | Unreachable) -> None:
        """It goes on even if the variables are declined. Raises: Unreachable; Declined, if it does not."""
        if isinstance(told, Unreachable):
            raise told
        unset, stays = told
        if stays is not None:
            raise stays
        if unset is not None:
            self._note(trouble("call handed over without a way", unset, channel=channel))

    async def _set(self, channel: ChannelId, values: dict[str, str]) -> None:
        if self.several and values:
            await self._ari.channels.setChannelVars(channel, values)
            return
        for name, value in values.items():
            await self._ari.grant(self._ari.channels.setChannelVar(channel, name, value))

    async def _divert(self, effect: Divert) -> None:
        """Without it the call goes on all the same."""
        try:
            await self._set(effect.channel, redirecting(effect.diverted))
        except AsteriskError as error:
            self._note(trouble("diversion not told", error, channel=effect.channel))

    async def _hold(self, effect: Hold) -> None:
        channel = effect.channel
        try:
            if not effect.music:
                await self._ari.channels.stopMoh(channel)
                return
            unbound = self._ari.channels.setChannelVar(channel, "TIMEOUT(absolute)", "0")
            for needed in self._ari.channels.answer(channel), unbound:  # else he is cut off soon
                await insist(partial(self._ari.grant, needed))
            await self._ari.channels.startMoh(channel, effect.music)
        except Declined as declined:
            if declined.status == 404:
                self._post(Ended(channel))
            else:
                self._note(trouble("caller not put on hold", declined, channel=channel))
        except Unreachable as unreachable:
            self._note(trouble("caller not put on hold", unreachable, channel=channel))

    async def _send_elsewhere(self, effect: SendElsewhere) -> None:
        """Where to is the caller's own PBX to find out: it reads the number alone."""
        try:
            uri = f"sip:{dialable(effect.number)}@{self._realm}"
            await self._ari.channels.redirect(effect.channel, f"PJSIP/{uri}")
        except (AsteriskError, Refused) as error:
            self._note(trouble("call not sent elsewhere", error, channel=effect.channel))
            await self._hang_up(effect.channel, INVALID_NUMBER)

    async def _supervise(self, effect: ForListeners) -> None:
        """What fails ends it: his phone's channel if it could not be called; the ear if there is nothing to hear."""
        ari, channels = self._ari, self._ari.channels
        try:
            match effect:
                case CallListener(phone, other, number, shown):
                    called = channels.originate(
                        f"Local/{dialable(number)}@{PHONES}/n",
                        id=phone,
                        other_id=other,
                        context=LISTEN,
                        extension="s",
                        caller=identity(shown, number),
                    )
                    for failed in await ari.post(
                        called, ari.applications.subscription(f"channel:{phone}")
                    ):
                        if failed is not None:
                            raise failed
                case Overhear(_, ear, heard, whisper):
                    made = channels.snoop(
                        heard, app=ari.app, args="ear", snoop_id=ear, whisper=whisper
                    )
                    await ari.grant(made)
                case OverhearAfar(_, ear, peer, heard_by, note):
                    trunk = f"PJSIP/{heard_by}@{trunk_to(peer)}"
                    variables = {"PJSIP_HEADER(add,X-PBXFED-Call)": note}
                    made = channels.originateHere(
                        trunk, id=ear, args="ear", seconds=EAR_SECONDS, variables=variables
                    )
                    await ari.grant(made)
                case Lend(phone, ear):
                    await ari.grant(channels.setChannelVar(ear, "PBXFED_LISTENER", phone))
                    await channels.continueInDialplan(ear, context=LISTEN, extension="ear")
        except (AsteriskError, Refused) as error:
            self._note(trouble("supervision failed", error, channel=effect.channel))
            ends = effect.channel if isinstance(effect, CallListener) else effect.ear
            await self._hang_up(ends, FAILED)
            self._post(Ended(ends, FAILED))

    async def _hang_up(self, channel: ChannelId, cause: int) -> None:
        try:
            ends = self._legs.endings.insist
            await ends(lambda: self._ari.channels.hangup(channel, reason_code=cause))
        except Declined as declined:
            if declined.status == 404:
                self._post(Ended(channel))
            else:
                self._note(trouble("call not hung up", declined, channel=channel))
        except Unreachable as unreachable:  # the dialplan's TIMEOUT(absolute) ends it
            self._note(trouble("call not hung up", unreachable, channel=channel))

    async def _abandon(self, effect: Abandon) -> None:
        try:
            ends = self._legs.endings.insist
            await ends(lambda: self._ari.channels.hangup(effect.leg, reason_code=NO_ROUTE))
        except Declined as declined:
            if declined.status != 404:  # it has ended by itself
                self._note(trouble("leg not abandoned", declined, leg=effect.leg))
        except Unreachable as unreachable:
            self._note(trouble("leg not abandoned", unreachable, leg=effect.leg))


async def _unharmed(doing: Awaitable[None]) -> None:
    """What is to be done for a call; a mistake of ours costs neither what comes next nor other calls."""
    try:
        await doing
    except Exception:
        log.exception("something could not be done for a call")


def is_moot(effect: Effect, waiting: Iterable[Effect]) -> bool:
    """Is the end of what this would ring asked for already? If Asterisk was slow nobody rings for a moment, for nobody."""
    match effect:
        case MakeLeg(leg=leg) | DialLeg(leg=leg):
            return any(isinstance(one, HangUpLeg) and one.leg == leg for one in waiting)
        case HandOver():
            return any(isinstance(one, HangUp) for one in waiting)
    return False


def room_variables(effect: Enter) -> dict[str, str]:
    """What ConfBridge wants to know. The PIN is written by a function: no dialplan line, which a log might show, holds it."""
    return {
        "PBXFED_CALL": effect.note,
        **({"CONFBRIDGE(user,pin)": effect.pin} if effect.pin else {}),
        **({"CONFBRIDGE(bridge,max_members)": str(effect.most)} if effect.most else {}),
    }
