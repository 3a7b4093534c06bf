"""Calls by the hundred: how many a second, how long their setup takes, and what they cost the daemon.

Each way is measured at a small rate for setup and cost; then, in ROUNDS, for the highest rate (STEPS) at which for
PBXFED_BENCH_SECONDS (8) no call fails and 95 of 100 are set up within half a second. The machine is not as fast in one minute
as in the next: a way and its peer climb step by step in turn, and what counts is the median of the rounds' ratios. SIPp,
both Asterisks and both daemons share the machine.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from statistics import median

from lab.lab import Lab
from lab.load import Load, Outcome
from lab.process import Process
from tests.bench import dundi
from tests.bench.asterisks import OWNED, PLAIN
from tests.bench.table import Row
from tests.lab.conftest import SECRET, Federation, a_lab
from tests.lab.furnishing import channels

SECONDS = float(os.environ.get("PBXFED_BENCH_SECONDS", "8"))
STEPS = list(range(20, 201, 10))  # calls a second
ROUNDS = int(os.environ.get("PBXFED_BENCH_ROUNDS", "5"))
SLOW = 500.0  # ms
CALLERS = [str(number) for number in range(1001, 1011)]
HERE = [str(number) for number in range(1101, 1121)]  # registered at a
THERE = [str(number) for number in range(1201, 1221)]  # at b

TICKS = "SIPp measures in ticks of 4 ms; `calls` measures in microseconds"
SLOWER = f"{OWNED}; it is there for what needs an owner"
COST = "six events, an answer of ARI, a line of log: docs/decisions/0005 says what each takes"


@dataclass(frozen=True, slots=True)
class Way:
    """One way to connect a call."""

    name: str
    called: list[str]
    peer: str = ""  # the way that it is compared to
    bar: float = 0.0  # ms of setup added
    settings: dict[str, object] = field(default_factory=dict)  # [calls] of both daemons
    rate: float = 40.0  # at which setup and cost are measured


def _before(prefix: str, numbers: list[str]) -> list[str]:
    return [prefix + number for number in numbers]


SIP: dict[str, object] = {"trunks": ["sip", "iax2"], "control": "handover"}
IAX: dict[str, object] = {"trunks": ["iax2", "sip"], "control": "handover"}
BRIDGE: dict[str, object] = {"control": "bridge"}
WAYS = (
    Way("plain Dial, local", _before("9", HERE)),
    Way("handover, local", HERE, "plain Dial, local", 3.0, SIP),
    Way("bridge, local", HERE, "plain Dial, local", 3.0, SIP | BRIDGE, 12.0),
    Way("plain Dial, SIP", _before("8", THERE)),
    Way("DUNDi, SIP", _before("7", THERE), "plain Dial, SIP"),
    Way("handover, SIP", THERE, "plain Dial, SIP", 6.0, SIP),
    Way("bridge, SIP", THERE, "plain Dial, SIP", 6.0, SIP | BRIDGE, 12.0),
    Way("plain Dial, IAX2", _before("6", THERE)),
    Way("handover, IAX2", THERE, "plain Dial, IAX2", 6.0, IAX),
    Way("bridge, IAX2", THERE, "plain Dial, IAX2", 6.0, IAX | BRIDGE, 12.0),
)


@dataclass(slots=True)
class Found:
    """What was measured of a way."""

    way: Way
    small: Outcome
    cpu: float  # ms of both daemons for a call, beyond what they take when idle
    rounds: list[int] = field(default_factory=list)  # what was sustained in each; 0: no step
    costs: list[float] = field(default_factory=list)  # ms of CPU for a call at that rate, in each
    beyond: str = ""  # what happened at the step above

    @property
    def sustained(self) -> float:
        """The median round."""
        return median(self.rounds) if self.rounds else 0

    @property
    def busy(self) -> float:
        """CPU of a call in ms, at what each round sustained."""
        return median(self.costs) if self.costs else 0.0


class Ground:
    """Two nodes, the phones, and the load."""

    def __init__(self, federation: Federation, load: Load) -> None:
        self.federation, self.load = federation, load
        self.settings: dict[str, object] = {}
        self.idle = self._cpu_of(3.0)

    @classmethod
    @contextlib.contextmanager
    def up(cls) -> Iterator[Ground]:
        """Made, and removed afterwards."""
        extra = dundi.files()
        extra["extensions.conf"] = PLAIN + extra["extensions.conf"]
        with a_lab("bench", 2, extra=extra, unread=["load"], forked=False) as lab:
            dundi.start(lab)
            federation = Federation(lab, "ab")
            federation.until(federation.whole, 60)
            rows = (f"{n},Load {n},{SECRET}" for n in (*CALLERS, *HERE, *THERE))
            file = lab.places.state / "load.csv"
            file.write_text("\n".join(["extension,name,secret", *rows]))
            lab.pbxfed("a", "ext", "import", str(file))
            federation.until(federation.whole, 60)
            load = Load(lab)
            load.answer("a", HERE, SECRET)
            load.answer("b", THERE, SECRET)
            at = dict.fromkeys(HERE, "a") | dict.fromkeys(THERE, "b")
            for node in "ab":
                federation.until(
                    lambda n=node: all(federation.where(one, n) == [at[one]] for one in at)  # type: ignore[misc]
                )
            try:
                yield cls(federation, load)
            finally:
                load.stop()

    def set(self, settings: dict[str, object]) -> None:
        """[calls] of both daemons, where it is another than before."""
        if changed := {k: v for k, v in settings.items() if self.settings.get(k) != v}:
            for key, value in changed.items():
                for node in "ab":
                    self.federation.lab.configure(node, "calls", key, value)
            self.settings |= changed
            time.sleep(0.5)

    def calls(self, way: Way, rate: float, seconds: float) -> Outcome:
        """A load, and then rest until all of it has gone."""
        found = self.load.call(
            "a", CALLERS, way.called, SECRET, rate=rate, seconds=seconds, hold=2.0
        )
        self.federation.until(lambda: all(channels(self.federation, n) == 0 for n in "ab"), 40)
        return found

    def cost(self, way: Way) -> Found:
        """Setup and CPU at the small rate."""
        self.set(way.settings)
        self.calls(way, 5, 1)  # both sides are warm
        return Found(way, *self._with_cpu(way, way.rate))

    def climb(self, found: Found) -> Iterator[None]:
        """A round: the highest step that is sustained, by halves; later rounds begin where the one before has ended.

        Yields after each step, for others to take one of theirs.
        """
        tried: dict[int, float] = {
            -1: found.cpu
        }  # step → ms of CPU for a call, if it was sustained

        def good(step: int) -> bool:
            if step in tried or not 0 <= step < len(STEPS):
                return step in tried
            self.set(found.way.settings)
            outcome, cost = self._with_cpu(found.way, STEPS[step])
            print(f"  {found.way.name}: {outcome}", file=sys.stderr, flush=True)
            if outcome.failed or outcome.worst(95) > SLOW:
                found.beyond = str(outcome)
                return False
            tried[step] = cost
            return True

        if found.rounds:
            low = STEPS.index(found.rounds[-1]) if found.rounds[-1] else 0
            while not good(low):
                low -= 1
                yield
            while good(low + 1):
                low += 1
                yield
        else:
            low, high = -1, len(STEPS)
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if good(middle) else (low, middle)
                yield
        found.rounds.append(STEPS[low] if low >= 0 else 0)
        found.costs.append(tried[low])

    def _with_cpu(self, way: Way, rate: float) -> tuple[Outcome, float]:
        """Calls, and what each of them cost."""
        began, before = time.monotonic(), self._cpu()
        outcome = self.calls(way, rate, SECONDS)
        spent = self._cpu() - before - self.idle * (time.monotonic() - began)
        return outcome, spent / max(1, outcome.made) * 1_000

    def _cpu(self) -> float:
        """Seconds that both daemons have taken."""
        return sum(cpu(self.federation.lab, node) for node in "ab")

    def _cpu_of(self, seconds: float) -> float:
        before = self._cpu()
        time.sleep(seconds)
        return (self._cpu() - before) / seconds


def cpu(lab: Lab, node: str) -> float:
    """Seconds of CPU that a node's daemon has taken."""
    found = Process.load(lab.places.run / f"{node}.daemon")
    assert found is not None
    fields = Path(f"/proc/{found.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rows() -> list[Row]:
    """Setup, cost and rate of each way."""
    names = [name for name in os.environ.get("PBXFED_BENCH_WAYS", "").split(";") if name]
    ways = [way for way in WAYS if not names or way.name in names]
    with Ground.up() as ground:
        lookups = [dundi.looked_up(ground.federation.lab, f"7{n}") for n in THERE]
        found = {}
        for way in ways:
            found[way.name] = ground.cost(way)
            small = found[way.name]
            print(f"  {way.name}: {small.small}, {small.cpu:.2f} ms", file=sys.stderr, flush=True)
        for peer in [one for one in found.values() if not one.way.peer]:
            beside = [one for one in found.values() if one.way.peer == peer.way.name]
            for _ in range(ROUNDS):
                climbs = [ground.climb(one) for one in (peer, *beside)]
                for _ in zip_longest(*climbs):
                    pass
    asked = f"DUNDi lookups that no cache answers: {sorted(lookups)[len(lookups) // 2]:.0f} ms"
    print(f"  {asked}", file=sys.stderr, flush=True)
    return [
        row
        for one in found.values()
        if one.way.peer in found
        for row in _rows(one, found[one.way.peer])
    ]


def _rows(found: Found, peer: Found) -> list[Row]:
    way = found.way
    ours, bridged = bool(way.settings), way.settings.get("control") == "bridge"
    ratios = [mine / its for mine, its in zip(found.rounds, peer.rounds, strict=False) if its]
    ratio = median(ratios) if ratios else 0.0
    added = found.small.setup - peer.small.setup
    rows = [
        Row(
            f"setup time added, {way.name} ({way.rate:g} calls/s)",
            f"{added:.1f} ms ({found.small.setup:.1f})",
            f"{peer.way.name} {peer.small.setup:.1f} ms",
            f"≤ {way.bar:g} ms" if ours else "none: a peer",
            not ours or added <= way.bar,
            f"{peer.small.setup / found.small.setup:.2g}",
            SLOWER if bridged else TICKS,
        )
    ]
    if ours:
        daemons = 1 if "local" in way.name else 2
        busy = 0.0 if bridged else found.busy  # beyond 20/s few are bridged
        cost, rate = busy or found.cpu, found.sustained if busy else way.rate
        rows.append(
            Row(
                f"a daemon's CPU for a call, {way.name} ({rate:g} calls/s)",
                f"{cost / daemons:.2f} ms ({found.cpu / daemons:.2f} at {way.rate:g}/s)",
                f"of a plain call's events alone {((busy and peer.busy) or peer.cpu) / daemons:.2f} ms",
                "none: the bar is for handover" if bridged else "≤ 1 ms",
                bridged or cost / daemons <= 1.0,
                "",
                COST,
            )
        )
    rows.append(
        Row(
            f"calls a second sustained, {way.name}{', handed over beyond 20/s' if bridged else ''}",
            _listed(found.rounds),
            f"{peer.way.name} {_listed(peer.rounds)}",
            "≥ 0.80 of it" if ours else "none: a peer",
            not ours or ratio >= 0.8,
            f"{1 / ratio:.2g}" if ratio else "",
            found.beyond,
        )
    )
    return rows


def _listed(rounds: list[int]) -> str:
    return f"{median(rounds):g} ({', '.join(map(str, rounds))})" if rounds else "not measured"
