"""Bridge mode, told on a virtual clock: legs of our own, early media, the first answer, failures, restarts, admission."""

from typing import Any

import pytest
from msgspec.structs import replace

from pbxfed_ari.core.calls.calls import Manner
from pbxfed_ari.core.calls.lines import A_SECOND, CALM, LATE, SLOW
from pbxfed_ari.core.calls.lines import AGAIN as AGAIN_CALM
from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import (
    Abandon,
    AskSip,
    CallEnded,
    DialLeg,
    Divert,
    Effect,
    EndBridge,
    Enter,
    HandOver,
    HangUp,
    HangUpLeg,
    Indicate,
    Join,
    Lead,
    Leg,
    MakeBridge,
    MakeLeg,
    Outside,
    SendTo,
)
from pbxfed_ari.core.events import (
    Answered,
    AriWasSlow,
    Arrived,
    BridgeSeen,
    CallEvent,
    CameIn,
    ChannelsListed,
    Ended,
    HungUp,
    LegEnded,
    LegEntered,
    LegLives,
    LegRefused,
    LegSeen,
    PeerGaveUp,
    Redirected,
    Returned,
    SipSaid,
    WentOut,
)
from pbxfed_ari.core.messages import CallHere
from pbxfed_ari.core.names import CallId, ChannelId, NodeName
from pbxfed_ari.core.records.objects.kind import Item
from tests.core.test_route import A, B, View, make

CALLER, ONE, TWO = ChannelId("17.1"), ChannelId("pf-f00-1-0"), ChannelId("pf-f00-1-1")
BRIDGE, STEADY = "pf-f00", "pf-f00-2"  # the call's first, and the one for its second try


class Board:
    """A switchboard in bridge mode, and what it asks for, without notes and records."""

    def __init__(self, *places: NodeName, control: str = "bridge", **more: Any) -> None:
        self.view = View(*places, trunks=("sip",), **more)
        self.board = Switchboard(Manner(control=control))

    def at(self, now: float, *events: CallEvent) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            effects += self.board.handle(event, now, self.view)
        if not events:
            effects = self.board.tick(now, self.view)
        return [e for e in effects if type(e).__name__ not in ("Note", "CallEnded")]

    def engaged(self, *numbers: str) -> list[bool]:
        """Does a call go on with these?"""
        return [self.board.usage.calls_of(number) > 0 for number in numbers]


def arrived(number: str = "1001", channel: ChannelId = CALLER, fresh: str = "f00") -> Arrived:
    return Arrived(channel, number, "1002", "", fresh_id=fresh)


def ringing(*places: NodeName, **more: Any) -> Board:
    """A call whose legs ring."""
    board = Board(*places, **more)
    made = board.at(0.0, arrived())
    assert isinstance(made[0], MakeBridge)
    assert made[0].steady == any(place != A for place in places)
    for i in range(len([e for e in made if isinstance(e, MakeLeg)])):
        leg = ChannelId(f"pf-f00-1-{i}")
        board.at(0.01, LegEntered(leg), LegLives(CALLER, leg, "RINGING"))
    return board


def test_one_leg_is_made_joined_and_dialed() -> None:
    """Joined before it is dialed: by the bridge the caller hears it ring, and early media. He waits there already."""
    board = Board(A, items=[make("extension", "1001", name="Ada")])
    then = (
        Join(CALLER, BRIDGE, (ONE,), quietly=True),  # it is shown the caller as it is dialed
        DialLeg(CALLER, ONE, 30),
    )
    assert board.at(0.0, arrived()) == [
        MakeBridge(CALLER, BRIDGE, 90, number="1001", name="Ada"),
        Join(CALLER, BRIDGE, (CALLER,)),
        MakeLeg(CALLER, ONE, "1001", Leg(), "", "f00/1/1", then=then),
    ]
    assert board.at(0.01, LegEntered(ONE)) == [*then]
    for how in "RINGING", "PROCEEDING", "PROGRESS":
        assert board.at(0.02, LegLives(CALLER, ONE, how)) == []
    assert board.at(2.0, Answered(CALLER, ONE)) == [Indicate(CALLER, "answer")]


def test_who_is_called_by_iax2_is_joined_when_he_lives() -> None:
    """Until then Asterisk would refuse the caller by what chan_iax2 says of a silent peer; from then on he is heard."""
    board = Board(B)
    board.view.kinds = ("iax2",)
    made = board.at(0.0, arrived())
    assert [type(e) for e in made] == [MakeBridge, Join, MakeLeg]
    assert isinstance(made[2], MakeLeg)
    assert made[2].then == (DialLeg(CALLER, ONE, 30),)
    assert board.at(0.01, LegEntered(ONE)) == [*made[2].then]
    joined = Join(CALLER, BRIDGE, (ONE,), quietly=True)
    assert board.at(0.02, LegLives(CALLER, ONE, "PROCEEDING")) == [joined]
    rings = LegLives(CALLER, ONE, "RINGING")  # maybe before it was there
    assert board.at(0.03, rings) == [Indicate(CALLER, "ring")]
    assert board.at(0.04, rings, LegLives(CALLER, ONE, "PROGRESS")) == []
    assert board.at(2.0, Answered(CALLER, ONE)) == [Indicate(CALLER, "answer")]


def test_who_is_called_by_iax2_and_answers_at_once_is_joined_by_that() -> None:
    """Nothing was heard of it before."""
    board = Board(B)
    board.view.kinds = ("iax2",)
    board.at(0.0, arrived())
    board.at(0.01, LegEntered(ONE))
    answer = board.at(0.02, Answered(CALLER, ONE))
    assert answer == [Join(CALLER, BRIDGE, (CALLER, ONE)), Indicate(CALLER, "answer")]


def test_a_caller_is_shown_the_room_at_a_peer() -> None:
    """Whom he transfers out of it comes from that number."""
    board = Board(items=[make("room", "800", name="Monday")])
    board.view.standing = [B]
    (made,) = [e for e in board.at(0.0, arrived("800")) if isinstance(e, MakeBridge)]
    assert (made.number, made.name) == ("800", "Monday")


def test_a_caller_is_shown_whom_he_calls_at_a_peer_and_of_the_outside_the_number() -> None:
    """Not who was rung before. Whether the provider says more is his business."""
    board = Board(B, items=[make("extension", "1001", name="Ada")])
    assert board.at(0.0, arrived())[0] == MakeBridge(CALLER, BRIDGE, 90, True, "1001", "Ada")
    fields = {"site": "main", "endpoint": "p", "nodes": ["b"], "patterns": ["_0."]}
    board = Board(B, items=(make("trunk", "city", **fields), make("extension", "1002")))
    made = board.at(0.0, replace(arrived("030123"), endpoint="1002"))
    assert made[0] == MakeBridge(CALLER, BRIDGE, 150, True, "030123")


def lined(**cheap: Any) -> Board:
    """1002 calls the outside: by a line of this node, then by another one."""
    plain: dict[str, Any] = {"site": "main", "nodes": ["a"], "patterns": ["_0."]}
    lines = [
        make("trunk", "cheap", **plain, endpoint="telco", cost=1, **cheap),
        make("trunk", "dear", **plain, endpoint="other", cost=5),
    ]
    return Board(A, items=(*lines, make("extension", "1002")))


OUTSIDE = replace(arrived("030123"), endpoint="1002")


@pytest.mark.parametrize(("technology", "kept"), [("iax2", True), ("pjsip", False)])
def test_what_a_line_by_iax2_says_reaches_no_caller_by_asterisk_itself(
    technology: str, kept: bool
) -> None:
    """Else it would refuse him as soon as that line is busy, or silent. By SIP a leg ends."""
    board = lined(technology=technology)
    (made,) = [e for e in board.at(0.0, OUTSIDE) if isinstance(e, MakeBridge)]
    assert made.unrefused is kept


@pytest.mark.parametrize("heard", [[], ["RINGING"], ["PROGRESS", "RINGING"]])
def test_a_line_by_iax2_that_cannot_is_left_for_the_next(heard: list[str]) -> None:
    """At once, heard or not. Its leg is there still, and is ended; that end is no news."""
    board = lined(technology="iax2")
    board.at(0.0, OUTSIDE)
    board.at(0.01, LegEntered(ONE), *(LegLives(CALLER, ONE, how) for how in heard))
    left, *rest = board.at(1.0, LegRefused(ONE, 34))
    assert left == HangUpLeg(CALLER, ONE, 34)
    (made,) = [e for e in rest if isinstance(e, MakeLeg)]
    assert isinstance(made.to, Outside)
    assert made.to.line == "dear"
    assert board.at(1.1, LegRefused(ONE, 34), LegEnded(ONE, 34)) == []


def test_a_line_by_iax2_that_is_busy_is_the_callers_answer() -> None:
    """No other line is tried."""
    board = lined(technology="iax2")
    board.at(0.0, OUTSIDE)
    board.at(0.01, LegEntered(ONE))
    effects = board.at(1.0, LegRefused(ONE, 17))
    assert effects == [HangUpLeg(CALLER, ONE, 17), HangUp(CALLER, 17), EndBridge(CALLER, BRIDGE)]


@pytest.mark.parametrize(("trunk", "steady"), [("sip", True), ("iax2", False)])
def test_what_goes_to_a_peer_by_sip_goes_through_asterisks_core(trunk: str, steady: bool) -> None:
    """There RTP packets keep their order of numbers; by IAX2 they have none."""
    board = Board(B)
    board.view.kinds = (trunk,)
    made = board.at(0.0, arrived())[0]
    assert isinstance(made, MakeBridge)
    assert made.steady is steady


def test_a_bridge_past_asterisks_core_is_left_for_one_through_it() -> None:
    """Asterisk changes none that is there. The next one will do, wherever the call goes on to, and for who is rescued."""
    phones = [make("extension", f"100{i}", forward_unreachable=f"100{i + 1}") for i in (1, 2)]
    board = Board(A, items=phones)
    assert isinstance(made := board.at(0.0, arrived())[0], MakeBridge)
    assert (made.bridge, made.steady) == (BRIDGE, False)
    for number, places in enumerate([(B,), (A,)], start=2):
        board.view.places = places
        leg, last = ChannelId(f"pf-f00-{number}-0"), ChannelId(f"pf-f00-{number - 1}-0")
        effects = [e for e in board.at(0.1, LegEnded(last, 38)) if not isinstance(e, Divert)]
        left = [EndBridge(CALLER, BRIDGE)] if number == 2 else []
        assert effects[: len(left)] == left
        bridge, waits, ring = effects[len(left) :]
        assert isinstance(bridge, MakeBridge)
        assert (bridge.bridge, bridge.steady) == (STEADY, True)
        assert waits == Join(CALLER, STEADY, (CALLER,))
        assert isinstance(ring, MakeLeg)
        assert ring.then[0] == Join(CALLER, STEADY, (leg,), quietly=True)
    board.at(0.2, LegEntered(leg), Answered(CALLER, leg))
    assert board.at(9.0, LegEnded(leg, 16)) == [HangUp(CALLER, 16), EndBridge(CALLER, STEADY)]


def test_who_calls_from_outside_is_told_nothing_of_who_is_inside() -> None:
    """Whither a phone sends him, that is."""
    board = Board(A, items=[make("did", "+4930125", destination="1001")])
    outside = replace(arrived("+4930125"), outside=True)
    for arrival, discreet in (outside, True), (arrived(channel=ChannelId("x"), fresh="f1"), False):
        made = board.at(0.0, arrival)[0]
        assert isinstance(made, MakeBridge)
        assert made.discreet is discreet


def test_a_daemon_that_returns_ends_the_bridge_that_it_found() -> None:
    """Not only the first one of a call."""
    leg, board = ChannelId("pf-f00-2-0"), Board(B)
    talks = BridgeSeen(STEADY, (CALLER, leg), True, callers=(arrived(),))
    board.at(0.0, ChannelsListed(frozenset({CALLER, leg}), (talks,)))
    assert board.at(9.0, LegEnded(leg, 16)) == [HangUp(CALLER, 16), EndBridge(CALLER, STEADY)]


def test_a_line_that_shows_a_number_of_its_own_is_joined_quietly() -> None:
    """Else the bridge would tell the outside, before it is dialed, who calls."""
    fields = {"site": "main", "endpoint": "p", "nodes": ["a"], "patterns": ["_0."]}
    line = make("trunk", "city", caller_id="+4930999", **fields)
    board = Board(A, items=(line, make("extension", "1002")))
    board.at(0.0, replace(arrived("030123"), endpoint="1002"))
    assert board.at(0.01, LegEntered(ONE)) == [
        Join(CALLER, BRIDGE, (ONE,), quietly=True),
        DialLeg(CALLER, ONE, 90, "+4930999"),
    ]


def test_the_first_answer_wins_and_the_others_stop() -> None:
    """As answered elsewhere; a second answer comes too late."""
    board = ringing(A, B)
    assert board.at(2.0, Answered(CALLER, TWO)) == [
        Join(CALLER, BRIDGE, (CALLER, TWO)),
        Indicate(CALLER, "answer"),
        HangUpLeg(CALLER, ONE, 26),
    ]
    assert board.at(2.0, Answered(CALLER, ONE)) == [HangUpLeg(CALLER, ONE, 16)]
    assert board.at(2.1, LegEnded(ONE, 26)) == []


def test_where_several_ring_one_that_speaks_early_is_heard_to_ring() -> None:
    """Its 183 alone: the caller is not left in silence, and hears it once."""
    board = Board(A, B)
    board.at(0.0, arrived())
    board.at(0.01, LegEntered(ONE), LegEntered(TWO))
    assert board.at(0.1, LegLives(CALLER, ONE, "PROGRESS")) == [Indicate(CALLER, "ring")]
    assert board.at(0.2, LegLives(CALLER, TWO, "RINGING")) == []
    assert board.at(0.3, LegLives(CALLER, ONE, "PROGRESS")) == []


def test_each_device_of_a_phone_here_has_a_leg() -> None:
    """By its own Contact."""
    board = Board(A)
    board.view.devices = ["sip:1001@x", "sip:1001@y"]
    made = [e.uri for e in board.at(0.0, arrived()) if isinstance(e, MakeLeg)]
    assert made == ["sip:1001@x", "sip:1001@y"]


def test_the_cause_of_who_hangs_up_is_passed_on() -> None:
    """Either way."""
    board = ringing(A)
    board.at(2.0, Answered(CALLER, ONE))
    assert board.at(9.0, Ended(CALLER, 31))[0] == HangUpLeg(CALLER, ONE, 31)
    board = ringing(A)
    board.at(2.0, Answered(CALLER, ONE))
    assert board.at(9.0, LegEnded(ONE, 31))[0] == HangUp(CALLER, 31)


def test_who_hangs_up_right_after_the_answer_is_hung_up_in_case_asterisk_has_missed_it() -> None:
    """Whoever of the two it is, with his cause; later Asterisk does not miss it, nor before."""
    board = ringing(A)
    assert board.at(1.0, HungUp(CALLER, 16)) == []
    board.at(2.0, Answered(CALLER, ONE))
    assert board.at(2.4, HungUp(CALLER, 31)) == [HangUp(CALLER, 31)]
    assert board.at(2.4, HungUp(ONE)) == [HangUpLeg(CALLER, ONE, 16)]
    assert board.at(2.4, HungUp(ChannelId("another"))) == []
    assert board.at(2.5, Ended(CALLER, 31))[0] == HangUpLeg(CALLER, ONE, 31)
    board = ringing(A)
    board.at(2.0, Answered(CALLER, ONE))
    assert board.at(9.0, HungUp(CALLER, 31)) == []


@pytest.mark.parametrize("caller_first", [True, False])
def test_when_one_hangs_up_the_other_does_too(caller_first: bool) -> None:
    """And the bridge goes."""
    board = ringing(A)
    board.at(2.0, Answered(CALLER, ONE))
    if caller_first:
        assert board.at(9.0, Ended(CALLER)) == [
            HangUpLeg(CALLER, ONE, 16),
            EndBridge(CALLER, BRIDGE),
        ]
        assert board.at(9.1, LegEnded(ONE, 16)) == []
    else:
        assert board.at(9.0, LegEnded(ONE, 16)) == [HangUp(CALLER, 16), EndBridge(CALLER, BRIDGE)]
        board.at(9.1, Ended(CALLER))
    assert len(board.board) == 0


def test_who_gives_up_takes_all_legs_along() -> None:
    """None rings on."""
    board = ringing(A, B)
    assert board.at(3.0, Ended(CALLER)) == [
        HangUpLeg(CALLER, ONE, 16),
        HangUpLeg(CALLER, TWO, 16),
        EndBridge(CALLER, BRIDGE),
        SendTo(("10.0.0.9", ord("b")), board_over()),
    ]


def board_over() -> Any:
    from pbxfed_ari.core.messages import CallOver

    return CallOver("f00", 1)


@pytest.mark.parametrize(
    ("causes", "number", "cause"),
    [
        ((17, 20), "1002", 0),
        ((20, 17), "1002", 0),
        ((17, 34), "1002", 0),
        ((17, 19), "1003", 0),
        ((19, 17), "1003", 0),
        ((19, 20), "1003", 0),
        ((34, 20), "", 34),
        ((20, 3), "", 20),
        ((18, 27), "1003", 0),
        ((38, 1), "", 1),
        ((3, 38), "", 38),
    ],
)
def test_when_all_legs_are_gone_the_outcome_decides(
    causes: tuple[int, int], number: str, cause: int
) -> None:
    """As with Dial: one that has rung out makes it no answer; else busy, congested, out of reach; the most telling cause."""
    phone = make("extension", "1001", forward_busy="1002", forward_no_answer="1003")
    board = ringing(A, B, items=[phone])
    assert board.at(29.5, LegEnded(ONE, causes[0])) == []
    effects = board.at(29.6, LegEnded(TWO, causes[1]))
    assert [e.number for e in effects if isinstance(e, MakeLeg)][:1] == [number] * bool(number)
    assert [e.cause for e in effects if isinstance(e, HangUp)] == [cause] * bool(cause)


def test_silence_is_abandoned_here_too() -> None:
    """By the leg's own name."""
    board = Board(B)
    board.at(0.0, arrived())
    board.at(0.01, LegEntered(ONE))
    assert Abandon(ONE) in board.at(2.0)
    assert HangUp(CALLER, 34) not in board.at(2.1, LegEnded(ONE, 3))  # its Asterisk may hang
    assert HangUp(CALLER, 34) in board.at(3.0)  # not what we hung up with


def test_who_was_not_called_yet_is_not_blamed_for_the_silence_of_our_own_asterisk() -> None:
    """It has not made the leg: the next one to that node has all its time."""
    board = Board(NodeName("b"))
    board.view.kinds = ("sip", "iax2")
    board.at(0.0, arrived())
    assert board.at(2.2) == []
    (made,) = [e for e in board.at(2.3, LegEnded(ONE, 0)) if isinstance(e, MakeLeg)]
    board.at(2.35, LegEntered(made.leg))
    assert board.at(4.2) == []
    assert Abandon(made.leg) in board.at(4.4)


def test_who_is_called_late_by_his_other_trunk_has_all_his_time() -> None:
    """Our own Asterisk was slow to make the leg, as after a request that it has never answered."""
    board = Board(NodeName("b"))
    board.view.kinds = ("sip", "iax2")
    board.at(0.0, arrived())
    board.at(0.01, LegEntered(ONE))
    assert Abandon(ONE) in board.at(2.0)
    (made,) = [e for e in board.at(2.1, LegEnded(ONE, 3)) if isinstance(e, MakeLeg)]
    assert board.at(2.4) == []
    board.at(2.8, LegEntered(made.leg))
    assert board.at(3.0) == []
    assert Abandon(made.leg) in board.at(3.1)


def test_what_asterisk_declines_fails_the_try() -> None:
    """It never hangs."""
    board = Board(A)
    board.at(0.0, arrived())
    assert HangUp(CALLER, 38) in board.at(0.1, LegEnded(ONE, 38))


def test_a_leg_that_comes_when_its_call_is_over_is_ended() -> None:
    """It was being made when the caller hung up."""
    board = Board(A)
    board.at(0.0, arrived())
    board.at(0.1, Ended(CALLER))
    assert board.at(0.2, LegEntered(ONE)) == [HangUp(ONE, 16)]


def test_a_leg_that_comes_though_it_was_declined_is_ended() -> None:
    """Asterisk was silent, and has made it all the same: while the next try rings, and when the call is over."""
    phone = make("extension", "1001", forward_unreachable="1002")
    board = Board(A, items=[phone])
    board.at(0.0, arrived())
    assert MakeBridge(CALLER, BRIDGE, 90, number="1002") in board.at(0.1, LegEnded(ONE, 38))
    assert board.at(0.2, LegEntered(ONE)) == [HangUpLeg(CALLER, ONE, 16)]
    second = ChannelId("pf-f00-2-0")
    assert HangUp(CALLER, 38) in board.at(0.3, LegEnded(second, 38))
    assert board.at(0.4, LegEntered(second)) == [HangUpLeg(CALLER, second, 16)]


def test_who_was_joined_for_a_try_that_was_declined_is_nobody_that_a_transfer_has_put_there() -> (
    None
):
    """Asterisk joins a leg and declines to dial it; that it came in is heard last. Its end is not the caller's."""
    board = Board(A, items=[make("extension", "1001", forward_unreachable="1002")])
    board.at(0.0, arrived())
    board.at(0.1, LegEntered(ONE), LegEnded(ONE, 38))
    assert board.at(0.11, CameIn(ONE, BRIDGE), WentOut(ONE, BRIDGE), LegEnded(ONE, 38)) == []
    second = ChannelId("pf-f00-2-0")
    board.at(0.2, LegEntered(second))
    assert board.at(2.0, Answered(CALLER, second)) == [Indicate(CALLER, "answer")]
    assert board.at(5.0, CameIn(ONE, BRIDGE)) == []
    assert board.at(9.0, LegEnded(second, 16))[0] == HangUp(CALLER, 16)


# --- transfers: Asterisk puts a Local channel into the place of who transfers

LOCAL, OTHER = ChannelId("18.1"), ChannelId("18.2")


def talking() -> Board:
    """CALLER talks with ONE."""
    board = ringing(A)
    board.at(0.0, CameIn(CALLER, BRIDGE), CameIn(ONE, BRIDGE))
    board.at(2.0, Answered(CALLER, ONE))
    return board


def test_a_callee_that_transfers_is_replaced_and_the_caller_talks_on() -> None:
    """Until the other end goes, or he does. Who has transferred is free: a queue may ring him."""
    board = talking()
    assert board.at(3.0, WentOut(ONE, BRIDGE)) == []
    assert board.engaged("1001", "1002") == [True, True]
    assert board.at(3.0, CameIn(LOCAL, BRIDGE)) == [HangUpLeg(CALLER, ONE, 16)]
    assert board.at(3.1, LegEnded(ONE, 16)) == []
    assert board.engaged("1001", "1002") == [False, True]
    assert board.at(9.0, WentOut(LOCAL, BRIDGE)) == [HangUp(CALLER, 16), EndBridge(CALLER, BRIDGE)]
    board.at(9.1, WentOut(CALLER, BRIDGE), Ended(CALLER))
    assert len(board.board) == 0


def test_the_node_of_a_caller_hears_that_its_callee_has_transferred() -> None:
    """To whom nobody knows: he comes by a channel of his own. Nothing is said if the callee has hung up."""
    one = ChannelId("pf-beef.f00-1-0")
    for transfers in True, False:
        board = Board(A)
        board.at(0.0, replace(arrived(), peer=B, note="beef/1/1"), LegEntered(one))
        board.at(2.0, Answered(CALLER, one))
        if transfers:
            board.at(3.0, WentOut(one, "pf-beef.f00"), CameIn(LOCAL, "pf-beef.f00"))
        said = SendTo(("10.0.0.9", ord("b")), CallHere(CallId("beef"), 1, "?"))
        assert (said in board.at(3.1, LegEnded(one, 16))) is transfers


def test_a_caller_that_transfers_is_replaced_and_the_callee_talks_on() -> None:
    """The call is one still, and ends with who is in it."""
    board = talking()
    assert board.at(3.0, WentOut(CALLER, BRIDGE)) == []
    assert board.at(3.0, CameIn(LOCAL, BRIDGE)) == [HangUp(CALLER, 16)]
    assert board.at(3.1, Ended(CALLER)) == []
    assert len(board.board) == 1
    assert board.at(9.0, LegEnded(ONE, 16)) == [HangUp(LOCAL, 16), EndBridge(CALLER, BRIDGE)]
    assert len(board.board) == 0


@pytest.mark.parametrize("gone", [CALLER, ONE])
@pytest.mark.parametrize("rings", [False, True])
def test_who_was_replaced_by_a_transfer_is_told_by_the_record(gone: ChannelId, rings: bool) -> None:
    """The first of them; who transfers while it rings is who has called. To hang up is no transfer."""
    if rings and gone == ONE:
        return
    for transfers in True, False:
        board = ringing(A) if rings else talking()
        more = (WentOut(gone, BRIDGE), CameIn(LOCAL, BRIDGE)) if transfers else ()
        effects: list[Effect] = []
        for event in (*more, LegEnded(gone, 16) if gone == ONE else Ended(gone)):
            effects += board.board.handle(event, 3.0, board.view)
        for event in LegEnded(ONE, 16), Ended(CALLER), WentOut(LOCAL, BRIDGE):
            effects += board.board.handle(event, 9.0, board.view)
        told = [one.by for one in effects if isinstance(one, CallEnded)]
        assert told == [("1001" if gone == ONE else "1002") if transfers else ""]


def test_a_transfer_that_is_refused_ends_who_was_transferred() -> None:
    """The Local channel goes as soon as it has come."""
    board = talking()
    board.at(3.0, WentOut(ONE, BRIDGE), CameIn(LOCAL, BRIDGE))
    assert board.at(3.0, WentOut(LOCAL, BRIDGE)) == [HangUp(CALLER, 16), EndBridge(CALLER, BRIDGE)]
    assert board.at(3.1, LegEnded(ONE, 16)) == []


def test_who_transfers_while_it_rings_is_replaced_as_the_caller() -> None:
    """He has put his own caller through: that one hears the ring, and the answer, and the next try."""
    board = ringing(A)
    assert board.at(1.0, WentOut(CALLER, BRIDGE), CameIn(LOCAL, BRIDGE), Ended(CALLER)) == []
    assert board.at(2.0, Answered(CALLER, ONE)) == [Indicate(LOCAL, "answer")]
    assert board.at(3.0, LegEnded(ONE, 16)) == [HangUp(LOCAL, 16), EndBridge(LOCAL, BRIDGE)]
    assert len(board.board) == 0
    board = ringing(A)
    board.at(1.0, CameIn(LOCAL, BRIDGE), Ended(CALLER))
    assert HangUp(LOCAL, 17) in board.at(2.0, LegEnded(ONE, 17))
    board.at(2.1, WentOut(LOCAL, BRIDGE))
    assert len(board.board) == 0


def test_to_be_joined_anew_is_no_transfer() -> None:
    """The caller was in the bridge with a leg of an earlier try; it leaves and comes again."""
    board = ringing(A, B)
    board.at(0.1, CameIn(CALLER, BRIDGE))
    board.at(2.0, Answered(CALLER, TWO))
    assert board.at(2.1, WentOut(CALLER, BRIDGE), CameIn(CALLER, BRIDGE), CameIn(TWO, BRIDGE)) == []
    assert board.at(9.0, LegEnded(TWO, 16)) == [HangUp(CALLER, 16), EndBridge(CALLER, BRIDGE)]


def test_answered_elsewhere_is_passed_on() -> None:
    """The peer's caller says so as it hangs up."""
    board = ringing(A, B)
    effects = board.at(1.0, Ended(CALLER, 26))
    assert [e.cause for e in effects if isinstance(e, HangUpLeg)] == [26, 26]


def test_a_phone_that_sends_on() -> None:
    """By the word of the dialplan and its 302 together; the word alone is of the caller's own past."""
    for sip, number in (302, "1003"), (0, ""):
        board = ringing(A)
        assert board.at(1.0, Redirected(ChannelId(""), ONE, "1003")) == []
        made = board.at(1.1, LegEnded(ONE, 16, sip))
        assert [e.number for e in made if isinstance(e, MakeLeg)] == [number] * bool(number)


def test_two_legs_of_one_call_that_meet_at_a_node_have_names_of_their_own() -> None:
    """Two members of a group, at one node."""
    board = Board(A)
    made = [
        board.at(0.0, Arrived(ChannelId(f"{i}.1"), f"100{i}", "1009", "", B, "f/1/1", f"e{i}"))
        for i in (1, 2)
    ]
    names = [e.bridge for effects in made for e in effects if isinstance(e, MakeBridge)]
    assert len(set(names)) == 2


# --- which mode


def test_the_object_says_how_it_is_connected() -> None:
    """Before the node."""
    bridge, hand = (
        make("extension", "1001", control="bridge"),
        make("extension", "1002", control="handover"),
    )
    for control in "bridge", "handover":
        board = Board(A, control=control, items=[bridge, hand])
        one = board.at(0.0, arrived("1001"))
        two = board.at(0.0, arrived("1002", ChannelId("18.1"), "f01"))
        assert [type(e) for e in (one[0], two[0])] == [MakeBridge, HandOver]


def test_under_load_calls_are_handed_over() -> None:
    """None is refused because the daemon is busy."""
    board = Board(A)
    kinds = [
        type(board.at(0.0, arrived("1001", ChannelId(f"{i}.1"), f"f{i}"))[0])
        for i in range(A_SECOND + 5)
    ]
    assert kinds == [MakeBridge] * A_SECOND + [HandOver] * 5
    assert isinstance(board.at(1.5, arrived("1001", ChannelId("x"), "f99"))[0], MakeBridge)
    board.board.tick(2.6, board.view, LATE * 2)
    assert isinstance(board.at(3.0, arrived("1001", ChannelId("y"), "f98"))[0], HandOver)
    assert isinstance(board.at(2.7 + CALM, arrived("1001", ChannelId("z"), "f97"))[0], MakeBridge)


@pytest.mark.parametrize(
    ("event", "calm"),
    [
        (AriWasSlow(SLOW), CALM),
        (AriWasSlow(SLOW / 2), 0.0),
        (ChannelsListed(frozenset()), AGAIN_CALM),
    ],
)
def test_while_asterisk_is_slow_or_read_anew_calls_are_handed_over(
    event: CallEvent, calm: float
) -> None:
    """For a moment."""
    board = Board(A)
    board.at(10.0, event)
    early = board.at(10.0 + calm - 0.1, arrived("1001", ChannelId("x"), "f1"))[0]
    assert isinstance(early, HandOver if calm else MakeBridge)
    assert isinstance(board.at(10.1 + calm, arrived("1001", ChannelId("y"), "f2"))[0], MakeBridge)


# --- after a restart


def seen(*channels: str, talks: bool = True, name: str = BRIDGE) -> BridgeSeen:
    return BridgeSeen(name, tuple(map(ChannelId, channels)), talks)


def found(*bridges: BridgeSeen, more: tuple[str, ...] = ()) -> ChannelsListed:
    channels = {c for bridge in bridges for c in bridge.channels} | set(map(ChannelId, more))
    return ChannelsListed(frozenset(channels), bridges)


AGAIN = Arrived(CALLER, "1001", "1002", "", fresh_id="f01", again=True)


def test_who_rings_while_we_are_deaf_rings_on() -> None:
    """The caller stands where he stood: no leg is made a second time."""
    board = ringing(A)
    assert (
        board.at(
            1.0,
            found(seen(CALLER, ONE, talks=False)),
            AGAIN,
            LegEntered(ONE),
            LegLives(CALLER, ONE, "RINGING"),
        )
        == []
    )
    assert board.at(2.0, Answered(CALLER, ONE)) == [Indicate(CALLER, "answer")]
    assert board.at(3.0, Ended(CALLER))[0] == HangUpLeg(CALLER, ONE, 16)


def test_who_was_transferred_while_we_were_deaf_talks_on() -> None:
    """A transfer has put another into the place of the caller, or of who was called: who is in the bridge is the call."""
    board = talking()
    assert board.at(3.0, found(seen(LOCAL, ONE))) == []
    assert len(board.board) == 1
    assert board.at(9.0, LegEnded(ONE, 16)) == [HangUp(LOCAL, 16), EndBridge(CALLER, BRIDGE)]
    assert len(board.board) == 0
    board = talking()
    assert board.at(3.0, found(seen(CALLER, LOCAL))) == []
    assert board.at(9.0, WentOut(LOCAL, BRIDGE)) == [HangUp(CALLER, 16), EndBridge(CALLER, BRIDGE)]
    board.at(9.1, Ended(CALLER))
    assert len(board.board) == 0


def test_who_has_transferred_while_we_were_deaf_is_hung_up() -> None:
    """He stands beside the bridge in which he was replaced, until somebody ends him."""
    board = talking()
    assert board.at(3.0, found(seen(LOCAL, ONE), more=(CALLER,))) == [HangUp(CALLER, 16)]
    assert board.at(3.1, Ended(CALLER)) == []
    assert board.at(3.2, found(seen(LOCAL, ONE))) == []
    assert board.at(9.0, LegEnded(ONE, 16)) == [HangUp(LOCAL, 16), EndBridge(CALLER, BRIDGE)]


def test_who_has_answered_while_we_were_deaf_talks() -> None:
    """The state of his channel tells it."""
    board = ringing(A)
    effects = board.at(
        1.0,
        found(seen(CALLER, ONE, talks=False)),
        AGAIN,
        LegEntered(ONE),
        Answered(ChannelId(""), ONE),
    )
    assert effects == [Indicate(CALLER, "answer")]


@pytest.mark.parametrize("cause", [0, 16])
def test_a_leg_that_ends_before_it_is_dialed_has_asked_nobody(cause: int) -> None:
    """As when our application is away for a moment, which Asterisk tells of, or not: the same once more, then the next."""
    board = Board(A)
    board.at(0.0, arrived())
    made = board.at(0.1, LegEnded(ONE, cause))
    assert [(type(e), getattr(e, "leg", "")) for e in made[-1:]] == [(MakeLeg, SECOND)]
    assert board.at(0.2, LegEntered(ONE)) == [HangUpLeg(CALLER, ONE, 16)]
    assert board.at(0.2, LegEnded(SECOND, cause))[0] == HangUp(CALLER, 38)
    board = Board(NodeName("b"))
    board.view.kinds = ("sip", "iax2")
    ends = [LegEnded(ChannelId(f"pf-f00-{i}-0"), cause) for i in (1, 2)]
    made = board.at(0.0, arrived(), *ends)
    trunks = [e.to.trunk for e in made if isinstance(e, MakeLeg) and isinstance(e.to, Leg)]
    assert trunks == ["sip", "sip", "iax2"]


def test_of_whom_nobody_knows_what_he_has_said_is_asked_again_once() -> None:
    """While we were deaf his leg has ended: he was busy, or nobody was there."""
    board = ringing(A)
    made = board.at(1.0, found(seen(CALLER, talks=False)))
    assert [type(e) for e in made] == [EndBridge, HandOver]  # just after a reading Dial has it
    assert board.at(1.0, AGAIN) == []
    assert board.at(1.5, Returned(CALLER, "BUSY", 17))[0] == HangUp(CALLER, 17)


def test_who_was_given_up_while_we_were_deaf_is_not_rung_again() -> None:
    """By that trunk: the next one is tried."""
    board = Board(NodeName("b"))
    board.view.kinds = ("sip", "iax2")
    board.at(0.0, arrived(), LegEntered(ONE))
    assert Abandon(ONE) in board.at(2.1)
    made = board.at(2.2, found(seen(CALLER, talks=False)))
    assert [e.legs for e in made if isinstance(e, HandOver)] == [(Leg(NodeName("b"), "iax2"),)]


def test_of_several_others_ring_on_when_one_has_ended_unseen() -> None:
    """What he has said nobody knows, and nobody else is disturbed."""
    board = Board(A)
    board.view.devices = ["sip:1@1", "sip:2@2"]
    board.at(0.0, arrived())
    for leg in ONE, TWO:
        board.at(0.1, LegEntered(leg), LegLives(CALLER, leg, "RINGING"))
    assert board.at(1.0, LegEnded(ONE, unseen=True)) == []
    assert board.at(2.0, LegEnded(TWO, 17))[0] == HangUp(CALLER, 17)


def test_who_is_handed_over_because_of_what_was_read_is_not_taken_for_one_of_an_earlier_life() -> (
    None
):
    """He stood there when it was read, in bridge mode. His leg had gone with the websocket; Dial rings by now."""
    board = Board(NodeName("b"))
    board.at(0.0, arrived())
    effects = board.at(1.0, found(seen(CALLER, talks=False)))
    assert [e.legs for e in effects if isinstance(e, HandOver)] == [(Leg(NodeName("b"), "sip"),)]
    assert not any(isinstance(e, HangUp) for e in effects)
    assert board.at(1.0, AGAIN) == []
    assert HangUp(CALLER, 17) in board.at(1.1, Returned(CALLER, "BUSY", 17))


BACK = Returned(CALLER, "BUSY", 17, again=True)  # from a try that was handed over
SECOND = ChannelId("pf-f00-2-0")
RINGS = LegLives(CALLER, SECOND, "RINGING")


def second_rings() -> Board:
    """A first try was handed over and has come back; the next one, in bridge mode, rings."""
    busy = make("extension", "1001", control="handover", forward_busy="1003")
    board = Board(A, items=[busy])
    assert isinstance(board.at(0.0, arrived())[0], HandOver)
    made = board.at(1.0, Returned(CALLER, "BUSY", 17))
    assert [e.leg for e in made if isinstance(e, MakeLeg)] == [SECOND]
    board.at(1.1, LegEntered(SECOND), RINGS)
    return board


def test_who_has_come_back_once_does_not_come_back_again_at_each_reconnect() -> None:
    """The caller's place in Asterisk's dialplan tells of the try before, whether the next one rings or talks."""
    board = second_rings()
    listed = found(seen(CALLER, SECOND, talks=False))
    assert board.at(2.0, listed, BACK, LegEntered(SECOND), RINGS) == []
    assert board.at(3.0, Answered(CALLER, SECOND)) == [Indicate(CALLER, "answer")]
    assert board.at(4.0, found(seen(CALLER, SECOND)), BACK, Answered(CALLER, SECOND)) == []
    assert board.at(5.0, LegEnded(SECOND, 16))[0] == HangUp(CALLER, 16)


def test_who_talks_after_a_try_that_came_back_is_not_hung_up_by_a_restart() -> None:
    """He is adopted, and where he stands tells of before."""
    board = Board(A)
    assert board.at(0.0, found(seen(CALLER, SECOND)), BACK) == []
    assert board.at(9.0, LegEnded(SECOND, 16))[0] == HangUp(CALLER, 16)


def test_a_conversation_is_adopted_and_ends_as_one() -> None:
    """What is told of its caller as if it had arrived is ignored."""
    board = Board(A)
    assert board.at(0.0, found(seen(CALLER, ONE))) == []
    assert board.at(0.1, AGAIN) == []
    assert board.at(9.0, LegEnded(ONE, 16)) == [HangUp(CALLER, 16), EndBridge(CALLER, BRIDGE)]
    board.at(9.1, Ended(CALLER))
    assert len(board.board) == 0


def test_a_conversation_after_a_transfer_is_adopted_too() -> None:
    """Between two that are none of our legs."""
    board = Board(A)
    assert board.at(0.0, found(seen(CALLER, LOCAL))) == []
    assert board.at(0.1, AGAIN) == []
    effects = board.at(9.0, WentOut(CALLER, BRIDGE), Ended(CALLER))
    assert EndBridge(CALLER, BRIDGE) in effects
    assert {type(e) for e in effects} <= {HangUp, HangUpLeg, EndBridge}
    assert len(board.board) == 0


def rung(caller: Arrived, shown: str, peer: NodeName | None = None, **more: Item) -> Board:
    """A daemon has returned while a leg of ours rang for this caller."""
    board = Board(A, items=list(more.values()))
    key = "f00.e1" if caller.peer else "f00"
    leg = ChannelId(f"pf-{key}-1-0")
    rings = LegSeen(peer, "sip" if peer else "", shown, channel=leg)
    one = BridgeSeen(f"pf-{key}", (CALLER, leg), False, callers=(caller,), rings=(rings,))
    assert board.at(0.0, found(one)) == []
    assert board.at(0.1, replace(caller, again=True), LegEntered(leg)) == []
    assert board.at(0.1, LegLives(ChannelId(""), leg, "RINGING")) == []
    return board


def test_who_rings_when_we_return_rings_on_and_is_answered() -> None:
    """No phone rings twice for it; the caller, who hears it ring, hears nothing new."""
    for peer in None, NodeName("b"):
        board = rung(arrived(), "1001", peer)
        assert board.at(2.0, Answered(CALLER, ONE)) == [Indicate(CALLER, "answer")]
        assert board.at(9.0, LegEnded(ONE, 16)) == [HangUp(CALLER, 16), EndBridge(CALLER, BRIDGE)]
        board.at(9.1, Ended(CALLER))
        assert len(board.board) == 0


def test_who_rings_out_after_our_return_goes_onward_from_there() -> None:
    """From the number that rang: the one that was dialed forwards to it."""
    onward = make("extension", "1003", forward_no_answer="1004", control="bridge")
    first = make("extension", "1001", forward_always="1003")
    board = rung(arrived(), "1003", first=first, onward=onward)
    (made,) = [e for e in board.at(20.0, LegEnded(ONE, 19)) if isinstance(e, MakeLeg | HandOver)]
    assert (made.number if isinstance(made, MakeLeg) else made.extension) == "1004"
    board = rung(arrived(), "1001")
    assert HangUp(CALLER, 19) in board.at(20.0, LegEnded(ONE, 19))


def test_a_peers_call_that_rings_when_we_return_is_ended_with_it() -> None:
    """As its part here is named."""
    comes = Arrived(CALLER, "1001", "1002", "", NodeName("b"), "f00/1/1", "x", "pf-b")
    board = rung(comes, "1001")
    leg = ChannelId("pf-f00.e1-1-0")
    assert HangUpLeg(CALLER, leg, 16) in board.at(5.0, PeerGaveUp(NodeName("b"), CallId("f00"), 1))
    board.at(5.1, Ended(CALLER))
    assert len(board.board) == 0


def test_a_node_that_dies_after_our_return_while_its_phone_rings_is_abandoned() -> None:
    """It is watched as every other, once we have heard who lives."""
    board = rung(arrived(), "1001", NodeName("b"))
    board.view.cut = board.view.dead = (NodeName("b"),)
    board.view.settles = 1.5
    assert board.at(0.5) == []
    assert board.at(5.0) == [AskSip(NodeName("b"))]
    assert Abandon(ONE) in board.at(5.6, SipSaid(NodeName("b"), False))


def test_what_rings_outside_when_we_return_ends_and_its_caller_arrives_anew() -> None:
    """Whither a provider sends a call is not obeyed, so it must be known to be one."""
    board = Board(A)
    rings = LegSeen(None, "", "0891234", channel=ONE)
    one = BridgeSeen(BRIDGE, (CALLER, ONE), False, callers=(arrived(),), rings=(rings,))
    listed = found(one)
    assert board.at(0.0, listed) == [HangUp(ONE, 16), EndBridge(ChannelId(BRIDGE), BRIDGE)]


def test_orphans_end_and_who_waits_is_served_anew() -> None:
    """A leg alone, a caller alone, a bridge that is empty, a leg in no bridge; a caller beside a leg that only rang."""
    board = Board(A)
    effects = board.at(
        0.0,
        found(
            seen(ONE, name="pf-f01"),
            seen("18.1", name="pf-f02"),
            seen(name="pf-f03"),
            seen(CALLER, "pf-f04-1-0", talks=False, name="pf-f04"),
            more=("pf-f05-1-0", "99.1"),
        ),
    )
    assert effects == [
        HangUp(ONE, 16),
        EndBridge(ChannelId("pf-f01"), "pf-f01"),
        HangUp(ChannelId("18.1"), 16),
        EndBridge(ChannelId("pf-f02"), "pf-f02"),
        EndBridge(ChannelId("pf-f03"), "pf-f03"),
        HangUp(ChannelId("pf-f04-1-0"), 16),
        EndBridge(ChannelId("pf-f04"), "pf-f04"),
        HangUp(ChannelId("pf-f05-1-0"), 16),
    ]
    assert isinstance(board.at(0.1, arrived())[0], HandOver)


def test_all_who_talk_in_a_bridge_are_adopted() -> None:
    """Another may have come before the one in whose place he is was gone."""
    board = Board(A)
    assert board.at(0.0, found(seen(CALLER, ONE, LOCAL))) == []
    assert board.at(1.0, LegEnded(ONE, 16)) == []
    assert board.at(9.0, Ended(CALLER)) == [HangUp(LOCAL, 16), EndBridge(CALLER, BRIDGE)]


def test_who_ends_calls_nobody_anew() -> None:
    """A transfer has replaced him, and the daemon died before it could end him; or the other one had hung up meanwhile."""
    replaced = replace(found(seen(LOCAL, ONE), more=(CALLER,)), replaced=frozenset({CALLER}))
    for listed in replaced, found(seen(CALLER)):
        board = Board(A)
        assert board.at(0.0, listed)[0] == HangUp(CALLER, 16)
        assert board.at(0.1, AGAIN, BACK) == []


def test_two_that_ended_unseen_are_one_call() -> None:
    """The caller, and whom a transfer had put there: one record."""
    board = ringing(A)
    board.at(2.0, Answered(CALLER, ONE), CameIn(CALLER, BRIDGE), CameIn(ONE, BRIDGE))
    board.at(3.0, CameIn(LOCAL, BRIDGE), WentOut(ONE, BRIDGE), LegEnded(ONE, 16))
    effects = board.board.handle(found(), 9.0, board.view)
    assert [type(e) for e in effects].count(CallEnded) == 1
    assert len(board.board) == 0


def test_a_leg_that_ended_unseen_ends_the_call() -> None:
    """The websocket was away for a moment."""
    board = ringing(A)
    board.at(2.0, Answered(CALLER, ONE))
    effects = board.at(5.0, found(seen(CALLER), more=()))
    assert HangUp(CALLER, 16) in effects


def test_what_should_have_ended_and_has_not_is_ended_when_asterisk_is_back() -> None:
    """It did not hear us: a caller who was hung up, and a leg that was."""
    board = ringing(A, B)
    board.at(2.0, Answered(CALLER, TWO))
    assert board.at(3.0, found(seen(CALLER, TWO), more=(ONE,))) == [HangUp(ONE, 16)]
    board.at(4.0, LegEnded(TWO, 16))
    assert board.at(5.0, found(more=(CALLER,))) == [HangUp(CALLER, 16)]


@pytest.mark.parametrize("stays", [True, False])
def test_so_is_a_bridge_whose_call_is_over(stays: bool) -> None:
    """Whether or not the caller has gone by himself meanwhile."""
    board = ringing(A)
    ends = EndBridge(CALLER, BRIDGE)
    assert board.at(2.0, LegEnded(ONE, 19)) == [HangUp(CALLER, 19), ends]
    left = found(seen(CALLER) if stays else seen())
    again = [HangUp(CALLER, 19)] if stays else []
    assert board.at(5.0, left) == [*again, EndBridge(ChannelId(BRIDGE), BRIDGE)]


def record_after(bridge: BridgeSeen) -> CallEnded:
    """Of the call that was found talking at 100 and ended at 110."""
    board = Switchboard(Manner(control="bridge"))
    view = View(A, trunks=("sip",))
    channels = frozenset(bridge.channels)
    board.handle(ChannelsListed(channels, (bridge,), wall_ms=1_060_000), 100.0, view)
    caller, leg = bridge.channels
    board.handle(LegEnded(leg, 16), 110.0, view)
    (ended,) = board.handle(Ended(caller), 110.0, view)
    assert isinstance(ended, CallEnded)
    return ended


def test_the_record_of_an_adopted_call_tells_what_asterisk_knows() -> None:
    """Who called whom, when, who answered where at which try, how long they talked."""
    leg = ChannelId("pf-f00-2-0")
    came = Arrived(CALLER, "1001", "1002", "Ann", endpoint="1002", wall_ms=1_000_000)
    there = LegSeen(B, "sip", "1005", 1_007_000)
    bridge = BridgeSeen(BRIDGE, (CALLER, leg), True, frozenset(), (came,), there, 1_010_000)
    found = record_after(bridge)
    assert (found.call, found.caller, found.number, found.tries) == ("f00", "1002", "1001", 2)
    assert (found.answered, found.seconds, found.talked) == (True, 70.0, 60.0)
    assert (found.began_ms, found.reached, found.control) == (1_000_000, "1005", "bridge")
    (last,) = found.attempts
    assert (last.legs, last.began, last.seconds) == ((Leg(B, "sip", "1005"),), 7.0, 3.0)


def test_an_adopted_part_of_a_peers_call_keeps_its_id() -> None:
    """And the names of its legs and bridge."""
    leg, name = ChannelId("pf-beef.f00-1-0"), "pf-beef.f00"
    came = Arrived(CALLER, "1001", "1002", "", B, "beef/1/1", wall_ms=1_000_000)
    bridge = BridgeSeen(name, (CALLER, leg), True, frozenset(), (came,), LegSeen(None, "", "1001"))
    found = record_after(bridge)
    assert (found.call, found.peer, found.reached) == ("beef", B, "")
    assert (found.answered, found.seconds, found.talked) == (True, 70.0, 10.0)


@pytest.mark.parametrize("to", ["80", "800"], ids=["service", "room"])
def test_after_a_bridged_try_a_service_or_a_room_has_the_caller(to: str) -> None:
    """What was made to ring a phone is removed, and who is answered there is answered."""
    items = [
        make("extension", "1001", forward_busy=to),
        make("service", "80", context="voicemail", exten="s", nodes=["a"]),
        make("room", "800"),
    ]
    board = Board(A, items=items)
    board.view.standing = [A]
    board.at(0.0, arrived())
    board.at(0.1, LegEntered(ONE))
    ended, *led = board.at(0.2, LegEnded(ONE, 17))
    assert ended == EndBridge(CALLER, BRIDGE)
    assert [type(e) for e in led if isinstance(e, Lead | Enter)] == [Lead if to == "80" else Enter]
    assert board.at(1.0, Answered(CALLER)) == []
    over = board.board.handle(Ended(CALLER), 9.0, board.view)
    assert [e.answered for e in over if isinstance(e, CallEnded)] == [True]
