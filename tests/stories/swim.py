"""Plain SWIM, to be measured against: Das, Gupta and Motivala 2002, in the same crowd as ours.

Each protocol period a member pings the next one of its shuffled list (round-robin, section 4.3). No ack within half a period:
k = 3 others are asked to ping it. No ack by the end of the period: it is suspected (section 4.2), and dead after a time-out of
3 ⌈ln(N + 1)⌉ periods. News (alive, suspect, dead, each with an incarnation) ride on pings and acks, the least often sent first,
each at most 3 ⌈ln(N + 1)⌉ times from each member (section 4.1, λ = 3). A suspect refutes with a higher incarnation.

Two things that the paper leaves open are done as memberlist does them: who was declared dead wrongly comes back by a higher
incarnation, and who is pinged by one that it holds dead says so in its ack.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import ceil, log
from random import Random

import msgspec

from pbxfed_ari.core.effects import Effect, Note, SendTo
from pbxfed_ari.core.messages import AnyMessage
from tests.stories.crowd import address_of, name_of

ASKED = 3  # members asked to ping (the paper's k)
LAMBDA = 3
PIGGYBACK = 6  # news on one message


class Status(IntEnum):
    """Of equal incarnations the greater one stands."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2


News = tuple[int, int, Status]  # of whom, incarnation, status


class Ping(msgspec.Struct, frozen=True, gc=False):
    """Are you there? `asker`: on whose behalf, or -1."""

    number: int
    asker: int
    news: tuple[News, ...]


class PingFor(msgspec.Struct, frozen=True, gc=False):
    """Please ping `target` for me."""

    number: int
    target: int
    news: tuple[News, ...]


class PingAck(msgspec.Struct, frozen=True, gc=False):
    """`target` is there."""

    number: int
    target: int
    asker: int
    news: tuple[News, ...]


@dataclass(slots=True)
class _Peer:
    status: Status = Status.ALIVE
    incarnation: int = 0


class Swim:
    """One member. Satisfies `crowd.Detector`."""

    def __init__(self, number: int, size: int, rng: Random, period: float = 1.0) -> None:
        self._me, self._size, self._rng, self.period = number, size, rng, period
        self._limit = LAMBDA * ceil(log(size + 1))  # of sendings, and of periods of suspicion
        self._suspected: dict[int, float] = {}  # until when
        self._peers = {n: _Peer() for n in range(size) if n != number}
        self._incarnation = 0
        self._order: list[int] = []
        self._news: dict[int, list[int]] = {}  # of whom → [times sent, incarnation, status]
        self._pinged = -1
        self._number = 0
        self._acked = True
        self._next = self._half = float("inf")

    def start(self, now: float) -> Sequence[Effect]:
        self._next = now + self._rng.random() * self.period
        return []

    def next_deadline(self) -> float:
        return min(self._next, self._half, *self._suspected.values())

    def holds_down(self, number: int) -> bool:
        return self._peers[number].status is Status.DEAD

    def take(self, sender: int, message: AnyMessage, now: float) -> Sequence[Effect]:
        effects: list[Effect] = []
        match message:
            case Ping(number, asker, news):
                effects += self._learn(news, now)
                effects.append(
                    self._send(sender, PingAck(number, self._me, asker, self._some(sender)))
                )
            case PingFor(number, target, news):
                effects += self._learn(news, now)
                effects.append(self._send(target, Ping(number, sender, self._some(target))))
            case PingAck(number, target, asker, news):
                effects += self._learn(news, now)
                if asker not in (-1, self._me):
                    ack = PingAck(number, target, -1, self._some(asker))
                    effects.append(self._send(asker, ack))
                elif target == self._pinged and number == self._number:
                    self._acked, self._half = True, float("inf")
        return effects

    def tick(self, now: float, late: float) -> Sequence[Effect]:
        effects: list[Effect] = []
        for number in [n for n, until in self._suspected.items() if until <= now]:
            effects += self._hold(number, self._peers[number].incarnation, Status.DEAD, now)
        if now >= self._half:
            self._half = float("inf")
            effects += self._ask_others()
        if now >= self._next:
            if not self._acked:
                peer = self._peers[self._pinged]
                effects += self._hold(self._pinged, peer.incarnation, Status.SUSPECT, now)
            effects += self._ping_next(now)
        return effects

    # --- helpers

    def _ping_next(self, now: float) -> list[Effect]:
        self._next = max(self._next + self.period, now + self.period / 2)
        self._acked, self._half = True, float("inf")
        living = [n for n, p in self._peers.items() if p.status is not Status.DEAD]
        if not living:
            return []
        self._order = [n for n in self._order if self._peers[n].status is not Status.DEAD]
        if not self._order:
            self._order = self._rng.sample(living, len(living))
        self._pinged, self._acked = self._order.pop(), False
        self._number += 1
        self._half = now + self.period / 2
        return [self._send(self._pinged, Ping(self._number, -1, self._some(self._pinged)))]

    def _ask_others(self) -> list[Effect]:
        others = [
            n for n, p in self._peers.items() if p.status is Status.ALIVE and n != self._pinged
        ]
        chosen = self._rng.sample(others, min(ASKED, len(others)))
        return [self._send(n, PingFor(self._number, self._pinged, self._some(n))) for n in chosen]

    def _send(self, to: int, message: Ping | PingFor | PingAck) -> SendTo:
        return SendTo(address_of(to), message)  # type: ignore[arg-type]

    def _some(self, to: int) -> tuple[News, ...]:
        """The news that were sent least often; and to one held dead, first of all, that it is."""
        chosen = sorted(self._news.items(), key=lambda item: (item[1][0], item[0]))[:PIGGYBACK]
        for number, entry in chosen:
            entry[0] += 1
            if entry[0] >= self._limit:
                del self._news[number]
        found = [(n, e[1], Status(e[2])) for n, e in chosen]
        peer = self._peers[to]
        if peer.status is Status.DEAD and (to, peer.incarnation, Status.DEAD) not in found:
            found.append((to, peer.incarnation, Status.DEAD))
        return tuple(found)

    def _tell(self, number: int, incarnation: int, status: Status) -> None:
        self._news[number] = [0, incarnation, status]

    def _learn(self, news: Sequence[News], now: float) -> list[Effect]:
        effects: list[Effect] = []
        for number, incarnation, status in news:
            effects += self._hold(number, incarnation, status, now)
        return effects

    def _hold(self, number: int, incarnation: int, status: Status, now: float) -> list[Effect]:
        if number == self._me:
            if status is not Status.ALIVE and incarnation >= self._incarnation:
                self._incarnation = incarnation + 1
                self._tell(number, self._incarnation, Status.ALIVE)
            return []
        peer = self._peers[number]
        if (incarnation, status) <= (peer.incarnation, peer.status):
            return []
        peer.status, peer.incarnation = status, incarnation
        self._suspected.pop(number, None)
        if status is Status.SUSPECT:
            self._suspected[number] = now + self._limit * self.period
        self._tell(number, incarnation, status)
        if status is Status.DEAD:
            return [Note("member down", (("node", name_of(number)),), "warning")]
        return []
