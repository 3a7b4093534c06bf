"""Stories of keys: rotations that lose nothing, expulsions that hold, members that were away, names that are taken."""

import pytest
from msgspec.structs import replace

from pbxfed_ari.core.effects import RemoveTrunk
from pbxfed_ari.core.events import Introduced
from pbxfed_ari.core.messages import Grant, Hello
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.links.post import NOTICE
from pbxfed_ari.wire.identity import NodeKey
from tests.stories.world import Node, StoryKey, World

SECRET = "abcdEFGH1234"


def seals_with(world: World) -> set[bytes]:
    """The keys that running nodes seal with."""
    return {node.federation.gate.keys.sealing.id for node in world.running()}


def known(world: World, number: str) -> str:
    """The running nodes that know an extension."""
    return "".join(n.name for n in world.running() if n.phone(number) is not None)


def key_of(name: str) -> NodeKey:
    return StoryKey.of(name)


def whole(world: World) -> bool:
    others = len(world.running()) - 1
    return world.agree() and all(len(n.up()) == others for n in world.running())


def refusals(node: Node) -> list[str]:
    return [f for e in node.effects if "introduction refused" in repr(e) for f in [repr(e)]]


@pytest.mark.parametrize(("seed", "loss"), [(seed, 0.05 * (seed % 2)) for seed in range(20)])
def test_a_rotation_under_load_loses_nothing(seed: int, loss: float) -> None:
    """50 changes a second from all nodes; nobody dies, nothing is missing, and all seal with one new key."""
    world = World(seed, "abcde", loss=loss)
    old = seals_with(world)
    wanted = set()
    for i in range(200):
        node = "abcde"[i % 5]
        uri = f"sip:{2000 + i}@10.1.0.7:5060"
        world[node].register(str(2000 + i), uri)
        wanted.add((str(2000 + i), node))
        if i == 60:
            assert world["c"].rotate().status == 200
        world.run(0.02)
        assert all(len(n.up()) == 4 for n in world.running())
    assert world.run(3.0, lambda: whole(world))
    assert len(seals_with(world)) == 1
    assert seals_with(world) != old
    for number, node in wanted:
        assert all(n.where(number) == [node] for n in world.running())


def test_without_loss_a_rotation_drops_no_frame() -> None:
    """Who holds a key reads it before anybody seals with it."""
    world = World(1, "abcde")
    before = [node.post.dropped.total() for node in world.running()]
    world["a"].rotate()
    for i in range(100):
        world["abcde"[i % 5]].register(str(2000 + i), "sip:x@10.1.0.7:5060")
        world.run(0.03)
    assert [node.post.dropped.total() for node in world.running()] == before


def test_an_old_key_is_of_no_use_after_its_grace() -> None:
    """A minute after a rotation."""
    world = World()
    world["a"].rotate()
    world.run(61.5)
    assert all(len(n.federation.gate.keys.use().readable) == 1 for n in world.running())
    assert all(len(n.federation.gate.keys.use().held) == 2 for n in world.running())
    assert whole(world)


@pytest.mark.parametrize("seed", range(10))
def test_two_rotations_at_once_end_with_one_key(seed: int) -> None:
    """The younger stamp wins, everywhere."""
    world = World(seed, "abcd", loss=0.02)
    world["a"].rotate()
    world["c"].rotate()
    assert world.run(5.0, lambda: whole(world) and len(seals_with(world)) == 1)


@pytest.mark.parametrize("seed", range(10))
def test_both_sides_of_a_cut_rotate_and_find_together(seed: int) -> None:
    """Neither side holds the other's key when the cut heals."""
    world = World(seed, "abcd")
    left, right = ["10.0.0.1", "10.0.0.2"], ["10.0.0.3", "10.0.0.4"]
    world.network.cut(left, right)
    world.run(3)
    world["a"].rotate()
    world.run(2)
    world["c"].rotate()
    world["d"].edit("1001", secret=SECRET)
    world.run(70)
    assert len(seals_with(world)) == 2
    world.network.heal()
    assert world.run(10.0, lambda: whole(world) and len(seals_with(world)) == 1)
    assert known(world, "1001") == "abcd"


@pytest.mark.parametrize("seed", range(10))
def test_a_member_that_was_away_gets_the_new_key(seed: int) -> None:
    """It was dead during two rotations and an expulsion, minutes long."""
    world = World(seed, "abcde")
    world.kill("b")
    world.run(3)
    world["a"].rotate()
    world.run(65)
    world["c"].rotate("e")
    world.kill("e")
    world.run(120)
    world["a"].edit("1001", secret=SECRET)
    world.boot("b")
    assert world.run(5.0, lambda: whole(world) and len(seals_with(world)) == 1)
    assert known(world, "1001") == "abcd"


@pytest.mark.parametrize("seed", range(10))
def test_an_expelled_node_neither_reads_nor_speaks(seed: int) -> None:
    """Five seconds later, and for good; the others do not miss a beat; its shelf is void and its trunks are gone."""
    world = World(seed, "abcde", loss=0.05 * (seed % 2))
    world["e"].register("1005", "sip:1005@10.1.0.5:5060")
    world.run(1)
    assert world["a"].where("1005") == ["e"]
    assert world["a"].rotate("e").status == 200
    world.run(5)
    assert all("e" not in n.up() and n.state("e") is None for n in world.running())
    assert all(len(world[n].up()) == 3 for n in "abcd")
    assert all(world[n].where("1005") == [] for n in "abcd")
    assert all(RemoveTrunk(NodeName("e")) in world[n].effects for n in "abcd")
    assert world["e"].up() == []
    assert world["e"].where("1005") == ["e"]
    assert "expelled by a" in world["e"].federation.gate.trouble()

    world["b"].edit("1001", secret=SECRET)
    world["e"].edit("1002", secret=SECRET)
    heard = world.network.frames["10.0.0.5"]
    world.run(30)
    assert known(world, "1001") == "abcd"
    assert known(world, "1002") == "e"
    assert world.network.frames["10.0.0.5"] == heard  # it has nothing to say any more
    world.boot("e")
    world.run(5)
    assert world["e"].up() == []
    assert all(world[n].state("e") is None for n in "abcd")

    world.kill("e")  # invited again, with another key, and with the store that it had
    assert world["b"].admit(StoryKey.of("e", "second"), "e").status == 201
    keys = world["b"].federation.gate.keys
    world.keyrings["e"] = (list(keys), keys.closed)
    world.boot("e", seed="second")
    assert world.run(5, lambda: whole(world))
    assert known(world, "1002") == "abcde"  # its own edits were not lost


@pytest.mark.parametrize("seed", range(5))
def test_an_expelled_node_with_a_will_of_its_own_is_not_heard(seed: int) -> None:
    """It ignores its expulsion, keeps every key that it had, and goes on talking under its own name and a new one."""
    world = World(seed, "abcd")
    rogue = world["d"]
    world.network.cut(["10.0.0.4"], ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
    world.run(3)
    world["a"].rotate("d")
    world.run(5)
    world.network.heal()
    rogue.edit("1002", secret=SECRET)
    world.run(5)
    assert known(world, "1002") == "d"
    assert rogue.up() == []
    assert "expelled" in rogue.federation.gate.trouble()
    assert all("d" not in world[n].up() for n in "abc")
    name = Hello(
        "x", 9_999_999_999, "10.0.0.4", 8781, signing=rogue.key.signing, public=rogue.key.public
    )
    world.network.send(rogue.post.frame(name), rogue.address, None, world.now)
    world.kill("d")
    fresh = world.boot("y")  # with the key that the federation was born with
    world.run(10)
    assert all(set(n.up()) <= set("abc") for n in world.running())
    assert fresh.up() == []
    assert "`pbxfed invite`" in fresh.federation.gate.warning()
    assert refusals(world["a"]) + refusals(world["b"]) + refusals(world["c"])


@pytest.mark.parametrize("seed", range(10))
def test_an_expulsion_that_meets_a_rotation_holds(seed: int) -> None:
    """On the other side of a cut somebody made a younger key, and gave it to the node that was put out."""
    world = World(seed, "abcde")
    left, right = ["10.0.0.1", "10.0.0.2"], ["10.0.0.3", "10.0.0.4", "10.0.0.5"]
    world.network.cut(left, right)
    world.run(3)
    world["a"].rotate("e")
    world.run(2)
    world["c"].rotate()
    world.run(5)
    world.network.heal()
    world.run(20)
    inside = {world[n].federation.gate.keys.newest.id for n in "abcd"}
    assert len(inside) == 1
    assert world["e"].federation.gate.keys.get(inside.pop()) is None
    assert all(sorted(world[n].up()) == sorted(set("abcd") - {n}) for n in "abcd")
    assert world["e"].up() == []


def test_who_may_be_expelled() -> None:
    """Not oneself, nobody twice, nobody unknown; and somebody that is down."""
    world = World()
    assert world["a"].rotate("a").status == 409
    assert world["a"].rotate("z").status == 404
    world.kill("c")
    world.run(4)
    assert world["a"].rotate("c").status == 200
    assert world["a"].rotate("c").status == 409
    world.run(4)
    assert world["a"].up() == ["b"]


def test_a_member_that_writes_nonsense_into_the_roster_stops_no_rotation() -> None:
    """A key that nothing can be sealed for, a text that is none: such a record admits nobody."""
    world = World()
    b = world["b"].federation
    useless = b.gate.roster.admit(NodeName("x"), key_of("x").signing, bytes(32), b.me, 77)
    assert useless.value is not None
    broken = replace(useless, object=b"my", value=useless.value.replace(b"\xa1b", b"\xa1\xff"))
    deep = replace(
        useless, object=b"mz", value=b"\x96" + useless.value[1:] + b"\x91" * 1_100 + b"\xc0"
    )
    for record in useless, broken, deep:
        world["b"].perform(b.ledger.publish([record]))
        world.run(1)
    assert world["a"].rotate().status == 200
    world.run(3)
    assert len(seals_with(world)) == 1
    assert list(world["c"].federation.gate.roster) == ["a", "b", "c"]


def test_a_name_belongs_to_its_key() -> None:
    """A node that lost its own key is refused, and both sides say what to do; done so, it is back."""
    world = World()
    world.kill("c")
    world.run(4)
    world.boot("c", seed="another")
    world.run(5)
    assert world["c"].up() == []
    assert "`pbxfed expel c`" in world["c"].federation.gate.trouble()
    assert "pbxfed expel c" in refusals(world["a"])[0]
    assert world["a"].up() == ["b"]

    assert world["a"].rotate("c").status == 200
    world.run(3)
    invited = world["c"].key
    assert world["b"].admit(invited, "c").status == 201
    keys = world["b"].federation.gate.keys
    world.keyrings["c"] = (list(keys), keys.closed)
    world.run(1)
    world.boot("c", seed="another")
    assert world.run(5, lambda: whole(world))


def test_an_invited_node_belongs_and_only_under_its_name() -> None:
    """From the first rotation on nobody else comes in."""
    world = World(names="ab")
    world["a"].rotate()
    world.run(3)
    key = NodeKey(b"c" * 32, NodeName("c"))
    assert world["a"].admit(key, "c").status == 201
    assert world["a"].admit(key, "c").status == 200
    world.run(0.1)
    other = world["b"].admit(NodeKey(b"d" * 32, NodeName("c")), "c")
    assert (other.status, "pbxfed expel c" in other.error) == (409, True)
    assert world["a"].admit(key, "b").status == 409
    assert world["a"].admit(key, "a").status == 409


@pytest.mark.parametrize("seed", range(5))
def test_an_invited_node_finds_its_way_in(seed: int) -> None:
    """With the keys and nothing else; a rotation that it missed while it was being carried there does not shut it out."""
    world = World(seed, names="ab", loss=0.05 * (seed % 2))
    world["a"].rotate()
    world["a"].edit("1001", secret=SECRET)
    world.run(3)
    assert world["a"].admit(key_of("c"), "c").status == 201
    keys = world["a"].federation.gate.keys
    world.keyrings["c"] = (list(keys), keys.closed)
    if seed > 2:
        world["b"].rotate()
        world.run(70)
    world.boot("c")
    if seed > 2:  # it knows nobody yet: whose grant should it believe?
        assert not world.run(5, lambda: whole(world))
        assert "`pbxfed invite`" in world["c"].federation.gate.warning()
        return
    assert world.run(5, lambda: whole(world))
    assert known(world, "1001") == "abc"


def test_keys_survive_a_restart() -> None:
    """All at once, after a rotation."""
    world = World(names="abc")
    world["b"].rotate()
    world.run(3)
    for name in "abc":
        world.kill(name)
    for name in "abc":
        world.boot(name)
    assert world.run(4, lambda: whole(world))
    assert len(seals_with(world)) == 1


def test_recordings_of_grants_and_refusals_do_nothing() -> None:
    """Every notice of a member's return, sent again later to everybody."""
    world = World(names="abc")
    notices: list[bytes] = []

    def record(frame: bytes, source: str, to: str) -> bool:
        notices.extend([frame] * (frame[0] == NOTICE))
        return False

    world.network.drop = record
    world.kill("c")
    world.run(3)
    world["a"].rotate()
    world.run(62)
    world.boot("c")
    assert world.run(5, lambda: whole(world))
    assert notices
    world["a"].rotate()
    world.run(62)
    held = [list(n.federation.gate.keys) for n in world.running()]
    for frame in notices:
        for name in "abc":
            world[name].receive(frame, ("10.0.0.9", 8781))
    world.run(3)
    assert [list(n.federation.gate.keys) for n in world.running()] == held
    assert whole(world)


@pytest.mark.parametrize("seed", range(5))
def test_a_rotation_reaches_every_site(seed: int) -> None:
    """And so does an expulsion; a site that was cut off meanwhile learns of both."""
    world = World(
        seed,
        "abcdef",
        sites=dict(zip("abcdef", ["east"] * 3 + ["west"] * 3, strict=True)),
        settle=15,
    )
    assert whole(world)
    world["a"].rotate()
    assert world.run(10, lambda: len(seals_with(world)) == 1 and whole(world))
    world.network.cut(["hub"], [f"10.0.0.{i}" for i in (4, 5, 6)])
    world.run(20)
    world["b"].rotate("c")
    world.run(70)
    world.network.heal()
    for name in "def":
        world.bounce(name)
    assert world.run(
        40, lambda: all(sorted(world[n].up()) == sorted(set("abdef") - {n}) for n in "abdef")
    )
    assert {world[n].federation.gate.keys.sealing.id for n in "abdef"} == {
        world["b"].federation.gate.keys.newest.id
    }


@pytest.mark.parametrize("write", range(1, 6))
def test_who_dies_while_it_rotates_comes_back_to_the_others(write: int) -> None:
    """At whichever write: either nobody has the new key, or everybody gets it."""
    world = World(write, "abc")
    world["a"].fuse = write
    world["a"].rotate()
    world.run(4)
    if world["a"].stopped:
        world.boot("a")
    assert world.run(60, lambda: whole(world))
    assert len(seals_with(world)) == 1


@pytest.mark.parametrize("away", [5, 70])
def test_who_lost_its_store_and_missed_a_rotation_regains_its_state(away: float) -> None:
    """`state/keys` names the members whose grant it may believe; until one is heard it says what is wrong."""
    world = World(names="abc")
    world["a"].edit("1001", secret=SECRET)
    world.run(1)
    world.kill("c")
    world.run(3)
    world["a"].rotate()
    world.run(away)
    world.restore("c", None)
    world.network.cut(["10.0.0.3"], ["10.0.0.1", "10.0.0.2"])
    world.boot("c")
    world.run(3)
    assert "has learned nothing from a, b" in world["c"].federation.gate.trouble()
    world.network.heal()
    assert world.run(20, lambda: whole(world) and len(seals_with(world)) == 1)
    assert known(world, "1001") == "abc"
    assert world["c"].federation.gate.trouble() == ""
    assert world["c"].rotate().status == 200


def test_the_members_are_kept_beside_the_keys_from_the_start_on() -> None:
    """Also where `pbxfed join` has written the keys anew, and the store was there before."""
    world = World(names="abc")
    world.kill("c")
    del world.holders["c"]
    world.boot("c")
    world.run(3)
    assert sorted(world.holders["c"]) == ["a", "b"]


@pytest.mark.parametrize("before", [False, True])
def test_who_lost_its_store_cannot_shut_the_others_out(before: bool) -> None:
    """Alone and without its book it makes no key, whether it closed the federation once or nobody did."""
    world = World(names="abc")
    if before:
        world["c"].rotate()
    world.run(3)
    world.kill("c")
    world.network.cut(["10.0.0.3"], ["10.0.0.1", "10.0.0.2"])
    world.run(4)
    world.restore("c", None)
    world.boot("c")
    world.run(5)
    for expel in "", "a":
        refused = world["c"].rotate(expel)
        assert (refused.status, "from a, b since" in refused.error) == (409, True)
    world.network.heal()
    assert world.run(20, lambda: whole(world) and len(seals_with(world)) == 1)
    assert world["c"].rotate().status == 200


@pytest.mark.parametrize("seed", range(5))
def test_a_key_is_passed_on_only_by_who_knows_whom_it_leaves_out(seed: int) -> None:
    """A member that was away has the new key already, and has not heard of the expulsion yet."""
    world = World(seed, "abcd")
    world["b"].rotate()
    world.run(3)
    world.kill("c")
    world.run(3)
    old = world["d"].federation.gate.keys.newest.id
    world["a"].rotate("d")
    new = world["a"].federation.gate.keys.newest.id
    world.run(5)
    gate = world.boot("c").federation.gate
    assert world.run(10, lambda: gate.keys.newest.id == new)
    assert gate.roster.expelled() == []
    hello = world["d"].federation.ourselves.hello(ask=True)
    met = Introduced(hello, world["d"].address, False, b"s" * 16, old)
    _, effects = gate.meet(met, 1, world.now)
    assert not any(isinstance(getattr(e, "message", None), Grant) for e in effects)
    assert world.run(10, lambda: gate.roster.expelled() == ["d"])
