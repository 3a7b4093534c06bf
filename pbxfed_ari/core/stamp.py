"""Hybrid logical stamps: milliseconds and a counter in one 64-bit number (Kulkarni et al. 2014).

A stamp is never behind this node's clock, never behind a stamp that it overwrites, and never repeats.
"""

COUNTER_BITS = 16


def stamp_of(wall_ms: int) -> int:
    """The smallest stamp of this millisecond."""
    return wall_ms << COUNTER_BITS


def wall_ms_of(stamp: int) -> int:
    """The millisecond that a stamp claims."""
    return stamp >> COUNTER_BITS


class HybridClock:
    """Gives each edit of this node a stamp above all that it has given or seen overwritten."""

    def __init__(self, last: int = 0) -> None:
        self.last = (
            last  # the newest stamp given; survives a restart through the records that carry it
        )

    def __repr__(self) -> str:
        return f"HybridClock(last={self.last})"

    def next(self, wall_ms: int, over: int = 0) -> int:
        """A new stamp, above the clock's past and above `over`, the stamp that it replaces."""
        self.last = max(stamp_of(wall_ms), self.last + 1, over + 1)
        return self.last
