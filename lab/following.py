"""Callers that follow SRV: at each TTL DNS is asked anew, and the calls of the time until the next go where it sends them.

SIPp cannot ask, so there is one SIPp after the other. Each of its callers has the order that RFC 2782 draws from the answer at
that moment, and goes on by it on 503 and silence (lab/wander.py). Failed is what no address served, by SIPp's own counters.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lab.load import Load, Outcome, Running
from lab.locating import Located
from lab.netns import Host, within
from lab.sip import Target

ORDERS = 12  # drawn from one answer
TTL = 5.0  # seconds, of the daemon's answers


@dataclass(frozen=True, slots=True)
class Told:
    """What DNS said, and when (monotonic): each order names addresses, the one that is asked first in front."""

    at: float
    orders: list[list[str]]


def orders(home: Host, domain: str, resolvers: Sequence[str], count: int) -> list[list[str]]:
    """So many draws from one answer, as phones at home there would make them. Raises: locating.NotFound."""

    async def found() -> list[list[str]]:
        servers = Located(domain, [Target(one, 53) for one in resolvers], transport="udp")
        return [[one.host for rank in await servers.ranks() for one in rank] for _ in range(count)]

    return within(home.namespace, lambda: asyncio.run(found()))


class Following:
    """Such callers, at a node's side, from now until `finish`."""

    def __init__(
        self,
        load: Load,
        home: Host,
        node: str,
        callers: Sequence[str],
        called: Sequence[str],
        secret: str,
        *,
        domain: str,
        resolvers: Sequence[str],
        rate: float,
        hold: float,
    ) -> None:
        """`resolvers`: the addresses that are asked, the next one first each time."""
        self.told: list[Told] = []
        self._load, self._node, self._home = load, node, home
        self._callers, self._called, self._secret = callers, called, secret
        self._domain, self._resolvers, self._rate, self._hold = domain, resolvers, rate, hold
        self._runs: list[Running] = []
        self._end = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._guarded, name="callers that follow SRV")
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._end.set()
        self._thread.join()

    def finish(self, patience: float) -> Outcome:
        """Ask no more; wait until the calls of this turn have ended, and add all up."""
        self.stop()
        if self._failure is not None:
            raise self._failure
        found = [run.outcome(patience) for run in self._runs]
        return Outcome(
            self._rate,
            sum(one.made for one in found),
            sum(one.good for one in found),
            sum(one.failed for one in found),
            (),
            ", ".join(one.why for one in found if one.why),
        )

    def _guarded(self) -> None:
        try:
            self._run()
        except BaseException as error:  # told by `finish`
            self._failure = error

    def _run(self) -> None:
        began, turn = time.monotonic(), 0
        while not self._end.is_set():
            first = turn % len(self._resolvers)
            asked = [*self._resolvers[first:], *self._resolvers[:first]]
            told = Told(time.monotonic(), orders(self._home, self._domain, asked, ORDERS))
            self.told.append(told)
            turn += 1
            left = began + turn * TTL - time.monotonic()  # asking a dead one has taken some of it
            if left > 0:
                self._runs.append(
                    self._load.wander(
                        self._node,
                        self._callers,
                        self._called,
                        self._secret,
                        told.orders,
                        rate=self._rate,
                        seconds=left,
                        hold=self._hold,
                    )
                )
            self._end.wait(max(0.0, began + turn * TTL - time.monotonic()))
