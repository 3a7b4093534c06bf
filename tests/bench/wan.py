"""What a fact costs between sites: two sites of two nodes each, and a hub that both dial; whole frames at the edge of each.

TCP only, its acknowledgements apart, since the other way they often ride along. What flows without any facts (reports,
keepalives) is taken off by its rate.
"""

from __future__ import annotations

import time
from statistics import mean
from typing import Any

from lab.hub import PORT as NATS_PORT
from lab.hub import ensure_nats, options
from lab.netns import ETHERNET_HEADER
from tests.bench.daemons import Daemons, Settings
from tests.bench.ground import Ground
from tests.bench.spreading import EVERY, LATEST
from tests.bench.table import Row, spread

FACTS = range(3_000, 3_040)
SETTLE, IDLE = 8.0, 20.0  # seconds
ZENOH_PORT = 8782
PUBLISHED = {
    "zenoh": "zenoh with mTLS 119 for 16 B (published)",
    "nats": "NATS leaf node 153 for 64 B (published)",
}


def rows() -> list[Row]:
    """Each kind of link."""
    return [row for link in ("zenoh", "nats") for row in _link(link)]


def _link(link: str) -> list[Row]:
    with Ground(5) as ground:
        hub = ground.names[-1]
        address = ground.hosts[hub].address
        wan: dict[str, Any] = {"link": link}
        if link == "zenoh":
            wan["connect"] = [f"{address}:{ZENOH_PORT}"]
        else:
            wan["connect"] = [f"nats://{address}:{NATS_PORT}"]
        extra: dict[str, Settings] = {}
        for i, node in enumerate(ground.names):
            site = ("east", "west", "hub")[i // 2]
            extra[node] = {
                "node": {"site": site},
                "lan": {"group": f"239.255.77.{80 + i // 2}"},
                "wan": dict(wan),
            }
        nodes = ground.names if link == "zenoh" else ground.names[:-1]
        if link == "zenoh":
            extra[hub]["wan"]["listen"] = f"{address}:{ZENOH_PORT}"
        else:
            ground.spawn(hub, [str(ensure_nats()), *options(address)])
        _count_tcp(ground)
        with Daemons(ground, nodes, asterisks=nodes[:2], extra=extra) as daemons:
            daemons.start()
            time.sleep(SETTLE)
            return _measured(link, daemons)


def _measured(link: str, daemons: Daemons) -> list[Row]:
    ground = daemons.ground
    before, began = _edges(ground), time.monotonic()
    time.sleep(IDLE)
    quiet, mid = _edges(ground), time.monotonic()
    for i, fact in enumerate(FACTS):
        daemons.tell(daemons.nodes[i % 2], str(fact))
        time.sleep(EVERY)
    time.sleep(LATEST)
    after, ended = _edges(ground), time.monotonic()
    idle = {key: (quiet[key] - before[key]) / (mid - began) for key in before}
    cost = {
        key: (after[key] - quiet[key] - idle[key] * (ended - mid)) / len(FACTS) for key in before
    }
    east, west = ground.names[:2], ground.names[2:4]
    up, acked = sum(cost[n, "tx"] for n in east), sum(cost[n, "rx"] for n in east)
    down = sum(cost[n, "rx"] for n in west)
    delays: list[float] = []
    for fact in FACTS:
        heard, told = daemons.heard(str(fact)), daemons.told(str(fact))
        delays += [(heard[n] - told) * 1_000 for n in west if n in heard]
    share = len(delays) / (len(FACTS) * len(west)) * 100
    sent = mean(idle[n, "tx"] for n in (*east, *west))
    return [
        Row(
            f"one registration, over one WAN edge, {link}",
            f"{up:.0f} B up, {down:.0f} B down at the other site; acknowledged with {acked:.0f} B",
            PUBLISHED[link],
            "≤ 170 B",
            max(up, down) <= 170,
            why="a stretch names its origin and epoch, which a Delta on the LAN leaves to its session",
        ),
        Row(
            f"a registration told, known at another site, {link}",
            f"{spread(delays, 'ms')}; {share:.2f} % delivered",
            "zenoh 0.9 ms and the round trip (published)",
            "p99 ≤ 50 ms, 100 %",
            share == 100 and max(delays) <= 50,
        ),
        Row(
            f"idle, a node sends on its WAN link, {link}",
            f"{sent:.0f} B/s on average of forwarders and those that stand by",
            "zenoh 54 to 63, NATS 28 B/s (published)",
            "≤ 80 B/s",
            sent <= 80,
            why="a report every 5 s, and keepalives also of the links that stand by",
        ),
    ]


def _count_tcp(ground: Ground) -> None:
    """Count TCP at each switch port, both ways."""
    for host in ground.hosts.values():
        hook = f"device {host.port} priority"
        ground.network._nft(f"""table netdev tcp_{host.port.replace("-", "_")} {{
  counter tx {{ }}
  counter rx {{ }}
  chain tx {{ type filter hook ingress {hook} -30; meta l4proto tcp counter name tx; }}
  chain rx {{ type filter hook egress {hook} -30; meta l4proto tcp counter name rx; }}
}}""")


def _edges(ground: Ground) -> dict[tuple[str, str], int]:
    """Bytes of TCP that each host but the hub has sent and received: (host, "tx" or "rx") → bytes."""
    found: dict[tuple[str, str], int] = {}
    tables = {f"tcp_{h.port.replace('-', '_')}": name for name, h in ground.hosts.items()}
    for item in ground.network._listing("counters"):
        counter = item.get("counter")
        if counter and tables.get(counter["table"], ground.names[-1]) != ground.names[-1]:
            ethernet = ETHERNET_HEADER * counter["packets"] if counter["name"] == "tx" else 0
            found[tables[counter["table"]], counter["name"]] = counter["bytes"] + ethernet
    return found
