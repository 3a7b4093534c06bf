"""Stories of phones whose node has died: who calls them, until when, and who wins when they come back."""

import pytest

from pbxfed_ari.core.effects import DropContact, Leg
from pbxfed_ari.core.events import AsteriskDown, AsteriskUp, ContactsListed
from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.records.registering import LONGEST
from pbxfed_ari.core.routing.route import route
from pbxfed_ari.core.routing.tries import Asking, Route
from tests.stories.world import World

SECRET = "abcdEFGH1234"
URI = "sip:1001@10.1.0.7:5060"
OTHER = "sip:1001@10.1.0.8:5060"


def living(names: str = "abc", **how: object) -> World:
    """A federation whose Asterisks take calls, with extension 1001."""
    world = World(1, names, **how)  # type: ignore[arg-type]
    for node in world.running():
        node.handle(AsteriskUp("22.10.1", False))
    world["a"].edit("1001", secret=SECRET, devices=3, create=True)
    world.run(1.0)
    return world


def bereft(names: str = "abc", *, uri: str = URI, seconds: float = 1.0, **how: object) -> World:
    """The same four seconds after b has died, at which 1001 had been registered for so long."""
    world = living(names, **how)
    world["b"].register("1001", uri)
    world.run(seconds)
    world.kill("b")
    world.run(4.0)
    return world


def asked(world: World, node: str, number: str = "1001") -> Route:
    return route(Asking(number), world[node].federation.view)


def legs(world: World, node: str) -> list[tuple[NodeName | None, tuple[str, ...], str]]:
    """Whom the first try rings: (peer, in whose stead, at which Contact)."""
    tries = asked(world, node).tries
    found = tries[0].legs if tries else ()
    return [(leg.peer, leg.instead_of, leg.uri) for leg in found if isinstance(leg, Leg)]


def heir(world: World) -> str:
    """The one node that all others send the call to; it calls the phone itself."""
    found = set()
    for node in world.running():
        ((peer, of, uri),) = legs(world, node.name)
        assert of == ("b",)
        assert (uri == URI) is (peer is None)
        found.add(peer or node.name)
    assert len(found) == 1
    return found.pop()


def test_a_dead_nodes_phone_is_called_by_its_heir_and_all_agree_who_that_is() -> None:
    """Within three seconds; where it was registered is not forgotten, and nothing is written for it."""
    world = living()
    world["b"].register("1001", URI)
    world.run(1.0)
    sent = [node.post.sent["Delta"] for node in world.running()]
    world.kill("b")
    assert world.run(3.0, lambda: bool(legs(world, "a")) and legs(world, "a")[0][1] == ("b",))
    world.run(1.0)
    who = heir(world)
    order = world["a"].federation.view.ring.preference("1001")
    assert who == order[0]
    assert [node.where("1001") for node in world.running()] == [[], []]
    assert [node.post.sent["Delta"] for node in world.running()] == sent[::2]


def test_when_the_heir_dies_the_next_one_calls() -> None:
    """As long as anybody lives."""
    world = bereft("abcd")
    first = heir(world)
    world.kill(first)
    world.run(4.0)
    assert heir(world) not in (first, "b")


@pytest.mark.parametrize("uri", [URI, OTHER], ids=["same Contact", "another Contact"])
def test_a_phone_that_registers_anew_wins_at_once(uri: str) -> None:
    """Even where the extension may have more devices: nobody can tell which one came back, and none rings twice."""
    world = bereft(seconds=10.0)
    heir(world)
    world["c"].register("1001", uri)
    world.run(0.1)
    assert legs(world, "a") == [(NodeName("c"), (), "")]
    assert legs(world, "c") == [(None, (), "")]


def test_a_device_that_had_registered_before_rings_together_with_the_orphan() -> None:
    """It stands where it stood."""
    world = living()
    world["c"].register("1001", OTHER)
    world["b"].register("1001", URI)
    world.run(10.0)
    world.kill("b")
    world.run(4.0)
    found = legs(world, "a")
    assert (NodeName("c") in [peer for peer, _, _ in found]) is True
    assert [of for _, of, _ in found if of] == [("b",)]
    world["a"].edit("1001", devices=1)
    world.run(0.1)
    assert [of for _, of, _ in legs(world, "a") if of] == []


def test_when_the_node_is_back_its_contacts_are_its_own_again() -> None:
    """Those that moved meanwhile are ended there."""
    world = living()
    world["a"].edit("1002", secret=SECRET, create=True)
    world["b"].register("1001", URI)
    world["b"].register("1002", "sip:1002@10.1.0.9:5060")
    world.run(1.0)
    world.kill("b")
    world.run(4.0)
    world["c"].register("1002", "sip:1002@10.1.0.9:5060")
    world.run(1.0)
    world.boot("b")
    world["b"].handle(AsteriskUp("22.10.1", False))
    world.run(5.0)
    assert legs(world, "a") == [(NodeName("b"), (), "")]
    assert world["a"].where("1002") == ["c"]
    assert [e.extension for e in world["b"].effects if isinstance(e, DropContact)] == ["1002"]


def test_a_dead_asterisk_is_enough() -> None:
    """The daemon lives and says so; when Asterisk is back it has its phones."""
    world = living()
    world["b"].register("1001", URI)
    world.run(1.0)
    world["b"].handle(AsteriskDown("killed"))
    world.run(0.1)
    heir_of = {peer or "a" for peer, of, _ in legs(world, "a") if of}
    assert len(heir_of) == 1
    world["b"].handle(AsteriskUp("22.10.1", False))
    world.run(0.1)
    assert legs(world, "a") == [(NodeName("b"), (), "")]


def test_an_orphan_is_not_called_longer_than_a_registration_lasts() -> None:
    """Then it has ended by itself, whatever it was granted."""
    world = bereft()
    member = world["a"].federation.members.get(NodeName("b"))
    assert member is not None
    heir(world)
    member.served -= LONGEST
    assert asked(world, "a").reason.startswith("1001: registered nowhere")


def test_who_has_never_heard_the_dead_node_does_not_know_for_how_long_it_is_dead() -> None:
    """It takes nothing over by itself; told by a peer, it calls."""
    world = bereft()
    world.kill("c")
    world.boot("c")
    world["c"].handle(AsteriskUp("22.10.1", False))
    world.run(5.0)
    assert legs(world, "c") == []
    told = Asking("1001", peer=NodeName("a"), heirs=((NodeName("c"), NodeName("b")),))
    (only,) = route(told, world["c"].federation.view).tries
    assert only.legs == (Leg(instead_of=(NodeName("b"),), uri=URI),)


def test_contacts_that_nobody_else_can_reach_are_registered_nowhere() -> None:
    """TCP, TLS and WebSocket end with their node."""
    world = bereft(uri=f"{URI};transport=tcp")
    assert asked(world, "a").reason.startswith("1001: registered nowhere")


def test_another_site_calls_only_what_it_surely_reaches() -> None:
    """A private address is another phone elsewhere, unless that network is said to be that site's alone."""
    world = bereft(seconds=10.0, sites={"a": "main", "b": "berlin", "c": "main"})
    world.run(8.0)
    assert legs(world, "a") == []
    world["a"].put("site", "berlin", nets=["10.1.0.0/16"], create=True)
    world.run(1.0)
    assert [of for _, of, _ in legs(world, "a")] == [("b",)]
    world["a"].put("site", "main", nets=["10.0.0.0/8"], create=True)
    world.run(1.0)
    assert legs(world, "a") == []


def test_an_expelled_nodes_phones_are_not_called() -> None:
    """What it had said counts no more."""
    world = bereft()
    heir(world)
    world["a"].rotate("b")
    world.run(2.0)
    assert legs(world, "a") == []
    told = Asking("1001", peer=NodeName("a"), heirs=((NodeName("c"), NodeName("b")),))
    assert route(told, world["c"].federation.view).tries == ()


def test_a_phone_of_the_administrators_own_is_not_taken_over() -> None:
    """Its endpoint stands in one Asterisk only."""
    world = living()
    world["b"].register("1099", "sip:1099@10.1.0.9:5060")
    world.run(1.0)
    assert [leg.peer for leg in asked(world, "a", "1099").tries[0].legs] == ["b"]  # type: ignore[union-attr]
    world.kill("b")
    world.run(4.0)
    assert asked(world, "a", "1099").tries == ()


def test_a_daemon_that_finds_contacts_after_the_death_is_believed() -> None:
    """When they were made is not known: they may be the same phone's, come anew."""
    world = bereft(seconds=10.0)
    world["c"].handle(ContactsListed(frozenset({(Extension("1001"), OTHER)}), world["c"].wall_ms()))
    world.run(0.2)
    assert legs(world, "a") == [(NodeName("c"), (), "")]
