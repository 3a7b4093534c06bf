"""Failed authentications, read from the file into which Asterisk writes its security events (dialplan/logger.conf).

ARI does not carry them; the `security` level of Asterisk's logger does (res/res_security_log.c; main/security_events.c names
the fields). What a stranger chose stands in these lines as it came: the account and the Call-ID may hold quotes, the account
even line ends, but of it there are 36 characters, so a line that begins as it should was begun by Asterisk. What follows
RemoteAddress cannot hold a quote without a backslash before it. So the address is the last one, if all the rest of the line is
well-formed.
"""

import asyncio
import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from pbxfed_ari.core.events import AuthenticationsFailed
from pbxfed_ari.core.federation.failures import is_address

PAUSE = 1.0  # seconds between two looks
AT_ONCE = 1 << 18  # bytes read at a look, so that a flood does not keep us from calls
BEHIND = 1 << 22  # bytes that may wait; of more, the older are left out
LONGEST = 1 << 16  # bytes of a line
CUT = 8_000  # characters; Asterisk cuts a longer one off, and its line end, too: the next one's address would stand in it
_LINE = re.compile(
    r"\[[^\]\"]*\] SECURITY\[\d+\](?:\[C-[0-9a-f]+\])? res_security_log\.c: "
    r'SecurityEvent="(FailedACL|InvalidAccountID|InvalidPassword|ChallengeResponseFailed)"'
    r'(?>.*,RemoteAddress="IPV)[46]/([A-Z]+)/([0-9a-fA-F.:]{2,45})/\d+"'
    r'(?:,\w+="(?:[^"\\]|\\.)*")*\s*'
)
_SOLID = ("InvalidPassword", "ChallengeResponseFailed")  # who says so had our challenge


def parse(line: str) -> tuple[str, bool] | None:
    """The address that failed to authenticate, and whether it is proven; None: the line says nothing of that kind."""
    found = _LINE.fullmatch(line) if len(line) < CUT else None
    if found is None:
        return None
    what, transport, address = found.groups()
    if not is_address(address):
        return None
    return address, what in _SOLID or transport != "UDP"


class SecurityLog:
    """Follows the file: through rotation and truncation, and if it comes later than we do."""

    def __init__(self, path: Path, post: Callable[[AuthenticationsFailed], None]) -> None:
        self.path = path
        self.trouble = "not looked for yet"  # why nothing is counted, or ""
        self.skipped = 0  # bytes of floods that were left out
        self._post = post
        self._file: BinaryIO | None = None
        self._at = 0
        self._begun = False  # what stood there before we came is of the past
        self._rest = b""  # of a line whose end is not there yet

    def __repr__(self) -> str:
        return f"SecurityLog({self.path}: {self.trouble or 'read'})"

    async def run(self) -> None:
        """Read on and on."""
        try:
            while True:
                self.look()
                await asyncio.sleep(PAUSE)
        finally:
            self.close()

    def look(self) -> None:
        """Take in what was written since the last look."""
        try:
            data = self._read()
            if not data and self._moved():
                self.close()
                data = self._read()
        except OSError as error:
            self.close()
            self.trouble = error.strerror or str(error)
            return
        finally:
            self._begun = True
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-LONGEST:]
        proven, forgeable = Counter[str](), Counter[str]()
        for line in lines:
            if found := parse(line.decode(errors="replace")):
                (proven if found[1] else forgeable)[found[0]] += 1
        if proven or forgeable:
            each = sorted({*proven, *forgeable})
            self._post(AuthenticationsFailed(tuple((a, proven[a], forgeable[a]) for a in each)))

    def _read(self) -> bytes:
        """What follows, at most AT_ONCE."""
        if self._file is None:
            self._file = self.path.open("rb")
            self._at = 0 if self._begun else os.fstat(self._file.fileno()).st_size
            self._rest, self.trouble = b"", ""
        size = os.fstat(self._file.fileno()).st_size
        self._at = self._at if self._at <= size else 0  # it was truncated
        if size - self._at > BEHIND:
            self.skipped += size - BEHIND - self._at
            self._at, self._rest = size - BEHIND, b""
        self._file.seek(self._at)
        data = self._file.read(AT_ONCE)
        self._at += len(data)
        return data

    def _moved(self) -> bool:
        """Has the path become another file?"""
        assert self._file is not None
        ours, now = os.fstat(self._file.fileno()), self.path.stat()
        return (ours.st_dev, ours.st_ino) != (now.st_dev, now.st_ino)

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            self._file.close()
        self._file = None
