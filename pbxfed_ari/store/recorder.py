"""Calls that are over are gathered for a moment, and then told, counted and written together.

A row by itself costs the daemon a thread that is woken, a transaction, and a turn at the interpreter; and what is done ten
times in a row costs half of what it costs between other things. So a crash may cost the records of calls of its last
GATHERED seconds. Who reads finds all: they are written first.

Calls that go on are noted every NOTED seconds: most of those that find nobody are over before that. A crash costs the record of
a call that was never noted, and makes one that was end unseen (core/calls/notebook.py).
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from pbxfed_ari.store.records import Json, Rows
from pbxfed_ari.store.writer import Writer

GATHERED = 0.5  # seconds
NOTED = 1.0  # seconds
Ended = TypeVar("Ended")
log = logging.getLogger(__name__)


class Recorder(Generic[Ended]):
    """Between the loop, where calls end, and the thread that writes."""

    def __init__(
        self,
        writer: Writer,
        tell: Callable[[Ended], tuple[Json, str]],
        write: Callable[[list[Json], list[str]], object],
    ) -> None:
        """`tell` makes a record of a call, and tells of it whoever wants to know; and says under what it was noted."""
        self._writer, self._tell, self._write = writer, tell, write
        self._gathered: list[Ended] = []

    def __repr__(self) -> str:
        return f"Recorder({len(self._gathered)} gathered)"

    def add(self, call: Ended) -> None:
        """A call is over."""
        if not self._gathered:
            asyncio.get_running_loop().call_later(GATHERED, self.flush)
        self._gathered.append(call)

    def flush(self) -> None:
        """Hand over what was gathered."""
        if self._gathered:
            calls, self._gathered = self._gathered, []
            records: list[Json] = []
            over: list[str] = []
            for call in calls:
                try:
                    record, note = self._tell(call)
                    records.append(record)
                    over.append(note)
                except Exception:  # a mistake of ours must not lose the others
                    log.exception("a call that is over could not be told of")
            self._writer.later(lambda: self._write(records, over))

    def note(self, write: Callable[[], object]) -> None:
        """Write notes of calls that go on: after the records of those that are over."""
        self.flush()
        self._writer.later(write)

    def ask(self, look: Callable[[], Rows]) -> Rows:
        """Look into the file, after what was gathered was written. Raises: Refused, if the disk hangs."""
        self.flush()
        return self._writer.ask(look)
