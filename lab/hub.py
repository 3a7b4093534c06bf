"""How the lab's sites meet: over zenoh at a node of each of two sites, or over NATS at a hub of its own behind the router.

The NATS server is Debian's, as a file: nothing is installed, and no service of this machine is started.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import process
from lab.netns import NATS_PORT, ZENOH_PORT, Host, socket_in
from lab.package import taken
from lab.places import LabError, Places
from lab.process import Process

PACKAGE = "nats-server"
PORT = NATS_PORT
KINDS = ("none", "zenoh", "nats")
RENDEZVOUS = 2  # nodes that take the role, each of another site
HUB = "hub"
HUB_STARTS_WITHIN = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Hub:
    """The host with the NATS server."""

    host: Host
    places: Places

    @property
    def url(self) -> str:
        """What nodes dial."""
        return f"nats://{self.host.address}:{PORT}"

    @property
    def _record(self) -> Path:
        return self.places.run / HUB

    def up(self) -> bool:
        """Tell whether the server lives."""
        return Process.load(self._record) is not None

    def start(self) -> None:
        """Start the server, unless it runs, and wait until it takes connections."""
        if self.up():
            return
        log = self.places.state / "hub.log"
        server = [str(ensure_nats()), *options(self.host.address)]
        command = ["ip", "netns", "exec", self.host.namespace, *server]
        started = process.spawn(command, record=self._record, log=log)
        until = time.monotonic() + HUB_STARTS_WITHIN
        while True:
            with contextlib.suppress(OSError), socket_in(self.host.namespace) as link:
                link.connect((self.host.address, PORT))
                return
            if not started.alive() or time.monotonic() > until:
                raise LabError(f"the hub does not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """By kill -9."""
        process.kill_recorded(self._record)


def settings(
    kind: str, plan: Sequence[Mapping[str, Any]], nat: Collection[str], node: str, hub: Hub | None
) -> dict[str, Any]:
    """The [wan] section of one node. `plan` names node, site and address of each; sites in `nat` cannot be dialled."""
    if hub is not None:
        return {"link": kind, "connect": [hub.url]}
    if kind == "none":
        return {}
    first: dict[str, Mapping[str, Any]] = {}
    for one in plan:
        if one["site"] not in nat:
            first.setdefault(one["site"], one)
    rendezvous = {
        one["name"]: f"{one['address']}:{ZENOH_PORT}" for one in list(first.values())[:RENDEZVOUS]
    }
    listen = {"listen": rendezvous[node]} if node in rendezvous else {}
    return {"link": kind, "connect": list(rendezvous.values()), **listen}


def options(address: str) -> list[str]:
    """The server's arguments: one port, no monitoring, no state."""
    return ["--addr", address, "--port", str(PORT)]


def ensure_nats() -> Path:
    """The server's program: this machine's, or one taken out of Debian's package. Nothing is installed or started."""
    found = shutil.which(PACKAGE)
    return Path(found) if found else taken(PACKAGE, f"usr/sbin/{PACKAGE}")
