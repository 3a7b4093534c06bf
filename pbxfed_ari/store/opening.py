"""How a file of SQLite is opened, and what tells a disk that refuses from a file that is damaged.

Where the disk has no room for what SQLite has beside the file, it is opened for us alone: that needs none (sqlite.org/wal.html,
"Use of WAL Without Shared-Memory"). Where nothing can be written, as on a disk that the kernel has made read-only, it is read
as it stands, and refuses what is to be written: a daemon that starts there carries calls by what it knew.
"""

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

ROOM = "make room on its disk, and see that the daemon's user may write there"
USUAL = ("pragma journal_mode=wal", "pragma synchronous=normal")
_REFUSED = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
)


def opened(path: str) -> sqlite3.Connection:
    """The file, made if there is none, readable for its owner alone: it holds digests, and its log takes the same mode.

    Raises: sqlite3.Error, OSError.
    """
    fixed = Path(path).exists() and not os.access(path, os.W_OK)
    if path != ":memory:" and not fixed:
        Path(path).touch(mode=0o600)
        Path(path).chmod(0o600)
    try:
        return _opened(path, *USUAL)
    except sqlite3.OperationalError:
        if fixed:  # and it was closed, so that nothing of it stands beside it
            return _opened(f"file:{quote(path)}?immutable=1")
        return _opened(path, "pragma locking_mode=exclusive", *USUAL)


def _opened(path: str, *first: str) -> sqlite3.Connection:
    uri = path.startswith("file:")
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, uri=uri)
    try:
        for line in first:
            db.execute(line)
        db.execute("select count(*) from sqlite_schema").fetchone()
    except BaseException:
        db.close()
        raise
    return db


def refused(error: BaseException) -> bool:
    """Is it the disk, or its rights: full, read-only, or taken? The file may be whole."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, OSError) or code in _REFUSED
