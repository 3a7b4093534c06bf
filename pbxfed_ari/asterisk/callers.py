"""Who calls here: of all that Asterisk tells, what concerns a call of ours.

A caller is who has come to us, or had come before we lived (reconciling.py finds him). His end is a call's; that of a channel
which Dial has made for him is a leg's; any other's is nobody's news, but for channels of an earlier life's calls (`expect`).
While what was missed is being read, events are held.
"""

import asyncio
import secrets
from collections.abc import Callable, Collection, Iterable

from pbxfed_ari.asterisk import found
from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.conferences import Conferences
from pbxfed_ari.asterisk.contacts import Contacts
from pbxfed_ari.asterisk.events import (
    AriEvent,
    ChannelDestroyed,
    ChannelEnteredBridge,
    ContactStatusChange,
    Dial,
    StasisStart,
    translate,
)
from pbxfed_ari.asterisk.models import Channel
from pbxfed_ari.asterisk.subscriptions import Keeping, Subscriptions
from pbxfed_ari.clock import wall_ms
from pbxfed_ari.core.events import (
    Answered,
    Arrived,
    ContactAdded,
    ContactRemoved,
    Ended,
    Event,
    HungUp,
    LegDialed,
    LegEnded,
    LegLives,
    Returned,
    RingFound,
)
from pbxfed_ari.core.names import ChannelId

TIMED = frozenset({StasisStart, ContactStatusChange})  # what is told of these says when
MISSED = 0.7  # seconds after a hang-up in which its channel ends, or Asterisk has missed it


class Callers:
    """Those of one Asterisk."""

    def __init__(
        self,
        ari: AriClient,
        subscriptions: Subscriptions,
        contacts: Contacts,
        conferences: Conferences,
        keeping: Keeping,
        post: Callable[[Event], None],
    ) -> None:
        self._ari, self._subscriptions = ari, subscriptions
        self._contacts, self._conferences, self._post = contacts, conferences, post
        self._keeping = keeping
        self._callers: set[ChannelId] = set()
        self._dialed: set[ChannelId] = set()  # legs of Dial
        self._ringing: set[ChannelId] = set()  # callers, handed over before we lived
        self._before: Collection[ChannelId] = ()  # channels of an earlier life's calls
        self._held: list[AriEvent] | None = None
        self._gone_on: set[ChannelId] = set()  # meanwhile, as we have asked
        self._made: set[ChannelId] = set()  # legs, for which we have asked meanwhile
        self._group: asyncio.TaskGroup | None = None

    def __contains__(self, channel: str) -> bool:
        return channel in self._callers

    def expect(self, channels: Collection[ChannelId]) -> None:
        """An earlier life has left these: the end of each is told."""
        self._before = channels

    def hold(self) -> None:
        """What comes from now on is told later (`release`)."""
        self._held = []

    def begin(self, group: asyncio.TaskGroup) -> None:
        """Asterisk is connected, and heard."""
        self._group = group
        self._gone_on.clear()
        self._made.clear()

    def goes_on(self, channel: ChannelId) -> None:
        """He leaves our application, by our word. What is read just now may say that he stands in it."""
        if self._held is not None:
            self._gone_on.add(channel)

    def makes(self, leg: ChannelId) -> None:
        """It is asked for. What is read just now may not know of it yet."""
        if self._held is not None:
            self._made.add(leg)

    def listens(self, channel: ChannelId) -> None:
        """It is made for who shall listen in: its end is told, too."""
        self._callers.add(channel)
        self.makes(channel)

    def heard_to_end(self) -> set[ChannelId]:
        """Whose end we have heard, to be told later, or would hear: of these what was read says less."""
        held = self._held or ()
        ended = {ChannelId(one.channel.id) for one in held if type(one) is ChannelDestroyed}
        return self._made | ended

    def has_gone_on(self, channel: str) -> bool:
        """Has he, since Asterisk is heard? Should he come back, that is heard, too."""
        return channel in self._gone_on

    def has_just_come(self, channel: str) -> bool:
        """Has he entered our application since Asterisk is heard, which is told later?"""
        held = self._held or ()
        return any(type(one) is StasisStart and one.channel.id == channel for one in held)

    def forget(self) -> None:
        """All have ended with their Asterisk."""
        self._callers, self._dialed, self._ringing = set(), set(), set()

    # --- what happens

    def hear(self, event: AriEvent) -> None:
        """Asterisk tells this."""
        if self._held is not None:
            self._held.append(event)
        else:
            self._hear(event)

    def release(self, told: Collection[ChannelId]) -> None:
        """Tell what was held, but of these nothing of how they came here: it is told."""
        held, self._held = self._held or [], None
        self._gone_on.clear()
        for event in held:
            self._hear(event, told)

    def _hear(self, event: AriEvent, but: Collection[ChannelId] = ()) -> None:
        if type(event) is Dial and event.dialstatus == "ANSWER":
            caller = event.caller
            if caller and found.is_handed_over(caller) and self.is_of_before(caller):
                self.talk([(caller, event.peer)], wall_ms())  # it rang before we lived
                return
        id = fresh_id() if type(event) is StasisStart else ""
        now = wall_ms() if type(event) in TIMED else 0
        told = translate(event, app=self._ari.app, wall_ms=now, fresh_id=id)
        if told is None or (but and isinstance(told, Arrived | Returned) and told.channel in but):
            return
        if type(event) is ChannelEnteredBridge and found.is_local(event.channel) and self._group:
            heard = self._subscriptions.follow(ChannelId(event.channel.id))
            self._group.create_task(heard, name=f"asterisk hears of {event.channel.id}")
        if type(told) is Arrived and not told.endpoint and told.peer is None and self._group:
            self._group.create_task(self._follow(told), name=f"asterisk caller {told.channel}")
        elif type(told) is HungUp:
            asyncio.get_running_loop().call_later(MISSED, self.tell, told)
        else:
            self.tell(told)

    async def _follow(self, arrived: Arrived) -> None:
        self._callers.add(arrived.channel)  # should it end meanwhile
        await self._subscriptions.follow(arrived.channel)
        self.tell(arrived)

    def tell(self, event: Event) -> None:
        """This has happened, to whom it may."""
        match event:
            case LegLives():
                pass
            case LegDialed(leg=leg):
                self._dialed.add(leg)
            case Arrived(channel=channel) | Returned(channel=channel):
                self._callers.add(channel)
                self._ringing.discard(channel)
            case Answered(channel="", leg=leg) if self._group is not None:  # one of our own
                kept = self._keeping.keep(leg)
                self._group.create_task(kept, name=f"asterisk keeps {leg}")
            case Answered(channel=channel, leg="") if channel:
                self._conferences.entered(channel)
            case Answered(channel=channel, leg=leg) if channel:
                self._dialed.add(leg)  # it may have been dialed while we were deaf
            case Ended(channel=channel, cause=cause):
                self._conferences.ended(channel)
                dialed = channel in self._dialed
                self._dialed.discard(channel)
                self._ringing.discard(channel)
                if channel not in self._callers:  # only callers are calls
                    if dialed:
                        self._post(LegEnded(channel, cause))
                    elif channel in self._before:
                        self._post(event)
                    return
                self._callers.discard(channel)
            case ContactAdded() | ContactRemoved():
                self._contacts.saw(event)
        self._post(event)

    # --- who was handed over before we lived

    def is_of_before(self, caller: Channel) -> bool:
        """Was he handed over before we lived? If he rang then, it is not known whom."""
        return caller.id in self._ringing or caller.id not in self._callers

    def ring(self, ring: RingFound) -> None:
        """Dial rings somebody for him."""
        self._callers.add(ring.arrived.channel)
        self._ringing.add(ring.arrived.channel)
        self._post(ring)

    def talk(self, talking: list[tuple[Channel, Channel | None]], answered_ms: int = 0) -> None:
        """They talk by Dial. How they came is asked for beside everything else: it may be many."""
        ids = {ChannelId(caller.id) for caller, _ in talking}
        self._callers |= ids
        self._ringing -= ids
        if talking and self._group is not None:
            told = self._tell_talking(talking, answered_ms)
            self._group.create_task(told, name="asterisk talks found")

    def keep(self, channels: Iterable[Channel]) -> None:
        """Only these are there yet; and whose end is told next."""
        listed = {ChannelId(one.id) for one in channels} | self.heard_to_end()
        self._callers &= listed
        self._dialed &= listed
        self._ringing &= listed

    async def _tell_talking(
        self, talking: list[tuple[Channel, Channel | None]], answered_ms: int
    ) -> None:
        for caller, to in talking:
            await self._subscriptions.hear_end(caller)
            talk = await found.how_it_came(self._ari, caller, to, wall_ms(), answered_ms)
            if (
                talk is not None and talk.arrived.channel in self._callers
            ):  # he may have ended since
                self._post(talk)


def fresh_id() -> str:
    """For a new call: 12 hexadecimal digits."""
    return secrets.token_hex(6)
