"""Calls over HTTP: those that go on, those that are over (JSON, CSV), and a stream of each one's end."""

import asyncio
import csv
import io
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Protocol

from aiohttp import ClientError, web

from pbxfed_ari.core.calls.call import FIRST, LAST, Call
from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import Attempted, CallEnded, Listened
from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.core.records.objects.fields import Json
from pbxfed_ari.errors import Refused
from pbxfed_ari.logs import one_line
from pbxfed_ari.web import explained, schemas
from pbxfed_ari.web.bodies import STALLED
from pbxfed_ari.web.eventlog import EventLog
from pbxfed_ari.web.eventstream import EventStream
from pbxfed_ari.web.operation import CSV, JSON, Answer, Operation, answer, in_path, in_query
from pbxfed_ari.web.tables import safe

PAGE, MOST = 500, 1_000  # records in one answer
GIVEN = 8  # recordings at once: each holds a connection to Asterisk, and without any no call is led
AT_ONCE = 50  # calls that are put into words before others have a turn
COLUMNS = (
    "call", "node", "began", "from", "to", "reached", "answered", "cause", "seconds", "talked_seconds",
    "tries", "control", "peer", "outside", "unseen_seconds", "transferred_by",
    "listened", "listens_to",
    "recording", "recorded_seconds", "recording_error",
)  # fmt: skip
_TIME = re.compile(  # RFC 3339
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
WAV = "audio/wav"
_CALL: Json = {"type": "string", "pattern": "^[0-9A-Za-z.=]{1,64}$"}
log = logging.getLogger(__name__)
FLAG: Json = {"type": "string", "enum": ["true", "false"]}


class Records(Protocol):
    """What was kept of calls that are over."""

    def read(
        self,
        *,
        after: int = 0,
        limit: int = MOST,
        last: bool = False,
        number: str = "",
        since_ms: int = 0,
        parts: bool = False,
    ) -> list[Json]:
        """Records in the order in which their calls ended, each with its `id`."""
        ...

    def of(self, call: str) -> list[Json]:
        """The records of one call here: its own, or of its parts."""
        ...

    def all(
        self, *, number: str = "", since_ms: int = 0, parts: bool = False
    ) -> Iterator[list[Json]]:
        """All of them, so many at a time."""
        ...


class Stored(Protocol):
    """A file: how many bytes, and they."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    @property
    def pieces(self) -> AsyncIterator[bytes]:
        """All of them. Raises: OSError, ClientError."""
        ...


class Node(Protocol):
    """What these routes need of the node."""

    federation: Federation
    switchboard: Switchboard
    call_events: EventLog

    @property
    def records(self) -> Records:
        """What was kept of calls that are over."""
        ...

    async def catch_up(self) -> None:
        """Deal with all that Asterisk has said."""
        ...

    def recording(self, name: str) -> AbstractAsyncContextManager[Stored]:
        """What was recorded under this name here. Raises: Refused, if it is no more there, or cannot be had now."""
        ...

    def now(self) -> float:
        """Seconds, monotonic."""
        ...


class CallBook:
    """The routes about calls."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._given = 0  # recordings that are fetched now
        self._stream = EventStream(
            node.call_events, path="/calls/events", tag="calls", what="Each call's end, as it comes"
        )

    def operations(self) -> list[Operation]:
        """What to serve."""
        limit = in_query(
            "limit",
            f"Records at most, 1 to {MOST}.",
            {"type": "integer", "minimum": 1, "maximum": MOST, "default": PAGE},
        )
        return [
            Operation(
                method="GET",
                path="/calls",
                handler=self.live,
                tag="calls",
                summary="Calls that came in here and are not over",
                text="Each with the decision that was taken, its tries and their timing: of the `attempts` that which has no "
                "`outcome` yet goes on, since so many `seconds`. "
                f"Of very many only the first {FIRST} and the last {LAST} are told, and how many are left out.",
                answers={200: answer(schemas.listed(schemas.ref("call")), "The calls.")},
            ),
            Operation(
                method="GET",
                path="/calls/records",
                handler=self.ended,
                tag="calls",
                summary="Calls that are over",
                text="One record a call, at the node that it came to first; in the order in which they ended. "
                "`unseen_seconds`: nobody saw its end, for the daemon was away: it had lasted for `seconds` and ended within "
                "so many more; its `cause` is 0, and a try of which nobody knows what came has the `outcome` lost_sight. "
                "`transferred_by`: the phone that has sent its caller here, out of another call, or has put this one through, "
                "so that others talk on in it: each call lasts, and talks, until who is left in it hangs up. "
                "`listened`: who has listened in, since when, for how long, and who heard him; `listens_to`: this is the "
                "call to who listened in on that one. "
                "`Accept: text/csv` gives all of them.",
                parameters=(
                    in_query("after", "Only records above this id.", schemas.COUNT),
                    limit,
                    in_query("last", "true: the last `limit` records.", FLAG),
                    in_query("number", "Only calls from or to this number.", schemas.TEXT),
                    in_query("since", "Only calls that began at or after this time.", schemas.TIME),
                    in_query(
                        "parts", "true: also the parts of calls that came by a peer's trunk.", FLAG
                    ),
                ),
                answers={
                    200: Answer(
                        text="The records.",
                        content={JSON: schemas.listed(schemas.ref("record")), CSV: schemas.TEXT},
                        headers=("Link",),
                    )
                },
                errors=(400,),
            ),
            Operation(
                method="GET",
                path="/calls/{call}/recording",
                handler=self.recording,
                tag="calls",
                summary="The recording of a call that is over",
                text="At the node that has the call's record: it came in there. WAV, 16 bits, 8 kHz; both sides are mixed.",
                parameters=(in_path("call", "The call's id.", _CALL, "0f1e2d3c4b5a"),),
                answers={200: Answer(text="The recording.", content={WAV: schemas.TEXT})},
                errors=(404, 409, 503),
            ),
            self._stream.operation(),
        ]

    async def live(self, request: web.Request) -> web.Response:
        """Calls that came in here and are not over."""
        await self._node.catch_up()
        calls, me, texts = list(self._node.switchboard), self._node.federation.me, list[str]()
        for first in range(0, len(calls), AT_ONCE):
            now = self._node.now()
            some = [_call(call, now, me) for call in calls[first : first + AT_ONCE]]
            texts.append(json.dumps(some)[1:-1])
            await asyncio.sleep(0)  # those who call meanwhile do not wait for who looks
        return web.Response(text=f"[{', '.join(texts)}]", content_type=JSON)

    async def ended(self, request: web.Request) -> web.StreamResponse:
        """Calls that are over."""
        await self._node.catch_up()
        query = request.query
        number, parts = query.get("number", ""), _flag(query.get("parts"), "parts")
        since = _time(query["since"]) if "since" in query else 0
        if CSV in request.headers.get("Accept", ""):
            return await self._csv(request, number, since, parts)
        limit = _whole(query.get("limit", str(PAGE)), "limit", 1, MOST)
        after = _whole(query.get("after", "0"), "after", 0, 1 << 62)
        last = _flag(query.get("last"), "last")
        found = self._node.records.read(
            after=after, limit=limit, last=last, number=number, since_ms=since, parts=parts
        )
        headers = {}
        if len(found) == limit and not last:
            further = request.rel_url.update_query(after=str(found[-1]["id"]))
            headers["Link"] = f'<{further}>; rel="next"'
        return web.json_response(found, headers=headers)

    async def recording(self, request: web.Request) -> web.StreamResponse:
        """The recording of a call that is over."""
        await self._node.catch_up()
        if self._given >= GIVEN:
            raise Refused(f"{GIVEN} recordings are fetched already: ask a moment later", status=503)
        self._given += 1
        try:
            return await self._give(request, request.match_info["call"])
        finally:
            self._given -= 1

    async def _give(self, request: web.Request, call: str) -> web.StreamResponse:
        async with self._node.recording(self._recorded_as(call)) as stored:
            headers = {"Content-Disposition": f'attachment; filename="{call}.wav"'}
            response = web.StreamResponse(headers={"Content-Type": WAV, **headers})
            response.content_length = stored.size
            await response.prepare(request)
            if request.method == "HEAD":
                return response
            try:
                async for piece in stored.pieces:
                    await asyncio.wait_for(response.write(piece), STALLED)
            except (OSError, ClientError) as error:
                log.info("the recording of call %s was not given out whole: %s", call, error)
                if request.transport is not None:
                    request.transport.abort()  # whoever counts sees that it is not whole
        return response

    def _recorded_as(self, call: str) -> str:
        """Raises: Refused, with the reason, and where else to ask."""
        live, kept = self._node.switchboard.calls.parts_of(call), self._node.records.of(call)
        peers = {*(one.arrival.peer or "" for one in live), *(str(one["peer"]) for one in kept)}
        if not peers:
            said = "ask the node at which it came in; its record tells which (`node`)"
            raise Refused(f"call {call} has no record here: {said}", status=404)
        if "" not in peers:
            nodes = " or ".join(sorted(peers))
            raise Refused(f"call {call} came here from {nodes}: ask there", status=404)
        for one in kept:
            if name := one.get("recording"):
                return str(name)
        if any(one.recording and one.answered for one in live):
            raise Refused(f"call {call} goes on: ask when it is over", status=409)
        error = "".join(f": {why}" for one in kept if (why := one.get("recording_error")))
        raise Refused(f"call {call} was not recorded{error}", status=404)

    async def _csv(
        self, request: web.Request, number: str, since: int, parts: bool
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": f"{CSV}; charset=utf-8"})
        await response.prepare(request)
        await response.write((",".join(COLUMNS) + "\r\n").encode())
        for some in self._node.records.all(number=number, since_ms=since, parts=parts):
            text = io.StringIO()
            rows = csv.writer(text)
            rows.writerows(
                [_safe(_cell(one.get(column, ""))) for column in COLUMNS] for one in some
            )
            await response.write(text.getvalue().encode())
            await asyncio.sleep(0)
        return response


def record(call: CallEnded, me: str) -> Json:
    """A call that is over, as it is kept and shown."""
    return {
        "call": call.call,
        "node": me,
        "began": _iso(call.began_ms),
        "began_ms": call.began_ms,
        "from": call.caller,
        "to": call.number,
        "reached": call.reached or (call.number if call.answered else ""),
        "answered": call.answered,
        "cause": call.cause,
        "seconds": round(call.seconds, 3),
        "talked_seconds": round(call.talked, 3),
        "tries": call.tries,
        "control": call.control,
        "peer": call.peer,
        "outside": call.outside,
        "unseen_seconds": round(call.unseen, 3),
        "transferred_by": call.by,
        "recording": call.recording,
        "recorded_seconds": call.recorded,
        "recording_error": call.recording_error,
        "attempts": [_attempt(one, me) for one in call.attempts],
        "tries_left_out": call.left_out,
        "listened": [_listened(one, call.began_ms) for one in call.listened],
        "listens_to": call.listens_to,
    }


def _call(call: Call, now: float, me: str) -> Json:
    arrival = call.arrival
    return {
        "call": call.id,
        "state": call.phase.value,
        "from": arrival.caller,
        "to": arrival.number,
        "transferred_by": call.transferred_by(now),
        "came_by": arrival.peer or ("outside" if arrival.outside else "phone"),
        "control": "bridge" if call.bridged else "handover",
        "seconds": round(now - call.began, 3),
        "talking_seconds": round(now - call.answered, 3) if call.answered else None,
        "tries": [explained.attempt(t, me) for t in call.tried],
        "attempts": [_attempt(one, me, now - call.began) for one in call.history],
        "tries_left_out": call.left_out,
        "listened": [
            _listened(one.until(now - call.began), arrival.wall_ms) for one in call.listened
        ],
        "listens_to": call.listens,
        "recording": call.recording if call.answered else "",
    }


def _listened(one: Listened, began_ms: int) -> Json:
    return {
        "by": one.by,
        "heard_by": one.heard_by,
        "since": _iso(began_ms + round(one.began * 1_000)),
        "seconds": round(one.seconds, 3),
    }


def _cell(value: object) -> object:
    """What a spreadsheet is given of a field: who has listened in as a text."""
    if not isinstance(value, list):
        return value
    said = "{by} since {since} for {seconds} s, heard by {heard_by}"
    return "; ".join(said.format_map(one) for one in value)


def _attempt(one: Attempted, me: str, lasts: float = 0.0) -> Json:
    """A try and its timing. One that is not decided has lasted until now: `lasts` seconds after the call came."""
    return {
        "number": one.number,
        "legs": explained.legs(one.legs, me),
        "reason": one.reason,
        "began_seconds": one.began,
        "seconds": one.seconds if one.outcome else round(max(0.0, lasts - one.began), 3),
        "outcome": one.outcome,
    }


def _safe(value: object) -> object:
    """A caller chooses his number: on one line, without what moves a terminal's cursor, and no formula."""
    return safe(one_line(value)) if isinstance(value, str) else value


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1_000, UTC).isoformat(timespec="milliseconds")


def _whole(text: str, name: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and low <= int(text) <= high):
        raise Refused(f"{name} = {text!r}: must be a whole number, {low} to {high}", status=400)
    return int(text)


def _flag(text: str | None, name: str) -> bool:
    if text not in (None, "true", "false"):
        raise Refused(f"{name} = {text!r}: must be true or false", status=400)
    return text == "true"


def _time(text: str) -> int:
    try:
        if _TIME.fullmatch(text):
            return max(0, int(datetime.fromisoformat(text.upper()).timestamp() * 1_000))
    except (ValueError, OverflowError):
        pass
    raise Refused(f"since = {text!r}: must be a time, as 2026-11-25T08:30:00Z", status=400)
