"""Where pushed objects live: one SQLite file, which Asterisk reads and writes (`res_config_sqlite3`) and we lay out.

We push by ARI; Asterisk keeps what it is pushed in these tables and finds each object there by its name when it needs it, so
that phones survive a restart of Asterisk with the daemon dead. A table must have a column for every attribute that this
version of Asterisk knows, or Asterisk's INSERT fails. Asterisk itself tells which: an object with the attributes that we use
is written by hand, and a GET of it lists them all. That happens once, and again when an upgrade brought new attributes.

WAL: Asterisk gathers its writes into transactions of 100 ms, and neither side shall wait for the other's reading. Between two
of its writes Asterisk goes on reading what it had seen before, so we never change a row of its: all that is pushed or removed
goes through Asterisk. Its DELETE, though, deletes nothing (measured on 22.10.1: the statement that it makes is empty), and only
tells its other parts that the object is gone. Hence a trigger: an auth that is marked as GONE goes, with aor and endpoint.
Another keeps Asterisk from writing down a registration as a contact that a phone would have for ever (`objects.py`).
"""

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.pjsip.extension import extension_objects
from pbxfed_ari.asterisk.pjsip.objects import MARK, PjsipObject
from pbxfed_ari.core.effects import PushExtension
from pbxfed_ari.core.names import TRUNK_PREFIX, Extension
from pbxfed_ari.errors import Declined

FIRST = Extension("pf--first")  # exists while we connect; no node's name begins with a hyphen
PROBE = extension_objects(PushExtension(FIRST, "", "0" * 32, 1), "probe")
GONE = "gone"  # a mark
ATTEMPTS = 5  # a transaction that Asterisk had begun before the columns came must end first
PAUSE = 0.15  # seconds, in which it does
PATIENCE = 5.0  # seconds for Asterisk to end its transaction
MODE = 0o660  # both users write
NOISY = (
    "stir_shaken"  # Asterisk writes it by default, and warns of it at each reading (asterisk#1615)
)


class Tables:
    """The file, and in it a table for each kind of object."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"Tables({str(self.path)!r})"

    def marks(self) -> dict[str, str]:
        """The endpoints that Asterisk holds of us, and the mark of each.

        Raises: sqlite3.Error, OSError.
        """
        if not self.path.exists():
            return {}
        with self._open() as db:
            if MARK not in _columns(db, "endpoint"):
                return {}
            return dict(db.execute(f'select id, "{MARK}" from endpoint where "{MARK}" > ""'))

    def put(self, one: PjsipObject) -> None:
        """Write an object as if Asterisk had, with a table and columns for what it says.

        Raises: sqlite3.Error, OSError.
        """
        self.widen(one.kind, (name for name, _ in one.fields))
        with self._open() as db:
            names = ", ".join(f'"{name}"' for name, _ in one.fields)
            holes = ", ?" * len(one.fields)
            values = (one.id, *(value for _, value in one.fields))
            db.execute(
                f'insert or replace into "{one.kind}" (id, {names}) values (?{holes})', values
            )

    def widen(self, kind: str, names: Iterable[str]) -> None:
        """Have a column for each of these attributes.

        Raises: sqlite3.Error, OSError.
        """
        with self._open() as db:
            for one in PROBE:
                db.execute(
                    f'create table if not exists "{one.kind}" (id text primary key) without rowid'
                )
            for name in sorted({MARK, *names} - _columns(db, kind)):
                db.execute(f'alter table "{kind}" add column "{name}" text')
            for when in "insert", "update":
                if NOISY in _columns(db, kind):
                    db.execute(
                        f'create trigger if not exists "quiet {kind} {when}" after {when} on "{kind}" '
                        f"when new.{NOISY} is not null "
                        f'begin update "{kind}" set {NOISY} = null where id = new.id; end'
                    )
                if kind == "aor" and "contact" in _columns(db, kind):
                    db.execute(
                        f'create trigger if not exists "fleeting {when}" after {when} on aor '
                        f"when new.contact is not null and new.id not like '{TRUNK_PREFIX}%' "
                        "begin update aor set contact = null where id = new.id; end"
                    )
                if kind == "auth":
                    goes = "".join(f'delete from "{one.kind}" where id = new.id; ' for one in PROBE)
                    db.execute(
                        f'create trigger if not exists "gone {when}" after {when} on auth '
                        f"when new.\"{MARK}\" = '{GONE}' begin {goes}end"
                    )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        fresh = not self.path.exists()
        with closing(sqlite3.connect(self.path, timeout=PATIENCE)) as db:
            if fresh:
                _share(self.path)
            db.execute("pragma journal_mode=wal")
            with db:
                yield db


async def prepare(ari: AriClient, tables: Tables) -> None:
    """Leave one endpoint, FIRST, in an Asterisk that can hold what we push: it is taken away when that is over.

    Raises: Unreachable, Declined, sqlite3.Error, OSError.
    """
    for one in PROBE:
        for left in reversed(range(ATTEMPTS)):
            try:
                await ari.asterisk.updateObject(one.kind, one.id, one.fields)
                break
            except Declined:
                if not left:
                    raise
            await asyncio.sleep(PAUSE)
            await asyncio.to_thread(tables.put, one)
            with suppress(Declined):  # not seen yet: then the next attempt
                found = await ari.asterisk.getObject(one.kind, one.id)
                await asyncio.to_thread(tables.widen, one.kind, found)
        await asyncio.to_thread(
            tables.widen, one.kind, ()
        )  # a release before us had other triggers


async def take_away(ari: AriClient, name: str) -> None:
    """Remove the objects of this name, as far as there are any of ours.

    Raises: Unreachable, Declined.
    """
    for kind in "endpoint", "aor":
        await _unless_absent(ari.asterisk.deleteObject(kind, name))
    await _unless_absent(ari.asterisk.updateObject("auth", name, ((MARK, GONE),)))
    for kind in "endpoint", "aor", "auth":  # a cache may have read it again in between
        await _unless_absent(ari.asterisk.deleteObject(kind, name))


async def _unless_absent(request: Awaitable[None]) -> None:
    try:
        await request
    except Declined as declined:
        if declined.status not in (400, 403, 404):  # not there, or written by hand
            raise


def _columns(db: sqlite3.Connection, kind: str) -> set[str]:
    return {str(name) for _, name, *_ in db.execute(f'pragma table_info("{kind}")')}


def _share(path: Path) -> None:
    """The file goes to the folder's owner and group, which must be Asterisk's; SQLite makes its helpers alike."""
    folder = path.parent.stat()
    os.chmod(path, MODE)
    with suppress(PermissionError):
        os.chown(path, -1, folder.st_gid)
    with suppress(PermissionError):
        os.chown(path, folder.st_uid, -1)
