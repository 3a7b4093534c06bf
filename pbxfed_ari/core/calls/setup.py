"""The setting up of a call, as far as Dial cannot see it: is there life at the other end, and is the try still wanted?

**The caller's side.** A peer that shows no sign of life is given up after LIFE seconds (AFAR at another site, the trunk's timer
to the outside), or at once when it is out of reach. Life is: its CallHere, PROCEEDING over IAX2, ringing, early media, an
answer. SIP's 100 Trying is none: ARI does not show it. A peer that lives is given up only when it is declared down: no good
call is cut. Nor is one to a peer that has answered another by the same kind of trunk since it began: that peer is busy, not
dead, and has BUSY seconds more, or twice what the slowest of others has needed lately. Else whoever has much to do would be
asked everything twice, and never get out of it (RFC 6298 says the same of TCP); where the next try asks another node, as for a
line of the outside, it is not. If our own Asterisk is slow to begin a leg, the time begins with that. Only legs to peers, to
the outside and to phones of nodes out of reach are abandoned; our own phones may take their time.

Where a phone rings, even a peer that is declared down, or says that its Asterisk does not answer, is given up only if its SIP
does not answer either (AskSip): its daemon alone may have died, or have been stopped, and Asterisk rings on without it.

Of several that ring together each is watched by itself: what lives rings on, what is given up is abandoned alone, who is busy
or refuses has answered. Whoever was `missed` so, and never rung, is called by his other trunk once the others have rung out or
refused (trying.py), in bridge mode at once (meanwhile.py).

A node may live whose Asterisk has died: then no trunk tells of the end of what rang there. Its daemon does, once it is certain
of that death (asterisk/process.py): it counts them, and the count travels with its condition, in heartbeats and site reports,
so that a lost frame is made good by the next one. The legs to that node are abandoned at once, what it had sent is hung up.

**The receiver's side.** It says CallHere after WORDS seconds (WORDS_AFAR to another site), and once more; and at once to who
has waited already, or is refused. What rings tells it by itself: by IAX2 for certain, by SIP in a datagram that nobody repeats,
and that half a second without a network may cost together with the first word. So a phone that must be woken is waited for, and
a line whose provider is slow: that has its own timer where the line is.

An INVITE that was given up is sent again until somebody hears it: a node that wakes would let phones ring for nobody. So the
waybill says until when its sender waits at most. What comes later (GRACE: clocks are compared by whole seconds) is dropped
before it rings; what comes suspiciously late is held while its sender is asked: he answers CallOver if he has given it up.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pbxfed_ari.core.effects import Abandon, AskSip, Effect, Leg, Outside
from pbxfed_ari.core.events import Arrived
from pbxfed_ari.core.messages import CallHere, CallOver
from pbxfed_ari.core.names import CallId, ChannelId, NodeName, node_of_trunk
from pbxfed_ari.core.routing.tries import (
    ABSENT,
    BUSY_OUT,
    NO_ANSWER,
    NO_RESPONSE,
    RANG_OUT,
    REJECTED,
    UNREACHABLE,
    Lines,
    Try,
    View,
)
from pbxfed_ari.core.routing.tries import BUSY as BUSY_CAUSE
from pbxfed_ari.core.routing.waybill import Waybill

LIFE = 2.0  # seconds
AFAR = 4.0
ONCE_MORE = {LIFE: 0.3, AFAR: 1.0}  # by another trunk, to a node that has just been silent
BUSY, BUSIEST = 6.0, 22.0  # to a peer that answers others; SIP sends no INVITE again after 32 s
AGAIN = 0.5  # until a leg that is not begun yet is looked for again
GRACE = 1_000  # ms
# seconds after which a receiver says that a try is there, and without a ring says it again
WORDS, WORDS_AFAR = (0.4, 1.0), (1.0, 2.5)
HELD, HELD_AFAR = 0.2, 0.6  # seconds in which the sender of a late call may say that it is over
# seconds by which a trunk's end might overtake our word; at another site it goes by way of two forwarders
OVERTAKES, OVERTAKES_AFAR = 0.06, 0.3
DOUBT = 1.0  # seconds between two questions whether the SIP of a peer out of reach, where a phone rings, lives
NEVER = float("inf")
End = NodeName | None  # where legs lead: a peer; None: to the outside, or to phones from here
RINGS = frozenset({"RINGING", "PROGRESS"})  # of what Dial says of a leg: the caller hears it
PROCEEDING = "PROCEEDING"  # the same: he hears nothing yet
SAID_NO = (BUSY_CAUSE, NO_ANSWER, ABSENT)  # with which legs end that were answered so


@dataclass(slots=True)
class Setup:
    """One try on its way."""

    attempt: Try
    number: int  # of the try; to some ends another one
    began: float
    deadline: float  # when it is abandoned without a sign of life
    latest: float  # the same, if its peer answers others
    waits: float = (
        0.0  # seconds without a sign of life that a leg has, from when Asterisk has begun it
    )
    spare: float = BUSY  # and so many more, if its peer answers others
    lives: bool = False
    rang: bool = False  # somebody's phone has rung, or was heard
    spoke: set[End] = field(default_factory=set)  # who has shown life
    rings: set[End] = field(default_factory=set)  # whose Asterisk has said that a phone rings
    asked: dict[NodeName, float] = field(default_factory=dict)  # of those: when, if they live
    mute: set[NodeName] = field(default_factory=set)  # of those: whose SIP has not answered
    fresh: list[End] = field(default_factory=list)  # of those, who has just done so
    proceeds: set[End] = field(default_factory=set)  # whose Asterisk has said that it has the try
    gone: set[End] = field(default_factory=set)  # given up: no more is waited for
    overdue: set[NodeName] = field(default_factory=set)  # of those, whose time was over, only that
    laden: set[NodeName] = field(default_factory=set)  # of those, who has answered others meanwhile
    abandoned: bool = False  # all of it is
    legs: dict[ChannelId, End] = field(default_factory=dict)  # begun, and whither
    unseen: set[ChannelId] = field(default_factory=set)  # of those: Asterisk has not made them yet
    phones: dict[ChannelId, str] = field(default_factory=dict)  # the same, of our own phones
    quiet: set[ChannelId] = field(default_factory=set)  # of those, who rings no more
    busy: bool = False  # somebody has said so
    nowhere: bool = False  # the phone sends the call back to who calls; Dial says that it is busy
    elsewhere: bool = False  # who may send nobody on has said where else to go (3xx)
    lost: set[NodeName] = field(default_factory=set)  # peers whose Asterisk has died with it
    numbers: dict[End, int] = field(default_factory=dict)  # of ends that are called once more
    since: dict[End, float] = field(default_factory=dict)  # the same: when

    def dialed(self, leg: ChannelId, name: str, now: float) -> None:
        """Dial has begun a leg."""
        self.legs[leg] = _peer_of(name)
        self._begun(now)
        if self.legs[leg] is None:
            self.phones[leg] = _owner_of(name)

    def makes(self, legs: Mapping[ChannelId, End]) -> None:
        """Legs of our own, which Asterisk is to make."""
        self.unseen |= legs.keys() - self.legs.keys()
        self.legs.update(legs)

    def entered(self, leg: ChannelId, now: float) -> None:
        """Asterisk has made it."""
        if leg in self.unseen:
            self.unseen.discard(leg)
            self._begun(now)

    def whom(self, leg: ChannelId, called: str) -> tuple[Leg | Outside, ...]:
        """Of those that were rung, who has answered by this leg; several phones of one peer cannot be told apart."""
        peer, phone = self.legs.get(leg), self.phones.get(leg)
        if leg not in self.legs or len(self.attempt.legs) < 2:
            return self.attempt.legs
        return tuple(
            one
            for one in self.attempt.legs
            if isinstance(one, Outside)
            or (one.peer == peer and (peer or phone in (None, one.number or called)))
        )

    def alive(self, end: End) -> None:
        """It has shown life."""
        self.lives = True
        if end not in self.spoke:
            self.fresh.append(end)
        self.spoke.add(end)
        self._settle()

    def hears(self, leg: ChannelId, how: str, now: float) -> None:
        """A leg of this try gives a sign of life. By PROCEEDING an Asterisk says that it has it, whatever its daemon does."""
        self.entered(leg, now)
        ends = self.watched
        end = self.legs[leg] if leg in self.legs else ends.pop() if len(ends) == 1 else None
        if how == PROCEEDING:
            self.proceeds.add(end)
            self._settle()
        else:
            self.alive(end)
        if how in RINGS:
            self.rings.add(end)
        self.rang = self.rang or how in RINGS

    def answers(self, leg: ChannelId) -> None:
        """A leg is answered: a queue or a room says nothing before that."""
        if leg in self.legs:
            self.alive(self.legs[leg])

    def sip_said(self, peer: NodeName, lives: bool) -> None:
        """Where a phone rings, though its daemon is out of reach: its Asterisk answers, or nobody does."""
        if lives:
            self.mute.discard(peer)
        elif peer in self.asked:
            self.mute.add(peer)

    def number_to(self, end: End) -> int:
        """Which try of the call it is there."""
        return self.numbers.get(end, self.number)

    def called(self, end: End) -> float:
        """When it was, at last."""
        return self.since.get(end, self.began)

    def again(
        self,
        attempt: Try,
        ends: Collection[End],
        number: int,
        now: float,
        waits: float,
        spare: float,
    ) -> None:
        """These ends, that were given up, are called once more, as this try, beside the others (meanwhile.py)."""
        self.attempt, self.deadline, self.waits = attempt, now + waits, waits
        self.spare = max(self.spare, spare)
        self.latest = self.deadline + self.spare
        self.numbers.update(dict.fromkeys(ends, number))
        self.since.update(dict.fromkeys(ends, now))
        self.legs = {leg: end for leg, end in self.legs.items() if end not in ends}
        self.gone -= set(ends)
        self.overdue -= set(ends)
        self.laden -= set(ends)

    def ended(self, leg: ChannelId, cause: int) -> None:
        """A leg has ended by itself: whose phone has said no has shown life, though nothing has rung."""
        if leg in self.phones:
            self.quiet.add(leg)
        if leg in self.legs and cause in SAID_NO:
            self.spoke.add(self.legs[leg])
            self.busy = self.busy or cause == BUSY_CAUSE
            self._settle()

    def freed(self) -> frozenset[str]:
        """The numbers of our own phones that ring no more, while others do."""
        if not self.quiet:
            return frozenset()
        rings = {number for leg, number in self.phones.items() if leg not in self.quiet}
        return frozenset({self.phones[leg] for leg in self.quiet} - rings)

    def came_of_it(self, status: str, cause: int, lasted: float, seconds: int) -> str:
        """What this try's end means to its caller: BUSY_OUT, RANG_OUT or UNREACHABLE.

        `status` and `cause` (Q.850) are Dial's, after `lasted` of its `seconds`; the cause is what somebody has refused with
        last, in this try or before. A phone that declines (603, 403) is as good as busy: nobody wants to ring it again by
        another way. A peer that refuses without a ring has reasons of its own.
        """
        if self.abandoned:
            return UNREACHABLE
        if status == "NOANSWER" and (self.rang or lasted >= seconds - 1.0):
            return RANG_OUT
        ours = all(isinstance(leg, Leg) and leg.peer is None for leg in self.attempt.legs)
        declined = cause == REJECTED and (self.rang or ours)
        if (status == "BUSY" and not self.nowhere) or self.busy or declined:
            return BUSY_OUT
        return RANG_OUT if self.rang and cause == NO_RESPONSE else UNREACHABLE

    def lose(
        self, peer: NodeName, now: float, view: View, lines: Lines, call: CallId
    ) -> list[Effect]:
        """This peer's Asterisk has died. What rings elsewhere rings on."""
        self.lost.add(peer)
        return self.tick(now, view, lines, call)

    def tick(self, now: float, view: View, lines: Lines, call: CallId) -> list[Effect]:
        """Abandon the legs to whom that is due; each end is watched by itself."""
        asks = self._ask(now, view)
        hopeless = {end for end in self.watched - self.gone if self._hopeless(end, now, view)}
        if not hopeless:
            return asks
        busy = {end for end in hopeless if self._busy(end, now, view, lines)}
        begun = ((leg, end) for leg, end in self.legs.items() if leg not in self.unseen)
        doomed = {leg: end for leg, end in begun if end in hopeless - busy}
        given_up = set(doomed.values())
        self.gone |= given_up
        quiet = given_up - self.spoke - self.lost
        self.overdue |= {end for end in quiet if end is not None and view.reachable(end)}
        self.laden |= {end for end in self.overdue if self._answers(end, lines)}
        self.abandoned = self.watched <= self.gone and not self._ours()
        if hopeless - given_up:
            self.deadline = now + AGAIN
        self._settle()
        return [*asks, *(Abandon(leg) for leg in doomed), *self._tell(given_up, view, call)]

    def over(self, view: View, call: CallId) -> list[Effect]:
        """Tell the peers that it is given up."""
        return self._tell(self.watched, view, call)

    @property
    def watched(self) -> set[End]:
        """The ends of its legs. Our own phones may take their time."""
        ends = ends_of(self.attempt)
        return ends - {None} if self._ours() else ends

    @property
    def silent(self) -> set[NodeName]:
        """Whose trunk may be blocked: his time was over, and nobody else was answered by it."""
        return self.overdue - self.laden

    @property
    def unheard(self) -> bool:
        """Are only peers called, and has none of them shown life?"""
        legs = self.attempt.legs
        return not self.spoke and all(isinstance(leg, Leg) and leg.peer for leg in legs)

    @property
    def missed(self) -> set[End]:
        """Who was given up without ever having shown life: nothing has rung there."""
        return self.gone - self.spoke

    def _tell(self, ends: set[End], view: View, call: CallId) -> list[Effect]:
        order = dict.fromkeys(leg.peer for leg in self.attempt.legs if isinstance(leg, Leg))
        told = [peer for peer in order if peer and peer in ends]
        return [e for p in told for e in view.tell(p, CallOver(call, self.number_to(p)))]

    def _begun(self, now: float) -> None:
        """If our own Asterisk was so slow that half of the time has passed, it begins now, for as long as the try is wanted."""
        if self.deadline < min(NEVER, now + self.waits / 2):
            self.deadline = max(self.deadline, min(now + self.waits, self.latest))

    def _settle(self) -> None:
        """If nobody is waited for who has not shown life, time does not matter any more."""
        if self.deadline < NEVER and self.watched <= self.spoke | self.proceeds | self.gone:
            self.deadline = NEVER

    def _ask(self, now: float, view: View) -> list[Effect]:
        """Of whom the federation hears nothing, though a phone rings there: is it Asterisk, or its daemon alone?"""
        ringing = {end for end in self.rings - self.gone - self.lost if end is not None}
        known = ringing & self.watched if view.settled(now) else set()
        away = {end for end in known if not view.reachable(end)}
        self.mute &= away
        self.asked = {end: at for end, at in self.asked.items() if end in away}
        due = sorted(end for end in away if now >= self.asked.get(end, -NEVER) + DOUBT)
        self.asked.update(dict.fromkeys(due, now))
        return [AskSip(end) for end in due]

    def _hopeless(self, end: End, now: float, view: View) -> bool:
        if end in self.lost:
            return True
        known = end is not None and view.settled(now)  # what rang before we came may go on
        if end in self.spoke:
            rings = end in self.asked and end not in self.mute
            return end is not None and known and not view.alive(end) and not rings
        overdue = now >= self.deadline and end not in self.proceeds
        return overdue or (end is not None and known and not view.reachable(end))

    def _busy(self, end: End, now: float, view: View, lines: Lines) -> bool:
        """Has this peer, that is within reach, answered another since it began?"""
        if end is None or end in self.lost or now >= self.latest or not view.reachable(end):
            return False
        return self._answers(end, lines)

    def _answers(self, peer: NodeName, lines: Lines) -> bool:
        """Has it answered another by the same kind of trunk since this began?"""
        legs = (leg for leg in self.attempt.legs if isinstance(leg, Leg) and leg.peer == peer)
        return any(lines.heard(peer, leg.trunk) > self.called(peer) for leg in legs)

    def _ours(self) -> bool:
        """Is a phone of ours called? It may take its time."""
        legs = (leg for leg in self.attempt.legs if isinstance(leg, Leg))
        return any(leg.peer is None and not leg.uri for leg in legs)


def begin(
    attempt: Try,
    number: int,
    now: float,
    view: View,
    lines: Lines,
    spare: float,
    silent: Collection[NodeName] = (),
) -> Setup:
    """A try is handed over; `silent`: nodes that have shown no life to this call. `spare`: as `spare_of`.

    If our own loop was late a moment ago, a sign of life may be late by our own fault: no good call is cut.
    """
    waits = patience(attempt, view)
    peers = {leg.peer for leg in attempt.legs if isinstance(leg, Leg)}
    if peers and peers <= set(silent):
        waits = once_more(waits)
    waits *= 2 if lines.hurried() else 1
    return Setup(attempt, number, now, now + waits, now + waits + spare, waits, spare)


def spare_of(attempt: Try, lines: Lines) -> float:
    """How many seconds more a peer has that answers others."""
    legs = [leg for leg in attempt.legs if isinstance(leg, Leg)]
    slowest = max((lines.needed(leg.peer, leg.trunk) for leg in legs if leg.peer), default=0.0)
    return min(max(BUSY, 2 * slowest), BUSIEST)


def ends_of(attempt: Try) -> set[End]:
    """Whither its legs lead."""
    return {leg.peer if isinstance(leg, Leg) else None for leg in attempt.legs}


def once_more(waits: float) -> float:
    """Instead of so many seconds, of who was silent already."""
    return ONCE_MORE.get(waits, waits)


def patience(attempt: Try, view: View) -> float:
    """Seconds that a try may show no sign of life."""
    if attempt.patience:
        return attempt.patience
    peers = [leg.peer for leg in attempt.legs if isinstance(leg, Leg) and leg.peer is not None]
    if not peers:
        return NEVER
    return AFAR if any(view.door(peer) is None for peer in peers) else LIFE


def here(bill: Waybill, peer: NodeName, view: View, sent_to: str = "") -> list[Effect]:
    """Tell the sender that his try is here, or whither its phone sends it on."""
    return list(view.tell(peer, CallHere(bill.call, bill.attempt, sent_to)))


def words(peer: NodeName, view: View) -> tuple[float, float]:
    """When the sender is told that his try is here, seconds after it came. Most calls ring before that."""
    return WORDS_AFAR if view.door(peer) is None else WORDS


def lateness(bill: Waybill, peer: NodeName, arrived: Arrived, now: float, view: View) -> str:
    """Is a peer's call "late", or "doubtful", or in time ("")? One that has just come: by our clock as it was last read.

    For by that, too, it is known how far the peer's clock is ahead: ours may have been set since, a moment ago. Of a peer whose
    clock we have not heard of, as a moment after our start, nothing can be said: it is asked. Of other sites only those whose
    reports we get say it: the others there are supposed to have the same time, but nothing is refused for that.
    """
    wall_ms = (not arrived.again and view.clock_ms(now)) or arrived.wall_ms
    if not bill.until_ms or not wall_ms:
        return ""
    known = view.ahead(peer)
    ahead = known if known is not None else view.supposed_ahead(peer)
    if ahead is None:
        return "doubtful"
    passed = wall_ms + ahead * 1_000 - bill.until_ms
    if passed > GRACE and known is not None:
        return "late"
    return "doubtful" if passed > GRACE * 0.2 - GRACE - (bill.spare or BUSY) * 1_000 else ""


def _peer_of(channel: str) -> NodeName | None:
    """Whither a leg goes: `PJSIP/pf-b-0000002a` and `IAX2/pf-b-123` go to b."""
    return node_of_trunk(_owner_of(channel))


def _owner_of(channel: str) -> str:
    """Whose endpoint it is: `PJSIP/1001-0000002a` is 1001's."""
    return channel.partition("/")[2].rpartition("-")[0]
