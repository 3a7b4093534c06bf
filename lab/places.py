"""Where one lab keeps its things, and what they are called.

Everything that the kernel sees by name (namespaces, links, counters) carries a prefix made from the path
of the state folder, so two labs from two checkouts on one machine cannot disturb one another, and a lab can
find what a killed predecessor left behind without having any of its memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
LOCKS = Path("/run/lock")


class LabError(Exception):
    """What went wrong, in one line for the person at the keyboard."""


@dataclass(frozen=True, slots=True)
class Places:
    """The folder of one lab and the names derived from it."""

    state: Path

    @classmethod
    def default(cls) -> Places:
        """Read PBXFED_LAB; without it the lab lives in `.lab` of this checkout."""
        return cls(Path(os.environ.get("PBXFED_LAB") or CHECKOUT / ".lab").absolute())

    @classmethod
    def of_containers(cls) -> Places:
        """Where a lab in containers remembers its phones: beside the native one's folder."""
        state = cls.default().state
        return cls(state.with_name(f"{state.name}-containers"))

    @property
    def prefix(self) -> str:
        """Eight characters that belong to this lab alone."""
        return "pf" + hashlib.sha256(os.fsencode(self.state)).hexdigest()[:6]

    @property
    def record(self) -> Path:
        """The lab's memory between two commands: nodes, extensions, phones."""
        return self.state / "lab.json"

    @property
    def run(self) -> Path:
        """One file per process that the lab started: pid and start time."""
        return self.state / "run"

    @property
    def key_file(self) -> Path:
        """The federation's key, shared by all nodes of this lab."""
        return self.state / "federation.key"

    def node(self, name: str) -> Path:
        """The folder of one node: its Asterisk's and its daemon's."""
        return self.state / "nodes" / name

    @property
    def phones(self) -> Path:
        """Control sockets and logs of the phone groups."""
        return self.state / "phones"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lab while it is changed; a second command waits here.

        The lock lives outside the state folder, because `down` removes that one.
        """
        with locked(LOCKS / f"pbxfed-lab-{self.prefix}"):
            yield


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[int]:
    """Hold an exclusive file lock, and leave no file behind; `waiting` is called if another one holds it.

    The lock is the kernel's: a file that a killed holder has left holds nobody up. It is removed while locked; whoever
    waited for the removed one opens the path anew. Yields the handle: a child that inherits it holds the lock too, for
    as long as it lives.
    """
    path.parent.mkdir(parents=True, exist_ok=True)  # /run/lock is systemd's to make
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            if os.fstat(handle).st_ino == path.stat().st_ino:
                break
        except FileNotFoundError:
            pass
        os.close(handle)
    try:
        yield handle
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)
