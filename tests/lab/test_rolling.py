"""All three nodes are drained, restarted and taken back, one after the other, under twenty calls a second: none fails.

Half of the callers know all nodes and go on by 503 and silence; the others, and the phones that are called, follow SRV.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator

import pytest

from lab.following import Following, orders
from lab.load import CALLEES, Load
from lab.node import DOMAIN
from lab.process import Process
from lab.wander import register, turned
from pbxfed_ari.core.naming.signpost import AT_LAST
from tests.lab.conftest import SECRET, Federation
from tests.lab.naming import services

CALLERS = [f"35{n:02}" for n in range(1, 7)]
CALLED = [f"36{n:02}" for n in range(1, 7)]
RATE, HOLD = 10, 1.0  # of each kind of callers
LONGEST = 75  # seconds of calls


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
        """As a phone does at its next refresh: it registers where DNS, asked at its own node, sends it now."""
        at = {one.host.address: one.name for one in self.lab.nodes()}
        for number in [number for number, at in self.at.items() if at == node]:
            home = self.lab.node(self.home[number])
            (told,) = orders(home.phones, DOMAIN, [home.host.address], 1)
            self.register(number, at[told[0]])
            assert at[told[0]] != node


@pytest.fixture
def phones(federation: Federation) -> Iterator[Phones]:
    lab = federation.lab
    if lab.http("a", "GET", f"/extensions/{CALLERS[0]}")[0] == 404:
        # SIPp takes no re-INVITE for direct media, and its phones register from another port than they are called at
        rows = [f"{number},{number},{SECRET},nat" for number in CALLERS]
        rows += [f"{number},{number},{SECRET},lan" for number in CALLED]
        file = lab.places.state / "rolling.csv"
        file.write_text("\n".join(["extension,name,secret,profile", *rows]))
        lab.pbxfed("a", "ext", "import", str(file))
    federation.until(federation.whole, 30)
    for phone in lab.status()["phones"]:  # other tests' would not leave a drained node
        lab.unplug(str(phone["extension"]))
    found = Phones(federation)
    for number, node in found.home.items():
        found.register(number, node)
    for number, node in found.home.items():
        federation.until(lambda n=number, at=node: federation.where(n, "a") == [at])  # type: ignore[misc]
    yield found
    for node in "abc":
        lab.http(node, "DELETE", "/drain")


def stop_daemon(federation: Federation, node: str) -> None:
    """As systemd does."""
    found = Process.load(federation.lab.node(node)._record("daemon"))
    assert found
    found.signal(signal.SIGTERM, wait=10)


def channels(federation: Federation, node: str) -> int:
    return int(federation.lab.node(node).asterisk("core show channels count").split()[0])


def stop_asterisk(federation: Federation, node: str) -> None:
    """Who calls hears 503 first, without a channel; who has one would hear 603 when it stops, after which nobody goes on."""
    member = federation.lab.node(node)
    member.asterisk("pjsip set maintenance on all")
    federation.until(lambda: not channels(federation, node), 5, what="nobody is half answered")
    member.asterisk("core stop now")
    federation.until(lambda: not member.asterisk_up(), 15, what=f"{node}'s Asterisk has stopped")


def named_first(federation: Federation, node: str) -> bool:
    """Does any node's DNS send phones there, as long as there are others?"""
    found = [services(federation, server) for server in "abc"]
    return any(one.get(node, AT_LAST) < AT_LAST for one in found)


def drained(federation: Federation, node: str) -> bool:
    state = federation.get(node, "/drain")
    return (state["drains"], state["calls"], state["phones"]) == (True, 0, 0)


def test_no_call_fails_while_every_node_is_restarted(
    federation: Federation, phones: Phones
) -> None:
    """Daemon and Asterisk; callers who know all three nodes go on to the next by 503 or silence."""
    lab = federation.lab
    load = Load(lab)
    with contextlib.ExitStack() as ends:
        ends.callback(load.stop)
        for node in "abc":
            load.listen(node)
        addresses = [node.host.address for node in lab.nodes()]
        running = load.wander(
            "a",
            CALLERS[:3],
            CALLED,
            SECRET,
            turned(addresses),
            rate=RATE,
            seconds=LONGEST,
            hold=HOLD,
        )
        following = Following(
            load,
            lab.node("b").phones,
            "b",
            CALLERS[3:],
            CALLED,
            SECRET,
            domain=DOMAIN,
            resolvers=addresses,
            rate=RATE,
            hold=HOLD,
        )
        ends.callback(following.stop)
        began = time.monotonic()
        away: dict[str, tuple[float, float]] = {}
        time.sleep(2)
        for node in "abc":
            lab.pbxfed(node, "drain", "--deadline", "30")
            federation.until(lambda n=node: not named_first(federation, n), 5)  # type: ignore[misc]
            told_at = time.monotonic()
            phones.leave(node)
            took = federation.until(lambda n=node: drained(federation, n), 15)  # type: ignore[misc]
            stop_daemon(federation, node)
            stop_asterisk(federation, node)
            lab.start(node)
            federation.until(federation.whole, 20)
            assert federation.get(node, "/drain")["drains"], "the order has outlived the restart"
            away[node] = (told_at, time.monotonic())
            lab.pbxfed(node, "undrain")
            print(
                f"{node}: empty after {took:.1f} s, back {time.monotonic() - began:.1f} s after the start"
            )
            time.sleep(1)
        spent = time.monotonic() - began
        assert spent < LONGEST, "calls went on all the time"
        found = {"know all": running.finish(30), "follow SRV": following.finish(30)}
    for who, made in found.items():
        print(f"{who}: {made.good} of {made.made} calls good in {spent:.0f} s, {made.why}")
        assert made.made >= RATE * spent * 0.9
        assert made.failed == 0, (who, made)
    seen = [
        (lab.node(node).host.address, {order[0] for order in told.orders})
        for told in following.told
        for node, (since, until) in away.items()
        if since < told.at < until
    ]
    assert seen, "DNS was asked while a node was away"
    assert not [one for one in seen if one[0] in one[1]], seen
