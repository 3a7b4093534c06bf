"""What the end of a try means to who called: busy, no answer, or unreachable; and whom nobody rings a second time."""

import pytest

from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import CallEnded, HandOver, HangUp, Leg, Outside
from pbxfed_ari.core.events import (
    Arrived,
    CallEvent,
    Ended,
    LegDialed,
    LegEnded,
    LegLives,
    PeerHasCall,
    Returned,
    SipSaid,
)
from pbxfed_ari.core.names import CallId, ChannelId
from pbxfed_ari.core.routing.tries import CONGESTION
from tests.core.test_route import A, B, C, View, make

CHANNEL, LEG, CALL = ChannelId("17.1"), ChannelId("17.2"), CallId("beef")
RINGS = LegLives(CHANNEL, LEG, "RINGING")
HERE = PeerHasCall(B, CALL, 1)
FORWARDS = make(
    "extension",
    "1001",
    forward_busy="1002",
    forward_no_answer="1003",
    forward_unreachable="1004",
)


def outcome(
    view: View, after: float, end: Returned, *before: CallEvent, number: str = "1001"
) -> HandOver | HangUp:
    """What follows on a try to b, the phone here or a line that ended so."""
    board = Switchboard()
    arrived = Arrived(CHANNEL, number, "1009", "", fresh_id=CALL, endpoint="1009")
    (handed,) = [e for e in board.handle(arrived, 0.0, view) if isinstance(e, HandOver)]
    (leg,) = handed.legs
    owner = "p" if isinstance(leg, Outside) else f"pf-{leg.peer}" if leg.peer else "1001"
    board.handle(LegDialed(CHANNEL, LEG, f"PJSIP/{owner}-0000002a"), 0.01, view)
    for event in before:
        board.handle(event, 0.1, view)
    found = board.handle(end, after, view)
    (decided,) = [e for e in found if isinstance(e, HandOver | HangUp)]
    return decided


def follows(view: View, after: float, end: Returned, *before: CallEvent) -> str:
    """The number that is rung next."""
    found = outcome(view, after, end, *before)
    assert isinstance(found, HandOver)
    return found.extension


@pytest.mark.parametrize("rings", [(), (RINGS,)], ids=["at once", "after a ring"])
def test_our_phone_that_declines_is_busy(rings: tuple[CallEvent, ...]) -> None:
    """SIP 603 and 403, of which Dial says CHANUNAVAIL."""
    declined = Returned(CHANNEL, "CHANUNAVAIL", 21)
    assert follows(View(A, items=[FORWARDS]), 3.0, declined, *rings) == "1002"
    assert outcome(View(A), 3.0, declined, *rings) == HangUp(CHANNEL, 17)


def test_who_declined_at_a_peer_is_not_rung_again_by_the_other_trunk() -> None:
    """The peer's own daemon says busy; one without a daemon passes on what the phone said."""
    for end in Returned(CHANNEL, "BUSY", 17), Returned(CHANNEL, "CHANUNAVAIL", 21):
        assert outcome(View(B), 3.0, end, RINGS) == HangUp(CHANNEL, 17)


@pytest.mark.parametrize(
    "end", [Returned(CHANNEL, "NOANSWER", 19), Returned(CHANNEL, "CHANUNAVAIL", 18)]
)
@pytest.mark.parametrize("node", [A, B])
def test_a_phone_that_has_rung_and_gives_up_has_not_answered(end: Returned, node: str) -> None:
    """By its own timer, or that of its node, which may be shorter than ours."""
    place = A if node == "a" else B
    assert follows(View(place, items=[FORWARDS]), 12.0, end, RINGS) == "1003"
    assert outcome(View(place), 12.0, end, RINGS) == HangUp(CHANNEL, 19)


def test_without_a_ring_nobody_was_there() -> None:
    """480 at once, and 408 after half a minute."""
    view = View(A, items=[FORWARDS])
    assert follows(view, 0.2, Returned(CHANNEL, "NOANSWER", 19)) == "1004"
    assert follows(view, 32.0, Returned(CHANNEL, "CHANUNAVAIL", 18)) == "1004"


def test_of_several_one_that_has_rung_out_counts_whatever_another_said_last() -> None:
    """Dial keeps the cause of who was the last to refuse, in this try or one before."""
    for cause in 21, 17:
        assert (
            follows(View(A, items=[FORWARDS]), 30.0, Returned(CHANNEL, "NOANSWER", cause), RINGS)
            == "1003"
        )


@pytest.mark.parametrize("last", [17, 19])
def test_of_several_that_refuse_at_once_a_busy_one_counts(last: int) -> None:
    """Beside one that says 480, in whichever order they come."""
    view, two = View(A, B, items=[FORWARDS]), ChannelId("17.3")
    board = Switchboard()
    board.handle(Arrived(CHANNEL, "1001", "1009", "", fresh_id=CALL, endpoint="1009"), 0.0, view)
    for leg, owner in (LEG, "1001"), (two, "pf-b"):
        board.handle(LegDialed(CHANNEL, leg, f"PJSIP/{owner}-0000002a"), 0.01, view)
    board.handle(LegEnded(LEG, 36 - last), 0.1, view)
    board.handle(LegEnded(two, last), 0.2, view)
    (next_,) = [
        e
        for e in board.handle(Returned(CHANNEL, "NOANSWER", last), 0.2, view)
        if isinstance(e, HandOver)
    ]
    assert next_.extension == "1002"


@pytest.mark.parametrize(
    ("end", "told"),
    [(("BUSY", 17), 17), (("NOANSWER", 0), 19), (("CHANUNAVAIL", 20), 20)],
)
def test_of_two_that_stand_in_for_one_another_the_last_one_counts(
    end: tuple[str, int], told: int
) -> None:
    """Nobody takes it: that their forwards go round is no fault."""
    ways = ("forward_busy", "forward_no_answer", "forward_unreachable")
    items = [
        make("extension", n, **dict.fromkeys(ways, to))
        for n, to in (("1001", "1002"), ("1002", "1001"))
    ]
    board, view = Switchboard(), View(A, items=items)
    board.handle(Arrived(CHANNEL, "1001", "1009", "", fresh_id=CALL, endpoint="1009"), 0.0, view)
    (second,) = [
        e for e in board.handle(Returned(CHANNEL, *end), 30.0, view) if isinstance(e, HandOver)
    ]
    assert second.extension == "1002"
    assert HangUp(CHANNEL, told) in board.handle(Returned(CHANNEL, *end), 60.0, view)


@pytest.mark.parametrize(
    ("end", "told"),
    [(("BUSY", 17), 17), (("NOANSWER", 0), 19), (("CHANUNAVAIL", 20), 20)],
)
@pytest.mark.parametrize("to", ["7777", "0123"])
def test_whose_forward_was_set_wrong_is_what_he_is_without(
    to: str, end: tuple[str, int], told: int
) -> None:
    """To a number that nobody has, or that he may not dial: his caller has dialed right. Not who forwards every call."""
    ways = dict.fromkeys(("forward_busy", "forward_no_answer", "forward_unreachable"), to)
    line = make("trunk", "city", site="main", endpoint="p", nodes=["a"], patterns=["_0."])
    none = make("class", "none", deny=["_0."])
    items = [line, none, make("extension", "1001", calling_class="none", **ways)]
    items.append(make("extension", "1002", calling_class="none", forward_always=to))
    board, view = Switchboard(), View(A, items=items)
    board.handle(Arrived(CHANNEL, "1001", "1009", "", fresh_id=CALL, endpoint="1009"), 0.0, view)
    assert HangUp(CHANNEL, told) in board.handle(Returned(CHANNEL, *end), 30.0, view)
    always = Arrived(ChannelId("17.9"), "1002", "1009", "", endpoint="1009")
    wrong = {"7777": 1, "0123": 21}[to]
    assert HangUp(always.channel, wrong) in board.handle(always, 60.0, view)


def test_what_a_peer_has_refused_itself_is_not_asked_of_it_again() -> None:
    """It has said that the call is there: not its trunk failed. Another node that has the phone is asked."""
    refused = Returned(CHANNEL, "CHANUNAVAIL", 58)
    assert outcome(View(B), 1.0, refused, HERE) == HangUp(CHANNEL, 58)
    silent = outcome(View(B), 1.0, refused)
    assert isinstance(silent, HandOver)
    assert silent.legs == (Leg(B, "iax2"),)


@pytest.mark.parametrize(("said", "told"), [(102, 38), (41, 38), (34, 34), (25, 25)])
def test_a_cause_that_sip_has_no_word_for_is_a_failure(said: int, told: int) -> None:
    """A provider's 504 is cause 102: Asterisk would say 603, and who sent the call here take it for a person's word."""
    view, board = View(A, items=[make("extension", "1001")]), Switchboard()
    board.handle(Arrived(CHANNEL, "1001", "1009", "", peer=B, note="beef/1/1"), 0.0, view)
    board.handle(LegDialed(CHANNEL, LEG, "PJSIP/1001-0000002a"), 0.01, view)
    board.handle(RINGS, 0.1, view)
    ended = board.handle(Returned(CHANNEL, "CHANUNAVAIL", said), 0.5, view)
    assert [e.cause for e in ended if isinstance(e, HangUp)] == [told]
    (record,) = [
        e for e in board.handle(Ended(CHANNEL, told), 0.6, view) if isinstance(e, CallEnded)
    ]
    assert record.cause == said


def test_a_trunk_that_does_not_let_us_in_is_not_the_phones_word() -> None:
    """403 without a ring or a word of the peer: its other trunk may let us in."""
    next_ = outcome(View(B), 0.1, Returned(CHANNEL, "CHANUNAVAIL", 21))
    assert isinstance(next_, HandOver)
    assert next_.legs == (Leg(B, "iax2"),)


def test_a_dead_node_is_unreachable_whatever_rang_there() -> None:
    """We have abandoned it ourselves."""
    view, board = View(B, items=[FORWARDS]), Switchboard()
    arrived = Arrived(CHANNEL, "1001", "1009", "", fresh_id=CALL, endpoint="1009")
    board.handle(arrived, 0.0, view)
    board.handle(LegDialed(CHANNEL, LEG, "PJSIP/pf-b-0000002a"), 0.01, view)
    board.handle(RINGS, 0.1, view)
    view.dead, view.cut, view.places = (B,), (B,), (C,)
    board.tick(5.0, view)
    board.handle(SipSaid(B, False), 5.1, view)
    found = board.handle(Returned(CHANNEL, "NOANSWER", 19), 5.2, view)
    (again,) = [e for e in found if isinstance(e, HandOver)]
    assert (again.extension, again.legs) == ("1001", (Leg(C, "sip"),))


class TestLines:
    """To the outside: two trunks that both take the number."""

    def _ended(self, after: float, end: Returned, *before: CallEvent) -> HandOver | HangUp:
        lines = [
            make("trunk", name, site="main", endpoint="p", nodes=["a"], patterns=["_0."], cost=cost)
            for name, cost in (("cheap", 1), ("dear", 2))
        ]
        view = View(A, items=[*lines, make("extension", "1009")])
        return outcome(view, after, end, *before, number="0301")

    def test_whoever_was_rung_is_not_rung_again_by_the_next_line(self) -> None:
        """He did not take it, or did not want it."""
        for how in "RINGING", "PROGRESS":
            heard = LegLives(CHANNEL, LEG, how)
            ended = self._ended(45.0, Returned(CHANNEL, "NOANSWER", 19), heard)
            assert ended == HangUp(CHANNEL, 19)
            ended = self._ended(4.0, Returned(CHANNEL, "CHANUNAVAIL", 21), heard)
            assert ended == HangUp(CHANNEL, 17)

    @pytest.mark.parametrize("cause", [21, 34, 38, 1])
    def test_a_provider_that_refuses_is_followed_by_the_next(self, cause: int) -> None:
        """No credit, no lines, no route."""
        ended = self._ended(1.0, Returned(CHANNEL, "CHANUNAVAIL", cause))
        assert isinstance(ended, HandOver)
        assert [leg.line for leg in ended.legs] == ["dear"]


def test_a_leg_that_ends_for_no_reason_has_asked_nobody() -> None:
    """16 without a ring or a word, as of one that was ended while it was made: the other trunk is tried."""
    board, view = Switchboard(), View(B)
    board.handle(Arrived(CHANNEL, "1001", "1009", "", fresh_id=CALL), 0.0, view)
    ended = Returned(CHANNEL, "NOANSWER", 16)
    (again,) = [e for e in board.handle(ended, 0.1, view) if isinstance(e, HandOver)]
    assert again.legs == (Leg(B, "iax2"),)
    (refused,) = [e for e in board.handle(ended, 0.2, view) if isinstance(e, HangUp)]
    assert refused.cause == CONGESTION


@pytest.mark.parametrize("said", [3, 21, 27, 38])
def test_what_a_trunk_says_of_its_own_is_not_told_of_the_callee(said: int) -> None:
    """chan_iax2 says 21 if it has too much to do: the caller may ask another node. If the peer's daemon says so it is meant."""
    for heard, told in ((), CONGESTION), ((PeerHasCall(B, CALL, 2),), said):
        board, view = Switchboard(), View(B)
        board.handle(Arrived(CHANNEL, "1001", "1009", "", fresh_id=CALL), 0.0, view)
        ended = Returned(CHANNEL, "CHANUNAVAIL", said)
        board.handle(ended, 0.1, view)
        for event in heard:
            board.handle(event, 0.15, view)
        (refused,) = [e for e in board.handle(ended, 0.2, view) if isinstance(e, HangUp)]
        assert refused.cause == told


def test_of_a_line_that_is_silent_by_iax2_the_caller_hears_that_another_node_may_do_it() -> None:
    """503: chan_iax2 says that it is congested, and gives no cause."""
    line = {"technology": "iax2", "endpoint": "telco", "site": "main", "patterns": ["_0."]}
    items = [make("trunk", "city", nodes=["a"], **line), make("extension", "1009")]
    board, view = Switchboard(), View(A, items=items)
    board.handle(Arrived(CHANNEL, "030123", "1009", "", fresh_id=CALL, endpoint="1009"), 0.0, view)
    ended = board.handle(Returned(CHANNEL, "CONGESTION", 0), 1.0, view)
    assert [e.cause for e in ended if isinstance(e, HangUp)] == [34]
