"""Real calls between real Asterisks: who is called is rung, once; each hears the other; the display is right."""

from __future__ import annotations

import re
import time

import pytest

from lab.calls import CallResult
from lab.phone import PhoneRefused
from pbxfed_ari.asterisk.contacts import SETTLED
from tests.lab.conftest import Federation
from tests.lab.furnishing import both_hear, in_mode, set_up

CACHE = 75.0  # seconds: how long Asterisk keeps an aor at hand (dialplan/sorcery.conf), and some


def good(result: CallResult, *, trunk: str | None, caller: str) -> None:
    assert result.ok, result
    assert result.trunk == trunk
    assert result.invites == 1
    assert result.caller_id == {"name": f"Phone {caller}", "number": caller}


def test_a_call_inside_one_node(federation: Federation) -> None:
    """No trunk, no detour."""
    federation.phone("1001", "a")
    federation.phone("1002", "a")
    good(federation.lab.call("1001", "1002", hold=0.6), trunk=None, caller="1001")


@pytest.mark.parametrize("trunks", [["sip", "iax2"], ["iax2", "sip"]], ids=["sip", "iax2"])
def test_a_call_across_by_the_trunk_that_the_callee_asks_for(
    federation: Federation, trunks: list[str]
) -> None:
    """Both kinds of trunk, both ways, with name and number."""
    federation.phone("1001", "a")
    federation.phone("1003", "c")
    for node in "ac":
        federation.lab.configure(node, "calls", "trunks", trunks)
    for node, number in ("a", "1003"), ("c", "1001"):
        federation.until(
            lambda node=node, number=number: (
                federation.get(node, f"/route/{number}")["tries"][0]["legs"][0]["trunk"]  # type: ignore[misc]
                == trunks[0]
            )
        )
    try:
        good(federation.lab.call("1001", "1003", hold=0.6), trunk=trunks[0], caller="1001")
        good(federation.lab.call("1003", "1001", hold=0.6), trunk=trunks[0], caller="1003")
    finally:
        for node in "ac":
            federation.lab.configure(node, "calls", "trunks", ["sip", "iax2"])


def test_a_call_to_nowhere_is_refused_at_once(federation: Federation) -> None:
    """Nobody has the number: 404. Nobody is registered: 480."""
    federation.phone("1001", "a")
    federation.add("1009")
    began = time.monotonic()
    assert federation.fails("1001", "7777") == (404, ["Q.850;cause=1"])
    assert federation.fails("1001", "1009") == (480, ["Q.850;cause=20"])
    assert time.monotonic() - began < 2.0


# what a phone says after a ring, and what its caller's phone is told of it, with which cause (Q.850)
REFUSALS = {
    "486 Busy Here": (486, 17),
    "603 Decline": (486, 17),
    "480 Temporarily Unavailable": (480, 19),
    "404 Not Found": (404, 1),
    "503 Service Unavailable": (503, 34),
    "504 Server Time-out": (500, 38),
}


@pytest.mark.parametrize("trunk", ["sip", "iax2"])
@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_a_refusal_is_the_same_for_the_caller_by_every_way(
    federation: Federation, control: str, trunk: str
) -> None:
    """Here and across the trunk, without a second try."""
    lab = federation.lab
    for number, node in ("1001", "a"), ("1002", "a"), ("1003", "c"):
        federation.phone(number, node)
    with set_up(federation, control, trunk):
        try:
            for called in ("1002", "1003") if trunk == "sip" else ("1003",):
                before = int(lab.phone(called)["invites"])
                for refusal, (status, cause) in REFUSALS.items():
                    lab.manners(called, refuse=refusal, answer_after_ms=100)
                    told = status, [f"Q.850;cause={cause}"]
                    assert federation.fails("1001", called) == told, (called, refusal)
                assert int(lab.phone(called)["invites"]) == before + len(REFUSALS)
        finally:
            for called in "1002", "1003":
                lab.manners(called)


@pytest.mark.parametrize(
    "places", [("b", "b"), ("b", "c"), ("a", "c")], ids=["one-node", "two-nodes", "here-and-there"]
)
def test_two_devices_of_one_number_ring_together(
    federation: Federation, places: tuple[str, str]
) -> None:
    """On one node or on two: both ring, once, and who answers has the call."""
    lab = federation.lab
    federation.phone("1001", "a")
    federation.add("1030")
    lab.http("a", "PATCH", "/extensions/1030", {"devices": 2})
    federation.until(federation.whole)
    lab.register("1030", places[0], home="b")
    lab.register("1030/2", places[1], home="c")
    federation.until(lambda: sorted(federation.where("1030", "a")) == sorted(places))
    lab.manners("1030", answer_after_ms=None)
    lab.manners("1030/2", answer_after_ms=1_000)
    before = [int(lab.phone(phone)["invites"]) for phone in ("1030", "1030/2")]
    try:
        result = lab.call("1001", "1030", hold=0.6)
    finally:
        lab.manners("1030", answer_after_ms=0)
    rang = [int(lab.phone(phone)["invites"]) for phone in ("1030", "1030/2")]
    assert result.ok, result
    assert result.details["answered_by"] == "1030/2"
    assert rang == [count + 1 for count in before]
    for phone in "1030", "1030/2":
        lab.unregister(phone)


def test_a_wrong_secret_is_refused_by_every_asterisk(federation: Federation) -> None:
    """Each authenticates each phone by its digest."""
    federation.add("1010")
    for node in "abc":
        with pytest.raises(PhoneRefused, match="401"):
            federation.lab.register("1010", node, secret="another-secret-1")


@pytest.mark.parametrize("same_contact", [True, False], ids=["same-contact", "new-contact"])
def test_a_phone_that_moved_is_found_250_ms_later(
    federation: Federation, same_contact: bool
) -> None:
    """Twenty moves, twenty calls, one INVITE each: b → c → b within one registration."""
    lab = federation.lab
    federation.phone("1001", "a")
    federation.phone("1004", "b")
    for turn in range(10):
        place = "cb"[turn % 2]
        lab.register("1004", place, same_contact=same_contact, timers={"expires": 3600})
        time.sleep(0.25)
        result = lab.call("1001", "1004", hold=0.4)
        assert result.ok, (turn, result)
        assert result.nodes == ("a", place)
        assert result.invites == 1


@pytest.mark.parametrize(
    "change", [["--name", "Anew"], ["--devices", "2"]], ids=["name", "devices"]
)
def test_a_phone_that_was_changed_while_registered_moves_and_leaves_like_any_other(
    federation: Federation, change: list[str]
) -> None:
    """Nothing of where it was stays behind: not in the federation, nor in Asterisk."""
    lab = federation.lab
    federation.phone("1005", "c")
    federation.phone("1001", "a")
    lab.pbxfed("b", "ext", "set", "1005", *change)
    federation.until(federation.whole)
    assert lab.call("1001", "1005", hold=0.4).ok, "its registration has outlived the change"
    federation.phone("1005", "b")
    time.sleep(2 * SETTLED)  # c has looked for latecomers
    assert [federation.where("1005", node) for node in "abc"] == [["b"]] * 3
    federation.until(lambda: "sip:1005@" not in aor(federation, "c", "1005"), CACHE)
    lab.unregister("1005")
    federation.until(lambda: [federation.where("1005", node) for node in "abc"] == [[]] * 3)
    lab.pbxfed("a", "ext", "rm", "1005")


def aor(federation: Federation, node: str, number: str) -> str:
    """What a node's Asterisk shows of a phone's registrations."""
    shown = federation.lab.asterisk(node, f"pjsip show aor {number}")
    assert "max_contacts" in shown
    return shown


def test_pushed_phones_work_after_asterisk_restarts_without_its_daemon(
    federation: Federation,
) -> None:
    """A PBX is never worse off for having joined: its phones register and call one another."""
    lab = federation.lab
    federation.phone("1001", "a")
    federation.phone("1002", "a")
    time.sleep(1.5)  # Asterisk writes its database once a second
    lab.kill("a", "daemon")
    lab.kill("a", "asterisk")
    lab.start("a", "asterisk")
    for number in "1001", "1002":
        lab.register(number, "a")
    result = lab.call("1001", "1002", hold=0.6)
    assert result.ok, result
    lab.start("a", "daemon")
    federation.until(federation.whole)


def test_a_local_call_needs_no_daemon_and_a_federated_one_comes_back_with_it(
    federation: Federation,
) -> None:
    """The dialplan's local path, then the daemon again."""
    lab = federation.lab
    for number, node in ("1001", "a"), ("1002", "a"), ("1003", "c"):
        federation.phone(number, node)
    lab.kill("a", "daemon")
    assert lab.call("1001", "1002", hold=0.6).ok
    lab.start("a", "daemon")
    federation.until(federation.whole)
    good(lab.call("1001", "1003", hold=0.6), trunk="sip", caller="1001")


def test_an_established_call_survives_its_daemon(federation: Federation) -> None:
    """Handed over is handed over."""
    lab = federation.lab
    federation.phone("1001", "a")
    federation.phone("1003", "c")
    talking = lab.dial("1001", "1003")
    lab.kill("a", "daemon")
    lab.kill("c", "daemon")
    time.sleep(1.0)
    heard = both_hear(federation, talking)
    lab.hang_up(talking)
    lab.start_all("ac", "daemon")
    assert heard
    federation.until(federation.whole)


@pytest.mark.parametrize(("control", "trunk"), [("handover", "sip"), ("bridge", "iax2")])
def test_one_record_a_call_across_nodes(federation: Federation, control: str, trunk: str) -> None:
    """At the node that it came to first, with its tries; the other node has its part under the same id."""
    federation.phone("1001", "a")
    federation.phone("1003", "c")
    with set_up(federation, control, trunk):
        dialled = in_mode(control, federation, "1001", "1003")
        time.sleep(1.0)
        assert federation.lab.way("1001").trunk == trunk
    going_on = federation.lab.pbxfed("a", "calls")
    assert re.search(r"talking +1001 +1003 +phone +\d+\.\d+ +1003 answered \d\.\ds", going_on), (
        going_on
    )
    assert federation.lab.finish(dialled).ok
    took = time.time() - dialled.started
    federation.until(lambda: federation.get("a", "/calls") == [] == federation.get("c", "/calls"))
    (record,) = federation.get("a", "/calls/records?last=true&limit=1")
    assert (record["from"], record["to"], record["reached"]) == ("1001", "1003", "1003")
    assert record["answered"] is True
    assert 0.8 < record["talked_seconds"] < took + 0.5
    assert [one["outcome"] for one in record["attempts"]] == ["answered"]
    parts = federation.get("c", "/calls/records?last=true&limit=5&parts=true")
    (part,) = [one for one in parts if one["call"] == record["call"]]
    assert (part["peer"], part["control"], record["control"]) == ("a", control, control)
    shown = federation.lab.pbxfed("a", "calls", "--ended", "--last", "1", "--number", "1003")
    assert "1001" in shown
    table = federation.lab.pbxfed("a", "calls", "--csv", "--number", "1003")
    assert table.splitlines()[0].startswith("call,node,began,from,to")
    assert record["call"] in table
    log = federation.lab.node("a").folder / "log" / "pbxfed.log"
    (told,) = [line for line in log.read_text().splitlines() if record["call"] in line]
    assert told.endswith(f"last='1003 is registered on c (by {trunk})'"), "one line says it all"


def test_chan_iax2_reads_the_frames_of_a_call_in_one_thread(federation: Federation) -> None:
    """In several they come into disorder, and now and then an answer is never seen (docs/limits.md)."""
    for node in federation.names:
        said = federation.lab.asterisk(node, "iax2 show threads")
        assert "1 of 1 threads accounted for with 0 dynamic threads" in said
