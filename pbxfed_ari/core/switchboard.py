"""The switchboard: all calls that came in here, by channel.

It finds the call that an event concerns, and forgets it at its end.
"""

from collections.abc import Iterator

from pbxfed_ari.core.call import Call, Phase
from pbxfed_ari.core.effects import Effect, HandOver, HangUp, SendTo
from pbxfed_ari.core.events import (
    Arrived,
    CallEvent,
    ChannelEvent,
    ChannelsListed,
    Ended,
    PeerGaveUp,
    PeerHasCall,
    Returned,
)
from pbxfed_ari.core.lines import Usage
from pbxfed_ari.core.messages import CallOver
from pbxfed_ari.core.names import CallId, ChannelId, NodeName
from pbxfed_ari.core.setup import NEVER
from pbxfed_ari.core.tries import NORMAL, View
from pbxfed_ari.core.waybill import read

REMEMBERED = 10_000  # tries that peers have given up


class Switchboard:
    """Every call's machine, and the way to it."""

    def __init__(self, *, ring_seconds: int = 30) -> None:
        self.ring_seconds = ring_seconds
        self.usage = Usage()
        self._calls: dict[ChannelId, Call] = {}
        self._given_up: dict[tuple[NodeName | None, str, int], None] = {}  # tries of peers, lately

    def __repr__(self) -> str:
        return f"Switchboard({len(self._calls)} calls)"

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._calls.values()))

    def __len__(self) -> int:
        return len(self._calls)

    def next_deadline(self) -> float:
        """When a Ticked is due."""
        return min((call.next_deadline() for call in self._calls.values()), default=NEVER)

    def tick(self, now: float, view: View) -> list[Effect]:
        """Time has passed, or the view has changed: which tries are hopeless, which calls need be held no longer?"""
        effects: list[Effect] = []
        for call in list(self._calls.values()):
            if call.phase in (Phase.HELD, Phase.DIALING):
                effects += self._moved(call, now, call.tick(now, view, self.lines(now, view)))
        return effects

    def handle(self, event: CallEvent, now: float, view: View) -> list[Effect]:
        """What the event means to the call that it concerns."""
        match event:
            case ChannelsListed():
                return self._reconcile(event, now, view)
            case PeerHasCall():
                return self._peer_has(event, view)
            case PeerGaveUp():
                return self._peer_gave_up(event)
        if isinstance(event, Arrived):
            bill = read(event.note) if event.peer else None
            known = CallId(bill.call if bill else event.fresh_id)
            self._calls[event.channel] = Call(known, event, now, self.ring_seconds)
        call = self._calls.get(event.channel)
        if call is None:
            return self._stranger(event)
        if isinstance(event, Arrived) and self._was_given_up(call):
            del self._calls[event.channel]
            return [HangUp(event.channel, NORMAL)]
        effects = self._moved(call, now, call.handle(event, now, view, self.lines(now, view)))
        if isinstance(event, Ended):
            del self._calls[event.channel]
        return effects

    def _moved(self, call: Call, now: float, effects: list[Effect]) -> list[Effect]:
        """Count the tries that begin."""
        if any(isinstance(effect, HandOver) for effect in effects):
            self.usage.began(call, now)
        return effects

    # --- peers

    def _peer_has(self, event: PeerHasCall, view: View) -> list[Effect]:
        """Our try is there; if we have given it up meanwhile it must be told so."""
        for call in self._calls.values():
            if call.id == event.call and call.arrival.peer is None:
                if call.expects(event.attempt):
                    call.heard(event.attempt)
                    return []
                break
        door = view.door(event.peer)
        return [SendTo(door, CallOver(event.call, event.attempt))] if door else []

    def _peer_gave_up(self, event: PeerGaveUp) -> list[Effect]:
        """Whether its call is here already, or still on its way."""
        self._given_up[event.peer, event.call, event.attempt] = None
        while len(self._given_up) > REMEMBERED:
            self._given_up.pop(next(iter(self._given_up)))
        return [
            effect
            for call in self._calls.values()
            if call.arrival.peer == event.peer
            and call.bill is not None
            and (call.bill.call, call.bill.attempt) == (event.call, event.attempt)
            for effect in call.given_up()
        ]

    def _was_given_up(self, call: Call) -> bool:
        bill, peer = call.bill, call.arrival.peer
        return bill is not None and (peer, bill.call, bill.attempt) in self._given_up

    # --- helpers

    def lines(self, now: float, view: View) -> Usage:
        """What goes on here, for limits."""
        return self.usage.at(self._calls.values(), view, now)

    def _stranger(self, event: ChannelEvent) -> list[Effect]:
        """A call of before a restart: if it comes back from Dial its try has failed, and its tries are forgotten."""
        return [HangUp(event.channel, event.cause or NORMAL)] if isinstance(event, Returned) else []

    def _reconcile(self, listed: ChannelsListed, now: float, view: View) -> list[Effect]:
        """Calls that ended while we could not see."""
        effects: list[Effect] = []
        for channel in [channel for channel in self._calls if channel not in listed.channels]:
            effects += self._calls.pop(channel).handle(
                Ended(channel), now, view, self.lines(now, view)
            )
        return effects
