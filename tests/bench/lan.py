"""One LAN of N nodes: ours and each peer, one after the other on the same ground, through the same measures."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from functools import partial
from statistics import median

from tests.bench import fact_bytes
from tests.bench.avoiding import avoiding
from tests.bench.daemons import Daemons
from tests.bench.detection import Detection, detection
from tests.bench.ground import Ground
from tests.bench.peers.nats import Nats
from tests.bench.peers.serf import Serf
from tests.bench.peers.zenoh import Zenoh
from tests.bench.spreading import Spread, spreading
from tests.bench.system import System
from tests.bench.table import Row, compared, p99, spread

FACTS = range(2_000, 2_060)
ONE = [str(n) for n in range(1_001, 1_006)]
AFTERWARDS = [str(n) for n in range(1_011, 1_016)]
MANY = [str(n) for n in range(5_000, 5_040)]
SETTLE = 5.0  # seconds until what a start causes is over
IDLE = 10.0  # seconds of counting
OUR_CUTS, PEERS_CUTS = 10, 3
COLD = "a heartbeat is handled in some 25 µs; the rest is likely the waking of so many processes on shared cores"
SHARED = "all nodes of the row share this machine's cores"


@dataclass(slots=True)
class Measured:
    """One system on one LAN."""

    sent: float  # B/s a node, idle
    received: float
    cpu: float  # share of a core a node, idle
    memory: float  # MB a node
    spread: Spread
    detection: Detection = field(default_factory=Detection)


def rows(nodes: int, *, peers: tuple[type[System], ...], cuts: bool) -> list[Row]:
    """All that is measured on a LAN of so many nodes."""
    with Ground(nodes) as ground, Daemons(ground, ground.names) as daemons:
        _say(nodes, daemons)
        daemons.start()
        ours = measure(daemons)
        idle_messages = daemons.messages()
        registrations = fact_bytes.one_registration(daemons, ONE)
        edits = fact_bytes.one_edit(daemons, ONE[0], len(ONE))
        each = fact_bytes.many_registrations(daemons, MANY)
        late = {
            kind: count - idle_messages.get(kind, 0)
            for kind, count in daemons.messages().items()
            if kind in ("Want", "Piece", "Vector") and count > idle_messages.get(kind, 0)
        }
        if cuts:
            ours.detection = detection(daemons, OUR_CUTS)
            avoided = avoiding(daemons, OUR_CUTS)
            after = median(size for _, size in fact_bytes.one_registration(daemons, AFTERWARDS))
    others: dict[str, Measured] = {}
    for peer in peers:
        with Ground(nodes + (peer is Nats)) as ground:
            system = peer(ground, ground.names[:nodes])
            _say(nodes, system)
            system.start()
            others[peer.kind] = measure(system)
            if cuts and peer.fails:
                others[peer.kind].detection = detection(system, PEERS_CUTS)
    theirs = {kind: measured.spread.bytes for kind, measured in others.items()}
    repaired = f"; then {late}" if late else ""
    found = [
        compared(
            f"one registration, for the whole LAN, N = {nodes}",
            median(size for _, size in registrations),
            theirs,
            "B",
            100,
            found=_frames(registrations) + repaired,
        ),
        compared(
            f"one edited name, for the whole LAN, N = {nodes}",
            median(size for _, size in edits),
            theirs,
            "B",
            200,
            found=_frames(edits),
        ),
        compared(
            f"each of {len(MANY)} registrations in one go, N = {nodes}",
            each,
            theirs,
            "B",
            24,
            digits=1,
        ),
        _delivery(nodes, ours, others),
        *_idle(nodes, ours, others),
        _spreading(nodes, ours, others),
    ]
    if not cuts:
        return found
    again = compared(
        f"one registration, for the whole LAN, soon after cuts, N = {nodes}",
        after,
        theirs,
        "B",
        100,
        why="cuts were taken for lossy multicast: for a while what is multicast is copied by unicast too",
    )
    return [*found, again, *_detection(nodes, ours, avoided, others)]


three = partial(rows, 3, peers=(Serf, Nats, Zenoh), cuts=True)
thirty_two = partial(rows, 32, peers=(Serf, Nats, Zenoh), cuts=True)


def _frames(found: list[tuple[int, int]]) -> str:
    """The median one, and the largest if it is another."""
    frames, size = sorted(found, key=lambda f: f[1])[len(found) // 2]
    most = max(size for _, size in found)
    worst = f", once {most}" if most > size else ""
    return f"{size:,} B in {frames} frame{'s' * (frames > 1)}, median of {len(found)}{worst}"


def measure(system: System) -> Measured:
    """Idle, then facts."""
    time.sleep(SETTLE)
    sent, received, cpu = system.ground.idle(IDLE)
    memory = median(system.ground.memory())
    return Measured(sent, received, cpu, memory, spreading(system, FACTS, sent))


def _idle(nodes: int, ours: Measured, others: dict[str, Measured]) -> list[Row]:
    beside = {kind: m.sent for kind, m in others.items()}
    sent = compared(f"idle, a node sends, N = {nodes}", ours.sent, beside, "B/s", 180)
    beside = {kind: m.received for kind, m in others.items()}
    received = compared(f"idle, a node receives, N = {nodes}", ours.received, beside, "B/s", 24_000)
    beside = {kind: m.cpu * 100 for kind, m in others.items()}
    what = f"idle, share of one core a node takes, N = {nodes}"
    cpu = compared(what, ours.cpu * 100, beside, "%", 1, digits=2, why=COLD)
    beside = {kind: m.memory for kind, m in others.items()}
    memory = compared(f"memory of a node, N = {nodes}", ours.memory, beside, "MB", 75)
    return [sent, received, cpu, memory]


def _delivery(nodes: int, ours: Measured, others: dict[str, Measured]) -> Row:
    against = ", ".join(f"{k} {m.spread.share * 100:.2f}" for k, m in others.items())
    share = ours.spread.share * 100
    return Row(
        f"delivered within 2 s, {len(FACTS)} facts, N = {nodes}",
        f"{share:.2f} %",
        f"{against} %",
        "100 %",
        share == 100,
    )


def _spreading(nodes: int, ours: Measured, others: dict[str, Measured]) -> Row:
    against = "; ".join(f"{k} {_delays(m.spread)}" for k, m in others.items())
    middle = median(ours.spread.each_ms)
    ratio = ", ".join(f"{median(m.spread.each_ms) / middle:.2g}" for m in others.values())
    worst = p99(ours.spread.each_ms)
    return Row(
        f"a registration told, known by another node, N = {nodes}",
        f"{_delays(ours.spread)}",
        against,
        "p99 ≤ 50 ms",
        worst <= 50,
        ratio,
        SHARED,
    )


def _delays(found: Spread) -> str:
    return f"{spread(found.each_ms, 'ms')} (all: {median(found.all_ms):.1f})"


def _detection(
    nodes: int, ours: Measured, avoided: list[float], others: dict[str, Measured]
) -> list[Row]:
    theirs = {kind: m.detection for kind, m in others.items() if m.detection.all}
    found = [
        Row(
            f"cable pulled: another node sends no more calls there, N = {nodes}",
            spread(avoided, "s", 2),
            "none that runs here",
            "p99 ≤ 1.5 s",
            p99(avoided) <= 1.5,
        )
    ]
    for what, bar, values, beside in (
        ("the first says so", 2.5, ours.detection.first, {k: d.first for k, d in theirs.items()}),
        ("all say so", 2.5, ours.detection.all, {k: d.all for k, d in theirs.items()}),
        ("whole again", 2.0, ours.detection.again, {k: d.again for k, d in theirs.items()}),
    ):
        found.append(
            Row(
                f"cable pulled: {what}, N = {nodes}",
                spread(values, "s", 2),
                "; ".join(f"{k} {spread(v, 's', 2)}" for k, v in beside.items()),
                f"p99 ≤ {bar} s",
                p99(values) <= bar,
                ", ".join(f"{median(v) / median(values):.2g}" for v in beside.values()),
            )
        )
    return found


def _say(nodes: int, system: System) -> None:
    print(f"  {system.kind}, {nodes} nodes …", file=sys.stderr, flush=True)
