"""Processes that outlive the command which started them.

A process is remembered as pid *and* start time, because a pid alone may by now belong to somebody else, and is
signalled through a pidfd, so that nothing can change hands between the check and the signal. Nothing is ever
killed by name.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.places import LabError


@dataclass(frozen=True, slots=True)
class Process:
    """One process, told apart from a later one with the same pid."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """Look at a running process; None if there is none (a zombie is none)."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]))

    @classmethod
    def load(cls, record: Path) -> Process | None:
        """Read a record; None if it is missing or its process has gone."""
        try:
            known = json.loads(record.read_text())
            process = cls(int(known["pid"]), int(known["started"]))
        except (FileNotFoundError, ValueError, KeyError):
            return None
        return process if process.alive() else None

    def alive(self) -> bool:
        """Tell whether this very process still runs."""
        return Process.of(self.pid) == self

    def signal(self, number: int, *, wait: float = 0.0) -> None:
        """Send a signal, then wait up to `wait` seconds for the end."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if not self.alive():
                return
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
            if wait:
                poll = select.poll()
                poll.register(handle, select.POLLIN)
                if not poll.poll(int(wait * 1000)):
                    raise LabError(f"process {self.pid} did not end within {wait:g} s")
        finally:
            os.close(handle)
            reap(self.pid)


def reap(pid: int) -> None:
    """Collect a child of ours that has ended, so that no zombie keeps its name."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def spawn(
    argv: Sequence[str],
    *,
    record: Path,
    log: Path,
    env: Mapping[str, str] | None = None,
    nice: int = 0,
) -> Process:
    """Start a process in a session of its own and write down who it is. `nice`: as nice(1), toward all other processes."""
    log.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawnp(
        argv[0],
        list(argv),
        dict(os.environ if env is None else env),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigdef=[signal.SIGPIPE],
    )
    return remember(pid, argv[0], record, log, nice)


def remember(pid: int, name: str, record: Path, log: Path, nice: int) -> Process:
    """Write down who was started.

    Raises: LabError, if it has ended.
    """
    record.parent.mkdir(parents=True, exist_ok=True)
    process = Process.of(pid)
    if process is None:
        reap(pid)
        raise LabError(f"{name} ended at once; see {log}")
    if nice:
        set_nice(pid, nice)
    temporary = record.with_name(f"{record.name}.new")
    temporary.write_text(json.dumps({"pid": process.pid, "started": process.started}))
    temporary.replace(record)
    return process


def set_nice(pid: int, nice: int) -> None:
    """Make a process that leads its session so nice toward all others.

    Linux shares a machine among sessions first (sched(7), autogroups): a nice value alone counts within the session only.
    """
    with contextlib.suppress(OSError):  # it has ended, or there are no such groups
        os.setpriority(os.PRIO_PROCESS, pid, nice)
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))


def kill_recorded(record: Path) -> bool:
    """Kill -9 the process of a record and forget it. True if it was running."""
    process = Process.load(record)
    if process is not None:
        process.signal(signal.SIGKILL, wait=10)
    record.unlink(missing_ok=True)
    return process is not None
