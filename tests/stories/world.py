"""A federation on a virtual clock: real machines, real frames, a network in memory. No asyncio, no sleeping.

world = World(seed=1, names="abc")
world.run(2.0)
world["a"].edit("1001", name="Reception", secret="...")
world.run(0.1)
assert world["c"].phone("1001").name == "Reception"
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import chain, count
from random import Random

from pbxfed_ari.core.effects import (
    AskRotation,
    Broadcast,
    CloseSessionPast,
    DropContact,
    Effect,
    ForgetSession,
    Forward,
    KeepKeys,
    Persist,
    PersistAbsorbed,
    PersistGone,
    PersistLineage,
    Remember,
    Reply,
    SendTo,
    Stop,
    UseKeys,
    WanListen,
)
from pbxfed_ari.core.events import (
    WAN,
    Address,
    Admit,
    AsteriskUp,
    ContactAdded,
    ContactRemoved,
    ContactsListed,
    Edited,
    Event,
    Imported,
    Rotate,
    SeedsFound,
    Ticked,
    WanChanged,
    by_wan,
    wan,
)
from pbxfed_ari.core.federation.federation import Federation, describe
from pbxfed_ari.core.federation.ourselves import Identity
from pbxfed_ari.core.membership.draining import KEPT
from pbxfed_ari.core.membership.member import State
from pbxfed_ari.core.membership.timing import LAN, Timing
from pbxfed_ari.core.messages import PORT, AnyMessage, Delta, Record
from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.records.keys import GroupKey, Keyring
from pbxfed_ari.core.records.objects import KINDS, kind_of
from pbxfed_ari.core.records.objects.extension import Phone
from pbxfed_ari.core.records.shelf import NodeInfo
from pbxfed_ari.core.records.streams import LEAP
from pbxfed_ari.links.loopback import HEADERS, LoopbackHub, LoopbackNetwork
from pbxfed_ari.links.post import Post
from pbxfed_ari.sensors.clock import local_time
from pbxfed_ari.store.sqlite import Store
from pbxfed_ari.wire.identity import NodeKey
from pbxfed_ari.wire.seal import Seal
from tests.stories.plain import PlainPost

KEY = bytes(range(32))
BEGAN = 1_800_000_000_000  # ms: the wall clock at the world's second 0
ROUNDING = 1e-9  # seconds: a clock that drifts must not come just short of a deadline, for ever
LOOK = 0.002  # seconds between two looks at what is waited for


@lru_cache(100_000)
def _verified(signing: bytes, signature: bytes, data: bytes) -> bool:
    return NodeKey.verify(signing, signature, data)


class StoryKey(NodeKey):
    """A node's real key; what all nodes of a story verify is verified once."""

    verify = staticmethod(_verified)

    @classmethod
    def of(cls, name: str, seed: str = "") -> "StoryKey":
        """The key of the node with this name; of its second life, with another seed."""
        return cls(blake2b(f"{name} {seed}".encode(), digest_size=32).digest(), NodeName(name))


class Node:
    """One daemon without its edges."""

    def __init__(
        self,
        world: "World",
        name: str,
        store: Store,
        *,
        address: str,
        key: bytes,
        site: str = "main",
        realm: str = "test",
        skew_ms: int = 0,
        seed: str = "",
    ) -> None:
        self.world, self.store, self.address = world, store, (address, PORT)
        self.name = name
        self.effects: list[Effect] = []  # all but what went to network and store
        self.spent: Counter[str] = Counter()  # bytes of frames sent on the LAN, by kind of message
        self.stopped = ""
        self.skew_ms = world.skews.get(name, skew_ms)
        self.rate = world.rates.get(name, 1.0)  # of its clocks, against the world's
        self.due = float("inf")  # of its entry among the world's deadlines
        self.fuse = 0  # writes to the disk until it is killed; 0: never
        self.acknowledged: list[Edited] = []
        self.refreshed: dict[tuple[Extension, str], int] = {}  # when a phone last registered here
        self.inbox: list[Event] = []
        directory = store.load()
        seconds, leap = self.wall_ms() // 1000, Random(f"{world.seed} {name} {world.now}")
        epoch, lineage = directory.streams.next_epoch(NodeName(name), seconds, leap.randrange(LEAP))
        rng = Random(f"{world.seed} {name} {epoch}")
        salt = blake2b(f"{world.seed} {name} {epoch} {address}".encode(), digest_size=16).digest()
        self.key = StoryKey.of(name, seed)
        held, closed = world.keyrings.get(name, ([GroupKey(key)], None))
        keys = Keyring(held, closed, world.holders.get(name) if name in world.keyrings else None)
        identity = Identity(NodeName(name), epoch, address, site=site, realm=realm, lineage=lineage)
        self.federation = Federation(
            identity,
            rng=rng,
            keys=keys,
            signer=self.key,
            directory=directory,
            timing=world.timing,
            multicast=name not in world.unicast_only,
            calendar=local_time,
            drain=store.fact(KEPT) or "",
        )
        post = Post if world.sealed else PlainPost
        self.post = post(Seal(key, salt), self.key, who=self.federation.gate.roster.who)
        world.network.attach(self.address, self.receive)
        self.perform(self.federation.start(self.now()))
        self.handle(SeedsFound(tuple((host, PORT) for host in world.seeds)))
        self.handle(describe(NodeInfo(address, site, 100, ("sip",), bytes(32))))
        self.handle(AsteriskUp("22.10.1", restarted=False))
        if world.hub is not None:
            world.hub.attach(address, name, self.receive_afar)
            self.handle(WanChanged(up=True))

    def __repr__(self) -> str:
        return f"Node({self.federation!r})"

    def wall_ms(self) -> int:
        return BEGAN + int(self.now() * 1000) + self.skew_ms

    def now(self) -> float:
        return self.world.now * self.rate

    def deadline(self) -> float:
        """When it wants to be ticked, in the world's time."""
        return self.federation.next_deadline() / self.rate + ROUNDING

    def receive(self, frame: bytes, source: Address, multicast: bool = False) -> None:
        event = self.post.open(frame, source, multicast=multicast)
        if event is not None:
            self.handle(event)

    def receive_afar(self, frame: bytes, source: Address, multicast: bool = False) -> None:
        self.receive(frame, wan())

    def handle(self, event: Event) -> list[Effect]:
        effects = self.federation.handle(event, self.now())
        self.perform(effects)
        while self.inbox:
            self.handle(self.inbox.pop(0))
        self.world.schedule(self)
        return effects

    def tick(self) -> None:
        self.handle(Ticked(max(0.0, self.now() - self.federation.next_deadline()), self.wall_ms()))

    def perform(self, effects: Iterable[Effect]) -> None:
        for effect in chain.from_iterable(map(self.federation.reach.spread, effects)):
            if (
                isinstance(effect, Persist | PersistLineage | PersistGone | PersistAbsorbed)
                and self.fuse
            ):
                self.fuse -= 1
                if not self.fuse:
                    self.world.kill(self.name)  # before the write
            if self.stopped:
                return
            match effect:
                case Broadcast(message):
                    self.world.publish(self, message)
                    self._send(message, None)
                case Forward(message):
                    self._publish(message, "")
                case WanListen(on):
                    if self.world.hub is not None:
                        self.world.hub.listen(self.address[0], on=on)
                case SendTo(address, message, key) if by_wan(address):
                    self._publish(message, address[0].removeprefix(WAN), key)
                case SendTo(address, message, key):
                    self._send(message, address, key)
                case CloseSessionPast(session):
                    self.post.seal.prove(session)
                case ForgetSession(session):
                    self.post.forget(session)
                case UseKeys(held, sealing, readable):
                    self.post.seal.use(held, sealing, readable)
                case KeepKeys():
                    keys = self.federation.gate.keys
                    self.world.keyrings[self.name] = (list(keys), keys.closed)
                    self.world.holders[self.name] = keys.holders
                case AskRotation():
                    self.handle(Rotate(0, self._random(), self.wall_ms()))
                case Persist():
                    if effect.origin == self.name:
                        newest = max(effect.to, self.world.written.get(self.name, 0))
                        self.world.written[self.name] = newest
                    self.store.persist(effect)
                    if effect.durable and self.world.power_may_fail:
                        self.world.flushed[self.name] = self.store._db.serialize()
                case PersistLineage():
                    self.store.persist_lineage(effect)
                case PersistGone():
                    self.store.persist_gone(effect)
                case PersistAbsorbed():
                    self.store.persist_absorbed(effect)
                case Remember(name, value):
                    self.store.remember(name, value)
                case DropContact(number, uri, wall_ms):
                    self.effects.append(effect)
                    came = self.refreshed.pop((number, uri), 0)
                    if came > wall_ms:  # as asterisk/contacts.py does it
                        self.refreshed[(number, uri)] = came
                        self.inbox.append(ContactAdded(number, uri, came))
                case Stop(reason):
                    self.stopped = reason
                    self.world.network.detach(self.address)
                case _:
                    self.effects.append(effect)

    def _send(self, message: AnyMessage, to: Address | None, key: bytes = b"") -> None:
        frame = self.post.frame(message, key)
        self.spent[type(message).__name__] += len(frame) + HEADERS
        self.world.network.send(frame, self.address, to, self.world.now)

    def _publish(self, message: AnyMessage, to: str, key: bytes = b"") -> None:
        if self.world.hub is not None:
            frame = self.post.frame(message, key)
            self.world.hub.publish(frame, self.address[0], to, self.world.now)

    def _random(self) -> bytes:
        seed = f"{self.world.seed} {self.name} {self.world.now}"
        return blake2b(seed.encode(), digest_size=32).digest()

    # --- what an operator or a phone does

    # edits that were answered well stand in `acknowledged`: they must never be lost

    def edit(self, number: str, *, create: bool = False, **fields: object) -> Reply:
        return self._edit(
            Edited(1, "extension", number, fields, self.wall_ms(), self._id(number), create)
        )

    def put(self, kind: str, key: str, /, *, create: bool = False, **fields: object) -> Reply:
        """Add or set an object of any kind."""
        fresh = self._id(kind + key)
        return self._edit(Edited(1, kind, key, fields, self.wall_ms(), fresh, create))

    def drop(self, kind: str, key: str) -> Reply:
        """Remove an object of any kind."""
        return self._edit(Edited(1, kind, key, None, self.wall_ms(), self._id(kind + key)))

    def load(self, *edits: Edited, dry_run: bool = False) -> Reply:
        """Many edits at once; it takes as long as it takes."""
        seen = len(self.effects)
        self.handle(Imported(1, edits, self.wall_ms(), dry_run))
        self.world.run(30, lambda: any(isinstance(e, Reply) for e in self.effects[seen:]))
        return next(e for e in self.effects[seen:] if isinstance(e, Reply))

    def shown(self, kind: str, key: str) -> dict[str, object] | None:
        """An object as an operator sees it."""
        described = KINDS[kind]
        item = self.federation.directory.catalogue.get(described.space, key)
        return described.shown(item) if item and kind_of(item.id) is described else None

    def remove(self, number: str) -> Reply:
        return self._edit(Edited(1, "extension", number, None, self.wall_ms(), self._id(number)))

    def _id(self, number: str) -> bytes:
        return blake2b(
            f"{self.federation.me} {number} {self.world.now}".encode(), digest_size=8
        ).digest()

    def _edit(self, event: Edited | Imported | Rotate | Admit) -> Reply:
        seen = len(self.effects)
        self.handle(event)
        replies = [e for e in self.effects[seen:] if isinstance(e, Reply)]
        if not replies:
            return Reply(event.ticket, 0, error="it died before it answered")
        if replies[0].status < 300 and isinstance(event, Edited):
            self.acknowledged.append(event)
        return replies[0]

    def rotate(self, expel: str = "") -> Reply:
        return self._edit(Rotate(1, self._random(), self.wall_ms(), expel))

    def admit(self, joiner: NodeKey, name: str) -> Reply:
        return self._edit(Admit(1, NodeName(name), joiner.signing, joiner.public, self.wall_ms()))

    def register(self, number: str, uri: str) -> None:
        self.refreshed[(Extension(number), uri)] = self.wall_ms()
        self.handle(ContactAdded(Extension(number), uri, self.wall_ms()))

    def unregister(self, number: str, uri: str) -> None:
        self.handle(ContactRemoved(Extension(number), uri))

    def listed(self, *contacts: tuple[str, str]) -> None:
        found = frozenset((Extension(number), uri) for number, uri in contacts)
        self.handle(ContactsListed(found, self.wall_ms()))

    # --- what one may ask

    def phone(self, number: str) -> Phone | None:
        return self.federation.view.phone(Extension(number))

    def where(self, number: str) -> list[str]:
        return [place.node for place in self.federation.view.where(Extension(number))]

    def state(self, name: str) -> State | None:
        member = self.federation.members.get(NodeName(name))
        return member.state if member else None

    def up(self) -> list[str]:
        return [m.name for m in self.federation.members.alive()]

    def vector(self) -> int:
        return self.federation.directory.fingerprint()


class World:
    """Nodes, a network and a clock."""

    node: type[Node] = Node  # what `boot` starts

    def __init__(
        self,
        seed: int = 1,
        names: Iterable[str] = "abc",
        *,
        loss: float = 0.0,
        timing: Timing = LAN,
        settle: float = 2.0,
        sites: Mapping[str, str] | None = None,
        seeds: Iterable[str] = (),
        unicast_only: Iterable[str] = (),
        deaf: float = 0.0,
        sealed: bool = True,
    ) -> None:
        """`sites` names the site of each node; None: one LAN, and no way out of it.

        `seeds` are hosts; `unicast_only` nodes have no group; `deaf` is the share of multicast frames that are lost.
        Not `sealed`: twice as fast, for stories in which the seal does not matter.
        """
        self.seed, self.now, self.timing, self.sealed = seed, 0.0, timing, sealed
        self.skews: dict[
            str, int
        ] = {}  # ms by which a node's wall clock is wrong, from its boot on
        self.rates: dict[str, float] = {}
        self.power_may_fail = False  # then what each disk surely holds is kept at every flush
        self.flushed: dict[str, bytes] = {}
        self.written: dict[str, int] = {}  # the highest number that each node ever gave
        self.dots: dict[tuple[str, int, int], Record] = {}  # all that was ever published
        self.network = LoopbackNetwork(Random(seed), loss=loss)
        self.hub = LoopbackHub(self.network) if sites else None
        self.sites = dict(sites or {})
        self.stores: dict[str, Store] = {}
        self.keyrings: dict[
            str, tuple[Sequence[GroupKey], tuple[int, str] | None]
        ] = {}  # what state/keys holds
        self.holders: dict[str, Mapping[str, bytes]] = {}  # and whom it names
        self.nodes: dict[str, Node] = {}
        self._frozen: dict[str, list[tuple[bytes, Address, bool]]] = {}
        self._deadlines: list[tuple[float, int, Node]] = []
        self._later: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()
        self.seeds, self.unicast_only = tuple(seeds), frozenset(unicast_only)
        self.network.deaf = lambda source, to: deaf
        for name in names:
            self.boot(name)
        self.run(settle)

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def boot(
        self, name: str, *, address: str = "", key: bytes = KEY, empty: bool = False, seed: str = ""
    ) -> Node:
        """Start a node, from what its store kept."""
        if empty:
            self.stores.pop(name, None)
        store = self.stores.setdefault(name, Store(":memory:", self.clock))
        address = address or f"10.0.0.{1 + len(self.nodes) if name not in self.nodes else 0}"
        if name in self.nodes:
            address = self.nodes[name].address[0]
        site = self.sites.get(name, "main")
        self.network.site[address] = site
        self.nodes[name] = self.node(
            self, name, store, address=address, key=key, site=site, seed=seed
        )
        return self.nodes[name]

    def clock(self) -> float:
        """Seconds since 1970, for stores."""
        return BEGAN / 1000 + self.now

    def snapshot(self, name: str) -> bytes:
        """A copy of a node's disk."""
        return self.stores[name]._db.serialize()

    def restore(self, name: str, copy: bytes | None) -> None:
        """The disk is what it was then; None: as new. The node must be dead."""
        self.stores[name] = store = Store(":memory:", self.clock)
        if copy is not None:
            store._db.deserialize(copy)

    def publish(self, node: Node, message: AnyMessage) -> None:
        """No number of a stream may ever stand for two records."""
        if isinstance(message, Delta):
            for number, record in enumerate(message.records, message.first):
                dot = (node.name, node.federation.ourselves.identity.epoch, number)
                known = self.dots.setdefault(dot, record)
                assert known == record, f"{dot} is {known} and {record}"

    def kill(self, name: str) -> None:
        """Kill -9: nothing is said to anybody."""
        self.network.detach(self.nodes[name].address)
        if self.hub is not None:
            self.hub.detach(self.nodes[name].address[0])
        self.nodes[name].stopped = "killed"

    def bounce(self, name: str) -> None:
        """The node's link to the other sites notices that it was gone and is back."""
        self.nodes[name].handle(WanChanged(up=False))
        self.nodes[name].handle(WanChanged(up=True))

    def freeze(self, name: str) -> None:
        """SIGSTOP: frames wait in the socket's buffer, deadlines pass."""
        self._frozen[name] = waiting = []
        self.network.attach(self.nodes[name].address, lambda *frame: waiting.append(frame))

    def thaw(self, name: str) -> None:
        """SIGCONT: first the loop sees the frames that waited, then its late deadline."""
        node = self.nodes[name]
        for frame in self._frozen.pop(name):
            node.receive(*frame)
        node.tick()
        self.network.attach(node.address, node.receive)

    def running(self) -> list[Node]:
        return [n for name, n in self.nodes.items() if not n.stopped and name not in self._frozen]

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass, or until something holds. Returns whether it holds at the end."""
        end = self.now + seconds
        looked = float("-inf")
        while True:
            if self.now - looked >= LOOK:
                looked = self.now
                if until():
                    return True
            due = self._deadlines[0][0] if self._deadlines else float("inf")
            later = self._later[0][0] if self._later else float("inf")
            at = max(self.now, min(due, later, self.network.next_arrival()))
            if at > end:
                self.now = end
                return until()
            self.now = at
            self.network.deliver(at)
            while self._later and self._later[0][0] <= at:
                heapq.heappop(self._later)[2]()
            while self._deadlines and self._deadlines[0][0] <= at:
                due, _, node = heapq.heappop(self._deadlines)
                if node.due != due:
                    continue  # it was brought forward
                node.due = float("inf")
                if not node.stopped and node.name not in self._frozen:
                    if node.deadline() <= at:
                        node.tick()
                    else:
                        self.schedule(node)

    def after(self, seconds: float, do: Callable[[], object]) -> None:
        """Something happens then."""
        heapq.heappush(self._later, (self.now + seconds, next(self._order), do))

    def schedule(self, node: Node) -> None:
        """A node's deadline may have moved."""
        due = node.deadline()
        if due < node.due:
            node.due = due
            heapq.heappush(self._deadlines, (due, next(self._order), node))

    def agree(self) -> bool:
        """Do all running nodes hold the same?"""
        return len({node.vector() for node in self.running()}) == 1
