"""Where phones connect: TLS only, a certificate that can be renewed, bounds in number and time, no path in the log."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, TCPConnector, web

from lab import tls
from pbxfed_ari.web import listener
from pbxfed_ari.web.listener import Listener

TOKEN = "a-token-that-nobody-guesses"


def certified(folder: Path) -> ssl.SSLContext:
    tls.write(folder / "crt.pem", folder / "key.pem", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "crt.pem", folder / "key.pem")
    return context


def believing(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=folder / "crt.pem")


async def answer(request: web.Request) -> web.Response:
    return web.Response(text="here")


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[tuple[Listener, int]]:
    """One that listens, and its port."""
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    opened = Listener(app, certified(tmp_path))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    await opened.open("127.0.0.1", port)
    yield opened, port
    await opened.close()


async def get(port: int, context: ssl.SSLContext) -> str:
    async with (
        ClientSession(connector=TCPConnector(ssl=context)) as session,
        session.get(f"https://127.0.0.1:{port}/{TOKEN}") as response,
    ):
        return await response.text()


async def let_in(port: int, folder: Path) -> None:
    """Soon there is room again."""
    for _ in range(50):
        try:
            assert await get(port, believing(folder)) == "here"
            return
        except (ClientError, ConnectionError):
            await asyncio.sleep(0.05)
    pytest.fail("nobody is let in any more")


async def test_it_speaks_tls_and_nothing_else(place: tuple[Listener, int], tmp_path: Path) -> None:
    """A phone checks the certificate; who speaks in the clear gets no answer."""
    _, port = place
    assert await get(port, believing(tmp_path)) == "here"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"HTTP" not in await reader.read()
    writer.close()


async def test_a_renewed_certificate_is_shown_to_who_comes_next(
    place: tuple[Listener, int], tmp_path: Path
) -> None:
    """They last 90 days; the daemon lasts longer."""
    opened, port = place
    old = believing(tmp_path)
    tls.write(tmp_path / "crt.pem", tmp_path / "key.pem", "127.0.0.1")
    assert opened.context is not None
    opened.context.load_cert_chain(tmp_path / "crt.pem", tmp_path / "key.pem")
    assert await get(port, believing(tmp_path)) == "here"
    with pytest.raises(OSError, match="certificate verify failed"):
        await get(port, old)


async def test_no_connection_lasts(
    place: tuple[Listener, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that sends a byte now and then keeps nothing busy."""
    _, port = place
    monkeypatch.setattr(listener, "LONGEST", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=believing(tmp_path))
    writer.write(b"GET / HT")
    with suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_there_are_so_many_at_once(
    place: tuple[Listener, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more is turned away, and may come when another has gone."""
    _, port = place
    monkeypatch.setattr(listener, "MOST", 1)
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=believing(tmp_path))
    await asyncio.sleep(0)
    with pytest.raises((ClientError, ConnectionError)):
        await get(port, believing(tmp_path))
    writer.close()
    await writer.wait_closed()
    await let_in(port, tmp_path)


async def test_who_never_speaks_is_one_of_them(
    place: tuple[Listener, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else all files of the daemon could be taken, five seconds at a time, and its calls would have none."""
    _, port = place
    monkeypatch.setattr(listener, "MOST", 3)
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    with pytest.raises((ClientError, ConnectionError)):
        await get(port, believing(tmp_path))
    for _, writer in silent:
        writer.close()
    await let_in(port, tmp_path)


async def test_what_is_asked_is_not_logged(
    place: tuple[Listener, int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who can read the log could fetch the file; not even what is no request stands in it."""
    caplog.set_level(logging.INFO)
    _, port = place
    assert await get(port, believing(tmp_path)) == "here"
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=believing(tmp_path))
    writer.write(f"GET /{TOKEN} \x01 nonsense\r\nHost\r\n\r\n".encode())
    assert b"400" in await reader.readline()
    writer.close()
    assert TOKEN not in caplog.text


# --- in the clear


@pytest.fixture
async def api() -> AsyncIterator[int]:
    """The port of one without TLS, whose stream does not end."""

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        await asyncio.Event().wait()
        return response

    app = web.Application()

    async def late(request: web.Request) -> web.Response:
        await asyncio.sleep(0.6)
        return web.Response(text="late")

    app.router.add_get("/stream", endless)
    app.router.add_get("/late", late)
    app.router.add_get("/{path:.*}", answer)
    opened = Listener(app)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    await opened.open("127.0.0.1", port)
    yield port
    await opened.close()


async def said(port: int, text: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    return reader, writer


async def test_who_never_ends_his_first_request_is_cut_off(
    api: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header a minute would hold a connection for ever. A stream lasts; so does who waits, or has asked before."""
    monkeypatch.setattr(listener, "ASKS", 0.3)
    stream, one = await said(api, b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
    asks, two = await said(api, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    late, four = await said(api, b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await stream.readuntil(b"begun")).startswith(b"HTTP/1.1 200")
    assert (await asks.readuntil(b"here")).startswith(b"HTTP/1.1 200")
    for begun in b"", b"GET / HTTP/1.1\r\nX: ":
        slow, three = await said(api, begun)
        with suppress(ConnectionError):
            assert await slow.read() == b""
        three.close()
    two.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await asks.readuntil(b"here")
    assert not stream.at_eof()
    assert await late.readuntil(b"\r\n\r\nlate")
    for writer in one, two, four:
        writer.close()


async def test_there_are_so_many_at_once_in_the_clear(
    api: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that opens one after the other and closes none would take the files that calls need."""
    monkeypatch.setattr(listener, "OPERATORS", 2)
    held = [await said(api, b"GET /") for _ in range(2)]
    reader, turned_away = await said(api, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    text = b""
    with suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    for _, writer in [*held, ("", turned_away)]:
        writer.close()
    for _ in range(50):  # soon there is room again
        reader, comes = await said(api, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        with suppress(ConnectionError):
            text = await reader.read()
        comes.close()
        if text:
            break
        await asyncio.sleep(0.01)
    assert text.startswith(b"HTTP/1.1 200")


async def test_what_is_no_http_is_not_logged(api: int, caplog: pytest.LogCaptureFixture) -> None:
    """No traceback for each port scan."""
    reader, writer = await said(api, b"GET / \x01 nonsense\r\nHost\r\n\r\n")
    assert b"400" in await reader.readline()
    writer.close()
    assert caplog.text == ""
