"""One call, from its arrival to its end.

A call is handed over to Asterisk's own Dial, which connects the legs; it comes back only if a try has failed. So the machine
is small, and a call that talks needs nothing of us. While it is set up it is watched (setup.py).

What each event does in each state is TABLE, at the end; docs/call.md draws it.

To go onward is to ask for the way of the number to which the one that found nobody forwards, and to hand over its first try.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from msgspec.structs import replace

from pbxfed_ari.core import diversion, queueing, rescue, setup, waybill
from pbxfed_ari.core import route as routes
from pbxfed_ari.core.bridging import ELSEWHERE, PATIENCE, Bridged, adopt
from pbxfed_ari.core.effects import (
    Attempted,
    CallEnded,
    Divert,
    Diverted,
    Effect,
    Enter,
    HandOver,
    HangUp,
    HangUpLeg,
    Hold,
    Indicate,
    Lead,
    Leg,
    Note,
    Outside,
    SendElsewhere,
    Soothe,
)
from pbxfed_ari.core.events import (
    Answered,
    Arrived,
    BridgeSeen,
    CallersEvent,
    CameIn,
    Ended,
    FarEndDied,
    LegDialed,
    LegEnded,
    LegEntered,
    LegLives,
    LegSeen,
    PeerGaveUp,
    PeerLostCalls,
    Redirected,
    Returned,
    TalkFound,
    Ticked,
    WentOut,
)
from pbxfed_ari.core.names import (
    CallId,
    ChannelId,
    Extension,
    NodeName,
    attempt_of,
    is_dialable,
    key_of_name,
)
from pbxfed_ari.core.objects.queue import Queue
from pbxfed_ari.core.rescue import DEAD, Half, Rescue
from pbxfed_ari.core.setup import HELD, HELD_AFAR, NEVER, Setup
from pbxfed_ari.core.tries import (
    ABSENT,
    BUSY,
    BUSY_OUT,
    FAILED,
    NO_ROUTE,
    NORMAL,
    OUTCOMES,
    RANG_OUT,
    SENT_ON,
    UNREACHABLE,
    Asking,
    Lines,
    Onward,
    Route,
    Try,
    View,
)
from pbxfed_ari.core.tries import NO_ANSWER as NOBODY
from pbxfed_ari.core.waybill import Waybill

FINAL = frozenset({"CANCEL", "ANSWER"})  # the caller has gone, or has talked
NO_ANSWER = "NOANSWER"  # it rang out, or a node answered 480 at once
MOST_HOPS = 3  # trunks that a call may cross, from queue to queue
KEPT = 50  # tries of a call, the first and the last, that its record tells of
MOVED = 302  # SIP: the phone wants the call to go elsewhere
NOWHERE = Route((), NORMAL, "", Extension(""))
OF_BEFORE = Try((), "of before a restart: not known any more")
CAUSES = {BUSY_OUT: BUSY, RANG_OUT: NOBODY}  # what the caller is told of them
SOMETIME = 0.001  # after the clock's zero, which says: never
Tried = tuple[str, object]
Input = CallersEvent | PeerGaveUp | PeerLostCalls | Ticked


class Phase(Enum):
    """Where a call stands."""

    NEW = "new"
    HELD = "held"
    WAITING = "waiting"
    DIALING = "dialing"
    TALKING = "talking"
    RESCUING = "rescuing"
    OVER = "over"


@dataclass(slots=True)
class Call:
    """A call that came in here."""

    id: CallId
    arrival: Arrived
    began: float
    ring_seconds: int
    control: str = "handover"  # as calls.control of the node says
    rescue_seconds: int = 0  # as calls.rescue, and what is heard meanwhile
    rescue_music: str = ""
    asking: Asking = field(init=False)
    bill: Waybill | None = field(init=False)  # of a peer's call
    setup: Setup | None = None  # of the try that is on its way
    held_until: float = NEVER
    word_due: float = NEVER  # of a peer's call: when we say that it is here, if nothing rings
    queue: str = ""  # in which he waits, or from which he has come to who talks with him
    patience: float = NEVER  # until when he waits there
    on_hold: bool = False  # he hears music, and is ours
    music: str = ""  # what he hears while others are rung, once he has waited
    bridged: Bridged | None = None  # in bridge mode: the legs are ours
    dead: set[ChannelId] = field(default_factory=set)  # channels whose far end has died
    surely: set[ChannelId] = field(default_factory=set)  # of those, whose node says so itself
    rescue: Rescue | None = None  # the last one
    again: Arrived | None = None  # by which the other side has rescued it
    hung_up: Half | None = None  # the other half of a conversation, when who is here has hung up
    silent: set[NodeName] = field(default_factory=set)  # nodes that showed no sign of life
    shown: Diverted | None = None  # by whom his channel says he was sent on; None: as he came
    phase: Phase = Phase.NEW
    route: Route = NOWHERE
    tried: list[Try] = field(default_factory=list)
    forgotten: bool = False  # which tries they were: the last one was handed over before a restart
    cause: int = NORMAL
    answered: float = 0.0
    finished: bool = False  # its record is kept, nothing of it is left
    caller: ChannelId = field(init=False)  # by a transfer it may become another one
    caller_gone: bool = False  # the one that began
    leg: ChannelId = ChannelId("")  # of Dial's, which has answered
    leg_lives: bool = False
    talks_with: tuple[Leg | Outside, ...] | None = None  # of those that were rung
    whose: str = ""  # the number of the phone that has answered
    moved: dict[ChannelId, str] = field(
        default_factory=dict
    )  # whither a leg's phone sends the call
    sent_to: str = ""  # the same, of the try that has failed so
    leaves: bool = False  # a peer's call: its sender hears where it goes on
    tried_at: float = 0.0  # when the last try began
    done: set[Tried] = field(default_factory=set)  # legs, and whose they were
    came: str = ""  # of the tries for this number: BUSY_OUT or RANG_OUT, if one came so far
    history: list[Attempted] = field(default_factory=list)
    reached: set[tuple[NodeName | None, str]] = field(
        default_factory=set
    )  # nodes that have spoken for a phone of theirs

    def __post_init__(self) -> None:
        arrival = self.arrival
        self.caller = arrival.channel
        self.bill = waybill.read(arrival.note) if arrival.peer else None
        line = self.bill.line if self.bill else ""
        payer = arrival.by or ("" if arrival.outside else arrival.endpoint)
        self.asking = Asking(
            arrival.number,
            self.bill.payer if self.bill and line else payer,
            arrival.peer,
            line,
            did=arrival.outside,
            outside=arrival.outside,
            running=bool(arrival.by),
            seed=self.id,
            wall_ms=arrival.wall_ms,
            heirs=self.bill.heirs if self.bill else (),
            diverted=self.bill.diverted if self.bill else None,
        )

    @property
    def legs(self) -> tuple[Leg | Outside, ...]:
        """What rings now, or talks."""
        if self.phase is Phase.TALKING and self.talks_with is not None:
            return self.talks_with
        rescued = self.phase is Phase.RESCUING and self.setup is not None
        live = rescued or self.phase in (Phase.DIALING, Phase.TALKING)
        return self.tried[-1].legs if live and self.tried else ()

    @property
    def room(self) -> str:
        """The conference room here where its caller is, or at whose door, or the queue; "" if none."""
        live = self.phase in (Phase.WAITING, Phase.DIALING, Phase.TALKING)
        if live and self.queue:
            return self.queue
        meet = self.tried[-1].meet if live and self.tried else None
        return meet.number if meet else ""

    @property
    def key(self) -> str:
        """The call, as the names of its bridge and legs hold it: of the legs of a peer's that meet here each has its own."""
        return f"{self.id}.{self.arrival.fresh_id}" if self.bill else self.id

    def next_deadline(self) -> float:
        """When `tick` is due."""
        word = self.word_due if self.phase is Phase.DIALING else NEVER
        return min(self.held_until, self.setup.deadline if self.setup else NEVER, word)

    def is_called_again(self, arrived: Arrived, bill: Waybill, now: float, view: View) -> bool:
        """Is this the other half of our conversation: does the node at its other end call anew for who is here?

        Who is here waits for it, or has not noticed yet that the other has lost him.
        """
        theirs, peer = self._is_of_our_caller(bill), arrived.peer
        if peer is None or not (theirs or waybill.parent(bill.call) == self.key):
            return False
        if arrived.number != (self.arrival.number if theirs else self.arrival.caller):
            return False
        for came in (self.arrival, self.again):
            known = waybill.read(came.note) if came is not None and came.peer else None
            if known is not None and known.call == bill.call and known.attempt >= bill.attempt:
                return False
        if self.phase is Phase.RESCUING and self.rescue is not None:
            return self.rescue.node == peer
        return self._left_without(peer, now, view) is not None

    def _is_of_our_caller(self, bill: Waybill) -> bool:
        """Else, if it is of this conversation, it is of who was called from here."""
        return self.bill is not None and self.bill.call == bill.call

    def ends_by(self, event: PeerGaveUp) -> bool:
        """Is it of this try of a peer's, or of the conversation for whose other half somebody waits here?"""
        said = (event.peer, event.call, event.attempt)
        if self.phase is Phase.RESCUING and self.rescue is not None:
            return self.rescue.half == said
        bill = self.bill
        return bill is not None and said == (self.arrival.peer, bill.call, bill.attempt)

    def is_stranger(self, channel: ChannelId) -> bool:
        """Was it put into our bridge by a transfer?"""
        legs = self.bridged.legs if self.bridged else {}
        return channel not in (self.arrival.channel, self.caller) and channel not in legs

    def heard(self, attempt: int, peer: NodeName, sent_to: str = "") -> None:
        """A peer has got this try of ours; or its phone sends it on, and the try ends in a moment."""
        on_its_way = self.phase in (Phase.DIALING, Phase.RESCUING)
        if self.setup is not None and self.setup.number == attempt and on_its_way:
            self.setup.alive(peer)
            if sent_to and self.phase is Phase.DIALING and self._own():
                self.sent_to = sent_to

    def expects(self, attempt: int, peer: NodeName) -> bool:
        """Is this try of ours on its way to that peer, or did it connect?"""
        setup = self.setup
        if setup is None:  # it was found talking after a restart
            return self.phase is Phase.TALKING and attempt >= len(self.tried)
        return setup.number == attempt and peer not in setup.gone

    def adopt(self, leg: ChannelId, seen: BridgeSeen, now: float, wall_ms: int) -> None:
        """It was found talking, by a bridge of ours, after a restart: of its tries the last is known, of others how many."""
        to = Leg(seen.leg.peer, seen.leg.trunk) if seen.leg else Leg()
        self.bridged = adopt(self.key, self.arrival.channel, leg, to)
        self.caller_gone = bool(key_of_name(self.arrival.channel))  # he was, before a rescue
        self._found(seen.leg, attempt_of(leg), seen.answered_ms, now, wall_ms)

    def found(self, event: TalkFound, attempt: int, now: float) -> None:
        """The same after a hand-over. If nobody knows when it was answered it counts as talking since its leg was made."""
        since = event.answered_ms or (event.leg.began_ms if event.leg else 0)
        self._found(event.leg, attempt, since, now, event.wall_ms)

    def found_ringing(self, attempt: int, now: float) -> None:
        """It was found handed over and not answered yet, after a restart: nobody knows whom it rings, and since when."""
        last = Try((), "it rang already when the daemon came back: whom is not known any more")
        number = Extension(self.arrival.number)
        self.phase, self.forgotten = Phase.DIALING, True
        self.setup = Setup(last, attempt, now, NEVER, NEVER, lives=True, rang=True)
        self.tried = [*[OF_BEFORE] * (attempt - 1), last]
        self.route = replace(NOWHERE, number=number)
        self.history = [Attempted(number, (), last.reason, 0.0)]

    def _found(
        self, to: LegSeen | None, attempt: int, answered_ms: int, now: float, wall_ms: int
    ) -> None:
        since = (wall_ms - answered_ms) / 1_000 if answered_ms else 0.0
        self.phase, self.answered = Phase.TALKING, max(now - since, self.began, SOMETIME)
        self.forgotten = False
        if to is None:
            return
        dialed = self.arrival.number
        number = to.number if to.number != dialed else ""
        last = Try((Leg(to.peer, to.trunk, number),), "it was found talking after a restart")
        self.tried = [*[OF_BEFORE] * (attempt - 1), last]
        self.route = replace(NOWHERE, number=Extension(to.number or dialed))
        began = max(0, to.began_ms - self.arrival.wall_ms) / 1_000
        rang = max(0.0, round(self.answered - self.began - began, 3))
        self.history = [
            Attempted(self.route.number, last.legs, last.reason, began, rang, "answered")
        ]

    def handle(self, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
        """What the event means to this call: the row of TABLE for it, or nothing."""
        row = _ROWS.get((self.phase, type(event)))
        return row.then(self, event, now, view, lines) if row is not None else []

    # --- the table's actions

    def _arrived(self, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
        """A peer's call is acknowledged, and looked at: is it still wanted?"""
        arrival = self.arrival
        if self.bill is None or arrival.peer is None:
            return self._begin(now, view, lines)
        late = setup.lateness(self.bill, arrival.peer, arrival.wall_ms, view)
        self.word_due = now + setup.WORD
        told: list[Effect] = []
        if late or setup.told_at_once(self.bill, arrival.peer, view):
            told = setup.here(self.bill, arrival.peer, view)
        if late == "late":
            self.route = replace(NOWHERE, reason="it came too late: its sender has given it up")
            return [*told, *self._give_up(NORMAL)]
        if late:
            afar = view.door(arrival.peer) is None
            self.phase, self.held_until = Phase.HELD, now + (HELD_AFAR if afar else HELD)
            return told
        return [*told, *self._begin(now, view, lines)]

    def _held_long_enough(self, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
        if now < self.held_until:
            return []
        return self._give_up(ABSENT) if self.leaves else self._begin(now, view, lines)

    def _look_for_life(self, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
        told: list[Effect] = []
        if now >= self.word_due and self.bill and self.arrival.peer:
            told = setup.here(self.bill, self.arrival.peer, view)
            again = view.door(self.arrival.peer) is None and now < self.began + setup.LAST_WORD
            self.word_due = self.began + setup.LAST_WORD if again else NEVER
        if self.setup is None:
            return told
        return [*told, *self.setup.tick(now, view, lines, CallId(self.key))]

    def _peer_lost(self, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
        assert isinstance(event, PeerLostCalls)
        if self.arrival.peer == event.peer and self.phase in SETTING_UP:
            return self._not_wanted(event, now, view, lines)
        if self.setup is None:
            return []
        return self.setup.lose(event.peer, now, view, lines, CallId(self.key))

    def _not_wanted(self, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
        lost = isinstance(event, PeerLostCalls)
        why = "its sender's Asterisk has died" if lost else "its sender has given it up"
        self.route = replace(self.route, reason=why)
        self._came_of_it("given_up", now)
        return self._give_up(NORMAL)

    def _leg_dialed(self, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
        assert isinstance(event, LegDialed)
        if self.setup is not None and self.bridged is None:
            self.setup.dialed(event.leg, event.name)
        return []

    def _leg_news(self, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
        """Of Dial's legs, or our own."""
        assert isinstance(event, LegEntered | LegLives | LegEnded | Answered)
        if isinstance(event, LegEnded) and (lost := self._lost(event.leg, event.cause, now, view)):
            return self._hold(lost, now, view, lines)
        if isinstance(event, LegEnded):
            self._leaves_half(event.leg)
        if isinstance(event, LegLives) and self.setup is not None:
            self.setup.hears(event.leg, event.how)
            self.word_due = self.word_due if event.how == setup.PROCEEDING else NEVER
        if isinstance(event, LegEnded) and event.sip == MOVED:
            self.sent_to = self.moved.get(event.leg, "")
        if self.bridged is None:
            if isinstance(event, Answered) and self.phase is Phase.DIALING:
                self._talks(now, event.leg)
                self.leg, self.leg_lives = event.leg, bool(event.leg)
            if isinstance(event, LegEnded):
                return self._without(event.leg, now)
            late = isinstance(event, LegEntered)  # of a try before this one
            return [HangUpLeg(self.arrival.channel, event.leg, NORMAL)] if late else []
        effects, outcome = self.bridged.handle(event)
        if isinstance(outcome, Answered):
            self._talks(now, outcome.leg)
        elif outcome is not None:
            return [*effects, *self._way_failed(outcome, now, view, lines)]
        return [*effects, *self._talked(now)]

    def _talked(self, now: float) -> list[Effect]:
        """Bridge mode: have they? If the caller has gone before, by a transfer, this is the end."""
        if self.phase is not Phase.TALKING or self.bridged is None or not self.bridged.over:
            return []
        self.phase, self.cause = Phase.OVER, NORMAL
        return [self._record(now)] if self.caller_gone else []

    def _without(self, leg: ChannelId, now: float) -> list[Effect]:
        """Dial's leg has gone, or goes another way: without a caller, too, this is the end."""
        if leg != self.leg:
            return []
        self.leg_lives, self.talks_with = False, ()
        if not self.caller_gone or self.phase is not Phase.TALKING:
            return []
        self.phase, self.cause = Phase.OVER, NORMAL
        return [self._record(now)]

    def _redirected(self, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
        assert isinstance(event, Redirected)
        if self._own() and self.bridged is None:
            self.sent_to = event.to
        elif self._own():
            self.moved[event.leg] = event.to
        return []

    def _own(self) -> bool:
        """A phone of the number itself may send its calls elsewhere; a member of a group may not, nor may the outside."""
        return all(isinstance(leg, Leg) and not leg.number and not leg.line for leg in self.legs)

    def _came_in(self, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
        assert isinstance(event, CameIn)
        if self.bridged is None:
            return []
        effects = self.bridged.came(event.channel)
        self.caller = self.bridged.caller
        return effects

    def _went_out(self, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
        assert isinstance(event, WentOut)
        if self.bridged is not None:
            self.bridged.went(event.channel)
        return []

    def _way_failed(self, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
        assert isinstance(event, Returned)
        self.cause = event.cause or (FAILED if self.cause == NORMAL else self.cause)
        if event.status in FINAL:
            self._came_of_it("given_up", now)
            return self._give_up(event.cause or NOBODY)
        if self.queue:
            return self._line_up(event, now, view, lines)
        if self.forgotten:
            self._look_up(view, lines)
        if self.sent_to:
            self._came_of_it(SENT_ON, now)
            return self._send_on(now, view, lines)
        last, outcome = self.tried[-1], self._outcome(event, now)
        self.cause = CAUSES.get(outcome, self.cause)
        self.came = outcome if outcome in CAUSES else self.came
        gone, missed = self._who_was_reached(outcome, event.status)
        waits = any(attempt.queue for attempt in self.route.tries)  # and did before a restart
        if last.going_on or waits or (outcome != UNREACHABLE and missed):
            return self._next(now, view, lines, outcome)
        if outcome != UNREACHABLE:
            return self._onward(outcome, now, view, lines)
        if gone:  # not what we hung up with. A phone that is where it was no more: who sent the call need not try again
            absent = all(isinstance(leg, Leg) and leg.uri for leg in last.legs)
            self.cause = ABSENT if absent else NO_ROUTE
        used_up = self.route.fresh or not any(map(self._left_of, self.route.tries))
        if gone or event.status == NO_ANSWER or used_up:
            self._ask_again(view, lines)
        return self._next(now, view, lines, outcome)

    def _who_was_reached(self, outcome: str, status: str) -> tuple[bool, bool]:
        """Whoever has spoken for a phone, or had time to ring it, is not asked for it again by another way.

        Was anybody given up, and has any of them shown no life at all?
        """
        setup_, last = self.setup, self.tried[-1]
        if setup_ is None:
            return False, False
        self.silent |= {end for end in setup_.gone if end is not None}
        decided = outcome != UNREACHABLE or status == NO_ANSWER
        for leg in last.legs:
            end = leg.peer if isinstance(leg, Leg) else None
            spoke = end is not None and end in setup_.spoke - setup_.gone
            if spoke or (decided and end not in setup_.missed):
                self.reached.add(_at(leg))
        return bool(setup_.gone), bool(setup_.missed)

    def _look_up(self, view: View, lines: Lines) -> None:
        """What there is to try was tried perhaps, and is not rung once more: it goes onward from there, or waits in a queue."""
        self.forgotten = False
        self.route = routes.route(self.asking, view, lines)
        for attempt in self.route.tries:
            if not attempt.queue:
                self.done |= _tried(self.route.number, attempt)

    def _line_up(self, event: Returned, now: float, view: View, lines: Lines) -> list[Effect]:
        """Who was rung for him had no time: he waits on."""
        self._outcome(event, now)
        if self.setup is not None:  # a node is called by its other trunk the next time, and back
            self.silent ^= {end for end in self.setup.missed if end is not None}
        return self._wait(now, view, lines)

    def _outcome(self, event: Returned, now: float) -> str:
        """What came of the last try, which its record says from now on."""
        seconds, lasted = self.tried[-1].ring_seconds or self.ring_seconds, now - self.tried_at
        outcome = UNREACHABLE
        if self.setup is not None:
            outcome = self.setup.came_of_it(event.status, event.cause, lasted, seconds)
        self._came_of_it(outcome, now)
        return outcome

    def _look_again(self, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
        return self._wait(now, view, lines) if now >= self.held_until else []

    def _wait(self, now: float, view: View, lines: Lines) -> list[Effect]:
        """Ring a member, or let him hear music until one has time, or send him on if that lasts too long."""
        item = view.get("number", self.queue)
        if not isinstance(item, Queue) or now >= self.patience:
            return self._weary(item, now, view, lines)
        hold: list[Effect] = [] if self.on_hold else [Hold(self.caller, item.music)]
        self.music, self.word_due = item.music, NEVER  # he is answered: who sent him knows
        attempt = queueing.next_try(item, view, lines, now, self.silent)
        if attempt is None:
            self.phase, self.on_hold, self.setup = Phase.WAITING, True, None
            self.held_until = min(now + queueing.LOOK, self.patience)
            return hold
        self.on_hold, self.held_until = False, NEVER
        return [*hold, *self._try(attempt, now, view, lines)]

    def _weary(self, item: object, now: float, view: View, lines: Lines) -> list[Effect]:
        """He has waited too long. From here he calls anew: a peer that has sent him cannot do it, for he is answered."""
        silence: list[Effect] = [Hold(self.caller, "")] if self.on_hold else []
        self.queue, self.patience, self.held_until, self.on_hold = "", NEVER, NEVER, False
        way = self.route.after(RANG_OUT) if isinstance(item, Queue) else None
        if way is None or (self.bill is not None and self.bill.hop >= MOST_HOPS):
            return self._give_up(NOBODY)
        self.asking = replace(self.asking, peer=None, payer="", heirs=())
        return [*silence, *self._go(way, now, view, lines)]

    def _callee_gone(self, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
        return self._give_up(NORMAL)

    def _ended(self, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
        """The caller's channel is no more: nothing of the call stays, unless a transfer has put somebody in its place."""
        assert isinstance(event, Ended)
        self.caller_gone = self.caller_gone or event.channel == self.arrival.channel
        if lost := self._lost(event.channel, event.cause, now, view):
            return self._hold(lost, now, view, lines)
        if self.phase is Phase.RESCUING:
            return self._left_alone(now, view) if event.channel == self.caller else []
        if self.phase is Phase.TALKING and self.bridged is not None:
            self._leaves_half(event.channel)
            return [*self.bridged.gone(event.channel, event.cause or NORMAL), *self._talked(now)]
        if self.phase is Phase.TALKING and self.leg_lives:
            return []  # it ends in a moment, or he has put it through to somebody
        if self.phase is Phase.DIALING and event.channel != self.caller:
            return []
        if self.phase is Phase.DIALING:
            self._came_of_it("given_up", now)
        over: list[Effect] = []
        if self.phase is Phase.DIALING and self.setup and (self.bridged or not self.setup.lives):
            over = self.setup.over(
                view, CallId(self.key)
            )  # a Dial may go on without him, by a transfer
        live, self.phase = self.phase is not Phase.OVER, Phase.OVER
        elsewhere = event.cause == ELSEWHERE
        legs = self.bridged.end(ELSEWHERE if elsewhere else NORMAL) if self.bridged and live else []
        return [*legs, *over, self._record(now)]

    # --- rescue

    def _far_end_died(self, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
        assert isinstance(event, FarEndDied)
        self.dead.add(event.channel)
        return []

    def _talks_with_dead(self, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
        """The peer's own daemon says that its Asterisk has died: what leads there ends at once."""
        assert isinstance(event, PeerLostCalls)
        if self.bridged is None:
            return []
        here = sorted(self.bridged.present - self.surely)
        lost = [channel for channel in here if self._leads_to(channel)[0] == event.peer]
        self.dead.update(lost)
        self.surely.update(lost)
        return [self.bridged.hang_up(channel, DEAD) for channel in lost]

    def _nobody_will_call(self, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
        """The same while somebody waits: its caller is lost there, too, and any leg to it."""
        assert isinstance(event, PeerLostCalls)
        if self.rescue is not None and self.rescue.node == event.peer:
            self.rescue.called = False
        if self.setup is None:
            return []
        return self.setup.lose(event.peer, now, view, lines, CallId(self.key))

    def _lost(
        self, channel: ChannelId, cause: int, now: float, view: View
    ) -> tuple[Rescue, ChannelId] | None:
        """Has a node died with this end of a conversation? Then who is to be called, and who waits for him."""
        node, trunk = self._leads_to(channel)
        if node is None:
            return None
        dead = channel in self.dead and (cause != NORMAL or not view.reachable(node))
        died = dead or rescue.died(node, trunk, cause, view)
        return self._without_end(channel, now, view) if died else None

    def _without_end(
        self, channel: ChannelId, now: float, view: View
    ) -> tuple[Rescue, ChannelId] | None:
        """The same, if this end is lost for certain. None if it is a conversation of others than those who began it."""
        bridged, half = self.bridged, self._half(channel)
        if self.phase is not Phase.TALKING or bridged is None or not self.rescue_seconds:
            return None
        survivor = bridged.left_by(channel)
        if survivor is None or half is None:
            return None
        called = channel not in bridged.legs
        mine = called and survivor != self.arrival.channel
        number = self._caller_of(survivor) if mine else self._callee_of(survivor)
        if not rescue.may_be_called(number, view):
            return None
        called = called and channel not in self.surely
        return Rescue(number, half, called, now + self.rescue_seconds, now, now), survivor

    def _left_without(
        self, peer: NodeName, now: float, view: View
    ) -> tuple[ChannelId, tuple[Rescue, ChannelId]] | None:
        """The end of this conversation that leads to a peer, and who is left without it."""
        for channel in sorted(self.bridged.present) if self.bridged else ():
            if self._leads_to(channel)[0] == peer and (
                lost := self._without_end(channel, now, view)
            ):
                return channel, lost
        return None

    def _half(self, channel: ChannelId) -> Half | None:
        """As what the node to which this channel leads knows its half of the conversation."""
        node, _ = self._leads_to(channel)
        if node is None:
            return None
        for came in (self.arrival, self.again):
            if came is not None and came.channel == channel:
                bill = waybill.read(came.note)
                return Half(node, CallId(bill.call), bill.attempt) if bill else None
        return Half(node, CallId(self.key), attempt_of(channel))

    def _leaves_half(self, channel: ChannelId) -> None:
        """One of two who talked has hung up, here: the other's node may not know it, and call again."""
        left = self.bridged.left_by(channel) if self.bridged else None
        if left is not None and self._half(channel) is None:
            self.hung_up = self._half(left)

    def _leads_to(self, channel: ChannelId) -> tuple[NodeName | None, str]:
        """To which node, and by which trunk; whom a transfer has put there leads nowhere."""
        for came in (self.arrival, self.again):
            if came is not None and came.channel == channel:
                return came.peer, "sip" if came.endpoint else "iax2"
        return self.bridged.leads_to(channel) if self.bridged else (None, "")

    def _callee_of(self, survivor: ChannelId) -> str:
        """Whom who is left had called; "" if it is not he who had."""
        if survivor != self.arrival.channel and not key_of_name(survivor):
            return ""
        return self.rescue.number if self.rescue else self.whose or str(self.route.number)

    def _caller_of(self, survivor: ChannelId) -> str:
        """Who had called who is left, if that is a phone here; "" if it was somebody outside."""
        inside = self.bill is not None and not self.bill.outside
        here = bool(key_of_name(survivor)) and self._leads_to(survivor)[0] is None
        return self.arrival.caller if inside and here and not self._leaves() else ""

    def _leaves(self) -> bool:
        return any(isinstance(leg, Outside) for one in self.tried for leg in one.legs)

    def _hold(
        self, lost: tuple[Rescue, ChannelId], now: float, view: View, lines: Lines
    ) -> list[Effect]:
        """Who is left waits in the bridge, and the other is looked for at once."""
        self._keep(lost)
        assert self.rescue is not None
        longest = self.rescue_seconds + self.ring_seconds + PATIENCE
        fields = (("node", self.rescue.node), ("waits_for", self.rescue.number))
        told = Note("call held for rescue", (*self._names(), *fields))
        held = Soothe(self.caller, self.rescue_music, longest)
        return [held, told, *self._seek(now, view, lines)]

    def _keep(self, lost: tuple[Rescue, ChannelId]) -> None:
        self.rescue, self.caller = lost
        self.phase, self.setup = Phase.RESCUING, None
        self.bridged = Bridged(
            self.key, self.caller, self.ring_seconds, held=True, music=self.rescue_music
        )

    def _look_for_him(self, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
        if self.setup is not None:
            return self.setup.tick(now, view, lines, CallId(self.key))
        return self._seek(now, view, lines)

    def _seek(self, now: float, view: View, lines: Lines) -> list[Effect]:
        """Ring him, if there is a way; or look again later, until the time is over."""
        assert self.rescue is not None
        if now >= self.rescue.until:
            return self._not_rescued(now)
        attempt = self.rescue.attempt(now, view, lines) if now >= self.rescue.look else None
        if attempt is None:
            if now >= self.rescue.look:
                self.rescue.look = now + rescue.LOOK
            self.held_until = min(self.rescue.look, self.rescue.until)
            return []
        self.rescue.tries += 1
        self.held_until = NEVER
        number = Extension(self.rescue.number)
        attempt = replace(attempt, reason=f"rescue: {attempt.reason}")
        note = self._note_try(attempt, number, now)
        self.setup = setup.begin(
            attempt, len(self.tried), now, view, set(), hurried=lines.hurried()
        )
        seconds = min(attempt.ring_seconds or self.ring_seconds, self.ring_seconds)
        self.bridged = Bridged(self.key, self.caller, seconds, held=True, music=self.rescue_music)
        said = str(replace(self._waybill(attempt, self.setup.latest), diverted=None))
        made = self.bridged.begin(attempt, len(self.tried), number, said, view)
        self.setup.legs.update(self.bridged.peers())
        self.setup.phones.update(self.bridged.phones(number))
        return [*made, note]

    def _rescue_news(self, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
        """Of the legs that ring him, or of who waits, if that is a leg, too."""
        assert isinstance(event, LegEntered | LegLives | LegEnded | Answered)
        if isinstance(event, LegEnded) and event.leg == self.caller:
            return self._left_alone(now, view)
        if self.bridged is None or self.rescue is None:
            return []
        if isinstance(event, LegLives) and self.setup is not None:
            self.setup.hears(event.leg, event.how)
        effects, outcome = self.bridged.handle(event)
        if isinstance(outcome, Answered):
            if self.setup is not None:
                self.talks_with = self.setup.whom(outcome.leg, self.rescue.number)
            return [*effects, *self._rescued("answered", now)]
        if outcome is not None:
            declined = self._outcome(outcome, now) == BUSY_OUT and self.setup and self.setup.rang
            if declined:
                return [*effects, *self._not_rescued(now, BUSY)]
            self.setup, self.rescue.look = None, now + rescue.PAUSE
            self.held_until = min(self.rescue.look, self.rescue.until)
        return effects

    def _called_again(self, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
        """The other side calls anew: its call is joined with who waits here, or has not noticed yet that he is alone.

        If both sides call each other in the same moment it is the caller's call that is joined.
        """
        assert isinstance(event, Arrived)
        if self.bridged is None or event.peer is None:
            return []
        ended: list[Effect] = []
        if self.phase is Phase.TALKING:
            found = self._left_without(event.peer, now, view)
            if found is None:
                return []
            ended = [self.bridged.hang_up(found[0], NORMAL)]
            self._keep(found[1])
        bill = waybill.read(event.note)
        theirs = bill is not None and self._is_of_our_caller(bill)
        if self.setup and not theirs and event.peer in self.setup.watched - self.setup.gone:
            return [HangUp(event.channel, NORMAL)]
        over = self.setup.over(view, CallId(self.key)) if self.setup else []
        self.again = event
        answer = Indicate(event.channel, "answer")
        joined = self.bridged.resume(event.channel)
        return [*ended, answer, *joined, *over, *self._rescued("given_up", now)]

    def _rescued(self, came: str, now: float) -> list[Effect]:
        assert self.rescue is not None
        if self.setup is not None:
            self._came_of_it(came, now)
        waited = round(now - self.rescue.until + self.rescue_seconds, 3)
        self.phase, self.cause, self.setup, self.held_until = Phase.TALKING, NORMAL, None, NEVER
        return [Note("call rescued", (*self._names(), ("waited_seconds", waited)))]

    def _not_rescued(self, now: float, cause: int = DEAD) -> list[Effect]:
        """The time is over, or the other one does not want to talk any more."""
        assert self.rescue is not None
        self.phase, self.cause, self.held_until = Phase.OVER, cause, NEVER
        fields = (("node", self.rescue.node), ("waited_for", self.rescue.number))
        told = Note("call not rescued", (*self._names(), *fields, ("cause", self.cause)))
        legs = self.bridged.end() if self.bridged else []
        record = [self._record(now)] if self.caller_gone else []
        return [HangUp(self.caller, self.cause), *legs, told, *record]

    def _other_hung_up(self, event: Input, now: float, view: View, lines: Lines) -> list[Effect]:
        over = self.setup.over(view, CallId(self.key)) if self.setup else []
        if self.setup is not None:
            self._came_of_it("given_up", now)
        return [*self._not_rescued(now, NORMAL), *over]

    def _left_alone(self, now: float, view: View) -> list[Effect]:
        """Who waited has hung up."""
        over = self.setup.over(view, CallId(self.key)) if self.setup else []
        if self.setup is not None:
            self._came_of_it("given_up", now)
        self.hung_up = self.rescue.half if self.rescue else None
        self.phase, self.cause, self.held_until = Phase.OVER, NORMAL, NEVER
        return [*(self.bridged.end() if self.bridged else []), *over, self._record(now)]

    # --- tries

    def _begin(self, now: float, view: View, lines: Lines) -> list[Effect]:
        self.held_until = NEVER
        self.route = routes.route(self.asking, view, lines)
        if not self.route.tries and not view.settled(now):
            self.phase, self.held_until = Phase.HELD, now + setup.AGAIN
            return []
        return self._next(now, view, lines)

    def _next(self, now: float, view: View, lines: Lines, outcome: str = "") -> list[Effect]:
        """The next try; without one the way onward after this outcome, which a route without tries says itself."""
        left = next(filter(None, map(self._left_of, self.route.tries)), None)
        if left is not None:
            return self._try(left, now, view, lines)
        if not self.route.tries:
            outcome = OUTCOMES.get(self.route.cause, "")
        elif outcome == UNREACHABLE and self.came:
            outcome, self.cause = self.came, CAUSES[self.came]
        return self._onward(outcome, now, view, lines)

    def _try(self, attempt: Try, now: float, view: View, lines: Lines) -> list[Effect]:
        if attempt.queue:
            item = view.get("number", attempt.queue)
            longest = item.wait_seconds if isinstance(item, Queue) else 0
            self.queue, self.patience = attempt.queue, now + longest if longest else NEVER
            return self._wait(now, view, lines)
        self.phase = Phase.DIALING
        number = self.route.number
        self.done |= _tried(number, attempt)
        note = self._note_try(attempt, number, now)
        self.setup = setup.begin(
            attempt, len(self.tried), now, view, self.silent, hurried=lines.hurried()
        )
        left: list[Effect] = []
        bridges = not attempt.meet and not attempt.lead and self._bridges(lines)
        if not bridges and self.bridged is not None:
            left, self.bridged = self.bridged.end(), None
        if attempt.meet is not None:
            meet, bill = attempt.meet, str(Waybill(self.id, len(self.tried)))
            return [*left, Enter(self.caller, meet.number, meet.most, meet.pin, bill), note]
        channel, news = self.caller, self._news(attempt, view)
        if attempt.lead is not None:
            place = attempt.lead
            return [*left, Lead(channel, place.context, place.exten, self._diverted), note]
        said = str(self._waybill(attempt, self.setup.latest))
        seconds = attempt.ring_seconds or self.ring_seconds
        if not bridges:
            handed = HandOver(channel, number, attempt.legs, said, seconds, self.music, news)
            return [*left, handed, note]
        self.bridged = Bridged(self.key, channel, seconds)
        made = self.bridged.begin(attempt, len(self.tried), number, said, view, self.shown)
        self.setup.legs.update(self.bridged.peers())
        self.setup.phones.update(self.bridged.phones(number))
        return [*([Divert(channel, news)] if news else []), *made, note]

    @property
    def _diverted(self) -> Diverted | None:
        """Who has sent it on."""
        return self.route.diverted or self.asking.diverted

    @property
    def _diverted_outside(self) -> Diverted | None:
        """The same, where the outside may hear it: the inbound number, if it came by one."""
        by = self._diverted
        return replace(by, by=self.arrival.number) if by and self.arrival.outside else by

    def _news(self, attempt: Try, view: View) -> Diverted | None:
        """What his channel must say of who has sent him on, before this try; None if it does."""
        leaves = any(isinstance(leg, Outside) for leg in attempt.legs)
        by = self._diverted_outside if leaves else self._diverted
        if attempt.lead is None:
            by = diversion.toward(attempt.legs, by, view)
        by = by or (diversion.NOBODY if self.shown or attempt.lead else None)
        if by is None or by == self.shown:
            return None
        self.shown = by
        return by

    def _note_try(self, attempt: Try, number: Extension, now: float) -> Effect:
        """It begins: for the record, and the log."""
        self.tried_at = now
        self.tried.append(attempt)
        began = round(now - self.began, 3)
        if len(self.history) >= 2 * KEPT:  # who waits in a queue may be rung for all day long
            del self.history[KEPT]
        self.history.append(Attempted(number, attempt.legs, attempt.reason, began))
        told = (*self._names(), ("try", len(self.tried)), ("reason", attempt.reason))
        return Note("call tried", told, log_only=True)

    def _waybill(self, attempt: Try, latest: float) -> Waybill:
        """What travels with a try: of which call, and for how long it is wanted. `latest`: when it is given up without life."""
        arrival, legs = self.arrival, [leg for leg in attempt.legs if isinstance(leg, Leg)]
        line = next((leg.line for leg in legs if leg.line), "")
        told = arrival.wall_ms and latest < NEVER
        until = round(arrival.wall_ms + (latest - self.began) * 1_000) if told else 0
        heirs = tuple((leg.peer, node) for leg in legs if leg.peer for node in leg.instead_of)
        leaves = any(leg.peer for leg in legs)
        hop = self.bill.hop + 1 if self.bill and leaves else 1
        name = self.key if hop > 1 else self.id  # a peer that has it too must tell them apart
        payer = self.asking.payer if line else ""
        outside = arrival.outside or (self.bill is not None and self.bill.outside)
        by = self._diverted_outside if line else self._diverted
        return Waybill(name, len(self.tried), line, until, hop, payer, heirs, outside, by)

    def _bridges(self, lines: Lines) -> bool:
        """Bridge mode, as the called object or the node wants it, while this node has time for it."""
        wanted = (self.route.control or self.control) == "bridge" and not self.queue
        return wanted and lines.may_bridge()

    def _onward(self, outcome: str, now: float, view: View, lines: Lines) -> list[Effect]:
        way = self.route.after(outcome)
        if way is None:
            return self._give_up(self.cause if self.route.tries else self.route.cause)
        return self._go(way, now, view, lines)

    def _send_on(self, now: float, view: View, lines: Lines) -> list[Effect]:
        """The phone has said whither. A peer's call is sent back with that: its own node looks for the way (one hop)."""
        number, (to, self.sent_to) = self.route.number, (self.sent_to, "")
        why = f"{number} is sent on to {to} by its phone"
        if self.bill is not None and (peer := self.asking.peer) and is_dialable(to):
            route = replace(self.route, reason=why)
            if self.arrival.endpoint:
                self.phase, self.cause, self.route = Phase.OVER, NORMAL, route
                legs = self.bridged.end() if self.bridged else []
                return [SendElsewhere(self.caller, to), *legs]
            if view.door(peer) is not None:  # by IAX2: that is to be heard before the try's end
                self.route, self.phase, self.setup, self.leaves = route, Phase.HELD, None, True
                self.held_until = now + setup.OVERTAKES
                return setup.here(self.bill, peer, view, to)
        return self._go(Onward(SENT_ON, to, why, number), now, view, lines)

    def _go(self, way: Onward, now: float, view: View, lines: Lines) -> list[Effect]:
        self.asking = routes.forwarded(way, self.route.number, self.asking)
        self.route = routes.route(self.asking, view, lines).because(way.reason)
        self.reached.clear()
        self.came = ""
        return self._next(now, view, lines)

    def _left_of(self, attempt: Try) -> Try | None:
        """What of it has not been tried yet, but for phones that somebody has spoken for."""
        number = self.route.number
        if not attempt.legs:
            return None if _tried(number, attempt) <= self.done else attempt
        left = [leg for leg in attempt.legs if (number, leg) not in self.done]
        left = [leg for leg in left if _at(leg) not in self.reached]
        if len(left) == len(attempt.legs):
            return attempt
        reason = f"{attempt.reason}; of these, who was not rung yet"
        return replace(attempt, legs=tuple(left), reason=reason) if left else None

    def _ask_again(self, view: View, lines: Lines) -> None:
        """What the directory says now; if that is nothing, what it said before stands."""
        found = routes.route(self.asking, view, lines)
        self.route = found if found.tries else replace(self.route, onward=found.onward)

    def _talks(self, now: float, leg: ChannelId) -> None:
        if self.setup is not None:
            self.talks_with = self.setup.whom(leg, self.route.number)
        self.whose = self._whose()
        self.phase, self.answered, self.cause = Phase.TALKING, now, NORMAL
        self._came_of_it("answered", now)

    def _whose(self) -> str:
        """The number that has answered; of several at one peer nobody knows which."""
        legs = [leg for leg in self.talks_with or () if isinstance(leg, Leg)]
        numbers = {leg.number or str(self.route.number) for leg in legs}
        return numbers.pop() if len(numbers) == 1 else str(self.route.number)

    def _came_of_it(self, outcome: str, now: float) -> None:
        """The last try is decided."""
        last = self.history[-1] if self.history else None
        if last is not None and not last.outcome:
            seconds = round(now - self.began - last.began, 3)
            self.history[-1] = replace(last, outcome=outcome, seconds=seconds)

    def _give_up(self, cause: int) -> list[Effect]:
        self.phase, self.cause = Phase.OVER, cause
        reason = self.route.reason or f"{len(self.tried)} tries failed"
        fields = (*self._names(), ("cause", cause), ("reason", reason))
        told = Note("call refused", fields, log_only=True)
        legs = self.bridged.end() if self.bridged else []
        return [HangUp(self.caller, cause), *legs, told]

    def _names(self) -> tuple[tuple[str, object], ...]:
        origin = (
            f"{self.arrival.caller}@{self.arrival.peer}"
            if self.arrival.peer
            else self.arrival.caller
        )
        by = (("transferred_by", self.arrival.by),) if self.arrival.by else ()
        return (("call", self.id), ("from", origin), ("to", self.arrival.number), *by)

    def _record(self, now: float) -> CallEnded:
        self.finished = True
        arrival = self.arrival
        talked, reached = self.answered > 0, self.whose or str(self.route.number)
        return CallEnded(
            self.id,
            arrival.caller,
            arrival.number,
            len(self.tried),
            talked,
            self.cause,
            now - self.began,
            arrival.peer or "",
            arrival.outside,
            arrival.wall_ms,
            now - self.answered if talked else 0.0,
            reached if talked and reached != arrival.number else "",
            "bridge" if self.bridged else "handover" if self.tried else "",
            tuple(self.history),
        )


def _tried(number: str, attempt: Try) -> set[Tried]:
    return {(number, leg) for leg in attempt.legs} or {(number, attempt.lead)}


def _at(leg: Leg | Outside) -> tuple[NodeName | None, str]:
    peer = leg.peer if isinstance(leg, Leg) else None
    return peer, f"line {leg.line}" if leg.line else leg.number if isinstance(leg, Leg) else ""


class Row(NamedTuple):
    """What an event does in these states: the action, the states that may follow, and both in words."""

    states: tuple[Phase, ...]
    event: type[Input]
    then: Callable[[Call, Input, float, View, Lines], list[Effect]]
    to: tuple[Phase, ...]
    what: str


NEW, HELD_BACK, WAITING, DIALING, TALKING, RESCUING, OVER = Phase
SETTING_UP = (HELD_BACK, WAITING, DIALING)
TABLE = (
    Row(
        (NEW,),
        Arrived,
        Call._arrived,
        (DIALING, WAITING, HELD_BACK, OVER),
        "ask for its way and hand over the first try, or let him wait in a queue here; "
        "hold a peer's call that may be given up, "
        "and one without a way as long as this node does not know yet who lives; hang up if there is no way",
    ),
    Row(
        (HELD_BACK,),
        Ticked,
        Call._held_long_enough,
        (HELD_BACK, DIALING, WAITING, OVER),
        "nothing was said against it: as if it had arrived now; or its sender has heard where its phone sends it on: hang up",
    ),
    Row(
        (WAITING,),
        Ticked,
        Call._look_again,
        (WAITING, DIALING, OVER),
        "in a queue: ring a member who has time, if nobody waits who came before; go onward if that lasts too long",
    ),
    Row(
        (DIALING,),
        Ticked,
        Call._look_for_life,
        (DIALING,),
        "no sign of life in time: abandon its legs, which come back as a way that failed",
    ),
    Row(SETTING_UP, PeerGaveUp, Call._not_wanted, (OVER,), "its sender has given it up: hang up"),
    Row(
        SETTING_UP,
        PeerLostCalls,
        Call._peer_lost,
        (HELD_BACK, WAITING, DIALING, OVER),
        "a peer's Asterisk has died: hang up what it had sent; abandon the legs to it, which come back as a way that failed",
    ),
    Row((DIALING,), LegDialed, Call._leg_dialed, (DIALING,), "note the leg"),
    Row((DIALING,), LegEntered, Call._leg_news, (DIALING,), "bridge mode: dial the leg"),
    Row(
        (DIALING,),
        LegLives,
        Call._leg_news,
        (DIALING,),
        "it lives; bridge mode: let the caller hear it",
    ),
    Row(
        (DIALING,),
        Redirected,
        Call._redirected,
        (DIALING,),
        "note whither the phone sends the call: there it goes when this try has ended",
    ),
    Row(
        (DIALING,),
        Answered,
        Call._leg_news,
        (DIALING, TALKING),
        "they talk; bridge mode: answer the caller, join both, stop the other legs",
    ),
    Row(
        (DIALING,),
        LegEnded,
        Call._leg_news,
        (DIALING, OVER),
        "bridge mode: when all legs are gone the way has failed",
    ),
    Row(
        (DIALING,),
        Returned,
        Call._way_failed,
        (DIALING, WAITING, HELD_BACK, OVER),
        "the way failed: hand over the next try, wait on in the queue, "
        "ask the directory again, or go onward by what came of it; "
        "tell its sender if its phone sends a peer's call on; hang up when nothing is left, or when the caller gave up",
    ),
    Row(
        (TALKING,),
        LegEntered,
        Call._leg_news,
        (TALKING,),
        "bridge mode: a leg that came too late, end it",
    ),
    Row((TALKING,), LegLives, Call._leg_news, (TALKING,), "nothing"),
    Row(
        (TALKING,),
        Answered,
        Call._leg_news,
        (TALKING,),
        "somebody else was first; bridge mode: end it",
    ),
    Row(
        (OVER,),
        LegEntered,
        Call._leg_news,
        (OVER,),
        "bridge mode: a leg that came too late, end it",
    ),
    Row(
        (DIALING, TALKING),
        CameIn,
        Call._came_in,
        (DIALING, TALKING),
        "bridge mode: a transfer has put somebody in the place of one who was here: hang up who was replaced",
    ),
    Row(
        (TALKING,),
        WentOut,
        Call._went_out,
        (TALKING,),
        "bridge mode: note it: he ends, or is replaced",
    ),
    Row(
        (TALKING,),
        LegEnded,
        Call._leg_news,
        (TALKING, RESCUING, OVER),
        "keep the record, if the caller has gone, too; "
        "bridge mode: one who talked has gone, hang up who is left alone and end the bridge; "
        "or, if his node has died, let who is left wait",
    ),
    Row(
        (TALKING,),
        FarEndDied,
        Call._far_end_died,
        (TALKING,),
        "note it: this channel's end, which comes next, is the death of a node",
    ),
    Row(
        (RESCUING,),
        Ticked,
        Call._look_for_him,
        (RESCUING, OVER),
        "ring who was lost wherever he is registered, after each failure again; abandon a try without a sign of life; "
        "hang up when the time is over",
    ),
    Row(
        (TALKING,),
        PeerLostCalls,
        Call._talks_with_dead,
        (TALKING,),
        "bridge mode: end what leads to that peer; who is left is rescued",
    ),
    Row(
        (RESCUING,),
        PeerLostCalls,
        Call._nobody_will_call,
        (RESCUING,),
        "abandon the legs to it; if it was the caller's node it will not call: ring him from here",
    ),
    Row((RESCUING,), LegEntered, Call._rescue_news, (RESCUING,), "dial the leg"),
    Row((RESCUING,), LegLives, Call._rescue_news, (RESCUING,), "it lives"),
    Row(
        (RESCUING,),
        Answered,
        Call._rescue_news,
        (RESCUING, TALKING),
        "they talk again: join both, stop the other legs",
    ),
    Row(
        (RESCUING,),
        LegEnded,
        Call._rescue_news,
        (RESCUING, OVER),
        "when all legs are gone the try has failed: pause, and look again; if it was who waits, end all",
    ),
    Row(
        (RESCUING,),
        Arrived,
        Call._called_again,
        (RESCUING, TALKING),
        "the other side calls again for who waits here: answer it, and join both",
    ),
    Row(
        (TALKING,),
        Arrived,
        Call._called_again,
        (TALKING,),
        "bridge mode: the other side has lost us, and calls again: hang up its old channel, and as if we had waited",
    ),
    Row(
        (RESCUING,),
        PeerGaveUp,
        Call._other_hung_up,
        (OVER,),
        "who was lost has hung up at his own node: hang up who waits for him",
    ),
    Row(
        (TALKING,),
        Returned,
        Call._callee_gone,
        (OVER,),
        "the callee has gone, the caller is ours again: hang up",
    ),
    Row(
        (NEW, HELD_BACK, WAITING, DIALING, TALKING, RESCUING, OVER),
        Ended,
        Call._ended,
        (DIALING, TALKING, RESCUING, OVER),
        "keep the record, unless its leg talks on, by a transfer; "
        "bridge mode: end all legs and the bridge, unless a transfer has put somebody in the caller's place; "
        "or, if his node has died, let who is left wait",
    ),
)
_ROWS = {(state, row.event): row for row in TABLE for state in row.states}
