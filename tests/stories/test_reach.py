"""Stories of federations on networks that lose multicast: who notices, what it costs, and how it ends."""

from collections import Counter
from random import Random
from statistics import median

import pytest

from pbxfed_ari.core.effects import Note
from pbxfed_ari.core.membership.member import State
from pbxfed_ari.core.membership.timing import PRESETS, WAN
from pbxfed_ari.core.messages import Leave
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.store.sqlite import Store
from tests.stories.world import KEY, Node, World

SECRET = "abcdEFGH1234"
URI = "sip:1001@10.1.0.7:5060"
SERF = 7.6  # seconds until all of 32 know of a cut link; measured, docs/decisions/0012


def ways(world: World, name: str) -> set[tuple[str, str]]:
    """How a node hears its peers and tells them."""
    reach = world[name].federation.reach
    return {
        (reach.way(m.name).heard_by, reach.way(m.name).told_by)
        for m in world[name].federation.members
    }


def everyone(world: World) -> bool:
    """All running nodes see one another and hold the same."""
    running = world.running()
    return all(len(n.up()) == len(running) - 1 for n in running) and world.agree()


def rates(world: World, seconds: float) -> list[float]:
    """Frame bytes a second that each running node sends."""
    before = Counter(world.network.bytes)
    world.run(seconds)
    hosts = [node.address[0] for node in world.running()]
    return [(world.network.bytes[host] - before[host]) / seconds for host in hosts]


def many(n: int) -> list[str]:
    return [f"n{i:03}" for i in range(n)]


def death(world: World, victim: str) -> tuple[float, float]:
    """Seconds until no living node sends calls there, and until it is down for all."""
    world.kill(victim)
    began, name = world.now, NodeName(victim)
    members = [n.federation.members for n in world.running()]
    assert world.run(20, lambda: not any(m.reachable(name) for m in members))
    avoided = world.now - began
    assert world.run(20, lambda: not any(m.up(name) for m in members))
    return avoided, world.now - began


def dead(world: World) -> None:
    world.network.deaf = lambda source, to: 1.0


def healed(world: World) -> None:
    world.network.deaf = lambda source, to: 0.0


def test_where_multicast_works_no_copy_is_sent() -> None:
    """Not at 5 % loss either."""
    world = World(names="abcdefgh", loss=0.05, sealed=False)
    world.run(300)
    assert ways(world, "a") == {("multicast", "multicast")}
    assert world["a"].post.sent["Copy"] == 0
    losses = [world["a"].federation.reach.way(NodeName(n)).loss for n in "bcdefgh"]
    assert all(loss is not None and loss < 0.2 for loss in losses)


@pytest.mark.parametrize("seed", range(5))
def test_when_multicast_dies_unicast_takes_over_and_nobody_is_thought_dead(seed: int) -> None:
    """And when it is back the copies end."""
    world = World(seed, "abcde", sealed=False)
    dead(world)
    assert world.run(8, lambda: all(ways(world, n) == {("unicast", "unicast")} for n in "abcde"))
    world["a"].register("1001", URI)
    world["b"].edit("1001", name="Reception", secret=SECRET)
    world.run(0.1)
    for node in world.running():
        phone = node.phone("1001")
        assert phone is not None
        assert phone.name == "Reception"
        assert node.where("1001") == ["a"]
    world.run(60)
    assert everyone(world)
    healed(world)
    assert world.run(
        45, lambda: all(ways(world, n) == {("multicast", "multicast")} for n in "abcde")
    )
    sent = world["a"].post.sent["Copy"]
    world.run(60)
    assert world["a"].post.sent["Copy"] - sent <= 8  # one to each that had not said so yet
    verdicts = [e for n in world.running() for e in n.effects if isinstance(e, Note)]
    assert not [note for note in verdicts if note.what in ("member suspect", "member down")]


def test_one_way_dead_means_copies_one_way() -> None:
    """Who still hears goes on as before."""
    world = World(names="abc")
    world.network.deaf = lambda source, to: float(source == "10.0.0.1")
    world.run(10)
    assert ways(world, "a") == {("multicast", "unicast")}
    assert ways(world, "b") == {("unicast", "multicast"), ("multicast", "multicast")}
    assert everyone(world)


def test_one_deaf_node_gets_copies_from_all() -> None:
    """Asymmetric: the others do not need any."""
    world = World(names="abcd")
    world.network.deaf = lambda source, to: float(to == "10.0.0.4")
    world.run(10)
    assert ways(world, "d") == {("unicast", "multicast")}
    assert ways(world, "a") == {("multicast", "unicast"), ("multicast", "multicast")}
    world["a"].edit("1001", name="x", secret=SECRET)
    world.run(0.1)
    assert world["d"].phone("1001") is not None
    assert everyone(world)


@pytest.mark.parametrize("seed", range(5))
def test_thirty_percent_of_multicast_lost_is_too_much(seed: int) -> None:
    """The loss is measured, shown, and avoided; unicast is clean here, as on some Wi-Fi."""
    world = World(seed, "abc", deaf=0.3, sealed=False)
    assert world.run(180, lambda: all(ways(world, n) == {("unicast", "unicast")} for n in "abc"))
    world.run(40)
    loss = world["a"].federation.reach.way(NodeName("b")).loss
    assert loss is not None
    assert 0.1 < loss < 0.55
    sent = world["a"].post.sent["Probe"]
    world.run(120)
    assert world["a"].post.sent["Probe"] - sent <= 4  # copies come, so nobody need ask
    assert world["a"].post.sent["Copies"] <= 6


def test_a_paused_node_needs_no_copies_afterwards() -> None:
    """Its silence was no loss: the numbers say so."""
    world = World(names="abc")
    world.freeze("a")
    world.run(1.4)
    world.thaw("a")
    world.run(20)
    assert ways(world, "b") == {("multicast", "multicast")}


@pytest.mark.parametrize("seed", range(5))
def test_one_living_seed_is_enough_where_multicast_never_worked(seed: int) -> None:
    """It tells each newcomer who else is here."""
    world = World(seed, "abcdefgh", deaf=1.0, seeds=["10.0.0.1", "10.0.0.99"], settle=0)
    assert world.run(12, lambda: everyone(world))
    world["h"].edit("1001", name="x", secret=SECRET)
    assert world.run(3, lambda: all(n.phone("1001") is not None for n in world.running()))


def test_without_a_group_all_goes_by_unicast_from_the_start() -> None:
    """`lan.multicast = false`: not one frame to the group, and no waiting for what cannot come."""
    names = "abcdef"
    world = World(names=names, seeds=["10.0.0.3"], unicast_only=names, settle=0)
    world.network.deaf = lambda source, to: pytest.fail("a frame to the group")
    assert world.run(4, lambda: everyone(world))
    assert all(ways(world, n) == {("unicast", "unicast")} for n in names)
    world["b"].perform(world["b"].federation.leave())
    world["b"].stopped = "left"
    world.run(0.1)
    assert [world[n].state("b") for n in "acdef"] == [State.LEFT] * 5


def test_a_node_without_a_group_lives_with_others_that_have_one() -> None:
    """The cloud machine and the LAN."""
    world = World(names="abcd", seeds=["10.0.0.1"], unicast_only="d", settle=0)
    world.network.deaf = lambda source, to: float(to == "10.0.0.4")
    assert world.run(6, lambda: everyone(world))
    world.run(10)
    assert ways(world, "d") == {("unicast", "unicast")}
    assert ways(world, "a") == {("unicast", "unicast"), ("multicast", "multicast")}


def test_a_seed_that_comes_later_is_found() -> None:
    """Knocking goes on, slowly."""
    world = World(names="b", deaf=1.0, seeds=["10.0.0.7"], settle=60)
    assert 30 <= world["b"].post.sent["Hello"] <= 90
    world.boot("a", address="10.0.0.7")
    assert world.run(5, lambda: everyone(world))


def test_a_name_that_is_taken_is_refused_by_way_of_a_seed() -> None:
    """The holder hears no multicast; the seed tells the newcomer where to ask."""
    world = World(names="abc", deaf=1.0, seeds=["10.0.0.1"], settle=12)
    assert everyone(world)
    world.nodes["b2"] = node = Node(world, "b", Store(":memory:"), address="10.0.0.9", key=KEY)
    world.run(2)
    assert "held by 10.0.0.2" in node.stopped
    assert world["a"].up() == ["b", "c"]


def test_a_restarted_node_finds_its_peers_in_its_store() -> None:
    """No seed is alive, or none was ever named."""
    names = "abc"
    world = World(names=names, seeds=["10.0.0.1"], unicast_only=names, settle=6)
    assert everyone(world)
    world.seeds = ()
    world.kill("c")
    world.run(5)
    assert world["a"].up() == ["b"]
    world.boot("c")
    assert world.run(4, lambda: everyone(world))


@pytest.mark.parametrize("unicast_only", ["", "abcdef"])
def test_a_cut_heals_by_unicast_alone(unicast_only: str) -> None:
    """Who is down is still told now and then."""
    world = World(
        names="abcdef", deaf=1.0, seeds=["10.0.0.1"], unicast_only=unicast_only, settle=12
    )
    assert everyone(world)
    world.network.cut([f"10.0.0.{i}" for i in (1, 2, 3)], [f"10.0.0.{i}" for i in (4, 5, 6)])
    world.run(8)
    assert world["a"].up() == ["b", "c"]
    world["a"].edit("1001", name="left", secret=SECRET)
    world["d"].edit("1002", name="right", secret=SECRET)
    world.run(1)
    world.network.heal()
    assert world.run(5, lambda: everyone(world))


def test_multicast_that_dies_during_a_cut_is_no_lasting_one() -> None:
    """Nobody owes anybody copies then: doors of the down are knocked at."""
    world = World(names="abcd")
    world.network.cut(["10.0.0.1", "10.0.0.2"], ["10.0.0.3", "10.0.0.4"])
    world.run(6)
    dead(world)
    world.run(20)
    world.network.heal()
    assert world.run(30, lambda: everyone(world))


@pytest.mark.parametrize("n", [3, 32])
@pytest.mark.parametrize("group", [True, False], ids=["multicast dead", "no group"])
def test_what_unicast_costs(n: int, group: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes sent by a node when nothing happens, heartbeats to the group included. The bar is 800 a second."""
    names = many(n)
    only = [] if group else names
    world = World(1, names, deaf=1.0, seeds=["10.0.0.1"], unicast_only=only, sealed=False)
    assert world.run(30, lambda: everyone(world))
    world.run(20)
    sent = rates(world, 60)
    with capsys.disabled():
        print(f"\nunicast, N = {n}, {'with' if group else 'no'} group: {median(sent):.0f} B/s sent")
    assert max(sent) <= 800


@pytest.mark.parametrize("loss", [0.0, 0.05])
def test_how_soon_a_death_is_known_in_a_large_unicast_site(
    loss: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """32 nodes, heartbeats by turns: each peer expects one in 5.5 s, some peer expects one in each period."""
    rng = Random(7)
    names = many(32)
    world = World(1, names, deaf=1.0, seeds=["10.0.0.1"], loss=loss, sealed=False)
    assert world.run(60, lambda: everyone(world))
    world.run(10)
    times = []
    for victim in rng.sample(names[1:], 8):
        world.run(8 + rng.random())
        times.append(death(world, victim))
        assert all(len(n.up()) == len(world.running()) - 1 for n in world.running())
    avoided, down = zip(*times, strict=True)
    with capsys.disabled():
        print(
            f"\nunicast, N = 32, loss {loss:.0%}: a dead node is avoided by all after {median(avoided):.1f} s"
            f" (worst {max(avoided):.1f}), down for all after {median(down):.1f} s (worst {max(down):.1f})"
        )
    assert max(down) < SERF


def test_nobody_dies_of_five_percent_loss_by_unicast() -> None:
    """Ten minutes of 16 nodes."""
    world = World(3, many(16), deaf=1.0, seeds=["10.0.0.1"], loss=0.05, sealed=False)
    assert world.run(60, lambda: everyone(world))
    world.run(600)
    notes = [e for n in world.running() for e in n.effects if isinstance(e, Note)]
    assert not [note for note in notes if note.what == "member down"]
    assert all(len(n.up()) == 15 for n in world.running())


def test_a_goodbye_reaches_those_who_hear_no_multicast() -> None:
    """Leave is told in copies too."""
    world = World(names="abc")
    dead(world)
    world.run(10)
    received = world["b"].post.received[Leave.__name__]
    world["a"].perform(world["a"].federation.leave())
    world["a"].stopped = "left"
    world.run(0.1)
    assert world["b"].post.received[Leave.__name__] == received + 1
    assert world["b"].state("a") is State.LEFT


def test_a_cut_is_no_loss_of_multicast() -> None:
    """What nobody heard in any way is not blamed on multicast: no copies follow a partition."""
    world = World(1, "abcdef")
    world.network.cut(["10.0.0.1", "10.0.0.2"], ["10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"])
    world.run(8)
    world.network.heal()
    world.run(10)
    assert sum(node.post.sent["Copy"] + node.post.sent["Copies"] for node in world.running()) == 0


@pytest.mark.parametrize("preset", ["lan", "wan"])
def test_nodes_that_are_far_apart_find_one_another(preset: str) -> None:
    """A third of a second there and back, longer than a question's time in a LAN: its answer counts all the same."""
    names = many(6)
    world = World(3, [], settle=0, timing=PRESETS[preset], seeds=["10.0.0.1"], unicast_only=names)
    world.network.delay = 0.15
    for name in names:
        world.boot(name)
    assert world.run(30, lambda: everyone(world))


def test_the_timing_for_long_ways_doubts_nobody_there() -> None:
    """With three frames in a hundred lost; and a death is known within ten seconds."""
    names = many(6)
    world = World(3, [], settle=0, timing=WAN, seeds=["10.0.0.1"], unicast_only=names, loss=0.03)
    world.network.delay = 0.15
    for name in names:
        world.boot(name)
    world.run(40)
    for node in world.running():
        node.effects.clear()
    world.run(300)
    told = [e for n in world.running() for e in n.effects if isinstance(e, Note)]
    assert [note for note in told if note.what in ("member suspect", "member down")] == []
    avoided, down = death(world, "n003")
    assert avoided < down < 10


def test_a_cable_that_is_out_for_a_moment_is_no_loss_of_multicast() -> None:
    """Again and again, until calls go elsewhere: what was asked alone did not come either."""
    world = World(7, "abc", settle=4)
    for _ in range(10):
        world.network.cut(["10.0.0.3"], ["10.0.0.1", "10.0.0.2"])
        calls = [world[name].federation.view.reachable for name in "ab"]
        assert world.run(3, lambda calls=calls: not any(to(NodeName("c")) for to in calls))  # type: ignore[misc]
        world.network.heal()
        assert world.run(3, lambda: everyone(world))
        world.run(1)
    assert all(ways(world, name) == {("multicast", "multicast")} for name in "abc")
