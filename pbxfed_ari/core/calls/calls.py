"""All calls that came in here: the ways to each, and what is kept beside them as they change.

A call is found by its caller's channel, by the names of our own legs and bridges, by a leg of Dial's, by the channel that a
transfer has put into it, or by its id, which several calls of a peer's may share.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pbxfed_ari.core.calls import talking, transitions
from pbxfed_ari.core.calls.agenda import Agenda
from pbxfed_ari.core.calls.attendance import Attendance
from pbxfed_ari.core.calls.call import Call, Input
from pbxfed_ari.core.calls.lines import Usage
from pbxfed_ari.core.calls.notebook import Notebook
from pbxfed_ari.core.effects import Effect, HandOver, MakeBridge
from pbxfed_ari.core.events import (
    Answered,
    Arrived,
    CallersEvent,
    CameIn,
    Ended,
    FarEndDied,
    HungUp,
    LegDialed,
    LegEnded,
    LegEntered,
    LegLives,
    LegRefused,
    Redirected,
    Returned,
    WentOut,
)
from pbxfed_ari.core.names import CallId, ChannelId, key_of_name
from pbxfed_ari.core.routing.tries import View

NOBODY = ChannelId("")
BEGINS = frozenset({HandOver, MakeBridge})  # with these a try begins


@dataclass(frozen=True, slots=True)
class Manner:
    """How calls are led, as [calls] of the node's configuration says."""

    ring_seconds: int = 30
    control: str = (
        "handover"  # or "bridge": how legs are connected where the object called does not say
    )
    rescue: int = 30  # for so many seconds who has lost his other end to a death waits
    rescue_music: str = ""  # what he hears meanwhile


PLAIN = Manner()


class Calls:
    """Every call's machine, and the way to it."""

    def __init__(self, manner: Manner, notebook: Notebook) -> None:
        self.manner = manner
        self.notebook = notebook
        self.usage = Usage()
        self.agenda = Agenda()
        self.attendance = Attendance()
        self.put: dict[ChannelId, ChannelId] = {}  # by a transfer, into the call of this caller
        self.listening: dict[ChannelId, Call | None] = {}  # calls to who listens in; None: not yet
        self._calls: dict[ChannelId, Call] = {}
        self._by_key: dict[str, ChannelId] = {}  # as the names of bridges and legs hold it
        self._by_leg: dict[ChannelId, ChannelId] = {}  # Dial's
        self._by_id: dict[str, list[ChannelId]] = {}

    def __repr__(self) -> str:
        return f"Calls({len(self)})"

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._calls.values()))

    def __len__(self) -> int:
        return len(self._calls)

    # --- to a call

    def of(self, event: CallersEvent) -> Call | None:
        """The call that an event concerns: by the name of our own leg or bridge, or by the caller's channel."""
        match event:  # what comes most often stands first (switchboard.py, OFTEN)
            case LegDialed(channel, leg) | LegLives(channel, leg) | Answered(channel, leg):
                return self._of_leg(leg, channel)
            case Ended(channel=channel) | Arrived(channel=channel) | Returned(channel=channel):
                return self._calls.get(self.put.get(channel, channel))
            case LegEnded(leg=leg) | LegEntered(leg=leg) | LegRefused(leg=leg):
                return self._of_leg(leg, NOBODY)
            case CameIn(bridge=name) | WentOut(bridge=name):
                return self.named(key_of_name(name))
            case FarEndDied(channel=channel) | HungUp(channel=channel):
                mine = self._by_key.get(key_of_name(channel))
                return self._calls.get(mine or self.put.get(channel, channel))
            case Redirected(channel=channel, leg=leg):
                return self._of_leg(leg, channel)

    def _of_leg(self, leg: ChannelId, caller: ChannelId) -> Call | None:
        mine = self._by_key.get(key_of_name(leg)) or self._by_leg.get(leg)
        return self._calls.get(mine or caller)

    def began_by(self, channel: ChannelId) -> Call | None:
        """The call of this caller."""
        return self._calls.get(channel)

    def dialed(self, leg: ChannelId) -> Call | None:
        """The call for which Dial has made this leg."""
        return self._calls.get(self._by_leg.get(leg, NOBODY))

    def named(self, key: str) -> Call | None:
        """By what the names of its bridge and legs hold: of a call of our own the id alone."""
        return self._calls.get(self._by_key.get(key, NOBODY))

    def parts_of(self, call: str) -> list[Call]:
        """The calls of this id that are here."""
        return [self._calls[channel] for channel in self._by_id.get(call, ())]

    def put_into(self, call: Call) -> list[ChannelId]:
        """The channels that transfers have put into it."""
        return [channel for channel, caller in self.put.items() if caller == call.arrival.channel]

    # --- they come, change and go

    def begin(self, known: CallId, arrival: Arrived, began: float) -> Call:
        """It is here from now on, in the place of one that its caller had."""
        channel = arrival.channel
        how = self.manner
        call = Call(
            known, arrival, began, how.ring_seconds, how.control, how.rescue, how.rescue_music
        )
        if (former := self._calls.get(channel)) is not None:
            self.forget(former)
        self._calls[channel] = call
        if call.listens:
            self.listening[channel] = call
        self._by_key[call.key] = channel
        self._by_id.setdefault(call.id, []).append(channel)
        self.notebook.name(call)
        return call

    def found(self, call: Call) -> None:
        """It stands otherwise than was known of it."""
        self.usage.count(call)
        self.notebook.changed(call)
        self.agenda.note(call)

    def tell(self, call: Call, event: Input, now: float, view: View) -> list[Effect]:
        """What an event means to this call, which is forgotten if that was its end: nothing, if it was so before."""
        if call.finished:
            return []
        stood = call.phase, call.tries, call.put_by
        effects = transitions.handle(call, event, now, view, self.usage.at(view, now, call))
        if call.finished:  # nothing else is to be counted of it
            effects += self.usage.learned(call, now)
            self._note_leg(call, event, now)
            self.forget(call)
            return effects
        self.usage.count(call)
        if stood != (call.phase, call.tries, call.put_by):
            self.notebook.changed(call)
        if not BEGINS.isdisjoint(map(type, effects)):
            self.usage.began(call, now)
        effects += self.usage.learned(call, now)
        effects += talking.whereabouts(call, view)
        self.attendance.goes_to(call.arrival.channel, call.room)
        self.agenda.note(call)
        self._note_leg(call, event, now)
        return effects

    def _note_leg(self, call: Call, event: Input, now: float) -> None:
        if type(event) is LegDialed:
            if call.setup is not None and event.leg in call.setup.legs:
                self._by_leg[event.leg] = call.arrival.channel
            self.usage.dialed(call, event.leg)
        elif type(event) is LegEnded:
            self._by_leg.pop(event.leg, None)
            if call.who_refused():
                self.notebook.changed(call)
        elif isinstance(event, LegLives | Answered):
            if call.setup and (peer := call.setup.legs.get(event.leg)):
                self.usage.acknowledged(call, peer, now)
            if type(event) is Answered and call.leg:
                self._by_leg[call.leg] = call.arrival.channel

    def listed(self, channels: frozenset[ChannelId]) -> None:
        """These are all channels that there are."""
        self._by_leg = {leg: c for leg, c in self._by_leg.items() if leg in channels}

    def forget(self, call: Call) -> None:
        """It is over, or is as if it had never been."""
        channel = call.arrival.channel
        self.notebook.forget(call)
        if self._calls.pop(channel, None) is not None:
            self._by_id[call.id].remove(channel)
            if not self._by_id[call.id]:
                del self._by_id[call.id]
        self.agenda.forget(channel)
        self.attendance.goes_to(channel, "")
        for leg in (call.leg, *(call.setup.legs if call.setup else ())):
            self._by_leg.pop(leg, None)
        self.usage.forget(channel)
        for one in self.put_into(call):
            del self.put[one]
        if self._by_key.get(call.key) == channel:
            del self._by_key[call.key]
