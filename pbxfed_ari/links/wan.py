"""The WAN link: frames between sites, by publish and subscribe through a hub that any site can dial out to.

    this node ──session──▶ a hub (another node in the rendezvous role, or a NATS server) ◀──session── the other sites' nodes

Every node keeps a session open, so that the next forwarder of a site can take over at once; only the forwarder listens. A frame
goes to all who listen, or to one node that does. The hub keeps nothing: what is published while nobody listens is gone, and
what cannot be sent at once is dropped. Whoever missed something sees it by the versions inside.

`WanLink` is what all such links have in common: it keeps the session, opens it anew for ever, and says when it comes and goes.
An `Engine` (zenoh, nats) opens sessions. When a network heals, what takes long is that TCP sends its first packet again after
1, 3 and 7 seconds (RFC 6298, section 2); so doors are knocked at every quarter of a second until one answers.
"""

import asyncio
import contextlib
import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import uniform

from pbxfed_ari.core.names import NodeName
from pbxfed_ari.errors import PbxfedError

KNOCK = 0.25  # seconds between two knocks at one door
LONGEST_PAUSE = 5.0  # seconds between two sessions that fail, though somebody opened the door
PATIENCE = 3.0  # seconds that a knock may take: as long as a bad satellite line does
SILENCE = 3.0  # seconds without a sign of life after which a session counts as lost
CLOSING = 2.0  # seconds that a session gets to end in good order
log = logging.getLogger(__name__)

Receive = Callable[[bytes], None]
Changed = Callable[[bool, str], None]
Door = tuple[str, int]  # host (a name or an address) and port


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How this node gets to the other sites: the [wan] section, with the secrets that it names."""

    connect: tuple[str, ...] = ()  # zenoh: host:port; NATS: nats://host:port or tls://host:port
    listen: str | None = None  # zenoh: address:port, if this node is a rendezvous
    user: str | None = None  # NATS
    password: str | None = None  # NATS: of the user; without one it is a token
    credentials: str | None = None  # NATS: text of a credentials file (JWT and NKEY)
    ca_file: Path | None = (
        None  # NATS: who signs the server's certificate, if not a public authority
    )


class LinkDown(PbxfedError):
    """There is no session, and why. The link tries again by itself."""


class Session(ABC):
    """One open connection with the hub. All methods are called in the asyncio loop and return at once."""

    @abstractmethod
    def subscribe(self, topics: Sequence[str]) -> None:
        """Take frames of these topics, and of no others, from now on."""

    @abstractmethod
    def publish(self, topic: str, frame: bytes) -> bool:
        """Send a frame to whoever subscribes to the topic, but not to us. False: it was dropped."""

    @abstractmethod
    async def close(self) -> None:
        """End it, and leave nothing behind."""


class Owner(ABC):
    """What a session tells its link, in the asyncio loop."""

    @abstractmethod
    def received(self, frame: bytes) -> None:
        """A frame has come."""

    @abstractmethod
    def reaches(self, up: bool, reason: str) -> None:
        """The session has somebody at its other end, or nobody for now."""

    @abstractmethod
    def lost(self, reason: str) -> None:
        """The session is of no more use."""


class Engine(ABC):
    """Opens sessions."""

    separator: str  # between the parts of a topic

    @abstractmethod
    def check(self) -> None:
        """Can it work with this configuration on this machine? Raises: ConfigError."""

    @abstractmethod
    async def connect(self, owner: Owner) -> Session:
        """A new session; waits until there can be one.

        Raises: LinkDown: somebody is there, but it does not work.
        """


class WanLink(Owner):
    """The link of one node to the other sites."""

    def __init__(
        self, engine: Engine, me: NodeName, tag: str, receive: Receive, changed: Changed
    ) -> None:
        """`receive` is called with each frame, `changed` with (up, reason) whenever the link comes or goes."""
        self.up = False
        self.reason = "not connected yet"  # why it is not up
        self.frames_sent = self.bytes_sent = self.frames_received = self.bytes_received = 0
        self.errors = 0  # frames that could not be sent
        self._engine = engine
        self._all = tag
        self._own = self._topic(me)
        self._receive, self._changed = receive, changed
        self._listening = False
        self._session: Session | None = None
        self._owner: _Owner | None = None  # of the present session
        self._ended = asyncio.Event()  # the present session is of no more use
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin. Returns at once: a node works alone as long as nobody is reached.

        Raises: ConfigError, if this node shall be a rendezvous and cannot listen.
        """
        self._engine.check()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="wan")

    async def close(self) -> None:
        """End the session and try no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self.reaches(False, "closed")

    def reload(self) -> None:
        """Open the session anew, because the certificates are others now."""
        self.lost("certificates were renewed")

    def listen(self, on: bool) -> None:
        """Take frames from the other sites, or leave that to another node of this site."""
        if on != self._listening:
            self._listening = on
            if self._session is not None:
                self._session.subscribe(self._topics())

    def broadcast(self, frame: bytes) -> None:
        """Send to every node that listens, but not to ourselves. While the link is down the frame is lost."""
        self._publish(self._all, frame)

    def send(self, frame: bytes, node: NodeName) -> None:
        """Send to one node, if it listens."""
        self._publish(self._topic(node), frame)

    # --- Owner

    def received(self, frame: bytes) -> None:
        """A frame has come."""
        self.frames_received += 1
        self.bytes_received += len(frame)
        self._receive(frame)

    def reaches(self, up: bool, reason: str) -> None:
        """Tell it, if it is news."""
        self.reason = reason
        if up != self.up:
            self.up = up
            log.info("the WAN link is %s: %s", "up" if up else "down", reason)
            self._changed(up, reason)

    def lost(self, reason: str) -> None:
        """The session has ended: open another one."""
        self.reaches(False, reason)
        self._ended.set()

    # --- helpers

    async def _run(self) -> None:
        pause = KNOCK
        while True:
            self._ended.clear()
            self._owner = owner = _Owner(self)
            try:
                session = await self._engine.connect(owner)
            except LinkDown as down:
                if self.reason != str(down):
                    self.reason = str(down)
                    log.warning("the WAN link stays down: %s", down)
                await asyncio.sleep(pause * uniform(0.8, 1.2))
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            pause = KNOCK
            try:
                self._session = session
                session.subscribe(self._topics())
                await self._ended.wait()
            finally:
                self._session = self._owner = None  # what it says while it closes is the past
                await session.close()

    def _topic(self, node: NodeName) -> str:
        return self._all + self._engine.separator + node

    def _topics(self) -> list[str]:
        return [self._all, self._own] if self._listening else []

    def _publish(self, topic: str, frame: bytes) -> None:
        if self._session is None or not self.up or not self._session.publish(topic, frame):
            self.errors += 1
            return
        self.frames_sent += 1
        self.bytes_sent += len(frame)


class _Owner(Owner):
    """A session's ear: deaf when that is not the present one."""

    def __init__(self, link: WanLink) -> None:
        self._link = link

    @property
    def _present(self) -> bool:
        return self._link._owner is self

    def received(self, frame: bytes) -> None:
        """A frame has come."""
        if self._present:
            self._link.received(frame)

    def reaches(self, up: bool, reason: str) -> None:
        """The session has somebody at its other end, or nobody for now."""
        if self._present:
            self._link.reaches(up, reason)

    def lost(self, reason: str) -> None:
        """The session is of no more use."""
        if self._present:
            self._link.lost(reason)


async def knock(doors: Sequence[Door]) -> tuple[Door, Door]:
    """The first of these doors that answers TCP: as it was named, and the address behind the name. Waits for ever."""
    answers: asyncio.Queue[tuple[Door, Door]] = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        knocking = [group.create_task(_knock_at(door, answers)) for door in doors]
        answer = await answers.get()
        for task in knocking:
            task.cancel()
    return answer


async def _knock_at(door: Door, answers: asyncio.Queue[tuple[Door, Door]]) -> None:
    """A fresh first packet every KNOCK seconds; none waits for the one before it."""
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        while True:
            with contextlib.suppress(OSError):
                # only IPv4: like the rest of the federation
                found = await loop.getaddrinfo(
                    *door, family=socket.AF_INET, type=socket.SOCK_STREAM
                )
                address = str(found[0][4][0])
                group.create_task(_try(door, (address, door[1]), answers))
            await asyncio.sleep(KNOCK * uniform(0.8, 1.2))


async def _try(door: Door, address: Door, answers: asyncio.Queue[tuple[Door, Door]]) -> None:
    with contextlib.suppress(OSError, TimeoutError), socket.socket() as sock:
        sock.setblocking(False)
        async with asyncio.timeout(PATIENCE):
            await asyncio.get_running_loop().sock_connect(sock, address)
        answers.put_nowait((door, address))


def door_of(text: str) -> Door:
    """host:port."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
