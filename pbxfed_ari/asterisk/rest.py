"""Requests to Asterisk's REST interface: each has a deadline, and only two ways to fail.

Unreachable (whether it took effect is unknown) and Declined (it did not). Nothing is retried here; that is a decision, and
decisions are the operator's. The password travels in a header, never in a URL, where logs would keep it.
"""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple, Self, TypeVar
from urllib.parse import quote

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout
from yarl import URL

from pbxfed_ari.asterisk.models import Message
from pbxfed_ari.asterisk.pool import Answer, Pool, Request, Told
from pbxfed_ari.errors import Declined, Unreachable

DEADLINE = 2.0  # seconds for one request; a healthy Asterisk answers in milliseconds
CONNECTIONS = 16  # at once; Asterisk spends a thread on each (main/http.c)
PIECE = 64 * 1024  # bytes of a file that are taken at once

_PLAIN = re.compile(r"[A-Za-z0-9._-]+")

Query = dict[str, str]
T = TypeVar("T")


class Post(NamedTuple):
    """A POST that may be sent together with others (`AriClient.post`); `operation` is what an error calls it."""

    operation: str
    path: str
    query: Query | None = None
    body: object = None


class Stored(NamedTuple):
    """A file at Asterisk: bytes, and they, piece by piece."""

    size: int
    pieces: AsyncIterator[bytes]


class Rest:
    """One Asterisk's. Use it as an async context manager."""

    def __init__(self, url: str, user: str, password: str, *, app: str, deadline: float) -> None:
        self.url = url.rstrip("/").removesuffix("/ari")
        self.user = user
        self.app = app
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}"}
        self._deadline = deadline
        self._pool: Pool | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r}, {self.user!r}, app={self.app!r})"

    async def __aenter__(self) -> Self:
        self._pool = Pool(self.url, self._headers, most=CONNECTIONS)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    async def request(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: object = None,
        deadline: float | None = None,
    ) -> bytes:
        """One request; `operation` is what an error calls it.

        Raises: Unreachable, Declined.
        """
        limit = self._deadline if deadline is None else deadline
        asked = _request(method, path, query, body)
        ((status, content),) = await self._ask(operation, limit, asked)
        return _granted(operation, status, content)

    @asynccontextmanager
    async def file(self, operation: str, path: str) -> AsyncIterator[Stored]:
        """What is too large for one answer, by a connection of its own. Whoever wants only its size leaves it at that.

        Raises: Unreachable, Declined; what comes piece by piece, OSError and ClientError.
        """
        url, limit = URL(f"{self.url}/ari/{path}", encoded=True), self._deadline
        patience = ClientTimeout(sock_connect=limit, sock_read=limit)
        async with ClientSession(timeout=patience) as session:
            try:
                response = await session.get(url, headers=self._headers)
                if (status := response.status) >= 400:
                    _granted(operation, status, await response.read())
            except (OSError, ClientError) as error:
                raise Unreachable(f"{operation}: {reason(error)}") from error
            async with response:
                yield Stored(response.content_length or 0, response.content.iter_chunked(PIECE))

    async def post(self, *posts: Post) -> list[Declined | None]:
        """Several POSTs, done one after the other without waiting for us in between.

        What comes after one that is declined may be granted: what was said to each. Raises: Unreachable.
        """
        asked = [_request("POST", post.path, post.query, post.body) for post in posts]
        return _judged(posts, await self._ask(posts[-1].operation, self._deadline, *asked))

    def begin(
        self, then: Callable[[list[Declined | None] | Unreachable], None], *posts: Post
    ) -> bool:
        """`post` without a task, if a connection is free now: `then` is told what came of it."""
        assert self._pool is not None, "an AriClient is used outside `async with`"

        def told(what: Told) -> None:
            if isinstance(what, OSError):
                then(self._unreachable(posts[-1].operation, self._deadline, what))
            else:
                then(_judged(posts, what))

        asked = [_request("POST", post.path, post.query, post.body) for post in posts]
        return self._pool.begin(self._deadline, told, *asked)

    async def grant(self, post: Post) -> None:
        """One of them. Raises: Unreachable, Declined."""
        (declined,) = await self.post(post)
        if declined is not None:
            raise declined

    async def _ask(self, operation: str, limit: float, *requests: Request) -> list[Answer]:
        assert self._pool is not None, "an AriClient is used outside `async with`"
        try:
            async with asyncio.timeout(limit):
                return await self._pool.ask(*requests)
        except OSError as error:
            raise self._unreachable(operation, limit, error) from error

    @staticmethod
    def _unreachable(operation: str, limit: float, error: OSError) -> Unreachable:
        late = isinstance(error, TimeoutError)
        why = f"no answer within {limit:g} s" if late else reason(error)
        return Unreachable(f"{operation}: {why}")

    async def ask(
        self,
        kind: type[T],
        operation: str,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: object = None,
        deadline: float | None = None,
    ) -> T:
        """One request whose answer is of this kind.

        Raises: Unreachable, Declined.
        """
        content = await self.request(
            operation, method, path, query=query, body=body, deadline=deadline
        )
        try:
            return msgspec.json.decode(content, type=kind)
        except (ValueError, RecursionError) as error:
            raise Declined(f"{operation}: answer not understood: {error}", status=200) from error


def reason(error: BaseException) -> str:
    """What went wrong with a connection, as a person would say it."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def _request(method: str, path: str, query: Query | None, body: object) -> Request:
    target = f"/ari/{path}?{_asked(query)}" if query else f"/ari/{path}"
    return method, target, None if body is None else msgspec.json.encode(body)


def _granted(operation: str, status: int, content: bytes) -> bytes:
    if (declined := _declined(operation, status, content)) is not None:
        raise declined
    return content


def _judged(posts: Iterable[Post], answers: Iterable[Answer]) -> list[Declined | None]:
    return [
        _declined(post.operation, status, content)
        for post, (status, content) in zip(posts, answers, strict=True)
    ]


def _declined(operation: str, status: int, content: bytes) -> Declined | None:
    if status < 400:
        return None
    return Declined(f"{operation}: {status} {_message(content)}", status=status)


def _message(content: bytes) -> str:
    try:
        return msgspec.json.decode(content, type=Message).message
    except (ValueError, RecursionError):
        return content[:200].decode(errors="replace")


def _asked(query: Query) -> str:
    """As `urlencode` has it. Most values are plain, and to quote them all would be a tenth of what a bridged call costs."""
    values = ((k, v if _PLAIN.fullmatch(v) else quote(v, safe="")) for k, v in query.items())
    return "&".join([f"{name}={value}" for name, value in values])


def part(text: str) -> str:
    """A name as a part of a path."""
    return text if _PLAIN.fullmatch(text) else quote(text, safe=";@")
