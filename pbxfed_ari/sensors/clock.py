"""Time: what clocks show in a time zone, by the machine's database; and how far our own is off."""

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from pbxfed_ari.core.membership.health import Reading
from pbxfed_ari.core.records.objects.time import LocalTime


def local_time(zone: str, wall_ms: int) -> LocalTime | None:
    """What clocks show in a time zone; None if this machine knows no such zone."""
    found = _zone(zone)
    if found is None:
        return None
    now = datetime.fromtimestamp(wall_ms / 1_000, UTC).astimezone(found)
    return LocalTime(now.date().isoformat(), now.weekday(), now.hour * 60 + now.minute)


@lru_cache(64)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        return None


def offset(found: tuple[float, int] | None, bad: float) -> Reading | str:
    """By how much our clock is ahead of the median of so many peers (core/records/clocks.py).

    Of two clocks that differ nobody knows which one is wrong: they cost less than `bad`, or both nodes would be sick.
    """
    if found is None:
        return "no peer has told its time"
    ahead, peers = found
    said = f"{abs(ahead):.0f} s ({'ahead' if ahead > 0 else 'behind'})"
    return Reading(abs(ahead) if peers > 1 else min(abs(ahead), bad / 2), said)
