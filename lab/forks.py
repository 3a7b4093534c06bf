"""Python programs that tests start by the hundred, forked from one process that has imported what they need.

Importing is most of what a start costs. In all else what is forked is as what is started by `ip netns exec`: session,
namespaces, environment, output, arguments and end are its own. The process that forks has one thread, and ends with the one
that has it; those whom it has forked go on. They have one hash seed.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from lab import process
from lab.netns import enter
from lab.places import CHECKOUT, LabError
from lab.process import Process

PBXFED, PHONES = "pbxfed_ari.cli:main", "lab.phonebox:run"  # entry points
IMPORTED = ("pbxfed_ari.cli", "pbxfed_ari.node.starting", "lab.phonebox")
STARTS_WITHIN = 60.0  # seconds: its imports, on a busy machine
LONGEST = 1 << 20  # bytes of a request: an environment


def start(
    command: Sequence[str],
    namespace: str,
    *,
    record: Path,
    log: Path,
    env: Mapping[str, str],
    nice: int,
    forks: ForkServer | None,
    entry: str,
) -> Process:
    """Start a program in a network namespace. If there is who forks, it is forked: the entry point with that argv."""
    if forks:
        pid = forks.fork(entry, command, namespace, log, env)
        return process.remember(pid, command[0], record, log, nice)
    command = ["ip", "netns", "exec", namespace, *command]
    return process.spawn(command, record=record, log=log, env=env, nice=nice)


class ForkServer:
    """Where they come from; to be closed."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.settimeout(STARTS_WITHIN)
        self._lock = threading.Lock()
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "lab.forks", str(theirs.fileno()), *IMPORTED],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
                start_new_session=True,
            )

    def fork(
        self, entry: str, argv: Sequence[str], namespace: str, log: Path, env: Mapping[str, str]
    ) -> int:
        """The pid of one more.

        Raises: LabError, if it does not start.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        wanted = {"entry": entry, "argv": list(argv), "namespace": namespace}
        line = json.dumps({**wanted, "log": str(log), "env": dict(env)}).encode()
        try:
            with self._lock:
                self._ours.sendall(line)
                return int(self._ours.recv(64))
        except (OSError, ValueError):
            raise LabError(f"{argv[0]} is not forked") from None

    def close(self) -> None:
        """It ends; who was forked goes on."""
        self._ours.close()
        self._server.wait()


def serve(control: socket.socket) -> str:
    """Fork for each request, until nobody is there to ask. Returns in those who were forked only: whose program they are."""
    while line := control.recv(LONGEST):
        if not os.fork():
            wanted = json.loads(line)
            become(wanted)
            control.sendall(str(os.getpid()).encode())
            return str(wanted["entry"])
    sys.exit()


def become(wanted: Mapping[str, Any]) -> None:
    """What a program of its own has from its start."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    enter(wanted["namespace"])
    log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for standard in 1, 2:
        os.dup2(log, standard)
    os.close(log)
    os.environ.clear()
    os.environ.update(wanted["env"])
    sys.argv[:] = wanted["argv"]
    name = Path(sys.argv[0]).name.encode()
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_bytes(name[:15])


def main() -> None:
    """The process that forks; and what it has forked."""
    for module in sys.argv[2:]:
        import_module(module)
    assert len(os.listdir("/proc/self/task")) == 1, "a fork has none of the other threads"
    gc.freeze()  # memory that is not looked through is not copied
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries them
    with socket.socket(fileno=int(sys.argv[1])) as control:
        module, _, function = serve(control).partition(":")
    sys.exit(getattr(import_module(module), function)())


if __name__ == "__main__":
    main()
