"""What goes on at this node, counted for the limits that configuration sets.

Counted as each call changes, not when somebody asks: a call pays for what it needs to know, not for all other calls.

Who has called the outside may transfer it and hang up: his call is over, but he goes on paying for as long as its leg lives.
"""

from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from pbxfed_ari.core.calls.call import SETTING_UP, Call, Phase
from pbxfed_ari.core.calls.detours import Detours
from pbxfed_ari.core.effects import Leg, Note, Outside
from pbxfed_ari.core.names import CallId, ChannelId, NodeName
from pbxfed_ari.core.routing.tries import OUTCOMES, View

HOUR = 3_600.0
LIVE = (Phase.DIALING, Phase.TALKING, Phase.RESCUING)  # phases in which somebody is busy with it
A_SECOND = 20  # calls that come within one, above which no call more is bridged
AT_ONCE = 200  # bridged calls
LATE, CALM = 0.1, 5.0  # seconds: a loop that was so late makes no bridges for so long
SLOW = 0.3  # seconds: nor does an Asterisk that has needed so long for an answer
SLOWEST = 10.0  # seconds that a slow try is remembered, unless there is a slower one
AGAIN = 0.5  # seconds without bridges after Asterisk is heard anew: whoever has waited for that comes at once
Fact = tuple[str, ...]  # what counts of a call
BRIDGED: Fact = ("bridged",)
NOBODY = frozenset[str]()
HERE = ""  # this node, among those that carry calls to the outside


@dataclass(frozen=True, slots=True)
class _Way:
    """A leg to the outside that Dial has begun: who called it, and pays."""

    call: CallId
    payer: str
    line: str  # the PSTN trunk of this node; "" of a peer's


@dataclass(slots=True)
class _Counted:
    """A call, and what was counted of it."""

    place: int  # calls that had come before it to where it goes
    number: str  # where that is: who is sent on to a queue stands behind who waits there
    state: tuple[object, ...] = ()  # from which that follows
    facts: frozenset[Fact] = frozenset()
    peers: frozenset[NodeName] = frozenset()
    waits: str = ""  # in this queue
    queue: str = ""  # the same, or members of it are rung for him


class Usage:
    """The calls of this node. Satisfies `tries.Lines`."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}  # when a number was last rung from here
        self._in_vain: dict[str, float] = {}  # when that was last over, and the call went on
        self._outside: dict[str, dict[CallId, float]] = {}  # the calls it paid for lately, and when
        self._ways: dict[ChannelId, _Way] = {}  # legs to the outside that live
        self._heard: dict[tuple[NodeName, str], float] = {}  # peers, by their trunks, and when
        self._needed: dict[
            tuple[NodeName, str], tuple[float, float]
        ] = {}  # by the slowest, and when
        self.detours = Detours()
        self._arrivals: deque[float] = deque(maxlen=A_SECOND + 1)  # when the last ones came
        self._hurried = 0.0  # until when
        self._no_bridges = 0.0  # the same, for other reasons
        self._calls: dict[ChannelId, _Counted] = {}
        self._places = count()
        self._facts: dict[Fact, set[ChannelId]] = {}  # of which calls each is true
        self._peers: Counter[frozenset[NodeName]] = Counter()  # with whom calls go on
        self._waiting: dict[str, list[int]] = {}  # in each queue, by their places
        self._view: View | None = None
        self._asks: Call | None = None
        self._now = 0.0

    def __repr__(self) -> str:
        return f"Usage({len(self._last)} rung, {len(self._outside)} paid)"

    def at(self, view: View, now: float, asks: Call | None = None) -> "Usage":
        """The same, as of now, for this call that asks: what it has begun already is no call more of the hour."""
        self._view, self._now, self._asks = view, now, asks
        return self

    def count(self, call: Call) -> None:
        """It is here, and may have changed."""
        channel = call.arrival.channel
        known = self._calls.get(channel)
        if known is None:
            known = self._calls[channel] = _Counted(next(self._places), call.route.number)
        queue, payer, number, legs = call.queue, call.payer, call.route.number, call.legs
        bridged = call.bridged is not None
        freed = call.setup.freed() if call.setup and call.phase is Phase.DIALING else NOBODY
        state = (call.phase, legs, call.caller_gone, queue, payer, number, bridged, freed)
        if state != known.state:
            known.state = state
            facts = frozenset(_facts(call, legs, freed))
            if call.phase in SETTING_UP or (known.queue and _has_failed(call)):
                ceased = known.facts - facts
                self._in_vain.update((fact[1], self._now) for fact in ceased if fact[0] == "rings")
            waits = queue if call.phase is Phase.WAITING else ""
            place = known.place if number == known.number else next(self._places)
            known.number, known.queue = number, queue
            self._change(channel, known, facts, _peers(call, legs), waits, place)

    def forget(self, channel: ChannelId) -> None:
        """This call is over."""
        known = self._calls.pop(channel, None)
        if known is not None:
            self._change(channel, known, frozenset(), frozenset(), "", known.place)

    def _change(
        self,
        channel: ChannelId,
        known: _Counted,
        facts: frozenset[Fact],
        peers: frozenset[NodeName],
        waits: str,
        place: int,
    ) -> None:
        if facts != known.facts:
            for fact in known.facts - facts:
                self._facts[fact].discard(channel)
                if not self._facts[fact]:
                    del self._facts[fact]
            for fact in facts - known.facts:
                self._facts.setdefault(fact, set()).add(channel)
        if peers != known.peers:
            for with_whom, more in ((known.peers, -1), (peers, 1)):
                self._peers[with_whom] += more
                if not self._peers[with_whom]:
                    del self._peers[with_whom]
        if (waits, place) != (known.waits, known.place):
            if known.waits:
                line = self._waiting[known.waits]
                del line[bisect_left(line, known.place)]
                if not line:
                    del self._waiting[known.waits]
            if waits:
                insort(self._waiting.setdefault(waits, []), place)
        known.facts, known.peers, known.waits, known.place = facts, peers, waits, place

    def _number_of(self, *fact: str, others: bool = False) -> int:
        """Of how many calls this is true; of how many `others` than the one that asks."""
        found = self._facts.get(fact, ())
        own = others and self._asks is not None and self._asks.arrival.channel in found
        return len(found) - own

    def began(self, call: Call, now: float) -> None:
        """A try of this call has begun."""
        for leg in call.legs:
            if self.detours and isinstance(leg, Leg) and leg.peer:
                self.detours.tries(leg.peer, leg.trunk, now)
            if isinstance(leg, Leg) and not leg.line:
                self._last[leg.number or call.route.number] = now
            else:
                self._lately(call.payer, now).setdefault(call.id, now)  # once for all tries

    def dialed(self, call: Call, leg: ChannelId) -> None:
        """Dial has begun this leg of the call."""
        if _leaves(call):
            lines = [one.line for one in call.legs if isinstance(one, Outside)]
            self._ways[leg] = _Way(call.id, call.payer, "".join(lines[:1]))

    def gone(self, leg: ChannelId) -> None:
        """This channel is no more."""
        self._ways.pop(leg, None)

    def listed(self, channels: frozenset[ChannelId], now: float) -> None:
        """These are all channels that there are: everything is read anew."""
        self._no_bridges = max(self._no_bridges, now + AGAIN)
        self._ways = {leg: way for leg, way in self._ways.items() if leg in channels}

    def arrived(self, now: float) -> None:
        """A call has come."""
        self._arrivals.append(now)

    def acknowledged(self, call: Call, peer: NodeName, now: float) -> None:
        """A peer has said that our try is there, or has let it ring."""
        for leg in call.legs:
            if isinstance(leg, Leg) and leg.peer == peer:
                self._heard[peer, leg.trunk] = now

    def learned(self, call: Call, now: float) -> list[Note]:
        """Who has just shown life: what does it tell of the trunks to him? Who has shown none when somebody answers?"""
        setup = call.setup
        if setup is None or not (setup.fresh or setup.overdue):
            return []
        fresh, setup.fresh = setup.fresh, []
        quiet = setup.silent if call.phase is Phase.TALKING else set()
        notes: list[Note] = []
        for leg in setup.attempt.legs:
            if not isinstance(leg, Leg) or leg.peer is None:
                continue
            if leg.peer in fresh:
                self._showed_life(leg.peer, leg.trunk, now - setup.called(leg.peer), now)
            if leg.peer in quiet:
                self.detours.silent(leg.peer, leg.trunk, now)
            elif leg.peer in fresh:
                silent = call.silent_by.pop(leg.peer, leg.trunk)
                if silent != leg.trunk:
                    notes += self.detours.found(leg.peer, silent, leg.trunk, now)
                notes += self.detours.lives(leg.peer, leg.trunk)
        setup.overdue -= quiet
        return notes

    def lag(self, now: float, late: float) -> None:
        """Our own loop was late by so many seconds."""
        if late > LATE:
            self._hurried = now + CALM

    def slow(self, now: float, seconds: float) -> None:
        """ARI has needed so long for an answer."""
        if seconds >= SLOW:
            self._no_bridges = now + CALM

    def may_bridge(self) -> bool:
        """Bridge mode costs half as much again as handover, and collapses where that does not (docs/decisions/0006)."""
        crowd = len(self._arrivals) > A_SECOND and self._arrivals[0] > self._now - 1.0
        busy = crowd or self.hurried() or self._now < self._no_bridges
        return not busy and self._number_of(*BRIDGED) < AT_ONCE

    def hurried(self) -> bool:
        """Was our own loop late a moment ago?"""
        return self._now < self._hurried

    def heard(self, peer: NodeName, trunk: str) -> float:
        """When this peer last said that a try by such a trunk is there."""
        return self._heard.get((peer, trunk), 0.0)

    def needed(self, peer: NodeName, trunk: str) -> float:
        """How long tries by such a trunk were without a sign of life lately: seconds of the slowest."""
        slowest, since = self._needed.get((peer, trunk), (0.0, 0.0))
        return slowest if self._now <= since + SLOWEST else 0.0

    def trunks(self, node: NodeName, view: View) -> Sequence[str]:
        """How to call a node now, best first."""
        return self.detours.order(node, view.trunks(node), self._now)

    def _showed_life(self, peer: NodeName, trunk: str, after: float, now: float) -> None:
        slowest, since = self._needed.get((peer, trunk), (0.0, 0.0))
        if after >= slowest or now > since + SLOWEST:
            self._needed[peer, trunk] = after, now

    def _lately(self, payer: str, now: float) -> dict[CallId, float]:
        """The calls to the outside that a number paid for within the last hour."""
        paid = self._outside.setdefault(payer, {})
        while paid and paid[oldest := next(iter(paid))] < now - HOUR:
            del paid[oldest]
        return paid

    # --- counting

    def calls_of(self, number: str) -> int:
        """Calls that a number has at this node, made or received."""
        return self._number_of("of", number)

    def engaged(self, number: str) -> bool:
        """Does a call of this node, but for the one that asks, ring a number or talk with it?"""
        return self._number_of("rings", number, others=True) > 0

    def ahead(self, queue: str) -> bool:
        """Does somebody wait in this queue here who came before the one that asks?"""
        first, asks = self._waiting.get(queue, [])[:1], self._asks
        known = self._calls.get(asks.arrival.channel) if asks is not None else None
        if asks is None or known is None or known.number != asks.route.number:
            return bool(first)  # he comes just now
        return bool(first) and first[0] < known.place

    def last_call(self, number: str) -> float:
        """When this node last sent a call to a number; 0 if never."""
        return self._last.get(number, 0.0)

    def in_vain(self, number: str) -> float:
        """When a number that had not answered was last rung from here; now, if by the call that asks."""
        rings = self._facts.get(("rings", number), ())
        own = self._asks is not None and self._asks.arrival.channel in rings
        return self._now if own else self._in_vain.get(number, 0.0)

    def outside_of(self, number: str) -> tuple[int, int]:
        """Calls to the outside that a number pays for: at once, and begun within the last hour."""
        at_once = self._number_of("pays", number)
        at_once += sum(way.payer == number for way in self._left())
        lately = self._lately(number, self._now)
        return at_once, len(lately) - (self._asks is not None and self._asks.id in lately)

    def on_line(self, line: str) -> int:
        """Calls that use a PSTN trunk of this node."""
        return self._number_of("line", line) + sum(way.line == line for way in self._left())

    def sent(self, line: str) -> dict[str, int]:
        """This node's calls by a PSTN trunk, by the living nodes that carry them."""
        assert self._view is not None, "who counts has looked at calls"
        me, found = self._view.me, dict[str, int]()
        for node in self._view.nodes():
            calls = self._number_of("sent", line, HERE if node == me else node, others=True)
            found |= {node: calls} if calls else {}
        return found

    def _left(self) -> Iterator[_Way]:
        """Legs to the outside that live on, while the call that began them is over."""
        return (way for way in self._ways.values() if ("leaves", way.call) not in self._facts)

    def between(self, site: str) -> int:
        """Calls between this node and nodes of another site; of all other sites for ""."""
        assert self._view is not None, "who counts has looked at calls"
        ours, found = self._view.site(self._view.me), 0
        for peers, calls in self._peers.items():
            sites = {self._view.site(peer) for peer in peers} - {ours}
            found += calls if (site in sites if site else sites) else 0
        return found


def _facts(call: Call, legs: Sequence[Leg | Outside], freed: Collection[str]) -> Iterator[Fact]:
    """What is true of it, and of its legs; `freed` of its phones ring no more."""
    if call.bridged is not None:
        yield BRIDGED
    ours, live = call.arrival.peer is None, call.phase in LIVE
    if live and ours and not call.caller_gone:
        yield "of", call.arrival.endpoint
        if not (
            call.arrival.by or call.listens
        ):  # they count where their phones are, in their calls
            yield "of", call.arrival.caller
    if live and not call.caller_gone:
        yield "rings", call.arrival.endpoint
    inside = [leg for leg in legs if isinstance(leg, Leg)]
    rung = [leg for leg in inside if not leg.line]
    # of several at one peer nobody knows who has answered
    known = call.phase is not Phase.TALKING or len({leg.number for leg in rung}) < 2
    for leg in inside:
        number = leg.number or call.route.number
        if live and leg.peer is None and number not in freed:
            yield "of", number
        if live and known and not leg.line:
            yield "rings", number
    for out in legs:
        if type(out) is Outside or out.line:
            yield "leaves", call.id
            yield "pays", call.payer
            if type(out) is Outside:
                yield "line", out.line
            if ours:
                yield "sent", out.line, (isinstance(out, Leg) and out.peer) or HERE


def _has_failed(call: Call) -> bool:
    """Was its last try in vain, and not because its caller had gone?"""
    return bool(call.history) and call.history[-1].outcome in OUTCOMES.values()


def _peers(call: Call, legs: Sequence[Leg | Outside]) -> frozenset[NodeName]:
    """With which nodes it goes on."""
    if call.phase not in LIVE:
        return frozenset()
    peers = [call.arrival.peer, *(leg.peer for leg in legs if isinstance(leg, Leg))]
    return frozenset(peer for peer in peers if peer is not None)


def _leaves(call: Call) -> bool:
    return any(type(leg) is Outside or leg.line for leg in call.legs)
