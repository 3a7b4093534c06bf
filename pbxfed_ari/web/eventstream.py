"""`GET /events`: the event log as JSON, or as a stream of server-sent events (WHATWG HTML §9.2) that can be resumed by id."""

import asyncio
import json

from aiohttp import web

from pbxfed_ari.core.records.objects.fields import Json
from pbxfed_ari.core.stamp import utc
from pbxfed_ari.errors import Refused
from pbxfed_ari.web import schemas
from pbxfed_ari.web.eventlog import Entry, EventLog
from pbxfed_ari.web.operation import JSON, STREAM, Answer, Operation, in_header, in_query

HEARTBEAT = 15.0  # seconds of silence until a comment keeps the stream open
STALLED = 30.0  # seconds in which a reader must take what was sent to it
READERS = 32  # streams at once


class EventStream:
    """The two faces of one event log."""

    def __init__(
        self,
        log: EventLog,
        *,
        path: str = "/events",
        tag: str = "federation",
        what: str = "What the federation decided: members, edits, moved registrations, conflicts",
    ) -> None:
        self._log = log
        self._path, self._tag, self._what = path, tag, what
        self._readers = 0

    def operation(self) -> Operation:
        """What the document says."""
        number: Json = {"type": "integer", "minimum": 0}
        event = schemas.ref("event")
        return Operation(
            method="GET",
            path=self._path,
            handler=self.get,
            tag=self._tag,
            summary=self._what,
            text="A stream of server-sent events, each with its id, that is resumed by `Last-Event-ID`; with `limit` or "
            "`Accept: application/json` a list. The last thousand events of this start of the daemon are kept.",
            parameters=(
                in_query("since", "Only events after this id.", number),
                in_query("limit", "A list of so many events at most, the newest.", number),
                in_header(
                    "Last-Event-ID", "As `since`; browsers send it when they come back.", number
                ),
            ),
            answers={
                200: Answer(
                    text="The events.",
                    content={JSON: schemas.listed(event), STREAM: {"type": "string"}},
                )
            },
            errors=(503,),
        )

    async def get(self, request: web.Request) -> web.StreamResponse:
        """A list with `?limit=` or `Accept: application/json`, else a stream; both begin after `?since=` or Last-Event-ID."""
        text = request.headers.get("Last-Event-ID") or request.query.get("since")
        limit = request.query.get("limit")
        if limit is not None or "application/json" in request.headers.get("Accept", ""):
            found = self._log.after(self._log.begin(_number("since", text or "0")))
            most = len(found) if limit is None else _number("limit", limit)
            return web.json_response([shown(entry) for entry in found[max(0, len(found) - most) :]])
        since = self._log.last if text is None else _number("since", text)
        if self._readers >= READERS:
            raise Refused(f"{READERS} readers follow the events already", status=503)
        self._readers += 1
        try:
            return await self._stream(request, since)
        finally:
            self._readers -= 1

    async def _stream(self, request: web.Request, since: int) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        await response.write(b": events of node\n\n")
        since = self._log.begin(since)
        try:
            while not (self._log.closed or self._log.lost(since)):
                news = self._log.after(since)
                text = "".join(map(_sent, news)) or ": still here\n\n"
                await asyncio.wait_for(response.write(text.encode()), STALLED)
                since = news[-1].id if news else since
                if since == self._log.last:
                    await self._wait()
        except (TimeoutError, ConnectionError):
            pass  # it does not read, or is gone
        return response

    async def _wait(self) -> None:
        try:
            await asyncio.wait_for(self._log.news(), HEARTBEAT)
        except TimeoutError:
            return


def shown(entry: Entry) -> Json:
    """An event, as JSON."""
    note = entry.note
    return {
        "id": entry.id,
        "time": utc(entry.wall_ms),
        "event": note.event,
        "level": note.level,
        "fields": {name: _plain(value) for name, value in note.fields},
    }


def _sent(entry: Entry) -> str:
    return f"id: {entry.id}\ndata: {json.dumps(shown(entry))}\n\n"


def _plain(value: object) -> object:
    return value if isinstance(value, int | float | str | None) else str(value)


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 18:
        raise Refused(f"{name} = {text!r}: must be a whole number", status=400)
    return int(text)
