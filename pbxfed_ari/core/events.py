"""What the world tells us. Past tense, frozen; the loop puts them into one inbox, in the order in which they happened."""

from dataclasses import dataclass, field

from msgspec import Struct

from pbxfed_ari.core.handouts import Wish
from pbxfed_ari.core.messages import AnyMessage, Grant, Hello, Refusal
from pbxfed_ari.core.names import CallId, ChannelId, Extension, NodeName

Address = tuple[str, int]
WAN = "wan:"  # begins an address between sites: a node's name follows, no port


def wan(node: str = "") -> Address:
    """The address of a node's forwarder between sites; without a name, the WAN itself."""
    return (WAN + node, 0)


def by_wan(address: Address) -> bool:
    """Is this an address between sites?"""
    return address[0].startswith(WAN)


# --- from the links


class Received(Struct, frozen=True):
    """A peer's message, its seal verified; never a Hello."""

    sender: NodeName
    epoch: int
    message: AnyMessage
    source: Address
    multicast: bool = False
    session: bytes = b""  # the salt of the boot that said it


class Introduced(Struct, frozen=True):
    """A boot has said who it is, under a key that we hold (its id), signed by the key that it names."""

    hello: Hello
    source: Address
    multicast: bool = False
    session: bytes = b""
    key: bytes = b""


class Noticed(Struct, frozen=True):
    """A node that we know has sent us something sealed for us alone."""

    sender: NodeName
    message: Grant | Refusal


class StrangerHeard(Struct, frozen=True):
    """A frame of a session that has not been introduced came from here.

    `introducing`: it was an introduction, under a key that we do not hold.
    """

    source: Address
    introducing: bool = False


class WanChanged(Struct, frozen=True):
    """The link to the other sites has come or gone."""

    up: bool
    reason: str = ""


class OtherWireHeard(Struct, frozen=True):
    """A frame of another wire version came from here. It cannot be read, so anybody may have sent it."""

    source: Address
    version: int


class SeedsFound(Struct, frozen=True):
    """Peers may be found here: the configured list and what DNS says, anew."""

    addresses: tuple[Address, ...]


class Ticked(Struct, frozen=True):
    """The deadline that a machine had asked for has come; `late` is by how many seconds too late."""

    late: float = 0.0
    wall_ms: int = 0  # what this node's clock says; 0: not read


# --- from the operator (CLI, HTTP)


@dataclass(frozen=True, slots=True)
class Edited:
    """Somebody asks for an edit: object kind, key, the fields to set, or None to remove it.

    `ticket` names the asker; the effect Reply carries it back. `create` refuses what exists, `update` what does not,
    `match` what is not as its editor saw it (Catalogue.etag).
    """

    ticket: int
    kind: str
    key: str
    fields: dict[str, object] | None = field(repr=False)  # may hold a secret
    wall_ms: int
    fresh_id: bytes
    create: bool = False
    update: bool = False
    object_id: bytes = (
        b""  # one of several objects that claim the key; b"" is the one that holds it
    )
    match: str = ""
    where: str = ""  # in what was imported: `line 7`
    wish: Wish | None = None  # of an extension: what shall become of its provisioning files


class Imported(Struct, frozen=True):
    """Somebody asks for many edits, all of them or none. `dry_run`: only says what would change."""

    ticket: int
    edits: tuple[Edited, ...]
    wall_ms: int
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Rotate:
    """Make a new group key of these 32 random bytes; `expel` names the node that shall not get it.

    Ticket 0: nobody waits for the answer, and it is done only if it is needed still.
    """

    ticket: int
    material: bytes = field(repr=False)
    wall_ms: int
    expel: str = ""


class Admit(Struct, frozen=True):
    """An invited node asks to belong, with its own keys."""

    ticket: int
    name: NodeName
    signing: bytes
    public: bytes
    wall_ms: int


class AuthenticationsFailed(Struct, frozen=True):
    """At our Asterisk, lately: (address, proven, forgeable), as core/federation/failures.py has it."""

    found: tuple[tuple[str, int, int], ...]


class DrainSwitched(Struct, frozen=True):
    """This node shall be left by and by, on purpose; or no longer. `end`: calls that are left at the deadline are ended."""

    on: bool
    seconds: int = 300  # of patience
    end: bool = False
    ticket: int = 0
    wall_ms: int = 0


class ListenAsked(Struct, frozen=True):
    """Somebody shall listen in on a call, and be heard by nobody, the caller, the called, or both. Answered when he does."""

    ticket: int
    call: str  # its id
    number: str  # his extension
    heard_by: str
    fresh_id: str


class HealthChanged(Struct, frozen=True):
    """This node's health is now missing so many tenths (core/membership/health.py)."""

    sick: int


class NodeChanged(Struct, frozen=True):
    """This node's own description (address, weight, trunks) is now this."""

    info: bytes


# --- from Asterisk: registrations


class ContactAdded(Struct, frozen=True):
    """A phone has registered here, or is found registered."""

    extension: Extension
    uri: str
    wall_ms: int  # when it registered, as far as known
    late: bool = False  # found only now: it registered then or later, and perhaps elsewhere since


class ContactRemoved(Struct, frozen=True):
    """A registration here has ended or expired."""

    extension: Extension
    uri: str


class ContactsListed(Struct, frozen=True):
    """All registrations at this Asterisk, read anew: (extension, contact URI)."""

    contacts: frozenset[tuple[Extension, str]]
    wall_ms: int


# --- from Asterisk: its own life


class AsteriskUp(Struct, frozen=True):
    """ARI is connected and reconciled. `restarted`: Asterisk itself is new, so are its live objects."""

    version: str
    restarted: bool


class AriWasSlow(Struct, frozen=True):
    """ARI has needed so many seconds for an answer, or has not answered for so long."""

    seconds: float


class AsteriskDown(Struct, frozen=True):
    """ARI is gone, for this reason."""

    reason: str


class AsteriskDied(Struct, frozen=True):
    """The Asterisk that we knew is dead, for certain, so nobody was told of the end of its calls. Said once a death."""


# --- from Asterisk: calls


class Arrived(Struct, frozen=True):
    """A call has entered Stasis. `peer` is the node whose trunk it came by, None for a phone of ours.

    `note` is what the peer said of it (core/routing/waybill.py), or "".
    `endpoint` is the phone's own, whatever it says of itself; `outside`: it came from the PSTN. `by`: the phone that has
    transferred it here. `again`: it stood there when we connected, and may have been told of before. `led`: to this number an
    earlier life of ours has led it; where it came from the PSTN that is no inbound number any more.
    """

    channel: ChannelId
    number: str
    caller: str
    caller_name: str
    peer: NodeName | None = None
    note: str = ""
    fresh_id: str = ""
    endpoint: str = ""
    outside: bool = False
    wall_ms: int = 0
    by: str = ""
    again: bool = False
    led: bool = False


class Returned(Struct, frozen=True):
    """A handed-over call has come back from Dial: this try failed. `cause` is Q.850; `again`: as in Arrived."""

    channel: ChannelId
    status: str
    cause: int
    again: bool = False


class Answered(Struct, frozen=True):
    """The dialed side has answered, by this leg."""

    channel: ChannelId
    leg: ChannelId = ChannelId("")


class LegDialed(Struct, frozen=True):
    """A leg of this caller's Dial has begun; `name` is its channel's."""

    channel: ChannelId
    leg: ChannelId
    name: str


class LegLives(Struct, frozen=True):
    """A leg of this caller rings, or has early media, or its PBX has taken the call: RINGING, PROGRESS, PROCEEDING."""

    channel: ChannelId
    leg: ChannelId
    how: str = ""


class LegRefused(Struct, frozen=True):
    """A leg of ours that is there still says that it is busy, or cannot, as `cause` (Q.850) does: so a line by IAX2 speaks."""

    leg: ChannelId
    cause: int


class Redirected(Struct, frozen=True):
    """A leg has answered that the call shall go elsewhere: SIP 302."""

    channel: ChannelId
    leg: ChannelId
    to: str


class LegEntered(Struct, frozen=True):
    """A leg that we made is there."""

    leg: ChannelId


class LegEnded(Struct, frozen=True):
    """A leg that we made, or Dial, is no more; `cause` is Q.850, `sip` what the phone of one of ours answered.

    `unseen`: when nobody looked.
    """

    leg: ChannelId
    cause: int = 0
    sip: int = 0
    unseen: bool = False


class PeerHasCall(Struct, frozen=True):
    """A peer says that our try has arrived there; or, too, whither its phone sends it on, or with whom its caller talks now."""

    peer: NodeName
    call: CallId
    attempt: int
    sent_to: str = ""


class PeerGaveUp(Struct, frozen=True):
    """A peer says that its try, which came here or will, is over."""

    peer: NodeName
    call: CallId
    attempt: int


class PeerLostCalls(Struct, frozen=True):
    """A peer's Asterisk has died: whatever was in setup there, to it or from it, is lost."""

    peer: NodeName


class SipSaid(Struct, frozen=True):
    """A peer's SIP has been asked whether it lives."""

    peer: NodeName
    lives: bool


class DrainOver(Struct, frozen=True):
    """The deadline of a drain has passed; so many phones are registered here still. `end`: no call shall go on."""

    end: bool
    phones: int


class RoomsLed(Struct, frozen=True):
    """Calls of this node are in these conference rooms, or at their doors; no others are."""

    numbers: frozenset[str]
    wall_ms: int


class TrunksBlocked(Struct, frozen=True):
    """By these kinds of trunk these peers show no life, by their other one they do; of no others is that known (detours.py)."""

    ways: frozenset[tuple[NodeName, str]]


class RoomsListed(Struct, frozen=True):
    """Our Asterisk has conferences of these rooms, read anew."""

    numbers: frozenset[str]
    wall_ms: int


class FarEndDied(Struct, frozen=True):
    """The Asterisk to which this channel leads is dead: the channel ends in a moment."""

    channel: ChannelId


class Ended(Struct, frozen=True):
    """The caller's channel is no more; `cause` is Q.850."""

    channel: ChannelId
    cause: int = 0


class HungUp(Struct, frozen=True):
    """Who is at this channel's other end hung up a moment ago, with this Q.850 cause: it ends, if Asterisk has seen that."""

    channel: ChannelId
    cause: int = 0


class ListenerAnswered(Struct, frozen=True):
    """The phone of who is to listen in has been answered."""

    channel: ChannelId


class EarEntered(Struct, frozen=True):
    """What hears a call for him is there."""

    ear: ChannelId


class CameIn(Struct, frozen=True):
    """A channel is in a bridge of ours now: we, or a transfer, have put it there."""

    channel: ChannelId
    bridge: str


class WentOut(Struct, frozen=True):
    """A channel is in a bridge of ours no more: it has ended, or a transfer has taken it away."""

    channel: ChannelId
    bridge: str


class LegSeen(Struct, frozen=True):
    """A leg that rings or talks: whither it goes, and whose number Asterisk shows there."""

    peer: NodeName | None
    trunk: str
    number: str
    began_ms: int = 0  # milliseconds since 1970
    channel: ChannelId = ChannelId("")
    silent: bool = False  # nothing has rung there yet


class BridgeSeen(Struct, frozen=True):
    """A bridge of ours, and the channels in it; `talks`: they are connected."""

    name: str
    channels: tuple[ChannelId, ...]
    talks: bool
    put: frozenset[ChannelId] = frozenset()  # those of them that a transfer has put there
    callers: tuple[Arrived, ...] = ()  # those of them that had come to us, or who waits for it
    leg: LegSeen | None = None
    answered_ms: int = 0  # milliseconds since 1970; 0: not known
    rings: tuple[LegSeen, ...] = ()  # its only leg, if it does; all beside it, if one of them does


class RingFound(Struct, frozen=True):
    """A call that was handed over before a restart is not answered yet; `note` is what we had told its legs."""

    arrived: Arrived
    note: str
    wall_ms: int


class TalkFound(Struct, frozen=True):
    """A call that was handed over before a restart talks; `note` is what we had told its legs (core/routing/waybill.py)."""

    arrived: Arrived
    note: str
    leg: LegSeen | None
    wall_ms: int
    answered_ms: int = 0  # 0: nobody knows when


class ChannelsListed(Struct, frozen=True):
    """All channels that exist at this Asterisk, and our bridges, read anew."""

    channels: frozenset[ChannelId]
    bridges: tuple[BridgeSeen, ...] = ()
    wall_ms: int = 0
    replaced: frozenset[ChannelId] = frozenset()  # who have talked, and are in no bridge any more


Event = (
    Received
    | Introduced
    | Noticed
    | StrangerHeard
    | OtherWireHeard
    | WanChanged
    | SeedsFound
    | Ticked
    | Edited
    | Imported
    | Rotate
    | Admit
    | AuthenticationsFailed
    | DrainSwitched
    | HealthChanged
    | NodeChanged
    | ContactAdded
    | ContactRemoved
    | ContactsListed
    | RoomsLed
    | RoomsListed
    | TrunksBlocked
    | AsteriskUp
    | AsteriskDown
    | AsteriskDied
    | AriWasSlow
    | Arrived
    | Returned
    | Answered
    | LegDialed
    | LegLives
    | LegEntered
    | LegRefused
    | LegEnded
    | PeerHasCall
    | PeerGaveUp
    | PeerLostCalls
    | SipSaid
    | Redirected
    | FarEndDied
    | HungUp
    | Ended
    | CameIn
    | WentOut
    | ChannelsListed
    | RingFound
    | TalkFound
    | DrainOver
    | ListenAsked
    | ListenerAnswered
    | EarEntered
)
CallersEvent = (
    Arrived
    | Returned
    | Answered
    | LegDialed
    | LegLives
    | Redirected
    | LegEntered
    | LegRefused
    | LegEnded
    | FarEndDied
    | HungUp
    | Ended
    | CameIn
    | WentOut
)
CallEvent = (
    CallersEvent
    | PeerHasCall
    | PeerGaveUp
    | PeerLostCalls
    | SipSaid
    | ChannelsListed
    | RingFound
    | TalkFound
    | AriWasSlow
    | DrainOver
    | ListenAsked
    | ListenerAnswered
    | EarEntered
)
