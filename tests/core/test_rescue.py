"""Rescue, told on a virtual clock: a node dies, who is left waits, is connected again or let go; and what is no rescue."""

from typing import Any

import pytest

from pbxfed_ari.core.calls import rescue
from pbxfed_ari.core.calls.bridging import PATIENCE
from pbxfed_ari.core.calls.calls import Manner
from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import (
    CallEnded,
    DialLeg,
    Effect,
    EndBridge,
    HangUp,
    HangUpLeg,
    Hush,
    Indicate,
    Join,
    Leg,
    MakeBridge,
    MakeLeg,
    Note,
    SendTo,
    Soothe,
)
from pbxfed_ari.core.events import (
    Answered,
    Arrived,
    BridgeSeen,
    CallEvent,
    CameIn,
    ChannelsListed,
    Ended,
    FarEndDied,
    LegDialed,
    LegEnded,
    LegEntered,
    LegLives,
    LegSeen,
    PeerGaveUp,
    PeerLostCalls,
    WentOut,
)
from pbxfed_ari.core.messages import CallHere, CallOver
from pbxfed_ari.core.names import CallId, ChannelId, NodeName
from pbxfed_ari.core.records.registrations import Registration
from tests.core.test_route import A, B, C, View, make

CALLER, ONE, TWO = ChannelId("17.1"), ChannelId("pf-f00-1-0"), ChannelId("pf-f00-2-0")
LOCAL, AGAIN = ChannelId("18.1"), ChannelId("19.1")
BRIDGE, SECONDS = "pf-f00", 30
KEY = "pf-f00.e1"  # of a part of a peer's call
PHONE, BACK = ChannelId(f"{KEY}-1-0"), ChannelId(f"{KEY}-2-0")
WALL = 1_800_000_000_000
LONGEST = SECONDS + 30 + PATIENCE


class Story:
    """A switchboard in bridge mode, what it asks for, and what it tells."""

    def __init__(
        self, *places: NodeName, trunk: str = "sip", seconds: int = SECONDS, **more: Any
    ) -> None:
        self.view = View(*places, trunks=(trunk,), **more)
        self.board = Switchboard(Manner(control="bridge", rescue=seconds))
        self.notes: list[Note] = []
        self.records: list[CallEnded] = []

    def at(self, now: float, *events: CallEvent) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            effects += self.board.handle(event, now, self.view)
        if not events:
            effects = self.board.tick(now, self.view)
        self.notes += [e for e in effects if isinstance(e, Note) and not e.log_only]
        self.records += [e for e in effects if isinstance(e, CallEnded)]
        return [e for e in effects if not isinstance(e, Note | CallEnded)]

    def dies(self, *nodes: NodeName, down: bool = True) -> None:
        """They cannot be reached from here; everybody knows it, if they are `down`."""
        self.view.cut, self.view.dead = nodes, nodes if down else ()

    @property
    def states(self) -> list[str]:
        return [call.phase.value for call in self.board]


def calling(*, trunk: str = "sip", seconds: int = SECONDS, **more: Any) -> Story:
    """1002 here has called 1001 at b: they talk."""
    story = Story(B, trunk=trunk, seconds=seconds, **more)
    story.at(0.0, Arrived(CALLER, "1001", "1002", "Ann", fresh_id="f00", endpoint="1002"))
    story.at(0.1, LegEntered(ONE), CameIn(CALLER, BRIDGE), CameIn(ONE, BRIDGE))
    story.at(1.0, LegLives(CALLER, ONE, "RINGING"))
    story.at(2.0, Answered(CALLER, ONE))
    return story


def called(*, note: str = "f00/1/1", endpoint: str = "pf-b", **more: Any) -> Story:
    """1002 at b has called 1001 here: they talk."""
    story = Story(A, **more)
    story.at(0.0, Arrived(CALLER, "1001", "1002", "", B, note, "e1", endpoint))
    story.at(0.1, LegEntered(PHONE), CameIn(CALLER, KEY), CameIn(PHONE, KEY))
    story.at(2.0, Answered(CALLER, PHONE))
    return story


def lost(story: Story, now: float, channel: ChannelId) -> list[Effect]:
    """It leads to a dead node, and is ended: as asterisk/deadends.py does it."""
    mine = channel.startswith("pf-")
    end = LegEnded(channel, 38) if mine else Ended(channel, 38)
    return story.at(now, FarEndDied(channel), WentOut(channel, BRIDGE if mine else KEY), end)


# --- the caller's side


def test_a_caller_waits_and_is_connected_when_the_other_phone_has_registered_elsewhere() -> None:
    """He is not hung up: he hears that he waits, and then the other one. The record tells of both tries."""
    story = calling()
    story.dies(B)
    assert lost(story, 60.0, ONE) == [Soothe(CALLER, "", LONGEST)]
    assert story.states == ["rescuing"]
    assert story.at(60.0 + rescue.LOOK) == []
    story.view.places = (C,)
    (leg,) = story.at(60.0 + 2 * rescue.LOOK)
    assert isinstance(leg, MakeLeg)
    assert (leg.leg, leg.number, leg.to, leg.note) == (TWO, "1001", Leg(C, "sip"), "f00/1/2")
    assert story.at(62.1, LegEntered(TWO)) == [DialLeg(CALLER, TWO, 30)]
    assert story.at(62.2, LegLives(CALLER, TWO, "RINGING")) == []
    assert story.at(65.0, Answered(CALLER, TWO)) == [
        Hush(CALLER, ""),
        Join(CALLER, BRIDGE, (TWO,)),
    ]
    assert story.states == ["talking"]
    assert story.at(65.1, CameIn(TWO, BRIDGE)) == []
    assert story.at(90.0, LegEnded(TWO, 16)) == [HangUp(CALLER, 16), EndBridge(CALLER, BRIDGE)]
    story.at(90.1, Ended(CALLER))
    (record,) = story.records
    assert [(t.outcome, t.began) for t in record.attempts] == [
        ("answered", 0.0),
        ("answered", 62.0),
    ]
    assert record.attempts[1].reason.startswith("rescue: 1001 is registered on c")
    assert (record.tries, record.talked, record.cause) == (2, 88.1, 16)
    assert [note.event for note in story.notes] == ["call_held_for_rescue", "call_rescued"]


@pytest.mark.parametrize("cause", [17, 19, 20], ids=["busy", "no answer", "gone"])
def test_while_the_other_phone_is_busy_the_caller_waits_on_and_it_is_tried_again(
    cause: int,
) -> None:
    """It may be busy with the dead call. A forward of its number is not followed: he wants whom he had."""
    phone = make("extension", "1001", forward_busy="1003", forward_no_answer="1003")
    story = calling(items=[phone])
    story.dies(B)
    story.view.places = (C,)
    assert isinstance(lost(story, 60.0, ONE)[-1], MakeLeg)
    story.at(60.1, LegEntered(TWO))
    assert story.at(60.2, LegEnded(TWO, cause)) == []
    assert story.at(60.2 + rescue.PAUSE - 0.1) == []
    (again,) = story.at(60.2 + rescue.PAUSE)
    assert isinstance(again, MakeLeg)
    assert (again.leg, again.number) == (ChannelId("pf-f00-3-0"), "1001")
    assert story.states == ["rescuing"]


@pytest.mark.parametrize(
    "how", [{"dnd": True}, {"forward_always": "1003"}], ids=["dnd", "forwards"]
)
def test_who_may_not_be_rung_is_waited_for(how: dict[str, Any]) -> None:
    """Do not disturb, or a forward of all calls: no try, until it is otherwise."""
    story = calling()
    story.dies(B)
    story.view.places = (C,)
    story.view.items["number", "1001"] = make("extension", "1001", **how)
    assert lost(story, 60.0, ONE) == [Soothe(CALLER, "", LONGEST)]
    assert story.at(61.0) == []
    del story.view.items["number", "1001"]
    assert isinstance(story.at(62.0)[0], MakeLeg)


def test_for_whom_is_no_extension_nobody_waits() -> None:
    """It was removed meanwhile, or was a number outside."""
    story = calling()
    story.dies(B)
    story.view.items["number", "1001"] = make("group", "1001")
    assert HangUp(CALLER, 38) in lost(story, 60.0, ONE)


def test_when_the_time_is_over_the_call_ends() -> None:
    """Network out of order; not 27, which by IAX2 would be a death one hop back."""
    story = calling()
    story.dies(B)
    story.view.places = ()
    lost(story, 60.0, ONE)
    for second in range(61, 90):
        assert story.at(float(second)) == []
    assert story.board.next_deadline() == 90.0
    assert story.at(90.0) == [HangUp(CALLER, 38), EndBridge(CALLER, BRIDGE)]
    story.at(90.1, Ended(CALLER))
    (record,) = story.records
    assert (record.answered, record.cause, len(record.attempts)) == (True, 38, 1)
    assert [note.event for note in story.notes] == ["call_held_for_rescue", "call_not_rescued"]
    assert len(story.board) == 0


def test_who_is_rung_when_the_time_is_over_may_answer() -> None:
    """He is there: he is not cut off in the moment in which he takes the phone. If he does not, it is over."""
    for cause, state in (0, "talking"), (19, "over"):
        story = calling()
        story.dies(B)
        lost(story, 60.0, ONE)
        story.view.places = (C,)
        story.at(89.0)
        story.at(89.1, LegEntered(TWO), LegLives(CALLER, TWO, "RINGING"))
        assert story.at(91.0) == []
        story.at(92.0, LegEnded(TWO, cause) if cause else Answered(CALLER, TWO))
        story.at(93.0)
        assert story.states == [state]


def test_a_try_that_shows_no_life_is_abandoned() -> None:
    """As in setup; and the next way is tried after a pause."""
    story = calling()
    story.dies(B)
    story.view.places = (C,)
    lost(story, 60.0, ONE)
    story.at(60.1, LegEntered(TWO))
    assert type(story.at(62.0)[0]).__name__ == "Abandon"
    assert story.at(62.1, LegEnded(TWO, 3)) == []
    assert isinstance(story.at(62.1 + rescue.PAUSE)[0], MakeLeg)


def test_who_hangs_up_while_he_waits_leaves_nothing() -> None:
    """With a leg on its way, or without."""
    for place, legs in ((), []), ((C,), [HangUpLeg(CALLER, TWO, 16)]):
        story = calling()
        story.dies(B)
        story.view.places = place
        lost(story, 60.0, ONE)
        ends = [e for e in story.at(65.0, Ended(CALLER)) if isinstance(e, HangUpLeg | EndBridge)]
        assert ends == [*legs, EndBridge(CALLER, BRIDGE)]
        assert len(story.board) == 0
        assert len(story.records) == 1


def test_a_second_death_is_a_second_rescue() -> None:
    """The next node dies, too."""
    story = calling()
    story.dies(B)
    story.view.places = (C,)
    lost(story, 60.0, ONE)
    story.at(61.0, LegEntered(TWO), Answered(CALLER, TWO), CameIn(TWO, BRIDGE))
    story.dies(B, C)
    story.view.places = (A,)
    held, third = lost(story, 80.0, TWO)
    assert held == Soothe(CALLER, "", LONGEST)
    assert isinstance(third, MakeLeg)
    assert third.leg == "pf-f00-3-0"


def test_iax2_says_itself_that_nobody_acknowledges() -> None:
    """Cause 27 while its node is out of reach. If that lives, or with any other cause, it is an end as any other."""
    for cause, cut, state in (27, (B,), "rescuing"), (27, (), "over"), (16, (B,), "over"):
        story = calling(trunk="iax2")
        story.dies(*cut)
        story.at(60.0, LegEnded(ONE, cause))
        assert story.states == [state], (cause, cut)


def test_a_daemon_that_says_that_its_asterisk_has_died_is_believed_at_once() -> None:
    """By whichever trunk, on either side; the called side need not wait to be called. Who talks with others talks on."""
    for trunk in "sip", "iax2":
        story = calling(trunk=trunk)
        assert story.at(50.0, PeerLostCalls(C)) == []
        assert story.at(60.0, PeerLostCalls(B)) == [HangUpLeg(CALLER, ONE, 38)]
        story.view.places = (C,)
        held, leg = story.at(60.1, LegEnded(ONE, 38))
        assert held == Soothe(CALLER, "", LONGEST)
        assert isinstance(leg, MakeLeg)
        story = called(endpoint="pf-b" if trunk == "sip" else "")
        story.view.places = (B,)
        assert story.at(60.0, PeerLostCalls(B)) == [HangUp(CALLER, 38)]
        held, leg = story.at(60.1, Ended(CALLER, 38))
        assert held == Soothe(PHONE, "", LONGEST)
        assert isinstance(leg, MakeLeg)


def test_a_called_phone_that_waits_calls_when_its_callers_daemon_says_so() -> None:
    """It was silent when it was asked; its daemon lives, and tells."""
    story = called()
    story.dies(B, down=False)
    story.view.places = (B,)
    story.view.taken = {Registration(B, "sip:1002@10.0.0.8:5060", 1): C}
    lost(story, 60.0, CALLER)
    assert story.at(61.0, PeerLostCalls(B)) == []
    assert isinstance(story.at(61.1)[0], MakeLeg)


# --- what is no rescue


@pytest.mark.parametrize("cause", [16, 17, 19, 27, 31, 38, 41, 127])
@pytest.mark.parametrize("down", [False, True])
def test_a_phone_that_hangs_up_is_never_called_again(cause: int, down: bool) -> None:
    """By SIP, whatever the cause, whoever is out of reach: only who watches the sound knows of a death."""
    for story, channel, event in (
        (calling(), CALLER, LegEnded(ONE, cause)),
        (called(), PHONE, Ended(CALLER, cause)),
    ):
        if down:
            story.dies(B)
        effects = story.at(60.0, event)
        assert not any(isinstance(e, Soothe | MakeLeg | MakeBridge) for e in effects)
        assert any(isinstance(e, HangUp | HangUpLeg) for e in effects)
        assert "rescuing" not in story.states
        assert channel in {getattr(e, "channel", getattr(e, "leg", "")) for e in effects}


def test_zero_seconds_turn_it_off() -> None:
    """The call ends as it did."""
    story = calling(seconds=0)
    story.dies(B)
    assert lost(story, 60.0, ONE) == [HangUp(CALLER, 38), EndBridge(CALLER, BRIDGE)]


def test_a_call_that_was_handed_over_is_not_rescued() -> None:
    """Its legs are Dial's."""
    story = Story(B)
    story.board.calls.manner = Manner(control="handover")
    story.at(0.0, Arrived(CALLER, "1001", "1002", "", fresh_id="f00"))
    story.at(2.0, Answered(CALLER, ChannelId("9.1")))
    story.dies(B)
    assert story.at(60.0, FarEndDied(ChannelId("9.1")), LegEnded(ChannelId("9.1"), 38)) == []
    assert story.states == ["talking"]  # Dial tells the caller


def test_whom_a_transfer_has_put_there_is_not_rescued() -> None:
    """Neither he, nor for him."""
    for gone, comes in (CALLER, LOCAL), (ONE, LOCAL):
        story = calling()
        story.at(10.0, WentOut(gone, BRIDGE), CameIn(comes, BRIDGE))
        story.at(10.1, Ended(CALLER) if gone == CALLER else LegEnded(ONE, 16))
        story.dies(B)
        effects = lost(story, 60.0, ONE if gone == CALLER else LOCAL)
        assert not any(isinstance(e, Soothe | MakeLeg) for e in effects)
    story = calling()
    story.dies(B)
    story.at(60.0, WentOut(CALLER, BRIDGE))  # he is on his way to somebody else
    assert not any(isinstance(e, Soothe | MakeLeg) for e in lost(story, 60.0, ONE))


def test_the_other_end_that_dies_while_it_rings_is_no_rescue() -> None:
    """Setup has its own rules."""
    story = Story(B)
    story.at(0.0, Arrived(CALLER, "1001", "1002", "", fresh_id="f00"), LegEntered(ONE))
    story.at(1.0, FarEndDied(ONE), LegEnded(ONE, 38))
    assert "rescuing" not in story.states


# --- the called side


def test_a_called_phone_waits_to_be_called_while_its_callers_node_lives() -> None:
    """The network was cut between two that live: the caller's side is the one that calls, though he could be called by c."""
    story = called()
    story.dies(B, down=False)
    story.view.places = (B,)
    story.view.taken = {Registration(B, "sip:1002@10.0.0.8:5060", 1): C}
    assert lost(story, 60.0, CALLER) == [Soothe(PHONE, "", LONGEST)]
    assert all(story.at(float(second)) == [] for second in range(61, 90))
    assert story.at(90.0) == [HangUp(PHONE, 38), EndBridge(PHONE, KEY)]
    (record,) = story.records
    assert (record.peer, record.answered, record.cause) == (B, True, 38)
    assert len(story.board) == 0
    assert story.at(90.1, LegEnded(PHONE, 38)) == []


def test_a_called_phone_calls_when_its_callers_node_could_have_called_and_has_not() -> None:
    """Healed, it calls at once; but if its Asterisk was killed, and is back, it has lost its caller, too."""
    story = called()
    story.dies(B, down=False)
    story.view.places = (B,)
    lost(story, 60.0, CALLER)
    assert story.at(62.0) == []
    story.dies()
    heard = 62.0
    while heard + 1.0 < 62.0 + rescue.FIRST:
        heard += 1.0
        assert story.at(heard) == []
    (leg,) = story.at(heard + 1.0)
    assert leg == MakeLeg(PHONE, BACK, "1002", Leg(B, "sip"), "", "f00.e1/2/2")


@pytest.mark.parametrize("how", ["down", "elsewhere"])
def test_a_called_phone_is_connected_with_its_caller_again(how: str) -> None:
    """When his node is declared down, or his phone has registered elsewhere."""
    story = called()
    story.dies(B, down=how == "down")
    story.view.places = ()
    lost(story, 60.0, CALLER)
    assert story.at(61.0) == []
    story.view.places = (C,)
    (leg,) = story.at(62.0)
    assert leg == MakeLeg(PHONE, BACK, "1002", Leg(C, "sip"), "", "f00.e1/2/2")
    story.at(62.1, LegEntered(BACK))
    assert story.at(64.0, Answered(PHONE, BACK)) == [Hush(PHONE, ""), Join(PHONE, KEY, (BACK,))]
    assert story.states == ["talking"]
    assert story.at(64.1, CameIn(BACK, KEY)) == []
    listed = ChannelsListed(frozenset((PHONE, BACK)), (BridgeSeen(KEY, (PHONE, BACK), True),))
    again = (LegEntered(PHONE), Answered(ChannelId(""), PHONE), LegEntered(BACK))
    assert story.at(70.0, listed, *again) == []  # the websocket was away for a moment
    assert story.at(80.0, LegEnded(PHONE, 16)) == [
        HangUpLeg(PHONE, BACK, 16),
        EndBridge(PHONE, KEY),
    ]
    assert len(story.records) == 1
    assert len(story.board) == 0


@pytest.mark.parametrize("ringing", [False, True])
def test_when_the_callers_node_calls_again_it_is_joined_with_who_waits(ringing: bool) -> None:
    """Both had lost each other, and the cut is healed: no phone rings; what rings stops."""
    story = called()
    story.dies(B, down=ringing)
    story.view.places = (C,) if ringing else ()
    lost(story, 60.0, CALLER)
    if ringing:
        story.at(60.1, LegEntered(BACK))
    comes = Arrived(AGAIN, "1001", "1002", "", B, "f00/1/2", "e2", "pf-b")
    effects = story.at(64.0, comes)
    stopped = [HangUpLeg(PHONE, BACK, 16)] if ringing else []
    assert [e for e in effects if type(e).__name__ != "SendTo"] == [
        Indicate(AGAIN, "answer"),
        Hush(PHONE, ""),
        Join(PHONE, KEY, (AGAIN,)),
        *stopped,
    ]
    assert story.states == ["talking"]
    assert story.at(64.1, CameIn(AGAIN, KEY)) == []
    assert story.at(64.2, Arrived(AGAIN, "1001", "1002", "", B, "f00/1/2", "e3", again=True)) == []
    assert story.at(80.0, WentOut(AGAIN, KEY), Ended(AGAIN)) == [
        HangUp(PHONE, 16),
        EndBridge(PHONE, KEY),
    ]
    assert len(story.board) == 0
    assert len(story.records) == 1


def test_a_call_that_its_sender_has_given_up_is_not_joined() -> None:
    """It came late."""
    story = called()
    story.dies(B, down=False)
    lost(story, 60.0, CALLER)
    story.at(61.0, PeerGaveUp(B, CallId("f00"), 2))
    comes = Arrived(AGAIN, "1001", "1002", "", B, "f00/1/2", "e2", "pf-b")
    assert story.at(64.0, comes) == [HangUp(AGAIN, 16)]
    assert story.states == ["rescuing"]


@pytest.mark.parametrize("over", [True, False])
def test_a_call_again_that_comes_suspiciously_late_is_joined_if_nothing_is_said_against_it(
    over: bool,
) -> None:
    """SIP sends an INVITE again after it was given up: joined and cut at once, it would cost him whom he waits for."""
    story = called()
    story.dies(B)
    story.view.places = ()
    lost(story, 60.0, CALLER)
    note = f"f00/1/2//{WALL + 5_000}"
    comes = Arrived(AGAIN, "1001", "1002", "", B, note, "e2", "pf-b", wall_ms=WALL)
    here = SendTo(("10.0.0.9", ord("b")), CallHere(CallId("f00"), 2))
    assert story.at(64.0, comes) == [here]
    assert story.states == ["rescuing", "held"]
    if over:
        assert HangUp(AGAIN, 16) in story.at(64.1, PeerGaveUp(B, CallId("f00"), 2))
        story.at(64.1, Ended(AGAIN))
        assert story.at(64.3) == []
        assert story.states == ["rescuing"]
        return
    assert Join(PHONE, KEY, (AGAIN,)) in story.at(64.2)
    assert story.states == ["talking"]
    assert HangUp(PHONE, 16) in story.at(80.0, WentOut(AGAIN, KEY), Ended(AGAIN))
    assert len(story.board) == 0
    assert len(story.records) == 1


def test_a_call_again_that_comes_suspiciously_late_cuts_nobody_who_talks() -> None:
    """The two have found each other by a newer try."""
    story = calling()
    note = f"f00.e1/2/2//{WALL + 5_000}"
    comes = Arrived(AGAIN, "1002", "1002", "", B, note, "e2", "pf-b", wall_ms=WALL)
    assert not any(isinstance(e, HangUpLeg | Join) for e in story.at(64.0, comes))
    story.at(64.1, PeerGaveUp(B, CallId("f00.e1"), 2))
    assert story.states[0] == "talking"


def test_who_was_joined_so_may_be_lost_again() -> None:
    """And waits again."""
    story = called()
    story.dies(B)
    story.view.places = ()
    lost(story, 60.0, CALLER)
    story.at(64.0, Arrived(AGAIN, "1001", "1002", "", B, "f00/1/2", "e2", "pf-b"))
    assert lost(story, 80.0, AGAIN) == [Soothe(PHONE, "", LONGEST)]


@pytest.mark.parametrize(
    ("number", "peer", "note"),
    [("1003", B, "f00/1/2"), ("1001", C, "f00/1/2"), ("1001", B, "f01/1/2")],
)
def test_another_call_is_not_joined(number: str, peer: NodeName, note: str) -> None:
    """Another number, another node, another call: it rings."""
    story = called()
    story.dies(B, down=False)
    lost(story, 60.0, CALLER)
    assert isinstance(
        story.at(64.0, Arrived(AGAIN, number, "1002", "", peer, note, "e2"))[0], object
    )
    assert story.states[0] == "rescuing"
    assert len(story.board) == 2


@pytest.mark.parametrize(
    ("note", "caller"),
    [("f00/1/1/////o", "1002"), ("f00/1/1", "5551234")],
    ids=["spoofed", "plain"],
)
def test_for_a_caller_from_outside_no_phone_waits(note: str, caller: str) -> None:
    """He shows a number of ours, or none of ours: we could not call him."""
    story = Story(A)
    story.at(0.0, Arrived(CALLER, "1001", caller, "", B, note, "e1", "pf-b"))
    story.at(0.1, LegEntered(PHONE))
    story.at(2.0, Answered(CALLER, PHONE))
    story.dies(B)
    assert lost(story, 60.0, CALLER) == [HangUpLeg(CALLER, PHONE, 38), EndBridge(CALLER, KEY)]


def test_a_caller_from_outside_waits_for_our_phone() -> None:
    """The other way round he is a caller as any."""
    story = Story(B)
    did = make("did", "5551000", destination="1001")
    story.view.items["did", "5551000"] = did
    story.at(0.0, Arrived(CALLER, "5551000", "5551234", "", fresh_id="f00", outside=True))
    made = story.at(0.1, LegEntered(ONE))
    assert made
    story.at(2.0, Answered(CALLER, ONE))
    story.dies(B)
    story.view.places = ()
    assert lost(story, 60.0, ONE) == [Soothe(CALLER, "", LONGEST)]


def test_a_call_from_outside_says_so_on_the_trunk() -> None:
    """Old releases ignore it."""
    story = Story(B)
    story.view.items["did", "5551000"] = make("did", "5551000", destination="1001")
    effects = story.at(0.0, Arrived(CALLER, "5551000", "1002", "", fresh_id="f00", outside=True))
    (note,) = [e.note for e in effects if isinstance(e, MakeLeg)]
    assert note == "f00/1/1/////o"


# --- both sides


def rescued_from_here() -> Story:
    """1002 here has called 1001 at b, both have lost each other, and b has called 1002: who waited is joined with that call."""
    story = calling()
    story.dies(B, down=False)
    story.view.places = ()
    lost(story, 60.0, ONE)
    story.dies()
    story.at(70.0, Arrived(AGAIN, "1002", "1001", "", B, "f00.e1/2/2", "e9", "pf-b"))
    return story


def test_a_called_phone_that_has_not_noticed_the_loss_is_not_rung() -> None:
    """Only its caller's side has noticed. It talks with the old call yet, as its node believes; and then with the new one."""
    story = called()
    comes = Arrived(AGAIN, "1001", "1002", "", B, "f00/1/2", "e2", "pf-b")
    assert story.at(64.0, comes) == [
        HangUp(CALLER, 16),
        Indicate(AGAIN, "answer"),
        Hush(PHONE, ""),
        Join(PHONE, KEY, (AGAIN,)),
    ]
    assert story.at(64.1, WentOut(CALLER, KEY), Ended(CALLER, 16), CameIn(AGAIN, KEY)) == []
    assert story.states == ["talking"]
    assert story.at(80.0, LegEnded(PHONE, 16)) == [HangUp(AGAIN, 16), EndBridge(PHONE, KEY)]
    assert story.at(80.1, Ended(AGAIN)) == []
    assert (len(story.board), len(story.records)) == (0, 1)


def test_a_try_that_comes_late_does_not_take_the_place_of_a_newer_one() -> None:
    """By the other trunk, perhaps."""
    story = called()
    story.at(64.0, Arrived(AGAIN, "1001", "1002", "", B, "f00/1/3", "e2", "pf-b"))
    for attempt in 2, 3:
        late = Arrived(ChannelId("20.1"), "1001", "1002", "", B, f"f00/1/{attempt}", "e3", "pf-b")
        assert HangUp(AGAIN, 16) not in story.at(65.0, late, Ended(late.channel))


def test_a_caller_who_has_not_noticed_the_loss_is_not_rung() -> None:
    """The other way round: the called side has waited in vain to be called, for its caller talks yet, as his node believes."""
    story = calling()
    comes = Arrived(AGAIN, "1002", "1001", "", B, "f00.e1/2/2", "e9", "pf-b")
    assert story.at(70.0, comes) == [
        HangUpLeg(CALLER, ONE, 16),
        Indicate(AGAIN, "answer"),
        Hush(CALLER, ""),
        Join(CALLER, BRIDGE, (AGAIN,)),
    ]
    assert story.at(70.1, LegEnded(ONE, 16), CameIn(AGAIN, BRIDGE)) == []
    assert story.at(80.0, WentOut(AGAIN, BRIDGE), Ended(AGAIN, 16)) == [
        HangUp(CALLER, 16),
        EndBridge(CALLER, BRIDGE),
    ]


@pytest.mark.parametrize(
    ("number", "peer", "note"),
    [
        ("1001", B, "f00/1/1"),  # which it is already
        ("1003", B, "f00/1/2"),
        ("1001", C, "f00/1/2"),
        ("1001", B, "f01/1/2"),
    ],
)
def test_a_call_that_is_no_other_half_of_a_conversation_is_a_call(
    number: str, peer: NodeName, note: str
) -> None:
    """Who talks is not disturbed."""
    story = called()
    effects = story.at(64.0, Arrived(AGAIN, number, "1002", "", peer, note, "e2", "pf-b"))
    assert any(isinstance(e, MakeBridge) for e in effects)
    assert story.states == ["talking", "dialing"]


def test_whom_a_transfer_has_put_there_no_call_joins() -> None:
    """1003 talks with the caller now, at this node; the caller's node, which has lost him, calls 1001."""
    story = called()
    story.at(10.0, WentOut(PHONE, KEY), CameIn(LOCAL, KEY), LegEnded(PHONE, 16))
    comes = Arrived(AGAIN, "1001", "1002", "", B, "f00/1/2", "e2", "pf-b")
    assert any(isinstance(e, MakeBridge) for e in story.at(64.0, comes))


def test_two_rescues_find_each_other() -> None:
    """While the called phone is rung elsewhere for who waits here, its own node calls him: they are joined."""
    story = calling()
    story.dies(B, down=False)
    story.view.places, story.view.taken = (), {Registration(B, "sip:1001@x", 1): C}
    lost(story, 60.0, ONE)
    story.at(60.1, LegEntered(TWO), LegLives(CALLER, TWO, "RINGING"))
    story.dies()
    effects = story.at(71.0, Arrived(AGAIN, "1002", "1001", "", B, "f00.e1/2/2", "e9", "pf-b"))
    assert [e for e in effects if not isinstance(e, SendTo)] == [
        Indicate(AGAIN, "answer"),
        Hush(CALLER, ""),
        Join(CALLER, BRIDGE, (AGAIN,)),
        HangUpLeg(CALLER, TWO, 16),
    ]
    assert story.board.talks_with() == {B}


def test_two_rescues_that_call_each_other_at_once_leave_one_call() -> None:
    """The caller's, which is joined there."""
    story = calling()
    lost(story, 60.0, ONE)
    story.at(60.1, LegEntered(TWO))
    comes = Arrived(AGAIN, "1002", "1001", "", B, "f00.e1/2/2", "e9", "pf-b")
    assert story.at(60.2, comes) == [HangUp(AGAIN, 16)]
    assert story.at(60.3, Ended(AGAIN, 16)) == []
    assert story.at(60.4, Answered(CALLER, TWO)) == [Hush(CALLER, ""), Join(CALLER, BRIDGE, (TWO,))]


def test_a_caller_who_was_joined_so_may_be_lost_again() -> None:
    """Who called last calls again; what comes of that is joined."""
    story = rescued_from_here()
    story.dies(B, down=False)
    assert lost(story, 90.0, AGAIN) == [Soothe(CALLER, "", LONGEST)]
    late = Arrived(ChannelId("20.1"), "1002", "1001", "", B, "f00.e1/2/3", "e10", "pf-b")
    story.dies()
    assert Join(CALLER, BRIDGE, (late.channel,)) in story.at(95.0, late)


# --- who hangs up


@pytest.mark.parametrize("waits", [True, False], ids=["waits", "talks"])
def test_a_called_phone_that_has_hung_up_is_not_rung_by_its_callers_rescue(waits: bool) -> None:
    """While it waited, or before its node had noticed anything. Its caller's node is told that it is over."""
    over = SendTo(("10.0.0.9", 98), CallOver(CallId("f00"), 1))
    story = called()
    if waits:
        story.dies(B, down=False)
        lost(story, 60.0, CALLER)
    effects = story.at(62.0, LegEnded(PHONE, 16))
    assert (over in effects) is waits
    story.at(62.1, Ended(CALLER, 16))
    assert len(story.board) == 0
    comes = Arrived(AGAIN, "1001", "1002", "", B, "f00/1/2", "e2", "pf-b")
    assert story.at(70.0, comes) == [HangUp(AGAIN, 16), over]
    assert len(story.board) == 0


@pytest.mark.parametrize("waits", [True, False], ids=["waits", "talks"])
def test_a_caller_who_has_hung_up_is_not_rung_by_the_other_sides_rescue(waits: bool) -> None:
    """The same."""
    over = SendTo(("10.0.0.9", 98), CallOver(CallId("f00"), 1))
    story = calling()
    if waits:
        story.dies(B, down=False)
        story.view.places = ()
        lost(story, 60.0, ONE)
    effects = story.at(62.0, WentOut(CALLER, BRIDGE), Ended(CALLER, 16))
    assert (over in effects) is waits
    comes = Arrived(AGAIN, "1002", "1001", "", B, "f00.e1/2/2", "e9", "pf-b")
    assert story.at(70.0, comes) == [HangUp(AGAIN, 16), over]
    assert len(story.board) == 0


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
@pytest.mark.parametrize("began", [True, False], ids=["caller", "called"])
def test_who_has_hung_up_in_handover_is_not_rung_by_the_other_sides_rescue(
    began: bool, first: bool
) -> None:
    """A node under load hands over; at the other one, in bridge mode, somebody waits for who has gone."""
    view, board, leg = View(B if began else A, trunks=("sip",)), Switchboard(), ChannelId("17.2")
    peer, note = (None, "") if began else (B, "f00/1/1")
    comes = Arrived(CALLER, "1001", "1002", "", peer, note, "f00" if began else "e1", "pf-b")
    name = "PJSIP/pf-b-1" if began else "PJSIP/1001-1"
    talks = (comes, LegDialed(CALLER, leg, name), Answered(CALLER, leg))
    ends: list[CallEvent] = [LegEnded(leg, 16), Ended(CALLER, 16)]
    for event in (*talks, *(reversed(ends) if began and first else ends)):
        board.handle(event, 1.0, view)
    assert len(board) == 0
    said, number = ("f00.e1/2/2", "1002") if began else ("f00/1/2", "1001")
    found = board.handle(Arrived(AGAIN, number, "1003", "", B, said, "e9", "pf-b"), 9.0, view)
    assert found == [HangUp(AGAIN, 16), SendTo(("10.0.0.9", 98), CallOver(CallId("f00"), 1))]


@pytest.mark.parametrize("control", ["bridge", "handover"])
def test_a_caller_who_was_never_answered_is_not_called_back_by_who_believes_that_he_has_answered(
    control: str,
) -> None:
    """The answer was lost on its way, and the caller was told that nobody can be reached."""
    story = Story(B, trunk="sip")
    story.board.calls.manner = Manner(control=control)
    story.at(0.0, Arrived(CALLER, "1001", "1002", "Ann", fresh_id="f00", endpoint="1002"))
    story.at(0.1, LegEntered(ONE), LegDialed(CALLER, ChannelId("9.1"), "PJSIP/pf-b-01"))
    story.at(5.0, Ended(CALLER))
    assert len(story.records) == 1
    story.view.places = (A,)
    comes = Arrived(AGAIN, "1002", "1002", "", B, "f00.e1/2/2", "e2", "pf-b")
    told = SendTo(("10.0.0.9", ord("b")), CallOver(CallId("f00"), 1))
    assert story.at(60.0, comes) == [HangUp(AGAIN, 16), told]


def test_who_was_put_through_to_a_peers_queue_is_rung_for_here_too() -> None:
    """He who has called it is gone, the call is not."""
    view, board, leg = View(A, trunks=("sip",)), Switchboard(), ChannelId("17.2")
    view.items["number", "700"] = make("queue", "700")
    view.standing = [B]
    comes = Arrived(CALLER, "700", "1002", "", fresh_id="f00", endpoint="1002")
    for event in (
        comes,
        LegDialed(CALLER, leg, "PJSIP/pf-b-1"),
        Answered(CALLER, leg),
        Ended(CALLER),
    ):
        board.handle(event, 1.0, view)
    rings = board.handle(
        Arrived(AGAIN, "1001", "1003", "", B, "f00.e1/2/2", "e9", "pf-b"), 9.0, view
    )
    assert not any(isinstance(e, HangUp) for e in rings)
    board.handle(LegEnded(leg, 16), 10.0, view)
    assert len(board) == 1


def test_who_waits_is_hung_up_when_the_other_one_has_hung_up_at_his_node() -> None:
    """On either side; what rings stops."""
    story = calling()
    story.dies(B, down=False)
    story.view.places = (C,)
    lost(story, 60.0, ONE)
    assert story.at(62.0, PeerGaveUp(C, CallId("f00"), 1), PeerGaveUp(B, CallId("f00"), 2)) == []
    ends = [e for e in story.at(63.0, PeerGaveUp(B, CallId("f00"), 1)) if not isinstance(e, SendTo)]
    assert ends == [HangUp(CALLER, 16), HangUpLeg(CALLER, TWO, 16), EndBridge(CALLER, BRIDGE)]
    story = called()
    story.dies(B, down=False)
    story.view.places = ()
    lost(story, 60.0, CALLER)
    over = story.at(63.0, PeerGaveUp(B, CallId("f00"), 1))
    assert over == [HangUp(PHONE, 16), EndBridge(PHONE, KEY)]
    assert (len(story.board), story.records[0].cause) == (0, 16)


def test_whose_asterisk_has_died_has_not_hung_up() -> None:
    """Our own: the other side's rescue rings our phone, once it is back."""
    story = calling()
    story.at(60.0, ChannelsListed(frozenset()))
    assert len(story.board) == 0
    story.view.places = (A,)
    comes = Arrived(AGAIN, "1002", "1001", "", B, "f00.e1/2/2", "e9", "pf-b")
    assert any(isinstance(e, MakeBridge) for e in story.at(70.0, comes))


@pytest.mark.parametrize(
    ("cause", "rings", "state"),
    [(17, True, "over"), (21, True, "over"), (17, False, "rescuing"), (19, True, "rescuing")],
    ids=["declines", "refuses", "busy", "no answer"],
)
def test_who_declines_is_not_rung_again(cause: int, rings: bool, state: str) -> None:
    """A line that is busy without a ring may be busy with the dead call."""
    story = calling()
    story.dies(B)
    story.view.places = (C,)
    lost(story, 60.0, ONE)
    story.at(60.1, LegEntered(TWO))
    if rings:
        story.at(60.5, LegLives(CALLER, TWO, "RINGING"))
    effects = story.at(63.0, LegEnded(TWO, cause))
    assert (HangUp(CALLER, 17) in effects) is (state == "over")
    assert story.states == [state]


# --- what counts


def test_a_second_device_of_the_caller_elsewhere_is_no_move() -> None:
    """He waits at his own node, and that will call."""
    story = called()
    story.dies(B, down=False)
    story.view.places = (B, C)
    lost(story, 60.0, CALLER)
    assert all(story.at(float(second)) == [] for second in range(61, 69))
    story.view.places = (C,)
    assert isinstance(story.at(69.0)[0], MakeLeg)


def test_a_rescue_rings_no_longer_than_who_waits_may_wait() -> None:
    """Whatever the phone's own ring time."""
    story = calling(items=[make("extension", "1001", ring_seconds=300)])
    story.dies(B)
    story.view.places = (C,)
    lost(story, 60.0, ONE)
    assert story.at(60.1, LegEntered(TWO)) == [DialLeg(CALLER, TWO, 30)]


def test_a_dead_end_that_came_to_life_again_may_hang_up() -> None:
    """Its hang-up had failed. Ten minutes later its user hangs up, and his node is in reach."""
    for cut, state in ((), "over"), ((B,), "rescuing"):
        story = calling()
        story.at(60.0, FarEndDied(ONE))
        story.dies(*cut)
        story.at(660.0, WentOut(ONE, BRIDGE), LegEnded(ONE, 16))
        assert story.states == [state]


# --- after a restart


def test_a_daemon_that_returns_ends_who_waits_alone() -> None:
    """Whom he waited for nobody knows any more: he is not left in an empty bridge."""
    for channel, name, rings in (CALLER, BRIDGE, TWO), (PHONE, KEY, BACK):
        story = Story(A)
        seen = BridgeSeen(name, (channel,), True)
        effects = story.at(0.0, ChannelsListed(frozenset((channel, rings)), (seen,)))
        hung = {e.channel for e in effects if isinstance(e, HangUp)}
        assert hung == {channel, rings}
        assert EndBridge(ChannelId(name), name) in effects


def test_a_daemon_that_returns_adopts_who_was_rescued() -> None:
    """Two legs of our own talk: the phone that was called, and its caller's. They end together; a new death is a new rescue."""
    for end in "hangs up", "dies":
        story = Story(A)
        to = LegSeen(C, "sip", "1002")
        seen = BridgeSeen(KEY, (BACK, PHONE), True, leg=to)
        assert story.at(0.0, ChannelsListed(frozenset((PHONE, BACK)), (seen,))) == []
        assert story.states == ["talking"]
        if end == "hangs up":
            assert story.at(9.0, LegEnded(BACK, 16)) == [HangUp(PHONE, 16), EndBridge(PHONE, KEY)]
            assert len(story.board) == 0
            assert len(story.records) == 1
        else:
            story.dies(C)
            story.view.places = ()
            assert lost(story, 9.0, BACK) == [Soothe(PHONE, "", LONGEST)]


def test_an_adopted_call_is_rescued_too() -> None:
    """What Asterisk knows of its leg is enough."""
    story = Story(B)
    came = Arrived(CALLER, "1001", "1002", "Ann", endpoint="1002")
    seen = BridgeSeen(BRIDGE, (CALLER, ONE), True, callers=(came,), leg=LegSeen(B, "sip", "1001"))
    story.at(0.0, ChannelsListed(frozenset((CALLER, ONE)), (seen,)))
    story.dies(B)
    story.view.places = ()
    assert lost(story, 9.0, ONE) == [Soothe(CALLER, "", LONGEST)]


def test_our_own_asterisk_that_dies_ends_it() -> None:
    """Nobody waits any more."""
    story = calling()
    story.dies(B)
    story.view.places = ()
    lost(story, 60.0, ONE)
    story.at(65.0, ChannelsListed(frozenset()))
    assert len(story.board) == 0


def test_who_waits_when_our_websocket_was_away_waits_on() -> None:
    """He stands where he stood."""
    for story, channel, lost_one in (calling(), CALLER, ONE), (called(), PHONE, CALLER):
        story.dies(B)
        story.view.places = ()
        lost(story, 60.0, lost_one)
        name = BRIDGE if channel == CALLER else KEY
        listed = ChannelsListed(frozenset((channel,)), (BridgeSeen(name, (channel,), True),))
        again = (
            Arrived(CALLER, "1001", "1002", "", fresh_id="f01", again=True)
            if channel == CALLER
            else LegEntered(PHONE)
        )
        assert story.at(65.0, listed, again) == []
        assert story.states == ["rescuing"]
        assert story.at(66.0, ChannelsListed(frozenset())) != []
        assert len(story.board) == 0
