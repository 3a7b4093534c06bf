"""Twenty user agents, most of which find their node by SRV, when their node dies: when each calls again, and is called again.

The peer of the second figure is the same agent at the same death, had nobody taken its phone over: when it stood registered
elsewhere. PBXFED_BENCH_KILLS (4) nodes die, one after the other, each time the one with the most agents; every third time its
cable falls silent with it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from random import Random
from statistics import median

from lab.lab import Lab
from lab.places import CHECKOUT, Places
from tests.bench.table import Row, p99, spread
from tests.lab.agents import (
    BARESIP_TCP,
    BARESIP_UDP,
    SECOND,
    SRV_T1,
    SRV_TCP,
    SRV_UDP,
    Agent,
    Kind,
    enrol,
    plugged,
)
from tests.lab.conftest import Federation
from tests.lab.death import Survivor, death, revive

KILLS = int(os.environ.get("PBXFED_BENCH_KILLS", "4"))
CALLS, CALLED = 4.0, 5.0  # seconds: the bars
SRV_T1_100 = replace(SRV_T1, name="SRV by UDP, T1 100 ms", timers={"t1": 0.1, "patience": 6.4})
AT_ONCE = replace(BARESIP_UDP, name="baresip, SRV by UDP, that calls at once", later=0.0)
AGENTS = (
    *(SRV_UDP,) * 5,
    *(SRV_T1,) * 2,
    *(SRV_T1_100,) * 2,
    *(SRV_TCP,) * 4,
    *(SECOND,) * 4,
    BARESIP_UDP,
    AT_ONCE,
    BARESIP_TCP,
)
WHY = {
    SRV_T1_100.name: "64 × T1, as long as DNS or its memory of DNS names the dead: set T1 to 50 ms where it can be",
    AT_ONCE.name: "it asked within a second of the death, and waits 32 s (timer F), which cannot be set; two seconds later: above",
    SRV_TCP.name: "by TCP nobody can take it over; its keep-alive is what notices",
    BARESIP_TCP.name: "by TCP nobody can take it over; it notices at its own refresh, after 27 s of 30",
}


def rows() -> list[Row]:
    """Two rows for each kind of agent; by TCP two more for a node whose cable fell silent, too."""
    found: list[tuple[str, bool, Survivor]] = []
    lab = Lab(Places(CHECKOUT / ".lab-bench"))
    lab.down()
    try:
        lab.up(3, dns=True)
        federation = Federation(lab)
        federation.until(federation.whole, 60)
        with plugged(federation, AGENTS) as agents:
            for trial in range(KILLS):
                _stagger(federation, agents)
                power = trial % 3 == 2
                found += [
                    (one.agent.kind.name, power and one.agent.kind.transport == "tcp", one)
                    for one in death(federation, agents, power=power)
                ]
                revive(federation)
                print(f"  {trial + 1} of {KILLS} deaths", file=sys.stderr, flush=True)
    finally:
        lab.down()
    found.sort(key=lambda one: one[:2])
    told = []
    for (_, power), of in groupby(found, key=lambda one: one[:2]):
        told += _rows([one for _, _, one in of], power)
    return told


def _stagger(federation: Federation, agents: Sequence[Agent]) -> None:
    """Phones renew their registrations each at its own time, not all at once."""
    rng = Random(7)
    for agent in rng.sample(list(agents), len(agents)):
        if not agent.kind.foreign:
            enrol(federation, agent)
            time.sleep(0.8)


def _rows(of: Sequence[Survivor], power: bool) -> list[Row]:
    kind: Kind = of[0].agent.kind
    how = "node killed and its cable cut" if power else "node killed"
    called, again = [one.called for one in of], [one.again for one in of]
    placed = [one.calls for one in of]
    late = f" {kind.later:.0f} s later" if kind.later else " at that moment"
    reason = WHY.get(kind.name, "")
    return [
        Row(
            f"{how}: its phone dials{late} and talks, {kind.name}",
            spread(placed, "s", 2),
            "timer F, without a shorter one: 32 s (RFC 3261)",
            f"≤ {CALLS:g} s",
            p99(placed) <= CALLS,
            f"{32 / median(placed):.2g}",
            reason,
        ),
        Row(
            f"{how}: its phone is called again, {kind.name}",
            spread(called, "s", 2),
            f"registered anew: {spread(again, 's', 2)}",
            f"≤ {CALLED:g} s",
            p99(called) <= CALLED,
            f"{median(again) / median(called):.2g}",
            reason,
        ),
    ]
