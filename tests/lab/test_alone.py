"""A daemon is dead, its Asterisk is not: what its phones reach at other nodes, and what they hear of the rest."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from lab.lab import Lab
from lab.phone import PhoneRefused
from lab.process import Process
from tests.lab.conftest import Federation, looked_after
from tests.lab.furnishing import furnished, nothing_left, put, two_devices

PHONES = {"1001": "a", "1002": "b", "1003": "c", "1004": "b"}
SILENT = 4.0  # seconds after which the dialplan gives up who does not ring
ASKED_AGAIN = 30  # seconds after which it asks who was silent


@pytest.fixture(scope="module")
def ground() -> Iterator[Lab]:
    """Three nodes of their own: c has a line to the outside."""
    with furnished("alone", PHONES) as lab:
        yield lab


@pytest.fixture
def federation(ground: Lab, request: pytest.FixtureRequest) -> Iterator[Federation]:
    """Whole, and each Asterisk is told whom to ask."""
    with looked_after(Federation(ground), request) as found:
        for node in "abc":
            found.until(lambda node=node: told(found, node) == set("abc") - {node})  # type: ignore[misc]
        yield found
    for number, node in PHONES.items():
        ground.manners(number)
        ground.register(number, node)


def told(federation: Federation, node: str) -> set[str]:
    """Whom a node's Asterisk asks without its daemon."""
    shown = federation.lab.asterisk(node, "dialplan show globals")
    (dial,) = [one for one in shown.splitlines() if "PBXFED_PEERS=" in one] or [""]
    return {part.partition("pf-")[2].partition("/")[0] for part in dial.split("&") if "pf-" in part}


def silent_since(federation: Federation, node: str, peer: str) -> int:
    """Since when its dialplan holds a peer for dead, as `date +%s` says; 0: it does not."""
    shown = federation.lab.asterisk(node, "dialplan show globals")
    name = f"PBXFED_SILENT_pf-{peer}="
    return sum(int(one.partition("=")[2]) for one in shown.splitlines() if name in one)


def waited_in_vain(federation: Federation, node: str) -> None:
    """Somebody has waited for its daemon a moment ago: nobody waits for it now."""
    federation.lab.asterisk(node, f"dialplan set global PBXFED_AWAY {int(time.time())}")


@contextmanager
def dead(federation: Federation, *nodes: str) -> Iterator[None]:
    """The daemons of these nodes, until the end, when all is as before and nothing is left."""
    for node in nodes:
        federation.lab.kill(node, "daemon")
    try:
        yield
    finally:
        for node in nodes:
            federation.lab.start(node, "daemon")
    federation.until(federation.whole, 30)
    nothing_left(federation)


@contextmanager
def called_by(federation: Federation, trunk: str) -> Iterator[None]:
    """All nodes are called so, and each Asterisk knows it."""
    second = {"sip": "iax2", "iax2": "sip"}[trunk]
    form = {"sip": "PJSIP/${PBXFED_NUMBER}@pf-", "iax2": "IAX2/pf-"}[trunk]

    def all_told() -> bool:
        shown = [federation.lab.asterisk(node, "dialplan show globals") for node in "abc"]
        return all(one.count(form) == 2 for one in shown)

    for node in "abc":
        federation.lab.configure(node, "calls", "trunks", [trunk, second])
    try:
        federation.until(all_told)
        yield
    finally:
        for node in "abc":
            federation.lab.configure(node, "calls", "trunks", ["sip", "iax2"])
        federation.until(federation.whole)


def records(federation: Federation, node: str) -> list[tuple[str, str, bool]]:
    """The last call that this node has kept: whose it was, to whom, and whether it was answered."""
    kept = federation.get(node, "/calls/records?last=true&limit=1&parts=true")
    return [(one["peer"], one["to"], one["answered"]) for one in kept]


def rings(federation: Federation) -> dict[str, int]:
    """How often each phone was called."""
    return {number: int(federation.lab.phone(number)["invites"]) for number in PHONES}


@pytest.mark.parametrize("trunk", ["sip", "iax2"])
def test_a_phone_of_another_node_is_reached_without_the_daemon(
    federation: Federation, trunk: str
) -> None:
    """At once, with the caller's name, and nobody else is rung; both are heard. Who was asked has a record."""
    lab = federation.lab
    with called_by(federation, trunk):
        with dead(federation, "a"):
            for called, node in ("1002", "b"), ("1003", "c"):
                before = rings(federation)
                result = lab.call("1001", called, hold=0.6)
                assert result.ok, result
                assert (result.trunk, result.nodes) == (trunk, ("a", node))
                assert result.caller_id == {"name": "Phone 1001", "number": "1001"}
                assert result.setup_ms is not None
                assert result.setup_ms < 1_000
                assert rings(federation) == before | {called: before[called] + 1}
                kept = ("a", called, True)
                federation.until(lambda: kept in records(federation, node))  # noqa: B023
        result = lab.call("1001", "1002", hold=0.6)
        assert result.ok, result


@pytest.mark.parametrize("trunk", ["sip", "iax2"])
def test_what_is_heard_of_who_cannot_be_had(federation: Federation, trunk: str) -> None:
    """Nobody's, rooms, groups, queues, services, the outside: 503, by which a phone asks another node. Busy is busy."""
    lab = federation.lab
    put(federation, "room", "800", name="Monday")
    put(federation, "group", "600", members=["1002", "1003"])
    put(federation, "queue", "700", members=["1002", "1003"])
    put(federation, "service", "80", context="house")
    put(
        federation,
        "trunk",
        "line",
        site="main",
        endpoint="provider",
        nodes=["c"],
        patterns=["_0X."],
    )
    federation.add("1009")
    with called_by(federation, trunk), dead(federation, "a"):
        before, outside = rings(federation), int(lab.phone("provider")["invites"])
        for number in "1009", "7777", "800", "600", "700", "80", "0301", "*97", "112":
            began = time.monotonic()
            assert federation.fails("1001", number)[0] == 503, number
            assert time.monotonic() - began < SILENT
        assert rings(federation) == before
        assert int(lab.phone("provider")["invites"]) == outside
        federation.until(lambda: all(federation.get(n, "/calls") == [] for n in "bc"))
        for node in "bc":
            assert "pf-800" not in lab.asterisk(node, "confbridge list")
        lab.manners("1002", refuse="486 Busy Here")
        assert federation.fails("1001", "1002") == (486, ["Q.850;cause=17"])
        lab.manners("1002", refuse="603 Decline", answer_after_ms=500)
        assert federation.fails("1001", "1002")[0] == 486
        assert rings(federation) == before | {"1002": before["1002"] + 2}


def test_a_phone_here_that_sends_on_is_as_nobody(federation: Federation) -> None:
    """503: another node knows whither its calls may go. With and without a Contact, and to who calls."""
    lab = federation.lab
    federation.phone("1009", "a")
    try:
        with dead(federation, "a"):
            waited_in_vain(federation, "a")
            for to in "1003", None, "1001":
                lab.manners("1009", refuse="302 Moved Temporarily", send_to=to)
                assert federation.fails("1001", "1009")[0] == 503, to
    finally:
        lab.unregister("1009")


def test_who_would_be_refused_waits_once_for_the_daemon(federation: Federation) -> None:
    """Who comes right after him hears at once that he may ask another node."""
    lab = federation.lab
    lab.asterisk("a", "dialplan set global PBXFED_AWAY 0")
    with dead(federation, "a"):
        for shortest, longest in (2.5, SILENT), (0.0, 1.0):
            began = time.monotonic()
            assert federation.fails("1001", "7777")[0] == 503
            assert shortest < time.monotonic() - began < longest


def test_nobody_waits_for_a_daemon_that_was_drained_and_stopped(federation: Federation) -> None:
    """Another node serves; this one may be switched off next."""
    lab = federation.lab
    lab.asterisk("a", "dialplan set global PBXFED_AWAY 0")
    lab.pbxfed("a", "drain")
    try:
        daemon = Process.load(lab.node("a")._record("daemon"))
        assert daemon
        daemon.signal(signal.SIGTERM, wait=10)
        began = time.monotonic()
        assert federation.fails("1001", "7777")[0] == 503
        assert time.monotonic() - began < 1
    finally:
        lab.start("a", "daemon")
        lab.http("a", "DELETE", "/drain")
        federation.until(federation.whole, 30)


def test_who_calls_while_a_drained_daemon_stops_is_refused_at_once(federation: Federation) -> None:
    """Asterisk may have given it somebody in its last moment: he does not stand there until his time is over."""
    lab, callers = federation.lab, ["1001", "1005", "1006", "1007"]
    for number in callers[1:]:
        federation.phone(number, "a")
    lab.pbxfed("a", "drain")
    stopped = threading.Event()

    def calls(number: str) -> list[tuple[int, float]]:
        found = []
        while not stopped.is_set():
            began = time.monotonic()
            found.append((federation.fails(number, "7777")[0], time.monotonic() - began))
        return found

    try:
        with ThreadPoolExecutor(len(callers)) as pool:
            running = [pool.submit(calls, number) for number in callers]
            time.sleep(0.5)
            daemon = Process.load(lab.node("a")._record("daemon"))
            assert daemon
            daemon.signal(signal.SIGTERM, wait=10)
            time.sleep(0.5)
            stopped.set()
            found = [one for each in running for one in each.result()]
        assert len(found) > len(callers)
        assert [one for one in found if one[0] != 503 or one[1] > 1.5] == []
    finally:
        stopped.set()
        lab.start("a", "daemon")
        lab.http("a", "DELETE", "/drain")
        for number in callers[1:]:
            lab.unregister(number)
        federation.until(federation.whole, 30)


def test_what_a_phone_has_said_holds_without_the_daemon_of_its_caller(
    federation: Federation,
) -> None:
    """Do not disturb is busy; who forwards all, and who may not be called by this caller, is for another node to say."""
    lab = federation.lab
    put(federation, "class", "lobby", allow=["1003"])
    put(federation, "extension", "1002", dnd=True)
    put(federation, "extension", "1003", forward_always="1004")
    before = rings(federation)
    try:
        with dead(federation, "a"):
            assert federation.fails("1001", "1002")[0] == 486
            assert federation.fails("1001", "1003")[0] == 503
            lab.http("b", "PATCH", "/extensions/1001", {"calling_class": "lobby"})
            federation.until(lambda: federation.whole("bc"))
            assert federation.fails("1001", "1004")[0] == 503
    finally:
        lab.http("b", "PATCH", "/extensions/1001", {"calling_class": ""})
        lab.http("b", "PATCH", "/extensions/1002", {"dnd": False})
        lab.http("b", "PATCH", "/extensions/1003", {"forward_always": ""})
        federation.until(federation.whole)
    assert rings(federation) == before


@pytest.mark.parametrize("trunk", ["sip", "iax2"])
def test_a_peer_that_has_died_since_costs_no_call(federation: Federation, trunk: str) -> None:
    """Its daemon alone: its dialplan rings its phones. All of it: who lives is reached, the rest is refused in a while.

    By SIP that is found out once, and is known for half a minute.
    """
    lab = federation.lab
    lab.asterisk("a", "dialplan set global PBXFED_SILENT_pf-c 0")
    with called_by(federation, trunk):
        with dead(federation, "a", "c"):
            for called in "1003", "1002":
                result = lab.call("1001", called, hold=0.6)
                assert result.ok, result
            assert federation.fails("1001", "7777")[0] == 503
        federation.until(lambda: told(federation, "a") == {"b", "c"})
        with dead(federation, "a"):
            lab.kill("c")
            waited_in_vain(federation, "a")
            try:
                result = lab.call("1001", "1002", hold=0.6)
                assert result.ok, result
                began = time.monotonic()
                assert federation.fails("1001", "7777")[0] == 503
                assert time.monotonic() - began < SILENT + 1.5
                lab.manners("1002", refuse="486 Busy Here")
                assert federation.fails("1001", "1002")[0] == 486
                assert bool(silent_since(federation, "a", "c")) == (trunk == "sip")
                assert not silent_since(federation, "a", "b")
                began = time.monotonic()
                assert federation.fails("1001", "7777")[0] == 503
                assert time.monotonic() - began < SILENT / 2
            finally:
                lab.start("c")
            lab.register("1003", "c")
            if since := silent_since(federation, "a", "c"):
                assert federation.fails("1001", "1003")[0] == 503
                known = f"PBXFED_SILENT_pf-c {since - ASKED_AGAIN}"
                lab.asterisk("a", f"dialplan set global {known}")
            result = lab.call("1001", "1003", hold=0.6)
            assert result.ok, result


def test_of_two_devices_at_two_nodes_one_answers(federation: Federation) -> None:
    """Both ring, once; the other one is told that somebody has answered."""
    lab = federation.lab
    two_devices(federation)
    lab.manners("1030", answer_after_ms=None)
    lab.manners("1030/2", answer_after_ms=1_000)
    try:
        with dead(federation, "a"):
            since = time.time()
            result = lab.call("1001", "1030", hold=0.6)
            federation.until(lambda: lab.calls_of("1030", since)[-1]["state"] == "ended", 5)
            (other,) = lab.calls_of("1030", since)
    finally:
        lab.manners("1030", answer_after_ms=0)
        for phone in "1030", "1030/2":
            lab.unregister(phone)
    assert result.ok, result
    assert result.details["answered_by"] == "1030/2"
    assert any("cause=200" in reason for reason in other["reasons"]), other


def test_a_daemon_that_returns_cuts_nobody(federation: Federation) -> None:
    """Who rings is answered, who talks talks on; what its dialplan has begun is no call of its own."""
    lab = federation.lab
    lab.manners("1003", answer_after_ms=6_000)
    lab.kill("a", "daemon")
    talks = lab.dial("1001", "1002")
    with ThreadPoolExecutor(1) as pool:
        before = rings(federation)["1003"]
        asks = pool.submit(lab.dial, "1001", "1003", timeout=20)
        federation.until(lambda: rings(federation)["1003"] == before + 1)
        lab.start("a", "daemon")
        federation.until(federation.whole, 30)
        rang = asks.result()
    assert federation.get("a", "/calls") == []
    assert [one["to"] for one in federation.get("b", "/calls")] == ["1002"]
    time.sleep(1.0)
    for call in rang, talks:
        result = lab.finish(call)
        assert result.ok, result
    nothing_left(federation)


def test_a_call_that_came_by_a_trunk_crosses_no_other(federation: Federation) -> None:
    """1004 has left b for c, and then c, too; b's daemon is dead, and asks nobody for what a has asked it."""
    lab = federation.lab
    with dead(federation, "a", "b"):
        lab.unregister("1004")
        lab.register("1004", "c")
        federation.until(lambda: federation.where("1004", "c") == ["c"])
        before = rings(federation)["1004"]
        assert lab.call("1001", "1004", hold=0.6).ok
        assert rings(federation)["1004"] == before + 1
        lab.unregister("1004")
        assert federation.fails("1001", "1004")[0] == 503


def test_who_is_left_out_is_not_asked(federation: Federation) -> None:
    """A drained peer, a dead one; and an Asterisk that starts without its daemon knows nobody: 503, as an old one says."""
    lab = federation.lab
    lab.pbxfed("c", "drain", "--deadline", "600")
    federation.until(lambda: told(federation, "a") == {"b"})
    federation.until(lambda: told(federation, "c") == set())
    lab.pbxfed("c", "undrain")
    federation.until(lambda: told(federation, "a") == {"b", "c"})
    lab.kill("c")
    federation.until(lambda: told(federation, "a") == {"b"})
    lab.start("c")
    federation.until(lambda: told(federation, "a") == {"b", "c"}, 30)
    with dead(federation, "a"):
        lab.kill("a", "asterisk")
        lab.start("a", "asterisk")
        lab.register("1001", "a")
        assert told(federation, "a") == set()
        assert federation.fails("1001", "1002")[0] == 503
    federation.until(lambda: told(federation, "a") == {"b", "c"})


def test_the_failed_try_of_a_dead_daemon_goes_on(federation: Federation) -> None:
    """Who was rung, and is busy, is not rung once more; and with the daemon back all is as it was."""
    lab = federation.lab
    before = rings(federation)
    lab.manners("1003", refuse="486 Busy Here", answer_after_ms=3_000)
    with ThreadPoolExecutor(1) as pool:
        asks = pool.submit(federation.fails, "1001", "1003")
        federation.until(lambda: rings(federation)["1003"] == before["1003"] + 1)
        with dead(federation, "a"):
            assert asks.result()[0] == 486
    assert rings(federation)["1003"] == before["1003"] + 1
    with pytest.raises(PhoneRefused):
        lab.dial("1001", "7777")


@pytest.mark.parametrize("trunk", ["sip", "iax2"])
def test_a_failed_try_in_which_nobody_rang_is_followed_by_a_fork(
    federation: Federation, trunk: str
) -> None:
    """The phone at b could not be had, which a's daemon does not live to hear; by now its owner has one at c, too."""
    lab = federation.lab
    federation.add("1031")
    lab.http("a", "PATCH", "/extensions/1031", {"devices": 2})
    federation.until(federation.whole)
    lab.register("1031", "b", home="b")
    federation.until(lambda: federation.where("1031", "a") == ["b"])
    lab.manners("1031", refuse="480 Temporarily Unavailable", ring_after_ms=6_000)
    before = int(lab.phone("1031")["invites"])
    try:
        with called_by(federation, trunk), ThreadPoolExecutor(1) as pool:
            asks = pool.submit(lab.call, "1001", "1031", hold=0.6)
            federation.until(lambda: int(lab.phone("1031")["invites"]) == before + 1)
            with dead(federation, "a"):
                lab.manners("1031", refuse="480 Temporarily Unavailable")
                lab.register("1031/2", "c", home="c")
                lab.manners("1031/2", answer_after_ms=1_000)  # both are rung before one answers
                result = asks.result()
    finally:
        for phone in "1031", "1031/2":
            lab.unregister(phone)
    assert result.ok, result
    assert result.details["answered_by"] == "1031/2"
    assert (result.trunk, result.nodes) == (trunk, ("a", "c"))
    assert int(lab.phone("1031")["invites"]) == before + 2
