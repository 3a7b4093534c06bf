"""Calls over HTTP: live, ended, as CSV, followed; and what a caller may write into a spreadsheet."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp.test_utils import make_mocked_request
from msgspec.structs import replace
from pytest_aiohttp.plugin import AiohttpClient
from yarl import URL

from pbxfed_ari.core.effects import Attempted, CallEnded, Leg, Listened, Note
from pbxfed_ari.core.events import Answered, Arrived, Returned
from pbxfed_ari.core.names import CallId, ChannelId, NodeName
from pbxfed_ari.web import callbook
from pbxfed_ari.web.callbook import COLUMNS, CallBook, record
from tests.core.test_route import B, View, make
from tests.web.served import Client, Served, Stored

BEGAN = 1_800_000_000_000


def ended(i: int, caller: str = "1001", peer: str = "") -> CallEnded:
    attempts = (
        Attempted("1002", (Leg(NodeName("b"), "sip"),), "1002 is on b", 0.0, 1.5, "answered"),
    )
    return CallEnded(
        CallId(f"c{i}"),
        caller,
        "1002",
        1,
        True,
        16,
        31.5,
        peer,
        False,
        BEGAN + i,
        30.0,
        "",
        "handover",
        attempts,
    )


@pytest.fixture
def served() -> Served:
    return Served()


@pytest.fixture
async def client(served: Served, aiohttp_client: AiohttpClient) -> Client:
    return await aiohttp_client(served.api.app)


async def test_records_page_by_page(served: Served, client: Client) -> None:
    """Each call once, with its tries; the link leads on."""
    for i in range(5):
        served.records.add(record(ended(i, peer="c" if i == 2 else ""), "a"))
    response = await client.get("/calls/records?limit=3")
    first = await response.json()
    assert [one["call"] for one in first] == ["c0", "c1", "c3"]
    assert first[0]["attempts"][0]["legs"] == [{"node": "b", "trunk": "sip"}]
    assert first[0]["began"] == "2027-01-15T08:00:00.000+00:00"
    further = await client.get(URL(response.links["next"]["url"]).relative())
    assert [one["call"] for one in await further.json()] == ["c4"]
    last = await (await client.get("/calls/records?last=true&limit=1&parts=true")).json()
    assert [one["call"] for one in last] == ["c4"]
    since = await client.get("/calls/records", params={"since": "2027-01-15T08:00:00.003Z"})
    assert [one["call"] for one in await since.json()] == ["c3", "c4"]
    nobody = await client.get("/calls/records", params={"number": "7"})
    assert await nobody.json() == []


def test_whoever_looks_at_all_calls_lets_others_have_their_turn(served: Served) -> None:
    """The same loop serves them: ten thousand calls would hold it for half a second."""
    view = View(B)
    for i in range(1_000):
        arrived = Arrived(ChannelId(f"17.{i}"), "1002", "1001", "", fresh_id=f"f{i}")
        served.switchboard.handle(arrived, served.now(), view)
    answer, turns = CallBook(served).live(make_mocked_request("GET", "/calls")), 0
    while True:
        try:
            answer.send(None)
            turns += 1
        except StopIteration as done:
            found = json.loads(done.value.text)
            break
    assert [one["call"] for one in found] == [f"f{i}" for i in range(1_000)]
    assert turns >= 10


async def test_who_looks_sees_what_asterisk_has_said_in_this_moment(
    served: Served, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ends are dealt with a moment later, many together: not behind the back of who looks."""

    async def dealt_with() -> None:
        arrived = Arrived(ChannelId("17.1"), "1002", "1001", "", fresh_id="f00")
        served.switchboard.handle(arrived, served.now(), View(B))
        served.records.add(record(ended(1), "a"))

    monkeypatch.setattr(served, "catch_up", dealt_with)
    assert len(await (await client.get("/calls")).json()) == 1
    assert len(await (await client.get("/calls/records")).json()) == 2


async def test_the_tries_of_a_call_that_goes_on_have_their_timing(
    served: Served, client: Client
) -> None:
    """What came of those that failed, and after how long; for how long the last one has rung; when it was answered."""
    caller, now, view = ChannelId("17.1"), served.now(), View(B)
    served.switchboard.handle(Arrived(caller, "1002", "1001", "", fresh_id="f00"), now - 5, view)
    served.switchboard.handle(Returned(caller, "CHANUNAVAIL", 3), now - 3, view)
    (call,) = await (await client.get("/calls")).json()
    times = ("began_seconds", "seconds", "outcome")
    found = [tuple(one[key] for key in times) for one in call["attempts"]]
    assert found == [(0.0, 2.0, "unreachable"), (2.0, 3.0, "")]
    assert call["attempts"][1]["legs"] == [{"node": "b", "trunk": "iax2"}]
    served.switchboard.handle(Answered(caller), now - 1, view)
    (call,) = await (await client.get("/calls")).json()
    assert call["attempts"][1]["seconds"] == 2.0
    assert call["attempts"][1]["outcome"] == "answered"


async def test_who_listens_in_is_told(served: Served, client: Client) -> None:
    """While he does, in the record, and in a table as a text; whom the call to him is for, too."""
    caller, now = ChannelId("17.1"), served.now()
    arrived = Arrived(caller, "1002", "1001", "", fresh_id="f00", wall_ms=1_800_000_000_000)
    served.switchboard.handle(arrived, now - 5, View(B))
    (call,) = served.switchboard
    call.listened.append(Listened("1003", "called", 2.0, goes_on=True))
    (shown,) = await (await client.get("/calls")).json()
    since = "2027-01-15T08:00:02.000+00:00"
    said = [{"by": "1003", "heard_by": "called", "since": since, "seconds": 3.0}]
    assert (shown["listened"], shown["listens_to"]) == (said, "")
    kept = record(call.so_far(now), "a")
    assert (kept["listened"], kept["listens_to"]) == (said, "")
    served.records.add(kept)
    response = await client.get("/calls/records", headers={"Accept": "text/csv"})
    (row,) = csv.DictReader(io.StringIO(await response.text()))
    assert row["listened"] == f"1003 since {since} for 3.0 s, heard by called"


async def test_what_is_asked_for_who_shall_listen_is_checked(client: Client) -> None:
    """Field, value, remedy; and whether there is such a call."""
    for given, status, said in (
        ({}, 422, "extension = None: must be the number of an extension"),
        (
            {"extension": "1003", "heard_by": "all"},
            422,
            "heard_by = 'all': must be one of nobody, ",
        ),
        (
            {"extension": "1003", "by": "both"},
            422,
            "unknown field 'by'; known are extension, heard_by",
        ),
        (
            {"extension": "1003"},
            404,
            "no call f00 here: ask at the node whose `pbxfed calls` shows it",
        ),
    ):
        answer = await client.post("/calls/f00/listeners", json=given)
        detail = (await answer.json())["detail"]
        assert (answer.status, detail[: len(said)]) == (status, said)


async def test_who_was_transferred_here_is_told_by_whom(served: Served, client: Client) -> None:
    """While he talks, and in the record; in a table from before, nobody."""
    caller, now = ChannelId("17.1"), served.now()
    arrived = Arrived(caller, "1002", "1001", "", fresh_id="f00", endpoint="1001", by="1003")
    served.switchboard.handle(arrived, now, View(B))
    (shown,) = await (await client.get("/calls")).json()
    assert shown["transferred_by"] == "1003"
    (call,) = served.switchboard
    kept = record(call.so_far(now), "a")
    assert kept["transferred_by"] == "1003"
    del kept["transferred_by"]
    served.records.add(kept)
    response = await client.get("/calls/records", headers={"Accept": "text/csv"})
    (row,) = csv.DictReader(io.StringIO(await response.text()))
    assert row["transferred_by"] == ""


async def test_of_very_many_tries_some_are_left_out_and_counted(
    served: Served, client: Client
) -> None:
    """Of a call that goes on, and of its record."""
    caller, now, view = ChannelId("17.1"), served.now(), View(B)
    served.switchboard.handle(Arrived(caller, "1002", "1001", "", fresh_id="f00"), now, view)
    (call,) = served.switchboard
    for _ in range(99):
        call.note_try(call.tried[-1], call.route.number, now)
    (shown,) = await (await client.get("/calls")).json()
    counts = [len(shown[key]) for key in ("tries", "attempts")]
    assert (counts, shown["tries_left_out"]) == ([50, 50], 50)
    kept = record(call.so_far(now), "a")
    assert (kept["tries"], kept["tries_left_out"]) == (100, 50)


async def test_as_a_table(served: Served, client: Client) -> None:
    """With the same columns in each line; nothing that a spreadsheet would take for a formula."""
    served.records.add(record(ended(1, caller='=HYPERLINK("http://x")'), "a"))
    served.records.add(record(ended(2, caller="+4930123"), "a"))
    served.records.add(record(ended(3, caller="\n=1+1"), "a"))
    served.records.add(record(ended(4, caller="7;=cmd|' /C calc'!A0;-2"), "a"))
    served.records.add(record(ended(5, caller="\x1b[2J1001"), "a"))
    response = await client.get("/calls/records", headers={"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(await response.text())))
    assert tuple(rows[0]) == COLUMNS
    assert [row["from"] for row in rows] == [
        '\'=HYPERLINK("http://x")',
        "+4930123",
        "\\n=1+1",
        "7;'=cmd|' /C calc'!A0;'-2",
        "\\x1b[2J1001",
    ]
    assert rows[0]["talked_seconds"] == "30.0"


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "after=-1", "last=1", "since=yesterday"])
async def test_bad_questions_are_refused(client: Client, query: str) -> None:
    """With name, value and rule."""
    response = await client.get(f"/calls/records?{query}")
    assert response.status == 400
    name, _, value = query.partition("=")
    assert (await response.json())["detail"].startswith(f"{name} = {value!r}: must be")


async def test_each_end_is_told_as_it_comes(served: Served, client: Client) -> None:
    """A stream of its own: calls do not push what the federation decided out of its log."""
    served.call_events.add(Note("call ended", (("call", "c1"),)), BEGAN)
    listed = await (await client.get("/calls/events?limit=5")).json()
    assert [one["fields"]["call"] for one in listed] == ["c1"]
    assert await (await client.get("/events?limit=5")).json() == []
    assert json.loads(await (await client.get("/calls")).text()) == []


async def test_a_trunk_that_calls_avoid_is_shown_at_its_node(
    served: Served, client: Client
) -> None:
    """As long as it is known."""
    (peer,) = [m for m in await (await client.get("/members")).json() if m["node"] == "b"]
    assert peer["avoided_trunks"] == []
    served.switchboard.usage.detours.found(B, "sip", "iax2", served.now())
    (peer,) = [m for m in await (await client.get("/members")).json() if m["node"] == "b"]
    assert peer["avoided_trunks"] == ["sip"]


async def test_a_recording_is_given_out_by_the_node_that_has_it(
    served: Served, client: Client
) -> None:
    """Whole, as a file; elsewhere, and of what is not there, the reason is said."""
    sound = bytes(range(256)) * 5
    served.recordings["pbxfed/c1"] = sound
    served.records.add(record(replace(ended(1), recording="pbxfed/c1", recorded=29.5), "a"))
    served.records.add(record(replace(ended(2), recording="pbxfed/c2"), "a"))
    served.records.add(record(replace(ended(3), recording_error="no room"), "a"))
    served.records.add(record(ended(4, peer="b"), "a"))
    response = await client.get("/calls/c1/recording")
    assert (response.status, await response.read()) == (200, sound)
    assert response.headers["Content-Type"] == "audio/wav"
    assert response.headers["Content-Disposition"] == 'attachment; filename="c1.wav"'
    head = await client.head("/calls/c1/recording")
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(sound)))
    told = {
        "c2": "recording pbxfed/c2 was removed",
        "c3": "call c3 was not recorded: no room",
        "c4": "call c4 came here from b: ask there",
        "c5": "call c5 has no record here: ask the node at which it came in; its record tells which (`node`)",
    }
    for call, detail in told.items():
        response = await client.get(f"/calls/{call}/recording")
        assert (response.status, (await response.json())["detail"]) == (404, detail)


async def test_recordings_leave_asterisk_connections_for_calls(
    served: Served, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each holds one as long as it is fetched: so many at once, and who takes nothing of what is sent is sent away."""
    monkeypatch.setattr(callbook, "GIVEN", 1)
    monkeypatch.setattr(callbook, "STALLED", 0.05)
    begins, over = asyncio.Event(), asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        await begins.wait()
        for _ in range(64):
            yield bytes(1 << 20)

    @asynccontextmanager
    async def recording(name: str) -> AsyncIterator[Stored]:
        try:
            yield Stored(64 << 20, pieces())
        finally:
            over.set()

    monkeypatch.setattr(served, "recording", recording)
    served.records.add(record(replace(ended(1), recording="pbxfed/c1", recorded=29.5), "a"))
    first = await client.get("/calls/c1/recording")
    assert first.status == 200
    assert (await client.get("/calls/c1/recording")).status == 503
    begins.set()
    await asyncio.wait_for(over.wait(), 20)  # nobody has read
    assert (await client.get("/calls/c1/recording")).status == 200


async def test_the_recording_of_a_call_that_goes_on_is_not_whole(
    served: Served, client: Client
) -> None:
    """It is shown, and can be had when the call is over."""
    caller, now = ChannelId("17.1"), served.now()
    view = View(NodeName("a"), items=[make("extension", "1002", record=True)])
    served.switchboard.handle(Arrived(caller, "1002", "1001", "", fresh_id="f00"), now, view)
    assert [one["recording"] for one in await (await client.get("/calls")).json()] == [""]
    served.switchboard.handle(Answered(caller), now, view)
    assert [one["recording"] for one in await (await client.get("/calls")).json()] == ["pbxfed/f00"]
    assert (await client.get("/calls/f00/recording")).status == 409
