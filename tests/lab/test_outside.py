"""Real calls to the outside and back, in both control modes: lines, inbound numbers, callers of any name; media checked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lab.lab import Lab
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
    talk,
)
from tests.lab.stranger import EXECUTED, NAMES, Stranger

# b has a line, too; what plays the outside there has another name, or it would be the same phone, moved
BEYOND = (
    PROVIDER.replace("provider", "beyond")
    + """
[provider]
type=endpoint
context=pbxfed-did
aors=beyond
disallow=all
allow=ulaw
"""
)
# a phone of a's own, whose dialplan includes the federation's; Asterisk takes its name from what it says
SHOP = PROVIDER.replace("provider", "shop").replace("pbxfed-did", "shop")
SIP, IAX = ["sip", "iax2"], ["iax2", "sip"]
PHONES = {"1001": "a", "1002": "b", "1003": "c"}


@pytest.fixture(scope="module")
def ground() -> Iterator[Lab]:
    """Three nodes of their own: c has a line to the outside, and b, too."""
    extra = {
        "a/pjsip.conf": SHOP,
        "b/pjsip.conf": BEYOND,
        "a/extensions.conf": "[shop]\ninclude => pbxfed-phones\n",
    }
    with furnished("outside", PHONES, extra) as lab:
        lab.register("beyond", "b", secret=SECRET)
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
        yield found
    for number, node in (*PHONES.items(), ("provider", "c"), ("beyond", "b")):
        ground.register(number, node)
        ground.manners(number)
    for number in PHONES:
        plain: dict[str, Any] = {"forward_always": "", "forward_no_answer": ""}
        plain |= {"devices": 1, "ring_seconds": 0}
        put(found, "extension", number, calling_class="", **plain)
    for trunk in found.get("a", "/trunks"):
        assert ground.http("a", "DELETE", f"/trunks/{trunk['trunk']}")[0] < 300
    found.until(found.whole)
    nothing_left(found)


def line(federation: Federation, name: str, *nodes: str, **fields: Any) -> None:
    """A trunk to the outside, by the provider of these nodes."""
    plain: dict[str, Any] = {"site": "main", "endpoint": "provider", "patterns": ["_0X."]}
    put(federation, "trunk", name, **plain | {"nodes": list(nodes)} | fields)


def carried(federation: Federation, node: str = "a") -> list[tuple[str, str]]:
    """The lines of the last call that began at a node, and what came of each."""
    federation.until(lambda: federation.get(node, "/calls") == [], 5)
    (record,) = federation.get(node, "/calls/records?last=true&limit=1")
    return [(one["legs"][0].get("line", ""), one["outcome"]) for one in record["attempts"]]


def test_out_by_the_line_of_another_node_and_in_again(federation: Federation) -> None:
    """Digits as the trunk wants them, the number that it shows; inbound by its time condition."""
    lab = federation.lab
    line(federation, "city", "c", strip=1, prepend="+49", caller_id="+4930999", capacity=1)
    since = time.time()
    assert talk(federation, "1001", "030123") == "provider"
    federation.until(lambda: federation.get("c", "/calls") == [], 5, what="the line is free")
    assert talk(federation, "1003", "030124") == "provider"
    out = [c for c in lab.calls_of("provider", since) if c["incoming"]]
    assert [c["dialed"] for c in out] == ["+4930123", "+4930124"]
    assert {c["other"] for c in out} == {"+4930999"}

    put(federation, "time", "office", override="open")
    put(federation, "did", "+493055", destination="1002", time="office", otherwise="1001")
    assert talk(federation, "provider", "+493055") == "1002"
    put(federation, "time", "office", override="closed")
    assert talk(federation, "provider", "+493055") == "1001"
    assert str(lab.call("provider", "+493056").cause).startswith("404")
    assert str(lab.call("provider", "030123").cause).startswith(
        "404"
    )  # nobody calls out through us


def test_in_though_the_daemon_is_killed_while_it_rings(federation: Federation) -> None:
    """It goes on by what the number that rings forwards to, which is no inbound number; the record says whence it came."""
    lab = federation.lab
    put(federation, "did", "+493057", destination="1002")
    put(federation, "extension", "1002", ring_seconds=6, forward_no_answer="1001")
    lab.manners("1002", answer_after_ms=None)
    since = time.time()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(lab.dial, "provider", "+493057", timeout=20)
        federation.until(lambda: bool(lab.calls_of("1002", since)), 5, what="it rings")
        lab.kill("c", "daemon")
        lab.start("c", "daemon")
        dialled = call.result()
    assert both_hear(federation, dialled)
    assert len(lab.calls_of("1001", since)) == 1
    lab.hang_up(dialled)
    federation.until(lambda: federation.get("c", "/calls") == [], 5)
    (record,) = federation.get("c", "/calls/records?last=true&limit=1")
    assert record["outside"]


def test_a_line_that_speaks_early_and_has_no_codec_of_the_phone_s_hears_it(
    federation: Federation, mode: str
) -> None:
    """From the answer on, too: c translates, and would fall silent if the numbers of packets jumped back just then."""
    lab = federation.lab
    line(federation, "city", "c")
    lab.speaks("1001", "PCMA")  # the line speaks mu-law
    lab.manners("provider", early=True, answer_after_ms=500)
    try:
        for _ in range(8):
            dialled = in_mode(mode, federation, "1001", "030123")
            assert lab.hears("provider", lab.calls_of("provider")[-1]["call"], "1001")
            assert lab.hears("1001", dialled.id, "provider")
            lab.hang_up(dialled)
    finally:
        lab.speaks("1001", "PCMU")


@pytest.mark.parametrize(
    "refusal", ["503 Service Unavailable", "404 Not Found", "302 Moved Temporarily"]
)
@pytest.mark.parametrize("caller", ["1001", "1002", "1003"], ids=["a", "b", "c"])
def test_a_line_that_refuses_is_followed_by_the_next(
    federation: Federation, caller: str, refusal: str
) -> None:
    """Wherever the caller is: the first line is here, or at another node; the second, dearer, is at yet another.

    One that names another place (302) refuses, too: nobody goes there.
    """
    lab = federation.lab
    line(federation, "cheap", "c", cost=1)
    line(federation, "dear", "b", cost=5, endpoint="beyond")
    lab.manners("provider", refuse=refusal, send_to="1002")
    assert talk(federation, caller, "030123") == "beyond"
    *refused, last = carried(federation, PHONES[caller])
    assert set(refused) == {("cheap", "unreachable")}
    assert last == ("dear", "answered")


@pytest.mark.parametrize("caller", ["1001", "1003"], ids=["at another node", "here"])
def test_a_line_that_is_silent_is_followed_by_the_next(federation: Federation, caller: str) -> None:
    """After its own timer."""
    lab = federation.lab
    line(federation, "cheap", "c", cost=1, timer=2)
    line(federation, "dear", "b", cost=5, endpoint="beyond")
    lab.unplug("provider")
    began = time.monotonic()
    dialled = lab.dial(caller, "030123", timeout=10)
    took = time.monotonic() - began
    time.sleep(0.6)
    found = lab.finish(dialled)
    assert found.ok, found
    assert found.details["answered_by"] == "beyond"
    assert 1.9 < took < 3.5


@pytest.mark.parametrize("caller", ["1001", "1003"], ids=["at another node", "here"])
@pytest.mark.parametrize(
    "refusal", ["503 Service Unavailable", "504 Server Time-out", "302 Moved Temporarily"]
)
def test_a_line_that_was_heard_and_fails_is_followed_by_the_next(
    federation: Federation, caller: str, refusal: str
) -> None:
    """A gateway speaks early and finds nobody behind it: that is no person's word. The caller hears each of them."""
    lab = federation.lab
    line(federation, "cheap", "c", cost=1)
    line(federation, "dear", "b", cost=5, endpoint="beyond")
    lab.manners("provider", refuse=refusal, send_to="1002", answer_after_ms=300, early=True)
    assert talk(federation, caller, "030123") == "beyond"
    assert carried(federation, PHONES[caller]) == [("cheap", "unreachable"), ("dear", "answered")]


def test_one_line_of_two_nodes_is_tried_at_both(federation: Federation) -> None:
    """And if both refuse the caller hears that at once: 503."""
    lab = federation.lab
    line(federation, "city", "c", "b", spread="order")
    lab.manners("provider", refuse="503 Service Unavailable")
    assert talk(federation, "1001", "030123") == "beyond"
    lab.manners("beyond", refuse="503 Service Unavailable")
    began = time.monotonic()
    assert str(lab.call("1001", "030123").cause).startswith("503")
    assert time.monotonic() - began < 2


def test_who_is_busy_outside_is_busy_by_every_line(federation: Federation) -> None:
    """Nobody is asked again by the next one."""
    lab = federation.lab
    line(federation, "cheap", "c", cost=1)
    line(federation, "dear", "b", cost=5, endpoint="beyond")
    lab.manners("provider", refuse="486 Busy Here")
    before = int(lab.phone("beyond")["invites"])
    assert str(lab.call("1001", "030123").cause).startswith("486")
    assert int(lab.phone("beyond")["invites"]) == before


def test_of_lines_that_cost_alike_the_callers_own_site_goes_first(federation: Federation) -> None:
    """Local breakout; the line of another site is there if that one refuses."""
    lab = federation.lab
    for near, far in ("b", "c"), ("c", "b"):
        there = {"b": "beyond", "c": "provider"}
        line(federation, "near", near, endpoint=there[near])
        line(federation, "far", far, endpoint=there[far], site="elsewhere")
        assert talk(federation, "1001", "030123") == there[near]
        lab.manners(there[near], refuse="503 Service Unavailable")
        assert talk(federation, "1001", "030123") == there[far]
        lab.manners(there[near])


def test_calls_to_the_outside_follow_the_nodes_capacities(federation: Federation) -> None:
    """Two nodes have the line, one four times as much of everything: ten calls at once, of a node that has none."""
    lab = federation.lab
    for node, weight in ("b", 100), ("c", 400):
        lab.configure(node, "node", "weight", weight)
    federation.until(
        lambda: (
            {m["node"]: m["weight"] for m in federation.get("a", "/members")}
            == {"a": 100, "b": 100, "c": 400}
        )
    )
    line(federation, "city", "b", "c")
    calls = []
    try:
        for last in range(10):
            calls.append(lab.dial("1001", f"0301{last}"))
        legs = [call["tries"][-1]["legs"][0] for call in federation.get("a", "/calls")]
        assert Counter(leg["node"] for leg in legs) == {"b": 2, "c": 8}
    finally:
        for call in calls:
            lab.hang_up(call)
        for node in "bc":
            lab.configure(node, "node", "weight", 100)


def test_a_full_line_and_a_class_that_denies(federation: Federation) -> None:
    """503 and 403 at once; the line is free again after the call."""
    lab = federation.lab
    line(federation, "city", "c", capacity=1)
    first = lab.dial("1001", "030123")
    assert str(lab.call("1002", "030124").cause).startswith("503")
    lab.hang_up(first)
    federation.until(lambda: federation.get("c", "/calls") == [], 5)
    assert talk(federation, "1002", "030124") == "provider"
    put(federation, "class", "inside", allow=["_1XXX"])
    put(federation, "extension", "1002", calling_class="inside")
    assert str(lab.call("1002", "030124").cause).startswith("403")
    assert talk(federation, "1002", "1001") == "1001"
    put(federation, "extension", "1003", calling_class="inside", forward_always="030125")
    assert str(lab.call("1001", "1003").cause).startswith("403")


def test_a_limit_of_calls_to_the_outside_holds_wherever_its_phones_are(
    federation: Federation,
) -> None:
    """Two phones of a number at two nodes, and the line at a third, which counts."""
    lab = federation.lab
    line(federation, "city", "c")
    put(federation, "class", "few", pstn_calls=1)
    put(federation, "extension", "1002", calling_class="few", devices=2)
    lab.register("1002/2", "a")
    federation.until(lambda: all(federation.where("1002", n) == ["a", "b"] for n in "abc"))
    first = lab.dial("1002", "030123")
    assert str(lab.call("1002/2", "030124").cause).startswith("403")
    lab.hang_up(first)
    federation.until(lambda: federation.get("c", "/calls") == [], 5)
    assert talk(federation, "1002/2", "030124") == "provider"
    lab.unregister("1002/2")
    federation.until(lambda: all(federation.where("1002", n) == ["b"] for n in "abc"))


def test_who_forwards_every_call_to_the_outside_pays_for_it(federation: Federation) -> None:
    """Not who calls, who may not do so himself; and a limit holds for whoever comes that way, from outside, too."""
    lab = federation.lab
    line(federation, "city", "c")
    put(federation, "class", "inside", allow=["_1XXX"])
    put(federation, "class", "few", pstn_calls=1)
    put(federation, "extension", "1002", calling_class="inside")
    put(federation, "extension", "1001", calling_class="few", forward_always="030125")
    put(federation, "did", "+493058", destination="1001")
    first = lab.dial("1002", "1001")
    assert both_hear(federation, first)
    assert str(lab.call("1003", "1001").cause).startswith("403")
    assert str(lab.call("provider", "+493058").cause).startswith("403")
    lab.hang_up(first)
    federation.until(lambda: federation.get("c", "/calls") == [], 5)
    assert talk(federation, "1003", "1001") == "provider"


def test_who_forwards_to_the_outside_pays_for_it_through_a_restart(federation: Federation) -> None:
    """Of the daemon at whose node the call came in, and where the line is: his limit holds, and who called may call."""
    lab = federation.lab
    line(federation, "city", "c")
    put(federation, "class", "few", pstn_calls=1)
    put(federation, "extension", "1003", calling_class="few")
    put(federation, "extension", "1001", calling_class="few", forward_always="030125")
    first = lab.dial("1003", "1001")
    assert both_hear(federation, first)
    time.sleep(1.5)  # it is noted every second
    lab.kill("c", "daemon")
    lab.start("c", "daemon")
    federation.until(federation.whole)
    federation.until(lambda: len(federation.get("c", "/calls")) == 1, 5, what="it is found")
    assert str(lab.call("1002", "1001").cause).startswith("403")
    assert talk(federation, "1003", "030126") == "provider"
    lab.hang_up(first)


def test_who_connects_two_calls_to_the_outside_goes_on_paying_for_both(
    federation: Federation,
) -> None:
    """His phone is out of it; as long as they talk he may have no call more."""
    lab = federation.lab
    line(federation, "city", "c")
    put(federation, "class", "few", pstn_calls=2)
    put(federation, "extension", "1003", calling_class="few")
    since = time.time()
    first, second = lab.dial("1003", "030123"), lab.dial("1003", "030124")
    assert both_hear(federation, first)  # a REFER right at the answer finds no bridge yet
    assert both_hear(federation, second)
    assert lab.transfer("1003", first.id, "030124", other=second.id) == 202
    federation.until(lambda: all(c["state"] == "ended" for c in lab.calls_of("1003", since)), 5)
    talking = [c for c in lab.calls_of("provider", since) if c["state"] == "answered"]
    assert len(talking) == 2
    assert str(lab.call("1003", "030125").cause).startswith("403")
    lab.end("provider", talking[0]["call"])
    federation.until(lambda: channels(federation, "c") == 0, 5)
    assert talk(federation, "1003", "030125") == "provider"


@pytest.mark.parametrize(
    ("who", "node", "calls"),
    [
        ("provider", "c", [("1003", SIP), ("1001", SIP)]),
        ("shop", "a", [("1003", SIP), ("1003", IAX)]),
    ],
)
def test_a_caller_of_any_name(
    federation: Federation, who: str, node: str, calls: list[tuple[str, list[str]]]
) -> None:
    """From the outside, and by a phone of a's own: shown as what it is, and nothing comes of it, here and across."""
    lab = federation.lab
    for number in PHONES:
        put(federation, "did", f"+49305{number}", destination=number)
    stranger = Stranger(lab, node, who)
    try:
        for called, trunks in calls:
            for one in "abc":
                lab.configure(one, "calls", "trunks", trunks)
            by = None if PHONES[called] == node else trunks[0]
            federation.until(lambda n=called, by=by: way(federation, node, n) == by)  # type: ignore[misc]
            shown = calls_under_all_names(federation, stranger, who, called)
            assert shown["plain"] == "Eve"
            assert shown["a function"] == NAMES["a function"]
    finally:
        stranger.close()
        for one in "abc":
            lab.configure(one, "calls", "trunks", SIP)
    assert not list(lab.places.state.rglob(EXECUTED))


def way(federation: Federation, node: str, number: str) -> str | None:
    """By which kind of trunk a number is called."""
    found: str | None = federation.get(node, f"/route/{number}")["tries"][0]["legs"][0]["trunk"]
    return found


def calls_under_all_names(
    federation: Federation, stranger: Stranger, who: str, called: str
) -> dict[str, str]:
    """The names that the phone shows. Each call is `who`'s, at this phone only, and its INVITE like every other."""
    lab = federation.lab
    shown: dict[str, str] = {}
    plain: list[str] = []
    number = f"+49305{called}" if who == "provider" else called
    for what, name in {"plain": "Eve", **NAMES}.items():
        since = time.time()
        status = stranger.invite(number, name)
        calls = {phone: lab.calls_of(phone, since) for phone in PHONES}
        assert [phone for phone, found in calls.items() if found] == ([called] if status else [])
        for call in calls[called]:
            plain = plain or call["fields"]
            assert (status, call["other"], call["fields"]) == ("200", who, plain), what
            shown[what] = call["name"]
    return shown
