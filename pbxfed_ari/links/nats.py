"""The WAN link through a NATS server or cluster that is there already: for fleets that run one.

The client protocol is lines of text (docs.nats.io, "Client Protocol"), and of it we need nine words:

    server: INFO {…} · MSG topic sid size · PING · PONG · -ERR text      client: CONNECT {…} · SUB · UNSUB · PUB · PING · PONG

`tls://` means TLS or nothing: a server that does not ask for it is refused before anything secret is said. Frames are sealed in
any case; TLS keeps the credentials and the topics to ourselves.
"""

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import Sequence
from typing import cast
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pbxfed_ari import __version__
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.errors import ConfigError
from pbxfed_ari.links.wan import (
    CLOSING,
    PATIENCE,
    SILENCE,
    Access,
    Door,
    Engine,
    LinkDown,
    Owner,
    Session,
    knock,
)

PORT = 4222
LONGEST = 65_536  # bytes of a line or of a frame from the server
WAITING = 1024 * 1024  # bytes that may wait for a slow line; what comes then is dropped
SEED = 32  # bytes of an Ed25519 seed within an NKEY, after two bytes of prefix


class NatsEngine(Engine):
    """Opens NATS sessions."""

    separator = "."

    def __init__(self, access: Access, me: NodeName) -> None:
        self._access, self._me = access, me
        self._secure = {door_of(url): urlsplit(url).scheme == "tls" for url in access.connect}
        self._tls = ssl.create_default_context()

    def check(self) -> None:
        """Are the files such as we can use?

        Raises: ConfigError.
        """
        access = self._access
        try:
            if access.ca_file is not None:
                self._tls = ssl.create_default_context(cafile=access.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"wan.ca_file = {access.ca_file}: {error.strerror}; it must hold certificates, PEM"
            ) from None
        if access.credentials is not None:
            sign(access.credentials, "")

    async def connect(self, owner: Owner) -> Session:
        """A session with the first server that answers."""
        door, _ = await knock(list(self._secure))
        session = NatsSession(owner)
        try:
            async with asyncio.timeout(PATIENCE):
                await self._greet(session, door)
        except (OSError, TimeoutError, ValueError) as error:
            session.abort()
            raise LinkDown(f"{door[0]}:{door[1]}: {str(error) or type(error).__name__}") from None
        except BaseException:
            session.abort()
            raise
        session.begin(f"connected to {door[0]}:{door[1]}")
        return session

    async def _greet(self, session: "NatsSession", door: Door) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: session, *door)
        info = await session.introduced
        if self._secure[door] and not (info.get("tls_required") or info.get("tls_available")):
            raise ConnectionError("the server has no TLS, and wan.connect says tls://")
        if self._secure[door] or info.get("tls_required"):
            await session.start_tls(self._tls, door[0])
        session.say(f"CONNECT {json.dumps(self._introduction(info))}", "PING")
        await session.welcomed

    def _introduction(self, info: dict[str, object]) -> dict[str, object]:
        """What CONNECT says of us. `echo` false: our own frames do not come back."""
        access = self._access
        said: dict[str, object] = {
            "verbose": False,
            "pedantic": False,
            "echo": False,
            "lang": "pbxfed",
            "version": __version__,
            "name": f"pbxfed {self._me}",
        }
        if access.credentials is not None:
            said |= sign(access.credentials, str(info.get("nonce", "")))
        elif access.user is not None:
            said |= {"user": access.user, "pass": access.password or ""}
        elif access.password is not None:
            said["auth_token"] = access.password
        return said


class NatsSession(Session, asyncio.Protocol):
    """One connection with a server."""

    def __init__(self, owner: Owner) -> None:
        loop = asyncio.get_running_loop()
        self.introduced: asyncio.Future[dict[str, object]] = loop.create_future()
        self.welcomed: asyncio.Future[None] = loop.create_future()  # it has taken our credentials
        self._gone: asyncio.Future[None] = loop.create_future()
        self._loop, self._owner = loop, owner
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._payload: int | None = None  # bytes of the frame that comes next, if one does
        self._topics: dict[str, int] = {}  # topic → the number it is known by
        self._next_number = 1
        self._heard = True  # anything, since the last look
        self._asked = False  # for a sign of life, at the last look
        self._watch: asyncio.TimerHandle | None = None
        self._begun = False

    def begin(self, reason: str) -> None:
        """The session works: look after it from now on."""
        self._begun = True
        self._owner.reaches(True, reason)
        self._look()

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Go on encrypted.

        Raises: OSError, of which ssl.SSLError is one.
        """
        assert self._transport is not None
        plain = self._transport
        made = await self._loop.start_tls(plain, self, context, server_hostname=host)
        assert made is not None
        self._transport = made

    # --- Session

    def subscribe(self, topics: Sequence[str]) -> None:
        """Take frames of these topics, and of no others, from now on."""
        for topic in set(self._topics) - set(topics):
            self.say(f"UNSUB {self._topics.pop(topic)}")
        for topic in set(topics) - set(self._topics):
            self._topics[topic] = self._next_number
            self.say(f"SUB {topic} {self._next_number}")
            self._next_number += 1

    def publish(self, topic: str, frame: bytes) -> bool:
        """Send a frame, unless too much waits already."""
        transport = self._transport
        if transport is None or transport.get_write_buffer_size() > WAITING:
            return False
        transport.write(b"PUB %s %d\r\n%s\r\n" % (topic.encode(), len(frame), frame))
        return True

    async def close(self) -> None:
        """Say what is left to say, and go; a line that is dead is cut off."""
        self._begun = False
        if self._transport is not None:
            self._transport.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSING):
                    await asyncio.shield(self._gone)
        self.abort()

    def abort(self) -> None:
        """Go at once."""
        self._begun = False
        if self._watch is not None:
            self._watch.cancel()
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        for future in (self.introduced, self.welcomed):
            future.cancel()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The line is ours to use."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def connection_lost(self, exc: Exception | None) -> None:
        """The line is gone."""
        if not self._gone.done():
            self._gone.set_result(None)
        self._fail(str(exc) if exc else "the server has closed the connection")

    def data_received(self, data: bytes) -> None:
        """Take apart what has come: lines, and frames between them."""
        self._heard = True
        self._buffer += data
        while True:
            if self._payload is not None:
                if len(self._buffer) < self._payload + 2:
                    return
                frame = bytes(self._buffer[: self._payload])
                del self._buffer[: self._payload + 2]
                self._payload = None
                self._owner.received(frame)
                continue
            line, end, rest = self._buffer.partition(b"\r\n")
            if not end:
                if len(self._buffer) > LONGEST:
                    self._fail("the server speaks another protocol")
                return
            self._buffer = rest
            if not self._take(line):
                return

    # --- helpers

    def say(self, *lines: str) -> None:
        """Send lines."""
        if self._transport is not None:
            self._transport.write("".join(f"{line}\r\n" for line in lines).encode())

    def _take(self, line: bytearray) -> bool:
        """One line from the server. False: it ended the session."""
        word, _, rest = bytes(line).partition(b" ")
        match word.upper():
            case b"MSG" if rest.rpartition(b" ")[2].isdigit():
                self._payload = int(rest.rpartition(b" ")[2])
                if self._payload > LONGEST:
                    return self._fail(f"a frame of {self._payload} bytes")
            case b"PING":
                self.say("PONG")
            case b"PONG":
                if not self.welcomed.done():
                    self.welcomed.set_result(None)
            case b"INFO":
                return self._info(rest)
            case b"-ERR":
                return self._fail(rest.decode(errors="replace").strip("' "))
            case b"+OK":
                pass
            case _:
                return self._fail("the server speaks another protocol")
        return True

    def _info(self, text: bytes) -> bool:
        try:
            info = json.loads(text)
        except ValueError:
            info = None
        if not isinstance(info, dict):
            return self._fail("the server speaks another protocol")
        if not self.introduced.done():
            self.introduced.set_result(info)
        return True

    def _look(self) -> None:
        """Three looks in SILENCE: what is not heard of at one is asked for a sign of life, and lost at the next."""
        if self._heard:
            self._asked = False
        elif self._asked:
            self._fail(f"nothing heard for {SILENCE:g} s")
            return
        else:
            self._asked = True
            self.say("PING")
        self._heard = False
        self._watch = self._loop.call_later(SILENCE / 3, self._look)

    def _fail(self, reason: str) -> bool:
        """The session is over. Always False."""
        for future in (self.introduced, self.welcomed):
            if not future.done():
                future.set_exception(ConnectionError(reason))
                future.exception()  # nobody may be waiting for it any more
        if self._begun:
            self._begun = False
            self._owner.lost(reason)
        self.abort()
        return False


def door_of(url: str) -> Door:
    """Host and port of nats://host:port or tls://host:port."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or PORT


def sign(credentials: str, nonce: str) -> dict[str, object]:
    """What CONNECT says with a credentials file: its JWT, and the nonce signed with its NKEY (Ed25519).

    Raises: ConfigError.
    """
    lines = [line.strip() for line in credentials.splitlines()]
    found = {
        kind: lines[i + 1]
        for i, line in enumerate(lines[:-1])
        for kind in ("USER JWT", "USER NKEY SEED")
        if line.startswith("-----BEGIN") and kind in line
    }
    try:
        padded = found["USER NKEY SEED"] + "=" * (-len(found["USER NKEY SEED"]) % 8)
        seed = base64.b32decode(padded)[2 : 2 + SEED]
        key = Ed25519PrivateKey.from_private_bytes(seed)
        jwt = found["USER JWT"]
    except (KeyError, ValueError):
        raise ConfigError(
            "wan.credentials_file: must hold a user's JWT and NKEY seed, as `nsc generate creds` writes them"
        ) from None
    signature = base64.urlsafe_b64encode(key.sign(nonce.encode())).rstrip(b"=").decode()
    return {"jwt": jwt, "sig": signature}
