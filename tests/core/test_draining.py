"""A node that is drained: whom it serves still, what its deadline does, and that it outlives a restart."""

from typing import Any

import pytest

from pbxfed_ari.core.calls.calls import Manner
from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import HandOver, HangUp, HangUpLeg, Leg, Note, Outside, Reply, Tell
from pbxfed_ari.core.events import (
    Answered,
    Arrived,
    CallEvent,
    CameIn,
    DrainOver,
    DrainSwitched,
    Ended,
    LegDialed,
    LegEntered,
    Returned,
    WentOut,
)
from pbxfed_ari.core.membership.draining import Drain, Draining
from pbxfed_ari.core.names import ChannelId, NodeName
from pbxfed_ari.core.routing.route import route
from pbxfed_ari.core.routing.tries import ASK_ANOTHER, Asking
from tests.core.test_route import A, B, C, View, make
from tests.core.test_routing import Busy, legs, line, view
from tests.stories.world import World

HELP = line("city", emergency=["112"])


def drained(*items: Any, **more: Any) -> View:
    found = view(*items, **more)
    found.leaving = True
    return found


# --- who is served


@pytest.mark.parametrize("number", ["1001", "600", "0301", "4711"])
def test_a_new_call_from_a_phone_here_may_go_through_another_node(number: str) -> None:
    """503, whatever is dialed."""
    there = drained(HELP, make("group", "600", members=["1001"]))
    found = route(Asking(number, "1009"), there, Busy())
    assert (found.tries, found.cause) == ((), ASK_ANOTHER)
    assert found.reason == "a is being drained: call through another node"


def test_who_calls_for_help_is_helped_here() -> None:
    """Nobody is sent elsewhere with that."""
    found = route(Asking("112", "1009"), drained(HELP), Busy())
    assert legs(found) == [(Outside("city", "pjsip", "provider", "112"),)]


@pytest.mark.parametrize(
    "asking",
    [
        Asking("1001", peer=B),  # a peer's call to a phone that is registered here
        Asking("+4930", did=True, outside=True),  # its provider may know no other node
        Asking("1001", "1009", path=("1002",)),  # it was forwarded
        Asking("1001", "1009", running=True),  # who talks is transferred
    ],
)
def test_what_runs_or_cannot_go_elsewhere_is_served(asking: Asking) -> None:
    """As on any other node."""
    there = drained(make("did", "+4930", destination="1001"))
    assert legs(route(asking, there, Busy())) == [(Leg(),)]


# --- the deadline


def calls(*numbers: str, there: View) -> Switchboard:
    """These were answered."""
    board = Switchboard()
    for n, number in enumerate(numbers):
        channel = ChannelId(f"17.{n}")
        board.handle(
            Arrived(channel, number, "1009", "", fresh_id=f"f{n}", endpoint="1009"), 0.0, there
        )
        board.handle(Answered(channel), 1.0, there)
    return board


def test_a_call_whose_first_way_failed_goes_on_when_the_node_drains_meanwhile() -> None:
    """To where its phone stands now, and onward as its extension says: it is no new call."""
    there = View(B, trunks=("sip",), items=[make("extension", "1001", forward_unreachable="1002")])
    board = Switchboard()
    board.handle(Arrived(ChannelId("17.1"), "1001", "1009", "", fresh_id="f"), 0.0, there)
    there.leaving, there.places = True, (C,)
    failed = Returned(ChannelId("17.1"), "CHANUNAVAIL", 3)
    moved = board.handle(failed, 0.1, there)
    there.places = (A,)
    onward = board.handle(failed, 0.2, there)
    rung = [(e.extension, e.legs) for e in [*moved, *onward] if isinstance(e, HandOver)]
    assert rung == [("1001", (Leg(C, "sip"),)), ("1001", (Leg(),))]
    last = board.handle(failed, 0.3, there)
    assert [e.extension for e in last if isinstance(e, HandOver)] == ["1002"]


def notes(effects: Any) -> list[tuple[dict[str, object], str]]:
    found = [e for e in effects if isinstance(e, Note) and e.event == "drain_deadline"]
    return [(dict(note.fields), note.level) for note in found]


def test_at_the_deadline_what_is_left_is_told() -> None:
    """And nothing else happens, unless that was asked."""
    there = view(HELP)
    board = calls("1001", "1002", there=there)
    effects = board.handle(DrainOver(end=False, phones=3), 60.0, there)
    assert notes(effects) == [({"calls_left": 2, "ended": 0, "phones_left": 3}, "warning")]
    assert not any(isinstance(e, HangUp) for e in effects)


def test_at_the_deadline_calls_are_ended_if_that_was_asked() -> None:
    """But not who has called for help."""
    there = view(HELP)
    board = calls("1001", "112", "1002", there=there)
    effects = board.handle(DrainOver(end=True, phones=0), 60.0, there)
    assert notes(effects) == [({"calls_left": 3, "ended": 2, "phones_left": 0}, "warning")]
    assert [e.channel for e in effects if isinstance(e, HangUp)] == ["17.0", "17.2"]


@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_who_talks_by_a_transfer_is_ended_too(control: str) -> None:
    """Whoever began the call has gone; Asterisk has put another in his place."""
    there, board = view(), Switchboard(Manner(control=control))
    seen: tuple[CallEvent, ...]
    moved: tuple[CallEvent, ...]
    caller, other = ChannelId("17.0"), ChannelId("18.0")
    board.handle(Arrived(caller, "1001", "1009", "", fresh_id="f0"), 0.0, there)
    leg = ChannelId("pf-f0-1-0") if control == "bridge" else ChannelId("17.1")
    if control == "bridge":
        seen = (
            CameIn(caller, "pf-f0"),
            CameIn(leg, "pf-f0"),
            LegEntered(leg),
            Answered(caller, leg),
        )
        moved = (WentOut(caller, "pf-f0"), CameIn(other, "pf-f0"), Ended(caller))
    else:
        seen = (LegDialed(caller, leg, "PJSIP/1001-1"), Answered(caller, leg))
        moved = (Ended(caller),)
    for event in (*seen, *moved):
        board.handle(event, 1.0, there)
    effects = board.handle(DrainOver(end=True, phones=0), 60.0, there)
    assert leg in [e.leg for e in effects if isinstance(e, HangUpLeg)]


def test_where_nobody_is_left_there_is_nothing_to_warn_of() -> None:
    """All went well."""
    effects = Switchboard().handle(DrainOver(end=True, phones=0), 60.0, view())
    assert notes(effects) == [({"calls_left": 0, "ended": 0, "phones_left": 0}, "info")]


# --- stories


def order(world: World, name: str, seconds: int, *, end: bool = False) -> list[Any]:
    node = world[name]
    return node.handle(DrainSwitched(True, seconds, end, ticket=7, wall_ms=node.wall_ms()))


def restart(world: World, name: str) -> None:
    world.kill(name)
    world.boot(name)


def deadlines(world: World, name: str) -> list[DrainOver]:
    told = [e.event for e in world[name].effects if isinstance(e, Tell)]
    return [event for event in told if isinstance(event, DrainOver)]


def test_the_deadline_comes_once() -> None:
    """Drained it stays; a new order has a new deadline."""
    world = World(names="ab")
    effects = order(world, "a", 10, end=True)
    assert Reply(7, 200) in effects
    world.run(9.9)
    assert deadlines(world, "a") == []
    world.run(0.2)
    assert deadlines(world, "a") == [DrainOver(True, 0)]
    world.run(60)
    assert len(deadlines(world, "a")) == 1
    assert world["b"].federation.view.condition_of(NodeName("a")).drains
    order(world, "a", 5)
    world.run(5.1)
    assert deadlines(world, "a")[1:] == [DrainOver(False, 0)]


def test_it_outlives_a_restart_with_its_deadline() -> None:
    """From its first heartbeat on; and what was told is not told again."""
    world = World(names="ab")
    order(world, "a", 30)
    world.run(1)
    restart(world, "a")
    world.run(3)
    assert world["b"].federation.view.condition_of(NodeName("a")).drains
    assert not world["a"].federation.view.takes(A)
    assert deadlines(world, "a") == []
    world.run(27)
    assert len(deadlines(world, "a")) == 1
    restart(world, "a")
    world.run(3)
    assert deadlines(world, "a") == []
    assert world["a"].federation.view.drained()


def test_who_restarts_drains_for_its_peers_before_it_has_said_so() -> None:
    """Its first heartbeat comes half a second after its introduction: no phone is led to it, and no call, meanwhile."""
    world = World(names="ab")
    order(world, "a", 30)
    world.run(1)
    restart(world, "a")
    for _ in range(150):
        world.run(0.02)
        assert world["b"].federation.view.condition_of(A).drains


def test_it_ends_for_good() -> None:
    """After a restart, too; and no deadline comes any more."""
    world = World(names="ab")
    order(world, "a", 5)
    world["a"].handle(DrainSwitched(False))
    world.run(6)
    restart(world, "a")
    world.run(3)
    assert not world["b"].federation.view.condition_of(NodeName("a")).drains
    assert deadlines(world, "a") == []


def test_a_clock_that_steps_moves_the_deadline_with_it() -> None:
    """It is a time of the day, as operators read it."""
    draining = Draining()
    draining.switch(DrainSwitched(True, 100, wall_ms=1_000_000), 0.0)
    assert draining.tick(1.0, 1_001_000) == ([], False)
    assert draining.next_deadline() == 100.0
    assert draining.tick(2.0, 1_051_000) == ([], False)
    assert draining.next_deadline() == 51.0


def test_an_order_that_cannot_be_read_is_an_order() -> None:
    """A newer release has written it: rather drained than not."""
    assert Draining("what?").order == Drain(0, 0, over=True)
