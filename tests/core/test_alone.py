"""A daemon is away: whom its Asterisk asks then, and what a peer gives to a call that nobody has looked at."""

from typing import Any

import pytest

from pbxfed_ari.core.calls.call import Phase
from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import Effect, Enter, HandOver, HangUp, Leg, Note, WhenAlone
from pbxfed_ari.core.events import (
    Arrived,
    Redirected,
    Returned,
    TrunksBlocked,
)
from pbxfed_ari.core.federation.federation import describe
from pbxfed_ari.core.names import ChannelId, NodeName
from pbxfed_ari.core.records.shelf import NodeInfo
from pbxfed_ari.core.routing.alone import MOST, Alone, asked
from pbxfed_ari.core.routing.tries import BUSY, REJECTED, UNALLOCATED
from tests.core.test_route import A, B, C, View, make
from tests.core.test_routing import line
from tests.stories.world import World

CHANNEL = ChannelId("17.1")


# --- whom Asterisk asks


def test_the_peers_of_our_site_are_asked_first_each_as_it_wants_to_be_called() -> None:
    """By one trunk each: two to one node would ring one phone twice."""
    assert asked(View()) == (Leg(C, "sip"), Leg(B, "sip"))
    assert asked(View(trunks=("iax2", "sip"), sites={C: "far"})) == (Leg(B, "iax2"), Leg(C, "iax2"))
    assert asked(View(trunks=())) == ()


def test_a_trunk_that_is_known_to_be_blocked_is_not_used() -> None:
    """If the peer has another one: without the daemon nobody finds out that by SIP nothing passes."""
    blocked = frozenset({(B, "sip")})
    assert asked(View(), blocked) == (Leg(C, "sip"), Leg(B, "iax2"))
    assert asked(View(trunks=("sip",)), blocked) == (Leg(C, "sip"), Leg(B, "sip"))


def test_what_calls_find_blocked_asterisk_hears() -> None:
    """And that it is blocked no more."""
    world = World(seed=1, names="abc")
    both = NodeInfo("10.0.0.3", "main", 100, ("sip", "iax2"), bytes(32))
    world["c"].handle(describe(both))
    world.run(5.0)
    assert ways(world)[-1] == {("b", "sip"), ("c", "sip")}
    for blocked, expected in ({(C, "sip")}, ("c", "iax2")), (set(), ("c", "sip")):
        world["a"].handle(TrunksBlocked(frozenset(blocked)))
        world.run(2.0)
        assert ways(world)[-1] == {("b", "sip"), expected}


def ways(world: World) -> list[set[tuple[str | None, str]]]:
    found = [e for e in world["a"].effects if isinstance(e, WhenAlone)]
    return [{(leg.peer, leg.trunk) for leg in one.legs} for one in found]


def test_who_is_out_of_reach_sick_or_drained_is_not_asked() -> None:
    """Nor anybody by a node that is drained itself: its phones are to call through another one."""
    view = View(cut=[B])
    assert asked(view) == (Leg(C, "sip"),)
    view.sick = [C]
    assert asked(view) == ()
    leaving = View()
    leaving.leaving = True
    assert asked(leaving) == ()


@pytest.mark.parametrize("narrow", [{"calls": 4}, {"kbps": 512}, {"codec": "g729"}])
@pytest.mark.parametrize("at", ["main", "far"])
def test_no_call_goes_uncounted_over_a_narrow_line(narrow: dict[str, Any], at: str) -> None:
    """Nobody would count it there, nor choose its codec."""
    view = View(sites={C: "far"}, items=[make("site", at, **narrow)])
    assert asked(view) == (Leg(B, "sip"),)


def test_a_large_federation_is_not_asked_as_a_whole() -> None:
    """Each is one INVITE more, and one more that may be dead by then."""

    class Large(View):
        def nodes(self) -> list[NodeName]:
            return [A, *(NodeName(f"n{i}") for i in range(255))]

    view = Large(sites={NodeName("n7"): "here", A: "here"})
    found = asked(view)
    assert len(found) == MOST
    assert found[0] == Leg(NodeName("n7"), "sip")


def test_asterisk_is_told_once_and_not_before_it_is_known_who_lives() -> None:
    """A daemon that dies as soon as it has started wipes nothing out."""
    view, alone = View(), Alone()
    view.settles = 10.0
    assert alone.look(view, 9.0) == []
    assert alone.look(view, 11.0) == [WhenAlone((Leg(C, "sip"), Leg(B, "sip")))]
    assert alone.look(view, 12.0) == []
    view.cut = [B, C]
    assert alone.look(view, 13.0) == [WhenAlone(())]


def test_a_federation_tells_its_asterisks_when_somebody_comes_dies_or_is_expelled() -> None:
    """A few words an hour, not one with each heartbeat."""
    world = World(seed=1, names="abc")
    world.run(5.0)
    assert told(world)[-1] == {"b", "c"}
    before = len(told(world))
    world.run(60.0)
    assert len(told(world)) == before
    world.kill("c")
    world.run(5.0)
    assert told(world)[before:] == [{"b"}]
    assert world["a"].rotate("b").status == 200
    world.run(5.0)
    assert told(world)[before:] == [{"b"}, set()]


def told(world: World) -> list[set[str | None]]:
    found = [e for e in world["a"].effects if isinstance(e, WhenAlone)]
    return [{leg.peer for leg in one.legs} for one in found]


# --- what the peer gives


def come(number: str, caller: str = "1009", note: str = "") -> Arrived:
    return Arrived(CHANNEL, number, caller, "Ann", peer=B, note=note, fresh_id="f00")


def heard(board: Switchboard, event: Any, view: View, now: float = 0.0) -> list[Effect]:
    return [e for e in board.handle(event, now, view) if isinstance(e, HandOver | HangUp)]


def test_a_phone_here_rings() -> None:
    """As if the peer's daemon had sent the call; its record says who has."""
    board = Switchboard()
    (given,) = heard(board, come("1001"), View(A, C))
    assert isinstance(given, HandOver)
    assert given.legs == (Leg(),)
    (call,) = board
    assert call.phase is Phase.DIALING
    assert call.tried[-1].reason == "from b, whose daemon is away; 1001 is registered here"


@pytest.mark.parametrize("note", ["", "no waybill!"])
@pytest.mark.parametrize(
    "number", ["1001", "2001", "600", "700", "800", "*97", "0301", "112", "+4930", "1004", ""]
)
def test_nothing_else_is_had(number: str, note: str) -> None:
    """Two nodes would begin one room, ring one group, play one mailbox, dial one city: neither does."""
    view = View(
        C,
        items=[
            make("group", "600", members=["1002"]),
            make("queue", "700", members=["1002"]),
            make("room", "800"),
            make("service", "*97", context="vm"),
            line("city", nodes=["a"], emergency=["112"]),
            make("did", "+4930", destination="1002"),
            make("extension", "1004", forward_always="0301"),
        ],
    )
    assert heard(Switchboard(), come(number, note=note), view) == [HangUp(CHANNEL, UNALLOCATED)]


def test_a_phone_that_forwards_is_not_rung_and_its_forward_not_followed() -> None:
    """By whatever: its daemon would have asked where that leads, and whether it may."""
    always = make("extension", "1001", forward_always="1002")
    refused = [HangUp(CHANNEL, UNALLOCATED)]
    assert heard(Switchboard(), come("1001"), View(A, items=[always])) == refused
    busy = make("extension", "1001", forward_busy="1002", forward_no_answer="1002")
    board, view = Switchboard(), View(A, items=[busy])
    assert len(heard(board, come("1001"), view)) == 1
    returned = Returned(CHANNEL, "BUSY", BUSY)
    assert heard(board, returned, view, 1.0) == [HangUp(CHANNEL, BUSY)]


def test_a_phone_that_sends_the_call_on_ends_it() -> None:
    """Even to another one here: two of them could send it to and fro."""
    board, view = Switchboard(), View(A)
    heard(board, come("1001"), view)
    board.handle(Redirected(CHANNEL, ChannelId("17.2"), "1002"), 1.0, view)
    ended = heard(board, Returned(CHANNEL, "CHANUNAVAIL", 0), view, 1.1)
    assert ended == [HangUp(CHANNEL, UNALLOCATED)]


def test_do_not_disturb_and_the_limit_of_calls_are_busy() -> None:
    """The caller hears it: of several answers Dial takes that one."""
    dnd = View(A, items=[make("extension", "1001", dnd=True)])
    assert heard(Switchboard(), come("1001"), dnd) == [HangUp(CHANNEL, BUSY)]
    board, one = Switchboard(), View(A, items=[make("extension", "1001", call_limit=1)])
    heard(board, Arrived(ChannelId("17.9"), "1001", "1008", "", fresh_id="f01"), one)
    assert heard(board, come("1001"), one) == [HangUp(CHANNEL, BUSY)]


def test_who_may_not_dial_a_number_does_not_reach_it_so() -> None:
    """His own node could not look at his class; the one that is asked does, by the number that it shows."""
    lobby = make("class", "lobby", allow=["1002"])
    view = View(A, items=[lobby, make("extension", "1009", calling_class="lobby")])
    assert heard(Switchboard(), come("1001"), view) == [HangUp(CHANNEL, REJECTED)]
    assert isinstance(heard(Switchboard(), come("1002"), view)[0], HandOver)


def test_with_a_waybill_all_is_as_it_was() -> None:
    """The peer's daemon has decided."""
    view = View(A, items=[make("room", "800")])
    effects = Switchboard().handle(come("800", note="beef/1/1"), 0.0, view)
    assert any(isinstance(effect, Enter) for effect in effects)


def test_notes_tell_why() -> None:
    """For the log of the node that was asked."""
    effects = Switchboard().handle(come("2001"), 0.0, View(A))
    (note,) = [e for e in effects if isinstance(e, Note)]
    assert (
        dict(note.fields)["reason"] == "from b, whose daemon is away: 2001 is not registered here"
    )
