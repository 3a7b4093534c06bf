"""What goes on at this node, counted for the limits that configuration sets. Counted over the calls there are, when asked.

Who has called the outside may transfer it and hang up: his call is over, but he goes on paying for as long as its leg lives.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pbxfed_ari.core.call import Call, Phase
from pbxfed_ari.core.effects import Leg, Outside
from pbxfed_ari.core.names import CallId, ChannelId, NodeName
from pbxfed_ari.core.tries import View

HOUR = 3_600.0
LIVE = (Phase.DIALING, Phase.TALKING, Phase.RESCUING)  # phases in which somebody is busy with it
A_SECOND = 20  # calls that come within one, above which no call more is bridged
AT_ONCE = 200  # bridged calls
LATE, CALM = 0.1, 5.0  # seconds: a loop that was so late makes no bridges for so long
SLOW = 0.3  # seconds: nor does an Asterisk that has needed so long for an answer
AGAIN = 0.5  # seconds without bridges after Asterisk is heard anew: whoever has waited for that comes at once


@dataclass(frozen=True, slots=True)
class _Way:
    """A leg to the outside that Dial has begun: who called it, and pays."""

    call: CallId
    payer: str
    line: str  # the PSTN trunk of this node; "" of a peer's


class Usage:
    """The calls of this node. Satisfies `tries.Lines`."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}  # when a number was last rung from here
        self._outside: dict[str, dict[CallId, float]] = {}  # the calls it paid for lately, and when
        self._ways: dict[ChannelId, _Way] = {}  # legs to the outside that live
        self._heard: dict[tuple[NodeName, str], float] = {}  # peers, by their trunks, and when
        self._arrivals: deque[float] = deque(maxlen=A_SECOND + 1)  # when the last ones came
        self._hurried = 0.0  # until when
        self._no_bridges = 0.0  # the same, for other reasons
        self._calls: Iterable[Call] = ()
        self._view: View | None = None
        self._asks: CallId | None = None
        self._now = 0.0

    def __repr__(self) -> str:
        return f"Usage({len(self._last)} rung, {len(self._outside)} paid)"

    def at(
        self, calls: Iterable[Call], view: View, now: float, asks: CallId | None = None
    ) -> "Usage":
        """The same, as of now, for this call that asks: what it has begun already is no call more of the hour."""
        self._calls, self._view, self._now, self._asks = calls, view, now, asks
        return self

    def began(self, call: Call, now: float) -> None:
        """A try of this call has begun."""
        for leg in call.legs:
            if isinstance(leg, Outside) or leg.line:
                self._lately(call.asking.payer, now).setdefault(call.id, now)  # once for all tries
            else:
                self._last[leg.number or call.route.number] = now

    def dialed(self, call: Call, leg: ChannelId) -> None:
        """Dial has begun this leg of the call."""
        if _leaves(call):
            lines = [one.line for one in call.legs if isinstance(one, Outside)]
            self._ways[leg] = _Way(call.id, call.asking.payer, "".join(lines[:1]))

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
        """A peer has said that our try is there."""
        for leg in call.legs:
            if isinstance(leg, Leg) and leg.peer == peer:
                self._heard[peer, leg.trunk] = now

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
        return not busy and sum(1 for c in self._calls if c.bridged) < AT_ONCE

    def hurried(self) -> bool:
        """Was our own loop late a moment ago?"""
        return self._now < self._hurried

    def heard(self, peer: NodeName, trunk: str) -> float:
        """When this peer last said that a try by such a trunk is there."""
        return self._heard.get((peer, trunk), 0.0)

    def _lately(self, payer: str, now: float) -> dict[CallId, float]:
        """The calls to the outside that a number paid for within the last hour."""
        paid = self._outside.setdefault(payer, {})
        while paid and paid[oldest := next(iter(paid))] < now - HOUR:
            del paid[oldest]
        return paid

    # --- counting

    def calls_of(self, number: str) -> int:
        """Calls that a number has at this node, made or received."""
        return sum(1 for call in self._calls if _involves(call, number))

    def engaged(self, number: str) -> bool:
        """Does a call of this node, but for the one that asks, ring a number or talk with it?"""
        return any(_rings(call, number) for call in self._calls if call.id != self._asks)

    def ahead(self, queue: str) -> bool:
        """Does somebody wait in this queue here who came before the one that asks?"""
        for call in self._calls:
            if call.id == self._asks:
                return False
            if call.queue == queue and call.phase is Phase.WAITING:
                return True
        return False

    def last_call(self, number: str) -> float:
        """When this node last sent a call to a number; 0 if never."""
        return self._last.get(number, 0.0)

    def outside_of(self, number: str) -> tuple[int, int]:
        """Calls to the outside that a number pays for: at once, and begun within the last hour."""
        at_once = sum(1 for c in self._calls if c.asking.payer == number and _leaves(c))
        at_once += sum(way.payer == number for way in self._left())
        lately = self._lately(number, self._now)
        return at_once, len(lately) - (self._asks in lately)

    def on_line(self, line: str) -> int:
        """Calls that use a PSTN trunk of this node."""
        return sum(
            any(isinstance(leg, Outside) and leg.line == line for leg in call.legs)
            for call in self._calls
        ) + sum(way.line == line for way in self._left())

    def sent(self, line: str) -> dict[str, int]:
        """This node's calls by a PSTN trunk, by the nodes that carry them."""
        assert self._view is not None, "who counts has looked at calls"
        found: Counter[str] = Counter()
        for call in self._calls:
            for leg in call.legs if call.arrival.peer is None and call.id != self._asks else ():
                if leg.line == line:
                    peer = leg.peer if isinstance(leg, Leg) else None
                    found[peer or self._view.me] += 1
        return found

    def _left(self) -> Iterator[_Way]:
        """Legs to the outside that live on, while the call that began them is over."""
        going_on = {call.id for call in self._calls if _leaves(call)}
        return (way for way in self._ways.values() if way.call not in going_on)

    def between(self, site: str) -> int:
        """Calls between this node and nodes of another site; of all other sites for ""."""
        return sum(1 for call in self._calls if self._crosses(call, site))

    def _crosses(self, call: Call, site: str) -> bool:
        assert self._view is not None, "who counts has looked at calls"
        if call.phase not in LIVE:
            return False
        ours = self._view.site(self._view.me)
        peers = [call.arrival.peer, *(leg.peer for leg in call.legs if isinstance(leg, Leg))]
        sites = {self._view.site(peer) for peer in peers if peer is not None} - {ours}
        return site in sites if site else bool(sites)


def _rings(call: Call, number: str) -> bool:
    """Does it ring this number, on whatever node, or talk with it? Of several at one peer nobody knows who has answered."""
    if call.phase not in LIVE:
        return False
    if call.arrival.endpoint == number and not call.caller_gone:
        return True
    legs = [leg for leg in call.legs if isinstance(leg, Leg) and not leg.line]
    if call.phase is Phase.TALKING and len({leg.number for leg in legs}) > 1:
        return False
    return any((leg.number or call.route.number) == number for leg in legs)


def _involves(call: Call, number: str) -> bool:
    """Does a phone of ours with this number take part?"""
    if call.phase not in LIVE:
        return False
    ours = call.arrival.peer is None and not call.caller_gone
    made = ours and number in (call.arrival.endpoint, call.arrival.caller)
    here = (leg for leg in call.legs if isinstance(leg, Leg) and leg.peer is None)
    return made or any((leg.number or call.route.number) == number for leg in here)


def _leaves(call: Call) -> bool:
    return any(isinstance(leg, Outside) or leg.line for leg in call.legs)
