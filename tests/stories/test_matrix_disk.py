"""Rows of the fault matrix that happen to disks and power: death at any write, lost and old disks, damage, all dark at once."""

from random import Random

import pytest

from pbxfed_ari.core.messages import ShelfDrop
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.errors import ConfigError
from tests.stories.matrix import SECRET, Case, Ledger, cases, names, outset, row, settle
from tests.stories.world import World


@row(5, "kill -9 at every write; a lost disk; an old copy of it, booted alone too")
def death_at_a_write(seed: int, size: int) -> None:
    """No number of a stream stands for two records, the state is regained, unsent edits are kept."""
    rng, world, ledger = outset(seed, size)
    ledger.work(3)
    victim = rng.choice(names(size))
    copy = world.snapshot(victim)
    ledger.work(3)
    node = world[victim]
    node.fuse = 1 + seed // 8 % 12
    for _ in range(100):
        ledger.churn(node)
        if node.stopped:
            break
        world.run(rng.random() * 0.1)
    assert node.stopped == "killed"
    world.run(rng.random() * 4)
    alone = seed % 2 == 1
    hosts = [n.address[0] for n in world.nodes.values()]
    mine = node.address[0]
    if alone:
        world.network.cut([mine], [h for h in hosts if h != mine])
    disk = seed // 2 % 4
    if disk == 1:
        world.restore(victim, None)
    elif disk == 2:
        world.restore(victim, copy)
    node = world.boot(victim)
    if disk == 3:  # and again, while it starts
        node.fuse = 1
        world.run(2)
        world.kill(victim)
        node = world.boot(victim)
    ledger.work(4)
    if alone:
        ledger.add(node)
        world.run(1)
        world.network.heal()
    settle(world, 8)
    ledger.check()


@row(6, "bits flip in the store, or it ends too early")
def damage(seed: int, size: int) -> None:
    """It is noticed, repaired from peers, and not passed on."""
    rng, world, ledger = outset(seed, size)
    for name in names(size):
        for _ in range(5):
            ledger.add(world[name])
    ledger.work(4)
    victim = rng.choice(names(size))
    world.kill(victim)
    world.run(rng.random() * 3)
    if seed % 4 == 0:
        world.restore(victim, None)
    else:
        (flip_stream if seed % 4 == 1 else flip_records)(world, victim, rng)
    try:
        world.boot(victim)
    except ConfigError:  # it says which file, and to move it away
        world.restore(victim, None)
        world.boot(victim)
    settle(world, 10)
    ledger.check()


def flip_records(world: World, name: str, rng: Random) -> None:
    """One bit in each of some rows."""
    database = world.stores[name]._db
    rows = database.execute("select stream, key, record from records").fetchall()
    for stream, key, record in rng.sample(rows, min(len(rows), rng.randrange(1, 6))):
        bit = rng.randrange(len(record) * 8)
        flipped = bytearray(record)
        flipped[bit // 8] ^= 1 << bit % 8
        database.execute(
            "update records set record = ? where stream = ? and key = ?",
            (bytes(flipped), stream, key),
        )


def flip_stream(world: World, name: str, rng: Random) -> None:
    """One bit in what is said of a stream."""
    database = world.stores[name]._db
    number = rng.choice(database.execute("select id from streams").fetchall())[0]
    column = rng.choice(("epoch", "base", "held", "floor"))
    database.execute(
        f"update streams set {column} = {column} + ? where id = ?", (1 << rng.randrange(24), number)
    )


@row(7, "the power of all fails at once")
def all_dark(seed: int, size: int) -> None:
    """What was acknowledged was on a disk: nothing of it is lost, though each disk lost what was not flushed."""
    rng, world, ledger = outset(seed, size)
    world.power_may_fail = True
    for name in names(size):
        world.flushed[name] = world.snapshot(name)
    ledger.work(5, pause=0.1)
    for name in names(size):
        world.kill(name)
        world.restore(name, world.flushed[name])
    world.run(rng.random() * 5)
    for name in rng.sample(names(size), size):
        world.run(rng.random() * (3 if size <= 8 else 0.5))
        world.boot(name)
    settle(world, 10)
    ledger.check()


@pytest.mark.parametrize("case", cases(__name__), ids=str)
def test_the_disk(case: Case) -> None:
    """Whatever becomes of it."""
    case.play()


def test_the_dots_notice_a_number_used_twice() -> None:
    """A check that cannot fail would prove nothing."""
    world = World(names="ab", sealed=False)
    node = world["a"]
    copy = world.snapshot("a")
    Ledger(world, Random(1)).add(node)
    epoch = node.federation.ourselves.identity.epoch
    dot = next(d for d in reversed(world.dots) if d[0] == "a")
    assert dot[1] == epoch
    world.dots[("a", epoch, dot[2] + 1)] = ShelfDrop("another")
    with pytest.raises(AssertionError, match="is"):
        node.edit("2999", name="x", secret=SECRET)
    assert copy != world.snapshot("a")


def test_what_was_left_of_an_epoch_is_pulled_though_nothing_continues_it_any_more() -> None:
    """A disk that is an old copy, then a lost one: what the first boot lacked begins where only the second knew."""
    world = World(1, "abc", sealed=False)
    world.run(3)
    early = world.snapshot("c")
    world["c"].edit("1001", name="late", secret=SECRET)
    world.run(1)
    world.kill("c")
    world.restore("c", early)
    world.boot("c")
    streams = world["a"].federation.directory.streams

    def rest() -> list[int]:
        """Where what is left of earlier boots begins."""
        found = (streams.get(stream) for stream in streams.left_over(NodeName("c")))
        return [one.base for one in found if one is not None]

    assert world.run(3, lambda: any(rest())), "a knows more of the first boot than the second does"
    world.kill("c")
    world.restore("c", None)
    world.boot("c")
    settle(world, 20)
    assert not rest()
