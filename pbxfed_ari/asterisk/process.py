"""Asterisk's process: is it dead, for certain?

A closed websocket proves nothing: Asterisk may have reloaded its HTTP server, or cut off a reader that was slow, and all its
calls go on. So its process is remembered at each connect, by the file that it writes beside its control socket, and asked for
by signal 0, which reaches nobody and needs no right: "not permitted" is alive, too. Where that file cannot be read, or means
another machine's processes, nothing is certain until Asterisk is back with another startup time.
"""

import os
from contextlib import suppress
from pathlib import Path


class Process:
    """The Asterisk whose control socket is here (main/asterisk.c writes asterisk.pid into the same folder)."""

    def __init__(self, control: Path) -> None:
        self._file = control.with_name("asterisk.pid")
        self._pid = 0  # 0: not known

    def __repr__(self) -> str:
        return f"Process({self._pid or 'not known'})"

    def remember(self) -> None:
        """It lives, under this number."""
        self._pid = 0
        with suppress(OSError, ValueError):
            found = int(self._file.read_text())
            self._pid = found if found > 0 and _lives(found) else 0

    def has_died(self) -> bool:
        """Is the one that we remember dead? Said once."""
        if not self._pid or _lives(self._pid):
            return False
        self._pid = 0
        return True


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True
