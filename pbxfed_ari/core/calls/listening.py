"""Who listens in on a call: supervision, as somebody here has asked for it.

    asked      his phone is called. The call to it is one as any other (`Call.listens`), whose caller is one end of a Local
               channel; the other end, `phone`, waits in the dialplan when he has answered
    answered   what hears the other call is made: its `ear`, a channel that hears both sides, and is heard as was asked
    hears      the dialplan connects both, and nothing of it needs us any more: it ends with that call, or when he hangs up

A call that was handed over to a peer by SIP is heard there. Its `ear` here is a trunk to it; who comes by that waits there as
a `phone` does here, for an ear of that node's own. For such a channel takes the call's packets through Asterisk's core, which
numbers them anew. No phone minds that; but where they are translated, at the called node, Debian's Asterisk drops whatever is
numbered lower than what it has had.

It is told by the names of these channels, so it goes on if we are killed. What the call's record says of it stands in its note.
A call is listened in on at the node that it came to first, which keeps the record of it.
"""

from dataclasses import dataclass

from pbxfed_ari.core.calls.call import Call, Phase
from pbxfed_ari.core.calls.calls import Calls
from pbxfed_ari.core.calls.notebook import still
from pbxfed_ari.core.effects import (
    CallListener,
    Effect,
    HangUp,
    Lead,
    Leg,
    Lend,
    Listened,
    Note,
    Overhear,
    OverhearAfar,
    Reply,
)
from pbxfed_ari.core.events import (
    Arrived,
    CallEvent,
    ChannelsListed,
    EarEntered,
    Ended,
    ListenAsked,
    ListenerAnswered,
)
from pbxfed_ari.core.names import (
    ChannelId,
    Extension,
    NodeName,
    key_of_name,
    listener_of,
    listens_to,
)
from pbxfed_ari.core.records.objects.extension import Phone
from pbxfed_ari.core.routing.tries import BUSY_OUT, NO_ROUTE, NORMAL, RANG_OUT, View
from pbxfed_ari.core.routing.waybill import Waybill

WHISPERS = {"nobody": "none", "caller": "out", "called": "in", "both": "both"}  # to the caller's
FLIPPED = {"out": "in", "in": "out"}  # to the channel of who was called
SAID = {BUSY_OUT: "is busy", RANG_OUT: "does not answer"}
FAILED = "Asterisk could not do it: see the daemon's log"
PHONE, CALL, EAR = "phone", "call", "ear"
ANSWERED_SOON = (Phase.DIALING, Phase.TALKING)
WAITS = "pbxfed-listen", "far"  # where in the dialplan he does


@dataclass(slots=True)
class Listener:
    """One who listens in, or is called for that."""

    base: str  # of its channels' names
    of: Call | None  # on which he listens in; None: not found yet
    call: Call | None = None  # to him; None: not here yet
    ticket: int = 0  # of who waits for him to answer
    hears: bool = False
    ends: str = ""  # why he is being hung up
    came: ChannelId | None = None  # his end, if he listens at the peer that has sent the call
    afar: bool = False  # he hears the call where it was sent

    @property
    def phone(self) -> ChannelId:
        """The end that is his."""
        return self.came or self._channel(PHONE)

    @property
    def channel(self) -> ChannelId:
        """The caller's, of the call to him."""
        return self.came or self._channel(CALL)

    @property
    def ear(self) -> ChannelId:
        """What hears the other call."""
        return self._channel(EAR)

    @property
    def heard_by(self) -> str:
        """Who hears him."""
        return self.base.split("-")[-2]

    def _channel(self, what: str) -> ChannelId:
        return ChannelId(f"{self.base}-{what}")


class Supervision:
    """All who listen in on calls of this node."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._listeners: dict[ChannelId, Listener] = {}

    def __repr__(self) -> str:
        return f"Supervision({len(self._listeners)})"

    def ask(self, event: ListenAsked, view: View) -> list[Effect]:
        """Somebody shall: his phone is called, if there is something to listen to."""
        found = self._calls.parts_of(event.call)
        of = next((call for call in found if call.arrival.peer is None), None)
        if of is None:
            return [_no_call(event, found)]
        phone = view.get("number", event.number)
        if not isinstance(phone, Phone):
            return [Reply(event.ticket, 422, error=f"{event.number}: no such extension")]
        if of.listens:
            why = f"call {of.id} is to one who listens in himself"
            return [Reply(event.ticket, 409, error=why)]
        if of.phase is not Phase.TALKING or _where(of) is None:
            return [Reply(event.ticket, 409, error=f"nobody talks in call {of.id} now")]
        base = listener_of(of.key, event.heard_by, event.fresh_id)
        one = Listener(base, of, ticket=event.ticket)
        self._listeners[one.channel] = one
        self._calls.listening[one.channel] = None
        shown = f"Listening: {of.arrival.caller} - {of.whose or of.route.number}"
        return [CallListener(one.phone, one.channel, phone.number, shown)]

    def comes(self, event: Arrived, call: str) -> list[Effect]:
        """By a peer's trunk: he hears that peer's call here, of which it may know sooner that it is answered."""
        here = [one for one in self._calls.parts_of(call) if one.arrival.peer == event.peer]
        here.sort(key=lambda one: one.phase is not Phase.TALKING)
        of = next((one for one in here if one.phase in ANSWERED_SOON), None)
        if of is None or event.number not in WHISPERS:
            return [HangUp(event.channel, NO_ROUTE)]
        base = listener_of(of.key, event.number, event.fresh_id)
        self._listeners[event.channel] = Listener(base, of, came=event.channel)
        self._calls.listening[event.channel] = None
        return [Lead(event.channel, *WAITS)]

    def look(self, event: CallEvent, now: float) -> list[Effect]:
        """Something has happened: what does it mean to who listens in?"""
        effects: list[Effect] = []
        for channel, call in list(self._calls.listening.items()):
            one = self._listeners.get(channel)
            if one is None:  # since before we lived
                one = Listener(channel.removesuffix(f"-{CALL}"), None)
                self._listeners[channel] = one
            one.call = call
            if one.of is None:
                one.of = self._calls.named(listens_to(channel))
            effects += self._look(one, event, now)
        return effects

    def _look(self, one: Listener, event: CallEvent, now: float) -> list[Effect]:
        of, call = one.of, one.call
        if type(event) is Ended and event.channel == one.phone:
            return self._over(one, now)
        if call is not None and call.finished:
            return self._over(one, now)
        if type(event) is Ended and event.channel == one.ear:
            return _end(one, "the call has just ended")
        if of is not None and not _goes_on(one, of):
            return _end(one, "the call is over")
        if type(event) is ListenerAnswered and event.channel == one.phone:
            return _overhear(one)
        if type(event) is EarEntered and event.ear == one.ear:
            return [Lend(one.phone, one.ear), *self._hears(one, now)]
        return []

    def _hears(self, one: Listener, now: float) -> list[Effect]:
        of, call = one.of, one.call
        if one.came:  # what is told of it, the peer tells
            self._forget(one)
        if of is None or call is None:
            return []
        one.hears = True
        number = str(call.arrival.number)
        began = round(now - of.began, 3)
        of.listened.append(Listened(number, one.heard_by, began, goes_on=True, channel=one.channel))
        self._calls.notebook.changed(of)
        fields = (("call", of.id), ("by", number), ("heard_by", one.heard_by))
        ticket, one.ticket = one.ticket, 0
        body: dict[str, object] = {"call": of.id, "by": number, "heard_by": one.heard_by}
        return [
            Note("call listened in on", fields),
            *([Reply(ticket, 201, body)] if ticket else []),
        ]

    def _over(self, one: Listener, now: float) -> list[Effect]:
        """He hears no more, or never did."""
        self._forget(one)
        if one.ticket:
            return [Reply(one.ticket, 409, error=_why(one))]
        of = one.of
        open_ = [e for e in of.listened if e.goes_on and e.channel == one.channel] if of else []
        if of is None or not open_:
            return []
        ended = open_[0].over(now - of.began)
        of.listened[of.listened.index(open_[0])] = ended
        if not of.finished:
            self._calls.notebook.changed(of)
        fields = (("call", of.id), ("by", ended.by), ("seconds", round(ended.seconds, 1)))
        return [Note("call no longer listened in on", fields)]

    def _forget(self, one: Listener) -> None:
        del self._listeners[one.channel]
        self._calls.listening.pop(one.channel, None)

    def listed(self, event: ChannelsListed, now: float) -> list[Effect]:
        """These are all channels that there are."""
        for call in self._calls:
            if call.listened:
                call.listened = list(still(call.listened, event.channels, now - call.began))
        gone = [one for one in self._listeners.values() if one.phone not in event.channels]
        over = [one for one in gone if one.hears or one.call is None]  # a call's own end tells
        return [effect for one in over for effect in self._over(one, now)]

    def stranger(self, event: ListenerAnswered | EarEntered) -> list[Effect]:
        """Nobody has asked for an ear that nobody knows: who was to hear by it has gone."""
        known = {one.ear for one in self._listeners.values()}
        lost = isinstance(event, EarEntered) and event.ear not in known
        return [HangUp(event.ear, NORMAL)] if isinstance(event, EarEntered) and lost else []


def _no_call(event: ListenAsked, parts: list[Call]) -> Reply:
    if parts:
        first = parts[0].arrival.peer
        why = f"call {event.call} came to {first} first, which keeps its record: ask there"
        return Reply(event.ticket, 409, error=why)
    why = f"no call {event.call} here: ask at the node whose `pbxfed calls` shows it"
    return Reply(event.ticket, 404, error=why)


def _goes_on(one: Listener, of: Call) -> bool:
    """Is there something to listen to?"""
    if one.came:
        return of.phase in ANSWERED_SOON
    return of.phase is Phase.TALKING and not (one.afar and of.caller_gone)


def _overhear(one: Listener) -> list[Effect]:
    """He has answered, and is to hear."""
    heard = _where(one.of) if one.of else None
    if one.of is None or heard is None:
        return _end(one, "the call is over")
    peer = None if one.came else _sent_to(one.of)
    if peer is not None:
        one.afar, note = True, str(Waybill(one.of.id, ear=True))
        return [OverhearAfar(one.phone, one.ear, peer, one.heard_by, note)]
    channel, called = heard
    whisper = WHISPERS.get(one.heard_by, "none")
    whisper = FLIPPED.get(whisper, whisper) if called else whisper
    return [Overhear(one.phone, one.ear, channel, whisper)]


def _where(of: Call) -> tuple[ChannelId, bool] | None:
    """By which channel a call is heard, and whether who was called is there."""
    if of.bridged is None:
        if not of.caller_gone:
            return of.caller, False
        return (of.leg, True) if of.leg_lives else None
    here = of.bridged.present - of.bridged.outside
    if of.caller in here:
        return of.caller, bool(key_of_name(of.caller))
    legs = sorted(here & of.bridged.legs.keys())
    return (legs[0], True) if legs else None


def _sent_to(of: Call) -> NodeName | None:
    """The peer to which Dial has passed the call by SIP as it is, if its caller is here yet.

    What was given a codec for the way is translated here, and passes by the core already.
    """
    legs = of.talks_with or ()
    if of.bridged is not None or of.caller_gone or len(legs) != 1:
        return None
    (leg,) = legs
    plain = isinstance(leg, Leg) and leg.trunk == "sip" and not leg.codec
    return leg.peer if plain and isinstance(leg, Leg) else None


def _end(one: Listener, why: str) -> list[Effect]:
    """Hang him up, once."""
    if one.ends:
        return []
    one.ends = why
    return [HangUp(one.phone, NORMAL)]


def _why(one: Listener) -> str:
    """Why nothing came of it."""
    call = one.call
    if one.ends:
        return one.ends
    if call is None:
        return FAILED
    number = Extension(call.arrival.number)
    last = call.history[-1].outcome if call.history else ""
    if last == "answered":
        return f"{number} has hung up"
    return f"{number} {SAID.get(last, 'cannot be reached')}" if last else call.route.reason
