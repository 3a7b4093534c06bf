"""What only the NATS link has: credentials, TLS, and a protocol to distrust."""

from __future__ import annotations

import asyncio
import base64
import datetime
import ipaddress
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pbxfed_ari.core.names import NodeName
from pbxfed_ari.errors import ConfigError
from pbxfed_ari.links.nats import NatsEngine
from pbxfed_ari.links.wan import Access
from tests.links.rigs import HERE, KEY, Heard, NatsRig

INFO = b'INFO {"max_payload":1048576}\r\n'
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Guarded(NatsRig):
    """A server with arguments of its own, and nodes that know what it wants."""

    def __init__(self, *arguments: str, scheme: str = "nats", **access: Any) -> None:
        self.arguments = arguments
        self._scheme, self._access = scheme, access

    def url(self, port: int) -> str:
        return f"{self._scheme}://{HERE}:{port}"

    async def node(self, name: str, *, keys: Sequence[bytes] = (KEY,), **access: Any) -> Heard:
        return await super().node(name, keys=keys, **{**self._access, **access})


@pytest.mark.parametrize(
    ("arguments", "good", "bad"),
    [
        (("--auth", "sesame"), {"password": "sesame"}, {"password": "wrong"}),
        (
            ("--user", "pbx", "--pass", "sesame"),
            {"user": "pbx", "password": "sesame"},
            {"user": "pbx", "password": "wrong"},
        ),
    ],
)
async def test_credentials_open_the_door(
    arguments: tuple[str, ...], good: dict[str, Any], bad: dict[str, Any], tmp_path: Path
) -> None:
    """A token, or a user and password; wrong ones are told in the server's words."""
    async with AsyncExitStack() as stack:
        rig = Guarded(*arguments, **good)
        await rig.start(tmp_path, stack)
        stranger = await rig.node("x", **bad)
        await rig.settle(lambda: "Authorization Violation" in stranger.link.reason)
        assert not stranger.link.up


async def test_a_credentials_file_opens_the_door(tmp_path: Path) -> None:
    """JWT and NKEY, as servers with accounts and operators want it; another user's key is refused."""
    config, good, bad = an_operator(tmp_path)
    async with AsyncExitStack() as stack:
        rig = Guarded("--config", str(config), credentials=good)
        await rig.start(tmp_path, stack)
        stranger = await rig.node("x", credentials=bad)
        await rig.settle(lambda: "Authorization Violation" in stranger.link.reason)


async def test_a_credentials_file_without_a_key_is_refused() -> None:
    """And the command that writes one is named."""
    engine = NatsEngine(Access(connect=("nats://x",), credentials="nothing"), NodeName("a"))
    with pytest.raises(
        ConfigError, match=r"wan\.credentials_file: must hold .* `nsc generate creds`"
    ):
        engine.check()


async def test_tls_checks_the_server(tmp_path: Path) -> None:
    """By the authority that `wan.ca_file` names; without it a private authority is not believed."""
    certificate, key = a_server(tmp_path)
    arguments = ("--tls", "--tlscert", str(certificate), "--tlskey", str(key))
    async with AsyncExitStack() as stack:
        rig = Guarded(*arguments, scheme="tls", ca_file=certificate)
        await rig.start(tmp_path, stack)
        a, b, _ = rig.nodes
        a.broadcast(b"sealed twice")
        await rig.settle(lambda: b.frames == [b"sealed twice"])
        stranger = await rig.node("x", ca_file=None)
        await rig.settle(lambda: "certificate verify failed" in stranger.link.reason)
        assert not stranger.link.up


async def test_tls_or_nothing(tmp_path: Path) -> None:
    """Of a server without TLS nothing is asked and to it nothing is said, least of all a password."""
    said = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(INFO)
        said.extend(await reader.read())

    async with a_stand_in(serve) as port, AsyncExitStack() as stack:
        rig = alone(tmp_path, stack, "tls", port)
        node = await rig.node("x", user="pbx", password="sesame")
        await rig.settle(lambda: "no TLS" in node.link.reason)
        assert said == b""


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "another protocol"),
        (b"INFO [1]\r\n", "another protocol"),
        (b"INFO {" + bytes(100_000), "another protocol"),
        (INFO + b"MSG x 1 99999999\r\n", "a frame of 99999999 bytes"),
        (INFO + b"-ERR 'Unknown Protocol Operation'\r\n", "Unknown Protocol Operation"),
        (INFO + b"MSG x 1 minus\r\n", "another protocol"),
        (b"", "closed the connection"),
    ],
)
async def test_a_server_that_talks_nonsense_is_left(
    answer: bytes, reason: str, tmp_path: Path
) -> None:
    """Told, never raised, and tried again."""
    visits = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal visits
        visits += 1
        writer.write(answer)
        if answer:
            await reader.read()

    async with a_stand_in(serve) as port, AsyncExitStack() as stack:
        rig = alone(tmp_path, stack, "nats", port)
        node = await rig.node("x")
        await rig.settle(lambda: reason in node.link.reason and visits > 3)
        assert not node.link.up
        assert node.changes == []


async def test_a_server_that_falls_silent_is_left(tmp_path: Path) -> None:
    """The line stands and nothing comes: after SILENCE seconds the session counts as lost, and another one is made."""
    welcomed = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal welcomed
        writer.write(INFO)
        if await reader.readline():
            welcomed += 1
            writer.write(b"PONG\r\n")
        while await reader.read(1000):
            pass

    async with a_stand_in(serve) as port, AsyncExitStack() as stack:
        rig = alone(tmp_path, stack, "nats", port)
        node = await rig.node("x")
        await rig.settle(lambda: len(node.changes) >= 3)
        assert [up for up, _ in node.changes[:3]] == [True, False, True]
        assert node.changes[1][1].startswith("nothing heard for")
        assert welcomed == 2


def alone(folder: Path, stack: AsyncExitStack, scheme: str, port: int) -> Guarded:
    """A rig whose hub is ours to play."""
    rig = Guarded(scheme=scheme)
    rig.folder, rig.ports, rig.nodes = folder, [port], []
    rig._stack = stack
    return rig


@asynccontextmanager
async def a_stand_in(serve: Serve) -> AsyncIterator[int]:
    """A server that says what we want it to say; knocks at its door, which say nothing, do not count."""

    async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(each, HERE, 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()


def a_server(folder: Path) -> tuple[Path, Path]:
    """A certificate that is its own authority, and its key."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nats")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    address = x509.IPAddress(ipaddress.ip_address(HERE))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, None)
    )
    paths = (folder / "server.pem", folder / "server.key")
    paths[0].write_bytes(made.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    paths[1].write_bytes(private)
    return paths


# --- accounts of NATS: NKEYs are Ed25519 keys in base 32 with a prefix and a CRC, JWTs are signed with them

OPERATOR, ACCOUNT, USER, SEED = 14 << 3, 0, 20 << 3, 18 << 3


class Nkey:
    """A key pair of NATS's."""

    def __init__(self, kind: int) -> None:
        self.kind, self.private = kind, Ed25519PrivateKey.generate()

    @property
    def public(self) -> str:
        return _base32(bytes((self.kind,)) + self.private.public_key().public_bytes_raw())

    @property
    def seed(self) -> str:
        prefix = bytes((SEED | self.kind >> 5, (self.kind & 31) << 3))
        return _base32(prefix + self.private.private_bytes_raw())

    def issue(self, about: Nkey, name: str, kind: str, **claims: object) -> str:
        """A JWT about another key."""
        nats = {"type": kind, "version": 2, **claims}
        claim = {
            "jti": name,
            "iat": 1,
            "iss": self.public,
            "sub": about.public,
            "name": name,
            "nats": nats,
        }
        parts = [
            _base64(json.dumps(part).encode())
            for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, claim)
        ]
        text = ".".join(parts)
        return f"{text}.{_base64(self.private.sign(text.encode()))}"


def an_operator(folder: Path) -> tuple[Path, str, str]:
    """A server's configuration with an operator and an account; a user's credentials, and ones whose key is another's."""
    operator, account, user, other = Nkey(OPERATOR), Nkey(ACCOUNT), Nkey(USER), Nkey(USER)
    everything = {
        "subs": -1,
        "data": -1,
        "payload": -1,
        "imports": -1,
        "exports": -1,
        "conn": -1,
        "leaf": -1,
    }
    permitted = operator.issue(account, "pbx", "account", limits=everything)
    token = account.issue(user, "pbxfed", "user", subs=-1, data=-1, payload=-1)
    config = folder / "nats.conf"
    config.write_text(
        f"operator: {operator.issue(operator, 'test', 'operator')}\nresolver: MEMORY\n"
        f"resolver_preload: {{ {account.public}: {permitted} }}\n"
    )
    return config, _credentials(token, user.seed), _credentials(token, other.seed)


def _credentials(token: str, seed: str) -> str:
    return (
        f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


def _base32(data: bytes) -> str:
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021) & 0xFFFF if crc & 0x8000 else crc << 1
    return base64.b32encode(data + crc.to_bytes(2, "little")).decode().rstrip("=")


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
