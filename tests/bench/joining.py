"""An empty node joins two that know much: what it receives and sends for each extension, and how long it takes."""

from __future__ import annotations

import shutil
import threading
import time
from statistics import median

from lab.lab import Lab
from pbxfed_ari.core.records.objects.extension import EXTENSION
from tests.bench.daemons import Daemons
from tests.bench.ground import Ground, until
from tests.bench.seed import seed
from tests.bench.table import Row
from tests.lab.conftest import Federation, a_lab

IDLE = 5.0  # seconds, to know what flows anyway
LATEST = 120.0  # seconds
MANY = 10_000


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
    return [*found, _sha256(), _donors_calls()]


def _sha256() -> Row:
    """DESIGN counts 34 B for such a digest."""
    return Row(
        "join, a SHA-256 digest for each extension",
        "none is kept",
        "none that runs here",
        "≤ +34 B",
        False,
        why="Asterisk 22.10.1 refuses a pushed auth that has a SHA-256 digest alone (400): digests are MD5",
    )


def _donors_calls() -> Row:
    """Setup of calls inside a node that knows 10,000 extensions, without and with a joiner that gets them all."""
    with a_lab("bench", 3, unread=["load"], forked=False) as lab:
        federation = Federation(lab, "abc")
        federation.until(federation.whole, 60)
        for number in "1001", "1002":
            federation.add(number)
            lab.register(number, "a")
        file = lab.places.state / "many.csv"
        lines = (f"{n},Phone {n},correct-horse-9" for n in range(20_000, 20_000 + MANY))
        file.write_text("\n".join(["extension,name,secret", *lines]))
        lab.pbxfed("a", "ext", "import", str(file))
        federation.until(federation.whole, 300, what="ten thousand everywhere")
        quiet = _setups(lab, 40)
        lab.kill("c", "daemon")
        shutil.rmtree(lab.node("c").folder / "state")
        joiner = threading.Thread(target=lab.start, args=("c", "daemon"))
        joiner.start()
        busy = _setups(lab, 40)
        joiner.join()
    added = median(busy) - median(quiet)
    return Row(
        f"setup time added to a donor's calls while a node joins {MANY:,} extensions",
        f"{added:+.1f} ms (median {median(quiet):.1f} before, {median(busy):.1f} meanwhile; no call failed)",
        "none that runs here",
        "≤ 3 ms",
        added <= 3,
    )


def _setups(lab: Lab, calls: int) -> list[float]:
    """One that fails raises."""
    found = []
    for _ in range(calls):
        dialled = lab.dial("1001", "1002")
        found.append(dialled.setup_ms)
        lab.hang_up(dialled)
        time.sleep(0.05)
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
