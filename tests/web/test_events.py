"""Events: listed, streamed, resumed; a slow reader is sent away and nobody waits for it."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pytest_aiohttp.plugin import AiohttpClient

from pbxfed_ari.core.effects import Note
from pbxfed_ari.core.stamp import utc
from pbxfed_ari.web import eventstream
from pbxfed_ari.web.access import Role, Tokens
from pbxfed_ari.web.eventlog import PER_EPOCH, EventLog
from pbxfed_ari.web.eventstream import EventStream
from pbxfed_ari.web.problem import guard

Client = TestClient[web.Request, web.Application]
EPOCH = 1_795_386_605
FIRST = EPOCH * PER_EPOCH + 1


@pytest.fixture
def log() -> EventLog:
    return EventLog(EPOCH, kept=10)


@pytest.fixture
async def client(log: EventLog, aiohttp_client: AiohttpClient) -> Client:
    app = web.Application(middlewares=[guard(Tokens([(Role.ADMIN, "token")]))])
    app.router.add_get("/events", EventStream(log).get)
    return await aiohttp_client(app, headers={"Authorization": "Bearer token"})


def happen(log: EventLog, times: int = 1) -> None:
    for i in range(times):
        log.add(Note("member down", (("node", "c"), ("silent", i)), "warning"), EPOCH * 1000 + i)


async def read(response: Any, events: int) -> list[int]:
    """The ids of the next events of a stream."""
    found: list[int] = []
    while len(found) < events:
        line = await asyncio.wait_for(response.content.readline(), 5)
        assert line, "the stream has ended"
        if line.startswith(b"id: "):
            found.append(int(line[4:]))
    return found


@pytest.mark.parametrize(
    ("wall_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (1_795_386_605_120, "2026-11-22T22:30:05.120Z"),
        (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
    ],
)
def test_times_are_written_as_iso_8601_does(wall_ms: int, text: str) -> None:
    """Leap years included."""
    assert utc(wall_ms) == text


def test_ids_of_a_later_boot_are_larger(log: EventLog) -> None:
    """Who resumes after a restart misses nothing of the new boot."""
    happen(log, 3)
    later = EventLog(EPOCH + 1)
    happen(later)
    assert [e.id for e in log.after(log.begin(0))] == [FIRST, FIRST + 1, FIRST + 2]
    assert [e.id for e in later.after(later.begin(log.last))] == [(EPOCH + 1) * PER_EPOCH + 1]
    assert [e.id for e in log.after(log.begin(later.last))] == [FIRST, FIRST + 1, FIRST + 2]


async def test_the_list_names_what_happened(client: Client, log: EventLog) -> None:
    """Id, time, a name that scripts can match, level and fields; `since` and `limit` choose."""
    happen(log, 12)
    whole = await (await client.get("/events", headers={"Accept": "application/json"})).json()
    last = await (await client.get(f"/events?since={FIRST + 8}&limit=2")).json()
    assert [e["id"] for e in whole] == list(range(FIRST + 2, FIRST + 12))
    assert [e["id"] for e in last] == [FIRST + 10, FIRST + 11]
    assert last[1] == {
        "id": FIRST + 11,
        "time": "2026-11-22T22:30:05.011Z",
        "event": "member_down",
        "level": "warning",
        "fields": {"node": "c", "silent": 11},
    }
    assert log.counts == {"member_down": 12}


async def test_a_stream_goes_on_where_its_reader_was(client: Client, log: EventLog) -> None:
    """Without an id it begins with what happens next."""
    happen(log, 3)
    async with client.get("/events") as fresh:
        assert fresh.content_type == "text/event-stream"
        await fresh.content.readline()
        happen(log)
        assert await read(fresh, 1) == [FIRST + 3]
    async with client.get("/events", headers={"Last-Event-ID": str(FIRST + 1)}) as resumed:
        assert await read(resumed, 2) == [FIRST + 2, FIRST + 3]
        happen(log)
        assert await read(resumed, 1) == [FIRST + 4]


async def test_an_event_is_one_json_object(client: Client, log: EventLog) -> None:
    """The same as in the list."""
    happen(log)
    listed = (await (await client.get("/events?limit=1")).json())[0]
    async with client.get("/events?since=0") as stream:
        await read(stream, 1)
        assert json.loads((await stream.content.readline()).removeprefix(b"data: ")) == listed


async def test_a_reader_that_the_ring_has_overtaken_is_sent_away(
    client: Client, log: EventLog
) -> None:
    """It would miss events without knowing; when it comes back its id tells."""
    async with client.get("/events") as stream:
        await stream.content.readline()
        happen(log, 11)
        assert b"id:" not in await asyncio.wait_for(stream.content.read(), 5)


async def test_what_happens_before_a_wait_has_begun_ends_it(log: EventLog) -> None:
    """A task begins a turn of the loop later; what happened in that turn came only with the next comment."""
    news = log.news()
    happen(log)
    await asyncio.wait_for(news, 1)
    closed = log.news()
    log.close()
    await asyncio.wait_for(closed, 1)


async def test_silence_is_broken_by_a_comment(
    client: Client, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxies close a stream that says nothing; closing the log ends it."""
    monkeypatch.setattr(eventstream, "HEARTBEAT", 0.01)
    async with client.get("/events") as stream:
        for _ in range(10):
            assert not (await stream.content.readline()).strip(b"\n").startswith(b"data")
        log.close()
        await asyncio.wait_for(stream.content.read(), 5)


async def test_who_may_not_or_asks_wrongly_is_told(client: Client) -> None:
    """The token as everywhere; numbers are numbers."""
    assert (await client.get("/events", headers={"Authorization": "Bearer x"})).status == 401
    assert (await client.get("/events?since=yesterday")).status == 400
    assert (await client.get("/events?limit=-1")).status == 400


async def test_readers_are_limited(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that never hangs up must not eat the node's sockets."""
    monkeypatch.setattr(eventstream, "READERS", 1)
    async with client.get("/events") as stream:
        await stream.content.readline()
        assert (await client.get("/events")).status == 503
