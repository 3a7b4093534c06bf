"""All three nodes are drained, restarted and taken back, one after the other, under twenty calls a second: none fails."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator

import pytest

from lab.load import CALLEES, Load
from lab.places import LabError
from lab.process import Process
from lab.wander import register
from tests.lab.conftest import SECRET, Federation

CALLERS = [f"35{n:02}" for n in range(1, 7)]
CALLED = [f"36{n:02}" for n in range(1, 7)]
RATE, HOLD = 20, 1.0
LONGEST = 75  # seconds of calls
NEXT = {"a": "b", "b": "c", "c": "a"}


class Phones:
    """Those that are called: two at the side of each node; they register where they are told."""

    def __init__(self, federation: Federation) -> None:
        self.lab = federation.lab
        self.home = {number: "abc"[n % 3] for n, number in enumerate(CALLED)}
        self.at: dict[str, str] = {}

    def register(self, number: str, node: str) -> None:
        home = self.lab.node(self.home[number]).phones
        contact = f"sip:{number}@{home.address}:{CALLEES}"
        register(home, contact, number, SECRET, self.lab.node(node).host.address)
        self.at[number] = node

    def leave(self, node: str) -> None:
        """As a phone does at its next refresh, when DNS names another node first."""
        for number in [number for number, at in self.at.items() if at == node]:
            self.register(number, NEXT[node])


@pytest.fixture(scope="module")
def _numbers(lab: object) -> Iterator[None]:
    yield
    for number in (*CALLERS, *CALLED):
        lab.http("a", "DELETE", f"/extensions/{number}")  # type: ignore[attr-defined]


@pytest.fixture
def phones(federation: Federation, _numbers: None) -> Iterator[Phones]:
    lab = federation.lab
    if lab.http("a", "GET", f"/extensions/{CALLERS[0]}")[0] == 404:
        # SIPp takes no re-INVITE for direct media, and its phones register from another port than they are called at
        rows = [f"{number},{number},{SECRET},nat" for number in CALLERS]
        rows += [f"{number},{number},{SECRET},lan" for number in CALLED]
        file = lab.places.state / "rolling.csv"
        file.write_text("\n".join(["extension,name,secret,profile", *rows]))
        lab.pbxfed("a", "ext", "import", str(file))
    federation.until(federation.whole, 30)
    found = Phones(federation)
    for number, node in found.home.items():
        found.register(number, node)
    for number, node in found.home.items():
        federation.until(lambda n=number, at=node: federation.where(n, "a") == [at])  # type: ignore[misc]
    yield found
    for node in "abc":
        lab.http(node, "DELETE", "/drain")


def stop_daemon(federation: Federation, node: str) -> None:
    """As systemd does; who is just being answered has his answer before Asterisk goes."""
    found = Process.load(federation.lab.node(node)._record("daemon"))
    assert found
    found.signal(signal.SIGTERM, wait=10)
    federation.until(lambda: not channels(federation, node), 5, what="nobody is half answered")


def channels(federation: Federation, node: str) -> int:
    return int(federation.lab.node(node).asterisk("core show channels count").split()[0])


def stop_asterisk(federation: Federation, node: str) -> None:
    member = federation.lab.node(node)
    member.asterisk("core stop now")
    federation.until(lambda: not member.asterisk_up(), 15, what=f"{node}'s Asterisk has stopped")


def drained(federation: Federation, node: str) -> bool:
    state = federation.get(node, "/drain")
    return (state["drains"], state["calls"], state["phones"]) == (True, 0, 0)


def test_no_call_fails_while_every_node_is_restarted(
    federation: Federation, phones: Phones
) -> None:
    """Daemon and Asterisk; callers who know all three nodes go on to the next by 503 or silence."""
    lab = federation.lab
    load = Load(lab)
    try:
        for node in "abc":
            load.listen(node)
        running = load.wander(
            "a", CALLERS, CALLED, SECRET, "abc", rate=RATE, seconds=LONGEST, hold=HOLD
        )
        began = time.monotonic()
        time.sleep(2)
        for node in "abc":
            lab.pbxfed(node, "drain", "--deadline", "30")
            phones.leave(node)
            took = federation.until(lambda n=node: drained(federation, n), 15)  # type: ignore[misc]
            stop_daemon(federation, node)
            stop_asterisk(federation, node)
            lab.start(node)
            federation.until(federation.whole, 20)
            assert federation.get(node, "/drain")["drains"], "the order has outlived the restart"
            lab.pbxfed(node, "undrain")
            print(
                f"{node}: empty after {took:.1f} s, back {time.monotonic() - began:.1f} s after the start"
            )
            time.sleep(1)
        spent = time.monotonic() - began
        assert spent < LONGEST, "calls went on all the time"
        found = running.finish(30)
    finally:
        load.stop()
    print(f"{found.good} of {found.made} calls good in {spent:.0f} s, {found.why}")
    assert found.made >= RATE * spent * 0.9
    assert found.failed == 0, found


def test_what_a_drained_node_does(federation: Federation) -> None:
    """Phones' new calls get 503, phones here are called from elsewhere, and DNS names it last."""
    lab = federation.lab
    federation.phone("1001", "a")
    federation.phone("1005", "b")
    lab.pbxfed("a", "drain", "--deadline", "60")
    try:
        federation.until(
            lambda: all(
                next(m for m in federation.get(n, "/members") if m["node"] == "a")["drains"]
                for n in "abc"
            )
        )
        assert str(lab.call("1001", "1005").cause).startswith("503")
        assert lab.call("1005", "1001").ok
        assert "a" not in {m["node"] for m in federation.get("b", "/ring")["members"]}
        text = lab.pbxfed("a", "drain", "--show")
        assert "0 calls and " in text
        assert "phones are left (1001" in text
    finally:
        lab.pbxfed("a", "undrain")
    assert lab.call("1001", "1005").ok


def test_a_deadline_is_told_and_ends_calls_if_that_was_asked(federation: Federation) -> None:
    """The command's exit code says so, too."""
    lab = federation.lab
    federation.phone("1001", "a")
    federation.phone("1005", "b")
    dialled = lab.dial("1001", "1005")
    try:
        with pytest.raises(LabError, match="1 calls are left at the deadline"):
            lab.pbxfed("a", "drain", "--deadline", "2", "--wait")
        events = federation.get("a", "/events?limit=1000")
        told = [e["fields"] for e in events if e["event"] == "drain_deadline"]
        assert (told[-1]["calls_left"], told[-1]["ended"]) == (1, 0)
        lab.pbxfed("a", "drain", "--deadline", "1", "--wait", "--end")
        federation.until(lambda: federation.get("a", "/calls") == [])
    finally:
        lab.pbxfed("a", "undrain")
        with contextlib.suppress(LabError):
            lab.hang_up(dialled)  # it has ended already
