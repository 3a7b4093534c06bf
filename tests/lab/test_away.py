"""The event websocket is away for a moment: what its calls are in the midst of goes on as soon as it is back.

Two nodes; between a's daemon and its Asterisk sits a meddler, which closes the websocket and lets none open for AWAY seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from lab.lab import Lab
from lab.meddler import Meddler
from tests.lab.conftest import SECRET, Federation, a_lab
from tests.lab.furnishing import (
    PROVIDER,
    both_hear,
    put,
    rings_in_mode,
)
from tests.lab.test_rooms import PART

PHONES = {"1001": "a", "1002": "a", "1003": "b", "1004": "a"}
AWAY = 1.2  # seconds
MODES = ("handover", "bridge")


class Ground(Federation):
    """The nodes, and the meddler at a."""

    def __init__(self, lab: Lab, meddler: Meddler) -> None:
        super().__init__(lab, "ab")
        self.meddler = meddler

    def back(self) -> None:
        """Each daemon and its Asterisk are one again, and nothing is left of any call."""
        self.until(self.whole)
        for node in "ab":
            self.until(
                lambda node=node: (  # type: ignore[misc]
                    self.get(node, "/calls") == []
                    and "0 active channels" in self.lab.asterisk(node, "core show channels count")
                )
            )


@pytest.fixture(scope="module")
def made() -> Iterator[Ground]:
    lines = {f"{node}/pjsip.conf": PROVIDER for node in "ab"}
    with (
        a_lab("away", 2, daemon=False, extra=lines) as lab,
        Meddler(lab.node("a")) as meddler,
    ):
        lab.configure("a", "asterisk", "url", meddler.url)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda node: lab.node(node).start_daemon(), "ab"))
        ground = Ground(lab, meddler)
        ground.until(ground.whole)
        for number, node in PHONES.items():
            ground.phone(number, node, known="ab")
        put(ground, "group", "600", members=["1002", "1003"])
        put(ground, "room", "800", name="Monday")
        put(ground, "queue", "700", members=["1002"])
        put(
            ground,
            "trunk",
            "line",
            site="main",
            endpoint="provider",
            nodes=["a"],
            patterns=["_0X."],
        )
        put(ground, "did", "+4930123", destination="600")
        lab.register("provider", "a", secret=SECRET)
        lab.register("mobile", "a", secret=SECRET)
        yield ground


@pytest.fixture
def ground(made: Ground) -> Iterator[Ground]:
    made.back()
    made.lab.asterisk("a", "dialplan set global PBXFED_AWAY 0")
    yield made
    for number in PHONES:
        made.lab.manners(number)
        for call in made.lab.calls_of(number):
            if call["state"] == "answered":
                made.lab.end(number, call["call"])


@pytest.mark.parametrize(
    ("caller", "called"),
    [
        ("1001", "1002"),  # at once, by the dialplan itself
        ("1001", "600"),
        ("1001", "700"),
        ("1001", "030123"),
        ("mobile", "+4930123"),
        ("1003", "600"),  # a peer's call
    ],
)
def test_who_calls_meanwhile_is_served(ground: Ground, caller: str, called: str) -> None:
    """Whatever he calls."""
    ground.meddler.cut(AWAY)
    found = ground.lab.call(caller, called, hold=0.6)
    assert found.ok, found


def test_all_come_into_one_room(ground: Ground) -> None:
    """Who begins it, and who comes to it, from either node."""
    lab, dialled = ground.lab, []
    for caller in "1001", "1003", "1004":
        ground.until(ground.whole)
        ground.meddler.cut(AWAY)
        dialled.append(lab.dial(caller, "800"))
    ground.until(ground.whole)
    for other in dialled[1:]:
        heard = partial(lab.hears, "1001", dialled[0].id, other.caller, share=PART)
        ground.until(heard, what=f"1001 hears {other.caller}")
    for call in dialled:
        lab.hang_up(call)


@pytest.mark.parametrize("control", MODES)
@pytest.mark.parametrize("called", ["1002", "1003"])
def test_a_try_that_fails_meanwhile_goes_on(ground: Ground, control: str, called: str) -> None:
    """A phone that rings is busy then: its calls are forwarded. In bridge mode nobody has seen why: it is asked again."""
    lab = ground.lab
    put(ground, "extension", called, forward_busy="1004", control=control)
    lab.manners(called, refuse="486 Busy Here", answer_after_ms=1_500)
    try:
        with ThreadPoolExecutor(1) as pool:
            call = rings_in_mode(control, ground, pool, "1001", called)
            rang = time.monotonic()
            time.sleep(max(0.0, rang + 0.8 - time.monotonic()))
            ground.meddler.cut(AWAY)
            dialled = call.result()
        assert both_hear(ground, dialled)
        assert lab.finish(dialled).ok
        assert lab.calls_of("1004", dialled.started)
    finally:
        put(ground, "extension", called, forward_busy="", control="")


def test_who_waits_in_a_queue_keeps_his_place(ground: Ground) -> None:
    """A member's phone rings out meanwhile."""
    lab = ground.lab
    put(ground, "queue", "700", members=["1002"], ring_seconds=5)
    lab.manners("1002", answer_after_ms=None)
    since = time.time()
    waits = lab.dial("1001", "700")
    ground.until(lambda: [c["state"] for c in lab.calls_of("1002", since)] == ["ringing"])
    time.sleep(4.4)
    ground.meddler.cut(AWAY)
    ground.until(lambda: [c["state"] for c in lab.calls_of("1002", since)] == ["ended"])
    lab.manners("1002")
    ground.until(lambda: both_hear(ground, waits), 20)
    lab.hang_up(waits)


@pytest.mark.parametrize("to", ["1004", "1003", "800"])
def test_who_is_transferred_meanwhile_is_led_there(ground: Ground, to: str) -> None:
    """By the phone that he had called; in bridge mode Asterisk would refuse it."""
    lab = ground.lab
    dialled = lab.dial("1001", "1002")
    assert both_hear(ground, dialled)
    (mine,) = lab.calls_of("1002", dialled.started)
    ground.meddler.cut(AWAY)
    lab.transfer("1002", mine["call"], to)
    if to in PHONES:
        ground.until(partial(lab.hears, "1001", dialled.id, to), what=f"1001 hears {to}")
    else:
        ground.until(lambda: [c["to"] for c in ground.get("a", "/calls")] == [to])
    lab.hang_up(dialled)
