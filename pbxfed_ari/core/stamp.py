"""Hybrid logical stamps: milliseconds and a counter in one 64-bit number (Kulkarni et al. 2014).

A stamp is never behind this node's clock, never behind a stamp that it overwrites, and never repeats.
"""

COUNTER_BITS = 16
LAST = (1 << 62) - 1  # of all stamps, in the year 4199: over a wild one there must be room for ours


def stamp_of(wall_ms: int) -> int:
    """The smallest stamp of this millisecond."""
    return wall_ms << COUNTER_BITS


def wall_ms_of(stamp: int) -> int:
    """The millisecond that a stamp claims."""
    return stamp >> COUNTER_BITS


def utc(wall_ms: int) -> str:
    """A time as ISO 8601 writes it, `2026-11-22T22:30:05.120Z` (days to date: Hinnant, chrono-compatible algorithms, 2013)."""
    seconds, ms = divmod(wall_ms, 1_000)
    days, rest = divmod(seconds, 86_400)
    era, of_era = divmod(days + 719_468, 146_097)
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153  # March is 0
    day, month = of_year - (153 * shifted + 2) // 5 + 1, (shifted + 2) % 12 + 1
    date = f"{era * 400 + year + (month < 3):04}-{month:02}-{day:02}"
    return f"{date}T{rest // 3_600:02}:{rest // 60 % 60:02}:{rest % 60:02}.{ms:03}Z"


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
        self.last = min(max(stamp_of(wall_ms), self.last + 1, over + 1), LAST)
        return self.last
