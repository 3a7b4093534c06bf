"""A place for strangers to connect to, by TLS: bounded in number and time, so that they take nothing from anybody else."""

import asyncio
import logging
from ssl import SSLContext

from aiohttp import web

MOST = 200  # connections at once
HANDSHAKE = 5.0  # seconds
LONGEST = 30.0  # seconds a connection lasts: a few small files take one
MUTE = logging.Logger("mute", logging.CRITICAL + 1)  # aiohttp logs what it cannot read: a path


class Listener:
    """An application behind TLS. The context may be given another certificate while it runs."""

    def __init__(self, app: web.Application, context: SSLContext) -> None:
        self._runner = web.AppRunner(
            app, access_log=None, logger=MUTE, keepalive_timeout=HANDSHAKE, shutdown_timeout=1.0
        )
        self.context = context
        self._server: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> None:
        """Listen. Raises: OSError."""
        await self._runner.setup()
        self._server = await asyncio.get_running_loop().create_server(
            self._accept, host, port, ssl=self.context, ssl_handshake_timeout=HANDSHAKE
        )

    async def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    def _accept(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        assert server is not None, "it was set up"
        if len(server.connections) >= MOST:
            return _Refusal()
        handler = server()
        asyncio.get_running_loop().call_later(LONGEST, _cut, handler)
        return handler


class _Refusal(asyncio.Protocol):
    """There are enough."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Not with you."""
        assert isinstance(transport, asyncio.Transport), "TLS is a stream"
        transport.abort()


def _cut(handler: web.RequestHandler) -> None:
    if handler.transport is not None:
        handler.transport.abort()
