"""The lab's sites, router and hub, without our daemon: what is cut is cut, what is counted passed, NAT is one-way."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.lab import Lab
from lab.netns import ETHERNET_HEADER
from lab.places import LabError, Places

TALK = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3) as s:
    s.recv(1)
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two sites of two, the second behind NAT, and a hub."""
    made = Lab(Places(tmp_path_factory.mktemp("lab") / "state"))
    made.up(4, sites=2, daemon=False, wan="nats", nat=["branch1"])
    yield made
    made.down()


def wan(lab: Lab, node: str) -> dict[str, Any]:
    """What a node's daemon is told of the WAN."""
    section: dict[str, Any] = tomllib.loads(lab.node(node).config.read_text())["wan"]
    return section


def talks(lab: Lab, node: str, address: str = "10.77.2.4", port: int = 4222) -> bool:
    """Does somebody answer there?"""
    done = lab.exec(node, [sys.executable, "-c", TALK, address, str(port)], capture_output=True)
    return done.returncode == 0


def knocks(lab: Lab, node: str, address: str) -> bool:
    """Does the Asterisk there take a connection?"""
    knock = "import socket, sys; socket.create_connection((sys.argv[1], 5060), timeout=3)"
    done = lab.exec(node, [sys.executable, "-c", knock, address], capture_output=True)
    return done.returncode == 0


def test_every_node_is_told_of_the_hub_and_reaches_it(lab: Lab) -> None:
    """From either site."""
    assert all(
        wan(lab, n) == {"link": "nats", "connect": ["nats://10.77.2.4:4222"]} for n in "abcd"
    )
    assert talks(lab, "a")
    assert talks(lab, "b")
    found = lab.status()["wan"]
    assert found["hub"] == {"address": "10.77.2.4", "state": "up"}


def test_the_hub_is_killed_and_started(lab: Lab) -> None:
    """As a node is."""
    lab.kill("hub")
    assert lab.status()["wan"]["hub"]["state"] == "down"
    assert not talks(lab, "a")
    lab.start("hub")
    assert talks(lab, "a")


@pytest.mark.parametrize("what", ["site:branch1", "hub"])
def test_a_cut_site_is_alone_and_its_lan_is_not_cut(lab: Lab, what: str) -> None:
    """Until it is healed."""
    lab.cut(what)
    try:
        assert not talks(lab, "b")
        assert talks(lab, "a") == (what != "hub")
        assert knocks(lab, "b", "10.77.1.14")
    finally:
        lab.heal()
    assert talks(lab, "b")


def test_a_site_behind_nat_dials_out_and_is_not_dialled(lab: Lab) -> None:
    """Seen from outside it has the router's address."""
    listen = (
        "import socket; s = socket.create_server(('', 9000)); print(flush=True)\n"
        "c, (address, _) = s.accept(); c.sendall(b'x'); print(address)"
    )
    for listener, caller, address, seen in (
        ("a", "b", "10.77.0.11", "10.77.0.1"),
        ("b", "a", "10.77.1.12", None),
        ("b", "d", "10.77.1.12", "10.77.1.14"),
    ):
        namespace = lab.node(listener).host.namespace
        command = ["ip", "netns", "exec", namespace, sys.executable, "-c", listen]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            server.stdout.readline()
            assert talks(lab, caller, address, 9000) == (seen is not None)
            if seen is None:
                server.kill()
            else:
                assert server.stdout.read().strip() == seen


def test_the_links_frames_are_counted_at_the_node_and_at_the_sites_edge(lab: Lab) -> None:
    """Whole frames: what the node sends is what its site sends; other frames do not count."""
    before, at_edge = lab.bytes()["b"]["wan"], lab.edge_bytes()
    assert talks(lab, "b")
    assert not talks(lab, "b", "10.77.0.11", 9)
    after, edge = lab.bytes()["b"]["wan"], lab.edge_bytes()
    grown = {key: after[key] - before[key] for key in after}
    assert grown["tx_frames"] >= 4
    assert grown["tx_bytes"] >= grown["tx_frames"] * (ETHERNET_HEADER + 40)
    assert grown == {
        key: getattr(edge["branch1"], key) - getattr(at_edge["branch1"], key) for key in after
    }
    assert edge["main"] == at_edge["main"]


def test_rendezvous_are_nodes_of_two_sites_that_can_be_dialled(tmp_path: Path) -> None:
    """With zenoh there is no hub."""
    lab = Lab(Places(tmp_path / "state"))
    lab.up(4, sites=3, daemon=False, nat=["main"])
    try:
        both = ["10.77.1.12:8782", "10.77.2.13:8782"]
        assert wan(lab, "a") == {"link": "zenoh", "connect": both}
        assert wan(lab, "b") == {"link": "zenoh", "connect": both, "listen": both[0]}
        assert wan(lab, "d") == {"link": "zenoh", "connect": both}
        assert lab.status()["wan"] == {"link": "zenoh", "nat": ["main"], "hub": None}
        with pytest.raises(LabError, match="no node hub"):
            lab.kill("hub")
    finally:
        lab.down()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sites": 0}, "nodes = 2, sites = 0: 1 to 99 nodes on at most as many sites"),
        ({"wan": "mqtt"}, "wan = mqtt: must be one of none, zenoh, nats"),
        ({"nat": ["paris"]}, "nat = paris: the sites are main, branch1"),
        ({"nat": ["main", "branch1"]}, "one site at least must be such as others can dial"),
    ],
)
def test_a_lab_that_cannot_be_is_refused(
    options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    """Before anything is made."""
    lab = Lab(Places(tmp_path / "state"))
    with pytest.raises(LabError, match=words):
        lab.up(2, **{"sites": 2, **options})
    assert not lab.places.state.exists()
