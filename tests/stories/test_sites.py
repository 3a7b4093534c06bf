"""Stories of several sites: what passes between them, who passes it on, what a cut does."""

from itertools import product

import pytest

from pbxfed_ari.core.effects import Note, SendTo, Tell
from pbxfed_ari.core.events import (
    AsteriskDied,
    AsteriskDown,
    AsteriskUp,
    PeerGaveUp,
    PeerHasCall,
    PeerLostCalls,
)
from pbxfed_ari.core.membership.member import State
from pbxfed_ari.core.messages import CallHere, CallOver, Passed
from pbxfed_ari.core.names import CallId, NodeName
from pbxfed_ari.core.naming.signpost import Standing, standing
from pbxfed_ari.core.replication.sites import CALL, PROOF
from pbxfed_ari.store.sqlite import Store
from tests.stories.world import KEY, Node, World

SECRET = "abcdEFGH1234"
URI = "sip:1001@10.1.0.7:5060"
TWO = dict(zip("abcdef", ["east"] * 3 + ["west"] * 3, strict=True))


def sites(seed: int = 1) -> World:
    """Two sites of three nodes each, settled."""
    world = World(seed, TWO, sites=TWO, settle=6.0)
    assert world.agree()
    return world


def forwarders(world: World) -> set[str]:
    """Who speaks for its site."""
    return {n.name for n in world.running() if n.federation.sites.forwarding}


def hosts(world: World, site: str) -> list[str]:
    return [world[name].address[0] for name, at in world.sites.items() if at == site]


def cut(world: World, site: str) -> None:
    """The site's way to the others is gone; its LAN goes on."""
    world.network.cut(hosts(world, site), ["hub"])


def told(world: World, name: str) -> list[str]:
    """What a node said of the other site."""
    notes = [e for e in world[name].effects if isinstance(e, Note)]
    return [note.what for note in notes if note.what.startswith("site")]


def test_each_site_has_one_forwarder_and_everybody_knows_everybody() -> None:
    """Its own site sees a node live; the others believe it."""
    world = sites()
    chosen = forwarders(world)
    assert {world.sites[name] for name in chosen} == {"east", "west"}
    assert len(chosen) == 2
    for node in world.running():
        assert len(node.up()) == 5
    assert len({str(n.federation.view.ring.weights) for n in world.running()}) == 1


def test_a_change_crosses_once_for_the_whole_site() -> None:
    """One frame between the sites, one multicast in each."""
    world = sites()
    assert world.hub is not None
    before, lan = world.hub.frames.total(), world.network.frames.total()
    beats = sum(n.post.sent["Heartbeat"] for n in world.running())
    world["a"].register("1001", URI)
    assert world.run(0.2, lambda: all(n.where("1001") == ["a"] for n in world.running()))
    assert world.hub.frames.total() - before == 1
    told = sum(n.post.sent["Heartbeat"] for n in world.running()) - beats
    assert world.network.frames.total() - lan - told == 2


def test_nothing_is_sent_back_where_it_came_from() -> None:
    """Whoever writes, and whether it forwards or not."""
    world = sites()
    assert world.hub is not None
    for number, name in enumerate("abcdef"):
        before = world.hub.frames.total()
        world[name].edit(f"100{number}", name=name, secret=SECRET)
        world.run(0.3)
        assert world.hub.frames.total() - before <= 3  # and perhaps both reports
    assert world.agree()
    assert all(len(n.federation.directory.catalogue.phones()) == 6 for n in world.running())


@pytest.mark.parametrize("seed", range(10))
def test_a_dead_forwarder_is_replaced(seed: int) -> None:
    """The next one speaks, and nothing that was said meanwhile is missing."""
    world = sites(seed)
    victim = next(n for n in sorted(forwarders(world)) if world.sites[n] == "east")
    other = next(n for n in "abc" if n != victim)
    world.kill(victim)
    world.run(0.1)
    world[other].register("1001", URI)
    assert world.run(3.0, lambda: all(n.where("1001") == [other] for n in world.running()))
    assert len(forwarders(world)) == 2
    assert world.run(4.0, lambda: all(victim not in n.up() for n in world.running()))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("noticed", [True, False], ids=["by the link", "by nobody"])
def test_both_sites_serve_through_a_cut_and_agree_after_it(noticed: bool, seed: int) -> None:
    """Phones move and extensions are edited on both sides; one field on both."""
    world = sites(seed)
    world["a"].edit("1001", name="old", secret=SECRET)
    world["a"].register("1001", URI)
    world.run(1)
    cut(world, "west")
    world.run(12)
    assert world["a"].up() == ["b", "c"]
    assert world["e"].up() == ["d", "f"]
    assert told(world, "a") == ["site heard", "site silent"]
    world["b"].edit("1002", name="east", secret=SECRET)
    world["e"].edit("1003", name="west", secret=SECRET)
    world["b"].edit("1001", name="east")
    world.run(0.1)
    world["f"].edit("1001", name="west")
    world["d"].register("1001", URI)
    world.run(50)
    assert world["c"].where("1001") == ["a"]
    assert world["e"].where("1001") == ["d"]
    world.network.heal()
    for node in world.running() if noticed else []:
        world.bounce(node.name)
    assert world.run(2.0, world.agree)
    for node in world.running():
        names = [p.name for p in node.federation.directory.catalogue.phones()]
        assert names == ["west", "east", "west"]
        assert node.where("1001") == ["d"]
    assert world.run(6.0, lambda: all(len(n.up()) == 5 for n in world.running()))
    assert told(world, "a") == ["site heard", "site silent", "site heard"]


def settled_apart(seed: int, *dial_anew: str) -> World:
    """Two sites behind a cut, with news on both; who speaks for these sites had lost its link with the cut, and dials anew."""
    world = sites(seed)
    cut(world, "west")
    world.run(5 + seed / 10)
    for name in sorted(forwarders(world)):
        if world.sites[name] in dial_anew:
            world.bounce(name)
    world.run(6)
    world["b"].edit("1002", name="east", secret=SECRET)
    world["e"].edit("1003", name="west", secret=SECRET)
    world.run(20 + seed / 20)
    return world


@pytest.mark.parametrize("seed", range(4, 8))
def test_who_dialled_anew_behind_a_cut_is_believed_as_soon_as_it_is_heard(seed: int) -> None:
    """It knows nobody of the other site any more, and so cannot answer at once: it is asked again when it says who it is."""
    world = settled_apart(seed, "west")
    world.network.jitter = 0.0  # as in a TCP connection nothing is overtaken
    world.network.heal()
    assert world.run(CALL + 0.1, world.agree)


@pytest.mark.parametrize("seed", [1, 7, 13])
def test_what_is_overtaken_while_a_cut_heals_costs_one_question(seed: int) -> None:
    """What was told to who did not believe it yet is told again, not taken for told."""
    world = settled_apart(seed, "east", "west")
    world.network.heal()
    assert world.run(CALL + PROOF + 0.1, world.agree)


def test_a_node_killed_in_another_site_is_down_here_as_soon_as_there() -> None:
    """Its own site's verdict comes with the next report, which is sent at once."""
    world = sites()
    quiet = next(n for n in "def" if n not in forwarders(world))
    world.kill(quiet)
    assert world.run(3.0, lambda: all(quiet not in n.up() for n in world.running()))
    assert world["a"].state(quiet) is State.DOWN


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("speaks", [True, False], ids=["forwarder", "another"])
def test_phones_of_other_sites_are_not_sent_to_the_dead_for_two_seconds(
    speaks: bool, seed: int
) -> None:
    """Its own site tells that it doubts, before it is sure."""
    world = sites(seed)
    victim = next(n for n in "def" if (n in forwarders(world)) is speaks)
    world.run(seed / 20)
    world.kill(victim)

    def told() -> bool:
        named = [standing(n.federation, NodeName(victim)) for n in world.running()]
        return all(how is not Standing.WELL for how in named)

    assert world.run(1.9, told)
    assert world["a"].state(victim) is State.SUSPECT
    assert not world["a"].federation.view.reachable(NodeName(victim))  # calls go elsewhere, too
    assert victim in world["a"].federation.view.ring.weights


@pytest.mark.parametrize("seed", range(20))
def test_the_only_neighbour_of_a_dead_forwarder_is_believed_in_time(seed: int) -> None:
    """What it says before it has proven that it lives is lost: it says it again then, not with its next report."""
    two = dict(zip("abcd", ["east", "east", "west", "west"], strict=True))
    world = World(seed, two, sites=two, settle=6.0)
    victim = next(n for n in "ab" if n in forwarders(world))
    world.run(seed / 20)
    world.kill(victim)

    def told() -> bool:
        named = [standing(n.federation, NodeName(victim)) for n in world.running()]
        return all(how is not Standing.WELL for how in named)

    assert world.run(2.0, told)


def test_who_refutes_a_suspicion_is_well_in_other_sites_at_once() -> None:
    """It was deaf for a moment."""
    world = sites()
    quiet = next(n for n in "def" if n not in forwarders(world))
    world.freeze(quiet)
    assert world.run(3.0, lambda: world["a"].state(quiet) is State.SUSPECT)
    world.thaw(quiet)
    assert world.run(0.3, lambda: world["a"].state(quiet) is State.ALIVE)


def test_who_has_lost_his_only_neighbour_while_catching_up_speaks_for_the_site() -> None:
    """There is nobody left to catch up with."""
    places = {"a": "east", "c": "west", "d": "west"}
    world = World(1, "acd", sites=places, settle=8)
    world.kill("d")
    world.run(5)
    world.boot("d")
    assert world.run(3.0, lambda: world["d"].state("c") is State.ALIVE)
    world["d"].federation.sites.settled = False  # it lacks something that c holds
    world.kill("c")
    assert world.run(6.0, lambda: world["a"].state("c") is State.DOWN)
    assert world["a"].state("d") is State.ALIVE


def test_a_new_site_gets_everything_once() -> None:
    """Over the WAN for the whole site, not for each node."""
    world = World(2, "abc", sites=dict.fromkeys("abc", "east"), settle=4.0)
    for i in range(200):
        world["a"].edit(f"{2000 + i}", name=f"phone {i}", secret=SECRET)
    world.run(2)
    assert world.hub is not None
    before = world.hub.bytes.total()
    world.sites |= dict.fromkeys("de", "west")
    world.boot("d")
    world.boot("e")
    assert world.run(15, world.agree)
    assert world["e"].phone("2199") is not None
    assert world.hub.bytes.total() - before < 200 * 160


def test_a_restarted_node_of_another_site_is_believed_again() -> None:
    """With a new epoch, of which the other site hears by its forwarder."""
    world = sites()
    world["a"].register("1001", URI)
    world.kill("a")
    world.run(4)
    assert world["f"].where("1001") == []
    world.boot("a")
    world["a"].listed(("1001", URI))
    world.run(6)
    assert world["f"].where("1001") == ["a"]
    assert world.agree()


def test_a_recorded_report_brings_nobody_back() -> None:
    """Its session has not answered this boot's question."""
    world = sites()
    east = next(n for n in sorted(forwarders(world)) if world.sites[n] == "east")
    west = next(n for n in sorted(forwarders(world)) if world.sites[n] == "west")
    federation = world[east].federation
    recorded = [world[east].post.frame(federation.ourselves.hello())]
    recorded += [
        world[east].post.frame(report)
        for report in federation.sites._report(
            federation.directory.fingerprint(), federation.ourselves.condition
        )
    ]
    cut(world, "east")
    world.run(12)
    assert world[west].up() == [n for n in "def" if n != west]
    for frame in recorded:
        world[west].receive_afar(frame, ("", 0))
    world.run(0.5)
    assert world[west].up() == [n for n in "def" if n != west]


def test_a_name_taken_in_another_site_is_refused_to_the_later() -> None:
    """The forwarder's report says who lives there."""
    world = sites()
    address = "10.0.0.50"
    world.network.site[address] = "west"
    later = Node(world, "a", Store(":memory:"), address=address, key=KEY, site="west")
    world.nodes["late"] = later
    world.run(12)
    assert "held by site east" in later.stopped
    assert world["a"].stopped == ""


def test_a_node_without_its_asterisk_gets_no_calls_from_other_sites() -> None:
    """Whether it speaks for its site or not."""
    world = sites()
    for name in "def":
        world[name].handle(AsteriskDown("it hangs"))
        world.run(0.2)
        assert not world["a"].federation.view.reachable(NodeName(name))
        world[name].handle(AsteriskUp("22.10.1", restarted=True))
        world.run(0.2)
        assert world["a"].federation.view.reachable(NodeName(name))


def lost(world: World, victim: str) -> set[int]:
    """How often the others were told that this node's Asterisk has died with its calls."""
    said = Tell(PeerLostCalls(NodeName(victim)))
    return {node.effects.count(said) for node in world.running() if node.name != victim}


def test_all_hear_of_an_asterisk_that_has_died_once() -> None:
    """In all sites at once, whether its node speaks for its site or not; nothing else looks like it."""
    world = sites()
    for name in "def":
        world[name].handle(AsteriskDown("it was killed"))
        world.run(0.3)
        assert lost(world, name) == {0}
        world[name].handle(AsteriskDied())
        world.run(0.3)
        assert lost(world, name) == {1}
        world[name].handle(AsteriskUp("22.10.1", restarted=True))
    world.run(10)
    assert all(lost(world, name) == {1} for name in "def")
    world.bounce("d")  # the daemon: it has counted no death yet
    assert world.run(30, world.agree)
    assert lost(world, "d") == {1}


def test_an_asterisks_death_that_was_not_heard_is_told_again() -> None:
    """In its LAN by the next heartbeat, to other sites by the next report: it is a state, no message."""
    world = sites()
    near = hosts(world, "west")
    world.network.cut(near[:1], near[1:])
    cut(world, "west")
    world["d"].handle(AsteriskDied())
    world.run(0.3)
    assert lost(world, "d") == {0}
    world.network.heal()
    world.run(0.7)
    assert all(world[n].effects.count(Tell(PeerLostCalls(NodeName("d")))) == 1 for n in "ef")
    world.run(5)
    assert lost(world, "d") == {1}


@pytest.mark.parametrize("seed", range(5))
def test_a_forwarder_that_is_expelled_behind_a_cut_keeps_no_site_apart(seed: int) -> None:
    """Refused by the other site, it leaves the speaking to others: they hear why, and what the new key is."""
    world = sites(seed)
    victim = next(n for n in sorted(forwarders(world)) if world.sites[n] == "west")
    others = [n for n in "abcdef" if n != victim]
    cut(world, "west")
    world.run(13)
    assert world["a"].rotate(expel=victim).status == 200
    world.run(5)
    world.network.heal()
    assert world.run(
        40, lambda: all(sorted(world[n].up()) == [o for o in others if o != n] for n in others)
    )
    assert len({world[n].federation.gate.keys.sealing.id for n in others}) == 1


def test_a_seed_of_another_site_is_no_namesake_of_itself() -> None:
    """A node whose list of peers names one of another site: both live on, in their own sites."""
    places = {"a": "east", "b": "east", "c": "west", "d": "west"}
    world = World(1, "abd", sites=places, settle=8)
    world.seeds = ("10.0.0.1",)
    world.boot("c")
    assert world.run(60, lambda: world.agree() and all(len(n.up()) == 3 for n in world.running()))
    assert not [node.stopped for node in world.nodes.values() if node.stopped]


@pytest.mark.parametrize("seed", range(10))
def test_a_short_cut_makes_no_site_silent(seed: int) -> None:
    """A report that was lost is asked for by who misses it."""
    world = sites(seed)
    world.run(seed / 2)
    cut(world, "west")
    world.run(3)
    world.network.heal()
    world.run(20)
    assert not [n.name for n in world.running() if "site silent" in told(world, n.name)]


def test_what_is_said_of_a_call_crosses_to_the_one_node_that_it_is_for() -> None:
    """From whichever node of a site to whichever of another: one frame between the sites, and nobody else hears it."""
    world = sites()
    assert world.hub is not None
    said = CallHere("f00dbeef0001", 1)

    def lan_bytes() -> int:
        return sum(n.spent["Passed"] for n in world.running())

    for by, to in product("def", "abc"):
        before = {n.name: len(n.effects) for n in world.running()}
        frames, spent = world.hub.frames.total(), lan_bytes()
        world[by].perform(world[by].federation.view.tell(NodeName(to), said))
        world.run(0.2)
        told = {
            n.name: [e.event for e in n.effects[before[n.name] :] if isinstance(e, Tell)]
            for n in world.running()
        }
        heard = [PeerHasCall(NodeName(by), CallId("f00dbeef0001"), 1)]
        assert told == {name: heard if name == to else [] for name in told}
        assert world.hub.frames.total() - frames <= 3  # and perhaps both reports
        assert lan_bytes() - spent <= 2 * 115
    over = CallOver("f00dbeef0001", 1)
    world["a"].perform(world["a"].federation.view.tell(NodeName("e"), over))
    world.run(0.2)
    assert Tell(PeerGaveUp(NodeName("a"), CallId("f00dbeef0001"), 1)) in world["e"].effects


def test_nothing_is_passed_on_to_a_site_that_is_silent_or_of_who_was_expelled() -> None:
    """Nor between two nodes of one LAN, who have doors of their own."""
    world = sites()
    view = world["a"].federation.view
    assert view.tell(NodeName("b"), CallHere("f00d", 1)) == [
        SendTo(world["b"].address, CallHere("f00d", 1))
    ]
    forwarder = next(world[name] for name in forwarders(world) if world.sites[name] == "west")
    stranger, other = [name for name in "def" if name != forwarder.name]
    world["a"].rotate(expel=stranger)
    world.run(1)
    passed = Passed("a", stranger, CallHere("f00d", 1))
    world[other].perform([SendTo(forwarder.address, passed)])
    world.run(0.2)
    assert not [e for e in world["a"].effects if isinstance(e, Tell)]
    cut(world, "west")
    world.run(12)
    assert forwarder.federation.view.tell(NodeName("a"), CallHere("f00d", 1)) == []
