"""Members: who lives. Heartbeats by multicast, direct and indirect probes, suspicion that its subject can refute.

One heartbeat a period from everyone to everyone makes silence visible at once; the questions that follow make sure that the
silence is not ours (SWIM, Das et al. 2002; local doubt as in Lifeguard, arXiv 1707.00788). Two verdicts come of it:

    unreachable   from here: this node does not route there; told to nobody
    down          shared: out of the ring everywhere

    heard ──miss──▶ ASKING ──no ack──▶ ASKING OTHERS ──no ack──▶ SUSPECT ──not refuted──▶ DOWN ──heard, and answers──▶ ALIVE
                                             └──another has its ack──▶ INDIRECT: up, but out of our reach

Who comes back from the dead is asked whether it lives, since it may be a recording; many at once, by one heartbeat
(core/membership/rollcall.py).

Who may be the silent one itself doubts itself first. A node whose own loop lags was deaf meanwhile: it forgives everyone the
time that it missed, and accuses nobody for it. A node that hears nobody at all, though it knows several (its cable is out, its
port blocked), sends them no calls, but goes on asking and tells nobody; only after `doubt` seconds of silence, which then is a
partition, does it decide. An unanswered question counts if somebody else was heard while it stood; who is asked to ask says at
once that it hears.

An incarnation outranks lower ones of the same epoch, and an epoch, which grows with each boot and is kept, outranks all
incarnations of earlier boots. So incarnations begin at 0 at each boot and need not be kept.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from math import ceil
from operator import attrgetter
from random import Random

from msgspec.structs import replace

from pbxfed_ari.core.effects import Broadcast, CloseSessionPast, Effect, Note, SendTo, Tell
from pbxfed_ari.core.events import Address, PeerLostCalls, wan
from pbxfed_ari.core.membership.condition import DEATHS, Condition
from pbxfed_ari.core.membership.member import UP, Member, State
from pbxfed_ari.core.membership.rollcall import ANSWERED, Roll
from pbxfed_ari.core.membership.timing import LAN, Timing
from pbxfed_ari.core.messages import (
    Ack,
    AckFor,
    AnyMessage,
    Down,
    Heartbeat,
    Hello,
    Leave,
    Probe,
    ProbeFor,
    RollCall,
    Suspect,
)
from pbxfed_ari.core.names import NodeName

INDIRECT = 3  # nodes asked to ask
TOGETHER = 3.0  # seconds in which all fall whom one cut takes away, or come back
OVERDUE = 0.7  # periods that a heartbeat by turns may be late
WILD = 1_000  # incarnations above ours that nobody can have heard of


class Members:
    """All peers of this node, and what is asked of them."""

    def __init__(self, me: NodeName, epoch: int, *, rng: Random, timing: Timing = LAN) -> None:
        self.me = me
        self.epoch = epoch
        self.incarnation = 0
        self.timing = timing
        self.changed = True  # who is up or in reach is not who was when this was last cleared
        self._rng = rng
        self._peers: dict[NodeName, Member] = {}
        self._sorted: list[Member] = []  # by name
        self._alive: list[Member] | None = None  # who is up, until that changes
        self._up = 0  # how many of them are of our own LAN
        self._asked_for: dict[
            int, tuple[Address, str, float]
        ] = {}  # nonce → who wants to know, of whom, until
        self._next = float("inf")  # no deadline is before this
        self._heard = float("-inf")  # when anybody's last frame came
        self._regained = float("-inf")  # when we last could hear again after having been deaf
        self.roll = Roll(rng)

    def __repr__(self) -> str:
        return f"Members({', '.join(f'{p.name} {p.state.value}' for p in self)})"

    def __iter__(self) -> Iterator[Member]:
        return iter(self._sorted)

    def get(self, name: NodeName) -> Member | None:
        """A peer by name; None for this node itself."""
        return self._peers.get(name)

    def alive(self) -> Sequence[Member]:
        """The peers that count as living, by name."""
        if self._alive is None:
            self._alive = [peer for peer in self if peer.up]
        return self._alive

    def up(self, name: NodeName) -> bool:
        """Does a node count for the ring? This node always does."""
        return name == self.me or (name in self._peers and self._peers[name].up)

    def reachable(self, name: NodeName) -> bool:
        """May calls be sent there from here? This node is always within reach of itself."""
        return name == self.me or (name in self._peers and self._peers[name].reachable)

    def period(self) -> float:
        """Seconds between two heartbeats at the present size."""
        return self.timing.stretched(self._up + 1)

    def next_deadline(self) -> float:
        """When `tick` wants to be called: never after a deadline, at times before one that has been put off since."""
        return self._next

    # --- what peers say

    def forget(self, name: NodeName) -> None:
        """A peer that is no member any more."""
        peer = self._peers.pop(name, None)
        if peer is not None:
            self._sorted.remove(peer)
            if peer.up:
                self._count(peer, -1)

    def meet(self, hello: Hello, now: float, session: bytes = b"") -> list[Effect]:
        """A session has introduced itself. It counts once it has answered a probe: a recording cannot."""
        name = NodeName(hello.name)
        known = self._peers.get(name)
        if known is not None and hello.epoch < known.epoch:
            return []  # a session of the past
        address = (hello.address, hello.port)
        if (
            known is not None
            and hello.epoch == known.epoch
            and not known.away
            and known.state not in (State.NEW, State.DOWN, State.LEFT)
        ):
            if known.session == session:
                known.address = address
            return []
        peer = Member(
            name,
            hello.epoch,
            address,
            hello.site,
            hello.release,
            heard=now,
            since=now,
            session=session,
        )
        if known is not None:
            peer.told = known.told
            peer.condition = known.condition  # who drains does so until its first heartbeat
            if hello.epoch != known.epoch:  # its deaths are counted from its boot
                peer.condition = replace(known.condition, deaths=0)
        self._install(peer, known)
        return [self._question(peer, State.NEW, now, now + self.timing.ask)]

    def heard(self, name: NodeName, epoch: int, now: float) -> list[Effect]:
        """Any frame of a peer's present session: it lives; if it was thought dead it is asked first."""
        peer = self._peers.get(name)
        if peer is None or peer.epoch != epoch:
            return []
        if now - self._heard > self._patience():
            self._forgive(now)
        self._heard = peer.heard = now
        if peer.state is State.ALIVE:
            peer.deadline = self._patient_until(peer, now)
            return []
        if peer.up:
            return self._enter(peer, State.ALIVE, now)
        if peer.state is State.NEW or now < peer.since + self.timing.ask:
            return []  # asked already, or a moment ago in vain
        if self.roll.stands(now) or self._cut_off(peer):
            self._ask_all(peer, now, by=now)
            return []
        return [self._question(peer, State.NEW, now, now + self.timing.ask)]

    def called(self, name: NodeName, epoch: int, call: RollCall, now: float) -> list[Effect]:
        """A heartbeat asks or answers. Who has been living for us all the time does not mean us: it would be asked alone."""
        peer = self._peers.get(name)
        if peer is None or peer.epoch != epoch:
            return []
        if call.nonce and (not peer.up or now < peer.since + TOGETHER):
            self.roll.owe(call.nonce, now)
        if peer.state is State.DOWN and now >= peer.since + self.timing.ask:
            self._ask_all(peer, now, by=now + ANSWERED)  # no hurry: it hears us, and asks
        if self.roll.stands(now) and self.roll.nonce in call.answers:
            return self._answered(name, self.roll.nonce, now)
        return []

    def expect(self, peer: Member, every: int, now: float) -> None:
        """A heartbeat by turns has come; the next one is to come after so many periods."""
        peer.every, peer.due = every, now + (every + OVERDUE) * self.period()

    def handle(
        self, name: NodeName, message: AnyMessage, source: Address, now: float
    ) -> list[Effect]:
        """A message about living, from a peer that `heard` has just been told of."""
        match message:
            case Heartbeat():
                return self._beat(name, message, now)
            case Probe(nonce):
                return [SendTo(source, Ack(nonce))]
            case Ack(nonce):
                return self._answered(name, nonce, now)
            case ProbeFor(target, nonce):
                return self._ask_for(target, nonce, source, now)
            case AckFor(target, nonce):
                return self._answered(NodeName(target), nonce, now, State.INDIRECT)
            case Suspect(target, epoch, incarnation) | Down(target, epoch, incarnation):
                return self._accused(name, message, NodeName(target), epoch, incarnation, now)
            case Leave():
                peer = self._peers.get(name)
                return self._enter(peer, State.LEFT, now, by="itself") if peer else []
            case _:
                return []

    def reported(
        self,
        name: NodeName,
        epoch: int,
        site: str,
        state: State,
        *,
        condition: Condition,
        until: float,
        now: float,
    ) -> list[Effect]:
        """A node of another site, by that site's own verdict; it counts `until` it must be said again."""
        peer = self._peers.get(name)
        if name == self.me or (peer is not None and (epoch < peer.epoch or _seen_here(peer))):
            return []
        if peer is None or peer.epoch != epoch or not peer.away:
            known = peer
            peer = Member(name, epoch, wan(name), site, "", State.NEW, since=now, away=True)
            peer.state = known.state if known is not None else State.NEW
            self._install(peer, known)
        peer.site, peer.heard = site, now
        if condition.ready and state in UP:
            peer.served = now
        effects = self._enter(peer, state, now, by=f"site {site}")
        if peer.up:
            effects += self._feels(peer, condition)
        self._due(peer, until if peer.up else float("inf"))
        return effects

    def tick(self, now: float, late: float) -> list[Effect]:
        """A deadline has come. `late`: how long this node was deaf; nobody is blamed for that."""
        if late > self.timing.lag:
            self._forgive(now)
        if now < self._next:
            return []
        effects: list[Effect] = []
        for peer in self:
            if peer.deadline <= now:
                effects += self._expired(peer, now)
        self._next = min((peer.deadline for peer in self._peers.values()), default=float("inf"))
        if self._asked_for:
            self._asked_for = {n: asked for n, asked in self._asked_for.items() if asked[2] > now}
        return effects

    # --- helpers

    def _patience(self) -> float:
        return self.timing.missed * self.period()

    def _patient_until(self, peer: Member, now: float) -> float:
        """When a silence that begins now is to be asked about. Heartbeats by turns keep to their own schedule."""
        if peer.every > 1:
            turns = ceil(max(0.0, now - peer.due) / (peer.every * self.period()))
            peer.due += turns * peer.every * self.period()
            return max(peer.due, now + self._patience())
        return now + self._patience()

    def _beat(self, name: NodeName, beat: Heartbeat, now: float) -> list[Effect]:
        peer = self._peers.get(name)
        if peer is None:
            return []
        self.changed |= beat.relays != peer.relays
        peer.version, peer.vector, peer.relays = beat.version, beat.vector, beat.relays
        if beat.ready:
            peer.served = now
        peer.incarnation = max(peer.incarnation, beat.incarnation)
        return self._feels(peer, Condition.of(beat.ready, beat.condition))

    def _feels(self, peer: Member, condition: Condition) -> list[Effect]:
        """What a peer says of itself, or its site of it."""
        before, peer.condition = peer.condition, condition
        died = (condition.deaths - (peer.deaths or 0)) % DEATHS
        late = peer.deaths is not None and died == DEATHS - 1  # it was overtaken by the next
        lost = peer.deaths is not None and died > 0 and not late
        peer.deaths = peer.deaths if late else condition.deaths
        if condition == before:
            return []
        self.changed = True
        fields = (("node", peer.name), ("is", str(condition)), ("was", str(before)))
        told: list[Effect] = [Tell(PeerLostCalls(peer.name))] if lost else []
        return [*told, Note("member condition", fields)] if fields[1][1] != fields[2][1] else told

    def _install(self, peer: Member, known: Member | None) -> None:
        """A new session, in the place of the one that is known under its name."""
        at = bisect_left(self._sorted, peer.name, key=attrgetter("name"))
        self._sorted[at : at + (known is not None)] = [peer]
        self._peers[peer.name] = peer
        if known is not None:
            peer.served = known.served
        if known is not None and known.up:
            self._count(known, -1)
        if peer.up:
            self._count(peer, 1)

    def _count(self, peer: Member, change: int) -> None:
        self._up += 0 if peer.away else change
        self._alive = None
        self.changed = True

    def _due(self, peer: Member, at: float) -> None:
        peer.deadline = at
        self._next = min(self._next, at)

    def _forgive(self, now: float) -> None:
        """We were deaf until now: nobody's silence counts before it had time to end."""
        self._regained = now
        for peer in self.alive():
            peer.deadline = max(peer.deadline, now + self.timing.period)

    def _own_fault(self, peer: Member, now: float) -> bool:
        """Does an unanswered question say nothing of the peer, because the deaf one may be we?"""
        if peer.since <= self._regained:
            return True
        deaf = self._heard <= peer.since and self._up > 1
        return deaf and now < self._heard + max(self.timing.doubt, 2 * self._patience())

    def _question(self, peer: Member, state: State, now: float, until: float) -> Effect:
        if peer.state is not state:
            peer.since = now
        peer.state = state
        self._due(peer, until)
        peer.nonce = self._rng.getrandbits(32)
        return SendTo(peer.address, Probe(peer.nonce))

    def _cut_off(self, peer: Member) -> bool:
        """Did others fall when this one did? Then a cut took them, and they come back together."""
        return any(
            other.state is State.DOWN
            and other is not peer
            and not other.away
            and abs(other.since - peer.since) < TOGETHER
            for other in self
        )

    def _ask_all(self, peer: Member, now: float, *, by: float) -> None:
        """It is asked by a heartbeat, as all are who come back; only if it does not answer that it is asked alone."""
        answered = self.roll.ask(now, by, self.timing.introduction)
        peer.state, peer.since, peer.nonce = State.NEW, now, self.roll.nonce
        self._due(peer, answered + self.timing.ask)

    def _expired(self, peer: Member, now: float) -> list[Effect]:
        if peer.away:
            return self._enter(peer, State.DOWN, now, by="its site's silence")
        match peer.state:
            case State.NEW if peer.nonce == self.roll.nonce:
                peer.since = now
                return [self._question(peer, State.NEW, now, now + self.timing.ask)]
            case State.NEW if now - peer.since < self.timing.introduction:
                self._due(peer, now + self.timing.ask)  # the same question: its answer may be far
                return [SendTo(peer.address, Probe(peer.nonce))]
            case State.NEW:
                return self._enter(peer, State.DOWN, now, by="no answer")
            case State.ALIVE if now < peer.heard + self._patience():
                self._due(peer, peer.heard + self._patience())  # more of us, longer periods
                return []
            case State.ALIVE:
                return [self._question(peer, State.ASKING, now, now + self.timing.ask / 2)]
            case State.ASKING if now < peer.since + self.timing.ask:
                self._due(
                    peer, peer.since + self.timing.ask
                )  # a second time costs less than others
                return [SendTo(peer.address, Probe(peer.nonce))]
            case State.ASKING | State.INDIRECT:
                return self._ask_others(peer, now)
            case State.ASKING_OTHERS if self._own_fault(peer, now):
                return self._ask_others(peer, now)
            case State.ASKING_OTHERS:
                return self._suspect(peer, now)
            case State.SUSPECT:
                accusation = Down(peer.name, peer.epoch, peer.incarnation)
                return [Broadcast(accusation), *self._enter(peer, State.DOWN, now, by="us")]
            case State.DOWN | State.LEFT:
                return []

    def _ask_others(self, peer: Member, now: float) -> list[Effect]:
        others = [m for m in self.alive() if m.state is State.ALIVE and not m.away]
        chosen = sorted(self._rng.sample(others, min(INDIRECT, len(others))), key=lambda m: m.name)
        peer.state, peer.since = State.ASKING_OTHERS, now
        self.changed = True  # out of our reach, for now
        self._due(peer, now + self.timing.ask_others)
        again: list[Effect] = [SendTo(peer.address, Probe(peer.nonce))]
        return again + [SendTo(o.address, ProbeFor(peer.name, peer.nonce)) for o in chosen]

    def _suspect(self, peer: Member, now: float) -> list[Effect]:
        accusation = Suspect(peer.name, peer.epoch, peer.incarnation)
        return [Broadcast(accusation), *self._enter(peer, State.SUSPECT, now, by="us")]

    def _answered(
        self, name: NodeName, nonce: int, now: float, becomes: State = State.ALIVE
    ) -> list[Effect]:
        asked = self._asked_for.pop(nonce, None)
        if asked is not None and asked[1] == name:
            return [SendTo(asked[0], AckFor(name, nonce))]
        peer = self._peers.get(name)
        if peer is None or peer.nonce != nonce or peer.state is State.LEFT:
            return []
        if becomes is State.INDIRECT and not peer.up:
            return []  # an answer that came too late for us
        if becomes is State.ALIVE:
            self._heard = peer.heard = now
        proven = [CloseSessionPast(peer.session)] if peer.state is State.NEW else []
        return [*proven, *self._enter(peer, becomes, now)]

    def _ask_for(self, target: str, nonce: int, source: Address, now: float) -> list[Effect]:
        peer = self._peers.get(NodeName(target))
        if peer is None or len(self._asked_for) > 1_000:
            return []
        self._asked_for[nonce] = (source, target, now + 1.0)
        return [SendTo(source, Ack(nonce)), SendTo(peer.address, Probe(nonce))]

    def _accused(
        self,
        accuser: NodeName,
        message: Suspect | Down,
        target: NodeName,
        epoch: int,
        incarnation: int,
        now: float,
    ) -> list[Effect]:
        if target == self.me:
            if epoch != self.epoch or not 0 <= incarnation - self.incarnation < WILD:
                return []  # refuted already, or nonsense: there must always be a next one
            self.incarnation = (
                incarnation + 1
            )  # the next heartbeat carries it, and it goes out at once
            return [Note("suspicion refuted", (("accuser", accuser),), "warning")]
        peer = self._peers.get(target)
        if peer is None or peer.epoch != epoch or incarnation < peer.incarnation:
            return []
        if now - peer.heard < self.period():
            return []  # heard a moment ago, from here: the accuser's trouble is its own
        if isinstance(message, Suspect):
            return self._enter(peer, State.SUSPECT, now, by=accuser) if peer.reachable else []
        return self._enter(peer, State.DOWN, now, by=accuser) if peer.up else []

    def _enter(self, peer: Member, state: State, now: float, *, by: str = "") -> list[Effect]:
        before, peer.state = peer.state, state
        if state in (State.ALIVE, State.INDIRECT):
            self._due(peer, self._patient_until(peer, now))
        elif state is State.SUSPECT:
            self._due(peer, now + self.timing.suspicion)
        else:
            peer.deadline = float("inf")
        if before is state:
            return []
        silent = round(now - peer.heard, 3)
        peer.since = now
        self.changed = True
        if (before in UP) != peer.up:
            self._count(peer, 1 if peer.up else -1)
        if _passing(before, state) or (state is State.DOWN and peer.told):
            return []
        peer.told = state is State.DOWN
        level = "warning" if state in (State.SUSPECT, State.DOWN) else "info"
        fields = (("node", peer.name), ("was", before.value), ("by", by), ("silent", silent))
        return [Note(f"member {state.value}", tuple(f for f in fields if f[1] != ""), level)]


def _seen_here(peer: Member) -> bool:
    """We judge for ourselves who answers in our own LAN."""
    return not peer.away and peer.state not in (State.DOWN, State.LEFT)


def _passing(before: State, after: State) -> bool:
    """A moment's silence is not news."""
    if after is State.ALIVE:
        return before in (State.ASKING, State.ASKING_OTHERS)
    return {before, after} == {State.INDIRECT, State.ASKING_OTHERS}
