"""The protocol between nodes. This text is its specification; `wire/codec.py` writes it as MessagePack arrays.

Every frame is sealed by the sender's session, so a message never says who sent it. A Hello is signed by its node's own key,
too, so nobody can take another's name. What travels:

*Meeting.*   A node that starts multicasts Hello(joining) three times: is my name free? The holder of the same name answers with
             its own Hello, and the newcomer stops. Who knows a later epoch of that name answers with a Lineage, and the
             newcomer begins above it. Otherwise it multicasts Hello. A node that hears an unknown session sends its own
             Hello with `ask`, and gets the other's in return. A session is alive only once it has answered a Probe.

*Belonging.* A node that introduces itself under a key of yesterday was away during a rotation: it gets a Grant. One that does
             not belong gets a Refusal. Both are sealed for that node alone, so it needs no key that others use now.

*Living.*    Each node multicasts one Heartbeat a period: own version, hash of the version vector, condition. It is discovery,
             failure detection and anti-entropy in one frame.
                 A ──Probe(n)──▶ B ──Ack(n)──▶ A                       the direct question, after missed heartbeats
                 A ──ProbeFor(B,n)──▶ C ──Probe──▶ B ──Ack──▶ C ──AckFor(B,n)──▶ A      the indirect one
             C also sends Ack(n) at once: A then knows that it can hear. Who hears nobody doubts itself
             (core/membership/members.py). Who comes back is asked, too. If many do at once, since a cut has healed, one
             heartbeat asks them all and another answers all who ask: a RollCall.
             Nothing came back: Suspect, multicast, so that B can refute with a higher incarnation; then Down. A node that
             stops says Leave.

*Without multicast.*  Whoever loses too many of a peer's heartbeats asks it for Copies (core/membership/reach.py). Who hears
             nobody says Hello to seeds (core/membership/doors.py), and gets Neighbours in answer to its Copies.

*Knowing.*   A change is a Delta: consecutive records of the sender's stream, multicast once. Streams are named by origin and
             epoch (one epoch a boot) and numbered through; who misses something asks with Want and gets Pieces, in order,
             from anyone who has it. Two nodes whose vector hashes differ for two heartbeats compare Vectors. A Lineage says
             which earlier epochs a stream continues, so that a restart sends nothing twice.

*Calling.*   A call itself travels by SIP or IAX2. If nothing rings soon its receiver says CallHere, so that its sender knows
             that somebody lives there, and again if a phone sends on what came by IAX2, or transfers its caller; who gives a
             try up says CallOver.
             Whose Asterisk has died with all that was in setup says so in its Heartbeat (core/calls/setup.py).

*Between sites.*  One node of each LAN, its forwarder, publishes to the others' forwarders and multicasts what it hears from
             them: Pieces and Lineages that were news, and a SiteReport every few seconds. The same questions (Probe,
             Vector, Want) go from forwarder to forwarder. What must be said of a call is Passed on by both; nobody else is
             told.
"""

from hashlib import blake2b
from typing import Annotated, get_args

import msgspec
from msgspec import Meta

from pbxfed_ari.core.names import NODE
from pbxfed_ari.core.stamp import LAST

WIRE_VERSION = 1
PORT = 8781  # UDP, multicast and unicast alike
NUMBERS = 128  # of heartbeats: one byte
# what decoding may raise, of bytes that somebody else wrote
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


# What a member may say, however broken it is: the decoder refuses the rest, so that no machine need think of it.
Name = Annotated[str, Meta(pattern=rf"^(?:{NODE})\Z")]
MaybeName = Annotated[str, Meta(pattern=rf"^(?:{NODE})?\Z")]
Host = Annotated[
    str, Meta(pattern=r"^(?:(?:25[0-5]|(?:2[0-4]|1?[0-9])?[0-9])(?:\.(?!\Z)|\Z)){4}\Z")
]
Shown = Annotated[str, Meta(pattern=r"^[ -~]*\Z", max_length=64)]
Wire = Annotated[int, Meta(ge=1, le=15)]  # half a byte of each frame
Port = Annotated[int, Meta(ge=1, le=65_535)]
MaybePort = Annotated[int, Meta(ge=0, le=65_535)]  # 0: none
Number = Annotated[int, Meta(ge=0, lt=1 << 53)]  # counts up, so that there is always a next one
Group = Annotated[int, Meta(ge=0, lt=1 << 8)]  # of fields: a byte in the store
Epoch = Annotated[int, Meta(ge=0, lt=1 << 33)]  # seconds since 1970, until 2242; a clock too
Stamp = Annotated[int, Meta(ge=0, le=LAST)]
Word = Annotated[int, Meta(ge=0)]  # 64 bits
Beat = Annotated[int, Meta(ge=0, lt=NUMBERS)]
MANY = Meta(max_length=100)  # entries of a list that are answered one by one
CALLERS = 100  # nonces that one RollCall answers
Few = Annotated[int, Meta(ge=0, lt=1 << 16)]
Turns = Annotated[int, Meta(ge=1, le=65_535)]


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A noun on the wire. New fields are appended with a default; old releases ignore them."""


# --- meeting


class Hello(Message, frozen=True, tag=1):
    """Who a session is. The only message that can travel in an introducing frame."""

    name: Name
    epoch: Epoch  # one number a boot, growing: seconds since 1970 or one above the last
    address: Host
    port: Port
    lineage: tuple[
        tuple[Epoch, Number], ...
    ] = ()  # earlier epochs, newest first: (epoch, last version of it that was kept)
    joining: bool = False  # asks whether the name is free; says nothing else yet
    ask: bool = False  # the receiver shall introduce itself too
    site: Name = "main"
    release: Shown = ""
    domain: Word = 0  # domain_mark(federation.domain): digests work in one domain only
    wires: tuple[Wire, Wire] = (WIRE_VERSION, WIRE_VERSION)  # oldest and newest that it speaks
    clock: Epoch = 0  # as in Ack
    signing: bytes = b""  # Ed25519, 32 bytes: whose signature is on this frame
    public: bytes = b""  # X25519, 32 bytes: how to seal something for this node alone


# --- belonging


class Grant(Message, frozen=True, tag=17):
    """For one node alone: a key that members seal with now."""

    to: bytes  # X25519
    key: bytes
    made: Stamp  # of its rotation
    by: Name  # who made it
    urgent: bool  # somebody was left out
    closed: tuple[Stamp, Name] | None  # the first rotation ever, its stamp and its maker


class Refusal(Message, frozen=True, tag=18):
    """For one node alone: your introduction is not taken, for this reason."""

    to: bytes  # X25519
    why: Shown  # a word of core/records/roster.py


# --- living


class Heartbeat(Message, frozen=True, tag=3):
    """The one frame a period."""

    version: Number  # the sender's newest version in its own stream
    vector: Word  # 64-bit hash of the sender's version vector
    incarnation: Number = 0  # raised to refute a suspicion
    ready: bool = True  # its Asterisk takes calls
    relays: bool = False  # it could speak for its site: its link to the others works
    clock: Epoch = 0  # as in Ack, in some heartbeats only (core/records/clocks.py)
    number: Beat = 0  # counts the sender's heartbeats, modulo NUMBERS: a gap tells of losses
    condition: Few = 0  # how sick it is, whether it drains, its Asterisk's deaths: a word of core/membership/condition.py


class RollCall(Message, frozen=True, tag=33):
    """A heartbeat that asks all whom its sender holds for dead, with one nonce, and answers those who asked it so."""

    heartbeat: Heartbeat
    nonce: Word = 0  # 0: asks nobody
    answers: Annotated[tuple[Word, ...], Meta(max_length=CALLERS)] = ()


class Probe(Message, frozen=True, tag=4):
    """Are you there? The nonce is answered by Ack, so an old recording cannot."""

    nonce: Word


class Ack(Message, frozen=True, tag=5):
    """I am, and this is my time."""

    nonce: Word
    clock: Epoch = 0  # seconds since 1970; 0: not said


class ProbeFor(Message, frozen=True, tag=6):
    """Please ask `target` for me."""

    target: Name
    nonce: Word


class AckFor(Message, frozen=True, tag=7):
    """`target` answered me."""

    target: Name
    nonce: Word


class Suspect(Message, frozen=True, tag=8):
    """I cannot reach `target`, directly or through others."""

    target: Name
    epoch: Epoch
    incarnation: Number


class Down(Message, frozen=True, tag=9):
    """The suspicion of `target` was not refuted in time."""

    target: Name
    epoch: Epoch
    incarnation: Number


class Leave(Message, frozen=True, tag=10):
    """I stop, on purpose."""


# --- where multicast does not pass


class Copies(Message, frozen=True, tag=30):
    """Your multicast frames get lost on the way to me: send me unicast copies; or no more of them."""

    on: bool
    known: Number  # nodes of the site that I know to live; tell me the Neighbours if you know more


class Copy(Message, frozen=True, tag=31):
    """A heartbeat, by unicast. The next one comes after `every` periods, for the receivers take turns."""

    heartbeat: Heartbeat
    every: Turns = 1


class Neighbours(Message, frozen=True, tag=32):
    """Living nodes of the site, as (name, address, port): say Hello to those that you do not know."""

    nodes: Annotated[tuple[tuple[Name, Host, Port], ...], MANY]


# --- knowing


class ShelfPut(msgspec.Struct, frozen=True, array_like=True, tag=0, gc=False):
    """The origin's own fact `key` is now `value` (the bytes of a shelf value, core/records/shelf.py)."""

    key: str
    value: bytes


class ShelfDrop(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """The origin's own fact `key` holds no more."""

    key: str


class BookSet(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """Somebody's edit: one field group of one object, with the stamp that decides between concurrent ones.

    `over` is the newest stamp of another writer that it replaced: what is newer than that, its writer had not seen.
    """

    object: bytes
    group: Group
    stamp: Stamp
    writer: MaybeName  # breaks the tie of two equal stamps; "" is the origin of the stream
    value: bytes | None  # None: deleted
    over: Stamp = 0


Record = ShelfPut | ShelfDrop | BookSet


class Delta(Message, frozen=True, tag=11):
    """Records `first`, `first` + 1, … of the sender's stream."""

    first: Number
    records: tuple[Record, ...]


class Want(Message, frozen=True, tag=12):
    """Send me what these streams hold above what I hold: (origin, epoch, held, upto, floor), `upto` 0 for all.

    `to` names the donor if this is multicast: so are the answers then, and others who miss the same need not ask.
    `unknown`: marks of streams (core/records/marks.py) that the asker has never heard of.
    """

    streams: Annotated[tuple[tuple[Name, Epoch, Number, Number, Number], ...], MANY]
    to: MaybeName = ""
    unknown: Annotated[tuple[Word, ...], MANY] = ()


class Piece(Message, frozen=True, tag=13):
    """A stretch of a stream: everything in (base, to] that still matters, as (version, record) in order.

    `to` may be adopted only by who holds `base`. `more`: the donor has more; `last`: it sends no more for this want.
    """

    origin: Name
    epoch: Epoch
    base: Number
    to: Number
    records: tuple[tuple[Number, Record], ...]
    more: bool = False
    last: bool = True
    floor: Number = 0  # if above `base`: what is numbered up to here and not named was collected


class Vector(Message, frozen=True, tag=14):
    """What I hold, multicast, so that one comparison serves a site: `to` answers with what I miss, and asks for what it misses.

    `entries` are the streams whose marks lie in [low, high], as written by core/records/marks.py.
    """

    to: MaybeName
    fingerprint: Word
    low: Word
    high: Word
    entries: bytes


class Lineage(Message, frozen=True, tag=15):
    """The stream (origin, epoch) continues these earlier ones, newest first, each through a version."""

    origin: Name
    epoch: Epoch
    earlier: Annotated[tuple[tuple[Epoch, Number], ...], MANY]


class Pieces(Message, frozen=True, tag=22):
    """Stretches of streams in one frame: short ones share it. All that is multicast for somebody who asked is of this kind."""

    pieces: tuple[Piece, ...]


class Contents(Message, frozen=True, tag=20):
    """Our vectors agree and our fingerprints do not: this is what I hold of the origins whose marks lie in [low, high]."""

    low: Word
    high: Word
    entries: bytes  # as written by core/records/marks.py
    reply: bool = False  # send yours in return


class Anew(Message, frozen=True, tag=21):
    """You hold something of these streams, (origin, epoch), but less than I can vouch for: read them from the beginning."""

    streams: Annotated[tuple[tuple[Name, Epoch], ...], MANY]


# --- calls


class CallHere(Message, frozen=True, tag=40):
    """Your try of this call has arrived here: a sign of life that SIP's 100 Trying cannot be (ARI does not show it).

    Once more with `sent_to`: its phone sends it on to that number (302), which IAX2 has no word for; or, later, has transferred
    its caller, who is with that number now, `?` if nobody knows with whom.
    """

    call: Shown
    attempt: Number
    sent_to: Shown = ""


class CallOver(Message, frozen=True, tag=41):
    """This try of ours is given up: do not let it ring, or let it stop."""

    call: Shown
    attempt: Number


class Passed(Message, frozen=True, tag=43):
    """What a node says of a call to one of another site: the two forwarders pass it on."""

    to: Name
    by: Name
    said: CallHere | CallOver


# --- between sites


class SiteReport(Message, frozen=True, tag=16):
    """A site's verdict on its own nodes, as (name, epoch, flags of core/replication/sites.py), and what its forwarder holds.

    A large site's report is several of these. `reporter` is whose it is, when another forwarder passes it on in its LAN.
    """

    site: Name
    vector: Word
    nodes: Annotated[tuple[tuple[Name, Epoch, Number], ...], MANY]
    reporter: MaybeName = ""
    clock: Epoch = 0  # the reporter's, as in Ack


AnyMessage = (
    Hello
    | Grant
    | Refusal
    | Heartbeat
    | RollCall
    | Probe
    | Ack
    | ProbeFor
    | AckFor
    | Suspect
    | Down
    | Leave
    | Copies
    | Copy
    | Neighbours
    | Delta
    | Want
    | Piece
    | Vector
    | Lineage
    | SiteReport
    | Pieces
    | Contents
    | Anew
    | CallHere
    | CallOver
    | Passed
)
KINDS = frozenset(kind.__struct_config__.tag for kind in get_args(AnyMessage))


def domain_mark(domain: str) -> int:
    """32 bits of federation.domain: enough to see that two differ."""
    return int.from_bytes(blake2b(domain.encode(), digest_size=4).digest(), "big")
