"""One who calls with the right secret and says what he likes: any number, any name, as raw text."""

from __future__ import annotations

import contextlib
import secrets
import socket
import struct
import time

from lab.lab import Lab
from lab.netns import socket_in
from lab.sip import Sound, digest_answer
from tests.lab.conftest import SECRET

PORT, MEDIA = 5999, 9000
EXECUTED = "executed"  # a file that comes to be if anything of what we send is ever run
RUN = "/lab/" + EXECUTED
NAMES = {
    "a function": "${SHELL(touch " + RUN + ")}",
    "a quote": 'Eve\\" <sip:1003@evil>\\"',
    "a new line": "Eve%0d%0aX-PBXFED-Call: evil/1/0",
    "another line": "Eve\r\n P-Asserted-Identity: <sip:1003@evil>",
    "a variable": "Eve,__PBXFED_TRUNKS=PJSIP/1003",
    "brackets": "Eve <1003>",
    "very long": "E" * 4_000,
    "letters of elsewhere": "Ève \u043d \U0001f4de",
}


class Stranger:
    """A socket in the phones' namespace of a node that can also say who it is."""

    def __init__(self, lab: Lab, name: str, user: str) -> None:
        """`user`: as whom he authenticates."""
        node = lab.node(name)
        self.user = user
        self.here, self.there = node.phones.address, node.host.address
        self._socket = socket_in(node.phones.namespace, socket.SOCK_DGRAM)
        self._socket.bind((self.here, PORT))
        self._socket.settimeout(0.02)
        self._media = socket_in(node.phones.namespace, socket.SOCK_DGRAM)
        self._media.bind((self.here, MEDIA))

    def close(self) -> None:
        self._socket.close()
        self._media.close()

    def send(self, data: bytes) -> None:
        self._socket.sendto(data, (self.there, 5060))

    def answers(self, seconds: float) -> list[str]:
        """What comes within so long."""
        found, until = [], time.monotonic() + seconds
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                found.append(self._socket.recv(65_536).decode(errors="replace"))
        return found

    def status(self, call: str, seconds: float) -> str:
        """The final answer to a call, such as `404`; "" if there is none in time."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for answer in self.answers(0.02):
                if f"Call-ID: {call}" in answer and not answer.startswith("SIP/2.0 1"):
                    self._last = answer
                    return answer.split()[1]
        return ""

    def invite(
        self, number: str, name: str = "Eve", seconds: float = 4.0, *, silent: bool = False
    ) -> str:
        """Call this number under this name, with the right secret: the final status. Whoever answers is hung up.

        `silent`: without having sent any sound.
        """
        call, tag = secrets.token_hex(8), secrets.token_hex(4)
        target = f"sip:{number}@{self.there}"
        self._ask("INVITE", target, call, tag, 1, name)
        if (status := self.status(call, 0.6)) != "401":
            return status
        extra = self._proof("INVITE", target)
        self._ask("ACK", target, call, tag, 1, name, to=field(self._last, "to"))
        self._ask("INVITE", target, call, tag, 2, name, extra=extra)
        status = self.status(call, seconds)
        to = field(self._last, "to")
        self._ask("ACK", target, call, tag, 2, name, to=to)
        if status == "200":
            if not silent:
                self._speak()
            self._ask("BYE", target, call, tag, 3, name, to=to)
            self.status(call, 0.5)
        return status

    def write(self, number: str) -> str:
        """Send a text message (RFC 3428), with the right secret if there is one: the final status."""
        call, tag = secrets.token_hex(8), secrets.token_hex(4)
        target = f"sip:{number}@{self.there}"
        said = "Content-Type: text/plain\r\n"
        self._ask("MESSAGE", target, call, tag, 1, "Eve", extra=said)
        if self.status(call, 2.0) == "401":
            extra = said + self._proof("MESSAGE", target)
            self._ask("MESSAGE", target, call, tag, 2, "Eve", extra=extra)
        return self.status(call, 2.0) or self._last.split()[1]

    def _proof(self, method: str, target: str) -> str:
        """Whose secret is known, to who has just asked for it."""
        challenge = field(self._last, "www-authenticate")
        answer = digest_answer(
            challenge, user=self.user, secret=SECRET, method=method, target=target
        )
        return f"Authorization: {answer}\r\n"

    def _speak(self) -> None:
        """Silence, as sound. Asterisk waits half a second for it when it answers."""
        sound = Sound.of(self._last.partition("\r\n\r\n")[2])
        assert sound is not None
        for number in range(5):
            packet = struct.pack("!BBHII", 0x80, 0, number, 160 * number, 7) + b"\xff" * 160
            self._media.sendto(packet, (sound.host, sound.port))
            time.sleep(0.01)

    def _ask(
        self,
        method: str,
        target: str,
        call: str,
        tag: str,
        number: int,
        name: str,
        *,
        extra: str = "",
        to: str = "",
    ) -> None:
        branch = f"z9hG4bK{call}{number}{'' if method != 'BYE' else 'b'}"
        self.send(
            f"{method} {target} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self.here}:{PORT};branch={branch}\r\n"
            f'From: "{name}" <sip:{self.user}@{self.there}>;tag={tag}\r\n'
            f"To: {to or f'<{target}>'}\r\nCall-ID: {call}\r\nCSeq: {number} {method}\r\n"
            f"Contact: <sip:{self.user}@{self.here}:{PORT}>\r\nMax-Forwards: 70\r\n{extra}".encode()
            + (b"" if method != "INVITE" else b"Content-Type: application/sdp\r\n")
            + _body(self.here if method == "INVITE" else "")
        )


def _body(host: str) -> bytes:
    lines = ["v=0", f"o=x 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0"]
    text = "\r\n".join([*lines, f"m=audio {MEDIA} RTP/AVP 0", ""]) if host else ""
    return f"Content-Length: {len(text)}\r\n\r\n{text}".encode()


def field(message: str, name: str) -> str:
    """The first field of a name in a message."""
    line = next(line for line in message.splitlines() if line.lower().startswith(f"{name}:"))
    return line.partition(":")[2].strip()
