"""A cut has healed: many come back at once, each asks whether the others live, and few frames are sent for it."""

from collections import Counter

import pytest

from pbxfed_ari.core.membership.timing import LAN
from tests.stories.world import World

SECRET = "abcdEFGH1234"
LEFT, RIGHT = ["10.0.0.1", "10.0.0.2"], ["10.0.0.3", "10.0.0.4"]


def names(size: int) -> list[str]:
    """n00, n01, …"""
    return [f"n{i:02}" for i in range(size)]


def apart(world: World) -> None:
    """Two halves hold each other for dead."""
    hosts = [node.address[0] for node in world.running()]
    world.network.cut(hosts[::2], hosts[1::2])
    assert world.run(15, lambda: all(len(n.up()) < len(hosts) / 2 for n in world.running()))
    world.run(2)
    for node in world.running():
        node.spent.clear()
        node.post.sent.clear()


def whole(world: World) -> bool:
    """All live for all."""
    return all(len(n.up()) == len(world.nodes) - 1 for n in world.running())


def frames(world: World) -> Counter[str]:
    """What all have sent, by kind."""
    return sum((Counter(node.post.sent) for node in world.running()), Counter())


@pytest.mark.parametrize("size", [6, 8, 32])
@pytest.mark.parametrize("seed", range(3))
def test_one_heartbeat_asks_them_all(size: int, seed: int) -> None:
    """Not one question and one answer for each pair: three heartbeats for two nodes, and they live within a second."""
    world = World(seed, names(size), sealed=False, settle=4)
    apart(world)
    world.network.heal()
    assert world.run(1.1, lambda: whole(world))
    world.run(1.5)
    sent = frames(world)
    assert sent["RollCall"] <= 3 * size / 2
    assert sent["Probe"] == sent["Ack"] == 0


def test_what_a_healed_partition_costs_the_whole_site() -> None:
    """DESIGN's row, with every frame but heartbeats: those that ask and answer count by what they are longer."""
    world = World(5, names(8), sealed=False, settle=4)
    for i in range(100):
        world[names(8)[i % 8]].edit(f"{1000 + i}", name=f"first {1000 + i}", secret=SECRET)
    world.run(3)
    apart(world)
    for i in range(16):
        world[names(8)[i % 8]].edit(f"{1000 + i}", name=f"16 0 {1000 + i}")
    world.run(1)
    for node in world.running():
        node.spent.clear()
        node.post.sent.clear()
    world.network.heal()
    assert world.run(2, world.agree)
    world.run(2)
    spent = sum((node.spent for node in world.running()), Counter())
    sent = frames(world)
    beat = spent.pop("Heartbeat") / sent["Heartbeat"]
    record = 9 + 1 + 9 + 11 + 5  # object, group, stamp, value, framing
    assert spent.total() - sent["RollCall"] * beat <= 600 + 6 * 8 + 1.1 * 16 * (record + 4)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("size", [8, 32])
def test_a_question_that_is_lost_is_put_again_alone(size: int, seed: int) -> None:
    """At 20 % loss, too, all live for all soon after."""
    world = World(seed, names(size), sealed=False, settle=4)
    apart(world)
    world.network.heal()
    world.network.loss = 0.2
    assert world.run(4, lambda: whole(world))


def test_who_held_us_for_living_is_asked_alone() -> None:
    """A cut that was one-way: the answers that a heartbeat asks for do not come, so each is asked by a frame of its own."""
    world = World(2, "abcd", settle=3)
    world.network.cut(RIGHT, LEFT, one_way=True)
    assert world.run(6, lambda: world["a"].up() == ["b"])
    assert world["c"].up() == ["a", "b", "d"]
    world.network.heal()
    assert world.run(1.5, lambda: whole(world))


def test_without_multicast_a_cut_heals_as_well() -> None:
    """The same question, by single addresses."""
    world = World(3, "abcd", settle=3, unicast_only="abcd", seeds=["10.0.0.1"])
    assert world.run(5, lambda: whole(world))
    apart(world)
    world.network.heal()
    assert world.run(4, lambda: whole(world))


@pytest.mark.parametrize("late", [False, True], ids=["in-time", "late"])
def test_recorded_answers_do_not_revive_the_dead(late: bool) -> None:
    """Held back until the question is over they are worth nothing, however many; that they were answers shows in time."""
    world = World(4, "abcd", settle=3)
    world.network.cut(LEFT, RIGHT)
    assert world.run(6, lambda: world["a"].up() == ["b"] and world["b"].up() == ["a"])
    recorded: list[tuple[bytes, tuple[str, int], str]] = []

    def record(frame: bytes, source: str, to: str) -> bool:
        if source in RIGHT and to in LEFT:
            recorded.append((frame, (source, 8781), to))
            return True
        return False

    world.network.drop = record
    world.network.heal()
    world.run(1)
    frame, source, _ = recorded[-1]
    del recorded[:]
    for name in "ab":  # it hears one of them, and asks
        world[name].receive(frame, source, multicast=True)
    world.run(0.7)
    assert recorded
    for name in "cd":
        world.kill(name)
    if late:  # who did not answer all together was asked alone, and that question stands as long
        world.run(2 * LAN.introduction)
    for frame, source, to in recorded:
        listener = next(n for n in world.running() if n.address[0] == to)
        listener.receive(frame, source, multicast=True)
        living = {*world["a"].up(), *world["b"].up()} & {"c", "d"}
        assert not (late and living)
    assert late or living
    world.run(4)
    assert (world["a"].up(), world["b"].up()) == (["b"], ["a"])


def test_a_single_one_that_comes_back_is_asked_at_once() -> None:
    """No heartbeat is waited for: a daemon that stood still is whole again in no time."""
    world = World(6, "abcd", settle=3)
    world.freeze("d")
    assert world.run(6, lambda: all("d" not in n.up() for n in world.running()))
    for node in world.running():
        node.post.sent.clear()
    world.thaw("d")
    assert world.run(0.6, lambda: whole(world))
    assert frames(world)["RollCall"] == 0
