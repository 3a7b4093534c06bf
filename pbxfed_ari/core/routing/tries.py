"""What a route is asked, what it is made of, and what it may ask in turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from pbxfed_ari.core.effects import Diverted, Effect, Leg, Outside
from pbxfed_ari.core.events import Address
from pbxfed_ari.core.messages import CallHere, CallOver
from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.records.objects.kind import Item
from pbxfed_ari.core.records.objects.time import LocalTime
from pbxfed_ari.core.records.registrations import Registration
from pbxfed_ari.core.routing.waybill import Heirs

# Q.850 causes, as Asterisk maps them to SIP (main/channel.c, hangup_cause2sip)
UNALLOCATED = 1  # 404: nobody has this number
NORMAL = 16
BUSY = 17  # 486
NO_RESPONSE = 18  # 408
NO_ANSWER = 19  # 480
ABSENT = 20  # 480: a phone of that number is registered nowhere
REJECTED = 21  # 403: the caller may not
LOOP = 25  # exchange routing error: 603, for Asterisk knows no better; the Reason says it
NO_ROUTE = 27  # 502: the node cannot be reached
CONGESTION = 34  # 503: all lines are taken, or no trunk has carried it: another node may have a way
MOVED = 23  # redirection to new destination: SIP's 302
FAILED = 38  # network out of order, 500: it does not work, and nobody has said why
ASK_ANOTHER = 42  # switching equipment congestion, 503: this node is drained, or has too much to do
SAYABLE = frozenset(
    {1, 2, 3, 16, 17, 18, 19, 20, 21, 22, 25, 27, 28, 29, 31, 34, 38, 42, 58, 66, 127}
)  # in SIP, or meant as they are; Asterisk says 603 of any other, as if somebody had declined

# What may come of a route's tries
BUSY_OUT, RANG_OUT, UNREACHABLE = "busy", "no_answer", "unreachable"
SENT_ON = "sent_on"  # by the phone itself
OUTCOMES = {BUSY: BUSY_OUT, NO_ANSWER: RANG_OUT, ABSENT: UNREACHABLE, NO_ROUTE: UNREACHABLE}


class Asking(Struct, frozen=True):
    """Who wants what."""

    number: str
    payer: str = ""  # the extension whose calling class counts: the caller, or who forwards
    peer: NodeName | None = None  # the node whose trunk the call came by
    line: str = ""  # the PSTN trunk by which that peer wants it let out
    did: bool = False  # `number` is one of our inbound numbers
    outside: bool = False  # it came from the PSTN
    path: tuple[str, ...] = ()  # numbers that have sent it on
    running: bool = False  # a call that runs: it is transferred, found again, or asks once more
    seed: str = ""  # what makes a random order: the call's id
    wall_ms: int = 0
    heirs: Heirs = ()  # who shall call the phones of nodes out of reach, by that peer's word
    diverted: Diverted | None = None  # the last of `path`, or who a peer says it was
    alone: bool = (
        False  # that peer's dialplan has sent it, without its daemon (core/routing/alone.py)
    )
    listens: bool = False  # to who shall listen in on another call: his phones, and nothing else


class View(Protocol):
    """What a route may ask of the federation. Read-only."""

    me: NodeName

    def get(self, space: str, key: str) -> Item | None:
        """The object that holds a key."""
        ...

    def where(self, number: Extension) -> list[Registration]:
        """Where a number stands registered, on nodes that live, newest first."""
        ...

    def devices_here(self, number: str) -> list[str]:
        """The Contacts of a number that stand registered at this node."""
        ...

    def heirs(self, number: Extension) -> list[tuple[Registration, NodeName]]:
        """The registrations of a number whose nodes are out of reach and may still hold, each with who calls it instead."""
        ...

    def orphans(self, number: Extension, nodes: Sequence[NodeName]) -> list[Registration]:
        """The same of these nodes, whatever is known of them here."""
        ...

    def settled(self, now: float) -> bool:
        """Has this node had time to hear who lives? In the first moments of a boot it has not."""
        ...

    def reachable(self, node: NodeName) -> bool:
        """Whether calls may be sent to a node from here."""
        ...

    def takes(self, node: NodeName) -> bool:
        """Whether what others could do as well may be given to a node: it is neither sick nor drained."""
        ...

    def alive(self, node: NodeName) -> bool:
        """Does a node count as living, and its Asterisk, by its own account?"""
        ...

    def door(self, node: NodeName) -> Address | None:
        """Where a node of our LAN takes our datagrams; None for all others."""
        ...

    def tell(self, node: NodeName, said: CallHere | CallOver) -> Sequence[Effect]:
        """What says this to a node, of whatever site; nothing if there is no way to it."""
        ...

    def clock_ms(self, now: float) -> int:
        """What our clock says, as it was last read, milliseconds since 1970; 0: it was not read yet."""
        ...

    def told_ms(self, now: float) -> int:
        """What peers believe that our clock says, milliseconds since 1970; 0: it was not read yet."""
        ...

    def ahead(self, node: NodeName) -> float | None:
        """By how many seconds a peer's clock is ahead of ours; None: it has not said yet what it shows."""
        ...

    def supposed_ahead(self, node: NodeName) -> float | None:
        """The same of a peer of another site, by the clocks there that are known; None if none are."""
        ...

    def drained(self) -> bool:
        """Is this node being drained?"""
        ...

    def trunks(self, node: NodeName) -> Sequence[str]:
        """How a node wants to be called, best first."""
        ...

    def site(self, node: NodeName) -> str:
        """Where a node is."""
        ...

    def nodes(self) -> Sequence[NodeName]:
        """All nodes that live, this one among them."""
        ...

    def home(self, number: Extension) -> NodeName:
        """The ring's owner of a number."""
        ...

    def preference(self, key: str) -> Sequence[NodeName]:
        """The nodes to which something may be given, in the order in which they would own a key."""
        ...

    def stands(self, number: Extension) -> list[NodeName]:
        """The living nodes where a room stands, the older one first."""
        ...

    def placed(self) -> Mapping[str, int]:
        """How many rooms stand at each living node."""
        ...

    def shares(self) -> Mapping[str, int]:
        """The nodes to which something may be given, with their weights on the ring."""
        ...

    def capacity(self, node: NodeName) -> int:
        """What a node can carry, in relation to the others: its weight, and what its health has left of it."""
        ...

    def lines_out(self) -> Sequence[Item]:
        """All PSTN trunks, by name."""
        ...

    def local_time(self, zone: str, wall_ms: int) -> LocalTime | None:
        """What clocks show in a time zone; None if there is no such zone."""
        ...


class Lines(Protocol):
    """What goes on at this node, as far as limits count it."""

    def calls_of(self, number: str) -> int:
        """Calls that a number has at this node, made or received."""
        ...

    def engaged(self, number: str) -> bool:
        """Does a call of this node, but for the one that asks, ring a number or talk with it?"""
        ...

    def ahead(self, queue: str) -> bool:
        """Does somebody wait in this queue here who came before the one that asks?"""
        ...

    def last_call(self, number: str) -> float:
        """When this node last sent a call to a number: monotonic seconds, 0 if never."""
        ...

    def in_vain(self, number: str) -> float:
        """When this node last ceased to ring a number that had not answered: monotonic seconds, 0 if never."""
        ...

    def outside_of(self, number: str) -> tuple[int, int]:
        """Calls to the outside that a number pays for: at once, and within the last hour."""
        ...

    def on_line(self, line: str) -> int:
        """Calls that use a PSTN trunk of this node."""
        ...

    def sent(self, line: str) -> Mapping[str, int]:
        """This node's calls by a PSTN trunk, by the nodes that carry them."""
        ...

    def between(self, site: str) -> int:
        """Calls between this node and nodes of another site; of all other sites for ""."""
        ...

    def may_bridge(self) -> bool:
        """Has this node time to own a call's legs?"""
        ...

    def hurried(self) -> bool:
        """Was our own loop late a moment ago?"""
        ...

    def heard(self, peer: NodeName, trunk: str) -> float:
        """When this peer last said that a try by such a trunk is there: monotonic seconds, 0 if never."""
        ...

    def needed(self, peer: NodeName, trunk: str) -> float:
        """How long tries by such a trunk were without a sign of life lately: seconds of the slowest, 0: none has shown any."""
        ...

    def trunks(self, node: NodeName, view: View) -> Sequence[str]:
        """How to call a node now, best first: as it wants, but for what is blocked on the way."""
        ...


class _Idle:
    """Nothing goes on."""

    def calls_of(self, number: str) -> int:
        return 0

    def engaged(self, number: str) -> bool:
        return False

    def ahead(self, queue: str) -> bool:
        return False

    def last_call(self, number: str) -> float:
        return 0.0

    def in_vain(self, number: str) -> float:
        return 0.0

    def outside_of(self, number: str) -> tuple[int, int]:
        return 0, 0

    def on_line(self, line: str) -> int:
        return 0

    def sent(self, line: str) -> Mapping[str, int]:
        return {}

    def between(self, site: str) -> int:
        return 0

    def may_bridge(self) -> bool:
        return True

    def hurried(self) -> bool:
        return False

    def heard(self, peer: NodeName, trunk: str) -> float:
        return 0.0

    def needed(self, peer: NodeName, trunk: str) -> float:
        return 0.0

    def trunks(self, node: NodeName, view: View) -> Sequence[str]:
        return view.trunks(node)


IDLE: Lines = _Idle()


class Lead(Struct, frozen=True):
    """Leave the channel to this place of the hand-written dialplan."""

    context: str
    exten: str


@dataclass(frozen=True, slots=True)
class Meet:
    """The conference room at this node into which the call is led."""

    number: str
    most: int  # callers; 0: no limit
    pin: str = field(repr=False)


class Try(Struct, frozen=True):
    """One attempt: these legs ring together, or the call is led into the dialplan (`lead`), perhaps to meet others there."""

    legs: tuple[Leg | Outside, ...]
    reason: str
    ring_seconds: int = 0  # 0: as long as the node says
    patience: float = 0.0  # seconds without a sign of life until the next way is tried; 0: as usual
    going_on: bool = False  # the next try follows even if this one was reached: a hunt
    lead: Lead | None = None
    meet: Meet | None = None
    queue: str = ""  # the queue here in which the caller waits


class Onward(Struct, frozen=True):
    """Where a call goes after this outcome of all tries, and why; `by`: the extension that sends it on."""

    outcome: str
    to: str
    reason: str
    by: str = ""


class Route(Struct, frozen=True):
    """The tries in order; if none is left, or there was none, the call goes onward or ends with this cause."""

    tries: tuple[Try, ...]
    cause: int
    reason: str
    number: Extension
    onward: tuple[Onward, ...] = ()
    control: str = (
        ""  # how the object that is called wants its legs connected; "": as the node does
    )
    fresh: bool = False  # where it goes may change at any moment: ask again after each try
    diverted: Diverted | None = None  # who has sent it on, on the way to these tries
    payer: str = ""  # the same, if that is an extension: its calling class counts

    def because(self, why: str) -> "Route":
        """The same, with a reason in front of all reasons."""
        if not why:
            return self
        tries = tuple(replace(t, reason=f"{why}; {t.reason}") for t in self.tries)
        return replace(self, tries=tries, reason=f"{why}; {self.reason}" if self.reason else why)

    def after(self, outcome: str) -> Onward | None:
        """Where it goes after this outcome."""
        return next((way for way in self.onward if way.outcome == outcome), None)
