"""Bridge mode with real Asterisks: the same calls as by handover, media checked; a daemon that dies and comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.phone import PhoneRefused
from tests.lab.conftest import Federation
from tests.lab.furnishing import (
    both_hear,
    bridges,
    calm,
    connecting,
    in_bridge_mode,
    nothing_left,
    put,
    registered,
    rings_in_mode,
    set_up,
    turns,
)
from tests.lab.stranger import Stranger

PHONES = {"1001": "a", "1002": "a", "1003": "c", "1004": "b"}


@pytest.fixture
def bridged(federation: Federation) -> Iterator[Federation]:
    """All nodes own the legs of their calls."""
    with registered(federation, PHONES), connecting(federation.lab, "bridge"):
        calm(federation, "bridge")
        yield federation


def was_bridged(federation: Federation) -> bool:
    """The last call from a to c, which is over: by both nodes."""
    federation.until(lambda: all(federation.get(node, "/calls") == [] for node in "ac"), 5)
    asked = "/calls/records?last=true&limit=1&parts=true"
    return {federation.get(node, asked)[0]["control"] for node in "ac"} == {"bridge"}


@pytest.mark.parametrize("called", ["1002", "1003"], ids=["local", "cross-node"])
def test_a_call_is_bridged_and_leaves_nothing(bridged: Federation, called: str) -> None:
    """The displays are right; it rings once; our bridge stands while they talk."""
    lab = bridged.lab
    dialled = in_bridge_mode(bridged, "1001", called)
    assert bridges(bridged, "a")
    call = lab.calls_of("1001", dialled.started)[-1]
    assert call["provisional"].count(180) == 1
    assert call["display"] == {"number": called, "name": f"Phone {called}"}
    time.sleep(0.6)
    result = lab.finish(dialled)
    assert result.ok, result
    assert result.caller_id == {"name": "Phone 1001", "number": "1001"}
    assert result.invites == 1
    nothing_left(bridged)


def test_by_iax2(bridged: Federation) -> None:
    """The other trunk."""
    for node in "ac":
        bridged.lab.configure(node, "calls", "trunks", ["iax2", "sip"])
    try:
        bridged.until(
            lambda: bridged.get("a", "/route/1003")["tries"][0]["legs"][0]["trunk"] == "iax2"
        )
        dialled = in_bridge_mode(bridged, "1001", "1003")
        time.sleep(0.6)
        result = bridged.lab.finish(dialled, ways=True)
    finally:
        for node in "ac":
            bridged.lab.configure(node, "calls", "trunks", ["sip", "iax2"])
    assert result.ok, result
    assert result.trunk == "iax2"
    nothing_left(bridged)


@pytest.mark.parametrize("trunk", ["sip", "iax2"])
def test_who_hangs_up_at_once_without_a_sound_leaves_nobody_in_silence(
    bridged: Federation, trunk: str
) -> None:
    """Asterisk waits for his sound when he is answered, and forgets meanwhile that he has hung up."""
    stranger = Stranger(bridged.lab, "a", "1001")
    try:
        with set_up(bridged, "bridge", trunk):
            for _ in turns():
                since = time.time()
                assert stranger.invite("1003", silent=True) == "200"
                bridged.until(lambda: _ended(bridged, "1003", since), 5)  # noqa: B023
                nothing_left(bridged)
                if was_bridged(bridged):
                    break
    finally:
        stranger.close()


def test_causes_cross_the_bridge(bridged: Federation) -> None:
    """Busy, nowhere, and a caller who gives up."""
    lab = bridged.lab
    for refusal in "486 Busy Here", "603 Decline":
        lab.manners("1003", refuse=refusal)
        for _ in turns():
            before = int(lab.phone("1003")["invites"])
            assert bridged.fails("1001", "1003") == (486, ["Q.850;cause=17"])
            assert int(lab.phone("1003")["invites"]) == before + 1
            if was_bridged(bridged):
                break
    assert bridged.fails("1001", "7777") == (404, ["Q.850;cause=1"])
    lab.manners("1003", answer_after_ms=None)
    for _ in turns():
        since = time.time()
        with pytest.raises(PhoneRefused):
            lab.dial("1001", "1003", timeout=1.5)
        bridged.until(lambda: _ended(bridged, "1003", since), 5)  # noqa: B023
        nothing_left(bridged)
        if was_bridged(bridged):
            break


def _ended(federation: Federation, phone: str, since: float) -> bool:
    """All its calls since."""
    return {call["state"] for call in federation.lab.calls_of(phone, since)} == {"ended"}


@pytest.mark.parametrize("called", ["1002", "1003"], ids=["local", "cross-node"])
def test_the_cause_of_who_hangs_up_is_passed_on(bridged: Federation, called: str) -> None:
    """Whoever it is: 47 is "resource unavailable", as a gateway says it that has lost its line."""
    lab = bridged.lab
    for ends, other in ("1001", called), (called, "1001"):
        in_bridge_mode(bridged, "1001", called)
        time.sleep(0.2)
        last = {phone: lab.calls_of(phone)[-1]["call"] for phone in (ends, other)}
        lab.end(ends, last[ends], cause=47)
        bridged.until(lambda: lab.calls_of(other)[-1]["state"] == "ended", 5)  # noqa: B023
        told = lab.calls_of(other)[-1]
        assert (told["call"], told["reasons"]) == (last[other], ["Q.850;cause=47"])


def test_devices_here_and_there_ring_together(bridged: Federation) -> None:
    """The first answer wins, the others stop. All speak early (183), and the caller hears it ring."""
    lab = bridged.lab
    bridged.add("1031")
    lab.http("a", "PATCH", "/extensions/1031", {"devices": 3})
    bridged.until(bridged.whole)
    for phone, node in ("1031", "a"), ("1031/2", "a"), ("1031/3", "c"):
        lab.register(phone, node, home=node)
    bridged.until(lambda: sorted(bridged.where("1031", "a")) == ["a", "a", "c"])
    for phone, after in ("1031", None), ("1031/2", None), ("1031/3", 1_000):
        lab.manners(phone, answer_after_ms=after, early=True)
    dialled = in_bridge_mode(bridged, "1001", "1031")
    since = dialled.started
    time.sleep(0.6)
    result = lab.finish(dialled)
    assert result.ok, result
    assert 180 in lab.calls_of("1001", since)[-1]["provisional"]
    assert result.details["answered_by"] == "1031/3"
    for phone in "1031", "1031/2":
        bridged.until(
            lambda phone=phone: [c["state"] for c in lab.calls_of(phone, since)] == ["ended"],  # type: ignore[misc]
            5,
            what=f"{phone} stops",
        )
    for phone in "1031", "1031/2", "1031/3":
        lab.unregister(phone)
    nothing_left(bridged)


def test_a_daemon_that_dies_and_returns_loses_no_conversation_and_leaves_nothing(
    bridged: Federation,
) -> None:
    """Two talk, and go on; hung up, all is gone."""
    lab = bridged.lab
    talking = [in_bridge_mode(bridged, *pair) for pair in (("1001", "1003"), ("1004", "1002"))]
    time.sleep(0.5)
    lab.kill("a", "daemon")
    time.sleep(1)
    assert all(both_hear(bridged, dialled) for dialled in talking)
    began = time.monotonic()
    lab.start("a", "daemon")
    bridged.until(bridged.whole)
    print(f"live again after {time.monotonic() - began:.1f} s")
    time.sleep(0.5)
    assert all(both_hear(bridged, dialled) for dialled in talking)
    shown = {call["from"]: call for call in bridged.get("a", "/calls")}
    assert {who: call["to"] for who, call in shown.items()} == {"1001": "1003", "1004": "1002"}
    assert shown["1001"]["tries"][0]["legs"] == [{"node": "c", "trunk": "sip"}]
    assert shown["1004"]["tries"][0]["legs"] == [{"node": "a", "trunk": None}]
    before = {call["call"] for call in shown.values()}
    for dialled in talking:
        lab.hang_up(dialled)
    nothing_left(bridged)
    kept = bridged.get("a", "/calls/records?last=true&limit=2&parts=true")
    assert {one["call"] for one in kept} == before
    for one in kept:
        assert one["answered"]
        assert one["tries"] == 1
        assert one["reached"] == {"1001": "1003", "1004": "1002"}[one["from"]]
        assert one["seconds"] > one["talked_seconds"] > 2
        assert abs(time.time() * 1_000 - one["began_ms"] - one["seconds"] * 1_000) < 3_000


def test_who_is_answered_while_the_daemon_is_away_talks_for_as_long_as_he_likes(
    bridged: Federation,
) -> None:
    """Asterisk passes the answer on by itself; the time that he had to wait for it limits nothing any more."""
    lab = bridged.lab
    lab.manners("1002", answer_after_ms=2_000)
    with ThreadPoolExecutor(1) as pool:
        call = rings_in_mode("bridge", bridged, pool, "1001", "1002")
        lab.kill("a", "daemon")
        dialled = call.result()
    caller = "PJSIP/1001-" + lab.asterisk("a", "core show channels concise").split("PJSIP/1001-")[1]
    shown = f"core show channel {caller.partition('!')[0]}"
    assert "Time to Hangup: 0" not in lab.asterisk("a", shown)
    lab.start("a", "daemon")
    bridged.until(bridged.whole)
    bridged.until(lambda: "Time to Hangup: 0" in lab.asterisk("a", shown), 5)
    assert both_hear(bridged, dialled)
    lab.hang_up(dialled)
    nothing_left(bridged)


@pytest.mark.parametrize("called", ["1002", "1003"], ids=["here", "at a peer"])
def test_a_phone_that_rings_while_the_daemon_dies_and_returns_rings_on(
    bridged: Federation, called: str
) -> None:
    """It rings once, and is answered by a daemon that did not let it ring."""
    lab = bridged.lab
    lab.manners(called, answer_after_ms=6_000)
    with ThreadPoolExecutor(1) as pool:
        call = rings_in_mode("bridge", bridged, pool, "1001", called)
        rung = len(lab.calls_of(called))
        lab.kill("a", "daemon")
        time.sleep(0.2)
        lab.start("a", "daemon")
        bridged.until(bridged.whole)
        dialled = call.result()
    time.sleep(0.5)
    assert both_hear(bridged, dialled)
    assert len(lab.calls_of(called)) == rung
    lab.hang_up(dialled)
    nothing_left(bridged)


@pytest.mark.parametrize("after", [3_000, 8_000], ids=["while it is away", "when it is back"])
@pytest.mark.parametrize("first", ["1002", "1003"], ids=["here", "at a peer"])
def test_several_that_ring_while_the_daemon_dies_and_returns_ring_on(
    bridged: Federation, first: str, after: int
) -> None:
    """Each rings once; who has answered talks when the daemon is there, and the others stop."""
    lab, members = bridged.lab, ["1002", "1003", "1004"]
    put(bridged, "group", "601", members=members, strategy="all")
    for phone in members:
        lab.manners(phone, answer_after_ms=after if phone == first else None)
    with ThreadPoolExecutor(1) as pool:
        call = rings_in_mode("bridge", bridged, pool, "1001", "601", first)
        time.sleep(0.5)
        rung = {phone: len(lab.calls_of(phone)) for phone in members}
        lab.kill("a", "daemon")
        time.sleep(3.0)
        lab.start("a", "daemon")
        bridged.until(bridged.whole)
        dialled = call.result()
    time.sleep(0.5)
    assert both_hear(bridged, dialled)
    assert {phone: len(lab.calls_of(phone)) for phone in members} == rung
    for phone in members:
        ended = lab.calls_of(phone)[-1]["state"] == "ended"
        assert ended == (phone != first)
    lab.hang_up(dialled)
    nothing_left(bridged)


def test_the_other_side_hangs_up_while_the_daemon_is_away(bridged: Federation) -> None:
    """Nobody was there to end the other leg: the returned daemon does."""
    lab = bridged.lab
    dialled = in_bridge_mode(bridged, "1001", "1002")
    time.sleep(0.3)
    lab.kill("a", "daemon")
    (call,) = lab.calls_of("1002", dialled.started)
    lab.end("1002", call["call"])
    lab.start("a", "daemon")
    bridged.until(bridged.whole)
    nothing_left(bridged)
