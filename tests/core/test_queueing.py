"""Queues: callers wait in the order in which they came, members are rung as they have time, and who waits too long goes on."""

from typing import Any

from pbxfed_ari.core.calls.call import FIRST, LAST, Phase
from pbxfed_ari.core.calls.calls import Manner
from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import (
    Abandon,
    CallEnded,
    Effect,
    HandOver,
    HangUp,
    HangUpLeg,
    Hold,
    Leg,
    SendTo,
    Tell,
)
from pbxfed_ari.core.events import (
    Answered,
    Arrived,
    Ended,
    LegDialed,
    LegEnded,
    PeerHasCall,
    PeerLostCalls,
    Returned,
    RingFound,
    RoomsLed,
)
from pbxfed_ari.core.names import CallId, ChannelId, NodeName
from pbxfed_ari.core.routing.waybill import parent, read
from tests.core.test_rooms import way
from tests.core.test_route import A, B, C, View, ask, make


def queue(**more: Any) -> Any:
    return make("queue", "700", members=["1001", "1002"], **more)


class Desk:
    """A switchboard at node a, where the queue stands; the phones of all members are at b."""

    def __init__(self, *more: Any, at: NodeName = B, **fields: Any) -> None:
        self.view = View(at, items=[queue(**fields), *more], trunks=("sip",))
        self.view.standing = [A]
        self.board, self.now = Switchboard(), 100.0

    def call(self, channel: str, **more: Any) -> list[Effect]:
        arrived = Arrived(
            ChannelId(channel),
            "700",
            f"200{channel}",
            "",
            fresh_id=f"f{channel}",
            wall_ms=1,
            **more,
        )
        return self.board.handle(arrived, self.now, self.view)  # fmt: skip

    def back(self, channel: str, status: str) -> list[Effect]:
        return self.board.handle(Returned(ChannelId(channel), status, 17), self.now, self.view)

    def answered(self, channel: str) -> None:
        leg = ChannelId(f"leg{channel}")
        self.board.handle(LegDialed(ChannelId(channel), leg, "PJSIP/pf-b-1"), self.now, self.view)
        self.board.handle(Answered(ChannelId(channel), leg), self.now, self.view)

    def ended(self, channel: str) -> list[Effect]:
        self.board.handle(LegEnded(ChannelId(f"leg{channel}"), 16), self.now, self.view)
        return self.board.handle(Ended(ChannelId(channel)), self.now, self.view)

    def after(self, seconds: float) -> list[Effect]:
        """What is done until then."""
        effects: list[Effect] = []
        end = self.now + seconds
        while (due := self.board.next_deadline()) <= end:
            self.now = max(self.now, due)
            effects += self.board.tick(self.now, self.view)
        self.now = end
        return effects


def rung(effects: list[Effect]) -> list[tuple[str, list[str]]]:
    """Who is rung for whom."""
    return [
        (str(e.channel), [leg.number for leg in e.legs if isinstance(leg, Leg)])
        for e in effects
        if isinstance(e, HandOver)
    ]


def held(effects: list[Effect]) -> list[tuple[str, str]]:
    return [(str(e.channel), e.music) for e in effects if isinstance(e, Hold)]


def test_a_queue_stands_where_a_room_would() -> None:
    """It begins at its home, and is found where it stands; the way onward is known to all."""
    view = View(B, items=[queue(otherwise="1003")], trunks=("sip",))
    assert way(ask("700", view))[0] == "b"
    view.standing = [A]
    found = ask("700", view)
    assert found.tries[0].queue == "700"
    assert [one.to for one in found.onward] == ["1003", "1003"]
    assert ask("700", view, peer=B).tries[0].queue == "700"


def test_callers_are_answered_and_each_rings_who_is_free() -> None:
    """The third waits; nobody is rung twice at once."""
    desk = Desk()
    first = desk.call("1")
    assert (held(first), rung(first)) == ([("1", "default")], [("1", ["1001"])])
    assert [e.music for e in first if isinstance(e, HandOver)] == ["default"]
    assert rung(desk.call("2")) == [("2", ["1002"])]
    third = desk.call("3")
    assert (held(third), rung(third)) == ([("3", "default")], [])
    assert [call.phase.value for call in desk.board] == ["dialing", "dialing", "waiting"]
    assert desk.board.callers("700") == 3


def test_who_came_first_is_served_first() -> None:
    """Though who came later looks earlier."""
    desk = Desk()
    desk.call("1")
    desk.answered("1")
    desk.call("2")
    desk.answered("2")
    desk.now += 10
    desk.call("3")
    desk.now += 0.1
    desk.call("4")
    desk.ended("1")
    assert rung(desk.call("5")) == []
    assert rung(desk.after(1.0)) == [("3", ["1001"])]
    desk.ended("2")
    assert rung(desk.after(1.0)) == [("4", ["1002"])]


def test_members_are_rung_by_dial_in_bridge_mode_too() -> None:
    """Who waits hears music, which a bridge of ours would end."""
    desk = Desk()
    desk.board.calls.manner = Manner(control="bridge")
    assert rung(desk.call("1")) == [("1", ["1001"])]


def test_who_is_sent_on_to_a_queue_stands_behind_who_waits_there() -> None:
    """However long he has been let ring before: his place is of when his call came to the queue."""
    desk = Desk(make("group", "600", members=["1004"], overflow="700"))
    comes = Arrived(ChannelId("0"), "600", "2000", "", fresh_id="f0", wall_ms=1)
    assert rung(desk.board.handle(comes, desk.now, desk.view)) == [("0", ["1004"])]
    for channel in "12":
        desk.call(channel)
        desk.answered(channel)
    desk.now += 10
    desk.call("3")
    desk.ended("1")
    late = desk.back("0", "BUSY")
    assert (held(late), rung(late)) == ([("0", "default")], [])
    assert rung(desk.after(1.0)) == [("3", ["1001"])]
    desk.ended("2")
    assert rung(desk.after(1.0)) == [("0", ["1002"])]


def test_who_waits_keeps_his_place_while_we_are_deaf() -> None:
    """He stands where he stood when we hear our Asterisk again, and is not let hear anything anew."""
    desk = Desk()
    for caller in "1", "2", "3", "4":
        desk.call(caller)
    desk.answered("1")
    desk.answered("2")
    desk.now += 10
    assert desk.call("3", again=True) == []
    desk.ended("1")
    assert rung(desk.after(1.0)) == [("3", ["1001"])]


def test_who_is_rung_for_while_the_daemon_is_away_waits_on() -> None:
    """The member had no time; his queue is that of the number where he stands."""
    desk = Desk(music="jazz")
    came = Arrived(ChannelId("1"), "700", "2001", "", endpoint="2001", wall_ms=1_000_000)
    desk.board.handle(RingFound(came, "beef/1/2", 1_010_000), desk.now, desk.view)
    waits = desk.back("1", "BUSY")
    assert (rung(waits), held(waits)) == ([("1", ["1001"])], [("1", "jazz")])


def test_a_peers_caller_who_waits_on_keeps_his_calls_id_whatever_asterisk_calls_its_channels() -> (
    None
):
    """With a `systemname` in asterisk.conf there is a dash in their ids, which no waybill may hold."""
    desk, channel = Desk(at=C), ChannelId("pbx-17.1")
    came = Arrived(channel, "700", "2001", "", peer=B, note="beef/1/1", wall_ms=1)
    desk.board.handle(RingFound(came, "beef/1/1", 1), desk.now, desk.view)
    rings = desk.board.handle(Returned(channel, "BUSY", 17), desk.now, desk.view)
    (handed,) = (e for e in rings if isinstance(e, HandOver))
    told = read(handed.note)
    assert told is not None
    assert parent(told.call) == "beef"


def test_a_peers_caller_waits_on_though_his_queue_stands_elsewhere_since_the_daemon_was_away() -> (
    None
):
    """He is answered: his own node would hang him up, and not send him there. So if this node is drained."""
    for drained in False, True:
        desk = Desk(at=C)
        desk.view.standing, desk.view.leaving = [C], drained
        sent: dict[str, Any] = {"peer": B, "note": "beef/1/1"}
        assert rung(desk.call("1", again=True, **sent)) == [("1", ["1001"])]
        came = Arrived(ChannelId("2"), "700", "2002", "", wall_ms=1, **sent)
        desk.board.handle(RingFound(came, "beef/1/1", 1), desk.now, desk.view)
        assert rung(desk.back("2", "BUSY")) == [("2", ["1002"])]
        assert [e.cause for e in desk.call("3", **sent) if isinstance(e, HangUp)] == [27]


def test_a_busy_member_is_passed_over_and_left_alone_for_a_while() -> None:
    """His phone says so; the next is rung at once, he again when he has rested."""
    desk = Desk()
    desk.call("1")
    assert rung(desk.back("1", "BUSY")) == [("1", ["1002"])]
    waiting = desk.back("1", "BUSY")
    assert (rung(waiting), held(waiting)) == ([], [("1", "default")])
    assert not any(isinstance(e, HangUp) for e in waiting)
    assert rung(desk.after(4.0)) == []
    assert rung(desk.after(2.0)) == [("1", ["1001"])]


def test_who_did_not_answer_is_left_alone_before_his_phone_rings_again() -> None:
    """However short it rings: from its last ring on, by the caller who waits and by others. The next member rings meanwhile."""
    desk = Desk(ring_seconds=5, retry_seconds=20)
    desk.call("1")
    desk.now += 5.0
    assert rung(desk.back("1", "NOANSWER")) == [("1", ["1002"])]
    desk.now += 5.0
    assert rung(desk.back("1", "NOANSWER")) == []
    assert rung(desk.call("2")) == []
    assert rung(desk.after(14.9)) == []
    assert rung(desk.after(1.0)) == [("1", ["1001"])]
    alone = Desk(strategy="all", ring_seconds=5)
    alone.call("1")
    alone.now += 5.0
    assert rung(alone.back("1", "NOANSWER")) == []
    assert rung(alone.after(4.5)) == []
    assert rung(alone.after(1.0)) == [("1", ["1001", "1002"])]


def test_so_is_who_did_not_answer_the_last_time_that_a_caller_had_time_for() -> None:
    """The next caller does not ring him at once."""
    desk = Desk(strategy="all", ring_seconds=15, retry_seconds=5, wait_seconds=14)
    desk.call("1")
    desk.now += 10.0
    assert rung(desk.call("2")) == []
    desk.now += 5.0
    assert [e.cause for e in desk.back("1", "NOANSWER") if isinstance(e, HangUp)] == [19]
    assert rung(desk.after(4.0)) == []
    assert rung(desk.after(2.0)) == [("2", ["1001", "1002"])]


def test_whose_phone_was_silenced_by_the_caller_or_by_another_member_may_ring_at_once() -> None:
    """He was not asked too little time ago: who called has gone, or was answered elsewhere."""
    desk = Desk(ring_seconds=60)
    desk.call("1")
    desk.now += 1.0
    desk.board.handle(Ended(ChannelId("1")), desk.now, desk.view)
    assert rung(desk.call("2")) == [("2", ["1002"])]
    assert rung(desk.call("3")) == [("3", ["1001"])]


def test_a_member_at_another_node_who_has_transferred_is_free_and_who_talks_instead_is_not() -> (
    None
):
    """His node tells, of the try that he has answered. The trunk leads there as before: its Asterisk's death ends the call."""
    desk = Desk()
    for caller, talking, free in ("1", "1002", ["1001"]), ("2", "?", ["1001"]):
        desk.call(caller)
        desk.answered(caller)
        late = PeerHasCall(B, CallId(f"f{caller}"), 2, talking)
        other = PeerHasCall(C, CallId(f"f{caller}"), 1, talking)
        for moved in late, other, PeerHasCall(B, CallId(f"f{caller}"), 1, talking):
            known = desk.board.usage.at(desk.view, desk.now)
            assert known.engaged("1001")
            desk.board.handle(moved, desk.now, desk.view)
        known = desk.board.usage.at(desk.view, desk.now)
        assert [n for n in ("1001", "1002") if not known.engaged(n)] == free
        assert desk.board.talks_with() == {B}
    assert rung(desk.call("3")) == [("3", ["1001"])]
    lost = desk.board.handle(PeerLostCalls(B), desk.now, desk.view)
    assert [e.leg for e in lost if isinstance(e, HangUpLeg)] == ["leg1", "leg2"]


def test_members_are_rung_in_turn_in_order_or_together() -> None:
    """As the strategy says."""
    desk = Desk()
    desk.call("1")
    desk.answered("1")
    desk.ended("1")
    desk.now += 10
    assert rung(desk.call("2")) == [("2", ["1002"])]
    hunt = Desk(strategy="hunt")
    hunt.call("1")
    hunt.answered("1")
    hunt.ended("1")
    hunt.now += 10
    assert rung(hunt.call("2")) == [("2", ["1001"])]
    assert rung(Desk(strategy="all").call("1")) == [("1", ["1001", "1002"])]


def test_who_waits_too_long_goes_on_or_is_told() -> None:
    """The music goes on where he is rung for; without a way he is hung up."""
    silent = (make("extension", "1001", dnd=True), make("extension", "1002", dnd=True))
    desk = Desk(*silent, wait_seconds=60, otherwise="1003")
    assert rung(desk.call("1")) == []
    assert desk.after(59.0) == []
    later = desk.after(2.0)
    assert held(later) == [("1", "")]
    assert [(e.extension, e.music) for e in later if isinstance(e, HandOver)] == [
        ("1003", "default")
    ]
    told = [e.event for e in later if isinstance(e, Tell)]
    assert [set(e.numbers) for e in told if isinstance(e, RoomsLed)] == [set()]
    alone = Desk(*silent, wait_seconds=60)
    alone.call("1")
    assert [e.cause for e in alone.after(61.0) if isinstance(e, HangUp)] == [19]


def test_a_peers_caller_goes_on_from_here_and_no_further_than_three_trunks() -> None:
    """He is answered, so his own node cannot look for another way; he pays for nothing."""
    silent = (make("extension", "1001", dnd=True), make("extension", "1002", dnd=True))
    desk = Desk(*silent, wait_seconds=60, otherwise="1003")
    desk.call("1", peer=B, note="beef/1/1")
    later = desk.after(61.0)
    assert [(e.legs, e.note.split("/")[:3]) for e in later if isinstance(e, HandOver)] == [
        ((Leg(B, "sip"),), ["beef.f1", "2", "1"])
    ]
    far = Desk(*silent, wait_seconds=60, otherwise="1003")
    far.call("1", peer=B, note="beef/3/1")
    assert [e.cause for e in far.after(61.0) if isinstance(e, HangUp)] == [19]
    line = make("trunk", "city", site="main", endpoint="p", nodes=["a"], patterns=["_0."])
    paid = Desk(*silent, line, wait_seconds=60, otherwise="0123")
    paid.call("1", endpoint="1009")
    assert [e.cause for e in paid.after(61.0) if isinstance(e, HangUp)] == [19]


def test_a_call_that_was_taken_is_one_call_in_the_records() -> None:
    """With all who were rung; who hangs up while he waits was not answered."""
    desk = Desk()
    desk.call("1")
    desk.now += 15
    desk.back("1", "NOANSWER")
    desk.answered("1")
    desk.now += 30
    (record,) = [e for e in desk.ended("1") if isinstance(e, CallEnded)]
    assert (record.answered, record.number, record.tries, record.talked) == (True, "700", 2, 30.0)
    assert [a.outcome for a in record.attempts] == ["no_answer", "answered"]
    desk.call("2")
    desk.call("3")
    desk.call("4")
    (gone,) = [e for e in desk.ended("4") if isinstance(e, CallEnded)]
    assert not gone.answered


def test_a_queue_that_is_removed_lets_its_callers_go() -> None:
    """Within a moment."""
    desk = Desk(make("extension", "1001", dnd=True), make("extension", "1002", dnd=True))
    desk.call("1")
    del desk.view.items["number", "700"]
    assert [e.cause for e in desk.after(1.0) if isinstance(e, HangUp)] == [19]


def test_a_peers_caller_who_waits_is_not_told_of_again() -> None:
    """He is answered: when a member is rung for him, much later, his node needs no word of it."""
    desk = Desk(at=A, wait_seconds=0)
    desk.view.places = ()
    desk.call("1", peer=B, note="f00/1/1", endpoint="pf-b")
    desk.after(300.0)
    desk.view.places = (A,)
    assert [e for e in desk.after(10.0) if isinstance(e, SendTo)] == []
    assert [call.phase for call in desk.board] == [Phase.DIALING]


def test_the_record_of_who_is_rung_for_all_day_keeps_the_first_tries_and_the_last() -> None:
    """Nobody reads seven hundred, and no memory holds them: it tells how many are left out. Each has a number of its own."""
    desk = Desk(wait_seconds=0)
    said = [e.note for e in desk.call("1") if isinstance(e, HandOver)]
    for _ in range(699):
        desk.after(30.0)
        said += [e.note for e in desk.back("1", "BUSY") if isinstance(e, HandOver)]
    bills = [bill for one in said if (bill := read(one))]
    assert [bill.attempt for bill in bills] == list(range(1, 701))
    (call,) = desk.board
    assert len(call.tried) == len(call.history) == FIRST + LAST
    (record,) = [e for e in desk.ended("1") if isinstance(e, CallEnded)]
    assert (record.tries, record.left_out) == (700, 700 - FIRST - LAST)
    began = [round(one.began / 30.0) for one in record.attempts]
    assert began == [*range(FIRST), *range(700 - LAST, 700)]
    assert [one.outcome for one in record.attempts[:-1]] == ["busy"] * (FIRST + LAST - 1)


def test_a_member_whose_node_is_silent_by_one_trunk_is_rung_by_the_other() -> None:
    """SIP to b is blocked: for this caller its phones are called by IAX2 from then on; by SIP again if that is silent, too."""
    desk = Desk(wait_seconds=60)
    desk.view.kinds = ("sip", "iax2")
    leg, kinds = ChannelId("leg"), []
    effects = desk.call("1")
    for trunk in ("sip", "iax2", "sip"):
        (handed,) = [e for e in effects if isinstance(e, HandOver)]
        kinds += [one.trunk for one in handed.legs if isinstance(one, Leg)]
        name = f"{'PJSIP' if trunk == 'sip' else 'IAX2'}/pf-b-1"
        desk.board.handle(LegDialed(ChannelId("1"), leg, name), desk.now, desk.view)
        assert Abandon(leg) in desk.after(3.0)
        effects = [*desk.back("1", "CHANUNAVAIL"), *desk.after(6.0)]
    assert kinds == ["sip", "iax2", "sip"]


def test_a_member_whose_node_was_silent_is_waited_for_less_long_by_the_other_trunk() -> None:
    """Others wait behind this caller; and by the first trunk, when that has its turn again, as long as ever."""
    desk = Desk(wait_seconds=60)
    desk.view.kinds = ("sip", "iax2")
    leg, waits = ChannelId("leg"), []
    desk.call("1")
    for name in "PJSIP/pf-b-1", "IAX2/pf-b-1", "PJSIP/pf-b-2":
        began = desk.now
        desk.board.handle(LegDialed(ChannelId("1"), leg, name), desk.now, desk.view)
        while Abandon(leg) not in desk.after(0.1):
            assert desk.now < began + 5.0
        waits.append(round(desk.now - began, 1))
        desk.back("1", "CHANUNAVAIL")
        desk.after(6.0)
    assert waits[1] < 1.0 < min(waits[0], waits[2])
