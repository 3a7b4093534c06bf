"""The switchboard: leads what is heard to the call that it concerns.

The calls stand in calls.py. What an event means to its call is said by transitions.py; here is what it means before there is
a call, or to several: one arrives, or was given up before it came, or a transfer takes somebody out of it.
"""

from collections.abc import Iterator, Sequence
from typing import cast

from pbxfed_ari.core.calls.call import RESCUING, Call, Phase
from pbxfed_ari.core.calls.calls import PLAIN, Calls, Manner
from pbxfed_ari.core.calls.crossing import Crossing
from pbxfed_ari.core.calls.lines import Usage
from pbxfed_ari.core.calls.listening import Supervision
from pbxfed_ari.core.calls.notebook import Notebook, Noted
from pbxfed_ari.core.calls.reconciling import Reconciler
from pbxfed_ari.core.effects import Effect, HangUp, Leg, Note, Tell
from pbxfed_ari.core.events import (
    Answered,
    AriWasSlow,
    Arrived,
    CallersEvent,
    CallEvent,
    CameIn,
    ChannelsListed,
    DrainOver,
    EarEntered,
    Ended,
    LegDialed,
    LegEnded,
    LegLives,
    ListenAsked,
    ListenerAnswered,
    PeerGaveUp,
    PeerHasCall,
    PeerLostCalls,
    Returned,
    RingFound,
    SipSaid,
    TalkFound,
    Ticked,
    WentOut,
)
from pbxfed_ari.core.names import CallId, ChannelId, NodeName
from pbxfed_ari.core.routing import outside
from pbxfed_ari.core.routing.tries import NORMAL, View
from pbxfed_ari.core.routing.waybill import read

# Most of what is heard. By type, here and in what is done for each event: `isinstance`, and `match`, take 0.14 µs for each
# struct that it is not.
OFTEN = frozenset({LegDialed, LegLives, Answered, LegEnded, Ended})


class Switchboard:
    """All calls that came in here, and what is heard of them."""

    def __init__(
        self, manner: Manner = PLAIN, before: Sequence[Noted] = (), seen_ms: int = 0
    ) -> None:
        """`before`: the calls of an earlier life, as they stood at `seen_ms` (notebook.py)."""
        self.calls = Calls(manner, Notebook(before, seen_ms))
        self._reconciler = Reconciler(self.calls)
        self._crossing = Crossing(self.calls)
        self._supervision = Supervision(self.calls)

    def __repr__(self) -> str:
        return f"Switchboard({len(self)} calls)"

    def __iter__(self) -> Iterator[Call]:
        return iter(self.calls)

    def __len__(self) -> int:
        return len(self.calls)

    # --- what is asked

    @property
    def notebook(self) -> Notebook:
        """What is to be written down of calls that go on."""
        return self.calls.notebook

    @property
    def usage(self) -> Usage:
        """What limits count."""
        return self.calls.usage

    def lines(self, now: float, view: View) -> Usage:
        """The same, as of now."""
        return self.usage.at(view, now)

    def callers(self, number: str) -> int:
        """How many calls of this node are in a conference room here, or at its door."""
        return self.calls.attendance.callers(number)

    def talks_with(self) -> set[NodeName]:
        """The peers with which somebody talks from here."""
        talking = [call for call in self.calls if call.phase is Phase.TALKING]
        legs = (leg for call in talking for leg in call.legs if isinstance(leg, Leg))
        peers = {*(call.arrival.peer for call in talking), *(leg.peer for leg in legs)}
        return {peer for peer in peers if peer is not None}

    def next_deadline(self) -> float:
        """When a tick is due."""
        return self.calls.agenda.next_deadline()

    # --- what happens

    def tick(self, now: float, view: View, late: float = 0.0) -> list[Effect]:
        """Time has passed, or the view has changed: which tries are hopeless, which calls need be held no longer?

        `late` is by how many seconds too late this comes: a busy node makes no more bridges.
        """
        self.usage.lag(now, late)
        effects: list[Effect] = []
        for call in self.calls.agenda.due(now):
            if call.phase is Phase.HELD and now >= call.held_until and not call.leaves:
                effects += self._held_enough(call, now, view)
            else:
                effects += self.calls.tell(call, Ticked(), now, view)
        return [*effects, *self._rooms_called(now), *self.usage.detours.news(now)]

    def handle(self, event: CallEvent, now: float, view: View) -> list[Effect]:
        """What the event means to the call that it concerns."""
        effects = self._handle(event, now, view)
        if self.calls.listening:
            effects = [*effects, *self._supervision.look(event, now)]
        return [*effects, *self._rooms_called(now)] if self.calls.attendance.moved else effects

    def _rooms_called(self, now: float) -> list[Tell]:
        return self.calls.attendance.news(lambda channel: self._clock(channel, now))

    def _clock(self, channel: ChannelId, now: float) -> int:
        call = self.calls.began_by(channel)
        return call.arrival.wall_ms + round((now - call.began) * 1_000) if call else 0

    def _handle(self, event: CallEvent, now: float, view: View) -> list[Effect]:
        if type(event) in OFTEN:
            return self._told(cast(CallersEvent, event), now, view)
        if type(event) is Arrived and not event.again:
            return self._arrived(event, now, view)
        match event:
            case ChannelsListed():
                effects = self._reconciler.listed(event, now, view)
                return [*effects, *self._supervision.listed(event, now)]
            case ListenAsked():
                return self._supervision.ask(event, view)
            case ListenerAnswered() | EarEntered():
                return self._supervision.stranger(event)
            case RingFound() | TalkFound():
                return self._reconciler.handed_over(event, now, view)
            case PeerHasCall():
                known = self._reconciler.has_listed
                return self._crossing.has(event, now, view, all_known=known)
            case PeerGaveUp():
                return self._crossing.gave_up(event, now, view)
            case PeerLostCalls():
                return self._crossing.lost(event, now, view)
            case SipSaid():
                return self._crossing.sip_said(event, now, view)
            case AriWasSlow(seconds):
                self.usage.slow(now, seconds)
                return []
            case DrainOver():
                return self._drain_over(event, view)
            case Arrived(channel=channel) | Returned(channel=channel) if event.again:
                if self._reconciler.looked_after(channel):
                    return []  # how he came there tells of before
        if isinstance(event, Arrived):
            return self._arrived(event, now, view)
        return self._told(event, now, view)

    def _arrived(self, event: Arrived, now: float, view: View) -> list[Effect]:
        bill = read(event.note) if event.peer else None
        if bill is not None and bill.ear:
            return self._supervision.comes(event, bill.call)
        if (waiting := self._crossing.waiting_for(event, bill, now, view)) is not None:
            return self._joins(event, waiting, now, view)
        if refused := self._crossing.has_hung_up(event, bill, view):
            return refused
        former = self.calls.began_by(event.channel)  # he was led elsewhere, and has come back
        before = self._crossing.overtaken(event.peer, bill, now, view)
        before += self._leaves(event.channel, now, view)
        self.usage.arrived(now)
        call = self.calls.begin(CallId(bill.call if bill else event.fresh_id), event, now)
        if former is not None:
            call.follows(former)
        if event.again:
            self._reconciler.anew(call, now)
        if self._crossing.was_given_up(call):
            self.calls.forget(call)
            return [HangUp(event.channel, NORMAL)]
        return [*before, *self.calls.tell(call, event, now, view)]

    def _joins(self, event: Arrived, waiting: Call, now: float, view: View) -> list[Effect]:
        self.calls.put[event.channel] = waiting.arrival.channel
        return self.calls.tell(waiting, event, now, view)

    def _held_enough(self, call: Call, now: float, view: View) -> list[Effect]:
        """Nothing was said against it. Does somebody wait here for just this call?"""
        waiting = self._crossing.waiting_for(call.arrival, call.bill, now, view, held=True)
        if waiting is None:
            return self.calls.tell(call, Ticked(), now, view)
        self.calls.forget(call)
        return self._joins(call.arrival, waiting, now, view)

    def _leaves(self, channel: ChannelId, now: float, view: View) -> list[Effect]:
        """A transfer has taken a caller out of his call, which ends without him; or a leg, and it ends with its caller."""
        if (call := self.calls.began_by(channel)) is not None:
            call.leg_lives = False  # whatever becomes of it, it is not his
            effects = self.calls.tell(call, Ended(channel), now, view)
            self.calls.forget(call)
            return effects
        if (call := self.calls.dialed(channel)) is not None:
            return self.calls.tell(call, LegEnded(channel, NORMAL), now, view)
        return []

    def _told(self, event: CallersEvent, now: float, view: View) -> list[Effect]:
        """What is heard of a call that is here, or of a stranger."""
        if type(event) is LegEnded:
            self.usage.gone(event.leg)
        elif type(event) is Ended:
            self.usage.gone(event.channel)
        elif type(event) is WentOut and event.channel in self.calls.put:
            event = Ended(event.channel)  # of Local channels ARI tells no other end
        call = self.calls.of(event)
        if call is None:
            return self._reconciler.stranger(event, now)
        if type(event) is CameIn and call.is_stranger(event.channel):
            self.calls.put[event.channel] = call.arrival.channel
        waited = call.phase is RESCUING
        effects = self.calls.tell(call, event, now, view)
        if type(event) is LegEnded or type(event) is Ended:
            effects += self._crossing.hangs_up(call, view, waited=waited)
        if type(event) is Ended:
            self._crossing.caller_gone(call)
        return effects

    def _drain_over(self, event: DrainOver, view: View) -> list[Effect]:
        """The node is to be restarted, and calls are left: they are told, or ended. Who has called for help is left alone."""
        left = [call for call in self.calls if call.phase is not Phase.OVER]
        ended = [call for call in left if event.end and not _urgent(call, view)]
        counts = (("calls_left", len(left)), ("ended", len(ended)), ("phones_left", event.phones))
        missed = len(left) > len(ended) or event.phones > 0
        told = Note("drain deadline", counts, "warning" if missed else "info")
        return [told, *(effect for call in ended for effect in call.clear())]


def _urgent(call: Call, view: View) -> bool:
    """Has somebody called for help?"""
    numbers = {call.arrival.number, str(call.route.number)}
    return any(outside.is_emergency(number, number, view) for number in numbers)
