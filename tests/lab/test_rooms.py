"""Conference rooms with real Asterisks: who calls one number meets at one node, hears the others, and so again elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from lab.calls import Dialled
from tests.lab.conftest import Federation
from tests.lab.furnishing import channels, the_only

PHONES = {"1001": "a", "1002": "b", "1003": "c"}
PART = 0.3  # of what is heard, if two others talk


@pytest.fixture
def meeting(federation: Federation) -> Iterator[Federation]:
    """Three phones at three nodes, and room 800."""
    for number, node in PHONES.items():
        federation.phone(number, node)
    add(federation, "room", "add", "800", "--name", "Monday")
    yield federation
    add(federation, "room", "rm", "800")
    federation.until(lambda: all(federation.get(n, "/calls") == [] for n in "abc"), 5)


def add(federation: Federation, *argv: str) -> None:
    done = federation.lab.exec("a", ["pbxfed", *argv], capture_output=True, text=True)
    assert done.returncode == 0, done
    federation.until(federation.whole, what=" ".join(argv))


def stands(federation: Federation, node: str) -> list[str]:
    """Where the room stands, as a node knows it."""
    found = federation.get(node, "/rooms/800")["stands"]
    return [str(name) for name in found]


def hear(federation: Federation, calls: dict[str, Dialled]) -> bool:
    """Does everybody come to hear everybody else?"""
    return all(
        federation.lab.hears(who, call.id, other, share=PART)
        for who, call in calls.items()
        for other in calls
        if other != who
    )


def test_three_phones_at_three_nodes_meet_and_when_the_node_dies_they_meet_elsewhere(
    meeting: Federation,
) -> None:
    """One conference, at one node; it is gone when all have gone; calls, records and `room list` tell of it."""
    lab = meeting.lab
    calls = {number: lab.dial(number, "800") for number in PHONES}
    place = the_only(meeting, lambda: stands(meeting, "a"))
    meeting.until(lambda: all(stands(meeting, n) == [place] for n in "abc"), 5)
    meeting.until(lambda: hear(meeting, calls), 10, what="all hear one another")
    assert lab.asterisk(place, "confbridge list").count("pf-800") == 1
    assert meeting.get(place, "/rooms/800")["callers"] == 3
    (call,) = [c for c in meeting.get(place, "/calls") if c["came_by"] == "phone"]
    assert call["state"] == "talking"
    assert f"stands on {place}" in meeting.get("a", "/route/800")["tries"][0]["reason"]

    since = time.time()
    lab.kill(place)
    try:
        others = [number for number, node in PHONES.items() if node != place]
        ghost = next(call for number, call in calls.items() if PHONES[number] == place)
        meeting.until(lambda: stands(meeting, PHONES[others[0]]) == [], 5, what="it stands no more")
        for number in others:
            lab.hang_up(calls[number])
        calls = {number: lab.dial(number, "800", timeout=10) for number in others}
        assert time.time() - since < 10
        meeting.until(lambda: hear(meeting, calls), 10, what="they hear one another")
        now = the_only(meeting, lambda: stands(meeting, PHONES[others[0]]))
        assert now != place
        for call in calls.values():
            lab.hang_up(call)
    finally:
        lab.start(place)
    meeting.until(meeting.whole, 30)
    lab.hang_up(ghost)  # or its phone goes on sending sound to a port that others may get
    meeting.until(lambda: all(stands(meeting, n) == [] for n in "abc"), 5, what="it has ended")
    meeting.until(lambda: all(channels(meeting, n) == 0 for n in "abc"), 5)
    record = meeting.get(PHONES[others[0]], "/calls/records?last=true&limit=1")[0]
    assert (record["to"], record["answered"]) == ("800", True)


def test_a_daemon_that_dies_cuts_nobody_off_and_finds_the_room_again(meeting: Federation) -> None:
    """Of the node where it stands; whoever comes then comes to the same conference, and each call has its record."""
    lab = meeting.lab
    calls = {number: lab.dial(number, "800") for number in ("1001", "1002")}
    place = the_only(meeting, lambda: stands(meeting, "a"))
    meeting.until(lambda: hear(meeting, calls), 10, what="both hear one another")
    last = meeting.get(place, "/calls/records?last=true&limit=1&parts=true")
    lab.kill(place, "daemon")
    try:
        assert hear(meeting, calls)
    finally:
        lab.start(place, "daemon")
    meeting.until(meeting.whole, 30)
    meeting.until(lambda: all(stands(meeting, n) == [place] for n in "abc"), 5, what="it stands")
    calls["1003"] = lab.dial("1003", "800")
    meeting.until(lambda: hear(meeting, calls), 10, what="all hear one another")
    for call in calls.values():
        lab.hang_up(call)
    meeting.until(lambda: all(stands(meeting, n) == [] for n in "abc"), 5, what="it has ended")
    after = last[0]["id"] if last else 0
    records = meeting.get(place, f"/calls/records?parts=true&after={after}")
    assert [(r["to"], r["answered"]) for r in records] == [("800", True)] * 3


def test_who_does_not_know_the_pin_stays_outside(meeting: Federation) -> None:
    """Asterisk asks for it, wherever the caller is; nobody is shown it."""
    lab = meeting.lab
    add(meeting, "room", "set", "800", "--pin", "90417253")
    inside = lab.dial("1001", "800")
    place = the_only(meeting, lambda: stands(meeting, "a"))
    lab.press("1001", inside.id, "90417253#")
    meeting.until(lambda: "pf-800" in lab.asterisk(place, "confbridge list"), 10)
    outside = lab.dial("1002", "800")
    lab.press("1002", outside.id, "1111#")
    assert not lab.hears("1001", inside.id, "1002", seconds=1.5)
    lab.press("1002", outside.id, "90417253#")
    meeting.until(lambda: hear(meeting, {"1001": inside, "1002": outside}), 15)
    shown = lab.exec("b", ["pbxfed", "room", "show", "800"], capture_output=True, text=True)
    assert "90417253" not in shown.stdout
    for node in lab.nodes():
        assert "90417253" not in node.tail("pbxfed.log", 1_000)
        assert "90417253" not in node.tail("full", 1_000)
    for call in (inside, outside):
        lab.hang_up(call)
    meeting.until(lambda: all(stands(meeting, n) == [] for n in "abc"), 5)
