"""Stories of whole federations: joining, editing, moving, dying, coming back."""

import pytest

from pbxfed_ari.core.effects import DropContact
from pbxfed_ari.core.events import AsteriskDown, AsteriskUp, ContactAdded
from pbxfed_ari.core.membership.member import State
from pbxfed_ari.core.messages import Leave
from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.store.sqlite import Store
from tests.stories.world import KEY, Node, World

SECRET = "abcdEFGH1234"
URI = "sip:1001@10.1.0.7:5060"


def test_three_nodes_find_one_another() -> None:
    """Discovery needs no seed list on a LAN."""
    world = World()
    assert [node.up() for node in world.running()] == [["b", "c"], ["a", "c"], ["a", "b"]]
    assert world.agree()
    assert world["a"].federation.view.ring == world["c"].federation.view.ring


def test_an_extension_added_on_one_node_is_known_on_all() -> None:
    """R4."""
    world = World()
    reply = world["b"].edit("1001", name="Reception", secret=SECRET, create=True)
    world.run(0.1)
    assert reply.status == 201
    phones = [node.phone("1001") for node in world.running()]
    assert len(set(map(repr, phones))) == 1
    assert phones[0] is not None
    assert phones[0].name == "Reception"
    assert world["b"].edit("1001", name="X", secret=SECRET, create=True).status == 409


def test_a_refreshed_registration_sends_nothing() -> None:
    """R6: a refresh is no news."""
    world = World()
    world["a"].register("1001", URI)
    world.run(1.0)
    sent = world["a"].post.sent["Delta"]
    world["a"].register("1001", URI)
    world.run(1.0)
    assert world["a"].post.sent["Delta"] == sent


def test_a_moved_phone_stands_only_at_its_new_place() -> None:
    """The same contact on two shelves: the newer one wins, and the older node ends its own."""
    world = World()
    for at in "bcbcb":
        world[at].register("1001", URI)
        world.run(0.05)
        assert [node.where("1001") for node in world.running()] == [[at]] * 3
    dropped = [e for e in world["c"].effects if isinstance(e, DropContact)]
    assert len(dropped) == 2


def test_a_move_is_right_even_when_the_clocks_are_not() -> None:
    """A node whose clock is an hour behind still hands out newer stamps than it has seen."""
    world = World()
    world["c"].skew_ms = -3_600_000
    world["b"].register("1001", URI)
    world.run(0.05)
    world["c"].register("1001", URI)
    world.run(0.05)
    assert world["a"].where("1001") == ["c"]


@pytest.mark.parametrize("skew", [-3_600_000, -30_000, 30_000, 3_600_000])
def test_a_phone_is_where_it_is_whatever_the_clock_says_where_it_was(skew: int) -> None:
    """A refresh there is older than the move, a return by a refresh is newer; also when that clock is right again."""
    world = World()
    world["c"].skew_ms = skew
    world.run(30)
    for _ in range(2):
        world["c"].register("1001", URI)
        world.run(5)
        world["c"].register("1001", URI)  # a refresh: no news
        world.run(5)
        world["a"].register("1001", URI)
        world.run(3)
        assert [node.where("1001") for node in world.running()] == [["a"]] * 3
        world["c"].skew_ms = 0
        world.run(60)
        assert [node.where("1001") for node in world.running()] == [["a"]] * 3


def test_a_phone_that_came_back_while_its_node_was_cut_off_is_there() -> None:
    """It was elsewhere meanwhile; its return was a refresh, of which its Asterisk tells nothing."""
    world = World()
    world.run(30)
    world["c"].register("1001", URI)
    world.run(1)
    world.network.cut(["10.0.0.1", "10.0.0.2"], ["10.0.0.3"])
    world.run(10)
    world["a"].register("1001", URI)
    world.run(10)
    world["c"].register("1001", URI)
    world.run(10)
    world.network.heal()
    world.run(5)
    assert [node.where("1001") for node in world.running()] == [["c"]] * 3


def test_what_is_found_late_is_older_than_what_has_happened_elsewhere_since() -> None:
    """Nobody was told that the phone had registered at c; it has moved on. Without any such news it stands at c."""
    world = World()
    for number, at in ("1001", ["a"]), ("1002", ["c"]):
        since = world["c"].wall_ms()
        world.run(1)
        if at == ["a"]:
            world["a"].register(number, URI)
        world.run(1)
        world["c"].handle(ContactAdded(Extension(number), URI, since, late=True))
        world.run(1)
        assert [node.where(number) for node in world.running()] == [at] * 3


def test_a_second_device_rings_too_up_to_the_limit() -> None:
    """A different URI is another device; beyond the limit the newest stand."""
    world = World()
    world["a"].edit("1001", secret=SECRET, devices=2)
    for at, port in ("a", 1), ("b", 2), ("c", 3):
        world[at].register("1001", f"sip:1001@10.1.0.7:{port}")
        world.run(0.05)
    assert world["a"].where("1001") == ["c", "b"]


@pytest.mark.parametrize("seed", range(20))
def test_a_killed_node_is_down_everywhere_within_three_seconds(seed: int) -> None:
    """And its phones are hidden, not forgotten."""
    world = World(seed, "abcde", loss=0.05, sealed=False)
    world["b"].register("1001", URI)
    world.run(0.3 + seed / 40)
    world.kill("b")
    began = world.now
    assert world.run(3.0, lambda: all("b" not in n.up() for n in world.running()))
    assert world["a"].where("1001") == []
    assert world.now - began < 3.0


@pytest.mark.parametrize("seed", range(10))
def test_nobody_dies_of_five_percent_loss(seed: int) -> None:
    """Lost heartbeats are asked after, and the answer counts."""
    world = World(seed, "abcdefgh", loss=0.05, sealed=False)
    world.run(120)
    assert all(len(node.up()) == 7 for node in world.running())
    assert not [m for n in world.running() for m in n.federation.members if m.state is State.DOWN]


def test_a_paused_node_accuses_nobody() -> None:
    """Who was deaf doubts itself first."""
    world = World(1, "abcd")
    world.freeze("a")
    world.run(1.0)
    world.thaw("a")
    world.run(5.0)
    assert world["a"].up() == ["b", "c", "d"]
    assert not [e for e in world["a"].effects if "member" in repr(e) and "down" in repr(e)]


def test_both_sides_of_a_cut_serve_and_heal() -> None:
    """R12: no split brain."""
    world = World(3, "abcd")
    left, right = (["10.0.0.1", "10.0.0.2"], ["10.0.0.3", "10.0.0.4"])
    world["a"].edit("1001", name="old", secret=SECRET)
    world["a"].register("1001", URI)
    world.run(1)
    world.network.cut(left, right)
    world.run(10)
    assert world["a"].up() == ["b"]
    world["a"].edit("1002", name="left", secret=SECRET)
    world["d"].edit("1003", name="right", secret=SECRET)
    world["c"].register("1001", URI)
    world["d"].edit("1001", name="new")
    world.run(5)
    assert [world[n].where("1001") for n in "abcd"] == [["a"], ["a"], ["c"], ["c"]]
    world.network.heal()
    assert world.run(4, lambda: world.agree() and all(len(n.up()) == 3 for n in world.running()))
    world.run(0.5)
    for node in world.running():
        assert node.where("1001") == ["c"]
        assert [p.name for p in node.federation.directory.catalogue.phones()] == [
            "new",
            "left",
            "right",
        ]
    assert [e for e in world["a"].effects if isinstance(e, DropContact)]


@pytest.mark.parametrize("seed", range(10))
def test_edits_arrive_through_thirty_percent_loss(seed: int) -> None:
    """A gap is seen by the next heartbeat, and pulled."""
    world = World(seed, "abcdef", loss=0.3, settle=6, sealed=False)
    for i in range(30):
        world["abcdef"[i % 6]].edit(f"10{i:02}", name=str(i), secret=SECRET)
        world.run(0.05)
    assert world.run(20, world.agree)
    assert all(len(node.federation.directory.catalogue.phones()) == 30 for node in world.running())


def test_a_restarted_node_gets_what_it_missed_and_no_more() -> None:
    """R5: full state goes to joiners only."""
    world = World()
    for i in range(300):
        world["a"].edit(f"{2000 + i}", name=f"phone {i}", secret=SECRET)
    world.run(3)
    assert world.agree()
    world.kill("c")
    world.run(4)
    world["a"].edit("2007", name="changed")
    world.run(1)
    before = world["a"].post.sent["Piece"] + world["b"].post.sent["Piece"]
    received = world.network.received["10.0.0.3"]
    world.boot("c")
    assert world.run(5, world.agree)
    world.run(2)
    phone = world["c"].phone("2007")
    assert phone is not None
    assert phone.name == "changed"
    assert world["a"].post.sent["Piece"] + world["b"].post.sent["Piece"] - before <= 2
    assert world.network.received["10.0.0.3"] - received < 4_000


def test_a_restart_of_the_origin_sends_nothing_twice() -> None:
    """A new epoch continues the old one."""
    world = World()
    for i in range(100):
        world["a"].edit(f"{2000 + i}", name=f"phone {i}", secret=SECRET)
    world.run(3)
    for _ in range(3):
        world.kill("a")
        world.run(1)
        received = world.network.received["10.0.0.2"]
        world.boot("a")
        world.run(3)
        assert world.agree()
        assert world.network.received["10.0.0.2"] - received < 3_000
    world["a"].edit("2001", name="after")
    world.run(0.1)
    phone = world["c"].phone("2001")
    assert phone is not None
    assert phone.name == "after"


def test_a_joiner_receives_the_state_once() -> None:
    """And from then on only deltas."""
    world = World()
    for i in range(1_000):
        world["ab"[i % 2]].edit(f"{2000 + i}", name=f"phone {i}", secret=SECRET)
    world.run(4)
    world.boot("d")
    assert world.run(5, world.agree)
    assert len(world["d"].federation.directory.catalogue.phones()) == 1_000
    received = world.network.received["10.0.0.4"]
    assert received < 1_000 * 150
    world.run(5)
    assert world.network.received["10.0.0.4"] - received < 5_000


def test_a_deleted_store_loses_no_edit() -> None:
    """Peers know more of our past than we do: we take it back."""
    world = World()
    world["a"].edit("1001", name="kept", secret=SECRET)
    world["a"].register("1001", URI)
    world.run(1)
    world.kill("a")
    world.run(4)
    world.boot("a", empty=True)
    world.run(3)
    assert world.agree()
    for node in world.running():
        phone = node.phone("1001")
        assert phone is not None
        assert phone.name == "kept"
        assert node.where("1001") == []
    world["a"].register("1001", URI)
    world.run(0.1)
    assert world["c"].where("1001") == ["a"]


def test_two_nodes_of_one_name_the_later_one_stops() -> None:
    """And says which address holds the name."""
    world = World()
    world.nodes["b2"] = node = _namesake(world)
    world.run(1)
    assert "held by 10.0.0.2" in node.stopped
    assert world["a"].up() == ["b", "c"]


def _namesake(world: World) -> Node:
    return Node(world, "b", Store(":memory:"), address="10.0.0.9", key=KEY)


def test_a_node_whose_clock_was_ahead_begins_above_its_past() -> None:
    """Peers know a later epoch of it than its own disk and clock do."""
    world = World()
    world["a"].edit("1001", name="before", secret=SECRET)
    world.run(1)
    world.kill("a")
    world.run(4)
    late = world.now
    world.now = late - 1_000_000  # the clock of one boot only
    node = world.boot("a", empty=True)
    world.now = late
    world.run(3)
    assert node.stopped == ""
    assert world["b"].up() == ["a", "c"]
    world["a"].edit("1001", name="after")
    world.run(0.2)
    phone = world["c"].phone("1001")
    assert phone is not None
    assert phone.name == "after"
    assert world.agree()


def test_nothing_is_written_under_a_name_that_is_not_ours_yet() -> None:
    """A phone that registers while its node is joining is published afterwards."""
    world = World()
    world.kill("b")
    world.run(4)
    world.boot("b")
    world["b"].register("1001", URI)
    assert world["b"].edit("1002", secret=SECRET).status == 503
    world.run(2)
    assert world["a"].where("1001") == ["b"]
    assert world.agree()


def test_another_key_is_another_federation() -> None:
    """Frames of strangers are counted and change nothing."""
    world = World()
    other = world.boot("z", key=bytes(32))
    world.run(5)
    assert other.up() == []
    assert world["a"].up() == ["b", "c"]
    assert world["a"].post.dropped["session"] + world["a"].post.dropped["seal"] > 5


def test_a_registration_found_later_never_beats_one_that_was_seen() -> None:
    """A phone registered at a while a's daemon was away, then moved to c: c's stands."""
    world = World()
    world.kill("a")
    world.run(4)
    world["c"].register("1001", URI)
    world.run(1)
    world.boot("a")
    world["a"].listed(("1001", URI))
    world.run(3)
    assert [node.where("1001") for node in world.running()] == [["c"]] * 3
    assert [e for e in world["a"].effects if isinstance(e, DropContact)]
    assert not [e for e in world["c"].effects if isinstance(e, DropContact)]


def test_a_registration_found_later_stands_if_nobody_saw_another() -> None:
    """Nothing is lost by a daemon's absence."""
    world = World()
    world.kill("a")
    world.run(4)
    world.boot("a")
    world["a"].listed(("1001", URI))
    world.run(2)
    assert world["c"].where("1001") == ["a"]


def test_a_node_that_only_others_reach_is_up_but_no_call_goes_there() -> None:
    """Two verdicts: the ring keeps it, our routes avoid it."""
    world = World()
    world["b"].register("1001", URI)
    world.network.cut(["10.0.0.1"], ["10.0.0.2"])
    world.run(2)
    federation = world["a"].federation
    reachable = 0
    for _ in range(100):
        world.run(0.1)
        assert world["a"].up() == ["b", "c"]
        reachable += federation.view.reachable(NodeName("b"))
    assert reachable == 0
    assert world["c"].federation.view.reachable(NodeName("b"))
    world.network.heal()
    world.run(1)
    assert federation.view.reachable(NodeName("b"))


def test_a_node_without_its_asterisk_is_a_member_that_takes_no_calls() -> None:
    """Peers hear of it at once."""
    world = World()
    world["b"].handle(AsteriskDown("it hangs"))
    world.run(0.05)
    assert world["a"].up() == ["b", "c"]
    assert not world["a"].federation.view.reachable(NodeName("b"))
    world["b"].handle(AsteriskUp("22.10.1", restarted=True))
    world.run(0.05)
    assert world["a"].federation.view.reachable(NodeName("b"))


def test_a_recording_of_an_earlier_boot_changes_nothing() -> None:
    """Its Hello and its Leave, played to a node that has just started and knows no session."""
    world = World()
    old = world["b"]
    hello, leave = old.post.frame(old.federation.ourselves.hello()), old.post.frame(Leave())
    world.kill("b")
    world.run(4)
    world.boot("b")
    world.run(2)
    world.kill("a")
    world.boot("a")
    world.run(2)
    for frame in hello, leave:
        world["a"].receive(frame, old.address)
    world.run(0.1)
    assert world["a"].up() == ["b", "c"]


def test_an_edit_that_the_delete_had_not_seen_wins() -> None:
    """Whatever the clocks say: losing a phone is worse than keeping one."""
    world = World(names="abcd")
    world["a"].edit("1001", name="old", secret=SECRET)
    world.run(1)
    world.network.cut(["10.0.0.1", "10.0.0.2"], ["10.0.0.3", "10.0.0.4"])
    world["d"].skew_ms = -5_000
    world["d"].edit("1001", name="new")
    world["a"].remove("1001")
    world.run(0.5)
    assert world["b"].phone("1001") is None
    world.network.heal()
    assert world.run(5, world.agree)
    for node in world.running():
        phone = node.phone("1001")
        assert phone is not None
        assert phone.name == "new"


def test_what_both_sides_of_a_cut_removed_stays_removed() -> None:
    """Though one of them had not seen the other's last edit: that one's own delete had."""
    world = World(names="abcd")
    world["a"].edit("1001", name="old", secret=SECRET)
    world.run(1)
    world.network.cut(["10.0.0.1", "10.0.0.2"], ["10.0.0.3", "10.0.0.4"])
    world["a"].edit("1001", name="new")
    world["a"].remove("1001")
    world.run(0.5)
    world["d"].remove("1001")
    world.run(0.5)
    world.network.heal()
    assert world.run(5, world.agree)
    assert [node.phone("1001") for node in world.running()] == [None] * 4


def test_a_removed_extension_is_gone_everywhere_for_one_small_record() -> None:
    """And its number is free for another."""
    world = World()
    world["a"].edit("1001", name="old", secret=SECRET, devices=2)
    world.run(0.5)
    assert world["b"].remove("1001").status == 200
    world.run(0.2)
    assert [node.phone("1001") for node in world.running()] == [None] * 3
    assert world["c"].remove("1001").status == 404
    assert world["c"].edit("1001", name="new", secret=SECRET, create=True).status == 201
    world.run(0.2)
    phone = world["a"].phone("1001")
    assert phone is not None
    assert (phone.name, phone.devices) == ("new", 1)


def test_a_number_claimed_on_both_sides_of_a_cut_has_one_winner_everywhere() -> None:
    """The oldest claim; the other stands, disabled and reported."""
    world = World(names="abcd")
    world.network.cut(["10.0.0.1", "10.0.0.2"], ["10.0.0.3", "10.0.0.4"])
    world["a"].edit("1001", name="first", secret=SECRET)
    world.run(0.2)
    world["d"].edit("1001", name="second", secret=SECRET)
    world.run(4)
    world.network.heal()
    assert world.run(5, world.agree)
    for node in world.running():
        phone = node.phone("1001")
        assert phone is not None
        assert phone.name == "first"
        assert [p.called for p in node.federation.directory.catalogue.contested()] == ["second"]


def test_a_removed_number_takes_its_contested_claims_along() -> None:
    """Nobody expects the loser's secret to be valid the moment after."""
    world = World(names="abcd")
    world.network.cut(["10.0.0.1", "10.0.0.2"], ["10.0.0.3", "10.0.0.4"])
    world["a"].edit("1001", name="first", secret=SECRET)
    world["d"].edit("1001", name="second", secret=SECRET)
    world.run(4)
    world.network.heal()
    assert world.run(5, lambda: world.agree() and all(len(n.up()) == 3 for n in world.running()))
    world["b"].remove("1001")
    world.run(0.2)
    assert [node.phone("1001") for node in world.running()] == [None] * 4


def test_a_phone_found_later_under_another_uri_rings_along_until_something_sure_happens() -> None:
    """It came to b while b's daemon was dead; nobody knows whether before or after c's. Both ring; neither is ended."""
    world = World()
    world["c"].register("1001", URI)
    world.run(1)
    world.kill("b")
    world.run(4)
    world.boot("b")
    world["b"].listed(("1001", "sip:1001@10.1.0.7:5099"))
    world.run(3)
    assert [node.where("1001") for node in world.running()] == [["c", "b"]] * 3
    assert not [e for n in world.running() for e in n.effects if isinstance(e, DropContact)]
    world["a"].register("1001", "sip:1001@10.1.0.7:5070")
    world.run(0.2)
    assert [node.where("1001") for node in world.running()] == [["a"]] * 3
    assert [e for e in world["b"].effects if isinstance(e, DropContact)]


def test_a_recorded_heartbeat_is_refused_after_the_receivers_restart() -> None:
    """Its session is new to the receiver, its counter is not above the answer to the receiver's own question."""
    world = World()
    recorded = [
        world["b"].post.frame(world["b"].federation.ourselves.heartbeat()) for _ in range(20)
    ]
    world.run(2)
    world.kill("a")
    world.boot("a")
    world.run(2)
    taken = world["a"].post.received["Heartbeat"]
    for frame in recorded:
        world["a"].receive(frame, world["b"].address)
    assert world["a"].post.received["Heartbeat"] == taken
    assert world["a"].post.dropped["replay"] == 20
