"""What lies between sites fails: the hub is killed, and the router of a site behind NAT forgets all conversations."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.conftest import SECRET, Federation, a_lab

EAST, WEST = "ac", "bd"  # the second site stands behind NAT
HUB = {"nats": ("hub", "all"), "zenoh": ("a", "daemon")}  # with zenoh a node is the rendezvous


@pytest.fixture(scope="module", params=HUB)
def two(request: pytest.FixtureRequest) -> Iterator[Federation]:
    """Two sites of two nodes, of which one can dial out and not be dialled."""
    with a_lab("hub", 4, sites=2, wan=request.param, nat=["branch1"]) as lab:
        federation = Federation(lab, EAST + WEST)
        federation.until(federation.whole, 30, what="both sites know each other")
        yield federation


def known(federation: Federation, number: str) -> bool:
    """Does every node hold this extension?"""
    found = [federation.lab.http(n, "GET", f"/extensions/{number}")[0] for n in federation.names]
    return found == [200] * len(found)


def test_a_killed_hub_is_survived_and_its_return_noticed(two: Federation) -> None:
    """Each site goes on, takes edits, and holds the other for dead; with the hub back all is said, and nothing lost."""
    lab = two.lab
    hub, what = HUB[two.get("b", "/status")["wan"]["link"]]
    lab.kill(hub, what)
    two.until(lambda: {two.state("c", n) for n in WEST} == {"down"}, 15, what="east alone")
    two.until(lambda: {two.state("b", n) for n in EAST} == {"down"}, 15, what="west alone")
    lab.add_extension("3001", name="East", secret=SECRET, node="c")
    lab.add_extension("3002", name="West", secret=SECRET, node="d")
    assert lab.http("b", "GET", "/extensions/3001")[0] == 404
    lab.start(hub, what)
    took = two.until(lambda: known(two, "3001") and known(two, "3002"))
    print(f"the hub is back: both sites hold the same {took:.2f} s later")
    two.until(two.whole)


def test_a_nat_that_forgets_is_dialled_through_anew(two: Federation) -> None:
    """What is said afterwards arrives, both ways, and no edit is lost with the old line."""
    lab = two.lab
    two.until(two.whole)
    logs = [lab.node(name).folder / "log" / "pbxfed.log" for name in WEST]
    marks = [log.stat().st_size for log in logs]
    lab.network.forget_conversations()
    lab.add_extension("3003", name="East", secret=SECRET, node="c")
    lab.add_extension("3004", name="West", secret=SECRET, node="d")
    took = two.until(lambda: known(two, "3003") and known(two, "3004"))
    print(f"the NAT forgot: both sites hold the same {took:.2f} s later")
    since = [log.read_text()[mark:] for log, mark in zip(logs, marks, strict=True)]
    assert any("the WAN link is down" in text for text in since)
    two.until(two.whole)
