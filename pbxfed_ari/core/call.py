"""One call, from its arrival to its end.

A call is handed over to Asterisk's own Dial, which connects the legs; it comes back only if a try has failed. So the machine
is small, and a call that talks needs nothing of us. While it is set up it is watched (setup.py).

    state     event      next      what is done
    ───────────────────────────────────────────────────────────────────────────────────────
    NEW       arrived    DIALING   hand over the first try; without one go onward, or hang up with the route's cause
                         HELD      a peer's call that may have been given up: ask its sender
                         OVER      a peer's call that was given up: hang up, no phone rings
    HELD      ticked     DIALING   nothing was said against it: as if it had arrived now
    DIALING   ticked     DIALING   no sign of life in time: abandon the legs; they come back as a way that failed
    HELD, DIALING  given up  OVER  its sender has given it up: hang up
    DIALING   returned   DIALING   the way failed: hand over the next try; when the list is used up ask the directory once
                                   more, and if it knows nothing new go onward (unreachable), or hang up
                                   the phone was not there, or did not want to (480 before its time is up): ask the
                                   directory at once; only a node that was not tried is worth another try
                                   busy, or it rang out: in a hunt the next try; else go onward (busy, no answer), or hang up
                         OVER      the caller gave up: hang up
    DIALING   answered   TALKING   nothing
    any       ended      OVER      keep the record; in bridge mode end the legs
    DIALING, TALKING  news of a leg    in bridge mode bridging.py's table; when all legs are gone it comes back as `returned`
    TALKING   returned   OVER      the callee has gone, the caller is ours again: hang up

To go onward is to ask for the way of the number to which the one that found nobody forwards, and to hand over its first try.
"""

from dataclasses import dataclass, field, replace
from enum import Enum

from pbxfed_ari.core import route as routes
from pbxfed_ari.core import setup, waybill
from pbxfed_ari.core.bridging import Bridged, adopt
from pbxfed_ari.core.effects import CallEnded, Effect, HandOver, HangUp, Lead, Leg, Note, Outside
from pbxfed_ari.core.events import Answered as AnsweredEvent
from pbxfed_ari.core.events import (
    Arrived,
    CallersEvent,
    Ended,
    LegDialed,
    LegEnded,
    LegEntered,
    LegLives,
    Returned,
)
from pbxfed_ari.core.names import CallId, ChannelId, Extension, NodeName
from pbxfed_ari.core.setup import HELD, NEVER, Setup
from pbxfed_ari.core.tries import (
    BUSY,
    BUSY_OUT,
    NORMAL,
    OUTCOMES,
    RANG_OUT,
    UNREACHABLE,
    Asking,
    Lines,
    Route,
    Try,
    View,
)
from pbxfed_ari.core.tries import NO_ANSWER as NOBODY
from pbxfed_ari.core.waybill import Waybill

FINAL = frozenset({"CANCEL", "ANSWER"})  # the caller has gone, or has talked
NO_ANSWER = "NOANSWER"  # it rang out, or a node answered 480 at once
NOWHERE = Route((), NORMAL, "", Extension(""))
Tried = tuple[str, tuple[Leg | Outside, ...], object]


class Phase(Enum):
    """Where a call stands."""

    NEW = "new"
    HELD = "held"
    DIALING = "dialing"
    TALKING = "talking"
    OVER = "over"


@dataclass(slots=True)
class Call:
    """A call that came in here."""

    id: CallId
    arrival: Arrived
    began: float
    ring_seconds: int
    control: str = "handover"  # as calls.control of the node says
    asking: Asking = field(init=False)
    bill: Waybill | None = field(init=False)  # of a peer's call
    setup: Setup | None = None  # of the try that is on its way
    held_until: float = NEVER
    bridged: Bridged | None = None  # in bridge mode: the legs are ours
    silent: set[NodeName] = field(default_factory=set)  # nodes that showed no sign of life
    phase: Phase = Phase.NEW
    route: Route = NOWHERE
    tried: list[Try] = field(default_factory=list)
    cause: int = NORMAL
    answered: float = 0.0
    tried_at: float = 0.0  # when the last try began
    done: set[Tried] = field(default_factory=set)  # legs, and whose they were
    reached: set[tuple[NodeName | None, str]] = field(
        default_factory=set
    )  # nodes that have spoken for a phone of theirs

    def __post_init__(self) -> None:
        arrival = self.arrival
        self.bill = waybill.read(arrival.note) if arrival.peer else None
        self.asking = Asking(
            arrival.number,
            "" if arrival.outside else arrival.endpoint or arrival.caller,
            arrival.peer,
            self.bill.line if self.bill else "",
            did=arrival.outside,
            outside=arrival.outside,
            seed=self.id,
            wall_ms=arrival.wall_ms,
        )

    @property
    def legs(self) -> tuple[Leg | Outside, ...]:
        """What rings now, or talks."""
        live = self.phase in (Phase.DIALING, Phase.TALKING)
        return self.tried[-1].legs if live and self.tried else ()

    @property
    def key(self) -> str:
        """The call, as the names of its bridge and legs hold it: of two tries of a peer that met here each has its own."""
        return f"{self.id}.{self.bill.attempt}" if self.bill else self.id

    def next_deadline(self) -> float:
        """When `tick` is due."""
        return min(self.held_until, self.setup.deadline if self.setup else NEVER)

    def tick(self, now: float, view: View, lines: Lines) -> list[Effect]:
        """Time has passed."""
        if self.phase is Phase.HELD and now >= self.held_until:
            return self._begin(now, view, lines)
        if self.phase is Phase.DIALING and self.setup is not None:
            return self.setup.tick(now, view, self.id)
        return []

    def heard(self, attempt: int) -> None:
        """A peer has got this try of ours."""
        if self.setup is not None and self.setup.number == attempt and self.phase is Phase.DIALING:
            self.setup.alive()

    def expects(self, attempt: int) -> bool:
        """Is this try of ours on its way, or did it connect?"""
        setup = self.setup
        return setup is not None and setup.number == attempt and not setup.abandoned

    def adopt(self, leg: ChannelId, now: float) -> None:
        """It was found talking, by a bridge of ours, after a restart."""
        self.phase, self.answered = Phase.TALKING, now
        self.bridged = adopt(self.id, self.arrival.channel, leg)

    def given_up(self) -> list[Effect]:
        """Its sender does not want it any more."""
        waits = self.phase in (Phase.HELD, Phase.DIALING)
        return self._give_up(NORMAL) if waits else []

    def handle(self, event: CallersEvent, now: float, view: View, lines: Lines) -> list[Effect]:
        """What the event means to this call."""
        match self.phase, event:
            case Phase.NEW, Arrived():
                return self._arrive(now, view, lines)
            case Phase.DIALING, LegDialed(_, leg, name):
                if self.setup is not None and self.bridged is None:
                    self.setup.dialed(leg, name)
                return []
            case (
                (Phase.DIALING | Phase.TALKING),
                (LegEntered() | LegLives() | LegEnded() | AnsweredEvent()),
            ):
                return self._leg(event, now, view, lines)
            case Phase.DIALING, Returned():
                return self._failed(event, now, view, lines)
            case Phase.TALKING, Returned():
                return self._give_up(NORMAL)
            case _, Ended():
                dialing = self.phase is Phase.DIALING and self.setup is not None
                over = self.setup.over(view, self.id) if dialing and self.setup else []
                self.phase = Phase.OVER
                legs = self.bridged.end() if self.bridged else []
                return [*legs, *over, self._record(now)]
            case _:
                return []

    def _arrive(self, now: float, view: View, lines: Lines) -> list[Effect]:
        """A peer's call is acknowledged, and looked at: is it still wanted?"""
        arrival = self.arrival
        if self.bill is None or arrival.peer is None:
            return self._begin(now, view, lines)
        told = setup.arrived(self.bill, arrival.peer, view)
        late = setup.lateness(self.bill, arrival.peer, arrival.wall_ms, view)
        if late == "late":
            self.route = replace(NOWHERE, reason="it came too late: its sender has given it up")
            return [*told, *self._give_up(NORMAL)]
        if late:
            self.phase, self.held_until = Phase.HELD, now + HELD
            return told
        return [*told, *self._begin(now, view, lines)]

    def _leg(
        self,
        event: LegEntered | LegLives | LegEnded | AnsweredEvent,
        now: float,
        view: View,
        lines: Lines,
    ) -> list[Effect]:
        """News of a leg, Dial's or our own."""
        if isinstance(event, LegLives) and self.setup is not None:
            self.setup.alive()
        if self.bridged is None:
            if isinstance(event, AnsweredEvent) and self.phase is Phase.DIALING:
                self.phase, self.answered = Phase.TALKING, now
            return []
        effects, outcome = self.bridged.handle(event)
        if isinstance(outcome, AnsweredEvent):
            self.phase, self.answered = Phase.TALKING, now
        elif outcome is not None:
            return [*effects, *self._failed(outcome, now, view, lines)]
        elif any(isinstance(effect, HangUp) for effect in effects):
            self.phase, self.cause = Phase.OVER, NORMAL
        return effects

    def _begin(self, now: float, view: View, lines: Lines) -> list[Effect]:
        self.held_until = NEVER
        self.route = routes.route(self.asking, view, lines)
        return self._next(now, view, lines)

    def _next(self, now: float, view: View, lines: Lines, outcome: str = "") -> list[Effect]:
        """The next try; without one the way onward after this outcome, which a route without tries says itself."""
        left = [attempt for attempt in self.route.tries if self._worth(attempt)]
        if left:
            return self._try(left[0], now, view, lines)
        if not self.route.tries:
            outcome = OUTCOMES.get(self.route.cause, "")
        return self._onward(outcome, now, view, lines)

    def _try(self, attempt: Try, now: float, view: View, lines: Lines) -> list[Effect]:
        self.phase, self.tried_at = Phase.DIALING, now
        self.tried.append(attempt)
        number = self.route.number
        self.done.add((number, attempt.legs, attempt.lead))
        told = (*self._names(), ("try", len(self.tried)), ("reason", attempt.reason))
        note = Note("call tried", told, log_only=True)
        self.setup = setup.begin(attempt, len(self.tried), now, view, self.silent)
        if attempt.lead is not None:
            place = attempt.lead
            return [Lead(self.arrival.channel, place.context, place.exten), note]
        line = next((leg.line for leg in attempt.legs if isinstance(leg, Leg) and leg.line), "")
        waits = self.setup.deadline - now
        until = (
            round(self.arrival.wall_ms + (now - self.began + waits) * 1_000) if waits < NEVER else 0
        )
        said = str(Waybill(self.id, len(self.tried), line, until if self.arrival.wall_ms else 0))
        seconds = attempt.ring_seconds or self.ring_seconds
        channel = self.arrival.channel
        if not self._bridges(lines):
            left = self.bridged.end() if self.bridged else []
            self.bridged = None
            return [*left, HandOver(channel, number, attempt.legs, said, seconds), note]
        self.bridged = Bridged(self.key, channel, seconds)
        made = self.bridged.begin(attempt, len(self.tried), number, said, view)
        self.setup.legs.update(self.bridged.peers())
        return [*made, note]

    def _bridges(self, lines: Lines) -> bool:
        """Bridge mode, as the called object or the node wants it, while this node has time for it."""
        return (self.route.control or self.control) == "bridge" and lines.may_bridge()

    def _onward(self, outcome: str, now: float, view: View, lines: Lines) -> list[Effect]:
        way = self.route.after(outcome)
        if way is None:
            return self._give_up(self.cause if self.route.tries else self.route.cause)
        self.asking = routes.forwarded(way, self.route.number, self.asking)
        self.route = routes.route(self.asking, view, lines).because(way.reason)
        self.reached.clear()
        return self._next(now, view, lines)

    def _worth(self, attempt: Try) -> bool:
        """Not tried yet, and not only at nodes that have spoken for their phone."""
        new = (self.route.number, attempt.legs, attempt.lead) not in self.done
        spoken = {_at(leg) for leg in attempt.legs} <= self.reached
        return new and not (attempt.legs and spoken)

    def _failed(self, event: Returned, now: float, view: View, lines: Lines) -> list[Effect]:
        self.cause = event.cause or self.cause
        if event.status in FINAL:
            return self._give_up(event.cause or NOBODY)
        last = self.tried[-1]
        seconds = last.ring_seconds or self.ring_seconds
        rang_out = event.status == NO_ANSWER and now - self.tried_at >= seconds - 1.0
        outcome = BUSY_OUT if event.status == "BUSY" else RANG_OUT if rang_out else UNREACHABLE
        self.cause = BUSY if outcome == BUSY_OUT else NOBODY if rang_out else self.cause
        if last.going_on:
            return self._next(now, view, lines, outcome)
        if outcome != UNREACHABLE:
            return self._onward(outcome, now, view, lines)
        silent = self.setup is not None and self.setup.abandoned
        if silent:
            self.silent |= {leg.peer for leg in last.legs if isinstance(leg, Leg) and leg.peer}
        if event.status == NO_ANSWER:
            self.reached |= {_at(leg) for leg in last.legs}
        if silent or event.status == NO_ANSWER or not any(self._worth(t) for t in self.route.tries):
            self._ask_again(view, lines)
        return self._next(now, view, lines, outcome)

    def _ask_again(self, view: View, lines: Lines) -> None:
        """What the directory says now; if that is nothing, what it said before stands."""
        found = routes.route(self.asking, view, lines)
        self.route = found if found.tries else replace(self.route, onward=found.onward)

    def _give_up(self, cause: int) -> list[Effect]:
        self.phase, self.cause = Phase.OVER, cause
        reason = self.route.reason or f"{len(self.tried)} tries failed"
        fields = (*self._names(), ("cause", cause), ("reason", reason))
        told = Note("call refused", fields, log_only=True)
        legs = self.bridged.end() if self.bridged else []
        return [HangUp(self.arrival.channel, cause), *legs, told]

    def _names(self) -> tuple[tuple[str, object], ...]:
        origin = (
            f"{self.arrival.caller}@{self.arrival.peer}"
            if self.arrival.peer
            else self.arrival.caller
        )
        return (("call", self.id), ("from", origin), ("to", self.arrival.number))

    def _record(self, now: float) -> CallEnded:
        arrival = self.arrival
        talked = self.answered > 0
        return CallEnded(
            self.id,
            arrival.caller,
            arrival.number,
            len(self.tried),
            talked,
            self.cause,
            now - self.began,
        )


def _at(leg: Leg | Outside) -> tuple[NodeName | None, str]:
    return (leg.peer, leg.number) if isinstance(leg, Leg) else (None, f"line {leg.line}")
