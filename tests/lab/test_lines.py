"""Real calls to the outside by IAX2, in both control modes: whatever the provider says, and when it is silent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from lab.lab import Lab
from lab.phone import PhoneRefused
from tests.lab.conftest import SECRET, Federation, looked_after
from tests.lab.furnishing import (
    PROVIDER,
    both_hear,
    calm,
    channels,
    connecting,
    furnished,
    in_mode,
    nothing_left,
    put,
    rings_in_mode,
    talk,
    the_only,
)

# What b's Asterisk plays, beside its own part: a provider to which c has a line by IAX2. Its customers' phone is `outside`.
TELCO = """
[city]
type=user
auth=md5
secret=correct-horse-9
context=telco
"""
LINE = """
[telco]
type=peer
host=10.77.0.12
auth=md5
username=city
secret=correct-horse-9
"""
# By which digits it does what. 0302 and 0303 say so, and stay; 0305, 0306 and what has no line here hang up
NUMBERS = """
[telco]
exten => _0301!,1,Dial(PJSIP/outside,60)
 same => n,Hangup(${HANGUPCAUSE})
exten => _0302!,1,Busy()
exten => _0303!,1,Congestion()
exten => _0304!,1,Ringing()
 same => n,Wait(0.5)
 same => n,Congestion()
exten => _0305!,1,Hangup(34)
exten => _0306!,1,Hangup(17)
exten => _0307!,1,Progress()
 same => n,Wait(0.5)
 same => n,Busy()
exten => _0308!,1,Dial(PJSIP/outside,1)
 same => n,Hangup(${HANGUPCAUSE})
"""
BEYOND = PROVIDER.replace("provider", "outside").replace("mobile", "beyond")
PHONES = {"1001": "a", "1002": "b", "1003": "c"}


@pytest.fixture(scope="module")
def ground() -> Iterator[Lab]:
    """Three nodes of their own: c has a line to the outside by IAX2, and b one by SIP."""
    extra = {
        "b/pjsip.conf": BEYOND,
        "b/iax.conf": TELCO,
        "b/extensions.conf": NUMBERS,
        "c/iax.conf": LINE,
    }
    with furnished("lines", PHONES, extra) as lab:
        for name in "outside", "beyond":
            lab.register(name, "b", secret=SECRET)
        yield lab


@pytest.fixture(scope="module", params=["handover", "bridge"])
def mode(ground: Lab, request: pytest.FixtureRequest) -> Iterator[str]:
    """All tests of one mode together."""
    with connecting(ground, request.param):
        yield request.param


@pytest.fixture
def federation(ground: Lab, mode: str, request: pytest.FixtureRequest) -> Iterator[Federation]:
    """Each test leaves no trunk and no call behind."""
    with looked_after(Federation(ground), request) as found:
        calm(found, mode)
        lines(found)
        yield found
    for number in (*PHONES, "outside", "beyond"):
        ground.manners(number)
    put(found, "extension", "1002", forward_always="", forward_busy="")
    for trunk in found.get("a", "/trunks"):
        assert ground.http("a", "DELETE", f"/trunks/{trunk['trunk']}")[0] < 300
    found.until(found.whole)
    nothing_left(found)


def lines(federation: Federation, **fields: Any) -> None:
    """The cheaper one by IAX2 at c, and the one by SIP at b."""
    plain: dict[str, Any] = {"site": "main", "patterns": ["_0X."]}
    first = {"nodes": ["c"], "technology": "iax2", "endpoint": "telco", "cost": 1, "timer": 3}
    put(federation, "trunk", "cheap", **plain | first | fields)
    put(federation, "trunk", "dear", **plain, nodes=["b"], endpoint="beyond", cost=5)


def carried(federation: Federation, caller: str) -> list[tuple[str, str]]:
    """The lines of the last call that a phone has made, and what came of each."""
    node = PHONES[caller]
    federation.until(lambda: federation.get(node, "/calls") == [], 5)
    (record,) = federation.get(node, "/calls/records?last=true&limit=1")
    return [(one["legs"][0].get("line", ""), one["outcome"]) for one in record["attempts"]]


@contextmanager
def silent(federation: Federation) -> Iterator[None]:
    """Nothing reaches the provider."""
    lab = federation.lab
    lab.drop("b", f"ip saddr {lab.node('c').host.address} udp dport 4569")
    try:
        yield
    finally:
        lab.undrop("b")


@contextmanager
def by_iax2(federation: Federation) -> Iterator[None]:
    """The nodes call one another so, too."""
    lab = federation.lab
    for trunks in ["iax2", "sip"], ["sip", "iax2"]:
        for node in "abc":
            lab.configure(node, "calls", "trunks", trunks)
        federation.until(
            lambda by=trunks[0]: (  # type: ignore[misc]
                federation.get("a", "/route/1003")["tries"][0]["legs"][0]["trunk"] == by
            )
        )
        if trunks[0] == "iax2":
            try:
                yield
            except BaseException:
                for node in "abc":
                    lab.configure(node, "calls", "trunks", ["sip", "iax2"])
                raise


def status(federation: Federation, caller: str, called: str, timeout: float = 20) -> int:
    """A call that must fail: with what."""
    with pytest.raises(PhoneRefused) as refusal:
        federation.lab.dial(caller, called, timeout=timeout)
    return refusal.value.status


WHERE = pytest.mark.parametrize("caller", ["1001", "1003"], ids=["at another node", "here"])


@WHERE
def test_it_carries_calls(federation: Federation, mode: str, caller: str) -> None:
    """Both hear each other, and the provider is told who calls; whoever hangs up."""
    lab = federation.lab
    for end in "caller", "outside":
        dialled = in_mode(mode, federation, caller, "030123")
        assert both_hear(federation, dialled)
        call = lab.calls_of("outside", dialled.started)[-1]
        assert call["other"] == caller
        if end == "caller":
            lab.hang_up(dialled)
        else:
            lab.end("outside", call["call"])
        federation.until(
            lambda d=dialled: (  # type: ignore[misc]
                {c["state"] for p in (caller, "outside") for c in lab.calls_of(p, d.started)}
                == {"ended"}
            ),
            5,
        )
        assert carried(federation, caller) == [("cheap", "answered")]


@WHERE
def test_if_it_is_silent_the_next_one_is_tried(
    federation: Federation, mode: str, caller: str
) -> None:
    """Once chan_iax2 says so, or its timer is over."""
    with silent(federation):
        began = time.monotonic()
        dialled = in_mode(mode, federation, caller, "030123")
        took = time.monotonic() - began
        found = federation.lab.finish(dialled)
    assert found.ok, found
    assert found.details["answered_by"] == "beyond"
    assert took < 10
    assert carried(federation, caller) == [("cheap", "unreachable"), ("dear", "answered")]
    assert dialled.setup_ms < 3_500


def test_if_nodes_go_by_iax2_too_and_it_is_silent_the_next_one_is_tried(
    federation: Federation, mode: str
) -> None:
    """What chan_iax2 says of the line goes no further."""
    with by_iax2(federation), silent(federation):
        dialled = in_mode(mode, federation, "1001", "030123")
        found = federation.lab.finish(dialled)
    assert found.ok, found
    assert found.details["answered_by"] == "beyond"


@WHERE
@pytest.mark.parametrize("number", ["030333", "030433", "030533", "030999"])
def test_if_it_refuses_the_next_one_is_tried(
    federation: Federation, caller: str, number: str
) -> None:
    """At once, after a ring, by a word or by hanging up, and of a number that it does not know."""
    assert talk(federation, caller, number) == "beyond"
    assert carried(federation, caller) == [("cheap", "unreachable"), ("dear", "answered")]


@WHERE
@pytest.mark.parametrize("number", ["030233", "030633", "030733", "030133"])
def test_who_is_busy_by_it_is_busy(federation: Federation, caller: str, number: str) -> None:
    """By a word, by hanging up, after early media, and by the phone's own word. No other line is tried."""
    federation.lab.manners("outside", refuse="486 Busy Here")
    assert status(federation, caller, number) == 486
    assert carried(federation, caller) == [("cheap", "busy")]


@WHERE
def test_it_rings_and_is_heard_early(federation: Federation, mode: str, caller: str) -> None:
    """Ringing, and then what is spoken before the answer; and from the answer on."""
    lab = federation.lab
    lab.manners("outside", early=True, answer_after_ms=3000)
    with ThreadPoolExecutor(1) as pool:
        since = time.time()
        call = rings_in_mode(mode, federation, pool, caller, "030123", "outside")
        federation.until(lambda: bool(lab.calls_of(caller, since)), 3)
        own = lab.calls_of(caller, since)[-1]
        assert lab.hears(caller, own["call"], "outside", seconds=2.5)
        assert lab.calls_of(caller, since)[-1]["state"] == "ringing"
        dialled = call.result()
    assert lab.finish(dialled).ok


@WHERE
def test_it_rings(federation: Federation, mode: str, caller: str) -> None:
    """The caller is told so; and who rings in vain, or whose caller gives up, is left."""
    lab = federation.lab
    lab.manners("outside", answer_after_ms=None)
    with ThreadPoolExecutor(1) as pool:
        since = time.time()
        call = pool.submit(lab.dial, caller, "030123", timeout=2.5)
        federation.until(
            lambda: [c["state"] for c in lab.calls_of(caller, since)] == ["ringing"], 2
        )
        live = [one["control"] for n in "ac" for one in federation.get(n, "/calls")]
        assert set(live) == {mode}
        with pytest.raises(PhoneRefused):
            call.result()
        assert 180 in lab.calls_of(caller, since)[-1]["provisional"]
    federation.until(lambda: all(channels(federation, n) == 0 for n in "abc"), 3)
    assert carried(federation, caller) == [("cheap", "given_up")]
    assert status(federation, caller, "030823") == 480


@WHERE
def test_keys_and_transfers(federation: Federation, mode: str, caller: str) -> None:
    """Keys pass both ways; who talks with the outside transfers it blindly to 1002, and 1002 hears it."""
    lab = federation.lab
    dialled = in_mode(mode, federation, caller, "030123")
    assert both_hear(federation, dialled)
    out = lab.calls_of("outside", dialled.started)[-1]["call"]
    both = {caller: dialled.id, "outside": out}
    for phone in both:  # one after the other
        lab.press(phone, both[phone], "741")
        (other,) = both.keys() - {phone}
        federation.until(
            lambda o=other: (
                [  # type: ignore[misc]
                    c["keys"] for c in lab.calls_of(o, dialled.started)
                ]
                == ["741"]
            ),
            4,
            what=f"{other} hears keys",
        )
    assert lab.transfer(caller, dialled.id, "1002") == 202
    federation.until(
        lambda: [c["state"] for c in lab.calls_of("1002", dialled.started)] == ["answered"], 5
    )
    federation.until(lambda: lab.calls_of(caller, dialled.started)[-1]["state"] == "ended", 5)
    there = the_only(federation, lambda: [c["call"] for c in lab.calls_of("1002", dialled.started)])
    assert lab.hears("1002", there, "outside")
    assert lab.hears("outside", out, "1002")
    lab.end("1002", there)


@WHERE
def test_an_attended_transfer(federation: Federation, mode: str, caller: str) -> None:
    """Who has called the outside connects it with 1002; they hear each other, and the line is counted until they end."""
    lab = federation.lab
    lines(federation, capacity=1)
    first = in_mode(mode, federation, caller, "030123")
    assert both_hear(federation, first)
    second = in_mode(mode, federation, caller, "1002")
    assert both_hear(federation, second)
    out = lab.calls_of("outside", first.started)[-1]["call"]
    there = lab.calls_of("1002", second.started)[-1]["call"]
    assert lab.transfer(caller, first.id, "1002", other=second.id) == 202
    federation.until(
        lambda: all(c["state"] == "ended" for c in lab.calls_of(caller, first.started)), 5
    )
    assert lab.hears("1002", there, "outside")
    assert lab.hears("outside", out, "1002")
    assert talk(federation, "1003", "030124") == "beyond"
    lab.end("outside", out)
    federation.until(lambda: all(channels(federation, n) == 0 for n in "abc"), 5)
    assert talk(federation, "1003", "030124") == "outside"


@WHERE
def test_who_gives_up_while_it_is_silent_leaves_nothing(
    federation: Federation, mode: str, caller: str
) -> None:
    """Neither his call nor its leg."""
    with silent(federation):
        assert status(federation, caller, "030123", timeout=0.6) in (408, 487)
        federation.until(lambda: all(channels(federation, n) == 0 for n in "ac"), 3)


@WHERE
def test_hold(federation: Federation, mode: str, caller: str) -> None:
    """By the phone: then both hear each other again, in the one codec that each has."""
    lab = federation.lab
    lab.speaks(caller, "PCMA")
    lab.manners("outside", early=True, answer_after_ms=500)
    try:
        for _ in range(3):
            dialled = in_mode(mode, federation, caller, "030123")
            assert both_hear(federation, dialled)
            lab.hold(caller, dialled.id)
            time.sleep(1.2)
            lab.hold(caller, dialled.id, on=False)
            time.sleep(0.3)
            assert both_hear(federation, dialled)
            lab.hang_up(dialled)
    finally:
        lab.speaks(caller, "PCMU")


def test_forwards(federation: Federation, mode: str) -> None:
    """A phone's calls, and those of the outside, go out by it; refused there, by the next; busy is busy."""
    lab = federation.lab
    put(federation, "did", "+493058", destination="1002")
    calls = [("1001", "1002"), ("1003", "1002"), ("beyond", "+493058")]
    put(federation, "extension", "1002", forward_always="030133")
    assert [talk(federation, *call) for call in calls] == ["outside"] * 3
    put(federation, "extension", "1002", forward_always="030433")
    assert [talk(federation, *call) for call in calls[:2]] == ["beyond"] * 2
    for number in "030233", "030733":
        put(federation, "extension", "1002", forward_always=number)
        assert [status(federation, *call) for call in calls] == [486] * 3
    put(federation, "extension", "1002", forward_always="", forward_busy="030333")
    lab.manners("1002", refuse="486 Busy Here")
    for caller in "1001", "1003":
        assert talk(federation, caller, "1002") == "beyond"


def test_it_shows_a_number_of_its_own(federation: Federation, mode: str) -> None:
    """And takes digits off."""
    lab = federation.lab
    lines(federation, caller_id="4930999", strip=1, prepend="0")
    for caller in "1001", "1003":
        since = time.time()
        assert talk(federation, caller, "030123") == "outside"
        assert lab.calls_of("outside", since)[-1]["other"] == "4930999"


@WHERE
def test_all_are_silent(federation: Federation, mode: str, caller: str) -> None:
    """He hears it in the end."""
    put(
        federation,
        "trunk",
        "dear",
        site="main",
        patterns=["_0X."],
        nodes=["c"],
        technology="iax2",
        endpoint="telco",
        cost=5,
        timer=3,
    )
    with silent(federation):
        began = time.monotonic()
        assert status(federation, caller, "030123") == 503
        assert time.monotonic() - began < 8
