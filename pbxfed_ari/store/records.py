"""Records of calls, in a file of their own beside the store: one row a call, kept for so many days.

Each is written when its call has ended, many together, and is on the disk a moment later: a power cut may cost the last
ones, never a call. A file that is damaged is put aside; what the federation knows does not stand in it. What a full or
failing disk refuses waits, and all after it, until it is taken (`settle`).

Beside them stand notes of calls that go on (core/calls/notebook.py), and when this node saw them last. A record and the end of
its note are one transaction, so no call has two records, whenever the daemon is killed. Nothing waits for the disk: a kill -9
costs what was not written yet; a power cut what the kernel had not put on the disk, half a minute usually, notes and records
alike.
"""

import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from pbxfed_ari.core.calls.notebook import Noted
from pbxfed_ari.errors import ConfigError
from pbxfed_ari.store.opening import ROOM, opened

Json = dict[str, object]
Rows = list[tuple[int, str]]
Row = tuple[object, ...]  # a record, as it stands in the file
Ask = Callable[[Callable[[], Rows]], Rows]
KEPT_DAYS = 90
SWEEP = 1_000  # records after which the old ones go
MOST = 1_000  # in one answer
WAITING = 20_000  # records and notes that wait for a disk which refuses them: some 40 MB
log = logging.getLogger(__name__)
_decoder = msgspec.msgpack.Decoder(Noted)
_TABLE = """
create table if not exists calls (
    id integer primary key, began integer not null, caller text not null, number text not null,
    part integer not null, record text not null);
create index if not exists calls_began on calls (began);
create index if not exists calls_caller on calls (caller);
create index if not exists calls_number on calls (number);
create table if not exists notes (key text primary key, note blob not null) without rowid;
create table if not exists seen (one integer primary key check (one = 1), at integer not null);
"""
_CALL = """
alter table calls add column call text;
create index calls_call on calls (call);
"""
_STRIKE = "delete from notes where key = ?"
_BEFORE = "select coalesce(min(+id), ?) - 1 from calls where began >= ?"  # +id: by calls_began
_LAST = (1 << 63) - 1


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
        """`ask` is how the file is looked into: by the thread that writes, if there is one. May raise Refused.

        Raises: ConfigError, if the file cannot be had.
        """
        self.path = str(path)
        self._days, self._clock, self._ask = days, clock, ask
        self._written = 0
        self._owed: deque[tuple[int, Callable[[], None]]] = (
            deque()
        )  # of how many calls, what is to be written
        self.trouble = ""  # why it waits
        try:
            self._db = self._whole()
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(f"node.state: {self.path}: {error}; {ROOM}") from None
        self._sweep()

    def __repr__(self) -> str:
        return f"Records({self.path!r})"

    def close(self) -> None:
        """Write everything out."""
        self._db.close()

    def add(self, *records: Json, over: Sequence[str] = ()) -> None:
        """Keep records; they are found by `call`, `began_ms`, `from`, `to` and `peer`. The log says which could not be kept.

        `over`: the notes of these calls.
        """
        rows = [
            (
                one["call"],
                one["began_ms"],
                one["from"],
                one["to"],
                bool(one["peer"]),
                msgspec.json.encode(one).decode(),
            )
            for one in records
        ]
        self._owe(len(rows), partial(self._add, rows, over))

    def note(self, noted: Sequence[Noted], void: Sequence[str], seen_ms: int) -> None:
        """These go on, as was seen at this time; notes that are void go."""
        rows = [(one.so_far.note, msgspec.msgpack.encode(one)) for one in noted]
        self._owe(len(rows), partial(self._note, rows, void, seen_ms))

    def settle(self) -> None:
        """Write what waits, in order, as far as the disk takes it."""
        while self._owed:
            try:
                self._owed[0][1]()
            except sqlite3.OperationalError as error:
                if not self.trouble:
                    log.error("%s: %s; records of calls wait in memory: %s", self.path, error, ROOM)
                self.trouble = (
                    f"node.state: {self.path}: {error}; records of calls wait in memory: {ROOM}"
                )
                return
            self._owed.popleft()
        if self.trouble:
            log.warning("%s: the disk takes records of calls again: all are kept", self.path)
            self.trouble = ""

    def _owe(self, calls: int, write: Callable[[], None]) -> None:
        if self.trouble and sum(number for number, _ in self._owed) >= WAITING:
            log.error("%s: %d records and notes of calls are lost: too many wait", self.path, calls)
            return
        self._owed.append((calls, write))
        if not self.trouble:
            self.settle()

    def _add(self, rows: Sequence[Row], over: Sequence[str]) -> None:
        """Raises: sqlite3.OperationalError, if the disk refuses."""
        try:
            self._insert(rows, over)
        except sqlite3.OperationalError:
            raise
        except (sqlite3.Error, OverflowError):
            for row in rows:  # which of them is it?
                self._add_one(row)
            with suppress(sqlite3.ProgrammingError):
                self._db.executemany(_STRIKE, [(key,) for key in over])
        before, self._written = self._written, self._written + len(rows)
        if before // SWEEP < self._written // SWEEP:
            self._sweep()

    def _add_one(self, row: Row) -> None:
        try:
            self._insert([row], ())
        except (sqlite3.Error, OverflowError) as error:
            log.error("the record of call %s is not kept: %s", row[0], error)

    def _insert(self, rows: Sequence[Row], over: Sequence[str]) -> None:
        self._db.execute("begin")
        with self._db:
            self._db.executemany(
                "insert into calls (call, began, caller, number, part, record) values (?, ?, ?, ?, ?, ?)",
                rows,
            )
            self._db.executemany(_STRIKE, [(key,) for key in over])

    def _note(self, rows: Sequence[tuple[str, bytes]], void: Sequence[str], seen_ms: int) -> None:
        """Raises: sqlite3.OperationalError, if the disk refuses."""
        try:
            self._db.execute("begin")
            with self._db:
                self._db.executemany("insert or replace into notes values (?, ?)", rows)
                self._db.executemany(_STRIKE, [(key,) for key in void])
                self._db.execute("insert or replace into seen values (1, ?)", (seen_ms,))
        except sqlite3.OperationalError:
            raise
        except sqlite3.Error as error:
            log.error("%d calls that go on are not noted: %s", len(rows), error)

    def noted(self) -> tuple[list[Noted], int]:
        """The calls that went on, and when this node saw them last: milliseconds since 1970."""
        found: list[Noted] = []
        for key, note in self._db.execute("select key, note from notes order by key").fetchall():
            try:
                found.append(_decoder.decode(note))
            except msgspec.MsgspecError as error:
                log.error("the note of call %s cannot be read: %s", key, error)
                with suppress(sqlite3.Error):
                    self._db.execute(_STRIKE, (key,))
        row = self._db.execute("select at from seen").fetchone()
        return found, row[0] if row else 0

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
        found = self._ask(
            lambda: self._found(after, min(limit, MOST), last, number, since_ms, parts)
        )
        return [
            {"id": i, **msgspec.json.decode(text)}
            for i, text in (reversed(found) if last else found)
        ]

    def _found(
        self, after: int, limit: int, last: bool, number: str, since_ms: int, parts: bool
    ) -> Rows:
        """By an index, whatever is asked: the daemon waits for the answer, and may have millions of records."""
        if since_ms:
            ((before,),) = self._db.execute(_BEFORE, (_LAST, since_ms)).fetchall()
            after = max(after, before)
        these = f"id > ? and +began >= ?{'' if parts else ' and not part'}"
        order = f"order by id {'desc' if last else 'asc'} limit ?"
        values: tuple[object, ...] = (after, since_ms)
        if number:
            one = f"select id from (select id from calls where {{}} = ? and {these} {order})"
            these = f"id in ({one.format('caller')} union {one.format('number')})"
            values = (number, *values, limit) * 2
        question = f"select id, record from calls where {these} {order}"
        return self._db.execute(question, (*values, limit)).fetchall()

    def of(self, call: str) -> list[Json]:
        """The records of one call here: its own, or of its parts."""
        question = "select id, record from calls where call = ? order by id"
        found = self._ask(lambda: self._db.execute(question, (call,)).fetchall())
        return [{"id": i, **msgspec.json.decode(text)} for i, text in found]

    def all(
        self, *, number: str = "", since_ms: int = 0, parts: bool = False
    ) -> Iterator[list[Json]]:
        """All of them, so many at a time."""
        after = 0
        while found := self.read(after=after, number=number, since_ms=since_ms, parts=parts):
            yield found
            after = int(str(found[-1]["id"]))

    def _whole(self) -> sqlite3.Connection:
        """The file; in the place of one that is damaged a new one. Raises: sqlite3.Error, OSError."""
        try:
            return self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise  # the disk, or its rights: the file may be whole
            aside = f"{self.path}.damaged-{int(self._clock())}"
            log.error("%s is damaged (%s): put aside as %s, begun anew", self.path, error, aside)
            Path(self.path).rename(aside)
            for beside in ("-wal", "-shm"):
                Path(self.path + beside).unlink(missing_ok=True)
            return self._open()

    def _open(self) -> sqlite3.Connection:
        db = opened(self.path)
        db.executescript(_TABLE)
        if "call" not in {column[1] for column in db.execute("pragma table_info(calls)")}:
            db.executescript(_CALL)  # what was kept before is not found by it
        return db

    def _sweep(self) -> None:
        """Days count back from the newest record: a clock that is months ahead, at a start say, takes none away."""
        try:
            ((newest,),) = self._db.execute("select coalesce(max(began), 0) from calls").fetchall()
            oldest = min(int(self._clock() * 1_000), newest) - self._days * 86_400_000
            self._db.execute("delete from calls where began between 1 and ?", (oldest,))
        except sqlite3.Error as error:
            log.error("old records of calls stay: %s", error)
