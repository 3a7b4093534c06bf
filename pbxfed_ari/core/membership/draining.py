"""Draining: a node is left by and by, on purpose, so that it can be restarted without a call that fails.

    drain ──▶ drains ──no calls, no phones left──▶ (nothing happens by itself)  ──undrain──▶ takes all again
                 └──deadline: what is left is told, and ended if that was asked──▶ still drains

What it means to others stands in core/membership/condition.py. Here: a phone that is registered here and begins a call gets
503, for which it may ask another node (RFC 3261 §21.5.4, RFC 3263 §4.3). Everything else is served: emergency calls, calls to
phones that stand registered here, calls from the outside (a provider may know no other node), transfers and forwards of
running calls.

It is kept on the disk: a drained node that is restarted drains, until it is told otherwise.
"""

import msgspec

from pbxfed_ari.core.effects import Effect, Remember
from pbxfed_ari.core.events import DrainSwitched
from pbxfed_ari.core.messages import UNREADABLE

KEPT = "drain"  # the name under which it is remembered
PATIENCE, LONGEST = 300, 86_400  # seconds of a deadline: usual, at most
NEVER = float("inf")


class Drain(msgspec.Struct, frozen=True):
    """An order to drain. Times are milliseconds since 1970."""

    since_ms: int
    until_ms: int
    end: bool = False  # at the deadline, calls that are left shall be ended
    over: bool = False  # the deadline has passed


class Draining:
    """Whether this node drains, and until when it is patient."""

    def __init__(self, kept: str = "") -> None:
        """`kept` is what was remembered; what cannot be read is an order all the same."""
        self.order: Drain | None = None
        if kept:
            try:
                self.order = msgspec.json.decode(kept, type=Drain)
            except UNREADABLE:
                self.order = Drain(0, 0, over=True)
        self._due = NEVER

    def __repr__(self) -> str:
        return f"Draining({self.order})"

    def next_deadline(self) -> float:
        """When the deadline passes, as far as the clock was read."""
        return self._due

    def switch(self, event: DrainSwitched, now: float) -> list[Effect]:
        """Begin, with another deadline perhaps, or end."""
        if not event.on:
            self.order, self._due = None, NEVER
            return [Remember(KEPT, "")]
        since = self.order.since_ms if self.order else event.wall_ms
        self._due = now + event.seconds
        return [self._keep(Drain(since, event.wall_ms + event.seconds * 1_000, event.end))]

    def tick(self, now: float, wall_ms: int) -> tuple[list[Effect], bool]:
        """Has the deadline passed just now?"""
        order = self.order
        if order is None or order.over or not wall_ms:
            return [], False
        self._due = now + (order.until_ms - wall_ms) / 1_000
        if wall_ms < order.until_ms:
            return [], False
        self._due = NEVER
        return [self._keep(msgspec.structs.replace(order, over=True))], True

    def _keep(self, order: Drain) -> Remember:
        self.order = order
        return Remember(KEPT, msgspec.json.encode(order).decode())
