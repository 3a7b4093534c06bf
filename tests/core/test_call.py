"""One call, told as (event, effects). Notes are left out: they are for the log."""

from pbxfed_ari.core.effects import CallEnded, Effect, HandOver, HangUp, Leg, Note
from pbxfed_ari.core.events import Answered, Arrived, CallEvent, ChannelsListed, Ended, Returned
from pbxfed_ari.core.names import ChannelId, Extension
from pbxfed_ari.core.switchboard import Switchboard
from tests.core.test_route import A, B, C, View

CHANNEL = ChannelId("17.1")
ARRIVED = Arrived(CHANNEL, "1001", "1002", "Ann", fresh_id="f00")
FROM_PEER = Arrived(CHANNEL, "1001", "1002", "Ann", peer=B, note="beef/1/1", fresh_id="f00")
Story = list[tuple[CallEvent, list[Effect]]]


def hand_over(legs: tuple[Leg, ...], attempt: int, call: str = "f00") -> HandOver:
    return HandOver(CHANNEL, Extension("1001"), legs, f"{call}/1/{attempt}", 30)


def retell(board: Switchboard, view: View, story: Story) -> Story:
    """The same events, with the effects that they really have."""
    told: Story = []
    for second, (event, _) in enumerate(story):
        effects = board.handle(event, float(second), view)
        told.append((event, [e for e in effects if not isinstance(e, Note)]))
    return told


def test_a_call_is_handed_over_answered_and_recorded() -> None:
    """The plain case: nothing is asked of us while two people talk."""
    story: Story = [
        (ARRIVED, [hand_over((Leg(),), 1)]),
        (Answered(CHANNEL), []),
        (Ended(CHANNEL), [CallEnded("f00", "1002", "1001", 1, True, 16, 2.0)]),  # type: ignore[arg-type]
    ]
    board = Switchboard()
    assert retell(board, View(A), story) == story
    assert len(board) == 0


def test_a_failed_try_is_followed_by_the_next() -> None:
    """SIP did not work, IAX2 may."""
    story: Story = [
        (ARRIVED, [hand_over((Leg(B, "sip"),), 1)]),
        (Returned(CHANNEL, "CHANUNAVAIL", 3), [hand_over((Leg(B, "iax2"),), 2)]),
        (Returned(CHANNEL, "CHANUNAVAIL", 3), [HangUp(CHANNEL, 3)]),
        (Ended(CHANNEL), [CallEnded("f00", "1002", "1001", 2, False, 3, 3.0)]),  # type: ignore[arg-type]
    ]
    assert retell(Switchboard(), View(B), story) == story


def test_a_phone_that_moved_meanwhile_is_found_at_its_new_place() -> None:
    """When the list is used up the directory is asked once more, and only what is new is tried."""
    view = View(B, trunks=("sip",))
    board = Switchboard()
    board.handle(ARRIVED, 0.0, view)
    view.places = (C,)
    effects = board.handle(Returned(CHANNEL, "CHANUNAVAIL", 20), 0.1, view)
    assert hand_over((Leg(C, "sip"),), 2) in effects
    assert HangUp(CHANNEL, 20) in board.handle(Returned(CHANNEL, "CHANUNAVAIL", 20), 0.2, view)


def test_a_fast_480_over_sip_means_that_the_phone_is_not_there() -> None:
    """SIP tells absence as 480, which Dial calls NOANSWER: the directory is asked, the other trunk is not tried."""
    board = Switchboard()
    view = View(B)
    board.handle(ARRIVED, 0.0, view)
    view.places = (C,)
    effects = board.handle(Returned(CHANNEL, "NOANSWER", 19), 0.1, view)
    assert hand_over((Leg(C, "sip"),), 2) in effects


def test_a_phone_that_refuses_is_not_rung_again_by_another_trunk() -> None:
    """It was reached, and did not want to."""
    board = Switchboard()
    board.handle(ARRIVED, 0.0, View(B))
    refused = board.handle(Returned(CHANNEL, "NOANSWER", 19), 3.0, View(B))
    assert HangUp(CHANNEL, 19) in refused


def test_a_phone_that_rang_out_is_not_rung_again() -> None:
    """Not even where it has moved meanwhile: half a minute is enough for the caller."""
    board = Switchboard()
    view = View(B)
    board.handle(ARRIVED, 0.0, view)
    view.places = (C,)
    assert HangUp(CHANNEL, 19) in board.handle(Returned(CHANNEL, "NOANSWER", 0), 30.0, view)


def test_busy_is_final() -> None:
    """The phone was reached: another trunk would find it busy too."""
    story: Story = [
        (ARRIVED, [hand_over((Leg(B, "sip"),), 1)]),
        (Returned(CHANNEL, "BUSY", 17), [HangUp(CHANNEL, 17)]),
    ]
    assert retell(Switchboard(), View(B), story) == story


def test_a_call_to_nowhere_ends_at_once() -> None:
    """With the cause that makes a SIP 404."""
    view = View()
    wrong = Arrived(CHANNEL, "9999", "1002", "", fresh_id="f00")
    assert HangUp(CHANNEL, 1) in Switchboard().handle(wrong, 0.0, view)


def test_a_peers_call_keeps_its_id() -> None:
    """One id through all nodes."""
    story: Story = [(FROM_PEER, [hand_over((Leg(),), 1, "beef")])]
    assert retell(Switchboard(), View(A), story) == story


def test_a_call_of_before_a_restart_ends_when_it_returns() -> None:
    """Its tries are forgotten; it must not hang."""
    assert Switchboard().handle(Returned(CHANNEL, "CHANUNAVAIL", 20), 0.0, View()) == [
        HangUp(CHANNEL, 20)
    ]


def test_a_call_that_ended_unseen_is_forgotten() -> None:
    """After a reconnect the list of channels is the truth."""
    board = Switchboard()
    board.handle(ARRIVED, 0.0, View(A))
    effects = board.handle(ChannelsListed(frozenset()), 5.0, View(A))
    assert [type(e) for e in effects] == [CallEnded]
    assert len(board) == 0


def test_the_end_of_a_stranger_is_nothing() -> None:
    """Every channel of the PBX ends sometime."""
    assert Switchboard().handle(Ended(CHANNEL), 0.0, View()) == []
