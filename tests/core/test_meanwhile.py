"""Bridge mode: several ring, one was silent by its trunk, and is called by the other one meanwhile."""

from typing import Any

import pytest

from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import Abandon, CallEnded, Effect, HangUp, Leg, MakeLeg, SendTo
from pbxfed_ari.core.events import (
    Answered,
    Arrived,
    CallEvent,
    Ended,
    LegEnded,
    LegEntered,
    LegLives,
    PeerHasCall,
)
from pbxfed_ari.core.messages import CallOver
from pbxfed_ari.core.names import CallId, ChannelId, NodeName
from pbxfed_ari.core.routing.waybill import read
from tests.core.test_route import A, B, C, View, make

CALLER, CALL, WALL = ChannelId("17.1"), CallId("f00"), 1_800_000_000_000
FIRST, SECOND, AGAIN = (ChannelId(f"pf-f00-{leg}") for leg in ("1-0", "1-1", "2-2"))
DOOR_C = ("10.0.0.9", ord("c"))


class Story:
    """A call in bridge mode to a number at these nodes: its legs are there, and the first one rings."""

    def __init__(self, *places: NodeName, number: str = "1001", **fields: Any) -> None:
        kind = "group" if "members" in fields else "extension"
        item = make(kind, number, control="bridge", **fields)
        self.board, self.view = Switchboard(), View(*places, items=[item])
        self.at(0.0, Arrived(CALLER, number, "1009", "", fresh_id="f00", wall_ms=WALL))
        self.at(0.1, LegEntered(FIRST), LegEntered(SECOND))
        self.at(0.2, LegLives(CALLER, FIRST, "RINGING"))

    def at(self, now: float, *events: CallEvent) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            effects += self.board.handle(event, now, self.view)
        return effects if events else self.board.tick(now, self.view)


def made(effects: list[Effect]) -> list[tuple[ChannelId, Leg]]:
    return [(e.leg, e.to) for e in effects if isinstance(e, MakeLeg) and isinstance(e.to, Leg)]


def test_who_is_silent_is_called_by_the_other_trunk_while_the_others_ring() -> None:
    """As a try of the next number, for the first one is not wanted there any more; the next call begins so."""
    story = Story(B, C)
    late = story.at(2.0)
    assert Abandon(SECOND) in late
    assert SendTo(DOOR_C, CallOver(CALL, 1)) in late
    assert made(late) == [(AGAIN, Leg(C, "iax2"))]
    (leg,) = [e for e in late if isinstance(e, MakeLeg)]
    bill = read(leg.note)
    assert bill is not None
    assert (bill.call, bill.attempt) == (CALL, 2)
    assert story.at(2.05, PeerHasCall(C, CALL, 1)) == [SendTo(DOOR_C, CallOver(CALL, 1))]
    story.at(2.1, LegEntered(AGAIN), LegEnded(SECOND, 3), PeerHasCall(C, CALL, 2))
    assert story.board.next_deadline() == float("inf")
    story.at(2.2, PeerHasCall(B, CALL, 1), LegLives(CALLER, AGAIN, "RINGING"))
    story.at(9.0, Answered(CALLER, AGAIN))
    (call,) = story.board
    assert call.legs == (Leg(C, "iax2"),)
    story.at(12.0, Ended(CALLER, 16), LegEnded(AGAIN, 16))
    story.at(20.0, Arrived(CALLER, "1001", "1009", "", fresh_id="f01", wall_ms=WALL))
    assert [one.route.tries[0].legs for one in story.board] == [(Leg(B, "sip"), Leg(C, "iax2"))]


def test_how_long_he_needs_by_the_other_trunk_counts_from_then() -> None:
    """Not the silence by the first one."""
    story = Story(B, C)
    story.at(2.0)
    story.at(2.1, LegEntered(AGAIN))
    story.at(2.25, PeerHasCall(C, CALL, 2))
    assert story.board.calls.usage.needed(C, "iax2") == 0.25


def test_he_has_as_long_as_others_have_needed_by_the_other_trunk() -> None:
    """Of whom it is known that he answers them by that slowly. Who rings beside him has no less than before."""
    story = Story(B, C)
    story.view.clock = WALL
    usage = story.board.calls.usage
    slow = CallId("f01")
    story.view.kinds, story.view.places = ("iax2",), (C,)
    story.board.tick(0.3, story.view, 0.5)  # our own loop was late: 4 s instead of 2
    story.at(0.4, Arrived(ChannelId("18.1"), "1003", "1009", "", fresh_id=slow, wall_ms=WALL))
    story.at(4.3, PeerHasCall(C, slow, 1))
    assert usage.needed(C, "iax2") == pytest.approx(3.9)
    story.view.kinds, story.view.places = ("sip", "iax2"), (B, C)
    came = Arrived(ChannelId("19.1"), "1001", "1009", "", fresh_id="f02", wall_ms=WALL + 6_000)
    first, second = (ChannelId(f"pf-f02-{leg}") for leg in ("1-0", "1-1"))
    story.at(6.0, came)
    story.at(6.1, LegEntered(first), LegEntered(second))
    story.at(6.2, LegLives(came.channel, first, "RINGING"))
    (leg,) = (e for e in story.at(8.0) if isinstance(e, MakeLeg) and e.call == came.channel)
    bill = read(leg.note)
    assert bill is not None
    assert (bill.attempt, bill.spare, bill.until_ms) == (2, 8, WALL + 8_000 + 300 + 7_800)


def test_by_the_other_trunk_its_time_begins_anew() -> None:
    """How long it has needed counts from then on, and what it has answered to others before is no sign of life."""
    story = Story(B, C)
    story.board.calls.usage._heard[C, "iax2"] = 1.5
    assert made(story.at(2.0)) == [(AGAIN, Leg(C, "iax2"))]
    story.at(2.1, LegEntered(AGAIN), LegEnded(SECOND, 3))
    assert Abandon(AGAIN) in story.at(2.3)
    story = Story(B, C)
    story.at(2.0)
    story.at(2.1, LegEntered(AGAIN), PeerHasCall(C, CALL, 2))
    assert story.board.calls.usage.needed(C, "iax2") == pytest.approx(0.1)


def test_the_record_has_it_as_one_try() -> None:
    """Whom it rang in the end, and why; the peer hears the number of its try when it is over."""
    story = Story(B, C)
    story.at(2.0)
    story.at(2.1, LegEntered(AGAIN), LegLives(CALLER, AGAIN, "RINGING"))
    effects = story.at(3.0, Ended(CALLER))
    (record,) = [e for e in effects if isinstance(e, CallEnded)]
    (attempt,) = record.attempts
    assert attempt.legs == (Leg(B, "sip"), Leg(C, "iax2"))
    assert attempt.reason.endswith("; meanwhile c by iax2")
    assert SendTo(DOOR_C, CallOver(CALL, 2)) in effects


def test_who_is_silent_by_both_is_given_up_and_the_others_ring_on() -> None:
    """What comes of it is what comes of them."""
    story = Story(B, C)
    story.at(2.0)
    story.at(2.1, LegEntered(AGAIN), LegEnded(SECOND, 3))
    late = story.at(2.3)
    assert [e for e in late if isinstance(e, Abandon)] == [Abandon(AGAIN)]
    assert SendTo(DOOR_C, CallOver(CALL, 2)) in late
    assert made(late) == []
    story.at(2.4, LegEnded(AGAIN, 3))
    assert story.at(9.0) == []
    assert HangUp(CALLER, 17) in story.at(10.0, LegEnded(FIRST, 17))


def test_our_own_phone_rings_on_beside_it() -> None:
    """The peer alone was watched."""
    late = Story(A, C).at(2.0)
    assert made(late) == [(AGAIN, Leg(C, "iax2"))]
    assert Abandon(FIRST) not in late


def test_a_member_of_a_group_is_called_so_and_no_other_one() -> None:
    """Who hunts comes to the next member when this one has been asked."""
    story = Story(B, C, number="600", members=["1001", "1002"], strategy="hunt")
    assert made(story.at(2.0)) == [(AGAIN, Leg(C, "iax2", "1001"))]


def test_by_dial_no_leg_can_be_added() -> None:
    """Its phone rings when the others have failed."""
    story = Story(B, C)
    (call,) = story.board
    call.bridged = None
    assert made(story.at(2.0)) == []
