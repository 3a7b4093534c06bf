"""The one loop: deadlines come when they are due, whatever the timers below are good for."""

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import uvloop

from pbxfed_ari.core.events import SeedsFound, Ticked
from pbxfed_ari.loop import HEARING, STILL, Loop

FAR = 3_600.0  # seconds


class Machine:
    """Asks for one deadline after the other, and keeps what it is told."""

    def __init__(self, *after: float) -> None:
        """`after`: seconds from one deadline to the next; the last one is told of by `done`."""
        self.after = list(after)
        self.due = 0.0
        self.told: list[tuple[float, float]] = []  # when it was due, when it was told
        self.done = asyncio.Event()
        self.reach = SimpleNamespace(spread=lambda effect: [effect])

    def start(self, now: float) -> list[Any]:
        self._next(now)
        return []

    def handle(self, event: object, now: float) -> list[Any]:
        if isinstance(event, Ticked) and self.due <= now:
            self.told.append((self.due, now))
            self._next(now)
        return []

    def tick(self, now: float, view: object, late: float) -> list[Any]:
        return []

    def next_deadline(self) -> float:
        return self.due

    def _next(self, now: float) -> None:
        if not self.after:
            self.done.set()
        self.due = now + (self.after.pop(0) if self.after else FAR)


class Counting(Loop):
    """Counts how often it was woken by its timer."""

    wakings = 0

    def _tick(self) -> None:
        self.wakings += 1
        super()._tick()


def looping(machine: Machine, late: Callable[[float], None] = lambda seconds: None) -> Counting:
    machine.view = SimpleNamespace(woke_at=0.0)  # type: ignore[attr-defined]
    calls = SimpleNamespace(next_deadline=lambda: time.monotonic() + FAR, tick=machine.tick)
    return Counting(cast(Any, machine), cast(Any, calls), {}, late=late)


async def test_the_tests_run_in_the_daemons_kind_of_loop() -> None:
    """Else they prove nothing of it."""
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)


async def test_no_deadline_is_told_before_it_comes_nor_is_it_asked_for_twice() -> None:
    """Timers of uvloop know whole milliseconds and come too early: it must neither be told nor waited out by turning."""
    late: list[float] = []
    machine = Machine(*(0.0003 * n for n in range(60)))
    loop = looping(machine, late.append)
    loop.start()
    await machine.done.wait()
    loop.stop()
    assert len(machine.told) == 60
    assert all(due <= now for due, now in machine.told)
    assert min(late) >= 0.0
    assert loop.wakings == 60


async def test_a_deadline_that_is_due_at_once_is_told_at_once() -> None:
    """Its timer in uvloop does not know when it comes; what happens before it comes must not ask it."""
    wrong: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
    machine = Machine(-1.0, 0.0, FAR)
    loop = looping(machine)
    loop.start()
    while len(machine.told) < 2:
        loop.post(SeedsFound(()))
        await asyncio.sleep(0)
    assert not wrong
    machine.due = time.monotonic()  # sooner than the one that is waited for
    loop.post(SeedsFound(()))
    await machine.done.wait()
    loop.stop()
    assert not wrong
    assert len(machine.told) == 3


async def test_a_room_that_fails_costs_no_other_what_was_asked_of_it() -> None:
    """One event may ask the disk, the network and Asterisk for something, in one go."""
    machine, done = Machine(FAR), list[object]()
    loop = looping(machine)
    loop._rooms = cast(Any, {int: lambda effect: 1 // effect, str: done.append})
    loop._bundle = cast(Any, SimpleNamespace(through=lambda effects: effects))
    loop.perform(cast(Any, [0, "next"]))
    assert done == ["next"]
    assert loop.failures == 1


async def test_who_has_stood_still_knows_that_before_it_deals_with_what_came_meanwhile() -> None:
    """A call must not be led by what was known before: who lives, and which room stands where, comes behind it."""
    machine, view = Machine(FAR), list[float]()
    loop = looping(machine)
    loop.start()
    seen = cast(Any, loop.federation.view)
    machine.handle = lambda event, now: view.append(seen.woke_at) or []  # type: ignore[method-assign,func-returns-value]
    loop.post(SeedsFound(()))
    await asyncio.sleep(0)
    loop._awake = time.monotonic() - STILL - 0.1  # when its timer should have come
    loop.post(SeedsFound(()))
    await asyncio.sleep(0)
    loop.stop()
    assert view[0] == 0.0
    assert view[1] > 0.0


async def test_who_has_stood_still_hears_first_what_came_meanwhile_and_then_what_is_overdue() -> (
    None
):
    """Whether the timer comes before that, or amid it: a phone that has rung meanwhile is not given up as silent."""
    for amid in False, True:
        machine, told = Machine(FAR), list[str]()
        loop = looping(machine)
        loop.start()
        machine.handle = lambda event, now: told.append(type(event).__name__) or []  # type: ignore[method-assign,func-returns-value]  # noqa: B023
        loop._awake = machine.due = time.monotonic() - STILL - 0.1
        if amid:
            loop.post(SeedsFound(()))
            await asyncio.sleep(0)
        loop._tick()
        loop.post(SeedsFound(()))
        await asyncio.sleep(HEARING / 2)
        assert told == ["SeedsFound"] * (1 + amid)
        machine.due = time.monotonic() + 0.01
        await asyncio.sleep(HEARING)
        machine.due += FAR
        assert "Ticked" in told
        loop.stop()
