"""Local time, by the machine's time zone database."""

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from pbxfed_ari.core.objects.time import LocalTime


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
