"""Two sites of three real Asterisks each, over each kind of WAN link: calls, takeover, a cut, and what is left of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.lab.conftest import SECRET, Federation, a_lab
from tests.lab.furnishing import PROVIDER

EAST, WEST = "ace", "bdf"  # nodes are dealt over the sites in turn
CUT = 60.0  # seconds
ELSEWHERE = 2_500  # ms, as in a LAN (test_setup.py)


@pytest.fixture(scope="module", params=["zenoh", "nats"])
def two(request: pytest.FixtureRequest) -> Iterator[Federation]:
    """Six nodes on two sites that multicast does not connect."""
    with a_lab("sites", 6, extra={"b/pjsip.conf": PROVIDER}, sites=2, wan=request.param) as lab:
        federation = Federation(lab, EAST + WEST)
        federation.until(federation.whole, 30, what="both sites know each other")
        for number, node in ("2001", "a"), ("2002", "c"), ("2003", "b"), ("2004", "d"):
            federation.phone(number, node, known=federation.names)
        yield federation


def forwarder(federation: Federation, site: str) -> str:
    """Who speaks for the site that these nodes are of, by all of them alike; "" if they do not agree."""
    found = {federation.get(node, "/status")["sites"][0]["forwarder"] for node in site}
    return str(found.pop()) if len(found) == 1 else ""


def log_of(federation: Federation, node: str) -> Path:
    return federation.lab.node(node).folder / "log" / "pbxfed.log"


def test_calls_cross_from_site_to_site(two: Federation) -> None:
    """Both ways, and inside each."""
    for caller, called in ("2001", "2003"), ("2004", "2002"), ("2001", "2002"), ("2003", "2004"):
        result = two.lab.call(caller, called, hold=0.6)
        assert result.ok, result
        assert result.invites == 1


def test_who_rings_at_another_sites_asterisk_that_dies_goes_elsewhere_at_once(
    two: Federation,
) -> None:
    """Its daemon lives and is certain of that death: the other site hears it with the next report, which is sent at once."""
    lab = two.lab
    assert lab.http("a", "PATCH", "/extensions/2003", {"forward_unreachable": "2002"})[0] == 200
    two.until(two.whole)
    lab.manners("2003", answer_after_ms=None)
    before = int(lab.phone("2003")["invites"])
    try:
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(lab.dial, "2001", "2003", timeout=20)
            two.until(lambda: int(lab.phone("2003")["invites"]) == before + 1)
            time.sleep(0.5)
            lab.manners("2003")
            lab.kill("b", "asterisk")
            killed = time.time()
            dialled = call.result()
        took = dialled.setup_ms - (killed - dialled.started) * 1_000
        time.sleep(0.6)
        found = lab.finish(dialled)
    finally:
        lab.manners("2003")
        lab.start("b", "asterisk")
        lab.http("a", "PATCH", "/extensions/2003", {"forward_unreachable": ""})
    two.until(two.whole, 30)
    assert found.ok, found
    print(f"{found.details['answered_by']} had answered {took:.0f} ms after the death")
    assert took <= ELSEWHERE


def test_who_rings_late_at_another_site_is_not_cut(two: Federation) -> None:
    """A phone that is woken first, and a line whose provider takes five seconds: each is called once, and heard."""
    lab = two.lab
    line = {"site": "branch1", "endpoint": "provider", "nodes": ["b"], "patterns": ["_0X."]}
    assert lab.http("a", "PUT", "/trunks/city", line)[0] in (200, 201)
    two.until(two.whole)
    lab.register("provider", "b", secret=SECRET)
    two.until(lambda: all(one["takes_calls"] for n in EAST for one in two.get(n, "/members")))
    calls = [("2001", "2003", "2003"), ("2002", "030123", "provider")]
    before = {phone: int(lab.phone(phone)["invites"]) for _, _, phone in calls}
    for phone in before:
        lab.manners(phone, ring_after_ms=5_000)
    try:
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(lab.call, one, to, hold=0.6, timeout=12) for one, to, _ in calls]
            results = [one.result() for one in asked]
    finally:
        for phone in before:
            lab.manners(phone)
    for result in results:
        assert result.ok, result
    assert {phone: int(lab.phone(phone)["invites"]) - n for phone, n in before.items()} == (
        dict.fromkeys(before, 1)
    )


def test_over_iax2_a_phone_sends_on_to_whichever_site(two: Federation) -> None:
    """By a word that the forwarders pass on: it is rung once, by no second trunk, and the call goes on from its own node."""
    lab = two.lab
    lab.configure("b", "calls", "trunks", ["iax2", "sip"])
    two.until(lambda: two.get("a", "/route/2003")["tries"][0]["legs"][0]["trunk"] == "iax2")
    before = int(lab.phone("2003")["invites"])
    try:
        for to in "2002", "2004":
            lab.manners("2003", refuse="302 Moved Temporarily", send_to=to)
            found = lab.call("2001", "2003", hold=0.6, timeout=8)
            assert found.ok, found
            assert found.details["answered_by"] == to
    finally:
        lab.manners("2003")
        lab.configure("b", "calls", "trunks", ["sip", "iax2"])
    assert int(lab.phone("2003")["invites"]) == before + 2
    two.until(lambda: two.get("a", "/route/2003")["tries"][0]["legs"][0]["trunk"] == "sip")


@pytest.mark.parametrize("called", ["2002", "2003"], ids=["in a LAN", "at another site"])
def test_a_phone_that_refuses_at_once_is_called_once(two: Federation, called: str) -> None:
    """That its node has heard the call is known before its refusal: so it is not sent by the other trunk."""
    lab = two.lab
    before = int(lab.phone(called)["invites"])
    lab.manners(called, refuse="503 Service Unavailable")
    try:
        results = [lab.call("2001", called, timeout=8) for _ in range(10)]
    finally:
        lab.manners(called)
    assert [str(result.cause).partition(" ")[0] for result in results] == ["503"] * 10
    assert int(lab.phone(called)["invites"]) == before + 10


def test_over_iax2_no_daemon_need_say_that_a_call_is_there(two: Federation) -> None:
    """The link between the sites has just died: the called Asterisk itself says PROCEEDING, and its phone is waited for."""
    lab = two.lab
    lab.configure("b", "calls", "trunks", ["iax2", "sip"])
    two.until(lambda: two.get("a", "/route/2003")["tries"][0]["legs"][0]["trunk"] == "iax2")
    before = int(lab.phone("2003")["invites"])
    lab.manners("2003", ring_after_ms=4_500)
    try:
        for node in WEST:
            lab.drop(node, "meta l4proto tcp", outgoing=True)
        result = lab.call("2001", "2003", hold=0.6, timeout=8)
    finally:
        for node in WEST:
            lab.undrop(node)
        lab.manners("2003")
        lab.configure("b", "calls", "trunks", ["sip", "iax2"])
    assert (result.ok, result.trunk) == (True, "iax2"), result
    assert int(lab.phone("2003")["invites"]) == before + 1
    two.until(two.whole, 30)


def test_a_dead_forwarder_is_replaced_within_three_seconds(two: Federation) -> None:
    """What is registered at the moment of its death arrives by the next one."""
    two.until(lambda: bool(forwarder(two, EAST)))
    victim = forwarder(two, EAST)
    other = next(node for node in EAST if node != victim)
    left = [node for node in two.names if node != victim]
    two.add("2009", node=other)
    began = time.monotonic()
    two.lab.kill(victim)
    two.lab.register("2009", other)
    took = two.until(lambda: all(two.where("2009", node) == [other] for node in left))
    total = time.monotonic() - began
    print(f"the forwarder killed: news of its site everywhere {total:.2f} s later")
    assert took < 3.0
    two.lab.start(victim)
    two.until(two.whole, 30)
    two.lab.unregister("2009")


def test_a_cut_between_sites_is_survived_and_healed(
    two: Federation, request: pytest.FixtureRequest
) -> None:
    """Both go on serving; phones move and extensions change on both; after it all hold the same, and nothing is lost."""
    link = two.get("a", "/status")["wan"]["link"]
    lab = two.lab
    for node in two.names:
        two.until(lambda node=node: two.get(node, "/status")["extensions"] >= 4)  # type: ignore[misc]
    two.phone("2010", "a", known=two.names)
    marks = {node: log_of(two, node).stat().st_size for node in two.names}
    lab.cut("site:branch1")
    began = time.monotonic()
    two.until(lambda: two.state("a", "b") == "down" and two.state("b", "a") == "down", 15)
    for caller, called in ("2001", "2002"), ("2003", "2004"):
        result = lab.call(caller, called, hold=0.4)
        assert result.ok, result
    lab.add_extension("2011", name="East", secret=SECRET, node="c")
    lab.add_extension("2012", name="West", secret=SECRET, node="f")
    lab.http("a", "PATCH", "/extensions/2010", {"name": "Named in the east"})
    lab.http("d", "PATCH", "/extensions/2010", {"name": "Named in the west"})
    lab.register("2010/2", "f", home="f")
    two.until(lambda: all(two.where("2010", node) == ["f"] for node in WEST))
    assert two.where("2010", "c") == ["a"]
    time.sleep(max(0.0, CUT - (time.monotonic() - began)))
    lab.heal()
    took = two.until(lambda: len({two.get(n, "/status")["vector"] for n in two.names}) == 1)
    print(
        f"{link}: after a cut of {CUT:.0f} s all fingerprints are equal {took:.2f} s after healing"
    )
    assert took <= 2.0
    names = {str(two.get(n, "/extensions/2010")["name"]) for n in two.names}
    assert len(names) == 1
    for node in two.names:
        assert two.get(node, "/extensions/2011")["name"] == "East"
        assert two.get(node, "/extensions/2012")["name"] == "West"
        two.until(lambda node=node: two.where("2010", node) == ["f"], 2)  # type: ignore[misc]  # f must be held alive, too
    two.until(two.whole, 20)
    reported = [
        node for node in two.names if "conflict" in log_of(two, node).read_text()[marks[node] :]
    ]
    assert reported, "nobody reported the contested field"
    result = lab.call("2001", "2003", hold=0.4)
    assert result.ok, result
