"""SIP as text: messages, header fields, digest answers. No sockets, no timers.

As much of RFC 3261 and RFC 2617 as a desk phone needs, and no more.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

COMPACT = {
    "v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "c": "content-type",
    "l": "content-length", "k": "supported", "s": "subject", "e": "content-encoding",
}  # fmt: skip
CODECS = {0: "PCMU", 8: "PCMA"}  # by RTP payload type (RFC 3551 §6)
KEYS = 101  # the RTP payload type of keys that are pressed
HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a message goes, or came from: address, port, and `udp` or `tcp`."""

    host: str
    port: int = 5060
    transport: str = "udp"

    def __str__(self) -> str:
        return f"{self.host}:{self.port} by {self.transport.upper()}"


@dataclass(slots=True)
class Message:
    """A request or a response: start line, header fields in order, body."""

    start: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: str = ""

    @classmethod
    def parse(cls, data: bytes) -> Message:
        """Read a datagram. Raises ValueError if it is not SIP."""
        head, _, body = data.decode("utf-8", errors="replace").partition("\r\n\r\n")
        start, *lines = head.split("\r\n")
        if "SIP/2.0" not in start:
            raise ValueError(f"not SIP: {start[:40]!r}")
        headers: list[tuple[str, str]] = []
        for line in lines:
            if line[:1] in " \t" and headers:
                headers[-1] = (headers[-1][0], headers[-1][1] + " " + line.strip())
                continue
            name, _, value = line.partition(":")
            name = name.strip().lower()
            headers.append((COMPACT.get(name, name), value.strip()))
        return cls(start, headers, body)

    def render(self) -> bytes:
        """The datagram."""
        body = self.body.encode()
        lines = [self.start, *(f"{name.title()}: {value}" for name, value in self.headers)]
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body

    def get(self, name: str) -> str:
        """The first field of a name, or nothing."""
        return next((value for known, value in self.headers if known == name), "")

    def all(self, name: str) -> list[str]:
        """Every field of a name, in order."""
        return [value for known, value in self.headers if known == name]

    @property
    def is_response(self) -> bool:
        """A response has a status; a request has a method."""
        return self.start.startswith("SIP/2.0")

    @property
    def status(self) -> int:
        """The number of a response."""
        return int(self.start.split(" ", 2)[1])

    @property
    def status_text(self) -> str:
        """Number and reason, as a person would say it: `404 Not Found`."""
        return self.start.split(" ", 1)[1]

    @property
    def method(self) -> str:
        """What a request asks, or what a response answers."""
        return self.get("cseq").split()[-1] if self.is_response else self.start.split(" ", 1)[0]

    @property
    def branch(self) -> str:
        """The transaction's name, in the topmost Via."""
        return parameter(self.get("via"), "branch")


def parameter(value: str, name: str) -> str:
    """A parameter of a header field, or nothing."""
    found = re.search(rf";\s*{name}\s*=\s*([^;,\s>]+)", value, re.IGNORECASE)
    return found.group(1) if found else ""


def tag(value: str) -> str:
    """The tag of a From or To field."""
    return parameter(value.rpartition(">")[2] or value, "tag")


_QUOTED = re.compile(r'\s*"((?:[^"\\]|\\.)*)"')  # RFC 3261 §25.1: quoted-string


def uri(value: str) -> str:
    """The URI of a name-addr or addr-spec."""
    value = _QUOTED.sub("", value, count=1)
    found = re.search(r"<([^>]*)>", value)
    return found.group(1) if found else value.split(";")[0].strip()


def user(value: str) -> str:
    """The user part of a field's URI."""
    found = re.match(r"sips?:([^@;]*)@", uri(value))
    return found.group(1) if found else ""


def display_name(value: str) -> str:
    """What stands before the URI, without its quotes and what they escape."""
    if quoted := _QUOTED.match(value):
        return re.sub(r"\\(.)", r"\1", quoted.group(1))
    return value.partition("<")[0].strip().strip('"') if "<" in value else ""


def target_of(value: str) -> Target:
    """Where a URI with an address points. Raises ValueError if it has no host."""
    found = re.match(r"sips?:(?:[^@]*@)?([\d.]+|[^:;>]+)(?::(\d+))?", uri(value))
    if not found:
        raise ValueError(f"no host in {value!r}")
    return Target(
        found.group(1), int(found.group(2) or 5060), parameter(uri(value), "transport") or "udp"
    )


def digest_answer(challenge: str, *, user: str, secret: str, method: str, target: str) -> str:
    """The Authorization field that answers a challenge. Raises ValueError for what we cannot do."""
    found = re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]+))', challenge)
    asked = {name.lower(): quoted or bare for name, quoted, bare in found}
    algorithm = asked.get("algorithm", "MD5")
    if algorithm.upper() not in HASHES:
        raise ValueError(f"unknown digest algorithm {algorithm}")

    def h(text: str) -> str:
        return HASHES[algorithm.upper()](text.encode()).hexdigest()

    realm, nonce = asked.get("realm", ""), asked.get("nonce", "")
    first, second = h(f"{user}:{realm}:{secret}"), h(f"{method}:{target}")
    fields = f'username="{user}", realm="{realm}", nonce="{nonce}", uri="{target}"'
    if "auth" in asked.get("qop", "").split(","):
        count, ours = "00000001", h(f"{nonce}{target}")[:16]
        answer = h(f"{first}:{nonce}:{count}:{ours}:auth:{second}")
        fields += f', qop=auth, nc={count}, cnonce="{ours}"'
    else:
        answer = h(f"{first}:{nonce}:{second}")
    if "opaque" in asked:
        fields += f', opaque="{asked["opaque"]}"'
    return f'Digest {fields}, response="{answer}", algorithm={algorithm}'


@dataclass(frozen=True, slots=True)
class Sound:
    """Where the other side wants to hear us, whether it speaks and listens, and in which codecs, best first."""

    host: str
    port: int
    direction: str = "sendrecv"
    codecs: tuple[int, ...] = (0,)

    @classmethod
    def of(cls, body: str) -> Sound | None:
        """Read an SDP body; None if it offers no audio."""
        host, port, direction = "", 0, "sendrecv"
        codecs: tuple[int, ...] = ()
        for line in body.splitlines():
            if line.startswith("c=IN IP4 "):
                host = line.split()[2]
            elif line.startswith("m=audio "):
                port = int(line.split()[1])
                codecs = tuple(int(kind) for kind in line.split()[3:] if int(kind) in CODECS)
            elif line[2:] in ("sendrecv", "sendonly", "recvonly", "inactive"):
                direction = line[2:]
        return cls(host, port, direction, codecs) if host and port else None

    def common(self, codecs: tuple[int, ...]) -> tuple[int, ...]:
        """Of these codecs those that it offers, in its order."""
        return tuple(codec for codec in self.codecs if codec in codecs)

    def sdp(self, version: int) -> str:
        """Our own description: G.711 in packets of 20 ms, and keys as events (RFC 4733)."""
        lines = [
            "v=0",
            f"o=phone 1 {version} IN IP4 {self.host}",
            "s=-",
            f"c=IN IP4 {self.host}",
            "t=0 0",
        ]
        lines += [
            f"m=audio {self.port} RTP/AVP {' '.join(map(str, self.codecs))} {KEYS}",
            *(f"a=rtpmap:{codec} {CODECS[codec]}/8000" for codec in self.codecs),
            f"a=rtpmap:{KEYS} telephone-event/8000",
            f"a=fmtp:{KEYS} 0-15",
            "a=ptime:20",
            f"a={self.direction}",
        ]
        return "\r\n".join(lines) + "\r\n"
