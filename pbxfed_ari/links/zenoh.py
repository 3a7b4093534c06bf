"""The WAN link through zenoh (its protocol runs in this process; no server is needed).

A node with `wan.listen` is a rendezvous: a zenoh router that others dial; several of them connect to one another, and any one
suffices. All other nodes are zenoh clients: they dial out, so they may stand behind NAT. Both sides show certificates that come
of the federation's key (certificates.py).

Nothing is scouted by multicast. zenoh calls back from threads of its own; here everything is handed to the asyncio loop. It
keeps those threads, and a connection of its own, until the process ends.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import zenoh

from pbxfed_ari.core.names import certified_name
from pbxfed_ari.errors import ConfigError
from pbxfed_ari.links.wan import (
    SILENCE,
    Access,
    Door,
    Engine,
    LinkDown,
    Owner,
    Session,
    door_of,
    knock,
)

OPENING = {
    "router": 2_000,
    "client": 5_000,
}  # ms for TCP, TLS and zenoh's greeting: four round trips
REDIAL = 100  # ms until a rendezvous dials another one again
QUEUE = 16  # batches of 64 KiB that may wait for a slow line; what comes then is dropped
log = logging.getLogger(__name__)


class ZenohEngine(Engine):
    """Opens zenoh sessions."""

    separator = "/"

    def __init__(self, access: Access, tag: str, certificates: Path) -> None:
        """`certificates` is the folder with ca.pem, node.pem and node.key."""
        self._access, self._tag, self._certificates = access, tag, certificates
        self._doors = [door_of(text) for text in access.connect]

    def check(self) -> None:
        """May we listen where we shall?

        Raises: ConfigError.
        """
        if self._access.listen is None:
            return
        try:
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(door_of(self._access.listen))
        except OSError as error:
            raise ConfigError(
                f"wan.listen = {self._access.listen!r}: {error.strerror}; "
                "it must be an address of this machine and the port free"
            ) from None

    async def connect(self, owner: Owner) -> Session:
        """A router at once, or a client as soon as a rendezvous answers."""
        if self._access.listen is not None:
            return await self._open(owner, "router", self._doors)
        _, address = await knock(self._doors)
        return await self._open(owner, "client", [address])

    async def _open(self, owner: Owner, mode: str, doors: Sequence[Door]) -> "ZenohSession":
        loop = asyncio.get_running_loop()
        config = zenoh.Config.from_json5(json.dumps(self._config(mode, doors)))
        opening = loop.run_in_executor(None, zenoh.open, config)
        try:
            session = await asyncio.shield(opening)
        except zenoh.ZError as error:  # it does not say more than that it did not work
            log.debug("zenoh: %s", error)
            raise LinkDown(
                f"{_where(doors)}: no session: not a rendezvous of this federation, or of another key"
            ) from None
        except asyncio.CancelledError:
            with contextlib.suppress(zenoh.ZError):
                session = await opening
                session.close()  # type: ignore[no-untyped-call]
            raise
        made = ZenohSession(session, owner, loop, router=mode == "router")
        ours = certified_name(
            "", self._tag
        )  # zenoh believes public authorities too: look at the name
        strangers = [name for name in made.names() if not name.endswith(ours)]
        if strangers:
            await made.close()
            raise LinkDown(f"{_where(doors)}: {strangers[0]!r} is not a node of this federation")
        made.watch()
        return made

    def _config(self, mode: str, doors: Sequence[Door]) -> dict[str, Any]:
        """All that differs from zenoh's defaults."""
        own = {
            "key": str(self._certificates / "node.key"),
            "pem": str(self._certificates / "node.pem"),
        }
        return {
            "mode": mode,
            "listen": {"endpoints": [f"tls/{self._access.listen}"] if mode == "router" else []},
            "connect": {
                "endpoints": [f"tls/{host}:{port}" for host, port in doors],
                # a client's session fails at once and is made anew here; a router dials in the background
                "timeout_ms": -1 if mode == "router" else 0,
                "exit_on_failure": mode != "router",
                "retry": {
                    "period_init_ms": REDIAL,
                    "period_max_ms": 10 * REDIAL,
                    "period_increase_factor": 1,
                },
            },
            "scouting": {"delay": 0, "multicast": {"enabled": False}, "gossip": {"enabled": False}},
            "timestamping": {"enabled": False},  # a router would add 16 bytes to each frame
            "transport": {
                "shared_memory": {"enabled": False},
                "unicast": {
                    "open_timeout": OPENING[mode],
                    "accept_timeout": OPENING["client"],
                    "qos": {"enabled": False},
                },
                "link": {
                    "protocols": ["tls"],
                    "tx": {
                        "lease": int(SILENCE * 1000),
                        "keep_alive": 2,  # in a lease; TCP sends again what is lost
                        "queue": {
                            "size": {"data": QUEUE},
                            "congestion_control": {"drop": {"wait_before_drop": 0}},
                        },
                    },
                    "tls": {
                        "root_ca_certificate": str(self._certificates / "ca.pem"),
                        "enable_mtls": True,
                        "verify_name_on_connect": False,
                        "listen_private_key": own["key"],
                        "listen_certificate": own["pem"],
                        "connect_private_key": own["key"],
                        "connect_certificate": own["pem"],
                    },
                },
            },
        }


class ZenohSession(Session):
    """An open zenoh session."""

    def __init__(
        self, session: Any, owner: Owner, loop: asyncio.AbstractEventLoop, *, router: bool
    ) -> None:
        self._session, self._owner, self._loop, self._router = session, owner, loop, router
        self._subscribers: dict[str, Any] = {}
        self._publishers: dict[str, Any] = {}
        self._reached: set[str] = set()  # who is connected
        self._events: Any = None
        self._closed = False

    def names(self) -> list[str]:
        """The names in the certificates of those who are connected."""
        return [str(link.auth_identifier) for link in self._session.info.links()]

    def watch(self) -> None:
        """Tell the owner who is connected now, and each change."""
        self._events = self._session.info.declare_transport_events_listener(
            self._transport, history=True
        )

    def subscribe(self, topics: Sequence[str]) -> None:
        """Take frames of these topics, and of no others, from now on."""
        for topic in set(self._subscribers) - set(topics):
            self._subscribers.pop(topic).undeclare()
        for topic in set(topics) - set(self._subscribers):
            self._subscribers[topic] = self._session.declare_subscriber(
                topic, self._sample, allowed_origin=zenoh.Locality.REMOTE
            )

    def publish(self, topic: str, frame: bytes) -> bool:
        """Send a frame. zenoh drops it without a word when its queue is full."""
        publisher = self._publishers.get(topic)
        if publisher is None:  # declared once, its topic costs a number on the line, not its text
            publisher = self._publishers[topic] = self._session.declare_publisher(
                topic,
                congestion_control=zenoh.CongestionControl.DROP,
                allowed_destination=zenoh.Locality.REMOTE,
            )
        try:
            publisher.put(frame)
        except zenoh.ZError:
            return False
        return True

    async def close(self) -> None:
        """End it; no callback reaches the owner any more."""
        self._closed = True
        await self._loop.run_in_executor(None, self._session.close)

    # --- called in threads of zenoh's

    def _sample(self, sample: zenoh.Sample) -> None:
        self._hand_over(self._owner.received, bytes(sample.payload))

    def _transport(self, event: zenoh.TransportEvent) -> None:
        opened = event.kind == zenoh.SampleKind.PUT
        self._hand_over(self._changed, opened, str(event.transport.zid))

    def _hand_over(self, what: Callable[..., None], *about: object) -> None:
        if not self._closed:
            with contextlib.suppress(RuntimeError):  # the loop has just ended
                self._loop.call_soon_threadsafe(self._unless_closed, what, *about)

    # --- in the loop

    def _unless_closed(self, what: Callable[..., None], *about: object) -> None:
        if not self._closed:
            what(*about)

    def _changed(self, opened: bool, peer: str) -> None:
        if opened:
            self._reached.add(peer)
            _bound_patience({(link.src, link.dst) for link in self._session.info.links()})
        else:
            self._reached.discard(peer)
        if self._reached:
            self._owner.reaches(True, f"connected, sessions: {len(self._reached)}")
        elif self._router:
            self._owner.reaches(False, "nobody is connected to this rendezvous")
        else:
            self._owner.lost("the rendezvous is gone")


def _bound_patience(links: Collection[tuple[str, str]]) -> None:
    """Let the kernel end a connection on which nothing was acknowledged for SILENCE seconds (RFC 5482, tcp(7)).

    When its lease has run out zenoh still waits for what it was writing, and that lasts as long as TCP tries: after ten seconds
    without a network up to sixteen. It offers no such option, but its sockets are this process's: they are found by their ends.
    """
    for entry in os.listdir("/proc/self/fd"):
        try:
            handle = os.dup(int(entry))
        except OSError:
            continue  # gone meanwhile
        try:
            sock = socket.socket(fileno=handle)
        except OSError:
            os.close(handle)  # a file
            continue
        with sock, contextlib.suppress(OSError):
            if sock.type == socket.SOCK_STREAM and sock.family == socket.AF_INET:
                ends = [
                    f"tls/{host}:{port}" for host, port in (sock.getsockname(), sock.getpeername())
                ]
                if tuple(ends) in links:
                    milliseconds = int(SILENCE * 1000)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def _where(doors: Sequence[Door]) -> str:
    return ", ".join(f"{host}:{port}" for host, port in doors) or "wan.listen"
