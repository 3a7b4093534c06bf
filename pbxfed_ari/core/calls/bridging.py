"""One try in bridge mode: we own legs and bridge, by names of our own (`pf-<call>-…`), so that a restarted daemon knows them.

    MADE      entered    DIALED    have the leg dialed; if it is the only one, join it with the caller first (early media),
                                   to a peer by IAX2 when it lives: of one that is silent chan_iax2 says congestion after a
                                   second (`autokill`), by which Asterisk refuses whoever is in the bridge with it
    DIALED    rings      DIALED    of several let the caller hear it ring, once; a single one he hears by the bridge
    DIALED    refused    GONE      a line by IAX2 is busy, or cannot, and its leg is there still: end it
    DIALED    answered   UP        answer the caller, join both, let the others stop: "answered elsewhere"
    any       ended      GONE      when all are gone the try has failed, with the status that Dial would say; or is `untold`
    UP        ended      GONE      the conversation is over: end the caller, too, with the same cause
    GONE      entered    GONE      end it: it was given up before it was there; or answered: before it was known to be dialed

A caller who hangs up takes all legs along. What Asterisk declines ends the leg: a try can fail, never hang.

A phone that transfers makes Asterisk put a Local channel into its place in the bridge: its other end comes by the dialplan as a
call of its own (blind), or stands in the other call's bridge (attended). So a conversation is who is `present`, whoever began
it: it goes on as long as there are two, and who was replaced is hung up.

Who is rescued (rescue.py) waits in the bridge already, answered, and hears that he waits: legs are joined when they answer.
He may be the phone that was called: then one of our own legs is the `caller`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum

from pbxfed_ari.core.effects import (
    DialLeg,
    Diverted,
    Effect,
    EndBridge,
    HangUp,
    HangUpLeg,
    Hush,
    Indicate,
    Join,
    Leg,
    MakeBridge,
    MakeLeg,
    Outside,
)
from pbxfed_ari.core.events import (
    Answered,
    LegEnded,
    LegEntered,
    LegLives,
    LegRefused,
    Returned,
)
from pbxfed_ari.core.names import ChannelId, NodeName, bridge_of, key_of_name, leg_of
from pbxfed_ari.core.records.objects.extension import Phone
from pbxfed_ari.core.records.objects.room import Room
from pbxfed_ari.core.routing.tries import (
    ABSENT,
    BUSY,
    CONGESTION,
    NO_ANSWER,
    NO_RESPONSE,
    NO_ROUTE,
    NORMAL,
    REJECTED,
    Try,
    View,
)

ELSEWHERE = 26  # Q.850: non-selected user clearing; Asterisk's ANSWERED_ELSEWHERE
PATIENCE = 60  # seconds that Asterisk lets a caller wait beside what it rings
_TELLING = (REJECTED, NO_RESPONSE, ABSENT)  # what phones have said, before what stood in the way
_VAGUE = (0, 3, NO_ROUTE, 38)  # none known, and what a leg ends with that was abandoned, or failed
_SAID_NO = (BUSY, NO_ANSWER, REJECTED)
_MOVED = 302  # SIP: of several who ring together nobody is sent elsewhere
_HEARD = ("RINGING", "PROGRESS")


class Step(Enum):
    """How far a leg is."""

    MADE = "made"
    DIALED = "dialed"
    UP = "up"
    GONE = "gone"


@dataclass(slots=True)
class Part:
    """One leg."""

    to: Leg | Outside
    step: Step = Step.MADE
    cause: int = 0
    said_no: bool = False
    untold: bool = False  # it is gone, and nobody was asked, or nobody knows what he has said
    joined: bool = False  # with the caller, when it lived


@dataclass(slots=True)
class Bridged:
    """A try whose legs are ours, and the conversation that may come of it."""

    key: str  # the call, as its names hold it
    caller: ChannelId
    seconds: int  # that it rings
    bridge: str = ""  # its name; by default as the call's first one is called
    legs: dict[ChannelId, Part] = field(default_factory=dict)
    held: bool = False  # the caller waits in the bridge, and is to be rescued
    music: str = ""  # what he hears there
    apart: bool = False  # none is in the bridge before it has answered, though only one is left
    discreet: bool = False  # the caller is of the outside, and hears of no number inside
    talks: bool = False  # somebody has answered
    heard: bool = False  # the caller was let hear it ring
    steady: bool = False  # the bridge was made so, or is to be
    present: set[ChannelId] = field(default_factory=set)  # who talks
    outside: set[ChannelId] = field(
        default_factory=set
    )  # who of them is not in the bridge any more

    def __post_init__(self) -> None:
        self.bridge = self.bridge or bridge_of(self.key)

    @property
    def live(self) -> list[ChannelId]:
        """The legs that are not gone."""
        return [leg for leg, part in self.legs.items() if part.step is not Step.GONE]

    @property
    def ours(self) -> list[ChannelId]:
        """The channels of our own making that are not gone."""
        return [*self.live, *([self.caller] if key_of_name(self.caller) else [])]

    def peers(self) -> dict[ChannelId, NodeName | None]:
        """Whither each leg goes."""
        return {leg: p.to.peer if isinstance(p.to, Leg) else None for leg, p in self.legs.items()}

    def phones(self, called: str) -> dict[ChannelId, str]:
        """Which phone of ours each leg rings."""
        ours = {leg: p.to for leg, p in self.legs.items() if isinstance(p.to, Leg)}
        return {leg: to.number or called for leg, to in ours.items() if to.peer is None}

    def begin(
        self,
        attempt: Try,
        number: int,
        called: str,
        note: str,
        view: View,
        diverted: Diverted | None = None,
        before: "Bridged | None" = None,
    ) -> list[Effect]:
        """Make the legs; the bridge, too, unless the caller waits in it. He is in it before a single leg is.

        The bridge of the try `before` will do, unless this one must be steady: Asterisk changes none that is there.
        """
        if self.held:
            return self.ring(attempt, number, called, note, view, diverted)
        old: list[Effect] = []
        self.steady |= any(map(_by_sip_to_peer, attempt.legs))
        if before is not None and self.steady and not before.steady:
            old = [EndBridge(self.caller, before.bridge)]
            self.bridge = bridge_of(self.key, number)
        elif before is not None:
            self.bridge, self.steady = before.bridge, before.steady
        made = self.ring(attempt, number, called, note, view, diverted)
        whom = self._shown_to_caller(called, view) if self._early() else ("", "")
        seconds = self.seconds + PATIENCE
        how = self.discreet, any(map(_by_iax2_outside, attempt.legs))
        bridge = MakeBridge(self.caller, self.bridge, seconds, self.steady, *whom, *how)
        waits = [Join(self.caller, self.bridge, (self.caller,))] if self._early() else []
        return [*old, bridge, *waits, *made]

    def ring(
        self,
        attempt: Try,
        number: int,
        called: str,
        note: str,
        view: View,
        diverted: Diverted | None = None,
    ) -> list[Effect]:
        """Make these legs, beside those that there are."""
        targets = self._targets(attempt, called, view)
        legs = [leg_of(self.key, number, len(self.legs) + index) for index in range(len(targets))]
        self.legs |= {leg: Part(to) for leg, (to, _) in zip(legs, targets, strict=True)}
        effects: list[Effect] = []
        for leg, (to, uri) in zip(legs, targets, strict=True):
            by = (
                diverted if diverted and diverted.by and _shown(to) else None
            )  # others: as the caller
            then = self._dial(leg) if self._early() else ()
            effects.append(MakeLeg(self.caller, leg, called, to, uri, note, by, then))
        return effects

    def handle(
        self, event: LegEntered | LegLives | LegRefused | LegEnded | Answered
    ) -> tuple[list[Effect], Returned | Answered | None]:
        """What is to be done, and what has come of the try if it is decided."""
        leg = event.leg
        if isinstance(event, LegEnded) and leg in self.present:
            return self.gone(leg, event.cause or NORMAL), None
        part = self.legs.get(leg)
        if leg == self.caller:
            return [], None
        if part is None or part.step is Step.GONE:
            late = isinstance(event, LegEntered | Answered)
            return ([HangUpLeg(self.caller, leg, NORMAL)] if late else []), None
        match event:
            case LegEntered() if part.step is Step.MADE:
                part.step = Step.DIALED
                return list(self._dial(leg)), None
            case LegLives(how=how) if part.step is Step.DIALED:
                return [*self._join(leg, part), *self._hear(how)], None
            case Answered() if not self.talks:
                return self._answer(leg, part), event
            case LegRefused(cause=cause) if part.step is Step.DIALED:
                part.said_no = cause in _SAID_NO
                effects, outcome = self._ended(part, cause, unseen=False)
                return [HangUpLeg(self.caller, leg, cause), *effects], outcome
            case LegEnded(cause=cause, sip=sip) if part.step is not Step.UP:
                part.said_no = cause in _SAID_NO or sip == _MOVED
                return self._ended(part, cause, unseen=event.unseen)
        return [], None

    def refused(self) -> tuple[Leg | Outside, ...]:
        """Who of several has said no, by all of his phones, while others ring on."""
        rest = {part.to for part in self.legs.values() if not part.said_no}
        return tuple(dict.fromkeys(p.to for p in self.legs.values() if p.to not in rest))

    @property
    def told(self) -> set[Leg | Outside]:
        """Of whom it is known what he has said, by one of his phones at least."""
        return {part.to for part in self.legs.values() if not part.untold}

    @property
    def untold(self) -> bool:
        """Is it of somebody not known at all, and have all others said no?"""
        parts, told = self.legs.values(), self.told
        return all(p.untold or p.said_no for p in parts) and any(p.to not in told for p in parts)

    @property
    def over(self) -> bool:
        """They have talked."""
        return self.talks and not self.present

    def came(self, channel: ChannelId) -> list[Effect]:
        """It is in the bridge: by us, or by a transfer in the place of one who talks or, while it rings, of the caller."""
        self.outside.discard(channel)
        if channel == self.caller or channel in self.legs:
            return []
        if not self.talks:
            self.caller = channel
            return []
        self.present.add(channel)
        replaced, self.outside = self.present & self.outside, set()
        self.present -= replaced
        return [self.hang_up(one, NORMAL) for one in sorted(replaced)]

    def went(self, channel: ChannelId) -> None:
        """It is in the bridge no more: it ends, or somebody will come in its place."""
        if channel in self.present:
            self.outside.add(channel)

    def gone(self, channel: ChannelId, cause: int = NORMAL) -> list[Effect]:
        """One who talked has ended: who is left alone is hung up."""
        if channel not in self.present:
            return []
        self.present.discard(channel)
        if len(self.present) > 1:
            return []
        left = [self.hang_up(one, cause) for one in sorted(self.present - self.outside)]
        self.present.clear()
        return [*left, EndBridge(self.caller, self.bridge)]

    def left_by(self, channel: ChannelId) -> ChannelId | None:
        """Who is left of two if this one goes; None if it is not so simple."""
        left = self.present - {channel} - self.outside
        return min(left) if channel in self.present and len(self.present) == 2 and left else None

    def has_talked(self, leg: ChannelId) -> bool:
        """Has this leg answered, and is not there any more?"""
        return leg not in self.present and leg in self.legs and self.legs[leg].step is Step.UP

    def leads_to(self, leg: ChannelId) -> tuple[NodeName | None, str]:
        """To which node, by which trunk, if an extension is there."""
        to = self.legs[leg].to if leg in self.legs else None
        return (to.peer, to.trunk) if isinstance(to, Leg) and not to.line else (None, "")

    def hang_up(self, channel: ChannelId, cause: int) -> Effect:
        """End one who is in the bridge."""
        if channel in self.legs:
            return HangUpLeg(self.caller, channel, cause)
        return HangUp(channel, cause)

    def end(self, cause: int = NORMAL) -> list[Effect]:
        """The caller has gone, or nobody wants it any more: nothing of it stays."""
        left = self.live
        for leg in left:
            self.legs[leg].step = Step.GONE
        return [
            *(HangUpLeg(self.caller, leg, cause) for leg in left),
            EndBridge(self.caller, self.bridge),
        ]

    def _targets(self, attempt: Try, called: str, view: View) -> list[tuple[Leg | Outside, str]]:
        """What to make a leg to: each device of a phone of ours by itself, if there are several."""
        found: list[tuple[Leg | Outside, str]] = []
        for to in attempt.legs:
            devices: list[str] = []
            if isinstance(to, Leg) and to.uri:
                found.append((to, to.uri))
                continue
            if isinstance(to, Leg) and to.peer is None:
                devices = view.devices_here(to.number or called)
            found += [(to, uri) for uri in devices] if len(devices) > 1 else [(to, "")]
        return found

    def resume(self, channel: ChannelId) -> list[Effect]:
        """The call has come again by this channel, and is joined with who waits; what rings for him stops."""
        losers = self.live
        for loser in losers:
            self.legs[loser].step = Step.GONE
        self.talks, self.present = True, {self.caller, channel}
        return [
            Hush(self.caller, self.music),
            Join(self.caller, self.bridge, (channel,)),
            *(HangUpLeg(self.caller, loser, NORMAL) for loser in losers),
        ]

    def _dial(self, leg: ChannelId) -> tuple[Join | DialLeg, ...]:
        """What a leg that is there is asked for."""
        dial = DialLeg(self.caller, leg, self.seconds, _shown(self.legs[leg].to))
        joined = Join(self.caller, self.bridge, (leg,), quietly=True)
        return (joined, dial) if self._early() and not self._when_it_lives() else (dial,)

    def _join(self, leg: ChannelId, part: Part) -> list[Effect]:
        """It lives, and was not joined before it was dialed."""
        if part.joined or not (self._early() and self._when_it_lives()):
            return []
        part.joined = True
        return [Join(self.caller, self.bridge, (leg,), quietly=True)]

    def _early(self) -> bool:
        """Are they joined before the answer?"""
        return len(self.legs) == 1 and not (self.held or self.apart)

    def _when_it_lives(self) -> bool:
        """Is the one leg joined only then?"""
        (part,) = self.legs.values()
        return isinstance(part.to, Leg) and part.to.peer is not None and part.to.trunk == "iax2"

    def _hear(self, how: str) -> list[Effect]:
        """Of several that are rung none is heard before it answers: whoever speaks early rings.

        A single one is in the bridge, and Asterisk passes on whatever it says; but it may have rung before it was there.
        """
        there = self._early() and not (self._when_it_lives() and how == "RINGING")
        if self.held or self.heard or how not in _HEARD or there:
            return []
        self.heard = True
        return [Indicate(self.caller, "ring")]

    def _shown_to_caller(self, called: str, view: View) -> tuple[str, str]:
        """Number and name of the one who is rung, or of the room. A leg is shown the caller as it is dialed.

        Who is transferred out of a room shows this number: else it would be the trunk's name. Outside it is the number alone:
        else who was rung before would be shown.
        """
        (part,) = self.legs.values()
        if not isinstance(part.to, Leg) or part.to.line:
            return ("" if self.discreet else called), ""
        number = part.to.number or called
        found = view.get("number", number)
        return (number, found.name) if isinstance(found, Phone | Room) else ("", "")

    def _answer(self, leg: ChannelId, part: Part) -> list[Effect]:
        part.step, self.talks = Step.UP, True
        self.present = {self.caller, leg}
        losers = [o for o, p in self.legs.items() if p.step not in (Step.UP, Step.GONE)]
        for loser in losers:
            self.legs[loser].step = Step.GONE
        stopped = [HangUpLeg(self.caller, loser, ELSEWHERE) for loser in losers]
        if self.held:
            joined = Join(self.caller, self.bridge, (leg,))
            return [Hush(self.caller, self.music), joined, *stopped]
        joined = Join(self.caller, self.bridge, (self.caller, leg))
        there = self._early() and (part.joined or not self._when_it_lives())
        return [
            *([] if there else [joined]),  # first: whoever is answered is in it
            Indicate(self.caller, "answer"),
            *stopped,
        ]

    def _ended(
        self, part: Part, cause: int, *, unseen: bool
    ) -> tuple[list[Effect], Returned | None]:
        """One that was not dialed has ended: while our websocket is away Asterisk keeps none."""
        undialed = part.step is Step.MADE and cause in (0, NORMAL)
        part.untold = undialed or unseen
        part.step, part.cause = Step.GONE, 0 if undialed else cause
        if any(p.step is not Step.GONE for p in self.legs.values()):
            return [], None
        return [], Returned(self.caller, *_outcome([p.cause for p in self.legs.values()]))


def _outcome(causes: list[int]) -> tuple[str, int]:
    """The status that Dial says when all of several have failed, and the cause that tells most of why.

    Asterisk's apps/app_dial.c, handle_cause and wait_for_answer: one that has rung out, or was cleared, makes it no answer;
    only if there is none it is busy before congested before out of reach.
    """
    for quiet in NO_ANSWER, NORMAL:
        if quiet in causes:
            return "NOANSWER", quiet
    if BUSY in causes:
        return "BUSY", BUSY
    if CONGESTION in causes:
        return "CONGESTION", CONGESTION
    said = [c for c in _TELLING if c in causes] or [c for c in causes if c not in _VAGUE]
    return "CHANUNAVAIL", (said or causes[-1:])[0]


def adopt(
    key: str, caller: ChannelId, bridge: str, leg: ChannelId, to: Leg, present: set[ChannelId]
) -> Bridged:
    """A conversation that was found going on."""
    return Bridged(key, caller, 0, bridge, {leg: Part(to, Step.UP)}, talks=True, present=present)


def adopt_ringing(
    key: str,
    caller: ChannelId,
    bridge: str,
    legs: Mapping[ChannelId, Leg],
    present: Collection[ChannelId],
) -> Bridged:
    """The same of legs that ring: a single one in the bridge, where the caller hears it, or several apart."""
    return Bridged(
        key,
        caller,
        0,
        bridge,
        {leg: Part(to, Step.DIALED, joined=leg in present) for leg, to in legs.items()},
        apart=not present,
    )


def _by_sip_to_peer(to: Leg | Outside) -> bool:
    """If that peer must translate, its Asterisk falls silent when the numbers of the packets that we send it jump back."""
    return isinstance(to, Leg) and to.peer is not None and to.trunk == "sip"


def _by_iax2_outside(to: Leg | Outside) -> bool:
    """What such a line says, or chan_iax2 of its silence (`autokill`), Asterisk would tell who waits in the bridge."""
    return isinstance(to, Outside) and to.technology == "iax2"


def _shown(to: Leg | Outside) -> str:
    """The number that the called side shall see, if it is not the caller's own."""
    return to.caller_id if isinstance(to, Outside) else ""
