"""Which sensors a node has and what each reads. The limits are in sensors/gauges.py, rules in core/membership/health.py."""

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from random import Random

from pbxfed_ari.asterisk.lines import Lines
from pbxfed_ari.asterisk.objects import CANARY
from pbxfed_ari.asterisk.queues import alerted
from pbxfed_ari.asterisk.room import AsteriskRoom
from pbxfed_ari.config import Settings
from pbxfed_ari.core.effects import Effect
from pbxfed_ari.core.events import Address
from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.core.membership.health import Reading
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.objects.trunk import PstnTrunk
from pbxfed_ari.sensors import gauges, machine, options
from pbxfed_ari.sensors.checks import Check
from pbxfed_ari.sensors.clock import offset
from pbxfed_ari.sensors.disk import Disk
from pbxfed_ari.sensors.failures import Failures
from pbxfed_ari.sensors.options import NEVER
from pbxfed_ari.sensors.peers import Peers
from pbxfed_ari.sensors.room import Sensor, SensorRoom

PEER_EVERY = (
    120.0  # seconds: a question and an answer, 800 bytes, are 7 B/s of what a node sends at rest
)
NO_ASTERISK = "Asterisk is not connected"


class Sensing:
    """What the sensors of one node look at."""

    def __init__(
        self,
        settings: Settings,
        federation: Federation,
        room: AsteriskRoom,
        *,
        disk: Disk,
        perform: Callable[[Iterable[Effect]], None],
        rng: Random,
    ) -> None:
        self.settings = settings
        self.federation = federation
        self._asterisk = room
        self._disk = disk
        self.lateness = machine.Lateness()
        self.failures = Failures()
        self._lines = Lines(room.ari, self._own_trunks)
        self._sampled = Peers()
        self.room = SensorRoom(
            [one for one in self._sensors() if one.gauge.name not in settings.health.ignore],
            perform=perform,
            rng=rng,
        )
        self.health = self.room.health

    def _sensors(self) -> Iterator[Sensor]:
        yield Sensor(gauges.ARI, 1.0, _soon(self._ari))
        yield Sensor(gauges.SIP, 5.0, self._sip, hurry=1.0)
        yield Sensor(gauges.QUEUES, 5.0, self._queues, hurry=1.0)
        yield Sensor(gauges.TRUNKS, 15.0, self._trunks)
        yield Sensor(gauges.PEERS, PEER_EVERY, self._peers, hurry=10.0)
        yield Sensor(gauges.FAILURES, 5.0, _soon(self._failed))
        yield Sensor(gauges.LOAD, 5.0, _soon(machine.load))
        yield Sensor(gauges.LAG, 2.0, _soon(self.lateness.read))
        yield Sensor(gauges.MEMORY, 5.0, _soon(machine.memory))
        yield Sensor(gauges.DISK, 2.0, _soon(self._disk.read), hurry=1.0)
        yield Sensor(gauges.CLOCK, 1.0, _soon(self._clock))
        for command in self.settings.commands():
            yield Sensor(command.gauge, command.every, Check(command).read)

    # --- Asterisk

    def _ari(self) -> Reading | str:
        took = self._asterisk.connection.answer_time()
        return NO_ASTERISK if took is None else Reading(took)

    async def _sip(self) -> Reading | str:
        """By UDP, as peers ask it."""
        settings = self.settings
        if "sip" not in settings.calls.trunks and "udp" not in dict(settings.phone_ports()):
            return "neither peers nor phones use SIP over UDP here"
        if not self._asterisk.connection.live:
            return NO_ASTERISK
        to = (settings.node.address, settings.asterisk.sip_port)
        return _answered(await options.ask(to, CANARY))

    async def _queues(self) -> Reading | str:
        if not self._asterisk.connection.live:
            return NO_ASTERISK
        return await alerted(self.settings.asterisk.control)

    async def _trunks(self) -> Reading | str:
        return await self._lines.read() if self._asterisk.connection.live else NO_ASTERISK

    def _own_trunks(self) -> list[PstnTrunk]:
        me = self.federation.me
        return [
            t
            for t in self.federation.view.lines_out()
            if isinstance(t, PstnTrunk) and me in t.nodes
        ]

    def _failed(self) -> Reading | str:
        found = self.failures.read(time.monotonic())
        return found if found is not None else "too few calls in the last five minutes"

    # --- the others

    async def _peers(self) -> Reading | str:
        if not self._asterisk.connection.live:
            return NO_ASTERISK
        doors = self._doors()
        name = self._sampled.next(doors)
        if name is None:
            return "no peer has SIP"
        took = await options.ask(doors[name], f"pf-{self.federation.me}")
        return self._sampled.asked(name, answered=took < NEVER, peers=self._doors())

    def _doors(self) -> dict[NodeName, Address]:
        """Where the SIP of those is that can be called now."""
        return {
            member.name: (info.address, info.sip_port)
            for member in self.federation.members.alive()
            if member.reachable
            and member.condition.serves
            and (info := self.federation.directory.shelves.info(member.name)) is not None
            and "sip" in info.trunks
            and info.sip_port
        }

    def _clock(self) -> Reading | str:
        names = [member.name for member in self.federation.members.alive()]
        return offset(self.federation.watch.clocks.median(names), gauges.CLOCK.bad)


def _answered(seconds: float) -> Reading:
    return Reading(seconds, "never" if seconds == NEVER else "")


def _soon(read: Callable[[], Reading | str]) -> Callable[[], Awaitable[Reading | str]]:
    async def found() -> Reading | str:
        return read()

    return found
