"""What operators are told by real daemons: numbers claimed twice, clocks that run wrong; in words and as events."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.conftest import SECRET, Federation


def events(federation: Federation, node: str, name: str) -> list[dict[str, Any]]:
    """The fields of a node's events of one name."""
    return [e["fields"] for e in federation.get(node, "/events?limit=1000") if e["event"] == name]


def test_a_number_added_on_both_sides_of_a_cut_is_told_everywhere_and_one_is_removed_by_its_id(
    federation: Federation,
) -> None:
    """The older claim stands; every node names both, and how to end it."""
    lab = federation.lab
    lab.cut("c")
    federation.until(lambda: federation.state("c", "a") == "down")
    for node, name in ("a", "First"), ("c", "Second"):
        lab.pbxfed(node, "ext", "add", "1077", "--name", name, "--secret", SECRET)
    lab.heal()
    federation.until(federation.whole)
    federation.until(
        lambda: all(len(events(federation, node, "number_contested")) == 1 for node in "abc")
    )
    told = [events(federation, node, "number_contested")[0] for node in "abc"]
    typed = json.loads(lab.pbxfed("a", "events", "--json"))
    assert told[0] in [event["fields"] for event in typed]
    assert told[0] == told[1] == told[2]
    assert (told[0]["winner"], told[0]["loser"]) == ("First", "Second")
    assert "pbxfed_contested_numbers 1" in metrics(federation, "b")

    listed = json.loads(lab.pbxfed("b", "ext", "list", "--json"))
    both = [(e["name"], e["state"], e["id"]) for e in listed if e["extension"] == "1077"]
    assert both == [
        ("First", "active", told[0]["winner_id"]),
        ("Second", "contested", told[0]["loser_id"]),
    ]
    assert "no object 78ff claims it" in federation.refused(
        "b", "ext", "rm", "1077", "--id", "78ff"
    )
    lab.pbxfed("b", "ext", "rm", "1077", "--id", told[0]["loser_id"])
    federation.until(lambda: "pbxfed_contested_numbers 0" in metrics(federation, "c"))
    assert events(federation, "b", "number_settled")[-1]["holder"] == "First"
    assert json.loads(lab.pbxfed("a", "ext", "show", "1077", "--json"))["name"] == "First"
    lab.pbxfed("a", "ext", "rm", "1077")


def metrics(federation: Federation, node: str) -> str:
    return str(federation.get(node, "/metrics"))


def ring(federation: Federation, node: str) -> list[str]:
    return [one["node"] for one in federation.get(node, "/ring")["members"]]


@pytest.fixture
def wrong_clock(federation: Federation) -> Iterator[Federation]:
    """The daemon of c can be told another time than the machine's."""
    lab = federation.lab
    lab.set_clock("c", 0)
    lab.kill("c", "daemon")
    try:
        lab.start("c", "daemon")
        federation.until(federation.whole)
        yield federation
    finally:
        lab.kill("c", "daemon")
        lab.node("c").clock.unlink()
        lab.start("c", "daemon")
    federation.until(federation.whole)
    lab.pbxfed("c", "ext", "set", "1001", "--name", "Phone 1001")


def test_a_node_whose_clock_is_stepped_refuses_edits_and_nothing_else(
    wrong_clock: Federation,
) -> None:
    """Both times and the remedy; the others name it, and its homes move; its phones are served on; right again it is back."""
    federation, lab = wrong_clock, wrong_clock.lab
    federation.phone("1001", "a")
    federation.phone("1002", "b")
    lab.set_clock("c", 3_600)
    took = federation.until(lambda: ring(federation, "a") == ring(federation, "b") == ["a", "b"])
    status, body = lab.http("c", "GET", "/health")
    assert (status, body["status"]) == (503, "sick")
    assert "the clock is off its peers' median by 3" in body["reasons"][0]
    words = federation.refused("c", "ext", "set", "1001", "--name", "New")
    for part in (
        "this node's clock says 20",
        "the median of its 2 peers' 20",
        "s ahead",
        "timedatectl",
    ):
        assert part in words
    lab.register("1001", "c")
    federation.until(lambda: federation.where("1001", "a") == ["c"])
    federation.until(lambda: events(federation, "a", "peer_clock_off") != [], 60)
    assert events(federation, "a", "peer_clock_off")[0]["node"] == "c"
    assert "node c: its clock is 3" in lab.pbxfed("a", "status")
    assert "this node's clock says" in lab.pbxfed("c", "status")
    assert lab.call("1002", "1001", hold=0.4).ok, "who is registered there is called there"
    lab.set_clock("c", 0)
    righted = time.monotonic()
    lab.pbxfed("c", "ext", "set", "1001", "--name", "New")
    federation.until(lambda: events(federation, "a", "peer_clock_off_no_more") != [], 60)
    federation.until(lambda: ring(federation, "a") == ["a", "b", "c"])
    back = time.monotonic() - righted
    print(f"clock an hour ahead: out after {took:.1f} s, back {back:.1f} s after it was right")
