"""One call, from its arrival to its end.

A call is handed over to Asterisk's own Dial, which connects the legs; it comes back only if a try has failed. So the machine
is small, and a call that talks needs nothing of us.

    state     event      next      what is done
    ───────────────────────────────────────────────────────────────────────────────────────
    NEW       arrived    DIALING   hand over the first try; without one, hang up with the route's cause
    DIALING   returned   DIALING   the way failed: hand over the next try; when the list is used up ask the directory once
                                   more, and if it knows nothing new hang up with the last cause
                                   the phone was not there, or did not want to (480 before its time is up): ask the
                                   directory at once; only a node that was not tried is worth another try
                         OVER      it rang out, was busy, or the caller gave up: hang up
    DIALING   answered   TALKING   nothing
    any       ended      OVER      keep the record
    TALKING   returned   OVER      the callee has gone, the caller is ours again: hang up
"""

from dataclasses import dataclass, field
from enum import Enum

from pbxfed_ari.core.effects import CallEnded, Effect, HandOver, HangUp, Note
from pbxfed_ari.core.events import Answered as AnsweredEvent
from pbxfed_ari.core.events import Arrived, CallEvent, Ended, Returned
from pbxfed_ari.core.names import CallId, Extension, NodeName
from pbxfed_ari.core.route import BUSY, NORMAL, Route, Try, View, route
from pbxfed_ari.core.route import NO_ANSWER as RANG_OUT

FINAL = frozenset(
    {"BUSY", "CANCEL", "ANSWER"}
)  # the phone was reached: no other way there is better
NO_ANSWER = "NOANSWER"  # it rang out, or a node answered 480 at once


class Phase(Enum):
    """Where a call stands."""

    NEW = "new"
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
    phase: Phase = Phase.NEW
    route: Route = field(default=Route((), NORMAL, ""))
    tried: list[Try] = field(default_factory=list)
    cause: int = NORMAL
    answered: float = 0.0
    tried_at: float = 0.0  # when the last try began
    reached: set[NodeName | None] = field(
        default_factory=set
    )  # nodes that have spoken for their phone

    def handle(self, event: CallEvent, now: float, view: View) -> list[Effect]:
        """What the event means to this call."""
        match self.phase, event:
            case Phase.NEW, Arrived():
                self.route = route(event.number, view, from_peer=event.peer)
                return self._next(now)
            case Phase.DIALING, Returned():
                return self._failed(event, now, view)
            case Phase.DIALING, AnsweredEvent():
                self.phase, self.answered = Phase.TALKING, now
                return []
            case Phase.TALKING, Returned():
                return self._give_up(NORMAL)
            case ((Phase.NEW | Phase.DIALING | Phase.TALKING | Phase.OVER), Ended()):
                self.phase = Phase.OVER
                return [self._record(now)]
            case _:
                return []

    def _next(self, now: float) -> list[Effect]:
        left = [attempt for attempt in self.route.tries if self._worth(attempt)]
        if not left:
            return self._give_up(self.cause if self.tried else self.route.cause)
        self.phase, self.tried_at = Phase.DIALING, now
        self.tried.append(left[0])
        note = f"{self.id}/1/{len(self.tried)}"
        number = Extension(self.arrival.number)
        told = (*self._names(), ("try", len(self.tried)), ("reason", left[0].reason))
        return [
            HandOver(self.arrival.channel, number, left[0].legs, note, self.ring_seconds),
            Note("call tried", told, log_only=True),
        ]

    def _worth(self, attempt: Try) -> bool:
        """Not tried yet, and not only at nodes that have spoken for their phone."""
        new = attempt.legs not in [done.legs for done in self.tried]
        return new and not {leg.peer for leg in attempt.legs} <= self.reached

    def _failed(self, event: Returned, now: float, view: View) -> list[Effect]:
        self.cause = event.cause or self.cause
        rang_out = event.status == NO_ANSWER and now - self.tried_at >= self.ring_seconds - 1.0
        if event.status in FINAL or rang_out:
            return self._give_up(BUSY if event.status == "BUSY" else event.cause or RANG_OUT)
        if event.status == NO_ANSWER:
            self.reached |= {leg.peer for leg in self.tried[-1].legs}
        if event.status == NO_ANSWER or len(self.tried) >= len(self.route.tries):
            self.route = route(self.arrival.number, view, from_peer=self.arrival.peer)
        return self._next(now)

    def _give_up(self, cause: int) -> list[Effect]:
        self.phase, self.cause = Phase.OVER, cause
        reason = self.route.reason or f"{len(self.tried)} tries failed"
        fields = (*self._names(), ("cause", cause), ("reason", reason))
        told = Note("call refused", fields, log_only=True)
        return [HangUp(self.arrival.channel, cause), told]

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
