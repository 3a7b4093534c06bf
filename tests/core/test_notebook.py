"""Calls that end while their daemon is away, told as two lives: what the first has written down, the second finds."""

from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from pbxfed_ari.core.calls.notebook import Noted
from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import CallEnded, Effect, HandOver, HangUp, Leg, MakeLeg
from pbxfed_ari.core.events import (
    Answered,
    Arrived,
    BridgeSeen,
    CallEvent,
    CameIn,
    ChannelsListed,
    Ended,
    LegDialed,
    LegEnded,
    LegEntered,
    LegLives,
    LegSeen,
    PeerGaveUp,
    Redirected,
    Returned,
    RingFound,
    TalkFound,
    WentOut,
)
from pbxfed_ari.core.names import CallId, ChannelId, bridge_of, leg_of
from tests.core.test_route import A, B, C, View, make
from tests.core.test_routing import line

CALLER, LEG = ChannelId("17.1"), ChannelId("17.2")
WALL = 1_800_000_000_000
ARRIVED = Arrived(CALLER, "1001", "1002", "Ann", fresh_id="f00", wall_ms=WALL)
PEERS = Arrived(CALLER, "1001", "1002", "Ann", B, "beef/1/1", fresh_id="f00", wall_ms=WALL)
BRIDGED = [make("extension", "1001", control="bridge")]


@dataclass
class Lives:
    """A daemon, its notes, and the records of calls; each life has a clock of its own."""

    view: View = field(default_factory=lambda: View(B))
    board: Switchboard = field(default_factory=Switchboard)
    notes: dict[str, Noted] = field(default_factory=dict)
    seen_ms: int = 0
    records: list[CallEnded] = field(default_factory=list)
    hung: list[ChannelId] = field(default_factory=list)

    def at(self, now: float, *events: CallEvent) -> None:
        for event in events:
            for effect in self.board.handle(event, now, self.view):
                if isinstance(effect, CallEnded):
                    self.records.append(effect)
                    self.notes.pop(effect.note, None)
                if isinstance(effect, HangUp):
                    self.hung.append(effect.channel)

    def note(self, now: float, wall_ms: int = 0) -> None:
        """As the edge does now and then."""
        fresh, void = self.board.notebook.new(now)
        self.notes |= {one.so_far.note: one for one in fresh}
        for key in void:
            self.notes.pop(key, None)
        self.seen_ms = wall_ms or WALL + round(now * 1_000)

    def dies(self) -> None:
        """And is back; all that it knows stands in its notes."""
        self.board = Switchboard(before=list(self.notes.values()), seen_ms=self.seen_ms)


def listed(*channels: ChannelId, after: float, bridges: tuple[BridgeSeen, ...] = ()) -> CallEvent:
    return ChannelsListed(frozenset(channels), bridges, WALL + round(after * 1_000))


def talking(arrived: Arrived = ARRIVED, view: View | None = None) -> Lives:
    """Answered after two seconds, noted at three and, with nothing new, at ten."""
    lives = Lives(view or View(B))
    lives.at(0.0, arrived)
    lives.note(1.0)
    lives.at(1.5, LegDialed(CALLER, LEG, "PJSIP/pf-b-0000002a"))
    lives.at(2.0, Answered(CALLER, LEG))
    lives.note(3.0)
    lives.note(10.0)
    return lives


def test_a_call_that_ended_while_its_daemon_was_away_has_a_record() -> None:
    """It talked when it was seen last, and was gone when the daemon came back: in between it ended, of nobody knows what."""
    lives = talking()
    lives.dies()
    lives.at(5.0, listed(after=25.0))
    (record,) = lives.records
    assert (record.call, record.caller, record.number) == ("f00", "1002", "1001")
    assert (record.answered, record.cause) == (True, 0)
    assert (record.seconds, record.talked, record.unseen) == (10.0, 8.0, 15.0)
    (attempt,) = record.attempts
    assert (attempt.legs, attempt.outcome) == ((Leg(B, "sip"),), "answered")
    assert lives.notes == {}
    lives.dies()
    lives.at(0.1, listed(after=30.0))
    assert len(lives.records) == 1


def test_a_call_that_rang_when_it_was_seen_last_was_not_answered_as_far_as_is_known() -> None:
    """Its try is undecided."""
    lives = Lives()
    lives.at(0.0, ARRIVED)
    lives.note(4.0)
    lives.dies()
    lives.at(1.0, listed(after=60.0))
    (record,) = lives.records
    assert (record.answered, record.cause, record.talked) == (False, 0, 0.0)
    assert (record.seconds, record.unseen) == (4.0, 56.0)
    assert [(one.outcome, one.seconds) for one in record.attempts] == [("lost_sight", 4.0)]


def test_a_call_whose_end_was_seen_is_struck_out() -> None:
    """And one that was never noted is none of the next life's."""
    lives = talking()
    lives.at(11.0, Ended(CALLER), LegEnded(LEG, 16))
    assert [(one.talked, one.unseen) for one in lives.records] == [(9.0, 0.0)]
    lives.at(12.0, Arrived(ChannelId("18.1"), "1001", "1002", "", fresh_id="f01", wall_ms=WALL))
    lives.dies()
    lives.at(0.1, listed(after=13.0))
    assert len(lives.records) == 1


@pytest.mark.parametrize("arrived", [ARRIVED, PEERS], ids=["a phone's", "a peer's"])
def test_a_call_that_is_found_talking_goes_on_under_its_note(arrived: Arrived) -> None:
    """Its one record tells of its end. A peer's call has another key in the second life."""
    places = View(B) if arrived.peer is None else View(A)
    lives = talking(arrived, places)
    (key,) = lives.notes
    lives.dies()
    assert lives.board.notebook.channels() == {CALLER, LEG}
    lives.at(5.0, listed(CALLER, LEG, after=25.0))
    note = "beef/1/1" if arrived.peer else "f00/1/1"
    lives.at(5.1, TalkFound(arrived, note, LegSeen(B, "sip", "1001"), WALL + 25_100))
    lives.note(6.0, WALL + 26_000)
    assert list(lives.notes) == [key]
    lives.at(7.0, Ended(CALLER, 16))
    assert [(one.unseen, one.answered) for one in lives.records] == [(0.0, True)]
    assert lives.notes == {}


def test_a_clock_that_is_set_back_meanwhile_makes_no_call_shorter_than_it_was() -> None:
    """It has lasted for as long as it was seen, at least, and goes on from there."""
    lives = talking()
    lives.dies()
    lives.at(5.0, listed(CALLER, LEG, after=-600.0))
    talks = TalkFound(ARRIVED, "f00/1/1", LegSeen(B, "sip", "1001"), WALL - 600_000)
    lives.at(5.0, talks)
    lives.at(7.0, Ended(CALLER, 16))
    (record,) = lives.records
    assert (record.seconds, record.talked) == (5.0, 3.0)


@pytest.mark.parametrize("noted", [False, True])
def test_a_clock_that_is_set_back_meanwhile_makes_no_time_negative_of_which_nobody_has_noted_any(
    noted: bool,
) -> None:
    """Nobody had seen the call, or its answer: that counts from when it is found."""
    bridge, leg = bridge_of("f00"), leg_of("f00", 1, 0)
    to = LegSeen(B, "sip", "1001", WALL + 500)
    seen = BridgeSeen(
        bridge, (CALLER, leg), True, frozenset(), (ARRIVED,), to, answered_ms=WALL + 1_500
    )
    found: CallEvent
    for items, bridges, found in (
        ([], (), TalkFound(ARRIVED, "f00/1/1", to, WALL - 600_000, WALL + 1_500)),
        ([], (), TalkFound(ARRIVED, "f00/1/1", to, WALL - 600_000)),
        ([], (), RingFound(ARRIVED, "f00/1/1", WALL - 600_000)),
        (BRIDGED, (seen,), replace(ARRIVED, again=True)),
    ):
        lives = Lives(View(B, items=items))
        if noted:
            lives.at(0.0, ARRIVED)
            lives.note(1.0)
        lives.dies()
        lives.at(5.0, listed(CALLER, leg, after=-600.0, bridges=bridges), found)
        lives.at(7.0, Ended(CALLER, 16))
        (record,) = lives.records
        (attempt,) = record.attempts
        assert record.seconds == (3.0 if noted else 2.0)
        assert record.talked == (0.0 if isinstance(found, RingFound) else 2.0)
        assert 0.0 <= attempt.seconds <= record.seconds


def test_a_call_that_is_found_ringing_goes_on_and_may_end_unseen_in_the_next_life() -> None:
    """A daemon may be killed twice."""
    lives = Lives()
    lives.at(0.0, ARRIVED)
    lives.note(4.0)
    lives.dies()
    lives.at(1.0, listed(CALLER, after=6.0))
    lives.at(1.0, RingFound(ARRIVED, "f00/1/1", WALL + 6_000))
    lives.note(2.0, WALL + 7_000)
    lives.dies()
    lives.at(1.0, listed(after=60.0))
    assert [(one.seconds, one.unseen) for one in lives.records] == [(7.0, 53.0)]


def test_who_waits_for_us_is_served_anew_under_the_same_note() -> None:
    """It is one call, with one record."""
    lives = Lives(View(A, items=BRIDGED))
    lives.at(0.0, ARRIVED)
    lives.note(1.0)
    lives.dies()
    lives.at(1.0, listed(CALLER, after=6.0))
    again = Arrived(CALLER, "1001", "1002", "", fresh_id="f01", wall_ms=WALL + 6_000, again=True)
    lives.at(1.0, again)
    lives.note(2.0, WALL + 7_000)
    assert list(lives.notes) == ["f00"]
    lives.at(3.0, Ended(CALLER))
    assert [one.call for one in lives.records] == ["f01"]
    assert lives.notes == {}


def bridged(arrived: Arrived = ARRIVED) -> tuple[Lives, ChannelId]:
    lives = Lives(View(A, items=BRIDGED))
    lives.at(0.0, arrived)
    leg = ChannelId(f"pf-{'beef.' if arrived.peer else ''}f00-1-0")
    lives.at(0.1, LegEntered(leg))
    lives.at(2.0, Answered(CALLER, leg))
    lives.note(10.0)
    lives.dies()
    return lives, leg


def test_in_bridge_mode_a_conversation_goes_on_and_one_that_has_lost_an_end_is_over() -> None:
    """Who is left alone in the bridge is hung up: the conversation had ended before."""
    lives, leg = bridged()
    whole = BridgeSeen("pf-f00", (CALLER, leg), True, callers=(ARRIVED,))
    lives.at(1.0, listed(CALLER, leg, after=20.0, bridges=(whole,)))
    assert lives.records == []
    lives.at(5.0, Ended(CALLER), Ended(leg))
    assert [one.unseen for one in lives.records] == [0.0]
    for left in CALLER, leg:
        lives, leg = bridged()
        alone = BridgeSeen("pf-f00", (left,), True, callers=(ARRIVED,) if left == CALLER else ())
        lives.at(1.0, listed(left, after=20.0, bridges=(alone,)))
        assert lives.hung == [left]
        assert [(one.talked, one.unseen) for one in lives.records] == [(8.0, 10.0)]
        lives.at(1.1, Ended(left))
        assert len(lives.records) == 1


@pytest.mark.parametrize("other", [ChannelId("pf-f00-2-0"), ChannelId("18.3")])
def test_who_was_rescued_or_transferred_and_talks_on_is_in_the_same_call(other: ChannelId) -> None:
    """Its caller's channel has gone; a leg of ours, or a stranger, is in his place, in the bridge of that name."""
    lives, leg = bridged()
    put = frozenset({other} - {ChannelId("pf-f00-2-0")})
    whole = BridgeSeen("pf-f00", (leg, other), True, put)
    lives.at(1.0, listed(leg, other, after=20.0, bridges=(whole,)))
    lives.note(2.0, WALL + 21_000)
    assert list(lives.notes) == ["f00"]
    assert lives.records == []
    lives.at(5.0, LegEnded(leg, 16), Ended(other, 16))
    assert [one.unseen for one in lives.records] == [0.0]
    assert lives.notes == {}


def test_what_goes_on_without_us_ends_with_its_last_channel() -> None:
    """A service of the dialplan, or a leg that talks on by a transfer: nobody finds it, and its end is seen."""
    lives = talking()
    lives.dies()
    lives.at(5.0, listed(CALLER, LEG, after=25.0))
    lives.at(6.0, Ended(LEG, 16))
    assert lives.records == []
    lives.at(15.0, Ended(CALLER, 16))
    (record,) = lives.records
    assert (record.seconds, record.talked, record.unseen, record.cause) == (35.0, 33.0, 0.0, 16)
    lives = talking()
    lives.dies()
    lives.at(5.0, listed(CALLER, after=25.0))
    lives.at(9.0, listed(after=29.0))  # heard anew
    assert [(one.seconds, one.unseen) for one in lives.records] == [(25.0, 4.0)]


def test_a_leg_that_talks_on_by_a_transfer_ends_the_call_alone_if_its_caller_had_gone_before() -> (
    None
):
    """The note may name him: nobody will tell his end again."""
    lives = talking()
    lives.dies()
    lives.at(5.0, listed(LEG, after=25.0))
    lives.at(6.0, Ended(LEG, 16))
    assert [(one.seconds, one.cause) for one in lives.records] == [(26.0, 16)]


def test_a_call_that_was_no_call_is_struck_out() -> None:
    """Its sender had given it up before it came; nor has what ends without a record a note that stays."""
    lives = Lives(View(A))
    lives.at(0.0, PeerGaveUp(B, CallId("beef"), 1), PEERS)
    lives.note(1.0)
    assert lives.notes == {}
    lives = talking()
    (call,) = lives.board
    lives.board.notebook.forget(call)
    lives.note(11.0)
    assert lives.notes == {}


def test_a_clock_that_was_set_back_makes_no_time_negative() -> None:
    """Time is as the first life measured it, then."""
    lives = talking()
    lives.note(11.0, WALL - 60_000)
    lives.dies()
    lives.at(1.0, listed(after=-30.0))
    (record,) = lives.records
    assert (record.seconds, record.talked, record.unseen) == (3.0, 1.0, 0.0)


# --- what a note knows, whoever finds the call


def test_a_call_that_is_found_talking_was_answered_when_its_note_says_and_by_those_tries() -> None:
    """Asterisk knows when the leg was made, and whither: nothing of the try before, nor how long it rang."""
    lives = Lives()
    lives.at(0.0, ARRIVED)
    lives.at(1.0, Returned(CALLER, "CHANUNAVAIL", 3))
    lives.at(1.5, LegDialed(CALLER, LEG, "IAX2/pf-b-0000002a"))
    lives.at(4.0, Answered(CALLER, LEG))
    lives.note(5.0)
    (noted,) = lives.notes.values()
    lives.dies()
    leg = LegSeen(B, "iax2", "1001", WALL + 1_500)
    came = replace(ARRIVED, wall_ms=WALL - 20)  # its channel was made a moment before it came to us
    lives.at(105.0, listed(CALLER, LEG, after=25.0))
    lives.at(105.0, TalkFound(came, "f00/1/2", leg, WALL + 25_000))
    (call,) = lives.board
    assert call.legs == (Leg(B, "iax2"),)
    lives.at(107.0, Ended(CALLER, 16))
    (record,) = lives.records
    assert (record.began_ms, record.seconds, record.talked) == (WALL, 27.0, 23.0)
    assert record.attempts == noted.so_far.attempts
    assert [(one.began, one.seconds) for one in record.attempts] == [(0.0, 1.0), (1.0, 3.0)]
    assert (record.tries, record.left_out) == (2, 0)


def test_so_is_one_in_our_own_bridge() -> None:
    """Though the variable that tells when it was answered was not written yet."""
    lives, leg = bridged()
    whole = BridgeSeen(
        "pf-f00", (CALLER, leg), True, callers=(ARRIVED,), leg=LegSeen(None, "", "1001", WALL + 50)
    )
    lives.at(101.0, listed(CALLER, leg, after=20.0, bridges=(whole,)))
    lives.at(106.0, Ended(CALLER), Ended(leg))
    (record,) = lives.records
    assert (record.seconds, record.talked) == (25.0, 23.0)
    assert [(one.began, one.seconds, one.outcome) for one in record.attempts] == [
        (0.0, 2.0, "answered")
    ]


def test_of_a_try_that_began_after_the_note_it_is_said_what_asterisk_knows() -> None:
    """Of the one before nobody saw what came, and of one between the two nothing is left but that it was."""
    lives = Lives()
    lives.at(0.0, ARRIVED)
    lives.note(1.0)
    lives.dies()
    leg = LegSeen(B, "iax2", "1001", WALL + 4_000)
    lives.at(100.0, listed(CALLER, LEG, after=25.0))
    lives.at(100.0, TalkFound(ARRIVED, "f00/1/3", leg, WALL + 25_000))
    lives.at(102.0, Ended(CALLER, 16))
    (record,) = lives.records
    assert (record.tries, record.left_out, record.talked) == (3, 1, 23.0)
    assert [(one.legs, one.outcome, one.seconds) for one in record.attempts] == [
        ((Leg(B, "sip"),), "lost_sight", 4.0),
        ((Leg(B, "iax2"),), "answered", 0.0),
    ]


def hunts() -> tuple[Lives, list[Effect]]:
    """Of the group 600 the first did not answer, and the second is rung when the daemon dies; what comes when he does not."""
    group = make("group", "600", strategy="hunt", members=["1003", "1004", "1005"])
    lives = Lives(View(A, items=[group]))
    lives.at(0.0, Arrived(CALLER, "600", "1002", "Ann", fresh_id="f00", wall_ms=WALL))
    lives.at(30.0, Returned(CALLER, "NOANSWER", 19))
    lives.note(31.0)
    lives.dies()
    lives.at(0.0, listed(CALLER, after=35.0))
    came = Arrived(CALLER, "600", "1002", "Ann", fresh_id="f00", wall_ms=WALL)
    lives.at(0.0, RingFound(came, "f00/1/2", WALL + 35_000))
    return lives, lives.board.handle(Returned(CALLER, "NOANSWER", 19), 15.0, lives.view)


def test_a_hunt_goes_on_where_it_was() -> None:
    """Who has not been rung yet is rung; nobody is twice."""
    lives, effects = hunts()
    assert [e.legs for e in effects if isinstance(e, HandOver)] == [(Leg(number="1005"),)]
    lives.at(16.0, Ended(CALLER, 16))
    (record,) = lives.records
    assert [(one.began, one.seconds, one.outcome) for one in record.attempts] == [
        (0.0, 30.0, "no_answer"),
        (30.0, 20.0, "no_answer"),
        (50.0, 1.0, "given_up"),
    ]


@pytest.mark.parametrize("restarts", [False, True])
def test_whom_a_call_goes_on_to_is_looked_for_where_he_is_by_then(restarts: bool) -> None:
    """Not at a node that is out of reach by now; what was tried before a restart is no reason to leave him out."""
    lives = Lives(View(B, items=[make("extension", "1001", forward_no_answer="1003")]))
    lives.at(0.0, ARRIVED)
    lives.note(4.0)
    if restarts:
        lives.dies()
        lives.at(0.0, listed(CALLER, after=6.0), RingFound(ARRIVED, "f00/1/1", WALL + 6_000))
    else:
        lives.at(1.0, LegLives(CALLER, LEG, "RINGING"))
    effects = lives.board.handle(Returned(CALLER, "NOANSWER", 19), 30.0, lives.view)
    assert [(e.extension, e.legs) for e in effects if isinstance(e, HandOver)] == [
        ("1003", (Leg(B, "sip"),))
    ]
    lives.view.places, lives.view.cut = (C,), (B,)
    effects = lives.board.handle(Returned(CALLER, "CHANUNAVAIL", 20), 30.1, lives.view)
    assert [(e.extension, e.legs) for e in effects if isinstance(e, HandOver)] == [
        ("1003", (Leg(C, "sip"),))
    ]


def test_whom_it_rings_is_known_while_it_rings() -> None:
    """Who is rung here is not free for others, and has a call."""
    lives, _ = hunts()
    lives.note(15.5)
    lives.dies()
    came = Arrived(CALLER, "600", "1002", "Ann", fresh_id="f00", wall_ms=WALL)
    lives.at(0.0, listed(CALLER, after=60.0), RingFound(came, "f00/1/3", WALL + 60_000))
    lines = lives.board.lines(0.0, lives.view)
    assert [lines.calls_of(one) for one in ("1004", "1005")] == [0, 1]


def test_a_call_to_the_outside_holds_its_line_through_a_restart() -> None:
    """Whose limit counts it."""
    lives = Lives(View(items=[line(nodes=["a"])]))
    lives.at(
        0.0, Arrived(CALLER, "0301", "1002", "Ann", endpoint="1002", fresh_id="f00", wall_ms=WALL)
    )
    lives.at(1.0, Answered(CALLER, LEG))
    lives.note(2.0)
    lives.dies()
    came = Arrived(CALLER, "0301", "1002", "Ann", endpoint="1002", fresh_id="f00", wall_ms=WALL)
    leg = LegSeen(None, "", "0301", WALL)
    lives.at(0.0, listed(CALLER, LEG, after=9.0), TalkFound(came, "f00/1/1", leg, WALL + 9_000))
    assert lives.board.lines(0.0, lives.view).on_line("berlin") == 1


@pytest.mark.parametrize("rings", [False, True])
@pytest.mark.parametrize("forward", ["forward_always", "forward_busy"])
@pytest.mark.parametrize("node", [A, B])
def test_who_forwards_to_the_outside_pays_after_a_restart(
    node: str, forward: str, rings: bool
) -> None:
    """His limit counts the call until it ends, and not that of who calls, wherever the line is."""
    items = [line(nodes=[node]), make("extension", "1001", **{forward: "0301"})]
    lives = Lives(View(A, items=[*items, make("extension", "1002")]))
    came = replace(ARRIVED, endpoint="1002")
    lives.at(0.0, came)
    if forward == "forward_busy":
        lives.at(1.0, Returned(CALLER, "BUSY", 17))
    if not rings:
        lives.at(2.0, Answered(CALLER, LEG))
    lives.note(3.0)
    lives.dies()
    bill, leg = (
        f"f00/1/{1 + (forward == 'forward_busy')}",
        LegSeen(None if node == A else B, "sip", "0301", WALL),
    )
    ring, talk = RingFound(came, bill, WALL + 9_000), TalkFound(came, bill, leg, WALL + 9_000)
    lives.at(0.0, listed(CALLER, LEG, after=9.0), ring if rings else talk)
    assert [lives.board.usage.outside_of(one)[0] for one in ("1001", "1002")] == [1, 0]
    lives.at(1.0, Answered(CALLER, LEG) if rings else talk)
    lives.note(2.0, WALL + 11_000)
    lives.dies()
    lives.at(0.0, listed(CALLER, LEG, after=20.0), talk)
    assert [lives.board.usage.outside_of(one)[0] for one in ("1001", "1002")] == [1, 0]


def test_who_forwards_to_the_outside_pays_in_our_own_bridge_after_a_restart() -> None:
    """The same in bridge mode."""
    items = [line(nodes=["a"]), make("extension", "1001", forward_always="0301", control="bridge")]
    lives = Lives(View(A, items=[*items, make("extension", "1002")]))
    came, leg = replace(ARRIVED, endpoint="1002"), ChannelId("pf-f00-1.0")
    lives.at(0.0, came, LegEntered(leg), Answered(ChannelId(""), leg))
    lives.note(3.0)
    lives.dies()
    out = LegSeen(None, "", "0301", WALL)
    whole = BridgeSeen("pf-f00", (CALLER, leg), True, callers=(came,), leg=out)
    lives.at(0.0, listed(CALLER, leg, after=9.0, bridges=(whole,)))
    assert [lives.board.usage.outside_of(one)[0] for one in ("1001", "1002")] == [1, 0]


def test_of_a_group_only_who_answered_has_a_call_after_a_restart() -> None:
    """Asterisk shows his number; who rang with him at this node may have another call."""
    phones = [make("extension", number, call_limit=1) for number in ("1001", "1002")]
    lives = Lives(View(A, items=[make("group", "600", members=["1001", "1002"]), *phones]))
    came = Arrived(CALLER, "600", "1009", "", endpoint="1009", fresh_id="f00", wall_ms=WALL)
    lives.at(0.0, came)
    lives.at(0.1, LegDialed(CALLER, LEG, "PJSIP/1002-01"))
    lives.at(1.0, Answered(CALLER, LEG))
    lives.note(2.0)
    lives.dies()
    leg = LegSeen(None, "", "1002", WALL)
    lives.at(0.0, listed(CALLER, LEG, after=9.0), TalkFound(came, "f00/1/1", leg, WALL + 9_000))
    usage = lives.board.lines(0.0, lives.view)
    assert [usage.calls_of(number) for number in ("1001", "1002")] == [0, 1]


def test_who_has_called_whom_is_known_though_both_were_replaced() -> None:
    """By transfers while the daemon was away: his channel tells nothing of that, nor whence he came, or who had sent him."""
    for came in replace(ARRIVED, by="1005"), PEERS:
        lives, leg = bridged(came)
        put, bridge = ChannelId("18.3"), "pf-beef.f00" if came.peer else "pf-f00"
        whole = BridgeSeen(bridge, (leg, put), True, frozenset({put}))
        lives.at(1.0, listed(leg, put, after=20.0, bridges=(whole,)))
        lives.at(5.0, LegEnded(leg, 16), Ended(put, 16))
        (record,) = lives.records
        assert (record.caller, record.number) == ("1002", "1001")
        assert (record.by, record.peer) == (came.by, came.peer or "")


def test_in_bridge_mode_too_a_hunt_goes_on_where_it_was() -> None:
    """The member whose phone rings on is in the note; the one after him is rung when he does not answer."""
    group = make("group", "600", strategy="hunt", members=["1003", "1004"], control="bridge")
    lives = Lives(View(A, items=[group]))
    came = Arrived(CALLER, "600", "1002", "Ann", fresh_id="f00", wall_ms=WALL)
    leg = ChannelId("pf-f00-1-0")
    lives.at(0.0, came, LegEntered(leg))
    lives.note(1.0)
    lives.dies()
    rings = LegSeen(None, "", "1003", WALL + 20, leg)
    seen = BridgeSeen("pf-f00", (CALLER, leg), False, callers=(came,), rings=(rings,))
    lives.at(100.0, listed(CALLER, leg, after=5.0, bridges=(seen,)))
    (call,) = lives.board
    assert call.legs == (Leg(number="1003"),)
    effects = lives.board.handle(LegEnded(leg, 19), 125.0, lives.view)
    assert [e.to for e in effects if isinstance(e, MakeLeg)] == [Leg(number="1004")]
    assert [(one.began, one.outcome) for one in call.history] == [(0.0, "no_answer"), (30.0, "")]


def test_who_had_come_in_time_is_not_late_though_his_nodes_clock_was_set_since() -> None:
    """His node is asked: it says so if he is not wanted any more."""
    for known in True, False:
        lives = Lives(View(A))
        came = replace(PEERS, note=f"beef/1/1//{WALL + 8_000}")
        lives.at(0.0, came)
        lives.note(1.0)
        if known:
            lives.dies()
        else:
            lives = Lives(View(A))
        lives.view.clocks[B] = 3_600.0
        lives.at(100.0, listed(CALLER, after=5.0), replace(came, again=True))
        assert lives.hung == ([] if known else [CALLER])


def test_whose_leg_a_transfer_has_replaced_before_the_restart_is_free() -> None:
    """His call goes on between two others."""
    leg, local = ChannelId("pf-f00-1-0"), ChannelId("18.1")
    lives = Lives(View(A, items=BRIDGED))
    came = Arrived(CALLER, "1001", "1002", "Ann", fresh_id="f00", wall_ms=WALL)
    lives.at(0.0, came, LegEntered(leg), CameIn(CALLER, "pf-f00"), CameIn(leg, "pf-f00"))
    lives.at(1.0, Answered(CALLER, leg))
    lives.note(1.5)
    lives.at(2.0, WentOut(leg, "pf-f00"), CameIn(local, "pf-f00"), LegEnded(leg, 16))
    lives.note(3.0)
    lives.dies()
    seen = BridgeSeen("pf-f00", (CALLER, local), True, frozenset({local}), (came,))
    lives.at(100.0, listed(CALLER, local, after=5.0, bridges=(seen,)))
    usage = lives.board.usage
    assert [usage.calls_of(number) for number in ("1001", "1002")] == [0, 1]
    lives.at(109.0, Ended(CALLER, 16), WentOut(local, "pf-f00"))
    assert [one.by for one in lives.records] == ["1001"]


def test_who_has_put_a_call_through_before_the_restart_is_told_by_its_record() -> None:
    """Handed over: it is found talking with somebody else, or is left to itself. If nobody saw it go on he may have hung up."""
    other = ChannelId("18.2")
    for gone, stays, by in (LEG, CALLER, "1001"), (CALLER, LEG, "1002"):
        for goes_on in True, False:
            lives = talking()
            lives.at(11.0, LegEnded(LEG, 16) if gone == LEG else Ended(CALLER, 16))
            lives.note(11.1)
            lives.dies()
            lives.at(0.0, listed(*([stays] if goes_on else []), after=20.0))
            if goes_on and stays == CALLER:
                leg = LegSeen(None, "", "1004", WALL, other)
                lives.at(0.0, TalkFound(ARRIVED, "f00/1/1", leg, WALL + 20_000))
            lives.at(9.0, Ended(stays, 16))
            assert [one.by for one in lives.records] == [by if goes_on else ""]


# --- who waits for us when we return, and nobody rings for him any more


def anew(lives: Lives, number: str) -> list[Effect]:
    """The daemon is back after ten seconds; his channel says the number that was rung last."""
    lives.note(20.0)
    lives.dies()
    lives.at(100.0, listed(CALLER, after=30.0))
    again = Arrived(CALLER, number, "1002", "", fresh_id="f01", wall_ms=WALL - 20, again=True)
    return lives.board.handle(again, 100.0, lives.view)


def test_a_call_that_has_gone_onward_goes_on_from_there() -> None:
    """Who had rung out, was busy or had sent it on before the daemon died is not called once more; who rang then is."""
    view = View(
        A,
        items=[
            make("extension", "1001", forward_no_answer="1003"),
            make("extension", "1003", forward_busy="1004"),
            make("extension", "1004", forward_no_answer="1006"),
        ],
    )
    lives = Lives(view)
    lives.at(0.0, ARRIVED, LegDialed(CALLER, LEG, "PJSIP/pf-b-0000002a"))
    lives.at(0.1, LegLives(CALLER, LEG, "RINGING"))
    lives.at(9.0, LegEnded(LEG, 19), Returned(CALLER, "NOANSWER", 19))
    lives.at(9.0, Returned(CALLER, "BUSY", 17))
    (call,) = lives.board
    assert [(one.number, one.outcome) for one in call.history] == [
        ("1001", "no_answer"),
        ("1003", "busy"),
        ("1004", ""),
    ]
    (handed,) = [e for e in anew(lives, "1004") if isinstance(e, HandOver)]
    assert (handed.extension, handed.note) == ("1004", "f01/1/4//////1003.cfb")
    lives.at(100.1, LegDialed(CALLER, LEG, "PJSIP/1004-0000002b"), LegLives(CALLER, LEG, "RINGING"))
    effects = lives.board.handle(Returned(CALLER, "NOANSWER", 19), 105.0, view)
    (onward,) = [e for e in effects if isinstance(e, HandOver)]
    assert onward.extension == "1006"
    lives.at(106.0, Ended(CALLER, 16))
    (record,) = lives.records
    assert (record.call, record.number, record.seconds) == ("f01", "1001", 36.0)
    assert [(one.number, one.began, one.outcome) for one in record.attempts] == [
        ("1001", 0.0, "no_answer"),
        ("1003", 9.0, "busy"),
        ("1004", 9.0, "lost_sight"),
        ("1004", 30.0, "no_answer"),
        ("1006", 35.0, "given_up"),
    ]


def test_so_does_one_that_a_phone_has_sent_on_and_one_from_the_outside() -> None:
    """The inbound number is no number of the channel any more; the phone that has sent it on is not asked once more."""
    did = make("did", "4930123", destination="1001")
    lives = Lives(View(A, items=[did]))
    came = replace(ARRIVED, number="4930123", caller="0891", outside=True)
    lives.at(0.0, came, LegDialed(CALLER, LEG, "PJSIP/1001-0000002a"))
    lives.at(1.0, Redirected(CALLER, LEG, "1003"), Returned(CALLER, "BUSY", 23))
    lives.note(20.0)
    lives.dies()
    lives.at(100.0, listed(CALLER, after=30.0))
    again = replace(came, number="1003", fresh_id="f01", again=True)
    effects = lives.board.handle(again, 100.0, lives.view)
    assert [e.extension for e in effects if isinstance(e, HandOver)] == ["1003"]


def test_a_hunt_whose_member_has_rung_out_unseen_rings_him_once_more_and_nobody_before_him() -> (
    None
):
    """And when nobody is left it goes where the group says."""
    members = ["1003", "1004", "1005"]
    group = make("group", "600", strategy="hunt", members=members, overflow="1006")
    lives = Lives(View(A, items=[group]))
    lives.at(0.0, Arrived(CALLER, "600", "1002", "Ann", fresh_id="f00", wall_ms=WALL))
    lives.at(5.0, Returned(CALLER, "NOANSWER", 19))
    effects = anew(lives, "600")
    rung: list[object] = []
    for second in 101.0, 106.0, 111.0:
        rung += [(e.extension, e.legs) for e in effects if isinstance(e, HandOver)]
        effects = lives.board.handle(Returned(CALLER, "NOANSWER", 19), second, lives.view)
    assert rung == [
        ("600", (Leg(number="1004"),)),
        ("600", (Leg(number="1005"),)),
        ("1006", (Leg(),)),
    ]


def test_who_was_transferred_out_of_a_bridge_is_called_a_moment_after_the_return() -> None:
    """Whom he stands for may have hung up meanwhile: that is heard then, and no phone rings for nobody."""
    for stays in True, False:
        lives = Lives(View(A))
        lives.at(0.0, listed(CALLER, after=30.0))
        came = replace(ARRIVED, by="1005", again=True)
        assert lives.board.handle(came, 0.0, lives.view) == []
        lives.at(0.1, *([] if stays else [Ended(CALLER, 16)]))
        handed = [e for e in lives.board.tick(0.5, lives.view) if isinstance(e, HandOver)]
        assert len(handed) == stays
