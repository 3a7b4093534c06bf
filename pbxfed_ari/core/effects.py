"""What we ask of the world. Imperative, frozen, performed in the order in which they are returned.

`loop.py` holds the table effect → room. Persist is complete before the effect after it begins.
"""

import re
from dataclasses import dataclass, field
from functools import cache

from msgspec import Struct
from msgspec.structs import replace

from pbxfed_ari.core.events import (
    DrainOver,
    HealthChanged,
    PeerGaveUp,
    PeerHasCall,
    PeerLostCalls,
    RoomsLed,
    TrunksBlocked,
)
from pbxfed_ari.core.messages import AnyMessage, Record
from pbxfed_ari.core.names import CallId, ChannelId, Extension, NodeName

# --- links


class Broadcast(Struct, frozen=True):
    """Send to every node of the site."""

    message: AnyMessage


class Forward(Struct, frozen=True):
    """Send to the forwarder of every other site, once for all."""

    message: AnyMessage


class WanListen(Struct, frozen=True):
    """Take frames from the other sites, or leave that to the node that forwards now."""

    on: bool


class SendTo(Struct, frozen=True):
    """Send to one address, under the group key with this id if it is not the one that seals now."""

    address: tuple[str, int]
    message: AnyMessage
    key: bytes = b""


class CloseSessionPast(Struct, frozen=True):
    """The boot with this salt has proven that it lives: what it said before is a recording if it comes again."""

    session: bytes


class ForgetSession(Struct, frozen=True):
    """The boot with this salt is not taken for a member: what it says is a stranger's."""

    session: bytes


@dataclass(frozen=True, slots=True)
class UseKeys:
    """From now on the seal uses these group keys so: all are kept, one seals, some open more than introductions."""

    held: tuple[bytes, ...] = field(repr=False)
    sealing: bytes = field(repr=False)
    readable: frozenset[bytes] = field(repr=False)


class KeepKeys(Struct, frozen=True):
    """The keyring has changed: on the disk before going on."""


class AskRotation(Struct, frozen=True):
    """A key must be made that leaves somebody out: come back with Rotate, ticket 0."""


# --- store


class Persist(Struct, frozen=True):
    """Keep these records of a stream, through version `to`. `durable`: on the disk before going on."""

    origin: NodeName
    epoch: int
    to: int
    records: tuple[tuple[int, Record], ...]
    durable: bool = False
    floor: int = 0  # what is numbered up to here and was not kept is dead


class PersistLineage(Struct, frozen=True):
    """Stream (origin, epoch) continues its earlier epochs: what was kept under them is now its."""

    origin: NodeName
    epoch: int
    earlier: tuple[tuple[int, int], ...]


class PersistGone(Struct, frozen=True):
    """These keys leave a stream for good; what is numbered up to `floor` and not kept is dead."""

    origin: NodeName
    epoch: int
    keys: tuple[str | tuple[bytes, int], ...]
    floor: int


class PersistAbsorbed(Struct, frozen=True):
    """What the stream (origin, epoch) holds through this version was published anew: it goes."""

    origin: NodeName
    epoch: int
    through: int


class Remember(Struct, frozen=True):
    """Keep this text under a name, on the disk before going on."""

    name: str
    value: str


# --- asterisk: objects


class PushExtension(Struct, frozen=True, gc=False):  # there may be many
    """This phone may register: make or change its PJSIP objects."""

    extension: Extension
    name: str
    ha1: str  # md5(extension:realm:secret), hex
    devices: int
    profile: str = "nat"  # as in objects/extension.py
    codecs: tuple[str, ...] = ()  # none: those of all phones
    call_limit: int = 0


class RemoveExtension(Struct, frozen=True):
    """This phone may register no more: take its PJSIP objects away."""

    extension: Extension


class PushTrunk(Struct, frozen=True):
    """This peer may call us and be called: make or change its trunk objects."""

    peer: NodeName
    address: str
    sip_port: int
    iax_port: int
    public_key: bytes


class RemoveTrunk(Struct, frozen=True):
    """This peer is forgotten."""

    peer: NodeName


class DropContact(Struct, frozen=True):
    """The phone has registered elsewhere since: end its registration here, unless it was refreshed after `wall_ms`."""

    extension: Extension
    uri: str
    wall_ms: int


# --- asterisk: calls


class Leg(Struct, frozen=True, tag=True):
    """One thing to ring: the phones of a number registered here (`peer` None), or what a peer has of it, by a trunk."""

    peer: NodeName | None = None
    trunk: str = ""  # "sip" or "iax2"
    number: str = ""  # another one than the call's own: a member of a group
    line: str = ""  # the PSTN trunk by which the peer shall let the call out
    codec: str = ""  # the only one to offer: the line between two sites is narrow
    instead_of: tuple[
        NodeName, ...
    ] = ()  # nodes out of reach, whose phones are called too (core/membership/takeover.py)
    uri: str = ""  # of such a phone, which we call ourselves: where it listens; none registered here is meant


class WhenAlone(Struct, frozen=True):
    """Without us, ask these peers for a number of nobody here, all at once."""

    legs: tuple[Leg, ...]


class Outside(Struct, frozen=True, tag=True):
    """A way to the outside at this Asterisk: these digits, through a hand-written endpoint."""

    line: str  # the PSTN trunk's name
    technology: str  # "pjsip" or "iax2"
    endpoint: str
    digits: str
    caller_id: str = ""  # what the called side shall see; "": the caller's own number


class Diverted(Struct, frozen=True):
    """Who has sent a call on, the last of so many; why, as Asterisk says it: cfu, cfb, cfnr, unavailable, deflection."""

    by: str  # "": nobody
    why: str
    times: int = 1


class Divert(Struct, frozen=True):
    """Let whoever is rung from now on for this caller see by whom the call was sent on. HandOver and Lead say it themselves."""

    channel: ChannelId
    diverted: Diverted


class HandOver(Struct, frozen=True):
    """Continue the channel into `pbxfed-dial`: ring these legs together, come back if none answers."""

    channel: ChannelId
    extension: Extension
    legs: tuple[Leg | Outside, ...]
    note: str  # call id / hop / try, as it travels on the trunk
    ring_seconds: int
    music: str = (
        ""  # what the caller hears meanwhile, in place of ringing: a class of musiconhold.conf
    )
    diverted: Diverted | None = None  # None: as the caller's channel says already
    record: str = ""  # under this name, whoever answers is recorded


class Lead(Struct, frozen=True):
    """Continue the channel into a context of the hand-written dialplan, for good."""

    channel: ChannelId
    context: str
    exten: str
    diverted: Diverted | None = None  # None: nobody has sent it on, whatever the caller says


@dataclass(frozen=True, slots=True)
class Enter:
    """Continue the channel into a conference room here."""

    channel: ChannelId
    number: str
    most: int  # callers; 0: no limit
    pin: str = field(repr=False)
    note: str = ""  # as of HandOver


class Hold(Struct, frozen=True):
    """Answer the caller, if he was not, and let him hear music: he waits. Without `music` it ends."""

    channel: ChannelId
    music: str  # a class of musiconhold.conf


class MakeBridge(Struct, frozen=True):
    """Make this call's bridge, unless it is there; the caller may stay in it unanswered for so many seconds.

    `steady`: each packet goes through Asterisk's core. Else the second and all that follow pass by it, and their numbers jump.
    `number`, `name`: whom the caller's phone shows as the one who is rung; "": as it was.
    `discreet`: he is not told whither a phone sends the call.
    `unrefused`: nor by Asterisk that who is rung is busy, or cannot: somebody else may be rung then.
    """

    call: ChannelId  # the caller's channel, in all effects of bridge mode: they are performed in order for each
    bridge: str
    seconds: int
    steady: bool = False
    number: str = ""
    name: str = ""
    discreet: bool = False
    unrefused: bool = False


class DialLeg(Struct, frozen=True):
    """Ring it, for so many seconds; it shall see the caller's number, or `shown`."""

    call: ChannelId
    leg: ChannelId
    seconds: int
    shown: str = ""


class Join(Struct, frozen=True):
    """Put these channels into a bridge; `quietly`: without showing any of them who the others are."""

    call: ChannelId
    bridge: str
    channels: tuple[ChannelId, ...]
    quietly: bool = False


class MakeLeg(Struct, frozen=True):
    """Make a channel to what `to` says; `uri`: to this one of a phone's Contacts."""

    call: ChannelId
    leg: ChannelId
    number: str
    to: Leg | Outside
    uri: str
    note: str
    diverted: Diverted | None = None  # of a leg that shall not look like the caller's
    then: tuple[
        Join | DialLeg, ...
    ] = ()  # what is asked for when it has entered; may be done before


class Indicate(Struct, frozen=True):
    """Let the caller hear it ring, or answer him: `ring`, `answer`."""

    call: ChannelId
    what: str


class Soothe(Struct, frozen=True):
    """Who is alone in his bridge hears that he waits: this class of music, or a tone; so many seconds, should we die too."""

    call: ChannelId
    music: str
    seconds: int


class Hush(Struct, frozen=True):
    """He waits no more: what he hears of it ends."""

    call: ChannelId
    music: str


class HangUpLeg(Struct, frozen=True):
    """End a leg that we made."""

    call: ChannelId
    leg: ChannelId
    cause: int


class EndBridge(Struct, frozen=True):
    """The bridge is of no more use."""

    call: ChannelId
    bridge: str


class CallListener(Struct, frozen=True):
    """Call the phone of who is to listen in: when it has answered `channel` waits in the dialplan.

    The call to it comes to us by the other end of that channel, which is `other`.
    """

    channel: ChannelId  # the same in all effects for one who listens: they are performed in order for each
    other: ChannelId
    number: str
    shown: str  # what his display says


class Overhear(Struct, frozen=True):
    """Make a channel, `ear`, that hears `heard` and whom that talks with.

    `whisper`: what is said to it is heard out of `heard` (by who is there), in to it (by the others), both, or none.
    """

    channel: ChannelId
    ear: ChannelId
    heard: ChannelId
    whisper: str


class OverhearAfar(Struct, frozen=True):
    """The same at a peer that has got the call by SIP: `ear` is a trunk to it, and there what hears the call waits for it."""

    channel: ChannelId
    ear: ChannelId
    peer: NodeName
    heard_by: str  # dialed there
    note: str  # of which call


class Lend(Struct, frozen=True):
    """Connect the ear with who listens, for good."""

    channel: ChannelId
    ear: ChannelId


class Abandon(Struct, frozen=True):
    """Hang up this leg of a Dial, so that it reads as a way that failed, not as nobody's answer."""

    leg: ChannelId


class AskSip(Struct, frozen=True):
    """Ask whether anything answers where this peer's SIP is; a SipSaid tells."""

    peer: NodeName


class Tell(Struct, frozen=True):
    """Put this into the inbox: what one machine says to the other, a peer of calls, or our sensors of us."""

    event: (
        PeerHasCall
        | PeerGaveUp
        | PeerLostCalls
        | HealthChanged
        | DrainOver
        | RoomsLed
        | TrunksBlocked
    )


class SendElsewhere(Struct, frozen=True):
    """Answer a peer's call that rings no more: call this number instead (SIP 302)."""

    channel: ChannelId
    number: str


class HangUp(Struct, frozen=True):
    """End the call with this Q.850 cause."""

    channel: ChannelId
    cause: int


# --- the operator


class Reply(Struct, frozen=True):
    """The answer to an Edited: what stands now, or why not (`status` as in HTTP)."""

    ticket: int
    status: int
    body: dict[str, object] = {}
    error: str = ""


class Note(Struct, frozen=True):
    """News for the operator: a line in the log, and an event (`pbxfed events`) unless it is for the log alone.

    `what` is one of a few constant phrases, never a text with names or numbers in it: with underscores it is the event's name,
    which scripts match and metrics count. All that varies stands in `fields`; a warning names its remedy there.
    """

    what: str
    fields: tuple[tuple[str, object], ...] = ()
    level: str = (
        "info"  # or "debug": seldom of use; "warning": look at it; "error": something is broken
    )
    log_only: bool = False

    @property
    def event(self) -> str:
        """The event's name."""
        return _event(self.what)


@cache
def _event(what: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", what.lower())


class Stop(Struct, frozen=True):
    """The node cannot go on: say why and exit 1."""

    reason: str


LOST_SIGHT = "lost_sight"  # nobody has seen what came of it


class Attempted(Struct, frozen=True):
    """One try of a call: whom it rang, why, and what came of it."""

    number: str
    legs: tuple[Leg | Outside, ...]
    reason: str
    began: float  # seconds after the call came
    seconds: float = 0.0  # until it was answered, or failed
    # "answered", "busy", "no_answer", "unreachable", "sent_on" by its phone, "given_up" by who called, or LOST_SIGHT
    outcome: str = ""

    def lost_sight(self, seconds: float) -> "Attempted":
        """Nobody looked any more, so many seconds after the call came: if it was not decided, of nobody knows what came."""
        if self.outcome:
            return self
        lasted = round(max(0.0, seconds - self.began), 3)
        return replace(self, outcome=LOST_SIGHT, seconds=lasted)


class Listened(Struct, frozen=True):
    """Somebody has listened in on a call."""

    by: str  # an extension
    heard_by: str  # who heard him: "nobody", "caller", "called" or "both"
    began: float  # seconds after the call came
    seconds: float = 0.0
    goes_on: bool = False
    channel: str = ""  # of the call to him

    def until(self, seconds: float) -> "Listened":
        """How long it has lasted, so many seconds after the call came."""
        return replace(self, seconds=max(0.0, seconds - self.began)) if self.goes_on else self

    def over(self, seconds: float) -> "Listened":
        """It ended then, at the latest."""
        return replace(self.until(seconds), goes_on=False)


class CallEnded(Struct, frozen=True):
    """One call's record: the decision, its tries, how it went.

    The node that the call came to first keeps *the* record of it; one that it was delivered to by trunk keeps its part, under
    the same id, with `peer`.
    """

    call: CallId
    caller: str
    number: str  # as dialed
    tries: int
    answered: bool
    cause: int
    seconds: float
    peer: str = ""  # the node whose trunk it came by
    outside: bool = False  # it came from the PSTN
    began_ms: int = 0  # milliseconds since 1970
    talked: float = 0.0  # seconds
    reached: str = ""  # the number whose phone answered, if that is another
    control: str = ""  # "handover" or "bridge"
    attempts: tuple[Attempted, ...] = ()
    unseen: float = 0.0  # it ended within so many seconds after those, and nobody looked (core/calls/notebook.py)
    left_out: int = 0  # tries of which nothing is told: too many, or of before a restart
    by: str = ""  # the phone that has sent its caller here, by a transfer out of another call
    note: str = ""  # under what it was written down while it went on
    listened: tuple[Listened, ...] = ()
    listens_to: str = ""  # the call in on which this one listens
    recording: str = ""  # under what its conversation was recorded here (core/calls/recording.py)
    recorded: float = 0.0  # so many seconds of it are there
    recording_error: str = ""  # what an operator should know of it


Effect = (
    Broadcast
    | Forward
    | WanListen
    | SendTo
    | CloseSessionPast
    | ForgetSession
    | UseKeys
    | KeepKeys
    | AskRotation
    | Persist
    | PersistLineage
    | PersistGone
    | PersistAbsorbed
    | Remember
    | PushExtension
    | RemoveExtension
    | PushTrunk
    | RemoveTrunk
    | WhenAlone
    | DropContact
    | Divert
    | HandOver
    | Lead
    | Enter
    | Hold
    | MakeBridge
    | MakeLeg
    | DialLeg
    | Join
    | Indicate
    | Soothe
    | Hush
    | HangUpLeg
    | EndBridge
    | CallListener
    | Overhear
    | OverhearAfar
    | Lend
    | Abandon
    | AskSip
    | Tell
    | SendElsewhere
    | HangUp
    | Reply
    | Note
    | Stop
    | CallEnded
)
