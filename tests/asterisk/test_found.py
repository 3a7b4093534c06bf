"""What is found in a bridge of ours after a restart."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from pbxfed_ari.asterisk import found
from pbxfed_ari.asterisk.models import Bridge, CallerID, Channel, DialplanCEP
from pbxfed_ari.core.calls.calls import Manner
from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import Effect, EndBridge, HangUp, Indicate
from pbxfed_ari.core.events import Answered, Arrived, ChannelsListed, LegEnded
from pbxfed_ari.core.names import ChannelId, NodeName
from tests.core.test_route import A, View

NAME = "pf-f00.e1"
BEGAN = datetime(2026, 11, 26, 12, tzinfo=UTC)


def test_after_a_rescue_the_phone_that_was_called_stands_for_its_caller() -> None:
    """Both legs are ours, and come in any order: the newer one leads to the caller, wherever he is now."""
    called = Channel(f"{NAME}-1-0", "PJSIP/1001-1", "Up", CallerID("Ann", "1001"), BEGAN)
    back = Channel(f"{NAME}-3-0", "PJSIP/pf-c-2", "Up", CallerID("Bob", "1002"), BEGAN)
    for channels in [called, back], [back, called]:
        bridge = Bridge(NAME, [one.id for one in channels])
        (seen,) = found.ours([bridge], channels, {})
        assert seen.callers == (
            Arrived(ChannelId(called.id), "1001", "1002", "Bob", wall_ms=1_795_694_400_000),
        )
        assert seen.leg is not None
        assert (seen.leg.peer, seen.leg.trunk, seen.leg.number) == (NodeName("c"), "sip", "1002")


# --- how a transfer, or an answer, stands when the daemon returns


def standing(id: str, name: str, args: str = "", state: str = "Up") -> Channel:
    """A channel in our application, which it entered with these arguments."""
    plan = DialplanCEP(app_name="Stasis", app_data=f"pbxfed{args}")
    return Channel(id, name, state, CallerID(), BEGAN, plan)


CALLER = standing("1.1", "PJSIP/1002-1", ",phone")
LEG = standing("pf-f00-1-0", "PJSIP/1001-2", ",leg")
PLACED = standing("1.3", "Local/1003@pbxfed-phones-1;1")  # in the place of who transfers
SENT = standing("1.4", "Local/1003@pbxfed-phones-1;2", ",phone,PJSIP/1001-2")  # its other end
PUT = standing("1.6", "Local/_attended@transfer-2;2")  # in the place of who has asked before
STATES = ["Down", "Ringing", "Up"]


def found_by(
    board: Switchboard, *inside: Channel, answered_ms: int = 1, gone: tuple[str, ...] = ()
) -> list[Effect]:
    """A daemon has returned, and these are in the bridge; some end before they are asked for."""
    bridge = Bridge("pf-f00", [*(one.id for one in inside), *gone])
    seen = found.ours([bridge], list(inside), {"pf-f00": answered_ms})
    ids = frozenset(ChannelId(one.id) for one in inside)
    return board.handle(ChannelsListed(ids, seen), 0.0, View(A))


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("stays", [CALLER, LEG], ids=["caller", "called"])
def test_who_is_transferred_is_kept_whether_the_target_has_answered_or_not(
    stays: Channel, state: str
) -> None:
    """Whatever Asterisk says of the channel in the transferrer's place."""
    board = Switchboard(Manner(control="bridge"))
    assert found_by(board, stays, replace(PLACED, state=state)) == []
    assert len(board) == 1


def test_who_is_transferred_by_both_is_kept() -> None:
    """Two ends of transfers talk."""
    board = Switchboard(Manner(control="bridge"))
    other = replace(PLACED, id="1.5", name="Local/1004@pbxfed-phones-2;1", state="Ringing")
    assert found_by(board, replace(PLACED, state="Ringing"), other) == []
    assert len(board) == 1


def test_who_is_put_through_while_it_rings_goes_on_waiting() -> None:
    """He has not come by the dialplan, and would arrive nowhere; if nobody answers he ends."""
    board = Switchboard(Manner(control="bridge"))
    assert found_by(board, PUT, replace(LEG, state="Ringing"), answered_ms=0) == []
    ends = board.handle(LegEnded(ChannelId(LEG.id), 19), 9.0, View(A))
    assert ends[:1] == [HangUp(ChannelId(PUT.id), 19)]


def test_whom_asterisk_has_connected_without_us_is_answered_for_good() -> None:
    """Else the time that he had to wait for an answer would end his conversation."""
    for caller in CALLER, SENT:
        for state in "Ring", "Up":
            board = Switchboard(Manner(control="bridge"))
            told = found_by(board, replace(caller, state=state), LEG, answered_ms=0)
            assert told == [Indicate(ChannelId(caller.id), "answer")]
            assert len(board) == 1


def test_who_rings_a_phone_rings_on() -> None:
    """No phone rings twice because a daemon has returned; that one leg rings is seen by its state."""
    plan = DialplanCEP(app_name="Stasis", app_data="pbxfed,phone", exten="1001")
    caller = replace(CALLER, state="Ring", dialplan=plan)
    for state in STATES:
        board = Switchboard(Manner(control="bridge"))
        told = found_by(board, caller, replace(LEG, state=state), answered_ms=0)
        assert (HangUp(ChannelId(LEG.id), 16) in told) == (state == "Down")
        assert len(board) == (state != "Down")
        answered = board.handle(Answered(ChannelId(""), ChannelId(LEG.id)), 3.0, View(A))
        assert answered == ([Indicate(ChannelId(caller.id), "answer")] * (state == "Ringing"))


def test_several_ring_on_beside_their_bridge_if_one_of_them_does() -> None:
    """The bridge's name says for whom, while he waits; a leg of another call is none of theirs."""
    plan = DialplanCEP(app_name="Stasis", app_data="pbxfed,phone", exten="1001")
    caller = replace(CALLER, state="Ring", dialplan=plan)
    other, late = replace(LEG, id="pf-f00-1-1"), replace(LEG, id="pf-f01-1-0", state="Ringing")
    bridge = Bridge("pf-f00", [], name=caller.id)
    for state, where in (*((state, plan) for state in STATES), ("Ringing", DialplanCEP())):
        standing_now = [replace(caller, dialplan=where), LEG, other, late]
        standing_now[1:3] = replace(LEG, state="Down"), replace(other, state=state)
        (seen,) = found.ours([bridge], standing_now, {})
        board = Switchboard(Manner(control="bridge"))
        ids = frozenset(ChannelId(one.id) for one in standing_now)
        told = board.handle(ChannelsListed(ids, (seen,)), 0.0, View(A))
        adopted = state != "Down" and where is plan
        assert len(board) == adopted
        ended = {effect.channel for effect in told if isinstance(effect, HangUp)}
        assert ended == {late.id} | (set() if adopted else {LEG.id, other.id})


def test_who_waits_arrives_anew_and_who_has_talked_ends() -> None:
    """Beside a leg that rings for no phone of ours, or alone: nobody has answered him, or the other one has gone."""
    bridge = EndBridge(ChannelId("pf-f00"), "pf-f00")
    for caller in CALLER, SENT:
        waits, id = replace(caller, state="Ring"), ChannelId(caller.id)
        rings = replace(LEG, state="Ringing")
        board = Switchboard(Manner(control="bridge"))
        assert found_by(board, waits, rings) == [HangUp(ChannelId(LEG.id), 16), bridge]
        assert found_by(board, waits) == [bridge]
        assert found_by(board, waits, gone=(LEG.id,)) == [bridge]
        assert found_by(board, caller, gone=(LEG.id,)) == [HangUp(id, 16), bridge]
        assert len(board) == 0
    assert found_by(Switchboard(), PLACED) == [HangUp(ChannelId(PLACED.id), 16), bridge]
