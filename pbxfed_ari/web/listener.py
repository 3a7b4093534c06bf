"""Places to connect to: bounded, so that who comes there takes nothing from anybody else, least of all files that calls need.

For strangers by TLS, a moment each; for who operates the node in the clear, as long as he asks something.
"""

import asyncio
import logging
import socket
from contextlib import suppress
from ssl import SSLContext

from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

MOST = 200  # connections at once; who has not said yet what TLS he speaks is one, too
HANDSHAKE = 5.0  # seconds
PAUSE = 0.1  # seconds without a connection, if none can be taken
LONGEST = 30.0  # seconds a connection lasts: a few small files take one
OPERATORS = 500  # connections at once to the API; each that watches events is one
ASKS = 30.0  # seconds in which the first request must be here, but for its body
KEPT = 75.0  # seconds between two requests
MUTE = logging.Logger("mute", logging.CRITICAL + 1)  # aiohttp logs what it cannot read: a path


class NoHttp(logging.Filter):
    """Who sends what is no HTTP has his answer; he does not write into the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Is it worth a line?"""
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


log = logging.getLogger(__name__)
log.addFilter(NoHttp())


class Listener:
    """An application behind TLS, or without. The context may be given another certificate while it runs."""

    def __init__(self, app: web.Application, context: SSLContext | None = None) -> None:
        """Without TLS a connection lasts, for who asks something in time."""
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=MUTE if context else log,
            keepalive_timeout=HANDSHAKE if context else KEPT,
            shutdown_timeout=1.0,
        )
        self.context = context
        self._patience: dict[object, asyncio.TimerHandle] = {}  # with who has asked nothing yet
        if context is None:
            app.middlewares.insert(0, self._asks())
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._greeting: set[web.RequestHandler] = set()  # whose TLS does not stand yet

    async def open(self, host: str, port: int) -> None:
        """Listen. Raises: OSError."""
        await self._runner.setup()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=MOST)
        self._socket.setblocking(False)
        self._accepting = asyncio.get_running_loop().create_task(
            self._accept(self._socket), name="listener"
        )

    async def close(self) -> None:
        """Listen no more."""
        if self._accepting is not None:
            self._accepting.cancel()
            with suppress(asyncio.CancelledError):
                await self._accepting
        if self._socket is not None:
            self._socket.close()
        await self._runner.cleanup()
        for timer in self._patience.values():
            timer.cancel()

    async def _accept(self, listening: socket.socket) -> None:
        server, loop = self._runner.server, asyncio.get_running_loop()
        assert server is not None, "it was set up"
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(0)  # who is there already would be taken without it
                try:
                    one, _ = await loop.sock_accept(listening)
                except OSError:  # it has gone already, or there are too many files
                    await asyncio.sleep(PAUSE)
                    continue
                most = MOST if self.context else OPERATORS
                if len(self._greeting.union(server.connections)) >= most:
                    one.close()
                    continue
                handler = server()
                self._greeting.add(handler)
                group.create_task(self._greet(one, handler))

    async def _greet(self, one: socket.socket, handler: web.RequestHandler) -> None:
        loop = asyncio.get_running_loop()
        seconds = HANDSHAKE if self.context else None
        if not self.context:
            self._patience[handler] = loop.call_later(ASKS, self._lose_patience, handler)
        try:
            await loop.connect_accepted_socket(
                lambda: handler, one, ssl=self.context, ssl_handshake_timeout=seconds
            )
        except OSError:  # he speaks no TLS that we do, or nothing
            one.close()
        else:
            if self.context:
                loop.call_later(LONGEST, _cut, handler)
        finally:
            self._greeting.discard(handler)

    def _asks(self) -> Middleware:
        @web.middleware
        async def asks(request: web.Request, handler: Handler) -> web.StreamResponse:
            if timer := self._patience.pop(request.protocol, None):
                timer.cancel()
            return await handler(request)

        return asks

    def _lose_patience(self, handler: web.RequestHandler) -> None:
        del self._patience[handler]
        _cut(handler)


def _cut(handler: web.RequestHandler) -> None:
    if handler.transport is not None:
        handler.transport.abort()
