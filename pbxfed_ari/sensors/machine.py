"""The machine: load, memory, the disk of node.state, and how late our own loop is."""

import os
from pathlib import Path

from pbxfed_ari.core.membership.health import Reading

ENOUGH = 200 << 20  # bytes free on a disk; or SHARE of it, if that is less
SHARE = 20
MEMINFO = Path("/proc/meminfo")


def load() -> Reading:
    """Programs that want a core, for each that there is, over the last minute."""
    cores = len(os.sched_getaffinity(0))
    average = os.getloadavg()[0]
    return Reading(average / cores, f"{average / cores:.1f} ({average:.1f} on {cores})")


def memory(file: Path = MEMINFO) -> Reading:
    """Percent of the memory that programs could still get.

    Raises: OSError, ValueError.
    """
    lines = (line.split() for line in file.read_text().splitlines())
    kilobytes = {name.rstrip(":"): int(value) for name, value, *_ in lines}
    left, whole = kilobytes["MemAvailable"], kilobytes["MemTotal"]
    percent = 100 * left / whole
    return Reading(percent, f"{percent:.1f} % ({left >> 10} of {whole >> 10} MB)")


def disk(folder: Path, trouble: str = "") -> Reading:
    """What is left, as a part of what is enough. `trouble`: why nothing is kept, if so.

    Raises: OSError.
    """
    found = os.statvfs(folder)
    free, whole = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    enough = min(ENOUGH, whole // SHARE)
    said = f"{_size(free)} left of {_size(whole)}"
    if trouble:
        return Reading(0.0, f"{said}, and nothing is kept", _size(enough))
    return Reading(free / enough if enough else 0.0, said, _size(enough))


class Lateness:
    """How late our loop was."""

    def __init__(self) -> None:
        self._most = 0.0

    def late(self, seconds: float) -> None:
        """It came so late to a deadline."""
        self._most = max(self._most, seconds)

    def read(self) -> Reading:
        """The most since this was last read."""
        most, self._most = self._most, 0.0
        return Reading(most)


def _size(bytes: int) -> str:
    return f"{bytes / (1 << 20):.1f} MB" if bytes < 1 << 30 else f"{bytes / (1 << 30):.1f} GB"
