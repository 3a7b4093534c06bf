"""The other sensors: a SIP stack that answers, or not; machine and disk; calls that failed; and the room that reads them."""

import asyncio
import errno
import socket
from collections.abc import Iterable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import cast

import pytest

from pbxfed_ari.core.effects import AskSip, CallEnded, Effect, Note, Tell
from pbxfed_ari.core.events import Address, HealthChanged, SipSaid
from pbxfed_ari.core.membership.condition import SICK
from pbxfed_ari.core.membership.health import CALM, Gauge, Reading
from pbxfed_ari.core.names import CallId, NodeName
from pbxfed_ari.sensors import gauges, machine, options, room
from pbxfed_ari.sensors.clock import offset
from pbxfed_ari.sensors.doubts import PATIENCE, Doubts
from pbxfed_ari.sensors.failures import FEW, WINDOW, Failures
from pbxfed_ari.sensors.peers import Peers
from pbxfed_ari.sensors.room import Sensor, SensorRoom


class Sip(asyncio.DatagramProtocol):
    """Answers, or not."""

    def __init__(self, ignore: int = 0, status: str = "401 Unauthorized", call: str = "") -> None:
        self.heard: list[str] = []
        self._ignore, self._status, self._call = ignore, status, call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, source: Address) -> None:
        self.heard.append(data.decode())
        lines = {k: v for k, _, v in (x.partition(": ") for x in data.decode().split("\r\n"))}
        if len(self.heard) > self._ignore:
            call = self._call or lines["Call-ID"]
            self.transport.sendto(
                f"SIP/2.0 {self._status}\r\nCall-ID: {call}\r\n\r\n".encode(), source
            )


async def asked(sip: Sip, monkeypatch: pytest.MonkeyPatch, patience: float = 2.0) -> float:
    monkeypatch.setattr(options, "PATIENCE", patience)
    monkeypatch.setattr(options, "REPEATED", 0.05)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: sip, local_addr=("127.0.0.1", 0))
    try:
        return await options.ask(transport.get_extra_info("sockname"), "pf--canary")
    finally:
        transport.close()


async def test_a_peer_in_doubt_is_asked_once_at_a_time_and_all_hear_the_answer() -> None:
    """Silence, no trunk to it and no network of our own are all the same: nobody answers."""
    b, c, d = map(NodeName, "bcd")
    places: dict[NodeName, Address] = {b: ("10.0.0.2", 5060), d: ("10.0.0.4", 5060)}
    asked: list[tuple[Address, float]] = []
    said: asyncio.Queue[SipSaid] = asyncio.Queue()

    async def ask(to: Address, user: str, patience: float) -> float:
        asked.append((to, patience))
        await asyncio.sleep(0)
        if to == places[d]:
            raise OSError
        return 0.01 if len(asked) == 1 else options.NEVER

    doubts = Doubts(user="pf-a", where=places.get, post=said.put_nowait, ask=ask)
    doubts.perform(AskSip(b))  # too early: nobody hears of it, and nobody is asked
    async with asyncio.TaskGroup() as group:
        running = group.create_task(doubts.run())
        await asyncio.sleep(0)
        for _ in range(3):
            doubts.perform(AskSip(b))
        assert await said.get() == SipSaid(b, True)
        for peer in b, c, d:
            doubts.perform(AskSip(peer))
        assert {await said.get() for _ in range(3)} == {SipSaid(p, False) for p in (b, c, d)}
        assert asked == [(places[b], PATIENCE)] * 2 + [(places[d], PATIENCE)]
        running.cancel()


@pytest.mark.parametrize("status", ["200 OK", "401 Unauthorized", "503 Service Unavailable"])
async def test_whoever_answers_lives(status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it answers is another matter."""
    sip = Sip(status=status)
    assert await asked(sip, monkeypatch) < 2.0
    (text,) = sip.heard
    assert text.startswith("OPTIONS sip:127.0.0.1:")
    assert "From: <sip:pf--canary@127.0.0.1>;tag=" in text
    assert text.endswith("Content-Length: 0\r\n\r\n")


async def test_a_lost_datagram_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is repeated, as the same one."""
    sip = Sip(ignore=1)
    assert await asked(sip, monkeypatch) < 2.0
    assert sip.heard[0] == sip.heard[1]


async def test_silence_and_other_peoples_answers_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a dead port is an answer."""
    assert await asked(Sip(ignore=9), monkeypatch, 0.2) == options.NEVER
    assert await asked(Sip(call="another"), monkeypatch, 0.2) == options.NEVER
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    assert await options.ask(("127.0.0.1", port), "x") == options.NEVER


def test_memory_is_what_programs_could_still_get(tmp_path: Path) -> None:
    """MemAvailable, which counts what the page cache would give back."""
    file = tmp_path / "meminfo"
    file.write_text("MemTotal: 2097152 kB\nMemFree: 1 kB\nMemAvailable: 104858 kB\nHugePages: 0\n")
    found = machine.memory(file)
    assert found.value == pytest.approx(5.0, abs=0.01)
    assert found.said == "5.0 % (102 of 2048 MB)"
    assert machine.memory().value > 0


def test_a_small_disk_need_not_have_what_a_large_one_must(tmp_path: Path) -> None:
    """A twentieth of it is enough, or 200 MB."""
    found = machine.disk(tmp_path)
    assert found.value > 0
    assert " left of " in found.said
    failed = machine.disk(tmp_path, "node.state: database or disk is full")
    assert failed.value == 0.0
    assert failed.said.endswith(", and nothing is kept")


def test_lateness_is_the_most_since_it_was_read() -> None:
    """And nothing, if nothing was late."""
    late = machine.Lateness()
    for seconds in 0.1, 0.4, 0.2:
        late.late(seconds)
    assert late.read() == Reading(0.4)
    assert late.read() == Reading(0.0)


def ended(cause: int, *, answered: bool = False, peer: str = "") -> CallEnded:
    return CallEnded(CallId("x"), "1001", "1002", 1, answered, cause, 1.0, peer=peer)


def test_calls_that_found_no_way_are_counted_and_no_others() -> None:
    """Busy, unanswered, barred or unknown is nobody's sickness; what a peer sent counts there; few say nothing."""
    failures = Failures()
    for cause in (27, 34, 38):
        failures.ended(ended(cause), 0.0)
    for cause in (16, 17, 19, 1, 21, 20):
        failures.ended(ended(cause), 1.0)
    failures.ended(ended(27, peer="b"), 1.0)
    assert failures.read(1.0) is None
    failures.ended(ended(38, answered=True), 1.0)
    assert failures.read(1.0) == Reading(0.3, "3 of 10", "20 %")
    assert failures.read(WINDOW) == Reading(0.3, "3 of 10", "20 %")
    assert FEW > 7
    assert failures.read(WINDOW + 0.5) is None
    for _ in range(3):
        failures.ended(ended(27), WINDOW + 0.5)
    assert failures.read(WINDOW + 0.5) == Reading(0.3, "3 of 10", "20 %")  # the first are forgotten


def test_of_two_clocks_that_differ_neither_makes_sick() -> None:
    """Of three, the one that is off does."""
    assert offset(None, 60.0) == "no peer has told its time"
    assert offset((3_600.0, 2), 60.0) == Reading(3_600.0, "3600 s (ahead)")
    assert offset((-3_600.0, 1), 60.0) == Reading(30.0, "3600 s (behind)")
    assert gauges.CLOCK.cost(3_600.0) == SICK
    assert 0 < gauges.CLOCK.cost(30.0) < SICK


def test_peers_are_asked_in_turn_and_who_was_silent_first() -> None:
    """One that has left is forgotten."""
    a, b, c = everybody = [NodeName("a"), NodeName("b"), NodeName("c")]
    peers = Peers()

    def asked(name: NodeName, *, answered: bool) -> Reading | str:
        return peers.asked(name, answered=answered, peers=everybody)

    assert peers.next([]) is None
    assert peers.next([b, a]) == a
    assert asked(a, answered=True) == Reading(0.0, "0 of 1", "more than half")
    assert peers.next([a, b, c]) == b
    assert asked(b, answered=False) == Reading(0.5, "b, 1 of 2", "more than half")
    assert peers.next([a, b, c]) == b
    assert asked(b, answered=True) == Reading(0.0, "0 of 2", "more than half")
    assert peers.next([a, b, c]) == c
    assert asked(c, answered=False) == Reading(1 / 3, "c, 1 of 3", "more than half")
    assert peers.next([a, b]) == a
    assert asked(a, answered=True) == Reading(0.0, "0 of 2", "more than half")
    assert peers.next([a, b]) == b


def test_a_peer_that_died_while_it_was_asked_says_nothing_of_this_nodes_own_path() -> None:
    """It is its Asterisk that is gone, or its cable."""
    a, b = NodeName("a"), NodeName("b")
    peers = Peers()
    assert peers.asked(a, answered=False, peers=[b]) == "the peer that was asked has gone"
    assert peers.asked(a, answered=False, peers=[a, b]) == Reading(
        1.0, "a, 1 of 1", "more than half"
    )
    assert peers.asked(b, answered=True, peers=[]) == Reading(0.5, "a, 1 of 2", "more than half")
    assert peers.asked(a, answered=False, peers=[b]) == Reading(0.0, "0 of 1", "more than half")


def test_none_of_the_own_sensors_alone_makes_sick_for_an_overload() -> None:
    """What one node throws away the next one has to carry: only several together do."""
    overload = (gauges.ARI, gauges.LOAD, gauges.FAILURES)
    assert all(gauge.most < SICK for gauge in overload)
    assert len({gauge.name for gauge in gauges.OWN}) == len(gauges.OWN)


async def test_it_is_read_sooner_until_it_costs_nothing_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That it is good again is believed after ten seconds: they must not become the four minutes of two readings."""
    pauses: list[float] = []
    readings = [Reading(1.0), Reading(0.0), Reading(0.0)]
    mended = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if not readings:
            mended.set()
            await asyncio.Event().wait()

    async def read() -> Reading | str:
        return readings.pop(0)

    monkeypatch.setattr(room, "asyncio", SimpleNamespace(TaskGroup=asyncio.TaskGroup, sleep=sleep))
    monkeypatch.setattr(room, "time", SimpleNamespace(monotonic=lambda: sum(pauses)))
    sensor = Sensor(Gauge("one", "it is", "", 1, 1, 3, "mend it"), 120.0, read, hurry=CALM)
    sensors = SensorRoom([sensor], perform=lambda effects: None, rng=Random(1))
    task = asyncio.ensure_future(sensors.run())
    await mended.wait()
    task.cancel()
    assert pauses[1:] == [CALM, CALM, 120.0]
    assert sensors.health.sick == 0


async def test_the_room_reads_again_and_sooner_while_it_is_bad() -> None:
    """Whoever is mended should not wait; and a mistake in one sensor stops no other."""
    effects: list[Effect] = []
    bad: list[Reading | str] = [Reading(1.0), Reading(1.0), "nobody to ask"]

    async def read() -> Reading | str:
        return bad.pop(0) if len(bad) > 1 else bad[0]

    async def broken() -> Reading | str:
        raise ZeroDivisionError("ours")

    reads, enough = [0], asyncio.Event()

    def told(found: Iterable[Effect]) -> None:
        effects.extend(found)
        reads[0] += 1
        if reads[0] == 4:
            enough.set()

    sensors = [
        Sensor(Gauge("one", "it is", "", 1, 1, 6, "mend it"), 10.0, read, hurry=0.01),
        Sensor(Gauge("other", "it is", "", 1, 1, 6, "mend it"), 10.0, broken),
    ]
    found = SensorRoom(sensors, perform=told, rng=Random(1))
    task = asyncio.ensure_future(found.run())
    await enough.wait()
    task.cancel()
    assert [e for e in effects if isinstance(e, Tell)] == [Tell(HealthChanged(6))]
    assert [e.what for e in effects if isinstance(e, Note)] == ["health reason"]
    assert found.unread == {"one": "nobody to ask", "other": "ZeroDivisionError: ours"}


async def test_what_cannot_be_read_is_said_in_the_machines_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With too many files open each sensor fails, every second: that fills no log."""
    read = asyncio.Event()

    async def fails() -> Reading | str:
        read.set()
        raise OSError(errno.EMFILE, "Too many open files")

    sensor = Sensor(Gauge("one", "it is", "", 1, 1, 6, "mend it"), 10.0, fails)
    found = SensorRoom([sensor], perform=lambda effects: None, rng=Random(1))
    task = asyncio.ensure_future(found.run())
    await read.wait()
    task.cancel()
    assert found.unread == {"one": "Too many open files"}
    assert caplog.text == ""
