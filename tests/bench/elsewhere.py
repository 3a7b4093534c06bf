"""A call in setup toward a node that dies: when it has connected elsewhere, counted from that death.

1003 stands registered at c and forwards to 1002 at b when it cannot be reached; 1001 at a calls it. c dies just before, so that
nobody knows yet, or while 1003 rings. Connected is the 200 at the caller's phone: another node calls 1003 itself, or 1002
answers, whichever is first.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from random import Random

from lab.lab import Lab
from lab.process import Process
from tests.bench.asterisks import real_lab
from tests.bench.table import Row, p99, spread
from tests.lab.conftest import Federation

TRIALS = int(os.environ.get("PBXFED_BENCH_TRIALS", "5"))  # of each death, in each mode
PHONES = {"1001": "a", "1002": "b", "1003": "c"}
ELSEWHERE = 2.5  # seconds
Death = Callable[[Lab], AbstractContextManager[float]]


def rows() -> list[Row]:
    """One for each way to die; half of the calls in handover, half in bridge mode."""
    took: dict[str, list[float]] = {name: [] for name in DEATHS}
    with real_lab("abc") as federation:
        lab, rng = federation.lab, Random(7)
        for number, node in PHONES.items():
            federation.phone(number, node)
        lab.http("a", "PATCH", "/extensions/1003", {"forward_unreachable": "1002"})
        for control in "handover", "bridge":
            for node in federation.names:
                lab.configure(node, "calls", "control", control)
            for trial in range(TRIALS):
                for name, (death, rings) in DEATHS.items():
                    federation.until(federation.whole, 60)
                    lab.unplug(
                        "1003"
                    )  # who rang for a dead Asterisk rings on: it has so many lines and no more
                    lab.register("1003", "c")
                    federation.until(lambda: federation.where("1003", "a") == ["c"])
                    time.sleep(1 + rng.random())
                    took[name].append(_trial(federation, death, rings=rings))
                print(f"  {control}, {trial + 1} of {TRIALS}", file=sys.stderr, flush=True)
    return [
        Row(
            f"a call in setup connects elsewhere: {name}",
            spread(found, "s", 2),
            "none that runs here",
            f"p99 ≤ {ELSEWHERE:g} s",
            p99(found) <= ELSEWHERE,
        )
        for name, found in took.items()
    ]


def _trial(federation: Federation, death: Death, *, rings: bool) -> float:
    """Seconds from the death until the caller is answered."""
    lab, since = federation.lab, time.time()
    before = int(lab.phone("1003")["invites"])
    if rings:
        lab.manners("1003", answer_after_ms=None)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lab.dial, "1001", "1003", timeout=20) if rings else None
        if rings:
            federation.until(lambda: int(lab.phone("1003")["invites"]) > before)
            time.sleep(0.5)
            lab.manners("1003")
        with death(lab) as died:
            call = asked.result() if asked else lab.dial("1001", "1003", timeout=20)
    (seen,) = lab.calls_of("1001", since)
    lab.hang_up(call)
    return float(seen["answered_at"]) - died


@contextmanager
def _cable(lab: Lab) -> Iterator[float]:
    lab.cut("c")
    try:
        yield time.time()
    finally:
        lab.heal()


@contextmanager
def _killed(lab: Lab, part: str = "all") -> Iterator[float]:
    lab.kill("c", part)
    try:
        yield time.time()
    finally:
        lab.start("c")


def _asterisk_killed(lab: Lab) -> AbstractContextManager[float]:
    return _killed(lab, "asterisk")


@contextmanager
def _hangs(lab: Lab, *parts: str) -> Iterator[float]:
    """SIGSTOP."""
    found = [Process.load(lab.places.run / f"c.{part}") for part in parts]
    pids = [process.pid for process in found if process is not None]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield time.time()
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)


DEATHS: dict[str, tuple[Death, bool]] = {
    "its cable is pulled": (_cable, False),
    "its Asterisk hangs": (lambda lab: _hangs(lab, "asterisk"), False),
    "all of it hangs": (lambda lab: _hangs(lab, "daemon", "asterisk"), False),
    "its cable is pulled while the phone rings": (_cable, True),
    "its Asterisk is killed while the phone rings": (_asterisk_killed, True),
    "all of it is killed while the phone rings": (_killed, True),
}
