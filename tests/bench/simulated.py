"""What no machine of ours can hold: 256 and 1,000 members, on a virtual clock (`tests/stories/crowd.py`)."""

from __future__ import annotations

from random import Random
from statistics import mean, median

from tests.bench.table import Row, spread
from tests.stories.crowd import Crowd
from tests.stories.slow import figures

LOSS = 0.05
WARM = 6.0  # seconds, and several periods
SIZES = {256: 5, 1_000: 1}  # members → deaths


def rows() -> list[Row]:
    """Bytes and detection, with 5 % loss; false deaths beside plain SWIM."""
    crowds = [row for size, deaths in SIZES.items() for row in _crowd(size, deaths)]
    return [*crowds, _false_deaths("blocked")]


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


def _crowd(size: int, deaths: int) -> list[Row]:
    crowd, rng = Crowd(size, seed=size, loss=LOSS), Random(size)
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
    bar = 2.5 * max(1.0, period / 0.5)
    serf = "Serf's model: 9.6 to 58 s" if size == 256 else "Serf's model: 12 to 72 s"
    return [
        Row(
            f"idle, simulated, 5 % loss, N = {size:,}: a node sends, receives",
            f"{out:.0f} B/s, {into / 1000:.1f} kB/s",
            "Serf ~500 B/s at N = 100 (published)",
            "≤ 210 B/s, ≤ 24 kB/s",
            out <= 210 and into <= 24_000,
        ),
        Row(
            f"a node dies, simulated, 5 % loss, N = {size:,}: all hold it down",
            f"{spread(falls, 's', 2)}, period {period:.2g} s",
            f"{serf} of suspicion alone (computed)",
            f"p99 ≤ {bar:.2g} s (2.5 s at a period of 0.5 s)",
            max(falls) <= bar,
        ),
    ]
