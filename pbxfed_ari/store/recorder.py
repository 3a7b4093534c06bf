"""Records of calls are gathered for a moment, and written together.

A row by itself costs the daemon a thread that is woken, a transaction, and a turn at the interpreter: a tenth of a whole call.
So a crash may cost the records of calls of its last GATHERED seconds. Who reads finds all: they are written first.
"""

import asyncio
from collections.abc import Callable

from pbxfed_ari.store.records import Json, Rows
from pbxfed_ari.store.writer import Writer

GATHERED = 0.1  # seconds


class Recorder:
    """Between the loop, where calls end, and the thread that writes."""

    def __init__(self, writer: Writer, write: Callable[[list[Json]], object]) -> None:
        self._writer, self._write = writer, write
        self._gathered: list[Json] = []

    def __repr__(self) -> str:
        return f"Recorder({len(self._gathered)} gathered)"

    def add(self, record: Json) -> None:
        """A call is over."""
        if not self._gathered:
            asyncio.get_running_loop().call_later(GATHERED, self.flush)
        self._gathered.append(record)

    def flush(self) -> None:
        """Hand over what was gathered."""
        if self._gathered:
            records, self._gathered = self._gathered, []
            self._writer.later(lambda: self._write(records))

    def ask(self, look: Callable[[], Rows]) -> Rows:
        """Look into the file, after what was gathered was written. Raises: Refused, if the disk hangs."""
        self.flush()
        return self._writer.ask(look)
