"""Real calls by objects of every kind: groups, forwards, services; media checked."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab.lab import Lab
from lab.phone import PhoneRefused
from tests import documents
from tests.lab.conftest import SECRET, Federation, looked_after
from tests.lab.furnishing import calm, connecting, furnished, in_mode, put, talk

IVR = """
[house]
exten => h,1,Set(GLOBAL(HOUSE_ENDS)=${HOUSE_ENDS}x)
[ivr]
exten => welcome,1,Answer()
 same => n,Echo()
exten => box,1,Set(GLOBAL(BOX)=by ${PBXFED_BY} why ${PBXFED_WHY} from ${REDIRECTING(from-num)})
 same => n,Goto(welcome,1)
exten => slow,1,Answer()
 same => n,Wait(1.5)
 same => n,Goto(box,1)
exten => back,1,Goto(pbxfed-phones,1001,1)
"""
ENDED = "Ext. s: 80 has ended with cause 16"  # the guide's own words
PHONES = {"1001": "a", "1002": "b", "1003": "c", "1004": "b"}


@pytest.fixture(scope="module")
def ground() -> Iterator[Lab]:
    """Three nodes of their own: b has an IVR and a phone of its own, c a line to the outside."""
    pjsip, *dialplan = documents.written("docs/dialplan.md", "ini")  # the guide's own examples
    extra = {
        "b/pjsip.conf": pjsip,
        "b/extensions.conf": "\n".join([IVR, *dialplan]),
    }
    with furnished("objects", PHONES, extra) as lab:
        yield lab


@pytest.fixture
def federation(ground: Lab, request: pytest.FixtureRequest) -> Iterator[Federation]:
    with looked_after(Federation(ground), request) as found:
        yield found
    plain: dict[str, Any] = {
        "dnd": False,
        "calling_class": "",
        "call_limit": 0,
        "ring_seconds": 0,
        **{f"forward_{when}": "" for when in ("always", "busy", "no_answer", "unreachable")},
    }
    for number, node in PHONES.items():
        put(found, "extension", number, **plain)
        ground.manners(number)
        ground.register(number, node)


@pytest.fixture(params=["handover", "bridge"])
def controlled(federation: Federation, request: pytest.FixtureRequest) -> Iterator[Federation]:
    """The legs are Dial's, or ours."""
    with connecting(federation.lab, request.param):
        calm(federation, request.param)
        yield federation


def rang(federation: Federation, since: float) -> list[str]:
    """Who has rung, in order."""
    calls = [
        (call["started"], number)
        for number in PHONES
        for call in federation.lab.calls_of(number, since)
        if call["incoming"]
    ]
    return [number for _, number in sorted(calls)]


def test_a_group_rings_everywhere_and_who_answers_has_the_call(controlled: Federation) -> None:
    """The others stop."""
    lab = controlled.lab
    put(controlled, "group", "600", members=["1002", "1003", "1004"])
    for number in "1002", "1004":
        lab.manners(number, answer_after_ms=None)
    lab.manners("1003", answer_after_ms=1_000)
    since = time.time()
    assert talk(controlled, "1001", "600") == "1003"
    assert sorted(rang(controlled, since)) == ["1002", "1003", "1004"]
    controlled.until(lambda: controlled.get("a", "/calls") == [])
    (record,) = controlled.get("a", "/calls/records?last=true&limit=1")
    assert (record["to"], record["reached"]) == ("600", "1003")
    controlled.until(
        lambda: all(
            c["state"] == "ended" for n in ("1002", "1004") for c in lab.calls_of(n, since)
        ),
        5,
    )


def test_a_hunt_across_nodes_goes_on_after_busy_and_no_answer(controlled: Federation) -> None:
    """In order, each once."""
    lab = controlled.lab
    put(
        controlled,
        "group",
        "601",
        members=["1004", "1002", "1003"],
        strategy="hunt",
        ring_seconds=2,
    )
    lab.manners("1004", refuse="486 Busy Here")
    lab.manners("1002", answer_after_ms=None)
    since = time.time()
    assert talk(controlled, "1001", "601") == "1003"
    assert rang(controlled, since) == ["1002", "1003"]  # 1004 refused before it rang


def test_forwards_by_outcome(controlled: Federation) -> None:
    """Busy, no answer, unreachable, always; each to a phone on another node."""
    lab = controlled.lab
    put(
        controlled,
        "extension",
        "1002",
        forward_busy="1003",
        forward_no_answer="1004",
        forward_unreachable="1001",
        ring_seconds=2,
    )
    lab.manners("1002", refuse="486 Busy Here")
    assert talk(controlled, "1001", "1002") == "1003"
    lab.manners("1002", answer_after_ms=None)
    assert talk(controlled, "1001", "1002") == "1004"
    for refusal, taken_by in ("603 Decline", "1003"), ("480 Temporarily Unavailable", "1004"):
        before = int(lab.phone("1002")["invites"])
        lab.manners("1002", refuse=refusal, answer_after_ms=300)
        assert talk(controlled, "1001", "1002") == taken_by
        assert int(lab.phone("1002")["invites"]) == before + 1, "it was rung again"
    lab.unregister("1002")
    controlled.until(lambda: controlled.where("1002", "c") == [])
    assert talk(controlled, "1003", "1002") == "1001"
    put(controlled, "extension", "1002", forward_always="1004")
    assert talk(controlled, "1001", "1002") == "1004"
    put(controlled, "extension", "1002", forward_always="", forward_busy="7777")
    controlled.phone("1002", "c")
    lab.manners("1002", refuse="486 Busy Here")
    assert controlled.fails("1001", "1002")[0] == 486  # 7777 is nobody's


def test_of_two_devices_one_is_busy_and_one_rings_out(controlled: Federation) -> None:
    """Nobody has answered: whoever connects the legs says the same. If none has rung he is busy."""
    lab = controlled.lab
    fields: dict[str, Any] = {
        "forward_busy": "1003",
        "forward_no_answer": "1004",
        "ring_seconds": 2,
    }
    put(controlled, "extension", "1001", devices=2, **fields)
    lab.register("1001/2", "b")
    controlled.until(lambda: all(sorted(controlled.where("1001", n)) == ["a", "b"] for n in "abc"))
    lab.manners("1001", refuse="486 Busy Here")
    lab.manners("1001/2", answer_after_ms=None)
    try:
        assert talk(controlled, "1002", "1001") == "1004"
        lab.manners("1001/2", refuse="486 Busy Here")
        assert talk(controlled, "1002", "1001") == "1003"
        lab.manners("1001", refuse="480 Temporarily Unavailable")
        assert talk(controlled, "1002", "1001") == "1003"
        lab.manners("1001", answer_after_ms=None)
        lab.manners(
            "1001/2", refuse="603 Decline"
        )  # beside its caller, whose Dial keeps that cause
        assert talk(controlled, "1002", "1001") == "1004"
    finally:
        lab.unregister("1001/2")
        controlled.until(lambda: all(controlled.where("1001", n) == ["a"] for n in "abc"))
        put(controlled, "extension", "1001", devices=1)


@pytest.mark.parametrize("trunk", ["sip", "iax2"])
def test_who_is_rung_sees_by_whom_the_call_was_sent_on(controlled: Federation, trunk: str) -> None:
    """Here, at another node, and in the outside; why, too. Of a call that nobody has sent on nothing is said."""
    lab = controlled.lab
    fields: dict[str, Any] = {"site": "main", "endpoint": "provider", "nodes": ["c"]}
    put(controlled, "trunk", "city", patterns=["_0X."], caller_id="+4930999", **fields)
    try:
        for node in "bc":
            lab.configure(node, "calls", "trunks", [trunk])
        controlled.until(controlled.whole)
        lab.manners("1002", refuse="486 Busy Here")
        for to, phone in (
            ("1001", "1001"),
            ("1004", "1004"),
            ("1003", "1003"),
            ("030125", "provider"),
        ):
            caller = "1003" if to == "1001" else "1001"
            put(controlled, "extension", "1002", forward_busy=to)
            since = time.time()
            assert talk(controlled, caller, "1002") == phone
            (call,) = [c for c in lab.calls_of(phone, since) if c["incoming"]]
            by = "+4930999" if phone == "provider" else "1002"
            assert f"<sip:{by}@" in call["diversion"], call
            assert call["diversion"].endswith(";reason=user-busy")
        since = time.time()
        assert talk(controlled, "1001", "1003") == "1003"
        assert [c["diversion"] for c in lab.calls_of("1003", since)] == [""]
    finally:
        for node in "bc":
            lab.configure(node, "calls", "trunks", ["sip", "iax2"])


def test_do_not_disturb_and_loops_end_with_a_clear_cause(controlled: Federation) -> None:
    """486 without a ring; 1002 → 1003 → 1002 ends."""
    lab = controlled.lab
    put(controlled, "extension", "1003", dnd=True)
    before = int(lab.phone("1003")["invites"])
    assert str(lab.call("1001", "1003").cause).startswith("486")
    assert int(lab.phone("1003")["invites"]) == before
    put(controlled, "extension", "1003", dnd=False, forward_always="1002")
    put(controlled, "extension", "1002", forward_always="1003")
    began, before = time.monotonic(), int(lab.phone("1002")["invites"])
    assert controlled.fails("1001", "1002") == (603, ["Q.850;cause=25"])
    assert time.monotonic() - began < 2
    assert int(lab.phone("1002")["invites"]) == before
    for number, other in ("1002", "1003"), ("1003", "1002"):  # they stand in for one another
        put(controlled, "extension", number, forward_always="", forward_busy=other)
        lab.manners(number, refuse="486 Busy Here")
    assert controlled.fails("1001", "1002") == (486, ["Q.850;cause=17"])


def hears_himself(federation: Federation, caller: str, number: str, node: str = "") -> bool:
    """Is what he says echoed there? And does his node say meanwhile that he talks?"""
    lab = federation.lab
    dialled = lab.dial(caller, number)
    try:
        if node:
            federation.until(lambda: states(federation, node) == ["talking"], 5, what="he talks")
        return lab.hears(caller, dialled.id, caller)
    finally:
        lab.hang_up(dialled)


def states(federation: Federation, node: str) -> list[str]:
    """Of the calls at a node."""
    return [str(call["state"]) for call in federation.get(node, "/calls")]


def test_a_service_is_reached_from_every_node(federation: Federation) -> None:
    """The caller hears himself: the dialplan of b echoes. He has talked, wherever he came in."""
    put(federation, "service", "700", context="ivr", exten="welcome", nodes=["b"])
    for node, caller in ("a", "1001"), ("b", "1002"):
        assert hears_himself(federation, caller, "700", node)
        federation.until(lambda node=node: federation.get(node, "/calls") == [], 5)  # type: ignore[misc]
        record = federation.get(node, f"/calls/records?number={caller}&last=true&limit=1")[0]
        assert (record["to"], record["reached"], record["answered"]) == ("700", "700", True)
        assert (record["talked_seconds"] > 0, record["attempts"][0]["outcome"]) == (
            True,
            "answered",
        )
    put(federation, "service", "701", context="nowhere", nodes=["b"])
    with pytest.raises(PhoneRefused):
        federation.lab.dial("1001", "701")


def test_a_service_knows_who_has_forwarded_a_call_to_it(controlled: Federation) -> None:
    """A mailbox is found so, here and from another node."""
    put(controlled, "service", "702", context="ivr", exten="box", nodes=["b"])
    put(controlled, "extension", "1003", forward_always="702")
    for caller in "1001", "1004":
        controlled.lab.asterisk("b", "dialplan set global BOX none")
        assert hears_himself(controlled, caller, "1003")
        assert "BOX=by 1003 why cfu from 1003\n" in globals_of_b(controlled)


def globals_of_b(federation: Federation) -> str:
    return federation.lab.asterisk("b", "dialplan show globals") + "\n"


FORGED = "<sip:1002,s&PJSIP/1004@x>;reason=user-busy"


def test_a_phone_cannot_say_for_whom_a_call_was(controlled: Federation) -> None:
    """What it says of a forward reaches no service, from here nor from another node; with a re-INVITE only what is not ours."""
    lab = controlled.lab
    put(controlled, "service", "702", context="ivr", exten="box", nodes=["b"])
    put(controlled, "service", "703", context="ivr", exten="slow", nodes=["b"])
    put(controlled, "extension", "1003", forward_always="702")
    for caller in "1001", "1004":
        for number, said in ("702", "by  why  from"), ("1003", "by 1003 why cfu from 1003"):
            lab.asterisk("b", "dialplan set global BOX none")
            dialled = lab.dial(caller, number, diversion=FORGED)
            controlled.until(lambda said=said: f"BOX={said}" in globals_of_b(controlled), 5)  # type: ignore[misc]
            lab.hang_up(dialled)
            assert "1002" not in globals_of_b(controlled)
    lab.asterisk("b", "dialplan set global BOX none")
    dialled = lab.dial("1004", "703", diversion=FORGED)
    lab.hold("1004", dialled.id)
    controlled.until(lambda: "BOX=by  why  from 1002,s" in globals_of_b(controlled), 4)
    lab.hang_up(dialled)


def test_who_comes_back_from_a_service_was_sent_by_nobody(controlled: Federation) -> None:
    """He was forwarded to it, and has chosen the next one himself."""
    lab = controlled.lab
    put(controlled, "service", "704", context="ivr", exten="back", nodes=["b"])
    put(controlled, "extension", "1003", forward_always="704")
    since = time.time()
    assert talk(controlled, "1004", "1003") == "1001"
    assert [c["diversion"] for c in lab.calls_of("1001", since)] == [""]


def test_a_provider_hears_of_no_number_inside(controlled: Federation) -> None:
    """Nor what a phone says of a forward; of a call to an inbound number it hears that one."""
    lab = controlled.lab
    fields: dict[str, Any] = {"site": "main", "endpoint": "provider", "nodes": ["c"]}
    put(controlled, "trunk", "city", patterns=["_0X."], caller_id="", **fields)
    put(controlled, "did", "+4930125", destination="1002")
    put(controlled, "extension", "1002", forward_always="030126")
    lab.register("mobile", "c", secret=SECRET)
    for caller, number, said in (
        ("1001", "1002", ""),
        ("1003", "1002", ""),
        ("mobile", "+4930125", "<sip:+4930125@"),
    ):
        since = time.time()
        dialled = lab.dial(caller, number, diversion="<sip:1004@x>;reason=user-busy")
        (call,) = [c for c in lab.calls_of("provider", since) if c["incoming"]]
        lab.hang_up(dialled)
        assert call["diversion"].startswith(said), call
        assert bool(call["diversion"]) == bool(said)


def test_who_is_sent_to_the_outside_sees_that_number(controlled: Federation) -> None:
    """Not whose phone has rung before: here, and by the line of another node."""
    lab = controlled.lab
    fields: dict[str, Any] = {"site": "main", "endpoint": "provider", "nodes": ["c"]}
    put(controlled, "trunk", "city", patterns=["_0X."], **fields)
    put(controlled, "extension", "1002", forward_no_answer="030126", ring_seconds=1)
    lab.manners("1002", answer_after_ms=None)
    for caller in "1001", "1003":
        dialled = lab.dial(caller, "1002")
        (call,) = [c for c in lab.calls_of(caller) if c["call"] == dialled.id]
        lab.hang_up(dialled)
        assert call["display"]["number"] == "030126"


def test_who_calls_from_outside_does_not_hear_whither_a_phone_sends_him(
    controlled: Federation,
) -> None:
    """By a 302, on either side of the trunk: no 181, whose Diversion would name the phone that is rung now."""
    lab = controlled.lab
    lab.register("mobile", "c", secret=SECRET)
    for number in "1002", "1003":
        put(controlled, "did", f"+493012{number}", destination=number)
        lab.manners(number, refuse="302 Moved Temporarily", send_to="1004", answer_after_ms=None)
        since = time.time()
        lab.hang_up(lab.dial("mobile", f"+493012{number}"))
        assert rang(controlled, since) == ["1004"]
        (call,) = lab.calls_of("mobile", since)
        assert set(call["provisional"]) <= {100, 180, 183}
        lab.manners(number)


def test_what_the_guide_to_the_dialplan_says(federation: Federation) -> None:
    """Numbers of b's own before the federation's, calls from b's dialplan to any node, and from any node into it."""
    lab = federation.lab
    door = lab.register("door", "b", secret=SECRET)
    assert door.node == "b"
    assert hears_himself(federation, "door", "81")
    result = lab.call("door", "1003")
    assert (result.ok, result.trunk) == (True, "sip"), result
    assert result.caller_id is not None
    assert result.caller_id["number"] == "80"
    typed = [one for one in documents.inline() if one.page == "docs/dialplan.md"]
    for command in (one.text for one in typed if " add " in one.text):
        done = lab.exec("a", shlex.split(command), capture_output=True, text=True)
        assert done.returncode == 0, done
    federation.until(federation.whole)
    assert talk(federation, "1003", "80") == "door"
    assert talk(federation, "1003", "82", hold=3.5) == "1001"
    assert talk(federation, "1004", "82", hold=3.5) == "1001"


def test_what_the_guide_says_of_the_end_of_a_call(controlled: Federation) -> None:
    """A hangup handler goes with the channel, whoever owns the legs; an `h` extension is run where the channel stands."""
    lab = controlled.lab
    bridges = '"bridge"' in lab.node("b").config.read_text()
    lab.register("door", "b", secret=SECRET)
    dialled = in_mode("bridge" if bridges else "", controlled, "door", "1003")
    before = ends(controlled)
    time.sleep(0.6)
    found = lab.finish(dialled)
    assert found.ok, found
    if bridges:
        controlled.until(lambda: ends(controlled) == before + 1, 5, what="an end in the house")
    time.sleep(0.5)
    assert ends(controlled) == before + bridges
    log = lab.node("b").folder / "log" / "full"
    said = log.read_text().count(ENDED)
    since = time.time()
    lab.asterisk("b", "channel originate PJSIP/door extension 1003@counted")
    controlled.until(lambda: states(controlled, "b") == ["talking"], 8)
    (call,) = [c for c in lab.calls_of("1003", since) if c["incoming"]]
    lab.end("1003", call["call"])
    controlled.until(lambda: log.read_text().count(ENDED) == said + 1, 5)
    controlled.until(lambda: controlled.get("b", "/calls") == [], 5)


def test_a_group_that_is_removed_leaves_no_error_in_asterisks_log(federation: Federation) -> None:
    """It was never an object of Asterisk's."""
    log = federation.lab.node("b").folder / "log" / "full"
    before = log.read_text().count("ERROR")
    put(federation, "group", "690", members=["1001"])
    assert federation.lab.http("a", "DELETE", "/groups/690")[0] in (200, 204)
    federation.until(federation.whole)
    time.sleep(0.5)
    errors = [line for line in log.read_text().splitlines() if "ERROR" in line]
    assert errors[before:] == []


def ends(federation: Federation) -> int:
    """How often the `h` extension was run."""
    found = re.search(r"HOUSE_ENDS=(x*)", federation.lab.asterisk("b", "dialplan show globals"))
    return len(found[1]) if found else 0


def test_a_phone_with_as_many_calls_as_it_may_have_is_busy(federation: Federation) -> None:
    """From another node too."""
    lab = federation.lab
    put(federation, "extension", "1002", call_limit=1)
    first = lab.dial("1001", "1002")
    assert str(lab.call("1003", "1002").cause).startswith("486")
    lab.hang_up(first)
    federation.until(lambda: federation.get("b", "/calls") == [], 5)
    assert talk(federation, "1003", "1002") == "1002"


def test_profiles_stand_in_every_asterisk(federation: Federation) -> None:
    """As Asterisk itself tells."""
    put(federation, "extension", "1004", profile="secure", codecs=["g722"], call_limit=4)
    try:
        for node in "abc":
            shown = federation.lab.asterisk(node, "pjsip show endpoint 1004")
            values = {
                name.strip(): value.strip()
                for name, _, value in (line.partition(":") for line in shown.splitlines())
            }
            assert values["media_encryption"] == "sdes"
            assert values["allow"] == "(g722)"
            assert values["device_state_busy_at"] == "4"
    finally:
        put(federation, "extension", "1004", profile="nat", codecs=[], call_limit=0)
