"""What tests fork is as what users start."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lab.forks import ForkServer, start
from lab.netns import _ip
from lab.places import LabError
from lab.process import Process

NAMESPACE = "pf-forked"
ENTRY = "tests.lab_tools.test_forks:tell"
COMMAND = [sys.executable, "-c", "from tests.lab_tools.test_forks import tell; tell()", "Ada"]
ENV = {"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd(), "LANG": "C.UTF-8"}
SIGNALS = ("SigBlk", "SigIgn", "SigCgt")
STANDARD = (1 << 31) - 1  # signals 1 to 31; of others two are the C library's own


def tell() -> None:
    """All that a process has from its start; then it stays."""
    status = dict(
        line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines()
    )
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    ours = [one for one in mounts if Path(one[0]).parent.name != "netns"]  # labs beside come and go
    told = {
        "leads": [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()],
        "network": os.readlink("/proc/self/ns/net"),
        "interfaces": sorted(os.listdir("/sys/class/net")),
        "resolver": Path("/etc/resolv.conf").read_text(),
        "mounts": sorted(ours),
        "given": sys.argv[-1],
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "mask": os.umask(0),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "signals": [int(status[name], 16) & STANDARD for name in SIGNALS],
        "threads": status["Threads"].strip(),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "handles": [os.readlink(f"/proc/self/fd/{one}") for one in range(3)],
    }
    print(json.dumps(told), flush=True)
    time.sleep(60)


@pytest.fixture
def namespace() -> Iterator[str]:
    """With a resolver of its own, as `ip netns exec` shows it there."""
    own = Path("/etc/netns", NAMESPACE, "resolv.conf")
    _ip(f"netns add {NAMESPACE}")
    own.parent.mkdir(parents=True)
    own.write_text("nameserver 192.0.2.1\n")
    yield NAMESPACE
    own.unlink()
    own.parent.rmdir()
    _ip(f"netns del {NAMESPACE}")


def test_what_is_forked_is_as_what_is_started(namespace: str, tmp_path: Path) -> None:
    """Whatever there was in the process that has forked it; and it ends as any, and outlives that one."""
    log = tmp_path / "log"

    def started(forks: ForkServer | None, name: str) -> tuple[Process, dict[str, Any]]:
        log.unlink(missing_ok=True)
        one = start(
            COMMAND,
            namespace,
            record=tmp_path / name,
            log=log,
            env=ENV,
            nice=-3,
            forks=forks,
            entry=ENTRY,
        )
        until(lambda: log.exists() and log.read_text().endswith("\n"))
        return one, json.loads(log.read_text())

    with closing(ForkServer()) as forks:
        here, real = started(None, "started")
        there, forked = started(forks, "forked")
    assert forked == real
    assert real["nice"] == -3
    assert "192.0.2.1" in real["resolver"]
    for one in here, there:
        assert one.alive(), "who has started it is no more"
        one.signal(signal.SIGTERM, wait=5)
        until(Path(f"/proc/{one.pid}").exists, False)


def test_who_is_not_forked_is_told_of(tmp_path: Path) -> None:
    """At once, where there is nobody more to fork him."""
    forks = ForkServer()
    forks.close()
    with pytest.raises(LabError, match="not forked"):
        forks.fork(ENTRY, COMMAND, NAMESPACE, tmp_path / "log", ENV)


def until(holds: Callable[[], bool], wanted: bool = True) -> None:
    end = time.monotonic() + 30
    while holds() != wanted:
        assert time.monotonic() < end
        time.sleep(0.02)
