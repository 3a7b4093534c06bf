"""A LAN that loses every twentieth frame, and phones that move: real daemons, nftables at each port."""

from __future__ import annotations

import sys
import time
from functools import partial
from random import Random

from tests.bench.avoiding import avoiding
from tests.bench.daemons import Daemons
from tests.bench.detection import detection
from tests.bench.ground import Ground
from tests.bench.lan import IDLE, OUR_CUTS, SETTLE, SHARED
from tests.bench.table import Row, p99, spread

LOSS = 5  # percent
MOVES = range(7_000, 7_040)
EVERY, LATEST = 0.3, 3.0  # seconds between two moves; after which one has not come


def rows(nodes: int) -> list[Row]:
    """Moves without loss and with, bytes and deaths with it."""
    with Ground(nodes) as ground, Daemons(ground, ground.names) as daemons:
        print(f"  {daemons.kind}, {nodes} nodes …", file=sys.stderr, flush=True)
        daemons.start()
        time.sleep(SETTLE)
        found = [_moved(nodes, moves(daemons, MOVES[::2]), "", 50)]
        for host in ground.hosts.values():
            match = "udp dport 8781"
            ground.network.drop(host, match, outgoing=False, count=None, percent=LOSS)
        time.sleep(SETTLE)
        sent, received, _ = ground.idle(2 * IDLE)
        found.append(_moved(nodes, moves(daemons, MOVES[1::2]), f" at {LOSS} % loss", 1_200))
        avoided, falls = avoiding(daemons, OUR_CUTS), detection(daemons, OUR_CUTS)
    what = f"at {LOSS} % loss, N = {nodes}"
    serf = "see: without loss"
    return [
        *found,
        Row(
            f"idle, {what}: a node sends, receives",
            f"{sent:.0f} B/s, {received:,.0f} B/s",
            serf,
            "≤ 210 B/s, ≤ 24 kB/s",
            sent <= 210 and received <= 24_000,
            why="two heartbeats lost in a row are asked after, each by a frame of its own; and ARP with it",
        ),
        Row(
            f"cable pulled, {what}: another node sends no more calls there",
            spread(avoided, "s", 2),
            serf,
            "p99 ≤ 1.5 s",
            p99(avoided) <= 1.5,
            why=SHARED,
        ),
        Row(
            f"cable pulled, {what}: all say so",
            spread(falls.all, "s", 2),
            serf,
            "p99 ≤ 2.5 s",
            p99(falls.all) <= 2.5,
            why=SHARED,
        ),
    ]


three = partial(rows, 3)
thirty_two = partial(rows, 32)


def moves(daemons: Daemons, numbers: range) -> list[float]:
    """A phone registers at one node, then at another: milliseconds until each of the others knows it to be there."""
    rng, asterisks = Random(17), daemons.asterisks
    assert asterisks is not None
    moved: list[tuple[str, str, float]] = []
    for number in map(str, numbers):
        before, then = rng.sample(daemons.nodes, 2)
        uri = f"sip:{number}@10.77.0.200:5060"
        asterisks.registered(before, [number], uri)
        time.sleep(EVERY)
        moved.append((number, then, asterisks.registered(then, [number], uri)))
        time.sleep(EVERY)
    time.sleep(LATEST)
    took: list[float] = []
    for node in daemons.nodes:
        came = daemons.applied(node)
        for number, then, at in moved:
            if node != then:
                took.append((came.get(f"{number}@{then}", at + LATEST) - at) * 1_000)
    return took


def _moved(nodes: int, took: list[float], how: str, bar: float) -> Row:
    return Row(
        f"a registration that moves{how}, known by another node, N = {nodes}",
        f"{spread(took, 'ms')}, the latest {max(took):.0f} ms",
        "DUNDi up to 3,600 s (published)",
        f"p99 ≤ {bar:,.0f} ms",
        p99(took) <= bar,
        why=SHARED,
    )
