"""What no machine of ours can hold, on a virtual clock: 256 and 1,000 members, days, and what needs no daemon to be seen.

PBXFED_BENCH_HOURS (24) simulated hours of 32 members at each loss.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from random import Random
from statistics import mean, median

from tests.bench.table import NONE, Row, p99, spread
from tests.stories import long
from tests.stories.crowd import Crowd
from tests.stories.slow import figures
from tests.stories.world import World

HOURS = int(os.environ.get("PBXFED_BENCH_HOURS", "24"))
WARM = 6.0  # seconds, and several periods
CROWDS = ((128, 0.05, 10), (256, 0.0, 3), (256, 0.05, 5), (1_000, 0.05, 1))  # members, loss, deaths
QUIET = 60.0  # seconds of counting
AFAR = 12  # nodes of two sites that die or are cut off
DAYS = (  # loss, false deaths a node and day at most, in words
    (0.01, 0.0, NONE),
    (0.05, 0.01, "≤ 0.01 a node and day"),
)


def rows() -> list[Row]:
    """Bytes and detection; without multicast; between sites; false deaths beside plain SWIM, and in days."""
    crowds = [row for crowd in CROWDS for row in _crowd(*crowd)]
    unicast = [_unicast(size) for size in (3, 32)]
    return [*crowds, *unicast, *_afar(), _false_deaths("blocked"), *_days()]


def _unicast(size: int) -> Row:
    """Nothing happens on a LAN without multicast."""
    names = [f"n{i:02}" for i in range(size)]
    world = World(1, names, seeds=["10.0.0.1"], unicast_only=names, sealed=False)
    assert world.run(30, lambda: all(len(n.up()) == size - 1 for n in world.running()))
    world.run(20)
    before = dict(world.network.bytes)
    world.run(QUIET)
    sent = [(world.network.bytes[host] - before[host]) / QUIET for host in before]
    return Row(
        f"idle, simulated, by unicast, N = {size}: a node sends",
        f"{mean(sent):.0f} B/s on average, {max(sent):.0f} at most",
        "Serf 363 and 434 B/s (N = 3, 32; by unicast always)",
        "≤ 800 B/s",
        max(sent) <= 800,
    )


def _afar() -> list[Row]:
    """A node of another site dies; and a whole site falls silent, its forwarder with it."""
    died, silent = list[float](), list[float]()
    for seed in range(AFAR):
        for falls, alone in (died, True), (silent, False):
            sites = {name: "east" if name in "abc" else "west" for name in "abcdef"}
            world = World(seed, "abcdef", sites=sites, loss=0.05, sealed=False, settle=10)
            assert all(len(n.up()) == len(sites) - 1 for n in world.running())
            gone = [Random(seed).choice("def")] if alone else list("def")
            world.run(Random(seed).random() * 5)
            fell = world.now
            for name in gone:
                world.kill(name)
            observers = [world[name] for name in "abc"]
            assert world.run(
                60,
                partial(lambda o, g: not any(n in x.up() for x in o for n in g), observers, gone),
            )
            falls.append(world.now - fell)
    return [
        Row(
            f"simulated, 5 % loss, another site's {what}: all hold it down",
            spread(falls, "s", 2),
            "memberlist, WAN profile: 30 s of suspicion alone (computed)",
            "p99 ≤ 10 s",
            p99(falls) <= 10,
        )
        for what, falls in (("node dies", died), ("nodes all die", silent))
    ]


def _days() -> list[Row]:
    """Nobody dies; who is declared dead all the same?"""
    found = []
    with ProcessPoolExecutor() as pool:
        for loss, bar, words in DAYS:
            hours = list(pool.map(partial(long.quiet, loss, 1.0), range(HOURS)))
            day = long.together(hours)
            found.append(
                Row(
                    f"false deaths, simulated, {loss * 100:.0f} % loss, N = {long.NODES}, {HOURS} hours",
                    f"{day.false_deaths} in {day.node_days:.0f} node-days; at most {day.bound:.4f} "
                    "a node and day (95 %)",
                    "Lifeguard: 1.53 % of plain SWIM's (published)",
                    words,
                    day.rate <= bar,
                )
            )
    return found


def _false_deaths(kind: str) -> Row:
    found = figures(32, kind, rounds=1)
    sign = "" if found.deaths > 3 else "at most "
    share = f" ({sign}{found.ratio:.2%} of SWIM's)" if found.ratio is not None else ""
    return Row(
        f"false deaths of members that never paused, while some are {kind}, simulated, N = 32",
        f"{found.deaths}{share}; a death known to all in {found.detection:.2f} s",
        f"plain SWIM {found.swim_deaths}; {found.swim_detection:.2f} s",
        "≤ 2 % of plain SWIM's at equal detection",
        found.met,
        f"{found.swim_deaths / max(found.deaths, 1):.2g}",
    )


def _crowd(size: int, loss: float, deaths: int) -> list[Row]:
    crowd, rng = Crowd(size, seed=size, loss=loss), Random(size)
    crowd.run(WARM)
    sent = [seat.sent for seat in crowd.seats]
    received = [seat.received for seat in crowd.seats]
    began = crowd.now
    crowd.run(WARM)
    took = crowd.now - began
    out = mean(s.sent - b for s, b in zip(crowd.seats, sent, strict=True)) / took
    into = mean(s.received - b for s, b in zip(crowd.seats, received, strict=True)) / took
    falls: list[float] = []
    for victim in rng.sample(range(size), deaths):
        crowd.run(rng.random())
        killed = crowd.now
        crowd.kill(victim)
        assert crowd.run(60.0, lambda victim=victim: crowd.all_hold_down(victim))  # type: ignore[misc]
        falls.append(crowd.now - killed)
    period = median(s.detector.members.period() for _, s in crowd.living())  # type: ignore[attr-defined]
    bar = 2.5 * max(1.0, period / 0.5) if size > 128 else 2.5
    most = 210 if loss else 180
    serf = "Serf's model: 9.6 to 58 s" if size <= 256 else "Serf's model: 12 to 72 s"
    return [
        Row(
            f"idle, simulated, {loss * 100:.0f} % loss, N = {size:,}: a node sends, receives",
            f"{out:.0f} B/s, {into / 1000:.1f} kB/s",
            "Serf ~500 B/s at N = 100 (published)",
            f"≤ {most} B/s, ≤ 24 kB/s",
            out <= most and into <= 24_000,
            why="two heartbeats lost in a row are asked after, each by a frame of its own",
        ),
        Row(
            f"a node dies, simulated, {loss * 100:.0f} % loss, N = {size:,}: all hold it down",
            f"{spread(falls, 's', 2)}, period {period:.2g} s",
            f"{serf} of suspicion alone (computed)",
            f"p99 ≤ {bar:.2g} s (2.5 s at a period of 0.5 s)",
            max(falls) <= bar,
        ),
    ]
