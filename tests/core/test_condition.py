"""What follows of a node's condition: who is in the ring, who is named to phones, who is told."""

import pytest

from pbxfed_ari.core.events import AsteriskDown, AsteriskUp, DrainSwitched, HealthChanged
from pbxfed_ari.core.membership.condition import DEATHS, SICK, WORST, Condition
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.naming.signpost import Standing, signs
from tests.stories.world import World

TWO = {"a": "east", "b": "east", "c": "west", "d": "west"}


def rings(world: World) -> set[str]:
    """The rings that the nodes have: one, if they agree."""
    return {" ".join(n.federation.view.ring.weights) for n in world.running()}


def signposts(world: World, asked: str) -> dict[str, tuple[Standing, int]]:
    return {s.node: (s.standing, s.weight) for s in signs(world[asked].federation)}


@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize("drains", [True, False])
@pytest.mark.parametrize("deaths", range(DEATHS))
@pytest.mark.parametrize("sick", range(WORST + 1))
def test_a_condition_travels_in_seven_bits(
    ready: bool, sick: int, drains: bool, deaths: int
) -> None:
    """Beside `ready`, whose bit is old; deaths, which came later, are no sickness to an older release."""
    said = Condition(ready, sick, drains, deaths)
    assert said.word < 128
    assert Condition.of(ready, said.word) == said
    assert Condition.of(ready, said.word | 384) == said  # of a newer release
    assert said.word % 32 == Condition(ready, sick, drains).word


def test_no_peer_is_sicker_than_possible() -> None:
    """Whatever it says."""
    assert Condition.of(True, 15).sick == WORST


def test_a_condition_is_said_in_words() -> None:
    """In one column of a table."""
    assert str(Condition()) == "well"
    assert str(Condition(sick=SICK - 1)) == "poorly 4/10"
    assert str(Condition(False, 6, True)) == "no Asterisk, sick 6/10, drains"


@pytest.mark.parametrize(
    ("event", "back", "standing"),
    [
        (HealthChanged(SICK), HealthChanged(SICK - 1), Standing.SICK),
        (DrainSwitched(True), DrainSwitched(False), Standing.LAST),
        (AsteriskDown("gone"), AsteriskUp("22.10.1", False), Standing.SICK),
    ],
    ids=["sick", "drained", "without Asterisk"],
)
def test_who_is_not_well_leaves_the_ring_at_once_and_comes_back(
    event: HealthChanged | DrainSwitched | AsteriskDown,
    back: HealthChanged | DrainSwitched | AsteriskUp,
    standing: Standing,
) -> None:
    """Everywhere, in the time of one frame; phones are sent there last, or no more."""
    world = World(3, "abc", settle=3.0)
    assert rings(world) == {"a b c"}
    world["b"].handle(event)
    world.run(0.05)
    assert rings(world) == {"a c"}
    assert all(signposts(world, asked)["b"][0] is standing for asked in "abc")
    world["b"].handle(back)
    world.run(0.05)
    assert rings(world) == {"a b c"}


def test_other_sites_hear_of_it_too() -> None:
    """With the report that a change makes."""
    world = World(4, TWO, sites=TWO, settle=6.0)
    assert rings(world) == {"a b c d"}
    for change, ring in ((7, "a b d"), (4, "a b c d")):
        world["c"].handle(HealthChanged(change))
        world.run(0.3)
        assert rings(world) == {ring}
        assert all(
            n.federation.view.condition_of(NodeName("c")).sick == change for n in world.running()
        )
    world["c"].handle(DrainSwitched(True))
    world.run(0.3)
    assert rings(world) == {"a b d"}
    assert {signposts(world, asked)["c"] for asked in "abcd"} == {(Standing.LAST, 60)}


def test_where_nobody_is_well_all_that_live_are_in_the_ring() -> None:
    """A poor home is better than none; and one that comes back is alone in it."""
    world = World(5, "abc", settle=3.0)
    for node in world.running():
        node.handle(HealthChanged(8))
    world.run(0.1)
    assert rings(world) == {"a b c"}
    world["c"].handle(HealthChanged(0))
    world.run(0.1)
    assert rings(world) == {"c"}


def test_who_is_poorly_is_recommended_less_and_keeps_its_homes() -> None:
    """What is at home somewhere must not move with each cough."""
    world = World(6, "ab", settle=3.0)
    world["b"].handle(HealthChanged(3))
    world.run(0.1)
    assert rings(world) == {"a b"}
    assert signposts(world, "a") == {"a": (Standing.WELL, 100), "b": (Standing.WELL, 70)}


def test_a_change_is_one_frame_and_no_change_none() -> None:
    """It does not wait for the next heartbeat, and is not said twice."""
    world = World(7, "ab", settle=3.0)
    before = world["a"].post.sent["Heartbeat"]
    world["a"].handle(HealthChanged(6))
    world["a"].handle(HealthChanged(6))
    assert world["a"].post.sent["Heartbeat"] == before + 1
