"""Rows of the fault matrix that happen to the network: loss, cuts, clogs, doubles, garbage, dead hubs, deaf groups."""

from random import Random

import pytest

from tests.stories.matrix import (
    SECRET,
    Case,
    Ledger,
    cases,
    deaths_of,
    names,
    outset,
    row,
    settle,
    whole,
)
from tests.stories.world import World


@row(1, "packet loss of 5 to 90 %")
def loss(seed: int, size: int) -> None:
    """Nobody dies of 20 % or less; at 50 % a death is known to all within 15 s. It converges; after 90 % once that is over.

    At 50 % a site of 32 has always some who hold one of the others for dead, for a moment; all hold the same all the same.
    """
    share = (0.05, 0.1, 0.2, 0.5, 0.9)[seed % 5]
    rng, world, ledger = outset(seed, size)
    world.network.loss = share
    ledger.work(10 if size < 32 else 4)
    if share <= 0.2:
        assert not deaths_of(world, names(size))
    if share >= 0.5:
        victim = rng.choice(names(size))
        world.kill(victim)
        within = 15 if share == 0.5 else 60  # at 90 % a survivor must first doubt its own ears
        assert world.run(within, lambda: all(victim not in n.up() for n in world.running()))
        world.boot(victim)  # who dies for good takes along what nobody has heard of yet
    if share == 0.5:
        assert world.run(90, world.agree if size == 32 else lambda: whole(world))
    if share >= 0.5:
        world.network.loss = 0.0
    settle(world, 20)
    ledger.check()


@row(3, "halves, a minority, a bridge, one-way links, flapping links")
def partitions(seed: int, size: int) -> None:
    """Both sides serve; two seconds after healing all hold the same."""
    rng, world, ledger = outset(seed, size)
    order = rng.sample(names(size), size)
    hosts = [world[name].address[0] for name in order]
    half, kind = size // 2, seed % 5
    if kind == 0:
        world.network.cut(hosts[:half], hosts[half:])
    elif kind == 1:
        world.network.cut(hosts[:1], hosts[1:])
    elif kind == 2:  # one node is heard on both sides
        world.network.cut(hosts[:half], hosts[half + 1 :])
    elif kind == 3:
        world.network.cut(hosts[:half], hosts[half:], one_way=True)
    for _ in range(5 if kind == 4 else 1):
        if kind == 4:
            world.network.cut(hosts[:half], hosts[half:])
        ledger.work(1 if kind == 4 else 8, pause=0.2)
        for node in world.running():  # both sides take edits
            before = len(ledger.kept)
            ledger.add(node)
            assert len(ledger.kept) == before + 1
        if kind == 4:
            world.network.heal()
            ledger.work(1)
    world.network.heal()
    took = settle(world, 10)
    assert took <= 2.0, f"equal only {took:.2f} s after healing"
    ledger.check()


@row(4, "links clogged one by one, unclogged in another order")
def swizzle_clog(seed: int, size: int) -> None:
    """It converges (FoundationDB's way of finding what depends on order)."""
    rng, world, ledger = outset(seed, size)
    for _ in range(2):
        chosen = rng.sample(names(size), rng.randrange(1, size + 1))
        begin = world.now + len(chosen) * 0.5
        for name in chosen:
            world.network.clog(world[name].address[0], begin + rng.random() * 5)
            ledger.work(0.5)
        ledger.work(6)
    world.network.heal()
    settle(world, 6)
    ledger.check()


@row(9, "frames doubled, overtaken, damaged, replayed, of strangers, of an old key, and garbage")
def hostile_frames(seed: int, size: int) -> None:
    """Nothing raises, nobody dies, nothing is believed; it converges."""
    rng = Random(seed)
    world = World(seed, names(min(size, 8)), settle=3)  # seals are real here: 32 cost too much
    network = world.network
    network.doubled, network.overtaken, network.damaged = 0.2, 0.2, 0.05
    recorded: list[tuple[bytes, tuple[str, int]]] = []

    def record(frame: bytes, source: str, to: str) -> bool:
        if rng.random() < 0.05:
            recorded.append((frame, (source, 8781)))
        return False

    network.drop = record
    stranger = world.boot("zz", key=bytes(32))
    ledger = Ledger(world, rng)
    for i in range(20):
        ledger.work(0.5, names(min(size, 8)))
        if i == 8 and seed % 2:
            assert world[rng.choice(names(min(size, 8)))].rotate().status < 300
        node = rng.choice([n for n in world.running() if n is not stranger])
        for frame, source in rng.sample(recorded, min(10, len(recorded))):
            node.receive(frame, source)
            node.receive(frame[: rng.randrange(len(frame) + 1)], source)
        node.receive(rng.randbytes(rng.randrange(0, 1_500)), ("10.0.0.250", 8781))
    assert not deaths_of(world, names(size))
    assert stranger.up() == []
    assert stranger.federation.directory.catalogue.phones() == []
    world.kill("zz")
    network.doubled = network.overtaken = network.damaged = 0.0
    settle(world, 6)
    ledger.check()


@row(12, "the hub between sites is killed, falls silent, or forgets addresses")
def dead_hub(seed: int, size: int) -> None:
    """Sites serve meanwhile, and agree when it is back."""
    rng = Random(seed)
    everyone = names(size)
    sites = {
        name: ("east", "west", "north")[i * min(3, size) // size] for i, name in enumerate(everyone)
    }
    world = World(seed, everyone, sites=sites, sealed=False, settle=7)
    settle(world, 8)
    ledger = Ledger(world, rng)
    hosts = [n.address[0] for n in world.running()]
    silent = seed % 3 < 2
    if silent:
        world.network.cut(hosts, ["hub"], one_way=seed % 3 == 1)
    ledger.work(15, pause=0.5)
    for node in world.running():
        ledger.add(node)
    world.network.heal()
    if seed % 2 or not silent:
        for name in everyone:
            world.bounce(name)
    settle(world, 12)
    ledger.check()


@row(14, "multicast is broken, single addresses are not")
def deaf_group(seed: int, size: int) -> None:
    """Nobody dies of it, and what is published arrives by single addresses, while it is broken."""
    _, world, ledger = outset(seed, size)
    broken = 1.0 if seed % 2 else 0.5
    world.network.deaf = lambda source, to: broken
    ledger.work(15, pause=0.5)
    assert not deaths_of(world, names(size))
    settle(world, 15)
    ledger.check()
    world.network.deaf = lambda source, to: 0.0
    ledger.work(5)
    settle(world, 6)
    ledger.check()


@pytest.mark.parametrize("case", cases(__name__), ids=str)
def test_the_network(case: Case) -> None:
    """Whatever it does to frames."""
    case.play()


def test_the_ledger_notices_what_is_lost() -> None:
    """A check that cannot fail would prove nothing."""
    world = World(names="ab", sealed=False)
    ledger = Ledger(world, Random(1))
    ledger.add(world["a"])
    with pytest.raises(AssertionError, match="b lost"):
        ledger.check()
    world.run(1)
    ledger.check()
    world["b"].edit("2001", name="another", secret=SECRET)
    with pytest.raises(AssertionError, match="b lost"):
        ledger.check()
