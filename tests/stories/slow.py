"""Lifeguard's experiment: some members are slow, and how many that are not are declared dead (arXiv 1707.00788, section V).

Of N members some pause again and again, for seconds, and run for moments in between. A false death is a verdict on a member
that never paused. Ours is held against plain SWIM (`swim.py`) whose period is set so that a death is known to all in the same
median time; both see the same pauses. Two kinds of slow members:

    paused     the process stands still (SIGSTOP, a starved virtual machine): its timers are late
    blocked    the process runs but nothing gets in or out: as Lifeguard's authors made theirs slow
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from random import Random
from statistics import median

from tests.stories.crowd import Crowd, Make, Ours
from tests.stories.swim import Swim

PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds
BAR = 0.02  # of plain SWIM's false deaths
GAPS = (0.25, 1.0, 4.0)  # seconds between two of them
SLOW = {32: (1, 4, 8, 16), 128: (1, 4, 16, 32)}  # members that are slow, by N


@dataclass(frozen=True, slots=True)
class Figures:
    """What came out for one N and kind of slowness."""

    size: int
    kind: str
    detection: float  # seconds until a death is known to all, median; ours
    swim_detection: float  # plain SWIM's, with its period tuned to ours
    deaths: int  # false ones, ours
    swim_deaths: int
    deaths_at_healthy: int  # verdicts of members that never paused
    swim_deaths_at_healthy: int
    minutes: float  # simulated, each

    @property
    def ratio(self) -> float | None:
        """Ours, as a share of plain SWIM's; with none of ours, its 95 % upper bound (rule of three). None if it had none."""
        return max(self.deaths, 3) / self.swim_deaths if self.swim_deaths else None

    @property
    def met(self) -> bool:
        """Not more than BAR of plain SWIM's."""
        return self.deaths <= BAR * self.swim_deaths

    def __str__(self) -> str:
        share = (
            "" if self.ratio is None else f" ({'=' if self.deaths > 3 else '≤'} {self.ratio:.2%})"
        )
        return (
            f"N = {self.size}, {self.kind}: {self.deaths} false deaths, plain SWIM {self.swim_deaths}"
            f"{share}; at healthy members {self.deaths_at_healthy} and "
            f"{self.swim_deaths_at_healthy}; {self.minutes:.0f} min each; median detection "
            f"{self.detection:.2f} s and {self.swim_detection:.2f} s"
        )


def figures(size: int, kind: str, *, rounds: int = 3, seconds: float = 60.0) -> Figures:
    """Play it: `rounds` times for each number of slow members."""
    swim = tuned(size)
    counted = {}
    for who, make in ("ours", Ours), ("swim", swim):
        deaths = [
            false_deaths(make, size, slow, kind, seconds, seed)
            for slow in SLOW[size]
            for seed in range(rounds)
        ]
        counted[who] = [sum(column) for column in zip(*deaths, strict=True)]
    return Figures(
        size,
        kind,
        detection(Ours, size),
        detection(swim, size),
        counted["ours"][0],
        counted["swim"][0],
        counted["ours"][1],
        counted["swim"][1],
        len(SLOW[size]) * rounds * seconds / 60,
    )


def detection(make: Make, size: int, *, deaths: int = 15) -> float:
    """Seconds from a death until all know of it: the median."""
    took = []
    for seed in range(deaths):
        crowd = Crowd(size, seed=seed, make=make)
        crowd.run(3 + Random(seed).random() * 3)
        crowd.kill(0)
        killed = crowd.now
        assert crowd.run(120, lambda: crowd.all_hold_down(0))  # noqa: B023
        took.append(crowd.now - killed)
    return median(took)


def tuned(size: int) -> Make:
    """Plain SWIM with the period with which it is as fast as ours."""
    period = 0.2
    for _ in range(3):  # nearly proportional: what remains is the network's delay
        period *= detection(Ours, size) / detection(partial(Swim, period=period), size)
    return partial(Swim, period=period)


def false_deaths(
    make: Make, size: int, slow: int, kind: str, seconds: float, seed: int
) -> tuple[int, int]:
    """(verdicts on members that never paused, those of them by such members)."""
    crowd = Crowd(size, seed=seed, make=make)
    crowd.run(3)
    chosen = Random(seed).sample(range(size), slow)
    start, end = {"paused": (crowd.pause, crowd.wake), "blocked": (crowd.block, crowd.unblock)}[
        kind
    ]
    for at, number, begins in sorted(_pauses(chosen, crowd.now, seconds, seed)):
        crowd.run(max(0.0, at - crowd.now))
        (start if begins else end)(number)
    crowd.run(10)
    wrong = [d for d in crowd.deaths if d.of not in chosen]
    return len(wrong), sum(d.by not in chosen for d in wrong)


def _pauses(
    members: list[int], now: float, seconds: float, seed: int
) -> Iterator[tuple[float, int, bool]]:
    for number in members:
        rng = Random(f"{seed} {number}")
        at = now + rng.random()
        while at < now + seconds:
            length = rng.choice(PAUSES)
            yield at, number, True
            yield at + length, number, False
            at += length + rng.choice(GAPS)
