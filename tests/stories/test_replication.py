"""Stories of what is held: damage that heals, the dead that are forgotten, who comes back from before, old streams that end."""

import sqlite3
from pathlib import Path

import pytest
from msgspec.structs import replace

from pbxfed_ari.core.effects import Note
from pbxfed_ari.core.messages import Vector
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records import marks
from pbxfed_ari.core.records.graves import EXPIRY, SETTLE
from pbxfed_ari.store.sqlite import Store
from tests.stories.world import Node, World

SECRET = "abcdEFGH1234"
URI = "sip:1001@10.1.0.7:5060"
A = NodeName("a")
LATER = 3 * SETTLE  # by then what all have heard is collected


def told(world: World, what: str) -> list[dict[str, object]]:
    """All notes of one kind, of all nodes."""
    notes = [e for n in world.running() for e in n.effects if isinstance(e, Note)]
    return [dict(note.fields) for note in notes if note.what == what]


def index(node: Node) -> int:
    """How many keys a node's streams name, in memory."""
    streams = node.federation.directory.streams
    return sum(len(found) for i in streams.ids() if (found := streams.get(i)))


def rows(store: Store) -> int:
    return int(store._db.execute("select count(*) from records").fetchone()[0])


def copy(store: Store) -> Store:
    """A snapshot of a node's disk."""
    other = Store(":memory:", store._clock)
    store._db.backup(other._db)
    return other


def same(world: World) -> bool:
    """Do all nodes hold the same phones? Compared as they are, not by fingerprint."""
    found = {tuple(map(repr, n.federation.directory.catalogue.phones())) for n in world.running()}
    return len(found) == 1 and world.agree()


# --- damage


@pytest.mark.parametrize("victim", ["a", "b"])
def test_a_lost_record_is_read_anew(victim: str) -> None:
    """At its origin or at a replica: vectors agree, contents do not, and peers give it back."""
    world = World()
    for i in range(50):
        world["a"].edit(f"{2000 + i}", name=f"phone {i}", secret=SECRET)
    world.run(3)
    directory = world[victim].federation.directory
    phone = world[victim].phone("2007")
    assert phone is not None
    entry = directory.book.remove((phone.id, 1))
    directory.contents.book(entry, -1)
    directory.catalogue.reread(phone.id)
    assert world[victim].phone("2007") is None
    assert not world.agree()
    assert world.run(8, lambda: same(world))
    world.run(5)
    assert world[victim].phone("2007") is not None
    assert [t["origin"] for t in told(world, "records repaired")] == ["a"]


def test_one_edit_with_two_values_is_decided_alike() -> None:
    """Damage that keeps the stamp: nobody can know which is right, all must hold the same."""
    world = World()
    world["a"].edit("1001", name="Reception", secret=SECRET)
    world.run(2)
    directory = world["c"].federation.directory
    phone = world["c"].phone("1001")
    assert phone is not None
    key = (phone.id, 3)
    entry = directory.book.get(key)
    assert entry is not None
    damaged = replace(entry, value=b"\xa9Zeception")
    directory.contents.book(directory.book.remove(key), -1)
    directory.book.merge(damaged)
    directory.contents.book(damaged, 1)
    directory.catalogue.reread(phone.id)
    assert world.run(8, lambda: same(world))


def test_a_shelf_follows_its_origin() -> None:
    """A replica's wrong registration is corrected, one that nobody made goes."""
    world = World()
    world["a"].register("1001", URI)
    world.run(2)
    directory = world["b"].federation.directory
    directory.shelves.put(A, "c1001 sip:1001@10.9.9.9:1", b"\x01")
    directory.streams.note((A, directory.streams.current_epoch(A)), 2, "c1001 sip:1001@10.9.9.9:1")
    assert not world.agree()
    assert world.run(8, world.agree)
    assert len(directory.shelves.contacts_of(A)) == 1


def test_a_damaged_file_is_repaired_by_peers_and_nothing_wrong_is_passed_on(tmp_path: Path) -> None:
    """Bit flips in rows are found by checksum."""
    world = World(names="abc")
    world.stores["b"] = Store(tmp_path / "b.db", world.clock)
    world.kill("b")
    world.boot("b")
    world.run(2)
    for i in range(30):
        world["ab"[i % 2]].edit(f"{2000 + i}", name=f"phone {i}", secret=SECRET)
    world.run(3)
    world.kill("b")
    world.stores["b"].close()
    with sqlite3.connect(tmp_path / "b.db") as db:
        db.execute("update records set record = zeroblob(length(record)) where version % 7 = 3")
    world.stores["b"] = Store(tmp_path / "b.db", world.clock)
    world.run(4)
    world.boot("b")
    assert world.run(10, lambda: same(world))
    assert len(world["b"].federation.directory.catalogue.phones()) == 30


@pytest.mark.parametrize(
    "damage",
    [
        "update records set record = zeroblob(9) where version = 2",
        "update streams set held = held + 1024",
    ],
)
def test_edits_in_a_damaged_store_are_served_alone_and_reach_the_others(damage: str) -> None:
    """One row is damaged: what can be read still stands, and what nobody else has is not lost."""
    world = World()
    for i in range(5):
        world["b"].edit(f"{2000 + i}", name="of b", secret=SECRET)
    world.run(2)
    alone = world["a"].address[0]
    world.network.cut([alone], ["10.0.0.2", "10.0.0.3"])
    world.run(4)
    world["a"].register("1001", URI)
    for i in range(5):
        world["a"].edit(f"{3000 + i}", name="of a", secret=SECRET)
    world.kill("a")
    world.stores["a"]._db.execute(damage)
    world.run(4)
    world.boot("a")
    world.run(3)
    assert len(world["a"].federation.directory.catalogue.phones()) >= 9
    before = {p.number for p in world["a"].federation.directory.catalogue.phones()}
    world.kill("a")
    world.boot("a")
    world.run(3)
    assert {p.number for p in world["a"].federation.directory.catalogue.phones()} == before
    world.network.heal()
    assert world.run(10, lambda: same(world) and all(_single(n) for n in world.running()))
    assert {p.number for p in world["c"].federation.directory.catalogue.phones()} >= before
    assert "2004" in {p.number for p in world["a"].federation.directory.catalogue.phones()}


# --- the dead


def test_the_dead_are_forgotten_once_all_have_heard() -> None:
    """Two hundred registrations under different addresses and fifty extensions come and go; nothing is left of them."""
    world = World()
    world.run(LATER)
    before = [(index(n), rows(n.store)) for n in world.running()]
    print_ = world["a"].vector()
    for i in range(200):
        world["a"].register("1001", f"sip:1001@10.1.0.7:{6000 + i}")
        world["a"].unregister("1001", f"sip:1001@10.1.0.7:{6000 + i}")
    for i in range(50):
        world["b"].edit(f"{2000 + i}", secret=SECRET)
        world["c"].remove(f"{2000 + i}")
        world.run(0.05)
    world.run(2)
    for i in range(50):
        world["c"].remove(f"{2000 + i}")
    world.run(1)
    assert world.agree()
    held = world["a"].vector()
    assert held != print_
    world.run(LATER)
    assert [(index(n), rows(n.store)) for n in world.running()] == before
    assert world["b"].vector() == held, "collecting changes no fingerprint"


def test_nothing_is_forgotten_while_a_member_is_away_unless_a_month_passes() -> None:
    """A member that is down counts until it is forgotten; after thirty days nobody waits."""
    world = World()
    world["a"].edit("1001", name="old", secret=SECRET)
    world.run(2)
    world.kill("c")
    world["b"].remove("1001")
    world.run(LATER)
    graves = world["a"].federation.directory.graves
    assert len(graves) == 1
    for node in world.running():
        node.skew_ms += (EXPIRY + 60) * 1000
    world.run(5)
    assert len(graves) == 0


def test_who_was_away_longer_than_the_dead_were_remembered_brings_none_of_them_back() -> None:
    """It is told to read anew; what it alone has edited meanwhile is kept."""
    world = World(names="abcd")
    for i in range(20):
        world["ab"[i % 2]].edit(f"{2000 + i}", name=f"phone {i}", secret=SECRET)
    world["c"].edit("1001", name="by c", secret=SECRET)
    world["d"].register("1001", URI)
    world["a"].register("1002", URI)
    world.run(3)
    world.kill("d")
    world.run(4)
    for i in range(10):
        world["c"].remove(f"{2000 + i}")
    world["a"].unregister("1002", URI)
    world.run(1)
    for node in world.nodes.values():
        node.skew_ms += (EXPIRY + 60) * 1000
    world.run(5)
    assert len(world["a"].federation.directory.graves) == 0
    world.boot("d")
    assert world.run(15, lambda: same(world))
    world.run(5)
    for node in world.running():
        found = [p.number for p in node.federation.directory.catalogue.phones()]
        assert found == ["1001", *(f"{2010 + i}" for i in range(10))]
        assert node.where("1002") == []


@pytest.mark.parametrize("damage", ["lost", "epoch = 1"])
def test_what_one_node_has_collected_another_does_not_bring_back(damage: str) -> None:
    """A publishes anew what b gives back to it, or what its damaged store could read: the death of it, too."""
    world = World()
    world["a"].edit("1001", name="old", secret=SECRET)
    world["a"].edit("1002", name="here", secret=SECRET)
    world.run(3)
    world["c"].remove("1001")
    world.run(3)
    world.kill("a")
    world.kill("b")
    world.run(LATER)
    assert len(world["c"].federation.directory.graves) == 0
    if damage == "lost":
        world.restore("a", None)
    else:
        world.stores["a"]._db.execute(f"update streams set {damage} where origin = 'a'")
    world.network.cut(["10.0.0.3"], ["10.0.0.1", "10.0.0.2"])
    world.boot("b")
    world.boot("a")
    world.run(6)
    world.network.heal()
    assert world.run(10, lambda: same(world))
    assert [p.number for p in world["c"].federation.directory.catalogue.phones()] == ["1002"]
    world.run(LATER)
    assert [len(n.federation.directory.graves) for n in world.running()] == [0] * 3


def test_an_edit_that_the_collected_delete_had_not_seen_brings_the_whole_extension_back() -> None:
    """Its other groups are nowhere else any more: who made the edit publishes them all."""
    world = World(names="abcd")
    world["a"].edit("1001", name="old", secret=SECRET)
    world.run(0.1)
    assert world["b"].edit("1001", devices=3).status == 200
    world["a"].edit("1002", name="gone", secret=SECRET)
    world.run(3)
    world.network.cut(["10.0.0.4"], ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
    world.run(4)
    world["c"].remove("1001")
    world["c"].remove("1002")
    world["d"].edit("1001", name="new")
    world.run(1)
    for name in "abc":
        world[name].skew_ms += (EXPIRY + 60) * 1000
    world.run(5)
    assert len(world["a"].federation.directory.graves) == 0
    world.network.heal()
    assert world.run(20, lambda: same(world))
    world.run(3)
    for node in world.running():
        phone = node.phone("1001")
        assert phone is not None
        assert (phone.name, phone.devices, len(phone.ha1)) == ("new", 3, 32)
        assert node.phone("1002") is None


# --- old streams


@pytest.mark.parametrize("kept", ["nothing", "an old copy"])
def test_a_lost_or_restored_disk_leaves_no_old_stream_behind(kept: str) -> None:
    """The origin takes back what it had written, publishes it anew, and the old stream ends everywhere."""
    world = World()
    world["a"].edit("1001", name="first", secret=SECRET)
    world.run(1)
    old = copy(world.stores["a"])
    world["a"].edit("1002", name="second", secret=SECRET)
    world["a"].edit("1001", name="renamed")
    world.run(1)
    world.kill("a")
    world.run(4)
    world.stores["a"] = old if kept == "an old copy" else Store(":memory:")
    world.boot("a")
    assert world.run(6, lambda: same(world) and all(_single(n) for n in world.running()))
    names = {p.number: p.name for p in world["a"].federation.directory.catalogue.phones()}
    assert names == {"1001": "renamed", "1002": "second"}
    world.kill("b")
    world.run(4)
    world.boot("b", empty=True)
    assert world.run(6, lambda: same(world) and _single(world["b"]))


def test_an_old_copy_that_was_booted_alone_keeps_its_edits_and_repeats_no_version() -> None:
    """Two pasts of one node meet: its own, alone on a bench, and the one that its peers know."""
    world = World()
    world["a"].edit("1001", name="first", secret=SECRET)
    world.run(1)
    old = copy(world.stores["a"])
    world["a"].edit("1002", name="known to peers", secret=SECRET)
    world.run(1)
    world.kill("a")
    world.stores["a"] = old
    world.network.cut(["10.0.0.1"], ["10.0.0.2", "10.0.0.3"])
    world.boot("a")
    world.run(2)
    world["a"].edit("1003", name="made alone", secret=SECRET)
    world.run(2)
    world.network.heal()
    assert world.run(10, lambda: same(world) and all(_single(n) for n in world.running()))
    names = {p.number: p.name for p in world["c"].federation.directory.catalogue.phones()}
    assert names == {"1001": "first", "1002": "known to peers", "1003": "made alone"}


def test_an_old_copy_on_a_board_without_a_clock_repeats_no_version() -> None:
    """Nothing but chance tells its boots apart: not the clock, which stands at 1970, nor the disk, nor peers."""
    world = World()
    world["a"].edit("1001", name="first", secret=SECRET)
    world.run(1)
    old = copy(world.stores["a"])
    world.kill("a")
    world.run(4)
    world.skews["a"] = -int(world.clock() * 1_000)
    world.boot("a")
    world.run(2)
    world["a"].register("1001", URI)
    world.run(1)
    world.kill("a")
    world.stores["a"] = old
    world.network.cut(["10.0.0.1"], ["10.0.0.2", "10.0.0.3"])
    world.boot("a")
    world.run(2)
    assert world["a"].edit("1002", name="made alone", secret=SECRET).status == 201
    world.run(2)
    world.network.heal()
    world.run(2)
    if world["a"].stopped:  # it chose the lower one: peers know a later epoch
        world.boot("a")
    assert world.run(10, lambda: same(world) and all(_single(n) for n in world.running()))
    assert sorted(p.number for p in world["c"].federation.directory.catalogue.phones()) == [
        "1001",
        "1002",
    ]


def test_a_piece_passed_on_from_a_split_stream_leaves_no_hole() -> None:
    """B had a's newest edit of 1001; a lost it. D gets a's stream from b before a's past has been pulled: 1001 is whole."""
    world = World(names="abc")
    world["a"].edit("1001", name="first", secret=SECRET)
    world["a"].edit("1002", name="x", secret=SECRET)
    world.run(1)
    old = copy(world.stores["a"])
    world["a"].edit("1001", name="second")
    world.run(1)
    world.kill("a")
    world.run(4)
    world.stores["a"] = old
    world.boot("a")
    world.boot("d")
    world.run(0.9)
    world.kill("a")
    assert world.run(8, lambda: same(world))
    phone = world["d"].phone("1001")
    assert phone is not None
    assert phone.name == "second"
    world.boot("a")
    assert world.run(8, lambda: same(world) and all(_single(n) for n in world.running()))


def _single(node: Node) -> bool:
    streams = node.federation.directory.streams
    return not any(streams.left_over(origin) for origin in {s[0] for s in streams.ids()})


def test_two_comparisons_that_come_as_copies_at_once_are_both_answered() -> None:
    """In a site without multicast; each is answered in the same tick."""
    world = World(names="abc", unicast_only="abc", seeds=["10.0.0.1"], settle=6)
    a = world["a"]
    before = a.post.sent["Contents"]
    for name in "bc":
        vector = Vector("", 7, 0, marks.LAST, marks.vectors(a.federation.directory.streams)[0][2])
        a.receive(world[name].post.frame(vector), world[name].address)
    world.run(0.1)
    assert a.post.sent["Contents"] - before >= 2


# --- bytes


@pytest.mark.parametrize("nodes", [4, 8, 32])
def test_a_healed_partition_costs_the_difference_and_little_more(nodes: int) -> None:
    """The whole site: 600 B and 6 B for each origin, 1.1 times the records, 4 B more each; equal within 2 s."""
    names = [f"n{i:02}" for i in range(nodes)]
    world = World(5, names, settle=4.0, sealed=False)
    for i in range(100):
        world[names[i % nodes]].edit(f"{2000 + i}", name=f"phone {i}", secret=SECRET)
    world.run(3)
    left = [world[n].address[0] for n in names[: nodes // 2]]
    right = [world[n].address[0] for n in names[nodes // 2 :]]
    world.network.cut(left, right)
    world.run(8)
    edits = 60
    size = 0
    for i in range(edits):
        world[names[i % nodes]].edit(f"{2000 + i}", name=f"changed {i}")
    world.run(4)
    kinds = ("Want", "Piece", "Pieces", "Vector", "Contents", "Lineage", "Anew")
    for node in world.running():
        node.spent.clear()
    world.network.heal()
    healed = world.now
    assert world.run(4, world.agree)
    took = world.now - healed
    world.run(2)
    spent = sum(node.spent[kind] for node in world.running() for kind in kinds)
    size = 9 + 1 + 8 + 11  # object, group, stamp, value: a record as it stands in the book
    bar = 600 + 6 * nodes + 1.1 * edits * (size + 4)
    print(nodes, spent, bar, took)
    assert took <= 2.0
    assert spent <= bar
