"""A time condition: when a place is open. Asked with a local time, which the edge knows how to tell."""

import re
from dataclasses import dataclass
from typing import Annotated

from pbxfed_ari.core.records.objects.fields import Choice, Field, ListOf, Named, Word
from pbxfed_ari.core.records.objects.kind import Item, Kind
from pbxfed_ari.errors import Refused

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = f"(?:{'|'.join(DAYS)})"
_CLOCK = r"(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)"
_HOURS = rf"({_DAY})(?:-({_DAY}))? ({_CLOCK})-({_CLOCK})"
_28 = "(?:0[1-9]|1[0-9]|2[0-8])"
_DATE = f"(?:[0-9]{{4}}-)?(?:(?:0[1-9]|1[0-2])-(?:{_28}|29)|(?:0[13-9]|1[0-2])-30|(?:0[13578]|1[02])-31)"
_ZONE = r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}"


def _day(text: str) -> str:
    """A day of every year, or of one.

    Raises: Refused.
    """
    year = int(text[:-6] or 0) if re.fullmatch(_DATE, text) else None
    if year is None or (text.endswith("-02-29") and (year % 4 or (not year % 100 and year % 400))):
        raise Refused(f"day {text!r}: must be a day like 12-25 or 2026-12-24")
    return text


class Zone(Word):
    """The name of a time zone. Whether there is such a one only the edge knows: an editor is asked."""


@dataclass(frozen=True, slots=True)
class LocalTime:
    """A moment as the clocks on the wall show it."""

    date: str  # 2026-12-24
    weekday: int  # 0 is Monday
    minute: int  # of the day


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeCondition(Item):
    """A time condition as it stands in the book."""

    zone: Annotated[
        str,
        Field(
            2,
            Zone(_ZONE, "an IANA time zone, as Europe/Berlin", empty=False),
            "The time zone, as Europe/Berlin.",
        ),
    ] = "UTC"
    hours: Annotated[
        tuple[str, ...],
        Field(
            3,
            ListOf(Word(_HOURS, "like `mon-fri 08:00-18:00`", empty=False), 50),
            "When it is open, as mon-fri 08:00-18:00; empty: always.",
        ),
    ] = ()
    holidays: Annotated[
        tuple[str, ...],
        Field(
            4,
            ListOf(Named(_day, _DATE), 400),
            "Days on which it is closed, as 12-25 or 2026-12-24.",
        ),
    ] = ()
    override: Annotated[
        str,
        Field(
            5, Choice(("auto", "open", "closed")), "auto: by hours and holidays; else as it says."
        ),
    ] = "auto"

    def opens(self, now: LocalTime) -> tuple[bool, str]:
        """Is it open, and why?"""
        if self.override != "auto":
            return self.override == "open", f"{self.key} is set to {self.override}"
        for day in self.holidays:
            if now.date.endswith(day):
                return False, f"{self.key}: {day} is a holiday"
        at = f"{DAYS[now.weekday]} {now.minute // 60:02}:{now.minute % 60:02} {self.zone}"
        inside = not self.hours or any(_within(hours, now) for hours in self.hours)
        return inside, f"{self.key} is {'open' if inside else 'closed'} at {at}"


def _within(hours: str, now: LocalTime) -> bool:
    """Is it in this span? One that ends at or before its beginning ends on the next day."""
    found = re.fullmatch(_HOURS, hours)
    assert found, "checked when it was set"
    first = DAYS.index(found[1])
    last = DAYS.index(found[2]) if found[2] else first
    days = {(first + i) % 7 for i in range((last - first) % 7 + 1)}
    begin, end = _minute(found[3]), _minute(found[4])
    if end > begin:
        return now.weekday in days and begin <= now.minute < end
    evening = now.weekday in days and now.minute >= begin
    return evening or ((now.weekday - 1) % 7 in days and now.minute < end)


def _minute(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])


TIME = Kind(
    "time",
    b"i",
    TimeCondition,
    key=Word(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?", "1 to 32 of a-z, 0-9 and -", empty=False),
    key_name="time",
    help="Time conditions: opening hours and holidays, for inbound numbers.",
    example={"time": "office", "zone": "Europe/Berlin", "hours": ["mon-fri 08:00-18:00"]},
)
