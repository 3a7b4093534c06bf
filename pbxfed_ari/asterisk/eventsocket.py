"""The event websocket of ARI: each event is handed on in the moment it comes, without a task being woken for it.

The protocol is picows'. One in a hundred events is sent in pieces (RFC 6455 §5.4); they are joined here.
"""

import asyncio
import logging
from collections.abc import Callable

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

# Who calls while nothing is heard waits ten seconds in the dialplan: he shall be found before that
IDLE = 4.0  # seconds without a word after which the other end is asked for a sign of life
REPLY = 3.0  # seconds for it
# seconds for the handshake. What was given up must not stay open, as picows leaves it: an Asterisk that wakes takes it, and
# would give it the application
OPENS = 2.5
LARGEST = 256 * 1024 * 1024  # bytes of an event; Asterisk knows no limit
QUIET = logging.getLogger("picows")  # at debug it would write the password, at info each connection
QUIET.setLevel(logging.WARNING)
PIECES = (WSMsgType.TEXT, WSMsgType.CONTINUATION)


class EventSocket(WSListener):
    """One connection, from `connect` to `close`."""

    def __init__(self, heard: Callable[[bytes], None]) -> None:
        self._heard = heard
        self._pieces: list[bytes] = []
        self._transport: WSTransport | None = None
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def connect(
        cls, url: str, headers: dict[str, str], heard: Callable[[bytes], None]
    ) -> "EventSocket":
        """Open it; `heard` is given the bytes of each event.

        Raises: WSError (of which WSHandshakeError has the `response`), TimeoutError, OSError.
        """
        _, socket = await ws_connect(
            lambda: cls(heard),
            url,
            extra_headers=headers,
            websocket_handshake_timeout=OPENS,
            enable_auto_ping=True,
            auto_ping_idle_timeout=IDLE,
            auto_ping_reply_timeout=REPLY,
            max_frame_size=LARGEST,
            max_redirects=0,
            use_aiofastnet=False,
            logger_name=QUIET,
        )
        if not isinstance(socket, cls):
            raise ConnectionResetError("closed before it was open")
        return socket

    async def end(self) -> None:
        """Wait until it is closed by the other end or lost. Raises: whatever `heard` has raised."""
        await asyncio.shield(self._gone)

    def close(self) -> None:
        """Take leave, and wait for nobody: the other end may hang."""
        if self._transport is not None and not self._gone.done():
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect()

    # --- WSListener

    def on_ws_connected(self, transport: WSTransport) -> None:
        """It is open."""
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """An event, a piece of one, or the end."""
        kind = frame.msg_type
        if kind in PIECES:
            if not frame.fin:
                self._pieces.append(frame.get_payload_as_bytes())
                return
            whole = frame.get_payload_as_bytes()
            if self._pieces:
                whole = b"".join((*self._pieces, whole))
                self._pieces.clear()
            try:
                self._heard(whole)
            except Exception as error:
                if not self._gone.done():
                    self._gone.set_exception(error)
                transport.disconnect()
        elif kind is WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """It is over."""
        if not self._gone.done():
            self._gone.set_result(None)
