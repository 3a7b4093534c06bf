"""An empty node joins two that know much: what it receives and sends for each extension, and how long it takes."""

from __future__ import annotations

import time

from pbxfed_ari.core.objects.extension import EXTENSION
from tests.bench.daemons import Daemons
from tests.bench.ground import Ground, until
from tests.bench.seed import seed
from tests.bench.table import Row

IDLE = 5.0  # seconds, to know what flows anyway
LATEST = 120.0  # seconds


def rows() -> list[Row]:
    """Joins of three sizes."""
    found = []
    for extensions, contacts, bar in (1_000, 0, 48), (10_000, 0, 48), (10_000, 10_000, 48 + 36):
        size, took, started = _join(extensions, contacts)
        what = f"join, {extensions:,} extensions" + f", {contacts:,} contacts" * bool(contacts)
        found.append(
            Row(
                what,
                f"{size:.0f} B an extension, {took:.1f} s (from the start of the process {started:.1f} s)",
                "memberlist: all state, each way, every 30 s (published)",
                f"≤ {bar} B, ≤ 3 s",
                size <= bar and took <= 3,
                why="each of an extension's three field groups is a record of its own, in frames filled before deflating",
            )
        )
    return found


def _join(extensions: int, contacts: int) -> tuple[float, float, float]:
    """Bytes an extension, both ways; seconds since it was alone, and since its process began."""
    with Ground(3) as ground:
        donor, other, joiner = ground.names
        seed(
            ground.folder(donor) / "state",
            donor,
            ground.hosts[donor].address,
            extensions,
            contacts,
        )
        with Daemons(ground, [donor, other], asterisks=[]) as daemons:
            daemons.start()
            daemons.configure(joiner)
            time.sleep(IDLE)
            idle = sum(ground.idle(IDLE)[:2]) * 3 / 2  # the third host is silent yet
            before = ground.traffic()[joiner]
            began = daemons.run(joiner)

            def knows_all() -> bool:
                text = ground.log(joiner).read_text()
                edits = text.count(f" got id:{EXTENSION.byte.hex()}")
                places = sum("@" in line for line in text.splitlines() if " got " in line)
                return edits >= 3 * extensions and places >= contacts

            until(knows_all, LATEST, f"{joiner} knows all", every=0.1)
            ended = _last(ground, joiner)
            window = time.monotonic() - began
            after = ground.traffic()[joiner]
            assert daemons.status(joiner)["extensions"] == extensions
        size = after.rx_bytes - before.rx_bytes + after.tx_bytes - before.tx_bytes
        return (
            (size - idle * window) / extensions,
            ended - _joined(ground, joiner),
            ended - began,
        )


def _last(ground: Ground, node: str) -> float:
    moments = [
        int(line.split()[0])
        for line in ground.log(node).read_text().splitlines()
        if " got " in line and line.split()[0].isdecimal()
    ]
    return max(moments) / 1e9


def _joined(ground: Ground, node: str) -> float:
    """When the node wrote that its name is its own."""
    ahead = time.time() - time.monotonic()
    for line in ground.log(node).read_text().splitlines():
        if " joined node=" in line:
            clock = time.mktime(time.strptime(line[:19], "%Y-%m-%d %H:%M:%S"))
            return clock + int(line[20:23]) / 1000 - ahead
    raise LookupError(f"{node} has not joined")
