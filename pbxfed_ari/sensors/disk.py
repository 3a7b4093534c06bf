"""The disk of node.state: what room it has, and whether it takes what is written.

A disk that has died, or whose server is gone, may not refuse a write: the write does not return. And one that the kernel has
made read-only has room. So now and then a few bytes are written and synced, by the thread that the store's writes go by, and
what has been in line there for too long is the reading.
"""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

from pbxfed_ari.core.membership.health import Reading
from pbxfed_ari.sensors import machine

HUNG = 5.0  # seconds that a write may take; SD cards stop for one or two
PROBE = 15.0  # seconds between two writes: 6,000 syncs a day, which a card survives
NAME = "probe"


class Disk:
    """Looks from a thread that may hang, tells from one that may not."""

    def __init__(
        self,
        folder: Path,
        *,
        later: Callable[[Callable[[], None]], None],
        behind: Callable[[], float],
        trouble: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`later` does a job where it may hang, `behind` says for how many seconds the oldest has waited.

        `trouble` says why the store keeps nothing, if it does not.
        """
        self._folder = folder
        self._later, self._behind, self._trouble = later, behind, trouble
        self._clock = clock
        self._found: Reading | None = None
        self._next_probe = clock()
        self._looking = False

    def read(self) -> Reading | str:
        """What was last seen; looks again."""
        behind = self._behind()
        if behind >= HUNG:
            self._found = None
            return Reading(0.0, f"not taken a write for {behind:.0f} s", f"{HUNG:g} s")
        if not self._looking:
            self._looking = True
            self._later(self._look)
        return self._found or "not looked at yet"

    def _look(self) -> None:
        try:
            if self._clock() >= self._next_probe:
                self._probe()
                self._next_probe = self._clock() + PROBE
            self._found = machine.disk(self._folder, self._trouble())
        except OSError as error:
            remedy = ": raise LimitNOFILE" if error.errno == errno.EMFILE else ""
            self._found = Reading(0.0, f"refused a write: {error.strerror}{remedy}", "none")
        finally:
            self._looking = False

    def _probe(self) -> None:
        """Raises: OSError."""
        file = os.open(self._folder / NAME, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(file, b"pbxfed\n", 0)
            os.fsync(file)
        finally:
            os.close(file)
