"""The event log: what the federation decided, for operators. The last thousand events of this boot, and a wait for the next.

An event is a Note of the machines with an id and a time. Ids grow by one; those of a boot begin at epoch times 1,000,000, so
none comes twice. A reader holds nothing here but the id that it has read last, and reads on from there: nobody waits for a slow
one, and one that the ring has overtaken has lost events and is sent away (web/api.py).
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable
from dataclasses import dataclass

from pbxfed_ari.core.effects import Note

KEPT = 1_000  # events
PER_EPOCH = 1_000_000  # ids; an epoch is a second, so a boot cannot use up its own


@dataclass(frozen=True, slots=True)
class Entry:
    """One event."""

    id: int
    wall_ms: int
    note: Note


class EventLog:
    """A ring of events, and how many there were of each."""

    def __init__(self, epoch: int, *, kept: int = KEPT) -> None:
        self.last = epoch * PER_EPOCH  # id of the newest event
        self.counts: Counter[str] = Counter()  # since the start, by name
        self.closed = False
        self._entries: deque[Entry] = deque(maxlen=kept)
        self._news: asyncio.Event | None = None  # that somebody waits for

    def add(self, note: Note, wall_ms: int) -> None:
        """Something has happened."""
        self.last += 1
        self.counts[note.event] += 1
        self._entries.append(Entry(self.last, wall_ms, note))
        self._wake()

    def close(self) -> None:
        """The daemon stops: nobody shall wait any longer."""
        self.closed = True
        self._wake()

    def after(self, since: int) -> list[Entry]:
        """The events that are kept and came after an id, oldest first."""
        new = min(self.last - since, len(self._entries))
        return list(self._entries)[len(self._entries) - new :]

    def begin(self, since: int) -> int:
        """Where a reader begins that has read up to an id, perhaps of another boot: an id that `after` continues."""
        oldest = self.last - len(self._entries)
        return oldest if since > self.last else max(since, oldest)

    def lost(self, since: int) -> bool:
        """Has the ring overtaken who has read up to this id?"""
        return since < self.last - len(self._entries)

    def news(self) -> Awaitable[object]:
        """Wait until there is an event newer than those there are at this call, or the log is closed."""
        if self._news is None:
            self._news = asyncio.Event()
        return self._news.wait()

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()
            self._news = None
