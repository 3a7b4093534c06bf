"""Stands between a node's daemon and its Asterisk's ARI, passes all on, and answers a chosen request of a call otherwise.

    with Meddler(lab.node("a")) as meddler:                  # asterisk.url of a's daemon says meddler.url
        meddler.spoil("1001", "POST channels/CALLER/continue", 409)
        ... 1001 calls ...

A request is named as in ARI's documentation, with CALLER, LEG and BRIDGE for the names of the call's own. Whose call it is it
learns from what it passes on: a caller's channel by its StasisStart, legs and bridge by the request that makes a leg.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from typing import Self

from aiohttp import (
    ClientError,
    ClientSession,
    ClientWebSocketResponse,
    TCPConnector,
    WSMsgType,
    web,
)
from yarl import URL

from lab.netns import socket_in, within
from lab.node import Node
from pbxfed_ari.core.names import key_of_name

PORT = 8090
ASTERISK = "http://127.0.0.1:8088"
KEEP = 10.0  # seconds; Asterisk closes a connection that was idle for 15
ABSENCE = 1.0
NOTICED = 0.05  # seconds in which Asterisk takes an application for gone whose websocket is closed
LINKED = 1.0  # seconds in which the request comes that tells whose a bridge is

SILENCE = "silence"  # it is not asked for, and never answered
LOST = "lost"  # it is done, and never answered
CUT = "cut"  # it is done and answered, and the event websocket is closed at that moment
AWAY = "away"  # the same, but Asterisk knows it before it is asked, and no other websocket opens for ABSENCE seconds
ARRIVAL = "EVENT StasisStart"  # of a caller: no request, but it can be silent, too
Answer = int | str  # a status, or one of these


class Meddler:
    """Serves at the loopback of the node's namespace, in a thread, until it is left."""

    def __init__(self, node: Node) -> None:
        self.url = f"http://127.0.0.1:{PORT}"
        self._space = node.host.namespace
        self._spoilt: dict[tuple[str, str], Answer] = {}
        self._times: dict[tuple[str, str], int] = {}
        self._whose: dict[str, str] = {}  # by channel, or by the key in names of ours
        self._linked = asyncio.Condition()
        self._daemons: set[web.WebSocketResponse] = set()
        self._absent = 0.0  # until when no websocket opens, on the loop's clock
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meddler", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(5):
            raise OSError(f"the meddler in {self._space} does not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def spoil(self, caller: str, request: str, answer: Answer, *, times: int = 1) -> None:
        """So many requests of this kind, of the next calls of this number, are answered so. "": of no call."""
        self._spoilt[caller, request] = answer
        self._times[caller, request] = times

    def left(self, caller: str) -> int:
        """How many of them have not come yet?"""
        return sum(times for (who, _), times in self._times.items() if who == caller)

    def pass_on(self, caller: str) -> None:
        """From now on all of this number's is passed on."""
        for key in [key for key in self._times if key[0] == caller]:
            del self._times[key]

    def cut(self, seconds: float = 0.0) -> None:
        """Close the event websocket, and open no other one for so long."""
        asyncio.run_coroutine_threadsafe(self._cut(seconds), self._loop).result(5)

    # --- in the thread

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        connector = TCPConnector(
            limit=0, keepalive_timeout=KEEP, socket_factory=lambda _: socket_in(self._space)
        )
        async with ClientSession(connector=connector, auto_decompress=False) as self._asterisk:
            app = web.Application(client_max_size=1 << 26)
            app.router.add_get("/ari/events", self._events)
            app.router.add_route("*", "/{path:.*}", self._rest)
            runner = web.AppRunner(
                app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None
            )
            await runner.setup()
            try:
                await web.SockSite(runner, within(self._space, _listener)).start()
                self._ready.set()
                await self._over.wait()
            finally:
                await self._cut()
                await runner.cleanup()

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self._loop.time() < self._absent:
            return web.Response(status=503)
        try:
            there = await self._asterisk.ws_connect(
                _there(request), headers=_login(request), max_msg_size=0
            )
        except ClientError as error:
            return web.Response(status=getattr(error, "status", 503))
        here = web.WebSocketResponse()
        await here.prepare(request)
        self._daemons.add(here)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._tell(there, here))
                async for _ in here:  # the daemon says nothing, until it closes
                    pass
                await there.close()
        finally:
            self._daemons.discard(here)
            await there.close()
        return here

    async def _tell(self, there: ClientWebSocketResponse, here: web.WebSocketResponse) -> None:
        async for message in there:
            if message.type is WSMsgType.TEXT and not here.closed:
                caller = self._learn(message.data)
                if self._spoils(caller, ARRIVAL) != SILENCE:
                    await here.send_str(message.data)
        await here.close()

    async def _cut(self, seconds: float = 0.0) -> None:
        self._absent = self._loop.time() + seconds
        for one in list(self._daemons):
            await one.close()
        if seconds:
            await asyncio.sleep(NOTICED)

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        caller, what = await self._named(request, body)
        answer = self._spoils(caller, what)
        if answer == SILENCE:
            await asyncio.Event().wait()  # until the daemon gives it up
        if isinstance(answer, int):
            return web.json_response({"message": "meddled with"}, status=answer)
        if answer in (CUT, AWAY):
            await self._cut(ABSENCE if answer == AWAY else 0.0)
        status, kind, content = await self._asked(request, body)
        if answer == LOST:
            await asyncio.Event().wait()
        return web.Response(status=status, body=content, headers=kind)

    async def _asked(self, request: web.Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = _login(request)
        if body:
            headers["Content-Type"] = request.content_type
        async with self._asterisk.request(
            request.method, _there(request), data=body or None, headers=headers
        ) as found:
            said = found.headers.get("Content-Type", "application/json")
            return found.status, {"Content-Type": said}, await found.read()

    def _spoils(self, caller: str, what: str) -> Answer | None:
        key = caller, what
        if self._times.get(key, 0) < 1:
            return None
        self._times[key] -= 1
        return self._spoilt[key]

    # --- whose is it?

    def _learn(self, text: str) -> str:
        """Whose arrival this event is; "": of nobody."""
        if '"StasisStart"' not in text:
            return ""
        channel = json.loads(text)["channel"]
        if key_of_name(channel["id"]):
            return ""
        caller = str(channel["caller"]["number"])
        self._whose[channel["id"]] = caller
        return caller

    async def _named(self, request: web.Request, body: bytes) -> tuple[str, str]:
        """Of whose call it is, and what it is."""
        parts = request.path.removeprefix("/ari/").split("/")
        caller = ""
        if parts == ["channels", "create"] and body:
            asked = json.loads(body)
            caller = self._whose.get(asked.get("originator", ""), "")
            async with self._linked:
                self._whose[key_of_name(asked["channelId"])] = caller
                self._linked.notify_all()
        elif len(parts) > 1 and parts[0] in ("channels", "bridges"):
            key = key_of_name(parts[1])
            name = ("BRIDGE" if parts[0] == "bridges" else "LEG") if key else "CALLER"
            caller = await self._owner(key) if key else self._whose.get(parts[1], "")
            parts[1] = name if caller else parts[1]
        return caller, f"{request.method} {'/'.join(parts)}"

    async def _owner(self, key: str) -> str:
        try:
            async with asyncio.timeout(LINKED), self._linked:
                await self._linked.wait_for(lambda: key in self._whose)
        except TimeoutError:
            return ""
        return self._whose[key]


def _listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", PORT), reuse_port=False)


def _there(request: web.Request) -> URL:
    return URL(f"{ASTERISK}{request.raw_path}", encoded=True)


def _login(request: web.Request) -> dict[str, str]:
    return {"Authorization": request.headers.get("Authorization", "")}
