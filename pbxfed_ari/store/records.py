"""Records of calls, in a file of their own beside the store: one row a call, kept for so many days.

Each is written when its call has ended, many together, and is on the disk a moment later: a power cut may cost the last
ones, never a call. A file that is damaged is put aside; what the federation knows does not stand in it.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

Json = dict[str, object]
Rows = list[tuple[int, str]]
Ask = Callable[[Callable[[], Rows]], Rows]
KEPT_DAYS = 90
SWEEP = 1_000  # records after which the old ones go
MOST = 1_000  # in one answer
log = logging.getLogger(__name__)
_TABLE = """
create table if not exists calls (
    id integer primary key, began integer not null, caller text not null, number text not null,
    part integer not null, record text not null);
create index if not exists calls_began on calls (began);
"""


class Records:
    """One node's calls that are over."""

    def __init__(
        self,
        path: Path | str,
        *,
        days: int = KEPT_DAYS,
        clock: Callable[[], float] = time.time,
        ask: Ask = lambda look: look(),
    ) -> None:
        """`ask` is how the file is looked into: by the thread that writes, if there is one. May raise Refused."""
        self.path = str(path)
        self._days, self._clock, self._ask = days, clock, ask
        self._written = 0
        try:
            self._db = self._open()
        except sqlite3.DatabaseError as error:
            aside = f"{self.path}.damaged-{int(clock())}"
            log.error("%s is damaged (%s): put aside as %s, begun anew", self.path, error, aside)
            Path(self.path).rename(aside)
            for beside in ("-wal", "-shm"):
                Path(self.path + beside).unlink(missing_ok=True)
            self._db = self._open()
        self._sweep()

    def __repr__(self) -> str:
        return f"Records({self.path!r})"

    def close(self) -> None:
        """Write everything out."""
        self._db.close()

    def add(self, *records: Json) -> None:
        """Keep records; they are found by their `began_ms`, `from`, `to` and `peer`. The log says which could not be kept."""
        rows = [
            (
                one["began_ms"],
                one["from"],
                one["to"],
                bool(one["peer"]),
                msgspec.json.encode(one).decode(),
            )
            for one in records
        ]
        try:
            self._db.execute("begin")
            with self._db:
                self._db.executemany(
                    "insert into calls (began, caller, number, part, record) values (?, ?, ?, ?, ?)",
                    rows,
                )
        except (sqlite3.Error, OverflowError) as error:
            if len(records) == 1:
                log.error("the record of call %s is not kept: %s", records[0]["call"], error)
                return
            for one in records:  # which of them is it?
                self.add(one)
            return
        before, self._written = self._written, self._written + len(rows)
        if before // SWEEP < self._written // SWEEP:
            self._sweep()

    def read(
        self,
        *,
        after: int = 0,
        limit: int = MOST,
        last: bool = False,
        number: str = "",
        since_ms: int = 0,
        parts: bool = False,
    ) -> list[Json]:
        """Records in the order in which their calls ended, each with its `id`: `limit` of those above `after`, or the `last`.

        `number`: only calls from or to it. `since_ms`: that began at or after it, milliseconds since 1970. `parts`: also the
        parts of calls that came by a peer's trunk.
        """
        where = ["id > ?", "began >= ?", "(? = '' or ? in (caller, number))", "(? or not part)"]
        question = (
            f"select id, record from calls where {' and '.join(where)} "
            f"order by id {'desc' if last else 'asc'} limit ?"
        )
        values = (after, since_ms, number, number, parts, min(limit, MOST))
        found = self._ask(lambda: self._db.execute(question, values).fetchall())
        return [
            {"id": i, **msgspec.json.decode(text)}
            for i, text in (reversed(found) if last else found)
        ]

    def all(
        self, *, number: str = "", since_ms: int = 0, parts: bool = False
    ) -> Iterator[list[Json]]:
        """All of them, so many at a time."""
        after = 0
        while found := self.read(after=after, number=number, since_ms=since_ms, parts=parts):
            yield found
            after = int(str(found[-1]["id"]))

    def _open(self) -> sqlite3.Connection:
        if self.path != ":memory:":
            Path(self.path).touch(mode=0o600)
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        db.execute("pragma journal_mode=wal")
        db.execute("pragma synchronous=normal")
        db.executescript(_TABLE)
        return db

    def _sweep(self) -> None:
        oldest = int((self._clock() - self._days * 86_400) * 1_000)
        try:
            self._db.execute("delete from calls where began between 1 and ?", (oldest,))
        except sqlite3.Error as error:
            log.error("old records of calls stay: %s", error)
