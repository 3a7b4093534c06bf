"""A network in memory, on a virtual clock, with all that networks do to frames, from one seed.

It loses, delays, doubles, overtakes, damages and cuts; it has an MTU and counts bytes. Frames are real (encoded and sealed
by `post`), so what holds here holds for the bytes on a wire too. Bytes are counted as Ethernet frames: 14 Ethernet, 20 IPv4,
8 UDP.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from random import Random

HEADERS = 42  # bytes around a datagram
MTU = 1_500
OVERTAKEN = 0.3  # seconds by which a frame that others overtake is late, at most
Address = tuple[str, int]
Receive = Callable[[bytes, Address, bool], None]  # frame, source, whether it went to the group


class LoopbackNetwork:
    """Every node's socket, and what lies between them."""

    def __init__(
        self, rng: Random, *, delay: float = 0.0005, jitter: float = 0.0002, loss: float = 0.0
    ) -> None:
        """`delay` and `jitter` in seconds, `loss` as a share of the frames, per receiver."""
        self.delay, self.jitter, self.loss = delay, jitter, loss
        self.doubled = self.overtaken = self.damaged = 0.0  # shares of the frames, per receiver
        self._rng = rng
        self._sockets: dict[Address, Receive] = {}
        self._flights: list[tuple[float, int, Address, Address, bytes, bool, Receive | None]] = []
        self._number = 0
        self._cut: set[tuple[str, str]] = set()
        self._clogged: dict[str, float] = {}  # host → until when frames to and from it wait
        self.frames: Counter[str] = Counter()  # sent, by address
        self.bytes: Counter[str] = Counter()
        self.received: Counter[str] = Counter()  # bytes
        self.drop: Callable[[bytes, str, str], bool] = lambda frame, source, to: False
        self.site: dict[str, str] = {}  # of a host; the group reaches its own site only
        self.deaf: Callable[[str, str], float] = lambda source, to: 0.0  # share of multicast lost

    def attach(self, address: Address, receive: Receive) -> None:
        """A node opens its socket."""
        self._sockets[address] = receive

    def detach(self, address: Address) -> None:
        """A node is gone."""
        self._sockets.pop(address, None)

    def cut(self, some: Iterable[str], others: Iterable[str], *, one_way: bool = False) -> None:
        """No frame passes from these hosts to those (nor back)."""
        theirs = list(others)
        for a in some:
            self._cut |= {(a, b) for b in theirs}
            if not one_way:
                self._cut |= {(b, a) for b in theirs}

    def clog(self, host: str, until: float) -> None:
        """Frames from and to a host wait, and come when it is over."""
        self._clogged[host] = until

    def heal(self) -> None:
        """All cuts are mended, nothing waits."""
        self._cut.clear()
        self._clogged.clear()

    def send(self, frame: bytes, source: Address, to: Address | None, now: float) -> None:
        """A frame leaves; `to` None is the group. It is counted once, however many receive it."""
        if len(frame) + 28 > MTU:
            return
        self.frames[source[0]] += 1
        self.bytes[source[0]] += len(frame) + HEADERS
        for address in [to] if to else self._group(source):
            if (source[0], address[0]) in self._cut or self._rng.random() < self.loss:
                continue
            deaf = self.deaf(source[0], address[0]) if to is None else 0.0
            if deaf and self._rng.random() < deaf:
                continue
            if self.drop(frame, source[0], address[0]):
                continue
            self._fly(frame, source, address, now, to is None)
            if self.doubled and self._rng.random() < self.doubled:
                again = now + self._rng.random() * OVERTAKEN
                self._fly(frame, source, address, again, to is None)

    def _fly(self, frame: bytes, source: Address, to: Address, now: float, multicast: bool) -> None:
        at = now + self.delay + self._rng.random() * self.jitter
        if self.overtaken and self._rng.random() < self.overtaken:
            at += self._rng.random() * OVERTAKEN
        if self.damaged and self._rng.random() < self.damaged:
            at_bit = self._rng.randrange(len(frame) * 8)
            flipped = bytearray(frame)
            flipped[at_bit // 8] ^= 1 << at_bit % 8
            frame = bytes(flipped)
        if self._clogged:
            at = max(at, *(self._clogged.get(host, 0.0) for host in (source[0], to[0])))
        self._push(at, to, source, frame, multicast, None)

    def _push(
        self,
        at: float,
        to: Address,
        source: Address,
        frame: bytes,
        multicast: bool,
        receive: Receive | None,
    ) -> None:
        self._number += 1
        flight = (at, self._number, to, source, frame, multicast, receive)
        heapq.heappush(self._flights, flight)

    def carry(
        self,
        frame: bytes,
        source: Address,
        to: Address,
        receive: Receive,
        now: float,
        *,
        via: str,
    ) -> None:
        """A frame on its way through something in between, both halves of which may be cut."""
        if {(source[0], via), (via, to[0])} & self._cut:
            return
        at = now + 2 * self.delay + self._rng.random() * self.jitter
        self._push(at, to, source, frame, False, receive)

    def _group(self, source: Address) -> list[Address]:
        here = self.site.get(source[0], "main")
        return [a for a in self._sockets if a != source and self.site.get(a[0], "main") == here]

    def next_arrival(self) -> float:
        """When the next frame arrives."""
        return self._flights[0][0] if self._flights else float("inf")

    def deliver(self, now: float) -> None:
        """Hand over what has arrived by now."""
        while self._flights and self._flights[0][0] <= now:
            _, _, to, source, frame, multicast, receive = heapq.heappop(self._flights)
            receive = receive or self._sockets.get(to)
            if receive is not None:
                self.received[to[0]] += len(frame) + HEADERS
                receive(frame, source, multicast)


class LoopbackHub:
    """What lies between sites: publish and subscribe, on the same clock and with the same cuts as the network."""

    name = "hub"

    def __init__(self, network: LoopbackNetwork) -> None:
        self.network = network
        self.frames: Counter[str] = Counter()  # published, by host
        self.bytes: Counter[str] = Counter()
        self._links: dict[str, tuple[str, Receive]] = {}  # by host
        self._listening: set[str] = set()

    def attach(self, host: str, node: str, receive: Receive) -> None:
        """A node's link; it listens to nothing yet."""
        self._links[host] = (node, receive)
        self._listening.discard(host)

    def detach(self, host: str) -> None:
        """A node is gone."""
        self._links.pop(host, None)
        self._listening.discard(host)

    def listen(self, host: str, *, on: bool) -> None:
        """Subscribe, or end it."""
        (self._listening.add if on else self._listening.discard)(host)

    def publish(self, frame: bytes, host: str, to: str, now: float) -> None:
        """A frame to one node's topic, or with `to` empty to all that listen."""
        self.frames[host] += 1
        self.bytes[host] += len(frame)
        for there in sorted(self._listening - {host}):
            node, receive = self._links[there]
            if to in ("", node):
                self.network.carry(frame, (host, 0), (there, 0), receive, now, via=self.name)
