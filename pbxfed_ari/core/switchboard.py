"""The switchboard: all calls that came in here, by channel.

It finds the call that an event concerns, and forgets it at its end.
"""

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush

from msgspec.structs import replace

from pbxfed_ari.core import outside, rescuing, returning, transitions
from pbxfed_ari.core.call import Call, Input, Phase
from pbxfed_ari.core.effects import (
    Effect,
    EndBridge,
    HandOver,
    HangUp,
    Indicate,
    Leg,
    MakeBridge,
    Note,
    Tell,
)
from pbxfed_ari.core.events import (
    Answered,
    AriWasSlow,
    Arrived,
    BridgeSeen,
    CallersEvent,
    CallEvent,
    CameIn,
    ChannelsListed,
    DrainOver,
    Ended,
    FarEndDied,
    HungUp,
    LegDialed,
    LegEnded,
    LegEntered,
    LegLives,
    PeerGaveUp,
    PeerHasCall,
    PeerLostCalls,
    Returned,
    RingFound,
    RoomsLed,
    TalkFound,
    Ticked,
    WentOut,
)
from pbxfed_ari.core.lines import Usage
from pbxfed_ari.core.messages import CallOver
from pbxfed_ari.core.names import (
    CallId,
    ChannelId,
    NodeName,
    attempt_of,
    key_of_name,
    part_of,
)
from pbxfed_ari.core.notebook import UNTOLD, Notebook, Noted
from pbxfed_ari.core.rescue import Half
from pbxfed_ari.core.setup import NEVER
from pbxfed_ari.core.tries import NORMAL, View
from pbxfed_ari.core.waybill import parent, read

REMEMBERED = 10_000  # tries that peers have given up
PAUSE = 0.1  # seconds between two looks at all calls in setup: has the view changed for them?


class Switchboard:
    """Every call's machine, and the way to it."""

    def __init__(
        self,
        *,
        ring_seconds: int = 30,
        control: str = "handover",
        rescue: int = 30,
        rescue_music: str = "",
        before: Sequence[Noted] = (),
        seen_ms: int = 0,
    ) -> None:
        """`control`: how legs are connected where the object called does not say; "handover" or "bridge".

        `rescue`: for so many seconds who has lost his other end to a death waits, with this music. `before`: the calls of an
        earlier life, as they stood at `seen_ms` (core/notebook.py).
        """
        self.ring_seconds, self.control = ring_seconds, control
        self.rescue, self.rescue_music = rescue, rescue_music
        self.usage = Usage()
        self.notebook = Notebook(before, seen_ms)
        self._wall = (0, 0.0)  # milliseconds since 1970, and when on our clock
        self._calls: dict[ChannelId, Call] = {}
        self._by_key: dict[str, ChannelId] = {}  # as the names of bridges and legs hold it
        self._by_leg: dict[ChannelId, ChannelId] = {}  # Dial's
        self._by_id: dict[str, list[ChannelId]] = {}  # a peer's call may come by several channels
        self._in_setup: dict[ChannelId, Call] = {}  # a thousand that talk need not be looked at
        self._due: dict[
            ChannelId, float
        ] = {}  # of those, when; a thousand ring and wait for nothing
        self._agenda: list[
            tuple[float, ChannelId]
        ] = []  # the same as a heap; what is not due is void
        self._looked, self._look = -NEVER, NEVER  # at all in setup: when, and when again
        self._rooms: dict[ChannelId, str] = {}  # whose callers are in which conference room here
        self._moved, self._told_rooms = False, frozenset[str]()  # has any of them come or gone?
        self._put: dict[ChannelId, ChannelId] = {}  # by a transfer, into the call of this caller
        self._listed = False  # are all channels known?
        self._ending: set[ChannelId] = set()  # of those, whom we found and have hung up
        self._given_up: dict[tuple[NodeName | None, str, int], None] = {}  # tries of peers, lately
        self._hung_up: dict[tuple[NodeName, CallId], int] = {}  # conversations with peers, lately

    def __repr__(self) -> str:
        return f"Switchboard({len(self._calls)} calls)"

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._calls.values()))

    def __len__(self) -> int:
        return len(self._calls)

    def next_deadline(self) -> float:
        """When a Ticked is due."""
        while self._agenda and self._due.get(self._agenda[0][1]) != self._agenda[0][0]:
            heappop(self._agenda)
        return min(self._agenda[0][0] if self._agenda else NEVER, self._look)

    def tick(self, now: float, view: View, late: float = 0.0) -> list[Effect]:
        """Time has passed, or the view has changed: which tries are hopeless, which calls need be held no longer?

        `late` is by how many seconds too late this comes: a busy node makes no more bridges.
        """
        self.usage.lag(now, late)
        effects: list[Effect] = []
        for call in self._calls_due(now):
            effects += self._told(call, Ticked(), now, view)
            if call.finished:
                self._forget(call)
        return [*effects, *self._rooms_changed(now)]

    def _calls_due(self, now: float) -> list[Call]:
        """All in setup; if they were looked at just now, those whose time has come: many wait in queues, each for his."""
        if not now < self._looked + PAUSE:
            self._looked, self._look = now, NEVER
            return list(self._in_setup.values())
        self._look = self._looked + PAUSE if self._in_setup else NEVER
        found: list[Call] = []
        while self._agenda and self._agenda[0][0] <= now:
            due, channel = heappop(self._agenda)
            if self._due.get(channel) == due:
                del self._due[channel]
                found.append(self._in_setup[channel])
        return found

    def handle(self, event: CallEvent, now: float, view: View) -> list[Effect]:
        """What the event means to the call that it concerns."""
        return [*self._handle(event, now, view), *self._rooms_changed(now)]

    def callers(self, number: str) -> int:
        """How many calls of this node are in a conference room here, or at its door."""
        return list(self._rooms.values()).count(number)

    def talks_with(self) -> set[NodeName]:
        """The peers with which somebody talks from here."""
        talking = [call for call in self._calls.values() if call.phase is Phase.TALKING]
        legs = (leg for call in talking for leg in call.legs if isinstance(leg, Leg))
        peers = {*(call.arrival.peer for call in talking), *(leg.peer for leg in legs)}
        return {peer for peer in peers if peer is not None}

    def _rooms_changed(self, now: float) -> list[Effect]:
        """The federation hears which rooms are called here."""
        if not self._moved:
            return []
        self._moved, rooms = False, frozenset(self._rooms.values())
        if rooms == self._told_rooms:
            return []
        self._told_rooms = rooms
        calls = (self._calls.get(channel) for channel in self._rooms)
        clocks = [c.arrival.wall_ms + round((now - c.began) * 1_000) for c in calls if c]
        return [Tell(RoomsLed(rooms, max(clocks, default=0)))]

    def _handle(self, event: CallEvent, now: float, view: View) -> list[Effect]:
        match event:
            case ChannelsListed():
                return self._reconcile(event, now, view)
            case PeerHasCall():
                return self._peer_has(event, now, view)
            case PeerGaveUp():
                return self._peer_gave_up(event, now, view)
            case PeerLostCalls():
                return self._peer_lost(event, now, view)
            case RingFound() | TalkFound():
                return self._handed_over(event, now)
            case AriWasSlow(seconds):
                self.usage.slow(now, seconds)
                return []
            case DrainOver():
                return self._drain_over(event, view)
        if isinstance(event, Arrived | Returned) and event.again and self._ours(event.channel):
            return []  # it talks, is looked after, or ends: how it came there tells of before
        before: list[Effect] = []
        if isinstance(event, LegEnded | Ended):
            self.usage.gone(event.leg if isinstance(event, LegEnded) else event.channel)
        if isinstance(event, WentOut) and event.channel in self._put:
            event = Ended(event.channel)  # of Local channels ARI tells no other end
        if isinstance(event, Arrived):
            bill = read(event.note) if event.peer else None
            known = CallId(bill.call if bill else event.fresh_id)
            if (waiting := self._waiting_for(event, now, view)) is not None:
                self._put[event.channel] = waiting.arrival.channel
                return self._told(waiting, event, now, view)
            if refused := self._has_hung_up(event, view):
                return refused
            former = self._calls.get(event.channel)  # he was led elsewhere, and has come back
            before = self._overtaken(event, now, view)
            before += self._leave(event.channel, now, view)
            self.usage.arrived(now)
            self._keep(self._call(known, event, now))
            self._calls[event.channel].shown = former.shown if former else None
        call = self._call_of(event)
        if isinstance(event, CameIn) and call is not None and call.is_stranger(event.channel):
            self._put[event.channel] = call.arrival.channel
        if call is None:
            return self._stranger(event, now)
        if isinstance(event, Arrived) and self._was_given_up(call):
            self._forget(call)
            return [HangUp(event.channel, NORMAL)]
        waited = call.phase is Phase.RESCUING
        effects = self._told(call, event, now, view)
        if isinstance(event, LegEnded | Ended) and call.hung_up is not None:
            effects += self._leaves(call.hung_up, view, waited=waited)
        if isinstance(event, LegDialed):
            if call.setup is not None and event.leg in call.setup.legs:
                self._by_leg[event.leg] = call.arrival.channel
            self.usage.dialed(call, event.leg)
        if isinstance(event, LegEnded):
            self._by_leg.pop(event.leg, None)
        if isinstance(event, LegLives) and call.setup and (peer := call.setup.legs.get(event.leg)):
            self.usage.acknowledged(call, peer, now)
        if isinstance(event, Answered) and call.leg:
            self._by_leg[call.leg] = call.arrival.channel
        if call.finished:
            self._forget(call)
        return [*before, *effects]

    def _call(self, known: CallId, arrival: Arrived, began: float) -> Call:
        return Call(
            known, arrival, began, self.ring_seconds, self.control, self.rescue, self.rescue_music
        )

    def _waiting_for(self, arrived: Arrived, now: float, view: View) -> Call | None:
        """For whose other half does a peer call again, after one of the two has lost the other?"""
        bill = read(arrived.note) if arrived.peer else None
        if bill is None or bill.attempt < 2:
            return None
        if (arrived.peer, bill.call, bill.attempt) in self._given_up:
            return None
        mine = self._by_key.get(parent(bill.call))  # it is our call, or theirs
        calls = [self._calls[mine]] if mine else self._parts_of(bill.call)
        return next(
            (c for c in calls if rescuing.is_called_again(c, arrived, bill, now, view)), None
        )

    def _overtaken(self, arrived: Arrived, now: float, view: View) -> list[Effect]:
        """A peer tries again: what it had tried before of this call is over, though its word of that was lost."""
        bill, peer = read(arrived.note) if arrived.peer else None, arrived.peer
        if bill is None or peer is None or bill.attempt < 2:
            return []
        effects: list[Effect] = []
        for call in [c for c in self._parts_of(bill.call) if c.is_try_before(peer, bill)]:
            effects += self._told(call, PeerGaveUp(peer, call.id, bill.attempt), now, view)
        return effects

    def _has_hung_up(self, arrived: Arrived, view: View) -> list[Effect]:
        """A peer calls again for somebody who has hung up: he is not rung."""
        bill = read(arrived.note) if arrived.peer else None
        if bill is None or arrived.peer is None:
            return []
        for call in (CallId(bill.call), CallId(parent(bill.call))):
            attempt = self._hung_up.get((arrived.peer, call))
            if attempt is not None:
                told = view.tell(arrived.peer, CallOver(call, attempt))
                return [HangUp(arrived.channel, NORMAL), *told]
        return []

    def _leaves(self, half: Half, view: View, *, waited: bool) -> list[Effect]:
        """Who is here has hung up: his peer is told, if he has waited; else it is by the trunk."""
        self._hung_up[half.node, half.call] = half.attempt
        while len(self._hung_up) > REMEMBERED:
            self._hung_up.pop(next(iter(self._hung_up)))
        return list(view.tell(half.node, CallOver(half.call, half.attempt))) if waited else []

    def _leave(self, channel: ChannelId, now: float, view: View) -> list[Effect]:
        """A transfer has taken a caller out of his call, which ends without him; or a leg, and it ends with its caller."""
        call = self._calls.get(channel)
        if call is not None:
            call.leg_lives = False  # whatever becomes of it, it is not his
            effects = transitions.handle(call, Ended(channel), now, view, self.lines(now, view))
            self._forget(call)
            return effects
        call = self._calls.get(self._by_leg.get(channel, ChannelId("")))
        if call is None:
            return []
        effects = transitions.handle(
            call, LegEnded(channel, NORMAL), now, view, self.lines(now, view)
        )
        self.usage.count(call)
        if call.finished:
            self._forget(call)
        return effects

    def _call_of(self, event: CallersEvent) -> Call | None:
        """The call that an event concerns: by the name of our own leg or bridge, or by the caller's channel."""
        match event:
            case CameIn(bridge=name) | WentOut(bridge=name):
                return self._calls.get(self._by_key.get(key_of_name(name), ChannelId("")))
            case FarEndDied(channel=channel) | HungUp(channel=channel):
                mine = self._by_key.get(key_of_name(channel))
                return self._calls.get(mine or self._put.get(channel, channel))
            case Arrived(channel=channel) | Returned(channel=channel) | Ended(channel=channel):
                return self._calls.get(self._put.get(channel, channel))
        mine = self._by_key.get(key_of_name(event.leg)) or self._by_leg.get(event.leg)
        channel = ChannelId("") if isinstance(event, LegEntered | LegEnded) else event.channel
        return self._calls.get(mine or channel)

    def _keep(self, call: Call) -> None:
        if (former := self._calls.get(call.arrival.channel)) is not None:
            self._forget(former)
        self.usage.count(call)
        self._calls[call.arrival.channel] = call
        self._by_key[call.key] = call.arrival.channel
        self._by_id.setdefault(call.id, []).append(call.arrival.channel)
        self.notebook.name(call)

    def _parts_of(self, call: str) -> list[Call]:
        """The calls of this id that are here."""
        return [self._calls[channel] for channel in self._by_id.get(call, ())]

    def _forget(self, call: Call) -> None:
        self.notebook.forget(call)
        if self._calls.pop(call.arrival.channel, None) is not None:
            self._by_id[call.id].remove(call.arrival.channel)
            if not self._by_id[call.id]:
                del self._by_id[call.id]
        self._in_setup.pop(call.arrival.channel, None)
        self._due.pop(call.arrival.channel, None)
        self._goes_to(call.arrival.channel, "")
        for leg in (call.leg, *(call.setup.legs if call.setup else ())):
            self._by_leg.pop(leg, None)
        self.usage.forget(call.arrival.channel)
        for channel in [c for c, caller in self._put.items() if caller == call.arrival.channel]:
            del self._put[channel]
        if self._by_key.get(call.key) == call.arrival.channel:
            del self._by_key[call.key]

    def _ours(self, channel: ChannelId) -> bool:
        """Is it known to stand in our application? It is at home there in a queue and in bridge mode."""
        if channel in self._ending or self._put.get(channel) in self._calls:
            return True
        call = self._calls.get(channel)
        if call is None or call.caller_gone:
            return False
        bridged = call.phase in (Phase.DIALING, Phase.TALKING) and call.bridged is not None
        return bridged or call.phase in (Phase.HELD, Phase.WAITING, Phase.RESCUING, Phase.OVER)

    def _told(self, call: Call, event: Input, now: float, view: View) -> list[Effect]:
        """What it means to this call; the tries that begin are counted, and who is in setup is known."""
        stood = call.phase, call.tries
        effects = transitions.handle(call, event, now, view, self.lines(now, view, call))
        self.usage.count(call)
        if stood != (call.phase, call.tries):
            self.notebook.changed(call)
        effects += self.usage.learned(call, now)
        if any(isinstance(effect, HandOver | MakeBridge) for effect in effects):
            self.usage.began(call, now)
        self._goes_to(call.arrival.channel, call.room)
        if call.phase in (Phase.HELD, Phase.WAITING, Phase.DIALING, Phase.RESCUING):
            self._in_setup[call.arrival.channel] = call
        else:
            self._in_setup.pop(call.arrival.channel, None)
        self._note_deadline(call)
        return effects

    def _goes_to(self, channel: ChannelId, room: str) -> None:
        if self._rooms.get(channel, "") != room:
            self._moved = True
            self._rooms[channel] = room
            if not room:
                del self._rooms[channel]

    def _note_deadline(self, call: Call) -> None:
        channel, due = call.arrival.channel, call.next_deadline()
        if due == NEVER or channel not in self._in_setup:
            self._due.pop(channel, None)
        elif self._due.get(channel) != due:
            self._due[channel] = due
            heappush(self._agenda, (due, channel))

    # --- peers

    def _peer_has(self, event: PeerHasCall, now: float, view: View) -> list[Effect]:
        """Our try is there; if we have given it up meanwhile it must be told so.

        One that we do not know may be ours yet, as long as a boot has not read the channels.
        """
        channel = self._by_key.get(event.call)  # of a call of our own it is the id alone
        call = self._calls.get(channel) if channel else None
        if call is not None and call.expects(event.attempt, event.peer):
            call.heard(event.attempt, event.peer, event.sent_to)
            self._note_deadline(call)
            self.usage.acknowledged(call, event.peer, now)
            return [*self.usage.learned(call, now)]
        if call is None and not self._listed:
            return []
        return list(view.tell(event.peer, CallOver(event.call, event.attempt)))

    def _peer_gave_up(self, event: PeerGaveUp, now: float, view: View) -> list[Effect]:
        """Whether its call is here already, or still on its way."""
        self._given_up[event.peer, event.call, event.attempt] = None
        while len(self._given_up) > REMEMBERED:
            self._given_up.pop(next(iter(self._given_up)))
        effects: list[Effect] = []
        for call in [call for call in self._in_setup.values() if rescuing.ends_by(call, event)]:
            effects += self._told(call, event, now, view)
            if call.finished:
                self._forget(call)
        return effects

    def _peer_lost(self, event: PeerLostCalls, now: float, view: View) -> list[Effect]:
        """Whatever is in setup, whoever began it, and who talks."""
        talking = [c for c in self._calls.values() if c.phase is Phase.TALKING]
        calls = [*self._in_setup.values(), *talking]
        return [effect for call in calls for effect in self._told(call, event, now, view)]

    def _was_given_up(self, call: Call) -> bool:
        bill, peer = call.bill, call.arrival.peer
        return bill is not None and (peer, bill.call, bill.attempt) in self._given_up

    def _drain_over(self, event: DrainOver, view: View) -> list[Effect]:
        """The node is to be restarted, and calls are left: they are told, or ended. Who has called for help is left alone."""
        left = [call for call in self._calls.values() if call.phase is not Phase.OVER]
        ended = [call for call in left if event.end and not _urgent(call, view)]
        counts = (("calls_left", len(left)), ("ended", len(ended)), ("phones_left", event.phones))
        missed = len(left) > len(ended) or event.phones > 0
        told = Note("drain deadline", counts, "warning" if missed else "info")
        return [told, *(effect for call in ended for effect in call.clear())]

    # --- helpers

    def lines(self, now: float, view: View, asks: Call | None = None) -> Usage:
        """What goes on here, for the limits of the call that asks."""
        return self.usage.at(view, now, asks)

    def _stranger(self, event: CallersEvent, now: float) -> list[Effect]:
        """A call of before a restart: if it comes back from Dial its try has failed, and its tries are forgotten."""
        match event:
            case Ended(channel, cause):
                wall_ms, then = self._wall
                return [*self.notebook.ended(channel, wall_ms + round((now - then) * 1_000), cause)]
            case Returned(channel, _, cause):
                return [HangUp(channel, cause or NORMAL)]
            case LegEntered(leg):
                return [HangUp(leg, NORMAL)]  # its call has ended while it was made
            case _:
                return []

    def _reconcile(self, listed: ChannelsListed, now: float, view: View) -> list[Effect]:
        """What happened while we could not see: calls and legs that ended, and bridges of before a restart."""
        effects: list[Effect] = []
        self._listed, self._wall = True, (listed.wall_ms, now)
        self.usage.listed(listed.channels, now)
        self._by_leg = {leg: c for leg, c in self._by_leg.items() if leg in listed.channels}
        for call in list(self._calls.values()):
            here = [] if call.caller_gone else [call.arrival.channel]
            put = [c for c, caller in self._put.items() if caller == call.arrival.channel]
            for channel in (*here, *put):
                if channel not in listed.channels:
                    effects += self._told(call, Ended(channel), now, view)
            legs = call.bridged.ours if call.bridged else [call.leg] if call.leg_lives else []
            for leg in legs if not call.finished else []:
                if leg not in listed.channels:
                    effects += self._told(call, LegEnded(leg, UNTOLD), now, view)
            if call.finished:
                self._forget(call)
            elif call.phase is Phase.OVER:
                effects.append(HangUp(call.arrival.channel, call.cause or NORMAL))
        ours = {call.bridged.bridge for call in self._calls.values() if call.bridged}
        kept: set[ChannelId] = set()
        for seen in listed.bridges:
            if seen.name not in ours:
                effects += self._found(seen, now, listed.wall_ms)
            kept |= set(seen.channels)
        known = {leg for call in self._calls.values() if call.bridged for leg in call.bridged.ours}
        stray = {c for c in listed.channels if key_of_name(c)} - known - kept
        effects += [HangUp(one, NORMAL) for one in sorted(stray | listed.replaced)]
        self._ending = {effect.channel for effect in effects if isinstance(effect, HangUp)}
        left = listed.channels - self._ending
        return [*effects, *self.notebook.listed(left, listed.wall_ms)]

    def _found(self, seen: BridgeSeen, now: float, wall_ms: int) -> list[Effect]:
        """A bridge that an earlier life of ours has made: a conversation is kept, all else ends, but for who arrives anew."""
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
            self._put.update(dict.fromkeys(seen.put, caller))
            arrival = came.get(caller) or Arrived(caller, "", "", "", wall_ms=wall_ms)
            bill = read(arrival.note) if arrival.peer else None
            known = CallId(bill.call if bill else key)
            arrival = replace(arrival, fresh_id=key.removeprefix(f"{known}."))
            call = self._of_before(known, arrival, now, wall_ms)
            returning.adopt(call, leg, seen, now, wall_ms)
            self._keep(call)
            half_answered = caller in others and caller in came and not seen.answered_ms
            return [Indicate(caller, "answer")] if half_answered else []
        waiting = [] if seen.talks else callers if legs else [*came]
        ends = [channel for channel in [*legs, *callers] if channel not in waiting]
        return [
            *(HangUp(channel, NORMAL) for channel in ends),
            EndBridge(ChannelId(seen.name), seen.name),
        ]

    def _handed_over(self, event: RingFound | TalkFound, now: float) -> list[Effect]:
        """A call that was handed over by an earlier life of ours: if it talks it needs nothing of us but its record."""
        channel, bill = event.arrived.channel, read(event.note)
        call = self._calls.get(channel)
        if bill is None or (call is not None and not call.forgotten):
            return []
        if call is None:
            arrival = replace(event.arrived, fresh_id=part_of(channel))
            call = self._of_before(CallId(bill.call), arrival, now, event.wall_ms)
            self._keep(call)
        self.notebook.changed(call)
        if isinstance(event, TalkFound):
            returning.found(call, event, bill.attempt, now)
            self._in_setup.pop(channel, None)
        else:
            returning.found_ringing(call, bill.attempt, now)
            self._in_setup[channel] = call
        self.usage.count(call)
        return []

    def _of_before(self, known: CallId, arrival: Arrived, now: float, wall_ms: int) -> Call:
        began = now - (wall_ms - arrival.wall_ms) / 1_000
        return self._call(known, arrival, began)


def _urgent(call: Call, view: View) -> bool:
    """Has somebody called for help?"""
    numbers = {call.arrival.number, str(call.route.number)}
    return any(outside.is_emergency(number, number, view) for number in numbers)
