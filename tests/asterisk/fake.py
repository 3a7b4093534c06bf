"""A tiny ARI: enough of Asterisk's REST and its event websocket to be connected to, to hang, to refuse and to restart."""

import asyncio
import json
from typing import Self

from aiohttp import WSMsgType, encode_basic_auth, web
from aiohttp.test_utils import TestServer

from pbxfed_ari.asterisk.pjsip.objects import MARK

Json = dict[str, object]
SILENCE = 1.0  # seconds; longer than any client of the tests waits
LOST = -1  # a status: it is done, and nothing is said


class FakeAri:
    """An Asterisk of this version. What it was asked is in `asked`; what it holds is in `objects`."""

    def __init__(self, version: str = "22.10.1") -> None:
        self.version = version
        self.started = "2026-11-22T19:48:46.104+0000"
        self.password = "right"
        self.loading = 0  # so many times there is no ARI yet
        self.asked: list[str] = []
        self.bodies: list[tuple[str, object]] = []
        self.objects: dict[tuple[str, str], dict[str, str]] = {}
        self.helpers: dict[tuple[str, str], dict[str, str]] = {}  # objects named pf--…
        self.hand_written: set[str] = set()
        self.channels: list[Json] = []
        self.bridges: list[Json] = []
        self.variables: dict[tuple[str, str], str] = {}  # of channels
        self.recordings: dict[str, bytes] = {}
        self.contacts: dict[str, list[str]] = {}
        self.unheard_of: set[str] = set()  # phones that make a question fail
        self.online: set[str] | None = None  # endpoints; None: those with contacts
        self.endpoint_ids: list[str] = []
        self.globals: dict[str, str] = {}
        self.awake: set[str] = set()  # endpoints pushed since the last restart or reload
        self.refuse: dict[
            str, int
        ] = {}  # "METHOD path" → status; 0: nothing is done, nor said; LOST
        self.why = "no"  # what is said with it
        self.garbage: bytes | None = None  # all that is said
        self.iax = False
        self.opened = 0  # event websockets that it was asked for
        self.deaf = False  # its application is nobody's
        self.answers = asyncio.Event()  # cleared: it hangs
        self.answers.set()
        self._sockets: set[web.WebSocketResponse] = set()
        self._changed = asyncio.Condition()
        self._server: TestServer | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return str(self._server.make_url("")).rstrip("/")

    def application(self) -> web.Application:
        """What answers, for a server of one's own."""
        app = web.Application()
        app.router.add_get("/ari/events", self._events)
        app.router.add_route("*", "/ari/{path:.*}", self._rest)
        return app

    async def __aenter__(self) -> Self:
        self._server = TestServer(self.application())
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.answers.set()
        await self.cut()
        assert self._server is not None
        await self._server.close()

    async def send(self, event: Json | str) -> None:
        """Tell our application something, in Asterisk's way of writing."""
        text = event if isinstance(event, str) else json.dumps(event, separators=(",", ":"))
        for socket in list(self._sockets):
            await socket.send_str(text)

    async def cut(self) -> None:
        """Close the event websocket."""
        for socket in list(self._sockets):
            await socket.close()

    async def until(self, line: str, times: int = 1) -> None:
        """Wait until this was asked."""
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(lambda: self.asked.count(line) >= times)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        self.opened += 1
        if self.loading:
            self.loading -= 1
            return web.Response(status=404)
        if not self._known(request):
            return web.Response(status=401)
        await self.answers.wait()
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            async for message in socket:
                assert message.type is WSMsgType.TEXT
        finally:
            self._sockets.discard(socket)
        return socket

    def _known(self, request: web.Request) -> bool:
        return request.headers["Authorization"] == encode_basic_auth("pbxfed", self.password)

    async def _rest(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        line = f"{request.method} {path}"
        body = await request.json() if request.can_read_body else None
        async with self._changed:
            self.asked.append(line)
            if body is not None:
                self.bodies.append((line, body))
            self._changed.notify_all()
        await self.answers.wait()
        if self.garbage is not None:
            return web.Response(body=self.garbage)
        status = self.refusal(line)
        if status is not None and status > 0:
            return web.json_response({"message": self.why}, status=status)
        if path.startswith("events/user/") and not self.deaf and status is None:
            said = {"eventname": path.rpartition("/")[2], "userevent": {"now": len(self.asked)}}
            await self.send({"type": "ChannelUserevent", **said})
        done = self._answer(request, path, body) if status != 0 else web.Response(status=500)
        if status is not None:
            await asyncio.sleep(SILENCE)
        return done

    def refusal(self, line: str) -> int | None:
        """Is this refused, and how?"""
        return self.refuse.get(line)

    def _answer(self, request: web.Request, path: str, body: object) -> web.Response:
        match request.method, path.split("/"):
            case "GET", ["asterisk", "info"]:
                system = {"version": self.version, "entity_id": "x"}
                return web.json_response(
                    {"system": system, "status": {"startup_time": self.started}}
                )
            case "GET", ["channels", _, "rtp_statistics"]:
                return web.json_response({"rxcount": 500, "txcount": 500})
            case "GET", ["recordings", "stored", *name, "file"]:
                stored = self.recordings.get("/".join(name))
                return web.Response(body=stored, status=404 if stored is None else 200)
            case "GET", ["asterisk", "ping"]:
                return web.json_response({"ping": "pong"})
            case "GET", ["asterisk", "variable"]:
                return web.json_response({"value": self.globals.get(request.query["variable"], "")})
            case "POST", ["asterisk", "variable"]:
                self.globals[request.query["variable"]] = request.query["value"]
            case "GET", ["applications", name]:
                return web.json_response({"name": name, "endpoint_ids": self.endpoint_ids})
            case "POST", ["applications", _, "subscription"]:
                source = request.query["eventSource"].removeprefix("endpoint:")
                if source == "IAX2" and not self.iax:
                    return web.json_response({"message": "does not exist"}, status=422)
                self.endpoint_ids.append(source)
                return web.json_response({"name": "pbxfed"})
            case "GET", ["bridges"]:
                return web.json_response(self.bridges)
            case "GET", ["channels"]:
                return web.json_response(self.channels)
            case "GET", ["channels", id]:
                found = next((one for one in self.channels if one["id"] == id), None)
                return web.json_response(found or {"message": "none"}, status=200 if found else 404)
            case "GET", ["channels", _, "variables"]:
                asked = request.query["variables"].split(",")
                if any(phone in one for phone in self.unheard_of for one in asked):
                    return web.json_response({"message": "Unable to read"}, status=500)
                return web.json_response({"variables": {one: self._contacts(one) for one in asked}})
            case "GET", ["channels", id, "variable"]:
                said = self.variables.get((id, request.query["variable"]))
                if said is not None:
                    return web.json_response({"value": said})
                return web.json_response({"value": self._contacts(request.query["variable"])})
            case "GET", ["endpoints", tech]:
                names = [name for kind, name in self.objects if kind == "endpoint"]
                online = self.contacts.keys() if self.online is None else self.online
                return web.json_response(
                    [
                        {
                            "technology": tech,
                            "resource": name,
                            "state": "online" if name in online else "offline",
                        }
                        for name in dict.fromkeys([*names, *self.hand_written, *self.contacts])
                    ]
                )
            case "GET", ["endpoints", tech, name]:
                if ("endpoint", name) not in self.objects | self.helpers:
                    return web.json_response({"message": "Endpoint not found"}, status=404)
                state = "online" if name in self.awake else "offline"
                return web.json_response({"technology": tech, "resource": name, "state": state})
            case method, ["asterisk", "config", "dynamic", _, kind, name]:
                return self._object(method, kind, name, body)
        return web.Response(status=204)

    def _contacts(self, question: str) -> str:
        phone = question.removeprefix("PJSIP_DIAL_CONTACTS(").removesuffix(")")
        return "&".join(f"PJSIP/{phone}/{uri}" for uri in self.contacts.get(phone, []))

    def marks(self) -> dict[str, str]:
        """What the tables would tell."""
        ends = (
            (name, fields) for (kind, name), fields in self.objects.items() if kind == "endpoint"
        )
        return {name: fields[MARK] for name, fields in ends if MARK in fields}

    def _object(self, method: str, kind: str, name: str, body: object) -> web.Response:
        if name in self.hand_written:
            return (
                web.json_response([{"attribute": "context", "value": "mine"}])
                if method == "GET"
                else web.json_response({"message": "Could not change"}, status=403)
            )
        objects = self.helpers if name.startswith("pf--") else self.objects
        if method == "PUT":
            assert isinstance(body, dict)
            fields = {pair["attribute"]: pair["value"] for pair in body["fields"]}
            if kind == "aor" and (kind, name) in objects:  # as Asterisk does: objects.py says why
                before = filter(None, [objects[kind, name].get("contact"), fields.get("contact")])
                fields["contact"] = ",".join([*before, *self.contacts.get(name, [])])
            objects.setdefault((kind, name), {}).update(fields)
            if kind == "endpoint":
                self.awake.add(name)
        found = objects.get((kind, name))
        if found is None:
            return web.json_response({"message": "not found"}, status=404)
        if method == "DELETE":
            del objects[kind, name]
            return web.Response(status=204)
        return web.json_response(
            [{"attribute": key, "value": value} for key, value in found.items()]
        )
