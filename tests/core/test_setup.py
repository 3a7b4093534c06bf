"""The setting up of calls, told on a virtual clock: signs of life, silence, deaths, late and given-up calls."""

from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from pbxfed_ari.core.calls.calls import Manner
from pbxfed_ari.core.calls.setup import GRACE, HELD, HELD_AFAR, OVERTAKES, OVERTAKES_AFAR
from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import (
    Abandon,
    AskSip,
    CallEnded,
    Diverted,
    Effect,
    Enter,
    HandOver,
    HangUp,
    HangUpLeg,
    Leg,
    SendTo,
)
from pbxfed_ari.core.events import (
    Answered,
    Arrived,
    BridgeSeen,
    CallEvent,
    ChannelsListed,
    Ended,
    LegDialed,
    LegEnded,
    LegEntered,
    LegLives,
    LegSeen,
    PeerGaveUp,
    PeerHasCall,
    PeerLostCalls,
    Returned,
    RingFound,
    SipSaid,
    TalkFound,
    wan,
)
from pbxfed_ari.core.messages import CallHere, CallOver
from pbxfed_ari.core.names import CallId, ChannelId, Extension, NodeName, bridge_of, leg_of
from pbxfed_ari.core.records.registrations import Registration
from pbxfed_ari.core.routing.waybill import Waybill, read
from tests.core.test_route import A, B, C, View, make

CHANNEL, LEG = ChannelId("17.1"), ChannelId("17.2")
WALL = 1_800_000_000_000
CALL = CallId("beef")
DOOR_B, DOOR_C = ("10.0.0.9", ord("b")), ("10.0.0.9", ord("c"))


@dataclass
class Story:
    """A switchboard, a view, and the moments at which things happen. Notes are left out."""

    view: View
    board: Switchboard = field(default_factory=Switchboard)

    def at(self, now: float, *events: CallEvent) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            effects += self.board.handle(event, now, self.view)
        if not events:
            effects = self.board.tick(now, self.view)
        kinds = HandOver | HangUp | HangUpLeg | Abandon | AskSip | SendTo | CallEnded
        return [e for e in effects if isinstance(e, kinds)]


def later(story: Story, until: float) -> list[Effect]:
    """What happens by itself until then."""
    effects: list[Effect] = []
    while (due := story.board.next_deadline()) <= until:
        effects += story.at(due)
    return effects


def calling(*places: NodeName, trunks: tuple[str, ...] = ("sip", "iax2")) -> Story:
    story = Story(View(*places, trunks=trunks))
    story.view.clock = WALL
    arrived = Arrived(CHANNEL, "1001", "1002", "", fresh_id=CALL, wall_ms=WALL)
    (handed,) = story.at(0.0, arrived)
    assert isinstance(handed, HandOver)
    assert read(handed.note) == Waybill(CALL, 1, "", WALL + 8_000)
    story.at(0.01, LegDialed(CHANNEL, LEG, "PJSIP/pf-b-0000002a"))
    return story


def legs(effects: list[Effect]) -> list[tuple[Leg, ...]]:
    return [e.legs for e in effects if isinstance(e, HandOver)]  # type: ignore[misc]


def test_silence_is_abandoned_and_the_next_way_is_tried() -> None:
    """The peer is told, in case that it wakes; Dial comes back with a way that failed."""
    story = calling(B)
    assert story.board.next_deadline() == 2.0
    assert story.at(1.9) == []
    assert story.at(2.0) == [Abandon(LEG), SendTo(DOOR_B, CallOver(CALL, 1))]
    assert story.at(2.1) == []
    assert legs(story.at(2.1, Returned(CHANNEL, "CHANUNAVAIL", 3))) == [(Leg(B, "iax2"),)]
    assert 2.3 < story.board.next_deadline() < 2.5  # it was silent already


def test_a_try_that_was_given_up_is_not_wanted_though_the_caller_has_gone_while_another_one_rang() -> (
    None
):
    """A transfer may have put another into his place: so nothing is said of that other one."""
    story = calling(B)
    story.at(2.0)
    story.at(2.1, Returned(CHANNEL, "CHANUNAVAIL", 3))
    again = ChannelId("17.3")
    story.at(2.2, LegDialed(CHANNEL, again, "IAX2/pf-b-2"), LegLives(CHANNEL, again, "RINGING"))
    story.at(4.0, Ended(CHANNEL, 16), ChannelsListed(frozenset(), (), WALL))
    assert story.at(5.0, PeerHasCall(B, CALL, 2)) == []
    assert story.at(5.0, PeerHasCall(B, CALL, 1)) == [SendTo(DOOR_B, CallOver(CALL, 1))]


def test_a_loop_that_was_late_waits_twice_as_long() -> None:
    """The sign of life may stand in our own inbox."""
    story = Story(View(B))
    story.board.tick(0.0, story.view, 0.5)
    story.at(1.0, Arrived(CHANNEL, "1001", "1002", "", fresh_id=CALL, wall_ms=WALL))
    assert story.board.next_deadline() == 5.0


def test_a_peer_that_answers_others_is_busy_and_not_dead() -> None:
    """As long as it is within reach, by the same kind of trunk, and not for ever."""
    story = calling(B)
    story.at(0.5, Arrived(ChannelId("18.2"), "1001", "1003", "", fresh_id="other", wall_ms=WALL))
    story.at(1.0, PeerHasCall(B, CallId("other"), 1))
    assert story.at(2.0) == []
    assert story.at(7.9) == []
    assert Abandon(LEG) in story.at(8.4)
    for other in Arrived(ChannelId("18.2"), "1001", "1003", "", fresh_id="other"), None:
        story = calling(B)
        story.at(0.5, *([other] if other else []))
        story.at(1.0, PeerHasCall(B, CallId("other"), 1))
        story.view.cut = (B,) if other else ()
        assert Abandon(LEG) in story.at(2.0)


@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_who_has_answered_another_without_a_word_before_is_busy_and_not_dead(control: str) -> None:
    """As whose queue or room is called: it answers at once, and says nothing else."""
    other, others_leg = ChannelId("18.2"), ChannelId("18.3")
    story = Story(View(B), Switchboard(Manner(control=control)))
    story.at(0.0, Arrived(CHANNEL, "1001", "1002", "", fresh_id=CALL, wall_ms=WALL))
    story.at(0.5, Arrived(other, "1001", "1003", "", fresh_id="other", wall_ms=WALL))
    if control == "handover":
        leg = LEG
        story.at(0.51, LegDialed(CHANNEL, LEG, "PJSIP/pf-b-0000002a"))
        story.at(0.52, LegDialed(other, others_leg, "PJSIP/pf-b-0000002b"))
    else:
        leg, others_leg = leg_of(CALL, 1, 0), leg_of(CallId("other"), 1, 0)
        story.at(0.51, LegEntered(leg), LegEntered(others_leg))
    story.at(1.0, Answered(other, others_leg))
    assert story.board.calls.usage.needed(B, "sip") == pytest.approx(0.5)
    assert story.at(2.0) == story.at(7.9) == []
    assert any(getattr(e, "leg", "") == leg for e in story.at(8.4))


def test_who_has_much_to_do_has_twice_as_long_as_the_slowest_of_others_has_needed() -> None:
    """Else he is asked everything twice, and never gets out of it. What he needed long ago counts no more."""
    other, third = (
        Arrived(ChannelId(f"18.{n}"), "1001", "1003", "", fresh_id=f"other{n}", wall_ms=WALL)
        for n in (2, 3)
    )
    story = Story(View(B))
    story.view.clock = WALL
    story.board.tick(0.0, story.view, 0.5)  # our own loop was late: 4 s instead of 2
    story.at(0.0, other)
    story.at(3.6, PeerHasCall(B, CallId("other2"), 1))
    (handed,) = story.at(
        6.0, Arrived(CHANNEL, "1001", "1002", "", fresh_id=CALL, wall_ms=WALL + 6_000)
    )
    assert isinstance(handed, HandOver)
    assert read(handed.note) == Waybill(CALL, 1, "", WALL + 6_000 + 2_000 + 7_200, spare=8)
    story.at(6.01, LegDialed(CHANNEL, LEG, "PJSIP/pf-b-0000002a"))
    story.at(7.0, third)
    story.at(7.5, PeerHasCall(B, CallId("other3"), 1))
    assert story.at(15.1) == []
    assert Abandon(LEG) in story.at(15.7)
    story.at(
        17.6, replace(third, channel=ChannelId("18.5"), fresh_id="after", wall_ms=WALL + 17_600)
    )
    after = story.board.calls.named("after")
    assert after is not None
    assert after.setup is not None
    assert after.setup.spare == 6.0
    calm = Story(View(B), story.board)
    calm.at(18.0, replace(third, channel=ChannelId("18.4"), fresh_id="calm"))
    calm.at(18.1, PeerHasCall(B, CallId("calm"), 1))
    assert story.board.calls.usage.needed(B, "sip") == pytest.approx(0.1)


def test_who_may_ask_another_node_next_waits_no_longer_than_ever_for_one_that_has_much_to_do() -> (
    None
):
    """A line of the outside, for help above all: at another node it is asked once, not twice."""
    ways = {"site": "main", "endpoint": "p", "nodes": ["b", "c"]}
    line = make("trunk", "city", **ways, patterns=["_0."], emergency=["112"])
    story = Story(View(B, items=[line]))
    story.view.clock = WALL
    story.board.tick(0.0, story.view, 0.5)
    other = Arrived(ChannelId("18.2"), "1001", "1003", "", fresh_id="other2", wall_ms=WALL)
    story.at(0.0, other)
    story.at(3.9, PeerHasCall(B, CallId("other2"), 1))
    (handed,) = story.at(6.0, Arrived(CHANNEL, "112", "1002", "", fresh_id=CALL, wall_ms=WALL))
    assert legs([handed]) == [(Leg(B, "sip", line="city"),)]
    story.at(6.01, LegDialed(CHANNEL, LEG, "PJSIP/pf-b-0000002a"))
    story.at(7.0, replace(other, channel=ChannelId("18.3"), fresh_id="other3"))
    story.at(7.5, PeerHasCall(B, CallId("other3"), 1))
    assert story.at(13.9) == []
    assert Abandon(LEG) in story.at(14.4)
    assert legs(story.at(14.5, Returned(CHANNEL, "CHANUNAVAIL", 3))) == [
        (Leg(C, "sip", line="city"),)
    ]


def test_a_phone_that_registered_elsewhere_meanwhile_is_called_there() -> None:
    """Before the dead node's second trunk."""
    story = calling(B)
    story.at(2.0)
    story.view.places = (C,)
    assert legs(story.at(2.1, Returned(CHANNEL, "CHANUNAVAIL", 3))) == [(Leg(C, "sip"),)]


@pytest.mark.parametrize(
    "life", [LegLives(CHANNEL, LEG), PeerHasCall(B, CALL, 1)], ids=["ringing", "the peer's word"]
)
def test_life_is_waited_for_as_long_as_it_rings(life: CallEvent) -> None:
    """No good call is cut."""
    story = calling(B)
    assert story.at(1.0, life) == []
    assert story.board.next_deadline() == float("inf")
    assert story.at(25.0) == []
    story.view.cut = (B,)  # out of reach from here is not dead
    assert story.at(25.5) == []
    story.view.dead = (B,)
    assert story.at(26.0) == [Abandon(LEG), SendTo(DOOR_B, CallOver(CALL, 1))]


def test_without_life_out_of_reach_is_enough() -> None:
    """At once."""
    story = calling(B)
    story.view.cut = (B,)
    assert Abandon(LEG) in story.at(0.7)


def test_the_word_of_an_earlier_try_is_no_life_of_this_one() -> None:
    """And is answered: that try is over."""
    story = calling(B)
    story.at(2.0)
    story.at(2.1, Returned(CHANNEL, "CHANUNAVAIL", 3))
    assert story.at(2.2, PeerHasCall(B, CALL, 1)) == [SendTo(DOOR_B, CallOver(CALL, 1))]
    assert story.board.next_deadline() < 5


def test_a_leg_that_dial_has_not_begun_is_looked_for_again() -> None:
    """A busy Asterisk is not a dead peer's fault."""
    story = Story(View(B))
    story.at(0.0, Arrived(CHANNEL, "1001", "1002", "", fresh_id=CALL, wall_ms=WALL))
    assert story.at(2.0) == []
    story.at(2.4, LegDialed(CHANNEL, LEG, "PJSIP/pf-b-0000002a"))
    assert story.at(4.3) == []
    assert Abandon(LEG) in story.at(4.4)


def test_our_own_phones_may_take_their_time() -> None:
    """They ring together with a silent peer's, and are not cut with it."""
    story = calling(A, B)
    story.at(0.01, LegDialed(CHANNEL, ChannelId("17.3"), "PJSIP/1001-0000002b"))
    assert Abandon(ChannelId("17.3")) not in story.at(2.0)
    alone = Story(View(A))
    alone.at(0.0, Arrived(CHANNEL, "1001", "1002", "", fresh_id=CALL, wall_ms=WALL))
    assert alone.board.next_deadline() == float("inf")


def test_lines_to_the_outside_have_their_own_timer() -> None:
    """Eight seconds, or as the trunk says."""
    line = make("trunk", "city", site="main", endpoint="p", nodes=["a"], patterns=["_0."], timer=8)
    story = Story(View(A, items=[line, make("extension", "1002")]))
    arrived = Arrived(CHANNEL, "0301", "1002", "", fresh_id=CALL, endpoint="1002", wall_ms=WALL)
    story.at(0.0, arrived)
    story.at(0.01, LegDialed(CHANNEL, LEG, "PJSIP/p-0000002a"))
    assert story.at(7.9) == []
    assert story.at(8.0) == [Abandon(LEG)]


def test_who_hangs_up_while_it_is_set_up_tells_the_peer() -> None:
    """So that a waking node rings nobody."""
    story = calling(B)
    ended = story.at(1.0, Ended(CHANNEL))
    assert SendTo(DOOR_B, CallOver(CALL, 1)) in ended
    answered = calling(B)
    answered.at(0.5, Answered(CHANNEL))
    assert not [e for e in answered.at(9.0, Ended(CHANNEL)) if isinstance(e, SendTo)]


def test_what_is_put_through_while_it_rings_rings_on() -> None:
    """His channel has ended, and Dial goes on for whom he has put there: the peer's word comes later than that."""
    story = calling(B)
    story.at(0.1, ChannelsListed(frozenset({CHANNEL, LEG})), LegLives(CHANNEL, LEG, "RINGING"))
    assert not [e for e in story.at(0.3, Ended(CHANNEL)) if isinstance(e, SendTo)]
    assert story.at(0.4, PeerHasCall(B, CALL, 1)) == []
    stranger = story.at(0.5, PeerHasCall(B, CallId("other"), 1))
    assert stranger == [SendTo(DOOR_B, CallOver(CallId("other"), 1))]


LOST = PeerLostCalls(B)


def test_a_call_whose_phone_rang_at_an_asterisk_that_died_goes_elsewhere_at_once() -> None:
    """Its node lives and had said that the call is there: by its word alone we know. It may be back before we look."""
    story = calling(B)
    story.at(0.02, PeerHasCall(B, CALL, 1), LegLives(CHANNEL, LEG))
    assert story.at(3.0, LOST) == [Abandon(LEG), SendTo(DOOR_B, CallOver(CALL, 1))]
    assert story.at(3.01, LOST) == []
    story.view.places = (C,)
    assert legs(story.at(3.05, Returned(CHANNEL, "CHANUNAVAIL", 3))) == [(Leg(C, "sip"),)]
    assert story.at(3.1, LOST) == []  # it rings at c now


def test_who_answers_others_is_not_busy_when_he_says_that_his_asterisk_has_died() -> None:
    """That is no reason to wait."""
    story = calling(B)
    story.at(0.5, Arrived(ChannelId("18.2"), "1001", "1003", "", fresh_id="other", wall_ms=WALL))
    story.at(1.0, PeerHasCall(B, CallId("other"), 1))
    assert Abandon(LEG) in story.at(1.1, LOST)


def test_who_talks_with_an_asterisk_that_died_need_not_listen_to_silence() -> None:
    """By SIP no trunk tells. Who talks with others talks on, and who was transferred away is with others."""
    story = calling(B)
    story.at(1.0, Answered(CHANNEL, LEG))
    assert story.at(2.0, PeerLostCalls(C)) == []
    assert story.at(2.0, LOST) == [HangUpLeg(CHANNEL, LEG, 38)]
    story.at(2.1, LegEnded(LEG, 38))
    assert story.at(2.2, LOST) == []
    here = calling(A, B)
    here.at(1.0, LegDialed(CHANNEL, ChannelId("17.3"), "PJSIP/1002-0000002b"))
    here.at(1.1, Answered(CHANNEL, ChannelId("17.3")))
    assert here.at(2.0, LOST) == []


def test_without_another_way_the_call_ends_when_its_only_node_has_lost_it() -> None:
    """At once, and not as a number that nobody has: 27 is SIP's 502."""
    story = calling(B, trunks=("sip",))
    story.at(3.0, LegLives(CHANNEL, LEG))
    story.at(4.0, LOST)
    assert HangUp(CHANNEL, 27) in story.at(4.1, Returned(CHANNEL, "CHANUNAVAIL", 3))


def test_what_rings_at_another_node_rings_on_when_one_asterisk_dies() -> None:
    """Until that one dies, too."""
    story = Story(View(B, C))
    story.at(0.0, Arrived(CHANNEL, "1001", "1002", "", fresh_id=CALL, wall_ms=WALL))
    other = ChannelId("17.3")
    story.at(0.01, LegDialed(CHANNEL, LEG, "PJSIP/pf-b-0000002a"))
    story.at(0.01, LegDialed(CHANNEL, other, "PJSIP/pf-c-0000002b"))
    story.at(0.02, PeerHasCall(B, CALL, 1), PeerHasCall(C, CALL, 1))
    assert story.at(2.0, LOST) == [Abandon(LEG), SendTo(DOOR_B, CallOver(CALL, 1))]
    assert story.at(20.0) == []
    assert Abandon(other) in story.at(21.0, PeerLostCalls(C))


def rings_at_a_node_out_of_reach() -> Story:
    """A phone rings at b, and nothing is heard of b any more: its SIP is asked, before and after b is declared down."""
    story = calling(B)
    story.at(0.02, LegLives(CHANNEL, LEG, "RINGING"))
    story.view.cut = (B,)
    assert story.at(3.0) == [AskSip(B)]
    assert story.at(3.1) == []
    story.view.dead = (B,)
    assert story.at(3.2) == []  # the answer is on its way
    return story


def test_a_phone_rings_on_while_its_daemon_is_dead_and_its_asterisk_is_not() -> None:
    """As long as its SIP answers; whoever has been asked twice is not given up by an old answer."""
    story = rings_at_a_node_out_of_reach()
    assert story.at(3.3, SipSaid(B, True)) == []
    assert story.at(3.9) == []
    assert story.at(4.0) == [AskSip(B)]
    assert story.at(4.1, SipSaid(C, False)) == []
    story.at(4.3, SipSaid(B, True))
    story.view.cut = story.view.dead = ()
    assert story.at(8.0) == []
    story.at(9.0, Answered(CHANNEL, LEG))
    (call,) = story.board
    assert call.answered == 9.0


def test_a_phone_that_rings_at_a_node_of_which_all_is_dead_is_called_elsewhere() -> None:
    """Nothing answers there; at once, or when it is asked again."""
    story = rings_at_a_node_out_of_reach()
    over = [Abandon(LEG), SendTo(DOOR_B, CallOver(CALL, 1))]
    assert story.at(3.6, SipSaid(B, False)) == over
    story = rings_at_a_node_out_of_reach()
    assert story.at(3.6, SipSaid(B, True)) == []
    assert story.at(4.0) == [AskSip(B)]
    assert story.at(4.6, SipSaid(B, False)) == over


def test_who_was_silent_before_he_was_declared_down_is_given_up_at_once_then() -> None:
    """And one who is heard again is as alive as before; only where a phone rings is asked at all."""
    story = calling(B)
    story.at(0.02, LegLives(CHANNEL, LEG, "RINGING"))
    story.view.cut = (B,)
    assert story.at(3.0) == [AskSip(B)]
    assert story.at(3.6, SipSaid(B, False)) == []
    story.view.cut = ()
    assert story.at(3.7) == []
    story.view.cut = (B,)
    assert story.at(3.9) == [AskSip(B)]
    assert story.at(4.5, SipSaid(B, False)) == []
    story.view.dead = (B,)
    assert Abandon(LEG) in story.at(4.6)
    known = calling(B)
    known.at(0.02, PeerHasCall(B, CALL, 1))
    known.view.dead = known.view.cut = (B,)
    assert known.at(3.0) == [Abandon(LEG), SendTo(DOOR_B, CallOver(CALL, 1))]


def test_our_own_phone_rings_on_when_a_peers_asterisk_dies() -> None:
    """And is answered as ever."""
    story = calling(A, B)
    here = ChannelId("17.3")
    story.at(0.01, LegDialed(CHANNEL, here, "PJSIP/1001-0000002b"))
    story.at(0.02, PeerHasCall(B, CALL, 1))
    lost = story.at(2.0, LOST)
    assert (Abandon(LEG) in lost, Abandon(here) in lost) == (True, False)
    story.at(3.0, Answered(CHANNEL, here))
    (call,) = story.board
    assert call.answered == 3.0


# --- several that ring together


def forked(*places: NodeName) -> Story:
    """1002 stands registered at these nodes; Dial has begun a leg to each: 17.a, 17.b, 17.c."""
    story = Story(View(*places))
    story.at(0.0, Arrived(CHANNEL, "1001", "1002", "", fresh_id=CALL, wall_ms=WALL))
    begun(story, *places)
    return story


def begun(story: Story, *places: NodeName, trunk: str = "PJSIP") -> None:
    for node in places:
        name = f"{trunk}/{'1001' if node == A else f'pf-{node}'}-0000002a"
        story.at(0.01, LegDialed(CHANNEL, leg_to(node), name))


def leg_to(node: NodeName) -> ChannelId:
    return ChannelId(f"17.{node}")


def test_one_sign_of_life_is_none_of_the_other_peers() -> None:
    """B's phone rings and is declined; C's Asterisk hangs: it is abandoned by itself, told so, and tried once more."""
    story = forked(B, C)
    story.at(0.1, PeerHasCall(B, CALL, 1), LegLives(CHANNEL, leg_to(B), "RINGING"))
    story.at(1.0, LegEnded(leg_to(B), 17))
    assert story.at(1.9) == []
    assert story.at(2.0) == [Abandon(leg_to(C)), SendTo(DOOR_C, CallOver(CALL, 1))]
    assert story.at(2.1, PeerHasCall(C, CALL, 1)) == [SendTo(DOOR_C, CallOver(CALL, 1))]
    back = story.at(2.1, Returned(CHANNEL, "BUSY", 17))
    assert legs(back) == [(Leg(C, "iax2"),)]
    begun(story, C, trunk="IAX2")
    assert Abandon(leg_to(C)) in story.at(2.6)  # it was silent already
    assert HangUp(CHANNEL, 17) in story.at(2.7, Returned(CHANNEL, "CHANUNAVAIL", 3))


def test_who_was_never_rung_is_called_by_another_trunk_once_the_others_have_rung_out() -> None:
    """And nobody twice; what comes of it is that nobody has answered."""
    story = forked(B, C)
    story.at(0.1, LegLives(CHANNEL, leg_to(B), "RINGING"))
    assert Abandon(leg_to(C)) in story.at(2.0)
    assert story.at(20.0) == []
    assert legs(story.at(30.0, Returned(CHANNEL, "NOANSWER", 19))) == [(Leg(C, "iax2"),)]
    assert HangUp(CHANNEL, 19) in story.at(30.1, Returned(CHANNEL, "CHANUNAVAIL", 3))


@pytest.mark.parametrize("cause", [17, 19, 20], ids=["busy", "declined", "absent"])
@pytest.mark.parametrize("first", [A, B])
def test_a_phone_that_has_said_no_is_not_called_again_when_the_others_have_rung_out(
    first: NodeName, cause: int
) -> None:
    """At another site it is the only word: no daemon says that the call is there. Nobody is given up who has answered so."""
    story = Story(View(first, C, sites={C: "far"}))
    story.at(0.0, Arrived(CHANNEL, "1001", "1002", "", fresh_id=CALL, wall_ms=WALL))
    begun(story, first, C)
    story.at(0.1, LegLives(CHANNEL, leg_to(first), "RINGING"))
    story.at(0.2, LegEnded(leg_to(C), cause))
    assert story.board.next_deadline() == float("inf")
    assert story.at(4.0) == []
    assert HangUp(CHANNEL, 19) in story.at(30.0, Returned(CHANNEL, "NOANSWER", 19))


def test_if_all_have_rung_nobody_is_called_again() -> None:
    """By no trunk."""
    for status in ("NOANSWER", 19), ("BUSY", 17):
        story = forked(B, C)
        story.at(0.1, PeerHasCall(B, CALL, 1), PeerHasCall(C, CALL, 1))
        assert story.board.next_deadline() == float("inf")
        assert legs(story.at(30.0, Returned(CHANNEL, *status))) == []


def test_our_own_phone_rings_out_as_ever_when_a_peer_beside_it_is_silent() -> None:
    """The peer's is called by its other trunk then; after that the call goes where the extension forwards unanswered ones."""
    story = Story(View(A, B, items=[make("extension", "1001", forward_no_answer="1003")]))
    story.at(0.0, Arrived(CHANNEL, "1001", "1002", "", fresh_id=CALL, wall_ms=WALL))
    begun(story, A, B)
    story.at(0.1, LegLives(CHANNEL, leg_to(A), "RINGING"))
    assert story.at(2.0) == [Abandon(leg_to(B)), SendTo(DOOR_B, CallOver(CALL, 1))]
    assert legs(story.at(30.0, Returned(CHANNEL, "NOANSWER", 19))) == [(Leg(B, "iax2"),)]
    assert legs(story.at(30.6, Returned(CHANNEL, "CHANUNAVAIL", 3))) == [(Leg(), Leg(B, "sip"))]
    assert [call.route.number for call in story.board] == ["1003"]


def test_one_that_is_declared_dead_is_abandoned_alone() -> None:
    """At once if it has shown no life, else when it is down; the other rings on."""
    story = forked(B, C)
    story.at(0.1, PeerHasCall(B, CALL, 1))
    story.view.cut = (B, C)
    assert Abandon(leg_to(C)) in story.at(0.5)
    story.view.dead = (B,)
    assert Abandon(leg_to(B)) in story.at(0.6)
    assert story.at(9.0) == []


# --- groups


def grouped(strategy: str, at: NodeName = C, members: tuple[str, ...] = ("1001", "1002")) -> Story:
    """Group 600, whose members stand registered there."""
    items = [make("group", "600", members=list(members), strategy=strategy, ring_seconds=20)]
    story = Story(View(at, items=items))
    story.at(0.0, Arrived(CHANNEL, "600", "1009", "", fresh_id=CALL, wall_ms=WALL))
    story.at(0.01, LegDialed(CHANNEL, LEG, f"PJSIP/pf-{at}-0000002a"))
    return story


def test_a_group_whose_members_cannot_be_reached_by_one_trunk_is_called_by_the_other() -> None:
    """All of them; if that fails, too, another node may reach it."""
    story = grouped("all")
    assert Abandon(LEG) in story.at(2.0)
    second = (Leg(C, "iax2", "1001"), Leg(C, "iax2", "1002"))
    assert legs(story.at(2.1, Returned(CHANNEL, "CHANUNAVAIL", 3))) == [second]
    story.at(2.15, LegDialed(CHANNEL, LEG, "IAX2/pf-c-12"))
    assert Abandon(LEG) in story.at(2.6)
    assert story.at(2.7, Returned(CHANNEL, "CHANUNAVAIL", 3)) == []  # its Asterisk may hang
    assert HangUp(CHANNEL, 34) in story.at(3.6)


def test_a_group_that_has_rung_is_not_rung_again() -> None:
    """Whatever comes of it."""
    for status in ("NOANSWER", 19), ("BUSY", 17), ("CHANUNAVAIL", 20), ("CONGESTION", 34):
        story = grouped("all")
        story.at(0.1, PeerHasCall(C, CALL, 1))
        assert legs(story.at(20.0, Returned(CHANNEL, *status))) == []


def test_a_hunt_tries_each_member_by_all_trunks_until_somebody_speaks_for_him() -> None:
    """Then the next one, by the trunk that has just been found to work; he has rung by it: after him nobody is left."""
    story = grouped("hunt")
    assert Abandon(LEG) in story.at(2.0)
    back = story.at(2.1, Returned(CHANNEL, "CHANUNAVAIL", 3))
    assert legs(back) == [(Leg(C, "iax2", "1001"),)]
    story.at(2.2, PeerHasCall(C, CALL, 2))
    assert legs(story.at(22.0, Returned(CHANNEL, "NOANSWER", 19))) == [(Leg(C, "iax2", "1002"),)]
    story.at(22.1, PeerHasCall(C, CALL, 3))
    assert HangUp(CHANNEL, 19) in story.at(42.0, Returned(CHANNEL, "NOANSWER", 19))


@pytest.mark.parametrize("back", [False, True])
def test_a_hunt_rings_nobody_twice_whose_node_was_lost_while_he_rang(back: bool) -> None:
    """Nor asks a node that is out of reach by its other trunk, as long as it is."""
    story = grouped("hunt", members=("1001", "1002", "1003"))
    story.at(0.1, PeerHasCall(C, CALL, 1), LegLives(CHANNEL, LEG, "RINGING"))
    story.view.cut = story.view.dead = (C,)
    assert story.at(3.0) == [AskSip(C)]
    assert Abandon(LEG) in story.at(3.0, SipSaid(C, False))
    if back:
        story.view.cut = story.view.dead = ()
    went_on = legs(story.at(3.1, Returned(CHANNEL, "CHANUNAVAIL", 3)))
    assert went_on == ([(Leg(C, "sip", "1002"),)] if back else [])


@pytest.mark.parametrize("rang", [True, False])
def test_a_hunt_goes_on_to_the_next_one_though_the_last_could_be_called_elsewhere(
    rang: bool,
) -> None:
    """He has had his turn; or, if nothing was heard, his phone may ring yet where he stood, and no other node calls it."""
    story, next_one = grouped("hunt"), Leg(B, "sip", "1002")
    if rang:
        story.at(0.1, PeerHasCall(C, CALL, 1), LegLives(CHANNEL, LEG, "RINGING"))
    story.view.cut = story.view.dead = (C,)
    story.at(3.0)
    story.at(3.0, SipSaid(C, False))
    if rang:
        story.view.places = (B,)
    else:
        story.view.taken = {Registration(C, "sip:1001@c", 1): B}
        next_one = Leg(B, "sip", "1002", instead_of=(C,))
    assert legs(story.at(3.1, Returned(CHANNEL, "CHANUNAVAIL", 3))) == [(next_one,)]


def test_a_hunt_asks_anew_where_the_next_one_is_and_whether_he_may_be_disturbed() -> None:
    """All of them stand elsewhere since; who has had his turn has none there, who was not there any more has."""
    story = grouped("hunt", members=("1001", "1002", "1003", "1004"))
    story.at(0.1, PeerHasCall(C, CALL, 1), LegLives(CHANNEL, LEG, "RINGING"))
    back = legs(story.at(20.0, Returned(CHANNEL, "NOANSWER", 19)))
    assert back == [(Leg(C, "sip", "1002"),)]
    story.view.places = (B,)
    story.view.items["number", "1003"] = make("extension", "1003", dnd=True)
    assert legs(story.at(20.1, Returned(CHANNEL, "CHANUNAVAIL", 20))) == [(Leg(B, "sip", "1002"),)]
    story.at(20.2, PeerHasCall(B, CALL, 3))
    assert legs(story.at(40.0, Returned(CHANNEL, "NOANSWER", 19))) == [(Leg(B, "sip", "1004"),)]
    story.at(40.1, PeerHasCall(B, CALL, 4))
    assert HangUp(CHANNEL, 19) in story.at(60.0, Returned(CHANNEL, "NOANSWER", 19))


# --- from site to site

AFAR_B = wan(B)  # as if b spoke for its site


def afar(*places: NodeName) -> Story:
    """The same, to a node of another site."""
    story = Story(View(*places, sites={B: "west", C: "west"}))
    story.at(0.0, Arrived(CHANNEL, "1001", "1002", "", fresh_id=CALL, wall_ms=WALL))
    story.at(0.01, LegDialed(CHANNEL, LEG, "PJSIP/pf-b-0000002a"))
    return story


def test_a_phone_at_another_site_that_is_woken_first_is_waited_for() -> None:
    """Its node says after a second that the call is there; it rings at five."""
    story = afar(B)
    assert story.board.next_deadline() == 4.0
    assert story.at(1.1, PeerHasCall(B, CALL, 1)) == []
    assert story.at(4.9) == []
    assert story.at(5.0, LegLives(CHANNEL, LEG, "RINGING")) == []


def test_silence_of_another_site_is_abandoned_and_it_is_told() -> None:
    """By its second trunk it has a second more: what comes again says at once that it is there."""
    story = afar(B)
    assert story.at(3.9) == []
    assert story.at(4.0) == [Abandon(LEG), SendTo(AFAR_B, CallOver(CALL, 1))]
    assert legs(story.at(4.1, Returned(CHANNEL, "CHANUNAVAIL", 3))) == [(Leg(B, "iax2"),)]
    assert 5.0 < story.board.next_deadline() < 5.2


def test_a_line_at_another_site_has_its_timer_where_the_line_is() -> None:
    """Its provider signals at five seconds: its own node waits for eight, says so, and is believed."""
    line = make("trunk", "city", site="west", endpoint="p", nodes=["b"], patterns=["_0."])
    view = View(A, items=[line, make("extension", "1002")], sites={B: "west"})
    story = Story(view)
    arrived = Arrived(CHANNEL, "0301", "1002", "", fresh_id=CALL, endpoint="1002", wall_ms=WALL)
    assert legs(story.at(0.0, arrived)) == [(Leg(B, "sip", "", "city"),)]
    story.at(0.01, LegDialed(CHANNEL, LEG, "PJSIP/pf-b-0000002a"))
    story.at(1.1, PeerHasCall(B, CALL, 1))
    assert story.at(8.2) == []


def test_who_receives_a_call_of_another_site_says_so_only_if_nothing_rings() -> None:
    """Most calls ring within a second: then nothing crosses but the call."""
    view = View(A, sites={B: "west"})
    story = Story(view)
    assert legs(story.at(0.0, arrives())) == [(Leg(),)]
    assert story.board.next_deadline() == 1.0
    for due in 1.0, 2.5:  # a frame may be lost on any of three ways
        assert story.board.next_deadline() == due
        assert story.at(due) == [SendTo(AFAR_B, CallHere("cafe", 1))]
    assert story.board.next_deadline() == float("inf")
    for life in "RINGING", "PROGRESS":
        story = Story(view)
        story.at(0.0, arrives())
        story.at(0.4, LegLives(CHANNEL, LEG, life))
        assert story.board.next_deadline() == float("inf")
    story = Story(view)
    story.at(0.0, arrives())
    story.at(0.4, LegLives(CHANNEL, LEG, "PROCEEDING"))  # which no trunk carries on
    assert story.at(1.0) == [SendTo(AFAR_B, CallHere("cafe", 1))]
    again = Story(view).at(0.0, arrives(attempt=2))
    assert again[0] == SendTo(AFAR_B, CallHere("cafe", 2))


def test_a_neighbour_says_so_sooner() -> None:
    """And once more: a datagram may be lost, and a good call with it. He who waits no more than two seconds hears both."""
    story = Story(View(A))
    assert legs(story.at(0.0, arrives())) == [(Leg(),)]
    for due in 0.4, 1.0:
        assert story.board.next_deadline() == due
        assert story.at(due) == [SendTo(DOOR_B, CallHere("cafe", 1))]
    assert story.at(5.0) == []
    story = Story(View(A))
    story.at(0.0, arrives())
    story.at(0.3, LegLives(CHANNEL, LEG, "RINGING"))
    assert story.board.next_deadline() == float("inf")


@pytest.mark.parametrize("site", ["main", "west"])
def test_what_rings_by_sip_is_told_all_the_same(site: str) -> None:
    """SIP says that it rings in one datagram: lost, it would cost a good call its phone. So may a cut of half a second."""
    story = Story(View(A, sites={A: "main", B: site}))
    first, then, door = (0.4, 1.0, DOOR_B) if site == "main" else (1.0, 2.5, AFAR_B)
    comes = replace(arrives(), endpoint="pf-b")
    story.at(0.0, comes)
    story.at(0.1, LegLives(CHANNEL, LEG, "RINGING"))
    for due in first, then:
        assert story.board.next_deadline() == due
        assert story.at(due) == [SendTo(door, CallHere("cafe", 1))]
    assert story.board.next_deadline() == float("inf")
    story = Story(View(A, sites={A: "main", B: site}))
    story.at(0.0, comes)
    story.at(0.1, Answered(CHANNEL, LEG))
    assert story.board.next_deadline() == float("inf")
    story = Story(View(A, sites={A: "main", B: site}))
    story.at(0.0, comes)
    assert story.at(first) == [SendTo(door, CallHere("cafe", 1))]
    story.at(first + 0.1, LegLives(CHANNEL, LEG, "RINGING"))
    assert story.board.next_deadline() == float("inf")


def test_who_is_refused_before_anything_rang_hears_that_it_was_here() -> None:
    """So he does not send it by his other trunk. After a ring he knows."""
    here = SendTo(DOOR_B, CallHere("cafe", 1))
    assert Story(View()).at(0.0, arrives(number="9999")) == [here, HangUp(CHANNEL, 1)]
    for rings, said in ((), [here]), ((LegLives(CHANNEL, LEG, "RINGING"),), []):
        story = Story(View(A))
        story.at(0.0, arrives(), *rings)
        assert story.at(0.2, Returned(CHANNEL, "BUSY", 17)) == [*said, HangUp(CHANNEL, 17)]


@pytest.mark.parametrize("control", ["handover", "bridge"])
@pytest.mark.parametrize("site", ["main", "west"])
def test_a_phone_that_refuses_at_once_is_not_called_by_the_other_trunk(
    site: str, control: str
) -> None:
    """Its refusal (503) might as well be its Asterisk's. The word that it was here must be heard before it."""
    door, waits = (DOOR_B, OVERTAKES) if site == "main" else (AFAR_B, OVERTAKES_AFAR)
    view = View(A, sites={A: "main", B: site})
    story = Story(view, Switchboard(Manner(control=control)))
    story.at(0.0, arrives())
    leg = ChannelId("pf-cafe.x-1-0")
    refused: tuple[CallEvent, ...] = (Returned(CHANNEL, "CONGESTION", 34),)
    if control == "bridge":
        refused = (LegEntered(leg), LegEnded(leg, 34))
    assert SendTo(door, CallHere("cafe", 1)) in story.at(0.1, *refused)
    assert story.board.next_deadline() == 0.1 + waits
    assert HangUp(CHANNEL, 34) in story.at(0.4)
    story = afar(B) if site == "west" else calling(B)
    if site == "main":
        story.at(0.01, LegDialed(CHANNEL, LEG, "PJSIP/pf-b-0000002a"))
    story.at(0.1, PeerHasCall(B, CALL, 1), LegEnded(LEG, 34))
    assert HangUp(CHANNEL, 34) in story.at(0.1, Returned(CHANNEL, "CONGESTION", 34))


def test_a_ring_by_a_peer_says_that_it_lives_to_others_too() -> None:
    """As its word does: it is busy, and not dead."""
    story = calling(B)
    story.at(0.5, Arrived(ChannelId("18.2"), "1001", "1003", "", fresh_id="other", wall_ms=WALL))
    story.at(0.6, LegDialed(ChannelId("18.2"), ChannelId("18.3"), "PJSIP/pf-b-0000002b"))
    story.at(1.0, LegLives(ChannelId("18.2"), ChannelId("18.3"), "RINGING"))
    assert story.at(2.0) == []
    assert Abandon(LEG) in story.at(8.4)


def test_a_late_call_of_another_site_waits_longer_for_a_word() -> None:
    """The question goes by both forwarders, and so does the answer."""
    story = Story(View(A, sites={B: "west"}))
    assert story.at(0.0, arrives(1_900)) == [SendTo(AFAR_B, CallHere("cafe", 1))]
    assert story.board.next_deadline() == HELD_AFAR
    assert story.at(0.5, PeerGaveUp(B, CallId("cafe"), 1)) == [HangUp(CHANNEL, 16)]


def test_an_asterisk_that_has_taken_a_call_is_waited_for_while_it_can_be_reached() -> None:
    """PROCEEDING, over IAX2: more its daemon need not say. But it says nothing of a ring."""
    story = calling(B)
    story.at(0.02, LegLives(CHANNEL, LEG, "PROCEEDING"))
    assert story.at(5.0) == []
    story.view.cut = (B,)
    assert Abandon(LEG) in story.at(6.0)


# --- the receiver's side


def test_when_the_senders_asterisk_has_died_what_it_had_sent_rings_nobody() -> None:
    """Held, in setup, or in a queue; nor is who talks left in silence; who came from elsewhere is left alone."""
    story = Story(View(A))
    story.at(0.0, arrives())
    talks = replace(arrives(call="caf2"), channel=ChannelId("18.1"), fresh_id="y")
    story.at(0.0, talks, Answered(talks.channel))
    late = replace(arrives(8_500, call="caf3"), channel=ChannelId("18.2"), fresh_id="z")
    story.at(0.0, late)
    story.at(0.0, Arrived(ChannelId("18.3"), "1001", "1002", "", fresh_id=CALL, wall_ms=WALL))
    setting_up = [HangUp(CHANNEL, 16), HangUp(ChannelId("18.2"), 16)]
    assert story.at(1.0, LOST) == [*setting_up, HangUp(talks.channel, 38)]
    (kept,) = story.at(1.1, Ended(CHANNEL))
    assert isinstance(kept, CallEnded)
    assert kept.attempts[0].outcome == "given_up"


def test_a_phone_of_ours_rings_on_for_our_own_when_some_asterisk_dies() -> None:
    """It has no part in it."""
    story = Story(View(A))
    story.at(0.0, Arrived(CHANNEL, "1001", "1002", "", fresh_id=CALL, wall_ms=WALL))
    story.at(0.01, LegDialed(CHANNEL, LEG, "PJSIP/1001-0000002a"))
    assert story.at(1.0, LOST) == []


def test_a_call_that_ended_while_we_were_not_connected_is_told_to_nobody() -> None:
    """The same Asterisk has told its end by the trunk; what is still there rings on."""
    story = Story(View(A))
    story.at(0.0, arrives())
    assert story.at(5.0, ChannelsListed(frozenset((CHANNEL,)))) == []
    assert [type(e) for e in story.at(6.0, ChannelsListed(frozenset()))] == [CallEnded]


def arrives(
    late_ms: int = 0, number: str = "1001", attempt: int = 1, call: str = "cafe"
) -> Arrived:
    bill = str(Waybill(call, attempt, "", WALL + 8_000))
    return Arrived(CHANNEL, number, "1002", "", B, bill, "x", wall_ms=WALL + late_ms)


def test_a_call_that_comes_so_late_that_it_may_be_given_up_is_asked_after() -> None:
    """How long that is depends on how much its sender would have borne with a peer that answers others."""
    for spare, late_ms, doubtful in (0, 1_000, False), (0, 1_500, True), (18, 1_500, True):
        bill = str(Waybill("cafe", 1, "", WALL + 2_000 + (spare or 6) * 1_000, spare=spare))
        story = Story(View(A))
        came = Arrived(CHANNEL, "1001", "1002", "", B, bill, "x", wall_ms=WALL + late_ms)
        assert legs(story.at(0.0, came)) == ([] if doubtful else [(Leg(),)])
    bill = str(Waybill("cafe", 1, "", WALL + 20_000, spare=18))
    came = Arrived(CHANNEL, "1001", "1002", "", B, bill, "x", wall_ms=WALL + 1_000)
    assert legs(Story(View(A)).at(0.0, came)) == [(Leg(),)]


def test_a_call_that_is_sent_again_is_acknowledged_and_rings() -> None:
    """At once, in this order: its sender has waited already."""
    found = Story(View(A)).at(0.0, arrives(attempt=2))
    assert found[0] == SendTo(DOOR_B, CallHere("cafe", 2))
    assert legs(found) == [(Leg(),)]


def test_a_call_that_was_given_up_before_it_came_rings_nobody() -> None:
    """Its Asterisk slept; its daemon did not. Another try of the same call rings."""
    story = Story(View(A))
    story.at(0.0, PeerGaveUp(B, CallId("cafe"), 1))
    assert story.at(5.0, arrives(4_900)) == [HangUp(CHANNEL, 16)]
    assert legs(story.at(6.0, arrives(0, attempt=2))) == [(Leg(),)]


def test_a_call_that_is_given_up_stops_ringing() -> None:
    """But not once somebody has answered."""
    story = Story(View(A))
    story.at(0.0, arrives())
    assert story.at(1.0, PeerGaveUp(C, CallId("cafe"), 1)) == []
    assert story.at(1.0, PeerGaveUp(B, CallId("cafe"), 2)) == []
    assert story.at(1.0, PeerGaveUp(B, CallId("cafe"), 1)) == [HangUp(CHANNEL, 16)]
    talking = Story(View(A))
    talking.at(0.0, arrives(), Answered(CHANNEL))
    assert talking.at(1.0, PeerGaveUp(B, CallId("cafe"), 1)) == []


def test_a_clock_that_is_set_while_a_call_runs_makes_no_try_late() -> None:
    """Who is hunted for, or waits in a queue, is tried a minute later by a clock that says another hour."""
    story = calling(B)
    story.view.clock += 3_600_000
    (handed,) = (
        e for e in story.at(2.0, Returned(CHANNEL, "CHANUNAVAIL", 3)) if isinstance(e, HandOver)
    )
    bill = read(handed.note)
    assert bill is not None
    assert bill.until_ms == WALL + 3_600_000 + 2_000 + 8_000


def test_a_try_that_follows_ends_the_one_before() -> None:
    """Its sender's word that it was given up is lost, and no CANCEL follows an INVITE that nothing has answered."""
    story = Story(View(A))
    story.at(0.0, arrives())
    again = replace(arrives(attempt=2), channel=ChannelId("17.9"), fresh_id="y")
    found = story.at(2.0, again)
    assert HangUp(CHANNEL, 16) in found
    assert [e.channel for e in found if isinstance(e, HandOver)] == ["17.9"]
    other = replace(arrives(), channel=ChannelId("17.8"), fresh_id="z")
    assert not [e for e in story.at(2.1, other) if isinstance(e, HangUp)]


def test_a_call_that_comes_too_late_rings_nobody() -> None:
    """The whole node slept, and nothing told it. If its sender was late, who calls is not told that somebody declined."""
    found = Story(View(A)).at(0.0, arrives(8_000 + GRACE + 1))
    assert HangUp(CHANNEL, 42) in found
    assert legs(found) == []


def test_a_call_that_may_be_too_late_waits_for_a_word() -> None:
    """Clocks are compared by whole seconds only."""
    story = Story(View(A))
    assert story.at(0.0, arrives(1_900)) == [SendTo(DOOR_B, CallHere("cafe", 1))]
    assert legs(story.at(HELD)) == [(Leg(),)]
    gone = Story(View(A))
    gone.at(0.0, arrives(1_900))
    assert gone.at(0.1, PeerGaveUp(B, CallId("cafe"), 1)) == [HangUp(CHANNEL, 16)]
    assert gone.at(HELD) == []


def test_nobody_is_late_by_a_clock_that_was_not_heard_of() -> None:
    """A moment after our start: its sender is asked."""
    story = Story(View(A))
    story.view.clocks[B] = None
    assert story.at(0.0, arrives(60_000)) == [SendTo(DOOR_B, CallHere("cafe", 1))]
    assert legs(story.at(HELD)) == [(Leg(),)]


@pytest.mark.parametrize(("ahead", "late"), [(0.0, True), (-60.0, False)])
def test_who_is_late_by_a_clock_that_is_heard_of_while_he_is_held_rings_nobody(
    ahead: float, late: bool
) -> None:
    """Just after our start his sender did not hear that he was asked. Our own clock may have been set meanwhile."""
    story = Story(View(A))
    story.view.clocks[B] = None
    story.at(0.0, arrives(60_000))
    story.view.clocks[B], story.view.clock = ahead + 3_600.0, WALL + 60_000 - 3_600_000
    found = story.at(HELD)
    assert (HangUp(CHANNEL, 42) in found, legs(found)) == (late, [] if late else [(Leg(),)])


@pytest.mark.parametrize("text", ["", "/", "a/b/c/D/e/f", "x y", "a/1/1/../..", "é/1/1"])
def test_a_waybill_that_makes_no_sense_is_none(text: str) -> None:
    """A call comes all the same."""
    assert read(text) is None
    story = Story(View(A))
    arrived = Arrived(CHANNEL, "1001", "1002", "", B, text, "fresh", wall_ms=WALL)
    assert legs(story.at(0.0, arrived)) == [(Leg(),)]


def test_a_waybill_is_what_was_written() -> None:
    """With and without its later parts."""
    let_out = Waybill("beef", 3, "city", WALL, payer="+4930")
    sent_on = Waybill("beef", diverted=Diverted("+4930", "cfb"))
    for bill in (
        *(Waybill("beef"), let_out, Waybill("beef", 3, "city"), Waybill("beef", 3, "", WALL)),
        sent_on,
        Waybill("beef", listens=True),
        Waybill("beef", 3, "city", WALL, spare=18),
    ):
        assert read(str(bill)) == bill


def test_a_node_of_before_reads_until_when_a_call_is_wanted_though_it_may_be_given_up_much_sooner() -> (
    None
):
    """It knows the ten parts that it had, and drops what comes later."""
    written = str(Waybill("beef", 3, "city", WALL, spare=18)).split("/")
    assert read("/".join(written[:10])) == Waybill("beef", 3, "city", WALL)
    assert written[4] == str(WALL)


def test_who_has_sent_a_call_on_by_a_number_that_no_argument_may_hold_is_not_named() -> None:
    """The dialplan would let through a part of it only."""
    assert str(Waybill("beef", diverted=Diverted("*77", "cfu"))) == "beef/1/1"


def test_who_talks_and_who_was_hung_up_need_not_be_looked_at() -> None:
    """A deadline that has passed would keep the loop awake until the caller is gone."""
    story = calling(B)
    story.at(1.0, Answered(CHANNEL, LEG))
    assert story.board.next_deadline() == float("inf")
    held = Story(View(A))
    held.at(0.0, arrives(1_900))
    assert held.board.next_deadline() == HELD
    held.at(0.1, PeerGaveUp(B, CallId("cafe"), 1))
    assert held.board.next_deadline() == float("inf")


def test_a_call_that_comes_before_we_know_who_lives_is_held() -> None:
    """It waited for a daemon that had died, say. A phone of ours rings at once."""
    view = View(trunks=("sip",))
    view.settles = 0.7
    story = Story(view)
    assert story.at(0.1, Arrived(CHANNEL, "1001", "1002", "", fresh_id=CALL)) == []
    assert story.at(story.board.next_deadline()) == []
    view.places = (B,)
    assert legs(story.at(story.board.next_deadline())) == [(Leg(B, "sip"),)]
    nobody = Story(View())
    nobody.view.settles = 0.7
    assert nobody.at(0.1, Arrived(CHANNEL, "7777", "1002", "", fresh_id=CALL)) == []
    assert nobody.at(0.6) == []
    assert HangUp(CHANNEL, 1) in nobody.at(1.1)
    here = Story(View(A))
    here.view.settles = 9.0
    assert legs(here.at(0.0, Arrived(CHANNEL, "1001", "1002", "", fresh_id=CALL))) == [(Leg(),)]


def test_a_call_that_was_found_talking_after_a_restart_is_still_wanted() -> None:
    """Its peer says late that it is there: from a queue, say. Before the channels are read nothing is said of any."""
    story = Story(View(B))
    assert story.at(1.0, PeerHasCall(B, CALL, 1)) == []
    arrived = Arrived(CHANNEL, "1001", "1002", "", fresh_id=CALL, wall_ms=WALL)
    to = LegSeen(B, "sip", "1001", WALL)
    story.at(2.0, TalkFound(arrived, f"{CALL}/1/1", to, WALL + 100_000))
    story.at(2.1, ChannelsListed(frozenset({CHANNEL})))
    assert story.at(3.0, PeerHasCall(B, CALL, 1)) == []
    over = [SendTo(DOOR_B, CallOver(CallId("f00d"), 1))]
    assert story.at(3.0, PeerHasCall(B, CallId("f00d"), 1)) == over


def test_what_others_may_have_a_part_in_waits_until_it_is_known_who_lives() -> None:
    """A group is rung whole, and a room is not begun here that stands elsewhere; one that stands here is entered at once."""
    group = make("group", "601", members=["1001", "1002"], strategy="all")
    story = Story(View(A, trunks=("sip",), items=[group]))
    story.view.settles = 0.7
    assert story.at(0.1, Arrived(CHANNEL, "601", "1009", "", fresh_id=CALL)) == []
    story.view.places = (A, B)
    rung = [Leg(number="1001"), Leg(B, "sip", "1001"), Leg(number="1002"), Leg(B, "sip", "1002")]
    assert legs(later(story, 0.8)) == [tuple(rung)]
    for kind, number in ("room", "800"), ("queue", "700"):
        story = Story(View(trunks=("sip",), cut=(B, C), items=[make(kind, number)]))
        story.view.settles = 0.7
        assert story.at(0.1, Arrived(CHANNEL, number, "1009", "", fresh_id=CALL)) == []
        story.view.cut, story.view.standing = (), [C]
        assert legs(later(story, 0.8)) == [(Leg(C, "sip"),)]
    alone = Story(View(A, items=[group]))  # it waits for its name, which another node has
    alone.view.settles = 99.0
    assert alone.at(0.1, Arrived(CHANNEL, "601", "1009", "", fresh_id=CALL)) == []
    assert legs(later(alone, 4.0)) == [(Leg(number="1001"), Leg(number="1002"))]
    view = View(cut=(B, C), items=[make("room", "800")])
    view.settles, view.standing = 0.7, [A]
    board = Switchboard()
    entered = board.handle(Arrived(CHANNEL, "800", "1009", "", fresh_id=CALL), 0.1, view)
    assert [one for one in entered if isinstance(one, Enter)]


def test_where_a_failed_try_goes_on_is_not_decided_before_it_is_known_who_lives() -> None:
    """A phone here is busy, and forwards to one elsewhere; what came of the try was known at once."""
    forwards = make("extension", "1001", forward_busy="1002")
    story = Story(View(A, trunks=("sip",), items=[forwards]))
    story.view.settles = 0.7
    story.at(0.1, Arrived(CHANNEL, "1001", "1009", "", fresh_id=CALL))
    story.view.places = ()
    assert story.at(0.3, Returned(CHANNEL, "BUSY", 17)) == []
    story.view.places = (B,)
    assert legs(later(story, 0.8)) == [(Leg(B, "sip"),)]
    (call,) = story.board
    assert [(one.outcome, one.seconds) for one in call.history] == [("busy", 0.2), ("", 0.0)]


def test_who_gives_up_before_it_is_known_where_his_call_goes_on_has_a_record() -> None:
    """Which says so."""
    story = Story(View(A))
    story.view.settles = 9.0
    story.at(0.1, Arrived(CHANNEL, "1001", "1009", "", fresh_id=CALL))
    assert story.at(0.3, Returned(CHANNEL, "BUSY", 17)) == []
    (record,) = story.at(0.5, Ended(CHANNEL))
    assert isinstance(record, CallEnded)
    assert [one.outcome for one in record.attempts] == ["given_up"]
    assert not list(story.board)


class Apart(View):
    """1001 is registered here, and 1002 at b, from which nothing is `heard` yet."""

    heard = False

    def where(self, number: Extension) -> list[Registration]:
        found = {"1001": A, "1002": B}.get(number)
        known = found == A or (found == B and self.heard)
        return [Registration(found, f"sip:{number}@{found}", 1)] if found and known else []


@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_a_hunt_goes_on_that_came_back_before_a_daemon_knew_who_lives(control: str) -> None:
    """The first phone has rung out just after the daemon has returned: the next one, elsewhere, has its turn."""
    group = make("group", "601", members=["1001", "1002"], strategy="hunt", control=control)
    view = Apart(trunks=("sip",), items=[group])
    view.heard = True
    first = Story(view)
    arrived = Arrived(CHANNEL, "601", "1009", "", fresh_id=CALL, endpoint="1009", wall_ms=WALL)
    first.at(0.0, arrived)
    fresh, _ = first.board.notebook.new(1.0)
    story = Story(view, Switchboard(before=fresh, seen_ms=WALL + 1_000))
    leg = leg_of(CALL, 1, 0)
    if control == "bridge":
        rings = LegSeen(None, "", "1001", WALL, leg)
        bridge = BridgeSeen(
            bridge_of(CALL), (CHANNEL, leg), False, callers=(arrived,), rings=(rings,)
        )
        story.at(10.0, ChannelsListed(frozenset({CHANNEL, leg}), (bridge,), WALL + 2_000))
        over: CallEvent = LegEnded(leg, 19)
    else:
        story.at(10.0, ChannelsListed(frozenset({CHANNEL}), (), WALL + 2_000))
        story.at(10.0, RingFound(arrived, f"{CALL}/1/1", WALL + 2_000))
        over = Returned(CHANNEL, "NOANSWER", 19)
    view.settles, view.heard = 38.7, False
    assert story.at(38.0, over) == []
    view.heard = True
    (call,) = story.board
    later(story, 38.8)
    assert [one.legs for one in call.history] == [
        (Leg(number="1001"),),
        (Leg(B, "sip", "1002"),),
    ]


def test_a_leg_that_nobody_had_heard_of_when_the_daemon_died_is_given_up_when_it_is_back() -> None:
    """Nothing may have arrived there. Who rings beside it rings on."""
    group = make("group", "601", members=["1001", "1002"], strategy="all", control="bridge")
    view = Apart(trunks=("sip",), items=[group])
    view.heard = True
    here, there = (leg_of(CALL, 1, number) for number in range(2))
    rings = (
        LegSeen(None, "", "1001", WALL, here),
        LegSeen(B, "sip", "1002", WALL, there, silent=True),
    )
    arrived = Arrived(CHANNEL, "601", "1009", "", fresh_id=CALL, endpoint="1009", wall_ms=WALL)
    bridge = BridgeSeen(bridge_of(CALL), (), False, callers=(arrived,), rings=rings)
    story = Story(view)
    story.at(10.0, ChannelsListed(frozenset({CHANNEL, here, there}), (bridge,), WALL + 1_000))
    given_up = [one for one in story.at(13.0) if isinstance(one, Abandon)]
    assert given_up == [Abandon(there)]
