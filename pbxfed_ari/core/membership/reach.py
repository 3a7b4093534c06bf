"""Reach: by multicast as long as it works, by unicast where it does not; decided for each pair, by who hears.

Each heartbeat is numbered, so its receiver sees which were lost on the way (RFC 3550, appendix A.3, does the same for RTP).
Above a tenth it tells the sender: *send me copies*. From then on the sender's frames go to the group and to that peer. The
heartbeats to the group go on, so the receiver also sees when they arrive again: below a twentieth it says: *no more copies*.

    B hears too few of A's multicast heartbeats   B ──Copies(on)──▶ A        A owes B copies
    A's delta, suspicion, goodbye                 A ──▶ group,  A ──▶ B      sealed apart; who gets both ignores the second
    A's heartbeat                                 A ──▶ group,  A ──Copy(heartbeat, every)──▶ B, when it is B's turn
    B hears them again                            B ──Copies(off)──▶ A

Evidence is a leaky bucket: each loss pours LOST in, each heartbeat that came lets one out (the cumulative sum test; Page,
Biometrika 1954). It is full after 8 losses in a row (4 s); on average after 19 s of 30 % loss, 9 minutes of 10 %, a week of
5 %. The bucket that ends it fills with each heartbeat that came, in 30 s without loss, and drains by LOST_AGAIN.

A peer whose heartbeats never come is known by answers alone: they come by unicast, and nothing by multicast in between.

Copies of heartbeats take turns. A node sends so many a second and no more, whatever the number of its peers, and each copy
says after how many periods the next one comes; its receiver is patient for that long and a little more, whatever else comes
meanwhile. In each period some peers expect one, so a death is noticed as soon in a large site as in a small one. A heartbeat
with news (a refutation, an Asterisk that has come or gone) goes to all at once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

import msgspec
from msgspec.structs import replace

from pbxfed_ari.core.effects import Broadcast, Effect, Note, SendTo
from pbxfed_ari.core.events import Received
from pbxfed_ari.core.membership.member import Member, State
from pbxfed_ari.core.membership.members import Members
from pbxfed_ari.core.messages import (
    NUMBERS,
    AnyMessage,
    Copies,
    Copy,
    Down,
    Heartbeat,
    Leave,
    Neighbours,
    Pieces,
    RollCall,
    Suspect,
    Vector,
    Want,
)
from pbxfed_ari.core.names import NodeName

COPIES = 6.0  # heartbeats sent by unicast a second: with the multicast ones about 730 B/s
LOST, LOST_FULL = 8, 64  # weight of a loss, and how much is too much: the balance is at 1 in 9
LOST_AGAIN, CLEAN_FULL = 19, 60  # and for the way back: at 1 in 20
SILENT = 4.0  # periods in which answers come, and no multicast
CUT = 2.5  # periods in which nothing came at all, not even an answer: no fault of multicast
AGAIN = 3.0  # periods without the copy that we asked for, until we ask again
RECENT = 64  # heartbeats over which the loss that is shown is measured
FORWARD = 100  # a number up to so far ahead is a later one, else it was overtaken
IN_FRAME = 20  # neighbours in one frame


@dataclass(slots=True)
class _Line:
    """The two ways between a peer's session and us."""

    epoch: int
    heard: float = float("-inf")  # when its last frame came, whichever way
    # from it to us
    wanted: bool = False  # we want copies
    asked: float = float("-inf")  # when we last said so
    asks: int = 0  # how often
    copied: float = float("-inf")  # when its last copy came
    unicast_since: float | None = None  # first unicast frame after the last multicast one
    number: int | None = None  # of its newest heartbeat
    came: bool = False  # that one by multicast
    bucket: int = 0
    recent: int = 0  # bit i: of the heartbeats judged, the i-th last came by multicast
    judged: int = 0
    # from us to it
    owed: bool = False  # it wants copies
    turn: int = 0  # when it last got a heartbeat

    @property
    def loss(self) -> float | None:
        """The share of its recent heartbeats that multicast lost; None as long as it is not known."""
        return 1 - self.recent.bit_count() / self.judged if self.judged else None


@dataclass(frozen=True, slots=True)
class Way:
    """How a peer's frames reach us and ours it, for the operator."""

    heard_by: str
    told_by: str
    loss: float | None  # of its multicast, 0 to 1


class Reach:
    """Who is told by multicast, and who by copies."""

    def __init__(self, site: str, members: Members, *, multicast: bool = True) -> None:
        """`multicast` False: there is no group here; all peers of the site get copies, and are asked for theirs."""
        self.multicast = multicast
        self._site = site
        self._members = members
        self._lines: dict[NodeName, _Line] = {}
        self._owing = False  # somebody may be owed copies
        self._turn = 0
        self._said: Heartbeat | None = None  # what all have been told, but for versions

    def __repr__(self) -> str:
        return f"Reach({self._lines})"

    def way(self, name: NodeName) -> Way:
        """How a peer is reached."""
        peer = self._members.get(name)
        if peer is not None and peer.site != self._site:
            return Way("wan", "wan", None)
        line = self._lines.get(name) or _Line(0)
        ways = {True: "unicast", False: "multicast"}
        return Way(ways[line.wanted], ways[line.owed or not self.multicast], line.loss)

    # --- what comes

    def heard(self, event: Received, now: float) -> list[Effect]:
        """A frame of a living peer of our site: how did it come, and what does that say?"""
        peer = self._members.get(event.sender)
        if peer is None or peer.site != self._site:
            return []
        line, message = self._line(peer), event.message
        if now > line.heard + CUT * self._members.period():
            line.number = line.unicast_since = None
        line.heard = now
        if event.multicast:
            line.unicast_since = None
        elif line.unicast_since is None:
            line.unicast_since = now
        effects: list[Effect] = []
        match message:
            case Copies(on, known):
                line.owed = on
                self._owing |= on
                effects += self._neighbours(peer) if on and known < self._known() else []
            case Copy(beat, every):
                line.copied = now
                self._members.expect(peer, every, now)
                _count(line, beat.number, came=False)
            case Heartbeat():
                _count(line, message.number, came=event.multicast)
        return effects + self._decide(peer, line, message, now)

    def plain(self, event: Received) -> Received:
        """The event as it is without us: a copy is a heartbeat; whom multicast does not reach is answered alone."""
        message = event.message
        if isinstance(message, Copy):
            return replace(event, message=message.heartbeat)
        if not isinstance(message, Want | Vector) or message.to != self._members.me:
            return event
        if event.multicast and self.multicast:
            return event  # if it does not hear the answer, it asks again, alone (core/replication/catchup.py)
        return replace(event, message=msgspec.structs.replace(message, to=""))

    def _decide(self, peer: Member, line: _Line, message: AnyMessage, now: float) -> list[Effect]:
        if not line.wanted:
            if not self.multicast or line.bucket >= LOST_FULL or self._silent(line, now):
                return self._want(peer, line, now, on=True)
            return [self._ask(peer, line, now)] if isinstance(message, Copy) else []
        if self.multicast and line.bucket >= CLEAN_FULL:
            return self._want(peer, line, now, on=False)
        return [self._ask(peer, line, now)] if self._unheeded(peer, line, now) else []

    def _unheeded(self, peer: Member, line: _Line, now: float) -> bool:
        """Is it time to ask again? Once anyhow: the first question may have come before we had proven that we live."""
        period = self._members.period()
        if line.asks < 2:
            return now >= line.asked + AGAIN * period
        return now >= max(line.asked, line.copied) + (peer.every + AGAIN) * period

    def _silent(self, line: _Line, now: float) -> bool:
        """Answers come, and nothing by multicast; a newcomer is not waited for if nobody else is heard by it either."""
        if line.unicast_since is None:
            return False
        if now >= line.unicast_since + SILENT * self._members.period():
            return True
        return not line.judged and self._deaf()

    def _deaf(self) -> bool:
        lines = [self._line(peer) for peer in self._members.alive() if peer.site == self._site]
        return any(line.wanted for line in lines) and all(
            line.unicast_since is not None for line in lines
        )

    def _want(self, peer: Member, line: _Line, now: float, *, on: bool) -> list[Effect]:
        fields: tuple[tuple[str, object], ...] = (("node", peer.name),)
        if line.bucket:
            fields += (("loss", f"{line.loss:.0%}"),)
        line.wanted, line.bucket, line.asks = on, 0, 0
        if on:
            return [self._ask(peer, line, now), Note("multicast lost", fields, "warning")]
        peer.every = 1
        return [self._ask(peer, line, now), Note("multicast works again", fields)]

    def _ask(self, peer: Member, line: _Line, now: float) -> Effect:
        line.asked, line.asks = now, line.asks + 1
        return SendTo(peer.address, Copies(line.wanted, self._known()))

    def _known(self) -> int:
        return sum(peer.site == self._site for peer in self._members.alive())

    def _neighbours(self, asker: Member) -> list[Effect]:
        nodes = [
            (str(peer.name), *peer.address)
            for peer in self._members.alive()
            if peer.site == self._site and peer is not asker
        ]
        return [
            SendTo(asker.address, Neighbours(tuple(nodes[i : i + IN_FRAME])))
            for i in range(0, len(nodes), IN_FRAME)
        ]

    # --- what goes

    def spread(self, effect: Effect) -> Iterable[Effect]:
        """The same effect, with the copies that peers are owed if it is a broadcast."""
        if not isinstance(effect, Broadcast) or (self.multicast and not self._owing):
            return (effect,)
        group = [effect] if self.multicast else []
        return [*group, *self._copies(effect.message)]

    def _copies(self, message: AnyMessage) -> Iterable[Effect]:
        owed = [
            (peer, line)
            for peer in self._members
            if peer.site == self._site and peer.state is not State.LEFT
            for line in [self._line(peer)]
            if line.owed or not self.multicast
        ]
        self._owing = bool(owed)
        match message:
            case Heartbeat():
                return self._beats(message, owed)
            case RollCall(beat):
                calls = [SendTo(peer.address, message) for peer, _ in owed]
                return [*calls, *self._beats(beat, owed)]
            case Want(to=addressee) | Vector(to=addressee):
                return [SendTo(p.address, message) for p, _ in owed if p.name == addressee]
            case Pieces():
                return []  # who has not got it asks for it, alone
            case Suspect() | Down() | Leave():
                return [SendTo(peer.address, message) for peer, _ in owed]
            case _:  # who is down pulls what it missed when it is back
                return [SendTo(peer.address, message) for peer, _ in owed if peer.up]

    def _beats(self, beat: Heartbeat, owed: list[tuple[Member, _Line]]) -> Iterable[Effect]:
        """Copies for those whose turn it is, the down ones too: it is how a cut is seen to be healed. News are for all."""
        share = max(1, int(COPIES * self._members.period()))
        owed.sort(key=lambda pair: pair[1].turn)
        said = msgspec.structs.replace(beat, version=0, vector=0, clock=0, number=0)
        if said != self._said:
            self._said = said
            return [
                SendTo(peer.address, Copy(beat, 1 + i // share)) for i, (peer, _) in enumerate(owed)
            ]
        self._turn += 1
        for _, line in owed[:share]:
            line.turn = self._turn
        every = ceil(len(owed) / share)
        return [SendTo(peer.address, Copy(beat, every)) for peer, _ in owed[:share]]

    def _line(self, peer: Member) -> _Line:
        line = self._lines.get(peer.name)
        if line is None or line.epoch != peer.epoch:
            line = self._lines[peer.name] = _Line(peer.epoch)
        return line


def _count(line: _Line, number: int, *, came: bool) -> None:
    """A heartbeat is known to have been sent. Those before it are judged; this one once a later one is known."""
    if line.number is None:
        line.number, line.came = number, came
        return
    ahead = (number - line.number) % NUMBERS
    if ahead == 0:
        line.came |= came
    elif ahead <= FORWARD:
        _judge(line, came=line.came)
        for _ in range(ahead - 1):
            _judge(line, came=False)
        line.number, line.came = number, came


def _judge(line: _Line, *, came: bool) -> None:
    line.recent = (line.recent << 1 | came) & (1 << RECENT) - 1
    line.judged = min(RECENT, line.judged + 1)
    arrival, loss = (1, -LOST_AGAIN) if line.wanted else (-1, LOST)
    line.bucket = max(0, line.bucket + (arrival if came else loss))
