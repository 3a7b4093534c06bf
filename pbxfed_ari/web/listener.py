"""Places to connect to: bounded, so that who comes there takes nothing from anybody else, least of all files that calls need.

For strangers by TLS, bounded in number and time; for who operates the node in number alone (`bounded`).
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from ssl import SSLContext

from aiohttp import web

OPERATORS = 500  # connections at once to the API; each that watches events is one
MOST = 200  # connections at once; who has not said yet what TLS he speaks is one, too
HANDSHAKE = 5.0  # seconds
PAUSE = 0.1  # seconds without a connection, if none can be taken
LONGEST = 30.0  # seconds a connection lasts: a few small files take one
MUTE = logging.Logger("mute", logging.CRITICAL + 1)  # aiohttp logs what it cannot read: a path


def bounded(server: web.Server, most: int = OPERATORS) -> Callable[[], asyncio.Protocol]:
    """What takes connections for it, no more than so many at once: those that are too many are closed."""
    return lambda: server() if len(server.connections) < most else _Closing()


class _Closing(asyncio.Protocol):
    """There are too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class Listener:
    """An application behind TLS. The context may be given another certificate while it runs."""

    def __init__(self, app: web.Application, context: SSLContext) -> None:
        self._runner = web.AppRunner(
            app, access_log=None, logger=MUTE, keepalive_timeout=HANDSHAKE, shutdown_timeout=1.0
        )
        self.context = context
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._greeting = 0  # connections whose TLS does not stand yet

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
                if len(server.connections) + self._greeting >= MOST:
                    one.close()
                    continue
                self._greeting += 1
                group.create_task(self._greet(one, server()))

    async def _greet(self, one: socket.socket, handler: web.RequestHandler) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                lambda: handler, one, ssl=self.context, ssl_handshake_timeout=HANDSHAKE
            )
        except OSError:  # he speaks no TLS that we do, or nothing
            one.close()
        else:
            loop.call_later(LONGEST, _cut, handler)
        finally:
            self._greeting -= 1


def _cut(handler: web.RequestHandler) -> None:
    if handler.transport is not None:
        handler.transport.abort()
