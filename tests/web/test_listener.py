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


async def test_who_operates_the_node_takes_no_more_connections_than_there_are_for_that() -> None:
    """A program that opens one after the other and closes none would take the files that calls need."""
    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    assert runner.server is not None
    loop = asyncio.get_running_loop()
    server = await loop.create_server(listener.bounded(runner.server, 2), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    open_: list[asyncio.StreamWriter] = []

    async def said() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        open_.append(writer)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with suppress(ConnectionError):
            return await asyncio.wait_for(reader.read(12), 10)
        return b""

    assert [await said() for _ in range(3)] == [b"HTTP/1.1 200", b"HTTP/1.1 200", b""]
    open_[0].close()
    text = b""
    for _ in range(50):  # soon there is room again
        if text := await said():
            break
        await asyncio.sleep(0.01)
    assert text == b"HTTP/1.1 200"
    for writer in open_:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    server.close()
    await runner.cleanup()
