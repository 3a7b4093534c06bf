"""Twenty user agents, most of which find their node by SRV, when their node dies: when each calls again, and is called again.

Each dials at the moment of the death, the worst one: DNS names the dead until all have noticed (the rows `dig names it no
more`); who looks it up later is not sent there. Who hears nothing of a baresip for two seconds hangs up and dials again; the
rows of those who wait instead stand beside them, without a bar.

The peer of the second figure is the same agent at the same death, had nobody taken its phone over: when it stood registered
elsewhere. PBXFED_BENCH_KILLS (4) nodes die, one after the other, each time the one with the most agents; every other time its
cable falls silent with it.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from statistics import median

from tests.bench.table import NONE, Row, p99, spread
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
from tests.lab.conftest import Federation, a_lab
from tests.lab.death import Survivor, death, revive

KILLS = int(os.environ.get("PBXFED_BENCH_KILLS", "4"))
CALLS, CALLED = 4.0, 5.0  # seconds: the bars
OWN = {  # of those that nobody can take over: when they notice it themselves
    SRV_TCP.name: 22.0,  # a keep-alive every 20 s, and 2 s of silence
    BARESIP_TCP.name: 30.0,  # it registers for 30 s
}
WAITS = (
    replace(BARESIP_UDP, name=f"{BARESIP_UDP.name}, who waits", redials=math.inf),
    replace(BARESIP_TCP, name=f"{BARESIP_TCP.name}, who waits", redials=math.inf),
)
AGENTS = (
    *(SRV_UDP,) * 3,
    *(SRV_T1,) * 2,
    *(SRV_TCP,) * 3,
    *(SECOND,) * 2,
    *(BARESIP_UDP,) * 3,
    *(BARESIP_TCP,) * 3,
    *WAITS * 2,
)
LATE = "its keep-alive and its patience are the 22 s; then it must still resolve and register"
WHY = (
    "no bar: it waits in one transaction, for 32 s that cannot be set, "
    "and neither looks DNS up anew meanwhile nor has a second server"
)


def rows() -> list[Row]:
    """Two rows for each kind of agent, one for those who wait; of baresip and by TCP also for a cable that is cut."""
    found: dict[tuple[str, bool], list[Survivor]] = {}
    for name in dict.fromkeys(kind.name for kind in AGENTS):
        found |= {(name, False): [], (name, True): []}
    with a_lab("bench", 3, dns=True, unread=["load"], forked=False) as lab:
        federation = Federation(lab)
        federation.until(federation.whole, 60)
        with plugged(federation, AGENTS) as agents:
            for trial in range(KILLS):
                _stagger(federation, agents)
                power = trial % 2 == 1
                for one in death(federation, agents, power=power):
                    kind = one.agent.kind
                    apart = kind.foreign or kind.transport == "tcp"
                    found[kind.name, power and apart].append(one)
                revive(federation)
                print(f"  {trial + 1} of {KILLS} deaths", file=sys.stderr, flush=True)
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
    waits, limit = kind in WAITS, OWN.get(kind.name, CALLED)
    anew = "" if math.isinf(kind.redials) else f", again after {kind.redials:.0f} s,"
    dials = Row(
        f"{how}: {kind.name}, dials at that moment{anew} and talks",
        spread(placed, "s", 2),
        "timer F, without a shorter one: 32 s (RFC 3261)",
        NONE if waits else f"≤ {CALLS:g} s",
        waits or p99(placed) <= CALLS,
        f"{32 / median(placed):.2g}",
        WHY if waits else "",
    )
    if waits:
        return [dials]
    is_called = Row(
        f"{how}: {kind.name}, is called again",
        spread(called, "s", 2),
        f"registered anew: {spread(again, 's', 2)}",
        f"≤ {limit:g} s",
        p99(called) <= limit,
        f"{median(again) / median(called):.2g}",
        LATE if kind is SRV_TCP else "",
    )
    return [dials, is_called]
