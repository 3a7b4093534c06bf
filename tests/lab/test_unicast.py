"""Real daemons on a LAN that loses multicast, and on one that never had any: calls go on, seeds are found."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.dnsbox import DnsBox, Record
from lab.lab import Lab
from lab.netns import within
from tests.lab.conftest import Federation, a_lab

BAR = 800  # bytes a second that a node may send in unicast mode
SERVICE = "_pbxfed._udp.pbx.test"


@pytest.fixture(scope="module")
def ground() -> Iterator[Lab]:
    """Three nodes of their own, whose network is spoilt."""
    with a_lab("unicast", 3) as lab:
        yield lab


@pytest.fixture
def federation(ground: Lab) -> Iterator[Federation]:
    found = Federation(ground)
    yield found
    for name in found.names:
        ground.undrop(name)


def ways(federation: Federation, way: str) -> set[str]:
    """How all nodes are heard or told by all others."""
    return {
        str(member[way])
        for name in federation.names
        for member in federation.get(name, "/members")
        if not member.get("self")
    }


def restart(federation: Federation, *, watched: bool = False, **lan: object) -> None:
    """All daemons anew, without a store, with these settings of [lan]; `watched`: what they multicast is counted."""
    lab = federation.lab
    for name in federation.names:
        lab.kill(name, "daemon")
        shutil.rmtree(lab.node(name).folder / "state")
        for key in ("multicast", "peers", "srv"):
            lab.configure(name, "lan", key, lan.get(key))
    for name in federation.names:
        if watched:  # not before: the daemons of before do multicast
            lab.drop(name, "multicast", outgoing=True)
    lab.start_all(federation.names, "daemon")


def test_multicast_dies_and_comes_back_under_a_call(federation: Federation) -> None:
    """The switch drops it: copies within seconds, no node is thought dead, calls and moves go on; healed, copies end."""
    lab = federation.lab
    federation.until(federation.whole)
    federation.phone("1001", "a")
    federation.phone("1002", "c")
    talking = lab.dial("1001", "1002")
    for name in federation.names:
        lab.drop(name, "multicast")
    federation.until(lambda: ways(federation, "heard_by") == {"unicast"}, 12)
    assert federation.whole()
    assert lab.finish(talking).ok
    assert lab.call("1002", "1001", hold=0.5).ok
    lab.register("1001", "b")
    federation.until(lambda: all(federation.where("1001", n) == ["b"] for n in "abc"), 5)
    before = lab.bytes()
    time.sleep(8)
    after = lab.bytes()
    for name in federation.names:
        sent = after[name]["federation"]["tx_bytes"] - before[name]["federation"]["tx_bytes"]
        assert 0 < sent / 8 <= BAR, name
    lost = [m["multicast_loss"] for m in federation.get("a", "/members") if not m.get("self")]
    assert all(loss > 0.1 for loss in lost)
    for name in federation.names:
        lab.undrop(name)
    federation.until(lambda: ways(federation, "told_by") == {"multicast"}, 60)
    assert federation.whole()
    for name in federation.names:
        log = (lab.node(name).folder / "log" / "pbxfed.log").read_text()
        assert "member down" not in log
        assert "Traceback" not in log


def test_without_multicast_one_seed_is_enough(federation: Federation) -> None:
    """`lan.multicast = false`, and only a is named: b and c find each other, a call passes, no frame goes to the group."""
    lab = federation.lab
    seed = lab.node("a").host.address
    restart(federation, watched=True, multicast=False, peers=[seed])
    federation.until(federation.whole, 15)
    assert ways(federation, "heard_by") == ways(federation, "told_by") == {"unicast"}
    federation.phone("1001", "b")
    federation.phone("1002", "c")
    assert lab.call("1001", "1002", hold=0.5).ok
    assert [lab.dropped(name) for name in federation.names] == [0, 0, 0]
    lab.kill("c", "daemon")
    federation.until(lambda: {federation.state(n, "c") for n in "ab"} == {"down"}, 5)
    lab.start("c", "daemon")
    federation.until(federation.whole, 15)


def test_seeds_are_found_in_dns(federation: Federation) -> None:
    """SRV records, at a server that stands beside a's phones."""
    lab = federation.lab
    host = lab.node("a").phones
    files = [Path("/etc/netns") / lab.node(n).host.namespace / "resolv.conf" for n in "abc"]

    def listening() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((host.address, 53))
        return sock

    records: dict[str, list[Record]] = {
        f"{SERVICE}.": [("b.pbx.test.", 8781)],
        "b.pbx.test.": [lab.node("b").host.address],
    }
    try:
        for file in files:  # what `ip netns exec` shows as /etc/resolv.conf there
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"nameserver {host.address}\n")
        with DnsBox(within(host.namespace, listening), records) as dns:
            restart(federation, multicast=False, srv=SERVICE)
            federation.until(federation.whole, 15)
            assert f"{SERVICE}." in dns.asked
    finally:
        for file in files:
            shutil.rmtree(file.parent, ignore_errors=True)
    log = (lab.node("c").folder / "log" / "pbxfed.log").read_text()
    assert "cannot be looked up" not in log
