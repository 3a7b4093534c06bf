"""Failure detectors in a crowd: many members on a virtual clock, without frames, store or directory.

A message is handed over as it is, after a delay, unless it is lost; a multicast is one event however many hear it. So hours
of 32 members or minutes of 1,000 fit into a test, and another detector can stand in the same crowd (`swim.py`).

crowd = Crowd(32, seed=1, loss=0.05)
crowd.run(10.0)
crowd.kill(3)
assert crowd.run(5.0, lambda: crowd.all_hold_down(3))
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from random import Random
from typing import Protocol

from pbxfed_ari.core.effects import Broadcast, Effect, Note, SendTo
from pbxfed_ari.core.federation.introductions import WELCOMES
from pbxfed_ari.core.membership.member import State
from pbxfed_ari.core.membership.members import Members
from pbxfed_ari.core.membership.timing import LAN, Timing
from pbxfed_ari.core.messages import PORT, Ack, AnyMessage, Heartbeat, Hello, Probe, RollCall
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.wire import codec
from pbxfed_ari.wire.seal import OVERHEAD

HEADERS = 42 + OVERHEAD  # bytes around a message: Ethernet, IPv4, UDP, seal
DELAY, JITTER = 0.0005, 0.0002  # seconds from node to node


@cache
def name_of(number: int) -> NodeName:
    """The name of the crowd's member with this number."""
    return NodeName(f"n{number:04}")


@cache
def address_of(number: int) -> tuple[str, int]:
    """Its address."""
    return (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", PORT)


class Detector(Protocol):
    """A failure detector of one member."""

    def start(self, now: float) -> Sequence[Effect]:
        """It has been told of all others."""

    def take(self, sender: int, message: AnyMessage, now: float) -> Sequence[Effect]:
        """A message has come."""

    def tick(self, now: float, late: float) -> Sequence[Effect]:
        """Its deadline has passed, by so much."""

    def next_deadline(self) -> float:
        """When it wants a tick."""

    def holds_down(self, number: int) -> bool:
        """Is this member dead, for all that it knows?"""


class Ours:
    """`core/membership/members.py`, and the heartbeat that the federation sends beside it."""

    def __init__(self, number: int, size: int, rng: Random, timing: Timing = LAN) -> None:
        self.members = Members(name_of(number), 1, rng=rng, timing=timing)
        self._rng, self._size = rng, size
        self._number = number
        self._next_beat = float("inf")
        self._welcome_from = 0.0

    def start(self, now: float) -> Sequence[Effect]:
        for number in range(self._size):
            if number != self._number:
                self.meet(number, now)
        self._next_beat = now + self._rng.random() * self.members.period()
        return []

    def meet(self, number: int, now: float) -> None:
        """An introduction that went well."""
        hello = Hello(name_of(number), 1, *address_of(number))
        (question,) = self.members.meet(hello, now)
        assert isinstance(question, SendTo)
        assert isinstance(question.message, Probe)
        ack = Ack(question.message.nonce)
        self.members.handle(name_of(number), ack, address_of(number), now)

    def take(self, sender: int, message: AnyMessage, now: float) -> Sequence[Effect]:
        """As `Federation` does it."""
        members, name = self.members, name_of(sender)
        if isinstance(message, Hello):
            own = [SendTo(address_of(sender), self._hello())] if message.ask else []
            return [*own, *members.meet(message, now)]
        known = members.get(name)
        if known is None:
            return self._stranger(sender, now)
        effects: list[Effect] = []
        if isinstance(message, RollCall):
            effects += members.called(name, 1, message, now)
            self._next_beat = min(self._next_beat, members.roll.speak_by)
            message = message.heartbeat
        if known.state is State.NEW and not isinstance(message, Ack | Probe):
            return effects
        incarnation = members.incarnation
        effects += members.heard(name, 1, now)
        self._next_beat = min(self._next_beat, members.roll.speak_by)
        effects += members.handle(name, message, address_of(sender), now)
        if members.incarnation > incarnation:
            effects.append(Broadcast(Heartbeat(1, 1, members.incarnation)))
        return effects

    def join(self, now: float) -> Sequence[Effect]:
        """Knowing nobody."""
        self._next_beat = now + self._rng.random() * self.members.timing.period
        return [Broadcast(self._hello(ask=True))]

    def _stranger(self, sender: int, now: float) -> Sequence[Effect]:
        if now < self._welcome_from:
            return []
        self._welcome_from = now + 1 / WELCOMES
        return [SendTo(address_of(sender), self._hello(ask=True))]

    def _hello(self, *, ask: bool = False) -> Hello:
        return Hello(name_of(self._number), 1, *address_of(self._number), ask=ask)

    def tick(self, now: float, late: float) -> Sequence[Effect]:
        effects = self.members.tick(now, late)
        if now >= self._next_beat:
            period = self.members.period()
            self._next_beat = max(self._next_beat + period, now + period / 2)
            beat, (asked, answers) = (
                Heartbeat(1, 1, self.members.incarnation),
                self.members.roll.say(),
            )
            effects.append(Broadcast(RollCall(beat, asked, answers) if asked or answers else beat))
        return effects

    def next_deadline(self) -> float:
        return min(self._next_beat, self.members.next_deadline())

    def holds_down(self, number: int) -> bool:
        return not self.members.up(name_of(number))


@dataclass(frozen=True, slots=True)
class Death:
    """A member was declared dead by another."""

    at: float
    by: int
    of: int


@dataclass(slots=True)
class _Seat:
    """A member's place in the crowd."""

    detector: Detector
    asleep: bool = False
    blocked: bool = False
    dead: bool = False
    due: float = float("inf")  # of its entry in the heap
    waiting: list[tuple[int, AnyMessage]] = field(default_factory=list)
    unsent: list[tuple[int, AnyMessage]] = field(default_factory=list)
    sent: int = 0  # bytes
    received: int = 0


Make = Callable[[int, int, Random], Detector]


class Crowd:
    """Members, what lies between them, and a clock."""

    def __init__(
        self,
        size: int,
        *,
        seed: int,
        loss: float = 0.0,
        make: Make = Ours,
        seats: int = 0,
    ) -> None:
        """`size` members that know one another, and empty `seats` for members to come."""
        self.now, self.loss = 0.0, loss
        self.deaths: list[Death] = []
        self.numbers: dict[tuple[str, int], int] = {}
        self._rng = Random(seed)
        self._order = count()
        self._flights: list[tuple[float, int, int, int, AnyMessage]] = []  # to -1: everyone
        self._deadlines: list[tuple[float, int]] = []
        self._sizes: dict[AnyMessage, int] = {}
        self.seats: list[_Seat] = []
        self._cut: set[tuple[int, int]] = set()
        for number in range(size + seats):
            rng = Random(f"{seed} {number}")
            self.seats.append(_Seat(make(number, size, rng), dead=number >= size))
            self.numbers[address_of(number)] = number
        for number in range(size):
            self._perform(number, self.seats[number].detector.start(self.now))
            self._schedule(number)

    # --- what happens to members

    def kill(self, number: int) -> None:
        """It says nothing any more."""
        self.seats[number].dead = True

    def seat(self, number: int) -> None:
        """An empty seat is taken: the newcomer introduces itself."""
        seat = self.seats[number]
        assert isinstance(seat.detector, Ours)
        seat.dead = False
        self._perform(number, seat.detector.join(self.now))
        self._schedule(number)

    def wake(self, number: int) -> None:
        """A paused member goes on: first it sees its late deadline, then what waited."""
        seat = self.seats[number]
        late = max(0.0, self.now - seat.detector.next_deadline())
        seat.asleep = False
        self._perform(number, seat.detector.tick(self.now, late))
        self._take_waiting(number)

    def _take_waiting(self, number: int) -> None:
        seat = self.seats[number]
        waiting, seat.waiting = seat.waiting, []
        for sender, message in waiting:
            self._perform(number, seat.detector.take(sender, message, self.now))
        self._schedule(number)

    def pause(self, number: int) -> None:
        """SIGSTOP: its deadlines pass, what comes waits in its socket."""
        self.seats[number].asleep = True

    def block(self, number: int) -> None:
        """It runs, but nothing that it sends gets out, and nothing in: Lifeguard's slow member."""
        self.seats[number].blocked = True

    def unblock(self, number: int) -> None:
        """What waited goes out and comes in."""
        seat = self.seats[number]
        seat.blocked = False
        unsent, seat.unsent = seat.unsent, []
        for to, message in unsent:
            self._send(number, to, message)
        self._take_waiting(number)

    def cut(self, some: Iterable[int], others: Iterable[int]) -> None:
        """Nothing passes between these and those."""
        theirs = list(others)
        for a in some:
            self._cut |= {(a, b) for b in theirs} | {(b, a) for b in theirs}

    def heal(self) -> None:
        """All cuts are mended."""
        self._cut.clear()

    def all_hold_down(self, number: int) -> bool:
        """Do all that live and are awake hold it dead?"""
        return all(seat.detector.holds_down(number) for n, seat in self.living() if n != number)

    def living(self) -> list[tuple[int, _Seat]]:
        """Members that run."""
        return [(n, s) for n, s in enumerate(self.seats) if not s.dead and not s.asleep]

    # --- time

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass, or until something holds (looked at after every tick). Returns whether it holds at the end."""
        end = self.now + seconds
        flights, deadlines = self._flights, self._deadlines
        while True:
            flight = flights[0][0] if flights else float("inf")
            due = deadlines[0][0] if deadlines else float("inf")
            at = min(flight, due)
            if at > end:
                self.now = end
                return until() if until else False
            self.now = max(self.now, at)
            if flight <= due:
                self._deliver(heapq.heappop(flights))
            else:
                number = heapq.heappop(deadlines)[1]
                self._tick(number, at)
                if until and until():
                    return True

    def _tick(self, number: int, at: float) -> None:
        seat = self.seats[number]
        if seat.due != at or seat.dead or seat.asleep:
            return
        seat.due = float("inf")
        due = seat.detector.next_deadline()
        if due <= self.now:
            self._perform(number, seat.detector.tick(self.now, self.now - due))
        self._schedule(number)

    def _schedule(self, number: int) -> None:
        seat = self.seats[number]
        due = seat.detector.next_deadline()
        if due < seat.due:
            seat.due = due
            heapq.heappush(self._deadlines, (due, number))

    def _deliver(self, flight: tuple[float, int, int, int, AnyMessage]) -> None:
        _, _, sender, to, message = flight
        size = self._size(message)
        loss, chance, cut = self.loss, self._rng.random, self._cut
        for number in (to,) if to >= 0 else range(len(self.seats)):
            seat = self.seats[number]
            if number == sender or seat.dead or (loss and chance() < loss):
                continue
            if cut and (sender, number) in cut:
                continue
            seat.received += size
            if seat.asleep or seat.blocked:
                seat.waiting.append((sender, message))
                continue
            effects = seat.detector.take(sender, message, self.now)
            if effects:
                self._perform(number, effects)
            self._schedule(number)

    def _perform(self, number: int, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Broadcast(message):
                    self._send(number, -1, message)
                case SendTo(address, message):
                    self._send(number, self.numbers[address], message)
                case Note("member down", fields):
                    self.deaths.append(Death(self.now, number, int(str(dict(fields)["node"])[1:])))
                case _:
                    pass

    def _send(self, number: int, to: int, message: AnyMessage) -> None:
        if self.seats[number].blocked:
            self.seats[number].unsent.append((to, message))
            return
        self.seats[number].sent += self._size(message)
        at = self.now + DELAY + self._rng.random() * JITTER
        heapq.heappush(self._flights, (at, next(self._order), number, to, message))

    def _size(self, message: AnyMessage) -> int:
        if isinstance(message, Heartbeat):
            return HEADERS + 22  # an 8-byte hash, a version of 4 bytes, an incarnation
        return HEADERS + len(codec.encode(message))
