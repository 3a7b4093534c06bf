"""What real calls feel of an outage: an Asterisk that hangs beside its living daemon, and a daemon killed under fifty calls."""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from random import Random

from lab.load import Load
from lab.process import Process
from tests.bench.load import CALLERS, THERE, Ground
from tests.bench.table import Row, p99, spread
from tests.lab.conftest import SECRET, Federation
from tests.lab.furnishing import channels

TRIALS = int(os.environ.get("PBXFED_BENCH_TRIALS", "10"))
KILLS = 3  # of each mode
HUNG = 3.0  # seconds
LEFT = 2.0
CALLS, RATE, HOLD = 50, 15, 12.0


def rows() -> list[Row]:
    """Both, at two nodes."""
    with Ground.up() as ground:
        federation, load = ground.federation, ground.load
        found = [_hung(federation)]
        for control in "handover", "bridge":
            ground.set({"control": control})
            found.append(_killed(federation, load, control))
    return found


def _hung(federation: Federation) -> Row:
    """From SIGSTOP until the other node sends no more calls there, and has it on its ring no more."""
    lab, rng, took = federation.lab, Random(5), list[float]()
    for _ in range(TRIALS):
        time.sleep(1 + rng.random())
        asterisk = Process.load(lab.places.run / "b.asterisk")
        assert asterisk is not None
        stopped = time.monotonic()
        os.kill(asterisk.pid, signal.SIGSTOP)
        try:
            federation.until(lambda: _out(federation), 20)
            took.append(time.monotonic() - stopped)
        finally:
            os.kill(asterisk.pid, signal.SIGCONT)
        federation.until(lambda: not _out(federation), 60)
    return Row(
        "Asterisk hangs beside its living daemon: out of the ring, N = 2",
        spread(took, "s", 2),
        "Wazo: never (published)",
        f"p99 ≤ {HUNG:g} s",
        p99(took) <= HUNG,
    )


def _out(federation: Federation) -> bool:
    ring = {one["node"] for one in federation.get("a", "/ring")["members"]}
    (peer,) = [one for one in federation.get("a", "/members") if one["node"] == "b"]
    return "b" not in ring and not peer["takes_calls"]


def _killed(federation: Federation, load: Load, control: str) -> Row:
    """Fifty calls talk; the daemon of the caller's node dies, and returns after a second."""
    lab, lost, live, left = federation.lab, 0, list[float](), list[float]()
    for trial in range(KILLS):
        talking = load.begin(
            "a", CALLERS, THERE, SECRET, rate=RATE, seconds=CALLS / RATE, hold=HOLD
        )
        federation.until(partial(_talk, federation, 2 * CALLS), HOLD)
        lab.kill("a", "daemon")
        time.sleep(1)
        live.append(lab.node("a").start_daemon())
        federation.until(lambda: len(federation.get("a", "/calls")) == CALLS, HOLD)
        outcome = talking.outcome(40)
        lost += outcome.failed
        ended = time.monotonic()
        federation.until(lambda: _nothing(federation), 40)
        left.append(time.monotonic() - ended)
        print(f"  {control}, {trial + 1} of {KILLS}: {outcome}", file=sys.stderr, flush=True)
    return Row(
        f"a daemon killed under {CALLS} calls, {control}, {KILLS} times",
        f"{lost} lost; live again after {spread(live, 's', 2)}; nothing left {spread(left, 's', 2)} after the last hang-up",
        "none that runs here",
        f"0 lost, nothing left after {LEFT:g} s, live in {LEFT:g} s",
        lost == 0 and max(left) <= LEFT and max(live) <= LEFT,
    )


def _talk(federation: Federation, many: int) -> bool:
    return all(channels(federation, node) == many for node in "ab")


def _nothing(federation: Federation) -> bool:
    gone = all(channels(federation, node) == 0 for node in "ab")
    return gone and all(federation.get(node, "/calls") == [] for node in "ab")
