"""One call, from its arrival to its end: what is known of it.

A call is handed over to Asterisk's own Dial, which connects the legs; it comes back only if a try has failed. So the machine
is small, and a call that talks needs nothing of us. While it is set up it is watched (setup.py).

What happens to it stands elsewhere: transitions (what each event does in each state), trying (from one try to the next; what is
left stands in remaining, how one begins in starting), talking (who has answered, who comes and goes), rescuing (the other end
has died), returning (it was found after a restart).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from msgspec.structs import replace

from pbxfed_ari.core.calls.bridging import Bridged
from pbxfed_ari.core.calls.rescue import Half, Rescue
from pbxfed_ari.core.calls.setup import NEVER, Setup
from pbxfed_ari.core.effects import (
    Attempted,
    CallEnded,
    Diverted,
    Effect,
    HangUp,
    HangUpLeg,
    Leg,
    Listened,
    Note,
    Outside,
)
from pbxfed_ari.core.events import (
    Arrived,
    CallersEvent,
    PeerGaveUp,
    PeerHasCall,
    PeerLostCalls,
    Returned,
    Ticked,
)
from pbxfed_ari.core.names import (
    CallId,
    ChannelId,
    Extension,
    NodeName,
    key_of_name,
    listens_to,
)
from pbxfed_ari.core.routing import waybill
from pbxfed_ari.core.routing.tries import (
    FAILED,
    NORMAL,
    SAYABLE,
    Asking,
    Route,
    Try,
)
from pbxfed_ari.core.routing.waybill import Waybill

FIRST, LAST = 10, 40  # tries that a call remembers: who waits in a queue may be rung for all day
NOWHERE = Route((), NORMAL, "", Extension(""))
Input = CallersEvent | PeerGaveUp | PeerHasCall | PeerLostCalls | Ticked
Tried = tuple[str, object]


class Phase(Enum):
    """Where a call stands."""

    NEW = "new"
    HELD = "held"
    WAITING = "waiting"
    DIALING = "dialing"
    TALKING = "talking"
    RESCUING = "rescuing"
    OVER = "over"

    __hash__ = object.__hash__  # Enum's own is written in Python


NEW, HELD_BACK, WAITING, DIALING, TALKING, RESCUING, OVER = Phase
SETTING_UP = (HELD_BACK, WAITING, DIALING)
ROOMED = (WAITING, DIALING, TALKING)  # in these a call may be in a room, or a queue


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
    silent_by: dict[NodeName, str] = field(
        default_factory=dict
    )  # the trunk by which one did not, lately
    shown: Diverted | None = None  # by whom his channel says he was sent on; None: as he came
    phase: Phase = Phase.NEW
    route: Route = NOWHERE
    tries: int = 0  # that have begun
    tried: list[Try] = field(default_factory=list)  # of those, the FIRST and the LAST
    left_out: int = 0  # of which nothing is known any more: after the FIRST, or of before a restart
    dialed_out: bool = False  # one of all was to the outside
    forgotten: bool = False  # which tries they were: the last one was handed over before a restart
    cause: int = NORMAL
    answered: float = 0.0
    finished: bool = False  # its record is kept, nothing of it is left
    recording: str = ""  # under what its conversation is recorded, if its last try is answered
    note: str = ""  # under what it is written down while it goes on (notebook.py)
    before: CallEnded | None = None  # what an earlier life of ours has written down there
    paid_by: str = ""  # the same, of whose calling class counts
    refused: tuple[
        Leg | Outside, ...
    ] = ()  # the same, of who rang together for this number: who said no
    caller: ChannelId = field(init=False)  # by a transfer it may become another one
    caller_gone: bool = False  # the one that began
    leg: ChannelId = ChannelId("")  # of Dial's, which has answered
    leg_lives: bool = False
    talks_with: tuple[Leg | Outside, ...] | None = None  # of those that were rung
    parted: float = NEVER  # when it is looked at, after who has answered has gone
    put_through: bool = False  # he has, and the caller talks on with somebody else
    put_by: str = ""  # which of both has put it through, the first who has, if it goes on without
    put_at: float = 0.0  # him then
    sender: Half | None = None  # as what a peer knows it that has sent it here, whoever has it now
    told: str = ""  # that peer: with which number the caller is here
    whose: str = ""  # the number of the phone that has answered
    moved: dict[ChannelId, str] = field(
        default_factory=dict
    )  # whither a leg's phone sends the call
    sent_to: str = ""  # the same, of the try that has failed so
    failed: tuple[Returned, float] | None = None  # how, and when: where it goes is open yet
    unsettled: float = NEVER  # since when it waits for it to be known who lives
    leaves: bool = False  # a peer's call, that ends when its sender has heard what came of it
    tried_at: float = 0.0  # when the last try began
    done: set[Tried] = field(default_factory=set)  # legs, and whose they were
    had_turn: set[str] = field(default_factory=set)  # of a group that rings in turn
    came: str = ""  # of the tries for this number: BUSY_OUT or RANG_OUT, if one came so far
    listens: str = field(init=False)  # the call in on which who is called shall listen
    listened: list[Listened] = field(default_factory=list)
    history: list[Attempted] = field(default_factory=list)  # of `tried`, what came of each
    known: list[Attempted] = field(default_factory=list)  # of an earlier life, tries that go before
    reached: set[tuple[NodeName | None, str]] = field(
        default_factory=set
    )  # nodes that have spoken for a phone of theirs

    def __post_init__(self) -> None:
        arrival = self.arrival
        self.caller = arrival.channel
        self.bill = waybill.read(arrival.note) if arrival.peer else None
        if self.bill is not None and arrival.peer is not None:
            self.sender = Half(arrival.peer, CallId(self.bill.call), self.bill.attempt)
            self.told = arrival.number
        self.listens = listens_to(arrival.channel)
        if self.listens:  # who is left alone would be told so in the other call
            self.rescue_seconds = 0
        line = self.bill.line if self.bill else ""
        payer = arrival.by or ("" if arrival.outside else arrival.endpoint)
        alone = arrival.peer is not None and self.bill is None
        if alone:  # nobody has looked yet whether he may
            payer = arrival.caller
        self.asking = Asking(
            arrival.number,
            self.bill.payer if self.bill and line else payer,
            arrival.peer,
            line,
            did=arrival.outside and not arrival.led,
            outside=arrival.outside,
            running=bool(arrival.by) or (arrival.again and arrival.peer is not None),
            seed=self.id,
            wall_ms=arrival.wall_ms,
            heirs=self.bill.heirs if self.bill else (),
            diverted=self.bill.diverted if self.bill else None,
            alone=alone,
            listens=bool(self.listens),
        )

    @property
    def legs(self) -> tuple[Leg | Outside, ...]:
        """What rings now, or talks."""
        phase = self.phase
        if phase is TALKING and self.talks_with is not None:
            return self.talks_with
        live = (
            phase is DIALING or phase is TALKING or (phase is RESCUING and self.setup is not None)
        )
        return self.tried[-1].legs if live and self.tried else ()

    @property
    def room(self) -> str:
        """The conference room here where its caller is, or at whose door, or the queue; "" if none."""
        live = self.phase in ROOMED
        if live and self.queue:
            return self.queue
        meet = self.tried[-1].meet if live and self.tried else None
        return meet.number if meet else ""

    @property
    def key(self) -> str:
        """The call, as the names of its bridge and legs hold it: of the legs of a peer's that meet here each has its own."""
        return f"{self.id}.{self.arrival.fresh_id}" if self.bill else self.id

    @property
    def channels(self) -> tuple[ChannelId, ...]:
        """While one of these lives it may go on."""
        began = () if self.caller_gone else (self.arrival.channel, self.caller)
        legs = self.bridged.ours if self.bridged else [self.leg] if self.leg_lives else []
        return tuple(dict.fromkeys((*began, *legs)))

    def next_deadline(self) -> float:
        """When `tick` is due."""
        if self.phase is TALKING:
            return self.parted
        word = self.word_due if self.phase is DIALING else NEVER
        watched = self.setup if self.phase is not HELD_BACK else None
        return min(self.held_until, watched.deadline if watched else NEVER, word)

    def is_stranger(self, channel: ChannelId) -> bool:
        """Was it put into our bridge by a transfer?"""
        legs = self.bridged.legs if self.bridged else {}
        known = channel in (self.arrival.channel, self.caller) or channel in legs
        return not known and not self.is_of_before(channel)

    def is_of_before(self, channel: ChannelId) -> bool:
        """Is it a leg of a try before this one?"""
        legs = self.bridged.legs if self.bridged else {}
        return key_of_name(channel) == self.key and channel not in (self.caller, *legs)

    def follows(self, former: "Call") -> None:
        """Its caller comes out of that one, by a transfer if somebody had answered."""
        self.shown = former.shown
        if self.sender is None and former.answered:
            self.sender, self.told = former.sender, former.told

    def expects(self, attempt: int, peer: NodeName) -> bool:
        """Is this try of ours on its way to that peer, or did it connect?"""
        setup = self.setup
        if setup is None:  # it was found talking after a restart
            return self.phase is Phase.TALKING and attempt >= self.tries
        return setup.number_to(peer) == attempt and peer not in setup.gone

    def is_try_before(self, peer: NodeName, bill: Waybill) -> bool:
        """Is it set up here for an earlier try of this peer's call?"""
        if self.bill is None or self.phase not in SETTING_UP:
            return False
        same = (self.arrival.peer, self.bill.call) == (peer, bill.call)
        return same and self.bill.attempt < bill.attempt

    def own(self) -> bool:
        """A phone of the number itself may send its calls elsewhere; a member of a group may not, nor may the outside.

        Nor may who shall listen in.
        """
        return not self.listens and all(
            isinstance(leg, Leg) and not leg.number and not leg.line for leg in self.legs
        )

    @property
    def payer(self) -> str:
        """Whose calling class counts."""
        return self.route.payer or self.asking.payer

    def transferred_by(self, now: float) -> str:
        """The phone that has sent its caller here, out of another call; or has put it through, and others talk on."""
        return self.arrival.by or (self.put_by if now >= self.put_at else "")

    def leaves_to_others(self, channel: ChannelId, at: float) -> None:
        """He who called, or who was called, has gone: if it goes on then, he has put it through. Nobody else can."""
        if self.put_by:
            return
        came, called = self.arrival, self.whose or str(self.route.number)
        caller = "" if came.peer or came.outside else came.endpoint or came.caller
        self.put_by, self.put_at = caller if channel == came.channel else called, at

    @property
    def diverted(self) -> Diverted | None:
        """Who has sent it on."""
        return self.route.diverted or self.asking.diverted

    @property
    def diverted_outside(self) -> Diverted | None:
        """The same, where the outside may hear it: the inbound number, if it came by one."""
        by = self.diverted
        return replace(by, by=self.arrival.number) if by and self.arrival.outside else by

    def note_try(self, attempt: Try, number: Extension, now: float) -> Effect:
        """It begins: for the record; for the log if it is not the first, for each line costs (docs/decisions/0005)."""
        self.tried_at = now
        self.tries += 1
        self.dialed_out |= any(isinstance(leg, Outside) for leg in attempt.legs)
        if len(self.tried) == FIRST + LAST:
            del self.tried[FIRST], self.history[FIRST]
            self.left_out += 1
        self.tried.append(attempt)
        began = round(now - self.began, 3)
        self.history.append(Attempted(number, attempt.legs, attempt.reason, began))
        told = (*self.names(), ("try", self.tries), ("reason", attempt.reason))
        return Note("call tried", told, "info" if self.tries > 1 else "debug", log_only=True)

    def recall(self, tries: Sequence[Attempted]) -> None:
        """These are known of before a restart."""
        self.history = list(tries)[-FIRST - LAST :]
        self.tried = [Try(one.legs, one.reason) for one in self.history]

    def came_of_it(self, outcome: str, now: float) -> None:
        """The last try is decided."""
        last = self.history[-1] if self.history else None
        if last is not None and not last.outcome:
            seconds = round(now - self.began - last.began, 3)
            self.history[-1] = replace(last, outcome=outcome, seconds=seconds)

    def give_up(self, cause: int) -> list[Effect]:
        """It ends here, with this cause (Q.850), or as a failure if SIP has no word for it."""
        self.phase, self.cause = Phase.OVER, cause
        reason = self.route.reason or f"{self.tries} tries failed"
        fields = (*self.names(), ("cause", cause), ("reason", reason))
        told = Note("call refused", fields, log_only=True)
        legs = self.bridged.end() if self.bridged else []
        return [HangUp(self.caller, cause if cause in SAYABLE else FAILED), *legs, told]

    def clear(self) -> list[Effect]:
        """Whoever takes part in it now is hung up: after a transfer not who began it."""
        if self.phase is Phase.TALKING and self.bridged is not None:
            return [self.bridged.hang_up(one, NORMAL) for one in sorted(self.bridged.present)]
        if self.caller_gone and self.leg_lives:
            return [HangUpLeg(self.arrival.channel, self.leg, NORMAL)]
        return [HangUp(self.caller, NORMAL)]

    def names(self) -> tuple[tuple[str, object], ...]:
        """How notes name it."""
        origin = (
            f"{self.arrival.caller}@{self.arrival.peer}"
            if self.arrival.peer
            else self.arrival.caller
        )
        by = (("transferred_by", self.arrival.by),) if self.arrival.by else ()
        return (("call", self.id), ("from", origin), ("to", self.arrival.number), *by)

    def record(self, now: float) -> CallEnded:
        """It is over, and nothing of it is left."""
        self.finished = True
        if not self.answered:
            self.recording = ""
        return self.so_far(now)

    def who_refused(self) -> tuple[Leg | Outside, ...]:
        """Of those who ring together; and who did so before a restart."""
        rung = self.bridged if self.phase is Phase.DIALING else None
        return (*self.refused, *(rung.refused() if rung else ()))

    def so_far(self, now: float) -> CallEnded:
        """The record, if it ended now."""
        arrival, before = self.arrival, self.before
        if before is not None and not arrival.number:  # who came was replaced, by a transfer
            came = {"caller": before.caller, "number": before.number, "outside": before.outside}
            peer = NodeName(before.peer) if before.peer else None
            arrival = replace(arrival, **came, peer=peer, by=before.by)
        talked, reached = self.answered > 0, self.whose or str(self.route.number)
        seconds = now - self.began
        return CallEnded(
            self.id,
            arrival.caller,
            arrival.number,
            self.tries,
            talked,
            self.cause,
            seconds,
            arrival.peer or "",
            arrival.outside,
            arrival.wall_ms,
            now - self.answered if talked else 0.0,
            reached if talked and reached != arrival.number else "",
            "bridge" if self.bridged else "handover" if self.tried else "",
            tuple(self.history),
            left_out=self.left_out,
            by=arrival.by or self.transferred_by(now),
            note=self.note,
            listened=tuple(one.until(seconds) for one in self.listened),
            listens_to=self.listens,
            recording=self.recording,
        )
