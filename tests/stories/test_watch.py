"""What an operator should mend: clocks, wires of other releases, domains, epochs; and recordings that pretend to be us."""

import msgspec
import pytest

from pbxfed_ari.core.effects import Note
from pbxfed_ari.core.messages import AnyMessage, BookSet, Delta, Hello, Lineage, Piece
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.stamp import stamp_of
from pbxfed_ari.store.sqlite import Store
from pbxfed_ari.wire import codec
from tests.stories.world import KEY, Node, World

SECRET = "abcdEFGH1234"
YEAR = 31_536_000


def told(node: Node, what: str) -> list[dict[str, object]]:
    return [dict(e.fields) for e in node.effects if isinstance(e, Note) and e.what == what]


def warnings(node: Node) -> str:
    return "\n".join(node.federation.watch.warnings(node.world.now))


def boot(world: World, name: str, *, realm: str = "test", skew_ms: int = 0) -> Node:
    """A new node, set up unlike the others."""
    address = f"10.0.0.{1 + len(world.nodes)}"
    node = Node(
        world, name, Store(":memory:"), address=address, key=KEY, realm=realm, skew_ms=skew_ms
    )
    world.network.site[address] = "main"
    world.nodes[name] = node
    return node


# --- clocks


@pytest.mark.parametrize("step", [-3_600, -63, 63, 3_600])
def test_a_clock_that_steps_is_noticed_and_edits_there_are_refused(step: int) -> None:
    """Both times and the remedy; by everyone else too, and only until it is right again."""
    world = World()
    world["b"].skew_ms = step * 1_000
    reply = world["b"].edit("1001", secret=SECRET)
    assert reply.status == 503
    side = "behind" if step < 0 else "ahead"
    assert f" s {side}; set the clock" in reply.error
    assert "this node's clock says 2027-01-15T" in reply.error
    assert "the median of its 2 peers' 2027-01-15T" in reply.error
    assert "timedatectl" in reply.error
    assert world["a"].edit("1002", secret=SECRET).status == 201
    world.run(30)
    assert len(told(world["b"], "clock off")) == 1
    assert [f["node"] for f in told(world["a"], "peer clock off")] == ["b"]
    assert side in warnings(world["c"])
    world["b"].skew_ms = 0
    assert world["b"].edit("1001", secret=SECRET).status == 201
    world.run(30)
    assert len(told(world["b"], "clock off no more")) == 1
    assert [warnings(node) for node in world.running()] == [""] * 3


def test_a_minute_is_forgiven() -> None:
    """Drift is no reason to refuse an operator."""
    world = World()
    world["b"].skew_ms = 55_000
    world.run(30)
    assert world["b"].edit("1001", secret=SECRET).status == 201
    assert [warnings(node) for node in world.running()] == [""] * 3


def test_a_node_that_starts_with_a_wrong_clock_knows_it_when_it_has_joined() -> None:
    """Whoever answers its first question says the time."""
    world = World()
    late = boot(world, "d", skew_ms=-7_200_000)
    world.run(1.5)
    assert " s behind" in late.edit("1001", secret=SECRET).error
    late.register("1001", "sip:1001@10.1.0.7:5060")
    world.run(0.1)
    assert world["a"].where("1001") == ["d"]


def test_of_two_nodes_neither_knows_who_is_wrong() -> None:
    """Both refuse, and say so: an edit that is refused does less harm than a wrong stamp."""
    world = World(names="ab")
    world["b"].skew_ms = 3_600_000
    world.run(10)
    for name in "ab":
        error = world[name].edit("1001", secret=SECRET).error
        assert "its only peer's" in error
        assert "cannot be told" in error


def test_a_node_that_was_paused_for_minutes_blames_no_clock() -> None:
    """The frames that waited are old; the clocks are right."""
    world = World(names="abcd")
    world.freeze("a")
    world.run(200)
    world.thaw("a")
    for _ in range(20):
        world.run(1)
        assert world["a"].edit("1001", name=f"{world.now}", secret=SECRET).status in (200, 201)
        assert warnings(world["a"]) == ""


def test_between_sites_the_forwarders_tell_the_time() -> None:
    """A site of one node has no neighbour to ask."""
    world = World(names="ab", sites={"a": "east", "b": "west"}, settle=15)
    world["b"].skew_ms = -600_000
    world.run(20)
    assert " s ahead" in world["a"].edit("1001", secret=SECRET).error


def test_stamps_of_the_future_are_taken_and_told_once() -> None:
    """Of each writer, not of each record; a late edit still comes after them."""
    world = World()
    world["b"].skew_ms = 3_600_000
    b = world["b"].federation
    for i in range(5):
        record = BookSet(b"xabcdefgh", i + 20, stamp_of(world["b"].wall_ms() + i), "", b"\x01")
        world["b"].perform(b.ledger.publish([record]))
        world.run(0.1)
    assert world.agree()
    assert [f["node"] for f in told(world["a"], "stamp ahead")] == ["b"]


# --- what another release says


class Newer:
    """What a release of wire 2 would do to stay understood: more fields, another kind of message, its range in Hello."""

    def __init__(self, node: Node) -> None:
        self.node, self.frame = node, node.post.frame
        self.seal = node.post.seal
        node.post.frame = self.newer  # type: ignore[method-assign]

    def newer(self, message: AnyMessage, key: bytes = b"") -> bytes:
        if isinstance(message, Hello):
            message = msgspec.structs.replace(message, wires=(1, 2), release="2.0.0")
        parts = msgspec.msgpack.decode(codec._inflated(codec.encode(message)))
        payload = msgspec.msgpack.encode([*parts, {"news": [1, 2, 3]}])
        if isinstance(message, Hello):
            signature = self.node.key.sign(self.seal.salt + payload)
            return self.seal.seal(signature + payload, introducing=True)
        return self.seal.seal(payload)

    def invent(self) -> None:
        payload = msgspec.msgpack.encode([99, "what is this", {"a": 1}])
        frame = self.seal.seal(payload)
        self.node.world.network.send(frame, self.node.address, None, self.node.world.now)


def test_what_both_releases_understand_goes_on() -> None:
    """Unknown fields and kinds are left out one by one; the newer node is named."""
    world = World(settle=0)
    newer = Newer(world["b"])
    world.run(3)
    for _ in range(20):
        newer.invent()
        world["b"].edit("1001", name=f"at {world.now}", secret=SECRET)
        world["a"].edit("1002", name=f"at {world.now}", secret=SECRET)
        world.run(1)
    assert world.agree()
    assert world["a"].up() == ["b", "c"]
    assert world["a"].phone("1001") == world["b"].phone("1001")
    assert world["a"].post.dropped == {"kind": 20}
    assert (
        warnings(world["a"])
        == "node b (pbxfed 2.0.0) speaks wire 1 to 2, this node 1: upgrade this node"
    )
    assert len(told(world["a"], "newer wire")) == 1


def test_a_node_of_another_wire_is_named_by_its_address() -> None:
    """Its frames cannot be read, so only after some of them; and no longer than they come."""
    world = World()
    world["a"].receive(bytes((0x21,)) + bytes(60), ("10.0.0.9", 8781))
    assert warnings(world["a"]) == ""
    for host in "10.0.0.9", "10.0.0.2":
        for _ in range(3):
            world["a"].receive(bytes((0x21,)) + bytes(60), (host, 8781))
    world.run(1)
    assert warnings(world["a"]).splitlines() == [
        "a node at 10.0.0.9 speaks wire 2, this node 1: upgrade this node",
        "node b at 10.0.0.2 speaks wire 2, this node 1: upgrade this node",
    ]
    assert len(told(world["a"], "wire differs")) == 2
    assert world["a"].post.dropped["version"] == 7
    world.run(61)
    assert warnings(world["a"]) == ""
    assert len(told(world["a"], "wire differs no more")) == 2


def test_another_domain_is_named_on_both_sides() -> None:
    """A digest of one domain is worthless in the other."""
    world = World(names="ab")
    boot(world, "c", realm="elsewhere")
    world.run(3)
    assert "node c has another federation.domain than this node ('test')" in warnings(world["a"])
    assert len(warnings(world["c"]).splitlines()) == 2
    world.kill("c")
    world.run(4)
    assert warnings(world["a"]) == ""


# --- epochs


@pytest.mark.parametrize("of", ["a new name", "a known name"])
def test_an_epoch_that_no_clock_explains_is_refused(of: str) -> None:
    """It would lock the name: nobody could come after it."""
    world = World()
    name = "d" if of == "a new name" else "b"
    ahead = world["b"].wall_ms() // 1_000 + YEAR
    hello = Hello(name, ahead, "10.0.0.9", 8781, clock=ahead)
    stranger = Node(world, "z", Store(":memory:"), address="10.0.0.9", key=KEY)
    stranger.stopped = "it only makes frames"
    for message in (
        hello,
        Piece(name, ahead, 0, 3, ()),
        Lineage(name, ahead, ()),
    ):
        frame = (stranger if message is hello else world["c"]).post.frame(message)
        world["a"].receive(frame, ("10.0.0.9" if message is hello else "10.0.0.3", 8781))
    world.run(1)
    federation = world["a"].federation
    assert federation.directory.streams.current_epoch(NodeName(name)) < ahead
    assert f"node {name}: its epoch {ahead}" in warnings(world["a"])
    assert len(told(world["a"], "epoch refused")) == 1
    assert [name for name in world["a"].up() if name != "z"] == ["b", "c"]
    world.run(62)
    assert warnings(world["a"]) == ""


def test_a_board_without_a_clock_is_let_in() -> None:
    """It wakes up in the past and hears of epochs that are days ahead of it."""
    world = World()
    board = boot(world, "d", skew_ms=-20 * 86_400_000)
    world.run(3)
    assert board.up() == ["a", "b", "c"]
    assert world.agree()
    assert "s behind" in warnings(board)


# --- recordings


def test_a_recording_of_a_namesake_stops_nobody() -> None:
    """An introduction of an old boot, sent again from another address, is asked whether it lives; it cannot answer."""
    world = World()
    world.kill("b")
    world.run(4)
    first = Node(world, "b", Store(":memory:"), address="10.0.0.8", key=KEY)
    world.run(2)
    recorded = [first.post.frame(first.federation.ourselves.hello()) for _ in range(20)]
    first.stopped = "moved"
    world.network.detach(first.address)
    world.run(4)
    node = world.boot("b")
    for frame in recorded:
        node.receive(frame, ("10.0.0.8", 8781))
        world.run(0.1)
    assert node.stopped == ""
    assert node.federation.joined
    assert told(node, "name claimed by another node too") == []


def test_a_namesake_that_lives_still_stops_the_later_one() -> None:
    """Whichever of their frames is lost."""
    for seed in range(10):
        world = World(seed, loss=0.2)
        later = Node(world, "b", Store(":memory:"), address="10.0.0.9", key=KEY)
        world.nodes["b2"] = later
        world.run(5)
        assert "held by 10.0.0.2" in later.stopped
        assert not world["b"].stopped


def test_a_delta_is_not_hidden_by_an_unknown_kind() -> None:
    """Frames are judged one by one."""
    world = World()
    newer = Newer(world["b"])
    newer.invent()
    world["b"].register("1001", "sip:1001@10.1.0.7:5060")
    world.run(0.1)
    assert world["a"].where("1001") == ["b"]
    assert world["a"].post.received[Delta.__name__] > 0
