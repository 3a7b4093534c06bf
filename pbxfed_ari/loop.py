"""The one loop: an inbox, the next deadline, and a table from effects to rooms.

Rooms post events from wherever they are called; the inbox is emptied in one go, in order, before anything else runs. So there
is one owner of all state, and no lock. A machine that raises has met something that we did not think of: it is logged with
its event, counted, and the next event is taken; a PBX must not be worse off for our mistake.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast, get_args

from pbxfed_ari.clock import wall_ms
from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import Effect
from pbxfed_ari.core.events import CallEvent, Event, Ticked
from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.core.replication.bundle import Bundle

Perform = Callable[[Any], None]  # what a room does with one kind of effect
EARLY = 0.0025  # seconds by which a timer of uvloop may come too early: its clock and what it lasts are whole milliseconds
STILL = 1.0  # seconds by which it comes too late if this process stood still: what others have said meanwhile is not read yet
HEARING = 0.3  # seconds in which it is, before any deadline counts; a machine that wakes is slow
FOR_CALLS = frozenset(get_args(CallEvent))  # by type: `isinstance` would ask each of them
log = logging.getLogger(__name__)


class Loop:
    """Feeds the two machines and performs what they ask."""

    def __init__(
        self,
        federation: Federation,
        switchboard: Switchboard,
        rooms: Mapping[type[Effect], Perform],
        late: Callable[[float], None] = lambda seconds: None,
        turned: Callable[[], None] = lambda: None,
    ) -> None:
        """`late` is told by how many seconds each deadline was missed.

        `turned` is told of each turn in which more than calls was dealt with: one each second or so.
        """
        self.federation = federation
        self.switchboard = switchboard
        self._rooms = rooms
        self._bundle = Bundle()
        self._inbox: deque[Event] = deque()
        self._emptying: asyncio.Handle | None = None
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0  # when it comes
        self._awake = time.monotonic()  # until then at least, for then it comes
        self._federation_due: float | None = None  # not known; calls do not change it
        self._loop = asyncio.get_running_loop()
        self.failures = 0  # events that a machine raised on
        self._stopped = False
        self._late, self._turned = late, turned

    def start(self) -> None:
        """Begin: perform what the federation asks at the start of a boot."""
        self.perform(self.federation.start(time.monotonic()))
        self._end_turn()

    def stop(self) -> None:
        """No more events are taken."""
        self._stopped = True
        for handle in (self._emptying, self._timer):
            if handle is not None:
                handle.cancel()
        self._inbox.clear()

    def post(self, event: Event) -> None:
        """Something has happened."""
        if self._stopped:
            return
        self._inbox.append(event)
        if self._emptying is None:
            self._emptying = self._loop.call_soon(self._empty)

    def perform(self, effects: Iterable[Effect]) -> None:
        """Do what was asked, in order; news is held until the turn ends."""
        for effect in self._bundle.through(effects):
            self._do(effect)

    def _do(self, effect: Effect) -> None:
        for one in self.federation.reach.spread(effect):
            try:
                self._rooms[type(one)](one)
            except Exception:  # a room that fails costs no other what was asked of it
                self.failures += 1
                log.exception(
                    "could not perform %s", type(one).__name__
                )  # its fields may hold secrets

    def _end_turn(self) -> None:
        for effect in self._bundle.rest():
            try:
                self._do(effect)
            except Exception:
                self.failures += 1
                log.exception("could not send news")  # its fields may hold secrets
        if self._federation_due is None:
            self._turned()
        self._set_timer()

    def _empty(self) -> None:
        self._emptying = None
        self._listens()
        for _ in range(len(self._inbox)):
            self._handle(self._inbox.popleft())
        if self._inbox:
            self._emptying = self._loop.call_soon(self._empty)
        self._end_turn()

    def _handle(self, event: Event) -> None:
        now = time.monotonic()
        try:
            if type(event) in FOR_CALLS:
                told = cast(CallEvent, event)
                if effects := self.switchboard.handle(told, now, self.federation.view):
                    self.perform(effects)
                return
            self._federation_due = None
            self.perform(self.federation.handle(event, now))
            if isinstance(event, Ticked):
                self.perform(self.switchboard.tick(now, self.federation.view, event.late))
        except Exception:
            self.failures += 1
            log.exception(
                "could not handle %s", type(event).__name__
            )  # its fields may hold secrets

    def _listens(self) -> float:
        """For how many seconds yet, because we have stood still? Nobody is given up meanwhile by what was known before."""
        now = time.monotonic()
        if now > self._awake + STILL:
            self.federation.view.woke_at = self._awake = now
        return self.federation.view.woke_at + HEARING - now

    def _due(self) -> float:
        if self._federation_due is None:
            self._federation_due = self.federation.next_deadline()
        return min(self._federation_due, self.switchboard.next_deadline())

    def _set_timer(self) -> None:
        """One that comes too early looks again: most deadlines move away before they come."""
        now = time.monotonic()
        at = min(self._due(), now + 60.0)
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at, self._awake = at, max(at, now)
        self._timer = self._loop.call_later(max(0.0, at - now) + EARLY, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if (left := self._listens()) > 0.0:
            self._timer = self._loop.call_later(left, self._tick)
            return
        lag = time.monotonic() - self._due()
        if lag < 0.0:
            self._set_timer()
            return
        late = max(0.0, lag - EARLY)
        self._late(late)
        self._handle(Ticked(late, wall_ms()))
        self._end_turn()
