"""What has become of the calls while nobody looked: after a restart of the daemon, or a moment without ARI.

Asterisk lists its channels, and the bridges of which we are the application (asterisk/reconciling.py). What ended is told to
its call. What an earlier life has left is adopted if it talks (returning.py), or ended. Then whoever stands in our application
arrives, or returns, once more: `looked_after` tells whom that does not concern.
"""

from msgspec.structs import replace

from pbxfed_ari.core.calls import recording, returning
from pbxfed_ari.core.calls.call import Call, Phase
from pbxfed_ari.core.calls.calls import Calls
from pbxfed_ari.core.calls.notebook import UNTOLD
from pbxfed_ari.core.effects import Effect, EndBridge, HangUp, Indicate
from pbxfed_ari.core.events import (
    Arrived,
    BridgeSeen,
    CallersEvent,
    CameIn,
    ChannelsListed,
    Ended,
    LegEnded,
    LegEntered,
    Returned,
    RingFound,
    TalkFound,
    WentOut,
)
from pbxfed_ari.core.names import CallId, ChannelId, attempt_of, key_of_name, part_of
from pbxfed_ari.core.records.objects.extension import Phone
from pbxfed_ari.core.routing.tries import NORMAL, View
from pbxfed_ari.core.routing.waybill import read


class Reconciler:
    """Holds the calls against what Asterisk has."""

    def __init__(self, calls: Calls) -> None:
        self.has_listed = False  # are all channels known?
        self._calls = calls
        self._wall = (0, 0.0)  # milliseconds since 1970, and when on our clock
        self._ending: set[ChannelId] = set()  # whom we found and have hung up
        self._at_home: set[ChannelId] = set()  # who stood in our application for us to look after

    def __repr__(self) -> str:
        return f"Reconciler({len(self._ending)} found and hung up)"

    def listed(self, listed: ChannelsListed, now: float, view: View) -> list[Effect]:
        """These are all channels, and our bridges."""
        self.has_listed, self._wall = True, (listed.wall_ms, now)
        at_home = {call.arrival.channel for call in self._calls if _at_home(call)}
        ours = {call.bridged.bridge for call in self._calls if call.bridged}
        self._calls.usage.listed(listed.channels, now)
        self._calls.listed(listed.channels)
        effects: list[Effect] = []
        for seen in listed.bridges:
            effects += self._moved_meanwhile(seen, listed.channels, now, view)
        for call in self._calls:
            effects += self._ended_meanwhile(call, listed.channels, now, view)
        over = ours - self._in_use() - {one.bridge for one in effects if isinstance(one, EndBridge)}
        for seen in listed.bridges:
            if seen.name not in ours:
                effects += self._found(seen, now, listed.wall_ms, view)
            elif seen.name in over:
                effects.append(EndBridge(ChannelId(seen.name), seen.name))
        effects += self._strays(listed)
        self._ending = {effect.channel for effect in effects if isinstance(effect, HangUp)}
        self._at_home = at_home
        left = listed.channels - self._ending
        return [*effects, *self._calls.notebook.listed(left, listed.wall_ms)]

    def _moved_meanwhile(
        self, seen: BridgeSeen, channels: frozenset[ChannelId], now: float, view: View
    ) -> list[Effect]:
        """Whom has a transfer taken out of a bridge that we know, and whom put into it?"""
        call = self._calls.named(key_of_name(seen.name))
        if call is None or call.bridged is None or call.bridged.bridge != seen.name:
            return []
        effects: list[Effect] = []
        left = call.bridged.present.difference(seen.channels, self._calls.put_into(call))
        for channel in sorted(left & channels):
            effects += self._calls.tell(call, WentOut(channel, seen.name), now, view)
        for channel in seen.channels:
            if call.is_stranger(channel):
                self._calls.put[channel] = call.arrival.channel
                effects += self._calls.tell(call, CameIn(channel, seen.name), now, view)
        return effects

    def _ended_meanwhile(
        self, call: Call, channels: frozenset[ChannelId], now: float, view: View
    ) -> list[Effect]:
        """Of a call that we know, who is no more there? One that is over is hung up once more."""
        effects: list[Effect] = []
        here = [] if call.caller_gone else [call.arrival.channel]
        for channel in (*here, *self._calls.put_into(call)):
            if channel not in channels:
                effects += self._calls.tell(call, Ended(channel), now, view)
        legs = call.bridged.ours if call.bridged else [call.leg] if call.leg_lives else []
        for leg in legs if not call.finished else []:
            if leg not in channels:
                effects += self._calls.tell(call, LegEnded(leg, UNTOLD, unseen=True), now, view)
        if call.phase is Phase.OVER and not call.finished:
            effects.append(HangUp(call.arrival.channel, call.cause or NORMAL))
        return effects

    def _in_use(self) -> set[str]:
        """Bridges of calls that go on. Asterisk may not have heard that another one is to end."""
        going = (call for call in self._calls if call.phase is not Phase.OVER)
        return {call.bridged.bridge for call in going if call.bridged}

    def _strays(self, listed: ChannelsListed) -> list[Effect]:
        """Legs of ours that are in no bridge and of no call, and who was replaced."""
        seen = {channel for bridge in listed.bridges for channel in bridge.channels}
        known = {leg for call in self._calls if call.bridged for leg in call.bridged.ours}
        strays = {channel for channel in listed.channels if key_of_name(channel)} - known - seen
        return [HangUp(one, NORMAL) for one in sorted(strays | listed.replaced)]

    def _found(self, seen: BridgeSeen, now: float, wall_ms: int, view: View) -> list[Effect]:
        """A bridge that an earlier life of ours has made.

        A conversation is kept, and who rings for somebody rings on; all else ends, but for who arrives anew.
        """
        key = key_of_name(seen.name)
        came = {one.channel: one for one in seen.callers}
        legs = [channel for channel in seen.channels if key_of_name(channel) == key]
        others = [channel for channel in seen.channels if channel not in legs]
        callers = sorted(others, key=lambda channel: (channel not in came, channel in seen.put))
        put = bool(legs and callers) and not came and seen.put.issuperset(callers)
        if seen.talks and not callers:  # after a rescue: who waited is the phone that was called
            legs.sort(key=attempt_of)
            callers, legs = legs[:1], legs[1:]
        if (seen.talks or put) and callers and len(seen.channels) > 1:  # put: he cannot arrive anew
            caller, leg = callers[0], [*legs, *callers[1:]][0]  # or two callers, by a transfer
            self._calls.put.update(dict.fromkeys(seen.put, caller))
            arrival = came.get(caller) or Arrived(caller, "", "", "", wall_ms=wall_ms)
            call = self._of_bridge(key, arrival, now, wall_ms)
            returning.adopt(call, leg, seen, now, wall_ms)
            self._calls.found(call)
            half_answered = caller in others and caller in came and not seen.answered_ms
            return [Indicate(caller, "answer")] if half_answered else []
        inside = (len(legs), len(callers)) == (1, 1) and callers == [*came]
        rung = returning.rung(seen) if inside or not seen.channels else set()
        if rung and all(isinstance(view.get("number", number), Phone) for number in rung):
            call = self._of_bridge(key, seen.callers[0], now, wall_ms)
            returning.adopt_ringing(call, seen, now, wall_ms, view)
            self._calls.found(call)
            return []
        waiting = [] if seen.talks else callers if legs else [*came]
        ends = [channel for channel in [*legs, *callers] if channel not in waiting]
        return [
            *(HangUp(channel, NORMAL) for channel in ends),
            EndBridge(ChannelId(seen.name), seen.name),
        ]

    def _of_bridge(self, key: str, arrival: Arrived, now: float, wall_ms: int) -> Call:
        """The call whose bridge holds this in its name."""
        bill = read(arrival.note) if arrival.peer else None
        known = CallId(bill.call if bill else key)
        arrival = replace(arrival, fresh_id=key.removeprefix(f"{known}."))
        return self._of_before(known, arrival, now, wall_ms)

    def handed_over(self, event: RingFound | TalkFound, now: float, view: View) -> list[Effect]:
        """A call that was handed over by an earlier life of ours: if it talks it needs nothing of us but its record."""
        channel, bill = event.arrived.channel, read(event.note)
        call = self._calls.began_by(channel)
        if bill is None or (call is not None and not call.forgotten):
            return []
        if call is None:
            arrival = replace(event.arrived, fresh_id=part_of(channel))
            call = self._of_before(CallId(bill.call), arrival, now, event.wall_ms)
            if call.before is None:
                call.recording = recording.name(call, view)
        if isinstance(event, TalkFound):
            returning.found(call, event, bill.attempt, now)
        else:
            returning.found_ringing(call, bill.attempt, now, event.wall_ms)
        self._calls.found(call)
        return []

    def anew(self, call: Call, now: float) -> None:
        """Its caller stands in our application, perhaps since an earlier life of ours."""
        wall_ms, then = self._wall
        returning.anew(call, now, wall_ms + round((now - then) * 1_000))

    def _of_before(self, known: CallId, arrival: Arrived, now: float, wall_ms: int) -> Call:
        lasts = returning.passed(arrival.wall_ms, wall_ms)
        call = self._calls.begin(known, arrival, now - lasts)
        call.recording = call.before.recording if call.before else ""
        return call

    # --- what comes then

    def looked_after(self, channel: ChannelId) -> bool:
        """Does it talk, wait, or end, as we know? It is at home in our application in a queue and in bridge mode.

        What was read may have ended a try of such a call, and its next one may be handed over already: it was at home then.
        """
        if channel in self._ending or channel in self._at_home:
            return True
        if self._calls.began_by(self._calls.put.get(channel, ChannelId(""))) is not None:
            return True
        call = self._calls.began_by(channel)
        return call is not None and _at_home(call)

    def stranger(self, event: CallersEvent, now: float) -> list[Effect]:
        """Of a call that nobody knows: if it comes back from Dial its try has failed, and its tries are forgotten."""
        match event:
            case Ended(channel, cause):
                wall_ms, then = self._wall
                ended_ms = wall_ms + round((now - then) * 1_000)
                return [*self._calls.notebook.ended(channel, ended_ms, cause)]
            case Returned(channel, _, cause):
                return [HangUp(channel, cause or NORMAL)]
            case LegEntered(leg):
                return [HangUp(leg, NORMAL)]  # its call has ended while it was made
            case _:
                return []


def _at_home(call: Call) -> bool:
    """Does its caller stand in our application as he should?"""
    bridged = call.phase in (Phase.DIALING, Phase.TALKING) and call.bridged is not None
    waits = call.phase in (Phase.HELD, Phase.WAITING, Phase.RESCUING, Phase.OVER)
    return not call.caller_gone and (bridged or waits)
