"""The ground that a federation or a peer stands on: so many hosts on one switch, and nothing on them but what is measured.

    with Ground(32) as ground:
        ground.spawn("n00", ["serf", "agent", …])
        ground.sent()          frames and bytes that each host has put on the wire, by the kernel's counters

Whatever an earlier run left behind is removed first, whatever this one made is removed at the end: processes by the
namespace that they run in, then the namespaces, then the folder.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lab.netns import Host, Network, Traffic, within
from lab.places import CHECKOUT, Places
from lab.process import Process
from lab.root import ensure_tools, remove_tree

FIRST = 11  # the last byte of the first host's address
PARALLEL = 4  # processes that start at once
Running = subprocess.Popen[bytes]


class Ground:
    """Hosts n00, n01, … on one bridge."""

    def __init__(self, hosts: int, folder: str = ".lab-bench") -> None:
        self.places = Places(CHECKOUT / folder)
        self.network = Network(self.places.prefix)
        self.names = [f"n{i:02}" for i in range(hosts)]
        self.hosts = {
            name: Host(f"{self.places.prefix}-{name}", f"p-{name}", 0, f"10.77.0.{FIRST + i}")
            for i, name in enumerate(self.names)
        }
        self.running: dict[str, Running] = {}
        self._cut: set[str] = set()

    def __enter__(self) -> Ground:
        ensure_tools()
        self.sweep()
        self.places.state.mkdir(parents=True)
        try:
            self.network.build(self.hosts.values(), sites=1)
        except BaseException:
            self.sweep()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.sweep()

    def sweep(self) -> None:
        """Remove everything that carries our name."""
        for pid in self.network.pids():
            if found := Process.of(pid):
                found.signal(signal.SIGKILL)
        for running in self.running.values():
            running.kill()
            running.wait()
            for pipe in (running.stdin, running.stdout):
                if pipe is not None:
                    pipe.close()
        self.running.clear()
        self.network.remove()
        if self.places.state.exists():
            remove_tree(self.places.state)

    def folder(self, name: str) -> Path:
        """A host's own folder."""
        path = self.places.node(name)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def log(self, name: str) -> Path:
        """What a host's process has written."""
        return self.folder(name) / "log"

    def spawn(
        self,
        name: str,
        argv: Sequence[str],
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Running:
        """Start a host's process; it writes into its log unless `stdout` says otherwise."""
        with self.log(name).open("ab") as log:
            self.running[name] = running = subprocess.Popen(
                ["ip", "netns", "exec", self.hosts[name].namespace, *argv],
                stdin=stdin,
                stdout=log if stdout is None else stdout,
                stderr=subprocess.STDOUT if stdout is None else log,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        return running

    def kill(self, name: str) -> None:
        """Kill -9 a host's process."""
        running = self.running.pop(name)
        running.kill()
        running.wait()

    def inside(self, name: str, do: Callable[[], None]) -> None:
        """Run a function in a host's namespace."""
        within(self.hosts[name].namespace, do)

    # --- counting

    def traffic(self) -> dict[str, Traffic]:
        """What each host's interface has carried: whole Ethernet frames."""
        return {name: self.network.traffic(host) for name, host in self.hosts.items()}

    def idle(self, seconds: float) -> tuple[float, float, float]:
        """Bytes a second that a host sends and receives, and the share of one core that its process takes; all on average."""
        before, ran, began = self.traffic(), self._ran(), time.monotonic()
        time.sleep(seconds)
        after, run, took = self.traffic(), self._ran(), time.monotonic() - began
        many = len(self.hosts) * took
        return (
            sum(after[n].tx_bytes - before[n].tx_bytes for n in self.hosts) / many,
            sum(after[n].rx_bytes - before[n].rx_bytes for n in self.hosts) / many,
            (run - ran) / many,
        )

    def _ran(self) -> float:
        """Seconds of processor time that all processes have used."""
        return sum(ticks(r.pid) for r in self.running.values()) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> list[float]:
        """Resident memory of each host's process, in MB."""
        return [resident(running.pid) for running in self.running.values()]

    # --- cables

    def cut(self, name: str) -> float:
        """Pull a host's cable; when, by the monotonic clock."""
        self._cut.add(name)
        at = time.monotonic()
        self.network.cut(self.hosts[name].port)
        return at

    def heal(self) -> float:
        """Plug every cable in again."""
        self.network.heal([self.hosts[name] for name in sorted(self._cut)], sites=1)
        self._cut.clear()
        return time.monotonic()

    def divide(self, one: Sequence[str], other: Sequence[str]) -> None:
        """Let two groups of hosts hear nothing of each other."""
        for these, those in (one, other), (other, one):
            senders = ", ".join(self.hosts[name].address for name in those)
            for name in these:
                self.network.drop(
                    self.hosts[name],
                    f"ip saddr {{ {senders} }}",
                    outgoing=False,
                    count=None,
                    percent=100,
                )

    def unite(self) -> None:
        """End of the division, for all at one moment."""
        self.network.undrop(*self.hosts.values())


def resident(pid: int) -> float:
    """A process' resident memory, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def ticks(pid: int) -> int:
    """Clock ticks of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def until(holds: Callable[[], bool], seconds: float, what: str, *, every: float = 0.05) -> float:
    """Wait until something holds; how long it took.

    Raises: TimeoutError, if it does not.
    """
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(every)
    return time.monotonic() - began
