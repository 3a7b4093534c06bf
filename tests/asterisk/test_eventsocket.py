"""The event websocket: whole events, no secrets in the log, and a mistake is heard of."""

import asyncio
import base64
import hashlib
import logging
import re
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from picows import WSMsgType

from lab.places import CHECKOUT
from pbxfed_ari.asterisk import eventsocket
from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.eventsocket import EventSocket
from tests.asterisk.fake import FakeAri

DIALPLAN = CHECKOUT / "dialplan"
MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3


def frame(kind: WSMsgType, data: bytes, *, fin: bool = True) -> Any:
    return SimpleNamespace(msg_type=kind, fin=fin, get_payload_as_bytes=lambda: data)


async def test_pieces_are_one_event() -> None:
    """Asterisk sends some events so (RFC 6455 §5.4)."""
    heard: list[bytes] = []
    socket, transport = EventSocket(heard.append), Any
    for one in (
        frame(WSMsgType.TEXT, b"one"),
        frame(WSMsgType.TEXT, b"t", fin=False),
        frame(WSMsgType.CONTINUATION, b"w", fin=False),
        frame(WSMsgType.CONTINUATION, b"o"),
        frame(WSMsgType.TEXT, b"three"),
    ):
        socket.on_ws_frame(transport, one)  # type: ignore[arg-type]
    assert heard == [b"one", b"two", b"three"]


async def test_a_mistake_of_whoever_hears_ends_it() -> None:
    """And is told to who waits for its end."""

    def heard(event: bytes) -> None:
        raise ValueError(event.decode())

    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        socket = await ari.events(heard)
        await fake.send("oh")
        async with asyncio.timeout(5):
            with pytest.raises(ValueError, match="oh"):
                await socket.end()


async def test_who_is_hung_up_on_before_it_is_open_is_told_so() -> None:
    """As by an Asterisk that dies at that moment: it does not answer, and is asked again."""

    async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hangs_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with AriClient(f"http://127.0.0.1:{port}", "pbxfed", "right") as ari:
            with pytest.raises(OSError, match="closed"):
                await ari.events(lambda event: None)


@pytest.mark.parametrize("patience", [0.03, 5.0])
async def test_what_an_asterisk_that_hangs_does_not_open_is_closed(
    monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    """Whoever gives it up, it or who connects: else Asterisk, when it wakes, would give it the application."""
    monkeypatch.setattr(eventsocket, "OPENS", 0.05)
    closed = asyncio.Event()

    async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await reader.read()
                closed.set()
        writer.close()

    async with await asyncio.start_server(hangs, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with AriClient(f"http://127.0.0.1:{port}", "pbxfed", "right") as ari:
            with pytest.raises((TimeoutError, OSError)):
                async with asyncio.timeout(patience):
                    await ari.events(lambda event: None)
            async with asyncio.timeout(6):
                await closed.wait()


async def test_its_password_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Not even where everything is logged; nor is each connection told of."""
    caplog.set_level(1)
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        socket = await ari.events(lambda event: None)
        socket.close()
        async with asyncio.timeout(5):
            await socket.end()
    assert base64.b64encode(b"pbxfed:right").decode() not in caplog.text
    assert [
        r for r in caplog.records if r.name.startswith("picows") and r.levelno < logging.WARNING
    ] == []


async def test_a_socket_by_which_nothing_comes_is_lost_before_a_call_that_nobody_hears_of_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Asterisk answers all requests, only its events hang: no ping of ARI tells that."""
    patience = re.findall(r"TIMEOUT\(absolute\)=(\d+)", (DIALPLAN / "extensions.conf").read_text())
    waits = min(int(seconds) for seconds in patience if int(seconds))
    assert waits - 2.0 > eventsocket.IDLE + eventsocket.REPLY
    monkeypatch.setattr(eventsocket, "IDLE", 0.02)
    monkeypatch.setattr(eventsocket, "REPLY", 0.02)

    async def opens(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = re.findall(r"(?i)Sec-WebSocket-Key: (\S+)", request)[0]
        accept = hashlib.sha1(f"{key}{MAGIC}".encode(), usedforsecurity=False).digest()
        answer = f"Sec-WebSocket-Accept: {base64.b64encode(accept).decode()}\r\n\r\n"
        upgrade = "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        writer.write(f"{upgrade}{answer}".encode())
        await reader.read()
        writer.close()

    async with await asyncio.start_server(opens, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with AriClient(f"http://127.0.0.1:{port}", "pbxfed", "right") as ari:
            socket = await ari.events(lambda event: None)
            async with asyncio.timeout(10):
                await socket.end()
