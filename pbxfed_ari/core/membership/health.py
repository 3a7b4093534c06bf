"""Health: what a node's sensors read, as one score in tenths that does not flap, and the reasons in words.

A gauge says what a reading costs:

    reading    fine ───── poor ─ ─ ─ ─ bad ───▶
    costs      0          1    rising  most        tenths of the health

*Lasting.* It costs what it has cost at least during the last `after` seconds: a peak costs nothing.

*Hysteresis.* Worse is believed at once; better only after CALM seconds in which it was never worse. What becomes worse again
soon after waits twice as long, up to CALMEST, until it has been steady for STEADY seconds (route flap damping, RFC 2439, does
likewise). So a reading that goes to and fro costs its worst all the time, and peers hear of it once.

The costs of all gauges add up, to WORST at most: that is `sick` of core/membership/condition.py. Nothing here knows where a
reading comes from, or waits: each gauge moves when it is read, so it must be read again and again.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from pbxfed_ari.core.effects import Effect, Note, Tell
from pbxfed_ari.core.events import HealthChanged
from pbxfed_ari.core.membership.condition import WORST

CALM, CALMEST, STEADY = 10.0, 300.0, 600.0  # seconds


@dataclass(frozen=True, slots=True)
class Gauge:
    """What readings of one kind mean. If `bad` is below `poor`, less is worse."""

    name: str
    thing: str  # how a reason begins: "ARI answers after"
    unit: str
    poor: float  # from here on it costs 1
    bad: float  # from here on it costs `most`
    most: int  # tenths, 1 to WORST
    remedy: str
    after: float = 0.0  # seconds that it must last

    def cost(self, value: float) -> int:
        """What a reading costs, in tenths."""
        sign = 1.0 if self.bad >= self.poor else -1.0
        over, span = sign * (value - self.poor), sign * (self.bad - self.poor)
        if over < 0:
            return 0
        if over >= span:
            return self.most
        return 1 + int(over / span * (self.most - 1))


@dataclass(frozen=True, slots=True)
class Reading:
    """What a sensor found. The texts say it better than figures with a unit would; "" says it so."""

    value: float
    said: str = ""
    limit: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a node is not quite well."""

    gauge: Gauge
    reading: Reading
    costs: int

    @property
    def value(self) -> str:
        """What was read."""
        return self.reading.said or f"{self.reading.value:.3g} {self.gauge.unit}".rstrip()

    @property
    def limit(self) -> str:
        """From where on that is too much."""
        return self.reading.limit or f"{self.gauge.poor:g} {self.gauge.unit}".rstrip()

    def __str__(self) -> str:
        said = f"{self.gauge.thing} {self.value} (limit {self.limit})"
        return f"{said}, costs {self.costs} of {WORST}; {self.gauge.remedy}"


@dataclass(slots=True)
class _Needle:
    """Where a gauge stands."""

    gauge: Gauge
    costs: int = 0  # what counts
    worst: Reading | None = None  # the last one that cost something
    calm: float = CALM
    _readings: deque[tuple[float, int]] = field(default_factory=deque)
    _better: tuple[float, int] | None = None  # since when, and the most it has cost meanwhile
    _fell: float | None = None  # when it last became better, until it is worse again

    def move(self, reading: Reading | None, now: float) -> None:
        """It was read; None: there is nothing to be read any more."""
        cost = 0 if reading is None else self.gauge.cost(reading.value)
        if cost:
            self.worst = reading
        if reading is None:
            self._readings.clear()
        lasting = self._lasting(cost, now)
        if lasting >= self.costs:
            self._rise(lasting, now)
        else:
            self._fall(lasting, now)

    def _lasting(self, cost: int, now: float) -> int:
        """The least that it has cost in the last `after` seconds; 0 if it was not read for so long."""
        readings, since = self._readings, now - self.gauge.after
        readings.append((now, cost))
        while len(readings) > 1 and readings[1][0] <= since:
            readings.popleft()
        return min(cost for _, cost in readings) if readings[0][0] <= since else 0

    def _rise(self, lasting: int, now: float) -> None:
        if lasting > self.costs and self._fell is not None:
            steady = now - self._fell > STEADY
            self.calm = CALM if steady else min(2 * self.calm, CALMEST)
            self._fell = None
        self.costs, self._better = lasting, None

    def _fall(self, lasting: int, now: float) -> None:
        since, most = self._better or (now, lasting)
        most = max(most, lasting)
        self._better = (since, most)
        if now - since >= self.calm:
            self.costs, self._better, self._fell = most, None, now


class Health:
    """All gauges of a node."""

    def __init__(self, gauges: Iterable[Gauge]) -> None:
        self._needles = {gauge.name: _Needle(gauge) for gauge in gauges}
        self.sick = 0

    def __repr__(self) -> str:
        return f"Health({self.sick}, {', '.join(map(str, self.reasons()))})"

    @property
    def score(self) -> float:
        """1 is well, 0 is good for nothing."""
        return (WORST - self.sick) / WORST

    def costs(self) -> dict[str, int]:
        """What each gauge costs, by name."""
        return {name: needle.costs for name, needle in self._needles.items()}

    def reasons(self) -> list[Reason]:
        """What costs something, the dearest first."""
        found = [
            Reason(n.gauge, n.worst, n.costs)
            for n in self._needles.values()
            if n.costs and n.worst is not None
        ]
        return sorted(found, key=lambda reason: -reason.costs)

    def trouble(self) -> str:
        """All reasons in one line."""
        return " · ".join(str(reason) for reason in self.reasons())

    def read(self, name: str, reading: Reading | None, now: float) -> list[Effect]:
        """A sensor was read; None: it has nothing to say. What has changed by it is told."""
        needle = self._needles[name]
        before = needle.costs
        needle.move(reading, now)
        effects: list[Effect] = []
        if needle.costs and needle.worst is not None and not before:
            effects.append(_begun(Reason(needle.gauge, needle.worst, needle.costs)))
        elif before and not needle.costs:
            effects.append(Note("health reason over", (("sensor", name),)))
        sick = min(WORST, sum(needle.costs for needle in self._needles.values()))
        if sick != self.sick:
            self.sick = sick
            effects.append(Tell(HealthChanged(sick)))
        return effects


def _begun(reason: Reason) -> Note:
    fields = (
        ("sensor", reason.gauge.name),
        ("what", f"{reason.gauge.thing} {reason.value}"),
        ("limit", reason.limit),
        ("costs", reason.costs),
        ("remedy", reason.gauge.remedy),
    )
    return Note("health reason", fields, "warning")
