"""How fast a fact told to one node is known by each other, to how many it comes at all, and what the whole LAN sends for it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import Random

from tests.bench.system import System

EVERY = 0.25  # seconds between two facts
LATEST = 2.0  # seconds after which a fact has not come


@dataclass(frozen=True, slots=True)
class Spread:
    """Of many facts."""

    each_ms: list[float]  # one value a fact and receiver
    all_ms: list[float]  # one value a fact: its last receiver
    share: float  # of all receivers of all facts, in time
    bytes: float  # that all nodes together send for one fact, by difference


def spreading(system: System, facts: range, idle_sent: float) -> Spread:
    """Tell facts at nodes by chance. `idle_sent`: bytes a second that a node sends without any."""
    rng, ground = Random(7), system.ground
    before, began = ground.traffic(), time.monotonic()
    for fact in facts:
        system.tell(rng.choice(system.nodes), str(fact))
        time.sleep(EVERY)
    time.sleep(LATEST)
    after, took = ground.traffic(), time.monotonic() - began
    each: list[float] = []
    last: list[float] = []
    for fact in facts:
        told = system.told(str(fact))
        delays = [at - told for at in system.heard(str(fact)).values() if at - told <= LATEST]
        each += [delay * 1_000 for delay in delays]
        if len(delays) == len(system.nodes) - 1:
            last.append(max(delays) * 1_000)
    sent = sum(after[name].tx_bytes - before[name].tx_bytes for name in before)
    beside = idle_sent * len(before) * took
    return Spread(
        each,
        last,
        len(each) / (len(facts) * (len(system.nodes) - 1)),
        max(0.0, sent - beside) / len(facts),
    )
