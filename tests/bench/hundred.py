"""A LAN of a hundred: Serf with real agents, ours simulated, since a hundred daemons want more than two cores to be themselves.

The simulated nodes are whole federations with sealed frames on a virtual clock (`tests/stories/world.py`), so bytes and
delivery are what they are on a wire.
"""

from __future__ import annotations

import sys
from random import Random
from statistics import median

from tests.bench.ground import Ground
from tests.bench.lan import FACTS, measure
from tests.bench.peers.serf import Serf
from tests.bench.table import Row, compared
from tests.stories.world import World

NODES = 100
AT_ONCE = 0.1  # seconds of virtual time in which a multicast has come
LATEST = 2.0


def rows() -> list[Row]:
    """Bytes and delivery."""
    sizes, once, late = _ours()
    print(f"  Serf, {NODES} nodes …", file=sys.stderr, flush=True)
    with Ground(NODES) as ground:
        serf = Serf(ground, ground.names)
        serf.start()
        theirs = measure(serf)
    return [
        compared(
            f"one registration, for the whole LAN, N = {NODES} (ours simulated)",
            median(sizes),
            {"Serf": theirs.spread.bytes},
            "B",
            100,
            found=f"{median(sizes):.0f} B in one frame, the largest {max(sizes)}",
        ),
        Row(
            f"delivered within 2 s, {len(sizes)} facts, N = {NODES} (ours simulated)",
            f"{late * 100:.2f} %, within {AT_ONCE:g} s {once * 100:.2f} %",
            f"Serf {theirs.spread.share * 100:.2f} %",
            "100 %",
            late == 1.0,
        ),
    ]


def _ours() -> tuple[list[int], float, float]:
    """Bytes of each registration, and the share of receivers that had it soon and in the end."""
    rng = Random(5)
    world = World(seed=5, names=[f"n{i:02}" for i in range(NODES)], settle=3.0)
    sizes: list[int] = []
    soon = late = 0
    for fact in FACTS[:10]:
        teller = rng.choice(list(world.nodes))
        before = sum(world.network.bytes.values())
        world[teller].register(str(fact), f"sip:{fact}@10.0.0.7:{fact}")
        sizes.append(sum(world.network.bytes.values()) - before)
        world.run(AT_ONCE)
        soon += _knowing(world, str(fact))
        world.run(LATEST - AT_ONCE, lambda fact=fact: _knowing(world, str(fact)) == NODES)  # type: ignore[misc]
        late += _knowing(world, str(fact))
    every = NODES * len(sizes)
    return sizes, soon / every, late / every


def _knowing(world: World, number: str) -> int:
    return sum(bool(node.where(number)) for node in world.nodes.values())
