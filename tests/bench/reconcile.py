"""A LAN in two halves, edits on both sides, healed: what all nodes send until all hold the same, and how long that takes.

Heartbeats go on as ever and are taken off, by their number; what members ask each other to be sure that they live is counted.
"""

from __future__ import annotations

import time
from statistics import mean

import msgspec

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
                    f"{spread(sizes, 'B', 0)}; {mean(t[2] for t in trials):.0f} unicast copies among them",
                    "memberlist: all state each way, every 30 s; NATS: never (published)",
                    f"≤ {bar:,.0f} B",
                    max(sizes) <= bar,
                    why="each node asks each of those that it held for dead whether it lives: 32 questions, 32 answers",
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


def _trial(daemons: Daemons, many: int, name: str, beat: float) -> tuple[float, float, int]:
    """(bytes without heartbeats, seconds until the last node knew the last edit, unicast copies among them)."""
    ground = daemons.ground
    ground.divide(daemons.nodes[::2], daemons.nodes[1::2])
    time.sleep(APART)
    numbers = range(1_000, 1_000 + many)
    _edit(daemons, numbers, name)
    time.sleep(1.0)
    edited = {node: _applied(daemons, node) for node in daemons.nodes}
    before = [_exact(daemons, node) for node in daemons.nodes]
    ground.unite()
    healed = time.monotonic()
    until(daemons.whole, LATEST, "equal after the partition", every=0.3)
    time.sleep(AFTER)
    after = [_exact(daemons, node) for node in daemons.nodes]
    size = sum(a[0] - b[0] for a, b in zip(after, before, strict=True))
    beats = sum(a[1] - b[1] for a, b in zip(after, before, strict=True))
    copies = sum(a[2] - b[2] for a, b in zip(after, before, strict=True))
    known = [_applied(daemons, node) for node in daemons.nodes]
    assert all(now[0] > edited[node][0] for node, now in zip(daemons.nodes, known, strict=True))
    return size - beats * beat, max(at for _, at in known) - healed, copies


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


def _exact(daemons: Daemons, node: str) -> tuple[int, int, int]:
    """(bytes sent, heartbeats sent, copies sent), of one moment."""
    ground = daemons.ground
    while True:
        before = ground.network.traffic(ground.hosts[node])
        sent = daemons.status(node)["counters"]["messages_sent"]
        if ground.network.traffic(ground.hosts[node]).tx_frames == before.tx_frames:
            return before.tx_bytes, sent["Heartbeat"], sent.get("Copy", 0)


def _heartbeat(ground: Ground) -> float:
    """Bytes of a heartbeat, on average over the nodes."""
    before = ground.traffic()
    time.sleep(3.0)
    after = ground.traffic()
    sizes = [
        (after[n].tx_bytes - before[n].tx_bytes) / (after[n].tx_frames - before[n].tx_frames)
        for n in after
    ]
    return mean(sizes)
