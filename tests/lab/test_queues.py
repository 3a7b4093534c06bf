"""Queues with real Asterisks: who calls is answered and waits, and comes to a member on any node; media checked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import pytest

from lab.calls import Dialled
from tests.lab.conftest import Federation
from tests.lab.furnishing import calm, channels, connecting, registered, the_only
from tests.lab.test_rooms import add
from tests.lab.test_transfers import answers, both_hear, is_over, newest

PHONES = {"1001": "a", "1002": "b", "1003": "c", "1004": "a", "1005": "c"}


@pytest.fixture
def line(federation: Federation) -> Iterator[Federation]:
    """1001 and 1002 are the members of queue 700."""
    strategy = ("--members", "1001,1002", "--strategy", "hunt", "--otherwise", "1005")
    with registered(federation, PHONES):
        add(federation, "queue", "add", "700", *strategy)
        yield federation
    add(federation, "queue", "rm", "700")
    federation.until(lambda: all(channels(federation, n) == 0 for n in "abc"), 8)
    federation.until(lambda: all(federation.get(n, "/calls") == [] for n in "abc"), 5)


def stands(federation: Federation, node: str) -> list[str]:
    return [str(name) for name in federation.get(node, "/queues/700")["stands"]]


def talks_with(federation: Federation, call: Dialled, *members: str) -> str:
    """The member whom the caller hears; "" if none."""
    lab = federation.lab
    return next((m for m in members if lab.hears(call.caller, call.id, m, seconds=0.4)), "")


def test_callers_wait_for_a_member_and_come_to_him_in_their_order(line: Federation) -> None:
    """The first member is busy: the second has the first caller; the second caller waits for whoever has time."""
    lab = line.lab
    lab.manners("1001", refuse="486 Busy Here")
    first = lab.dial("1003", "700", timeout=5)
    line.until(lambda: talks_with(line, first, "1001", "1002") == "1002", 8, what="1002 talks")
    place = the_only(line, lambda: stands(line, "c"))
    second = lab.dial("1004", "700", timeout=5)
    time.sleep(1.0)
    assert talks_with(line, second, "1001", "1002") == ""
    assert line.get(place, "/queues/700")["callers"] == 2
    assert {"talking", "waiting"} >= {c["state"] for c in line.get(place, "/calls")}
    lab.manners("1001")
    line.until(lambda: talks_with(line, second, "1001", "1002") == "1001", 10, what="1001 talks")
    for call in (first, second):
        lab.hang_up(call)
    line.until(lambda: all(stands(line, n) == [] for n in "abc"), 5, what="it is empty")


def test_who_has_waited_long_enough_goes_on_from_whatever_node_he_came(line: Federation) -> None:
    """Answered and waiting at one node, he is sent to a phone at another."""
    lab = line.lab
    add(line, "queue", "set", "700", "--wait-seconds", "2")
    for member in "1001", "1002":
        lab.manners(member, refuse="486 Busy Here")
    for caller in "1003", "1004":  # at most one of them at the queue's own node
        call = lab.dial(caller, "700", timeout=5)
        heard = partial(lab.hears, caller, call.id, "1005", seconds=0.4)
        line.until(heard, 10, what=f"1005 talks with {caller}")
        lab.hang_up(call)


def test_a_member_who_does_not_answer_is_left_alone_before_he_is_rung_again(
    line: Federation,
) -> None:
    """However short his phone rings; the caller hears music meanwhile, and then him."""
    lab = line.lab
    short = ("--members", "1002", "--ring-seconds", "2", "--retry-seconds", "4")
    add(line, "queue", "set", "700", *short)
    lab.manners("1002", answer_after_ms=None)
    since = time.time()
    call = lab.dial("1003", "700", timeout=5)
    line.until(lambda: len(lab.calls_of("1002", since)) == 2, 12, what="1002 rings again")
    first, second = lab.calls_of("1002", since)
    assert 1.5 < first["ended_at"] - first["started"] < 3.0, first
    assert 3.9 < second["started"] - first["ended_at"] < 5.5, second
    lab.manners("1002")
    line.until(lambda: talks_with(line, call, "1002") == "1002", 12, what="1002 talks")
    lab.hang_up(call)


@pytest.mark.parametrize("asks", [False, True], ids=["blind", "attended"])
@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_a_member_at_another_node_who_has_transferred_his_caller_is_rung_again(
    line: Federation, control: str, asks: bool
) -> None:
    """While that one talks on."""
    lab = line.lab
    with connecting(lab, control):
        calm(line, control, "1001", "1002")
        for member in "1001", "1002":
            lab.manners(member, refuse="486 Busy Here")
        first = lab.dial("1004", "700", timeout=5)
        place = the_only(line, lambda: stands(line, "c"))
        member = next(m for m in ("1001", "1002") if PHONES[m] != place)
        lab.manners(member)
        line.until(lambda: talks_with(line, first, member) == member, 12, what=f"{member} talks")
        assert [c["control"] for c in line.get(PHONES[member], "/calls") if c["to"] == member] == [
            control
        ]
        call, since = newest(line, member)["call"], time.time()
        asked = lab.dial(member, "1005").id if asks else None
        lab.transfer(member, call, "1005", other=asked)
        to = answers(line, "1005", since)
        is_over(line, member, call)
        second = lab.dial("1003", "700", timeout=5)
        line.until(lambda: talks_with(line, second, member) == member, 12, what="he talks again")
        both_hear(line, {"1004": first.id, "1005": to}, "1004", "1005")
        for dialled in first, second:
            lab.hang_up(dialled)


def test_who_waits_while_the_queues_daemon_dies_waits_on(line: Federation) -> None:
    """And comes to the next member who has time."""
    lab = line.lab
    for member in "1001", "1002":
        lab.manners(member, refuse="486 Busy Here")
    call = lab.dial("1003", "700", timeout=5)
    place = the_only(line, lambda: stands(line, "c"))
    time.sleep(1.5)
    lab.kill(place, "daemon")
    lab.start(place, "daemon")
    line.until(line.whole)
    assert talks_with(line, call, "1001", "1002") == ""
    assert [one["state"] for one in lab.calls_of("1003") if one["call"] == call.id] == ["answered"]
    lab.manners("1002")
    line.until(lambda: talks_with(line, call, "1002") == "1002", 10, what="1002 talks")
    lab.hang_up(call)


def test_when_its_node_dies_callers_wait_at_another(line: Federation) -> None:
    """Who calls anew."""
    lab = line.lab
    call = lab.dial("1003", "700", timeout=5)
    place = the_only(line, lambda: stands(line, "c"))
    if place == "c":
        lab.hang_up(call)
        call = lab.dial("1004", "700", timeout=5)
    caller = call.caller
    seen_by = PHONES[caller]
    lab.kill(place)
    try:
        line.until(lambda: stands(line, seen_by) == [], 5, what="it stands no more")
        lab.hang_up(call)
        call = lab.dial(caller, "700", timeout=10)
        left = [m for m in ("1001", "1002") if PHONES[m] != place]
        line.until(lambda: talks_with(line, call, *left) != "", 15, what="a member talks")
        assert stands(line, seen_by)[0] != place
        lab.hang_up(call)
    finally:
        lab.start(place)
    line.until(line.whole, 30)
