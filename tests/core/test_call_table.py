"""The table of a call: complete, drawn as it is, and true of what calls do."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pbxfed_ari.core.calls import transitions as module
from pbxfed_ari.core.calls.call import Call, Phase
from pbxfed_ari.core.calls.transitions import TABLE
from pbxfed_ari.core.effects import HandOver, HangUp, MakeBridge, MakeLeg
from pbxfed_ari.core.events import (
    Answered,
    Arrived,
    CameIn,
    Ended,
    FarEndDied,
    HungUp,
    LegDialed,
    LegEnded,
    LegEntered,
    LegLives,
    LegRefused,
    PeerGaveUp,
    PeerHasCall,
    PeerLostCalls,
    Redirected,
    Returned,
    Ticked,
    WentOut,
)
from pbxfed_ari.core.names import CallId, ChannelId
from pbxfed_ari.core.routing.tries import IDLE
from tests import callmap
from tests.core.test_route import A, B, C, View, make

CHANNEL, LEG, SECOND = ChannelId("1"), ChannelId("pf-f-1-0"), ChannelId("pf-f-2-0")
EVENTS: list[Any] = [
    Ticked(),
    PeerGaveUp(B, CallId("f"), 1),
    PeerLostCalls(B),
    PeerHasCall(B, CallId("f"), 1),
    PeerHasCall(B, CallId("f"), 1, "1003"),
    LegDialed(CHANNEL, LEG, "PJSIP/pf-b-1"),
    LegEntered(LEG),
    LegLives(CHANNEL, LEG, "RINGING"),
    Answered(CHANNEL, LEG),
    LegEnded(LEG, 17),
    LegEnded(LEG, 20),
    LegRefused(LEG, 17),
    LegRefused(LEG, 34),
    Returned(CHANNEL, "BUSY", 17),
    Returned(CHANNEL, "NOANSWER", 19),
    Returned(CHANNEL, "CHANUNAVAIL", 3),
    Returned(CHANNEL, "CANCEL", 0),
    Redirected(CHANNEL, LEG, "1003"),
    CameIn(ChannelId("2"), "pf-f"),
    WentOut(LEG, "pf-f"),
    LegEnded(LEG, 16, 302),
    FarEndDied(CHANNEL),
    FarEndDied(LEG),
    HungUp(CHANNEL, 16),
    HungUp(LEG, 16),
    LegEntered(SECOND),
    Answered(CHANNEL, SECOND),
    LegEnded(SECOND, 17),
    Ended(CHANNEL),
]


def test_the_drawing_is_of_this_table() -> None:
    """`python -m tests.callmap` draws it anew."""
    assert callmap.PAGE.read_text() == callmap.page()


def test_each_event_has_one_meaning_in_a_state() -> None:
    """And every row says it in words."""
    keys = [(state, row.event) for row in TABLE for state in row.states]
    assert len(keys) == len(set(keys)) == len(module.ROWS)
    assert all(row.what for row in TABLE)


@given(
    st.lists(st.tuples(st.sampled_from(EVENTS), st.floats(0.01, 20)), max_size=12),
    st.sampled_from(["handover", "bridge"]),
    st.booleans(),
    st.sampled_from([(A,), (B,), (A, B, C), ()]),
    st.sampled_from(["1001", "700"]),
)
def test_whatever_happens_a_call_goes_where_the_table_says_and_ends_once(
    story: list[tuple[Any, float]], control: str, from_peer: bool, places: Any, dialed: str
) -> None:
    """Never two hang-ups, never a try after the end, nothing after OVER but its record.

    A transfer may put in another; by a rescue the phone that was called may be the one that waits.
    """
    phone = make("extension", "1001", forward_busy="1002", forward_no_answer="1003")
    queue = make("queue", "700", members=["1001", "1003"], wait_seconds=20, otherwise="1002")
    view = View(*places, items=[phone, queue])
    view.standing = [A]
    peer, note = (B, "f/1/1//99") if from_peer else (None, "")
    arrived = Arrived(CHANNEL, dialed, "1009", "", peer, note, "f")
    call = Call(CallId("f"), arrived, 0.0, 30, control, 30)
    now, hung, ended = 0.0, 0, False
    for event, later in [(arrived, 0.0), *story]:
        now, before, caller = now + later, call.phase, call.caller
        effects = module.handle(call, event, now, view, IDLE)
        row = module.ROWS.get((before, type(event)))
        if row is None:
            assert (effects, call.phase) == ([], before)
        else:
            assert call.phase in row.to, (before, event)
        assert not (
            before is Phase.OVER
            and any(isinstance(e, HandOver | MakeBridge | MakeLeg) for e in effects)
        )
        if (
            not isinstance(event, PeerLostCalls | HungUp) or before is not Phase.TALKING
        ):  # of one end
            hung += sum(isinstance(e, HangUp) for e in effects)
        gone = isinstance(event, Ended) and event.channel == caller
        two_left = call.bridged is not None and len(call.bridged.present) > 1  # by a transfer
        ended = ended or (gone and call.phase is not Phase.RESCUING and not two_left)
    assert hung <= 1
    if call.leg_lives and call.caller_gone:  # by a transfer: it ends with its leg
        module.handle(call, LegEnded(call.leg, 16), now, view, IDLE)
    if ended or hung:
        assert call.phase is Phase.OVER
