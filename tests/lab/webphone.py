"""A WebRTC client: SIP by secure WebSocket, ICE, DTLS-SRTP; it answers, speaks a tone and keeps what it hears.

    python -m tests.lab.webphone WSS-URL NUMBER SECRET DOMAIN CERTIFICATE HERTZ HEARD.wav

SIP over WebSocket is RFC 7118, its SDP RFC 8829; the media are aiortc's. As a browser, it has no address at which SIP could
reach it: its Contact is a made-up name (RFC 7118 §5.2.1), and its connection the way back.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import secrets
import ssl
import struct
import sys
import wave
from pathlib import Path

import aiohttp
from aiortc import AudioStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

from lab.sip import Message, digest_answer, tag

AMPLITUDE = 12_000
EXPIRES = 300  # seconds; longer than a test, so it is not renewed
PING, PONG = "\r\n\r\n", "\r\n"
ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE"


class Tone(AudioStreamTrack):
    """One steady tone, in the place and at the pace of aiortc's silence."""

    def __init__(self, hertz: int) -> None:
        super().__init__()
        self._hertz = hertz

    async def recv(self) -> AudioFrame:
        """The next 20 ms, when they are due."""
        frame = await super().recv()
        assert isinstance(frame, AudioFrame)
        assert frame.pts is not None
        step = 2 * math.pi * self._hertz / frame.sample_rate
        numbers = range(frame.pts, frame.pts + frame.samples)
        samples = [round(AMPLITUDE * math.sin(step * n)) for n in numbers]
        frame.planes[0].update(struct.pack(f"<{len(samples)}h", *samples))
        return frame


class Call:
    """The media of one call. There is no STUN server: the lab's addresses are as they look."""

    def __init__(self, hertz: int) -> None:
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._connection.addTrack(Tone(hertz))

    async def answer(self, offer: str) -> str:
        """Our answer to an offer, all candidates in it; ICE and DTLS begin."""
        await self._connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await self._connection.setLocalDescription(await self._connection.createAnswer())
        return str(self._connection.localDescription.sdp)

    async def hear(self, path: Path) -> None:
        """Write what is heard until the call ends; the file is there when it is whole."""
        track, unfinished = self._connection.getReceivers()[0].track, path.with_suffix(".new")
        with wave.open(str(unfinished), "wb") as out:
            out.setparams((1, 2, 8_000, 0, "NONE", ""))
            while True:
                try:
                    frame = await track.recv()
                except MediaStreamError:
                    break
                assert isinstance(frame, AudioFrame)
                assert (frame.sample_rate, frame.layout.name) == (8_000, "mono")
                out.writeframes(bytes(frame.planes[0])[: 2 * frame.samples])
        unfinished.replace(path)

    async def end(self) -> None:
        """Close it."""
        print("ended, having been", self._connection.connectionState, flush=True)
        await self._connection.close()


class WebPhone:
    """One account on one WebSocket."""

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse, number: str, secret: str, domain: str
    ) -> None:
        self._socket, self._number, self._secret, self._domain = socket, number, secret, domain
        self._host = f"{secrets.token_hex(6)}.invalid"
        self._contact = f"<sip:{number}@{self._host};transport=ws>"
        self._from = f"<sip:{number}@{domain}>;tag={secrets.token_hex(4)}"
        self._registration = f"{secrets.token_hex(8)}@{self._host}"
        self._sequence = itertools.count(1)
        self._calls: dict[str, Call] = {}

    async def run(self, hertz: int, path: Path) -> None:
        """Register, then do what is asked until the connection closes."""
        await self._register()
        async with asyncio.TaskGroup() as group:
            async for frame in self._socket:
                if not frame.data.strip():
                    await self._alive(frame.data)
                    continue
                message = Message.parse(str(frame.data).encode())
                print(message.start, flush=True)
                if not message.is_response:
                    await self._asked(message, hertz, path, group)
                elif message.status == 401:
                    await self._register(message.get("www-authenticate"))
                elif message.status != 200:
                    raise SystemExit(f"not registered: {message.status_text}")

    async def _alive(self, said: str) -> None:
        """A ping is answered, a pong is an answer (RFC 5626 §3.5.1)."""
        if said == PING:
            await self._socket.send_str(PONG)

    async def _register(self, challenge: str = "") -> None:
        target = f"sip:{self._domain}"
        headers = [
            ("via", f"SIP/2.0/WSS {self._host};branch=z9hG4bK{secrets.token_hex(8)}"),
            ("max-forwards", "70"),
            ("from", self._from),
            ("to", f"<sip:{self._number}@{self._domain}>"),
            ("call-id", self._registration),
            ("cseq", f"{next(self._sequence)} REGISTER"),
            ("contact", self._contact),
            ("expires", str(EXPIRES)),
            ("supported", "outbound"),
        ]
        if challenge:
            said = digest_answer(
                challenge, user=self._number, secret=self._secret, method="REGISTER", target=target
            )
            headers.append(("authorization", said))
        await self._send(Message(f"REGISTER {target} SIP/2.0", headers))

    async def _asked(
        self, request: Message, hertz: int, path: Path, group: asyncio.TaskGroup
    ) -> None:
        name = request.get("call-id")
        if request.method == "INVITE" and not tag(request.get("to")):
            self._calls[name] = call = Call(hertz)
            await self._answer(request, await call.answer(request.body))
            group.create_task(call.hear(path))
        elif request.method != "ACK":
            await self._answer(request)
            if request.method == "BYE":
                await self._calls.pop(name).end()

    async def _answer(self, request: Message, sdp: str = "") -> None:
        copied = ("via", "record-route", "from", "call-id", "cseq")
        headers = [(name, value) for name, value in request.headers if name in copied]
        to = request.get("to")
        ours = "" if tag(to) else f";tag={secrets.token_hex(4)}"
        headers += [("to", to + ours), ("contact", self._contact), ("allow", ALLOW)]
        if sdp:
            headers.append(("content-type", "application/sdp"))
        await self._send(Message("SIP/2.0 200 OK", headers, sdp))

    async def _send(self, message: Message) -> None:
        await self._socket.send_str(message.render().decode())


async def main(
    url: str, number: str, secret: str, domain: str, certificate: str, hertz: str, heard: str
) -> None:
    """Only this certificate is believed, for the address that is in it."""
    believed = ssl.create_default_context(cafile=certificate)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, protocols=("sip",), ssl=believed) as socket,
    ):
        print("connected:", socket.protocol, flush=True)
        await WebPhone(socket, number, secret, domain).run(int(hertz), Path(heard))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
