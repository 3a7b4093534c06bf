"""Rescue with real Asterisks: a node dies under four calls in bridge mode; two nodes lose each other; media checked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from lab.calls import Dialled
from lab.places import LabError
from tests.lab.conftest import Federation
from tests.lab.furnishing import bridges, channels, connecting, in_bridge_mode

HERE = {"1001": "a", "1002": "a", "1005": "a", "1003": "c"}
THERE = ("1014", "1016", "1017", "1018")  # at b
LOST = 20.0  # seconds in which a death is found out: out of reach, no answer, no sound
TONE = 440  # Hz: asterisk/legs.py


@pytest.fixture
def bridged(federation: Federation) -> Iterator[Federation]:
    """All nodes own the legs of their calls."""
    lab = federation.lab
    for number, node in {**HERE, **dict.fromkeys(THERE, "b")}.items():
        federation.phone(number, node)
    for node in "abc":
        lab.configure(node, "calls", "rescue", 40)
    with connecting(lab, "bridge"):
        yield federation
    for node in "abc":
        lab.configure(node, "calls", "rescue", None)
    for number in (*HERE, *THERE):
        lab.manners(number)


def states(federation: Federation, node: str) -> dict[str, str]:
    """Of the calls at a node, by who called."""
    return {call["from"]: call["state"] for call in federation.get(node, "/calls")}


def incoming(federation: Federation, phone: str, since: float) -> dict[str, Any]:
    """The last call that a phone has answered since then."""
    calls = [c for c in federation.lab.calls_of(phone, since) if c["incoming"] and c["answered_at"]]
    assert calls, f"nobody has called {phone}"
    return calls[-1]


def hears_the_tone(federation: Federation, phone: str, call: str) -> bool:
    """Does who waits hear that he does?"""
    lab = federation.lab
    group = next(lab.group(n) for n in "abc" if phone in lab.group(n).ask("ping")["phones"])
    answer = group.ask("listen", phone=phone, call=call, tone=TONE, seconds=4.5, share=0.5)
    return float(answer["heard"]) > 0


def talk(federation: Federation, one: str, its: str, other: str, theirs: str) -> bool:
    """Do they hear each other, in these calls of theirs?"""
    hears = federation.lab.hears
    return hears(one, its, other) and hears(other, theirs, one)


def test_who_talked_with_a_dead_node_hears_a_tone_and_then_the_same_phone_again(
    bridged: Federation,
) -> None:
    """The caller, and the called; who hangs up meanwhile, and who waits at a node whose daemon dies, too, leave nothing."""
    lab, began = bridged.lab, time.time()
    ways = {"1001": "1014", "1016": "1002", "1005": "1017", "1003": "1018"}
    talks = {caller: in_bridge_mode(bridged, caller, called) for caller, called in ways.items()}
    second = incoming(bridged, "1002", began)["call"]
    for number in THERE:
        lab.manners(number, refuse="486 Busy Here")  # with the dead call
    time.sleep(0.5)
    lab.kill("b")
    died = time.time()
    try:
        held = {"1001": "rescuing", "1016": "rescuing", "1005": "rescuing"}
        bridged.until(lambda: states(bridged, "a") == held, LOST, what="all wait at a")
        bridged.until(lambda: states(bridged, "c") == {"1003": "rescuing"}, LOST, what="and at c")
        print(f"they wait {time.time() - died:.1f} s after the death")
        lab.hang_up(talks["1005"])
        lab.kill("c", "daemon")
        with ThreadPoolExecutor(2) as pool:
            ears = (("1001", talks["1001"].id), ("1002", second))
            assert all(pool.map(lambda ear: hears_the_tone(bridged, *ear), ears))
        lab.start("c", "daemon")
        for number in "1014", "1016":
            lab.manners(number)
            lab.register(number, "c")
        bridged.until(
            lambda: states(bridged, "a") == {"1001": "talking", "1016": "talking"},
            15,
            what="two talk again",
        )
        print(f"and talk again {time.time() - died:.1f} s after it")
        first = incoming(bridged, "1014", died)
        back = incoming(bridged, "1016", died)
        assert (first["other"], back["other"]) == ("1001", "1002")
        assert (first["name"], back["name"]) == ("Phone 1001", "Phone 1002")
        assert talk(bridged, "1001", talks["1001"].id, "1014", first["call"])
        assert talk(bridged, "1002", second, "1016", back["call"])
        lab.hang_up(talks["1001"])
        bridged.until(lambda: states(bridged, "a") == {"1016": "talking"}, 5)
        kept = bridged.get("a", "/calls/records?last=true&limit=2")
        records = {one["from"]: one for one in kept}
        assert {who: one["cause"] for who, one in records.items()} == {"1001": 16, "1005": 16}
        tries = [(one["reason"][:7], one["outcome"]) for one in records["1001"]["attempts"]]
        assert tries[0][1] == tries[-1][1] == "answered"
        assert ("rescue:", "busy") in tries
        lab.kill("a", "daemon")
        lab.start("a", "daemon")
        bridged.until(lambda: states(bridged, "a") == {"1016": "talking"}, 5, what="it is adopted")
        assert talk(bridged, "1002", second, "1016", back["call"])
        lab.end("1016", back["call"])
        bridged.until(lambda: all(states(bridged, node) == {} for node in "ac"), 5)
        bridged.until(lambda: all(channels(bridged, node) == 0 for node in "ac"), 5)
        assert all(bridges(bridged, node) == [] for node in "ac")
    finally:
        for dialled in talks.values():
            with suppress(LabError):
                lab.hang_up(dialled)
        lab.start("c", "daemon")
        lab.start("b")
    bridged.until(bridged.whole, 30)


def test_two_nodes_that_have_lost_each_other_join_their_phones_again_and_none_rings(
    bridged: Federation,
) -> None:
    """The cable between them is out; the caller's node calls, and the other one knows for whom. An end as any is an end.

    Who has hung up there while he waited is not rung, and his caller waits no longer. Meanwhile a third node dies, and is
    back at once, as a new one: its phone is called anew, too.
    """
    lab = bridged.lab
    began = time.time()
    call, other = in_bridge_mode(bridged, "1001", "1014"), in_bridge_mode(bridged, "1005", "1003")
    in_bridge_mode(bridged, "1002", "1016")
    theirs = incoming(bridged, "1014", began)["call"]
    impatient = incoming(bridged, "1016", began)["call"]
    time.sleep(3.5)  # what is older than an Asterisk is so by two whole seconds
    for number in "1014", "1016":
        lab.manners(number, refuse="486 Busy Here")
    invites = lab.phone("1014")["invites"]
    lab.drop("a", f"ip saddr {lab.node('b').host.address}")
    lab.drop("b", f"ip saddr {lab.node('a').host.address}")
    died = time.time()
    lab.kill("c")
    lab.start("c")
    try:
        for node in "ab":
            bridged.until(lambda node=node: state(bridged, node) == "rescuing", LOST, what=node)  # type: ignore[misc]
        bridged.until(lambda: any(c["answered_at"] for c in lab.calls_of("1003", died)), LOST)
        print(f"1003 is called {time.time() - died:.1f} s after its node was killed")
        again = incoming(bridged, "1003", died)["call"]
        assert talk(bridged, "1005", other.id, "1003", again)
        lab.end("1016", impatient)
        bridged.until(lambda: states(bridged, "b") == {"1001": "rescuing"}, 5)
        busy = {number: lab.phone(number)["invites"] for number in ("1014", "1016")}
        bridged.until(  # they are asked every few seconds: not just when the cable is plugged in
            lambda: all(lab.phone(number)["invites"] > rang for number, rang in busy.items()), 8
        )
        rang = {number: lab.phone(number)["invites"] for number in busy}
    finally:
        for node in "ab":
            lab.undrop(node)
    for node in "ab":
        bridged.until(lambda node=node: state(bridged, node) == "talking", 15, what=node)  # type: ignore[misc]
    assert talk(bridged, "1001", call.id, "1014", theirs)
    bridged.until(lambda: "1002" not in states(bridged, "a"), 5, what="nobody waits for 1016")
    print(f"1014 rang {rang['1014'] - invites} times while its node was apart")
    bridged.until(bridged.whole, 30)
    assert {number: lab.phone(number)["invites"] for number in rang} == rang
    lab.end("1014", theirs)
    lab.end("1003", again)
    bridged.until(lambda: all(states(bridged, node) == {} for node in "abc"), 5, what="they end")
    bridged.until(lambda: all(channels(bridged, node) == 0 for node in "abc"), 5)


def test_a_daemon_says_that_its_asterisk_has_died(bridged: Federation) -> None:
    """Nobody need listen to silence: who talked by whichever trunk is called anew, from either side, when it is back."""
    lab, began = bridged.lab, time.time()
    lab.configure("b", "calls", "trunks", ["iax2", "sip"])
    bridged.until(lambda: bridged.get("a", "/route/1014")["tries"][0]["legs"][0]["trunk"] == "iax2")
    try:
        call, _ = in_bridge_mode(bridged, "1001", "1014"), in_bridge_mode(bridged, "1016", "1002")
        second = incoming(bridged, "1002", began)["call"]
        time.sleep(0.5)
        died = time.time()
        lab.kill("b", "asterisk")
        lab.start("b", "asterisk")
        both = {"1001": "talking", "1016": "talking"}
        for phone in "1014", "1016":
            bridged.until(
                lambda phone=phone: any(c["answered_at"] for c in lab.calls_of(phone, died)),  # type: ignore[misc]
                8,
                what=f"{phone} is called",
            )
        print(f"both are called {time.time() - died:.1f} s after the death")
        bridged.until(lambda: states(bridged, "a") == both, 5)
        first = incoming(bridged, "1014", died)["call"]
        back = incoming(bridged, "1016", died)["call"]
        assert talk(bridged, "1001", call.id, "1014", first)
        assert talk(bridged, "1002", second, "1016", back)
        lab.hang_up(call)
        lab.end("1002", second)
        bridged.until(lambda: all(states(bridged, node) == {} for node in "ab"), 5, what="they end")
        bridged.until(lambda: all(channels(bridged, node) == 0 for node in "ab"), 5)
    finally:
        lab.configure("b", "calls", "trunks", ["sip", "iax2"])
    bridged.until(bridged.whole, 30)


def state(federation: Federation, node: str) -> str:
    """Of 1001's call."""
    return states(federation, node).get("1001", "")


def test_a_phone_that_hangs_up_while_its_daemon_is_dead_is_not_called_again(
    bridged: Federation,
) -> None:
    """Its node is out of reach for calls; its Asterisk says goodbye."""
    lab, began = bridged.lab, time.time()
    in_bridge_mode(bridged, "1001", "1014")
    theirs: Dialled | str = incoming(bridged, "1014", began)["call"]
    lab.kill("b", "daemon")
    try:
        bridged.until(lambda: bridged.state("a", "b") == "down")
        time.sleep(1.0)
        assert states(bridged, "a") == {"1001": "talking"}
        lab.end("1014", str(theirs))
        lab.asterisk("b", "channel request hangup all")
        bridged.until(lambda: states(bridged, "a") == {}, 5, what="it ends")
        ended = bridged.get("a", "/calls/records?last=true&limit=1")[0]
        assert (ended["tries"], ended["cause"]) == (1, 16)
    finally:
        lab.start("b", "daemon")
    bridged.until(bridged.whole, 30)
