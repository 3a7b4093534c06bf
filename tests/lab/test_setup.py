"""Calls in setup while something dies: they connect elsewhere in time, ring once, and ring nobody when the dead wake."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from lab.calls import Dialled
from lab.lab import Lab
from lab.phone import PhoneRefused
from lab.process import Process
from tests.lab.conftest import Federation
from tests.lab.furnishing import calm, connecting, set_up, turns, two_devices

LOST = "condition node=c is=no Asterisk"  # what c says in its log
LOST_AT_A = "condition node=a is=no Asterisk"
BACK = 2.0  # seconds until an Asterisk that has hung, and wakes, serves again
ELSEWHERE = 2_500  # ms until a call toward a dying node has connected elsewhere; printed, and a bar of the bench


@pytest.fixture(params=["handover", "bridge"])
def controlled(federation: Federation, request: pytest.FixtureRequest) -> Iterator[Federation]:
    """The legs are Dial's, or ours. 1001 is at a, 1003 at c."""
    federation.phone("1001", "a")
    federation.phone("1003", "c")
    with connecting(federation.lab, request.param):
        calm(federation, request.param)
        yield federation


@pytest.fixture
def forwarded(controlled: Federation) -> Iterator[Federation]:
    """1003 at c forwards to 1002 at b when it cannot be reached."""
    controlled.phone("1002", "b")
    change(controlled, "1003", forward_unreachable="1002")
    yield controlled
    change(controlled, "1003", forward_unreachable="")


def heard_by_caller(federation: Federation, since: float) -> list[int]:
    """What the last caller's phone was told on the way to its answer: that it rings, and of no failure in between."""
    (call,) = federation.lab.calls_of("1001", since)
    told = [int(status) for status in call["provisional"]]
    assert set(told) <= {100, 180, 183}, told
    assert {180, 183} & set(told), told
    return told


def change(federation: Federation, number: str, **fields: object) -> None:
    assert federation.lab.http("a", "PATCH", f"/extensions/{number}", fields)[0] == 200
    federation.until(federation.whole)


def pid_of(lab: Lab, node: str, part: str) -> int:
    found = Process.load(lab.node(node)._record(part))
    assert found is not None
    return found.pid


def rings(federation: Federation, phone: str, times: int) -> None:
    """Wait until a phone has been called so often, ever."""
    federation.until(
        lambda: int(federation.lab.phone(phone)["invites"]) == times, what=f"{phone} rings"
    )


def connects(federation: Federation, seconds: float = 6.0) -> int:
    """1001 calls 1003, whose node does not answer; how often that phone rings. Media both ways.

    Another node calls it, or 1002 answers, to whom it forwards: whichever is known first.
    """
    since = time.time()
    found = federation.lab.call("1001", "1003", hold=0.6, timeout=seconds)
    assert found.ok, found
    assert found.details["answered_by"] in ("1002", "1003")
    heard_by_caller(federation, since)
    assert found.setup_ms is not None
    print(f"connected elsewhere after {found.setup_ms:.0f} ms (bar: {ELSEWHERE})")
    return int(found.details["answered_by"] == "1003")


def test_the_cable_of_the_called_node_is_out(forwarded: Federation) -> None:
    """Nobody knows it yet when the call begins; when it is back the phone does not ring again."""
    lab = forwarded.lab
    before = int(lab.phone("1003")["invites"])
    lab.cut("c")
    try:
        rang = connects(forwarded)
    finally:
        lab.heal()
    time.sleep(3)
    assert int(lab.phone("1003")["invites"]) == before + rang
    forwarded.until(forwarded.whole)


def test_the_called_asterisk_hangs_and_wakes(forwarded: Federation) -> None:
    """SIGSTOP: its daemon lives. The call goes elsewhere; awake again it lets the phone not ring once more."""
    lab = forwarded.lab
    before = int(lab.phone("1003")["invites"])
    pid = pid_of(lab, "c", "asterisk")
    os.kill(pid, signal.SIGSTOP)
    try:
        rang = connects(forwarded)
    finally:
        os.kill(pid, signal.SIGCONT)
    time.sleep(3)
    assert int(lab.phone("1003")["invites"]) == before + rang
    forwarded.until(forwarded.whole, 30)


def test_an_asterisk_hangs_while_its_phone_rings(forwarded: Federation) -> None:
    """Its daemon lives, and says so; its SIP does not answer. The phone has been answered, and is called by another node."""
    lab = forwarded.lab
    before, since = int(lab.phone("1003")["invites"]), time.time() - 0.001
    lab.manners("1003", answer_after_ms=1_000)
    pid = pid_of(lab, "c", "asterisk")
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(lab.dial, "1001", "1003", timeout=20)
        rings(forwarded, "1003", before + 1)
        time.sleep(0.3)
        os.kill(pid, signal.SIGSTOP)
        try:
            dialled = call.result()
            took = (time.time() - since) * 1_000
            time.sleep(max(0.0, 9.0 - took / 1_000))
        finally:
            os.kill(pid, signal.SIGCONT)
    woke = time.monotonic()
    print(f"connected elsewhere after {took:.0f} ms")
    forwarded.until(forwarded.whole, 30)
    assert time.monotonic() - woke < BACK
    assert took < 8_000
    assert int(lab.phone("1003")["invites"]) <= before + 2
    assert lab.finish(dialled).ok
    forwarded.until(
        lambda: all(c["state"] == "ended" for c in lab.calls_of("1003", since)), 5, what="all over"
    )
    lab.manners("1003")


def test_the_whole_node_hangs_and_wakes(forwarded: Federation) -> None:
    """Both are stopped; awake again, the call that waited in its buffers is too late."""
    lab = forwarded.lab
    before = int(lab.phone("1003")["invites"])
    pids = [pid_of(lab, "c", part) for part in ("daemon", "asterisk")]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        rang = connects(forwarded)
        time.sleep(2)
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)
    time.sleep(3)
    assert int(lab.phone("1003")["invites"]) == before + rang
    forwarded.until(forwarded.whole, 30)


def test_a_phone_that_rings_late_is_not_cut(forwarded: Federation) -> None:
    """Three seconds without 180 from the phone: its node had said that the call is there."""
    lab, since = forwarded.lab, time.time()
    before = int(lab.phone("1003")["invites"])
    lab.manners("1003", ring_after_ms=3_000)
    try:
        found = lab.call("1001", "1003", hold=0.6, timeout=12)
    finally:
        lab.manners("1003")
    assert found.ok, found
    assert found.details["answered_by"] == "1003"
    assert int(lab.phone("1003")["invites"]) == before + 1
    heard_by_caller(forwarded, since)


@contextmanager
def blocked(federation: Federation, port: int = 5060) -> Iterator[None]:
    """No SIP (or, by its port, no IAX2) passes from a to c. What a has found out of that goes with its daemon."""
    lab = federation.lab
    lab.drop("c", f"ip saddr {lab.node('a').host.address} udp dport {port}")
    try:
        yield
    finally:
        lab.undrop("c")
        lab.kill("a", "daemon")
        lab.start("a", "daemon")
        federation.until(federation.whole, 30)


def test_sip_alone_is_blocked(forwarded: Federation) -> None:
    """The node lives: its second trunk carries the call; to a group, too, whose members are all there. All ring once."""
    lab = forwarded.lab
    forwarded.phone("1031", "c")
    group = {"members": ["1003", "1031"], "strategy": "all"}
    assert lab.http("a", "PUT", "/groups/600", group)[0] in (200, 201)
    forwarded.until(forwarded.whole)
    lab.manners("1031", answer_after_ms=None)
    try:
        for number, rung in ("1003", ["1003"]), ("600", ["1003", "1031"]):
            before, since = {phone: int(lab.phone(phone)["invites"]) for phone in rung}, time.time()
            with blocked(forwarded):
                found = lab.call("1001", number, hold=0.6, timeout=8)
            assert found.ok, found
            assert found.details["answered_by"] == "1003"
            heard_by_caller(forwarded, since)
            time.sleep(0.5)
            after = {phone: int(lab.phone(phone)["invites"]) for phone in rung}
            assert after == {phone: invites + 1 for phone, invites in before.items()}
    finally:
        lab.manners("1031")
        lab.http("a", "DELETE", "/groups/600")


@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_iax2_alone_is_blocked(federation: Federation, control: str) -> None:
    """By which c is called first: what chan_iax2 says of the silence refuses nobody, and SIP carries the call."""
    lab = federation.lab
    federation.phone("1001", "a")
    federation.phone("1003", "c")
    with set_up(federation, control, "iax2"), blocked(federation, 4569):
        since = time.time()
        found = lab.call("1001", "1003", hold=0.6, timeout=8)
    assert found.ok, found
    assert (found.trunk, found.invites) == ("sip", 1)
    heard_by_caller(federation, since)


def test_after_a_call_that_found_sip_blocked_others_begin_with_the_trunk_that_works(
    controlled: Federation,
) -> None:
    """The first one has waited for two seconds. It is told where operators look."""
    lab = controlled.lab
    with blocked(controlled):
        took: list[float] = []
        for _ in range(3):
            found = lab.call("1001", "1003", hold=0.6, timeout=8)
            assert found.ok, found
            assert found.setup_ms is not None
            took.append(found.setup_ms)
        (c,) = [one for one in controlled.get("a", "/members") if one["node"] == "c"]
        assert c["avoided_trunks"] == ["sip"]
        warned = controlled.get("a", "/status")["warnings"]
        assert [w for w in warned if w.startswith("calls to c by sip")], warned
        route = controlled.get("a", "/route/1003")["tries"]
        assert [one["legs"][0]["trunk"] for one in route] == ["iax2", "sip"]
    print(f"connected after {', '.join(f'{ms:.0f}' for ms in took)} ms")
    assert took[0] > 2_000 > 1_000 > max(took[1:])


def test_one_device_is_heard_and_the_other_is_not_reached(controlled: Federation) -> None:
    """1030 rings at b and is declined; SIP to c is blocked: its device there is called by IAX2, and each rings once."""
    lab = controlled.lab
    two_devices(controlled)
    before = {phone: int(lab.phone(phone)["invites"]) for phone in ("1030", "1030/2")}
    lab.manners("1030", refuse="486 Busy Here")
    since = time.time()
    try:
        with blocked(controlled):
            found = lab.call("1001", "1030", hold=0.6, timeout=8)
    finally:
        lab.manners("1030")
        for phone in before:
            lab.unregister(phone)
    assert found.ok, found
    assert found.details["answered_by"] == "1030/2"
    heard_by_caller(controlled, since)
    for phone, invites in before.items():
        assert int(lab.phone(phone)["invites"]) == invites + 1


def test_in_bridge_mode_a_device_that_is_not_reached_is_called_by_the_other_trunk_while_one_rings(
    federation: Federation,
) -> None:
    """1030 rings at b and goes on ringing; SIP to c is blocked: its device there rings two seconds later, and answers."""
    lab = federation.lab
    federation.phone("1001", "a")
    two_devices(federation)
    change(federation, "1030", control="bridge")
    lab.manners("1030", answer_after_ms=None)
    try:
        for _ in turns():
            before = {phone: int(lab.phone(phone)["invites"]) for phone in ("1030", "1030/2")}
            since = time.time()
            with blocked(federation), ThreadPoolExecutor(1) as pool:
                call = pool.submit(lab.dial, "1001", "1030", timeout=12)
                federation.until(lambda: len(federation.get("a", "/calls")) == 1, 5)
                control = [c["control"] for c in federation.get("a", "/calls")]
                if control == ["bridge"]:
                    dialled = call.result()
                    time.sleep(0.6)
                    found = lab.finish(dialled)
                    break
                with suppress(PhoneRefused):
                    lab.hang_up(call.result())
    finally:
        lab.manners("1030")
        for phone in before:
            lab.unregister(phone)
        change(federation, "1030", control="")
    assert found.ok, found
    assert found.details["answered_by"] == "1030/2"
    assert found.setup_ms is not None
    assert 2_000 < found.setup_ms < 8_000
    heard_by_caller(federation, since)
    for phone, invites in before.items():
        assert int(lab.phone(phone)["invites"]) == invites + 1


@contextmanager
def ringing(federation: Federation, number: str, *phones: str) -> Iterator[Future[Dialled]]:
    """1001 calls this number, and these phones ring, which do not answer yet; they will when they are called again."""
    lab = federation.lab
    before = {phone: int(lab.phone(phone)["invites"]) for phone in phones}
    with ThreadPoolExecutor(1) as pool:
        for phone in phones:
            lab.manners(phone, answer_after_ms=None)
        try:
            call = pool.submit(lab.dial, "1001", number, timeout=20)
            for phone, invites in before.items():
                rings(federation, phone, invites + 1)
            time.sleep(0.5)
            for phone in phones:
                lab.manners(phone)
            yield call
        finally:
            for phone in phones:
                lab.manners(phone)


@pytest.mark.parametrize(
    ("control", "trunk", "back"),
    [
        ("handover", "sip", False),
        ("handover", "iax2", True),
        ("bridge", "sip", True),
        ("bridge", "iax2", False),
    ],
)
def test_the_asterisk_dies_at_which_the_phone_rings(
    federation: Federation, control: str, trunk: str, back: bool
) -> None:
    """Its daemon lives, is certain of that death, and says so: another node calls the phone. `back`: it is started at once."""
    lab = federation.lab
    federation.phone("1001", "a")
    federation.phone("1003", "c")
    with set_up(federation, control, trunk), ringing(federation, "1003", "1003") as call:
        lab.kill("c", "asterisk")
        killed = time.time()
        if back:
            lab.start("c", "asterisk")
        dialled = call.result()
        took = dialled.setup_ms - (killed - dialled.started) * 1_000
        time.sleep(0.6)
        found = lab.finish(dialled)
    if not back:
        lab.start("c", "asterisk")
    federation.until(federation.whole, 30)
    assert found.ok, found
    assert (found.details["answered_by"], found.invites) == ("1003", 2)
    heard_by_caller(federation, dialled.started)
    print(f"{control}, {trunk}: connected elsewhere {took:.0f} ms after that death")
    assert took <= ELSEWHERE
    federation.until(lambda: all(federation.get(node, "/calls") == [] for node in "abc"), 5)


def test_the_caller_hears_what_speaks_before_the_answer_on_both_ways(
    controlled: Federation,
) -> None:
    """Early media, until the Asterisk dies that carries it, and again from where the phone is called next; then the answer."""
    lab, since = controlled.lab, time.time()
    lab.manners("1003", answer_after_ms=None, early=True)
    try:
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(lab.dial, "1001", "1003", timeout=20)
            controlled.until(lambda: bool(lab.calls_of("1001", since)), 5)
            call = str(lab.calls_of("1001", since)[0]["call"])
            controlled.until(lambda: lab.hears("1001", call, "1003"), 5)
            lab.manners("1003", answer_after_ms=6_000, early=True)
            lab.kill("c", "asterisk")
            time.sleep(0.3)
            controlled.until(lambda: lab.hears("1001", call, "1003"), 5)
            (seen,) = lab.calls_of("1001", since)
            assert seen["answered_at"] is None
            dialled = asked.result()
        time.sleep(0.6)
        found = lab.finish(dialled)
    finally:
        lab.manners("1003")
        lab.start("c", "asterisk")
    controlled.until(controlled.whole, 30)
    assert found.ok, found
    assert heard_by_caller(controlled, since).count(183) >= 1


def test_a_phone_stops_to_ring_when_the_asterisk_of_its_caller_dies(
    federation: Federation,
) -> None:
    """Its daemon lives and says so: no CANCEL comes from a dead Asterisk, and nobody would talk there."""
    lab = federation.lab
    federation.phone("1001", "a")
    federation.phone("1003", "c")
    before, since = int(lab.phone("1003")["invites"]), time.time()
    lab.manners("1003", answer_after_ms=None)
    try:
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(lab.dial, "1001", "1003", timeout=3)
            rings(federation, "1003", before + 1)
            time.sleep(0.3)
            lab.kill("a", "asterisk")
            took = federation.until(
                lambda: [c["state"] for c in lab.calls_of("1003", since)] == ["ended"], 5
            )
            with pytest.raises(PhoneRefused):
                call.result()
    finally:
        lab.manners("1003")
        lab.start("a", "asterisk")
    federation.until(federation.whole, 30)
    print(f"it stopped after {took:.2f} s")
    assert took <= 1.0


def test_another_device_rings_on_when_one_asterisk_dies(federation: Federation) -> None:
    """1030 rings at b and at c; c's Asterisk dies; who answers at b is heard, and was rung once."""
    lab = federation.lab
    federation.phone("1001", "a")
    two_devices(federation)
    before = {phone: int(lab.phone(phone)["invites"]) for phone in ("1030", "1030/2")}
    lab.manners("1030/2", answer_after_ms=None)
    lab.manners("1030", answer_after_ms=3_000)
    try:
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(lab.dial, "1001", "1030", timeout=20)
            for phone, invites in before.items():
                rings(federation, phone, invites + 1)
            time.sleep(0.5)
            lab.kill("c", "asterisk")
            dialled = call.result()
        time.sleep(0.6)
        found = lab.finish(dialled)
    finally:
        lab.start("c", "asterisk")
        for phone in "1030", "1030/2":
            lab.unregister(phone)
    federation.until(federation.whole, 30)
    assert found.ok, found
    assert found.details["answered_by"] == "1030"
    assert int(lab.phone("1030")["invites"]) == before["1030"] + 1
    assert dialled.setup_ms > 2_900


@pytest.mark.parametrize("what", ["daemon", "all"])
@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_a_phone_rings_on_while_its_daemon_is_dead(
    federation: Federation, control: str, what: str
) -> None:
    """Its Asterisk lives, and rings the phone once. If that is dead, too, another node calls the phone, and soon."""
    lab = federation.lab
    federation.phone("1001", "a")
    federation.phone("1003", "c")
    if what == "daemon":  # by TCP nobody else could call it
        lab.register("1003", "c", transport="tcp")
        federation.until(lambda: federation.where("1003", "a") == ["c"])
    with set_up(federation, control, "sip"):
        before = int(lab.phone("1003")["invites"])
        lab.manners("1003", answer_after_ms=3_500)
        try:
            with ThreadPoolExecutor(1) as pool:
                call = pool.submit(lab.dial, "1001", "1003", timeout=20)
                rings(federation, "1003", before + 1)
                time.sleep(0.5)
                lab.kill("c", what)
                if what == "all":
                    lab.manners("1003")
                died = time.monotonic()
                dialled = call.result()
            took = time.monotonic() - died
            time.sleep(0.6)
            found = lab.finish(dialled)
        finally:
            lab.manners("1003")
            lab.start("c")
            lab.register("1003", "c", transport="udp")
    federation.until(federation.whole, 30)
    assert found.ok, found
    rang = int(lab.phone("1003")["invites"]) - before
    print(f"answered {took:.1f} s after the death")
    if what == "daemon":
        assert rang == 1
    else:
        assert rang == 2
        assert took < 4.0


@pytest.mark.parametrize("what", ["websocket", "daemon"])
@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_a_daemon_that_loses_its_living_asterisk_cuts_nobody(
    federation: Federation, control: str, what: str
) -> None:
    """Its websocket is closed, or it is killed itself and returns, while the phone rings: it rings on and is answered."""
    lab = federation.lab
    federation.phone("1001", "a")
    federation.phone("1003", "c")
    log = lab.node("c").folder / "log" / "pbxfed.log"
    lost = log.read_text().count(LOST)
    with set_up(federation, control, "sip"):
        before = int(lab.phone("1003")["invites"])
        lab.manners("1003", answer_after_ms=3_000)
        try:
            with ThreadPoolExecutor(1) as pool:
                call = pool.submit(lab.dial, "1001", "1003", timeout=20)
                rings(federation, "1003", before + 1)
                time.sleep(0.5)
                if what == "websocket":
                    lab.asterisk("c", "ari shutdown websocket sessions")
                    federation.until(lambda: log.read_text().count(LOST) > lost, 5)
                else:
                    lab.kill("c", "daemon")
                    lab.start("c", "daemon")
                dialled = call.result()
            time.sleep(0.6)
            found = lab.finish(dialled)
        finally:
            lab.manners("1003")
    federation.until(federation.whole, 30)
    assert found.ok, found
    assert int(lab.phone("1003")["invites"]) == before + 1


@pytest.mark.parametrize("what", ["websocket", "daemon"])
def test_a_second_try_in_bridge_mode_goes_on_when_its_daemon_loses_asterisk(
    federation: Federation, what: str
) -> None:
    """The first one was handed over and came back, and there its caller stands: that is not taken for the second one's end."""
    lab = federation.lab
    for number, node in ("1001", "a"), ("1002", "b"), ("1003", "c"):
        federation.phone(number, node)
    change(federation, "1003", forward_busy="1002", control="handover")
    change(federation, "1002", control="bridge")
    log = lab.node("a").folder / "log" / "pbxfed.log"
    lost = log.read_text().count(LOST_AT_A)
    lab.manners("1003", refuse="486 Busy Here")
    lab.manners("1002", answer_after_ms=2_500)
    try:
        with ThreadPoolExecutor(1) as pool:
            for _ in turns():
                before = int(lab.phone("1002")["invites"])
                call = pool.submit(lab.dial, "1001", "1003", timeout=20)
                rings(federation, "1002", before + 1)
                time.sleep(0.3)
                control = [c["control"] for c in federation.get("a", "/calls")]
                if control == ["bridge"]:
                    break
                lab.hang_up(call.result())
            if what == "websocket":
                lab.asterisk("a", "ari shutdown websocket sessions")
                federation.until(lambda: log.read_text().count(LOST_AT_A) > lost, 5)
            else:
                lab.kill("a", "daemon")
                lab.start("a", "daemon")
            dialled = call.result()
        time.sleep(0.6)
        found = lab.finish(dialled)
    finally:
        for phone in "1002", "1003":
            lab.manners(phone)
        change(federation, "1003", forward_busy="", control="")
        change(federation, "1002", control="")
    federation.until(federation.whole, 30)
    assert found.ok, found
    assert int(lab.phone("1002")["invites"]) == before + 1


def test_a_call_that_rings_while_its_daemon_is_away_has_one_record(federation: Federation) -> None:
    """It goes onward as its number says when nobody answers; a caller who gives up has called, too."""
    lab = federation.lab
    for number, node in ("1001", "a"), ("1004", "a"), ("1002", "b"), ("1003", "c"), ("1005", "c"):
        federation.phone(number, node)
    change(federation, "1003", ring_seconds=9, forward_no_answer="1002")
    rings = {phone: int(lab.phone(phone)["invites"]) + 1 for phone in ("1003", "1005")}
    for phone in rings:
        lab.manners(phone, answer_after_ms=None)
    last = federation.get("a", "/calls/records?last=true&limit=1")
    after = last[0]["id"] if last else 0
    try:
        with ThreadPoolExecutor(2) as pool:
            goes_on = pool.submit(lab.dial, "1001", "1003", timeout=20)
            gives_up = pool.submit(lab.dial, "1004", "1005", timeout=8)
            federation.until(lambda: all(int(lab.phone(p)["invites"]) == rings[p] for p in rings))
            time.sleep(1.5)  # they are written down every second
            lab.kill("a", "daemon")
            lab.start("a", "daemon")
            federation.until(lambda: len(federation.get("a", "/calls")) == 2, 7)
            with pytest.raises(PhoneRefused):
                gives_up.result()
            dialled = goes_on.result()
        time.sleep(0.6)
        found = lab.finish(dialled)
    finally:
        for phone in rings:
            lab.manners(phone)
        change(federation, "1003", ring_seconds=0, forward_no_answer="")
    assert found.ok, found
    assert found.details["answered_by"] == "1002"
    federation.until(federation.whole, 30)
    federation.until(lambda: federation.get("a", "/calls") == [], 5)
    records = federation.get("a", f"/calls/records?after={after}")
    kept = {str(one["to"]): one for one in records}
    assert sorted(kept) == ["1003", "1005"]
    assert len(records) == 2
    onward, given_up = kept["1003"], kept["1005"]
    assert (onward["from"], onward["answered"], onward["reached"]) == ("1001", True, "1002")
    assert [one["outcome"] for one in onward["attempts"]] == ["no_answer", "answered"]
    assert (given_up["from"], given_up["answered"], given_up["tries"]) == ("1004", False, 1)
    assert [one["outcome"] for one in given_up["attempts"]] == ["given_up"]
    assert given_up["attempts"][0]["legs"] == [{"node": "c", "trunk": "sip"}]
    assert 7 < given_up["seconds"] < 10


def test_a_daemon_that_returns_knows_the_tries_of_its_calls_and_when_they_were_answered(
    controlled: Federation,
) -> None:
    """By what it had written down: one was busy, the other rang for a while. They talk on, and the record is whole."""
    lab = controlled.lab
    controlled.phone("1002", "b")
    change(controlled, "1003", forward_busy="1002")
    lab.manners("1003", refuse="486 Busy Here")
    lab.manners("1002", answer_after_ms=1_500)
    try:
        talks = lab.dial("1001", "1003")
        time.sleep(2.5)  # it is written down every second
        (before,) = controlled.get("a", "/calls")
        lab.kill("a", "daemon")
        lab.start("a", "daemon")
        controlled.until(controlled.whole, 30)
        controlled.until(lambda: len(controlled.get("a", "/calls")) == 1, 7)
        (after,) = controlled.get("a", "/calls")
        result = lab.finish(talks)
    finally:
        for phone in "1002", "1003":
            lab.manners(phone)
        change(controlled, "1003", forward_busy="")
    assert result.ok, result
    assert [one["outcome"] for one in before["attempts"]] == ["busy", "answered"]
    assert before["attempts"][1]["seconds"] > 1.5
    assert after["attempts"] == before["attempts"]
    assert after["tries_left_out"] == 0
    answered = [one["seconds"] - one["talking_seconds"] for one in (before, after)]
    assert answered[1] == pytest.approx(answered[0], abs=0.05)
    controlled.until(lambda: controlled.get("a", "/calls") == [], 5)
    (record,) = controlled.get("a", "/calls/records?last=true&limit=1")
    assert record["attempts"] == before["attempts"]
    assert (record["to"], record["reached"], record["tries"]) == ("1003", "1002", 2)
    assert record["seconds"] - record["talked_seconds"] == pytest.approx(answered[0], abs=0.05)


def test_calls_that_end_while_their_daemon_is_away_have_a_record_each(
    controlled: Federation,
) -> None:
    """One talked, one rang. It says until when they were seen; the part at the other node tells of the end."""
    lab = controlled.lab
    for number, node in ("1004", "a"), ("1005", "c"):
        controlled.phone(number, node)
    last = {n: controlled.get(n, "/calls/records?last=true&limit=1&parts=true") for n in ("a", "c")}
    after = {n: one[0]["id"] if one else 0 for n, one in last.items()}
    lab.manners("1005", answer_after_ms=None)
    try:
        with ThreadPoolExecutor(1) as pool:
            talks = lab.dial("1001", "1003")
            rings = pool.submit(lab.dial, "1004", "1005", timeout=5)
            time.sleep(2.5)  # they are written down every second
            lab.kill("a", "daemon")
            seen = time.time() - talks.started
            with pytest.raises(PhoneRefused):
                rings.result()
        lab.hang_up(talks)
        time.sleep(0.5)
    finally:
        lab.manners("1005")
        lab.start("a", "daemon")
    controlled.until(controlled.whole, 30)
    records = controlled.get("a", f"/calls/records?after={after['a']}&parts=true")
    kept = {str(one["to"]): one for one in records}
    assert sorted(kept) == ["1003", "1005"]
    assert len(records) == 2
    talked, rang = kept["1003"], kept["1005"]
    for one in talked, rang:
        assert one["cause"] == 0
        assert one["unseen_seconds"] > 0.5, one
    assert (talked["from"], talked["answered"], talked["reached"]) == ("1001", True, "1003")
    assert [one["outcome"] for one in talked["attempts"]] == ["answered"]
    assert 0.0 < talked["talked_seconds"] < seen, talked
    assert (rang["from"], rang["answered"]) == ("1004", False)
    assert [one["outcome"] for one in rang["attempts"]] == ["lost_sight"]
    asked = f"/calls/records?after={after['c']}&parts=true"
    controlled.until(lambda: len(controlled.get("c", asked)) == 2, 5)
    parts = controlled.get("c", asked)
    assert {p["call"] for p in parts} == {one["call"] for one in records}
    (part,) = [p for p in parts if p["to"] == "1003"]
    assert part["unseen_seconds"] == 0.0
    controlled.until(lambda: all(controlled.get(node, "/calls") == [] for node in "ac"), 5)
    lab.kill("a", "daemon")
    lab.start("a", "daemon")
    controlled.until(controlled.whole, 30)
    assert len(controlled.get("a", f"/calls/records?after={after['a']}&parts=true")) == 2


def test_a_daemon_that_is_stopped_writes_down_who_has_just_begun_to_talk(
    federation: Federation,
) -> None:
    """A restart on purpose loses no record, however short the call was; the record says until when it was seen."""
    lab = federation.lab
    federation.phone("1001", "a")
    federation.phone("1003", "c")
    last = federation.get("a", "/calls/records?last=true&limit=1")
    after = last[0]["id"] if last else 0
    daemon = Process.load(lab.node("a")._record("daemon"))
    assert daemon is not None
    talks = lab.dial("1001", "1003")
    daemon.signal(signal.SIGTERM, wait=10)
    lab.hang_up(talks)
    time.sleep(0.5)
    lab.start("a", "daemon")
    federation.until(federation.whole, 30)
    (record,) = federation.get("a", f"/calls/records?after={after}")
    assert (record["from"], record["to"], record["answered"]) == ("1001", "1003", True)
    assert record["unseen_seconds"] > 0.5, record
    assert record["cause"] == 0


def test_a_phone_that_rings_and_answers_while_the_daemon_stands_still_talks_on(
    controlled: Federation,
) -> None:
    """As when its machine is moved, three seconds: what it has not heard yet when it wakes is no silence."""
    lab = controlled.lab
    daemon = pid_of(lab, "a", "daemon")
    lab.manners("1003", ring_after_ms=600, answer_after_ms=1_200)
    try:
        for _ in range(4):
            with ThreadPoolExecutor(1) as pool:
                call = pool.submit(lab.dial, "1001", "1003", timeout=20)
                time.sleep(0.15)
                os.kill(daemon, signal.SIGSTOP)
                time.sleep(3.0)
                os.kill(daemon, signal.SIGCONT)
                dialled = call.result()
            time.sleep(0.5)
            assert [one["state"] for one in controlled.get("a", "/calls")] == ["talking"]
            assert lab.finish(dialled).ok
            controlled.until(controlled.whole)
    finally:
        os.kill(daemon, signal.SIGCONT)
        lab.manners("1003")


def test_a_caller_who_is_answered_while_his_daemon_is_deaf_talks_on(
    federation: Federation,
) -> None:
    """It learns of the answer when it hears again: the death of the other daemon cuts nobody, the record says answered."""
    lab = federation.lab
    federation.phone("1001", "a")
    federation.phone("1003", "c")
    daemon, before = pid_of(lab, "a", "daemon"), int(lab.phone("1003")["invites"])
    lab.manners("1003", answer_after_ms=1_500)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(lab.dial, "1001", "1003", timeout=20)
        try:
            rings(federation, "1003", before + 1)
            time.sleep(0.5)
            os.kill(daemon, signal.SIGSTOP)
            lab.asterisk("a", "ari shutdown websocket sessions")
            dialled = call.result()
        finally:
            os.kill(daemon, signal.SIGCONT)
            lab.manners("1003")
    federation.until(lambda: [c["state"] for c in federation.get("a", "/calls")] == ["talking"], 5)
    lab.kill("c", "daemon")
    try:
        federation.until(lambda: federation.state("a", "c") == "down")
        time.sleep(1.0)
        found = lab.finish(dialled)
    finally:
        lab.start("c", "daemon")
    federation.until(federation.whole, 30)
    assert found.ok, found
    record = federation.get("a", "/calls/records?last=true&limit=1")[0]
    assert (record["to"], record["answered"], record["tries"]) == ("1003", True, 1)
    assert record["talked_seconds"] > 1.0
