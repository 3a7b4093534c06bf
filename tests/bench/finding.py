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
OWN = {  # of those that nobody can take over: when they notice it themselves
    SRV_TCP.name: 22.0,  # a keep-alive every 20 s, and 2 s of silence
    BARESIP_TCP.name: 30.0,  # it registers for 30 s
}
SRV_T1_100 = replace(SRV_T1, name="SRV by UDP, T1 100 ms", timers={"t1": 0.1, "patience": 6.4})
AT_ONCE = replace(BARESIP_UDP, name="baresip, SRV by UDP, at once", later=0.0)
AGENTS = (
    *(SRV_UDP,) * 4,
    *(SRV_T1,) * 2,
    *(SRV_T1_100,) * 2,
    *(SRV_TCP,) * 3,
    *(SECOND,) * 3,
    *(BARESIP_UDP,) * 2,
    *(AT_ONCE,) * 2,
    *(BARESIP_TCP,) * 2,
)
WHY = {
    SRV_T1_100.name: "64 times T1, while it remembers the dead from DNS: 40 ms where that can be set",
    BARESIP_TCP.name: "a connection to who is silent is tried for 32 s, which cannot be set",
    AT_ONCE.name: "DNS named the dead for a second more; its 32 s cannot be set. Four seconds later: above",
}


def rows() -> list[Row]:
    """Two rows for each kind of agent; by TCP two more for a node whose cable fell silent, too."""
    found: dict[tuple[str, bool], list[Survivor]] = {}
    for name in dict.fromkeys(kind.name for kind in AGENTS):
        found |= {(name, False): [], (name, True): []}
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
                for one in death(federation, agents, power=power):
                    kind = one.agent.kind
                    found[kind.name, power and kind.transport == "tcp"].append(one)
                revive(federation)
                print(f"  {trial + 1} of {KILLS} deaths", file=sys.stderr, flush=True)
    finally:
        lab.down()
    return [row for (_, power), of in found.items() if of for row in _rows(of, power)]


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
    reason, limit = WHY.get(kind.name, ""), OWN.get(kind.name, CALLED)
    return [
        Row(
            f"{how}: {kind.name}, dials{late} and talks",
            spread(placed, "s", 2),
            "timer F, without a shorter one: 32 s (RFC 3261)",
            f"≤ {CALLS:g} s",
            p99(placed) <= CALLS,
            f"{32 / median(placed):.2g}",
            reason,
        ),
        Row(
            f"{how}: {kind.name}, is called again",
            spread(called, "s", 2),
            f"registered anew: {spread(again, 's', 2)}",
            f"≤ {limit:g} s",
            p99(called) <= limit,
            f"{median(again) / median(called):.2g}",
        ),
    ]
