"""HTTP/1.1 to one server, over a few connections that stay open.

Requests to ARI are most of what a call costs the daemon, so there is nothing here that they do not need: no cookies, redirects,
proxies or compression. Whoever asks takes a connection for himself, the one used last, and gives it back after the answer; what
went wrong closes it. Several requests may be sent at once; the server does one after the other (pipelining, RFC 9112 §9.3.2).
llhttp (by `httptools`) reads the answers. `begin` is for the request that each call needs: it wakes no task, and sets no timer.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import cast
from urllib.parse import urlsplit

import httptools

LATE = 0.01  # seconds by which who is late is looked for later: a timer may come a millisecond too early
IDLE = 10.0  # seconds; Asterisk closes a connection that was idle for 15 (session_keep_alive)

Request = tuple[str, str, bytes | None]  # method; target, quoted already; JSON
Answer = tuple[int, bytes]  # status, content
Told = list[Answer] | OSError


class Pool:
    """Connections to the server of a URL, at most so many. `headers` go with each request."""

    def __init__(self, url: str, headers: dict[str, str], *, most: int) -> None:
        parts = urlsplit(url)
        self._ssl = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._ssl else 80)
        self._path = parts.path
        lines = {"Host": parts.netloc.rpartition("@")[2], **headers}.items()
        self._head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        self._room = asyncio.Semaphore(most)
        self._idle: list[_Wire] = []
        self._wires: set[_Wire] = set()
        self._begun: dict[_Wire, float] = {}  # until when their answers are waited for
        self._looks: asyncio.Handle | None = None  # whether one is late

    def __repr__(self) -> str:
        return f"Pool({self._host}:{self._port}, {len(self._wires)} open, {len(self._idle)} idle)"

    async def ask(self, *requests: Request) -> list[Answer]:
        """These requests, sent at once, done one after the other.

        Raises: OSError. Then, or if it is cancelled, whether they took effect is unknown.
        """
        text = b"".join(map(self._text, requests))
        async with self._room:
            wire = self._take() or await self._open()
            try:
                answers = await wire.ask(text, len(requests))
            except BaseException:
                wire.close()
                raise
            if wire.usable:
                self._idle.append(wire)
            return answers

    def begin(self, limit: float, then: Callable[[Told], None], *requests: Request) -> bool:
        """By a connection that is free now: `then` is told what came of it within `limit` seconds. False: none is free."""
        if self._room.locked() or (wire := self._take()) is None:
            return False
        with suppress(StopIteration):
            self._room.acquire().send(None)  # which waits only if it is locked
        self._begun[wire] = time.monotonic() + limit
        if self._looks is None:
            self._looks = asyncio.get_running_loop().call_later(limit + LATE, self._look)
        text = b"".join(map(self._text, requests))
        wire.begin(text, len(requests), partial(self._end, wire, then))
        return True

    def _end(self, wire: "_Wire", then: Callable[[Told], None], told: Told) -> None:
        del self._begun[wire]
        self._room.release()
        if isinstance(told, OSError):
            wire.close()
        elif wire.usable:
            self._idle.append(wire)
        then(told)

    def _look(self) -> None:
        """End what is late; look again when the next one would be."""
        now = time.monotonic()
        for wire in [wire for wire, until in self._begun.items() if until <= now]:
            wire.fail(TimeoutError())
        self._looks = None
        if self._begun:
            wait = min(self._begun.values()) - now + LATE
            self._looks = asyncio.get_running_loop().call_later(wait, self._look)

    def _text(self, request: Request) -> bytes:
        method, target, json = request
        head = f"{method} {self._path}{target} HTTP/1.1\r\n{self._head}"
        if json is None:
            return f"{head}\r\n".encode()
        kind = f"Content-Type: application/json\r\nContent-Length: {len(json)}\r\n\r\n"
        return f"{head}{kind}".encode() + json

    async def close(self) -> None:
        """Close all connections."""
        if self._looks is not None:
            self._looks.cancel()
        for wire in list(self._wires):
            wire.close()
        await asyncio.sleep(0)  # lets the transports close their sockets

    def _take(self) -> "_Wire | None":
        now = time.monotonic()
        while self._idle:
            wire = self._idle.pop()
            if wire.usable and now - wire.since < IDLE:
                return wire
            wire.close()
        return None

    async def _open(self) -> "_Wire":
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(
            lambda: _Wire(self._wires), self._host, self._port, ssl=self._ssl or None
        )
        return wire


class _Wire(asyncio.Protocol):
    """One connection: requests, their answers, then the next."""

    def __init__(self, wires: "set[_Wire]") -> None:
        self._wires = wires
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._content = b""
        self._answers: list[Answer] = []
        self._missing = 0  # answers that have not come
        self._then: Callable[[Told], None] | None = None
        self._transport: asyncio.Transport | None = None
        self.usable = False
        self.since = 0.0  # when the last answer came

    async def ask(self, text: bytes, requests: int) -> list[Answer]:
        """Send so many requests and wait for all answers. Raises: OSError."""
        told: asyncio.Future[list[Answer]] = self._loop.create_future()
        self.begin(text, requests, partial(_settle, told))
        return await told

    def begin(self, text: bytes, requests: int, then: Callable[[Told], None]) -> None:
        """The same, without waiting: `then` is told once."""
        assert self._transport is not None
        self._answers, self._missing, self._then = [], requests, then
        self._transport.write(text)

    def fail(self, error: OSError) -> None:
        """No answer will come."""
        then, self._then = self._then, None
        if then is not None:
            then(error)

    def close(self) -> None:
        """It is of no more use."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        self._wires.add(self)
        self.usable = True

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.fail(ConnectionError(f"the answer is not HTTP: {error}"))
            self.close()
            return
        if not self._missing and self._then is not None:
            then, self._then = self._then, None
            self.since = time.monotonic()
            then(self._answers)

    def connection_lost(self, error: Exception | None) -> None:
        self.usable = False
        self._wires.discard(self)
        lost = error if isinstance(error, OSError) else ConnectionError("the connection was closed")
        self.fail(lost)

    # --- httptools

    def on_body(self, part: bytes) -> None:
        self._content += part

    def on_message_complete(self) -> None:
        self.usable = self._parser.should_keep_alive()
        self._answers.append((self._parser.get_status_code(), self._content))
        self._content = b""
        self._missing -= 1


def _settle(future: asyncio.Future[list[Answer]], told: Told) -> None:
    if future.done():
        return
    if isinstance(told, OSError):
        future.set_exception(told)
    else:
        future.set_result(told)
