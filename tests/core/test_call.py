"""One call, told as (event, effects). Notes are left out: they are for the log."""

from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace

from pbxfed_ari.core.calls import transitions
from pbxfed_ari.core.calls.call import Call, Phase
from pbxfed_ari.core.calls.calls import Manner
from pbxfed_ari.core.calls.setup import OVERTAKES, OVERTAKES_AFAR
from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import (
    CallEnded,
    Divert,
    Diverted,
    Effect,
    HandOver,
    HangUp,
    Lead,
    Leg,
    MakeLeg,
    Note,
    Outside,
    SendElsewhere,
    SendTo,
)
from pbxfed_ari.core.events import (
    Answered,
    Arrived,
    CallEvent,
    ChannelsListed,
    Ended,
    Event,
    LegDialed,
    LegEnded,
    LegEntered,
    LegLives,
    LegSeen,
    PeerGaveUp,
    PeerHasCall,
    Redirected,
    Returned,
    RingFound,
    TalkFound,
    wan,
)
from pbxfed_ari.core.messages import CallHere
from pbxfed_ari.core.names import CallId, ChannelId, Extension, NodeName, ObjectId
from pbxfed_ari.core.records.objects.group import Group as GroupItem
from pbxfed_ari.core.routing.waybill import read
from tests.core.test_route import A, B, C, View, make

CHANNEL = ChannelId("17.1")
ARRIVED = Arrived(CHANNEL, "1001", "1002", "Ann", fresh_id="f00")
FROM_PEER = Arrived(CHANNEL, "1001", "1002", "Ann", peer=B, note="beef/1/1", fresh_id="f00")
Story = list[tuple[CallEvent, list[Effect]]]


def hand_over(legs: tuple[Leg, ...], attempt: int, call: str = "f00") -> HandOver:
    return HandOver(CHANNEL, Extension("1001"), legs, f"{call}/1/{attempt}", 30)


def plain(effect: Effect) -> Effect:
    """A record without what other tests look at."""
    if not isinstance(effect, CallEnded):
        return effect
    bare = {"talked": 0.0, "control": "", "attempts": (), "peer": "", "note": ""}
    return replace(effect, **bare)


def retell(board: Switchboard, view: View, story: Story) -> Story:
    """The same events, with the effects that they really have."""
    told: Story = []
    for second, (event, _) in enumerate(story):
        effects = board.handle(event, float(second), view)
        told.append((event, [plain(e) for e in effects if not isinstance(e, Note)]))
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
        (Returned(CHANNEL, "CHANUNAVAIL", 3), [HangUp(CHANNEL, 34)]),
        (Ended(CHANNEL), [CallEnded("f00", "1002", "1001", 2, False, 34, 3.0)]),  # type: ignore[arg-type]
    ]
    assert retell(Switchboard(), View(B), story) == story


def test_the_log_tells_of_tries_after_the_first() -> None:
    """Most calls have one, which stands in their record: it is for who looks closely."""
    board, view = Switchboard(), View(B)
    first = board.handle(ARRIVED, 0.0, view)
    second = board.handle(Returned(CHANNEL, "CHANUNAVAIL", 0), 1.0, view)
    told = [(n.what, n.level) for n in (*first, *second) if isinstance(n, Note)]

    assert told == [("call tried", "debug"), ("call tried", "info")]


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


def test_a_call_that_was_handed_over_before_a_restart_keeps_its_record() -> None:
    """Who called whom, when, who answered where; not when it was answered: it counts from when that leg was made."""
    board, view = Switchboard(), View(A)
    came = Arrived(CHANNEL, "1001", "1002", "", wall_ms=1_000_000)
    found = TalkFound(came, "beef/1/2", LegSeen(B, "sip", "1001", 1_007_000), 1_060_000)
    assert board.handle(found, 100.0, view) == []
    assert board.handle(found, 100.1, view) == []
    (call,) = board
    assert (call.phase, call.tries, call.left_out) == (Phase.TALKING, 2, 1)
    (kept,) = board.handle(Ended(CHANNEL), 110.0, view)
    assert isinstance(kept, CallEnded)
    assert (kept.call, kept.caller, kept.number, kept.control) == (
        "beef",
        "1002",
        "1001",
        "handover",
    )
    assert (kept.began_ms, kept.seconds, kept.talked, kept.tries) == (1_000_000, 70.0, 63.0, 2)
    assert kept.attempts[0].legs == (Leg(B, "sip"),)
    assert len(board) == 0


def rings_on(*items: Any) -> tuple[Switchboard, View]:
    """1002 has called 1001 60 s ago, by a second try of before a restart, and is not answered at 100."""
    board, view = Switchboard(), View(A, items=items, trunks=("sip",))
    came = Arrived(CHANNEL, "1001", "1002", "", endpoint="1002", wall_ms=1_000_000)
    assert board.handle(RingFound(came, "beef/1/2", 1_060_000), 100.0, view) == []
    return board, view


def test_a_call_that_rang_while_the_daemon_was_away_has_its_record() -> None:
    """Who called whom, when, at which try; and that nobody knows more of it."""
    board, view = rings_on()
    (kept,) = board.handle(Ended(CHANNEL), 110.0, view)
    assert isinstance(kept, CallEnded)
    assert (kept.call, kept.caller, kept.number, kept.control) == (
        "beef",
        "1002",
        "1001",
        "handover",
    )
    assert (kept.began_ms, kept.seconds, kept.answered, kept.tries) == (1_000_000, 70.0, False, 2)
    (last,) = kept.attempts
    assert (last.legs, last.outcome) == ((), "given_up")
    assert "when the daemon came back" in last.reason
    assert len(board) == 0


def test_it_has_one_record_when_it_is_answered_afterwards() -> None:
    """With who has answered, and when."""
    board, view = rings_on()
    came = Arrived(CHANNEL, "1001", "1002", "", endpoint="1002", wall_ms=1_000_000)
    talks = TalkFound(came, "beef/1/2", LegSeen(B, "sip", "1001"), 1_065_000, 1_065_000)
    assert board.handle(talks, 105.0, view) == []
    (kept,) = board.handle(Ended(CHANNEL), 110.0, view)
    assert isinstance(kept, CallEnded)
    assert (kept.answered, kept.seconds, kept.talked, kept.tries) == (True, 70.0, 5.0, 2)
    assert kept.attempts[0].legs == (Leg(B, "sip"),)


@pytest.mark.parametrize(
    ("when", "status", "cause"), [("busy", "BUSY", 17), ("no_answer", "NOANSWER", 0)]
)
def test_it_goes_onward_by_what_came_of_it(when: str, status: str, cause: int) -> None:
    """As its number says now; nobody is rung a second time, however soon it is over."""
    board, view = rings_on(make("extension", "1001", **{f"forward_{when}": "1003"}))
    made = board.handle(Returned(CHANNEL, status, cause), 101.0, view)
    assert [e.extension for e in made if isinstance(e, HandOver)] == ["1003"]
    board, view = rings_on()
    assert not [
        e
        for e in board.handle(Returned(CHANNEL, status, cause), 101.0, view)
        if isinstance(e, HandOver)
    ]


def test_it_ends_as_it_failed_if_there_is_no_way_onward() -> None:
    """As without its record."""
    board, view = rings_on()
    assert HangUp(CHANNEL, 20) in board.handle(Returned(CHANNEL, "CHANUNAVAIL", 20), 101.0, view)
    (kept,) = board.handle(Ended(CHANNEL), 101.1, view)
    assert isinstance(kept, CallEnded)
    assert (kept.cause, kept.attempts[0].outcome) == (20, "unreachable")


def test_a_peers_call_that_rang_while_the_daemon_was_away_ends_when_its_sender_says_so() -> None:
    """It is in setup, as it was."""
    board, view = Switchboard(), View(A)
    came = replace(FROM_PEER, fresh_id="", wall_ms=1_000_000)
    board.handle(RingFound(came, "beef/1/1", 1_001_000), 100.0, view)
    assert HangUp(CHANNEL, 16) in board.handle(PeerGaveUp(B, CallId("beef"), 1), 101.0, view)


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


# --- transferred, and sent on


def transferred(number: str = "1003", by: str = "1005") -> Arrived:
    return Arrived(CHANNEL, number, "1002", "Ann", fresh_id="f01", endpoint="1002", by=by)


def test_who_is_transferred_begins_a_call_for_which_the_transferrer_pays() -> None:
    """The call that he was in is kept as ended."""
    items = [
        make("extension", "1005", calling_class="no"),
        make("extension", "1002", calling_class="all"),
        make("class", "no", deny=["1003"]),
        make("class", "all", deny=["1004"]),
    ]
    for number, denied in ("1003", True), ("1004", False):
        board, view = Switchboard(), View(A, items=items)
        board.handle(ARRIVED, 0.0, view)
        board.handle(Answered(CHANNEL), 1.0, view)
        effects = board.handle(transferred(number), 2.0, view)
        assert [e.call for e in effects if isinstance(e, CallEnded)] == ["f00"]
        assert (HangUp(CHANNEL, 21) in effects) is denied
        assert any(isinstance(e, HandOver) for e in effects) is not denied
        assert len(board) == 1


@pytest.mark.parametrize(
    ("number", "status", "cause"), [("1003", "BUSY", 17), ("1003", "NOANSWER", 0), ("1999", "", 0)]
)
def test_whom_nobody_takes_comes_back_to_who_has_transferred_him(
    number: str, status: str, cause: int
) -> None:
    """Once: the phone that has transferred him may be of no more use. A wrong number is nobody's, too."""
    view = View(A, items=[make("extension", one) for one in ("1003", "1005")])
    board = Switchboard()
    effects = board.handle(transferred(number), 0.0, view)
    for when, called in (1.0, number), (40.0, "1005"):
        if status or called == "1005":
            assert [e.extension for e in effects if isinstance(e, HandOver)] == [called]
            effects = board.handle(Returned(CHANNEL, status or "BUSY", cause), when, view)
    assert [type(e) for e in effects if isinstance(e, HangUp | HandOver)] == [HangUp]


def test_who_comes_back_to_a_phone_that_sends_him_on_goes_there_and_hears_what_came_of_it() -> None:
    """Not once more to that phone, whose forwards would go round."""
    view = View(A, items=[make("extension", "1005", forward_busy="1004")])
    board = Switchboard()
    effects = board.handle(transferred("1003"), 0.0, view)
    for when, called in (1.0, "1003"), (2.0, "1005"), (3.0, "1004"):
        assert [e.extension for e in effects if isinstance(e, HandOver)] == [called]
        effects = board.handle(Returned(CHANNEL, "BUSY", 17), when, view)
    assert HangUp(CHANNEL, 17) in effects


def test_who_comes_back_does_so_at_the_expense_of_who_has_transferred_him() -> None:
    """Though the phone to which the target had sent him may not call there."""
    items = [
        make("extension", "1003", forward_busy="1004", calling_class="no"),
        make("extension", "1005"),
        make("class", "no", deny=["1005"]),
    ]
    board, view = Switchboard(), View(A, items=items)
    effects = board.handle(transferred("1003"), 0.0, view)
    for when, called in (1.0, "1003"), (2.0, "1004"):
        assert [e.extension for e in effects if isinstance(e, HandOver)] == [called]
        effects = board.handle(Returned(CHANNEL, "BUSY", 17), when, view)
    assert [e.extension for e in effects if isinstance(e, HandOver)] == ["1005"]


@pytest.mark.parametrize("by", ["pf-b", "1003"])
def test_who_was_transferred_by_no_phone_of_the_federation_comes_back_to_nobody(by: str) -> None:
    """Nor does who was to be transferred to the phone itself."""
    view = View(A, items=[make("extension", "1003")])
    board = Switchboard()
    board.handle(transferred(by=by), 0.0, view)
    effects = board.handle(Returned(CHANNEL, "BUSY", 17), 1.0, view)
    assert HangUp(CHANNEL, 17) in effects


def heard(effects: list[Effect]) -> list[tuple[Any, ...]]:
    """What peers hear of calls of theirs."""
    said = [(e.address, e.message) for e in effects if isinstance(e, SendTo)]
    return [(to, m.call, m.attempt, m.sent_to) for to, m in said if isinstance(m, CallHere)]


def talks_with_peers(*more: Any) -> tuple[Switchboard, View]:
    """A caller of b's with the phone 1001 here."""
    board, view = board_with(make("extension", "1001"), *more)
    board.handle(FROM_PEER, 0.0, view)
    board.handle(LegDialed(CHANNEL, LEG, "PJSIP/1001-01"), 0.1, view)
    assert not heard(board.handle(Answered(CHANNEL, LEG), 1.0, view))
    return board, view


BY_1001 = Arrived(CHANNEL, "1003", "1002", "", fresh_id="f01", endpoint="pf-b", by="1001")


def test_the_node_of_who_is_transferred_hears_with_whom_he_is_now() -> None:
    """As what it knows the call; once for each, though he comes back, or is led on here or at another node."""
    board, view = talks_with_peers()
    b = (view.door(B), "beef", 1)
    assert heard(board.handle(BY_1001, 2.0, view)) == [(*b, "1003")]
    board.handle(LegEnded(LEG, 16), 2.0, view)
    assert heard(board.handle(Returned(CHANNEL, "BUSY", 17), 3.0, view)) == [(*b, "1001")]
    board.handle(LegDialed(CHANNEL, LEG, "PJSIP/1001-02"), 3.1, view)
    assert not heard(board.handle(Answered(CHANNEL, LEG), 4.0, view))
    view.places = (C,)
    assert heard(board.handle(replace(BY_1001, number="1004"), 5.0, view)) == [(*b, "1004")]
    board.handle(LegDialed(CHANNEL, LEG, "PJSIP/pf-c-01"), 5.1, view)
    assert not heard(board.handle(Answered(CHANNEL, LEG), 6.0, view))
    for at, to in (7.0, "1005"), (8.0, "?"):
        assert heard(board.handle(PeerHasCall(C, CallId("f01"), 1, to), at, view)) == [(*b, to)]
    board.handle(Ended(CHANNEL), 9.0, view)
    board.handle(
        FROM_PEER, 10.0, view
    )  # and is led on before an answer, by a dialplan of one's own
    assert not heard(board.handle(replace(BY_1001, by=""), 11.0, view))
    line = make("trunk", "one", site="main", endpoint="p", nodes=["a"], patterns=["_0."])
    group = make("group", "600", members=["1003", "1004"])
    for number, known in ("600", ["?"]), ("1003,1", []), ("0301", ["0301"]):
        board, view = talks_with_peers(line, group)
        effects = board.handle(replace(BY_1001, number=number), 2.0, view)
        assert [one[-1] for one in heard(effects)] == known, number


def test_so_does_the_node_of_who_is_put_through() -> None:
    """By an attended transfer: he is here still when who has answered has gone. Nobody knows to whom. Else nothing is said."""
    for ends in [Returned(CHANNEL, "ANSWER", 16)], [Ended(CHANNEL, 16)], []:
        board, view = talks_with_peers()
        effects = [
            e for event in (LegEnded(LEG, 16), *ends) for e in board.handle(event, 9.0, view)
        ]
        effects += board.tick(9.5, view)
        assert not heard(effects)
        due = board.next_deadline()
        expected = [] if ends else [(view.door(B), "beef", 1, "?")]
        assert heard(board.tick(due, view) if due < 99.0 else []) == expected
        assert board.next_deadline() == (due if ends else float("inf"))
    board, view = board_with()
    board.handle(ARRIVED, 0.0, view)
    board.handle(Answered(CHANNEL, LEG), 1.0, view)
    board.handle(LegEnded(LEG, 16), 2.0, view)
    assert board.next_deadline() == float("inf")


def put_through_by(
    *ends: CallEvent, arrived: Arrived = ARRIVED, after: float = 60.0, late: float = 0.0
) -> str:
    """What the record tells of a call that is answered at 1, half of which ends at 9, and the rest so much later."""
    board, view = board_with(make("extension", "1001"))
    board.handle(arrived, 0.0, view)
    board.handle(LegDialed(CHANNEL, LEG, "PJSIP/1001-01"), 0.1, view)
    board.handle(Answered(CHANNEL, LEG), 1.0, view)
    board.tick(8.9, view, late)
    effects = board.handle(ends[0], 9.0, view)
    effects += [e for event in ends[1:] for e in board.handle(event, 9.0 + after, view)]
    (record,) = [e for e in effects if isinstance(e, CallEnded)]
    return record.by


def test_who_puts_a_call_through_is_told_by_its_record() -> None:
    """Of both that he connects: in the one he was called, in the other he called. Nobody else's end is more than an end."""
    called, caller = (LegEnded(LEG, 16), Ended(CHANNEL)), (Ended(CHANNEL), LegEnded(LEG, 16))
    assert put_through_by(*called) == "1001"
    assert put_through_by(*caller) == "1002"
    assert put_through_by(*caller, arrived=replace(ARRIVED, caller="7", endpoint="1002")) == "1002"
    for ends in called, caller:
        assert put_through_by(*ends, after=0.5) == ""
        assert put_through_by(*ends, late=0.5) == "", "where ends come late nobody knows"
        assert put_through_by(*ends, arrived=replace(ARRIVED, by="1005")) == "1005"
    for other in FROM_PEER, replace(ARRIVED, outside=True, led=True):
        assert put_through_by(*called, arrived=other) == "1001"
        assert put_through_by(*caller, arrived=other) == ""


def test_who_transfers_blindly_is_told_by_the_call_to_the_target_alone() -> None:
    """His own ends there: its caller, or whom he has called, has another."""
    moved = Arrived(CHANNEL, "1003", "1002", "", fresh_id="f01", endpoint="1002", by="1001")
    assert put_through_by(LegEnded(LEG, 16), moved, after=0.1) == ""
    moved = replace(moved, channel=LEG, endpoint="1001", by="1002")
    assert put_through_by(moved, Ended(CHANNEL, 16), after=0.1) == ""


def test_that_a_phone_of_another_node_has_put_it_through_that_node_tells() -> None:
    """To whom, if it knows; by whom is known here."""
    board, view = Switchboard(), View(B)
    board.handle(ARRIVED, 0.0, view)
    board.handle(LegDialed(CHANNEL, LEG, "PJSIP/pf-b-01"), 0.1, view)
    board.handle(Answered(CHANNEL, LEG), 1.0, view)
    (call,) = board
    board.handle(PeerHasCall(B, CallId("f00"), 1), 2.0, view)
    assert call.transferred_by(3.0) == ""
    board.handle(PeerHasCall(B, CallId("f00"), 1, "?"), 3.0, view)
    board.handle(PeerHasCall(B, CallId("f00"), 1, "1004"), 4.0, view)
    effects = board.handle(Ended(CHANNEL), 9.0, view) + board.handle(LegEnded(LEG), 9.0, view)
    assert [e.by for e in effects if isinstance(e, CallEnded)] == ["1001"]


def test_a_peer_where_it_rings_is_not_told_that_the_call_is_over() -> None:
    """Dial ends its legs by itself, if it does: a transfer may have put another caller into it."""
    for lives in False, True:
        board = Switchboard()
        board.handle(ARRIVED, 0.0, View(B))
        if lives:
            board.handle(LegLives(CHANNEL, LEG, "RINGING"), 0.1, View(B))
        effects = board.handle(Ended(CHANNEL), 0.2, View(B))
        assert any(isinstance(e, SendTo) for e in effects) is not lives


def test_a_callee_who_is_transferred_begins_a_call_of_his_own() -> None:
    """His channel was only a leg of Dial before."""
    leg = ChannelId("17.2")
    board = Switchboard()
    board.handle(ARRIVED, 0.0, View(A))
    board.handle(Answered(CHANNEL, leg), 1.0, View(A))
    moved = Arrived(leg, "1003", "1001", "", fresh_id="f01", endpoint="1001", by="1002")
    assert any(isinstance(e, HandOver) for e in board.handle(moved, 2.0, View(A)))
    assert HangUp(CHANNEL, 16) in board.handle(Returned(CHANNEL, "ANSWER", 16), 2.1, View(A))


LEG = ChannelId("17.2")


def test_a_phone_sends_on_and_pays() -> None:
    """302: the call goes on from here; the phone's own class counts, whoever called."""
    items = [make("extension", "1001", calling_class="no"), make("class", "no", deny=["1004"])]
    for to, denied in ("1003", False), ("1004", True), ("PJSIP/1004@b", None):
        board, view = Switchboard(), View(A, items=items)
        board.handle(ARRIVED, 0.0, view)
        assert board.handle(Redirected(CHANNEL, LEG, to), 1.0, view) == []
        effects = board.handle(Returned(CHANNEL, "BUSY", 17), 1.1, view)
        assert [e.extension for e in effects if isinstance(e, HandOver)] == (
            [to] if denied is False else []
        )
        assert [e.cause for e in effects if isinstance(e, HangUp)] == (
            [] if denied is False else [21 if denied else 1]
        )


def test_who_is_sent_nowhere_hears_that_nobody_is_to_be_had() -> None:
    """A 302 that does not say whither is no failure of ours (500), and one back to him is not busy, as Dial has it.

    RFC 3261 says 480 where there is no valid forwarding location. In bridge mode both read as if they held the caller's number.
    """
    back, busy = [Redirected(CHANNEL, LEG, "1002")], make("extension", "1001", forward_busy="1003")
    for moved, status, cause in (
        ([], "CHANUNAVAIL", 23),
        (back, "CHANUNAVAIL", 23),
        (back, "BUSY", 0),
    ):
        board, view = Switchboard(), View(A, items=[busy])
        board.handle(ARRIVED, 0.0, view)
        for event in moved:
            board.handle(event, 1.0, view)
        effects = board.handle(Returned(CHANNEL, status, cause), 1.1, view)
        assert [e.cause for e in effects if isinstance(e, HangUp)] == [20]
        assert not any(isinstance(e, HandOver) for e in effects)


def test_a_line_that_says_where_else_to_go_is_followed_by_the_next() -> None:
    """No word of a person's, though Dial calls it busy; and nobody goes where the outside wants."""
    lines = [
        make("trunk", name, site="main", endpoint=name, nodes=["a"], patterns=["_0."], cost=cost)
        for cost, name in enumerate(("cheap", "dear"))
    ]
    board, view = board_with(*lines, make("extension", "1009"))
    one = ChannelId("1")
    assert handed(board.handle(arrive("0301", "1"), 0.0, view))
    board.handle(LegLives(one, LEG, "PROGRESS"), 0.5, view)
    assert board.handle(Redirected(one, LEG, "1003"), 1.0, view) == []
    ((_, legs, _),) = handed(board.handle(Returned(one, "BUSY", 17), 1.1, view))
    assert [leg.line for leg in legs] == ["dear"]
    assert causes(board.handle(Returned(one, "BUSY", 17), 2.0, view)) == [17]
    assert handed(board.handle(arrive("0301", "2"), 3.0, view))
    assert handed(board.handle(Returned(ChannelId("2"), "NOANSWER", 23), 3.1, view))


def test_the_record_of_a_call_that_was_sent_on_and_answered() -> None:
    """What came of each try; an answered call's cause is not that of the try before."""
    board, view = Switchboard(), View(A)
    board.handle(ARRIVED, 0.0, view)
    board.handle(Redirected(CHANNEL, LEG, "1003"), 1.0, view)
    board.handle(Returned(CHANNEL, "CHANUNAVAIL", 20), 1.1, view)
    board.handle(Answered(CHANNEL), 2.0, view)
    (record,) = [e for e in board.handle(Ended(CHANNEL), 3.0, view) if isinstance(e, CallEnded)]
    assert [(a.number, a.outcome) for a in record.attempts] == [
        ("1001", "sent_on"),
        ("1003", "answered"),
    ]
    assert (record.answered, record.cause) == (True, 16)


def test_phones_that_send_on_in_a_circle_end_the_call() -> None:
    """1001 → 1003 → 1001."""
    board, view = Switchboard(), View(A)
    board.handle(ARRIVED, 0.0, view)
    board.handle(Redirected(CHANNEL, LEG, "1003"), 1.0, view)
    board.handle(Returned(CHANNEL, "BUSY", 17), 1.1, view)
    board.handle(Redirected(CHANNEL, LEG, "1001"), 2.0, view)
    assert HangUp(CHANNEL, 25) in board.handle(Returned(CHANNEL, "BUSY", 17), 2.1, view)


def test_a_peers_call_is_sent_back_with_the_number() -> None:
    """Over SIP by 302, over IAX2 by a word to its daemon and a refusal; never sent on from here: one hop.

    To another site the word goes by way of the forwarders, and has more time.
    """
    said = CallHere("beef", 1, "1003")
    for endpoint, places, sites in (
        ("pf-b", (A,), {}),
        ("", (A,), {}),
        ("", (A, B), {}),
        ("", (A,), {B: "west"}),
    ):
        board, view = Switchboard(), View(*places, sites=sites)
        told = SendTo(view.door(B) or wan(B), said)
        ahead = OVERTAKES_AFAR if sites else OVERTAKES
        peers = Arrived(
            CHANNEL, "1001", "1002", "Ann", B, "beef/1/1", fresh_id="f00", endpoint=endpoint
        )
        board.handle(peers, 0.0, view)
        board.handle(Redirected(CHANNEL, LEG, "1003"), 1.0, view)
        effects = board.handle(Returned(CHANNEL, "BUSY", 17), 1.1, view)
        assert (SendElsewhere(CHANNEL, "1003") in effects) is bool(endpoint)
        assert (told in effects) is not bool(endpoint)
        assert not any(isinstance(e, HandOver | HangUp) for e in effects)
        assert not board.tick(1.1 + ahead / 2, view)
        later = board.tick(1.1 + ahead, view)  # no trunk's end overtakes the word
        assert (HangUp(CHANNEL, 20) in later) is not bool(endpoint)


def test_who_called_hears_over_iax2_whither_a_phone_sends_on() -> None:
    """Its daemon says so before the try has ended; what it says of another try counts for nothing, nor of a group's member."""
    for number, attempt, to in ("1002", 1, "1003"), ("1002", 2, ""), ("600", 1, ""):
        group = make("group", "600", members=["1002"])
        board, view = Switchboard(), View(B, items=[group])
        board.handle(arrive(number), 0.0, view)
        (call,) = board
        board.handle(PeerHasCall(B, call.id, attempt, "1003"), 0.5, view)
        effects = board.handle(Returned(CHANNEL, "CHANUNAVAIL", 20), 0.6, view)
        assert ("1003" in [e.extension for e in effects if isinstance(e, HandOver)]) is bool(to)


def test_a_member_of_a_group_and_the_outside_cannot_send_on() -> None:
    """The group's other members are there for that."""
    group = make("group", "600", members=["1001", "1003"], strategy="hunt")
    board, view = board_with(group)
    board.handle(arrive("600"), 0.0, view)
    board.handle(Redirected(CHANNEL, LEG, "1004"), 1.0, view)
    after = board.handle(Returned(CHANNEL, "BUSY", 17), 1.1, view)
    assert handed(after) == [("600", (Leg(number="1003"),), 30)]


# --- with objects


def board_with(*items: Any, places: tuple[NodeName, ...] = (A,)) -> tuple[Switchboard, View]:
    return Switchboard(), View(*places, items=items, trunks=("sip",))


def arrive(number: str, channel: str = "17.1", **more: Any) -> Arrived:
    more = {"endpoint": "1009", **more}
    return Arrived(ChannelId(channel), number, "1009", "", fresh_id=f"c{channel}", **more)


def handed(effects: list[Effect]) -> list[tuple[str, tuple[Leg | Outside, ...], int]]:
    return [(e.extension, e.legs, e.ring_seconds) for e in effects if isinstance(e, HandOver)]


def causes(effects: list[Effect]) -> list[int]:
    return [e.cause for e in effects if isinstance(e, HangUp)]


def test_each_outcome_goes_its_own_way() -> None:
    """Busy here, nobody there, and an end with the last cause."""
    phone = make("extension", "1001", forward_busy="1002", forward_no_answer="1003")
    board, view = board_with(phone, make("extension", "1002", forward_no_answer="1003"))
    assert handed(board.handle(arrive("1001"), 0.0, view)) == [("1001", (Leg(),), 30)]
    assert handed(board.handle(Returned(CHANNEL, "BUSY", 17), 1.0, view)) == [
        ("1002", (Leg(),), 30)
    ]
    assert handed(board.handle(Returned(CHANNEL, "NOANSWER", 0), 31.0, view)) == [
        ("1003", (Leg(),), 30)
    ]
    assert causes(board.handle(Returned(CHANNEL, "NOANSWER", 0), 61.0, view)) == [19]


def test_who_gives_up_is_not_forwarded() -> None:
    """CANCEL is the caller's."""
    board, view = board_with(make("extension", "1001", forward_no_answer="1002"))
    board.handle(arrive("1001"), 0.0, view)
    assert handed(board.handle(Returned(CHANNEL, "CANCEL", 0), 1.0, view)) == []


def test_do_not_disturb_and_nobody_there_go_onward_at_once() -> None:
    """Without a try."""
    board, view = board_with(make("extension", "1001", dnd=True, forward_busy="1002"))
    assert handed(board.handle(arrive("1001"), 0.0, view)) == [("1002", (Leg(),), 30)]
    board, view = board_with(make("extension", "1001", dnd=True))
    assert causes(board.handle(arrive("1001"), 0.0, view)) == [17]
    board, view = board_with(make("extension", "1001", forward_unreachable="*97"), places=())
    assert causes(board.handle(arrive("1001"), 0.0, view)) == [20]


def test_a_hunt_goes_on_after_busy_and_no_answer_and_ends_at_the_overflow() -> None:
    """Each member once."""
    group = GroupItem(
        id=ObjectId(b"g600"),
        key="600",
        claimed=(1, "a"),
        strategy="hunt",
        members=("1001", "1002", "1003"),
        ring_seconds=10,
        overflow="1005",
    )
    board, view = board_with(group)
    assert handed(board.handle(arrive("600"), 0.0, view)) == [("600", (Leg(number="1001"),), 10)]
    after = board.handle(Returned(CHANNEL, "BUSY", 17), 1.0, view)
    assert handed(after) == [("600", (Leg(number="1002"),), 10)]
    after = board.handle(Returned(CHANNEL, "NOANSWER", 0), 11.0, view)
    assert handed(after) == [("600", (Leg(number="1003"),), 10)]
    after = board.handle(Returned(CHANNEL, "CHANUNAVAIL", 20), 12.0, view)
    assert handed(after) == [("1005", (Leg(),), 30)]


def test_who_had_his_turn_in_a_group_has_one_in_the_group_to_which_that_overflows() -> None:
    """There he is asked as a member of another group."""
    first = make("group", "600", members=["1001"], strategy="hunt", overflow="601")
    board, view = board_with(first, make("group", "601", members=["1002", "1001"], strategy="hunt"))
    effects = board.handle(arrive("600"), 0.0, view)
    for number, member in ("600", "1001"), ("601", "1002"), ("601", "1001"):
        assert handed(effects) == [(number, (Leg(number=member),), 30)]
        effects = board.handle(Returned(CHANNEL, "BUSY", 17), 1.0, view)


def test_it_goes_onward_by_what_came_of_the_number_that_it_had_come_to() -> None:
    """Not of who was rung before and forwards to that."""
    own = make("extension", "1001", forward_no_answer="1003")
    board, view = board_with(own, make("extension", "1003", forward_unreachable="1004"))
    board.handle(arrive("1001"), 0.0, view)
    after = board.handle(Returned(CHANNEL, "NOANSWER", 0), 30.0, view)
    assert handed(after) == [("1003", (Leg(),), 30)]
    after = board.handle(Returned(CHANNEL, "CHANUNAVAIL", 20), 30.1, view)
    assert handed(after) == [("1004", (Leg(),), 30)]


def test_whom_nobody_has_served_in_time_has_not_given_up() -> None:
    """He has heard 503 (extension T): so says the record."""
    board, view = Switchboard(), View(B)
    board.handle(arrive("1001"), 0.0, view)
    (record,) = [
        e for e in board.handle(Ended(CHANNEL, 42), 10.0, view) if isinstance(e, CallEnded)
    ]
    assert (record.cause, record.attempts[-1].outcome) == (42, "unreachable")


def test_a_line_that_fails_is_followed_by_the_next_and_the_note_names_the_peers_line() -> None:
    """Out by our own trunk, then by a peer's."""
    lines = [
        make("trunk", "one", site="main", endpoint="p", nodes=["a"], patterns=["_0."], cost=1),
        make("trunk", "two", site="main", endpoint="q", nodes=["b"], patterns=["_0."], cost=2),
    ]
    board, view = board_with(*lines, make("extension", "1009"))
    first = board.handle(arrive("030123"), 0.0, view)
    assert handed(first) == [("030123", (Outside("one", "pjsip", "p", "030123"),), 90)]
    second = board.handle(Returned(CHANNEL, "CONGESTION", 34), 1.0, view)
    assert [e.note for e in second if isinstance(e, HandOver)] == ["c17.1/1/2/two//1009"]
    assert causes(board.handle(Returned(CHANNEL, "CHANUNAVAIL", 27), 2.0, view)) == [34]


def test_a_line_that_has_failed_at_a_peer_is_not_tried_by_its_other_trunk() -> None:
    """The peer had the call: another line of the same peer is the next. Nothing was heard of it: the other trunk is."""
    items = (
        make("trunk", "one", site="main", endpoint="p", nodes=["b"], patterns=["_0."], cost=1),
        make("trunk", "two", site="main", endpoint="q", nodes=["b"], patterns=["_0."], cost=2),
        make("extension", "1009"),
    )
    failed = Returned(CHANNEL, "CHANUNAVAIL", 3)
    for status, here, after in (
        ("CHANUNAVAIL", True, Leg(B, "sip", line="two")),
        ("NOANSWER", True, Leg(B, "sip", line="two")),
        ("CHANUNAVAIL", False, Leg(B, "iax2", line="one")),
    ):
        board, view = Switchboard(), View(A, items=items)
        board.handle(arrive("030123"), 0.0, view)
        if here:
            board.handle(PeerHasCall(B, CallId("c17.1"), 1), 0.1, view)
        effects = board.handle(replace(failed, status=status), 1.0, view)
        assert [one[1] for one in handed(effects)] == [(after,)]


def test_the_peer_lets_it_out() -> None:
    """It reads the line in the note."""
    line = make("trunk", "two", site="main", endpoint="q", nodes=["a"], patterns=["_0."])
    board, view = board_with(line)
    arrived = arrive("030123", peer=B, note="beef/1/2/two")
    assert handed(board.handle(arrived, 0.0, view)) == [
        ("030123", (Outside("two", "pjsip", "q", "030123"),), 90)
    ]


def test_limits_count_what_goes_on() -> None:
    """Calls at once of a phone, of a line, and of who pays; within an hour too."""
    line = make(
        "trunk", "one", site="main", endpoint="p", nodes=["a"], patterns=["_0."], capacity=2
    )
    payer = make("extension", "1009", calling_class="office")
    office = make("class", "office", pstn_per_hour=2)
    board, view = board_with(line, payer, office, make("extension", "1001", call_limit=1))
    assert handed(board.handle(arrive("1001", "1"), 0.0, view))
    assert causes(board.handle(arrive("1001", "2"), 0.0, view)) == [17]
    board.handle(Ended(ChannelId("1")), 1.0, view)
    assert handed(board.handle(arrive("1001", "3"), 1.0, view))
    assert handed(board.handle(arrive("0301", "4"), 2.0, view))
    assert handed(board.handle(arrive("0302", "5"), 3.0, view))
    assert causes(board.handle(arrive("0303", "6"), 4.0, view)) == [21]
    board.handle(Ended(ChannelId("4")), 5.0, view)
    assert causes(board.handle(arrive("0304", "7"), 6.0, view)) == [21]
    assert handed(board.handle(arrive("0305", "8"), 3_700.0, view))


def test_a_call_that_tried_several_lines_is_one_call_of_the_hour() -> None:
    """Who pays did not make more of them, and where it is let out its other lines are no others."""
    lines = [
        make("trunk", name, site="main", endpoint="p", nodes=["a"], patterns=["_0."])
        for name in ("one", "two")
    ]
    payer = make("extension", "1009", calling_class="office")
    office = make("class", "office", pstn_per_hour=2)
    board, view = board_with(*lines, payer, office)
    assert handed(board.handle(arrive("0301", "1"), 0.0, view))
    assert handed(board.handle(Returned(ChannelId("1"), "CONGESTION", 34), 1.0, view))
    assert handed(board.handle(arrive("0302", "2"), 2.0, view))
    assert causes(board.handle(arrive("0303", "3"), 3.0, view)) == [21]
    board, view = board_with(*lines, payer, office)
    for second, call in enumerate(("beef", "cafe")):
        for line in "one", "two":
            note = f"{call}/1/1/{line}//1009"
            come = arrive("0301", f"{call}{line}", peer=B, note=note)
            assert handed(board.handle(come, float(second), view))
    come = arrive("0301", "9", peer=B, note="fade/1/1/one//1009")
    assert causes(board.handle(come, 3.0, view)) == [21]


@pytest.mark.parametrize("outside", [False, True])
def test_who_forwards_every_call_to_the_outside_pays(outside: bool) -> None:
    """At the node with the line, too: whoever calls, and may he call nobody outside himself."""
    items = [
        make("trunk", "one", site="main", endpoint="p", nodes=["b"], patterns=["_0."]),
        make("did", "+4930125", destination="1001"),
        make("extension", "1001", forward_always="0170", calling_class="office"),
        make("class", "office", pstn_calls=1),
        make("extension", "1009", calling_class="inside"),
        make("class", "inside", allow=["_1XXX"]),
    ]
    board, view = board_with(*items)
    who: dict[str, Any] = {"outside": True, "endpoint": ""} if outside else {}
    number = "+4930125" if outside else "1001"
    effects = board.handle(arrive(number, "1", **who), 0.0, view)
    (bill,) = [read(e.note) for e in effects if isinstance(e, HandOver)]
    assert bill is not None
    assert bill.payer == "1001"
    assert causes(board.handle(arrive(number, "2", **who), 1.0, view)) == [21]


def test_who_forwards_every_call_to_a_group_pays_for_where_that_sends_it() -> None:
    """Else a phone that may call nobody outside is reached by who may, and lets him out."""
    items = [
        make("trunk", "one", site="main", endpoint="p", nodes=["a"], patterns=["_0."]),
        make("group", "600", members=["1002"], overflow="0170"),
        make("extension", "1001", forward_always="600", calling_class="inside"),
        make("class", "inside", allow=["_1XXX", "600"]),
        make("extension", "1009"),
        make("extension", "1002"),
    ]
    board, view = board_with(*items)
    assert handed(board.handle(arrive("1001"), 0.0, view))
    effects = board.handle(Returned(CHANNEL, "BUSY", 17), 1.0, view)
    assert causes(effects) == [17]
    assert not any(isinstance(effect, HandOver) for effect in effects)


@pytest.mark.parametrize("quick", [True, False])
def test_who_transfers_the_outside_goes_on_paying_for_it(quick: bool) -> None:
    """Else whoever has a phone's secret connects the outside with whom he likes, as often as he likes."""
    line = make(
        "trunk", "one", site="main", endpoint="p", nodes=["a"], patterns=["_0."], capacity=1
    )
    payer = make("extension", "1009", calling_class="office")
    board, view = board_with(line, payer, make("class", "office", pstn_calls=1))
    assert handed(board.handle(arrive("0301", "1"), 0.0, view))
    board.handle(LegDialed(ChannelId("1"), LEG, "PJSIP/p-01"), 0.1, view)
    board.handle(Answered(ChannelId("1"), LEG), 1.0, view)
    moved = arrive("1001", LEG, endpoint="p", by="1009")
    events: list[CallEvent] = (
        [Ended(ChannelId("1")), moved] if quick else [moved, Ended(ChannelId("1"))]
    )
    effects = [board.handle(event, 2.0, view) for event in events]
    assert any(map(handed, effects))
    assert causes(board.handle(arrive("0302", "3"), 3.0, view)) == [21]
    peers = arrive("0302", "4", peer=B, note="beef/1/1/one")
    assert causes(board.handle(peers, 3.0, view)) == [34]  # the line is taken
    board.handle(Ended(LEG), 4.0, view)
    assert handed(board.handle(arrive("0303", "5"), 5.0, view))


def test_who_connects_two_calls_to_the_outside_goes_on_paying_for_both() -> None:
    """By an attended transfer: his two calls end, their legs talk on."""
    line = make("trunk", "one", site="main", endpoint="p", nodes=["a"], patterns=["_0."])
    payer = make("extension", "1009", calling_class="office")
    board, view = board_with(line, payer, make("class", "office", pstn_calls=2))
    for caller in "1", "2":
        channel, leg = ChannelId(caller), ChannelId(f"leg{caller}")
        assert handed(board.handle(arrive("0301", caller), 0.0, view))
        board.handle(LegDialed(channel, leg, "PJSIP/p-01"), 0.1, view)
        board.handle(Answered(channel, leg), 1.0, view)
    for caller in "1", "2":
        board.handle(Ended(ChannelId(caller)), 2.0, view)
    assert causes(board.handle(arrive("0302", "3"), 3.0, view)) == [21]
    board.handle(LegEnded(ChannelId("leg1")), 4.0, view)
    assert handed(board.handle(arrive("0303", "4"), 5.0, view))
    board.handle(Ended(ChannelId("4")), 5.1, view)
    both = frozenset({ChannelId("5")})  # what happened while Asterisk was out of reach
    board.handle(ChannelsListed(both, ()), 6.0, view)
    assert board.usage.outside_of("1009")[0] == 0


def test_two_calls_that_were_connected_go_on_as_long_as_their_legs() -> None:
    """By an attended transfer of who called both; each has its record, and he has no call any more."""
    board, view = board_with(make("extension", "1001", call_limit=1))
    for caller, called in ("1", "1002"), ("2", "1003"):
        board.handle(arrive(called, caller, endpoint="1001"), 0.0, view)
        leg = ChannelId(f"leg{caller}")
        board.handle(LegDialed(ChannelId(caller), leg, f"PJSIP/{called}-01"), 0.1, view)
        board.handle(Answered(ChannelId(caller), leg), 1.0, view)
    assert board.usage.at(view, 1.0).calls_of("1001") == 2
    for caller in "1", "2":
        assert not board.handle(Ended(ChannelId(caller)), 2.0, view)
    assert [call.phase for call in board] == [Phase.TALKING] * 2
    assert [board.usage.at(view, 2.0).calls_of(n) for n in ("1001", "1002")] == [0, 1]
    (record,) = board.handle(LegEnded(ChannelId("leg1")), 5.0, view)
    assert isinstance(record, CallEnded)
    assert record.talked == 4.0
    # the other's end was missed
    (record,) = board.handle(ChannelsListed(frozenset(), ()), 6.0, view)
    assert isinstance(record, CallEnded)
    assert record.talked == 5.0
    assert not len(board)
    assert not board.calls._by_leg


def test_a_leg_that_is_sent_elsewhere_leaves_its_call() -> None:
    """By a blind transfer of the caller: it is a call of its own now."""
    board, view = board_with()
    leg = ChannelId("leg")
    board.handle(arrive("1002", "1", endpoint="1001"), 0.0, view)
    board.handle(LegDialed(ChannelId("1"), leg, "PJSIP/1002-01"), 0.1, view)
    board.handle(Answered(ChannelId("1"), leg), 1.0, view)
    board.handle(Ended(ChannelId("1")), 2.0, view)
    effects = board.handle(arrive("1003", "leg", endpoint="1002", by="1001"), 2.1, view)
    assert any(isinstance(e, CallEnded) for e in effects)
    assert handed(effects)
    assert [call.arrival.number for call in board] == ["1003"]
    assert not board.calls._by_leg


def test_who_has_called_and_put_it_through_is_free() -> None:
    """For a queue; who was called is not."""
    board, view = board_with()
    board.handle(arrive("1001"), 0.0, view)
    board.handle(Answered(CHANNEL, LEG), 1.0, view)
    board.handle(Ended(CHANNEL, 16), 2.0, view)
    assert [board.usage.at(view, 3.0).engaged(n) for n in ("1001", "1009")] == [True, False]


@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_of_a_group_only_who_answered_has_a_call(control: str) -> None:
    """Its limit counts for that one alone, and it is the one of the record."""
    phones = [make("extension", number, call_limit=1) for number in ("1001", "1002")]
    group = make("group", "600", members=["1001", "1002"])
    board, view = board_with(group, *phones)
    board.calls.manner, one = Manner(control=control), ChannelId("1")
    effects = board.handle(arrive("600", "1", endpoint="1009"), 0.0, view)
    made = [e.leg for e in effects if isinstance(e, MakeLeg)]
    for number in "1001", "1002":
        leg = made[number == "1002"] if made else ChannelId(number)
        board.handle(LegDialed(one, leg, f"PJSIP/{number}-01"), 0.1, view)
        if control == "bridge":
            board.handle(LegEntered(leg), 0.1, view)
    busy = [board.usage.at(view, 0.5).calls_of(n) for n in ("1001", "1002")]
    assert busy == [1, 1]
    board.handle(Answered(one, leg), 1.0, view)
    busy = [board.usage.at(view, 1.0).calls_of(n) for n in ("1001", "1002")]
    assert busy == [0, 1]
    effects = [*board.handle(LegEnded(leg), 2.0, view), *board.handle(Ended(one), 2.0, view)]
    assert [e.reached for e in effects if isinstance(e, CallEnded)] == ["1002"]


@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_who_has_refused_is_free_for_others_while_the_rest_of_the_group_rings(control: str) -> None:
    """By all phones of his: his limit of one call is for the next one that comes."""
    phones = [make("extension", number, call_limit=1) for number in ("1001", "1002")]
    board, view = board_with(make("group", "600", members=["1001", "1002"]), *phones)
    board.calls.manner, one = Manner(control=control), ChannelId("1")
    effects = board.handle(arrive("600", "1", endpoint="1009"), 0.0, view)
    made = [e.leg for e in effects if isinstance(e, MakeLeg)] or [*map(ChannelId, "23")]
    more = [ChannelId("4")] if control == "handover" else []
    for leg, number in zip([*made, *more], ("1001", "1002", "1001"), strict=False):
        board.handle(LegDialed(one, leg, f"PJSIP/{number}-01"), 0.1, view)
        if control == "bridge":
            board.handle(LegEntered(leg), 0.1, view)
        board.handle(LegLives(one, leg, "RINGING"), 0.2, view)
    for leg in (made[0], *more):
        assert board.usage.at(view, 0.5).calls_of("1001") == 1
        board.handle(LegEnded(leg, 21), 0.5, view)
    assert [board.usage.at(view, 0.6).calls_of(n) for n in ("1001", "1002")] == [0, 1]
    effects = board.handle(arrive("1001", "9"), 1.0, view)
    assert any(isinstance(e, HandOver | MakeLeg) for e in effects)


@pytest.mark.parametrize(("endpoint", "calls"), [("pf-b", 0), ("", 0), ("1001", 1)])
def test_who_was_transferred_has_a_call_where_his_phone_is(endpoint: str, calls: int) -> None:
    """By a trunk, or put into a bridge, he stands for a call that counts for him there, as long as he is in it."""
    board, view = board_with(make("extension", "1001", call_limit=1))
    sent = replace(arrive("1002", "1", endpoint=endpoint), caller="1001", by="1009")
    assert handed(board.handle(sent, 0.0, view))
    assert board.usage.at(view, 1.0).calls_of("1001") == calls


def test_nobody_pays_by_a_caller_id() -> None:
    """Of a channel that is no endpoint's of ours, whoever it says it is."""
    line = make("trunk", "one", site="main", endpoint="p", nodes=["a"], patterns=["_0."])
    board, view = board_with(line, make("extension", "1009"))
    assert causes(board.handle(arrive("0301", "1", endpoint=""), 0.0, view)) == [21]
    assert handed(board.handle(arrive("1001", "2", endpoint=""), 1.0, view))


def test_a_service_takes_the_call_over() -> None:
    """Into the dialplan; a place that is not there is tried on the next node."""
    here = make("service", "*97", context="voicemail", exten="s", nodes=["a", "b"])
    board, view = board_with(here)
    effects = board.handle(arrive("*97"), 0.0, view)
    assert Lead(CHANNEL, "voicemail", "s") in effects
    after = board.handle(Returned(CHANNEL, "CHANUNAVAIL", 3), 0.1, view)
    assert handed(after) == [("*97", (Leg(B, "sip"),), 30)]
    board.handle(PeerHasCall(B, CallId("c17.1"), 2), 0.2, view)
    assert causes(board.handle(Returned(CHANNEL, "CHANUNAVAIL", 3), 0.2, view)) == [3]


def test_a_record_tells_every_try_and_what_came_of_it() -> None:
    """Whom it rang, when, how long, and who answered in the end."""
    phone = make("extension", "1001", forward_busy="1002")
    board, view = board_with(phone)
    board.handle(arrive("1001", wall_ms=5_000), 10.0, view)
    board.handle(Returned(CHANNEL, "BUSY", 17), 12.0, view)
    board.handle(Answered(CHANNEL), 15.0, view)
    (record,) = (e for e in board.handle(Ended(CHANNEL), 45.0, view) if isinstance(e, CallEnded))
    assert [(a.number, a.began, a.seconds, a.outcome) for a in record.attempts] == [
        ("1001", 0.0, 2.0, "busy"),
        ("1002", 2.0, 3.0, "answered"),
    ]
    assert (record.talked, record.seconds, record.reached) == (30.0, 35.0, "1002")
    assert (record.began_ms, record.control, record.outside) == (5_000, "handover", False)
    board.handle(arrive("1001"), 50.0, view)
    (given_up,) = (e for e in board.handle(Ended(CHANNEL), 53.0, view) if isinstance(e, CallEnded))
    assert given_up.attempts[-1].outcome == "given_up"
    assert not given_up.answered


def test_of_calls_that_are_over_nothing_is_kept() -> None:
    """What counts for limits and for bridges is bounded."""
    board, view = board_with(make("extension", "1001"))
    for i in range(500):
        channel = f"{i}.1"
        board.handle(arrive("1001", channel), i / 50, view)
        board.handle(Ended(ChannelId(channel)), i / 50 + 0.01, view)
    kept = [*vars(board).values(), *vars(board.usage).values()]
    assert max(len(one) for one in kept if hasattr(one, "__len__")) < 50


def test_of_a_leg_that_begins_when_its_call_is_given_up_nothing_is_kept() -> None:
    """Its end is told when nobody knows its call any more."""
    board, view = board_with(make("extension", "1001"))
    board.handle(arrive("1001", peer=B, note="beef/1/1"), 0.0, view)
    board.handle(PeerGaveUp(B, CallId("beef"), 1), 0.1, view)
    board.handle(LegDialed(CHANNEL, ChannelId("17.2"), "PJSIP/1001-1"), 0.1, view)
    board.handle(Ended(CHANNEL), 0.2, view)
    board.handle(LegEnded(ChannelId("17.2"), 16), 0.2, view)
    assert not any(len(one) for name, one in vars(board).items() if name.startswith("_by_"))


def test_who_asks_pays_for_himself_not_for_all_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits are counted as calls change: a busy node routes the next one as an idle one does."""
    items = (
        make("class", "few", pstn_calls=5),
        make("extension", "1001", call_limit=2),
        make("extension", "1002", calling_class="few"),
        make("queue", "700", members=["1003", "1004", "1005"]),
        make("site", "far", calls=1_000),
        make(
            "trunk", "t", site="main", endpoint="e", nodes=["a", "b"], patterns=["_0."], capacity=9
        ),
    )
    board, view = board_with(*items)
    view.sites = {C: "far"}
    for i in range(200):
        board.handle(arrive(f"100{3 + i % 3}", f"{i}.1"), i / 10, view)
        board.handle(Answered(ChannelId(f"{i}.1")), i / 10, view)
    looked, legs = Counter[str](), Call.__dict__["legs"].fget
    monkeypatch.setattr(Call, "legs", property(lambda c: looked.update([c.id]) or legs(c)))
    for n, number in enumerate(("1001", "0301", "700")):
        board.handle(arrive(number, f"9.{n}", endpoint="1002"), 30.0 + n, view)
    view.places = (C,)
    board.handle(arrive("1006", "9.9"), 40.0, view)
    board.tick(40.5, view)
    assert len(looked) < 10


def test_each_who_waits_is_looked_at_in_his_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred in a queue look each for himself, twice a second: nobody else need be looked at then."""
    board, view = board_with(make("queue", "700", members=["1003"]))
    for i in range(100):
        board.handle(arrive("700", f"{i}.1"), i / 200, view)
    told, handle = list[Event](), transitions.handle

    def telling(call: Call, event: Any, *more: Any) -> list[Effect]:
        told.append(event)
        return handle(call, event, *more)

    monkeypatch.setattr(transitions, "handle", telling)
    while (due := board.next_deadline()) < 1.5:
        board.tick(due, view)
    assert len(told) < 100 * 15  # not a hundred at each of two hundred moments


# --- who has sent it on


@pytest.mark.parametrize(
    ("fields", "returned", "at", "why"),
    [
        ({"forward_always": "1003"}, None, 0.0, "cfu"),
        ({"forward_busy": "1003"}, Returned(CHANNEL, "BUSY", 17), 0.1, "cfb"),
        ({"forward_no_answer": "1003"}, Returned(CHANNEL, "NOANSWER", 0), 30.0, "cfnr"),
        ({"forward_unreachable": "1003"}, Returned(CHANNEL, "CHANUNAVAIL", 20), 0.1, "unavailable"),
        ({}, Returned(CHANNEL, "CHANUNAVAIL", 0), 0.1, "deflection"),
    ],
)
def test_who_is_rung_sees_who_has_sent_the_call_on_and_why(
    fields: dict[str, str], returned: Returned | None, at: float, why: str
) -> None:
    """His phone, before it is rung, and his node, by the waybill."""
    view = View(A, trunks=("sip",), items=[make("extension", "1001", **fields)])
    board = Switchboard()
    effects = board.handle(ARRIVED, 0.0, view)
    assert not returned or told(effects) == [None]
    if why == "deflection":
        board.handle(Redirected(CHANNEL, ChannelId("17.2"), "1003"), 0.05, view)
    if returned:
        effects = board.handle(returned, at, view)
    (over,) = [e for e in effects if isinstance(e, HandOver)]
    assert over.diverted == Diverted("1001", why, 1)
    assert over.note.endswith(f"//1001.{why}")


def told(effects: list[Effect]) -> list[Diverted | None]:
    """By whom, as Asterisk is to say from then on; None: it says so already."""
    return [e.diverted for e in effects if isinstance(e, HandOver | Lead | Divert)]


def test_the_last_who_has_sent_it_on_is_shown_and_how_many_there_were() -> None:
    """1001 forwards to 1002, and that one to 1003."""
    items = [make("extension", f"100{i}", forward_always=f"100{i + 1}") for i in (1, 2)]
    effects = Switchboard().handle(ARRIVED, 0.0, View(A, items=items))
    assert told(effects) == [Diverted("1002", "cfu", 2)]


def test_what_a_peer_says_of_who_has_sent_it_on_is_shown_here() -> None:
    """Over IAX2 nothing else tells why."""
    arrived = replace(FROM_PEER, note="beef/1/1//////=4930.cfb")
    effects = Switchboard().handle(arrived, 0.0, View(A))
    assert told(effects) == [Diverted("+4930", "cfb", 1)]


@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_asterisk_is_told_once_by_whom(control: str) -> None:
    """Not before each try of the call, nor for each member of a group."""
    items = [
        make("extension", "1001", forward_always="600"),
        make("group", "600", members=["1002", "1003"], strategy="hunt"),
    ]
    board, view = Switchboard(Manner(control=control)), View(A, items=items)
    first = board.handle(ARRIVED, 0.0, view)
    if control == "handover":
        second = board.handle(Returned(CHANNEL, "NOANSWER", 0), 20.0, view)
        assert (told(first), told(second)) == ([Diverted("1001", "cfu")], [None])
        return
    assert told(first) == [Diverted("1001", "cfu")]
    (leg,) = [e.leg for e in first if isinstance(e, MakeLeg)]
    second = [*board.handle(LegEnded(leg, 17), 20.0, view)]
    assert [e for e in second if isinstance(e, MakeLeg)]
    assert told(second) == []


def test_a_service_is_told_each_time_who_has_forwarded_a_call_to_it() -> None:
    """That nobody has is told, too: his phone may say something else. Who comes back from there is forwarded by nobody."""
    service = make("service", "*97", context="voicemail", nodes=["a"])
    forwards = make("extension", "1001", forward_always="*97")
    board, view = board_with(service, forwards)
    assert told(board.handle(arrive("*97", "1"), 0.0, view)) == [None]
    assert told(board.handle(arrive("1001", "2"), 0.0, view)) == [Diverted("1001", "cfu")]
    back = board.handle(arrive("1002", "2"), 1.0, view)
    assert told(back) == [Diverted("", "", 0)]
    once_more = board.handle(Returned(ChannelId("2"), "CHANUNAVAIL", 20), 1.1, view)
    assert told(once_more) in ([], [None])


OUT: dict[str, Any] = {"site": "main", "endpoint": "p", "nodes": ["a"], "patterns": ["_0."]}


@pytest.mark.parametrize("control", ["handover", "bridge"])
@pytest.mark.parametrize(
    ("line", "outside", "by"),
    [
        ("+4930999", False, "+4930999"),
        ("+4930999", True, "+4930999"),
        ("", True, "+4930125"),
        ("", False, ""),
    ],
)
def test_the_outside_is_told_of_no_number_inside(
    line: str, outside: bool, by: str, control: str
) -> None:
    """Its line's own, or the inbound number that was called; else nothing."""
    items = [
        make("extension", "1001", forward_always="0170"),
        make("did", "+4930125", destination="1001"),
        make("trunk", "city", caller_id=line, **OUT),
    ]
    board, view = Switchboard(Manner(control=control)), View(A, items=items)
    number = "4930125" if outside else "1001"
    arrived = replace(ARRIVED, number=number, outside=outside, endpoint="" if outside else "1002")
    effects = board.handle(arrived, 0.0, view)
    assert [found.by.lstrip("+") for found in told(effects) if found] == [by.lstrip("+")]
    said = [e.diverted for e in effects if isinstance(e, MakeLeg)]
    assert [one.by for one in said if one] == ([by] if line and control == "bridge" else [])


def test_what_who_calls_out_says_himself_of_a_forward_stays_inside() -> None:
    """A provider hears of Diversion what we say, of a call that nobody has forwarded nothing; phones may see it."""
    board, view = board_with(make("trunk", "city", **OUT))
    assert told(board.handle(arrive("0170", "1"), 0.0, view)) == [Diverted("", "", 0)]
    assert told(board.handle(arrive("1001", "2"), 0.0, view)) == [None]


@pytest.mark.parametrize(("by", "shown"), [("=4930125", "+4930125"), ("1001", "")])
def test_a_peer_whose_line_it_is_tells_no_number_inside_either(by: str, shown: str) -> None:
    """Whatever the caller's node says."""
    did = make("did", "+4930125", destination="1001")
    trunk = make("trunk", "city", **OUT)
    view = View(A, items=[did, trunk])
    note = f"beef/1/1/city///o//{by}.cfu"
    arrived = replace(FROM_PEER, number="0170", note=note)
    found = told(Switchboard().handle(arrived, 0.0, view))
    assert [one.by for one in found if one] == [shown]


def test_the_node_with_the_line_hears_which_inbound_number_was_called() -> None:
    """Whom that number belongs to inside it need not know."""
    items = [
        make("extension", "1001", forward_always="0170"),
        make("did", "+4930125", destination="1001"),
        make("trunk", "city", **{**OUT, "nodes": ["b"]}),
    ]
    arrived = replace(ARRIVED, number="+4930125", outside=True, endpoint="")
    effects = Switchboard().handle(arrived, 0.0, View(A, items=items))
    (over,) = [e for e in effects if isinstance(e, HandOver)]
    assert over.note.endswith("/=4930125.cfu")
