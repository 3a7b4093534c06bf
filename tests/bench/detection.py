"""A node's cable is pulled: when the first of the others says that it is lost, and when all do; and how long it takes to be
whole again when the cable is back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from random import Random

from tests.bench.ground import until
from tests.bench.system import System

LATEST = 40.0  # seconds


@dataclass(frozen=True, slots=True)
class Detection:
    """In seconds, one value a trial."""

    first: list[float] = field(default_factory=list)
    all: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)


def detection(system: System, trials: int) -> Detection:
    """Pull and plug, at nodes by chance. The first node is spared: some peers need one that is always there."""
    rng, found = Random(11), Detection()
    for _ in range(trials):
        victim = rng.choice(system.nodes[1:])
        time.sleep(rng.random())
        cut = system.ground.cut(victim)
        others = len(system.nodes) - 1

        def all_say(victim: str = victim, cut: float = cut, others: int = others) -> bool:
            return len(system.missed(victim, cut)) == others

        until(all_say, LATEST, f"{system.kind}: all say that {victim} is lost", every=0.1)
        said = sorted(system.missed(victim, cut).values())
        found.first.append(said[0] - cut)
        found.all.append(said[-1] - cut)
        system.ground.heal()
        found.again.append(until(system.whole, LATEST, f"{system.kind} is whole", every=0.1))
    return found
