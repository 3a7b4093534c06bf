"""The fault matrix once more, with real daemons in namespaces: loss, cuts, pauses, kills, lost and old and damaged disks.

Five daemons without Asterisks: what is tried here is what they know and whom they hold for dead. Whatever a fault does, in the
end all live, all hold the same, and every edit that was answered stands.
"""

from __future__ import annotations

import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from random import Random

import pytest

from tests.bench.daemons import Daemons
from tests.bench.ground import Ground, until
from tests.lab.conftest import SECRET

NODES = 5
EVER = 40.0  # seconds: a federation that is not whole by then never will be


class Net:
    """The daemons, and what has been edited through them."""

    def __init__(self, ground: Ground, daemons: Daemons) -> None:
        self.ground, self.daemons = ground, daemons
        self.names = list(daemons.nodes)
        self.stands: dict[str, str] = {}  # number → name, as answered
        self._next = 2_000

    def edit(self, node: str, what: str = "", number: str = "") -> str:
        """An extension is added or renamed at a node; it stands only if that was answered."""
        if not number:
            self._next += 1
            number = str(self._next)
        name = f"{what or 'edited'} at {node}"
        with suppress(OSError, HTTPException):
            body = {"name": name, **({} if number in self.stands else {"secret": SECRET})}
            status, _ = self.daemons.http(node, "PUT", f"/extensions/{number}", body)
            if status < 300:
                self.stands[number] = name
        return number

    def whole(self) -> bool:
        """All live in each other's eyes and hold the same."""
        with suppress(OSError, HTTPException):
            return self.daemons.whole()
        return False

    def check(self, what: str) -> None:
        """The end of every story."""
        until(self.whole, EVER, f"whole after {what}", every=0.2)
        for node in self.names:
            found = {
                e["extension"]: e["name"]
                for e in self.daemons.http(node, "GET", "/extensions?limit=1000")[1]
            }
            missing = {n: name for n, name in self.stands.items() if found.get(n) != name}
            assert not missing, f"{node} after {what}: {missing}"

    def deaths(self, since: dict[str, int]) -> list[str]:
        """What the daemons wrote of deaths, after these marks."""
        lines = []
        for node, mark in since.items():
            text = self.ground.log(node).read_text()[mark:]
            lines += [f"{node}: {line}" for line in text.splitlines() if "member down" in line]
        return lines

    def marks(self) -> dict[str, int]:
        return {node: len(self.ground.log(node).read_text()) for node in self.names}

    def dead(self, whom: list[str], *, eyes: list[str]) -> None:
        """Wait until these are dead in the eyes of those."""

        def holds() -> bool:
            found = [self.daemons.http(node, "GET", "/members")[1] for node in eyes]
            return all({m["node"] for m in one if m["state"] == "down"} >= {*whom} for one in found)

        until(holds, EVER, f"{whom} are dead in the eyes of {eyes}", every=0.1)

    def lose(self, percent: float) -> None:
        """Every host loses so many of the federation's frames, coming in."""
        for host in self.ground.hosts.values():
            match = "udp dport 8781"
            self.ground.network.drop(host, match, outgoing=False, count=None, percent=percent)

    def state(self, node: str) -> Path:
        return self.ground.folder(node) / "state"

    def reborn(self, node: str) -> None:
        """Its daemon again, whether it was killed or ended."""
        self.daemons.run(node)


@pytest.fixture(scope="module")
def module_net() -> Iterator[Net]:
    with (
        Ground(NODES, ".lab-network") as ground,
        Daemons(ground, ground.names, asterisks=[], watched=False) as daemons,
    ):
        daemons.start()
        yield Net(ground, daemons)


@pytest.fixture
def net(module_net: Net) -> Iterator[Net]:
    until(module_net.whole, EVER, "the federation is whole", every=0.2)
    yield module_net
    module_net.ground.unite()
    module_net.ground.heal()


@pytest.mark.parametrize("percent", [5, 20])
def test_loss(net: Net, percent: int) -> None:
    """Nobody dies of it, and everything arrives."""
    marks = net.marks()
    net.lose(percent)
    began = time.monotonic()
    while time.monotonic() - began < 12.0:
        for node in net.names:
            net.edit(node, f"{percent} %")
        time.sleep(0.4)
    assert not net.deaths(marks)
    net.check(f"{percent} % loss")


def test_half_of_all_frames_lost_still_converges(net: Net) -> None:
    """It may cost a false alarm; it costs no edit."""
    net.lose(50)
    for node in net.names * 3:
        net.edit(node, "50 %")
        time.sleep(0.1)
    time.sleep(2.0)
    net.ground.unite()
    net.check("50 % loss")


@pytest.mark.parametrize("size", [1, 2])
def test_a_partition(net: Net, size: int) -> None:
    """A minority or nearly half: both sides take edits, also of the same field, and agree afterwards."""
    few, many = net.names[:size], net.names[size:]
    contested = net.edit(net.names[0], "before")
    net.check("an edit")
    net.ground.divide(few, many)
    net.dead(few, eyes=many)
    net.dead(many, eyes=few)
    for node in net.names:
        net.edit(node, "apart")
    net.edit(few[0], "few", contested)
    time.sleep(0.05)
    net.edit(many[0], "many", contested)
    net.ground.unite()
    net.check("a partition")


def test_a_one_way_cut(net: Net) -> None:
    """One is heard by nobody, but hears all; then the other way round."""
    first, *others = net.names
    host = net.ground.hosts[first]
    for outgoing in True, False:
        net.ground.network.drop(host, "udp dport 8781", outgoing=outgoing, count=None, percent=100)
        if outgoing:
            net.dead([first], eyes=others)
        else:
            net.dead(others, eyes=[first])
        for node in net.names:
            net.edit(node, "one way")
        net.ground.unite()
        net.check("a one-way cut")


def test_a_cable_that_flaps(net: Net) -> None:
    """A second in, a second out."""
    for turn in range(6):
        net.ground.cut(net.names[2])
        net.edit(net.names[2], f"out {turn}")
        time.sleep(1.0)
        net.ground.heal()
        net.edit(net.names[turn % NODES], f"in {turn}")
        time.sleep(1.0)
    net.check("flapping")


@pytest.mark.parametrize("seconds", [1.0, 6.0])
def test_paused_daemons(net: Net, seconds: float) -> None:
    """Two stand still; no other is held for dead because of it, and they are welcome back."""
    marks = net.marks()
    paused = net.names[:2]
    for node in paused:
        net.ground.running[node].send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    net.edit(net.names[3], "meanwhile")
    for node in paused:
        net.ground.running[node].send_signal(signal.SIGCONT)
    net.check("a pause")
    for line in net.deaths(marks):
        assert line.partition("node=")[2].split()[0] in paused, line


def test_kill_9_at_any_moment(net: Net) -> None:
    """While it edits; what was answered stands, whoever was killed."""
    rng = Random(9)
    for turn in range(6):
        victim = net.names[turn % NODES]
        for _ in range(rng.randrange(1, 6)):
            net.edit(victim, f"kill {turn}")
        net.ground.kill(victim)
        net.edit(net.names[(turn + 1) % NODES], f"kill {turn}")
        net.reborn(victim)
    net.check("kills")


def test_all_lose_power_at_once(net: Net) -> None:
    """What was answered was on a disk."""
    for node in net.names:
        net.edit(node, "last")
    for node in net.names:
        net.ground.kill(node)
    with ThreadPoolExecutor(NODES) as pool:
        list(pool.map(net.reborn, net.names))
    net.check("a power cut")


def test_a_lost_disk(net: Net) -> None:
    """Peers know its past better than it does; its epochs begin above it."""
    node = net.names[1]
    net.edit(node, "before")
    net.check("an edit")
    net.ground.kill(node)
    for path in net.state(node).glob("state.db*"):
        path.unlink()
    net.reborn(node)
    net.edit(node, "after")
    net.check("a lost disk")


@pytest.mark.parametrize("alone", [False, True], ids=["among-peers", "alone-first"])
def test_a_restored_old_copy(net: Net, alone: bool) -> None:
    """A snapshot goes back in time; started alone with it, the node even edits before it meets the others."""
    node = net.names[2]
    net.ground.kill(node)
    copy = net.ground.folder(node) / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(net.state(node), copy)
    net.reborn(node)
    until(net.whole, EVER, "whole again", every=0.2)
    for _ in range(5):
        net.edit(node, "since the copy")
    net.check("edits")
    net.ground.kill(node)
    shutil.rmtree(net.state(node))
    shutil.copytree(copy, net.state(node))
    if alone:
        net.ground.cut(node)
    net.reborn(node)
    if alone:
        time.sleep(2.0)
        net.edit(node, "alone")
        net.ground.heal()
    net.check("a restored copy")


def test_a_damaged_store(net: Net) -> None:
    """Bits flip in its records while it is down: found by checksum, given back by peers, passed on to nobody."""
    node = net.names[3]
    net.edit(node, "sound")
    net.check("an edit")
    net.ground.kill(node)
    database = sqlite3.connect(net.state(node) / "state.db")
    with database:
        hurt = database.execute(
            "update records set record = x'ff' || substr(record, 2) where version % 3 = 0"
        )
        assert hurt.rowcount > 0
    database.close()
    net.reborn(node)
    net.check("damage")


def test_garbage_floods_nobody_out(net: Net) -> None:
    """Frames of strangers, cut short, or random: counted, and nothing else."""
    target = net.ground.hosts[net.names[0]]
    before = net.daemons.status(net.names[0])["counters"]
    rng = Random(3)
    frames = [rng.randbytes(rng.randrange(1, 1400)) for _ in range(2_000)]

    def flood() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for frame in frames:
                sock.sendto(frame, (target.address, 8781))

    net.ground.inside(net.names[1], flood)
    net.edit(net.names[0], "flooded")
    net.check("garbage")
    after = net.daemons.status(net.names[0])["counters"]
    assert sum(after["frames_dropped"].values()) > sum(before["frames_dropped"].values())
    assert after["event_failures"] == before["event_failures"] == 0
