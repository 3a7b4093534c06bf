"""The room of the sensors: each is read again and again, and its reading moves its gauge (core/membership/health.py)."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

from pbxfed_ari.core.effects import Effect
from pbxfed_ari.core.membership.health import Gauge, Health, Reading

SLOW = 10.0  # seconds; sensors that are read less often begin at some time within the first pause, not all at once
log = logging.getLogger(__name__)

Read = Callable[[], Awaitable[Reading | str]]


@dataclass(frozen=True, slots=True)
class Sensor:
    """What is read, how often, and what it means."""

    gauge: Gauge
    every: float  # seconds
    read: Read  # or why nothing can be read, for now
    hurry: float = 0.0  # the same as long as it costs something, the calm before it is believed included; 0: as always


class SensorRoom:
    """Reads all sensors, from `run()` on."""

    def __init__(
        self,
        sensors: Sequence[Sensor],
        *,
        perform: Callable[[Iterable[Effect]], None],
        rng: Random,
    ) -> None:
        self.health = Health(sensor.gauge for sensor in sensors)
        self.unread: dict[str, str] = {}  # which sensors cannot be read, and why
        self._sensors = sensors
        self._perform = perform
        self._rng = rng

    def __repr__(self) -> str:
        return f"SensorRoom({self.health!r})"

    async def run(self) -> None:
        """Read, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for sensor in self._sensors:
                group.create_task(self._watch(sensor), name=f"sensor {sensor.gauge.name}")

    async def _watch(self, sensor: Sensor) -> None:
        if sensor.every > SLOW:
            await asyncio.sleep(sensor.every * self._rng.random())
        while True:
            pause = await self._read(sensor)
            await asyncio.sleep(pause)

    async def _read(self, sensor: Sensor) -> float:
        """Read it once. Returns in how many seconds to read it again."""
        name = sensor.gauge.name
        try:
            found = await sensor.read()
        except OSError as error:  # there are too many open files, as a rule
            found = error.strerror or str(error)
        except Exception as error:  # a mistake of ours must not end the others
            log.exception("sensor %s", name)
            found = f"{type(error).__name__}: {error}"
        if isinstance(found, str):
            self.unread[name] = found
            reading = None
        else:
            self.unread.pop(name, None)
            reading = found
        self._perform(self.health.read(name, reading, time.monotonic()))
        return sensor.hurry if sensor.hurry and self.health.costs()[name] else sensor.every
