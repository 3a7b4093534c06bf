"""Rows of the fault matrix that happen to processes, clocks and facts: pauses, wrong clocks, storms, joins, moves."""

from math import ceil, log2
from random import Random

import pytest

from pbxfed_ari.core.membership.timing import LAN
from pbxfed_ari.core.records.graves import EXPIRY
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
)
from tests.stories.world import World


@row(2, "slow members, 1 to all of them, paused for 1 to 30 s")
def slow_members(seed: int, size: int) -> None:
    """Nobody declares one dead that was not paused. (Against plain SWIM: `slow.py`.)"""
    rng = Random(seed)
    world = World(seed, names(size), sealed=False, settle=3)
    slow = rng.sample(names(size), 1 + seed % (size - 1))
    events: list[tuple[float, str, bool]] = []
    for name in slow:
        at = world.now
        while at < world.now + 30:
            at += rng.random() * 10
            length = rng.uniform(1, 30)
            events += [(at, name, True), (at + length, name, False)]
            at += length
    ledger = Ledger(world, rng)
    for at, name, pause in sorted(events):
        ledger.work(max(0.0, at - world.now), [n for n in names(size) if n not in slow], pause=2)
        (world.freeze if pause else world.thaw)(name)
    assert not deaths_of(world, [n for n in names(size) if n not in slow])
    settle(world, 6)
    ledger.check()


@row(8, "clocks an hour ahead or behind, in 1970, or drifting")
def clocks(seed: int, size: int) -> None:
    """Whatever a clock did, the later edit stands, and what the wrong clock stamped does not win for ever."""
    rng = Random(seed)
    wrong = rng.choice(names(size))
    world = World(seed, [], sealed=False, settle=0)
    hour, kind = 3_600_000, seed % 5
    if kind == 3:
        world.rates[wrong] = 1 + 1e-4 * rng.choice((-1, 1))
    elif kind != 4:
        world.skews[wrong] = (hour, -hour, -1_800_000_000_000)[kind]
    for name in names(size):
        world.boot(name)
    world.run(4)
    ledger = Ledger(world, rng)
    ledger.work(5)
    world[wrong].register("1001", "sip:1001@10.1.0.9:5060")
    if kind == 4:  # a step in the middle
        world[wrong].skew_ms += rng.choice((hour, -hour))
    ledger.work(5)
    good = rng.choice([n for n in world.running() if n.name != wrong])
    good.edit("1001", name="the last word", secret=SECRET)
    good.register("1001", "sip:1001@10.1.0.9:5060")
    settle(world, 6)
    for node in world.running():
        phone = node.phone("1001")
        assert phone is not None
        assert phone.name == "the last word"
        assert node.where("1001")[0] == good.name
    ledger.check()


@row(10, "every node changes everything at once, and one dies")
def storm(seed: int, size: int) -> None:
    """News of the death takes no more than 6 log2 N periods; it converges."""
    rng, world, ledger = outset(seed, size)
    victim = rng.choice(names(size))
    for i in range(200 // size + 5):
        for node in world.running():
            node.register(str(3_000 + i), f"sip:{node.name}@10.1.0.{i}:5060")
            node.edit(str(1_000 + i), name=f"{node.name} {i}", secret=SECRET)
        if i == 2:
            world.kill(victim)
            died = world.now
        world.run(0.01)
    rounds = max(5, ceil(6 * log2(size)))
    assert world.run(
        rounds * LAN.period - (world.now - died),
        lambda: all(victim not in n.up() for n in world.running()),
    )
    for node in world.running():
        ledger.add(node)
    settle(world, 20)
    ledger.check()


@row(
    11,
    "a join in the middle of a partition; a node that was away for longer than tombstones are kept",
)
def join_or_return(seed: int, size: int) -> None:
    """Only the newcomer gets everything; who was away gives what nobody has seen and brings back nothing that was deleted."""
    (return_after_months if seed % 2 else join_in_a_partition)(seed, size)


def return_after_months(seed: int, size: int) -> None:
    rng, world, ledger = outset(seed, size)
    for i in range(40):
        ledger.add(world[names(size)[i % size]])
        world.run(0.01)
    settle(world, 6)
    away = rng.choice(names(size))
    there = [name for name in names(size) if name != away]
    mine = world[away].address[0]
    world.network.cut([mine], [world[name].address[0] for name in there])
    world.run(5)
    ledger.add(world[away])
    world.kill(away)
    for _ in range(10):
        ledger.remove(world[rng.choice(there)])
        world.run(0.2)
    ledger.work(3)
    buried = [len(world[name].federation.directory.graves) for name in there]
    assert min(buried) >= 10
    world.now += EXPIRY + rng.random() * 100 * 86_400  # nothing is due meanwhile but heartbeats
    world.run(70)
    assert [len(world[name].federation.directory.graves) for name in there] == [0] * len(there)
    world.network.heal()
    world.boot(away)
    ledger.work(3)
    settle(world, 20)
    ledger.check()


def join_in_a_partition(seed: int, size: int) -> None:
    _, world, ledger = outset(seed, size)
    for i in range(120):
        ledger.add(world[names(size)[i % size]])
        world.run(0.01)
    settle(world, 6)
    hosts = [world[name].address[0] for name in names(size)]
    half = hosts[: max(1, size // 2)]
    newcomer = f"10.0.0.{1 + len(world.nodes)}"
    world.network.cut(half, [h for h in [*hosts, newcomer] if h not in half])
    ledger.work(4)
    world.boot("new")
    ledger.work(4)
    assert len(world["new"].federation.directory.catalogue.phones()) >= 100
    before = {h: world.network.received[h] for h in hosts}
    beats = sum(n.post.sent["Heartbeat"] for n in world.running())
    world.network.heal()
    settle(world, 6)
    beats = sum(n.post.sent["Heartbeat"] for n in world.running()) - beats
    for host in hosts:
        pulled = world.network.received[host] - before[host] - beats * 90
        assert pulled < 8_000 + 1_000 * size, f"{host} received {pulled} B after healing"
    ledger.check()


@row(13, "a phone moves from one side of a cut to the other, and back")
def moves(seed: int, size: int) -> None:
    """One owner everywhere after healing: where it registered last."""
    rng = Random(seed)
    world = World(seed, names(size), sealed=False, settle=3)
    order = rng.sample(names(size), size)
    half = max(1, size // 2)
    hosts = [world[name].address[0] for name in order]
    uri = "sip:1001@10.1.0.9:5060"
    world[rng.choice(order)].register("1001", uri)
    world.run(1)
    world.network.cut(hosts[:half], hosts[half:])
    for i in range(1 + rng.randrange(5)):
        world.run(rng.random() * 4)
        side = order[:half] if i % 2 else order[half:]
        last = rng.choice(side)
        world[last].register("1001", uri)
    world.run(rng.random() * 2)
    world.network.heal()
    settle(world, 6)
    for node in world.running():
        assert node.where("1001") == [last]


@pytest.mark.parametrize("case", cases(__name__), ids=str)
def test_the_state(case: Case) -> None:
    """Whatever happens to it."""
    case.play()
