"""A LAN in two halves, edits on both sides, healed: what all nodes send until all hold the same, and how long that takes.

Heartbeats go on as ever; as many are taken off as would have been sent anyway, one a period. What members ask each other to be
sure that they live is counted, and so are the heartbeats that are sent earlier than they would have been.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from http.client import HTTPConnection
from math import floor
from statistics import mean

import msgspec

from lab.netns import Traffic
from pbxfed_ari.core.membership.timing import LAN
from pbxfed_ari.core.messages import BookSet
from tests.bench.daemons import Daemons, ask
from tests.bench.ground import Ground, until
from tests.bench.table import Row, spread

NODES = 8
DIFFERENCES = 16, 400
TRIALS = 3
APART = 3.0  # seconds: each half holds the other for dead
AFTER = 2.0  # seconds: what still belongs to it has been sent
LATEST = 30.0  # seconds


def rows() -> list[Row]:
    """Bytes and seconds for few and for many differences."""
    found = []
    with Ground(NODES) as ground, Daemons(ground, ground.names, asterisks=[]) as daemons:
        daemons.start()
        number = 1_000
        _edit(daemons, range(number, number + max(DIFFERENCES)), "first")
        until(daemons.whole, LATEST, "all hold the same", every=0.3)
        time.sleep(3.0)
        beat = _heartbeat(ground)
        for many in DIFFERENCES:
            trials = [_trial(daemons, many, f"{many} {i}", beat) for i in range(TRIALS)]
            sizes, times = [t[0] for t in trials], [t[1] for t in trials]
            bar = 600 + 6 * NODES + 1.1 * many * (_record() + 4)
            found.append(
                Row(
                    f"after a partition, {many} edits, {NODES} origins: the whole site sends",
                    f"{spread(sizes, 'B', 0)}; {mean(t[2] for t in trials):.0f} heartbeats earlier than else, "
                    f"{mean(t[3] for t in trials):.0f} questions to one",
                    "memberlist: all state each way, every 30 s; NATS: never (published)",
                    f"≤ {bar:,.0f} B",
                    max(sizes) <= bar,
                    why="a heartbeat that was lost, a comparison that two began at once, or a knock at a door came in between",
                )
            )
            found.append(
                Row(
                    f"after a partition, {many} edits, {NODES} origins: equal",
                    spread(times, "s", 2),
                    "Serf: members only; zenoh, NATS: what was said meanwhile is lost",
                    "≤ 2 s",
                    max(times) <= 2,
                )
            )
    return found


def _trial(daemons: Daemons, many: int, name: str, beat: float) -> tuple[float, float, int, int]:
    """(bytes beside the usual heartbeats, seconds until all know all, heartbeats that came early, questions to one node)."""
    ground = daemons.ground
    ground.divide(daemons.nodes[::2], daemons.nodes[1::2])
    time.sleep(APART)
    numbers = range(1_000, 1_000 + many)
    _edit(daemons, numbers, name)
    time.sleep(1.0)
    edited = {node: _applied(daemons, node) for node in daemons.nodes}
    beaten = [_heartbeat_of(daemons, node) for node in daemons.nodes]
    said, before, began = daemons.messages(), _sent(ground), time.monotonic()
    ground.unite()
    healed = time.monotonic()
    until(daemons.whole, LATEST, "equal after the partition", every=0.3)
    time.sleep(AFTER)
    after, ended = _sent(ground), time.monotonic()
    more = Counter(daemons.messages())
    more.subtract(said)
    usual = sum(
        floor((ended - at) / LAN.period) - floor((began - at) / LAN.period) for at in beaten
    )
    known = [_applied(daemons, node) for node in daemons.nodes]
    assert all(now[0] > edited[node][0] for node, now in zip(daemons.nodes, known, strict=True))
    size = after.tx_bytes - before.tx_bytes - usual * beat
    early = more["Heartbeat"] + more["RollCall"] - usual
    return size, max(at for _, at in known) - healed, early, more["Probe"]


def _edit(daemons: Daemons, numbers: range, name: str) -> None:
    """One field of each, at all nodes in turn."""
    links = [daemons.connect(node) for node in daemons.nodes]
    for number in numbers:
        body = {
            "name": f"{name} {number}",
            **({"secret": "correct-horse-9"} if name == "first" else {}),
        }
        ask(links[number % len(links)], "PUT", f"/extensions/{number}", body)
    for link in links:
        link.close()


def _record() -> float:
    """Bytes of one such edit on the wire."""
    edit = BookSet(b"x" + bytes(8), 3, (1 << 60) - 1, "", msgspec.msgpack.encode("400 4 1000"))
    return len(msgspec.msgpack.encode(edit))


def _applied(daemons: Daemons, node: str) -> tuple[int, float]:
    """How many records a node has applied, and when the last."""
    lines = [
        line for line in daemons.ground.log(node).read_text().splitlines() if " got id:" in line
    ]
    return len(lines), int(lines[-1].split()[0]) / 1e9


def _heartbeat_of(daemons: Daemons, node: str) -> float:
    """When it sent one: then it is known when the next ones would come."""
    with closing(daemons.connect(node)) as link:
        first = _beats(link)
        while _beats(link) == first:
            time.sleep(0.005)
    return time.monotonic()


def _beats(link: HTTPConnection) -> int:
    sent = ask(link, "GET", "/status")[1]["counters"]["messages_sent"]
    return int(sent["Heartbeat"] + sent.get("RollCall", 0))


def _sent(ground: Ground) -> Traffic:
    """The federation's frames of all nodes together."""
    counted = ground.network.counted()
    sent = [counted[host.port][0] for host in ground.hosts.values()]
    return Traffic(sum(t.tx_bytes for t in sent), sum(t.tx_frames for t in sent), 0, 0)


def _heartbeat(ground: Ground) -> float:
    """Bytes of one, on average."""
    before = _sent(ground)
    time.sleep(6.0)
    after = _sent(ground)
    return (after.tx_bytes - before.tx_bytes) / (after.tx_frames - before.tx_frames)
