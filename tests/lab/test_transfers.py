"""Real phones transfer, hold, send on and press keys, in both control modes: who hears whom, what is shown, who pays."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from lab.calls import Dialled
from lab.lab import Lab
from lab.places import LabError
from tests.lab.conftest import Federation
from tests.lab.furnishing import (
    calm,
    connecting,
    in_mode,
    nothing_left,
    packets,
    press_at_once,
    put,
)

PHONES = {"1001": "a", "1002": "a", "1003": "c", "1004": "b", "1005": "c"}
Talk = dict[str, str]  # the call of each phone, as it calls it


@pytest.fixture(scope="module", params=["handover", "bridge"])
def mode(lab: Lab, request: pytest.FixtureRequest) -> Iterator[str]:
    """Each test in each mode; all of one mode together."""
    found = Federation(lab)
    found.until(found.whole)
    for number, node in PHONES.items():
        found.phone(number, node)
    with connecting(lab, request.param):
        yield request.param


@pytest.fixture
def phones(federation: Federation, mode: str) -> Iterator[Federation]:
    """Five phones on three nodes; each test leaves nothing behind."""
    calm(federation, mode)
    yield federation
    for number in PHONES:
        federation.lab.manners(number)
    for number in PHONES:
        for call in federation.lab.calls_of(number):
            if call["state"] == "answered":  # the test has failed
                federation.lab.end(number, call["call"])
    nothing_left(federation)


def talk(federation: Federation, caller: str, called: str, control: str = "") -> Talk:
    """A conversation: each hears the other. `control`: who must own the legs."""
    dialled = in_mode(control, federation, caller, called)
    calls = {caller: dialled.id, called: newest(federation, called)["call"]}
    both_hear(federation, calls, caller, called)
    return calls


def newest(federation: Federation, phone: str) -> dict[str, Any]:
    """The last call that came to a phone; {} before the first."""
    calls = [call for call in federation.lab.calls_of(phone) if call["incoming"]]
    return calls[-1] if calls else {}


def answers(federation: Federation, phone: str, since: float) -> str:
    """Its call, as soon as this phone has answered one that came since."""

    def answered() -> bool:
        found = newest(federation, phone)
        return bool(found) and found["started"] > since and found["state"] == "answered"

    federation.until(answered, 6, what=f"{phone} answers")
    return str(newest(federation, phone)["call"])


def of(federation: Federation, phone: str, call: str) -> dict[str, Any]:
    """One call of a phone."""
    return next(c for c in federation.lab.calls_of(phone) if c["call"] == call)


def both_hear(federation: Federation, calls: Talk, one: str, other: str) -> None:
    def hears(who: str, whom: str) -> None:
        federation.until(
            lambda: federation.lab.hears(who, calls[who], whom), 4, what=f"{who} hears {whom}"
        )

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(hears, (one, other), (other, one)))


def is_over(federation: Federation, phone: str, call: str) -> None:
    federation.until(
        lambda: of(federation, phone, call)["state"] == "ended", 5, what=f"{phone} is out of it"
    )


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    """Somebody calls while the test looks on."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def calling(
    phones: Federation, aside: ThreadPoolExecutor, called: str
) -> tuple[Future[Dialled], str]:
    """1001 calls; its call, as soon as there is one."""
    since = time.time() - 0.001
    dialling = aside.submit(phones.lab.dial, "1001", called)
    phones.until(lambda: bool(phones.lab.calls_of("1001", since)), 5)
    return dialling, str(phones.lab.calls_of("1001", since)[0]["call"])


@contextlib.contextmanager
def away(phones: Federation, *nodes: str) -> Iterator[None]:
    """The daemons of these nodes; they are back afterwards."""
    for node in nodes:
        phones.lab.kill(node, "daemon")
    try:
        yield
    finally:
        phones.lab.start_all("".join(nodes), "daemon")
        phones.until(phones.whole)


# who calls whom; who transfers; to whom: on the same node and on others
TRANSFERS = [
    ("1001", "1002", "1002", "1003"),
    ("1001", "1002", "1001", "1004"),
    ("1001", "1003", "1003", "1004"),
    ("1001", "1003", "1001", "1002"),
    ("1003", "1001", "1001", "1002"),
    ("1004", "1003", "1003", "1005"),
]
NAMES = ["-".join(case) for case in TRANSFERS]


@pytest.mark.parametrize(("caller", "called", "by", "to"), TRANSFERS, ids=NAMES)
def test_blind(phones: Federation, mode: str, caller: str, called: str, by: str, to: str) -> None:
    """Who stays talks with the target, and is shown there; the transferrer is told and out."""
    lab = phones.lab
    calls = talk(phones, caller, called)
    stays = called if by == caller else caller
    since = time.time()
    assert lab.transfer(by, calls[by], to) == 202
    calls[to] = answers(phones, to, since)
    both_hear(phones, calls, stays, to)
    is_over(phones, by, calls[by])
    assert of(phones, by, calls[by])["notified"][-1] == "200 OK"
    assert newest(phones, to)["other"] == stays
    phones.until(
        lambda: (
            (stays, by)
            in [
                (call["from"], call["transferred_by"])
                for call in phones.get(PHONES[by], "/calls")
                if call["to"] == to
            ]
        ),
        5,
        what="who transfers is told",
    )
    phones.lab.end(to, calls[to])
    is_over(phones, stays, calls[stays])
    nothing_left(phones)
    kept = phones.get(PHONES[by], "/calls/records?last=true&limit=2")
    told = [(one["from"], one["transferred_by"]) for one in kept if one["to"] == to]
    assert (stays, by) in told
    kept = phones.get(PHONES[caller], "/calls/records?last=true&limit=2")
    first = [one["transferred_by"] for one in kept if (one["from"], one["to"]) == (caller, called)]
    goes_on = mode == "bridge" or (by == called and PHONES[by] != PHONES[caller])
    assert first[-1] == (by if goes_on else "")


@pytest.mark.parametrize(("caller", "called", "by", "to"), TRANSFERS, ids=NAMES)
def test_attended(phones: Federation, caller: str, called: str, by: str, to: str) -> None:
    """Held, asked, put through: both are shown whom they talk with."""
    lab = phones.lab
    calls = talk(phones, caller, called)
    stays = called if by == caller else caller
    lab.hold(by, calls[by])
    asked = talk(phones, by, to)
    lab.hold(by, asked[by])
    assert lab.transfer(by, calls[by], to, other=asked[by]) == 202
    is_over(phones, by, calls[by])
    is_over(phones, by, asked[by])
    assert of(phones, by, calls[by])["notified"][-1] == "200 OK"
    calls[to] = asked[to]
    both_hear(phones, calls, stays, to)
    for who, whom in (stays, to), (to, stays):
        phones.until(
            lambda who=who, whom=whom: (  # type: ignore[misc]
                of(phones, who, calls[who])["display"].get("number") == whom
            ),
            5,
            what=f"{who} is shown {whom}",
        )
    for node, came in (PHONES[caller], (caller, called)), (PHONES[by], (by, to)):
        put_through(phones, node, *came, by)
    phones.lab.end(stays, calls[stays])
    is_over(phones, to, calls[to])
    nothing_left(phones)
    for node, came in (PHONES[caller], (caller, called)), (PHONES[by], (by, to)):
        kept = phones.get(node, "/calls/records?last=true&limit=2")
        told = [one["transferred_by"] for one in kept if (one["from"], one["to"]) == came]
        assert told[-1:] == [by], came


def put_through(phones: Federation, node: str, caller: str, called: str, by: str) -> None:
    """They talk on: the node that this call came to first tells by whom they were connected."""

    def is_told() -> bool:
        shown = [(c["from"], c["to"], c["transferred_by"]) for c in phones.get(node, "/calls")]
        return (caller, called, by) in shown

    phones.until(is_told, 5, what=f"{node} tells who has put {caller} through")


@pytest.mark.parametrize("to", ["1002", "1003"], ids=["local", "cross-node"])
def test_put_through_while_it_rings(
    phones: Federation, mode: str, aside: ThreadPoolExecutor, to: str
) -> None:
    """Who was held hears the answer, though the transferrer has gone before it."""
    lab = phones.lab
    calls = talk(phones, "1004", "1001")
    lab.hold("1001", calls["1001"])
    lab.manners(to, answer_after_ms=2000)
    since = time.time()
    dialling, asked = calling(phones, aside, to)
    phones.until(lambda: of(phones, "1001", asked)["state"] == "ringing", 5)
    lab.transfer("1001", calls["1001"], to, other=asked)
    with contextlib.suppress(LabError):
        dialling.result()
    calls[to] = answers(phones, to, since)
    both_hear(phones, calls, "1004", to)
    is_over(phones, "1001", calls["1001"])
    put_through(phones, "b", "1004", "1001", "1001")
    if mode == "bridge":
        put_through(phones, "a", "1001", to, "1001")
    phones.lab.end("1004", calls["1004"])


@pytest.fixture
def by_iax2(phones: Federation) -> Iterator[Federation]:
    """The other trunk between a and the others."""

    def goes_by(trunk: str) -> bool:
        ways = [phones.get("a", f"/route/{number}") for number in ("1003", "1004")]
        return all(way["tries"][0]["legs"][0]["trunk"] == trunk for way in ways)

    for trunks in ["iax2", "sip"], ["sip", "iax2"]:
        for node in "abc":
            phones.lab.configure(node, "calls", "trunks", trunks)
        phones.until(lambda: goes_by(trunks[0]))  # noqa: B023
        if trunks[0] == "iax2":
            yield phones


def test_by_iax2(by_iax2: Federation, mode: str) -> None:
    """The same, displays included."""
    test_blind(by_iax2, mode, "1001", "1003", "1001", "1004")
    test_blind(by_iax2, mode, "1001", "1003", "1003", "1004")
    test_attended(by_iax2, "1001", "1003", "1003", "1004")
    test_keys_pass(by_iax2, "1003")
    for to in "1005", "1004", "1002":
        test_a_phone_sends_on(by_iax2, "1003", to)
    test_who_loses_a_fork_is_told_that_it_was_answered_elsewhere(by_iax2)


@contextlib.contextmanager
def rewritten(phones: Federation, file: str, old: str, new: str, reload: str) -> Iterator[None]:
    """A file of every Asterisk says something else meanwhile."""
    files = {node: phones.lab.node(node).etc / file for node in "abc"}
    texts = {node: path.read_text() for node, path in files.items()}
    assert all(old in text for text in texts.values())
    try:
        for node, path in files.items():
            path.write_text(texts[node].replace(old, new))
            phones.lab.asterisk(node, reload)
        yield
    finally:
        for node, path in files.items():
            path.write_text(texts[node])
            phones.lab.asterisk(node, reload)


def test_who_is_transferred_is_known_though_who_has_sent_him_is_gone(
    phones: Federation, mode: str
) -> None:
    """Before a busy Asterisk has asked for him whom he was connected with."""
    asks = " same => n,Set(PBXFED_WHOM="
    late = f" same => n,Wait(0.1)\n{asks}"
    with rewritten(phones, "pbxfed/extensions.conf", asks, late, "dialplan reload"):
        for case in TRANSFERS:
            test_blind(phones, mode, *case)


def test_who_is_transferred_by_iax2_is_known_though_his_node_has_not_said_who_he_is(
    by_iax2: Federation, mode: str
) -> None:
    """Or not yet: his number is the one that was dialed."""
    silent = "connectedline=no"
    with rewritten(
        by_iax2, "pbxfed-iax-peers.conf", "connectedline=yes", silent, "module reload chan_iax2.so"
    ):
        for to in "1002", "1004":
            test_blind(by_iax2, mode, "1001", "1003", "1001", to)


def test_a_room_that_is_transferred_by_iax2_has_its_number(by_iax2: Federation) -> None:
    """It stands at another node, and who was in it calls somebody into it."""
    lab = by_iax2.lab
    rooms = [f"88{n:02}" for n in range(10)]
    for room in rooms:
        put(by_iax2, "room", room)
    ways = {room: by_iax2.get("a", f"/route/{room}")["tries"][0]["legs"] for room in rooms}
    room = next(room for room, legs in ways.items() if legs == [{"node": "c", "trunk": "iax2"}])
    dialled, since = lab.dial("1001", room), time.time()
    by_iax2.until(lambda: lab.transfer("1001", dialled.id, "1004") == 202, 5)
    call = answers(by_iax2, "1004", since)
    assert newest(by_iax2, "1004")["other"] == room
    lab.end("1004", call)
    for room in rooms:
        assert lab.http("a", "DELETE", f"/rooms/{room}")[0] == 200


def test_transferred_twice(phones: Federation) -> None:
    """From one to the next, by whoever has the call."""
    lab = phones.lab
    calls = talk(phones, "1001", "1002")
    for by, to in ("1002", "1003"), ("1003", "1004"), ("1001", "1005"):
        since = time.time()
        lab.transfer(by, calls[by], to)
        calls[to] = answers(phones, to, since)
        stays = "1004" if by == "1001" else "1001"
        both_hear(phones, calls, stays, to)
        is_over(phones, by, calls[by])
    phones.lab.end("1005", calls["1005"])
    is_over(phones, "1004", calls["1004"])


def test_a_daemon_that_dies_and_returns_still_knows_who_talks(
    phones: Federation, mode: str
) -> None:
    """At both ends of the trunk; and the record is kept as if it had lived on."""
    lab = phones.lab
    calls = talk(phones, "1001", "1003", mode)
    for node in "ac":
        lab.kill(node, "daemon")
    lab.start_all("ac", "daemon")
    phones.until(phones.whole)
    for node in "ac":
        phones.until(lambda node=node: len(phones.get(node, "/calls")) == 1, 5)  # type: ignore[misc]
        (shown,) = phones.get(node, "/calls")
        assert (shown["from"], shown["to"], shown["control"]) == ("1001", "1003", mode)
        assert shown["tries"][0]["legs"][0]["node"] == "c"
    both_hear(phones, calls, "1001", "1003")
    phones.lab.end("1003", calls["1003"])
    is_over(phones, "1001", calls["1001"])
    nothing_left(phones)
    kept = [phones.get(n, "/calls/records?last=true&limit=1&parts=true")[0] for n in "ac"]
    assert kept[0]["call"] == kept[1]["call"] == shown["call"]
    assert [one["peer"] for one in kept] == ["", "a"]
    assert all(one["answered"] and one["reached"] == "1003" for one in kept)


def test_a_daemon_that_dies_and_returns_keeps_what_was_transferred(phones: Federation) -> None:
    """Blindly and attended; afterwards nothing is left."""
    lab = phones.lab
    calls = talk(phones, "1002", "1001")
    since = time.time()
    lab.transfer("1001", calls["1001"], "1003")
    calls["1003"] = answers(phones, "1003", since)
    more = talk(phones, "1004", "1001")
    asked = talk(phones, "1001", "1005")
    lab.transfer("1001", more["1001"], "1005", other=asked["1001"])
    is_over(phones, "1001", more["1001"])
    more["1005"] = asked["1005"]
    put_through(phones, "b", "1004", "1001", "1001")
    time.sleep(1.5)  # it is noted every second
    lab.kill("a", "daemon")
    lab.start("a", "daemon")
    phones.until(phones.whole)
    time.sleep(0.5)
    both_hear(phones, calls, "1002", "1003")
    both_hear(phones, more, "1004", "1005")
    phones.lab.end("1002", calls["1002"])
    is_over(phones, "1003", calls["1003"])
    phones.lab.end("1005", more["1005"])
    is_over(phones, "1004", more["1004"])
    nothing_left(phones)
    kept = phones.get("a", "/calls/records?last=true&limit=9")
    kept = [one for one in kept if one["began_ms"] > since * 1_000]
    told = [(one["from"], one["to"], one["transferred_by"]) for one in kept]
    assert {("1002", "1003", "1001"), ("1001", "1005", "1001")} <= {*told}


@pytest.mark.parametrize(("caller", "called", "by", "to"), TRANSFERS, ids=NAMES)
def test_an_attended_transfer_without_the_daemon(
    phones: Federation, mode: str, caller: str, called: str, by: str, to: str
) -> None:
    """It is done by Asterisk alone; the daemon that returns leaves who talks, and nothing else."""
    lab = phones.lab
    calls, asked = talk(phones, caller, called, mode), talk(phones, by, to, mode)
    stays = called if by == caller else caller
    with away(phones, PHONES[by]):
        assert lab.transfer(by, calls[by], to, other=asked[by]) == 202
        is_over(phones, by, calls[by])
        is_over(phones, by, asked[by])
        assert of(phones, by, calls[by])["notified"][-1] == "200 OK"
        calls[to] = asked[to]
        both_hear(phones, calls, stays, to)
    both_hear(phones, calls, stays, to)
    lab.end(stays, calls[stays])
    is_over(phones, to, calls[to])


@pytest.mark.parametrize(("caller", "called", "by", "to"), TRANSFERS, ids=NAMES)
def test_a_blind_transfer_without_the_daemon(
    phones: Federation, mode: str, caller: str, called: str, by: str, to: str
) -> None:
    """To phones here and at other nodes."""
    lab, node = phones.lab, PHONES[by]
    peers = "PBXFED_PEERS=PJSIP/"
    phones.until(lambda: peers in lab.asterisk(node, "dialplan show globals"), what="whom to ask")
    calls = talk(phones, caller, called, mode)
    stays = called if by == caller else caller
    with away(phones, node):
        since = time.time()
        assert lab.transfer(by, calls[by], to) == 202
        calls[to] = answers(phones, to, since)
        both_hear(phones, calls, stays, to)
        is_over(phones, by, calls[by])
    both_hear(phones, calls, stays, to)
    lab.end(to, calls[to])
    is_over(phones, stays, calls[stays])


def test_phones_of_two_nodes_transfer_each_other_at_once(phones: Federation) -> None:
    """Two still talk: both who were chosen; or one of them, and who was refused when he had chosen the other."""
    called = "1003"
    calls = talk(phones, "1001", called)
    with ThreadPoolExecutor(2) as pool:
        both = [("1001", "1004"), (called, "1005")]
        said = list(pool.map(lambda one: phones.lab.transfer(one[0], calls[one[0]], one[1]), both))
    assert said == [202, 202]

    def told(phone: str) -> bool:
        found = of(phones, phone, calls[phone])
        return found["state"] == "ended" or bool(found["notified"][-1:] > ["2"])

    def left() -> Talk:
        known = [c | {"phone": phone} for phone in PHONES for c in phones.lab.calls_of(phone)]
        known = [c for c in known if c["state"] != "ended"]
        talk = all(c["state"] == "answered" for c in known) and told("1001") and told(called)
        return {c["phone"]: c["call"] for c in known} if talk else {}

    phones.until(lambda: len(left()) == 2, 8, what="two talk")
    talking = left()
    both_hear(phones, talking, *talking)
    for phone, call in talking.items():
        phones.lab.end(phone, call)


@pytest.mark.parametrize("lives", [True, False], ids=["daemon", "alone"])
@pytest.mark.parametrize("to", ["1002", "1005", "1999"], ids=["local", "cross-node", "nobody"])
def test_who_is_transferred_blindly_to_nobody_comes_back(
    phones: Federation, mode: str, to: str, lives: bool
) -> None:
    """To who has transferred him: the target is busy, or a wrong number."""
    lab = phones.lab
    if to in PHONES:
        lab.manners(to, refuse="486 Busy Here")
    calls = talk(phones, "1003", "1001", mode)
    with contextlib.nullcontext() if lives else away(phones, "a"):
        since = time.time()
        assert lab.transfer("1001", calls["1001"], to) == 202
        is_over(phones, "1001", calls["1001"])
        calls["1001"] = answers(phones, "1001", since)
        both_hear(phones, calls, "1003", "1001")
        assert newest(phones, "1001")["other"] == "1003"
    lab.end("1001", calls["1001"])
    is_over(phones, "1003", calls["1003"])


def test_who_is_on_hold_while_both_daemons_die_is_talked_to_again(phones: Federation) -> None:
    """Held before, resumed after."""
    lab = phones.lab
    calls = talk(phones, "1001", "1003")
    lab.hold("1003", calls["1003"])
    for node in "ac":
        lab.kill(node, "daemon")
    lab.start_all("ac", "daemon")
    phones.until(phones.whole)
    assert not lab.hears("1001", calls["1001"], "1003", seconds=0.5)
    lab.hold("1003", calls["1003"], on=False)
    both_hear(phones, calls, "1001", "1003")
    lab.end("1001", calls["1001"])
    is_over(phones, "1003", calls["1003"])


def test_who_is_rung_by_a_transfer_while_the_daemon_dies_is_connected(phones: Federation) -> None:
    """Dial rings on without it; in bridge mode who waits is kept, and the phone is rung once more."""
    lab = phones.lab
    calls = talk(phones, "1002", "1001")
    lab.manners("1003", answer_after_ms=5_000)
    since = time.time()
    lab.transfer("1001", calls["1001"], "1003")
    phones.until(lambda: newest(phones, "1003").get("started", 0) > since, 5, what="1003 rings")
    lab.kill("a", "daemon")
    lab.start("a", "daemon")
    phones.until(phones.whole)
    phones.until(
        lambda: newest(phones, "1003")["state"] == "answered", 10, what="1003 answers at last"
    )
    calls["1003"] = newest(phones, "1003")["call"]
    both_hear(phones, calls, "1002", "1003")
    lab.end("1002", calls["1002"])
    is_over(phones, "1003", calls["1003"])


def test_between_calls_of_different_modes(phones: Federation, mode: str) -> None:
    """One was connected by Dial, the other by us."""
    lab = phones.lab
    put(phones, "extension", "1003", control="bridge" if mode == "handover" else "handover")
    try:
        for first, second in ("1002", "1003"), ("1003", "1002"):
            calls = talk(phones, "1001", first)
            asked = talk(phones, "1001", second)
            lab.transfer("1001", calls["1001"], second, other=asked["1001"])
            is_over(phones, "1001", calls["1001"])
            is_over(phones, "1001", asked["1001"])
            calls[second] = asked[second]
            both_hear(phones, calls, first, second)
            phones.lab.end(first, calls[first])
            is_over(phones, second, calls[second])
    finally:
        put(phones, "extension", "1003", control="")


# --- who pays


def test_the_class_of_who_transfers_counts(phones: Federation) -> None:
    """1002 may not dial 1004, so he may not send anybody there; 1003 may, even one who himself may not."""
    lab = phones.lab
    put(phones, "class", "no-1004", deny=["1004"])
    put(phones, "extension", "1002", calling_class="no-1004")
    try:
        for caller in "1001", "1003":
            calls = talk(phones, caller, "1002")
            since = time.time()
            lab.transfer("1002", calls["1002"], "1004")
            is_over(phones, caller, calls[caller])
            assert newest(phones, "1004").get("started", 0) < since
            nothing_left(phones)
        assert str(lab.call("1002", "1004").cause).startswith("403")
        calls = talk(phones, "1002", "1003")
        since = time.time()
        lab.transfer("1003", calls["1003"], "1004")
        calls["1004"] = answers(phones, "1004", since)
        both_hear(phones, calls, "1002", "1004")
        phones.lab.end("1002", calls["1002"])
    finally:
        put(phones, "extension", "1002", calling_class="")


MOVED = "302 Moved Temporarily"


@pytest.mark.parametrize(
    ("called", "to"), [("1002", "1003"), ("1003", "1005"), ("1003", "1004"), ("1003", "1002")]
)
def test_a_phone_sends_on(phones: Federation, called: str, to: str) -> None:
    """By 302, here and over the trunk, to any node: its own node does not send on, the caller's does."""
    lab = phones.lab
    lab.manners(called, refuse=MOVED, send_to=to)
    since = time.time()
    dialled = lab.dial("1001", called)
    calls = {"1001": dialled.id, to: answers(phones, to, since)}
    both_hear(phones, calls, "1001", to)
    assert newest(phones, to)["other"] == "1001"
    said = newest(phones, to)["diversion"]
    assert f"<sip:{called}@" in said, said
    assert said.endswith(";reason=deflection")
    lab.hang_up(dialled)


def test_who_was_sent_on_and_is_transferred_is_sent_on_by_nobody(phones: Federation) -> None:
    """That was another call."""
    lab = phones.lab
    lab.manners("1002", refuse=MOVED, send_to="1003")
    since = time.time()
    calls = {"1001": lab.dial("1001", "1002").id, "1003": answers(phones, "1003", since)}
    both_hear(phones, calls, "1001", "1003")  # a REFER right at the answer finds no bridge yet
    since = time.time()
    assert lab.transfer("1003", calls["1003"], "1004") == 202
    calls["1004"] = answers(phones, "1004", since)
    both_hear(phones, calls, "1001", "1004")
    assert newest(phones, "1004")["diversion"] == ""
    lab.end("1001", calls["1001"])


def test_who_sends_on_pays_and_loops_end(phones: Federation) -> None:
    """A class that denies: 403. Round and round: cause 25. What is no number: 404, and nothing is dialed.

    A 302 that does not say whither, and one to who calls: nobody is to be had.
    """
    lab = phones.lab
    before = lab.phone("1001")["invites"]
    put(phones, "class", "no-1004", deny=["1004"])
    for called in "1002", "1003":
        put(phones, "extension", called, calling_class="no-1004")
        lab.manners(called, refuse=MOVED, send_to="1004")
        assert str(lab.call("1001", called).cause).startswith("403")
        put(phones, "extension", called, calling_class="")
        for to in "PJSIP/1004%40pf-b", "10-04", "1004%22":
            lab.manners(called, refuse=MOVED, send_to=to)
            assert str(lab.call("1001", called).cause).startswith("404")
        for none in None, "1001":
            lab.manners(called, refuse=MOVED, send_to=none)
            found = lab.call("1001", called)
            assert (str(found.cause)[:3], found.invites) == ("480", 1), (called, none)
    assert lab.phone("1001")["invites"] == before
    assert not [c for c in lab.calls_of("1004") if c["state"] != "ended"]
    lab.manners("1002", refuse=MOVED, send_to="1003")
    lab.manners("1003", refuse=MOVED, send_to="1002")
    began = time.monotonic()
    for caller, called in ("1001", "1002"), ("1004", "1003"):
        assert lab.call(caller, called).cause == "603 Decline"
        assert lab.calls_of(caller)[-1]["reasons"] == ["Q.850;cause=25"]
    assert time.monotonic() - began < 4


def test_who_is_transferred_to_an_odd_number_rings_nobody(phones: Federation) -> None:
    """What follows the comma is no place in the dialplan, nor is what stands before it a number."""
    lab = phones.lab
    calls, before = talk(phones, "1001", "1003"), int(lab.phone("1004")["invites"])
    with contextlib.suppress(LabError):
        lab.transfer("1003", calls["1003"], "1004,1")
    phones.until(lambda: of(phones, "1001", calls["1001"])["state"] == "ended", 8)
    assert int(lab.phone("1004")["invites"]) == before


# --- in a conversation


@pytest.mark.parametrize("called", ["1002", "1003"], ids=["local", "cross-node"])
def test_hold_and_resume(phones: Federation, called: str) -> None:
    """Each may: the held one hears him no more (nobody's music is set up here), until they talk again."""
    lab = phones.lab
    calls = talk(phones, "1001", called)
    for holds, held in ("1001", called), (called, "1001"):
        lab.hold(holds, calls[holds])
        phones.until(lambda: not lab.hears(held, calls[held], holds, seconds=0.5), 5)  # noqa: B023
        lab.hold(holds, calls[holds], on=False)
        both_hear(phones, calls, "1001", called)
    phones.lab.end("1001", calls["1001"])


@pytest.mark.parametrize("called", ["1002", "1003"], ids=["local", "cross-node"])
def test_keys_pass(phones: Federation, called: str) -> None:
    """Both ways, each once."""
    lab = phones.lab
    calls = talk(phones, "1001", called)
    keys = {"1001": "159#0", called: "37*82"}
    for presses in keys:
        lab.press(presses, calls[presses], keys[presses])
    for hears in keys:
        phones.until(lambda: len(of(phones, hears, calls[hears])["keys"]) >= 5, 4)  # noqa: B023
    time.sleep(0.3)
    for presses, hears in ("1001", called), (called, "1001"):
        assert of(phones, hears, calls[hears])["keys"] == keys[presses]
    phones.lab.end(called, calls[called])


@pytest.mark.parametrize("info", [True, False], ids=["info", "rfc4733"])
@pytest.mark.parametrize("called", ["1002", "1003"], ids=["local", "cross-node"])
def test_keys_that_both_press_at_once_pass(
    phones: Federation, mode: str, called: str, info: bool
) -> None:
    """Both go on hearing each other. In bridge mode no Asterisk answers the packets of the other's key by more of its own."""
    calls = talk(phones, "1001", called, mode)
    began, before = time.monotonic(), packets(phones)
    for keys in "5", "55", "555":
        press_at_once(phones, calls, keys, info=info)
        both_hear(phones, calls, "1001", called)
    if mode == "bridge":
        sound = 50 * (time.monotonic() - began)
        assert packets(phones) - before < sound + 200  # of one key there were 700 and more
    phones.lab.end(called, calls[called])


# --- before the answer


@pytest.mark.parametrize("called", ["1002", "1003"], ids=["local", "cross-node"])
def test_early_media_is_heard(phones: Federation, aside: ThreadPoolExecutor, called: str) -> None:
    """Before the answer; afterwards they talk."""
    lab = phones.lab
    lab.manners(called, early=True, answer_after_ms=3_000)
    dialling, call = calling(phones, aside, called)
    phones.until(lambda: lab.hears("1001", call, called), 5)
    assert of(phones, "1001", call)["state"] == "ringing"
    dialled = dialling.result()
    calls = {"1001": dialled.id, called: newest(phones, called)["call"]}
    both_hear(phones, calls, "1001", called)
    lab.hang_up(dialled)


def test_ringing_and_early_media_stay_right_over_failed_tries(
    phones: Federation, aside: ThreadPoolExecutor
) -> None:
    """Early media, then a ring (its tone, since there is sound already), then early media again."""
    lab = phones.lab
    members = ["1004", "1002", "1003"]
    put(phones, "group", "610", members=members, strategy="hunt", ring_seconds=3)
    lab.manners("1004", early=True, answer_after_ms=None)
    lab.manners("1002", answer_after_ms=None)
    lab.manners("1003", early=True, answer_after_ms=1500)
    dialling, call = calling(phones, aside, "610")
    phones.until(lambda: lab.hears("1001", call, "1004"), 5)
    phones.until(lambda: newest(phones, "1002").get("state") == "ringing", 6)
    before = of(phones, "1001", call)["rtp_received"]
    assert not lab.hears("1001", call, "1004", seconds=0.5)
    assert of(phones, "1001", call)["rtp_received"] > before
    phones.until(lambda: lab.hears("1001", call, "1003"), 5)
    dialled = dialling.result()
    assert of(phones, "1001", call)["provisional"][-1] == 183
    calls = {"1001": call, "1003": newest(phones, "1003")["call"]}
    both_hear(phones, calls, "1001", "1003")
    lab.hang_up(dialled)


def test_who_loses_a_fork_is_told_that_it_was_answered_elsewhere(phones: Federation) -> None:
    """Here and across the trunk; and who called is shown who has answered."""
    lab = phones.lab
    put(phones, "group", "611", members=["1002", "1003", "1004", "1005"])
    for number in "1002", "1003", "1004":
        lab.manners(number, answer_after_ms=None)
    lab.manners("1005", answer_after_ms=1_000)
    since = time.time()
    dialled = lab.dial("1001", "611")
    for number in "1002", "1003", "1004":
        (call,) = [one["call"] for one in lab.calls_of(number, since)]
        is_over(phones, number, call)
        reasons = of(phones, number, call)["reasons"]
        assert 'SIP;cause=200;text="Call completed elsewhere"' in reasons, (number, reasons)
    phones.until(
        lambda: (
            of(phones, "1001", dialled.id)["display"] == {"number": "1005", "name": "Phone 1005"}
        ),
        5,
        what="1001 is shown 1005",
    )
    lab.hang_up(dialled)
