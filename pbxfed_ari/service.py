"""The service manager that has started us, systemd as a rule: that we are ready, how we are, that we still turn (sd_notify(3)).

Each turn of the loop comes by here, so a loop that hangs is silent, and is killed and started again (`WatchdogSec=`).
Who was started by hand has no $NOTIFY_SOCKET: then nobody is told anything.
"""

import logging
import socket
from collections.abc import Callable, Mapping

EVERY = 5.0  # seconds between two words, or a third of the watchdog's patience if that is less
log = logging.getLogger(__name__)


class ServiceManager:
    """Tells it no more often than it must hear it."""

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        """The variables are NOTIFY_SOCKET (a path, or @ and an abstract name), WATCHDOG_USEC and WATCHDOG_PID."""
        name = environment.get("NOTIFY_SOCKET", "")
        self._socket = f"\0{name[1:]}" if name.startswith("@") else name
        self._watched = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        patience = int(environment.get("WATCHDOG_USEC") or 0) / 1e6 if self._watched else 0.0
        self._every = min(EVERY, patience / 3) if patience else EVERY
        self._ready = False
        self._next = 0.0
        self._said = ""

    def turned(self, now: float, ready: bool, status: Callable[[], str]) -> None:
        """The loop has turned. `status` is one line, asked for only when it is time to tell."""
        if not self._socket or (now < self._next and ready == self._ready):
            return
        self._next = now + self._every
        words = ["WATCHDOG=1"] if self._watched else []
        if ready and not self._ready:
            self._ready = True
            words.append("READY=1")
        said = " ".join(status().split())
        if said != self._said:
            self._said = said
            words.append(f"STATUS={said}")
        self._tell(words)

    def stopping(self, why: str) -> None:
        """The end has begun."""
        if self._socket:
            self._tell(["STOPPING=1", f"STATUS=stops{f': {why}' if why else ''}"])

    def _tell(self, words: list[str]) -> None:
        if not words:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as out:
                out.sendto("\n".join(words).encode(), self._socket)
        except OSError as error:
            log.warning("NOTIFY_SOCKET = %r: %s", self._socket, error.strerror)
