"""Calls by the hundred, and a daemon that dies among them: no call fails that need not, and nothing is left.

With PBXFED_LONG=1 the long ones, too, in a lab of their own: a minute at 70 % of what plain Dial sustains, and 10,000 calls.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lab.load import Load, Outcome, Running
from lab.process import Process
from tests.bench.load import CALLERS as DIALING
from tests.bench.load import THERE as AFAR
from tests.bench.load import WAYS, Found, Ground
from tests.lab.conftest import SECRET, Federation
from tests.lab.furnishing import both_hear, channels, in_mode, nothing_left
from tests.lab.test_metrics import value

CALLERS = [str(number) for number in range(3001, 3011)]
HERE = [str(number) for number in range(3101, 3111)]  # registered at a
THERE = [str(number) for number in range(3201, 3211)]  # at b
PHONES = {"1001": "a", "1002": "a", "1004": "b", "1006": "b"}
LONG = pytest.mark.skipif("PBXFED_LONG" not in os.environ, reason="PBXFED_LONG is not set")
GROWN = 3.0  # MB that a daemon may have grown by after some hundred calls: its caches
SETUP = 0.1  # seconds: who rings, or is being decided, when a daemon is killed
LIVE_AGAIN = 2.0  # seconds, where nothing else runs: printed, and here allowed twice


@pytest.fixture(scope="module")
def numbers() -> list[str]:
    return [*CALLERS, *HERE, *THERE]


@pytest.fixture
def load(federation: Federation, numbers: list[str]) -> Iterator[Load]:
    """Callers at a, callees at a and b; they go afterwards."""
    lab = federation.lab
    if federation.lab.http("a", "GET", f"/extensions/{CALLERS[0]}")[0] == 404:
        rows = (f"{number},Load {number},{SECRET}" for number in numbers)
        file = lab.places.state / "load.csv"
        file.write_text("\n".join(["extension,name,secret", *rows]))
        lab.pbxfed("a", "ext", "import", str(file))
    federation.until(federation.whole, 30)
    found = Load(lab)
    found.answer("a", HERE, SECRET)
    found.answer("b", THERE, SECRET)
    at = dict.fromkeys(HERE, "a") | dict.fromkeys(
        THERE, "b"
    )  # each: one may be known later than the last
    for node in "ab":
        federation.until(lambda n=node: all(federation.where(one, n) == [at[one]] for one in at))  # type: ignore[misc]
    yield found
    found.stop()
    for node in "ab":
        lab.configure(node, "calls", "control", "handover")


def rss(federation: Federation, node: str) -> float:
    """MB that a node's daemon holds."""
    found = Process.load(federation.lab.places.run / f"{node}.daemon")
    assert found is not None
    text = Path(f"/proc/{found.pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_no_call_fails_and_nothing_is_left(
    federation: Federation, load: Load, control: str
) -> None:
    """Here and between nodes; bridge mode hands over what is too much for it. Memory is flat."""
    for node in "ab":
        federation.lab.configure(node, "calls", "control", control)
    time.sleep(0.3)
    called = [number for pair in zip(HERE, THERE, strict=True) for number in pair]
    since = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    before: dict[str, float] = {}
    for _ in range(2):
        found = load.call("a", CALLERS, called, SECRET, rate=30, seconds=7, hold=1.0)
        print(control, found)
        assert (found.made, found.failed) == (210, 0), found
        nothing_left(federation)
        grown = {node: rss(federation, node) - before.get(node, 0.0) for node in "ab"}
        before = {node: rss(federation, node) for node in "ab"}
    print(f"grown by {grown} MB")
    assert max(grown.values()) < GROWN
    records = federation.get("a", f"/calls/records?since={since}&limit=1000")
    ways = Counter(one["control"] for one in records if one["from"] in CALLERS)
    print(f"connected by {ways}")
    assert ways.total() == 420
    assert {one["transferred_by"] for one in records} == {""}, "who hangs up transfers nobody"
    assert set(ways) == ({"handover"} if control == "handover" else {"bridge", "handover"})


@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_fifty_talk_on_while_the_daemon_dies_and_returns(
    federation: Federation, load: Load, control: str
) -> None:
    """Live again in time; hung up, none is left behind. Four of them are real phones', whose sound is heard throughout."""
    lab = federation.lab
    for number in PHONES:
        federation.phone(number, PHONES[number])
    for node in "ab":
        lab.configure(node, "calls", "control", control)
    time.sleep(0.3)
    pairs = [(one, other) for one in ("1001", "1002") for other in ("1004", "1006")]
    heard = [in_mode(control, federation, *pair) for pair in pairs]
    talking = load.begin("a", CALLERS, THERE, SECRET, rate=15, seconds=46 / 15, hold=11.0)
    federation.until(lambda: channels(federation, "b") == 100, 12, what="fifty calls")
    lab.kill("a", "daemon")
    time.sleep(1)
    assert all(both_hear(federation, call) for call in heard)
    took = lab.node("a").start_daemon()
    print(f"{control}: live again after {took:.2f} s")
    federation.until(federation.whole)
    assert channels(federation, "a") == channels(federation, "b") == 100
    time.sleep(1)
    assert all(both_hear(federation, call) for call in heard)
    for call in heard:
        lab.hang_up(call)
    found = talking.outcome(40)
    assert (found.made, found.failed) == (46, 0), found
    nothing_left(federation)
    assert took < 2 * LIVE_AGAIN


def test_a_daemon_is_killed_amid_calls(federation: Federation, load: Load) -> None:
    """Who talks goes on; phones of this node and of others are called by the dialplan alone."""
    lab = federation.lab
    rate, hold = 20, 2.0
    talking = load.begin("a", CALLERS, THERE, SECRET, rate=20, seconds=1, hold=12.0)
    federation.until(lambda: channels(federation, "b") == 40, 10)
    here = load.begin("a", CALLERS, HERE, SECRET, rate=rate, seconds=8, hold=hold)
    there = load.begin("a", CALLERS, THERE, SECRET, rate=rate, seconds=8, hold=hold)
    time.sleep(3)
    lab.kill("a", "daemon")
    killed = time.monotonic()
    time.sleep(0.5)
    lab.start("a", "daemon")
    away = time.monotonic() - killed
    found = {"talking": talking, "here": here, "there": there}
    outcomes = {name: running.outcome(40) for name, running in found.items()}
    print(f"away for {away:.1f} s: {'; '.join(f'{n}: {o}' for n, o in outcomes.items())}")
    assert outcomes["talking"].failed == 0
    assert outcomes["here"].failed <= 2  # were just being decided
    assert outcomes["there"].failed <= 2
    nothing_left(federation)


def test_calls_that_come_at_once_by_iax2_are_all_taken(federation: Federation, load: Load) -> None:
    """While the peer stands still for a moment, as over a long way, many wait for its challenge: chan_iax2 takes three."""
    lab = federation.lab
    asterisk = Process.load(lab.places.run / "b.asterisk")
    assert asterisk is not None
    lab.configure("b", "calls", "trunks", ["iax2", "sip"])
    federation.until(lambda: "by iax2" in str(federation.get("a", f"/route/{THERE[0]}")))
    since = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    try:
        calls = load.begin("a", CALLERS, THERE, SECRET, rate=100, seconds=0.6, hold=1.0)
        for _ in range(6):
            asterisk.signal(signal.SIGSTOP)
            time.sleep(0.09)
            asterisk.signal(signal.SIGCONT)
            time.sleep(0.06)
        found = calls.outcome(20)
    finally:
        asterisk.signal(signal.SIGCONT)
        lab.configure("b", "calls", "trunks", ["sip", "iax2"])
    assert (found.made, found.failed) == (60, 0), found
    nothing_left(federation)
    records = federation.get("a", f"/calls/records?since={since}&limit=1000")
    assert Counter(one["tries"] for one in records if one["from"] in CALLERS) == {1: 60}


@LONG
def test_a_minute_at_seven_tenths_of_plain_dial() -> None:
    """At most 100 calls a second, between nodes: none fails. Again, and amid it a daemon is killed: only calls in setup do."""
    ways = {way.name: way for way in WAYS}
    with Ground.up() as ground:
        plain = Found(ways["plain Dial, SIP"], ground.calls(ways["plain Dial, SIP"], 5, 1), 0.0)
        for _ in ground.climb(plain):
            pass
        rate = min(100.0, 0.7 * plain.sustained)
        ground.set(ways["handover, SIP"].settings)
        found = ground.calls(ways["handover, SIP"], rate, 60)
        print(f"plain Dial sustains {plain.sustained}/s; handover: {found}")
        assert found.failed == 0
        in_setup = 2 + rate * SETUP
        running = ground.load.begin("a", DIALING, AFAR, SECRET, rate=rate, seconds=60)
        found = _kills("b", running, ground)
        assert found.failed <= in_setup, "phones of the called node are rung without it"
        both = [ground.federation.lab.node(node).address for node in "ab"]
        running = ground.load.wander(
            "a", DIALING, AFAR, SECRET, [both], rate=rate, seconds=60, hold=2.0
        )
        found = _kills("a", running, ground)
        assert found.failed <= in_setup, "callers who know a second node go on to it"


def _kills(node: str, running: Running, ground: Ground) -> Outcome:
    """What becomes of these calls if amid their minute a node's daemon is killed, and started a second later."""
    lab = ground.federation.lab
    time.sleep(30)
    lab.kill(node, "daemon")
    time.sleep(1)
    lab.start(node, "daemon")
    found = running.outcome(80)
    print(f"{node}'s daemon killed amid: {found}")
    ground.federation.until(lambda: all(channels(ground.federation, n) == 0 for n in "ab"), 40)
    return found


@LONG
@pytest.mark.parametrize(
    ("control", "rate", "seconds"), [("handover", 40, 62.5), ("bridge", 15, 50)]
)
def test_ten_thousand_calls_leave_nothing(control: str, rate: float, seconds: float) -> None:
    """Half of them within this node; memory and tasks after the second half as after the first.

    In bridge mode 3,000, and slowly: of more a second some would be handed over.
    """
    ways = {way.name: way for way in WAYS}
    with Ground.up() as ground:
        held, tasks = [], []
        for name in (f"{control}, local", f"{control}, SIP") * 2:
            ground.set(ways[name].settings)
            found = ground.calls(ways[name], rate, seconds)
            held.append(rss(ground.federation, "a"))
            tasks.append({n: value(ground.federation, n, "pbxfed_tasks") for n in "ab"})
            print(f"{name}: {found}; {held[-1]:.1f} MB, tasks {tasks[-1]}")
            assert found.failed == 0
            assert all(ground.federation.get(node, "/calls") == [] for node in "ab")
        assert held[3] - held[1] < GROWN
        assert all(tasks[3][node] <= tasks[1][node] + 2 for node in "ab")  # who asks is one, too
