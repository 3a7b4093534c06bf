"""Long and large runs of the members alone: a simulated day of 32, and minutes of 256 and 1,000.

Frames are not made here and nothing is known but who lives (`crowd.py`); what a frame would have cost is counted all the same.
"""

from dataclasses import dataclass
from math import exp

from tests.stories.crowd import Crowd

HOUR = 3_600.0
DAY = 24 * HOUR
NODES = 32


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours in which nobody died: whose death was announced all the same."""

    loss: float
    node_days: float
    false_deaths: int  # members that somebody declared dead
    verdicts: int  # by how many, in all

    @property
    def rate(self) -> float:
        """False deaths per node and day."""
        return self.false_deaths / self.node_days

    @property
    def bound(self) -> float:
        """The upper end of the rate's 95 % confidence interval (Poisson; the rule of three if there were none)."""
        return poisson_bound(self.false_deaths) / self.node_days

    def __str__(self) -> str:
        return (
            f"{self.loss:.0%} loss, {self.node_days:.1f} node-days: {self.false_deaths} false deaths, "
            f"{self.verdicts} verdicts; at most {self.bound:.4f} a node and day (95 %)"
        )


def poisson_bound(found: int) -> float:
    """The mean above which so few events would be seen in less than one of twenty runs."""
    low, high = 0.0, 10.0 + 3 * found
    for _ in range(60):
        mean = (low + high) / 2
        term = total = exp(-mean)
        for i in range(1, found + 1):
            term *= mean / i
            total += term
        low, high = (mean, high) if total > 0.05 else (low, mean)
    return high


def quiet(loss: float, hours: float, seed: int) -> Quiet:
    """32 members, and nothing but loss."""
    crowd = Crowd(NODES, seed=seed, loss=loss)
    crowd.run(hours * HOUR)
    episodes = {(d.of, round(d.at / 5)) for d in crowd.deaths}
    return Quiet(loss, NODES * hours / 24, len(episodes), len(crowd.deaths))


def together(parts: list[Quiet]) -> Quiet:
    """Several runs as one."""
    return Quiet(
        parts[0].loss,
        sum(p.node_days for p in parts),
        sum(p.false_deaths for p in parts),
        sum(p.verdicts for p in parts),
    )


@dataclass(frozen=True, slots=True)
class Large:
    """What came out for one size."""

    size: int
    loss: float
    joined: float  # seconds until a newcomer was known to all, and all to it
    detected: float  # seconds until a death was known to all
    sent: float  # bytes a second and node, idle
    received: float
    join_bytes: int  # received by the newcomer until then

    def __str__(self) -> str:
        return (
            f"N = {self.size}, {self.loss:.0%} loss: a newcomer is known to all after {self.joined:.1f} s "
            f"({self.join_bytes / 1000:.0f} kB), a death after {self.detected:.1f} s; idle {self.sent:.0f} B/s sent, "
            f"{self.received / 1000:.1f} kB/s received by each"
        )


def large(size: int, loss: float, seed: int = 1) -> Large:
    """Idle, one join, one death."""
    crowd = Crowd(size, seed=seed, loss=loss, seats=1)
    period = max(0.5, size / 250)
    crowd.run(3 * period)
    before = [(s.sent, s.received) for s in crowd.seats[:size]]
    idle = 6 * period
    crowd.run(idle)
    sent = sum(s.sent - b[0] for s, b in zip(crowd.seats, before, strict=False)) / size / idle
    received = sum(s.received - b[1] for s, b in zip(crowd.seats, before, strict=False))
    began = crowd.now
    crowd.seat(size)

    def known() -> bool:
        newcomer = crowd.seats[size].detector
        return all(not s.detector.holds_down(size) for s in crowd.seats[:size]) and all(
            not newcomer.holds_down(n) for n in range(size)
        )

    assert crowd.run(60, known)
    joined, join_bytes = crowd.now - began, crowd.seats[size].received
    crowd.run(2 * period)
    crowd.kill(0)
    died = crowd.now
    assert crowd.run(60, lambda: crowd.all_hold_down(0))
    return Large(size, loss, joined, crowd.now - died, sent, received / size / idle, join_bytes)
