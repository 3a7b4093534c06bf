"""Who listens in on a call, with real phones: who hears whom, what is told of it, and that nothing of it stays."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from lab.calls import Dialled
from tests import documents
from tests.lab.conftest import Federation
from tests.lab.furnishing import (
    both_hear,
    calm,
    channels,
    connecting,
    in_mode,
    nothing_left,
    registered,
)

PHONES = {"1001": "a", "1002": "a", "1003": "c", "1004": "a", "1005": "c", "1006": "b"}
MIXED = 0.1  # of what a phone hears, at least, is each of those who speak at once


@pytest.fixture(params=["handover", "bridge"])
def talks(
    federation: Federation, request: pytest.FixtureRequest
) -> Iterator[tuple[Federation, str]]:
    """Phones at two nodes, and how all nodes connect calls."""
    with registered(federation, PHONES), connecting(federation.lab, request.param):
        calm(federation, request.param)
        yield federation, request.param


def listen(federation: Federation, dialled: Dialled, who: str, **how: str) -> tuple[int, Any]:
    """Let a phone listen in on the call of who has dialled."""
    return federation.lab.http(
        "a", "POST", f"/calls/{call_of(federation, dialled)}/listeners", {"extension": who, **how}
    )


def call_of(federation: Federation, dialled: Dialled) -> str:
    """Its id."""
    live = federation.get("a", "/calls")
    return str(next(one["call"] for one in live if one["from"] == dialled.caller))


def last(federation: Federation, phone: str, since: float) -> Any:
    """The last call of a phone."""
    return federation.lab.calls_of(phone, since)[-1]


def heard(federation: Federation, dialled: Dialled, who: str, since: float) -> set[str]:
    """Who hears whom, now: the two who talk, and who listens in."""
    lab, called = federation.lab, dialled.called
    talk = {
        dialled.caller: dialled.id,
        called: last(federation, called, dialled.started - 0.001)["call"],
        who: last(federation, who, since)["call"],
    }
    return {
        f"{one} hears {other}"
        for one, call in talk.items()
        for other in talk
        if other != one and lab.hears(one, call, other, seconds=1.0, share=MIXED)
    }


def come_to_hear(
    federation: Federation, dialled: Dialled, who: str, since: float, wanted: set[str]
) -> set[str]:
    """The same, as soon as it is what is wanted; within ten seconds."""
    until = time.monotonic() + 10
    while (found := heard(federation, dialled, who, since)) != wanted and time.monotonic() < until:
        pass
    return found


def ended(federation: Federation, phone: str, since: float) -> bool:
    """Has its last call?"""
    return bool(last(federation, phone, since)["state"] == "ended")


TALK_AFAR = {"1001 hears 1003", "1003 hears 1001"}
TALK = {"1001 hears 1002", "1002 hears 1001"}
CASES = [
    ("nobody", "1003", set()),
    ("called", "1004", {"1002"}),
    ("caller", "1003", {"1001"}),
    ("both", "1003", {"1001", "1002"}),
]


def test_both_are_heard_and_who_shall_hears_who_listens_in(talks: tuple[Federation, str]) -> None:
    """At this node and at another one; hung up by him, nothing of it stays, and they talk on."""
    federation, control = talks
    lab = federation.lab
    dialled = in_mode(control, federation, "1001", "1002")
    call = call_of(federation, dialled)
    for heard_by, who, hears in CASES:
        since = time.time()
        answer = listen(federation, dialled, who, heard_by=heard_by)
        assert answer == (201, {"call": call, "by": who, "heard_by": heard_by})
        mine = last(federation, who, since)
        assert (mine["name"], mine["other"]) == ("Listening: 1001 - 1002", who)
        wanted = {*TALK, *(f"{who} hears {one}" for one in ("1001", "1002"))}
        wanted |= {f"{one} hears {who}" for one in hears}
        assert come_to_hear(federation, dialled, who, since, wanted) == wanted, heard_by
        shown = {one["call"]: one for one in federation.get("a", "/calls")}
        assert [one["by"] for one in shown[call]["listened"]][-1] == who
        assert {one["listens_to"] for one in shown.values()} == {"", call}
        lab.end(who, mine["call"])
        federation.until(lambda: channels(federation, "a") == 2, 5)
        assert both_hear(federation, dialled)
    lab.hang_up(dialled)
    nothing_left(federation)
    (record,) = [one for one in federation.get("a", "/calls/records") if one["call"] == call]
    told = [(one["by"], one["heard_by"]) for one in record["listened"]]
    assert told == [(who, heard_by) for heard_by, who, _ in CASES]
    assert all(0.5 < one["seconds"] < record["seconds"] for one in record["listened"])


def test_it_ends_with_the_call(talks: tuple[Federation, str]) -> None:
    """Of which one end is at another node; who listened is hung up at once, and so is who rings yet: it is said why."""
    federation, control = talks
    lab = federation.lab
    dialled = in_mode(control, federation, "1001", "1003")
    since = time.time()
    assert listen(federation, dialled, "1004", heard_by="both")[0] == 201
    lab.manners("1002", answer_after_ms=None)
    with ThreadPoolExecutor(1) as pool:
        rings: Future[tuple[int, Any]] = pool.submit(listen, federation, dialled, "1002")
        federation.until(lambda: lab.calls_of("1002", since)[-1:] != [], 5)
        lab.hang_up(dialled)
        for phone in "1004", "1002":
            federation.until(lambda: ended(federation, phone, since), 3)  # noqa: B023
        status, body = rings.result()
    assert (status, body["detail"]) == (409, "the call is over")
    nothing_left(federation)


def test_a_daemon_that_dies_leaves_who_listens_in_alone(talks: tuple[Federation, str]) -> None:
    """It goes on; the record tells of it though the daemon was killed; of a call that ends meanwhile nothing stays."""
    federation, control = talks
    lab = federation.lab
    dialled = in_mode(control, federation, "1001", "1002")
    call, since = call_of(federation, dialled), time.time()
    assert listen(federation, dialled, "1003")[0] == 201
    time.sleep(1.5)  # it is written down
    lab.kill("a", "daemon")
    time.sleep(0.5)
    lab.start("a", "daemon")
    federation.until(federation.whole)
    mine = last(federation, "1003", since)
    wanted = {*TALK, "1003 hears 1001", "1003 hears 1002"}
    assert come_to_hear(federation, dialled, "1003", since, wanted) == wanted
    shown = {one["call"]: one for one in federation.get("a", "/calls")}
    assert [one["by"] for one in shown[call]["listened"]] == ["1003"]
    before = shown[call]["listened"][0]["seconds"]
    lab.end("1003", mine["call"])
    federation.until(lambda: channels(federation, "a") == 2, 5)
    time.sleep(1)
    assert both_hear(federation, dialled)
    lab.hang_up(dialled)
    nothing_left(federation)
    (record,) = [one for one in federation.get("a", "/calls/records") if one["call"] == call]
    (listened,) = record["listened"]
    assert before < listened["seconds"] < record["seconds"] - 0.9


@pytest.mark.parametrize(("caller", "called"), [("PCMA", "PCMU"), ("PCMU", "PCMA")])
def test_who_have_no_codec_in_common_talk_on(
    talks: tuple[Federation, str], caller: str, called: str
) -> None:
    """Before, meanwhile, and after it: where it is translated the packets' numbers must not jump back.

    Whoever listens: at the caller's node, the called one, and a third one. Jumps go back once in two times, by chance.
    """
    federation, control = talks
    lab = federation.lab
    lab.speaks("1001", caller)
    lab.speaks("1003", called)
    try:
        for who in ("1004", "1005", "1006", "1004"):
            dialled = in_mode(control, federation, "1001", "1003")
            time.sleep(0.5)
            since = time.time()
            assert listen(federation, dialled, who, heard_by="both")[0] == 201
            wanted = TALK_AFAR | {f"{who} hears {one}" for one in ("1001", "1003")}
            wanted |= {f"{one} hears {who}" for one in ("1001", "1003")}
            assert come_to_hear(federation, dialled, who, since, wanted) == wanted
            lab.end(who, last(federation, who, since)["call"])
            federation.until(lambda: [channels(federation, n) for n in "abc"] == [2, 0, 2], 5)
            time.sleep(1.2)
            assert both_hear(federation, dialled)
            lab.hang_up(dialled)
            nothing_left(federation)
    finally:
        for number in "1001", "1003":
            lab.speaks(number, "PCMU")


def test_what_the_handbook_says_can_be_typed(federation: Federation) -> None:
    """Line after line, on the node that the call came to."""
    lab = federation.lab
    for number, node in PHONES.items():
        federation.phone(number, node)
    (block,) = [one for one in documents.blocks() if one.by == "tests/lab/test_listening.py"]
    dialled = lab.dial("1001", "1002")
    for line in documents.lines(block.text):
        since = time.time()
        argv = line.replace("3f2a9c01b7de", call_of(federation, dialled)).split()
        done = lab.exec("a", argv, capture_output=True, text=True)
        assert done.returncode == 0, done
        for call in lab.calls_of("1003", since):
            assert call["name"] == "Listening: 1001 - 1002"
            lab.end("1003", call["call"])
    lab.hang_up(dialled)
    nothing_left(federation)


def test_nobody_listens_where_there_is_nothing_to_hear_or_nobody_to_hear_it(
    federation: Federation,
) -> None:
    """What is said names the reason."""
    lab = federation.lab
    for number, node in PHONES.items():
        federation.phone(number, node)
    dialled = lab.dial("1001", "1003")
    call = call_of(federation, dialled)
    said = federation.refused("c", "calls", "listen", call, "1002")
    assert said == f"pbxfed: call {call} came to a first, which keeps its record: ask there"
    assert "no call 77 here" in federation.refused("a", "calls", "listen", "77", "1002")
    assert (
        federation.refused("a", "calls", "listen", call, "1999")
        == "pbxfed: 1999: no such extension"
    )
    federation.add("1007")
    assert "1007: registered nowhere" in federation.refused("a", "calls", "listen", call, "1007")
    for refusal, why in ("486 Busy Here", "1002 is busy"), ("603 Decline", "1002 is busy"):
        lab.manners("1002", refuse=refusal)
        assert federation.refused("a", "calls", "listen", call, "1002") == f"pbxfed: {why}"
    lab.manners("1002", refuse="302 Moved Temporarily", send_to="1004")
    invites = lab.phone("1004")["invites"]
    assert federation.refused("a", "calls", "listen", call, "1002").startswith("pbxfed: 1002 ")
    lab.manners("1002")
    assert lab.http("a", "PATCH", "/extensions/1002", {"forward_always": "1004"})[0] == 200
    federation.until(federation.whole)
    since = time.time()
    done = lab.exec(
        "a",
        ["pbxfed", "calls", "listen", call, "1002", "--whisper", "called"],
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"1002 listens in on call {call}, and is heard by called\n", done
    assert lab.phone("1004")["invites"] == invites
    assert "listens to" in lab.exec("a", ["pbxfed", "calls"], capture_output=True, text=True).stdout
    lab.end("1002", last(federation, "1002", since)["call"])
    lab.http("a", "PATCH", "/extensions/1002", {"forward_always": ""})
    lab.hang_up(dialled)
    nothing_left(federation)
    kept = lab.exec("a", ["pbxfed", "calls", "--csv"], capture_output=True, text=True).stdout
    assert "heard by called" in kept
