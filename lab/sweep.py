"""What a lab leaves behind, removed, whatever became of it: its processes, its network, its folder."""

from __future__ import annotations

import signal

from lab import process
from lab.netns import Network
from lab.places import Places
from lab.process import Process
from lab.root import remove_tree


def sweep(places: Places, network: Network) -> None:
    """Remove whatever carries the lab's name: recorded processes, then anything in its namespaces."""
    if places.run.is_dir():
        for record in places.run.iterdir():
            process.kill_recorded(record)
    for pid in network.pids():
        if found := Process.of(pid):
            found.signal(signal.SIGKILL, wait=10)
    network.remove()
    if places.state.exists():
        remove_tree(places.state)
