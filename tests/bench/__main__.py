"""make bench: the numbers of this machine, each beside what its peers take in the same run.

Prints a table and keeps it as `tests/bench/results.md`. Bars are DESIGN's; a missed one is printed as missed, with the reason.
PBXFED_BENCH_ONLY=lan3,join runs some measures, prints their rows and keeps nothing.
"""

from __future__ import annotations

import logging
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from lab.places import CHECKOUT, LOCKS, Places, locked
from tests.bench import (
    asterisks,
    decisions,
    elsewhere,
    finding,
    hundred,
    joining,
    lan,
    load,
    lossy,
    memory,
    outages,
    reconcile,
    simulated,
    wan,
)
from tests.bench.table import Row, table

MEASURES: dict[str, Callable[[], list[Row]]] = {
    "decisions": decisions.rows,
    "calls": asterisks.calls,
    "load": load.rows,
    "lan3": lan.three,
    "lan32": lan.thirty_two,
    "lan100": hundred.rows,
    "lossy3": lossy.three,
    "lossy32": lossy.thirty_two,
    "join": joining.rows,
    "reconcile": reconcile.rows,
    "memory": memory.rows,
    "wan": wan.rows,
    "simulated": simulated.rows,
    "deaths": asterisks.deaths,
    "outages": outages.rows,
    "elsewhere": elsewhere.rows,
    "finding": finding.rows,
    "naming": asterisks.naming,
}
ABOUT = """All nodes of a row share this machine. Bytes are whole Ethernet frames by the kernel's counters at each host's
interface, each counted once, where it is sent. Serf (Debian's, encrypted, LAN profile, user events of 64 B), NATS
(Debian's server on a host of its own, nats-py; 64 B, not encrypted) and zenoh (TCP mesh, multicast scouting; 64 B, not
encrypted) run on the same hosts and switch, one after the other, in the same run; what is marked as published was not
measured here. Where there are fewer than a hundred trials, p99 is the worst."""
RESULTS = Path(__file__).with_name("results.md")


def main() -> int:
    """Measure; 0 if every bar was met, 2 if a measure has no such name."""
    if sys.argv[1:]:
        print(f"{__doc__}\nThe measures: {', '.join(MEASURES)}.", file=sys.stderr)
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    wanted = [name for name in os.environ.get("PBXFED_BENCH_ONLY", "").split(",") if name]
    if unknown := [name for name in wanted if name not in MEASURES]:
        print(f"no measure {unknown[0]!r}: there are {', '.join(MEASURES)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _stop)
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # a killed daemon hangs up
    rows: list[Row] = []
    load = os.getloadavg()[0]
    with locked(LOCKS / f"pbxfed-bench-{Places(CHECKOUT).prefix}"):
        for name in wanted or MEASURES:
            began = time.monotonic()
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            found = MEASURES[name]()
            rows += found
            print(table(found), file=sys.stderr, flush=True)
            print(f"  {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    text = table(rows)
    print(text)
    if not wanted:
        RESULTS.write_text(f"# Results\n\n{_machine(load)}\n{ABOUT}\n\n{text}\n")
    return 0 if all(row.met for row in rows) else 1


def _stop(number: int, frame: FrameType | None) -> None:
    sys.exit(1)  # an exception: every `with` cleans up


def _machine(load: float) -> str:
    """`load`: the load average before the run, that of other work."""
    day, cores, system = time.strftime("%Y-%m-%d"), os.cpu_count(), platform.release()
    python = platform.python_version()
    return f"{cores} cores, Linux {system}, Python {python}, {day}; load average {load:.1f} from other work."


if __name__ == "__main__":
    sys.exit(main())
