"""Simulated Asterisks, their phones and the lines between them, on the world's clock: what our switchboards steer.

Asterisk is what the core sees of it: a channel stands in our application, or in Dial, or alone in the dialplan; it is made,
dialed, joined and ended as the effects ask, and what happens to it is told. SIP loses, repeats and gives up what it says as
RFC 3261 has it: an INVITE is sent again until somebody hears it, whether or not anybody wants the call yet.

Each call carries the truth along, which no machine of ours sees: who began it, and which phones rang for it (`Attempt`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pbxfed_ari.core.effects import Leg, Outside
from pbxfed_ari.core.events import (
    Answered,
    Arrived,
    BridgeSeen,
    CameIn,
    ChannelsListed,
    EarEntered,
    Ended,
    Event,
    LegDialed,
    LegEnded,
    LegEntered,
    LegLives,
    LegSeen,
    ListenerAnswered,
    Redirected,
    Returned,
    RingFound,
    TalkFound,
    WentOut,
)
from pbxfed_ari.core.names import ChannelId, NodeName, attempt_of, key_of_name
from tests.stories.promises import Spells

if TYPE_CHECKING:
    from tests.stories.exchange import Exchange, Telephony

NORMAL, BUSY, SILENCE, ABSENT, REJECTED, OUT_OF_ORDER, ELSEWHERE = 16, 17, 18, 20, 21, 27, 26
FAILURE = 38
PATIENCE = 32.0  # seconds for which SIP says something again (64 T1)
IAX_PATIENCE = 10.0  # the same of IAX2
UNASKED = 10.0  # seconds that a channel waits in Stasis for somebody to fetch it
EAR = 5.0  # seconds that who listens in waits for what he is to hear
CARRIER = "carrier"  # through whose endpoint the outside calls, and is called
LATE = 3.0  # seconds that a CANCEL or BYE waits at most where there is much to do
ALONE = 4.0  # seconds without a ring that peers have, who are asked without a daemon


@dataclass(slots=True)
class Ring:
    """A phone rang; `instead` of its own Asterisk, which was out of reach, another one let it.

    `anew`: somebody had answered; `unasked`: no daemon has sent it; `by`: the node whose Asterisk has.
    """

    at: float
    phone: "Phone"
    instead: bool
    anew: bool
    unasked: bool
    by: str
    until: float = float("inf")
    answered: float = float("inf")


@dataclass(eq=False)
class Wait:
    """Somebody waits in a queue, in one life of the daemon that holds it; `rung`: Dial has him meanwhile.

    `came`: when his call did, at this node. He may have his place since then: another node was tried first, or it rings for
    him when a daemon comes back.
    """

    attempt: "Attempt"
    number: str
    node: "Exchange"
    since: float
    came: float
    until: float = float("inf")
    rung: Spells = field(default_factory=Spells)


@dataclass(eq=False)
class Visit:
    """Somebody is in a conference room, of this node's Asterisk."""

    attempt: "Attempt"
    number: str
    node: str
    since: float
    until: float = float("inf")


@dataclass(eq=False)
class Attempt:
    """One call, as its caller and the phones that ring for it know it."""

    caller: "Phone"
    number: str
    began: float
    wall_ms: int
    at: "Pbx"  # where its way is looked for
    by: str = ""  # who has transferred it
    ended: float | None = None
    cause: int = 0
    answered: float | None = None
    taken: bool = False  # a phone has answered, whether or not the caller has heard of it
    passed_on: bool = False  # its caller has transferred: it may go on without him
    troubled: bool = False  # ARI has declined something of it, or did not answer
    heard: list[str] = field(default_factory=list)  # what the caller was let hear
    rings: list[Ring] = field(default_factory=list)


@dataclass(eq=False)
class Phone:
    """It rings for `after` seconds, and then does what its `manner` says."""

    number: str
    uri: str
    manner: str = "answers"  # "busy", "declines", "rings", or another number: 302
    after: float = 2.0
    home: "Pbx | None" = None
    dialogs: list["Dialog"] = field(default_factory=list)  # of calls that it rings for, or talks in
    attempt: Attempt | None = None  # its own, that goes on
    channel: "Channel | None" = None  # of it
    acted: list[float] = field(default_factory=list)  # when it hung up, or transferred
    homes: list[tuple[float, str]] = field(default_factory=list)  # where it was, and since when
    outside: bool = False  # it is a provider's, whose line leads to its home

    def __repr__(self) -> str:
        return self.number

    def was_at(self, when: float) -> str:
        """At which node it was registered then."""
        return [name for since, name in self.homes if since <= when or since == self.homes[0][0]][
            -1
        ]

    @property
    def at(self) -> "Pbx":
        """Where it is registered."""
        assert self.home is not None
        return self.home


class Dialog:
    """An INVITE and all that follows, from a channel to a phone or to another Asterisk."""

    def __init__(self, channel: "Channel", to: "Phone | Pbx", kind: str, note: str) -> None:
        self.caller, self.to, self.kind, self.note = channel, to, kind, note
        self.pbx, self.world, self.boot = channel.pbx, channel.pbx.world, channel.pbx.boots
        self.heard = self.over = self.up = False
        self.ring: Ring | None = None  # if it is to a phone
        self.called: Channel | None = None  # at the other Asterisk
        self.broken: float | None = None  # since when neither side hears the other
        self.wanted = True
        self.made, self.read = self.world.now, float("inf")  # by the other Asterisk
        self.dropped, self.why = float("inf"), ""  # when the calling side has given it up, and why
        if isinstance(to, Pbx):
            self.world.trunked.append(self)
        self._invite(0.5, 0.0)

    # --- between the two

    @property
    def open(self) -> bool:
        """Do the two sides hear each other, but for a single packet?"""
        if isinstance(self.to, Phone):
            return True
        ends = self.pbx.name, self.to.name
        return self.world.open(self.kind, *ends) and self.world.open(self.kind, *ends[::-1])

    def _passes(self, *, back: bool = False) -> bool:
        if isinstance(self.to, Phone):
            return True
        ends = (self.to.name, self.pbx.name) if back else (self.pbx.name, self.to.name)
        return self.world.passes(self.kind, *ends)

    def _invite(self, wait: float, passed: float) -> None:
        if self.heard or self.over or not self.pbx.lives(self.boot):
            return
        if self.kind == "iax2" and not self.wanted:
            return
        if passed > (PATIENCE if self.kind != "iax2" else IAX_PATIENCE):
            self.over = True
            self.caller.end(SILENCE if self.kind == "sip" else OUT_OF_ORDER, "nobody answers")
            return
        if self._passes():
            self.world.after(self.world.delay(), self._arrives)
        self.world.after(wait, lambda: self._invite(min(4.0, 2 * wait), passed + wait))

    def _arrives(self) -> None:
        if isinstance(self.to, Phone):
            self.heard = True
            if self.wanted:
                self.world.ring(self, self.to)
            return
        if not self.to.alive:
            return
        if self.to.laden and self not in self.to.incoming:
            self.world.after(self.to.laden(), partial(self._read_by, self.to, self.to.boots))
        else:
            self._read_by(self.to, self.to.boots)

    def _read_by(self, pbx: "Pbx", boot: int) -> None:
        """It has time for that."""
        if not pbx.lives(boot):
            return
        if self not in pbx.incoming:
            pbx.incoming.add(self)
            self.read = self.world.now
            self.called = pbx.arrives(self)
        if self._passes(back=True):
            self.world.after(self.world.delay(), self._trying)

    def _trying(self) -> None:
        first, self.heard = not self.heard, True
        if first and not self.wanted:
            self._say(back=False, do=self._called_ends)

    def _say(self, *, back: bool, do: Callable[[], object], surely: bool = True) -> None:
        """One side says something to the other; SIP says again what must be heard."""
        boots = [end.boots if isinstance(end, Pbx) else 0 for end in (self.to, self.pbx)]
        sender = self.to if back else self.pbx

        def heard() -> None:
            receiver = self.pbx if back else self.to
            if isinstance(receiver, Phone) or receiver.lives(boots[1 if back else 0]):
                do()

        def say(wait: float, passed: float) -> None:
            if isinstance(sender, Pbx) and not sender.lives(boots[0 if back else 1]):
                return
            if self._passes(back=back):
                laden = not back and isinstance(self.to, Pbx) and self.to.laden
                late = self.world.rng.random() * LATE if laden else 0.0
                self.world.after(self.world.delay() + late, heard)
            elif surely and passed < PATIENCE:
                self.world.after(wait, lambda: say(min(4.0, 2 * wait), passed + wait))

        say(0.5, 0.0)

    # --- what the called side says

    def rings(self, how: str = "RINGING") -> None:
        """180, 183, or PROCEEDING."""
        if self.over:
            return
        self._say(back=True, do=lambda: self.caller.lives(how), surely=self.kind == "iax2")

    def answers(self) -> None:
        """200."""

        def answered() -> None:
            if self.wanted and not self.over:
                self.heard = self.up = True
                self.caller.answered()
            else:
                self._say(back=False, do=self._called_ends)

        self._say(back=True, do=answered)

    def refuses(self, cause: int, to: str = "") -> None:
        """A final answer that is none of 200, or BYE."""

        def refused() -> None:
            self.heard = self.over = True
            if to:
                self.caller.moved(to)
            self.caller.end(cause, "the called side")

        if not self.over:
            self._say(back=True, do=refused)

    # --- what the calling side says

    def gives_up(self, cause: int) -> None:
        """CANCEL, once anything was heard; or BYE."""
        if self.over or not self.wanted:
            return
        self.wanted, self.dropped = False, self.world.now
        if self.heard or self.kind == "phone":
            self._say(back=False, do=lambda: self._called_ends(cause))

    def _called_ends(self, cause: int = NORMAL) -> None:
        self.over = True
        if isinstance(self.to, Phone):
            self.world.stops(self, self.to)
        elif self.called is not None:
            self.called.end(cause, "the calling side")


class Channel:
    """One of an Asterisk's."""

    def __init__(self, pbx: "Pbx", id: str, name: str, attempt: Attempt, number: str) -> None:
        self.pbx, self.id, self.name, self.attempt = pbx, ChannelId(id), name, attempt
        self.number = number  # where it is in the dialplan
        self.shown = attempt.caller.number
        self.state, self.place, self.args = "Down", "", [""]
        self.made, self.created_ms = pbx.world.now, pbx.wall_ms()
        self.dialog: Dialog | None = None
        self.called = False  # is it the called side of its dialog?
        self.phone: Phone | None = None  # whose own call it is
        self.peer, self.kind = "", ""  # whither, or whence, it leads, and by what
        self.note = ""  # what the peer has said of it
        self.told = ""  # PBXFED_CALL
        self.answered_ms = 0
        self.dial: Dial | None = None
        self.partner: Channel | None = None  # with whom Dial has connected it
        self.leg_of: Dial | None = None
        self.bridge = ""
        self.local: Channel | None = None  # the other half of a Local channel
        self.by = ""  # who has transferred it here
        self.wait: Wait | None = None  # in a queue
        self.listens = False  # who listens in waits, or hears, here
        self.ears: list[Channel] = []  # what hears it
        self.room = ""  # the conference that he is in
        self.visit = Visit(attempt, "", pbx.name, 0.0)
        self.gone = False
        self._time = 0  # of the limit that counts

    # --- what it hears from the other side

    def lives(self, how: str) -> None:
        """A leg gives a sign of life."""
        if self.gone or self.state == "Up":
            return
        self.state = "Ringing" if how == "RINGING" else self.state
        if self.leg_of is not None:
            self.leg_of.lives(self, how)
        else:
            self.pbx.tell(LegLives(ChannelId(""), self.id, how))
            self._passes_on("ring" if how == "RINGING" else how)

    def answered(self) -> None:
        """A leg is answered."""
        if self.gone:
            return
        self.state = "Up"
        if self.args[0] == "ear":
            self.pbx.stasis(self, self.args)
        elif self.leg_of is not None:
            self.leg_of.answered(self)
        else:
            self.pbx.tell(Answered(ChannelId(""), self.id))
            self._passes_on("answer")

    def _passes_on(self, what: str) -> None:
        """Asterisk tells it to who is in the same bridge, whether or not there is a daemon."""
        for other in self.pbx.bridges.get(self.bridge, set()) - {self}:
            other.indicate(what)

    def moved(self, to: str) -> None:
        """Its phone sends the call elsewhere."""
        if self.leg_of is not None and not self.leg_of.unasked:
            self.pbx.tell(Redirected(self.leg_of.caller.id, self.id, to))
        elif key_of_name(self.id):
            self.pbx.tell(Redirected(ChannelId(""), self.id, to))

    # --- what is done to it

    def indicate(self, what: str) -> None:
        """Its other side hears ringing, or the answer."""
        if self.gone:
            return
        if what == "answer" and self.state != "Up":
            self.state = "Up"
            if self.phone is not None:
                self.attempt.answered = self.attempt.answered or self.pbx.world.now
            elif self.local is not None:
                self.local.state = "Up"
                if self.local.listens:
                    self.local.waits_for_ear()
            elif self.dialog is not None and self.called:
                self.dialog.answers()
        elif what != "answer" and self.phone is not None:
            self.attempt.heard.append(what)
        elif what != "answer" and self.called and self.dialog is not None and self.state != "Up":
            self.dialog.rings("RINGING" if what == "ring" else what)

    def limit(self, seconds: float) -> None:
        """TIMEOUT(absolute); 0: none."""
        self._time += 1
        mine = self._time
        if seconds:
            self.pbx.world.after(seconds, lambda: self._time_over(mine))

    def _time_over(self, limit: int) -> None:
        if limit == self._time and not self.gone:
            self.pbx.world.severed(self, f"its time is over at {self.pbx.name}")
            self.end(42, "its time")

    def rings_out(self) -> None:
        """A leg that was dialed for so long."""
        if self.state != "Up":
            self.end(19, "rung out")

    def end(self, cause: int, why: str) -> None:
        """It is no more."""
        if self.gone:
            return
        self.gone = True
        if self.by:
            self.attempt.ended, self.attempt.cause = self.pbx.world.now, cause
        self.pbx.channels.pop(self.id, None)
        if self.dialog is not None:
            self.dialog.why = self.dialog.why or ("" if self.called else why)
            (self.dialog.refuses if self.called else self.dialog.gives_up)(cause)
        if self.phone is not None:
            self.pbx.world.caller_ends(self, cause, why)
        self.leave()
        self.waits_no_more()
        if self.room:
            self.visit.until = self.pbx.world.now
            self.pbx.rooms_changed()
        if self.dial is not None:
            self.dial.caller_gone()
        sip = 302 if why == "the called side" and cause == 23 else 0
        told = LegEnded(self.id, cause, sip) if key_of_name(self.id) else Ended(self.id, cause)
        self.pbx.tell(told)
        if self.leg_of is not None:
            self.leg_of.ended(self, cause)
        for ear in self.ears:
            ear.end(cause, "what it hears")
        half, self.local = self.local, None
        if half is not None:
            half.local = None
            half.end(cause, why)
        partner, self.partner = self.partner, None
        if partner is not None:
            partner.partner = None
            partner.end(cause, why)

    def waits_for_ear(self) -> None:
        """Who is to listen in has answered."""
        self.place = "dial"
        self.limit(EAR)
        self.indicate("answer")
        self.pbx.tell(ListenerAnswered(self.id))

    def is_heard_by(self, id: str) -> None:
        """A channel is made that hears this one, as long as it lives."""
        ear = self.pbx._new("Snoop/1", self.attempt, "", id)
        ear.args, ear.place, ear.state = ["ear"], "stasis", "Up"
        ear.limit(UNASKED)
        self.ears.append(ear)

    def hears(self, ear: "Channel") -> None:
        """Who listens is connected with that, for good."""
        self.partner, ear.partner, ear.place = ear, self, "dial"
        self.limit(0)
        ear.limit(0)

    def enters(self, number: str, note: str) -> None:
        """A conference room."""
        self.place, self.room, self.told = "room", number, note
        self.limit(0)
        self.indicate("answer")
        self.visit = Visit(self.attempt, number, self.pbx.name, self.pbx.world.now)
        self.pbx.world.visits.append(self.visit)
        self.pbx.rooms_changed()

    def waits_no_more(self) -> None:
        """It is in no queue any more."""
        if self.wait is not None:
            self.wait.until, self.wait = self.pbx.world.now, None

    def leave(self) -> None:
        """It is in no bridge any more."""
        if self.bridge:
            self.pbx.bridges.get(self.bridge, set()).discard(self)
            self.pbx.tell(WentOut(self.id, self.bridge))
            self.bridge = ""

    def other_end(self) -> "Phone | None":
        """Who is at this channel's end, if all is up and the way there is open."""
        dialog = self.dialog
        if self.phone is not None:
            return self.phone
        if self.local is not None:
            there = self.local.with_whom()
            return there.other_end() if there is not None else None
        if dialog is None or dialog.over or not dialog.open:
            return None
        if isinstance(dialog.to, Phone):
            return dialog.to
        far = dialog.caller if self.called else dialog.called
        if far is None or far.gone or not far.pbx.lives(far.pbx.boots):
            return None
        beyond = far.with_whom()
        return beyond.other_end() if beyond is not None and not far.pbx.dead else None

    def with_whom(self) -> "Channel | None":
        """Whom it hears here."""
        if self.partner is not None:
            return self.partner
        inside = [one for one in self.pbx.bridges.get(self.bridge, set()) if one.state == "Up"]
        others = [one for one in inside if one is not self]
        return others[0] if len(others) == 1 and self in inside else None


class Dial:
    """Asterisk's: legs ring together, the first that answers is connected."""

    def __init__(
        self,
        caller: Channel,
        legs: list["Target"],
        note: str,
        seconds: float,
        *,
        unasked: bool = False,
        recording: str = "",
    ) -> None:
        self.caller, self.unasked, self.rang = caller, unasked, False
        self.recording = recording
        self.legs: list[Channel] = []
        self.causes: list[int] = []
        caller.dial, caller.place = self, "dial"
        caller.limit(0)
        if caller.wait is not None:
            caller.wait.rung.set(True, caller.pbx.world.now)
        if not legs:
            self._over("CHANUNAVAIL", ABSENT)
            return
        for to, kind, number in legs:
            leg = caller.pbx.leg(to, kind, caller.attempt, number)
            leg.leg_of = self
            self.legs.append(leg)
            caller.pbx.tell(LegDialed(caller.id, leg.id, leg.name))
        for leg, (to, kind, _) in zip(list(self.legs), legs, strict=True):
            caller.pbx.invite(leg, to, kind, note)
        caller.pbx.world.after(seconds, self._rung_out)
        if unasked and any(isinstance(to, Pbx) for to, _, _ in legs):
            caller.pbx.world.after(ALONE, self._silent)

    def lives(self, leg: Channel, how: str) -> None:
        """A leg rings."""
        self.rang |= how != "PROCEEDING"
        if how != "PROCEEDING":
            self.caller.indicate("ring")
        self.caller.pbx.tell(LegLives(self.caller.id, leg.id, how))

    def answered(self, leg: Channel) -> None:
        """The first that does."""
        if leg not in self.legs or self.caller.gone:
            leg.end(NORMAL, "too late")
            return
        caller, others = self.caller, [one for one in self.legs if one is not leg]
        self.legs.clear()
        caller.waits_no_more()
        caller.dial, leg.leg_of = None, None
        if self.recording:
            caller.pbx.world.recorded[self.recording] = caller.attempt
        caller.partner, leg.partner = leg, caller
        caller.indicate("answer")
        caller.pbx.tell(Answered(caller.id, leg.id))
        for one in others:
            one.leg_of = None
            one.end(ELSEWHERE, "answered elsewhere")

    def ended(self, leg: Channel, cause: int) -> None:
        """A leg has failed."""
        if leg not in self.legs:
            return
        self.legs.remove(leg)
        self.causes.append(cause)
        if not self.legs and self.caller.dial is self:
            causes = self.causes
            if BUSY in causes:
                self._over("BUSY", BUSY)
            elif 19 in causes or NORMAL in causes:
                self._over("NOANSWER", 19 if 19 in causes else NORMAL)
            elif 34 in causes:
                self._over("CONGESTION", 34)
            else:
                self._over("CHANUNAVAIL", causes[-1])

    def caller_gone(self) -> None:
        """All legs end."""
        legs, self.legs = self.legs, []
        for leg in legs:
            leg.leg_of = None
            leg.end(NORMAL, "the caller")

    def _silent(self) -> None:
        if not self.rang:
            self._rung_out()

    def _rung_out(self) -> None:
        if self.caller.dial is self and self.legs:
            self.caller_gone()
            self._over("NOANSWER", NORMAL)

    def _over(self, status: str, cause: int) -> None:
        caller = self.caller
        caller.dial = None
        if caller.wait is not None:
            caller.wait.rung.set(False, caller.pbx.world.now)
        if caller.gone:
            return
        if self.unasked:
            caller.end(BUSY if status == "BUSY" else 19 if self.rang else 42, "without the daemon")
            return
        over = status == "BUSY" or self.rang
        caller.pbx.stasis(caller, ["next", status, str(cause)], over=over, cause=cause)


Target = tuple["Phone | Pbx", str, str]  # whom, by what, under which number


class Pbx:
    """One Asterisk."""

    def __init__(self, world: "Telephony", name: str) -> None:
        self.world, self.name = world, name
        self.boots, self.dead = 0, False
        self.app: Exchange | None = None  # the daemon that is connected
        self.contacts: dict[str, list[Phone]] = {}
        self.peers: tuple[Leg, ...] = ()  # whom it asks without its daemon
        self.laden: Callable[[], float] | None = None  # seconds until it reads what comes now
        self._numbers = 0
        self.start()

    def __repr__(self) -> str:
        return f"Pbx({self.name})"

    def start(self) -> None:
        """Nothing of before is left."""
        self.boots, self.dead = self.boots + 1, False
        self.channels: dict[ChannelId, Channel] = {}
        self.bridges: dict[str, set[Channel]] = {}
        self.whose: dict[str, ChannelId] = {}  # a bridge is
        self.incoming: set[Dialog] = set()
        self.since_ms = self.wall_ms()

    def wall_ms(self) -> int:
        """What its machine's clock says."""
        return self.world.wall_ms() + self.world.skews.get(self.name, 0)

    @property
    def alive(self) -> bool:
        """Does it run?"""
        return not self.dead

    def lives(self, boot: int) -> bool:
        """Is it the one that began with this boot?"""
        return self.alive and self.boots == boot

    def tell(self, event: Event) -> None:
        """The daemon hears it, if there is one."""
        if self.app is not None and self.alive:
            self.app.hear(event)

    def rooms_changed(self) -> None:
        """No event tells of conferences: in a moment the daemon looks (asterisk/conferences.py)."""
        if self.app is not None:
            self.world.after(0.3, self.app.look_for_rooms)

    # --- channels

    def _new(self, name: str, attempt: Attempt, number: str, id: str = "") -> Channel:
        self._numbers += 1
        fresh = id or f"{self.name}{self.boots}.{self._numbers}"
        channel = Channel(self, fresh, f"{name}-{self._numbers:08x}", attempt, number)
        self.channels[channel.id] = channel
        return channel

    def called_by(self, phone: Phone, attempt: Attempt) -> Channel:
        """A phone dials."""
        channel = self._new(f"PJSIP/{_endpoint(phone)}", attempt, attempt.number)
        channel.phone, channel.state = phone, "Ring"
        self.stasis(channel, ["did" if phone.outside else "phone"])
        return channel

    def arrives(self, dialog: Dialog) -> Channel:
        """A peer calls."""
        technology = "IAX2" if dialog.kind == "iax2" else "PJSIP"
        name = f"{technology}/pf-{dialog.pbx.name}"
        channel = self._new(name, dialog.caller.attempt, dialog.caller.number)
        channel.dialog, channel.called, channel.state = dialog, True, "Ring"
        channel.peer, channel.kind = dialog.pbx.name, dialog.kind
        channel.note = self.world.known(self.name, dialog.note)
        if dialog.kind == "iax2":
            dialog.rings("PROCEEDING")
        self.stasis(channel, ["trunk", f"pf-{dialog.pbx.name}", channel.note])
        return channel

    def leg(
        self, to: "Phone | Pbx", kind: str, attempt: Attempt, number: str, id: str = ""
    ) -> Channel:
        """Make a channel to somebody, or to a number at a peer."""
        technology = "IAX2" if kind == "iax2" else "PJSIP"
        whom = f"pf-{to.name}" if isinstance(to, Pbx) else _endpoint(to)
        leg = self._new(f"{technology}/{whom}", attempt, number, id)
        leg.peer, leg.kind = (to.name, kind) if isinstance(to, Pbx) else ("", "")
        return leg

    def invite(self, leg: Channel, to: "Phone | Pbx", kind: str, note: str) -> None:
        """Let it ring there."""
        leg.dialog = Dialog(leg, to, kind if isinstance(to, Pbx) else "phone", note)

    def targets(self, to: Leg | Outside, called: str, uri: str = "") -> list["Target"]:
        """Whom a leg rings."""
        if isinstance(to, Outside):
            return [(self.world.phones[to.digits], "phone", to.digits)]
        number = to.number or called
        if to.peer is not None:
            return [(self.world.pbxs[to.peer], to.trunk, number)]
        if to.uri or uri:
            return [(self.world.phones[to.uri or uri], "phone", number)]
        return [(phone, "phone", number) for phone in self.contacts.get(number, [])]

    def stasis(
        self, channel: Channel, args: list[str], *, over: bool = False, cause: int = NORMAL
    ) -> None:
        """It enters our application; without a daemon it goes on alone. `over`: somebody was rung for it already."""
        channel.args = args
        if self.app is None:
            if args[0] == "leg":
                channel.end(FAILURE, "without the daemon")  # it has no dialplan to go on with
            elif over or channel.by:
                channel.end(19 if cause == NORMAL else cause, "without the daemon")
            else:
                self._alone(channel)
            return
        channel.place = "stasis"
        channel.limit(UNASKED)
        self.tell(self.entered(channel))

    def _alone(self, channel: Channel) -> None:
        phones = self.contacts.get(channel.number, [])
        if phones:
            here: list[Target] = [(phone, "phone", channel.number) for phone in phones]
            Dial(channel, here, "", 30.0, unasked=True)
            return
        number = channel.number
        asked: list[Target] = [
            (self.world.pbxs[leg.peer], leg.trunk, number) for leg in self.peers if leg.peer
        ]
        outside = channel.phone is not None and channel.phone.outside
        if not asked or channel.called or outside:
            channel.end(20 if channel.called else 42, "without the daemon")
            return
        Dial(channel, asked, "", 30.0, unasked=True)

    def entered(
        self, channel: Channel, *, again: bool = False
    ) -> Arrived | Returned | LegEntered | EarEntered:
        """What the daemon hears of who stands in its application."""
        if channel.args[0] == "leg":
            return LegEntered(channel.id)
        if channel.args[0] == "ear":
            return EarEntered(channel.id)
        if channel.args[0] == "next":
            return Returned(channel.id, channel.args[1], int(channel.args[2]), again)
        return self.came(channel, again=again)

    def came(self, channel: Channel, *, again: bool = False) -> Arrived:
        """How this caller came."""
        peer = NodeName(channel.peer) if channel.called and not channel.by else None
        endpoint = channel.name.partition("/")[2].rpartition("-")[0]
        return Arrived(
            channel.id,
            channel.number,
            channel.shown,
            "",
            peer,
            channel.note if peer else "",
            self.world.fresh_id(),
            endpoint if channel.name.startswith("PJSIP/") else "",
            outside=channel.args[0] == "did",
            wall_ms=channel.created_ms,
            by=channel.by,
            again=again,
        )

    def led(self, channel: Channel) -> Arrived:
        """The same of one who was handed over: it stands in his channel."""
        outside = channel.phone is not None and channel.phone.outside and not channel.by
        return replace(self.came(channel), outside=outside, led=True)

    # --- transfers

    def blind(self, sender: Channel, number: str) -> None:
        """A phone sends whom it talks with to another number."""
        by, other = sender.attempt.caller.number, sender.with_whom()
        if sender.dialog is not None and isinstance(sender.dialog.to, Phone):
            by = sender.dialog.to.number
        whom = other.other_end() if other is not None else None
        if other is None or whom is None or (sender.bridge and self.app is None):
            return  # without a daemon nobody leaves a bridge of Stasis
        attempt = Attempt(whom, number, self.world.now, self.wall_ms(), self, by)
        self.world.transferred.append(attempt)
        if not sender.bridge:  # Dial has connected them
            sender.partner = other.partner = None
            if other.phone is not None or other.by:
                other.attempt.ended, other.attempt.cause = self.world.now, NORMAL
            if other.phone is not None:
                other.phone.attempt = attempt
            other.attempt = attempt
            other.number, other.by, other.shown = number, by, whom.number
            self.stasis(other, ["phone"])
            sender.end(NORMAL, "it has transferred")
            return
        bridge, (here, there) = sender.bridge, self._local(number, attempt)
        there.number, there.by, there.shown = number, by, whom.number
        sender.leave()
        self.join(bridge, here)
        self.stasis(there, ["phone"])

    def attended(self, first: Channel, second: Channel) -> None:
        """A phone connects the two with whom it talks."""
        one, other = first.with_whom(), second.with_whom()
        if one is None or other is None or bool(first.bridge) != bool(second.bridge):
            return
        if first.bridge and self.app is None:
            return
        if one.other_end() is None and other.other_end() is None:
            return  # nobody connects a conference room with itself
        if not first.bridge:
            first.partner = second.partner = None
            one.partner, other.partner = other, one
            first.end(NORMAL, "it has transferred")
            second.end(NORMAL, "it has transferred")
            return
        for sender, half in zip((first, second), self._local("", first.attempt), strict=True):
            bridge, half.state = sender.bridge, "Up"
            sender.leave()
            self.join(bridge, half)

    def ear_afar(self, id: str, attempt: Attempt, to: "Pbx", heard_by: str, note: str) -> None:
        """By a trunk: it enters our application when it is answered there."""
        ear = self.leg(to, "sip", attempt, heard_by, id)
        ear.args = ["ear"]
        self.invite(ear, to, "sip", note)
        self.world.after(EAR, ear.rings_out)

    def listener(self, phone: str, other: str, number: str) -> None:
        """A number is called, for who shall listen in there."""
        nobody = Phone(number, "", homes=[(0.0, self.name)])
        attempt = Attempt(nobody, number, self.world.now, self.wall_ms(), self, troubled=True)
        one, half = self._local(number, attempt, (phone, other))
        one.listens = True
        self.stasis(half, ["phone"])

    def _local(
        self, number: str, attempt: Attempt, ids: tuple[str, str] = ("", "")
    ) -> tuple[Channel, Channel]:
        one, other = (self._new(f"Local/{number}@pbxfed", attempt, number, id) for id in ids)
        one.local, other.local = other, one
        return one, other

    # --- what a daemon that connects reads

    def listed(self) -> ChannelsListed:
        """All channels, and our bridges."""
        seen = tuple(map(self._seen, self.bridges))
        alone = frozenset(
            one.id
            for one in self.channels.values()
            if one.place == "stasis" and one.answered_ms and not one.bridge
            if not key_of_name(one.id)
        )
        return ChannelsListed(frozenset(self.channels), seen, self.wall_ms(), alone)

    def _seen(self, name: str) -> BridgeSeen:
        inside = sorted(self.bridges[name], key=lambda one: one.id)
        legs = [one for one in inside if key_of_name(one.id)]
        legs.sort(key=lambda one: -attempt_of(one.id))
        callers = [one for one in inside if one not in legs]
        put = frozenset(one.id for one in callers if one.local is not None)
        came = [self.came(one) for one in callers if one.place]
        answered = next((one.answered_ms for one in callers), 0)
        talks = all(one.state == "Up" or not one.place for one in legs or inside)
        ids = tuple(one.id for one in inside)
        leg = self._leg_seen(legs[0]) if legs else None
        rings = legs if [one.state for one in legs] == ["Ringing"] else []
        caller = self.channels.get(self.whose[name])
        if not inside and caller is not None and caller.place == "stasis":
            came = [self.came(caller)]
            of_it = {one for one in self.channels.values() if key_of_name(one.id)}
            rings = [one for one in of_it if key_of_name(one.id) == key_of_name(name)]
            rings = (
                sorted(rings, key=lambda one: one.id)
                if any(one.state != "Down" for one in rings)
                else []
            )
        ringing = tuple(map(self._leg_seen, rings))
        return BridgeSeen(name, ids, talks, put, tuple(came), leg, answered, ringing)

    @staticmethod
    def _leg_seen(leg: Channel) -> LegSeen:
        peer = NodeName(leg.peer) if leg.peer else None
        return LegSeen(
            peer, leg.kind, leg.number, leg.created_ms, leg.id, silent=leg.state == "Down"
        )

    def handed_over(self) -> list[tuple[Channel, TalkFound | RingFound]]:
        """Who talks by Dial, and for whom it rings."""
        found: list[tuple[Channel, TalkFound | RingFound]] = []
        for one in self.channels.values():
            if one.place not in ("dial", "room") or not one.told:
                continue
            came, now = self.led(one), self.wall_ms()
            if one.partner is not None or one.room:
                leg = self._leg_seen(one.partner) if one.partner is not None else None
                found.append((one, TalkFound(came, one.told, leg, now)))
            elif one.dial is not None:
                found.append((one, RingFound(came, one.told, now)))
        return found

    # --- bridges

    def join(self, name: str, channel: Channel) -> None:
        """Put it into a bridge of ours."""
        if channel.bridge == name:
            return
        channel.leave()
        channel.bridge = name
        self.bridges[name].add(channel)
        self.tell(CameIn(channel.id, name))


def _endpoint(phone: Phone) -> str:
    return CARRIER if phone.outside else phone.number
