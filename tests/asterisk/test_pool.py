"""Connections that stay open: they are used again, and what went wrong costs one request, never the next."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from pbxfed_ari.asterisk import pool
from pbxfed_ari.asterisk.pool import Pool

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Server:
    """Answers each request with what `say` makes of it; empty: it closes the connection."""

    def __init__(self, say: Callable[[bytes], bytes]) -> None:
        self.say = say
        self.heard: list[bytes] = []
        self.connections = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.port = 0
        self.open: list[asyncio.StreamWriter] = []
        self.serving: list[asyncio.Task[None]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.append(writer)
        self.serving.append(asyncio.current_task())  # type: ignore[arg-type]
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0] or 0)
                self.heard.append(head + await reader.readexactly(length))
                await self.gate.wait()
                if not (answer := self.say(self.heard[-1])):
                    break
                writer.write(answer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def served(
    say: Callable[[bytes], bytes], most: int = 4
) -> AsyncIterator[tuple[Server, Pool]]:
    """A server, and a pool of connections to it."""
    one = Server(say)
    server = await asyncio.start_server(one.serve, "127.0.0.1")
    one.port = server.sockets[0].getsockname()[1]
    found = Pool(f"http://127.0.0.1:{one.port}/prefix", {"Authorization": "Basic x"}, most=most)
    try:
        yield one, found
    finally:
        one.gate.set()
        await found.close()
        await asyncio.gather(*one.serving)
        server.close()


async def get(found: Pool, target: str = "/") -> pool.Answer:
    """One request, one answer."""
    (answer,) = await found.ask(("GET", target, None))
    return answer


async def test_a_connection_is_used_again() -> None:
    """What is sent is what HTTP wants, no more."""
    async with served(lambda heard: OK) as (server, found):
        assert await found.ask(("GET", "/ari/a?b=c", None)) == [(200, b"hi")]
        assert await found.ask(("POST", "/ari/d", b"{}")) == [(200, b"hi")]
    host = f"Host: 127.0.0.1:{server.port}\r\nAuthorization: Basic x\r\n"
    assert server.heard == [
        f"GET /prefix/ari/a?b=c HTTP/1.1\r\n{host}\r\n".encode(),
        f"POST /prefix/ari/d HTTP/1.1\r\n{host}Content-Type: application/json\r\n"
        "Content-Length: 2\r\n\r\n{}".encode(),
    ]
    assert server.connections == 1


@pytest.mark.parametrize(
    ("answer", "status", "content"),
    [
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204, b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length:2\r\n\r\nno", 404, b"no"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            200,
            b"abc",
        ),
    ],
)
async def test_answers_are_read_as_http_has_them(
    answer: bytes, status: int, content: bytes
) -> None:
    """A proxy in between says them in its own way."""
    async with served(lambda heard: answer) as (server, found):
        for _ in range(2):
            assert await get(found) == (status, content)
        assert server.connections == 1


async def test_an_answer_may_come_in_pieces() -> None:
    """TCP knows no messages."""
    async with served(lambda heard: b"HTTP/1.1 200 OK\r\nContent-Le") as (server, found):
        asked = asyncio.ensure_future(get(found))
        for piece in (b"ngth: 4\r\n\r", b"\nab", b"cd"):
            await asyncio.sleep(0.01)
            server.open[0].write(piece)
        assert await asked == (200, b"abcd")


async def test_there_are_never_more_than_allowed() -> None:
    """Who comes later waits for one that is free."""
    async with served(lambda heard: OK, most=2) as (server, found):
        server.gate.clear()
        asked = [asyncio.ensure_future(get(found, f"/{n}")) for n in range(5)]
        await asyncio.sleep(0.05)
        assert len(server.heard) == server.connections == 2
        server.gate.set()
        assert await asyncio.gather(*asked) == [(200, b"hi")] * 5
        assert server.connections == 2


async def test_what_was_closed_is_not_used_again() -> None:
    """By an Asterisk that restarted, say; and one that says so beforehand."""
    async with served(lambda heard: OK) as (server, found):
        await get(found)
        server.open[0].close()
        await asyncio.sleep(0.01)
        await get(found)
        server.say = lambda heard: OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        await get(found)
        await get(found)
        assert server.connections == 3


async def test_what_was_idle_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asterisk may be closing it at this very moment."""
    monkeypatch.setattr(pool, "IDLE", 0.0)
    async with served(lambda heard: OK) as (server, found):
        await get(found)
        await get(found)
        assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "closed"),
        (b"who are you?\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "not HTTP"),
    ],
)
async def test_no_answer_is_an_error_of_this_request_alone(answer: bytes, why: str) -> None:
    """The next one has a connection of its own."""
    async with served(lambda heard: answer) as (server, found):
        with pytest.raises(OSError, match=why):
            await get(found)
        server.say = lambda heard: OK
        assert await get(found) == (200, b"hi")
        assert server.connections == 2


async def test_who_gives_up_leaves_no_answer_for_the_next() -> None:
    """It would be taken for his."""
    async with served(lambda heard: OK.replace(b"hi", heard[12:14])) as (server, found):
        server.gate.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await get(found, "/aa")
        server.gate.set()
        assert await get(found, "/bb") == (200, b"bb")
        assert server.connections == 2


async def test_several_are_sent_at_once() -> None:
    """Their answers come in order, and the connection is used again."""
    requests = [("POST", f"/{word}", b"{}") for word in ("aa", "bb", "cc")]
    async with served(lambda heard: OK.replace(b"hi", heard[13:15])) as (server, found):
        server.gate.clear()
        asked = asyncio.ensure_future(found.ask(*requests))
        await asyncio.sleep(0.02)
        assert len(server.heard) == 1  # the server does one after the other
        server.gate.set()
        assert await asked == [(200, b"aa"), (200, b"bb"), (200, b"cc")]
        assert await get(found) == (200, b"HT")
        assert server.connections == 1


async def test_an_answer_of_several_may_fail_to_come() -> None:
    """What was sent after it has none, either."""
    answers = iter((OK, b""))
    async with served(lambda heard: next(answers)) as (_, found):
        with pytest.raises(OSError, match="closed"):
            await found.ask(("GET", "/", None), ("GET", "/", None), ("GET", "/", None))


async def test_a_connection_that_is_free_can_be_used_at_once() -> None:
    """By whom no task shall be woken for; he is told, and the connection is used again."""
    told: list[pool.Told] = []
    async with served(lambda heard: OK, most=1) as (server, found):
        assert not found.begin(1.0, told.append, ("GET", "/", None))  # none is open
        await get(found)
        server.gate.clear()
        assert found.begin(1.0, told.append, ("GET", "/a", None), ("GET", "/b", None))
        assert not found.begin(1.0, told.append, ("GET", "/c", None))  # none is free
        waits = asyncio.ensure_future(get(found, "/d"))
        await asyncio.sleep(0.01)
        assert not told
        assert not waits.done()
        server.gate.set()
        assert await waits == (200, b"hi")
        assert told == [[(200, b"hi"), (200, b"hi")]]
        assert server.connections == 1
        assert [heard.split()[1] for heard in server.heard] == [
            b"/prefix/", b"/prefix/a", b"/prefix/b", b"/prefix/d",
        ]  # fmt: skip


@pytest.mark.parametrize("late", [True, False])
async def test_what_was_begun_may_have_no_answer(late: bool) -> None:
    """In time, or at all: it is told once, and the connection is of no more use."""
    told: list[pool.Told] = []
    over = asyncio.Event()

    def then(what: pool.Told) -> None:
        told.append(what)
        over.set()

    async with served(lambda heard: b"" if heard[12:13] == b"x" else OK) as (server, found):
        await get(found)
        if late:
            server.gate.clear()
        assert found.begin(0.05, then, ("GET", "/x", None))
        await over.wait()
        server.gate.set()
        assert await get(found) == (200, b"hi")
        assert server.connections == 2
    assert [type(what) for what in told] == [TimeoutError if late else ConnectionError]
