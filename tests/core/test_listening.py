"""Who listens in on a call, told as stories: asked for, called, answered, connected, over. Times are seconds after the call."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from pbxfed_ari.core.calls.notebook import Noted
from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import (
    CallEnded,
    CallListener,
    Effect,
    HandOver,
    HangUp,
    Lead,
    Leg,
    Lend,
    Listened,
    MakeBridge,
    Note,
    Overhear,
    OverhearAfar,
    Reply,
)
from pbxfed_ari.core.events import (
    Answered,
    Arrived,
    CallEvent,
    ChannelsListed,
    EarEntered,
    Ended,
    LegDialed,
    LegEnded,
    LegEntered,
    ListenAsked,
    ListenerAnswered,
    Redirected,
    Returned,
    TalkFound,
)
from pbxfed_ari.core.names import ChannelId, NodeName
from pbxfed_ari.core.routing.waybill import Waybill, read
from tests.core.test_route import A, B, View, make

CALLER, LEG = ChannelId("17.1"), ChannelId("17.2")
WALL = 1_800_000_000_000
ARRIVED = Arrived(CALLER, "1001", "1002", "Ann", fresh_id="f00", wall_ms=WALL)


def name(what: str, heard_by: str = "nobody") -> ChannelId:
    return ChannelId(f"pbxfed-listen-f00-{heard_by}-1-{what}")


PHONE, CALL, EAR = name("phone"), name("call"), name("ear")
HIS = ChannelId("18.2")
OVER = (LegEnded(LEG, 16), Ended(CALLER, 16))
HE_IS_GONE = (Ended(PHONE, 16), LegEnded(HIS, 16), Ended(CALL, 16))
CALLED = Arrived(CALL, "1003", "1003", "", fresh_id="f01", wall_ms=WALL + 2_000)
ASKED = ListenAsked(7, "f00", "1003", "nobody", "1")


@dataclass
class Story:
    """A node where 1002 talks with 1001, who is at node b."""

    view: View = field(default_factory=lambda: View(B))
    board: Switchboard = field(default_factory=Switchboard)
    records: list[CallEnded] = field(default_factory=list)

    def at(self, now: float, *events: CallEvent) -> list[Effect]:
        """What is asked for, but for notes and records."""
        found = [e for event in events for e in self.board.handle(event, now, self.view)]
        self.records += [e for e in found if isinstance(e, CallEnded)]
        return [e for e in found if not isinstance(e, Note | CallEnded)]

    def listened(self, call: str = "f00") -> list[Listened]:
        """What the record of this call says."""
        (record,) = [one for one in self.records if one.call == call]
        return list(record.listened)


BY_IAX = ("iax2", "sip")


def talking(*, control: str = "handover", trunks: Sequence[str] = BY_IAX) -> Story:
    story = Story(View(B, trunks=trunks, items=[make("extension", "1001", control=control)]))
    if control == "bridge":
        story.at(0.0, ARRIVED)
        leg = ChannelId("pf-f00-1-0")
        story.at(1.0, LegEntered(leg), Answered(ChannelId(""), leg))
    else:
        story.at(0.0, ARRIVED, LegDialed(CALLER, LEG, "PJSIP/pf-b-1"))
        story.at(1.0, Answered(CALLER, LEG))
    return story


def listening() -> Story:
    """1003 listens in since second 4."""
    story = talking()
    story.at(2.0, ASKED, CALLED)
    story.at(3.0, LegDialed(CALL, HIS, "PJSIP/pf-b-2"))
    story.at(4.0, Answered(CALL, HIS), ListenerAnswered(PHONE), EarEntered(EAR))
    return story


def test_his_phone_is_called_and_then_he_hears_the_call() -> None:
    """What he is shown says whose; when he has answered, the command is."""
    story = talking()
    called = CallListener(PHONE, CALL, "1003", "Listening: 1002 - 1001")
    assert story.at(2.0, ASKED) == [called]
    (rung,) = story.at(2.1, CALLED)
    assert isinstance(rung, HandOver)
    assert rung.legs == (Leg(B, "iax2"),)
    bill = read(rung.note)
    assert bill is not None
    assert bill.listens
    story.at(3.0, LegDialed(CALL, HIS, "PJSIP/pf-b-2"))
    assert story.at(4.0, Answered(CALL, HIS)) == []
    assert story.at(4.0, ListenerAnswered(PHONE)) == [Overhear(PHONE, EAR, CALLER, "none")]
    reply = Reply(7, 201, {"call": "f00", "by": "1003", "heard_by": "nobody"})
    assert story.at(4.1, EarEntered(EAR)) == [Lend(PHONE, EAR), reply]


def test_the_record_says_who_listened_and_how_long() -> None:
    """If he hangs up first, and if the call ends first. The call to him has a record of its own, which says what it was."""
    story = listening()
    story.at(9.0, *HE_IS_GONE)
    story.at(12.0, *OVER)
    assert story.listened() == [Listened("1003", "nobody", 4.0, 5.0, channel=CALL)]
    assert [(one.call, one.listens_to) for one in story.records] == [("f01", "f00"), ("f00", "")]
    story = listening()
    assert story.at(12.0, *OVER) == [HangUp(PHONE, 16)]
    assert [(one.by, one.began, one.seconds) for one in story.listened()] == [("1003", 4.0, 8.0)]
    assert story.at(12.1, *HE_IS_GONE) == []
    assert len(story.board) == 0
    assert not story.board.calls.listening


@pytest.mark.parametrize(
    ("heard_by", "whisper"), [("caller", "out"), ("called", "in"), ("both", "both")]
)
@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_who_shall_hears_him(heard_by: str, whisper: str, control: str) -> None:
    """All by the caller's channel; if he has gone, by a transfer, by that of who was called."""
    story = talking(control=control)
    phone, call = name("phone", heard_by), name("call", heard_by)
    story.at(2.0, ListenAsked(7, "f00", "1003", heard_by, "1"), Arrived(call, "1003", "1003", ""))
    heard = Overhear(phone, name("ear", heard_by), CALLER, whisper)
    assert story.at(3.0, ListenerAnswered(phone)) == [heard]
    if control == "handover":
        story.at(4.0, Ended(CALLER, 16))
        story.at(5.0, ListenAsked(8, "f00", "1003", heard_by, "2"))
        other = {"in": "out", "out": "in"}.get(whisper, whisper)
        (heard,) = story.at(6.0, ListenerAnswered(ChannelId(f"{phone[:-7]}2-phone")))  # type: ignore[assignment]
        assert (heard.heard, heard.whisper) == (LEG, other)


BY_SIP = ("sip", "iax2")


def test_a_call_that_was_handed_over_to_a_peer_by_sip_is_heard_there() -> None:
    """Where it may be translated, numbers of packets must not jump. If its caller goes out of it, by a transfer, it ends."""
    story = talking(trunks=BY_SIP)
    story.at(2.0, ASKED, CALLED)
    story.at(3.0, LegDialed(CALL, HIS, "PJSIP/pf-b-2"))
    story.at(4.0, Answered(CALL, HIS))
    (trunk,) = story.at(4.0, ListenerAnswered(PHONE))
    assert isinstance(trunk, OverhearAfar)
    assert (trunk.channel, trunk.ear, trunk.peer, trunk.heard_by) == (PHONE, EAR, B, "nobody")
    assert read(trunk.note) == Waybill("f00", ear=True)
    reply = Reply(7, 201, {"call": "f00", "by": "1003", "heard_by": "nobody"})
    assert story.at(4.1, EarEntered(EAR)) == [Lend(PHONE, EAR), reply]
    assert story.at(9.0, Ended(CALLER, 16)) == [HangUp(PHONE, 16)]
    story.at(9.1, *HE_IS_GONE, LegEnded(LEG, 16))
    assert [(one.by, one.seconds) for one in story.listened()] == [("1003", 5.0)]


def test_a_peer_that_does_not_know_the_call_is_not_waited_for() -> None:
    """Nor one of another release, to which that is a number of nobody."""
    story = talking(trunks=BY_SIP)
    story.at(3.0, ASKED, CALLED, ListenerAnswered(PHONE))
    assert story.at(3.1, Ended(EAR, 3)) == [HangUp(PHONE, 16)]
    assert story.at(3.2, Ended(PHONE, 16)) == [Reply(7, 409, error="the call has just ended")]


def at_peer(control: str = "handover") -> Story:
    """Where 1003 talks with who called b."""
    story = Story(View(A, items=[make("extension", "1003", control=control)]))
    note = str(Waybill("beef"))
    story.at(0.0, Arrived(CALLER, "1003", "1002", "", B, note, "f00", wall_ms=WALL))
    if control == "bridge":
        leg = ChannelId("pf-beef.f00-1-0")
        story.at(1.0, LegEntered(leg), Answered(ChannelId(""), leg))
    else:
        story.at(1.0, LegDialed(CALLER, LEG, "PJSIP/1003-1"), Answered(CALLER, LEG))
    return story


def comes(call: str = "beef", heard_by: str = "called", peer: NodeName = B) -> Arrived:
    note = str(Waybill(call, ear=True))
    return Arrived(ChannelId("19.1"), heard_by, "", "", peer, note, "f02", wall_ms=WALL + 4_000)


@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_who_listens_at_the_peer_waits_there_and_hears(control: str) -> None:
    """By its caller's channel. From then on nothing of it needs that node's daemon, and it tells of nothing."""
    story, trunk = at_peer(control), ChannelId("19.1")
    ear = ChannelId("pbxfed-listen-beef.f00-called-f02-ear")
    assert story.at(4.0, comes()) == [Lead(trunk, "pbxfed-listen", "far")]
    assert story.at(4.1, ListenerAnswered(trunk)) == [Overhear(trunk, ear, CALLER, "in")]
    assert story.at(4.2, EarEntered(ear)) == [Lend(trunk, ear)]
    assert not story.board.calls.listening
    assert HangUp(trunk, 16) not in story.at(9.0, *OVER)
    assert len(story.board) <= 1
    assert [one.listened for one in story.records] in ([()], [])


def test_he_may_come_before_the_answer_is_known_there() -> None:
    """It was heard of at the peer at once; here Asterisk's events wait for one another."""
    story, trunk = Story(View(A)), ChannelId("19.1")
    note = str(Waybill("beef"))
    story.at(0.0, Arrived(CALLER, "1003", "1002", "", B, note, "f00", wall_ms=WALL))
    assert story.at(1.0, comes()) == [Lead(trunk, "pbxfed-listen", "far")]
    story.at(1.1, LegDialed(CALLER, LEG, "PJSIP/1003-1"), Answered(CALLER, LEG))
    (heard,) = story.at(1.2, ListenerAnswered(trunk))
    assert isinstance(heard, Overhear)


def test_nobody_listens_at_the_peer_where_there_is_nothing_to_hear() -> None:
    """Nor if the call has not come from whom he comes from; what ends too early ends for him."""
    trunk = ChannelId("19.1")
    for one in comes("cafe"), comes(peer=NodeName("c")), comes(heard_by="1003"):
        assert at_peer().at(4.0, one) == [HangUp(trunk, 27)]
    story = at_peer()
    story.at(4.0, comes())
    assert HangUp(trunk, 16) in story.at(4.1, *OVER)
    assert story.at(4.2, Ended(trunk, 16)) == []
    assert not story.board.calls.listening


def test_what_is_refused_says_why() -> None:
    """Nothing is called then."""

    def refused(story: Story, event: ListenAsked = ASKED) -> tuple[int, str]:
        (reply,) = story.at(2.0, event)
        assert isinstance(reply, Reply)
        return reply.status, reply.error

    story = Story()
    assert refused(story)[0] == 404
    story.at(0.0, ARRIVED)
    assert refused(story) == (409, "nobody talks in call f00 now")
    story = talking()
    assert refused(story, ListenAsked(7, "f00", "7777", "nobody", "1")) == (
        422,
        "7777: no such extension",
    )
    story = listening()
    again = ListenAsked(8, "f01", "1004", "nobody", "2")
    assert refused(story, again) == (409, "call f01 is to one who listens in himself")
    story = Story(View(A))
    story.at(0.0, Arrived(CALLER, "1001", "1002", "", B, "beef/1/1", "f00", wall_ms=WALL))
    story.at(1.0, Answered(CALLER, LEG))
    said = "call beef came to b first, which keeps its record: ask there"
    assert refused(story, ListenAsked(7, "beef", "1003", "nobody", "1")) == (409, said)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"dnd": True}, "1003: do not disturb"),
        ({"forward_busy": "1004", "dnd": True}, "1003: do not disturb"),
    ],
)
def test_his_own_settings_hold_but_for_forwards(fields: dict[str, object], why: str) -> None:
    """He listens himself, or nobody does."""
    story = talking()
    story.view = View(B, items=[make("extension", "1003", **fields)])
    story.at(2.0, ASKED)
    assert story.at(2.1, CALLED) == [HangUp(CALL, 17)]
    assert story.at(2.2, Ended(PHONE, 17)) == [Reply(7, 409, error=why)]


def test_who_forwards_all_calls_is_rung_himself() -> None:
    """So is who has a group of that number, or a short one, or stands at a node that is being drained."""
    story = talking()
    story.view = View(B, items=[make("extension", "1003", forward_always="1004")])
    story.at(2.0, ASKED)
    (rung,) = story.at(2.1, CALLED)
    assert isinstance(rung, HandOver)
    assert (rung.extension, rung.legs) == ("1003", (Leg(B, "sip"),))


def test_a_phone_that_sends_its_calls_elsewhere_is_not_obeyed() -> None:
    """SIP 302: somebody else would listen."""
    story = talking()
    story.at(2.0, ASKED, CALLED)
    story.at(3.0, LegDialed(CALL, HIS, "PJSIP/pf-b-2"), Redirected(CALL, HIS, "1004"))
    handed = [e for e in story.at(3.5, Returned(CALL, "BUSY", 17)) if isinstance(e, HandOver)]
    assert [one.extension for one in handed if one.extension != "1003"] == []
    assert story.at(4.0, Ended(PHONE, 17)) == [Reply(7, 409, error="1003 is busy")]


@pytest.mark.parametrize(
    ("status", "cause", "said"),
    [("BUSY", 17, "1003 is busy"), ("NOANSWER", 19, "1003 does not answer")],
)
def test_who_does_not_answer_is_told_of(status: str, cause: int, said: str) -> None:
    """What came of it is what the command says."""
    story = talking()
    story.at(2.0, ASKED, CALLED)
    story.at(3.0, LegDialed(CALL, HIS, "PJSIP/pf-b-2"))
    story.at(32.5, Returned(CALL, status, cause))
    assert story.at(33.0, Ended(PHONE, cause)) == [Reply(7, 409, error=said)]
    story.at(34.0, Ended(CALL, cause), *OVER)
    assert story.listened() == []


def test_what_asterisk_declines_ends_it() -> None:
    """His phone cannot be called; or there is nothing to hear any more, when he has answered."""
    story = talking()
    story.at(2.0, ASKED)
    why = "Asterisk could not do it: see the daemon's log"
    assert story.at(2.1, Ended(PHONE, 38)) == [Reply(7, 409, error=why)]
    story.at(3.0, ASKED, CALLED, ListenerAnswered(PHONE))
    assert story.at(3.1, Ended(EAR, 38)) == [HangUp(PHONE, 16)]
    assert story.at(3.2, Ended(PHONE, 16)) == [Reply(7, 409, error="the call has just ended")]


def test_who_has_gone_before_his_call_came_and_while_nobody_looked_is_told_of() -> None:
    """Or whoever has asked would wait for ever, and each event would be held against him."""
    story = talking()
    story.at(2.0, ASKED)
    talk = frozenset({CALLER, LEG})
    assert story.at(3.0, ChannelsListed(talk | {PHONE}, (), WALL + 3_000)) == []
    why = "Asterisk could not do it: see the daemon's log"
    assert story.at(9.0, ChannelsListed(talk, (), WALL + 9_000)) == [Reply(7, 409, error=why)]
    assert not story.board.calls.listening


def test_a_call_that_ends_while_his_phone_rings_ends_that() -> None:
    """Once. What comes late finds nobody."""
    story = talking()
    story.at(2.0, ASKED, CALLED)
    assert story.at(3.0, *OVER) == [HangUp(PHONE, 16)]
    assert story.at(3.1, ListenerAnswered(PHONE)) == []
    assert story.at(3.2, Ended(PHONE, 16)) == [Reply(7, 409, error="the call is over")]
    assert story.at(3.3, EarEntered(EAR)) == [HangUp(EAR, 16)]


def test_he_goes_on_listening_if_the_daemon_is_killed() -> None:
    """The note of the call says that he does; found again, the record tells until when."""
    first = listening()
    fresh, _ = first.board.notebook.new(6.0)
    story = restarted(fresh)
    talks = frozenset({CALLER, LEG, CALL, PHONE, EAR, HIS})
    story.at(0.0, ChannelsListed(talks, (), WALL + 8_000))
    story.at(0.1, found(ARRIVED), found(CALLED))
    story.at(2.0, Ended(CALL, 16))  # ten seconds after the call came
    story.at(5.0, Ended(CALLER, 16))
    (listened,) = story.listened()
    assert (listened.by, listened.began, listened.goes_on) == ("1003", 4.0, False)
    assert listened.seconds == pytest.approx(6.0, abs=0.2)


@pytest.mark.parametrize("left", [{CALLER, LEG}, set()], ids=["they talk on", "all is over"])
def test_who_has_ceased_while_nobody_looked_has_done_so_by_then(left: set[ChannelId]) -> None:
    """At the latest: when the daemon is back, or when it has seen the call last."""
    fresh, _ = listening().board.notebook.new(6.0)
    story = restarted(fresh)
    story.at(0.0, ChannelsListed(frozenset(left), (), WALL + 8_000))
    if left:
        story.at(0.1, found(ARRIVED))
        story.at(5.0, Ended(CALLER, 16))
    (listened,) = story.listened()
    assert not listened.goes_on
    assert listened.seconds == pytest.approx(4.0 if left else 2.0)


def restarted(notes: list[Noted]) -> Story:
    """The daemon is back, and finds these, of second 6."""
    return Story(board=Switchboard(before=notes, seen_ms=WALL + 6_000))


def found(arrived: Arrived) -> TalkFound:
    return TalkFound(arrived, f"{arrived.fresh_id}/1/1", None, WALL + 8_000)


@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_at_a_peer_what_he_says_keeps_its_order(control: str) -> None:
    """It is translated where he listens, and Asterisk falls silent when the numbers of packets jump back."""
    for steady in True, False:
        story = Story(View(A, items=[make("extension", "1003", control=control)]))
        note = str(Waybill("beef", listens=steady))
        made = story.at(0.0, Arrived(CALLER, "1003", "1003", "", B, note, "f00", wall_ms=WALL))
        bridges = [one.steady for one in made if isinstance(one, MakeBridge)]
        assert bridges == ([steady] if steady or control == "bridge" else [])


def test_who_listens_in_is_not_rescued() -> None:
    """What he would hear meanwhile, they would hear, too."""
    story = listening()
    call = story.board.calls.began_by(CALL)
    assert call is not None
    assert call.rescue_seconds == 0


def test_who_has_put_his_listening_through_to_another_has_no_call_any_more() -> None:
    """By an attended transfer: the call to him goes on without his phone, whose extension may have one call only."""
    story = talking()
    story.view = View(A, items=[make("extension", "1003", call_limit=1)])
    story.at(2.0, ASKED, CALLED)
    story.at(3.0, LegDialed(CALL, HIS, "PJSIP/1003-2"))
    story.at(4.0, Answered(CALL, HIS), ListenerAnswered(PHONE), EarEntered(EAR))
    assert story.board.lines(4.0, story.view).calls_of("1003") == 1
    story.at(5.0, LegEnded(HIS, 16))
    assert len(story.board) == 2
    assert story.board.lines(5.0, story.view).calls_of("1003") == 0
