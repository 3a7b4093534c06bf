"""A daemon's HTTP for the commands' tests: the real application over a real federation in memory, in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Event as Flag
from threading import Thread

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from pbxfed_ari.core.events import Event
from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.web.problem import problem
from tests.web.served import Served

COLLECTIONS = {kind.collection: kind for kind in KINDS.values()}


@dataclass
class Request:
    """What was asked."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Contract:
    """The daemon, and what was asked of it."""

    token: str = ""
    strange: bool = False  # another program has the port
    asked: list[Request] = field(default_factory=list)
    news: list[Event] = field(default_factory=list)  # happens before the next answer
    meddling: int = 0  # so often somebody else is faster than an edit with If-Match

    def serve(self) -> Iterator[int]:
        """Serve on a port of loopback, until the caller is done with it."""
        ready, port = Flag(), [0]
        loop = asyncio.new_event_loop()
        done = asyncio.Event()

        async def serve() -> None:
            served = Served()
            served.api.app.middlewares.insert(0, self._watch(served))
            runner = web.AppRunner(served.api.app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            port[0] = runner.addresses[0][1]
            ready.set()
            await done.wait()
            await runner.cleanup()
            for node in served.world.running():
                node.store.close()

        thread = Thread(target=loop.run_until_complete, args=(serve(),))
        thread.start()
        assert ready.wait(20)
        yield port[0]
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()

    def _watch(self, served: Served) -> Middleware:
        @web.middleware
        async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
            headers = {name.lower(): value for name, value in request.headers.items()}
            self.asked.append(Request(request.method, request.path, headers))
            while self.news:
                served.node.handle(self.news.pop(0))
            if self.strange:
                return web.Response(text="<html>")
            if self.token and headers.get("authorization") != f"Bearer {self.token}":
                return problem(401, "this API needs `Authorization: Bearer TOKEN`")
            if "if-match" in headers and self.meddling:
                self.meddling -= 1
                _, collection, key = request.path.split("/")
                kind = COLLECTIONS[collection].name
                served.node.put(kind, key, name=f"Meddled {self.meddling}")
            return await handler(request)

        return watch
