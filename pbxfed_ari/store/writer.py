"""The writer: one thread that touches the disk, so that a disk which hangs holds that thread, and not the daemon.

    later(job) ──▶ in line ──▶ done, in order
    wait()         until the line is empty, for PATIENCE seconds at most, counted from when its oldest job was asked for

So whoever waits is held up for PATIENCE once, however many come after him while the disk hangs. Nothing is taken out of the
line: when the disk answers again all is done, in order. A job deals with its own errors. Who is told what is the caller's to
decide: `behind()` says for how long the disk has owed an answer.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from pbxfed_ari.errors import Refused

PATIENCE = 1.0  # seconds; a slow SD card takes less, and peers ask after a silence of 1.1
MOST = 20_000  # jobs in line: what is more than that is not waited for
CLOSING = 3.0  # seconds for what is in line at the end
Found = TypeVar("Found")
log = logging.getLogger(__name__)


class Writer:
    """Does jobs in order, each after the one before it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._line: deque[tuple[float, Callable[[], object]]] = deque()  # (asked for when, what)
        self._moved = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="disk", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"Writer({len(self._line)} in line, {self.behind():.1f} s behind)"

    def later(self, job: Callable[[], object]) -> None:
        """Do it, after all that was asked for before."""
        with self._moved:
            self._line.append((self._clock(), job))
            self._moved.notify_all()

    def wait(self) -> bool:
        """Until all is done, or the oldest has been waiting for PATIENCE. Returns whether all is done."""
        with self._moved:
            while self._line:
                left = self._line[0][0] + PATIENCE - self._clock()
                if left <= 0:
                    return False
                self._moved.wait(left)
            return True

    def ask(self, job: Callable[[], Found]) -> Found:
        """Do it, and wait for what it says.

        Raises: Refused, if the disk hangs.
        """
        found: list[Found] = []
        self.later(lambda: found.append(job()))
        self.wait()
        if not found:
            raise Refused("the disk of node.state does not answer: try again later", status=503)
        return found[0]

    def behind(self) -> float:
        """Seconds since the oldest job that is not done was asked for; 0 if there is none."""
        with self._moved:
            return self._clock() - self._line[0][0] if self._line else 0.0

    @property
    def late(self) -> bool:
        """Nobody waits any more for what is in line."""
        return self.behind() >= PATIENCE

    @property
    def full(self) -> bool:
        """There is too much in line."""
        return len(self._line) >= MOST

    def close(self) -> bool:
        """Do what is in line, nothing more after that. Returns whether all is done; not if the disk hangs."""
        with self._moved:
            self._closing = True
            self._moved.notify_all()
        self._thread.join(CLOSING)
        if self._thread.is_alive():
            log.error("the disk hangs: %d writes are lost with this daemon", len(self._line))
        return not self._thread.is_alive()

    def _work(self) -> None:
        while True:
            with self._moved:
                while not self._line:
                    if self._closing:
                        return
                    self._moved.wait()
                _, job = self._line[0]
            try:
                job()
            except Exception:  # a mistake of ours must not end the others
                log.exception("the disk: a job failed")
            with self._moved:
                self._line.popleft()
                self._moved.notify_all()
