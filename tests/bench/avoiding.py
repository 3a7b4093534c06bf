"""A node's cable is pulled: when another node sends no more calls there. It asks nobody for that; it has noticed by itself."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from random import Random

from tests.bench.daemons import Daemons, ask
from tests.bench.detection import LATEST
from tests.bench.ground import until

OBSERVERS = 3


def avoiding(daemons: Daemons, trials: int) -> list[float]:
    """Seconds, one value a trial and observer."""
    rng, found = Random(13), list[float]()
    for _ in range(trials):
        victim = rng.choice(daemons.nodes)
        others = [node for node in daemons.nodes if node != victim]
        with ExitStack() as stack:
            links = {
                node: stack.enter_context(closing(daemons.connect(node)))
                for node in rng.sample(others, min(OBSERVERS, len(others)))
            }
            time.sleep(rng.random())
            cut = daemons.ground.cut(victim)
            while links:
                for node, link in list(links.items()):
                    members = ask(link, "GET", "/members")[1]
                    if not any(m["node"] == victim and m["takes_calls"] for m in members):
                        found.append(time.monotonic() - cut)
                        del links[node]
                if time.monotonic() - cut > LATEST:
                    raise TimeoutError(f"calls are still sent to {victim}")
                time.sleep(0.02)
        daemons.ground.heal()
        until(daemons.whole, LATEST, "the federation is whole", every=0.1)
    return found
